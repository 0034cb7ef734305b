//! What the stored message itself says: its Message-ID, and the participants of an item whose task had no room for them.

use item::Participant;
use mail_parser::{MessageParser, MessagePart, MimeHeaders};

use crate::mailbox::{MailboxError, Mime};

/// Evidence is not longer: the archive's answer ends before.
const LONGEST: u64 = 16 << 20;

/// The stored message's own Message-ID, with angle brackets. The task's may be another one: an archive that has come to
/// know a person better, or a new `ARCHIVE_DOMAIN`, gives a later rendering another id, and the first rendering stays.
pub(crate) fn message_id(mime: &Mime) -> Option<String> {
    let head = MessageParser::new().with_message_ids().parse_headers(&mime.in_memory()[..])?;
    head.message_id().map(|id| format!("<{id}>"))
}

/// Reads the participants from the evidence in the stored message, the sender first. `None` where the message has no evidence.
///
/// # Errors
/// Where the evidence is not in memory, and the bucket does not give it.
pub(crate) async fn participants(mime: &Mime) -> Result<Option<Vec<Participant>>, MailboxError> {
    let stored = {
        let message = MessageParser::new().parse(&mime.in_memory()[..]);
        let named = |part: &&MessagePart<'_>| part.attachment_name() == Some(render::EVIDENCE_NAME);
        let part = message.as_ref().and_then(|message| message.attachments().filter(named).last());
        part.and_then(|part| mime.file_at(part.raw_body_offset() as usize))
    };
    match stored {
        None => Ok(render::participants(mime.in_memory())),
        Some(file) if file.length() > LONGEST => Ok(None),
        Some(file) => Ok(render::participants_in(&file.read(0..file.length()).await?)),
    }
}
