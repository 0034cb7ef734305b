//! A run of `fetch`: its id, its window, the cursor between runs, and its manifest.

use std::{fmt, str::FromStr};

use jiff::{SignedDuration, Timestamp, civil::DateTime, tz::TimeZone};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{IdError, Sha256};

/// The id of a run: `<UTC second>-<daily or backfill>-<8 hex digits>`, so that ids sort by time and are unique. A scheduled
/// run is called `daily` there, as in earlier releases.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RunId(String);

/// The origin of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunKind {
    /// By the schedule: continues from the cursor and moves it.
    Scheduled,
    /// By an operator, for a given window: does not move the cursor.
    Backfill,
}

impl RunId {
    /// Creates an id. `unique` is a value that no other run has: the invocation's request id.
    pub fn new(started: Timestamp, kind: RunKind, unique: &str) -> Self {
        let second = started.strftime("%Y%m%dT%H%M%SZ");
        let kind = match kind {
            RunKind::Scheduled => "daily",
            RunKind::Backfill => "backfill",
        };
        let mut unique = Sha256::of(unique.as_bytes()).to_string();
        unique.truncate(8);
        Self(format!("{second}-{kind}-{unique}"))
    }

    /// Returns the id.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the start of the run, to the second; `None` for an id of another form.
    pub fn began(&self) -> Option<Timestamp> {
        let (second, _) = self.0.split_once('-')?;
        let began = DateTime::strptime("%Y%m%dT%H%M%SZ", second).ok()?;
        began.to_zoned(TimeZone::UTC).ok().map(|began| began.timestamp())
    }

    /// Returns the origin of the run; `None` for an id of another form.
    pub fn kind(&self) -> Option<RunKind> {
        match self.0.split('-').nth(1)? {
            "daily" => Some(RunKind::Scheduled),
            "backfill" => Some(RunKind::Backfill),
            _ => None,
        }
    }
}

impl FromStr for RunId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        if (1..=64).contains(&text.len()) && text.bytes().all(allowed) {
            Ok(Self(text.to_owned()))
        } else {
            Err(IdError::Run)
        }
    }
}

impl TryFrom<String> for RunId {
    type Error = IdError;

    fn try_from(text: String) -> Result<Self, IdError> {
        text.parse()
    }
}

impl From<RunId> for String {
    fn from(run: RunId) -> Self {
        run.0
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The period that a run lists, by the time at which the source received an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// Inclusive.
    pub from: Timestamp,
    /// Exclusive.
    pub to: Timestamp,
}

/// The window is empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the window is empty: `from` {from} is not before `to` {to}")]
pub struct WindowError {
    from: Timestamp,
    to: Timestamp,
}

impl Window {
    /// Minimum overlap: the distance from the cursor back to the beginning of a run's window, whatever is configured.
    pub const OVERLAP: SignedDuration = SignedDuration::from_mins(10);
    /// Distance from now back to the end of a run's window. Like the overlap, it allows for items that the source lists late.
    pub const MARGIN: SignedDuration = SignedDuration::from_mins(5);
    /// Length of the window of the very first run.
    pub const FIRST: SignedDuration = SignedDuration::from_hours(24);

    /// Returns the window of a scheduled run at `now`, however long ago the last run was. It begins `overlap` before the
    /// cursor, or where an earlier run stopped before it reached the cursor.
    ///
    /// # Errors
    /// The cursor is after `now`: a clock is wrong, and a guess could leave items out.
    pub fn scheduled(cursor: Option<&Cursor>, overlap: SignedDuration, now: Timestamp) -> Result<Self, WindowError> {
        let to = now - Self::MARGIN;
        let Some(cursor) = cursor else { return Self::between(now - Self::FIRST, to) };
        // Checked with the minimum overlap, because a long overlap would hide that the cursor is after `now`.
        Self::between(cursor.archived_time - Self::OVERLAP, to)?;
        let from = cursor.rest.map_or(cursor.archived_time - overlap, |rest| rest.from);
        Self::between(from, to)
    }

