//! Reads and seeks in an object of the bucket; one block at a time is in memory.

use std::io::{self, Read, Seek, SeekFrom};

use aws::s3::{Store, Version};
use bytes::Bytes;
use tokio::runtime::Handle;

/// Reads one version of an object. Only for threads that may block.
pub(super) struct Pieces {
    store: Store,
    version: Version,
    runtime: Handle,
    at: u64,
    block: Bytes,
    block_at: u64,
}

impl Pieces {
    /// Size of one read.
    const BLOCK: u64 = 4 << 20;

    pub(super) fn new(store: Store, version: Version, runtime: Handle) -> Self {
        Self { store, version, runtime, at: 0, block: Bytes::new(), block_at: 0 }
    }

    /// Returns the bytes in memory from the current position on.
    fn here(&self) -> Option<&[u8]> {
        let offset = usize::try_from(self.at.checked_sub(self.block_at)?).ok()?;
        self.block.get(offset..).filter(|rest| !rest.is_empty())
    }
}

impl Read for Pieces {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if into.is_empty() || self.at >= self.version.bytes() {
            return Ok(0);
        }
        if self.here().is_none() {
            let from = self.at - self.at % Self::BLOCK;
            let piece = self.store.read_piece(&self.version, from..from + Self::BLOCK);
            self.block = self.runtime.block_on(piece).map_err(io::Error::other)?;
            self.block_at = from;
        }
        let here = self.here().ok_or(io::ErrorKind::UnexpectedEof)?;
        let length = here.len().min(into.len());
        into[..length].copy_from_slice(&here[..length]);
        self.at += length as u64;
        Ok(length)
    }
}

impl Seek for Pieces {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(offset) => self.version.bytes().checked_add_signed(offset),
            SeekFrom::Current(offset) => self.at.checked_add_signed(offset),
        };
        self.at = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}
