//! Protection of the data: encryption, transport, retention, and deletion of the stack.

use serde_json::{Value, json};

use crate::{
    conditions::Parameters,
    document::{Template, read_text},
};

const TWO_WEEKS: u64 = 14 * 24 * 3600;

/// Deployments without a customer-managed key, with a key of the stack, and with an existing key.
const KEYS: [&Parameters<'_>; 3] = [
    &[("Encryption", "aws-owned")],
    &[("Encryption", "customer-managed")],
    &[("Encryption", "customer-managed"), ("KeyArn", "arn:aws:kms:eu-west-1:1:key/k")],
];

/// Returns the value of a property in each deployment of [`KEYS`].
fn values_by_key(template: &Template, value: &Value) -> [Value; 3] {
    KEYS.map(|parameters| template.evaluate(value, parameters))
}

#[test]
fn data_at_rest_uses_the_customer_key_when_given() {
    let template = Template::read();
    let keys = [json!({"Ref": "AWS::NoValue"}), json!({"Fn::GetAtt": "Key.Arn"}), json!({"Ref": "KeyArn"})];
    // A queue for what the key may have kept out of another queue.
    let has_key = |id: &str| id != "ReceiveUndeliveredQueue";
    for (id, queue) in template.resources_of_type("AWS::SQS::Queue").into_iter().filter(|(id, _)| has_key(id)) {
        // Set in both cases: SQS rejects a change that would enable both kinds.
        assert_eq!(
            values_by_key(&template, &queue["SqsManagedSseEnabled"]),
            [json!(true), json!(false), json!(false)],
            "{id}"
        );
        assert_eq!(values_by_key(&template, &queue["KmsMasterKeyId"]), keys, "{id}");
    }
    for resource_type in ["AWS::SecretsManager::Secret", "AWS::Logs::LogGroup"] {
        for (id, properties) in template.resources_of_type(resource_type) {
            assert_eq!(values_by_key(&template, &properties["KmsKeyId"]), keys, "{id}");
        }
    }
    let rule = &template.properties("Bucket")["BucketEncryption"]["ServerSideEncryptionConfiguration"][0];
    let by_default = &rule["ServerSideEncryptionByDefault"];
    assert_eq!(
        values_by_key(&template, &by_default["SSEAlgorithm"]),
        [json!("AES256"), json!("aws:kms"), json!("aws:kms")]
    );
    assert_eq!(values_by_key(&template, &by_default["KMSMasterKeyID"]), keys);
    assert_eq!(values_by_key(&template, &template.section("Globals")["Function"]["KmsKeyArn"]), keys);
    assert_eq!(values_by_key(&template, &template.properties("AlarmTopic")["KmsMasterKeyId"]), keys);
    assert_eq!(KEYS.map(|parameters| template.holds("CreatesKey", parameters)), [false, true, false]);
    assert_eq!(template.section("Resources")["Key"]["Condition"], "CreatesKey");
}

/// A change back would remove the access of every role to the key, and so to all data encrypted with it.
#[test]
fn encryption_parameter_is_documented_as_irreversible() {
    let template = Template::read();
    let parameter = template.section("Parameters")["Encryption"]["Description"].as_str().expect("no description");
    assert!(parameter.contains("One way"), "{parameter}");
    assert!(
        read_text("infra/runbook/operate.md")
            .contains("`Encryption` can be changed from `aws-owned` to `customer-managed`, and not back.")
    );
}

