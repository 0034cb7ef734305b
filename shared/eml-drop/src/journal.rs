//! Journal reports: a mail server's report about a mail, with that mail attached. The attached mail is the message. The
//! report lists its recipients, including blind copies and members of lists.

use std::borrow::Cow;

use mail_parser::{Message, PartType};

use crate::parse::{parse, parse_body};

/// The header field that Exchange gives to its reports.
const REPORT: &str = "X-MS-Journal-Report";

/// The names of recipient fields in journal reports.
const RECIPIENTS: [&str; 4] = ["Recipient:", "To:", "Cc:", "Bcc:"];

/// The mail of a file, and the addresses of all recipients in the journal report.
pub(crate) struct OpenedMail<'a> {
    pub(crate) mail: Cow<'a, [u8]>,
    pub(crate) recipients: Vec<String>,
}

/// Opens a journal report; any other mail is returned as it is.
pub(crate) fn open(bytes: &[u8]) -> OpenedMail<'_> {
    let plain = || OpenedMail { mail: Cow::Borrowed(bytes), recipients: Vec::new() };
    let is_report =
        parse(bytes).is_some_and(|mail| mail.headers().iter().any(|header| header.name().eq_ignore_ascii_case(REPORT)));
    if !is_report {
        return plain();
    }
    let Some(report) = parse_body(bytes) else { return plain() };
    let mut attached = report.parts.iter().filter_map(|part| match &part.body {
        PartType::Message(message) => Some(message),
        _ => None,
    });
    let (Some(message), None) = (attached.next(), attached.next()) else { return plain() };
    OpenedMail { mail: Cow::Owned(message.raw_message().to_vec()), recipients: recipients(&report) }
}

fn recipients(report: &Message<'_>) -> Vec<String> {
    let text = report.body_text(0).unwrap_or_default();
    let lines = text.lines().map(str::trim);
    let named = lines.filter_map(|line| RECIPIENTS.iter().find_map(|label| line.strip_prefix(label)));
    // "To: member@example.com, Expanded: list@example.com"
    let addresses = named.filter_map(|line| line.split(',').next());
    addresses.map(|address| address.trim().trim_matches(['<', '>']).to_owned()).collect()
}
