//! Where an attachment's bytes go while they come.

use std::io;

use async_trait::async_trait;
use bytes::Bytes;
use model::{Hasher, Sha256};

use crate::SourceError;

/// Takes an attachment's bytes, slice by slice: memory holds no more of them than the sink does.
#[async_trait]
pub trait Sink: Send {
    /// Takes what comes next.
    ///
    /// # Errors
    /// Where it cannot be kept.
    async fn take(&mut self, bytes: Bytes) -> io::Result<()>;

    /// Forgets what this attachment has given so far: the exchange broke off, and the next begins from the start.
    ///
    /// # Errors
    /// Where that cannot be done.
    async fn restart(&mut self) -> io::Result<()>;
}

/// Keeps them in memory.
#[async_trait]
impl Sink for Vec<u8> {
    async fn take(&mut self, bytes: Bytes) -> io::Result<()> {
        self.extend_from_slice(&bytes);
        Ok(())
    }

    async fn restart(&mut self) -> io::Result<()> {
        self.clear();
        Ok(())
    }
}

/// Hashes what goes on to another sink.
pub(crate) struct Hashed<'a> {
    sink: &'a mut dyn Sink,
    hasher: Hasher,
}

impl<'a> Hashed<'a> {
    pub(crate) fn new(sink: &'a mut dyn Sink) -> Self {
        Self { sink, hasher: Hasher::default() }
    }

    /// The digest, where it is the declared one.
    pub(crate) fn finish(self, declared: Option<Sha256>) -> Result<Sha256, SourceError> {
        let sha256 = self.hasher.finish();
        match declared {
            Some(declared) if declared != sha256 => Err(SourceError::Mismatch),
            _ => Ok(sha256),
        }
    }
}

#[async_trait]
impl Sink for Hashed<'_> {
    async fn take(&mut self, bytes: Bytes) -> io::Result<()> {
        self.hasher.update(&bytes);
        self.sink.take(bytes).await
    }

    async fn restart(&mut self) -> io::Result<()> {
        self.hasher = Hasher::default();
        self.sink.restart().await
    }
}

/// A sink that cannot keep what comes is the system's fault, not the item's.
pub(crate) fn full(error: &io::Error) -> SourceError {
    SourceError::Unavailable { detail: format!("an attachment cannot be kept: {}", error.kind()), retry_after: None }
}
