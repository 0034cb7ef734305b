//! Peak memory of the functions, compared with the template's memory sizes.

use std::{fmt::Write, sync::Arc, time::Duration};

use anyhow::ensure;
use axum::{Router, extract::State, http::Uri, response::IntoResponse};
use dovecot::{Dovecot, Options};
use graph_fake::User;
use harness::{FOLDER, ItemSource, MailSystem, Pace, Pipeline, template_memory, template_memory_for_inbox};
use jiff::{SignedDuration, Timestamp};
use local::{
    cloud::Step,
    sample_source::{Sample, mailboxes, user_map},
};
use model::DeadLetter;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::expectations::{self, ADA, BOB};

/// Batch size of the template.
const BATCH: usize = 10;

/// One process of each function, so that it receives the whole batch.
const ALONE: Pace =
    Pace { timeout: Duration::from_secs(100), visibility: Duration::from_secs(120), concurrency: 1, max_receives: 50 };

/// Minimum memory of a process without an item, in MB.
const IDLE_MEGABYTES: u64 = 25;

/// Asserts that a peak, in MB, leaves a fifth of the memory free, because Lambda counts more than the process.
#[expect(clippy::print_stdout, reason = "the measurement")]
fn assert_fifth_is_free(step: Step, needed: u64, given: u64) -> anyhow::Result<()> {
    println!("{}: {needed} of {given} MB", step.name());
    ensure!(needed <= given * 4 / 5, "{} needs {needed} MB, and the template gives it {given}", step.name());
    Ok(())
}

/// Asserts that this many times the items' part of the peak fits.
fn assert_items_fit(pipeline: &Pipeline, times: u64) -> anyhow::Result<()> {
    for step in [Step::Convert, Step::Import] {
        let (peak, given) = (pipeline.peak_kilobytes(step)? >> 10, template_memory(step)?);
        ensure!(peak > IDLE_MEGABYTES, "{} took {peak} MB", step.name());
        assert_fifth_is_free(step, (peak - IDLE_MEGABYTES) * times + IDLE_MEGABYTES, given)?;
    }
    Ok(())
}

fn largest_item(index: usize) -> Value {
    let mut item = expectations::filed(&format!("item/{index}"));
    // The text counts, too.
    let bytes = (10 << 20) - 1024;
    item["item"]["attachments"] = json!([{"id": "f", "name": "f.bin", "media": {"bytes": bytes}}]);
    item
}

/// importMime takes a message as one request, in base64, and each item goes into four mailboxes.
#[tokio::test]
async fn batch_of_largest_items_fits_in_memory_with_import_mime() -> anyhow::Result<()> {
    let four = [ADA, BOB, "cat@example.com", "dan@example.com"];
    let mut people = serde_json::Map::new();
    for (at, (name, email)) in ["ada", "bob", "cat", "dan"].into_iter().zip(four).enumerate() {
        people.insert(
            name.to_owned(),
            json!({"name": name, "phone": format!("+4520123{:03}", 456 + at), "email": email}),
        );
    }
    let to_all = |index: usize| {
        let mut item = largest_item(index);
        item["expect"] = json!(four);
        item["item"]["to"] = json!(["@bob", "@cat", "@dan"]);
        item
    };
    let items: Vec<_> = (0..BATCH).map(to_all).collect();
    let sample = Sample::written(&json!({"people": people, "items": items}).to_string(), Timestamp::now())?;
    let expected_results: Vec<_> = sample.expected_results().collect();
    let graph = expectations::start_graph().await?;
    graph.grant_mime_import();
    for address in &four[2..] {
        graph.add(User::new(address));
    }
    let pipeline = Pipeline::start_at(ALONE, ItemSource::Api(sample), MailSystem::GraphImportMime(&graph), &[]).await?;
    let fetched = pipeline.run(&Pipeline::timer()).await?;
    assert_items_fit(&pipeline, 1)?;
    expectations::assert_final_state(&pipeline, &fetched.run, &expected_results).await?;
    expectations::assert_one_copy_each_in_graph(&graph, &expected_results)
}

