//! `archiver dead-letters`, run as a program against the whole pipeline.

use std::{
    collections::BTreeMap,
    process::{Output, Stdio},
    time::Duration,
};

use anyhow::Context;
use harness::{ItemSource, MailSystem, Pipeline, queue_messages};
use jiff::Timestamp;
use local::{
    cloud::{Queue, Step},
    event_source::{Depth, depth},
    ministack::Ministack,
    sample_source::Sample,
};
use model::{MessageGroup, Outcome};
use runtime::Variables;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Command,
};

const ADA: &str = "ada@example.com";
const BOB: &str = "bob@example.com";
const CAT: &str = "cat@example.com";

/// Returns a sample whose participants have no address, so that only the user map maps them to mailboxes.
fn sample(items: Vec<Value>) -> anyhow::Result<Sample> {
    let people = json!({"ada": {"phone": "+4520123456"}, "bob": {"phone": "+4520123457"}});
    Ok(Sample::written(&json!({"people": people, "items": items}).to_string(), Timestamp::now())?)
}

fn item(id: &str, attachments: Value) -> Value {
    let kind = if attachments.as_array().is_some_and(Vec::is_empty) { "text" } else { "document" };
    json!({"expect": "unmapped", "item": {
        "id": id, "messageId": id, "type": kind, "messageTime": "-PT3H", "archivedTime": "-PT2H",
        "chat": {"id": "chat", "type": "individual"}, "from": "@ada", "to": ["@bob"], "text": "x",
        "attachments": attachments}})
}

async fn start_pipeline(items: Vec<Value>) -> anyhow::Result<Pipeline> {
    let mailboxes = [ADA, BOB, CAT].map(str::to_owned).to_vec();
    Pipeline::start(ItemSource::Api(sample(items)?), MailSystem::Maildir(mailboxes), &[]).await
}

/// Returns the command with the variables of the deployment and without a terminal.
fn command(pipeline: &Pipeline, arguments: &[&str]) -> anyhow::Result<Command> {
    let test = std::env::current_exe()?;
    let binaries = test.ancestors().nth(2).unwrap_or(&test);
    let mut command = Command::new(binaries.join("archiver"));
    let (cloud, resources) = (&pipeline.machine.cloud, &pipeline.machine.resources);
    command
        .arg("dead-letters")
        .args(arguments)
        .env_clear()
        .env("AWS_REGION", Ministack::REGION)
        .envs(cloud.variables(Step::Convert, resources))
        .stdin(Stdio::null());
    Ok(command)
}

/// Runs the command. Returns its exit code, stdout and stderr.
pub(crate) async fn run(pipeline: &Pipeline, arguments: &[&str]) -> anyhow::Result<(i32, String, String)> {
    let Output { status, stdout, stderr } = command(pipeline, arguments)?.output().await?;
    Ok((status.code().unwrap_or(-1), String::from_utf8(stdout)?, String::from_utf8(stderr)?))
}

async fn read_depth(pipeline: &Pipeline, queue: &Queue) -> anyhow::Result<Depth> {
    Ok(depth(&pipeline.machine.cloud, queue).await?)
}

/// Returns the outcome of each item.
async fn read_outcomes(pipeline: &Pipeline) -> anyhow::Result<BTreeMap<String, Outcome>> {
    let mut keys = Vec::new();
    pipeline
        .store
        .list("outcomes/", |page| {
            keys.extend(page.into_iter().map(|listed| listed.key));
            async { anyhow::Ok(()) }
        })
        .await?;
    let mut outcomes = BTreeMap::new();
    for key in keys {
        let object = pipeline.store.get(&key, 1 << 20).await?.context("a listed outcome is missing")?;
        let outcome = Outcome::parse(&object.bytes)?;
        outcomes.insert(outcome.item.to_string(), outcome);
    }
    Ok(outcomes)
}

