//! The alarms and the dashboard, compared with the metrics and the runbook.

use std::collections::BTreeSet;

use runtime::metrics::Metric;
use serde_json::{Value, json};
use sqs_batch::Work;

use crate::{
    code::read_product_code,
    conditions::Parameters,
    document::{Template, read_text},
};

/// Returns each alarm: its name without the stack's name, as in the runbook, its logical id, and its properties.
fn alarms(template: &Template) -> Vec<(String, &str, &Value)> {
    let alarms = template.resources_of_type("AWS::CloudWatch::Alarm").into_iter();
    let named = alarms.map(|(id, alarm)| {
        let name = alarm["AlarmName"]["Fn::Sub"].as_str().expect("no name");
        (
            name.strip_prefix("${AWS::StackName}-").expect("the name does not begin with the stack's name").to_owned(),
            id,
            alarm,
        )
    });
    named.collect()
}

/// Parameters of a deployment that receives webhooks and therefore has every alarm and widget.
const WITH_WEBHOOKS: &Parameters<'_> = &[("Source", "cloud-api"), ("SocialTopicArn", "arn:aws:sns:eu-west-1:1:t")];

/// Returns the dashboard's body for the parameters of a deployment.
fn dashboard(template: &Template, parameters: &Parameters<'_>) -> String {
    let body = template.evaluate(&template.properties("Dashboard")["DashboardBody"], parameters);
    let Some([Value::String(text), Value::Object(parts)]) = body["Fn::Sub"].as_array().map(Vec::as_slice) else {
        panic!("Fn::Sub has no text and variables: {body}")
    };
    parts.iter().fold(text.clone(), |text, (name, part)| {
        let part = part.as_str().or_else(|| part["Fn::Sub"].as_str()).expect("the part has no text");
        text.replace(&format!("${{{name}}}"), part)
    })
}

/// Returns `true` if the alarm exists only in a deployment that receives webhooks.
fn is_for_webhooks(template: &Template, id: &str) -> bool {
    template.section("Resources")[id].get("Condition").is_some_and(|condition| condition == "FromWebhooks")
}

#[test]
fn alarms_match_the_runbook_sections() {
    let template = Template::read();
    let alarms: BTreeSet<_> = alarms(&template).into_iter().map(|(name, ..)| name).collect();
    let runbook = read_text("infra/runbook/alarms.md");
    let headings = runbook.lines().filter_map(|line| line.strip_prefix("### Alarm `")?.strip_suffix('`'));
    assert_eq!(alarms, headings.map(str::to_owned).collect());
}

#[test]
fn alarm_notifies_the_topic_and_is_on_the_dashboard() {
    let template = Template::read();
    let body = dashboard(&template, WITH_WEBHOOKS);
    for (name, id, alarm) in alarms(&template) {
        let topic = json!([{"Fn::If": ["OwnTopic", {"Ref": "AlarmTopic"}, {"Ref": "AlarmTopicArn"}]}]);
        assert_eq!(alarm["AlarmActions"], topic, "{name}");
        // An event is reported once, so its alarm returns to OK although the problem stays: a pager would close it.
        let reports_events = ["capture-stopped", "unrecognized-events", "loss-or-double"].contains(&name.as_str());
        assert_eq!(alarm.get("OKActions"), (!reports_events).then_some(&topic), "{name}");
        assert!(alarm["AlarmDescription"].is_string(), "{name}");
        assert!(body.contains(&format!("${{{id}.Arn}}")), "{name} is not on the dashboard");
    }
}

