//! What protects the data: encryption, transport, retention, and what outlives the stack.

use serde_json::{Value, json};

use crate::document::{Template, text};

const TWO_WEEKS: u64 = 14 * 24 * 3600;

/// A property that is one thing with a key of the customer's and another without.
fn by_key(value: &Value) -> (&Value, &Value) {
    let branches = value["Fn::If"].as_array().unwrap_or_else(|| panic!("not by Encryption: {value}"));
    assert_eq!(branches[0], "HasKey");
    (&branches[1], &branches[2])
}

fn nothing() -> Value {
    json!({"Ref": "AWS::NoValue"})
}

fn key() -> Value {
    json!({"Fn::GetAtt": "Key.Arn"})
}

#[test]
fn everything_that_rests_is_encrypted_and_by_the_customers_key_where_there_is_one() {
    let template = Template::read();
    for (id, queue) in template.of_type("AWS::SQS::Queue") {
        assert_eq!(by_key(&queue["SqsManagedSseEnabled"]), (&nothing(), &json!(true)), "{id}");
        assert_eq!(by_key(&queue["KmsMasterKeyId"]), (&key(), &nothing()), "{id}");
    }
    for of_type in ["AWS::SecretsManager::Secret", "AWS::Logs::LogGroup"] {
        for (id, properties) in template.of_type(of_type) {
            assert_eq!(by_key(&properties["KmsKeyId"]), (&key(), &nothing()), "{id}");
        }
    }
    let rule = &template.properties("Bucket")["BucketEncryption"]["ServerSideEncryptionConfiguration"][0];
    let by_default = &rule["ServerSideEncryptionByDefault"];
    assert_eq!(by_key(&by_default["SSEAlgorithm"]), (&json!("aws:kms"), &json!("AES256")));
    assert_eq!(by_key(&by_default["KMSMasterKeyID"]), (&key(), &nothing()));
    assert_eq!(by_key(&template.section("Globals")["Function"]["KmsKeyArn"]), (&key(), &nothing()));
    assert_eq!(by_key(&template.properties("AlarmTopic")["KmsMasterKeyId"]), (&key(), &nothing()));
}

/// Without the condition of the key every role loses its use, and all that was written under it is lost to them.
#[test]
fn who_chooses_the_key_is_told_that_there_is_no_way_back() {
    let template = Template::read();
    let parameter = template.section("Parameters")["Encryption"]["Description"].as_str().expect("a description");
    assert!(parameter.contains("One way"), "{parameter}");
    assert!(text("infra/RUNBOOK.md").contains("**`Encryption` goes one way**"));
}

#[test]
fn the_bucket_is_private_versioned_and_only_to_be_had_over_tls() {
    let template = Template::read();
    let bucket = template.properties("Bucket");
    let access = bucket["PublicAccessBlockConfiguration"].as_object().expect("a block");
    assert!(access.len() == 4 && access.values().all(|on| on == true));
    assert_eq!(bucket["VersioningConfiguration"]["Status"], "Enabled");
    let statements = template.properties("BucketPolicy")["PolicyDocument"]["Statement"].as_array().expect("statements");
    assert!(statements.iter().all(|statement| statement["Effect"] == "Deny"), "the policy grants nothing");
    for condition in [
        json!({"Bool": {"aws:SecureTransport": "false"}}),
        // In quotes in the template: S3 takes text.
        json!({"NumericLessThan": {"s3:TlsVersion": "1.2"}}),
    ] {
        let statement = statements.iter().find(|statement| statement["Condition"] == condition);
        let statement = statement.unwrap_or_else(|| panic!("nothing is refused on the condition {condition}"));
        assert_eq!((&statement["Principal"], &statement["Action"]), (&json!("*"), &json!("s3:*")));
        let everything = json!([{"Fn::GetAtt": "Bucket.Arn"}, {"Fn::Sub": "${Bucket.Arn}/*"}]);
        assert_eq!(statement["Resource"], everything, "{condition}");
    }
}

#[test]
fn every_queue_is_only_to_be_had_over_tls_and_keeps_what_it_has_for_two_weeks() {
    let template = Template::read();
    let [(_, policy)] = template.of_type("AWS::SQS::QueuePolicy")[..] else { panic!("one policy for all") };
    assert_eq!(policy["PolicyDocument"]["Statement"][0]["Effect"], "Deny");
    let covered = policy["Queues"].as_array().expect("queues");
    for (id, queue) in template.of_type("AWS::SQS::Queue") {
        assert!(covered.contains(&json!({"Ref": id})), "{id}");
        assert_eq!(queue["MessageRetentionPeriod"], TWO_WEEKS, "{id}");
    }
}

