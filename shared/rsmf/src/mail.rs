//! The RFC 5322 message around a package.

use jiff::Timestamp;
use mail_builder::{
    MessageBuilder,
    headers::{HeaderType, content_type::ContentType, date::Date, raw::Raw},
    mime::{BodyPart, MimePart},
};
use memchr::memmem;
use message::write::{one_line, phrase, unstructured};
use model::Sha256;

use crate::people::People;

/// Maximum number of participants in From, To and X-RSMF-Participants. The manifest names all.
const MAX_NAMED: usize = 1_000;

/// Maximum length of the subject, in characters.
const MAX_SUBJECT_CHARS: usize = 128;

/// Values of the header fields.
pub(crate) struct Head<'a> {
    pub(crate) subject: String,
    pub(crate) begin: Timestamp,
    pub(crate) end: Timestamp,
    pub(crate) events: u64,
    pub(crate) attachments: u64,
    pub(crate) collection: Sha256,
    /// Unique for each file: makes Message-ID, boundary and marks unique.
    pub(crate) seed: Sha256,
    pub(crate) people: &'a People,
    pub(crate) sender: usize,
    pub(crate) custodian: Option<usize>,
}

/// Writes the message in three pieces: the base64 of the text belongs between the first two, the base64 of the zip
/// between the last two. `None` if mail-builder did not write the marks at which the message is cut.
pub(crate) fn write(head: &Head<'_>) -> Option<[Vec<u8>; 3]> {
    let people = head.people;
    let mailbox = |number: usize| format!("{} <{}>", phrase(people.display(number)), people.address(number));
    let named = || (0..people.len()).take(MAX_NAMED);
    let names: Vec<String> = named().map(|number| people.display(number).replace(',', " ")).collect();
    let (text, zip) = (mark(&head.seed, "text"), mark(&head.seed, "zip"));
    let mut message = MessageBuilder::new()
        .header("Date", Date::new(head.begin.as_second()))
        .header("From", raw(mailbox(head.sender)))
        .header("To", raw(named().map(mailbox).collect::<Vec<_>>().join(", ")))
        .header("Subject", raw(unstructured(&one_line(&head.subject, MAX_SUBJECT_CHARS))))
        .header("Message-ID", raw(format!("<{}@whatsapp.invalid>", head.seed)))
        .header("X-RSMF-Version", raw(crate::format::VERSION.to_owned()))
        .header("X-RSMF-Generator", raw(format!("WhatsApp Archiver {}", env!("CARGO_PKG_VERSION"))))
        .header("X-RSMF-BeginDate", raw(head.begin.to_string()))
        .header("X-RSMF-EndDate", raw(head.end.to_string()))
        .header("X-RSMF-EventCount", raw(head.events.to_string()))
        .header("X-RSMF-AttachmentCount", raw(head.attachments.to_string()))
        .header("X-RSMF-Application", raw("WhatsApp".to_owned()))
        .header("X-RSMF-Participants", raw(unstructured(&names.join(", "))))
        .header("X-RSMF-EventCollectionID", raw(head.collection.to_string()));
    if let Some(custodian) = head.custodian {
        message = message.header("X-RSMF-Custodian", raw(unstructured(people.display(custodian))));
    }
    let place = |media_type: &'static str, mark: &str| {
        MimePart::raw(BodyPart::from(mark.as_bytes().to_vec()))
            .header("Content-Type", Raw::new(media_type))
            .transfer_encoding("base64")
    };
    let parts = vec![
        place("text/plain; charset=utf-8", &text),
        place("application/zip; name=\"rsmf.zip\"", &zip)
            .header("Content-Disposition", Raw::new("attachment; filename=\"rsmf.zip\"")),
    ];
    let boundary = format!("=_rsmf_{}", head.seed.short_hex());
    let body = MimePart::new(ContentType::new("multipart/mixed").attribute("boundary", boundary), parts);
    let mut written = Vec::new();
    message.body(body).serialize(&mut written);
    let (head, rest) = split_at_mark(&written, &text)?;
    let (between, end) = split_at_mark(rest, &zip)?;
    Some([head, between, end].map(<[u8]>::to_vec))
}

fn raw(value: String) -> HeaderType<'static> {
    Raw::new(value).into()
}

fn mark(seed: &Sha256, name: &str) -> String {
    format!("=_{name}_{seed}_")
}

fn split_at_mark<'a>(message: &'a [u8], mark: &str) -> Option<(&'a [u8], &'a [u8])> {
    let at = memmem::find(message, mark.as_bytes())?;
    Some((message.get(..at)?, message.get(at + mark.len()..)?))
}