    /// Returns the window with these bounds.
    ///
    /// # Errors
    /// The window is empty.
    pub fn between(from: Timestamp, to: Timestamp) -> Result<Self, WindowError> {
        if from < to { Ok(Self { from, to }) } else { Err(WindowError { from, to }) }
    }
}

/// `state/cursor.json`: everything that reached the source before `archived_time` is in a manifest and was queued.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// Version of the format: 1.
    pub v: u32,
    /// Exclusive.
    pub archived_time: Timestamp,
    /// The run that moved it here.
    pub run: RunId,
    /// The rest of the window of a run that reached its deadline before it reached `archived_time`: from where it stopped
    /// to the end of its window. The next run continues there, so that even a large overlap is completed over several
    /// runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rest: Option<Window>,
    /// The source that was listed up to this time, in the word of `SOURCE`. A cursor without it is of the present source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

impl Cursor {
    /// Returns whether the cursor says how far another source was listed.
    pub fn is_of_another_source(&self, source: &str) -> bool {
        self.source.as_deref().is_some_and(|of| of != source)
    }

    /// Returns the time up to which a scheduled run may move the cursor that it finds. A run that continues with the rest
    /// of another window lists only that rest. Items that appeared late in the part before it must be in the overlap of
    /// the following run, so this run moves the cursor only as far as the other run would have.
    pub fn limit(before: Option<&Self>, window: &Window) -> Timestamp {
        before.and_then(|cursor| cursor.rest).map_or(window.to, |rest| rest.to)
    }

    /// Returns the cursor after a scheduled run of a source, whose window begins at `from`, has listed everything up to
    /// `reached`. `None` if the cursor does not move.
    pub fn moved(
        before: Option<&Self>,
        from: Timestamp,
        reached: Reached,
        (run, source): (&RunId, &str),
    ) -> Option<Self> {
        let current = before.map_or(from, |cursor| cursor.archived_time);
        let Reached { at, limit, complete } = reached;
        let at = at.min(limit);
        let to = |archived_time, rest| {
            Some(Self { v: 1, archived_time, run: run.clone(), rest, source: Some(source.to_owned()) })
        };
        if at > current {
            // The next run continues there, without the overlap; the overlap follows when the window is done.
            return to(at, (!complete && at < limit).then_some(Window { from: at, to: limit }));
        }
        let rest = before.and_then(|cursor| cursor.rest);
        // If the run has moved the cursor as far as it may, nothing of the other window is left.
        let has_advanced = at > from && at < limit && rest.is_none_or(|rest| rest.from < at);
        match before {
            Some(_) if complete && rest.is_some() => to(current, None),
            Some(_) if !complete && has_advanced => to(current, Some(Window { from: at, to: limit })),
            _ => None,
        }
    }
}

/// The progress of a scheduled run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reached {
    /// Everything before this time is listed.
    pub at: Timestamp,
    /// [`Cursor::limit`] of the cursor that the run found.
    pub limit: Timestamp,
    /// `true` if the whole window is listed.
    pub complete: bool,
}

/// `runs/<run>/begun.json`, written when a run begins, and `runs/<run>/run.json`, written with its totals when it ends.
/// They distinguish a run without items from a day without a run, and a complete manifest from one that lost pages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunRecord {
    /// Version of the format: 1.
    pub v: u32,
    /// The run.
    pub run: RunId,
    /// Beginning of the window, inclusive.
    pub from: Timestamp,
    /// End of the window, exclusive.
    pub to: Timestamp,
    /// Number of items in the manifest. They are on the convert queue, except for some of the last page if the run hit
    /// its deadline; the next run lists those again.
    pub queued: u64,
    /// Number of the manifest's last page; 0 if it has none.
    pub pages: u32,
    /// `true` if the whole window was listed; otherwise the next run continues where this one stopped.
    pub complete: bool,
    /// Everything that the source received in the window before this time is in the manifest and was queued. Absent if
    /// the source does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reached: Option<Timestamp>,
    /// End of the run. `None` while it is running, and if it was killed.
    pub ended: Option<Timestamp>,
    /// The last page of the manifest whose entries are all confirmed on the convert queue. Absent before release 0.2,
    /// and for a run that was killed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pages_queued: Option<u32>,
    /// Entries that were listed and not queued, because the manifest of an earlier run contains them. They are not in
    /// this manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queued_before: Option<u64>,
    /// The origin of the window's beginning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<WindowStart>,
    /// Distance in seconds from the cursor back to the beginning of the window, if it is based on the cursor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overlap_seconds: Option<i64>,
    /// The last known cursor of this run: everything before it is queued. Absent for a backfill.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<Timestamp>,
    /// The source that was listed, in the word of `SOURCE`. Absent in records of earlier releases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// `true` if the operator has stated that the source receives nothing any more: the run by hand before `Source` is
    /// changed. If it is complete, nothing of the source is missing after it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub last: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde requires")]
