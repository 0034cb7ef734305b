//! What a check came to.

use std::io::{self, Write};

use serde::Serialize;

use crate::text::{self, visible};

/// What a check came to, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// It works, and somebody should look at it.
    Warning,
    /// It does not work, or will not.
    NotOk,
    /// Not looked at.
    Skipped,
}

/// A line of the report.
#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    /// What was looked at.
    pub check: &'static str,
    /// What it came to.
    pub verdict: Verdict,
    /// What was seen, or why it was not looked at.
    pub detail: String,
    /// What to do, where there is something to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

impl Finding {
    /// As it should be.
    pub fn ok(check: &'static str, detail: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Ok, detail: detail.into(), remedy: None }
    }

    /// Not looked at, and why.
    pub fn skipped(check: &'static str, why: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Skipped, detail: why.into(), remedy: None }
    }

    /// It works, and somebody should look at it.
    pub fn warning(check: &'static str, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Warning, detail: detail.into(), remedy: Some(remedy.into()) }
    }

    /// It does not work.
    pub fn not_ok(check: &'static str, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::NotOk, detail: detail.into(), remedy: Some(remedy.into()) }
    }

    /// It does not work, and the error's own text says what to do.
    pub fn error(check: &'static str, error: impl ToString) -> Self {
        Self { check, verdict: Verdict::NotOk, detail: error.to_string(), remedy: None }
    }
}

/// All of them, told one by one: some checks take a while.
pub struct Findings {
    all: Vec<Finding>,
    json: bool,
}

impl Findings {
    /// None yet.
    pub fn new(json: bool) -> Self {
        Self { all: Vec::new(), json }
    }

    /// Adds one, and tells it.
    ///
    /// # Errors
    /// When standard output is closed.
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

    /// Whether nothing is wrong.
    pub fn is_sound(&self) -> bool {
        self.all.iter().all(|finding| finding.verdict != Verdict::NotOk)
    }

    /// Tells what they come to.
    ///
    /// # Errors
    /// When standard output is closed.
    pub fn end(&self) -> io::Result<()> {
        let mut out = io::stdout().lock();
        if self.json {
            let all = serde_json::json!({"ok": self.is_sound(), "findings": self.all});
            return writeln!(out, "{}", text::json(&all)?);
        }
        let count = |verdict| self.all.iter().filter(|finding| finding.verdict == verdict).count();
        let [ok, warnings, wrong, skipped] =
            [Verdict::Ok, Verdict::Warning, Verdict::NotOk, Verdict::Skipped].map(count);
        writeln!(out, "\n{ok} ok, {warnings} warnings, {wrong} not ok, {skipped} skipped")
    }
}
