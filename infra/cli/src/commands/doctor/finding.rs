//! Result of a check.

use std::io::{self, Write};

use serde::Serialize;

use crate::text::{self, visible};

/// Verdict of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    Ok,
    /// It works, but an operator should check it.
    Warning,
    /// It does not work, or will stop working.
    NotOk,
    Skipped,
}

/// One line of the report.
#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    pub check: &'static str,
    pub verdict: Verdict,
    /// The observation, or the reason for skipping the check.
    pub detail: String,
    /// Action for the operator, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

impl Finding {
    pub fn ok(check: &'static str, detail: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Ok, detail: detail.into(), remedy: None }
    }

    pub fn skipped(check: &'static str, why: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Skipped, detail: why.into(), remedy: None }
    }

    pub fn warning(check: &'static str, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Warning, detail: detail.into(), remedy: Some(remedy.into()) }
    }

    pub fn not_ok(check: &'static str, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::NotOk, detail: detail.into(), remedy: Some(remedy.into()) }
    }

    /// Creates a failed finding from an error whose text says what to do.
    pub fn error(check: &'static str, error: impl ToString) -> Self {
        Self { check, verdict: Verdict::NotOk, detail: error.to_string(), remedy: None }
    }
}

/// All findings. Each is printed when it is added, because some checks take long.
pub struct Findings {
    all: Vec<Finding>,
    json: bool,
}

impl Findings {
    pub fn new(json: bool) -> Self {
        Self { all: Vec::new(), json }
    }

    /// Adds a finding and prints it.
    ///
    /// # Errors
    /// Standard output is closed.
    pub fn add(&mut self, finding: Finding) -> io::Result<()> {
        if !self.json {
            let verdict = match finding.verdict {
                Verdict::Ok => "ok",
                Verdict::Warning => "warning",
                Verdict::NotOk => "NOT OK",
                Verdict::Skipped => "skipped",
            };
            let mut out = io::stdout().lock();
            let (detail, remedy) = (visible(&finding.detail), finding.remedy.as_deref().map(visible));
            let mut lines = detail.lines();
            writeln!(out, "{verdict:8} {:22} {}", finding.check, lines.next().unwrap_or_default())?;
            for line in lines {
                writeln!(out, "{:31} {line}", "")?;
            }
            for line in remedy.iter().flat_map(|remedy| remedy.lines()) {
                writeln!(out, "{:31} → {line}", "")?;
            }
            out.flush()?;
        }
        self.all.push(finding);
        Ok(())
    }

    /// Returns whether no check failed.
    pub fn has_no_failure(&self) -> bool {
        self.all.iter().all(|finding| finding.verdict != Verdict::NotOk)
    }

    /// Prints the summary.
    ///
    /// # Errors
    /// Standard output is closed.
    pub fn summarize(&self) -> io::Result<()> {
        let mut out = io::stdout().lock();
        if self.json {
            let all = serde_json::json!({"ok": self.has_no_failure(), "findings": self.all});
            return writeln!(out, "{}", text::json(&all)?);
        }
        let count = |verdict| self.all.iter().filter(|finding| finding.verdict == verdict).count();
        let [ok, warnings, failed, skipped] =
            [Verdict::Ok, Verdict::Warning, Verdict::NotOk, Verdict::Skipped].map(count);
        writeln!(out, "\n{ok} ok, {warnings} warnings, {failed} not ok, {skipped} skipped")
    }
}
