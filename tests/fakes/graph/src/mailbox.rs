//! The data of a tenant: users, their mailboxes, folders and messages.

use std::collections::{BTreeMap, HashMap, HashSet};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    query::{Query, literals},
    reply::Rejection,
};

/// A user of the tenant.
#[derive(Debug, Clone)]
pub struct User {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) mail: Option<String>,
    pub(crate) proxies: Vec<String>,
    pub(crate) is_guest: bool,
    pub(crate) mailbox: Result<Mailbox, (u16, &'static str)>,
}

impl User {
    /// Creates a user with a mailbox, whose user name is also their address.
    pub fn new(name: &str) -> Self {
        Self {
            id: Uuid::new_v4().to_string(),
            name: name.into(),
            mail: Some(name.into()),
            proxies: vec![format!("SMTP:{name}")],
            is_guest: false,
            mailbox: Ok(Mailbox::default()),
        }
    }

    /// Makes the account that of a guest, as a person of another organization has it.
    #[must_use]
    pub fn guest(self) -> Self {
        Self { is_guest: true, ..self }
    }

    /// Sets an address that is not the user name, or removes the address.
    #[must_use]
    pub fn mail(self, mail: Option<&str>) -> Self {
        let proxies = mail.map(|mail| format!("SMTP:{mail}")).into_iter().collect();
        Self { mail: mail.map(Into::into), proxies, ..self }
    }

    /// Adds an address.
    #[must_use]
    pub fn alias(mut self, address: &str) -> Self {
        self.proxies.push(format!("smtp:{address}"));
        self
    }

    /// Removes the address in `mail` from `proxyAddresses`.
    #[must_use]
    pub fn without_proxies(self) -> Self {
        Self { proxies: Vec::new(), ..self }
    }

    /// Removes the mailbox; `code` is the error that reports it.
    #[must_use]
    pub fn without_mailbox(self, code: &'static str) -> Self {
        Self { mailbox: Err((404, code)), ..self }
    }

    /// Denies the application access to the mailbox.
    #[must_use]
    pub fn out_of_scope(self) -> Self {
        Self { mailbox: Err((403, "ErrorAccessDenied")), ..self }
    }

    /// Adds a search folder of this name, which is listed before other folders.
    #[must_use]
    pub fn search_folder(mut self, name: &str) -> Self {
        if let Ok(mailbox) = &mut self.mailbox {
            let folder =
                Folder { id: new_id(), name: name.into(), parent: None, hidden: false, is_search_folder: true };
            mailbox.folders.insert(0, folder);
        }
        self
    }

    /// Adds an ordinary folder of this name.
    #[must_use]
    pub fn folder(mut self, name: &str) -> Self {
        if let Ok(mailbox) = &mut self.mailbox {
            let folder =
                Folder { id: new_id(), name: name.into(), parent: None, hidden: false, is_search_folder: false };
            mailbox.folders.push(folder);
        }
        self
    }

    /// Sets the quota of the mailbox.
    #[must_use]
    pub fn quota(mut self, bytes: usize) -> Self {
        if let Ok(mailbox) = &mut self.mailbox {
            mailbox.quota = Some(bytes);
        }
        self
    }

    pub(crate) fn json(&self) -> Value {
        let kind = if self.is_guest { "Guest" } else { "Member" };
        json!({"id": self.id, "userPrincipalName": self.name, "mail": self.mail, "proxyAddresses": self.proxies, "userType": kind})
    }
}

/// The id of Deleted Items in every mailbox.
pub(crate) const DELETED_ITEMS: &str = "AAMkBin";

/// A mailbox.
#[derive(Debug, Clone, Default)]
pub(crate) struct Mailbox {
    pub(crate) folders: Vec<Folder>,
    pub(crate) messages: Vec<StoredMessage>,
    quota: Option<usize>,
}

#[derive(Debug, Clone)]
pub(crate) struct Folder {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) parent: Option<String>,
    pub(crate) hidden: bool,
    /// `true` for a view of messages of other folders: nothing can be created in it.
    pub(crate) is_search_folder: bool,
}

/// A message in a mailbox.
#[derive(Debug, Clone)]
pub struct StoredMessage {
    /// The id. A move without the preference for immutable ids changes it.
    pub id: String,
    /// The id at its creation.
    pub first_id: String,
    /// The folder's name.
    pub folder: String,
    /// `true` if the owner of the mailbox sees it.
    pub visible: bool,
    pub(crate) folder_id: String,
    /// The subject.
    pub subject: String,
    /// `html` or `text`.
    pub body_type: String,
    /// The body.
    pub body: String,
    /// `true` if it is a draft.
    pub is_draft: bool,
    /// `true` if it is marked as read.
    pub is_read: bool,
    /// The delivery time.
    pub received: Timestamp,
    /// The Message-ID.
    pub internet_message_id: String,
    /// Name and address.
    pub from: Option<(String, String)>,
    /// Name and address.
    pub sender: Option<(String, String)>,
    /// Names and addresses.
    pub to: Vec<(String, String)>,
    /// The `x-` headers, in order.
    pub headers: Vec<(String, String)>,
    /// The extended properties by their ids.
    pub properties: BTreeMap<String, String>,
    /// The files, in order.
    pub attachments: Vec<StoredAttachment>,
    /// The MIME of an imported message, which holds its body and its files.
    pub mime: Option<Vec<u8>>,
}

