//! Checks that the windows of complete runs cover a period of archived times without a gap.
//!
//! Every run records its window before it lists anything. A time counts as fetched if it is in the part of a window
//! that a run has fetched. Any other time is pending or a gap. It is pending if a run is fetching it, or if the next
//! run of the timer, which continues there, is not due yet.
//!
//! The runs of one source prove nothing about another, so the times of each source are compared with its own runs.

use std::{collections::BTreeSet, fmt};

use jiff::{SignedDuration, Timestamp};
use model::{RunId, RunKind, RunRecord, Window};
use serde::Serialize;

use super::{
    runs::{Run, Runs},
    schedule::due_after,
};
use crate::connection::backfill_command;

/// Limit of unfinished runs that a gap names.
const NAMED_RUNS_MAX: usize = 5;

/// The examined period, and the parts of it that were not fetched.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Coverage {
    /// Start of the period, in archived times. `None` if no run has recorded a window and no period was named.
    pub from: Option<Timestamp>,
    /// End of the period, exclusive.
    pub to: Option<Timestamp>,
    /// Number of runs whose windows cover the period.
    pub complete_runs: u64,
    /// Number of runs without a readable record: the times that they fetched cannot be proven.
    pub unrecorded_runs: u64,
    /// Parts that no run fetched.
    pub gaps: Vec<Gap>,
    /// Parts that are not fetched and not overdue.
    pub pending: Vec<Pending>,
    /// End of the part whose manifests were deleted by age (`OutcomeDays`), so that it cannot be examined.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expired_until: Option<Timestamp>,
    /// `true` if a pending part belongs to a named period, or a run is fetching it.
    #[serde(skip)]
    pub(super) undecided: bool,
}

/// A part of the period that no run fetched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Gap {
    /// Inclusive.
    pub from: Timestamp,
    /// Exclusive.
    pub to: Timestamp,
    /// The source that was not fetched although another one was: the deployment has had several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Runs that started to fetch it and did not complete.
    pub unfinished_runs: Vec<RunId>,
    /// Command that closes the gap.
    pub command: String,
}

/// A part of the period that is not fetched yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Pending {
    /// Inclusive.
    pub from: Timestamp,
    /// Exclusive.
    pub to: Timestamp,
    /// `true` if a run is fetching it; otherwise the next run continues there.
    pub running: bool,
}

/// Window of a run, and the part of it that was fetched.
#[derive(Debug, Clone)]
struct RunWindow {
    run: RunId,
    window: Window,
    fetched_until: Option<Timestamp>,
    running: bool,
    began: Timestamp,
    /// The source that the run listed. `None` in records of earlier releases.
    source: Option<String>,
    /// The run listed the source up to its end: the source had been stopped.
    is_last: bool,
}

impl RunWindow {
    /// Computes the coverage of runs. `longest_run`: time for which a run without a recorded end counts as running;
    /// after it, the run counts as terminated.
    fn of(run: &Run, longest_run: SignedDuration, now: Timestamp) -> Option<Self> {
        let RunRecord { complete, source, last, .. } = run.record.clone()?;
        let window = run.window()?;
        let running = run.may_be_running(longest_run, now);
        let fetched_until = run.fetched().map(|part| part.to);
        let is_last = last && complete;
        Some(Self { run: run.id.clone(), window, fetched_until, running, began: run.began, source, is_last })
    }

    fn is_scheduled(&self) -> bool {
        self.run.kind() == Some(RunKind::Scheduled)
    }
}

/// A source of a deployment that has had several.
struct FetchedSource {
    name: String,
    /// The windows of its runs.
    windows: Vec<RunWindow>,
    /// Start of the first window of its timer.
    from: Timestamp,
    /// The time up to which it must be fetched: the end of its last run if it had been stopped before, otherwise the start
    /// of the next source's first run. `None` for the present source.
    until: Option<Timestamp>,
}

