//! A command that was run, as text.

use std::{
    fs::File,
    io::Write,
    path::{Path, PathBuf},
    process::Stdio,
};

use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use tokio::process::Command;

/// The binaries lie beside the tests' own: `make test` builds them first.
pub(crate) fn archiver() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.ancestors().nth(2).unwrap().join("archiver")
}

/// Where `make` has installed the stand-in for AWS.
pub(crate) fn ministack() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../.venv/bin/ministack")
}

/// Runs the command with this environment and no other, and tells what an operator would see. Nobody sits there.
pub(crate) async fn transcript(arguments: &[&str], variables: &[(&str, &str)]) -> String {
    told(arguments, variables, Stdio::null()).await
}

/// The same with somebody at a terminal who answers the question that the command asks.
pub(crate) async fn answered(answer: &str, arguments: &[&str], variables: &[(&str, &str)]) -> String {
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    let keyboard = ioctl_tiocgptpeer(&terminal, OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    let mut terminal = File::from(terminal);
    writeln!(terminal, "{answer}").unwrap();
    told(arguments, variables, Stdio::from(keyboard)).await
}

async fn told(arguments: &[&str], variables: &[(&str, &str)], input: Stdio) -> String {
    let output = Command::new(archiver())
        .args(arguments)
        .env_clear()
        .env("COLUMNS", "120")
        // Nobody asks the machine that the tests run on who it is in AWS.
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("HOME", "/nowhere")
        .envs(variables.iter().copied())
        .stdin(input)
        .output()
        .await
        .unwrap();
    let mut text = format!("$ archiver {}\n", arguments.join(" "));
    let code = output.status.code().unwrap_or(-1);
    for (stream, said) in [("", &output.stdout), ("! ", &output.stderr)] {
        for line in String::from_utf8_lossy(said).trim_end().lines() {
            text.push_str(format!("{stream}{line}").trim_end());
            text.push('\n');
        }
    }
    text + &format!("exit code {code}\n")
}

/// What differs from run to run, by a name for it.
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

/// Asserts that what an operator sees is what the snapshot of this name says.
pub(crate) fn assert_transcript(name: &str, transcript: &str) {
    settings().bind(|| insta::assert_snapshot!(name, transcript));
}
