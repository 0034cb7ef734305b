//! Configuration errors: each is reported clearly, and none makes a dead letter.

use anyhow::Context;
use graph_fake::{GraphFake, User};
use harness::{FOLDER, ItemSource, MailSystem, Pipeline};
use jiff::Timestamp;
use local::sample_source::{ExpectedResult, Sample, SourceCredentials, mailboxes, user_map};
use serde_json::json;

use crate::sample_day::{addresses, expected_copies};

async fn start_day() -> anyhow::Result<Pipeline> {
    let sample = Sample::day(Timestamp::now())?;
    let pipeline = Pipeline::start(ItemSource::Api(sample), MailSystem::Maildir(addresses()?), &[]).await?;
    pipeline.put_user_map(user_map()).await?;
    Ok(pipeline)
}

#[tokio::test]
async fn wrong_password_stops_fetch_and_names_the_secret() -> anyhow::Result<()> {
    let pipeline = start_day().await?;
    pipeline
        .machine
        .cloud
        .put_secret("archiver", &json!({"username": "connector", "password": "hunter2hunter2"}))
        .await?;
    let error = pipeline.run(&Pipeline::timer()).await.unwrap_err().to_string();
    assert!(error.contains("401") && error.contains("secret"), "{error}");
    assert!(!error.contains("hunter2") && !pipeline.logs().contains("hunter2"));
    assert!(pipeline.dead_letters().await?.is_empty() && pipeline.copies()?.is_empty());
    Ok(())
}

#[tokio::test]
async fn items_wait_when_the_password_is_rotated_during_a_run() -> anyhow::Result<()> {
    let pipeline = start_day().await?;
    let fetched = pipeline.machine.fetch(&Pipeline::timer()).await?;
    let rotated = SourceCredentials { username: "connector".to_owned(), password: "a new one".to_owned() };
    if let Some(source) = &pipeline.source {
        source.rotate(rotated);
    }
    let depths = pipeline.work_until_logged("configuration error").await?;
    assert_eq!(depths[0].total(), fetched.queued, "an item did not wait");
    assert!(pipeline.dead_letters().await?.is_empty());
    // After the operator sets the secret, processing continues without further action.
    pipeline.machine.cloud.put_secret("archiver", &json!({"username": "connector", "password": "a new one"})).await?;
    pipeline.drain().await?;
    let expected = pipeline.source.as_ref().map(|source| expected_copies(&source.sample().expected()));
    assert_eq!(Some(pipeline.copies()?), expected);
    Ok(())
}

