//! Checks the triggers of the functions (event source mappings and schedule) and the time of the last run.

use jiff::{SignedDuration, Timestamp};

use super::{finding::Finding, remedies::RECREATE};
use crate::{
    commands::status::{ago, cursor},
    connection::{Connection, Part},
    functions::{self, Functions},
};

/// Maximum age of the last run; the alarm `fetch-missing` uses the same limit.
const MAX_RUN_AGE: SignedDuration = SignedDuration::from_hours(26);

/// Event source mapping of a function, as the template configures it.
pub(super) struct Trigger {
    pub(super) check: &'static str,
    pub(super) part: Part,
    /// The template's default limit of concurrent batches.
    default_concurrency: i32,
    /// Above this limit another system is overloaded.
    max_concurrency_advised: Option<i32>,
}

/// Triggers of convert, import and receive, in the order of their queues. A batch of import sends one request at a time per mailbox, and Graph accepts 4 concurrent
/// ones.
pub(super) const TRIGGERS: [Trigger; 3] = [
    Trigger { check: "convert's trigger", part: Part::Convert, default_concurrency: 4, max_concurrency_advised: None },
    Trigger { check: "import's trigger", part: Part::Import, default_concurrency: 4, max_concurrency_advised: Some(4) },
    Trigger { check: "receive's trigger", part: Part::Receive, default_concurrency: 4, max_concurrency_advised: None },
];

/// Checks that a function receives the messages of the queue with this ARN.
pub(super) async fn mapping(trigger: &Trigger, functions: &Functions, name: &str, queue: Option<&str>) -> Finding {
    let Trigger { check, default_concurrency, .. } = *trigger;
    let mappings = match functions.mappings(name).await {
        Ok(mappings) => mappings,
        Err(error) => {
            return Finding::not_ok(check, error.to_string(), "allow these credentials lambda:ListEventSourceMappings");
        }
    };
    let uuid = format!(
        "aws lambda list-event-source-mappings --function-name {name} --query 'EventSourceMappings[].UUID' --output text"
    );
    let Some(mapping) = mappings.iter().find(|mapping| queue.is_none_or(|queue| mapping.source == queue)) else {
        return Finding::not_ok(
            check,
            format!("{name} receives no messages from its queue: items wait there, for 14 days at most"),
            format!(
                "aws lambda create-event-source-mapping --function-name {name} --event-source-arn {} --batch-size 10 \
                 --function-response-types ReportBatchItemFailures --scaling-config MaximumConcurrency={default_concurrency}\n\
                 This mapping is not managed by the stack: `make deploy` does not apply later changes in samconfig.toml to it",
                queue.unwrap_or("<the queue's ARN>")
            ),
        );
    };
    match mapping.state.as_str() {
        "Enabled" | "Enabling" if mapping.reports_failures => {
            concurrency_finding(trigger, name, mapping.max_concurrency, &uuid)
        }
        "Enabled" | "Enabling" => Finding::not_ok(
            check,
            format!(
                "the event source of {name} does not report failures individually: failed messages would be deleted"
            ),
            format!(
                "{uuid}\naws lambda update-event-source-mapping --function-response-types ReportBatchItemFailures --uuid \
                 <that one>"
            ),
        ),
        state => Finding::not_ok(
            check,
            format!("the event source of {name} is {state}: items wait on the queue, for 14 days at most"),
            format!("{uuid}\naws lambda update-event-source-mapping --enabled --uuid <that one>"),
        ),
    }
}

/// Checks the limit of concurrent batches.
fn concurrency_finding(trigger: &Trigger, name: &str, max_concurrency: Option<i32>, uuid: &str) -> Finding {
    let Trigger { check, default_concurrency, max_concurrency_advised, .. } = *trigger;
    match (max_concurrency, max_concurrency_advised) {
        (None, _) => Finding::warning(
            check,
            format!("{name} receives its queue's messages, without a limit of concurrent batches"),
            format!(
                "{uuid}\naws lambda update-event-source-mapping --scaling-config MaximumConcurrency={default_concurrency} --uuid <that one>"
            ),
        ),
        (Some(concurrency), Some(max_concurrency_advised)) if concurrency > max_concurrency_advised => {
            Finding::warning(
                check,
                format!(
                    "{name} receives up to {concurrency} concurrent batches, and Graph accepts {max_concurrency_advised} concurrent requests per mailbox"
                ),
                format!(
                    "ImportConcurrency={max_concurrency_advised} in samconfig.toml, then `make deploy`; keep the value if an IMAP server supports more"
                ),
            )
        }
        (Some(concurrency), _) => {
            Finding::ok(check, format!("{name} receives its queue's messages, up to {concurrency} concurrent batches"))
        }
    }
}

/// Checks the schedule. Returns whether it is enabled, too.
pub(super) async fn schedule(connection: &Connection, name: &str) -> (Finding, bool) {
    const CHECK: &str = "schedule";
    let schedule = match functions::schedule(&connection.config, name).await {
        Ok(schedule) => schedule,
        Err(problem) => {
            let remedy = format!("allow these credentials scheduler:GetSchedule; {RECREATE}");
            return (Finding::not_ok(CHECK, format!("{name}: {problem}"), remedy), false);
        }
    };
    if schedule.is_enabled {
        return (Finding::ok(CHECK, format!("{name} starts fetch, {}", schedule.expression)), true);
    }
    let remedy = "when all other checks are ok: set ScheduleState=ENABLED in samconfig.toml, then `make deploy`; if it is ENABLED \
                  already, the schedule was disabled manually: enable it in EventBridge Scheduler";
    (Finding::warning(CHECK, format!("{name} is disabled: fetch is not started automatically"), remedy), false)
}

/// Checks the time of the last run. `scheduled`: whether the schedule is enabled.
pub(super) async fn last_run(connection: &Connection, scheduled: bool, now: Timestamp) -> Finding {
    const CHECK: &str = "last run";
    let cursor = match cursor(&connection.store).await {
        Ok(Some(cursor)) => cursor,
        Ok(None) => {
            return Finding::warning(
                CHECK,
                "fetch has not run yet",
                "test it with archiver backfill for a window of one hour, then enable the schedule",
            );
        }
        Err(error) => return Finding::not_ok(CHECK, format!("{error:#}"), "restore an earlier version of the object"),
    };
    let age = now.duration_since(cursor.archived_time);
    let seen =
        format!("everything before {:.0} is fetched ({} ago, run {})", cursor.archived_time, ago(age), cursor.run);
    if scheduled && age > MAX_RUN_AGE {
        Finding::not_ok(CHECK, seen, "check the alarms fetch-errors and schedule-failures, and the log of fetch")
    } else {
        Finding::ok(CHECK, seen)
    }
}