#[tokio::test]
async fn batch_of_largest_items_fits_in_template_memory() -> anyhow::Result<()> {
    let sample = expectations::sample(&(0..BATCH).map(largest_item).collect::<Vec<_>>())?;
    let expected_results: Vec<_> = sample.expected_results().collect();
    let graph = expectations::start_graph().await?;
    let pipeline = Pipeline::start_at(ALONE, ItemSource::Api(sample), MailSystem::Graph(&graph), &[]).await?;
    let fetched = pipeline.run(&Pipeline::timer()).await?;
    assert_items_fit(&pipeline, 1)?;
    expectations::assert_final_state(&pipeline, &fetched.run, &expected_results).await?;
    expectations::assert_one_copy_each_in_graph(&graph, &expected_results)
}

/// A mail goes to the server in one piece, with other addresses in its header than the stored one.
#[tokio::test]
async fn batch_of_largest_items_fits_in_memory_with_imap() -> anyhow::Result<()> {
    let server =
        Dovecot::start(&Options { users: vec![ADA.to_owned(), BOB.to_owned()], tls: true, ..Options::default() })?;
    let sample = expectations::sample(&(0..BATCH).map(largest_item).collect::<Vec<_>>())?;
    let mail_system = MailSystem::Imap(&server, ADA);
    let pipeline = Pipeline::start_at(ALONE, ItemSource::Api(sample), mail_system, &[]).await?;
    pipeline.run(&Pipeline::timer()).await?;
    assert_eq!(server.copies(ADA, FOLDER)?.len(), BATCH, "{}", pipeline.logs());
    assert_items_fit(&pipeline, 1)
}

/// A mail of a vendor with a file, in lines of base64.
fn large_mail(id: &str, more: &str, bytes: u64) -> Vec<u8> {
    let line = [&b"QUJD".repeat(19)[..], b"\r\n"].concat();
    let head = format!(
        "{more}Date: Fri, 20 Nov 2026 09:14:03 +0000\r\nFrom: <447700900123@nomail.example>\r\nTo: <46701740605@nomail.example>\r\n\
         X-TELEMESSAGE-ArchiveMessageID: {id}\r\nContent-Type: application/zip\r\nContent-Transfer-Encoding: base64\r\n\
         Content-Disposition: attachment; filename=a.zip\r\n\r\n"
    );
    // The header has less than a kilobyte.
    let lines = usize::try_from(bytes).unwrap_or_default().saturating_sub(1024) / line.len();
    [head.into_bytes(), line.repeat(lines)].concat()
}

/// Files the largest mails that can be filed. A filed mail has its file twice: as a file, and in the original mail, which
/// is the evidence. The largest mail that is accepted is delivered twice, so that the two are compared. The sizes are not
/// scaled down, because a message above 16 MiB is not held in memory.
#[tokio::test]
async fn largest_mails_fit_in_template_memory() -> anyhow::Result<()> {
    const FILED: u64 = 2;
    let pace = Pace { timeout: Duration::from_secs(900), visibility: Duration::from_secs(920), ..ALONE };
    let addresses: Vec<_> = mailboxes()?.into_iter().map(String::from).collect();
    let max_bytes = DeadLetter::RAISED_MAX_ITEM_BYTES.to_string();
    let variables = [("OVERSIZE", "import"), ("OVERSIZE_MAX_BYTES", &max_bytes)];
    let source = ItemSource::Mails;
    let pipeline = Pipeline::start_at(pace, source, MailSystem::Maildir(addresses), &variables).await?;
    pipeline.put_user_map(user_map()).await?;
    // Another route adds a header field.
    for (name, header) in [("largest", ""), ("again", "Received: by mx\r\n")] {
        let mail = large_mail("largest", header, eml_drop::MAX_MAIL_BYTES);
        pipeline.put(&format!("inbox/{name}.eml"), mail).await?;
    }
    for at in 0..FILED {
        // The mail and its file together are as large as an item may be.
        let mail = large_mail(&at.to_string(), "", (DeadLetter::RAISED_MAX_ITEM_BYTES - (1 << 20)) * 4 / 7);
        pipeline.put(&format!("inbox/{at}.eml"), mail).await?;
    }
    pipeline.run(&Pipeline::backfill()).await?;
    ensure!(pipeline.copies()?.into_values().sum::<usize>() as u64 == FILED, "{:?}", pipeline.copies()?);
    // The second delivery was archived later: if it is processed second, it gets a dead letter of its own.
    let dead_letters: Vec<_> = pipeline.dead_letters_by_reason().await?.into_iter().collect();
    ensure!(
        matches!(dead_letters.as_slice(), [(reason, 1 | 2)] if reason == "oversize"),
        "wrong dead letters: {dead_letters:?}"
    );
    for step in [Step::Fetch, Step::Convert, Step::Import] {
        assert_fifth_is_free(step, pipeline.peak_kilobytes(step)? >> 10, template_memory_for_inbox(step)?)?;
    }
    Ok(())
}

