//! Limits of one file.

/// The chat's text, after decompression.
pub(crate) const MAX_TEXT_BYTES: u64 = 64 << 20;
/// Messages.
pub(crate) const MAX_MESSAGES: usize = 1_000_000;
/// Senders. Each is a participant of every message; a group has 1,024.
pub(crate) const MAX_SENDERS: usize = 20_000;
/// Entries of a zip. A phone exports 10,000 messages with media.
pub(crate) const MAX_ZIP_ENTRIES: usize = 50_000;
