//! What the sample archive has: a made-up bank's day, or any number of short messages.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use model::{ItemId, MailboxAddress, Reason, Sha256};
use serde::Deserialize;
use serde_json::{Map, Value, json};

const ITEMS: &str = include_str!("../../sample/items.json");

/// The files that `items.json` names as `media`.
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

/// The customer's mapping file that goes with the sample: `config/user-map.csv`.
pub fn user_map() -> &'static str {
    include_str!("../../sample/user-map.csv")
}

/// The mailboxes that exist in the sample's bank.
///
/// # Errors
/// When a line of the sample's file is no address.
pub fn mailboxes() -> Result<Vec<MailboxAddress>, SampleError> {
    include_str!("../../sample/mailboxes.txt")
        .lines()
        .map(|line| line.parse().map_err(|_| SampleError("a line of mailboxes.txt is no address".to_owned())))
        .collect()
}

/// The sample's own files contradict themselves.
#[derive(Debug, thiserror::Error)]
#[error("the sample is not usable: {0}")]
pub struct SampleError(String);

/// What an archive has.
pub struct Sample(Kind);

enum Kind {
    /// By archived time.
    Told { entries: Vec<Entry>, by_id: HashMap<String, usize> },
    /// Made when asked for.
    Many { count: usize, first: Timestamp },
}

struct Entry {
    archived_time: Timestamp,
    id: String,
    stored: Stored,
    fate: Fate,
}

/// What the archive answers for an item.
#[derive(Clone)]
pub(super) struct Stored {
    pub(super) answer: Answer,
    /// By attachment id.
    pub(super) files: HashMap<String, File>,
}

#[derive(Clone)]
pub(super) enum Answer {
    Item(Value),
    /// 404, although it is listed.
    Missing,
    /// 410.
    Erased,
}

#[derive(Clone)]
pub(super) enum File {
    Bytes {
        bytes: Bytes,
        lengthless: bool,
    },
    Generated {
        size: u64,
        lengthless: bool,
    },
    /// 410.
    Erased,
}

/// What has to become of an item.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Fate {
    /// It is a dead letter.
    DeadLetter(Reason),
    /// A copy is in each of these mailboxes.
    Filed(Vec<MailboxAddress>),
}

/// What has to become of a sample.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// How many items a window that holds all of it lists.
    pub listed: usize,
    /// How many copies are in each mailbox; one that has none is not in it.
    pub filed: BTreeMap<MailboxAddress, usize>,
    /// How many dead letters there are of each reason.
    pub dead_letters: BTreeMap<Reason, usize>,
}

#[derive(Deserialize)]
struct Written {
    people: HashMap<String, Value>,
    items: Vec<WrittenEntry>,
}

#[derive(Deserialize)]
struct WrittenEntry {
    /// By hand, from the mapping rules: the mailboxes, or the dead letter's reason.
    expect: Fate,
    /// In the place of the item: 404 or 410.
    answer: Option<u16>,
    item: Map<String, Value>,
}

impl Sample {
    /// A made-up bank's day, the 24 hours before `now`: every kind of item, three scripts, and what goes wrong.
    ///
    /// # Errors
    /// When the sample's files contradict themselves, which a test rules out.
    pub fn day(now: Timestamp) -> Result<Self, SampleError> {
        Self::written(ITEMS, now)
    }

    /// The same from another text in the form of the sample's `items.json`.
    ///
    /// # Errors
    /// When the text is none, or contradicts itself.
    pub fn written(items: &str, now: Timestamp) -> Result<Self, SampleError> {
        let unusable = |error: serde_json::Error| SampleError(format!("items.json: {error}"));
        let written: Written = serde_json::from_str(items).map_err(unusable)?;
        let mut entries: Vec<Entry> =
            written.items.into_iter().map(|entry| entry.told(&written.people, now)).collect::<Result<_, _>>()?;
        entries.sort_by_key(|entry| entry.archived_time);
        let by_id: HashMap<String, usize> =
            entries.iter().enumerate().map(|(index, entry)| (entry.id.clone(), index)).collect();
        if by_id.len() != entries.len() {
            return Err(SampleError("an id stands twice in items.json".to_owned()));
        }
        Ok(Self(Kind::Told { entries, by_id }))
    }

    /// This many short messages in the day before `now`, each for one mailbox. They are made when they are asked for,
    /// so that a hundred thousand cost no memory.
    pub fn many(count: usize, now: Timestamp) -> Self {
        Self(Kind::Many { count, first: now - SignedDuration::from_hours(23) })
    }

