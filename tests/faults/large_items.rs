//! Large items whose functions are interrupted between two parts.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use graph_fake::{Fault, Gate, Kind, On};
use harness::{
    ItemSource, MailSystem, Pace, Pipeline,
    fault_proxy::{ConnectionFault, FaultProxy},
};
use local::{cloud::Step, sample_source::generated};
use model::{Hasher, Sha256};
use serde_json::json;
use tokio::sync::Notify;

use crate::{
    expectations::{self, ADA, BOB, filed},
    interruptions,
};

/// Above 10 MB, and more than two parts of a multipart upload.
const SIZE: u64 = 18 << 20;

/// Long enough for a debug build, which is slow.
const PACE: Pace =
    Pace { timeout: Duration::from_secs(25), visibility: Duration::from_secs(26), concurrency: 1, max_receives: 50 };

async fn kill_processes(pipeline: &Pipeline, step: Step) {
    let function = pipeline.machine.function(step);
    for pid in function.pids() {
        function.kill(pid).await;
    }
}

#[tokio::test]
async fn interrupted_large_item_is_filed_complete_and_once() -> anyhow::Result<()> {
    let mut large = filed("large");
    large["item"]["attachments"] = json!([{"id": "f", "name": "film.mp4", "media": {"bytes": SIZE}}]);
    let sample = expectations::sample(&[large, filed("small")])?;
    let expected_results: Vec<_> = sample.expected_results().collect();
    let graph = expectations::start_graph().await?;
    graph.grant_mime_import();

    // The second part fails, and convert is killed while it waits for the retry.
    let (second_part, is_unavailable) = (Arc::new(Notify::new()), Arc::new(AtomicBool::new(true)));
    let (part_requested, fails) = (Arc::clone(&second_part), Arc::clone(&is_unavailable));
    let proxy = FaultProxy::start(move |request| {
        if request.lines().next().is_some_and(|line| line.contains("partNumber=2")) && fails.load(Ordering::SeqCst) {
            part_requested.notify_one();
            return ConnectionFault::BeforeExecution;
        }
        ConnectionFault::None
    });
    let proxy = proxy.await?;
    let variables = [("OVERSIZE", "import"), ("AWS_ENDPOINT_URL", proxy.url())];
    let pipeline =
        Pipeline::start_at(PACE, ItemSource::Api(sample), MailSystem::GraphImportMime(&graph), &variables).await?;
    interruptions::set_upstream(&proxy, &pipeline)?;
    let fetched = pipeline.machine.fetch(&Pipeline::timer()).await?;
    let gate = Gate::default();
    graph.fault(On::kind(Kind::Upload).nth(2), Fault::HoldBefore(gate.clone()));

    let working = pipeline.machine.work();
    second_part.notified().await;
    kill_processes(&pipeline, Step::Convert).await;
    is_unavailable.store(false, Ordering::SeqCst);
    gate.reached(1).await;
    kill_processes(&pipeline, Step::Import).await;
    gate.open();
    working.stop().await;
    pipeline.drain().await?;

    expectations::assert_final_state(&pipeline, &fetched.run, &expected_results).await?;
    expectations::assert_one_copy_each_in_graph(&graph, &expected_results)?;
    let mut hasher = Hasher::default();
    generated(SIZE).for_each(|chunk| hasher.update(&chunk));
    let sha256 = hasher.finish();
    for address in [ADA, BOB] {
        let files = graph.messages(address).into_iter().flat_map(|message| message.attachments);
        let copies = files.filter(|file| Sha256::of(&file.bytes) == sha256).count();
        assert_eq!(copies, 1, "{address} has no copy of the video");
    }
    Ok(())
}
