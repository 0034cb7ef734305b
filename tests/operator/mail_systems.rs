//! What the command asks of each mail system that a stack's import is set to.

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

/// Sets variables of import, in the stack.
async fn deploy(stack: &Stack, changed: &[(&str, &str)]) {
    let lambda = aws_sdk_lambda::Client::new(stack.cloud.config());
    let import = format!("{NAME}-import");
    let configured = lambda.get_function_configuration().function_name(&import).send().await.unwrap();
    let mut variables: HashMap<_, _> = configured.environment.unwrap().variables.unwrap();
    variables.extend(changed.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    let environment = Environment::builder().set_variables(Some(variables)).build();
    lambda.update_function_configuration().function_name(&import).environment(environment).send().await.unwrap();
}

/// The lines about the mail system.
async fn told(stack: &Stack, name: &str, arguments: &[&str]) {
    let told = stack.run(arguments).await;
    let about = |line: &&str| {
        ["Graph", "IMAP", "mailbox", "import's settings", "→", "exit code"].iter().any(|word| line.contains(word))
    };
    let lines: Vec<_> = told.lines().filter(about).collect();
    assert_transcript(name, &lines.join("\n"));
}

#[tokio::test]
async fn the_doctor_asks_each_mail_system_in_its_own_way() {
    let stack = Stack::start().await;
    deploy(&stack, &[("MAILBOX", "graph-import-mime")]).await;
    told(&stack, "doctor-import-mime-not-granted", &DOCTOR).await;
    stack.graph.set_roles(&["User.Read.All", "Mail-Advanced.ReadWrite.All"]);
    told(&stack, "doctor-import-mime", &DOCTOR).await;
    stack.graph.set_roles(&["User.Read.All", "Mail-Advanced.ReadWrite.All", "Mail.Send"]);
    told(&stack, "doctor-import-mime-too-much", &DOCTOR).await;

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
    deploy(&stack, &imap).await;
    told(&stack, "doctor-imap-no-secret", &DOCTOR).await;
    // As the template makes it.
    stack.secret("wa-imap", &json!({"username": "to be filled in", "password": "x"})).await;
    told(&stack, "doctor-imap-not-filled-in", &["doctor", "--stack", NAME]).await;
    stack.secret("wa-imap", &json!({"username": MASTER, "password": "wrong"})).await;
    told(&stack, "doctor-imap-wrong-secret", &DOCTOR).await;
    stack.secret("wa-imap", &json!({"username": MASTER, "password": MASTER_PASSWORD})).await;
    told(&stack, "doctor-imap", &DOCTOR).await;
    told(&stack, "doctor-imap-nobody", &["doctor", "--stack", NAME, "--mailbox", "nobody@example.com"]).await;
    told(&stack, "doctor-imap-unnamed", &["doctor", "--stack", NAME]).await;
    server.kill();
    told(&stack, "doctor-imap-away", &DOCTOR).await;

    // Exchange Online, as far as it is Entra's.
    deploy(&stack, &[("GRAPH_TENANT_ID", TENANT_ID)]).await;
    let unnamed = ["doctor", "--stack", NAME];
    told(&stack, "doctor-exchange-not-filled-in", &unnamed).await;
    stack.secret("wa-imap", &json!({"client_secret": "wrong"})).await;
    told(&stack, "doctor-exchange-wrong-secret", &unnamed).await;
    stack.secret("wa-imap", &json!({"client_secret": CLIENT_SECRET})).await;
    stack.graph.set_roles(&["User.Read.All"]);
    told(&stack, "doctor-exchange-not-granted", &unnamed).await;
    stack.graph.set_roles(&["IMAP.AccessAsApp"]);
    told(&stack, "doctor-exchange", &unnamed).await;
}

#[tokio::test]
async fn a_stack_s_mailboxes_are_asked_as_its_import_is_set() {
    let stack = Stack::start().await;
    let id: ItemId = "WA-1".parse().unwrap();
    let at: Timestamp = "2026-11-21T07:00:00Z".parse().unwrap();
    let mut outcome = Outcome::new(id.clone());
    outcome.message_id = Some("<wa-1@archive.example.com>".to_owned());
    outcome.mailboxes.push(FiledMailbox {
        id: None,
        address: ADA.parse().unwrap(),
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
    deploy(&stack, &[("MAILBOX", "pigeon")]).await;
    assert_transcript("reconcile-deep-no-mail-system", &stack.run(&deep).await);
}

#[tokio::test]
async fn a_user_map_s_mailboxes_are_asked_for_before_it_is_used() {
    let stack = Stack::start().await;
    let directory = TempDir::new().unwrap();
    let file = |name: &str, rows: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, format!("Mobile number,E-mail address\n{rows}")).unwrap();
        path.to_str().unwrap().to_owned()
    };
    // The numbers have no country, and the stack says which.
    let good = file("good.csv", "20 12 34 56,ada@example.com\n");
    let typo =
        file("typo.csv", "20 12 34 56,ada@example.com\n20 12 34 57,bob@exmaple.com\n20 12 34 58,bob@exmaple.com\n");
    let asked = ["--mailboxes", "--stack", NAME];
    let told = async |name: &str, arguments: &[&str]| {
        let told = stack.run(&[arguments, &asked].concat()).await;
        assert_transcript(name, &told);
    };
    told("mailboxes-check", &["mapping", "check", &good]).await;
    told("mailboxes-check-typo", &["mapping", "check", &typo]).await;
    told("mailboxes-check-typo-json", &["mapping", "check", "--json", &typo]).await;
    told("mailboxes-upload-typo", &["mapping", "upload", "--yes", &typo]).await;
    told("mailboxes-upload", &["mapping", "upload", "--yes", &good]).await;
    stack.secret("wa-graph", &json!({"client_secret": "wrong"})).await;
    told("mailboxes-check-wrong-secret", &["mapping", "check", &good]).await;
}
