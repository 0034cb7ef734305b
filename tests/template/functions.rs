//! The functions, their environment, and what triggers them.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    process::Command,
};

use archiver::connection::{MAPPING, parameter};
use mailbox::MailboxSettings;
use runtime::{LogLevel, Variables};
use serde_json::{Value, json};

use crate::document::{Template, list_folders, read_text, root};

/// Variables that only the one-machine run and the tests set: a function in AWS stores no files and finds Graph by
/// `GRAPH_CLOUD`, and waits for at least a minute for a copy whose response was lost.
const LOCAL_ONLY: &[&str] = &["GRAPH_LOGIN_URL", "GRAPH_URL", "MAILDIR", "SETTLE_SECONDS"];

/// Variable that the AWS SDK reads itself, so the functions do not declare it.
const FIPS: &str = "AWS_USE_FIPS_ENDPOINT";

/// Returns the variables that a function declares.
fn declared_variables(binary: &str) -> &'static [&'static str] {
    match binary {
        "fetch" => fetch::VARIABLES,
        "convert" => convert::VARIABLES,
        "import" => import::VARIABLES,
        "receive" => receive::VARIABLES,
        other => panic!("unknown function {other}: add its variables to this test"),
    }
}

/// Returns the function's own variables and those that all functions have, without the SDK's.
fn environment<'a>(template: &'a Template, properties: &'a Value) -> BTreeMap<&'a str, &'a Value> {
    let function_variables =
        properties["Environment"]["Variables"].as_object().expect("the function has no environment");
    let common = template.section("Globals")["Function"]["Environment"]["Variables"].as_object().expect("no variables");
    let common = common.iter().filter(|(name, _)| *name != FIPS);
    function_variables.iter().chain(common).map(|(name, value)| (name.as_str(), value)).collect()
}

/// Returns the binaries of the workspace, each with the manifest of its crate.
fn read_binaries() -> BTreeSet<(PathBuf, String)> {
    let metadata = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(root())
        .output()
        .expect("cargo does not start");
    let metadata: Value = serde_json::from_slice(&metadata.stdout).expect("cargo metadata is not JSON");
    let mut found = BTreeSet::new();
    for package in metadata["packages"].as_array().expect("no packages") {
        let manifest = package["manifest_path"].as_str().expect("no manifest");
        let targets = package["targets"].as_array().expect("no targets").iter();
        let binaries = targets.filter(|target| target["kind"] == json!(["bin"]));
        found.extend(binaries.filter_map(|target| Some((manifest.into(), target["name"].as_str()?.to_owned()))));
    }
    found
}

#[test]
fn every_function_folder_is_deployed_and_nothing_else() {
    let template = Template::read();
    let mut deployed: Vec<_> = template.functions().into_iter().map(|(binary, ..)| binary.to_owned()).collect();
    deployed.sort();
    assert_eq!(deployed, list_folders("functions"));
    let binaries = read_binaries();
    for (binary, id, properties) in template.functions() {
        // `sam deploy` packages what `make build` built; with a build method, `sam build` would build something else.
        assert!(template.section("Resources")[id].get("Metadata").is_none(), "{binary}");
        assert_eq!(properties["CodeUri"], format!("target/lambda/{binary}"));
        assert_eq!(properties["FunctionName"], json!({"Fn::Sub": format!("${{AWS::StackName}}-{binary}")}));
        let manifest = root().canonicalize().expect("no folder").join(format!("functions/{binary}/Cargo.toml"));
        assert!(binaries.contains(&(manifest, binary.to_owned())), "functions/{binary} builds no {binary}");
    }
    let global = &template.section("Globals")["Function"];
    assert_eq!(global["Handler"], "bootstrap");
    assert_eq!(global["Runtime"], "provided.al2023");
}

/// Without this line cargo-lambda would disable unwinding, and the panic of one record would end the whole batch.
#[test]
fn deployed_profile_unwinds_on_panic() {
    let manifest = read_text("Cargo.toml");
    let (_, profile) = manifest.split_once("[profile.release]\n").expect("no build profile for the deployed binary");
    let profile = profile.split("\n[").next().unwrap_or_default();
    assert!(profile.lines().any(|line| line == "panic = \"unwind\""), "{profile}");
}

