//! The files of one large item, on the function's disk.

use std::{fs::File, io, ops::Range, os::unix::fs::FileExt, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use message::write::Utf8Probe;
use source::Sink;

/// One unnamed file that contains the item's files one after the other. The system removes it with its last handle, so
/// nothing is left of it, however the work ends.
pub(crate) struct Spool {
    file: Arc<File>,
    /// Position of the file that is being received.
    begun: u64,
    /// Number of bytes on the disk.
    written: u64,
    /// The next bytes to write.
    waiting: Vec<u8>,
    probe: Utf8Probe,
}

/// A file of the item that has come whole.
pub(crate) struct Spooled {
    /// Position of the file.
    pub(crate) range: Range<u64>,
    /// `true` if it is text that has to be called UTF-8.
    pub(crate) utf8: bool,
}

/// Size of one read or write.
const BLOCK: usize = 1 << 20;

impl Spool {
    pub(crate) async fn new() -> io::Result<Self> {
        let file = on_disk(tempfile::tempfile).await?;
        Ok(Self {
            file: Arc::new(file),
            begun: 0,
            written: 0,
            waiting: Vec::with_capacity(BLOCK),
            probe: Utf8Probe::default(),
        })
    }

    /// Ends the item's file that came; the next one begins.
    pub(crate) async fn end_file(&mut self) -> io::Result<Spooled> {
        self.write().await?;
        let range = self.begun..self.written;
        self.begun = self.written;
        Ok(Spooled { range, utf8: std::mem::take(&mut self.probe).finish() })
    }

    /// Returns the first block of a range, at most a mebibyte, and the rest of the range after it.
    pub(crate) async fn block(&self, range: Range<u64>) -> io::Result<(Vec<u8>, Range<u64>)> {
        let length = usize::try_from(range.end.saturating_sub(range.start)).unwrap_or(BLOCK).min(BLOCK);
        let rest = range.start + length as u64..range.end;
        let file = Arc::clone(&self.file);
        let read = move || {
            let mut block = vec![0; length];
            file.read_exact_at(&mut block, range.start).map(|()| block)
        };
        Ok((on_disk(read).await?, rest))
    }

    async fn write(&mut self) -> io::Result<()> {
        let (file, block, at) = (Arc::clone(&self.file), std::mem::take(&mut self.waiting), self.written);
        let write = move || file.write_all_at(&block, at).map(|()| block);
        self.waiting = on_disk(write).await?;
        self.written += self.waiting.len() as u64;
        self.waiting.clear();
        Ok(())
    }
}

#[async_trait]
impl Sink for Spool {
    async fn take(&mut self, bytes: Bytes) -> io::Result<()> {
        self.probe.push(&bytes);
        for bytes in bytes.chunks(BLOCK) {
            self.waiting.extend_from_slice(bytes);
            if self.waiting.len() >= BLOCK {
                self.write().await?;
            }
        }
        Ok(())
    }

    async fn restart(&mut self) -> io::Result<()> {
        self.waiting.clear();
        self.written = self.begun;
        self.probe = Utf8Probe::default();
        Ok(())
    }
}

async fn on_disk<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(spool: &Spool, mut range: Range<u64>) -> Vec<u8> {
        let mut read = Vec::new();
        while !range.is_empty() {
            let (block, rest) = spool.block(range).await.unwrap();
            read.extend(block);
            range = rest;
        }
        read
    }

    #[tokio::test]
    async fn incomplete_file_is_written_again_after_the_other_files() {
        let mut spool = Spool::new().await.unwrap();
        let first: Vec<u8> = (0..=250).cycle().take(2 * BLOCK + 7).collect();
        for chunk in first.chunks(300_001) {
            spool.take(Bytes::copy_from_slice(chunk)).await.unwrap();
        }
        let one = spool.end_file().await.unwrap();
        let empty = spool.end_file().await.unwrap();
        spool.take(vec![1; 3 * BLOCK].into()).await.unwrap();
        spool.restart().await.unwrap();
        spool.take("blåbær".into()).await.unwrap();
        let two = spool.end_file().await.unwrap();
        assert!(read(&spool, one.range).await == first);
        assert!(empty.range.is_empty());
        assert_eq!(read(&spool, two.range).await, "blåbær".as_bytes());
        assert!(two.utf8 && !one.utf8);
    }
}
