//! An item waits as long as a copy with unknown outcome may still appear.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use anyhow::Context;
use aws_sdk_sqs::Client;
use graph_fake::{Fault, Gate, GraphFake, Kind, On, Refusal, User};
use harness::{
    ItemSource, MailSystem, Pipeline,
    fault_proxy::{ConnectionFault, FaultProxy},
};
use jiff::{SignedDuration, Timestamp};
use local::{
    cloud::Step,
    event_source::{Batch, BatchResult, evaluate},
    sample_source::Sample,
};
use model::{Outcome, keys};
use serde_json::json;

use crate::expectations::{self, SHORT};

/// Wait for a copy with unknown outcome in the tests.
const SETTLE_TIME: SignedDuration = SignedDuration::from_secs(12);

/// Runs convert until import has a task, and receives a batch for import. On a busy machine convert may reach its deadline;
/// then its tasks are redelivered.
pub(crate) async fn receive_import_batch(pipeline: &Pipeline) -> anyhow::Result<(Client, Batch)> {
    let client = Client::new(pipeline.machine.cloud.config());
    let resources = &pipeline.machine.resources;
    loop {
        if let Some(batch) = Batch::receive(&client, &resources.convert, 10, Duration::ZERO, Duration::ZERO).await? {
            let response = pipeline.machine.function(Step::Convert).invoke(batch.event()).await?;
            batch.settle(&client, &resources.convert, &evaluate(&response, batch.ids())).await?;
        }
        if let Some(batch) =
            Batch::receive(&client, &resources.import, 10, Duration::ZERO, Duration::from_secs(1)).await?
        {
            return Ok((client, batch));
        }
    }
}

/// Returns the only outcome in the bucket.
async fn read_outcome(pipeline: &Pipeline) -> anyhow::Result<Outcome> {
    let found = pipeline.keys(keys::OUTCOMES).await?;
    let key = found.first().context("no outcome")?;
    let object = pipeline.store.get(key, 1 << 20).await?.context("a listed outcome is missing")?;
    Ok(Outcome::parse(&object.bytes)?)
}

async fn read_lease_end(pipeline: &Pipeline) -> anyhow::Result<Timestamp> {
    Ok(read_outcome(pipeline).await?.lease.context("the item has no lease")?.until)
}

#[tokio::test]
async fn configuration_error_does_not_end_the_wait_for_another_copy() -> anyhow::Result<()> {
    let sample = expectations::sample(&[expectations::filed("late")])?;
    let expected_results: Vec<_> = sample.expected_results().collect();
    let graph = expectations::start_graph().await?;
    let pipeline = Pipeline::start(ItemSource::Api(sample), MailSystem::Graph(&graph), &[]).await?;
    let fetched = pipeline.machine.fetch(&Pipeline::timer()).await?;
    let (client, batch) = receive_import_batch(&pipeline).await?;

    let gate = Gate::default();
    graph.fault(On::kind(Kind::MessageCreate), Fault::DoLater(gate.clone()));
    graph.fault(On::kind(Kind::MessageCreate).nth(2), Fault::Refuse(Refusal::new(403, "ErrorAccessDenied")));
    let begin = Timestamp::now();
    let response = pipeline.machine.function(Step::Import).invoke(batch.event()).await?;
    assert!(pipeline.logs().contains("configuration error"), "{}", pipeline.logs());
    assert!(
        read_lease_end(&pipeline).await? >= begin + SETTLE_TIME,
        "the item would be filed again while the copy may still appear"
    );
    batch.settle(&client, &pipeline.machine.resources.import, &evaluate(&response, batch.ids())).await?;

    gate.open();
    gate.done(1).await;
    pipeline.drain().await?;
    expectations::assert_final_state(&pipeline, &fetched.run, &expected_results).await?;
    expectations::assert_one_copy_each_in_graph(&graph, &expected_results)
}

