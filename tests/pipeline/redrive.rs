//! AWS's redrive of the dead-letter queue (StartMessageMoveTask, or the button in the console), against an SQS emulator
//! that supports it. The real functions send and process the messages.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use anyhow::Context;
use aws_sdk_sqs::types::ListMessageMoveTasksResultEntry;
use harness::{DeadLetterMessage, ItemSource, MailSystem, Pipeline, queue_messages};
use jiff::Timestamp;
use local::{
    cloud::{Queue, Step},
    event_source::{EventSource, EventSourceOptions, depth, drained},
    sample_source::Sample,
};
use serde_json::json;

use crate::sqs::Sqs;

const ADA: &str = "ada@example.com";
const BOB: &str = "bob@example.com";
/// Number of items per sender.
const ITEMS: usize = 2;

impl Sqs {
    /// Receives a queue's messages without deleting them, until SQS has moved all of them to the dead-letter queue.
    async fn exhaust_receives(&self, queue: &Queue) -> anyhow::Result<()> {
        loop {
            let receive = self.client.receive_message().queue_url(&queue.url);
            let response = receive.max_number_of_messages(10).visibility_timeout(0).send().await?;
            // A message may also be missing from a response because its visibility timeout, however short, has not passed.
            if response.messages.unwrap_or_default().is_empty() && depth(&self.cloud, queue).await?.total() == 0 {
                return Ok(());
            }
        }
    }

