//! Compact record of the items that the manifests have named.

use std::collections::{HashMap, hash_map::Entry};

use model::{ItemKey, RunId, Sha256};
use serde_json::Value;

use super::runs::{Run, Runs};

/// The key of an item (the first 128 bits of the SHA-256 of its id) in binary: half the bytes and no allocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ItemHash([u8; 16]);

impl ItemHash {
    /// Computes the hash of an id as it is in a manifest or a task, valid or not.
    pub fn of(item: &Value) -> Self {
        let hash = match item {
            Value::String(id) => Sha256::of(id.as_bytes()),
            other => Sha256::of(other.to_string().as_bytes()),
        };
        let mut short = [0; 16];
        short.copy_from_slice(&hash.as_bytes()[..16]);
        Self(short)
    }

    /// Converts the key of a valid id.
    pub(super) fn from_key(key: &ItemKey) -> Option<Self> {
        u128::from_str_radix(key.as_str(), 16).ok().map(|bits| Self(bits.to_be_bytes()))
    }

    /// Returns the key as in logs and objects.
    pub fn hex(self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Index of a run among the compared ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct RunIndex(u32);

impl RunIndex {
    pub(super) fn run(self, runs: &Runs) -> Option<&Run> {
        runs.compared_at(usize::try_from(self.0).ok()?)
    }
}

/// Indexes of the compared runs by id.
pub(super) struct RunIndexes<'a>(HashMap<&'a RunId, RunIndex>);

impl<'a> RunIndexes<'a> {
    pub(super) fn of(runs: &'a Runs) -> Self {
        Self(runs.compared().map(|run| &run.id).zip((0..).map(RunIndex)).collect())
    }

    /// Returns the index of a run; `None` if it is not compared.
    pub(super) fn get(&self, run: &RunId) -> Option<RunIndex> {
        self.0.get(run).copied()
    }
}

/// State of an item that an entry of a manifest has named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ItemState {
    Filed {
        /// Number of copies.
        copies: u32,
        /// Run at which the item counts, until that run has listed it.
        counts_at: Option<RunIndex>,
    },
    /// The item was not filed at the first read of its outcome; index among those items.
    Open(u32),
}

/// Items that were compared; `None` while the comparison runs. Needs about 50 bytes per item.
#[derive(Default)]
pub(super) struct SeenItems(HashMap<ItemHash, Option<ItemState>>);

impl SeenItems {
    /// Records an item. Returns whether this is the first entry that names it.
    pub(super) fn is_new(&mut self, item: ItemHash) -> bool {
        match self.0.entry(item) {
            Entry::Vacant(entry) => {
                entry.insert(None);
                true
            }
            Entry::Occupied(_) => false,
        }
    }

    /// Returns the state of an item.
    pub(super) fn get(&self, item: ItemHash) -> Option<ItemState> {
        self.0.get(&item).copied().flatten()
    }

    /// Records the state of an item.
    pub(super) fn record(&mut self, item: ItemHash, sighting: ItemState) {
        self.0.insert(item, Some(sighting));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn item_hash_equals_the_key() {
        let id: model::ItemId = "WA-1/ø".parse().unwrap();
        let hash = ItemHash::of(&Value::from("WA-1/ø"));
        assert_eq!(hash.hex(), id.key().as_str());
        assert_eq!(ItemHash::from_key(&id.key()), Some(hash));
    }

    #[test]
    fn item_needs_at_most_32_bytes() {
        let bytes = size_of::<(ItemHash, Option<ItemState>)>();
        assert!(bytes <= 32, "{bytes}");
    }
}
