//! CloudWatch metrics in the output of the real binaries.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context, ensure};
use aws::s3::StoreError;
use graph_fake::{CLIENT_SECRET, Fault, GraphFake, Kind, On, Refusal, User};
use harness::{ItemSource, MailSystem, Pipeline};
use jiff::{SignedDuration, Timestamp};
use local::{
    cloud::Step,
    sample_source::{Sample, mailboxes, user_map},
};
use serde_json::{Value, json};

use crate::sample_day::{addresses, expected_dead_letters};

/// The sum of each metric by function, metric and, for dead letters, reason.
type Sums = BTreeMap<(String, String, Option<String>), u64>;

/// Sums the metrics as CloudWatch does: a value counts only if the directive of its line contains it.
fn sum_metrics(logs: &str) -> anyhow::Result<Sums> {
    let mut sums = Sums::new();
    for line in logs.lines().filter(|line| line.contains("\"_aws\"")) {
        let line: Value = serde_json::from_str(line)?;
        for directive in line["_aws"]["CloudWatchMetrics"].as_array().into_iter().flatten() {
            assert_eq!(directive["Namespace"], "WhatsAppArchiver");
            let dimensions: Vec<_> = directive["Dimensions"][0].as_array().into_iter().flatten().collect();
            let value = |name: &str| line[name].as_str().map(str::to_owned);
            let reason = dimensions.iter().any(|name| *name == "Reason").then(|| value("Reason")).flatten();
            for metric in directive["Metrics"].as_array().into_iter().flatten() {
                let name = metric["Name"].as_str().unwrap_or_default();
                let function = value("Function").unwrap_or_default();
                let count = line[name].as_u64().unwrap_or_else(|| panic!("{name} has no value: {line}"));
                *sums.entry((function, name.to_owned(), reason.clone())).or_default() += count;
            }
        }
    }
    Ok(sums)
}

