//! The participants of a message, from the addresses of its mail.

use mail_parser::{Addr, Address, Message};
use model::{MailboxAddress, Participant};

use crate::profile::Participants;

/// Number of digits of a phone number with its country code. Shorter ones cannot be distinguished from other numbers.
const PHONE_DIGITS: std::ops::RangeInclusive<usize> = 7..=15;
/// Number of digits of a local part that is a phone number: shorter ones may be an employee's number.
const LOCAL_DIGITS: std::ops::RangeInclusive<usize> = 10..=15;

/// Returns the From address, or else the Sender address. Of several From addresses the Sender address decides (RFC 5322,
/// 3.6.2); without one, or if it is one of them, the sender is as From has it.
pub(crate) fn sender(mail: &Message<'_>, numbers_from: Participants) -> Option<Participant> {
    let read = |addresses: Option<&Address<'_>>| -> Vec<Participant> {
        let addresses = addresses.into_iter().flat_map(Address::iter);
        addresses.filter_map(|addr| participant(addr, numbers_from)).collect()
    };
    let (from, sender) = (read(mail.from()), read(mail.sender()).into_iter().next());
    match (from.as_slice(), sender) {
        ([], sender) => sender,
        ([first], _) | ([first, ..], None) => Some(first.clone()),
        (several, Some(sender)) => {
            let same = several.iter().find(|from| from.identity() == sender.identity());
            Some(same.cloned().unwrap_or(sender))
        }
    }
}

/// Returns all other participants without duplicates, in the order of From, To, Cc and Bcc.
pub(crate) fn recipients(mail: &Message<'_>, sender: &Participant, numbers_from: Participants) -> Vec<Participant> {
    let mut recipients = Vec::new();
    let mut seen = std::collections::HashSet::from([sender.clone()]);
    let fields = mail.from().into_iter().chain(mail.all_to()).chain(mail.all_cc()).chain(mail.all_bcc());
    for participant in fields.flat_map(|field| field.iter()).filter_map(|addr| participant(addr, numbers_from)) {
        if seen.insert(participant.clone()) {
            recipients.push(participant);
        }
    }
    recipients
}

/// Adds the participants of the mailbox addresses in a journal report. Most are participants of the mail already, under
/// the same number or address.
pub(crate) fn add_reported(
    to: &mut Vec<Participant>,
    from: &Participant,
    addresses: &[String],
    numbers_from: Participants,
) {
    let mut seen = std::collections::HashSet::<String>::new();
    for participant in std::iter::once(from).chain(to.iter()) {
        seen.extend(participant.phone.clone());
        seen.extend(participant.email.clone());
    }
    for address in addresses.iter().filter(|address| address.parse::<MailboxAddress>().is_ok()) {
        let Some(participant) = participant(&Addr::new(None, address), numbers_from) else { continue };
        let Participant { phone, email, name, .. } = &participant;
        let identity = phone.as_ref().or(email.as_ref()).or(name.as_ref());
        if identity.is_some_and(|identity| seen.insert(identity.clone())) {
            to.push(participant);
        }
    }
}

/// Creates the participant of an address: `"Ana Sousa +351210000001" <ana.sousa@bank.example>`. With a wrong number the
/// message would be filed in another person's mailbox, and people choose their own display names. Therefore the number
/// comes from an address that consists of a number; and otherwise from a display name that contains exactly one number.
fn participant(addr: &Addr<'_>, numbers_from: Participants) -> Option<Participant> {
    let display = addr.name().map(str::trim).filter(|name| !name.is_empty());
    let address = addr.address().map(str::trim).filter(|address| !address.is_empty());
    let local = address.and_then(|address| local_number(address.split_once('@').map_or(address, |(local, _)| local)));
    let email = address
        .filter(|_| local.is_none() || matches!(numbers_from, Participants::Address))
        .and_then(|address| address.parse::<MailboxAddress>().ok())
        .map(String::from);
    let (phone, name) = match numbers_from {
        Participants::Address => (None, display.map(str::to_owned)),
        Participants::NumberAndAddress => {
            let numbers = display.map(numbers).unwrap_or_default();
            let phone = local.clone().or_else(|| match numbers.as_slice() {
                [only] => Some(only.phone.clone()),
                _ => None,
            });
            let name = display.map(|display| match numbers.as_slice() {
                [only] if Some(&only.phone) == phone.as_ref() => without_number(display, &only.range),
                _ => display.to_owned(),
            });
            (phone, name)
        }
    };
    let name = name.filter(|name| !name.is_empty());
    // A text that is neither a number nor a mailbox address is the participant's name.
    let name = name.or_else(|| address.filter(|_| phone.is_none() && email.is_none()).map(str::to_owned));
    let participant = Participant { name, phone, whatsapp_id: None, email };
    (participant != Participant::default()).then_some(participant)
}

/// A phone number in a display name.
struct Number {
    phone: String,
    range: std::ops::Range<usize>,
}

