//! At-least-once delivery of SQS: the same message to two functions, twice, out of order.

use std::time::Duration;

use anyhow::{Context, bail};
use aws_sdk_sqs::Client;
use graph_fake::{Fault, Gate, Kind, On};
use harness::{ItemSource, MailSystem, Pipeline};
use local::{
    cloud::Step,
    event_source::{Batch, BatchResult, depth, evaluate},
};
use model::ItemId;
use serde_json::Value;

use crate::expectations;

fn items() -> Vec<Value> {
    let filed = (0..24).map(|index| expectations::filed(&format!("filed/{index}")));
    let unmapped = (0..8).map(|index| expectations::unmapped(&format!("unmapped/{index}")));
    let missing = (0..8).map(|index| expectations::missing(&format!("missing/{index}")));
    filed.chain(unmapped).chain(missing).collect()
}

/// Delivers each batch of a queue to two processes concurrently, and deletes the messages that either has done.
async fn deliver_to_two_processes(pipeline: &Pipeline, step: Step) -> anyhow::Result<u64> {
    let client = Client::new(pipeline.machine.cloud.config());
    let resources = &pipeline.machine.resources;
    let queue = if step == Step::Convert { &resources.convert } else { &resources.import };
    let function = pipeline.machine.function(step);
    let mut deleted = 0;
    while let Some(batch) = Batch::receive(&client, queue, 10, Duration::ZERO, Duration::ZERO).await? {
        let (one, other) = tokio::join!(function.invoke(batch.event()), function.invoke(batch.event()));
        for response in [one?, other?] {
            let result = evaluate(&response, batch.ids());
            assert!(matches!(result, BatchResult::Done(_)), "{result:?}");
            deleted += batch.settle(&client, queue, &result).await?;
        }
    }
    Ok(deleted)
}

#[tokio::test]
async fn batch_delivered_to_two_functions_is_processed_once() -> anyhow::Result<()> {
    let sample = expectations::sample(&items())?;
    let expected_results: Vec<_> = sample.expected_results().collect();
    let graph = expectations::start_graph().await?;
    let pipeline = Pipeline::start(ItemSource::Api(sample), MailSystem::Graph(&graph), &[]).await?;
    let fetched = pipeline.machine.fetch(&Pipeline::timer()).await?;
    deliver_to_two_processes(&pipeline, Step::Convert).await?;
    let imports = deliver_to_two_processes(&pipeline, Step::Import).await?;
    assert!(imports >= 32, "{imports} import tasks were done");
    pipeline.drain().await?;
    expectations::assert_final_state(&pipeline, &fetched.run, &expected_results).await?;
    expectations::assert_one_copy_each_in_graph(&graph, &expected_results)
}

#[tokio::test]
async fn leased_item_is_not_filed_by_another_function() -> anyhow::Result<()> {
    let sample = expectations::sample(&[expectations::filed("held")])?;
    let expected_results: Vec<_> = sample.expected_results().collect();
    let graph = expectations::start_graph().await?;
    let pipeline = Pipeline::start(ItemSource::Api(sample), MailSystem::Graph(&graph), &[]).await?;
    let fetched = pipeline.machine.fetch(&Pipeline::timer()).await?;
    deliver_to_two_processes(&pipeline, Step::Convert).await?;

    let client = Client::new(pipeline.machine.cloud.config());
    let queue = &pipeline.machine.resources.import;
    let function = pipeline.machine.function(Step::Import);
    let batch =
        Batch::receive(&client, queue, 10, Duration::ZERO, Duration::ZERO).await?.context("no task for import")?;
    // The first function is about to file both copies; they are not visible in the mailboxes yet.
    let gate = Gate::default();
    graph.fault(On::kind(Kind::MessageCreate).times(usize::MAX), Fault::HoldBefore(gate.clone()));
    let meanwhile = async {
        gate.reached(2).await;
        let response = tokio::select! {
            response = function.invoke(batch.event()) => response?,
            () = gate.reached(3) => bail!("two functions file the same item"),
        };
        gate.open();
        anyhow::Ok(response)
    };
    let (first, other) = tokio::join!(function.invoke(batch.event()), meanwhile);
    let (first, other) = (evaluate(&first?, batch.ids()), evaluate(&other?, batch.ids()));
    let returned = batch.ids().map(str::to_owned).collect();
    assert_eq!(
        other,
        BatchResult::Done(returned),
        "the function did not return the records that another one processes"
    );
    batch.settle(&client, queue, &first).await?;

    graph.clear_faults();
    pipeline.drain().await?;
    expectations::assert_final_state(&pipeline, &fetched.run, &expected_results).await?;
    expectations::assert_one_copy_each_in_graph(&graph, &expected_results)
}

