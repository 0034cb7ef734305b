//! Who took part.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A participant of an item, as captured. All of it is personal data: `Debug` shows only which members are
/// there.
#[derive(Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Participant {
    /// The name that the capture knows, a push name or an address book's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The phone number as captured: usually E.164, with or without the plus.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
    /// WhatsApp's id: a JID (`4520123456@s.whatsapp.net`), a LID or a business-scoped id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub whatsapp_id: Option<String>,
    /// The "User's Email address" property, present for users whom the customer registered with the archiver.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
}

impl Participant {
    /// The domain of JIDs whose local part is a phone number.
    const PHONE_JID_DOMAIN: &str = "s.whatsapp.net";

    /// The digits of the participant's phone number, without plus, spaces or punctuation: from `phone`, else from a
    /// JID that is made of one. `None` where no phone number is known, or what stands there has fewer than 5 digits
    /// or holds letters.
    pub fn phone_digits(&self) -> Option<String> {
        self.phone.as_deref().and_then(digits).or_else(|| {
            let (local, domain) = self.whatsapp_id.as_deref()?.split_once('@')?;
            // A JID's local part may carry a device: 4520123456:12@s.whatsapp.net.
            let user = local.split_once(':').map_or(local, |(user, _device)| user);
            if domain == Self::PHONE_JID_DOMAIN { digits(user) } else { None }
        })
    }

    /// What the participant is known by in the source whatever else was captured with it: the phone's digits, else
    /// the WhatsApp id, the e-mail address in lower case, or the name. Empty when nothing is known.
    ///
    /// Message-IDs are derived from it, so it must not depend on how much the capture happened to know.
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
    // 00 is how many countries dial what a phone number writes as +.
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
    fn one_identity_however_the_number_is_written() {
        for participant in [
            with(Some("+45 20 12 34 56"), None),
            with(Some("004520123456"), None),
            with(Some("4520123456"), Some("77@lid")),
            with(None, Some("4520123456@s.whatsapp.net")),
            with(None, Some("4520123456:7@s.whatsapp.net")),
        ] {
            assert_eq!(participant.identity(), "4520123456");
        }
        assert_eq!(with(None, Some("77123456@lid")).identity(), "77123456@lid");
        assert_eq!(with(Some("1-800-FLOWERS"), None).phone_digits(), None);
    }

    #[test]
    fn debug_shows_nobody() {
        let participant = Participant { name: Some("Søren".into()), ..with(Some("+4520123456"), None) };
        let shown = format!("{participant:?}");
        assert!(!shown.contains("Søren") && !shown.contains("4520123456"), "{shown}");
    }
}
