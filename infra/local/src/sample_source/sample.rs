//! Items of the sample source: one day of a fictional bank, or any number of short messages.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use model::{ItemId, MailboxAddress, Reason, Sha256};
use serde::Deserialize;
use serde_json::{Map, Value, json};

const ITEMS: &str = include_str!("../../sample/items.json");

/// Files that `items.json` refers to as `media`.
const MEDIA: [(&str, &[u8]); 10] = [
    ("chart.png", include_bytes!("../../sample/media/chart.png")),
    ("code.jpg", include_bytes!("../../sample/media/code.jpg")),
    ("harbour.jpg", include_bytes!("../../sample/media/harbour.jpg")),
    ("invoice.pdf", include_bytes!("../../sample/media/invoice.pdf")),
    ("positions.csv", include_bytes!("../../sample/media/positions.csv")),
    ("smile.webp", include_bytes!("../../sample/media/smile.webp")),
    ("term-sheet.pdf", include_bytes!("../../sample/media/term-sheet.pdf")),
    ("tone.wav", include_bytes!("../../sample/media/tone.wav")),
    ("up.gif", include_bytes!("../../sample/media/up.gif")),
    ("voice.ogg", include_bytes!("../../sample/media/voice.ogg")),
];

/// Returns the user map of the sample (`config/user-map.csv`).
pub fn user_map() -> &'static str {
    include_str!("../../sample/user-map.csv")
}

/// Returns the mailboxes that exist in the sample.
///
/// # Errors
/// If a line of the sample's file is not an address.
pub fn mailboxes() -> Result<Vec<MailboxAddress>, SampleError> {
    include_str!("../../sample/mailboxes.txt")
        .lines()
        .map(|line| line.parse().map_err(|_| SampleError("mailboxes.txt: invalid address".to_owned())))
        .collect()
}

/// The sample's files are invalid or inconsistent.
#[derive(Debug, thiserror::Error)]
#[error("invalid sample: {0}")]
pub struct SampleError(String);

/// The items of a source.
pub struct Sample(Kind);

enum Kind {
    /// Sorted by archived time.
    Listed { entries: Vec<Entry>, by_id: HashMap<String, usize> },
    /// Generated when requested.
    Many { count: usize, first: Timestamp },
}

struct Entry {
    archived_time: Timestamp,
    id: String,
    stored: Stored,
    expected_result: ExpectedResult,
}

/// The source's response for an item and its attachments.
#[derive(Clone)]
pub(super) struct Stored {
    pub(super) response: ItemResponse,
    /// By attachment id.
    pub(super) files: HashMap<String, File>,
}

#[derive(Clone)]
pub(super) enum ItemResponse {
    Item(Value),
    /// 404, although the item is listed.
    Missing,
    /// 410.
    Erased,
}

#[derive(Clone)]
pub(super) enum File {
    Bytes {
        bytes: Bytes,
        chunked: bool,
    },
    Generated {
        size: u64,
        chunked: bool,
    },
    /// 410.
    Erased,
}

/// The result that a run must have for an item.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum ExpectedResult {
    DeadLetter(Reason),
    /// One copy in each of these mailboxes.
    Filed(Vec<MailboxAddress>),
}

/// The result that a run must have for a sample.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// Number of items in a window that contains the whole sample.
    pub listed: usize,
    /// Copies per mailbox; mailboxes without a copy are left out.
    pub filed: BTreeMap<MailboxAddress, usize>,
    /// Dead letters per reason.
    pub dead_letters: BTreeMap<Reason, usize>,
}

#[derive(Deserialize)]
struct Written {
    people: HashMap<String, Value>,
    items: Vec<WrittenEntry>,
}

#[derive(Deserialize)]
struct WrittenEntry {
    /// The mailboxes, or the dead letter's reason. Derived by hand from the mapping rules.
    expect: ExpectedResult,
    /// HTTP status instead of the item: 404 or 410.
    #[serde(rename = "answer")]
    status: Option<u16>,
    item: Map<String, Value>,
}

impl Sample {
    /// Creates the sample day, the 24 hours before `now`: every kind of item, three scripts, and failing items.
    ///
    /// # Errors
    /// If the sample's files are inconsistent, which a test rules out.
    pub fn day(now: Timestamp) -> Result<Self, SampleError> {
        Self::written(ITEMS, now)
    }

