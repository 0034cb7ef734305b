//! An item of a manifest that is not filed yet, while the comparison decides about it.

use jiff::Timestamp;
use model::{Listed, Outcome, RunId};

use super::{runs::Runs, seen_items::RunIndex};
use ledger::totals::{EntryState, ManifestEntry, copies};

/// An item that was not filed at the first read of its outcome.
pub(super) struct OpenItem {
    pub(super) run: RunId,
    /// Index of that run.
    pub(super) first: Option<RunIndex>,
    pub(super) listed: Listed,
    /// `false` for a mail that fetch has copied from a vendor's file and has not listed.
    pub(super) is_in_manifest: bool,
    /// `true` if `fetch` may not have queued the item yet.
    pub(super) recent: bool,
    /// The latest archived time with which a run listed the item: its newest version.
    pub(super) newest: Option<Timestamp>,
    /// Further runs that listed the item.
    pub(super) again: Vec<RunIndex>,
}

impl OpenItem {
    /// Returns the run and the entry to queue the item with: its newest version. A dead letter of an earlier version would not
    /// account for the newest one.
    pub(super) fn into_newest(mut self) -> (RunId, Listed) {
        if self.newest > self.listed.archived_at()
            && let Some(newest) = self.newest
        {
            self.listed.archived_time = newest.to_string().into();
        }
        (self.run, self.listed)
    }

    /// Returns the start of the last run that lists the item.
    pub(super) fn last_listed(&self, runs: &Runs) -> Timestamp {
        let all = self.again.iter().chain(&self.first).filter_map(|at| at.run(runs));
        all.map(|run| run.began).max().unwrap_or(Timestamp::MIN)
    }

    /// Reports every entry that names the item. The entry of the run at which the item counts carries the outcome; the
    /// others are reported as duplicates.
    pub(super) fn report_entries(
        &self,
        runs: &Runs,
        outcome: Option<&Outcome>,
        state: EntryState,
        report: &mut impl FnMut(&ManifestEntry<'_>),
    ) {
        let entry = ManifestEntry { run: &self.run, listed: &self.listed, outcome, state };
        report(&entry);
        let mut counts_at = entry.counted_at_other_run();
        for run in self.again.iter().filter_map(|at| at.run(runs)).map(|run| &run.id) {
            if counts_at == Some(run) {
                counts_at = None;
                report(&ManifestEntry { run, ..entry });
            } else {
                report(&ManifestEntry { run, outcome: None, state: EntryState::ListedAgain(copies(outcome)), ..entry });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn item_is_queued_with_its_newest_version() {
        let open = |listed: &str, newest: Option<&str>| OpenItem {
            run: "r-1".parse().unwrap(),
            first: None,
            listed: Listed { item: json!("WA-1"), archived_time: json!(listed) },
            is_in_manifest: true,
            recent: false,
            newest: newest.map(|time| time.parse().unwrap()),
            again: Vec::new(),
        };
        let queued = |listed, newest| open(listed, newest).into_newest().1.archived_time;
        assert_eq!(queued("2026-11-21T10:00:00Z", Some("2026-11-22T10:00:00Z")), "2026-11-22T10:00:00Z");
        assert_eq!(queued("2026-11-21T10:00:00.000Z", Some("2026-11-21T10:00:00Z")), "2026-11-21T10:00:00.000Z");
        assert_eq!(queued("yesterday", None), "yesterday");
    }
}
