//! The whole system on one machine: the emulator, the functions, and the event sources between them.

use std::{path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::{
    cloud::{Cloud, CloudError, Queue, RECEIVE, Redelivery, Resources, Step},
    event_source::{self, Depth, EventSource, EventSourceOptions},
    function::{Function, FunctionOptions, InvokeError, StartError},
    ministack::{Ministack, MinistackError, MinistackOptions},
};

/// The source that needs receive.
const WEBHOOK_SOURCE: &str = "cloud-api";

/// Options of the machine.
#[derive(Debug, Clone)]
pub struct MachineOptions {
    /// Directory of the binaries `fetch`, `convert` and `import`, and of `receive` if the source is `cloud-api`.
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
    /// `None` if the source is not `cloud-api`, as in the template.
    receive: Option<Arc<Function>>,
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
        let receives = options
            .variables
            .iter()
            .rfind(|(name, _)| name == "SOURCE")
            .is_some_and(|(_, source)| source == WEBHOOK_SOURCE);
        let resources = cloud.create(options.redelivery, receives).await?;
        let start = |name: &str, variables, concurrency| {
            Function::start(FunctionOptions {
                name: name.to_owned(),
                program: options.binaries.join(name),
                variables,
                concurrency,
                timeout: options.timeout,
                memory_mb: 1024,
                log: options.logs.join(format!("{name}.log")),
            })
        };
        let function =
            |step: Step, concurrency| start(step.name(), variables(&cloud, &resources, &options, step), concurrency);
        let fetch = Arc::new(function(Step::Fetch, 1).await?);
        let convert = Arc::new(function(Step::Convert, options.concurrency).await?);
        let import = Arc::new(function(Step::Import, options.concurrency).await?);
        let receive = match &resources.receive {
            Some(queue) => {
                let mut variables = cloud.receive_variables(&resources, queue);
                variables.extend(options.variables.iter().cloned());
                Some(Arc::new(start(RECEIVE, variables, options.concurrency).await?))
            }
            None => None,
        };
        Ok(Self { cloud, resources, options, fetch, convert, import, receive, ministack })
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

    /// Returns the function that receives webhooks; `None` if the source is not `cloud-api`.
    pub fn receive(&self) -> Option<&Arc<Function>> {
        self.receive.as_ref()
    }

    /// Starts the event sources of convert and import, and of receive if it runs.
    pub fn work(&self) -> RunningEventSources {
        RunningEventSources {
            receive: self.work_receive(),
            convert: self.event_source(&self.resources.convert, &self.convert),
            import: self.event_source(&self.resources.import, &self.import),
        }
    }

    /// Starts the event source of receive, if it runs.
    pub fn work_receive(&self) -> Option<EventSource> {
        Some(self.event_source(self.resources.receive.as_ref()?, self.receive.as_ref()?))
    }

    fn event_source(&self, queue: &Queue, function: &Arc<Function>) -> EventSource {
        let options = EventSourceOptions {
            queue: queue.clone(),
            batch_size: 10,
            window: Duration::ZERO,
            pollers: self.options.concurrency + 1,
        };
        EventSource::start(&self.cloud, options, Arc::clone(function))
    }

    /// Waits until the queues are empty. Reports their depths meanwhile: receive's (if it runs), then convert's, then
    /// import's.
    ///
    /// # Errors
    /// If the emulator does not respond.
    pub async fn drained(&self, progress: impl FnMut(&[Depth])) -> Result<(), MachineError> {
        let Resources { receive, convert, import, .. } = &self.resources;
        let queues: Vec<_> = receive.iter().chain([convert, import]).cloned().collect();
        Ok(event_source::drained(&self.cloud, &queues, progress).await?)
    }

    /// Stops all processes and waits until the state is written.
    ///
    /// # Errors
    /// [`MinistackError`].
    pub async fn stop(self) -> Result<(), MachineError> {
        let Self { ministack, fetch, convert, import, receive, .. } = self;
        drop((fetch, convert, import, receive));
        Ok(ministack.stop().await?)
    }
}

fn variables(cloud: &Cloud, resources: &Resources, options: &MachineOptions, step: Step) -> Vec<(String, String)> {
    let mut variables = cloud.variables(step, resources);
    variables.extend(options.variables.iter().cloned());
    variables
}

/// The running event sources. Dropping them stops at once, and SQS redelivers the messages in progress.
pub struct RunningEventSources {
    pub receive: Option<EventSource>,
    pub convert: EventSource,
    pub import: EventSource,
}

impl RunningEventSources {
    /// Stops receiving and waits until the messages in progress are done.
    pub async fn stop(self) {
        if let Some(receive) = self.receive {
            receive.stop().await;
        }
        self.convert.stop().await;
        self.import.stop().await;
    }
}
