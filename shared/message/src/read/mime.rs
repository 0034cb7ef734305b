//! A message for the mailbox adapters: in memory, or in the bucket if it is too large.

use std::{ops::Range, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use encodify::base64;

use super::{ReadError, left_out::LeftOut, outline::Outline};

/// A message: RFC 5322, CRLF line ends, as convert rendered it.
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
    /// The part in memory: the whole message, or the message with its large files empty.
    pub fn in_memory(&self) -> &Bytes {
        match self {
            Self::Whole(bytes) => bytes,
            Self::Large(large) => &large.outline,
        }
    }

    /// The large file at this offset of [`in_memory`](Self::in_memory), if there is one.
    pub fn file_at(&self, offset: usize) -> Option<StoredFile> {
        let Self::Large(large) = self else { return None };
        let index = large.files.binary_search_by_key(&offset, |file| file.at).ok()?;
        Some(StoredFile { message: Arc::clone(large), index })
    }

    /// The length of the whole message in bytes.
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
    /// Reads a message, but leaves files with more base64 than this in place: they are sent unchanged, or decoded chunk
    /// by chunk. A message that convert did not write stays whole.
    pub fn leaving_out(&self, small: usize) -> Self {
        match self {
            Self::Whole(bytes) if bytes.len() > small => outlined(bytes, small).unwrap_or_else(|| self.clone()),
            _ => self.clone(),
        }
    }
}

/// The bytes from an offset on; empty at the end.
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

/// A message in memory is read in chunks of this many bytes, which are copied.
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

/// A large message is read in chunks of this many bytes.
pub const PIECE_BYTES: u64 = 4 << 20;

/// The storage of a large message.
#[async_trait]
pub trait Original: Send + Sync {
    /// The whole message, if it is in memory.
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
    /// In the order of their places in the outline.
    pub files: Vec<LeftOut>,
}

/// A full line of base64: the bytes that it encodes, and its characters with the line end.
const LINE: (u64, u64) = (57, 78);

/// The characters of [`lines`](StoredFile::lines) without line ends.
pub fn characters(lines: &[u8]) -> impl Iterator<Item = &[u8]> {
    lines.chunks(LINE.1 as usize).map(|line| line.strip_suffix(b"\r\n").unwrap_or(line))
}

/// Returns whether a line may be in a JSON string unchanged. All characters between `+` and `z` can, except the
/// backslash. The comparison has no branch, so the compiler vectorizes it.
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

    /// Its length in bytes.
    pub fn length(&self) -> u64 {
        self.left_out().bytes
    }

    /// Its base64 in lines of 76 characters with CRLF, the last one too, if it is in memory and may be in a JSON string
    /// unchanged.
    pub fn lines(&self) -> Option<Bytes> {
        let Range { start, end } = &self.left_out().base64;
        let range = usize::try_from(*start).ok()?..usize::try_from(*end).ok()?;
        let whole = self.message.original.in_memory()?;
        let lines = whole.get(range.clone())?;
        lines.chunks(LINE.1 as usize).all(is_line_of_base64).then(|| whole.slice(range))
    }

    /// Reads a range of the decoded file. A range beyond its end is cut there.
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
            .ok_or(ReadError::Malformed("a file of the stored message is not in base64 as convert writes it"))
    }
}
