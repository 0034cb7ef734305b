//! The participants of a chat: the senders, the persons in the participants file, and the owner.

use std::{collections::HashMap, str::FromStr};

use model::{MailboxAddress, Participant};

use crate::{
    error::ExportError,
    marks::{folded, plain},
};

/// The users in whose mailboxes an upload's items may be filed, besides its owner's.
///
/// Nothing in an upload is trusted: neither the participants file nor the numbers in the chat's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Recipients {
    /// No other user. Other participants are shown by name, and have no member that leads to a mailbox.
    #[default]
    Owner,
    /// Participants whose phone numbers are in the operator's user map.
    Mapped,
}

impl FromStr for Recipients {
    type Err = &'static str;

    /// Reads the value of `EXPORT_PARTICIPANTS`.
    fn from_str(word: &str) -> Result<Self, Self::Err> {
        match word {
            "owner" => Ok(Self::Owner),
            "mapped" => Ok(Self::Mapped),
            _ => Err("unrecognized value"),
        }
    }
}

/// All participants of a chat.
pub(crate) struct People {
    members: Vec<Member>,
    /// For each sender, the index in `members`. `None` for a name under which only WhatsApp itself wrote.
    by_sender: Vec<Option<usize>>,
}

struct Member {
    participant: Participant,
    /// The number that the export or the participants file has for the participant.
    phone: Option<String>,
    is_owner: bool,
}

impl Member {
    /// Creates a participant as shown in the item. The owner is identified only by the folder of the upload; others
    /// never have an address.
    fn new(
        name: Option<String>,
        phone: Option<String>,
        is_owner: bool,
        owner: &MailboxAddress,
        to: Recipients,
    ) -> Self {
        let shown = match to {
            Recipients::Mapped if !is_owner => Participant { name, phone: phone.clone(), ..Participant::default() },
            _ => Participant { name: name.or_else(|| phone.clone()), ..Participant::default() },
        };
        let email = is_owner.then(|| owner.to_string());
        Self { participant: Participant { email, ..shown }, phone, is_owner }
    }
}

/// Facts about a chat's senders.
pub(crate) struct Senders<'a> {
    /// The names as the phone wrote them.
    pub(crate) names: &'a [String],
    /// For each name, whether a person wrote under it.
    pub(crate) wrote: &'a [bool],
    /// The chat's name, if a phone wrote it.
    pub(crate) chat_name: Option<&'a str>,
    /// `true` if the chat has an event that only groups have.
    pub(crate) group_event: bool,
}

impl People {
    /// Matches senders with the rows of the participants file: by the written name, else by the number, else by the
    /// name without the parts that may differ ([`person_key`]), unless another sender has the same. A sender may choose
    /// the name of another person in the file.
    ///
    /// The owner is the sender to whom the file gives the owner's address. In a chat of two that a phone named after one of
    /// them, it is the other one. Otherwise the owner's sender is unknown, and the owner is a separate participant with
    /// only the address. A person in the file who never wrote is a participant, too.
    pub(crate) fn gather(
        senders: &Senders<'_>,
        known: &[ListedPerson],
        owner: &MailboxAddress,
        to: Recipients,
    ) -> Self {
        let rows = Rows::of(known, senders);
        let mut members: Vec<Member> = Vec::new();
        let mut member_of_row: HashMap<usize, usize> = HashMap::new();
        let by_sender: Vec<Option<usize>> = senders
            .names
            .iter()
            .zip(senders.wrote)
            .map(|(name, wrote)| {
                if !wrote {
                    return None;
                }
                let written = written_as(name);
                let row = rows.find(name, &written);
                if let Some(member) = row.and_then(|row| member_of_row.get(&row)) {
                    return Some(*member);
                }
                let known = row.map(|row| &known[row].participant);
                if let Some(row) = row {
                    member_of_row.insert(row, members.len());
                }
                let name = written.name.or_else(|| known.and_then(|known| known.name.clone()));
                let phone = known.and_then(|known| known.phone.clone()).or(written.phone);
                members.push(Member::new(name, phone, known.is_some_and(|known| is_owner(known, owner)), owner, to));
                Some(members.len() - 1)
            })
            .collect();
        for (at, known) in known.iter().enumerate() {
            if !member_of_row.contains_key(&at) {
                let Participant { name, phone, .. } = known.participant.clone();
                members.push(Member::new(name, phone, is_owner(&known.participant, owner), owner, to));
            }
        }
        let mut people = Self { members, by_sender };
        if !people.members.iter().any(|member| member.is_owner) {
            match people.counterpart(senders) {
                Some(other) => {
                    let Member { participant, phone, .. } = &people.members[other];
                    people.members[other] = Member::new(participant.name.clone(), phone.clone(), true, owner, to);
                }
                None => people.members.push(Member::new(None, None, true, owner, to)),
            }
        }
        people
    }

