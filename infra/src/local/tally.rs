//! What a run of this machine came to.

use std::collections::BTreeMap;

use futures::{StreamExt, TryStreamExt, stream};
use item::{Listed, Reason, RunId, Stage};
use store::Store;

use crate::{
    accounts::{self, AT_ONCE, Account, AccountError, account},
    tally::{Counters, Place, Told},
};

/// What a run came to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tally {
    /// The counters.
    pub counters: Counters,
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
    /// Tallies a run after the queues have come to rest. Letters are not looked for: the outcomes say that there are.
    ///
    /// # Errors
    /// [`AccountError`].
    pub async fn of(store: &Store, run: &RunId) -> Result<Self, AccountError> {
        let mut tally = Self::default();
        for page in 1.. {
            let Some(listed) = accounts::page(store, run, page).await? else { break };
            let accounts = stream::iter(&listed).map(|listed| account(store, run, listed)).buffered(AT_ONCE);
            let accounts: Vec<_> = accounts.try_collect().await?;
            for (listed, account) in listed.iter().zip(&accounts) {
                tally.add(run, listed, account);
            }
        }
        Ok(tally)
    }

    fn add(&mut self, run: &RunId, listed: &Listed, account: &Account) {
        let (outcome, failed) = match account {
            Account::Outcome(stored) => {
                let outcome = &stored.outcome;
                (Some(outcome), outcome.dead_letter.map(|letter| (letter.stage, letter.reason)))
            }
            Account::Nothing => (None, None),
            Account::NoTask => (None, Some((Stage::Convert, Reason::TaskMalformed))),
        };
        let place = match (failed, outcome) {
            (Some((_, reason)), _) => Place::Waiting(Some(reason)),
            (None, Some(outcome)) if outcome.is_complete() => Place::Filed,
            (None, _) => Place::InFlight,
        };
        let told = Told { run, listed, outcome, place };
        self.counters.add(&told);
        for filed in outcome.iter().flat_map(|outcome| &outcome.mailboxes) {
            *self.mailboxes.entry(filed.address.to_string()).or_default() += 1;
        }
        if let (Some((stage, reason)), false) = (failed, told.is_duplicate()) {
            self.failures.push(FailedItem { item: listed.name(), stage, reason });
        }
    }
}
