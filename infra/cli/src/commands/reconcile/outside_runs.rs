//! Runs that began outside the period and list items of it: a backfill that closed a gap later, and the run after the
//! end of the period, whose window overlaps it.

use jiff::{SignedDuration, Timestamp};
use model::RunId;
use serde::Serialize;

use super::runs::{Run, Runs};

/// Runs that began outside the period, and the items of the period that only they list.
#[derive(Debug, Default, Serialize)]
pub struct OutsideRuns {
    /// Number of these runs.
    pub runs: u64,
    /// Number of items that no run of the period lists.
    pub items: u64,
    /// Those that may be running: they may still list items of the period.
    pub running: Vec<RunId>,
    /// Those whose record cannot be parsed: their windows are unknown, and pages of their manifests may be missing.
    pub unreadable: Vec<RunId>,
}

impl OutsideRuns {
    /// Finds the runs; the comparison counts their items. `longest_run`: see [`Run::may_be_running`].
    pub(super) fn of(runs: &Runs, longest_run: SignedDuration, now: Timestamp) -> Self {
        let outside = runs.outside();
        let ids = |runs: &mut dyn Iterator<Item = &Run>| runs.map(|run| run.id.clone()).collect();
        Self {
            runs: outside.len() as u64,
            items: 0,
            running: ids(&mut outside.iter().filter(|run| run.may_be_running(longest_run, now))),
            unreadable: ids(&mut outside.iter().filter(|run| run.unreadable_record)),
        }
    }

    /// Returns whether no run outside the period lists items of it.
    pub(super) fn is_empty(&self) -> bool {
        self.runs == 0
    }

    /// Returns whether all items of the period that these runs list are known.
    pub(super) fn is_decided(&self) -> bool {
        self.running.is_empty() && self.unreadable.is_empty()
    }

    /// Describes the runs in sentences without a full stop.
    pub fn sentences(&self) -> Vec<String> {
        let mut sentences = Vec::new();
        if self.items > 0 {
            sentences.push(format!(
                "{} items with archived times in the period were listed by {} runs that began outside it: a backfill, or the \
                 next run. They are compared, too, and count on the days of those runs",
                self.items, self.runs
            ));
        }
        for run in &self.running {
            sentences.push(format!("The run {run} is running and may list more items of the period"));
        }
        for run in &self.unreadable {
            sentences.push(format!(
                "The record of the run {run} cannot be parsed, so it is unknown which items of the period it listed: restore \
                 an earlier version of runs/{run}/run.json"
            ));
        }
        sentences
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn undecided_outside_runs_are_named() {
        let run: RunId = "20261122T070000Z-daily-0badcafe".parse().unwrap();
        let known = OutsideRuns { runs: 2, items: 5, ..OutsideRuns::default() };
        assert!(known.is_decided() && known.sentences()[0].starts_with("5 items"), "{:?}", known.sentences());
        let without_items = OutsideRuns { items: 0, ..known };
        assert!(without_items.sentences().is_empty(), "a run that adds nothing is not mentioned");
        for undecided in [
            OutsideRuns { runs: 1, running: vec![run.clone()], ..OutsideRuns::default() },
            OutsideRuns { runs: 1, unreadable: vec![run.clone()], ..OutsideRuns::default() },
        ] {
            assert!(!undecided.is_decided() && undecided.sentences()[0].contains(run.as_str()), "{undecided:?}");
        }
    }
}
