//! Webhooks while the function that receives them is killed, while requests to S3 and SQS are interrupted, and in a
//! burst.

use std::{cell::Cell, collections::BTreeMap, ops::Range, time::Duration};

use anyhow::{Context, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use harness::{ItemSource, MailSystem, Pace, Pipeline};
use jiff::Timestamp;
use local::{
    sample_source::{mailboxes, user_map},
    webhooks::{Sender, wamid},
};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};

use crate::{
    expectations::SHORT,
    interruptions::{PeriodicFaults, start_through_proxy},
    kills::{read_seed, read_soak_factor},
};

const ADA: &str = "ada.lindqvist@example.com";
const CLIENT: &str = "447700900123";

/// Number of concurrent senders. Meta sends webhooks concurrently, too.
const SENDERS: usize = 8;

/// Returns a text of at least this many bytes.
fn text(stanza: u32, bytes: usize) -> Vec<u8> {
    let text = format!("Message {stanza}{}", "x".repeat(bytes));
    let value = json!({
        "messaging_product": "whatsapp",
        "metadata": {"display_phone_number": "46701740605", "phone_number_id": "700800900100201"},
        "messages": [{"from": CLIENT, "id": wamid(CLIENT, true, stanza), "timestamp": Timestamp::now().as_second().to_string(),
            "type": "text", "text": {"body": text}}],
    });
    let entry = json!([{"id": "900100200300400", "changes": [{"field": "messages", "value": value}]}]);
    json!({"object": "whatsapp_business_account", "entry": entry}).to_string().into_bytes()
}

fn maildir() -> anyhow::Result<MailSystem<'static>> {
    Ok(MailSystem::Maildir(mailboxes()?.into_iter().map(String::from).collect()))
}

/// Sends texts of this size until each is confirmed. Returns how often they were sent.
async fn deliver(sender: &Sender, stanzas: Range<u32>, bytes: usize) -> anyhow::Result<u32> {
    let sent = stream::iter(stanzas).map(|stanza| async move { sender.deliver(&text(stanza, bytes)).await });
    let sent = sent.buffer_unordered(SENDERS);
    sent.try_fold(0, async |attempts, sent| Ok(attempts + sent.attempts)).await
}

/// Files everything, and asserts that each message is filed once.
async fn assert_each_filed_once(pipeline: &Pipeline, count: u32) -> anyhow::Result<()> {
    pipeline.store_events().await?;
    let fetched = pipeline.run(&Pipeline::backfill()).await?;
    let mut copies: BTreeMap<String, u32> = BTreeMap::new();
    for bytes in pipeline.mail(ADA)?.into_values() {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let id = text.lines().find_map(|line| line.strip_prefix("Message-ID: ")).context("no Message-ID")?;
        *copies.entry(id.to_owned()).or_default() += 1;
    }
    ensure!(copies.len() == count as usize, "{} of {count} are filed, {} were listed", copies.len(), fetched.listed);
    ensure!(copies.values().all(|copies| *copies == 1), "{copies:?}");
    ensure!(pipeline.dead_letters().await?.is_empty(), "an item is a dead letter");
    Ok(())
}

