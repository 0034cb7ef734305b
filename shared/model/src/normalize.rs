//! Brings an item into the contract's shape if single members differ: converts what can be converted, leaves out the
//! rest, and notes both. Nothing is lost: the evidence has every member as captured.

use jiff::{SignedDuration, Timestamp, civil::DateTime, tz::TimeZone};
use serde_json::{Map, Value, json};

use crate::{ItemError, ItemId, MailboxAddress, Participant, Sha256};

/// The shape of a member by the contract.
enum Shape {
    Text,
    /// A number that is not negative and has no fraction.
    Count,
    /// A number.
    Number,
    /// A duration in seconds.
    Seconds,
    Flag,
    Time,
    Digest,
    /// An attachment's id. Without it the file cannot be requested.
    Id,
    Object(&'static [(&'static str, Shape)]),
    List(&'static Shape),
    /// Left out as a whole if a part cannot be read, because it would mean something else without that part: a reaction
    /// without its emoji is a removal.
    Whole(&'static Shape),
}

use Shape::{Count, Digest, Flag, Id, List, Number, Object, Seconds, Text, Time, Whole};

const PARTICIPANT_MEMBERS: &[(&str, Shape)] = &[("name", Text), ("phone", Text), ("whatsappId", Text), ("email", Text)];
static PARTICIPANT: Shape = Object(PARTICIPANT_MEMBERS);
static TEXT: Shape = Text;
static TEXTS: Shape = List(&TEXT);
static REACTION: Shape = Object(&[("emoji", Text)]);
static ATTACHMENT: Shape = Object(&[
    ("id", Id),
    ("name", Text),
    ("contentType", Text),
    ("size", Count),
    ("sha256", Digest),
    ("durationSeconds", Seconds),
    ("viewOnce", Flag),
    ("evidence", Flag),
]);
const QUOTED: &[(&str, Shape)] = &[("messageId", Text), ("from", Object(PARTICIPANT_MEMBERS)), ("text", Text)];
static CONTACT: Shape = Object(&[("name", Text), ("vcard", Text)]);

/// The members of an item; `business` and unknown ones may have any shape.
const ITEM: &[(&str, Shape)] = &[
    ("id", Text),
    ("messageId", Text),
    ("network", Text),
    ("type", Text),
    ("messageTime", Time),
    ("archivedTime", Time),
    ("direction", Text),
    ("chat", Object(&[("id", Text), ("type", Text), ("name", Text)])),
    ("from", Object(PARTICIPANT_MEMBERS)),
    ("to", List(&PARTICIPANT)),
    ("text", Text),
    ("attachments", List(&ATTACHMENT)),
    ("quoted", Object(QUOTED)),
    ("mentions", List(&PARTICIPANT)),
    ("forwarded", Flag),
    ("frequentlyForwarded", Flag),
    ("disappearingSeconds", Count),
    ("target", Object(QUOTED)),
    ("reaction", Whole(&REACTION)),
    ("deletion", Object(&[("scope", Text), ("by", Object(PARTICIPANT_MEMBERS)), ("state", Text)])),
    (
        "call",
        Object(&[
            ("media", Text),
            ("status", Text),
            ("startTime", Time),
            ("endTime", Time),
            ("durationSeconds", Seconds),
        ]),
    ),
    (
        "location",
        Object(&[
            ("latitude", Number),
            ("longitude", Number),
            ("name", Text),
            ("address", Text),
            ("url", Text),
            ("accuracyMeters", Number),
        ]),
    ),
    ("contacts", List(&CONTACT)),
    ("poll", Object(&[("question", Text), ("options", List(&TEXT)), ("selectable", Count), ("votes", Whole(&TEXTS))])),
    ("event", Object(&[("action", Text), ("subjects", List(&PARTICIPANT)), ("oldValue", Text), ("newValue", Text)])),
    ("reason", Text),
];

/// Maximum number of sentences about one item; further ones are counted.
const MAX_ANOMALIES: usize = 20;

/// Maximum of a duration, about three centuries. A longer one is invalid.
const MAX_SECONDS: f64 = 1e10;

/// The years that the Date of a mail can have and every mail system accepts.
const YEARS: std::ops::RangeInclusive<i16> = 1970..=9999;

/// A message can be later than its archived time by the difference of two clocks, not more.
const MAX_CLOCK_DIFFERENCE: SignedDuration = SignedDuration::from_mins(10);

/// Brings a JSON object into the shape of an item, and adds a sentence for each member that had another shape.
///
/// # Errors
/// [`ItemError::Missing`] without an id, a chat or any time; [`ItemError::OtherItem`].
pub(crate) fn normalize(value: &mut Value, requested: &ItemId, anomalies: &mut Vec<String>) -> Result<(), ItemError> {
    let Value::Object(item) = value else { return Err(ItemError::Missing("JSON object")) };
    let mut found = Anomalies::default();
    if let Some(text @ (Value::String(_) | Value::Number(_))) = item.get("chat") {
        found.converted("chat");
        item["chat"] = json!({ "id": text });
    }
    fit_members(item, ITEM, "", &mut found);
    match item.get("id").and_then(Value::as_str) {
        None => return Err(ItemError::Missing("id")),
        Some(id) if id != requested.as_str() => return Err(ItemError::OtherItem),
        Some(_) => {}
    }
    let chat = item.get_mut("chat").and_then(Value::as_object_mut).ok_or(ItemError::Missing("chat"))?;
    if chat.get("id").is_none() {
        return Err(ItemError::Missing("chat"));
    }
    found.insert_where_missing(chat, ("type", "chat.type"), || json!("unknown"));
    complete_times(item, &mut found)?;
    found.insert_where_missing(item, ("type", "type"), || json!("unknown"));
    found.insert_where_missing(item, ("from", "from"), || json!({}));
    found.insert_where_missing(item, ("to", "to"), || json!([]));
    let participants =
        item.get("from").into_iter().chain(item.get("to").and_then(Value::as_array).into_iter().flatten());
    let encoded =
        |person: &Value| person.get("email").and_then(Value::as_str).is_some_and(|email| email.contains("=?"));
    if participants.into_iter().any(encoded) {
        found.add("An e-mail address has the form of an encoded word; it is not used as an address.".to_owned());
    }
    found.finish(anomalies);
    Ok(())
}

fn fit_members(
    object: &mut Map<String, Value>,
    shapes: &'static [(&'static str, Shape)],
    path: &str,
    found: &mut Anomalies,
) {
    for (name, shape) in shapes {
        let Some(value) = object.get_mut(*name) else { continue };
        let path = if path.is_empty() { (*name).to_owned() } else { format!("{path}.{name}") };
        if !fit(value, shape, &path, found) {
            object.remove(*name);
        }
    }
}

