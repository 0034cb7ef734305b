//! Compares the permissions with infra/deploy/PERMISSIONS.md and with the calls in the code.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::{
    code::read_product_code,
    document::{Template, read_text},
};

/// Role, action and resource, in the notation of infra/deploy/PERMISSIONS.md.
type Permission = (String, String, String);

/// The marks of the table, and the template's condition for each.
const MARKS: &[(char, &str)] = &[
    ('¹', "FromExports"),
    ('²', "FromArchiver"),
    ('³', "HasKey"),
    ('ᵏ', "HasEarlierKeys"),
    ('⁴', "Traced"),
    ('⁵', "ByGraph"),
    ('⁶', "ByImap"),
    ('⁷', "InVpc"),
    ('⁸', "Replicated"),
    ('⁹', "FromMails"),
    ('⁰', "FromInbox"),
    ('ʷ', "FromWebhooks"),
    ('ᵘ', "ByWebhookUrl"),
    ('ᵗ', "ByTopic"),
];

/// The crates of the product that send requests to AWS under each function's role.
const CRATES_BY_ROLE: &[(&str, &[&str])] = &[
    ("FetchRole", &["functions/fetch", "shared/source", "shared/ledger"]),
    ("ConvertRole", &["functions/convert", "shared/source", "shared/ledger", "shared/sqs-batch"]),
    ("ImportRole", &["functions/import", "shared/mailbox", "shared/ledger", "shared/sqs-batch"]),
    ("ReceiveRole", &["functions/receive", "shared/source/src/cloud_api", "shared/sqs-batch"]),
];

/// The permissions that a function needs to call an adapter crate.
const ADAPTER_CALLS: &[(&str, &[&str])] = &[
    // S3 reports a missing key only to a caller with permission to list the bucket.
    ("store.get(", &["s3:GetObject", "s3:ListBucket"]),
    ("store.get_if_changed(", &["s3:GetObject", "s3:ListBucket"]),
    ("store.read_digest(", &["s3:GetObject", "s3:ListBucket"]),
    ("store.find_version(", &["s3:GetObject", "s3:ListBucket"]),
    ("store.read_piece(", &["s3:GetObject"]),
    ("store.put(", &["s3:PutObject"]),
    ("store.put_large(", &["s3:PutObject", "s3:AbortMultipartUpload"]),
    ("store.list(", &["s3:ListBucket"]),
    ("secrets.get(", &["secretsmanager:GetSecretValue"]),
    ("sign_post(", &["social-messaging:GetWhatsAppMessageMedia"]),
    ("secrets.get::<", &["secretsmanager:GetSecretValue"]),
    ("convert_queue.send(", &["sqs:SendMessage"]),
    ("queue.send(", &["sqs:SendMessage"]),
    ("next.send(", &["sqs:SendMessage"]),
    ("dead_letters.send_dead_letter(", &["sqs:SendMessage"]),
    ("source.postpone(", &["sqs:ChangeMessageVisibility"]),
];

