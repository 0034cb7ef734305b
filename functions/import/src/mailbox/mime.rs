//! A message as adapters take it: in memory, or, where it is too large for that, in the bucket.

use std::{ops::Range, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use encodify::base64;

use super::{MailboxError, Outline};

/// A message: RFC 5322, CRLF line ends, as convert rendered it.
#[derive(Clone)]
pub enum Mime {
    /// All of it.
    Whole(Bytes),
    /// One that is too large for memory.
    Large(Arc<LargeMime>),
}

impl<T: Into<Bytes>> From<T> for Mime {
    fn from(whole: T) -> Self {
        Self::Whole(whole.into())
    }
}

impl Mime {
    /// What is in memory: the whole message, or one whose large files are empty.
    pub fn in_memory(&self) -> &Bytes {
        match self {
            Self::Whole(bytes) => bytes,
            Self::Large(large) => &large.outline,
        }
    }

    /// The large file whose place in [`in_memory`](Self::in_memory) is at this offset, where there is one.
    pub fn file_at(&self, offset: usize) -> Option<StoredFile> {
        let Self::Large(large) = self else { return None };
        let index = large.files.binary_search_by_key(&offset, |file| file.at).ok()?;
        Some(StoredFile { message: Arc::clone(large), index })
    }

    /// How many bytes the whole message has.
    pub fn length(&self) -> u64 {
        match self {
            Self::Whole(bytes) => bytes.len() as u64,
            Self::Large(large) => large.length,
        }
    }

    /// The next bytes of the whole message, as many as are good to hold at once; none behind its end.
    ///
    /// # Errors
    /// [`MailboxError::Unavailable`] or [`MailboxError::Setup`]: the bucket does not give them.
    pub async fn piece(&self, from: u64) -> Result<Bytes, MailboxError> {
        match self {
            Self::Whole(bytes) => Ok(usize::try_from(from)
                .ok()
                .filter(|from| *from < bytes.len())
                .map_or_else(Bytes::new, |from| bytes.slice(from..))),
            Self::Large(large) => large.original.read(from..large.length.min(from.saturating_add(PIECE))).await,
        }
    }
}

impl Mime {
    /// The same message, its files of more base64 than this left where they are: sent as they are, or decoded when they
    /// are read, a piece at a time. A message that is not as convert writes it stays as it is.
    pub(crate) fn leaving_out(&self, small: usize) -> Self {
        match self {
            Self::Whole(bytes) if bytes.len() > small => outlined(bytes, small).unwrap_or_else(|| self.clone()),
            _ => self.clone(),
        }
    }
}

fn outlined(whole: &Bytes, small: usize) -> Option<Mime> {
    let mut outline = Outline::new(small);
    whole.chunks(CHUNK).try_for_each(|bytes| outline.push(bytes)).ok()?;
    let (outline, files) = outline.finish().ok()?;
    let original = Arc::new(InMemory(whole.clone()));
    Some(Mime::Large(Arc::new(LargeMime { original, length: whole.len() as u64, outline: outline.into(), files })))
}

/// How much of a message in memory is looked at at once: it is copied for that.
const CHUNK: usize = 64 << 10;

/// A message that lies in memory.
struct InMemory(Bytes);

#[async_trait]
impl Original for InMemory {
    fn in_memory(&self) -> Option<&Bytes> {
        Some(&self.0)
    }

    async fn read(&self, range: Range<u64>) -> Result<Bytes, MailboxError> {
        let within = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(self.0.len());
        Ok(self.0.slice(within(range.start)..within(range.end)))
    }
}

/// How much of a large message is read at once.
pub(crate) const PIECE: u64 = 4 << 20;

/// Where a large message lies.
#[async_trait]
pub(crate) trait Original: Send + Sync {
    /// All of it, where it lies in memory.
    fn in_memory(&self) -> Option<&Bytes> {
        None
    }

    /// Reads these of its bytes, which it has.
    ///
    /// # Errors
    /// [`MailboxError::Unavailable`] or [`MailboxError::Setup`].
    async fn read(&self, range: Range<u64>) -> Result<Bytes, MailboxError>;
}

/// A message that is too large for memory.
pub struct LargeMime {
    pub(crate) original: Arc<dyn Original>,
    pub(crate) length: u64,
    /// The message without its large files' base64.
    pub(crate) outline: Bytes,
    /// By where they were in the outline.
    pub(crate) files: Vec<LeftOut>,
}

/// The base64 of a file that is not in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LeftOut {
    /// Its place in the outline.
    pub(crate) at: usize,
    /// Its place in the message: lines of 76 characters with CRLF, the last one too.
    pub(crate) base64: Range<u64>,
    /// How many bytes it is of.
    pub(crate) bytes: u64,
}

/// The bytes of a full line of base64, and its characters with its end.
const LINE: (u64, u64) = (57, 78);

/// The characters of such [`lines`](StoredFile::lines), without the lines' ends.
pub(crate) fn characters(lines: &[u8]) -> impl Iterator<Item = &[u8]> {
    lines.chunks(LINE.1 as usize).map(|line| line.strip_suffix(b"\r\n").unwrap_or(line))
}

/// What stands between `+` and `z` and is not of base64's alphabet does no harm in a JSON string, but for the backslash.
/// Looked at without a branch, the characters are compared many at once.
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

    /// How many bytes it has.
    pub fn length(&self) -> u64 {
        self.left_out().bytes
    }

    /// Its base64 in lines of 76 characters with CRLF, the last one too, where that lies in memory and holds nothing that
    /// does not stand for itself in a JSON string.
    pub(crate) fn lines(&self) -> Option<Bytes> {
        let Range { start, end } = &self.left_out().base64;
        let range = usize::try_from(*start).ok()?..usize::try_from(*end).ok()?;
        let whole = self.message.original.in_memory()?;
        let lines = whole.get(range.clone())?;
        lines.chunks(LINE.1 as usize).all(is_line_of_base64).then(|| whole.slice(range))
    }

    /// Reads these of its bytes; a range that ends behind its end is cut there.
    ///
    /// # Errors
    /// [`MailboxError`].
    pub async fn read(&self, range: Range<u64>) -> Result<Bytes, MailboxError> {
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
        decoded.and_then(|bytes| (bytes.len() >= skip + length).then(|| bytes.slice(skip..skip + length))).ok_or_else(
            || MailboxError::Rejected {
                detail: "a file of the stored message is not the base64 of convert".to_owned(),
            },
        )
    }
}
