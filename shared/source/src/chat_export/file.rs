//! The key of an export: its folder names the owner.

use model::{MailboxAddress, keys};

/// Returns the key of a file.
pub(super) fn key(owner: &MailboxAddress, name: &str) -> String {
    format!("{}{owner}/{name}", keys::INBOX)
}

/// A file in the inbox.
pub(super) struct Upload<'a> {
    pub(super) key: &'a str,
    pub(super) owner: MailboxAddress,
    pub(super) name: &'a str,
}

impl<'a> Upload<'a> {
    /// Reads the owner and the file name from a key: the reverse of [`key`]. The owner's address must be in lower case.
    /// Other spellings of it are rejected, although they mean the same mailbox: an item's id contains the address in
    /// lower case, which would not lead back to the file; and if ids contained each spelling, a chat that is uploaded
    /// under two spellings would be filed twice.
    ///
    /// # Errors
    /// The step that the uploader has to take.
    pub(super) fn of(key: &'a str) -> Result<Self, &'static str> {
        const ADVICE: &str = "the file's folder must be the owner's e-mail address in lower case: upload it to \
                              inbox/<owner's e-mail>/, and remove it here";
        let path = key.strip_prefix(keys::INBOX).ok_or(ADVICE)?;
        let (folder, name) = path.split_once('/').ok_or(ADVICE)?;
        let owner: MailboxAddress = folder.parse().map_err(|_| ADVICE)?;
        if owner.as_str() == folder { Ok(Self { key, owner, name }) } else { Err(ADVICE) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folder_is_an_address_in_lower_case() {
        let upload = Upload::of("inbox/ada@example.com/chats/a b.zip").unwrap();
        assert_eq!((upload.owner.as_str(), upload.name), ("ada@example.com", "chats/a b.zip"));
        assert_eq!(key(&upload.owner, upload.name), upload.key);
        for key in [
            "inbox/Ada@Example.com/chat.zip",
            "inbox/ada@EXAMPLE.com/chat.zip",
            "inbox/ ada@example.com/chat.zip",
            "inbox/ada/chat.zip",
            "inbox/chat.zip",
            "outbox/ada@example.com/chat.zip",
        ] {
            assert!(Upload::of(key).is_err(), "{key}");
        }
    }
}