/// The `archiver` command reads the stack's parameters and assumes that import has the same values.
#[test]
fn command_and_import_use_the_same_user_map_settings() {
    let template = Template::read();
    let (_, _, properties) =
        template.functions().into_iter().find(|(binary, ..)| *binary == "import").expect("no function import");
    for variable in MAPPING {
        let parameter = parameter(variable);
        assert_eq!(environment(&template, properties)[variable], &json!({"Ref": parameter}));
        assert!(template.section("Parameters")[&parameter].is_object(), "{parameter} is not a parameter");
    }
}

#[test]
fn function_variables_match_the_template() {
    let template = Template::read();
    for (binary, _, properties) in template.functions() {
        let set: BTreeSet<_> = environment(&template, properties).into_keys().collect();
        let read: BTreeSet<_> =
            declared_variables(binary).iter().copied().filter(|name| !LOCAL_ONLY.contains(name)).collect();
        assert_eq!(set, read, "{binary}");
    }
}

/// Otherwise fetch would record a window as fetched whose entries were deleted by age.
#[test]
fn fetch_knows_how_long_the_source_keeps_entries() {
    let template = Template::read();
    let days = &template.properties("FetchFunction")["Environment"]["Variables"]["SOURCE_DAYS"];
    assert_eq!(template.evaluate(days, &[("Source", "cloud-api")]), json!({"Ref": "MimeDays"}));
    for source in ["archiver-api", "chat-export", "eml-drop"] {
        assert_eq!(template.evaluate(days, &[("Source", source)]), "0", "{source}");
    }
    let rules = &template.properties("Bucket")["LifecycleConfiguration"]["Rules"];
    let received = rules.as_array().expect("no rules").iter().map(|rule| template.evaluate(rule, &[]));
    let received: Vec<_> = received.filter(|rule| rule["Prefix"] == model::keys::RECEIVED).collect();
    assert_eq!(received[0]["ExpirationInDays"], json!({"Ref": "MimeDays"}));
    assert_eq!(template.evaluate(days, &[("Source", "eml-drop"), ("InboxDays", "30")]), json!({"Ref": "InboxDays"}));
}

/// Parameters of a deployment without which a function does not start.
const GIVEN: [(&str, &str); 7] = [
    ("ArchiveDomain", "archive.example.com"),
    ("ArchiverUrl", "https://archive.example.com/api"),
    ("ExportTimeZone", "Europe/Copenhagen"),
    ("GraphClientId", "11111111-2222-3333-4444-555555555555"),
    ("GraphTenantId", "contoso.onmicrosoft.com"),
    ("ImapDomains", "example.com"),
    ("TimeZone", "Europe/Copenhagen"),
];

/// Returns the environment of a function in a deployment with these parameters.
fn environment_values(
    template: &Template,
    properties: &Value,
    parameters: &BTreeMap<&str, &str>,
) -> BTreeMap<String, String> {
    let given: Vec<_> = parameters.iter().map(|(name, value)| (*name, *value)).collect();
    let resolve = |value: &Value| -> String {
        let value = template.evaluate(value, &given);
        if let Some(plain) = value.as_str() {
            return plain.to_owned();
        }
        let name = value["Ref"].as_str().expect("the value is neither a text nor a reference");
        let Some(parameter) = template.section("Parameters").get(name) else { return format!("https://{name}") };
        let default = || match &parameter["Default"] {
            Value::String(text) => text.clone(),
            Value::Null => panic!("{name} has no default: set it in this test"),
            other => other.to_string(),
        };
        parameters.get(name).map_or_else(default, |value| (*value).to_owned())
    };
    environment(template, properties).into_iter().map(|(name, value)| (name.to_owned(), resolve(value))).collect()
}

