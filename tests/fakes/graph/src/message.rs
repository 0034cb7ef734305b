//! Validates the JSON of a new message.

use std::collections::{BTreeMap, HashSet};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use serde::Deserialize;

use crate::{
    mailbox::{Quirks, StoredAttachment, StoredMessage, new_id},
    reply::{CLASS_REJECTED, Rejection, TOO_MANY_RECIPIENTS},
};

/// Files of this size and more need an upload session.
pub(crate) const MAX_INLINE_MEGABYTES: usize = 3;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct NewMessage {
    #[serde(default)]
    subject: String,
    #[serde(default)]
    body: Body,
    from: Option<Recipient>,
    sender: Option<Recipient>,
    #[serde(default)]
    to_recipients: Vec<Recipient>,
    internet_message_id: Option<String>,
    #[serde(default)]
    is_read: bool,
    internet_message_headers: Option<Vec<Named>>,
    #[serde(default)]
    single_value_extended_properties: Vec<Property>,
    attachments: Option<Vec<NewAttachment>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Body {
    content_type: String,
    content: String,
}

impl Default for Body {
    fn default() -> Self {
        Self { content_type: "text".to_owned(), content: String::new() }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Recipient {
    email_address: EmailAddress,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EmailAddress {
    #[serde(default)]
    name: String,
    address: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    name: String,
    value: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Property {
    id: String,
    value: String,
}

/// A file in a request.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct NewAttachment {
    #[serde(rename = "@odata.type")]
    kind: String,
    name: String,
    content_type: Option<String>,
    content_bytes: String,
    #[serde(default)]
    is_inline: bool,
    content_id: Option<String>,
}

impl NewAttachment {
    pub(crate) fn parse(json: &[u8]) -> Result<Self, Rejection> {
        serde_json::from_slice(json).map_err(|_| Rejection(400, "RequestBodyRead"))
    }

    pub(crate) fn stored(self, quirks: Quirks) -> Result<StoredAttachment, Rejection> {
        if self.kind != "#microsoft.graph.fileAttachment" || self.name.is_empty() || self.is_inline {
            return Err(Rejection(400, "ErrorInvalidProperty"));
        }
        let bytes = STANDARD.decode(self.content_bytes).map_err(|_| Rejection(400, "RequestBodyRead"))?;
        if bytes.len() >= quirks.megabytes(MAX_INLINE_MEGABYTES) {
            return Err(Rejection(413, "ErrorMessageSizeExceeded"));
        }
        let mut stored = StoredAttachment::new(truncated_name(self.name, quirks), self.content_type, bytes);
        stored.content_id = self.content_id;
        Ok(stored)
    }
}

/// Truncates a name, see [`Quirks::truncates_names`].
pub(crate) fn truncated_name(mut name: String, quirks: Quirks) -> String {
    if quirks.truncates_names {
        name.pop();
    }
    name
}

/// Creates a message from a create request. The unsent bit of PidTagMessageFlags, which is set where the property is missing,
/// makes it a draft permanently.
pub(crate) fn create(
    json: &[u8],
    owner: &[String],
    folder: &str,
    (quirks, rejected): (Quirks, &HashSet<String>),
) -> Result<StoredMessage, Rejection> {
    let new: NewMessage = serde_json::from_slice(json).map_err(|_| Rejection(400, "RequestBodyRead"))?;
    if !matches!(new.body.content_type.as_str(), "html" | "text") || new.subject.chars().count() > 255 {
        return Err(Rejection(400, "ErrorInvalidProperty"));
    }
    let headers = headers(new.internet_message_headers)?;
    let properties = properties(new.single_value_extended_properties)?;
    if quirks.refuses_message_class && properties.contains_key("String 0x001A") {
        return Err(Rejection(400, CLASS_REJECTED));
    }
    let from = new.from.map(party).transpose()?;
    let to: Vec<_> = new.to_recipients.into_iter().map(party).collect::<Result<_, _>>()?;
    if to.iter().chain(&from).any(|(_, address)| rejected.contains(&address.to_ascii_lowercase())) {
        return Err(Rejection(400, "ErrorInvalidRecipients"));
    }
    let is_foreign = |(_, address): &(String, String)| !owner.iter().any(|own| own.eq_ignore_ascii_case(address));
    if quirks.refuses_foreign_from && from.as_ref().is_some_and(is_foreign) {
        return Err(Rejection(400, "ErrorSendAsDenied"));
    }
    if quirks.max_recipients.is_some_and(|max| to.len() > max) {
        return Err(Rejection(400, TOO_MANY_RECIPIENTS));
    }
    let flags = properties.get("Integer 0x0E07").map_or(8, |flags| flags.parse().unwrap_or(8_u32));
    let delivered = properties.get("SystemTime 0x0E06").and_then(|time| time.parse().ok());
    let attachments = match new.attachments {
        Some(files) if files.is_empty() => return Err(Rejection(400, "ErrorInvalidProperty")),
        files => files.into_iter().flatten().map(|file| file.stored(quirks)).collect::<Result<_, _>>()?,
    };
    let id = new_id();
    Ok(StoredMessage {
        first_id: id.clone(),
        id,
        folder: String::new(),
        visible: false,
        folder_id: folder.into(),
        subject: new.subject,
        body_type: new.body.content_type,
        body: new.body.content,
        is_draft: flags & 8 != 0 || quirks.makes_drafts,
        is_read: new.is_read && flags & 1 != 0,
        received: delivered.filter(|_| !quirks.ignores_dates).unwrap_or_else(Timestamp::now),
        internet_message_id: message_id(new.internet_message_id, quirks)?,
        from,
        sender: new.sender.map(party).transpose()?,
        to,
        headers,
        properties,
        attachments,
        mime: None,
    })
}

pub(crate) fn message_id(id: Option<String>, quirks: Quirks) -> Result<String, Rejection> {
    let id = id
        .filter(|_| !quirks.changes_message_ids)
        .unwrap_or_else(|| format!("<{}@fake.example>", uuid::Uuid::new_v4()));
    let inner = id.strip_prefix('<').and_then(|id| id.strip_suffix('>'));
    match inner {
        Some(inner) if inner.contains('@') && !inner.contains(['<', '>', ' ']) => Ok(id),
        _ => Err(Rejection(400, "ErrorInvalidProperty")),
    }
}

/// Checks header fields: at most five, never an empty list, names starting with `x-`, values of at most 995 characters.
fn headers(headers: Option<Vec<Named>>) -> Result<Vec<(String, String)>, Rejection> {
    let Some(headers) = headers else { return Ok(Vec::new()) };
    let is_valid = |header: &Named| {
        header.name.starts_with("x-")
            && header.name.len() > 2
            && header.name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':')
            && !header.value.is_empty()
            && header.value.chars().count() <= 995
            && !header.value.contains(['\r', '\n'])
    };
    if headers.is_empty() || headers.len() > 5 || !headers.iter().all(is_valid) {
        return Err(Rejection(400, "InvalidInternetMessageHeader"));
    }
    Ok(headers.into_iter().map(|header| (header.name, header.value)).collect())
}

fn properties(properties: Vec<Property>) -> Result<BTreeMap<String, String>, Rejection> {
    let mut kept = BTreeMap::new();
    for Property { id, value } in properties {
        let is_valid = match id.split_once(' ') {
            Some(("Integer", tag)) => is_tag(tag) && value.parse::<i32>().is_ok(),
            Some(("SystemTime", tag)) => is_tag(tag) && value.parse::<Timestamp>().is_ok(),
            Some(("String", tag)) => is_tag(tag) || is_name(tag),
            Some(("Binary", tag)) => is_tag(tag) && STANDARD.decode(&value).is_ok(),
            _ => false,
        };
        if !is_valid || kept.insert(id, value).is_some() {
            return Err(Rejection(400, "ErrorInvalidProperty"));
        }
    }
    Ok(kept)
}

/// Returns `true` if a text is a tag, such as `0x0E07`.
fn is_tag(tag: &str) -> bool {
    tag.strip_prefix("0x").is_some_and(|hex| hex.len() == 4 && u16::from_str_radix(hex, 16).is_ok())
}

/// Returns `true` if a text is a named property: `{guid} Name Something`.
fn is_name(name: &str) -> bool {
    let Some((guid, name)) = name.split_once(" Name ") else { return false };
    let guid = guid.strip_prefix('{').and_then(|guid| guid.strip_suffix('}'));
    guid.is_some_and(|guid| guid.parse::<uuid::Uuid>().is_ok()) && !name.is_empty()
}

/// Reads a sender or recipient. Only the syntax of the address is checked.
fn party(recipient: Recipient) -> Result<(String, String), Rejection> {
    let EmailAddress { name, address } = recipient.email_address;
    let is_valid = address.split_once('@').is_some_and(|(local, domain)| {
        !local.is_empty()
            && !domain.is_empty()
            && !domain.starts_with('.')
            && address.bytes().all(|byte| byte.is_ascii_graphic() && !b"<>()[],;:\\\"".contains(&byte))
            && !domain.contains('@')
    });
    if is_valid { Ok((name, address)) } else { Err(Rejection(400, "ErrorInvalidRecipients")) }
}
