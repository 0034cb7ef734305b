//! Commands and facts of the runbook that protect a deployment. No linter and no emulator notices a missing one.

use crate::document::{Template, read_text};

/// Returns a section of a part of the runbook, by its heading.
pub(crate) fn read_section(part: &str, heading: &str) -> String {
    let runbook = read_text(&format!("infra/runbook/{part}.md"));
    let (_, section) = runbook
        .split_once(&format!("\n## {heading}\n"))
        .unwrap_or_else(|| panic!("the runbook has no section {heading}"));
    section.split("\n## ").next().unwrap_or_default().to_owned()
}

/// Returns `true` if the text contains the parts in this order.
fn contains_in_order(text: &str, parts: &[&str]) -> bool {
    let mut rest = text;
    parts.iter().all(|part| match rest.split_once(part) {
        Some((_, after)) => {
            rest = after;
            true
        }
        None => false,
    })
}

#[test]
fn runbook_protects_the_stack_with_two_commands() {
    let protecting = read_section("deploy", "Protecting the stack");
    assert!(
        protecting.contains("update-termination-protection --stack-name \"$STACK\" --enable-termination-protection")
    );
    assert!(protecting.contains(
        "set-stack-policy --stack-name \"$STACK\" --stack-policy-body file://infra/deploy/stack-policy.json"
    ));
    assert!(read_section("deploy", "First deployment").contains("[protect the stack](#protecting-the-stack)"));
    assert!(contains_in_order(
        &read_section("deploy", "Removing"),
        &["--no-enable-termination-protection", "sam delete"]
    ));
}

/// CloudFormation changes queues, bucket, secrets and roles one after another.
#[test]
fn runbook_pauses_the_steps_before_the_key_is_changed() {
    let key = read_section("deploy", "Your own key");
    let states = ["`ScheduleState=DISABLED`", "`ConvertState=DISABLED`", "`ImportState=DISABLED`"];
    assert!(contains_in_order(
        &key,
        &[&states[..], &["2. `Encryption=customer-managed`", "archiver doctor", "`ENABLED`"]].concat()
    ));
    assert!(key.contains("kms cancel-key-deletion"), "the section does not say how to cancel the deletion of the key");
}

/// Without the last run, what the source received since the run before is listed by no run.
#[test]
fn runbook_lists_a_source_to_its_end_before_a_change() {
    let steps = read_section("deploy", "Changing the source");
    let order = [
        "1. Stop what the source receives",
        "`ScheduleState=DISABLED`",
        "10 minutes",
        "invoke --function-name \"$STACK-fetch\"",
        "--payload '{\"last\":true}'",
        "**all** queues",
        "**all** dead letters",
        "archiver reconcile --stack \"$STACK\" --from",
        "--to <the time of step 1>",
        "6. Change `Source`",
    ];
    assert!(contains_in_order(&steps, &order), "a step is missing: {steps}");
    let removing = read_section("deploy", "Removing");
    let before = "1. Steps 1 to 5 of [Changing the source](#changing-the-source)";
    assert!(contains_in_order(&removing, &[before, "sam delete"]), "{removing}");
}

/// A stack of 0.1 has no `ImportState`, and an update enables a trigger that was disabled by hand: the template says so.
#[test]
fn runbook_keeps_import_disabled_until_outcomes_are_migrated() {
    let upgrading = read_section("deploy", "Upgrading");
    let (_, steps) = upgrading.split_once("**From 0.1**").expect("the section does not describe the update from 0.1");
    let disabled = ["`ScheduleState=DISABLED`", "`ConvertState=DISABLED`", "`ImportState=DISABLED`"];
    let deployed =
        ["--no-enabled", "3. `make deploy`", "archiver doctor", "archiver migrate", "exited with 0", "`ENABLED`"];
    assert!(contains_in_order(steps, &[&disabled[..], &deployed].concat()), "a step is missing: {steps}");
    let template = Template::read();
    for (function, state) in [("ConvertFunction", "ConvertState"), ("ImportFunction", "ImportState")] {
        let trigger = &template.properties(function)["Events"]["Tasks"]["Properties"]["Enabled"];
        assert_eq!(template.evaluate(trigger, &[(state, "DISABLED")]), false, "{function}");
    }
    let schedule = &template.properties("DailySchedule")["State"];
    assert_eq!(schedule["Ref"], "ScheduleState");
}

