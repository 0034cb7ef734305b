//! The participants of a message, from the addresses of its mail.

use mail_parser::{Addr, Address, Message};
use model::{MailboxAddress, Participant};

use crate::profile::Participants;

/// Number of digits of a phone number with its country code. Shorter ones cannot be distinguished from other numbers.
const PHONE_DIGITS: std::ops::RangeInclusive<usize> = 7..=15;
/// Number of digits of a local part that is a phone number: shorter ones may be an employee's number.
const LOCAL_DIGITS: std::ops::RangeInclusive<usize> = 10..=15;

/// The participants of a mail.
pub(crate) struct People {
    pub(crate) from: Participant,
    /// All other participants without duplicates, in the order of From, To, Cc and Bcc.
    pub(crate) to: Vec<Participant>,
    /// Statements about participants who may not be as the mail shows them.
    pub(crate) notes: Vec<&'static str>,
}

const UNREADABLE_ADDRESS: &str =
    "the address of a participant cannot be read as a mailbox address, so it does not identify a mailbox";
const UNCERTAIN_NUMBER: &str = "the phone number in the name of a participant is not certain and was not used";
const COMMA: &str = "an entry of the mail's list of people has no address: a comma in a name is assumed";

/// Returns the participants of a mail and of the journal report that contains it. `None` without a sender.
pub(crate) fn people(mail: &Message<'_>, reported: &[String], numbers_from: Participants) -> Option<People> {
    let mut reader = Reader { numbers_from, doubts: Doubts::default() };
    let from = reader.sender(mail)?;
    let mut to = reader.recipients(mail, &from);
    reader.add_reported(&mut to, &from, reported);
    let Doubts { address, number, comma } = reader.doubts;
    let notes = [(address, UNREADABLE_ADDRESS), (number, UNCERTAIN_NUMBER), (comma, COMMA)];
    let notes = notes.into_iter().filter_map(|(is_present, note)| is_present.then_some(note)).collect();
    Some(People { from, to, notes })
}

/// Parts of a mail that the reader could not read with certainty.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Doubts {
    /// An address is not a mailbox address.
    address: bool,
    /// A display name has numbers of which none is certain.
    number: bool,
    /// Entries without an address were joined to another one.
    comma: bool,
}

/// An entry of a list of addresses.
struct Entry {
    display: Option<String>,
    address: Option<String>,
}

struct Reader {
    numbers_from: Participants,
    doubts: Doubts,
}

impl Reader {
    /// Returns the From address, or else the Sender address. Of several From addresses the Sender address decides (RFC
    /// 5322, 3.6.2); without one, or if it is one of them, the sender is as From has it. If only one entry of From has an
    /// address, it is the sender: the others are parts of its name.
    fn sender(&mut self, mail: &Message<'_>) -> Option<Participant> {
        let entries = self.entries(mail.from());
        let mut addressed = entries.iter().filter(|entry| entry.address.is_some());
        if let (Some(only), None) = (addressed.next(), addressed.next())
            && let Some(participant) = self.participant(only)
        {
            self.doubts.comma |= entries.len() > 1;
            return Some(participant);
        }
        let from: Vec<Participant> = entries.iter().filter_map(|entry| self.participant(entry)).collect();
        let sender = self.entries(mail.sender());
        let sender = sender.first().and_then(|entry| self.participant(entry));
        match (from.as_slice(), sender) {
            ([], sender) => sender,
            ([first], _) | ([first, ..], None) => Some(first.clone()),
            (several, Some(sender)) => {
                let same = several.iter().find(|from| from.identity() == sender.identity());
                Some(same.cloned().unwrap_or(sender))
            }
        }
    }

    fn recipients(&mut self, mail: &Message<'_>, sender: &Participant) -> Vec<Participant> {
        let mut recipients = Vec::new();
        let mut seen = std::collections::HashSet::from([sender.clone()]);
        let fields = mail.from().into_iter().chain(mail.all_to()).chain(mail.all_cc()).chain(mail.all_bcc());
        for entry in fields.flat_map(|field| self.entries(Some(field))).collect::<Vec<_>>() {
            if let Some(participant) = self.participant(&entry)
                && seen.insert(participant.clone())
            {
                recipients.push(participant);
            }
        }
        recipients
    }

    /// Adds the participants of the addresses in a journal report. Most are participants of the mail already, under the
    /// same number or address.
    fn add_reported(&mut self, to: &mut Vec<Participant>, from: &Participant, addresses: &[String]) {
        let mut seen = std::collections::HashSet::<String>::new();
        for participant in std::iter::once(from).chain(to.iter()) {
            seen.extend(participant.phone.clone());
            seen.extend(participant.email.clone());
            seen.extend(participant.name.clone());
        }
        for address in addresses {
            let entry = Entry { display: None, address: Some(address.clone()) };
            let Some(participant) = self.participant(&entry) else { continue };
            let Participant { phone, email, name, .. } = &participant;
            let identity = phone.as_ref().or(email.as_ref()).or(name.as_ref());
            if identity.is_some_and(|identity| seen.insert(identity.clone())) {
                to.push(participant);
            }
        }
    }

