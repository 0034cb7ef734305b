//! The JSON that Graph makes a message of.

use std::fmt::Write as _;

use encodify::base64::STANDARD;
use serde::Serialize;

use super::message::{AtHand, Attachment, Body, Content, Party};
use crate::mailbox::{Identity, characters};

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

/// All of an attachment but its bytes.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct NewAttachment<'a> {
    #[serde(rename = "@odata.type")]
    kind: &'a str,
    name: &'a str,
    content_type: &'a str,
    is_inline: bool,
}

impl<'a> From<Party<'a>> for Recipient<'a> {
    fn from(party: Party<'a>) -> Self {
        Self { email_address: EmailAddress { name: party.name, address: party.address } }
    }
}

/// Adds an attachment. Its base64 goes past serde, which would look at each character for something to escape; lines of
/// it are not even decoded.
fn write_attachment(attachment: &Attachment<'_>, content: &AtHand<'_>, json: &mut Vec<u8>) {
    let all_but_its_bytes = NewAttachment {
        kind: "#microsoft.graph.fileAttachment",
        name: &attachment.name,
        content_type: &attachment.content_type,
        is_inline: false,
    };
    write_json(&all_but_its_bytes, json);
    reopen(json);
    json.extend_from_slice(b",\"contentBytes\":\"");
    match content {
        AtHand::Bytes(bytes) => {
            STANDARD.encode_append(bytes, json);
        }
        AtHand::Lines(lines) => {
            for characters in characters(lines) {
                json.extend_from_slice(characters);
            }
        }
    }
    json.extend_from_slice(b"\"}");
}

/// Takes the end off an object that has members, so that it can have more.
fn reopen(object: &mut Vec<u8>) {
    let end = object.pop();
    debug_assert_eq!(end, Some(b'}'));
}

/// How long an attachment's JSON is at most, in bytes.
pub(super) fn longest_json(attachment: &Attachment<'_>) -> usize {
    // Every character of the names may need an escape of six.
    attachment.data.len().div_ceil(3) * 4 + 6 * (attachment.name.len() + attachment.content_type.len()) + 160
}

/// One attachment by itself.
pub(super) fn attachment_json(attachment: &Attachment<'_>, content: &AtHand<'_>) -> Vec<u8> {
    let mut json = Vec::with_capacity(longest_json(attachment));
    write_attachment(attachment, content, &mut json);
    json
}

/// A message with those of its attachments that travel with it. They are at hand.
pub(super) fn message_json(
    draft: &Draft<'_>,
    attachments: &[(&Attachment<'_>, AtHand<'_>)],
    concessions: Concessions,
) -> Vec<u8> {
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
    };
    let files: usize = attachments.iter().map(|(attachment, _)| longest_json(attachment)).sum();
    let mut json = Vec::with_capacity(files + shown.len() + shown.len() / 8 + 200 * content.to.len() + 8192);
    write_json(&message, &mut json);
    if !attachments.is_empty() {
        reopen(&mut json);
        json.extend_from_slice(b",\"attachments\":[");
        for (index, (attachment, content)) in attachments.iter().enumerate() {
            if index > 0 {
                json.push(b',');
            }
            write_attachment(attachment, content, &mut json);
        }
        json.extend_from_slice(b"]}");
    }
    json
}

fn write_json(value: &impl Serialize, json: &mut Vec<u8>) {
    if let Err(error) = serde_json::to_writer(json, value) {
        unreachable!("texts and numbers have a JSON form, and a Vec takes all of it: {error}");
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
    use encodify::base64::MIME;

    use super::*;
    use crate::mailbox::{
        Mime,
        graph::message::{Data, parse},
    };

    #[test]
    fn an_attachments_json_is_never_longer_than_foreseen() {
        for (name, size) in [("a", 0), ("\"\\\u{1}\u{1}", 1), ("é.png", 2), ("note", 1000)] {
            let data = Data::Here(vec![7; size].into());
            let attachment = Attachment { name: name.into(), content_type: "application/x".into(), data };
            let content = attachment.data.at_hand().unwrap();
            assert!(attachment_json(&attachment, &content).len() <= longest_json(&attachment), "{name} {size}");
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

    /// A message with one file, whose lines are these.
    fn with_file(lines: &str) -> Mime {
        let head = "Date: Sun, 22 Nov 2026 08:00:00 +0100\r\nContent-Type: multipart/mixed; boundary=o\r\n\r\n\r\n--o\r\n\
            Content-Type: text/plain\r\n\r\nhi\r\n--o\r\nContent-Type: image/jpeg; name=a.jpg\r\n\
            Content-Disposition: attachment\r\nContent-Transfer-Encoding: base64\r\n\r\n";
        Mime::from([head, lines, "\r\n--o--\r\n"].concat()).leaving_out(100)
    }

    #[test]
    fn a_file_is_sent_as_the_message_has_it() {
        for length in [100, 57 * 9, 57 * 9 + 1, 57 * 9 + 56, 20_000] {
            let bytes: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
            let mime = with_file(&MIME.encode(&bytes));
            let parsed = parse(mime.in_memory()).unwrap();
            let content = Content::of(&parsed, &mime).unwrap();
            let [file] = &content.attachments[..] else { panic!("one file") };
            assert!(matches!(file.data, Data::Lines(..)) && file.data.len() == length);
            let json = attachment_json(file, &file.data.at_hand().unwrap());
            assert!(json.len() <= longest_json(file));
            let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
            assert_eq!(json["name"], "a.jpg");
            assert_eq!(json["contentBytes"], STANDARD.encode(&bytes), "{length}");
        }
    }

    #[test]
    fn what_could_break_out_of_the_json_is_not_sent_as_it_stands() {
        let whole = MIME.encode([7; 1000]);
        for (at, harmful) in [(0, "\""), (75, "\\"), (78 * 3, "\n"), (whole.len() - 3, "\u{7f}"), (78 * 2 - 2, "AA")] {
            let mut lines = whole.clone();
            lines.replace_range(at..at + harmful.len(), harmful);
            let mime = with_file(&lines);
            let parsed = parse(mime.in_memory()).unwrap();
            let content = Content::of(&parsed, &mime).unwrap();
            let data = &content.attachments[0].data;
            assert!(data.at_hand().is_none(), "{harmful:?}");
        }
    }
}
