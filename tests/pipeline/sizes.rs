//! Items at and above the limit of 10 MB.

use harness::{ItemSource, MailSystem, Pipeline};
use jiff::Timestamp;
use local::{
    cloud::Step,
    sample_source::{Fault, On, Rule, Sample},
};
use serde_json::{Value, json};

use crate::dead_letters;

const LIMIT: u64 = 10 * 1024 * 1024;
pub(crate) const ADA: &str = "ada@example.com";

/// Returns an item with a caption of one byte and these attachments.
pub(crate) fn item(id: &str, expect: Value, attachments: Value) -> Value {
    json!({"expect": expect, "item": {
        "id": id, "messageId": id, "type": "document", "messageTime": "-PT3H", "archivedTime": "-PT2H",
        "chat": {"id": "chat", "type": "individual"}, "from": "@ada", "to": ["@bob"], "text": "x",
        "attachments": attachments}})
}

pub(crate) fn file(id: &str, bytes: u64) -> Value {
    json!({"id": id, "name": format!("{id}.bin"), "contentType": "application/octet-stream", "media": {"bytes": bytes}})
}

/// Returns a file whose declared size is wrong.
pub(crate) fn declared(id: &str, bytes: u64, size: u64) -> Value {
    let mut file = file(id, bytes);
    file["size"] = json!(size);
    file["chunked"] = json!(true);
    file
}

pub(crate) fn sample(items: &[Value]) -> anyhow::Result<Sample> {
    let people = json!({"ada": {"name": "Ada", "phone": "+4520123456", "email": ADA}, "bob": {"phone": "+4520123457"}});
    Ok(Sample::written(&json!({"people": people, "items": items}).to_string(), Timestamp::now())?)
}

#[tokio::test]
async fn item_at_the_size_limit_is_filed_and_above_it_dead_letters() -> anyhow::Result<()> {
    let sample = sample(&[
        item("one/full", json!([ADA]), json!([file("a", LIMIT - 1)])),
        item(
            "three/full",
            json!([ADA]),
            json!([file("a", 4_000_000), file("b", 4_000_000), file("c", LIMIT - 8_000_001)]),
        ),
        item("one/over", json!("oversize"), json!([file("a", LIMIT)])),
        item("two/over", json!("oversize"), json!([file("a", LIMIT - 1), file("b", 1)])),
        item("undeclared/over", json!("oversize"), json!([declared("a", LIMIT, 1)])),
    ])?;
    let pipeline = Pipeline::start(ItemSource::Api(sample), MailSystem::Maildir(vec![ADA.to_owned()]), &[]).await?;
    pipeline.run(&Pipeline::timer()).await?;
    let mail = pipeline.mail(ADA)?;
    assert_eq!(mail.len(), 2);
    for message in mail.values() {
        let message = mail_parser::MessageParser::new().parse(message).unwrap();
        let bytes: usize = message
            .attachments()
            .filter(|part| !part.contents().starts_with(b"{"))
            .map(|part| part.contents().len())
            .sum();
        assert_eq!(bytes as u64, LIMIT - 1);
    }
    let dead_letters = pipeline.dead_letters().await?;
    assert!(dead_letters.iter().all(|dead_letter| dead_letter.attributes["reason"] == "oversize"));
    assert_eq!(dead_letters.len(), 3);
    let requested = pipeline.source.as_ref().map(|source| source.requests().attachments);
    assert_eq!(requested, Some(1 + 3 + 1), "a file was downloaded although its declared size exceeds the limit");
    Ok(())
}

/// Declared sizes are not trustworthy: the operator's limit counts, and the bytes that are received.
#[tokio::test]
async fn replay_files_an_item_with_an_absurd_declared_size() -> anyhow::Result<()> {
    let absurd = 1_000_000_000_000;
    let sample = sample(&[
        item("absurd", json!([ADA]), json!([declared("a", 2048, absurd)])),
        item("large", json!("oversize"), json!([declared("a", LIMIT + 2048, absurd)])),
    ])?;
    let pipeline = Pipeline::start(ItemSource::Api(sample), MailSystem::Maildir(vec![ADA.to_owned()]), &[]).await?;
    pipeline.run(&Pipeline::timer()).await?;
    assert_eq!(pipeline.dead_letters_by_reason().await?.get("oversize"), Some(&2));
    assert_eq!(pipeline.source.as_ref().map(|source| source.requests().attachments), Some(0));

    let limit = (LIMIT + 1024).to_string();
    let (code, _, stderr) = dead_letters::run(&pipeline, &["replay", "--yes", "--max-item-bytes", &limit]).await?;
    assert_eq!(code, 0, "{stderr}");
    pipeline.drain().await?;
    let mail: Vec<_> = pipeline.mail(ADA)?.into_values().collect();
    let [mail] = &mail[..] else { panic!("{} copies", mail.len()) };
    let mail = mail_parser::MessageParser::new().parse(mail).expect("the message cannot be parsed");
    assert_eq!(mail.attachment(0).map(|part| part.contents().len()), Some(2048));
    let text = mail.body_text(0).unwrap_or_default();
    assert!(text.contains("received 2,048"), "{text}");
    assert_eq!(
        pipeline.dead_letters_by_reason().await?.get("oversize"),
        Some(&1),
        "the limit of the replay is not kept"
    );
    Ok(())
}

#[tokio::test]
async fn endless_download_is_stopped_with_bounded_memory() -> anyhow::Result<()> {
    let sample = sample(&[
        item("endless", json!("oversize"), json!([declared("a", 1024, 1024)])),
        item("small", json!([ADA]), json!([file("a", 1024)])),
    ])?;
    let pipeline = Pipeline::start(ItemSource::Api(sample), MailSystem::Maildir(vec![ADA.to_owned()]), &[]).await?;
    if let Some(source) = &pipeline.source {
        source.inject_fault(Rule {
            on: On::AttachmentsOf("endless".to_owned()),
            times: u64::MAX,
            fault: Fault::Endless,
        });
    }
    pipeline.run(&Pipeline::timer()).await?;
    assert_eq!(pipeline.copies()?.get(ADA), Some(&1));
    assert_eq!(pipeline.dead_letters_by_reason().await?.get("oversize"), Some(&1));
    let peak = pipeline.peak_kilobytes(Step::Convert)?;
    // The process itself, and less than three times the limit for the bytes read before the download is stopped.
    assert!(peak < 120_000, "convert took {peak} kB");
    Ok(())
}
