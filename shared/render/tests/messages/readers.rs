//! Python's `email` and Perl's MIME::Parser, each one process for any number of messages.

use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

/// What Python's parser says of each message, in order.
pub(crate) fn python(messages: &[Vec<u8>]) -> Vec<Value> {
    read("python3", "read.py", messages, "the package python3 is needed")
}

/// What Perl's parser says of each message, in order.
pub(crate) fn perl(messages: &[Vec<u8>]) -> Vec<Value> {
    read("perl", "read.pl", messages, "the packages perl and libmime-tools-perl are needed")
}

fn read(program: &str, script: &str, messages: &[Vec<u8>], needed: &str) -> Vec<Value> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/readers").join(script);
    let spawned = Command::new(program).arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut reader = spawned.unwrap_or_else(|error| panic!("{program} did not start ({error}): {needed}"));
    let mut input = reader.stdin.take().expect("a pipe");
    let lines = BufReader::new(reader.stdout.take().expect("a pipe")).lines();
    let answers = std::thread::scope(|scope| {
        scope.spawn(move || {
            for mime in messages {
                // A reader that ended early is found out below, by what it did not answer.
                if writeln!(input, "{}", json!({ "mime": STANDARD.encode(mime) })).is_err() {
                    return;
                }
            }
        });
        lines.map(|line| serde_json::from_str(&line.expect("UTF-8")).expect("JSON")).collect::<Vec<Value>>()
    });
    let status = reader.wait().expect("a process");
    assert!(status.success() && answers.len() == messages.len(), "{program} ended with {status}: {needed}");
    answers
}

/// What every message must be, byte by byte, whoever reads it.
pub(crate) fn assert_clean(mime: &[u8]) {
    let text = std::str::from_utf8(mime).expect("ASCII");
    assert!(text.is_ascii(), "8-bit");
    assert!(!text.contains('\0'), "NUL");
    assert!(!text.bytes().any(|byte| byte < b' ' && !b"\r\n\t".contains(&byte)), "a control character");
    let without = text.replace("\r\n", "");
    assert!(!without.contains(['\r', '\n']), "a bare CR or LF");
    assert!(text.split("\r\n").all(|line| line.len() <= 998), "a line of more than 998 bytes");
}
