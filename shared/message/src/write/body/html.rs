//! Writes the text/html part, for browsers and for Outlook for Windows, which uses Word's layout engine. Word applies
//! padding only to table cells and breaks long words only in tables with a fixed width. It does not support `bdi`,
//! `dir=auto` and `max-width`, and its tables do not inherit fonts. Therefore every box is a table with one cell that
//! repeats its properties, and the style sheet, which other programs may remove, sets the font of every cell.

use std::borrow::Cow;

use super::{
    blocks::{Block, Body, ERASED, FileLine, Quote, Quoted, Row, TEXT, Tone, Value},
    marks::{LEFT_TO_RIGHT, escape, write_html, write_link},
    sentence::{Segment, Sentence},
};
use crate::write::{
    amounts,
    direction::{self, WritingDirection},
    people::Label,
};

const HEAD: &str = "<!DOCTYPE html>\r\n<html lang=\"en\" dir=\"ltr\"><head>\
    <meta http-equiv=\"Content-Type\" content=\"text/html; charset=utf-8\">\
    <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
    <style>td,th{font-family:'Segoe UI',Arial,sans-serif;color:#1c2733}\
    th{color:#6b7683;font-size:12px;font-weight:normal;text-align:left}a{color:#0b6e99}</style><title>";
const BODY: &str = "</title></head>\r\n<body dir=\"ltr\" style=\"margin:0;padding:0;background:#eef1f4\">\r\n";
/// Shown by a mail program's list of messages, and hidden in the message.
const PREVIEW: &str = "<div style=\"display:none;max-height:0;overflow:hidden;font-size:1px;line-height:1px;color:#eef1f4;\
    mso-hide:all\">";
/// A table of 640 pixels, in browsers no wider than the window.
const PAGE: &str = "<table role=\"presentation\" dir=\"ltr\" width=\"100%\" cellpadding=\"0\" cellspacing=\"0\" border=\"0\" \
    style=\"table-layout:fixed\"><tr><td align=\"center\" style=\"padding:16px 8px\">\r\n\
    <table role=\"presentation\" dir=\"ltr\" width=\"640\" cellpadding=\"0\" cellspacing=\"0\" border=\"0\" bgcolor=\"#ffffff\" \
    style=\"table-layout:fixed;max-width:100%;background:#ffffff;border:1px solid #d9dee3;border-top:3px solid #1f8f7a;\
    text-align:left;font-family:'Segoe UI',Arial,sans-serif;font-size:15px;color:#1c2733;line-height:1.45;\
    word-wrap:break-word;overflow-wrap:anywhere\">\r\n";
const FOOT: &str = "</table></td></tr></table></body></html>\r\n";

const SECTION: &str = "<tr><td dir=\"ltr\" align=\"left\" style=\"padding:5px 18px;font-size:15px\">";
const SECTION_END: &str = "</td></tr>\r\n";
const TABLE: &str = "<table role=\"presentation\" dir=\"ltr\" width=\"100%\" cellpadding=\"0\" cellspacing=\"0\" border=\"0\" \
    style=\"table-layout:fixed\"><tr>";
const TABLE_END: &str = "</tr></table>\r\n";
/// The bar marks words of participants. Their text cannot create one.
const WORDS: &str = "<td bgcolor=\"#f3f5f7\" align=\"left\" style=\"padding:8px 12px;background:#f3f5f7;\
    border-left:4px solid #1f8f7a;font-size:15px\">";
/// The attributes of a table's keys, of its values, and of the first key, which set the width of the keys.
const DETAILS: [&str; 3] = ["", " style=\"font-size:12px\"", " width=\"110\""];
const FACTS: [&str; 3] = [" style=\"font-size:15px\"", " style=\"font-size:15px\"", " width=\"110\""];
const CAPTURED: [&str; 3] = [" style=\"font-size:13px\"", " style=\"font-size:13px\"", " width=\"190\""];
const LABEL: &str = "<div style=\"font-size:12px;color:#54606c\">";

pub(super) fn write(body: &Body<'_>, preview: Option<&str>) -> String {
    let mut out = String::with_capacity(body.text.map_or(0, |text| text.len() + text.len() / 8) + 8 * 1_024);
    out.push_str(HEAD);
    escape(&body.title, &mut out);
    out.push_str(BODY);
    out.push_str(PREVIEW);
    escape(&preview.map_or_else(|| body.summary().into(), Cow::Borrowed), &mut out);
    out.push_str("</div>\r\n");
    out.push_str(PAGE);
    header(body, &mut out);
    if let Some(reply) = &body.reply {
        quote(reply, &mut out);
    }
    if let Some(text) = body.text {
        out.extend([SECTION, LABEL, TEXT, "</div>", TABLE, WORDS]);
        write_html(text, &body.mentions, &mut out);
        close_box(&mut out);
    }
    for block in &body.blocks {
        match block {
            Block::Notice(notice) => {
                out.extend([SECTION, "<span style=\"color:#54606c\">"]);
                sentence(notice, &mut out);
                out.extend(["</span>", SECTION_END]);
            }
            Block::Rows(block) => {
                out.push_str(SECTION);
                rows(block, FACTS, &mut out);
                out.push_str(SECTION_END);
            }
            Block::Captured(block) => {
                out.extend([SECTION, TABLE, WORDS]);
                rows(block, CAPTURED, &mut out);
                close_box(&mut out);
            }
            Block::Quote(block) => quote(block, &mut out),
            Block::Options(choices) => {
                out.push_str(SECTION);
                for choice in choices {
                    let (mark, weight) = if choice.chosen { ("&#9745;", "600") } else { ("&#9744;", "400") };
                    out.extend(["<div style=\"font-weight:", weight, "\">", mark, "&nbsp; "]);
                    name(&choice.option, &mut out);
                    out.push_str("</div>\r\n");
                }
                out.push_str(SECTION_END);
            }
        }
    }
    for file in &body.files {
        file_line(file, &mut out);
    }
    out.push_str(
        "<tr><td dir=\"ltr\" align=\"left\" bgcolor=\"#f8f9fa\" style=\"padding:10px 18px 12px 18px;\
         border-top:1px solid #e4e8ec;background:#f8f9fa;font-size:12px\">\r\n",
    );
    rows(&body.details, DETAILS, &mut out);
    if body.has_marked_words() {
        out.push_str(
            "<div style=\"color:#6b7683\">Boxes with a green bar hold the words of participants. All else is written by the \
             archive.</div>",
        );
    }
    out.push_str(SECTION_END);
    out.push_str(FOOT);
    out
}

fn close_box(out: &mut String) {
    out.extend(["</td>", TABLE_END, SECTION_END]);
}

fn header(body: &Body<'_>, out: &mut String) {
    let (back, fore) = match body.tone {
        Tone::Plain => ("#e3f4f0", "#0d5f50"),
        Tone::Notable => ("#fff1cf", "#6d4a00"),
        Tone::Gone => ("#fde4e4", "#8f1a1a"),
    };
    out.push_str(
        "<tr><td dir=\"ltr\" align=\"left\" style=\"padding:14px 18px 10px 18px;border-bottom:1px solid #e4e8ec;\
         font-size:16px\">\r\n<b>",
    );
    label(&body.sender, out);
    out.push_str("</b>\r\n<div style=\"font-size:13px;color:#54606c\">");
    name(&body.chat, out);
    out.push_str(" &middot; ");
    escape(&body.time, out);
    out.push_str(
        "</div>\r\n<table role=\"presentation\" dir=\"ltr\" cellpadding=\"0\" cellspacing=\"0\" border=\"0\"><tr>",
    );
    out.push_str("<td style=\"padding:8px 0 0 0\"><table role=\"presentation\" cellpadding=\"0\" cellspacing=\"0\" border=\"0\">");
    out.extend([
        "<tr><td bgcolor=\"",
        back,
        "\" style=\"padding:2px 10px;border-radius:10px;background:",
        back,
        ";color:",
    ]);
    out.extend([fore, ";font-size:12px;font-weight:600\">"]);
    let mut words = body.title.split(' ');
    escape(words.next().unwrap_or_default(), out);
    for word in words {
        // The words of a badge are joined by non-breaking spaces.
        out.push_str("&nbsp;");
        escape(word, out);
    }
    out.push_str("</td></tr></table></td></tr></table></td></tr>\r\n");
}

fn quote(quote: &Quote<'_>, out: &mut String) {
    out.extend([SECTION, LABEL]);
    sentence(&quote.heading, out);
    match &quote.text {
        Quoted::Words(text) => {
            out.extend(["</div>", TABLE, WORDS]);
            write_html(text, &[], out);
            close_box(out);
        }
        Quoted::Described(description) => out.extend([": <i>", description, "</i></div>", SECTION_END]),
    }
}

fn rows(rows: &[Row], [key, value, mut width]: [&str; 3], out: &mut String) {
    if rows.is_empty() {
        return;
    }
    out.push_str(
        "<table role=\"presentation\" dir=\"ltr\" width=\"100%\" cellpadding=\"2\" cellspacing=\"0\" border=\"0\" \
         style=\"table-layout:fixed\">\r\n",
    );
    // The first row's widths are those of a table with a fixed layout.
    for row in rows {
        out.extend(["<tr valign=\"top\"><th", width, key, ">"]);
        width = "";
        escape(&row.key, out);
        out.extend(["</th><td", value, ">"]);
        match (&row.value, &row.href) {
            (Value::Text(text), Some(href)) => write_link(href, text, out),
            // A text that is alone in its cell needs no `span` if it cannot reorder anything.
            (Value::Text(text), None) if !direction::reorders(text) => escape(text, out),
            (Value::Text(text), None) => name(text, out),
            (Value::People(people, more), _) => {
                for (number, person) in people.iter().enumerate() {
                    out.push_str(if number > 0 { ", " } else { "" });
                    label(person, out);
                }
                if *more > 0 {
                    out.push_str(&format!(" and {} more", amounts::thousands(*more as u64)));
                }
            }
        }
        out.push_str("</td></tr>\r\n");
    }
    out.push_str("</table>\r\n");
}

fn sentence(sentence: &Sentence, out: &mut String) {
    for segment in sentence.segments() {
        match segment {
            Segment::Ours(words) => escape(words, out),
            Segment::Theirs(text) => {
                out.push('“');
                name(text, out);
                out.push('”');
            }
        }
    }
}

/// Writes a text isolated in its own writing direction: by a `span`, and by marks for programs that ignore the `span`'s
/// direction.
fn name(text: &str, out: &mut String) {
    let dir = WritingDirection::of(text).unwrap_or(WritingDirection::LeftToRight).dir();
    let reorders = direction::reorders(text);
    if reorders {
        out.push(direction::LRM);
    }
    out.extend(["<span dir=\"", dir, "\">"]);
    escape(text, out);
    out.push_str("</span>");
    if reorders {
        out.push_str(LEFT_TO_RIGHT);
    }
}

fn label(label: &Label, out: &mut String) {
    name(&label.name, out);
    if let Some(number) = &label.number {
        out.push_str(" <span dir=\"ltr\">(");
        escape(number, out);
        out.push_str(")</span>");
        if direction::reorders(&label.name) {
            out.push_str(LEFT_TO_RIGHT);
        }
    }
}

fn file_line(file: &FileLine, out: &mut String) {
    out.extend([
        SECTION,
        TABLE,
        "<td align=\"left\" style=\"padding:8px 12px;border:1px solid #e0e5ea;font-size:15px\">",
    ]);
    if let Some(picture) = &file.picture {
        out.push_str(&format!("<img src=\"cid:{}\" width=\"{}\" alt=\"", picture.content_id, picture.width));
        escape(&file.name, out);
        out.push_str("\" style=\"display:block;border:0;max-width:100%;height:auto\"><br>");
    }
    out.push_str("&#128206; <b>");
    name(&file.name, out);
    out.push_str("</b><div style=\"font-size:12px;color:#6b7683\">");
    escape(&file.facts, out);
    out.push_str("<br>");
    match &file.sha256 {
        Some(sha256) => out.push_str(&format!("SHA-256 {sha256}")),
        None => out.extend(["<b style=\"color:#8f1a1a\">", ERASED, "</b>"]),
    }
    if let Some(hint) = file.hint {
        out.push_str("<br>");
        escape(hint, out);
    }
    out.push_str("</div>");
    close_box(out);
}
