//! The archive folder of a mailbox, and the hidden one in it where large messages are put together.

use serde::{Deserialize, Serialize};
use url::Url;

use super::{
    Graph,
    client::{Client, Request},
    error::Failure,
    lane::{FolderId, Lane},
    odata::{literal, with_options},
};
use crate::mailbox::patience::Patience;

/// The hidden folder's name. A message in it is not filed yet.
const STAGING: &str = "Incomplete";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Folder {
    id: String,
    display_name: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct NewFolder<'a> {
    display_name: &'a str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    is_hidden: bool,
}

/// Where a folder is.
struct Place<'a> {
    lane: &'a Lane,
    mailbox: &'a str,
    /// The folder that it lies in, where that is not the mailbox itself.
    parent: Option<&'a str>,
    name: &'a str,
}

impl Place<'_> {
    fn url(&self, client: &Client) -> Url {
        match self.parent {
            None => client.hosts.graph(&["users", self.mailbox, "mailFolders"]),
            Some(parent) => client.hosts.graph(&["users", self.mailbox, "mailFolders", parent, "childFolders"]),
        }
    }

    /// Only what lies in the archive folder is hidden.
    fn is_hidden(&self) -> bool {
        self.parent.is_some()
    }
}

impl Graph {
    fn archive_place<'a>(&'a self, lane: &'a Lane, mailbox: &'a str) -> Place<'a> {
        Place { lane, mailbox, parent: None, name: &self.folder }
    }

    /// The archive folder, made where it is missing.
    pub(super) async fn archive(&self, lane: &Lane, mailbox: &str, patience: &mut Patience) -> Result<String, Failure> {
        let place = self.archive_place(lane, mailbox);
        self.find_or_make(&mut *lane.archive.lock().await, &place, patience).await
    }

    /// The archive folder where there is one already. Also tells whether there is a mailbox.
    pub(super) async fn find_archive(
        &self,
        lane: &Lane,
        mailbox: &str,
        patience: &mut Patience,
    ) -> Result<Option<String>, Failure> {
        let place = self.archive_place(lane, mailbox);
        let mut known = lane.archive.lock().await;
        let found = self.look_up(&place, patience).await?;
        match &found {
            Some(id) => known.set(place.parent, id),
            None => known.forget(),
        }
        Ok(found)
    }

    /// The hidden folder below the archive folder, made where it is missing.
    pub(super) async fn staging(
        &self,
        lane: &Lane,
        mailbox: &str,
        archive: &str,
        patience: &mut Patience,
    ) -> Result<String, Failure> {
        let place = Place { lane, mailbox, parent: Some(archive), name: STAGING };
        self.find_or_make(&mut *lane.staging.lock().await, &place, patience).await
    }

    /// The same where there is one already.
    pub(super) async fn find_staging(
        &self,
        lane: &Lane,
        mailbox: &str,
        archive: &str,
        patience: &mut Patience,
    ) -> Result<Option<String>, Failure> {
        let place = Place { lane, mailbox, parent: Some(archive), name: STAGING };
        let known = lane.staging.lock().await;
        match known.get(place.parent) {
            Some(id) => Ok(Some(id.to_owned())),
            None => self.look_up(&place, patience).await,
        }
    }

    async fn find_or_make(
        &self,
        known: &mut FolderId,
        place: &Place<'_>,
        patience: &mut Patience,
    ) -> Result<String, Failure> {
        if let Some(id) = known.get(place.parent) {
            return Ok(id.to_owned());
        }
        let id = loop {
            if let Some(id) = self.look_up(place, patience).await? {
                break id;
            }
            match self.make(place, patience).await {
                Ok(id) => break id,
                // Somebody else made it in the same moment, or we did and were not told.
                Err(failure) if exists(&failure) || failure.is_unclear() => {
                    if !patience.pause(failure.retry_after()).await {
                        return Err(failure);
                    }
                }
                Err(failure) => return Err(failure),
            }
        };
        known.set(place.parent, &id);
        Ok(id)
    }

    async fn look_up(&self, place: &Place<'_>, patience: &mut Patience) -> Result<Option<String>, Failure> {
        let filter = format!("displayName eq {}", literal(place.name));
        let url = with_options(
            place.url(&self.client),
            &[("$filter", &filter), ("includeHiddenFolders", "true"), ("$select", "id,displayName")],
        );
        let folders: Vec<Folder> = self.client.list(Some(&place.lane.permits), url, patience).await?;
        // Names are compared without regard to case, there and so here.
        let named = |folder: &Folder| folder.display_name.to_lowercase() == place.name.to_lowercase();
        Ok(folders.into_iter().find(named).map(|folder| folder.id))
    }

    async fn make(&self, place: &Place<'_>, patience: &mut Patience) -> Result<String, Failure> {
        let new = NewFolder { display_name: place.name, is_hidden: place.is_hidden() };
        let json =
            serde_json::to_vec(&new).map_err(|_| Failure::Lost { what: "the folder's name has no JSON form" })?;
        let request = Request::post(place.url(&self.client), json);
        let folder: Folder = self.client.ask_once(Some(&place.lane.permits), &request, patience).await?.json()?;
        Ok(folder.id)
    }
}

fn exists(failure: &Failure) -> bool {
    matches!(failure, Failure::Refused(refusal) if refusal.has_code("ErrorFolderExists"))
}
