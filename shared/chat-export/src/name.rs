//! Ids of items, and the facts in the name of a file.

use icu_normalizer::ComposingNormalizerBorrowed;
use model::{IdError, ItemId, MailboxAddress};
use percent_encoding::percent_decode_str;

use crate::{
    error::ExportError,
    marks::{folded, trim},
    words::LANGUAGES,
};

/// The number of hash digits at the end of an id.
pub(crate) const HASH_DIGITS: usize = 20;

/// The ids of one file's items: `export/<owner>/<file name>#<hash>`, owner and file name escaped as in a URL, the file
/// name [`composed`].
#[derive(Clone)]
pub(crate) struct Ids {
    prefix: String,
    owner: MailboxAddress,
    file_name: String,
}

/// Returns a file's name in Unicode's composed form (NFC). Computers write the same name composed or decomposed, and a
/// chat must have the same ids under both.
pub fn composed(file_name: &str) -> String {
    ComposingNormalizerBorrowed::new_nfc().normalize(file_name).into_owned()
}

impl Ids {
    /// Creates the ids of a file.
    ///
    /// # Errors The owner and the name are so long that no hash fits after them. A name is
    /// not shortened, because the file could not be found by a shortened id.
    pub(crate) fn new(owner: &MailboxAddress, file_name: &str) -> Result<Self, ExportError> {
        let file_name = composed(file_name);
        let prefix = format!("export/{}/{}#", escaped(owner.as_str()), escaped(&file_name));
        match (prefix.chars().count() + HASH_DIGITS).checked_sub(ItemId::MAX_CHARS) {
            None | Some(0) => Ok(Self { prefix, owner: owner.clone(), file_name }),
            Some(over) => Err(ExportError::NameTooLong { over }),
        }
    }

    pub(crate) fn id(&self, hash: Hash) -> Result<ItemId, IdError> {
        ItemId::try_from(format!("{}{}", self.prefix, hash.digits()))
    }

    /// Returns the hash in an id, if it is an id of this file. An id of an earlier version may have the file's name in
    /// another form.
    pub(crate) fn hash(&self, id: &ItemId) -> Option<Hash> {
        if let Some(hash) = id.as_str().strip_prefix(&self.prefix) {
            return Hash::parse(hash);
        }
        let (owner, file_name) = locate(id)?;
        let (_, hash) = id.as_str().rsplit_once('#').filter(|_| owner == self.owner)?;
        Hash::parse(hash).filter(|_| composed(&file_name) == self.file_name)
    }
}

/// The first 80 bits of a SHA-256.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Hash(pub(crate) [u8; HASH_DIGITS / 2]);

impl Hash {
    pub(crate) fn digits(self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn parse(digits: &str) -> Option<Self> {
        let mut bytes = [0; HASH_DIGITS / 2];
        let hex = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if digits.len() != HASH_DIGITS || !digits.as_bytes().iter().all(hex) {
            return None;
        }
        for (byte, at) in bytes.iter_mut().zip((0..).step_by(2)) {
            *byte = u8::from_str_radix(digits.get(at..at + 2)?, 16).ok()?;
        }
        Some(Self(bytes))
    }
}

/// Returns the owner and the file name from which an item's id was made, so that the file can be found at
/// `inbox/<owner>/<file name>`, where the name may be in another form than the [`composed`] one. `None` for an id that this
/// crate did not make.
pub fn locate(id: &ItemId) -> Option<(MailboxAddress, String)> {
    let (place, hash) = id.as_str().strip_prefix("export/")?.split_once('#')?;
    Hash::parse(hash)?;
    let (owner, file_name) = place.split_once('/')?;
    let unescaped = |text: &str| {
        let plain = percent_decode_str(text).decode_utf8().ok()?.into_owned();
        // Only our own spelling is accepted, so that two ids never mean one item.
        (escaped(&plain) == text && !plain.is_empty()).then_some(plain)
    };
    let (owner, file_name) = (unescaped(owner)?, unescaped(file_name)?);
    let address: MailboxAddress = owner.parse().ok()?;
    (address.as_str() == owner).then_some((address, file_name))
}

/// Returns the id of a file as a whole, for a file whose messages cannot be read: [`locate`] finds the file by it, and
/// no message has it. `None` if the name is too long for an id.
pub fn file_id(owner: &MailboxAddress, file_name: &str) -> Option<ItemId> {
    Ids::new(owner, file_name).ok()?.id(Hash([0; HASH_DIGITS / 2])).ok()
}

/// Escapes the characters that have a meaning in an id or a URL, or are invisible. Letters and emoji of all scripts
/// stay: escaped, a name of a hundred of them would not fit.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        let plain = match c {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '-' | '_' | '.' | '~' | '@' | '(' | ')' | '+' | '\'' => true,
            _ if c.is_ascii() || c.is_control() || c.is_whitespace() => false,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' => false,
            '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff0}'..='\u{ffff}' | '\u{fdd0}'..='\u{fdef}' => false,
            '\u{e0000}'.. => false,
            _ => true,
        };
        if plain {
            out.push(c);
        } else {
            let mut bytes = [0; 4];
            for byte in c.encode_utf8(&mut bytes).bytes() {
                out.push_str(&format!("%{byte:02X}"));
            }
        }
    }
    out
}

