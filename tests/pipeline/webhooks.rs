//! Webhooks of the WhatsApp platform, from the request to the mailbox.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context;
use cloud_api::Channel;
use harness::{ACCESS_TOKEN, ItemSource, MailSystem, Pipeline};
use jiff::{SignedDuration, Timestamp};
use local::{
    sample_source::user_map,
    webhooks::{APP_SECRET, MediaFault, WEBHOOK_SECRET, WebhookDay, item_id, sign, wamid, webhook_secret},
};
use mail_parser::{MessageParser, MimeHeaders};
use model::{ItemId, Outcome, Sha256, keys};
use serde_json::{Value, json};
use source::cloud_api::WebhookTask;

use crate::{
    command_line::{archiver_command, run},
    identity::delete,
    sample_day::addresses,
    topics::call_sns,
};

const ADA: &str = "ada.lindqvist@example.com";
const ADA_NUMBER: &str = "46701740605";
const CLIENT: &str = "447700900123";

pub(crate) async fn start_pipeline(variables: &[(&str, &str)]) -> anyhow::Result<Pipeline> {
    let day = WebhookDay::new(Timestamp::now());
    let source = ItemSource::Webhooks(day.files);
    let pipeline = Pipeline::start(source, MailSystem::Maildir(addresses()?), variables).await?;
    day.confidential.iter().for_each(|word| pipeline.keep_word_confidential(word));
    pipeline.put_user_map(user_map()).await?;
    Ok(pipeline)
}

/// Returns a text to Ada, as Meta posts it.
pub(crate) fn text(stanza: u32, text: &str) -> Vec<u8> {
    body(&json!({
        "messaging_product": "whatsapp",
        "metadata": {"display_phone_number": "46701740605", "phone_number_id": "700800900100201"},
        "contacts": [{"profile": {"name": "Client"}, "wa_id": CLIENT}],
        "messages": [{"from": CLIENT, "id": wamid(CLIENT, true, stanza), "timestamp": Timestamp::now().as_second().to_string(),
            "type": "text", "text": {"body": text}}],
    }))
}

/// Returns a body with one change of the field `messages`.
pub(crate) fn body(value: &Value) -> Vec<u8> {
    let entry = json!([{"id": "900100200300400", "changes": [{"field": "messages", "value": value}]}]);
    json!({"object": "whatsapp_business_account", "entry": entry}).to_string().into_bytes()
}

/// Returns the items of a mailbox by their ids.
pub(crate) fn read_items(pipeline: &Pipeline, address: &str) -> anyhow::Result<BTreeMap<String, Value>> {
    let mut items = BTreeMap::new();
    for bytes in pipeline.mail(address)?.into_values() {
        let message = MessageParser::new().parse(&bytes).context("not a mail")?;
        let part = message.attachments().find(|part| part.attachment_name() == Some("whatsapp-item.json"));
        let item: Value = serde_json::from_slice(part.context("no evidence")?.contents())?;
        let id = item["id"].as_str().context("no id")?.to_owned();
        assert!(items.insert(id.clone(), item).is_none(), "{id} is filed twice");
    }
    Ok(items)
}

#[tokio::test]
async fn repeated_signed_text_is_filed_once() -> anyhow::Result<()> {
    let pipeline = start_pipeline(&[]).await?;
    let (_server, sender) = pipeline.start_function_url(2).await?;
    assert_eq!(sender.verify("1158201444").await?, (200, "1158201444".to_owned()));
    let body = text(900, "see you at noon");
    pipeline.keep_word_confidential("see you at noon");
    pipeline.keep_word_confidential(&wamid(CLIENT, true, 900));
    // Meta may send a webhook again that was confirmed.
    for _ in 0..2 {
        assert_eq!(sender.deliver(&body).await?.attempts, 1);
    }
    pipeline.store_events().await?;
    let fetched = pipeline.run(&Pipeline::backfill()).await?;
    assert_eq!(fetched.listed, 1);
    assert_eq!(pipeline.copies()?, BTreeMap::from([(ADA.to_owned(), 1)]));
    let items = read_items(&pipeline, ADA)?;
    let item = &items[&item_id(CLIENT, ADA_NUMBER, 900)];
    assert_eq!(item["messageId"], wamid(CLIENT, true, 900));
    assert_eq!((&item["type"], &item["text"]), (&json!("text"), &json!("see you at noon")));
    // The webhook is sent again after its message was filed; nothing more is filed.
    sender.deliver(&body).await?;
    pipeline.store_events().await?;
    pipeline.run(&Pipeline::backfill()).await?;
    assert_eq!(pipeline.copies()?, BTreeMap::from([(ADA.to_owned(), 1)]));
    assert!(pipeline.dead_letters().await?.is_empty());
    // A list that this release does not recognize makes no item, and is reported.
    sender.deliver(&self::body(&json!({"messages_of_a_later_version": [{"id": "1"}]}))).await?;
    pipeline.store_events().await?;
    pipeline.until_logged("cannot be read: they are not filed").await?;
    pipeline.until_logged(r#""UnrecognizedEvents":1"#).await?;
    assert_eq!(pipeline.keys(keys::UNRECOGNIZED).await?.len(), 1);
    unrecognized_value_is_open_until_it_is_closed(&pipeline).await
}

/// Its messages are not filed, so a proof or an export that includes its time is not complete.
async fn unrecognized_value_is_open_until_it_is_closed(pipeline: &Pipeline) -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let day = Timestamp::now().strftime("%Y-%m-%d").to_string();
    let tomorrow = (Timestamp::now() + SignedDuration::from_hours(24)).strftime("%Y-%m-%d").to_string();
    let open = "1 values of webhooks may contain messages";
    let export = async |name: &str, text: &str| {
        let path = directory.path().join(name);
        let path = path.to_str().context("not UTF-8")?;
        let (code, out, error) =
            run_archiver(pipeline, &["export", "--eml", "--from", &day, "--to", &tomorrow, path]).await?;
        let manifest =
            std::fs::read_to_string(format!("{path}/export.txt")).with_context(|| format!("{out}{error}"))?;
        anyhow::ensure!(manifest.contains(text), "{manifest}");
        anyhow::Ok(code)
    };
    let printed = async |command: &[&str], expected: (i32, &str)| {
        let (code, out, error) = run_archiver(pipeline, command).await?;
        anyhow::ensure!(code == Some(expected.0) && out.contains(expected.1), "{command:?}: {code:?} {out}{error}");
        anyhow::Ok(out)
    };
    printed(&["reconcile", "--settled"], (1, open)).await?;
    printed(&["report"], (1, open)).await?;
    assert_eq!(export("open", open).await?, Some(1));
    let listed = printed(&["incidents", "list", "--open", "--json"], (0, "was not recognized")).await?;
    let id = serde_json::from_str::<Value>(&listed)?["id"].as_str().context("no id")?.to_owned();
    let close = ["incidents", "close", &id, "--by", "Ada Auditor", "--reason", "ticket 4711", "--yes"];
    printed(&close, (0, "is closed")).await?;
    let closed = "closed by Ada Auditor on ";
    printed(&["reconcile", "--settled"], (0, closed)).await?;
    printed(&["report"], (0, closed)).await?;
    assert_ne!(export("closed", closed).await?, Some(1));
    Ok(())
}

