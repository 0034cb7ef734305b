//! The JSON that Graph makes a message of.

use std::fmt::Write as _;

use encodify::base64::STANDARD;
use serde::{Serialize, Serializer};

use super::message::{Attachment, Body, Content, Data, Party};
use crate::mailbox::Identity;

/// The named property that holds the item's id. The set is ours alone; changing it would make staged messages of
/// earlier versions unfindable.
pub(super) const ARCHIVE_ITEM_ID: &str = "String {6f1d4c1e-9a53-4f0b-8e57-2b7f3c0a9d41} Name ArchiveItemId";

/// PidTagMessageFlags: read, and not unsent. Without it Graph makes a draft, and a draft stays one.
const FLAGS: &str = "Integer 0x0E07";
/// PidTagMessageDeliveryTime.
const DELIVERED: &str = "SystemTime 0x0E06";
/// PidTagClientSubmitTime.
const SUBMITTED: &str = "SystemTime 0x0039";
/// PidTagMessageClass.
const CLASS: &str = "String 0x001A";
/// PidTagInReplyToId.
const IN_REPLY_TO: &str = "String 0x1042";
/// PidTagInternetReferences.
const REFERENCES: &str = "String 0x1039";

/// A message as it was sent has at most so many recipients; Exchange documents no limit for one that was not.
pub(super) const RECIPIENTS_OF_A_SENT_MESSAGE: usize = 500;

/// What a tenant has to be spared, because it refuses it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Concessions {
    /// The message class is IPM.Note.
    pub(super) plain_class: bool,
    /// The mailbox's own address is the sender; the true one stands in the body.
    pub(super) own_sender: bool,
    /// At most 500 recipients; that there are more stands in the body.
    pub(super) few_recipients: bool,
    /// No In-Reply-To and no References.
    pub(super) no_thread: bool,
}

/// What the JSON is made of.
pub(super) struct Draft<'a> {
    pub(super) content: &'a Content<'a>,
    pub(super) identity: Identity<'a>,
    /// The mailbox's own address.
    pub(super) mailbox: &'a str,
    pub(super) class: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct NewMessage<'a> {
    subject: &'a str,
    body: ItemBody<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<Recipient<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sender: Option<Recipient<'a>>,
    to_recipients: Vec<Recipient<'a>>,
    internet_message_id: &'a str,
    is_read: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    internet_message_headers: Vec<NameAndValue<'a>>,
    single_value_extended_properties: Vec<Property<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    attachments: Vec<NewAttachment<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ItemBody<'a> {
    content_type: &'a str,
    content: &'a str,
}

#[derive(Serialize, Clone, Copy)]
#[serde(rename_all = "camelCase")]
struct Recipient<'a> {
    email_address: EmailAddress<'a>,
}

#[derive(Serialize, Clone, Copy)]
struct EmailAddress<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'a str,
    address: &'a str,
}

#[derive(Serialize)]
struct NameAndValue<'a> {
    name: &'a str,
    value: &'a str,
}

#[derive(Serialize)]
struct Property<'a> {
    id: &'a str,
    value: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct NewAttachment<'a> {
    #[serde(rename = "@odata.type")]
    kind: &'a str,
    name: &'a str,
    content_type: &'a str,
    #[serde(serialize_with = "base64")]
    content_bytes: &'a [u8],
    is_inline: bool,
}

/// Encodes straight into the writer: a file is never held a second time.
fn base64<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&STANDARD.display(bytes))
}

impl<'a> From<Party<'a>> for Recipient<'a> {
    fn from(party: Party<'a>) -> Self {
        Self { email_address: EmailAddress { name: party.name, address: party.address } }
    }
}

impl<'a> NewAttachment<'a> {
    fn of(attachment: &'a Attachment<'_>, bytes: &'a [u8]) -> Self {
        Self {
            kind: "#microsoft.graph.fileAttachment",
            name: &attachment.name,
            content_type: &attachment.content_type,
            content_bytes: bytes,
            is_inline: false,
        }
    }
}

/// How long an attachment's JSON is at most, in bytes.
pub(super) fn longest_json(attachment: &Attachment<'_>) -> usize {
    // Every character of the names may need an escape of six.
    attachment.data.len().div_ceil(3) * 4 + 6 * (attachment.name.len() + attachment.content_type.len()) + 160
}

/// One attachment by itself, with its bytes.
pub(super) fn attachment_json(attachment: &Attachment<'_>, bytes: &[u8]) -> Vec<u8> {
    json(&NewAttachment::of(attachment, bytes), longest_json(attachment))
}

