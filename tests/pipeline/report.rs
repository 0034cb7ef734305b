//! `archiver report`, run as a program against the whole pipeline, and its page in a browser.

use std::process::Output;

use anyhow::Context;
use harness::{ItemSource, MailSystem, Pipeline};
use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use local::{
    cloud::Step,
    ministack::Ministack,
    sample_source::{Sample, user_map},
};
use model::{Outcome, RunId, RunKind, RunRecord, Window, keys};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::{browser::measure, sample_day::addresses};

const ADA: &str = "ada@example.com";
const DAY: SignedDuration = SignedDuration::from_hours(24);

/// Runs the command. Returns its exit code, stdout and stderr.
async fn run_report(pipeline: &Pipeline, arguments: &[&str]) -> anyhow::Result<(i32, String, String)> {
    let test = std::env::current_exe()?;
    let binaries = test.ancestors().nth(2).context("the test is not in a target directory")?;
    let mut command = Command::new(binaries.join("archiver"));
    command.env_clear().env("AWS_REGION", Ministack::REGION).arg("report").args(arguments);
    command.envs(pipeline.machine.cloud.variables(Step::Convert, &pipeline.machine.resources));
    let Output { status, stdout, stderr } = command.output().await?;
    Ok((status.code().unwrap_or(-1), String::from_utf8(stdout)?, String::from_utf8(stderr)?))
}

/// Runs the command. Returns its exit code and JSON output.
pub(crate) async fn run_json_report(pipeline: &Pipeline, arguments: &[&str]) -> anyhow::Result<(i32, Value)> {
    let (code, out, stderr) = run_report(pipeline, &[arguments, &["--json"]].concat()).await?;
    Ok((code, serde_json::from_str(&out).with_context(|| stderr)?))
}

async fn delete(pipeline: &Pipeline, key: &str) -> anyhow::Result<()> {
    let client = aws_sdk_s3::Client::new(pipeline.machine.cloud.config());
    client.delete_object().bucket(&pipeline.machine.resources.bucket).key(key).send().await?;
    Ok(())
}

/// Returns the day of a time in UTC.
fn day(time: Timestamp) -> String {
    time.to_zoned(TimeZone::UTC).date().to_string()
}

/// Returns the event of a run that lists no items, but the time before the window of the timer's first run, which begins
/// 24 hours before that run.
fn earlier_window(began: Timestamp) -> Value {
    json!({"from": began - DAY * 2, "to": began - DAY + SignedDuration::from_mins(30)})
}

