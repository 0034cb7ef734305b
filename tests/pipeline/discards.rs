//! A discard belongs to one dead letter, and a dead letter that SQS has deleted by its age is a missing item.

use anyhow::{Context, ensure};
use harness::{ItemSource, MailSystem, Pipeline};
use jiff::{SignedDuration, Timestamp};
use local::{cloud::Step, sample_source::Sample};
use model::{DeadLetter, ItemId, Outcome, keys};
use serde_json::{Value, json};

use crate::reconcile::run_reconcile;

const ADA: &str = "ada@example.com";

/// Starts a pipeline with one text between two people whom only the user map maps to mailboxes.
async fn start_pipeline() -> anyhow::Result<Pipeline> {
    let people = json!({"ada": {"phone": "+4520123456"}, "bob": {"phone": "+4520123457"}});
    let item = json!({"expect": "unmapped", "item": {
        "id": "WA-1", "messageId": "WA-1", "type": "text", "messageTime": "-PT3H", "archivedTime": "-PT2H",
        "chat": {"id": "chat", "type": "individual"}, "from": "@ada", "to": ["@bob"], "text": "Hello."}});
    let sample = Sample::written(&json!({"people": people, "items": [item]}).to_string(), Timestamp::now())?;
    let pipeline = Pipeline::start(ItemSource::Api(sample), MailSystem::Maildir(vec![ADA.to_owned()]), &[]).await?;
    pipeline.run(&Pipeline::timer()).await?;
    ensure!(pipeline.dead_letters().await?.len() == 1, "there is not exactly one dead letter");
    Ok(pipeline)
}

fn outcome_key() -> String {
    keys::outcome(&"WA-1".parse::<ItemId>().expect("the id is invalid").key())
}

async fn read_outcome(pipeline: &Pipeline) -> anyhow::Result<Outcome> {
    Ok(Outcome::parse(&pipeline.store.get(&outcome_key(), 1 << 20).await?.context("no outcome")?.bytes)?)
}

/// Makes the dead letter as old as if SQS had deleted it a day ago.
async fn expire(pipeline: &Pipeline) -> anyhow::Result<()> {
    let mut outcome = read_outcome(pipeline).await?;
    let dead_letter = outcome.dead_letter_source.as_mut().context("no dead letter")?;
    dead_letter.at = Timestamp::now() - DeadLetter::RETENTION - SignedDuration::from_hours(24);
    pipeline.put(&outcome_key(), outcome.to_json()).await
}

async fn delete_dead_letters(pipeline: &Pipeline) -> anyhow::Result<()> {
    let client = aws_sdk_sqs::Client::new(pipeline.machine.cloud.config());
    client.purge_queue().queue_url(&pipeline.machine.resources.dead_letters.url).send().await?;
    Ok(())
}

/// Runs reconcile. Returns the exit code of reconcile, and the numbers of waiting and discarded dead letters and the
/// causes of missing items.
async fn reconcile(pipeline: &Pipeline) -> anyhow::Result<(Option<i32>, u64, u64, Vec<Value>)> {
    let (code, out, stderr) = run_reconcile(pipeline, &["--settled", "--json"]).await?;
    let printed: Value = serde_json::from_str(&out).with_context(|| format!("{out}{stderr}"))?;
    let waiting = printed["waiting"].as_object().context("no counts")?.values().filter_map(Value::as_u64).sum();
    let causes = printed["missing"].as_array().context("no list")?.iter().map(|missing| missing["why"].clone());
    Ok((code, waiting, printed["discarded"].as_u64().context("no count")?, causes.collect()))
}

async fn discard(pipeline: &Pipeline) -> anyhow::Result<()> {
    let mut command = tokio::process::Command::new(harness::binaries()?.join("archiver"));
    command.args(["dead-letters", "discard", "--yes-discard", "1"]).env_clear().env("AWS_REGION", "us-east-1");
    command.envs(pipeline.machine.cloud.variables(Step::Convert, &pipeline.machine.resources));
    let output = command.output().await?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

#[tokio::test]
async fn discard_does_not_cover_a_later_dead_letter_of_the_item() -> anyhow::Result<()> {
    let pipeline = start_pipeline().await?;
    discard(&pipeline).await?;
    assert_eq!(reconcile(&pipeline).await?, (Some(0), 0, 1, vec![]));
    pipeline.run(&Pipeline::backfill()).await?;
    assert_eq!(reconcile(&pipeline).await?, (Some(0), 0, 1, vec![]), "the backfill undid the discard");

    // The source has archived the item again.
    let later = json!({"v": 1, "run": "20261122T070000Z-daily-1", "item": "WA-1", "archived_time": Timestamp::now()});
    pipeline.send(&pipeline.machine.resources.convert, &later.to_string()).await?;
    pipeline.drain().await?;
    assert_eq!(reconcile(&pipeline).await?, (Some(0), 1, 0, vec![]), "the later version has no dead letter");
    delete_dead_letters(&pipeline).await?;

    // Two weeks later the item is listed again, and fails again.
    expire(&pipeline).await?;
    pipeline.run(&Pipeline::backfill()).await?;
    assert_eq!(reconcile(&pipeline).await?, (Some(0), 1, 0, vec![]), "the item has no new dead letter");
    delete_dead_letters(&pipeline).await?;
    let lost = reconcile(&pipeline).await?;
    assert_eq!(lost, (Some(1), 0, 0, vec![json!("letter-gone")]), "the lost item was counted as discarded");
    Ok(())
}

#[tokio::test]
async fn expired_dead_letter_is_missing_and_a_backfill_reopens_it() -> anyhow::Result<()> {
    let pipeline = start_pipeline().await?;
    delete_dead_letters(&pipeline).await?;
    // While the dead letter may exist, another task for the item makes no second dead letter.
    pipeline.run(&Pipeline::backfill()).await?;
    assert!(pipeline.dead_letters().await?.is_empty());
    expire(&pipeline).await?;
    assert_eq!(reconcile(&pipeline).await?, (Some(1), 0, 0, vec![json!("letter-gone")]));

    pipeline.put_user_map(&format!("phone,email\n+4520123456,{ADA}\n")).await?;
    pipeline.run(&Pipeline::backfill()).await?;
    assert_eq!(pipeline.mail(ADA)?.len(), 1);
    assert!(read_outcome(&pipeline).await?.is_complete());
    assert_eq!(reconcile(&pipeline).await?, (Some(0), 0, 0, vec![]));
    Ok(())
}
