//! The clients of Lambda and EventBridge Scheduler.

use std::{collections::HashMap, time::Duration};

use aws::RequestError;
use aws_config::{SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};
use aws_sdk_lambda::{
    Client,
    config::{Builder, StalledStreamProtectionConfig},
    error::{ProvideErrorMetadata, SdkError},
    primitives::Blob,
};
use aws_sdk_scheduler::types::ScheduleState;
use serde_json::Value;

use super::types::{EventSourceMapping, FunctionError, Schedule};

/// Timeout of an invocation; longer than Lambda's limit of 15 minutes.
const INVOCATION_TIMEOUT: Duration = Duration::from_secs(16 * 60);

/// A client of Lambda.
pub struct Functions {
    client: Client,
    invoking: Client,
}

impl Functions {
    /// Creates the clients; sends no request.
    pub fn new(config: &SdkConfig) -> Self {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(Duration::from_secs(5))
            .read_timeout(INVOCATION_TIMEOUT)
            .operation_attempt_timeout(INVOCATION_TIMEOUT)
            .build();
        let invoking = Builder::from(config)
            .timeout_config(timeouts)
            // A retry by the SDK would run the function a second time.
            .retry_config(RetryConfig::disabled())
            // The connection is idle while the function runs.
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .build();
        Self { client: Client::new(config), invoking: Client::from_conf(invoking) }
    }

    /// Invokes a function once and waits for its response.
    ///
    /// # Errors
    /// [`FunctionError`]. After [`FunctionError::OutcomeUnknown`] the function may be running.
    pub async fn invoke(&self, name: &str, event: &Value) -> Result<Vec<u8>, FunctionError> {
        let invoke = self.invoking.invoke().function_name(name).payload(Blob::new(event.to_string()));
        let response = invoke.send().await.map_err(|error| request_error("an invocation", name, &error))?;
        let payload = response.payload.map(Blob::into_inner).unwrap_or_default();
        if response.function_error.is_none() {
            return Ok(payload);
        }
        let message: Option<Value> = serde_json::from_slice(&payload).ok();
        let message = message.as_ref().and_then(|message| message.get("errorMessage")?.as_str());
        Err(FunctionError::Failed { name: name.to_owned(), message: message.unwrap_or("no error text").to_owned() })
    }

    /// Returns the environment variables that a function is deployed with.
    ///
    /// # Errors
    /// [`FunctionError`].
    pub async fn settings(&self, name: &str) -> Result<HashMap<String, String>, FunctionError> {
        let response = self.client.get_function_configuration().function_name(name).send().await;
        let response = response.map_err(|error| request_error("GetFunctionConfiguration", name, &error))?;
        Ok(response.environment.and_then(|environment| environment.variables).unwrap_or_default())
    }

    /// Lists the event source mappings of a function.
    ///
    /// # Errors
    /// [`FunctionError`].
    pub async fn mappings(&self, name: &str) -> Result<Vec<EventSourceMapping>, FunctionError> {
        let response = self.client.list_event_source_mappings().function_name(name).send().await;
        let response = response.map_err(|error| request_error("ListEventSourceMappings", name, &error))?;
        let mapping = |mapping: aws_sdk_lambda::types::EventSourceMappingConfiguration| EventSourceMapping {
            source: mapping.event_source_arn.unwrap_or_default(),
            state: mapping.state.unwrap_or_default(),
            max_concurrency: mapping.scaling_config.and_then(|scaling| scaling.maximum_concurrency),
            reports_failures: mapping
                .function_response_types
                .unwrap_or_default()
                .iter()
                .any(|word| matches!(word, aws_sdk_lambda::types::FunctionResponseType::ReportBatchItemFailures)),
        };
        Ok(response.event_source_mappings.unwrap_or_default().into_iter().map(mapping).collect())
    }
}

fn request_error<E>(operation: &'static str, name: &str, error: &SdkError<E>) -> FunctionError
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let name = name.to_owned();
    let RequestError { is_transient, problem } = aws::classify(error);
    match error.code() {
        Some("ResourceNotFoundException") => FunctionError::Missing(name),
        Some("TooManyRequestsException") => FunctionError::Busy(name),
        _ if is_not_sent(error) => FunctionError::NotSent { operation, name, problem },
        _ if is_transient => FunctionError::OutcomeUnknown { operation, name, problem },
        _ => FunctionError::Rejected { operation, name, problem },
    }
}

/// Returns whether a request certainly had no effect: it could not be created, for example without credentials, or was throttled.
fn is_not_sent<E: ProvideErrorMetadata>(error: &SdkError<E>) -> bool {
    let is_throttled = || error.raw_response().is_some_and(|response| response.status().as_u16() == 429);
    matches!(error, SdkError::ConstructionFailure(_)) || is_throttled()
}

/// Reads a schedule.
///
/// # Errors
/// The error of EventBridge Scheduler.
pub async fn schedule(config: &SdkConfig, name: &str) -> Result<Schedule, String> {
    let response = aws_sdk_scheduler::Client::new(config).get_schedule().name(name).send().await;
    let response = response.map_err(|error| aws::classify(&error).problem)?;
    Ok(Schedule {
        is_enabled: response.state == Some(ScheduleState::Enabled),
        expression: response.schedule_expression.unwrap_or_default(),
    })
}