#[test]
fn bucket_is_private_versioned_and_requires_tls() {
    let template = Template::read();
    let bucket = template.properties("Bucket");
    let access = bucket["PublicAccessBlockConfiguration"].as_object().expect("no block of public access");
    assert!(access.len() == 4 && access.values().all(|on| on == true));
    assert_eq!(bucket["VersioningConfiguration"]["Status"], "Enabled");
    let statements =
        template.properties("BucketPolicy")["PolicyDocument"]["Statement"].as_array().expect("no statements");
    assert!(
        statements.iter().all(|statement| statement["Effect"] == "Deny"),
        "a statement of the bucket policy grants access"
    );
    for condition in [
        json!({"Bool": {"aws:SecureTransport": "false"}}),
        // In quotes in the template, because S3 expects text.
        json!({"NumericLessThan": {"s3:TlsVersion": "1.2"}}),
    ] {
        let statement = statements.iter().find(|statement| statement["Condition"] == condition);
        let statement = statement.unwrap_or_else(|| panic!("no statement denies on the condition {condition}"));
        assert_eq!((&statement["Principal"], &statement["Action"]), (&json!("*"), &json!("s3:*")));
        let everything = json!([{"Fn::GetAtt": "Bucket.Arn"}, {"Fn::Sub": "${Bucket.Arn}/*"}]);
        assert_eq!(statement["Resource"], everything, "{condition}");
    }
}

#[test]
fn queue_requires_tls_and_retains_messages_for_two_weeks() {
    let template = Template::read();
    let policies = template.resources_of_type("AWS::SQS::QueuePolicy");
    let mut covered = Vec::new();
    for (id, policy) in policies {
        let tls = &policy["PolicyDocument"]["Statement"][0];
        assert_eq!((&tls["Effect"], &tls["Principal"]), (&json!("Deny"), &json!("*")), "{id}");
        assert_eq!(tls["Condition"], json!({"Bool": {"aws:SecureTransport": "false"}}), "{id}");
        covered.extend(policy["Queues"].as_array().expect("no queues").iter().cloned());
    }
    for (id, queue) in template.resources_of_type("AWS::SQS::Queue") {
        let of_queue = covered.iter().filter(|covered| **covered == json!({"Ref": id}));
        assert_eq!(of_queue.count(), 1, "{id}: the queue does not have exactly one policy");
        assert_eq!(queue["MessageRetentionPeriod"], TWO_WEEKS, "{id}");
    }
}

/// Any other sender that may write to the queue could have an item filed.
#[test]
fn receive_queue_accepts_only_the_given_topic() {
    let template = Template::read();
    let statements = &template.properties("ReceiveQueuePolicy")["PolicyDocument"]["Statement"];
    let granted = |parameters: &Parameters<'_>| {
        let statements = template.evaluate(statements, parameters);
        let statements = statements.as_array().expect("no statements").clone();
        statements.into_iter().filter(|statement| statement["Effect"] != "Deny").collect::<Vec<_>>()
    };
    assert!(granted(&[("Source", "cloud-api")]).is_empty());
    let [statement] = &granted(&[("Source", "cloud-api"), ("SocialTopicArn", "arn:aws:sns:r:1:t")])[..] else {
        panic!("there is not exactly one grant")
    };
    assert_eq!(
        (&statement["Action"], &statement["Principal"]),
        (&json!("sqs:SendMessage"), &json!({"Service": "sns.amazonaws.com"}))
    );
    assert_eq!(statement["Condition"], json!({"ArnEquals": {"aws:SourceArn": {"Ref": "SocialTopicArn"}}}));
}

#[test]
fn dead_letter_queue_accepts_only_the_task_queues() {
    let template = Template::read();
    let allowed = &template.properties("DeadLetterQueue")["RedriveAllowPolicy"]["sourceQueueArns"];
    assert_eq!(
        template.evaluate(allowed, &[]).as_array().map(Vec::len),
        Some(2),
        "the number of source queues is wrong without webhooks"
    );
    let allowed = template.evaluate(allowed, &[("Source", "cloud-api")]);
    let allowed = allowed.as_array().expect("no sources");
    for (index, queue) in ["ConvertQueue", "ImportQueue", "ReceiveQueue"].into_iter().enumerate() {
        let properties = template.properties(queue);
        let name = properties["QueueName"]["Fn::Sub"].as_str().expect("no name");
        let arn = allowed[index]["Fn::Sub"].as_str().expect("no ARN");
        assert_eq!(arn, format!("arn:${{AWS::Partition}}:sqs:${{AWS::Region}}:${{AWS::AccountId}}:{name}"));
        assert_eq!(properties["RedrivePolicy"]["deadLetterTargetArn"], json!({"Fn::GetAtt": "DeadLetterQueue.Arn"}));
    }
    assert_eq!(allowed.len(), 3);
    assert_eq!(template.properties("DeadLetterQueue")["RedriveAllowPolicy"]["redrivePermission"], "byQueue");
    // No other queue is a dead-letter target, and the dead-letter queues have no further queue.
    for queue in ["ConvertQueue", "ImportQueue", "ReceiveQueue", "ReceiveUndeliveredQueue", "ScheduleFailureQueue"] {
        let allowed = &template.properties(queue)["RedriveAllowPolicy"];
        assert_eq!(*allowed, json!({"redrivePermission": "denyAll"}), "{queue}");
    }
    for queue in ["DeadLetterQueue", "ReceiveUndeliveredQueue", "ScheduleFailureQueue"] {
        assert!(template.properties(queue).get("RedrivePolicy").is_none(), "{queue}");
    }
}

