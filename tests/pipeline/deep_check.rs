//! `archiver reconcile --deep` looks up each copy in its mailbox, in every mail system.

use std::collections::BTreeMap;

use anyhow::Context;
use dovecot::{Dovecot, Options};
use graph_fake::{Fault, GraphFake, Kind, On, Refusal, User};
use harness::{FOLDER, ItemSource, MailSystem, Pipeline};
use jiff::Timestamp;
use local::sample_source::{Sample, user_map};
use serde_json::Value;

use crate::{
    reconcile::run_reconcile,
    sample_day::{addresses, expected_copies},
};

/// Returns the two mailboxes with the most copies, the fuller one first.
fn two_fullest(copies: &BTreeMap<String, usize>) -> anyhow::Result<[(String, usize); 2]> {
    let mut fullest: Vec<_> = copies.iter().map(|(address, copies)| (address.clone(), *copies)).collect();
    fullest.sort_by_key(|(_, copies)| std::cmp::Reverse(*copies));
    Ok([fullest.first().context("no mailbox")?.clone(), fullest.get(1).context("only one mailbox")?.clone()])
}

/// Files the sample day and returns the number of copies per mailbox.
async fn file_day(
    mail_system: MailSystem<'_>,
    variables: &[(&str, &str)],
) -> anyhow::Result<(Pipeline, BTreeMap<String, usize>)> {
    let sample = Sample::day(Timestamp::now())?;
    let copies = expected_copies(&sample.expected());
    let pipeline = Pipeline::start(ItemSource::Api(sample), mail_system, variables).await?;
    pipeline.put_user_map(user_map()).await?;
    pipeline.run(&Pipeline::timer()).await?;
    Ok((pipeline, copies))
}

/// Returns the exit code and the JSON output of the command.
async fn run_deep_check(pipeline: &Pipeline, more: &[&str]) -> anyhow::Result<(Option<i32>, Value)> {
    let arguments = [&["--deep", "--settled", "--json"], more].concat();
    let (code, printed, stderr) = run_reconcile(pipeline, &arguments).await?;
    Ok((code, serde_json::from_str(&printed).with_context(|| format!("{printed}{stderr}"))?))
}

/// Returns the length of a list in the output.
fn count(printed: &Value, list: &str) -> usize {
    printed[list].as_array().map_or(usize::MAX, Vec::len)
}

/// Asserts that the deep check finds every copy.
async fn assert_all_found(pipeline: &Pipeline, copies: &BTreeMap<String, usize>) -> anyhow::Result<()> {
    let (code, printed) = run_deep_check(pipeline, &[]).await?;
    assert_eq!(code, Some(0), "{printed}");
    assert_eq!(printed["copies_found"], copies.values().sum::<usize>());
    assert_eq!(["damaged", "not_in_mailbox", "not_asked"].map(|list| count(&printed, list)), [0, 0, 0]);
    Ok(())
}

#[tokio::test]
async fn deep_check_separates_deleted_copies_from_deleted_mailboxes() -> anyhow::Result<()> {
    let mail = tempfile::tempdir()?;
    for address in addresses()? {
        std::fs::create_dir(mail.path().join(address))?;
    }
    let maildir = mail.path().to_str().context("the path is not UTF-8")?;
    let (pipeline, copies) = file_day(MailSystem::Maildir(addresses()?), &[("MAILDIR", maildir)]).await?;
    assert_all_found(&pipeline, &copies).await?;

    let [(deleted, deleted_copies), (owner, _)] = two_fullest(&copies)?;
    let folder = mail.path().join(&owner).join(FOLDER).join("cur");
    let copy = std::fs::read_dir(&folder)?.next().context("no copy")??.path();
    // The owner of the mailbox copies the message.
    let name = copy.file_name().and_then(|name| name.to_str()).context("no name")?;
    let second = folder.join(format!("9{name}"));
    std::fs::copy(&copy, &second)?;
    let (code, printed) = run_deep_check(&pipeline, &[]).await?;
    assert_eq!((code, count(&printed, "duplicates"), count(&printed, "not_in_mailbox")), (Some(1), 1, 0), "{printed}");
    assert_eq!(printed["duplicates"][0]["copies"], 2);
    std::fs::remove_file(&second)?;
    std::fs::remove_file(&copy)?;
    std::fs::remove_dir_all(mail.path().join(&deleted))?;
    let remaining_copies = std::fs::read_dir(&folder)?.count();

    let (code, printed) = run_deep_check(&pipeline, &[]).await?;
    assert_eq!(code, Some(1), "{printed}");
    assert_eq!((count(&printed, "not_in_mailbox"), count(&printed, "missing")), (1, 0), "{printed}");
    assert_eq!((count(&printed, "not_asked"), &printed["not_asked"][0]["copies"]), (1, &Value::from(deleted_copies)));
    assert!(
        !printed.to_string().contains(&owner) && !printed.to_string().contains(&deleted),
        "the output contains a mailbox: {printed}"
    );
    let outcome = printed["not_in_mailbox"][0]["outcome"].as_str().context("no outcome")?;
    let object = pipeline.store.get(outcome, 1 << 20).await?.context("the named outcome is missing")?;
    assert!(String::from_utf8_lossy(&object.bytes).contains(&owner), "the outcome does not contain the mailbox");

    let (code, text, stderr) = run_reconcile(&pipeline, &["--deep", "--settled", "--name-mailboxes"]).await?;
    assert_eq!(code, Some(1));
    assert!(
        text.contains(&owner) && text.contains(&deleted) && text.contains("1 copies are not in the archive"),
        "{text}"
    );
    assert!(!stderr.contains("--requeue"), "the command offers --requeue although no item is missing: {stderr}");
    let (code, ..) = run_reconcile(&pipeline, &["--deep", "--settled", "--requeue", "--yes"]).await?;
    assert_eq!(code, Some(1));
    pipeline.drain().await?;
    assert_eq!(std::fs::read_dir(&folder)?.count(), remaining_copies, "a copy that its owner deleted was filed again");
    Ok(())
}

