//! A copy that an expected participant lacks is always visible to an operator.

use std::path::Path;

use anyhow::Context;
use graph_fake::{Fault, GraphFake, Kind, On, Refusal, User};
use harness::{FOLDER, ItemSource, MailSystem, Pipeline};
use jiff::Timestamp;
use local::{
    cloud::Step,
    event_source::{Batch, BatchResult, evaluate},
    sample_source::Sample,
};
use model::{ItemId, MissingReason, Outcome, Reason, keys};
use serde_json::{Value, json};

use crate::command_line::{archiver_command, run};

const ADA: &str = "ada@example.com";
const BOB: &str = "bob@example.com";
/// Every participant with an address in this domain is expected to have a mailbox.
const TENANT_DOMAINS: (&str, &str) = ("TENANT_DOMAINS", "example.com");
/// Retries end after two seconds.
const SHORT_WAIT: (&str, &str) = ("RETRY_HOURS", "0.0005");

/// Returns one text from Ada to Bob and to clients with these addresses.
fn sample(clients: &[&str]) -> anyhow::Result<Sample> {
    let mut people = json!({"ada": {"name": "Ada", "phone": "+4520123456", "email": ADA},
                            "bob": {"name": "Bob", "phone": "+4520123457", "email": BOB}});
    let mut to = vec!["@bob".to_owned()];
    for (index, address) in clients.iter().enumerate() {
        people[format!("p{index}")] = json!({"name": "Client", "email": address});
        to.push(format!("@p{index}"));
    }
    let item = json!({"id": "WA-1", "messageId": "WA-1", "type": "text", "messageTime": "-PT3H", "archivedTime": "-PT2H",
                      "chat": {"id": "chat", "type": "group"}, "from": "@ada", "to": to, "text": "Hello."});
    let items = json!([{"expect": [ADA, BOB], "item": item}]);
    Ok(Sample::written(&json!({"people": people, "items": items}).to_string(), Timestamp::now())?)
}

async fn read_outcome(pipeline: &Pipeline) -> anyhow::Result<Outcome> {
    let id: ItemId = "WA-1".parse()?;
    let object = pipeline.store.get(&keys::outcome(&id.key()), 1 << 20).await?.context("no outcome")?;
    Ok(Outcome::parse(&object.bytes)?)
}

fn count_copies(mail: &Path, address: &str) -> usize {
    std::fs::read_dir(mail.join(address).join(FOLDER).join("cur")).map_or(0, Iterator::count)
}

