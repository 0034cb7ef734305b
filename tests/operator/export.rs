//! `archiver export` of the sample day: the exported items, the items that are left out, and interrupted and tampered
//! exports.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::{Command as Process, Output},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use harness::{
    ItemSource, MailSystem, Pipeline,
    fault_proxy::{ConnectionFault, FaultProxy},
};
use jiff::{SignedDuration, Timestamp};
use local::{
    cloud::Step,
    sample_source::{ExpectedResult, Sample, mailboxes, user_map},
};
use model::{ItemId, RunId, RunRecord, Window, keys};
use serde_json::{Value, json};
use tokio::{process::Command, sync::Notify};

use crate::transcript::archiver;

/// A deployment with the sample day, and a directory for its exports.
struct Archive {
    pipeline: Pipeline,
    items: Vec<Value>,
    expected: BTreeMap<ItemId, ExpectedResult>,
    from: Timestamp,
    to: Timestamp,
    directory: tempfile::TempDir,
}

impl Archive {
    /// Starts a deployment and files the sample day.
    async fn with_sample_day() -> Self {
        let archive = Self::before_first_run().await;
        archive.pipeline.run(&Pipeline::timer()).await.unwrap();
        archive
    }

    /// Starts a deployment whose first run has not begun.
    async fn before_first_run() -> Self {
        let now = Timestamp::now();
        let sample = Sample::written(&day_with_a_hidden_number(), now).unwrap();
        let (items, expected) = (sample.items().collect(), sample.expected_results().collect());
        let addresses = mailboxes().unwrap().iter().map(ToString::to_string).collect();
        let pipeline = Pipeline::start(ItemSource::Api(sample), MailSystem::Maildir(addresses), &[]).await.unwrap();
        pipeline.put_user_map(user_map()).await.unwrap();
        // The period is within the window of the run.
        let (from, to) = (now - SignedDuration::from_hours(23), now - SignedDuration::from_mins(10));
        Self { pipeline, items, expected, from, to, directory: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn command(&self, name: &str, arguments: &[&str]) -> Command {
        let convert = self.pipeline.machine.resources.convert.url.clone();
        let mut command = Command::new(archiver());
        command
            .args(["export", "--from", &self.from.to_string(), "--to", &self.to.to_string()])
            .args(arguments)
            .arg(self.path(name))
            .env_clear()
            .envs(self.pipeline.machine.variables(Step::Import))
            .envs([("CONVERT_QUEUE_URL", convert.as_str()), ("AWS_REGION", "us-east-1")])
            .kill_on_drop(true);
        command
    }

    /// Exports into a directory of this name.
    async fn export(&self, name: &str, arguments: &[&str]) -> Export {
        let output = self.command(name, arguments).output().await.unwrap();
        self.assert_no_confidential_words(&output, arguments);
        Export::read(&self.path(name), &output)
    }

    /// Asserts that the output and the file names contain no names, numbers, ids or texts. In the output, the arguments
    /// of the command are ignored.
    fn assert_no_confidential_words(&self, output: &Output, arguments: &[&str]) {
        let printed = format!("{}{}", text(&output.stdout), text(&output.stderr));
        let mut printed = if arguments.contains(&"--json") { String::new() } else { printed };
        for argument in arguments {
            printed = printed.replace(argument, "");
        }
        for entry in fs::read_dir(self.directory.path()).unwrap() {
            for file in fs::read_dir(entry.unwrap().path()).unwrap() {
                printed.push_str(&file.unwrap().file_name().to_string_lossy());
            }
        }
        for item in &self.items {
            let people = item["to"].as_array().into_iter().flatten().chain([&item["from"]]);
            let words = people.flat_map(|person| ["name", "phone", "email", "whatsappId"].map(|name| &person[name]));
            for word in words.chain([&item["text"], &item["chat"]["name"], &item["chat"]["id"], &item["id"]]) {
                let word = word.as_str().unwrap_or_default();
                assert!(word.len() < 5 || !printed.contains(word), "{word:?} is in the output: {printed}");
            }
        }
    }

    fn is_in_period(&self, item: &Value) -> bool {
        let time: Timestamp = item["messageTime"].as_str().unwrap().parse().unwrap();
        self.from <= time && time < self.to
    }

    fn ids_in_period(&self) -> BTreeSet<String> {
        self.items.iter().filter(|item| self.is_in_period(item)).map(id).collect()
    }
}

/// Files and output of an export.
struct Export {
    directory: PathBuf,
    code: i32,
    printed: String,
    manifest: Value,
}

impl Export {
    fn read(directory: &Path, output: &Output) -> Self {
        let manifest = fs::read(directory.join("export.json")).map(|json| serde_json::from_slice(&json).unwrap());
        Self {
            directory: directory.to_owned(),
            code: output.status.code().unwrap(),
            printed: format!("{}{}", text(&output.stdout), text(&output.stderr)),
            manifest: manifest.unwrap_or_default(),
        }
    }

    fn files(&self, extension: &str) -> Vec<PathBuf> {
        let mut files: Vec<_> = fs::read_dir(&self.directory).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.retain(|file| file.extension().is_some_and(|found| found == extension));
        files.sort();
        files
    }

    /// Returns the ids of the exported items as an independent Python program reads them. Asserts that it accepts the
    /// files as valid.
    fn ids(&self) -> Vec<String> {
        let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
        let files = self.files("rsmf");
        let python = tests.join("../.venv-deploy/bin/python");
        let output = Process::new(python).arg(tests.join("../shared/rsmf/tests/validate.py")).args(&files).output();
        let output = output.unwrap();
        let found: Vec<Value> = text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(found.len(), files.len(), "{}", text(&output.stderr));
        let mut ids = Vec::new();
        for (found, file) in found.iter().zip(self.manifest["files"].as_array().unwrap()) {
            assert_eq!(found["problems"], Value::Array(Vec::new()), "{found}");
            assert_eq!((&found["file"], &found["events"]), (&file["name"], &file["events"]));
            assert_eq!(found["attachments"], file["attachments"]);
            ids.extend(found["archive_ids"].as_array().unwrap().iter().map(|id| id.as_str().unwrap().to_owned()));
        }
        ids.sort();
        ids
    }

    /// Returns the items that are not exported according to the manifest, each with its reason.
    fn left_out(&self) -> BTreeMap<String, String> {
        let left_out = self.manifest["not_exported"].as_array().unwrap().iter();
        left_out.map(|item| (string_of(&item["item"]), string_of(&item["reason"]))).collect()
    }

    /// Asserts that `sha256sum` accepts the digests and that every other file has one.
    fn assert_digests(&self) {
        let mut check = Process::new("sha256sum");
        check.args(["--check", "--strict", "SHA256SUMS"]).current_dir(&self.directory);
        let checked = check.output().unwrap();
        assert!(checked.status.success(), "{}", text(&checked.stdout));
        let listed = fs::read_to_string(self.directory.join("SHA256SUMS")).unwrap().lines().count();
        assert_eq!(
            listed + 1,
            fs::read_dir(&self.directory).unwrap().count(),
            "a file is not in SHA256SUMS, or SHA256SUMS lists itself"
        );
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Returns the id of an item.
fn id(item: &Value) -> String {
    string_of(&item["id"])
}

/// The chat of two people, and the id under which they continue it.
const CHAT: &str = "33639980011@s.whatsapp.net";
const CONTINUED: &str = "FR.10000000000000001";

/// Returns the sample day, in which a person has hidden the phone number before one message.
fn day_with_a_hidden_number() -> String {
    let mut day: Value = serde_json::from_str(include_str!("../../infra/local/sample/items.json")).unwrap();
    let items = day["items"].as_array_mut().unwrap();
    let message = items.iter_mut().find(|entry| entry["item"]["text"] == "Whiteboard").unwrap();
    assert_eq!(message["item"]["chat"]["id"], CHAT);
    message["item"]["chat"]["id"] = CONTINUED.into();
    day.to_string()
}

fn string_of(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

#[tokio::test]
async fn exported_day_has_every_item_once_or_its_reason() {
    let archive = Archive::with_sample_day().await;
    let export = archive.export("all", &["--rsmf"]).await;
    assert_eq!(
        export.code, 3,
        "the exit code does not report the dead letters of convert, which have no message: {}",
        export.printed
    );
    export.assert_digests();
    let ids = export.ids();
    let exported: BTreeSet<String> = ids.iter().cloned().collect();
    assert_eq!(exported.len(), ids.len(), "an item is exported twice");
    let left_out = export.left_out();
    let in_period = archive.ids_in_period();
    for (item, expected) in &archive.expected {
        let item = item.as_str();
        let is_filed = matches!(expected, ExpectedResult::Filed(_));
        assert!(!is_filed || exported.contains(item) == in_period.contains(item), "{item}");
        assert!(!is_filed || !left_out.contains_key(item), "{item}");
        assert!(!in_period.contains(item) || exported.contains(item) != left_out.contains_key(item), "{item}");
    }
    assert!(exported.is_subset(&in_period) && exported.len() > 40, "{}", exported.len());
    assert!(!left_out.is_empty() && left_out.values().all(|reason| reason == "dead-letter"), "{left_out:?}");
    let counts = &export.manifest["counts"];
    assert_eq!(
        (counts["exported"].as_u64(), counts["not_exported"].as_u64()),
        (Some(exported.len() as u64), Some(left_out.len() as u64))
    );
    assert!(counts["folded"].as_u64() > Some(0) && counts["attachments"].as_u64() > Some(5), "{counts}");
    let items = fs::read_to_string(export.directory.join("items.csv")).unwrap();
    assert_eq!(items.lines().count(), 1 + exported.len());
    assert!(export.printed.contains(&format!("Exported items: {}", exported.len())), "{}", export.printed);

    // The same export again writes nothing, and another export into the same directory is rejected.
    let modified = |file: &PathBuf| fs::metadata(file).unwrap().modified().unwrap();
    let before: Vec<_> = export.files("rsmf").iter().map(modified).collect();
    let again = archive.export("all", &["--rsmf"]).await;
    assert!(again.code == 3 && again.printed.contains("nothing was written"), "{}", again.printed);
    assert_eq!(before, again.files("rsmf").iter().map(modified).collect::<Vec<_>>());
    let other = archive.export("all", &["--eml"]).await;
    assert!(other.code == 1 && other.printed.contains("contains another export"), "{}", other.printed);
    let none = archive.command("none", &[]).output().await.unwrap();
    assert_eq!(none.status.code(), Some(2), "the command accepted an export without a format");
    let backwards = ["export", "--rsmf", "--from", "2026-11-02", "--to", "2026-11-01", "backwards"];
    let backwards = Process::new(archiver()).args(backwards).current_dir(archive.directory.path()).output().unwrap();
    assert_eq!(backwards.status.code(), Some(2), "{}", text(&backwards.stderr));
    assert!(text(&backwards.stderr).contains("is not after --from"), "{}", text(&backwards.stderr));

    // The exported mails are the stored bytes.
    let mails = archive.export("mails", &["--eml", "--json"]).await;
    mails.assert_digests();
    let mut found = BTreeSet::new();
    for file in mails.files("zip") {
        let mut zip = zip::ZipArchive::new(fs::File::open(file).unwrap()).unwrap();
        for at in 0..zip.len() {
            let mut entry = zip.by_index(at).unwrap();
            let key = entry.name().unwrap().strip_suffix(".eml").unwrap().to_owned();
            let mut mail = Vec::new();
            std::io::Read::read_to_end(&mut entry, &mut mail).unwrap();
            let stored = archive.pipeline.store.get(&format!("mime/{key}.eml"), 64 << 20).await.unwrap().unwrap();
            assert!(mail == stored.bytes, "the exported mail differs from the stored one: {key}");
            found.insert(key);
        }
    }
    let expected: BTreeSet<_> = exported.iter().map(|id| id.parse::<ItemId>().unwrap().key().to_string()).collect();
    assert_eq!(found, expected);

    // Exports of one mailbox and of one chat.
    let (address, copies) = archive.pipeline.copies().unwrap().into_iter().max_by_key(|(_, copies)| *copies).unwrap();
    let mailbox = archive.export("mailbox", &["--rsmf", "--mailbox", &address]).await;
    let mailbox_ids: BTreeSet<String> = mailbox.ids().into_iter().collect();
    let is_filed_there = |id: &&String| match &archive.expected[&id.parse::<ItemId>().unwrap()] {
        ExpectedResult::Filed(mailboxes) => mailboxes.iter().any(|mailbox| mailbox.as_str() == address),
        ExpectedResult::DeadLetter(_) => false,
    };
    assert_eq!(mailbox_ids, exported.iter().filter(is_filed_there).cloned().collect::<BTreeSet<_>>());
    assert!(mailbox_ids.len() > 5 && mailbox_ids.len() <= copies, "{}", mailbox_ids.len());
    let group =
        archive.items.iter().find(|item| item["chat"]["type"] == "group" && archive.is_in_period(item)).unwrap();
    let chat = string_of(&group["chat"]["id"]);
    let chat_export = archive.export("chat", &["--rsmf", "--chat", &chat]).await;
    let expected: BTreeSet<_> =
        archive.items.iter().filter(|item| item["chat"]["id"] == chat.as_str()).map(id).collect();
    assert_eq!(chat_export.ids().into_iter().collect::<BTreeSet<_>>(), &expected & &exported);
    // Two people continue a chat under another id: half of it does not look whole.
    let half = archive.export("half", &["--rsmf", "--chat", CHAT]).await;
    assert_eq!((half.code, &half.manifest["related_chats"]), (3, &json!([CONTINUED])));
    assert!(half.printed.contains("also write in 1 other chats"), "{}", half.printed);
    let both = archive.export("both", &["--rsmf", "--chat", CHAT, "--chat", CONTINUED]).await;
    assert_eq!((both.ids().len(), &both.manifest["related_chats"]), (half.ids().len() + 1, &json!([])));
    let unknown = archive.export("unknown", &["--rsmf", "--chat", "wrong-id"]).await;
    assert!(unknown.printed.contains("No message of this chat is in the export: wrong-id"), "{}", unknown.printed);
}

/// A run lists items by their archived time, so a message of the period may be in a later window that was not fetched.
#[tokio::test]
async fn gap_after_the_period_makes_the_export_incomplete() {
    let archive = Archive::before_first_run().await;
    let hours = |hours| archive.to - SignedDuration::from_hours(hours);
    let put_run = async |name: &str, window: Window| {
        let run: RunId = format!("{}-daily-{name}", window.to.strftime("%Y%m%dT%H%M%SZ")).parse().unwrap();
        let record = RunRecord { complete: true, ended: Some(window.to), ..RunRecord::begun(run.clone(), window) };
        archive.pipeline.put(&keys::run(&run), serde_json::to_vec(&record).unwrap()).await.unwrap();
    };
    put_run("0badcafe", Window::between(archive.from, hours(15)).unwrap()).await;
    put_run("0badcaff", Window::between(hours(5), archive.to + SignedDuration::from_hours(1)).unwrap()).await;
    let archive = Archive { to: hours(20), ..archive };

    let export = archive.export("gap", &["--rsmf"]).await;
    assert_eq!(export.code, 1, "{}", export.printed);
    let not_fetched = export.manifest["not_fetched"].as_array().unwrap();
    assert!(matches!(&not_fetched[..], [gap] if gap.as_str().unwrap().starts_with("not fetched:")), "{not_fetched:?}");
    assert!(export.printed.contains("NOT COMPLETE"), "{}", export.printed);

    let before = (archive.to + SignedDuration::from_hours(1)).to_string();
    let export = archive.export("before", &["--rsmf", "--archived-before", &before]).await;
    assert_eq!(export.code, 0, "{}", export.printed);
}

#[tokio::test]
async fn tampered_and_missing_messages_are_reported() {
    let archive = Archive::with_sample_day().await;
    let complete = archive.export("complete", &["--rsmf"]).await;
    let ids = complete.ids();
    let key = |id: &str| id.parse::<ItemId>().unwrap().key();
    let (changed, missing) = (key(&ids[0]), key(&ids[1]));
    let stored = archive.pipeline.store.get(&keys::mime(&changed), 64 << 20).await.unwrap().unwrap();
    let mut bytes = stored.bytes.to_vec();
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    archive.pipeline.put(&keys::mime(&changed), bytes).await.unwrap();
    let s3 = aws_sdk_s3::Client::new(archive.pipeline.machine.cloud.config());
    let bucket = &archive.pipeline.machine.resources.bucket;
    s3.delete_object().bucket(bucket).key(keys::mime(&missing)).send().await.unwrap();

    let export = archive.export("tampered", &["--rsmf"]).await;
    assert_eq!(export.code, 1, "{}", export.printed);
    let reasons: BTreeMap<String, String> = export.manifest["not_exported"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| (string_of(&item["key"]), string_of(&item["reason"])))
        .collect();
    assert_eq!(reasons[changed.as_str()], "message-changed");
    assert_eq!(reasons[missing.as_str()], "message-missing");
    assert_eq!(export.ids().len() + 2, ids.len());
    assert!(export.printed.contains("NOT COMPLETE"), "{}", export.printed);
}

#[tokio::test]
async fn killed_export_is_resumed_and_has_the_same_bytes() {
    let archive = Archive::with_sample_day().await;
    let complete = archive.export("complete", &["--rsmf"]).await;
    // The second pass begins when the survey is written. The process is killed in it, before it has read 21 messages.
    let survey = archive.path("killed").join(".export/survey.json");
    let (reads, reached) = (Arc::new(AtomicU32::new(0)), Arc::new(Notify::new()));
    let (counted, notify) = (Arc::clone(&reads), Arc::clone(&reached));
    let proxy = FaultProxy::start(move |request| {
        let line = request.lines().next().unwrap_or_default();
        if !(line.starts_with("GET ") && line.contains("/mime/")) {
            return ConnectionFault::None;
        }
        if survey.exists() && counted.fetch_add(1, Ordering::SeqCst) >= 20 {
            notify.notify_one();
            return ConnectionFault::BeforeExecution;
        }
        ConnectionFault::None
    });
    let proxy = proxy.await.unwrap();
    let endpoint = archive.pipeline.machine.cloud.config().endpoint_url().unwrap().to_owned();
    let address = endpoint.trim_start_matches("http://").trim_end_matches('/').replace("localhost", "127.0.0.1");
    proxy.set_upstream(address.parse().unwrap());
    let mut child = archive.command("killed", &["--rsmf"]).env("AWS_ENDPOINT_URL", proxy.url()).spawn().unwrap();
    reached.notified().await;
    child.kill().await.unwrap();
    let directory = archive.path("killed");
    assert!(!directory.join("SHA256SUMS").exists(), "the killed export has its list of digests");
    let killed = Export { directory, code: 0, printed: String::new(), manifest: Value::Null };
    let finished = killed.files("rsmf");
    assert!(!finished.is_empty() && finished.len() < complete.files("rsmf").len(), "{}", finished.len());
    let modified = |file: &PathBuf| fs::metadata(file).unwrap().modified().unwrap();
    let before: Vec<_> = finished.iter().map(modified).collect();

    let survey = fs::read_to_string(archive.path("killed").join(".export/survey.json")).unwrap();
    let survey: Value = serde_json::from_str(survey.lines().next().unwrap()).unwrap();
    let other = archive.export("killed", &["--eml"]).await;
    assert!(other.code == 1 && other.printed.contains("not finished"), "{}", other.printed);
    let again = archive.export("killed", &["--rsmf"]).await;
    assert_eq!(again.code, complete.code, "{}", again.printed);
    again.assert_digests();
    assert_eq!(again.manifest["made_at"], survey["made_at"], "the export made a new survey");
    assert_eq!(before, finished.iter().map(modified).collect::<Vec<_>>(), "a finished file was written again");
    let bytes = |export: &Export| {
        let files = export.files("rsmf").into_iter();
        files.map(|file| (file.file_name().unwrap().to_owned(), fs::read(file).unwrap())).collect::<BTreeMap<_, _>>()
    };
    assert!(bytes(&complete) == bytes(&again), "the resumed export differs from the complete one");
    assert!(!again.directory.join(".export").exists(), "the working directory is left");

    // The digests reveal a changed file.
    let file = again.files("rsmf").pop().unwrap();
    fs::write(&file, b"changed").unwrap();
    let checked = Process::new("sha256sum").args(["-c", "SHA256SUMS"]).current_dir(&again.directory).output().unwrap();
    assert!(!checked.status.success(), "sha256sum accepted a changed file");
}
