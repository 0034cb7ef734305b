//! Recognizes links in participants' texts: http, https, mailto and tel, and only those whose visible text is the real
//! target.

use model::MailboxAddress;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use crate::write::clean::is_direction_mark;

/// Maximum length of a link, in bytes. Longer ones remain text. The limit also keeps the search linear in a text with
/// many invalid links.
const MAX_LINK: usize = 2_048;

/// ASCII characters to encode in a URL. All other characters are encoded too.
const ENCODED: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'\'').add(b'<').add(b'>').add(b'`').add(b'{').add(b'}');

/// A link at the beginning of a text.
pub(crate) struct Link {
    /// Length in the text, in bytes.
    pub(crate) len: usize,
    /// Target: percent-encoded ASCII without quotes or angle brackets. `&` must still be escaped.
    pub(crate) href: String,
}

/// Returns the length of the scheme of a link at the end of the text before a colon.
pub(crate) fn scheme(text: &str) -> Option<usize> {
    let end = |length| text.get(text.len().checked_sub(length)?..);
    let is_end = |scheme: &&str| end(scheme.len()).is_some_and(|end| end.eq_ignore_ascii_case(scheme));
    ["https", "http", "mailto", "tel"].into_iter().find(is_end).map(str::len)
}

/// Recognizes a link at the beginning of a text.
pub(crate) fn at_start(text: &str) -> Option<Link> {
    if let Some(scheme) = ["https://", "http://"].into_iter().find(|scheme| starts_with(text, scheme)) {
        return web(text, scheme.len());
    }
    if starts_with(text, "mailto:") {
        return mailto(text);
    }
    if starts_with(text, "tel:") {
        return tel(text);
    }
    None
}

/// Reads a text that is one http or https link and nothing else.
pub(crate) fn whole(text: &str) -> Option<Link> {
    let link = at_start(text).filter(|link| link.len == text.len())?;
    link.href.to_ascii_lowercase().starts_with("http").then_some(link)
}

fn starts_with(text: &str, scheme: &str) -> bool {
    text.as_bytes().get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme.as_bytes()))
}

fn web(text: &str, scheme: usize) -> Option<Link> {
    let rest = text.get(scheme..)?;
    let host = rest.bytes().take(254).take_while(|byte| byte.is_ascii_alphanumeric() || b".-:".contains(byte)).count();
    let first = rest.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    if !first {
        return None;
    }
    let whole = run(text)?;
    let shown = whole.trim_end_matches(['.', ',', ';', ':', '!', '?', '\'', ']', '}', '*', '_', '~']);
    let shown = if shown.contains('(') { shown } else { shown.trim_end_matches([')', '.', ',']) };
    // A link with a user name before an @, or with look-alike letters, displays one host and leads to another.
    let after = shown.as_bytes().get(scheme + host);
    if shown.len() <= scheme || !matches!(after, None | Some(b'/' | b'?' | b'#')) {
        return None;
    }
    Some(Link { len: shown.len(), href: utf8_percent_encode(shown, ENCODED).to_string() })
}

fn mailto(text: &str) -> Option<Link> {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b".@_+-:".contains(byte);
    let len = text.bytes().take(MAX_LINK).take_while(plain).count();
    let shown = text.get(..len)?.trim_end_matches(['.', ':', '_', '-']);
    shown.get("mailto:".len()..)?.parse::<MailboxAddress>().ok()?;
    Some(Link { len: shown.len(), href: shown.to_owned() })
}

fn tel(text: &str) -> Option<Link> {
    let plain = |byte: &u8| byte.is_ascii_digit() || b"+-.()".contains(byte);
    let len = text.bytes().skip(4).take(40).take_while(plain).count();
    let shown = text.get(..4 + len)?.trim_end_matches(['.', '-', '(', ')', '+']);
    let digits: String = shown.chars().filter(char::is_ascii_digit).collect();
    let plus = if shown.contains('+') { "+" } else { "" };
    (3..=20).contains(&digits.len()).then(|| Link { len: shown.len(), href: format!("tel:{plus}{digits}") })
}

/// Returns the text before the first character that ends every link; `None` if it is too long.
fn run(text: &str) -> Option<&str> {
    let ends = |c: char| {
        if c.is_ascii() {
            return !c.is_ascii_graphic() || matches!(c, '"' | '<' | '>' | '`' | '|' | '\\' | '^');
        }
        c.is_whitespace() || c.is_control() || is_direction_mark(c) || matches!(c, '\u{200b}' | '\u{feff}')
    };
    let near = text.get(..text.floor_char_boundary(MAX_LINK + 1))?;
    match near.find(ends) {
        Some(end) => near.get(..end),
        None => (near.len() <= MAX_LINK).then_some(near),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(text: &str) -> Option<(String, String)> {
        at_start(text).map(|link| (text[..link.len].to_owned(), link.href))
    }

    #[test]
    fn links_lead_where_they_say() {
        for (text, shown, href) in [
            ("https://example.com/a?b=c&d#e, and", "https://example.com/a?b=c&d#e", "https://example.com/a?b=c&d#e"),
            ("HTTP://EXAMPLE.com.", "HTTP://EXAMPLE.com", "HTTP://EXAMPLE.com"),
            ("https://example.com/søren*", "https://example.com/søren", "https://example.com/s%C3%B8ren"),
            ("https://en.example.org/A_(b)", "https://en.example.org/A_(b)", "https://en.example.org/A_(b)"),
            ("https://example.com/a)", "https://example.com/a", "https://example.com/a"),
            (
                "https://example.com/'onclick='x",
                "https://example.com/'onclick='x",
                "https://example.com/%27onclick=%27x",
            ),
            ("https://example.com/\"onclick=", "https://example.com/", "https://example.com/"),
            ("mailto:ada@example.com?bcc=x@example.com", "mailto:ada@example.com", "mailto:ada@example.com"),
            ("https://example.com/\u{202e}gpj.exe", "https://example.com/", "https://example.com/"),
            ("mailto:ada@example.com.", "mailto:ada@example.com", "mailto:ada@example.com"),
            ("tel:+45-20-12.", "tel:+45-20-12", "tel:+452012"),
        ] {
            assert_eq!(link(text), Some((shown.to_owned(), href.to_owned())), "{text}");
        }
    }

    #[test]
    fn doubtful_links_stay_text() {
        let start = "https://example.com/";
        let longest = format!("{start}{}", "a".repeat(MAX_LINK - start.len()));
        assert_eq!(link(&longest), Some((longest.clone(), longest.clone())));
        let long = format!("{longest}a");
        for text in [
            "javascript:alert(1)",
            "data:text/html,x",
            "ftp://example.com",
            "https://",
            "https://bank.example@evil.example/",
            "https://exаmple.com/",
            "https://example.com_evil.example/",
            "https:///etc",
            "mailto:nobody",
            "tel:12",
            &long,
        ] {
            assert_eq!(link(text), None, "{text}");
        }
        let whole =
            ["https://example.com/", "https://example.com/ x", "tel:+4520123456"].map(|text| whole(text).is_some());
        assert_eq!(whole, [true, false, false]);
    }
}
