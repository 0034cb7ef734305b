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
    cutter::{Cut, Cutter},
};
use jiff::SignedDuration;
use local::{
    cloud::Step,
    event_source::{Batch, evaluate},
    sample_source::{Fault as ArchiveFault, On as OnArchive, Rule, SampleSource},
};
use model::{Listed, keys};
use rand::{RngExt, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use runtime::Variables;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{cuts::through, expectations};

/// Long enough for the large items on a busy machine.
pub(crate) const PACE: Pace =
    Pace { timeout: Duration::from_secs(25), visibility: Duration::from_secs(26), concurrency: 2, max_receives: 50 };

/// Totals of the rounds so far.
#[derive(Debug, Default)]
struct Totals {
    items: usize,
    runs: usize,
    kills: usize,
    cuts: usize,
    twins: usize,
    duplicates: usize,
}

/// Random interruptions of requests to AWS.
struct Cuts {
    chance: StdRng,
    /// Remaining consecutive interruptions and their kind. Enough of them exhaust the SDK's attempts.
    storm: (u32, Cut),
    cut: usize,
}

impl Cuts {
    fn decide(&mut self) -> Cut {
        if self.storm.0 == 0 && self.chance.random_bool(0.02) {
            let cut = if self.chance.random() { Cut::Before } else { Cut::After };
            self.storm = (if self.chance.random_bool(0.3) { self.chance.random_range(2..12) } else { 1 }, cut);
        }
        if self.storm.0 == 0 {
            return Cut::Never;
        }
        self.storm.0 -= 1;
        self.cut += 1;
        self.storm.1
    }
}

fn items(chance: &mut StdRng) -> Vec<Value> {
    let kinds = [
        expectations::filed,
        expectations::filed,
        expectations::filed,
        expectations::filed,
        expectations::unmapped,
        expectations::missing,
    ];
    let mut items: Vec<Value> = (0..chance.random_range(30..60))
        .map(|index| kinds.choose(chance).expect("a kind")(&format!("item/{index}")))
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

fn misbehave(graph: &GraphFake, source: &SampleSource, chance: &mut StdRng) {
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
        let on = On::kind(*kinds.choose(chance).expect("a kind"));
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
        let on = [OnArchive::Lists, OnArchive::Items, OnArchive::Attachments].choose(chance).expect("a kind").clone();
        let status = |status, retry_after: Option<&str>| ArchiveFault::Status {
            status,
            retry_after: retry_after.map(str::to_owned),
        };
        let fault = match chance.random_range(0..4) {
            0 => status(503, None),
            1 => status(429, Some("0.5")),
            2 => status(500, None),
            _ => ArchiveFault::Break,
        };
        source.inject_fault(Rule { on, times: chance.random_range(1..15), fault });
    }
}

/// Runs a daily run and backfills and repeats failed ones. Returns the complete runs.
async fn fetches(pipeline: &Pipeline, count: usize) -> anyhow::Result<Vec<model::RunId>> {
    const TRIES: usize = 60;
    let mut whole = Vec::new();
    for event in [Pipeline::timer(), Pipeline::backfill(), Pipeline::timer(), Pipeline::backfill()] {
        let mut tries = 0;
        loop {
            match pipeline.machine.fetch(&event).await {
                Ok(fetched) => {
                    if fetched.complete && fetched.queued == count as u64 {
                        whole.push(fetched.run);
                    }
                    break;
                }
                Err(error) => {
                    tries += 1;
                    ensure!(tries < TRIES, "fetch failed {TRIES} times: {error}");
                }
            }
        }
    }
    ensure!(whole.len() >= 2, "the backfills list everything");
    Ok(whole)
}

async fn kills(pipeline: &Pipeline, kills: usize, mut chance: StdRng) -> usize {
    let mut killed = 0;
    for _ in 0..kills {
        // The time of the kill is random; the test waits for nothing.
        tokio::time::sleep(Duration::from_millis(chance.random_range(50..700))).await;
        let step = *[Step::Fetch, Step::Convert, Step::Convert, Step::Import, Step::Import]
            .choose(&mut chance)
            .expect("a step");
        let function = pipeline.machine.function(step);
        if let Some(pid) = function.pids().choose(&mut chance) {
            killed += usize::from(function.kill(*pid).await);
        }
    }
    killed
}

/// Delivers batches to two processes concurrently, as SQS may.
async fn twins(pipeline: &Pipeline, batches: usize, mut chance: StdRng) -> anyhow::Result<usize> {
    let client = Client::new(pipeline.machine.cloud.config());
    let resources = &pipeline.machine.resources;
    let mut given = 0;
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
        given += batch.len();
    }
    Ok(given)
}

