//! A Lambda function: processes of the real binary, up to the concurrency limit, each with its own Runtime API.
//!
//! The Runtime API is implemented here with axum. The crate `lambda-simulator` keeps the payload and the response of
//! every invocation (a run of 10,000 items would be held twice), does not set `TCP_NODELAY` (44 ms per warm call),
//! rejects a response that is not JSON (AWS passes it on, and the event source evaluates it), and does not end a
//! function at its deadline or notice that its process ended.

mod environment;
mod error;
mod options;
mod output;
mod runtime_api;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use tokio::sync::Semaphore;

use self::{
    environment::{Environment, Processes},
    output::Output,
};
pub use self::{
    error::{FunctionError, InvokeError, StartError},
    options::FunctionOptions,
};
use super::process_group::{EndMethod, ProcessGroup};

/// Usage of a function so far, as Lambda would bill it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Processes started.
    pub starts: u64,
    /// Sum of the times from a start until the first request for an event.
    pub starting: Duration,
    pub invocations: u64,
    /// Sum of the invocation times, each rounded up to a whole millisecond.
    pub billed: Duration,
}

/// A function that can be invoked. Dropping it kills all its processes.
pub struct Function {
    options: FunctionOptions,
    permits: Semaphore,
    /// Warm environments. The one used last is used first, as Lambda does.
    idle: Mutex<Vec<Environment>>,
    processes: Arc<Processes>,
    output: Output,
    group: ProcessGroup,
    usage: Mutex<Usage>,
}

impl Function {
    /// Starts the first process, so that a function that cannot start is reported early.
    ///
    /// # Errors
    /// If the program is missing, ends, or does not request an event in time.
    pub async fn start(options: FunctionOptions) -> Result<Self, StartError> {
        if !options.program.is_file() {
            return Err(StartError::NotBuilt { name: options.name, program: options.program });
        }
        let io = |doing| {
            let name = options.name.clone();
            move |source| StartError::Io { name, doing, source }
        };
        let output = Output::open(&options.log).await.map_err(io("open the log"))?;
        let group = ProcessGroup::start(EndMethod::Hard).map_err(io("start a process group"))?;
        let permits = Semaphore::new(options.concurrency.max(1));
        let function = Self {
            options,
            permits,
            idle: Mutex::default(),
            processes: Arc::default(),
            output,
            group,
            usage: Mutex::default(),
        };
        let first = function.environment().await?;
        function.lock_idle().push(first);
        Ok(function)
    }

    /// Passes an event to a free process, a new one, or the next one that becomes free. Returns the function's response
    /// as it was written, JSON or not.
    ///
    /// Dropping the future kills the process that handles the event.
    ///
    /// # Errors
    /// If the function fails, ends, takes too long, or cannot start.
    pub async fn invoke(&self, event: Bytes) -> Result<Bytes, InvokeError> {
        // The semaphore is never closed, so this does not fail.
        let _permit = self.permits.acquire().await.ok();
        loop {
            let warm = self.lock_idle().pop();
            let (mut environment, is_warm) = match warm {
                Some(environment) => (environment, true),
                None => (self.environment().await?, false),
            };
            let deadline = tokio::time::Instant::now() + self.options.timeout;
            // A process that ended while idle does not fail the invocation.
            if !environment.deliver(event.clone(), deadline).await && is_warm {
                continue;
            }
            let delivered = tokio::time::Instant::now();
            let response = environment.response(deadline).await;
            self.lock_usage().invoked(delivered.elapsed());
            if matches!(response, Ok(_) | Err(InvokeError::Function(_))) {
                self.lock_idle().push(environment);
            }
            return response;
        }
    }

    /// Returns the ids of the running processes.
    pub fn pids(&self) -> Vec<u32> {
        self.processes.ids()
    }

    /// Kills a process with SIGKILL and waits until it has ended. Returns whether it existed.
    pub async fn kill(&self, pid: u32) -> bool {
        self.processes.kill(pid).await
    }

    pub fn usage(&self) -> Usage {
        *self.lock_usage()
    }

    pub fn options(&self) -> &FunctionOptions {
        &self.options
    }

    async fn environment(&self) -> Result<Environment, StartError> {
        let begun = tokio::time::Instant::now();
        let environment = Environment::start(&self.options, &self.output, &self.group, &self.processes).await?;
        let mut usage = self.lock_usage();
        usage.starts += 1;
        usage.starting += begun.elapsed();
        Ok(environment)
    }

    fn lock_usage(&self) -> std::sync::MutexGuard<'_, Usage> {
        self.usage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_idle(&self) -> std::sync::MutexGuard<'_, Vec<Environment>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Usage {
    fn invoked(&mut self, took: Duration) {
        self.invocations += 1;
        let milliseconds = u64::try_from(took.as_micros().div_ceil(1_000)).unwrap_or(u64::MAX);
        self.billed = self.billed.saturating_add(Duration::from_millis(milliseconds));
    }
}
