//! A message for the mailbox adapters: in memory, or with its large files in the bucket.

use std::{ops::Range, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use encodify::base64;

use super::{ReadError, left_out::LeftOut, outline::Outline};

/// A message in RFC 5322 with CRLF line breaks, rendered by convert.
#[derive(Clone)]
pub enum Mime {
    /// The whole message in memory.
    Whole(Bytes),
    /// A message whose large files are not in memory.
    Large(Arc<LargeMime>),
}

impl<T: Into<Bytes>> From<T> for Mime {
    fn from(whole: T) -> Self {
        Self::Whole(whole.into())
    }
}

impl Mime {
    /// Returns the part in memory: the whole message, or the message with empty large files.
    pub fn in_memory(&self) -> &Bytes {
        match self {
            Self::Whole(bytes) => bytes,
            Self::Large(large) => &large.outline,
        }
    }

    /// Returns the large file at this offset of [`in_memory`](Self::in_memory), if there is one.
    pub fn file_at(&self, offset: usize) -> Option<StoredFile> {
        let Self::Large(large) = self else { return None };
        let index = large.files.binary_search_by_key(&offset, |file| file.at).ok()?;
        Some(StoredFile { message: Arc::clone(large), index })
    }

    /// Returns the length of the whole message in bytes.
    pub fn length(&self) -> u64 {
        match self {
            Self::Whole(bytes) => bytes.len() as u64,
            Self::Large(large) => large.length,
        }
    }

    /// Reads the next chunk of the whole message; empty at its end.
    ///
    /// # Errors
    /// [`ReadError::Unavailable`] or [`ReadError::Configuration`]: the bucket cannot be read.
    pub async fn piece(&self, from: u64) -> Result<Bytes, ReadError> {
        match self {
            Self::Whole(bytes) => Ok(rest(bytes, from)),
            Self::Large(large) => large.original.read(from..large.length.min(from.saturating_add(PIECE_BYTES))).await,
        }
    }
}

impl Mime {
    /// Returns the message with the files left out that have more than `small` bytes of base64, so that they can be
    /// sent without being decoded, or decoded in chunks. A message that convert did not write is returned whole.
    pub fn leaving_out(&self, small: usize) -> Self {
        match self {
            Self::Whole(bytes) if bytes.len() > small => outlined(bytes, small).unwrap_or_else(|| self.clone()),
            _ => self.clone(),
        }
    }
}

/// Returns the bytes from an offset on; empty at the end.
pub(super) fn rest(bytes: &Bytes, from: u64) -> Bytes {
    let from = usize::try_from(from).ok().filter(|from| *from < bytes.len());
    from.map_or_else(Bytes::new, |from| bytes.slice(from..))
}

fn outlined(whole: &Bytes, small: usize) -> Option<Mime> {
    let mut outline = Outline::new(small);
    whole.chunks(OUTLINE_CHUNK_BYTES).try_for_each(|bytes| outline.push(bytes)).ok()?;
    let (outline, files) = outline.finish().ok()?;
    let original = Arc::new(InMemory(whole.clone()));
    Some(Mime::Large(Arc::new(LargeMime { original, length: whole.len() as u64, outline: outline.into(), files })))
}

/// Size of the chunks in which a message in memory is read (and copied).
const OUTLINE_CHUNK_BYTES: usize = 64 << 10;

/// A message in memory.
struct InMemory(Bytes);

#[async_trait]
impl Original for InMemory {
    fn in_memory(&self) -> Option<&Bytes> {
        Some(&self.0)
    }

    async fn read(&self, range: Range<u64>) -> Result<Bytes, ReadError> {
        let within = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(self.0.len());
        Ok(self.0.slice(within(range.start)..within(range.end)))
    }
}

/// Size of the chunks in which a large message is read.
pub const PIECE_BYTES: u64 = 4 << 20;

/// The storage of a large message.
#[async_trait]
pub trait Original: Send + Sync {
    /// Returns the whole message, if it is in memory.
    fn in_memory(&self) -> Option<&Bytes> {
        None
    }

    /// Reads a range within the message.
    ///
    /// # Errors
    /// [`ReadError`].
    async fn read(&self, range: Range<u64>) -> Result<Bytes, ReadError>;
}

/// A message whose large files are not in memory.
pub struct LargeMime {
    pub original: Arc<dyn Original>,
    pub length: u64,
    /// The message without the base64 of its large files.
    pub outline: Bytes,
    /// The files that are left out, in the order of the outline.
    pub files: Vec<LeftOut>,
}

/// A full line of base64: the number of encoded bytes, and the number of characters with the line break.
const LINE: (u64, u64) = (57, 78);

/// Returns the lines of [`lines`](StoredFile::lines) without line breaks.
pub fn characters(lines: &[u8]) -> impl Iterator<Item = &[u8]> {
    lines.chunks(LINE.1 as usize).map(|line| line.strip_suffix(b"\r\n").unwrap_or(line))
}

/// Returns whether a line can be put into a JSON string unchanged, which is true for all characters between `+` and `z`
/// except the backslash. The comparison has no branch, so the compiler vectorizes it.
fn is_line_of_base64(line: &[u8]) -> bool {
    let harmful = |found: bool, byte: &u8| found | (*byte < b'+') | (*byte > b'z') | (*byte == b'\\');
    line.strip_suffix(b"\r\n").is_some_and(|characters| !characters.iter().fold(false, harmful))
}

/// A large file of a large message.
#[derive(Clone)]
pub struct StoredFile {
    message: Arc<LargeMime>,
    index: usize,
}

impl StoredFile {
    fn left_out(&self) -> &LeftOut {
        &self.message.files[self.index]
    }

    /// Returns the length in bytes.
    pub fn length(&self) -> u64 {
        self.left_out().bytes
    }

    /// Returns the file's base64 in lines of 76 characters, each ending with CRLF; `None` if it is not in memory or
    /// cannot be put into a JSON string unchanged.
    pub fn lines(&self) -> Option<Bytes> {
        let Range { start, end } = &self.left_out().base64;
        let range = usize::try_from(*start).ok()?..usize::try_from(*end).ok()?;
        let whole = self.message.original.in_memory()?;
        let lines = whole.get(range.clone())?;
        lines.chunks(LINE.1 as usize).all(is_line_of_base64).then(|| whole.slice(range))
    }

    /// Reads a range of the decoded file, up to the end of the file.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn read(&self, range: Range<u64>) -> Result<Bytes, ReadError> {
        let file = self.left_out();
        let range = range.start..range.end.min(file.bytes);
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        let first = range.start / LINE.0;
        let lines = first..range.end.div_ceil(LINE.0);
        let from = file.base64.start + lines.start * LINE.1;
        let to = file.base64.end.min(file.base64.start + lines.end * LINE.1);
        let text = self.message.original.read(from..to).await?;
        let decoded = base64::MIME.decode(&text).ok().map(Bytes::from);
        let skip = usize::try_from(range.start - first * LINE.0).unwrap_or_default();
        let length = usize::try_from(range.end - range.start).unwrap_or_default();
        decoded
            .and_then(|bytes| (bytes.len() >= skip + length).then(|| bytes.slice(skip..skip + length)))
            .ok_or(ReadError::Malformed("a file of the stored message is not in convert's base64 format"))
    }
}
