//! Checks the source of items: the archive's secret and a login with it.

use std::time::Duration;

use aws::secrets::Secrets;
use jiff::{SignedDuration, Timestamp};
use model::Window;
use secrecy::ExposeSecret;
use source::{Basic, SourceError, SourceSettings};

use super::{finding::Finding, remedies::NOT_LOCAL, secret::problem};
use crate::connection::Connection;

const SECRET: &str = "archive's secret";
const LOGIN: &str = "archive login";

/// Timeout of the login check.
const LOGIN_TIMEOUT: Duration = Duration::from_secs(60);

/// Checks the secret, and lists the last minute with it, as fetch does.
pub(super) async fn check(connection: &Connection, settings: SourceSettings) -> Vec<Finding> {
    let secrets = Secrets::new(&connection.config);
    let mut findings = Vec::new();
    match &settings {
        SourceSettings::ChatExport { .. } => {
            findings.push(Finding::skipped(
                SECRET,
                "not needed with SOURCE=chat-export: exports are uploaded to the bucket",
            ));
        }
        SourceSettings::CloudApi => {
            findings.push(Finding::skipped(SECRET, "SOURCE=cloud-api has none: webhooks are put into the bucket"));
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
                    .push(Finding::skipped(LOGIN, format!("{NOT_LOCAL}: the sample archive runs only during a run")));
                return findings;
            }
            if !filled {
                findings.push(Finding::skipped(LOGIN, "not checked: it needs the secret"));
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
         archiver.json: {{\"username\": …, \"password\": …}} of the retrieval API. Reading the secret needs secretsmanager:GetSecretValue"
    );
    match secrets.get::<Basic>(id, r#"{"username","password"} of the archiver"#).await {
        Ok(basic) => match problem(basic.username.expose_secret(), basic.password.expose_secret()) {
            None => Finding::ok(SECRET, "contains a user name and a password"),
            Some(problem) => Finding::not_ok(SECRET, problem, remedy),
        },
        Err(error) => Finding::not_ok(SECRET, error.to_string(), remedy),
    }
}

async fn login(connection: &Connection, settings: SourceSettings, secrets: &Secrets) -> Finding {
    let source = settings.connect(&connection.store, secrets);
    let to = Timestamp::now() - Window::MARGIN;
    let Ok(window) = Window::between(to - SignedDuration::from_mins(1), to) else {
        return Finding::skipped(LOGIN, "not checked: the clock of this machine is wrong");
    };
    let listed = tokio::time::timeout(LOGIN_TIMEOUT, source.list(&window, None)).await;
    let seconds = LOGIN_TIMEOUT.as_secs();
    match listed {
        Ok(Ok(page)) => Finding::ok(LOGIN, format!("accepted; {} items listed for one minute", page.items.len())),
        Ok(Err(error @ SourceError::Unavailable { .. })) => Finding::not_ok(
            LOGIN,
            error.to_string(),
            "the request was sent from this machine, which the network may block where it allows Lambda: try again from another \
             network, or contact the source's operator",
        ),
        Ok(Err(error @ SourceError::MalformedPage(_))) => Finding::not_ok(
            LOGIN,
            error.to_string(),
            "check ArchiverUrl; if it is correct, contact the source's operator",
        ),
        Ok(Err(error)) => Finding::not_ok(
            LOGIN,
            error.to_string(),
            "check that the secret holds the user name and the password of the retrieval API, and that ArchiverUrl is its base URL",
        ),
        Err(_) => {
            Finding::not_ok(LOGIN, format!("no response within {seconds} seconds"), "contact the source's operator")
        }
    }
}
