//! Creates the copy that is filed: the stored message with mailbox addresses in its address fields.
//!
//! convert does not read the user map, so in the stored message a participant who is only in the user map has an
//! address below `whatsapp.invalid`. A reviewer searches for the address of the mailbox. Only addresses in the header
//! are replaced. Names, other fields and the rest of the message keep their bytes, and the stored message is not
//! changed.

use std::{
    borrow::Cow,
    collections::{HashMap, hash_map::Entry},
    fmt,
    ops::Range,
    sync::Arc,
};

use async_trait::async_trait;
use bytes::Bytes;
use mail_builder::headers::{Header, raw::Raw};
use memchr::memmem;
use model::{MailboxAddress, Participant};

use crate::{
    read::{LargeMime, LeftOut, Mime, Original, ReadError, fields},
    write::{MAX_NAMED, address},
};

/// The fields in which addresses are replaced: those that convert writes, and those in a vendor's mail.
const ADDRESS_FIELDS: [&str; 4] = ["From", "Sender", "To", "Cc"];

/// Maps addresses in a stored message to the mailbox addresses that replace them in a copy.
#[derive(Default)]
pub struct CopyAddresses(HashMap<String, MailboxAddress>);

impl CopyAddresses {
    /// Creates the map from the participants, the sender first, each with the primary address of its mailbox, if it has
    /// one. An address of the stored message that belongs to two mailboxes is not replaced.
    pub fn of<'a>(participants: impl IntoIterator<Item = (&'a Participant, Option<MailboxAddress>)>) -> Self {
        let mut mailboxes: HashMap<String, Option<MailboxAddress>> = HashMap::new();
        for (participant, mailbox) in participants.into_iter().take(MAX_NAMED) {
            match mailboxes.entry(address(participant)) {
                Entry::Vacant(entry) => drop(entry.insert(mailbox)),
                Entry::Occupied(mut entry) if *entry.get() != mailbox => drop(entry.insert(None)),
                Entry::Occupied(_) => {}
            }
        }
        let replaced = |(stored, mailbox): (String, Option<MailboxAddress>)| {
            let mailbox = mailbox.filter(|mailbox| mailbox.as_str() != stored)?;
            Some((stored, mailbox))
        };
        Self(mailboxes.into_iter().filter_map(replaced).collect())
    }

    /// Returns the message with these addresses in its header.
    pub fn copy_of(&self, stored: Mime) -> Mime {
        let head_end = memmem::find(stored.in_memory(), b"\r\n\r\n").map(|end| end + 2);
        let head = head_end.and_then(|end| stored.in_memory().get(..end)).filter(|_| !self.0.is_empty());
        let Some((head, copied)) = head.and_then(|head| Some((head.len(), self.head(head)?))) else { return stored };
        let large = match stored {
            Mime::Whole(stored) => return Mime::Whole(with_head(stored, head, copied)),
            Mime::Large(large) => large,
        };
        let (old, new) = (head as u64, copied.len() as u64);
        // Files come after the header, so their offsets move by the difference of the lengths.
        let moved = |file: &LeftOut| LeftOut {
            at: file.at - head + copied.len(),
            base64: file.base64.start - old + new..file.base64.end - old + new,
            bytes: file.bytes,
        };
        Mime::Large(Arc::new(LargeMime {
            length: large.length - old + new,
            outline: with_head(large.outline.clone(), head, copied.clone()),
            files: large.files.iter().map(moved).collect(),
            original: Arc::new(WithHead { head: copied.into(), replaced: old, original: Arc::clone(&large.original) }),
        }))
    }

    /// Returns the header with these addresses; `None` if no address is replaced.
    fn head(&self, head: &[u8]) -> Option<Vec<u8>> {
        let mut copied: Option<Vec<u8>> = None;
        let mut at = 0;
        for field in fields(head) {
            match (self.field(field), &mut copied) {
                (Some(written), Some(copied)) => copied.extend(written),
                (Some(written), None) => copied = Some([&head[..at], &written].concat()),
                (None, Some(copied)) => copied.extend_from_slice(field),
                (None, None) => {}
            }
            at += field.len();
        }
        copied
    }

    /// Returns a field with its line break; `None` if no address in it is replaced.
    fn field(&self, field: &[u8]) -> Option<Vec<u8>> {
        let field = str::from_utf8(field).ok()?;
        let (name, value) = field.split_once(':')?;
        if !ADDRESS_FIELDS.iter().any(|known| known.eq_ignore_ascii_case(name)) {
            return None;
        }
        let unfolded = value.replace("\r\n", "");
        let Cow::Owned(value) = self.value(unfolded.trim()) else { return None };
        let mut written = format!("{name}: ").into_bytes();
        let column = written.len();
        // Folded in the same way as in the stored message.
        Raw::new(value).write_header(&mut written, column);
        if !written.ends_with(b"\r\n") {
            written.extend_from_slice(b"\r\n");
        }
        Some(written)
    }

    /// Replaces addresses in angle brackets, outside of quoted names.
    fn value<'a>(&self, value: &'a str) -> Cow<'a, str> {
        let mut copied = Cow::Borrowed("");
        let (mut kept, mut quoted, mut begins) = (0, false, None);
        let mut characters = value.char_indices();
        while let Some((at, character)) = characters.next() {
            match (character, quoted) {
                ('\\', true) => drop(characters.next()),
                ('"', _) => quoted = !quoted,
                ('<', false) => begins = Some(at + 1),
                ('>', false) => {
                    let Some(begins) = begins.take() else { continue };
                    if let Some(mailbox) = self.0.get(&value[begins..at]) {
                        copied.to_mut().push_str(&value[kept..begins]);
                        copied.to_mut().push_str(mailbox.as_str());
                        kept = at;
                    }
                }
                _ => {}
            }
        }
        if kept == 0 {
            return Cow::Borrowed(value);
        }
        copied.to_mut().push_str(&value[kept..]);
        copied
    }
}

impl fmt::Debug for CopyAddresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CopyAddresses({})", self.0.len())
    }
}

/// Replaces the header. Reuses the message's memory if no other owner exists.
fn with_head(stored: Bytes, replaced: usize, head: Vec<u8>) -> Bytes {
    let mut message = Vec::from(stored);
    message.reserve_exact(head.len().saturating_sub(replaced));
    message.splice(..replaced, head);
    message.into()
}

/// A large message with another header.
struct WithHead {
    head: Bytes,
    /// Length of the replaced header.
    replaced: u64,
    original: Arc<dyn Original>,
}

#[async_trait]
impl Original for WithHead {
    async fn read(&self, range: Range<u64>) -> Result<Bytes, ReadError> {
        let head = self.head.len() as u64;
        let of_head = range.start.min(head)..range.end.min(head);
        let behind = range.start.max(head)..range.end.max(head);
        // Both are within the header, which is in memory.
        let in_head = self.head.slice(of_head.start as usize..of_head.end as usize);
        if behind.is_empty() {
            return Ok(in_head);
        }
        let read = self.original.read(behind.start - head + self.replaced..behind.end - head + self.replaced).await?;
        if in_head.is_empty() { Ok(read) } else { Ok([in_head, read].concat().into()) }
    }
}
