//! An item that several runs list is counted once: in the run whose task was processed first.

use anyhow::Context;
use harness::{ItemSource, MailSystem, Pipeline};
use jiff::{SignedDuration, Timestamp};
use local::sample_source::Sample;
use model::{DeadLettered, FiledMailbox, FilingResult, ItemId, Outcome, Reason, RunId, RunRecord, Stage, Window, keys};
use serde_json::{Value, json};

use crate::report::run_json_report;

const ADA: &str = "ada@example.com";
const DAYS: [&str; 3] = ["2026-11-20", "2026-11-21", "2026-11-22"];

/// Returns the run of a day.
fn run_of_day(day: &str) -> anyhow::Result<(RunId, Timestamp)> {
    let at: Timestamp = format!("{day}T08:00:00Z").parse()?;
    Ok((format!("{}-daily-0badcafe", at.strftime("%Y%m%dT%H%M%SZ")).parse()?, at))
}

/// Writes the objects of a run that listed these items.
async fn put_run(pipeline: &Pipeline, day: &str, items: &[&str]) -> anyhow::Result<()> {
    let (run, at) = run_of_day(day)?;
    let line = |item: &&str| json!({"item": item, "archived_time": "2026-11-20T07:59:00Z"}).to_string() + "\n";
    pipeline.put(&keys::manifest(&run, 1), items.iter().map(line).collect::<String>()).await?;
    // The window ends at the end of the day.
    let window = Window::between(at - SignedDuration::from_hours(24), at + SignedDuration::from_hours(16))?;
    let (queued, ended) = (items.len() as u64, Some(at));
    let record = RunRecord { queued, pages: 1, complete: true, ended, ..RunRecord::begun(run.clone(), window) };
    pipeline.put(&keys::run(&run), serde_json::to_vec(&record)?).await
}

/// Returns the outcome of an item whose task of this day was processed first.
fn outcome(id: &ItemId, day: &str) -> anyhow::Result<Outcome> {
    let (run, at) = run_of_day(day)?;
    let mut outcome = Outcome::new(id.clone());
    outcome.run = Some(run);
    let filed = FiledMailbox {
        id: None,
        address: ADA.parse()?,
        primary: None,
        participants: Vec::new(),
        result: FilingResult::Imported,
        message: String::new(),
        at,
    };
    outcome.mailboxes.push(filed);
    Ok(outcome)
}

async fn put_outcome(pipeline: &Pipeline, outcome: &Outcome) -> anyhow::Result<()> {
    pipeline.put(&keys::outcome(&outcome.item.key()), outcome.to_json()).await
}

/// Returns the counters and failed items of a report.
fn counters_and_failures(report: &Value) -> anyhow::Result<(Vec<u64>, Vec<&str>)> {
    let names = ["available", "after_fan_out", "imported", "skipped", "failed", "items_filed", "items_failed"];
    let count = |name: &&str| report["total"][*name].as_u64().with_context(|| format!("no {name}"));
    let failures = report["failures"].as_array().context("no failures")?;
    let failures = failures.iter().filter_map(|failure| failure["item"].as_str()).collect();
    Ok((names.iter().map(count).collect::<Result<_, _>>()?, failures))
}

#[tokio::test]
async fn item_is_counted_only_in_the_run_that_processed_it() -> anyhow::Result<()> {
    let sample = Sample::many(1, Timestamp::now());
    let pipeline = Pipeline::start(ItemSource::Api(sample), MailSystem::Maildir(vec![ADA.to_owned()]), &[]).await?;
    let [first, second, third] = DAYS;
    // Of each kind, one item processed by the first run and one by the second.
    put_run(&pipeline, first, &["filed", "filed-later", "failed", "failed-later"]).await?;
    put_run(&pipeline, second, &["filed", "filed-later", "filed-later", "failed", "failed-later", "failed-later"])
        .await?;
    put_run(&pipeline, third, &["filed-later", "failed-later"]).await?;
    for (id, day) in [("filed", first), ("filed-later", second), ("failed", first), ("failed-later", second)] {
        let id: ItemId = id.parse()?;
        let mut outcome = outcome(&id, day)?;
        if id.as_str().starts_with("failed") {
            outcome.mailboxes.clear();
            outcome.dead_letter = Some(DeadLettered { stage: Stage::Convert, reason: Reason::Oversize });
            let task = json!({"v": 1, "run": run_of_day(day)?.0, "item": id, "archived_time": "2026-11-20T07:59:00Z"});
            pipeline.send(&pipeline.machine.resources.dead_letters, &task.to_string()).await?;
        }
        put_outcome(&pipeline, &outcome).await?;
    }

    let (code, month) = run_json_report(&pipeline, &["--from", first, "--to", third]).await?;
    assert_eq!((code, &month["does_not_add_up"]), (0, &json!([])), "{month}");
    let (total, failures) = counters_and_failures(&month)?;
    // 12 entries of 4 items, each of one copy: 2 imported, 2 failed, the other 8 are repeated.
    assert_eq!(
        (total.as_slice(), failures.as_slice()),
        (&[12, 12, 2, 8, 2, 2, 2][..], &["failed", "failed-later"][..])
    );

    let mut days = vec![0; total.len()];
    let mut failed = Vec::new();
    for day in DAYS {
        let (code, report) = run_json_report(&pipeline, &["--date", day]).await?;
        assert_eq!(code, 0, "{report}");
        let (counts, failures) = counters_and_failures(&report)?;
        days.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
        failed.extend(failures.into_iter().map(str::to_owned));
    }
    assert_eq!((days, failed.iter().map(String::as_str).collect::<Vec<_>>()), (total, failures));

    // The month's days contain the same counts.
    let day = |at: usize| [&month["days"][at]["items_filed"], &month["days"][at]["items_failed"]].map(Value::as_u64);
    assert_eq!([day(0), day(1), day(2)], [[Some(1); 2], [Some(1); 2], [Some(0); 2]]);
    Ok(())
}
