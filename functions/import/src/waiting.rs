//! Combines the failures of an item's mailboxes and participants into one.

use std::time::Duration;

use model::Failure;

/// Collects the failures of an item, and returns one of them.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    /// The failure that is returned: a configuration error if there is one, otherwise a transient failure.
    reported: Option<Failure>,
    /// The longest delay that any of the failures requested.
    after: Option<Duration>,
    /// No other attempt begins within this time, also if none of the collected failures is reported: a copy may still appear.
    pub(crate) hold: Duration,
}

/// The failure of an attempt.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct AttemptFailure {
    pub(crate) failure: Failure,
    /// No other attempt begins within this time, also after a permanent failure.
    pub(crate) hold: Duration,
}

impl From<Failure> for AttemptFailure {
    fn from(failure: Failure) -> Self {
        Self { failure, hold: Duration::ZERO }
    }
}

impl Waiting {
    pub(crate) fn add(&mut self, failure: Failure) {
        let after = after(&failure);
        let rank = |failure: &Failure| matches!(failure, Failure::Configuration { .. });
        if self.reported.as_ref().is_none_or(|reported| (rank(&failure), after) > (rank(reported), self.after)) {
            self.reported = Some(failure);
        }
        self.after = self.after.max(after);
    }

    /// Adds the failure of a filing. No other attempt begins within the delay that it requests.
    pub(crate) fn add_filing(&mut self, failure: Failure) {
        self.hold(after(&failure).unwrap_or_default());
        self.add(failure);
    }

    /// Holds the lease for at least this time.
    pub(crate) fn hold(&mut self, time: Duration) {
        self.hold = self.hold.max(time);
    }

    pub(crate) fn end(self) -> Option<AttemptFailure> {
        let failure = match self.reported? {
            Failure::Transient { detail, .. } => Failure::Transient { detail, after: self.after },
            Failure::Configuration { detail, .. } => Failure::Configuration { detail, after: self.after },
            failure @ Failure::Permanent { .. } => failure,
        };
        Some(AttemptFailure { failure, hold: self.hold })
    }
}

fn after(failure: &Failure) -> Option<Duration> {
    match failure {
        Failure::Transient { after, .. } | Failure::Configuration { after, .. } => *after,
        Failure::Permanent { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Option<Duration> = Some(Duration::from_secs(60));
    const LONG: Option<Duration> = Some(Duration::from_secs(600));

    fn transient(after: Option<Duration>) -> Failure {
        Failure::Transient { detail: format!("{after:?}"), after }
    }

    fn setup(after: Option<Duration>) -> Failure {
        Failure::Configuration { detail: "configuration".to_owned(), after }
    }

    fn filings(failures: impl IntoIterator<Item = Failure>) -> Option<AttemptFailure> {
        let mut waiting = Waiting::default();
        failures.into_iter().for_each(|failure| waiting.add_filing(failure));
        waiting.end()
    }

    fn held(failure: Failure) -> Option<AttemptFailure> {
        let hold = after(&failure).unwrap_or_default();
        Some(AttemptFailure { failure, hold })
    }

    #[test]
    fn configuration_error_does_not_shorten_the_wait_for_others() {
        assert_eq!(filings([transient(MINUTE), setup(None)]), held(setup(MINUTE)));
        assert_eq!(filings([setup(None), transient(MINUTE)]), held(setup(MINUTE)));
        assert_eq!(filings([setup(None), transient(MINUTE), setup(None)]), held(setup(MINUTE)));
        assert_eq!(filings([transient(None), setup(None)]), held(setup(None)));
    }

    #[test]
    fn longest_wait_counts_and_is_reported() {
        assert_eq!(filings([transient(MINUTE), transient(LONG), transient(None)]), held(transient(LONG)));
        assert_eq!(filings([transient(LONG), transient(MINUTE)]), held(transient(LONG)));
        assert!(Waiting::default().end().is_none());
    }

    #[test]
    fn waiting_lookup_does_not_delay_other_mailboxes() {
        let mut waiting = Waiting::default();
        waiting.add(transient(LONG));
        waiting.add_filing(transient(MINUTE));
        assert_eq!(waiting.end(), Some(AttemptFailure { failure: transient(LONG), hold: Duration::from_secs(60) }));
    }
}