fn is_false(value: &bool) -> bool {
    !*value
}

/// The origin of the beginning of a run's window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WindowStart {
    /// No earlier run of this source: [`Window::FIRST`] before now.
    First,
    /// The cursor, minus the overlap.
    Cursor,
    /// The place at which an earlier run stopped at its deadline before it reached the cursor.
    Rest,
    /// The cursor was lost, or is of another source; its last position according to the records of earlier runs of this
    /// source, minus the overlap.
    Recovered,
    /// A backfill: chosen by the operator.
    Named,
}

impl RunRecord {
    /// The version of the format.
    pub const VERSION: u32 = 1;

    /// Creates the record of a run that begins.
    pub fn begun(run: RunId, window: Window) -> Self {
        let Window { from, to } = window;
        Self {
            v: Self::VERSION,
            run,
            from,
            to,
            queued: 0,
            pages: 0,
            complete: false,
            ended: None,
            pages_queued: None,
            queued_before: None,
            start: None,
            overlap_seconds: None,
            cursor: None,
            reached: None,
            source: None,
            last: false,
        }
    }
}

/// An entry of the source's list, and a line of a run's manifest (`runs/<run>/items-<n>.ndjson`).
///
/// Both members are as in the source, unchecked: an entry with an invalid id is queued like the others and becomes a
/// dead letter in convert. If it were left out here, it would be lost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// The item's id; a string by the source's contract.
    pub item: Value,
    /// Time at which the source received it; RFC 3339 by the source's contract.
    pub archived_time: Value,
}

impl Listed {
    /// Returns the item's id; an invalid id as JSON.
    pub fn name(&self) -> String {
        self.item.as_str().map_or_else(|| self.item.to_string(), str::to_owned)
    }