const KARIM: &str = "karim.haddad@example.com";
const OLIVER: &str = "oliver.marsh@example.com";
const KARIM_NUMBER: &str = "447700900104";

/// Returns a text from Karim to Ada, as the platform reports it for the number.
fn text_between_two(pipeline: &Pipeline, number: &str, list: &str, id: String, words: &str) -> Vec<u8> {
    pipeline.keep_word_confidential(&id);
    pipeline.keep_word_confidential(words);
    body(&json!({
        "messaging_product": "whatsapp",
        "metadata": {"display_phone_number": number, "phone_number_id": format!("7{number}")},
        list: [{"from": KARIM_NUMBER, "to": ADA_NUMBER, "id": id, "timestamp": "1795166043", "type": "text", "text": {"body": words}}],
    }))
}

/// Returns a text from Karim to Ada, as it is reported for Karim's number.
fn echo(pipeline: &Pipeline, stanza: u32, words: &str) -> Vec<u8> {
    text_between_two(pipeline, KARIM_NUMBER, "message_echoes", wamid(ADA_NUMBER, false, stanza), words)
}

/// Returns a text from Karim to Ada, as it is reported for Ada's number.
fn receipt(pipeline: &Pipeline, stanza: u32, words: &str) -> Vec<u8> {
    text_between_two(pipeline, ADA_NUMBER, "messages", wamid(KARIM_NUMBER, true, stanza), words)
}

/// Both numbers report the message, at once or after it was filed from the other's webhook.
#[tokio::test]
async fn message_between_two_numbers_is_filed_once_for_each() -> anyhow::Result<()> {
    let pipeline = start_pipeline(&[]).await?;
    let (_server, sender) = pipeline.start_function_url(2).await?;
    let echo = |stanza, words| echo(&pipeline, stanza, words);
    let receipt = |stanza, words| receipt(&pipeline, stanza, words);
    let rounds = [
        vec![echo(960, "the first of two"), receipt(960, "the first of two"), receipt(961, "the second of two")],
        vec![echo(961, "the second of two"), receipt(962, "the third of two"), receipt(960, "the first of two")],
        vec![echo(962, "the third of two")],
    ];
    for bodies in rounds {
        for body in bodies {
            sender.deliver(&body).await?;
        }
        pipeline.store_events().await?;
        pipeline.run(&Pipeline::backfill()).await?;
    }
    assert_eq!(pipeline.copies()?, BTreeMap::from([(ADA.to_owned(), 3), (KARIM.to_owned(), 3)]));
    for mailbox in [ADA, KARIM] {
        let items = read_items(&pipeline, mailbox)?;
        let expected = [960, 961, 962].map(|stanza| item_id(KARIM_NUMBER, ADA_NUMBER, stanza));
        assert_eq!(items.keys().cloned().collect::<Vec<_>>(), expected);
        assert!(items.values().all(|item| item["chat"]["id"] == "447700900104/46701740605"));
    }
    assert!(pipeline.dead_letters().await?.is_empty());
    Ok(())
}

