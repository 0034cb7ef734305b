//! Each request of an item to S3 and SQS is interrupted once, and until the SDK gives up: before it was
//! executed, and after it was executed and before the response.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, AtomicU32, Ordering},
};

use anyhow::Context;
use harness::{
    ItemSource, MailSystem, Pace, Pipeline,
    cutter::{Cut, Cutter},
};
use jiff::{SignedDuration, Timestamp};
use model::{Cursor, ItemId, keys};
use serde_json::json;

use crate::expectations::{self, SHORT};

/// Interruptions of one item's requests.
struct Plan {
    id: String,
    key: String,
    cut: Cut,
    /// Number of the first interrupted request, from 1.
    first: u32,
    /// Number of consecutive interruptions.
    times: u32,
    /// Requests so far.
    seen: u32,
    /// Interruptions so far.
    cuts: u32,
}

#[derive(Default)]
struct Plans {
    items: Vec<Plan>,
    /// Number of requests that belong to no item: the user map, delays, secrets.
    unnamed: u32,
    unnamed_cuts: u32,
}

/// Attempts of the SDK.
pub(crate) const SDK_TRIES: u32 = 4;

/// Interrupts requests by their number, while it is armed.
#[derive(Default)]
pub(crate) struct Periodic {
    is_armed: AtomicBool,
    requests: AtomicU32,
    /// Requests in succession that are still to be interrupted.
    left: AtomicU32,
    cuts: AtomicU32,
}

impl Periodic {
    /// Starts a proxy that interrupts every `nth` request, before or after it was executed: once, and at every `long`th request
    /// until the SDK gives up.
    pub(crate) async fn start(nth: u32, long: u32) -> std::io::Result<(Cutter, Arc<Self>)> {
        let periodic = Arc::new(Self::default());
        let decide = Arc::clone(&periodic);
        Ok((Cutter::start(move |_| decide.next(nth, long)).await?, periodic))
    }

    pub(crate) fn arm(&self, is_armed: bool) {
        self.is_armed.store(is_armed, Ordering::SeqCst);
    }

    /// Returns the number of interrupted requests.
    pub(crate) fn cuts(&self) -> u32 {
        self.cuts.load(Ordering::SeqCst)
    }

    fn next(&self, nth: u32, long: u32) -> Cut {
        if !self.is_armed.load(Ordering::SeqCst) {
            return Cut::Never;
        }
        let number = self.requests.fetch_add(1, Ordering::SeqCst);
        if number.is_multiple_of(nth) {
            self.left.fetch_add(if number.is_multiple_of(long) { SDK_TRIES } else { 1 }, Ordering::SeqCst);
        }
        if self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_err() {
            return Cut::Never;
        }
        self.cuts.fetch_add(1, Ordering::SeqCst);
        if number.is_multiple_of(2) { Cut::Before } else { Cut::After }
    }
}

/// One of this many requests that belong to no item is interrupted.
const CUT_EVERY_UNNAMED: u32 = 5;

impl Plans {
    fn add(&mut self, kind: &str, requests: u32) -> anyhow::Result<()> {
        for first in 1..=requests {
            for cut in [Cut::Before, Cut::After] {
                for times in [1, SDK_TRIES] {
                    let id = format!("{kind}-{cut:?}-{times}-from-{first:02}");
                    let key = id.parse::<ItemId>()?.key().to_string();
                    self.items.push(Plan { id, key, cut, first, times, seen: 0, cuts: 0 });
                }
            }
        }
        Ok(())
    }

    fn decide(&mut self, request: &str) -> Cut {
        let mut cut = Cut::Never;
        let mut named = false;
        for plan in self.items.iter_mut().filter(|plan| request.contains(&plan.key) || request.contains(&plan.id)) {
            named = true;
            plan.seen += 1;
            if cut == Cut::Never && (plan.first..plan.first + plan.times).contains(&plan.seen) {
                cut = plan.cut;
                plan.cuts += 1;
            }
        }
        if !named {
            self.unnamed += 1;
            if self.unnamed.is_multiple_of(CUT_EVERY_UNNAMED) {
                self.unnamed_cuts += 1;
                return if self.unnamed_cuts.is_multiple_of(2) { Cut::Before } else { Cut::After };
            }
        }
        cut
    }
}

/// Starts a pipeline whose functions reach S3 and SQS through the cutter.
pub(crate) async fn through(
    cutter: &Cutter,
    pace: Pace,
    source: ItemSource,
    mail_system: MailSystem<'_>,
) -> anyhow::Result<Pipeline> {
    let pipeline = Pipeline::start_at(pace, source, mail_system, &[("AWS_ENDPOINT_URL", cutter.url())]).await?;
    set_upstream(cutter, &pipeline)?;
    Ok(pipeline)
}

/// Connects the cutter to the pipeline's emulator.
pub(crate) fn set_upstream(cutter: &Cutter, pipeline: &Pipeline) -> anyhow::Result<()> {
    let ministack = pipeline.machine.cloud.config().endpoint_url().and_then(|url| url.strip_prefix("http://"));
    cutter.set_upstream(ministack.context("the emulator has no endpoint")?.parse()?);
    Ok(())
}

