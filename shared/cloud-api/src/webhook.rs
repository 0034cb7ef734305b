//! Parses the envelope of a webhook.

use std::collections::HashMap;

use model::RepairedJson;
use serde_json::value::RawValue;

use crate::{
    envelope::Channel,
    json::{self, Members},
};

/// Maximum size of a body: Lambda's limit of an event. Meta sends up to 3 MB; a provider's envelope adds to that, the more
/// if it contains the payload as a string.
pub const MAX_BODY_BYTES: usize = 6 << 20;

/// Error of an invalid body. Contains nothing of the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Not JSON, even after repairs.
    #[error("the body is not JSON")]
    Json,
    /// No payload at the configured path.
    #[error("the body has no payload at the configured path")]
    Path,
    /// No list of entries.
    #[error("the payload has no list of entries")]
    Entries,
    /// An AWS event without the member that holds the entry.
    #[error("the message has no whatsAppWebhookEntry")]
    AwsEntry,
    /// An invalid path.
    #[error("it is not a list of member names separated by dots, such as eventDetails.rawEvent")]
    PathForm,
}

/// The place of Meta's payload in a provider's body: member names, outermost first. Empty: the body is the payload.
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

/// A parsed webhook.
pub struct Webhook {
    pub(crate) changes: Vec<Change>,
    /// The channel through which it was received.
    pub channel: Channel,
    /// AWS's ids of the business numbers, by Meta's ids.
    pub(crate) aws_numbers: HashMap<String, String>,
    /// The repairs that were needed to parse the body, one English sentence each.
    pub repairs: Vec<String>,
}

/// One change of one entry.
pub(crate) struct Change {
    pub(crate) account: Option<String>,
    pub(crate) field: String,
    pub(crate) value: Box<RawValue>,
}

/// Parses a body that was posted by Meta, or by a provider that passes Meta's payload on.
///
/// # Errors
/// [`Malformed`].
pub fn entries(body: &[u8], payload: &PayloadPath) -> Result<Webhook, Malformed> {
    let (text, repairs) = decode(body)?;
    let mut at = parse_raw(&text)?.to_owned();
    for name in &payload.0 {
        let inner = Members::of(&at).and_then(|members| members.get(name)).ok_or(Malformed::Path)?;
        at = unwrap_json_string(inner).ok_or(Malformed::Path)?;
    }
    let payload = Members::of(&at).ok_or(Malformed::Entries)?;
    let list = payload.get("entry").and_then(json::list).ok_or(Malformed::Entries)?;
    let changes = list.into_iter().flat_map(changes).collect();
    Ok(Webhook { changes, channel: Channel::Meta, aws_numbers: HashMap::new(), repairs })
}

/// Returns the body as text that the JSON parser accepts, and the repairs that were needed.
pub(crate) fn decode(body: &[u8]) -> Result<(String, Vec<String>), Malformed> {
    Ok(match model::repair_json(body) {
        Some(RepairedJson { text, anomalies }) => (text, anomalies),
        None => (String::from_utf8(body.to_vec()).map_err(|_| Malformed::Json)?, Vec::new()),
    })
}

pub(crate) fn parse_raw(text: &str) -> Result<&RawValue, Malformed> {
    serde_json::from_str(text).map_err(|_| Malformed::Json)
}

/// Returns a value, or the value inside it if it is a string that contains JSON.
pub(crate) fn unwrap_json_string(value: &RawValue) -> Option<Box<RawValue>> {
    if value.get().starts_with('"') {
        let inner: String = serde_json::from_str(value.get()).ok()?;
        let inner = model::repair_json(inner.as_bytes()).map_or(inner, |repaired| repaired.text);
        // Parsing again removes white space around the value.
        serde_json::from_str::<&RawValue>(&inner).ok().map(RawValue::to_owned)
    } else {
        Some(value.to_owned())
    }
}

/// Returns the changes of an entry. An invalid entry becomes a change without a field, so that it is counted as unknown.
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
