//! The whole pipeline, with the real binaries, an archive and a Graph that are far away, and every request counted.

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
    cutter::{Cut, Cutter},
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

/// How many items are fetched at once. More come by as many runs, one after the other: the emulator looks at all
/// messages of a queue to give some out, so that a long queue would measure that.
const SLICE: usize = 10_000;

/// How far away the source is.
const ARCHIVE: Duration = Duration::from_millis(50);

/// How far away Graph is.
const GRAPH: Duration = Duration::from_millis(100);

/// How many of its items a process of convert works on at once, and of import: the functions' own numbers. The sample
/// has four mailboxes, and import asks one at a time for each.
const AT_ONCE: [(Step, f64, Duration); 2] = [(Step::Convert, 10.0, ARCHIVE), (Step::Import, 4.0, GRAPH)];

/// The most processes of each function.
const CONCURRENCY: usize = 2;

/// What a run of the pipeline was.
pub struct Run {
    /// How many items went through.
    pub items: usize,
    /// From the first message that was taken to the last that was done, of each fetch.
    pub took: Duration,
    /// What fetch, convert and import used.
    pub usage: [(Step, Usage); 3],
    /// Requests to AWS, by service and operation, those of the event sources included.
    pub aws: BTreeMap<String, u64>,
    /// Requests to the archive, and to Graph without those for a token.
    pub archive: u64,
    /// Requests to Graph, those for a token left out.
    pub graph: u64,
    /// What the functions logged, in bytes.
    pub logged: u64,
}

/// What a request to S3, SQS or Secrets Manager is, from its head.
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

/// Sends this many short messages through it.
///
/// # Errors
/// When it cannot be started, or an item is not filed.
pub async fn run(items: usize) -> anyhow::Result<Run> {
    let counted = Arc::new(Mutex::new(BTreeMap::<String, u64>::new()));
    let counting = Arc::clone(&counted);
    let lock = |counts: &Mutex<BTreeMap<String, u64>>| counts.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let proxy = Cutter::start(move |request| {
        *counting.lock().unwrap_or_else(PoisonError::into_inner).entry(operation(request)).or_default() += 1;
        Cut::Never
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
    // What Lambda's event sources ask for themselves: a receive and a delete each batch. Of a poll that finds nothing
    // there are as many as there is time.
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
    /// Something of the run, by the item.
    pub fn each(&self, count: u64) -> f64 {
        count as f64 / self.items as f64
    }

    /// Items a second of one process while it works, and the most that its latency allows.
    fn pace(&self, (step, at_once, latency): (Step, f64, Duration)) -> (f64, f64) {
        let busy = self.usage.iter().find(|(of, _)| *of == step).map_or(0.0, |(_, usage)| usage.billed.as_secs_f64());
        (self.items as f64 / busy, at_once / latency.as_secs_f64())
    }
}

/// The section's text, and its picture.
///
/// # Errors
/// When the picture cannot be written.
pub fn section(runs: &[Run], picture: &Path) -> anyhow::Result<String> {
    let mut rows = Vec::new();
    for run in runs {
        let mut row = vec![run.items.to_string(), figure(run.items as f64 / run.took.as_secs_f64())];
        for function in AT_ONCE {
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
    plot::line(picture, "the pipeline: time for so many items", ("items", "seconds"), &from_nothing)?;
    let head = [
        "items",
        "items/s in all",
        "convert, items/s a process",
        "import, items/s a process",
        "convert, billed an item",
        "import, billed an item",
        "invocations an item",
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
