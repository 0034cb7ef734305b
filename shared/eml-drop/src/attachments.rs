//! The files of a mail, and the mail itself as the evidence.

use mail_parser::{
    Encoding, Message, MessagePart, MimeHeaders, PartType,
    decoders::{base64::base64_decode, quoted_printable::quoted_printable_decode},
};
use model::{Attachment, AttachmentId, Sha256};

use crate::{MailError, journal, parse::parse_body};

/// The attachment id of the vendor's mail.
pub const EVIDENCE_ID: &str = "evidence";

/// The file name of the vendor's mail in our message.
pub const EVIDENCE_NAME: &str = "whatsapp-item.eml";

/// The prefix of the ids of all other attachments.
const PART: &str = "part-";

/// Returns the bytes of an attachment. `None` if the mail does not have it.
pub fn attachment(mail: &[u8], id: &AttachmentId) -> Option<Vec<u8>> {
    if id.as_str() == EVIDENCE_ID {
        return Some(mail.to_vec());
    }
    let part: usize = id.as_str().strip_prefix(PART)?.parse().ok()?;
    let opened = journal::open(mail);
    let mail = parse_body(&opened.mail)?;
    let (_, part) = files(&mail).find(|(place, _)| *place == part)?;
    Some(decoded(&mail, part))
}

/// Declares the files of a mail.
pub(crate) fn declared(mail: &Message<'_>) -> Result<Vec<Attachment>, MailError> {
    let declare = |(place, part): (usize, &MessagePart<'_>)| {
        let bytes = decoded(mail, part);
        Ok(Attachment {
            id: AttachmentId::try_from(format!("{PART}{place}")).map_err(|_| MailError::Json)?,
            name: part.attachment_name().map(str::to_owned),
            content_type: part.content_type().map(|media_type| match media_type.subtype() {
                Some(subtype) => format!("{}/{subtype}", media_type.ctype()).to_ascii_lowercase(),
                None => media_type.ctype().to_ascii_lowercase(),
            }),
            size: Some(bytes.len() as u64),
            sha256: Some(Sha256::of(&bytes)),
            duration_seconds: None,
            view_once: None,
            evidence: None,
        })
    };
    files(mail).map(declare).collect()
}

/// Declares the vendor's mail. It is not attached as message/rfc822, because base64 is not allowed there (RFC 2046,
/// 5.2.1), and mail systems change the bytes of other encodings.
pub(crate) fn evidence(sha256: Sha256, bytes: u64) -> Result<Attachment, MailError> {
    Ok(Attachment {
        id: AttachmentId::try_from(EVIDENCE_ID.to_owned()).map_err(|_| MailError::Json)?,
        name: Some(EVIDENCE_NAME.to_owned()),
        content_type: Some("application/octet-stream".to_owned()),
        size: Some(bytes),
        sha256: Some(sha256),
        duration_seconds: None,
        view_once: None,
        evidence: Some(true),
    })
}

/// Returns all parts whose content is not part of the message's text.
fn files<'a, 'x>(mail: &'a Message<'x>) -> impl Iterator<Item = (usize, &'a MessagePart<'x>)> {
    let is_text = |place: usize, part: &MessagePart<'_>| {
        let shown = |list: &[u32]| list.iter().any(|shown| *shown as usize == place);
        part.is_text() && (shown(&mail.text_body) || shown(&mail.html_body))
    };
    mail.parts.iter().enumerate().filter(move |(place, part)| !part.is_multipart() && !is_text(*place, part))
}

/// Returns a file's original bytes. The parser converts the character set of texts, but a file must not be changed.
fn decoded(mail: &Message<'_>, part: &MessagePart<'_>) -> Vec<u8> {
    if !matches!(part.body, PartType::Text(_) | PartType::Html(_)) {
        return part.contents().to_vec();
    }
    let raw = mail.raw_message.get(part.offset_body as usize..part.offset_end as usize).unwrap_or_default();
    let decoded = match part.encoding {
        Encoding::Base64 => base64_decode(raw),
        Encoding::QuotedPrintable => quoted_printable_decode(raw),
        Encoding::None => Some(raw.to_vec()),
    };
    decoded.unwrap_or_else(|| part.contents().to_vec())
}
