//! Recognizes an item's participants in another rendering of the item.

use model::{ItemId, Participant, Sha256};

/// Returns 16 bits for each participant, the same for every form of a number that WhatsApp writes. They depend on the item,
/// and one alone does not identify a number.
pub fn identities(item: &ItemId, participants: &[Participant]) -> Vec<u16> {
    participants.iter().map(|participant| identity(item, participant)).collect()
}

fn identity(item: &ItemId, participant: &Participant) -> u16 {
    let number = participant.phone_digits().map(|digits| phone::canonical_digits(&digits));
    let identity = number.unwrap_or_else(|| participant.identity());
    let digest = Sha256::of(format!("{}\n{identity}", item.as_str()).as_bytes());
    let [first, second, ..] = *digest.as_bytes();
    u16::from_be_bytes([first, second])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_do_not_depend_on_the_form_of_a_number() {
        let item = |id: &str| id.parse().unwrap();
        let of = |id: &str, phone: &str| {
            identities(&item(id), &[Participant { phone: Some(phone.to_owned()), ..Participant::default() }])
        };
        assert_eq!(of("WA-1", "+52 1 55 1234 5678"), of("WA-1", "525512345678"));
        assert_ne!(of("WA-1", "+4520123456"), of("WA-1", "+4520123457"));
        assert_ne!(of("WA-1", "+4520123456"), of("WA-2", "+4520123456"), "items cannot be compared");
    }
}
