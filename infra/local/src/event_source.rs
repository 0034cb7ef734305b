//! Lambda's event source mapping: receives batches of messages from a queue, invokes a function with each batch, and
//! deletes the messages that the function did not report as failed. SQS redelivers the others.

mod batch;
mod batch_response;

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use aws_sdk_sqs::{Client, types::QueueAttributeName};
use tokio::{sync::watch, task::JoinSet, time::sleep};

pub use self::{
    batch::Batch,
    batch_response::{BatchResult, evaluate},
};
use super::{
    cloud::{Cloud, CloudError, Queue, failed},
    function::{Function, InvokeError},
};

/// Options of an event source.
#[derive(Debug, Clone)]
pub struct EventSourceOptions {
    pub queue: Queue,
    /// Maximum number of messages in an event: 1 to 10,000.
    pub batch_size: usize,
    /// Time for which an incomplete batch waits for more messages, in whole seconds. Batches of more than ten messages
    /// need a value above zero.
    pub window: Duration,
    /// Number of batches that are received, processed or deleted concurrently. A few more than the function's concurrency
    /// keep its processes busy.
    pub pollers: usize,
}

/// Counters of an event source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Receives; a redelivered message counts again.
    pub received: u64,
    pub deleted: u64,
    /// Messages left for redelivery, counted each time.
    pub left: u64,
    /// Invocations that ended with an error, a crash, a timeout or an invalid response.
    pub failed_batches: u64,
}

#[derive(Default)]
struct Totals {
    received: AtomicU64,
    deleted: AtomicU64,
    left: AtomicU64,
    failed_batches: AtomicU64,
    last_failure: Mutex<Option<String>>,
}

/// A running event source. Dropping it stops at once, and SQS redelivers the messages in progress;
/// [`stop`](Self::stop) finishes them first.
pub struct EventSource {
    stop: watch::Sender<bool>,
    pollers: JoinSet<()>,
    totals: Arc<Totals>,
}

/// Time for which a receive waits for a message. A stop waits for a running receive, because messages of a cancelled
/// receive would stay invisible until their timeout.
const LONG_POLL: Duration = Duration::from_secs(1);

/// Pause of a poller after an error.
const RETRY_PAUSE: Duration = Duration::from_millis(500);

impl EventSource {
    /// Starts the pollers.
    pub fn start(cloud: &Cloud, options: EventSourceOptions, function: Arc<Function>) -> Self {
        let (stop, stopped) = watch::channel(false);
        let totals = Arc::<Totals>::default();
        let client = Client::new(cloud.config());
        let options = Arc::new(options);
        let pollers = (0..options.pollers.max(1)).map(|_| {
            let poller = Poller {
                client: client.clone(),
                options: options.clone(),
                function: function.clone(),
                totals: totals.clone(),
                stopped: stopped.clone(),
            };
            poller.run()
        });
        Self { stop, pollers: pollers.collect(), totals }
    }

    pub fn counts(&self) -> Counts {
        self.totals.counts()
    }

    /// Returns the cause of the last failed batch. It may contain text of the function.
    pub fn last_failure(&self) -> Option<String> {
        self.totals.last_failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Stops receiving and waits until the batches in progress are done.
    pub async fn stop(mut self) -> Counts {
        self.stop.send_replace(true);
        while self.pollers.join_next().await.is_some() {}
        self.totals.counts()
    }
}

impl Totals {
    fn counts(&self) -> Counts {
        let read = |total: &AtomicU64| total.load(Ordering::Relaxed);
        Counts {
            received: read(&self.received),
            deleted: read(&self.deleted),
            left: read(&self.left),
            failed_batches: read(&self.failed_batches),
        }
    }

