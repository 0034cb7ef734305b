//! What is in the dead-letter queue: counted, listed, shown. All of it stays there.

use std::{collections::BTreeMap, io::Write};

use aws::s3::Store;
use jiff::Timestamp;
use ledger::StoredOutcome;
use serde_json::{Value, json};

use super::{
    letter::{Filter, Letter},
    queue::{Letters, Walk},
};
use crate::text::{self, shown, shown_up_to, table_of};
use ledger::entries::AccountError;

/// Letters by stage and reason.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Counts(BTreeMap<(&'static str, &'static str), u64>);

impl Counts {
    pub(super) fn add(&mut self, letter: &Letter) {
        let stage = letter.stage.map_or("unknown", model::Stage::as_str);
        *self.0.entry((letter.why.as_str(), stage)).or_default() += 1;
    }

    /// All of them.
    pub fn total(&self) -> u64 {
        self.0.values().sum()
    }

    /// By reason alone.
    pub fn by_reason(&self) -> BTreeMap<&'static str, u64> {
        let mut reasons = BTreeMap::new();
        for ((reason, _), count) in &self.0 {
            *reasons.entry(*reason).or_default() += count;
        }
        reasons
    }

    pub(super) fn table(&self) -> String {
        let mut table = table_of(&["reason", "stage", "letters"]);
        for ((reason, stage), count) in &self.0 {
            table.add_row([*reason, *stage, &count.to_string()]);
        }
        table.to_string()
    }
}

/// What a walk came to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Walked {
    /// The letters that were meant.
    pub counts: Counts,
    /// When the oldest of them failed.
    pub oldest: Option<Timestamp>,
    /// How many letters were seen, meant or not.
    pub seen: u64,
    /// Whether there are more letters than a walk holds.
    pub cut: bool,
}

/// Gives every letter that the filter takes to `each`, and lets all of them be seen again, whatever happens.
///
/// # Errors
/// When the queue does not answer, or what `each` returns.
pub async fn each_letter(
    mut walk: Walk<'_>,
    filter: &Filter,
    mut each: impl FnMut(Letter) -> anyhow::Result<()>,
) -> anyhow::Result<Walked> {
    let mut walked = Walked::default();
    let result = async {
        let now = Timestamp::now();
        loop {
            let page = walk.next().await?;
            if page.is_empty() {
                return anyhow::Ok(());
            }
            walked.seen += page.len() as u64;
            for letter in page.into_iter().filter(|letter| filter.takes(letter, now)) {
                walked.counts.add(&letter);
                walked.oldest = [walked.oldest, letter.failed_at].into_iter().flatten().min();
                each(letter)?;
            }
        }
    }
    .await;
    walked.cut = walk.is_cut();
    walk.release().await?;
    result.map(|()| walked)
}

/// How a list is written.
#[derive(Debug, Clone, Copy)]
pub enum Form {
    /// Tables, with at most so many letters.
    Tables(usize),
    /// One JSON object a letter, a line.
    Json,
}

/// Writes the letters that a filter takes.
///
/// # Errors
/// When the queue does not answer or the output is closed.
pub async fn list(walk: Walk<'_>, filter: &Filter, form: Form, out: &mut impl Write) -> anyhow::Result<Walked> {
    let mut table = table_of(&["item", "stage", "reason", "failed at", "detail"]);
    let walked = each_letter(walk, filter, |letter| {
        match form {
            Form::Json => writeln!(out, "{}", text::json(&letter.to_json())?)?,
            Form::Tables(most) if table.row_count() < most => {
                table.add_row(row(&letter));
            }
            Form::Tables(_) => {}
        }
        Ok(())
    })
    .await?;
    if let Form::Tables(_) = form {
        let total = walked.counts.total();
        if total == 0 {
            writeln!(out, "No dead letters.")?;
            return Ok(walked);
        }
        writeln!(out, "{}\n\n{table}", walked.counts.table())?;
        let rest = total.saturating_sub(table.row_count() as u64);
        if rest > 0 {
            writeln!(out, "… and {rest} more: --limit, or --json for all")?;
        }
    }
    Ok(walked)
}

fn row(letter: &Letter) -> [String; 5] {
    let item = letter.item.as_ref().map_or_else(|| format!("message {}", letter.message_id), |item| item.to_string());
    let failed_at = letter.failed_at.map_or_else(String::new, |at| format!("{at:.0}"));
    let stage = letter.stage.map_or("unknown", model::Stage::as_str);
    [shown(&item), stage.to_owned(), letter.why.to_string(), failed_at, shown(&letter.detail)]
}

/// The outcome of a letter's item: who has a copy and who does not.
///
/// # Errors
/// When the bucket does not answer or the outcome is not readable.
pub async fn outcome(store: &Store, letter: &Letter) -> Result<Option<StoredOutcome>, AccountError> {
    let Some(keys) = letter.item_keys() else { return Ok(None) };
    Ok(ledger::read_outcome(store, &keys).await?)
}

/// Writes all that is known of an item's letters; tells how many there are.
///
/// # Errors
/// When the queue or the bucket does not answer, or the output is closed.
pub async fn show(
    (letters, store): (&Letters, &Store),
    (hold, item): (std::time::Duration, String),
    as_json: bool,
    out: &mut impl Write,
) -> anyhow::Result<usize> {
    let mut found = Vec::new();
    let of_item = Filter { item: Some(item), ..Filter::default() };
    each_letter(letters.walk(hold), &of_item, |letter| {
        found.push(letter);
        Ok(())
    })
    .await?;
    for letter in &found {
        let stored = outcome(store, letter).await?;
        let mut told = letter.to_json();
        let key = stored.as_ref().map(|stored| stored.key.clone());
        told["outcome"] = json!(key.or_else(|| letter.item_keys().map(|keys| keys.outcome)));
        let outcome = stored.map(|stored| stored.outcome);
        told["filed"] = addresses(outcome.iter().flat_map(|outcome| &outcome.mailboxes).map(|filed| &filed.address));
        told["failed"] = addresses(outcome.iter().flat_map(|outcome| &outcome.failed).map(|failed| &failed.address));
        if as_json {
            writeln!(out, "{}", text::json(&told)?)?;
            continue;
        }
        let mut table = table_of(&["", "letter"]);
        for (name, value) in told.as_object().into_iter().flatten() {
            let value = match value {
                Value::Null => continue,
                Value::String(text) => shown_up_to(text, 4_000),
                Value::Array(list) => {
                    list.iter().filter_map(Value::as_str).map(|line| shown(line) + "\n").collect::<String>()
                }
                other => other.to_string(),
            };
            table.add_row([name, value.trim_end()]);
        }
        writeln!(out, "{table}")?;
    }
    Ok(found.len())
}

fn addresses<'a>(addresses: impl Iterator<Item = &'a model::MailboxAddress>) -> Value {
    Value::Array(addresses.map(|address| json!(address)).collect())
}
