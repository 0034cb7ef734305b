//! A day with letters in it, as an operator sees it: each command, and each of its exit codes, once. One deployment for
//! all of them, in the order in which somebody would go.

use std::path::PathBuf;

use harness::{FOLDER, From, Pipeline, To};
use jiff::Timestamp;
use local::{archive::Sample, cloud::Step};
use model::{ItemId, keys};
use serde_json::{Value, json};

use crate::transcript::{answered, assert_transcript, transcript};

const ADA: &str = "ada@example.com";
const BOB: &str = "bob@example.com";

/// Somebody's text, to somebody who has no mailbox.
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

struct Day {
    pipeline: Pipeline,
    variables: Vec<(String, String)>,
}

impl Day {
    async fn start() -> Self {
        let mailboxes = [ADA, BOB].map(str::to_owned).to_vec();
        let pipeline = Pipeline::start(From::Archive(sample()), To::Maildir(mailboxes), &[]).await.unwrap();
        let mut variables = pipeline.machine.variables(Step::Import);
        let convert = pipeline.machine.resources.convert.url.clone();
        variables
            .extend([("CONVERT_QUEUE_URL".to_owned(), convert), ("AWS_REGION".to_owned(), "us-east-1".to_owned())]);
        Self { pipeline, variables }
    }

    /// What the command says, under a name.
    async fn told(&self, name: &str, arguments: &[&str]) {
        assert_transcript(name, &transcript(arguments, &self.variables()).await);
    }

    /// The same where somebody answers its question.
    async fn answered(&self, name: &str, answer: &str, arguments: &[&str]) {
        assert_transcript(name, &answered(answer, arguments, &self.variables()).await);
    }

    fn variables(&self) -> Vec<(&str, &str)> {
        self.variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
    }

    async fn user_map(&self, people: &[(&str, &str)]) {
        let rows: String = people.iter().map(|(number, address)| format!("{number},{address}\n")).collect();
        self.pipeline.put_user_map(&format!("Mobile number,E-mail address\n{rows}")).await.unwrap();
    }

    async fn delete(&self, prefix: &str, item: &str) {
        let name = format!("/{}.", item.parse::<ItemId>().unwrap().key());
        let mut found = Vec::new();
        let look = |page: Vec<aws::s3::Listed>| {
            found.extend(page.into_iter().map(|listed| listed.key).filter(|key| key.contains(&name)));
            std::future::ready(Ok::<_, aws::s3::StoreError>(()))
        };
        self.pipeline.store.list(prefix, look).await.unwrap();
        let s3 = aws_sdk_s3::Client::new(self.pipeline.machine.cloud.config());
        let bucket = &self.pipeline.machine.resources.bucket;
        s3.delete_object().bucket(bucket).key(found.pop().unwrap()).send().await.unwrap();
    }

    fn mailbox(&self, address: &str) -> PathBuf {
        let root = self.variables.iter().find(|(name, _)| name == "MAILDIR").unwrap();
        PathBuf::from(&root.1).join(address)
    }
}

