//! Writes the parts of the message: the two texts, the files and the evidence.

use std::borrow::Cow;

use mail_builder::{
    headers::{content_type::ContentType, raw::Raw},
    mime::{BodyPart, MimePart},
};
use model::{Attachment, Sha256};

use crate::write::{body::Shown, file::Content, file_name};

/// An attachment with its name and type in the message.
pub(crate) struct File<'a> {
    pub(crate) attachment: &'a Attachment,
    pub(crate) content: Content,
    pub(crate) name: String,
    pub(crate) media_type: Cow<'static, str>,
    /// Display in the HTML, if the file is a picture.
    pub(crate) shown: Option<Shown>,
}

/// Maximum number of pictures of an item in the HTML. A WhatsApp message has one.
const MAX_SHOWN: usize = 10;

/// Returns the files of an item, in order. `content_id` returns the Content-ID of the file with an index.
pub(crate) fn files<'a>(
    item: &'a model::Item,
    contents: &[Content],
    content_id: impl Fn(usize) -> String,
) -> Vec<File<'a>> {
    let mut left = MAX_SHOWN;
    let numbered = (1..).zip(item.attachments.iter().zip(contents));
    numbered
        .map(|(number, (attachment, content))| {
            let mut media_type = file_name::media_type(attachment.content_type.as_deref());
            let picture = match content {
                Content::File(facts) => facts.picture,
                Content::Erased => None,
            };
            // A picture that was declared with another type is not shown as a picture.
            let picture = picture.filter(|_| is_picture(&media_type) || attachment.content_type.is_none());
            if let (Some(picture), "application/octet-stream") = (picture, &*media_type) {
                media_type = picture.media_type().into();
            }
            let shown = picture.filter(|_| left > 0).map(|picture| {
                left -= 1;
                Shown { content_id: content_id(number), width: picture.shown_width() }
            });
            let name = file_name::of_attachment(attachment, &media_type, &item.kind, number);
            File { attachment, content: *content, name, media_type, shown }
        })
        .collect()
}

fn is_picture(media_type: &str) -> bool {
    matches!(
        media_type,
        "image/jpeg"
            | "image/jpg"
            | "image/pjpeg"
            | "image/png"
            | "image/gif"
            | "image/webp"
            | "application/octet-stream"
    )
}

/// Creates the placeholder of a file: the part's headers, with `mark` in place of its base64. Content-Type is raw,
/// because the builder would rewrite the line breaks of `text/*`.
pub(crate) fn place<'a>(file: &File<'_>, utf8: bool, mark: String) -> MimePart<'a> {
    let text = utf8 && file.media_type.starts_with("text/");
    let charset = text.then_some("utf-8");
    let part =
        part(&file.name, &file.media_type, charset, BodyPart::from(mark.into_bytes())).transfer_encoding("base64");
    match &file.shown {
        // The part is both a listed attachment and the HTML's picture; DESIGN.md describes the behaviour of mail
        // programs.
        Some(shown) => part.header("Content-ID", Raw::new(format!("<{}>", shown.content_id))),
        None => part,
    }
}

/// Creates the part of a contact card.
pub(crate) fn card<'a>(name: &str, vcard: &'a str) -> MimePart<'a> {
    part(name, "text/vcard", Some("utf-8"), BodyPart::from(vcard.as_bytes()))
}

/// Creates the part with the item as captured.
fn evidence(bytes: &[u8]) -> MimePart<'_> {
    part(file_name::EVIDENCE, "application/json", None, BodyPart::from(bytes))
}

fn part<'a>(name: &str, media_type: &str, charset: Option<&str>, bytes: BodyPart<'a>) -> MimePart<'a> {
    MimePart::raw(bytes)
        .header("Content-Type", Raw::new(file_name::content_type(media_type, charset, name)))
        .header("Content-Disposition", ContentType::new("attachment").attribute("filename", name.to_owned()))
}

/// Creates multipart/mixed with the two texts first. The boundaries are derived from the hash of the evidence: they are
/// reproducible, and no text can contain its own hash.
pub(crate) fn message<'a>(
    (plain, html): (String, String),
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

/// Encodes `From ` at the beginning of a line, which programs with mbox files would change to `>From `. A participant's
/// word can be at the beginning of a line only after a soft line break of quoted-printable; all other lines begin with
/// words of the archive.
pub(crate) fn quote_from_lines(message: Vec<u8>) -> Vec<u8> {
    const FROM: &[u8] = b"\nFrom ";
    if memchr::memmem::find(&message, FROM).is_none() {
        return message;
    }
    let mut quoted = Vec::with_capacity(message.len() + 64);
    let mut rest = message.as_slice();
    while let Some(at) = memchr::memmem::find(rest, FROM) {
        quoted.extend_from_slice(rest.get(..at).unwrap_or_default());
        // The soft line break keeps the line short enough.
        quoted.extend_from_slice(b"\n=46rom=\r\n ");
        rest = rest.get(at + FROM.len()..).unwrap_or_default();
    }
    quoted.extend_from_slice(rest);
    quoted
}