/// Returns whether the file's name begins like the name of a chat's text that a phone wrote.
pub(crate) fn is_named_by_phone(file_name: &str) -> bool {
    prefix_chars(stem(file_name)).is_some()
}

/// Returns the name of the chat in the file's name: without the extension and without `WhatsApp Chat with ` in the
/// phone's language. `None` for `_chat.txt`, the name of every iPhone's export inside its zip.
pub(crate) fn chat_name(file_name: &str) -> Option<String> {
    let stem = stem(file_name);
    let name = match prefix_chars(stem) {
        Some(chars) => {
            let name: String = stem.chars().skip(chars).collect();
            // Some mail programs replace every space in an attachment's name by `_`.
            if stem.contains(' ') { name } else { name.replace('_', " ") }
        }
        None => stem.to_owned(),
    };
    let name = trim(&name);
    (!name.is_empty() && name != "_chat").then(|| name.to_owned())
}

pub(crate) fn stem(file_name: &str) -> &str {
    file_name.rsplit_once('.').map_or(file_name, |(stem, _extension)| stem)
}

/// Returns whether the file has this extension, in upper or lower case.
pub(crate) fn has_extension(file_name: &str, extension: &str) -> bool {
    file_name.rsplit_once('.').is_some_and(|(_stem, found)| found.eq_ignore_ascii_case(extension))
}