#[tokio::test]
async fn unreachable_source_stops_fetch() -> anyhow::Result<()> {
    let unreachable = [("ARCHIVER_URL", "http://127.0.0.1:1")];
    let pipeline = Pipeline::start(
        ItemSource::Api(Sample::day(Timestamp::now())?),
        MailSystem::Maildir(addresses()?),
        &unreachable,
    )
    .await?;
    let error = pipeline.run(&Pipeline::timer()).await.unwrap_err().to_string();
    assert!(error.contains("listing the source failed") && error.contains("connect"), "{error}");
    assert!(pipeline.dead_letters().await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn missing_bucket_is_named() -> anyhow::Result<()> {
    let missing = [("BUCKET", "no-such-bucket")];
    let pipeline =
        Pipeline::start(ItemSource::Api(Sample::day(Timestamp::now())?), MailSystem::Maildir(addresses()?), &missing)
            .await?;
    let error = pipeline.run(&Pipeline::timer()).await.unwrap_err().to_string();
    assert!(error.contains("NoSuchBucket") && error.contains("state/cursor.json"), "{error}");
    assert!(pipeline.dead_letters().await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn invalid_user_map_row_stops_imports_until_it_is_fixed() -> anyhow::Result<()> {
    let pipeline = start_day().await?;
    pipeline.put_user_map("Mobile number;E-mail address\n+46 70 174 06 05;ada.lindqvist@example.com\n4.52E+09;oliver.marsh@example.com\n").await?;
    pipeline.machine.fetch(&Pipeline::timer()).await?;
    pipeline.work_until_logged("config/user-map.csv").await?;
    let logs = pipeline.logs();
    let line = logs.lines().find(|line| line.contains("config/user-map.csv")).unwrap_or_default();
    assert!(line.contains("ERROR") && line.contains("line 3"), "{line}");
    assert!(pipeline.copies()?.is_empty(), "a copy was filed with a user map that may be wrong");
    let dead_letters = pipeline.dead_letters().await?;
    assert!(dead_letters.iter().all(|dead_letter| dead_letter.attributes["stage"] == "convert"), "{dead_letters:?}");

    pipeline.put_user_map(user_map()).await?;
    pipeline.drain().await?;
    let expected = pipeline.source.as_ref().map(|source| expected_copies(&source.sample().expected()));
    assert_eq!(Some(pipeline.copies()?), expected);
    Ok(())
}

#[tokio::test]
async fn unmapped_items_wait_when_the_catch_all_mailbox_is_missing() -> anyhow::Result<()> {
    let mail = tempfile::tempdir()?;
    for address in addresses()? {
        std::fs::create_dir(mail.path().join(address))?;
    }
    let maildir = mail.path().to_str().context("the path is not UTF-8")?;
    let variables = [("MAILDIR", maildir), ("CATCH_ALL_MAILBOX", "catch-all@example.com")];
    let sample = ItemSource::Api(Sample::day(Timestamp::now())?);
    let pipeline = Pipeline::start(sample, MailSystem::Maildir(addresses()?), &variables).await?;
    pipeline.put_user_map(user_map()).await?;
    pipeline.machine.fetch(&Pipeline::timer()).await?;
    pipeline.work_until_logged("CATCH_ALL_MAILBOX").await?;
    let logs = pipeline.logs();
    let line = logs.lines().find(|line| line.contains("CATCH_ALL_MAILBOX")).unwrap_or_default();
    assert!(line.contains("ERROR") && line.contains("configuration error"), "{line}");
    assert_eq!(pipeline.dead_letters_by_reason().await?.get("unmapped"), None);

    std::fs::create_dir(mail.path().join("catch-all@example.com"))?;
    pipeline.drain().await?;
    assert_eq!(pipeline.dead_letters_by_reason().await?.get("unmapped"), None);
    let catch_all = mail.path().join("catch-all@example.com").join(FOLDER).join("cur");
    assert!(std::fs::read_dir(catch_all)?.count() > 0, "the items were not filed after the correction");
    Ok(())
}

#[tokio::test]
async fn items_wait_when_the_client_secret_is_wrong() -> anyhow::Result<()> {
    let graph = GraphFake::start().await?;
    for address in mailboxes()? {
        graph.add(User::new(address.as_str()));
    }
    graph.set_client_secret("the right one");
    let pipeline =
        Pipeline::start(ItemSource::Api(Sample::day(Timestamp::now())?), MailSystem::Graph(&graph), &[]).await?;
    pipeline.put_user_map(user_map()).await?;
    pipeline.machine.fetch(&Pipeline::timer()).await?;
    pipeline.work_until_logged("AADSTS7000215").await?;
    // Only items that fail for another reason are dead letters.
    let expected_results: Vec<_> =
        pipeline.source.iter().flat_map(|source| source.sample().expected_results()).collect();
    for dead_letter in pipeline.dead_letters().await? {
        let expected_result = expected_results
            .iter()
            .find(|(item, _)| item.as_str() == dead_letter.attributes["item"])
            .map(|(_, expected_result)| expected_result);
        assert!(matches!(expected_result, Some(ExpectedResult::DeadLetter(_))), "{dead_letter:?}");
    }
    assert!(!pipeline.logs().contains(graph_fake::CLIENT_SECRET));

    pipeline.machine.cloud.put_secret("graph", &json!({"client_secret": "the right one"})).await?;
    pipeline.drain().await?;
    let filed: usize = mailboxes()?.iter().map(|address| graph.visible(address.as_str()).len()).sum();
    let expected = pipeline.source.as_ref().map(|source| source.sample().expected().filed.values().sum());
    assert_eq!(Some(filed), expected);
    Ok(())
}

#[tokio::test]
async fn invalid_variable_stops_the_start_and_is_named() -> anyhow::Result<()> {
    for (name, value) in [
        ("MAX_ITEM_BYTES", "ten"),
        ("SOURCE", "pigeon"),
        ("ARCHIVER_URL", "http://archive.example.com"),
        ("MAILBOX", "fax"),
        ("ARCHIVE_DOMAIN", "not a domain"),
        ("LOG_LEVEL", "loud"),
    ] {
        let sample = Sample::day(Timestamp::now())?;
        let error = Pipeline::start(ItemSource::Api(sample), MailSystem::Maildir(addresses()?), &[(name, value)]).await;
        let error = error.err().map(|error| error.to_string()).unwrap_or_default();
        assert!(error.contains(name), "{name}: {error}");
    }
    Ok(())
}
