//! Searches logs for personal data and secrets: every name, number, address, text and secret given to a pipeline.

use std::{
    collections::BTreeSet,
    sync::{Mutex, MutexGuard, PoisonError},
};

use aho_corasick::AhoCorasick;
use serde_json::Value;

/// Members of an item that identify a person or contain what was written. The id may contain a name, too.
const PERSONAL_MEMBERS: [&str; 15] = [
    "id",
    "messageId",
    "name",
    "phone",
    "whatsappId",
    "email",
    "text",
    "question",
    "options",
    "votes",
    "address",
    "vcard",
    "oldValue",
    "newValue",
    "emoji",
];

/// Parts of headers that contain secrets.
const CREDENTIALS: [&str; 3] = ["Basic ", "Bearer ", "Authorization"];

/// Shorter words occur by chance.
const MIN_WORD_CHARS: usize = 5;

/// Longer words are cut to this length, because a log may cut them, too.
const MAX_WORD_CHARS: usize = 100;

/// A cell of a user map with this many digits is a phone number.
const MIN_NUMBER_DIGITS: usize = 7;

/// The words given so far.
pub(crate) struct Confidential(Mutex<BTreeSet<String>>);

impl Confidential {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(CREDENTIALS.map(str::to_owned).into()))
    }

    /// Adds a word as it is and as JSON escapes it; a phone number also without sign and spaces.
    pub(crate) fn word(&self, word: &str) {
        let word: String = word.chars().take(MAX_WORD_CHARS).collect();
        if word.chars().filter(|char| char.is_alphanumeric()).count() < MIN_WORD_CHARS {
            return;
        }
        let mut words = self.words();
        words.insert(Value::from(word.as_str()).to_string().trim_matches('"').to_owned());
        if is_number(&word) {
            words.insert(word.chars().filter(char::is_ascii_digit).collect());
        }
        words.insert(word);
    }

    /// Adds the content of an item.
    pub(crate) fn item(&self, item: &Value) {
        self.gather("", item);
    }

    fn gather(&self, name: &str, value: &Value) {
        match value {
            Value::Object(members) => members.iter().for_each(|(name, value)| self.gather(name, value)),
            Value::Array(list) => list.iter().for_each(|value| self.gather(name, value)),
            Value::String(text) if PERSONAL_MEMBERS.contains(&name) => self.word(text),
            Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// Adds the phone numbers and addresses of a user map.
    pub(crate) fn user_map(&self, csv: &str) {
        let is_personal = |cell: &&str| cell.contains('@') || is_number(cell);
        csv.split([',', ';', '\n']).map(str::trim).filter(is_personal).for_each(|cell| self.word(cell));
    }

    /// Adds the texts of an exported chat.
    pub(crate) fn chat(&self, text: &str) {
        text.lines().filter_map(|line| line.rsplit_once(": ")).for_each(|(_, text)| self.word(text));
    }

    /// Returns a confidential word that one of the texts contains.
    pub(crate) fn find_leak<'a>(&self, texts: impl IntoIterator<Item = &'a str>) -> Option<String> {
        let words = self.words();
        let search = AhoCorasick::new(words.iter()).expect("words are short and not too many");
        let found = texts.into_iter().find_map(|text| search.find(text))?;
        words.iter().nth(found.pattern().as_usize()).cloned()
    }

    pub(crate) fn len(&self) -> usize {
        self.words().len()
    }

    fn words(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_number(word: &str) -> bool {
    let is_number_char = |char: char| char.is_ascii_digit() || matches!(char, '+' | ' ' | '-' | '(' | ')');
    word.chars().all(is_number_char) && word.chars().filter(char::is_ascii_digit).count() >= MIN_NUMBER_DIGITS
}
