//! `archiver reconcile` after a complete day, and after objects were deleted or changed.

use std::{cell::Cell, collections::BTreeMap, path::Path, sync::Arc};

use anyhow::Context;
use archiver::{
    Interrupt,
    commands::reconcile::{DeepOptions, MissingCause, Reconciled, Scope, requeue},
    connection::Connection,
};
use aws::s3::{Condition, Put};
use harness::{FOLDER, ItemSource, MailSystem, Pipeline};
use jiff::{SignedDuration, Timestamp};
use local::{
    cloud::Step,
    sample_source::{ExpectedResult, Sample, user_map},
};
use mailbox::{Mailboxes, maildir::Maildir};
use model::{DeadLettered, ItemId, Outcome, Reason, Stage, keys};
use serde_json::{Value, json};

use crate::{
    command_line::{archiver_command, run},
    sample_day::{addresses, expected_dead_letters},
};

const ALL: Scope<'_> = Scope { from: None, to: None, options: "", deep: None, queueing: SignedDuration::ZERO };

/// Reconciles all items and looks up each copy.
async fn reconcile(pipeline: &Pipeline) -> anyhow::Result<Reconciled> {
    let variables = pipeline.machine.variables(Step::Import);
    let maildir = variables.into_iter().rev().find(|(name, _)| name == "MAILDIR").context("no Maildir")?.1;
    let mailboxes: Arc<dyn Mailboxes> = Arc::new(Maildir::new(maildir, FOLDER)?);
    let deep = DeepOptions { mailboxes: Ok(mailboxes), name_mailboxes: false };
    Ok(Reconciled::of(&Connection::to_machine(&pipeline.machine), Scope { deep: Some(&deep), ..ALL }, |_, _| {})
        .await?)
}

/// Returns the cause of each missing item by the key of the item.
fn causes(reconciled: &Reconciled) -> BTreeMap<String, MissingCause> {
    reconciled.missing.iter().map(|missing| (missing.key.clone(), missing.cause)).collect()
}

/// Returns the number of waiting dead letters by reason.
fn waiting(reconciled: &Reconciled) -> BTreeMap<String, usize> {
    reconciled.waiting.iter().map(|(reason, count)| (reason.clone(), *count as usize)).collect()
}

/// Runs the command. Returns its exit code, stdout and stderr.
pub(crate) async fn run_reconcile(
    pipeline: &Pipeline,
    arguments: &[&str],
) -> anyhow::Result<(Option<i32>, String, String)> {
    run_reconcile_without(pipeline, None, arguments).await
}

/// Runs the command in an environment that lacks a variable.
pub(crate) async fn run_reconcile_without(
    pipeline: &Pipeline,
    variable: Option<&str>,
    arguments: &[&str],
) -> anyhow::Result<(Option<i32>, String, String)> {
    let mut command = archiver_command(pipeline, &[&["reconcile"], arguments].concat())?;
    if let Some(variable) = variable {
        command.env_remove(variable);
    }
    run(command).await
}

async fn delete_object(pipeline: &Pipeline, key: &str) -> anyhow::Result<()> {
    let client = aws_sdk_s3::Client::new(pipeline.machine.cloud.config());
    client.delete_object().bucket(&pipeline.machine.resources.bucket).key(key).send().await?;
    Ok(())
}

async fn delete_dead_letter(pipeline: &Pipeline, item: &ItemId) -> anyhow::Result<()> {
    let client = aws_sdk_sqs::Client::new(pipeline.machine.cloud.config());
    let url = &pipeline.machine.resources.dead_letters.url;
    loop {
        let receive = client.receive_message().queue_url(url).max_number_of_messages(10).visibility_timeout(0);
        for message in receive.send().await?.messages.context("the dead letter is missing")? {
            let body: Value = serde_json::from_str(message.body.as_deref().unwrap_or_default())?;
            if body["item"] == item.as_str() {
                let receipt = message.receipt_handle.context("a message without a receipt")?;
                client.delete_message().queue_url(url).receipt_handle(receipt).send().await?;
                return Ok(());
            }
        }
    }
}

