//! Lookups of messages that may already be in a mailbox.
//!
//! Exchange compares strings in filters case-insensitively, so every hit is compared exactly here, and all pages are
//! read.

use serde::Deserialize;

use super::{
    Graph,
    client::Request,
    error::Failure,
    mailbox_limits::MailboxState,
    odata::{literal, with_options},
    properties::{self, ARCHIVE_ITEM_ID, CLASS, item_id_value, may_be_cut_id},
    work::{By, TargetFolder, Work},
};
use crate::{CopyHeader, Identity, Mailbox, StoredCopy};
use http_client::RetryBudget;

/// A message in the mailbox.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Stored {
    pub(super) id: String,
    pub(super) is_draft: Option<bool>,
    pub(super) received_date_time: Option<jiff::Timestamp>,
    pub(super) internet_message_id: Option<String>,
    #[serde(default)]
    single_value_extended_properties: Vec<Property>,
}

#[derive(Deserialize)]
struct Property {
    #[serde(default)]
    id: String,
    value: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WithHeaders {
    #[serde(default)]
    internet_message_headers: Vec<Header>,
}

#[derive(Deserialize)]
struct Header {
    name: String,
    value: String,
}

/// A folder of a mailbox.
struct Folder<'a> {
    state: &'a MailboxState,
    mailbox: &'a str,
    id: &'a str,
}

impl Stored {
    fn property(&self, id: &str) -> Option<&str> {
        let is_it = |property: &&Property| properties::is_same(&property.id, id);
        self.single_value_extended_properties.iter().find(is_it).map(|property| property.value.as_str())
    }
}

/// The properties that a lookup returns with each message.
#[derive(Clone, Copy)]
enum Expand {
    ItemId,
    ItemIdAndClass,
}

impl Expand {
    fn option(self) -> String {
        let id = literal(ARCHIVE_ITEM_ID);
        match self {
            Self::ItemId => format!("singleValueExtendedProperties($filter=id eq {id})"),
            Self::ItemIdAndClass => {
                format!("singleValueExtendedProperties($filter=id eq {id} or id eq {})", literal(CLASS))
            }
        }
    }
}

const MEMBERS: (&str, &str) = ("$select", "id,isDraft,receivedDateTime,internetMessageId");

impl Graph {
    /// Returns the complete copies in the archive folder. Uses the cached id of the folder, as filing does.
    pub(super) async fn stored_copies(
        &self,
        mailbox: &Mailbox,
        identity: &Identity<'_>,
    ) -> Result<Vec<StoredCopy>, Failure> {
        let state = self.limits.of(&mailbox.id);
        let mut budget = self.retry_budget();
        let cached = state.archive.lock().await.get(None).map(str::to_owned);
        if let Some(id) = cached {
            let folder = Folder { state: &state, mailbox: &mailbox.id, id: &id };
            match self.copies_in(&folder, identity, Expand::ItemIdAndClass, &mut budget).await {
                Err(failure) if failure.is_missing() => state.archive.lock().await.clear(),
                result => return Ok(self.complete(result?)),
            }
        }
        let Some(id) = self.find_archive_folder(&state, &mailbox.id, &mut budget).await? else { return Ok(Vec::new()) };
        let folder = Folder { state: &state, mailbox: &mailbox.id, id: &id };
        Ok(self.complete(self.copies_in(&folder, identity, Expand::ItemIdAndClass, &mut budget).await?))
    }

    fn complete(&self, stored: Vec<Stored>) -> Vec<StoredCopy> {
        let complete = stored.into_iter().filter(|stored| stored.is_draft == Some(false));
        let copy = |stored: Stored| {
            let has = |class: &str| stored.property(CLASS).is_some_and(|stored| stored.eq_ignore_ascii_case(class));
            let lacks_message_class = self.expected_class().is_some_and(|class| !has(class));
            StoredCopy { message: stored.id, lacks_message_class }
        };
        complete.map(copy).collect()
    }

    /// Finds the message in a folder. Removes drafts of the item, because they cannot be completed.
    pub(super) async fn find_stored(
        &self,
        work: &Work<'_>,
        place: TargetFolder<'_>,
        budget: &mut RetryBudget,
    ) -> Result<Option<Stored>, Failure> {
        let mut found = None;
        for stored in self.all_stored(work, place, budget).await? {
            if stored.is_draft == Some(true) {
                self.remove(work, place.folder, &stored.id, budget).await?;
            } else {
                found = found.or(Some(stored));
            }
        }
        Ok(found)
    }

    /// Returns every message of the item in a folder.
    pub(super) async fn all_stored(
        &self,
        work: &Work<'_>,
        place: TargetFolder<'_>,
        budget: &mut RetryBudget,
    ) -> Result<Vec<Stored>, Failure> {
        let identity = &work.draft.identity;
        match place.by {
            By::Identity => {
                let folder = Folder { state: work.state, mailbox: work.mailbox, id: place.folder };
                self.copies_in(&folder, identity, Expand::ItemId, budget).await
            }
            By::ItemId => self.with_item_id(work, place.folder, &item_id_value(identity.item), budget).await,
        }
    }

