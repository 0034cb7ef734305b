//! Reads the user map in the bucket: once per batch, and parses it only when it has changed.

use std::sync::Arc;

use aws::s3::{Changed, Condition, ETag, Put, Store, StoreError, Written};
use jiff::Timestamp;
use mapping::{UserMap, UserMapRecord};
use model::{Failure, keys};
use phone::Region;
use runtime::metrics::Metric;
use tokio::sync::Mutex;
use tracing::{info, warn};

use crate::error::store_failure;

/// `config/user-map.csv`.
pub struct UserMapFile {
    store: Store,
    key: String,
    default_region: Option<Region>,
    cache: Mutex<Option<Cached>>,
}

/// A version of the file, or its absence.
struct Cached {
    etag: Option<ETag>,
    /// The map, or the errors of this version.
    map: Result<Arc<UserMap>, String>,
    record: UserMapRecord,
    /// `true` if the version may be used: it is recorded as the one that was used last.
    accepted: bool,
}

impl UserMapFile {
    /// Creates the reader of the file under this key. Numbers without a country code are read as the region's.
    pub fn new(store: Store, key: String, default_region: Option<Region>) -> Self {
        Self { store, key, default_region, cache: Mutex::new(None) }
    }

    /// Reads the current map. If the file has never existed, the map is empty, because mapping by the items' own e-mail
    /// properties needs no file.
    ///
    /// # Errors
    /// [`Failure::Configuration`] if the file has conflicting or unreadable rows, has disappeared, has lost more
    /// than a tenth of its numbers, has others in the place of many, has other mailboxes for most of them, or has no valid
    /// rows for more than a tenth. Nothing is filed until an operator has fixed or confirmed it, because a mail in the wrong
    /// mailbox is worse than a late one.
    pub async fn refresh(&self) -> Result<(), Failure> {
        let mut cache = self.cache.lock().await;
        let etag = cache.as_ref().and_then(|cached| cached.etag.as_ref());
        match self.store.get_if_changed(&self.key, etag, UserMap::MAX_BYTES as u64).await {
            Ok(Changed::No) => {}
            Ok(Changed::Missing) if cache.as_ref().is_some_and(|cached| cached.etag.is_none()) => {}
            Ok(Changed::Missing) => {
                let map = UserMap::empty();
                let record = UserMapRecord::of(&map, None, Timestamp::now());
                *cache = Some(Cached { etag: None, map: Ok(Arc::new(map)), record, accepted: false });
            }
            Ok(Changed::Yes(object)) => {
                let map = UserMap::parse(&object.bytes, self.default_region);
                let record =
                    UserMapRecord::of(map.as_ref().unwrap_or(&UserMap::empty()), Some(&object.bytes), Timestamp::now());
                // The log names the invalid lines and the kind of each error, not their content.
                let map = map.map(Arc::new).map_err(|errors| format!("{}: {}", self.key, errors.log_safe()));
                *cache = Some(Cached { etag: Some(object.etag), map, record, accepted: false });
            }
            Err(error @ StoreError::TooLarge { .. }) => return Err(refused(error.to_string())),
            Err(error) => return Err(store_failure(error)),
        }
        let Some(cached) = cache.as_mut() else { return Err(not_read()) };
        let map = cached.map.as_ref().map_err(|errors| refused(errors.clone()))?;
        if !cached.accepted {
            self.accept(&cached.record, map, cached.etag.as_ref()).await?;
            info!(numbers = map.len(), "user map accepted");
            map.warnings().iter().for_each(|warning| warn!(%warning, "user map"));
            cached.accepted = true;
        }
        Ok(())
    }

    /// Returns the map of the last [`refresh`](Self::refresh), without a request to the bucket.
    ///
    /// # Errors
    /// [`Failure::Configuration`], as [`refresh`](Self::refresh).
    pub async fn current(&self) -> Result<Arc<UserMap>, Failure> {
        let cache = self.cache.lock().await;
        let cached = cache.as_ref().filter(|cached| cached.accepted || cached.map.is_err()).ok_or_else(not_read)?;
        cached.map.clone().map_err(configuration)
    }

    /// Compares the map with the one that was used last, and records it as the last used one.
    async fn accept(&self, record: &UserMapRecord, map: &UserMap, etag: Option<&ETag>) -> Result<(), Failure> {
        // If two functions start at the same time, both record the same map, and the second finds the record of the
        // first.
        const ATTEMPTS: u32 = 3;
        for _ in 0..ATTEMPTS {
            if self.try_accept(record, map, etag).await? {
                return Ok(());
            }
        }
        let detail = format!("other invocations write {}", keys::USER_MAP_RECORD);
        Err(Failure::Transient { detail, after: None })
    }

    /// Checks that the file is still the version that was read: an operator may have replaced it, and confirmed the other one.
    async fn check_unchanged(&self, etag: Option<&ETag>) -> Result<(), Failure> {
        match self.store.get_if_changed(&self.key, etag, UserMap::MAX_BYTES as u64).await.map_err(store_failure)? {
            Changed::No => Ok(()),
            Changed::Missing if etag.is_none() => Ok(()),
            Changed::Missing | Changed::Yes(_) => {
                let detail = "the user map has changed since it was read".to_owned();
                Err(Failure::Transient { detail, after: None })
            }
        }
    }

