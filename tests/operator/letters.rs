//! Letters that no function wrote: what SQS moved by itself, and what nobody can read.

use aws_sdk_sqs::Client;
use serde_json::json;

use crate::{
    stack::{FROM, NAME, Stack, TO},
    transcript::assert_transcript,
};

async fn send(stack: &Stack, body: &str) -> String {
    let sqs = Client::new(stack.cloud.config());
    let url = sqs.get_queue_url().queue_name(format!("{NAME}-dead-letters")).send().await.unwrap().queue_url.unwrap();
    sqs.send_message().queue_url(url).message_body(body).send().await.unwrap().message_id.unwrap()
}

#[tokio::test]
async fn a_letter_that_no_function_wrote_is_counted_by_one_name_and_can_be_chosen() {
    let stack = Stack::start().await;
    let line = json!({"item": "WA-1", "archived_time": "2026-11-21T07:00:00Z"}).to_string();
    stack.put_run(&line).await;
    // As SQS leaves a task that nobody could work on: no outcome says anything of it.
    let task = json!({"v": 1, "run": "20261121T080000Z-daily-0badcafe", "item": "WA-1",
                      "archived_time": "2026-11-21T07:00:00Z"});
    send(&stack, &task.to_string()).await;
    let reconcile = ["reconcile", "--stack", NAME, "--from", FROM, "--to", TO];
    assert_transcript("reconcile-retries-exhausted", &stack.run(&reconcile).await);
    assert_transcript("reconcile-retries-exhausted-json", &stack.run(&[&reconcile[..], &["--json"]].concat()).await);

    let strange = send(&stack, "hello").await;
    let discard = ["dead-letters", "discard", "--stack", NAME, "--item", strange.as_str(), "--yes-discard", "1"];
    let discarded = stack.run(&discard).await.replace(&strange, "[ID]");
    assert_transcript("discard-by-message-id", &discarded);
    let left = stack.run(&["dead-letters", "list", "--stack", NAME, "--json"]).await;
    assert!(left.contains("WA-1") && !left.contains(&strange), "{left}");
}
