//! Checks the source of items: its secret and a login, or the deliveries of a vendor.

use std::time::Duration;

use aws::secrets::Secrets;
use jiff::{SignedDuration, Timestamp};
use model::Window;
use secrecy::ExposeSecret;
use source::{Basic, EmlDrop, Newest, SourceError, SourceSettings};

use super::{finding::Finding, remedies::NOT_LOCAL, secret::problem};
use crate::connection::Connection;

const SECRET: &str = "source's secret";
const LOGIN: &str = "source login";
const DELIVERIES: &str = "vendor's deliveries";

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
        // `list` would copy the delivered mails, which only fetch may do, so the newest file is read instead.
        SourceSettings::EmlDrop { profile } => {
            findings
                .push(Finding::skipped(SECRET, "SOURCE=eml-drop has none: the vendor's files are put into the bucket"));
            let newest = EmlDrop::new(connection.store.clone(), profile.clone()).newest().await;
            findings.push(delivered(newest, Timestamp::now()));
            return findings;
        }
        SourceSettings::ArchiverApi { secret_id, .. } => {
            let finding = secret(&secrets, secret_id).await;
            let filled = finding.remedy.is_none();
            findings.push(finding);
            if connection.one_machine_root().is_some() {
                findings
                    .push(Finding::skipped(LOGIN, format!("{NOT_LOCAL}: the sample source runs only during a run")));
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
    match secrets.get::<Basic>(id, r#"{"username","password"} of the source"#).await {
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
            "check that the secret contains the user name and the password of the retrieval API, and that ArchiverUrl is its base URL",
        ),
        Err(_) => Finding::not_ok(
            LOGIN,
            format!("the source did not respond within {seconds} seconds"),
            "contact the source's operator",
        ),
    }
}

/// Age of the newest file from which on the vendor may have stopped delivering.
const QUIET: SignedDuration = SignedDuration::from_hours(3 * 24);

/// Checks the newest file in the inbox.
fn delivered(newest: Result<Option<Newest>, SourceError>, now: Timestamp) -> Finding {
    let Newest { received, has_vendor_id } = match newest {
        Ok(Some(newest)) => newest,
        Ok(None) => {
            return Finding::warning(
                DELIVERIES,
                "nothing is in inbox/ of the bucket",
                "give the vendor access: infra/runbook/deploy.md, \"Access for a capture vendor\"",
            );
        }
        Err(error) => {
            return Finding::not_ok(
                DELIVERIES,
                error.to_string(),
                "reading inbox/ needs s3:ListBucket and s3:GetObject",
            );
        }
    };
    let age = now.duration_since(received);
    match has_vendor_id {
        Err(why) => Finding::warning(
            DELIVERIES,
            format!("the newest file, of {received:.0}, cannot be examined: {why}"),
            "when fetch has read the file, archiver incidents list names the problem",
        ),
        Ok(false) => Finding::not_ok(
            DELIVERIES,
            format!(
                "all mails in the newest file, of {received:.0}, lack the header field that the profile reads the id from"
            ),
            "check EmlProfile and, for generic, the id in EmlHeaders, then `make deploy`",
        ),
        Ok(true) if age > QUIET => Finding::warning(
            DELIVERIES,
            format!("the newest file is {} days old", age.as_hours() / 24),
            "ask the vendor whether it still delivers, and check its access: infra/runbook/deploy.md, \"Access for a capture vendor\"",
        ),
        Ok(true) => Finding::ok(
            DELIVERIES,
            format!("the newest file is of {received:.0}; its mails have the fields of the profile"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::finding::Verdict, *};

    #[test]
    fn deliveries_are_judged_by_age_and_header_fields() {
        let now: Timestamp = "2026-11-22T07:00:00Z".parse().unwrap();
        let newest = |hours: i64, has_vendor_id| {
            let received = now - SignedDuration::from_hours(hours);
            delivered(Ok(Some(Newest { received, has_vendor_id })), now)
        };
        for (finding, verdict, text) in [
            (newest(5, Ok(true)), Verdict::Ok, "the newest file is of 2026-11-22T02:00:00Z"),
            (newest(73, Ok(true)), Verdict::Warning, "3 days old"),
            (newest(5, Ok(false)), Verdict::NotOk, "header field"),
            (newest(5, Err("the zip is damaged".to_owned())), Verdict::Warning, "the zip is damaged"),
            (delivered(Ok(None), now), Verdict::Warning, "nothing is in inbox/"),
        ] {
            assert!(finding.verdict == verdict && finding.detail.contains(text), "{finding:?}");
        }
    }
}
