//! `archiver reconcile --unmapped`: employees who are added late get exactly the copies that they lack.

use std::path::Path;

use harness::{FOLDER, ItemSource, MailSystem, Pipeline};
use jiff::{SignedDuration, Timestamp};
use local::{cloud::Step, sample_source::Sample};
use model::{DeadLetterSource, ImportTask, ItemId, Lease, MissingReason, Outcome, Reason, Stage, TASK_VERSION, keys};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::transcript::run_archiver;

const ADA: &str = "ada@example.com";
const BOB: &str = "bob@example.com";
const CAT: &str = "cat@example.com";
const ITEMS: usize = 5;

/// A deployment with texts from Ada to Bob, who is not yet in the user map, and to a client.
struct Day {
    pipeline: Pipeline,
    mail: TempDir,
}

fn id(number: usize) -> ItemId {
    format!("WA-{number}").parse().unwrap()
}

impl Day {
    /// Starts a deployment and files the texts in Ada's mailbox.
    async fn start() -> Self {
        let people = json!({"ada": {"phone": "+4520123456"}, "bob": {"phone": "+4520123457"},
                            "client": {"phone": "+12025550143"}});
        let item = |number: usize| {
            json!({"expect": [ADA], "item": {
                "id": id(number), "messageId": id(number), "type": "text", "messageTime": "-PT3H", "archivedTime": "-PT2H",
                "chat": {"id": "chat", "type": "group"}, "from": "@ada", "to": ["@bob", "@client"], "text": "Hello."}})
        };
        let items: Vec<_> = (0..ITEMS).map(item).collect();
        let sample = Sample::written(&json!({"people": people, "items": items}).to_string(), Timestamp::now()).unwrap();
        let mail = TempDir::new().unwrap();
        for address in [ADA, BOB, CAT] {
            std::fs::create_dir(mail.path().join(address)).unwrap();
        }
        let maildir = mail.path().to_str().unwrap();
        let pipeline =
            Pipeline::start(ItemSource::Api(sample), MailSystem::Maildir(vec![]), &[("MAILDIR", maildir)]).await;
        let day = Self { pipeline: pipeline.unwrap(), mail };
        day.put_user_map(&[("+4520123456", ADA)]).await;
        day.pipeline.run(&Pipeline::timer()).await.unwrap();
        assert_eq!(day.count_copies(), [ITEMS, 0, 0]);
        day
    }

    async fn put_user_map(&self, people: &[(&str, &str)]) {
        let rows: String = people.iter().map(|(number, address)| format!("{number},{address}\n")).collect();
        self.pipeline.put_user_map(&format!("Mobile number,E-mail address\n{rows}")).await.unwrap();
    }

    fn count_copies_of(&self, address: &str) -> usize {
        let folder = self.mail.path().join(address).join(FOLDER).join("cur");
        std::fs::read_dir(folder).map_or(0, Iterator::count)
    }

    /// Returns the numbers of copies of Ada, Bob and Cat.
    fn count_copies(&self) -> [usize; 3] {
        [ADA, BOB, CAT].map(|address| self.count_copies_of(address))
    }

    /// Runs `archiver reconcile` with these arguments, and returns the exit code and the output.
    async fn reconcile(&self, arguments: &[&str]) -> (String, String) {
        let import = self.pipeline.machine.resources.import.url.clone();
        self.reconcile_with(&import, arguments).await
    }

    async fn reconcile_with(&self, import_queue: &str, arguments: &[&str]) -> (String, String) {
        let mut variables = self.pipeline.machine.variables(Step::Import);
        variables.retain(|(name, _)| name != "IMPORT_QUEUE_URL");
        let convert = self.pipeline.machine.resources.convert.url.clone();
        let queues =
            [("CONVERT_QUEUE_URL", convert.as_str()), ("IMPORT_QUEUE_URL", import_queue), ("AWS_REGION", "us-east-1")];
        let variables: Vec<_> =
            variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).chain(queues).collect();
        let output = run_archiver(&[&["reconcile"], arguments].concat(), &variables).await;
        let (text, code) = output.trim_end().rsplit_once("exit code ").unwrap();
        (code.to_owned(), text.to_owned())
    }

    /// Runs `--unmapped`. Returns the exit code, the number of items, and the whole JSON output.
    async fn reconcile_unmapped(&self, arguments: &[&str]) -> (String, u64, Value) {
        let (code, text) = self.reconcile(&[&["--unmapped", "--json"], arguments].concat()).await;
        let line = text.lines().find(|line| line.starts_with('{')).unwrap_or_else(|| panic!("{text}"));
        let found: Value = serde_json::from_str(line).unwrap();
        (code, found["items"].as_u64().unwrap(), found)
    }

    async fn read_outcome(&self, number: usize) -> Outcome {
        let object = self.pipeline.store.get(&keys::outcome(&id(number).key()), 1 << 20).await.unwrap().unwrap();
        Outcome::parse(&object.bytes).unwrap()
    }

    async fn put_outcome(&self, outcome: &Outcome) {
        self.pipeline.put(&keys::outcome(&outcome.item.key()), outcome.to_json()).await.unwrap();
    }
}

