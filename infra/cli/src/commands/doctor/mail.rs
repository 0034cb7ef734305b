//! Checks the mail system: its secret, its permissions and one mailbox.

use aws::secrets::Secrets;
use jiff::Timestamp;
use mailbox::{
    GraphSettings, MailboxSettings, Mailboxes, MaildirSettings, SecretCredentials,
    entra::Credentials,
    graph::{Graph, GraphConfig},
};
use model::MailboxAddress;

use super::{
    expiry,
    finding::Finding,
    imap,
    mailbox_check::{Checks, MAILBOX, NO_MAILBOX_NAMED, NO_TOKEN, token_failed},
    permissions,
};
use crate::connection::Connection;

const SECRET: &str = "Graph's secret";
const TOKEN: &str = "Graph's token";

/// Checks the mail system that the deployment files items in.
pub(super) async fn check(
    connection: &Connection,
    settings: MailboxSettings,
    mailbox: Option<&MailboxAddress>,
) -> Vec<Finding> {
    match settings {
        MailboxSettings::Graph(settings) => graph(connection, *settings, mailbox).await,
        MailboxSettings::Imap(settings) => imap::check(connection, *settings, mailbox).await,
        // Directories need neither a secret nor a token.
        MailboxSettings::Maildir(settings) => vec![maildir(&settings, mailbox).await],
    }
}

async fn graph(connection: &Connection, settings: GraphSettings, mailbox: Option<&MailboxAddress>) -> Vec<Finding> {
    let secrets = Secrets::new(&connection.config);
    let mut checks = Checks::new(&[SECRET, TOKEN, permissions::CHECK, MAILBOX]);
    let secret_id = settings.secret_id.clone();
    match Credentials::get(&SecretCredentials::new(secrets.clone(), secret_id.clone())).await {
        Ok(secret) => checks.add(expiry::finding(SECRET, &secret, Timestamp::now())),
        Err(error) => {
            let failed = Finding::not_ok(
                SECRET,
                error.to_string(),
                format!(
                    "aws secretsmanager put-secret-value --secret-id {secret_id} --secret-string file://graph.json\n\
                 graph.json: {{\"client_secret\": …}}, or {{\"certificate\": …, \"private_key\": …}} in PEM. Reading the secret \
                 needs secretsmanager:GetSecretValue"
                ),
            );
            return checks.end(failed, "not checked: it needs the secret");
        }
    }
    let GraphConfig { tenant_id: tenant, client_id: client, folder, way, .. } = settings.config.clone();
    let graph = match settings.connect(secrets) {
        Ok(graph) => graph,
        Err(error) => {
            let failed = Finding::not_ok(TOKEN, error.to_string(), "fix the parameters Graph…, then `make deploy`");
            return checks.end(failed, NO_TOKEN);
        }
    };
    match graph.granted().await {
        Ok(granted) => {
            checks.add(Finding::ok(TOKEN, format!("tenant {tenant} issued a token to the application {client}")));
            checks.add(permissions::check(granted.as_deref(), way));
        }
        Err(error) => {
            return checks.end(token_failed(TOKEN, &error), NO_TOKEN);
        }
    }
    checks.finish(match mailbox {
        None => Finding::skipped(MAILBOX, NO_MAILBOX_NAMED),
        Some(address) => graph_mailbox(&graph, address, &folder, &client).await,
    })
}

async fn graph_mailbox(graph: &Graph, address: &MailboxAddress, folder: &str, client: &str) -> Finding {
    let scope = format!(
        "Test-ServicePrincipalAuthorization -Identity {client} -Resource {address} shows whether Exchange grants access; \
         a change there takes up to two hours"
    );
    let mailbox = match graph.find(address).await {
        Ok(Some(mailbox)) => mailbox,
        Ok(None) => {
            return Finding::not_ok(
                MAILBOX,
                format!("{address} lacks a mailbox that Graph can reach"),
                "check the address, and that the mailbox is licensed for Exchange Online and not on premises",
            );
        }
        Err(error) => return Finding::not_ok(MAILBOX, error.to_string(), scope),
    };
    match graph.has_folder(&mailbox).await {
        Ok(true) => Finding::ok(MAILBOX, format!("{address} can be read, and has the folder {folder}")),
        Ok(false) => Finding::ok(
            MAILBOX,
            format!(
                "{address} can be read, and has no folder {folder} yet: the first item creates it. The permission to create it is \
                 not checked, because this check writes nothing"
            ),
        ),
        Err(error) => Finding::not_ok(MAILBOX, error.to_string(), scope),
    }
}

async fn maildir(settings: &MaildirSettings, mailbox: Option<&MailboxAddress>) -> Finding {
    let MaildirSettings { root, folder } = settings;
    let Some(address) = mailbox else {
        return Finding::skipped(MAILBOX, NO_MAILBOX_NAMED);
    };
    let found = match settings.connect() {
        Ok(maildir) => maildir.find(address).await,
        Err(error) => return Finding::error(MAILBOX, error),
    };
    match found {
        Ok(Some(mailbox)) if root.join(&mailbox.id).join(folder).is_dir() => {
            Finding::ok(MAILBOX, format!("{address} exists, and has the folder {folder}"))
        }
        Ok(Some(_)) => Finding::ok(MAILBOX, format!("{address} exists; the first item creates the folder {folder}")),
        Ok(None) => Finding::not_ok(
            MAILBOX,
            format!("{address} has no mailbox"),
            format!("create a directory of this name in {}", root.display()),
        ),
        Err(error) => Finding::error(MAILBOX, error),
    }
}
