//! Limits of Microsoft Graph. Where the documentation is ambiguous, the stricter reading is used.

/// The size limit of a request. Microsoft documents "4 MB"; this is the smaller reading.
pub(super) const REQUEST_MAX_BYTES: usize = 4_000_000;

/// The size from which an upload session accepts a file in every reading of the documented "3 MB".
pub(super) const UPLOAD_SESSION_MIN_BYTES: usize = 3 * 1024 * 1024;

/// The size limit of a file in an upload session.
pub(super) const FILE_MAX_BYTES: usize = 150 << 20;

/// Bytes of a file in one request of an upload session. 3.75 MiB: below the documented 4 MB, and a multiple of 320 KiB,
/// which some upload sessions require.
pub const PIECE: usize = 12 * 320 * 1024;

/// A file with more base64 than this is sent unchanged or uploaded in pieces. It is never decoded as a whole.
pub(super) const DECODED_MAX_BYTES: usize = 32 << 10;

/// A body that is longer in JSON, where a character may take six bytes, is sent as an attachment.
pub(super) const BODY_MAX_JSON_BYTES: usize = 1_500_000;

/// Bytes reserved in the first request for the notes that concessions add to the body.
pub(super) const NOTES_MAX_BYTES: usize = 4096;

/// Maximum number of `internetMessageHeaders`, whose names start with `x-`.
pub(super) const HEADERS_MAX: usize = 5;

/// Maximum length of the value of such a header, in characters.
pub(super) const HEADER_MAX_CHARS: usize = 995;

/// Maximum length of a subject, in characters.
pub(super) const SUBJECT_MAX_CHARS: usize = 255;

/// The maximum number of recipients of a sent message. For other messages Exchange documents no limit.
pub(super) const SENT_MESSAGE_RECIPIENTS_MAX: usize = 500;
