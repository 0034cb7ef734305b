//! Selection of a deployment, and the errors when it fails.

use serde_json::json;

use crate::{
    stack::{Stack, create_stack},
    transcript::{assert_transcript, run_archiver},
};

/// Invalid credentials. They are not used, because the errors are reported before.
const KEYS: [(&str, &str); 2] = [("AWS_ACCESS_KEY_ID", "operator"), ("AWS_SECRET_ACCESS_KEY", "operator")];

#[tokio::test]
async fn invalid_deployment_selection_is_reported_with_a_remedy() {
    let region = ("AWS_REGION", "eu-west-1");
    for (name, arguments, variables) in [
        ("no-deployment", &["status"][..], vec![]),
        (
            "incomplete-deployment",
            &["status"],
            vec![("BUCKET", "archive"), ("CONVERT_QUEUE_URL", "https://sqs.example")],
        ),
        ("two-deployments", &["status", "--stack", "wa", "--local"], vec![]),
        ("no-region", &["status", "--stack", "wa"], KEYS.to_vec()),
        ("no-credentials", &["status", "--stack", "wa"], vec![region]),
        ("no-one-machine-run", &["status", "--local=/nowhere"], vec![]),
        ("no-fetch-function", &["backfill", "--from", "2026-11-01", "--to", "2026-11-02"], {
            let queues = ["CONVERT_QUEUE_URL", "IMPORT_QUEUE_URL", "DEAD_LETTER_QUEUE_URL"];
            let queues = queues.map(|name| (name, "https://sqs.example"));
            [("BUCKET", "archive"), region].into_iter().chain(queues).chain(KEYS).collect()
        }),
    ] {
        assert_transcript(name, &run_archiver(arguments, &variables).await);
    }
}

#[tokio::test]
async fn stack_is_found_by_name_and_another_stack_is_rejected() {
    let stack = Stack::start().await;
    assert_transcript(
        "status",
        &stack.run(&["status", "--stack", "wa", "--json"]).await.replace(&read_cursor_time(&stack).await, "[TIME]"),
    );
    assert_transcript("no-stack", &stack.run(&["status", "--stack", "other"]).await);
    let other = json!({"Resources": {"Queue": {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": "q"}}}});
    create_stack(stack.cloud.config(), "other", &other).await;
    assert_transcript("another-stack", &stack.run(&["status", "--stack", "other"]).await);
    assert_transcript("no-dead-letters", &stack.run(&["dead-letters", "list", "--stack", "wa"]).await);
    assert_transcript("nothing-to-reconcile", &stack.run(&["reconcile", "--stack", "wa"]).await);
    // The country of numbers and the mapping rules are parameters of the stack.
    assert_transcript("resolved", &stack.run(&["mapping", "resolve", "--stack", "wa", "20 12 34 56"]).await);
    let resolve = ["mapping", "resolve", "--stack", "wa", "eve@example.com"];
    assert_transcript("resolved-by-the-stack", &stack.run(&resolve).await);
    let option = ["--automatic-mapping", "true"];
    assert_transcript("resolved-with-options", &stack.run(&[&resolve[..], &option].concat()).await);
}

/// Returns the archived time of the cursor.
async fn read_cursor_time(stack: &Stack) -> String {
    let store = aws::s3::Store::new(stack.cloud.config(), stack.bucket.clone());
    let object = store.get(model::keys::CURSOR, 4096).await.unwrap().unwrap();
    let cursor: serde_json::Value = serde_json::from_slice(&object.bytes).unwrap();
    cursor["archived_time"].as_str().unwrap().to_owned()
}
