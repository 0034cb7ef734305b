//! What a MIME message says, as far as Graph's JSON can say it.

use std::{
    borrow::Cow,
    io::{self, Write},
    ops::Range,
};

use bytes::Bytes;
use mail_parser::{Addr, Encoding, Message as Parsed, MessageParser, MessagePart, MimeHeaders, PartType};

use super::{filing::REQUEST_LIMIT, names};
use crate::mailbox::{MailboxError, Mime, StoredFile};

/// A body that is longer in JSON, where a character may take six bytes, travels as an attachment: the create request has
/// to stay under Graph's 4 MB.
const LONGEST_BODY: usize = 1_500_000;

/// Graph takes no more headers than this, each name starting with `x-`.
const MOST_HEADERS: usize = 5;

/// The longest value of such a header, in characters.
const LONGEST_HEADER: usize = 995;

/// The longest subject that a mailbox keeps, in characters.
const LONGEST_SUBJECT: usize = 255;

/// A message, ready to be written as JSON.
pub(super) struct Content<'a> {
    pub(super) subject: String,
    pub(super) body: Body<'a>,
    pub(super) from: Option<Party<'a>>,
    pub(super) to: Vec<Party<'a>>,
    /// Of the `Date` header, to the second.
    pub(super) date: jiff::Timestamp,
    /// `In-Reply-To`, with angle brackets.
    pub(super) in_reply_to: Option<String>,
    /// `References`, with angle brackets, in order.
    pub(super) references: Option<String>,
    /// Lower-case names.
    pub(super) headers: Vec<(String, String)>,
    pub(super) attachments: Vec<Attachment<'a>>,
}

/// What is read first.
pub(super) enum Body<'a> {
    Html(Cow<'a, str>),
    Text(Cow<'a, str>),
}

/// Who wrote, or who it went to.
#[derive(Clone, Copy)]
pub(super) struct Party<'a> {
    pub(super) name: &'a str,
    pub(super) address: &'a str,
}

/// A file, its bytes as they were before MIME's encoding.
pub(super) struct Attachment<'a> {
    pub(super) name: String,
    pub(super) content_type: String,
    pub(super) data: Data<'a>,
}

/// Where a file's bytes are.
#[derive(Clone)]
pub(super) enum Data<'a> {
    /// In memory.
    Here(Cow<'a, [u8]>),
    /// In memory as the message has them: lines of base64, good to be sent without being decoded.
    Lines(Bytes, StoredFile),
    /// In the bucket, or in memory and too large for a request.
    Stored(StoredFile),
}

/// What a file is sent from.
pub(super) enum AtHand<'a> {
    /// Its bytes.
    Bytes(&'a [u8]),
    /// Its base64 in lines of 76 characters with CRLF.
    Lines(&'a [u8]),
}

impl Data<'_> {
    /// A file that was left out of what is in memory decoded.
    fn of(file: StoredFile) -> Self {
        let lines = if file.length() < REQUEST_LIMIT as u64 { file.lines() } else { None };
        match lines {
            Some(lines) => Self::Lines(lines, file),
            None => Self::Stored(file),
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Here(bytes) => bytes.len(),
            Self::Lines(_, file) | Self::Stored(file) => usize::try_from(file.length()).unwrap_or(usize::MAX),
        }
    }

    /// What it is sent from, where nothing has to be read for that.
    pub(super) fn at_hand(&self) -> Option<AtHand<'_>> {
        match self {
            Self::Here(bytes) => Some(AtHand::Bytes(bytes)),
            Self::Lines(lines, _) => Some(AtHand::Lines(lines)),
            Self::Stored(_) => None,
        }
    }

    /// These of the bytes, which there are.
    pub(super) async fn read(&self, range: Range<usize>) -> Result<Bytes, MailboxError> {
        match self {
            Self::Here(bytes) => Ok(Bytes::copy_from_slice(bytes.get(range).unwrap_or_default())),
            Self::Lines(_, file) | Self::Stored(file) => file.read(range.start as u64..range.end as u64).await,
        }
    }
}

fn rejected(detail: &str) -> MailboxError {
    MailboxError::Rejected { detail: detail.into() }
}

/// Reads the message. What it returns borrows from it.
pub(super) fn parse(mime: &[u8]) -> Result<Parsed<'_>, MailboxError> {
    MessageParser::default().parse(mime).ok_or_else(|| rejected("the message is not a MIME message"))
}

