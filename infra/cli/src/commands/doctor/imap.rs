//! Checks an IMAP server: its secret, one mailbox, and at Exchange Online a token and its permissions.

use aws::secrets::Secrets;
use jiff::Timestamp;
use mailbox::{
    ImapSettings, MailboxError, Mailboxes, SecretCredentials,
    entra::Credentials,
    imap::{Imap, ImapAccounts},
};
use model::MailboxAddress;
use secrecy::ExposeSecret;

use super::{
    expiry,
    finding::{Finding, Verdict},
    mailbox_check::{Checks, MAILBOX, NO_MAILBOX_NAMED, NO_TOKEN, token_failed},
    secret::problem,
};
use crate::connection::Connection;

const SECRET: &str = "IMAP's secret";
const TOKEN: &str = "IMAP's token";
const PERMISSIONS: &str = "IMAP's permissions";

/// Permission for an application that logs in to Exchange Online by IMAP. Exchange itself grants access to mailboxes.
const NEEDED: &str = "IMAP.AccessAsApp";

/// Checks the secret and the mailbox; for an application of Entra also the token and its permissions.
pub(super) async fn check(
    connection: &Connection,
    settings: ImapSettings,
    mailbox: Option<&MailboxAddress>,
) -> Vec<Finding> {
    let secrets = Secrets::new(&connection.config);
    let application = settings.application.is_some();
    let names: &[&'static str] = if application { &[SECRET, TOKEN, PERMISSIONS, MAILBOX] } else { &[SECRET, MAILBOX] };
    let mut checks = Checks::new(names);
    let secret = secret(&secrets, &settings.secret_id, application).await;
    if secret.verdict == Verdict::NotOk {
        return checks.end(secret, "not checked: it needs the secret");
    }
    checks.add(secret);
    let secret_id = settings.secret_id.clone();
    let imap = match settings.connect(secrets) {
        Ok(imap) => imap,
        Err(error) => {
            let remedy = "fix the parameters of the mail server, then `make deploy`";
            let failed = Finding::not_ok(names[1], error.to_string(), remedy);
            return checks.end(failed, "not checked: it needs the mail server");
        }
    };
    if application {
        match imap.granted().await {
            Ok(granted) => {
                checks.add(Finding::ok(TOKEN, "Entra issued a token for Exchange Online"));
                checks.add(permissions(granted.as_deref()));
            }
            Err(error) => {
                return checks.end(token_failed(TOKEN, &error), NO_TOKEN);
            }
        }
    }
    checks.finish(match mailbox {
        None => unnamed(&imap, &secret_id).await,
        Some(address) => opened(&imap, address, &secret_id).await,
    })
}

/// Checks that the secret has the members for the configured login and is filled in.
async fn secret(secrets: &Secrets, id: &str, application: bool) -> Finding {
    let stored = SecretCredentials::new(secrets.clone(), id.to_owned());
    let put = format!("aws secretsmanager put-secret-value --secret-id {id} --secret-string file://imap.json");
    let reading = "Reading the secret needs secretsmanager:GetSecretValue";
    let remedy = |shape: &str| format!("{put}\nimap.json: {shape}. {reading}");
    if application {
        let shape =
            "{\"client_secret\": …}, or {\"certificate\": …, \"private_key\": …} in PEM, of the application in Entra";
        return match Credentials::get(&stored).await {
            Ok(secret) => expiry::finding(SECRET, &secret, Timestamp::now()),
            Err(error) => Finding::not_ok(SECRET, error.to_string(), remedy(shape)),
        };
    }
    let shape = "{\"username\": …, \"password\": …} of the account that may open every mailbox";
    match ImapAccounts::get(&stored).await {
        Ok(account) => match problem(&account.username, account.password.expose_secret()) {
            None => Finding::ok(SECRET, "has the required members; the login checks their values"),
            Some(problem) => Finding::not_ok(SECRET, problem, remedy(shape)),
        },
        Err(error) => Finding::not_ok(SECRET, error.to_string(), remedy(shape)),
    }
}

fn permissions(granted: Option<&[String]>) -> Finding {
    match granted {
        None => Finding::skipped(PERMISSIONS, "not checked: this kind of token does not list permissions"),
        Some(granted) if granted.iter().any(|name| name == NEEDED) => {
            Finding::ok(PERMISSIONS, format!("{NEEDED}; Exchange grants access to mailboxes (Add-MailboxPermission)"))
        }
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

/// Checks without a mailbox that the login opens none for an address that does not exist.
async fn unnamed(imap: &Imap, secret_id: &str) -> Finding {
    match imap.check_absent_address().await {
        Err(error @ MailboxError::Configuration { .. }) => {
            Finding::not_ok(MAILBOX, error.to_string(), remedy(secret_id))
        }
        Ok(()) | Err(_) => Finding::skipped(MAILBOX, NO_MAILBOX_NAMED),
    }
}

/// Checks that the login can open a mailbox, and opens none for an address that does not exist.
async fn opened(imap: &Imap, address: &MailboxAddress, secret_id: &str) -> Finding {
    match imap.find(address).await {
        Ok(Some(_)) => Finding::ok(MAILBOX, format!("{address} can be opened")),
        Ok(None) => Finding::not_ok(
            MAILBOX,
            format!("{address} has no mailbox on the server"),
            "check the address, and that its domain has its mailboxes on this server",
        ),
        Err(error @ MailboxError::Unavailable { .. }) => Finding::not_ok(
            MAILBOX,
            error.to_string(),
            "the request was sent from this machine, which the network may block where it allows Lambda: try again, and check ImapHost",
        ),
        Err(error) => Finding::not_ok(MAILBOX, error.to_string(), remedy(secret_id)),
    }
}

fn remedy(secret_id: &str) -> String {
    format!("fix the secret {secret_id} (aws secretsmanager put-secret-value), or the mailbox permissions of the login")
}
