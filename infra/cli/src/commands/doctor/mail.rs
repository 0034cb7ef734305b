//! Where items go: the mail system's secret, what it lets us do, and one mailbox.

use aws::secrets::Secrets;
use mailbox::{
    GraphSettings, MailboxSettings, Mailboxes, MaildirSettings, SecretCredentials,
    entra::Credentials,
    graph::{Graph, GraphConfig},
};
use model::MailboxAddress;

use super::{
    finding::Finding,
    imap,
    mailbox_check::{MAILBOX, UNNAMED, token_remedy},
    permissions,
};
use crate::connection::Connection;

const SECRET: &str = "Graph's secret";
const TOKEN: &str = "Graph's token";
/// Looks at what the deployment files in.
pub(super) async fn check(
    connection: &Connection,
    settings: MailboxSettings,
    mailbox: Option<&MailboxAddress>,
) -> Vec<Finding> {
    match settings {
        MailboxSettings::Graph(settings) => graph(connection, *settings, mailbox).await,
        MailboxSettings::Imap(settings) => imap::check(connection, *settings, mailbox).await,
        // Directories: there is no secret, and nobody to be asked for a token.
        MailboxSettings::Maildir(settings) => vec![maildir(&settings, mailbox).await],
    }
}

async fn graph(connection: &Connection, settings: GraphSettings, mailbox: Option<&MailboxAddress>) -> Vec<Finding> {
    let secrets = Secrets::new(&connection.config);
    let mut findings = Vec::new();
    let not_asked = |findings: &mut Vec<Finding>, why: &str| {
        let checks = [SECRET, TOKEN, permissions::CHECK, MAILBOX].into_iter().skip(findings.len());
        findings.extend(checks.map(|check| Finding::skipped(check, why)).collect::<Vec<_>>());
    };
    let secret_id = settings.secret_id.clone();
    if let Err(error) = Credentials::get(&SecretCredentials::new(secrets.clone(), secret_id.clone())).await {
        findings.push(Finding::not_ok(
            SECRET,
            error.to_string(),
            format!(
                "aws secretsmanager put-secret-value --secret-id {secret_id} --secret-string file://graph.json\n\
                 graph.json: {{\"client_secret\": …}}, or {{\"certificate\": …, \"private_key\": …}} in PEM. Reading it takes \
                 secretsmanager:GetSecretValue"
            ),
        ));
        not_asked(&mut findings, "it takes the secret");
        return findings;
    }
    findings.push(Finding::ok(SECRET, "it has the right members; whether they are the application's, the token shows"));
    let GraphConfig { tenant_id: tenant, client_id: client, folder, way, .. } = settings.config.clone();
    let graph = match settings.connect(secrets) {
        Ok(graph) => graph,
        Err(error) => {
            findings.push(Finding::not_ok(TOKEN, error.to_string(), "fix the parameters Graph…, then `make deploy`"));
            not_asked(&mut findings, "it takes a token");
            return findings;
        }
    };
    match graph.granted().await {
        Ok(granted) => {
            findings.push(Finding::ok(TOKEN, format!("tenant {tenant} gives the application {client} one")));
            findings.push(permissions::check(granted.as_deref(), way));
        }
        Err(error) => {
            findings.push(Finding::not_ok(TOKEN, error.to_string(), token_remedy(&error)));
            not_asked(&mut findings, "it takes a token");
            return findings;
        }
    }
    findings.push(match mailbox {
        None => Finding::skipped(MAILBOX, UNNAMED),
        Some(address) => graph_mailbox(&graph, address, &folder, &client).await,
    });
    findings
}

async fn graph_mailbox(graph: &Graph, address: &MailboxAddress, folder: &str, client: &str) -> Finding {
    let scope = format!(
        "Test-ServicePrincipalAuthorization -Identity {client} -Resource {address} shows whether Exchange lets it in; what is \
         changed there takes up to two hours"
    );
    let mailbox = match graph.find(address).await {
        Ok(Some(mailbox)) => mailbox,
        Ok(None) => {
            return Finding::not_ok(
                MAILBOX,
                format!("{address} has none that Graph can reach"),
                "is the address right, licensed for Exchange Online, and not on premises?",
            );
        }
        Err(error) => return Finding::not_ok(MAILBOX, error.to_string(), scope),
    };
    match graph.has_folder(&mailbox).await {
        Ok(true) => Finding::ok(MAILBOX, format!("{address} can be read, and has the folder {folder}")),
        Ok(false) => Finding::ok(
            MAILBOX,
            format!(
                "{address} can be read, and has no folder {folder} yet: the first item makes it. Whether it may is known then; \
                 nothing is written here"
            ),
        ),
        Err(error) => Finding::not_ok(MAILBOX, error.to_string(), scope),
    }
}

async fn maildir(settings: &MaildirSettings, mailbox: Option<&MailboxAddress>) -> Finding {
    let MaildirSettings { root, folder } = settings;
    let Some(address) = mailbox else {
        return Finding::skipped(MAILBOX, UNNAMED);
    };
    let found = match settings.connect() {
        Ok(maildir) => maildir.find(address).await,
        Err(error) => return Finding::error(MAILBOX, error),
    };
    match found {
        Ok(Some(mailbox)) if root.join(&mailbox.id).join(folder).is_dir() => {
            Finding::ok(MAILBOX, format!("{address} is there, and has the folder {folder}"))
        }
        Ok(Some(_)) => Finding::ok(MAILBOX, format!("{address} is there; the first item makes the folder {folder}")),
        Ok(None) => Finding::not_ok(
            MAILBOX,
            format!("{address} has none"),
            format!("a mailbox is a directory of this name in {}", root.display()),
        ),
        Err(error) => Finding::error(MAILBOX, error),
    }
}