/// Brings a value into a shape; returns false if the value has to be left out. Null counts as a missing member.
fn fit(value: &mut Value, shape: &'static Shape, path: &str, found: &mut Anomalies) -> bool {
    if value.is_null() {
        return false;
    }
    let fits = match (shape, &mut *value) {
        (Text, Value::String(_)) | (Flag, Value::Bool(_)) => true,
        (Digest, Value::String(text)) => text.parse::<Sha256>().is_ok(),
        (Id, Value::String(text)) => text.parse::<ItemId>().is_ok(),
        (Count, Value::Number(number)) => number.is_u64(),
        (Number, Value::Number(_)) => true,
        (Seconds, Value::Number(number)) => {
            number.as_f64().is_some_and(|seconds| (0.0..=MAX_SECONDS).contains(&seconds))
        }
        (Time, Value::String(text)) => text.parse().is_ok_and(has_valid_year),
        (Object(shapes), Value::Object(object)) => {
            fit_members(object, shapes, path, found);
            return true;
        }
        (Whole(shape), value) => {
            let before = found.unread;
            return fit(value, shape, path, found) && found.unread == before;
        }
        (List(shape), Value::Array(list)) => {
            let mut place = 0;
            list.retain_mut(|value| {
                place += 1;
                let path = format!("{path}[{}]", place - 1);
                let is_null = value.is_null();
                let fits = fit(value, shape, &path, found);
                if is_null || fits && !has_its_id(value, shape) {
                    found.left_out(&path);
                } else if fits {
                    return true;
                }
                // An unreadable participant keeps its place: an empty list has a meaning of its own.
                let is_person = is_participant(shape);
                if is_person {
                    *value = json!({});
                }
                is_person
            });
            return true;
        }
        _ => false,
    };
    if fits {
        return true;
    }
    match convert(value, shape) {
        Some(mut other) => {
            if has_no_zone(value, shape) {
                found.add(format!("The time {path} has no time zone and was read as UTC; it may be hours off."));
            } else {
                found.converted(path);
            }
            let fits = !matches!(shape, List(_) | Object(_)) || fit(&mut other, shape, path, found);
            *value = other;
            fits
        }
        None => {
            found.left_out(path);
            false
        }
    }
}

