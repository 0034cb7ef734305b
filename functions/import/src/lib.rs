//! The function that files each item in the mailboxes of its participants.

pub mod mailbox;
