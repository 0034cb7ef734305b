//! Formats participants for headers, tables and sentences.

use model::{MailboxAddress, Participant, Sha256};
use phone::PhoneNumber;

use crate::write::{clean::one_line, direction};

/// Maximum length of a name, in characters. The whole name is in the evidence.
const MAX_NAME: usize = 128;

/// The domain of participants without an e-mail address. It is reserved, so that replies cannot be delivered.
const INVALID_DOMAIN: &str = "whatsapp.invalid";

/// Maximum number of digits of a phone number: E.164 allows 15, and prefixes may precede them.
const MAX_DIGITS: usize = 24;

/// The number of digits from which a name looks as if it were or had a phone number.
const MIN_DIGITS_OF_A_NUMBER: usize = 5;

/// A participant's name, and the phone number after it.
#[derive(Clone, Default)]
pub(crate) struct Label {
    /// The name, otherwise the phone number, otherwise an id.
    pub(crate) name: String,
    /// `+45 20 12 34 56`, if it is not the name already.
    pub(crate) number: Option<String>,
}

impl Label {
    pub(crate) fn of(participant: &Participant) -> Self {
        match (captured_name(participant), number(participant)) {
            (Some(name), Some(number)) if !same_number(&name, &number) => Self { name, number: Some(number) },
            (Some(name), None) if is_like_a_number(&name) => Self { name, number: Some("no number".to_owned()) },
            (Some(name), _) => Self { name, number: None },
            (None, Some(number)) => Self { name: number, number: None },
            (None, None) => Self { name: name(participant), number: None },
        }
    }

    /// Formats the label for headers and plain text: `Søren Jensen (+45 20 12 34 56)`.
    pub(crate) fn text(&self) -> String {
        let name = direction::isolated(&self.name);
        match &self.number {
            // The last mark keeps the bracket in its place if the program's own direction is right to left.
            Some(number) if name.len() > self.name.len() => format!("{name} ({number}){}", direction::LRM),
            Some(number) => format!("{name} ({number})"),
            None => name.into_owned(),
        }
    }
}

/// Returns the name, otherwise the phone number, otherwise an id.
pub fn name(participant: &Participant) -> String {
    captured_name(participant)
        .or_else(|| number(participant))
        .or_else(|| id(participant))
        .unwrap_or_else(|| "Unknown".to_owned())
}

/// Returns the participant's address for From or To. In an uploaded chat, the numbers are the uploader's claims, so
/// they get a separate domain: [`copy`](crate::copy) never replaces these addresses with mailbox addresses.
pub(crate) fn header_address(participant: &Participant, is_upload: bool) -> String {
    let address = address(participant);
    match address.strip_suffix(INVALID_DOMAIN) {
        Some(local) if is_upload => format!("{local}upload.{INVALID_DOMAIN}"),
        _ => address,
    }
}

