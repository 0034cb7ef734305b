//! Each request of an item to S3 and SQS is interrupted once, and until the SDK gives up: before it was
//! executed, and after it was executed and before the response.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, AtomicU32, Ordering},
};

use anyhow::{Context, ensure};
use harness::{
    ItemSource, MailSystem, Pace, Pipeline,
    fault_proxy::{ConnectionFault, FaultProxy},
};
use jiff::{SignedDuration, Timestamp};
use local::event_source::depth;
use model::{Cursor, ItemId, keys};
use serde_json::json;

use crate::expectations::{self, SHORT};

/// Interruptions of one item's requests.
struct Plan {
    id: String,
    key: String,
    fault: ConnectionFault,
    /// Number of the first interrupted request, from 1.
    first: u32,
    /// Number of consecutive interruptions.
    times: u32,
    /// Requests so far.
    seen: u32,
    /// Interruptions so far.
    interruptions: u32,
}

#[derive(Default)]
struct Plans {
    items: Vec<Plan>,
    /// Number of requests that belong to no item: the user map, delays, secrets.
    unnamed: u32,
    unnamed_faults: u32,
}

/// Attempts of the SDK.
pub(crate) const SDK_ATTEMPTS: u32 = 4;

/// Interrupts requests by their number, while it is armed.
#[derive(Default)]
pub(crate) struct PeriodicFaults {
    is_armed: AtomicBool,
    requests: AtomicU32,
    /// Requests in succession that are still to be interrupted.
    left: AtomicU32,
    interrupted: AtomicU32,
}

impl PeriodicFaults {
    /// Starts a proxy that interrupts every `nth` request, before or after it was executed. It interrupts it once, and at
    /// every `long_nth`th request until the SDK gives up.
    pub(crate) async fn start(nth: u32, long_nth: u32) -> std::io::Result<(FaultProxy, Arc<Self>)> {
        let periodic = Arc::new(Self::default());
        let decide = Arc::clone(&periodic);
        Ok((FaultProxy::start(move |_| decide.next(nth, long_nth)).await?, periodic))
    }

    pub(crate) fn arm(&self, is_armed: bool) {
        self.is_armed.store(is_armed, Ordering::SeqCst);
    }

    /// Returns the number of interrupted requests.
    pub(crate) fn count(&self) -> u32 {
        self.interrupted.load(Ordering::SeqCst)
    }

    fn next(&self, nth: u32, long_nth: u32) -> ConnectionFault {
        if !self.is_armed.load(Ordering::SeqCst) {
            return ConnectionFault::None;
        }
        let number = self.requests.fetch_add(1, Ordering::SeqCst);
        if number.is_multiple_of(nth) {
            self.left.fetch_add(if number.is_multiple_of(long_nth) { SDK_ATTEMPTS } else { 1 }, Ordering::SeqCst);
        }
        if self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_err() {
            return ConnectionFault::None;
        }
        self.interrupted.fetch_add(1, Ordering::SeqCst);
        if number.is_multiple_of(2) { ConnectionFault::BeforeExecution } else { ConnectionFault::AfterExecution }
    }
}

/// One in this many requests that belong to no item is interrupted.
const UNNAMED_REQUESTS_PER_FAULT: u32 = 5;

impl Plans {
    fn add(&mut self, kind: &str, requests: u32) -> anyhow::Result<()> {
        for first in 1..=requests {
            for fault in [ConnectionFault::BeforeExecution, ConnectionFault::AfterExecution] {
                for times in [1, SDK_ATTEMPTS] {
                    let id = format!("{kind}-{fault:?}-{times}-from-{first:02}");
                    let key = id.parse::<ItemId>()?.key().to_string();
                    self.items.push(Plan { id, key, fault, first, times, seen: 0, interruptions: 0 });
                }
            }
        }
        Ok(())
    }

