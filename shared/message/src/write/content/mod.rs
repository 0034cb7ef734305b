//! Describes the content of an item, by its kind. Every kind is shown, including unknown ones, and missing content is
//! stated.

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
mod statements;
mod text;
mod unknown;
mod unsupported;

use jiff::tz::TimeZone;
use mail_builder::mime::MimePart;
use model::{Captured, ChatType, Direction, Item, Kind};

use self::statements::{MAX_PEOPLE, MAX_VALUE, in_the_evidence, quote};
use crate::write::{
    amounts,
    body::{Block, Body, Mention, Row, Tone},
    clean::one_line,
    headers,
    parts::File,
    people::{self, Label},
};

/// Maximum number of header fields of a vendor's mail that are shown.
const MAX_FIELDS: usize = 40;
/// Maximum number of mentions that get a name in the text.
const MAX_MENTIONS: usize = 100;

/// Composes the content of the message's texts. `labels` are the labels of the first participants, the sender's first.
pub(crate) fn compose<'a>(
    captured: &'a Captured,
    labels: &[Label],
    files: &[File<'a>],
    zone: Option<&TimeZone>,
) -> Body<'a> {
    let item = &captured.item;
    let mut body = Body {
        title: "".into(),
        tone: Tone::Plain,
        sender: labels.first().cloned().unwrap_or_default(),
        chat: headers::chat(item),
        time: amounts::time(item.message_time, zone),
        text: item.text.as_deref().filter(|text| !text.is_empty()),
        mentions: mentions(item),
        reply: item.quoted.as_ref().map(|quoted| quote("In reply to a message", quoted)),
        blocks: Vec::new(),
        files: files::lines(files),
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
        Kind::Call => call::compose(item, zone, &mut body),
        Kind::GroupEvent | Kind::System => group_event::compose(item, &mut body),
        Kind::Business => business::compose(item, &mut body),
        Kind::Unsupported => unsupported::compose(item, &mut body),
        Kind::Other(word) => unknown::compose(word, &captured.evidence, &mut body),
    }
    circumstances(captured, &mut body);
    body.details = details(captured, &body, labels, zone);
    let differing = files::differing_sizes(files);
    if !differing.is_empty() && body.tone == Tone::Plain {
        body.tone = Tone::Notable;
    }
    body.details.extend(differing);
    body
}

/// Returns the file names of the item's contact cards.
pub(crate) fn card_names(item: &Item) -> impl Iterator<Item = String> {
    contacts::file_names(item)
}

/// Returns the item's contact cards as files under these names.
pub(crate) fn cards<'a>(item: &'a Item, names: &'a [String]) -> impl Iterator<Item = MimePart<'a>> {
    contacts::cards(item, names)
}

/// Adds facts that an item of any kind may have.
fn circumstances(captured: &Captured, body: &mut Body<'_>) {
    let item = &captured.item;
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
        let shown = item.mentions.iter().take(MAX_PEOPLE).map(Label::of).collect();
        rows.push(Row::people("Mentions", shown, item.mentions.len().saturating_sub(MAX_PEOPLE)));
    }
    if !rows.is_empty() {
        body.blocks.push(Block::Rows(rows));
    }
    let more = item.to.len().saturating_sub(headers::MAX_TO);
    if more > 0 {
        let more = amounts::thousands(more as u64);
        body.blocks.push(Block::Notice(in_the_evidence(format!("{more} more participants than To names"))));
    }
    if !captured.anomalies.is_empty() && body.tone == Tone::Plain {
        body.tone = Tone::Notable;
    }
}

/// Returns the names for `@4520123456` in the text: of mentioned participants, and of the other participants.
fn mentions(item: &Item) -> Vec<Mention> {
    if !item.text.as_deref().is_some_and(|text| text.contains('@')) {
        return Vec::new();
    }
    let people = item.mentions.iter().chain(item.participants());
    let named = people.take(MAX_MENTIONS).flat_map(|person| {
        let name = people::name(person);
        people::mention_tokens(person)
            .filter(|token| !name.chars().filter(char::is_ascii_digit).eq(token.chars()))
            .map(|token| Mention { token, name: name.clone() })
            .collect::<Vec<_>>()
    });
    named.collect()
}