/// Reads the settings as the function does at its start. Returns the text of the error if it would not start.
fn read_settings(binary: &str, values: &BTreeMap<String, String>) -> Result<(), String> {
    let variables = Variables::from_values(declared_variables(binary), |name| values.get(name).cloned());
    let result = LogLevel::read(&variables).and_then(|_| match binary {
        "fetch" => fetch::Settings::read(&variables).map(drop),
        "convert" => convert::Settings::read(&variables).map(drop),
        "import" => import::Settings::read(&variables).map(drop),
        "receive" => receive::Settings::read(&variables).map(drop),
        other => panic!("unknown function {other}: add it to this test"),
    });
    result.map_err(|error| error.to_string())
}

#[test]
fn function_starts_with_every_allowed_parameter_value() {
    let template = Template::read();
    let given = BTreeMap::from(GIVEN);
    let mut deployments = vec![given.clone()];
    for (name, parameter) in template.section("Parameters") {
        for value in parameter["AllowedValues"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            deployments.push(given.clone().into_iter().chain([(name.as_str(), value)]).collect());
        }
    }
    deployments.push(
        given.clone().into_iter().chain([("DefaultRegion", "DK"), ("CatchAllMailbox", "rest@example.com")]).collect(),
    );
    let imap = given.clone().into_iter().filter(|(name, _)| !name.starts_with("Graph"));
    deployments.push(imap.chain([("Mailbox", "imap"), ("ImapHost", "mail.example.com:1993")]).collect());
    deployments.push(
        given.clone().into_iter().chain([("Mailbox", "imap"), ("ImapProbeMailbox", "probe@example.com")]).collect(),
    );
    assert!(deployments.len() > 15, "only {} deployments are tested", deployments.len());
    for deployment in deployments {
        for (binary, _, properties) in template.functions() {
            let started = read_settings(binary, &environment_values(&template, properties, &deployment));
            assert_eq!(started, Ok(()), "{binary} does not start with {deployment:?}");
        }
    }
}

#[test]
fn every_parameter_is_used_and_shown_in_one_group() {
    let template = Template::read();
    let referenced: BTreeSet<_> = template.referenced_ids().into_iter().collect();
    let interface = &template.section("Metadata")["AWS::CloudFormation::Interface"];
    let groups = interface["ParameterGroups"].as_array().expect("no groups");
    let shown: Vec<_> = groups
        .iter()
        .flat_map(|group| group["Parameters"].as_array().expect("a group has no list of parameters"))
        .collect();
    for (name, parameter) in template.section("Parameters") {
        assert!(referenced.contains(name), "{name} is not used");
        assert_eq!(shown.iter().filter(|shown| **shown == name).count(), 1, "{name} is not in exactly one group");
        assert!(parameter["Description"].is_string(), "{name}");
    }
    assert_eq!(shown.len(), template.section("Parameters").len());
    let conditions: BTreeSet<_> = template.section("Conditions").keys().cloned().collect();
    assert_eq!(template.referenced_conditions(), conditions, "left: used, right: defined");
}

/// The name of one condition may begin with the name of another.
#[test]
fn unused_condition_with_a_longer_namesake_is_detected() {
    let text = read_text("template.yaml");
    let section = "\nConditions:\n";
    assert_eq!(text.matches(section).count(), 1);
    let template = Template::parse(&text.replace(section, &format!("{section}  ByTop: !Equals [a, b]\n")));
    assert!(
        template.section("Conditions").contains_key("ByTop") && template.section("Conditions").contains_key("ByTopic")
    );
    let used = template.referenced_conditions();
    assert!(used.contains("ByTopic") && !used.contains("ByTop"), "{used:?}");
}

/// Returns a number, or both numbers of an `Fn::If`, by their condition.
fn numbers_by_condition(value: &Value) -> BTreeMap<String, u64> {
    let number = |value: &Value| value.as_u64().expect("not a number");
    match value["Fn::If"].as_array().map(Vec::as_slice) {
        Some([condition, yes, no]) => {
            BTreeMap::from([(condition.to_string(), number(yes)), (format!("not {condition}"), number(no))])
        }
        _ => BTreeMap::from([("always".to_owned(), number(value))]),
    }
}

