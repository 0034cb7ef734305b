//! What was seen of the manifests so far, in few bytes an item.

use std::collections::{HashMap, hash_map::Entry};

use model::{ItemKey, RunId, Sha256};
use serde_json::Value;

use super::runs::{Run, Runs};

/// 128 bits of the SHA-256 of an item's id: what its key is made of, in half the bytes and without an allocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct ItemHash([u8; 16]);

impl ItemHash {
    /// Of an id as it stands in a manifest or a task, valid or not.
    pub(super) fn of(item: &Value) -> Self {
        let hash = match item {
            Value::String(id) => Sha256::of(id.as_bytes()),
            other => Sha256::of(other.to_string().as_bytes()),
        };
        let mut short = [0; 16];
        short.copy_from_slice(&hash.as_bytes()[..16]);
        Self(short)
    }

    /// Of a valid id, by its key.
    pub(super) fn from_key(key: &ItemKey) -> Option<Self> {
        u128::from_str_radix(key.as_str(), 16).ok().map(|bits| Self(bits.to_be_bytes()))
    }

    /// As logs and objects call the item.
    pub(super) fn hex(self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// A run, by its place among those that are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct RunAt(u32);

impl RunAt {
    /// The run.
    pub(super) fn run(self, runs: &Runs) -> Option<&Run> {
        runs.runs.get(usize::try_from(self.0).ok()?)
    }
}

/// The places of the runs.
pub(super) struct RunPlaces<'a>(HashMap<&'a RunId, RunAt>);

impl<'a> RunPlaces<'a> {
    pub(super) fn of(runs: &'a Runs) -> Self {
        Self(runs.runs.iter().map(|run| &run.id).zip((0..).map(RunAt)).collect())
    }

    /// A run's place; `None` where it is not among them.
    pub(super) fn get(&self, run: &RunId) -> Option<RunAt> {
        self.0.get(run).copied()
    }
}

/// What is known of an item that an entry of a manifest has named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sighting {
    /// It is filed.
    Filed {
        /// In so many copies.
        copies: u32,
        /// The other run that it counts at, until that has listed it.
        counts_at: Option<RunAt>,
    },
    /// It was not filed when its outcome was read: which of those.
    Open(u32),
}

/// The items that were looked at, and those that are being looked at: `None`. It takes some 50 bytes an item.
#[derive(Default)]
pub(super) struct Seen(HashMap<ItemHash, Option<Sighting>>);

impl Seen {
    /// Whether this is the first entry that names the item; it is noted then.
    pub(super) fn is_new(&mut self, item: ItemHash) -> bool {
        match self.0.entry(item) {
            Entry::Vacant(entry) => {
                entry.insert(None);
                true
            }
            Entry::Occupied(_) => false,
        }
    }

    /// What is known of an item.
    pub(super) fn get(&self, item: ItemHash) -> Option<Sighting> {
        self.0.get(&item).copied().flatten()
    }

    /// Notes what was found.
    pub(super) fn note(&mut self, item: ItemHash, sighting: Sighting) {
        self.0.insert(item, Some(sighting));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_items_hash_is_its_key() {
        let id: model::ItemId = "WA-1/ø".parse().unwrap();
        let hash = ItemHash::of(&Value::from("WA-1/ø"));
        assert_eq!(hash.hex(), id.key().as_str());
        assert_eq!(ItemHash::from_key(&id.key()), Some(hash));
    }

    #[test]
    fn an_item_takes_few_bytes() {
        let bytes = size_of::<(ItemHash, Option<Sighting>)>();
        assert!(bytes <= 32, "{bytes}");
    }
}