/// Karim's number is connected, and is in the user map, after the messages with Ada were filed. His phone's history reports
/// them again. The objects of the second message have expired by then, and the stored message of the third. Ada's number has
/// been given to Oliver, who gets none of her messages.
#[tokio::test]
async fn number_that_is_connected_later_gets_its_own_copies() -> anyhow::Result<()> {
    let pipeline = start_pipeline(&[]).await?;
    let without_karim = user_map().lines().filter(|row| !row.contains(KARIM)).collect::<Vec<_>>().join("\n");
    pipeline.put_user_map(&without_karim).await?;
    let (_server, sender) = pipeline.start_function_url(2).await?;
    let messages = [(970, "before he was connected"), (971, "long before that"), (973, "rendered again")];
    for (stanza, words) in messages {
        sender.deliver(&receipt(&pipeline, stanza, words)).await?;
    }
    pipeline.store_events().await?;
    pipeline.run(&Pipeline::backfill()).await?;
    assert_eq!(pipeline.copies()?, BTreeMap::from([(ADA.to_owned(), 3)]));

    pipeline.put_user_map(&user_map().replace(ADA, OLIVER)).await?;
    let rendered_again: ItemId = item_id(KARIM_NUMBER, ADA_NUMBER, 973).parse()?;
    delete(&pipeline, &keys::mime(&rendered_again.key())).await?;
    let expired: ItemId = item_id(KARIM_NUMBER, ADA_NUMBER, 971).parse()?;
    delete(&pipeline, &keys::mime(&expired.key())).await?;
    for key in pipeline.keys(&keys::event_copies(&expired.key())).await? {
        delete(&pipeline, &key).await?;
    }
    // The second round reports nothing new.
    for _ in 0..2 {
        for (stanza, words) in messages {
            sender.deliver(&echo(&pipeline, stanza, words)).await?;
        }
        pipeline.store_events().await?;
        pipeline.run(&Pipeline::backfill()).await?;
        assert_eq!(pipeline.copies()?, BTreeMap::from([(ADA.to_owned(), 3), (KARIM.to_owned(), 3)]));
    }
    for copy in pipeline.mail(KARIM)?.into_values() {
        let copy = String::from_utf8_lossy(&copy).into_owned();
        assert!(copy.contains(ADA) && !copy.contains(OLIVER), "the copy names another recipient: {copy}");
    }
    let items = read_items(&pipeline, KARIM)?;
    let expected = [970, 971, 973].map(|stanza| item_id(KARIM_NUMBER, ADA_NUMBER, stanza));
    assert_eq!(items.keys().cloned().collect::<Vec<_>>(), expected);
    assert!(pipeline.dead_letters().await?.is_empty());
    let (code, out, error) = run_archiver(&pipeline, &["reconcile", "--settled"]).await?;
    assert_eq!(code, Some(0), "{out}{error}");
    Ok(())
}

/// A captured number that is not in the user map gets no copy, and keeps no item from being complete.
#[tokio::test]
async fn captured_number_without_a_mailbox_is_unmapped() -> anyhow::Result<()> {
    let pipeline = start_pipeline(&[]).await?;
    let without_karim = user_map().lines().filter(|row| !row.contains(KARIM)).collect::<Vec<_>>().join("\n");
    pipeline.put_user_map(&without_karim).await?;
    let (_server, sender) = pipeline.start_function_url(2).await?;
    for body in [receipt(&pipeline, 972, "of two numbers"), echo(&pipeline, 972, "of two numbers")] {
        sender.deliver(&body).await?;
        pipeline.store_events().await?;
        pipeline.run(&Pipeline::backfill()).await?;
        let key = keys::outcome(&item_id(KARIM_NUMBER, ADA_NUMBER, 972).parse::<ItemId>()?.key());
        let outcome = pipeline.store.get(&key, 1 << 20).await?.context("no outcome")?;
        let outcome = Outcome::parse(&outcome.bytes)?;
        assert!(outcome.is_complete() && outcome.unmapped == [0], "{outcome:?}");
        assert_eq!(pipeline.copies()?, BTreeMap::from([(ADA.to_owned(), 1)]));
    }
    assert!(pipeline.dead_letters().await?.is_empty());
    Ok(())
}

