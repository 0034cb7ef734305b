//! What Lambda's event source mapping does: it takes batches of messages from a queue, invokes a function with each,
//! and deletes what the function did not report as failed. What is not deleted comes back by SQS's own rules.

mod batch;
mod verdict;

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
    verdict::{Verdict, judge},
};
use super::{
    cloud::{Cloud, CloudError, Queue, failed},
    function::{Function, InvokeError},
};

/// Which messages a function is given, and how many at once.
#[derive(Debug, Clone)]
pub struct EventSourceOptions {
    /// Where they come from.
    pub queue: Queue,
    /// The most messages in an event: 1 to 10,000.
    pub batch_size: usize,
    /// How long a batch that is not full waits for more, in whole seconds; zero: not at all. More than ten messages
    /// need it.
    pub window: Duration,
    /// How many batches are received, worked on or deleted at once. A few more than the function's concurrency keep
    /// its processes busy while others receive and delete.
    pub pollers: usize,
}

/// What an event source did so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Messages, each time they were received.
    pub received: u64,
    /// Messages that were done.
    pub deleted: u64,
    /// Messages that were left to come back, each time.
    pub left: u64,
    /// Invocations that ended in an error, a crash or a timeout, or in an answer that is none.
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

/// A running event source. Dropped, it stops where it is, and the batches in hand come back; [`stop`](Self::stop)
/// finishes them first.
pub struct EventSource {
    stop: watch::Sender<bool>,
    pollers: JoinSet<()>,
    totals: Arc<Totals>,
}

/// How long a receive waits for a message, and so the longest that a stop takes beyond the batch in hand. A receive
/// cannot be given up earlier: the messages that it would have brought would be in flight for nobody.
const LONG_POLL: Duration = Duration::from_secs(1);

/// How long a poller rests when the queue does not answer.
const REST: Duration = Duration::from_millis(500);

impl EventSource {
    /// Starts taking messages.
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

    /// What it did so far.
    pub fn counts(&self) -> Counts {
        self.totals.counts()
    }

    /// Why the last batch that failed did. It may hold words of the function's own.
    pub fn last_failure(&self) -> Option<String> {
        self.totals.last_failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes no more messages, and returns when the batches in hand are done.
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

    fn failed(&self, why: String) {
        self.failed_batches.fetch_add(1, Ordering::Relaxed);
        *self.last_failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
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
                tracing::warn!(error = &error as &dyn std::error::Error, "the queue does not answer");
                tokio::select! {
                    () = sleep(REST) => {}
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
        let verdict = match self.function.invoke(batch.event()).await {
            Ok(answer) => judge(&answer, batch.ids()),
            Err(error) => {
                // A function that cannot start would otherwise be tried as fast as messages come.
                if matches!(error, InvokeError::Start(_)) {
                    sleep(REST).await;
                }
                Verdict::Failed(error.to_string())
            }
        };
        if let Verdict::Failed(why) = &verdict {
            self.totals.failed(why.clone());
        }
        let deleted = batch.settle(&self.client, queue, &verdict).await?;
        self.totals.deleted.fetch_add(deleted, Ordering::Relaxed);
        self.totals.left.fetch_add(size - deleted, Ordering::Relaxed);
        Ok(())
    }
}

/// How many messages a queue has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Depth {
    /// Ready to be received.
    pub visible: u64,
    /// Received and not deleted.
    pub in_flight: u64,
    /// Sent, to be ready later.
    pub delayed: u64,
}

impl Depth {
    /// All of them.
    pub fn total(self) -> u64 {
        self.visible + self.in_flight + self.delayed
    }
}

/// Asks a queue for its depth.
///
/// # Errors
/// When the server refuses.
pub async fn depth(cloud: &Cloud, queue: &Queue) -> Result<Depth, CloudError> {
    let names = [
        QueueAttributeName::ApproximateNumberOfMessages,
        QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
        QueueAttributeName::ApproximateNumberOfMessagesDelayed,
    ];
    let ask = Client::new(cloud.config()).get_queue_attributes().queue_url(&queue.url);
    let answer = ask.set_attribute_names(Some(names.to_vec())).send().await.map_err(failed("ask after a queue"))?;
    let [visible, in_flight, delayed] = names.map(|name| {
        let number = answer.attributes.as_ref().and_then(|attributes| attributes.get(&name));
        number.and_then(|number| number.parse().ok()).unwrap_or_default()
    });
    Ok(Depth { visible, in_flight, delayed })
}

/// How often a drain asks.
const ASK_EVERY: Duration = Duration::from_millis(200);

/// Returns when the queues are empty, and reports their depths on the way.
///
/// The queues come in the order in which work flows through them: a message leaves one only after what follows from
/// it stands in the next, so that once an early queue was seen empty nothing is in hand between it and a later one.
///
/// # Errors
/// When the server refuses.
pub async fn drained(cloud: &Cloud, queues: &[Queue], mut progress: impl FnMut(&[Depth])) -> Result<(), CloudError> {
    loop {
        let mut depths = Vec::with_capacity(queues.len());
        for queue in queues {
            depths.push(depth(cloud, queue).await?);
        }
        progress(&depths);
        if depths.iter().all(|depth| depth.total() == 0) {
            return Ok(());
        }
        sleep(ASK_EVERY).await;
    }
}
