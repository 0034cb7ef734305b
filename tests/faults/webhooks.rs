//! Webhooks while the function that receives them is killed, while requests to S3 and SQS are interrupted, and in a burst.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use harness::{
    ItemSource, MailSystem, Pace, Pipeline,
    cutter::{Cut, Cutter},
};
use jiff::Timestamp;
use local::{
    sample_source::{mailboxes, user_map},
    webhooks::{Sender, wamid},
};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};

use crate::{
    cuts::{SDK_TRIES, through},
    expectations::SHORT,
    kills::{seed, soak},
};

const ADA: &str = "ada.lindqvist@example.com";
const CLIENT: &str = "447700900123";

/// Senders at once. Meta sends in parallel, too.
const SENDERS: usize = 8;

fn text(stanza: u32) -> Vec<u8> {
    let value = json!({
        "messaging_product": "whatsapp",
        "metadata": {"display_phone_number": "46701740605", "phone_number_id": "700800900100201"},
        "messages": [{"from": CLIENT, "id": wamid(CLIENT, true, stanza), "timestamp": Timestamp::now().as_second().to_string(),
            "type": "text", "text": {"body": format!("Message {stanza}")}}],
    });
    let entry = json!([{"id": "900100200300400", "changes": [{"field": "messages", "value": value}]}]);
    json!({"object": "whatsapp_business_account", "entry": entry}).to_string().into_bytes()
}

fn mail_system() -> anyhow::Result<MailSystem<'static>> {
    Ok(MailSystem::Maildir(mailboxes()?.into_iter().map(String::from).collect()))
}

/// Sends each webhook until it is confirmed. Returns how often they were sent.
async fn deliver(sender: &Sender, count: u32) -> anyhow::Result<u32> {
    let sent = stream::iter(0..count).map(|stanza| async move { sender.deliver(&text(stanza)).await });
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
    ensure!(pipeline.dead_letters().await?.is_empty(), "dead letters");
    Ok(())
}

#[tokio::test]
async fn killed_receiver_loses_no_confirmed_webhook() -> anyhow::Result<()> {
    let kills = 20 * soak()?;
    let count = u32::try_from(kills * 8)?;
    let pipeline = Pipeline::start_at(SHORT, ItemSource::Webhooks(Vec::new()), mail_system()?, &[]).await?;
    pipeline.put_user_map(user_map()).await?;
    let (_door, sender) = pipeline.open_door(2).await?;
    let seed = seed()?;
    let mut chance = StdRng::seed_from_u64(seed);
    let working = pipeline.machine.work_receive().context("no event source")?;
    let function = pipeline.machine.receive().context("no receiver")?;
    let killing = async {
        let mut killed = 0;
        while killed < kills {
            // The time of the kill is random; the test waits for nothing.
            tokio::time::sleep(Duration::from_millis(chance.random_range(20..250))).await;
            let pids = function.pids();
            if !pids.is_empty() && function.kill(pids[chance.random_range(0..pids.len())]).await {
                killed += 1;
            }
        }
        std::future::pending::<()>().await;
    };
    let attempts = tokio::select! {
        attempts = deliver(&sender, count) => attempts?,
        () = killing => 0,
    };
    assert!(attempts > count, "no webhook was interrupted: FAULT_SEED={seed}");
    working.stop().await;
    assert_each_filed_once(&pipeline, count).await.with_context(|| format!("FAULT_SEED={seed}"))
}

