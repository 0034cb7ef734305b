//! Counts, lists and shows dead letters. All of them stay in the queue.

use std::{collections::BTreeMap, io::Write};

use aws::s3::Store;
use jiff::Timestamp;
use ledger::StoredOutcome;
use model::Outcome;
use serde_json::{Value, json};

use super::{
    message::{DeadLetterMessage, Filter},
    queue::{DeadLetterQueue, Scan},
};
use crate::text::{self, shown, shown_up_to, table_of};
use ledger::entries::LedgerReadError;

/// Number of dead letters by reason and stage.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Counts(BTreeMap<(&'static str, &'static str), u64>);

impl Counts {
    pub(super) fn add(&mut self, dead_letter: &DeadLetterMessage) {
        let stage = dead_letter.stage.map_or("unknown", model::Stage::as_str);
        *self.0.entry((dead_letter.reason.as_str(), stage)).or_default() += 1;
    }

    /// Returns the number of all dead letters.
    pub fn total(&self) -> u64 {
        self.0.values().sum()
    }

    /// Returns the number of dead letters by reason.
    pub fn by_reason(&self) -> BTreeMap<&'static str, u64> {
        let mut reasons = BTreeMap::new();
        for ((reason, _), count) in &self.0 {
            *reasons.entry(*reason).or_default() += count;
        }
        reasons
    }

    pub(super) fn table(&self) -> String {
        let mut table = table_of(&["reason", "stage", "dead letters"]);
        for ((reason, stage), count) in &self.0 {
            table.add_row([*reason, *stage, &count.to_string()]);
        }
        table.to_string()
    }
}

/// Result of a scan.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ScanSummary {
    /// Counts of the selected dead letters.
    pub counts: Counts,
    /// Time of the oldest failure among them.
    pub oldest: Option<Timestamp>,
    /// Number of received messages, selected or not.
    pub seen: u64,
    /// `true` if the queue has more messages than a scan reads.
    pub truncated: bool,
    /// `true` if the queue has messages that the scan did not receive: another consumer has them in flight, or SQS counts
    /// more than it returned.
    pub unread: bool,
}

/// Calls `each` for every selected dead letter, and releases all messages afterwards, also after an error.
///
/// # Errors
/// The queue cannot be read, or when `each` fails.
pub async fn for_each_dead_letter(
    mut scan: Scan<'_>,
    filter: &Filter,
    mut each: impl FnMut(DeadLetterMessage) -> anyhow::Result<()>,
) -> anyhow::Result<ScanSummary> {
    let mut summary = ScanSummary::default();
    let result = async {
        let now = Timestamp::now();
        loop {
            let page = scan.next().await?;
            if page.is_empty() {
                return anyhow::Ok(());
            }
            summary.seen += page.len() as u64;
            for dead_letter in page.into_iter().filter(|dead_letter| filter.selects(dead_letter, now)) {
                summary.counts.add(&dead_letter);
                summary.oldest = [summary.oldest, dead_letter.failed_at].into_iter().flatten().min();
                each(dead_letter)?;
            }
        }
    }
    .await;
    summary.truncated = scan.is_truncated();
    let complete = if result.is_ok() && !summary.truncated { scan.is_complete().await } else { Ok(true) };
    scan.release().await?;
    result?;
    summary.unread = !complete?;
    Ok(summary)
}

/// Output format of a list.
#[derive(Debug, Clone, Copy)]
pub enum Form {
    /// Tables with at most this many dead letters.
    Tables(usize),
    /// One JSON object per line.
    Json,
}

/// Writes the selected dead letters.
///
/// # Errors
/// The queue cannot be read or the output is closed.
pub async fn list(scan: Scan<'_>, filter: &Filter, form: Form, out: &mut impl Write) -> anyhow::Result<ScanSummary> {
    let mut table = table_of(&["item, key", "stage", "reason", "failed at", "detail"]);
    let summary = for_each_dead_letter(scan, filter, |dead_letter| {
        match form {
            Form::Json => writeln!(out, "{}", text::json(&dead_letter.to_json())?)?,
            Form::Tables(max) if table.row_count() < max => {
                table.add_row(row(&dead_letter));
            }
            Form::Tables(_) => {}
        }
        Ok(())
    })
    .await?;
    if let Form::Tables(_) = form {
        let total = summary.counts.total();
        if total == 0 {
            writeln!(out, "No dead letters.")?;
            return Ok(summary);
        }
        writeln!(out, "{}\n\n{table}", summary.counts.table())?;
        let rest = total.saturating_sub(table.row_count() as u64);
        if rest > 0 {
            writeln!(out, "… and {rest} more: raise --limit, or use --json for all")?;
        }
    }
    Ok(summary)
}

