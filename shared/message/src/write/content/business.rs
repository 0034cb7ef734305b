//! WhatsApp Business content: a template, buttons, a list, an order. Its shape depends on the capture. Recognized
//! members are shown as in WhatsApp, all others with their names.

use model::Item;
use serde_json::{Map, Value};

use super::{members, statements::in_the_evidence};
use crate::write::{
    body::{Block, Body, Quote, Quoted, Row, Sentence, Tone},
    clean::one_line,
    links,
};

/// Texts of the message in WhatsApp's order, each with the member names that captures use.
const TEXTS: [(&str, &[&str]); 3] =
    [("Header", &["header", "title"]), ("Body", &["body", "content", "description"]), ("Footer", &["footer"])];
const BUTTONS: [&str; 5] = ["buttons", "quickReplies", "quick_replies", "replyButtons", "actions"];
const SECTIONS: [&str; 1] = ["sections"];
/// Names of members with the label of a button or of a row of a list.
const LABELS: [&str; 8] =
    ["text", "title", "label", "displayText", "display_text", "buttonText", "name", "description"];
const LINKS: [&str; 2] = ["url", "link"];
const NUMBERS: [&str; 3] = ["phone", "phoneNumber", "phone_number"];
/// Members that a recipient does not see.
const IDS: [&str; 3] = ["id", "type", "index"];
/// Maximum number of buttons and of rows of a list that are shown.
const MAX_ROWS: usize = 100;
/// Maximum length of a button's text, in characters.
const MAX_LABEL: usize = 500;
/// Maximum length of the message's text, in bytes. WhatsApp allows 4,096 characters.
const MAX_TEXT: usize = 64 * 1024;

pub(super) fn compose<'a>(item: &'a Item, body: &mut Body<'a>) {
    body.title = "Business message".into();
    match &item.business {
        Some(Value::Object(members)) => message(members, body),
        Some(other) => captured([(&"Content".to_owned(), other)].into_iter(), body),
        None if body.text.is_none() => {
            body.tone = Tone::Gone;
            body.blocks.push(Block::Notice(Sentence::new("The message's content was not captured.")));
        }
        None => {}
    }
}

fn message<'a>(members: &'a Map<String, Value>, body: &mut Body<'a>) {
    // By reference: all other members are shown as captured.
    let mut shown: Vec<&str> = Vec::new();
    for (heading, names) in TEXTS {
        let found = names.iter().find_map(|name| Some((*name, text_of(members.get(*name)?)?)));
        if let Some((name, text)) = found {
            shown.push(name);
            if body.text != Some(text) {
                body.blocks
                    .push(Block::Quote(Quote { heading: Sentence::new(heading), text: Quoted::Words(text.into()) }));
            }
        }
    }
    let mut rows = Vec::new();
    for name in BUTTONS {
        if let Some(buttons) =
            list(members.get(name)).and_then(|buttons| buttons.iter().map(button).collect::<Option<Vec<_>>>())
        {
            shown.push(name);
            rows.extend(buttons);
        }
    }
    for name in SECTIONS {
        if let Some(sections) = list(members.get(name)).and_then(sections) {
            shown.push(name);
            rows.extend(sections);
        }
    }
    if !rows.is_empty() {
        body.blocks.push(Block::Rows(rows));
    }
    captured(members.iter().filter(|(name, _)| !shown.contains(&name.as_str())), body);
}

/// Returns a text, or the text in an object that contains only a text and its format.
fn text_of(value: &Value) -> Option<&str> {
    let text = match value {
        Value::String(text) => text,
        Value::Object(members) => match members.get("text") {
            Some(Value::String(text))
                if members.keys().all(|name| matches!(name.as_str(), "text" | "type" | "format")) =>
            {
                text
            }
            _ => return None,
        },
        _ => return None,
    };
    (!text.is_empty() && text.len() <= MAX_TEXT).then_some(text)
}

fn list(value: Option<&Value>) -> Option<&[Value]> {
    value?.as_array().map(Vec::as_slice).filter(|list| !list.is_empty() && list.len() <= MAX_ROWS)
}

/// Returns the row of a button; `None` if it has members that the row would not show.
fn button(value: &Value) -> Option<Row> {
    if let Value::String(text) = value {
        return Some(Row::new("Button", one_line(text, MAX_LABEL)));
    }
    let members = value.as_object()?;
    let shown = |name: &str, value: &Value| match value {
        Value::String(_) => {
            LABELS.contains(&name) || LINKS.contains(&name) || NUMBERS.contains(&name) || IDS.contains(&name)
        }
        Value::Number(_) => IDS.contains(&name),
        // {"type": "reply", "reply": {"id": …, "title": …}}
        Value::Object(reply) => {
            name == "reply" && reply.keys().all(|name| name == "id" || LABELS.contains(&name.as_str()))
        }
        _ => false,
    };
    let targets = members.keys().filter(|name| LINKS.contains(&name.as_str()) || NUMBERS.contains(&name.as_str()));
    if targets.count() > 1 || !members.iter().all(|(name, value)| shown(name, value)) {
        return None;
    }
    let reply = members.get("reply").and_then(Value::as_object).into_iter();
    let labels: Vec<String> = [members].into_iter().chain(reply).flat_map(labels).collect();
    if labels.is_empty() {
        return None;
    }
    let label = labels.join(", ");
    let text = |names: &[&str]| names.iter().find_map(|name| members.get(*name)?.as_str());
    Some(match (text(&LINKS), text(&NUMBERS)) {
        (Some(url), _) => {
            let href = links::whole(url).map(|link| link.href);
            let shown = if href.is_some() { label } else { format!("{label} ({})", one_line(url, 2_048)) };
            Row::link("Button", shown, href)
        }
        (None, Some(number)) => Row::new("Button", format!("{label} ({})", one_line(number, MAX_LABEL))),
        (None, None) => Row::new("Button", label),
    })
}

/// Returns the labels of a button, the title first.
fn labels(members: &Map<String, Value>) -> impl Iterator<Item = String> {
    LABELS.iter().filter_map(|name| members.get(*name)?.as_str()).map(|text| one_line(text, MAX_LABEL))
}

/// Returns the rows of a list under the titles of their sections.
fn sections(list: &[Value]) -> Option<Vec<Row>> {
    let mut rows = Vec::new();
    for section in list {
        let members = section.as_object()?;
        let known = |name: &String| matches!(name.as_str(), "title" | "rows");
        if !members.keys().all(known) {
            return None;
        }
        let title = members.get("title").and_then(Value::as_str);
        rows.extend(title.map(|title| Row::new("Section", one_line(title, MAX_LABEL))));
        for choice in members.get("rows")?.as_array()? {
            rows.push(Row { key: "Choice".into(), ..button(choice)? });
        }
    }
    (rows.len() <= MAX_ROWS).then_some(rows)
}

/// Shows unrecognized members.
fn captured<'a>(members: impl Iterator<Item = (&'a String, &'a Value)>, body: &mut Body<'_>) {
    match members::rows_of(members) {
        Ok(rows) if rows.is_empty() => {}
        Ok(rows) => body.blocks.push(Block::Captured(rows)),
        Err(_) => body.blocks.push(Block::Notice(in_the_evidence("The rest"))),
    }
}
