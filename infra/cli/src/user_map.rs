//! The deployment's user map: its location, its settings, and the record of the map that import used last.

use anyhow::bail;
use aws::s3::{Condition, Object, Put, Store, StoreError, Written};
use mapping::{UserMap, UserMapRecord};
use model::keys;
use phone::Region;
use runtime::VariableError;

use crate::connection::Connection;

/// Options that override the deployment's settings of the user map.
#[derive(Debug, Clone, clap::Args)]
pub struct UserMapArguments {
    /// The country of numbers that are written without a country code [default: the deployment's DefaultRegion]
    #[arg(long, value_name = "XX")]
    default_region: Option<Region>,
    /// The user map's key in the bucket [default: the deployment's UserMapKey]
    #[arg(long, value_name = "KEY")]
    user_map_key: Option<String>,
}

/// Location of the user map and the country of its numbers.
#[derive(Debug, Clone)]
pub struct UserMapSettings {
    /// Key in the bucket.
    pub key: String,
    /// The country of numbers that are written without a country code.
    pub default_region: Option<Region>,
}

impl UserMapSettings {
    /// Combines the options with the deployment's settings; an option takes precedence.
    ///
    /// # Errors
    /// A setting of the deployment is invalid.
    pub fn of(arguments: &UserMapArguments, connection: &Connection) -> Result<Self, VariableError> {
        let deployed = Self::deployed(connection)?;
        Ok(Self {
            key: arguments.user_map_key.clone().unwrap_or(deployed.key),
            default_region: arguments.default_region.or(deployed.default_region),
        })
    }

    /// Reads the deployment's settings.
    ///
    /// # Errors
    /// A setting is invalid.
    pub fn deployed(connection: &Connection) -> Result<Self, VariableError> {
        let variables = connection.mapping();
        Ok(Self {
            key: variables.with_default("USER_MAP_KEY", "a key in the bucket", keys::USER_MAP.to_owned())?,
            default_region: variables.optional("DEFAULT_REGION", "a country of two letters, such as DK")?,
        })
    }

    /// Reads the user map from the bucket. The inner error is the reason why import rejects the map; `None` if the
    /// object does not exist.
    ///
    /// # Errors
    /// The bucket cannot be read.
    pub async fn read(&self, store: &Store) -> Result<Option<Result<UserMap, String>>, StoreError> {
        const MAX_BYTES: u64 = UserMap::MAX_BYTES as u64;
        let object = match store.get(&self.key, MAX_BYTES).await {
            Err(error @ StoreError::TooLarge { .. }) => return Ok(Some(Err(error.to_string()))),
            other => other?,
        };
        Ok(object.map(|object| UserMap::parse(&object.bytes, self.default_region).map_err(|errors| errors.to_string())))
    }
}

/// Record of the user map that import used last, with the object that it was read from. `None` if the record is not
/// readable.
pub(super) type LastUsed = Option<(Option<UserMapRecord>, Option<Object>)>;

pub(super) async fn last_used(store: &Store) -> anyhow::Result<LastUsed> {
    const RECORD_MAX_BYTES: u64 = 4 << 10;
    let object = store.get(keys::USER_MAP_RECORD, RECORD_MAX_BYTES).await?;
    let record = object.as_ref().map(|object| serde_json::from_slice::<UserMapRecord>(&object.bytes)).transpose();
    Ok(record.ok().map(|record| (record, object)))
}

/// Records a map as the one that import used last, which confirms it.
pub(super) async fn record_as_used(
    store: &Store,
    record: &UserMapRecord,
    before: Option<Object>,
) -> anyhow::Result<()> {
    let condition = before.as_ref().map_or(Condition::Absent, |Object { etag, .. }| Condition::Unchanged(etag));
    let bytes = serde_json::to_vec(record)?.into();
    let put = Put { key: keys::USER_MAP_RECORD, bytes, content_type: "application/json", sha256: None };
    match store.put(put, condition).await? {
        Written::Yes(_) => Ok(()),
        Written::Conflict => bail!("{} has just been changed; run `archiver mapping confirm`", keys::USER_MAP_RECORD),
    }
}
