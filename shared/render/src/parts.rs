//! The parts of the message behind its texts.

use item::{ContactCard, Sha256};
use mail_builder::{
    headers::{content_type::ContentType, raw::Raw},
    mime::{BodyPart, MimePart},
};

use crate::file_name;

/// The place of a file: the part's headers, and `mark` where its base64 goes. Content-Type is raw so that the builder
/// does not look into it: it would rewrite the line ends of `text/*`, and so every attachment is base64.
pub(crate) fn place<'a>(name: &str, media_type: &str, utf8: bool, mark: String) -> MimePart<'a> {
    let text = utf8 && media_type.starts_with("text/");
    part(name, media_type, text.then_some("utf-8"), BodyPart::from(mark.into_bytes())).transfer_encoding("base64")
}

/// A contact card as a file.
pub(crate) fn card<'a>(card: &ContactCard, vcard: &'a str, number: usize) -> MimePart<'a> {
    let name = card.name.as_deref().and_then(|name| file_name::safe(&format!("{name}.vcf")));
    let name = name.unwrap_or_else(|| format!("contact-{number}.vcf"));
    part(&name, "text/vcard", Some("utf-8"), BodyPart::from(vcard.as_bytes()))
}

/// The item as captured.
pub(crate) fn evidence(bytes: &[u8]) -> MimePart<'_> {
    part(file_name::EVIDENCE, "application/json", None, BodyPart::from(bytes))
}

fn part<'a>(name: &str, media_type: &str, charset: Option<&str>, bytes: BodyPart<'a>) -> MimePart<'a> {
    MimePart::raw(bytes)
        .header("Content-Type", Raw::new(file_name::content_type(media_type, charset, name)))
        .header("Content-Disposition", ContentType::new("attachment").attribute("filename", name.to_owned()))
}

/// multipart/mixed with the two texts first. The boundaries come from the hash of the evidence: the same every time,
/// and nobody can write a text that holds the hash of itself.
pub(crate) fn message<'a>(
    plain: String,
    html: String,
    files: Vec<MimePart<'a>>,
    evidence: &'a [u8],
    seed: &Sha256,
) -> MimePart<'a> {
    let boundary = |name: &str| format!("=_{name}_{}", seed.short_hex());
    let alternative = MimePart::new(
        ContentType::new("multipart/alternative").attribute("boundary", boundary("text")),
        vec![MimePart::new("text/plain", plain), MimePart::new("text/html", html)],
    );
    let mut parts = Vec::with_capacity(files.len() + 2);
    parts.push(alternative);
    parts.extend(files);
    parts.push(self::evidence(evidence));
    MimePart::new(ContentType::new("multipart/mixed").attribute("boundary", boundary("mixed")), parts)
}