    /// Moves all dead letters to a queue, or each to its source queue. Returns the result of the task.
    async fn redrive(&self, to: Option<&Queue>) -> anyhow::Result<ListMessageMoveTasksResultEntry> {
        let start = self.client.start_message_move_task().source_arn(&self.dead_letters.arn);
        start.set_destination_arn(to.map(|queue| queue.arn.clone())).send().await?;
        loop {
            let list = self.client.list_message_move_tasks().source_arn(&self.dead_letters.arn);
            let task = list.send().await?.results.unwrap_or_default().into_iter().next().context("no task")?;
            if task.status() != Some("RUNNING") {
                return Ok(task);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until the dead-letter queue has this many messages, and returns them sorted by body.
    async fn wait_for_dead_letters(&self, count: usize) -> anyhow::Result<Vec<DeadLetterMessage>> {
        self.wait_for_messages(&self.dead_letters, count).await
    }

    /// Waits until a queue has this many messages, and returns them sorted by body. They stay in the queue.
    async fn wait_for_messages(&self, queue: &Queue, count: usize) -> anyhow::Result<Vec<DeadLetterMessage>> {
        let received = async {
            loop {
                let mut found = queue_messages(&self.cloud, &queue.url).await?;
                if found.len() == count {
                    found.sort_by(|one, other| one.body.cmp(&other.body));
                    return anyhow::Ok(found);
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(120), received)
            .await
            .context("the redriven messages did not arrive")?
    }

    /// Runs a function until its queue is empty.
    async fn run_function(&self, pipeline: &Pipeline, step: Step) -> anyhow::Result<()> {
        let queue = if step == Step::Convert { &self.convert } else { &self.import };
        let options = EventSourceOptions { queue: queue.clone(), batch_size: 10, window: Duration::ZERO, pollers: 1 };
        let source = EventSource::start(&self.cloud, options, Arc::clone(pipeline.machine.function(step)));
        let done = drained(&self.cloud, std::slice::from_ref(queue), |_| {});
        tokio::time::timeout(Duration::from_secs(120), done)
            .await
            .with_context(|| format!("{:?}\n{}", source.last_failure(), pipeline.logs()))??;
        source.stop().await;
        Ok(())
    }
}

/// Returns two texts from Ada and two from Bob, to a recipient without a mailbox.
fn sample() -> anyhow::Result<Sample> {
    let item = |sender: &str, number: usize| {
        let id = format!("{sender}-{number}");
        json!({"expect": "unmapped", "item": {
            "id": id, "messageId": id, "type": "text", "messageTime": "-PT3H", "archivedTime": "-PT2H",
            "chat": {"id": "chat", "type": "individual"}, "from": format!("@{sender}"), "to": ["@eve"], "text": "x",
            "attachments": []}})
    };
    let items: Vec<_> =
        ["ada", "bob"].iter().flat_map(|sender| (0..ITEMS).map(move |number| item(sender, number))).collect();
    let people =
        json!({"ada": {"phone": "+4520123456"}, "bob": {"phone": "+4520123457"}, "eve": {"phone": "+12025550143"}});
    Ok(Sample::written(&json!({"people": people, "items": items}).to_string(), Timestamp::now())?)
}

fn bodies(messages: &[DeadLetterMessage]) -> Vec<&str> {
    messages.iter().map(|message| message.body.as_str()).collect()
}

#[tokio::test]
async fn redrive_returns_tasks_to_their_source_or_the_given_queue() -> anyhow::Result<()> {
    let sqs = Sqs::start().await?;
    let mailboxes = [ADA, BOB].map(str::to_owned).to_vec();
    let pipeline =
        Pipeline::start(ItemSource::Api(sample()?), MailSystem::Maildir(mailboxes), &sqs.variables()).await?;
    pipeline.put_user_map(&format!("Mobile number,E-mail address\n+4520123456,{ADA}\n")).await?;

    // SQS moves import tasks that were never processed, and convert tasks of a second listing.
    pipeline.machine.fetch(&Pipeline::timer()).await?;
    sqs.run_function(&pipeline, Step::Convert).await?;
    let tasks = sqs.wait_for_messages(&sqs.import, 2 * ITEMS).await?;
    sqs.exhaust_receives(&sqs.import).await?;
    pipeline.machine.fetch(&Pipeline::backfill()).await?;
    let listed = sqs.wait_for_messages(&sqs.convert, 2 * ITEMS).await?;
    sqs.exhaust_receives(&sqs.convert).await?;
    assert_eq!(sqs.wait_for_dead_letters(4 * ITEMS).await?.len(), 4 * ITEMS);

    // Without a destination, each message returns unchanged to its source queue.
    let task = sqs.redrive(None).await?;
    assert_eq!((task.status(), task.approximate_number_of_messages_moved()), (Some("COMPLETED"), 4 * ITEMS as i64));
    assert_eq!(bodies(&sqs.wait_for_messages(&sqs.import, 2 * ITEMS).await?), bodies(&tasks));
    assert_eq!(bodies(&sqs.wait_for_messages(&sqs.convert, 2 * ITEMS).await?), bodies(&listed));
    assert_eq!(depth(&sqs.cloud, &sqs.dead_letters).await?.total(), 0);

    // The functions process the tasks: import files Ada's items and sends dead letters of Bob's. Convert reads in the
    // outcomes that the items are already decided.
    sqs.run_function(&pipeline, Step::Import).await?;
    sqs.run_function(&pipeline, Step::Convert).await?;
    assert_eq!(depth(&sqs.cloud, &sqs.import).await?.total(), 0);
    assert_eq!(pipeline.copies()?, BTreeMap::from([(ADA.to_owned(), ITEMS)]));
    let unmapped = sqs.wait_for_dead_letters(ITEMS).await?;
    for dead_letter in &unmapped {
        let attribute = |name: &str| dead_letter.attributes.get(name).map(String::as_str);
        assert_eq!((attribute("stage"), attribute("reason")), (Some("import"), Some("unmapped")));
    }

    // These dead letters were sent by import and have no source queue, so a redrive without a destination moves nothing.
    let task = sqs.redrive(None).await?;
    assert_eq!((task.status(), task.failure_reason()), (Some("FAILED"), Some("CouldNotDetermineMessageSource")));
    assert_eq!(bodies(&sqs.wait_for_dead_letters(ITEMS).await?), bodies(&unmapped));

    // A redrive with a destination keeps body and attributes, by which import recognizes a replay.
    pipeline.put_user_map(&format!("Mobile number,E-mail address\n+4520123456,{ADA}\n+4520123457,{BOB}\n")).await?;
    let task = sqs.redrive(Some(&sqs.import)).await?;
    assert_eq!((task.status(), task.approximate_number_of_messages_moved()), (Some("COMPLETED"), ITEMS as i64));
    let moved = sqs.wait_for_messages(&sqs.import, ITEMS).await?;
    assert_eq!(bodies(&moved), bodies(&unmapped));
    for (moved, dead_letter) in moved.iter().zip(&unmapped) {
        assert_eq!(moved.attributes, dead_letter.attributes);
    }
    sqs.run_function(&pipeline, Step::Import).await?;
    assert_eq!(pipeline.copies()?, BTreeMap::from([(ADA.to_owned(), ITEMS), (BOB.to_owned(), ITEMS)]));
    assert_eq!(depth(&sqs.cloud, &sqs.dead_letters).await?.total(), 0);
    Ok(())
}
