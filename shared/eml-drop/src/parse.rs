//! Parses mails within bounds.

use mail_parser::{Message, MessageParser};

use crate::bounds;

/// Parses the header of a mail. It is parsed separately and its length is limited, because a list of addresses takes 30
/// times its bytes. The date is parsed separately ([`date`](crate::date)).
pub(crate) fn parse(mail: &[u8]) -> Option<Message<'_>> {
    let header = bounds::header(mail).ok()?;
    MessageParser::new().with_address_headers().with_message_ids().default_header_text().parse_headers(header)
}

/// Parses the parts of a mail. Only the header fields that describe the content of a part are kept.
pub(crate) fn parse_body(mail: &[u8]) -> Option<Message<'_>> {
    MessageParser::new().with_mime_headers().default_header_ignore().parse(mail)
}

/// Returns the first of these header fields that is not empty.
pub(crate) fn field(mail: &Message<'_>, names: &[String]) -> Option<String> {
    names.iter().find_map(|name| {
        let mut values = mail.headers().iter().filter(|header| header.name().eq_ignore_ascii_case(name));
        values.find_map(|header| value(mail, header))
    })
}

pub(crate) fn value(mail: &Message<'_>, header: &mail_parser::Header<'_>) -> Option<String> {
    let text = match header.value().as_text() {
        Some(text) => text.to_owned(),
        None => {
            let raw = mail.raw_message.get(header.offset_start as usize..header.offset_end as usize)?;
            String::from_utf8_lossy(raw).into_owned()
        }
    };
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}
