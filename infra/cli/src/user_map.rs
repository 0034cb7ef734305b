//! The deployment's user map: where it is, and how it is read and used.

use anyhow::bail;
use aws::s3::{Condition, Object, Put, Store, StoreError, Written};
use mapping::{UserMap, UserMapRecord};
use model::keys;
use phone::Region;
use runtime::VariableError;

use crate::connection::Connection;

/// Where the user map is and how its numbers are read, where that is not as the deployment has it.
#[derive(Debug, Clone, clap::Args)]
pub struct UserMapArguments {
    /// The country of numbers that are written without a country code [default: the deployment's DefaultRegion]
    #[arg(long, value_name = "XX")]
    default_region: Option<Region>,
    /// Where in the bucket the user map is [default: the deployment's UserMapKey]
    #[arg(long, value_name = "KEY")]
    user_map_key: Option<String>,
}

/// Where a deployment's user map is, and how it is read.
#[derive(Debug, Clone)]
pub struct UserMapSettings {
    /// Its key in the bucket.
    pub key: String,
    /// The country of numbers that are written without a country code.
    pub default_region: Option<Region>,
}

impl UserMapSettings {
    /// What the arguments say, and of what they leave open what the deployment says.
    ///
    /// # Errors
    /// When the deployment says something that cannot be.
    pub fn of(arguments: &UserMapArguments, connection: &Connection) -> Result<Self, VariableError> {
        let deployed = Self::deployed(connection)?;
        Ok(Self {
            key: arguments.user_map_key.clone().unwrap_or(deployed.key),
            default_region: arguments.default_region.or(deployed.default_region),
        })
    }

    /// What the deployment says.
    ///
    /// # Errors
    /// When it says something that cannot be.
    pub fn deployed(connection: &Connection) -> Result<Self, VariableError> {
        let variables = connection.mapping();
        Ok(Self {
            key: variables.or("USER_MAP_KEY", "a key in the bucket", keys::USER_MAP.to_owned())?,
            default_region: variables.optional("DEFAULT_REGION", "a country of two letters, such as DK")?,
        })
    }

    /// The user map in the bucket, or why import refuses it; `None` where there is none.
    ///
    /// # Errors
    /// When the bucket does not answer.
    pub async fn read(&self, store: &Store) -> Result<Option<Result<UserMap, String>>, StoreError> {
        const LIMIT: u64 = UserMap::MAX_BYTES as u64;
        let object = match store.get(&self.key, LIMIT).await {
            Err(error @ StoreError::TooLarge { .. }) => return Ok(Some(Err(error.to_string()))),
            other => other?,
        };
        Ok(object.map(|object| UserMap::parse(&object.bytes, self.default_region).map_err(|errors| errors.to_string())))
    }
}

/// The record of the user map that import used last, with the object that it was read from. `None` where the object is not
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
