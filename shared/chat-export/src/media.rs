//! Files that messages name.

use model::Kind;

/// Returns the kind of message and the media type for the name of a file.
pub(crate) fn classify(file: &str) -> (Kind, &'static str) {
    let upper = file.to_ascii_uppercase();
    let extension = upper.rsplit_once('.').map_or("", |(_, extension)| extension);
    // The name of a file contains its kind: on Android at the beginning (PTT-20240101-WA0001.opus), on an iPhone after a
    // number (00000003-STICKER-2024-01-01-10-15-00.webp).
    let is = |word: &str| upper.starts_with(&format!("{word}-")) || upper.contains(&format!("-{word}-"));
    match extension {
        "JPG" | "JPEG" => (Kind::Image, "image/jpeg"),
        "PNG" => (Kind::Image, "image/png"),
        "HEIC" => (Kind::Image, "image/heic"),
        "GIF" => (Kind::Gif, "image/gif"),
        "WEBP" if is("STK") || is("STICKER") => (Kind::Sticker, "image/webp"),
        "WEBP" => (Kind::Image, "image/webp"),
        "MP4" if is("GIF") => (Kind::Gif, "video/mp4"),
        "MP4" | "M4V" => (Kind::Video, "video/mp4"),
        "3GP" => (Kind::Video, "video/3gpp"),
        "MOV" => (Kind::Video, "video/quicktime"),
        "MKV" => (Kind::Video, "video/x-matroska"),
        "WEBM" => (Kind::Video, "video/webm"),
        "AVI" => (Kind::Video, "video/x-msvideo"),
        "OPUS" => (Kind::Voice, "audio/ogg"),
        "OGG" | "OGA" => (voice_or_audio(is("PTT")), "audio/ogg"),
        "M4A" => (voice_or_audio(is("PTT")), "audio/mp4"),
        "AAC" => (voice_or_audio(is("PTT")), "audio/aac"),
        "AMR" => (voice_or_audio(is("PTT")), "audio/amr"),
        "MP3" => (Kind::Audio, "audio/mpeg"),
        "WAV" => (Kind::Audio, "audio/wav"),
        "VCF" => (Kind::Contacts, "text/vcard"),
        "PDF" => (Kind::Document, "application/pdf"),
        "TXT" => (Kind::Document, "text/plain"),
        "CSV" => (Kind::Document, "text/csv"),
        "ZIP" => (Kind::Document, "application/zip"),
        "DOCX" => (Kind::Document, "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
        "XLSX" => (Kind::Document, "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
        "PPTX" => (Kind::Document, "application/vnd.openxmlformats-officedocument.presentationml.presentation"),
        _ => (Kind::Document, "application/octet-stream"),
    }
}

/// Maximum number of characters of an extension.
const MAX_EXTENSION_CHARS: usize = 10;

/// Digits of the number that an iPhone puts before a file's name.
const ORDINAL_DIGITS: usize = 8;

/// Returns a file's name without the number that an iPhone puts before it: `00000042-PHOTO-…`. The number counts the messages
/// of one export.
pub(crate) fn without_ordinal(name: &str) -> &str {
    let is_number = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit());
    let parts = name.split_at_checked(ORDINAL_DIGITS).filter(|(digits, _)| is_number(digits));
    parts.and_then(|(_, rest)| rest.strip_prefix('-')).unwrap_or(name)
}

/// Returns whether a name is a file's: it has an extension that begins with a letter, or one that is known.
pub(crate) fn is_file_name(name: &str) -> bool {
    let Some((stem, extension)) = name.rsplit_once('.') else { return false };
    let plain = (2..=5).contains(&extension.len()) && extension.chars().all(|c| c.is_ascii_alphanumeric());
    let known = classify(name).1 != "application/octet-stream";
    !stem.is_empty() && (known || (plain && extension.starts_with(|c: char| c.is_ascii_alphabetic())))
}

/// Returns whether a word of the text has the shape of a file's name: it has an extension with a letter. True for the addresses of
/// most web pages, too.
pub(crate) fn may_name_a_file(text: &str) -> bool {
    text.split(|c: char| !(c.is_alphanumeric() || c == '.')).any(|word| {
        let Some((stem, extension)) = word.rsplit_once('.') else { return false };
        let plain = extension.len() <= MAX_EXTENSION_CHARS && extension.chars().all(|c| c.is_ascii_alphanumeric());
        !stem.is_empty() && plain && extension.contains(|c: char| c.is_ascii_alphabetic())
    })
}

fn voice_or_audio(recorded_in_app: bool) -> Kind {
    if recorded_in_app { Kind::Voice } else { Kind::Audio }
}
