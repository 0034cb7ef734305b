//! Items above 10 MB are filed completely with memory that does not grow with their size.

use std::{process::Command, time::Duration};

use dovecot::{Dovecot, Options};
use graph_fake::{GraphFake, Kind, User};
use harness::{ItemSource, MailSystem, Pace, Pipeline};
use jiff::{SignedDuration, Timestamp};
use local::{
    cloud::Step,
    ministack::Ministack,
    sample_source::{Fault, On, Rule, generated},
};
use model::{Hasher, Sha256};
use serde_json::{Value, json};

use crate::{
    large_objects::count_uploads,
    measured_command::{MeasuredCommand, run_measured},
    sizes::{ADA, declared, file, item, sample},
};

const FOLDER: &str = "WhatsApp Archiver";

const MIB: u64 = 1 << 20;

/// Size of a large file, well above the memory limit.
const LARGE_BYTES: u64 = 120 * MIB - 1;

/// Memory limit for a large item. Part of the function's 512 MB must remain for items of normal size.
const MAX_KILOBYTES: u64 = 100_000;

/// Long enough for a debug build, which is slow.
const PACE: Pace =
    Pace { timeout: Duration::from_secs(280), visibility: Duration::from_secs(560), concurrency: 1, max_receives: 50 };

fn digest_of_generated(size: u64) -> Sha256 {
    let mut hasher = Hasher::default();
    generated(size).for_each(|chunk| hasher.update(&chunk));
    hasher.finish()
}

fn assert_bounded(pipeline: &Pipeline) -> anyhow::Result<()> {
    for step in [Step::Convert, Step::Import] {
        let peak = pipeline.peak_kilobytes(step)?;
        assert!(peak < MAX_KILOBYTES, "{step:?} took {peak} kB");
    }
    Ok(())
}

#[tokio::test]
async fn large_video_is_filed_once_unchanged_in_maildir() -> anyhow::Result<()> {
    let size = LARGE_BYTES;
    let video =
        sample(&[item("video", json!([ADA]), json!([file("a", size)])), item("note", json!([ADA]), json!([]))])?;
    let mail_system = MailSystem::Maildir(vec![ADA.to_owned()]);
    let pipeline = Pipeline::start_at(PACE, ItemSource::Api(video), mail_system, &[("OVERSIZE", "import")]).await?;
    pipeline.run(&Pipeline::timer()).await?;
    assert_bounded(&pipeline)?;
    let mail = pipeline.mail(ADA)?;
    assert_eq!(mail.len(), 2, "{}", pipeline.logs());
    let large = mail.values().max_by_key(|message| message.len()).expect("no message");
    let parsed = mail_parser::MessageParser::new().parse(large).expect("the message cannot be parsed");
    let video = parsed.attachment(0).expect("the message has no video").contents();
    assert_eq!((video.len() as u64, Sha256::of(video)), (size, digest_of_generated(size)));
    pipeline.run(&Pipeline::backfill()).await?;
    assert_eq!(pipeline.mail(ADA)?.len(), 2);
    assert_eq!(count_uploads(&pipeline).await?, 0);

    // Commands that read the item afterwards need no more memory.
    let deep_check = run_command(&pipeline, &["reconcile", "--deep", "--settled", "--json"]).await?;
    assert_eq!((&deep_check["damaged"], &deep_check["copies_found"]), (&json!([]), &json!(2)));
    let yesterday = (Timestamp::now() - SignedDuration::from_hours(24)).strftime("%Y-%m-%d").to_string();
    let report = run_command(&pipeline, &["report", "--from", &yesterday, "--json"]).await?;
    let mapping = &report["mapping"];
    assert_eq!((&mapping["looked_into"], &mapping["unreadable"]), (&json!(2), &json!(0)));
    assert_eq!(mapping["users"][0]["user"]["phone"], "+4520123457", "the participants without a mailbox are missing");
    Ok(())
}

/// Returns the JSON output of the command.
async fn run_command(pipeline: &Pipeline, arguments: &[&str]) -> anyhow::Result<Value> {
    let mut command = Command::new(harness::binaries()?.join("archiver"));
    command.args(arguments).env_clear().env("AWS_REGION", Ministack::REGION);
    // The variables of import, and the queue that import does not use.
    command.envs(pipeline.machine.variables(Step::Import));
    command.env("CONVERT_QUEUE_URL", &pipeline.machine.resources.convert.url);
    let MeasuredCommand { output, peak_kilobytes, .. } = run_measured(command).await?;
    let printed = String::from_utf8(output.stdout)?;
    assert_eq!(output.status.code(), Some(0), "{printed}{}", String::from_utf8_lossy(&output.stderr));
    assert!(peak_kilobytes < MAX_KILOBYTES, "{arguments:?} took {peak_kilobytes} kB");
    Ok(serde_json::from_str(&printed)?)
}

