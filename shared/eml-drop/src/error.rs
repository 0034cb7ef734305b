//! Why a mail or a zip cannot be read. No text here holds content, a name or an address.

/// Why no item can be made of a mail. Every variant is permanent: the same bytes fail the same way again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MailError {
    /// The vendor encrypted it with the customer's key.
    #[error(
        "the mail is encrypted with the customer's key (header field {0}): ask the vendor to deliver it without that encryption"
    )]
    Encrypted(String),
    /// The file has no bytes.
    #[error("the file is empty")]
    Empty,
    /// The bytes have no header that a mail has.
    #[error("the file is not a mail: it has no From and no Date header field")]
    NotMail,
    /// The time of the message is unknown.
    #[error("the mail has no readable Date header field")]
    NoDate,
    /// The sender is unknown.
    #[error("the mail has no readable From header field")]
    NoSender,
    /// It exceeds what can be read in bounded memory.
    #[error("{what} of the mail exceed the limit of {limit}")]
    TooComplex {
        /// What is counted.
        what: &'static str,
        /// How many are read.
        limit: usize,
    },
    /// Serialization failed.
    #[error("the mail has no JSON form")]
    Json,
}

/// Why a zip, or an entry of it, cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PackageError {
    /// The file is not a zip, or it was not delivered completely.
    #[error("the zip is damaged or was not delivered completely")]
    Damaged,
    /// Two entries have the same name.
    #[error("the zip has two entries of the same name")]
    DuplicateNames,
    /// The list of entries exceeds what is read.
    #[error("the zip has more than {limit} entries")]
    TooManyEntries {
        /// How many are read.
        limit: u64,
    },
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
    /// An entry is larger than what is read.
    #[error("the entry has more than {limit} bytes")]
    TooLarge {
        /// In bytes.
        limit: u64,
    },
    /// The bytes could not be read from the bucket: a transient failure.
    #[error("reading the zip failed: {0}")]
    Io(String),
}
