//! Updates that change one parameter: the resources that CloudFormation would replace or remove, according to AWS's
//! schemas in cfn-lint. No emulator decides this as AWS does.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
};

use serde_json::{Map, Value, json};

use crate::{
    conditions::Parameters,
    document::{Template, root},
    runbook::read_section,
};

/// Types of resources that hold data, messages or credentials, or that an update may not interrupt.
const PROTECTED_TYPES: [&str; 7] = [
    "AWS::KMS::Key",
    "AWS::Logs::LogGroup",
    "AWS::S3::Bucket",
    "AWS::SQS::Queue",
    "AWS::Scheduler::Schedule",
    "AWS::SecretsManager::Secret",
    "AWS::Serverless::Function",
];

/// Parameters of all these deployments.
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
const DEPLOYMENTS: [&Parameters<'_>; 4] = [
    &[("Source", "archiver-api")],
    &[("Source", "cloud-api"), ("SocialTopicArn", TOPIC), ("Encryption", "customer-managed"), ("Mailbox", "imap")],
    &[("Source", "eml-drop"), ("Encryption", "customer-managed"), ("KeyArn", "arn:aws:kms:eu-west-1:1:key/a")],
    &[("Source", "chat-export"), ("AlarmTopicArn", TOPIC), ("ReplicaBucketArn", "arn:aws:s3:::replica")],
];

const TOPIC: &str = "arn:aws:sns:eu-west-1:1:t";

/// Another value of each parameter that has no list of allowed values and is not a number.
const OTHER_VALUES: &[(&str, &str)] = &[
    ("AccessLogBucket", "none"),
    ("AlarmEmail", "operations@example.com"),
    ("AlarmTopicArn", "arn:aws:sns:eu-west-1:1:other"),
    ("ArchiveDomain", "other.example.com"),
    ("ArchiverUrl", "https://other.example.com"),
    ("CatchAllMailbox", "rest@example.com"),
    ("CodeSigningConfigArn", "arn:aws:lambda:eu-west-1:1:code-signing-config:csc-0"),
    ("DefaultRegion", "DK"),
    ("EarlierKeyArns", "arn:aws:kms:eu-west-1:123456789012:key/0"),
    ("EmlHeaders", "id=X-Other"),
    ("ExportTimeZone", "Europe/Copenhagen"),
    ("GraphClientId", "22222222-2222-3333-4444-555555555555"),
    ("GraphMessageClass", "IPM.Note"),
    ("GraphTenantId", "fabrikam.onmicrosoft.com"),
    ("ImapDomains", "other.example.com"),
    ("ImapHost", "other.example.com:1993"),
    ("ImapProbeMailbox", "probe@example.com"),
    ("KeyArn", "arn:aws:kms:eu-west-1:1:key/b"),
    ("LookUpBefore", "2026-11-28T10:00:00Z"),
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

/// Returns values of a parameter to which an update may change it.
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
    assert!(!given.is_empty(), "{name} has no other value: add one to this test");
    given
}

/// The properties of each resource type that AWS cannot change without a replacement.
struct CreateOnly(BTreeMap<String, Vec<String>>);

impl CreateOnly {
    fn read() -> Self {
        let missing = "cfn-lint is not installed: `make .venv-deploy/.installed` installs it";
        let packages = fs::read_dir(root().join(".venv-deploy/lib")).expect(missing).flatten();
        let schemas = packages.map(|entry| entry.path().join("site-packages/cfnlint/data/schemas"));
        let schemas: PathBuf = schemas.filter(|path| path.is_dir()).last().expect(missing);
        let read = |path: String| -> Value {
            let text = fs::read_to_string(schemas.join(&path)).unwrap_or_else(|error| panic!("{path}: {error}"));
            serde_json::from_str(&text).expect("the schema is not JSON")
        };
        let files = read("providers/eu-west-1.json".to_owned());
        let create_only_properties = |resource_type: &str| {
            let schema = resource_type.replace("Serverless", "Lambda");
            let file = files[&schema].as_str().unwrap_or_else(|| panic!("no schema of {resource_type}"));
            let schema = read(format!("resources/{file}.json"));
            let properties = schema["createOnlyProperties"].as_array().into_iter().flatten().filter_map(Value::as_str);
            properties.map(|path| path.trim_start_matches("/properties/").to_owned()).collect()
        };
        Self(PROTECTED_TYPES.map(|name| (name.to_owned(), create_only_properties(name))).into())
    }
}

