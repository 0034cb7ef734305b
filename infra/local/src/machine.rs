//! The whole system on one machine: the stand-in for AWS, the three functions, and the event sources between them.

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

/// What is started, and how it is set.
#[derive(Debug, Clone)]
pub struct MachineOptions {
    /// Where the binaries `fetch`, `convert` and `import` are.
    pub binaries: PathBuf,
    /// The directory of the functions' logs.
    pub logs: PathBuf,
    /// The stand-in for AWS.
    pub ministack: MinistackOptions,
    /// How the queues treat a message that is not deleted.
    pub redelivery: Redelivery,
    /// The longest invocation.
    pub timeout: Duration,
    /// The most processes of convert, and of import.
    pub concurrency: usize,
    /// The environment variables beyond those that name resources: a source, a mailbox.
    pub variables: Vec<(String, String)>,
}

/// Why the machine does not run. The fault of the machine, its set-up or this program, never of an item.
#[derive(Debug, thiserror::Error)]
pub enum MachineError {
    /// The stand-in for AWS.
    #[error(transparent)]
    Ministack(#[from] MinistackError),
    /// The stand-in's answers.
    #[error(transparent)]
    Cloud(#[from] CloudError),
    /// A function.
    #[error(transparent)]
    Start(#[from] StartError),
    /// fetch.
    #[error("fetch: {0}")]
    Fetch(#[from] InvokeError),
    /// fetch answered something that it should not.
    #[error("fetch answered what is no summary: {0}")]
    Summary(serde_json::Error),
}

/// What fetch answers.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Fetched {
    /// The run's id.
    pub run: model::RunId,
    /// The window's beginning, inclusive.
    pub from: Timestamp,
    /// The window's end, exclusive.
    pub to: Timestamp,
    /// How many ids the source listed.
    pub listed: u64,
    /// How many were queued.
    pub queued: u64,
    /// Whether the whole window was done.
    pub complete: bool,
    /// Everything before this time was listed; `None` where that cannot be said.
    #[serde(default)]
    pub reached: Option<Timestamp>,
}

/// The running machine. Dropped, everything on it ends.
pub struct Machine {
    /// The way to its bucket, queues and secrets.
    pub cloud: Cloud,
    /// What those are called.
    pub resources: Resources,
    options: MachineOptions,
    fetch: Arc<Function>,
    convert: Arc<Function>,
    import: Arc<Function>,
    // Last: the functions go before what they talk to.
    ministack: Ministack,
}

impl Machine {
    /// Starts the stand-in and makes what the template makes. The functions start when they are needed.
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
    /// [`MachineError::Fetch`] with the function's own words.
    pub async fn fetch(&self, event: &Value) -> Result<Fetched, MachineError> {
        let answer = self.fetch.invoke(Bytes::from(event.to_string())).await?;
        serde_json::from_slice(&answer).map_err(MachineError::Summary)
    }

    /// The variables that a function has.
    pub fn variables(&self, step: Step) -> Vec<(String, String)> {
        variables(&self.cloud, &self.resources, &self.options, step)
    }

    /// The function of a queue's step, to look at or to kill processes of.
    pub fn function(&self, step: Step) -> &Arc<Function> {
        match step {
            Step::Fetch => &self.fetch,
            Step::Convert => &self.convert,
            Step::Import => &self.import,
        }
    }

    /// Starts handing the queues' messages to convert and import.
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

    /// Returns when both queues are empty; tells their depths on the way: convert's, then import's.
    ///
    /// # Errors
    /// When the stand-in does not answer.
    pub async fn drained(&self, progress: impl FnMut(&[Depth])) -> Result<(), MachineError> {
        let queues = [self.resources.convert.clone(), self.resources.import.clone()];
        Ok(event_source::drained(&self.cloud, &queues, progress).await?)
    }

    /// Ends everything, and returns when what is to be kept is on the disk.
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

/// The two event sources at work. Dropped, they stop where they are, and what they have in hand comes back.
pub struct Working {
    /// Of the convert queue.
    pub convert: EventSource,
    /// Of the import queue.
    pub import: EventSource,
}

impl Working {
    /// Takes no more messages, and returns when those in hand are done.
    pub async fn stop(self) {
        self.convert.stop().await;
        self.import.stop().await;
    }
}
