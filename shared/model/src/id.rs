//! The source's ids, and the keys that are derived from them.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::Sha256;

/// An invalid id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Empty.
    #[error("the id is empty")]
    Empty,
    /// More characters than the source's contract allows.
    #[error("the id has {0} characters and exceeds the limit of {max}", max = ItemId::MAX_CHARS)]
    TooLong(usize),
    /// A control character: ids are printable.
    #[error("the id contains a control character")]
    Control,
    /// Not 32 lower-case hex digits.
    #[error("a key has 32 lower-case hex digits")]
    Key,
    /// An invalid run id.
    #[error("a run id has 1 to 64 letters, digits and hyphens")]
    Run,
}

fn check(text: &str) -> Result<(), IdError> {
    let chars = text.chars().count();
    if chars == 0 {
        return Err(IdError::Empty);
    }
    if chars > ItemId::MAX_CHARS {
        return Err(IdError::TooLong(chars));
    }
    if text.chars().any(char::is_control) {
        return Err(IdError::Control);
    }
    Ok(())
}

/// The source's id of an item: opaque, 1 to 256 printable characters of any script, slashes and quotes included.
///
/// It is foreign text and may contain a name: it never appears in logs (they have its [`ItemKey`]), it is
/// percent-encoded in URLs, and it is never part of an S3 key.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ItemId(String);

impl ItemId {
    /// Maximum length by the source's contract, in characters.
    pub const MAX_CHARS: usize = 256;

    /// Returns the id as the source wrote it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the id of an item without an id of its own: `sha256:` and a digest of its content.
    pub fn of_digest(digest: &Sha256) -> Self {
        Self(format!("sha256:{digest}"))
    }

    /// Returns whether it has the form of the ids of uploaded chats, `export/<owner>/<file name>#<20 hex digits>`. The
    /// Message-ID of such an item is a hash of its id's own digits.
    pub fn is_of_upload(&self) -> bool {
        let hash = self.0.strip_prefix("export/").and_then(|place| place.rsplit_once('#')).map(|(_, hash)| hash);
        hash.is_some_and(|hash| hash.len() == 20 && hash.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')))
    }

    /// Returns the name of the item's objects in the bucket.
    pub fn key(&self) -> ItemKey {
        ItemKey(Sha256::of(self.0.as_bytes()).short_hex())
    }
}

impl FromStr for ItemId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        check(text).map(|()| Self(text.to_owned()))
    }
}

impl TryFrom<String> for ItemId {
    type Error = IdError;

    fn try_from(text: String) -> Result<Self, IdError> {
        check(&text).map(|()| Self(text))
    }
}

impl From<ItemId> for String {
    fn from(id: ItemId) -> Self {
        id.0
    }
}

impl fmt::Display for ItemId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The source's id of an attachment, unique within its item; the same form as an [`ItemId`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AttachmentId(String);

impl AttachmentId {
    /// Returns the id as the source wrote it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for AttachmentId {
    type Error = IdError;

    fn try_from(text: String) -> Result<Self, IdError> {
        check(&text).map(|()| Self(text))
    }
}

impl From<AttachmentId> for String {
    fn from(id: AttachmentId) -> Self {
        id.0
    }
}

/// The first 32 hex digits of the SHA-256 of an item's id. S3 keys are made of it, so they contain no identity and no
/// character that another system chose.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ItemKey(String);

impl ItemKey {
    /// Returns the 32 digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for ItemKey {
    type Error = IdError;

    fn try_from(text: String) -> Result<Self, IdError> {
        let hex = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if text.len() == 32 && text.as_bytes().iter().all(hex) { Ok(Self(text)) } else { Err(IdError::Key) }
    }
}

impl From<ItemKey> for String {
    fn from(key: ItemKey) -> Self {
        key.0
    }
}

impl fmt::Display for ItemKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_form_of_an_upload_is_an_upload() {
        let is_of_upload = |id: &str| id.parse::<ItemId>().unwrap().is_of_upload();
        assert!(is_of_upload("export/ada@example.com/Bob#1.txt#0123456789abcdef0123"));
        for other in ["WA-1", "export/1", "export/ada@example.com/a.txt#0123456789ABCDEF0123", "x#0123456789abcdef0123"]
        {
            assert!(!is_of_upload(other), "{other}");
        }
    }

    #[test]
    fn id_is_printable_text_and_its_key_is_hex() {
        let id: ItemId = "WA-7c1e0b52/3 \"é\" ../שלום".parse().unwrap();
        assert_eq!(id.key().as_str().len(), 32);
        assert!(id.key().as_str().bytes().all(|byte| byte.is_ascii_hexdigit()));
        assert_eq!("".parse::<ItemId>(), Err(IdError::Empty));
        assert_eq!("a\r\nb".parse::<ItemId>(), Err(IdError::Control));
        assert_eq!("é".repeat(256).parse::<ItemId>().map(|id| id.as_str().len()), Ok(512));
        assert_eq!("é".repeat(257).parse::<ItemId>(), Err(IdError::TooLong(257)));
    }
}
