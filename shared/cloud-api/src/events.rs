//! Splits a webhook into its events.

use std::collections::HashMap;

use model::{ItemId, Sha256};
use serde_json::{json, value::RawValue};

use crate::{
    MediaReference,
    envelope::{Envelope, List},
    event::{AccountEvent, Event, EventKind, StatusWord},
    json::{self, Members, content_digest},
    media,
    people::{insert, own_number},
    variants::completeness,
    wamid,
    webhook::{Change, Webhook},
};

/// Returns the events of a webhook. They are created one at a time, so that a history of thousands of messages is not
/// in memory twice.
pub fn events(webhook: &Webhook) -> impl Iterator<Item = Event> + Send + '_ {
    events_from(webhook, 0)
}

/// Returns the events of a webhook without the first ones (`first` is their number), which are not created.
pub fn events_from(webhook: &Webhook, first: usize) -> impl Iterator<Item = Event> + Send + '_ {
    let mut to_skip = first;
    webhook.changes.iter().flat_map(move |change| {
        let reader = Reader::of(webhook, change);
        let found = reader.entries();
        let skipped = to_skip.min(found.len());
        to_skip -= skipped;
        found.into_iter().skip(skipped).map(move |found| reader.event(&found))
    })
}

/// Returns the number of [`events`].
pub fn count_events(webhook: &Webhook) -> usize {
    webhook.changes.iter().map(|change| Reader::of(webhook, change).entries().len()).sum()
}

/// An entry of one of the lists in the webhook's `value`.
struct ListEntry<'a> {
    kind: EntryKind,
    thread: Option<String>,
    raw: &'a RawValue,
}

#[derive(Clone, Copy)]
enum EntryKind {
    Item(List),
    Status,
    Contact,
    Account(AccountEvent),
    Unreadable,
    Unknown,
}

/// Reads the events of one change.
struct Reader<'a> {
    webhook: &'a Webhook,
    change: &'a Change,
    metadata: Option<Box<RawValue>>,
    phone_number_id: Option<String>,
    own_number: Option<String>,
    /// The contacts, by each of their ids.
    contacts: HashMap<String, Vec<&'a RawValue>>,
    value: Option<Members<'a>>,
}

impl<'a> Reader<'a> {
    fn of(webhook: &'a Webhook, change: &'a Change) -> Self {
        let value = Members::of(&change.value);
        let member = |name| value.as_ref().and_then(|value| value.get(name));
        let metadata = member("metadata").map(bounded_metadata);
        let ours = metadata.as_deref().and_then(Members::of);
        let phone_number_id = ours.as_ref().and_then(|metadata| metadata.text("phone_number_id"));
        let own_number = ours.as_ref().and_then(own_number);
        let mut contacts: HashMap<String, Vec<&RawValue>> = HashMap::new();
        for raw in member("contacts").and_then(json::list).unwrap_or_default() {
            let contact = Some(raw).filter(|raw| raw.get().len() <= MAX_REPEATED_BYTES).and_then(Members::of);
            let ids = ["wa_id", "user_id"].iter().filter_map(|name| contact.as_ref()?.text(name));
            for id in ids {
                let same = contacts.entry(id).or_default();
                if same.len() < MAX_CONTACTS {
                    same.push(raw);
                }
            }
        }
        Self { webhook, change, metadata, phone_number_id, own_number, contacts, value }
    }

