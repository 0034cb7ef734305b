//! How long a failed record waits.

use std::time::Duration;

use item::Sha256;

use crate::Record;

/// Waits that double from `base` to `cap` with each delivery, spread by up to a quarter so that records that failed
/// together do not come back together.
///
/// With the defaults (5 s and 15 min) the first 8 waits sum up to 21 minutes at most, and every later one is about a
/// quarter of an hour: an hour's outage takes at most 13 receives, and a queue that gives a message out 300 times, as the
/// template's do, keeps it through 55 hours at least.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The wait after the first delivery.
    pub base: Duration,
    /// The longest wait.
    pub cap: Duration,
}

impl Backoff {
    /// The longest wait of a deployed function.
    pub const CAP: Duration = Duration::from_secs(15 * 60);

    /// The wait of a record that fails now; never shorter than what somebody `asked` for (a Retry-After).
    pub fn wait(&self, record: &Record, asked: Option<Duration>) -> Duration {
        let doubled = 2_u32.saturating_pow(record.receive_count.saturating_sub(1).min(20));
        let wait = self.base.saturating_mul(doubled).min(self.cap);
        // Spread by the message, not by chance: the same delivery always waits the same time.
        let seed = Sha256::of(format!("{} {}", record.message_id, record.receive_count).as_bytes());
        let spread = wait.mul_f64(f64::from(seed.as_bytes()[0]) / 255.0 / 4.0);
        (wait - spread).max(asked.unwrap_or_default())
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
        assert_eq!(backoff.wait(&delivered(1), Some(Duration::from_secs(3600))), Duration::from_secs(3600));
        assert_eq!(backoff.wait(&delivered(u32::MAX), None).max(Backoff::CAP), Backoff::CAP);
    }
}
