//! Other projects' parsers, each one process for any number of messages: Python's `email`, Perl's MIME::Parser,
//! mailparser and postal-mime of Node.js, and notmuch, which uses GMime.

use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

/// Header fields that a reader reports in addition to the usual ones.
pub(crate) const FIELDS: [&str; 10] = [
    "In-Reply-To",
    "References",
    "Thread-Topic",
    "Thread-Index",
    "X-WA-Kind",
    "X-WA-Chat",
    "X-WA-Message-Id",
    "X-WA-Content-SHA256",
    "X-WA-Schema",
    "X-WA-Evidence-SHA256",
];

/// A parser that a test starts.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Reader {
    Python,
    Perl,
    Mailparser,
    PostalMime,
    Notmuch,
}

impl Reader {
    fn command(self) -> (&'static [&'static str], &'static str) {
        match self {
            Self::Python => (&["python3", "read.py"], "the package python3 is needed"),
            Self::Perl => (&["perl", "read.pl"], "the packages perl and libmime-tools-perl are needed"),
            Self::Mailparser => (&["node", "read.mjs", "mailparser"], "run npm ci in tests/readers; make test does"),
            Self::PostalMime => (&["node", "read.mjs", "postal-mime"], "run npm ci in tests/readers; make test does"),
            Self::Notmuch => (&["python3", "read_notmuch.py"], "the package notmuch is needed"),
        }
    }

    /// The parser's result for each message, in order.
    pub(crate) fn read(self, messages: &[Vec<u8>]) -> Vec<Value> {
        let (command, needed) = self.command();
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/readers");
        let spawned = Command::new(command[0])
            .args(&command[1..])
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        let mut reader = spawned.unwrap_or_else(|error| panic!("{self:?} did not start ({error}): {needed}"));
        let mut input = reader.stdin.take().expect("a pipe");
        let lines = BufReader::new(reader.stdout.take().expect("a pipe")).lines();
        let found = std::thread::scope(|scope| {
            scope.spawn(move || {
                for mime in messages {
                    // If the reader ended early, the number of its lines is checked below.
                    if writeln!(input, "{}", json!({ "mime": STANDARD.encode(mime), "fields": FIELDS })).is_err() {
                        return;
                    }
                }
            });
            lines.map(|line| serde_json::from_str(&line.expect("UTF-8")).expect("JSON")).collect::<Vec<Value>>()
        });
        let status = reader.wait().expect("a process");
        assert!(status.success() && found.len() == messages.len(), "{self:?} ended with {status}: {needed}");
        found
    }
}

/// Checks the bytes of every message, for any reader.
pub(crate) fn assert_clean(mime: &[u8]) {
    let text = std::str::from_utf8(mime).expect("ASCII");
    assert!(text.is_ascii(), "8-bit");
    assert!(!text.contains('\0'), "NUL");
    assert!(!text.bytes().any(|byte| byte < b' ' && !b"\r\n\t".contains(&byte)), "a control character");
    let without = text.replace("\r\n", "");
    assert!(!without.contains(['\r', '\n']), "a bare CR or LF");
    assert!(text.split("\r\n").all(|line| line.len() <= 998), "a line of more than 998 bytes");
}
