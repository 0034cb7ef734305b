//! The deployed functions. Lambda's SDK ends here.

use std::{collections::HashMap, time::Duration};

use aws_config::{SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};
use aws_sdk_lambda::{
    Client,
    config::{Builder, StalledStreamProtectionConfig},
    error::{DisplayErrorContext, ProvideErrorMetadata, SdkError},
    primitives::Blob,
};
use serde_json::Value;

/// Why a function did not do what was asked. Its own words are shown only where it failed itself: our functions say
/// nothing of content, names or secrets.
#[derive(Debug, thiserror::Error)]
pub enum FunctionError {
    /// There is no such function.
    #[error("there is no function {0} in this account and region")]
    Missing(String),
    /// It runs as often at once as it may.
    #[error(
        "{0} is at work already, for the schedule or for somebody else, and runs once at a time. Try again when it is done: \
         at most 15 minutes"
    )]
    Busy(String),
    /// Lambda refuses us.
    #[error("Lambda refuses {operation} of {name}: {problem}")]
    Refused {
        /// What was tried.
        operation: &'static str,
        /// The function.
        name: String,
        /// What Lambda answered.
        problem: String,
    },
    /// No answer came.
    #[error("Lambda gives no answer to {operation} of {name}: {problem}")]
    Lost {
        /// What was tried.
        operation: &'static str,
        /// The function.
        name: String,
        /// What happened on the way.
        problem: String,
    },
    /// It ended with an error.
    #[error("{name} failed: {said}. Its log says more: aws logs tail /aws/lambda/{name} --since 1h")]
    Failed {
        /// The function.
        name: String,
        /// Its own words, or Lambda's.
        said: String,
    },
}

/// Where a function's events come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapping {
    /// The queue's ARN.
    pub source: String,
    /// `Enabled`, for one.
    pub state: String,
    /// Whether a batch's failures are told one by one.
    pub reports_failures: bool,
    /// How many batches it hands over at once at most; `None`: as many as Lambda likes.
    pub most_at_once: Option<i32>,
}

/// Longer than any invocation, which Lambda ends after 15 minutes.
const LONGEST: Duration = Duration::from_secs(16 * 60);

/// A client of Lambda.
pub struct Functions {
    client: Client,
    patient: Client,
}

impl Functions {
    /// A client; it asks for nothing yet.
    pub fn new(config: &SdkConfig) -> Self {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(Duration::from_secs(5))
            .read_timeout(LONGEST)
            .operation_attempt_timeout(LONGEST)
            .build();
        let patient = Builder::from(config)
            .timeout_config(timeouts)
            // A second try would run the function again behind our back, and wait as long again.
            .retry_config(RetryConfig::disabled())
            // Nothing moves on the connection while the function works.
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .build();
        Self { client: Client::new(config), patient: Client::from_conf(patient) }
    }

    /// Invokes a function and waits for its answer, as long as it may take. Asks once.
    ///
    /// # Errors
    /// [`FunctionError`]. After [`FunctionError::Lost`] the function may be at work all the same.
    pub async fn invoke(&self, name: &str, event: &Value) -> Result<Vec<u8>, FunctionError> {
        let invoke = self.patient.invoke().function_name(name).payload(Blob::new(event.to_string()));
        let answer = invoke.send().await.map_err(|error| refused("an invocation", name, &error))?;
        let payload = answer.payload.map(Blob::into_inner).unwrap_or_default();
        if answer.function_error.is_none() {
            return Ok(payload);
        }
        let said: Option<Value> = serde_json::from_slice(&payload).ok();
        let said = said.as_ref().and_then(|said| said.get("errorMessage")?.as_str());
        Err(FunctionError::Failed { name: name.to_owned(), said: said.unwrap_or("it does not say why").to_owned() })
    }

    /// The environment variables that a function is deployed with.
    ///
    /// # Errors
    /// [`FunctionError`].
    pub async fn settings(&self, name: &str) -> Result<HashMap<String, String>, FunctionError> {
        let asked = self.client.get_function_configuration().function_name(name).send().await;
        let answer = asked.map_err(|error| refused("GetFunctionConfiguration", name, &error))?;
        Ok(answer.environment.and_then(|environment| environment.variables).unwrap_or_default())
    }

    /// Where a function's events come from.
    ///
    /// # Errors
    /// [`FunctionError`].
    pub async fn mappings(&self, name: &str) -> Result<Vec<Mapping>, FunctionError> {
        let asked = self.client.list_event_source_mappings().function_name(name).send().await;
        let answer = asked.map_err(|error| refused("ListEventSourceMappings", name, &error))?;
        let mapping = |mapping: aws_sdk_lambda::types::EventSourceMappingConfiguration| Mapping {
            source: mapping.event_source_arn.unwrap_or_default(),
            state: mapping.state.unwrap_or_default(),
            most_at_once: mapping.scaling_config.and_then(|scaling| scaling.maximum_concurrency),
            reports_failures: mapping
                .function_response_types
                .unwrap_or_default()
                .iter()
                .any(|word| matches!(word, aws_sdk_lambda::types::FunctionResponseType::ReportBatchItemFailures)),
        };
        Ok(answer.event_source_mappings.unwrap_or_default().into_iter().map(mapping).collect())
    }
}

fn refused<E>(operation: &'static str, name: &str, error: &SdkError<E>) -> FunctionError
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let name = name.to_owned();
    match error.code() {
        Some("ResourceNotFoundException") => FunctionError::Missing(name),
        Some("TooManyRequestsException") => FunctionError::Busy(name),
        Some(code) => FunctionError::Refused { operation, name, problem: code.to_owned() },
        None => FunctionError::Lost { operation, name, problem: DisplayErrorContext(error).to_string() },
    }
}
