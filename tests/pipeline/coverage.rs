//! Coverage of a period by the windows of the runs.

use anyhow::Context;
use harness::{ItemSource, MailSystem, Pipeline};
use jiff::{SignedDuration, Timestamp};
use local::sample_source::Sample;
use model::{Cursor, RunId, RunKind, RunRecord, Window, keys};
use serde_json::{Value, json};

use crate::{reconcile::run_reconcile, report::run_json_report, sample_day::addresses};

/// End of an earlier run.
#[derive(Clone, Copy)]
enum RunEnd {
    Complete,
    Crashed,
}

/// Writes the record of an earlier run.
async fn put_run(pipeline: &Pipeline, window: Window, end: RunEnd) -> anyhow::Result<RunId> {
    let run = RunId::new(window.to, RunKind::Scheduled, &window.from.to_string());
    let begun = RunRecord::begun(run.clone(), window);
    let record = match end {
        RunEnd::Complete => RunRecord { complete: true, ended: Some(window.to), ..begun },
        RunEnd::Crashed => begun,
    };
    pipeline.put(&keys::run(&run), serde_json::to_vec(&record)?).await?;
    Ok(run)
}

#[tokio::test]
async fn reconcile_reports_gaps_until_they_are_backfilled() -> anyhow::Result<()> {
    let sample = Sample::many(1, Timestamp::now());
    let pipeline = Pipeline::start(ItemSource::Api(sample), MailSystem::Maildir(addresses()?), &[]).await?;
    let (code, out, _) = run_reconcile(&pipeline, &["--settled"]).await?;
    assert_eq!(code, Some(1), "a deployment without a run was not reported: {out}");
    assert!(out.contains("No run has recorded a window"), "{out}");

    // The first run crashed five days ago, and the cursor was lost; the next complete run began two days ago.
    let now = Timestamp::now();
    let hours = |hours: i64| now - SignedDuration::from_hours(hours);
    let crashed = put_run(&pipeline, Window::between(hours(144), hours(120))?, RunEnd::Crashed).await?;
    put_run(&pipeline, Window::between(hours(72), hours(48))?, RunEnd::Complete).await?;
    put_run(&pipeline, Window::between(hours(49), hours(23))?, RunEnd::Complete).await?;
    pipeline.run(&Pipeline::timer()).await?;
    let (code, out, _) = run_reconcile(&pipeline, &["--settled", "--json"]).await?;
    assert_eq!(code, Some(1), "{out}");
    let printed: Value = serde_json::from_str(&out)?;
    let gaps = printed["coverage"]["gaps"].as_array().context("no gaps")?;
    assert_eq!(gaps.len(), 1, "{out}");
    assert_eq!(gaps[0]["unfinished_runs"], json!([crashed]));
    let closing = gaps[0]["command"].as_str().context("no command")?;
    assert_eq!(closing, format!("archiver backfill --from {} --to {}", hours(144), hours(72)));
    let (code, out, _) = run_reconcile(&pipeline, &["--settled"]).await?;
    assert!(code == Some(1) && out.contains(closing), "{out}");
    let from = hours(71).to_string();
    let (code, out, _) = run_reconcile(&pipeline, &["--settled", "--from", &from]).await?;
    assert_eq!(code, Some(0), "{out}");

    pipeline.run(&json!({"from": hours(144), "to": hours(72)})).await?;
    let (code, out, _) = run_reconcile(&pipeline, &["--settled"]).await?;
    assert_eq!(code, Some(0), "{out}");
    assert!(out.contains("without a gap"), "the output does not say that the period has no gap: {out}");

    // The items of the closed gap are in the manifest of a run that began after the period.
    let period = ["--settled", "--from", &hours(144).to_string(), "--to", &hours(72).to_string()];
    let (code, out, _) = run_reconcile(&pipeline, &period).await?;
    assert_eq!(code, Some(0), "{out}");
    let record = outside_run(Window::between(hours(144), hours(40))?);
    let key = keys::run(&record.run);
    pipeline.put(&key, "{").await?;
    let (code, out, _) = run_reconcile(&pipeline, &period).await?;
    assert!(code == Some(3) && out.contains(&key), "a run whose window cannot be read is not reported: {out}");
    let running = RunRecord { ended: None, complete: false, ..record.clone() };
    pipeline.put(&key, serde_json::to_vec(&running)?).await?;
    let (code, out, _) = run_reconcile(&pipeline, &period[1..]).await?;
    assert!(code == Some(3) && out.contains("is running and may list more items"), "{out}");
    let lost = json!({"item": "WA-lost", "archived_time": hours(100)});
    let other = json!({"item": "WA-other", "archived_time": hours(60)});
    pipeline.put(&keys::manifest(&record.run, 1), format!("{lost}\n{other}\n")).await?;
    pipeline.put(&key, serde_json::to_vec(&record)?).await?;
    let (code, out, _) = run_reconcile(&pipeline, &[&period[..], &["--json"]].concat()).await?;
    let printed: Value = serde_json::from_str(&out)?;
    assert_eq!((code, &printed["missing"][0]["item"]), (Some(1), &json!("WA-lost")), "{out}");
    assert_eq!((&printed["items"], &printed["outside"]["items"]), (&json!(1), &json!(1)), "{out}");
    let day = |hours_ago| hours(hours_ago).strftime("%Y-%m-%d").to_string();
    let (code, report) = run_json_report(&pipeline, &["--from", &day(120), "--to", &day(96)]).await?;
    let broken = report["does_not_add_up"].to_string();
    assert!(code == 1 && broken.contains("1 items were listed and have neither"), "{report}");
    Ok(())
}

