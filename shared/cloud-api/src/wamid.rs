//! Decodes WhatsApp's ids of messages (`wamid.…`), so that the two ids under which two business numbers know one message
//! become one id. See `DESIGN.md`, "One message between two business numbers".

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use model::{ItemId, Sha256};

/// Begins the ids of [`message_key`]. WhatsApp's ids begin with `wamid.`.
const PREFIX: &str = "wa:";

/// Returns the id of an item: that of [`message_key`], WhatsApp's id if it cannot be decoded, or its digest if it is not a
/// valid item id. `#` is reserved for `#late`.
pub(crate) fn item_id(id: &str, own_number: Option<&str>) -> ItemId {
    let key = message_key(id, own_number);
    let whatsapp_id = || Some(id).filter(|id| !id.contains('#') && !id.starts_with(PREFIX));
    let valid = key.as_deref().or_else(whatsapp_id).and_then(|id| id.parse().ok());
    valid.unwrap_or_else(|| ItemId::of_digest(&Sha256::of(id.as_bytes())))
}

/// Returns the id of a message between two: sender, recipient and WhatsApp's number of the message, which are the same
/// from both sides. `own_number` is the business number that reports the message, in the form of
/// [`phone::canonical_digits`]. `None` if the id is not exactly of the known form.
pub(crate) fn message_key(id: &str, own_number: Option<&str>) -> Option<String> {
    let bytes = BASE64.decode(id.strip_prefix("wamid.")?).ok()?;
    let Message { party, is_outgoing, stanza } = Message::of(&bytes)?;
    let own = own_number?;
    let (sender, recipient) = if is_outgoing { (own, party.as_str()) } else { (party.as_str(), own) };
    Some(format!("{PREFIX}{sender}:{recipient}:{stanza}"))
}

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The decoded id of a message in a chat of two: a structure in the compact protocol of Thrift.
struct Message<'a> {
    /// The other party: the canonical digits of a phone number, or a business-scoped id.
    party: String,
    is_outgoing: bool,
    /// The number that the sender's device gave the message, in hex digits.
    stanza: &'a str,
}

impl<'a> Message<'a> {
    fn of(bytes: &'a [u8]) -> Option<Self> {
        const STRUCT_1: u8 = 0x1c;
        const I32_2: u8 = 0x15;
        const STOP: u8 = 0x00;
        // The type of the other party's id, as Thrift writes 1 and 10.
        const PHONE: u8 = 0x02;
        const USER_ID: u8 = 0x14;
        let (party, rest) = text(bytes.strip_prefix(&[STRUCT_1])?)?;
        let [I32_2, kind, STOP, direction, rest @ ..] = rest else { return None };
        let (stanza, [STOP]) = text(rest)? else { return None };
        let party = match *kind {
            PHONE if is_number(party) => phone::canonical_digits(party),
            USER_ID if is_user_id(party) => party.to_owned(),
            _ => return None,
        };
        let is_outgoing = match *direction {
            0x11 => true,
            0x12 => false,
            _ => return None,
        };
        is_stanza(stanza).then_some(Self { party, is_outgoing, stanza })
    }
}

/// Reads a text: the mark of the member, the length in one byte, the bytes.
fn text(bytes: &[u8]) -> Option<(&str, &[u8])> {
    const BINARY: u8 = 0x18;
    let [BINARY, length @ ..0x80, rest @ ..] = bytes else { return None };
    let (text, rest) = rest.split_at_checked(usize::from(*length))?;
    Some((std::str::from_utf8(text).ok()?, rest))
}