#[test]
fn missing_fetch_run_raises_an_alarm_after_26_hours() {
    let template = Template::read();
    let alarm = template.properties("FetchMissingAlarm");
    let period = alarm["Period"].as_u64().expect("no period");
    // A failed run has a minimum of 1 error, a successful run of 0, and a missing run counts as a failed one.
    assert_eq!((&alarm["MetricName"], &alarm["Statistic"]), (&json!("Errors"), &json!("Minimum")));
    assert_eq!((&alarm["Namespace"], &alarm["DatapointsToAlarm"]), (&json!("AWS/Lambda"), &alarm["EvaluationPeriods"]));
    assert_eq!(alarm["Dimensions"], json!([{"Name": "FunctionName", "Value": {"Ref": "FetchFunction"}}]));
    assert_eq!(
        (&alarm["Threshold"], &alarm["ComparisonOperator"]),
        (&json!(1), &json!("GreaterThanOrEqualToThreshold"))
    );
    assert_eq!(period * alarm["EvaluationPeriods"].as_u64().expect("no periods"), 26 * 3600);
    assert_eq!(alarm["TreatMissingData"], "breaching");
}

/// Each alarm is raised when its metric exceeds the threshold in each of the given periods. `fetch-missing`,
/// `nothing-listed` and `webhooks-missing` have their own tests.
#[test]
fn alarm_uses_its_own_metric_and_period() {
    const ERRORS: (&str, &str, &str) = ("AWS/Lambda", "FunctionName", "Errors");
    const THROTTLES: (&str, &str, &str) = ("AWS/Lambda", "FunctionName", "Throttles");
    const FAILED_REQUESTS: (&str, &str, &str) = ("AWS/Lambda", "FunctionName", "Url5xxCount");
    const VISIBLE: (&str, &str, &str) = ("AWS/SQS", "QueueName", "ApproximateNumberOfMessagesVisible");
    const SENT: (&str, &str, &str) = ("AWS/SQS", "QueueName", "NumberOfMessagesSent");
    const IN_FLIGHT: (&str, &str, &str) = ("AWS/SQS", "QueueName", "ApproximateNumberOfMessagesNotVisible");
    const AGE: (&str, &str, &str) = ("AWS/SQS", "QueueName", "ApproximateAgeOfOldestMessage");
    let own_metric = |metric: Metric| (runtime::metrics::NAMESPACE, runtime::metrics::FUNCTION, metric.as_str());
    // A waiting item is counted every 11 to 15 minutes, and dead letters arrive in bursts: with a shorter period the
    // alarm would change its state all the time.
    const ONE_LONG_PERIOD: (u64, u64) = (900, 1);
    const ONE_PERIOD: (u64, u64) = (300, 1);
    const THREE_PERIODS: (u64, u64) = (300, 3);
    const HOUR: u64 = 3600;
    let expected = [
        ("dead-letters", VISIBLE, "DeadLetterQueue", ONE_PERIOD, 0),
        ("new-dead-letters", SENT, "DeadLetterQueue", ONE_LONG_PERIOD, 0),
        ("dead-letters-expire", AGE, "DeadLetterQueue", ONE_PERIOD, 4 * 24 * HOUR),
        ("schedule-failures", VISIBLE, "ScheduleFailureQueue", ONE_PERIOD, 0),
        ("fetch-errors", ERRORS, "FetchFunction", ONE_PERIOD, 0),
        ("fetch-incomplete", own_metric(Metric::Incomplete), "FetchFunction", ONE_PERIOD, 0),
        ("fetch-clock", own_metric(Metric::ClockSkew), "FetchFunction", ONE_PERIOD, 0),
        ("cursor-lost", own_metric(Metric::CursorLost), "FetchFunction", ONE_PERIOD, 0),
        ("loss-or-double", own_metric(Metric::LossOrDouble), "FetchFunction", ONE_LONG_PERIOD, 0),
        ("delivery-incidents", own_metric(Metric::DeliveryIncidents), "FetchFunction", ONE_PERIOD, 0),
        ("receive-errors", ERRORS, "ReceiveFunction", ONE_PERIOD, 0),
        ("receive-throttles", THROTTLES, "ReceiveFunction", THREE_PERIODS, 0),
        ("receive-age", AGE, "ReceiveQueue", THREE_PERIODS, 6 * HOUR),
        ("receive-in-flight", IN_FLIGHT, "ReceiveQueue", ONE_PERIOD, 90_000),
        ("receive-stuck", own_metric(Metric::Stuck), "ReceiveFunction", ONE_LONG_PERIOD, 0),
        ("receive-setup", own_metric(Metric::SetupErrors), "ReceiveFunction", ONE_LONG_PERIOD, 0),
        ("receive-undelivered", VISIBLE, "ReceiveUndeliveredQueue", ONE_PERIOD, 0),
        // Anyone may send an invalid webhook, so a few of them are no failure.
        ("webhooks-rejected", own_metric(Metric::WebhooksRejected), "ReceiveFunction", (HOUR, 1), 10),
        // Few numbers have a webhook only now and then, and Meta repeats one at once, and then after longer and longer pauses:
        // there is not one in each of several short periods.
        ("webhooks-failed", FAILED_REQUESTS, "ReceiveFunction", (HOUR, 1), 1),
        ("capture-stopped", own_metric(Metric::CaptureStopped), "ReceiveFunction", ONE_LONG_PERIOD, 0),
        ("unrecognized-events", own_metric(Metric::UnrecognizedEvents), "ReceiveFunction", ONE_LONG_PERIOD, 0),
        ("convert-errors", ERRORS, "ConvertFunction", ONE_PERIOD, 0),
        ("import-errors", ERRORS, "ImportFunction", ONE_PERIOD, 0),
        ("fetch-throttles", THROTTLES, "FetchFunction", THREE_PERIODS, 0),
        ("convert-throttles", THROTTLES, "ConvertFunction", THREE_PERIODS, 0),
        ("import-throttles", THROTTLES, "ImportFunction", THREE_PERIODS, 0),
        ("convert-age", AGE, "ConvertQueue", THREE_PERIODS, 6 * HOUR),
        ("import-age", AGE, "ImportQueue", THREE_PERIODS, 6 * HOUR),
        ("convert-in-flight", IN_FLIGHT, "ConvertQueue", ONE_PERIOD, 90_000),
        ("import-in-flight", IN_FLIGHT, "ImportQueue", ONE_PERIOD, 90_000),
        ("convert-stuck", own_metric(Metric::Stuck), "ConvertFunction", ONE_LONG_PERIOD, 0),
        ("import-stuck", own_metric(Metric::Stuck), "ImportFunction", ONE_LONG_PERIOD, 0),
        ("convert-setup", own_metric(Metric::SetupErrors), "ConvertFunction", ONE_LONG_PERIOD, 0),
        ("import-setup", own_metric(Metric::SetupErrors), "ImportFunction", ONE_LONG_PERIOD, 0),
        ("mailbox-missing", own_metric(Metric::MailboxMissing), "ImportFunction", (HOUR, 2), 0),
        ("lookup-rejected", own_metric(Metric::LookupRejected), "ImportFunction", (HOUR, 2), 0),
        // Counted with each access token: at most once an hour, and only while items arrive.
        ("credential-expires", own_metric(Metric::CredentialExpires), "ImportFunction", (24 * HOUR, 1), 0),
        ("user-map-refused", own_metric(Metric::UserMapRefused), "ImportFunction", ONE_LONG_PERIOD, 0),
    ];
    let template = Template::read();
    let found = alarms(&template);
    assert_eq!(
        found.len(),
        expected.len() + 3,
        "the template has other alarms than the expected ones, fetch-missing, nothing-listed and webhooks-missing"
    );
    for (name, (namespace, dimension, metric), resource, (period, periods), threshold) in expected {
        let (_, id, alarm) =
            found.iter().find(|(found, ..)| found == name).unwrap_or_else(|| panic!("no alarm {name}"));
        assert_eq!(is_for_webhooks(&template, id), resource.starts_with("Receive"), "{name}");
        let dimension_value =
            &template.properties(resource)[if dimension == "QueueName" { "QueueName" } else { "FunctionName" }];
        assert!(dimension_value.is_object(), "{resource} has no name");
        // The size or age of a queue is compared by its maximum in a period; other metrics are summed up.
        let statistic = if metric.starts_with("Approximate") { "Maximum" } else { "Sum" };
        let properties = json!({
            "Namespace": namespace, "MetricName": metric, "Dimensions": [{"Name": dimension, "Value": dimension_value}],
            "Statistic": statistic, "Period": period, "EvaluationPeriods": periods, "Threshold": threshold,
            "ComparisonOperator": "GreaterThanThreshold", "TreatMissingData": "notBreaching",
        });
        for (property, value) in properties.as_object().expect("no properties") {
            assert_eq!(alarm[property], *value, "{name}: {property}");
        }
        assert!(alarm.get("ActionsEnabled").is_none() && alarm.get("DatapointsToAlarm").is_none(), "{name}");
    }
}

