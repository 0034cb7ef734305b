//! Infers the hours of a 12-hour clock: the meaning of the words beside it, over the whole file.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::civil::Date;

use crate::cldr::{self, Period};

/// A time at the beginning of a line, and its day.
#[derive(Debug, Clone)]
pub(crate) struct TimeReading {
    /// The words of the day period. Empty on a 24-hour clock.
    pub(crate) words: Vec<String>,
    pub(crate) hour: u8,
    pub(crate) minute: u8,
    /// `None` if the date is invalid.
    pub(crate) day: Option<Date>,
}

/// The meanings of the words of a file.
#[derive(Debug, Clone, Default)]
pub(crate) struct Clock {
    periods: HashMap<Vec<String>, Period>,
}

/// Maximum number of unknown words. A language has at max_words ten.
const MAX_UNKNOWN: usize = 12;

impl Clock {
    /// Returns the hour from 0 to 23. `None` for words without a meaning in this file.
    pub(crate) fn hour(&self, words: &[String], hour: u8) -> Option<u8> {
        if words.is_empty() {
            return Some(hour);
        }
        self.periods.get(words).map(|period| period.hour(hour))
    }

    /// Infers the meaning of each file's words.
    ///
    /// 1. The languages that have max_words of the words; meanings on which they agree are settled.
    /// 2. If they differ, and for words that no language has: the meaning with which the messages of a day follow each
    ///    other, and no two words mean the same hour.
    ///
    /// # Errors
    /// The words that may mean either half of the day.
    pub(crate) fn infer(readings: &[TimeReading]) -> Result<Self, Vec<String>> {
        let words: BTreeSet<&Vec<String>> =
            readings.iter().map(|reading| &reading.words).filter(|words| !words.is_empty()).collect();
        if words.is_empty() {
            return Ok(Self::default());
        }
        let mut hours: BTreeMap<&Vec<String>, BTreeSet<u8>> = BTreeMap::new();
        for reading in readings {
            hours.entry(&reading.words).or_default().insert(reading.hour);
        }
        let candidates = possible_meanings(&words, &hours);
        let unknown = candidates.iter().filter(|(_, periods)| periods.len() > 1).count();
        if unknown > MAX_UNKNOWN {
            return Err(words
                .iter()
                .find(|words| candidates[*words].len() > 1)
                .map(|words| (*words).clone())
                .unwrap_or_default());
        }
        let sequence = Sequence::of(readings);
        sequence.choose_meanings(&candidates, &hours)
    }
}

/// Returns the index of the first reading after which the time goes back, if the file has a 12-hour clock without day
/// periods: no words, neither the hour 0 nor an hour above 12, and times that go back repeatedly.
pub(crate) fn first_step_without_day_periods(readings: &[TimeReading]) -> Option<usize> {
    const MIN_STEPS: usize = 3;
    if readings.iter().any(|reading| !reading.words.is_empty() || reading.hour == 0 || reading.hour > 12) {
        return None;
    }
    let back = |pair: &&[TimeReading]| {
        let time = |reading: &TimeReading| (reading.hour, reading.minute);
        pair[0].day.is_some() && pair[0].day == pair[1].day && time(&pair[1]) < time(&pair[0])
    };
    let steps = readings.windows(2).filter(|pair| back(pair)).count();
    let first = readings.windows(2).position(|pair| back(&pair));
    first.filter(|_| steps >= MIN_STEPS && steps * 10 >= readings.len())
}

type Candidates<'a> = BTreeMap<&'a Vec<String>, Vec<Period>>;

/// Finds the possible meanings of each word. One meaning if the languages that have max_words of the words agree on its
/// hours.
fn possible_meanings<'a>(
    words: &BTreeSet<&'a Vec<String>>,
    hours: &BTreeMap<&Vec<String>, BTreeSet<u8>>,
) -> Candidates<'a> {
    let mut by_language: BTreeMap<&str, usize> = BTreeMap::new();
    for word in words {
        let languages: BTreeSet<&str> = cldr::periods(word).iter().map(|(language, _)| *language).collect();
        for language in languages {
            *by_language.entry(language).or_default() += 1;
        }
    }
    let max_words = by_language.values().max().copied().unwrap_or_default();
    words
        .iter()
        .map(|word| {
            let known = cldr::periods(word);
            let best = |language: &str| by_language.get(language) == Some(&max_words);
            let mut meanings: Vec<Period> =
                known.iter().filter(|(language, _)| best(language)).map(|(_, period)| *period).collect();
            if meanings.is_empty() {
                meanings = known.iter().map(|(_, period)| *period).collect();
            }
            if meanings.is_empty() {
                // No language has the word. If there are two words, they are the halves of the day; with more, any hour
                // is possible.
                meanings = if words.len() <= 2 {
                    vec![Period::Am, Period::Pm]
                } else {
                    (0..24).map(|hour| Period::Around(hour * 60)).collect()
                };
            }
            (*word, without_equal_hours(meanings, &hours[word]))
        })
        .collect()
}

