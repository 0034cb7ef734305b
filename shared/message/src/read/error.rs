//! Error of reading a message that convert stored in the bucket.

/// Error of reading a stored message, or a part of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The bucket is unavailable: a transient error.
    #[error("{0}")]
    Unavailable(String),
    /// The bucket rejected the request: a configuration error.
    #[error("{0}")]
    Configuration(String),
    /// The stored message does not have the format that convert writes: a permanent error.
    #[error("{0}")]
    Malformed(&'static str),
}