#[test]
fn secrets_are_generated_and_never_parameters() {
    let template = Template::read();
    for name in template.section("Parameters").keys() {
        let lower = name.to_lowercase();
        assert!(!["secret", "password", "token"].iter().any(|word| lower.contains(word)), "{name}");
    }
    for (id, secret) in template.resources_of_type("AWS::SecretsManager::Secret") {
        assert!(secret.get("SecretString").is_none(), "{id}");
        let shape = secret["GenerateSecretString"]["SecretStringTemplate"].as_str().expect("no template of the secret");
        assert!(serde_json::from_str::<Value>(shape).is_ok_and(|shape| shape.is_object()), "{id}");
    }
}

/// A key is never deleted: an update that created it may be rolled back after objects were encrypted with it. Other
/// resources are empty when their creation fails.
#[test]
fn data_keys_and_secrets_outlive_the_stack() {
    let template = Template::read();
    for (resource_type, policy) in [
        ("AWS::S3::Bucket", "RetainExceptOnCreate"),
        ("AWS::SecretsManager::Secret", "RetainExceptOnCreate"),
        ("AWS::KMS::Key", "Retain"),
    ] {
        for (id, _) in template.resources_of_type(resource_type) {
            let resource = &template.section("Resources")[id];
            assert_eq!(resource["DeletionPolicy"], policy, "{id}");
            assert_eq!(resource["UpdateReplacePolicy"], "Retain", "{id}");
        }
    }
}

/// After a failover the failed stack's replication still has this bucket as its destination. S3 replicates with
/// `s3:ReplicateObject`, to which the conditions of a write do not apply.
#[test]
fn bucket_of_a_stack_accepts_no_replication() {
    let template = Template::read();
    let statements = &template.properties("BucketPolicy")["PolicyDocument"]["Statement"];
    let denied =
        statements.as_array().expect("no statements").iter().find(|statement| statement["Sid"] == "NoReplicas");
    assert_eq!(
        denied,
        Some(&json!({
            "Sid": "NoReplicas", "Effect": "Deny", "Principal": "*",
            "Action": ["s3:ReplicateObject", "s3:ReplicateDelete", "s3:ReplicateTags"],
            "Resource": {"Fn::Sub": "${Bucket.Arn}/*"},
        }))
    );
    let failover = crate::runbook::read_section("deploy", "A copy in another region");
    for step in ["`NoReplicas`", "reconcile --stack \"$STACK\" --settled --requeue"] {
        assert!(failover.contains(step), "the section does not say {step:?}");
    }
}

/// S3's documentation, "Enforce conditional writes": parts of a multipart upload take no such header and are excepted.
#[test]
fn mail_and_manifests_cannot_be_overwritten() {
    let template = Template::read();
    let statements =
        template.properties("BucketPolicy")["PolicyDocument"]["Statement"].as_array().expect("no statements");
    let statement = statements.iter().find(|statement| statement["Sid"] == "WriteOnce").expect("no such statement");
    assert_eq!(
        *statement,
        json!({
            "Sid": "WriteOnce", "Effect": "Deny", "Principal": "*", "Action": "s3:PutObject",
            "Resource": [{"Fn::Sub": "${Bucket.Arn}/mime/*"}, {"Fn::Sub": "${Bucket.Arn}/runs/*"}, {"Fn::Sub": "${Bucket.Arn}/captured/*"},
                {"Fn::Sub": "${Bucket.Arn}/webhooks/*"}, {"Fn::Sub": "${Bucket.Arn}/events/*"}],
            "Condition": {"Null": {"s3:if-none-match": "true"}, "Bool": {"s3:ObjectCreationOperation": "true"}},
        })
    );
    // An update must not apply the policy before the function that satisfies it.
    assert_eq!(template.section("Resources")["BucketPolicy"]["DependsOn"], "FetchFunction");
}

