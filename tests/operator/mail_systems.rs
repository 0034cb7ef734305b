//! The checks of each mail system for which import can be configured.

use std::collections::HashMap;

use aws_sdk_lambda::types::Environment;
use dovecot::{Dovecot, MASTER, MASTER_PASSWORD, Options};
use graph_fake::{CLIENT_SECRET, TENANT_ID};
use jiff::Timestamp;
use model::{FiledMailbox, FilingResult, ItemId, Outcome, keys};
use serde_json::json;
use tempfile::TempDir;

use crate::{
    stack::{ADA, FROM, NAME, Stack, TO},
    transcript::assert_transcript,
};

const DOCTOR: [&str; 5] = ["doctor", "--stack", NAME, "--mailbox", ADA];

/// Changes environment variables of import in the stack.
async fn set_import_variables(stack: &Stack, changed: &[(&str, &str)]) {
    let lambda = aws_sdk_lambda::Client::new(stack.cloud.config());
    let import = format!("{NAME}-import");
    let configured = lambda.get_function_configuration().function_name(&import).send().await.unwrap();
    let mut variables: HashMap<_, _> = configured.environment.unwrap().variables.unwrap();
    variables.extend(changed.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    let environment = Environment::builder().set_variables(Some(variables)).build();
    lambda.update_function_configuration().function_name(&import).environment(environment).send().await.unwrap();
}

/// Compares the lines about the mail system with the snapshot of this name.
async fn check(stack: &Stack, name: &str, arguments: &[&str]) {
    let output = stack.run(arguments).await;
    let is_relevant = |line: &&str| {
        ["Graph", "IMAP", "mailbox", "import's settings", "→", "exit code"].iter().any(|word| line.contains(word))
    };
    let lines: Vec<_> = output.lines().filter(is_relevant).collect();
    assert_transcript(name, &lines.join("\n"));
}

#[tokio::test]
async fn doctor_checks_each_mail_system() {
    let stack = Stack::start().await;
    set_import_variables(&stack, &[("MAILBOX", "graph-import-mime")]).await;
    check(&stack, "doctor-import-mime-not-granted", &DOCTOR).await;
    stack.graph.set_roles(&["User.Read.All", "Mail-Advanced.ReadWrite.All"]);
    check(&stack, "doctor-import-mime", &DOCTOR).await;
    stack.graph.set_roles(&["User.Read.All", "Mail-Advanced.ReadWrite.All", "Mail.Send"]);
    check(&stack, "doctor-import-mime-excessive", &DOCTOR).await;

    let mut server = Dovecot::start(&Options { users: vec![ADA.to_owned()], ..Options::default() }).unwrap();
    let host = server.host();
    let imap = [
        ("MAILBOX", "imap"),
        ("GRAPH_TENANT_ID", ""),
        ("IMAP_HOST", host.as_str()),
        ("IMAP_DOMAINS", "example.com"),
        ("IMAP_PROBE_MAILBOX", ADA),
        ("IMAP_SECRET_ID", "wa-imap"),
    ];
    set_import_variables(&stack, &imap).await;
    check(&stack, "doctor-imap-no-secret", &DOCTOR).await;
    // The template's placeholder.
    stack.put_secret("wa-imap", &json!({"username": "to be filled in", "password": "x"})).await;
    check(&stack, "doctor-imap-not-filled-in", &["doctor", "--stack", NAME]).await;
    stack.put_secret("wa-imap", &json!({"username": MASTER, "password": "wrong"})).await;
    check(&stack, "doctor-imap-wrong-secret", &DOCTOR).await;
    stack.put_secret("wa-imap", &json!({"username": MASTER, "password": MASTER_PASSWORD})).await;
    check(&stack, "doctor-imap", &DOCTOR).await;
    check(&stack, "doctor-imap-mailbox-missing", &["doctor", "--stack", NAME, "--mailbox", "nobody@example.com"]).await;
    check(&stack, "doctor-imap-unnamed", &["doctor", "--stack", NAME]).await;
    server.kill();
    check(&stack, "doctor-imap-unreachable", &DOCTOR).await;

    // The part of Exchange Online that Entra provides.
    set_import_variables(&stack, &[("GRAPH_TENANT_ID", TENANT_ID)]).await;
    let unnamed = ["doctor", "--stack", NAME];
    check(&stack, "doctor-exchange-not-filled-in", &unnamed).await;
    stack.put_secret("wa-imap", &json!({"client_secret": "wrong"})).await;
    check(&stack, "doctor-exchange-wrong-secret", &unnamed).await;
    stack.put_secret("wa-imap", &json!({"client_secret": CLIENT_SECRET})).await;
    stack.graph.set_roles(&["User.Read.All"]);
    check(&stack, "doctor-exchange-not-granted", &unnamed).await;
    stack.graph.set_roles(&["IMAP.AccessAsApp"]);
    check(&stack, "doctor-exchange", &unnamed).await;
}

#[tokio::test]
async fn reconcile_checks_the_mailboxes_of_the_configured_mail_system() {
    let stack = Stack::start().await;
    let id: ItemId = "WA-1".parse().unwrap();
    let at: Timestamp = "2026-11-21T07:00:00Z".parse().unwrap();
    let mut outcome = Outcome::new(id.clone());
    outcome.message_id = Some("<wa-1@archive.example.com>".to_owned());
    outcome.mailboxes.push(FiledMailbox {
        id: None,
        address: ADA.parse().unwrap(),
        primary: None,
        participants: Vec::new(),
        result: FilingResult::Imported,
        message: "AAMk".to_owned(),
        at,
    });
    let line = json!({"item": id, "archived_time": at}).to_string();
    stack.put_run(&line).await;
    let key = keys::outcome(&id.key());
    stack.put(&key, &String::from_utf8(outcome.to_json()).unwrap()).await;
    let deep = ["reconcile", "--stack", NAME, "--from", FROM, "--to", TO, "--deep"];
    assert_transcript("reconcile-deep-deleted", &stack.run(&deep).await);
    stack.graph.remove(ADA);
    assert_transcript("reconcile-deep-mailbox-gone", &stack.run(&deep).await);
    set_import_variables(&stack, &[("MAILBOX", "pigeon")]).await;
    assert_transcript("reconcile-deep-no-mail-system", &stack.run(&deep).await);
}

#[tokio::test]
async fn mailboxes_of_a_user_map_are_looked_up_before_its_upload() {
    let stack = Stack::start().await;
    let directory = TempDir::new().unwrap();
    let file = |name: &str, rows: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, format!("Mobile number,E-mail address\n{rows}")).unwrap();
        path.to_str().unwrap().to_owned()
    };
    // The country of the numbers is a parameter of the stack.
    let good = file("good.csv", "20 12 34 56,ada@example.com\n");
    let typo =
        file("typo.csv", "20 12 34 56,ada@example.com\n20 12 34 57,bob@exmaple.com\n20 12 34 58,bob@exmaple.com\n");
    let options = ["--mailboxes", "--stack", NAME];
    let check = async |name: &str, arguments: &[&str]| {
        let output = stack.run(&[arguments, &options].concat()).await;
        assert_transcript(name, &output);
    };
    check("mailboxes-check", &["mapping", "check", &good]).await;
    check("mailboxes-check-typo", &["mapping", "check", &typo]).await;
    check("mailboxes-check-typo-json", &["mapping", "check", "--json", &typo]).await;
    check("mailboxes-upload-typo", &["mapping", "upload", "--yes", &typo]).await;
    check("mailboxes-upload", &["mapping", "upload", "--yes", &good]).await;
    stack.put_secret("wa-graph", &json!({"client_secret": "wrong"})).await;
    // Without --mailboxes only the settings of the stack, and the last map that import used, are read.
    stack.put(keys::USER_MAP_RECORD, r#"{"v":1,"numbers":20}"#).await;
    assert_transcript("settings-check", &stack.run(&["mapping", "check", &good, "--stack", NAME]).await);
    check("mailboxes-check-wrong-secret", &["mapping", "check", &good]).await;
}
