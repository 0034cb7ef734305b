//! Mails that a capture vendor delivered, from the inbox to the mailboxes.

use std::{
    collections::BTreeMap,
    io::{Cursor, Write},
};

use anyhow::Context;
use harness::{ItemSource, MailSystem, Pipeline};
use jiff::{SignedDuration, Timestamp};
use local::{
    drop::{sample_name, sample_zip},
    sample_source::user_map,
};
use mail_parser::{Message, MessageParser, MimeHeaders};
use model::{Sha256, Window, keys};
use serde_json::Value;
use source::{EmlDrop, Source};
use zip::{ZipArchive, ZipWriter, write::SimpleFileOptions};

use crate::{
    command_line::{archiver_command, run},
    reconcile::run_reconcile,
    sample_day::addresses,
};

const ADA: &str = "ada.lindqvist@example.com";
const KARIM: &str = "karim.haddad@example.com";

/// Words of the sample's mails, which no log may contain.
const WORDS: [&str; 8] = [
    "447700900123",
    "351912345678",
    "Inês Carvalho",
    "Equipa Câmbio",
    "could you send me the term sheet",
    "A reunião começa",
    "term sheet.pdf",
    "Lindqvist",
];

async fn start_pipeline(variables: &[(&str, &str)]) -> anyhow::Result<Pipeline> {
    let pipeline = Pipeline::start(ItemSource::Mails, MailSystem::Maildir(addresses()?), variables).await?;
    WORDS.iter().for_each(|word| pipeline.keep_word_confidential(word));
    pipeline.put_user_map(user_map()).await?;
    Ok(pipeline)
}

fn zip_of(entries: &[(&str, &[u8])]) -> anyhow::Result<Vec<u8>> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in entries {
        zip.start_file(*name, SimpleFileOptions::default())?;
        zip.write_all(bytes)?;
    }
    Ok(zip.finish()?.into_inner())
}

/// Returns the mails of a zip by their vendor's ids.
fn mails_in(zip: &[u8]) -> anyhow::Result<BTreeMap<String, Vec<u8>>> {
    let mut archive = ZipArchive::new(Cursor::new(zip))?;
    let mut mails = BTreeMap::new();
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index)?;
        let name = entry.name()?.into_owned();
        let mut bytes = Vec::new();
        std::io::copy(&mut entry, &mut bytes)?;
        if let Some(id) = name.strip_suffix(".eml") {
            mails.insert(id.to_owned(), bytes);
        }
    }
    Ok(mails)
}

fn mail(id: &str, text: &str, more_headers: &str) -> Vec<u8> {
    format!(
        "Date: Fri, 20 Nov 2026 09:14:03 +0000\r\nFrom: \"+447700900123 Client\" <447700900123@nomail.example>\r\n\
         To: \"Ada Lindqvist +46701740605\" <someone.else@elsewhere.example>\r\nX-TELEMESSAGE-ArchiveMessageID: {id}\r\n\
         {more_headers}Content-Type: text/plain; charset=utf-8\r\n\r\n{text}\r\n"
    )
    .into_bytes()
}

/// Returns, by the id of the item, the item in the JSON of a filed copy, and the copy.
fn items_and_copies(pipeline: &Pipeline, address: &str) -> anyhow::Result<BTreeMap<String, (Value, Vec<u8>)>> {
    let mut items = BTreeMap::new();
    for bytes in pipeline.mail(address)?.into_values() {
        let message = MessageParser::new().parse(&bytes).context("the message is not a mail")?;
        let item: Value = serde_json::from_slice(&file(&message, "whatsapp-item.json")?)?;
        let id = item["id"].as_str().context("no id")?.to_owned();
        assert!(items.insert(id.clone(), (item, bytes)).is_none(), "{id} is filed twice");
    }
    Ok(items)
}

fn file(message: &Message<'_>, name: &str) -> anyhow::Result<Vec<u8>> {
    let part = message.attachments().find(|part| part.attachment_name() == Some(name));
    Ok(part.with_context(|| format!("no {name}"))?.contents().to_vec())
}