    fn entries(&self) -> Vec<ListEntry<'a>> {
        let mut found = self.list_entries();
        if found.is_empty() {
            // A change without a recognized list is counted as one event. A list that is empty is recognized.
            let kind = match () {
                () if self.is_about_the_account() => EntryKind::Account(self.account_event()),
                () if self.has_messages() && !self.has_list() => EntryKind::Unreadable,
                () => EntryKind::Unknown,
            };
            found.push(ListEntry { kind, thread: None, raw: &self.change.value });
        }
        found
    }

    fn is_about_the_account(&self) -> bool {
        self.change.field.starts_with("account_")
    }

    /// Returns whether the field reports messages or calls. An encrypted payload, or one of a later version, has no list
    /// that is recognized.
    fn has_messages(&self) -> bool {
        let field = self.change.field.as_str();
        matches!(field, "" | "messages" | "history" | "calls" | "standby")
            || field.ends_with("echoes")
            || field.starts_with("group_")
    }

    /// Returns whether the value has a list that is recognized, empty or not.
    fn has_list(&self) -> bool {
        self.value.iter().flat_map(Members::all).any(|(name, _)| name == HISTORY || list_kind(name).is_some())
    }

    fn account_event(&self) -> AccountEvent {
        let word = self.value.as_ref().and_then(|value| value.text("event")).unwrap_or_default();
        AccountEvent::of(&word)
    }

    fn list_entries(&self) -> Vec<ListEntry<'a>> {
        let mut found = Vec::new();
        // These fields report changes of the account, whatever lists their values contain.
        if self.is_about_the_account() {
            return found;
        }
        for (name, raw) in self.value.iter().flat_map(Members::all) {
            let kind = match (name, list_kind(name)) {
                (_, Some(kind)) => kind,
                (HISTORY, None) => {
                    match json::list(raw) {
                        Some(parts) => found.extend(parts.into_iter().flat_map(history)),
                        None if raw.get() == "null" => {}
                        None => found.push(ListEntry { kind: EntryKind::Unreadable, thread: None, raw }),
                    }
                    continue;
                }
                ("contacts" | "metadata", None) => continue,
                (_, None) => match raw.get().as_bytes().first() {
                    Some(b'[') if self.has_messages() && raw.get() != "[]" => EntryKind::Unreadable,
                    Some(b'{') if self.has_messages() && !self.has_list() => EntryKind::Unreadable,
                    Some(b'{' | b'[') => EntryKind::Unknown,
                    _ => continue,
                },
            };
            let one = |raw| ListEntry { kind, thread: None, raw };
            match kind {
                // A single value in kind of a list is read as a list with one entry.
                EntryKind::Item(_) | EntryKind::Status | EntryKind::Contact => match json::list(raw) {
                    Some(list) => found.extend(list.into_iter().map(one)),
                    None if raw.get() == "null" => {}
                    None => found.push(one(raw)),
                },
                EntryKind::Account(_) | EntryKind::Unreadable | EntryKind::Unknown => found.push(one(raw)),
            }
        }
        found
    }

    fn event(&self, found: &ListEntry<'a>) -> Event {
        let raw = found.raw;
        let members = Members::of(raw).unwrap_or_default();
        let whole = |kind| Event { id: self.digest_id(raw), kind, json: raw.get().into(), media: Vec::new() };
        match found.kind {
            EntryKind::Item(list) => self.item(list, found, &members),
            EntryKind::Status => {
                let status = match members.text("type").as_deref() {
                    Some("call") => StatusWord::Call,
                    _ => StatusWord::of(&members.text("status").unwrap_or_default()),
                };
                let id = members.text("id").map(|id| self.item_id(&id));
                Event { id: id.unwrap_or_else(|| self.digest_id(raw)), ..whole(EventKind::Status(status)) }
            }
            EntryKind::Contact => whole(EventKind::Contact),
            EntryKind::Account(event) => whole(EventKind::Account(event)),
            EntryKind::Unreadable => whole(EventKind::Unreadable),
            EntryKind::Unknown => whole(EventKind::Unknown),
        }
    }

    fn item(&self, list: List, found: &ListEntry<'a>, members: &Members<'a>) -> Event {
        let raw = found.raw;
        let id = match (list, members.text("id")) {
            // WhatsApp sends one event when a call begins and one when it ends.
            (List::Calls, Some(id)) => {
                Some(self.item_id(&format!("{id}:{}", members.text("event").unwrap_or_default().to_ascii_lowercase())))
            }
            (List::Groups, _) => None,
            (_, id) => id.map(|id| self.item_id(&id)),
        };
        let envelope = Envelope {
            v: 1,
            id: id.unwrap_or_else(|| self.digest_id(raw)),
            list,
            field: truncated(&self.change.field),
            account: self.change.account.as_deref().map(truncated),
            metadata: self.metadata.clone(),
            contacts: self.contacts_of(members),
            thread: found.thread.as_deref().map(truncated),
            repairs: self.webhook.repairs.clone(),
            event: raw.to_owned(),
        };
        let kind = EventKind::Item(completeness(&envelope));
        let media = self.media(members);
        // All members serialize without errors.
        Event { kind, media, json: serde_json::to_vec(&envelope).unwrap_or_default(), id: envelope.id }
    }

    /// Returns the contacts that take part in a message.
    fn contacts_of(&self, members: &Members<'a>) -> Vec<Box<RawValue>> {
        let named = ["from", "from_user_id", "to", "to_user_id", "wa_id", "user_id"];
        let mut participants: Vec<&RawValue> = Vec::new();
        for contact in named.iter().filter_map(|name| self.contacts.get(&members.text(name)?)).flatten() {
            // A contact with a number and a business-scoped id is found under both.
            if !participants.iter().any(|earlier| std::ptr::eq(*earlier, *contact)) {
                participants.push(contact);
            }
        }
        participants.into_iter().map(RawValue::to_owned).collect()
    }

    fn media(&self, members: &Members<'a>) -> Vec<MediaReference> {
        let aws = &self.webhook.aws_numbers;
        let aws_phone_number_id = match self.phone_number_id.as_ref().and_then(|id| aws.get(id)) {
            // If AWS names one number only, it is the receiving one.
            None if aws.len() == 1 => aws.values().next(),
            found => found,
        };
        let aws_phone_number_id = aws_phone_number_id.map(String::as_str);
        media::references(media::declared(members), self.phone_number_id.as_deref(), aws_phone_number_id)
    }

    /// Returns the id of an event that has one.
    fn item_id(&self, id: &str) -> ItemId {
        wamid::item_id(id, self.own_number.as_deref())
    }

    /// Returns the id of an event without one: the digest of the business number and of the content, independent of how
    /// the JSON is written.
    fn digest_id(&self, raw: &RawValue) -> ItemId {
        let number = self.phone_number_id.as_deref().unwrap_or_default();
        ItemId::of_digest(&Sha256::of(format!("{number}\n{}", content_digest(raw)).as_bytes()))
    }
}

