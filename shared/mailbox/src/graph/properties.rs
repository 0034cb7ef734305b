//! The extended properties of a filed message.

use std::borrow::Cow;

use model::{ItemId, Sha256};

/// The named property that contains the item's id. It must not change: staged messages of earlier releases would not be
/// found.
pub(super) const ARCHIVE_ITEM_ID: &str = "String {6f1d4c1e-9a53-4f0b-8e57-2b7f3c0a9d41} Name ArchiveItemId";

/// Maximum length of a value that [`ARCHIVE_ITEM_ID`] contains unchanged, in UTF-16 units. In a list of messages Exchange
/// may return only the first 255 characters of a property (documented for EWS FindItem).
const WHOLE_VALUE_MAX_UNITS: usize = 250;

/// Minimum length of a value that a list may have cut, in UTF-16 units. Half of a surrogate pair may be missing.
const CUT_VALUE_MIN_UNITS: usize = 254;

/// Returns the value of [`ARCHIVE_ITEM_ID`] for an item: its id, or the digest of a long id.
pub(super) fn item_id_value(item: &ItemId) -> Cow<'_, str> {
    let id = item.as_str();
    if id.encode_utf16().count() <= WHOLE_VALUE_MAX_UNITS {
        Cow::Borrowed(id)
    } else {
        Cow::Owned(format!("sha256:{}", Sha256::of(id.as_bytes())))
    }
}

/// Returns whether a listed value may be the beginning of an item's id, which earlier releases stored whole.
pub(super) fn may_be_cut_id(value: &str, item: &ItemId) -> bool {
    let beginning = value.trim_end_matches(char::REPLACEMENT_CHARACTER);
    value.encode_utf16().count() >= CUT_VALUE_MIN_UNITS && item.as_str().starts_with(beginning)
}

/// PidTagMessageFlags: read, and not unsent. Without it Graph creates a draft, which cannot be changed to a received
/// message.
pub(super) const FLAGS: &str = "Integer 0x0E07";

/// PidTagMessageDeliveryTime.
pub(super) const DELIVERED: &str = "SystemTime 0x0E06";

/// PidTagClientSubmitTime.
pub(super) const SUBMITTED: &str = "SystemTime 0x0039";

/// PidTagMessageClass.
pub(super) const CLASS: &str = "String 0x001A";

/// PidTagInReplyToId.
pub(super) const IN_REPLY_TO: &str = "String 0x1042";

/// PidTagInternetReferences.
pub(super) const REFERENCES: &str = "String 0x1039";

/// PidTagConversationTopic: the `Thread-Topic` header, for which Graph's JSON has no member.
pub(super) const CONVERSATION_TOPIC: &str = "String 0x0070";

/// PidTagConversationIndex: the `Thread-Index` header, base64 in both.
pub(super) const CONVERSATION_INDEX: &str = "Binary 0x0071";

/// The class of an ordinary message, which is Exchange's default.
pub(super) const PLAIN_CLASS: &str = "IPM.Note";

/// Returns whether two property ids are the same. Graph may return an id in a form other than the sent one, such as
/// `String 0x1a`.
pub(super) fn is_same(one: &str, other: &str) -> bool {
    let parts = |id: &str| -> Option<(String, u32)> {
        let (kind, tag) = id.split_once(' ')?;
        let tag = tag.strip_prefix("0x").or_else(|| tag.strip_prefix("0X"))?;
        Some((kind.to_ascii_lowercase(), u32::from_str_radix(tag, 16).ok()?))
    };
    match (parts(one), parts(other)) {
        (Some(one), Some(other)) => one == other,
        _ => one.eq_ignore_ascii_case(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_id_is_stored_as_its_digest() {
        let item = |id: &str| id.parse::<ItemId>().unwrap();
        assert_eq!(item_id_value(&item(&"x".repeat(250))), "x".repeat(250));
        let (long, wide) = (item(&"x".repeat(251)), item(&"\u{1f600}".repeat(126)));
        for id in [&long, &wide] {
            let value = item_id_value(id);
            assert!(value.starts_with("sha256:") && value.len() == 71, "{value}");
        }
        let cut = |value: &str, id: &str| may_be_cut_id(value, &item(id));
        assert!(cut(&"x".repeat(255), &"x".repeat(256)) && !cut(&"x".repeat(253), &"x".repeat(256)));
        assert!(!cut(&"y".repeat(255), &"x".repeat(256)));
        // The list has cut the 128th character in half.
        assert!(cut(&("\u{1f600}".repeat(127) + "\u{fffd}"), &"\u{1f600}".repeat(130)));
    }

    #[test]
    fn property_id_is_compared_in_every_form() {
        assert!(is_same(CLASS, "String 0x1a") && is_same(ARCHIVE_ITEM_ID, &ARCHIVE_ITEM_ID.to_uppercase()));
        assert!(!is_same(CLASS, "String 0x1b") && !is_same(CLASS, "Integer 0x1a") && !is_same(CLASS, ARCHIVE_ITEM_ID));
    }
}
