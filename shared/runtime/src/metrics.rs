//! What the functions count, in CloudWatch's embedded metric format (EMF): a JSON line on standard output, out of which
//! CloudWatch makes metrics by itself. The lines are written whatever `LOG_LEVEL` is, and say how many, never who.
//!
//! The counts belong to the process, which works on one invocation at a time: [`add`] and [`dead_letter`] count from
//! wherever something happens, and [`write()`] ends the invocation with its lines. What is counted after that, by work
//! that was out of time, is in the next invocation's.
//!
//! Our own writer, since the crates there are bring a registry of names that are made while running; here every name is
//! a value of [`Metric`], so that a test can hold them against the template.

use std::{
    io::{self, Write},
    sync::atomic::{AtomicU64, Ordering},
};

use jiff::Timestamp;
use model::Reason;
use serde_json::{Map, Value, json};

/// CloudWatch's namespace of every metric.
pub const NAMESPACE: &str = "WhatsAppArchiver";

/// The dimension that says which function, and so of which stack: Lambda's name of it.
pub const FUNCTION: &str = "Function";

/// The second dimension of [`DEAD_LETTERED`].
pub const REASON: &str = "Reason";

/// The metric of dead letters, which has a line of its own for each reason.
pub const DEAD_LETTERED: &str = "DeadLettered";

macro_rules! metrics {
    ($($variant:ident in $unit:literal, $doc:literal;)*) => {
        /// What is counted.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Metric {
            $(#[doc = $doc] $variant,)*
        }

        impl Metric {
            /// Every metric but [`DEAD_LETTERED`].
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// CloudWatch's name of it.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => stringify!($variant),)*
                }
            }

            /// CloudWatch's word for its unit.
            pub fn unit(self) -> &'static str {
                match self {
                    $(Self::$variant => $unit,)*
                }
            }
        }
    };
}

metrics! {
    Listed in "Count", "Ids that the source listed.";
    Queued in "Count", "Ids that SQS confirmed on the convert queue.";
    Incomplete in "Count", "Runs of the timer that ended before they had listed all that was there.";
    ClockSkew in "Count", "Runs that found the source's clock minutes away from the function's.";
    CursorLost in "Count", "Runs of the timer that found no cursor although earlier runs had one.";
    DeliveryIncidents in "Count", "Deliveries of a vendor with a mail that is missing or cannot be read, each time that a run lists them.";
    Converted in "Count", "Items that were rendered, again after a failure included.";
    Bytes in "Bytes", "Bytes of the rendered messages.";
    Imported in "Count", "Copies that were filed in a mailbox.";
    Skipped in "Count", "Copies that were not filed because the mailbox has them already.";
    MailboxThrottles in "Count", "Answers of the mail system that there were too many requests (429).";
    WithoutMessageClass in "Count", "Copies that were filed without the message class, because the mail system rejects it.";
    MailboxMissing in "Count", "Participants that are expected to have a mailbox and have none, at each check.";
    LookupRejected in "Count", "Participants whose lookup the mail system rejected, at each check.";
    CredentialExpires in "Count", "Tokens that were requested with a certificate or client secret that expires within 30 days.";
    UserMapRefused in "Count", "Times that the user map was read and could not be followed.";
    Webhooks in "Count", "Webhooks that were kept, by both doors.";
    WebhooksRejected in "Count", "Webhooks whose signature or header does not match the secret.";
    CaptureStopped in "Count", "Events by which WhatsApp says that nothing is captured any more from a number.";
    Stuck in "Count", "Failures of messages that had failed often before.";
    SetupErrors in "Count", "Failures that only an operator can mend.";
}

static COUNTS: [AtomicU64; Metric::ALL.len()] = [const { AtomicU64::new(0) }; Metric::ALL.len()];
static DEAD_LETTERS: [AtomicU64; Reason::ALL.len()] = [const { AtomicU64::new(0) }; Reason::ALL.len()];

/// Counts so many more.
pub fn add(metric: Metric, count: u64) {
    // In the order of their declaration, as `ALL` is.
    COUNTS[metric as usize].fetch_add(count, Ordering::Relaxed);
}

/// What was counted since the last [`write()`].
pub fn counted(metric: Metric) -> u64 {
    COUNTS[metric as usize].load(Ordering::Relaxed)
}

