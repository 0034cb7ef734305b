//! The text/plain part.

use super::{Block, Body, ERASED, FileLine, NOT_KNOWN, Quote, Row};
use crate::clean::{lines, write_plain, write_visible};

const END: &str = "\r\n";
const RULE: &str = "----------------------------------------\r\n";

pub(super) fn write(body: &Body<'_>) -> String {
    let mut out = String::with_capacity(body.text.map_or(0, str::len) + 1_024);
    if let Some(text) = body.text {
        write_plain(text, &mut out);
        out.push_str(END);
        out.push_str(END);
    }
    line(&["[", &body.title, "]"], &mut out);
    if let Some(reply) = &body.reply {
        quote(reply, &mut out);
    }
    for block in &body.blocks {
        match block {
            Block::Notice(notice) => line(&[notice], &mut out),
            Block::Rows(block) => rows(block, &mut out),
            Block::Quote(block) => quote(block, &mut out),
            Block::Options(choices) => {
                for choice in choices {
                    line(&[if choice.chosen { "[x] " } else { "[ ] " }, &choice.option], &mut out);
                }
            }
        }
    }
    for file in &body.files {
        file_line(file, &mut out);
    }
    out.push_str(END);
    out.push_str(RULE);
    rows(&body.details, &mut out);
    out
}

fn line(pieces: &[&str], out: &mut String) {
    for piece in pieces {
        write_visible(piece, out);
    }
    out.push_str(END);
}

fn rows(rows: &[Row], out: &mut String) {
    for Row { key, value, href } in rows {
        let value = &*value.joined();
        match href {
            Some(href) if href != value => line(&[key, ": ", value, " ", href], out),
            _ => line(&[key, ": ", value], out),
        }
    }
}

fn quote(quote: &Quote<'_>, out: &mut String) {
    line(&[&quote.heading, ":"], out);
    for text in lines(quote.text.unwrap_or(NOT_KNOWN)) {
        line(&["> ", text], out);
    }
}

fn file_line(file: &FileLine, out: &mut String) {
    line(&["File: ", &file.name, " (", &file.facts, ")"], out);
    match &file.sha256 {
        Some(sha256) => line(&["  SHA-256 ", &sha256.to_string()], out),
        None => line(&["  ", ERASED], out),
    }
}