#[test]
fn source_without_items_raises_an_alarm_after_days() {
    let template = Template::read();
    let alarm = template.properties("NothingListedAlarm");
    assert_eq!(template.section("Resources")["NothingListedAlarm"]["Condition"], "WatchesListing");
    assert_eq!(
        (&alarm["Namespace"], &alarm["MetricName"], &alarm["Statistic"]),
        (&json!(runtime::metrics::NAMESPACE), &json!(Metric::Listed.as_str()), &json!("Sum"))
    );
    let of_fetch = &template.properties("FetchFunction")["FunctionName"];
    assert_eq!(alarm["Dimensions"], json!([{"Name": runtime::metrics::FUNCTION, "Value": of_fetch}]));
    assert_eq!((&alarm["Threshold"], &alarm["ComparisonOperator"]), (&json!(1), &json!("LessThanThreshold")));
    // Days without a run neither raise nor end it.
    assert_eq!((&alarm["Period"], &alarm["TreatMissingData"]), (&json!(86_400), &json!("ignore")));
    let days = json!({"Ref": "NothingListedDays"});
    assert_eq!((&alarm["EvaluationPeriods"], &alarm["DatapointsToAlarm"]), (&days, &days));
    // CloudWatch evaluates at most 7 days.
    let parameter = &template.section("Parameters")["NothingListedDays"];
    assert_eq!((&parameter["MinValue"], &parameter["MaxValue"]), (&json!(0), &json!(7)));
    assert_eq!(parameter["Default"], 3, "the weekend of a source without items raises an alarm");
    let without = dashboard(&template, &[("NothingListedDays", "0")]);
    assert!(!without.contains("NothingListed"), "the dashboard refers to an alarm that does not exist");
}

