//! The archive folder of a mailbox, and the hidden folder in it in which large messages are assembled.

use serde::{Deserialize, Serialize};
use url::Url;

use super::{
    Graph,
    body::to_json,
    client::{Client, Request},
    error::Failure,
    mailbox_limits::{FolderId, MailboxState},
    odata::{literal, with_options},
};
use crate::MailboxError;
use http_client::RetryBudget;

/// Name of the hidden folder for incomplete messages.
const STAGING: &str = "Incomplete";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Folder {
    id: String,
    display_name: String,
    /// The OData type. An ordinary folder has none.
    #[serde(rename = "@odata.type")]
    kind: Option<String>,
}

impl Folder {
    /// Returns whether it is a search folder: a view of messages in other folders, which cannot contain messages.
    fn is_search_folder(&self) -> bool {
        self.kind.as_deref().is_some_and(|kind| kind.to_ascii_lowercase().ends_with("searchfolder"))
    }
}

/// The result of looking up a folder.
struct FolderLookup {
    folder: Option<String>,
    /// The name belongs to a search folder.
    search_folder: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct NewFolder<'a> {
    display_name: &'a str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    is_hidden: bool,
}

/// The place of a folder.
struct FolderPath<'a> {
    state: &'a MailboxState,
    mailbox: &'a str,
    /// The parent folder; `None` for the mailbox itself.
    parent: Option<&'a str>,
    name: &'a str,
}

impl FolderPath<'_> {
    fn url(&self, client: &Client) -> Url {
        match self.parent {
            None => client.hosts.graph(&["users", self.mailbox, "mailFolders"]),
            Some(parent) => client.hosts.graph(&["users", self.mailbox, "mailFolders", parent, "childFolders"]),
        }
    }

    /// Returns whether the folder is hidden: only the one inside the archive folder is.
    fn is_hidden(&self) -> bool {
        self.parent.is_some()
    }
}

impl Graph {
    fn archive_place<'a>(&'a self, state: &'a MailboxState, mailbox: &'a str) -> FolderPath<'a> {
        FolderPath { state, mailbox, parent: None, name: &self.folder }
    }

    /// Returns the id of the archive folder. Creates the folder if it is missing.
    pub(super) async fn archive(
        &self,
        state: &MailboxState,
        mailbox: &str,
        budget: &mut RetryBudget,
    ) -> Result<String, Failure> {
        let place = self.archive_place(state, mailbox);
        self.find_or_make(&mut *state.archive.lock().await, &place, budget).await
    }

    /// Returns the id of the archive folder, if it exists. Fails if there is no mailbox.
    pub(super) async fn find_archive_folder(
        &self,
        state: &MailboxState,
        mailbox: &str,
        budget: &mut RetryBudget,
    ) -> Result<Option<String>, Failure> {
        let place = self.archive_place(state, mailbox);
        let mut cached = state.archive.lock().await;
        let found = self.look_up(&place, budget).await?.folder;
        match &found {
            Some(id) => cached.set(place.parent, id),
            None => cached.clear(),
        }
        Ok(found)
    }

    /// Returns the id of the hidden folder in the archive folder. Creates the folder if it is missing.
    pub(super) async fn staging(
        &self,
        state: &MailboxState,
        mailbox: &str,
        archive: &str,
        budget: &mut RetryBudget,
    ) -> Result<String, Failure> {
        let place = FolderPath { state, mailbox, parent: Some(archive), name: STAGING };
        self.find_or_make(&mut *state.staging.lock().await, &place, budget).await
    }

    /// Returns the id of the hidden folder, if it exists.
    pub(super) async fn find_staging(
        &self,
        state: &MailboxState,
        mailbox: &str,
        archive: &str,
        budget: &mut RetryBudget,
    ) -> Result<Option<String>, Failure> {
        let place = FolderPath { state, mailbox, parent: Some(archive), name: STAGING };
        let cached = state.staging.lock().await;
        match cached.get(place.parent) {
            Some(id) => Ok(Some(id.to_owned())),
            None => Ok(self.look_up(&place, budget).await?.folder),
        }
    }

    async fn find_or_make(
        &self,
        cached: &mut FolderId,
        place: &FolderPath<'_>,
        budget: &mut RetryBudget,
    ) -> Result<String, Failure> {
        if let Some(id) = cached.get(place.parent) {
            return Ok(id.to_owned());
        }
        let id = loop {
            let found = self.look_up(place, budget).await?;
            if let Some(id) = found.folder {
                break id;
            }
            match self.make(place, budget).await {
                Ok(id) => break id,
                Err(failure) if exists(&failure) && found.search_folder => {
                    let detail =
                        "a search folder has the archive folder's name: rename it, or set MAIL_FOLDER".to_owned();
                    return Err(MailboxError::Configuration { detail }.into());
                }
                // Another process created it at the same time, or the response to an earlier request was lost.
                Err(failure) if exists(&failure) || failure.is_unclear() => {
                    if !budget.pause(failure.retry_after()).await {
                        return Err(failure);
                    }
                }
                Err(failure) => return Err(failure),
            }
        };
        cached.set(place.parent, &id);
        Ok(id)
    }

    async fn look_up(&self, place: &FolderPath<'_>, budget: &mut RetryBudget) -> Result<FolderLookup, Failure> {
        let filter = format!("displayName eq {}", literal(place.name));
        let url = with_options(
            place.url(&self.client),
            &[("$filter", &filter), ("includeHiddenFolders", "true"), ("$select", "id,displayName")],
        );
        let folders: Vec<Folder> = self.client.list(Some(&place.state.permits), url, budget).await?;
        // Exchange compares the names of folders case-insensitively.
        let named = |folder: &Folder| folder.display_name.to_lowercase() == place.name.to_lowercase();
        let (search, folders): (Vec<_>, Vec<_>) = folders.into_iter().filter(named).partition(Folder::is_search_folder);
        let exact = folders.iter().position(|folder| folder.display_name == place.name).unwrap_or_default();
        Ok(FolderLookup {
            folder: folders.into_iter().nth(exact).map(|folder| folder.id),
            search_folder: !search.is_empty(),
        })
    }

    async fn make(&self, place: &FolderPath<'_>, budget: &mut RetryBudget) -> Result<String, Failure> {
        let new = NewFolder { display_name: place.name, is_hidden: place.is_hidden() };
        let request = Request::post(place.url(&self.client), to_json(&new));
        let folder: Folder = self.client.send_once(Some(&place.state.permits), &request, budget).await?.json()?;
        Ok(folder.id)
    }
}

fn exists(failure: &Failure) -> bool {
    matches!(failure, Failure::Refused(refusal) if refusal.has_code("ErrorFolderExists"))
}
