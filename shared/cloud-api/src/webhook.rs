//! The envelope of a webhook.

use std::collections::HashMap;

use model::RepairedJson;
use serde_json::value::RawValue;

use crate::{
    envelope::Door,
    json::{self, Members},
};

/// The largest body that Meta posts is 3 MB; AWS wraps an entry twice, which escapes its quotation marks twice.
pub const MAX_BODY_BYTES: usize = 3 << 20;

/// More events than any body of that size has, unless it is made to cost: a message takes 200 bytes and more.
pub const MAX_EVENTS: usize = 50_000;

/// The reason why a body is not a webhook. Contains nothing of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Not JSON, whatever is repaired.
    #[error("the body is not JSON")]
    Json,
    /// The payload is not where the setting says.
    #[error("the body has no payload at the configured path")]
    Path,
    /// No list of entries.
    #[error("the payload has no list of entries")]
    Entries,
    /// An AWS event without the member that holds the entry.
    #[error("the message has no whatsAppWebhookEntry")]
    AwsEntry,
    /// A path without names.
    #[error("a payload path is a list of member names with dots: eventDetails.rawEvent")]
    PathForm,
}

/// Where Meta's payload is in a body: the names of members from outside to inside. Empty: the body is the payload.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PayloadPath(Vec<String>);

impl std::str::FromStr for PayloadPath {
    type Err = Malformed;

    fn from_str(path: &str) -> Result<Self, Malformed> {
        let names: Vec<_> = path.trim().split('.').map(str::to_owned).collect();
        if names.iter().any(String::is_empty) && !path.trim().is_empty() {
            return Err(Malformed::PathForm);
        }
        Ok(if path.trim().is_empty() { Self::default() } else { Self(names) })
    }
}

/// The content of a body.
pub struct Webhook {
    pub(crate) changes: Vec<Change>,
    /// The way that it came.
    pub door: Door,
    /// AWS's ids of our numbers, by Meta's.
    pub(crate) aws_numbers: HashMap<String, String>,
    /// The repairs that were needed to read it, one English sentence each.
    pub repairs: Vec<String>,
}

/// One change of one entry.
pub(crate) struct Change {
    pub(crate) account: Option<String>,
    pub(crate) field: String,
    pub(crate) value: Box<RawValue>,
}

/// Opens a body that Meta posted, or a provider that passes Meta's payload on.
///
/// # Errors
/// [`Malformed`].
pub fn entries(body: &[u8], payload: &PayloadPath) -> Result<Webhook, Malformed> {
    let (text, repairs) = readable(body)?;
    let mut at = raw(&text)?.to_owned();
    for name in &payload.0 {
        let inner = Members::of(&at).and_then(|members| members.get(name)).ok_or(Malformed::Path)?;
        at = opened(inner).ok_or(Malformed::Path)?;
    }
    let payload = Members::of(&at).ok_or(Malformed::Entries)?;
    let list = payload.get("entry").and_then(json::list).ok_or(Malformed::Entries)?;
    let changes = list.into_iter().flat_map(changes).collect();
    Ok(Webhook { changes, door: Door::Meta, aws_numbers: HashMap::new(), repairs })
}

/// Text that a JSON reader takes.
pub(crate) fn readable(body: &[u8]) -> Result<(String, Vec<String>), Malformed> {
    Ok(match model::repair_json(body) {
        Some(RepairedJson { text, anomalies }) => (text, anomalies),
        None => (String::from_utf8(body.to_vec()).map_err(|_| Malformed::Json)?, Vec::new()),
    })
}

pub(crate) fn raw(text: &str) -> Result<&RawValue, Malformed> {
    serde_json::from_str(text).map_err(|_| Malformed::Json)
}

/// A value, or the JSON in a text.
pub(crate) fn opened(value: &RawValue) -> Option<Box<RawValue>> {
    if value.get().starts_with('"') {
        let inner: String = serde_json::from_str(value.get()).ok()?;
        let inner = model::repair_json(inner.as_bytes()).map_or(inner, |repaired| repaired.text);
        // Without the white space around it.
        serde_json::from_str::<&RawValue>(&inner).ok().map(RawValue::to_owned)
    } else {
        Some(value.to_owned())
    }
}

/// The changes of an entry. What is not an entry is a change without a field, so that it is kept as unknown.
pub(crate) fn changes(entry: &RawValue) -> Vec<Change> {
    let unknown = |value: &RawValue| Change { account: None, field: String::new(), value: value.to_owned() };
    let Some(members) = Members::of(entry) else { return vec![unknown(entry)] };
    let account = members.text("id");
    let list = members.list("changes");
    if list.is_empty() {
        return vec![unknown(entry)];
    }
    let change = |raw: &RawValue| {
        let members = Members::of(raw)?;
        let field = members.text("field").unwrap_or_default();
        Some(Change { account: account.clone(), field, value: members.get("value")?.to_owned() })
    };
    list.into_iter().map(|raw| change(raw).unwrap_or_else(|| unknown(raw))).collect()
}
