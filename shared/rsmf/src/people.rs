//! The participants of a file.

use std::collections::HashMap;

use message::write::{address, display_name, one_line};
use model::MailboxAddress;

use crate::format::{Custom, Participant};

/// Maximum length of an id, in characters.
const MAX_ID_CHARS: usize = 256;

/// The participants of a file, each once, in order of appearance.
#[derive(Default)]
pub(crate) struct People {
    numbers: HashMap<String, usize>,
    list: Vec<Person>,
}

struct Person {
    participant: Participant,
    address: String,
    /// `true` if the name to display is only a number or an id, so that a captured name replaces it.
    unnamed: bool,
}

impl People {
    /// Returns the index of a participant, and adds the participant if it is new.
    pub(crate) fn number(&mut self, participant: &model::Participant) -> usize {
        let identity = participant.identity();
        if let Some(&number) = self.numbers.get(&identity) {
            let person = &mut self.list[number];
            if person.unnamed || person.participant.email.is_none() {
                complete(person, participant);
            }
            return number;
        }
        let number = self.list.len();
        let mut person = Person {
            participant: Participant {
                id: id(number),
                display: String::new(),
                email: None,
                account_id: None,
                custom: Vec::new(),
            },
            address: address(participant),
            unnamed: true,
        };
        complete(&mut person, participant);
        self.list.push(person);
        self.numbers.insert(identity, number);
        number
    }

    /// Returns the participant's id in the manifest.
    pub(crate) fn id(&mut self, participant: &model::Participant) -> String {
        id(self.number(participant))
    }

    /// Returns the index of the participant with an id in the manifest.
    pub(crate) fn number_of(id: &str) -> Option<usize> {
        id.strip_prefix('p')?.parse::<usize>().ok()?.checked_sub(1)
    }

    pub(crate) fn display(&self, number: usize) -> &str {
        self.list.get(number).map_or("", |person| &person.participant.display)
    }

    /// Returns the address for From and To.
    pub(crate) fn address(&self, number: usize) -> &str {
        self.list.get(number).map_or("", |person| &person.address)
    }

    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    pub(crate) fn participants(&self) -> impl Iterator<Item = &Participant> {
        self.list.iter().map(|person| &person.participant)
    }
}

/// Returns the id of the participant with an index.
pub(crate) fn id(number: usize) -> String {
    format!("p{}", number + 1)
}

/// Adds the name, address and ids that another item has for the participant.
fn complete(person: &mut Person, captured: &model::Participant) {
    if person.unnamed {
        person.participant.display = display_name(captured);
        person.unnamed = captured.name.as_deref().is_none_or(|name| one_line(name, 1).is_empty());
    }
    if person.participant.email.is_none()
        && let Some(email) = captured.email.as_deref().and_then(|email| email.parse::<MailboxAddress>().ok())
    {
        person.participant.email = Some(email.to_string());
        person.address = email.to_string();
    }
    let whatsapp_id = captured.whatsapp_id.as_deref().map(|id| one_line(id, MAX_ID_CHARS)).filter(|id| !id.is_empty());
    if person.participant.account_id.is_none() {
        let number = captured.phone_digits().map(|digits| one_line(&format!("+{digits}"), MAX_ID_CHARS));
        person.participant.account_id = number.or_else(|| whatsapp_id.clone());
    }
    if let Some(value) = whatsapp_id
        && person.participant.custom.is_empty()
        && person.participant.account_id.as_ref() != Some(&value)
    {
        person.participant.custom.push(Custom { name: "WhatsApp id".to_owned(), value });
    }
}
