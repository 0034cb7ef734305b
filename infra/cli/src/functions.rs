//! Invokes the deployed functions and reads their configuration and schedule. Other modules do not use the SDKs of Lambda
//! and EventBridge Scheduler, except tests.

#[cfg(feature = "stack")]
mod sdk;
#[cfg(not(feature = "stack"))]
#[path = "functions/not_built.rs"]
mod sdk;

mod types;

pub use self::{
    sdk::{Functions, schedule},
    types::{EventSourceMapping, FunctionError, Schedule},
};
