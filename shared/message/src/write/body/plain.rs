//! Writes the text/plain part.

use super::blocks::{Block, Body, ERASED, FileLine, Quote, Quoted, Row, TEXT};
use crate::write::{
    clean::{lines, write_visible},
    direction::isolated,
};

const END: &str = "\r\n";
const RULE: &str = "----------------------------------------\r\n";
/// Prefix of each line of a participant's words. No line of the archive begins with it.
const MARK: &str = "| ";
const LEGEND: &str =
    "Lines that begin with \"|\" are the words of participants. All other lines are written by the archive.\r\n";

pub(super) fn write(body: &Body<'_>, preview: Option<&str>) -> String {
    let mut out = String::with_capacity(body.text.map_or(0, |text| text.len() + text.len() / 16) + 1_024);
    if let Some(preview) = preview {
        line(&[MARK, preview], &mut out);
        out.push_str(END);
    }
    rows(&body.details, "", &mut out);
    if body.has_marked_words() {
        out.push_str(LEGEND);
    }
    out.push_str(RULE);
    if let Some(reply) = &body.reply {
        quote(reply, &mut out);
    }
    if let Some(text) = body.text {
        line(&[TEXT, ":"], &mut out);
        words(text, &mut out);
    }
    blocks(&body.blocks, &mut out);
    for file in &body.files {
        file_line(file, &mut out);
    }
    out
}

/// Returns the statements of the archive about the content, with LF line breaks.
pub(super) fn statements(body: &Body<'_>) -> String {
    let mut out = String::new();
    blocks(&body.blocks, &mut out);
    out.replace(END, "\n")
}

/// Returns the quoted message, with LF line breaks.
pub(super) fn quoted(body: &Body<'_>) -> String {
    let mut out = String::new();
    if let Some(reply) = &body.reply {
        quote(reply, &mut out);
    }
    out.replace(END, "\n")
}

fn blocks(blocks: &[Block<'_>], out: &mut String) {
    for block in blocks {
        match block {
            Block::Notice(notice) => line(&[&notice.text()], out),
            Block::Rows(block) => rows(block, "", out),
            Block::Captured(block) => rows(block, MARK, out),
            Block::Quote(block) => quote(block, out),
            Block::Options(choices) => {
                for choice in choices {
                    line(&[if choice.chosen { "[x] " } else { "[ ] " }, &isolated(&choice.option)], out);
                }
            }
        }
    }
}

fn line(pieces: &[&str], out: &mut String) {
    for piece in pieces {
        write_visible(piece, out);
    }
    out.push_str(END);
}

fn words(text: &str, out: &mut String) {
    for text in lines(text) {
        out.push_str(MARK);
        line(&[text], out);
    }
}

fn rows(rows: &[Row], mark: &str, out: &mut String) {
    for row in rows {
        out.push_str(mark);
        write_visible(&row.key, out);
        out.push_str(": ");
        let value = row.value.text();
        match &row.href {
            Some(href) if *href != value => line(&[&value, " ", href], out),
            _ => line(&[&value], out),
        }
    }
}

fn quote(quote: &Quote<'_>, out: &mut String) {
    match &quote.text {
        Quoted::Words(text) => {
            line(&[&quote.heading.text(), ":"], out);
            words(text, out);
        }
        Quoted::Described(description) => line(&[&quote.heading.text(), ": ", description], out),
    }
}

fn file_line(file: &FileLine, out: &mut String) {
    line(&["File: ", &isolated(&file.name), " (", &file.facts, ")"], out);
    match &file.sha256 {
        Some(sha256) => line(&["  SHA-256 ", &sha256.to_string()], out),
        None => line(&["  ", ERASED], out),
    }
    if let Some(hint) = file.hint {
        line(&["  ", hint], out);
    }
}