    /// Tries to accept the map once. Returns `false` if another invocation has written the record meanwhile.
    async fn try_accept(&self, record: &UserMapRecord, map: &UserMap, etag: Option<&ETag>) -> Result<bool, Failure> {
        let key = keys::USER_MAP_RECORD;
        let object = self.store.get(key, UserMapRecord::MAX_BYTES).await.map_err(store_failure)?;
        let last = object.as_ref().map(|object| serde_json::from_slice::<UserMapRecord>(&object.bytes)).transpose();
        let last = match last {
            Ok(last) if last.as_ref().is_none_or(|last| last.v == UserMapRecord::VERSION) => last,
            Ok(_) | Err(_) => {
                return Err(refused(format!("{key} cannot be parsed: write it again with `archiver mapping confirm`")));
            }
        };
        record.follows(last.as_ref(), map).map_err(|reason| refused(format!("{}: {reason}", self.key)))?;
        if last.as_ref() == Some(record) {
            return Ok(true);
        }
        self.check_unchanged(etag).await?;
        let bytes = serde_json::to_vec(record).map_err(|error| configuration(error.to_string()))?;
        let put = Put { key, bytes: bytes.into(), content_type: "application/json", sha256: None };
        let condition = object.as_ref().map_or(Condition::Absent, |object| Condition::Unchanged(&object.etag));
        match self.store.put(put, condition).await.map_err(store_failure)? {
            Written::Yes(_) => Ok(true),
            Written::Conflict => Ok(false),
        }
    }
}

fn refused(detail: String) -> Failure {
    runtime::metrics::add(Metric::UserMapRefused, 1);
    configuration(detail)
}

fn configuration(detail: String) -> Failure {
    Failure::Configuration { detail, after: None }
}

fn not_read() -> Failure {
    Failure::Transient { detail: "the user map was not read".to_owned(), after: None }
}

#[cfg(test)]
mod tests {
    use aws_fake::{Aws, BUCKET};

    use super::*;

    /// An operator uploads and confirms another map after this process has read the file and before it compares it.
    #[tokio::test]
    async fn map_that_was_replaced_meanwhile_is_not_recorded() {
        let aws = Aws::start().await;
        let store = Store::new(aws.config(), BUCKET.to_owned());
        let write = async |rows: &str| {
            let bytes = format!("phone,email\n{rows}").into_bytes().into();
            let put = Put { key: keys::USER_MAP, bytes, content_type: "text/csv", sha256: None };
            store.put(put, Condition::Always).await.unwrap();
        };
        write("+4520123456,ada@example.com\n+4520123457,bob@example.com\n").await;
        let file = UserMapFile::new(store.clone(), keys::USER_MAP.to_owned(), None);
        let Changed::Yes(read) = store.get_if_changed(keys::USER_MAP, None, 1 << 20).await.unwrap() else {
            panic!("there is no map")
        };
        let map = UserMap::parse(&read.bytes, None).unwrap();
        let record = UserMapRecord::of(&map, Some(&read.bytes), Timestamp::now());
        write("+4520123456,ada@example.com\n").await;
        let accepted = file.accept(&record, &map, Some(&read.etag)).await;
        assert!(matches!(accepted, Err(Failure::Transient { .. })), "{accepted:?}");
        assert_eq!(aws.object(keys::USER_MAP_RECORD), None, "the earlier map would have to be confirmed again");
        file.refresh().await.unwrap();
        assert!(aws.object(keys::USER_MAP_RECORD).is_some());
    }

    /// The column of the desk phones was exported, or the default region was changed: the record stays that of the last map.
    #[tokio::test]
    async fn map_with_replaced_numbers_is_refused_until_confirmed() {
        let aws = Aws::start().await;
        let store = Store::new(aws.config(), BUCKET.to_owned());
        let write = async |key, bytes: Vec<u8>| {
            let put = Put { key, bytes: bytes.into(), content_type: "text/csv", sha256: None };
            store.put(put, Condition::Always).await.unwrap();
        };
        let table = |prefix: &str| {
            let rows: String = (0..20).map(|row| format!("{prefix}{row:02},p{row}@example.com\n")).collect();
            format!("phone,email\n{rows}").into_bytes()
        };
        let refresh = async |region: &str| {
            let region = Some(region.parse().unwrap());
            UserMapFile::new(store.clone(), keys::USER_MAP.to_owned(), region).refresh().await
        };
        write(keys::USER_MAP, table("412345")).await;
        refresh("DK").await.unwrap();
        let accepted = aws.object(keys::USER_MAP_RECORD);
        let is_refused = |result: Result<(), Failure>| matches!(result, Err(Failure::Configuration { detail, .. }) if detail.contains("DefaultRegion"));
        assert!(is_refused(refresh("NO").await));
        write(keys::USER_MAP, table("312345")).await;
        assert!(is_refused(refresh("DK").await));
        assert_eq!(aws.object(keys::USER_MAP_RECORD), accepted);
        let confirmed = table("312345");
        let map = UserMap::parse(&confirmed, Some("DK".parse().unwrap())).unwrap();
        let record = UserMapRecord::of(&map, Some(&confirmed), Timestamp::now());
        write(keys::USER_MAP_RECORD, serde_json::to_vec(&record).unwrap()).await;
        refresh("DK").await.unwrap();
    }
}