/// The list of a phone's history. Its parts contain lists.
const HISTORY: &str = "history";

/// Returns the kind of the entries of a list, by its name. `None` if no list of this name is recognized.
fn list_kind(name: &str) -> Option<EntryKind> {
    Some(match name {
        "messages" => EntryKind::Item(List::Messages),
        "message_echoes" => EntryKind::Item(List::Echoes),
        "calls" => EntryKind::Item(List::Calls),
        "groups" => EntryKind::Item(List::Groups),
        "statuses" => EntryKind::Status,
        "state_sync" => EntryKind::Contact,
        "errors" => EntryKind::Account(AccountEvent::Errors),
        _ => return None,
    })
}

/// Maximum size of metadata and contacts: a body contains them once, but they are stored with each of its events.
const MAX_REPEATED_BYTES: usize = 4 << 10;
const MAX_REPEATED_CHARS: usize = 256;
/// Maximum number of contacts with the same id.
const MAX_CONTACTS: usize = 4;

fn truncated(text: &str) -> String {
    text.chars().take(MAX_REPEATED_CHARS).collect()
}

/// Returns the metadata. If they are too long, only the business number is kept.
fn bounded_metadata(raw: &RawValue) -> Box<RawValue> {
    if raw.get().len() <= MAX_REPEATED_BYTES {
        return raw.to_owned();
    }
    let metadata = Members::of(raw).unwrap_or_default();
    let mut ours = json!({});
    for name in ["display_phone_number", "phone_number_id"] {
        insert(&mut ours, name, metadata.text(name).as_deref().map(truncated));
    }
    RawValue::from_string(ours.to_string()).unwrap_or_default()
}

/// Returns the messages of one part of a history.
fn history(raw: &RawValue) -> Vec<ListEntry<'_>> {
    let unreadable = |raw| ListEntry { kind: EntryKind::Unreadable, thread: None, raw };
    let Some(part) = Members::of(raw) else { return vec![unreadable(raw)] };
    let mut found = Vec::new();
    let has_list = ["threads", "messages", "errors"].iter().any(|name| part.get(name).is_some());
    // A part without messages has its metadata only.
    let is_unread = |(name, raw): (&str, &RawValue)| match (name, raw.get().as_bytes().first()) {
        ("metadata" | "errors", _) => false,
        ("threads" | "messages", first) => first != Some(&b'[') && raw.get() != "null",
        (_, Some(b'[' | b'{')) => true,
        (_, Some(b'"')) => !has_list,
        _ => false,
    };
    if part.all().any(is_unread) {
        found.push(unreadable(raw));
    }
    if part.get("errors").is_some() {
        found.push(ListEntry { kind: EntryKind::Account(AccountEvent::HistoryError), thread: None, raw });
    }
    for raw in part.list("threads") {
        let Some(thread) = Members::of(raw).filter(|thread| thread.get("messages").and_then(json::list).is_some())
        else {
            found.push(unreadable(raw));
            continue;
        };
        let id = thread.text("id");
        let messages = thread.list("messages").into_iter();
        found.extend(messages.map(|raw| ListEntry { kind: EntryKind::Item(List::History), thread: id.clone(), raw }));
    }
    // Messages outside of threads.
    let messages = part.list("messages").into_iter();
    found.extend(messages.map(|raw| ListEntry { kind: EntryKind::Item(List::History), thread: None, raw }));
    found
}
