//! Reads the stored message of a task from the bucket when it is first needed, and verifies its digest.

use aws::s3::Store;
use jiff::Timestamp;
use ledger::{IN_MEMORY_MAX_BYTES, read_message};
use mailbox::Message;
use message::copy::CopyAddresses;
use message::read::{date, evidence};
use model::{ImportTask, Participant, Reason};
use tokio::sync::MutexGuard;

use model::Failure;

use crate::{
    failure::{from_read, permanent},
    memory_budget::MemoryBudget,
};

/// The message of one task. It is read on first use, because a recheck of a missing participant does not need it.
pub(crate) struct StoredMessage<'a> {
    store: &'a Store,
    memory: &'a MemoryBudget,
    task: &'a ImportTask,
    key: &'a str,
    message: Option<Message>,
    /// The addresses for a copy, until they are in the message.
    addresses: Option<CopyAddresses>,
    /// Held until the last copy of a large item is filed.
    large_item: Option<MutexGuard<'a, ()>>,
}

impl<'a> StoredMessage<'a> {
    pub(crate) fn new(store: &'a Store, memory: &'a MemoryBudget, task: &'a ImportTask, key: &'a str) -> Self {
        Self { store, memory, task, key, message: None, addresses: None, large_item: None }
    }

    /// Returns the message exactly as convert wrote it.
    pub(crate) async fn get(&mut self) -> Result<&Message, Failure> {
        let message = match self.message.take() {
            Some(message) => message,
            None => self.read().await?,
        };
        Ok(self.message.insert(message))
    }

    /// Sets the addresses for the copies.
    pub(crate) fn set_addresses(&mut self, addresses: CopyAddresses) {
        self.addresses = Some(addresses);
    }

    /// Returns the message with the addresses for the copies.
    pub(crate) async fn copy(&mut self) -> Result<&Message, Failure> {
        self.get().await?;
        if let Some(addresses) = self.addresses.take()
            && let Some(message) = self.message.take()
        {
            let mime = addresses.copy_of(message.mime);
            self.message = Some(Message { mime, ..message });
        }
        self.get().await
    }

    /// Returns the participants, the sender first: from the task, or from the message's evidence if they do not fit
    /// into a task.
    pub(crate) async fn participants(&mut self) -> Result<Vec<Participant>, Failure> {
        if let Some(participants) = &self.task.participants {
            return Ok(participants.clone());
        }
        let message = self.get().await?;
        let participants = evidence::participants(&message.mime).await.map_err(from_read)?;
        let missing =
            || permanent(Reason::ItemMalformed, "the stored message has no evidence to read participants from");
        participants.ok_or_else(missing)
    }

    /// Returns the time of the message: from the task, or from the message's Date field for a task of an earlier release.
    pub(crate) async fn time(&mut self) -> Result<Timestamp, Failure> {
        if let Some(time) = self.task.message_time {
            return Ok(time);
        }
        let message = self.get().await?;
        date::of(message.mime.in_memory()).map_err(from_read)
    }

    async fn read(&mut self) -> Result<Message, Failure> {
        let (task, key) = (self.task, self.key);
        if task.bytes > IN_MEMORY_MAX_BYTES {
            self.large_item = Some(self.memory.large_item().await);
        }
        let mime = read_message(self.store, key, task.sha256, task.bytes).await?;
        let mime = mime.ok_or_else(|| {
            let detail = format!(
                "the stored message {key} is missing: restore its oldest version (runbook, \"Restoring a message\"), then replay"
            );
            permanent(Reason::ItemNotFound, detail)
        })?;
        let message_id = evidence::message_id(&mime)
            .ok_or_else(|| permanent(Reason::ItemMalformed, "the stored message lacks a Message-ID: report a bug"))?;
        Ok(Message { item: task.item.clone(), message_id, mime })
    }
}
