//! Converts an item that is too large for memory: copies its files from the source to the disk, and the message from
//! there to the bucket.
//!
//! The message's header contains the digests of the files, and the object's metadata the digest of the message.
//! Therefore all files are fetched before the first byte is uploaded, and the disk is read twice: for the digest, and
//! for the upload.

use std::io;

use aws::s3::{Condition, PutLarge, StoreError, Written};
use bytes::Bytes;
use futures::{TryStreamExt, stream};
use message::write::{Base64Lines, Content, FileFacts, Piece, Rendered};
use model::{Captured, ConvertTask, Failure, Hasher, Reason, Sha256};
use source::SourceError;

use crate::{
    convert::{Convert, StoredMessage, check_complete, evidence_limit, from_source, oversize, permanent, text_bytes},
    spool::{Spool, Spooled},
};
use ledger::store_failure;

/// Approximate size of a part of an upload. S3 accepts parts of 5 MiB and more.
const PART_BYTES: usize = 8 << 20;

/// Error of an upload.
enum UploadError {
    Store(StoreError),
    Disk(io::Error),
}

impl From<StoreError> for UploadError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<io::Error> for UploadError {
    fn from(error: io::Error) -> Self {
        Self::Disk(error)
    }
}

impl Convert {
    /// Renders an item of at most `max_bytes` into the bucket.
    pub(crate) async fn convert_large(
        &self,
        task: &ConvertTask,
        captured: &Captured,
        mime_key: &str,
        (max_bytes, is_young): (u64, bool),
    ) -> Result<StoredMessage, Failure> {
        let _alone = self.memory.large_item().await;
        // An earlier attempt may have been interrupted after its upload. The first rendering is never replaced.
        if let Some((sha256, bytes)) = self.store.read_digest(mime_key).await.map_err(store_failure)? {
            let message_id = self.renderer.message_id(&captured.item);
            return Ok(StoredMessage { message_id, sha256, bytes, is_ours: false });
        }
        let mut spool = Spool::new().await.map_err(|error| disk(&error))?;
        let mut left = max_bytes.saturating_sub(text_bytes(&captured.item));
        let (mut files, mut contents) = (Vec::new(), Vec::new());
        for (place, attachment) in captured.item.attachments.iter().enumerate() {
            let is_evidence = place >= captured.item.files().len();
            let limit = if is_evidence { evidence_limit(max_bytes) } else { left };
            let content = match self.source.copy_attachment(&task.item, attachment, limit, &mut spool).await {
                Ok(sha256) => {
                    let file = spool.end_file().await.map_err(|error| disk(&error))?;
                    let bytes = file.range.end - file.range.start;
                    check_complete(attachment, bytes, is_young)?;
                    if !is_evidence {
                        left = left.saturating_sub(bytes);
                    }
                    let facts = FileFacts { bytes, sha256, utf8: file.utf8, picture: None };
                    files.push(Some(file));
                    Content::File(facts)
                }
                Err(SourceError::AttachmentErased) if !is_young => {
                    files.push(None);
                    Content::Erased
                }
                Err(SourceError::TooLarge { .. }) => return Err(oversize(max_bytes)),
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
                UploadError::Store(error) => store_failure(error),
                UploadError::Disk(error) => disk(&error),
            })?;
        let ours = (sha256, rendered.length());
        let (sha256, bytes) = match written {
            Written::Yes(_) => ours,
            Written::Conflict => self.first_rendering(task, mime_key, ours).await?,
        };
        let is_ours = (sha256, bytes) == ours;
        Ok(StoredMessage { message_id: rendered.message_id, sha256, bytes, is_ours })
    }
}

/// A message whose files are on the disk.
struct Message<'a> {
    rendered: &'a Rendered,
    /// One entry for each of the item's attachments; `None` if the source has erased it.
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

    fn parts(&self) -> impl futures::Stream<Item = Result<Bytes, UploadError>> + Send {
        let next = move |mut place| async move {
            let mut part = Vec::with_capacity(PART_BYTES + PART_BYTES / 4);
            while part.len() < PART_BYTES && self.read(&mut place, &mut part).await? {}
            Ok((!part.is_empty()).then(|| (Bytes::from(part), place)))
        };
        stream::try_unfold(Place::default(), next).map_err(UploadError::Disk)
    }

    /// Appends the next bytes to `out`; `false` at the end.
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

/// The read position in a message.
#[derive(Default)]
struct Place {
    piece: usize,
    /// Number of bytes read from the piece's file.
    within: u64,
    /// The base64 line that is not complete yet.
    lines: Base64Lines,
}

fn disk(error: &io::Error) -> Failure {
    Failure::Transient { detail: format!("the local disk failed: {}", error.kind()), after: None }
}
