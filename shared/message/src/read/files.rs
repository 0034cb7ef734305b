//! Reads the files of a stored message.

use std::borrow::Cow;

use bytes::Bytes;
use mail_parser::{Encoding, Message, MessageParser, MessagePart, MimeHeaders, PartType};

use super::{Mime, PIECE_BYTES, ReadError, StoredFile, mime::rest};

/// A file of a stored message.
pub struct MessageFile {
    /// Name in the message.
    pub name: String,
    content: Content,
}

enum Content {
    Memory(Bytes),
    Stored(StoredFile),
}

impl MessageFile {
    /// Reads the next piece of the file; empty at its end.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn piece(&self, from: u64) -> Result<Bytes, ReadError> {
        match &self.content {
            Content::Memory(bytes) => Ok(rest(bytes, from)),
            Content::Stored(file) => file.read(from..from.saturating_add(PIECE_BYTES)).await,
        }
    }
}

/// Returns the files of a stored message in order, the evidence last.
pub fn files(mime: &Mime) -> Vec<MessageFile> {
    let Some(message) = MessageParser::new().parse(&mime.in_memory()[..]) else { return Vec::new() };
    let files = message.attachments().map(|part| MessageFile {
        name: part.attachment_name().unwrap_or_default().to_owned(),
        content: match mime.file_at(part.raw_body_offset() as usize) {
            Some(file) => Content::Stored(file),
            None => Content::Memory(Bytes::copy_from_slice(&file_bytes(&message, part))),
        },
    });
    files.collect()
}

/// Returns the bytes of a file in memory. The parser would convert the character set of a text file, which changes its
/// bytes, so files are decoded here.
pub fn file_bytes<'a>(mime: &'a Message<'a>, part: &'a MessagePart<'a>) -> Cow<'a, [u8]> {
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
