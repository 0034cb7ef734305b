//! Reads the functions' log files while a run waits for the functions, so that the command can show their errors.

use std::{
    collections::BTreeSet,
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::PathBuf,
};

use serde::Deserialize;

/// The distinct errors in the lines that functions append to their logs. A line is JSON, with its text in `detail` or
/// `error`.
pub struct LoggedErrors {
    logs: Vec<(PathBuf, u64)>,
    errors: BTreeSet<String>,
}

#[derive(Deserialize)]
struct Line {
    level: String,
    #[serde(default)]
    detail: String,
    #[serde(default)]
    error: String,
}

impl LoggedErrors {
    /// Starts at the current end of each log.
    pub fn from_now(logs: impl IntoIterator<Item = PathBuf>) -> Self {
        let end = |log: PathBuf| {
            let length = log.metadata().map(|metadata| metadata.len()).unwrap_or(0);
            (log, length)
        };
        Self { logs: logs.into_iter().map(end).collect(), errors: BTreeSet::new() }
    }

    /// Reads the new lines, and returns the distinct errors since the start.
    pub fn read(&mut self) -> &BTreeSet<String> {
        for (log, read) in &mut self.logs {
            let Ok(mut file) = File::open(&*log) else { continue };
            // The log was rotated.
            if file.metadata().is_ok_and(|metadata| metadata.len() < *read) {
                *read = 0;
            }
            let mut new = String::new();
            if file.seek(SeekFrom::Start(*read)).is_err() || file.read_to_string(&mut new).is_err() {
                continue;
            }
            // An incomplete line is read next time.
            let whole = new.rfind('\n').map_or(0, |end| end + 1);
            *read += whole as u64;
            let lines = new[..whole].lines().filter_map(|line| serde_json::from_str::<Line>(line).ok());
            let errors = lines.filter(|line| line.level == "ERROR");
            self.errors.extend(errors.map(|line| if line.detail.is_empty() { line.error } else { line.detail }));
        }
        &self.errors
    }
}
