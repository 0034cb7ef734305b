//! SIGKILL and interrupted requests while a vendor's zip is read, and while its mails are rendered and filed.

use std::{
    cell::Cell,
    collections::BTreeMap,
    io::{Cursor, Write},
    time::Duration,
};

use anyhow::{Context, ensure};
use harness::{ItemSource, MailSystem, Pace, Pipeline};
use local::{
    cloud::Step,
    sample_source::{mailboxes, user_map},
};
use mail_parser::{MessageParser, MimeHeaders};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde_json::Value;
use zip::{ZipWriter, write::SimpleFileOptions};

use crate::{
    expectations::SHORT,
    interruptions::{PeriodicFaults, start_through_proxy},
    kills::{read_seed, run_and_kill_fetch},
};

const ADA: &str = "ada.lindqvist@example.com";
const MAILS: usize = 60;

fn build_zip(mails: usize) -> anyhow::Result<Vec<u8>> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let mut manifest = format!("Count: {mails}\n");
    for id in 0..mails {
        zip.start_file(format!("{id}.eml"), SimpleFileOptions::default())?;
        write!(
            zip,
            "Date: Fri, 20 Nov 2026 09:14:03 +0000\r\nFrom: \"+447700900123\" <447700900123@nomail.example>\r\n\
             To: \"Ada +46701740605\" <ada@elsewhere.example>\r\nX-TELEMESSAGE-ArchiveMessageID: {id}\r\n\r\nMessage {id}\r\n"
        )?;
        manifest += &format!("{id}.eml\n");
    }
    zip.start_file("day.mf", SimpleFileOptions::default())?;
    zip.write_all(manifest.as_bytes())?;
    Ok(zip.finish()?.into_inner())
}

#[tokio::test]
async fn vendors_zip_is_filed_once_when_its_readers_are_killed() -> anyhow::Result<()> {
    let addresses = mailboxes()?.into_iter().map(String::from).collect();
    let pipeline = Pipeline::start_at(SHORT, ItemSource::Mails, MailSystem::Maildir(addresses), &[]).await?;
    pipeline.put_user_map(user_map()).await?;
    pipeline.put("inbox/sftp/day.zip", build_zip(MAILS)?).await?;
    let seed = read_seed()?;
    let fetch_kills = run_and_kill_fetch(&pipeline, 10, seed).await;
    assert!(fetch_kills > 0, "fetch was not killed while it worked: FAULT_SEED={seed}");
    fetch_until_complete(&pipeline).await?;
    let mut chance = StdRng::seed_from_u64(seed);
    let working = pipeline.machine.work();
    let killed = Cell::new(0);
    let killing = async {
        while killed.get() < 10 {
            // The time of the kill is random; the test waits for nothing.
            tokio::time::sleep(Duration::from_millis(chance.random_range(20..400))).await;
            let step = if chance.random_bool(0.5) { Step::Convert } else { Step::Import };
            let function = pipeline.machine.function(step);
            for pid in function.pids() {
                killed.set(killed.get() + u32::from(function.kill(pid).await));
            }
        }
    };
    tokio::select! {
        () = killing => {}
        drained = pipeline.machine.drained(|_| {}) => drained?,
    }
    assert!(killed.get() > 0, "no process was killed: FAULT_SEED={seed}");
    working.stop().await;
    pipeline.drain().await?;
    assert_each_filed_once(&pipeline, MAILS).await.with_context(|| format!("FAULT_SEED={seed}"))
}

/// Runs fetch until a run is complete. A run that failed, or had no time left, is reported, and the next run does the
/// rest.
async fn fetch_until_complete(pipeline: &Pipeline) -> anyhow::Result<()> {
    const MAX_FAILURES: usize = 30;
    let mut failed = 0;
    while !pipeline.machine.fetch(&Pipeline::backfill()).await.is_ok_and(|fetched| fetched.complete) {
        failed += 1;
        ensure!(failed < MAX_FAILURES, "fetch failed {MAX_FAILURES} times:\n{}", pipeline.logs());
    }
    Ok(())
}

async fn assert_each_filed_once(pipeline: &Pipeline, mails: usize) -> anyhow::Result<()> {
    let mut copies: BTreeMap<String, usize> = BTreeMap::new();
    for bytes in pipeline.mail(ADA)?.into_values() {
        let message = MessageParser::new().parse(&bytes).context("invalid mail")?;
        let item = message.attachments().find(|part| part.attachment_name() == Some("whatsapp-item.json"));
        let item: Value = serde_json::from_slice(item.context("no evidence")?.contents())?;
        *copies.entry(item["id"].as_str().unwrap_or_default().to_owned()).or_default() += 1;
    }
    ensure!(copies.len() == mails, "{} of {mails} are filed", copies.len());
    ensure!(copies.values().all(|count| *count == 1), "{copies:?}");
    ensure!(pipeline.dead_letters().await?.is_empty(), "an item is a dead letter");
    Ok(())
}

#[tokio::test]
async fn vendors_zip_is_filed_once_when_requests_are_interrupted() -> anyhow::Result<()> {
    const MAILS: usize = 40;
    let (proxy, interruptions) = PeriodicFaults::start(11, 5).await?;
    let addresses = mailboxes()?.into_iter().map(String::from).collect();
    let pipeline =
        start_through_proxy(&proxy, Pace::default(), ItemSource::Mails, MailSystem::Maildir(addresses)).await?;
    pipeline.put_user_map(user_map()).await?;
    pipeline.put("inbox/sftp/day.zip", build_zip(MAILS)?).await?;
    interruptions.arm(true);
    fetch_until_complete(&pipeline).await?;
    pipeline.drain().await?;
    ensure!(interruptions.count() > 0, "no request was interrupted");
    interruptions.arm(false);
    assert_each_filed_once(&pipeline, MAILS).await
}