    /// Returns every message of a folder whose ArchiveItemId has this value.
    pub(super) async fn with_item_id(
        &self,
        work: &Work<'_>,
        folder: &str,
        value: &str,
        budget: &mut RetryBudget,
    ) -> Result<Vec<Stored>, Failure> {
        let folder = Folder { state: work.state, mailbox: work.mailbox, id: folder };
        let filter = format!(
            "singleValueExtendedProperties/Any(ep: ep/id eq {} and ep/value eq {})",
            literal(ARCHIVE_ITEM_ID),
            literal(value)
        );
        let mut stored = self.messages(&folder, &filter, Expand::ItemId, budget).await?;
        stored.retain(|stored| stored.property(ARCHIVE_ITEM_ID) == Some(value));
        Ok(stored)
    }

    /// Looks up a message after a filing with an unknown outcome. Returns `None` if it was not filed and can be sent
    /// again, and the error of an unknown outcome while the request may still be in progress, also if the lookup fails.
    pub(super) async fn look_up_after(
        &self,
        work: &Work<'_>,
        place: TargetFolder<'_>,
        failure: Failure,
        budget: &mut RetryBudget,
    ) -> Result<Option<Stored>, Failure> {
        if !budget.pause(failure.retry_after()).await {
            return Err(failure.outcome_unknown(self.settle_time));
        }
        match self.find_stored(work, place, budget).await {
            Ok(None) if failure.may_be_in_progress() => Err(failure.outcome_unknown(self.settle_time)),
            Err(other) if failure.may_be_in_progress() => Err(failure.outcome_unknown_before(&other, self.settle_time)),
            result => result,
        }
    }

    async fn messages(
        &self,
        folder: &Folder<'_>,
        filter: &str,
        expand: Expand,
        budget: &mut RetryBudget,
    ) -> Result<Vec<Stored>, Failure> {
        let url = self.client.hosts.graph(&["users", folder.mailbox, "mailFolders", folder.id, "messages"]);
        let url = with_options(url, &[("$filter", filter), MEMBERS, ("$expand", &expand.option())]);
        self.client.list(Some(&folder.state.permits), url, budget).await
    }

    /// Returns the messages of a folder that have the Message-ID and do not belong to another item.
    async fn copies_in(
        &self,
        folder: &Folder<'_>,
        identity: &Identity<'_>,
        expand: Expand,
        budget: &mut RetryBudget,
    ) -> Result<Vec<Stored>, Failure> {
        let filter = format!("internetMessageId eq {}", literal(identity.message_id));
        let (mut copies, value) = (Vec::new(), item_id_value(identity.item));
        for stored in self.messages(folder, &filter, expand, budget).await? {
            if stored.internet_message_id.as_deref().is_some_and(|id| id != identity.message_id) {
                continue;
            }
            let is_ours = match stored.property(ARCHIVE_ITEM_ID) {
                Some(item) if item == value || item == identity.item.as_str() => true,
                Some(item) if may_be_cut_id(item, identity.item) => {
                    self.whole_item_id(folder, &stored.id, budget).await?.as_deref() == Some(identity.item.as_str())
                }
                Some(_) => false,
                // The message was imported as MIME.
                None => identity.may_be_of(&self.copy_header(folder, &stored.id, budget).await?),
            };
            if is_ours {
                copies.push(stored);
            }
        }
        Ok(copies)
    }

    /// Reads the item's id of one message. In contrast to a list, this response has the whole value.
    async fn whole_item_id(
        &self,
        folder: &Folder<'_>,
        message: &str,
        budget: &mut RetryBudget,
    ) -> Result<Option<String>, Failure> {
        let url = self.client.hosts.graph(&["users", folder.mailbox, "messages", message]);
        let url = with_options(url, &[MEMBERS, ("$expand", &Expand::ItemId.option())]);
        let request = Request::get(url).with_message_response();
        let shown: Stored = self.client.send(Some(&folder.state.permits), &request, budget).await?.json()?;
        Ok(shown.property(ARCHIVE_ITEM_ID).map(str::to_owned))
    }

    /// Reads the fields of a message's header that identify its item.
    async fn copy_header(
        &self,
        folder: &Folder<'_>,
        message: &str,
        budget: &mut RetryBudget,
    ) -> Result<CopyHeader, Failure> {
        let url = self.client.hosts.graph(&["users", folder.mailbox, "messages", message]);
        let url = with_options(url, &[("$select", "internetMessageHeaders")]);
        let request = Request::get(url).with_message_response();
        let shown: WithHeaders = self.client.send(Some(&folder.state.permits), &request, budget).await?.json()?;
        Ok(CopyHeader::read(|name| {
            let named = |header: &&Header| header.name.eq_ignore_ascii_case(name);
            shown.internet_message_headers.iter().find(named).map(|header| header.value.as_str())
        }))
    }
}
