//! The cursor between runs: `state/cursor.json`.

use item::Cursor;
use store::{Condition, ETag, Put, Store, StoreError, Written, keys};

use crate::FetchError;

/// The cursor as this run knows it.
pub(crate) struct StoredCursor<'a> {
    store: &'a Store,
    known: Option<(Cursor, ETag)>,
}

impl<'a> StoredCursor<'a> {
    const LIMIT: u64 = 4096;

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

    /// Moves the cursor forward to where `to` says; never back, whoever else has moved it meanwhile.
    pub(crate) async fn advance(&mut self, to: Cursor) -> Result<(), FetchError> {
        loop {
            if self.get().is_some_and(|cursor| cursor.archived_time >= to.archived_time) {
                return Ok(());
            }
            let bytes = serde_json::to_vec(&to).map_err(|_| FetchError::Cursor)?.into();
            let condition = match &self.known {
                Some((_, etag)) => Condition::Unchanged(etag),
                None => Condition::Absent,
            };
            let put = Put { key: keys::CURSOR, bytes, content_type: "application/json", sha256: None };
            match self.store.put(put, condition).await {
                Ok(Written::Yes(etag)) => {
                    self.known = Some((to, etag));
                    return Ok(());
                }
                // Another run has moved it, or an earlier try of ours took effect without an answer.
                Ok(Written::Conflict) => *self = Self::read(self.store).await?,
                Err(error @ StoreError::Unavailable { .. }) => {
                    *self = Self::read(self.store).await?;
                    if self.get() != Some(&to) {
                        return Err(error.into());
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}