impl FetchedSource {
    /// Returns the sources of the timer's runs; none if there is only one. A run of an earlier release, which does not name
    /// its source, counts for the source of the next run that does.
    fn of_runs(windows: &[RunWindow]) -> Vec<Self> {
        let mut runs: Vec<_> = windows.to_vec();
        runs.sort_by_key(|run| run.began);
        let mut next = None;
        for run in runs.iter_mut().rev() {
            if run.source.is_none() {
                run.source.clone_from(&next);
            }
            next.clone_from(&run.source);
        }
        let scheduled: Vec<_> = runs.iter().filter(|run| run.is_scheduled() && run.source.is_some()).collect();
        let names: BTreeSet<_> = scheduled.iter().filter_map(|run| run.source.clone()).collect();
        if names.len() < 2 {
            return Vec::new();
        }
        let source = |name: String| {
            let is_own = |run: &&&RunWindow| run.source.as_ref() == Some(&name);
            let from = scheduled.iter().filter(is_own).map(|run| run.window.from).min()?;
            let last = scheduled.iter().rfind(|run| is_own(run))?;
            let replaced = scheduled.iter().find(|run| run.began > last.began).map(|run| run.began);
            let until = replaced.map(|at| if last.is_last { last.window.to } else { at });
            let windows = runs.iter().filter(|run| run.source.as_ref() == Some(&name)).cloned().collect();
            Some(Self { name: name.clone(), windows, from, until })
        };
        names.into_iter().filter_map(source).collect()
    }
}

impl Coverage {
    /// Compares the windows of all runs with a period. `longest_run`: see `RunWindow::of`. `kept_since`: time since
    /// which the bucket has every manifest.
    pub fn of_runs(
        runs: &Runs,
        period: (Option<Timestamp>, Option<Timestamp>),
        longest_run: SignedDuration,
        (now, kept_since): (Timestamp, Option<Timestamp>),
        options: &str,
    ) -> Self {
        let windows: Vec<_> = runs.all().filter_map(|run| RunWindow::of(run, longest_run, now)).collect();
        let unrecorded = runs.all().filter(|run| run.record.is_none()).count() as u64;
        let timer = runs.all().filter(|run| run.id.kind() == Some(RunKind::Scheduled));
        let overdue_after = due_after(timer.map(|run| run.began).collect());
        let mut coverage = Self::of_kept(&windows, unrecorded, period, kept_since, (now, overdue_after), options);
        for source in FetchedSource::of_runs(&windows) {
            coverage.add_source(&source, period, kept_since, (now, overdue_after), options);
        }
        coverage
    }

    /// Adds the parts of the period that were not fetched from one of several sources.
    fn add_source(
        &mut self,
        source: &FetchedSource,
        (from, to): (Option<Timestamp>, Option<Timestamp>),
        kept_since: Option<Timestamp>,
        (now, overdue_after): (Timestamp, SignedDuration),
        options: &str,
    ) {
        let from = source.from.max(from.unwrap_or(source.from)).max(kept_since.unwrap_or(source.from));
        let ends = [to, source.until].into_iter().flatten().min();
        if ends.is_some_and(|ends| ends <= from) || from >= now {
            return;
        }
        let own = Self::of(&source.windows, 0, (Some(from), ends), (now, overdue_after), options);
        // The timer does not continue with a source that was replaced.
        let (continued, left): (Vec<_>, Vec<_>) =
            own.pending.into_iter().partition(|part| part.running || source.until.is_none());
        let left = left.into_iter().filter_map(|part| Window::between(part.from, part.to).ok());
        let left: Vec<_> = left.map(|part| Gap::of(part, &source.windows, now, options)).collect();
        let is_known = |part: Timestamp, end: Timestamp, known: &[(Timestamp, Timestamp)]| {
            known.iter().any(|(from, to)| *from <= part && end <= *to)
        };
        let gaps: Vec<_> = self.gaps.iter().map(|gap| (gap.from, gap.to)).collect();
        let missing = own.gaps.into_iter().chain(left).filter(|gap| !is_known(gap.from, gap.to, &gaps));
        self.gaps.extend(missing.map(|gap| Gap { source: Some(source.name.clone()), ..gap }));
        let pending: Vec<_> = self.pending.iter().map(|part| (part.from, part.to)).collect();
        for part in continued.into_iter().filter(|part| !is_known(part.from, part.to, &pending)) {
            self.undecided |= part.running || to.is_some_and(|to| to <= now);
            self.pending.push(part);
        }
    }

