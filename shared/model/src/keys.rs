//! The layout of the bucket: builds all keys that the system reads or writes.

use jiff::Timestamp;

use crate::{ConvertTask, ImportTask, ItemKey, RunId, Sha256};

/// `state/cursor.json`: the cursor of `fetch`.
pub const CURSOR: &str = "state/cursor.json";

/// `state/user-map.json`: the user map that import used last.
pub const USER_MAP_RECORD: &str = "state/user-map.json";

/// `config/user-map.csv`: maps phone numbers to mailboxes.
pub const USER_MAP: &str = "config/user-map.csv";

/// Uploaded chat exports, `inbox/<owner's e-mail>/<file>`, and vendors' mails and zips, in any folder.
pub const INBOX: &str = "inbox/";

/// Returns the key of the participants file of a chat export, which names its participants.
pub fn participants(export: &str) -> String {
    format!("{export}{PARTICIPANTS_SUFFIX}")
}

/// The suffix of a participants file.
pub const PARTICIPANTS_SUFFIX: &str = ".participants.csv";

/// The prefix of the copies of vendors' mails: `captured/<key>.eml`, and with each one a record of its delivery.
pub const CAPTURED: &str = "captured/";

/// Returns the key of the copy of a vendor's mail.
pub fn captured_mail(key: &ItemKey) -> String {
    format!("{CAPTURED}{key}.eml")
}

/// Returns the key of the record of the delivery of a vendor's mail.
pub fn captured_facts(key: &ItemKey) -> String {
    format!("{CAPTURED}{key}.json")
}

/// The prefix of the records of deliveries.
pub const DELIVERIES: &str = "deliveries/";

/// Returns the key of the record of a file of the inbox. File names may contain names of people, so the key has their
/// hash.
pub fn delivery(file: &str) -> String {
    format!("{DELIVERIES}{}.json", Sha256::of(file.as_bytes()).short_hex())
}

/// Returns the key of the record of an earlier version of a file, which was replaced.
pub fn replaced_delivery(file: &str, etag: &str) -> String {
    format!("{DELIVERIES}{}.json", Sha256::of(format!("{file}\n{etag}").as_bytes()).short_hex())
}

/// The prefix of incomplete or damaged deliveries.
pub const INCIDENTS: &str = "incidents/";

/// Returns the key of the incident of a version of a file with problems: a copy of the delivery's record. Another version
/// of the file has an incident of its own, because it may contain other mails.
pub fn incident(file: &str, etag: &str) -> String {
    format!("{INCIDENTS}{}.json", Sha256::of(format!("{file}\n{etag}").as_bytes()).short_hex())
}

/// The raw bodies of webhooks, by day and digest.
pub const WEBHOOKS: &str = "webhooks/";

/// Returns the prefix of the raw bodies of a day.
pub fn webhooks_day(received: Timestamp) -> String {
    format!("{WEBHOOKS}{}/", day(received))
}

/// Returns the key of the raw body of a webhook.
pub fn webhook_body(received: Timestamp, body: &Sha256) -> String {
    format!("{}{body}.json", webhooks_day(received))
}

/// Returns the digest of the body with this key; `None` for a key of another form.
pub fn webhook_of_body(key: &str) -> Option<Sha256> {
    let (_day, name) = key.strip_prefix(WEBHOOKS)?.split_once('/')?;
    name.strip_suffix(".json")?.parse().ok()
}

/// The proofs that the events of webhooks are written, by day of the body, digest of the body and part.
pub const PROCESSED: &str = "processed/";

/// Returns the prefix of the proofs of a day's bodies.
pub fn processed_day(received: Timestamp) -> String {
    format!("{PROCESSED}{}/", day(received))
}

/// A part of a body whose events are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcessedPart {
    /// The digest of the body.
    pub webhook: Sha256,
    /// Number of events before the part.
    pub first: usize,
    /// Number of events up to its end.
    pub end: usize,
    /// Number of the body's events.
    pub total: usize,
}

