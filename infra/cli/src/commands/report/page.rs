//! The report as a page of HTML.

use askama::Template;

use super::{
    ledger::{Day, DayState, Failure, Report},
    text,
};
use crate::text::{shown_up_to, visible};

/// The longest list on the page; the counts are of all.
const MOST_ROWS: usize = 1_000;

/// How wide a day's bar is drawn; the page stretches it.
const WIDTH: u64 = 1_000;

/// How wide the smallest piece of a bar is drawn: a single failure is seen beside a hundred thousand copies.
const LEAST: u64 = 8;

/// What `templates/report.html` shows. askama escapes every value for HTML by the template's extension.
#[derive(Template)]
#[template(path = "report.html")]
struct Page<'a> {
    report: &'a Report,
    period: String,
    made_at: String,
    verdict: String,
    broken: Vec<String>,
    examined: Vec<String>,
    days: Vec<Row<'a>>,
    failures: Vec<FailureRow<'a>>,
    failures_left_out: u64,
    mapping_words: String,
    users: Vec<UserRow>,
    users_left_out: u64,
    missing: Vec<(String, &'a str, &'a str)>,
    missing_left_out: u64,
    /// The day after the last, with which `archiver reconcile` ends.
    until: String,
}

/// A day and its bar.
struct Row<'a> {
    day: &'a Day,
    note: String,
    pieces: Vec<Piece>,
    says: String,
}

/// A piece of a bar.
struct Piece {
    class: &'static str,
    left: u64,
    width: u64,
}

struct FailureRow<'a> {
    failure: &'a Failure,
    item: String,
    source: String,
    lacking: String,
    reason: String,
}

struct UserRow {
    user: String,
    items: u64,
    failed_items: u64,
    waiting_items: u64,
    why: String,
    now: Option<String>,
}

/// The page.
///
/// # Errors
/// When the last day is the calendar's last.
pub(super) fn render(report: &Report) -> anyhow::Result<String> {
    let longest = report.days.iter().map(|day| copies(day).iter().map(|(_, count)| count).sum()).max().unwrap_or(0);
    let failure =
        |failure: &'_ Failure| (shown(&failure.item), shown(&text::source(failure)), shown(&text::lacking(failure)));
    let page = Page {
        report,
        period: text::period(report),
        made_at: report.made_at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
        verdict: text::verdict(report),
        broken: report.does_not_add_up.iter().map(|sentence| shown(sentence)).collect(),
        examined: text::examined(report),
        days: report.days.iter().map(|day| row(day, longest)).collect(),
        failures: report
            .failures
            .iter()
            .take(MOST_ROWS)
            .map(|one| {
                let (item, source, lacking) = failure(one);
                FailureRow { failure: one, item, source, lacking, reason: text::reason(one) }
            })
            .collect(),
        failures_left_out: left_out(report.failures.len()) + report.failures_left_out,
        mapping_words: text::mapping_words(report),
        users: report
            .mapping
            .users
            .iter()
            .take(MOST_ROWS)
            .map(|unmapped| UserRow {
                user: shown(&unmapped.user.line()),
                items: unmapped.items,
                failed_items: unmapped.failed_items,
                waiting_items: unmapped.waiting_items,
                why: text::why(unmapped),
                now: unmapped.now_mapped_to.as_ref().map(|address| shown(address.as_str())),
            })
            .collect(),
        users_left_out: left_out(report.mapping.users.len()) + report.mapping.users_left_out,
        missing: report
            .books
            .missing
            .iter()
            .take(MOST_ROWS)
            .map(|missing| (shown(&missing.listed.name()), missing.key.as_str(), missing.run.as_str()))
            .collect(),
        missing_left_out: left_out(report.books.missing.len()),
        until: report.to.tomorrow()?.to_string(),
    };
    // Every value is escaped where it is made; this guards the values that a later change adds.
    Ok(visible(&page.render()?))
}

fn left_out(rows: usize) -> u64 {
    rows.saturating_sub(MOST_ROWS) as u64
}

/// A name, an id or a sentence with such in it. The longest id has 256 characters.
fn shown(text: &str) -> String {
    shown_up_to(text, 1_000)
}

/// What a bar is made of.
fn copies(day: &Day) -> [(&'static str, u64); 3] {
    let counters = day.counters;
    [("imported", counters.imported), ("skipped", counters.skipped), ("failed", counters.failed)]
}

fn row(day: &Day, longest: u64) -> Row<'_> {
    let mut pieces = Vec::new();
    let mut left = 0;
    for (class, count) in copies(day) {
        if count == 0 {
            continue;
        }
        // What the smallest pieces have too much is taken off all of them.
        let room = WIDTH - 3 * LEAST;
        let width = u64::try_from(u128::from(count) * u128::from(room) / u128::from(longest.max(1))).unwrap_or(room);
        let width = width + LEAST;
        pieces.push(Piece { class, left, width });
        left += width;
    }
    let said: Vec<_> = copies(day).iter().map(|(name, count)| format!("{count} {name}")).collect();
    // A day like most says nothing beside its bar.
    let usual = day.state == DayState::Ran && day.runs.len() == 1 && day.unfinished_runs == 0;
    Row { day, note: if usual { String::new() } else { text::note(day) }, pieces, says: said.join(", ") }
}