/// Returns the key of an item's outcome, and the outcome.
async fn read_outcome(pipeline: &Pipeline, item: &ItemId) -> anyhow::Result<(String, Outcome)> {
    let name = format!("/{}.json", item.key());
    let mut found = None;
    let inspect_page = |page: Vec<aws::s3::Listed>| {
        found = page.into_iter().map(|listed| listed.key).find(|key| key.ends_with(&name)).or(found.take());
        std::future::ready(Ok::<_, aws::s3::StoreError>(()))
    };
    pipeline.store.list(keys::OUTCOMES, inspect_page).await?;
    let key = found.context("the item has no outcome")?;
    let object = pipeline.store.get(&key, 1 << 20).await?.context("the outcome is missing")?;
    Ok((key, Outcome::parse(&object.bytes)?))
}

/// Returns the paths of the copies in each mailbox of a directory.
fn find_copies(mail: &Path) -> anyhow::Result<BTreeMap<String, Vec<std::path::PathBuf>>> {
    let mut copies = BTreeMap::new();
    for mailbox in std::fs::read_dir(mail)? {
        let mailbox = mailbox?;
        let mut files = Vec::new();
        for part in ["cur", "new"] {
            let Ok(entries) = std::fs::read_dir(mailbox.path().join(FOLDER).join(part)) else { continue };
            for entry in entries {
                files.push(entry?.path());
            }
        }
        copies.insert(mailbox.file_name().to_string_lossy().into_owned(), files);
    }
    Ok(copies)
}

/// Returns a directory with an empty mailbox for each address of the sample.
fn create_maildirs() -> anyhow::Result<tempfile::TempDir> {
    let mail = tempfile::tempdir()?;
    for address in addresses()? {
        std::fs::create_dir(mail.path().join(address))?;
    }
    Ok(mail)
}

/// Returns the number of copies in each mailbox.
fn copy_counts(mail: &Path) -> anyhow::Result<BTreeMap<String, usize>> {
    Ok(find_copies(mail)?.into_iter().map(|(mailbox, files)| (mailbox, files.len())).collect())
}

#[tokio::test]
async fn reconcile_decides_nothing_before_the_queues_are_empty() -> anyhow::Result<()> {
    let sample = Sample::day(Timestamp::now())?;
    let expected = sample.expected();
    let pipeline = Pipeline::start(ItemSource::Api(sample), MailSystem::Maildir(addresses()?), &[]).await?;
    pipeline.put_user_map(user_map()).await?;

    // The items are queued, and no other function runs.
    pipeline.machine.fetch(&Pipeline::timer()).await?;
    let reconciled = reconcile(&pipeline).await?;
    assert_eq!((reconciled.undecided, reconciled.filed, reconciled.missing.len()), (reconciled.items, 0, 0));
    let (code, ..) = run_reconcile(&pipeline, &["--settled"]).await?;
    assert_eq!(code, Some(3), "the exit code does not say that the items are undecided");

    pipeline.drain().await?;
    let reconciled = reconcile(&pipeline).await?;
    assert!(reconciled.is_sound() && reconciled.undecided == 0, "{reconciled:?}");
    assert_eq!(waiting(&reconciled), expected_dead_letters(&expected));
    let dead_letters: usize = expected.dead_letters.values().sum();
    assert_eq!((reconciled.items, reconciled.filed), (expected.listed as u64, (expected.listed - dead_letters) as u64));
    let (code, out, _) = run_reconcile(&pipeline, &["--settled"]).await?;
    assert_eq!(code, Some(0), "{out}");
    let found = pipeline.dead_letters_by_reason().await?;
    assert_eq!(found, expected_dead_letters(&expected), "a dead letter is missing or still invisible");
    Ok(())
}