/// Returns the number of characters in the stem before the chat's name.
fn prefix_chars(stem: &str) -> Option<usize> {
    let like = |stem: &str, prefix: &str| {
        let begin: String = stem.chars().take(prefix.chars().count()).collect();
        // A space at the end is part of the prefix, and `folded` removes it: a letter keeps its place.
        folded(&format!("{}|", begin.replace('_', " "))) == format!("{prefix}|")
    };
    LANGUAGES
        .iter()
        .flat_map(|language| language.file_prefixes)
        .find(|prefix| like(stem, prefix))
        .map(|prefix| prefix.chars().count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owner_and_file_name_are_read_from_an_id() {
        let hash = Hash([0xab; 10]);
        for (owner, file_name) in [
            ("ada@example.com", "WhatsApp Chat with Søren Jensen.txt"),
            ("a/b#c%d@example.com", "100% #1/2 \\ \"x\" 🎉👨‍👩‍👧.zip"),
            ("ada@example.com", "\u{202e}evil\u{0}\n.txt"),
            ("ada@example.com", "%41.txt"),
        ] {
            let owner: MailboxAddress = owner.parse().unwrap();
            let ids = Ids::new(&owner, file_name).unwrap();
            let id = ids.id(hash).unwrap();
            assert!(id.as_str().ends_with("#abababababababababab"), "{id}");
            assert!(!id.as_str().contains('\u{202e}'), "{id}");
            assert!(id.is_of_upload(), "{id}");
            let whole = file_id(&owner, file_name).unwrap();
            assert_ne!(whole, id);
            assert_eq!(locate(&whole), locate(&id));
            assert_eq!(locate(&id), Some((owner, file_name.to_owned())));
            assert_eq!(ids.hash(&id), Some(hash));
        }
    }

    #[test]
    fn composed_and_decomposed_names_have_the_same_ids() {
        let owner: MailboxAddress = "ada@example.com".parse().unwrap();
        for (one, other) in [
            ("Chat with Jos\u{e9}.txt", "Chat with Jose\u{301}.txt"),
            ("\u{ac00}.zip", "\u{1100}\u{1161}.zip"),
            ("a \u{2260} b.txt", "a =\u{338} b.txt"),
        ] {
            let (ids, others) = (Ids::new(&owner, one).unwrap(), Ids::new(&owner, other).unwrap());
            let id = ids.id(Hash([7; 10])).unwrap();
            assert_eq!(others.id(Hash([7; 10])).unwrap(), id);
            assert_eq!(locate(&id), Some((owner.clone(), one.to_owned())));
            // The id that an earlier version made of the decomposed name.
            let earlier = format!("export/ada@example.com/{}#{}", escaped(other), Hash([7; 10]).digits());
            let earlier: ItemId = earlier.parse().unwrap();
            assert_eq!(locate(&earlier), Some((owner.clone(), other.to_owned())));
            assert_eq!((ids.hash(&earlier), others.hash(&earlier)), (Some(Hash([7; 10])), Some(Hash([7; 10]))));
        }
    }

    #[test]
    fn foreign_id_is_not_located() {
        let good = "export/ada@example.com/a.txt#abababababababababab";
        let good: ItemId = good.parse().unwrap();
        assert!(locate(&good).is_some() && good.is_of_upload());
        for id in [
            "WA-1",
            "export/",
            "export/ada@example.com/a.txt",
            "export/ada@example.com/#abababababababababab",
            "export/ADA@example.com/a.txt#abababababababababab",
            "export/ada/a.txt#abababababababababab",
            "export/ada@example.com/%61.txt#abababababababababab",
            "export/ada@example.com/%ff.txt#abababababababababab",
            "export/ada@example.com/../a.txt#abababababababababab",
            "export/ada@example.com/a.txt#ABABABABABABABABABAB",
            "export/ada@example.com/a.txt#ababababababababababab",
            "export/ada@example.com/a.txt#aéaéaéaéaéaéaéaé",
        ] {
            assert_eq!(locate(&id.parse().unwrap()), None, "{id}");
        }
    }

    #[test]
    fn name_that_is_too_long_is_rejected_with_the_excess() {
        let owner: MailboxAddress = "ada@example.com".parse().unwrap();
        let fits = 256 - "export/ada@example.com/#".len() - HASH_DIGITS;
        let id = Ids::new(&owner, &"ø".repeat(fits)).unwrap().id(Hash([0; 10])).unwrap();
        assert_eq!(id.as_str().chars().count(), 256);
        assert_eq!(Ids::new(&owner, &"ø".repeat(fits + 3)).err(), Some(ExportError::NameTooLong { over: 3 }));
    }

    #[test]
    fn chat_name_has_no_prefix_of_the_phone() {
        for (file_name, name) in [
            ("WhatsApp Chat with Ada.txt", Some("Ada")),
            ("WhatsApp Chat - Ada & Bob.zip", Some("Ada & Bob")),
            ("WhatsApp_Chat_with_Ada_Lovelace.txt", Some("Ada Lovelace")),
            ("WhatsApp-Chat mit Jürgen.txt", Some("Jürgen")),
            ("WhatsApp Chat mit Jürgen.txt", Some("Jürgen")),
            ("Chat de WhatsApp con José.txt", Some("José")),
            ("WhatsApp chat med Søren.txt", Some("Søren")),
            ("Conversa do WhatsApp com João.txt", Some("João")),
            ("Discussion WhatsApp avec Zoé.txt", Some("Zoé")),
            ("Chat WhatsApp con Ugo.txt", Some("Ugo")),
            ("WhatsApp-chat met Saskia.txt", Some("Saskia")),
            ("Team 2026.v2.txt", Some("Team 2026.v2")),
            ("_chat.txt", None),
            ("WhatsApp Chat with .txt", None),
            ("", None),
        ] {
            assert_eq!(chat_name(file_name).as_deref(), name, "{file_name}");
        }
    }
}