    /// Returns the other sender, in a chat of two senders that is named after one of them.
    fn counterpart(&self, senders: &Senders<'_>) -> Option<usize> {
        let chat_name = senders.chat_name?;
        if senders.group_event || self.members.len() != 2 {
            return None;
        }
        let named = |member: &Member| has_name(member, chat_name);
        match self.members.as_slice() {
            [one, other] if named(one) && !named(other) => Some(1),
            [one, other] if named(other) && !named(one) => Some(0),
            _ => None,
        }
    }

    /// Returns the number of participants with more than an address: an owner who was not found among the senders is
    /// not counted separately.
    pub(crate) fn known_count(&self) -> usize {
        let known = |member: &&Member| member.participant.name.is_some() || member.participant.phone.is_some();
        self.members.iter().filter(known).count()
    }

    /// Returns whether the owner is one of the senders.
    pub(crate) fn owner_is_sender(&self) -> bool {
        self.by_sender.iter().flatten().any(|member| self.members[*member].is_owner)
    }

    /// Returns the sender, and whether it is the owner.
    pub(crate) fn sender(&self, sender: usize) -> Option<(&Participant, bool)> {
        let member = self.member(sender)?;
        Some((&member.participant, member.is_owner))
    }

    /// Returns the sender's number in the upload, if the item does not show it.
    pub(crate) fn unshown_phone(&self, sender: usize) -> Option<&str> {
        let member = self.member(sender)?;
        let shown = [&member.participant.phone, &member.participant.name];
        member.phone.as_deref().filter(|phone| !shown.iter().any(|shown| shown.as_deref() == Some(phone)))
    }

    fn member(&self, sender: usize) -> Option<&Member> {
        self.members.get(self.by_sender.get(sender).copied().flatten()?)
    }

    /// Returns all participants except the sender; all of them if there is no sender.
    pub(crate) fn others(&self, sender: Option<usize>) -> Vec<Participant> {
        let from = sender.and_then(|sender| self.by_sender.get(sender).copied().flatten());
        let owner_writes = from.is_some_and(|from| self.members[from].is_owner);
        self.members
            .iter()
            .enumerate()
            .filter(|(at, member)| Some(*at) != from && !(owner_writes && member.is_owner))
            .map(|(_, member)| member.participant.clone())
            .collect()
    }

    /// Returns the name of the only participant besides the owner; `None` in a group.
    pub(crate) fn counterparty_name(&self) -> Option<&str> {
        let mut others = self.members.iter().filter(|member| !member.is_owner);
        match (others.next(), others.next()) {
            (Some(only), None) => only.participant.name.as_deref().or(only.participant.phone.as_deref()),
            _ => None,
        }
    }
}

/// The rows of the participants file, by the attributes with which senders are matched.
struct Rows {
    by_name: HashMap<String, usize>,
    by_phone: HashMap<String, usize>,
    /// By [`person_key`], if exactly one row and one sender have it.
    by_key: HashMap<String, usize>,
}

impl Rows {
    fn of(known: &[ListedPerson], senders: &Senders<'_>) -> Self {
        let mut rows = Self { by_name: HashMap::new(), by_phone: HashMap::new(), by_key: HashMap::new() };
        let mut rows_and_senders_by_key: HashMap<String, (usize, usize)> = HashMap::new();
        for (at, ListedPerson { participant }) in known.iter().enumerate() {
            if let Some(name) = &participant.name {
                rows.by_name.insert(plain(name), at);
                rows_and_senders_by_key.entry(person_key(name)).or_default().0 += 1;
                rows.by_key.insert(person_key(name), at);
            }
            if let Some(phone) = participant.phone_digits() {
                rows.by_phone.insert(phone, at);
            }
        }
        for (name, _) in senders.names.iter().zip(senders.wrote).filter(|(_, wrote)| **wrote) {
            rows_and_senders_by_key.entry(person_key(name)).or_default().1 += 1;
        }
        rows.by_key.retain(|key, _| rows_and_senders_by_key.get(key) == Some(&(1, 1)));
        rows
    }

    fn find(&self, name: &str, written: &Participant) -> Option<usize> {
        let by_phone = || self.by_phone.get(&written.phone_digits()?);
        self.by_name.get(&plain(name)).or_else(by_phone).or_else(|| self.by_key.get(&person_key(name))).copied()
    }
}

fn is_owner(participant: &Participant, owner: &MailboxAddress) -> bool {
    participant.email.as_deref() == Some(owner.as_str())
}

/// Interprets a sender as the phone writes it: a name, or the number of a person outside its address book.
pub(crate) fn written_as(sender: &str) -> Participant {
    let number = |c: char| c.is_ascii_digit() || " +-().\u{a0}\u{2011}\u{202f}".contains(c);
    let digits: String = sender.chars().filter(char::is_ascii_digit).collect();
    if (7..=15).contains(&digits.len()) && sender.chars().all(number) {
        let plus = if sender.starts_with('+') { "+" } else { "" };
        Participant { phone: Some(format!("{plus}{digits}")), ..Participant::default() }
    } else {
        Participant { name: Some(sender.to_owned()), ..Participant::default() }
    }
}