/// Returns the key of the proof that a part's events are written.
pub fn processed(received: Timestamp, part: &ProcessedPart) -> String {
    let ProcessedPart { webhook, first, end, total } = part;
    format!("{}{webhook}-{first}-{end}-{total}.json", processed_day(received))
}

/// Reads the key of a proof; `None` for a key of another form.
pub fn processed_part(key: &str) -> Option<ProcessedPart> {
    let (_day, name) = key.strip_prefix(PROCESSED)?.split_once('/')?;
    let mut parts = name.strip_suffix(".json")?.split('-');
    let webhook = parts.next()?.parse().ok()?;
    let mut number = || parts.next()?.parse().ok();
    let part = ProcessedPart { webhook, first: number()?, end: number()?, total: number()? };
    parts.next().is_none().then_some(part)
}

/// The copies of each event that webhooks report, by the item's key.
pub const EVENTS: &str = "events/";

/// Returns the prefix of all copies of an event.
pub fn event_copies(key: &ItemKey) -> String {
    format!("{EVENTS}{key}/")
}

/// Returns the key of one copy of an event.
pub fn event_copy(key: &ItemKey, content: &Sha256) -> String {
    format!("{}{}.json", event_copies(key), content.short_hex())
}

/// The prefix of the records of items that have only copies without the content.
pub const AWAITED: &str = "awaited/";

/// Returns the key of the record of an item that waits for a copy with the content.
pub fn event_awaited(key: &ItemKey) -> String {
    format!("{AWAITED}{key}.json")
}

/// The items of webhooks, by the minute in which their event was stored.
pub const RECEIVED: &str = "received/";

/// Returns the prefix of the items of a day.
pub fn received_day(received: Timestamp) -> String {
    format!("{RECEIVED}{}/", day(received))
}

/// Returns the prefix of the items of a minute, without the slash after it: all keys of that minute sort after it.
pub fn received_minute(received: Timestamp) -> String {
    format!("{}{}", received_day(received), received.strftime("%H%M"))
}

/// Returns the key of an item whose event was stored in a minute.
pub fn received(received: Timestamp, key: &ItemKey) -> String {
    format!("{}/{key}.json", received_minute(received))
}

/// Statuses of messages that were sent, by day, key of the message and status.
pub const STATUSES: &str = "statuses/";

/// Returns the prefix of the statuses of a day.
pub fn statuses_day(received: Timestamp) -> String {
    format!("{STATUSES}{}/", day(received))
}

/// Returns the key of a status of a message.
pub fn status(received: Timestamp, key: &ItemKey, status: &str) -> String {
    format!("{}{key}-{status}.json", statuses_day(received))
}

/// The values of webhooks that may contain messages and were not recognized, by day.
pub const UNRECOGNIZED: &str = "unrecognized/";

/// Returns the prefix of the unrecognized values of a day.
pub fn unrecognized_day(received: Timestamp) -> String {
    format!("{UNRECOGNIZED}{}/", day(received))
}

/// Returns the key of the record of an unrecognized value.
pub fn unrecognized(received: Timestamp, key: &ItemKey) -> String {
    format!("{}{key}.json", unrecognized_day(received))
}

/// The records of the histories of phones, by the hash of the number's id.
pub const HISTORIES: &str = "histories/";

/// The statement of a record about the history of a phone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum HistoryRecord {
    /// A chunk was received.
    Chunk {
        /// The phase: messages of the last day, of 90 days, or of 180 days.
        phase: u32,
        /// WhatsApp's number of the chunk.
        chunk: u32,
        /// Percentage of the history that WhatsApp had sent with this chunk.
        progress: u32,
    },
    /// WhatsApp sends no history.
    Declined {
        /// Code of WhatsApp's error; 0 if it has none.
        code: u32,
    },
}

/// Returns the key of a record of the history of a phone.
pub fn history(phone_number_id: &str, record: &HistoryRecord) -> String {
    let number = Sha256::of(phone_number_id.as_bytes()).short_hex();
    match record {
        HistoryRecord::Chunk { phase, chunk, progress } => {
            format!("{HISTORIES}{number}/{phase}-{chunk}-{progress}.json")
        }
        HistoryRecord::Declined { code } => format!("{HISTORIES}{number}/declined-{code}.json"),
    }
}