/// The permission for each call of the SDK. A call that is not listed fails the test below.
const SDK_CALLS: &[(&str, &str)] = &[
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

/// Actions that AWS's services perform with a function's role.
const ACTIONS_BY_AWS: &[&str] = &[
    "ec2:AssignPrivateIpAddresses",
    "ec2:CreateNetworkInterface",
    "ec2:DeleteNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:UnassignPrivateIpAddresses",
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

/// The roles of AWS's own services.
const SERVICE_ROLES: &[&str] = &["ScheduleRole", "ReplicationRole"];

fn list(value: &Value) -> Vec<&Value> {
    value.as_array().map_or_else(|| vec![value], |values| values.iter().collect())
}

/// Returns the roles, each with the document of its policy and the condition of that policy.
fn policies(template: &Template) -> Vec<(&str, &Value, Option<&'static str>)> {
    let mut found = Vec::new();
    for (role, properties) in template.resources_of_type("AWS::IAM::Role") {
        assert!(properties.get("ManagedPolicyArns").is_none(), "a role has a managed policy, which AWS may change");
        let Some(inline) = properties["Policies"].as_array() else { continue };
        assert_eq!(inline.len(), 1, "a role has more than one policy");
        found.push((role, &inline[0]["PolicyDocument"], None));
    }
    for (_, properties) in template.resources_of_type("AWS::IAM::Policy") {
        let role = properties["Roles"][0]["Ref"].as_str().expect("no role");
        found.push((role, &properties["PolicyDocument"], Some("Replicated")));
    }
    assert_eq!(found.len(), template.resources_of_type("AWS::IAM::Role").len(), "a role has no policy");
    found
}

/// Returns the statements of a policy, each with its condition.
fn statements(policy: &Value) -> Vec<(Option<&str>, &Value)> {
    let statements = policy["Statement"].as_array().expect("no statements");
    statements
        .iter()
        .map(|statement| match statement["Fn::If"].as_array().map(Vec::as_slice) {
            Some([condition, then, otherwise]) => {
                assert_eq!(
                    *otherwise,
                    json!({"Ref": "AWS::NoValue"}),
                    "the second branch of Fn::If is not AWS::NoValue"
                );
                (condition.as_str(), then)
            }
            Some(_) => panic!("Fn::If lacks a condition or a branch: {statement}"),
            None => (None, statement),
        })
        .collect()
}

/// Shortens a resource: `${Bucket.Arn}/mime/*` to `mime/*`, all objects to `Bucket/*`, and `!GetAtt Key.Arn` to `Key`.
fn short_resource(resource: &Value) -> String {
    if let Some(choice) = resource["Fn::If"].as_array() {
        assert_eq!(choice[0], "CreatesKey", "the key is neither the created nor the given one");
        return short_resource(&choice[1]);
    }
    if let Some(name) = resource["Fn::GetAtt"].as_str() {
        return name.trim_end_matches(".Arn").to_owned();
    }
    if let Some(name) = resource["Ref"].as_str() {
        return name.to_owned();
    }
    if let Some(list) = resource["Fn::Split"].as_array() {
        return short_resource(&list[1]);
    }
    let pattern = resource["Fn::Sub"].as_str().or(resource.as_str()).expect("no resource");
    let pattern = pattern.rsplit_once("${AWS::AccountId}:").map_or(pattern, |(_, name)| name);
    match pattern.strip_prefix("${Bucket.Arn}/") {
        Some("*") => "Bucket/*".to_owned(),
        prefix => prefix.unwrap_or(pattern).replace(['$', '{', '}'], ""),
    }
}

/// Returns the granted permissions.
fn granted_permissions(template: &Template) -> BTreeSet<Permission> {
    permissions_with_conditions(template).into_keys().collect()
}

/// Returns the granted permissions, each with the condition of the template under which it is granted.
fn permissions_with_conditions(template: &Template) -> BTreeMap<Permission, Option<String>> {
    let mut granted = BTreeMap::new();
    for (role, policy, policy_condition) in policies(template) {
        for (condition, statement) in statements(policy) {
            let condition = condition.or(policy_condition);
            assert_eq!(statement["Effect"], "Allow", "{role}");
            for action in list(&statement["Action"]) {
                let action = action.as_str().expect("the action is not a text");
                let targets = if action == "s3:ListBucket" && role != "ReplicationRole" {
                    // A listing is granted on the bucket, so the allowed prefixes are in the condition.
                    assert_eq!(statement["Resource"], json!({"Fn::GetAtt": "Bucket.Arn"}), "{role}");
                    let condition = statement["Condition"].as_object().expect("a listing has no prefix");
                    let (operator, keys) = condition.iter().next().expect("no condition");
                    assert!(
                        condition.len() == 1 && ["StringEquals", "StringLike"].contains(&operator.as_str()),
                        "{role}"
                    );
                    list(&keys["s3:prefix"])
                } else {
                    list(&statement["Resource"])
                };
                for target in targets {
                    let permission = (role.to_owned(), action.to_owned(), short_resource(target));
                    let before = granted.insert(permission, condition.map(str::to_owned));
                    assert!(before.is_none(), "{role} is granted {action} twice");
                }
            }
        }
    }
    granted
}

/// Returns the rows of the table, each with the code that needs it.
fn documented_permissions() -> Vec<(Permission, String)> {
    let table = read_text("infra/deploy/PERMISSIONS.md");
    let rows = table.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"));
    let rows = rows.map(|row| row.split(" | ").collect::<Vec<_>>()).filter(|cells| cells[0].ends_with("Role"));
    let row = |cells: Vec<&str>| {
        let [role, action, on, needed] = cells[..] else { panic!("a row has not four cells: {cells:?}") };
        ((role.to_owned(), action.to_owned(), on.to_owned()), needed.to_owned())
    };
    rows.map(row).filter(|((role, ..), _)| role != "Role").collect()
}

#[test]
fn permissions_match_their_documentation() {
    let rows = documented_permissions();
    let documented: BTreeSet<_> = rows.iter().map(|(permission, _)| permission.clone()).collect();
    let conditions = permissions_with_conditions(&Template::read());
    let granted: BTreeSet<_> = conditions.keys().cloned().collect();
    let undocumented: Vec<_> = granted.difference(&documented).collect();
    let not_granted: Vec<_> = documented.difference(&granted).collect();
    assert!(undocumented.is_empty(), "granted and not in infra/deploy/PERMISSIONS.md: {undocumented:?}");
    assert!(not_granted.is_empty(), "in infra/deploy/PERMISSIONS.md and not granted: {not_granted:?}");
    assert_eq!(rows.len(), documented.len(), "a row is repeated");

    let files = read_product_code();
    for (permission, needed) in rows {
        let mark = needed.chars().last().and_then(|mark| MARKS.iter().find(|(other, _)| *other == mark));
        let condition = mark.map(|(_, condition)| (*condition).to_owned());
        assert_eq!(condition, conditions[&permission], "wrong mark of {permission:?}");
        let (role, action, on) = permission;
        let is_by_aws = ACTIONS_BY_AWS.contains(&action.as_str())
            || SERVICE_ROLES.contains(&role.as_str())
            || on == "ScheduleFailureQueue";
        match needed.split_once(".rs `") {
            Some((path, rest)) => {
                let call = rest.split('`').next().expect("no call");
                let code = files.get(&format!("{path}.rs")).unwrap_or_else(|| panic!("{path}.rs is no product code"));
                let call: String = call.split_whitespace().collect();
                assert!(code.contains(&call), "{role} {action}: {path}.rs no longer has {call}");
                assert!(!is_by_aws, "{role} {action}: the row names code, but AWS itself makes this call");
                let (_, crates) =
                    CRATES_BY_ROLE.iter().find(|(listed, _)| *listed == role).expect("not the role of a function");
                let sdk = ["shared/aws/"];
                let is_own_crate = |path: &str| crates.iter().any(|folder| path.starts_with(&format!("{folder}/")));
                assert!(
                    is_own_crate(path) || sdk.iter().any(|folder| path.starts_with(folder)),
                    "{role} {action}: {path}.rs is not part of that function"
                );
            }
            None => assert!(is_by_aws, "{role} {action}: the row names no call: {needed}"),
        }
    }
}

#[test]
fn calls_of_the_code_match_the_granted_permissions() {
    let mut called = BTreeSet::new();
    for (path, code) in read_product_code() {
        if !code.contains("aws_sdk_") {
            continue;
        }
        for prefix in ["self.client.", "self.0."] {
            for call in code.split(prefix).skip(1).filter_map(|rest| rest.split_once("()")).map(|(name, _)| name) {
                let action = SDK_CALLS.iter().find(|(name, _)| *name == call);
                let (_, action) = action.unwrap_or_else(|| panic!("{path} calls {call}: add its action to this test"));
                called.insert((*action).to_owned());
            }
        }
    }
    let granted = granted_permissions(&Template::read());
    let used =
        granted.into_iter().filter(|(role, ..)| !SERVICE_ROLES.contains(&role.as_str())).map(|(_, action, _)| action);
    let used: BTreeSet<_> = used.filter(|action| !ACTIONS_BY_AWS.contains(&action.as_str())).collect();
    // Signed without an SDK: shared/aws/src/signed.rs.
    called.insert("social-messaging:GetWhatsAppMessageMedia".to_owned());
    assert_eq!(called, used);
}

/// The test above compares all roles together; this one compares each function with its own role.
#[test]
fn calls_of_each_function_match_its_role() {
    let granted = granted_permissions(&Template::read());
    let files = read_product_code();
    for (role, folders) in CRATES_BY_ROLE {
        let is_in_role = |path: &str| folders.iter().any(|folder| path.starts_with(&format!("{folder}/")));
        // The other functions link the receiver's part of the source and do not call it.
        let is_called = |path: &str| *role == "ReceiveRole" || !path.starts_with("shared/source/src/cloud_api/media/");
        let code = files.iter().filter(|(path, _)| is_in_role(path) && is_called(path));
        let code: String = code.map(|(_, code)| code.as_str()).collect();
        let called = ADAPTER_CALLS.iter().filter(|(call, _)| code.contains(call)).flat_map(|(_, actions)| *actions);
        let called: BTreeSet<_> = called.copied().collect();
        let used = granted
            .iter()
            .filter(|(granted_role, action, _)| granted_role == role && !ACTIONS_BY_AWS.contains(&action.as_str()));
        assert_eq!(called, used.map(|(_, action, _)| action.as_str()).collect(), "{role}");
    }
}

#[test]
fn wildcard_is_granted_only_where_aws_has_no_resources() {
    for (role, action, on) in granted_permissions(&Template::read()) {
        assert!(!action.contains('*'), "{role}: {action}");
        assert!(
            on != "*" || ["xray:", "ec2:"].iter().any(|service| action.starts_with(service)),
            "{role}: {action} is granted on every resource"
        );
        assert!(
            on.split('/').next().is_some_and(|folder| folder == "*" || !folder.contains('*')),
            "{role}: {action} is granted on {on}"
        );
    }
}

#[test]
fn role_has_no_permission_of_another_function() {
    let granted = granted_permissions(&Template::read());
    let has_permission = |role: &str, on: &str| {
        granted.iter().any(|(granted_role, _, target)| granted_role == role && target.contains(on))
    };
    for (role, forbidden) in [
        ("FetchRole", &["mime", "config", "GraphSecret", "ImapSecret", "ImportQueue", "DeadLetterQueue"][..]),
        ("ConvertRole", &["state", "runs", "config", "GraphSecret", "ImapSecret"]),
        ("ImportRole", &["state/cursor", "runs", "inbox", "ArchiverSecret", "ConvertQueue"]),
        (
            "ReceiveRole",
            &[
                "mime",
                "outcomes",
                "state",
                "runs",
                "config",
                "inbox",
                "captured",
                "GraphSecret",
                "ImapSecret",
                "ArchiverSecret",
                "ConvertQueue",
                "ImportQueue",
            ],
        ),
        ("ScheduleRole", &["mime", "Secret", "DeadLetterQueue", "ConvertFunction", "ImportFunction"]),
    ] {
        for on in forbidden {
            assert!(!has_permission(role, on), "{role} has a permission on {on}");
        }
    }
    // fetch looks up the items of exports that were filed under another id.
    let is_outcome = |target: &str| target.contains("outcomes");
    let mut of_fetch: Vec<&str> = granted
        .iter()
        .filter(|(role, _, target)| role == "FetchRole" && is_outcome(target))
        .map(|(_, action, _)| action.as_str())
        .collect();
    of_fetch.sort_unstable();
    assert_eq!(of_fetch, ["s3:GetObject", "s3:ListBucket"]);
}

#[test]
fn granted_prefixes_match_the_object_keys() {
    let template = Template::read();
    assert_eq!(template.section("Parameters")["UserMapKey"]["Default"], model::keys::USER_MAP);
    let granted = granted_permissions(&template);
    let of_functions = granted.iter().filter(|(role, ..)| !SERVICE_ROLES.contains(&role.as_str()));
    let in_bucket = of_functions.filter(|(_, action, _)| action.starts_with("s3:"));
    let granted: BTreeSet<_> = in_bucket.map(|(.., on)| on.as_str()).filter(|on| on.contains('/')).collect();
    let pattern = |folder: &str| format!("{folder}*");
    let keys: BTreeSet<_> = [
        model::keys::CURSOR.to_owned(),
        model::keys::USER_MAP_RECORD.to_owned(),
        pattern(model::keys::RUNS),
        pattern(model::keys::OUTCOMES),
        pattern(model::keys::INBOX),
        pattern(model::keys::MIME),
        pattern(model::keys::CAPTURED),
        pattern(model::keys::DELIVERIES),
        pattern(model::keys::INCIDENTS),
        pattern(model::keys::WEBHOOKS),
        pattern(model::keys::EVENTS),
        pattern(model::keys::AWAITED),
        pattern(model::keys::RECEIVED),
        pattern(model::keys::STATUSES),
        pattern(model::keys::PROCESSED),
        pattern(model::keys::HISTORIES),
        pattern(model::keys::UNRECOGNIZED),
        pattern(model::keys::MEDIA),
    ]
    .into();
    assert_eq!(granted, keys.iter().map(String::as_str).collect());
}

/// A deployer needs permissions for the service of each resource.
#[test]
fn deployer_permissions_name_every_service_of_the_template() {
    let document = read_text("infra/deploy/PERMISSIONS.md");
    let (_, section) = document.split_once("## The deployer").expect("no such section");
    for resource in Template::read().section("Resources").values() {
        let service = match resource["Type"].as_str().and_then(|kind| kind.split("::").nth(1)).expect("no type") {
            "Serverless" => "lambda".to_owned(),
            other => other.to_lowercase(),
        };
        assert!(section.contains(&format!("`{service}:")), "{service}");
    }
}

/// An organization that requires a permissions boundary or a path rejects a role without it.
#[test]
fn every_role_has_the_path_and_the_boundary() {
    let template = Template::read();
    let boundary = "arn:aws:iam::123456789012:policy/boundary";
    for (role, properties) in template.resources_of_type("AWS::IAM::Role") {
        assert_eq!(properties["Path"], json!({"Ref": "RolePath"}), "{role}");
        let bounded = |arn| template.evaluate(&properties["PermissionsBoundary"], &[("PermissionsBoundaryArn", arn)]);
        assert_eq!(bounded(boundary), json!({"Ref": "PermissionsBoundaryArn"}), "{role}");
        assert_eq!(bounded(""), json!({"Ref": "AWS::NoValue"}), "{role}");
    }
}
