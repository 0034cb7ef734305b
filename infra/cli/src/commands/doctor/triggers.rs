//! What starts the functions: the event source mappings and the schedule; and when fetch ran last.

use aws_sdk_scheduler::{
    Client,
    error::{DisplayErrorContext, ProvideErrorMetadata},
    types::ScheduleState,
};
use jiff::{SignedDuration, Timestamp};

use super::{GONE, finding::Finding};
use crate::{
    commands::status::{ago, cursor},
    connection::{Connection, Part},
    functions::Functions,
};

/// A run that is older calls an operator, by the alarm `fetch-missing` too.
const OLDEST_RUN: SignedDuration = SignedDuration::from_hours(26);

/// What hands a queue's messages to a function.
pub(super) struct Trigger {
    pub(super) check: &'static str,
    pub(super) part: Part,
    /// How many batches the template has it hand over at once, if nobody says otherwise.
    usual: i32,
    /// Above that somebody else is asked too much.
    most: Option<i32>,
}

/// convert's and import's. A batch of import makes one request at a time for one mailbox, and Graph takes 4 at once.
pub(super) const TRIGGERS: [Trigger; 2] = [
    Trigger { check: "convert's trigger", part: Part::Convert, usual: 4, most: None },
    Trigger { check: "import's trigger", part: Part::Import, usual: 4, most: Some(4) },
];

/// Whether a function is given the messages of its queue, whose ARN it is.
pub(super) async fn mapping(trigger: &Trigger, functions: &Functions, name: &str, queue: Option<&str>) -> Finding {
    let Trigger { check, usual, .. } = *trigger;
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
            format!("{name} is given no messages of its queue: items wait there, for 14 days at most"),
            format!(
                "aws lambda create-event-source-mapping --function-name {name} --event-source-arn {} --batch-size 10 \
                 --function-response-types ReportBatchItemFailures --scaling-config MaximumConcurrency={usual}\n\
                 This one is not the stack's: what samconfig.toml says of it later, `make deploy` does not change",
                queue.unwrap_or("<the queue's ARN>")
            ),
        );
    };
    match mapping.state.as_str() {
        "Enabled" | "Enabling" if mapping.reports_failures => bounded(trigger, name, mapping.most_at_once, &uuid),
        "Enabled" | "Enabling" => Finding::not_ok(
            check,
            format!("{name}'s event source does not take failures one by one: what fails would be deleted"),
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

/// Whether a function is not given too much at once.
fn bounded(trigger: &Trigger, name: &str, most_at_once: Option<i32>, uuid: &str) -> Finding {
    let Trigger { check, usual, most, .. } = *trigger;
    match (most_at_once, most) {
        (None, _) => Finding::warning(
            check,
            format!("{name} is given its queue's messages, and as many batches at once as Lambda likes"),
            format!(
                "{uuid}\naws lambda update-event-source-mapping --scaling-config MaximumConcurrency={usual} --uuid <that one>"
            ),
        ),
        (Some(at_once), Some(most)) if at_once > most => Finding::warning(
            check,
            format!(
                "{name} is given up to {at_once} batches at once, and Graph takes {most} requests at once for one mailbox"
            ),
            format!(
                "ImportConcurrency={most} in samconfig.toml, then `make deploy`; where a mail server by IMAP bears more, leave it"
            ),
        ),
        (Some(at_once), _) => {
            Finding::ok(check, format!("{name} is given its queue's messages, up to {at_once} batches at once"))
        }
    }
}

/// Whether fetch is started by itself.
pub(super) async fn schedule(connection: &Connection, name: &str) -> (Finding, bool) {
    const CHECK: &str = "schedule";
    let answer = match Client::new(&connection.config).get_schedule().name(name).send().await {
        Ok(answer) => answer,
        Err(error) => {
            let problem = error.code().map_or_else(|| DisplayErrorContext(&error).to_string(), str::to_owned);
            let remedy = format!("allow these credentials scheduler:GetSchedule; {GONE}");
            return (Finding::not_ok(CHECK, format!("{name}: {problem}"), remedy), false);
        }
    };
    let expression = answer.schedule_expression.unwrap_or_default();
    if answer.state == Some(ScheduleState::Enabled) {
        return (Finding::ok(CHECK, format!("{name} starts fetch, {expression}")), true);
    }
    let remedy = "when everything else is ok: ScheduleState=ENABLED in samconfig.toml, then `make deploy`; where it says ENABLED \
                  already, somebody has switched it off by hand: switch it on in EventBridge Scheduler";
    (Finding::warning(CHECK, format!("{name} is switched off: nothing is fetched by itself"), remedy), false)
}

/// When fetch ran last. `scheduled`: it is started by itself.
pub(super) async fn last_run(connection: &Connection, scheduled: bool, now: Timestamp) -> Finding {
    const CHECK: &str = "last run";
    let cursor = match cursor(&connection.store).await {
        Ok(Some(cursor)) => cursor,
        Ok(None) => {
            return Finding::warning(
                CHECK,
                "fetch has not run yet",
                "try it: archiver backfill, for a window of an hour; then switch the schedule on",
            );
        }
        Err(error) => return Finding::not_ok(CHECK, format!("{error:#}"), "restore an earlier version of the object"),
    };
    let age = now.duration_since(cursor.archived_time);
    let seen =
        format!("everything before {:.0} is fetched ({} ago, run {})", cursor.archived_time, ago(age), cursor.run);
    if scheduled && age > OLDEST_RUN {
        Finding::not_ok(CHECK, seen, "look at the alarms fetch-errors and schedule-failures, and at the log of fetch")
    } else {
        Finding::ok(CHECK, seen)
    }
}
