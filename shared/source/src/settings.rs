//! The source settings, from environment variables.

use std::{str::FromStr, sync::Arc};

use aws::{s3::Store, secrets::Secrets};
use chat_export::Recipients;
use eml_drop::{Participants, Profile, ProfileError};
use jiff::tz::TimeZone;
use runtime::{VariableError, Variables};

use crate::{ArchiverApi, ArchiverUrl, ChatExports, CloudApi, EmlDrop, Limits, SecretCredentials, Source};

/// The environment variables that [`SourceSettings::read`] reads.
pub const VARIABLES: &[&str] = &[
    "ARCHIVER_SECRET_ID",
    "ARCHIVER_URL",
    "EML_HEADERS",
    "EML_PARTICIPANTS",
    "EML_PROFILE",
    "EXPORT_DATE_ORDER",
    "EXPORT_PARTICIPANTS",
    "EXPORT_TIME_ZONE",
    "SOURCE",
];

/// The form of `EML_HEADERS`.
const HEADERS: &str = "a list such as id=X-Archive-Id,chat=X-Chat-Id";

/// The source that a deployment reads from.
pub enum SourceSettings {
    /// `SOURCE=archiver-api`.
    ArchiverApi {
        /// `ARCHIVER_URL`.
        url: ArchiverUrl,
        /// `ARCHIVER_SECRET_ID`: the secret's name or ARN.
        secret_id: String,
    },
    /// `SOURCE=chat-export`.
    ChatExport {
        /// `EXPORT_TIME_ZONE`, `EXPORT_DATE_ORDER` and `EXPORT_PARTICIPANTS`: an export contains none of them.
        settings: chat_export::Settings,
    },
    /// `SOURCE=cloud-api`: what the receiver put into the bucket.
    CloudApi,
    /// `SOURCE=eml-drop`.
    EmlDrop {
        /// `EML_PROFILE`, `EML_HEADERS` and `EML_PARTICIPANTS`.
        profile: Profile,
    },
}

impl SourceSettings {
    /// Reads `SOURCE` and the variables of that source.
    ///
    /// # Errors
    /// A variable is missing or malformed.
    pub fn read(variables: &Variables) -> Result<Self, VariableError> {
        match variables.required("SOURCE", "archiver-api, chat-export, cloud-api or eml-drop")? {
            Word::ArchiverApi => Ok(Self::ArchiverApi {
                url: variables.required("ARCHIVER_URL", "the URL of the retrieval API")?,
                secret_id: variables
                    .required("ARCHIVER_SECRET_ID", "the name or ARN of the secret for the retrieval API")?,
            }),
            Word::ChatExport => {
                let zone: Zone =
                    variables.required("EXPORT_TIME_ZONE", "the time zone of the phones, such as Europe/Copenhagen")?;
                let settings = chat_export::Settings {
                    date_order: variables.optional("EXPORT_DATE_ORDER", "day-month-year or month-day-year")?,
                    recipients: variables.with_default("EXPORT_PARTICIPANTS", "owner or mapped", Recipients::Owner)?,
                    ..chat_export::Settings::in_zone(zone.0)
                };
                Ok(Self::ChatExport { settings })
            }
            Word::CloudApi => Ok(Self::CloudApi),
            Word::EmlDrop => {
                let headers: Option<Headers> = variables.optional("EML_HEADERS", HEADERS)?;
                let word = variables.with_default("EML_PROFILE", "telemessage or generic", ProfileWord::TeleMessage)?;
                let profile = match (word, headers) {
                    (ProfileWord::TeleMessage, None) => Profile::telemessage(),
                    // Ignored, they would look as if they were used.
                    (ProfileWord::TeleMessage, Some(_)) => {
                        let problem = "the profile telemessage has its own header fields: set EML_PROFILE=generic, or leave it empty";
                        return Err(VariableError::Bad {
                            name: "EML_HEADERS",
                            expected: HEADERS,
                            problem: problem.to_owned(),
                        });
                    }
                    (ProfileWord::Generic, headers) => {
                        headers.map_or_else(Profile::default, |Headers(profile)| profile)
                    }
                };
                let participants = variables.with_default(
                    "EML_PARTICIPANTS",
                    "number-and-address or address",
                    Participants::NumberAndAddress,
                )?;
                Ok(Self::EmlDrop { profile: profile.with_participants(participants) })
            }
        }
    }

