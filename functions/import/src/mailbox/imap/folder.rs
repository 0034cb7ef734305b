//! The archive folder's name, as servers write names.

use base64::{
    Engine as _, alphabet,
    engine::{GeneralPurpose, general_purpose::NO_PAD},
};

use super::{
    error::{Failure, setup},
    response::Word,
};

/// Base64 with a comma for the slash.
const IN_NAMES: GeneralPurpose = GeneralPurpose::new(&alphabet::IMAP_MUTF7, NO_PAD);

/// Where a person's own folders are on a server: what their names begin with, and what stands between the levels.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Namespace {
    pub(super) prefix: Vec<u8>,
    pub(super) separator: Option<char>,
}

impl Namespace {
    /// Reads the answer to NAMESPACE: the first of the person's own.
    pub(super) fn of(words: &[Word]) -> Option<Self> {
        match words {
            [name, Word::Open, Word::Open, prefix, separator, ..] if name.is("NAMESPACE") => {
                let separator = separator.text().and_then(|text| text.first()).map(|&byte| char::from(byte));
                Some(Self { prefix: prefix.text().unwrap_or_default().to_vec(), separator })
            }
            _ => None,
        }
    }

    /// The folder's whole name, quoted.
    ///
    /// # Errors
    /// [`Failure::Port`] where the server would take a part of the name for a level.
    pub(super) fn path(&self, folder: &str) -> Result<String, Failure> {
        if self.separator.is_some_and(|separator| folder.contains(separator)) {
            return Err(setup("MAIL_FOLDER holds the character that separates levels of folders on this server"));
        }
        let prefix = String::from_utf8(self.prefix.clone())
            .map_err(|_| Failure::Lost("the server's namespace is not what is documented"))?;
        if prefix.contains(['\r', '\n', '\0']) {
            return Err(Failure::Lost("the server's namespace is not what is documented"));
        }
        Ok(quoted(&format!("{prefix}{}", encoded(folder))))
    }
}

/// A text in quotes. It holds no line ends.
pub(super) fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// A name in modified UTF-7: visible ASCII as it is, `&` as `&-`, all else in base64 of UTF-16.
fn encoded(name: &str) -> String {
    let mut encoded = String::new();
    let mut wide: Vec<u8> = Vec::new();
    let flush = |encoded: &mut String, wide: &mut Vec<u8>| {
        if !wide.is_empty() {
            encoded.push('&');
            encoded.push_str(&IN_NAMES.encode(&*wide));
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
    use crate::mailbox::imap::response::{Response, parse};

    fn namespace(line: &str) -> Option<Namespace> {
        match parse(line.as_bytes()) {
            Some(Response::Data(words)) => Namespace::of(&words),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn names_are_written_as_the_standards_examples_are() {
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
    fn a_folder_lies_where_the_server_keeps_a_persons_own() {
        let cyrus = namespace("* NAMESPACE ((\"INBOX.\" \".\")) ((\"user.\" \".\")) ((\"\" \".\"))\r\n").unwrap();
        assert_eq!(cyrus.path("WhatsApp Archiver").unwrap(), "\"INBOX.WhatsApp Archiver\"");
        assert!(matches!(cyrus.path("A.B"), Err(Failure::Port(_))));
        let flat = namespace("* NAMESPACE ((\"\" NIL)) NIL NIL\r\n").unwrap();
        assert_eq!(flat, Namespace::default());
        assert_eq!(flat.path("a\"b\\c").unwrap(), r#""a\"b\\c""#);
        assert_eq!(namespace("* NAMESPACE NIL NIL NIL\r\n"), None);
    }
}
