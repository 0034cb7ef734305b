//! The alarms, the dashboard, and the log lines and the runbook that they stand on.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::document::{Template, sources, text};

/// The alarms: the end of each name, which the runbook uses, and its properties.
fn alarms(template: &Template) -> Vec<(String, &str, &Value)> {
    let alarms = template.of_type("AWS::CloudWatch::Alarm").into_iter();
    let named = alarms.map(|(id, alarm)| {
        let name = alarm["AlarmName"]["Fn::Sub"].as_str().expect("a name");
        (name.strip_prefix("${AWS::StackName}-").expect("the stack's name first").to_owned(), id, alarm)
    });
    named.collect()
}

#[test]
fn every_alarm_has_a_section_in_the_runbook_and_the_reverse() {
    let template = Template::read();
    let alarms: BTreeSet<_> = alarms(&template).into_iter().map(|(name, ..)| name).collect();
    let runbook = text("infra/RUNBOOK.md");
    let headings = runbook.lines().filter_map(|line| line.strip_prefix("### Alarm `")?.strip_suffix('`'));
    assert_eq!(alarms, headings.map(str::to_owned).collect());
}

#[test]
fn every_alarm_calls_somebody_and_is_on_the_dashboard() {
    let template = Template::read();
    let body = template.properties("Dashboard")["DashboardBody"]["Fn::Sub"].as_str().expect("a body").to_owned();
    for (name, id, alarm) in alarms(&template) {
        let topic = json!([{"Fn::If": ["OwnTopic", {"Ref": "AlarmTopic"}, {"Ref": "AlarmTopicArn"}]}]);
        assert_eq!((&alarm["AlarmActions"], &alarm["OKActions"]), (&topic, &topic), "{name}");
        assert!(alarm["AlarmDescription"].is_string(), "{name}");
        assert!(body.contains(&format!("${{{id}.Arn}}")), "{name} is not on the dashboard");
    }
}

#[test]
fn a_day_without_fetch_is_noticed_after_26_hours() {
    let template = Template::read();
    let alarm = template.properties("FetchMissingAlarm");
    let period = alarm["Period"].as_u64().expect("a period");
    // A run that fails has a minimum of 1 error, a run that succeeds of 0, and no run at all is as bad as one that fails.
    assert_eq!((&alarm["MetricName"], &alarm["Statistic"]), (&json!("Errors"), &json!("Minimum")));
    assert_eq!(
        (&alarm["Threshold"], &alarm["ComparisonOperator"]),
        (&json!(1), &json!("GreaterThanOrEqualToThreshold"))
    );
    assert_eq!(period * alarm["EvaluationPeriods"].as_u64().expect("periods"), 26 * 3600);
    assert_eq!(alarm["TreatMissingData"], "breaching");
}

#[test]
fn the_dashboard_is_json_and_its_widgets_do_not_overlap() {
    let template = Template::read();
    let body = template.properties("Dashboard")["DashboardBody"]["Fn::Sub"].as_str().expect("a body").to_owned();
    let body: Value = serde_json::from_str(&body).expect("the body is JSON whatever the names are");
    let widgets = body["widgets"].as_array().expect("widgets");
    let side = |widget: &Value, name: &str| widget[name].as_u64().expect("a number");
    let mut taken = BTreeSet::new();
    for widget in widgets {
        let (x, y) = (side(widget, "x"), side(widget, "y"));
        assert!(x + side(widget, "width") <= 24, "{widget}");
        for column in x..x + side(widget, "width") {
            for row in y..y + side(widget, "height") {
                assert!(taken.insert((column, row)), "overlaps: {}", widget["properties"]["title"]);
            }
        }
    }
}

/// What a pattern such as `{ $.message = "rendered" && $.bytes >= 0 }` asks for: members and values.
fn terms(pattern: &str) -> Vec<(String, String)> {
    let terms = pattern.trim_matches(['{', '}', ' ']).split(" && ");
    let term = |term: &str| {
        let mut words = term.strip_prefix("$.").expect("a member").splitn(3, ' ');
        let (member, value) = (words.next(), words.nth(1));
        (member.expect("a member").to_owned(), value.expect("a value").trim_matches('"').to_owned())
    };
    terms.map(term).collect()
}

#[test]
fn every_metric_counts_what_the_functions_really_log() {
    let template = Template::read();
    let code: String = [sources("functions"), sources("shared")].concat().into_iter().map(|(_, text)| text).collect();
    let namespace = json!({"Fn::Sub": "WhatsAppArchiver/${AWS::StackName}"});
    let mut metrics = BTreeSet::new();
    for (id, filter) in template.of_type("AWS::Logs::MetricFilter") {
        let pattern =
            filter["FilterPattern"].as_str().or(filter["FilterPattern"]["Fn::Sub"].as_str()).expect("a pattern");
        for (member, value) in terms(pattern) {
            if member == "message" {
                let logged = ["info!(", "warn!("].iter().any(|call| {
                    code.split(call)
                        .skip(1)
                        .filter_map(|rest| rest.split(");").next())
                        .any(|line| line.contains(&format!("\"{value}\"")))
                });
                assert!(logged, "{id}: nothing logs {value:?}");
            } else if member != "level" {
                let written = ["info!(", "warn!(", "error!("].iter().any(|call| {
                    code.split(call)
                        .skip(1)
                        .filter_map(|rest| rest.split(");").next())
                        .any(|line| line.contains(&member))
                });
                assert!(written, "{id}: nothing logs a member {member}");
            }
        }
        let transformation = &filter["MetricTransformations"][0];
        assert_eq!(transformation["MetricNamespace"], namespace, "{id}");
        metrics.insert(transformation["MetricName"].as_str().expect("a name"));
    }
    let dashboard = template.properties("Dashboard")["DashboardBody"]["Fn::Sub"].as_str().expect("a body");
    let alarms = alarms(&template);
    for metric in metrics {
        let shown = dashboard.contains(&format!("\"{metric}\"")) || dashboard.contains(&format!("\\\"{metric}\\\""));
        let watched = alarms.iter().any(|(_, _, alarm)| alarm["MetricName"] == metric);
        assert!(shown || watched, "{metric} is neither shown nor watched");
    }
    for (name, _, alarm) in &alarms {
        if alarm["Namespace"] == namespace {
            let metric = alarm["MetricName"].as_str().expect("a metric");
            let made = template
                .of_type("AWS::Logs::MetricFilter")
                .iter()
                .any(|(_, filter)| filter["MetricTransformations"][0]["MetricName"] == metric);
            assert!(made, "{name} watches {metric}, which nothing counts");
        }
    }
}
