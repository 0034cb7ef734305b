//! Mails whose content is in a container that is not read. If they were read as they stand, the archive would say that the
//! sender had sent a document.

use mail_parser::{Message, MimeHeaders};
use model::Attachment;

use crate::MailError;

/// The note in a mail with [`is_outlooks`] file.
pub(crate) const OUTLOOK_NOTE: &str = "The vendor's mail has a container of Microsoft Outlook (winmail.dat), which is not read: it may have more text and files.";

/// Checks the mail as a whole. A file of these types beside other parts is a file that a person has sent.
///
/// # Errors
/// [`MailError::Encrypted`], [`MailError::OpaquelySigned`].
pub(crate) fn check(mail: &Message<'_>) -> Result<(), MailError> {
    let root = mail.root_part();
    let Some(content_type) = root.content_type() else { return Ok(()) };
    let subtype = content_type.subtype().unwrap_or_default().to_ascii_lowercase();
    let name = root.attachment_name().unwrap_or_default().to_ascii_lowercase();
    match (content_type.ctype().to_ascii_lowercase().as_str(), subtype.as_str()) {
        ("multipart", "encrypted") => return Err(MailError::Encrypted("multipart/encrypted".to_owned())),
        ("application", "pkcs7-mime" | "x-pkcs7-mime") => {}
        // RFC 8551, 3.2.1: some gateways do not know the type.
        ("application", "octet-stream") if name.ends_with(".p7m") => {}
        _ => return Ok(()),
    }
    let kind = content_type.attribute("smime-type").unwrap_or_default().to_ascii_lowercase();
    match kind.as_str() {
        "signed-data" | "compressed-data" | "certs-only" => Err(MailError::OpaquelySigned),
        _ => Err(MailError::Encrypted("S/MIME".to_owned())),
    }
}

/// Returns whether a file is Outlook's container of a mail's text and files (TNEF).
pub(crate) fn is_outlooks(file: &Attachment) -> bool {
    let is_type = |known: &str| file.content_type.as_deref() == Some(known);
    let is_named = file.name.as_deref().is_some_and(|name| name.eq_ignore_ascii_case("winmail.dat"));
    is_type("application/ms-tnef") || is_type("application/vnd.ms-tnef") || is_named
}
