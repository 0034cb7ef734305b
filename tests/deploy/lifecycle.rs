//! Changes after the first deployment: updates, rollbacks, a failed change of the key, and a return to a kept bucket.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use anyhow::{Context, anyhow, ensure};
use aws::s3::{Condition, Put};
use aws_sdk_cloudformation::{
    error::DisplayErrorContext,
    types::{ChangeSetType, ResourceToImport},
};
use model::keys;
use saphyr::{LoadableYamlNode, Yaml};
use serde_json::json;

use crate::stack::{Account, STACK, root};

/// Parameters of the first deployment.
const BASE: [(&str, &str); 2] = [("AlarmEmail", ""), ("LogDays", "30")];

/// Parameters that are not in [`UPDATES`], because their change has a consequence that the runbook describes
/// ("Changing a parameter") and tests of their own below.
const WITH_CONSEQUENCES: [&str; 2] = ["Source", "Mailbox"];

/// The architecture that the functions are updated to.
const OTHER_ARCHITECTURE: &str = if cfg!(target_arch = "aarch64") { "x86_64" } else { "arm64" };

/// Updates, one after another: a parameter that an update does not name keeps its value.
const UPDATES: &[&[(&str, &str)]] = &[
    &[
        ("ConvertState", "DISABLED"),
        ("ImportState", "DISABLED"),
        ("ScheduleState", "ENABLED"),
        ("Schedule", "cron(0 5 * * ? *)"),
        ("ScheduleTimeZone", "Europe/Copenhagen"),
        ("ReserveFetch", "false"),
        ("SubnetIds", "subnet-0a1b2c3d,subnet-4e5f6a7b"),
        ("SecurityGroupIds", "sg-0a1b2c3d"),
        ("FipsEndpoints", "true"),
        ("Tracing", "Active"),
        ("Oversize", "import"),
        ("OversizeMaxBytes", "104857600"),
        ("MaxItemBytes", "5000000"),
        ("MimeDays", "180"),
        ("OutcomeDays", "3653"),
        ("ObjectLock", "enabled"),
        ("NothingListedDays", "7"),
        ("LogLevel", "warn"),
        ("LogDays", "365"),
        ("AccessLogDays", "30"),
        ("ConvertConcurrency", "8"),
        ("ImportConcurrency", "8"),
        ("RetryBaseSeconds", "10"),
        ("Architecture", OTHER_ARCHITECTURE),
    ],
    &[
        ("ArchiverUrl", "https://other.example.com/api"),
        ("OverlapHours", "48"),
        ("MissingRetrySeconds", "3600"),
        ("TimeZone", "Europe/Copenhagen"),
        ("UserMapKey", "config/other.csv"),
        ("AutomaticMapping", "false"),
        ("DefaultRegion", "DK"),
        ("TenantDomains", "example.com, example.org"),
        ("RetryHours", "48"),
        ("CatchAllMailbox", "rest@example.com"),
        ("LookUpBefore", "2026-11-28T10:00:00Z"),
        ("MailFolder", "WhatsApp"),
        ("ArchiveDomain", "other.example.com"),
        ("GraphCloud", "usgov-high"),
        ("GraphTenantId", "contoso.onmicrosoft.com"),
        ("GraphClientId", "11111111-2222-3333-4444-555555555555"),
        ("GraphMessageClass", "IPM.Note"),
        ("ImapHost", "mail.example.com:1993"),
        ("ImapDomains", "example.com"),
        ("ImapProbeMailbox", "probe@example.com"),
        ("ExportTimeZone", "Europe/Copenhagen"),
        ("ExportDateOrder", "day-month-year"),
        ("ExportParticipants", "mapped"),
        ("EmlProfile", "generic"),
        ("EmlHeaders", "id=X-Archive-Id,chat=X-Chat-Id"),
        ("EmlParticipants", "address"),
        ("InboxDays", "30"),
    ],
    &[
        ("AlarmEmail", "other@example.com"),
        ("PermissionsBoundaryArn", "arn:aws:iam::000000000000:policy/boundary"),
        ("CodeSigningConfigArn", "arn:aws:lambda:us-east-1:000000000000:code-signing-config:csc-0a1b2c3d4e5f60718"),
        ("ReplicaBucketArn", "arn:aws:s3:::replica"),
        ("ObjectLockMode", "COMPLIANCE"),
        ("ObjectLockDays", "1"),
    ],
    &[("ReplicaBucketArn", ""), ("Encryption", "customer-managed"), ("AccessLogBucket", "none")],
    &[
        ("KeyArn", "arn:aws:kms:us-east-1:000000000000:key/0a1b2c3d"),
        (
            "EarlierKeyArns",
            "arn:aws:kms:us-east-1:000000000000:key/4e5f6a7b,arn:aws:kms:us-east-1:000000000000:key/8c9d0e1f",
        ),
        ("AlarmTopicArn", "arn:aws:sns:us-east-1:000000000000:alarms"),
        ("RolePath", "/archiver/"),
    ],
];

