//! Reads a mail as an item.

use std::collections::HashSet;

use jiff::Timestamp;
use mail_parser::{Message, MessagePart, PartType};
use model::{Deletion, Item, ItemId, Kind, MailFact, MailField, Sha256};
use serde_json::Value;

use crate::{
    MailError, Profile, attachments, bounds, chat, container, date, html, journal, kind,
    parse::{field, parse, parse_body, value},
    people::{self, People},
};

/// Maximum size of a mail: files of 150 MB, in base64.
pub const MAX_MAIL_BYTES: u64 = 224 << 20;

/// Limits of the header fields that the item keeps, and of the characters of each. The evidence has all of them.
const MAX_FIELDS: usize = 200;
const MAX_FIELD_CHARS: usize = 2_000;

/// The suffix of the header field with the customer's wrapped key.
const ENCRYPTED_KEY_SUFFIX: &str = "-ENC-DATAKEY";

/// The delivery of a mail.
#[derive(Debug, Clone, Copy)]
pub struct Delivered<'a> {
    /// The item's id.
    pub id: &'a ItemId,
    /// The file in the inbox.
    pub file: &'a str,
    /// The name of the mail in the zip.
    pub name: Option<&'a str>,
    /// Time at which the file was written to the inbox.
    pub received: Timestamp,
    /// The digest of the mail.
    pub sha256: Sha256,
}

/// Returns the id of a mail's item: the vendor's id, else the Message-ID, else the digest of the bytes. An invalid id
/// is replaced by its digest.
pub fn item_id(mail: &[u8], profile: &Profile) -> ItemId {
    let named = bounds::check(mail).ok().and_then(|()| {
        let opened = journal::open(mail);
        let header = parse(&opened.mail)?;
        let id = field(&header, &profile.id).or_else(|| Some(format!("<{}>", header.message_id()?)))?;
        Some(id.parse().unwrap_or_else(|_| digest_id(id.as_bytes())))
    });
    named.unwrap_or_else(|| digest_id(mail))
}

/// Returns whether a mail has the header field that the profile reads the id from. A profile without one reads the
/// Message-ID, which every mail has.
pub fn has_vendor_id(mail: &[u8], profile: &Profile) -> bool {
    if profile.id.is_empty() {
        return true;
    }
    let named = bounds::check(mail).ok().and_then(|()| {
        let opened = journal::open(mail);
        field(&parse(&opened.mail)?, &profile.id)
    });
    named.is_some()
}

/// Returns the id of a mail that has no other id.
pub fn digest_id(bytes: &[u8]) -> ItemId {
    ItemId::of_digest(&Sha256::of(bytes))
}

/// Reads a mail as an item, in the JSON of the item contract.
///
/// # Errors
/// [`MailError`], all of them permanent.
pub fn read(mail: &[u8], profile: &Profile, delivered: &Delivered<'_>) -> Result<Value, MailError> {
    let mut value = content(mail, profile, delivered)?;
    let evidence = attachments::evidence(delivered.sha256, mail.len() as u64)?;
    let evidence = serde_json::to_value(evidence).map_err(|_| MailError::Json)?;
    match value.get_mut("attachments").and_then(Value::as_array_mut) {
        Some(files) => files.push(evidence),
        None => value["attachments"] = Value::Array(vec![evidence]),
    }
    Ok(value)
}

/// Returns whether two mails with the same id are the same message. Transport adds header fields, and a second delivery
/// may have other boundaries between its parts, so only the items are compared.
pub fn has_same_content(one: &[u8], other: &[u8], profile: &Profile) -> bool {
    let content = |mail: &[u8]| {
        let id = digest_id(b"");
        let delivered =
            Delivered { id: &id, file: "", name: None, received: Timestamp::UNIX_EPOCH, sha256: Sha256::of(b"") };
        let mut value = content(mail, profile, &delivered).ok()?;
        // The same text at the same time by the same people; a status that has changed since then does not count.
        value["mail"]["fields"] = Value::Null;
        value["mail"]["notes"] = Value::Null;
        Some(value)
    };
    match (content(one), content(other)) {
        (Some(one), Some(other)) => one == other,
        _ => one == other,
    }
}