/// Returns whether the text is a phone number's digits.
pub(crate) fn is_number(text: &str) -> bool {
    (5..=15).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Returns whether the text is a business-scoped id: `GB.10000000000000001`, `US.ENT.…`.
fn is_user_id(text: &str) -> bool {
    text.len() > 3
        && text.bytes().take(2).all(|byte| byte.is_ascii_uppercase())
        && text.as_bytes().get(2) == Some(&b'.')
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.')
}

fn is_stanza(text: &str) -> bool {
    (16..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ADA: &str = "46701740605";
    const KARIM: &str = "447700900104";
    const STANZA: &str = "3EB0C767D097B7C7C030";

    fn encoded(bytes: &[u8]) -> String {
        format!("wamid.{}", BASE64.encode(bytes))
    }

    fn record(party: &str, kind: u8, direction: u8, stanza: &str) -> Vec<u8> {
        let mut bytes = vec![0x1c, 0x18, party.len() as u8];
        bytes.extend(party.bytes());
        bytes.extend([0x15, kind, 0, direction, 0x18, stanza.len() as u8]);
        bytes.extend(stanza.bytes());
        bytes.push(0);
        bytes
    }

    fn wamid(party: &str, direction: u8) -> String {
        encoded(&record(party, if party.contains('.') { 0x14 } else { 0x02 }, direction, STANZA))
    }

    #[test]
    fn both_sides_of_a_message_have_one_key() {
        let sent = message_key(&wamid(ADA, 0x11), Some(KARIM));
        assert_eq!(sent.as_deref(), Some("wa:447700900104:46701740605:3EB0C767D097B7C7C030"));
        assert_eq!(message_key(&wamid(KARIM, 0x12), Some(ADA)), sent);
        // Without padding, too.
        assert_eq!(message_key(wamid(KARIM, 0x12).trim_end_matches('='), Some(ADA)), sent);
        // The other direction is another message.
        assert_ne!(message_key(&wamid(KARIM, 0x11), Some(ADA)), sent);
        assert_eq!(item_id(&wamid(ADA, 0x11), Some(KARIM)).as_str(), sent.unwrap());
    }

    /// The sender's device chooses the number of a message, so the messages of a broadcast list have the same, and a modified
    /// app may give two different messages the same.
    #[test]
    fn one_senders_messages_to_two_numbers_stay_apart() {
        for client in ["447700900123", "GB.10000000000000001"] {
            let to = |own| message_key(&wamid(client, 0x12), Some(own)).expect("a key");
            assert_ne!(to(ADA), to(KARIM));
        }
    }

    #[test]
    fn both_forms_of_a_number_give_one_key() {
        let own = |number: &str| phone::canonical_digits(number);
        for (one, other) in
            [("5531999345678", "553199345678"), ("525512345678", "5215512345678"), ("541123456789", "5491123456789")]
        {
            let keys = [one, other].map(|number| message_key(&wamid(number, 0x12), Some(ADA)));
            assert!(keys[0].is_some() && keys[0] == keys[1]);
            assert_eq!(message_key(&wamid(ADA, 0x11), Some(&own(one))), keys[0]);
            assert_eq!(message_key(&wamid(ADA, 0x11), Some(&own(other))), keys[0]);
        }
    }

    #[test]
    fn id_of_another_form_is_kept() {
        let valid = record(KARIM, 0x02, 0x12, STANZA);
        let more = [&valid[..], b"\0"].concat();
        let group = record("120363423148091716", 0x08, 0x12, STANZA);
        let mut ids: Vec<_> = [
            &valid[..valid.len() - 1],
            &more,
            &group,
            &record(KARIM, 0x14, 0x12, STANZA),
            &record(KARIM, 0x02, 0x13, STANZA),
            &record(KARIM, 0x02, 0x12, "3EB0C767D097B7C"),
            &record(KARIM, 0x02, 0x12, "3EB0C767D097B7C7C03Z"),
            &record("44:7700900104", 0x02, 0x12, STANZA),
            &record("GB/1", 0x14, 0x12, STANZA),
            &record("1234", 0x02, 0x12, STANZA),
            b"",
        ]
        .map(encoded)
        .to_vec();
        ids.extend(["wamid.", "wamid.ONE", "wamid.!", "wacid.HBg=", ""].map(str::to_owned));
        ids.push(BASE64.encode(&valid));
        for id in ids {
            assert_eq!(message_key(&id, Some(ADA)), None, "{id}");
            assert!(id.is_empty() || item_id(&id, Some(ADA)).as_str() == id, "{id}");
        }
        // Without the business number.
        let id = encoded(&valid);
        assert_eq!((message_key(&id, None), item_id(&id, None).as_str()), (None, id.as_str()));
    }

    #[test]
    fn given_id_with_the_prefix_of_keys_is_replaced_by_a_digest() {
        let key = message_key(&wamid(KARIM, 0x12), Some(ADA)).expect("a key");
        assert!(item_id(&key, Some(ADA)).as_str().starts_with("sha256:"));
    }

    proptest! {
        #[test]
        fn any_bytes_are_decoded_or_kept(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let id = encoded(&bytes);
            prop_assert!(message_key(&id, Some(ADA)).is_none() && item_id(&id, Some(ADA)).as_str() == id);
        }
    }
}
