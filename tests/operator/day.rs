//! Runs each command of an operator with each of its exit codes once, on a deployment with dead letters and in the
//! usual order.

use std::path::PathBuf;

use harness::{FOLDER, ItemSource, MailSystem, Pipeline};
use jiff::{SignedDuration, Timestamp};
use local::{cloud::Step, sample_source::Sample};
use model::{ItemId, RunId, RunKind, RunRecord, Window, keys};
use serde_json::{Value, json};

use crate::{
    permissions::RecordedActions,
    transcript::{assert_transcript, run_archiver, run_archiver_with_reply},
};

const ADA: &str = "ada@example.com";
const BOB: &str = "bob@example.com";

/// Returns a text message to a recipient who has no mailbox.
fn text(id: &str, from: &str) -> Value {
    json!({"expect": "unmapped", "item": {
        "id": id, "messageId": id, "type": "text", "messageTime": "-PT3H", "archivedTime": "-PT2H",
        "chat": {"id": "chat", "type": "individual"}, "from": format!("@{from}"), "to": ["@eve"], "text": "x",
        "attachments": []}})
}

fn sample() -> Sample {
    let people = json!({"ada": {"phone": "+4520123456"}, "bob": {"phone": "+4520123457", "name": "Bob Hansen"},
                        "eve": {"phone": "+12025550143"}});
    let items = [text("of-ada", "ada"), text("of-bob", "bob"), text("of-bob-too", "bob")];
    Sample::written(&json!({"people": people, "items": items}).to_string(), Timestamp::now()).unwrap()
}

/// A deployment with the sample items of a day.
struct Day {
    pipeline: Pipeline,
    variables: Vec<(String, String)>,
    actions: RecordedActions,
}

impl Day {
    async fn start() -> Self {
        let mailboxes = [ADA, BOB].map(str::to_owned).to_vec();
        let pipeline = Pipeline::start(ItemSource::Api(sample()), MailSystem::Maildir(mailboxes), &[]).await.unwrap();
        let mut variables = pipeline.machine.variables(Step::Import);
        let convert = pipeline.machine.resources.convert.url.clone();
        variables
            .extend([("CONVERT_QUEUE_URL".to_owned(), convert), ("AWS_REGION".to_owned(), "us-east-1".to_owned())]);
        let endpoint = variables.iter_mut().rev().find(|(name, _)| name == "AWS_ENDPOINT_URL").unwrap();
        let actions = RecordedActions::start(&endpoint.1).await;
        actions.url().clone_into(&mut endpoint.1);
        Self { pipeline, variables, actions }
    }

    /// Compares the transcript of a command with the snapshot of this name, and its requests with PERMISSIONS.md.
    async fn check(&self, name: &str, arguments: &[&str]) {
        assert_transcript(name, &run_archiver(arguments, &self.variables()).await);
        self.actions.assert_documented(arguments);
    }

    /// Runs a command with a reply to its question.
    async fn check_with_reply(&self, name: &str, reply: &str, arguments: &[&str]) {
        assert_transcript(name, &run_archiver_with_reply(reply, arguments, &self.variables()).await);
        self.actions.assert_documented(arguments);
    }

    fn variables(&self) -> Vec<(&str, &str)> {
        self.variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
    }

    async fn put_user_map(&self, people: &[(&str, &str)]) {
        let rows: String = people.iter().map(|(number, address)| format!("{number},{address}\n")).collect();
        self.pipeline.put_user_map(&format!("Mobile number,E-mail address\n{rows}")).await.unwrap();
    }

    /// Stores the record of a run without items that has fetched these days to their end. Otherwise the reports would
    /// depend on the time of day: nothing of a day is fetched in its first minutes, and after midnight its last minutes
    /// are not.
    async fn put_run_of_the_whole_day(&self) {
        let (now, day) = (Timestamp::now(), SignedDuration::from_hours(24));
        let at = now - day * 3;
        let window = Window::between(at, now + day * 2).unwrap();
        let run = RunId::new(at, RunKind::Backfill, "seed");
        let record = RunRecord { complete: true, ended: Some(at), ..RunRecord::begun(run, window) };
        self.pipeline.put(&keys::run(&record.run), serde_json::to_vec(&record).unwrap()).await.unwrap();
    }