#[tokio::test]
async fn removed_objects_are_reported_and_requeue_restores_copies() -> anyhow::Result<()> {
    let sample = Sample::day(Timestamp::now())?;
    let expected_results: Vec<_> = sample.expected_results().collect();
    let mail = create_maildirs()?;
    let maildir = mail.path().to_str().context("the path is not UTF-8")?;
    let pipeline =
        Pipeline::start(ItemSource::Api(sample), MailSystem::Maildir(addresses()?), &[("MAILDIR", maildir)]).await?;
    pipeline.put_user_map(user_map()).await?;
    pipeline.run(&Pipeline::timer()).await?;
    let all_copies = copy_counts(mail.path())?;
    assert!(all_copies.values().sum::<usize>() > 100, "{all_copies:?}");

    let filed = expected_results.iter().filter(
        |(_, expected_result)| matches!(expected_result, ExpectedResult::Filed(mailboxes) if mailboxes.len() > 1),
    );
    let [(filed, _), (damaged, _), (partly_filed, _)] = filed.take(3).collect::<Vec<_>>()[..] else {
        anyhow::bail!("too few items are filed")
    };
    let unmapped = |(_, expected_result): &&(ItemId, ExpectedResult)| {
        matches!(expected_result, ExpectedResult::DeadLetter(Reason::Unmapped))
    };
    let (unmapped, _) = expected_results.iter().find(unmapped).context("the sample has no unmapped item")?;
    let oversize = |(_, expected_result): &&(ItemId, ExpectedResult)| {
        matches!(expected_result, ExpectedResult::DeadLetter(Reason::Oversize))
    };
    let (oversize, _) = expected_results.iter().find(oversize).context("no item is oversize")?;

    // An outcome and one of its copies are deleted, a dead letter and its outcome, and a dead letter alone. A stored
    // message is changed.
    let (key, before) = read_outcome(&pipeline, filed).await?;
    delete_object(&pipeline, &key).await?;
    let removed = before.mailboxes.first().context("the item is not filed")?;
    let is_lost_copy = |file: &std::path::PathBuf| file.to_string_lossy().contains(&removed.message);
    let copy = find_copies(mail.path())?
        .remove(removed.address.as_str())
        .and_then(|files| files.into_iter().find(is_lost_copy));
    std::fs::remove_file(copy.context("the copy is missing")?)?;
    // An item lacks a copy, and the dead letter that its outcome names does not exist.
    let (key, mut outcome_before) = read_outcome(&pipeline, partly_filed).await?;
    let lost = outcome_before.mailboxes.pop().context("the item is not filed")?;
    let is_lost_copy = |file: &std::path::PathBuf| file.to_string_lossy().contains(&lost.message);
    let copy =
        find_copies(mail.path())?.remove(lost.address.as_str()).and_then(|files| files.into_iter().find(is_lost_copy));
    std::fs::remove_file(copy.context("the copy is missing")?)?;
    outcome_before.dead_letter = Some(DeadLettered { stage: Stage::Import, reason: Reason::MailboxFull });
    pipeline.put(&key, outcome_before.to_json()).await?;
    delete_object(&pipeline, &read_outcome(&pipeline, unmapped).await?.0).await?;
    delete_dead_letter(&pipeline, unmapped).await?;
    delete_dead_letter(&pipeline, oversize).await?;
    let mime = read_outcome(&pipeline, damaged).await?.1.mime.context("the item was not rendered")?;
    let put =
        Put { key: &mime, bytes: b"Subject: other words\r\n\r\n".to_vec().into(), content_type: "x/y", sha256: None };
    let original = pipeline.store.get(&mime, 32 << 20).await?.context("the message is missing")?.bytes;
    pipeline.store.put(put, Condition::Always).await?;

    let reconciled = reconcile(&pipeline).await?;
    let expected = [
        (filed, MissingCause::NoOutcome),
        (unmapped, MissingCause::NoOutcome),
        (oversize, MissingCause::DeadLetterGone),
        (partly_filed, MissingCause::DeadLetterGone),
    ];
    let expected: BTreeMap<_, _> = expected.into_iter().map(|(item, cause)| (item.key().to_string(), cause)).collect();
    assert_eq!(causes(&reconciled), expected);
    assert_eq!(
        reconciled
            .deep_findings
            .damaged
            .iter()
            .map(|damaged| (damaged.mime.as_str(), damaged.gone))
            .collect::<Vec<_>>(),
        [(mime.as_str(), false)]
    );
    let (code, out, err) = run_reconcile(&pipeline, &["--settled"]).await?;
    assert_eq!(code, Some(1));
    assert!(expected.keys().all(|key| out.contains(&key[..8])), "{out}");
    assert!(err.contains("archiver reconcile --settled --requeue"), "{err}");
    pipeline.put(&mime, original).await?;

    // Without a terminal for the confirmation, nothing is changed.
    let (code, _, err) = run_reconcile(&pipeline, &["--settled", "--requeue"]).await?;
    assert!(code == Some(1) && err.contains("nothing was changed"), "{err}");
    let connection = Connection::to_machine(&pipeline.machine);
    let interrupt = Interrupt::default();
    let processed = Cell::new(0);
    let progress = |done| processed.set(done);
    interrupt.set();
    assert_eq!(
        requeue(&connection, &reconciled.missing, &interrupt, progress).await?,
        0,
        "items were queued after the interruption by the operator"
    );
    // An item that a function processes at the same time is left out.
    let missing = reconciled
        .missing
        .iter()
        .find(|missing| missing.cause == MissingCause::NoOutcome)
        .context("no missing item has no outcome")?;
    let mut leased = Outcome::new(missing.listed.name().parse()?);
    let key = keys::outcome(&leased.item.key());
    leased.acquire("import".to_owned(), Timestamp::now() + SignedDuration::from_hours(1));
    pipeline.put(&key, leased.to_json()).await?;
    assert_eq!(requeue(&connection, std::slice::from_ref(missing), &Interrupt::default(), |_| {}).await?, 0);
    let s3 = aws_sdk_s3::Client::new(pipeline.machine.cloud.config());
    s3.delete_object().bucket(&pipeline.machine.resources.bucket).key(key).send().await?;
    assert_eq!(requeue(&connection, &reconciled.missing, &Interrupt::default(), progress).await?, 4);
    assert_eq!(processed.get(), 4);
    let reconciled = reconcile(&pipeline).await?;
    assert_eq!(
        (reconciled.undecided, reconciled.missing.len()),
        (4, 0),
        "an item on the queue was reported as missing"
    );
    pipeline.drain().await?;
    let reconciled = reconcile(&pipeline).await?;
    assert!(reconciled.is_sound() && reconciled.undecided == 0, "{reconciled:?}");
    assert_eq!(
        reconciled.deep_findings.copies_found,
        all_copies.values().sum::<usize>() as u64,
        "a copy was not looked up"
    );
    assert_eq!(copy_counts(mail.path())?, all_copies, "a mailbox has no copy or more than one");
    assert_eq!(read_outcome(&pipeline, filed).await?.1.mailboxes.len(), before.mailboxes.len());
    Ok(())
}

