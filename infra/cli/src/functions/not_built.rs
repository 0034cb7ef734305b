//! Replaces the clients of Lambda and EventBridge Scheduler in a build for one-machine runs.

use std::collections::HashMap;

use aws_config::SdkConfig;
use serde_json::Value;

use super::types::{EventSourceMapping, FunctionError, Schedule};

/// A client that rejects every request.
pub struct Functions(());

impl Functions {
    /// Creates the client.
    pub fn new(_: &SdkConfig) -> Self {
        Self(())
    }

    /// Rejects the invocation.
    ///
    /// # Errors
    /// [`FunctionError::NotBuilt`].
    #[expect(clippy::unused_async, reason = "the signature of the real client")]
    pub async fn invoke(&self, _: &str, _: &Value) -> Result<Vec<u8>, FunctionError> {
        Err(FunctionError::NotBuilt)
    }

    /// Rejects the request.
    ///
    /// # Errors
    /// [`FunctionError::NotBuilt`].
    #[expect(clippy::unused_async, reason = "the signature of the real client")]
    pub async fn settings(&self, _: &str) -> Result<HashMap<String, String>, FunctionError> {
        Err(FunctionError::NotBuilt)
    }

    /// Rejects the request.
    ///
    /// # Errors
    /// [`FunctionError::NotBuilt`].
    #[expect(clippy::unused_async, reason = "the signature of the real client")]
    pub async fn mappings(&self, _: &str) -> Result<Vec<EventSourceMapping>, FunctionError> {
        Err(FunctionError::NotBuilt)
    }
}

/// Rejects the request.
///
/// # Errors
/// Always.
pub async fn schedule(_: &SdkConfig, _: &str) -> Result<Schedule, String> {
    Err(crate::NO_STACKS.to_owned())
}