#[tokio::test]
async fn report_accounts_for_a_complete_day() -> anyhow::Result<()> {
    let began = Timestamp::now();
    // A day that has just begun is not fetched yet, and midnight in UTC may pass during the test: the report has two or
    // three days.
    let first_day = day(began - DAY);
    let since = ["--from", first_day.as_str()];
    let sample = Sample::day(began)?;
    let expected = sample.expected();
    let (filed, dead_letters): (usize, usize) = (expected.filed.values().sum(), expected.dead_letters.values().sum());
    let pipeline = Pipeline::start(ItemSource::Api(sample), MailSystem::Maildir(addresses()?), &[]).await?;
    pipeline.put_user_map(user_map()).await?;

    let (code, out, stderr) = run_report(&pipeline, &since).await?;
    assert_eq!((code, stderr.as_str()), (1, ""), "{out}");
    assert!(out.contains("without a run") && out.contains("not fetched: archived times from"), "{out}");
    let long_ago = json!({"from": "2020-01-01T00:00:00Z", "to": "2020-01-02T00:00:00Z"});
    assert_eq!(pipeline.machine.fetch(&long_ago).await?.listed, 0);
    let (code, out, _) = run_report(&pipeline, &since).await?;
    assert!(code == 1 && out.contains("1 run without items"), "the run without items is not reported: {out}");

    assert_eq!(pipeline.machine.fetch(&earlier_window(began)).await?.listed, 0);
    let fetched = pipeline.machine.fetch(&Pipeline::timer()).await?;
    let (code, out, _) = run_report(&pipeline, &since).await?;
    assert_eq!(code, 3, "{out}");
    assert!(out.contains("It adds up so far") && out.contains("64 items are in flight"), "{out}");

    pipeline.drain().await?;
    let (code, printed) = run_json_report(&pipeline, &since).await?;
    assert_eq!(code, 0, "{printed}");
    let totals = pipeline.totals(&fetched.run).await?;
    let total = serde_json::to_value(totals.counters)?;
    assert_eq!(printed["total"], total, "the report and the one-machine run have different counts");
    let counts = ["imported", "failed", "after_fan_out", "available"].map(|name| total[name].as_u64());
    assert_eq!(counts, [filed, dead_letters, filed + dead_letters, expected.listed].map(|count| Some(count as u64)));
    let days = printed["days"].as_array().context("no days")?;
    assert_eq!(days.iter().filter_map(|day| day["runs"].as_array()).map(Vec::len).sum::<usize>(), 3);
    assert_eq!(printed["does_not_add_up"], json!([]));
    let failures = printed["failures"].as_array().context("no failures")?;
    assert_eq!(failures.len(), dead_letters);
    let unmapped: Vec<_> = failures.iter().filter(|failure| failure["reason"] == "unmapped").collect();
    let senders: Vec<_> = unmapped.iter().map(|failure| failure["source_user"]["name"].as_str()).collect();
    assert_eq!(senders, [Some("Sam Porter"), Some("Tom Leaver")], "{unmapped:?}");
    let users = printed["mapping"]["users"].as_array().context("no mapping failures")?;
    let phones: Vec<_> = users.iter().filter_map(|user| user["user"]["phone"].as_str()).collect();
    assert_eq!(
        phones.iter().filter(|phone| **phone == "+12025550143").count(),
        1,
        "the user is not listed exactly once: {users:?}"
    );
    assert!(!phones.contains(&"+447700900101"), "a user with a mailbox is listed as unmapped");

    // A later run that lists the whole day again has only duplicates, and the counts of the first run stay.
    let again = pipeline.run(&Pipeline::backfill()).await?;
    assert!(again.listed >= fetched.listed);
    let (code, printed) = run_json_report(&pipeline, &since).await?;
    assert_eq!(
        (code, &printed["total"]["imported"], &printed["total"]["failed"]),
        (0, &total["imported"], &total["failed"])
    );
    assert_eq!(printed["total"]["skipped"], total["after_fan_out"]);
    assert_eq!(printed["total"]["items_listed_again"].as_u64(), Some(again.listed));
    assert_eq!(pipeline.totals(&again.run).await?.counters.items_listed_again, again.listed);
    Ok(())
}

#[tokio::test]
async fn report_exits_with_one_when_counts_do_not_add_up() -> anyhow::Result<()> {
    let began = Timestamp::now();
    let first_day = day(began - DAY);
    let since = ["--from", first_day.as_str()];
    let pipeline =
        Pipeline::start(ItemSource::Api(Sample::many(5, began)), MailSystem::Maildir(addresses()?), &[]).await?;
    assert_eq!(pipeline.machine.fetch(&earlier_window(began)).await?.listed, 0);
    let fetched = pipeline.run(&Pipeline::timer()).await?;
    assert_eq!(run_report(&pipeline, &since).await?.0, 0);

    // An outcome that contains a mailbox twice.
    let outcomes = pipeline.keys(keys::OUTCOMES).await?;
    let key = outcomes.first().context("nothing was filed")?;
    let before = pipeline.store.get(key, 1 << 20).await?.context("the outcome is missing")?.bytes;
    let mut outcome = Outcome::parse(&before)?;
    outcome.mailboxes.extend(outcome.mailboxes.first().cloned());
    pipeline.put(key, outcome.to_json()).await?;
    let (code, out, _) = run_report(&pipeline, &since).await?;
    assert_eq!(code, 1, "{out}");
    assert!(out.contains("It does not add up") && out.contains("names a mailbox twice"), "{out}");
    assert!(out.contains(outcome.item.key().as_str()), "{out}");

    // A missing outcome.
    delete(&pipeline, key).await?;
    let (code, out, _) = run_report(&pipeline, &since).await?;
    assert_eq!(code, 1, "{out}");
    assert!(out.contains("1 items were listed and have neither a copy nor a dead letter nor a task"), "{out}");
    pipeline.put(key, before).await?;
    assert_eq!(run_report(&pipeline, &since).await?.0, 0);

    // A line of a manifest is missing, then the whole manifest: only the run record has the number of queued items.
    let manifest = keys::manifest(&fetched.run, 1);
    let lines = pipeline.store.get(&manifest, 1 << 20).await?.context("no manifest")?.bytes;
    let end = lines.iter().position(|byte| *byte == b'\n').context("no line")?;
    pipeline.put(&manifest, &lines[..=end]).await?;
    let (code, out, _) = run_report(&pipeline, &since).await?;
    assert_eq!(code, 1, "{out}");
    assert!(out.contains("queued 5 items, but its manifest lists 1"), "{out}");
    delete(&pipeline, &manifest).await?;
    let (code, out, _) = run_report(&pipeline, &since).await?;
    assert!(code == 1 && out.contains("Pages of manifests are missing"), "{out}");
    assert!(out.contains(&manifest), "{out}");
    Ok(())
}

