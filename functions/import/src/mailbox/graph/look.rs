//! Looking for a message that may be in a mailbox already.

use item::Sha256;
use serde::Deserialize;

use super::{
    Graph,
    body::ARCHIVE_ITEM_ID,
    client::Request,
    error::Failure,
    filing::Work,
    lane::Lane,
    odata::{literal, with_options},
};
use crate::mailbox::{CONTENT_HEADER, Identity, Mailbox, patience::Patience};

/// A message in the mailbox.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Stored {
    pub(super) id: String,
    pub(super) is_draft: Option<bool>,
    pub(super) received_date_time: Option<jiff::Timestamp>,
    /// The property that holds the item's id, where it was asked for and is there.
    #[serde(default)]
    single_value_extended_properties: Vec<Property>,
}

#[derive(Deserialize)]
struct Property {
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

/// How a message is looked for in a folder.
#[derive(Clone, Copy)]
pub(super) enum By {
    /// In the archive folder: by Message-ID, which servers find soon; each that is found is asked whose it is.
    Identity,
    /// In the folder where messages are put together: by the item's id, which they have for sure.
    ItemId,
}

/// One folder of one mailbox.
struct Folder<'a> {
    lane: &'a Lane,
    mailbox: &'a str,
    id: &'a str,
}

impl Graph {
    /// The copy in the archive folder. A folder that we remember is not asked for again, as in filing.
    pub(super) async fn held_message(
        &self,
        mailbox: &Mailbox,
        identity: &Identity<'_>,
    ) -> Result<Option<String>, Failure> {
        let lane = self.lanes.of(&mailbox.id);
        let mut patience = self.patience();
        let whole = |all: Vec<Stored>| all.into_iter().find(|stored| stored.is_draft == Some(false));
        let known = lane.archive.lock().await.get(None).map(str::to_owned);
        if let Some(id) = known {
            let folder = Folder { lane: &lane, mailbox: &mailbox.id, id: &id };
            match self.copies(&folder, identity, &mut patience).await {
                Err(failure) if failure.is_missing() => lane.archive.lock().await.forget(),
                result => return Ok(whole(result?).map(|stored| stored.id)),
            }
        }
        let Some(id) = self.find_archive(&lane, &mailbox.id, &mut patience).await? else { return Ok(None) };
        let all = self.copies(&Folder { lane: &lane, mailbox: &mailbox.id, id: &id }, identity, &mut patience).await?;
        Ok(whole(all).map(|stored| stored.id))
    }

    /// The message that is in a folder already. A draft of ours cannot be mended: it is taken away.
    pub(super) async fn look_for(
        &self,
        work: &Work<'_>,
        folder: &str,
        by: By,
        patience: &mut Patience,
    ) -> Result<Option<Stored>, Failure> {
        let mut found = None;
        for stored in self.all(work, folder, by, patience).await? {
            if stored.is_draft == Some(true) {
                self.remove(work, folder, &stored.id, patience).await?;
            } else {
                found = found.or(Some(stored));
            }
        }
        Ok(found)
    }

    /// Every message of the item in a folder.
    pub(super) async fn all(
        &self,
        work: &Work<'_>,
        folder: &str,
        by: By,
        patience: &mut Patience,
    ) -> Result<Vec<Stored>, Failure> {
        let folder = Folder { lane: work.lane, mailbox: work.mailbox, id: folder };
        let identity = &work.draft.identity;
        match by {
            By::Identity => self.copies(&folder, identity, patience).await,
            By::ItemId => {
                let filter = format!(
                    "singleValueExtendedProperties/Any(ep: ep/id eq {} and ep/value eq {})",
                    literal(ARCHIVE_ITEM_ID),
                    literal(identity.item.as_str())
                );
                self.messages(&folder, &[("$filter", &filter), MEMBERS], patience).await
            }
        }
    }

    /// Looks for a message that was sent, where what came back does not say whether it was filed. `None`: it was not,
    /// and can be sent again. Where it may still be under way it must not be: whatever else goes wrong meanwhile, that
    /// is what has to be said of it.
    pub(super) async fn look_after(
        &self,
        work: &Work<'_>,
        (folder, by): (&str, By),
        failure: Failure,
        patience: &mut Patience,
    ) -> Result<Option<Stored>, Failure> {
        if !patience.pause(failure.retry_after()).await {
            return Err(failure.late(self.settles));
        }
        match self.look_for(work, folder, by, patience).await {
            Ok(None) if failure.may_come_late() => Err(failure.late(self.settles)),
            Err(other) if failure.may_come_late() => {
                Err(failure.late(self.settles.max(other.retry_after().unwrap_or_default())))
            }
            result => result,
        }
    }

    async fn messages(
        &self,
        folder: &Folder<'_>,
        options: &[(&str, &str)],
        patience: &mut Patience,
    ) -> Result<Vec<Stored>, Failure> {
        let url = self.client.hosts.graph(&["users", folder.mailbox, "mailFolders", folder.id, "messages"]);
        self.client.list(Some(&folder.lane.permits), with_options(url, options), patience).await
    }

    /// The messages of a folder with the Message-ID that are of no other item.
    async fn copies(
        &self,
        folder: &Folder<'_>,
        identity: &Identity<'_>,
        patience: &mut Patience,
    ) -> Result<Vec<Stored>, Failure> {
        let filter = format!("internetMessageId eq {}", literal(identity.message_id));
        let expand = format!("singleValueExtendedProperties($filter=id eq {})", literal(ARCHIVE_ITEM_ID));
        let options = [("$filter", filter.as_str()), MEMBERS, ("$expand", &expand)];
        let mut copies = Vec::new();
        for stored in self.messages(folder, &options, patience).await? {
            let is_ours = match stored.single_value_extended_properties.first() {
                Some(property) => property.value == identity.item.as_str(),
                // One that came as MIME.
                None => identity.may_be_of(self.content(folder, &stored.id, patience).await?),
            };
            if is_ours {
                copies.push(stored);
            }
        }
        Ok(copies)
    }

    /// What a message's header says of its content; `None` where it says nothing.
    async fn content(
        &self,
        folder: &Folder<'_>,
        message: &str,
        patience: &mut Patience,
    ) -> Result<Option<Sha256>, Failure> {
        let url = self.client.hosts.graph(&["users", folder.mailbox, "messages", message]);
        let url = with_options(url, &[("$select", "internetMessageHeaders")]);
        let request = Request::get(url).answered_with_message();
        let shown: WithHeaders = self.client.ask(Some(&folder.lane.permits), &request, patience).await?.json()?;
        let named = |header: &&Header| header.name.eq_ignore_ascii_case(CONTENT_HEADER);
        Ok(shown.internet_message_headers.iter().find(named).and_then(|header| header.value.trim().parse().ok()))
    }
}

const MEMBERS: (&str, &str) = ("$select", "id,isDraft,receivedDateTime");
