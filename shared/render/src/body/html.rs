//! The text/html part: tables and inline styles, which Outlook and a phone's mail both understand.

use super::{Block, Body, ERASED, FileLine, NOT_KNOWN, Quote, Row, Tone};
use crate::marks::{escape, write_html, write_link};

const HEAD: &str = "<!DOCTYPE html>\r\n<html><head><meta http-equiv=\"Content-Type\" content=\"text/html; charset=utf-8\">\
    <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><title>";
const PAGE: &str = "</title></head>\r\n\
    <body style=\"margin:0;padding:0;background:#eef1f4\">\r\n\
    <table role=\"presentation\" width=\"100%\" cellpadding=\"0\" cellspacing=\"0\" border=\"0\"><tr>\
    <td align=\"center\" style=\"padding:16px 8px\">\r\n\
    <table role=\"presentation\" width=\"640\" cellpadding=\"0\" cellspacing=\"0\" border=\"0\" style=\"width:100%;\
    max-width:640px;background:#ffffff;border:1px solid #d9dee3;border-radius:8px;border-top:3px solid #1f8f7a;\
    text-align:left;font-family:'Segoe UI',Roboto,Helvetica,Arial,sans-serif;font-size:15px;line-height:1.45;\
    color:#1c2733\">\r\n";
const FOOT: &str = "</table></td></tr></table></body></html>\r\n";

/// Lines of their own direction, spaces kept, long words broken.
const PROSE: &str = "<div dir=\"auto\" style=\"unicode-bidi:plaintext;white-space:pre-wrap;text-align:start;word-wrap:break-word;\
    overflow-wrap:anywhere;";

pub(super) fn write(body: &Body<'_>) -> String {
    let mut out = String::with_capacity(body.text.map_or(0, |text| text.len() + text.len() / 8) + 6 * 1_024);
    out.push_str(HEAD);
    escape(&body.title, &mut out);
    out.push_str(PAGE);
    header(body, &mut out);
    out.push_str("<tr><td style=\"padding:14px 18px 16px 18px\">\r\n");
    if let Some(reply) = &body.reply {
        quote(reply, &mut out);
    }
    if let Some(text) = body.text {
        prose("margin:0 0 10px 0\">", text, &mut out);
    }
    for block in &body.blocks {
        match block {
            Block::Notice(notice) => {
                out.push_str("<p dir=\"auto\" style=\"margin:0 0 10px 0;color:#54606c;overflow-wrap:anywhere\">");
                escape(notice, &mut out);
                out.push_str("</p>\r\n");
            }
            Block::Rows(block) => rows(block, "15px", &mut out),
            Block::Quote(block) => quote(block, &mut out),
            Block::Options(choices) => {
                for choice in choices {
                    let (box_, weight) = if choice.chosen { ("&#9745;", "600") } else { ("&#9744;", "400") };
                    out.push_str("<p dir=\"auto\" style=\"margin:0 0 6px 0;overflow-wrap:anywhere;font-weight:");
                    out.extend([weight, "\">", box_, "&nbsp; "]);
                    escape(&choice.option, &mut out);
                    out.push_str("</p>\r\n");
                }
            }
        }
    }
    for file in &body.files {
        file_line(file, &mut out);
    }
    out.push_str(
        "</td></tr>\r\n<tr><td style=\"padding:10px 18px 12px 18px;border-top:1px solid #e4e8ec;background:#f8f9fa;\
         border-radius:0 0 8px 8px\">\r\n",
    );
    rows(&body.details, "12px", &mut out);
    out.push_str("</td></tr>\r\n");
    out.push_str(FOOT);
    out
}

