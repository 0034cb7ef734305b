//! The costs of a run on AWS.

use harness::template_memory;

use crate::{
    pipeline::Run,
    report::{figure, table},
};

/// Dollars per million requests: list prices of us-east-1 without free tiers, as in the runbook.
const S3_PUT: f64 = 5.0;
const S3_GET: f64 = 0.4;
const SQS: f64 = 0.4;
const SECRETS: f64 = 5.0;
const INVOCATION: f64 = 0.2;

/// Dollars per GB-second, x86-64.
const GB_SECOND: f64 = 0.000_016_666_7;

/// Dollars per GB of logs.
const LOGS: f64 = 0.5;

/// Minimum number of requests per item: the message, the lease and the outcome are written, and the
/// outcome and the message are read. Queues work in batches of ten: sent, received and deleted on two queues.
const MINIMUM: [(&str, f64); 5] = [("S3 PUT", 3.0), ("S3 GET", 2.0), ("SQS", 0.6), ("source", 1.0), ("Graph", 1.0)];

fn price(operation: &str) -> f64 {
    match operation.split_once(' ') {
        Some(("S3", "PUT")) => S3_PUT,
        Some(("S3", _)) => S3_GET,
        Some(("SQS", _)) => SQS,
        Some(_) => SECRETS,
        None => 0.0,
    }
}

/// Requests per item of a run whose operation has this prefix.
fn requests(run: &Run, of: &str) -> f64 {
    match of {
        "source" => run.each(run.archive),
        "Graph" => run.each(run.graph),
        _ => run.aws.iter().filter(|(name, _)| name.starts_with(of)).map(|(_, count)| run.each(*count)).sum(),
    }
}

/// Returns the section's text: requests and usage of the largest run, per item and per million.
pub fn section(runs: &[Run]) -> anyhow::Result<String> {
    let Some(run) = runs.last() else { return Ok(String::new()) };
    let mut rows = Vec::new();
    let mut total = 0.0;
    let mut row = |name: String, each: f64, unit: &str, dollars: f64| {
        total += dollars;
        rows.push(vec![name, format!("{}{unit}", figure(each)), figure(dollars)]);
    };
    for (operation, count) in &run.aws {
        row(operation.clone(), run.each(*count), "", run.each(*count) * price(operation));
    }
    for (step, usage) in &run.usage {
        let gigabytes = template_memory(*step)? as f64 / 1024.0;
        let gb_seconds = usage.billed.as_secs_f64() * gigabytes / run.items as f64;
        row(format!("Lambda, {}", step.name()), gb_seconds, " GB-s", gb_seconds * GB_SECOND * 1e6);
    }
    let invocations = run.each(run.usage.iter().map(|(_, usage)| usage.invocations).sum());
    row("Lambda, invocations".to_owned(), invocations, "", invocations * INVOCATION);
    row("Logs".to_owned(), run.each(run.logged) / 1e3, " KB", run.each(run.logged) / 1e9 * LOGS * 1e6);
    rows.push(vec!["**total**".to_owned(), String::new(), format!("**{}**", figure(total))]);
    let costs = table(&["", "per item", "$ per million"], &rows);
    let minimum = MINIMUM.map(|(of, minimum)| vec![of.to_owned(), figure(requests(run, of)), figure(minimum)]);
    Ok(format!("{costs}\n{}", table(&["requests per item", "measured", "minimum"], &minimum)))
}