/// A file of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredAttachment {
    pub(crate) id: String,
    pub name: String,
    /// Its media type.
    pub content_type: String,
    /// The content id, by which the HTML refers to it.
    pub content_id: Option<String>,
    /// Its content.
    pub bytes: Vec<u8>,
}

impl StoredAttachment {
    pub(crate) fn new(name: String, content_type: Option<String>, bytes: Vec<u8>) -> Self {
        let content_type = content_type.unwrap_or_else(|| "application/octet-stream".into());
        Self { id: new_id(), name, content_type, content_id: None, bytes }
    }

    /// Returns the JSON of the file. Exchange includes properties in the size, so it exceeds the size of the content.
    pub(crate) fn json(&self) -> Value {
        let size = self.bytes.len() + 237;
        json!({
            "@odata.type": "#microsoft.graph.fileAttachment",
            "id": self.id,
            "name": self.name,
            "contentType": self.content_type,
            "size": size,
            "isInline": false,
        })
    }
}

impl StoredMessage {
    pub(crate) fn json(&self) -> Value {
        json!({
            "id": self.id,
            "subject": self.subject,
            "body": {"contentType": self.body_type, "content": self.body},
            "isDraft": self.is_draft,
            "isRead": self.is_read,
            "receivedDateTime": self.received.to_string(),
            "internetMessageId": self.internet_message_id,
            "parentFolderId": self.folder_id,
            "hasAttachments": !self.attachments.is_empty(),
        })
    }

    /// Returns the JSON with the expanded extended properties that the message has, and with its headers if they are
    /// selected.
    pub(crate) fn selected_json(&self, query: &Query) -> Result<Value, Rejection> {
        let mut json = self.json();
        if query.selects("internetMessageHeaders") {
            let headers = self.headers.iter().map(|(name, value)| json!({"name": name, "value": value}));
            json["internetMessageHeaders"] = headers.collect();
        }
        if let Some(expand) = query.expand() {
            let wanted = literals("singleValueExtendedProperties($filter=id eq {})", expand)
                .or_else(|| literals("singleValueExtendedProperties($filter=id eq {} or id eq {})", expand))
                .ok_or(Rejection(400, "BadRequest"))?;
            let shown = |id: &String| Some(json!({"id": id_as_shown(id), "value": self.properties.get(id)?}));
            let shown: Vec<_> = wanted.iter().filter_map(shown).collect();
            if !shown.is_empty() {
                json["singleValueExtendedProperties"] = shown.into();
            }
        }
        Ok(json)
    }

    fn size(&self) -> usize {
        let files: usize = self.attachments.iter().map(|file| file.bytes.len()).sum();
        self.body.len() + files + self.mime.as_ref().map_or(0, Vec::len)
    }
}

impl Mailbox {
    pub(crate) fn folder(&self, id: &str) -> Result<&Folder, Rejection> {
        self.folders.iter().find(|folder| folder.id == id).ok_or(Rejection(404, "ErrorItemNotFound"))
    }

    /// Checks that messages can be created in a folder.
    pub(crate) fn check_accepts_messages(&self, id: &str) -> Result<(), Rejection> {
        if self.folder(id)?.is_search_folder { Err(Rejection(400, "ErrorInvalidOperation")) } else { Ok(()) }
    }

    pub(crate) fn message(&mut self, id: &str) -> Result<&mut StoredMessage, Rejection> {
        self.messages.iter_mut().find(|message| message.id == id).ok_or(Rejection(404, "ErrorItemNotFound"))
    }

    /// Returns `true` if a folder and its parents are visible and outside Deleted Items.
    pub(crate) fn is_visible(&self, folder: &Folder) -> bool {
        let parent = folder.parent.as_deref().and_then(|parent| self.folder(parent).ok());
        let is_deleted = folder.parent.as_deref() == Some(DELETED_ITEMS);
        !folder.hidden && !is_deleted && parent.is_none_or(|parent| self.is_visible(parent))
    }

    pub(crate) fn reserve(&self, bytes: usize) -> Result<(), Rejection> {
        let used: usize = self.messages.iter().map(StoredMessage::size).sum();
        match self.quota {
            Some(quota) if used + bytes > quota => Err(Rejection(507, "ErrorQuotaExceeded")),
            _ => Ok(()),
        }
    }

