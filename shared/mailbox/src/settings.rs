//! Reads the settings of the mail system from the environment.

use std::{path::PathBuf, str::FromStr, time::Duration};

use model::MailboxAddress;
use runtime::{VariableError, Variables};

use crate::{
    MailboxError,
    entra::{Application, Cloud},
    graph::{GraphConfig, MESSAGE_CLASS, Way},
    imap::{ImapConfig, ImapHost},
};

/// The environment variables that [`MailboxSettings::read`] reads.
pub const VARIABLES: &[&str] = &[
    "GRAPH_CLIENT_ID",
    "GRAPH_CLOUD",
    "GRAPH_LOGIN_URL",
    "GRAPH_MESSAGE_CLASS",
    "GRAPH_SECRET_ID",
    "GRAPH_TENANT_ID",
    "GRAPH_URL",
    "IMAP_DOMAINS",
    "IMAP_HOST",
    "IMAP_PROBE_MAILBOX",
    "IMAP_SECRET_ID",
    "MAILBOX",
    "MAILDIR",
    "MAIL_FOLDER",
    "RETRY_BASE_SECONDS",
    "SETTLE_SECONDS",
];

/// Settings of the mail system.
#[derive(Clone)]
pub enum MailboxSettings {
    /// `MAILBOX=graph` and `MAILBOX=graph-import-mime`: Microsoft 365.
    Graph(Box<GraphSettings>),
    /// `MAILBOX=imap`: a mail server.
    Imap(Box<ImapSettings>),
    /// `MAILBOX=maildir`: directories on this machine.
    Maildir(MaildirSettings),
}

/// Settings of Microsoft 365.
#[derive(Clone)]
pub struct GraphSettings {
    /// Configuration of the adapter.
    pub config: GraphConfig,
    /// `GRAPH_SECRET_ID`: the secret's name or ARN.
    pub secret_id: String,
}

/// Settings of a mail server.
#[derive(Clone)]
pub struct ImapSettings {
    /// Configuration of the adapter.
    pub config: ImapConfig,
    /// The application in Entra, for Exchange Online; `None` if the secret is that of an account.
    pub application: Option<Application>,
    /// `IMAP_SECRET_ID`: the secret's name or ARN.
    pub secret_id: String,
}

/// Settings of Maildir.
#[derive(Clone)]
pub struct MaildirSettings {
    /// `MAILDIR`: the directory with one directory for each mailbox.
    pub root: PathBuf,
    /// Name of the archive folder.
    pub folder: String,
}

impl MailboxSettings {
    /// Reads `MAILBOX` and the variables that belong to it.
    ///
    /// # Errors
    /// A variable is missing or invalid.
    pub fn read(variables: &Variables) -> Result<Self, VariableError> {
        let folder = variables.with_default("MAIL_FOLDER", "a folder's name", "WhatsApp Archiver".to_owned())?;
        match variables.required("MAILBOX", "graph, graph-import-mime, imap or maildir")? {
            Word::Maildir => {
                let root: PathBuf = variables.required("MAILDIR", "the directory that contains the mailboxes")?;
                Ok(Self::Maildir(MaildirSettings { root, folder }))
            }
            Word::Imap => Self::read_imap(variables, folder),
            Word::Graph(way) => {
                let application = application(variables)?;
                let config = GraphConfig {
                    way,
                    graph_url: variables.optional("GRAPH_URL", "https://<host>")?,
                    login_url: application.login_url,
                    folder,
                    message_class: variables.with_default(
                        "GRAPH_MESSAGE_CLASS",
                        "a message class",
                        MESSAGE_CLASS.to_owned(),
                    )?,
                    // Graph allows an application 4 concurrent requests to one mailbox. The deployment runs at most 4
                    // instances of the function, and each sends one request at a time.
                    requests_per_mailbox: 1,
                    settle_time: settle_time(variables)?,
                    ..GraphConfig::new(application.cloud, application.tenant_id, application.client_id)
                };
                let secret_id =
                    variables.required("GRAPH_SECRET_ID", "the name or ARN of the Entra application's secret")?;
                Ok(Self::Graph(Box::new(GraphSettings { config, secret_id })))
            }
        }
    }