    /// Returns the archived time, if it is valid.
    pub fn archived_at(&self) -> Option<Timestamp> {
        self.archived_time.as_str()?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    const SOURCE: &str = "eml-drop";

    fn cursor(archived_time: &str) -> Cursor {
        Cursor {
            v: 1,
            archived_time: at(archived_time),
            run: "r".parse().unwrap(),
            rest: None,
            source: Some(SOURCE.to_owned()),
        }
    }

    #[test]
    fn window_overlaps_the_last_run_and_spans_missed_days() {
        let now = at("2026-11-22T07:00:00Z");
        let overlap = Window::OVERLAP;
        let first = Window::scheduled(None, overlap, now).unwrap();
        assert_eq!((first.from, first.to), (at("2026-11-21T07:00:00Z"), at("2026-11-22T06:55:00Z")));
        let cursor = cursor("2026-11-10T06:55:00Z");
        let late = Window::scheduled(Some(&cursor), overlap, now).unwrap();
        assert_eq!((late.from, late.to), (at("2026-11-10T06:45:00Z"), at("2026-11-22T06:55:00Z")));
        let two_days = SignedDuration::from_hours(48);
        let late = Window::scheduled(Some(&cursor), two_days, now).unwrap();
        assert_eq!((late.from, late.to), (at("2026-11-08T06:55:00Z"), at("2026-11-22T06:55:00Z")));
        let future = Cursor { archived_time: at("2026-11-22T07:06:00Z"), ..cursor };
        for overlap in [overlap, two_days] {
            assert!(Window::scheduled(Some(&future), overlap, now).is_err());
        }
    }

    #[test]
    fn large_overlap_is_completed_over_several_runs() {
        let overlap = SignedDuration::from_hours(48);
        let current = cursor("2026-11-22T06:55:00Z");
        let now = at("2026-11-23T07:00:00Z");
        let window = Window::scheduled(Some(&current), overlap, now).unwrap();
        let limit = Cursor::limit(Some(&current), &window);
        let reached = |at, complete| Reached { at, limit, complete };
        let run: RunId = "other".parse().unwrap();
        let nothing = Cursor::moved(Some(&current), window.from, reached(window.from, false), (&run, SOURCE));
        assert_eq!(nothing, None, "no page is complete");

        // It stops a day before the cursor: the cursor stays, and the next run continues there.
        let stopped = at("2026-11-21T12:00:00Z");
        let first = Cursor::moved(Some(&current), window.from, reached(stopped, false), (&run, SOURCE)).unwrap();
        assert_eq!(
            (first.archived_time, first.rest),
            (current.archived_time, Some(Window { from: stopped, to: window.to }))
        );
        assert_eq!(Cursor::moved(Some(&first), window.from, reached(stopped, false), (&run, SOURCE)), None);
        let next = Window::scheduled(Some(&first), overlap, at("2026-11-26T07:00:00Z")).unwrap();
        assert_eq!((next.from, next.to), (stopped, at("2026-11-26T06:55:00Z")));

        // However far that run comes, items that appeared late before `stopped` are in the overlap of the next one.
        let limit = Cursor::limit(Some(&first), &next);
        let end = Reached { at: next.to, limit, complete: true };
        let after = Cursor::moved(Some(&first), next.from, end, (&run, SOURCE)).unwrap();
        assert_eq!((after.archived_time, after.rest), (window.to, None));
        // And it leaves no rest after that: the next run would begin there, without an overlap.
        let further = Reached { at: next.to - Window::OVERLAP, limit, complete: false };
        let after = Cursor::moved(Some(&first), next.from, further, (&run, SOURCE)).unwrap();
        assert_eq!((after.archived_time, after.rest), (window.to, None));
        assert_eq!(Cursor::moved(Some(&after), next.from, further, (&run, SOURCE)), None);
    }

    #[test]
    fn cursor_moves_with_its_run_and_never_back() {
        let run: RunId = "other".parse().unwrap();
        let (from, limit) = (at("2026-11-21T07:00:00Z"), at("2026-11-22T06:55:00Z"));
        let reached = |at, complete| Reached { at, limit, complete };
        let first = Cursor::moved(None, from, reached(at("2026-11-21T08:00:00Z"), false), (&run, SOURCE)).unwrap();
        let rest = Some(Window { from: at("2026-11-21T08:00:00Z"), to: limit });
        assert_eq!((first.archived_time, first.rest), (at("2026-11-21T08:00:00Z"), rest));
        // It continues without the overlap, and its end is the end of the first run's window.
        let two_days = SignedDuration::from_hours(48);
        let next = Window::scheduled(Some(&first), two_days, at("2026-11-23T07:00:00Z")).unwrap();
        assert_eq!(next.from, first.archived_time);
        let done = Reached { at: next.to, limit: Cursor::limit(Some(&first), &next), complete: true };
        let done = Cursor::moved(Some(&first), next.from, done, (&run, SOURCE)).unwrap();
        assert_eq!((done.archived_time, done.rest), (limit, None));
        assert_eq!(Cursor::moved(None, from, reached(from, false), (&run, SOURCE)), None);
        let further = cursor("2026-11-22T08:00:00Z");
        assert_eq!(Cursor::moved(Some(&further), from, reached(limit, true), (&run, SOURCE)), None);
        // A completed rest is removed.
        let resting = Cursor { rest: Some(Window { from, to: limit }), ..further.clone() };
        assert_eq!(Cursor::moved(Some(&resting), from, reached(limit, true), (&run, SOURCE)).unwrap().rest, None);
        // A cursor of an earlier release is read: it names no source, so it is of the present one.
        let written = r#"{"v":1,"archived_time":"2026-11-22T08:00:00Z","run":"r"}"#;
        let earlier = Cursor { source: None, ..further.clone() };
        assert_eq!(serde_json::from_str::<Cursor>(written).unwrap(), earlier);
        assert!(!earlier.is_of_another_source("cloud-api"));
        assert!(further.is_of_another_source("cloud-api") && !further.is_of_another_source(SOURCE));
        assert_eq!(serde_json::to_string(&further).unwrap(), written.replace('}', r#","source":"eml-drop"}"#));
    }

    #[test]
    fn run_id_sorts_by_time_and_contains_the_kind() {
        let daily = RunId::new(at("2026-11-22T07:00:00.5Z"), RunKind::Scheduled, "request-1");
        let backfill = RunId::new(at("2026-11-22T07:00:00.5Z"), RunKind::Backfill, "request-1");
        assert!(daily.as_str().starts_with("20261122T070000Z-daily-"), "{daily}");
        assert!(backfill.as_str().starts_with("20261122T070000Z-backfill-"), "{backfill}");
        assert_eq!(daily.as_str().parse(), Ok(daily));
        assert_eq!("a/b".parse::<RunId>(), Err(IdError::Run));
    }
}
