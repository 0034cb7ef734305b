//! Decides whether an item waits or becomes a dead letter after a mailbox did not accept a copy.
//!
//! ```text
//!   Rejected, Full         ▶ permanent: the item becomes a dead letter
//!   Unrecognized, NoMailbox, LookupRejected
//!                          ▶ retried; permanent when the limit (`retry_limit.rs`) is reached
//!   Unavailable, Configuration
//!                          ▶ retried; only attempts during which the mailbox accepts other items count towards the limit
//! ```
//!
//! An outage concerns every item. As long as the mailbox accepts no other item, an item whose filing failed with
//! "unavailable" or "configuration" waits. If the mailbox accepts other items meanwhile, the error concerns this item only.
//!
//! If the outcome of a filing is unknown, the error that the filing ended with decides. The caller holds the lease for the settle
//! time, also if the decision is permanent.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use jiff::{SignedDuration, Timestamp};
use mailbox::MailboxError;
use model::{FailedMailbox, Failure, MailboxAddress, Reason};

use crate::{
    failure::{from_mailbox, permanent},
    retry_limit::{RetryLimit, Series},
};

/// The times of the latest successful filings and lookups of this process. They show that the mail system works.
#[derive(Debug, Default)]
pub struct Successes(Mutex<Latest>);

#[derive(Debug, Default)]
struct Latest {
    /// Time of the last successful filing in each mailbox, by the mailbox's id.
    filings: HashMap<String, Timestamp>,
    /// Time of the last lookup that found a mailbox.
    lookup: Option<Timestamp>,
}

impl Successes {
    /// Time for which a filing proves that its mailbox accepts messages. Longer than the half hour between two checks.
    const FILING: SignedDuration = SignedDuration::from_hours(1);

    /// Time for which a lookup proves that the mail system responds to lookups. Results are cached for as long.
    const LOOKUP: SignedDuration = SignedDuration::from_mins(10);

    const MAX_MAILBOXES: usize = 100_000;

    /// Records that a copy was filed in the mailbox.
    pub(crate) fn record_filing(&self, mailbox: &str, now: Timestamp) {
        let mut latest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if latest.filings.len() >= Self::MAX_MAILBOXES {
            latest.filings.retain(|_, at| is_within(*at, Self::FILING, now));
        }
        latest.filings.insert(mailbox.to_owned(), now);
    }

    /// Records that a lookup found a mailbox.
    pub(crate) fn record_lookup(&self, now: Timestamp) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).lookup = Some(now);
    }

    /// Returns whether a copy was filed in the mailbox within the last hour.
    pub(crate) fn has_filed(&self, mailbox: &str, now: Timestamp) -> bool {
        let latest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        latest.filings.get(mailbox).is_some_and(|at| is_within(*at, Self::FILING, now))
    }

    /// Returns whether a lookup found a mailbox within the last 10 minutes.
    pub(crate) fn has_found(&self, now: Timestamp) -> bool {
        let lookup = self.0.lock().unwrap_or_else(PoisonError::into_inner).lookup;
        lookup.is_some_and(|at| is_within(at, Self::LOOKUP, now))
    }
}

/// Returns whether `at` is at most `duration` before `now`, by the wall clock. A time in the future is not.
fn is_within(at: Timestamp, duration: SignedDuration, now: Timestamp) -> bool {
    (SignedDuration::ZERO..=duration).contains(&now.duration_since(at))
}

