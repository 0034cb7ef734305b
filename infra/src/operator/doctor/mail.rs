//! Where items go: the mail system's secret, what it lets us do, and one mailbox.

use import::{
    GraphSettings, ImapSettings, MailboxSettings, MaildirSettings, SecretCredentials,
    mailbox::{
        MailboxError, Mailboxes,
        entra::Credentials,
        graph::{Graph, GraphConfig, Way},
    },
};
use item::MailboxAddress;
use secrets::Secrets;

use super::finding::Finding;
use crate::operator::connection::Connection;

const SECRET: &str = "Graph's secret";
const TOKEN: &str = "Graph's token";
const PERMISSIONS: &str = "Graph's permissions";
const MAILBOX: &str = "mailbox";

const UNNAMED: &str = "none was named: --mailbox ADDRESS looks whether one can be filed in";

/// What importMime needs of Entra beside.
const IMPORT_MIME: &str = "Mail-Advanced.ReadWrite.All";

/// What the application needs of Entra. What it needs of mailboxes is Exchange's to give, and is in no token.
const NEEDED: &str = "User.Read.All";

/// What lets it do the same, and more.
const MORE: [&str; 3] = ["User.ReadWrite.All", "Directory.Read.All", "Directory.ReadWrite.All"];

/// Looks at what the deployment files in.
pub(super) async fn check(
    connection: &Connection,
    settings: MailboxSettings,
    mailbox: Option<&MailboxAddress>,
) -> Vec<Finding> {
    match settings {
        MailboxSettings::Graph(settings) => graph(connection, *settings, mailbox).await,
        MailboxSettings::Imap(settings) => imap(connection, *settings, mailbox).await,
        MailboxSettings::Maildir(settings) => {
            let mut findings = [SECRET, TOKEN, PERMISSIONS]
                .map(|check| Finding::skipped(check, "MAILBOX=maildir: the mailboxes are directories"))
                .to_vec();
            findings.push(maildir(&settings, mailbox).await);
            findings
        }
    }
}