    fn decide(&mut self, request: &str) -> ConnectionFault {
        let mut fault = ConnectionFault::None;
        let mut named = false;
        for plan in self.items.iter_mut().filter(|plan| request.contains(&plan.key) || request.contains(&plan.id)) {
            named = true;
            plan.seen += 1;
            if fault == ConnectionFault::None && (plan.first..plan.first + plan.times).contains(&plan.seen) {
                fault = plan.fault;
                plan.interruptions += 1;
            }
        }
        if !named {
            self.unnamed += 1;
            if self.unnamed.is_multiple_of(UNNAMED_REQUESTS_PER_FAULT) {
                self.unnamed_faults += 1;
                return if self.unnamed_faults.is_multiple_of(2) {
                    ConnectionFault::BeforeExecution
                } else {
                    ConnectionFault::AfterExecution
                };
            }
        }
        fault
    }
}

/// Starts a pipeline whose functions reach S3 and SQS through the proxy.
pub(crate) async fn start_through_proxy(
    proxy: &FaultProxy,
    pace: Pace,
    source: ItemSource,
    mail_system: MailSystem<'_>,
) -> anyhow::Result<Pipeline> {
    let pipeline = Pipeline::start_at(pace, source, mail_system, &[("AWS_ENDPOINT_URL", proxy.url())]).await?;
    set_upstream(proxy, &pipeline)?;
    Ok(pipeline)
}

/// Connects the proxy to the pipeline's emulator.
pub(crate) fn set_upstream(proxy: &FaultProxy, pipeline: &Pipeline) -> anyhow::Result<()> {
    let ministack = pipeline.machine.cloud.config().endpoint_url().and_then(|url| url.strip_prefix("http://"));
    proxy.set_upstream(ministack.context("the emulator has no endpoint")?.parse()?);
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
    let (armed, shared_plan) = (Arc::new(AtomicBool::new(false)), Arc::clone(&plans));
    let is_armed = Arc::clone(&armed);
    let proxy = FaultProxy::start(move |request| match is_armed.load(Ordering::SeqCst) {
        true => shared_plan.lock().unwrap_or_else(PoisonError::into_inner).decide(request),
        false => ConnectionFault::None,
    });
    let proxy = proxy.await?;
    let graph = expectations::start_graph().await?;
    let pipeline = start_through_proxy(&proxy, SHORT, ItemSource::Api(sample), MailSystem::Graph(&graph)).await?;
    pipeline.put_user_map("phone,email\n+4520999999,nobody@example.com\n").await?;

    // Requests of fetch have their own test.
    let fetched = pipeline.machine.fetch(&Pipeline::timer()).await?;
    armed.store(true, Ordering::SeqCst);
    pipeline.drain().await?;
    let dead_letters = expectations::assert_final_state(&pipeline, &fetched.run, &expected_results).await?;
    expectations::assert_one_copy_each_in_graph(&graph, &expected_results)?;
    // A second dead letter requires a lost response to the first, or a kill directly after it.
    let plans = plans.lock().unwrap_or_else(PoisonError::into_inner);
    let interruptions: u32 = plans.items.iter().map(|plan| plan.interruptions).sum();
    let extra: usize = dead_letters.values().map(|dead_letters| dead_letters - 1).sum();
    assert!(extra <= interruptions as usize, "{extra} extra dead letters");
    // A request with several items has only the fault of the first, so a few plans may not be carried out.
    let unused: Vec<_> = plans.items.iter().filter(|plan| plan.interruptions == 0).map(|plan| &plan.id).collect();
    assert!(unused.len() < plans.items.len() / 4, "{unused:?} were not interrupted");
    assert!(plans.unnamed_faults > 0, "no request without an item was interrupted");
    Ok(())
}

/// Deletes the manifests and records of all runs, so that the next run queues every id again.
async fn delete_runs(pipeline: &Pipeline) -> anyhow::Result<()> {
    let client = aws_sdk_s3::Client::new(pipeline.machine.cloud.config());
    for key in pipeline.keys(keys::RUNS).await? {
        client.delete_object().bucket(pipeline.store.bucket()).key(key).send().await?;
    }
    Ok(())
}

/// Interruption of the requests of fetch.
#[derive(Debug, Clone, Copy)]
struct FetchInterruption {
    /// Number of requests before the first interrupted one.
    before: usize,
    /// Number of interrupted requests that are left.
    left: usize,
    fault: ConnectionFault,
}

