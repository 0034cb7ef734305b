//! Each request of an item to S3 and SQS is interrupted once, and until the SDK gives up: before it was
//! executed, and after it was executed and before the response.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, AtomicU32, Ordering},
};

use anyhow::Context;
use harness::{
    ItemSource, MailSystem, Pace, Pipeline,
    fault_proxy::{ConnectionFault, FaultProxy},
};
use jiff::{SignedDuration, Timestamp};
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
    let graph = expectations::tenant().await?;
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
    assert!(interruptions > 0 && plans.unnamed_faults > 0, "{interruptions} interruptions");
    Ok(())
}

#[tokio::test]
async fn interrupted_fetch_request_loses_no_id() -> anyhow::Result<()> {
    let items: Vec<_> = (0..25).map(|index| expectations::filed(&format!("item/{index}"))).collect();
    let sample = expectations::sample(&items)?;
    let expected_results: Vec<_> = sample.expected_results().collect();
    // Requests before the interruption, number of interruptions, and their kind.
    let plan = Arc::new(Mutex::new((u32::MAX, 0, ConnectionFault::None)));
    let shared_plan = Arc::clone(&plan);
    let proxy = FaultProxy::start(move |_| {
        let (before, times, fault) = &mut *shared_plan.lock().unwrap_or_else(PoisonError::into_inner);
        if *before > 0 {
            *before -= 1;
            return ConnectionFault::None;
        }
        if *times == 0 {
            return ConnectionFault::None;
        }
        *times -= 1;
        *fault
    });
    let proxy = proxy.await?;
    let graph = expectations::tenant().await?;
    let pipeline =
        start_through_proxy(&proxy, Pace::default(), ItemSource::Api(sample), MailSystem::Graph(&graph)).await?;
    let yesterday = Timestamp::now() - SignedDuration::from_hours(23);
    let begin = json!({"v": 1, "archived_time": yesterday, "run": "20260101T000000Z-daily-00000000"}).to_string();
    // The secret, the cursor, the manifest, three batches of messages, the cursor.
    let once = (0..7).flat_map(|before| {
        [(before, 1, ConnectionFault::BeforeExecution), (before, 1, ConnectionFault::AfterExecution)]
    });
    let for_good =
        [(4, SDK_ATTEMPTS, ConnectionFault::AfterExecution), (6, SDK_ATTEMPTS, ConnectionFault::AfterExecution)];
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
        assert!(cursor.archived_time > yesterday, "{planned:?}: the cursor did not move");
        last = (fetched.queued == 25).then_some(fetched.run).or(last);
    }
    pipeline.drain().await?;
    expectations::assert_final_state(&pipeline, &last.context("nothing was fetched")?, &expected_results).await?;
    expectations::assert_one_copy_each_in_graph(&graph, &expected_results)
}