fn content(bytes: &[u8], profile: &Profile, delivered: &Delivered<'_>) -> Result<Value, MailError> {
    if bytes.is_empty() {
        return Err(MailError::Empty);
    }
    bounds::check(bytes)?;
    let opened = journal::open(bytes);
    let header = parse(&opened.mail).ok_or(MailError::NotMail)?;
    if let Some(encrypted) = header.headers().iter().find(|header| is_encryption_key_field(header.name())) {
        let name: String = encrypted.name().chars().take(100).collect();
        return Err(MailError::Encrypted(format!("header field {name}")));
    }
    let date = date::of(&header);
    if header.from().is_none() && date.is_none() {
        return Err(MailError::NotMail);
    }
    let message_time = date.ok_or(MailError::NoDate)?;
    let People { from, to, notes: people_notes } =
        people::people(&header, &opened.recipients, profile.participants).ok_or(MailError::NoSender)?;
    let body = parse_body(&opened.mail).ok_or(MailError::NotMail)?;
    container::check(&body)?;
    let files = attachments::declared(&body)?;
    let has_outlooks = files.iter().any(container::is_outlooks);
    let notes =
        date::note(&header).into_iter().chain(has_outlooks.then_some(container::OUTLOOK_NOTE)).chain(people_notes);
    let word = field(&header, &profile.kind);
    let kind = kind::kind(word.as_deref(), &files);
    let item = Item {
        id: delivered.id.clone(),
        message_id: None,
        network: field(&header, &profile.network),
        message_time,
        archived_time: delivered.received,
        direction: None,
        chat: chat::chat(&header, profile, &from, &to),
        from,
        to,
        text: text(&body),
        attachments: files,
        quoted: None,
        mentions: Vec::new(),
        forwarded: None,
        frequently_forwarded: None,
        disappearing_seconds: None,
        target: None,
        reaction: None,
        deletion: (kind == Kind::Delete).then_some(Deletion { scope: None, by: None, state: None }),
        call: kind::call(&kind, word.as_deref()),
        location: None,
        contacts: Vec::new(),
        poll: None,
        event: None,
        business: None,
        reason: None,
        upload: None,
        mail: Some(MailFact {
            file: delivered.file.to_owned(),
            name: delivered.name.map(str::to_owned),
            subject: header.subject().map(|subject| subject.chars().take(MAX_FIELD_CHARS).collect()),
            fields: fields(&header),
            notes: notes.map(str::to_owned).collect(),
        }),
        webhook: None,
        kind,
    };
    serde_json::to_value(&item).map_err(|_| MailError::Json)
}

fn is_encryption_key_field(name: &str) -> bool {
    name.len() >= ENCRYPTED_KEY_SUFFIX.len()
        && name
            .get(name.len() - ENCRYPTED_KEY_SUFFIX.len()..)
            .is_some_and(|end| end.eq_ignore_ascii_case(ENCRYPTED_KEY_SUFFIX))
}

/// Returns the header fields that the vendor added, in order.
fn fields(mail: &Message<'_>) -> Vec<MailField> {
    let extra =
        mail.headers().iter().filter(|header| header.name().get(..2).is_some_and(|x| x.eq_ignore_ascii_case("x-")));
    extra
        .take(MAX_FIELDS)
        .map(|header| MailField {
            name: header.name().chars().take(MAX_FIELD_CHARS).collect(),
            value: value(mail, header).unwrap_or_default().chars().take(MAX_FIELD_CHARS).collect(),
        })
        .collect()
}

/// Returns all texts of a mail, one after the other; HTML only where there is no plain text, or where a plain text is
/// blank.
fn text(mail: &Message<'_>) -> Option<String> {
    let parts = |places: &[u32]| joined(places.iter().filter_map(|place| mail.parts.get(*place as usize)));
    // A part that has no other form is in both lists.
    let in_html: HashSet<u32> = mail.html_body.iter().copied().collect();
    let mut replaced = mail.text_body.iter().filter(|place| !in_html.contains(place));
    let has_blank = replaced.any(|place| parts(&[*place]).is_none());
    let html = || parts(&mail.html_body);
    if has_blank { html() } else { parts(&mail.text_body).or_else(html) }
}

/// Joins the texts of parts; `None` if nothing in them is visible.
fn joined<'a>(parts: impl Iterator<Item = &'a MessagePart<'a>>) -> Option<String> {
    let texts = parts.filter_map(|part| match &part.body {
        PartType::Text(text) => Some(text.replace("\r\n", "\n")),
        PartType::Html(html) => Some(html::text(html)),
        _ => None,
    });
    let texts: Vec<String> = texts.map(|text| text.trim_end().to_owned()).filter(|text| !text.is_empty()).collect();
    let is_visible = |c: char| !c.is_whitespace() && !"\u{ad}\u{200b}\u{200c}\u{200d}\u{2060}\u{feff}".contains(c);
    let text = texts.join("\n");
    text.contains(is_visible).then_some(text)
}