#[test]
fn bucket_access_is_logged_unless_disabled() {
    let template = Template::read();
    let logging = &template.properties("Bucket")["LoggingConfiguration"];
    let logged = |bucket| template.evaluate(logging, &[("AccessLogBucket", bucket)]);
    assert_eq!(logged("")["DestinationBucketName"], json!({"Ref": "AccessLogs"}));
    assert_eq!(logged("own-logs")["DestinationBucketName"], json!({"Ref": "AccessLogBucket"}));
    assert_eq!(logged("none"), json!({"Ref": "AWS::NoValue"}));
    assert_eq!(template.section("Parameters")["AccessLogBucket"]["Default"], "");
    let policy = &template.properties("AccessLogsPolicy")["PolicyDocument"]["Statement"];
    let grant = policy.as_array().expect("no statements").iter().find(|statement| statement["Effect"] == "Allow");
    let grant = grant.expect("S3 may not write");
    assert_eq!(
        (&grant["Principal"]["Service"], &grant["Action"]),
        (&json!("logging.s3.amazonaws.com"), &json!("s3:PutObject"))
    );
    // S3 writes under the prefix that the logging names.
    assert_eq!(grant["Resource"], json!({"Fn::Sub": "${AccessLogs.Arn}/${AWS::StackName}/*"}));
    assert_eq!(logged("")["LogFilePrefix"], json!({"Fn::Sub": "${AWS::StackName}/"}));
}

#[test]
fn object_lock_and_its_retention_are_separate() {
    let template = Template::read();
    let lock = |parameters: &Parameters<'_>| {
        template.evaluate(&template.properties("Bucket")["ObjectLockConfiguration"], parameters)
    };
    assert_eq!(lock(&[]), json!({"Ref": "AWS::NoValue"}));
    assert_eq!(lock(&[("ObjectLock", "enabled")]), json!({"ObjectLockEnabled": "Enabled"}));
    // Enabled in deployments of earlier releases, and it stays enabled when the number of days is removed.
    let days = lock(&[("ObjectLockDays", "30")]);
    assert_eq!(days["Rule"]["DefaultRetention"]["Days"], json!({"Ref": "ObjectLockDays"}));
    assert_eq!(days["ObjectLockEnabled"], "Enabled");
}

/// Otherwise reconcile would find manifests whose outcomes have expired, and report their items as missing.
#[test]
fn outcomes_and_manifests_expire_together() {
    use model::keys;
    let template = Template::read();
    let rules = |days| {
        let rules = &template.properties("Bucket")["LifecycleConfiguration"]["Rules"];
        let rules = template.evaluate(rules, &[("OutcomeDays", days), ("MimeDays", "0")]);
        let rules = rules.as_array().expect("no rules").iter();
        let expiring = rules.filter(|rule| rule["ExpirationInDays"] == json!({"Ref": "OutcomeDays"}));
        expiring.filter_map(|rule| rule["Prefix"].as_str().map(str::to_owned)).collect::<Vec<_>>()
    };
    assert_eq!(rules("365"), [keys::OUTCOMES, keys::PROCESSED, keys::HISTORIES, keys::RUNS, keys::DISCARDED]);
    assert!(rules("0").is_empty(), "by default the objects expire");
    assert_eq!(template.section("Parameters")["OutcomeDays"]["Default"], 0);
}