    /// Returns all messages, with the name and the visibility of their folders.
    pub(crate) fn all_messages(&self) -> Vec<StoredMessage> {
        let described = |message: &StoredMessage| {
            let folder = self.folder(&message.folder_id).ok();
            StoredMessage {
                folder: folder.map(|folder| folder.name.clone()).unwrap_or_default(),
                visible: folder.is_some_and(|folder| self.is_visible(folder)),
                ..message.clone()
            }
        };
        self.messages.iter().map(described).collect()
    }
}

/// Truncates the values of the expanded properties, see [`Quirks::truncates_listed_properties`].
pub(crate) fn truncate_properties(message: &mut Value) {
    let properties = message.get_mut("singleValueExtendedProperties").and_then(Value::as_array_mut);
    for property in properties.into_iter().flatten() {
        let units: Vec<_> = property["value"].as_str().unwrap_or_default().encode_utf16().take(255).collect();
        property["value"] = String::from_utf16_lossy(&units).into();
    }
}

/// Returns a property's id as Graph shows it: a tag without leading zeros, in lower case.
fn id_as_shown(id: &str) -> String {
    match id.split_once(" 0x") {
        Some((kind, tag)) => format!("{kind} 0x{}", tag.trim_start_matches('0').to_ascii_lowercase()),
        None => id.to_owned(),
    }
}

/// The users of a tenant, and the uploads in progress.
#[derive(Debug, Default)]
pub(crate) struct Tenant {
    pub(crate) users: Vec<User>,
    /// The addresses of each group.
    pub(crate) groups: Vec<Vec<String>>,
    /// `true` if the application may not read groups.
    pub(crate) denies_groups: bool,
    /// Addresses in lower case that are rejected as recipient or sender.
    pub(crate) rejected_recipients: HashSet<String>,
    /// Addresses that the directory rejects in a filter.
    pub(crate) rejected_addresses: HashSet<String>,
    pub(crate) uploads: HashMap<String, Upload>,
    pub(crate) quirks: Quirks,
    /// `true` if the application has `Mail-Advanced.ReadWrite.All`.
    pub(crate) may_import_mime: bool,
}

/// An upload of a file in pieces.
#[derive(Debug)]
pub(crate) struct Upload {
    pub(crate) user: String,
    pub(crate) message: String,
    pub(crate) name: String,
    pub(crate) content_type: Option<String>,
    pub(crate) content_id: Option<String>,
    pub(crate) size: usize,
    pub(crate) received: Vec<u8>,
}

/// Undocumented or rare behaviour of a tenant.
#[derive(Debug, Clone, Copy, Default)]
pub struct Quirks {
    /// Rejects create requests with a message class.
    pub refuses_message_class: bool,
    /// Rejects create requests whose sender is not the mailbox.
    pub refuses_foreign_from: bool,
    /// Rejects create requests with more recipients.
    pub max_recipients: Option<usize>,
    /// Ignores PidTagMessageFlags, so that each message is a draft.
    pub makes_drafts: bool,
    /// Ignores PidTagMessageDeliveryTime.
    pub ignores_dates: bool,
    /// Replaces the Message-ID of created and imported messages.
    pub changes_message_ids: bool,
    /// Returns only the first 255 UTF-16 units of extended properties in lists of messages.
    pub truncates_listed_properties: bool,
    /// Capitalizes the names of the members in responses to pieces of an upload.
    pub capitalizes_members: bool,
    /// Links the next page of a list on another host.
    pub links_to_other_host: bool,
    /// Returns upload URLs on another host, without TLS.
    pub uploads_to_other_host: bool,
    /// Removes the last character of attachments' names.
    pub truncates_names: bool,
    /// Rejects requests to import MIME with a larger body, in bytes.
    pub max_mime_bytes: Option<usize>,
    /// Counts a megabyte of a file as 1,048,576 bytes instead of 1,000,000. A request still has at most 4,000,000 bytes.
    pub binary_megabytes: bool,
}

impl Quirks {
    /// Converts megabytes to bytes.
    pub(crate) fn megabytes(self, megabytes: usize) -> usize {
        megabytes * if self.binary_megabytes { 1024 * 1024 } else { 1_000_000 }
    }
}

impl Tenant {
    /// Finds a user by id or user name.
    pub(crate) fn user(&mut self, name: &str) -> Result<&mut User, Rejection> {
        let has_name = |user: &&mut User| user.id == name || user.name.eq_ignore_ascii_case(name);
        self.users.iter_mut().find(has_name).ok_or(Rejection(404, "Request_ResourceNotFound"))
    }

    pub(crate) fn mailbox(&mut self, user: &str) -> Result<&mut Mailbox, Rejection> {
        match &mut self.user(user)?.mailbox {
            Ok(mailbox) => Ok(mailbox),
            Err((status, code)) => Err(Rejection(*status, code)),
        }
    }
}

/// Creates an id with characters that must be percent-encoded in a path, like those of Exchange.
pub(crate) fn new_id() -> String {
    format!("AAMk/+{}", STANDARD.encode(Uuid::new_v4()))
}