async fn graph(connection: &Connection, settings: GraphSettings, mailbox: Option<&MailboxAddress>) -> Vec<Finding> {
    let secrets = Secrets::new(&connection.config);
    let mut findings = Vec::new();
    let not_asked = |findings: &mut Vec<Finding>, why: &str| {
        let checks = [SECRET, TOKEN, PERMISSIONS, MAILBOX].into_iter().skip(findings.len());
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
            findings.push(Finding::not_ok(TOKEN, error.to_string(), "mend the parameters Graph…, then `make deploy`"));
            not_asked(&mut findings, "it takes a token");
            return findings;
        }
    };
    match graph.granted().await {
        Ok(granted) => {
            findings.push(Finding::ok(TOKEN, format!("tenant {tenant} gives the application {client} one")));
            findings.push(permissions(granted.as_deref(), way));
        }
        Err(error) => {
            let remedy = match &error {
                MailboxError::Unavailable { .. } => {
                    "asked from this machine, which may be kept from it where Lambda is not: try again"
                }
                _ => {
                    "mend the secret (put-secret-value, as above), or GraphTenantId, GraphClientId, GraphCloud and `make deploy`"
                }
            };
            findings.push(Finding::not_ok(TOKEN, error.to_string(), remedy));
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

/// A mail server: whether it lets us into a mailbox, which takes the secret and whatever else.
async fn imap(connection: &Connection, settings: ImapSettings, mailbox: Option<&MailboxAddress>) -> Vec<Finding> {
    let skipped = "MAILBOX=imap: opening a mailbox shows it";
    let mut findings = [SECRET, TOKEN, PERMISSIONS].map(|check| Finding::skipped(check, skipped)).to_vec();
    let secret_id = settings.secret_id.clone();
    findings.push(match (settings.connect(Secrets::new(&connection.config)), mailbox) {
        (Err(error), _) => {
            Finding::not_ok(MAILBOX, error.to_string(), "mend the parameters of the mail server, then `make deploy`")
        }
        (Ok(_), None) => Finding::skipped(MAILBOX, UNNAMED),
        (Ok(imap), Some(address)) => match imap.find(address).await {
            Ok(Some(_)) => Finding::ok(MAILBOX, format!("{address} can be opened")),
            Ok(None) => Finding::not_ok(
                MAILBOX,
                format!("{address} has none on the server"),
                "is the address right, and its domain one of those that have their mailboxes there?",
            ),
            Err(error) => Finding::not_ok(
                MAILBOX,
                error.to_string(),
                format!("mend the secret {secret_id} (aws secretsmanager put-secret-value), the host, or what the login may open"),
            ),
        },
    });
    findings
}

/// What the token lets the application do in the whole tenant.
fn permissions(granted: Option<&[String]>, way: Way) -> Finding {
    let Some(granted) = granted else {
        return Finding::skipped(PERMISSIONS, "the token is of a kind that does not say");
    };
    let has = |name: &str| granted.iter().any(|granted| granted == name);
    if !has(NEEDED) && !MORE.iter().any(|more| has(more)) {
        let seen = if granted.is_empty() { "nothing".to_owned() } else { granted.join(", ") };
        return Finding::not_ok(
            PERMISSIONS,
            format!("{NEEDED} is missing, so no address is found. Granted in Entra: {seen}"),
            format!(
                "Entra admin centre › App registrations › API permissions › Microsoft Graph › Application permissions: \
                 {NEEDED}, then grant admin consent. The next token has it: within the hour in the function"
            ),
        );
    }
    let by_mime = way == Way::Mime;
    if by_mime && !has(IMPORT_MIME) {
        return Finding::not_ok(
            PERMISSIONS,
            format!("{IMPORT_MIME} is missing, which importMime takes. Granted in Entra: {}", granted.join(", ")),
            format!("grant {IMPORT_MIME} in Entra, with admin consent, or deploy with Mailbox=graph"),
        );
    }
    let needed = |name: &str| name == NEEDED || (by_mime && name == IMPORT_MIME);
    let extra: Vec<&str> = granted.iter().map(String::as_str).filter(|name| !needed(name)).collect();
    if extra.is_empty() {
        let granted = if by_mime {
            format!("{NEEDED}, and {IMPORT_MIME}, which is good for every mailbox of the tenant; no more")
        } else {
            format!("{NEEDED} and no more; which mailboxes it may write to is Exchange's (RBAC for Applications)")
        };
        return Finding::ok(PERMISSIONS, granted);
    }
    let tenant_wide = extra.iter().any(|name| name.starts_with("Mail"));
    let why = if tenant_wide {
        ". Mail permissions that are granted in Entra are good for every mailbox of the tenant, and a scope in Exchange does not \
         narrow them"
    } else {
        ""
    };
    Finding::warning(
        PERMISSIONS,
        format!("more than is needed is granted in Entra: {}{why}", extra.join(", ")),
        format!(
            "remove all but {NEEDED} there; access to mailboxes is given by RBAC for Applications: the runbook, First \
             deployment, 2"
        ),
    )
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::doctor::finding::Verdict;

    fn verdict(granted: &[&str]) -> (Verdict, String) {
        let granted: Vec<String> = granted.iter().map(|name| (*name).to_owned()).collect();
        let finding = permissions(Some(&granted), Way::Json);
        (finding.verdict, finding.detail)
    }

    #[test]
    fn what_a_token_grants_is_neither_too_little_nor_too_much() {
        assert_eq!(verdict(&["User.Read.All"]).0, Verdict::Ok);
        let (missing, says) = verdict(&["Mail.ReadWrite"]);
        assert!(missing == Verdict::NotOk && says.contains("User.Read.All is missing"), "{says}");
        assert_eq!(verdict(&[]).0, Verdict::NotOk);
        let (wide, says) = verdict(&["User.Read.All", "Mail.ReadWrite"]);
        assert!(wide == Verdict::Warning && says.contains("every mailbox of the tenant"), "{says}");
        let (more, says) = verdict(&["Directory.Read.All"]);
        assert!(more == Verdict::Warning && !says.contains("mailbox"), "{says}");
        assert_eq!(permissions(None, Way::Json).verdict, Verdict::Skipped);
    }
}
