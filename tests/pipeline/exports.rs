//! Exported chats, from the inbox to the mailbox of their owner.

use std::{
    collections::BTreeMap,
    io::{Cursor, Write},
};

use anyhow::Context;
use harness::{ItemSource, MailSystem, Pipeline};
use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use mail_parser::MessageParser;
use model::Window;
use serde_json::Value;
use source::{ChatExports, ExportSettings, Source, SourceError};
use zip::{ZipWriter, write::SimpleFileOptions};

const OWNER: &str = "me@example.com";

/// Returns the messages in the owner's mailbox by their line in the export: the time, the text in the evidence, and the
/// text in the body.
fn messages_by_line(pipeline: &Pipeline) -> anyhow::Result<BTreeMap<u64, (Timestamp, String, String)>> {
    let mut lines = BTreeMap::new();
    for bytes in pipeline.mail(OWNER)?.values() {
        let message = MessageParser::new().parse(bytes).context("invalid mail")?;
        let evidence =
            message.attachments().filter(|part| part.contents().starts_with(b"{")).last().context("no evidence")?;
        let evidence: Value = serde_json::from_slice(evidence.contents())?;
        let text = evidence["text"].as_str().unwrap_or_default().to_owned();
        let time = Timestamp::from_second(message.date().context("no date")?.to_timestamp())?;
        // The body marks each line of a participant's text with `| `.
        let body = message.body_text(0).context("no body")?.replace("\r\n", "\n").replace("\n| ", "\n");
        let line = evidence["export"]["line"].as_u64().context("no line")?;
        assert!(lines.insert(line, (time, text, body)).is_none(), "line {line} is filed twice");
    }
    Ok(lines)
}