#[tokio::test]
async fn replay_files_only_the_missing_copy_after_mapping_a_user() -> anyhow::Result<()> {
    let pipeline = start_pipeline(vec![item("one", json!([])), item("two", json!([]))]).await?;
    pipeline.run(&Pipeline::timer()).await?;
    let dead_letters = &pipeline.machine.resources.dead_letters;

    let (code, list, stderr) = run(&pipeline, &["list", "--json", "--reason", "unmapped"]).await?;
    assert_eq!((code, stderr.as_str()), (0, ""));
    let listed: Vec<Value> = list.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    assert_eq!(listed.len(), 2);
    assert!(
        listed.iter().all(|dead_letter| dead_letter["stage"] == "import" && dead_letter["reason"] == "unmapped"),
        "{list}"
    );
    assert!(!list.contains("4520"), "the list contains the task of a dead letter");
    let waiting = Depth { visible: 2, in_flight: 0, delayed: 0 };
    assert_eq!(read_depth(&pipeline, dead_letters).await?, waiting, "the list made a message invisible");
    let (_, none, _) = run(&pipeline, &["list", "--older-than", "1h"]).await?;
    assert_eq!(none, "No dead letters.\n");
    let (code, shown, _) = run(&pipeline, &["show", "one", "--json"]).await?;
    assert_eq!((code, serde_json::from_str::<Value>(&shown)?["filed"].clone()), (0, json!([])));
    assert_eq!(run(&pipeline, &["show", "three"]).await?.0, 1);

    // Without a terminal for the confirmation, nothing is changed.
    let (code, _, stderr) = run(&pipeline, &["replay"]).await?;
    assert_eq!(code, 1, "{stderr}");
    assert!(stderr.contains("--yes"), "{stderr}");
    assert_eq!(read_depth(&pipeline, dead_letters).await?, waiting);

    pipeline.put_user_map(&format!("Mobile number,E-mail address\n+4520123456,{ADA}\n")).await?;
    let (code, done, stderr) = run(&pipeline, &["replay", "--item", "one", "--yes"]).await?;
    assert_eq!((code, done.as_str()), (0, "1 of 1 dead letters were replayed.\n"), "{stderr}");
    assert!(stderr.contains("unmapped") && stderr.contains("import"), "{stderr}");
    assert_eq!(read_depth(&pipeline, dead_letters).await?.visible, 1, "the other dead letter was replayed");
    let replayed = queue_messages(&pipeline.machine.cloud, &pipeline.machine.resources.import.url).await?;
    let group = MessageGroup::of_chat("chat").to_string();
    assert_eq!(replayed.iter().map(|task| task.group.as_ref()).collect::<Vec<_>>(), [Some(&group)]);
    pipeline.drain().await?;
    assert_eq!(pipeline.copies()?, BTreeMap::from([(ADA.to_owned(), 1)]));
    let after = read_outcomes(&pipeline).await?;
    assert!(after["one"].is_complete() && after["one"].dead_letter.is_none());
    assert!(!after["two"].is_complete());

    // The other dead letter is discarded: a wrong count changes nothing, and the right count keeps a copy.
    assert_eq!(run(&pipeline, &["discard", "--yes-discard", "2"]).await?.0, 4);
    assert_eq!(read_depth(&pipeline, dead_letters).await?.visible, 1);
    let (code, printed, stderr) = run(&pipeline, &["discard", "--yes-discard", "1", "--json"]).await?;
    assert_eq!(code, 0, "{stderr}");
    let printed: Value = serde_json::from_str(&printed)?;
    assert_eq!(printed["missing"], Value::Null, "the output names missing mailboxes, which are unknown");
    assert_eq!(read_depth(&pipeline, dead_letters).await?.total(), 0);
    let copy = pipeline.store.get(printed["copy"].as_str().unwrap(), 1 << 20).await?.unwrap();
    let copy: Value = serde_json::from_slice(&copy.bytes)?;
    assert_eq!((&copy["item"], &copy["attributes"]["reason"]), (&json!("two"), &json!("unmapped")));
    assert!(copy["body"].as_str().is_some_and(|body| body.contains("\"two\"")));
    Ok(())
}

