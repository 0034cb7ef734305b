//! What a run came to, in the words of the connector's own log: read from the manifest and the outcomes, which is what
//! a compliance officer would read, and not from what the functions said while they worked.

use std::collections::BTreeMap;

use futures::{StreamExt, TryStreamExt, stream};
use item::{FilingResult, Listed, Reason, RunId, Stage};
use jiff::Timestamp;
use store::Store;

use crate::accounts::{self, AT_ONCE, Account, AccountError, account};

/// The counters.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tally {
    /// Items that the source listed.
    pub available: u64,
    /// Copies that they make: one a mailbox, and one for an item that came to no mailbox.
    pub after_fan_out: u64,
    /// Copies that were filed in this run.
    pub imported: u64,
    /// Copies that were there already.
    pub skipped: u64,
    /// Copies that could not be filed.
    pub failed: u64,
    /// Items that are still on a queue.
    pub in_flight: u64,
    /// Each item that failed.
    pub failures: Vec<FailedItem>,
    /// Copies filed, by mailbox.
    pub mailboxes: BTreeMap<String, u64>,
}

/// An item that was not filed everywhere it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedItem {
    /// Its id, as the source wrote it.
    pub item: String,
    /// Who gave up.
    pub stage: Stage,
    /// Why.
    pub reason: Reason,
}

impl Tally {
    /// Tallies a run that began at `since`: what was filed earlier counts as skipped.
    ///
    /// # Errors
    /// [`AccountError`].
    pub async fn of(store: &Store, run: &RunId, since: Timestamp) -> Result<Self, AccountError> {
        let mut tally = Self::default();
        for page in 1.. {
            let Some(listed) = accounts::page(store, run, page).await? else { break };
            let accounts = stream::iter(&listed).map(|listed| account(store, run, listed)).buffered(AT_ONCE);
            let accounts: Vec<_> = accounts.try_collect().await?;
            for (listed, account) in listed.iter().zip(accounts) {
                tally.add(listed, account, since);
            }
        }
        Ok(tally)
    }

    fn add(&mut self, listed: &Listed, account: Account, since: Timestamp) {
        self.available += 1;
        let item = listed.item.as_str().map_or_else(|| listed.item.to_string(), str::to_owned);
        let outcome = match account {
            Account::Outcome(outcome) => *outcome,
            Account::Nothing => {
                self.in_flight += 1;
                return;
            }
            Account::NoTask => {
                self.after_fan_out += 1;
                self.failed += 1;
                self.failures.push(FailedItem { item, stage: Stage::Convert, reason: Reason::TaskMalformed });
                return;
            }
        };
        for filed in &outcome.mailboxes {
            *self.mailboxes.entry(filed.address.to_string()).or_default() += 1;
            if filed.result == FilingResult::Imported && filed.at >= since {
                self.imported += 1;
            } else {
                self.skipped += 1;
            }
        }
        self.after_fan_out += outcome.mailboxes.len() as u64;
        match outcome.dead_letter {
            Some(letter) => {
                let copies = outcome.failed.len().max(usize::from(outcome.mailboxes.is_empty())) as u64;
                self.after_fan_out += copies;
                self.failed += copies;
                self.failures.push(FailedItem { item, stage: letter.stage, reason: letter.reason });
            }
            None if !outcome.is_complete() => self.in_flight += 1,
            None => {}
        }
    }
}
