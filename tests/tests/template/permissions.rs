//! Every permission, against infra/PERMISSIONS.md and against the calls of the code.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::document::{Template, sources, text};

/// Role, action and what it is allowed on, in the words of infra/PERMISSIONS.md.
type Permission = (String, String, String);

/// What the SDK's calls need. A call that is not here fails the test below.
const ACTIONS: &[(&str, &str)] = &[
    ("abort_multipart_upload", "s3:AbortMultipartUpload"),
    ("change_message_visibility", "sqs:ChangeMessageVisibility"),
    ("complete_multipart_upload", "s3:PutObject"),
    ("create_multipart_upload", "s3:PutObject"),
    ("get_object", "s3:GetObject"),
    ("get_secret_value", "secretsmanager:GetSecretValue"),
    ("head_object", "s3:GetObject"),
    ("list_objects_v2", "s3:ListBucket"),
    ("put_object", "s3:PutObject"),
    ("send_message", "sqs:SendMessage"),
    ("send_message_batch", "sqs:SendMessage"),
    ("upload_part", "s3:PutObject"),
];

/// What AWS's services do with a function's role.
const ON_BEHALF: &[&str] = &[
    "kms:Decrypt",
    "kms:GenerateDataKey",
    "logs:CreateLogStream",
    "logs:PutLogEvents",
    "sqs:DeleteMessage",
    "sqs:GetQueueAttributes",
    "sqs:ReceiveMessage",
    "xray:PutTelemetryRecords",
    "xray:PutTraceSegments",
];

fn list(value: &Value) -> Vec<&Value> {
    value.as_array().map_or_else(|| vec![value], |values| values.iter().collect())
}

/// The statements of a role; one that is there on a condition counts.
fn statements(role: &Value) -> Vec<&Value> {
    let policies = role["Policies"].as_array().expect("a role has its policy inline");
    assert_eq!(policies.len(), 1, "one policy a role");
    assert!(role.get("ManagedPolicyArns").is_none(), "no policy that AWS may change");
    let statements = policies[0]["PolicyDocument"]["Statement"].as_array().expect("statements");
    statements.iter().map(|statement| statement["Fn::If"].get(1).unwrap_or(statement)).collect()
}

/// `${Bucket.Arn}/mime/*` is `mime/*`, `!GetAtt Key.Arn` is `Key`.
fn on(resource: &Value) -> String {
    if let Some(name) = resource["Fn::GetAtt"].as_str() {
        return name.trim_end_matches(".Arn").to_owned();
    }
    if let Some(name) = resource["Ref"].as_str() {
        return name.to_owned();
    }
    let pattern = resource["Fn::Sub"].as_str().or(resource.as_str()).expect("a resource");
    pattern.trim_start_matches("${Bucket.Arn}/").trim_start_matches("${").trim_end_matches('}').to_owned()
}

fn granted(template: &Template) -> BTreeSet<Permission> {
    let mut granted = BTreeSet::new();
    for (role, properties) in template.of_type("AWS::IAM::Role") {
        for statement in statements(properties) {
            assert_eq!(statement["Effect"], "Allow", "{role}");
            for action in list(&statement["Action"]) {
                let action = action.as_str().expect("an action");
                let targets = if action == "s3:ListBucket" {
                    // On the bucket, so what is allowed is in the condition.
                    assert_eq!(statement["Resource"], json!({"Fn::GetAtt": "Bucket.Arn"}), "{role}");
                    let condition = statement["Condition"].as_object().expect("a listing is bounded by a prefix");
                    let (operator, keys) = condition.iter().next().expect("a condition");
                    assert!(
                        condition.len() == 1 && ["StringEquals", "StringLike"].contains(&operator.as_str()),
                        "{role}"
                    );
                    list(&keys["s3:prefix"])
                } else {
                    list(&statement["Resource"])
                };
                for target in targets {
                    let new = granted.insert((role.to_owned(), action.to_owned(), on(target)));
                    assert!(new, "{role} is granted {action} twice");
                }
            }
        }
    }
    granted
}

/// The rows of the table, and what needs each.
fn documented() -> Vec<(Permission, String)> {
    let table = text("infra/PERMISSIONS.md");
    let rows = table.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"));
    let rows = rows.map(|row| row.split(" | ").collect::<Vec<_>>()).filter(|cells| cells[0].ends_with("Role"));
    let row = |cells: Vec<&str>| {
        let [role, action, on, needed] = cells[..] else { panic!("a row has four cells: {cells:?}") };
        ((role.to_owned(), action.to_owned(), on.to_owned()), needed.to_owned())
    };
    rows.map(row).filter(|((role, ..), _)| role != "Role").collect()
}