/// Queues some tasks of a run again, in random order.
async fn duplicates(pipeline: &Pipeline, chance: &mut StdRng) -> anyhow::Result<usize> {
    let mut pages = Vec::new();
    let list = pipeline.store.list(keys::RUNS, |page| {
        // The record of the run has the same prefix.
        pages.extend(page.into_iter().map(|object| object.key).filter(|key| key.contains("/items-")));
        async { Ok::<_, aws::s3::StoreError>(()) }
    });
    list.await?;
    let page = pages.choose(chance).context("no run has a manifest")?;
    let run = page.split('/').nth(1).unwrap_or_default();
    let manifest = pipeline.store.get(page, 1 << 24).await?.context("the page is gone")?;
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

async fn round(seed: u64, totals: &mut Totals) -> anyhow::Result<()> {
    let mut chance = StdRng::seed_from_u64(seed);
    let sample = expectations::sample(&items(&mut chance))?;
    let expected_results: Vec<_> = sample.expected_results().collect();
    let graph = expectations::tenant().await?;

    let cuts =
        Arc::new(Mutex::new(Cuts { chance: StdRng::seed_from_u64(chance.random()), storm: (0, Cut::Never), cut: 0 }));
    let armed = Arc::new(AtomicBool::new(false));
    let (judged, is_armed) = (Arc::clone(&cuts), Arc::clone(&armed));
    let cutter = Cutter::start(move |_| match is_armed.load(Ordering::SeqCst) {
        true => judged.lock().unwrap_or_else(PoisonError::into_inner).decide(),
        false => Cut::Never,
    });
    let cutter = cutter.await?;
    let pipeline = through(&cutter, PACE, ItemSource::Api(sample), MailSystem::Graph(&graph)).await?;
    pipeline.put_user_map("phone,email\n+4520999999,nobody@example.com\n").await?;
    let Some(source) = &pipeline.source else { anyhow::bail!("no sample source") };
    misbehave(&graph, source, &mut chance);
    armed.store(true, Ordering::SeqCst);

    let working = pipeline.machine.work();
    let (to_kill, batches) = (chance.random_range(0..20), chance.random_range(0..6));
    let others = [chance.random(), chance.random()].map(StdRng::seed_from_u64);
    let [killer, doubler] = others;
    let (runs, killed, twins) = tokio::join!(
        fetches(&pipeline, expected_results.len()),
        kills(&pipeline, to_kill, killer),
        twins(&pipeline, batches, doubler)
    );
    let (runs, twins) = (runs?, twins?);
    let duplicates = duplicates(&pipeline, &mut chance).await?;
    working.stop().await;

    armed.store(false, Ordering::SeqCst);
    graph.clear_faults();
    source.clear_faults();
    pipeline.drain().await?;
    let cut = cuts.lock().unwrap_or_else(PoisonError::into_inner).cut;
    expectations::assert_nothing_missing(&pipeline).await?;
    // The run that counts an item is random: the one whose task was processed first.
    let dead_letters = expectations::check_dead_letters(&pipeline, &expected_results).await?;
    // A second dead letter requires a lost response to the first, or a kill directly after it.
    let spare: usize = dead_letters.values().map(|dead_letters| dead_letters - 1).sum();
    ensure!(spare <= cut + killed, "{spare} extra dead letters, {cut} cuts, {killed} kills");
    expectations::assert_one_copy_each_in_graph(&graph, &expected_results)?;
    totals.items += expected_results.len();
    totals.runs += runs.len();
    totals.kills += killed;
    totals.cuts += cut;
    totals.twins += twins;
    totals.duplicates += duplicates;
    Ok(())
}

#[tokio::test]
async fn soak_of_combined_faults_loses_and_duplicates_nothing() -> anyhow::Result<()> {
    let variables = Variables::read(&["SOAK_SEED", "SOAK_MINUTES"]);
    let seed: u64 = variables.with_default("SOAK_SEED", "a number", 1)?;
    let minutes: i64 = variables.with_default("SOAK_MINUTES", "how many minutes", 0)?;
    let ends = Instant::now() + Duration::try_from(SignedDuration::from_mins(minutes)).unwrap_or_default();
    let mut totals = Totals::default();
    for round_seed in seed.. {
        println!("SEED={round_seed}");
        round(round_seed, &mut totals).await.with_context(|| format!("SEED={round_seed}"))?;
        println!("{} rounds: {totals:?}", round_seed - seed + 1);
        if Instant::now() >= ends {
            break;
        }
    }
    Ok(())
}
