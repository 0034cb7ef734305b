//! The Message-ID of a stored message, and the participants in its evidence.

use mail_parser::{MessageParser, MessagePart, MimeHeaders};
use model::{Captured, Participant};

use super::{Mime, ReadError};
use crate::write::EVIDENCE_NAME;

/// Evidence is never longer: the source's response is limited to less.
const EVIDENCE_MAX_BYTES: u64 = 16 << 20;

/// The stored message's own Message-ID, with angle brackets. The task's may differ: more facts about a
/// participant, or a new `ARCHIVE_DOMAIN`, give a later rendering another id, and the first rendering stays.
pub fn message_id(mime: &Mime) -> Option<String> {
    let head = MessageParser::new().with_message_ids().parse_headers(&mime.in_memory()[..])?;
    head.message_id().map(|id| format!("<{id}>"))
}

/// Reads the participants from the evidence in the stored message, the sender first. `None` if the message has no
/// evidence.
///
/// # Errors
/// The evidence is not in memory, and the bucket does not give it.
pub async fn participants(mime: &Mime) -> Result<Option<Vec<Participant>>, ReadError> {
    Ok(bytes(mime).await?.and_then(|evidence| participants_in(&evidence)))
}

/// Reads the evidence in the stored message. `None` where the message has none.
///
/// # Errors
/// Where the evidence is not in memory, and the bucket does not give it.
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

/// Reads them from the evidence alone.
pub fn participants_in(evidence: &[u8]) -> Option<Vec<Participant>> {
    Captured::participants_in(evidence).ok()
}