    /// Computes the coverage like [`of`](Self::of), but leaves out the part whose manifests were deleted by age: it is
    /// neither fetched nor a gap. A period without any manifest left is undecided.
    fn of_kept(
        windows: &[RunWindow],
        unrecorded: u64,
        (from, to): (Option<Timestamp>, Option<Timestamp>),
        kept_since: Option<Timestamp>,
        (now, overdue_after): (Timestamp, SignedDuration),
        options: &str,
    ) -> Self {
        let begins = from.or_else(|| windows.iter().map(|run| run.window.from).min());
        let (Some(begins), Some(since)) = (begins, kept_since.filter(|since| begins.is_some_and(|from| from < *since)))
        else {
            return Self::of(windows, unrecorded, (from, to), (now, overdue_after), options);
        };
        let ends = to.unwrap_or(now).min(now);
        if ends <= since {
            let expired_until = Some(ends);
            return Self { from: Some(begins), to: Some(ends), expired_until, undecided: true, ..Self::default() };
        }
        let kept = Self::of(windows, unrecorded, (Some(since), to), (now, overdue_after), options);
        Self { expired_until: Some(since), ..kept }
    }

    /// Compares windows with a period. The default of `from` is the start of the first run's window, the default of
    /// `to` is now. Archived times are overdue when `overdue_after` has passed since the end of the last complete
    /// window.
    fn of(
        windows: &[RunWindow],
        unrecorded_runs: u64,
        (from, to): (Option<Timestamp>, Option<Timestamp>),
        (now, overdue_after): (Timestamp, SignedDuration),
        options: &str,
    ) -> Self {
        let Some(from) = from.or_else(|| windows.iter().map(|run| run.window.from).min()) else {
            return Self { unrecorded_runs, ..Self::default() };
        };
        // Whole seconds keep the commands short.
        let now = Timestamp::from_second(now.as_second()).unwrap_or(now);
        let end = to.unwrap_or(now).min(now);
        let fetched = |run: &RunWindow| run.fetched_until.and_then(|to| Window::between(run.window.from, to).ok());
        let complete_runs =
            windows.iter().filter_map(fetched).filter(|window| window.from < end && from < window.to).count() as u64;
        let mut coverage = Self { from: Some(from), to: Some(end), complete_runs, unrecorded_runs, ..Self::default() };
        if let (Some(to), true) = (to, from >= end) {
            // A period in the future.
            coverage.pending.push(Pending { from, to, running: false });
            coverage.undecided = true;
            return coverage;
        }
        let running = || windows.iter().filter(|run| run.running).map(|run| run.window);
        let not_fetched = without(Window::between(from, end).ok().into_iter(), windows.iter().filter_map(fetched));
        let without_run = without(not_fetched.iter().copied(), running());
        for part in without(not_fetched.into_iter(), without_run.iter().copied()) {
            coverage.pending.push(Pending { from: part.from, to: part.to, running: true });
            coverage.undecided = true;
        }
        let last = windows.iter().filter_map(|run| run.fetched_until).chain(running().map(|window| window.to)).max();
        for part in without_run {
            let continues = part.to == end && last.is_some_and(|last| last <= part.from);
            if continues && last.is_some_and(|last| now.duration_since(last) <= overdue_after) {
                coverage.pending.push(Pending { from: part.from, to: part.to, running: false });
                coverage.undecided |= to.is_some_and(|to| to <= now);
            } else {
                coverage.gaps.push(Gap::of(part, windows, now, options));
            }
        }
        coverage
    }

    /// Returns whether a period was examined and none of it is overdue.
    pub fn is_contiguous(&self) -> bool {
        self.from.is_some() && self.gaps.is_empty()
    }