#[tokio::test]
async fn interrupted_request_loses_and_duplicates_no_item() -> anyhow::Result<()> {
    let mut plans = Plans::default();
    // An item needs 6 requests, 7 if import dead-letters it and 3 if convert does.
    plans.add("filed", 6)?;
    plans.add("unmapped", 7)?;
    plans.add("missing", 3)?;
    let entry = |plan: &Plan| match plan.id.split('-').next() {
        Some("filed") => expectations::filed(&plan.id),
        Some("unmapped") => expectations::unmapped(&plan.id),
        _ => expectations::missing(&plan.id),
    };
    let sample = expectations::sample(&plans.items.iter().map(entry).collect::<Vec<_>>())?;
    let expected_results: Vec<_> = sample.expected_results().collect();

    let plans = Arc::new(Mutex::new(plans));
    let (armed, judged) = (Arc::new(AtomicBool::new(false)), Arc::clone(&plans));
    let is_armed = Arc::clone(&armed);
    let cutter = Cutter::start(move |request| match is_armed.load(Ordering::SeqCst) {
        true => judged.lock().unwrap_or_else(PoisonError::into_inner).decide(request),
        false => Cut::Never,
    });
    let cutter = cutter.await?;
    let graph = expectations::tenant().await?;
    let pipeline = through(&cutter, SHORT, ItemSource::Api(sample), MailSystem::Graph(&graph)).await?;
    pipeline.put_user_map("phone,email\n+4520999999,nobody@example.com\n").await?;

    // Requests of fetch have their own test.
    let fetched = pipeline.machine.fetch(&Pipeline::timer()).await?;
    armed.store(true, Ordering::SeqCst);
    pipeline.drain().await?;
    let dead_letters = expectations::assert_final_state(&pipeline, &fetched.run, &expected_results).await?;
    expectations::assert_one_copy_each_in_graph(&graph, &expected_results)?;
    // A second dead letter requires a lost response to the first, or a kill directly after it.
    let plans = plans.lock().unwrap_or_else(PoisonError::into_inner);
    let cuts: u32 = plans.items.iter().map(|plan| plan.cuts).sum();
    let spare: usize = dead_letters.values().map(|dead_letters| dead_letters - 1).sum();
    assert!(spare <= cuts as usize, "{spare} extra dead letters");
    assert!(cuts > 0 && plans.unnamed_cuts > 0, "{cuts} cuts");
    Ok(())
}

#[tokio::test]
async fn interrupted_fetch_request_loses_no_id() -> anyhow::Result<()> {
    let items: Vec<_> = (0..25).map(|index| expectations::filed(&format!("item/{index}"))).collect();
    let sample = expectations::sample(&items)?;
    let expected_results: Vec<_> = sample.expected_results().collect();
    // Requests before the interruption, number of interruptions, and their kind.
    let plan = Arc::new(Mutex::new((u32::MAX, 0, Cut::Never)));
    let judged = Arc::clone(&plan);
    let cutter = Cutter::start(move |_| {
        let (through, times, cut) = &mut *judged.lock().unwrap_or_else(PoisonError::into_inner);
        if *through > 0 {
            *through -= 1;
            return Cut::Never;
        }
        if *times == 0 {
            return Cut::Never;
        }
        *times -= 1;
        *cut
    });
    let cutter = cutter.await?;
    let graph = expectations::tenant().await?;
    let pipeline = through(&cutter, Pace::default(), ItemSource::Api(sample), MailSystem::Graph(&graph)).await?;
    let yesterday = Timestamp::now() - SignedDuration::from_hours(23);
    let begin = json!({"v": 1, "archived_time": yesterday, "run": "20260101T000000Z-daily-00000000"}).to_string();
    // The secret, the cursor, the manifest, three batches of messages, the cursor.
    let once = (0..7).flat_map(|through| [(through, 1, Cut::Before), (through, 1, Cut::After)]);
    let for_good = [(4, SDK_TRIES, Cut::After), (6, SDK_TRIES, Cut::After)];
    let mut last = None;
    for planned in once.chain(for_good) {
        pipeline.put(keys::CURSOR, begin.clone()).await?;
        *plan.lock().unwrap_or_else(PoisonError::into_inner) = planned;
        let fetched = match pipeline.machine.fetch(&Pipeline::timer()).await {
            Ok(fetched) => fetched,
            // A failure is reported, and the next run does the work.
            Err(_) if planned.1 > 1 => pipeline.machine.fetch(&json!({})).await?,
            Err(error) => anyhow::bail!("{planned:?}: {error}"),
        };
        let cursor = pipeline.store.get(keys::CURSOR, 4096).await?.context("no cursor")?;
        let cursor: Cursor = serde_json::from_slice(&cursor.bytes)?;
        assert!(cursor.archived_time > yesterday, "{planned:?}: the cursor stands");
        last = (fetched.queued == 25).then_some(fetched.run).or(last);
    }
    pipeline.drain().await?;
    expectations::assert_final_state(&pipeline, &last.context("nothing was fetched")?, &expected_results).await?;
    expectations::assert_one_copy_each_in_graph(&graph, &expected_results)
}
