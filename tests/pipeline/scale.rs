//! Memory and requests of the commands that read a large ledger. SOAK=50 means 100,000 items and 5,000 dead letters.
//! The fake of S3 computes the objects and stores none, so that the command is measured and not the fake.

use std::{
    collections::HashMap,
    fmt::Write,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::ensure;
use axum::{
    Router,
    extract::{Query, State},
    http::{Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use jiff::Timestamp;
use message::write::Renderer;
use model::{Captured, ItemId, Reason, RunId, RunRecord, Sha256, Stage, Window, keys};
use runtime::Variables;
use serde_json::json;

use crate::{
    measured_command::{MeasuredCommand, run_measured},
    sqs::Sqs,
};

/// Number of ids that fetch writes in a page of its manifest.
const PAGE_IDS: u64 = 1_000;
/// The window of the run: a whole day.
const FROM: &str = "2026-11-21T00:00:00Z";
const TO: &str = "2026-11-22T00:00:00Z";
/// One of this many items is a dead letter.
const ITEMS_PER_DEAD_LETTER: u64 = 20;
/// One of this many items has a participant who was added to the user map after the item was filed.
const ITEMS_PER_LATE_EMPLOYEE: u64 = 20;
/// Key of the message of the items with such a participant.
const MIME: &str = "mime/late.eml";
/// Memory limit of a command for any number of items, in kB: nearly three times the memory for 20,000 items.
const MAX_KILOBYTES: u64 = 120_000;

/// A fake bucket with the run of one day and the outcomes of its items.
struct Bucket {
    run: RunId,
    at: Timestamp,
    items: u64,
    /// The number of each item, by the key of its outcome.
    outcomes: HashMap<String, u64>,
    message: Vec<u8>,
    requests: AtomicU64,
}

/// Renders a text from Ada to Bob.
fn render_text() -> anyhow::Result<Vec<u8>> {
    let people =
        [("Ada", "+4520123456"), ("Bob", "+4520123457")].map(|(name, phone)| json!({"name": name, "phone": phone}));
    let item = json!({"id": "WA-1", "messageId": "WA-1", "type": "text", "messageTime": FROM, "archivedTime": FROM,
                      "network": "whatsapp", "chat": {"id": "chat", "type": "individual"}, "from": people[0],
                      "to": [people[1]], "text": "Hello.", "attachments": []});
    let captured = Captured::from_value(item, &"WA-1".parse()?)?;
    Ok(Renderer::new("archive.example.com")?.render(&captured, &[])?.mime(|_| &[]).to_vec())
}

impl Bucket {
    fn new(items: u64) -> anyhow::Result<Self> {
        let at: Timestamp = "2026-11-21T07:00:00Z".parse()?;
        let mut outcomes = HashMap::new();
        for number in 0..items {
            outcomes.insert(keys::outcome(&id(number)?.key()), number);
        }
        let run = "20261121T080000Z-daily-0badcafe".parse()?;
        Ok(Self { run, at, items, outcomes, message: render_text()?, requests: AtomicU64::new(0) })
    }

    fn pages(&self) -> u64 {
        self.items.div_ceil(PAGE_IDS)
    }

    /// Returns a page of the manifest.
    fn page(&self, page: u64) -> String {
        let mut lines = String::new();
        for number in (page - 1) * PAGE_IDS..(page * PAGE_IDS).min(self.items) {
            let line = json!({"item": format!("WA-{number}"), "archived_time": self.at});
            writeln!(lines, "{line}").expect("a string accepts every write");
        }
        lines
    }

    /// Returns the outcome of an item as JSON.
    fn outcome(&self, number: u64) -> String {
        let filed =
            |address: &str| json!({"address": address, "result": "imported", "message": "AAMkAGI2", "at": self.at});
        let is_dead_letter = number.is_multiple_of(ITEMS_PER_DEAD_LETTER);
        let mailboxes = if is_dead_letter { vec![] } else { vec![filed("ada@example.com"), filed("bob@example.com")] };
        let dead_letter = is_dead_letter.then(|| json!({"stage": Stage::Import, "reason": Reason::Unmapped}));
        if number % ITEMS_PER_LATE_EMPLOYEE == 1 {
            let (sha256, bytes) = (Sha256::of(&self.message), self.message.len());
            return json!({"v": 1, "item": format!("WA-{number}"), "run": self.run, "message_id": "<a@b>", "mime": MIME,
                          "sha256": sha256, "bytes": bytes, "mailboxes": mailboxes, "failed": [], "unmapped": [1],
                          "dead_letter": null})
            .to_string();
        }
        json!({"v": 1, "item": format!("WA-{number}"), "run": self.run, "message_id": null, "sha256": null, "bytes": null,
               "mime": null, "mailboxes": mailboxes, "failed": [], "dead_letter": dead_letter}).to_string()
    }

    /// Returns the object of a key.
    fn object(&self, key: &str) -> Option<Vec<u8>> {
        match key {
            MIME => Some(self.message.clone()),
            keys::USER_MAP => Some(b"phone,email\n+4520123457,late@example.com\n".to_vec()),
            key => self.json_object(key).map(String::into_bytes),
        }
    }

    /// Returns the run record, an outcome or a page of the manifest.
    fn json_object(&self, key: &str) -> Option<String> {
        if key == keys::run(&self.run) {
            let window = Window::between(FROM.parse().ok()?, TO.parse().ok()?).ok()?;
            let begun = RunRecord::begun(self.run.clone(), window);
            let pages = u32::try_from(self.pages()).ok()?;
            let ended = Some(self.at);
            return serde_json::to_string(&RunRecord { queued: self.items, pages, complete: true, ended, ..begun })
                .ok();
        }
        if let Some(number) = self.outcomes.get(key) {
            return Some(self.outcome(*number));
        }
        let page = (1..=self.pages())
            .find(|page| u32::try_from(*page).is_ok_and(|page| key == keys::manifest(&self.run, page)))?;
        Some(self.page(page))
    }

    /// Lists the run's objects. Other prefixes are empty.
    fn list(&self, prefix: &str) -> String {
        let pages = (1..=self.pages()).filter_map(|page| Some(keys::manifest(&self.run, u32::try_from(page).ok()?)));
        let all = pages.chain([keys::run(&self.run)]).filter(|key| key.starts_with(prefix));
        let contents: String = all
            .map(|key| {
                format!("<Contents><Key>{key}</Key><LastModified>{}</LastModified><Size>1</Size></Contents>", self.at)
            })
            .collect();
        format!("<ListBucketResult><IsTruncated>false</IsTruncated>{contents}</ListBucketResult>")
    }

    /// Starts the server and returns its URL.
    async fn serve(self: &Arc<Self>) -> anyhow::Result<String> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let router = Router::new().fallback(respond).with_state(Arc::clone(self));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(url)
    }
}

async fn respond(
    State(bucket): State<Arc<Bucket>>,
    Query(query): Query<HashMap<String, String>>,
    method: Method,
    uri: Uri,
) -> Response {
    bucket.requests.fetch_add(1, Ordering::Relaxed);
    if method == Method::PUT {
        return [(header::ETAG, "\"2\"")].into_response();
    }
    if let Some(prefix) = query.get("prefix") {
        return ([(header::CONTENT_TYPE, "application/xml")], bucket.list(prefix)).into_response();
    }
    let key = uri.path().trim_start_matches('/').split_once('/').map_or("", |(_, key)| key);
    match bucket.object(key) {
        Some(object) => ([(header::ETAG, "\"1\"")], object).into_response(),
        None => (StatusCode::NOT_FOUND, "<Error><Code>NoSuchKey</Code></Error>").into_response(),
    }
}

fn id(number: u64) -> anyhow::Result<ItemId> {
    Ok(format!("WA-{number}").parse()?)
}

/// Three dead letters a second arrive while the command reads the queue. SOAK=20 means 10,000 dead letters.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_letter_list_ends_while_dead_letters_arrive() -> anyhow::Result<()> {
    let soak = Variables::read(&["SOAK"]).with_default("SOAK", "a multiplier of the number of items", 1_u64)?;
    let waiting = soak * 500;
    let sqs = Sqs::start().await?;
    let dead_letter = |number: u64| {
        let body = json!({"v": 1, "run": "20261121T080000Z-daily-0badcafe", "item": format!("WA-{number}"), "archived_time": FROM});
        let attributes = [("stage", "import"), ("reason", "unmapped"), ("failed_at", FROM)]
            .map(|(name, word)| (name, word.to_owned()));
        (body.to_string(), HashMap::from(attributes))
    };
    sqs.fill_dead_letters((0..waiting).map(dead_letter)).await?;
    let arrivals = async {
        // The rate is input of the test.
        let mut seconds = tokio::time::interval(Duration::from_secs(1));
        let mut first = 1_000_000;
        loop {
            seconds.tick().await;
            sqs.fill_dead_letters((first..first + 3).map(dead_letter)).await?;
            first += 3;
        }
    };
    let mut command = Command::new(harness::binaries()?.join("archiver"));
    command.args(["dead-letters", "list", "--json"]).env_clear().envs(sqs.variables());
    command.envs([
        ("AWS_ACCESS_KEY_ID", "operator"),
        ("AWS_SECRET_ACCESS_KEY", "operator"),
        ("AWS_REGION", "us-east-1"),
        ("BUCKET", "archive"),
    ]);
    let MeasuredCommand { output, peak_kilobytes, cpu, took } = tokio::select! {
        measured = run_measured(command) => measured?,
        stopped = arrivals => return stopped,
    };
    let printed = String::from_utf8(output.stdout)?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let listed = printed.lines().count() as u64;
    eprintln!(
        "dead-letters list: {waiting} dead letters, 3 more a second: {:.1} s, {:.1} s of CPU, {} MB, {listed} listed",
        took.as_secs_f64(),
        cpu.as_secs_f64(),
        peak_kilobytes / 1_000
    );
    assert!(listed >= waiting, "only {listed} of {waiting} dead letters were listed");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_use_bounded_requests_and_memory_on_a_large_ledger() -> anyhow::Result<()> {
    let soak = Variables::read(&["SOAK"]).with_default("SOAK", "a multiplier of the number of items", 1_u64)?;
    let items = soak * 1_200;
    let dead_letters = items / ITEMS_PER_DEAD_LETTER;
    let late_employees = items / ITEMS_PER_LATE_EMPLOYEE;
    let bucket = Arc::new(Bucket::new(items)?);
    let url = bucket.serve().await?;
    let sqs = Sqs::start().await?;
    let dead_letter = |number: u64| {
        let body = json!({"v": 1, "run": bucket.run, "item": format!("WA-{}", number * ITEMS_PER_DEAD_LETTER), "archived_time": bucket.at});
        let word = |text: &str| text.to_owned();
        let attributes =
            [("stage", word("import")), ("reason", word("unmapped")), ("failed_at", bucket.at.to_string())];
        (body.to_string(), HashMap::from(attributes))
    };
    sqs.fill_dead_letters((0..dead_letters).map(dead_letter)).await?;
    let sqs_variables = sqs.variables();
    let mut variables = vec![
        ("AWS_ENDPOINT_URL", url.as_str()),
        ("AWS_ACCESS_KEY_ID", "operator"),
        ("AWS_SECRET_ACCESS_KEY", "operator"),
        ("AWS_REGION", "us-east-1"),
        ("BUCKET", "archive"),
    ];
    variables.extend(sqs_variables);

    // State, closures, incidents and the vendors' deliveries.
    const OTHERS: u64 = 12;
    for (arguments, max_requests, code) in [
        (&["dead-letters", "list", "--json"][..], 0, 0),
        // Each outcome is read once, those of dead letters twice, each page once, and a few other objects.
        (&["reconcile", "--from", FROM, "--to", TO, "--json"], items + dead_letters + bucket.pages() + OTHERS, 0),
        // The messages are read too, because they have the names of unmapped participants.
        (
            &["report", "--date", "2026-11-21", "--json"],
            items + dead_letters + late_employees + bucket.pages() + OTHERS,
            0,
        ),
        // Each outcome is read, and the messages with an unmapped participant. To file a copy, the outcome is read and
        // written again.
        (&["reconcile", "--unmapped", "--json"], items + late_employees + bucket.pages() + OTHERS, 1),
        (&["reconcile", "--unmapped", "--json", "--yes"], items + 3 * late_employees + bucket.pages() + OTHERS, 0),
    ] {
        let before = bucket.requests.load(Ordering::Relaxed);
        let mut command = Command::new(harness::binaries()?.join("archiver"));
        command.args(arguments).env_clear().envs(variables.iter().copied());
        let MeasuredCommand { output, peak_kilobytes, cpu, took } = run_measured(command).await?;
        let requests = bucket.requests.load(Ordering::Relaxed) - before;
        let stderr = String::from_utf8_lossy(&output.stderr);
        ensure!(stderr.is_empty() || arguments.contains(&"--unmapped"), "{stderr}");
        let printed = String::from_utf8(output.stdout)?;
        eprintln!(
            "{}: {items} items, {dead_letters} dead letters: {:.1} s, {:.1} s of CPU, {} MB, {requests} requests to S3",
            arguments.join(" "),
            took.as_secs_f64(),
            cpu.as_secs_f64(),
            peak_kilobytes / 1_000
        );
        assert_eq!(output.status.code(), Some(code), "{stderr}{}", printed.chars().take(2_000).collect::<String>());
        assert!(requests <= max_requests, "{requests} requests instead of {max_requests}");
        assert!(peak_kilobytes < MAX_KILOBYTES, "{peak_kilobytes} kB");
        match arguments[0] {
            "dead-letters" => assert_eq!(printed.lines().count() as u64, dead_letters),
            _ if arguments.contains(&"--unmapped") => {
                let found: serde_json::Value = serde_json::from_str(&printed)?;
                assert_eq!((found["examined"].as_u64(), found["items"].as_u64()), (Some(items), Some(late_employees)));
            }
            _ => {
                let printed: serde_json::Value = serde_json::from_str(&printed)?;
                let ledger = if arguments[0] == "report" { &printed["books"] } else { &printed };
                let counted =
                    (ledger["items"].as_u64(), ledger["filed"].as_u64(), ledger["waiting"]["unmapped"].as_u64());
                assert_eq!(counted, (Some(items), Some(items - dead_letters), Some(dead_letters)));
            }
        }
    }
    Ok(())
}