#[test]
fn day_without_webhooks_raises_an_alarm() {
    let template = Template::read();
    let alarm = template.properties("WebhooksMissingAlarm");
    assert!(is_for_webhooks(&template, "WebhooksMissingAlarm"));
    // Missing data must raise the alarm too: without requests the function does not run and writes no metric.
    assert_eq!((&alarm["MetricName"], &alarm["Statistic"]), (&json!(Metric::Webhooks.as_str()), &json!("Sum")));
    assert_eq!((&alarm["Threshold"], &alarm["ComparisonOperator"]), (&json!(1), &json!("LessThanThreshold")));
    assert_eq!((&alarm["TreatMissingData"], &alarm["DatapointsToAlarm"]), (&json!("breaching"), &json!(24)));
    assert_eq!((&alarm["Period"], &alarm["EvaluationPeriods"]), (&json!(3600), &json!(24)));
}

/// CloudFormation rejects a template that refers to a resource that it does not create.
#[test]
fn dashboard_without_webhooks_refers_to_no_webhook_resource() {
    let template = Template::read();
    let body = dashboard(&template, &[]);
    for (id, resource) in template.section("Resources") {
        let is_optional = ["FromWebhooks", "ByWebhookUrl", "ByTopic"].iter().any(|name| resource["Condition"] == *name);
        assert!(!is_optional || !body.contains(&format!("${{{id}")), "the dashboard refers to {id}");
    }
    assert!(
        serde_json::from_str::<Value>(&body).is_ok() && dashboard(&template, WITH_WEBHOOKS).contains("${ReceiveLogs}")
    );
}