/// Reads the key of a record: the hash of the number's id, and the record. `None` for a key of another form.
pub fn history_record(key: &str) -> Option<(&str, HistoryRecord)> {
    let (number, name) = key.strip_prefix(HISTORIES)?.split_once('/')?;
    let name = name.strip_suffix(".json")?;
    if let Some(code) = name.strip_prefix("declined-") {
        return Some((number, HistoryRecord::Declined { code: code.parse().ok()? }));
    }
    let mut parts = name.split('-');
    let mut part = || parts.next()?.parse().ok();
    let record = HistoryRecord::Chunk { phase: part()?, chunk: part()?, progress: part()? };
    parts.next().is_none().then_some((number, record))
}

/// The files of the messages of webhooks.
pub const MEDIA: &str = "media/";

/// Returns the common prefix of the objects of a file. AWS adds to it.
pub fn media(phone_number_id: &str, media_id: &str) -> String {
    format!("{MEDIA}{}", Sha256::of(format!("{phone_number_id}\n{media_id}").as_bytes()).short_hex())
}

/// Returns the key of the bytes of a file.
pub fn media_bytes(media: &str) -> String {
    format!("{media}.bin")
}

/// Returns the key of the bytes of a file that came under the same id with another content.
pub fn media_other_bytes(media: &str, sha256: &Sha256) -> String {
    format!("{media}-{}.bin", sha256.short_hex())
}

/// Returns the key of the record of a file: the digest of its bytes, or the reason why they are lost.
pub fn media_facts(media: &str) -> String {
    format!("{media}.json")
}

fn day(at: Timestamp) -> impl std::fmt::Display {
    at.strftime("%Y-%m-%d")
}

/// The prefix of operators' decisions about incidents.
pub const CLOSURES: &str = "closures/";

/// Returns the key of the decision about a version of a file.
pub fn closure(file: &str, etag: &str) -> String {
    format!("{CLOSURES}{}.json", Sha256::of(format!("{file}\n{etag}").as_bytes()).short_hex())
}

/// The prefix of manifests and run records.
pub const RUNS: &str = "runs/";

/// The prefix of outcomes.
pub const OUTCOMES: &str = "outcomes/";

/// The prefix of copies of discarded dead letters.
pub const DISCARDED: &str = "discarded/";

/// Returns the key of a page of a run's manifest, counted from 1; padded so that pages sort.
pub fn manifest(run: &RunId, page: u32) -> String {
    format!("{RUNS}{run}/items-{page:06}.ndjson")
}

/// Returns the key of the record that a run writes when it begins, beside its manifest.
pub fn run_begun(run: &RunId) -> String {
    format!("{RUNS}{run}/begun.json")
}

/// Returns the key of the record that a run writes when it ends. Earlier releases also wrote this object when the run
/// began.
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

/// Returns the run that a key under [`RUNS`] belongs to, and the object; `None` for a key of another form.
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

/// Returns the key of a rendered message.
pub fn mime(key: &ItemKey) -> String {
    format!("{MIME}{key}.eml")
}

/// Returns the key of an item's outcome.
pub fn outcome(key: &ItemKey) -> String {
    format!("{OUTCOMES}{key}.json")
}

/// The keys of an item's objects. They depend only on the item's id: a source may list one id under several dates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ItemKeys {
    /// The message.
    pub mime: String,
    /// The outcome.
    pub outcome: String,
    /// The key of the message in release 0.1, which contains the UTC date of the archived time. Read only.
    pub dated_mime: String,
    /// The key of the outcome in release 0.1. Read if `outcome` has no object.
    pub dated_outcome: String,
}

impl ItemKeys {
    /// Returns the keys of a convert task's item.
    pub fn of_convert(task: &ConvertTask) -> Self {
        Self::of(&task.item.key(), &task.archived_date())
    }

    /// Returns the keys of an import task's item.
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