    /// Deletes the object of an item below a prefix.
    async fn delete_object(&self, prefix: &str, item: &str) {
        let name = format!("/{}.", item.parse::<ItemId>().unwrap().key());
        let mut found = Vec::new();
        let collect = |page: Vec<aws::s3::Listed>| {
            found.extend(page.into_iter().map(|listed| listed.key).filter(|key| key.contains(&name)));
            std::future::ready(Ok::<_, aws::s3::StoreError>(()))
        };
        self.pipeline.store.list(prefix, collect).await.unwrap();
        let s3 = aws_sdk_s3::Client::new(self.pipeline.machine.cloud.config());
        let bucket = &self.pipeline.machine.resources.bucket;
        s3.delete_object().bucket(bucket).key(found.pop().unwrap()).send().await.unwrap();
    }

    /// Returns the directory of a mailbox.
    fn mailbox_directory(&self, address: &str) -> PathBuf {
        let root = self.variables.iter().find(|(name, _)| name == "MAILDIR").unwrap();
        PathBuf::from(&root.1).join(address)
    }
}

/// Replaces values that differ by day and by machine.
fn settings() -> insta::Settings {
    let mut settings = insta::Settings::clone_current();
    for (pattern, name) in [
        (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "[TIME]"),
        (r"\d{4}-\d\d-\d\d", "[DATE]"),
        (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "[ID]"),
        (r"\d+ min ago", "[AGE]"),
        // In the first minutes of a day, the window of the run that lists the items ends on the day before.
        (r"windows of [12] runs", "windows of [RUNS] runs"),
        (r#""version":"[^"]+""#, r#""version":"[VERSION]""#),
        // The length of a time varies, and with it the padding of its cell.
        (r"(\[TIME\]|\[AGE\]\)) +│", "$1 │"),
    ] {
        settings.add_filter(pattern, name);
    }
    settings
}

#[tokio::test]
async fn operator_handles_a_day_with_dead_letters() {
    let _guard = settings().bind_to_scope();
    let day = Day::start().await;
    day.put_user_map(&[("+4520123456", ADA)]).await;
    let run = day.pipeline.machine.fetch(&Pipeline::timer()).await.unwrap().run;
    day.put_run_of_the_whole_day().await;
    let date = jiff::civil::Date::strptime("%Y%m%d", &run.as_str()[..8]).unwrap().to_string();
    let report = ["report", "--date", &date];

    // The items are listed and not processed yet.
    day.check("day-reconcile-undecided", &["reconcile"]).await;
    day.check("day-report-in-flight", &report).await;
    day.pipeline.drain().await.unwrap();
    day.check("day-status", &["status"]).await;
    day.check("day-report", &report).await;
    day.check("day-report-invalid-date", &["report", "--date", "yesterday"]).await;

    // Only one dead letter is listed at a time, because SQS does not define their order.
    day.check("day-list-counts", &["dead-letters", "list", "--limit", "0"]).await;
    day.check("day-list", &["dead-letters", "list", "--item", "of-bob"]).await;
    day.check("day-list-json", &["dead-letters", "list", "--item", "of-bob", "--json"]).await;
    day.check("day-list-unknown-reason", &["dead-letters", "list", "--reason", "lazy"]).await;
    day.check("day-show", &["dead-letters", "show", "of-bob"]).await;
    day.check("day-show-none", &["dead-letters", "show", "of-ada"]).await;

    check_mapping_commands(&day).await;

    day.check("day-replay-without-confirmation", &["dead-letters", "replay"]).await;
    day.check("day-replay-nothing", &["dead-letters", "replay", "--reason", "oversize", "--yes"]).await;
    let nothing = ["dead-letters", "replay", "--reason", "oversize", "--yes", "--json"];
    day.check("day-replay-nothing-json", &nothing).await;
    day.check_with_reply("day-replay-no", "n", &["dead-letters", "replay"]).await;
    day.check_with_reply("day-replay", "y", &["dead-letters", "replay", "--item", "of-bob"]).await;
    day.pipeline.drain().await.unwrap();
    // A message that names no stage cannot be replayed.
    day.pipeline.send(&day.pipeline.machine.resources.dead_letters, "hello").await.unwrap();
    day.check("day-replay-in-part", &["dead-letters", "replay", "--reason", "unknown", "--yes", "--json"]).await;
    day.check("day-discard-wrong-count", &["dead-letters", "discard", "--reason", "unknown", "--yes-discard", "2"])
        .await;
    day.check_with_reply("day-discard-no", "yes", &["dead-letters", "discard", "--item", "of-bob-too"]).await;
    day.check_with_reply("day-discard", "1", &["dead-letters", "discard", "--item", "of-bob-too"]).await;
    day.check(
        "day-discard-foreign",
        &["dead-letters", "discard", "--reason", "unknown", "--yes-discard", "1", "--json"],
    )
    .await;
    day.check("day-discard-nothing", &["dead-letters", "discard"]).await;
    day.check("day-reconcile", &["reconcile"]).await;

    // Checks of the mailboxes.
    day.check("day-reconcile-deep", &["reconcile", "--deep"]).await;
    let copy =
        std::fs::read_dir(day.mailbox_directory(BOB).join(FOLDER).join("cur")).unwrap().next().unwrap().unwrap().path();
    std::fs::remove_file(copy).unwrap();
    day.check("day-reconcile-copy-deleted", &["reconcile", "--deep"]).await;
    day.check("day-reconcile-copy-deleted-named", &["reconcile", "--deep", "--name-mailboxes"]).await;
    day.check("day-reconcile-copy-deleted-json", &["reconcile", "--deep", "--json"]).await;
    std::fs::remove_dir_all(day.mailbox_directory(BOB)).unwrap();
    day.check("day-reconcile-mailbox-gone", &["reconcile", "--deep"]).await;

    // An outcome and a stored message are deleted.
    day.delete_object("mime/", "of-bob").await;
    day.check("day-reconcile-message-gone", &["reconcile", "--deep"]).await;
    day.delete_object(keys::OUTCOMES, "of-ada").await;
    day.check("day-reconcile-missing", &["reconcile"]).await;
    day.check("day-report-missing", &report).await;
    day.check("day-requeue-without-confirmation", &["reconcile", "--requeue"]).await;
    day.check_with_reply("day-requeue-no", "n", &["reconcile", "--requeue"]).await;
    day.check("day-requeue", &["reconcile", "--requeue", "--yes"]).await;
    day.pipeline.drain().await.unwrap();
    day.check("day-reconcile-found-again", &["reconcile", "--json"]).await;
    day.actions.assert_recorded();
}

/// Runs the commands about the user map.
async fn check_mapping_commands(day: &Day) {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let file = directory.path().join(name);
        std::fs::write(&file, text).unwrap();
        file.to_str().unwrap().to_owned()
    };
    let good = file("people.csv", &format!("Mobile;Email\n+45 20 12 34 56;{ADA}\n+45 20 12 34 57;{BOB}\n"));
    let bad = file("bad.csv", &format!("Mobile;Email\n4.52E+09;{ADA}\n+45 20 12 34 57;bob\n"));
    day.check("day-mapping-check", &["mapping", "check", &good]).await;
    day.check("day-mapping-check-bad", &["mapping", "check", &bad]).await;
    day.check("day-mapping-check-json", &["mapping", "check", "--json", &bad]).await;
    day.check("day-mapping-check-no-file", &["mapping", "check", &format!("{good}.gone")]).await;
    day.check("day-mapping-upload-bad", &["mapping", "upload", "--yes", &bad]).await;
    day.check("day-mapping-upload-without-confirmation", &["mapping", "upload", &good]).await;
    day.check_with_reply("day-mapping-upload-no", "n", &["mapping", "upload", &good]).await;
    day.check("day-mapping-upload", &["mapping", "upload", "--yes", &good]).await;
    day.check("day-mapping-upload-again", &["mapping", "upload", "--yes", &good]).await;
    // The map that import used last has one number, the confirmed map has two, and the next map has none.
    let empty = file("empty.csv", "Mobile;Email\n");
    day.check("day-mapping-confirm", &["mapping", "confirm", "--yes"]).await;
    day.check("day-mapping-confirm-nothing", &["mapping", "confirm"]).await;
    day.check("day-mapping-upload-shrunk", &["mapping", "upload", "--yes", &empty]).await;
    day.check("day-mapping-upload-confirmed", &["mapping", "upload", "--yes", "--confirm-shrink", &empty]).await;
    day.check("day-mapping-upload-grown", &["mapping", "upload", "--yes", &good]).await;
    day.check("day-mapping-resolve", &["mapping", "resolve", "+45 20 12 34 57"]).await;
    day.check("day-mapping-resolve-unmapped", &["mapping", "resolve", "+45 20 12 34 58"]).await;
    day.check("day-mapping-resolve-json", &["mapping", "resolve", "--json", "eve@example.com"]).await;
}
