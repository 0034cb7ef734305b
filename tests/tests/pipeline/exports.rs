//! Chats that phones exported, from the inbox to a mailbox.

use std::collections::BTreeMap;

use anyhow::Context;
use jiff::{Timestamp, tz::TimeZone};
use mail_parser::MessageParser;
use pipeline_tests::{From, Pipeline, To};
use serde_json::Value;

const ME: &str = "me@example.com";

/// The messages of a mailbox by the line that they have in the export: time, text in the evidence, text in the body.
fn by_line(pipeline: &Pipeline) -> anyhow::Result<BTreeMap<u64, (Timestamp, String, String)>> {
    let mut lines = BTreeMap::new();
    for bytes in pipeline.mail(ME)?.values() {
        let message = MessageParser::new().parse(bytes).context("a mail that is none")?;
        let evidence =
            message.attachments().filter(|part| part.contents().starts_with(b"{")).last().context("no evidence")?;
        let evidence: Value = serde_json::from_slice(evidence.contents())?;
        let text = evidence["text"].as_str().unwrap_or_default().to_owned();
        let time = Timestamp::from_second(message.date().context("no date")?.to_timestamp())?;
        let body = message.body_text(0).context("no body")?.replace("\r\n", "\n");
        let line = evidence["export"]["line"].as_u64().context("no line")?;
        assert!(lines.insert(line, (time, text, body)).is_none(), "line {line} is there twice");
    }
    Ok(lines)
}

#[tokio::test]
async fn every_message_is_filed_once_with_its_own_words_and_time() -> anyhow::Result<()> {
    let chat = "21/11/2026, 09:58 - Messages and calls are end-to-end encrypted.\n\
                21/11/2026, 09:59 - Ada: God morgen 👩‍🏫\n\
                21/11/2026, 10:00 - Bob: two\nlines, *bold*\n\
                21/11/2026, 10:00 - Bob: two\nlines, *bold*\n\
                21/11/2026, 10:01 - Ada: שלום, e\u{301} is not é\n\
                21/11/2026, 10:02 - Bob: <Media omitted>\n";
    let pipeline = Pipeline::start(From::Exports("Europe/Copenhagen"), To::Maildir(vec![ME.to_owned()]), &[]).await?;
    pipeline.put(&format!("inbox/{ME}/WhatsApp Chat with Team.txt"), chat).await?;
    let fetched = pipeline.run(&Pipeline::backfill()).await?;
    assert_eq!((fetched.listed, pipeline.mail(ME)?.len()), (6, 6));

    let lines = by_line(&pipeline)?;
    let zone = TimeZone::get("Europe/Copenhagen")?;
    let clock: Vec<_> =
        lines.values().map(|(time, ..)| time.to_zoned(zone.clone()).strftime("%H:%M").to_string()).collect();
    assert_eq!(clock, ["09:58", "09:59", "10:00", "10:00", "10:01", "10:02"]);
    let texts: Vec<_> = lines.values().map(|(_, text, _)| text.as_str()).collect();
    assert_eq!(texts[1..5], ["God morgen 👩‍🏫", "two\nlines, *bold*", "two\nlines, *bold*", "שלום, e\u{301} is not é"]);
    for (_, text, body) in lines.values().skip(1).take(4) {
        assert!(body.contains(text.as_str()), "{body}");
    }

    // The chat grew, and was exported again under its name: only what is new is filed.
    let grown = format!("{chat}22/11/2026, 08:00 - Ada: one more\n");
    pipeline.put(&format!("inbox/{ME}/WhatsApp Chat with Team.txt"), grown).await?;
    pipeline.run(&Pipeline::backfill()).await?;
    assert_eq!(pipeline.mail(ME)?.len(), 7);
    assert!(pipeline.dead_letters().await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn a_file_that_is_no_export_is_one_letter_and_holds_nobody_up() -> anyhow::Result<()> {
    let pipeline = Pipeline::start(From::Exports("UTC"), To::Maildir(vec![ME.to_owned()]), &[]).await?;
    pipeline.put(&format!("inbox/{ME}/holiday.txt"), "no message at all\n").await?;
    pipeline.put(&format!("inbox/{ME}/broken.zip"), "PK\u{3}\u{4} and then nothing").await?;
    pipeline.put("inbox/not an address/chat.txt", "21/11/2026, 09:59 - Ada: lost?\n").await?;
    pipeline.put(&format!("inbox/{ME}/good.txt"), "21/11/2026, 09:59 - Ada: hello\n").await?;
    pipeline.run(&Pipeline::backfill()).await?;
    assert_eq!(pipeline.mail(ME)?.len(), 1);
    let reasons = pipeline.dead_letters_by_reason().await?;
    assert_eq!(reasons, BTreeMap::from([("item-malformed".to_owned(), 2), ("item-not-found".to_owned(), 1)]));
    Ok(())
}