/// Finds the phone numbers in a display name: a plus and digits, with the usual separators between them; or a name that
/// consists of digits.
fn numbers(display: &str) -> Vec<Number> {
    let mut numbers = Vec::new();
    let mut from = 0;
    while let Some(plus) = display.get(from..).and_then(|rest| rest.find('+')).map(|at| from + at) {
        let rest = display.get(plus + 1..).unwrap_or_default();
        let length = rest.find(|c: char| !(c.is_ascii_digit() || " ()-.\u{a0}".contains(c))).unwrap_or(rest.len());
        let length =
            rest.get(..length).and_then(|number| number.rfind(|c: char| c.is_ascii_digit())).map_or(0, |at| at + 1);
        let digits: String = rest.get(..length).unwrap_or_default().chars().filter(char::is_ascii_digit).collect();
        from = plus + 1 + length;
        if PHONE_DIGITS.contains(&digits.len()) {
            numbers.push(Number { phone: format!("+{digits}"), range: plus..from });
        }
    }
    if numbers.is_empty()
        && let Some(phone) = local_number(display)
    {
        numbers.push(Number { phone, range: 0..display.len() });
    }
    numbers
}

/// Returns the number of which a text consists. No country code begins with 0: such digits are a national number, which
/// stays without a plus, so that the user map reads it in its default region or rejects it.
fn local_number(text: &str) -> Option<String> {
    let without_prefix = text.strip_prefix('+').or_else(|| text.strip_prefix("00"));
    let digits = without_prefix.unwrap_or(text);
    let is_number = LOCAL_DIGITS.contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    let is_national = without_prefix.is_none() && digits.starts_with('0');
    is_number.then(|| if is_national { digits.to_owned() } else { format!("+{digits}") })
}

/// Removes a number and the marks around it from a display name.
fn without_number(display: &str, range: &std::ops::Range<usize>) -> String {
    let is_separator = |c: char| c.is_whitespace() || "()[]<>,;:-|/".contains(c);
    let before = display.get(..range.start).unwrap_or_default().trim_end_matches(is_separator);
    let after = display.get(range.end..).unwrap_or_default().trim_start_matches(is_separator);
    let joint = if before.is_empty() || after.is_empty() { "" } else { " " };
    format!("{before}{joint}{after}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(
        display: &str,
        address: &str,
        numbers_from: Participants,
    ) -> (Option<String>, Option<String>, Option<String>) {
        let name = (!display.is_empty()).then_some(display);
        let Participant { name, phone, email, .. } =
            participant(&Addr::new(name, address), numbers_from).unwrap_or_default();
        (name, phone, email)
    }

    #[test]
    fn number_is_read_from_display_name_or_address() {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        for (display, address, name, phone, email) in [
            ("+447700900123 Client", "447700900123@nomail.example", "Client", "+447700900123", ""),
            (
                "Ana Sousa +351210000001",
                "Ana.Sousa@bank.example",
                "Ana Sousa",
                "+351210000001",
                "ana.sousa@bank.example",
            ),
            ("Ana Sousa (+351 210 000 001)", "ana@bank.example", "Ana Sousa", "+351210000001", "ana@bank.example"),
            ("Ana Sousa", "ana@bank.example", "Ana Sousa", "", "ana@bank.example"),
            ("", "447700900123@nomail.example", "", "+447700900123", ""),
            ("447700900123", "client@nomail.example", "", "+447700900123", "client@nomail.example"),
            // Nine digits may be an employee's number.
            ("Bo", "123456789@bank.example", "Bo", "", "123456789@bank.example"),
            ("דנה +972500000000", "dana@bank.example", "דנה", "+972500000000", "dana@bank.example"),
            ("C++ team", "cpp@bank.example", "C++ team", "", "cpp@bank.example"),
            ("Client", "not an address", "Client", "", ""),
            ("", "00447700900123@nomail.example", "", "+447700900123", ""),
            // A national number.
            ("", "0701740605@nomail.example", "", "0701740605", ""),
            ("0701740605", "ada@nomail.example", "", "0701740605", "ada@nomail.example"),
            ("Ada 0701740605", "ada@nomail.example", "Ada 0701740605", "", "ada@nomail.example"),
        ] {
            let expected = (some(name), some(phone), some(email));
            assert_eq!(read(display, address, Participants::NumberAndAddress), expected, "{display} <{address}>");
        }
    }

    #[test]
    fn number_in_a_display_name_does_not_override_the_address() {
        let numbers_from = Participants::NumberAndAddress;
        let (name, phone, _) = read("+351210000001 Client", "447700900123@nomail.example", numbers_from);
        assert_eq!((name.as_deref(), phone.as_deref()), (Some("+351210000001 Client"), Some("+447700900123")));
        let (_, phone, _) = read("+447700900123 +351210000001", "client@nomail.example", numbers_from);
        assert_eq!(phone, None, "two numbers: neither is certain");
        let (name, phone, email) = read("Ana +351210000001", "ana@bank.example", Participants::Address);
        assert_eq!(
            (name.as_deref(), phone, email.as_deref()),
            (Some("Ana +351210000001"), None, Some("ana@bank.example"))
        );
    }

    #[test]
    fn address_of_digits_is_kept_when_no_number_is_read() {
        let (name, phone, email) = read("Ada", "447700900123@bank.example", Participants::Address);
        assert_eq!((name.as_deref(), phone, email.as_deref()), (Some("Ada"), None, Some("447700900123@bank.example")));
    }
}
