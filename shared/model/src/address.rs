//! The SMTP address of a mailbox.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// The SMTP address of a mailbox, in lower case, so that two spellings of one mailbox are equal.
///
/// Stricter than RFC 5321 on purpose: an unquoted local part of visible ASCII, and a domain of letters, digits, dots
/// and hyphens. Microsoft 365 and nearly all other systems use this form, and it cannot break out of a header. It is
/// personal data: `Debug` does not show it, `Display` does.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MailboxAddress(String);

/// An invalid mailbox address. Contains nothing of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Not exactly one `@`, or an empty part before or after it.
    #[error("an e-mail address has one @ with text before and after it")]
    At,
    /// A character that is not allowed in an unquoted local part.
    #[error(
        "the part before the @ contains a character that is not allowed, begins or ends with a dot, or has two dots in a row"
    )]
    LocalPart,
    /// The domain is not made of labels of letters, digits and hyphens.
    #[error("the part after the @ is not a domain name")]
    Domain,
    /// Longer than the 254 characters of RFC 5321.
    #[error("an e-mail address has at most 254 characters")]
    TooLong,
}

impl MailboxAddress {
    /// Returns the address in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for MailboxAddress {
    type Err = AddressError;

    /// Parses an address. Surrounding white space is removed first.
    fn from_str(text: &str) -> Result<Self, AddressError> {
        let text = text.trim();
        if text.len() > 254 {
            return Err(AddressError::TooLong);
        }
        let (local, domain) = text.split_once('@').ok_or(AddressError::At)?;
        if local.is_empty() || domain.is_empty() || domain.contains('@') {
            return Err(AddressError::At);
        }
        let atext = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~.".contains(&byte);
        // Mail readers would decode it into another text.
        let is_encoded_word = local.starts_with("=?");
        if is_encoded_word || local.len() > 64 || !local.bytes().all(atext) || local.split('.').any(str::is_empty) {
            return Err(AddressError::LocalPart);
        }
        let label = |label: &str| {
            !label.is_empty()
                && label.len() <= 63
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        };
        if !domain.split('.').all(label) {
            return Err(AddressError::Domain);
        }
        Ok(Self(text.to_ascii_lowercase()))
    }
}

impl TryFrom<String> for MailboxAddress {
    type Error = AddressError;

    fn try_from(text: String) -> Result<Self, AddressError> {
        text.parse()
    }
}

impl From<MailboxAddress> for String {
    fn from(address: MailboxAddress) -> Self {
        address.0
    }
}

impl fmt::Display for MailboxAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for MailboxAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MailboxAddress(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_mailbox_are_equal() {
        let address: MailboxAddress = " Ada.Lovelace@Example.COM ".parse().unwrap();
        assert_eq!(address.as_str(), "ada.lovelace@example.com");
        assert!("o'hara+wa@example.com".parse::<MailboxAddress>().is_ok());
    }

    #[test]
    fn hostile_address_is_rejected() {
        for (text, error) in [
            ("", AddressError::At),
            ("ada", AddressError::At),
            ("@example.com", AddressError::At),
            ("a@b@example.com", AddressError::At),
            ("a b@example.com", AddressError::LocalPart),
            ("a\r\nBcc: x@example.com", AddressError::LocalPart),
            ("..@example.com", AddressError::LocalPart),
            ("=?utf-8?b?w7g=?=@x.example", AddressError::LocalPart),
            ("ada@../../etc", AddressError::Domain),
            ("ada@exa mple.com", AddressError::Domain),
            ("ada@-example.com", AddressError::Domain),
        ] {
            assert_eq!(text.parse::<MailboxAddress>(), Err(error), "{text:?}");
        }
    }
}
