//! What `--help` says of each command.

use crate::transcript::{assert_transcript, transcript};

#[tokio::test]
async fn each_command_explains_itself() {
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
        let said = transcript(&arguments, &[]).await;
        assert!(said.ends_with("exit code 0\n"), "{said}");
        assert_transcript(&["help"].iter().chain(command).copied().collect::<Vec<_>>().join("-"), &said);
    }
}

#[tokio::test]
async fn what_is_not_understood_is_told_with_exit_code_2() {
    let said = transcript(&["backfil"], &[]).await;
    assert_transcript("not-understood", &said);
}

#[tokio::test]
async fn each_shell_is_given_its_completions() {
    for (shell, begins) in [
        ("bash", "_archiver()"),
        ("zsh", "#compdef archiver"),
        ("fish", "# Print an optspec"),
        ("powershell", "using namespace"),
    ] {
        let said = transcript(&["completions", shell], &[]).await;
        assert!(
            said.contains(begins) && said.contains("backfill") && said.ends_with("exit code 0\n"),
            "{shell}: {said}"
        );
    }
}
