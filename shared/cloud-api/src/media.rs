//! Finds the file of a message.

use std::str::FromStr;

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use model::Sha256;

use crate::{envelope::Envelope, json::Members};

/// A file to fetch.
#[derive(Clone, PartialEq, Eq)]
pub struct MediaReference {
    /// Meta's id of the file: letters and digits.
    pub id: String,
    /// Meta's id of the business number.
    pub phone_number_id: Option<String>,
    /// AWS's id of the business number, if the webhook came from AWS.
    pub aws_phone_number_id: Option<String>,
    /// The declared digest; `None` if it is missing or invalid.
    pub sha256: Option<Sha256>,
}

/// The members of a message that describe its file.
pub(crate) struct Declared<'a> {
    pub(crate) id: String,
    pub(crate) members: Members<'a>,
}

impl Declared<'_> {
    pub(crate) fn sha256(&self) -> Option<Sha256> {
        self.members.text("sha256").as_deref().and_then(sha256)
    }
}

/// Returns the file of a message: the member with the name of the message's type, if it has an id and a media type,
/// size or digest.
pub(crate) fn declared<'a>(message: &Members<'a>) -> Option<Declared<'a>> {
    if let Some(edited) = message.object("edit").and_then(|edit| edit.object("message")) {
        return of(&edited);
    }
    of(message)
}

fn of<'a>(message: &Members<'a>) -> Option<Declared<'a>> {
    let members = message.object(&message.text("type")?)?;
    let id = members.text("id").filter(|id| is_id(id))?;
    let is_file = ["mime_type", "sha256", "file_size"].iter().any(|name| members.get(name).is_some());
    is_file.then_some(Declared { id, members })
}

/// Restricts ids to letters and digits, because an id becomes part of a URL.
fn is_id(id: &str) -> bool {
    id.len() <= 100 && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

/// Parses a digest: 64 hex digits, or base64 in the standard or URL-safe alphabet.
pub fn sha256(text: &str) -> Option<Sha256> {
    const OPTIONAL_PADDING: GeneralPurposeConfig =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let text = text.trim();
    if let Ok(digest) = Sha256::from_str(text) {
        return Some(digest);
    }
    let alphabets = [&alphabet::STANDARD, &alphabet::URL_SAFE];
    let decoded =
        alphabets.into_iter().find_map(|alphabet| GeneralPurpose::new(alphabet, OPTIONAL_PADDING).decode(text).ok());
    Some(Sha256::from(<[u8; 32]>::try_from(decoded?).ok()?))
}

/// Returns the file of a stored event.
pub(crate) fn reference(envelope: &Envelope) -> Option<MediaReference> {
    let event = Members::of(&envelope.event)?;
    let declared = declared(&event)?;
    let metadata = envelope.metadata.as_deref().and_then(Members::of);
    Some(MediaReference {
        sha256: declared.sha256(),
        id: declared.id,
        phone_number_id: metadata.and_then(|metadata| metadata.text("phone_number_id")),
        aws_phone_number_id: None,
    })
}
