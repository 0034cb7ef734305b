//! A participant of an item.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A participant of an item, as captured. Personal data: `Debug` shows only which members are present.
#[derive(Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Participant {
    /// The captured name: a push name, or a name from an address book.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The phone number as captured: usually E.164, with or without the plus.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
    /// WhatsApp's id: a JID (`4520123456@s.whatsapp.net`), a LID or a business-scoped id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub whatsapp_id: Option<String>,
    /// The "User's Email address" property, present for users whom the customer registered with the source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
}

impl Participant {
    /// The usual domain of JIDs whose local part is a phone number.
    pub(crate) const PHONE_JID_DOMAIN: &str = "s.whatsapp.net";

    /// The domains of JIDs whose local part is a phone number: WhatsApp Web's name of the usual domain is `c.us`, and a
    /// business account that Meta hosts has `hosted`.
    const PHONE_JID_DOMAINS: [&str; 3] = [Self::PHONE_JID_DOMAIN, "c.us", "hosted"];

    /// Returns the digits of the participant's phone number, without plus, spaces or punctuation: from `phone`, or else
    /// from a JID that contains a number. `None` if there is no number, or if it has fewer than 5 digits or contains
    /// letters.
    pub fn phone_digits(&self) -> Option<String> {
        self.phone.as_deref().and_then(digits).or_else(|| digits(self.jid_user()?))
    }

    /// Returns the user part of a JID that contains a number. The local part may also contain an agent and a device
    /// (`4520123456.0:12@s.whatsapp.net`, `4520123456_1:12@…`), whose digits are not part of the number.
    fn jid_user(&self) -> Option<&str> {
        let (local, domain) = self.whatsapp_id.as_deref()?.split_once('@')?;
        let user = local.split([':', '.', '_']).next().unwrap_or_default().trim();
        let is_number = user.strip_prefix('+').unwrap_or(user).bytes().all(|byte| byte.is_ascii_digit());
        (is_number && Self::PHONE_JID_DOMAINS.contains(&domain.trim())).then_some(user)
    }

    /// Returns the identity of the participant in the source, independent of other captured members: the phone's
    /// digits, else the WhatsApp id, the e-mail address in lower case, or the name. Empty if nothing is known.
    ///
    /// Message-IDs are derived from it, so it must not depend on how many members were captured.
    pub fn identity(&self) -> String {
        if let Some(digits) = self.phone_digits() {
            return digits;
        }
        let known =
            |text: &Option<String>| text.as_deref().map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned);
        known(&self.whatsapp_id)
            .or_else(|| known(&self.email).map(|email| email.to_lowercase()))
            .or_else(|| known(&self.name))
            .unwrap_or_default()
    }
}

fn digits(text: &str) -> Option<String> {
    if text.chars().any(char::is_alphabetic) {
        return None;
    }
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    // In many countries 00 is dialled for the + of a written number.
    let digits = digits.strip_prefix("00").map(str::to_owned).unwrap_or(digits);
    if digits.len() >= 5 { Some(digits) } else { None }
}

impl fmt::Debug for Participant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Participant")
            .field("name", &self.name.is_some())
            .field("phone", &self.phone.is_some())
            .field("whatsapp_id", &self.whatsapp_id.is_some())
            .field("email", &self.email.is_some())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(phone: Option<&str>, whatsapp_id: Option<&str>) -> Participant {
        Participant { phone: phone.map(Into::into), whatsapp_id: whatsapp_id.map(Into::into), ..Participant::default() }
    }

    #[test]
    fn identity_does_not_depend_on_the_numbers_notation() {
        for participant in [
            with(Some("+45 20 12 34 56"), None),
            with(Some("004520123456"), None),
            with(Some("4520123456"), Some("77@lid")),
            with(None, Some("4520123456@s.whatsapp.net")),
            with(None, Some("4520123456:7@s.whatsapp.net")),
            with(None, Some("+4520123456@s.whatsapp.net")),
            with(None, Some("4520123456.0:12@s.whatsapp.net")),
            with(None, Some("4520123456.1@s.whatsapp.net")),
            with(None, Some("4520123456_1:12@s.whatsapp.net")),
            with(None, Some("4520123456@c.us")),
            with(None, Some("4520123456:99@hosted")),
        ] {
            assert_eq!(participant.identity(), "4520123456", "{:?}", participant.whatsapp_id);
        }
        for other in
            ["77123456@lid", "77123456:9@hosted.lid", "4520123456-1612345678@g.us", "4520123456-16@s.whatsapp.net"]
        {
            assert_eq!(with(None, Some(other)).identity(), other, "not a person's number");
        }
        assert_eq!(with(Some("1-800-FLOWERS"), None).phone_digits(), None);
    }

    #[test]
    fn debug_does_not_show_the_participant() {
        let participant = Participant { name: Some("Søren".into()), ..with(Some("+4520123456"), None) };
        let shown = format!("{participant:?}");
        assert!(!shown.contains("Søren") && !shown.contains("4520123456"), "{shown}");
    }
}
