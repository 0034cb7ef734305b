//! What no log may say: every name, number, address, text and secret that a pipeline was given.

use std::{
    collections::BTreeSet,
    sync::{Mutex, MutexGuard, PoisonError},
};

use aho_corasick::AhoCorasick;
use serde_json::Value;

/// The members of an item that say who somebody is or what they said. Its id may name somebody, too.
const THEIRS: [&str; 15] = [
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

/// What headers are made of that carry secrets.
const CREDENTIALS: [&str; 3] = ["Basic ", "Bearer ", "Authorization"];

/// Shorter words are found by chance.
const SHORTEST: usize = 5;

/// Of a longer one the beginning is enough: a log may have cut it off, too.
const LONGEST: usize = 100;

/// A cell of a user map with so many digits is a number.
const NUMBER: usize = 7;

/// The words that were given so far.
pub(crate) struct Confidential(Mutex<BTreeSet<String>>);

impl Confidential {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(CREDENTIALS.map(str::to_owned).into()))
    }

    /// A word as it is, as JSON writes it within a string, and a number without its sign and spaces.
    pub(crate) fn word(&self, word: &str) {
        let word: String = word.chars().take(LONGEST).collect();
        if word.chars().filter(|char| char.is_alphanumeric()).count() < SHORTEST {
            return;
        }
        let mut words = self.words();
        words.insert(Value::from(word.as_str()).to_string().trim_matches('"').to_owned());
        if is_number(&word) {
            words.insert(word.chars().filter(char::is_ascii_digit).collect());
        }
        words.insert(word);
    }

    /// What an item says, wherever in it.
    pub(crate) fn item(&self, item: &Value) {
        self.gather("", item);
    }

    fn gather(&self, name: &str, value: &Value) {
        match value {
            Value::Object(members) => members.iter().for_each(|(name, value)| self.gather(name, value)),
            Value::Array(list) => list.iter().for_each(|value| self.gather(name, value)),
            Value::String(text) if THEIRS.contains(&name) => self.word(text),
            Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// A user map's numbers and addresses.
    pub(crate) fn user_map(&self, csv: &str) {
        let theirs = |cell: &&str| cell.contains('@') || is_number(cell);
        csv.split([',', ';', '\n']).map(str::trim).filter(theirs).for_each(|cell| self.word(cell));
    }

    /// What stands behind the senders in a chat's export.
    pub(crate) fn chat(&self, text: &str) {
        text.lines().filter_map(|line| line.rsplit_once(": ")).for_each(|(_, said)| self.word(said));
    }

    /// A word that stands in one of the texts and should not, if there is one.
    pub(crate) fn betrayed_by<'a>(&self, texts: impl IntoIterator<Item = &'a str>) -> Option<String> {
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
    let of_a_number = |char: char| char.is_ascii_digit() || matches!(char, '+' | ' ' | '-' | '(' | ')');
    word.chars().all(of_a_number) && word.chars().filter(char::is_ascii_digit).count() >= NUMBER
}