#[tokio::test]
async fn interrupted_request_loses_no_confirmed_webhook() -> anyhow::Result<()> {
    const WEBHOOKS: u32 = 60;
    // Every seventh request is interrupted, once or until the SDK gives up, before or after it was executed.
    let (requests, left, armed) = (AtomicU32::new(0), AtomicU32::new(0), Arc::new(AtomicBool::new(false)));
    let is_armed = Arc::clone(&armed);
    let cutter = Cutter::start(move |_| {
        if !is_armed.load(Ordering::SeqCst) {
            return Cut::Never;
        }
        let number = requests.fetch_add(1, Ordering::SeqCst);
        if number.is_multiple_of(7) {
            left.fetch_add(if number.is_multiple_of(3) { SDK_TRIES } else { 1 }, Ordering::SeqCst);
        }
        let is_cut = left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
        match (is_cut, number.is_multiple_of(2)) {
            (false, _) => Cut::Never,
            (true, true) => Cut::Before,
            (true, false) => Cut::After,
        }
    });
    let cutter = cutter.await?;
    let pipeline = through(&cutter, SHORT, ItemSource::Webhooks(Vec::new()), mail_system()?).await?;
    pipeline.put_user_map(user_map()).await?;
    let (_door, sender) = pipeline.open_door(2).await?;
    armed.store(true, Ordering::SeqCst);
    let working = pipeline.machine.work_receive().context("no event source")?;
    let attempts = deliver(&sender, WEBHOOKS).await?;
    assert!(attempts > WEBHOOKS, "no webhook was interrupted");
    pipeline.store_events().await?;
    working.stop().await;
    // Requests of the other functions have their own tests.
    armed.store(false, Ordering::SeqCst);
    assert_each_filed_once(&pipeline, WEBHOOKS).await
}

/// More at once than the function may handle: the rest is rejected and comes again. SOAK=10 sends the ten thousand of a
/// bad day; `make bench PARTS=webhooks` measures them.
#[tokio::test]
async fn burst_of_webhooks_loses_none_and_needs_no_memory() -> anyhow::Result<()> {
    let count = u32::try_from(1_000 * soak()?)?;
    let pace = Pace { concurrency: 1, ..Pace::default() };
    let pipeline = Pipeline::start_at(pace, ItemSource::Webhooks(Vec::new()), mail_system()?, &[]).await?;
    let (_door, sender) = pipeline.open_door(1).await?;
    let function = pipeline.machine.receive().context("no receiver")?;
    let peak = || -> anyhow::Result<u64> {
        let peaks = function.pids().into_iter().map(harness::peak_kilobytes_of).collect::<anyhow::Result<Vec<_>>>()?;
        peaks.into_iter().max().context("no process is left")
    };
    let first = deliver(&sender, 100).await?;
    let before = peak()?;
    let attempts = first + deliver(&sender, count).await?;
    assert!(attempts > count + 100, "no webhook was rejected");
    let after = peak()?;
    assert!(after < before + (8 << 10), "{before} kB after a hundred webhooks, {after} kB after {count}");
    let mut bodies = 0;
    let each = |page: Vec<aws::s3::Listed>| {
        bodies += page.len();
        std::future::ready(Ok::<_, aws::s3::StoreError>(()))
    };
    pipeline.store.list(model::keys::WEBHOOKS, each).await?;
    // The first hundred came twice, in other seconds.
    assert!(bodies >= count as usize, "{bodies} of {count} are kept");
    let queue = pipeline.machine.resources.receive.clone().context("no queue")?;
    let depth = local::event_source::depth(&pipeline.machine.cloud, &queue).await?;
    assert!(depth.total() >= u64::from(count), "{depth:?}");
    Ok(())
}

/// A body of a phone's history: hundreds of long messages in one webhook of nearly 3 MB.
#[tokio::test]
async fn history_of_three_megabytes_is_stored_whole() -> anyhow::Result<()> {
    const MESSAGES: u32 = 700;
    let pipeline = Pipeline::start_at(Pace::default(), ItemSource::Webhooks(Vec::new()), mail_system()?, &[]).await?;
    let (_door, sender) = pipeline.open_door(2).await?;
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
    ensure!(sender.deliver(&body).await?.attempts == 1, "it was not confirmed at once");
    pipeline.store_events().await?;
    let fetched = pipeline.machine.fetch(&Pipeline::backfill()).await?;
    ensure!(
        fetched.listed == u64::from(MESSAGES) && fetched.complete,
        "{} of {MESSAGES} are listed, complete: {}",
        fetched.listed,
        fetched.complete
    );
    Ok(())
}
