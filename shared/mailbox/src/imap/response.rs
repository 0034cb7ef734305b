//! Parses the responses of a server that filing needs.
//!
//! A response is split into a flat list of words, so that deep nesting cannot overflow the stack. Unrecognized
//! responses are skipped, as RFC 3501 requires of clients. `DESIGN.md` explains why no library is used.

use std::fmt;

use super::wording::{Hint, hint, sanitized};

/// A word of a response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Word {
    /// A name, a number, a flag, `NIL`.
    Atom(Vec<u8>),
    /// The content of a quoted string or a literal.
    Text(Vec<u8>),
    Open,
    Close,
}

/// A response.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Response {
    /// `+`: the server waits for the rest of the command.
    Continue,
    /// The end of a command: its tag and its result.
    Done(Vec<u8>, Condition),
    /// `* OK`, `* NO`, `* BAD`, `* PREAUTH`, `* BYE`.
    Untagged(Condition),
    /// Other responses that begin with `*`.
    Data(Vec<Word>),
}

/// The status of a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    Ok,
    No,
    Bad,
    PreAuth,
    Bye,
}

/// The result of a command, or a status of the connection. Of the human-readable text only the technical words are
/// kept, because it may contain addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Condition {
    pub(super) status: Status,
    pub(super) code: Option<Code>,
    pub(super) hint: Option<Hint>,
    /// The technical words of the text.
    pub(super) words: String,
}

/// A response code: its name in upper case, and its arguments. `Debug` shows neither, because both may contain any text.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Code {
    pub(super) name: String,
    pub(super) arguments: Vec<String>,
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Code").finish_non_exhaustive()
    }
}

/// Parses a response; `None` if the bytes are not a response.
pub(super) fn parse(bytes: &[u8]) -> Option<Response> {
    if bytes.first() == Some(&b'+') {
        return Some(Response::Continue);
    }
    let space = bytes.iter().position(|&byte| byte == b' ')?;
    let (tag, rest) = (&bytes[..space], &bytes[space + 1..]);
    let condition = condition(rest);
    match (tag, condition) {
        (b"*", Some(condition)) => Some(Response::Untagged(condition)),
        (b"*", None) => Some(Response::Data(words(rest))),
        (tag, Some(condition)) => Some(Response::Done(tag.to_vec(), condition)),
        (_, None) => None,
    }
}

fn condition(bytes: &[u8]) -> Option<Condition> {
    let end = bytes.iter().position(u8::is_ascii_whitespace).unwrap_or(bytes.len());
    let status = match bytes[..end].to_ascii_uppercase().as_slice() {
        b"OK" => Status::Ok,
        b"NO" => Status::No,
        b"BAD" => Status::Bad,
        b"PREAUTH" => Status::PreAuth,
        b"BYE" => Status::Bye,
        _ => return None,
    };
    let text = String::from_utf8_lossy(&bytes[end..]);
    let text = text.trim();
    let code = code(text);
    let words = text.split_once(']').filter(|_| code.is_some()).map_or(text, |(_, words)| words);
    Some(Condition { status, code, hint: hint(text), words: sanitized(words) })
}

fn code(text: &str) -> Option<Code> {
    let (inside, _) = text.strip_prefix('[')?.split_once(']')?;
    let mut parts = inside.split_ascii_whitespace().map(str::to_owned);
    Some(Code { name: parts.next()?.to_ascii_uppercase(), arguments: parts.collect() })
}

fn words(mut rest: &[u8]) -> Vec<Word> {
    let mut words = Vec::new();
    while let Some((&first, after)) = rest.split_first() {
        rest = match first {
            b' ' | b'\r' | b'\n' => after,
            b'(' => {
                words.push(Word::Open);
                after
            }
            b')' => {
                words.push(Word::Close);
                after
            }
            b'"' => {
                let (text, after) = quoted(after);
                words.push(Word::Text(text));
                after
            }
            b'{' if let Some((text, after)) = literal(rest) => {
                words.push(Word::Text(text.to_vec()));
                after
            }
            _ => {
                let end = rest.iter().position(|byte| b" ()\"\r\n".contains(byte)).unwrap_or(rest.len());
                words.push(Word::Atom(rest[..end].to_vec()));
                &rest[end..]
            }
        };
    }
    words
}

/// Returns the text up to the closing quote, and the rest.
fn quoted(mut rest: &[u8]) -> (Vec<u8>, &[u8]) {
    let mut text = Vec::new();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'"' => break,
            b'\\' => {
                let Some((&escaped, after)) = rest.split_first() else { break };
                text.push(escaped);
                rest = after;
            }
            byte => text.push(byte),
        }
    }
    (text, rest)
}

