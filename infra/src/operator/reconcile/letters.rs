//! Whose letters wait in the dead-letter queue, and whose were discarded.

use std::{collections::HashSet, time::Duration};

use item::ItemKey;
use serde_json::Value;
use store::{Store, StoreError, keys};

use super::seen::ItemHash;
use crate::operator::{
    connection::Connection,
    dead_letters::{Letter, Letters, LettersError},
};

/// The letters of the queue.
pub(super) struct Waiting {
    /// Whose they are.
    pub(super) items: HashSet<ItemHash>,
    /// Whether all were seen. Somebody else may have some in hand.
    pub(super) whole: bool,
}

/// How long letters are away when this process dies before it gives them back.
const HOLD: Duration = Duration::from_secs(900);

impl Waiting {
    /// Reads them all, and gives them back.
    pub(super) async fn read(connection: &Connection) -> Result<Self, LettersError> {
        let letters = Letters::of(connection);
        let expected: u64 = letters.depth(&connection.queues.dead_letters).await?.iter().sum();
        let mut walk = letters.walk(HOLD);
        let mut waiting = Self { items: HashSet::new(), whole: false };
        let mut count = 0;
        let read = async {
            loop {
                let page = walk.next().await?;
                if page.is_empty() {
                    return Ok(());
                }
                count += page.len() as u64;
                waiting.items.extend(page.iter().filter_map(item_of));
            }
        }
        .await;
        waiting.whole = count >= expected && !walk.is_cut();
        walk.release().await?;
        read.map(|()| waiting)
    }
}

/// Whose letter it is: both tasks name their item in the same place, be it a valid id or not.
fn item_of(letter: &Letter) -> Option<ItemHash> {
    let body: Value = serde_json::from_str(&letter.body).ok()?;
    Some(ItemHash::of(body.get("item")?))
}

/// Whose letters an operator has discarded: the copies' names begin with the items' keys.
pub(super) async fn discarded(store: &Store) -> Result<HashSet<ItemHash>, StoreError> {
    let mut items = HashSet::new();
    let keep = |listed: Vec<store::Listed>| {
        items.extend(listed.iter().filter_map(|listed| {
            let name = listed.key.rsplit('/').next()?;
            let key: ItemKey = name.get(..32)?.to_owned().try_into().ok()?;
            ItemHash::from_key(&key)
        }));
        std::future::ready(Ok::<_, StoreError>(()))
    };
    store.list(keys::DISCARDED, keep).await?;
    Ok(items)
}