/// Otherwise import would take an item whose outcome was deleted for a new one, and file a second copy.
#[test]
fn outcomes_are_kept_as_long_as_import_assumes() {
    let template = Template::read();
    let days = template.section("Parameters")["OutcomeDays"]["AllowedValues"].as_array().expect("no values");
    let days: Vec<_> = days.iter().filter_map(Value::as_i64).filter(|days| *days != 0).collect();
    assert_eq!(days.iter().min(), Some(&model::MIN_OUTCOME_DAYS), "{days:?}");
}

#[test]
fn bucket_is_replicated_only_to_a_given_bucket() {
    let template = Template::read();
    let replication = &template.properties("Bucket")["ReplicationConfiguration"];
    assert_eq!(template.evaluate(replication, &[]), json!({"Ref": "AWS::NoValue"}));
    let replication = template.evaluate(replication, &[("ReplicaBucketArn", "arn:aws:s3:::replica")]);
    let rules = replication["Rules"].as_array().expect("no rules");
    assert!(!rules.is_empty(), "the list of rules is empty");
    for rule in rules {
        assert_eq!(
            (&rule["Status"], &rule["Destination"]),
            (&json!("Enabled"), &json!({"Bucket": {"Ref": "ReplicaBucketArn"}}))
        );
        // An object that is deleted in one region, by mistake or by age, is kept in the other.
        assert_eq!(rule["DeleteMarkerReplication"]["Status"], "Disabled");
    }
}

/// The template's rules must reject these, because S3 and IAM accept them.
#[test]
fn rules_reject_contradicting_parameters() {
    let template = Template::read();
    let given = [("ArchiverUrl", "https://archive.example.com"), ("GraphTenantId", "t"), ("GraphClientId", "c")];
    assert_eq!(template.violations(&given), Vec::<&str>::new());
    let cases: [(&Parameters<'_>, &str); 11] = [
        (&[("ArchiverUrl", "")], "needs ArchiverUrl"),
        (&[("Source", "chat-export")], "needs ExportTimeZone"),
        (&[("Source", "cloud-api"), ("WebhookUrl", "disabled")], "WebhookUrl enabled or SocialTopicArn"),
        (&[("Source", "eml-drop"), ("EmlHeaders", "id=X-Id")], "EmlHeaders needs EmlProfile generic"),
        (&[("GraphTenantId", "")], "needs GraphTenantId"),
        (&[("AlarmTopicArn", "arn:aws:sns:r:1:t"), ("AlarmEmail", "a@example.com")], "AlarmEmail"),
        (&[("KeyArn", "arn:aws:kms:r:1:key/k")], "KeyArn needs Encryption customer-managed"),
        (&[("EarlierKeyArns", "arn:aws:kms:r:1:key/k")], "EarlierKeyArns needs Encryption customer-managed"),
        (&[("SubnetIds", "subnet-1")], "SecurityGroupIds"),
        (&[("SecurityGroupIds", "sg-1")], "SecurityGroupIds"),
        (&[("ReplicaBucketArn", "arn:aws:s3:::r"), ("Encryption", "customer-managed")], "Encryption aws-owned"),
    ];
    for (wrong, message) in cases {
        let parameters = [&given[..], wrong].concat();
        let violations = template.violations(&parameters);
        assert!(violations.len() == 1 && violations[0].contains(message), "{wrong:?}: {violations:?}");
    }
    let both = [&given[..], &[("SubnetIds", "subnet-1"), ("SecurityGroupIds", "sg-1")]].concat();
    assert_eq!(template.violations(&both), Vec::<&str>::new());
}

#[test]
fn rendered_mail_is_kept_longer_than_a_dead_letter() {
    let template = Template::read();
    let days = template.section("Parameters")["MimeDays"]["AllowedValues"].as_array().expect("no values");
    // A dead letter is kept 14 days and may be replayed on the last day.
    assert!(days.iter().all(|days| days.as_u64().is_some_and(|days| days == 0 || days >= 28)), "{days:?}");
    let rules = template.properties("Bucket")["LifecycleConfiguration"]["Rules"].as_array().expect("no rules");
    let by_mime_days = |rule: &&Value| rule.to_string().contains("MimeDays");
    let expiring: Vec<_> = rules.iter().filter(by_mime_days).collect();
    let rules: Vec<_> = expiring.iter().map(|rule| &rule["Fn::If"][1]).collect();
    let prefixes: Vec<_> = rules.iter().map(|rule| &rule["Prefix"]).collect();
    let expected =
        ["mime/", "captured/", "webhooks/", "events/", "received/", "awaited/", "statuses/", "unrecognized/", "media/"];
    assert_eq!(prefixes, expected, "other objects than mails and their sources expire by MimeDays");
    // Removed or overwritten objects can be restored for 30 days, longer than a dead letter is kept.
    assert!(rules.iter().all(|rule| rule["NoncurrentVersionExpiration"]["NoncurrentDays"] == 30));
}

/// A vendor's file that no run has read must outlive an outage. The rule is the template's, because
/// `put-bucket-lifecycle-configuration` would replace all others.
#[test]
fn vendors_files_are_kept_longer_than_an_outage() {
    let template = Template::read();
    let days = template.section("Parameters")["InboxDays"].clone();
    assert_eq!(days["Default"], 0, "by default the files expire");
    let allowed = days["AllowedValues"].as_array().expect("no values");
    assert!(allowed.iter().all(|days| days.as_u64().is_some_and(|days| days == 0 || days >= 30)), "{allowed:?}");
    let rules = |parameters: &Parameters<'_>| {
        let rules = template.evaluate(&template.properties("Bucket")["LifecycleConfiguration"]["Rules"], parameters);
        let rules = rules.as_array().expect("no rules").clone().into_iter();
        rules.filter(|rule| rule["Prefix"] == model::keys::INBOX).collect::<Vec<_>>()
    };
    assert!(rules(&[("Source", "eml-drop")]).is_empty());
    assert!(rules(&[("Source", "chat-export"), ("InboxDays", "30")]).is_empty(), "a replay reads the export again");
    let expiring = rules(&[("Source", "eml-drop"), ("InboxDays", "30")]);
    assert!(expiring.len() == 1 && expiring[0]["ExpirationInDays"] == json!({"Ref": "InboxDays"}), "{expiring:?}");
    let runbook = crate::runbook::read_section("operate", "A vendor's mails");
    assert!(runbook.contains("`InboxDays`") && !runbook.contains("your own lifecycle rule"), "{runbook}");
}