/// Names the item by its key, as logs do: an id may contain names and numbers, and `show` prints it.
fn row(dead_letter: &DeadLetterMessage) -> [String; 5] {
    let item = dead_letter
        .item
        .as_ref()
        .map_or_else(|| format!("message {}", dead_letter.message_id), |item| item.key().to_string());
    let failed_at = dead_letter.failed_at.map_or_else(String::new, |at| format!("{at:.0}"));
    let stage = dead_letter.stage.map_or("unknown", model::Stage::as_str);
    [shown(&item), stage.to_owned(), dead_letter.reason.to_string(), failed_at, shown(&dead_letter.detail)]
}

/// Reads the outcome of a dead letter's item: the mailboxes that have a copy and those that lack one.
///
/// # Errors
/// The bucket or the outcome cannot be read.
pub async fn outcome(store: &Store, dead_letter: &DeadLetterMessage) -> Result<Option<StoredOutcome>, LedgerReadError> {
    let Some(keys) = dead_letter.item_keys() else { return Ok(None) };
    Ok(ledger::read_outcome(store, &keys).await?)
}

/// Writes the details of an item's dead letters. Returns their number, and whether the queue has messages that were not
/// read.
///
/// # Errors
/// The queue or the bucket cannot be read, or the output is closed.
pub async fn show(
    (queue, store): (&DeadLetterQueue, &Store),
    (hold, item): (std::time::Duration, String),
    as_json: bool,
    out: &mut impl Write,
) -> anyhow::Result<(usize, bool)> {
    let mut found = Vec::new();
    let of_item = Filter { item: Some(item), ..Filter::default() };
    let summary = for_each_dead_letter(queue.scan(hold), &of_item, |dead_letter| {
        found.push(dead_letter);
        Ok(())
    })
    .await?;
    for dead_letter in &found {
        let stored = outcome(store, dead_letter).await?;
        let mut details = dead_letter.to_json();
        let key = stored.as_ref().map(|stored| stored.key.clone());
        details["outcome"] = json!(key.or_else(|| dead_letter.item_keys().map(|keys| keys.outcome)));
        let outcome = stored.map(|stored| stored.outcome);
        details["filed"] = addresses(outcome.iter().flat_map(|outcome| &outcome.mailboxes).map(|filed| &filed.address));
        details["failed"] = addresses(outcome.iter().flat_map(|outcome| &outcome.failed).map(|failed| &failed.address));
        if let Some(outcome) = &outcome {
            add_missing_participants(&mut details, outcome);
        }
        if as_json {
            writeln!(out, "{}", text::json(&details)?)?;
            continue;
        }
        let mut table = table_of(&["", "dead letter"]);
        for (name, value) in details.as_object().into_iter().flatten() {
            let value = match value {
                Value::Null => continue,
                missing if name == "missing_participants" => {
                    participants(missing).map(|line| line + "\n").collect::<String>()
                }
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
    Ok((found.len(), summary.unread || summary.truncated))
}

/// Adds the participants whose mailbox was not found, if there is one.
pub(super) fn add_missing_participants(details: &mut Value, outcome: &Outcome) {
    if !outcome.missing.is_empty() {
        details["missing_participants"] = json!(outcome.missing);
    }
}

/// Returns a line for each participant without a mailbox, counted from 1: the sender.
pub(super) fn participants(missing: &Value) -> impl Iterator<Item = String> {
    let line = |missing: &Value| {
        let place = missing["participant"].as_u64()?.saturating_add(1);
        Some(format!("participant {place} ({})", shown(missing["reason"].as_str()?)))
    };
    missing.as_array().into_iter().flatten().filter_map(line)
}

fn addresses<'a>(addresses: impl Iterator<Item = &'a model::MailboxAddress>) -> Value {
    Value::Array(addresses.map(|address| json!(address)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn row_names_the_item_by_its_key() {
        let item: model::ItemId = "wa:4520123456:447700900123:3EB0".parse().unwrap();
        let dead_letter = DeadLetterMessage {
            message_id: "m".to_owned(),
            receipt: String::new(),
            body: String::new(),
            attributes: std::collections::HashMap::new(),
            stage: None,
            reason: super::super::message::DeadLetterReason::RetriesExhausted,
            detail: String::new(),
            item: Some(item.clone()),
            run: None,
            failed_at: None,
            sent: None,
        };
        let row = row(&dead_letter);
        assert_eq!(row[0], item.key().to_string());
        assert!(!row.concat().contains("4520123456"));
    }
}
