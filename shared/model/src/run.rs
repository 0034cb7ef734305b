//! A run of `fetch`: its id, its window, the cursor between runs and the manifest that it leaves.

use std::{fmt, str::FromStr};

use jiff::{SignedDuration, Timestamp, civil::DateTime, tz::TimeZone};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{IdError, Sha256};

/// The id of a run: `<UTC second>-<daily or backfill>-<8 hex digits>`, so that ids sort by time and are unique.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RunId(String);

/// What started a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunKind {
    /// The timer: goes on from the cursor and moves it.
    Daily,
    /// An operator who named a window: moves no cursor.
    Backfill,
}

impl RunId {
    /// A new id. `unique` is anything that no other run has: the invocation's request id.
    pub fn new(started: Timestamp, kind: RunKind, unique: &str) -> Self {
        let second = started.strftime("%Y%m%dT%H%M%SZ");
        let kind = match kind {
            RunKind::Daily => "daily",
            RunKind::Backfill => "backfill",
        };
        let mut unique = Sha256::of(unique.as_bytes()).to_string();
        unique.truncate(8);
        Self(format!("{second}-{kind}-{unique}"))
    }

    /// The id.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// When the run began, to the second; `None` for an id of another form.
    pub fn began(&self) -> Option<Timestamp> {
        let (second, _) = self.0.split_once('-')?;
        let began = DateTime::strptime("%Y%m%dT%H%M%SZ", second).ok()?;
        began.to_zoned(TimeZone::UTC).ok().map(|began| began.timestamp())
    }

    /// What started the run; `None` for an id of another form.
    pub fn kind(&self) -> Option<RunKind> {
        match self.0.split('-').nth(1)? {
            "daily" => Some(RunKind::Daily),
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

/// The times that a run looks at, by when the source received an item: `from` inclusive, `to` exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// Inclusive.
    pub from: Timestamp,
    /// Exclusive.
    pub to: Timestamp,
}

/// A window that ends before it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the window is empty: `from` {from} is not before `to` {to}")]
pub struct WindowError {
    from: Timestamp,
    to: Timestamp,
}

impl Window {
    /// The shortest overlap: how far before the cursor a run begins again, whatever is configured.
    pub const OVERLAP: SignedDuration = SignedDuration::from_mins(10);
    /// How long before now a run ends, for the same reason.
    pub const MARGIN: SignedDuration = SignedDuration::from_mins(5);
    /// How far back the very first run looks.
    pub const FIRST: SignedDuration = SignedDuration::from_hours(24);

    /// The window of a daily run at `now`, however long ago the last one was. It begins `overlap` before the cursor, or
    /// where a run stopped that did not come as far as the cursor.
    ///
    /// # Errors
    /// When the cursor lies after now: a clock is wrong, and guessing could leave items out.
    pub fn daily(cursor: Option<&Cursor>, overlap: SignedDuration, now: Timestamp) -> Result<Self, WindowError> {
        let to = now - Self::MARGIN;
        let Some(cursor) = cursor else { return Self::between(now - Self::FIRST, to) };
        // A long overlap would hide it.
        Self::between(cursor.archived_time - Self::OVERLAP, to)?;
        let from = cursor.rest.map_or(cursor.archived_time - overlap, |rest| rest.from);
        Self::between(from, to)
    }

    /// A window with given bounds.
    ///
    /// # Errors
    /// When it is empty.
    pub fn between(from: Timestamp, to: Timestamp) -> Result<Self, WindowError> {
        if from < to { Ok(Self { from, to }) } else { Err(WindowError { from, to }) }
    }
}

/// `state/cursor.json`: everything that reached the source before `archived_time` is in a manifest and was queued.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// The version of this shape: 1.
    pub v: u32,
    /// Exclusive.
    pub archived_time: Timestamp,
    /// The run that moved it here.
    pub run: RunId,
    /// Where a run ran out of time before it came as far as `archived_time`, what it left: from where it stopped to where
    /// its window ended. The next run goes on there, so that however much lies in the overlap, the runs get through it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rest: Option<Window>,
}

impl Cursor {
    /// How far a daily run may bring the cursor that it finds. A run that goes on with the rest of another window looks
    /// only from there, so what showed late in the part before that has to be in the overlap of the run that follows: as
    /// if the cursor were the other run's.
    pub fn most(before: Option<&Self>, window: &Window) -> Timestamp {
        before.and_then(|cursor| cursor.rest).map_or(window.to, |rest| rest.to)
    }