/// Returns whether a text that was converted to a time is a local time.
fn has_no_zone(value: &Value, shape: &Shape) -> bool {
    let Some(text) = value.as_str().map(str::trim).filter(|_| matches!(shape, Time)) else { return false };
    text.parse::<Timestamp>().is_err() && text.parse::<f64>().is_err() && text.parse::<DateTime>().is_ok()
}

fn is_participant(shape: &Shape) -> bool {
    matches!(shape, Object([("name", Text), ("phone", Text), ..]))
}

/// Reads a participant that is given as a text: a WhatsApp id, an e-mail address, a phone number or a name.
fn participant(text: &str) -> Value {
    let trimmed = text.trim();
    let at = trimmed.rsplit_once('@');
    let is_number =
        || Participant { phone: Some(trimmed.to_owned()), ..Participant::default() }.phone_digits().is_some();
    match at {
        Some((_, Participant::PHONE_JID_DOMAIN | "hosted" | "lid")) => json!({ "whatsappId": trimmed }),
        // WhatsApp Web's name of the same domain.
        Some((local, "c.us")) => json!({ "whatsappId": format!("{local}@{}", Participant::PHONE_JID_DOMAIN) }),
        Some(_) if trimmed.parse::<MailboxAddress>().is_ok() => json!({ "email": trimmed }),
        None if is_number() => json!({ "phone": trimmed }),
        _ => json!({ "name": text }),
    }
}

fn has_its_id(value: &Value, shape: &Shape) -> bool {
    let needs = matches!(shape, Object([("id", Id), ..]));
    !needs || value.get("id").is_some()
}

fn convert(value: &Value, shape: &Shape) -> Option<Value> {
    let number = || match value {
        Value::String(text) => serde_json::from_str::<serde_json::Number>(text.trim()).ok(),
        Value::Number(number) => Some(number.clone()),
        _ => None,
    };
    Some(match (shape, value) {
        (Text | Id, Value::Number(number)) => json!(number.to_string()),
        (Text, Value::Bool(bool)) => json!(bool.to_string()),
        (Count, _) => match number()? {
            number if number.is_u64() => Value::Number(number),
            number => {
                let whole = number.as_f64().filter(|number| number.fract() == 0.0 && (0.0..9e15).contains(number))?;
                json!(whole as u64)
            }
        },
        (Number, _) => Value::Number(number()?),
        (Seconds, Value::String(_)) => {
            Value::Number(number().filter(|number| number.as_f64().is_some_and(|s| (0.0..=MAX_SECONDS).contains(&s)))?)
        }
        (Flag, Value::String(text)) => match text.trim().to_ascii_lowercase().as_str() {
            "true" | "1" => json!(true),
            "false" | "0" => json!(false),
            _ => return None,
        },
        (Flag, Value::Number(number)) => match number.as_u64()? {
            0 => json!(false),
            1 => json!(true),
            _ => return None,
        },
        (Time, Value::Number(_)) => json!(since_1970(&number()?)?),
        (Time, Value::String(text)) => {
            let civil = || text.trim().parse::<DateTime>().ok()?.to_zoned(TimeZone::UTC).ok();
            let time = text.trim().parse().ok().filter(|time| has_valid_year(*time));
            let time = time.or_else(|| since_1970(&number()?)).or_else(|| civil().map(|time| time.timestamp()));
            json!(time.filter(|time| has_valid_year(*time))?)
        }
        // A text instead of an object, or a single element instead of a list.
        (Object([("name", Text), ("phone", Text), ..]), Value::String(text)) => participant(text),
        (Object([("name", Text), ("phone", Text), ..]), Value::Number(number)) => {
            json!({ "phone": number.to_string() })
        }
        (Object([("emoji", Text)]), Value::String(emoji)) => json!({ "emoji": emoji }),
        (List(_), Value::Object(_)) => json!([value]),
        (List(Text), Value::String(_)) => json!([value]),
        (List(shape), _) if is_participant(shape) => json!([value]),
        _ => return None,
    })
}