#[tokio::test]
async fn vendors_zip_is_filed_once_with_each_mail_as_evidence() -> anyhow::Result<()> {
    let pipeline = start_pipeline(&[]).await?;
    let now = Timestamp::now();
    let zip = sample_zip(now)?;
    pipeline.put(&format!("inbox/sftp/{}", sample_name(now)), zip.clone()).await?;
    pipeline.run(&Pipeline::backfill()).await?;
    assert!(pipeline.dead_letters().await?.is_empty());
    let (ada, karim) = (items_and_copies(&pipeline, ADA)?, items_and_copies(&pipeline, KARIM)?);
    let ids = |items: &BTreeMap<String, (Value, Vec<u8>)>| items.keys().cloned().collect::<Vec<_>>().join(" ");
    assert_eq!(ids(&ada), "5550001 5550002 5550003 5550005");
    assert_eq!(ids(&karim), "5550003 5550004 5550006");

    // The vendor's mail is attached byte for byte, and its digest is named.
    for (id, sent) in mails_in(&zip)? {
        let (item, copy) = ada.get(&id).or_else(|| karim.get(&id)).context("the item is not filed")?;
        let message = MessageParser::new().parse(copy).context("invalid mail")?;
        assert_eq!(file(&message, "whatsapp-item.eml")?, sent);
        let sha256 = Sha256::of(&sent).to_string();
        assert_eq!(message.header_raw("X-WA-Evidence-SHA256").map(str::trim), Some(sha256.as_str()));
        assert!(message.body_text(0).is_some_and(|text| text.contains(&sha256)), "the body does not name the digest");
        assert!(
            !String::from_utf8_lossy(copy).contains("message/rfc822"),
            "a file in base64 has the type message/rfc822"
        );
        assert_eq!(item["attachments"].as_array().and_then(|files| files.last()?["sha256"].as_str()), Some(&*sha256));
        // The participants of stored messages are still readable.
        let participants = ::message::read::evidence::participants_of(copy).context("no participants")?;
        assert!(participants.iter().any(|one| one.phone.as_deref() == Some("+447700900123") || one.name.is_some()));
    }
    let kind = |id: &str| ada.get(id).or_else(|| karim.get(id)).map(|(item, _)| item["type"].clone());
    let kinds: Vec<_> = (1..=6).filter_map(|number| kind(&format!("555000{number}"))).collect();
    assert_eq!(kinds, ["text", "document", "text", "call", "delete", "text"]);
    let (group, copy) = &ada["5550003"];
    assert_eq!((&group["chat"]["type"], &group["chat"]["name"]), (&"group".into(), &"Equipa Câmbio".into()));
    let message = MessageParser::new().parse(copy).context("invalid mail")?;
    assert!(message.body_text(0).is_some_and(|text| text.contains("A reunião começa às 10h")));
    let message = MessageParser::new().parse(&ada["5550002"].1).context("invalid mail")?;
    assert!(file(&message, "term sheet.pdf")?.starts_with(b"%PDF"));

    // The messages are delivered again in another zip, and the first file is listed again: nothing is filed twice.
    pipeline.put("inbox/sftp/again.zip", zip).await?;
    let fetched = pipeline.run(&Pipeline::backfill()).await?;
    assert_eq!(fetched.listed, 12);
    assert_eq!((pipeline.mail(ADA)?.len(), pipeline.mail(KARIM)?.len()), (4, 3));
    let (code, out, _) = run_reconcile(&pipeline, &["--settled"]).await?;
    assert_eq!((code, out.contains("incomplete or damaged")), (Some(0), false), "{out}");
    Ok(())
}

