//! Finds the files of a message.

use std::str::FromStr;

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use model::Sha256;
use serde_json::{Value, value::RawValue};

use crate::{
    envelope::Envelope,
    json::{self, Members},
};

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

/// The files that a message names.
#[derive(Default)]
pub(crate) struct Declared {
    /// The files with an id, each id once. The message's own file is first.
    pub(crate) files: Vec<File>,
    /// The number of files that cannot be fetched: they have no id, or there are more than [`MAX_FILES`].
    pub(crate) unfetchable: usize,
}

/// The part of a message in which a file is searched for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Inside {
    Message,
    /// The answers of a form, whose designer names the members: a member `image` may be a choice. WhatsApp describes each
    /// file in it.
    Form,
}

/// A file with an id, and the members that describe it. Values are passed on unchanged.
pub(crate) struct File {
    id: String,
    sha256: Option<Sha256>,
    pub(crate) name: Option<Value>,
    pub(crate) content_type: Option<Value>,
}

/// Maximum number of files of a message. A form sends up to 30 pictures and 30 documents.
const MAX_FILES: usize = 100;
/// Maximum depth at which files are searched for. Members are parsed once for each level.
const MAX_DEPTH: usize = 12;
/// The members that contain a file, by WhatsApp's types of files.
const FILE_MEMBERS: [&str; 7] = ["image", "video", "audio", "voice", "document", "sticker", "gif"];

/// Returns the files that a message names, wherever they are in it: the member with the name of the message's type, the
/// header of a message with buttons, the parameters of a template, the answers of a form (JSON in a string).
pub(crate) fn declared(message: &Members<'_>) -> Declared {
    let mut found = Declared::default();
    // An edited message's file is its own file.
    let edited = message.object("edit").and_then(|edit| edit.object("message"));
    for message in edited.iter().chain([message]) {
        if let Some(kind) = message.text("type")
            && let Some(content) = message.get(&kind)
        {
            found.search(&kind, content, Inside::Message, MAX_DEPTH);
        }
    }
    // Counted below, with the others.
    found.unfetchable = 0;
    for (name, raw) in message.all() {
        found.search(name, raw, Inside::Message, MAX_DEPTH);
    }
    found
}

impl Declared {
    fn search(&mut self, name: &str, raw: &RawValue, inside: Inside, depth: usize) {
        let Some(deeper) = depth.checked_sub(1) else { return };
        match raw.get().as_bytes().first() {
            Some(b'[') => {
                for raw in json::list(raw).unwrap_or_default() {
                    self.search(name, raw, inside, deeper);
                }
            }
            Some(b'{') => {
                let Some(members) = Members::of(raw) else { return };
                if self.add(name, &members, inside) {
                    return;
                }
                for (name, raw) in members.all() {
                    self.search(name, raw, inside, deeper);
                }
            }
            // The answers of a form.
            Some(b'"') if name == "response_json" => {
                let text = json::text(raw).unwrap_or_default();
                if let Ok(raw) = serde_json::from_str::<&RawValue>(&text) {
                    self.search("", raw, Inside::Form, deeper);
                }
            }
            _ => {}
        }
    }

    /// Adds the file that an object describes. Returns `false` for any other object.
    fn add(&mut self, name: &str, members: &Members<'_>, inside: Inside) -> bool {
        let any = |names: &[&str]| names.iter().any(|name| members.get(name).is_some());
        let is_described = any(&["mime_type", "sha256", "file_size"]);
        let is_member = inside == Inside::Message && FILE_MEMBERS.contains(&name);
        match members.text("id").filter(|id| is_id(id) && (is_described || is_member)) {
            Some(id) if self.files.iter().any(|file| file.id == id) => {}
            Some(id) if self.files.len() < MAX_FILES => self.files.push(File {
                id,
                sha256: members.text("sha256").as_deref().and_then(sha256),
                name: members.value("filename").or_else(|| members.value("file_name")),
                content_type: members.value("mime_type"),
            }),
            Some(_) => self.unfetchable += 1,
            None if is_described || (is_member && any(&["link", "url"])) => self.unfetchable += 1,
            None => return false,
        }
        true
    }
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

/// Returns the files of an event, with the ids of the business number.
pub(crate) fn references(
    declared: Declared,
    phone_number_id: Option<&str>,
    aws_phone_number_id: Option<&str>,
) -> Vec<MediaReference> {
    let reference = |file: File| MediaReference {
        id: file.id,
        phone_number_id: phone_number_id.map(str::to_owned),
        aws_phone_number_id: aws_phone_number_id.map(str::to_owned),
        sha256: file.sha256,
    };
    declared.files.into_iter().map(reference).collect()
}

/// Returns the files of a stored event.
pub(crate) fn stored(envelope: &Envelope) -> Vec<MediaReference> {
    let declared = Members::of(&envelope.event).map(|event| declared(&event)).unwrap_or_default();
    let metadata = envelope.metadata.as_deref().and_then(Members::of);
    let phone_number_id = metadata.and_then(|metadata| metadata.text("phone_number_id"));
    references(declared, phone_number_id.as_deref(), None)
}