#[tokio::test]
async fn employee_added_late_gets_exactly_the_missing_copies() {
    let day = Day::start().await;
    assert_eq!(day.reconcile_unmapped(&["--yes"]).await.1, 0, "items were queued although no employee was added");
    day.put_user_map(&[("+4520123456", ADA), ("+4520123457", BOB)]).await;
    let (code, items, found) = day.reconcile_unmapped(&[]).await;
    assert_eq!(
        (code.as_str(), items, &found["copies"]),
        ("1", ITEMS as u64, &json!({BOB: ITEMS})),
        "the command without --yes did not report the missing copies"
    );
    day.pipeline.drain().await.unwrap();
    assert_eq!(day.count_copies(), [ITEMS, 0, 0], "copies were filed without --yes");

    // Ada has moved a copy out of the folder: the item counts as filed, and gets no second copy.
    let moved = std::fs::read_dir(day.mail.path().join(ADA).join(FOLDER).join("cur")).unwrap().next().unwrap().unwrap();
    std::fs::remove_file(moved.path()).unwrap();
    assert_eq!(day.reconcile_unmapped(&["--yes"]).await.0, "0");
    day.pipeline.drain().await.unwrap();
    assert_eq!(day.count_copies(), [ITEMS - 1, ITEMS, 0]);
    let outcome = day.read_outcome(0).await;
    assert!(
        outcome.is_complete() && outcome.unmapped == [2],
        "the client is not the only unmapped participant: {outcome:?}"
    );
    let (code, items, _) = day.reconcile_unmapped(&["--yes"]).await;
    assert_eq!((code.as_str(), items), ("0", 0), "the second command queued an item");
    assert_eq!(day.reconcile(&["--settled"]).await.0, "0");
}

/// The user map gets new addresses of the same mailboxes, and Bob.
#[tokio::test]
async fn renamed_addresses_in_the_map_make_no_second_copy() {
    let day = Day::start().await;
    std::os::unix::fs::symlink(Path::new(ADA), day.mail.path().join("ada@new.example")).unwrap();
    std::os::unix::fs::symlink(Path::new(BOB), day.mail.path().join("bob@new.example")).unwrap();
    std::fs::remove_dir_all(day.mail.path().join(ADA).join(FOLDER)).unwrap();
    day.put_user_map(&[("+4520123456", "ada@new.example"), ("+4520123457", "bob@new.example")]).await;
    assert_eq!(day.reconcile_unmapped(&["--yes"]).await.1, ITEMS as u64);
    day.pipeline.drain().await.unwrap();
    assert_eq!(day.count_copies(), [0, ITEMS, 0], "Ada's mailbox got another copy at its new address");
}

/// Ada's number was given to Cat, and the user map has no periods. The outcome of one item was written by an earlier release.
#[tokio::test]
async fn new_owner_of_a_number_gets_no_copy_of_earlier_items() {
    let day = Day::start().await;
    let mut earlier = day.read_outcome(0).await;
    earlier.identities.clear();
    earlier.mailboxes[0].participants.clear();
    day.put_outcome(&earlier).await;
    day.put_user_map(&[("+4520123456", CAT), ("+4520123457", BOB)]).await;
    let (_, _, found) = day.reconcile_unmapped(&["--yes"]).await;
    assert_eq!(found["copies"], json!({BOB: ITEMS}));
    day.pipeline.drain().await.unwrap();
    assert_eq!(day.count_copies(), [ITEMS, ITEMS, 0], "other copies were filed than the command showed");
    for number in 0..ITEMS {
        let outcome = day.read_outcome(number).await;
        assert!(outcome.is_complete() && outcome.unmapped == [2] && outcome.only.is_none(), "{outcome:?}");
    }
    let copies = std::fs::read_dir(day.mail.path().join(BOB).join(FOLDER).join("cur")).unwrap();
    let mut senders: Vec<_> = copies
        .map(|copy| {
            let copy = std::fs::read_to_string(copy.unwrap().path()).unwrap();
            copy.lines().find(|line| line.starts_with("From:")).unwrap().to_owned()
        })
        .collect();
    senders.sort();
    let (neutral, named) = senders.split_first().unwrap();
    assert!(neutral.contains("4520123456@whatsapp.invalid"), "Ada's mailbox is not recorded: {neutral}");
    assert!(named.iter().all(|sender| sender.contains(ADA)), "{named:?}");
}