#[tokio::test]
async fn deep_check_only_reads_graph_and_reports_unchecked_copies() -> anyhow::Result<()> {
    let graph = GraphFake::start().await?;
    for address in addresses()? {
        graph.add(User::new(&address));
    }
    let (pipeline, copies) = file_day(MailSystem::Graph(&graph), &[]).await?;
    graph.forget_requests();
    assert_all_found(&pipeline, &copies).await?;
    let lookup_kinds = [Kind::Token, Kind::UserByName, Kind::UserSearch, Kind::FolderSearch, Kind::MessageSearch];
    let requested = graph.requests();
    assert!(requested.iter().all(|kind| lookup_kinds.contains(kind)), "{requested:?}");
    let all: usize = copies.values().sum();
    assert_eq!(graph.count(Kind::MessageSearch), all, "there is not exactly one search for each copy");

    // `Retry-After` exceeds the retry budget of a lookup.
    let busy = Fault::Refuse(Refusal::new(429, "ApplicationThrottled").retry_after("600"));
    graph.fault(On::kind(Kind::MessageSearch).nth(10), busy);
    let (code, printed) = run_deep_check(&pipeline, &[]).await?;
    assert_eq!((code, count(&printed, "not_asked")), (Some(3), 1), "{printed}");
    assert!(printed["not_asked"][0]["why"].as_str().is_some_and(|why| why.contains("429")), "{printed}");
    assert_eq!((printed["copies_found"].clone(), count(&printed, "not_in_mailbox")), (Value::from(all - 1), 0));

    let [(deleted, deleted_copies), (emptied, emptied_copies)] = two_fullest(&copies)?;
    graph.remove(&deleted);
    graph.remove_folder(&emptied, FOLDER);
    let (code, printed) = run_deep_check(&pipeline, &[]).await?;
    assert_eq!((code, count(&printed, "not_in_mailbox"), count(&printed, "not_asked")), (Some(1), emptied_copies, 1));
    assert_eq!(printed["not_asked"][0]["copies"], deleted_copies);
    assert!(graph.visible_folders(&emptied).iter().all(|name| name != FOLDER), "the lookup created a folder");
    assert!(addresses()?.iter().all(|address| graph.peak(address) <= 4));
    Ok(())
}

#[tokio::test]
async fn deep_check_reports_unchecked_copies_when_imap_is_unavailable() -> anyhow::Result<()> {
    let users = addresses()?;
    let mut server = Dovecot::start(&Options { users: users.clone(), tls: true, ..Options::default() })?;
    let (pipeline, copies) = file_day(MailSystem::Imap(&server, &users[0]), &[]).await?;
    assert_all_found(&pipeline, &copies).await?;

    let [(owner, owner_copies), _] = two_fullest(&copies)?;
    server.run_in(&owner, FOLDER, "STORE 1 +FLAGS.SILENT (\\Deleted)")?;
    assert_eq!(server.copies(&owner, FOLDER)?.len(), owner_copies);
    // A copy that is marked as deleted and not expunged still exists.
    assert_all_found(&pipeline, &copies).await?;
    server.run_in(&owner, FOLDER, "EXPUNGE")?;
    let (code, printed) = run_deep_check(&pipeline, &["--name-mailboxes"]).await?;
    assert_eq!((code, count(&printed, "not_in_mailbox")), (Some(1), 1), "{printed}");
    assert_eq!(printed["not_in_mailbox"][0]["mailbox"], owner);

    server.kill();
    let (code, printed) = run_deep_check(&pipeline, &[]).await?;
    assert_eq!((code, count(&printed, "not_asked"), count(&printed, "not_in_mailbox")), (Some(3), copies.len(), 0));
    Ok(())
}

#[tokio::test]
async fn deep_check_verifies_messages_without_mailbox_access() -> anyhow::Result<()> {
    let (pipeline, copies) = file_day(MailSystem::Maildir(addresses()?), &[]).await?;
    let (code, printed, _) =
        crate::reconcile::run_reconcile_without(&pipeline, Some("MAILBOX"), &["--deep", "--settled", "--json"]).await?;
    let printed: Value = serde_json::from_str(&printed)?;
    assert_eq!((code, count(&printed, "not_asked"), count(&printed, "damaged")), (Some(3), copies.len(), 0));
    let why = printed["not_asked"][0]["why"].as_str().unwrap_or_default();
    assert!(why.contains("IMPORT_FUNCTION_NAME"), "the error does not name the variable: {why}");
    Ok(())
}