/// An engineer on call finds the same parts in the same order in the section of every alarm.
#[test]
fn runbook_alarm_sections_have_the_same_parts() {
    let runbook = read_text("infra/runbook/alarms.md");
    for section in runbook.split("### Alarm `").skip(1) {
        let (name, body) = section.split_once("`\n").expect("no heading");
        let parts = ["**Meaning.** ", "**Impact.** ", "**Diagnose.** ", "**Fix.** ", "**Verify.** "];
        let positions: Vec<_> =
            parts.iter().map(|part| body.find(part).unwrap_or_else(|| panic!("{name}: no {part}"))).collect();
        assert!(positions.is_sorted(), "{name}: wrong order of the parts");
        for part in parts {
            assert_eq!(body.matches(part).count(), 1, "{name}: {part}");
        }
        let lower = body.to_lowercase();
        assert!(
            !["the same for", "as above", "as below"].iter().any(|words| lower.contains(words)),
            "{name} refers to another section"
        );
    }
}

#[test]
fn dashboard_counts_the_dead_letters_of_every_stage() {
    let template = Template::read();
    for (parameters, stages) in [
        (&[][..], &["ConvertFunction", "ImportFunction"][..]),
        (WITH_WEBHOOKS, &["ConvertFunction", "ImportFunction", "ReceiveFunction"]),
    ] {
        let functions: Vec<_> = stages.iter().map(|stage| format!("\\\"${{{stage}}}\\\"")).collect();
        let search = format!("Function=({})", functions.join(" OR "));
        assert!(dashboard(&template, parameters).contains(&search), "{search}");
    }
}

/// Dashboard names are global: with the same name, deployments in two regions would overwrite each other's.
#[test]
fn dashboard_name_includes_the_region() {
    let template = Template::read();
    assert_eq!(
        template.properties("Dashboard")["DashboardName"],
        json!({"Fn::Sub": "${AWS::StackName}-${AWS::Region}"})
    );
}

#[test]
fn dashboard_is_json_without_overlapping_widgets() {
    let template = Template::read();
    let body = dashboard(&template, WITH_WEBHOOKS);
    let body: Value = serde_json::from_str(&body).expect("the body is not JSON");
    let widgets = body["widgets"].as_array().expect("no widgets");
    let number = |widget: &Value, name: &str| widget[name].as_u64().expect("not a number");
    let mut occupied = BTreeSet::new();
    for widget in widgets {
        let (x, y) = (number(widget, "x"), number(widget, "y"));
        assert!(x + number(widget, "width") <= 24, "too wide: {widget}");
        for column in x..x + number(widget, "width") {
            for row in y..y + number(widget, "height") {
                assert!(occupied.insert((column, row)), "overlaps: {}", widget["properties"]["title"]);
            }
        }
    }
}

/// Collects the product's metrics in an alarm or a widget, each with its function.
fn collect_own_metrics(value: &Value, found: &mut BTreeSet<(String, String)>) {
    match value {
        Value::Object(members) => {
            if members.get("Namespace") == Some(&json!(runtime::metrics::NAMESPACE)) {
                let dimension = &value["Dimensions"][0];
                assert_eq!(
                    (&dimension["Name"], &value["Dimensions"][1]),
                    (&json!(runtime::metrics::FUNCTION), &Value::Null)
                );
                let name =
                    dimension["Value"]["Fn::Sub"].as_str().and_then(|name| name.strip_prefix("${AWS::StackName}-"));
                let (Some(function), Some(metric)) = (name, value["MetricName"].as_str()) else {
                    panic!("not a metric of a function: {value}")
                };
                found.insert((function.to_owned(), metric.to_owned()));
            }
            members.values().for_each(|value| collect_own_metrics(value, found));
        }
        Value::Array(values) => {
            if let [Value::String(namespace), Value::String(metric), Value::String(name), Value::String(function), ..] =
                values.as_slice()
                && namespace == runtime::metrics::NAMESPACE
            {
                assert_eq!(name, runtime::metrics::FUNCTION, "{metric}");
                let function = function.trim_start_matches("${").trim_end_matches("Function}").to_lowercase();
                found.insert((function, metric.to_owned()));
            }
            values.iter().for_each(|value| collect_own_metrics(value, found));
        }
        _ => {}
    }
}