    /// Returns the entries of a field. Programs write `Sousa, Ana <ana@bank.example>` without quotes, which the parser reads
    /// as two entries; but an entry of a list has an address (RFC 5322, 3.4). Therefore a text with neither an address nor a
    /// number belongs to the name of the next entry that has one. A last one stays an entry.
    fn entries(&mut self, field: Option<&Address<'_>>) -> Vec<Entry> {
        let mut entries = Vec::new();
        let lists: Vec<&[Addr<'_>]> = match field {
            None => Vec::new(),
            Some(Address::List(list)) => vec![list],
            Some(Address::Group(groups)) => groups.iter().map(|group| group.addresses.as_slice()).collect(),
        };
        for list in lists {
            let mut names: Vec<String> = Vec::new();
            for addr in list {
                let text = |text: Option<&str>| text.map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned);
                let (display, address) = (text(addr.name()), text(addr.address()));
                match (display, address) {
                    (None, None) => {}
                    (Some(display), None) if numbers(&display).is_empty() => names.push(display),
                    (display, address) => {
                        self.doubts.comma |= !names.is_empty();
                        names.extend(display);
                        let display = (!names.is_empty()).then(|| names.join(", "));
                        names.clear();
                        entries.push(Entry { display, address });
                    }
                }
            }
            entries.extend(names.into_iter().map(|name| Entry { display: Some(name), address: None }));
        }
        entries
    }

    /// Creates the participant of an entry: `"Ana Sousa +351210000001" <ana.sousa@bank.example>`. With a wrong number the
    /// message would be filed in another person's mailbox, and people choose their own display names. Therefore the number
    /// comes from an address that consists of a number; and otherwise from a display name that contains exactly one number.
    fn participant(&mut self, entry: &Entry) -> Option<Participant> {
        let (display, address) = (entry.display.as_deref(), entry.address.as_deref());
        let local =
            address.and_then(|address| local_number(address.split_once('@').map_or(address, |(local, _)| local)));
        let local = local.filter(|_| matches!(self.numbers_from, Participants::NumberAndAddress));
        let email = address.filter(|_| local.is_none()).and_then(mailbox).map(String::from);
        let (phone, name) = match self.numbers_from {
            Participants::Address => (None, display.map(str::to_owned)),
            Participants::NumberAndAddress => {
                let numbers = display.map(numbers).unwrap_or_default();
                let only = match numbers.as_slice() {
                    [Found::Number(only)] => Some(only),
                    _ => None,
                };
                self.doubts.number |= local.is_none() && only.is_none() && !numbers.is_empty();
                let phone = local.clone().or_else(|| only.map(|only| only.phone.clone()));
                let name = display.map(|display| match only {
                    Some(only) if Some(&only.phone) == phone.as_ref() => without_number(display, &only.range),
                    _ => display.to_owned(),
                });
                (phone, name)
            }
        };
        let name = name.filter(|name| !name.is_empty());
        // An address that cannot be read stays in the name, so that the participant is distinguished and the text is seen.
        let unread = address.filter(|_| local.is_none() && email.is_none());
        self.doubts.address |= unread.is_some();
        let name = match (name, unread) {
            (Some(name), Some(unread)) => Some(format!("{name} <{unread}>")),
            (name, unread) => name.or_else(|| unread.map(str::to_owned)),
        };
        let participant = Participant { name, phone, whatsapp_id: None, email };
        (participant != Participant::default()).then_some(participant)
    }
}

/// Reads a mailbox address. Other spellings of it are admitted: a domain in its own script, and quotes around a local part
/// that needs none.
fn mailbox(address: &str) -> Option<MailboxAddress> {
    if let Ok(address) = address.parse() {
        return Some(address);
    }
    let (local, domain) = address.rsplit_once('@')?;
    let local = local.strip_prefix('"').and_then(|local| local.strip_suffix('"')).unwrap_or(local);
    let domain = if domain.is_ascii() || domain.contains('%') {
        domain.to_owned()
    } else {
        match url::Host::parse(domain) {
            Ok(url::Host::Domain(domain)) => domain,
            _ => return None,
        }
    };
    format!("{local}@{domain}").parse().ok()
}

/// A phone number in a display name.
struct Number {
    phone: String,
    range: std::ops::Range<usize>,
}

/// A text in a display name that is, or may be, a phone number.
enum Found {
    Number(Number),
    /// It may be another number, or more than one.
    Uncertain,
}