/// Nothing of a rejected webhook is stored: without the secret, no item can be filed.
#[tokio::test]
async fn unsigned_webhook_leaves_nothing_in_the_bucket() -> anyhow::Result<()> {
    let pipeline = start_pipeline(&[]).await?;
    let (_server, sender) = pipeline.start_function_url(2).await?;
    let body = text(901, "forged");
    assert_eq!(sender.post_with(&body, ("x-hub-signature-256", &sign(&body, "another secret"))).await?, 401);
    assert_eq!(sender.post_with(&body, ("authorization", "none")).await?, 401);
    assert_eq!(sender.post_with(&body[1..], ("x-hub-signature-256", &sign(&body, APP_SECRET))).await?, 401);
    assert_eq!(pipeline.keys("").await?, ["config/user-map.csv"]);
    pipeline.until_logged(r#""WebhooksRejected":1"#).await
}

/// The day has every kind of webhook in the order of their events. All are sent again in another order and through AWS.
#[tokio::test]
async fn day_of_every_kind_is_filed_once_through_both_channels() -> anyhow::Result<()> {
    let pipeline = start_pipeline(&[]).await?;
    let (_server, sender) = pipeline.start_function_url(2).await?;
    let day = WebhookDay::new(Timestamp::now());
    for body in &day.bodies {
        sender.deliver(body).await?;
    }
    pipeline.store_events().await?;
    let fetched = pipeline.run(&Pipeline::backfill()).await?;
    let filed = copies_by_kind(&pipeline)?;
    insta::assert_snapshot!(filed.join("\n"));
    assert_eq!(pipeline.dead_letters_by_reason().await?, BTreeMap::from([("unmapped".to_owned(), 1)]));
    // On a slow machine a task is delivered again while it is processed, and an item may have two entries.
    let entries = pipeline.keys(keys::RECEIVED).await?;
    let items: BTreeSet<_> = entries.iter().filter_map(|key| key.rsplit('/').next()).collect();
    assert_eq!((items.len(), fetched.listed as usize), (filed.len() + 1, entries.len()), "an item is not listed");
    assert_eq!(
        pipeline.meta.as_ref().map(|meta| (meta.downloads(), meta.rejected())),
        Some((day.files.len() as u64, 0))
    );
    let logs = pipeline.logs();
    assert!(
        logs.contains(r#""CaptureStopped":1"#) && logs.contains("partner-removed"),
        "the metric of the alarm is missing"
    );

    for body in day.bodies.iter().rev() {
        sender.deliver(body).await?;
    }
    let queue = pipeline.machine.resources.receive.clone().context("no queue")?;
    for body in &day.bodies {
        for notification in notifications(body)? {
            pipeline.send(&queue, &notification).await?;
        }
    }
    pipeline.store_events().await?;
    pipeline.run(&Pipeline::backfill()).await?;
    assert_eq!(copies_by_kind(&pipeline)?, filed);
    assert_eq!(pipeline.dead_letters_by_reason().await?, BTreeMap::from([("unmapped".to_owned(), 1)]));
    Ok(())
}

/// Returns each filed copy: its mailbox, its kind, and its text or the message that it refers to.
fn copies_by_kind(pipeline: &Pipeline) -> anyhow::Result<Vec<String>> {
    let mut kinds = Vec::new();
    for address in addresses()? {
        let name = address.split('.').next().unwrap_or_default().to_owned();
        for item in read_items(pipeline, &address)?.into_values() {
            let files = item["attachments"].as_array().map_or(0, Vec::len) - 1;
            let text = |member: &str| item[member].as_str().unwrap_or("-").to_owned();
            let chat = item["chat"]["type"].as_str().unwrap_or("-");
            kinds.push(format!("{name} {} {} {chat} {files} {}", text("type"), text("direction"), text("text")));
        }
    }
    kinds.sort();
    Ok(kinds)
}

/// Returns the event that AWS End User Messaging Social publishes for an entry.
pub(crate) fn social_event(entry: &Value, numbers: Value) -> Value {
    json!({
        "context": {"MetaWabaIds": [{"wabaId": entry["id"], "arn": "arn:aws:social-messaging:us-east-1:000000000000:waba/0aa1"}],
            "MetaPhoneNumberIds": numbers},
        "whatsAppWebhookEntry": entry.to_string(), "aws_account_id": "000000000000",
        "message_timestamp": "2026-11-20T09:14:03.271279391Z",
    })
}

/// Returns the notification of AWS End User Messaging Social for a body of Meta's, in the form in which SNS sends it to
/// a queue.
pub(crate) fn notifications(body: &[u8]) -> anyhow::Result<Vec<String>> {
    let body: Value = serde_json::from_slice(body)?;
    let entries = body["entry"].as_array().context("no entries")?;
    let notification = |entry: &Value| {
        let event = social_event(entry, json!([]));
        json!({"Type": "Notification", "MessageId": "0f0e0d0c", "TopicArn": "arn:aws:sns:us-east-1:000000000000:social",
            "Message": event.to_string(), "Timestamp": "2026-11-20T09:14:03.300Z", "SignatureVersion": "1"})
        .to_string()
    };
    Ok(entries.iter().map(notification).collect())
}

#[tokio::test]
async fn notification_of_aws_is_filed_when_the_url_is_disabled() -> anyhow::Result<()> {
    let pipeline = start_pipeline(&[("WEBHOOK_SECRET_ID", "")]).await?;
    let (_server, sender) = pipeline.start_function_url(2).await?;
    assert_eq!(sender.post(&text(910, "through the wrong channel")).await?, 404);
    let queue = pipeline.machine.resources.receive.clone().context("no queue")?;
    for notification in notifications(&text(911, "through the other channel"))? {
        pipeline.send(&queue, &notification).await?;
    }
    pipeline.store_events().await?;
    pipeline.run(&Pipeline::backfill()).await?;
    assert_eq!(read_items(&pipeline, ADA)?.into_keys().collect::<Vec<_>>(), [item_id(CLIENT, ADA_NUMBER, 911)]);
    Ok(())
}

/// A body that cannot be parsed is confirmed, because it is stored: an operator sees its dead letter, and can replay it
/// after an update.
#[tokio::test]
async fn unreadable_webhook_is_a_dead_letter_and_kept() -> anyhow::Result<()> {
    let pipeline = start_pipeline(&[]).await?;
    let (_server, sender) = pipeline.start_function_url(2).await?;
    for body in [&b"not JSON at all"[..], b"{\"object\":\"page\"}", b"[]"] {
        sender.deliver(body).await?;
    }
    let queue = pipeline.machine.resources.receive.clone().context("no queue")?;
    pipeline.send(&queue, "{\"unknown\":\"task\"}").await?;
    pipeline.store_events().await?;
    let dead_letters = pipeline.dead_letters().await?;
    let reasons = BTreeMap::from([("item-malformed".to_owned(), 3), ("task-malformed".to_owned(), 1)]);
    assert_eq!(pipeline.dead_letters_by_reason().await?, reasons);
    assert!(dead_letters.iter().all(|message| message.attributes["stage"] == "receive"), "{dead_letters:?}");
    assert_eq!(pipeline.keys(keys::WEBHOOKS).await?.len(), 3);
    // Their items are in no manifest, but a proof reads the dead letters.
    sender.deliver(&text(925, "readable")).await?;
    pipeline.store_events().await?;
    pipeline.run(&Pipeline::backfill()).await?;
    // While the machine is busy, a read of the dead-letter queue may return nothing; the command then decides nothing.
    let until = async |arguments: &[&str], text: &str| {
        let mut last = (None, String::new());
        for _ in 0..20 {
            let directory = tempfile::tempdir()?;
            let export = directory.path().join("export").display().to_string();
            let target = if arguments[0] == "export" { vec![export.as_str()] } else { Vec::new() };
            let (code, out, error) = run_archiver(&pipeline, &[arguments, &target].concat()).await?;
            last = (code, format!("{out}{error}"));
            if last.1.contains(text) {
                return Ok(last);
            }
        }
        anyhow::bail!("{arguments:?} does not print {text:?}: {last:?}")
    };
    let (code, out) = until(&["reconcile", "--settled"], "4 dead letters of receive are in the queue").await?;
    assert_eq!(code, Some(3), "{out}");
    assert!(out.contains("4 webhooks were stored") && out.contains("the events of 3 stored webhooks"), "{out}");
    for command in [&["report"][..], &["export", "--eml", "--from", "2020-01-01", "--to", "2100-01-01"]] {
        let (code, out) = until(command, "4 dead letters of receive are in the queue").await?;
        assert_ne!(code, Some(0), "{out}");
    }

    // The command sends them back to the queue of receive.
    let (code, out, error) =
        run_archiver(&pipeline, &["dead-letters", "replay", "--stage", "receive", "--yes"]).await?;
    assert_eq!((code, out.trim()), (Some(0), "4 of 4 dead letters were replayed."), "{error}");
    pipeline.store_events().await?;
    assert_eq!(pipeline.dead_letters_by_reason().await?, reasons);

    // SQS deletes a dead letter after 14 days. The bodies are still stored.
    let client = aws_sdk_sqs::Client::new(pipeline.machine.cloud.config());
    client.purge_queue().queue_url(&pipeline.machine.resources.dead_letters.url).send().await?;
    let reconcile = ["reconcile", "--settled"];
    let (code, out) = until(&reconcile, "3 stored webhooks were not processed").await?;
    assert_eq!(code, Some(1), "{out}");
    // Without the name of the receive queue, the bodies are compared nevertheless.
    let (code, out, error) = run_archiver_with(&pipeline, &reconcile, &[("RECEIVE_QUEUE_URL", "")]).await?;
    assert!(code == Some(3) && out.contains("the receive queue is not named"), "{code:?} {out} {error}");
    until(&["reconcile", "--settled", "--requeue", "--yes"], "3 of 3 webhooks are on the receive queue again").await?;
    let (code, out) = until(&reconcile, "3 tasks are on the receive queue").await?;
    assert_eq!(code, Some(3), "{out}");
    pipeline.store_events().await?;
    let reasons = BTreeMap::from([("item-malformed".to_owned(), 3)]);
    assert_eq!(pipeline.dead_letters_by_reason().await?, reasons);
    // An operator decides that they are not needed.
    let discard = ["dead-letters", "discard", "--stage", "receive", "--yes-discard", "3"];
    assert_eq!(run_archiver(&pipeline, &discard).await?.0, Some(0));
    let (code, out) = until(&reconcile, "an operator has discarded the dead letters of 3").await?;
    assert_ne!(code, Some(1), "{out}");
    Ok(())
}

/// Nothing in the bucket records a notification that SNS could not deliver.
#[tokio::test]
async fn undelivered_notification_keeps_the_proof_open() -> anyhow::Result<()> {
    let pipeline = start_pipeline(&[]).await?;
    let client = aws_sdk_sqs::Client::new(pipeline.machine.cloud.config());
    let queue = client.create_queue().queue_name("undelivered").send().await?.queue_url.context("no URL")?;
    let variables = [("RECEIVE_UNDELIVERED_QUEUE_URL", queue.as_str())];
    let archiver = async |command: &str, expected: (i32, &str)| {
        let (code, out, error) = run_archiver_with(&pipeline, &[command], &variables).await?;
        anyhow::ensure!(code == Some(expected.0) && out.contains(expected.1), "{command}: {code:?} {out}{error}");
        anyhow::Ok(())
    };
    let doctor = async |line: &str| {
        let lines = run_doctor(&pipeline, &[], &variables, &["undelivered webhooks"]).await?;
        anyhow::ensure!(lines.contains(line), "{lines}");
        anyhow::Ok(())
    };
    pipeline.run(&Pipeline::backfill()).await?;
    archiver("reconcile", (0, "0 webhooks were stored")).await?;
    archiver("status", (0, "queue receive-undelivered")).await?;
    doctor("ok       undelivered webhooks").await?;
    client.send_message().queue_url(&queue).message_body("{}").send().await?;
    archiver("reconcile", (3, "could not deliver 1 webhooks of AWS")).await?;
    archiver("report", (3, "could not deliver 1 webhooks of AWS")).await?;
    archiver("status", (0, "1 ready")).await?;
    doctor("NOT OK   undelivered webhooks").await
}

/// Runs the command with the deployment's variables.
async fn run_archiver(pipeline: &Pipeline, arguments: &[&str]) -> anyhow::Result<(Option<i32>, String, String)> {
    run_archiver_with(pipeline, arguments, &[]).await
}

async fn run_archiver_with(
    pipeline: &Pipeline,
    arguments: &[&str],
    variables: &[(&str, &str)],
) -> anyhow::Result<(Option<i32>, String, String)> {
    let mut command = archiver_command(pipeline, arguments)?;
    command.envs(variables.iter().copied());
    run(command).await
}

/// The platform sends no content of a program's message, only its statuses.
#[tokio::test]
async fn report_lists_sent_messages_without_content() -> anyhow::Result<()> {
    let pipeline = start_pipeline(&[]).await?;
    let (_server, sender) = pipeline.start_function_url(2).await?;
    let status = |stanza: u32, status: &str| {
        body(&json!({
            "messaging_product": "whatsapp",
            "metadata": {"display_phone_number": "46701740605", "phone_number_id": "700800900100201"},
            "statuses": [{"id": wamid(CLIENT, false, stanza), "status": status, "timestamp": "1795166043", "recipient_id": CLIENT}],
        }))
    };
    // Statuses of a message that was captured, of one that was not captured, and of one that was not sent.
    sender.deliver(&text(920, "captured")).await?;
    let captured = wamid(CLIENT, true, 920);
    let of_captured = String::from_utf8(status(921, "sent"))?.replace(&wamid(CLIENT, false, 921), &captured);
    for body in [of_captured.into_bytes(), status(922, "sent"), status(922, "read"), status(923, "failed")] {
        sender.deliver(&body).await?;
    }
    pipeline.store_events().await?;
    pipeline.run(&Pipeline::backfill()).await?;
    let (_, out, error) = run_archiver(&pipeline, &["report", "--json"]).await?;
    let report: Value = serde_json::from_str(&out).context(error)?;
    let sent = &report["sent_without_content"];
    assert_eq!((&sent["count"], &sent["messages"][0]["item"]), (&json!(1), &json!(item_id(ADA_NUMBER, CLIENT, 922))));
    let (_, out, _) = run_archiver(&pipeline, &["report"]).await?;
    assert!(out.contains("The content of 1 sent message was not captured"), "{out}");
    Ok(())
}

/// Each number has another state. The webhooks are of earlier days, except for the history that is in progress.
#[tokio::test]
async fn report_and_doctor_list_incomplete_histories() -> anyhow::Result<()> {
    let pipeline = start_pipeline(&[]).await?;
    let (_server, sender) = pipeline.start_function_url(2).await?;
    let queue = pipeline.machine.resources.receive.clone().context("no queue")?;
    let part = |chunk: (Value, Value, Value)| {
        let (phase, order, progress) = chunk;
        json!({"metadata": {"phase": phase, "chunk_order": order, "progress": progress}, "threads": []})
    };
    let history = |number: &str, part: &Value| {
        let value = json!({"messaging_product": "whatsapp", "history": [part],
            "metadata": {"display_phone_number": ADA_NUMBER, "phone_number_id": number}});
        let entry = json!([{"id": "900100200300400", "changes": [{"field": "history", "value": value}]}]);
        json!({"object": "whatsapp_business_account", "entry": entry}).to_string().into_bytes()
    };
    let complete = [
        part((json!(1), json!(2), json!(60))),
        part((json!("0"), json!("1"), json!("20"))),
        part((json!(2), json!(3), json!(100))),
    ];
    let lacking = [
        part((json!(0), json!(1), json!(20))),
        part((json!(1), json!(4), json!(100))),
        part((json!(1), json!(2), json!(60))),
    ];
    let declined = [json!({"errors": [{"code": 2_593_109, "title": "History sharing is turned off"}]})];
    let earlier = Timestamp::now() - SignedDuration::from_hours(30);
    let receive = async |number: &str, parts: &[Value]| {
        for part in parts {
            let body = history(number, part);
            let webhook = Sha256::of(&body);
            pipeline.put(&keys::webhook_body(earlier, &webhook), body).await?;
            let task = WebhookTask { v: 1, received: earlier, webhook, channel: Channel::Meta, part: None };
            pipeline.send(&queue, &task.to_json()).await?;
        }
        pipeline.store_events().await
    };
    receive("7001", &complete).await?;
    pipeline.run(&Pipeline::backfill()).await?;
    let (exit_code, out, error) = run_archiver(&pipeline, &["report", "--json"]).await?;
    let report: Value = serde_json::from_str(&out).context(error)?;
    assert!(report.get("incomplete_histories").is_none(), "a complete history is listed: {out}");
    receive("7002", &lacking).await?;
    receive("7003", &declined).await?;
    // In progress, and sent twice.
    for _ in 0..2 {
        sender.deliver(&history("7004", &lacking[0])).await?;
    }
    pipeline.store_events().await?;
    let keys = pipeline.keys(keys::HISTORIES).await?;
    assert!(keys.len() == 8 && keys.iter().all(|key| !key.contains(ADA_NUMBER) && !key.contains("/700")), "{keys:?}");
    let directory = tempfile::tempdir()?;
    let page = directory.path().join("report.html").display().to_string();
    let (code, out, error) = run_archiver(&pipeline, &["report", "--json", "--html", &page]).await?;
    assert_eq!(code, exit_code, "{out}{error}");
    let report: Value = serde_json::from_str(&out).context(error)?;
    let listed = report["incomplete_histories"].as_array().context("no histories")?;
    let states = |listed: &[Value]| -> Vec<_> {
        listed.iter().map(|one| (one["phone_number_id"].clone(), one["state"].clone())).collect()
    };
    assert_eq!(states(listed), [(json!("7002"), json!("incomplete")), (json!("7003"), json!("declined"))]);
    assert_eq!(listed[0]["missing"], json!([{"first": 3, "last": 3}]));
    assert_eq!((&listed[0]["progress"], &listed[1]["code"]), (&json!(100), &json!(2_593_109)));
    assert_eq!(listed[0]["last_received"].as_str().and_then(|at| at.parse().ok()), Some(earlier));
    let (_, out, _) = run_archiver(&pipeline, &["report"]).await?;
    let page = std::fs::read_to_string(&page)?;
    for text in ["The histories of 2 phones are incomplete or declined", "progress 100 %, missing: chunk 3"] {
        assert!(out.contains(text) && page.contains(text), "{text}: {out}");
    }
    let doctor = run_doctor(&pipeline, &[], &[], &["histories of phones", "7002"]).await?;
    assert!(doctor.contains("warning  histories of phones"), "{doctor}");
    assert!(
        doctor.contains("1 complete, 1 in progress, 1 declined, 1 incomplete") && doctor.contains("7002: "),
        "{doctor}"
    );
    Ok(())
}

/// WhatsApp keeps a file for 7 days. Requests are repeated after faults of its hosts, so no file is lost.
#[tokio::test]
async fn file_is_fetched_through_faults_and_with_a_new_token() -> anyhow::Result<()> {
    let pipeline = start_pipeline(&[]).await?;
    let (_server, sender) = pipeline.start_function_url(2).await?;
    let meta = pipeline.meta.as_ref().context("no fake of Meta")?;
    let faults =
        [MediaFault::Status(500), MediaFault::Expired, MediaFault::OtherBytes, MediaFault::Cut, MediaFault::Redirect];
    faults.into_iter().for_each(|fault| meta.inject_fault(fault));
    meta.rotate("EAAG-another-token");
    pipeline.keep_word_confidential("EAAG-another-token");
    let day = WebhookDay::new(Timestamp::now());
    let file = day.files.iter().find(|file| file.media_type == "application/pdf").context("no PDF")?;
    let document =
        json!({"id": file.id, "mime_type": file.media_type, "sha256": file.sha256_base64(), "filename": "terms.pdf"});
    let document = body(&json!({
        "messaging_product": "whatsapp",
        "metadata": {"display_phone_number": "46701740605", "phone_number_id": file.phone_number_id},
        "messages": [{"from": CLIENT, "id": wamid(CLIENT, true, 930), "timestamp": "1795166043", "type": "document", "document": document}],
    }));
    sender.deliver(&document).await?;
    let working = pipeline.machine.work_receive().context("no event source")?;
    // The file waits until an operator has stored the new token.
    pipeline.until_logged("configuration error, will retry until the receive limit").await?;
    pipeline.machine.cloud.put_secret(WEBHOOK_SECRET, &webhook_secret("EAAG-another-token")).await?;
    working.stop().await;
    pipeline.store_events().await?;
    pipeline.run(&Pipeline::backfill()).await?;
    let mail = pipeline.mail(ADA)?.into_values().next().context("nothing is filed")?;
    let message = MessageParser::new().parse(&mail).context("not a mail")?;
    let part = message.attachments().find(|part| part.attachment_name() == Some("terms.pdf")).context("no file")?;
    assert_eq!(part.contents(), &file.bytes[..]);
    assert!(pipeline.dead_letters().await?.is_empty());
    assert_eq!(meta.downloads(), 1);
    for text in [
        "Meta's host responded with status 500",
        "does not have the SHA-256 that the webhook says",
        "no response from Meta's host",
        "Meta's host responded with status 302",
    ] {
        pipeline.until_logged(text).await?;
    }
    Ok(())
}

/// Returns the lines of doctor about these checks.
async fn run_doctor(
    pipeline: &Pipeline,
    arguments: &[&str],
    variables: &[(&str, &str)],
    checks: &[&str],
) -> anyhow::Result<String> {
    let (_, out, error) = run_archiver_with(pipeline, &[&["doctor"], arguments].concat(), variables).await?;
    let lines = out.lines().filter(|line| checks.iter().any(|check| line.contains(check)));
    let lines = lines.collect::<Vec<_>>().join("\n");
    anyhow::ensure!(!lines.is_empty(), "{out}{error}");
    Ok(lines)
}

#[tokio::test]
async fn doctor_checks_the_subscription_and_numbers_at_meta() -> anyhow::Result<()> {
    const ACCOUNT: &str = "900100200300400";
    let pipeline = start_pipeline(&[]).await?;
    let (function_url, sender) = pipeline.start_function_url(2).await?;
    let meta = pipeline.meta.as_ref().context("no fake of Meta")?;
    let url = [("RECEIVE_URL", function_url.url())];
    let doctor = async |arguments: &[&str]| run_doctor(&pipeline, arguments, &url, &["at Meta"]).await;
    let assert_contains = |lines: String, texts: &[&str]| {
        assert!(texts.iter().all(|text| lines.contains(text)), "{texts:?}: {lines}");
    };
    assert_contains(doctor(&[]).await?, &["skipped  subscription at Meta", "--business-account"]);
    let named = ["--business-account", ACCOUNT];
    assert_contains(doctor(&named).await?, &["warning  subscription at Meta", "does not see the account"]);
    meta.add_account(ACCOUNT, None, None);
    assert_contains(doctor(&named).await?, &["NOT OK   subscription at Meta", "skipped  numbers at Meta"]);
    // Webhooks contain the account and the number.
    sender.deliver(&text(941, "the first")).await?;
    meta.add_account(ACCOUNT, Some("670843887433847"), Some("https://bot.example.com/"));
    assert_contains(doctor(&[]).await?, &["NOT OK   subscription at Meta", "other URLs", "ok       numbers at Meta"]);
    meta.add_account(ACCOUNT, Some("52565"), Some(function_url.url()));
    assert_contains(doctor(&[]).await?, &["ok       subscription at Meta", "670843887433847, 52565"]);
    meta.rotate("another");
    assert_contains(doctor(&[]).await?, &["warning  subscription at Meta", "NOT OK   numbers at Meta", "renew it"]);
    Ok(())
}

/// The accounts share the token of the secret. One has no subscription, and the token does not see the one whose only
/// webhook came on an earlier day.
#[tokio::test]
async fn doctor_names_the_account_of_each_finding() -> anyhow::Result<()> {
    const SUBSCRIBED: &str = "900100200300401";
    const NOT_SUBSCRIBED: &str = "900100200300402";
    const NOT_SEEN: &str = "900100200300403";
    let pipeline = start_pipeline(&[]).await?;
    let (function_url, sender) = pipeline.start_function_url(2).await?;
    let meta = pipeline.meta.as_ref().context("no fake of Meta")?;
    meta.add_account(SUBSCRIBED, Some("52565"), Some(function_url.url()));
    meta.add_account(NOT_SUBSCRIBED, None, None);
    let body_of = |account: &str, number: &str| {
        let value = json!({"messaging_product": "whatsapp", "metadata": {"phone_number_id": number}});
        let entry = json!([{"id": account, "changes": [{"field": "messages", "value": value}]}]);
        json!({"object": "whatsapp_business_account", "entry": entry}).to_string().into_bytes()
    };
    let earlier = Timestamp::now() - SignedDuration::from_hours(48);
    let body = body_of(NOT_SEEN, "5550003");
    pipeline.put(&keys::webhook_body(earlier, &Sha256::of(&body)), body).await?;
    sender.deliver(&body_of(SUBSCRIBED, "700800900100201")).await?;
    sender.deliver(&body_of(NOT_SUBSCRIBED, "5550002")).await?;
    let findings = async || {
        let (_, out, error) =
            run_archiver_with(&pipeline, &["doctor", "--json"], &[("RECEIVE_URL", function_url.url())]).await?;
        for token in [ACCESS_TOKEN, "another-token"] {
            assert!(!out.contains(token) && !error.contains(token), "doctor prints a token: {out}{error}");
        }
        let printed: Value = serde_json::from_str(&out).with_context(|| error)?;
        let findings = printed["findings"].as_array().context("no findings")?.clone();
        let at_meta = findings
            .into_iter()
            .filter(|finding| finding["check"].as_str().is_some_and(|check| check.ends_with("at Meta")));
        let name = |finding: Value| -> Option<((String, String, String), String)> {
            let text = |member: &str| finding[member].as_str().map(str::to_owned);
            let detail = text("detail")?;
            let named = [SUBSCRIBED, NOT_SUBSCRIBED, NOT_SEEN].into_iter().filter(|account| detail.contains(account));
            let [account] = named.collect::<Vec<_>>()[..] else { return None };
            Some(((account.to_owned(), text("check")?, text("verdict")?), detail))
        };
        let named: Option<(Vec<_>, Vec<_>)> = at_meta.map(name).collect();
        named.with_context(|| format!("a finding does not name one account: {printed}"))
    };
    let expected = |verdicts: [(&str, &str, &str); 3]| -> Vec<_> {
        let each = verdicts.into_iter().flat_map(|(account, subscription, numbers)| {
            [(account, "subscription at Meta", subscription), (account, "numbers at Meta", numbers)]
        });
        each.map(|(account, check, verdict)| (account.to_owned(), check.to_owned(), verdict.to_owned())).collect()
    };
    let all = [(SUBSCRIBED, "ok", "ok"), (NOT_SUBSCRIBED, "not-ok", "not-ok"), (NOT_SEEN, "warning", "not-ok")];
    let (found, details) = findings().await?;
    assert_eq!(found, expected(all));
    for (account, number) in [(NOT_SUBSCRIBED, "5550002"), (NOT_SEEN, "5550003")] {
        let is_named = |detail: &&String| detail.contains(account) && detail.contains(number);
        assert_eq!(details.iter().filter(is_named).count(), 1, "{number} is not named with its account: {details:?}");
    }
    // Meta rejects the token, so that every request fails.
    meta.rotate("another-token");
    let all = [SUBSCRIBED, NOT_SUBSCRIBED, NOT_SEEN].map(|account| (account, "warning", "not-ok"));
    assert_eq!(findings().await?.0, expected(all));
    Ok(())
}

#[tokio::test]
async fn doctor_checks_the_topic_of_aws() -> anyhow::Result<()> {
    let pipeline = start_pipeline(&[]).await?;
    let topic = call_sns(&pipeline, &[("Action", "CreateTopic"), ("Name", "social")], "TopicArn").await?;
    let queue = pipeline.machine.resources.receive.clone().context("no queue")?;
    let variables = [("SOCIAL_TOPIC_ARN", topic.as_str()), ("RECEIVE_QUEUE_URL", queue.url.as_str())];
    let doctor = async |texts: &[&str]| {
        let lines = run_doctor(&pipeline, &[], &variables, &["topic's"]).await?;
        anyhow::ensure!(texts.iter().all(|text| lines.contains(text)), "{texts:?}: {lines}");
        anyhow::Ok(())
    };
    doctor(&["NOT OK   topic's subscription", "NOT OK   topic's policy"]).await?;
    let subscribe =
        [("Action", "Subscribe"), ("TopicArn", topic.as_str()), ("Protocol", "sqs"), ("Endpoint", &queue.arn)];
    let subscription = call_sns(&pipeline, &subscribe, "SubscriptionArn").await?;
    let policy = json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sns:Publish", "Resource": topic,
        "Principal": {"Service": ["social-messaging.amazonaws.com"]}}]});
    let policy = policy.to_string();
    let set = [("Action", "SetTopicAttributes"), ("TopicArn", topic.as_str()), ("AttributeName", "Policy")];
    call_sns(&pipeline, &[&set[..], &[("AttributeValue", policy.as_str())]].concat(), "RequestId").await?;
    doctor(&["ok       topic's subscription", "ok       topic's policy"]).await?;
    let raw = [("Action", "SetSubscriptionAttributes"), ("SubscriptionArn", subscription.as_str())];
    let raw = [&raw[..], &[("AttributeName", "RawMessageDelivery"), ("AttributeValue", "true")]].concat();
    call_sns(&pipeline, &raw, "RequestId").await?;
    doctor(&["NOT OK   topic's subscription", "raw message delivery is on"]).await
}