/// A message with those of its attachments that travel with it. They are in memory.
pub(super) fn message_json(draft: &Draft<'_>, attachments: &[&Attachment<'_>], concessions: Concessions) -> Vec<u8> {
    let content = draft.content;
    let date = content.date.to_string();
    let mut properties = vec![
        Property { id: FLAGS, value: "1" },
        Property { id: DELIVERED, value: &date },
        Property { id: SUBMITTED, value: &date },
        Property { id: ARCHIVE_ITEM_ID, value: draft.identity.item.as_str() },
    ];
    if !concessions.plain_class {
        properties.push(Property { id: CLASS, value: draft.class });
    }
    if !concessions.no_thread {
        let thread = [(IN_REPLY_TO, &content.in_reply_to), (REFERENCES, &content.references)];
        properties.extend(thread.into_iter().filter_map(|(id, value)| Some(Property { id, value: value.as_deref()? })));
    }
    let own = Party { name: "", address: draft.mailbox };
    let from = if concessions.own_sender { Some(own) } else { content.from }.map(Recipient::from);
    let most = if concessions.few_recipients { RECIPIENTS_OF_A_SENT_MESSAGE } else { usize::MAX };
    let notes = notes(content, concessions);
    let (content_type, shown) = match &content.body {
        Body::Html(html) => ("html", with_notes(html, &notes, true)),
        Body::Text(text) => ("text", with_notes(text, &notes, false)),
    };
    let message = NewMessage {
        subject: &content.subject,
        body: ItemBody { content_type, content: &shown },
        from,
        sender: from,
        to_recipients: content.to.iter().copied().take(most).map(Recipient::from).collect(),
        internet_message_id: draft.identity.message_id,
        is_read: true,
        internet_message_headers: content.headers.iter().map(|(name, value)| NameAndValue { name, value }).collect(),
        single_value_extended_properties: properties,
        attachments: attachments
            .iter()
            .filter_map(|attachment| match &attachment.data {
                Data::Here(bytes) => Some(NewAttachment::of(attachment, bytes)),
                Data::Stored(_) => None,
            })
            .collect(),
    };
    let files: usize = attachments.iter().map(|attachment| longest_json(attachment)).sum();
    json(&message, files + shown.len() + shown.len() / 8 + 200 * content.to.len() + 8192)
}

fn json(value: &impl Serialize, about: usize) -> Vec<u8> {
    let mut json = Vec::with_capacity(about);
    match serde_json::to_writer(&mut json, value) {
        Ok(()) => json,
        Err(error) => unreachable!("texts and numbers have a JSON form, and a Vec takes all of it: {error}"),
    }
}

/// What a concession took away, in words.
fn notes(content: &Content<'_>, concessions: Concessions) -> Vec<String> {
    let mut notes = Vec::new();
    if let (true, Some(from)) = (concessions.own_sender, content.from) {
        let mut note = String::from("From: ");
        if !from.name.is_empty() {
            note.push_str(from.name);
            note.push(' ');
        }
        let written = write!(note, "<{}>", from.address);
        debug_assert!(written.is_ok());
        notes.push(note);
    }
    if concessions.few_recipients && content.to.len() > RECIPIENTS_OF_A_SENT_MESSAGE {
        notes.push(format!(
            "Only the first {RECIPIENTS_OF_A_SENT_MESSAGE} of {} recipients are shown. The attached item lists all.",
            content.to.len()
        ));
    }
    notes
}

fn with_notes<'a>(body: &'a str, notes: &[String], html: bool) -> std::borrow::Cow<'a, str> {
    if notes.is_empty() {
        return body.into();
    }
    let mut text = String::with_capacity(body.len() + 256);
    for note in notes {
        if html {
            text.push_str("<p>");
            for letter in note.chars() {
                match letter {
                    '<' => text.push_str("&lt;"),
                    '>' => text.push_str("&gt;"),
                    '&' => text.push_str("&amp;"),
                    '"' => text.push_str("&quot;"),
                    _ => text.push(letter),
                }
            }
            text.push_str("</p>");
        } else {
            text.push_str(note);
            text.push_str("\r\n\r\n");
        }
    }
    text.push_str(body);
    text.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mailbox::graph::message::parse;

    #[test]
    fn an_attachments_json_is_never_longer_than_foreseen() {
        for (name, size) in [("a", 0), ("\"\\\u{1}\u{1}", 1), ("é.png", 2), ("note", 1000)] {
            let data = Data::Here(vec![7; size].into());
            let attachment = Attachment { name: name.into(), content_type: "application/x".into(), data };
            assert!(attachment_json(&attachment, &vec![7; size]).len() <= longest_json(&attachment), "{name} {size}");
        }
    }

    #[test]
    fn a_concession_is_told_in_the_body_and_cannot_break_out_of_it() {
        let mime = b"Date: Sun, 22 Nov 2026 08:00:00 +0100\r\nFrom: \"<script>\" <1@whatsapp.invalid>\r\n\
            Content-Type: text/html\r\n\r\n<p>x</p>";
        let mime = parse(mime).unwrap();
        let content = Content::of(&mime, &bytes::Bytes::new().into()).unwrap();
        let item = "WA-1".parse().unwrap();
        let draft = Draft {
            content: &content,
            identity: Identity { item: &item, message_id: "<m@x>", content: None },
            mailbox: "ada@example.com",
            class: "IPM.ExternalData.X",
        };
        let concessions = Concessions { own_sender: true, plain_class: true, ..Concessions::default() };
        let json: serde_json::Value = serde_json::from_slice(&message_json(&draft, &[], concessions)).unwrap();
        assert_eq!(json["from"]["emailAddress"]["address"], "ada@example.com");
        assert_eq!(json["body"]["content"], "<p>From: &lt;script&gt; &lt;1@whatsapp.invalid&gt;</p><p>x</p>");
        assert!(!json.to_string().contains("0x001A"));
        assert!(json.get("internetMessageHeaders").is_none() && json.get("attachments").is_none());
    }
}
