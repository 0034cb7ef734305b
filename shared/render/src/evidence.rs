//! What can be read again from the evidence in a stored message.

use item::Participant;
use mail_parser::{MessageParser, MimeHeaders};
use serde::Deserialize;

use crate::EVIDENCE_NAME;

/// The participants of the item of a stored message, the sender first, in the order of `Item::participants`. `None` where
/// the message has no evidence.
pub fn participants(mime: &[u8]) -> Option<Vec<Participant>> {
    let message = MessageParser::new().parse(mime)?;
    let evidence = message.attachments().filter(|part| part.attachment_name() == Some(EVIDENCE_NAME)).last()?;
    participants_in(evidence.contents())
}

/// The same from the evidence alone.
pub fn participants_in(evidence: &[u8]) -> Option<Vec<Participant>> {
    #[derive(Deserialize)]
    struct Evidence {
        from: Participant,
        to: Vec<Participant>,
    }
    let evidence: Evidence = serde_json::from_slice(evidence).ok()?;
    Some(std::iter::once(evidence.from).chain(evidence.to).collect())
}