    /// How many items a window that holds all of it lists.
    pub fn len(&self) -> usize {
        match &self.0 {
            Kind::Told { entries, .. } => entries.len(),
            Kind::Many { count, .. } => *count,
        }
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What has to become of it when the mailboxes are [`mailboxes`] and the mapping is [`user_map`].
    pub fn expected(&self) -> Expected {
        let mut expected = Expected { listed: self.len(), filed: BTreeMap::new(), dead_letters: BTreeMap::new() };
        for index in 0..self.len() {
            match self.fate(index) {
                Fate::DeadLetter(reason) => *expected.dead_letters.entry(reason).or_default() += 1,
                Fate::Filed(mailboxes) => {
                    for mailbox in mailboxes {
                        *expected.filed.entry(mailbox).or_default() += 1;
                    }
                }
            }
        }
        expected
    }

    /// What has to become of each item, oldest first.
    pub fn fates(&self) -> impl Iterator<Item = (ItemId, Fate)> {
        (0..self.len()).filter_map(|index| Some((self.listed(index).0.parse().ok()?, self.fate(index))))
    }

    fn fate(&self, index: usize) -> Fate {
        match &self.0 {
            Kind::Told { entries, .. } => entries[index].fate.clone(),
            Kind::Many { .. } => Fate::Filed(COLLEAGUES[index % COLLEAGUES.len()].2.parse().into_iter().collect()),
        }
    }

    /// The items themselves, as the archive has them; those that it only lists are left out.
    pub fn items(&self) -> impl Iterator<Item = Value> {
        (0..self.len()).filter_map(|index| match self.find(&self.listed(index).0)?.answer {
            Answer::Item(item) => Some(item),
            Answer::Missing | Answer::Erased => None,
        })
    }

    /// The index of the first item that was archived at or after a time.
    pub(super) fn first_since(&self, time: Timestamp) -> usize {
        let (mut from, mut to) = (0, self.len());
        while from < to {
            let middle = from + (to - from) / 2;
            if self.listed(middle).1 < time { from = middle + 1 } else { to = middle }
        }
        from
    }

    /// The id and archived time of an item that is there.
    pub(super) fn listed(&self, index: usize) -> (String, Timestamp) {
        match &self.0 {
            Kind::Told { entries, .. } => (entries[index].id.clone(), entries[index].archived_time),
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
            Kind::Told { entries, by_id } => by_id.get(id).map(|index| entries[*index].stored.clone()),
            Kind::Many { count, .. } => {
                let index = id.strip_prefix("MANY/")?.parse().ok().filter(|index| index < count)?;
                let (listed, archived_time) = self.listed(index);
                (listed == id)
                    .then(|| Stored { answer: Answer::Item(short(index, id, archived_time)), files: HashMap::new() })
            }
        }
    }
}

/// Who writes the many: all of them registered with their address.
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
    fn told(mut self, people: &HashMap<String, Value>, now: Timestamp) -> Result<Entry, SampleError> {
        let mut files = HashMap::new();
        for attachment in self.item.get_mut("attachments").and_then(Value::as_array_mut).into_iter().flatten() {
            file(attachment, &mut files)?;
        }
        let mut item = Value::Object(self.item);
        resolve(&mut item, people, now)?;
        let text = |name: &str| item.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (id, archived_time) = (text("id"), text("archivedTime"));
        let archived_time =
            archived_time.parse().map_err(|_| SampleError(format!("{id} has no archivedTime before now")))?;
        let answer = match self.answer {
            None => Answer::Item(item),
            Some(410) => Answer::Erased,
            Some(_) => Answer::Missing,
        };
        Ok(Entry { archived_time, id, stored: Stored { answer, files }, fate: self.expect })
    }
}

/// Takes the members that are ours off an attachment, and adds the contract's that follow from the bytes.
fn file(attachment: &mut Value, files: &mut HashMap<String, File>) -> Result<(), SampleError> {
    let unusable = || SampleError("an attachment in items.json has no id or no known media".to_owned());
    let attachment = attachment.as_object_mut().ok_or_else(unusable)?;
    let id = attachment.get("id").and_then(Value::as_str).ok_or_else(unusable)?.to_owned();
    let lengthless = attachment.remove("chunked").is_some();
    let media = attachment.remove("media").ok_or_else(unusable)?;
    match (media.as_str(), media.get("bytes").and_then(Value::as_u64)) {
        (Some("missing"), _) => {}
        (Some("erased"), _) => _ = files.insert(id, File::Erased),
        (Some(name), _) => {
            let (_, bytes) = *MEDIA.iter().find(|(known, _)| *known == name).ok_or_else(unusable)?;
            attachment.entry("size").or_insert(bytes.len().into());
            attachment.entry("sha256").or_insert(Sha256::of(bytes).to_string().into());
            files.insert(id, File::Bytes { bytes: Bytes::from_static(bytes), lengthless });
        }
        (None, Some(size)) => {
            attachment.entry("size").or_insert(size.into());
            files.insert(id, File::Generated { size, lengthless });
        }
        (None, None) => return Err(unusable()),
    }
    Ok(())
}

/// `"@name"` in the place of a participant becomes the participant, `"-PT2H"` in the place of a time that long before
/// now.
fn resolve(value: &mut Value, people: &HashMap<String, Value>, now: Timestamp) -> Result<(), SampleError> {
    let Value::Object(members) = value else { return Ok(()) };
    for (name, member) in members {
        match (name.as_str(), member) {
            ("from" | "by", member) => person(member, people)?,
            ("to" | "mentions" | "subjects", Value::Array(list)) => {
                list.iter_mut().try_for_each(|member| person(member, people))?;
            }
            (name, Value::String(text)) if name.ends_with("Time") => {
                let ago: SignedDuration =
                    text.parse().map_err(|_| SampleError("a time in items.json is no duration".to_owned()))?;
                *text = format!("{:.3}", now + ago);
            }
            (_, member) => resolve(member, people, now)?,
        }
    }
    Ok(())
}

fn person(member: &mut Value, people: &HashMap<String, Value>) -> Result<(), SampleError> {
    let known = member.as_str().and_then(|name| people.get(name.strip_prefix('@')?));
    *member =
        known.ok_or_else(|| SampleError("items.json names somebody who is not in its people".to_owned()))?.clone();
    Ok(())
}