/// What differs from day to day and from machine to machine.
fn settings() -> insta::Settings {
    let mut settings = insta::Settings::clone_current();
    for (pattern, name) in [
        (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "[TIME]"),
        (r"\d{4}-\d\d-\d\d", "[DATE]"),
        (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "[ID]"),
        (r"\d+ min ago", "[AGE]"),
        (r#""version":"[^"]+""#, r#""version":"[VERSION]""#),
        // A time of day has as many digits as it needs, and its cell is filled up.
        (r"(\[TIME\]|\[AGE\]\)) +│", "$1 │"),
    ] {
        settings.add_filter(pattern, name);
    }
    settings
}

#[tokio::test]
async fn a_day_with_letters_in_it_from_the_first_look_to_the_proof() {
    let _guard = settings().bind_to_scope();
    let day = Day::start().await;
    day.user_map(&[("+4520123456", ADA)]).await;
    let run = day.pipeline.machine.fetch(&Pipeline::timer()).await.unwrap().run;
    let date = jiff::civil::Date::strptime("%Y%m%d", &run.as_str()[..8]).unwrap().to_string();
    let report = ["report", "--date", &date];

    // Listed, and nobody has worked yet.
    day.told("day-reconcile-undecided", &["reconcile"]).await;
    day.told("day-report-in-flight", &report).await;
    day.pipeline.drain().await.unwrap();
    day.told("day-status", &["status"]).await;
    day.told("day-report", &report).await;
    day.told("day-report-not-understood", &["report", "--date", "yesterday"]).await;

    // The letters, one at a time: their order is SQS's affair.
    day.told("day-list-counts", &["dead-letters", "list", "--limit", "0"]).await;
    day.told("day-list", &["dead-letters", "list", "--item", "of-bob"]).await;
    day.told("day-list-json", &["dead-letters", "list", "--item", "of-bob", "--json"]).await;
    day.told("day-list-no-such-reason", &["dead-letters", "list", "--reason", "lazy"]).await;
    day.told("day-show", &["dead-letters", "show", "of-bob"]).await;
    day.told("day-show-none", &["dead-letters", "show", "of-ada"]).await;

    mapping(&day).await;

    day.told("day-replay-not-asked", &["dead-letters", "replay"]).await;
    day.told("day-replay-nothing", &["dead-letters", "replay", "--reason", "oversize", "--yes"]).await;
    let nothing = ["dead-letters", "replay", "--reason", "oversize", "--yes", "--json"];
    day.told("day-replay-nothing-json", &nothing).await;
    day.answered("day-replay-no", "n", &["dead-letters", "replay"]).await;
    day.answered("day-replay", "y", &["dead-letters", "replay", "--item", "of-bob"]).await;
    day.pipeline.drain().await.unwrap();
    // What is no letter of ours has nowhere to go.
    day.pipeline.send(&day.pipeline.machine.resources.dead_letters, "hello").await.unwrap();
    day.told("day-replay-in-part", &["dead-letters", "replay", "--reason", "unknown", "--yes", "--json"]).await;
    day.told("day-discard-wrong-count", &["dead-letters", "discard", "--reason", "unknown", "--yes-discard", "2"])
        .await;
    day.answered("day-discard-no", "yes", &["dead-letters", "discard", "--item", "of-bob-too"]).await;
    day.answered("day-discard", "1", &["dead-letters", "discard", "--item", "of-bob-too"]).await;
    day.told(
        "day-discard-stranger",
        &["dead-letters", "discard", "--reason", "unknown", "--yes-discard", "1", "--json"],
    )
    .await;
    day.told("day-discard-nothing", &["dead-letters", "discard"]).await;
    day.told("day-reconcile", &["reconcile"]).await;

    // Into the mailboxes.
    day.told("day-reconcile-deep", &["reconcile", "--deep"]).await;
    let copy = std::fs::read_dir(day.mailbox(BOB).join(FOLDER).join("cur")).unwrap().next().unwrap().unwrap().path();
    std::fs::remove_file(copy).unwrap();
    day.told("day-reconcile-copy-deleted", &["reconcile", "--deep"]).await;
    day.told("day-reconcile-copy-deleted-named", &["reconcile", "--deep", "--name-mailboxes"]).await;
    day.told("day-reconcile-copy-deleted-json", &["reconcile", "--deep", "--json"]).await;
    std::fs::remove_dir_all(day.mailbox(BOB)).unwrap();
    day.told("day-reconcile-mailbox-gone", &["reconcile", "--deep"]).await;

    // Somebody takes an outcome and a message away.
    day.delete("mime/", "of-bob").await;
    day.told("day-reconcile-message-gone", &["reconcile", "--deep"]).await;
    day.delete(keys::OUTCOMES, "of-ada").await;
    day.told("day-reconcile-missing", &["reconcile"]).await;
    day.told("day-report-missing", &report).await;
    day.told("day-requeue-not-asked", &["reconcile", "--requeue"]).await;
    day.answered("day-requeue-no", "n", &["reconcile", "--requeue"]).await;
    day.told("day-requeue", &["reconcile", "--requeue", "--yes"]).await;
    day.pipeline.drain().await.unwrap();
    day.told("day-reconcile-found-again", &["reconcile", "--json"]).await;
}

async fn mapping(day: &Day) {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let file = directory.path().join(name);
        std::fs::write(&file, text).unwrap();
        file.to_str().unwrap().to_owned()
    };
    let good = file("people.csv", &format!("Mobile;Email\n+45 20 12 34 56;{ADA}\n+45 20 12 34 57;{BOB}\n"));
    let bad = file("bad.csv", &format!("Mobile;Email\n4.52E+09;{ADA}\n+45 20 12 34 57;bob\n"));
    day.told("day-mapping-check", &["mapping", "check", &good]).await;
    day.told("day-mapping-check-bad", &["mapping", "check", &bad]).await;
    day.told("day-mapping-check-json", &["mapping", "check", "--json", &bad]).await;
    day.told("day-mapping-check-no-file", &["mapping", "check", &format!("{good}.gone")]).await;
    day.told("day-mapping-upload-bad", &["mapping", "upload", "--yes", &bad]).await;
    day.told("day-mapping-upload-not-asked", &["mapping", "upload", &good]).await;
    day.answered("day-mapping-upload-no", "n", &["mapping", "upload", &good]).await;
    day.told("day-mapping-upload", &["mapping", "upload", "--yes", &good]).await;
    day.told("day-mapping-upload-again", &["mapping", "upload", "--yes", &good]).await;
    // Fewer numbers than the last map had that import used: that map has one, and the one that is confirmed has two.
    let empty = file("empty.csv", "Mobile;Email\n");
    day.told("day-mapping-confirm", &["mapping", "confirm", "--yes"]).await;
    day.told("day-mapping-confirm-nothing", &["mapping", "confirm"]).await;
    day.told("day-mapping-upload-shrunk", &["mapping", "upload", "--yes", &empty]).await;
    day.told("day-mapping-upload-confirmed", &["mapping", "upload", "--yes", "--confirm-shrink", &empty]).await;
    day.told("day-mapping-upload-grown", &["mapping", "upload", "--yes", &good]).await;
    day.told("day-mapping-resolve", &["mapping", "resolve", "+45 20 12 34 57"]).await;
    day.told("day-mapping-resolve-nobody", &["mapping", "resolve", "+45 20 12 34 58"]).await;
    day.told("day-mapping-resolve-json", &["mapping", "resolve", "--json", "eve@example.com"]).await;
}
