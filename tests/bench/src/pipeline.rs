//! The whole pipeline with the real binaries, a source and a Graph with network latency, and a count of all requests.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use graph_fake::{GraphFake, Kind, User};
use harness::{
    ItemSource, MailSystem, Pace, Pipeline,
    fault_proxy::{ConnectionFault, FaultProxy},
};
use jiff::{SignedDuration, Timestamp};
use local::{
    cloud::Step,
    function::Usage,
    sample_source::{Sample, mailboxes},
};
use serde_json::json;

use crate::{
    plot,
    report::{figure, table},
};

/// Maximum number of items per fetch. More items are fetched by several runs, one after the other: the emulator scans
/// all messages of a queue to return some, so a long queue would measure the emulator.
const SLICE: usize = 10_000;

/// Latency of the source.
const ARCHIVE: Duration = Duration::from_millis(50);

/// Latency of Graph.
const GRAPH: Duration = Duration::from_millis(100);

/// Number of items that a process of convert, and of import, processes concurrently: the functions' own limits. The
/// sample has four mailboxes, and import sends one request at a time to each.
const CONCURRENT_ITEMS: [(Step, f64, Duration); 2] = [(Step::Convert, 10.0, ARCHIVE), (Step::Import, 4.0, GRAPH)];

/// Maximum number of processes of each function.
const CONCURRENCY: usize = 2;

/// The measurements of a run of the pipeline.
pub struct Run {
    /// Number of processed items.
    pub items: usize,
    /// Time from the first received to the last finished message, of each fetch.
    pub took: Duration,
    /// The resources used by fetch, convert and import.
    pub usage: [(Step, Usage); 3],
    /// Requests to AWS by service and operation, including those of the event sources.
    pub aws: BTreeMap<String, u64>,
    /// Requests to the source.
    pub archive: u64,
    /// Requests to Graph, without those for a token.
    pub graph: u64,
    /// Size of the functions' logs, in bytes.
    pub logged: u64,
}

/// Classifies a request to S3, SQS or Secrets Manager by its head.
fn operation(request: &str) -> String {
    let head = request.split("\r\n\r\n").next().unwrap_or_default();
    let target = head.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("x-amz-target").then_some(value)
    });
    match target.and_then(|target| target.split_once('.')) {
        Some((service, operation)) => {
            let service = if service.starts_with("AmazonSQS") { "SQS" } else { "Secrets Manager" };
            format!("{service} {operation}")
        }
        None => format!("S3 {}", head.split(' ').next().unwrap_or_default()),
    }
}

/// Sends this many short messages through the pipeline.
///
/// # Errors
/// The pipeline cannot be started, or an item is not filed.
pub async fn run(items: usize) -> anyhow::Result<Run> {
    let counted = Arc::new(Mutex::new(BTreeMap::<String, u64>::new()));
    let counting = Arc::clone(&counted);
    let lock = |counts: &Mutex<BTreeMap<String, u64>>| counts.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let proxy = FaultProxy::start(move |request| {
        *counting.lock().unwrap_or_else(PoisonError::into_inner).entry(operation(request)).or_default() += 1;
        ConnectionFault::None
    });
    let proxy = proxy.await?;
    let graph = GraphFake::start().await?;
    for address in mailboxes()? {
        graph.add(User::new(address.as_str()));
    }
    let pace = Pace {
        timeout: Duration::from_secs(120),
        visibility: Duration::from_secs(240),
        concurrency: CONCURRENCY,
        max_receives: 50,
    };
    let now = Timestamp::now();
    let sample = Sample::many(items, now);
    let variables = [("AWS_ENDPOINT_URL", proxy.url()), ("LOG_LEVEL", "info")];
    let pipeline = Pipeline::start_at(pace, ItemSource::Api(sample), MailSystem::Graph(&graph), &variables).await?;
    let endpoint = pipeline.machine.cloud.config().endpoint_url().and_then(|url| url.strip_prefix("http://"));
    proxy.set_upstream(endpoint.context("the emulator has no endpoint")?.parse()?);
    let source = pipeline.source.as_ref().context("no sample source")?;
    source.set_latency(ARCHIVE);
    graph.set_latency(GRAPH);
    pipeline.put_user_map("phone,email\n+4520999999,nobody@example.com\n").await?;

    // The sample is spread over the 22 hours that begin 23 hours ago, in whole milliseconds.
    let slices = items.div_ceil(SLICE);
    let begins = now - SignedDuration::from_hours(23) - SignedDuration::from_millis(1);
    let at = |slice: usize| -> anyhow::Result<Timestamp> {
        let share = SignedDuration::from_hours(22).as_millis() * slice as i128 / slices as i128;
        Ok(begins + SignedDuration::from_millis(share.try_into()?))
    };
    let (mut queued, mut took, mut failed_batches) = (0, Duration::ZERO, 0);
    for slice in 0..slices {
        let fetched = pipeline.machine.fetch(&json!({"from": at(slice)?, "to": at(slice + 1)?})).await?;
        ensure!(fetched.complete, "fetch did not list everything");
        queued += fetched.queued;
        let begun = Instant::now();
        let working = pipeline.machine.work();
        pipeline.machine.drained(|_| {}).await?;
        took += begun.elapsed();
        failed_batches += working.convert.counts().failed_batches + working.import.counts().failed_batches;
        working.stop().await;
    }
    ensure!(queued == items as u64, "fetch queued {queued} of {items}");
    let filed: usize = mailboxes()?.iter().map(|address| graph.visible(address.as_str()).len()).sum();
    ensure!(filed == items, "{filed} of {items} were filed");

    let usage = [Step::Fetch, Step::Convert, Step::Import].map(|step| (step, pipeline.machine.function(step).usage()));
    let mut aws = lock(&counted);
    // The requests of Lambda's event sources: a receive and a delete per batch. Empty polls are not counted, because
    // their number depends only on time.
    let batches = usage[1].1.invocations + usage[2].1.invocations;
    for operation in ["SQS ReceiveMessage", "SQS DeleteMessageBatch"] {
        *aws.entry(operation.to_owned()).or_default() += batches;
    }
    ensure!(failed_batches == 0, "a batch failed: {}", pipeline.logs());
    let requested = source.requests();
    let tokens = graph.count(Kind::Token);
    Ok(Run {
        items,
        took,
        usage,
        aws,
        archive: requested.lists + requested.items + requested.attachments,
        graph: (graph.requests().len() - tokens) as u64,
        logged: pipeline.logs().len() as u64,
    })
}

