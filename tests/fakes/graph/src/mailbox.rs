//! What a tenant holds: users, their mailboxes, folders and messages.

use std::collections::{BTreeMap, HashMap, HashSet};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    answer::Refused,
    query::{Query, literals},
};

/// A user to put into the tenant.
#[derive(Debug, Clone)]
pub struct User {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) mail: Option<String>,
    pub(crate) proxies: Vec<String>,
    pub(crate) mailbox: Result<Mailbox, (u16, &'static str)>,
}

impl User {
    /// A user with a mailbox, whose user name is also their address.
    pub fn new(name: &str) -> Self {
        Self {
            id: Uuid::new_v4().to_string(),
            name: name.into(),
            mail: Some(name.into()),
            proxies: vec![format!("SMTP:{name}")],
            mailbox: Ok(Mailbox::default()),
        }
    }

    /// With another address than the user name, or with none.
    #[must_use]
    pub fn mail(self, mail: Option<&str>) -> Self {
        let proxies = mail.map(|mail| format!("SMTP:{mail}")).into_iter().collect();
        Self { mail: mail.map(Into::into), proxies, ..self }
    }

    /// With one more address.
    #[must_use]
    pub fn alias(mut self, address: &str) -> Self {
        self.proxies.push(format!("smtp:{address}"));
        self
    }

    /// With an address in `mail` that is not among the mailbox's own.
    #[must_use]
    pub fn without_proxies(self) -> Self {
        Self { proxies: Vec::new(), ..self }
    }

    /// Without a mailbox; `code` is how Graph says so.
    #[must_use]
    pub fn without_mailbox(self, code: &'static str) -> Self {
        Self { mailbox: Err((404, code)), ..self }
    }

    /// With a mailbox that the application may not use.
    #[must_use]
    pub fn out_of_scope(self) -> Self {
        Self { mailbox: Err((403, "ErrorAccessDenied")), ..self }
    }

    /// With a search folder of this name, which is listed before other folders.
    #[must_use]
    pub fn search_folder(mut self, name: &str) -> Self {
        if let Ok(mailbox) = &mut self.mailbox {
            let folder =
                Folder { id: new_id(), name: name.into(), parent: None, hidden: false, is_search_folder: true };
            mailbox.folders.insert(0, folder);
        }
        self
    }

    /// With an ordinary folder of this name.
    #[must_use]
    pub fn folder(mut self, name: &str) -> Self {
        if let Ok(mailbox) = &mut self.mailbox {
            let folder =
                Folder { id: new_id(), name: name.into(), parent: None, hidden: false, is_search_folder: false };
            mailbox.folders.push(folder);
        }
        self
    }

    /// With a mailbox of so many bytes.
    #[must_use]
    pub fn quota(mut self, bytes: usize) -> Self {
        if let Ok(mailbox) = &mut self.mailbox {
            mailbox.quota = Some(bytes);
        }
        self
    }

    pub(crate) fn json(&self) -> Value {
        json!({"id": self.id, "userPrincipalName": self.name, "mail": self.mail, "proxyAddresses": self.proxies})
    }
}

/// The id of Deleted Items, which every mailbox has.
pub(crate) const BIN: &str = "AAMkBin";

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
    /// A view of messages elsewhere: nothing can be created in it.
    pub(crate) is_search_folder: bool,
}

/// A message as the mailbox holds it.
#[derive(Debug, Clone)]
pub struct StoredMessage {
    /// Its id. A request that does not ask for immutable ids changes it by moving the message.
    pub id: String,
    /// The id that it was created with.
    pub first_id: String,
    /// The folder's name.
    pub folder: String,
    /// Whether a person sees it.
    pub visible: bool,
    pub(crate) folder_id: String,
    /// The subject.
    pub subject: String,
    /// `html` or `text`.
    pub body_type: String,
    /// The body.
    pub body: String,
    /// Whether it lies there as a draft.
    pub is_draft: bool,
    /// Whether it counts as read.
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
    /// The message as it was imported, byte for byte, if it was; then the body and the files are in it.
    pub mime: Option<Vec<u8>>,
}

/// A file of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredAttachment {
    pub(crate) id: String,
    /// Its name.
    pub name: String,
    /// Its media type.
    pub content_type: String,
    /// The id by which the HTML shows it.
    pub content_id: Option<String>,
    /// Its content.
    pub bytes: Vec<u8>,
}

impl StoredAttachment {
    pub(crate) fn new(name: String, content_type: Option<String>, bytes: Vec<u8>) -> Self {
        let content_type = content_type.unwrap_or_else(|| "application/octet-stream".into());
        Self { id: new_id(), name, content_type, content_id: None, bytes }
    }

    /// Exchange counts properties into the size, so it is more than the content's.
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

