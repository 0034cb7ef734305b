//! Errors of reading a mail or a zip. No text contains content, a name or an address.

/// Error of reading a mail as an item. Every variant is permanent: the same bytes fail again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MailError {
    /// It is encrypted, by the vendor with the customer's key (a header field says so) or by a gateway.
    #[error("the mail is encrypted ({0}): ask the vendor to deliver it without that encryption")]
    Encrypted(String),
    /// It is an S/MIME signature that contains the mail.
    #[error(
        "the mail is inside an S/MIME signature, which is not read: ask for delivery with a detached signature \
         (multipart/signed) or without one"
    )]
    OpaquelySigned,
    /// The file has no bytes.
    #[error("the file is empty")]
    Empty,
    /// The file has neither a From nor a Date header field.
    #[error("the file is not a mail: it has no From and no Date header field")]
    NotMail,
    /// The time of the message is unknown.
    #[error("the mail has no readable Date header field")]
    NoDate,
    /// The sender is unknown.
    #[error("the mail has no readable From header field")]
    NoSender,
    /// It exceeds a limit of memory.
    #[error("{what} of the mail exceed the limit of {limit}")]
    TooComplex {
        /// The counted element.
        what: &'static str,
        limit: usize,
    },
    /// Serialization failed.
    #[error("the mail has no JSON form")]
    Json,
}

/// Error of reading a zip, or an entry of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PackageError {
    /// The file is not a zip, or it was not delivered completely.
    #[error("the zip is damaged or was not delivered completely")]
    Damaged,
    /// Two entries have the same name.
    #[error("the zip has two entries of the same name")]
    DuplicateNames,
    /// The list of entries exceeds the limit.
    #[error("the zip has more than {limit} entries")]
    TooManyEntries { limit: u64 },
    /// An entry has a name that leads out of the zip.
    #[error("the name of the entry is not a relative path")]
    Name,
    /// An entry is a symbolic link.
    #[error("the entry is a symbolic link")]
    Link,
    /// An entry is encrypted.
    #[error("the entry is encrypted with a password")]
    Encrypted,
    /// An entry cannot be decompressed, or its checksum is wrong.
    #[error("the entry is damaged")]
    DamagedEntry,
    /// An entry exceeds the limit.
    #[error("the entry has more than {limit} bytes")]
    TooLarge {
        /// In bytes.
        limit: u64,
    },
    /// The bytes could not be read from the bucket: a transient failure.
    #[error("reading the zip failed: {0}")]
    Io(String),
}
