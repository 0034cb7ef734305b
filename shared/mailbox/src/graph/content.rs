//! The parts of a MIME message that Graph's JSON can express.

use std::{
    borrow::Cow,
    io::{self, Write},
    ops::Range,
};

use bytes::Bytes;
use encodify::base64::STANDARD;
use mail_parser::{Addr, Message as Parsed, MessageParser, MessagePart, MimeHeaders, PartType};

use super::{
    file_names,
    limits::{
        BODY_MAX_JSON_BYTES, HEADER_MAX_CHARS, HEADERS_MAX, REQUEST_MAX_BYTES, SUBJECT_MAX_CHARS,
        UPLOAD_SESSION_MIN_BYTES,
    },
};
use crate::MailboxError;
use message::read::{Mime, StoredFile, file_bytes};

/// Upper bound of the JSON of an attachment without its base64, in bytes.
const LARGEST_ATTACHMENT_HEAD: usize = 16 << 10;

/// The parts of a message that its JSON is made of.
pub(super) struct Content<'a> {
    pub(super) subject: String,
    pub(super) body: Body<'a>,
    pub(super) from: Option<Party<'a>>,
    pub(super) to: Vec<Party<'a>>,
    /// The `Date` header, to the second.
    pub(super) date: jiff::Timestamp,
    /// `In-Reply-To`, with angle brackets.
    pub(super) in_reply_to: Option<String>,
    /// `References`, with angle brackets, in order.
    pub(super) references: Option<String>,
    /// `Thread-Topic`, decoded.
    pub(super) thread_topic: Option<String>,
    /// `Thread-Index`, in base64.
    pub(super) thread_index: Option<String>,
    /// The `x-` headers; names in lower case.
    pub(super) headers: Vec<(String, String)>,
    pub(super) attachments: Vec<Attachment<'a>>,
}

/// The body that a mail client displays.
pub(super) enum Body<'a> {
    Html(Cow<'a, str>),
    Text(Cow<'a, str>),
}

/// A sender or recipient.
#[derive(Clone, Copy)]
pub(super) struct Party<'a> {
    pub(super) name: &'a str,
    pub(super) address: &'a str,
}

/// A file of the message.
pub(super) struct Attachment<'a> {
    pub(super) name: String,
    pub(super) content_type: String,
    /// The content id of the file, without angle brackets.
    pub(super) content_id: Option<String>,
    pub(super) data: Data<'a>,
    /// The name of the ZIP archive if the file has to be packed; `None` for a file that never needs packing.
    pub(super) packed_name: Option<String>,
}

/// The location and encoding of a file's bytes.
#[derive(Clone)]
pub(super) enum Data<'a> {
    /// Decoded, in memory.
    Decoded(Cow<'a, [u8]>),
    /// In memory in the message's encoding: lines of base64 that can be sent without being decoded.
    Lines(Bytes, StoredFile),
    /// In the bucket, or in memory and too large for a request.
    Stored(StoredFile),
}

/// The bytes of a file in memory.
pub(super) enum InMemory<'a> {
    /// Decoded bytes.
    Bytes(&'a [u8]),
    /// Base64 in lines of 76 characters with CRLF.
    Lines(&'a [u8]),
}

impl Data<'_> {
    /// Creates the data of a file that was left out of the parsed message.
    fn of(file: StoredFile) -> Self {
        let lines = if file.length() < REQUEST_MAX_BYTES as u64 { file.lines() } else { None };
        match lines {
            Some(lines) => Self::Lines(lines, file),
            None => Self::Stored(file),
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Decoded(bytes) => bytes.len(),
            Self::Lines(_, file) | Self::Stored(file) => usize::try_from(file.length()).unwrap_or(usize::MAX),
        }
    }

    /// Returns the file's bytes; `None` if they are not in memory.
    pub(super) fn in_memory_data(&self) -> Option<InMemory<'_>> {
        match self {
            Self::Decoded(bytes) => Some(InMemory::Bytes(bytes)),
            Self::Lines(lines, _) => Some(InMemory::Lines(lines)),
            Self::Stored(_) => None,
        }
    }

    /// Reads a range within the file.
    pub(super) async fn read(&self, range: Range<usize>) -> Result<Bytes, MailboxError> {
        match self {
            Self::Decoded(bytes) => Ok(Bytes::copy_from_slice(bytes.get(range).unwrap_or_default())),
            Self::Lines(_, file) | Self::Stored(file) => Ok(file.read(range.start as u64..range.end as u64).await?),
        }
    }
}

fn rejected(detail: &str) -> MailboxError {
    MailboxError::Rejected { detail: detail.into() }
}

