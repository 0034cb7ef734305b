//! Errors of reading a stored message.

/// Error of reading a part of a stored message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The bucket is unavailable. Transient.
    #[error("{0}")]
    Unavailable(String),
    /// The bucket rejects the request. A configuration error.
    #[error("{0}")]
    Configuration(String),
    /// The stored message does not have convert's format. Permanent.
    #[error("{0}")]
    Malformed(&'static str),
}