    /// With the extended property that was asked for along with it, where it has that, and with its headers, where they
    /// were selected.
    pub(crate) fn shown(&self, query: &Query) -> Result<Value, Refused> {
        let mut json = self.json();
        if query.selects("internetMessageHeaders") {
            let headers = self.headers.iter().map(|(name, value)| json!({"name": name, "value": value}));
            json["internetMessageHeaders"] = headers.collect();
        }
        if let Some(expand) = query.expand() {
            let wanted = literals("singleValueExtendedProperties($filter=id eq {})", expand)
                .or_else(|| literals("singleValueExtendedProperties($filter=id eq {} or id eq {})", expand))
                .ok_or(Refused(400, "BadRequest"))?;
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
    pub(crate) fn folder(&self, id: &str) -> Result<&Folder, Refused> {
        self.folders.iter().find(|folder| folder.id == id).ok_or(Refused(404, "ErrorItemNotFound"))
    }

    /// Whether messages can be put into a folder.
    pub(crate) fn fileable(&self, id: &str) -> Result<(), Refused> {
        if self.folder(id)?.is_search_folder { Err(Refused(400, "ErrorInvalidOperation")) } else { Ok(()) }
    }

    pub(crate) fn message(&mut self, id: &str) -> Result<&mut StoredMessage, Refused> {
        self.messages.iter_mut().find(|message| message.id == id).ok_or(Refused(404, "ErrorItemNotFound"))
    }

    /// Whether a folder and all that it lies in can be seen, and is not in the bin.
    pub(crate) fn is_visible(&self, folder: &Folder) -> bool {
        let parent = folder.parent.as_deref().and_then(|parent| self.folder(parent).ok());
        let binned = folder.parent.as_deref() == Some(BIN);
        !folder.hidden && !binned && parent.is_none_or(|parent| self.is_visible(parent))
    }

    pub(crate) fn make_room(&self, bytes: usize) -> Result<(), Refused> {
        let used: usize = self.messages.iter().map(StoredMessage::size).sum();
        match self.quota {
            Some(quota) if used + bytes > quota => Err(Refused(507, "ErrorQuotaExceeded")),
            _ => Ok(()),
        }
    }

    /// Everything, with what its folder tells of it.
    pub(crate) fn listed(&self) -> Vec<StoredMessage> {
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

/// A property's id as Graph shows it: a tag without leading zeros, in lower case.
fn id_as_shown(id: &str) -> String {
    match id.split_once(" 0x") {
        Some((kind, tag)) => format!("{kind} 0x{}", tag.trim_start_matches('0').to_ascii_lowercase()),
        None => id.to_owned(),
    }
}

/// The users of a tenant, and the uploads that are under way.
#[derive(Debug, Default)]
pub(crate) struct Tenant {
    pub(crate) users: Vec<User>,
    /// The addresses of each group.
    pub(crate) groups: Vec<Vec<String>>,
    /// Whether the application may read groups.
    pub(crate) denies_groups: bool,
    /// Addresses in lower case that no message may have as recipient or sender.
    pub(crate) rejected_recipients: HashSet<String>,
    /// Addresses that the directory does not take in a filter.
    pub(crate) rejected_addresses: HashSet<String>,
    pub(crate) uploads: HashMap<String, Upload>,
    pub(crate) quirks: Quirks,
    /// Whether the application has `Mail-Advanced.ReadWrite.All`.
    pub(crate) may_import_mime: bool,
}

/// A file that is coming in pieces.
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

/// What a tenant does that no document promises, or that it may do and most do not.
#[derive(Debug, Clone, Copy, Default)]
pub struct Quirks {
    /// A create request with a message class is refused.
    pub refuses_message_class: bool,
    /// A create request from another sender than the mailbox is refused.
    pub refuses_foreign_from: bool,
    /// A create request with more recipients is refused.
    pub most_recipients: Option<usize>,
    /// PidTagMessageFlags counts for nothing: everything is a draft.
    pub makes_drafts: bool,
    /// PidTagMessageDeliveryTime counts for nothing.
    pub ignores_dates: bool,
    /// The answer to a piece of an upload has its members' names in capitals.
    pub capital_members: bool,
    /// The next page of a list is said to be on another host.
    pub links_elsewhere: bool,
    /// The address for an upload is on another host, without TLS.
    pub uploads_elsewhere: bool,
    /// Attachments lose the last letter of their names.
    pub clips_names: bool,
    /// A request to import MIME with a larger body, in bytes, is refused.
    pub largest_mime: Option<usize>,
    /// A megabyte of a file is 1,048,576 bytes, and not 1,000,000. A request has at most 4,000,000 bytes all the same.
    pub binary_megabytes: bool,
}

impl Quirks {
    /// So many megabytes, in bytes.
    pub(crate) fn megabytes(self, megabytes: usize) -> usize {
        megabytes * if self.binary_megabytes { 1024 * 1024 } else { 1_000_000 }
    }
}

impl Tenant {
    /// By id or user name.
    pub(crate) fn user(&mut self, name: &str) -> Result<&mut User, Refused> {
        let is = |user: &&mut User| user.id == name || user.name.eq_ignore_ascii_case(name);
        self.users.iter_mut().find(is).ok_or(Refused(404, "Request_ResourceNotFound"))
    }

    pub(crate) fn mailbox(&mut self, user: &str) -> Result<&mut Mailbox, Refused> {
        match &mut self.user(user)?.mailbox {
            Ok(mailbox) => Ok(mailbox),
            Err((status, code)) => Err(Refused(*status, code)),
        }
    }
}

/// An id as Exchange makes them: with characters that have to be percent-encoded in a path.
pub(crate) fn new_id() -> String {
    format!("AAMk/+{}", STANDARD.encode(Uuid::new_v4()))
}