    /// The cursor after a daily run has listed what reached the source from `from`, where its window begins, to
    /// `reached`. `None` where that moves nothing.
    pub fn moved(before: Option<&Self>, from: Timestamp, reached: Reached, run: &RunId) -> Option<Self> {
        let stood = before.map_or(from, |cursor| cursor.archived_time);
        let Reached { at, most, complete } = reached;
        let at = at.min(most);
        let to = |archived_time, rest| Some(Self { v: 1, archived_time, run: run.clone(), rest });
        if at > stood {
            // The next run continues there, without the overlap: that one follows when the window is done.
            return to(at, (!complete && at < most).then_some(Window { from: at, to: most }));
        }
        let rest = before.and_then(|cursor| cursor.rest);
        // Where the run has come as far as it may bring the cursor, nothing of the other window is left.
        let gone_on = at > from && at < most && rest.is_none_or(|rest| rest.from < at);
        match before {
            Some(_) if complete && rest.is_some() => to(stood, None),
            Some(_) if !complete && gone_on => to(stood, Some(Window { from: at, to: most })),
            _ => None,
        }
    }
}

/// How far a daily run has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reached {
    /// Everything before this time is listed.
    pub at: Timestamp,
    /// [`Cursor::most`], of the cursor that the run found.
    pub most: Timestamp,
    /// Whether the whole window is listed.
    pub complete: bool,
}

/// `runs/<run>/begun.json`, written when a run begins, and `runs/<run>/run.json`, written when it ends with its totals,
/// so that a run that found nothing can be told from a day without one, and a manifest that has lost pages from a whole
/// one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunRecord {
    /// The version of this shape: 1.
    pub v: u32,
    /// The run.
    pub run: RunId,
    /// The window's beginning, inclusive.
    pub from: Timestamp,
    /// The window's end, exclusive.
    pub to: Timestamp,
    /// Items that are in the manifest. They are on the convert queue, but for some of the last page where the run was out
    /// of time: those the next run lists again.
    pub queued: u64,
    /// The number of the manifest's last page; 0 where it has none.
    pub pages: u32,
    /// Whether the whole window was done; otherwise the next run goes on where this one stopped.
    pub complete: bool,
    /// Everything that the source received in the window before this time is in the manifest and was queued. Absent where
    /// the source does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reached: Option<Timestamp>,
    /// When it ended. `None` while it works, and of a run that was ended before it could say so.
    pub ended: Option<Timestamp>,
    /// The last page of the manifest whose entries are all confirmed on the convert queue. Absent before release 0.2 and of
    /// a run that was cut off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pages_queued: Option<u32>,
    /// Entries that were listed and not queued, because the manifest of an earlier run has them; they are not in this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queued_before: Option<u64>,
    /// How the beginning of the window was chosen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<WindowStart>,
    /// How far before the cursor a window begins, in seconds, where it starts at the cursor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overlap_seconds: Option<i64>,
    /// The cursor as this run last knew it: everything before it is queued. Absent for a backfill.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<Timestamp>,
}

/// How the beginning of a run's window was chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WindowStart {
    /// No run before: [`Window::FIRST`] before now.
    First,
    /// The cursor, less the overlap.
    Cursor,
    /// Where a run stopped that was out of time before it came as far as the cursor.
    Rest,
    /// The cursor was lost; the records of earlier runs say where it stood, less the overlap.
    Recovered,
    /// A backfill: the operator named it.
    Named,
}

impl RunRecord {
    /// The version of this shape.
    pub const VERSION: u32 = 1;

    /// Of a run that begins.
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
        }
    }
}

/// An entry of the source's list, and a line of a run's manifest (`runs/<run>/items-<n>.ndjson`).
///
/// Both members are what the source said, unchecked: an entry that is no valid id is queued like any other and
/// becomes a dead letter in convert, where such things are judged. Left out here, it would be lost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// The item's id; a string, where the source keeps its contract.
    pub item: Value,
    /// When the source received it; RFC 3339, where the source keeps its contract.
    pub archived_time: Value,
}

impl Listed {
    /// The item's id; or what stands in its place, as JSON.
    pub fn name(&self) -> String {
        self.item.as_str().map_or_else(|| self.item.to_string(), str::to_owned)
    }

    /// The archived time, where it can be read.
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

    fn cursor(archived_time: &str) -> Cursor {
        Cursor { v: 1, archived_time: at(archived_time), run: "r".parse().unwrap(), rest: None }
    }

    #[test]
    fn the_window_overlaps_the_last_run_and_spans_missed_days() {
        let now = at("2026-11-22T07:00:00Z");
        let overlap = Window::OVERLAP;
        let first = Window::daily(None, overlap, now).unwrap();
        assert_eq!((first.from, first.to), (at("2026-11-21T07:00:00Z"), at("2026-11-22T06:55:00Z")));
        let cursor = cursor("2026-11-10T06:55:00Z");
        let late = Window::daily(Some(&cursor), overlap, now).unwrap();
        assert_eq!((late.from, late.to), (at("2026-11-10T06:45:00Z"), at("2026-11-22T06:55:00Z")));
        let two_days = SignedDuration::from_hours(48);
        let late = Window::daily(Some(&cursor), two_days, now).unwrap();
        assert_eq!((late.from, late.to), (at("2026-11-08T06:55:00Z"), at("2026-11-22T06:55:00Z")));
        let future = Cursor { archived_time: at("2026-11-22T07:06:00Z"), ..cursor };
        for overlap in [overlap, two_days] {
            assert!(Window::daily(Some(&future), overlap, now).is_err());
        }
    }