    /// Returns the word of `SOURCE`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::ArchiverApi { .. } => "archiver-api",
            Self::ChatExport { .. } => "chat-export",
            Self::CloudApi => "cloud-api",
            Self::EmlDrop { .. } => EmlDrop::NAME,
        }
    }

    /// Creates the source. It sends no request yet.
    pub fn connect(self, store: &Store, secrets: &Secrets) -> Arc<dyn Source> {
        match self {
            Self::ArchiverApi { url, secret_id } => {
                let credentials = Arc::new(SecretCredentials::new(secrets.clone(), secret_id));
                Arc::new(ArchiverApi::new(url, credentials, Limits::default()))
            }
            Self::ChatExport { settings } => Arc::new(ChatExports::new(store.clone(), settings)),
            Self::CloudApi => Arc::new(CloudApi::new(store.clone())),
            Self::EmlDrop { profile } => Arc::new(EmlDrop::new(store.clone(), profile)),
        }
    }
}

enum Word {
    ArchiverApi,
    ChatExport,
    CloudApi,
    EmlDrop,
}

impl FromStr for Word {
    type Err = &'static str;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        match word {
            "archiver-api" => Ok(Self::ArchiverApi),
            "chat-export" => Ok(Self::ChatExport),
            "cloud-api" => Ok(Self::CloudApi),
            EmlDrop::NAME => Ok(Self::EmlDrop),
            _ => Err("unrecognized source"),
        }
    }
}

enum ProfileWord {
    TeleMessage,
    Generic,
}

impl FromStr for ProfileWord {
    type Err = &'static str;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        match word {
            "telemessage" => Ok(Self::TeleMessage),
            "generic" => Ok(Self::Generic),
            _ => Err("unrecognized profile"),
        }
    }
}

struct Headers(Profile);

impl FromStr for Headers {
    type Err = ProfileError;

    fn from_str(fields: &str) -> Result<Self, Self::Err> {
        Profile::generic(fields).map(Self)
    }
}

struct Zone(TimeZone);

impl FromStr for Zone {
    type Err = &'static str;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        TimeZone::get(name).map(Self).map_err(|_| "unrecognized time zone")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_fields_with_profile_telemessage_are_rejected() {
        let read = |headers: &'static str, profile: &'static str| {
            let value = move |name: &str| match name {
                "SOURCE" => Some("eml-drop".to_owned()),
                "EML_HEADERS" => Some(headers.to_owned()),
                "EML_PROFILE" => Some(profile.to_owned()),
                _ => None,
            };
            let settings = SourceSettings::read(&Variables::from_values(VARIABLES, value));
            settings.map(drop).map_err(|error| error.to_string())
        };
        for profile in ["telemessage", ""] {
            let error = read("id=X-Archive-Id", profile).unwrap_err();
            assert!(error.contains("EML_HEADERS") && error.contains("EML_PROFILE=generic"), "{error}");
            assert_eq!(read("", profile), Ok(()));
        }
        assert_eq!(read("id=X-Archive-Id", "generic"), Ok(()));
    }

    #[test]
    fn error_names_the_variable_and_not_the_invalid_url() {
        let read = |url: &'static str| {
            let value = move |name: &str| match name {
                "SOURCE" => Some("archiver-api".to_owned()),
                "ARCHIVER_URL" => Some(url.to_owned()),
                "ARCHIVER_SECRET_ID" => Some("archiver".to_owned()),
                _ => None,
            };
            let declared = &["SOURCE", "ARCHIVER_URL", "ARCHIVER_SECRET_ID"];
            SourceSettings::read(&Variables::from_values(declared, value)).map(drop)
        };
        assert_eq!(read("https://archive.example.com/api/v1"), Ok(()));
        for url in ["http://archive.example.com", "https://ada:hunter2@archive.example.com", "archive"] {
            let error = read(url).unwrap_err().to_string();
            assert!(error.contains("ARCHIVER_URL is invalid: it "), "{error}");
            assert!(!error.contains("hunter2") && !error.contains("example"), "{error}");
        }
    }
}
