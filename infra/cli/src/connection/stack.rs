//! Reads a deployment's parts from its CloudFormation stack.

use std::collections::HashMap;

use aws_config::SdkConfig;

use super::error::ConnectionError;

/// Status, outputs and parameters of a CloudFormation stack.
#[derive(Debug)]
pub(super) struct Stack {
    /// CloudFormation's status, such as `CREATE_COMPLETE`.
    pub(super) status: String,
    pub(super) outputs: HashMap<String, String>,
    pub(super) parameters: HashMap<String, String>,
}

#[cfg(feature = "stack")]
/// Reads a stack from CloudFormation.
pub(super) async fn describe(config: &SdkConfig, name: &str) -> Result<Stack, ConnectionError> {
    use aws_sdk_cloudformation::error::ProvideErrorMetadata;

    let response =
        aws_sdk_cloudformation::Client::new(config).describe_stacks().stack_name(name).send().await.map_err(
            |error| {
                let stack = name.to_owned();
                match (error.code(), error.message()) {
                    (Some("ValidationError"), Some(message)) if message.contains("does not exist") => {
                        ConnectionError::NoStack { stack, region: region(config).to_owned() }
                    }
                    _ => ConnectionError::StackUnreadable { stack, problem: aws::classify(&error).problem },
                }
            },
        )?;
    // A name matches at most one stack; deleted stacks are found by their id only.
    let Some(stack) = response.stacks.unwrap_or_default().into_iter().next() else {
        return Err(ConnectionError::NoStack { stack: name.to_owned(), region: region(config).to_owned() });
    };
    let status = stack.stack_status.map_or_else(|| "unknown".to_owned(), |status| status.as_str().to_owned());
    let outputs = stack.outputs.unwrap_or_default().into_iter();
    let outputs = outputs.filter_map(|output| Some((output.output_key?, output.output_value?))).collect();
    let parameters = stack.parameters.unwrap_or_default().into_iter();
    let parameters = parameters.filter_map(|parameter| Some((parameter.parameter_key?, parameter.parameter_value?)));
    Ok(Stack { status, outputs, parameters: parameters.collect() })
}

#[cfg(feature = "stack")]
fn region(config: &SdkConfig) -> &str {
    config.region().map_or("no region", AsRef::as_ref)
}

/// Rejects the request: this build has no client of CloudFormation.
#[cfg(not(feature = "stack"))]
#[expect(clippy::unused_async, reason = "the signature of the real client")]
pub(super) async fn describe(_: &SdkConfig, _: &str) -> Result<Stack, ConnectionError> {
    Err(ConnectionError::NotBuilt)
}
