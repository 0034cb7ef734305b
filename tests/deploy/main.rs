//! Deploys template.yaml with the real `sam deploy` into ministack, and processes a day. The tests connect nothing
//! themselves: the template creates the schedule, the functions with their environments, the event source mappings, the
//! queues and the bucket.

mod api;
mod bootstraps;
mod cloudformation;
mod lifecycle;
mod stack;

use std::collections::BTreeMap;

use anyhow::{Context, ensure};
use aws::s3::{Condition, Put, Store};
use graph_fake::{CLIENT_ID, CLIENT_SECRET, GraphFake, TENANT_ID, User};
use harness::{binaries, queue_messages};
use jiff::{SignedDuration, Timestamp};
use local::{
    sample_source::{Sample, SampleSource, SourceCredentials, mailboxes, user_map},
    totals::Totals,
};
use model::{Cursor, RunId, keys};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::stack::{Account, Outputs, STACK};

const OWNER: &str = "owner@example.com";

const FRIEND: &str = "friend@example.com";

const CHAT: &str = "21/11/2026, 09:59 - Ada: God morgen\n21/11/2026, 10:00 - Bo: Good morning\n";

/// Follows the steps of the runbook: the stack is deployed with the schedule off and tested by hand, deployed again,
/// switched to the retrieval API, switched on, and removed.
#[tokio::test]
async fn deployed_stack_works_from_first_trial_to_removal() -> anyhow::Result<()> {
    let graph = GraphFake::start().await?;
    for address in mailboxes()? {
        graph.add(User::new(address.as_str()));
    }
    graph.add(User::new(OWNER));
    graph.add(User::new(FRIEND));
    let account = Account::start().await?;
    account.set_graph_urls(&graph)?;
    let sample = Sample::day(Timestamp::now())?;
    let expected = sample.expected();
    let credentials = SourceCredentials { username: "connector".to_owned(), password: "correct horse".to_owned() };
    let archive = SampleSource::start(sample, credentials.clone()).await?;

    let mailboxes = [
        ("GraphTenantId", TENANT_ID),
        ("GraphClientId", CLIENT_ID),
        ("RetryBaseSeconds", "1"),
        ("MissingRetrySeconds", "0"),
    ];
    let exports = [("Source", "chat-export"), ("ExportTimeZone", "UTC"), ("ExportParticipants", "mapped")];
    let trial = [&mailboxes[..], &exports].concat();
    account.deploy(&trial).await?;
    let outputs = account.outputs().await?;
    assert_schedule(&account, &outputs, "DISABLED", "rate(1 hour)").await?;
    set_secret_value(&account, outputs.get("GraphSecretArn")?, &json!({"client_secret": CLIENT_SECRET})).await?;
    let bucket = account.bucket(&outputs)?;
    let trial_run = fetch_one_export(&account, &outputs, &bucket).await?;
    assert_eq!((copies(&graph, OWNER), copies(&graph, FRIEND)), (2, 2));
    let dead_letter = send_malformed_task(&account, &outputs).await?;

    let release = account.releases()?.pop().context("no package")?;
    let stdout = account.update(&release, &trial).await?;
    ensure!(stdout.contains("No changes to deploy"), "{stdout}");
    assert_eq!(account.outputs().await?, outputs);

    // The schedule is switched on. The source rejects fetch until the secret has a value; the next run succeeds.
    put(&bucket, keys::USER_MAP, user_map()).await?;
    graph.revoke_tokens();
    let since = Timestamp::now();
    let enabled = [("ArchiverUrl", archive.url()), ("ScheduleState", "ENABLED"), ("Schedule", "rate(1 minute)")];
    account.update(&release, &[&mailboxes[..], &enabled].concat()).await?;
    let outputs = account.outputs().await?;
    assert_schedule(&account, &outputs, "ENABLED", "rate(1 minute)").await?;
    let login = json!({"username": credentials.username, "password": credentials.password});
    set_secret_value(&account, outputs.get("ArchiverSecretArn")?, &login).await?;
    account.wait_until("a run by the schedule", async || has_run(&bucket, since).await).await?;
    account.wait_until_drained(&outputs).await?;

    let filed = expected.filed.keys().map(|address| (address.clone(), copies(&graph, address.as_str()))).collect();
    assert_eq!(expected.filed, filed, "{}", account.log());
    let mut reasons = BTreeMap::new();
    for dead_letter in queue_messages(&account.cloud, outputs.get("DeadLetterQueueUrl")?).await? {
        *reasons.entry(dead_letter.attributes.get("reason").cloned().unwrap_or_default()).or_insert(0) += 1;
    }
    let mut expected_reasons: BTreeMap<_, _> =
        expected.dead_letters.iter().map(|(reason, count)| (reason.to_string(), *count)).collect();
    *expected_reasons.entry(dead_letter).or_default() += 1;
    assert_eq!(reasons, expected_reasons);
    assert_eq!(
        (copies(&graph, OWNER), copies(&graph, FRIEND)),
        (2, 2),
        "an item of the trial is not filed exactly once"
    );
    reconcile(&account, &outputs).await?;

    account.delete().await?;
    let invoked = account.api.invoke(outputs.get("FetchFunctionName")?, &json!({})).await;
    ensure!(invoked.is_err(), "fetch was not deleted: {invoked:?}");
    let kept = Totals::of(&bucket, &trial_run).await?.counters;
    assert_eq!((kept.imported, kept.items_in_flight), (4, 0), "the outcomes were deleted with the stack");
    Ok(())
}

