//! An item is identified by its id: another date in the source's list, or keys of release 0.1, causes no second copy.

use std::collections::BTreeMap;

use anyhow::Context;
use archiver::{
    commands::reconcile::{Reconciled, Scope},
    connection::Connection,
};
use aws::s3::{Condition, Put};
use graph_fake::{Fault, GraphFake, Kind, On, Refusal, User};
use harness::{FOLDER, ItemSource, MailSystem, Pipeline};
use jiff::{SignedDuration, Timestamp};
use local::{cloud::Step, sample_source::Sample};
use model::{DeadLetterSource, DeadLettered, FailedMailbox, ItemId, Outcome, Reason, Sha256, Stage, keys};
use serde_json::{Value, json};

const ADA: &str = "ada@example.com";
const BOB: &str = "bob@example.com";

fn sample() -> anyhow::Result<Sample> {
    let people = json!({"ada": {"name": "Ada", "phone": "+4520123456", "email": ADA},
                        "bob": {"name": "Bob", "phone": "+4520123457", "email": BOB}});
    let item = json!({"id": "WA-1", "messageId": "WA-1", "type": "text", "messageTime": "-PT3H", "archivedTime": "-PT2H",
                      "chat": {"id": "chat", "type": "individual"}, "from": "@ada", "to": ["@bob"], "text": "Hello."});
    let items = json!([{"expect": [ADA, BOB], "item": item}]);
    Ok(Sample::written(&json!({"people": people, "items": items}).to_string(), Timestamp::now())?)
}

/// Starts a mail system that does not reject a second copy of a message.
async fn start_graph() -> anyhow::Result<GraphFake> {
    let graph = GraphFake::start().await?;
    graph.add(User::new(ADA));
    graph.add(User::new(BOB));
    Ok(graph)
}

fn count_copies(graph: &GraphFake) -> (usize, usize) {
    (graph.visible(ADA).len(), graph.visible(BOB).len())
}

fn id() -> ItemId {
    "WA-1".parse().expect("the id is invalid")
}

/// Returns the source's archived time of the item.
fn archived_time(pipeline: &Pipeline) -> anyhow::Result<Timestamp> {
    let source = pipeline.source.as_ref().context("no source")?;
    let item = source.sample().items().next().context("no item")?;
    Ok(item["archivedTime"].as_str().unwrap_or_default().parse()?)
}

/// Returns the keys of the outcome and the message in release 0.1.
fn dated_keys(pipeline: &Pipeline) -> anyhow::Result<(String, String)> {
    let (date, key) = (archived_time(pipeline)?.strftime("%F"), id().key());
    Ok((format!("outcomes/{date}/{key}.json"), format!("mime/{date}/{key}.eml")))
}

async fn read_outcome(pipeline: &Pipeline, key: &str) -> anyhow::Result<Option<Outcome>> {
    let object = pipeline.store.get(key, 1 << 20).await?;
    Ok(object.map(|object| Outcome::parse(&object.bytes)).transpose()?)
}

pub(crate) async fn delete(pipeline: &Pipeline, key: &str) -> anyhow::Result<()> {
    let client = aws_sdk_s3::Client::new(pipeline.machine.cloud.config());
    client.delete_object().bucket(pipeline.store.bucket()).key(key).send().await?;
    Ok(())
}

/// Moves outcome and message to the keys of release 0.1, with a changed outcome.
async fn move_to_dated_keys(pipeline: &Pipeline, change: impl FnOnce(&mut Outcome)) -> anyhow::Result<Sha256> {
    let (outcome_key, mime_key) = dated_keys(pipeline)?;
    let mut outcome = read_outcome(pipeline, &keys::outcome(&id().key())).await?.context("no outcome")?;
    let message = pipeline.store.get(&keys::mime(&id().key()), 1 << 20).await?.context("no message")?.bytes;
    let sha256 = Sha256::of(&message);
    let put = Put { key: &mime_key, bytes: message, content_type: "message/rfc822", sha256: Some(sha256) };
    pipeline.store.put(put, Condition::Absent).await?;
    outcome.mime = Some(mime_key);
    change(&mut outcome);
    pipeline.put(&outcome_key, outcome.to_json()).await?;
    for key in [keys::outcome(&id().key()), keys::mime(&id().key())] {
        delete(pipeline, &key).await?;
    }
    Ok(sha256)
}

/// Files the item as release 0.1 did. Returns the key of the outcome, and the outcome.
async fn file_as_release_0_1(graph: &GraphFake) -> anyhow::Result<(Pipeline, String, Outcome)> {
    let pipeline = Pipeline::start(ItemSource::Api(sample()?), MailSystem::Graph(graph), &[]).await?;
    pipeline.run(&Pipeline::timer()).await?;
    move_to_dated_keys(&pipeline, |_| {}).await?;
    let (outcome_key, _) = dated_keys(&pipeline)?;
    let before = read_outcome(&pipeline, &outcome_key).await?.context("no outcome")?;
    Ok((pipeline, outcome_key, before))
}