    #[test]
    fn runs_get_through_an_overlap_that_is_more_than_one_can_list() {
        let overlap = SignedDuration::from_hours(48);
        let stood = cursor("2026-11-22T06:55:00Z");
        let now = at("2026-11-23T07:00:00Z");
        let window = Window::daily(Some(&stood), overlap, now).unwrap();
        let most = Cursor::most(Some(&stood), &window);
        let reached = |at, complete| Reached { at, most, complete };
        let run: RunId = "other".parse().unwrap();
        let nothing = Cursor::moved(Some(&stood), window.from, reached(window.from, false), &run);
        assert_eq!(nothing, None, "it has listed nothing wholly");

        // It stops a day before the cursor: the cursor stays, and the next run goes on there.
        let stopped = at("2026-11-21T12:00:00Z");
        let first = Cursor::moved(Some(&stood), window.from, reached(stopped, false), &run).unwrap();
        assert_eq!(
            (first.archived_time, first.rest),
            (stood.archived_time, Some(Window { from: stopped, to: window.to }))
        );
        assert_eq!(Cursor::moved(Some(&first), window.from, reached(stopped, false), &run), None);
        let next = Window::daily(Some(&first), overlap, at("2026-11-26T07:00:00Z")).unwrap();
        assert_eq!((next.from, next.to), (stopped, at("2026-11-26T06:55:00Z")));

        // However far that one comes, what showed late before `stopped` is in the overlap of the one after it.
        let most = Cursor::most(Some(&first), &next);
        let end = Reached { at: next.to, most, complete: true };
        let after = Cursor::moved(Some(&first), next.from, end, &run).unwrap();
        assert_eq!((after.archived_time, after.rest), (window.to, None));
        // And it leaves no rest behind that: the one after it would begin there, without an overlap.
        let further = Reached { at: next.to - Window::OVERLAP, most, complete: false };
        let after = Cursor::moved(Some(&first), next.from, further, &run).unwrap();
        assert_eq!((after.archived_time, after.rest), (window.to, None));
        assert_eq!(Cursor::moved(Some(&after), next.from, further, &run), None);
    }

    #[test]
    fn a_cursor_moves_with_its_run_and_never_back() {
        let run: RunId = "other".parse().unwrap();
        let (from, most) = (at("2026-11-21T07:00:00Z"), at("2026-11-22T06:55:00Z"));
        let reached = |at, complete| Reached { at, most, complete };
        let first = Cursor::moved(None, from, reached(at("2026-11-21T08:00:00Z"), false), &run).unwrap();
        let rest = Some(Window { from: at("2026-11-21T08:00:00Z"), to: most });
        assert_eq!((first.archived_time, first.rest), (at("2026-11-21T08:00:00Z"), rest));
        // It continues without the overlap, and its end is what the first run would have reached.
        let two_days = SignedDuration::from_hours(48);
        let next = Window::daily(Some(&first), two_days, at("2026-11-23T07:00:00Z")).unwrap();
        assert_eq!(next.from, first.archived_time);
        let done = Reached { at: next.to, most: Cursor::most(Some(&first), &next), complete: true };
        let done = Cursor::moved(Some(&first), next.from, done, &run).unwrap();
        assert_eq!((done.archived_time, done.rest), (most, None));
        assert_eq!(Cursor::moved(None, from, reached(from, false), &run), None);
        let further = cursor("2026-11-22T08:00:00Z");
        assert_eq!(Cursor::moved(Some(&further), from, reached(most, true), &run), None);
        // A rest that is done is forgotten.
        let resting = Cursor { rest: Some(Window { from, to: most }), ..further.clone() };
        assert_eq!(Cursor::moved(Some(&resting), from, reached(most, true), &run).unwrap().rest, None);
        // What an earlier release wrote is read, and what this one writes looks the same.
        let written = r#"{"v":1,"archived_time":"2026-11-22T08:00:00Z","run":"r"}"#;
        assert_eq!(serde_json::from_str::<Cursor>(written).unwrap(), further);
        assert_eq!(serde_json::to_string(&further).unwrap(), written);
    }

    #[test]
    fn a_run_id_sorts_by_time_and_says_what_started_it() {
        let daily = RunId::new(at("2026-11-22T07:00:00.5Z"), RunKind::Daily, "request-1");
        let backfill = RunId::new(at("2026-11-22T07:00:00.5Z"), RunKind::Backfill, "request-1");
        assert!(daily.as_str().starts_with("20261122T070000Z-daily-"), "{daily}");
        assert!(backfill.as_str().starts_with("20261122T070000Z-backfill-"), "{backfill}");
        assert_eq!(daily.as_str().parse(), Ok(daily));
        assert_eq!("a/b".parse::<RunId>(), Err(IdError::Run));
    }
}