#[tokio::test]
async fn interrupted_fetch_request_loses_no_id() -> anyhow::Result<()> {
    const ITEMS: u64 = 25;
    /// The cursor, the list of runs, the beginning of the run, the manifest, three batches of messages, the cursor, the
    /// end of the run.
    const REQUESTS: usize = 9;
    /// Attempts of fetch to send a batch, each with all attempts of the SDK.
    const SEND_ATTEMPTS: usize = 5;
    let items: Vec<_> = (0..ITEMS).map(|index| expectations::filed(&format!("item/{index}"))).collect();
    let sample = expectations::sample(&items)?;
    let expected_results: Vec<_> = sample.expected_results().collect();
    let interruption = FetchInterruption { before: usize::MAX, left: 0, fault: ConnectionFault::None };
    let interruption = Arc::new(Mutex::new(interruption));
    let shared_interruption = Arc::clone(&interruption);
    let proxy = FaultProxy::start(move |_| {
        let mut interruption = shared_interruption.lock().unwrap_or_else(PoisonError::into_inner);
        if interruption.before > 0 {
            interruption.before -= 1;
            return ConnectionFault::None;
        }
        if interruption.left == 0 {
            return ConnectionFault::None;
        }
        interruption.left -= 1;
        interruption.fault
    });
    let proxy = proxy.await?;
    let graph = expectations::start_graph().await?;
    let pipeline =
        start_through_proxy(&proxy, Pace::default(), ItemSource::Api(sample), MailSystem::Graph(&graph)).await?;
    // The process reads the secret of the source before its first list, so that every later run has the same requests.
    pipeline.machine.fetch(&Pipeline::timer()).await?;

    let both = [ConnectionFault::BeforeExecution, ConnectionFault::AfterExecution];
    let once = (0..REQUESTS).flat_map(|before| both.map(|fault| FetchInterruption { before, left: 1, fault }));
    let attempts = SDK_ATTEMPTS as usize;
    // The manifest, the cursor and the end of the run.
    let until_the_sdk_gives_up =
        [3, 7, 8].into_iter().flat_map(|before| both.map(|fault| FetchInterruption { before, left: attempts, fault }));
    let last_batch =
        FetchInterruption { before: 6, left: attempts * SEND_ATTEMPTS, fault: ConnectionFault::BeforeExecution };
    let yesterday = Timestamp::now() - SignedDuration::from_hours(23);
    let begin = json!({"v": 1, "archived_time": yesterday, "run": "20260101T000000Z-daily-00000000"}).to_string();
    let convert = &pipeline.machine.resources.convert;
    let restart = async || {
        delete_runs(&pipeline).await?;
        pipeline.put(keys::CURSOR, begin.clone()).await
    };
    for planned in once.chain(until_the_sdk_gives_up).chain([last_batch]) {
        restart().await?;
        let queued_before = depth(&pipeline.machine.cloud, convert).await?.total();
        *interruption.lock().unwrap_or_else(PoisonError::into_inner) = planned;
        let result = pipeline.machine.fetch(&Pipeline::timer()).await;
        let left = interruption.lock().unwrap_or_else(PoisonError::into_inner).left;
        ensure!(left == 0, "{planned:?}: {left} requests were not interrupted");
        if let Err(error) = result {
            ensure!(planned.left > 1, "{planned:?}: {error}");
            // The failure is reported, and the next run does the work.
            pipeline.machine.fetch(&Pipeline::timer()).await?;
        }
        let queued = depth(&pipeline.machine.cloud, convert).await?.total() - queued_before;
        ensure!(queued >= ITEMS, "{planned:?}: {queued} of {ITEMS} ids were queued");
        let cursor = pipeline.store.get(keys::CURSOR, 4096).await?.context("no cursor")?;
        let cursor: Cursor = serde_json::from_slice(&cursor.bytes)?;
        ensure!(cursor.archived_time > yesterday, "{planned:?}: the cursor did not move");
    }
    restart().await?;
    let fetched = pipeline.machine.fetch(&Pipeline::timer()).await?;
    pipeline.drain().await?;
    expectations::assert_final_state(&pipeline, &fetched.run, &expected_results).await?;
    expectations::assert_one_copy_each_in_graph(&graph, &expected_results)
}
