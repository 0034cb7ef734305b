//! Reads header fields, from a whole header or from the part that a server returns.

use memchr::memmem;
use model::Sha256;

/// The header field with the digest of the evidence and the files. It differs between any two items, and between two
/// renderings of an item that has changed at its source.
pub const CONTENT_HEADER: &str = "X-WA-Content-SHA256";

/// The header field with the key of the item. Messages of earlier releases lack it.
pub const ITEM_HEADER: &str = "X-WA-Item";

/// The header field with the kind of the item.
pub const KIND_HEADER: &str = "X-WA-Kind";

/// Reads the content digest in a message's header.
pub fn content(mime: &[u8]) -> Option<Sha256> {
    message_field(mime, CONTENT_HEADER)?.parse().ok()
}

/// Returns the trimmed value of a field in the header of a whole message. Every copy needs some, so no other field is
/// parsed.
pub fn message_field<'a>(mime: &'a [u8], name: &str) -> Option<&'a str> {
    let head = &mime[..memmem::find(mime, b"\r\n\r\n")?];
    str::from_utf8(field(head, name)?).ok()
}

/// Returns the fields of a header, each with its continuation lines and its line break.
pub(crate) fn fields(header: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = header;
    std::iter::from_fn(move || {
        let is_end = |&at: &usize| !matches!(rest.get(at + 1), Some(b' ' | b'\t'));
        let end = memchr::memchr_iter(b'\n', rest).find(is_end).map_or(rest.len(), |at| at + 1);
        let (field, after) = rest.split_at(end);
        rest = after;
        (!field.is_empty()).then_some(field)
    })
}

/// Returns the trimmed value of a header field.
pub fn field<'a>(header: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let line_at = |at: usize| header[at..].split_inclusive(|&byte| byte == b'\n').next();
    let is_named = |line: &[u8]| {
        line.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name.as_bytes()))
            && line.get(name.len()) == Some(&b':')
    };
    let mut at = 0;
    while !is_named(line_at(at)?) {
        at += line_at(at)?.len();
    }
    let mut end = at + line_at(at)?.len();
    // A line that begins with white space continues the previous line.
    while let Some(line) = line_at(end).filter(|line| line.starts_with(b" ") || line.starts_with(b"\t")) {
        end += line.len();
    }
    let value = at + name.len() + 1;
    Some(header[value..end].trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn field_ends_where_the_next_begins() {
        let header = b"X-Message-ID: no\r\nX-WA-Content-SHA256: ab\r\nMESSAGE-ID:\r\n\t<a@b.c>\r\nOther:\r\n\r\n";
        assert_eq!(field(header, "Message-ID"), Some(b"<a@b.c>".as_slice()));
        assert_eq!(field(header, CONTENT_HEADER), Some(b"ab".as_slice()));
        assert_eq!(field(header, "Other"), Some(b"".as_slice()));
        assert_eq!(field(header, "Message"), None);
        assert_eq!(field(b"\r\n", "Message-ID"), None);
        assert_eq!(fields(header).map(<[u8]>::len).collect::<Vec<_>>(), [18, 25, 23, 8, 2]);
        assert_eq!(fields(b"A: b\r\n c").collect::<Vec<_>>(), [b"A: b\r\n c"]);
    }
}
