//! Reads the evidence in a stored message.

use item::{Captured, Participant};
use mail_parser::{MessageParser, MimeHeaders};

use crate::EVIDENCE_NAME;

/// Reads the participants of a stored message's item, in the order of `Item::participants`. `None` if the message has no
/// evidence.
pub fn participants(mime: &[u8]) -> Option<Vec<Participant>> {
    let message = MessageParser::new().parse(mime)?;
    let evidence = message.attachments().filter(|part| part.attachment_name() == Some(EVIDENCE_NAME)).last()?;
    participants_in(evidence.contents())
}

/// Reads them from the evidence alone.
pub fn participants_in(evidence: &[u8]) -> Option<Vec<Participant>> {
    Captured::participants_in(evidence).ok()
}
