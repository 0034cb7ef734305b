//! The data of one filing: the message, the mailbox and the folder.

use super::{content::Content, mailbox_limits::MailboxState};
use crate::{Identity, Mailbox, Message};

/// The parts of a message's JSON.
pub(super) struct Draft<'a> {
    pub(super) content: &'a Content<'a>,
    pub(super) identity: Identity<'a>,
    /// The address of the mailbox.
    pub(super) mailbox: &'a str,
    /// The message class; `None` for an ordinary message.
    pub(super) class: Option<&'a str>,
}

impl<'a> Draft<'a> {
    pub(super) fn new(
        content: &'a Content<'a>,
        message: &'a Message,
        mailbox: &'a Mailbox,
        class: Option<&'a str>,
    ) -> Self {
        Self { content, identity: message.identity(), mailbox: mailbox.address.as_str(), class }
    }
}

/// The constant data of a filing.
pub(super) struct Work<'a> {
    pub(super) state: &'a MailboxState,
    pub(super) mailbox: &'a str,
    pub(super) draft: Draft<'a>,
}

/// The method of looking up a message in a folder.
#[derive(Clone, Copy)]
pub(super) enum By {
    /// By Message-ID, in the archive folder. The item of each hit is checked.
    Identity,
    /// By the item's id, in the hidden folder, where each message has it.
    ItemId,
}

/// The folder in which a message is created.
#[derive(Clone, Copy)]
pub(super) struct TargetFolder<'a> {
    pub(super) archive: &'a str,
    /// The archive folder, or the hidden folder in it.
    pub(super) folder: &'a str,
    pub(super) by: By,
}

impl<'a> TargetFolder<'a> {
    pub(super) fn archive(archive: &'a str) -> Self {
        Self { archive, folder: archive, by: By::Identity }
    }

    pub(super) fn staging(archive: &'a str, staging: &'a str) -> Self {
        Self { archive, folder: staging, by: By::ItemId }
    }
}