fn convert_task(archived_time: Timestamp) -> String {
    json!({"v": 1, "run": "another", "item": id(), "archived_time": archived_time}).to_string()
}

fn import_task(archived_time: Timestamp, outcome: &Outcome) -> Value {
    json!({"v": 1, "run": "another", "item": id(), "key": id().key(), "archived_time": archived_time,
           "sha256": outcome.sha256, "bytes": outcome.bytes, "message_id": outcome.message_id,
           "participants": [{"name": "Ada", "phone": "+4520123456", "email": ADA},
                            {"name": "Bob", "phone": "+4520123457", "email": BOB}]})
}

async fn reconcile(pipeline: &Pipeline) -> anyhow::Result<Reconciled> {
    let day = SignedDuration::from_hours(24);
    let (from, to) = (Timestamp::now() - day, Timestamp::now() + day);
    let scope = Scope { from: Some(from), to: Some(to), options: "", deep: None, queueing: SignedDuration::ZERO };
    Ok(Reconciled::of(&Connection::to_machine(&pipeline.machine), scope, |_, _| {}).await?)
}

#[tokio::test]
async fn id_listed_under_two_dates_is_filed_once() -> anyhow::Result<()> {
    let graph = start_graph().await?;
    let pipeline = Pipeline::start(ItemSource::Api(sample()?), MailSystem::Graph(&graph), &[]).await?;
    pipeline.run(&Pipeline::timer()).await?;
    let archived = archived_time(&pipeline)?;
    for days in [-1, 1, 400] {
        let task = convert_task(archived + SignedDuration::from_hours(24 * days));
        pipeline.send(&pipeline.machine.resources.convert, &task).await?;
    }
    pipeline.drain().await?;
    // Only import runs: its tasks may have been queued before the first one was processed.
    let outcome = read_outcome(&pipeline, &keys::outcome(&id().key())).await?.context("no outcome")?;
    let mut task = import_task(archived + SignedDuration::from_hours(24), &outcome);
    task["mime"] = json!(outcome.mime);
    pipeline.send(&pipeline.machine.resources.import, &task.to_string()).await?;
    pipeline.drain().await?;
    assert_eq!(count_copies(&graph), (1, 1));
    assert_eq!(pipeline.dead_letters_by_reason().await?, BTreeMap::new());
    Ok(())
}

#[tokio::test]
async fn dated_outcome_is_used_by_convert_import_and_reconcile() -> anyhow::Result<()> {
    let graph = start_graph().await?;
    let (pipeline, outcome_key, before) = file_as_release_0_1(&graph).await?;

    pipeline.run(&Pipeline::backfill()).await?;
    let task = import_task(archived_time(&pipeline)?, &before);
    pipeline.send(&pipeline.machine.resources.import, &task.to_string()).await?;
    pipeline.drain().await?;
    assert_eq!(count_copies(&graph), (1, 1));
    assert_eq!(read_outcome(&pipeline, &outcome_key).await?, Some(before));
    assert_eq!(read_outcome(&pipeline, &keys::outcome(&id().key())).await?, None, "a second outcome was written");
    let reconciled = reconcile(&pipeline).await?;
    assert_eq!((reconciled.items, reconciled.filed, reconciled.missing.len()), (1, 1, 0), "{reconciled:?}");
    Ok(())
}

/// An operator replays the dead letter twice while a backfill lists the item again, under another date too.
#[tokio::test]
async fn concurrent_replays_and_backfills_file_one_copy() -> anyhow::Result<()> {
    let graph = start_graph().await?;
    let rejected = Fault::Refuse(Refusal::new(400, "ErrorMessageSizeExceeded"));
    graph.fault(On::kind(Kind::MessageCreate).times(2), rejected);
    let pipeline = Pipeline::start(ItemSource::Api(sample()?), MailSystem::Graph(&graph), &[]).await?;
    pipeline.run(&Pipeline::timer()).await?;
    let dead_letters = pipeline.dead_letters().await?;
    assert_eq!((dead_letters.len(), count_copies(&graph)), (1, (0, 0)));
    let tomorrow = convert_task(archived_time(&pipeline)? + SignedDuration::from_hours(24));
    for _ in 0..2 {
        pipeline.send(&pipeline.machine.resources.import, &dead_letters[0].body).await?;
        pipeline.send(&pipeline.machine.resources.convert, &tomorrow).await?;
    }
    pipeline.run(&Pipeline::backfill()).await?;
    assert_eq!(count_copies(&graph), (1, 1));
    let after = read_outcome(&pipeline, &keys::outcome(&id().key())).await?.context("no outcome")?;
    assert!(after.is_complete() && after.dead_letter.is_none(), "{after:?}");
    Ok(())
}

