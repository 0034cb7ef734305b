//! The cursor between runs: `state/cursor.json`.

use std::time::Duration;

use item::{Cursor, Reached, RunId};
use jiff::Timestamp;
use store::{Condition, ETag, Put, Store, StoreError, Written, keys};

use crate::FetchError;

/// The cursor as this run knows it.
pub(crate) struct StoredCursor<'a> {
    store: &'a Store,
    known: Option<(Cursor, ETag)>,
}

impl<'a> StoredCursor<'a> {
    const LIMIT: u64 = 4096;

    /// How often it is written where somebody else writes it too, with pauses that double between.
    const TRIES: u32 = 5;
    const PAUSE: Duration = Duration::from_millis(100);

    pub(crate) async fn read(store: &'a Store) -> Result<Self, FetchError> {
        let known = match store.get(keys::CURSOR, Self::LIMIT).await? {
            Some(object) => {
                let cursor: Cursor = serde_json::from_slice(&object.bytes).map_err(|_| FetchError::Cursor)?;
                if cursor.v != 1 {
                    return Err(FetchError::Cursor);
                }
                Some((cursor, object.etag))
            }
            None => None,
        };
        Ok(Self { store, known })
    }

    pub(crate) fn get(&self) -> Option<&Cursor> {
        self.known.as_ref().map(|(cursor, _)| cursor)
    }

    /// Writes the first cursor. Where another run has written one meanwhile, that one counts.
    pub(crate) async fn begin(&mut self, at: Timestamp, run: &RunId) -> Result<(), FetchError> {
        let cursor = Cursor { v: 1, archived_time: at, run: run.clone(), rest: None };
        let bytes = serde_json::to_vec(&cursor).map_err(FetchError::Json)?.into();
        let put = Put { key: keys::CURSOR, bytes, content_type: "application/json", sha256: None };
        match self.store.put(put, Condition::Absent).await? {
            Written::Yes(etag) => self.known = Some((cursor, etag)),
            Written::Conflict => *self = Self::read(self.store).await?,
        }
        if self.known.is_some() { Ok(()) } else { Err(FetchError::CursorContested) }
    }

    /// Moves the cursor forward as far as a run has come whose window begins at `from`; never back, whoever else has
    /// moved it meanwhile. Tells whether it moved.
    pub(crate) async fn advance(&mut self, from: Timestamp, reached: Reached, run: &RunId) -> Result<bool, FetchError> {
        for tried in 0..Self::TRIES {
            if tried > 0 {
                tokio::time::sleep(Self::PAUSE * 2_u32.pow(tried - 1)).await;
            }
            let Some(to) = Cursor::moved(self.get(), from, reached, run) else { return Ok(false) };
            let bytes = serde_json::to_vec(&to).map_err(FetchError::Json)?.into();
            let condition = match &self.known {
                Some((_, etag)) => Condition::Unchanged(etag),
                None => Condition::Absent,
            };
            let put = Put { key: keys::CURSOR, bytes, content_type: "application/json", sha256: None };
            let lost = match self.store.put(put, condition).await {
                Ok(Written::Yes(etag)) => {
                    self.known = Some((to, etag));
                    return Ok(true);
                }
                Ok(Written::Conflict) => None,
                Err(error @ StoreError::Unavailable { .. }) => Some(error),
                Err(error) => return Err(error.into()),
            };
            // Another run has moved it, or this try or an earlier one took effect without an answer.
            *self = Self::read(self.store).await?;
            if self.get() == Some(&to) {
                return Ok(true);
            }
            if let Some(error) = lost {
                return Err(error.into());
            }
        }
        Err(FetchError::CursorContested)
    }
}
