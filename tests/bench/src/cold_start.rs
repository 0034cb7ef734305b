//! Time from the start of a process to its first request for an event.

use std::path::{Path, PathBuf};

use anyhow::Context;
use local::function::{Function, FunctionOptions};
use tempfile::TempDir;

use crate::{
    measure::Spread,
    report::{figure, table},
};

/// The function that does nothing, and ours.
const FUNCTIONS: [&str; 4] = ["hello", "fetch", "convert", "import"];

/// Variables that a function needs to start. No request is made yet.
pub const VARIABLES: [(&str, &str); 17] = [
    ("ARCHIVER_SECRET_ID", "archiver"),
    ("ARCHIVER_URL", "https://archive.example.com/api/v1"),
    ("ARCHIVE_DOMAIN", "archive.example.com"),
    ("AWS_ACCESS_KEY_ID", "none"),
    ("AWS_SECRET_ACCESS_KEY", "none"),
    ("AWS_SESSION_TOKEN", "none"),
    ("BUCKET", "archive"),
    ("CONVERT_QUEUE_URL", "https://sqs.us-east-1.amazonaws.com/1/convert"),
    ("DEAD_LETTER_QUEUE_URL", "https://sqs.us-east-1.amazonaws.com/1/dead-letters"),
    ("GRAPH_CLIENT_ID", "b7d0e1a2-94c3-4f5e-8d21-5c6f7e8a9b10"),
    ("GRAPH_SECRET_ID", "graph"),
    ("GRAPH_TENANT_ID", "3f2c9a54-6a0e-4b0c-9a3e-0d6b7a1f2c11"),
    ("IMPORT_QUEUE_URL", "https://sqs.us-east-1.amazonaws.com/1/import"),
    ("LOG_LEVEL", "info"),
    ("MAILBOX", "graph"),
    ("MAX_ITEM_BYTES", "10485760"),
    ("SOURCE", "archiver-api"),
];

async fn start(binaries: &Path, name: &str, logs: &Path) -> anyhow::Result<f64> {
    let options = FunctionOptions {
        name: name.to_owned(),
        program: binaries.join(name),
        variables: VARIABLES.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(),
        concurrency: 1,
        timeout: std::time::Duration::from_secs(60),
        memory_mb: 1024,
        log: logs.join(format!("{name}.log")),
    };
    Ok(Function::start(options).await?.usage().starting.as_secs_f64())
}

/// Starts each function in turns, and gives the section's text.
///
/// # Errors
/// A function does not start.
pub async fn measure(rounds: usize) -> anyhow::Result<String> {
    let binaries: PathBuf = harness::binaries()?;
    let logs = TempDir::new()?;
    let mut seconds = FUNCTIONS.map(|_| Vec::with_capacity(rounds));
    // The first round brings the binaries into memory.
    for round in 0..=rounds {
        for place in 0..FUNCTIONS.len() {
            let whose = (round + place) % FUNCTIONS.len();
            let took = start(&binaries, FUNCTIONS[whose], logs.path()).await?;
            if round > 0 {
                seconds[whose].push(took);
            }
        }
    }
    let mut rows = Vec::new();
    for (name, own) in FUNCTIONS.iter().zip(&seconds) {
        let spread = Spread::of(own.clone());
        let ratio = Spread::of(own.iter().zip(&seconds[0]).map(|(own, hello)| own / hello).collect());
        let path = binaries.join(name);
        let bytes = std::fs::metadata(&path).with_context(|| path.display().to_string())?.len();
        rows.push(vec![
            (*name).to_owned(),
            format!("{} ms", figure(spread.median * 1e3)),
            format!("{} × ({}–{})", figure(ratio.median), figure(ratio.low), figure(ratio.high)),
            format!("{} MB", figure(bytes as f64 / 1e6)),
        ]);
    }
    Ok(table(&["", "until the first request", "relative to hello", "binary"], &rows))
}
