//! Checks that the queues move messages that fail too often to the dead-letter queue, and that it accepts them.

use aws::SdkConfig;
use aws_sdk_sqs::{Client, types::QueueAttributeName};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    finding::Finding,
    remedies::{NOT_LOCAL, RECREATE},
};
use crate::{
    commands::dead_letters::DeadLetterQueue,
    connection::{Connection, Part},
};

/// The template's limit of receives of a message.
const MAX_RECEIVES: u32 = 300;

/// Attributes of a queue.
struct Queue {
    arn: String,
    redrive: Option<Redrive>,
    allow: Option<Allow>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Redrive {
    dead_letter_target_arn: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Allow {
    redrive_permission: String,
    #[serde(default)]
    source_queue_arns: Vec<String>,
}

/// Checks the queues. Also returns the ARNs of the task queues that SQS returned: of convert, of import, and of receive
/// if the deployment receives webhooks.
pub(super) async fn check(connection: &Connection) -> (Vec<Finding>, Vec<Option<String>>) {
    let client = Client::new(&connection.config);
    let urls = &connection.queues;
    let mut findings = Vec::new();
    let dead_letters = match queue_attributes(&client, &urls.dead_letters).await {
        Ok(queue) => queue,
        Err(problem) => {
            return (
                vec![not_readable("dead-letter queue", &problem)],
                vec![None; 2 + usize::from(urls.receive.is_some())],
            );
        }
    };
    let task_queues = [("convert queue", &urls.convert), ("import queue", &urls.import)].into_iter();
    let task_queues: Vec<_> = task_queues.chain(urls.receive.as_ref().map(|url| ("receive queue", url))).collect();
    let mut arns = vec![None; task_queues.len()];
    for ((check, url), arn) in task_queues.into_iter().zip(&mut arns) {
        let queue = match queue_attributes(&client, url).await {
            Ok(queue) => queue,
            Err(problem) => {
                findings.push(not_readable(check, &problem));
                continue;
            }
        };
        let wired = queue.redrive.is_some_and(|redrive| redrive.dead_letter_target_arn == dead_letters.arn);
        findings.push(if wired {
            Finding::ok(check, "messages that fail too often are moved to the dead-letter queue")
        } else {
            Finding::not_ok(
                check,
                "messages that fail too often are not moved to the dead-letter queue, and are lost when they expire",
                set(
                    url,
                    "RedrivePolicy",
                    &json!({"deadLetterTargetArn": dead_letters.arn, "maxReceiveCount": MAX_RECEIVES}),
                ),
            )
        });
        *arn = Some(queue.arn);
    }
    let check = "dead-letter queue";
    if connection.one_machine_root().is_some() {
        findings.push(Finding::skipped(check, NOT_LOCAL));
        return (findings, arns);
    }
    let sources: Vec<_> = arns.iter().flatten().collect();
    let policy = json!({"redrivePermission": "byQueue", "sourceQueueArns": sources});
    let remedy = set(&urls.dead_letters, "RedriveAllowPolicy", &policy);
    findings.push(match &dead_letters.allow {
        None => Finding::warning(check, "it accepts dead letters of every queue in the account", remedy),
        Some(allow) if allow.redrive_permission == "allowAll" => {
            Finding::warning(check, "it accepts dead letters of every queue in the account", remedy)
        }
        Some(allow) => {
            let accepts = |arn: &Option<String>| {
                arn.as_ref()
                    .is_none_or(|arn| allow.redrive_permission == "byQueue" && allow.source_queue_arns.contains(arn))
            };
            if arns.iter().all(accepts) {
                let count = if arns.len() == 2 { "two" } else { "three" };
                Finding::ok(check, format!("it accepts dead letters of these {count} queues only"))
            } else {
                let more = if arns.len() == 2 { "" } else { ", or of receive's" };
                let detail = format!("it does not accept the dead letters of convert's and import's queue{more}");
                Finding::not_ok(check, detail, remedy)
            }
        }
    });
    (findings, arns)
}

/// Returns the ARN of a queue, if SQS returns it.
pub(super) async fn arn(config: &SdkConfig, url: &str) -> Option<String> {
    queue_attributes(&Client::new(config), url).await.ok().map(|queue| queue.arn)
}

/// Checks that no notification waits in the queue of those that SNS could not deliver. `None` without that queue.
pub(super) async fn undelivered(connection: &Connection) -> Option<Finding> {
    const CHECK: &str = "undelivered webhooks";
    let url = connection.part(Part::ReceiveUndelivered).ok()?;
    Some(match DeadLetterQueue::of(connection).depth(url).await {
        Ok([0, 0, 0]) => {
            Finding::ok(CHECK, "no webhook of AWS waits in the queue for those that SNS could not deliver")
        }
        Ok(counts) => Finding::not_ok(
            CHECK,
            format!(
                "{} webhooks of AWS could not be delivered to the receive queue; SQS deletes them after 14 days",
                counts.iter().sum::<u64>()
            ),
            "correct the policy or the key of the receive queue, then send them to it: runbook, alarm receive-undelivered",
        ),
        Err(error) => Finding::not_ok(
            CHECK,
            error.to_string(),
            format!("allow these credentials sqs:GetQueueAttributes on the queue; {RECREATE}"),
        ),
    })
}

async fn queue_attributes(client: &Client, url: &str) -> Result<Queue, String> {
    let names =
        [QueueAttributeName::QueueArn, QueueAttributeName::RedrivePolicy, QueueAttributeName::RedriveAllowPolicy];
    let response = client.get_queue_attributes().queue_url(url).set_attribute_names(Some(names.into())).send().await;
    let response = response.map_err(|error| aws::classify(&error).problem)?;
    let attributes = response.attributes.unwrap_or_default();
    let attribute = |name| attributes.get(&name).map(String::as_str);
    Ok(Queue {
        arn: attribute(QueueAttributeName::QueueArn).unwrap_or_default().to_owned(),
        redrive: attribute(QueueAttributeName::RedrivePolicy).and_then(|text| serde_json::from_str(text).ok()),
        allow: attribute(QueueAttributeName::RedriveAllowPolicy).and_then(|text| serde_json::from_str(text).ok()),
    })
}

/// Returns the command that sets one attribute of a queue.
fn set(url: &str, name: &str, policy: &Value) -> String {
    let attributes = json!({name: policy.to_string()});
    format!("aws sqs set-queue-attributes --queue-url {url} --attributes '{attributes}'")
}

fn not_readable(check: &'static str, problem: &str) -> Finding {
    Finding::not_ok(
        check,
        format!("reading the attributes from SQS failed: {problem}"),
        format!("allow these credentials sqs:GetQueueAttributes on the queue; {RECREATE}"),
    )
}