#[test]
fn queue_visibility_fits_the_function_and_the_retention() {
    /// A dead letter must have this time before SQS deletes it, counted from the first send of its task.
    const FOR_THE_OPERATOR: u64 = 4 * 24 * 3600;
    let template = Template::read();
    let mut triggered = 0;
    for (binary, _, properties) in template.functions() {
        let timeouts = numbers_by_condition(&properties["Timeout"]);
        assert!(timeouts.values().all(|timeout| *timeout <= 900));
        let Some(events) = properties["Events"].as_object() else { continue };
        for event in events.values() {
            triggered += 1;
            let trigger = &event["Properties"];
            let queue = trigger["Queue"]["Fn::GetAtt"].as_str().expect("no queue").trim_end_matches(".Arn");
            assert_eq!(
                environment(&template, properties)[format!("{}_QUEUE_URL", binary.to_uppercase()).as_str()],
                &json!({"Ref": queue})
            );
            let visibility_timeouts = numbers_by_condition(&template.properties(queue)["VisibilityTimeout"]);
            assert!(
                visibility_timeouts.keys().eq(timeouts.keys()),
                "{queue}: the visibility timeout and the function's timeout have different conditions"
            );
            let properties = template.properties(queue);
            let number = |value: &Value| value.as_u64().expect("no number");
            let receives = number(&properties["RedrivePolicy"]["maxReceiveCount"]);
            let retention = number(&properties["MessageRetentionPeriod"]);
            for (condition, timeout) in &timeouts {
                let visibility = visibility_timeouts[condition];
                let times = if *timeout == 900 { 3 } else { 6 };
                assert!(visibility >= times * timeout, "{queue}: the visibility timeout is too short");
                // A task that ends its function each time waits for the whole visibility timeout.
                let longest = receives * visibility;
                assert!(longest + FOR_THE_OPERATOR <= retention, "{queue}: SQS deletes a task instead of moving it");
            }
            assert_eq!(trigger["FunctionResponseTypes"], json!(["ReportBatchItemFailures"]), "{binary}");
            assert_eq!(trigger["BatchSize"], 10, "{binary}");
            // A half-empty batch costs as much as a full one.
            assert_eq!(trigger["MaximumBatchingWindowInSeconds"], 5, "{binary}");
            assert!(
                trigger["ScalingConfig"]["MaximumConcurrency"]["Ref"].is_string(),
                "{binary} has no concurrency limit"
            );
        }
    }
    assert_eq!(triggered, 3);
}

#[test]
fn import_concurrency_matches_graphs_mailbox_limit() {
    /// "Throttling limits for Outlook service resources" in Microsoft's documentation of Graph.
    const CONCURRENT_REQUESTS_PER_MAILBOX: usize = 4;
    let template = Template::read();
    let concurrency = template.section("Parameters")["ImportConcurrency"]["Default"].as_u64().expect("no default");
    let concurrency = usize::try_from(concurrency).expect("the number is too large");
    let import = template.functions().into_iter().find(|(binary, ..)| *binary == "import");
    let (_, _, properties) = import.expect("no function import");
    let values = environment_values(&template, properties, &BTreeMap::from(GIVEN));
    let variables = Variables::from_values(import::VARIABLES, |name| values.get(name).cloned());
    let settings = import::Settings::read(&variables).unwrap_or_else(|error| panic!("{error}"));
    let MailboxSettings::Graph(graph) = settings.mailbox else { panic!("the default mail system is not Graph") };
    assert_eq!(concurrency * graph.config.requests_per_mailbox, CONCURRENT_REQUESTS_PER_MAILBOX);
}

#[test]
fn fetch_has_concurrency_one_unless_reservation_is_off() {
    let template = Template::read();
    let reserved = &template.properties("FetchFunction")["ReservedConcurrentExecutions"];
    assert_eq!(template.section("Parameters")["ReserveFetch"]["Default"], "true");
    assert_eq!(template.evaluate(reserved, &[]), 1);
    assert_eq!(template.evaluate(reserved, &[("ReserveFetch", "false")]), json!({"Ref": "AWS::NoValue"}));
}