/// Counts one dead letter more.
pub fn dead_letter(reason: Reason) {
    DEAD_LETTERS[reason as usize].fetch_add(1, Ordering::Relaxed);
}

/// Writes on standard output what was counted since the last time, and begins at 0 again: a line with each of `metrics`,
/// the zeros too, so that the dashboard tells nothing to do from nothing heard; and a line for each reason of dead
/// letters that occurred.
///
/// # Errors
/// When standard output cannot be written.
pub fn write(function: &str, metrics: impl IntoIterator<Item = Metric>) -> io::Result<()> {
    let counts = metrics.into_iter().map(|metric| (metric, COUNTS[metric as usize].swap(0, Ordering::Relaxed)));
    let letters = Reason::ALL.iter().map(|reason| (*reason, DEAD_LETTERS[*reason as usize].swap(0, Ordering::Relaxed)));
    let lines = lines(function, Timestamp::now(), counts.collect(), letters.collect());
    // At once, so that no line of the log comes between.
    let mut out = io::stdout().lock();
    out.write_all(lines.as_bytes())?;
    out.flush()
}

fn lines(function: &str, at: Timestamp, counts: Vec<(Metric, u64)>, letters: Vec<(Reason, u64)>) -> String {
    let named = counts.iter().map(|(metric, _)| json!({"Name": metric.as_str(), "Unit": metric.unit()})).collect();
    let values = counts.iter().map(|(metric, count)| (metric.as_str(), json!(count)));
    let first = line(at, &[(FUNCTION, function)], named, values);
    let occurred = letters.into_iter().filter(|(_, count)| *count > 0).map(|(reason, count)| {
        let named = vec![json!({"Name": DEAD_LETTERED, "Unit": "Count"})];
        line(at, &[(FUNCTION, function), (REASON, reason.as_str())], named, [(DEAD_LETTERED, json!(count))])
    });
    [first].into_iter().chain(occurred).collect()
}

fn line<'a>(
    at: Timestamp,
    dimensions: &[(&str, &str)],
    metrics: Vec<Value>,
    values: impl IntoIterator<Item = (&'a str, Value)>,
) -> String {
    let names: Vec<_> = dimensions.iter().map(|(name, _)| *name).collect();
    let directive = json!({"Namespace": NAMESPACE, "Dimensions": [names], "Metrics": metrics});
    let mut members = Map::new();
    members.insert("_aws".to_owned(), json!({"Timestamp": at.as_millisecond(), "CloudWatchMetrics": [directive]}));
    members.extend(dimensions.iter().map(|(name, value)| ((*name).to_owned(), json!(value))));
    members.extend(values.into_iter().map(|(name, value)| (name.to_owned(), value)));
    format!("{}\n", Value::Object(members))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_what_cloudwatch_reads_and_each_reason_has_its_own() {
        let at = "2026-11-22T07:00:00Z".parse().unwrap();
        let counts = vec![(Metric::Imported, 3), (Metric::Skipped, 0)];
        let letters = vec![(Reason::Unmapped, 2), (Reason::Oversize, 0)];
        let lines = lines("archiver-import", at, counts, letters);
        let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let aws = |dimensions: Value, metrics: Value| {
            json!({"Timestamp": 1_795_330_800_000_u64, "CloudWatchMetrics":
                [{"Namespace": "WhatsAppArchiver", "Dimensions": [dimensions], "Metrics": metrics}]})
        };
        let counts = aws(
            json!(["Function"]),
            json!([{"Name": "Imported", "Unit": "Count"}, {"Name": "Skipped", "Unit": "Count"}]),
        );
        let letters = aws(json!(["Function", "Reason"]), json!([{"Name": "DeadLettered", "Unit": "Count"}]));
        assert_eq!(
            lines,
            [
                json!({"_aws": counts, "Function": "archiver-import", "Imported": 3, "Skipped": 0}),
                json!({"_aws": letters, "Function": "archiver-import", "Reason": "unmapped", "DeadLettered": 2}),
            ]
        );
    }

    #[test]
    fn every_metric_and_every_reason_has_a_place_of_its_own() {
        for (place, metric) in Metric::ALL.iter().enumerate() {
            assert_eq!(*metric as usize, place);
        }
        for (place, reason) in Reason::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, place);
        }
    }
}