#[tokio::test]
async fn expected_mailbox_gets_its_copy_once_it_exists() -> anyhow::Result<()> {
    let mail = tempfile::tempdir()?;
    std::fs::create_dir(mail.path().join(ADA))?;
    let maildir = ("MAILDIR", mail.path().to_str().context("the path is not UTF-8")?);
    let pipeline =
        Pipeline::start(ItemSource::Api(sample(&[])?), MailSystem::Maildir(vec![]), &[maildir, TENANT_DOMAINS]).await?;
    pipeline.machine.fetch(&Pipeline::timer()).await?;
    pipeline.work_until_logged("\"MailboxMissing\":1").await?;
    let waiting = read_outcome(&pipeline).await?;
    assert_eq!(
        (count_copies(mail.path(), ADA), count_copies(mail.path(), BOB)),
        (1, 0),
        "Ada has no copy, or Bob has one without a mailbox"
    );
    assert_eq!(waiting.missing.first().map(|missing| missing.reason), Some(MissingReason::MailboxNotFound));
    assert!(!waiting.is_complete() && waiting.unmapped.is_empty());

    std::fs::create_dir(mail.path().join(BOB))?;
    pipeline.drain().await?;
    assert_eq!((count_copies(mail.path(), ADA), count_copies(mail.path(), BOB)), (1, 1));
    assert!(read_outcome(&pipeline).await?.is_complete() && pipeline.dead_letters().await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn missing_mailbox_dead_letters_and_replay_files_that_copy_only() -> anyhow::Result<()> {
    let mail = tempfile::tempdir()?;
    std::fs::create_dir(mail.path().join(ADA))?;
    let maildir = ("MAILDIR", mail.path().to_str().context("the path is not UTF-8")?);
    let variables = [maildir, TENANT_DOMAINS, SHORT_WAIT];
    let pipeline = Pipeline::start(ItemSource::Api(sample(&[])?), MailSystem::Maildir(vec![]), &variables).await?;
    pipeline.run(&Pipeline::timer()).await?;
    let dead_letters = pipeline.dead_letters().await?;
    assert_eq!(dead_letters.len(), 1);
    assert_eq!(dead_letters[0].attributes["reason"], Reason::MailboxNotFound.as_str());
    let incomplete = read_outcome(&pipeline).await?;
    assert_eq!(
        (incomplete.mailboxes.len(), incomplete.missing.len()),
        (1, 1),
        "the outcome does not record the participant without a copy"
    );
    let (code, shown, stderr) = run(archiver_command(&pipeline, &["dead-letters", "show", "WA-1"])?).await?;
    assert!(code == Some(0) && shown.contains("participant 2 (mailbox-not-found)"), "{shown}{stderr}");

    std::fs::create_dir(mail.path().join(BOB))?;
    // Ada has moved her copy: a lookup in the folder would not find it, and a second copy would be filed.
    std::fs::remove_dir_all(mail.path().join(ADA).join(FOLDER))?;
    pipeline.send(&pipeline.machine.resources.import, &dead_letters[0].body).await?;
    pipeline.drain().await?;
    assert_eq!((count_copies(mail.path(), ADA), count_copies(mail.path(), BOB)), (0, 1));
    assert!(read_outcome(&pipeline).await?.is_complete());
    Ok(())
}

#[tokio::test]
async fn rejected_lookup_blocks_no_copy_and_is_counted() -> anyhow::Result<()> {
    let graph = GraphFake::start().await?;
    graph.add(User::new(ADA));
    graph.add(User::new(BOB));
    // The client's address is not a user name, so the directory is searched for it.
    graph.fault(On::kind(Kind::UserSearch).times(usize::MAX), Fault::Refuse(Refusal::new(400, "Request_BadRequest")));
    let sample = ItemSource::Api(sample(&["sales#dk@client.example"])?);
    let pipeline = Pipeline::start(sample, MailSystem::Graph(&graph), &[TENANT_DOMAINS, SHORT_WAIT]).await?;
    pipeline.run(&Pipeline::timer()).await?;
    assert_eq!((graph.visible(ADA).len(), graph.visible(BOB).len()), (1, 1));
    let outcome = read_outcome(&pipeline).await?;
    assert!(outcome.is_complete(), "{outcome:?}");
    assert_eq!((outcome.unmapped.as_slice(), outcome.lookup_rejected.as_slice()), (&[2][..], &[2][..]));
    assert!(pipeline.dead_letters().await?.is_empty());
    assert!(pipeline.logs().contains("\"LookupRejected\":1"), "the log has no metric for the alarm lookup-rejected");
    Ok(())
}

/// While a mailbox is created or moved, Graph reports that its account has none.
#[tokio::test]
async fn single_report_of_no_mailbox_drops_no_participant() -> anyhow::Result<()> {
    const CATCH_ALL: &str = "catch-all@example.com";
    let graph = GraphFake::start().await?;
    for name in [ADA, BOB, CATCH_ALL] {
        graph.add(User::new(name));
    }
    let refused = Refusal::new(404, "MailboxNotEnabledForRESTAPI");
    graph.fault(On::kind(Kind::FolderSearch).times(2), Fault::Refuse(refused));
    let variables = [("CATCH_ALL_MAILBOX", CATCH_ALL)];
    let pipeline = Pipeline::start(ItemSource::Api(sample(&[])?), MailSystem::Graph(&graph), &variables).await?;
    pipeline.machine.fetch(&Pipeline::timer()).await?;
    pipeline.work_until_logged("an account has the address of a participant").await?;
    let waiting = read_outcome(&pipeline).await?;
    let reasons: Vec<_> = waiting.missing.iter().map(|missing| missing.reason).collect();
    assert_eq!(reasons, [MissingReason::MailboxUnconfirmed; 2]);
    assert!(!waiting.is_complete() && waiting.unmapped.is_empty());
    assert!(graph.visible(CATCH_ALL).is_empty(), "the chat is in the catch-all mailbox");
    Ok(())
}

/// A standard queue may deliver a message twice, even in one batch.
#[tokio::test]
async fn message_twice_in_a_batch_is_filed_once() -> anyhow::Result<()> {
    let graph = GraphFake::start().await?;
    graph.add(User::new(ADA));
    graph.add(User::new(BOB));
    let pipeline = Pipeline::start(ItemSource::Api(sample(&[])?), MailSystem::Graph(&graph), &[]).await?;
    pipeline.machine.fetch(&Pipeline::timer()).await?;
    let client = aws_sdk_sqs::Client::new(pipeline.machine.cloud.config());
    let resources = &pipeline.machine.resources;
    let convert = Batch::receive(&client, &resources.convert, 10, std::time::Duration::ZERO, std::time::Duration::ZERO);
    let convert = convert.await?.context("no task for convert")?;
    let response = pipeline.machine.function(Step::Convert).invoke(convert.event()).await?;
    convert.settle(&client, &resources.convert, &evaluate(&response, convert.ids())).await?;
    let import = Batch::receive(&client, &resources.import, 10, std::time::Duration::ZERO, std::time::Duration::ZERO);
    let import = import.await?.context("no task for import")?;
    let mut event: Value = serde_json::from_slice(&import.event())?;
    let mut duplicate = event["Records"][0].clone();
    duplicate["receiptHandle"] = json!("another delivery");
    event["Records"].as_array_mut().context("no records")?.push(duplicate);
    let response = pipeline.machine.function(Step::Import).invoke(event.to_string().into()).await?;
    assert!(matches!(evaluate(&response, import.ids()), BatchResult::Done(_)));
    assert_eq!((graph.visible(ADA).len(), graph.visible(BOB).len()), (1, 1));
    import.settle(&client, &resources.import, &evaluate(&response, import.ids())).await?;
    pipeline.drain().await?;
    assert_eq!((graph.visible(ADA).len(), graph.visible(BOB).len()), (1, 1));
    Ok(())
}

#[tokio::test]
async fn shrunk_or_missing_user_map_stops_imports_until_restored() -> anyhow::Result<()> {
    let user_map = format!("phone,email\n+4520123456,{ADA}\n+4520123457,{BOB}\n");
    let people = [ADA, BOB].map(str::to_owned).to_vec();
    let variables = [("AUTOMATIC_MAPPING", "false")];
    let pipeline = Pipeline::start(ItemSource::Api(sample(&[])?), MailSystem::Maildir(people), &variables).await?;
    pipeline.put_user_map(&user_map).await?;
    // Import records the map that it used last with every batch.
    pipeline.send(&pipeline.machine.resources.import, "{}").await?;
    pipeline.drain().await?;
    assert!(pipeline.store.get(keys::USER_MAP_RECORD, 1 << 20).await?.is_some());

    pipeline.put_user_map(&format!("phone,email\n+4520123456,{ADA}\n")).await?;
    pipeline.machine.fetch(&Pipeline::timer()).await?;
    pipeline.work_until_logged("the user map has 1 numbers and the last one that was used had 2").await?;
    let client = aws_sdk_s3::Client::new(pipeline.machine.cloud.config());
    client.delete_object().bucket(pipeline.store.bucket()).key(keys::USER_MAP).send().await?;
    pipeline.work_until_logged("the user map has 0 numbers and the last one that was used had 2").await?;
    assert!(pipeline.copies()?.is_empty(), "a copy was filed with a user map that may be truncated");
    assert!(pipeline.logs().contains("\"UserMapRefused\":1"), "the log has no metric for the alarm user-map-refused");

    pipeline.put_user_map(&user_map).await?;
    pipeline.drain().await?;
    assert_eq!(pipeline.copies()?.values().sum::<usize>(), 2);
    Ok(())
}