/// Returns a part of the template in which references to parameters are replaced by their values.
fn substitute_parameters(template: &Template, part: &Value, parameters: &Parameters<'_>) -> Value {
    match part {
        Value::Object(members) => {
            let is_parameter = |name: &str| template.section("Parameters").contains_key(name);
            if let Some(name) = members.get("Ref").and_then(Value::as_str).filter(|name| is_parameter(name)) {
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
                .map(|(name, part)| (name.clone(), substitute_parameters(template, part, parameters)))
                .collect::<Map<_, _>>()
                .into()
        }
        Value::Array(parts) => parts.iter().map(|part| substitute_parameters(template, part, parameters)).collect(),
        other => other.clone(),
    }
}

/// Returns the protected resources of a deployment, each with the values of the properties that AWS cannot change.
fn protected_resources(
    template: &Template,
    create_only: &CreateOnly,
    parameters: &Parameters<'_>,
) -> BTreeMap<String, Vec<Value>> {
    let mut found = BTreeMap::new();
    for (id, resource) in template.section("Resources") {
        let resource_type = resource["Type"].as_str().expect("no type");
        let exists = resource["Condition"].as_str().is_none_or(|condition| template.holds(condition, parameters));
        if exists && PROTECTED_TYPES.contains(&resource_type) {
            let value = |name: &String| template.evaluate(&resource["Properties"][name.as_str()], parameters);
            let fixed = create_only.0[resource_type]
                .iter()
                .map(|name| substitute_parameters(template, &value(name), parameters));
            found.insert(id.clone(), fixed.collect());
        }
    }
    found
}

/// Returns the resources that a change of one parameter, to any value, removes or replaces.
fn resources_lost_by_change(template: &Template, create_only: &CreateOnly, name: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for value in other_values(name, &template.section("Parameters")[name]) {
        let mut tried = 0;
        for deployment in DEPLOYMENTS {
            let before = [&COMMON[..], deployment].concat();
            let unchanged = before.iter().copied().filter(|(other, _)| *other != name);
            let after: Vec<_> = unchanged.chain([(name, value.as_str())]).collect();
            // CloudFormation rejects these before it changes anything.
            if !template.violations(&after).is_empty() {
                continue;
            }
            tried += 1;
            let now = protected_resources(template, create_only, &after);
            let before = protected_resources(template, create_only, &before).into_iter();
            found.extend(before.filter(|(id, fixed)| now.get(id) != Some(fixed)).map(|(id, _)| id));
        }
        assert!(tried > 0, "no deployment accepts {name}={value}");
    }
    found
}

/// Returns the parameters in the runbook's table of changes with consequences.
fn documented_consequences() -> BTreeMap<String, String> {
    let table = read_section("deploy", "Changing a parameter");
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
    let documented = documented_consequences();
    for name in documented.keys() {
        assert!(template.section("Parameters").contains_key(name), "{name} is not a parameter");
    }
    let create_only = CreateOnly::read();
    for resource_type in PROTECTED_TYPES.iter().filter(|name| **name != "AWS::KMS::Key") {
        assert!(!create_only.0[*resource_type].is_empty(), "{resource_type} has no property that cannot be changed");
    }
    for name in template.section("Parameters").keys() {
        for id in resources_lost_by_change(&template, &create_only, name) {
            let consequence = documented.get(name).unwrap_or_else(|| {
                panic!("a change of {name} removes or replaces {id}, and the runbook has no row for it")
            });
            let resource = &template.section("Resources")[&id];
            let kept = resource["DeletionPolicy"].as_str().is_some_and(|policy| policy.starts_with("Retain"));
            // The row must name a resource that is not kept, so that the operator knows before the change.
            assert!(
                kept || consequence.contains(&format!("`{id}`")),
                "{name}: {id} is removed or replaced, and the runbook does not say so"
            );
        }
    }
}

/// Shows that the test above can fail.
#[test]
fn name_from_a_parameter_is_detected_as_a_replacement() {
    let text = crate::document::read_text("template.yaml");
    let named = "QueueName: !Sub \"${AWS::StackName}-import\"";
    assert_eq!(text.matches(named).count(), 1);
    let template = Template::parse(&text.replace(named, "QueueName: !Sub \"${AWS::StackName}-${MailFolder}\""));
    let create_only = CreateOnly::read();
    assert_eq!(resources_lost_by_change(&template, &create_only, "MailFolder"), ["ImportQueue".to_owned()].into());
    assert!(resources_lost_by_change(&template, &create_only, "LogLevel").is_empty());
}

/// Objects and messages stay under the key that they were written with.
#[test]
fn roles_may_decrypt_with_a_key_that_was_replaced() {
    let template = Template::read();
    let present = [("Source", "cloud-api"), ("Encryption", "customer-managed"), ("KeyArn", "arn:aws:kms:r:1:key/b")];
    let changed = [&present[..], &[("EarlierKeyArns", "arn:aws:kms:r:1:key/0,arn:aws:kms:r:1:key/a")]].concat();
    let actions = |role: &Value, parameters: &Parameters<'_>, sid: &str| {
        let statements = template.evaluate(&role["Policies"][0]["PolicyDocument"]["Statement"], parameters);
        let found = statements.as_array().expect("no statements").iter().find(|statement| statement["Sid"] == sid);
        found.map(|statement| (statement["Action"].clone(), statement["Resource"].clone()))
    };
    let earlier = json!({"Fn::Split": [",", {"Ref": "EarlierKeyArns"}]});
    let mut roles = 0;
    for (id, role) in template.resources_of_type("AWS::IAM::Role") {
        if role.get("Policies").is_none() || actions(role, &present, "Key").is_none() {
            continue;
        }
        roles += 1;
        assert_eq!(actions(role, &changed, "EarlierKeys"), Some((json!("kms:Decrypt"), earlier.clone())), "{id}");
        assert_eq!(actions(role, &present, "EarlierKeys"), None, "{id}");
    }
    assert_eq!(roles, 5, "the roles of four functions and of the schedule");
    let key = read_section("deploy", "Your own key");
    assert!(key.contains("`EarlierKeyArns=<the present key>`"), "the section does not say how to change the key");
}
