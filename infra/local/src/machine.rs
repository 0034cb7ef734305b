//! The whole system on one machine: the emulator, the three functions, and the event sources between them.

use std::{path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::{
    cloud::{Cloud, CloudError, Redelivery, Resources, Step},
    event_source::{self, Depth, EventSource, EventSourceOptions},
    function::{Function, FunctionOptions, InvokeError, StartError},
    ministack::{Ministack, MinistackError, MinistackOptions},
};

/// Options of the machine.
#[derive(Debug, Clone)]
pub struct MachineOptions {
    /// Directory of the binaries `fetch`, `convert` and `import`.
    pub binaries: PathBuf,
    /// Directory of the functions' logs.
    pub logs: PathBuf,
    pub ministack: MinistackOptions,
    pub redelivery: Redelivery,
    /// Timeout of an invocation.
    pub timeout: Duration,
    /// Maximum number of processes of convert, and of import.
    pub concurrency: usize,
    /// Environment variables of the source and the mail system.
    pub variables: Vec<(String, String)>,
}

/// Error of running the machine. The cause is the machine, its configuration or this program, never an item.
#[derive(Debug, thiserror::Error)]
pub enum MachineError {
    #[error(transparent)]
    Ministack(#[from] MinistackError),
    #[error(transparent)]
    Cloud(#[from] CloudError),
    #[error(transparent)]
    Start(#[from] StartError),
    #[error("fetch: {0}")]
    Fetch(#[from] InvokeError),
    #[error("unrecognized response of fetch: {0}")]
    Summary(serde_json::Error),
}

/// The response of fetch.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Fetched {
    pub run: model::RunId,
    /// Start of the window, inclusive.
    pub from: Timestamp,
    /// End of the window, exclusive.
    pub to: Timestamp,
    /// Number of ids that the source listed.
    pub listed: u64,
    pub queued: u64,
    /// `true` if the whole window was listed and queued.
    pub complete: bool,
    /// All items before this time were listed; `None` if unknown.
    #[serde(default)]
    pub reached: Option<Timestamp>,
}

/// The running machine. Dropping it ends all its processes.
pub struct Machine {
    pub cloud: Cloud,
    pub resources: Resources,
    options: MachineOptions,
    fetch: Arc<Function>,
    convert: Arc<Function>,
    import: Arc<Function>,
    // Last, so that the functions end before the emulator.
    ministack: Ministack,
}

impl Machine {
    /// Starts the emulator, creates the template's resources and starts the functions.
    ///
    /// # Errors
    /// [`MachineError`].
    pub async fn start(options: MachineOptions) -> Result<Self, MachineError> {
        let ministack = Ministack::start(&options.ministack).await?;
        let cloud = Cloud::at(&ministack.endpoint()).await;
        let resources = cloud.create(options.redelivery).await?;
        let function = |step: Step, concurrency| {
            Function::start(FunctionOptions {
                name: step.name().to_owned(),
                program: options.binaries.join(step.name()),
                variables: variables(&cloud, &resources, &options, step),
                concurrency,
                timeout: options.timeout,
                memory_mb: 1024,
                log: options.logs.join(format!("{}.log", step.name())),
            })
        };
        let fetch = Arc::new(function(Step::Fetch, 1).await?);
        let convert = Arc::new(function(Step::Convert, options.concurrency).await?);
        let import = Arc::new(function(Step::Import, options.concurrency).await?);
        Ok(Self { cloud, resources, options, fetch, convert, import, ministack })
    }

    /// Invokes fetch.
    ///
    /// # Errors
    /// [`MachineError::Fetch`] with the message of the function.
    pub async fn fetch(&self, event: &Value) -> Result<Fetched, MachineError> {
        let response = self.fetch.invoke(Bytes::from(event.to_string())).await?;
        serde_json::from_slice(&response).map_err(MachineError::Summary)
    }

    /// Returns the environment variables of a function.
    pub fn variables(&self, step: Step) -> Vec<(String, String)> {
        variables(&self.cloud, &self.resources, &self.options, step)
    }

    /// Returns the function of a step.
    pub fn function(&self, step: Step) -> &Arc<Function> {
        match step {
            Step::Fetch => &self.fetch,
            Step::Convert => &self.convert,
            Step::Import => &self.import,
        }
    }

    /// Starts the event sources of convert and import.
    pub fn work(&self) -> Working {
        let source = |queue: &super::cloud::Queue, function: &Arc<Function>| {
            let options = EventSourceOptions {
                queue: queue.clone(),
                batch_size: 10,
                window: Duration::ZERO,
                pollers: self.options.concurrency + 1,
            };
            EventSource::start(&self.cloud, options, Arc::clone(function))
        };
        Working {
            convert: source(&self.resources.convert, &self.convert),
            import: source(&self.resources.import, &self.import),
        }
    }

    /// Waits until both queues are empty. Reports their depths meanwhile: convert's, then import's.
    ///
    /// # Errors
    /// If the emulator does not respond.
    pub async fn drained(&self, progress: impl FnMut(&[Depth])) -> Result<(), MachineError> {
        let queues = [self.resources.convert.clone(), self.resources.import.clone()];
        Ok(event_source::drained(&self.cloud, &queues, progress).await?)
    }

    /// Stops all processes and waits until the state is written.
    ///
    /// # Errors
    /// [`MinistackError`].
    pub async fn stop(self) -> Result<(), MachineError> {
        let Self { ministack, fetch, convert, import, .. } = self;
        drop((fetch, convert, import));
        Ok(ministack.stop().await?)
    }
}

fn variables(cloud: &Cloud, resources: &Resources, options: &MachineOptions, step: Step) -> Vec<(String, String)> {
    let mut variables = cloud.variables(step, resources);
    variables.extend(options.variables.iter().cloned());
    variables
}

/// The two running event sources. Dropping them stops at once, and SQS redelivers the messages in progress.
pub struct Working {
    pub convert: EventSource,
    pub import: EventSource,
}

impl Working {
    /// Stops receiving and waits until the messages in progress are done.
    pub async fn stop(self) {
        self.convert.stop().await;
        self.import.stop().await;
    }
}