impl<'a> Content<'a> {
    /// # Errors
    /// [`MailboxError::Rejected`]: it has no date, and without one it would lie in the wrong place for ever.
    pub(super) fn of(mime: &'a Parsed<'a>, message: &Mime) -> Result<Self, MailboxError> {
        let date = mime
            .date()
            .filter(|date| date.is_valid())
            .and_then(|date| jiff::Timestamp::from_second(date.to_timestamp()).ok())
            .ok_or_else(|| rejected("the message has no readable Date"))?;
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
        names::make_unique(&mut attachments);
        Ok(Self {
            subject: mime.subject().unwrap_or_default().chars().take(LONGEST_SUBJECT).collect(),
            body,
            from: mime.from().and_then(|from| from.first()).and_then(Party::of),
            to: mime.to().map(|to| to.iter().filter_map(Party::of).collect()).unwrap_or_default(),
            date,
            in_reply_to: ids(mime.in_reply_to()),
            references: ids(mime.references()),
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
    /// Turns a body that is too long for Graph into a file, and says so in its place.
    fn take_if_too_long(&mut self) -> Option<Attachment<'a>> {
        let (text, name, content_type) = match self {
            Self::Html(html) => (html, "message.html", "text/html; charset=utf-8"),
            Self::Text(text) => (text, "message.txt", "text/plain; charset=utf-8"),
        };
        // Most are so short that they need not be counted.
        if text.len().saturating_mul(6) <= LONGEST_BODY || json_length(text) <= LONGEST_BODY {
            return None;
        }
        let note = format!("The text is too long to be shown here. It is attached as {name}.");
        let bytes = match std::mem::replace(text, Cow::Owned(note)) {
            Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
            Cow::Owned(text) => Cow::Owned(text.into_bytes()),
        };
        Some(Attachment { name: name.into(), content_type: content_type.into(), data: Data::Here(bytes) })
    }
}

impl<'a> Attachment<'a> {
    fn of((parsed, message): (&'a Parsed<'a>, &Mime), part: &'a MessagePart<'a>, number: usize) -> Self {
        let name = part.attachment_name().map(str::trim).filter(|name| !name.is_empty());
        let content_type = part.content_type().map(|kind| match kind.subtype() {
            Some(subtype) => format!("{}/{subtype}", kind.ctype()),
            None => kind.ctype().to_owned(),
        });
        Self {
            name: name.map_or_else(|| format!("attachment-{number}"), str::to_owned),
            content_type: content_type.unwrap_or_else(|| "application/octet-stream".into()),
            data: message
                .file_at(part.raw_body_offset() as usize)
                .map_or_else(|| Data::Here(file_bytes(parsed, part)), Data::of),
        }
    }
}

/// How many bytes a text takes in JSON.
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
        Err(error) => unreachable!("a text has a JSON form, and counting takes all of it: {error}"),
    }
}

fn is_file(part: &MessagePart<'_>) -> bool {
    part.content_disposition().is_some_and(mail_parser::ContentType::is_attachment)
}

/// The parser decodes a text file's character set, which changes its bytes: such a file is decoded here.
fn file_bytes<'a>(mime: &'a Parsed<'a>, part: &'a MessagePart<'a>) -> Cow<'a, [u8]> {
    if let PartType::Binary(bytes) | PartType::InlineBinary(bytes) = &part.body {
        return Cow::Borrowed(bytes);
    }
    let (start, end) = (part.raw_body_offset() as usize, part.raw_end_offset() as usize);
    let raw = mime.raw_message.get(start..end).unwrap_or_default();
    let decoded = match part.encoding {
        Encoding::Base64 => mail_parser::decoders::base64::base64_decode(raw),
        Encoding::QuotedPrintable => mail_parser::decoders::quoted_printable::quoted_printable_decode(raw),
        Encoding::None => None,
    };
    decoded.map_or(Cow::Borrowed(raw), Cow::Owned)
}

/// The parser takes the angle brackets off.
fn ids(value: &mail_parser::HeaderValue<'_>) -> Option<String> {
    let ids: Vec<String> = match (value.as_text_list(), value.as_text()) {
        (Some(list), _) => list.iter().map(|id| format!("<{id}>")).collect(),
        (None, Some(id)) => vec![format!("<{id}>")],
        (None, None) => Vec::new(),
    };
    (!ids.is_empty()).then(|| ids.join(" "))
}

fn headers(mime: &Parsed<'_>) -> Vec<(String, String)> {
    mime.headers_raw()
        .map(|(name, value)| (name.to_ascii_lowercase(), value))
        .filter(|(name, _)| name.starts_with("x-") && name.len() > 2)
        .map(|(name, value)| {
            let unfolded: String = value.chars().filter(|letter| !matches!(letter, '\r' | '\n')).collect();
            (name, unfolded.trim().chars().take(LONGEST_HEADER).collect::<String>())
        })
        .filter(|(_, value)| !value.is_empty())
        .take(MOST_HEADERS)
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
    fn everything_that_the_message_says_is_read() {
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
            Data::Here(bytes) => bytes,
            Data::Lines(..) | Data::Stored(_) => panic!("it is decoded"),
        }
    }

    #[test]
    fn a_message_without_a_date_is_refused() {
        let mime = parse(b"From: a@example.com\r\n\r\nhello\r\n").unwrap();
        assert!(matches!(Content::of(&mime, &Mime::from(Bytes::new())), Err(MailboxError::Rejected { .. })));
    }

    #[test]
    fn a_body_too_long_for_graph_becomes_a_file() {
        let text = format!("Date: Sun, 22 Nov 2026 08:00:00 +0100\r\n\r\n{}", "a".repeat(LONGEST_BODY + 1));
        let mime = parse(text.as_bytes()).unwrap();
        let content = Content::of(&mime, &Mime::from(Bytes::new())).unwrap();
        assert!(matches!(&content.body, Body::Text(note) if note.contains("message.txt")));
        assert_eq!(content.attachments[0].data.len(), LONGEST_BODY + 1);
    }

    #[test]
    fn a_body_is_as_long_as_it_is_in_json() {
        let text = format!("Date: Sun, 22 Nov 2026 08:00:00 +0100\r\n\r\n{}", "\u{1}".repeat(LONGEST_BODY / 5));
        let mime = parse(text.as_bytes()).unwrap();
        let content = Content::of(&mime, &Mime::from(Bytes::new())).unwrap();
        assert_eq!(content.attachments.len(), 1);
    }

    #[test]
    fn headers_are_few_and_short() {
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