#[test]
fn every_permission_is_documented_with_the_line_that_needs_it_and_the_reverse() {
    let rows = documented();
    let documented: BTreeSet<_> = rows.iter().map(|(permission, _)| permission.clone()).collect();
    let granted = granted(&Template::read());
    let undocumented: Vec<_> = granted.difference(&documented).collect();
    let unneeded: Vec<_> = documented.difference(&granted).collect();
    assert!(undocumented.is_empty(), "granted and not in infra/PERMISSIONS.md: {undocumented:?}");
    assert!(unneeded.is_empty(), "in infra/PERMISSIONS.md and not granted: {unneeded:?}");
    assert_eq!(rows.len(), documented.len(), "a row stands twice");

    for ((role, action, _), needed) in rows {
        let behalf = ON_BEHALF.contains(&action.as_str()) || role == "ScheduleRole";
        match needed.split_once(".rs `") {
            Some((path, rest)) => {
                let call = rest.split('`').next().expect("a call");
                let code: String = text(&format!("{path}.rs")).split_whitespace().collect();
                let call: String = call.split_whitespace().collect();
                assert!(code.contains(&call), "{role} {action}: {path}.rs no longer has {call}");
                assert!(!behalf, "{role} {action} is AWS's own doing");
            }
            None => assert!(behalf, "{role} {action}: which line needs it? {needed}"),
        }
    }
}

#[test]
fn what_the_code_calls_is_what_the_functions_are_granted() {
    let mut called = BTreeSet::new();
    for (path, code) in [sources("functions"), sources("shared")].concat() {
        if !code.contains("aws_sdk_") {
            continue;
        }
        let code: String = code.split_whitespace().collect();
        for before in ["self.client.", "self.0."] {
            for call in code.split(before).skip(1).filter_map(|rest| rest.split_once("()")).map(|(name, _)| name) {
                let action = ACTIONS.iter().find(|(name, _)| *name == call);
                let (_, action) =
                    action.unwrap_or_else(|| panic!("{path} calls {call}, of which this test knows no action"));
                called.insert((*action).to_owned());
            }
        }
    }
    let granted = granted(&Template::read());
    let own = granted.into_iter().filter(|(role, ..)| role != "ScheduleRole").map(|(_, action, _)| action);
    let own: BTreeSet<_> = own.filter(|action| !ON_BEHALF.contains(&action.as_str())).collect();
    assert_eq!(called, own);
}

#[test]
fn nothing_is_granted_by_a_wildcard_but_where_aws_has_no_resources() {
    for (role, action, on) in granted(&Template::read()) {
        assert!(!action.contains('*'), "{role}: {action}");
        assert!(on != "*" || action.starts_with("xray:"), "{role}: {action} on everything");
        assert!(
            on.split('/').next().is_some_and(|folder| folder == "*" || !folder.contains('*')),
            "{role}: {action} on {on}"
        );
    }
}

#[test]
fn each_function_may_do_only_its_own_part() {
    let granted = granted(&Template::read());
    let may = |role: &str, on: &str| granted.iter().any(|(who, _, what)| who == role && what.contains(on));
    for (role, never) in [
        (
            "FetchRole",
            &["mime", "outcomes", "config", "GraphSecret", "ImapSecret", "ImportQueue", "DeadLetterQueue"][..],
        ),
        ("ConvertRole", &["state", "runs", "config", "GraphSecret", "ImapSecret"]),
        ("ImportRole", &["state", "runs", "inbox", "ArchiverSecret", "ConvertQueue"]),
        ("ScheduleRole", &["mime", "Secret", "DeadLetterQueue", "ConvertFunction", "ImportFunction"]),
    ] {
        for on in never {
            assert!(!may(role, on), "{role} may do something with {on}");
        }
    }
}

#[test]
fn the_prefixes_are_the_stores_own() {
    let template = Template::read();
    assert_eq!(template.section("Parameters")["UserMapKey"]["Default"], store::keys::USER_MAP);
    let granted = granted(&template);
    let granted: BTreeSet<_> = granted.iter().map(|(.., on)| on.as_str()).filter(|on| on.contains('/')).collect();
    let of = |folder: &str| format!("{folder}*");
    let key = item::ItemKey::try_from("0".repeat(32)).expect("a key");
    let mime = store::keys::mime("2026-11-22", &key);
    let mime = format!("{}/*", mime.split('/').next().expect("a folder"));
    let keys: BTreeSet<_> = [
        store::keys::CURSOR.to_owned(),
        of(store::keys::RUNS),
        of(store::keys::OUTCOMES),
        of(store::keys::INBOX),
        mime,
    ]
    .into();
    assert_eq!(granted, keys.iter().map(String::as_str).collect());
}