/// Waits until the sums are as expected, because output reaches the log shortly after the response.
async fn wait_for_sums(pipeline: &Pipeline, expected: impl Fn(&Sums) -> bool) -> anyhow::Result<Sums> {
    let reached = async {
        loop {
            let sums = sum_metrics(&pipeline.logs())?;
            if expected(&sums) {
                return anyhow::Ok(sums);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let reached = tokio::time::timeout(Duration::from_secs(60), reached).await;
    reached.with_context(|| format!("the expected metrics were not logged: {:#?}", sum_metrics(&pipeline.logs())))?
}

/// Returns the number of messages in the bucket, and their bytes.
async fn count_rendered_messages(pipeline: &Pipeline) -> anyhow::Result<(u64, u64)> {
    let (mut messages, mut bytes) = (0, 0);
    let count_page = |page: Vec<aws::s3::Listed>| {
        messages += page.len() as u64;
        bytes += page.iter().map(|object| object.bytes).sum::<u64>();
        std::future::ready(Ok::<_, StoreError>(()))
    };
    pipeline.store.list("mime/", count_page).await?;
    Ok((messages, bytes))
}

/// Returns the number of dead letters by reason.
fn dead_letters_by_reason(sums: &Sums) -> BTreeMap<String, usize> {
    let mut dead_letters = BTreeMap::new();
    for ((_, metric, reason), count) in sums {
        if let ("DeadLettered", Some(reason)) = (metric.as_str(), reason) {
            *dead_letters.entry(reason.clone()).or_default() += usize::try_from(*count).unwrap_or(usize::MAX);
        }
    }
    dead_letters
}

fn sum(sums: &Sums, function: &str, metric: &str) -> Option<u64> {
    sums.get(&(function.to_owned(), metric.to_owned(), None)).copied()
}

#[tokio::test]
async fn sample_day_is_counted_at_the_log_level_error() -> anyhow::Result<()> {
    let sample = Sample::day(Timestamp::now())?;
    let expected = sample.expected();
    let variables = [("LOG_LEVEL", "error")];
    let pipeline = Pipeline::start(ItemSource::Api(sample), MailSystem::Maildir(addresses()?), &variables).await?;
    pipeline.put_user_map(user_map()).await?;
    pipeline.run(&Pipeline::timer()).await?;

    let listed = expected.listed as u64;
    let copies = expected.filed.values().sum::<usize>() as u64;
    let (messages, bytes) = count_rendered_messages(&pipeline).await?;
    let day = [
        ("fetch", "Listed", listed),
        ("fetch", "Queued", listed),
        ("fetch", "Incomplete", 0),
        ("convert", "Converted", messages),
        ("convert", "Bytes", bytes),
        ("convert", "Skipped", 0),
        ("import", "Imported", copies),
        ("import", "Skipped", 0),
        ("import", "MailboxThrottles", 0),
        ("import", "SetupErrors", 0),
        ("import", "CredentialExpires", 0),
    ];
    wait_for_sums(&pipeline, |sums| {
        day.iter().all(|(function, metric, count)| sum(sums, function, metric) == Some(*count))
            && dead_letters_by_reason(sums) == expected_dead_letters(&expected)
    })
    .await?;

    // The day is fetched again: every copy of a complete item is a duplicate.
    pipeline.run(&Pipeline::backfill()).await?;
    let again = wait_for_sums(&pipeline, |sums| {
        sum(sums, "fetch", "Listed") == Some(2 * listed) && sum(sums, "convert", "Skipped") > Some(0)
    })
    .await?;
    assert_eq!(sum(&again, "import", "Imported"), Some(copies));
    Ok(())
}

/// The alarms `cursor-lost` and `fetch-clock` use these metrics.
#[tokio::test]
async fn lost_cursor_and_clock_skew_are_counted() -> anyhow::Result<()> {
    let sample = Sample::day(Timestamp::now())?;
    let pipeline = Pipeline::start(ItemSource::Api(sample), MailSystem::Maildir(addresses()?), &[]).await?;
    pipeline.machine.fetch(&Pipeline::timer()).await?;
    let metrics = |sums: &Sums| [sum(sums, "fetch", "CursorLost"), sum(sums, "fetch", "ClockSkew")];
    wait_for_sums(&pipeline, |sums| metrics(sums) == [Some(0), Some(0)]).await?;
    let client = aws_sdk_s3::Client::new(pipeline.machine.cloud.config());
    client.delete_object().bucket(pipeline.store.bucket()).key(model::keys::CURSOR).send().await?;
    pipeline.machine.fetch(&Pipeline::timer()).await?;
    wait_for_sums(&pipeline, |sums| metrics(sums) == [Some(1), Some(0)]).await?;
    let Some(source) = &pipeline.source else { anyhow::bail!("no sample source") };
    source.set_clock_ahead(SignedDuration::from_mins(-4));
    pipeline.machine.fetch(&Pipeline::timer()).await?;
    wait_for_sums(&pipeline, |sums| metrics(sums) == [Some(1), Some(1)]).await?;
    Ok(())
}

#[tokio::test]
async fn throttles_and_an_expiring_secret_are_counted() -> anyhow::Result<()> {
    let graph = GraphFake::start().await?;
    for address in mailboxes()? {
        graph.add(User::new(address.as_str()));
    }
    graph.fault(
        On::kind(Kind::MessageCreate).times(5),
        Fault::Refuse(Refusal::new(429, "ApplicationThrottled").retry_after("0.2")),
    );
    let sample = Sample::day(Timestamp::now())?;
    let pipeline = Pipeline::start(ItemSource::Api(sample), MailSystem::Graph(&graph), &[]).await?;
    pipeline.put_user_map(user_map()).await?;
    let tomorrow = Timestamp::now() + SignedDuration::from_hours(24);
    let secret = json!({"client_secret": CLIENT_SECRET, "expires": tomorrow});
    pipeline.machine.cloud.put_secret("graph", &secret).await?;
    pipeline.run(&Pipeline::timer()).await?;
    wait_for_sums(&pipeline, |sums| {
        sum(sums, "import", "MailboxThrottles") == Some(5) && sum(sums, "import", "CredentialExpires") > Some(0)
    })
    .await?;
    ensure!(pipeline.logs().contains("expires soon"), "the log does not warn that the secret expires");
    Ok(())
}

#[tokio::test]
async fn rejected_user_map_is_counted_as_configuration_error() -> anyhow::Result<()> {
    let sample = Sample::day(Timestamp::now())?;
    let pipeline = Pipeline::start(ItemSource::Api(sample), MailSystem::Maildir(addresses()?), &[]).await?;
    pipeline.put_user_map("mobile,email\n+4520123456,one@example.com\n+4520123456,two@example.com\n").await?;
    pipeline.machine.fetch(&Pipeline::timer()).await?;
    pipeline.work_until_logged("\"UserMapRefused\":1").await?;
    let refused = sum_metrics(&pipeline.logs())?;
    assert_eq!(sum(&refused, "import", "UserMapRefused"), sum(&refused, "import", "SetupErrors"));
    assert_eq!(sum(&refused, "import", "Imported"), Some(0));
    Ok(())
}

#[tokio::test]
async fn record_is_counted_as_stuck_on_the_tenth_failure() -> anyhow::Result<()> {
    let unreachable = [("ARCHIVER_URL", "http://127.0.0.1:1")];
    let sample = Sample::day(Timestamp::now())?;
    let pipeline = Pipeline::start(ItemSource::Api(sample), MailSystem::Maildir(Vec::new()), &unreachable).await?;
    let body =
        json!({"v": 1, "run": "20261121T070000Z-daily-0123abcd", "item": "i", "archived_time": "2026-11-21T00:00:00Z"});
    let record = |receives: &str| {
        json!({"messageId": receives, "receiptHandle": "none", "body": body.to_string(), "eventSource": "aws:sqs",
               "attributes": {"ApproximateReceiveCount": receives}, "messageAttributes": {}})
    };
    let event = json!({"Records": [record("9"), record("10"), record("11")]});
    pipeline.machine.function(Step::Convert).invoke(event.to_string().into()).await?;
    wait_for_sums(&pipeline, |sums| sum(sums, "convert", "Stuck") == Some(2)).await?;
    // Import fails before it looks at the records: the user map has no columns.
    pipeline.put_user_map("a,b\n").await?;
    pipeline.machine.function(Step::Import).invoke(event.to_string().into()).await?;
    wait_for_sums(&pipeline, |sums| sum(sums, "import", "Stuck") == Some(2)).await?;
    Ok(())
}