#[tokio::test]
async fn repeated_reordered_task_makes_one_copy_or_dead_letter() -> anyhow::Result<()> {
    let sample = expectations::sample(&items())?;
    let expected_results: Vec<_> = sample.expected_results().collect();
    let graph = expectations::start_graph().await?;
    let pipeline = Pipeline::start(ItemSource::Api(sample), MailSystem::Graph(&graph), &[]).await?;
    let fetched = pipeline.machine.fetch(&Pipeline::timer()).await?;
    let client = Client::new(pipeline.machine.cloud.config());
    let queue = &pipeline.machine.resources.convert;
    // Each task again in reverse order, once beside its duplicate and once in the next batch.
    let mut bodies = Vec::new();
    while let Some(batch) = Batch::receive(&client, queue, 10, Duration::ZERO, Duration::ZERO).await? {
        let event: Value = serde_json::from_slice(&batch.event())?;
        let records = event["Records"].as_array().cloned().unwrap_or_default();
        bodies.extend(records.iter().filter_map(|record| record["body"].as_str().map(str::to_owned)));
        // No message is done: they are redelivered after their duplicates.
        batch.settle(&client, queue, &BatchResult::Failed("not processed".to_owned())).await?;
        for record in &records {
            let receipt = record["receiptHandle"].as_str().unwrap_or_default();
            let back = client.change_message_visibility().queue_url(&queue.url).receipt_handle(receipt);
            back.visibility_timeout(10).send().await?;
        }
    }
    assert_eq!(bodies.len(), expected_results.len());
    for body in bodies.iter().rev() {
        for _ in 0..2 {
            pipeline.send(&pipeline.machine.resources.convert, body).await?;
        }
    }
    // Convert finishes first: an item that is dead-lettered while its duplicate is between convert and import may get a
    // second dead letter, which is harmless.
    let function = pipeline.machine.function(Step::Convert);
    while depth(&pipeline.machine.cloud, queue).await?.total() > 0 {
        let Some(batch) = Batch::receive(&client, queue, 10, Duration::ZERO, Duration::from_secs(1)).await? else {
            continue;
        };
        let result = evaluate(&function.invoke(batch.event()).await?, batch.ids());
        batch.settle(&client, queue, &result).await?;
    }
    pipeline.drain().await?;
    let dead_letters = expectations::assert_final_state(&pipeline, &fetched.run, &expected_results).await?;
    expectations::assert_one_copy_each_in_graph(&graph, &expected_results)?;
    let extra: Vec<_> = dead_letters.iter().filter(|(_, dead_letters)| **dead_letters > 1).collect();
    assert!(extra.is_empty(), "more than one dead letter of an item: {extra:?}");
    Ok(())
}

#[tokio::test]
async fn overlapping_backfill_files_nothing_twice() -> anyhow::Result<()> {
    let sample = expectations::sample(&items())?;
    let expected_results: Vec<(ItemId, _)> = sample.expected_results().collect();
    let graph = expectations::start_graph().await?;
    let pipeline = Pipeline::start(ItemSource::Api(sample), MailSystem::Graph(&graph), &[]).await?;
    let daily = pipeline.machine.fetch(&Pipeline::timer()).await?;
    let backfill = pipeline.machine.fetch(&Pipeline::backfill()).await?;
    assert_eq!(daily.queued, backfill.queued);
    pipeline.drain().await?;
    expectations::assert_final_state(&pipeline, &daily.run, &expected_results).await?;
    expectations::assert_one_copy_each_in_graph(&graph, &expected_results)
}
