//! Reads the evidence in a stored message.

use item::Participant;
use mail_parser::{MessageParser, MimeHeaders};
use serde::Deserialize;

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
    #[derive(Deserialize)]
    struct Evidence {
        from: Participant,
        to: Vec<Participant>,
    }
    let evidence: Evidence = serde_json::from_slice(evidence).ok()?;
    Some(std::iter::once(evidence.from).chain(evidence.to).collect())
}
