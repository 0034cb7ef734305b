//! The JSON that Graph creates a message from.

use std::{borrow::Cow, fmt::Write as _};

use encodify::base64::STANDARD;
use serde::Serialize;

use super::{
    concession::{Concession, Concessions},
    content::{Attachment, Body, Content, InMemory, Party},
    limits::SENT_MESSAGE_RECIPIENTS_MAX,
    properties::{
        ARCHIVE_ITEM_ID, CLASS, CONVERSATION_INDEX, CONVERSATION_TOPIC, DELIVERED, FLAGS, IN_REPLY_TO, REFERENCES,
        SUBMITTED, item_id_value,
    },
    work::Draft,
};
use message::{read::characters, write::escape_html};

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

/// An attachment without its bytes.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct NewAttachment<'a> {
    #[serde(rename = "@odata.type")]
    kind: &'a str,
    name: &'a str,
    content_type: &'a str,
    /// Always false, also for pictures in the HTML: Outlook leaves inline files out of its list of attachments.
    is_inline: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_id: Option<&'a str>,
}

impl<'a> From<Party<'a>> for Recipient<'a> {
    fn from(party: Party<'a>) -> Self {
        Self { email_address: EmailAddress { name: party.name, address: party.address } }
    }
}

impl<'a> NewAttachment<'a> {
    fn of(attachment: &'a Attachment<'_>) -> Self {
        Self {
            kind: "#microsoft.graph.fileAttachment",
            name: &attachment.name,
            content_type: &attachment.content_type,
            is_inline: false,
            content_id: attachment.content_id.as_deref(),
        }
    }
}

const CONTENT_START: &[u8] = b",\"contentBytes\":\"";
const CONTENT_END: &[u8] = b"\"}";

/// Appends an attachment. Its base64 bypasses serde, which would check each character for an escape. Lines of base64
/// are copied without being decoded.
fn write_attachment(attachment: &Attachment<'_>, content: &InMemory<'_>, json: &mut Vec<u8>) {
    write_json(&NewAttachment::of(attachment), json);
    reopen(json);
    json.extend_from_slice(CONTENT_START);
    match content {
        InMemory::Bytes(bytes) => {
            STANDARD.encode_append(bytes, json);
        }
        InMemory::Lines(lines) => {
            for characters in characters(lines) {
                json.extend_from_slice(characters);
            }
        }
    }
    json.extend_from_slice(CONTENT_END);
}

/// Removes the closing brace of an object that has members, so that more members can be appended.
fn reopen(object: &mut Vec<u8>) {
    let end = object.pop();
    debug_assert_eq!(end, Some(b'}'));
}

/// Returns the exact length of an attachment's JSON, in bytes.
pub(super) fn attachment_json_length(attachment: &Attachment<'_>) -> usize {
    let head = to_json(&NewAttachment::of(attachment)).len() - 1;
    head + CONTENT_START.len() + attachment.data.len().div_ceil(3) * 4 + CONTENT_END.len()
}

/// Returns the JSON of one attachment.
pub(super) fn attachment_json(attachment: &Attachment<'_>, content: &InMemory<'_>) -> Vec<u8> {
    let mut json = Vec::with_capacity(attachment_json_length(attachment));
    write_attachment(attachment, content, &mut json);
    json
}

/// Adds attachments, whose bytes are in memory, to the JSON of their message.
pub(super) fn with_attachments(mut message: Vec<u8>, attachments: &[(&Attachment<'_>, InMemory<'_>)]) -> Vec<u8> {
    if attachments.is_empty() {
        return message;
    }
    let files: usize = attachments.iter().map(|(attachment, _)| attachment_json_length(attachment) + 1).sum();
    message.reserve_exact(files + ATTACHMENTS_START.len() + ATTACHMENTS_END.len());
    reopen(&mut message);
    message.extend_from_slice(ATTACHMENTS_START);
    for (index, (attachment, content)) in attachments.iter().enumerate() {
        if index > 0 {
            message.push(b',');
        }
        write_attachment(attachment, content, &mut message);
    }
    message.extend_from_slice(ATTACHMENTS_END);
    message
}