/// Parses the message. The result borrows from it.
pub(super) fn parse(mime: &[u8]) -> Result<Parsed<'_>, MailboxError> {
    MessageParser::default().parse(mime).ok_or_else(|| rejected("the message is not MIME"))
}

impl<'a> Content<'a> {
    /// Reads the content of a message.
    ///
    /// # Errors
    /// [`MailboxError::Rejected`]: the message has no date, and without one it would be filed under a wrong time.
    pub(super) fn of(mime: &'a Parsed<'a>, message: &Mime) -> Result<Self, MailboxError> {
        let date = mime
            .date()
            .filter(|date| date.is_valid())
            .and_then(|date| jiff::Timestamp::from_second(date.to_timestamp()).ok())
            .ok_or_else(|| rejected("the message has no valid Date"))?;
        let shown = mime
            .html_part(0)
            .filter(|part| part.is_text_html() && !is_file(part))
            .or_else(|| mime.text_part(0).filter(|part| part.is_text() && !is_file(part)));
        let alternative = mime.text_part(0).filter(|part| part.is_text() && !is_file(part));
        let is_body = |part: &MessagePart<'_>| {
            [shown, alternative].iter().flatten().any(|body| std::ptr::eq::<MessagePart<'_>>(*body, part))
        };
        let mut attachments: Vec<_> = mime
            .parts
            .iter()
            .filter(|part| !part.is_multipart() && !is_body(part))
            .enumerate()
            .map(|(index, part)| Attachment::of((mime, message), part, index + 1))
            .collect();
        let mut body = match shown.map(|part| &part.body) {
            Some(PartType::Html(html)) => Body::Html(Cow::Borrowed(html)),
            Some(PartType::Text(text)) => Body::Text(Cow::Borrowed(text)),
            _ => Body::Text(Cow::Borrowed("")),
        };
        if let Some(file) = body.take_if_too_long() {
            attachments.insert(0, file);
        }
        let mut names: Vec<_> = attachments.iter().map(|file| file.name.clone()).collect();
        // The name of the ZIP archive must differ from all other names.
        let packable: Vec<_> = (0..attachments.len()).filter(|&at| attachments[at].may_need_packing()).collect();
        names.extend(packable.iter().map(|&at| format!("{}.zip", attachments[at].name)));
        file_names::make_unique(&mut names);
        for (at, name) in packable.into_iter().zip(names.split_off(attachments.len())) {
            attachments[at].packed_name = Some(name);
        }
        for (file, name) in attachments.iter_mut().zip(names) {
            file.name = name;
        }
        Ok(Self {
            subject: mime.subject().unwrap_or_default().chars().take(SUBJECT_MAX_CHARS).collect(),
            body,
            from: mime.from().and_then(|from| from.first()).and_then(Party::of),
            to: mime.to().map(|to| to.iter().filter_map(Party::of).collect()).unwrap_or_default(),
            date,
            in_reply_to: ids(mime.in_reply_to()),
            references: ids(mime.references()),
            thread_topic: text(mime, "Thread-Topic"),
            thread_index: text(mime, "Thread-Index").filter(|index| STANDARD.decode(index).is_ok()),
            headers: headers(mime),
            attachments,
        })
    }
}

impl<'a> Party<'a> {
    fn of(address: &'a Addr<'_>) -> Option<Self> {
        let name = address.name.as_deref().unwrap_or_default();
        Some(Self { name, address: address.address.as_deref()? })
    }
}

impl<'a> Body<'a> {
    /// Replaces a body that is too long for Graph with a note, and attaches it as a file.
    fn take_if_too_long(&mut self) -> Option<Attachment<'a>> {
        let (text, name, content_type) = match self {
            Self::Html(html) => (html, "message.html", "text/html; charset=utf-8"),
            Self::Text(text) => (text, "message.txt", "text/plain; charset=utf-8"),
        };
        // A short body, the usual case, needs no exact measurement.
        if text.len().saturating_mul(6) <= BODY_MAX_JSON_BYTES || json_length(text) <= BODY_MAX_JSON_BYTES {
            return None;
        }
        let note = format!("The text is too long to be shown here. It is attached as {name}.");
        let bytes = match std::mem::replace(text, Cow::Owned(note)) {
            Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
            Cow::Owned(text) => Cow::Owned(text.into_bytes()),
        };
        Some(Attachment {
            name: name.into(),
            content_type: content_type.into(),
            content_id: None,
            data: Data::Decoded(bytes),
            packed_name: None,
        })
    }
}

impl<'a> Attachment<'a> {
    /// Returns whether the file may be too large for a request and too small for an upload session.
    pub(super) fn may_need_packing(&self) -> bool {
        let base64 = self.data.len().div_ceil(3) * 4;
        base64 + LARGEST_ATTACHMENT_HEAD > REQUEST_MAX_BYTES && self.data.len() < UPLOAD_SESSION_MIN_BYTES
    }