/// Returns the meanings that differ for the hours beside the words.
fn without_equal_hours(meanings: Vec<Period>, hours: &BTreeSet<u8>) -> Vec<Period> {
    let mut seen = BTreeSet::new();
    meanings
        .into_iter()
        .filter(|period| seen.insert(hours.iter().map(|hour| period.hour(*hour)).collect::<Vec<_>>()))
        .collect()
}

/// Counts how often one reading follows another on the same day, by word, hour and whether the minutes go back.
struct Sequence<'a> {
    steps: HashMap<(WordsAndHour<'a>, WordsAndHour<'a>, bool), usize>,
}

/// The words and the hour of a reading.
type WordsAndHour<'a> = (&'a [String], u8);

impl<'a> Sequence<'a> {
    fn of(readings: &'a [TimeReading]) -> Self {
        let mut steps = HashMap::new();
        for pair in readings.windows(2) {
            let [earlier, later] = pair else { continue };
            if earlier.day.is_some() && earlier.day == later.day {
                let pair = ((earlier.words.as_slice(), earlier.hour), (later.words.as_slice(), later.hour));
                *steps.entry((pair.0, pair.1, later.minute < earlier.minute)).or_default() += 1;
            }
        }
        Self { steps }
    }

    /// Counts the messages that go back in time, and of pairs of words that mean the same hour.
    fn faults(&self, meaning: &HashMap<Vec<String>, Period>, hours: &BTreeMap<&Vec<String>, BTreeSet<u8>>) -> usize {
        let hour = |(words, hour): WordsAndHour<'_>| meaning.get(words).map_or(hour, |period| period.hour(hour));
        let back = self.steps.iter().filter(|((earlier, later, minutes), _)| {
            let (before, after) = (hour(*earlier), hour(*later));
            after < before || (after == before && *minutes)
        });
        let back: usize = back.map(|(_, count)| count).sum();
        let mut taken: HashMap<u8, usize> = HashMap::new();
        for (words, hours) in hours.iter().filter(|(words, _)| !words.is_empty()) {
            for shown in hours.iter().map(|shown| hour((words, *shown))).collect::<BTreeSet<_>>() {
                *taken.entry(shown).or_default() += 1;
            }
        }
        back + taken.values().map(|words| words - 1).sum::<usize>()
    }

    fn choose_meanings(
        &self,
        candidates: &Candidates<'_>,
        hours: &BTreeMap<&Vec<String>, BTreeSet<u8>>,
    ) -> Result<Clock, Vec<String>> {
        let undecided: Vec<(&Vec<String>, &[Period])> = candidates
            .iter()
            .filter(|(_, periods)| periods.len() > 1)
            .map(|(words, periods)| (*words, periods.as_slice()))
            .collect();
        let mut meaning: HashMap<Vec<String>, Period> =
            candidates.iter().filter_map(|(words, periods)| Some(((*words).clone(), *periods.first()?))).collect();
        if undecided.is_empty() {
            return Ok(Clock { periods: meaning });
        }
        let combinations = undecided.iter().map(|(_, periods)| periods.len()).try_fold(1_usize, usize::checked_mul);
        if combinations.is_some_and(|count| count <= 4096) {
            self.try_all_combinations(&undecided, &mut meaning, hours)?;
        } else {
            let best = self.improve_stepwise(&undecided, &mut meaning, hours);
            self.check_pairs(&undecided, &meaning, hours, best)?;
        }
        Ok(Clock { periods: meaning })
    }

