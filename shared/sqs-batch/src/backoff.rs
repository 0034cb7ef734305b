//! Calculates the delay of a failed record before its retry.

use std::time::Duration;

use model::Sha256;

use crate::Record;

/// Delays that double from `base` to `cap` with each delivery. Each is varied by up to a quarter, so that records that
/// failed together are not retried together.
///
/// With the defaults (5 s and 15 min) the first 8 waits sum up to at most 21 minutes, and each later wait is about 15
/// minutes: an outage of an hour takes at most 13 receives, and a queue with 300 receives, as in the template, keeps
/// the message for at least 55 hours.
///
/// SQS deletes a message 14 days after it was sent, and a dead-letter queue counts from the same moment. Therefore a
/// requested wait counts only up to [`MAX_REQUESTED`](Self::MAX_REQUESTED): 300 such waits and a function's 15 minutes
/// are 9.4 days, and the dead letter that SQS makes then has 4.6 days left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The wait after the first delivery.
    pub base: Duration,
    /// The maximum wait.
    pub cap: Duration,
}

impl Backoff {
    /// The maximum wait in a deployed function.
    pub const CAP: Duration = Duration::from_secs(15 * 60);

    /// Upper bound of a `Retry-After` that is obeyed.
    pub const MAX_REQUESTED: Duration = Duration::from_secs(30 * 60);

    /// Returns the delay of a record that fails now: at least the `requested` delay (a `Retry-After`), up to
    /// [`MAX_REQUESTED`](Self::MAX_REQUESTED).
    pub fn wait(&self, record: &Record, requested: Option<Duration>) -> Duration {
        let doubled = 2_u32.saturating_pow(record.receive_count.saturating_sub(1).min(20));
        let wait = self.base.saturating_mul(doubled).min(self.cap);
        // The variation depends on the message id, not on a random number: one delivery always has the same delay.
        let seed = Sha256::of(format!("{} {}", record.message_id, record.receive_count).as_bytes());
        let spread = wait.mul_f64(f64::from(seed.as_bytes()[0]) / 255.0 / 4.0);
        (wait - spread).max(requested.unwrap_or_default().min(Self::MAX_REQUESTED))
    }
}

#[cfg(test)]
mod tests {
    use aws_lambda_events::event::sqs::SqsMessage;

    use super::*;

    fn delivered(times: u32) -> Record {
        let mut message = SqsMessage::default();
        message.message_id = Some("m".into());
        message.receipt_handle = Some("r".into());
        message.attributes.insert("ApproximateReceiveCount".into(), times.to_string());
        Record::read(message).unwrap()
    }

    #[test]
    fn waits_grow_to_the_cap_and_obey_a_retry_after() {
        let backoff = Backoff { base: Duration::from_secs(5), cap: Backoff::CAP };
        let waits: Vec<_> = (1..=300).map(|times| backoff.wait(&delivered(times), None)).collect();
        assert!(waits[0] <= Duration::from_secs(5) && waits[0] >= Duration::from_millis(3750));
        assert!(waits.iter().all(|wait| *wait <= Backoff::CAP));
        let hours = waits.iter().sum::<Duration>().as_secs() / 3600;
        assert!(hours >= 55, "300 deliveries outlast {hours} hours");
        let an_hour = Duration::from_secs(3600);
        let within = (1..).find(|receives| waits.iter().take(*receives).sum::<Duration>() > an_hour);
        assert!(within.is_some_and(|receives| receives <= 13), "{within:?} receives in an hour");
        assert_eq!(backoff.wait(&delivered(1), Some(Duration::from_secs(1200))), Duration::from_secs(1200));
        assert_eq!(backoff.wait(&delivered(u32::MAX), None).max(Backoff::CAP), Backoff::CAP);
    }

    /// The template's limits: 300 receives, each by a function of at most 15 minutes, and 14 days of retention.
    #[test]
    fn sqs_dead_letters_a_message_days_before_it_deletes_it() {
        let backoff = Backoff { base: Duration::from_secs(5), cap: Backoff::CAP };
        let longest = Duration::from_secs(15 * 60);
        let kept = |times| backoff.wait(&delivered(times), Some(Duration::from_secs(24 * 3600))) + longest;
        let days = (1..=300).map(kept).sum::<Duration>().as_secs_f64() / 86_400.0;
        assert!(days < 10.0, "{days} days");
    }
}
