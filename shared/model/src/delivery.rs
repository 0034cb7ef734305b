//! The record of a file that a capture vendor delivered, and its problems.

use std::collections::HashSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::Sha256;

/// `deliveries/<hash of the file's key>.json`: one object per file of the inbox. fetch writes it after reading the
/// file. If the file is replaced by other mails, the record of the earlier version is kept under the hash of key and version:
/// some of its mails may be in no manifest yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// Version of the format: 1.
    pub v: u32,
    /// The file's key.
    pub file: String,
    /// The version of the file that was read: S3's tag.
    pub etag: String,
    /// Time of the upload of the file.
    pub received: Timestamp,
    /// The count in the manifest, if the file has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest_count: Option<u64>,
    /// The mails in the file, the unreadable ones included.
    pub mails: u64,
    /// The items of the file, in its order.
    pub items: Vec<DeliveredItem>,
    /// The problems. Empty: the delivery is complete.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<Problem>,
}

/// A mail of a delivery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveredItem {
    /// The item's id.
    pub item: String,
    /// The name of the mail in the zip.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The digest of the mail. Absent if the item represents a file that could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Sha256>,
}

/// A problem of a delivery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "problem", rename_all = "kebab-case")]
pub enum Problem {
    /// The manifest declares another number of mails than the zip contains.
    Count {
        /// Declared number.
        manifest: u64,
        /// Found number.
        zip: u64,
    },
    /// The manifest has no `Count:`.
    NoCount,
    /// The manifest declares another number of mails than it lists.
    NamesDiffer {
        /// Declared number.
        count: u64,
        /// Listed number.
        names: u64,
    },
    /// The vendor writes manifests, but the zip has none.
    NoManifest,
    /// The manifest lists a mail that the zip does not contain.
    Missing {
        /// Name of the mail or file in the zip.
        name: String,
    },
    /// The zip contains a mail that the manifest does not list.
    NotListed {
        /// Name of the mail or file in the zip.
        name: String,
    },
    /// An empty file.
    Empty {
        /// Name of the mail or file in the zip.
        name: String,
    },
    /// A file cannot be read.
    Unreadable {
        /// Name of the mail or file in the zip.
        name: String,
        /// The description of the error.
        why: String,
    },
    /// A mail has the id of another message. Both are filed.
    IdTaken {
        /// Name of the mail or file in the zip.
        name: String,
    },
}

impl Delivery {
    /// The version of the format.
    pub const VERSION: u32 = 1;

    /// Returns whether this version of the file corrects an earlier one: it contains each mail that was read from the earlier
    /// one. A vendor may deliver other mails under the same name, for example every day. If no mail of the earlier version
    /// could be read, nothing shows that this is the same delivery.
    pub fn corrects(&self, earlier: &Self) -> bool {
        let own: HashSet<_> = self.items.iter().map(|item| &item.item).collect();
        let mut read = earlier.items.iter().filter(|item| item.sha256.is_some()).peekable();
        read.peek().is_some() && read.all(|item| own.contains(&item.item))
    }

    /// Returns the problems as sentences: "the vendor's manifest lists 812 messages, the zip has 811", "0042.eml is
    /// missing".
    pub fn sentences(&self) -> Vec<String> {
        self.problems.iter().map(Problem::sentence).collect()
    }
}

impl Problem {
    /// Returns the problem as a sentence, without the file.
    pub fn sentence(&self) -> String {
        match self {
            Self::Count { manifest, zip } => {
                format!("the vendor's manifest lists {manifest} messages, the zip has {zip}")
            }
            Self::NoCount => "the vendor's manifest has no Count".to_owned(),
            Self::NamesDiffer { count, names } => {
                format!("the vendor's manifest says Count: {count} and names {names} messages")
            }
            Self::NoManifest => "the zip has no manifest".to_owned(),
            Self::Missing { name } => format!("{name} is missing"),
            Self::NotListed { name } => format!("{name} is not in the manifest (it is filed)"),
            Self::Empty { name } => format!("{name} is empty"),
            Self::Unreadable { name, why } => format!("{name} cannot be read: {why}"),
            Self::IdTaken { name } => {
                format!("{name} has the id of another message with other content (both are filed)")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_mails_correct_a_delivery() {
        let delivery = |items: &[(&str, bool)]| Delivery {
            v: Delivery::VERSION,
            file: "inbox/daily.zip".to_owned(),
            etag: String::new(),
            received: Timestamp::UNIX_EPOCH,
            manifest_count: None,
            mails: 0,
            items: items
                .iter()
                .map(|(item, read)| DeliveredItem {
                    item: (*item).to_owned(),
                    name: None,
                    sha256: read.then(|| Sha256::of(b"")),
                })
                .collect(),
            problems: Vec::new(),
        };
        let incomplete = delivery(&[("1", true), ("2", true)]);
        assert!(delivery(&[("3", true), ("2", true), ("1", true)]).corrects(&incomplete));
        assert!(!delivery(&[("2", true), ("3", true)]).corrects(&incomplete), "another day's file");
        let unreadable = delivery(&[("inbox/daily.zip", false)]);
        assert!(!incomplete.corrects(&unreadable) && !incomplete.corrects(&delivery(&[])), "nothing is known of it");
    }
}
