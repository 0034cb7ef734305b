//! Combined random faults for any length of time: `make soak`.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, ensure};
use aws_sdk_sqs::Client;
use graph_fake::{Fault, GraphFake, Kind, On, Refusal};
use harness::{
    ItemSource, MailSystem, Pace, Pipeline,
    fault_proxy::{ConnectionFault, FaultProxy},
};
use jiff::SignedDuration;
use local::{
    cloud::Step,
    event_source::{Batch, evaluate},
    sample_source::{Fault as SourceFault, On as OnSource, Rule, SampleSource},
};
use model::{Listed, keys};
use rand::{RngExt, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use runtime::Variables;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{expectations, interruptions::start_through_proxy};

/// Long enough for the large items on a busy machine.
pub(crate) const PACE: Pace =
    Pace { timeout: Duration::from_secs(25), visibility: Duration::from_secs(26), concurrency: 2, max_receives: 50 };

/// Totals of the rounds so far.
#[derive(Debug, Default)]
struct Totals {
    items: usize,
    runs: usize,
    kills: usize,
    interruptions: usize,
    concurrent_deliveries: usize,
    duplicates: usize,
}

/// Random interruptions of requests to AWS.
struct RandomInterruptions {
    chance: StdRng,
    /// Remaining consecutive interruptions and their kind. Enough of them exhaust the SDK's attempts.
    remaining: (u32, ConnectionFault),
    interrupted: usize,
}

impl RandomInterruptions {
    fn decide(&mut self) -> ConnectionFault {
        if self.remaining.0 == 0 && self.chance.random_bool(0.02) {
            let fault =
                if self.chance.random() { ConnectionFault::BeforeExecution } else { ConnectionFault::AfterExecution };
            self.remaining = (if self.chance.random_bool(0.3) { self.chance.random_range(2..12) } else { 1 }, fault);
        }
        if self.remaining.0 == 0 {
            return ConnectionFault::None;
        }
        self.remaining.0 -= 1;
        self.interrupted += 1;
        self.remaining.1
    }
}

fn random_items(chance: &mut StdRng) -> Vec<Value> {
    let kinds = [
        expectations::filed,
        expectations::filed,
        expectations::filed,
        expectations::filed,
        expectations::unmapped,
        expectations::missing,
    ];
    let mut items: Vec<Value> = (0..chance.random_range(30..60))
        .map(|index| kinds.choose(chance).expect("the list is empty")(&format!("item/{index}")))
        .collect();
    // Large enough for an upload in a hidden folder, with one file and with two.
    for files in 1..=2 {
        let mut large = expectations::filed(&format!("large/{files}"));
        let file =
            |at: usize| json!({"id": format!("f{at}"), "name": format!("{at}.bin"), "media": {"bytes": 3_500_000}});
        large["item"]["attachments"] = (0..files).map(file).collect();
        items.push(large);
    }
    items
}

fn inject_faults(graph: &GraphFake, source: &SampleSource, chance: &mut StdRng) {
    let kinds = [
        Kind::Token,
        Kind::UserByName,
        Kind::FolderSearch,
        Kind::FolderCreate,
        Kind::MessageSearch,
        Kind::MessageCreate,
        Kind::MessageCreate,
        Kind::MessageMove,
        Kind::SessionCreate,
        Kind::Upload,
        Kind::AttachmentList,
    ];
    for _ in 0..chance.random_range(5..20) {
        let on = On::kind(*kinds.choose(chance).expect("the list is empty"));
        let on = on.nth(chance.random_range(1..30)).times(chance.random_range(1..6));
        let fault = match chance.random_range(0..6) {
            0 => Fault::Refuse(Refusal::new(429, "ApplicationThrottled").retry_after("0.3")),
            1 => Fault::Refuse(Refusal::new(429, "ApplicationThrottled").retry_after("25")),
            2 => Fault::Refuse(Refusal::new(503, "ErrorServerBusy")),
            3 => Fault::DoAndRefuse(Refusal::new(503, "ErrorServerBusy")),
            4 => Fault::LoseResponse,
            _ => Fault::Reset,
        };
        graph.fault(on, fault);
    }
    for _ in 0..chance.random_range(1..5) {
        let on = [OnSource::Lists, OnSource::Items, OnSource::Attachments]
            .choose(chance)
            .expect("the list is empty")
            .clone();
        let status = |status, retry_after: Option<&str>| SourceFault::Status {
            status,
            retry_after: retry_after.map(str::to_owned),
        };
        let fault = match chance.random_range(0..4) {
            0 => status(503, None),
            1 => status(429, Some("0.5")),
            2 => status(500, None),
            _ => SourceFault::Break,
        };
        source.inject_fault(Rule { on, times: chance.random_range(1..15), fault });
    }
}

/// Invokes fetch for two scheduled runs and two backfills, and repeats those that fail. Returns the runs that queued every
/// item.
async fn run_fetch(pipeline: &Pipeline, count: usize) -> anyhow::Result<Vec<model::RunId>> {
    const MAX_ATTEMPTS: usize = 60;
    let mut complete = Vec::new();
    for event in [Pipeline::timer(), Pipeline::backfill(), Pipeline::timer(), Pipeline::backfill()] {
        let mut attempts = 0;
        loop {
            match pipeline.machine.fetch(&event).await {
                Ok(fetched) => {
                    if fetched.complete && fetched.queued == count as u64 {
                        complete.push(fetched.run);
                    }
                    break;
                }
                Err(error) => {
                    attempts += 1;
                    ensure!(attempts < MAX_ATTEMPTS, "fetch failed {MAX_ATTEMPTS} times: {error}");
                }
            }
        }
    }
    ensure!(complete.len() >= 2, "fewer than two runs queued every item");
    Ok(complete)
}

async fn kill_processes(pipeline: &Pipeline, kills: usize, mut chance: StdRng) -> usize {
    let mut killed = 0;
    for _ in 0..kills {
        // The time of the kill is random; the test waits for nothing.
        tokio::time::sleep(Duration::from_millis(chance.random_range(50..700))).await;
        let step = *[Step::Fetch, Step::Convert, Step::Convert, Step::Import, Step::Import]
            .choose(&mut chance)
            .expect("the list is empty");
        let function = pipeline.machine.function(step);
        if let Some(pid) = function.pids().choose(&mut chance) {
            killed += usize::from(function.kill(*pid).await);
        }
    }
    killed
}

/// Delivers batches to two processes concurrently, as SQS may.
async fn deliver_twice(pipeline: &Pipeline, batches: usize, mut chance: StdRng) -> anyhow::Result<usize> {
    let client = Client::new(pipeline.machine.cloud.config());
    let resources = &pipeline.machine.resources;
    let mut delivered = 0;
    for _ in 0..batches {
        let (step, queue) =
            if chance.random() { (Step::Convert, &resources.convert) } else { (Step::Import, &resources.import) };
        let window = Duration::from_secs(1);
        let Some(batch) = Batch::receive(&client, queue, 10, window, Duration::ZERO).await? else { continue };
        let function = pipeline.machine.function(step);
        let responses = tokio::join!(function.invoke(batch.event()), function.invoke(batch.event()));
        // A killed process returned no response: the batch is redelivered.
        for response in [responses.0, responses.1].into_iter().flatten() {
            batch.settle(&client, queue, &evaluate(&response, batch.ids())).await?;
        }
        delivered += batch.len();
    }
    Ok(delivered)
}

/// Queues some tasks of a run again, in random order.
async fn requeue_tasks(pipeline: &Pipeline, chance: &mut StdRng) -> anyhow::Result<usize> {
    let mut pages = Vec::new();
    let list = pipeline.store.list(keys::RUNS, |page| {
        // The record of the run has the same prefix.
        pages.extend(page.into_iter().map(|object| object.key).filter(|key| key.contains("/items-")));
        async { Ok::<_, aws::s3::StoreError>(()) }
    });
    list.await?;
    let page = pages.choose(chance).context("no run has a manifest")?;
    let run = page.split('/').nth(1).unwrap_or_default();
    let manifest = pipeline.store.get(page, 1 << 24).await?.context("the page is missing")?;
    let mut queued = 0;
    for line in manifest.bytes.split(|byte| *byte == b'\n').rev().filter(|line| !line.is_empty()) {
        let Listed { item, archived_time } = serde_json::from_slice(line)?;
        for _ in 0..[0, 0, 1, 2].choose(chance).copied().unwrap_or_default() {
            let task = json!({"v": 1, "run": run, "item": item, "archived_time": archived_time});
            pipeline.send(&pipeline.machine.resources.convert, &task.to_string()).await?;
            queued += 1;
        }
    }
    Ok(queued)
}

async fn run_round(seed: u64, totals: &mut Totals) -> anyhow::Result<()> {
    let mut chance = StdRng::seed_from_u64(seed);
    let sample = expectations::sample(&random_items(&mut chance))?;
    let expected_results: Vec<_> = sample.expected_results().collect();
    let graph = expectations::start_graph().await?;

    let interruptions = Arc::new(Mutex::new(RandomInterruptions {
        chance: StdRng::seed_from_u64(chance.random()),
        remaining: (0, ConnectionFault::None),
        interrupted: 0,
    }));
    let armed = Arc::new(AtomicBool::new(false));
    let (shared, is_armed) = (Arc::clone(&interruptions), Arc::clone(&armed));
    let proxy = FaultProxy::start(move |_| match is_armed.load(Ordering::SeqCst) {
        true => shared.lock().unwrap_or_else(PoisonError::into_inner).decide(),
        false => ConnectionFault::None,
    });
    let proxy = proxy.await?;
    let pipeline = start_through_proxy(&proxy, PACE, ItemSource::Api(sample), MailSystem::Graph(&graph)).await?;
    pipeline.put_user_map("phone,email\n+4520999999,nobody@example.com\n").await?;
    let Some(source) = &pipeline.source else { anyhow::bail!("no sample source") };
    inject_faults(&graph, source, &mut chance);
    armed.store(true, Ordering::SeqCst);

    let working = pipeline.machine.work();
    let (to_kill, batches) = (chance.random_range(0..20), chance.random_range(0..6));
    let [kill_chance, delivery_chance] = [chance.random(), chance.random()].map(StdRng::seed_from_u64);
    let (runs, killed, delivered_twice) = tokio::join!(
        run_fetch(&pipeline, expected_results.len()),
        kill_processes(&pipeline, to_kill, kill_chance),
        deliver_twice(&pipeline, batches, delivery_chance)
    );
    let (runs, delivered_twice) = (runs?, delivered_twice?);
    let duplicates = requeue_tasks(&pipeline, &mut chance).await?;
    working.stop().await;

    armed.store(false, Ordering::SeqCst);
    graph.clear_faults();
    source.clear_faults();
    pipeline.drain().await?;
    let interrupted = interruptions.lock().unwrap_or_else(PoisonError::into_inner).interrupted;
    expectations::assert_nothing_missing(&pipeline).await?;
    // The run that counts an item is random: the one whose task was processed first.
    let dead_letters = expectations::check_dead_letters(&pipeline, &expected_results).await?;
    // A second dead letter requires a lost response to the first, or a kill directly after it.
    let extra: usize = dead_letters.values().map(|dead_letters| dead_letters - 1).sum();
    ensure!(extra <= interrupted + killed, "{extra} extra dead letters, {interrupted} interruptions, {killed} kills");
    expectations::assert_one_copy_each_in_graph(&graph, &expected_results)?;
    totals.items += expected_results.len();
    totals.runs += runs.len();
    totals.kills += killed;
    totals.interruptions += interrupted;
    totals.concurrent_deliveries += delivered_twice;
    totals.duplicates += duplicates;
    Ok(())
}

#[tokio::test]
async fn soak_of_combined_faults_loses_and_duplicates_nothing() -> anyhow::Result<()> {
    let variables = Variables::read(&["SOAK_SEED", "SOAK_MINUTES"]);
    let seed: u64 = variables.with_default("SOAK_SEED", "a number", 1)?;
    let minutes: i64 = variables.with_default("SOAK_MINUTES", "a number of minutes", 0)?;
    let ends = Instant::now() + Duration::try_from(SignedDuration::from_mins(minutes)).unwrap_or_default();
    let mut totals = Totals::default();
    for round_seed in seed.. {
        println!("SEED={round_seed}");
        run_round(round_seed, &mut totals).await.with_context(|| format!("SEED={round_seed}"))?;
        println!("{} rounds: {totals:?}", round_seed - seed + 1);
        if Instant::now() >= ends {
            break;
        }
    }
    Ok(())
}
