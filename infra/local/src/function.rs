//! A function of Lambda's: the real binary, as many processes of it as it may have, each with a Runtime API of its own.
//!
//! The Runtime API is written here, on axum, and not taken from the crate `lambda-simulator`, which keeps the payload
//! and the answer of every invocation for good (a run of 10,000 items would be held twice), does not set
//! `TCP_NODELAY` (44 ms a warm call), refuses an answer that is not JSON (which AWS hands on, and the event source has
//! to judge), and neither ends a function at its deadline nor notices that its process died.

mod environment;
mod output;
mod runtime_api;

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use tokio::sync::Semaphore;

use self::{
    environment::{Environment, Processes},
    output::Output,
};
use super::guard::{Ending, Guard};

/// What a function is, as its template would say it.
#[derive(Debug, Clone)]
pub struct FunctionOptions {
    /// Its name, which its log and its ARN carry.
    pub name: String,
    /// The program: what Lambda calls the bootstrap.
    pub program: PathBuf,
    /// Its environment variables, on top of those that Lambda sets. Nothing else is handed on: no credentials and no
    /// setting of the operator's own get into the function.
    pub variables: Vec<(String, String)>,
    /// The most processes of it at once: Lambda's reserved concurrency. They start when they are needed.
    pub concurrency: usize,
    /// The longest an invocation may take. A start may take as long, but never less than ten seconds.
    pub timeout: Duration,
    /// What it is told about its memory, in MB. Nothing enforces it.
    pub memory_mb: u32,
    /// The file that what it writes is appended to; when that has 32 MB, it becomes `<file>.old`.
    pub log: PathBuf,
}

/// A process of the function did not come to the point of asking for work. It is the function's fault, or the
/// machine's, and stays so until somebody changes something.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The program is not there.
    #[error("the function {name} is not built: there is no {}", program.display())]
    NotBuilt {
        /// The function's name.
        name: String,
        /// Where it was looked for.
        program: PathBuf,
    },
    /// It ended before it asked for work.
    #[error("the function {name} ended while it started ({how}); it said:\n{last_words}")]
    Ended {
        /// The function's name.
        name: String,
        /// Its exit status.
        how: String,
        /// The end of what this process wrote.
        last_words: String,
    },
    /// It told the Runtime API that it cannot start.
    #[error("the function {name} cannot start: {said}")]
    Refused {
        /// The function's name.
        name: String,
        /// What it said.
        said: FunctionError,
    },
    /// It runs and does not ask for work.
    #[error("the function {name} did not ask for work within {} seconds; it said:\n{last_words}", after.as_secs())]
    TimedOut {
        /// The function's name.
        name: String,
        /// How long it had.
        after: Duration,
        /// The end of what this process wrote.
        last_words: String,
    },
    /// A file or a process could not be opened or started.
    #[error("the function {name}: {doing}: {source}")]
    Io {
        /// The function's name.
        name: String,
        /// What was tried.
        doing: &'static str,
        /// What the operating system said.
        source: std::io::Error,
    },
}

/// What a function says when it fails, cut to a line's length.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{error_type}: {message}")]
pub struct FunctionError {
    /// The kind, in the function's words.
    pub error_type: String,
    /// The text, in the function's words.
    pub message: String,
}

/// Why an invocation has no answer. The function may have done its work, or half of it.
#[derive(Debug, thiserror::Error)]
pub enum InvokeError {
    /// There was no process to invoke, and none could be started.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The function answered with an error.
    #[error("the function failed: {0}")]
    Function(FunctionError),
    /// The process ended, by itself or by a signal.
    #[error("the function's process ended ({how}); it said:\n{last_words}")]
    Crashed {
        /// Its exit status.
        how: String,
        /// The end of what this process wrote.
        last_words: String,
    },
    /// It took longer than it may, and was killed.
    #[error("the function was killed after {} seconds", .0.as_secs_f32())]
    TimedOut(Duration),
}

/// What a function has used so far, as Lambda would bill it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// How many processes were started.
    pub starts: u64,
    /// From their start until each asked for work, together.
    pub starting: Duration,
    /// How many events were handed over.
    pub invocations: u64,
    /// From handing over to the answer, each invocation rounded up to a whole millisecond, together.
    pub billed: Duration,
}

/// A function that can be invoked. Dropped, all its processes are killed.
pub struct Function {
    options: FunctionOptions,
    permits: Semaphore,
    /// Warm, waiting for work; the one that was used last is used first, as Lambda does.
    idle: Mutex<Vec<Environment>>,
    processes: Arc<Processes>,
    output: Output,
    guard: Guard,
    usage: Mutex<Usage>,
}

impl Function {
    /// Starts the function's first process, so that one that cannot start says so now.
    ///
    /// # Errors
    /// When the program is missing, or ends, or does not ask for work in time.
    pub async fn start(options: FunctionOptions) -> Result<Self, StartError> {
        if !options.program.is_file() {
            return Err(StartError::NotBuilt { name: options.name, program: options.program });
        }
        let io = |doing| {
            let name = options.name.clone();
            move |source| StartError::Io { name, doing, source }
        };
        let output = Output::open(&options.log).await.map_err(io("open its log"))?;
        let guard = Guard::start(Ending::Hard).map_err(io("start a guard"))?;
        let permits = Semaphore::new(options.concurrency.max(1));
        let function = Self {
            options,
            permits,
            idle: Mutex::default(),
            processes: Arc::default(),
            output,
            guard,
            usage: Mutex::default(),
        };
        let first = function.environment().await?;
        function.lock_idle().push(first);
        Ok(function)
    }

    /// Hands an event to a process that is free, or to a new one, or to the next that becomes free. Its answer is
    /// what the function wrote, JSON or not.
    ///
    /// When the future is dropped, the process that works on it is killed.
    ///
    /// # Errors
    /// When the function fails, ends, takes too long, or cannot start.
    pub async fn invoke(&self, event: Bytes) -> Result<Bytes, InvokeError> {
        // The semaphore is never closed, so the permit is always there.
        let _permit = self.permits.acquire().await.ok();
        loop {
            let warm = self.lock_idle().pop();
            let (mut environment, is_warm) = match warm {
                Some(environment) => (environment, true),
                None => (self.environment().await?, false),
            };
            let deadline = tokio::time::Instant::now() + self.options.timeout;
            // A process that died while nobody used it costs no invocation.
            if !environment.deliver(event.clone(), deadline).await && is_warm {
                continue;
            }
            let delivered = tokio::time::Instant::now();
            let answer = environment.answer(deadline).await;
            self.lock_usage().invoked(delivered.elapsed());
            if matches!(answer, Ok(_) | Err(InvokeError::Function(_))) {
                self.lock_idle().push(environment);
            }
            return answer;
        }
    }

    /// The ids of the processes that run now.
    pub fn pids(&self) -> Vec<u32> {
        self.processes.ids()
    }

    /// Kills one process with SIGKILL, whatever it does, and returns when it is gone. Says whether there was such one.
    pub async fn kill(&self, pid: u32) -> bool {
        self.processes.kill(pid).await
    }

    /// What it has used so far.
    pub fn usage(&self) -> Usage {
        *self.lock_usage()
    }

    /// What it is.
    pub fn options(&self) -> &FunctionOptions {
        &self.options
    }

    async fn environment(&self) -> Result<Environment, StartError> {
        let begun = tokio::time::Instant::now();
        let environment = Environment::start(&self.options, &self.output, &self.guard, &self.processes).await?;
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
