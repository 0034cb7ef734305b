//! The user map in the bucket: read again by each batch, parsed again only when it has changed.

use std::sync::Arc;

use batch::Failure;
use mapping::UserMap;
use metrics::Metric;
use phone::Region;
use store::{Changed, ETag, Store, StoreError};
use tokio::sync::Mutex;

use crate::failure::from_store;

/// `config/user-map.csv`.
pub struct UserMapFile {
    store: Store,
    key: String,
    default_region: Option<Region>,
    /// The last version that was read, and what it says; a version with errors is kept with them.
    known: Mutex<Known>,
}

#[derive(Clone)]
struct Known {
    etag: Option<ETag>,
    map: Result<Arc<UserMap>, String>,
}

impl UserMapFile {
    const LIMIT: u64 = 32 << 20;

    /// The file under this key. Numbers without a country code are read as the region's.
    pub fn new(store: Store, key: String, default_region: Option<Region>) -> Self {
        let known = Known { etag: None, map: Ok(Arc::new(UserMap::empty())) };
        Self { store, key, default_region, known: Mutex::new(known) }
    }

    /// Reads the map as it is now. No file is an empty map: mapping by the items' own e-mail properties needs none.
    ///
    /// # Errors
    /// [`Failure::Setup`] when the file has conflicting or unreadable rows: nothing is filed until it is mended, since
    /// the wrong mailbox is worse than a late one.
    pub async fn refresh(&self) -> Result<(), Failure> {
        let mut known = self.known.lock().await;
        match self.store.get_if_changed(&self.key, known.etag.as_ref(), Self::LIMIT).await {
            Ok(Changed::No) => {}
            Ok(Changed::Missing) => *known = Known { etag: None, map: Ok(Arc::new(UserMap::empty())) },
            Ok(Changed::Yes(object)) => {
                let map = UserMap::parse(&object.bytes, self.default_region);
                // The log names lines and what is wrong with them, not what they say.
                let map = map.map(Arc::new).map_err(|errors| format!("{}: {}", self.key, errors.log_safe()));
                *known = Known { etag: Some(object.etag), map };
            }
            Err(error @ StoreError::TooLarge { .. }) => return Err(refused(error.to_string())),
            Err(error) => return Err(from_store(error)),
        }
        known.map.as_ref().map(drop).map_err(|errors| refused(errors.clone()))
    }

    /// The map as it was last read: asking the bucket again for each item would make them wait for one another.
    ///
    /// # Errors
    /// [`Failure::Setup`], as [`refresh`](Self::refresh).
    pub async fn current(&self) -> Result<Arc<UserMap>, Failure> {
        self.known.lock().await.map.clone().map_err(setup)
    }
}

fn refused(detail: String) -> Failure {
    metrics::add(Metric::UserMapRefused, 1);
    setup(detail)
}

fn setup(detail: String) -> Failure {
    Failure::Setup { detail, after: None }
}
