//! Updates with another value of one parameter: what CloudFormation would replace or remove, by AWS's schemas of the
//! resources, which cfn-lint contains. No emulator decides this as AWS does.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
};

use serde_json::{Map, Value, json};

use crate::{
    conditions::Parameters,
    document::{Template, root},
    runbook::section,
};

/// Types of resources that hold data, messages or credentials, or that an update may not interrupt.
const KEPT: [&str; 7] = [
    "AWS::KMS::Key",
    "AWS::Logs::LogGroup",
    "AWS::S3::Bucket",
    "AWS::SQS::Queue",
    "AWS::Scheduler::Schedule",
    "AWS::SecretsManager::Secret",
    "AWS::Serverless::Function",
];

const COMMON: [(&str, &str); 10] = [
    ("ArchiveDomain", "archive.example.com"),
    ("Architecture", "x86_64"),
    ("ArchiverUrl", "https://archive.example.com"),
    ("ExportTimeZone", "UTC"),
    ("GraphClientId", "11111111-2222-3333-4444-555555555555"),
    ("GraphTenantId", "contoso.onmicrosoft.com"),
    ("ImapDomains", "example.com"),
    ("ImapHost", "mail.example.com"),
    ("SubnetIds", "subnet-1"),
    ("SecurityGroupIds", "sg-1"),
];

/// Deployments that an update starts from. Together they have every resource.
const DEPLOYED: [&Parameters<'_>; 4] = [
    &[("Source", "archiver-api")],
    &[("Source", "cloud-api"), ("SocialTopicArn", TOPIC), ("Encryption", "customer-managed"), ("Mailbox", "imap")],
    &[("Source", "eml-drop"), ("Encryption", "customer-managed"), ("KeyArn", "arn:aws:kms:eu-west-1:1:key/a")],
    &[("Source", "chat-export"), ("AlarmTopicArn", TOPIC), ("ReplicaBucketArn", "arn:aws:s3:::replica")],
];

const TOPIC: &str = "arn:aws:sns:eu-west-1:1:t";

/// Another value of each parameter that has no list of allowed values and is no number.
const OTHER_VALUES: &[(&str, &str)] = &[
    ("AccessLogBucket", "none"),
    ("AlarmEmail", "operations@example.com"),
    ("AlarmTopicArn", "arn:aws:sns:eu-west-1:1:other"),
    ("ArchiveDomain", "other.example.com"),
    ("ArchiverUrl", "https://other.example.com"),
    ("CatchAllMailbox", "rest@example.com"),
    ("CodeSigningConfigArn", "arn:aws:lambda:eu-west-1:1:code-signing-config:csc-0"),
    ("DefaultRegion", "DK"),
    ("EmlHeaders", "id=X-Other"),
    ("ExportTimeZone", "Europe/Copenhagen"),
    ("GraphClientId", "22222222-2222-3333-4444-555555555555"),
    ("GraphMessageClass", "IPM.Note"),
    ("GraphTenantId", "fabrikam.onmicrosoft.com"),
    ("ImapDomains", "other.example.com"),
    ("ImapHost", "other.example.com:1993"),
    ("ImapProbeMailbox", "probe@example.com"),
    ("KeyArn", "arn:aws:kms:eu-west-1:1:key/b"),
    ("MailFolder", "WhatsApp"),
    ("MetaGraphUrl", "https://graph.facebook.com/v26.0"),
    ("PermissionsBoundaryArn", "arn:aws:iam::123456789012:policy/boundary"),
    ("ReplicaBucketArn", "arn:aws:s3:::other"),
    ("RolePath", "/archiver/"),
    ("Schedule", "cron(0 5 * * ? *)"),
    ("ScheduleTimeZone", "Europe/Copenhagen"),
    ("SecurityGroupIds", "sg-2"),
    ("SocialTopicArn", "arn:aws:sns:eu-west-1:1:other"),
    ("SubnetIds", "subnet-2,subnet-3"),
    ("TenantDomains", "example.com"),
    ("TimeZone", "Europe/Copenhagen"),
    ("UserMapKey", "config/other.csv"),
    ("WebhookHeader", "X-Other"),
    ("WebhookPayload", "a.b"),
];

fn other_values(name: &str, parameter: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    if let Some(allowed) = parameter["AllowedValues"].as_array() {
        return allowed.iter().map(text).collect();
    }
    if parameter["Type"] == "Number" {
        return ["MinValue", "MaxValue"].map(|bound| text(&parameter[bound])).into();
    }
    let given: Vec<_> =
        OTHER_VALUES.iter().filter(|(given, _)| *given == name).map(|(_, value)| (*value).to_owned()).collect();
    assert!(!given.is_empty(), "{name}: give this test another value");
    given
}

/// The properties of each resource type that AWS cannot change without a replacement.
struct CreateOnly(BTreeMap<String, Vec<String>>);

impl CreateOnly {
    fn read() -> Self {
        let missing = "cfn-lint is not installed: `make .venv-build/.installed` installs it";
        let packages = fs::read_dir(root().join(".venv-build/lib")).expect(missing).flatten();
        let schemas = packages.map(|entry| entry.path().join("site-packages/cfnlint/data/schemas"));
        let schemas: PathBuf = schemas.filter(|path| path.is_dir()).last().expect(missing);
        let read = |path: String| -> Value {
            let text = fs::read_to_string(schemas.join(&path)).unwrap_or_else(|error| panic!("{path}: {error}"));
            serde_json::from_str(&text).expect("the schema is not JSON")
        };
        let files = read("providers/eu-west-1.json".to_owned());
        let of_type = |of_type: &str| {
            let schema = of_type.replace("Serverless", "Lambda");
            let file = files[&schema].as_str().unwrap_or_else(|| panic!("no schema of {of_type}"));
            let schema = read(format!("resources/{file}.json"));
            let properties = schema["createOnlyProperties"].as_array().into_iter().flatten().filter_map(Value::as_str);
            properties.map(|path| path.trim_start_matches("/properties/").to_owned()).collect()
        };
        Self(KEPT.map(|name| (name.to_owned(), of_type(name))).into())
    }
}

