//! importMime: a whole message, in base64.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use mail_parser::MessageParser;

use crate::{
    mailbox::{Quirks, StoredMessage, new_id},
    message::message_id,
    reply::Rejection,
};

/// Creates a message from the body of a request.
pub(crate) fn parse_mime(body: &[u8], folder: &str, quirks: Quirks) -> Result<StoredMessage, Rejection> {
    let mime = STANDARD.decode(body).map_err(|_| Rejection(400, "ErrorMimeContentInvalidBase64String"))?;
    if !has_only_crlf(&mime) {
        return Err(Rejection(400, "ErrorMimeContentInvalid"));
    }
    let parsed = MessageParser::default().parse(&mime).ok_or(Rejection(400, "ErrorMimeContentInvalid"))?;
    let date = parsed.date().and_then(|date| Timestamp::from_second(date.to_timestamp()).ok());
    let parties = |address: Option<&mail_parser::Address<'_>>| -> Vec<(String, String)> {
        let parties = address.into_iter().flat_map(|address| address.iter());
        let party = |party: &mail_parser::Addr<'_>| {
            (party.name().unwrap_or_default().to_owned(), party.address().unwrap_or_default().to_owned())
        };
        parties.map(party).collect()
    };
    let headers = parsed.headers_raw().filter(|(name, _)| name.to_ascii_lowercase().starts_with("x-"));
    let headers = headers.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect();
    let id = new_id();
    Ok(StoredMessage {
        first_id: id.clone(),
        id,
        folder: String::new(),
        visible: false,
        folder_id: folder.into(),
        subject: parsed.subject().unwrap_or_default().to_owned(),
        body_type: "html".to_owned(),
        body: String::new(),
        is_draft: quirks.makes_drafts,
        is_read: true,
        received: date.filter(|_| !quirks.ignores_dates).unwrap_or_else(Timestamp::now),
        internet_message_id: message_id(parsed.message_id().map(|id| format!("<{id}>")), quirks)?,
        from: parties(parsed.from()).into_iter().next(),
        sender: parties(parsed.sender()).into_iter().next(),
        to: parties(parsed.to()),
        headers,
        properties: BTreeMap::new(),
        attachments: Vec::new(),
        mime: Some(mime),
    })
}

/// Returns `true` if every line ends with CRLF.
fn has_only_crlf(mime: &[u8]) -> bool {
    let ends = mime.windows(2).filter(|pair| *pair == b"\r\n").count();
    let count = |wanted| mime.iter().filter(|&&byte| byte == wanted).count();
    ends > 0 && count(b'\r') == ends && count(b'\n') == ends
}