    /// Tries all combinations of meanings, and leaves the best in `meaning`. An error if two are equally good.
    fn try_all_combinations(
        &self,
        undecided: &[(&Vec<String>, &[Period])],
        meaning: &mut HashMap<Vec<String>, Period>,
        hours: &BTreeMap<&Vec<String>, BTreeSet<u8>>,
    ) -> Result<(), Vec<String>> {
        let mut places = vec![0; undecided.len()];
        let (mut best, mut chosen) = (usize::MAX, Vec::new());
        loop {
            for ((words, periods), place) in undecided.iter().zip(&places) {
                meaning.insert((*words).clone(), periods[*place]);
            }
            let faults = self.faults(meaning, hours);
            if faults < best {
                best = faults;
                chosen.clear();
            }
            if faults == best && chosen.len() < 2 {
                chosen.push(places.clone());
            }
            let Some(next) = (0..places.len()).find(|at| places[*at] + 1 < undecided[*at].1.len()) else { break };
            places[next] += 1;
            places[..next].fill(0);
        }
        if let [one, other] = chosen.as_slice() {
            let differs = one.iter().zip(other).position(|(one, other)| one != other).unwrap_or_default();
            return Err(undecided[differs].0.clone());
        }
        for ((words, periods), place) in undecided.iter().zip(chosen.iter().flatten()) {
            meaning.insert((*words).clone(), periods[*place]);
        }
        Ok(())
    }

    /// Checks that no other meanings of two words are equally good.
    fn check_pairs(
        &self,
        undecided: &[(&Vec<String>, &[Period])],
        meaning: &HashMap<Vec<String>, Period>,
        hours: &BTreeMap<&Vec<String>, BTreeSet<u8>>,
        best: usize,
    ) -> Result<(), Vec<String>> {
        let shown = |words: &Vec<String>, period: Period| {
            hours[words].iter().map(|hour| period.hour(*hour)).collect::<Vec<_>>()
        };
        let mut tried = meaning.clone();
        for (at, (one, one_periods)) in undecided.iter().enumerate() {
            for (other, other_periods) in &undecided[at..] {
                for first in *one_periods {
                    for second in *other_periods {
                        tried.insert((*one).clone(), *first);
                        tried.insert((*other).clone(), *second);
                        let same = [one, other]
                            .iter()
                            .all(|words| shown(words, tried[**words]) == shown(words, meaning[**words]));
                        if !same && self.faults(&tried, hours) <= best {
                            return Err((*one).clone());
                        }
                    }
                }
                tried.insert((*other).clone(), meaning[*other]);
            }
            tried.insert((*one).clone(), meaning[*one]);
        }
        Ok(())
    }

    /// Improves one word after the other until no improvement is left.
    fn improve_stepwise(
        &self,
        undecided: &[(&Vec<String>, &[Period])],
        meaning: &mut HashMap<Vec<String>, Period>,
        hours: &BTreeMap<&Vec<String>, BTreeSet<u8>>,
    ) -> usize {
        let mut best = self.faults(meaning, hours);
        loop {
            let before = best;
            for (words, periods) in undecided {
                for period in *periods {
                    let old = meaning.insert((*words).clone(), *period);
                    let faults = self.faults(meaning, hours);
                    if faults < best {
                        best = faults;
                    } else if let Some(old) = old {
                        meaning.insert((*words).clone(), old);
                    }
                }
            }
            if best == before {
                return best;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads lines of the form `day word hour:minute`, with `-` for no word.
    fn read(lines: &[&str]) -> Vec<TimeReading> {
        let reading = |line: &&str| {
            let parts: Vec<&str> = line.split([' ', ':']).collect();
            TimeReading {
                words: if parts[1] == "-" { Vec::new() } else { vec![parts[1].to_owned()] },
                hour: parts[2].parse().unwrap(),
                minute: parts[3].parse().unwrap(),
                day: Some(jiff::civil::date(2024, 1, parts[0].parse().unwrap())),
            }
        };
        lines.iter().map(reading).collect()
    }

    fn hours(lines: &[&str]) -> Option<Vec<u8>> {
        let readings = read(lines);
        let clock = Clock::infer(&readings).ok()?;
        readings.iter().map(|reading| clock.hour(&reading.words, reading.hour)).collect()
    }

    #[test]
    fn invented_words_are_settled_by_the_order_of_messages() {
        assert_eq!(
            hours(&["1 zork 9:15", "1 zork 11:00", "1 blip 3:16", "1 blip 9:17", "2 zork 7:19"]),
            Some(vec![9, 11, 15, 21, 7])
        );
        // A word that CLDR has leaves only one half for the other.
        assert_eq!(hours(&["1 am 9:15", "1 zork 9:16"]), Some(vec![9, 21]));
    }

    #[test]
    fn words_that_may_mean_either_half_are_rejected() {
        assert_eq!(hours(&["1 zork 9:15"]), None);
        assert_eq!(hours(&["1 zork 9:15", "2 zork 10:15"]), None);
    }

    #[test]
    fn clock_of_24_hours_has_no_words() {
        assert_eq!(hours(&["1 - 9:15", "1 - 23:15"]), Some(vec![9, 23]));
    }
}
