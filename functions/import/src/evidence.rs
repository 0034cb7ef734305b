//! The participants of an item whose task had no room for them.

use item::Participant;
use mail_parser::{MessageParser, MimeHeaders};
use serde::Deserialize;

/// Reads them from the evidence in the stored message, the sender first. `None` where the message has no evidence.
pub(crate) fn participants(mime: &[u8]) -> Option<Vec<Participant>> {
    #[derive(Deserialize)]
    struct Evidence {
        from: Participant,
        to: Vec<Participant>,
    }
    let message = MessageParser::new().parse(mime)?;
    let evidence = message.attachments().filter(|part| part.attachment_name() == Some(render::EVIDENCE_NAME)).last()?;
    let evidence: Evidence = serde_json::from_slice(evidence.contents()).ok()?;
    Some(std::iter::once(evidence.from).chain(evidence.to).collect())
}