fn details(captured: &Captured, body: &Body<'_>, labels: &[Label], zone: Option<&TimeZone>) -> Vec<Row> {
    let item = &captured.item;
    let mut rows = vec![Row::new("Kind", body.title.clone()), Row::people("From", vec![body.sender.clone()], 0)];
    let to = labels.get(1..).unwrap_or_default();
    if !item.to.is_empty() {
        let named: Vec<Label> = to.iter().take(MAX_PEOPLE).cloned().collect();
        rows.push(Row::people("To", named, item.to.len().saturating_sub(MAX_PEOPLE)));
    }
    // WhatsApp shows a number for a limited time, the id always: a search for the id finds the mails from before and after.
    rows.extend(people::separate_id(&item.from).map(|id| Row::new("User id of the sender", id)));
    if let [other] = item.to.as_slice() {
        rows.extend(people::separate_id(other).map(|id| Row::new("User id of the recipient", id)));
    }
    let form = match &item.chat.chat_type {
        ChatType::Individual => "individual chat",
        ChatType::Group => "group",
        ChatType::Broadcast => "broadcast",
        ChatType::Channel => "channel",
        ChatType::Status => "status",
        ChatType::Other(word) => &one_line(word, 60),
    };
    rows.push(Row::new("Chat", body.chat.clone()));
    rows.push(Row::new("Chat id", format!("{} ({form})", one_line(&item.chat.id, 128))));
    rows.push(Row::new("Sent", body.time.clone()));
    rows.push(Row::new("Archived", amounts::time(item.archived_time, zone)));
    rows.extend(item.direction.as_ref().map(|direction| captured_user(item, direction, labels)));
    if let Some(id) = &item.message_id {
        rows.push(Row::new("WhatsApp id", one_line(id, 256)));
    }
    rows.push(Row::new("Archive id", one_line(item.id.as_str(), 256)));
    if let Some(upload) = &item.upload {
        rows.push(Row::new("Uploaded by", one_line(&upload.owner, MAX_VALUE)));
        rows.push(Row::new("In the file", one_line(&upload.file, MAX_VALUE)));
        rows.extend(upload.notes.iter().map(|note| Row::new("Note", one_line(note, MAX_VALUE))));
    }
    if let Some(mail) = &item.mail {
        let name = mail.name.iter().map(|name| Row::new("As the mail", one_line(name, MAX_VALUE)));
        rows.push(Row::new("Delivered in", one_line(&mail.file, MAX_VALUE)));
        rows.extend(name);
        rows.extend(statements::row("Subject of the mail", mail.subject.as_deref()));
        let fields = mail.fields.iter().filter(|field| !field.value.is_empty()).take(MAX_FIELDS);
        rows.extend(
            fields.map(|field| {
                Row::new("Header field", one_line(&format!("{}: {}", field.name, field.value), MAX_VALUE))
            }),
        );
        rows.extend(mail.notes.iter().map(|note| Row::new("Note", one_line(note, MAX_VALUE))));
    }
    if let Some(webhook) = &item.webhook {
        rows.push(Row::new(
            "Webhook",
            format!("{}, received {}", one_line(&webhook.field, 60), amounts::time(webhook.received, zone)),
        ));
        rows.push(Row::new("SHA-256 of its body", webhook.body_sha256.to_string()));
        rows.extend(webhook.notes.iter().map(|note| Row::new("Note", one_line(note, MAX_VALUE))));
    }
    if let Some(evidence) = item.evidence() {
        let what = if item.webhook.is_some() {
            "the webhook's event as it was received"
        } else {
            "the mail as it was delivered"
        };
        rows.push(Row::new("Evidence", format!("{what}, byte for byte, is attached")));
        rows.extend(evidence.sha256.map(|sha256| Row::new("SHA-256 of the evidence", sha256.to_string())));
    }
    rows.extend(captured.anomalies.iter().map(|anomaly| Row::new("Anomaly", one_line(anomaly, MAX_VALUE))));
    rows
}

/// Returns the row with the direction, which is relative to the captured user, and that user's name if the item
/// identifies the user.
fn captured_user(item: &Item, direction: &Direction, labels: &[Label]) -> Row {
    let (key, user) = match direction {
        Direction::Outgoing => ("Outgoing from", labels.first()),
        Direction::Incoming => {
            let mut registered = item.to.iter().zip(labels.iter().skip(1)).filter(|(person, _)| person.email.is_some());
            let only = match (item.to.len(), registered.next(), registered.next()) {
                (1, _, _) => labels.get(1),
                (_, Some((_, label)), None) => Some(label),
                _ => None,
            };
            ("Incoming for", only)
        }
        Direction::Other(word) => return Row::new("Direction", one_line(word, 60)),
    };
    match user {
        Some(label) => Row::people(key, vec![label.clone()], 0),
        None => Row::new(key, "one of the recipients; the archive does not say which"),
    }
}
