//! SIGKILL at any moment. SOAK=40 makes forty times as many kills: a thousand of each kind.

use std::time::Duration;

use anyhow::Context;
use graph_fake::{GraphFake, User};
use harness::{ItemSource, MailSystem, Pipeline};
use jiff::Timestamp;
use local::{
    cloud::Step,
    sample_source::{ExpectedResult, Sample, mailboxes, user_map},
};
use model::ItemId;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use runtime::Variables;
use serde_json::{Value, json};

use crate::expectations::{self, SHORT};

/// Returns the items of the sample's day and this many short messages.
fn day_with_messages(count: usize) -> anyhow::Result<Sample> {
    let mut day: Value = serde_json::from_str(include_str!("../../infra/local/sample/items.json"))?;
    day["people"]["oliver-short"] =
        json!({"name": "Oliver Marsh", "phone": "+447700900101", "email": "oliver.marsh@example.com"});
    let short = |index: usize| {
        json!({"expect": ["oliver.marsh@example.com"], "item": {
            "id": format!("MANY/{index}"), "messageId": format!("MANY/{index}"), "type": "text",
            "messageTime": "-PT3H", "archivedTime": "-PT2H", "chat": {"id": "33639980011", "type": "individual"},
            "from": "@oliver-short", "to": ["@oliver-short"], "text": format!("Message {index}")}})
    };
    if let Some(items) = day["items"].as_array_mut() {
        items.extend((0..count).map(short));
    }
    Ok(Sample::written(&day.to_string(), Timestamp::now())?)
}

/// Returns the multiplier of the number of kills.
pub(crate) fn read_soak_factor() -> anyhow::Result<usize> {
    Ok(Variables::read(&["SOAK"]).with_default("SOAK", "a multiplier of the number of kills", 1)?)
}

/// Invokes fetch repeatedly, for scheduled runs and backfills, and kills it while it starts, while it works or
/// shortly after it has ended. Returns the number of kills during work.
pub(crate) async fn run_and_kill_fetch(pipeline: &Pipeline, times: usize, seed: u64) -> usize {
    let mut chance = StdRng::seed_from_u64(seed);
    let mut killed = 0;
    for _ in 0..times {
        let event = if chance.random() { Pipeline::timer() } else { Pipeline::backfill() };
        let function = pipeline.machine.function(Step::Fetch);
        let (fetched, ()) = tokio::join!(pipeline.machine.fetch(&event), async {
            // The time of the kill is random; the test waits for nothing.
            tokio::time::sleep(Duration::from_millis(chance.random_range(0..300))).await;
            for pid in function.pids() {
                function.kill(pid).await;
            }
        });
        killed += usize::from(fetched.is_err());
    }
    killed
}

/// Returns the seed of the random numbers.
pub(crate) fn read_seed() -> anyhow::Result<u64> {
    Ok(Variables::read(&["FAULT_SEED"]).with_default("FAULT_SEED", "a number", rand::random())?)
}

/// Invokes fetch, kills processes until all items are done or the limit is reached, drains the queues, and asserts the
/// final state. Returns the number of kills.
async fn run_with_kills(
    pipeline: &Pipeline,
    expected_results: &[(ItemId, ExpectedResult)],
    kills: usize,
) -> anyhow::Result<usize> {
    let seed = read_seed()?;
    let mut chance = StdRng::seed_from_u64(seed);
    pipeline.put_user_map(user_map()).await?;
    let fetched = pipeline.machine.fetch(&Pipeline::timer()).await?;
    let working = pipeline.machine.work();
    let mut killed = 0;
    let killing = async {
        while killed < kills {
            // The time of the kill is random; the test waits for nothing.
            tokio::time::sleep(Duration::from_millis(chance.random_range(20..600))).await;
            let step = if chance.random_bool(0.4) { Step::Convert } else { Step::Import };
            let function = pipeline.machine.function(step);
            let pids = function.pids();
            if !pids.is_empty() && function.kill(pids[chance.random_range(0..pids.len())]).await {
                killed += 1;
            }
        }
    };
    // A function without work is not started again, so no process may be left to kill.
    tokio::select! {
        () = killing => {}
        drained = pipeline.machine.drained(|_| {}) => drained?,
    }
    working.stop().await;
    pipeline.drain().await?;
    let counted = expectations::assert_final_state(pipeline, &fetched.run, expected_results).await;
    let dead_letters = counted.map_err(|error| error.context(format!("FAULT_SEED={seed}")))?;
    let extra = dead_letters.values().filter(|dead_letters| **dead_letters > 1).count();
    assert!(extra <= killed, "FAULT_SEED={seed}: {dead_letters:?}");
    Ok(killed)
}

#[tokio::test]
async fn killed_functions_lose_and_duplicate_nothing_in_maildir() -> anyhow::Result<()> {
    let mut left = 25 * read_soak_factor()?;
    while left > 0 {
        let sample = day_with_messages(80)?;
        let expected_results: Vec<_> = sample.expected_results().collect();
        let addresses = mailboxes()?.into_iter().map(String::from).collect();
        let pipeline = Pipeline::start_at(SHORT, ItemSource::Api(sample), MailSystem::Maildir(addresses), &[]).await?;
        left -= run_with_kills(&pipeline, &expected_results, left.min(25)).await?;
        expectations::assert_one_copy_each(&pipeline, &expected_results)?;
    }
    Ok(())
}

#[tokio::test]
async fn killed_functions_lose_and_duplicate_nothing_in_graph() -> anyhow::Result<()> {
    let mut left = 25 * read_soak_factor()?;
    while left > 0 {
        let graph = GraphFake::start().await?;
        for address in mailboxes()? {
            graph.add(User::new(address.as_str()));
        }
        let sample = day_with_messages(80)?;
        let expected_results: Vec<_> = sample.expected_results().collect();
        let pipeline = Pipeline::start_at(SHORT, ItemSource::Api(sample), MailSystem::Graph(&graph), &[]).await?;
        left -= run_with_kills(&pipeline, &expected_results, left.min(25)).await?;
        expectations::assert_one_copy_each_in_graph(&graph, &expected_results)?;
    }
    Ok(())
}

#[tokio::test]
async fn killed_fetch_loses_no_id_and_causes_no_second_copy() -> anyhow::Result<()> {
    let mut killed = 0;
    for _ in 0..read_soak_factor()? {
        let sample = day_with_messages(20)?;
        let expected_results: Vec<_> = sample.expected_results().collect();
        let addresses = mailboxes()?.into_iter().map(String::from).collect();
        let pipeline = Pipeline::start_at(SHORT, ItemSource::Api(sample), MailSystem::Maildir(addresses), &[]).await?;
        pipeline.put_user_map(user_map()).await?;
        let seed = read_seed()?;
        killed += run_and_kill_fetch(&pipeline, 10, seed).await;
        pipeline.run(&Pipeline::timer()).await?;
        let settled = async {
            expectations::assert_nothing_missing(&pipeline).await?;
            expectations::check_dead_letters(&pipeline, &expected_results).await?;
            expectations::assert_one_copy_each(&pipeline, &expected_results)
        };
        settled.await.with_context(|| format!("FAULT_SEED={seed}"))?;
    }
    assert!(killed > 0, "fetch was never killed while it worked");
    Ok(())
}