/// `archiver migrate` closes the gap that release 0.1 leaves: its outcomes are found by date only.
#[tokio::test]
async fn migrated_outcome_counts_under_every_date() -> anyhow::Result<()> {
    let graph = start_graph().await?;
    let (pipeline, outcome_key, before) = file_as_release_0_1(&graph).await?;
    let migrate = async || -> anyhow::Result<Value> {
        let mut command = tokio::process::Command::new(harness::binaries()?.join("archiver"));
        command.args(["migrate", "--json"]).env_clear().env("AWS_REGION", "us-east-1");
        command.envs(pipeline.machine.cloud.variables(Step::Convert, &pipeline.machine.resources));
        let output = command.output().await?;
        serde_json::from_slice(&output.stdout).context(String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let counts = |migrated: u64, kept: u64| json!({"dated": 1, "migrated": migrated, "kept": kept, "several_dates": 0});
    assert_eq!((migrate().await?, migrate().await?), (counts(1, 0), counts(0, 1)));
    assert_eq!(read_outcome(&pipeline, &keys::outcome(&id().key())).await?, Some(before.clone()));
    assert_eq!(read_outcome(&pipeline, &outcome_key).await?, Some(before));

    // The owner has moved the copy, so that no lookup would find it. The item is listed under another date.
    graph.remove_folder(ADA, FOLDER);
    let task = convert_task(archived_time(&pipeline)? + SignedDuration::from_hours(24 * 3));
    pipeline.send(&pipeline.machine.resources.convert, &task).await?;
    pipeline.drain().await?;
    assert_eq!(count_copies(&graph), (0, 1), "the item was filed twice when the source changed its date");
    Ok(())
}

#[tokio::test]
async fn incomplete_dated_outcome_is_completed_from_dated_message() -> anyhow::Result<()> {
    let graph = start_graph().await?;
    let pipeline = Pipeline::start(ItemSource::Api(sample()?), MailSystem::Graph(&graph), &[]).await?;
    pipeline.run(&Pipeline::timer()).await?;
    let mailbox_full = |outcome: &mut Outcome| {
        outcome.mailboxes.retain(|filed| filed.address.as_str() != BOB);
        let address = BOB.parse().expect("the address is invalid");
        outcome.failed.push(FailedMailbox {
            address,
            reason: Reason::MailboxFull,
            since: None,
            checks: 0,
            last_check: None,
        });
        outcome.dead_letter = Some(DeadLettered { stage: Stage::Import, reason: Reason::MailboxFull });
        let run = "another".parse().expect("the run is invalid");
        outcome.dead_letter_source = Some(DeadLetterSource {
            message: "earlier".to_owned(),
            run,
            archived_time: None,
            at: Timestamp::UNIX_EPOCH,
        });
    };
    let sha256 = move_to_dated_keys(&pipeline, mailbox_full).await?;
    let (outcome_key, mime_key) = dated_keys(&pipeline)?;
    let before = read_outcome(&pipeline, &outcome_key).await?.context("no outcome")?;
    // A replayed dead letter of release 0.1, which does not contain the message's key.
    pipeline
        .send(&pipeline.machine.resources.import, &import_task(archived_time(&pipeline)?, &before).to_string())
        .await?;
    pipeline.drain().await?;
    let after = read_outcome(&pipeline, &keys::outcome(&id().key())).await?.context("no new outcome")?;
    assert!(after.is_complete(), "{after:?}");
    assert_eq!((after.mime, after.sha256), (Some(mime_key.clone()), Some(sha256)));
    let addresses: Vec<_> = after.mailboxes.iter().map(|filed| filed.address.as_str()).collect();
    assert_eq!(addresses, [ADA, BOB]);
    assert_eq!(graph.visible(ADA).len(), 1, "a mailbox with a copy got a second one");

    // Convert keeps the first rendering under either key.
    delete(&pipeline, &keys::outcome(&id().key())).await?;
    delete(&pipeline, &outcome_key).await?;
    pipeline.send(&pipeline.machine.resources.convert, &convert_task(archived_time(&pipeline)?)).await?;
    pipeline.drain().await?;
    let again = read_outcome(&pipeline, &keys::outcome(&id().key())).await?.context("no outcome")?;
    assert_eq!((again.mime, again.sha256), (Some(mime_key), Some(sha256)));
    Ok(())
}
