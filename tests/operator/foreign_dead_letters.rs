//! Dead letters that were not sent by a function: tasks that SQS moved, and unreadable messages.

use aws_sdk_sqs::Client;
use serde_json::json;

use crate::{
    stack::{FROM, NAME, Stack, TO},
    transcript::assert_transcript,
};

/// Sends a message to the dead-letter queue and returns its id.
async fn send_dead_letter(stack: &Stack, body: &str) -> String {
    let sqs = Client::new(stack.cloud.config());
    let url = sqs.get_queue_url().queue_name(format!("{NAME}-dead-letters")).send().await.unwrap().queue_url.unwrap();
    sqs.send_message().queue_url(url).message_body(body).send().await.unwrap().message_id.unwrap()
}

#[tokio::test]
async fn foreign_dead_letter_is_counted_and_can_be_selected() {
    let stack = Stack::start().await;
    let line = json!({"item": "WA-1", "archived_time": "2026-11-21T07:00:00Z"}).to_string();
    stack.put_run(&line).await;
    // A task that SQS moved: it has no outcome.
    let task = json!({"v": 1, "run": "20261121T080000Z-daily-0badcafe", "item": "WA-1",
                      "archived_time": "2026-11-21T07:00:00Z"});
    send_dead_letter(&stack, &task.to_string()).await;
    let reconcile = ["reconcile", "--stack", NAME, "--from", FROM, "--to", TO];
    assert_transcript("reconcile-retries-exhausted", &stack.run(&reconcile).await);
    assert_transcript("reconcile-retries-exhausted-json", &stack.run(&[&reconcile[..], &["--json"]].concat()).await);

    let foreign = send_dead_letter(&stack, "hello").await;
    let discard = ["dead-letters", "discard", "--stack", NAME, "--item", foreign.as_str(), "--yes-discard", "1"];
    let discarded = stack.run(&discard).await.replace(&foreign, "[ID]");
    assert_transcript("discard-by-message-id", &discarded);
    let left = stack.run(&["dead-letters", "list", "--stack", NAME, "--json"]).await;
    assert!(left.contains("WA-1") && !left.contains(&foreign), "{left}");
}