/// The new employee's mailbox is missing until the item is a dead letter. The replay files nothing else either.
#[tokio::test]
async fn replay_of_a_remapped_item_files_only_the_missing_copy() {
    let day = Day::start().await;
    day.put_user_map(&[("+4520123456", CAT), ("+4520123457", BOB), ("+12025550143", CAT)]).await;
    let mut reopened = day.read_outcome(0).await;
    assert!(reopened.look_up_again(|place| place == 1, MissingReason::MappedLater, Timestamp::now()));
    let source =
        DeadLetterSource::new("m".to_owned(), reopened.run.clone().unwrap(), Timestamp::now(), Timestamp::now());
    reopened.dead_letter(Stage::Import, Reason::MailboxNotFound, source);
    day.put_outcome(&reopened).await;
    let (code, _, found) = day.reconcile_unmapped(&[]).await;
    assert_eq!(
        (code.as_str(), &found["dead_letters"], &found["copies"]),
        ("1", &json!(1), &json!({BOB: ITEMS - 1, CAT: ITEMS - 1}))
    );
    let task = ImportTask {
        v: TASK_VERSION,
        run: reopened.run.clone().unwrap(),
        item: id(0),
        archived_time: Timestamp::now(),
        key: id(0).key(),
        mime: reopened.mime.clone(),
        sha256: reopened.sha256.unwrap(),
        bytes: reopened.bytes.unwrap(),
        message_id: reopened.message_id.clone().unwrap(),
        message_time: None,
        participants: None,
        group: None,
    };
    let body = serde_json::to_string(&task).unwrap();
    day.pipeline.send(&day.pipeline.machine.resources.import, &body).await.unwrap();
    day.pipeline.drain().await.unwrap();
    assert_eq!(day.count_copies(), [ITEMS, 1, 0]);
    let outcome = day.read_outcome(0).await;
    assert!(outcome.is_complete() && outcome.unmapped == [2], "{outcome:?}");
}

/// The command fails after it has written the outcome and before it has sent the task.
#[tokio::test]
async fn interrupted_command_is_visible_and_completed_by_the_next() {
    let day = Day::start().await;
    day.put_user_map(&[("+4520123456", ADA), ("+4520123457", BOB)]).await;
    let missing_queue = format!("{}-gone", day.pipeline.machine.resources.import.url);
    let (code, text) = day.reconcile_with(&missing_queue, &["--unmapped", "--yes"]).await;
    assert_eq!(code, "1", "{text}");
    let outcome = day.read_outcome(0).await;
    assert_eq!(outcome.missing.first().map(|missing| missing.reason), Some(MissingReason::MappedLater));
    assert_eq!(day.reconcile(&["--settled"]).await.0, "1", "the interrupted items were not reported");
    let (code, items, _) = day.reconcile_unmapped(&["--yes"]).await;
    assert_eq!((code.as_str(), items), ("0", ITEMS as u64));
    day.pipeline.drain().await.unwrap();
    assert_eq!(day.count_copies(), [ITEMS, ITEMS, 0]);
    assert_eq!(day.reconcile(&["--settled"]).await.0, "0");
}

#[tokio::test]
async fn item_with_a_lease_is_not_changed() {
    let day = Day::start().await;
    day.put_user_map(&[("+4520123456", ADA), ("+4520123457", BOB)]).await;
    let mut leased = day.read_outcome(0).await;
    let until = Timestamp::now() + SignedDuration::from_hours(1);
    leased.lease = Some(Lease { holder: "another".to_owned(), until, waiting: false });
    day.put_outcome(&leased).await;
    let (code, items, found) = day.reconcile_unmapped(&["--yes"]).await;
    assert_eq!((code.as_str(), items, &found["in_flight"]), ("3", ITEMS as u64 - 1, &json!(1)));
    assert_eq!(day.read_outcome(0).await, leased);
}

/// Two operators run the command during a backfill.
#[tokio::test]
async fn concurrent_commands_and_imports_file_one_copy() {
    let day = Day::start().await;
    day.put_user_map(&[("+4520123456", ADA), ("+4520123457", BOB), ("+12025550143", CAT)]).await;
    let backfill = Pipeline::backfill();
    let (one, other, filed) = tokio::join!(
        day.reconcile(&["--unmapped", "--yes"]),
        day.reconcile(&["--unmapped", "--yes"]),
        day.pipeline.run(&backfill),
    );
    filed.unwrap();
    for (code, text) in [one, other] {
        assert!(["0", "3"].contains(&code.as_str()), "{code}: {text}");
    }
    // A command that left out items in flight reports that it must be run again.
    day.reconcile_unmapped(&["--yes"]).await;
    day.pipeline.drain().await.unwrap();
    assert_eq!(day.count_copies(), [ITEMS; 3]);
    assert!(day.pipeline.dead_letters().await.unwrap().is_empty());
}
