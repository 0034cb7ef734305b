//! The help of each command.

use crate::transcript::{assert_transcript, transcript};

#[tokio::test]
async fn help_of_each_command_matches_its_snapshot() {
    for command in [
        &[][..],
        &["local"],
        &["backfill"],
        &["dead-letters"],
        &["dead-letters", "list"],
        &["dead-letters", "show"],
        &["dead-letters", "replay"],
        &["dead-letters", "discard"],
        &["doctor"],
        &["export"],
        &["incidents"],
        &["incidents", "list"],
        &["incidents", "close"],
        &["mapping"],
        &["mapping", "check"],
        &["mapping", "upload"],
        &["mapping", "confirm"],
        &["mapping", "resolve"],
        &["reconcile"],
        &["report"],
        &["status"],
        &["completions"],
    ] {
        let mut arguments = command.to_vec();
        arguments.push("--help");
        let output = transcript(&arguments, &[]).await;
        assert!(output.ends_with("exit code 0\n"), "{output}");
        assert_transcript(&["help"].iter().chain(command).copied().collect::<Vec<_>>().join("-"), &output);
    }
}

#[tokio::test]
async fn unknown_command_is_rejected_with_exit_code_2() {
    let output = transcript(&["backfil"], &[]).await;
    assert_transcript("not-understood", &output);
}

#[tokio::test]
async fn completions_are_printed_for_each_shell() {
    for (shell, beginning) in [
        ("bash", "_archiver()"),
        ("zsh", "#compdef archiver"),
        ("fish", "# Print an optspec"),
        ("powershell", "using namespace"),
    ] {
        let output = transcript(&["completions", shell], &[]).await;
        assert!(
            output.contains(beginning) && output.contains("backfill") && output.ends_with("exit code 0\n"),
            "{shell}: {output}"
        );
    }
}
