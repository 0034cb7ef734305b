//! How a participant is written, in a header and in a sentence.

use item::{MailboxAddress, Participant, Sha256};
use mail_builder::headers::address::Address;
use phone::PhoneNumber;

use crate::clean::one_line;

/// The longest name that is shown, in characters. The whole name is in the evidence.
const MAX_NAME: usize = 128;

/// Where participants without an e-mail address live: a reserved domain, so that no reply ever leaves.
const NOWHERE: &str = "whatsapp.invalid";

/// The longest run of digits taken for a phone number: E.164 has 15, with room for prefixes.
const MAX_DIGITS: usize = 24;

/// The name, else the phone number, else whatever id is known.
pub(crate) fn name(participant: &Participant) -> String {
    captured_name(participant)
        .or_else(|| number(participant))
        .or_else(|| id(participant))
        .unwrap_or_else(|| "Unknown".to_owned())
}

/// The name with the phone number behind it: `Søren Jensen (+45 20 12 34 56)`.
pub(crate) fn label(participant: &Participant) -> String {
    match (captured_name(participant), number(participant)) {
        (Some(name), Some(number)) if !same_number(&name, &number) => format!("{name} ({number})"),
        (Some(name), _) => name,
        (None, Some(number)) => number,
        (None, None) => name(participant),
    }
}

/// The participant in From or To, under its label. The address is made of `[0-9a-z.-]` alone, or is a mailbox address that
/// was checked.
pub(crate) fn address(participant: &Participant, label: String) -> Address<'static> {
    Address::new_address(Some(label), mailbox(participant))
}

fn mailbox(participant: &Participant) -> String {
    if let Some(email) = participant.email.as_deref().and_then(|email| email.parse::<MailboxAddress>().ok()) {
        return email.into();
    }
    if let Some(digits) = digits(participant) {
        return format!("{digits}@{NOWHERE}");
    }
    let readable = participant.whatsapp_id.as_deref().and_then(|id| {
        let local = id.trim().to_ascii_lowercase().replace('@', ".");
        let fits = id.contains('@')
            && local.len() <= 64
            && local.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'))
            && local.split('.').all(|label| !label.is_empty());
        fits.then_some(local)
    });
    let local = readable.unwrap_or_else(|| format!("id-{}", Sha256::of(participant.identity().as_bytes()).short_hex()));
    format!("{local}@{NOWHERE}")
}

fn captured_name(participant: &Participant) -> Option<String> {
    participant.name.as_deref().map(|name| one_line(name, MAX_NAME)).filter(|name| !name.is_empty())
}

fn id(participant: &Participant) -> Option<String> {
    [&participant.email, &participant.whatsapp_id, &participant.phone]
        .into_iter()
        .filter_map(|id| id.as_deref().map(|id| one_line(id, MAX_NAME)))
        .find(|id| !id.is_empty())
}

fn digits(participant: &Participant) -> Option<String> {
    participant.phone_digits().filter(|digits| digits.len() <= MAX_DIGITS)
}

fn number(participant: &Participant) -> Option<String> {
    digits(participant).map(|digits| international(&digits))
}

/// The number as people write it: `+45 20 12 34 56`. One that is no phone number is shown as it is.
fn international(digits: &str) -> String {
    let digits = format!("+{digits}");
    PhoneNumber::parse(&digits, None).map_or(digits, |number| number.international())
}

fn same_number(name: &str, number: &str) -> bool {
    let digits = |text: &str| text.chars().filter(char::is_ascii_digit).collect::<String>();
    !name.chars().any(char::is_alphabetic) && digits(name) == digits(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn participant(name: &str, phone: &str, whatsapp_id: &str, email: &str) -> Participant {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Participant { name: some(name), phone: some(phone), whatsapp_id: some(whatsapp_id), email: some(email) }
    }

    #[test]
    fn an_address_is_made_of_what_is_known() {
        for (known, address) in [
            (participant("A", "+4520123456", "", "Ada@Example.com"), "ada@example.com"),
            (participant("A", "+4520123456", "", "a\r\nb@example.com"), "4520123456@whatsapp.invalid"),
            (participant("A", "", "77123456@lid", ""), "77123456.lid@whatsapp.invalid"),
            (participant("A", "", "4520123456", ""), "id-e21dd0e18b4a5ac9d9d6f4dd5d7fdc38@whatsapp.invalid"),
        ] {
            let made = mailbox(&known);
            if address.starts_with("id-") {
                assert!(made.starts_with("id-") && made.len() == 35 + 1 + NOWHERE.len(), "{made}");
            } else {
                assert_eq!(made, address);
            }
        }
        for hostile in ["x@y>,<z", "a..b@lid", "é@lid", "@", &"9".repeat(80)] {
            assert!(mailbox(&participant("", "", hostile, "")).starts_with("id-"), "{hostile:?}");
        }
        assert!(mailbox(&participant("", &"9".repeat(1_000_000), "", "")).starts_with("id-"));
    }

    #[test]
    fn a_name_that_is_the_number_is_not_shown_twice() {
        assert!(!label(&participant("+45 20123456", "4520123456", "", "")).contains('('));
        assert!(label(&participant("Søren", "4520123456", "", "")).starts_with("Søren (+45"));
        assert_eq!(label(&Participant::default()), "Unknown");
        assert!(label(&participant(&"x".repeat(1_000_000), "", "", "")).chars().count() <= MAX_NAME + 1);
    }
}
