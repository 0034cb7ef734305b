//! Graph: carries out each kind of request on the tenant.

use axum::http::{HeaderMap, header};
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use crate::{
    mailbox::{Folder, StoredAttachment, Tenant, Upload, new_id, truncate_properties},
    message::{MAX_INLINE_MEGABYTES, NewAttachment, create, truncated_name},
    mime::parse_mime,
    query::{Query, literals},
    reply::{Outcome, Rejection, Reply},
    route::{Kind, Route},
};

const MAX_REQUEST_BYTES: usize = 4_000_000;

const MAX_PIECE_BYTES: usize = 4_000_000;

const MAX_FILE_BYTES: usize = 150 * 1024 * 1024;

/// A request that was read completely.
pub(crate) struct GraphRequest<'a> {
    pub(crate) route: &'a Route,
    pub(crate) path: &'a str,
    pub(crate) query: Option<&'a str>,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) body: &'a [u8],
    /// The URL of the fake.
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

impl GraphRequest<'_> {
    fn header(&self, name: impl header::AsHeaderName) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    fn json<T: for<'de> Deserialize<'de>>(&self) -> Result<T, Rejection> {
        serde_json::from_slice(self.body).map_err(|_| Rejection(400, "RequestBodyRead"))
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
    pub(crate) fn respond(&mut self, request: &GraphRequest<'_>) -> Outcome {
        if request.route.kind == Kind::Upload {
            return self.receive_piece(request);
        }
        if request.body.len() > MAX_REQUEST_BYTES {
            return Err(Rejection(413, "RequestEntityTooLarge"));
        }
        if request.route.kind == Kind::MimeImport {
            return self.import_mime(request);
        }
        if !request.body.is_empty() && request.header(header::CONTENT_TYPE) != Some("application/json") {
            return Err(Rejection(415, "UnsupportedMediaType"));
        }
        let query = Query::parse(request.query)?;
        match request.route.kind {
            Kind::UserByName if !is_user_name(&request.route.owner) => Err(Rejection(400, "BadRequest")),
            Kind::UserByName => Ok(Reply::json(200, &query.select(self.user(&request.route.owner)?.json()))),
            Kind::UserSearch => self.search_users(request, &query),
            Kind::GroupSearch => self.search_groups(request, &query),
            Kind::FolderSearch => self.search_folders(request, &query),
            Kind::FolderCreate => self.create_folder(request),
            Kind::MessageSearch => self.search_messages(request, &query),
            Kind::MessageGet => {
                let message = self.mailbox(&request.route.owner)?.message(request.message())?;
                Ok(Reply::json(200, &query.select(message.selected_json(&query)?)))
            }
            Kind::MessageCreate => self.create_message(request),
            Kind::MessageDelete => self.delete_message(request),
            Kind::MessageMove => self.move_message(request),
            Kind::AttachmentList => self.list_attachments(request, &query),
            Kind::AttachmentCreate => self.create_attachment(request),
            Kind::SessionCreate => self.create_session(request),
            Kind::Token | Kind::Upload | Kind::MimeImport | Kind::Unknown => Err(Rejection(400, "BadRequest")),
        }
    }

    /// Returns the host in the link to the next page of a list.
    fn host<'a>(&self, request: &'a GraphRequest<'_>) -> &'a str {
        if self.quirks.links_to_other_host { "https://elsewhere.example" } else { request.url }
    }

    fn search_users(&mut self, request: &GraphRequest<'_>, query: &Query) -> Outcome {
        let wanted = literals("mail eq {} or proxyAddresses/any(p:p eq {})", query.filter().unwrap_or_default())
            .ok_or(Rejection(400, "Request_UnsupportedQuery"))?;
        let [mail, proxy] = wanted.as_slice() else { return Err(Rejection(400, "Request_UnsupportedQuery")) };
        if self.rejected_addresses.contains(mail) {
            return Err(Rejection(400, "Request_BadRequest"));
        }
        let found = self.users.iter().filter(|user| {
            user.mail.as_ref().is_some_and(|address| address.eq_ignore_ascii_case(mail))
                || user.proxies.iter().any(|address| address.eq_ignore_ascii_case(proxy))
        });
        query.page(found.map(|user| user.json()).collect(), self.host(request), request.path)
    }

    fn search_groups(&mut self, request: &GraphRequest<'_>, query: &Query) -> Outcome {
        if self.denies_groups {
            return Err(Rejection(403, "Authorization_RequestDenied"));
        }
        let wanted = literals("mail eq {} or proxyAddresses/any(p:p eq {})", query.filter().unwrap_or_default())
            .ok_or(Rejection(400, "Request_UnsupportedQuery"))?;
        let [mail, _] = wanted.as_slice() else { return Err(Rejection(400, "Request_UnsupportedQuery")) };
        let has = |group: &&Vec<String>| group.iter().any(|address| address.eq_ignore_ascii_case(mail));
        let group = |group: &Vec<String>| {
            let proxies: Vec<_> = group.iter().map(|address| format!("smtp:{address}")).collect();
            json!({"id": Uuid::new_v4().to_string(), "mail": group.first(), "proxyAddresses": proxies})
        };
        query.page(self.groups.iter().filter(has).map(group).collect(), self.host(request), request.path)
    }

    fn search_folders(&mut self, request: &GraphRequest<'_>, query: &Query) -> Outcome {
        let wanted = literals("displayName eq {}", query.filter().unwrap_or_default())
            .ok_or(Rejection(400, "ErrorInvalidUrlQueryFilter"))?;
        let mailbox = self.mailbox(&request.route.owner)?;
        if let Some(parent) = &request.route.folder {
            mailbox.folder(parent)?;
        }
        let found = mailbox.folders.iter().filter(|folder| {
            folder.parent == request.route.folder
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
        query.page(found, self.host(request), request.path)
    }

    fn create_folder(&mut self, request: &GraphRequest<'_>) -> Outcome {
        let new: NewFolder = request.json()?;
        let mailbox = self.mailbox(&request.route.owner)?;
        if let Some(parent) = &request.route.folder {
            mailbox.folder(parent)?;
        }
        if new.display_name.trim().is_empty() {
            return Err(Rejection(400, "ErrorInvalidProperty"));
        }
        let has_name =
            |folder: &Folder| folder.parent == request.route.folder && same_name(&folder.name, &new.display_name);
        if mailbox.folders.iter().any(has_name) {
            return Err(Rejection(409, "ErrorFolderExists"));
        }
        let folder = Folder {
            id: new_id(),
            name: new.display_name,
            parent: request.route.folder.clone(),
            hidden: new.is_hidden,
            is_search_folder: false,
        };
        let body = json!({"id": folder.id, "displayName": folder.name, "isHidden": folder.hidden});
        mailbox.folders.push(folder);
        Ok(Reply::json(201, &body))
    }

    fn search_messages(&mut self, request: &GraphRequest<'_>, query: &Query) -> Outcome {
        let filter = query.filter().unwrap_or_default();
        let property = "singleValueExtendedProperties/Any(ep: ep/id eq {} and ep/value eq {})";
        let by_id = literals("internetMessageId eq {}", filter);
        let by_property = literals(property, filter);
        if by_id.is_none() && by_property.is_none() {
            return Err(Rejection(400, "ErrorInvalidUrlQueryFilter"));
        }
        let truncates = self.quirks.truncates_listed_properties;
        let mailbox = self.mailbox(&request.route.owner)?;
        mailbox.folder(request.folder())?;
        let found = mailbox.messages.iter().filter(|message| {
            message.folder_id == request.folder()
                && by_id.iter().flatten().all(|id| same_name(id, &message.internet_message_id))
                && by_property.as_deref().is_none_or(|property| match property {
                    [id, value] => message.properties.get(id).is_some_and(|stored| same_name(stored, value)),
                    _ => false,
                })
        });
        let mut found = found.map(|message| message.selected_json(query)).collect::<Result<Vec<_>, _>>()?;
        if truncates {
            found.iter_mut().for_each(truncate_properties);
        }
        query.page(found, self.host(request), request.path)
    }

    fn create_message(&mut self, request: &GraphRequest<'_>) -> Outcome {
        let (quirks, rejected) = (self.quirks, self.rejected_recipients.clone());
        let user = self.user(&request.route.owner)?;
        let proxies = user.proxies.iter().filter_map(|proxy| Some(proxy.split_once(':')?.1.to_owned()));
        let addresses: Vec<_> = proxies.chain(user.mail.clone()).chain([user.name.clone()]).collect();
        let mailbox = self.mailbox(&request.route.owner)?;
        mailbox.check_accepts_messages(request.folder())?;
        let message = create(request.body, &addresses, request.folder(), (quirks, &rejected))?;
        mailbox.reserve(request.body.len())?;
        let body = message.json();
        mailbox.messages.push(message);
        Ok(Reply::json(201, &body))
    }

    fn import_mime(&mut self, request: &GraphRequest<'_>) -> Outcome {
        let quirks = self.quirks;
        if !self.may_import_mime {
            return Err(Rejection(403, "ErrorAccessDenied"));
        }
        if request.header(header::CONTENT_TYPE) != Some("text/plain") {
            return Err(Rejection(415, "UnsupportedMediaType"));
        }
        if quirks.max_mime_bytes.is_some_and(|largest| request.body.len() > largest) {
            return Err(Rejection(413, "RequestEntityTooLarge"));
        }
        let mailbox = self.mailbox(&request.route.owner)?;
        mailbox.check_accepts_messages(request.folder())?;
        let message = parse_mime(request.body, request.folder(), quirks)?;
        mailbox.reserve(request.body.len())?;
        let body = message.json();
        mailbox.messages.push(message);
        Ok(Reply::json(201, &body))
    }

    fn delete_message(&mut self, request: &GraphRequest<'_>) -> Outcome {
        let mailbox = self.mailbox(&request.route.owner)?;
        let before = mailbox.messages.len();
        mailbox.messages.retain(|message| message.id != request.message() || message.folder_id != request.folder());
        if mailbox.messages.len() == before { Err(Rejection(404, "ErrorItemNotFound")) } else { Ok(Reply::empty(204)) }
    }

    fn move_message(&mut self, request: &GraphRequest<'_>) -> Outcome {
        let destination: Destination = request.json()?;
        let mailbox = self.mailbox(&request.route.owner)?;
        mailbox.check_accepts_messages(&destination.destination_id)?;
        let message = mailbox.message(request.message())?;
        message.folder_id = destination.destination_id;
        if !request.keeps_ids() {
            message.id = new_id();
        }
        Ok(Reply::json(201, &message.json()))
    }

    fn list_attachments(&mut self, request: &GraphRequest<'_>, query: &Query) -> Outcome {
        let message = self.mailbox(&request.route.owner)?.message(request.message())?;
        let files = message.attachments.iter().map(StoredAttachment::json).collect();
        query.page(files, self.host(request), request.path)
    }

    fn create_attachment(&mut self, request: &GraphRequest<'_>) -> Outcome {
        let quirks = self.quirks;
        let mailbox = self.mailbox(&request.route.owner)?;
        mailbox.reserve(request.body.len())?;
        let message = mailbox.message(request.message())?;
        let file = NewAttachment::parse(request.body)?.stored(quirks)?;
        let body = file.json();
        message.attachments.push(file);
        Ok(Reply::json(201, &body))
    }

    fn create_session(&mut self, request: &GraphRequest<'_>) -> Outcome {
        let NewSession { item } = request.json()?;
        self.mailbox(&request.route.owner)?.message(request.message())?;
        if item.attachment_type != "file" || item.name.is_empty() {
            return Err(Rejection(400, "ErrorInvalidProperty"));
        }
        if item.size < self.quirks.megabytes(MAX_INLINE_MEGABYTES) {
            return Err(Rejection(400, "ErrorAttachmentSizeShouldNotBeLessThanMinimumSize"));
        }
        if item.size > MAX_FILE_BYTES {
            return Err(Rejection(400, "ErrorAttachmentSizeLimitExceeded"));
        }
        let session = Uuid::new_v4().to_string();
        let host = if self.quirks.uploads_to_other_host { "http://elsewhere.example" } else { request.url };
        let body = json!({
            "uploadUrl": format!("{host}/upload/{session}?authtoken={}", Uuid::new_v4()),
            "expirationDateTime": "2126-01-01T00:00:00Z",
            "nextExpectedRanges": ["0-"],
        });
        let upload = Upload {
            user: request.route.owner.clone(),
            message: request.message().into(),
            name: truncated_name(item.name, self.quirks),
            content_type: item.content_type,
            content_id: item.content_id,
            size: item.size,
            received: Vec::new(),
        };
        self.uploads.insert(session, upload);
        Ok(Reply::json(201, &body))
    }

    fn receive_piece(&mut self, request: &GraphRequest<'_>) -> Outcome {
        if request.headers.contains_key(header::AUTHORIZATION) {
            return Err(Rejection(400, "AuthorizationNotAllowed"));
        }
        let upload = self.uploads.get_mut(&request.route.owner).ok_or(Rejection(404, "ErrorItemNotFound"))?;
        let range =
            request.header(header::CONTENT_RANGE).and_then(range).ok_or(Rejection(400, "InvalidContentRange"))?;
        let (first, last, size) = range;
        let length = request.body.len();
        if length == 0 || length > MAX_PIECE_BYTES || last < first || last - first + 1 != length || size != upload.size
        {
            return Err(Rejection(400, "InvalidContentRange"));
        }
        if first != upload.received.len() || last >= size {
            return Err(Rejection(416, "InvalidContentRange"));
        }
        upload.received.extend_from_slice(request.body);
        let received = upload.received.len();
        if received < upload.size {
            let next = [format!("{received}-")];
            let until = "2126-01-01T00:00:00Z";
            let body = if self.quirks.capitalizes_members {
                json!({"ExpirationDateTime": until, "NextExpectedRanges": next})
            } else {
                json!({"expirationDateTime": until, "nextExpectedRanges": next})
            };
            return Ok(Reply::json(200, &body));
        }
        let upload = self.uploads.remove(&request.route.owner).ok_or(Rejection(404, "ErrorItemNotFound"))?;
        let mailbox = self.mailbox(&upload.user)?;
        mailbox.reserve(upload.size)?;
        let mut file = StoredAttachment::new(upload.name, upload.content_type, upload.received);
        file.content_id = upload.content_id;
        let location = format!("{}/v1.0/attachments/{}", request.url, file.id);
        mailbox.message(&upload.message)?.attachments.push(file);
        Ok(Reply::empty(201).with("location", &location))
    }
}

/// Returns `true` if a name is a user name. User names in Entra have a restricted set of characters. A name that begins
/// with `$` is valid in parentheses and quotes only.
fn is_user_name(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"'.-_!#^~@".contains(&byte))
}

/// Parses a range of the form `bytes first-last/size`.
fn range(value: &str) -> Option<(usize, usize, usize)> {
    let (range, size) = value.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    Some((first.parse().ok()?, last.parse().ok()?, size.parse().ok()?))
}

/// Compares names as Exchange does. Exchange compares strings in filters, and the names of folders, case-insensitively.
fn same_name(one: &str, other: &str) -> bool {
    one.to_lowercase() == other.to_lowercase()
}