#[test]
fn the_dead_letter_queue_takes_letters_from_the_two_queues_and_they_know_no_other() {
    let template = Template::read();
    let allowed =
        template.properties("DeadLetterQueue")["RedriveAllowPolicy"]["sourceQueueArns"].as_array().expect("sources");
    for (index, queue) in ["ConvertQueue", "ImportQueue"].into_iter().enumerate() {
        let properties = template.properties(queue);
        let name = properties["QueueName"]["Fn::Sub"].as_str().expect("a name");
        let arn = allowed[index]["Fn::Sub"].as_str().expect("an ARN");
        assert_eq!(arn, format!("arn:${{AWS::Partition}}:sqs:${{AWS::Region}}:${{AWS::AccountId}}:{name}"));
        assert_eq!(properties["RedrivePolicy"]["deadLetterTargetArn"], json!({"Fn::GetAtt": "DeadLetterQueue.Arn"}));
    }
    assert_eq!(allowed.len(), 2);
    assert_eq!(template.properties("DeadLetterQueue")["RedriveAllowPolicy"]["redrivePermission"], "byQueue");
    // No queue's dead letters come to any other, and what is given up for good has no further queue.
    for queue in ["ConvertQueue", "ImportQueue", "ScheduleFailureQueue"] {
        let allowed = &template.properties(queue)["RedriveAllowPolicy"];
        assert_eq!(*allowed, json!({"redrivePermission": "denyAll"}), "{queue}");
    }
    for queue in ["DeadLetterQueue", "ScheduleFailureQueue"] {
        assert!(template.properties(queue).get("RedrivePolicy").is_none(), "{queue}");
    }
}

#[test]
fn no_secret_is_a_parameter_and_each_is_generated() {
    let template = Template::read();
    for name in template.section("Parameters").keys() {
        let lower = name.to_lowercase();
        assert!(!["secret", "password", "token"].iter().any(|word| lower.contains(word)), "{name}");
    }
    for (id, secret) in template.of_type("AWS::SecretsManager::Secret") {
        assert!(secret.get("SecretString").is_none(), "{id}");
        let shape = secret["GenerateSecretString"]["SecretStringTemplate"].as_str().expect("a shape");
        assert!(serde_json::from_str::<Value>(shape).is_ok_and(|shape| shape.is_object()), "{id}");
    }
}

#[test]
fn the_bucket_and_its_key_outlive_the_stack() {
    let template = Template::read();
    for id in ["Bucket", "Key"] {
        let resource = &template.section("Resources")[id];
        assert_eq!(resource["DeletionPolicy"], "RetainExceptOnCreate", "{id}");
        assert_eq!(resource["UpdateReplacePolicy"], "Retain", "{id}");
    }
}

#[test]
fn rendered_mail_stays_longer_than_a_dead_letter_that_may_need_it() {
    let template = Template::read();
    let days = template.section("Parameters")["MimeDays"]["AllowedValues"].as_array().expect("values");
    // A letter lives 14 days, and may be replayed on the last of them.
    assert!(days.iter().filter_map(Value::as_u64).all(|days| days == 0 || days >= 28));
    let rules = template.properties("Bucket")["LifecycleConfiguration"]["Rules"].as_array().expect("rules");
    let expiring: Vec<_> = rules.iter().filter(|rule| rule.to_string().contains("ExpirationInDays")).collect();
    assert_eq!(expiring.len(), 1, "only rendered mail expires");
    let rule = &expiring[0]["Fn::If"][1];
    assert_eq!(rule["Prefix"], "mime/");
    // What was removed or written over can be restored as long as a letter says so, and a month's proof after that.
    assert_eq!(rule["NoncurrentVersionExpiration"]["NoncurrentDays"], 30);
}

#[test]
fn every_function_logs_into_its_own_group_which_forgets() {
    let template = Template::read();
    for (binary, _, properties) in template.functions() {
        let group = properties["LoggingConfig"]["LogGroup"]["Ref"].as_str().expect("a log group");
        let group = template.properties(group);
        assert_eq!(group["LogGroupName"], json!({"Fn::Sub": format!("/aws/lambda/${{AWS::StackName}}-{binary}")}));
        assert_eq!(group["RetentionInDays"], json!({"Ref": "LogDays"}), "{binary}");
    }
}