#[tokio::test]
async fn exported_message_is_filed_once_with_its_text_and_time() -> anyhow::Result<()> {
    let chat = "21/11/2026, 09:58 - Messages and calls are end-to-end encrypted.\n\
                21/11/2026, 09:59 - Ada: God morgen 👩‍🏫\n\
                21/11/2026, 10:00 - Bob: two\nlines, *bold*\n\
                21/11/2026, 10:00 - Bob: two\nlines, *bold*\n\
                21/11/2026, 10:01 - Ada: שלום, e\u{301} is not é\n\
                21/11/2026, 10:02 - Bob: <Media omitted>\n";
    let pipeline =
        Pipeline::start(ItemSource::ChatExports("Europe/Copenhagen"), MailSystem::Maildir(vec![OWNER.to_owned()]), &[])
            .await?;
    pipeline.put(&format!("inbox/{OWNER}/WhatsApp Chat with T\u{e9}am.txt"), chat).await?;
    let fetched = pipeline.run(&Pipeline::backfill()).await?;
    assert_eq!((fetched.listed, pipeline.mail(OWNER)?.len()), (6, 6));

    let lines = messages_by_line(&pipeline)?;
    let zone = TimeZone::get("Europe/Copenhagen")?;
    let times: Vec<_> =
        lines.values().map(|(time, ..)| time.to_zoned(zone.clone()).strftime("%H:%M").to_string()).collect();
    assert_eq!(times, ["09:58", "09:59", "10:00", "10:00", "10:01", "10:02"]);
    let texts: Vec<_> = lines.values().map(|(_, text, _)| text.as_str()).collect();
    assert_eq!(texts[1..5], ["God morgen 👩‍🏫", "two\nlines, *bold*", "two\nlines, *bold*", "שלום, e\u{301} is not é"]);
    for (_, text, body) in lines.values().skip(1).take(4) {
        assert!(body.contains(text.as_str()), "{body}");
    }

    // The chat has grown and is exported again under the same name, which another computer writes decomposed: only new
    // messages are filed.
    let longer_chat = format!("{chat}22/11/2026, 08:00 - Ada: one more\n");
    pipeline.put(&format!("inbox/{OWNER}/WhatsApp Chat with Te\u{301}am.txt"), longer_chat).await?;
    pipeline.run(&Pipeline::backfill()).await?;
    assert_eq!(pipeline.mail(OWNER)?.len(), 7);
    assert!(pipeline.dead_letters().await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn file_that_was_missing_is_filed_by_a_complete_upload() -> anyhow::Result<()> {
    let pipeline =
        Pipeline::start(ItemSource::ChatExports("UTC"), MailSystem::Maildir(vec![OWNER.to_owned()]), &[]).await?;
    let chat: &[u8] = b"21/11/2026, 10:00 - Bob: IMG-1.jpg (file attached)\n21/11/2026, 10:01 - Ada: thanks\n";
    let picture: &[u8] = b"the picture that was missing";
    let mut count_with_picture = Vec::new();
    for files in [&[][..], &[("IMG-1.jpg", picture)], &[("IMG-1.jpg", picture)]] {
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        for (name, bytes) in [&[("_chat.txt", chat)], files].concat() {
            zip.start_file(name, SimpleFileOptions::default())?;
            zip.write_all(bytes)?;
        }
        let zip = zip.finish()?.into_inner();
        pipeline.put(&format!("inbox/{OWNER}/WhatsApp Chat with Bob.zip"), zip).await?;
        pipeline.run(&Pipeline::backfill()).await?;
        let mail = pipeline.mail(OWNER)?;
        let with_picture = mail.values().filter(|bytes| {
            let message = MessageParser::new().parse(bytes.as_slice());
            message.is_some_and(|message| message.attachments().any(|part| part.contents() == picture))
        });
        count_with_picture.push((mail.len(), with_picture.count()));
    }
    assert_eq!(count_with_picture, [(2, 0), (3, 1), (3, 1)]);
    assert!(pipeline.dead_letters().await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn invalid_export_is_one_dead_letter_and_blocks_no_other() -> anyhow::Result<()> {
    let pipeline =
        Pipeline::start(ItemSource::ChatExports("UTC"), MailSystem::Maildir(vec![OWNER.to_owned()]), &[]).await?;
    pipeline.put(&format!("inbox/{OWNER}/holiday.txt"), "no message at all\n").await?;
    pipeline.put(&format!("inbox/{OWNER}/broken.zip"), "PK\u{3}\u{4} and then nothing").await?;
    let lost = "21/11/2026, 09:59 - Ada: lost?\n21/11/2026, 10:00 - Ada: and this?\n";
    pipeline.put("inbox/not an address/chat.txt", lost).await?;
    pipeline.put("inbox/Me@Example.com/chat.txt", lost).await?;
    pipeline.put(&format!("inbox/{OWNER}/{}.txt", "long".repeat(60)), lost).await?;
    pipeline.put(&format!("inbox/{OWNER}/good.txt"), "21/11/2026, 09:59 - Ada: hello\n").await?;
    pipeline.run(&Pipeline::backfill()).await?;
    assert_eq!(pipeline.mail(OWNER)?.len(), 1);
    let dead_letters = pipeline.dead_letters().await?;
    assert!(
        dead_letters.iter().all(|dead_letter| dead_letter.attributes["reason"] == "item-malformed"),
        "{dead_letters:?}"
    );
    let count_with_detail =
        |text: &str| dead_letters.iter().filter(|dead_letter| dead_letter.attributes["detail"].contains(text)).count();
    assert_eq!(
        (dead_letters.len(), count_with_detail("in lower case"), count_with_detail("name is too long")),
        (5, 2, 1),
        "{dead_letters:?}"
    );
    Ok(())
}

#[tokio::test]
async fn changed_participant_table_is_used_by_the_next_read() -> anyhow::Result<()> {
    let pipeline = Pipeline::start(ItemSource::ChatExports("UTC"), MailSystem::Maildir(Vec::new()), &[]).await?;
    let exports = ChatExports::new(pipeline.store.clone(), ExportSettings::in_zone(TimeZone::UTC));
    let (chat, table) = (format!("inbox/{OWNER}/chat.txt"), format!("inbox/{OWNER}/chat.txt.participants.csv"));
    pipeline.put(&chat, "21/11/2026, 09:59 - Ada: hello\n").await?;
    let now = Timestamp::now();
    let hour = SignedDuration::from_hours(1);
    let page = exports.list(&Window::between(now - hour, now + hour)?, None).await?;
    let id = page.items.first().and_then(|listed| listed.item.as_str()).context("nothing is listed")?.parse()?;
    let sender_phone = async || {
        let evidence: Value = serde_json::from_slice(&exports.item(&id).await?.evidence)?;
        anyhow::Ok(evidence["export"]["fromPhone"].as_str().map(str::to_owned))
    };
    assert_eq!(sender_phone().await?, None);
    for number in ["+45 11 22 33 44", "+45 99 88 77 66"] {
        pipeline.put(&table, format!("name,phone,email\nAda,{number},\n")).await?;
        assert_eq!(sender_phone().await?.as_deref(), Some(number));
        assert_eq!(sender_phone().await?.as_deref(), Some(number), "the participants changed without a new file");
    }

    // An invalid row makes no dead letters: the messages wait until the row is fixed.
    pipeline.put(&table, "name,phone,email\nAda,,ada\n").await?;
    let error = exports.item(&id).await.err().context("the source accepted an invalid row")?;
    assert!(matches!(&error, SourceError::Configuration { detail } if detail.contains("line 2")), "{error}");
    pipeline.put(&table, "name,phone,email\nAda,+45 11 22 33 44,\n").await?;
    assert_eq!(sender_phone().await?.as_deref(), Some("+45 11 22 33 44"));

    // The chat has grown and has another participant.
    pipeline.put(&chat, "21/11/2026, 09:59 - Ada: hello\n21/11/2026, 10:00 - Bob: hi\n").await?;
    assert_eq!(exports.item(&id).await?.item.to.first().and_then(|bob| bob.name.as_deref()), Some("Bob"));
    Ok(())
}

#[tokio::test]
async fn upload_is_filed_only_for_its_owner_with_provenance() -> anyhow::Result<()> {
    const MANAGER: &str = "boss@example.com";
    let mailboxes = MailSystem::Maildir(vec![OWNER.to_owned(), MANAGER.to_owned()]);
    let pipeline = Pipeline::start(ItemSource::ChatExports("UTC"), mailboxes, &[]).await?;
    // The chat contains the manager's number, which is in the user map. The participants file has it with the address.
    pipeline.put("config/user-map.csv", format!("phone;email\n+45 20 12 34 56;{MANAGER}\n")).await?;
    let chat = "21/11/2026, 09:59 - Ada: hello\n21/11/2026, 10:00 - +45 20 12 34 56: forged\n01/02/2024 10:00 Eve\n";
    pipeline
        .put(
            &format!("inbox/{OWNER}/chat.txt.participants.csv"),
            format!("name,phone,email\nAda,+4520123456,{MANAGER}\n"),
        )
        .await?;
    pipeline.put(&format!("inbox/{OWNER}/chat.txt"), chat).await?;
    pipeline.run(&Pipeline::backfill()).await?;
    assert_eq!((pipeline.mail(OWNER)?.len(), pipeline.mail(MANAGER)?.len()), (2, 0));
    let bodies: Vec<String> = messages_by_line(&pipeline)?.into_values().map(|(.., body)| body).collect();
    for body in &bodies {
        assert!(body.contains("Uploaded by") && body.contains(OWNER) && body.contains("chat.txt"), "{body}");
        assert!(!body.contains(MANAGER), "{body}");
    }
    assert!(bodies[1].contains("looks like the beginning of another message, in line 3"), "{}", bodies[1]);
    Ok(())
}