#[tokio::test]
async fn output_escapes_bidi_and_control_characters() -> anyhow::Result<()> {
    let id = "\u{202E}fdp.exe\u{2066}";
    let pipeline = start_pipeline(vec![item(id, json!([]))]).await?;
    pipeline.run(&Pipeline::timer()).await?;
    for arguments in [&["list"][..], &["list", "--json"], &["show", id], &["show", id, "--json"]] {
        let (code, out, stderr) = run(&pipeline, arguments).await?;
        // The table of `list` names items by their keys.
        assert_eq!((code, out.contains("fdp.exe")), (0, arguments != ["list"]), "{arguments:?}: {out}{stderr}");
        assert!(!out.contains(['\u{202E}', '\u{2066}']), "{arguments:?}: {}", out.escape_unicode());
        if arguments.contains(&"--json") {
            assert_eq!(serde_json::from_str::<Value>(&out)?["item"], id, "the JSON has another id");
        }
    }
    let (code, printed, stderr) = run(&pipeline, &["discard", "--yes-discard", "1", "--json"]).await?;
    assert!(code == 0 && !printed.contains(['\u{202E}', '\u{2066}']), "{stderr}");
    Ok(())
}

/// An operator sends the body to the queue of the stage without attributes, as in the AWS console.
#[tokio::test]
async fn dead_letter_body_sent_by_hand_is_a_replay() -> anyhow::Result<()> {
    let pipeline = start_pipeline(vec![item("one", json!([]))]).await?;
    pipeline.run(&Pipeline::timer()).await?;
    let dead_letters = pipeline.dead_letters().await?;
    assert_eq!(dead_letters.len(), 1);
    pipeline.put_user_map(&format!("Mobile number,E-mail address\n+4520123456,{ADA}\n")).await?;

    // An item that a later run lists again waits for the operator, because its task belongs to another run.
    let task: Value = serde_json::from_str(&dead_letters[0].body)?;
    let mut listed_again = task.clone();
    listed_again["run"] = json!("20991122T070000Z-daily-1");
    let import = &pipeline.machine.resources.import;
    for (task, copies) in [(listed_again, 0), (task, 1)] {
        pipeline.send(import, &task.to_string()).await?;
        pipeline.drain().await?;
        assert_eq!(pipeline.copies()?.values().sum::<usize>(), copies, "{task}");
    }
    assert!(read_outcomes(&pipeline).await?["one"].is_complete());
    Ok(())
}

#[tokio::test]
async fn replay_accepts_an_oversize_item_up_to_the_given_size() -> anyhow::Result<()> {
    let file = json!([{"id": "a", "name": "a.bin", "contentType": "application/octet-stream",
                       "media": {"bytes": 11_000_000}}]);
    let pipeline = start_pipeline(vec![item("large", file)]).await?;
    pipeline.put_user_map(&format!("Mobile number,E-mail address\n+4520123456,{ADA}\n+4520123457,{BOB}\n")).await?;
    pipeline.run(&Pipeline::timer()).await?;
    assert_eq!(pipeline.copies()?, BTreeMap::new());

    // The given size is one byte too small, so the item becomes a dead letter again.
    let (code, done, stderr) = run(&pipeline, &["replay", "--yes", "--max-item-bytes", "11000000"]).await?;
    assert_eq!((code, done.as_str()), (0, "1 of 1 dead letters were replayed.\n"), "{stderr}");
    pipeline.drain().await?;
    assert_eq!(pipeline.copies()?, BTreeMap::new());
    assert_eq!(pipeline.dead_letters_by_reason().await?, BTreeMap::from([("oversize".to_owned(), 1)]));
    let (code, ..) = run(&pipeline, &["replay", "--yes", "--max-item-bytes", "999999999999"]).await?;
    assert_eq!(code, 2, "the command accepted a size above the limit");

    let (code, done, stderr) = run(&pipeline, &["replay", "--yes", "--max-item-bytes", "11000001", "--json"]).await?;
    let counts = json!({"replayed": 1, "sent_not_deleted": 0, "not_sent": 0, "not_found": 0});
    assert_eq!((code, serde_json::from_str(&done).ok()), (0, Some(counts)), "{stderr}");
    pipeline.drain().await?;
    assert_eq!(pipeline.copies()?, BTreeMap::from([(ADA.to_owned(), 1), (BOB.to_owned(), 1)]));
    let outcome = read_outcomes(&pipeline).await?.remove("large").unwrap();
    assert!(outcome.is_complete(), "{outcome:?}");
    assert_eq!(read_depth(&pipeline, &pipeline.machine.resources.dead_letters).await?.total(), 0);
    Ok(())
}