impl Run {
    /// A count of the run per item.
    pub fn each(&self, count: u64) -> f64 {
        count as f64 / self.items as f64
    }

    /// Items per second of one process while it works, and the maximum that the latency allows.
    fn pace(&self, (step, concurrent, latency): (Step, f64, Duration)) -> (f64, f64) {
        let busy = self.usage.iter().find(|(of, _)| *of == step).map_or(0.0, |(_, usage)| usage.billed.as_secs_f64());
        (self.items as f64 / busy, concurrent / latency.as_secs_f64())
    }
}

/// The section's text, and its picture.
///
/// # Errors
/// The picture cannot be written.
pub fn section(runs: &[Run], picture: &Path) -> anyhow::Result<String> {
    let mut rows = Vec::new();
    for run in runs {
        let mut row = vec![run.items.to_string(), figure(run.items as f64 / run.took.as_secs_f64())];
        for function in CONCURRENT_ITEMS {
            let (pace, limit) = run.pace(function);
            row.push(format!("{} of {} ({:.0} %)", figure(pace), figure(limit), pace / limit * 100.0));
        }
        for (_, usage) in &run.usage[1..] {
            row.push(format!("{} ms", figure(usage.billed.as_secs_f64() * 1e3 / run.items as f64)));
        }
        row.push(figure(run.each(run.usage[1].1.invocations + run.usage[2].1.invocations)));
        rows.push(row);
    }
    let points: Vec<_> = runs.iter().map(|run| (run.items as f64, run.took.as_secs_f64())).collect();
    let from_nothing: Vec<_> = [(0.0, 0.0)].into_iter().chain(points).collect();
    plot::line(picture, "the pipeline: time by number of items", ("items", "seconds"), &from_nothing)?;
    let head = [
        "items",
        "items/s in total",
        "convert, items/s per process",
        "import, items/s per process",
        "convert, billed per item",
        "import, billed per item",
        "invocations per item",
    ];
    Ok(table(&head, &rows))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_is_classified_by_its_head() {
        assert_eq!(operation("PUT /archive/mime/a HTTP/1.1\r\nhost: x\r\n\r\nX-Amz-Target: AmazonSQS.No"), "S3 PUT");
        let sqs = "POST / HTTP/1.1\r\nX-Amz-Target: AmazonSQS.SendMessageBatch\r\n\r\n{}";
        assert_eq!(operation(sqs), "SQS SendMessageBatch");
        assert_eq!(
            operation("POST / HTTP/1.1\r\nx-amz-target: secretsmanager.GetSecretValue\r\n\r\n"),
            "Secrets Manager GetSecretValue"
        );
    }
}