const ATTACHMENTS_START: &[u8] = b",\"attachments\":[";
const ATTACHMENTS_END: &[u8] = b"]}";

/// Returns the JSON of a message without its attachments. Creating it takes most of the CPU time of a filing, so
/// callers create it once.
pub(super) fn message_json(draft: &Draft<'_>, concessions: &Concessions) -> Vec<u8> {
    let content = draft.content;
    let date = content.date.to_string();
    let item = item_id_value(draft.identity.item);
    let mut properties = vec![
        Property { id: FLAGS, value: "1" },
        Property { id: DELIVERED, value: &date },
        Property { id: SUBMITTED, value: &date },
        Property { id: ARCHIVE_ITEM_ID, value: &item },
    ];
    if let Some(class) = draft.class.filter(|_| !concessions.has(Concession::PlainClass)) {
        properties.push(Property { id: CLASS, value: class });
    }
    if !concessions.has(Concession::NoThread) {
        let thread = [
            (IN_REPLY_TO, &content.in_reply_to),
            (REFERENCES, &content.references),
            (CONVERSATION_TOPIC, &content.thread_topic),
            (CONVERSATION_INDEX, &content.thread_index),
        ];
        properties.extend(thread.into_iter().filter_map(|(id, value)| Some(Property { id, value: value.as_deref()? })));
    }
    let own = Party { name: "", address: draft.mailbox };
    let from = if concessions.has(Concession::OwnSender) { Some(own) } else { content.from }.map(Recipient::from);
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
        to_recipients: recipients(content, concessions),
        internet_message_id: draft.identity.message_id,
        is_read: true,
        internet_message_headers: content.headers.iter().map(|(name, value)| NameAndValue { name, value }).collect(),
        single_value_extended_properties: properties,
    };
    let mut json = Vec::with_capacity(shown.len() + shown.len() / 8 + 200 * content.to.len() + 8192);
    write_json(&message, &mut json);
    json
}

/// Returns the recipients without those that concessions leave out.
fn recipients<'a>(content: &Content<'a>, concessions: &Concessions) -> Vec<Recipient<'a>> {
    let max = if concessions.has(Concession::FewRecipients) { SENT_MESSAGE_RECIPIENTS_MAX } else { usize::MAX };
    let is_kept = |at: &usize| concessions.rejected_recipients.binary_search(at).is_err();
    (0..).zip(&content.to).filter(|(at, _)| is_kept(at)).map(|(_, &to)| Recipient::from(to)).take(max).collect()
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RecipientProbe<'a> {
    subject: &'a str,
    to_recipients: Vec<Recipient<'a>>,
    single_value_extended_properties: Vec<Property<'a>>,
}

/// Returns the JSON of a probe: an empty message with these recipients, which shows whether the mail system accepts
/// them. The probe is looked up by `id`.
pub(super) fn recipient_probe_json(content: &Content<'_>, recipients: &[usize], id: &str) -> Vec<u8> {
    let to_recipients = recipients.iter().filter_map(|&at| Some(Recipient::from(*content.to.get(at)?))).collect();
    to_json(&RecipientProbe {
        subject: "",
        to_recipients,
        single_value_extended_properties: vec![
            Property { id: FLAGS, value: "1" },
            Property { id: ARCHIVE_ITEM_ID, value: id },
        ],
    })
}

/// Serializes a value of strings, numbers and lists.
pub(super) fn to_json(value: &impl Serialize) -> Vec<u8> {
    let mut json = Vec::new();
    write_json(value, &mut json);
    json
}

fn write_json(value: &impl Serialize, json: &mut Vec<u8>) {
    if let Err(error) = serde_json::to_writer(json, value) {
        unreachable!("serializing strings and numbers into a Vec cannot fail: {error}");
    }
}

