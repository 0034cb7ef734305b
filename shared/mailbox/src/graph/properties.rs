//! The extended properties of a filed message.

/// The named property that contains the item's id. It must not change: staged messages of earlier releases would not be
/// found.
pub(super) const ARCHIVE_ITEM_ID: &str = "String {6f1d4c1e-9a53-4f0b-8e57-2b7f3c0a9d41} Name ArchiveItemId";

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
    fn property_id_is_compared_in_every_form() {
        assert!(is_same(CLASS, "String 0x1a") && is_same(ARCHIVE_ITEM_ID, &ARCHIVE_ITEM_ID.to_uppercase()));
        assert!(!is_same(CLASS, "String 0x1b") && !is_same(CLASS, "Integer 0x1a") && !is_same(CLASS, ARCHIVE_ITEM_ID));
    }
}