    fn of((parsed, message): (&'a Parsed<'a>, &Mime), part: &'a MessagePart<'a>, number: usize) -> Self {
        let name = part.attachment_name().map(str::trim).filter(|name| !name.is_empty());
        let content_type = part.content_type().map(|kind| match kind.subtype() {
            Some(subtype) => format!("{}/{subtype}", kind.ctype()),
            None => kind.ctype().to_owned(),
        });
        Self {
            name: name.map_or_else(|| format!("attachment-{number}"), str::to_owned),
            content_type: content_type.unwrap_or_else(|| "application/octet-stream".into()),
            content_id: part.content_id().map(|id| id.trim_matches(['<', '>']).to_owned()),
            data: message
                .file_at(part.raw_body_offset() as usize)
                .map_or_else(|| Data::Decoded(file_bytes(parsed, part)), Data::of),
            packed_name: None,
        }
    }
}

/// Returns the length of a text in JSON, in bytes.
fn json_length(text: &str) -> usize {
    struct Counter(usize);
    impl Write for Counter {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut counter = Counter(0);
    match serde_json::to_writer(&mut counter, text) {
        Ok(()) => counter.0,
        Err(error) => unreachable!("serializing a string into a counter cannot fail: {error}"),
    }
}

fn is_file(part: &MessagePart<'_>) -> bool {
    part.content_disposition().is_some_and(mail_parser::ContentType::is_attachment)
}

/// Returns ids with their angle brackets, which the parser removes.
fn ids(value: &mail_parser::HeaderValue<'_>) -> Option<String> {
    let ids: Vec<String> = match (value.as_text_list(), value.as_text()) {
        (Some(list), _) => list.iter().map(|id| format!("<{id}>")).collect(),
        (None, Some(id)) => vec![format!("<{id}>")],
        (None, None) => Vec::new(),
    };
    (!ids.is_empty()).then(|| ids.join(" "))
}

/// Returns the text of a header field that the parser does not support.
fn text(mime: &Parsed<'_>, name: &'static str) -> Option<String> {
    let text = mime.header_as(name, mail_parser::HeaderForm::Text).into_iter().next()?.as_text()?.trim().to_owned();
    (!text.is_empty()).then_some(text)
}

fn headers(mime: &Parsed<'_>) -> Vec<(String, String)> {
    mime.headers_raw()
        .map(|(name, value)| (name.to_ascii_lowercase(), value))
        .filter(|(name, _)| name.starts_with("x-") && name.len() > 2)
        .map(|(name, value)| {
            let unfolded: String = value.chars().filter(|letter| !matches!(letter, '\r' | '\n')).collect();
            (name, unfolded.trim().chars().take(HEADER_MAX_CHARS).collect::<String>())
        })
        .filter(|(_, value)| !value.is_empty())
        .take(HEADERS_MAX)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIME: &str = "Date: Sun, 22 Nov 2026 08:00:00 +0100\r\nFrom: \"S\u{f8}ren\" <4520123456@whatsapp.invalid>\r\n\
        To: ada@example.com, =?utf-8?q?Bj=C3=B8rn?= <bob@example.com>\r\nSubject: =?utf-8?q?Chat_=C3=A9?=\r\n\
        In-Reply-To: <b@x>\r\nReferences: <a@x>\r\n <b@x>\r\nX-WA-Kind: text\r\nX-WA-Chat: ab\r\n cd\r\nX-Empty: \r\n\
        MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=o\r\n\r\n--o\r\n\
        Content-Type: multipart/alternative; boundary=i\r\n\r\n--i\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n\
        plain\r\n--i\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<p>html</p>\r\n--i--\r\n--o\r\n\
        Content-Type: text/plain\r\nContent-Disposition: attachment; filename=note.txt\r\n\
        Content-Transfer-Encoding: base64\r\n\r\n/wBhDQo=\r\n--o\r\nContent-Type: image/png; name=\"a.png\"\r\n\
        Content-Disposition: attachment\r\nContent-Transfer-Encoding: base64\r\n\r\nAAEC\r\n--o\r\n\
        Content-Type: application/json\r\nContent-Transfer-Encoding: base64\r\n\r\ne30=\r\n--o--\r\n";

    #[test]
    fn content_has_every_part_of_the_message() {
        let mime = parse(MIME.as_bytes()).unwrap();
        let content = Content::of(&mime, &Mime::from(Bytes::new())).unwrap();
        assert_eq!(content.subject, "Chat é");
        assert_eq!(content.date.to_string(), "2026-11-22T07:00:00Z");
        assert!(matches!(&content.body, Body::Html(html) if html.trim() == "<p>html</p>"));
        assert_eq!(content.from.map(|from| from.address), Some("4520123456@whatsapp.invalid"));
        let to: Vec<_> = content.to.iter().map(|to| (to.name, to.address)).collect();
        assert_eq!(to, [("", "ada@example.com"), ("Bjørn", "bob@example.com")]);
        assert_eq!(content.in_reply_to.as_deref(), Some("<b@x>"));
        assert_eq!(content.references.as_deref(), Some("<a@x> <b@x>"));
        assert_eq!(
            content.headers,
            [("x-wa-kind".to_owned(), "text".to_owned()), ("x-wa-chat".to_owned(), "ab cd".to_owned())]
        );
        let files: Vec<_> =
            content.attachments.iter().map(|file| (&*file.name, &*file.content_type, here(&file.data))).collect();
        assert_eq!(
            files,
            [
                ("note.txt", "text/plain", &[0xff, 0, b'a', b'\r', b'\n'][..]),
                ("a.png", "image/png", &[0, 1, 2]),
                ("attachment-3", "application/json", b"{}"),
            ]
        );
    }

    fn here<'a>(data: &'a Data<'_>) -> &'a [u8] {
        match data {
            Data::Decoded(bytes) => bytes,
            Data::Lines(..) | Data::Stored(_) => panic!("the file is not decoded"),
        }
    }

    #[test]
    fn message_without_a_date_is_rejected() {
        let mime = parse(b"From: a@example.com\r\n\r\nhello\r\n").unwrap();
        assert!(matches!(Content::of(&mime, &Mime::from(Bytes::new())), Err(MailboxError::Rejected { .. })));
    }

    #[test]
    fn body_too_long_for_graph_becomes_a_file() {
        let text = format!("Date: Sun, 22 Nov 2026 08:00:00 +0100\r\n\r\n{}", "a".repeat(BODY_MAX_JSON_BYTES + 1));
        let mime = parse(text.as_bytes()).unwrap();
        let content = Content::of(&mime, &Mime::from(Bytes::new())).unwrap();
        assert!(matches!(&content.body, Body::Text(note) if note.contains("message.txt")));
        assert_eq!(content.attachments[0].data.len(), BODY_MAX_JSON_BYTES + 1);
    }

    #[test]
    fn body_length_is_measured_in_json() {
        let text = format!("Date: Sun, 22 Nov 2026 08:00:00 +0100\r\n\r\n{}", "\u{1}".repeat(BODY_MAX_JSON_BYTES / 5));
        let mime = parse(text.as_bytes()).unwrap();
        let content = Content::of(&mime, &Mime::from(Bytes::new())).unwrap();
        assert_eq!(content.attachments.len(), 1);
    }

    #[test]
    fn thread_and_content_ids_are_read() {
        let with_thread = MIME
            .replacen(
                "X-WA-Kind",
                "Thread-Topic: =?utf-8?q?Chat_=C3=A9?=\r\nThread-Index: AQHJa6Pj7V59\r\nX-WA-Kind",
                1,
            )
            .replacen("Content-Type: image/png", "Content-ID: <picture-1@x>\r\nContent-Type: image/png", 1);
        let mime = parse(with_thread.as_bytes()).unwrap();
        let content = Content::of(&mime, &Mime::from(Bytes::new())).unwrap();
        assert_eq!(content.thread_topic.as_deref(), Some("Chat é"));
        assert_eq!(content.thread_index.as_deref(), Some("AQHJa6Pj7V59"));
        let ids: Vec<_> = content.attachments.iter().map(|file| file.content_id.as_deref()).collect();
        assert_eq!(ids, [None, Some("picture-1@x"), None]);
        let broken = MIME.replacen("X-WA-Kind", "Thread-Index: not base64!\r\nX-WA-Kind", 1);
        let mime = parse(broken.as_bytes()).unwrap();
        assert_eq!(Content::of(&mime, &Mime::from(Bytes::new())).unwrap().thread_index, None);
    }

    #[test]
    fn headers_are_limited_in_number_and_length() {
        let mut text = String::from("Date: Sun, 22 Nov 2026 08:00:00 +0100\r\n");
        for number in 0..9 {
            text.push_str(&format!("X-H{number}: {}\r\n", "é".repeat(2000)));
        }
        let mime = parse(text.as_bytes()).unwrap();
        let content = Content::of(&mime, &Mime::from(Bytes::new())).unwrap();
        assert_eq!(content.headers.len(), 5);
        assert!(content.headers.iter().all(|(_, value)| value.chars().count() == 995));
    }
}