#[tokio::test]
async fn report_checks_its_arguments_and_explains_exit_codes() -> anyhow::Result<()> {
    let pipeline =
        Pipeline::start(ItemSource::Api(Sample::many(1, Timestamp::now())), MailSystem::Maildir(vec![]), &[]).await?;
    for (arguments, code, text) in [
        (&["--date", "tomorrow"][..], 2, "--date"),
        (&["--to", "2026-11-01"], 2, "--from"),
        (&["--date", "2026-11-01", "--from", "2026-11-01"], 2, "cannot be used with"),
        (&["--date", "2999-01-01"], 2, "is in the future"),
        (&["--from", "2026-11-02", "--to", "2026-11-01"], 2, "before it begins"),
        (&["--from", "1999-01-01"], 2, "longer than ten years"),
        (&["--html", "/no/such/directory/report.html"], 1, "writing /no/such/directory/report.html"),
    ] {
        let (status, out, stderr) = run_report(&pipeline, arguments).await?;
        assert_eq!((status, out.as_str()), (code, ""), "{arguments:?}: {stderr}");
        assert!(stderr.contains(text), "{arguments:?}: {stderr}");
    }
    let before = day(Timestamp::now());
    let (_, printed) = run_json_report(&pipeline, &[]).await?;
    let days: Vec<_> = printed["days"].as_array().into_iter().flatten().map(|day| day["date"].clone()).collect();
    assert!(days == [json!(before)] || days == [json!(day(Timestamp::now()))], "the default is not today: {days:?}");
    let (code, help, _) = run_report(&pipeline, &["--help"]).await?;
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    for output in
        ["Exit code: 0 when everything adds up", "3 when it adds up so far", "--html <FILE>", "--messages <N>"]
    {
        assert!(code == 0 && help.contains(output), "{output} is not in {help}");
    }
    Ok(())
}

/// Fills the ledger with names and ids that could break the page, and with days of every kind.
/// Returns the time of the run that lists the items.
async fn prepare_hostile_days(pipeline: &Pipeline) -> anyhow::Result<Timestamp> {
    pipeline.put_user_map(&format!("Mobile number,E-mail address\n+4520123456,{ADA}\n")).await?;
    let listed = pipeline.run(&Pipeline::timer()).await?.run;
    let now = listed.began().context("the id of the run has no time")?;
    for (days, window_days) in [(12_i32, 15_i32), (9, 12), (3, 9), (1, 3)] {
        let at = now - DAY * days;
        let run = RunId::new(at, RunKind::Scheduled, "seed");
        // The id of a run has whole seconds.
        let to = at + SignedDuration::from_secs(1);
        let window = Window::between(now - DAY * window_days, to)?;
        let record = RunRecord { complete: true, ended: Some(at), ..RunRecord::begun(run, window) };
        pipeline.put(&keys::run(&record.run), serde_json::to_vec(&record)?).await?;
    }
    Ok(now)
}

const SCRIPT: &str = "<script>document.documentElement.dataset.ran=1</script>";
const IMAGE: &str = "\"><img src=x onerror=\"document.documentElement.dataset.ran=1\">'{{ 7 * 7 }}";

