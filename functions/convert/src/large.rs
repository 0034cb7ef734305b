//! An item that is too large for memory: from the archive to the function's disk, from there to the bucket.
//!
//! Its head says the digest of its files, and its object the digest of all, so the files have to be there before the
//! first byte is sent. The disk is read twice: for the digest, and for the bucket.

use std::io;

use aws::s3::{Condition, PutLarge, StoreError, Written};
use bytes::Bytes;
use futures::{TryStreamExt, stream};
use message::write::{Base64Lines, Content, FileFacts, Piece, Rendered};
use model::{Captured, ConvertTask, Failure, Hasher, Reason, Sha256};
use source::SourceError;
use tokio::sync::Mutex;

use crate::{
    convert::{Convert, Kept, from_source, oversize, permanent, text_bytes},
    spool::{Spool, Spooled},
};
use ledger::from_store;

/// Held while a large item is worked on: the disk has room for one, and memory for its pieces beside items of the usual
/// size. Both are the whole process's.
static ALONE: Mutex<()> = Mutex::const_new(());

/// The parts that the bucket gets: about so long, and longer than S3's least.
const PART: usize = 8 << 20;

/// Why a message could not be sent to the bucket.
enum Failed {
    Store(StoreError),
    Disk(io::Error),
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        Self::Disk(error)
    }
}

impl Convert {
    /// Renders an item of at most `most` bytes into the bucket.
    pub(crate) async fn convert_large(
        &self,
        task: &ConvertTask,
        captured: &Captured,
        mime_key: &str,
        (most, is_young): (u64, bool),
    ) -> Result<Kept, Failure> {
        let _alone = ALONE.lock().await;
        // An attempt that ended between its last part and its successor: the first rendering stays anyhow.
        if let Some((sha256, bytes)) = self.store.digest(mime_key).await.map_err(from_store)? {
            return Ok(Kept { message_id: self.renderer.message_id(&captured.item), sha256, bytes });
        }
        let mut spool = Spool::new().await.map_err(|error| disk(&error))?;
        let mut left = most.saturating_sub(text_bytes(&captured.item));
        let (mut files, mut contents) = (Vec::new(), Vec::new());
        for attachment in &captured.item.attachments {
            let content = match self.source.pour(&task.item, attachment, left, &mut spool).await {
                Ok(sha256) => {
                    let file = spool.end_file().await.map_err(|error| disk(&error))?;
                    let bytes = file.range.end - file.range.start;
                    left = left.saturating_sub(bytes);
                    let facts = FileFacts { bytes, sha256, utf8: file.utf8, picture: None };
                    files.push(Some(file));
                    Content::File(facts)
                }
                Err(SourceError::AttachmentErased) if !is_young => {
                    files.push(None);
                    Content::Erased
                }
                Err(SourceError::TooLarge { .. }) => return Err(oversize(most)),
                Err(error) => return Err(from_source(error)),
            };
            contents.push(content);
        }
        let rendered =
            self.renderer.render(captured, &contents).map_err(|error| permanent(Reason::ItemMalformed, &error))?;
        let message = Message { rendered: &rendered, files: &files, spool: &spool };
        let sha256 = message.digest().await.map_err(|error| disk(&error))?;
        let put = PutLarge { key: mime_key, content_type: "message/rfc822", sha256 };
        let written =
            self.store.put_large(put, message.parts(), Condition::Absent).await.map_err(|error| match error {
                Failed::Store(error) => from_store(error),
                Failed::Disk(error) => disk(&error),
            })?;
        let ours = (sha256, rendered.length());
        let (sha256, bytes) = match written {
            Written::Yes(_) => ours,
            Written::Conflict => self.first_rendering(task, mime_key, ours).await?,
        };
        Ok(Kept { message_id: rendered.message_id, sha256, bytes })
    }
}

/// A message whose files are on the disk.
struct Message<'a> {
    rendered: &'a Rendered,
    /// One for each of the item's attachments; `None`: erased.
    files: &'a [Option<Spooled>],
    spool: &'a Spool,
}

impl Message<'_> {
    async fn digest(&self) -> io::Result<Sha256> {
        let mut hasher = Hasher::default();
        let mut place = Place::default();
        let mut block = Vec::new();
        while self.read(&mut place, &mut block).await? {
            hasher.update(&block);
            block.clear();
        }
        Ok(hasher.finish())
    }

    fn parts(&self) -> impl futures::Stream<Item = Result<Bytes, Failed>> + Send {
        let next = move |mut place| async move {
            let mut part = Vec::with_capacity(PART + PART / 4);
            while part.len() < PART && self.read(&mut place, &mut part).await? {}
            Ok((!part.is_empty()).then(|| (Bytes::from(part), place)))
        };
        stream::try_unfold(Place::default(), next).map_err(Failed::Disk)
    }

    /// Writes what comes next to the end of `out`; `false`: that was all.
    async fn read(&self, place: &mut Place, out: &mut Vec<u8>) -> io::Result<bool> {
        let Some(piece) = self.rendered.pieces.get(place.piece) else { return Ok(false) };
        match piece {
            Piece::Written(bytes) => out.extend_from_slice(bytes),
            Piece::File { index, .. } => {
                let file = self.files.get(*index).and_then(Option::as_ref).map(|file| file.range.clone());
                let mut range = file.unwrap_or_default();
                range.start += place.within;
                if !range.is_empty() {
                    let (block, _) = self.spool.block(range).await?;
                    place.lines.push(&block, out);
                    place.within += block.len() as u64;
                    return Ok(true);
                }
                std::mem::take(&mut place.lines).finish(out);
            }
        }
        place.piece += 1;
        place.within = 0;
        Ok(true)
    }
}

/// How far a message was read.
#[derive(Default)]
struct Place {
    piece: usize,
    /// How many bytes of the piece's file.
    within: u64,
    /// The line of base64 that is begun.
    lines: Base64Lines,
}

fn disk(error: &io::Error) -> Failure {
    Failure::Transient { detail: format!("the function's disk cannot be used: {}", error.kind()), after: None }
}
