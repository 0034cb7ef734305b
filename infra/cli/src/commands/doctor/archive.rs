//! Where items come from: the archive's secret, and a login with it.

use std::time::Duration;

use aws::secrets::Secrets;
use jiff::{SignedDuration, Timestamp};
use model::Window;
use secrecy::ExposeSecret;
use source::{Basic, SourceError, SourceSettings};

use super::{NOT_LOCAL, finding::Finding, secret::flaw};
use crate::connection::Connection;

const SECRET: &str = "archive's secret";
const LOGIN: &str = "archive login";

/// An archive that answers later than this is none to wait for here.
const PATIENCE: Duration = Duration::from_secs(60);

/// Looks at the secret, and lists the last minute with it, as fetch would.
pub(super) async fn check(connection: &Connection, settings: SourceSettings) -> Vec<Finding> {
    let secrets = Secrets::new(&connection.config);
    let mut findings = Vec::new();
    match &settings {
        SourceSettings::ChatExport { .. } => {
            findings.push(Finding::skipped(SECRET, "SOURCE=chat-export has none: exports are put into the bucket"));
        }
        // Listing reads what was delivered, and keeps copies of it: that is fetch's to do.
        SourceSettings::EmlDrop { .. } => {
            findings
                .push(Finding::skipped(SECRET, "SOURCE=eml-drop has none: the vendor's files are put into the bucket"));
            findings.push(Finding::skipped(LOGIN, "the vendor's files are put into the bucket"));
            return findings;
        }
        SourceSettings::ArchiverApi { secret_id, .. } => {
            let finding = secret(&secrets, secret_id).await;
            let filled = finding.remedy.is_none();
            findings.push(finding);
            if connection.one_machine_root().is_some() {
                findings
                    .push(Finding::skipped(LOGIN, format!("the sample archive runs only within a run: {NOT_LOCAL}")));
                return findings;
            }
            if !filled {
                findings.push(Finding::skipped(LOGIN, "it takes the secret"));
                return findings;
            }
        }
    }
    findings.push(login(connection, settings, &secrets).await);
    findings
}

async fn secret(secrets: &Secrets, id: &str) -> Finding {
    let remedy = format!(
        "aws secretsmanager put-secret-value --secret-id {id} --secret-string file://archiver.json\n\
         archiver.json: {{\"username\": …, \"password\": …}} of the retrieval API. Reading it takes secretsmanager:GetSecretValue"
    );
    match secrets.get::<Basic>(id, r#"{"username","password"} of the archiver"#).await {
        Ok(basic) => match flaw(basic.username.expose_secret(), basic.password.expose_secret()) {
            None => Finding::ok(SECRET, "it holds a user name and a password"),
            Some(flaw) => Finding::not_ok(SECRET, flaw, remedy),
        },
        Err(error) => Finding::not_ok(SECRET, error.to_string(), remedy),
    }
}

async fn login(connection: &Connection, settings: SourceSettings, secrets: &Secrets) -> Finding {
    let source = settings.connect(&connection.store, secrets);
    let to = Timestamp::now() - Window::MARGIN;
    let Ok(window) = Window::between(to - SignedDuration::from_mins(1), to) else {
        return Finding::skipped(LOGIN, "this machine's clock is wrong");
    };
    let listed = tokio::time::timeout(PATIENCE, source.list(&window, None)).await;
    let seconds = PATIENCE.as_secs();
    match listed {
        Ok(Ok(page)) => Finding::ok(LOGIN, format!("it lists: {} items in a minute", page.items.len())),
        Ok(Err(error @ SourceError::Unavailable { .. })) => Finding::not_ok(
            LOGIN,
            error.to_string(),
            "asked from this machine, which may be kept from it where Lambda is not: try again from elsewhere, or ask the \
             archive's operator",
        ),
        Ok(Err(error @ SourceError::MalformedPage(_))) => {
            Finding::not_ok(LOGIN, error.to_string(), "ArchiverUrl names another server, or the archive is broken")
        }
        Ok(Err(error)) => Finding::not_ok(
            LOGIN,
            error.to_string(),
            "the user name and the password in the secret are the retrieval API's? ArchiverUrl is its base?",
        ),
        Err(_) => Finding::not_ok(LOGIN, format!("no answer in {seconds} seconds"), "ask the archive's operator"),
    }
}
