//! Changes after the first deployment: updates, rollbacks, a failed change of the key, and a return to a kept bucket.

use std::{collections::BTreeMap, fs};

use anyhow::{Context, anyhow, ensure};
use aws::s3::{Condition, Put};
use aws_sdk_cloudformation::{
    error::DisplayErrorContext,
    types::{ChangeSetType, ResourceToImport},
};
use model::keys;
use serde_json::json;

use crate::stack::{Account, STACK, root};

const BASE: [(&str, &str); 2] = [("AlarmEmail", ""), ("LogDays", "30")];

/// The runbook lets an operator change these parameters at any time: no change may replace a resource with data or
/// messages.
#[tokio::test]
async fn safe_parameter_update_replaces_no_data_resource() -> anyhow::Result<()> {
    let account = Account::start_without_functions().await?;
    account.deploy(&BASE).await?;
    let first = account.resources().await?;
    let changes: [&[(&str, &str)]; 4] = [
        &[
            ("ConvertState", "DISABLED"),
            ("ImportState", "DISABLED"),
            ("ScheduleState", "DISABLED"),
            ("Schedule", "cron(0 5 * * ? *)"),
            ("ScheduleTimeZone", "Europe/Copenhagen"),
            ("ReserveFetch", "false"),
        ],
        &[
            ("SubnetIds", "subnet-0a1b2c3d,subnet-4e5f6a7b"),
            ("SecurityGroupIds", "sg-0a1b2c3d"),
            ("FipsEndpoints", "true"),
            ("Tracing", "Active"),
            ("Oversize", "import"),
        ],
        &[
            ("MimeDays", "180"),
            ("OutcomeDays", "3653"),
            ("ObjectLock", "enabled"),
            ("LogLevel", "warn"),
            ("ConvertConcurrency", "8"),
            ("ImportConcurrency", "8"),
        ],
        &[("Encryption", "customer-managed"), ("AccessLogBucket", "none")],
    ];
    for change in changes {
        account.deploy(&[&BASE[..], change].concat()).await?;
        let now = account.resources().await?;
        for (id, physical) in &first {
            let kept =
                ["Bucket", "Queue", "Function", "Secret", "Logs", "Schedule"].iter().any(|kind| id.ends_with(kind));
            // The log bucket leaves the stack with `none`, and is kept.
            let logs = id == "AccessLogs" && change.contains(&("AccessLogBucket", "none"));
            ensure!(
                !kept || logs || now.get(id) == Some(physical),
                "{change:?} replaced {id}: {physical} {:?}",
                now.get(id)
            );
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
    let both = |convert: &str, import: &str| {
        BTreeMap::from([("convert".to_owned(), convert.to_owned()), ("import".to_owned(), import.to_owned())])
    };
    assert_eq!(mappings().await?, both("Enabled", "Enabled"));
    account.deploy(&[&BASE[..], &[("ImportState", "DISABLED")]].concat()).await?;
    assert_eq!(mappings().await?, both("Enabled", "Disabled"));

    // A release that changes the template, and a rollback to the previous one.
    let before = account.releases()?.first().cloned().context("no package")?;
    account.edit_template(|template| template.replace("Description: Starts fetch", "Description: Starts it"))?;
    account.deploy(&[&BASE[..], &[("ImportState", "ENABLED")]].concat()).await?;
    let description = async || -> anyhow::Result<String> {
        let schedule = account.api.schedule(&format!("{STACK}-fetch")).await?;
        Ok(schedule["Description"].as_str().unwrap_or_default().to_owned())
    };
    assert_eq!((description().await?, mappings().await?), ("Starts it".to_owned(), both("Enabled", "Enabled")));
    account.roll_back(&before).await?;
    assert_eq!(description().await?, "Starts fetch");
    Ok(())
}

/// Objects may have been written under the key before the update failed.
#[tokio::test]
async fn key_survives_the_rollback_of_the_update_that_created_it() -> anyhow::Result<()> {
    let account = Account::start_without_functions().await?;
    account.deploy(&BASE).await?;
    let keys = account.api.keys().await?.len();
    account.edit_template(|template| {
        let fails = "  Fails:\n    Type: AWS::CloudFormation::WaitCondition\n    DependsOn: [ConvertQueue, Bucket]\n    \
            Properties: {Handle: !Ref FailsHandle, Timeout: \"1\", Count: 1}\n  FailsHandle:\n    \
            Type: AWS::CloudFormation::WaitConditionHandle\n\nOutputs:\n";
        template.replace("Outputs:\n", fails)
    })?;
    let failed = account.deploy(&[&BASE[..], &[("Encryption", "customer-managed")]].concat()).await;
    ensure!(failed.is_err(), "the update cannot succeed");
    let stack = account.formation().describe_stacks().stack_name(STACK).send().await?;
    let status = stack.stacks()[0].stack_status().context("no status")?.as_str().to_owned();
    assert_eq!(status, "UPDATE_ROLLBACK_COMPLETE");
    let now = account.api.keys().await?;
    assert_eq!(now.len(), keys + 1, "the key is kept");
    for key in now {
        assert_eq!(account.api.key_state(&key).await?, "Enabled", "{key}");
    }
    Ok(())
}

/// "Returning to a kept bucket" of the runbook: the new stack uses the outcomes of the old one.
#[tokio::test]
async fn new_stack_adopts_the_bucket_that_a_deleted_one_left() -> anyhow::Result<()> {
    let account = Account::start_without_functions().await?;
    account.deploy(&BASE).await?;
    let outputs = account.outputs().await?;
    let (name, secret) = (outputs.get("BucketName")?.to_owned(), outputs.get("GraphSecretArn")?.to_owned());
    let bucket = account.bucket(&outputs)?;
    let put = Put { key: keys::CURSOR, bytes: "{}".into(), content_type: "application/json", sha256: None };
    bucket.put(put, Condition::Always).await?;
    account.delete().await?;

    let secrets = aws_sdk_secretsmanager::Client::new(account.cloud.config());
    let kept = secrets.describe_secret().secret_id(&secret).send().await?;
    ensure!(kept.deleted_date().is_none(), "the secret outlives the stack");

    let formation = account.formation();
    let import = ResourceToImport::builder()
        .resource_type("AWS::S3::Bucket")
        .logical_resource_id("Bucket")
        .resource_identifier("BucketName", &name)
        .build();
    let change = formation.create_change_set().stack_name(STACK).change_set_name("adopt");
    let template = fs::read_to_string(root().join("infra/deploy/adopt.yaml"))?;
    let change = change.change_set_type(ChangeSetType::Import).resources_to_import(import).template_body(template);
    change.send().await.map_err(|error| anyhow!("{}", DisplayErrorContext(error)))?;
    formation.execute_change_set().stack_name(STACK).change_set_name("adopt").send().await?;
    let imported = async || {
        let stack = formation.describe_stacks().stack_name(STACK).send().await?;
        Ok(stack.stacks()[0].stack_status().is_some_and(|status| status.as_str() == "IMPORT_COMPLETE"))
    };
    account.until("the import", imported).await?;

    account.deploy(&BASE).await?;
    let outputs = account.outputs().await?;
    assert_eq!(outputs.get("BucketName")?, name);
    let cursor = account.bucket(&outputs)?.get(keys::CURSOR, 10).await?.context("the cursor is gone")?;
    assert_eq!(&cursor.bytes[..], b"{}");
    let import = account.api.function(outputs.get("ImportFunctionName")?).await?;
    assert_eq!(import["Environment"]["Variables"]["BUCKET"], json!(name));
    Ok(())
}
