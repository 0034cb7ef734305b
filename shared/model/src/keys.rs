//! The layout of the bucket: builds every key that the system reads or writes.

use crate::{ConvertTask, ImportTask, ItemKey, RunId, Sha256};

/// `state/cursor.json`: the cursor of `fetch`.
pub const CURSOR: &str = "state/cursor.json";

/// `state/user-map.json`: the user map that import used last.
pub const USER_MAP_RECORD: &str = "state/user-map.json";

/// `config/user-map.csv`: maps phone numbers to mailboxes.
pub const USER_MAP: &str = "config/user-map.csv";

/// Uploaded chat exports, `inbox/<owner's e-mail>/<file>`, and vendors' mails and zips, in any folder.
pub const INBOX: &str = "inbox/";

/// The table beside a chat export that names its participants.
pub fn participants(export: &str) -> String {
    format!("{export}{PARTICIPANTS}")
}

/// The suffix of such a table.
pub const PARTICIPANTS: &str = ".participants.csv";

/// Where fetch keeps a copy of each mail that a vendor delivered: `captured/<key>.eml`, and beside it how it came.
pub const CAPTURED: &str = "captured/";

/// A vendor's mail.
pub fn captured_mail(key: &ItemKey) -> String {
    format!("{CAPTURED}{key}.eml")
}

/// How a vendor's mail was delivered.
pub fn captured_facts(key: &ItemKey) -> String {
    format!("{CAPTURED}{key}.json")
}

/// Where the records of deliveries are.
pub const DELIVERIES: &str = "deliveries/";

/// What a file of the inbox held. Names of files may name people, so the record's key has their hash.
pub fn delivery(file: &str) -> String {
    format!("{DELIVERIES}{}.json", Sha256::of(file.as_bytes()).short_hex())
}

/// Where the deliveries are that are not what their manifest says.
pub const INCIDENTS: &str = "incidents/";

/// What is wrong with a delivery, beside its record.
pub fn incident(file: &str) -> String {
    format!("{INCIDENTS}{}.json", Sha256::of(file.as_bytes()).short_hex())
}

/// The prefix of manifests and run records.
pub const RUNS: &str = "runs/";

/// The prefix of outcomes.
pub const OUTCOMES: &str = "outcomes/";

/// The prefix of copies of discarded dead letters.
pub const DISCARDED: &str = "discarded/";

/// A page of a run's manifest, counted from 1; padded so that pages sort.
pub fn manifest(run: &RunId, page: u32) -> String {
    format!("{RUNS}{run}/items-{page:06}.ndjson")
}

/// The record that a run writes when it begins, beside its manifest.
pub fn run_begun(run: &RunId) -> String {
    format!("{RUNS}{run}/begun.json")
}

/// The record that a run writes when it ends. Earlier releases also wrote this object when the run began.
pub fn run(run: &RunId) -> String {
    format!("{RUNS}{run}/run.json")
}

/// An object of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunObject {
    /// [`run_begun`].
    BegunRecord,
    /// [`run`].
    Record,
    /// [`manifest`], with the page's number.
    ManifestPage(u32),
}

/// The run that a key under [`RUNS`] belongs to, and the object; `None` for a key of another form.
pub fn run_object(key: &str) -> Option<(RunId, RunObject)> {
    let (run, name) = key.strip_prefix(RUNS)?.split_once('/')?;
    let object = match name {
        "begun.json" => RunObject::BegunRecord,
        "run.json" => RunObject::Record,
        page => RunObject::ManifestPage(page.strip_prefix("items-")?.strip_suffix(".ndjson")?.parse().ok()?),
    };
    Some((run.parse().ok()?, object))
}

/// The prefix of rendered messages.
pub const MIME: &str = "mime/";

/// A rendered message.
pub fn mime(key: &ItemKey) -> String {
    format!("{MIME}{key}.eml")
}

/// An item's outcome.
pub fn outcome(key: &ItemKey) -> String {
    format!("{OUTCOMES}{key}.json")
}

/// The keys of an item's objects. The item's id alone decides them: a source may list one id under several dates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ItemKeys {
    /// The message.
    pub mime: String,
    /// The outcome.
    pub outcome: String,
    /// Where release 0.1 put the message: under the UTC date of the archived time. Read only.
    pub dated_mime: String,
    /// Where release 0.1 put the outcome. Read where `outcome` has no object.
    pub dated_outcome: String,
}

impl ItemKeys {
    /// Those of a convert task's item.
    pub fn of_convert(task: &ConvertTask) -> Self {
        Self::of(&task.item.key(), &task.archived_date())
    }

    /// Those of an import task's item.
    pub fn of_import(task: &ImportTask) -> Self {
        Self::of(&task.key, &task.archived_date())
    }

    fn of(key: &ItemKey, archived_date: &str) -> Self {
        Self {
            mime: mime(key),
            outcome: outcome(key),
            dated_mime: format!("{MIME}{archived_date}/{key}.eml"),
            dated_outcome: format!("{OUTCOMES}{archived_date}/{key}.json"),
        }
    }
}
