//! An item whose error is repeated becomes a dead letter with the error's code; an outage of any length makes no dead
//! letter.

use anyhow::Context;
use graph_fake::{Fault, GraphFake, Kind, On, Refusal, User};
use harness::{ItemSource, MailSystem, Pipeline};
use jiff::Timestamp;
use local::sample_source::Sample;
use model::{Outcome, Reason, keys};
use serde_json::json;

const ADA: &str = "ada@example.com";
const BOB: &str = "bob@example.com";
/// Every participant with an address in this domain is expected to have a mailbox.
const TENANT_DOMAINS: (&str, &str) = ("TENANT_DOMAINS", "example.com");
/// Retries end after two seconds.
const SHORT_WAIT: (&str, &str) = ("RETRY_HOURS", "0.0005");

/// Returns texts from Ada to Bob, each with its id as the text.
fn sample(ids: &[&str]) -> anyhow::Result<Sample> {
    let people = json!({"ada": {"name": "Ada", "phone": "+4520123456", "email": ADA},
                        "bob": {"name": "Bob", "phone": "+4520123457", "email": BOB}});
    let item = |id: &&str| {
        json!({"expect": [ADA, BOB], "item": {
            "id": id, "messageId": id, "type": "text", "messageTime": "-PT3H", "archivedTime": "-PT2H",
            "chat": {"id": "chat", "type": "individual"}, "from": "@ada", "to": ["@bob"], "text": format!("text of {id}")}})
    };
    let items: Vec<_> = ids.iter().map(item).collect();
    Ok(Sample::written(&json!({"people": people, "items": items}).to_string(), Timestamp::now())?)
}

async fn start_graph() -> anyhow::Result<GraphFake> {
    let graph = GraphFake::start().await?;
    graph.add(User::new(ADA));
    graph.add(User::new(BOB));
    Ok(graph)
}

#[tokio::test]
async fn server_error_of_one_item_dead_letters_that_item_only() -> anyhow::Result<()> {
    let graph = start_graph().await?;
    let error = Fault::Refuse(Refusal::new(500, "ErrorInternalServerError"));
    graph.fault(On::kind(Kind::MessageCreate).containing("text of WA-rejected").times(usize::MAX), error);
    let sample = sample(&["WA-rejected", "good-1", "good-2"])?;
    let pipeline = Pipeline::start(ItemSource::Api(sample), MailSystem::Graph(&graph), &[SHORT_WAIT]).await?;
    pipeline.run(&Pipeline::timer()).await?;
    let [dead_letter] = &pipeline.dead_letters().await?[..] else {
        anyhow::bail!("there is not exactly one dead letter")
    };
    assert_eq!(dead_letter.attributes["reason"], Reason::MailboxRejected.as_str());
    let detail = &dead_letter.attributes["detail"];
    assert!(detail.contains("ErrorInternalServerError (HTTP 500)") && detail.contains("attempts"), "{detail}");
    assert_eq!((graph.visible(ADA).len(), graph.visible(BOB).len()), (2, 2), "another item was not filed");

    // A replay files it once the cause is fixed.
    graph.clear_faults();
    pipeline.send(&pipeline.machine.resources.import, &dead_letter.body).await?;
    pipeline.drain().await?;
    assert_eq!((graph.visible(ADA).len(), graph.visible(BOB).len()), (3, 3));
    Ok(())
}

#[tokio::test]
async fn server_error_of_every_item_dead_letters_none() -> anyhow::Result<()> {
    let graph = start_graph().await?;
    let error = Fault::Refuse(Refusal::new(500, "ErrorInternalServerError"));
    graph.fault(On::kind(Kind::MessageCreate).times(usize::MAX), error);
    let pipeline =
        Pipeline::start(ItemSource::Api(sample(&["WA-1", "WA-2"])?), MailSystem::Graph(&graph), &[SHORT_WAIT]).await?;
    pipeline.machine.fetch(&Pipeline::timer()).await?;
    // Far beyond the limit of two seconds and three attempts.
    pipeline.work_until_logged("\"receives\":6").await?;
    assert!(pipeline.dead_letters().await?.is_empty());
    graph.clear_faults();
    pipeline.drain().await?;
    assert!(pipeline.dead_letters().await?.is_empty());
    assert_eq!((graph.visible(ADA).len(), graph.visible(BOB).len()), (2, 2));
    Ok(())
}

#[tokio::test]
async fn failing_lookup_of_one_participant_dead_letters_with_its_code() -> anyhow::Result<()> {
    let graph = start_graph().await?;
    let error = Fault::Refuse(Refusal::new(503, "ErrorMailboxStoreUnavailable"));
    graph.fault(On::kind(Kind::UserByName).containing("bob").times(usize::MAX), error);
    let pipeline =
        Pipeline::start(ItemSource::Api(sample(&["WA-1"])?), MailSystem::Graph(&graph), &[TENANT_DOMAINS, SHORT_WAIT])
            .await?;
    pipeline.run(&Pipeline::timer()).await?;
    let [dead_letter] = &pipeline.dead_letters().await?[..] else {
        anyhow::bail!("there is not exactly one dead letter")
    };
    assert_eq!(dead_letter.attributes["reason"], Reason::LookupRejected.as_str());
    assert!(dead_letter.attributes["detail"].contains("ErrorMailboxStoreUnavailable"), "{dead_letter:?}");
    let object = pipeline.store.get(&keys::outcome(&"WA-1".parse::<model::ItemId>()?.key()), 1 << 20).await?;
    let outcome = Outcome::parse(&object.context("no outcome")?.bytes)?;
    assert_eq!((outcome.mailboxes.len(), outcome.missing.len()), (1, 1), "the item was not filed for Ada");
    Ok(())
}
