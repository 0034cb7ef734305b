//! Converts HTML to text.

use mail_parser::decoders::html::html_to_text;

/// Elements whose content is not shown.
const HIDDEN: [&str; 4] = ["style", "script", "template", "title"];
/// Elements in a line of text: the words before and after their tags may be one word. All others begin a line of their own.
const INLINE: [&str; 41] = [
    "a", "abbr", "acronym", "b", "bdi", "bdo", "big", "blink", "cite", "code", "data", "del", "dfn", "em", "font", "i",
    "ins", "kbd", "label", "mark", "nobr", "o:p", "output", "q", "rb", "rp", "rt", "ruby", "s", "samp", "small",
    "span", "strike", "strong", "sub", "sup", "time", "tt", "u", "var", "wbr",
];
/// Elements in a line that separate the words before and after them.
const SEPARATE: [&str; 12] =
    ["audio", "button", "canvas", "embed", "img", "input", "meter", "object", "progress", "select", "td", "th"];

/// Returns the words of an HTML text. Words of two cells, lines or blocks are separate. Comments are left out; a `<` that
/// begins no tag is text.
pub(crate) fn text(html: &str) -> String {
    html_to_text(&simplified(html)).trim_start_matches(['\n', ' ']).to_owned()
}

/// Returns the HTML with tags for line ends only, as the library's converter recognizes them: it does not separate cells
/// and blocks, and reads no tag with attributes. Each byte is read a constant number of times.
fn simplified(html: &str) -> String {
    let lower = html.to_ascii_lowercase();
    let mut out = String::with_capacity(html.len());
    // Whether words were written after the last line end.
    let mut has_words = false;
    // The open inline elements, and whether each has a style of display, such as `inline-block`.
    let mut open: Vec<(&str, bool)> = Vec::new();
    let mut at = 0;
    while at < html.len() {
        let tag = lower[at..].find('<').map_or(html.len(), |tag| at + tag);
        let words = &html[at..tag];
        has_words |= words.contains(|c: char| !c.is_whitespace());
        out.push_str(words);
        let rest = &lower[tag..];
        if rest.is_empty() {
            break;
        }
        if rest.starts_with("<!--") {
            at = rest.find("-->").map_or(html.len(), |end| tag + end + 3);
            continue;
        }
        let is_tag = rest[1..].starts_with(|c: char| c.is_ascii_alphabetic() || "/!?".contains(c));
        if !is_tag {
            out.push_str("&lt;");
            has_words = true;
            at = tag + 1;
            continue;
        }
        let Some(end) = rest.find('>') else {
            // No tag ends after this place.
            out.push_str(&html[tag..].replace('<', "&lt;"));
            break;
        };
        at = tag + end + 1;
        let inner = &rest[1..end];
        let (is_end, inner) = inner.strip_prefix('/').map_or((false, inner), |inner| (true, inner));
        let name_end = inner.find(|c: char| c.is_whitespace() || c == '/').unwrap_or(inner.len());
        let (name, attributes) = inner.split_at(name_end);
        if HIDDEN.contains(&name) && !is_end {
            let closing = format!("</{name}");
            at = lower[at..].find(&closing).map_or(html.len(), |closing| at + closing);
        } else if name == "br" || (name == "p" && is_end) {
            out.push_str("<br>");
            has_words = false;
        } else if SEPARATE.contains(&name) {
            out.push(' ');
        } else if is_inline(name) {
            let is_block = if is_end {
                open.pop_if(|(opened, _)| *opened == name).is_some_and(|(_, is_block)| is_block)
            } else {
                open.push((name, attributes.contains("display")));
                attributes.contains("display")
            };
            out.extend(is_block.then_some(' '));
        } else if has_words && !HIDDEN.contains(&name) {
            out.push_str("<br>");
            has_words = false;
        }
    }
    out
}

fn is_inline(name: &str) -> bool {
    INLINE.contains(&name) || name.starts_with(['!', '?'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_cells_blocks_and_lines_are_separate() {
        for (html, expected) in [
            ("<table><tr><td>100</td><td>200</td></tr><tr><th>a<th>b</table>c", "100 200\na b\nc"),
            ("<ul><li>one<li>two</ul>three", "one\ntwo\nthree"),
            ("<div>a</div><div>b<div>c</div></div>d", "a\nb\nc\nd"),
            ("a<br>b<BR clear=\"all\">c<br/>d", "a\nb\nc\nd"),
            ("text<p class=x>para</p>text", "text\npara\ntext"),
            ("<p>a</p><p>b</p>", "a\nb\n"),
            ("a<h1>b</h1>c<hr>d<pre>e</pre>f<blockquote>g</blockquote>", "a\nb\nc\nd\ne\nf\ng\n"),
            ("<dl><dt>a<dd>b</dl><section>c</section><new-element>d</new-element>", "a\nb\nc\nd\n"),
            ("<select><option>a<option>b</select>", "a\nb"),
            ("1<span style=\"Display: inline-block\">2</span>3<img src=x>4", "1 2 3 4"),
            ("<b>Se</b>ll <span>1</span>00<wbr>0", "Sell 1000"),
        ] {
            assert_eq!(text(html).trim_end(), expected.trim_end(), "{html}");
        }
    }

    #[test]
    fn hidden_content_is_left_out_and_no_words_are() {
        for (html, expected) in [
            ("<html><head><title>T</title><style type=\"text/css\">p{x:\"<!--\"}</style><p>Words", "Words"),
            ("<script>var a = '<p>';</script>a<template><p>x</p></template>b", "ab"),
            ("a<!-- x --->b<!--[if mso]>c<![endif]-->d", "abd"),
            ("5 < 6 and 7 > 6 <- x", "5 < 6 and 7 > 6 <- x"),
            ("a &lt;b&gt; &amp; &eacute; <b", "a <b> & é <b"),
            ("ИТОГО<TD>İ<td>100", "ИТОГО İ 100"),
            ("", ""),
        ] {
            assert_eq!(text(html), expected, "{html}");
        }
    }

    #[test]
    fn open_tags_take_linear_time() {
        // Quadratic work on these texts would read each of them a million times.
        for piece in ["<", "<a", "<a ", "<!--", "<!-", "<style", "<style>", "</", "<td>", "&"] {
            let html = piece.repeat((2 << 20) / piece.len());
            assert!(text(&html).len() <= 8 * html.len(), "{piece}");
        }
    }
}
