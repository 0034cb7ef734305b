//! File names and media types, of which the sender's are not to be trusted.

use std::borrow::Cow;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use item::{Attachment, Kind};

use crate::clean::{is_direction_mark, one_line};

/// The name of the evidence's own part, which no attachment may take.
pub const EVIDENCE: &str = "whatsapp-item.json";

/// The longest name that is kept, in characters, the extension included.
const MAX_CHARS: usize = 60;
/// The longest extension that survives a cut.
const MAX_EXTENSION: usize = 12;

/// The name that an attachment gets in the message. `number` counts from 1.
pub(crate) fn of_attachment(attachment: &Attachment, kind: &Kind, number: usize) -> String {
    let given = attachment.name.as_deref().and_then(safe);
    given.unwrap_or_else(|| {
        let stem = match kind {
            Kind::Image | Kind::Video | Kind::Gif | Kind::Audio | Kind::Voice | Kind::Document | Kind::Sticker => {
                kind.as_str()
            }
            _ => "attachment",
        };
        format!("{stem}-{number}.{}", extension(&media_type(attachment.content_type.as_deref())))
    })
}

/// A name without a path, characters that a file system or a header would trip over, or marks that make one extension
/// look like another. `None` when nothing is left.
pub(crate) fn safe(name: &str) -> Option<String> {
    let last = name.rsplit(['/', '\\']).find(|part| !part.trim().is_empty())?;
    let replaced: String = last
        .chars()
        .filter(|c| !is_direction_mark(*c) && !matches!(c, '\u{feff}' | '\u{200b}'))
        .take(4 * 1_024)
        .map(|c| if matches!(c, '<' | '>' | ':' | '"' | '|' | '?' | '*' | '%') { '_' } else { c })
        .collect();
    let line = one_line(&replaced, usize::MAX);
    let line = line.trim_matches(['.', ' ']);
    if line.is_empty() {
        return None;
    }
    let cut = cut(line);
    let stem = cut.split('.').next().unwrap_or_default().to_ascii_lowercase();
    let device = matches!(stem.as_str(), "con" | "prn" | "aux" | "nul")
        || (stem.len() == 4 && (stem.starts_with("com") || stem.starts_with("lpt")));
    Some(if device || cut.eq_ignore_ascii_case(EVIDENCE) { format!("_{cut}") } else { cut })
}

fn cut(name: &str) -> String {
    if name.chars().count() < MAX_CHARS {
        return name.to_owned();
    }
    let extension = name
        .rsplit_once('.')
        .map(|(_, extension)| extension)
        .filter(|extension| (1..=MAX_EXTENSION).contains(&extension.chars().count()));
    let room = MAX_CHARS - 1 - extension.map_or(0, |extension| extension.chars().count() + 1);
    let stem = name.strip_suffix(extension.unwrap_or_default()).unwrap_or(name);
    let stem: String = stem.strip_suffix('.').unwrap_or(stem).chars().take(room).collect();
    let stem = stem.trim_end_matches([' ', '.', '\u{200d}']);
    extension.map_or_else(|| stem.to_owned(), |extension| format!("{stem}.{extension}"))
}

/// The declared media type without its parameters, where it is one that an attachment may have: a whole message or a
/// multipart may not be base64, so those travel as bytes.
pub(crate) fn media_type(declared: Option<&str>) -> Cow<'static, str> {
    const BYTES: Cow<'static, str> = Cow::Borrowed("application/octet-stream");
    let Some(declared) = declared else { return BYTES };
    let essence = declared.split(';').next().unwrap_or_default().trim();
    let token = |text: &str| {
        (1..=60).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$&^_.+-".contains(&byte))
    };
    match essence.split_once('/') {
        Some((top, sub)) if token(top) && token(sub) => {
            let essence = essence.to_ascii_lowercase();
            if essence.starts_with("message/") || essence.starts_with("multipart/") { BYTES } else { essence.into() }
        }
        _ => BYTES,
    }
}

fn extension(media_type: &str) -> &'static str {
    match media_type {
        "image/jpeg" => "jpg",
        "image/png" => "png",
        "image/gif" => "gif",
        "image/webp" => "webp",
        "video/mp4" => "mp4",
        "video/3gpp" => "3gp",
        "audio/ogg" => "ogg",
        "audio/mpeg" => "mp3",
        "audio/mp4" => "m4a",
        "audio/aac" => "aac",
        "application/pdf" => "pdf",
        "text/plain" => "txt",
        "text/vcard" => "vcf",
        _ => "bin",
    }
}

/// A Content-Type with the name in it, for readers that know no `filename*=`: as it is where it is ASCII, else in
/// encoded words. RFC 2047 does not allow those between quotes but the readers that need them expect them there; with
/// the backslash before it the word is text to a strict reader, and the same word to one that takes quotes off first.
pub(crate) fn content_type(media_type: &str, charset: Option<&str>, name: &str) -> String {
    let mut value = media_type.to_owned();
    if let Some(charset) = charset {
        value.push_str("; charset=");
        value.push_str(charset);
    }
    value.push_str("; name=\"");
    if name.is_ascii() {
        value.push_str(name);
    } else {
        for (number, word) in encoded_words(name).iter().enumerate() {
            if number > 0 {
                value.push(' ');
            }
            value.push('\\');
            value.push_str(word);
        }
    }
    value.push('"');
    value
}

/// 45 bytes make 60 characters of base64, and 72 with what stands around them; a word may have 75.
fn encoded_words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (word, after) = rest.split_at(rest.floor_char_boundary(45));
        words.push(format!("=?utf-8?B?{}?=", STANDARD.encode(word)));
        rest = after;
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_safe_and_short() {
        for (name, expected) in [
            ("report.pdf", Some("report.pdf")),
            ("../../etc/passwd", Some("passwd")),
            ("C:\\Users\\a\\b.doc", Some("b.doc")),
            ("invoice\u{202e}fdp.exe", Some("invoicefdp.exe")),
            ("a\r\nContent-Type: text/html\0.txt", Some("html .txt")),
            ("what?.pdf", Some("what_.pdf")),
            ("CON.txt", Some("_CON.txt")),
            ("Whatsapp-Item.json", Some("_Whatsapp-Item.json")),
            (" .. ", None),
            ("/", None),
            ("\u{202e}", None),
        ] {
            assert_eq!(safe(name).as_deref(), expected, "{name:?}");
        }
        for long in [
            format!("{}.docx", "é".repeat(1_000)),
            "👨\u{200d}👩".repeat(100),
            "x".repeat(1_000_000),
            format!("a.{}", "b".repeat(99)),
        ] {
            let name = safe(&long).unwrap();
            assert!(name.chars().count() <= MAX_CHARS, "{name}");
            assert_eq!(name.ends_with(".docx"), long.ends_with(".docx"));
        }
    }

    #[test]
    fn only_media_types_that_may_be_base64_are_taken() {
        for (declared, expected) in [
            ("Image/JPEG", "image/jpeg"),
            ("audio/ogg; codecs=opus", "audio/ogg"),
            ("message/rfc822", "application/octet-stream"),
            ("multipart/mixed; boundary=x", "application/octet-stream"),
            ("image/png\r\nBcc: x", "application/octet-stream"),
            ("image", "application/octet-stream"),
            ("", "application/octet-stream"),
        ] {
            assert_eq!(media_type(Some(declared)), expected, "{declared:?}");
        }
    }
}