    /// Creates a sample from a text in the format of the sample's `items.json`.
    ///
    /// # Errors
    /// If the text is invalid or inconsistent.
    pub fn written(items: &str, now: Timestamp) -> Result<Self, SampleError> {
        let invalid = |error: serde_json::Error| SampleError(format!("items.json: {error}"));
        let written: Written = serde_json::from_str(items).map_err(invalid)?;
        let mut entries: Vec<Entry> =
            written.items.into_iter().map(|entry| entry.resolve(&written.people, now)).collect::<Result<_, _>>()?;
        entries.sort_by_key(|entry| entry.archived_time);
        let by_id: HashMap<String, usize> =
            entries.iter().enumerate().map(|(index, entry)| (entry.id.clone(), index)).collect();
        if by_id.len() != entries.len() {
            return Err(SampleError("items.json: duplicate id".to_owned()));
        }
        Ok(Self(Kind::Listed { entries, by_id }))
    }

    /// Creates short messages in the day before `now`, each for one mailbox. They are generated when requested, so that
    /// a hundred thousand need no memory.
    pub fn many(count: usize, now: Timestamp) -> Self {
        Self(Kind::Many { count, first: now - SignedDuration::from_hours(23) })
    }

    /// Returns the number of items in a window that contains the whole sample.
    pub fn len(&self) -> usize {
        match &self.0 {
            Kind::Listed { entries, .. } => entries.len(),
            Kind::Many { count, .. } => *count,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the expected result for the mailboxes of [`mailboxes`] and the mapping of [`user_map`].
    pub fn expected(&self) -> Expected {
        let mut expected = Expected { listed: self.len(), filed: BTreeMap::new(), dead_letters: BTreeMap::new() };
        for index in 0..self.len() {
            match self.expected_result(index) {
                ExpectedResult::DeadLetter(reason) => *expected.dead_letters.entry(reason).or_default() += 1,
                ExpectedResult::Filed(mailboxes) => {
                    for mailbox in mailboxes {
                        *expected.filed.entry(mailbox).or_default() += 1;
                    }
                }
            }
        }
        expected
    }

    /// Returns the expected result of each item, oldest first.
    pub fn expected_results(&self) -> impl Iterator<Item = (ItemId, ExpectedResult)> {
        (0..self.len()).filter_map(|index| Some((self.listed(index).0.parse().ok()?, self.expected_result(index))))
    }

    fn expected_result(&self, index: usize) -> ExpectedResult {
        match &self.0 {
            Kind::Listed { entries, .. } => entries[index].expected_result.clone(),
            Kind::Many { .. } => {
                ExpectedResult::Filed(COLLEAGUES[index % COLLEAGUES.len()].2.parse().into_iter().collect())
            }
        }
    }

    /// Returns the items that the source can return; items that are only listed are left out.
    pub fn items(&self) -> impl Iterator<Item = Value> {
        (0..self.len()).filter_map(|index| match self.find(&self.listed(index).0)?.response {
            ItemResponse::Item(item) => Some(item),
            ItemResponse::Missing | ItemResponse::Erased => None,
        })
    }

    /// Returns the index of the first item archived at or after a time.
    pub(super) fn first_since(&self, time: Timestamp) -> usize {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low + (high - low) / 2;
            if self.listed(middle).1 < time { low = middle + 1 } else { high = middle }
        }
        low
    }

    /// Returns the id and archived time of the item at an index.
    pub(super) fn listed(&self, index: usize) -> (String, Timestamp) {
        match &self.0 {
            Kind::Listed { entries, .. } => (entries[index].id.clone(), entries[index].archived_time),
            Kind::Many { count, first } => {
                let share = SignedDuration::from_hours(22).as_millis() * index as i128 / (*count).max(1) as i128;
                let offset = SignedDuration::from_millis(i64::try_from(share).unwrap_or_default());
                // `{:.3}` writes whole milliseconds, and the window is compared with what is written.
                let first = Timestamp::from_millisecond(first.as_millisecond()).unwrap_or(*first);
                (format!("MANY/{index:07}"), first + offset)
            }
        }
    }

    pub(super) fn find(&self, id: &str) -> Option<Stored> {
        match &self.0 {
            Kind::Listed { entries, by_id } => by_id.get(id).map(|index| entries[*index].stored.clone()),
            Kind::Many { count, .. } => {
                let index = id.strip_prefix("MANY/")?.parse().ok().filter(|index| index < count)?;
                let (listed, archived_time) = self.listed(index);
                (listed == id).then(|| Stored {
                    response: ItemResponse::Item(short(index, id, archived_time)),
                    files: HashMap::new(),
                })
            }
        }
    }
}

/// Senders of the generated messages, all registered with their address.
const COLLEAGUES: [(&str, &str, &str); 4] = [
    ("Oliver Marsh", "+447700900101", "oliver.marsh@example.com"),
    ("Mette Holm", "+447700900102", "mette.holm@example.com"),
    ("יעל ברון", "+447700900103", "yael.baron@example.com"),
    ("Priya Nair", "+61491570006", "priya.nair@example.com"),
];

fn short(index: usize, id: &str, archived_time: Timestamp) -> Value {
    let (name, phone, email) = COLLEAGUES[index % COLLEAGUES.len()];
    json!({
        "id": id, "messageId": format!("3EB0{index:012X}"), "network": "whatsapp", "type": "text",
        "messageTime": format!("{archived_time:.3}"), "archivedTime": format!("{archived_time:.3}"),
        "direction": "outgoing", "chat": {"id": "33639980011@s.whatsapp.net", "type": "individual"},
        "from": {"name": name, "phone": phone, "email": email},
        "to": [{"name": "Claire Dubois", "phone": "+33639980011"}],
        "text": format!("Message {index}: the rate is unchanged."),
    })
}

impl WrittenEntry {
    fn resolve(mut self, people: &HashMap<String, Value>, now: Timestamp) -> Result<Entry, SampleError> {
        let mut files = HashMap::new();
        for attachment in self.item.get_mut("attachments").and_then(Value::as_array_mut).into_iter().flatten() {
            attachment_file(attachment, &mut files)?;
        }
        let mut item = Value::Object(self.item);
        resolve_references(&mut item, people, now)?;
        let text = |name: &str| item.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (id, archived_time) = (text("id"), text("archivedTime"));
        let archived_time =
            archived_time.parse().map_err(|_| SampleError(format!("items.json: {id} has no valid archivedTime")))?;
        let response = match self.status {
            None => ItemResponse::Item(item),
            Some(410) => ItemResponse::Erased,
            Some(_) => ItemResponse::Missing,
        };
        Ok(Entry { archived_time, id, stored: Stored { response, files }, expected_result: self.expect })
    }
}

/// Removes the sample's own members from an attachment and adds the size and digest of the contract.
fn attachment_file(attachment: &mut Value, files: &mut HashMap<String, File>) -> Result<(), SampleError> {
    let invalid = || SampleError("items.json: an attachment has no id or an unknown media".to_owned());
    let attachment = attachment.as_object_mut().ok_or_else(invalid)?;
    let id = attachment.get("id").and_then(Value::as_str).ok_or_else(invalid)?.to_owned();
    let chunked = attachment.remove("chunked").is_some();
    let media = attachment.remove("media").ok_or_else(invalid)?;
    match (media.as_str(), media.get("bytes").and_then(Value::as_u64)) {
        (Some("missing"), _) => {}
        (Some("erased"), _) => _ = files.insert(id, File::Erased),
        (Some(name), _) => {
            let (_, bytes) = *MEDIA.iter().find(|(media_name, _)| *media_name == name).ok_or_else(invalid)?;
            attachment.entry("size").or_insert(bytes.len().into());
            attachment.entry("sha256").or_insert(Sha256::of(bytes).to_string().into());
            files.insert(id, File::Bytes { bytes: Bytes::from_static(bytes), chunked });
        }
        (None, Some(size)) => {
            attachment.entry("size").or_insert(size.into());
            files.insert(id, File::Generated { size, chunked });
        }
        (None, None) => return Err(invalid()),
    }
    Ok(())
}

/// Replaces `"@name"` by the participant and `"-PT2H"` by the time that long before now.
fn resolve_references(value: &mut Value, people: &HashMap<String, Value>, now: Timestamp) -> Result<(), SampleError> {
    let Value::Object(members) = value else { return Ok(()) };
    for (name, member) in members {
        match (name.as_str(), member) {
            ("from" | "by", member) => person(member, people)?,
            ("to" | "mentions" | "subjects", Value::Array(list)) => {
                list.iter_mut().try_for_each(|member| person(member, people))?;
            }
            (name, Value::String(text)) if name.ends_with("Time") => {
                let ago: SignedDuration = text
                    .parse()
                    .map_err(|_| SampleError("items.json: a time is not an ISO 8601 duration".to_owned()))?;
                *text = format!("{:.3}", now + ago);
            }
            (_, member) => resolve_references(member, people, now)?,
        }
    }
    Ok(())
}

fn person(member: &mut Value, people: &HashMap<String, Value>) -> Result<(), SampleError> {
    let found = member.as_str().and_then(|name| people.get(name.strip_prefix('@')?));
    *member =
        found.ok_or_else(|| SampleError("items.json: a participant is missing from its people".to_owned()))?.clone();
    Ok(())
}