#[tokio::test]
async fn killed_receiver_loses_no_confirmed_webhook() -> anyhow::Result<()> {
    let kills = 12 * read_soak_factor()?;
    let count = u32::try_from(kills * 8)?;
    let pipeline = Pipeline::start_at(SHORT, ItemSource::Webhooks(Vec::new()), maildir()?, &[]).await?;
    pipeline.put_user_map(user_map()).await?;
    let (_server, sender) = pipeline.start_function_url(2).await?;
    let seed = read_seed()?;
    let mut chance = StdRng::seed_from_u64(seed);
    let working = pipeline.machine.work_receive().context("no event source")?;
    let function = pipeline.machine.receive().context("no receiver")?;
    let killed = Cell::new(0);
    let killing = async {
        while killed.get() < kills {
            // The time of the kill is random; the test waits for nothing.
            tokio::time::sleep(Duration::from_millis(chance.random_range(20..250))).await;
            let pids = function.pids();
            if !pids.is_empty() && function.kill(pids[chance.random_range(0..pids.len())]).await {
                killed.set(killed.get() + 1);
            }
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        delivered = deliver(&sender, 0..count, 0) => { delivered?; }
        () = killing => {}
    };
    // Webhooks are sent again also because all processes are busy, so the attempts would not show it.
    assert!(killed.get() > 0, "no process was killed: FAULT_SEED={seed}");
    working.stop().await;
    assert_each_filed_once(&pipeline, count).await.with_context(|| format!("FAULT_SEED={seed}"))
}

#[tokio::test]
async fn interrupted_request_loses_no_confirmed_webhook() -> anyhow::Result<()> {
    const WEBHOOKS: u32 = 60;
    let (proxy, interruptions) = PeriodicFaults::start(7, 3).await?;
    let pipeline = start_through_proxy(&proxy, SHORT, ItemSource::Webhooks(Vec::new()), maildir()?).await?;
    pipeline.put_user_map(user_map()).await?;
    let (_server, sender) = pipeline.start_function_url(2).await?;
    interruptions.arm(true);
    let working = pipeline.machine.work_receive().context("no event source")?;
    deliver(&sender, 0..WEBHOOKS, 0).await?;
    // Webhooks are sent again also because all processes are busy, so the attempts would not show it.
    assert!(interruptions.count() > 0, "no request was interrupted");
    pipeline.store_events().await?;
    working.stop().await;
    // Requests of the other functions have their own tests.
    interruptions.arm(false);
    assert_each_filed_once(&pipeline, WEBHOOKS).await
}

/// More concurrent webhooks than the function may handle: it rejects the others, and they are sent again. If each body
/// stayed in memory, the process would grow by twice the limit. SOAK=20 sends the ten thousand of a bad day;
/// `make bench PARTS=webhooks` measures them.
#[tokio::test]
async fn burst_of_webhooks_loses_none_in_bounded_memory() -> anyhow::Result<()> {
    const FIRST: u32 = 100;
    const BYTES: usize = 32 << 10;
    const MAX_GROWTH_KILOBYTES: u64 = 8 << 10;
    let count = u32::try_from(500 * read_soak_factor()?)?;
    let pace = Pace { concurrency: 1, ..Pace::default() };
    let pipeline = Pipeline::start_at(pace, ItemSource::Webhooks(Vec::new()), maildir()?, &[]).await?;
    let (_server, sender) = pipeline.start_function_url(1).await?;
    let function = pipeline.machine.receive().context("no receiver")?;
    let peak = || -> anyhow::Result<u64> {
        let peaks = function.pids().into_iter().map(harness::peak_kilobytes_of).collect::<anyhow::Result<Vec<_>>>()?;
        peaks.into_iter().max().context("no process is left")
    };
    let first = deliver(&sender, 0..FIRST, BYTES).await?;
    let before = peak()?;
    let all = FIRST + count;
    let attempts = first + deliver(&sender, FIRST..all, BYTES).await?;
    assert!(attempts > all, "no webhook was rejected");
    let after = peak()?;
    assert!(after < before + MAX_GROWTH_KILOBYTES, "{before} kB after {FIRST} webhooks, {after} kB after {all}");
    let bodies = pipeline.keys(model::keys::WEBHOOKS).await?.len();
    // A webhook whose confirmation was lost is stored twice.
    assert!(bodies >= all as usize, "{bodies} of {all} are kept");
    let queue = pipeline.machine.resources.receive.clone().context("no queue")?;
    let depth = local::event_source::depth(&pipeline.machine.cloud, &queue).await?;
    assert!(depth.total() >= u64::from(all), "{depth:?}");
    Ok(())
}

/// A body of a phone's history: more long messages than one task writes, in one webhook of nearly 3 MB.
#[tokio::test]
async fn history_of_three_megabytes_is_stored_whole() -> anyhow::Result<()> {
    const MESSAGES: u32 = 700;
    let pipeline = Pipeline::start_at(Pace::default(), ItemSource::Webhooks(Vec::new()), maildir()?, &[]).await?;
    let (_server, sender) = pipeline.start_function_url(2).await?;
    let message = |stanza: u32| {
        json!({"from": CLIENT, "id": wamid(CLIENT, true, stanza), "timestamp": "1795166043", "type": "text",
            "text": {"body": "x".repeat(4_000)}, "history_context": {"status": "READ"}})
    };
    let threads = json!([{"id": CLIENT, "messages": (0..MESSAGES).map(message).collect::<Vec<Value>>()}]);
    let value = json!({"messaging_product": "whatsapp",
        "metadata": {"display_phone_number": "46701740605", "phone_number_id": "700800900100201"},
        "history": [{"metadata": {"phase": 0, "chunk_order": 1, "progress": 100}, "threads": threads}]});
    let entry = json!([{"id": "900100200300400", "changes": [{"field": "history", "value": value}]}]);
    let body = json!({"object": "whatsapp_business_account", "entry": entry}).to_string().into_bytes();
    ensure!((2_800_000..3 << 20).contains(&body.len()), "{} bytes", body.len());
    ensure!(sender.deliver(&body).await?.attempts == 1, "the webhook was not confirmed at the first attempt");
    pipeline.store_events().await?;
    pipeline.until_logged("webhook split").await?;
    let fetched = pipeline.machine.fetch(&Pipeline::backfill()).await?;
    let stored = pipeline.keys("events/").await?.len();
    ensure!(stored == MESSAGES as usize, "{stored} of {MESSAGES} are stored");
    // One is listed twice where its task ran out of time between its two writes, and is filed once.
    let listed = fetched.listed;
    ensure!(listed >= u64::from(MESSAGES) && fetched.complete, "{listed} of {MESSAGES} are listed");
    Ok(())
}