/// Returns the mailbox's entry for the outcome, and the failure of the item: permanent, or retried. The entry is `None` if an
/// outage is the only failure so far. `before` is the entry that earlier attempts recorded; its series of checks is continued.
/// `others_are_filed` is true if the mailbox accepted a copy within the last hour ([`Successes::has_filed`]).
pub(crate) fn decide(
    address: MailboxAddress,
    error: &MailboxError,
    before: Option<&FailedMailbox>,
    others_are_filed: bool,
    (limit, now): (RetryLimit, Timestamp),
) -> (Option<FailedMailbox>, Failure) {
    let failure = from_mailbox(error);
    let reason = match error.cause() {
        MailboxError::Unavailable { .. } | MailboxError::Configuration { .. } if !others_are_filed => {
            return (before.cloned(), failure);
        }
        MailboxError::Unavailable { .. }
        | MailboxError::Configuration { .. }
        | MailboxError::Unrecognized { .. }
        | MailboxError::OutcomeUnknown { .. } => Reason::MailboxRejected,
        MailboxError::NoMailbox { .. } => Reason::MailboxNotFound,
        MailboxError::LookupRejected { .. } => Reason::LookupRejected,
        MailboxError::Rejected { .. } => {
            let reason = Reason::MailboxRejected;
            return (Some(FailedMailbox { address, reason, since: None, checks: 0, last_check: None }), failure);
        }
        MailboxError::Full => {
            let reason = Reason::MailboxFull;
            return (Some(FailedMailbox { address, reason, since: None, checks: 0, last_check: None }), failure);
        }
    };
    let earlier =
        before.and_then(|before| Some(Series { since: before.since?, checks: before.checks, last: before.last_check }));
    let series = limit.next(earlier, now);
    let (since, checks, last_check) = (Some(series.since), series.checks, series.last);
    let failed = FailedMailbox { address, reason, since, checks, last_check };
    let failure = if limit.is_reached(series, now) {
        let copy =
            if matches!(error, MailboxError::OutcomeUnknown { .. }) { "; the mailbox may have a copy" } else { "" };
        permanent(reason, format!("{}, after {} attempts{copy}", error.cause(), series.checks))
    } else {
        let next = limit.next_check(series);
        match failure {
            Failure::Transient { detail, after } => Failure::Transient { detail, after: after.max(next) },
            Failure::Configuration { detail, after } => Failure::Configuration { detail, after: after.max(next) },
            failure @ Failure::Permanent { .. } => failure,
        }
    };
    (Some(failed), failure)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const HOUR: SignedDuration = SignedDuration::from_hours(1);

    fn morning() -> Timestamp {
        "2026-11-22T07:00:00Z".parse().unwrap()
    }

    fn unavailable() -> MailboxError {
        MailboxError::Unavailable { detail: "ErrorInternalServerError (HTTP 500)".to_owned(), retry_after: None }
    }

    fn setup() -> MailboxError {
        MailboxError::Configuration { detail: "ErrorAccessDenied (HTTP 403)".to_owned() }
    }

    fn unrecognized() -> MailboxError {
        MailboxError::Unrecognized { detail: "ErrorSomethingNew (HTTP 400)".to_owned(), retry_after: None }
    }

    /// Makes one attempt per hour, and returns the last failure.
    fn hourly(
        error: &MailboxError,
        hours: std::ops::RangeInclusive<i64>,
        before: &mut Option<FailedMailbox>,
        others_are_filed: bool,
    ) -> Failure {
        let limit = RetryLimit::new(Duration::from_hours(24));
        let mut last = None;
        for hour in hours {
            assert!(!matches!(last, Some(Failure::Permanent { .. })), "{error} before hour {hour}");
            let address = "ada@example.com".parse().unwrap();
            let (failed, failure) =
                decide(address, error, before.as_ref(), others_are_filed, (limit, morning() + HOUR * hour as i32));
            (*before, last) = (failed, Some(failure));
        }
        last.unwrap()
    }

    #[test]
    fn error_of_one_item_dead_letters_it_with_its_code() {
        for (error, code) in [(unavailable(), "ErrorInternalServerError"), (setup(), "ErrorAccessDenied")] {
            let mut entry = None;
            assert!(!matches!(hourly(&error, 0..=23, &mut entry, true), Failure::Permanent { .. }), "23 hours");
            let Failure::Permanent { reason, detail } = hourly(&error, 24..=24, &mut entry, true) else {
                panic!("{error}: after 24 hours");
            };
            assert_eq!(reason, Reason::MailboxRejected);
            assert!(detail.contains(code) && detail.contains("after 25 attempts"), "{detail}");
            assert_eq!(entry.map(|failed| failed.checks), Some(25));
        }
    }

    #[test]
    fn permanent_detail_of_an_unknown_outcome_warns_of_a_copy() {
        let error = MailboxError::OutcomeUnknown { error: Box::new(unrecognized()), settle_time: Duration::ZERO };
        let mut entry = None;
        hourly(&error, 0..=23, &mut entry, true);
        let Failure::Permanent { detail, .. } = hourly(&error, 24..=24, &mut entry, true) else {
            panic!("not permanent after 24 hours");
        };
        assert!(detail.ends_with("after 25 attempts; the mailbox may have a copy"), "{detail}");
        assert!(!detail.contains("the retry looks up"), "{detail}");
    }

    #[test]
    fn outage_of_the_mailbox_is_never_a_permanent_failure() {
        for error in [unavailable(), setup()] {
            let mut entry = None;
            assert!(!matches!(hourly(&error, 0..=500, &mut entry, false), Failure::Permanent { .. }));
            assert_eq!(entry, None, "an outage begins no series");
            // The first item that is filed after the outage does not make the others permanent failures.
            assert!(!matches!(hourly(&error, 501..=524, &mut entry, true), Failure::Permanent { .. }));
        }
    }

    #[test]
    fn outage_neither_ends_a_series_nor_counts_in_it() {
        let mut entry = None;
        hourly(&unrecognized(), 0..=1, &mut entry, false);
        let series = entry.clone();
        hourly(&unavailable(), 2..=20, &mut entry, false);
        assert_eq!(entry, series);
        assert!(!matches!(hourly(&unrecognized(), 21..=43, &mut entry, false), Failure::Permanent { .. }));
        assert!(matches!(hourly(&unrecognized(), 44..=44, &mut entry, false), Failure::Permanent { .. }));
    }

    /// During the first hour of an outage the last filing before it still counts, so the checks of that hour are
    /// recorded. Together with the checks after the outage they must not reach the limit.
    #[test]
    fn checks_before_and_after_an_outage_do_not_reach_the_limit() {
        for error in [unavailable(), setup()] {
            let mut entry = None;
            hourly(&error, 0..=3, &mut entry, true);
            hourly(&error, 4..=60, &mut entry, false);
            assert!(!matches!(hourly(&error, 61..=80, &mut entry, true), Failure::Permanent { .. }), "{error}");
        }
    }

    #[test]
    fn permanent_errors_need_no_retry() {
        let rejected = MailboxError::Rejected { detail: "ErrorMessageSizeExceeded (HTTP 400)".to_owned() };
        for (error, expected) in [(rejected, Reason::MailboxRejected), (MailboxError::Full, Reason::MailboxFull)] {
            let mut entry = None;
            let failure = hourly(&error, 0..=0, &mut entry, false);
            assert!(matches!(failure, Failure::Permanent { reason, .. } if reason == expected), "{failure:?}");
            assert_eq!(entry.map(|failed| (failed.reason, failed.since)), Some((expected, None)));
        }
    }

    #[test]
    fn wait_is_the_longer_of_the_requested_and_the_planned() {
        let throttled = |seconds| MailboxError::Unavailable {
            detail: "HTTP 429".to_owned(),
            retry_after: Some(Duration::from_secs(seconds)),
        };
        let after = |seconds| match hourly(&throttled(seconds), 0..=8, &mut None, true) {
            Failure::Transient { after, .. } => after.map(|after| after.as_secs()),
            failure => panic!("{failure:?}"),
        };
        assert_eq!((after(5), after(3600)), (Some(1800), Some(3600)));
    }

    #[test]
    fn success_counts_for_its_mailbox_and_a_short_time() {
        let (successes, now) = (Successes::default(), morning());
        assert!(!successes.has_filed("1", now) && !successes.has_found(now));
        successes.record_filing("1", now);
        successes.record_lookup(now);
        assert!(successes.has_filed("1", now + HOUR) && !successes.has_filed("1", now + HOUR * 2));
        assert!(!successes.has_filed("2", now) && !successes.has_filed("1", now - HOUR));
        assert!(successes.has_found(now + HOUR / 6) && !successes.has_found(now + HOUR));
    }
}
