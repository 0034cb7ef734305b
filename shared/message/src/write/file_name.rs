//! Sanitizes file names and media types, which the sender declares.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
};

use model::{Attachment, Kind};

use crate::write::{
    clean::{is_direction_mark, is_invisible, one_line},
    encoded_word,
};

/// The name of the evidence, which no attachment may have.
pub const EVIDENCE: &str = "whatsapp-item.json";

/// Maximum length of a name with its extension, in bytes of UTF-8. Encoded in a header it takes up to three times as
/// many, and a header line has at most 998 bytes.
const MAX_BYTES: usize = 150;
/// Maximum length of an extension that is kept when a name is cut, in bytes.
const MAX_EXTENSION: usize = 12;

/// Media types that mail systems interpret: Exchange turns calendars into meeting requests and TNEF into the message
/// itself, and treats S/MIME as the message's signature. Such files get the type application/octet-stream.
const INTERPRETED: [&str; 9] = [
    "text/calendar",
    "text/x-vcalendar",
    "application/ics",
    "application/ms-tnef",
    "application/vnd.ms-tnef",
    "application/pkcs7-mime",
    "application/x-pkcs7-mime",
    "application/pkcs7-signature",
    "application/x-pkcs7-signature",
];

/// Returns the name of an attachment in the message. `number` counts from 1.
pub(crate) fn of_attachment(attachment: &Attachment, media_type: &str, kind: &Kind, number: usize) -> String {
    let given = attachment.name.as_deref().and_then(safe);
    match given {
        Some(name) if extension_of(&name).is_some() => name,
        // Programs select the application for a file by its extension.
        Some(name) => match extension(media_type) {
            Some(extension) => cut(&format!("{name}.{extension}")),
            None => name,
        },
        None => {
            let stem = if kind.is_media() { kind.as_str() } else { "attachment" };
            format!("{stem}-{number}.{}", extension(media_type).unwrap_or("bin"))
        }
    }
}

/// Numbers names that are equal except for case: `a.pdf`, `a (2).pdf`.
pub(crate) fn make_distinct(names: &mut [String]) {
    let mut taken = HashSet::with_capacity(names.len() + 1);
    taken.insert(EVIDENCE.to_owned());
    let mut next_numbers: HashMap<String, usize> = HashMap::new();
    for name in names {
        let mut candidate = name.clone();
        while !taken.insert(candidate.to_lowercase()) {
            let next = next_numbers.entry(name.to_lowercase()).or_insert(2);
            candidate = numbered(name, *next);
            *next += 1;
        }
        *name = candidate;
    }
}

fn numbered(name: &str, number: usize) -> String {
    let suffix = format!(" ({number})");
    let extension = extension_of(name);
    let stem = extension.and_then(|extension| name.strip_suffix(extension)?.strip_suffix('.')).unwrap_or(name);
    let max_stem = MAX_BYTES.saturating_sub(suffix.len() + extension.map_or(0, |extension| extension.len() + 1));
    let stem = stem.get(..stem.floor_char_boundary(max_stem)).unwrap_or_default();
    extension.map_or_else(|| format!("{stem}{suffix}"), |extension| format!("{stem}{suffix}.{extension}"))
}

/// Removes from a name the path, characters that are invalid in file systems or headers, and marks that make one
/// extension look like another. `None` if no visible character remains.
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
    let stem = extension_of(line).and_then(|extension| line.strip_suffix(extension)).unwrap_or(line);
    if stem.chars().all(|c| c == '.' || is_invisible(c)) {
        return None;
    }
    let cut = cut(line);
    let stem = cut.split('.').next().unwrap_or_default().to_ascii_lowercase();
    let device = matches!(stem.as_str(), "con" | "prn" | "aux" | "nul")
        || (stem.len() == 4 && (stem.starts_with("com") || stem.starts_with("lpt")));
    // Exchange treats a file with this name as TNEF, whatever its type.
    let tnef = cut.eq_ignore_ascii_case("winmail.dat");
    Some(if device || tnef || cut.eq_ignore_ascii_case(EVIDENCE) { format!("_{cut}") } else { cut })
}