fn literal(rest: &[u8]) -> Option<(&[u8], &[u8])> {
    let line = rest.iter().position(|&byte| byte == b'\n')? + 1;
    let length = announced(&rest[..line]).filter(|_| rest[..line].iter().filter(|&&byte| byte == b'{').count() == 1)?;
    rest.get(line..)?.split_at_checked(length)
}

/// Returns the length of the literal that a line announces at its end (`{42}`).
pub(super) fn announced(line: &[u8]) -> Option<usize> {
    let line = line.strip_suffix(b"\n")?;
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let line = line.strip_suffix(b"}")?;
    let digits = &line[line.iter().rposition(|&byte| byte == b'{')? + 1..];
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    // A number that does not fit into the type exceeds every limit.
    Some(std::str::from_utf8(digits).ok()?.parse().unwrap_or(usize::MAX))
}

impl Word {
    /// Returns whether the word is this atom, ignoring case.
    pub(super) fn is(&self, name: &str) -> bool {
        matches!(self, Self::Atom(atom) if atom.eq_ignore_ascii_case(name.as_bytes()))
    }

    pub(super) fn number<T: std::str::FromStr>(&self) -> Option<T> {
        match self {
            Self::Atom(atom) => std::str::from_utf8(atom).ok()?.parse().ok(),
            _ => None,
        }
    }

    /// Returns the text of an atom or a string; `None` for `NIL` and brackets.
    pub(super) fn text(&self) -> Option<&[u8]> {
        match self {
            Self::Text(text) => Some(text),
            Self::Atom(atom) if !atom.eq_ignore_ascii_case(b"NIL") => Some(atom),
            _ => None,
        }
    }
}

/// Returns the words of an untagged response, for tests.
#[cfg(test)]
pub(super) fn data_words(line: &[u8]) -> Vec<Word> {
    match parse(line) {
        Some(Response::Data(words)) => words,
        other => panic!("{other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn untagged(text: &str) -> Condition {
        match parse(text.as_bytes()) {
            Some(Response::Untagged(condition) | Response::Done(_, condition)) => condition,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn condition_keeps_code_and_technical_words_only() {
        let condition = untagged("A7 NO [OVERQUOTA] ada@example.com has no space\r\n");
        assert_eq!(condition.status, Status::No);
        assert_eq!(condition.code.as_ref().unwrap().name, "OVERQUOTA");
        assert_eq!(condition.words, "… has no space");
        assert!(!format!("{condition:?}").contains("ada"));
        let bye = untagged("* BYE\r\n");
        assert_eq!((bye.status, bye.code, bye.hint, bye.words.as_str()), (Status::Bye, None, None, ""));
        assert_eq!(untagged("A1 OK\r\n").status, Status::Ok);
        let code = untagged("A1 OK [appenduid 14 12] done\r\n").code.unwrap();
        assert_eq!((code.name.as_str(), code.arguments), ("APPENDUID", vec!["14".to_owned(), "12".to_owned()]));
    }

    #[test]
    fn data_becomes_a_flat_list_of_words() {
        let Some(Response::Data(words)) =
            parse(b"* 1 FETCH (UID 3 BODY[HEADER.FIELDS (MESSAGE-ID)] {4}\r\n\"){\n X \"a\\\"b\" NIL)\r\n")
        else {
            panic!("no data")
        };
        assert_eq!(words[0].number::<u32>(), Some(1));
        assert!(words[1].is("fetch"));
        assert!(words.contains(&Word::Text(b"\"){\n".to_vec())));
        assert!(words.contains(&Word::Text(b"a\"b".to_vec())));
        assert_eq!(words.last(), Some(&Word::Close));
    }

    proptest::proptest! {
        #[test]
        fn parser_survives_any_bytes(bytes: Vec<u8>) {
            parse(&bytes);
            parse(&[b"* ".as_slice(), &bytes].concat());
            parse(&[b"* 1 FETCH ({9}\r\n".as_slice(), &bytes].concat());
        }
    }

    #[test]
    fn parser_survives_a_million_open_brackets() {
        let deep = [b"* 1 FETCH (BODYSTRUCTURE ".as_slice(), &vec![b'('; 1_000_000], b"\r\n"].concat();
        assert!(matches!(parse(&deep), Some(Response::Data(words)) if words.len() > 1_000_000));
    }
}
