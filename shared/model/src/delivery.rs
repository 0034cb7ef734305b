//! What a capture vendor delivered in one file, and what is wrong with it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::Sha256;

/// `deliveries/<hash of the file's key>.json`: one object a file of the inbox, written by fetch when it has read the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// The version of this shape: 1.
    pub v: u32,
    /// The file's key.
    pub file: String,
    /// The version of the file that was read: S3's tag.
    pub etag: String,
    /// When the file was written.
    pub received: Timestamp,
    /// What the manifest declares, where the file has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest_count: Option<u64>,
    /// The mails in the file, the unreadable ones included.
    pub mails: u64,
    /// The items of the file, in its order.
    pub items: Vec<DeliveredItem>,
    /// What is wrong. Empty: the delivery is complete.
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
    /// The digest of the mail. Absent where the item stands for a file that could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Sha256>,
}

/// What is wrong with a delivery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "problem", rename_all = "kebab-case")]
pub enum Problem {
    /// The manifest declares another number of mails than the zip has.
    Count {
        /// Declared.
        manifest: u64,
        /// Found.
        zip: u64,
    },
    /// The manifest has no `Count:`.
    NoCount,
    /// The manifest declares another number of mails than it names.
    NamesDiffer {
        /// Declared.
        count: u64,
        /// Named.
        names: u64,
    },
    /// The vendor writes a manifest, and the zip has none.
    NoManifest,
    /// The manifest names a mail that the zip does not have.
    Missing {
        /// Its name.
        name: String,
    },
    /// The zip has a mail that the manifest does not name.
    NotListed {
        /// Its name.
        name: String,
    },
    /// A file has no bytes.
    Empty {
        /// Its name.
        name: String,
    },
    /// A file cannot be read.
    Unreadable {
        /// Its name.
        name: String,
        /// Why.
        why: String,
    },
    /// A mail has the id of another message. Both are filed.
    IdTaken {
        /// Its name.
        name: String,
    },
}

impl Delivery {
    /// The version of this shape.
    pub const VERSION: u32 = 1;

    /// What is wrong, in sentences: "the vendor's manifest lists 812 messages, the zip has 811", "0042.eml is missing".
    pub fn sentences(&self) -> Vec<String> {
        self.problems.iter().map(Problem::sentence).collect()
    }
}

impl Problem {
    /// What is wrong, without the file.
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
