//! Who an item's participants are, read from its stored message by somebody who has no task of it.

use batch::Failure;
use item::{Participant, Sha256};
use store::{Store, StoreError};

use crate::{evidence, large};

/// The bucket does not give a stored message.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct StoredError(String);

impl StoredError {
    fn of(error: impl ToString) -> Self {
        Self(error.to_string())
    }
}

/// The participants, the sender first. `None` where the message is gone, is not the one that was rendered, or has no
/// evidence. However large it is, no more of it is in memory than of one of the usual size.
///
/// # Errors
/// [`StoredError`].
pub async fn participants_of(
    store: &Store,
    key: &str,
    sha256: Sha256,
    length: u64,
) -> Result<Option<Vec<Participant>>, StoredError> {
    if length > large::WHOLE {
        return match large::read(store, key, sha256, length).await {
            Ok(Some(mime)) => evidence::participants(&mime).await.map_err(StoredError::of),
            Ok(None) | Err(Failure::Permanent { .. }) => Ok(None),
            Err(Failure::Transient { detail, .. } | Failure::Setup { detail, .. }) => Err(StoredError(detail)),
        };
    }
    match store.get(key, length).await {
        Ok(Some(object)) if Sha256::of(&object.bytes) == sha256 => Ok(render::participants(&object.bytes)),
        Ok(_) | Err(StoreError::TooLarge { .. }) => Ok(None),
        Err(error) => Err(StoredError::of(error)),
    }
}