    fn failed(&self, cause: String) {
        self.failed_batches.fetch_add(1, Ordering::Relaxed);
        *self.last_failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(cause);
    }
}

struct Poller {
    client: Client,
    options: Arc<EventSourceOptions>,
    function: Arc<Function>,
    totals: Arc<Totals>,
    stopped: watch::Receiver<bool>,
}

impl Poller {
    async fn run(mut self) {
        while !*self.stopped.borrow() {
            if let Err(error) = self.one_batch().await {
                tracing::warn!(error = &error as &dyn std::error::Error, "reading the queue failed");
                tokio::select! {
                    () = sleep(RETRY_PAUSE) => {}
                    _ = self.stopped.wait_for(|stopped| *stopped) => {}
                }
            }
        }
    }

    async fn one_batch(&self) -> Result<(), CloudError> {
        let EventSourceOptions { queue, batch_size, window, .. } = &*self.options;
        let Some(batch) = Batch::receive(&self.client, queue, *batch_size, *window, LONG_POLL).await? else {
            return Ok(());
        };
        let size = batch.len() as u64;
        self.totals.received.fetch_add(size, Ordering::Relaxed);
        let result = match self.function.invoke(batch.event()).await {
            Ok(response) => evaluate(&response, batch.ids()),
            Err(error) => {
                // Limits how often a function that cannot start is retried.
                if matches!(error, InvokeError::Start(_)) {
                    sleep(RETRY_PAUSE).await;
                }
                BatchResult::Failed(error.to_string())
            }
        };
        if let BatchResult::Failed(cause) = &result {
            self.totals.failed(cause.clone());
        }
        let deleted = batch.settle(&self.client, queue, &result).await?;
        self.totals.deleted.fetch_add(deleted, Ordering::Relaxed);
        self.totals.left.fetch_add(size - deleted, Ordering::Relaxed);
        Ok(())
    }
}

/// Number of messages in a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Depth {
    /// Available.
    pub visible: u64,
    /// Received and not deleted.
    pub in_flight: u64,
    /// Sent with a delay that has not passed.
    pub delayed: u64,
}

impl Depth {
    pub fn total(self) -> u64 {
        self.visible + self.in_flight + self.delayed
    }
}

/// Reads the depth of a queue.
///
/// # Errors
/// If the server rejects the request.
pub async fn depth(cloud: &Cloud, queue: &Queue) -> Result<Depth, CloudError> {
    depth_of(&Client::new(cloud.config()), queue).await
}

async fn depth_of(client: &Client, queue: &Queue) -> Result<Depth, CloudError> {
    let names = [
        QueueAttributeName::ApproximateNumberOfMessages,
        QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
        QueueAttributeName::ApproximateNumberOfMessagesDelayed,
    ];
    let request = client.get_queue_attributes().queue_url(&queue.url);
    let response =
        request.set_attribute_names(Some(names.to_vec())).send().await.map_err(failed("read the depth of a queue"))?;
    let [visible, in_flight, delayed] = names.map(|name| {
        let number = response.attributes.as_ref().and_then(|attributes| attributes.get(&name));
        number.and_then(|number| number.parse().ok()).unwrap_or_default()
    });
    Ok(Depth { visible, in_flight, delayed })
}

/// Intervals between two reads of the depths: each is half as long again as the one before. Short work is noticed soon, and
/// long work is not slowed down by requests.
const MIN_POLL_INTERVAL: Duration = Duration::from_millis(200);
const MAX_POLL_INTERVAL: Duration = Duration::from_secs(1);

/// Waits until the queues are empty and reports their depths meanwhile.
///
/// The queues must be given in processing order. A message leaves a queue only after its successor is in the next one,
/// so when an earlier queue is empty, no message is between it and a later queue.
///
/// # Errors
/// If the server rejects a request.
pub async fn drained(cloud: &Cloud, queues: &[Queue], mut progress: impl FnMut(&[Depth])) -> Result<(), CloudError> {
    let client = Client::new(cloud.config());
    let mut interval = MIN_POLL_INTERVAL;
    loop {
        let mut depths = Vec::with_capacity(queues.len());
        for queue in queues {
            depths.push(depth_of(&client, queue).await?);
        }
        progress(&depths);
        if depths.iter().all(|depth| depth.total() == 0) {
            return Ok(());
        }
        sleep(interval).await;
        interval = (interval * 3 / 2).min(MAX_POLL_INTERVAL);
    }
}