/// In a versioned bucket only this rule removes overwritten objects and the parts of interrupted uploads.
#[test]
fn earlier_versions_and_interrupted_uploads_expire() {
    let template = Template::read();
    let rules = template.properties("Bucket")["LifecycleConfiguration"]["Rules"].as_array().expect("no rules");
    let rule = rules.iter().find(|rule| rule["Id"] == "earlier-versions").expect("no such rule");
    let expected = json!({
        "Id": "earlier-versions", "Status": "Enabled", "NoncurrentVersionExpiration": {"NoncurrentDays": 90},
        "ExpiredObjectDeleteMarker": true, "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1},
    });
    assert_eq!(*rule, expected);
    // No rule may expire the outcomes, which record that an item is filed.
    let evaluated: Vec<_> =
        rules.iter().map(|rule| template.evaluate(rule, &[("OutcomeDays", "0"), ("MimeDays", "90")])).collect();
    let expiring: Vec<_> =
        evaluated.iter().filter(|rule| rule.get("ExpirationInDays").is_some()).map(|rule| &rule["Prefix"]).collect();
    let captured =
        ["captured/", "webhooks/", "events/", "received/", "awaited/", "statuses/", "unrecognized/", "media/"];
    assert_eq!(expiring, [&["mime/"], &captured[..]].concat());
}

#[test]
fn function_log_group_has_a_retention() {
    let template = Template::read();
    for (binary, _, properties) in template.functions() {
        let group = properties["LoggingConfig"]["LogGroup"]["Ref"].as_str().expect("no log group");
        let group = template.properties(group);
        assert_eq!(group["LogGroupName"], json!({"Fn::Sub": format!("/aws/lambda/${{AWS::StackName}}-{binary}")}));
        assert_eq!(group["RetentionInDays"], json!({"Ref": "LogDays"}), "{binary}");
    }
}