/// Returns the extension without its dot, if it looks like one.
fn extension_of(name: &str) -> Option<&str> {
    let (_, extension) = name.rsplit_once('.')?;
    let fits = (1..=MAX_EXTENSION).contains(&extension.len())
        && extension.chars().all(|c| !c.is_whitespace())
        && extension.chars().any(char::is_alphanumeric);
    fits.then_some(extension)
}

fn cut(name: &str) -> String {
    if name.len() < MAX_BYTES {
        return name.to_owned();
    }
    let extension = extension_of(name);
    let max_stem = MAX_BYTES - 1 - extension.map_or(0, |extension| extension.len() + 1);
    let stem = name.strip_suffix(extension.unwrap_or_default()).unwrap_or(name);
    let stem = stem.strip_suffix('.').unwrap_or(stem);
    let stem = stem.get(..stem.floor_char_boundary(max_stem)).unwrap_or_default();
    let stem = stem.trim_end_matches([' ', '.', '\u{200d}']);
    extension.map_or_else(|| stem.to_owned(), |extension| format!("{stem}.{extension}"))
}

/// Returns the declared media type without its parameters, if an attachment may have it. Otherwise
/// application/octet-stream: for messages and multiparts, which must not be base64, and for types that mail systems
/// interpret.
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
            let is_container = essence.starts_with("message/") || essence.starts_with("multipart/");
            if is_container || INTERPRETED.contains(&essence.as_str()) { BYTES } else { essence.into() }
        }
        _ => BYTES,
    }
}

/// Returns the usual extension of a media type. The database lacks a few types that phones send.
fn extension(media_type: &str) -> Option<&'static str> {
    match media_type {
        "application/octet-stream" => None,
        "audio/ogg" | "audio/opus" => Some("opus"),
        "audio/amr" | "audio/3gpp" => Some("amr"),
        "audio/mp4" | "audio/x-m4a" => Some("m4a"),
        "audio/mp3" | "audio/mpeg" => Some("mp3"),
        "audio/aac" => Some("aac"),
        "video/quicktime" => Some("mov"),
        "image/jpg" | "image/pjpeg" => Some("jpg"),
        "text/vcard" | "text/x-vcard" | "text/directory" => Some("vcf"),
        "application/x-zip-compressed" => Some("zip"),
        other => mime2ext::mime2ext(other),
    }
}