fn header(body: &Body<'_>, out: &mut String) {
    let (back, fore) = match body.tone {
        Tone::Plain => ("#e3f4f0", "#0d5f50"),
        Tone::Notable => ("#fff1cf", "#6d4a00"),
        Tone::Gone => ("#fde4e4", "#8f1a1a"),
    };
    out.push_str("<tr><td style=\"padding:14px 18px 10px 18px;border-bottom:1px solid #e4e8ec\">\r\n");
    out.push_str("<div style=\"font-size:16px;font-weight:600;overflow-wrap:anywhere\">");
    isolated(&body.sender, out);
    out.push_str("</div>\r\n<div style=\"font-size:13px;color:#54606c;overflow-wrap:anywhere\"><bdi dir=\"auto\">");
    escape(&body.chat, out);
    out.push_str("</bdi> &middot; ");
    escape(&body.time, out);
    out.push_str("</div>\r\n<div style=\"padding-top:8px\"><span style=\"display:inline-block;padding:2px 10px;");
    out.extend(["border-radius:10px;font-size:12px;font-weight:600;background:", back, ";color:", fore, "\">"]);
    escape(&body.title, out);
    out.push_str("</span></div>\r\n</td></tr>\r\n");
}

/// `end` closes the opening tag's style.
fn prose(end: &str, text: &str, out: &mut String) {
    out.push_str(PROSE);
    out.push_str(end);
    write_html(text, out);
    out.push_str("</div>\r\n");
}

fn quote(quote: &Quote<'_>, out: &mut String) {
    out.push_str(
        "<div style=\"margin:0 0 10px 0;padding:8px 12px;background:#f3f5f7;border-left:4px solid #1f8f7a;\
         border-radius:4px\"><div dir=\"auto\" style=\"font-size:13px;font-weight:600;color:#0d5f50;\
         overflow-wrap:anywhere\">",
    );
    escape(&quote.heading, out);
    out.push_str("</div>\r\n");
    match quote.text {
        Some(text) => prose("color:#3c4855\">", text, out),
        None => prose("color:#7b8794;font-style:italic\">", NOT_KNOWN, out),
    }
    out.push_str("</div>\r\n");
}

fn rows(rows: &[Row], size: &str, out: &mut String) {
    if rows.is_empty() {
        return;
    }
    out.push_str(
        "<table role=\"presentation\" cellpadding=\"0\" cellspacing=\"0\" border=\"0\" style=\"margin:0 0 8px 0;",
    );
    out.extend(["font-size:", size, "\">\r\n"]);
    for row in rows {
        out.push_str("<tr><td valign=\"top\" style=\"padding:2px 14px 2px 0;min-width:84px;color:#6b7683\">");
        escape(&row.key, out);
        out.push_str("</td><td valign=\"top\" style=\"padding:2px 0;overflow-wrap:anywhere\">");
        match &row.href {
            Some(href) => write_link(href, &row.value.joined(), out),
            None => {
                for (number, value) in row.value.each().enumerate() {
                    out.push_str(if number > 0 { ", " } else { "" });
                    isolated(value, out);
                }
            }
        }
        out.push_str("</td></tr>\r\n");
    }
    out.push_str("</table>\r\n");
}

/// Text that keeps its writing direction to itself, and a phone number behind a name that is always left to right.
fn isolated(text: &str, out: &mut String) {
    let (name, number) = match text.rfind(" (+").filter(|_| text.ends_with(')')) {
        Some(at) => text.split_at(at),
        None => (text, ""),
    };
    out.push_str("<bdi dir=\"auto\">");
    escape(name, out);
    out.push_str("</bdi>");
    if !number.is_empty() {
        out.push_str("<bdi dir=\"ltr\">");
        escape(number, out);
        out.push_str("</bdi>");
    }
}

fn file_line(file: &FileLine, out: &mut String) {
    out.push_str(
        "<div style=\"margin:0 0 8px 0;padding:8px 12px;border:1px solid #e0e5ea;border-radius:6px;\
         overflow-wrap:anywhere\">&#128206; <b><bdi dir=\"ltr\">",
    );
    escape(&file.name, out);
    out.push_str("</bdi></b><br><span style=\"font-size:12px;color:#6b7683\">");
    escape(&file.facts, out);
    out.push_str("<br>");
    match &file.sha256 {
        Some(sha256) => out.push_str(&format!("SHA-256 {sha256}")),
        None => out.extend(["<b style=\"color:#8f1a1a\">", ERASED, "</b>"]),
    }
    out.push_str("</span></div>\r\n");
}
