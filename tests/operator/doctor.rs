//! `archiver doctor`: breaks each part of a healthy deployment once, and compares the findings that change.

use aws_sdk_lambda::types::{FunctionResponseType, ScalingConfig};
use aws_sdk_s3::types::{BucketVersioningStatus, VersioningConfiguration};
use aws_sdk_scheduler::types::{FlexibleTimeWindow, FlexibleTimeWindowMode, ScheduleState, Target};
use aws_sdk_sqs::types::QueueAttributeName;
use graph_fake::{Fault, Kind, On, Refusal};
use jiff::SignedDuration;
use model::keys;
use serde_json::json;

use crate::{
    stack::{ADA, NAME, Stack},
    transcript::assert_transcript,
};

const DOCTOR: [&str; 5] = ["doctor", "--stack", NAME, "--mailbox", ADA];

/// Returns the lines that differ from those of the healthy deployment, and the exit code.
fn changed_lines(healthy: &str, now: &str) -> String {
    let healthy: Vec<_> = healthy.lines().collect();
    let lines = now.lines().filter(|line| line.starts_with("exit code") || !healthy.contains(line));
    lines.collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn doctor_reports_each_broken_part_in_its_own_finding() {
    let stack = Stack::start().await;
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(r"before \S+Z is fetched", "before [TIME] is fetched");
    let _guard = settings.bind_to_scope();
    let healthy = stack.run(&DOCTOR).await;
    assert_transcript("doctor", &healthy);
    let check = async |name: &str| {
        assert_transcript(&format!("doctor-{name}"), &changed_lines(&healthy, &stack.run(&DOCTOR).await));
    };
    let config = stack.cloud.config();

    stack.put_secret("wa-archive", &json!({"username": "to be filled in", "password": "x"})).await;
    check("archive-not-filled-in").await;
    stack.put_secret("wa-archive", &json!({"username": "connector", "password": "wrong"})).await;
    check("archive-wrong-password").await;
    stack.fill_in_secrets().await;
    stack.put_secret("wa-graph", &json!({"secret": "x"})).await;
    check("graph-shape").await;
    stack.put_secret("wa-graph", &json!({"client_secret": "wrong"})).await;
    check("graph-wrong-secret").await;
    stack.fill_in_secrets().await;

    stack.graph.set_roles(&[]);
    check("permission-missing").await;
    stack.graph.set_roles(&["User.Read.All", "Mail.ReadWrite", "Directory.Read.All"]);
    check("permission-excessive").await;
    stack.graph.set_roles(&["Directory.Read.All"]);
    check("permission-another").await;
    stack.graph.set_roles(&["User.Read.All"]);
    stack.graph.fault(On::kind(Kind::FolderSearch), Fault::Refuse(Refusal::new(403, "ErrorAccessDenied")));
    check("mailbox-out-of-scope").await;
    stack.graph.clear_faults();
    let missing = stack.run(&["doctor", "--stack", NAME, "--mailbox", "nobody@example.com"]).await;
    assert_transcript("doctor-mailbox-missing", &changed_lines(&healthy, &missing));

    stack.put(keys::USER_MAP, "Mobile number,E-mail address\n+4520123456,ada\n").await;
    check("user-map").await;
    stack.put(keys::USER_MAP, "Mobile number,E-mail address\n+4520123456,ada@example.com\n").await;
    stack.put(keys::USER_MAP_RECORD, r#"{"v":1,"numbers":20}"#).await;
    check("user-map-shrunk").await;
    stack.put(keys::USER_MAP_RECORD, r#"{"v":1,"numbers":1}"#).await;

    break_queues(&stack, &check).await;
    break_triggers(&stack, &check).await;

    let s3 = aws_sdk_s3::Client::new(config);
    let set_versioning = async |status| {
        let versioning = VersioningConfiguration::builder().status(status).build();
        s3.put_bucket_versioning().bucket(&stack.bucket).versioning_configuration(versioning).send().await.unwrap();
    };
    set_versioning(BucketVersioningStatus::Suspended).await;
    s3.delete_public_access_block().bucket(&stack.bucket).send().await.unwrap();
    check("bucket").await;

    // The JSON output has the same findings.
    let json = stack.run(&["doctor", "--stack", NAME, "--json"]).await;
    let json: serde_json::Value = serde_json::from_str(json.lines().nth(1).unwrap()).unwrap();
    assert_eq!(json["ok"], false);
    let versioned = json["findings"].as_array().unwrap().iter().find(|finding| finding["check"] == "bucket versioned");
    assert_eq!(versioned.unwrap()["verdict"], "not-ok");
}

/// Breaks the settings of the queues one after another, and repairs each.
async fn break_queues(stack: &Stack, check: &impl AsyncFn(&str)) {
    let sqs = aws_sdk_sqs::Client::new(stack.cloud.config());
    let url = async |name: &str| {
        sqs.get_queue_url().queue_name(format!("{NAME}-{name}")).send().await.unwrap().queue_url.unwrap()
    };
    let (convert, dead_letters) = (url("convert").await, url("dead-letters").await);
    let attribute = async |url: &str, name: QueueAttributeName| {
        let response = sqs.get_queue_attributes().queue_url(url).attribute_names(name.clone()).send().await.unwrap();
        response.attributes.unwrap().remove(&name).unwrap()
    };
    let set = async |url: &str, name: QueueAttributeName, value: &str| {
        sqs.set_queue_attributes().queue_url(url).attributes(name, value).send().await.unwrap();
    };
    let redrive_policy = attribute(&convert, QueueAttributeName::RedrivePolicy).await;
    set(&convert, QueueAttributeName::RedrivePolicy, "").await;
    check("queue-without-redrive").await;
    set(&convert, QueueAttributeName::RedrivePolicy, &redrive_policy).await;
    let allow_policy = attribute(&dead_letters, QueueAttributeName::RedriveAllowPolicy).await;
    set(&dead_letters, QueueAttributeName::RedriveAllowPolicy, r#"{"redrivePermission":"denyAll"}"#).await;
    check("dead-letters-refused").await;
    set(&dead_letters, QueueAttributeName::RedriveAllowPolicy, &allow_policy).await;
}

/// Breaks the triggers, settings and schedule of the functions one after another.
async fn break_triggers(stack: &Stack, check: &impl AsyncFn(&str)) {
    let lambda = aws_sdk_lambda::Client::new(stack.cloud.config());
    let import = format!("{NAME}-import");
    let mappings = lambda.list_event_source_mappings().function_name(&import).send().await.unwrap();
    let mapping = mappings.event_source_mappings.unwrap().remove(0).uuid.unwrap();
    lambda.update_event_source_mapping().uuid(&mapping).enabled(false).send().await.unwrap();
    check("trigger-disabled").await;
    lambda.update_event_source_mapping().uuid(&mapping).enabled(true).send().await.unwrap();
    let limit_concurrency = async |limit: Option<i32>| {
        let scaling = ScalingConfig::builder().set_maximum_concurrency(limit).build();
        lambda.update_event_source_mapping().uuid(&mapping).scaling_config(scaling).send().await.unwrap();
    };
    limit_concurrency(Some(20)).await;
    check("trigger-too-concurrent").await;
    limit_concurrency(None).await;
    check("trigger-unbounded").await;
    limit_concurrency(Some(4)).await;
    let convert = format!("{NAME}-convert");
    let mappings = lambda.list_event_source_mappings().function_name(&convert).send().await.unwrap();
    let deleted = mappings.event_source_mappings.unwrap().remove(0);
    lambda.delete_event_source_mapping().uuid(deleted.uuid.unwrap()).send().await.unwrap();
    check("trigger-missing").await;
    let recreated = lambda
        .create_event_source_mapping()
        .function_name(&convert)
        .event_source_arn(deleted.event_source_arn.unwrap());
    let recreated = recreated.function_response_types(FunctionResponseType::ReportBatchItemFailures);
    let scaling = ScalingConfig::builder().maximum_concurrency(10).build();
    recreated.scaling_config(scaling).send().await.unwrap();

    let configured = lambda.get_function_configuration().function_name(&import).send().await.unwrap();
    let variables = configured.environment.unwrap().variables.unwrap();
    let set_mail_system = async |mailbox: &str| {
        let mut variables = variables.clone();
        variables.insert("MAILBOX".to_owned(), mailbox.to_owned());
        let environment = aws_sdk_lambda::types::Environment::builder().set_variables(Some(variables)).build();
        lambda.update_function_configuration().function_name(&import).environment(environment).send().await.unwrap();
    };
    set_mail_system("pigeon").await;
    check("settings").await;
    set_mail_system("graph").await;

    stack.put_cursor(SignedDuration::from_hours(24 * 3)).await;
    check("last-run").await;
    let schedule = aws_sdk_scheduler::Client::new(stack.cloud.config());
    let window = FlexibleTimeWindow::builder().mode(FlexibleTimeWindowMode::Off).build().unwrap();
    let target = Target::builder().arn("arn:aws:lambda:us-east-1:000000000000:function:wa-fetch");
    let target = target.role_arn("arn:aws:iam::000000000000:role/none").build().unwrap();
    let update = schedule.update_schedule().name(format!("{NAME}-fetch")).schedule_expression("rate(1 day)");
    update.flexible_time_window(window).target(target).state(ScheduleState::Disabled).send().await.unwrap();
    check("schedule-disabled").await;
}