/// Returns a Content-Type that includes the name, for programs that do not support `filename*=`: unchanged if it is
/// ASCII, otherwise in encoded words. RFC 2047 does not allow encoded words in quotes, but the programs that need them
/// expect them there. With the backslash before it, the word is plain text for a strict program, and an encoded word
/// for a program that removes quotes first.
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
        for (number, word) in encoded_word::words(name).iter().enumerate() {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: Option<&str>, media_type: &str) -> String {
        let attachment = serde_json::json!({"id": "1", "name": name, "contentType": media_type});
        let attachment: Attachment = serde_json::from_value(attachment).unwrap();
        of_attachment(&attachment, &super::media_type(Some(media_type)), &Kind::Document, 1)
    }

    #[test]
    fn names_are_safe_and_short() {
        for (name, expected) in [
            ("report.pdf", Some("report.pdf")),
            ("../../etc/passwd", Some("passwd")),
            ("C:\\Users\\a\\b.doc", Some("b.doc")),
            ("invoice\u{202e}fdp.exe", Some("invoicefdp.exe")),
            ("a\r\nContent-Type: text/html\0.txt", Some("html .txt")),
            ("what?.pdf", Some("what_.pdf")),
            ("..hidden. ", Some("hidden")),
            ("50%.txt", Some("50_.txt")),
            ("CON.txt", Some("_CON.txt")),
            ("com1.txt", Some("_com1.txt")),
            ("Winmail.DAT", Some("_Winmail.DAT")),
            ("Whatsapp-Item.json", Some("_Whatsapp-Item.json")),
            (" .. ", None),
            ("/", None),
            ("\u{202e}", None),
            ("\u{3164}.pdf", None),
            ("\u{200b}\u{2060}", None),
        ] {
            assert_eq!(safe(name).as_deref(), expected, "{name:?}");
        }
        for long in [
            format!("{}.docx", "é".repeat(1_000)),
            format!("{}.docx", "👍🏽".repeat(100)),
            "👨\u{200d}👩".repeat(100),
            "x".repeat(1_000_000),
            format!("a.{}", "b".repeat(99)),
            "x".repeat(MAX_BYTES + 1),
        ] {
            let name = safe(&long).unwrap();
            assert!(name.len() <= MAX_BYTES, "{name}");
            assert_eq!(name.ends_with(".docx"), long.ends_with(".docx"));
        }
        let stem = "x".repeat(MAX_BYTES - 2);
        assert_eq!(safe(&format!("{stem} and more")), Some(stem), "the cut is at a space");
    }

    #[test]
    fn extension_follows_from_the_type_when_the_name_has_none() {
        for (media_type, extension) in [
            ("audio/amr", "amr"),
            ("audio/3gpp", "amr"),
            ("audio/opus", "opus"),
            ("audio/ogg; codecs=opus", "opus"),
            ("audio/x-m4a", "m4a"),
            ("audio/mpeg", "mp3"),
            ("audio/aac", "aac"),
            ("image/jpeg", "jpg"),
            ("image/heic", "heic"),
            ("image/heif", "heif"),
            ("image/tiff", "tif"),
            ("image/webp", "webp"),
            ("image/svg+xml", "svg"),
            ("video/quicktime", "mov"),
            ("video/3gpp", "3gp"),
            ("application/vnd.openxmlformats-officedocument.wordprocessingml.document", "docx"),
            ("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "xlsx"),
            ("application/msword", "doc"),
            ("application/zip", "zip"),
            ("application/pdf", "pdf"),
            ("text/csv", "csv"),
            ("text/plain", "txt"),
            ("text/x-vcard", "vcf"),
            ("text/vcard", "vcf"),
            ("application/unknown-thing", "bin"),
            ("text/calendar", "bin"),
        ] {
            assert_eq!(named(None, media_type), format!("document-1.{extension}"), "{media_type}");
        }
        assert_eq!(named(Some("minutes"), "application/pdf"), "minutes.pdf");
        assert_eq!(named(Some("v1.2 final"), "application/pdf"), "v1.2 final.pdf");
        assert_eq!(named(Some("minutes.txt"), "application/pdf"), "minutes.txt");
        assert_eq!(named(Some("minutes.---"), "application/pdf"), "minutes.---.pdf");
        assert_eq!(named(Some("minutes"), "application/octet-stream"), "minutes");
    }

    #[test]
    fn equal_names_are_made_distinct() {
        let long = format!("{}.pdf", "é".repeat(73));
        let mut names = ["a.pdf", "A.PDF", "a.pdf", "a (2).pdf", "b", "b", &long, &long].map(str::to_owned);
        make_distinct(&mut names);
        assert_eq!(names[..6], ["a.pdf", "A (2).PDF", "a (3).pdf", "a (2) (2).pdf", "b", "b (2)"]);
        assert!(names[7].ends_with(" (2).pdf") && names[7].len() <= MAX_BYTES, "{}", names[7]);
        let mut evidence = [EVIDENCE.to_owned()];
        make_distinct(&mut evidence);
        assert_eq!(evidence, ["whatsapp-item (2).json"]);
        let mut many = vec!["x.jpg".to_owned(); 1_000];
        make_distinct(&mut many);
        assert_eq!(many.iter().collect::<HashSet<_>>().len(), 1_000);
    }

    #[test]
    fn media_types_that_a_mail_system_reads_are_bytes() {
        for (declared, expected) in [
            ("Image/JPEG", "image/jpeg"),
            ("audio/ogg; codecs=opus", "audio/ogg"),
            ("message/rfc822", "application/octet-stream"),
            ("multipart/mixed; boundary=x", "application/octet-stream"),
            ("Text/Calendar; method=REQUEST", "application/octet-stream"),
            ("application/ms-tnef", "application/octet-stream"),
            ("application/pkcs7-mime", "application/octet-stream"),
            ("image/png\r\nBcc: x", "application/octet-stream"),
            ("image", "application/octet-stream"),
            (&format!("image/{}", "x".repeat(61)), "application/octet-stream"),
            ("", "application/octet-stream"),
        ] {
            assert_eq!(media_type(Some(declared)), expected, "{declared:?}");
        }
    }
}