/// The reservation is the only limit that a Function URL has.
#[test]
fn receive_is_bounded_unless_reservation_is_off() {
    let template = Template::read();
    let reserved = &template.properties("ReceiveFunction")["ReservedConcurrentExecutions"];
    assert_eq!(template.evaluate(reserved, &[]), json!({"Ref": "ReserveReceive"}));
    assert_eq!(template.evaluate(reserved, &[("ReserveReceive", "0")]), json!({"Ref": "AWS::NoValue"}));
    let default = |name: &str| template.section("Parameters")[name]["Default"].as_u64();
    assert!(default("ReserveReceive") > default("ReceiveConcurrency"), "the queue leaves no concurrency for webhooks");
}

/// A public URL requires both permissions (AWS's documentation of function URLs, "Using the NONE auth type").
#[test]
fn receive_url_exists_only_when_the_parameters_request_it() {
    let template = Template::read();
    let resources = template.section("Resources");
    for id in [
        "ReceiveFunction",
        "ReceiveQueue",
        "ReceiveUndeliveredQueue",
        "ReceiveQueuePolicy",
        "ReceiveRole",
        "ReceiveLogs",
    ] {
        assert_eq!(resources[id]["Condition"], "FromWebhooks", "{id}");
    }
    for id in ["ReceiveUrl", "ReceiveUrlPermission", "ReceiveInvokePermission", "WebhookSecret"] {
        assert_eq!(resources[id]["Condition"], "ByWebhookUrl", "{id}");
    }
    assert_eq!(resources["ReceiveSubscription"]["Condition"], "ByTopic");
    let topic = ("SocialTopicArn", "arn:aws:sns:eu-west-1:1:t");
    for (parameters, expected) in [
        (vec![], [false, false, false]),
        (vec![topic], [false, false, false]),
        (vec![("Source", "cloud-api")], [true, true, false]),
        (vec![("Source", "cloud-api"), topic], [true, true, true]),
        (vec![("Source", "cloud-api"), ("WebhookUrl", "disabled"), topic], [true, false, true]),
    ] {
        let conditions =
            ["FromWebhooks", "ByWebhookUrl", "ByTopic"].map(|condition| template.holds(condition, &parameters));
        assert_eq!(conditions, expected, "{parameters:?}");
    }
    let function = json!({"Ref": "ReceiveFunction"});
    assert_eq!(
        *template.properties("ReceiveUrlPermission"),
        json!({"FunctionName": function, "Action": "lambda:InvokeFunctionUrl", "Principal": "*", "FunctionUrlAuthType": "NONE"})
    );
    assert_eq!(
        *template.properties("ReceiveInvokePermission"),
        json!({"FunctionName": function, "Action": "lambda:InvokeFunction", "Principal": "*", "InvokedViaFunctionUrl": true})
    );
    assert_eq!(template.properties("ReceiveSubscription")["RawMessageDelivery"], false);
    let undelivered = json!({"deadLetterTargetArn": {"Fn::GetAtt": "ReceiveUndeliveredQueue.Arn"}});
    assert_eq!(template.properties("ReceiveSubscription")["RedrivePolicy"], undelivered);
}

#[test]
fn fetch_is_retried_after_a_crash_and_its_failure_kept() {
    let template = Template::read();
    let fetch = template.properties("FetchFunction");
    let invoke = &fetch["EventInvokeConfig"];
    assert_eq!(invoke["MaximumRetryAttempts"], 2);
    let failures = json!({"Fn::GetAtt": "ScheduleFailureQueue.Arn"});
    assert_eq!(invoke["DestinationConfig"]["OnFailure"], json!({"Type": "SQS", "Destination": failures}));
    assert!(fetch.get("Events").is_none());
    let [(_, schedule)] = template.resources_of_type("AWS::Scheduler::Schedule")[..] else {
        panic!("there is not exactly one schedule")
    };
    assert_eq!(template.section("Parameters")["Schedule"]["Default"], "rate(1 hour)");
    assert_eq!(schedule["ScheduleExpressionTimezone"], json!({"Ref": "ScheduleTimeZone"}));
    assert_eq!(template.section("Parameters")["ScheduleTimeZone"]["Default"], "UTC");
    assert_eq!(schedule["Target"]["Arn"], json!({"Fn::GetAtt": "FetchFunction.Arn"}));
    assert!(schedule["Target"]["RetryPolicy"]["MaximumRetryAttempts"].as_u64() > Some(0));
    assert_eq!(schedule["Target"]["DeadLetterConfig"]["Arn"], failures);
    // Without an explicit input the schedule sends the event that fetch's own tests use.
    assert!(schedule["Target"].get("Input").is_none());
}

