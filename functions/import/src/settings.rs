//! What the function is told by its environment.

use std::{path::PathBuf, str::FromStr, time::Duration};

use environment::{LogLevel, VariableError, Variables};
use item::MailboxAddress;
use phone::Region;
use store::keys;

use crate::mailbox::{
    entra::Cloud,
    graph::{GraphConfig, MESSAGE_CLASS},
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
    "IMPORT_QUEUE_URL",
    "LOG_LEVEL",
    "MAILBOX",
    "MAILDIR",
    "MAIL_FOLDER",
    "RETRY_BASE_SECONDS",
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
    /// Where an item goes that belongs to nobody.
    pub catch_all: Option<MailboxAddress>,
    /// How long an item waits after its first failure.
    pub retry_base: Duration,
    /// The mail system.
    pub mailbox: MailboxSettings,
}

/// The mail system that a deployment files in.
pub enum MailboxSettings {
    /// `MAILBOX=graph`: Microsoft 365.
    Graph {
        /// How.
        config: Box<GraphConfig>,
        /// `GRAPH_SECRET_ID`: the secret's name or ARN.
        secret_id: String,
    },
    /// `MAILBOX=maildir`: folders on this machine.
    Maildir {
        /// `MAILDIR`: one folder a mailbox is in it.
        root: PathBuf,
        /// The archive folder's name.
        folder: String,
    },
}

impl Settings {
    /// How much is logged. Read by its own and first, so that what else is wrong can be logged.
    ///
    /// # Errors
    /// When `LOG_LEVEL` is none.
    pub fn log_level(variables: &Variables) -> Result<LogLevel, VariableError> {
        variables.or("LOG_LEVEL", "error, warn, info or debug", LogLevel::Info)
    }

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
            catch_all: variables.optional("CATCH_ALL_MAILBOX", "an e-mail address")?,
            retry_base: Duration::from_secs(variables.or("RETRY_BASE_SECONDS", "a number of seconds", 5)?),
            mailbox: MailboxSettings::read(variables)?,
        })
    }
}

impl MailboxSettings {
    fn read(variables: &Variables) -> Result<Self, VariableError> {
        let folder = variables.or("MAIL_FOLDER", "a folder's name", "WhatsApp Archiver".to_owned())?;
        match variables.required("MAILBOX", "graph or maildir")? {
            Word::Maildir => {
                let root: PathBuf = variables.required("MAILDIR", "the directory that holds the mailboxes")?;
                Ok(Self::Maildir { root, folder })
            }
            Word::Graph => {
                let cloud = variables.or("GRAPH_CLOUD", "global, usgov-high, usgov-dod or china", Cloud::Global)?;
                let tenant: String = variables.required("GRAPH_TENANT_ID", "the tenant's id or domain")?;
                let client: String = variables.required("GRAPH_CLIENT_ID", "the Entra application's client id")?;
                let config = GraphConfig {
                    graph_url: variables.optional("GRAPH_URL", "https://<host>")?,
                    login_url: variables.optional("GRAPH_LOGIN_URL", "https://<host>")?,
                    folder,
                    message_class: variables.or("GRAPH_MESSAGE_CLASS", "a message class", MESSAGE_CLASS.to_owned())?,
                    // Graph takes 4 at once for a mailbox from the whole application. The deployment runs at most 4
                    // of these functions at once, and each asks one at a time.
                    requests_per_mailbox: 1,
                    ..GraphConfig::new(cloud, tenant, client)
                };
                let secret_id =
                    variables.required("GRAPH_SECRET_ID", "the name or ARN of the Entra application's secret")?;
                Ok(Self::Graph { config: Box::new(config), secret_id })
            }
        }
    }
}

enum Word {
    Graph,
    Maildir,
}

impl FromStr for Word {
    type Err = &'static str;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        match word {
            "graph" => Ok(Self::Graph),
            "maildir" => Ok(Self::Maildir),
            _ => Err("there is no such mail system"),
        }
    }
}
