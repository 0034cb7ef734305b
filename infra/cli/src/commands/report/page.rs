//! Renders the report as an HTML page.

use askama::Template;

use super::{
    daily_counts::{Day, DayState, FailedItem, Report},
    histories,
    sent::SentWithoutContent,
    text,
};
use crate::text::{shown_up_to, visible};

/// Limit of rows in a list; the counts include all.
const MAX_ROWS: usize = 1_000;

/// Width of the longest bar; the page stretches it.
const WIDTH: u64 = 1_000;

/// Minimum width of a piece of a bar, so that a single failure is visible beside a hundred thousand copies.
const MIN_WIDTH: u64 = 8;

/// Values for `templates/report.html`. askama escapes every value for HTML by the template's extension.
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
    /// The sentence about messages that were sent without content, or nothing.
    sent_words: String,
    sent: Vec<(String, &'a str, String)>,
    sent_left_out: u64,
    /// The sentence about incomplete histories, or nothing.
    histories_words: String,
    histories: Vec<(String, &'a str, String)>,
    histories_left_out: u64,
    /// The day after the last, which is the end of the period for `archiver reconcile`.
    until: String,
}

/// A day and its bar.
struct Row<'a> {
    day: &'a Day,
    note: String,
    pieces: Vec<Piece>,
    label: String,
}

/// A piece of a bar.
struct Piece {
    class: &'static str,
    left: u64,
    width: u64,
}

struct FailureRow<'a> {
    failure: &'a FailedItem,
    item: String,
    source: String,
    absent: String,
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

/// Renders the page.
///
/// # Errors
/// The last day is the last date that can be represented.
pub(super) fn render(report: &Report) -> anyhow::Result<String> {
    let longest = report.days.iter().map(|day| copies(day).iter().map(|(_, count)| count).sum()).max().unwrap_or(0);
    let failure =
        |failure: &'_ FailedItem| (shown(&failure.item), shown(&text::source(failure)), shown(&text::absent(failure)));
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
            .take(MAX_ROWS)
            .map(|one| {
                let (item, source, absent) = failure(one);
                FailureRow { failure: one, item, source, absent, reason: text::reason(one) }
            })
            .collect(),
        failures_left_out: left_out(report.failures.len()) + report.failures_left_out,
        mapping_words: text::mapping_words(report),
        users: report
            .mapping
            .users
            .iter()
            .take(MAX_ROWS)
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
            .reconciled
            .missing
            .iter()
            .take(MAX_ROWS)
            .map(|missing| (shown(&missing.listed.name()), missing.key.as_str(), missing.run.as_str()))
            .collect(),
        missing_left_out: left_out(report.reconciled.missing.len()),
        sent_words: report.sent_without_content.as_ref().map(SentWithoutContent::sentence).unwrap_or_default(),
        sent: report
            .sent_without_content
            .iter()
            .flat_map(|sent| &sent.messages)
            .take(MAX_ROWS)
            .map(|sent| (shown(&sent.item), sent.key.as_str(), format!("{:.0}", sent.received)))
            .collect(),
        sent_left_out: report
            .sent_without_content
            .as_ref()
            .map_or(0, |sent| sent.count.saturating_sub(MAX_ROWS as u64)),
        histories_words: histories::sentence(&report.incomplete_histories),
        histories: report
            .incomplete_histories
            .iter()
            .take(MAX_ROWS)
            .map(|history| {
                let last = format!("{:.0}", history.last_received);
                (shown(&history.phone_number_id), history.description.as_str(), last)
            })
            .collect(),
        histories_left_out: left_out(report.incomplete_histories.len()),
        until: report.to.tomorrow()?.to_string(),
    };
    // Every value is sanitized where it is created; this protects values that later changes add.
    Ok(visible(&page.render()?))
}

fn left_out(rows: usize) -> u64 {
    rows.saturating_sub(MAX_ROWS) as u64
}

/// Sanitizes a name, an id or a sentence. The longest id has 256 characters.
fn shown(text: &str) -> String {
    shown_up_to(text, 1_000)
}

/// Returns the pieces of a bar.
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
        // The minimum widths are subtracted from the width that is scaled.
        let scaled_width = WIDTH - 3 * MIN_WIDTH;
        let width = u64::try_from(u128::from(count) * u128::from(scaled_width) / u128::from(longest.max(1)))
            .unwrap_or(scaled_width);
        let width = width + MIN_WIDTH;
        pieces.push(Piece { class, left, width });
        left += width;
    }
    let labels: Vec<_> = copies(day).iter().map(|(name, count)| format!("{count} {name}")).collect();
    // A day with one complete run needs no note.
    let usual = day.state == DayState::Ran && day.runs.len() == 1 && day.unfinished_runs == 0;
    Row { day, note: if usual { String::new() } else { text::note(day) }, pieces, label: labels.join(", ") }
}
