//! Graph itself: each kind of request, done on the tenant.

use axum::http::{HeaderMap, header};
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use crate::{
    answer::{Answer, Outcome, Refused},
    mailbox::{Folder, StoredAttachment, Tenant, Upload, new_id},
    message::{LARGEST_INLINE, NewAttachment, clipped, create},
    mime::imported,
    query::{Query, literals},
    route::{Kind, Route},
};

/// The largest request, in bytes.
const LARGEST_REQUEST: usize = 4_000_000;

/// The largest piece of an upload, in bytes.
const LARGEST_PIECE: usize = 4_000_000;

/// The largest file, in bytes.
const LARGEST_FILE: usize = 150 * 1024 * 1024;

/// A request, read whole.
pub(crate) struct Asked<'a> {
    pub(crate) route: &'a Route,
    pub(crate) path: &'a str,
    pub(crate) query: Option<&'a str>,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) body: &'a [u8],
    /// The fake's own address.
    pub(crate) url: &'a str,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct NewFolder {
    display_name: String,
    #[serde(default)]
    is_hidden: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Destination {
    destination_id: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewSession {
    #[serde(rename = "AttachmentItem")]
    item: SessionItem,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct SessionItem {
    attachment_type: String,
    name: String,
    size: usize,
    content_type: Option<String>,
    content_id: Option<String>,
}

impl Asked<'_> {
    fn header(&self, name: impl header::AsHeaderName) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    fn json<T: for<'de> Deserialize<'de>>(&self) -> Result<T, Refused> {
        serde_json::from_slice(self.body).map_err(|_| Refused(400, "RequestBodyRead"))
    }

    fn keeps_ids(&self) -> bool {
        self.header("prefer").is_some_and(|prefer| prefer.contains(r#"IdType="ImmutableId""#))
    }

    fn folder(&self) -> &str {
        self.route.folder.as_deref().unwrap_or_default()
    }

    fn message(&self) -> &str {
        self.route.message.as_deref().unwrap_or_default()
    }
}

impl Tenant {
    pub(crate) fn answer(&mut self, asked: &Asked<'_>) -> Outcome {
        if asked.route.kind == Kind::Upload {
            return self.take_piece(asked);
        }
        if asked.body.len() > LARGEST_REQUEST {
            return Err(Refused(413, "RequestEntityTooLarge"));
        }
        if asked.route.kind == Kind::MimeImport {
            return self.import_mime(asked);
        }
        if !asked.body.is_empty() && asked.header(header::CONTENT_TYPE) != Some("application/json") {
            return Err(Refused(415, "UnsupportedMediaType"));
        }
        let query = Query::parse(asked.query)?;
        match asked.route.kind {
            Kind::UserByName if !is_user_name(&asked.route.owner) => Err(Refused(400, "BadRequest")),
            Kind::UserByName => Ok(Answer::json(200, &query.select(self.user(&asked.route.owner)?.json()))),
            Kind::UserSearch => self.search_users(asked, &query),
            Kind::GroupSearch => self.search_groups(asked, &query),
            Kind::FolderSearch => self.search_folders(asked, &query),
            Kind::FolderCreate => self.create_folder(asked),
            Kind::MessageSearch => self.search_messages(asked, &query),
            Kind::MessageGet => {
                let message = self.mailbox(&asked.route.owner)?.message(asked.message())?;
                Ok(Answer::json(200, &query.select(message.shown(&query)?)))
            }
            Kind::MessageCreate => self.create_message(asked),
            Kind::MessageDelete => self.delete_message(asked),
            Kind::MessageMove => self.move_message(asked),
            Kind::AttachmentList => self.list_attachments(asked, &query),
            Kind::AttachmentCreate => self.create_attachment(asked),
            Kind::SessionCreate => self.create_session(asked),
            Kind::Token | Kind::Upload | Kind::MimeImport | Kind::Unknown => Err(Refused(400, "BadRequest")),
        }
    }

    /// Where a list says that it goes on.
    fn host<'a>(&self, asked: &'a Asked<'_>) -> &'a str {
        if self.quirks.links_elsewhere { "https://elsewhere.example" } else { asked.url }
    }

    fn search_users(&mut self, asked: &Asked<'_>, query: &Query) -> Outcome {
        let wanted = literals("mail eq {} or proxyAddresses/any(p:p eq {})", query.filter().unwrap_or_default())
            .ok_or(Refused(400, "Request_UnsupportedQuery"))?;
        let [mail, proxy] = wanted.as_slice() else { return Err(Refused(400, "Request_UnsupportedQuery")) };
        if self.rejected_addresses.contains(mail) {
            return Err(Refused(400, "Request_BadRequest"));
        }
        let found = self.users.iter().filter(|user| {
            user.mail.as_ref().is_some_and(|own| own.eq_ignore_ascii_case(mail))
                || user.proxies.iter().any(|own| own.eq_ignore_ascii_case(proxy))
        });
        query.page(found.map(|user| user.json()).collect(), self.host(asked), asked.path)
    }

    fn search_groups(&mut self, asked: &Asked<'_>, query: &Query) -> Outcome {
        if self.denies_groups {
            return Err(Refused(403, "Authorization_RequestDenied"));
        }
        let wanted = literals("mail eq {} or proxyAddresses/any(p:p eq {})", query.filter().unwrap_or_default())
            .ok_or(Refused(400, "Request_UnsupportedQuery"))?;
        let [mail, _] = wanted.as_slice() else { return Err(Refused(400, "Request_UnsupportedQuery")) };
        let has = |group: &&Vec<String>| group.iter().any(|own| own.eq_ignore_ascii_case(mail));
        let group = |group: &Vec<String>| {
            let proxies: Vec<_> = group.iter().map(|address| format!("smtp:{address}")).collect();
            json!({"id": Uuid::new_v4().to_string(), "mail": group.first(), "proxyAddresses": proxies})
        };
        query.page(self.groups.iter().filter(has).map(group).collect(), self.host(asked), asked.path)
    }

    fn search_folders(&mut self, asked: &Asked<'_>, query: &Query) -> Outcome {
        let wanted = literals("displayName eq {}", query.filter().unwrap_or_default())
            .ok_or(Refused(400, "ErrorInvalidUrlQueryFilter"))?;
        let mailbox = self.mailbox(&asked.route.owner)?;
        if let Some(parent) = &asked.route.folder {
            mailbox.folder(parent)?;
        }
        let found = mailbox.folders.iter().filter(|folder| {
            folder.parent == asked.route.folder
                && (query.includes_hidden() || !folder.hidden)
                && wanted.iter().any(|name| same_name(name, &folder.name))
        });
        let shown = |folder: &Folder| {
            let mut shown = json!({"id": folder.id, "displayName": folder.name});
            if folder.is_search_folder {
                shown["@odata.type"] = "#microsoft.graph.mailSearchFolder".into();
            }
            shown
        };
        let found = found.map(shown).collect();
        query.page(found, self.host(asked), asked.path)
    }

    fn create_folder(&mut self, asked: &Asked<'_>) -> Outcome {
        let new: NewFolder = asked.json()?;
        let mailbox = self.mailbox(&asked.route.owner)?;
        if let Some(parent) = &asked.route.folder {
            mailbox.folder(parent)?;
        }
        if new.display_name.trim().is_empty() {
            return Err(Refused(400, "ErrorInvalidProperty"));
        }
        let taken = |folder: &Folder| folder.parent == asked.route.folder && same_name(&folder.name, &new.display_name);
        if mailbox.folders.iter().any(taken) {
            return Err(Refused(409, "ErrorFolderExists"));
        }
        let folder = Folder {
            id: new_id(),
            name: new.display_name,
            parent: asked.route.folder.clone(),
            hidden: new.is_hidden,
            is_search_folder: false,
        };
        let body = json!({"id": folder.id, "displayName": folder.name, "isHidden": folder.hidden});
        mailbox.folders.push(folder);
        Ok(Answer::json(201, &body))
    }

    fn search_messages(&mut self, asked: &Asked<'_>, query: &Query) -> Outcome {
        let filter = query.filter().unwrap_or_default();
        let property = "singleValueExtendedProperties/Any(ep: ep/id eq {} and ep/value eq {})";
        let by_id = literals("internetMessageId eq {}", filter);
        let by_property = literals(property, filter);
        if by_id.is_none() && by_property.is_none() {
            return Err(Refused(400, "ErrorInvalidUrlQueryFilter"));
        }
        let mailbox = self.mailbox(&asked.route.owner)?;
        mailbox.folder(asked.folder())?;
        let found = mailbox.messages.iter().filter(|message| {
            message.folder_id == asked.folder()
                && by_id.iter().flatten().all(|id| same_name(id, &message.internet_message_id))
                && by_property.as_deref().is_none_or(|property| match property {
                    [id, value] => message.properties.get(id).is_some_and(|own| same_name(own, value)),
                    _ => false,
                })
        });
        let found = found.map(|message| message.shown(query)).collect::<Result<_, _>>()?;
        query.page(found, self.host(asked), asked.path)
    }

    fn create_message(&mut self, asked: &Asked<'_>) -> Outcome {
        let (quirks, rejected) = (self.quirks, self.rejected_recipients.clone());
        let user = self.user(&asked.route.owner)?;
        let proxies = user.proxies.iter().filter_map(|proxy| Some(proxy.split_once(':')?.1.to_owned()));
        let own: Vec<_> = proxies.chain(user.mail.clone()).chain([user.name.clone()]).collect();
        let mailbox = self.mailbox(&asked.route.owner)?;
        mailbox.fileable(asked.folder())?;
        let message = create(asked.body, &own, asked.folder(), (quirks, &rejected))?;
        mailbox.make_room(asked.body.len())?;
        let body = message.json();
        mailbox.messages.push(message);
        Ok(Answer::json(201, &body))
    }

    fn import_mime(&mut self, asked: &Asked<'_>) -> Outcome {
        let quirks = self.quirks;
        if !self.may_import_mime {
            return Err(Refused(403, "ErrorAccessDenied"));
        }
        if asked.header(header::CONTENT_TYPE) != Some("text/plain") {
            return Err(Refused(415, "UnsupportedMediaType"));
        }
        if quirks.largest_mime.is_some_and(|largest| asked.body.len() > largest) {
            return Err(Refused(413, "RequestEntityTooLarge"));
        }
        let mailbox = self.mailbox(&asked.route.owner)?;
        mailbox.fileable(asked.folder())?;
        let message = imported(asked.body, asked.folder(), quirks)?;
        mailbox.make_room(asked.body.len())?;
        let body = message.json();
        mailbox.messages.push(message);
        Ok(Answer::json(201, &body))
    }

    fn delete_message(&mut self, asked: &Asked<'_>) -> Outcome {
        let mailbox = self.mailbox(&asked.route.owner)?;
        let before = mailbox.messages.len();
        mailbox.messages.retain(|message| message.id != asked.message() || message.folder_id != asked.folder());
        if mailbox.messages.len() == before { Err(Refused(404, "ErrorItemNotFound")) } else { Ok(Answer::empty(204)) }
    }

    fn move_message(&mut self, asked: &Asked<'_>) -> Outcome {
        let destination: Destination = asked.json()?;
        let mailbox = self.mailbox(&asked.route.owner)?;
        mailbox.fileable(&destination.destination_id)?;
        let message = mailbox.message(asked.message())?;
        message.folder_id = destination.destination_id;
        if !asked.keeps_ids() {
            message.id = new_id();
        }
        Ok(Answer::json(201, &message.json()))
    }

    fn list_attachments(&mut self, asked: &Asked<'_>, query: &Query) -> Outcome {
        let message = self.mailbox(&asked.route.owner)?.message(asked.message())?;
        let files = message.attachments.iter().map(StoredAttachment::json).collect();
        query.page(files, self.host(asked), asked.path)
    }

    fn create_attachment(&mut self, asked: &Asked<'_>) -> Outcome {
        let quirks = self.quirks;
        let mailbox = self.mailbox(&asked.route.owner)?;
        mailbox.make_room(asked.body.len())?;
        let message = mailbox.message(asked.message())?;
        let file = NewAttachment::parse(asked.body)?.stored(quirks)?;
        let body = file.json();
        message.attachments.push(file);
        Ok(Answer::json(201, &body))
    }

    fn create_session(&mut self, asked: &Asked<'_>) -> Outcome {
        let NewSession { item } = asked.json()?;
        self.mailbox(&asked.route.owner)?.message(asked.message())?;
        if item.attachment_type != "file" || item.name.is_empty() {
            return Err(Refused(400, "ErrorInvalidProperty"));
        }
        if item.size < self.quirks.megabytes(LARGEST_INLINE) {
            return Err(Refused(400, "ErrorAttachmentSizeShouldNotBeLessThanMinimumSize"));
        }
        if item.size > LARGEST_FILE {
            return Err(Refused(400, "ErrorAttachmentSizeLimitExceeded"));
        }
        let session = Uuid::new_v4().to_string();
        let host = if self.quirks.uploads_elsewhere { "http://elsewhere.example" } else { asked.url };
        let body = json!({
            "uploadUrl": format!("{host}/upload/{session}?authtoken={}", Uuid::new_v4()),
            "expirationDateTime": "2126-01-01T00:00:00Z",
            "nextExpectedRanges": ["0-"],
        });
        let upload = Upload {
            user: asked.route.owner.clone(),
            message: asked.message().into(),
            name: clipped(item.name, self.quirks),
            content_type: item.content_type,
            content_id: item.content_id,
            size: item.size,
            received: Vec::new(),
        };
        self.uploads.insert(session, upload);
        Ok(Answer::json(201, &body))
    }

    fn take_piece(&mut self, asked: &Asked<'_>) -> Outcome {
        if asked.headers.contains_key(header::AUTHORIZATION) {
            return Err(Refused(400, "AuthorizationNotAllowed"));
        }
        let upload = self.uploads.get_mut(&asked.route.owner).ok_or(Refused(404, "ErrorItemNotFound"))?;
        let range = asked.header(header::CONTENT_RANGE).and_then(range).ok_or(Refused(400, "InvalidContentRange"))?;
        let (first, last, size) = range;
        let length = asked.body.len();
        if length == 0 || length > LARGEST_PIECE || last < first || last - first + 1 != length || size != upload.size {
            return Err(Refused(400, "InvalidContentRange"));
        }
        if first != upload.received.len() || last >= size {
            return Err(Refused(416, "InvalidContentRange"));
        }
        upload.received.extend_from_slice(asked.body);
        let received = upload.received.len();
        if received < upload.size {
            let next = [format!("{received}-")];
            let until = "2126-01-01T00:00:00Z";
            let body = if self.quirks.capital_members {
                json!({"ExpirationDateTime": until, "NextExpectedRanges": next})
            } else {
                json!({"expirationDateTime": until, "nextExpectedRanges": next})
            };
            return Ok(Answer::json(200, &body));
        }
        let upload = self.uploads.remove(&asked.route.owner).ok_or(Refused(404, "ErrorItemNotFound"))?;
        let mailbox = self.mailbox(&upload.user)?;
        mailbox.make_room(upload.size)?;
        let mut file = StoredAttachment::new(upload.name, upload.content_type, upload.received);
        file.content_id = upload.content_id;
        let location = format!("{}/v1.0/attachments/{}", asked.url, file.id);
        mailbox.message(&upload.message)?.attachments.push(file);
        Ok(Answer::empty(201).with("location", &location))
    }
}

/// Entra's user names have few characters; what begins with a `$` can be asked for in parentheses and quotes only.
fn is_user_name(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"'.-_!#^~@".contains(&byte))
}

/// `bytes first-last/size`.
fn range(value: &str) -> Option<(usize, usize, usize)> {
    let (range, size) = value.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    Some((first.parse().ok()?, last.parse().ok()?, size.parse().ok()?))
}

/// Exchange compares strings in filters, and the names of folders, without regard to case.
fn same_name(one: &str, other: &str) -> bool {
    one.to_lowercase() == other.to_lowercase()
}