/// Returns a part of the template with the values of the parameters in the place of references to them.
fn filled(template: &Template, part: &Value, parameters: &Parameters<'_>) -> Value {
    match part {
        Value::Object(members) => {
            let named = |name: &str| template.section("Parameters").contains_key(name);
            if let Some(name) = members.get("Ref").and_then(Value::as_str).filter(|name| named(name)) {
                return json!(template.value_of(name, parameters));
            }
            if let Some(text) = members.get("Fn::Sub").and_then(Value::as_str) {
                let fill = |text: String, name: &String| {
                    let variable = format!("${{{name}}}");
                    if !text.contains(&variable) {
                        return text;
                    }
                    text.replace(&variable, &template.value_of(name, parameters))
                };
                return json!({"Fn::Sub": template.section("Parameters").keys().fold(text.to_owned(), fill)});
            }
            members
                .iter()
                .map(|(name, part)| (name.clone(), filled(template, part, parameters)))
                .collect::<Map<_, _>>()
                .into()
        }
        Value::Array(parts) => parts.iter().map(|part| filled(template, part, parameters)).collect(),
        other => other.clone(),
    }
}

/// Returns the resources of a deployment that must be kept, each with what AWS cannot change.
fn deployed(
    template: &Template,
    create_only: &CreateOnly,
    parameters: &Parameters<'_>,
) -> BTreeMap<String, Vec<Value>> {
    let mut found = BTreeMap::new();
    for (id, resource) in template.section("Resources") {
        let of_type = resource["Type"].as_str().expect("a type");
        let there = resource["Condition"].as_str().is_none_or(|condition| template.holds(condition, parameters));
        if there && KEPT.contains(&of_type) {
            let value = |name: &String| template.decided(&resource["Properties"][name.as_str()], parameters);
            let fixed = create_only.0[of_type].iter().map(|name| filled(template, &value(name), parameters));
            found.insert(id.clone(), fixed.collect());
        }
    }
    found
}

/// Returns the resources that a change of one parameter, to any value, removes or replaces.
fn gone_with(template: &Template, create_only: &CreateOnly, name: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for value in other_values(name, &template.section("Parameters")[name]) {
        let mut tried = 0;
        for deployment in DEPLOYED {
            let before = [&COMMON[..], deployment].concat();
            let unchanged = before.iter().copied().filter(|(other, _)| *other != name);
            let after: Vec<_> = unchanged.chain([(name, value.as_str())]).collect();
            // CloudFormation rejects these before it changes anything.
            if !template.violations(&after).is_empty() {
                continue;
            }
            tried += 1;
            let now = deployed(template, create_only, &after);
            let before = deployed(template, create_only, &before).into_iter();
            found.extend(before.filter(|(id, fixed)| now.get(id) != Some(fixed)).map(|(id, _)| id));
        }
        assert!(tried > 0, "no deployment accepts {name}={value}");
    }
    found
}

/// Returns the parameters in the runbook's table of changes with consequences.
fn documented() -> BTreeMap<String, String> {
    let table = section("deploy", "Changing a parameter");
    let rows = table.lines().filter_map(|line| line.strip_prefix("| `")?.split_once(" | "));
    let mut found = BTreeMap::new();
    for (names, consequence) in rows {
        for name in names.split(", ") {
            found.insert(name.trim_matches('`').to_owned(), consequence.to_owned());
        }
    }
    found
}

#[test]
fn parameter_is_safe_to_change_or_in_the_runbooks_table() {
    let template = Template::read();
    let documented = documented();
    for name in documented.keys() {
        assert!(template.section("Parameters").contains_key(name), "{name} is not a parameter");
    }
    let create_only = CreateOnly::read();
    for of_type in KEPT.iter().filter(|of_type| **of_type != "AWS::KMS::Key") {
        assert!(!create_only.0[*of_type].is_empty(), "{of_type} has no property that cannot be changed");
    }
    for name in template.section("Parameters").keys() {
        for id in gone_with(&template, &create_only, name) {
            let consequence = documented.get(name).unwrap_or_else(|| {
                panic!("a change of {name} removes or replaces {id}, and the runbook has no row for it")
            });
            let resource = &template.section("Resources")[&id];
            let kept = resource["DeletionPolicy"].as_str().is_some_and(|policy| policy.starts_with("Retain"));
            // Named where it is not kept: an operator has to know before the change.
            assert!(
                kept || consequence.contains(&format!("`{id}`")),
                "{name}: {id} is removed or replaced, and the runbook does not say so"
            );
        }
    }
}

/// The test above would find nothing if it compared nothing.
#[test]
fn name_from_a_parameter_would_be_found_as_a_replacement() {
    let text = crate::document::text("template.yaml");
    let named = "QueueName: !Sub \"${AWS::StackName}-import\"";
    assert_eq!(text.matches(named).count(), 1);
    let template = Template::parse(&text.replace(named, "QueueName: !Sub \"${AWS::StackName}-${MailFolder}\""));
    let create_only = CreateOnly::read();
    assert_eq!(gone_with(&template, &create_only, "MailFolder"), ["ImportQueue".to_owned()].into());
    assert!(gone_with(&template, &create_only, "LogLevel").is_empty());
}
