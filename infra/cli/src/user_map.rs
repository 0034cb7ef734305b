//! The deployment's user map: its location, its settings, and the record of the map that import used last.

use anyhow::bail;
use aws::s3::{Condition, Object, Put, Store, StoreError, Written};
use jiff::Timestamp;
use mapping::{Refused, UserMap, UserMapRecord};
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

    /// Reads the object. The inner error says that it is too large; `None` if it does not exist.
    async fn read_object(&self, store: &Store) -> Result<Option<Result<Object, String>>, StoreError> {
        const MAX_BYTES: u64 = UserMap::MAX_BYTES as u64;
        match store.get(&self.key, MAX_BYTES).await {
            Err(error @ StoreError::TooLarge { .. }) => Ok(Some(Err(error.to_string()))),
            other => Ok(other?.map(Ok)),
        }
    }

    /// Reads the user map from the bucket. The inner error is the reason why it cannot be parsed; `None` if the object
    /// does not exist.
    ///
    /// # Errors
    /// The bucket cannot be read.
    pub async fn read(&self, store: &Store) -> Result<Option<Result<UserMap, String>>, StoreError> {
        Ok(self.read_object(store).await?.map(|object| self.parse(&object?)))
    }

    fn parse(&self, object: &Object) -> Result<UserMap, String> {
        UserMap::parse(&object.bytes, self.default_region).map_err(|errors| errors.to_string())
    }

    /// Reads the user map from the bucket, and judges it as import does: it also compares it with the map that import
    /// used last.
    ///
    /// # Errors
    /// The bucket cannot be read.
    pub async fn read_as_import(&self, store: &Store) -> Result<MapInBucket, StoreError> {
        let object = match self.read_object(store).await? {
            Some(Ok(object)) => Some(object),
            Some(Err(problem)) => {
                return Ok(MapInBucket { map: None, problem: Some(problem), can_be_confirmed: false });
            }
            None => None,
        };
        let map = match object.as_ref().map(|object| self.parse(object)).transpose() {
            Ok(map) => map,
            Err(problem) => return Ok(MapInBucket { map: None, problem: Some(problem), can_be_confirmed: false }),
        };
        let bytes = object.as_ref().map(|object| &object.bytes[..]);
        let empty = UserMap::empty();
        let read = map.as_ref().unwrap_or(&empty);
        let record = UserMapRecord::of(read, bytes, Timestamp::now());
        let problem = last_used(store).await?.refusal(&record, read).map(|refusal| refusal.to_string());
        Ok(MapInBucket { map, can_be_confirmed: problem.is_some(), problem })
    }
}

/// The user map in the bucket, as import judges it.
#[derive(Debug)]
pub struct MapInBucket {
    /// `None` if the object does not exist or cannot be parsed.
    pub map: Option<UserMap>,
    /// Reason why import refuses the map, or its absence, and files nothing.
    pub problem: Option<String>,
    /// `true` if the map is valid, and refused because of what has changed since the last map ([`Refused`]), or because the
    /// record of the last map cannot be parsed: an operator can confirm it.
    pub can_be_confirmed: bool,
}

/// Record of the user map that import used last.
pub(super) struct LastUsed {
    /// `None` if there is no object; an error if import cannot use it.
    pub(super) record: Result<Option<UserMapRecord>, Refusal>,
    pub(super) object: Option<Object>,
}

/// Reason why import refuses a valid map, or its absence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error(transparent)]
    Map(Refused),
    #[error(
        "{} cannot be parsed, so the size of the last map that was used is unknown; nothing is filed until the map is confirmed \
         with `archiver mapping confirm`",
        keys::USER_MAP_RECORD
    )]
    UnreadableRecord,
}

impl Refusal {
    /// Returns the option with which `mapping upload` confirms the map.
    pub(super) fn option(self) -> &'static str {
        match self {
            Self::Map(Refused::Moved { .. }) => CONFIRM_MOVES,
            Self::Map(Refused::Shrunk { .. } | Refused::Replaced { .. } | Refused::Ended { .. })
            | Self::UnreadableRecord => CONFIRM_SHRINK,
        }
    }
}

/// Option of `mapping upload` for a map that lacks many numbers of the last one, or gives them no mailbox now.
pub(super) const CONFIRM_SHRINK: &str = "--confirm-shrink";

/// Option of `mapping upload` for a map in which many numbers have other mailboxes.
pub(super) const CONFIRM_MOVES: &str = "--confirm-moves";

impl LastUsed {
    /// Returns the reason why import refuses a valid map with this record, or its absence.
    pub(super) fn refusal(&self, record: &UserMapRecord, map: &UserMap) -> Option<Refusal> {
        match &self.record {
            Ok(last) => record.follows(last.as_ref(), map).err().map(Refusal::Map),
            Err(refusal) => Some(*refusal),
        }
    }
}

/// Reads the record.
pub(super) async fn last_used(store: &Store) -> Result<LastUsed, StoreError> {
    // A record that is too long for import can be confirmed, too.
    const READ_MAX_BYTES: u64 = 1 << 20;
    let object = store.get(keys::USER_MAP_RECORD, READ_MAX_BYTES).await?;
    let record = object.as_ref().map(|object| parse_record(&object.bytes)).transpose();
    Ok(LastUsed { record, object })
}

/// Parses a record as import does.
fn parse_record(bytes: &[u8]) -> Result<UserMapRecord, Refusal> {
    let parsed = Some(bytes).filter(|bytes| bytes.len() as u64 <= UserMapRecord::MAX_BYTES);
    let record = parsed.and_then(|bytes| serde_json::from_slice::<UserMapRecord>(bytes).ok());
    record.filter(|record| record.v == UserMapRecord::VERSION).ok_or(Refusal::UnreadableRecord)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn map_that_import_refuses_has_a_reason() {
        let map = |numbers| UserMapRecord {
            v: UserMapRecord::VERSION,
            numbers,
            sha256: None,
            sample: None,
            numbers_now: None,
        };
        let file = |numbers| UserMapRecord { sha256: Some(model::Sha256::of(b"file")), ..map(numbers) };
        let refusal = |record, after| LastUsed { record, object: None }.refusal(&after, &UserMap::empty());
        assert_eq!(refusal(Ok(Some(map(20))), file(18)), None);
        assert_eq!(refusal(Ok(None), file(0)), None, "the first map");
        assert!(refusal(Ok(Some(map(20))), file(17)).unwrap().to_string().contains("has 17 numbers"));
        let json = serde_json::to_string(&map(20)).unwrap();
        assert_eq!(parse_record(json.as_bytes()), Ok(map(20)));
        let too_long = json.clone() + &" ".repeat(4 << 10);
        for unreadable in [too_long, json.replace("\"v\":1", "\"v\":2"), "{".to_owned()] {
            let refused = refusal(parse_record(unreadable.as_bytes()).map(Some), file(20));
            assert!(refused.unwrap().to_string().contains(keys::USER_MAP_RECORD), "{unreadable}");
        }
    }
}