/// Returns a sample with markup, scripts and characters that change the direction of text in ids and names.
fn hostile_sample() -> anyhow::Result<Sample> {
    let item = |id: &str, from: &str, expect: Value| {
        json!({"expect": expect, "item": {
            "id": id, "messageId": id, "type": "text", "messageTime": "-PT3H", "archivedTime": "-PT2H",
            "chat": {"id": "chat", "type": "individual"}, "from": from, "to": ["@image"], "text": "x"}})
    };
    let long = "W".repeat(256);
    let people = json!({
        "ada": {"phone": "+4520123456", "name": "Ada"}, "image": {"phone": "+4520123499", "name": IMAGE},
        "script": {"phone": "+4520123457", "name": SCRIPT},
        "turned": {"phone": "+4520123458", "name": "\u{202E}gpj.exe\u{2066} &amp; <b>"},
    });
    let items = [
        item("plain", "@ada", json!([ADA])),
        item(SCRIPT, "@script", json!("unmapped")),
        item(IMAGE, "@image", json!("unmapped")),
        item("\u{202E}evitanimreted\u{202D}", "@turned", json!("unmapped")),
        item(&long, "@script", json!("unmapped")),
    ];
    Ok(Sample::written(&json!({"people": people, "items": items}).to_string(), Timestamp::now())?)
}

#[tokio::test]
async fn report_page_fits_any_width_and_runs_no_injected_script() -> anyhow::Result<()> {
    let pipeline =
        Pipeline::start(ItemSource::Api(hostile_sample()?), MailSystem::Maildir(vec![ADA.to_owned()]), &[]).await?;
    let listed = prepare_hostile_days(&pipeline).await?;
    let directory = tempfile::tempdir()?;
    let (file, other) = (directory.path().join("report.html"), directory.path().join("other"));
    std::fs::write(&other, "not ours")?;
    std::os::unix::fs::symlink(&other, &file)?;
    let (from, to) = (day(listed - DAY * 13), day(listed));
    let path = file.to_str().context("the path is not UTF-8")?;
    let (code, out, stderr) = run_report(&pipeline, &["--from", &from, "--to", &to, "--html", path]).await?;
    // A day that has ended is not fetched to its end yet, because midnight has passed.
    let has_ended = day(Timestamp::now()) != to;
    assert!(code == 0 || has_ended && code == 3, "{code}: {out}{stderr}");
    assert!(stderr.contains("The page was written to "), "{stderr}");
    assert_eq!(std::fs::read_to_string(&other)?, "not ours", "the command followed the symbolic link");
    assert!(!out.contains(['\u{202E}', '\u{2066}']), "{out}");

    let page = std::fs::read_to_string(&file)?;
    for remote in ["http:", "https:", "src=", "url(", "@import", "<link", "<script"] {
        let escaped_images = page.replace("&#34;", "\"").matches("src=x onerror").count();
        let found = page.matches(remote).count();
        assert_eq!(found, if remote == "src=" { escaped_images } else { 0 }, "{remote} is in the page");
    }
    assert!(
        !page.contains(['\u{202E}', '\u{202D}', '\u{2066}']),
        "the page has characters that change the direction of text"
    );
    for width in [1280, 500] {
        let measured = measure(&page, width).await?;
        assert_eq!(measured["width"].as_u64(), Some(u64::from(width)));
        assert_eq!(measured["wrong"], json!([]), "wrong layout at a width of {width}");
        assert_eq!((&measured["ran"], &measured["foreign"]), (&json!(false), &json!(0)));
        assert!(
            measured["elements"].as_u64() > Some(200) && measured["smallestBar"].as_f64() > Some(0.5),
            "{measured}"
        );
        let days = measured["days"].as_array().context("no days")?;
        assert_eq!(days.len(), 14);
        assert_eq!(days[0][1], "without a run");
        assert_eq!(days[1][1], "1 run without items");
        let counts: Vec<_> = days[13].as_array().into_iter().flatten().skip(2).collect();
        assert_eq!(counts, ["5", "5", "1", "0", "0", "4", "0", "0"], "wrong numbers beside the bar");
        let items: Vec<_> = measured["rows"].as_array().into_iter().flatten().map(|row| row[1].clone()).collect();
        assert!(items.contains(&json!(SCRIPT)) && items.contains(&json!(IMAGE)), "{items:?}");
    }
    Ok(())
}
