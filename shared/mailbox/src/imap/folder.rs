//! Encodes the name of the archive folder for the server.

use base64::{
    Engine as _, alphabet,
    engine::{GeneralPurpose, general_purpose::NO_PAD},
};

use super::{
    error::{Failure, configuration},
    response::Word,
};

/// Base64 with a comma in place of the slash.
const MODIFIED_BASE64: GeneralPurpose = GeneralPurpose::new(&alphabet::IMAP_MUTF7, NO_PAD);

/// The prefix of the names of a user's folders, and the separator between levels.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Namespace {
    pub(super) prefix: Vec<u8>,
    pub(super) separator: Option<char>,
}

/// The user's own namespace, as NAMESPACE reports it (RFC 2342).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Personal {
    /// The first of the user's namespaces.
    At(Namespace),
    /// `NIL`: the user has no folders. Cyrus reports it if a proxy account logs in for a user without a mailbox.
    Missing,
}

impl Personal {
    /// Reads the response to NAMESPACE.
    pub(super) fn parse(words: &[Word]) -> Option<Self> {
        match words {
            [name, Word::Open, Word::Open, prefix, separator, ..] if name.is("NAMESPACE") => {
                let separator = separator.text().and_then(|text| text.first()).map(|&byte| char::from(byte));
                Some(Self::At(Namespace { prefix: prefix.text().unwrap_or_default().to_vec(), separator }))
            }
            [name, personal, ..] if name.is("NAMESPACE") && personal.is("NIL") => Some(Self::Missing),
            _ => None,
        }
    }
}

impl Namespace {
    /// Returns the folder's full name, quoted.
    ///
    /// # Errors
    /// [`Failure::Port`] if the server would interpret a part of the name as a hierarchy level.
    pub(super) fn path(&self, folder: &str) -> Result<String, Failure> {
        if self.separator.is_some_and(|separator| folder.contains(separator)) {
            return Err(configuration("MAIL_FOLDER contains the separator of folder levels on this server"));
        }
        let prefix = std::str::from_utf8(&self.prefix).ok().filter(|prefix| !prefix.contains(['\r', '\n', '\0']));
        let prefix = prefix.ok_or(Failure::Protocol("the response to NAMESPACE is invalid"))?;
        Ok(quoted(&format!("{prefix}{}", encoded(folder))))
    }
}

/// Returns a quoted string. The text must not contain line breaks.
pub(super) fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// Encodes a name in modified UTF-7 (RFC 3501, 5.1.3): visible ASCII unchanged, `&` as `&-`, other text as base64 of
/// UTF-16.
fn encoded(name: &str) -> String {
    let mut encoded = String::new();
    let mut wide: Vec<u8> = Vec::new();
    let flush = |encoded: &mut String, wide: &mut Vec<u8>| {
        if !wide.is_empty() {
            encoded.push('&');
            encoded.push_str(&MODIFIED_BASE64.encode(&*wide));
            encoded.push('-');
            wide.clear();
        }
    };
    for character in name.chars() {
        if matches!(character, ' '..='~') {
            flush(&mut encoded, &mut wide);
            encoded.push(character);
            if character == '&' {
                encoded.push('-');
            }
        } else {
            let mut units = [0; 2];
            wide.extend(character.encode_utf16(&mut units).iter().flat_map(|unit| unit.to_be_bytes()));
        }
    }
    flush(&mut encoded, &mut wide);
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imap::response::{Response, parse};

    fn personal(line: &str) -> Option<Personal> {
        match parse(line.as_bytes()) {
            Some(Response::Data(words)) => Personal::parse(&words),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn name_is_encoded_like_the_examples_of_rfc_3501() {
        for (name, expected) in [
            ("WhatsApp Archiver", "WhatsApp Archiver"),
            ("Entwürfe", "Entw&APw-rfe"),
            ("A & B", "A &- B"),
            ("~peter/mail/台北/日本語", "~peter/mail/&U,BTFw-/&ZeVnLIqe-"),
            ("😀", "&2D3eAA-"),
        ] {
            assert_eq!(encoded(name), expected);
        }
    }

    #[test]
    fn path_begins_with_the_users_own_namespace() {
        let Some(Personal::At(cyrus)) =
            personal("* NAMESPACE ((\"INBOX.\" \".\")) ((\"user.\" \".\")) ((\"\" \".\"))\r\n")
        else {
            panic!("no namespace")
        };
        assert_eq!(cyrus.path("WhatsApp Archiver").unwrap(), "\"INBOX.WhatsApp Archiver\"");
        assert!(matches!(cyrus.path("A.B"), Err(Failure::Port(_))));
        let flat = Namespace::default();
        assert_eq!(personal("* NAMESPACE ((\"\" NIL)) NIL NIL\r\n"), Some(Personal::At(flat.clone())));
        assert_eq!(flat.path("a\"b\\c").unwrap(), r#""a\"b\\c""#);
        assert_eq!(personal("* NAMESPACE NIL ((\"user/\" \"/\")) NIL\r\n"), Some(Personal::Missing));
        assert_eq!(personal("* NAMESPACE what\r\n"), None);
    }
}
