//! What the function is told by its environment.

use std::{path::PathBuf, str::FromStr, time::Duration};

use environment::{VariableError, Variables};
use item::MailboxAddress;
use phone::Region;
use store::keys;

use crate::retry_limit::RetryLimit;

use crate::mailbox::{
    entra::{Application, Cloud},
    graph::{GraphConfig, MESSAGE_CLASS, Way},
    imap::{ImapConfig, ImapHost},
};

/// The environment variables that the function reads.
pub const VARIABLES: &[&str] = &[
    "AUTOMATIC_MAPPING",
    "BUCKET",
    "CATCH_ALL_MAILBOX",
    "DEAD_LETTER_QUEUE_URL",
    "DEFAULT_REGION",
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
    "IMPORT_QUEUE_URL",
    "LOG_LEVEL",
    "MAILBOX",
    "MAILDIR",
    "MAIL_FOLDER",
    "RETRY_BASE_SECONDS",
    "RETRY_HOURS",
    "TENANT_DOMAINS",
    "USER_MAP_KEY",
];

/// The values of [`VARIABLES`].
pub struct Settings {
    /// The bucket's name.
    pub bucket: String,
    /// Where tasks come from.
    pub import_queue_url: String,
    /// Where dead letters go.
    pub dead_letter_queue_url: String,
    /// The user map's key in the bucket.
    pub user_map_key: String,
    /// Where numbers without a country code are from.
    pub default_region: Option<Region>,
    /// Whether an item's own e-mail property counts where the user map knows nobody.
    pub automatic_mapping: bool,
    /// Domains in lower case whose addresses are expected to have mailboxes.
    pub tenant_domains: Vec<String>,
    /// How long undecided answers of the mail system are retried.
    pub retry_limit: RetryLimit,
    /// Where an item goes that belongs to nobody.
    pub catch_all: Option<MailboxAddress>,
    /// How long an item waits after its first failure.
    pub retry_base: Duration,
    /// How long a message may take to appear in a mailbox whose answer was lost.
    pub settles: Duration,
    /// The mail system.
    pub mailbox: MailboxSettings,
}

/// The mail system that a deployment files in.
#[derive(Clone)]
pub enum MailboxSettings {
    /// `MAILBOX=graph` and `MAILBOX=graph-import-mime`: Microsoft 365.
    Graph(Box<GraphSettings>),
    /// `MAILBOX=imap`: a mail server.
    Imap(Box<ImapSettings>),
    /// `MAILBOX=maildir`: folders on this machine.
    Maildir(MaildirSettings),
}

/// Microsoft 365.
#[derive(Clone)]
pub struct GraphSettings {
    /// How.
    pub config: GraphConfig,
    /// `GRAPH_SECRET_ID`: the secret's name or ARN.
    pub secret_id: String,
}

/// A mail server.
#[derive(Clone)]
pub struct ImapSettings {
    /// How.
    pub config: ImapConfig,
    /// The application in Entra to log in as, at Exchange Online; elsewhere the secret is an account's.
    pub application: Option<Application>,
    /// `IMAP_SECRET_ID`: the secret's name or ARN.
    pub secret_id: String,
}

/// Folders on this machine.
#[derive(Clone)]
pub struct MaildirSettings {
    /// `MAILDIR`: one folder a mailbox is in it.
    pub root: PathBuf,
    /// The archive folder's name.
    pub folder: String,
}

impl Settings {
    /// Reads all but the log level.
    ///
    /// # Errors
    /// When one is missing or malformed.
    pub fn read(variables: &Variables) -> Result<Self, VariableError> {
        Ok(Self {
            bucket: variables.required("BUCKET", "the bucket's name")?,
            import_queue_url: variables.required("IMPORT_QUEUE_URL", "the URL of the import queue")?,
            dead_letter_queue_url: variables.required("DEAD_LETTER_QUEUE_URL", "the URL of the dead-letter queue")?,
            user_map_key: variables.or(
                "USER_MAP_KEY",
                "the user map's key in the bucket",
                keys::USER_MAP.to_owned(),
            )?,
            default_region: variables.optional("DEFAULT_REGION", "a country of two letters, such as DK")?,
            automatic_mapping: variables.or("AUTOMATIC_MAPPING", "true or false", true)?,
            tenant_domains: variables
                .optional("TENANT_DOMAINS", "domains, with commas between them")?
                .map_or_else(Vec::new, |Domains(domains)| domains),
            retry_limit: retry_limit(variables)?,
            catch_all: variables.optional("CATCH_ALL_MAILBOX", "an e-mail address")?,
            retry_base: retry_base(variables)?,
            settles: settles(variables)?,
            mailbox: MailboxSettings::read(variables)?,
        })
    }
}

