//! Reads the time of a message from its Date header, for mail systems that store it with the message.

use jiff::Timestamp;
use mail_parser::MessageParser;

use super::ReadError;

/// Returns the message's Date.
///
/// # Errors
/// [`ReadError::Malformed`] if the Date is missing, invalid or before 1970.
pub fn of(mime: &[u8]) -> Result<Timestamp, ReadError> {
    MessageParser::default()
        .parse_headers(mime)
        .and_then(|parsed| parsed.date().filter(|date| date.is_valid()).map(|date| date.to_timestamp()))
        .filter(|&seconds| seconds >= 0)
        .and_then(|seconds| Timestamp::from_second(seconds).ok())
        .ok_or(ReadError::Malformed("the message has no valid Date after 1970"))
}
