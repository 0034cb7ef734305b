//! Errors of an export, its participants file and its attachments.

/// Error of reading a file as a chat export.
///
/// Every variant is permanent: the same bytes fail again, and another file has to be uploaded. None of them contains
/// content of the file; a place is a line number, or the number of an entry in the zip, both from 1.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExportError {
    /// The file's name ends in neither `.txt` nor `.zip`.
    #[error("the file is neither a .txt nor a .zip: upload what the phone's \"Export chat\" wrote, as it is")]
    Type,
    /// The owner's address and the file's name do not fit in an item's id together.
    #[error("the file's name is too long by {over} characters (counted as in a URL): rename the file")]
    NameTooLong {
        /// Number of characters that are too many.
        over: usize,
    },
    /// The chat's text is longer than [`Export::MAX_TEXT_BYTES`](crate::Export::MAX_TEXT_BYTES).
    #[error("the chat's text has more than {limit} bytes: export the chat in parts")]
    TextTooLarge {
        /// In bytes, after decompression.
        limit: u64,
    },
    /// More messages than [`Export::MAX_MESSAGES`](crate::Export::MAX_MESSAGES).
    #[error("the chat has more than {limit} messages: export the chat in parts")]
    TooManyMessages { limit: usize },
    /// More senders than [`Export::MAX_SENDERS`](crate::Export::MAX_SENDERS).
    #[error(
        "the chat has more than {limit} senders, which no group has: find the message with pasted lines that \
         look like messages, and remove it"
    )]
    TooManySenders { limit: usize },
    /// The text is neither UTF-8 nor UTF-16 with a byte order mark. The encoding is not guessed: a wrong guess would
    /// change a participant's text.
    #[error(
        "line {line} of the chat is not UTF-8: upload the file as the phone wrote it, not one saved again by an editor"
    )]
    Encoding {
        /// The first line with an invalid byte.
        line: usize,
    },
    /// No line begins a message.
    #[error(
        "no line of the file begins with a date, a time and a name as WhatsApp writes them: \
         upload the chat's text as the phone wrote it, or report the format"
    )]
    NoMessages,
    /// The words beside the time may mean either half of the day.
    #[error(
        "line {line}: the word beside the time is in no known language and the order of the messages does not show \
         which half of the day it means: export a longer part of the chat, or set the phone to a 24-hour clock"
    )]
    DayPeriod {
        /// The first such line.
        line: usize,
    },
    /// The dates name months in unrecognized words.
    #[error(
        "line {line}: the name of the month is in no known language: set the phone to numeric dates, or report the format"
    )]
    Month {
        /// The first such line.
        line: usize,
    },
    /// The dates match no order of day, month and year, or are long before or after the possible time of the chat.
    #[error(
        "line {line}: the date was read as {tried}, a day on which the message cannot have been sent, and no other order of \
         day, month and year fits the file: correct the phone's clock or calendar and export the chat again"
    )]
    ImpossibleTime {
        /// The first such line.
        line: usize,
        /// The date as it was read, or its numbers.
        tried: String,
    },
    /// The line ends contradict the shape of the lines.
    #[error(
        "{lf} lines that begin like messages follow a plain line feed and {crlf} follow CR LF: the file was changed by a \
         program, or a message was pasted that cannot be distinguished from others: upload the file as the phone wrote it"
    )]
    LineEnds {
        /// Number of lines after LF.
        lf: usize,
        /// Number of lines after CR LF.
        crlf: usize,
    },
    /// The zip cannot be read, or its chat's bytes do not match their checksum.
    #[error("the zip is damaged or compressed in a way that phones do not use: upload it again as the phone wrote it")]
    ZipDamaged,
    /// More entries than [`Export::MAX_ZIP_ENTRIES`](crate::Export::MAX_ZIP_ENTRIES).
    #[error("the zip has more than {limit} entries: export the chat in parts")]
    ZipEntries { limit: usize },
    /// An entry needs a password.
    #[error("entry {entry} of the zip is encrypted: upload the zip without a password")]
    ZipEncrypted {
        /// The number of the entry.
        entry: usize,
    },
    /// An entry's name leads out of the zip, is absolute, or contains a backslash or a control character.
    #[error("entry {entry} of the zip has a name that no phone writes: upload the zip as the phone wrote it")]
    ZipName {
        /// The number of the entry.
        entry: usize,
    },
    /// An entry is a symbolic link.
    #[error("entry {entry} of the zip is a symbolic link: upload the zip as the phone wrote it")]
    ZipLink {
        /// The number of the entry.
        entry: usize,
    },
    /// Two entries have the same name, so the file that a message names is ambiguous.
    #[error("the zip has two entries of one name: upload the zip as the phone wrote it")]
    ZipDuplicate,
    /// No `.txt` file can be the chat.
    #[error("the zip contains no chat: it must contain _chat.txt or the .txt that is named after the chat")]
    NoChat,
    /// Several `.txt` files can be the chat.
    #[error("{count} of the zip's .txt files could be the chat: leave only one, or give the zip the name of its chat")]
    SeveralChats {
        /// Their number.
        count: usize,
    },
    /// The participants file is invalid. It is not used in part: a wrong address files into a wrong mailbox.
    #[error("line {line} of the participants file: {problem}")]
    Participants {
        /// From 1, the header's line included.
        line: u64,
        /// The error, and how to fix it.
        problem: &'static str,
    },
}

/// Error of reading an attachment. Permanent for this export.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AttachmentError {
    /// The file is not in the export: the export is a `.txt`, or the phone no longer had the file.
    #[error("the export does not have the attachment's file")]
    Missing,
    /// More bytes than the requested limit, counted while decompressing.
    #[error("the attachment has more than {limit} bytes")]
    TooLarge {
        /// In bytes.
        limit: u64,
    },
    /// The bytes cannot be decompressed, or do not match their checksum.
    #[error("the attachment's bytes are damaged in the zip")]
    Damaged,
}
