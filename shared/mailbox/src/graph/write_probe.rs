//! Creates, finds and deletes a test message in a mailbox. This detects a tenant in which lookups fail before the first
//! item is filed.

use jiff::{Timestamp, fmt::rfc2822::DateTimePrinter};

use super::{
    Graph,
    config::Way,
    content::{Content, parse},
    error::Failure,
    lookup::Stored,
    work::{Draft, TargetFolder, Work},
};
use crate::{Attempt, Mailbox, MailboxError, Message};

/// The result of a write probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WriteProbe {
    /// `true` if the lookup by Message-ID, which filing uses after a failure, finds the message.
    pub found_by_message_id: bool,
    /// `true` if the lookup by ArchiveItemId, which filing uses for large messages, finds the message.
    pub found_by_item_id: bool,
    /// `true` if the message lacks the message class, because the mail system rejects it.
    pub lacks_message_class: bool,
}

impl WriteProbe {
    /// Returns whether both lookups find the filed message.
    pub fn is_sound(&self) -> bool {
        self.found_by_message_id && self.found_by_item_id
    }
}

impl Graph {
    /// Files a message that is marked as a probe, looks it up as filing does, and deletes it. With importMime a second
    /// probe is created from JSON, as large messages are: only those have the property ArchiveItemId.
    ///
    /// # Errors
    /// [`MailboxError`]: the message could not be created, looked up or deleted.
    pub async fn write_probe(&self, mailbox: &Mailbox) -> Result<WriteProbe, MailboxError> {
        let filed = self.probe(mailbox, self.way).await?;
        if self.way == Way::Json {
            return Ok(filed);
        }
        let created = self.probe(mailbox, Way::Json).await?;
        Ok(WriteProbe { found_by_message_id: filed.found_by_message_id && created.found_by_message_id, ..created })
    }

    async fn probe(&self, mailbox: &Mailbox, way: Way) -> Result<WriteProbe, MailboxError> {
        let message = probe_message(mailbox)?;
        let id = if way == self.way {
            self.file_message(mailbox, &message, Attempt::First).await?.message
        } else {
            self.create_probe(mailbox, &message).await?.id
        };
        let found = self.look_up_probe(mailbox, &message).await;
        // The message is removed even if the lookup failed.
        self.remove_probe(mailbox, &message, &id).await?;
        Ok(found?)
    }

    async fn create_probe(&self, mailbox: &Mailbox, message: &Message) -> Result<Stored, Failure> {
        self.with_probe(mailbox, message, async |work, archive| {
            let (concessions, json) = self.first_attempt(work);
            let first = (concessions, Some(json));
            self.create(work, TargetFolder::archive(archive), &[], first, &mut self.retry_budget()).await
        })
        .await
    }

    async fn look_up_probe(&self, mailbox: &Mailbox, message: &Message) -> Result<WriteProbe, Failure> {
        let copies = self.stored_copies(mailbox, &message.identity()).await?;
        let by_item_id = self
            .with_probe(mailbox, message, async |work, archive| {
                self.with_item_id(work, archive, message.item.as_str(), &mut self.retry_budget()).await
            })
            .await?;
        Ok(WriteProbe {
            found_by_message_id: !copies.is_empty(),
            found_by_item_id: !by_item_id.is_empty(),
            lacks_message_class: copies.iter().any(|copy| copy.lacks_message_class),
        })
    }

    async fn remove_probe(&self, mailbox: &Mailbox, message: &Message, id: &str) -> Result<(), Failure> {
        self.with_probe(mailbox, message, async |work, archive| {
            self.remove(work, archive, id, &mut self.retry_budget()).await
        })
        .await
    }

    async fn with_probe<T>(
        &self,
        mailbox: &Mailbox,
        message: &Message,
        run: impl AsyncFnOnce(&Work<'_>, &str) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let parsed = parse(message.mime.in_memory())?;
        let content = Content::of(&parsed, &message.mime)?;
        let state = self.limits.of(&mailbox.id);
        let draft = Draft::new(&content, message, mailbox, self.class());
        let work = Work { state: &state, mailbox: &mailbox.id, draft };
        let archive = self.archive(&state, &mailbox.id, &mut self.retry_budget()).await?;
        run(&work, TargetFolder::archive(&archive).folder).await
    }
}

fn probe_message(mailbox: &Mailbox) -> Result<Message, MailboxError> {
    let id = uuid::Uuid::new_v4();
    let internal = || MailboxError::Configuration { detail: "creating the probe message failed".to_owned() };
    let date = DateTimePrinter::new().timestamp_to_string(&Timestamp::now()).map_err(|_| internal())?;
    let message_id = format!("<probe-{id}@archiver.invalid>");
    let mime = format!(
        "Date: {date}\r\nFrom: WhatsApp Archiver <archiver@archiver.invalid>\r\nTo: {}\r\n\
         Subject: WhatsApp Archiver: write probe\r\nMessage-ID: {message_id}\r\nMIME-Version: 1.0\r\n\
         Content-Type: text/plain; charset=utf-8\r\n\r\nThis message shows that WhatsApp Archiver can file, find and \
         delete messages here. It can be deleted.\r\n",
        mailbox.address
    );
    let item = format!("write-probe-{id}").parse().map_err(|_| internal())?;
    Ok(Message { item, message_id, mime: mime.into() })
}