    /// Describes the examined period and the pending parts in sentences; gaps have their own `Display`.
    pub fn sentences(&self) -> Vec<String> {
        let (Some(from), Some(to)) = (self.from, self.to) else {
            return vec![
                "No run has recorded a window: nothing was examined, and nothing is proven to be fetched. Check the schedule \
                 and the start of fetch with archiver doctor"
                    .to_owned(),
            ];
        };
        let mut sentences = Vec::new();
        if let Some(until) = self.expired_until {
            sentences.push(format!(
                "Not examined: archived times before {until}; their manifests and outcomes were deleted by age (OutcomeDays)"
            ));
            if until == to {
                return sentences;
            }
        }
        let runs = self.complete_runs;
        let until = self.pending.iter().map(|pending| pending.from).min().unwrap_or(to);
        sentences.push(match self.gaps.len() {
            0 if until <= from => "Examined: nothing of the period is fetched yet".to_owned(),
            0 => format!(
                "Examined: the windows of {runs} runs cover archived times from {from} to {until} without a gap"
            ),
            gaps => {
                format!("Examined: the windows of {runs} runs leave {gaps} gaps in archived times from {from} to {to}")
            }
        });
        for Pending { from, to, running } in &self.pending {
            sentences.push(if *running {
                format!("A run is fetching archived times from {from} to {to}")
            } else {
                format!("Not fetched yet: archived times from {from} on; the next run continues there")
            });
        }
        if self.unrecorded_runs > 0 {
            sentences.push(format!(
                "{} runs have no readable record of their window (run.json): they count as not complete",
                self.unrecorded_runs
            ));
        }
        sentences
    }

    /// Returns whether no run is fetching part of the period, and the named end of the period is fetched.
    pub fn is_decided(&self) -> bool {
        !self.undecided
    }
}

impl Gap {
    fn of(gap: Window, windows: &[RunWindow], now: Timestamp, options: &str) -> Self {
        let began = windows.iter().filter(|run| run.window.from < gap.to && gap.from < run.window.to);
        let unfinished_runs = began.map(|run| run.run.clone()).take(NAMED_RUNS_MAX).collect();
        // Fetch does not list the last minutes before now.
        let listed = Window::between(gap.from, gap.to.min(now - Window::MARGIN)).unwrap_or(gap);
        let command = backfill_command(options, &listed);
        Self { from: gap.from, to: gap.to, source: None, unfinished_runs, command }
    }
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not fetched: archived times from {} to {}", self.from, self.to)?;
        if let Some(source) = &self.source {
            write!(f, " of the source {source}; only another source was fetched")?;
        }
        if let [first, more @ ..] = &self.unfinished_runs[..] {
            write!(f, "; {first}")?;
            more.iter().try_for_each(|run| write!(f, ", {run}"))?;
            f.write_str(" did not complete")?;
        }
        match &self.source {
            Some(source) => write!(
                f,
                ". Close the gap while Source={source} is deployed (runbook, \"Changing the source\"): {}",
                self.command
            ),
            None => write!(f, ". Close the gap: {}", self.command),
        }
    }
}

