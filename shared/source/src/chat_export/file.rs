//! A file in the inbox: its key, the folder that says whose it is, and a place in the list of all of them.

use jiff::Timestamp;
use model::{ItemId, MailboxAddress, keys};

use crate::SourceError;

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct File {
    pub(super) written: Timestamp,
    pub(super) key: String,
}

impl File {
    /// What stands for the file where it has no name that fits in an id. No such item will be found, and the dead letter
    /// says which file it was.
    pub(super) fn key_as_id(&self) -> String {
        self.key.chars().take(ItemId::MAX_CHARS).collect()
    }
}

/// The key of a file.
pub(super) fn key(owner: &MailboxAddress, name: &str) -> String {
    format!("{}{owner}/{name}", keys::INBOX)
}

/// Whose a file is and its name, by its key: the reverse of [`key`]. Other spellings of the owner's address are refused,
/// though they mean the same mailbox: an item's id has the address in lower case, and by it the file would not be found
/// again; with every spelling in its ids, a chat that is dropped in two of them would be filed twice.
///
/// # Errors
/// What to do about it.
pub(super) fn owner_and_name(key: &str) -> Result<(MailboxAddress, &str), &'static str> {
    const ADVICE: &str = "the file's folder has to be named by the owner's e-mail address, in lower case: upload it to \
                          inbox/<owner's e-mail>/, and remove it here";
    let path = key.strip_prefix(keys::INBOX).ok_or(ADVICE)?;
    let (folder, name) = path.split_once('/').ok_or(ADVICE)?;
    let owner: MailboxAddress = folder.parse().map_err(|_| ADVICE)?;
    if owner.as_str() == folder { Ok((owner, name)) } else { Err(ADVICE) }
}

/// Where a page ended.
pub(super) struct Place {
    pub(super) file: File,
    /// How many of the file's messages were listed.
    pub(super) done: usize,
}

impl Default for Place {
    fn default() -> Self {
        Self { file: File { written: Timestamp::MIN, key: String::new() }, done: 0 }
    }
}

impl Place {
    pub(super) fn write(&self) -> String {
        format!("{} {} {}", self.file.written.as_second(), self.done, self.file.key)
    }

    pub(super) fn read(cursor: &str) -> Result<Self, SourceError> {
        let foreign = || SourceError::MalformedPage("the cursor is not ours".to_owned());
        let mut parts = cursor.splitn(3, ' ');
        let mut part = || parts.next().ok_or_else(foreign);
        let written = part()?.parse().map_err(|_| foreign())?;
        let done = part()?.parse().map_err(|_| foreign())?;
        let key = part()?.to_owned();
        let written = Timestamp::from_second(written).map_err(|_| foreign())?;
        Ok(Self { file: File { written, key }, done })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_an_address_in_the_one_spelling_that_ids_have() {
        let (owner, name) = owner_and_name("inbox/ada@example.com/chats/a b.zip").unwrap();
        assert_eq!((owner.as_str(), name), ("ada@example.com", "chats/a b.zip"));
        assert_eq!(key(&owner, name), "inbox/ada@example.com/chats/a b.zip");
        for key in [
            "inbox/Ada@Example.com/chat.zip",
            "inbox/ada@EXAMPLE.com/chat.zip",
            "inbox/ ada@example.com/chat.zip",
            "inbox/ada/chat.zip",
            "inbox/chat.zip",
            "outbox/ada@example.com/chat.zip",
        ] {
            assert!(owner_and_name(key).is_err(), "{key}");
        }
    }

    #[test]
    fn a_place_is_read_as_it_was_written_and_no_other() {
        let file = File { written: Timestamp::UNIX_EPOCH, key: "inbox/ada@example.com/a b.zip".to_owned() };
        let read = Place::read(&Place { file: file.clone(), done: 7 }.write()).unwrap();
        assert_eq!((read.file, read.done), (file, 7));
        for foreign in ["", "c", "1 x inbox/", "99999999999999999 1 inbox/"] {
            assert!(matches!(Place::read(foreign), Err(SourceError::MalformedPage(_))), "{foreign}");
        }
    }
}
