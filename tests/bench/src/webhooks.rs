//! A burst of webhooks: how long each waits for its confirmation, and what memory the function takes.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use harness::{ItemSource, MailSystem, Pace, Pipeline, peak_kilobytes_of};
use local::webhooks::Sender;
use serde_json::json;

use crate::report::{figure, table};

/// The median response time that providers of WhatsApp's API require of a receiver.
const WANTED_MEDIAN_MS: f64 = 250.0;

/// Processes of the function.
const CONCURRENCY: usize = 2;

/// A burst.
struct Burst {
    count: u32,
    took: Duration,
    /// Times until the answer, sorted.
    answers: Vec<Duration>,
    rejected: u32,
    peak_kilobytes: u64,
}

/// Sends bursts of these sizes, and returns the section's text.
///
/// # Errors
/// When a webhook is lost, or half of the answers take longer than they may.
pub async fn measure(sizes: &[u32]) -> anyhow::Result<String> {
    let mut rows = Vec::new();
    for size in sizes {
        let Burst { count, took, answers, rejected, peak_kilobytes } = burst(*size).await?;
        let at = |share: usize| answers[(answers.len() - 1) * share / 100].as_secs_f64() * 1e3;
        ensure!(at(50) < WANTED_MEDIAN_MS, "half of the answers take more than {WANTED_MEDIAN_MS} ms: {} ms", at(50));
        let figures = [f64::from(count) / took.as_secs_f64(), at(50), at(99), at(100)].map(figure);
        let peak = format!("{} MB", figure(peak_kilobytes as f64 / 1024.0));
        rows.push([vec![count.to_string()], figures.to_vec(), vec![rejected.to_string(), peak]].concat());
    }
    let head = [
        "webhooks",
        "confirmed/s",
        "median answer, ms",
        "99 of 100, ms",
        "slowest, ms",
        "rejected and sent again",
        "memory of a process",
    ];
    Ok(table(&head, &rows))
}

async fn burst(count: u32) -> anyhow::Result<Burst> {
    let pace = Pace { concurrency: CONCURRENCY, ..Pace::default() };
    let source = ItemSource::Webhooks(Vec::new());
    let pipeline = Pipeline::start_at(pace, source, MailSystem::Maildir(Vec::new()), &[("LOG_LEVEL", "info")]).await?;
    let (_server, sender) = pipeline.start_function_url(CONCURRENCY).await?;
    let begun = Instant::now();
    // Twice as many at once as the function handles.
    let sent = stream::iter(0..count).map(|number| deliver(&sender, number)).buffer_unordered(2 * CONCURRENCY);
    let sent: Vec<(u32, Duration)> = sent.try_collect().await?;
    let took = begun.elapsed();
    let bodies = pipeline.keys(model::keys::WEBHOOKS).await?.len();
    ensure!(bodies == count as usize, "{bodies} of {count} webhooks are kept");
    let queue = pipeline.machine.resources.receive.clone().context("no queue")?;
    let tasks = local::event_source::depth(&pipeline.machine.cloud, &queue).await?.total();
    ensure!(tasks == u64::from(count), "{tasks} of {count} tasks are queued");
    let function = pipeline.machine.receive().context("no receiver")?;
    let peaks = function.pids().into_iter().map(peak_kilobytes_of).collect::<anyhow::Result<Vec<_>>>()?;
    let mut answers: Vec<_> = sent.iter().map(|(_, took)| *took).collect();
    answers.sort_unstable();
    Ok(Burst {
        count,
        took,
        answers,
        rejected: sent.iter().map(|(attempts, _)| attempts - 1).sum(),
        peak_kilobytes: peaks.into_iter().max().context("no process is left")?,
    })
}

async fn deliver(sender: &Sender, number: u32) -> anyhow::Result<(u32, Duration)> {
    let body = json!({"object": "whatsapp_business_account", "entry": [{"id": "1", "changes": [{"field": "messages", "value": {
        "messaging_product": "whatsapp", "metadata": {"display_phone_number": "46701740605", "phone_number_id": "1"},
        "messages": [{"from": "447700900123", "id": format!("wamid.{number}"), "timestamp": "1795166043", "type": "text",
            "text": {"body": "x".repeat(500)}}]}}]}]});
    let sent = sender.deliver(body.to_string().as_bytes()).await?;
    Ok((sent.attempts, sent.took))
}
