//! What a server says, as far as filing has to understand it.
//!
//! A response is cut into words, flat: nothing is nested, so nothing can be nested too deeply. Whatever has no meaning
//! for us is passed over, as clients have to.

use std::{fmt, time::Duration};

use super::wire::announced;

/// A piece of a response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Word {
    /// Bare: a name, a number, a flag, `NIL`.
    Atom(Vec<u8>),
    /// Quoted or literal: what it says, without the quotes.
    Text(Vec<u8>),
    Open,
    Close,
}

/// A response.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Response {
    /// `+`: go on.
    Continue,
    /// The end of a command: its tag, and how it ended.
    Done(Vec<u8>, Condition),
    /// `* OK`, `* NO`, `* BAD`, `* PREAUTH`, `* BYE`.
    Untagged(Condition),
    /// Anything else that begins with `*`, in words.
    Data(Vec<Word>),
}

/// How something ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    Ok,
    No,
    Bad,
    PreAuth,
    Bye,
}

/// How something ended, and what the server says about it in a form that machines read. Its text for people is left
/// behind: it may quote addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Condition {
    pub(super) status: Status,
    pub(super) code: Option<Code>,
    pub(super) hint: Option<Hint>,
}

/// A response code: its name in capitals, and what stands behind it. Both are the server's words: `Debug` does not show
/// them.
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

/// What only the text for people says, and counts all the same. The words are Exchange Online's, and
/// the last one's Dovecot's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hint {
    /// Too many requests; it may say how long to wait.
    Throttled(Option<Duration>),
    /// The server knows who we are, and does not reach the mailbox.
    NotConnected,
    /// The message is larger than the server takes. Its code, LIMIT, is that of too many requests elsewhere.
    TooLarge,
}

/// The longest wait that an answer can ask of us.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 60 * 60);

/// Reads a response; `None` where it is none.
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
    Some(Condition { status, code: code(text), hint: hint(text) })
}

fn code(text: &str) -> Option<Code> {
    let (inside, _) = text.strip_prefix('[')?.split_once(']')?;
    let mut parts = inside.split_ascii_whitespace().map(str::to_owned);
    Some(Code { name: parts.next()?.to_ascii_uppercase(), arguments: parts.collect() })
}

fn hint(text: &str) -> Option<Hint> {
    let text = text.to_ascii_lowercase();
    if let Some((_, after)) = text.split_once("suggested backoff time:") {
        let digits: String = after.trim_start().chars().take_while(char::is_ascii_digit).collect();
        return Some(Hint::Throttled(digits.parse().ok().map(|wait| Duration::from_millis(wait).min(LONGEST_WAIT))));
    }
    if text.contains("request is throttled") {
        return Some(Hint::Throttled(None));
    }
    if text.contains("authenticated but not connected") {
        return Some(Hint::NotConnected);
    }
    text.contains("mail size is larger than").then_some(Hint::TooLarge)
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

/// What stands before the closing quote, and what comes after it.
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

impl Word {
    /// Whether it is this atom, in capitals or not.
    pub(super) fn is(&self, name: &str) -> bool {
        matches!(self, Self::Atom(atom) if atom.eq_ignore_ascii_case(name.as_bytes()))
    }

    pub(super) fn number<T: std::str::FromStr>(&self) -> Option<T> {
        match self {
            Self::Atom(atom) => std::str::from_utf8(atom).ok()?.parse().ok(),
            _ => None,
        }
    }

    /// What it says, bare or quoted; nothing for `NIL` and brackets.
    pub(super) fn text(&self) -> Option<&[u8]> {
        match self {
            Self::Text(text) => Some(text),
            Self::Atom(atom) if !atom.eq_ignore_ascii_case(b"NIL") => Some(atom),
            _ => None,
        }
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
    fn a_condition_keeps_what_machines_read_and_no_text() {
        let condition = untagged("A7 NO [OVERQUOTA] ada@example.com has no room\r\n");
        assert_eq!(condition.status, Status::No);
        assert_eq!(condition.code.as_ref().unwrap().name, "OVERQUOTA");
        assert!(!format!("{condition:?}").contains("ada"));
        assert_eq!(untagged("* BYE\r\n"), Condition { status: Status::Bye, code: None, hint: None });
        assert_eq!(untagged("A1 OK\r\n").status, Status::Ok);
        let code = untagged("A1 OK [appenduid 14 12] done\r\n").code.unwrap();
        assert_eq!((code.name.as_str(), code.arguments), ("APPENDUID", vec!["14".to_owned(), "12".to_owned()]));
    }

    #[test]
    fn exchange_says_in_words_how_long_to_wait() {
        let hint = |text| untagged(text).hint;
        assert_eq!(
            hint("A1 BAD Request is throttled. Suggested Backoff Time: 299987 milliseconds\r\n"),
            Some(Hint::Throttled(Some(Duration::from_millis(299_987))))
        );
        assert_eq!(hint("A1 NO Request is throttled.\r\n"), Some(Hint::Throttled(None)));
        assert_eq!(
            hint("A1 NO Suggested Backoff Time: 99999999999999999999 milliseconds\r\n"),
            Some(Hint::Throttled(None))
        );
        assert_eq!(hint("A1 BAD User is authenticated but not connected.\r\n"), Some(Hint::NotConnected));
        assert_eq!(hint("A1 NO Suggested.\r\n"), None);
    }

    #[test]
    fn data_is_cut_into_words() {
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
        fn nothing_that_a_server_says_breaks_the_reader(bytes: Vec<u8>) {
            parse(&bytes);
            parse(&[b"* ".as_slice(), &bytes].concat());
            parse(&[b"* 1 FETCH ({9}\r\n".as_slice(), &bytes].concat());
        }
    }

    #[test]
    fn brackets_are_not_counted_on_a_stack() {
        let deep = [b"* 1 FETCH (BODYSTRUCTURE ".as_slice(), &vec![b'('; 1_000_000], b"\r\n"].concat();
        assert!(matches!(parse(&deep), Some(Response::Data(words)) if words.len() > 1_000_000));
    }
}