#[test]
fn each_step_is_paused_by_a_parameter() {
    let template = Template::read();
    for (function, parameter) in
        [("ReceiveFunction", "ReceiveState"), ("ConvertFunction", "ConvertState"), ("ImportFunction", "ImportState")]
    {
        let enabled = &template.properties(function)["Events"]["Tasks"]["Properties"]["Enabled"];
        assert_eq!(template.evaluate(enabled, &[]), true, "{function}");
        assert_eq!(template.evaluate(enabled, &[(parameter, "DISABLED")]), false, "{function}");
    }
    let (_, schedule) = template.resources_of_type("AWS::Scheduler::Schedule")[0];
    assert_eq!(schedule["State"], json!({"Ref": "ScheduleState"}));
}

#[test]
fn functions_join_a_vpc_if_subnets_are_given() {
    let template = Template::read();
    let vpc = &template.section("Globals")["Function"]["VpcConfig"];
    assert_eq!(template.evaluate(vpc, &[]), json!({"Ref": "AWS::NoValue"}));
    let split = |name: &str| json!({"Fn::Split": [",", {"Ref": name}]});
    let given = template.evaluate(vpc, &[("SubnetIds", "subnet-1,subnet-2"), ("SecurityGroupIds", "sg-1")]);
    assert_eq!(given, json!({"SubnetIds": split("SubnetIds"), "SecurityGroupIds": split("SecurityGroupIds")}));
}

#[test]
fn fips_endpoints_are_a_parameter() {
    let template = Template::read();
    let variables = &template.section("Globals")["Function"]["Environment"]["Variables"];
    assert_eq!(variables[FIPS], json!({"Ref": "FipsEndpoints"}));
    assert_eq!(template.section("Parameters")["FipsEndpoints"]["AllowedValues"], json!(["true", "false"]));
}

/// Lambda runs unsigned code in a function without this configuration.
#[test]
fn code_signing_applies_to_every_function() {
    let template = Template::read();
    let arn = "arn:aws:lambda:eu-west-1:123456789012:code-signing-config:csc-0";
    for (binary, _, properties) in template.functions() {
        let signed = |arn| template.evaluate(&properties["CodeSigningConfigArn"], &[("CodeSigningConfigArn", arn)]);
        assert_eq!(signed(arn), json!({"Ref": "CodeSigningConfigArn"}), "{binary}");
        assert_eq!(signed(""), json!({"Ref": "AWS::NoValue"}), "{binary}");
    }
}

/// Adds up the waits of a record that fails at each attempt, as the functions compute them.
#[test]
fn weekend_outage_dead_letters_nothing() {
    let template = Template::read();
    let base = template.section("Parameters")["RetryBaseSeconds"]["Default"].as_u64().expect("no default");
    for queue in ["ReceiveQueue", "ConvertQueue", "ImportQueue"] {
        let properties = template.properties(queue);
        let receives = properties["RedrivePolicy"]["maxReceiveCount"].as_u64().expect("no count");
        assert!(receives <= 1000, "the value exceeds the limit of SQS");
        let cap = sqs_batch::Backoff::CAP.as_secs();
        // Each wait is shortened by up to a quarter; an eighth on average.
        let waits: u64 = (0..receives).map(|times| base.saturating_mul(1 << times.min(20)).min(cap) * 7 / 8).sum();
        assert!(waits > 60 * 3600, "{queue}: the retries end after {} hours", waits / 3600);
        assert!(waits < properties["MessageRetentionPeriod"].as_u64().expect("no period") / 2, "{queue}");
    }
}