/// Returns the participant's address in a message that is not from an uploaded chat: of the characters `[0-9a-z.-]`
/// only, or a checked mailbox address.
pub fn address(participant: &Participant) -> String {
    if let Some(email) = participant.email.as_deref().and_then(|email| email.parse::<MailboxAddress>().ok()) {
        return email.into();
    }
    if let Some(digits) = digits(participant) {
        return format!("{digits}@{INVALID_DOMAIN}");
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
    format!("{local}@{INVALID_DOMAIN}")
}

/// Returns the texts that follow the `@` in a mention of the participant: the phone number's digits, and the local part
/// of the WhatsApp id.
pub(crate) fn mention_tokens(participant: &Participant) -> impl Iterator<Item = String> {
    let local = participant.whatsapp_id.as_deref().and_then(|id| id.split(['@', ':']).next()).map(str::to_owned);
    let local =
        local.filter(|local| (5..=MAX_DIGITS).contains(&local.len()) && local.bytes().all(|c| c.is_ascii_digit()));
    digits(participant).into_iter().chain(local)
}

/// Returns the WhatsApp id of a participant whose label is a name or a number that does not contain it.
pub(crate) fn separate_id(participant: &Participant) -> Option<String> {
    let id = participant.whatsapp_id.as_deref().map(|id| one_line(id, MAX_NAME)).filter(|id| !id.is_empty())?;
    let is_number = digits(participant).is_some_and(|digits| id.split(['@', ':']).next() == Some(digits.as_str()));
    (!is_number && name(participant) != id).then_some(id)
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

/// Formats a number in the usual way: `+45 20 12 34 56`. A number outside of all numbering plans keeps its digits.
fn international(digits: &str) -> String {
    let digits = format!("+{digits}");
    PhoneNumber::parse(&digits, None).map_or(digits, |number| number.international())
}

/// Returns whether a name without a number could be mistaken for a participant's number or address, or for a name with
/// its number in brackets. Profile names are free text.
fn is_like_a_number(name: &str) -> bool {
    let is_sign =
        |c| matches!(c, '@' | '＠' | '﹫' | '(' | '（' | '﹙' | '❨' | '❪' | '⁽' | '₍' | '⸨' | '⦅' | '｟' | '⟮');
    // Digits of any script, and in circles.
    name.contains(is_sign) || name.chars().filter(|c| c.is_numeric()).count() >= MIN_DIGITS_OF_A_NUMBER
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
    fn address_is_made_of_the_known_members() {
        for (known, expected) in [
            (participant("A", "+4520123456", "", "Ada@Example.com"), "ada@example.com"),
            (participant("A", "+4520123456", "", "a\r\nb@example.com"), "4520123456@whatsapp.invalid"),
            (participant("A", "", "77123456@lid", ""), "77123456.lid@whatsapp.invalid"),
            (participant("A", "", "4520123456", ""), "id-e21dd0e18b4a5ac9d9d6f4dd5d7fdc38@whatsapp.invalid"),
        ] {
            let made = address(&known);
            if expected.starts_with("id-") {
                assert!(made.starts_with("id-") && made.len() == 35 + 1 + INVALID_DOMAIN.len(), "{made}");
            } else {
                assert_eq!(made, expected);
            }
        }
        let longest = "9".repeat(MAX_DIGITS);
        assert_eq!(address(&participant("", &longest, "", "")), format!("{longest}@{INVALID_DOMAIN}"));
        for hostile in ["x@y>,<z", "a..b@lid", "é@lid", "@", &"9".repeat(80), &format!("{}@lid", "9".repeat(61))] {
            assert!(address(&participant("", "", hostile, "")).starts_with("id-"), "{hostile:?}");
        }
        assert!(address(&participant("", &"9".repeat(1_000_000), "", "")).starts_with("id-"));
    }

    #[test]
    fn label_has_the_number_once() {
        let label = |participant: Participant| Label::of(&participant).text();
        assert!(!label(participant("+45 20123456", "4520123456", "", "")).contains('('));
        assert!(label(participant("Søren", "4520123456", "", "")).starts_with("Søren (+45"));
        assert!(label(participant("Ada 4520123456", "4520123456", "", "")).ends_with(" (+45 20 12 34 56)"));
        assert_eq!(label(Participant::default()), "Unknown");
        assert_eq!(label(participant("", "", "77@lid", "ada@example.com")), "ada@example.com");
        assert_eq!(label(participant("\u{3164}\u{200b}", "", "77@lid", "")), "77@lid");
        assert!(label(participant(&"x".repeat(1_000_000), "", "", "")).chars().count() <= MAX_NAME + 1);
    }

    #[test]
    fn mention_has_the_number_or_the_local_part_of_the_id() {
        let tokens = |phone, id| mention_tokens(&participant("", phone, id, "")).collect::<Vec<_>>();
        assert_eq!(tokens("+45 20123456", "77123:2@lid"), ["4520123456", "77123"]);
        assert!(tokens("", "7712@lid").is_empty(), "too short to be told from a number in the text");
    }

    #[test]
    fn name_that_is_like_a_number_or_an_address_is_marked() {
        for name in [
            "Boss (+45 20 12 34 56)",
            "Boss （+44 7700 900104）",
            "Boss ⁽＋44⁾",
            "+44 7700 900104",
            "Boss 447700900104",
            "ada@bank.example",
        ] {
            assert_eq!(Label::of(&participant(name, "", "77@lid", "")).text(), format!("{name} (no number)"));
        }
        let label = Label::of(&participant("+٤٤ ٧٧٠٠ ٩٠٠١٠٤", "", "77@lid", ""));
        assert_eq!(label.number.as_deref(), Some("no number"));
        assert_eq!(Label::of(&participant("Ada 2026", "", "77@lid", "")).text(), "Ada 2026");
        assert_eq!(Label::of(&participant("ada@bank.example", "4520123456", "", "")).text().matches('(').count(), 1);
    }

    proptest::proptest! {
        /// Whatever name a participant without a number has, no participant with a number has the same label.
        #[test]
        fn label_without_a_number_is_not_that_of_a_number(digits in "[1-9][0-9]{6,14}", form in 0..6_usize, around in "[ A-Za-z]{0,3}") {
            let other = |name: &str| Label::of(&participant(name, &digits, "", "")).text();
            let number = international(&digits);
            let name = match form {
                0 => number.clone(),
                1 => digits.clone(),
                2 => format!("+{digits}"),
                3 => format!("{around} ({number})"),
                4 => format!("{around}（{number}）"),
                _ => format!("{around}{number}"),
            };
            let label = Label::of(&participant(&name, "", "77@lid", "")).text();
            for other in [other(""), other(&around), other(&number), other(&name)] {
                proptest::prop_assert_ne!(&label, &other);
            }
        }
    }

    #[test]
    fn label_keeps_its_order_when_the_name_is_right_to_left() {
        let label = Label::of(&participant("דנה", "4520123456", "", "")).text();
        assert_eq!(label, "\u{200e}דנה\u{200e} (+45 20 12 34 56)\u{200e}");
    }
}
