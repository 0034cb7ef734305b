//! The words of the world's languages for the parts of a day, the months and the Japanese eras: Unicode's CLDR, reduced
//! by `cldr/generate.py` to the words that can be in a message's date and time.
//!
//! A word only confirms a meaning that the shape of a line already has, see `DESIGN.md`.

use std::{
    collections::{BTreeMap, HashMap},
    sync::LazyLock,
};

use crate::marks::words;

/// The meaning of a word beside the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Period {
    /// The first half of the day.
    Am,
    /// The second half.
    Pm,
    /// Around this minute of the day: the middle of what a language calls evening, for example.
    Around(u16),
}

impl Period {
    /// Converts an hour of a 12-hour clock to an hour from 0 to 23. An hour above 12 is not changed.
    pub(crate) fn hour(self, hour: u8) -> u8 {
        let (first, second) = (hour % 12, hour % 12 + 12);
        match self {
            _ if hour > 12 => hour,
            Self::Am => first,
            Self::Pm => second,
            Self::Around(middle) => {
                let distance = |hour: u8| {
                    let apart = (i32::from(hour) * 60 + 30 - i32::from(middle)).rem_euclid(24 * 60);
                    apart.min(24 * 60 - apart)
                };
                if distance(second) < distance(first) { second } else { first }
            }
        }
    }
}

struct Table {
    /// By the words without spaces: each language that has them, and their meaning there.
    periods: HashMap<String, Vec<(&'static str, Period)>>,
    months: HashMap<String, Vec<(&'static str, u8)>>,
    /// The year before an era's first year.
    eras: HashMap<String, u32>,
    connectors: HashMap<String, ()>,
}

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    let mut table =
        Table { periods: HashMap::new(), months: HashMap::new(), eras: HashMap::new(), connectors: HashMap::new() };
    let mut spans: BTreeMap<(String, &'static str), Vec<Span>> = BTreeMap::new();
    for line in include_str!("../cldr/words.tsv").lines().filter(|line| !line.starts_with('#')) {
        let mut fields = line.split('\t');
        let (Some(kind), Some(language), Some(value)) = (fields.next(), fields.next(), fields.next()) else { continue };
        for word in fields.map(key).filter(|word| !word.is_empty()) {
            match kind {
                "period" => match value {
                    "am" => table.periods.entry(word).or_default().push((language, Period::Am)),
                    "pm" => table.periods.entry(word).or_default().push((language, Period::Pm)),
                    _ => spans.entry((word, language)).or_default().extend(span(value)),
                },
                "month" => {
                    if let Ok(month) = value.parse() {
                        table.months.entry(word).or_default().push((language, month));
                    }
                }
                "era" => {
                    if let Ok(before) = value.parse() {
                        table.eras.insert(word, before);
                    }
                }
                _ => {
                    table.connectors.insert(word, ());
                }
            }
        }
    }
    for ((word, language), spans) in spans {
        let meanings = table.periods.entry(word).or_default();
        // A word for half of the day has this meaning first, even if the same language also uses it for a part of that
        // half.
        if meanings.iter().all(|(known, _)| *known != language) {
            let middle = |(from, length): Span| Period::Around((from + length / 2) % DAY);
            meanings.extend(merged(spans).into_iter().map(|span| (language, middle(span))));
        }
    }
    table
});

/// A part of a day: its first minute and its length.
type Span = (u16, u16);

const DAY: u16 = 24 * 60;

fn span(value: &str) -> Option<Span> {
    let (from, to) = value.split_once('-')?;
    let (from, to): (u16, u16) = (from.parse().ok()?, to.parse().ok()?);
    Some((from % DAY, (to + DAY - from) % DAY))
}

/// Merges adjacent spans: a language may have the same name for two parts of the day.
fn merged(mut spans: Vec<Span>) -> Vec<Span> {
    spans.sort_unstable();
    spans.dedup();
    let ends_where = |one: &Span, other: &Span| (one.0 + one.1) % DAY == other.0;
    while let Some((one, other)) = (0..spans.len())
        .flat_map(|one| (0..spans.len()).map(move |other| (one, other)))
        .find(|(one, other)| one != other && ends_where(&spans[*one], &spans[*other]))
    {
        spans[one].1 = (spans[one].1 + spans[other].1).min(DAY - 1);
        spans.remove(other);
    }
    spans
}

/// Returns the form in which words are compared: lower case, without dots and spaces.
fn key(text: &str) -> String {
    words(text).concat()
}

/// Returns the possible meanings of these words beside a clock, by language. Empty if no language has them.
pub(crate) fn periods(words: &[String]) -> &'static [(&'static str, Period)] {
    let word = words.concat();
    // A single letter is a connecting word rather than a narrow day period.
    if word.chars().count() == 1 && word.is_ascii() {
        return &[];
    }
    TABLE.periods.get(&word).map_or(&[], Vec::as_slice)
}

/// Returns the possible months of a word, by language.
pub(crate) fn months(word: &str) -> &'static [(&'static str, u8)] {
    TABLE.months.get(&key(word)).map_or(&[], Vec::as_slice)
}

/// Returns the year before the first of the Japanese era with this name.
pub(crate) fn year_before_era(name: &str) -> Option<u32> {
    TABLE.eras.get(&key(name)).copied()
}

/// Returns whether a language puts the word between a date and a time, or after one of them.
pub(crate) fn is_connector(words: &[String]) -> bool {
    words.iter().all(|word| TABLE.connectors.contains_key(word)) || TABLE.connectors.contains_key(&words.concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hours(word: &str, language: &str, hours: [u8; 3]) -> [u8; 3] {
        let found = periods(&words(word)).iter().filter(|(known, _)| *known == language);
        let period = found.map(|(_, period)| *period).next().unwrap_or_else(|| panic!("{word}"));
        hours.map(|hour| period.hour(hour))
    }

    #[test]
    fn hours_follow_the_languages_parts_of_the_day() {
        assert_eq!(hours("AM", "en", [12, 1, 11]), [0, 1, 11]);
        assert_eq!(hours("p.\u{a0}m.", "es", [12, 1, 11]), [12, 13, 23]);
        assert_eq!(hours("nachts", "de", [11, 12, 4]), [23, 0, 4]);
        assert_eq!(hours("mittags", "de", [12, 1, 11]), [12, 13, 11]);
        assert_eq!(hours("in the afternoon", "en", [12, 3, 5]), [12, 15, 17]);
        assert_eq!(hours("ÖS", "tr", [10, 22, 0]), [22, 22, 12]);
        assert_eq!(hours("下午", "zh", [12, 2, 6]), [12, 14, 18]);
    }

    #[test]
    fn months_eras_and_connectors_are_recognized() {
        assert!(months("Oct").contains(&("en", 10)));
        assert!(
            months("listopad").iter().any(|(_, month)| *month == 11)
                && months("listopada").iter().any(|(_, m)| *m == 10)
        );
        assert_eq!(
            (year_before_era("R"), year_before_era("令和"), year_before_era("X")),
            (Some(2018), Some(2018), None)
        );
        assert!(is_connector(&words("klo")) && !is_connector(&words("hello")));
    }
}