/// Subtracts windows from others.
fn without(windows: impl Iterator<Item = Window>, others: impl Iterator<Item = Window>) -> Vec<Window> {
    let mut others: Vec<_> = others.collect();
    others.sort_unstable_by_key(|other| other.from);
    let mut left = Vec::new();
    for window in windows {
        let mut at = window.from;
        for other in others.iter().filter(|other| other.from < window.to && window.from < other.to) {
            left.extend(Window::between(at, other.from).ok());
            at = at.max(other.to);
        }
        left.extend(Window::between(at, window.to).ok());
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The value for the default schedule.
    const OVERDUE: SignedDuration = SignedDuration::from_hours(25);

    fn at(text: &str) -> Timestamp {
        format!("2026-11-{text}:00Z").parse().unwrap()
    }

    const OPTIONS: &str = " --stack wa";

    /// Progress of a run.
    enum Progress {
        Complete,
        Until(&'static str),
        Failed,
        Running,
    }

    fn run(from: &str, to: &str, progress: Progress) -> RunWindow {
        let window = Window::between(at(from), at(to)).unwrap();
        let began = window.to + Window::MARGIN;
        let id = RunId::new(began, RunKind::Scheduled, from);
        let mut record = RunRecord::begun(id.clone(), window);
        match progress {
            Progress::Complete => (record.complete, record.ended) = (true, Some(began)),
            Progress::Until(reached) => (record.reached, record.ended) = (Some(at(reached)), Some(began)),
            Progress::Failed => record.ended = Some(began),
            Progress::Running => {}
        }
        let run = Run { id, began, record: Some(record), unreadable_record: false, pages: Vec::new() };
        RunWindow::of(&run, SignedDuration::from_mins(15), began + SignedDuration::from_mins(1)).unwrap()
    }

    /// Returns the gaps and the pending parts of a period.
    fn examine(windows: &[RunWindow], from: Option<&str>, to: Option<&str>, now: &str) -> (Vec<String>, Vec<String>) {
        let coverage = Coverage::of(windows, 0, (from.map(at), to.map(at)), (at(now), OVERDUE), OPTIONS);
        let text = |from: Timestamp, to: Timestamp| {
            let short = |time: Timestamp| time.strftime("%dT%H:%M").to_string();
            format!("{}..{}", short(from), short(to))
        };
        (
            coverage.gaps.iter().map(|gap| text(gap.from, gap.to)).collect(),
            coverage.pending.iter().map(|pending| text(pending.from, pending.to)).collect(),
        )
    }

    const NONE: [&str; 0] = [];

    #[test]
    fn windows_that_touch_or_overlap_leave_no_gap() {
        let runs = [
            run("03T06:00", "04T06:55", Progress::Complete),
            run("01T06:55", "02T06:55", Progress::Complete),
            run("02T06:55", "03T06:55", Progress::Complete),
        ];
        let (gaps, pending) = examine(&runs, None, None, "04T12:00");
        assert_eq!((gaps, pending), (vec![], vec!["04T06:55..04T12:00".to_owned()]));
        assert_eq!(examine(&runs, Some("02T00:00"), Some("04T00:00"), "04T12:00"), (vec![], vec![]));
    }

    #[test]
    fn gap_is_named_with_the_command_that_closes_it() {
        // A first run that fails, and the first that succeeds a week later; or a lost cursor.
        let runs = [run("01T07:00", "02T06:55", Progress::Failed), run("08T07:00", "09T06:55", Progress::Complete)];
        let coverage = Coverage::of(&runs, 0, (None, None), (at("09T08:00"), OVERDUE), OPTIONS);
        let [gap] = &coverage.gaps[..] else { panic!("{coverage:?}") };
        assert!(!coverage.is_contiguous() && coverage.is_decided());
        assert_eq!((gap.from, gap.to), (at("01T07:00"), at("08T07:00")));
        assert_eq!(gap.unfinished_runs.iter().map(RunId::as_str).collect::<Vec<_>>(), [runs[0].run.as_str()]);
        let command = "archiver backfill --stack wa --from 2026-11-01T07:00:00Z --to 2026-11-08T07:00:00Z";
        assert_eq!(gap.command, command);
        // Fetch would cut off the end of a gap that reaches until now.
        let until_now = Coverage::of(&runs, 0, (None, None), (at("12T08:00"), OVERDUE), OPTIONS);
        let last = until_now.gaps.last().unwrap();
        assert_eq!(last.to, at("12T08:00"));
        assert!(last.command.ends_with(" --from 2026-11-09T06:55:00Z --to 2026-11-12T07:55:00Z"), "{}", last.command);
        let closed = [&runs[..], &[run("01T07:00", "08T07:00", Progress::Complete)]].concat();
        assert_eq!(examine(&closed, None, Some("09T00:00"), "09T08:00"), (vec![], vec![]));
    }

    #[test]
    fn incomplete_run_covers_what_it_reached() {
        let runs =
            [run("01T07:00", "05T06:55", Progress::Until("03T12:00")), run("04T07:00", "06T06:55", Progress::Complete)];
        assert_eq!(examine(&runs, None, None, "06T07:00").0, ["03T12:00..04T07:00"]);
        let unknown = [run("01T07:00", "05T06:55", Progress::Failed), run("04T07:00", "06T06:55", Progress::Complete)];
        assert_eq!(examine(&unknown, None, None, "06T07:00").0, ["01T07:00..04T07:00"]);
    }

    #[test]
    fn running_window_is_pending_and_a_crashed_one_is_a_gap() {
        let runs = [run("01T07:00", "02T06:55", Progress::Complete), run("02T06:55", "03T06:55", Progress::Running)];
        let coverage = Coverage::of(&runs, 0, (None, Some(at("03T06:00"))), (at("03T07:01"), OVERDUE), OPTIONS);
        assert!(coverage.is_contiguous() && !coverage.is_decided(), "{coverage:?}");
        let crashed = RunWindow { running: false, ..runs[1].clone() };
        let runs = [runs[0].clone(), crashed, run("04T06:55", "05T06:55", Progress::Complete)];
        assert_eq!(examine(&runs, None, None, "05T07:00").0, ["02T06:55..04T06:55"]);
        let first = [run("01T07:00", "02T06:55", Progress::Running)];
        let coverage = Coverage::of(&first, 0, (None, None), (at("02T07:01"), OVERDUE), OPTIONS);
        assert!(coverage.is_contiguous() && !coverage.is_decided(), "the first run is running: {coverage:?}");
    }

    /// Returns a complete run of a source, which began 5 minutes after the end of its window.
    fn run_of(source: Option<&str>, from: &str, to: &str) -> RunWindow {
        RunWindow { source: source.map(str::to_owned), ..run(from, to, Progress::Complete) }
    }

    /// Returns the gaps of the runs' own sources, with the source.
    fn gaps_by_source(windows: &[RunWindow], to: Option<&str>, now: &str) -> Vec<String> {
        let period = (None, to.map(at));
        let mut coverage = Coverage::of(windows, 0, period, (at(now), OVERDUE), OPTIONS);
        for source in FetchedSource::of_runs(windows) {
            coverage.add_source(&source, period, None, (at(now), OVERDUE), OPTIONS);
        }
        let short = |time: Timestamp| time.strftime("%dT%H:%M").to_string();
        let text = |gap: &Gap| {
            assert!(gap.source.as_ref().is_none_or(|source| gap.to_string().contains(source)), "{gap}");
            let source = gap.source.as_deref().unwrap_or("any");
            format!("{source} {}..{}", short(gap.from), short(gap.to))
        };
        coverage.gaps.iter().map(text).collect()
    }

    #[test]
    fn other_source_does_not_close_the_gap_of_a_source() {
        let (webhooks, api) = (Some("cloud-api"), Some("archiver-api"));
        let changed = [
            run_of(webhooks, "01T07:00", "02T09:55"),
            run_of(api, "01T11:00", "02T10:55"),
            run_of(api, "02T09:55", "03T10:55"),
        ];
        assert_eq!(gaps_by_source(&changed, None, "03T11:00"), ["cloud-api 02T09:55..02T11:00"]);
        assert_eq!(gaps_by_source(&changed, Some("02T09:55"), "03T11:00"), NONE, "the named end was fetched");
        // The first source was stopped before its last run.
        let stopped = [RunWindow { is_last: true, ..changed[0].clone() }, changed[1].clone(), changed[2].clone()];
        assert_eq!(gaps_by_source(&stopped, None, "03T11:00"), NONE);
        // A run of an earlier release is of the source that was named next.
        let earlier = [run_of(None, "01T07:00", "02T09:55"), changed[1].clone(), changed[2].clone()];
        assert_eq!(gaps_by_source(&earlier, None, "03T11:00"), NONE);
        // A mistake: it is changed back, and the first source continues at its own cursor.
        let back = [&changed[..], &[run_of(webhooks, "02T09:45", "03T11:55")]].concat();
        assert_eq!(gaps_by_source(&back, None, "03T12:00"), ["archiver-api 03T10:55..03T12:00"]);
        // While it has not run again, its times are not fetched, although those of the other source are.
        let failed =
            RunWindow { source: Some("cloud-api".to_owned()), ..run("02T09:45", "03T11:55", Progress::Failed) };
        let back = [&changed[..], &[failed]].concat();
        let gaps = gaps_by_source(&back, Some("03T10:00"), "03T12:00");
        assert_eq!(gaps, ["cloud-api 02T09:55..03T10:00"]);
    }

    #[test]
    fn period_without_runs_is_a_gap() {
        assert!(!Coverage::of(&[], 0, (None, None), (at("09T00:00"), OVERDUE), OPTIONS).is_contiguous());
        assert_eq!(examine(&[], Some("01T00:00"), Some("02T00:00"), "09T00:00").0, ["01T00:00..02T00:00"]);
        let runs = [run("05T07:00", "06T06:55", Progress::Complete)];
        assert_eq!(examine(&runs, Some("01T00:00"), Some("06T00:00"), "06T08:00").0, ["01T00:00..05T07:00"]);
        assert_eq!(examine(&runs, Some("07T00:00"), Some("08T00:00"), "09T00:00").0, ["07T00:00..08T00:00"]);
    }

    #[test]
    fn period_is_overdue_by_the_schedule_of_the_runs() {
        let run_at = |hours: i64| {
            let began = at("01T00:00") + SignedDuration::from_hours(hours);
            let window = Window::between(began - SignedDuration::from_hours(300), began - Window::MARGIN).unwrap();
            let id = RunId::new(began, RunKind::Scheduled, &hours.to_string());
            let record = RunRecord { complete: true, ended: Some(began), ..RunRecord::begun(id.clone(), window) };
            Run { id, began, record: Some(record), unreadable_record: false, pages: Vec::new() }
        };
        for (interval, pending_for, gap_after) in [(1, 1, 3), (24, 24, 26), (72, 72, 74)] {
            let runs = Runs::from_runs((0..5).map(|number| run_at(number * interval)).collect());
            let last = at("01T00:00") + SignedDuration::from_hours(4 * interval);
            let gaps = |hours| {
                let now = last + SignedDuration::from_hours(hours);
                Coverage::of_runs(&runs, (None, None), SignedDuration::from_mins(15), (now, None), OPTIONS).gaps.len()
            };
            assert_eq!((gaps(pending_for), gaps(gap_after)), (0, 1), "every {interval} hours");
        }
    }

    #[test]
    fn expired_part_of_a_period_is_not_a_gap() {
        let runs = [run("05T00:00", "06T06:55", Progress::Complete)];
        let examine = |from: Option<&str>, to: Option<&str>, since: &str| {
            Coverage::of_kept(&runs, 0, (from.map(at), to.map(at)), Some(at(since)), (at("06T08:00"), OVERDUE), OPTIONS)
        };
        let part = examine(Some("01T00:00"), Some("06T00:00"), "05T12:00");
        assert!(part.is_contiguous() && part.is_decided(), "{part:?}");
        assert_eq!((part.from, part.expired_until), (Some(at("05T12:00")), Some(at("05T12:00"))));
        assert!(part.sentences()[0].contains("before 2026-11-05T12:00:00Z"), "{:?}", part.sentences());
        // Gaps in the kept part are still reported.
        assert!(!examine(Some("01T00:00"), Some("06T00:00"), "04T12:00").is_contiguous());
        // No manifest is left, so nothing can be proven.
        let all = examine(Some("01T00:00"), Some("02T00:00"), "05T12:00");
        assert!(!all.is_decided() && all.gaps.is_empty() && all.sentences().len() == 1, "{all:?}");
        assert_eq!(examine(None, None, "04T00:00").expired_until, None);
    }

    #[test]
    fn end_of_the_period_is_overdue_after_a_day() {
        let runs = [run("01T07:00", "02T06:55", Progress::Complete)];
        assert_eq!(examine(&runs, None, None, "03T07:10"), (vec![], vec!["02T06:55..03T07:10".to_owned()]));
        assert_eq!(examine(&runs, None, None, "03T08:00").0, ["02T06:55..03T08:00"]);
        // A named end that is not fetched yet is not a success.
        let coverage = Coverage::of(&runs, 0, (None, Some(at("03T00:00"))), (at("03T05:00"), OVERDUE), OPTIONS);
        assert!(coverage.is_contiguous() && !coverage.is_decided());
        let coverage =
            Coverage::of(&runs, 0, (Some(at("05T00:00")), Some(at("06T00:00"))), (at("03T05:00"), OVERDUE), OPTIONS);
        assert!(coverage.is_contiguous() && !coverage.is_decided(), "a period in the future");
        assert_eq!(examine(&runs, Some("01T07:00"), Some("02T00:00"), "02T07:00").1, NONE);
    }
}
