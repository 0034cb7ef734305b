//! Receives an attachment's bytes while they arrive.

use std::io;

use async_trait::async_trait;
use bytes::Bytes;
use model::{Hasher, Sha256};

use crate::SourceError;

/// Receives an attachment's bytes, slice by slice.
#[async_trait]
pub trait Sink: Send {
    /// Takes the next bytes.
    ///
    /// # Errors
    /// The bytes cannot be stored.
    async fn take(&mut self, bytes: Bytes) -> io::Result<()>;

    /// Discards the bytes so far: the connection broke, and the retry begins from the start.
    ///
    /// # Errors
    /// The bytes cannot be discarded.
    async fn restart(&mut self) -> io::Result<()>;
}

/// Keeps the bytes in memory.
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

/// Hashes the bytes and passes them on to another sink.
pub(crate) struct Hashed<'a> {
    sink: &'a mut dyn Sink,
    hasher: Hasher,
}

impl<'a> Hashed<'a> {
    pub(crate) fn new(sink: &'a mut dyn Sink) -> Self {
        Self { sink, hasher: Hasher::default() }
    }

    /// Returns the digest, if it is the declared one.
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

/// Copies bytes that are in memory into a sink, and returns their digest, if it is the declared one.
pub(crate) async fn copy(bytes: Bytes, sink: &mut dyn Sink, declared: Option<Sha256>) -> Result<Sha256, SourceError> {
    let mut hashed = Hashed::new(sink);
    hashed.restart().await.map_err(|error| full(&error))?;
    hashed.take(bytes).await.map_err(|error| full(&error))?;
    hashed.finish(declared)
}

/// Returns the failure of a sink, which is a failure of the system, not of the item.
pub(crate) fn full(error: &io::Error) -> SourceError {
    SourceError::Unavailable { detail: format!("an attachment cannot be stored: {}", error.kind()), retry_after: None }
}
