//! The meaning of the header fields of a vendor's mails.

use std::str::FromStr;

/// The format of a vendor's mails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// Header fields with the vendor's id of the message; as in all lists here, the first that is not empty is used.
    pub(crate) id: Vec<String>,
    /// Header fields with the id of the chat.
    pub(crate) chat: Vec<String>,
    /// Header fields that are not empty in group chats.
    pub(crate) group: Vec<String>,
    /// Header fields with the name of the chat.
    pub(crate) chat_name: Vec<String>,
    /// Header fields with the kind of the message.
    pub(crate) kind: Vec<String>,
    /// Header fields with the network.
    pub(crate) network: Vec<String>,
    /// The places from which phone numbers are read.
    pub(crate) participants: Participants,
    /// `true` if each zip has a manifest.
    pub(crate) requires_manifest: bool,
}

/// The places from which the phone numbers of participants are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Participants {
    /// `number-and-address`: in display names, and in addresses that consist of a number.
    NumberAndAddress,
    /// `address`: nowhere. Only addresses identify participants.
    Address,
}

impl FromStr for Participants {
    type Err = &'static str;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        match word {
            "number-and-address" => Ok(Self::NumberAndAddress),
            "address" => Ok(Self::Address),
            _ => Err("unrecognized word"),
        }
    }
}

/// The list of header fields is malformed. Names the meaning, never the value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProfileError {
    /// An entry is not `meaning=Header-Name`.
    #[error("entry {0} is not of the form meaning=Header-Name")]
    Form(usize),
    /// The part before `=` is unrecognized.
    #[error("entry {0} has an unrecognized meaning; the meanings are {MEANINGS}")]
    Meaning(usize),
    /// The part after `=` is not the name of a header field.
    #[error("entry {0} does not name a header field")]
    Name(usize),
}

impl Default for Profile {
    /// Returns [`Profile::generic`] without header fields.
    fn default() -> Self {
        Self {
            id: Vec::new(),
            chat: Vec::new(),
            group: Vec::new(),
            chat_name: Vec::new(),
            kind: Vec::new(),
            network: Vec::new(),
            participants: Participants::NumberAndAddress,
            requires_manifest: false,
        }
    }
}

const MEANINGS: &str = "id, chat, group, chat-name, type and network";

impl Profile {
    /// Returns the profile of TeleMessage, now Smarsh Capture Mobile.
    pub fn telemessage() -> Self {
        let fields = |names: &[&str]| names.iter().map(|name| format!("X-TELEMESSAGE-{name}")).collect();
        Self {
            id: fields(&["ArchiveMessageID"]),
            chat: fields(&["GroupID", "THREAD_ID"]),
            group: fields(&["GroupID", "GROUP_NAME"]),
            chat_name: fields(&["GROUP_NAME", "ThreadName"]),
            kind: fields(&["MessageType"]),
            network: fields(&["Network"]),
            participants: Participants::NumberAndAddress,
            requires_manifest: true,
        }
    }

    /// Returns the profile of another vendor. `fields` is a list of `meaning=Header-Name`, separated by commas; a
    /// meaning may occur several times. Without `id`, the Message-ID identifies a mail.
    ///
    /// # Errors
    /// [`ProfileError`].
    pub fn generic(fields: &str) -> Result<Self, ProfileError> {
        let mut profile = Self::default();
        for (number, field) in (1..).zip(fields.split(',').map(str::trim).filter(|field| !field.is_empty())) {
            let (meaning, name) = field.split_once('=').ok_or(ProfileError::Form(number))?;
            let (meaning, name) = (meaning.trim(), name.trim());
            if name.is_empty() || !name.bytes().all(|byte| (33..=126).contains(&byte) && byte != b':') {
                return Err(ProfileError::Name(number));
            }
            let names = match meaning {
                "id" => &mut profile.id,
                "chat" => &mut profile.chat,
                "group" => &mut profile.group,
                "chat-name" => &mut profile.chat_name,
                "type" => &mut profile.kind,
                "network" => &mut profile.network,
                _ => return Err(ProfileError::Meaning(number)),
            };
            names.push(name.to_owned());
        }
        Ok(profile)
    }

    /// Reads phone numbers from the places of `participants`.
    #[must_use]
    pub fn with_participants(self, participants: Participants) -> Self {
        Self { participants, ..self }
    }

    /// Returns whether a zip without a manifest is an incident.
    pub fn requires_manifest(&self) -> bool {
        self.requires_manifest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invalid_header_field_entry_is_named_by_its_number() {
        let profile =
            Profile::generic("id=X-Vendor-Id, chat=X-Room,chat = X-Thread,type=X-GlobalRelay-MsgType,").unwrap();
        assert_eq!(
            (profile.id, profile.chat),
            (vec!["X-Vendor-Id".to_owned()], vec!["X-Room".into(), "X-Thread".into()])
        );
        for (fields, error) in [
            ("id", ProfileError::Form(1)),
            ("id=X-A,colour=X-B", ProfileError::Meaning(2)),
            ("id=", ProfileError::Name(1)),
            ("id=X A", ProfileError::Name(1)),
            ("id=X-A:", ProfileError::Name(1)),
        ] {
            assert_eq!(Profile::generic(fields), Err(error), "{fields}");
        }
        assert!(Profile::generic("").is_ok());
    }
}
