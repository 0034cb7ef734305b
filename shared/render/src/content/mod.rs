//! What an item says, kind by kind. Every kind is shown, the unknown ones too, and whatever is missing is said to be
//! missing.

mod business;
mod call;
mod contacts;
mod deletion;
mod edit;
mod files;
mod group_event;
mod location;
mod media;
mod members;
mod poll;
mod reaction;
mod text;
mod unknown;
mod unsupported;

use item::{Captured, ChatType, Direction, Item, Kind, Participant, Quoted};
use mail_builder::mime::MimePart;

use crate::{
    Content, amounts,
    body::{Block, Body, Quote, Row, Tone},
    clean::one_line,
    headers, people,
};

/// The longest value of a table's row, in characters.
const MAX_VALUE: usize = 500;
/// How many people a row names before it counts the rest.
const MAX_PEOPLE: usize = 10;

/// Everything that the message's texts say. `labels` are those of the first participants, the sender's first; `names` those
/// of the files.
pub(crate) fn compose<'a>(
    captured: &'a Captured,
    labels: &[String],
    attachments: &[Content],
    names: &[String],
) -> Body<'a> {
    let item = &captured.item;
    let mut body = Body {
        title: "".into(),
        tone: Tone::Plain,
        sender: labels.first().cloned().unwrap_or_default(),
        chat: headers::chat(item),
        time: amounts::time(item.message_time),
        text: item.text.as_deref().filter(|text| !text.is_empty()),
        reply: item.quoted.as_ref().map(|quoted| quote("In reply to", "In reply to a message", quoted)),
        blocks: Vec::new(),
        files: files::lines(item, attachments, names),
        details: Vec::new(),
    };
    match &item.kind {
        Kind::Text => text::compose(&mut body),
        Kind::Image | Kind::Video | Kind::Gif | Kind::Audio | Kind::Voice | Kind::Document | Kind::Sticker => {
            media::compose(item, &mut body);
        }
        Kind::Location | Kind::LiveLocation => location::compose(item, &mut body),
        Kind::Contacts => contacts::compose(item, &mut body),
        Kind::Poll => poll::compose(item, &mut body),
        Kind::PollVote => poll::compose_vote(item, &mut body),
        Kind::Reaction => reaction::compose(item, &mut body),
        Kind::Edit => edit::compose(item, &mut body),
        Kind::Delete => deletion::compose(item, &mut body),
        Kind::Call => call::compose(item, &mut body),
        Kind::GroupEvent | Kind::System => group_event::compose(item, &mut body),
        Kind::Business => business::compose(item, &mut body),
        Kind::Unsupported => unsupported::compose(item, &mut body),
        Kind::Other(word) => unknown::compose(word, &captured.evidence, &mut body),
    }
    circumstances(item, &mut body);
    body.details = details(captured, &body, labels.get(1..).unwrap_or_default());
    body
}

/// The item's contact cards as files.
pub(crate) fn cards(item: &Item) -> impl Iterator<Item = MimePart<'_>> {
    contacts::cards(item)
}

/// What may be true of an item of any kind.
fn circumstances(item: &Item, body: &mut Body<'_>) {
    let mut rows = Vec::new();
    if item.frequently_forwarded == Some(true) {
        rows.push(Row::new("Forwarded", "many times"));
    } else if item.forwarded == Some(true) {
        rows.push(Row::new("Forwarded", "yes"));
    }
    if let Some(seconds) = item.disappearing_seconds.filter(|seconds| *seconds > 0) {
        #[expect(clippy::cast_precision_loss, reason = "shown in words, and a century is the longest of them")]
        rows.push(Row::new("Disappears after", amounts::duration(seconds as f64)));
    }
    if !item.mentions.is_empty() {
        rows.push(Row::list("Mentions", everybody(&item.mentions)));
    }
    if !rows.is_empty() {
        body.blocks.push(Block::Rows(rows));
    }
    let more = item.to.len().saturating_sub(headers::MAX_TO);
    if more > 0 {
        let more = amounts::thousands(more as u64);
        body.blocks.push(Block::Notice(format!(
            "{more} more participants than To names are in {}.",
            crate::file_name::EVIDENCE
        )));
    }
}

fn details(captured: &Captured, body: &Body<'_>, others: &[String]) -> Vec<Row> {
    let item = &captured.item;
    let mut rows = vec![Row::new("Kind", body.title.clone()), Row::new("From", body.sender.clone())];
    if !item.to.is_empty() {
        let named = others.iter().take(MAX_PEOPLE).cloned().collect();
        rows.push(Row::list("To", and_more(named, item.to.len())));
    }
    let form = match &item.chat.chat_type {
        ChatType::Individual => "individual chat",
        ChatType::Group => "group",
        ChatType::Broadcast => "broadcast",
        ChatType::Channel => "channel",
        ChatType::Status => "status",
        ChatType::Other(word) => &one_line(word, 60),
    };
    rows.push(Row::new("Chat", format!("{} ({form}, {})", body.chat, one_line(&item.chat.id, 128))));
    rows.push(Row::new("Sent", body.time.clone()));
    rows.push(Row::new("Archived", amounts::time(item.archived_time)));
    match &item.direction {
        Some(Direction::Incoming) => rows.push(Row::new("Direction", "incoming")),
        Some(Direction::Outgoing) => rows.push(Row::new("Direction", "outgoing")),
        Some(Direction::Other(word)) => rows.push(Row::new("Direction", one_line(word, 60))),
        None => {}
    }
    if let Some(id) = &item.message_id {
        rows.push(Row::new("WhatsApp id", one_line(id, 256)));
    }
    rows.push(Row::new("Archive id", one_line(item.id.as_str(), 256)));
    if let Some(upload) = &item.upload {
        rows.push(Row::new("Uploaded by", one_line(&upload.owner, MAX_VALUE)));
        rows.push(Row::new("In the file", one_line(&upload.file, MAX_VALUE)));
    }
    rows.extend(captured.anomalies.iter().map(|anomaly| Row::new("Anomaly", one_line(anomaly, MAX_VALUE))));
    rows
}

/// The first few people by name, and how many more there are.
fn everybody(people: &[Participant]) -> Vec<String> {
    and_more(people.iter().take(MAX_PEOPLE).map(people::label).collect(), people.len())
}

fn and_more(mut names: Vec<String>, people: usize) -> Vec<String> {
    let more = people.saturating_sub(MAX_PEOPLE);
    if more > 0 {
        names.push(format!("and {} more", amounts::thousands(more as u64)));
    }
    names
}

/// `<words> Søren Jensen (+45 …)`, and what that message said; `nobody` where its sender is not known.
fn quote<'a>(words: &str, nobody: &str, quoted: &'a Quoted) -> Quote<'a> {
    let heading = match &quoted.from {
        Some(from) => format!("{words} {}", people::label(from)),
        None => nobody.to_owned(),
    };
    Quote { heading, text: quoted.text.as_deref().filter(|text| !text.is_empty()) }
}

/// A row of somebody else's text, where there is any.
fn row(key: &'static str, value: Option<&str>) -> Option<Row> {
    let value = one_line(value?, MAX_VALUE);
    (!value.is_empty()).then(|| Row::new(key, value))
}