impl MailboxSettings {
    fn read(variables: &Variables) -> Result<Self, VariableError> {
        let folder = variables.or("MAIL_FOLDER", "a folder's name", "WhatsApp Archiver".to_owned())?;
        match variables.required("MAILBOX", "graph, graph-import-mime, imap or maildir")? {
            Word::Maildir => {
                let root: PathBuf = variables.required("MAILDIR", "the directory that holds the mailboxes")?;
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
                    message_class: variables.or("GRAPH_MESSAGE_CLASS", "a message class", MESSAGE_CLASS.to_owned())?,
                    // Graph takes 4 at once for a mailbox from the whole application. The deployment runs at most 4
                    // of these functions at once, and each asks one at a time.
                    requests_per_mailbox: 1,
                    settles: settles(variables)?,
                    ..GraphConfig::new(application.cloud, application.tenant_id, application.client_id)
                };
                let secret_id =
                    variables.required("GRAPH_SECRET_ID", "the name or ARN of the Entra application's secret")?;
                Ok(Self::Graph(Box::new(GraphSettings { config, secret_id })))
            }
        }
    }

    fn read_imap(variables: &Variables, folder: String) -> Result<Self, VariableError> {
        // Exchange Online has applications, any other server has accounts: the one that is named is meant.
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
            settles: settles(variables)?,
            ..ImapConfig::new(host, domains.0)
        };
        let secret_id = variables.required("IMAP_SECRET_ID", "the name or ARN of the secret to log in with")?;
        Ok(Self::Imap(Box::new(ImapSettings { config, application, secret_id })))
    }
}

fn retry_limit(variables: &Variables) -> Result<RetryLimit, VariableError> {
    let expected = "a number of hours from 0 to 96";
    let Hours(wait) = variables.or("RETRY_HOURS", expected, Hours(DEFAULT_RETRY))?;
    Ok(RetryLimit::new(wait))
}

/// As long as Microsoft 365 may take to provision a mailbox.
const DEFAULT_RETRY: Duration = Duration::from_hours(24);

/// SQS gives a message up after 300 receives, which are at least 55 hours, and mostly about 100 where half an hour is waited.
const MAX_RETRY: Duration = Duration::from_hours(96);

struct Hours(Duration);

impl FromStr for Hours {
    type Err = &'static str;

    fn from_str(hours: &str) -> Result<Self, Self::Err> {
        let hours: f64 = hours.parse().map_err(|_| "not a number")?;
        let duration = Duration::try_from_secs_f64(hours * 3600.0).map_err(|_| "out of range")?;
        if duration <= MAX_RETRY { Ok(Self(duration)) } else { Err("out of range") }
    }
}

fn retry_base(variables: &Variables) -> Result<Duration, VariableError> {
    Ok(Duration::from_secs(variables.or("RETRY_BASE_SECONDS", "a number of seconds", 5)?))
}

/// How long a message may take to appear whose answer was lost: a minute where retries are not paced otherwise.
fn settles(variables: &Variables) -> Result<Duration, VariableError> {
    Ok(retry_base(variables)?.saturating_mul(12).clamp(SHORTEST, LONGEST))
}

const SHORTEST: Duration = Duration::from_secs(10);
const LONGEST: Duration = Duration::from_mins(5);

const TENANT: &str = "the tenant's id or domain";

/// The application in Entra, which Graph and Exchange Online know alike.
fn application(variables: &Variables) -> Result<Application, VariableError> {
    Ok(Application {
        cloud: variables.or("GRAPH_CLOUD", "global, usgov-high, usgov-dod or china", Cloud::Global)?,
        login_url: variables.optional("GRAPH_LOGIN_URL", "https://<host>")?,
        tenant_id: variables.required("GRAPH_TENANT_ID", TENANT)?,
        client_id: variables.required("GRAPH_CLIENT_ID", "the Entra application's client id")?,
    })
}

/// The domains whose mailboxes are on the mail server.
struct Domains(Vec<String>);

impl FromStr for Domains {
    type Err = &'static str;

    fn from_str(list: &str) -> Result<Self, Self::Err> {
        let domains: Vec<_> = list.split(',').map(|domain| domain.trim().to_ascii_lowercase()).collect();
        // A domain is what an address can have behind its @.
        let is_domain = |domain: &String| format!("a@{domain}").parse::<MailboxAddress>().is_ok();
        if domains.iter().all(is_domain) { Ok(Self(domains)) } else { Err("one of them is no domain") }
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
            _ => Err("there is no such mail system"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_copy_is_waited_for_long_enough_and_not_for_ever() {
        for (base, expected) in [("0", 10), ("1", 12), ("5", 60), ("900", 300), ("18446744073709551615", 300)] {
            let value = |name: &str| (name == "RETRY_BASE_SECONDS").then(|| base.to_owned());
            let settles = settles(&Variables::from_values(VARIABLES, value)).unwrap();
            assert_eq!(settles, Duration::from_secs(expected), "{base}");
        }
    }
}