/// Describes the parts of the message that were left out.
fn notes(content: &Content<'_>, concessions: &Concessions) -> Vec<String> {
    let mut notes = Vec::new();
    if let (true, Some(from)) = (concessions.has(Concession::OwnSender), content.from) {
        let mut note = String::from("From: ");
        if !from.name.is_empty() {
            note.push_str(from.name);
            note.push(' ');
        }
        let written = write!(note, "<{}>", from.address);
        debug_assert!(written.is_ok());
        notes.push(note);
    }
    let (all, rejected) = (content.to.len(), concessions.rejected_recipients.len());
    if concessions.has(Concession::FewRecipients) && all > SENT_MESSAGE_RECIPIENTS_MAX {
        notes.push(format!(
            "Only the first {SENT_MESSAGE_RECIPIENTS_MAX} of {all} recipients are shown. The attached item lists all."
        ));
    }
    if rejected > 0 {
        notes.push(format!(
            "{rejected} of {all} recipients are not shown, because the mail system rejects the address. The attached item lists all."
        ));
    }
    notes
}

fn with_notes<'a>(body: &'a str, notes: &[String], html: bool) -> Cow<'a, str> {
    if notes.is_empty() {
        return body.into();
    }
    let mut text = String::with_capacity(body.len() + 256);
    for note in notes {
        if html {
            text.push_str("<p>");
            escape_html(note, &mut text);
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
    use encodify::base64::MIME;

    use super::*;
    use crate::{
        Identity,
        graph::content::{Data, parse},
    };
    use message::read::Mime;

    #[test]
    fn attachment_json_has_the_computed_length() {
        for (name, size) in [("a", 0), ("\"\\\u{1}\u{1}", 1), ("é.png", 2), ("note", 1000)] {
            let data = Data::Decoded(vec![7; size].into());
            let attachment = Attachment {
                name: name.into(),
                content_type: "application/x".into(),
                content_id: None,
                data,
                packed_name: None,
            };
            let content = attachment.data.in_memory_data().unwrap();
            assert_eq!(
                attachment_json(&attachment, &content).len(),
                attachment_json_length(&attachment),
                "{name} {size}"
            );
        }
    }

    #[test]
    fn concession_is_noted_in_the_body_with_escapes() {
        let mime = b"Date: Sun, 22 Nov 2026 08:00:00 +0100\r\nFrom: \"<script>\" <1@whatsapp.invalid>\r\n\
            Content-Type: text/html\r\n\r\n<p>x</p>";
        let mime = parse(mime).unwrap();
        let content = Content::of(&mime, &bytes::Bytes::new().into()).unwrap();
        let item = "WA-1".parse().unwrap();
        let draft = Draft {
            content: &content,
            identity: Identity { item: &item, message_id: "<m@x>", content: None, kind: None },
            mailbox: "ada@example.com",
            class: Some("IPM.ExternalData.X"),
        };
        let mut concessions = Concessions::default();
        concessions.make(Concession::OwnSender);
        concessions.make(Concession::PlainClass);
        let json: serde_json::Value = serde_json::from_slice(&message_json(&draft, &concessions)).unwrap();
        assert_eq!(json["from"]["emailAddress"]["address"], "ada@example.com");
        assert_eq!(json["body"]["content"], "<p>From: &lt;script&gt; &lt;1@whatsapp.invalid&gt;</p><p>x</p>");
        assert!(!json.to_string().contains("0x001A"));
        assert!(json.get("internetMessageHeaders").is_none() && json.get("attachments").is_none());
    }

    #[test]
    fn message_has_its_thread_and_the_ids_of_its_pictures() {
        let mime = b"Date: Sun, 22 Nov 2026 08:00:00 +0100\r\nThread-Topic: Chat\r\nThread-Index: AQHJa6Pj7V59\r\n\
            Content-Type: multipart/mixed; boundary=o\r\n\r\n--o\r\nContent-Type: text/html\r\n\r\n<img src=\"cid:p@x\">\r\n--o\r\n\
            Content-Type: image/png\r\nContent-ID: <p@x>\r\nContent-Disposition: attachment; filename=a.png\r\n\r\nx\r\n--o--\r\n";
        let parsed = parse(mime).unwrap();
        let content = Content::of(&parsed, &bytes::Bytes::new().into()).unwrap();
        let item = "WA-1".parse().unwrap();
        let identity = Identity { item: &item, message_id: "<m@x>", content: None, kind: None };
        let draft = Draft { content: &content, identity, mailbox: "ada@example.com", class: None };
        let file = &content.attachments[0];
        let attachments = [(file, file.data.in_memory_data().unwrap())];
        let json = |concessions: &Concessions| {
            let json = with_attachments(message_json(&draft, concessions), &attachments);
            serde_json::from_slice::<serde_json::Value>(&json).unwrap()
        };
        let mut concessions = Concessions::default();
        let message = json(&concessions);
        let property = |id: &str| {
            let properties = message["singleValueExtendedProperties"].as_array().unwrap();
            properties.iter().find(|property| property["id"] == id).map(|property| property["value"].clone())
        };
        assert_eq!(property(CONVERSATION_TOPIC), Some("Chat".into()));
        assert_eq!(property(CONVERSATION_INDEX), Some("AQHJa6Pj7V59".into()));
        assert_eq!(message["attachments"][0]["contentId"], "p@x");
        assert_eq!(message["attachments"][0]["isInline"], false);
        concessions.make(Concession::NoThread);
        assert!(!json(&concessions).to_string().contains("0x0071"));
    }

    /// Returns a message with one file of these lines.
    fn with_file(lines: &str) -> Mime {
        let head = "Date: Sun, 22 Nov 2026 08:00:00 +0100\r\nContent-Type: multipart/mixed; boundary=o\r\n\r\n\r\n--o\r\n\
            Content-Type: text/plain\r\n\r\nhi\r\n--o\r\nContent-Type: image/jpeg; name=a.jpg\r\n\
            Content-Disposition: attachment\r\nContent-Transfer-Encoding: base64\r\n\r\n";
        Mime::from([head, lines, "\r\n--o--\r\n"].concat()).leaving_out(100)
    }

    #[test]
    fn base64_lines_of_a_file_are_sent_unchanged() {
        for length in [100, 57 * 9, 57 * 9 + 1, 57 * 9 + 56, 20_000] {
            let bytes: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
            let mime = with_file(&MIME.encode(&bytes));
            let parsed = parse(mime.in_memory()).unwrap();
            let content = Content::of(&parsed, &mime).unwrap();
            let [file] = &content.attachments[..] else { panic!("one file") };
            assert!(matches!(file.data, Data::Lines(..)) && file.data.len() == length);
            let json = attachment_json(file, &file.data.in_memory_data().unwrap());
            assert_eq!(json.len(), attachment_json_length(file));
            let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
            assert_eq!(json["name"], "a.jpg");
            assert_eq!(json["contentBytes"], STANDARD.encode(&bytes), "{length}");
        }
    }

    #[test]
    fn lines_that_break_the_json_are_escaped() {
        let whole = MIME.encode([7; 1000]);
        for (at, harmful) in [(0, "\""), (75, "\\"), (78 * 3, "\n"), (whole.len() - 3, "\u{7f}"), (78 * 2 - 2, "AA")] {
            let mut lines = whole.clone();
            lines.replace_range(at..at + harmful.len(), harmful);
            let mime = with_file(&lines);
            let parsed = parse(mime.in_memory()).unwrap();
            let content = Content::of(&parsed, &mime).unwrap();
            let data = &content.attachments[0].data;
            assert!(data.in_memory_data().is_none(), "{harmful:?}");
        }
    }
}
