//! The queues: what fails too often goes to the dead-letter queue, which takes it.

use aws_sdk_sqs::{
    Client,
    error::{DisplayErrorContext, ProvideErrorMetadata},
    types::QueueAttributeName,
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{GONE, NOT_LOCAL, finding::Finding};
use crate::connection::Connection;

/// How often the template lets a message be received.
const MAX_RECEIVES: u32 = 300;

/// What a queue says of itself.
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

/// The three queues' wiring, and the ARNs of convert's and import's where they were told.
pub(super) async fn wired(connection: &Connection) -> (Vec<Finding>, [Option<String>; 2]) {
    let client = Client::new(&connection.config);
    let urls = &connection.queues;
    let mut findings = Vec::new();
    let dead_letters = match ask(&client, &urls.dead_letters).await {
        Ok(queue) => queue,
        Err(problem) => {
            return (vec![refused("dead-letter queue", &problem)], [None, None]);
        }
    };
    let mut arns = [None, None];
    for ((check, url), arn) in
        [("convert queue", &urls.convert), ("import queue", &urls.import)].into_iter().zip(&mut arns)
    {
        let queue = match ask(&client, url).await {
            Ok(queue) => queue,
            Err(problem) => {
                findings.push(refused(check, &problem));
                continue;
            }
        };
        let wired = queue.redrive.is_some_and(|redrive| redrive.dead_letter_target_arn == dead_letters.arn);
        findings.push(if wired {
            Finding::ok(check, "what fails too often goes to the dead-letter queue")
        } else {
            Finding::not_ok(
                check,
                "what fails too often does not go to the dead-letter queue, and is lost in time",
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
        findings.push(Finding::skipped(check, format!("who may send to it: {NOT_LOCAL}")));
        return (findings, arns);
    }
    let sources: Vec<_> = arns.iter().flatten().collect();
    let policy = json!({"redrivePermission": "byQueue", "sourceQueueArns": sources});
    let remedy = set(&urls.dead_letters, "RedriveAllowPolicy", &policy);
    findings.push(match &dead_letters.allow {
        None => Finding::warning(check, "it takes the dead letters of any queue of the account", remedy),
        Some(allow) if allow.redrive_permission == "allowAll" => {
            Finding::warning(check, "it takes the dead letters of any queue of the account", remedy)
        }
        Some(allow) => {
            let takes = |arn: &Option<String>| {
                arn.as_ref()
                    .is_none_or(|arn| allow.redrive_permission == "byQueue" && allow.source_queue_arns.contains(arn))
            };
            if arns.iter().all(takes) {
                Finding::ok(check, "it takes those of these two queues only")
            } else {
                Finding::not_ok(check, "it does not take the dead letters of convert's and import's queue", remedy)
            }
        }
    });
    (findings, arns)
}

async fn ask(client: &Client, url: &str) -> Result<Queue, String> {
    let names =
        [QueueAttributeName::QueueArn, QueueAttributeName::RedrivePolicy, QueueAttributeName::RedriveAllowPolicy];
    let asked = client.get_queue_attributes().queue_url(url).set_attribute_names(Some(names.into())).send().await;
    let answer =
        asked.map_err(|error| error.code().map_or_else(|| DisplayErrorContext(&error).to_string(), str::to_owned))?;
    let attributes = answer.attributes.unwrap_or_default();
    let attribute = |name| attributes.get(&name).map(String::as_str);
    Ok(Queue {
        arn: attribute(QueueAttributeName::QueueArn).unwrap_or_default().to_owned(),
        redrive: attribute(QueueAttributeName::RedrivePolicy).and_then(|text| serde_json::from_str(text).ok()),
        allow: attribute(QueueAttributeName::RedriveAllowPolicy).and_then(|text| serde_json::from_str(text).ok()),
    })
}

/// The command that sets one attribute of a queue.
fn set(url: &str, name: &str, policy: &Value) -> String {
    let attributes = json!({name: policy.to_string()});
    format!("aws sqs set-queue-attributes --queue-url {url} --attributes '{attributes}'")
}

fn refused(check: &'static str, problem: &str) -> Finding {
    Finding::not_ok(
        check,
        format!("SQS does not tell: {problem}"),
        format!("allow these credentials sqs:GetQueueAttributes on it; {GONE}"),
    )
}