/// A backfill lists old items. An item without an outcome was filed long before, or it was never processed.
#[tokio::test]
async fn old_item_without_outcome_is_unproven_until_requeued() -> anyhow::Result<()> {
    const DAY: SignedDuration = SignedDuration::from_hours(24);
    let year_ago = Timestamp::now() - DAY * 400;
    let sample = Sample::day(year_ago)?;
    let filed = sample.expected_results().find(|(_, result)| matches!(result, ExpectedResult::Filed(_)));
    let (filed, _) = filed.context("no item is filed")?;
    let mail = create_maildirs()?;
    let maildir = mail.path().to_str().context("the path is not UTF-8")?;
    let pipeline =
        Pipeline::start(ItemSource::Api(sample), MailSystem::Maildir(addresses()?), &[("MAILDIR", maildir)]).await?;
    // The user map lacks the row of the leaver, who would be expected to have a mailbox at that time.
    let map: String = user_map().split_inclusive('\n').filter(|row| !row.contains("leaver")).collect();
    pipeline.put_user_map(&map).await?;
    pipeline.run(&json!({"from": year_ago - DAY * 2, "to": year_ago + DAY})).await?;
    let (key, outcome) = read_outcome(&pipeline, &filed).await?;
    assert!(outcome.is_complete());
    let before = copy_counts(mail.path())?;
    delete_object(&pipeline, &key).await?;

    let scope = Scope { from: Some(Timestamp::now() - DAY), ..ALL };
    let reconciled_with_outcome_days = async |days| {
        let connection = Connection::to_machine(&pipeline.machine).with_outcome_days(days);
        anyhow::Ok(Reconciled::of(&connection, scope, |_, _| {}).await?)
    };
    let kept = reconciled_with_outcome_days(0).await?;
    assert_eq!(
        (kept.missing.len(), kept.unproven.len()),
        (1, 0),
        "the item was not reported as missing although outcomes are never deleted"
    );
    let not_yet_expired = reconciled_with_outcome_days(500).await?;
    assert_eq!(
        (not_yet_expired.missing.len(), not_yet_expired.unproven.len()),
        (1, 0),
        "the item was not reported as missing although its outcome would still be kept"
    );
    let old = reconciled_with_outcome_days(365).await?;
    assert_eq!((old.missing.len(), old.unproven.len(), old.expired, old.items), (0, 1, 0, kept.items));
    assert!(!old.is_decided(), "an item that may never have been processed was reported as decided");
    requeue(&Connection::to_machine(&pipeline.machine), &old.to_requeue(), &Interrupt::default(), |_| {}).await?;
    pipeline.drain().await?;
    let requeued = reconciled_with_outcome_days(365).await?;
    assert_eq!((requeued.missing.len(), requeued.unproven.len(), requeued.undecided), (0, 0, 0));
    assert_eq!(copy_counts(mail.path())?, before, "a mailbox has no copy or more than one");
    Ok(())
}
