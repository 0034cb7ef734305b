//! Reads the Message-ID, the evidence and its participants from a stored message.

use mail_parser::{MessageParser, MessagePart, MimeHeaders};
use model::{Captured, Participant};

use super::{Mime, ReadError};
use crate::write::EVIDENCE_NAME;

/// Maximum size of evidence. The source's response has a lower limit.
const EVIDENCE_MAX_BYTES: u64 = 16 << 20;

/// Returns the stored message's own Message-ID, with angle brackets. It may differ from the task's: the first rendering
/// is kept, and a later rendering has another id if the participant's data or `ARCHIVE_DOMAIN` have changed.
pub fn message_id(mime: &Mime) -> Option<String> {
    let head = MessageParser::new().with_message_ids().parse_headers(&mime.in_memory()[..])?;
    head.message_id().map(|id| format!("<{id}>"))
}

/// Reads the participants from the evidence in the stored message, the sender first. `None` if the message has no
/// evidence.
///
/// # Errors
/// The evidence is not in memory, and reading it from the bucket fails.
pub async fn participants(mime: &Mime) -> Result<Option<Vec<Participant>>, ReadError> {
    Ok(bytes(mime).await?.and_then(|evidence| participants_in(&evidence)))
}

/// Reads the evidence in the stored message; `None` if the message has none.
///
/// # Errors
/// The evidence is not in memory, and reading it from the bucket fails.
pub async fn bytes(mime: &Mime) -> Result<Option<Vec<u8>>, ReadError> {
    let stored = {
        let message = MessageParser::new().parse(&mime.in_memory()[..]);
        let named = |part: &&MessagePart<'_>| part.attachment_name() == Some(EVIDENCE_NAME);
        let Some(part) = message.as_ref().and_then(|message| message.attachments().filter(named).last()) else {
            return Ok(None);
        };
        match mime.file_at(part.raw_body_offset() as usize) {
            Some(file) => file,
            None => return Ok(Some(part.contents().to_vec())),
        }
    };
    if stored.length() > EVIDENCE_MAX_BYTES {
        return Ok(None);
    }
    Ok(Some(stored.read(0..stored.length()).await?.to_vec()))
}

/// Reads the participants of a stored message's item, in the order of `Item::participants`. `None` if the message has no
/// evidence.
pub fn participants_of(mime: &[u8]) -> Option<Vec<Participant>> {
    let message = MessageParser::new().parse(mime)?;
    let evidence = message.attachments().filter(|part| part.attachment_name() == Some(EVIDENCE_NAME)).last()?;
    participants_in(evidence.contents())
}

/// Reads the participants from the evidence.
pub fn participants_in(evidence: &[u8]) -> Option<Vec<Participant>> {
    Captured::participants_in(evidence).ok()
}