#[tokio::test]
async fn filing_interrupted_by_the_deadline_has_an_unknown_outcome() -> anyhow::Result<()> {
    let sample = expectations::sample(&[expectations::filed("interrupted")])?;
    let graph = expectations::start_graph().await?;
    // Has the wait of a deployment, a minute. The test does not wait for its end.
    let variables = [("SETTLE_SECONDS", "60")];
    let pipeline = Pipeline::start_at(SHORT, ItemSource::Api(sample), MailSystem::Graph(&graph), &variables).await?;
    pipeline.machine.fetch(&Pipeline::timer()).await?;
    let (_, batch) = receive_import_batch(&pipeline).await?;
    let gate = Gate::default();
    graph.fault(On::kind(Kind::MessageCreate).times(usize::MAX), Fault::DoLater(gate.clone()));
    let search_gate = Gate::default();
    graph.fault(On::kind(Kind::MessageSearch).times(usize::MAX), Fault::HoldBefore(search_gate.clone()));
    let begin = Timestamp::now();
    let response = pipeline.machine.function(Step::Import).invoke(batch.event()).await?;
    let failed = batch.ids().map(str::to_owned).collect();
    assert_eq!(evaluate(&response, batch.ids()), BatchResult::Done(failed));
    assert!(read_lease_end(&pipeline).await? >= begin + SignedDuration::from_mins(1));
    search_gate.open();
    gate.open();
    Ok(())
}

/// The outcome of a group is written every 50 copies. If such a write fails, the results so far are kept.
#[tokio::test]
async fn failed_outcome_write_does_not_end_the_wait_for_a_copy() -> anyhow::Result<()> {
    const PEOPLE: usize = 60;
    let graph = GraphFake::start().await?;
    let mut people = serde_json::Map::new();
    let mut addresses = Vec::new();
    for person in 0..PEOPLE {
        let address = format!("{person}@example.com");
        graph.add(User::new(&address));
        people.insert(format!("p{person}"), json!({"name": format!("P{person}"), "email": address}));
        addresses.push(address);
    }
    let to: Vec<_> = (1..PEOPLE).map(|person| format!("@p{person}")).collect();
    let group = json!({"expect": addresses, "item": {
        "id": "group", "messageId": "group", "type": "text", "messageTime": "-PT3H", "archivedTime": "-PT2H",
        "chat": {"id": "chat", "type": "group"}, "from": "@p0", "to": to, "text": "The rate is unchanged."}});
    let sample = Sample::written(&json!({"people": people, "items": [group]}).to_string(), Timestamp::now())?;
    let expected_results: Vec<_> = sample.expected_results().collect();

    // After import's lease, writes of the outcome fail until import reads it.
    let step = Arc::new(AtomicU8::new(0));
    let shared_step = Arc::clone(&step);
    let proxy = FaultProxy::start(move |request| {
        let line = request.lines().next().unwrap_or_default();
        let is_lease = request.contains("\"claim\":");
        match (shared_step.load(Ordering::SeqCst), line.starts_with("PUT "), line.contains("/outcomes/")) {
            (0, true, true) if is_lease => shared_step.store(1, Ordering::SeqCst),
            (1, true, true) => return ConnectionFault::BeforeExecution,
            (1, false, true) => shared_step.store(2, Ordering::SeqCst),
            _ => {}
        }
        ConnectionFault::None
    });
    let proxy = proxy.await?;
    let pipeline =
        Pipeline::start(ItemSource::Api(sample), MailSystem::Graph(&graph), &[("AWS_ENDPOINT_URL", proxy.url())])
            .await?;
    let endpoint = pipeline.machine.cloud.config().endpoint_url().and_then(|url| url.strip_prefix("http://"));
    proxy.set_upstream(endpoint.context("the emulator has no endpoint")?.parse()?);
    let fetched = pipeline.machine.fetch(&Pipeline::timer()).await?;
    let (client, batch) = receive_import_batch(&pipeline).await?;

    let gate = Gate::default();
    graph.fault(On::kind(Kind::MessageCreate), Fault::DoLater(gate.clone()));
    let begin = Timestamp::now();
    let response = pipeline.machine.function(Step::Import).invoke(batch.event()).await?;
    assert_eq!(step.load(Ordering::SeqCst), 2, "the write of the outcome did not fail");
    assert!(read_lease_end(&pipeline).await? >= begin + SETTLE_TIME);
    assert_eq!(read_outcome(&pipeline).await?.mailboxes.len(), 49, "the last outcome does not have every filed copy");
    batch.settle(&client, &pipeline.machine.resources.import, &evaluate(&response, batch.ids())).await?;

    gate.open();
    gate.done(1).await;
    pipeline.drain().await?;
    expectations::assert_final_state(&pipeline, &fetched.run, &expected_results).await?;
    expectations::assert_one_copy_each_in_graph(&graph, &expected_results)
}
