//! Order of the writes to the bucket and the queues.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use anyhow::{Context, ensure};
use aws::s3::{Condition, Put};
use harness::{
    ItemSource, MailSystem, Pace, Pipeline,
    fault_proxy::{ConnectionFault, FaultProxy},
};
use jiff::{SignedDuration, Timestamp};
use local::event_source::depth;
use message::write::Renderer;
use model::{Captured, Cursor, ItemId, Outcome, RunId, Sha256, keys};
use serde_json::json;

use crate::{
    expectations::{self, ADA, BOB, filed},
    interruptions::start_through_proxy,
};

#[tokio::test]
async fn first_rendering_is_kept_as_evidence() -> anyhow::Result<()> {
    let sample = expectations::sample(&[filed("item/1")])?;
    let pipeline =
        Pipeline::start(ItemSource::Api(sample), MailSystem::Maildir(expectations::both_mailboxes()), &[]).await?;
    let id: ItemId = "item/1".parse()?;
    let key = keys::mime(&id.key());
    // Rendered before the text was changed at the source, and before ArchiveDomain was changed.
    let time = "2026-11-22T08:00:00Z";
    let item = json!({"id": "item/1", "messageId": "item/1", "type": "text", "messageTime": time, "archivedTime": time,
                      "network": "whatsapp", "chat": {"id": "chat", "type": "individual"}, "from": {"email": ADA},
                      "to": [{"email": BOB}], "text": "The earlier text.", "attachments": []});
    let rendered = Renderer::new("earlier.example.com")?.render(&Captured::from_value(item, &id)?, &[])?;
    let (message_id, earlier) = (rendered.message_id.clone(), rendered.mime(|_| &[]).to_vec());
    let (bytes, sha256) = (earlier.clone().into(), Some(Sha256::of(&earlier)));
    let put = Put { key: &key, bytes, content_type: "message/rfc822", sha256 };
    pipeline.store.put(put, Condition::Absent).await?;
    pipeline.run(&Pipeline::timer()).await?;
    let kept = pipeline.store.get(&key, 1 << 20).await?.context("the evidence is missing")?;
    assert_eq!(kept.bytes, earlier);
    for address in [ADA, BOB] {
        let copies = pipeline.mail(address)?;
        let is_earlier = |copy: &Vec<u8>| {
            let copy = String::from_utf8_lossy(copy);
            copy.contains(&message_id) && copy.contains("The earlier text.")
        };
        assert!(copies.len() == 1 && copies.values().all(is_earlier), "the copy of {address} is not of the evidence");
    }
    // A later attempt looks up the copy by it.
    let outcome = pipeline.store.get(&keys::outcome(&id.key()), 1 << 20).await?.context("no outcome")?;
    assert_eq!(Outcome::parse(&outcome.bytes)?.message_id, Some(message_id));
    Ok(())
}

#[tokio::test]
async fn cursor_never_moves_backwards() -> anyhow::Result<()> {
    let sample = expectations::sample(&[filed("item/1")])?;
    let pipeline =
        Pipeline::start(ItemSource::Api(sample), MailSystem::Maildir(expectations::both_mailboxes()), &[]).await?;
    // Later than the end of a run's window, which is 5 minutes ago.
    let later = Timestamp::now() - SignedDuration::from_mins(2);
    let cursor = json!({"v": 1, "archived_time": later, "run": "20260101T000000Z-daily-00000000"});
    pipeline.put(keys::CURSOR, cursor.to_string()).await?;
    for event in [Pipeline::timer(), Pipeline::backfill()] {
        pipeline.machine.fetch(&event).await?;
        let stored = pipeline.store.get(keys::CURSOR, 4096).await?.context("no cursor")?;
        let stored: Cursor = serde_json::from_slice(&stored.bytes)?;
        assert_eq!(stored.archived_time, later);
    }
    Ok(())
}

#[tokio::test]
async fn id_is_queued_only_after_its_manifest_is_written() -> anyhow::Result<()> {
    let sample = expectations::sample(&[filed("item/1"), filed("item/2")])?;
    let is_unavailable = Arc::new(AtomicBool::new(true));
    let shared = Arc::clone(&is_unavailable);
    let proxy = FaultProxy::start(move |request| {
        // The manifest itself, not the run record, which is written before.
        let is_manifest =
            request.starts_with("PUT") && request.lines().next().is_some_and(|line| line.contains("/items-"));
        if is_manifest && shared.load(Ordering::SeqCst) {
            ConnectionFault::BeforeExecution
        } else {
            ConnectionFault::None
        }
    });
    let proxy = proxy.await?;
    let to = MailSystem::Maildir(expectations::both_mailboxes());
    let pipeline = start_through_proxy(&proxy, Pace::default(), ItemSource::Api(sample), to).await?;
    ensure!(
        pipeline.machine.fetch(&Pipeline::timer()).await.is_err(),
        "a run without a manifest was reported as complete"
    );
    let convert = &pipeline.machine.resources.convert;
    assert_eq!(depth(&pipeline.machine.cloud, convert).await?.total(), 0);
    let cursor = pipeline.store.get(keys::CURSOR, 4096).await?.context("no cursor")?;
    let cursor: Cursor = serde_json::from_slice(&cursor.bytes)?;
    let day = SignedDuration::from_hours(24);
    assert!(cursor.archived_time <= Timestamp::now() - day, "the cursor is later than items that are not queued");
    is_unavailable.store(false, Ordering::SeqCst);
    let run: RunId = pipeline.machine.fetch(&Pipeline::timer()).await?.run;
    ensure!(pipeline.store.get(&keys::manifest(&run, 1), 1 << 20).await?.is_some());
    assert_eq!(depth(&pipeline.machine.cloud, convert).await?.total(), 2);
    Ok(())
}