#[tokio::test]
async fn incomplete_delivery_is_an_incident_and_its_mails_are_filed() -> anyhow::Result<()> {
    let pipeline = start_pipeline(&[]).await?;
    let manifest = b"1.eml\r\n2.eml\r\n3.eml\r\n4.eml\r\nCount: 4\r\n";
    let one = mail("1", "one", "");
    let incomplete_zip =
        zip_of(&[("1.eml", &one), ("3.eml", b""), ("4.eml", &mail("4", "four", "")), ("day.mf", manifest)])?;
    pipeline.put("inbox/sftp/day.zip", incomplete_zip).await?;
    pipeline.run(&Pipeline::backfill()).await?;
    assert_eq!(items_and_copies(&pipeline, ADA)?.into_keys().collect::<Vec<_>>(), ["1", "4"]);
    assert!(pipeline.logs().contains(r#""DeliveryIncidents":1"#), "the incident was not counted");

    let problems = ["the vendor's manifest lists 4 messages, the zip has 3", "2.eml is missing", "3.eml is empty"];
    let (code, out, _) = run_reconcile(&pipeline, &["--settled"]).await?;
    assert_eq!(code, Some(1));
    assert!(out.contains("3 problems") && !out.contains("day.zip"), "{out}");
    let (code, out, _) = run_reconcile(&pipeline, &["--settled", "--name-items"]).await?;
    assert_eq!(code, Some(1));
    assert!(problems.iter().all(|problem| out.contains(problem)) && out.contains("inbox/sftp/day.zip"), "{out}");
    let (code, out) = run_report(&pipeline).await?;
    assert_eq!(code, Some(1));
    assert!(problems.iter().all(|problem| out.contains(problem)), "{out}");

    // An export of these days may lack a mail.
    let incident = export_with_incident(&pipeline).await?;
    assert!(incident["problems"].to_string().contains("2.eml is missing"), "{incident}");
    assert_eq!(incident["closed"], Value::Null);

    // An operator closes the incident. The record has the name, and the incident is no longer a failure.
    let open = run_incidents(&pipeline, &["list", "--open", "--json"]).await?;
    let id = serde_json::from_str::<Value>(&open.1)?["id"].as_str().context("no id")?.to_owned();
    let closing = ["close", &id, "--by", "Ada Auditor", "--reason", "ticket 4711: 2.eml never existed"];
    assert_eq!(
        run_incidents(&pipeline, &closing).await?.0,
        Some(1),
        "the command did not require --yes without a terminal"
    );
    assert_eq!(run_reconcile(&pipeline, &["--settled"]).await?.0, Some(1));
    assert_eq!(run_incidents(&pipeline, &[&closing[..], &["--yes"]].concat()).await?.0, Some(0));
    assert_eq!(
        run_incidents(&pipeline, &[&closing[..], &["--yes"]].concat()).await?.0,
        Some(1),
        "the incident was closed twice"
    );
    assert_eq!(run_incidents(&pipeline, &["list", "--open"]).await?, (Some(0), "No incidents.\n".to_owned()));
    let closed = "closed by Ada Auditor on ";
    for (code, out) in [
        run_reconcile(&pipeline, &["--settled", "--name-items"]).await.map(|(code, out, _)| (code, out))?,
        run_report(&pipeline).await?,
        run_incidents(&pipeline, &["list"]).await?,
    ] {
        assert_eq!(code, Some(0), "{out}");
        assert!(out.contains(closed) && out.contains("ticket 4711") && out.contains("2.eml is missing"), "{out}");
    }
    let incident = export_with_incident(&pipeline).await?;
    assert!(incident["closed"].as_str().is_some_and(|text| text.contains("ticket 4711")), "{incident}");
    // Another incomplete version of the same file is another incident.
    let other_zip = zip_of(&[("1.eml", &one), ("day.mf", manifest)])?;
    pipeline.put("inbox/sftp/day.zip", other_zip).await?;
    pipeline.run(&Pipeline::backfill()).await?;
    assert_eq!(run_reconcile(&pipeline, &["--settled"]).await?.0, Some(1));

    // The vendor delivers the file again, complete: the incident is over, and only the missing mails are filed.
    let complete_zip = zip_of(&[
        ("1.eml", &one),
        ("2.eml", &mail("2", "two", "")),
        ("3.eml", &mail("3", "three", "")),
        ("4.eml", &mail("4", "four", "")),
        ("day.mf", manifest),
    ])?;
    pipeline.put("inbox/sftp/day.zip", complete_zip).await?;
    pipeline.run(&Pipeline::backfill()).await?;
    assert_eq!(items_and_copies(&pipeline, ADA)?.into_keys().collect::<Vec<_>>(), ["1", "2", "3", "4"]);
    let (code, out, _) = run_reconcile(&pipeline, &["--settled"]).await?;
    assert_eq!(code, Some(0), "{out}");

    // A vendor that gives the file of each day the same name: the next day's mails do not end the incident.
    let incomplete_zip = zip_of(&[("7.eml", &mail("7", "seven", "")), ("d.mf", b"7.eml\r\n8.eml\r\nCount: 2\r\n")])?;
    pipeline.put("inbox/sftp/daily.zip", incomplete_zip).await?;
    pipeline.run(&Pipeline::backfill()).await?;
    let next_day = zip_of(&[("9.eml", &mail("9", "nine", "")), ("d.mf", b"9.eml\r\nCount: 1\r\n")])?;
    pipeline.put("inbox/sftp/daily.zip", next_day).await?;
    pipeline.run(&Pipeline::backfill()).await?;
    let logs = pipeline.logs();
    assert!(logs.contains("the file was replaced by other mails"), "nothing names the risk of a loss");
    assert!(logs.contains(r#""LossOrDouble":1"#), "the risk of a loss was not counted");
    let (code, out, _) = run_reconcile(&pipeline, &["--settled", "--name-items"]).await?;
    assert!(code == Some(1) && out.contains("8.eml is missing"), "{out}");
    Ok(())
}

async fn run_report(pipeline: &Pipeline) -> anyhow::Result<(Option<i32>, String)> {
    run_archiver(pipeline, &["report"]).await
}

/// Exports the last hour, and returns the incident in the manifest of the export.
async fn export_with_incident(pipeline: &Pipeline) -> anyhow::Result<Value> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("export");
    let path = path.to_str().context("the path is not UTF-8")?;
    let (from, to) = ((Timestamp::now() - SignedDuration::from_hours(1)).to_string(), Timestamp::now().to_string());
    let export = ["export", "--eml", "--from", &from, "--to", &to, "--json", path];
    let (_, out) = run_archiver(pipeline, &export).await?;
    let manifest: Value = serde_json::from_str(&out).with_context(|| out.clone())?;
    let [incident] = manifest["incidents"].as_array().context("no incidents")?.as_slice() else {
        anyhow::bail!("not one incident: {manifest}")
    };
    Ok(incident.clone())
}

async fn run_incidents(pipeline: &Pipeline, arguments: &[&str]) -> anyhow::Result<(Option<i32>, String)> {
    run_archiver(pipeline, &[&["incidents"], arguments].concat()).await
}

async fn run_archiver(pipeline: &Pipeline, arguments: &[&str]) -> anyhow::Result<(Option<i32>, String)> {
    let (code, out, _) = run(archiver_command(pipeline, arguments)?).await?;
    Ok((code, out))
}

#[tokio::test]
async fn mail_that_cannot_be_filed_is_a_dead_letter_with_its_reason() -> anyhow::Result<()> {
    let pipeline = start_pipeline(&[]).await?;
    let encrypted = mail("7", "c2VjcmV0", "X-TELEMESSAGE-ENC-DATAKEY: AAAA\r\nX-TELEMESSAGE-ENC-KEY-ID: k\r\n");
    let undated = mail("8", "when?", "").strip_prefix(b"Date: Fri, 20 Nov 2026 09:14:03 +0000\r\n").map(<[u8]>::to_vec);
    let zip = zip_of(&[
        ("7.eml", &encrypted),
        ("8.eml", &undated.context("no Date")?),
        ("9.eml", &mail("9", "fine", "")),
        ("m.mf", b"7.eml\n8.eml\n9.eml\nCount: 3"),
    ])?;
    pipeline.put("inbox/a.zip", zip).await?;
    pipeline.put("inbox/cut.zip", b"PK\x03\x04 and then nothing".to_vec()).await?;
    pipeline.put("inbox/list.pgp", "not a mail").await?;
    pipeline.run(&Pipeline::backfill()).await?;
    assert_eq!(items_and_copies(&pipeline, ADA)?.into_keys().collect::<Vec<_>>(), ["9"]);
    let dead_letters = pipeline.dead_letters().await?;
    let details_of = |reason: &str| {
        let found = dead_letters.iter().filter(|message| message.attributes["reason"] == reason);
        found.map(|message| message.attributes["detail"].as_str()).collect::<Vec<_>>()
    };
    let [encrypted] = details_of("item-encrypted")[..] else { panic!("{dead_letters:?}") };
    assert!(encrypted.contains("X-TELEMESSAGE-ENC-DATAKEY"), "{encrypted}");
    let malformed = details_of("item-malformed");
    for text in ["no readable Date", "neither a .zip nor an .eml", "damaged or was not delivered completely"] {
        assert_eq!(malformed.iter().filter(|detail| detail.contains(text)).count(), 1, "{text}: {malformed:?}");
    }
    assert_eq!(malformed.len(), 3);
    Ok(())
}

#[tokio::test]
async fn two_messages_with_one_id_are_both_filed_and_reported() -> anyhow::Result<()> {
    let pipeline = start_pipeline(&[]).await?;
    pipeline.put("inbox/1.eml", mail("5", "first", "")).await?;
    pipeline.run(&Pipeline::backfill()).await?;
    // The message is delivered again on another route, with other header fields; and another message has its id.
    pipeline.put("inbox/ses/q7v0", [&b"Received: by mx\r\n"[..], &mail("5", "first", "")].concat()).await?;
    pipeline.put("inbox/2.eml", mail("5", "second", "")).await?;
    pipeline.run(&Pipeline::backfill()).await?;
    let texts: Vec<_> = items_and_copies(&pipeline, ADA)?.into_values().map(|(item, _)| item["text"].clone()).collect();
    assert_eq!(texts, ["first", "second"]);
    let (code, out, _) = run_reconcile(&pipeline, &["--settled", "--name-items"]).await?;
    assert_eq!(code, Some(1));
    assert!(out.contains("2.eml has the id of another message with other content"), "{out}");
    assert!(!out.contains("q7v0"), "{out}");
    Ok(())
}

#[tokio::test]
async fn generic_profile_uses_addresses_when_configured() -> anyhow::Result<()> {
    let variables = [
        ("EML_PROFILE", "generic"),
        ("EML_HEADERS", "id=X-Vendor-Id,chat=X-Room,group=X-Room,chat-name=X-Room-Name"),
        ("EML_PARTICIPANTS", "address"),
    ];
    let pipeline = start_pipeline(&variables).await?;
    let mail = "Date: Fri, 20 Nov 2026 09:14:03 +0000\nFrom: client@elsewhere.example\nX-Vendor-Id: v-1\nX-Room: r-1\n\
        To: \"+46701740605 not Ada\" <karim.haddad@example.com>\nX-Room-Name: Deals\n\nhello\n";
    pipeline.put("inbox/journal/one.eml", mail).await?;
    pipeline.run(&Pipeline::backfill()).await?;
    assert_eq!((pipeline.mail(ADA)?.len(), pipeline.mail(KARIM)?.len()), (0, 1));
    let (item, _) = &items_and_copies(&pipeline, KARIM)?["v-1"];
    assert_eq!(item["chat"]["name"], "Deals");
    Ok(())
}

/// A number without a country code may exist in every country. Only the configured region decides which one it is.
#[tokio::test]
async fn national_number_is_filed_by_its_region_or_is_unmapped() -> anyhow::Result<()> {
    let mail = "Date: Fri, 20 Nov 2026 09:14:03 +0000\r\nFrom: <447700900123@nomail.example>\r\n\
        To: <0701740605@nomail.example>\r\nX-TELEMESSAGE-ArchiveMessageID: 7\r\n\r\nhello\r\n";
    for (region, copies) in [("", 0), ("GB", 0), ("SE", 1)] {
        let pipeline = start_pipeline(&[("DEFAULT_REGION", region)]).await?;
        pipeline.keep_word_confidential("0701740605");
        pipeline.put("inbox/7.eml", mail).await?;
        pipeline.run(&Pipeline::backfill()).await?;
        // The number of Ada is +46 70 174 06 05.
        let filed = BTreeMap::from_iter((copies > 0).then(|| (ADA.to_owned(), copies)));
        assert_eq!(pipeline.copies()?, filed, "{region}");
        let dead_letters = BTreeMap::from_iter((copies == 0).then(|| ("unmapped".to_owned(), 1)));
        assert_eq!(pipeline.dead_letters_by_reason().await?, dead_letters, "{region}");
    }
    Ok(())
}

/// A delivery is read once, and convert reads nothing from the inbox.
#[tokio::test]
async fn delivery_is_filed_when_deleted_after_it_was_listed() -> anyhow::Result<()> {
    let pipeline = start_pipeline(&[]).await?;
    let zip = zip_of(&[("1.eml", &mail("1", "one", "")), ("m.mf", b"1.eml\nCount: 1")])?;
    pipeline.put("inbox/a.zip", zip).await?;
    pipeline.machine.fetch(&Pipeline::backfill()).await?;
    let client = aws_sdk_s3::Client::new(pipeline.machine.cloud.config());
    client.delete_object().bucket(&pipeline.machine.resources.bucket).key("inbox/a.zip").send().await?;
    pipeline.drain().await?;
    assert_eq!(items_and_copies(&pipeline, ADA)?.into_keys().collect::<Vec<_>>(), ["1"]);
    let record = pipeline.store.get(&keys::delivery("inbox/a.zip"), 1 << 20).await?.context("no record")?;
    assert_eq!(serde_json::from_slice::<Value>(&record.bytes)?["mails"], 1);
    Ok(())
}

/// Their copies exist, and no manifest names them, because a run lists what the inbox has.
#[tokio::test]
async fn mails_of_a_file_that_went_before_it_was_listed_are_missing() -> anyhow::Result<()> {
    for is_replaced in [false, true] {
        let pipeline = start_pipeline(&[]).await?;
        let zip = zip_of(&[
            ("1.eml", &mail("1", "one", "")),
            ("2.eml", &mail("2", "two", "")),
            ("m.mf", b"1.eml\n2.eml\nCount: 2"),
        ])?;
        pipeline.put("inbox/daily.zip", zip).await?;
        // A run is killed after it has read the file and before it has written its manifest.
        let (now, hour) = (Timestamp::now(), SignedDuration::from_hours(1));
        let killed = EmlDrop::new(pipeline.store.clone(), eml_drop::Profile::telemessage());
        assert_eq!(killed.list(&Window::between(now - hour, now + hour)?, None).await?.items.len(), 2);
        // One of the mails is delivered in another file, too.
        pipeline.put("inbox/1.eml", mail("1", "one", "")).await?;
        let mut ids = vec!["1"];
        if is_replaced {
            let next_day = zip_of(&[("3.eml", &mail("3", "three", "")), ("m.mf", b"3.eml\nCount: 1")])?;
            pipeline.put("inbox/daily.zip", next_day).await?;
            ids.push("3");
        } else {
            let client = aws_sdk_s3::Client::new(pipeline.machine.cloud.config());
            client.delete_object().bucket(&pipeline.machine.resources.bucket).key("inbox/daily.zip").send().await?;
        }
        pipeline.run(&Pipeline::backfill()).await?;
        let filed = || anyhow::Ok(items_and_copies(&pipeline, ADA)?.into_keys().collect::<Vec<_>>());
        assert_eq!(filed()?, ids);
        let (code, out, _) = run_reconcile(&pipeline, &["--settled", "--json"]).await?;
        let missing = serde_json::from_str::<Value>(&out).with_context(|| out.clone())?["missing"].clone();
        assert_eq!(
            (code, &missing[0]["item"], &missing[0]["why"]),
            (Some(1), &"2".into(), &"not-listed".into()),
            "{out}"
        );
        assert_eq!(missing[1], Value::Null);
        assert_eq!(run_report(&pipeline).await?.0, Some(1));

        let (code, out, _) = run_reconcile(&pipeline, &["--settled", "--requeue", "--yes"]).await?;
        assert!(code == Some(1) && out.contains("before it was listed"), "{out}");
        pipeline.drain().await?;
        ids.insert(1, "2");
        assert_eq!(filed()?, ids);
        let (code, out, _) = run_reconcile(&pipeline, &["--settled"]).await?;
        assert_eq!(code, Some(0), "{out}");
    }
    Ok(())
}