    fn read_imap(variables: &Variables, folder: String) -> Result<Self, VariableError> {
        // With a tenant the login is an application in Entra, for Exchange Online. Other servers have accounts.
        let tenant: Option<String> = variables.optional("GRAPH_TENANT_ID", TENANT)?;
        let application = tenant.map(|_| application(variables)).transpose()?;
        let host = "a host, or a host and a port; imap://<loopback address>:<port> without TLS";
        let host: ImapHost = match (variables.optional("IMAP_HOST", host)?, &application) {
            (Some(host), _) => host,
            (None, Some(application)) => application.cloud.exchange_host(),
            (None, None) => variables.required("IMAP_HOST", host)?,
        };
        let domains: Domains = variables.required("IMAP_DOMAINS", "domains, with commas between them")?;
        let config = ImapConfig {
            probe: variables.optional("IMAP_PROBE_MAILBOX", "an e-mail address")?,
            folder,
            settle_time: settle_time(variables)?,
            ..ImapConfig::new(host, domains.0)
        };
        let secret_id = variables.required("IMAP_SECRET_ID", "the name or ARN of the secret to log in with")?;
        Ok(Self::Imap(Box::new(ImapSettings { config, application, secret_id })))
    }
}

/// Returns the wait after the first failure of an item.
///
/// # Errors
/// The variable is invalid.
pub fn retry_base(variables: &Variables) -> Result<Duration, VariableError> {
    Ok(Duration::from_secs(variables.with_default("RETRY_BASE_SECONDS", "a number of seconds", 5)?))
}

/// Returns the maximum time after which a message appears if the response to its filing was lost: 12 times the base of
/// retries, at least a minute, because a request that is not answered within a minute has timed out here and may still be
/// executed. `SETTLE_SECONDS` replaces it; the template does not set that variable.
///
/// # Errors
/// The variable is invalid.
pub fn settle_time(variables: &Variables) -> Result<Duration, VariableError> {
    let of_retries = retry_base(variables)?.saturating_mul(12).clamp(MailboxError::SETTLE_TIME, MAX_SETTLE_TIME);
    let replaced = variables.optional("SETTLE_SECONDS", "a number of seconds")?.map(Duration::from_secs);
    Ok(replaced.unwrap_or(of_retries).min(MAX_SETTLE_TIME))
}

const MAX_SETTLE_TIME: Duration = Duration::from_mins(5);

const TENANT: &str = "the tenant's id or domain";

/// Reads the application in Entra, for Graph and for Exchange Online.
fn application(variables: &Variables) -> Result<Application, VariableError> {
    Ok(Application {
        cloud: variables.with_default("GRAPH_CLOUD", "global, usgov-high, usgov-dod or china", Cloud::Global)?,
        login_url: variables.optional("GRAPH_LOGIN_URL", "https://<host>")?,
        tenant_id: variables.required("GRAPH_TENANT_ID", TENANT)?,
        client_id: variables.required("GRAPH_CLIENT_ID", "the Entra application's client id")?,
    })
}

/// Domains in lower case, separated by commas.
pub struct Domains(pub Vec<String>);

impl FromStr for Domains {
    type Err = &'static str;

    fn from_str(list: &str) -> Result<Self, Self::Err> {
        let domains: Vec<_> = list.split(',').map(|domain| domain.trim().to_ascii_lowercase()).collect();
        // A domain is valid if an address with it is.
        let is_domain = |domain: &String| format!("a@{domain}").parse::<MailboxAddress>().is_ok();
        if domains.iter().all(is_domain) { Ok(Self(domains)) } else { Err("an entry of the list is not a domain") }
    }
}

enum Word {
    Graph(Way),
    Imap,
    Maildir,
}

impl FromStr for Word {
    type Err = &'static str;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        match word {
            "graph" => Ok(Self::Graph(Way::Json)),
            "graph-import-mime" => Ok(Self::Graph(Way::Mime)),
            "imap" => Ok(Self::Imap),
            "maildir" => Ok(Self::Maildir),
            _ => Err("unrecognized mail system"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settle_time_is_bounded() {
        for (name, value, expected) in [
            ("RETRY_BASE_SECONDS", "0", 60),
            ("RETRY_BASE_SECONDS", "1", 60),
            ("RETRY_BASE_SECONDS", "6", 72),
            ("RETRY_BASE_SECONDS", "900", 300),
            ("RETRY_BASE_SECONDS", "18446744073709551615", 300),
            ("SETTLE_SECONDS", "12", 12),
            ("SETTLE_SECONDS", "18446744073709551615", 300),
        ] {
            let value_of = |asked: &str| (asked == name).then(|| value.to_owned());
            let settle_time = settle_time(&Variables::from_values(VARIABLES, value_of)).unwrap();
            assert_eq!(settle_time, Duration::from_secs(expected), "{name}={value}");
        }
    }
}
