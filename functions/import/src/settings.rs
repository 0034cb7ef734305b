//! The function's settings, from its environment.

use std::{str::FromStr, time::Duration};

use jiff::Timestamp;
use model::{MailboxAddress, keys};
use phone::Region;
use runtime::{VariableError, Variables, joined};

use crate::retry_limit::RetryLimit;

use mailbox::{Domains, MailboxSettings, retry_base, settle_time};

/// The environment variables that the function reads.
pub const VARIABLES: &[&str] = &joined::<{ OWN.len() + mailbox::VARIABLES.len() }>(OWN, mailbox::VARIABLES);

/// The variables besides those of the mail system.
const OWN: &[&str] = &[
    "AUTOMATIC_MAPPING",
    "BUCKET",
    "CATCH_ALL_MAILBOX",
    "DEAD_LETTER_QUEUE_URL",
    "DEFAULT_REGION",
    "IMPORT_QUEUE_URL",
    "LOG_LEVEL",
    "LOOK_UP_BEFORE",
    "RETRY_HOURS",
    "TENANT_DOMAINS",
    "USER_MAP_KEY",
];

/// The values of [`VARIABLES`].
pub struct Settings {
    /// The bucket's name.
    pub bucket: String,
    /// URL of the import queue.
    pub import_queue_url: String,
    /// URL of the dead-letter queue.
    pub dead_letter_queue_url: String,
    /// The user map's key in the bucket.
    pub user_map_key: String,
    /// Region of numbers without a country code.
    pub default_region: Option<Region>,
    /// `true` if a participant's own e-mail property is used when the user map does not have the number.
    pub automatic_mapping: bool,
    /// Domains in lower case whose addresses are expected to have mailboxes.
    pub tenant_domains: Vec<String>,
    /// Retry period for undecided responses of the mail system.
    pub retry_limit: RetryLimit,
    /// The mailbox for items of which no participant has a mailbox.
    pub catch_all: Option<MailboxAddress>,
    /// Items that were archived before this time may have copies of another stack.
    pub look_up_before: Option<Timestamp>,
    /// The wait after an item's first failure.
    pub retry_base: Duration,
    /// Maximum time after which a copy appears when the response to its request was lost.
    pub settle_time: Duration,
    /// The mail system.
    pub mailbox: MailboxSettings,
}

impl Settings {
    /// Reads all variables except the log level.
    ///
    /// # Errors
    /// A variable is missing or invalid.
    pub fn read(variables: &Variables) -> Result<Self, VariableError> {
        Ok(Self {
            bucket: variables.required("BUCKET", "the bucket's name")?,
            import_queue_url: variables.required("IMPORT_QUEUE_URL", "the URL of the import queue")?,
            dead_letter_queue_url: variables.required("DEAD_LETTER_QUEUE_URL", "the URL of the dead-letter queue")?,
            user_map_key: variables.with_default(
                "USER_MAP_KEY",
                "the user map's key in the bucket",
                keys::USER_MAP.to_owned(),
            )?,
            default_region: variables.optional("DEFAULT_REGION", "a country of two letters, such as DK")?,
            automatic_mapping: variables.with_default("AUTOMATIC_MAPPING", "true or false", true)?,
            tenant_domains: variables
                .optional("TENANT_DOMAINS", "domains, with commas between them")?
                .map_or_else(Vec::new, |Domains(domains)| domains),
            retry_limit: retry_limit(variables)?,
            catch_all: variables.optional("CATCH_ALL_MAILBOX", "an e-mail address")?,
            look_up_before: variables.optional("LOOK_UP_BEFORE", "a time such as 2026-11-28T10:00:00Z")?,
            retry_base: retry_base(variables)?,
            settle_time: settle_time(variables)?,
            mailbox: MailboxSettings::read(variables)?,
        })
    }
}

fn retry_limit(variables: &Variables) -> Result<RetryLimit, VariableError> {
    let expected = "a number of hours from 0 to 96";
    let Hours(wait) = variables.with_default("RETRY_HOURS", expected, Hours(DEFAULT_RETRY))?;
    Ok(RetryLimit::new(wait))
}

/// Microsoft 365 may take this long to provision a mailbox.
const DEFAULT_RETRY: Duration = Duration::from_hours(24);

/// SQS moves a message to the dead-letter queue after 300 receives. With delays of half an hour, 96 hours take fewer
/// than 200.
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
