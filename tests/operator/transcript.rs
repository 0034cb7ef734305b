//! Runs a command and returns its transcript: the command line, its output and its exit code.

use std::{
    fs::File,
    io::Write,
    path::{Path, PathBuf},
    process::Stdio,
};

use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use tokio::process::Command;

/// Returns the path of the binary `archiver`, which `make test` builds beside the test binaries.
pub(crate) fn archiver() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.ancestors().nth(2).unwrap().join("archiver")
}

/// Returns the path of the AWS emulator that `make` installs.
pub(crate) fn ministack() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../.venv/bin/ministack")
}

/// Runs the command with only these environment variables and without a terminal. Returns its output and exit code.
pub(crate) async fn run_archiver(arguments: &[&str], variables: &[(&str, &str)]) -> String {
    run(arguments, variables, Stdio::null()).await
}

/// Runs the command with a terminal on which the reply to its question is typed.
pub(crate) async fn run_archiver_with_reply(reply: &str, arguments: &[&str], variables: &[(&str, &str)]) -> String {
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    let terminal_input = ioctl_tiocgptpeer(&terminal, OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    let mut terminal = File::from(terminal);
    writeln!(terminal, "{reply}").unwrap();
    run(arguments, variables, Stdio::from(terminal_input)).await
}

async fn run(arguments: &[&str], variables: &[(&str, &str)], input: Stdio) -> String {
    let output = Command::new(archiver())
        .args(arguments)
        .env_clear()
        .env("COLUMNS", "120")
        // The instance metadata of a test machine at AWS must not provide credentials.
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("HOME", "/nowhere")
        .envs(variables.iter().copied())
        .stdin(input)
        .output()
        .await
        .unwrap();
    let mut text = format!("$ archiver {}\n", arguments.join(" "));
    let code = output.status.code().unwrap_or(-1);
    for (stream, output) in [("", &output.stdout), ("! ", &output.stderr)] {
        for line in String::from_utf8_lossy(output).trim_end().lines() {
            text.push_str(format!("{stream}{line}").trim_end());
            text.push('\n');
        }
    }
    text + &format!("exit code {code}\n")
}

/// Replaces values that differ from run to run.
pub(crate) fn settings() -> insta::Settings {
    let mut settings = insta::Settings::clone_current();
    for (pattern, name) in [
        (r"127\.0\.0\.1:\d+", "[SERVER]"),
        (r"localhost:\d+", "[SERVER]"),
        (r"wa-bucket-[0-9a-f]+", "[BUCKET]"),
        (r"\d{8}T\d{6}Z-(daily|backfill)-[0-9a-f]{8}", "[RUN]"),
        (r"request-id [0-9a-f-]{36}", "request-id [ID]"),
        (r"/[^\s]*/\.tmp[A-Za-z0-9]+", "[DIR]"),
    ] {
        settings.add_filter(pattern, name);
    }
    settings.set_omit_expression(true);
    settings.set_prepend_module_to_snapshot(false);
    settings
}

/// Compares a transcript with the snapshot of this name.
pub(crate) fn assert_transcript(name: &str, transcript: &str) {
    settings().bind(|| insta::assert_snapshot!(name, transcript));
}