/// Updates of a deployment that receives webhooks.
const WEBHOOK_UPDATES: &[&[(&str, &str)]] = &[
    &[("ReceiveState", "DISABLED"), ("ReserveReceive", "0"), ("ReceiveConcurrency", "8")],
    &[
        ("WebhookHeader", "X-Provider"),
        ("WebhookPayload", "eventDetails.rawEvent"),
        ("MetaGraphUrl", "https://graph.facebook.com/v26.0"),
        ("SocialTopicArn", "arn:aws:sns:us-east-1:000000000000:webhooks"),
    ],
    &[("WebhookUrl", "disabled"), ("SocialTopicArn", "arn:aws:sns:us-east-1:000000000000:other")],
];

/// Resources that a change of the parameter removes from the stack, and that AWS keeps by the template's policies.
const REMOVED_RESOURCES: [(&str, &str); 2] = [("AccessLogBucket", "AccessLogs"), ("WebhookUrl", "WebhookSecret")];

/// Deploys, makes each update, and asserts that none replaces a resource with data or messages.
async fn assert_updates_keep_data(base: &[(&str, &str)], changes: &[&[(&str, &str)]]) -> anyhow::Result<()> {
    const ID_SUFFIXES: [&str; 6] = ["Bucket", "Queue", "Function", "Secret", "Logs", "Schedule"];
    let account = Account::start_without_functions().await?;
    account.apply(base).await?;
    let first = account.resources().await?;
    let mut changed = BTreeSet::new();
    let mut values = account.parameters().await?;
    for change in changes {
        for (name, value) in *change {
            ensure!(
                values.insert((*name).to_owned(), (*value).to_owned()).as_deref() != Some(value),
                "{name} does not change"
            );
        }
        let names: BTreeSet<_> = change.iter().map(|(name, _)| *name).collect();
        let unchanged = base.iter().filter(|(name, _)| !names.contains(name)).copied();
        account.apply(&unchanged.chain(change.iter().copied()).collect::<Vec<_>>()).await?;
        changed.extend(names);
        let now = account.resources().await?;
        for (id, physical) in first.iter().filter(|(id, _)| ID_SUFFIXES.iter().any(|suffix| id.ends_with(suffix))) {
            let is_removed = REMOVED_RESOURCES.iter().any(|(name, removed)| removed == id && changed.contains(name));
            let is_same = now.get(id) == Some(physical);
            ensure!(is_removed || is_same, "{change:?} replaced {id}: {physical} became {:?}", now.get(id));
        }
    }
    Ok(())
}

#[tokio::test]
async fn parameter_update_replaces_no_data_resource() -> anyhow::Result<()> {
    assert_updates_keep_data(&BASE, UPDATES).await
}

#[tokio::test]
async fn webhook_parameter_update_replaces_no_data_resource() -> anyhow::Result<()> {
    assert_updates_keep_data(&[&BASE[..], &[("Source", "cloud-api")]].concat(), WEBHOOK_UPDATES).await
}

/// A parameter that is in none of the lists above would not be tested.
#[test]
fn every_parameter_is_updated_by_a_test() -> anyhow::Result<()> {
    let template = fs::read_to_string(root().join("template.yaml"))?;
    let template = Yaml::load_from_str(&template)?;
    let parameters =
        template.first().context("an empty template")?["Parameters"].as_mapping().context("no parameters")?;
    let names: BTreeSet<_> = parameters.keys().filter_map(|name| name.as_str()).collect();
    let changes = UPDATES.iter().chain(WEBHOOK_UPDATES).copied().flatten().map(|(name, _)| *name);
    assert_eq!(changes.chain(WITH_CONSEQUENCES).collect::<BTreeSet<_>>(), names);
    Ok(())
}

