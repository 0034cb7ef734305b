//! The bucket's layout: every key that the system reads or writes is made here.

use item::{ConvertTask, ImportTask, ItemKey, RunId};

/// `state/cursor.json`: how far `fetch` has come.
pub const CURSOR: &str = "state/cursor.json";

/// `config/user-map.csv`: whose mailbox a phone number's is.
pub const USER_MAP: &str = "config/user-map.csv";

/// Where chat exports are dropped: `inbox/<owner's e-mail>/<file>`.
pub const INBOX: &str = "inbox/";

/// The table beside a chat export that names its participants.
pub fn participants(export: &str) -> String {
    format!("{export}{PARTICIPANTS}")
}

/// What the name of such a table ends with.
pub const PARTICIPANTS: &str = ".participants.csv";

/// Where the manifests are.
pub const RUNS: &str = "runs/";

/// Where the outcomes are.
pub const OUTCOMES: &str = "outcomes/";

/// Where the operator's command keeps a copy of each dead letter that it discards.
pub const DISCARDED: &str = "discarded/";

/// A page of a run's manifest, counted from 1; padded so that pages sort.
pub fn manifest(run: &RunId, page: u32) -> String {
    format!("{RUNS}{run}/items-{page:06}.ndjson")
}

/// What says of a run that it was, beside its manifest.
pub fn run(run: &RunId) -> String {
    format!("{RUNS}{run}/run.json")
}

/// A rendered message.
pub fn mime(archived_date: &str, key: &ItemKey) -> String {
    format!("mime/{archived_date}/{key}.eml")
}

/// An item's outcome.
pub fn outcome(archived_date: &str, key: &ItemKey) -> String {
    format!("{OUTCOMES}{archived_date}/{key}.json")
}

/// The keys of a convert task's item: its message's and its outcome's.
pub fn of_convert(task: &ConvertTask) -> (String, String) {
    let (date, key) = (task.archived_date(), task.item.key());
    (mime(&date, &key), outcome(&date, &key))
}

/// The keys of an import task's item: its message's and its outcome's.
pub fn of_import(task: &ImportTask) -> (String, String) {
    let date = task.archived_date();
    (mime(&date, &task.key), outcome(&date, &task.key))
}
