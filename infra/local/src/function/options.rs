//! The configuration of a function.

use std::{path::PathBuf, time::Duration};

/// The configuration of a function, as a template would state it.
#[derive(Debug, Clone)]
pub struct FunctionOptions {
    /// Name in the log and in the ARN.
    pub name: String,
    /// Path of the bootstrap.
    pub program: PathBuf,
    /// Environment variables in addition to those that Lambda sets. The operator's own environment is not passed on, so
    /// no credentials or settings reach the function by accident.
    pub variables: Vec<(String, String)>,
    /// Maximum number of processes, as Lambda's reserved concurrency. They start when they are needed.
    pub concurrency: usize,
    /// Maximum time of an invocation. A start may take as long, but at least ten seconds.
    pub timeout: Duration,
    /// The memory size that the function is given, in MB. It is not enforced.
    pub memory_mb: u32,
    /// File that the output is appended to. At 32 MB it is renamed to `<file>.old`.
    pub log: PathBuf,
}