/// Participants per item: too many for the task, so import reads them from the evidence.
const CROWD: usize = 20_000;

/// A group of 100,000 needs this many times the memory. A debug build would need minutes to render it.
const CROWD_FACTOR: u64 = 5;

/// Number of items and the end of each item's JSON.
type Rest = Arc<(usize, String, Timestamp)>;

async fn respond(State(rest): State<Rest>, uri: Uri) -> impl IntoResponse {
    let (count, rest, now) = &*rest;
    let time = format!("{:.3}", *now - SignedDuration::from_hours(2));
    let Some(id) = uri.path().strip_prefix("/items/") else {
        let listed: Vec<_> = (0..*count).map(|at| json!({"id": at.to_string(), "archivedTime": time})).collect();
        return json!({"items": listed, "nextCursor": null}).to_string();
    };
    format!(
        r#"{{"id":"{id}","messageId":"{id}","type":"text","text":"hi","messageTime":"{time}","archivedTime":"{time}",
        "chat":{{"id":"chat","type":"group"}},"from":{{"name":"Ada","phone":"+4520123456","email":"{ADA}"}},"to":[{rest}}}"#
    )
}

/// Files a batch of these items and asserts that it fits.
async fn assert_batch_fits(count: usize, rest: String, times: u64) -> anyhow::Result<()> {
    let now = Timestamp::now();
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    let router = Router::new().fallback(respond).with_state(Rest::new((count, rest, now)));
    let server = tokio::spawn(async move { axum::serve(listener, router).await });
    let variables = [("ARCHIVER_URL", url.as_str())];
    let source = ItemSource::Api(Sample::many(0, now));
    let pipeline = Pipeline::start_at(ALONE, source, MailSystem::Maildir(vec![ADA.to_owned()]), &variables).await?;
    pipeline.run(&Pipeline::timer()).await?;
    server.abort();
    ensure!(pipeline.mail(ADA)?.len() == count, "{} are filed", pipeline.mail(ADA)?.len());
    assert_items_fit(&pipeline, times)
}

#[tokio::test]
async fn batch_of_large_groups_fits_in_template_memory() -> anyhow::Result<()> {
    let mut crowd = String::new();
    for at in 0..CROWD {
        let comma = if at > 0 { "," } else { "" };
        write!(crowd, r#"{comma}{{"name":"Person {at}","phone":"+4530{at:06}"}}"#)?;
    }
    assert_batch_fits(BATCH, crowd + "]", CROWD_FACTOR).await
}

/// Each `[]` is three bytes on the wire and a whole value in memory: three items that take nearly all that one may take.
#[tokio::test]
async fn batch_of_value_heavy_items_fits_in_template_memory() -> anyhow::Result<()> {
    const VALUES: usize = 430_000;
    assert_batch_fits(3, format!(r#"],"x":[{}[]]"#, "[],".repeat(VALUES)), 1).await
}

/// A map with one member needs the most memory per byte, and it is kept until the message is written. Half a batch, which
/// the function processes concurrently; a whole one needs twice the memory.
#[tokio::test]
async fn batch_of_retained_maps_fits_in_template_memory() -> anyhow::Result<()> {
    const VALUES: usize = 195_000;
    assert_batch_fits(BATCH / 2, format!(r#"],"business":[{}0]"#, "{\"\":0},".repeat(VALUES)), 2).await
}