#[tokio::test]
async fn doctor_checks_the_secret_the_url_and_the_last_webhook() -> anyhow::Result<()> {
    let pipeline = start_pipeline(&[]).await?;
    let (server, sender) = pipeline.start_function_url(2).await?;
    let doctor = async || {
        let (_, out, error) = run_archiver_with(&pipeline, &["doctor"], &[("RECEIVE_URL", server.url())]).await?;
        let lines = out.lines().filter(|line| line.contains("webhook")).map(str::trim).collect::<Vec<_>>().join("\n");
        anyhow::ensure!(!lines.is_empty(), "{out}{error}");
        anyhow::Ok(lines)
    };
    let before = doctor().await?;
    for text in ["ok       webhooks' secret", "ok       webhooks' URL", "warning  last webhook"] {
        assert!(before.contains(text), "{before}");
    }
    sender.deliver(&text(940, "the first")).await?;
    let after = doctor().await?;
    assert!(after.contains("ok       last webhook") && after.contains(" min ago"), "{after}");
    let secret = json!({"app_secret": "to be filled in", "verify_token": "another", "access_token": ""});
    pipeline.machine.cloud.put_secret(WEBHOOK_SECRET, &secret).await?;
    let wrong = doctor().await?;
    assert!(wrong.contains("NOT OK   webhooks' secret") && wrong.contains("not filled in yet: app_secret"), "{wrong}");
    assert!(wrong.contains("NOT OK   webhooks' URL") && wrong.contains("status 403"), "{wrong}");
    Ok(())
}
