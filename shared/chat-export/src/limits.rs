//! Limits of one file.

/// Maximum size of the chat's text, after decompression.
pub(crate) const MAX_TEXT_BYTES: u64 = 64 << 20;
/// Maximum number of messages.
pub(crate) const MAX_MESSAGES: usize = 1_000_000;
/// Maximum number of senders. Each is a participant of every message; a group has up to 1,024.
pub(crate) const MAX_SENDERS: usize = 20_000;
/// Maximum number of entries of a zip. A phone exports up to 10,000 messages with media.
pub(crate) const MAX_ZIP_ENTRIES: usize = 50_000;