/// The operator's machine is stopped repeatedly during a replay.
#[tokio::test]
async fn killed_replays_lose_no_dead_letter_and_duplicate_none() -> anyhow::Result<()> {
    // SOAK=10 means a hundred kills and a thousand dead letters.
    let soak = Variables::read(&["SOAK"]).with_default("SOAK", "a multiplier of the number of items", 1_u64)?;
    let (total, kills) = (usize::try_from(soak * 100)?, soak * 10);
    let items = (0..total).map(|index| item(&format!("item-{index}"), json!([]))).collect();
    let pipeline = start_pipeline(items).await?;
    pipeline.run(&Pipeline::timer()).await?;
    let dead_letters = &pipeline.machine.resources.dead_letters;
    assert_eq!(read_depth(&pipeline, dead_letters).await?.total(), total as u64);
    pipeline.put_user_map(&format!("Mobile number,E-mail address\n+4520123456,{ADA}\n")).await?;

    // Ten dead letters are replayed every half second. At most ten are replayed between two kills, so some are left for
    // the last kill.
    let replay = ["replay", "--yes", "--hold", "1", "--rate", "20"];
    let mut killed_while_moving = 0;
    for kill in 0..kills {
        let before = read_depth(&pipeline, dead_letters).await?.total();
        assert!(before > 0, "no dead letter is left for kill {kill}");
        let mut command = command(&pipeline, &replay)?;
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true).spawn()?;
        // Of four kills, one happens while the command reads and plans, two shortly after it has begun to move dead letters,
        // and one as soon as it has moved some. The time of each is input of the test.
        let mut stderr = BufReader::new(child.stderr.take().context("no pipe")?).lines();
        if kill % 4 != 0 {
            while stderr.next_line().await?.is_some_and(|line| !line.contains("To be replayed")) {}
        }
        let after = match kill % 4 {
            0 => Duration::from_millis(100 + (kill * 457) % 1500),
            1 => {
                while read_depth(&pipeline, dead_letters).await?.total() == before && child.try_wait()?.is_none() {}
                Duration::ZERO
            }
            _ => Duration::from_millis((kill * 457) % 250),
        };
        if tokio::time::timeout(after, child.wait()).await.is_err() {
            child.kill().await?;
        }
        let left = read_depth(&pipeline, dead_letters).await?.total();
        let queued = read_depth(&pipeline, &pipeline.machine.resources.import).await?.total();
        assert!(left + queued >= total as u64, "{left} dead letters and {queued} tasks of {total}");
        killed_while_moving += u64::from(left < before && left > 0);
    }
    assert!(killed_while_moving > 0, "no replay was killed while it moved dead letters");
    while read_depth(&pipeline, dead_letters).await?.total() > 0 {
        run(&pipeline, &["replay", "--yes", "--hold", "1"]).await?;
    }
    pipeline.drain().await?;
    assert_eq!(pipeline.copies()?, BTreeMap::from([(ADA.to_owned(), total)]));
    let outcomes = read_outcomes(&pipeline).await?;
    assert_eq!(outcomes.len(), total);
    assert!(outcomes.values().all(Outcome::is_complete));
    assert_eq!(read_depth(&pipeline, dead_letters).await?.total(), 0);
    Ok(())
}

#[tokio::test]
async fn help_and_missing_deployment_of_dead_letters_are_explained() -> anyhow::Result<()> {
    let test = std::env::current_exe()?;
    let binaries = test.ancestors().nth(2).unwrap_or(&test);
    let mut command = Command::new(binaries.join("archiver"));
    let help = command.args(["dead-letters", "replay", "--help"]).env_clear().env("COLUMNS", "200").output().await?;
    let text = String::from_utf8(help.stdout)?;
    assert_eq!(help.status.code(), Some(0));
    for output in
        ["--reason", "--max-item-bytes", "--rate", "--local", "Examples:", "Exit code: 0 done", "3 partly done"]
    {
        assert!(text.contains(output), "{output} is not in\n{text}");
    }
    let mut command = Command::new(binaries.join("archiver"));
    let without_deployment = command.args(["dead-letters", "list"]).env_clear().output().await?;
    let stderr = String::from_utf8(without_deployment.stderr)?;
    assert_eq!(without_deployment.status.code(), Some(1));
    assert!(stderr.contains("no deployment is named") && stderr.contains("--local"), "{stderr}");
    Ok(())
}