/// A mistaken change of `Source` or `Mailbox` loses neither the value of a secret nor a message.
#[tokio::test]
async fn change_of_source_or_mailbox_keeps_the_secret() -> anyhow::Result<()> {
    let account = Account::start_without_functions().await?;
    account.apply(&BASE).await?;
    let outputs = account.outputs().await?;
    let secrets = aws_sdk_secretsmanager::Client::new(account.cloud.config());
    let imap = [("Mailbox", "imap"), ("ImapHost", "mail.example.com"), ("ImapDomains", "example.com")];
    for (output, change) in [
        ("ArchiverSecretArn", &[("Source", "chat-export"), ("ExportTimeZone", "UTC")][..]),
        ("GraphSecretArn", &imap[..]),
    ] {
        account.apply(&[&BASE[..], change].concat()).await?;
        let secret = outputs.get(output)?;
        let now = account.outputs().await?;
        ensure!(now.get(output).is_err(), "{output} is still in the stack");
        let kept = secrets.describe_secret().secret_id(secret).send().await?;
        ensure!(kept.deleted_date().is_none(), "{output} was deleted by the change");
        for queue in ["ConvertQueueUrl", "ImportQueueUrl", "DeadLetterQueueUrl"] {
            assert_eq!(now.get(queue)?, outputs.get(queue)?, "{change:?}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn state_parameters_pause_steps_and_redeployment_resumes() -> anyhow::Result<()> {
    let account = Account::start_without_functions().await?;
    account.deploy(&[&BASE[..], &[("MailFolder", "WhatsApp")]].concat()).await?;
    let mappings = async || -> anyhow::Result<BTreeMap<String, String>> {
        let found = account
            .api
            .mappings()
            .await?
            .into_iter()
            .map(|(queue, state)| (queue.rsplit('-').next().unwrap_or_default().to_owned(), state));
        Ok(found.collect())
    };
    let states = |convert: &str, import: &str| {
        BTreeMap::from([("convert".to_owned(), convert.to_owned()), ("import".to_owned(), import.to_owned())])
    };
    assert_eq!(mappings().await?, states("Enabled", "Enabled"));
    let before = account.releases()?.pop().context("no package")?;
    account.apply(&[&BASE[..], &[("ImportState", "DISABLED")]].concat()).await?;
    assert_eq!(mappings().await?, states("Enabled", "Disabled"));

    // A release that changes the template, and a rollback to the previous one.
    account.edit_template(|template| template.replace("Description: Starts fetch", "Description: Starts it"))?;
    account.deploy(&[&BASE[..], &[("ImportState", "ENABLED")]].concat()).await?;
    let after = account.releases()?.pop().context("no package")?;
    let code = |release: &str| -> anyhow::Result<Vec<String>> {
        let package = account.package(release)?;
        Ok(package.lines().filter(|line| line.contains("CodeUri: s3://")).map(str::to_owned).collect())
    };
    assert_eq!((code(&before)?.len(), code(&after)?), (4, code(&before)?), "the same code was packaged differently");
    let description = async || -> anyhow::Result<String> {
        let schedule = account.api.schedule(&format!("{STACK}-fetch")).await?;
        Ok(schedule["Description"].as_str().unwrap_or_default().to_owned())
    };
    assert_eq!((description().await?, mappings().await?), ("Starts it".to_owned(), states("Enabled", "Enabled")));
    account.roll_back(&before).await?;
    assert_eq!(description().await?, "Starts fetch");
    Ok(())
}

/// Follows the runbook's section "A signed release". AWS itself rejects other code, which is not tested.
#[tokio::test]
async fn signed_package_has_the_code_that_the_signer_wrote() -> anyhow::Result<()> {
    let account = Account::start_without_functions().await?;
    account.api.create_signing_profile("whatsapp_archiver").await?;
    account.deploy_signed("whatsapp_archiver", &BASE).await?;
    let release = account.releases()?.first().cloned().context("no package")?;
    let package = account.package(&release)?;
    let signed = account.api.signed_objects().await?;
    ensure!(!signed.is_empty(), "nothing was signed");
    for (source, signed) in &signed {
        ensure!(package.contains(signed) && !package.contains(&format!("{source}\n")), "{source} {signed}: {package}");
    }
    // All bootstraps of this test are the same file, so several functions may have the same signed object.
    assert_eq!(package.matches("CodeUri: s3://").count(), 4, "{package}");
    Ok(())
}

/// Objects may have been written under the key before the update failed.
#[tokio::test]
async fn key_survives_the_rollback_of_the_update_that_created_it() -> anyhow::Result<()> {
    let account = Account::start_without_functions().await?;
    account.apply(&BASE).await?;
    let keys = account.api.keys().await?.len();
    account.edit_template(|template| {
        let failing = "  Fails:\n    Type: AWS::CloudFormation::WaitCondition\n    \
            DependsOn: [ConvertQueue, Bucket]\n    \
            Properties: {Handle: !Ref FailsHandle, Timeout: \"1\", Count: 1}\n  FailsHandle:\n    \
            Type: AWS::CloudFormation::WaitConditionHandle\n\nOutputs:\n";
        template.replace("Outputs:\n", failing)
    })?;
    let failed = account.apply(&[&BASE[..], &[("Encryption", "customer-managed")]].concat()).await;
    ensure!(failed.is_err(), "the update succeeded unexpectedly");
    assert_eq!(account.status().await?, "UPDATE_ROLLBACK_COMPLETE");
    let now = account.api.keys().await?;
    assert_eq!(now.len(), keys + 1, "the key was deleted");
    for key in now {
        assert_eq!(account.api.key_state(&key).await?, "Enabled", "{key}");
    }
    Ok(())
}

/// Follows the runbook's section "Returning to a kept bucket".
#[tokio::test]
async fn new_stack_adopts_the_bucket_of_a_deleted_stack() -> anyhow::Result<()> {
    let account = Account::start_without_functions().await?;
    account.apply(&BASE).await?;
    let outputs = account.outputs().await?;
    let (name, secret) = (outputs.get("BucketName")?.to_owned(), outputs.get("GraphSecretArn")?.to_owned());
    let bucket = account.bucket(&outputs)?;
    let put = Put { key: keys::CURSOR, bytes: "{}".into(), content_type: "application/json", sha256: None };
    bucket.put(put, Condition::Always).await?;
    account.remove().await?;

    let secrets = aws_sdk_secretsmanager::Client::new(account.cloud.config());
    let kept = secrets.describe_secret().secret_id(&secret).send().await?;
    ensure!(kept.deleted_date().is_none(), "the secret was deleted with the stack");

    let client = account.cloudformation();
    let import = ResourceToImport::builder()
        .resource_type("AWS::S3::Bucket")
        .logical_resource_id("Bucket")
        .resource_identifier("BucketName", &name)
        .build();
    let change = client.create_change_set().stack_name(STACK).change_set_name("adopt");
    let template = fs::read_to_string(root().join("infra/deploy/adopt.yaml"))?;
    let change = change.change_set_type(ChangeSetType::Import).resources_to_import(import).template_body(template);
    change.send().await.map_err(|error| anyhow!("{}", DisplayErrorContext(error)))?;
    client.execute_change_set().stack_name(STACK).change_set_name("adopt").send().await?;
    let imported = async || Ok(account.status().await? == "IMPORT_COMPLETE");
    account.wait_until("the import of the bucket", imported).await?;

    account.deploy(&BASE).await?;
    let outputs = account.outputs().await?;
    assert_eq!(outputs.get("BucketName")?, name);
    let cursor = account.bucket(&outputs)?.get(keys::CURSOR, 10).await?.context("the cursor is missing")?;
    assert_eq!(&cursor.bytes[..], b"{}");
    let import = account.api.function_configuration(outputs.get("ImportFunctionName")?).await?;
    assert_eq!(import["Environment"]["Variables"]["BUCKET"], json!(name));
    Ok(())
}