/// Converts a number since 1970 to a time: seconds, or milliseconds if seconds would be thousands of years.
fn since_1970(number: &serde_json::Number) -> Option<Timestamp> {
    let number = number.as_f64().filter(|number| number.abs() < 1e15)?;
    let milliseconds = if number.abs() < 1e11 { number * 1000.0 } else { number };
    Timestamp::from_millisecond(milliseconds as i64).ok().filter(|time| has_valid_year(*time))
}

fn has_valid_year(time: Timestamp) -> bool {
    YEARS.contains(&time.to_zoned(TimeZone::UTC).year())
}

/// Fills in a missing time with the other one.
fn complete_times(item: &mut Map<String, Value>, found: &mut Anomalies) -> Result<(), ItemError> {
    let time = |name: &str| item.get(name).and_then(Value::as_str).and_then(|time| time.parse::<Timestamp>().ok());
    let (message, archived) = (time("messageTime"), time("archivedTime"));
    let (Some(message), Some(archived)) = (message.or(archived), archived.or(message)) else {
        return Err(ItemError::Missing("time"));
    };
    found.insert_where_missing(item, ("messageTime", "messageTime"), || json!(archived));
    found.insert_where_missing(item, ("archivedTime", "archivedTime"), || json!(message));
    for (name, time) in [("messageTime", message), ("archivedTime", archived)] {
        if time.to_zoned(TimeZone::UTC).year() < 1971 {
            found.add(format!("The {name} lies before 1971; it is probably wrong."));
        }
    }
    if message.duration_since(archived) > MAX_CLOCK_DIFFERENCE {
        found.add("The messageTime is later than the archivedTime; one of them is wrong.".to_owned());
    }
    Ok(())
}

#[derive(Default)]
struct Anomalies {
    sentences: Vec<String>,
    more: usize,
    /// Number of parts that could not be read.
    unread: usize,
}

impl Anomalies {
    fn add(&mut self, sentence: String) {
        if self.sentences.len() < MAX_ANOMALIES { self.sentences.push(sentence) } else { self.more += 1 }
    }

    fn converted(&mut self, path: &str) {
        self.add(format!("The member {path} has another type than it should have and was converted."));
    }

    fn left_out(&mut self, path: &str) {
        self.unread += 1;
        self.add(format!("The member {path} cannot be read; it is only in the evidence."));
    }

    fn insert_where_missing(
        &mut self,
        object: &mut Map<String, Value>,
        (name, path): (&str, &str),
        value: impl FnOnce() -> Value,
    ) {
        if !object.contains_key(name) {
            self.add(format!("The member {path} is missing or cannot be read."));
            object.insert(name.to_owned(), value());
        }
    }

    fn finish(self, anomalies: &mut Vec<String>) {
        anomalies.extend(self.sentences);
        if self.more > 0 {
            anomalies.push(format!("{} more members are not as they should be.", self.more));
        }
    }
}
