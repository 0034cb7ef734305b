//! A mail server: its secret, at Exchange Online a token and what it lets us do, and one mailbox.

use aws::secrets::Secrets;
use mailbox::{
    ImapSettings, MailboxError, Mailboxes, SecretCredentials,
    entra::Credentials,
    imap::{Imap, ImapAccounts},
};
use model::MailboxAddress;
use secrecy::ExposeSecret;

use super::{
    finding::Finding,
    mailbox_check::{MAILBOX, UNNAMED, token_remedy},
    secret::flaw,
};
use crate::connection::Connection;

const SECRET: &str = "IMAP's secret";
const TOKEN: &str = "IMAP's token";
const PERMISSIONS: &str = "IMAP's permissions";

/// What opens Exchange Online to an application that logs in by IMAP. Which mailboxes it may open is Exchange's to give.
const NEEDED: &str = "IMAP.AccessAsApp";

/// Looks at the secret and, for an application of Entra, at a token that it gives; then at the mailbox.
pub(super) async fn check(
    connection: &Connection,
    settings: ImapSettings,
    mailbox: Option<&MailboxAddress>,
) -> Vec<Finding> {
    let secrets = Secrets::new(&connection.config);
    let application = settings.application.is_some();
    let mut findings = vec![secret(&secrets, &settings.secret_id, application).await];
    let checks: &[&'static str] = if application { &[SECRET, TOKEN, PERMISSIONS, MAILBOX] } else { &[SECRET, MAILBOX] };
    let not_asked = |findings: &mut Vec<Finding>, why: &str| {
        let rest = checks.iter().skip(findings.len());
        findings.extend(rest.map(|check| Finding::skipped(check, why)).collect::<Vec<_>>());
    };
    if findings.iter().any(|finding| finding.remedy.is_some()) {
        not_asked(&mut findings, "it takes the secret");
        return findings;
    }
    let secret_id = settings.secret_id.clone();
    let imap = match settings.connect(secrets) {
        Ok(imap) => imap,
        Err(error) => {
            let remedy = "fix the parameters of the mail server, then `make deploy`";
            findings.push(Finding::not_ok(checks[1], error.to_string(), remedy));
            not_asked(&mut findings, "it takes the mail server");
            return findings;
        }
    };
    if application {
        match imap.granted().await {
            Ok(granted) => {
                findings.push(Finding::ok(TOKEN, "Entra gives the application one for Exchange Online"));
                findings.push(permissions(granted.as_deref()));
            }
            Err(error) => {
                findings.push(Finding::not_ok(TOKEN, error.to_string(), token_remedy(&error)));
                not_asked(&mut findings, "it takes a token");
                return findings;
            }
        }
    }
    findings.push(match mailbox {
        None => Finding::skipped(MAILBOX, UNNAMED),
        Some(address) => opened(&imap, address, &secret_id).await,
    });
    findings
}

/// Whether the secret is what the deployment logs in with, and filled in.
async fn secret(secrets: &Secrets, id: &str, application: bool) -> Finding {
    let stored = SecretCredentials::new(secrets.clone(), id.to_owned());
    let put = format!("aws secretsmanager put-secret-value --secret-id {id} --secret-string file://imap.json");
    let reading = "Reading it takes secretsmanager:GetSecretValue";
    let (found, shape) = if application {
        let found = Credentials::get(&stored).await.map(|_| None);
        (
            found,
            "{\"client_secret\": …}, or {\"certificate\": …, \"private_key\": …} in PEM, of the application in Entra",
        )
    } else {
        let found = ImapAccounts::get(&stored).await;
        let found = found.map(|account| flaw(&account.username, account.password.expose_secret()));
        (found, "{\"username\": …, \"password\": …} of the account that may open every mailbox")
    };
    let remedy = format!("{put}\nimap.json: {shape}. {reading}");
    match found {
        Ok(None) => Finding::ok(SECRET, "it has the right members; whether they are right, the login shows"),
        Ok(Some(flaw)) => Finding::not_ok(SECRET, flaw, remedy),
        Err(error) => Finding::not_ok(SECRET, error.to_string(), remedy),
    }
}

fn permissions(granted: Option<&[String]>) -> Finding {
    match granted {
        None => Finding::skipped(PERMISSIONS, "the token is of a kind that does not say"),
        Some(granted) if granted.iter().any(|name| name == NEEDED) => Finding::ok(
            PERMISSIONS,
            format!("{NEEDED}; which mailboxes it opens is Exchange's (Add-MailboxPermission)"),
        ),
        Some(_) => Finding::not_ok(
            PERMISSIONS,
            format!("{NEEDED} is missing, so no mailbox can be opened"),
            format!(
                "Entra admin centre › App registrations › API permissions › Office 365 Exchange Online › Application \
                 permissions: {NEEDED}, then grant admin consent"
            ),
        ),
    }
}

/// Whether the server lets us into a mailbox.
async fn opened(imap: &Imap, address: &MailboxAddress, secret_id: &str) -> Finding {
    match imap.find(address).await {
        Ok(Some(_)) => Finding::ok(MAILBOX, format!("{address} can be opened")),
        Ok(None) => Finding::not_ok(
            MAILBOX,
            format!("{address} has none on the server"),
            "is the address right, and its domain one of those that have their mailboxes there?",
        ),
        Err(error @ MailboxError::Unavailable { .. }) => Finding::not_ok(
            MAILBOX,
            error.to_string(),
            "asked from this machine, which may be kept from it where Lambda is not: try again; is ImapHost right?",
        ),
        Err(error) => Finding::not_ok(
            MAILBOX,
            error.to_string(),
            format!("fix the secret {secret_id} (aws secretsmanager put-secret-value), or what the login may open"),
        ),
    }
}
