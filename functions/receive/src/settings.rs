//! The configuration of the function: its environment variables.

use std::{str::FromStr, time::Duration};

use cloud_api::PayloadPath;
use runtime::{VariableError, Variables};
use source::cloud_api::{DEFAULT_GRAPH_URL, GraphUrl, GraphUrlError};

use crate::Check;

/// The environment variables that the function reads.
pub const VARIABLES: &[&str] = &[
    "BUCKET",
    "DEAD_LETTER_QUEUE_URL",
    "LOG_LEVEL",
    "META_GRAPH_URL",
    "RECEIVE_QUEUE_URL",
    "RETRY_BASE_SECONDS",
    "WEBHOOK_HEADER",
    "WEBHOOK_PAYLOAD",
    "WEBHOOK_SECRET_ID",
];

/// The values of [`VARIABLES`].
pub struct Settings {
    /// The name of the bucket.
    pub bucket: String,
    /// The queue of webhooks and files.
    pub receive_queue_url: String,
    /// The queue of dead letters.
    pub dead_letter_queue_url: String,
    /// The wait after the first failure of a task.
    pub retry_base: Duration,
    /// The Graph API that files are fetched from.
    pub graph: GraphUrl,
    /// The place of Meta's payload in a body.
    pub payload: PayloadPath,
    /// The Function URL; `None` if webhooks come only from AWS.
    pub function_url: Option<FunctionUrlSettings>,
}

/// The settings of the Function URL.
pub struct FunctionUrlSettings {
    /// The secret's name or ARN.
    pub secret_id: String,
    /// Authentication of senders.
    pub check: Check,
}

impl Settings {
    /// Reads all variables except the log level.
    ///
    /// # Errors
    /// [`VariableError`]: a variable is missing or invalid.
    pub fn read(variables: &Variables) -> Result<Self, VariableError> {
        let header: Option<HeaderName> =
            variables.optional("WEBHOOK_HEADER", "the name of the header with the provider's value")?;
        let secret_id = variables.optional("WEBHOOK_SECRET_ID", "the name or ARN of the webhooks' secret")?;
        let graph: Option<GraphUrl> =
            variables.optional("META_GRAPH_URL", "the URL of Meta's Graph API with its version")?;
        let graph = match graph {
            Some(graph) => graph,
            None => DEFAULT_GRAPH_URL.parse().map_err(|error: GraphUrlError| VariableError::Bad {
                name: "META_GRAPH_URL",
                expected: DEFAULT_GRAPH_URL,
                problem: error.to_string(),
            })?,
        };
        Ok(Self {
            graph,
            bucket: variables.required("BUCKET", "the bucket's name")?,
            receive_queue_url: variables.required("RECEIVE_QUEUE_URL", "the URL of the receive queue")?,
            dead_letter_queue_url: variables.required("DEAD_LETTER_QUEUE_URL", "the URL of the dead-letter queue")?,
            retry_base: Duration::from_secs(variables.with_default("RETRY_BASE_SECONDS", "a number of seconds", 5)?),
            payload: variables.with_default(
                "WEBHOOK_PAYLOAD",
                "member names such as eventDetails.rawEvent",
                PayloadPath::default(),
            )?,
            function_url: secret_id.map(|secret_id| FunctionUrlSettings {
                secret_id,
                check: header.map_or(Check::Signature, |HeaderName(name)| Check::Header(name)),
            }),
        })
    }
}

/// A header name in lower case, as in Lambda's events.
struct HeaderName(String);

impl FromStr for HeaderName {
    type Err = &'static str;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let is_token = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
        if is_token { Ok(Self(name.to_ascii_lowercase())) } else { Err("it is not a header name") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(webhook: &[(&str, &str)]) -> Result<Settings, VariableError> {
        let value = |name: &str| match name {
            "BUCKET" | "RECEIVE_QUEUE_URL" | "DEAD_LETTER_QUEUE_URL" => Some(name.to_owned()),
            _ => webhook.iter().find(|(given, _)| *given == name).map(|(_, value)| (*value).to_owned()),
        };
        Settings::read(&Variables::from_values(VARIABLES, value))
    }

    #[test]
    fn function_url_is_enabled_by_a_secret_and_checks_signatures() {
        assert!(read(&[]).unwrap().function_url.is_none());
        let check = |webhook: &[(&str, &str)]| read(webhook).unwrap().function_url.unwrap().check;
        assert_eq!(check(&[("WEBHOOK_SECRET_ID", "s")]), Check::Signature);
        let by_header = [("WEBHOOK_SECRET_ID", "s"), ("WEBHOOK_HEADER", "X-Provider-Key")];
        assert_eq!(check(&by_header), Check::Header("x-provider-key".to_owned()));
        for (name, wrong) in [("WEBHOOK_HEADER", "x: y"), ("WEBHOOK_PAYLOAD", "a..b")] {
            let error = read(&[(name, wrong)]).err().unwrap().to_string();
            assert!(error.contains(name), "{error}");
        }
    }
}