/// The cursor of the webhooks is past a message that was received after their last run.
#[tokio::test]
async fn change_of_source_leaves_a_gap_of_the_earlier_source() -> anyhow::Result<()> {
    let sample = Sample::many(1, Timestamp::now());
    let pipeline = Pipeline::start(ItemSource::Api(sample), MailSystem::Maildir(addresses()?), &[]).await?;
    let now = Timestamp::from_second(Timestamp::now().as_second())?;
    let window = Window::between(now - SignedDuration::from_hours(24), now - SignedDuration::from_hours(2))?;
    let run = RunId::new(window.to + Window::MARGIN, RunKind::Scheduled, "webhooks");
    let source = Some("cloud-api".to_owned());
    let begun = RunRecord { source: source.clone(), ..RunRecord::begun(run.clone(), window) };
    let record = RunRecord { complete: true, ended: Some(window.to + Window::MARGIN), ..begun };
    let (key, cursor) = (keys::run(&run), Cursor { v: 1, archived_time: window.to, run, rest: None, source });
    pipeline.put(&key, serde_json::to_vec(&record)?).await?;
    pipeline.put(keys::CURSOR, serde_json::to_vec(&cursor)?).await?;

    let changed = pipeline.run(&Pipeline::timer()).await?;
    let first = changed.from.duration_since(now - Window::FIRST);
    assert!(
        first.as_secs() >= 0 && first.as_mins() < 5,
        "the new source continues the other's cursor: {}",
        changed.from
    );
    let (code, out, _) = run_reconcile(&pipeline, &["--settled", "--json"]).await?;
    let printed: Value = serde_json::from_str(&out)?;
    let gaps = printed["coverage"]["gaps"].as_array().context("no gaps")?;
    let [gap] = &gaps[..] else { anyhow::bail!("there is not exactly one gap: {out}") };
    assert_eq!((code, &gap["source"], &gap["from"]), (Some(1), &json!("cloud-api"), &json!(window.to)), "{out}");
    let (code, out, _) = run_reconcile(&pipeline, &["--settled"]).await?;
    assert!(code == Some(1) && out.contains(&window.to.to_string()) && out.contains("cloud-api"), "{out}");
    let to = window.to.to_string();
    assert_eq!(run_reconcile(&pipeline, &["--settled", "--to", &to]).await?.0, Some(0), "the named end was fetched");

    // The operator had stopped the source before its last run.
    let last = RunRecord { last: true, ..record };
    pipeline.put(&key, serde_json::to_vec(&last)?).await?;
    let (code, out, _) = run_reconcile(&pipeline, &["--settled"]).await?;
    assert_eq!(code, Some(0), "{out}");
    Ok(())
}

/// Returns the record of a backfill that has just ended and listed two items.
fn outside_run(window: Window) -> RunRecord {
    let now = Timestamp::now();
    let run = RunId::new(now, RunKind::Backfill, "late");
    RunRecord { complete: true, ended: Some(now), queued: 2, pages: 1, ..RunRecord::begun(run, window) }
}

#[tokio::test]
async fn reconcile_waits_for_a_running_run() -> anyhow::Result<()> {
    let sample = Sample::many(1, Timestamp::now());
    let pipeline = Pipeline::start(ItemSource::Api(sample), MailSystem::Maildir(addresses()?), &[]).await?;
    let now = Timestamp::now();
    put_run(&pipeline, Window::between(now - SignedDuration::from_hours(24), now)?, RunEnd::Crashed).await?;
    assert_eq!(run_reconcile(&pipeline, &[]).await?.0, Some(3), "the exit code does not say that a run has just begun");
    assert_eq!(run_reconcile(&pipeline, &["--settled"]).await?.0, Some(1), "a crashed run was not reported");
    Ok(())
}