/// Returns a name in lower case, without the `~ ` that an iPhone puts before a name chosen by a person outside its
/// address book.
fn person_key(name: &str) -> String {
    let name = folded(name);
    name.strip_prefix('~').map_or(name.as_str(), str::trim_start).to_owned()
}

fn has_name(member: &Member, chat_name: &str) -> bool {
    let names = |candidate: &str| {
        let name = member.participant.name.as_deref();
        let by_name = name.is_some_and(|name| person_key(name) == person_key(candidate));
        let digits = |phone: &str| written_as(phone).phone_digits();
        let phone = digits(candidate);
        by_name || (phone.is_some() && phone == member.phone.as_deref().and_then(digits))
    };
    // A browser adds ` (1)` to the name of a file that was downloaded before.
    let again = chat_name.rsplit_once(" (").filter(|(_, number)| number.trim_end_matches(')').parse::<u8>().is_ok());
    names(chat_name) || again.is_some_and(|(first, _)| names(first))
}

/// A person in a row of the participants file.
pub(crate) struct ListedPerson {
    participant: Participant,
}

impl ListedPerson {
    /// Returns the name by which the chat may call the person.
    pub(crate) fn name(&self) -> Option<&str> {
        self.participant.name.as_deref()
    }
}

/// Reads a participants file: a header with `name`, `phone` and `email` in any order, separated by `,` or `;`. Each row
/// needs a name or a phone. Other columns are ignored.
///
/// # Errors
/// The first invalid row, with its line.
pub(crate) fn read_participants(csv: &[u8]) -> Result<Vec<ListedPerson>, ExportError> {
    const MAX_BYTES: usize = 1 << 20;
    let invalid = |line: u64, problem: &'static str| ExportError::Participants { line, problem };
    if csv.len() > MAX_BYTES {
        return Err(invalid(1, "the file has more than 1 MiB: list only the participants of this chat"));
    }
    let header = csv.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let count = |wanted: u8| header.iter().filter(|byte| **byte == wanted).count();
    let delimiter = if count(b';') > count(b',') { b';' } else { b',' };
    let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).trim(csv::Trim::All).from_reader(csv);
    let broken = |error: &csv::Error| {
        let line = error.position().map_or(1, csv::Position::line);
        invalid(
            line,
            match error.kind() {
                csv::ErrorKind::Utf8 { .. } => "the text is not UTF-8: save the file as CSV UTF-8",
                csv::ErrorKind::UnequalLengths { .. } => "the row has more or fewer columns than the header",
                _ => "the row cannot be read",
            },
        )
    };
    let columns = reader.headers().map_err(|error| broken(&error))?;
    let column = |wanted: &str| {
        let mut places = columns.iter().enumerate().filter(|(_, name)| name.eq_ignore_ascii_case(wanted));
        match (places.next(), places.next()) {
            (Some((place, _)), None) => Ok(place),
            (None, _) => Err(invalid(1, "the header must name the columns name, phone and email")),
            (Some(_), Some(_)) => Err(invalid(1, "the header names a column twice")),
        }
    };
    let (name, phone, email) = (column("name")?, column("phone")?, column("email")?);
    let mut known = Vec::new();
    let mut names: HashMap<String, u64> = HashMap::new();
    let mut phones: HashMap<String, u64> = HashMap::new();
    for record in reader.records() {
        let record = record.map_err(|error| broken(&error))?;
        let line = record.position().map_or(0, csv::Position::line);
        let field = |place: usize| record.get(place).filter(|value| !value.is_empty()).map(str::to_owned);
        let participant = Participant {
            name: field(name),
            phone: field(phone),
            email: match field(email) {
                Some(address) => {
                    let address: MailboxAddress =
                        address.parse().map_err(|_| invalid(line, "the email is not a valid e-mail address"))?;
                    Some(address.to_string())
                }
                None => None,
            },
            whatsapp_id: None,
        };
        if participant.name.is_none() && participant.phone.is_none() {
            return Err(invalid(line, "the row has neither a name nor a phone"));
        }
        if let Some(phone) = &participant.phone {
            let digits = written_as(phone).phone_digits().ok_or_else(|| {
                invalid(line, "the phone is not a number of 7 to 15 digits: a spreadsheet may have changed it")
            })?;
            if phones.insert(digits, line).is_some() {
                return Err(invalid(line, "the phone is already in a row above"));
            }
        }
        if let Some(name) = &participant.name
            && names.insert(folded(name), line).is_some()
        {
            return Err(invalid(line, "the name is already in a row above"));
        }
        known.push(ListedPerson { participant });
    }
    Ok(known)
}
