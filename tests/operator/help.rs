//! The help of each command.

use std::collections::BTreeSet;

use crate::transcript::{assert_transcript, run_archiver};

/// Returns the names in the list of commands of a help text.
fn listed_commands(help: &str) -> impl Iterator<Item = &str> {
    let list = help.split_once("\nCommands:\n").map_or("", |(_, list)| list);
    let lines = list.split("\n\n").next().unwrap_or_default().lines();
    let names = lines.filter_map(|line| line.strip_prefix("  ")?.split(' ').next()).filter(|name| !name.is_empty());
    names.filter(|name| *name != "help")
}

#[tokio::test]
async fn help_of_each_command_matches_its_snapshot() {
    let commands = [
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
        &["migrate"],
        &["reconcile"],
        &["report"],
        &["status"],
        &["completions"],
    ];
    let tested: BTreeSet<_> = commands.iter().map(|command| command.join(" ")).collect();
    let mut listed = BTreeSet::new();
    for command in commands {
        let mut arguments = command.to_vec();
        arguments.push("--help");
        let output = run_archiver(&arguments, &[]).await;
        assert!(output.ends_with("exit code 0\n"), "{output}");
        listed.extend(listed_commands(&output).map(|name| [command, &[name]].concat().join(" ")));
        assert_transcript(&["help"].iter().chain(command).copied().collect::<Vec<_>>().join("-"), &output);
    }
    // The first help is that of the program itself.
    listed.insert(String::new());
    assert_eq!(listed, tested);
}

#[tokio::test]
async fn unknown_command_is_rejected_with_exit_code_2() {
    let output = run_archiver(&["backfil"], &[]).await;
    assert_transcript("unknown-command", &output);
}

#[tokio::test]
async fn completions_are_printed_for_each_shell() {
    for (shell, beginning) in [
        ("bash", "_archiver()"),
        ("zsh", "#compdef archiver"),
        ("fish", "# Print an optspec"),
        ("powershell", "using namespace"),
    ] {
        let output = run_archiver(&["completions", shell], &[]).await;
        assert!(
            output.contains(beginning) && output.contains("backfill") && output.ends_with("exit code 0\n"),
            "{shell}: {output}"
        );
    }
}