#[test]
fn runbook_describes_a_new_account_and_a_reused_name() {
    let first = read_section("deploy", "First deployment");
    for fact in ["wait 60 seconds", "get-account-settings", "`ReserveFetch=false`"] {
        assert!(first.contains(fact), "the section does not say {fact:?}");
    }
}

/// The stack must have the bucket before its first run. Otherwise every item is filed again.
#[test]
fn runbook_returns_to_a_kept_bucket_before_the_first_run() {
    let returning = read_section("deploy", "Returning to a kept bucket");
    let steps = [
        "--change-set-type IMPORT",
        "file://infra/deploy/adopt.yaml",
        "execute-change-set",
        "stack-import-complete",
        "make deploy",
        "archiver reconcile",
    ];
    assert!(contains_in_order(&returning, &steps), "a step is missing: {returning}");
    // The imported bucket must have the type and the policies that the whole template gives it.
    let adopted = Template::parse(&read_text("infra/deploy/adopt.yaml"));
    let (adopted, deployed) =
        (&adopted.section("Resources")["Bucket"], &Template::read().section("Resources")["Bucket"].clone());
    for member in ["Type", "DeletionPolicy", "UpdateReplacePolicy"] {
        assert_eq!(adopted[member], deployed[member], "{member}");
    }
}

#[test]
fn runbook_describes_a_private_network() {
    let network = read_section("deploy", "A private network");
    for need in [
        "`SubnetIds`",
        "`SecurityGroupIds`",
        "NAT gateway with an Elastic IP",
        "gateway endpoint for S3",
        "TCP 443",
        "`FipsEndpoints=true`",
    ] {
        assert!(network.contains(need), "the section does not say {need:?}");
    }
}

#[test]
fn runbook_describes_signing_rollback_and_microsofts_dates() {
    let protecting = read_section("deploy", "Protecting the stack");
    assert!(protecting.contains("create-budget") && protecting.contains("Malware Protection for S3"));
    let release = read_section("deploy", "A signed release");
    let steps =
        ["make build", "make sbom", "sha256sum", "ssh-keygen -Y sign", "ssh-keygen -Y verify", "sha256sum --check"];
    assert!(contains_in_order(&release, &steps), "a step is missing: {release}");
    let signer =
        ["put-signing-profile", "create-code-signing-config", "`CodeSigningConfigArn`", "make deploy SIGNING_PROFILE="];
    assert!(contains_in_order(&release, &signer), "a step is missing: {release}");
    assert!(read_section("deploy", "A copy in another region").contains("`ReplicaBucketArn`"));
    assert!(read_section("deploy", "Going back").contains("make rollback RELEASE="));
    let compliance = read_section("compliance", "Microsoft's dates");
    for fact in
        ["1 October 2026", "1 April 2027", "31 December 2026", "`Mail-Advanced.ReadWrite`", "`kind:externaldata`"]
    {
        assert!(compliance.contains(fact), "the section does not say {fact:?}");
    }
}

/// 0.1 reads no outcome of this release, and processes its tasks.
#[test]
fn going_back_to_the_first_release_is_forbidden() {
    assert!(read_section("deploy", "Going back").contains("**Never go back to 0.1**"));
}

/// convert and export read the digest of a stored message from its metadata.
#[test]
fn copy_into_another_account_keeps_the_digests_of_messages() {
    let section = read_section("deploy", "Returning to a kept bucket");
    let parts = ["sha256sum \"$key\"", "aws s3api put-object", "\"${facts[@]}\""];
    assert!(contains_in_order(&section, &parts), "{section}");
}