/// Puts a chat into the inbox, fetches it as the runbook describes, and returns the run.
async fn fetch_one_export(account: &Account, outputs: &Outputs, bucket: &Store) -> anyhow::Result<RunId> {
    let since = Timestamp::now();
    put(bucket, keys::USER_MAP, &format!("Mobile;Email\n+45 20 12 34 56;{FRIEND}\n")).await?;
    let chat = format!("{}{OWNER}/chat.txt", keys::INBOX);
    put(bucket, &keys::participants(&chat), "name,phone,email\nBo,+4520123456,\n").await?;
    put(bucket, &chat, CHAT).await?;
    let hour = SignedDuration::from_hours(1);
    let event = json!({"from": since - hour, "to": since + hour});
    let response = account.api.invoke(outputs.get("FetchFunctionName")?, &event).await;
    let response = response.with_context(|| format!("fetch failed:\n{}", account.log()))?;
    assert_eq!((&response["listed"], &response["queued"], &response["complete"]), (&json!(2), &json!(2), &json!(true)));
    account.wait_until_drained(outputs).await?;
    let run = RunId::try_from(response["run"].as_str().context("no run")?.to_owned())?;
    let totals = Totals::of(bucket, &run).await?.counters;
    assert_eq!(
        (totals.available, totals.imported, totals.failed, totals.items_in_flight),
        (2, 4, 0, 0),
        "{}",
        account.log()
    );
    Ok(run)
}

/// Sends a malformed task to convert's queue and returns the reason of its dead letter.
async fn send_malformed_task(account: &Account, outputs: &Outputs) -> anyhow::Result<String> {
    let client = aws_sdk_sqs::Client::new(account.cloud.config());
    let body = "{\"v\":1,\"item\":";
    client.send_message().queue_url(outputs.get("ConvertQueueUrl")?).message_body(body).send().await?;
    account.wait_until_drained(outputs).await?;
    let mut found = queue_messages(&account.cloud, outputs.get("DeadLetterQueueUrl")?).await?;
    let dead_letter = found.pop().with_context(|| format!("no dead letter:\n{}", account.log()))?;
    ensure!(found.is_empty(), "more than one dead letter: {found:?}");
    assert_eq!(dead_letter.body, body, "the body was changed");
    let attribute = |name: &str| dead_letter.attributes.get(name).map(String::as_str).unwrap_or_default();
    assert_eq!((attribute("stage"), attribute("reason")), ("convert", "task-malformed"));
    assert!(!attribute("detail").is_empty() && attribute("failed_at").parse::<Timestamp>().is_ok(), "{dead_letter:?}");
    Ok(attribute("reason").to_owned())
}

async fn assert_schedule(account: &Account, outputs: &Outputs, state: &str, rate: &str) -> anyhow::Result<()> {
    let schedule = account.api.schedule(&format!("{STACK}-fetch")).await?;
    assert_eq!((&schedule["State"], &schedule["ScheduleExpression"]), (&json!(state), &json!(rate)));
    let target = &schedule["Target"];
    let function = format!(":function:{}", outputs.get("FetchFunctionName")?);
    assert!(target["Arn"].as_str().is_some_and(|arn| arn.ends_with(&function)), "{target}");
    assert_eq!(target["RetryPolicy"], json!({"MaximumEventAgeInSeconds": 3600, "MaximumRetryAttempts": 20}));
    assert_eq!(target["DeadLetterConfig"]["Arn"], outputs.queue("ScheduleFailureQueueUrl")?.arn);
    Ok(())
}

/// Returns `true` if a run that began after this time has reached the end of its window, which is 5 minutes before its
/// start. No item of the sample is so new that an earlier run could move the cursor that far.
async fn has_run(bucket: &Store, since: Timestamp) -> anyhow::Result<bool> {
    let Some(cursor) = bucket.get(keys::CURSOR, 10_000).await? else { return Ok(false) };
    let cursor: Cursor = serde_json::from_slice(&cursor.bytes)?;
    Ok(cursor.archived_time >= since - SignedDuration::from_mins(5))
}

/// Runs `archiver reconcile` with the stack's outputs.
async fn reconcile(account: &Account, outputs: &Outputs) -> anyhow::Result<()> {
    let mut command = Command::new(binaries()?.join("archiver"));
    command.env_clear().env("AWS_REGION", "us-east-1").env("AWS_ENDPOINT_URL", account.endpoint());
    command.env("AWS_ACCESS_KEY_ID", "local").env("AWS_SECRET_ACCESS_KEY", "local");
    for (variable, output) in [
        ("BUCKET", "BucketName"),
        ("CONVERT_QUEUE_URL", "ConvertQueueUrl"),
        ("IMPORT_QUEUE_URL", "ImportQueueUrl"),
        ("DEAD_LETTER_QUEUE_URL", "DeadLetterQueueUrl"),
    ] {
        command.env(variable, outputs.get(output)?);
    }
    let output = command.args(["reconcile", "--json"]).kill_on_drop(true).output().await?;
    let stdout = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "{stdout}\n{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// Returns the number of messages that a person sees in a mailbox.
fn copies(graph: &GraphFake, address: &str) -> usize {
    graph.visible(address).len()
}

async fn put(bucket: &Store, key: &str, text: &str) -> anyhow::Result<()> {
    let put = Put { key, bytes: text.to_owned().into(), content_type: "text/plain", sha256: None };
    bucket.put(put, Condition::Always).await?;
    Ok(())
}

/// Sets the value of a secret that the stack created.
async fn set_secret_value(account: &Account, secret: &str, value: &Value) -> anyhow::Result<()> {
    let client = aws_sdk_secretsmanager::Client::new(account.cloud.config());
    client.put_secret_value().secret_id(secret).secret_string(value.to_string()).send().await?;
    Ok(())
}
