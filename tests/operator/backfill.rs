//! `archiver backfill`, deployed and on one machine.

use jiff::{SignedDuration, Timestamp};
use tempfile::TempDir;

use crate::{
    stack::Stack,
    transcript::{assert_transcript, ministack, run_archiver, run_archiver_with_reply},
};

const WINDOW: [&str; 4] = ["--from", "2026-11-01", "--to", "2026-11-01T02:30:00Z"];

/// Returns the arguments of a backfill of the stack.
fn backfill<'a>(window: [&'a str; 4], options: &[&'a str]) -> Vec<&'a str> {
    ["backfill", "--stack", "wa"].into_iter().chain(window).chain(options.iter().copied()).collect()
}

#[tokio::test]
async fn backfill_invokes_fetch_until_the_window_is_queued() {
    let stack = Stack::start().await;
    // Without a terminal and --yes nothing is invoked.
    assert_transcript("backfill-not-confirmed", &stack.run(&backfill(WINDOW, &[])).await);
    assert_transcript("backfill", &stack.run(&backfill(WINDOW, &["--yes", "--wait"])).await);
    assert_transcript("backfill-json", &stack.run(&backfill(WINDOW, &["--yes", "--json"])).await);
    let failing = ["--from", "2020-01-01", "--to", "2020-01-02"];
    assert_transcript("backfill-failed", &stack.run(&backfill(failing, &["--yes"])).await);
    let failing_midway = ["--from", "2019-12-31T22:30:00Z", "--to", "2020-01-02"];
    assert_transcript("backfill-failed-midway", &stack.run(&backfill(failing_midway, &["--yes"])).await);
    assert_transcript(
        "backfill-declined",
        &run_archiver_with_reply("n", &backfill(WINDOW, &[]), &stack.variables()).await,
    );
    let without_progress = ["--from", "2021-01-01", "--to", "2021-01-02"];
    assert_transcript("backfill-in-part", &stack.run(&backfill(without_progress, &["--yes"])).await);
    let mut variables = stack.variables().to_vec();
    variables.extend([("BUCKET", "b"), ("FETCH_FUNCTION_NAME", "gone")]);
    variables.extend(["CONVERT_QUEUE_URL", "IMPORT_QUEUE_URL", "DEAD_LETTER_QUEUE_URL"].map(|name| (name, "http://q")));
    let arguments = ["backfill", "--from", "2026-11-01", "--to", "2026-11-02", "--yes"];
    assert_transcript("backfill-no-function", &run_archiver(&arguments, &variables).await);
}

#[tokio::test]
async fn invalid_window_is_rejected_with_exit_code_2() {
    for (name, from, to) in [
        ("backfill-backwards", "2026-11-02", "2026-11-01"),
        ("backfill-no-offset", "2026-11-01T07:00:00", "2026-11-02"),
    ] {
        assert_transcript(name, &run_archiver(&["backfill", "--stack", "wa", "--from", from, "--to", to], &[]).await);
    }
    let tomorrow = (Timestamp::now() + SignedDuration::from_hours(24)).to_string();
    let output = run_archiver(&["backfill", "--stack", "wa", "--from", "2026-11-01", "--to", &tomorrow], &[]).await;
    assert!(output.contains("is in the future: it is ") && output.ends_with("exit code 2\n"), "{output}");
}

#[tokio::test]
async fn one_machine_run_is_backfilled_and_reconciled() {
    let directory = TempDir::new().unwrap();
    let state = directory.path().to_str().unwrap();
    let program = ministack();
    let program = program.to_str().unwrap();
    let local = format!("--local={state}");
    let first = run_archiver(&["local", "--items", "5", "--state", state, "--ministack", program], &[]).await;
    assert!(first.ends_with("exit code 0\n"), "{first}");
    let (from, to) = (Timestamp::now() - SignedDuration::from_hours(48), Timestamp::now());
    let (from, to) = (from.to_string(), to.to_string());
    let window = ["backfill", &local, "--ministack", program, "--from", &from, "--to", &to, "--yes"];
    // Fetch ends its window five minutes before the current time of the source, in whole seconds.
    let mut cut = insta::Settings::clone_current();
    cut.add_filter(r"(fetched until|--from|from \[FROM\] to|times from) \d{4}-\S+Z", "$1 [FETCHED]");
    let normalized = |text: String| {
        let text = text.replace(&from, "[FROM]").replace(&to, "[TO]").replace(program, "[MINISTACK]");
        text.replace(directory.path().canonicalize().unwrap().to_str().unwrap(), "[DIR]").replace(state, "[DIR]")
    };
    let backfilled = normalized(run_archiver(&window, &[]).await);
    cut.bind(|| assert_transcript("backfill-local", &backfilled));
    let status = run_archiver(&["status", &local, "--ministack", program, "--json"], &[]).await;
    assert!(status.contains(r#""convert":[5,0,0]"#), "{status}");
    let waiting = [&window[..], &["--wait"]].concat();
    let backfilled = normalized(run_archiver(&waiting, &[]).await);
    cut.bind(|| assert_transcript("backfill-local-wait", &backfilled));
    let reconciled = run_archiver(&["reconcile", &local, "--ministack", program], &[]).await;
    cut.bind(|| assert_transcript("reconcile-local", &normalized(reconciled)));
    for (command, swapped) in [("reconcile", [&to, &from]), ("export", [&to, &from])] {
        let mut arguments = vec![command, &local, "--ministack", program, "--from", swapped[0], "--to", swapped[1]];
        arguments.extend((command == "export").then_some(["--eml", state]).into_iter().flatten());
        let output = run_archiver(&arguments, &[]).await;
        assert!(output.contains("is not after --from") && output.ends_with("exit code 2\n"), "{output}");
    }
    let doctor = ["doctor", &local, "--ministack", program, "--mailbox", "nobody@example.com"];
    let checked = normalized(run_archiver(&doctor, &[]).await);
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(r"before \S+ is fetched \([^,]+", "before [TIME] is fetched ([AGE] ago");
    settings.bind(|| assert_transcript("doctor-local", &checked));
}
