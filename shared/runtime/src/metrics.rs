//! The metrics of the functions in CloudWatch's embedded metric format (EMF): a JSON line on standard output, from
//! which CloudWatch extracts the metrics. The lines are written at every `LOG_LEVEL`. They contain counts, never
//! identities.
//!
//! The counts belong to the process, which handles one invocation at a time: [`add`] and [`dead_letter`] may be called
//! anywhere, and [`write()`] ends the invocation by writing its lines. Counts that arrive later, from work that ran
//! past its deadline, are part of the next invocation.
//!
//! An own writer, because the available crates use a registry whose names are created at run time; here every name is a
//! value of [`Metric`], so that a test can compare the metrics with the template.

use std::{
    io::{self, Write},
    sync::atomic::{AtomicU64, Ordering},
};

use jiff::Timestamp;
use model::Reason;
use serde_json::{Map, Value, json};

/// CloudWatch's namespace of all metrics.
pub const NAMESPACE: &str = "WhatsAppArchiver";

/// The dimension with the function's name in Lambda, which also identifies the stack.
pub const FUNCTION: &str = "Function";

/// The second dimension of [`DEAD_LETTERED`].
pub const REASON: &str = "Reason";

/// The metric of dead letters. It has one line per reason.
pub const DEAD_LETTERED: &str = "DeadLettered";

macro_rules! metrics {
    ($($variant:ident in $unit:literal, $doc:literal;)*) => {
        /// The counted events.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Metric {
            $(#[doc = $doc] $variant,)*
        }

        impl Metric {
            /// All metrics except [`DEAD_LETTERED`].
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// Returns the name in CloudWatch.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => stringify!($variant),)*
                }
            }

            /// Returns the unit in CloudWatch.
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
    Incomplete in "Count", "Scheduled runs that ended before they had listed everything.";
    ClockSkew in "Count", "Runs in which the clocks of the source and the function differ by minutes.";
    CursorLost in "Count", "Scheduled runs that found no cursor although earlier runs had one.";
    LossOrDouble in "Count", "Findings of fetch that items may be lost, or will be filed a second time.";
    DeliveryIncidents in "Count", "Deliveries of a vendor with a mail that is missing or unreadable, each time a run lists them.";
    Converted in "Count", "Items that were rendered, retries included.";
    Bytes in "Bytes", "Bytes of the rendered messages.";
    Imported in "Count", "Copies filed in a mailbox.";
    Skipped in "Count", "Copies not filed because the mailbox has them already.";
    MailboxThrottles in "Count", "Responses of the mail system with status 429 (too many requests).";
    WithoutMessageClass in "Count", "Copies filed without the message class, because the mail system rejects it.";
    MailboxMissing in "Count", "Expected participants without a mailbox, at each check.";
    LookupRejected in "Count", "Participants whose lookup the mail system rejected, at each check.";
    CredentialExpires in "Count", "Tokens that were requested with a certificate or client secret that expires within 30 days.";
    UserMapRefused in "Count", "Reads of a user map that was rejected.";
    Webhooks in "Count", "Webhooks that were stored, from Meta and from AWS.";
    WebhooksRejected in "Count", "Webhooks whose signature or header does not match the secret.";
    FileThrottles in "Count", "Responses of Meta or AWS that there were too many requests for files.";
    CaptureStopped in "Count", "Events by which WhatsApp says that nothing is captured any more from a number.";
    UnrecognizedEvents in "Count", "Values of webhooks that may contain messages and were not recognized.";
    Stuck in "Count", "Failures of messages that have failed many times.";
    SetupErrors in "Count", "Failures that only an operator can fix.";
}

static COUNTS: [AtomicU64; Metric::ALL.len()] = [const { AtomicU64::new(0) }; Metric::ALL.len()];
static DEAD_LETTERS: [AtomicU64; Reason::ALL.len()] = [const { AtomicU64::new(0) }; Reason::ALL.len()];

/// Adds to a metric.
pub fn add(metric: Metric, count: u64) {
    // `ALL` has the order of the declaration.
    COUNTS[metric as usize].fetch_add(count, Ordering::Relaxed);
}

/// Returns the count since the last [`write()`].
pub fn counted(metric: Metric) -> u64 {
    COUNTS[metric as usize].load(Ordering::Relaxed)
}

/// Counts one dead letter.
pub fn dead_letter(reason: Reason) {
    DEAD_LETTERS[reason as usize].fetch_add(1, Ordering::Relaxed);
}

/// Writes the counts since the last call to standard output and resets them: one line with each of `metrics`, zeros
/// included, so that the dashboard can tell "no events" from "no report"; and one line for each reason of dead letters
/// that occurred.
///
/// # Errors
/// Standard output cannot be written.
pub fn write(function: &str, metrics: impl IntoIterator<Item = Metric>) -> io::Result<()> {
    let counts = metrics.into_iter().map(|metric| (metric, COUNTS[metric as usize].swap(0, Ordering::Relaxed)));
    let dead_letters =
        Reason::ALL.iter().map(|reason| (*reason, DEAD_LETTERS[*reason as usize].swap(0, Ordering::Relaxed)));
    let lines = lines(function, Timestamp::now(), counts.collect(), dead_letters.collect());
    // One write, so that no line of the log is interleaved.
    let mut out = io::stdout().lock();
    out.write_all(lines.as_bytes())?;
    out.flush()
}

fn lines(function: &str, at: Timestamp, counts: Vec<(Metric, u64)>, dead_letters: Vec<(Reason, u64)>) -> String {
    let named = counts.iter().map(|(metric, _)| json!({"Name": metric.as_str(), "Unit": metric.unit()})).collect();
    let values = counts.iter().map(|(metric, count)| (metric.as_str(), json!(count)));
    let first = line(at, &[(FUNCTION, function)], named, values);
    let occurred = dead_letters.into_iter().filter(|(_, count)| *count > 0).map(|(reason, count)| {
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
    fn metrics_line_has_cloudwatchs_format() {
        let at = "2026-11-22T07:00:00Z".parse().unwrap();
        let counts = vec![(Metric::Imported, 3), (Metric::Skipped, 0)];
        let dead_letters = vec![(Reason::Unmapped, 2), (Reason::Oversize, 0)];
        let lines = lines("archiver-import", at, counts, dead_letters);
        let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let aws = |dimensions: Value, metrics: Value| {
            json!({"Timestamp": 1_795_330_800_000_u64, "CloudWatchMetrics":
                [{"Namespace": "WhatsAppArchiver", "Dimensions": [dimensions], "Metrics": metrics}]})
        };
        let counts = aws(
            json!(["Function"]),
            json!([{"Name": "Imported", "Unit": "Count"}, {"Name": "Skipped", "Unit": "Count"}]),
        );
        let by_reason = aws(json!(["Function", "Reason"]), json!([{"Name": "DeadLettered", "Unit": "Count"}]));
        assert_eq!(
            lines,
            [
                json!({"_aws": counts, "Function": "archiver-import", "Imported": 3, "Skipped": 0}),
                json!({"_aws": by_reason, "Function": "archiver-import", "Reason": "unmapped", "DeadLettered": 2}),
            ]
        );
    }

    #[test]
    fn metrics_and_reasons_are_counted_separately() {
        for (place, metric) in Metric::ALL.iter().enumerate() {
            assert_eq!(*metric as usize, place);
        }
        for (place, reason) in Reason::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, place);
        }
    }
}
