//! Functions stop before their deadline.

use std::{
    collections::{BTreeSet, HashSet},
    time::Duration,
};

use anyhow::Context;
use aws_sdk_sqs::Client;
use graph_fake::{Fault as GraphFault, Gate, Kind, On as GraphOn};
use harness::{ItemSource, MailSystem, Pace, Pipeline};
use jiff::Timestamp;
use local::{
    cloud::Step,
    event_source::{Batch, BatchResult, depth, evaluate},
    sample_source::{Fault, On, Rule, Sample},
};
use model::{Listed, keys};
use serde_json::{Value, json};

use crate::{
    expectations::{self, SHORT, filed},
    late_copies::receive_import_batch,
};

#[tokio::test]
async fn convert_returns_unfinished_records_at_the_deadline() -> anyhow::Result<()> {
    // Twice the number of records that convert processes concurrently.
    let items: Vec<_> = (0..20).map(|index| filed(&format!("item/{index}"))).collect();
    let sample = expectations::sample(&items)?;
    let expected_results: Vec<_> = sample.expected_results().collect();
    let pipeline =
        Pipeline::start_at(SHORT, ItemSource::Api(sample), MailSystem::Maildir(expectations::both_mailboxes()), &[])
            .await?;
    let Some(source) = &pipeline.source else { anyhow::bail!("no sample source") };
    let fetched = pipeline.machine.fetch(&Pipeline::timer()).await?;
    source.inject_fault(Rule { on: On::Items, times: u64::MAX, fault: Fault::Stall });

    let client = Client::new(pipeline.machine.cloud.config());
    let queue = &pipeline.machine.resources.convert;
    let mut records = Vec::new();
    let mut all = HashSet::new();
    for _ in 0..2 {
        let batch = Batch::receive(&client, queue, 10, Duration::ZERO, Duration::ZERO).await?;
        let Some(batch) = batch else { anyhow::bail!("no batch") };
        let event: Value = serde_json::from_slice(&batch.event())?;
        records.extend(event["Records"].as_array().cloned().unwrap_or_default());
        all.extend(batch.ids().map(str::to_owned));
    }
    assert_eq!(records.len(), items.len());
    // The function responds before it is killed.
    let event = json!({"Records": records}).to_string();
    let response = pipeline.machine.function(Step::Convert).invoke(event.into()).await?;
    let result = evaluate(&response, all.iter().map(String::as_str));
    assert_eq!(result, BatchResult::Done(all), "a record was not returned");
    let begun = source.requests().items;
    assert!(begun < 20, "all {begun} items were requested, although the deadline was reached");

    source.clear_faults();
    pipeline.drain().await?;
    expectations::assert_final_state(&pipeline, &fetched.run, &expected_results).await?;
    expectations::assert_one_copy_each(&pipeline, &expected_results)
}

#[tokio::test]
async fn import_returns_unfinished_records_at_the_deadline() -> anyhow::Result<()> {
    let items: Vec<_> = (0..10).map(|index| filed(&format!("item/{index}"))).collect();
    let sample = expectations::sample(&items)?;
    let expected_results: Vec<_> = sample.expected_results().collect();
    let graph = expectations::start_graph().await?;
    let pipeline = Pipeline::start_at(SHORT, ItemSource::Api(sample), MailSystem::Graph(&graph), &[]).await?;
    let fetched = pipeline.machine.fetch(&Pipeline::timer()).await?;
    let (client, batch) = receive_import_batch(&pipeline).await?;

    // Copies are created, and Graph's responses come too late.
    let gate = Gate::default();
    graph.fault(GraphOn::kind(Kind::MessageCreate).times(usize::MAX), GraphFault::HoldAfter(gate.clone()));
    let response = pipeline.machine.function(Step::Import).invoke(batch.event()).await?;
    let result = evaluate(&response, batch.ids());
    let BatchResult::Done(failed) = &result else { anyhow::bail!("the function did not respond: {result:?}") };
    assert!(!failed.is_empty(), "no record was returned");
    batch.settle(&client, &pipeline.machine.resources.import, &result).await?;
    graph.clear_faults();
    gate.open();

    pipeline.drain().await?;
    expectations::assert_final_state(&pipeline, &fetched.run, &expected_results).await?;
    expectations::assert_one_copy_each_in_graph(&graph, &expected_results)
}

#[tokio::test]
async fn fetch_stops_at_the_deadline_and_the_next_run_continues() -> anyhow::Result<()> {
    const ITEMS: usize = 3500;
    const LISTED_AGAIN: u64 = 27;
    let sample = Sample::many(ITEMS, Timestamp::now());
    let all: BTreeSet<_> = sample.expected_results().map(|(id, _)| id.as_str().to_owned()).collect();
    // Less time than fetch requires to begin another page.
    let pace = Pace { timeout: Duration::from_secs(20), ..SHORT };
    let pipeline = Pipeline::start_at(pace, ItemSource::Api(sample), MailSystem::Maildir(Vec::new()), &[]).await?;
    let (mut seen, mut queued, mut runs) = (BTreeSet::new(), 0, 0);
    loop {
        let fetched = pipeline.machine.fetch(&Pipeline::timer()).await?;
        // The next run lists the last 10 minutes again, and the sample has an item for each 23 seconds.
        assert!(fetched.listed <= fetched.queued + LISTED_AGAIN && fetched.queued > 0 && runs < 4);
        (queued, runs) = (queued + fetched.queued, runs + 1);
        let manifest = pipeline.store.get(&keys::manifest(&fetched.run, 1), 1 << 24).await?;
        for line in
            manifest.iter().flat_map(|object| object.bytes.split(|byte| *byte == b'\n')).filter(|line| !line.is_empty())
        {
            seen.extend(serde_json::from_slice::<Listed>(line)?.item.as_str().map(str::to_owned));
        }
        if fetched.complete {
            break;
        }
    }
    assert_eq!(seen, all);
    assert_eq!(runs, 4, "a run began again at the start or did not process its page");
    let logged = async {
        // Output reaches the log shortly after the response.
        while pipeline.logs().matches("\"Incomplete\":1").count() < 3 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), logged).await.context("no error is logged for incomplete runs")?;
    let waiting = depth(&pipeline.machine.cloud, &pipeline.machine.resources.convert).await?;
    assert_eq!(waiting.total(), queued);
    Ok(())
}
