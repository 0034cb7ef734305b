//! The key of an export: the folder says whose it is.

use model::{MailboxAddress, keys};

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
}