#[tokio::test]
async fn large_video_is_filed_once_unchanged_in_graph() -> anyhow::Result<()> {
    // The largest file that Graph takes.
    let size = 150 * MIB - 1;
    let graph = GraphFake::start().await?;
    graph.add(User::new(ADA));
    let video = sample(&[item("video", json!([ADA]), json!([file("a", size)]))])?;
    let pipeline =
        Pipeline::start_at(PACE, ItemSource::Api(video), MailSystem::Graph(&graph), &[("OVERSIZE", "import")]).await?;
    pipeline.run(&Pipeline::timer()).await?;
    assert_bounded(&pipeline)?;
    let messages = graph.messages(ADA);
    assert_eq!(messages.len(), 1, "{}", pipeline.logs());
    assert!(messages[0].visible && !messages[0].is_draft);
    let mut files: Vec<_> =
        messages[0].attachments.iter().map(|file| (file.bytes.len() as u64, Sha256::of(&file.bytes))).collect();
    files.sort_by_key(|(length, _)| *length);
    assert_eq!(files.len(), 2, "the copy lacks the video or the evidence");
    assert_eq!(files[1], (size, digest_of_generated(size)));
    let pieces = graph.count(Kind::Upload);
    pipeline.run(&Pipeline::backfill()).await?;
    assert_eq!((graph.messages(ADA).len(), graph.count(Kind::Upload)), (1, pieces));
    Ok(())
}

#[tokio::test]
async fn large_video_is_filed_once_unchanged_in_imap() -> anyhow::Result<()> {
    let size = LARGE_BYTES;
    let server = Dovecot::start(&Options { users: vec![ADA.to_owned()], tls: true, ..Options::default() })?;
    let video = sample(&[item("video", json!([ADA]), json!([file("a", size)]))])?;
    let mail_system = MailSystem::Imap(&server, ADA);
    let pipeline = Pipeline::start_at(PACE, ItemSource::Api(video), mail_system, &[("OVERSIZE", "import")]).await?;
    pipeline.run(&Pipeline::timer()).await?;
    assert_bounded(&pipeline)?;
    let copies = server.copies(ADA, FOLDER)?;
    assert_eq!(copies.len(), 1, "{}", pipeline.logs());
    let parsed = mail_parser::MessageParser::new().parse(&copies[0].bytes).expect("the message cannot be parsed");
    let video = parsed.attachment(0).expect("the message has no video").contents();
    assert_eq!((video.len() as u64, Sha256::of(video)), (size, digest_of_generated(size)));
    pipeline.run(&Pipeline::backfill()).await?;
    assert_eq!(server.copies(ADA, FOLDER)?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn item_above_the_hard_limit_dead_letters_despite_declaration() -> anyhow::Result<()> {
    let sample = sample(&[
        item("at-limit", json!([ADA]), json!([file("a", 15 * MIB), file("b", 5 * MIB - 1)])),
        item("above-limit", json!("oversize"), json!([file("a", 15 * MIB), file("b", 5 * MIB)])),
        item("endless", json!("oversize"), json!([declared("a", 1024, 1024)])),
    ])?;
    let variables = [("OVERSIZE", "import"), ("OVERSIZE_MAX_BYTES", "20971520")];
    let pipeline =
        Pipeline::start_at(PACE, ItemSource::Api(sample), MailSystem::Maildir(vec![ADA.to_owned()]), &variables)
            .await?;
    if let Some(source) = &pipeline.source {
        source.inject_fault(Rule {
            on: On::AttachmentsOf("endless".to_owned()),
            times: u64::MAX,
            fault: Fault::Endless,
        });
        source.inject_fault(Rule { on: On::AttachmentsOf("at-limit".to_owned()), times: 1, fault: Fault::Break });
    }
    pipeline.run(&Pipeline::timer()).await?;
    let mail = pipeline.mail(ADA)?;
    assert_eq!(mail.len(), 1);
    let parsed = mail.values().next().and_then(|mail| mail_parser::MessageParser::new().parse(mail));
    let parsed = parsed.expect("the message cannot be parsed");
    let found: Vec<_> = parsed.attachments().take(2).map(|part| Sha256::of(part.contents())).collect();
    assert_eq!(
        found,
        [15 * MIB, 5 * MIB - 1].map(digest_of_generated),
        "the file was not downloaded again after an interruption"
    );
    assert_eq!(pipeline.dead_letters_by_reason().await?.get("oversize"), Some(&2));
    assert_bounded(&pipeline)
}
