//! Which source, by the environment variables.

use std::{str::FromStr, sync::Arc};

use environment::{VariableError, Variables};
use jiff::tz::TimeZone;
use secrets::Secrets;
use store::Store;
use url::Url;

use crate::{ArchiverApi, ChatExports, Limits, SecretCredentials, Source, SourceError};

/// The source that a deployment reads from.
pub enum SourceSettings {
    /// `SOURCE=archiver-api`.
    ArchiverApi {
        /// `ARCHIVER_URL`.
        url: Url,
        /// `ARCHIVER_SECRET_ID`: the secret's name or ARN.
        secret_id: String,
    },
    /// `SOURCE=chat-export`.
    ChatExport {
        /// `EXPORT_TIME_ZONE`: an export has none of its own.
        zone: TimeZone,
    },
}

impl SourceSettings {
    /// Reads `SOURCE` and the variables that belong to it.
    ///
    /// # Errors
    /// When one is missing or malformed.
    pub fn read(variables: &Variables) -> Result<Self, VariableError> {
        match variables.required("SOURCE", "archiver-api or chat-export")? {
            Word::ArchiverApi => Ok(Self::ArchiverApi {
                url: variables.required("ARCHIVER_URL", "the URL of the archiver's retrieval API")?,
                secret_id: variables.required("ARCHIVER_SECRET_ID", "the name or ARN of the archiver's secret")?,
            }),
            Word::ChatExport => {
                let zone: Zone =
                    variables.required("EXPORT_TIME_ZONE", "the time zone of the phones, such as Europe/Copenhagen")?;
                Ok(Self::ChatExport { zone: zone.0 })
            }
        }
    }

    /// The source itself. It asks for nothing yet.
    ///
    /// # Errors
    /// When the archiver's URL cannot be used.
    pub fn connect(self, store: &Store, secrets: &Secrets) -> Result<Arc<dyn Source>, SourceError> {
        match self {
            Self::ArchiverApi { url, secret_id } => {
                let credentials = Arc::new(SecretCredentials::new(secrets.clone(), secret_id));
                Ok(Arc::new(ArchiverApi::new(url, credentials, Limits::default())?))
            }
            Self::ChatExport { zone } => Ok(Arc::new(ChatExports::new(store.clone(), zone))),
        }
    }
}

enum Word {
    ArchiverApi,
    ChatExport,
}

impl FromStr for Word {
    type Err = &'static str;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        match word {
            "archiver-api" => Ok(Self::ArchiverApi),
            "chat-export" => Ok(Self::ChatExport),
            _ => Err("there is no such source"),
        }
    }
}

struct Zone(TimeZone);

impl FromStr for Zone {
    type Err = &'static str;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        TimeZone::get(name).map(Self).map_err(|_| "there is no such time zone")
    }
}