/// Finds the phone numbers in a display name: a plus and digits, with the usual separators between them; or a name that
/// consists of digits.
fn numbers(display: &str) -> Vec<Found> {
    let mut numbers = Vec::new();
    let mut from = 0;
    while let Some(plus) = display.get(from..).and_then(|rest| rest.find('+')).map(|at| from + at) {
        let groups = digit_groups(display, plus + 1);
        from = groups.last().map_or(plus + 1, |group| group.range.end);
        numbers.extend(number(plus, &groups));
    }
    if numbers.is_empty()
        && let Some(phone) = local_number(display)
    {
        numbers.push(Found::Number(Number { phone, range: 0..display.len() }));
    }
    numbers
}

/// Digits without a separator.
struct Group<'a> {
    digits: &'a str,
    range: std::ops::Range<usize>,
    /// A space, a slash or a bracket is before it.
    is_apart: bool,
    is_in_brackets: bool,
}

/// Returns the groups of digits from a place in a display name on, to the first character that does not separate groups.
fn digit_groups(display: &str, from: usize) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    let mut at = from;
    loop {
        let rest = display.get(at..).unwrap_or_default();
        let start = at + rest.find(|c: char| !is_separator_in_number(c)).unwrap_or(rest.len());
        let separator = display.get(at..start).unwrap_or_default();
        let rest = display.get(start..).unwrap_or_default();
        let end = start + rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let digits = display.get(start..end).unwrap_or_default();
        if digits.is_empty() {
            return groups;
        }
        groups.push(Group {
            digits,
            range: start..end,
            is_apart: separator.contains(|c: char| c.is_whitespace() || "/()".contains(c)),
            is_in_brackets: separator.ends_with('(') && display.get(end..).is_some_and(|rest| rest.starts_with(')')),
        });
        at = end;
    }
}

fn is_separator_in_number(c: char) -> bool {
    c.is_whitespace() || "()-./\u{2010}\u{2011}\u{2012}\u{2013}\u{2014}\u{2212}".contains(c)
}

/// Reads the number of which these are the groups after a plus. Digits after a number, such as `(2)` for the second entry of an
/// address book, would make it another person's number. Therefore it is not certain if its groups also look like a shorter
/// number and something else: the first group is long enough for a number, or the last one is shorter than numbers are grouped.
fn number(plus: usize, groups: &[Group<'_>]) -> Option<Found> {
    let mut groups = groups;
    while let Some((last, before)) = groups.split_last()
        && !before.is_empty()
        && last.is_in_brackets
        && last.digits.len() <= 2
    {
        groups = before;
    }
    // "+44 (0)20 7946 0123": the 0 is dialled only in the country.
    let is_trunk = |at: usize, group: &Group<'_>| at == 1 && group.is_in_brackets && group.digits == "0";
    let digits: String =
        groups.iter().enumerate().filter(|(at, group)| !is_trunk(*at, group)).map(|(_, group)| group.digits).collect();
    if digits.len() < *PHONE_DIGITS.start() {
        return None;
    }
    let (first, last) = (groups.first()?, groups.last()?);
    let has_several = groups.len() > 1;
    let before_last = groups.len().checked_sub(2).filter(|at| *at > 0).and_then(|at| groups.get(at));
    let before_last = before_last.map_or(0, |group| group.digits.len());
    let is_suffix = has_several
        && last.is_apart
        && (last.digits.len() == 1
            || last.is_in_brackets
            || before_last >= 6
            || last.digits.len() == 2 && before_last >= 3);
    let is_certain = digits.len() <= *PHONE_DIGITS.end()
        && first.range.start == plus + 1 + usize::from(first.is_in_brackets)
        && (!has_several || first.digits.len() < *PHONE_DIGITS.start())
        && !is_suffix;
    Some(if is_certain {
        Found::Number(Number { phone: format!("+{digits}"), range: plus..last.range.end })
    } else {
        Found::Uncertain
    })
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
    let is_mark = |c: char, brackets: &str| c.is_whitespace() || ",;:-|/".contains(c) || brackets.contains(c);
    let before = display.get(..range.start).unwrap_or_default().trim_end_matches(|c| is_mark(c, "([<"));
    let after = display.get(range.end..).unwrap_or_default().trim_start_matches(|c| is_mark(c, ")]>"));
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
        let entry =
            Entry { display: (!display.is_empty()).then(|| display.to_owned()), address: Some(address.to_owned()) };
        let mut reader = Reader { numbers_from, doubts: Doubts::default() };
        let Participant { name, phone, email, .. } = reader.participant(&entry).unwrap_or_default();
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
            ("Client", "not an address", "Client <not an address>", "", ""),
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