#[test]
fn metrics_match_the_dashboard_and_alarms() {
    let template = Template::read();
    let written_by = |binary: &str| -> Vec<Metric> {
        let metrics = match binary {
            "fetch" => return fetch::METRICS.to_vec(),
            "convert" => convert::Convert::METRICS,
            "import" => import::Import::METRICS,
            "receive" => receive::METRICS,
            other => panic!("unknown function {other}: add its metrics to this test"),
        };
        [metrics, sqs_batch::METRICS].concat()
    };
    let mut written = BTreeSet::new();
    let mut counted = Vec::new();
    for (binary, ..) in template.functions() {
        counted.extend(written_by(binary));
        written.extend(written_by(binary).into_iter().map(|metric| (binary.to_owned(), metric.as_str().to_owned())));
    }
    for metric in Metric::ALL {
        assert!(counted.contains(metric), "no function writes {metric:?}");
    }
    let body = dashboard(&template, WITH_WEBHOOKS);
    let mut read = BTreeSet::new();
    collect_own_metrics(&serde_json::from_str(&body).expect("the text is not JSON"), &mut read);
    alarms(&template).into_iter().for_each(|(_, _, alarm)| collect_own_metrics(alarm, &mut read));
    assert_eq!(written, read);

    // Dead letters are found by a search expression, because a reason has no data before its first dead letter.
    let (namespace, function, reason, name) = (
        runtime::metrics::NAMESPACE,
        runtime::metrics::FUNCTION,
        runtime::metrics::REASON,
        runtime::metrics::DEAD_LETTERED,
    );
    let search = format!("SEARCH('{{{namespace},{function},{reason}}} MetricName=\\\"{name}\\\"");
    assert!(body.contains(&search), "{search}");
}

/// The runbook's estimate of the costs depends on the number of alarms and metrics.
#[test]
fn runbook_costs_count_all_alarms_and_metrics() {
    let template = Template::read();
    let counted = |for_webhooks: bool| {
        let body = dashboard(&template, if for_webhooks { WITH_WEBHOOKS } else { &[] });
        let mut metrics = BTreeSet::new();
        collect_own_metrics(&serde_json::from_str(&body).expect("the text is not JSON"), &mut metrics);
        let alarms = alarms(&template);
        let alarms: Vec<_> =
            alarms.into_iter().filter(|(_, id, _)| for_webhooks || !is_for_webhooks(&template, id)).collect();
        alarms.iter().for_each(|(_, _, alarm)| collect_own_metrics(alarm, &mut metrics));
        (alarms.len(), metrics.len())
    };
    let ((alarms, metrics), with_webhooks) = (counted(false), counted(true));
    let more = format!("{} alarms and {} metrics more", with_webhooks.0 - alarms, with_webhooks.1 - metrics);
    let runbook = read_text("infra/runbook/operate.md");
    for words in [format!("Fixed: {alarms} alarms "), format!(" {metrics} metrics and "), more] {
        assert!(runbook.contains(&words), "the runbook does not say {words:?}");
    }
}

/// A metric that no code counts would never be written, although it is in the list of a function.
#[test]
fn metric_is_counted_in_the_code() {
    let code: String = read_product_code().into_values().collect();
    for metric in Metric::ALL {
        assert!(code.contains(&format!("metrics::add(Metric::{},", metric.as_str())), "nothing counts {metric:?}");
    }
}
