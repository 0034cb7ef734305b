//! Letters go back to their stage's queue.
//!
//! A letter is deleted only when its copy is confirmed to be on that queue, each for itself. So at whatever point this
//! ends, a letter is in the dead-letter queue, on its stage's queue, or on both; and a task that is there twice is filed
//! once, because import looks at the item's outcome first.

use std::{collections::HashSet, num::NonZeroU32, time::Duration};

use futures::{StreamExt, stream};
use model::{DeadLetter, Reason, Stage};
use tokio::time::{Instant, sleep_until};

use super::{
    letter::{Filter, Letter, Why},
    list::{Counts, each_letter},
    queue::{Letters, LettersError},
};
use crate::Interrupt;

/// How many letters are on their way at once.
const AT_ONCE: usize = 10;

/// Which letters are moved, by SQS's ids: what the operator has agreed to, and nothing that came later.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// What they are.
    pub counts: Counts,
    /// Letters that the filter takes and that cannot be replayed: nobody knows whose they are.
    pub homeless: u64,
    /// Whether there are more letters than a walk holds.
    pub cut: bool,
    /// How many messages the queue held, those that are not meant included.
    pub(super) seen: u64,
    pub(super) letters: HashSet<String>,
}

impl Plan {
    /// Looks for the letters that the filter takes and that have a stage.
    ///
    /// # Errors
    /// When the queue does not answer.
    pub async fn of(letters: &Letters, filter: &Filter, hold: Duration) -> anyhow::Result<Self> {
        Self::taking(letters, filter, hold, |letter| letter.stage.is_some()).await
    }

    /// Looks for all letters that the filter takes.
    ///
    /// # Errors
    /// When the queue does not answer.
    pub async fn of_any(letters: &Letters, filter: &Filter, hold: Duration) -> anyhow::Result<Self> {
        Self::taking(letters, filter, hold, |_| true).await
    }

    async fn taking(
        letters: &Letters,
        filter: &Filter,
        hold: Duration,
        takes: impl Fn(&Letter) -> bool,
    ) -> anyhow::Result<Self> {
        let mut plan = Self::default();
        let walked = each_letter(letters.walk(hold), filter, |letter| {
            if takes(&letter) {
                plan.counts.add(&letter);
                plan.letters.insert(letter.message_id);
            } else {
                plan.homeless += 1;
            }
            Ok(())
        })
        .await?;
        (plan.cut, plan.seen) = (walked.cut, walked.seen);
        Ok(plan)
    }
}

/// How letters are replayed.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// How long letters stay out of others' sight if this process dies.
    pub hold: Duration,
    /// The maximum number of dead letters a second.
    pub rate: Option<NonZeroU32>,
    /// The size up to which convert may take an item that was too large.
    pub max_item_bytes: Option<u64>,
}

/// What became of a plan.
#[derive(Debug, Default)]
pub struct Replayed {
    /// Letters that are on their stage's queue and no longer here.
    pub moved: u64,
    /// Letters that are on their stage's queue, and could not be deleted here. Replayed again, they are filed once.
    pub left_behind: u64,
    /// Letters that are here as before.
    pub unsent: u64,
    /// Letters that were not found any more, or that somebody else has in hand.
    pub not_found: u64,
    /// Why the last of those that failed did.
    pub failure: Option<LettersError>,
    /// Whether the operator ended it.
    pub interrupted: bool,
}

impl Replayed {
    /// Whether everything that was planned is done.
    pub fn is_complete(&self) -> bool {
        self.left_behind + self.unsent + self.not_found == 0
    }
}

enum Moved {
    Yes,
    LeftBehind(LettersError),
    Unsent(LettersError),
}

/// Moves the letters of a plan; `progress` is told how many are done.
///
/// # Errors
/// When the queue cannot be read or letters cannot be released. What was moved until then is moved.
pub async fn replay(
    letters: &Letters,
    mut plan: Plan,
    pace: Pace,
    interrupt: &Interrupt,
    progress: impl Fn(u64),
) -> Result<Replayed, LettersError> {
    let mut replayed = Replayed::default();
    let mut walk = letters.walk_again(pace.hold, plan.seen);
    let began = Instant::now();
    let mut done = 0_u64;
    let result = async {
        while !plan.letters.is_empty() {
            if interrupt.is_set() {
                replayed.interrupted = true;
                return Ok(());
            }
            let page = walk.next().await?;
            if page.is_empty() {
                return Ok(());
            }
            let ours = page.into_iter().filter(|letter| plan.letters.remove(&letter.message_id)).collect::<Vec<_>>();
            let moves =
                stream::iter(&ours).map(|letter| async move { (letter, letters.move_back(letter, pace).await) });
            let mut moves = moves.buffer_unordered(AT_ONCE);
            while let Some((letter, moved)) = moves.next().await {
                match moved {
                    Moved::Yes => {
                        replayed.moved += 1;
                        walk.forget(letter);
                    }
                    Moved::LeftBehind(error) => {
                        replayed.left_behind += 1;
                        replayed.failure = Some(error);
                    }
                    Moved::Unsent(error) => {
                        replayed.unsent += 1;
                        replayed.failure = Some(error);
                    }
                }
                done += 1;
                progress(done);
            }
            if let Some(rate) = pace.rate {
                sleep_until(began + Duration::from_secs_f64(done as f64 / f64::from(rate.get()))).await;
            }
        }
        Ok(())
    }
    .await;
    replayed.not_found = if replayed.interrupted { 0 } else { plan.letters.len() as u64 };
    replayed.unsent += if replayed.interrupted { plan.letters.len() as u64 } else { 0 };
    walk.release().await?;
    result.map(|()| replayed)
}

impl Letters {
    async fn move_back(&self, letter: &Letter, pace: Pace) -> Moved {
        // A plan has no letter without a stage.
        let stage = letter.stage.unwrap_or(Stage::Convert);
        let more = match (letter.why, pace.max_item_bytes) {
            (Why::Given(Reason::Oversize), Some(bytes)) => {
                vec![(DeadLetter::MAX_ITEM_BYTES_ATTRIBUTE, bytes.to_string())]
            }
            _ => Vec::new(),
        };
        if let Err(error) = self.send(letter, stage, more).await {
            return Moved::Unsent(error);
        }
        match self.delete(letter).await {
            Ok(()) => Moved::Yes,
            Err(error) => Moved::LeftBehind(error),
        }
    }
}
