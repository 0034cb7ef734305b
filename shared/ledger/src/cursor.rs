//! The cursor between runs: `state/cursor.json`.

use std::time::Duration;

use aws::s3::{Condition, ETag, Put, Store, StoreError, Written};
use jiff::Timestamp;
use model::{Cursor, Reached, RunId, keys};

use crate::error::LedgerError;

/// The cursor, as this run read or wrote it last.
pub struct StoredCursor<'a> {
    store: &'a Store,
    source: &'a str,
    current: Option<(Cursor, ETag)>,
}

impl<'a> StoredCursor<'a> {
    const MAX_BYTES: u64 = 4096;

    /// Attempts to write the cursor when another run writes it too, with doubling pauses.
    const ADVANCE_ATTEMPTS: u32 = 5;
    const FIRST_PAUSE: Duration = Duration::from_millis(100);

    /// Reads the cursor, for a run that lists this source.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn read(store: &'a Store, source: &'a str) -> Result<Self, LedgerError> {
        let current = match store.get(keys::CURSOR, Self::MAX_BYTES).await? {
            Some(object) => {
                let cursor: Cursor = serde_json::from_slice(&object.bytes).map_err(|_| LedgerError::Cursor)?;
                if cursor.v != 1 {
                    return Err(LedgerError::Cursor);
                }
                Some((cursor, object.etag))
            }
            None => None,
        };
        Ok(Self { store, source, current })
    }

    /// Returns the cursor as it was last read or written; `None` if the bucket has none.
    pub fn get(&self) -> Option<&Cursor> {
        self.current.as_ref().map(|(cursor, _)| cursor)
    }

    /// Writes the first cursor of this source, in place of the one of another source that was read. If another run of
    /// this source has written one meanwhile, that one is used.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn begin(&mut self, at: Timestamp, run: &RunId) -> Result<(), LedgerError> {
        let source = Some(self.source.to_owned());
        let cursor = Cursor { v: 1, archived_time: at, run: run.clone(), rest: None, source };
        let bytes = serde_json::to_vec(&cursor).map_err(LedgerError::Json)?.into();
        let put = Put { key: keys::CURSOR, bytes, content_type: "application/json", sha256: None };
        match self.store.put(put, self.unchanged()).await? {
            Written::Yes(etag) => self.current = Some((cursor, etag)),
            Written::Conflict => *self = Self::read(self.store, self.source).await?,
        }
        match self.get() {
            Some(cursor) if !cursor.is_of_another_source(self.source) => Ok(()),
            _ => Err(LedgerError::CursorContested),
        }
    }

    /// Returns the condition that no other run has written the cursor since it was read.
    fn unchanged(&self) -> Condition<'_> {
        match &self.current {
            Some((_, etag)) => Condition::Unchanged(etag),
            None => Condition::Absent,
        }
    }

    /// Moves the cursor forward to the time that a run has reached whose window begins at `from`. Never moves it back,
    /// even if another run has moved it meanwhile. Returns whether it moved.
    ///
    /// # Errors
    /// [`LedgerError`]; also if a run of another source has replaced it meanwhile.
    pub async fn advance(&mut self, from: Timestamp, reached: Reached, run: &RunId) -> Result<bool, LedgerError> {
        for attempt in 0..Self::ADVANCE_ATTEMPTS {
            if attempt > 0 {
                tokio::time::sleep(Self::FIRST_PAUSE * 2_u32.pow(attempt - 1)).await;
            }
            if self.get().is_some_and(|cursor| cursor.is_of_another_source(self.source)) {
                break;
            }
            let Some(to) = Cursor::moved(self.get(), from, reached, (run, self.source)) else { return Ok(false) };
            let bytes = serde_json::to_vec(&to).map_err(LedgerError::Json)?.into();
            let put = Put { key: keys::CURSOR, bytes, content_type: "application/json", sha256: None };
            let response_lost = match self.store.put(put, self.unchanged()).await {
                Ok(Written::Yes(etag)) => {
                    self.current = Some((to, etag));
                    return Ok(true);
                }
                Ok(Written::Conflict) => None,
                Err(error @ StoreError::Unavailable { .. }) => Some(error),
                Err(error) => return Err(error.into()),
            };
            // Another run has moved it, or an attempt took effect and its response was lost.
            *self = Self::read(self.store, self.source).await?;
            if self.get() == Some(&to) {
                return Ok(true);
            }
            if let Some(error) = response_lost {
                return Err(error.into());
            }
        }
        Err(LedgerError::CursorContested)
    }
}
