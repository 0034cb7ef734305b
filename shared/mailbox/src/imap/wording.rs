//! Recognizes human-readable texts of servers that send no response code: a closed list of wordings, each with its
//! source. Also contains the vocabulary of the words that errors may quote.

use std::time::Duration;

/// The meaning of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hint {
    /// Too many requests, with the wait that the server requests.
    Throttled(Option<Duration>),
    /// The login succeeded, but the server did not connect the mailbox.
    NotConnected,
    /// A transient failure of the server.
    Temporary,
    /// The message is larger than the server accepts.
    TooLarge,
    /// The server does not accept the content of the message.
    BadMessage,
    /// The mailbox is full.
    Full,
    /// The user name, the secret or the permission for the mailbox is wrong.
    LoginRejected,
}

/// Upper bound of a wait that a server can request.
const MAX_WAIT: Duration = Duration::from_secs(24 * 60 * 60);

/// Wordings in lower case. The first one that the text contains decides. Transient failures come first, because
/// Dovecot's text for a full disk of the server contains "quota".
const WORDINGS: &[(&str, Hint)] = &[
    // Exchange Online.
    ("request is throttled", Hint::Throttled(None)),
    ("authenticated but not connected", Hint::NotConnected),
    // Gmail: `[OVERQUOTA] Account exceeded command or bandwidth limits.`
    ("bandwidth limit", Hint::Throttled(None)),
    // Dovecot, mail-storage.c: ENOSPC, a full disk, and EDQUOT have this one text, and the code OVERQUOTA.
    ("not enough disk", Hint::Temporary),
    // Courier, imapd.c: `Cannot create message - no write permission or out of disk space.`
    ("out of disk space", Hint::Temporary),
    // Cyrus, imap_err.et: IMAP_NOSPACE, IOERROR, AGAIN, MAILBOX_LOCKED, MAILBOX_RESERVED, SERVER_UNAVAILABLE, INTERNAL.
    ("mail system storage has been exceeded", Hint::Temporary),
    ("system i/o error", Hint::Temporary),
    ("operating system error", Hint::Temporary),
    ("retry operation", Hint::Temporary),
    ("mailbox is locked", Hint::Temporary),
    ("mailbox is currently reserved", Hint::Temporary),
    ("server(s) unavailable", Hint::Temporary),
    // Dovecot's default text for every internal error, Cyrus' and Courier's.
    ("internal error", Hint::Temporary),
    // Dovecot: `Temporary authentication failure.` Courier: `Temporary error, please try again later`.
    ("temporar", Hint::Temporary),
    ("try again", Hint::Temporary),
    // Dovecot, mail_max_userip_connections.
    ("maximum number of connections", Hint::Temporary),
    ("too many connections", Hint::Temporary),
    ("too many simultaneous connections", Hint::Temporary),
    // Dovecot, quota_max_mail_size, with the code LIMIT. Cyrus, IMAP_MESSAGE_TOO_LARGE.
    ("mail size is larger than", Hint::TooLarge),
    ("message size exceeds", Hint::TooLarge),
    // Cyrus, imap_err.et: the texts of IMAP_MESSAGE_*.
    ("message contains nul", Hint::BadMessage),
    ("message contains bare newlines", Hint::BadMessage),
    ("message contains non-ascii", Hint::BadMessage),
    ("message contains invalid header", Hint::BadMessage),
    ("message has no header/body separator", Hint::BadMessage),
    // Cyrus, imap_err.et: IMAP_QUOTA_EXCEEDED.
    ("over quota", Hint::Full),
    // Courier, imapd.c, with the code ALERT.
    ("exceeded your mail quota", Hint::Full),
    // GroupWise: `APPEND The 1500 MB storage limit has been exceeded.` (OfflineIMAP pull request 29).
    ("storage limit has been exceeded", Hint::Full),
    // Dovecot, quota_exceeded_message; releases before 2.0 have no code.
    ("quota exceeded (mailbox for user is full)", Hint::Full),
    // Exchange: `AUTHENTICATE failed.` Courier, Dovecot, Cyrus (SASL_BADAUTH, SASL_NOUSER, IMAP_INVALID_LOGIN).
    ("authenticate failed", Hint::LoginRejected),
    ("login failed", Hint::LoginRejected),
    ("login incorrect", Hint::LoginRejected),
    ("authentication failed", Hint::LoginRejected),
    ("authentication failure", Hint::LoginRejected),
    ("user not found", Hint::LoginRejected),
    ("invalid credentials", Hint::LoginRejected),
];

/// Finds the wording in a text.
pub(super) fn hint(text: &str) -> Option<Hint> {
    let text = text.to_ascii_lowercase();
    // Exchange Online, with the requested wait.
    if let Some((_, after)) = text.split_once("suggested backoff time:") {
        let digits: String = after.trim_start().chars().take_while(char::is_ascii_digit).collect();
        return Some(Hint::Throttled(digits.parse().ok().map(|wait| Duration::from_millis(wait).min(MAX_WAIT))));
    }
    WORDINGS.iter().find(|(wording, _)| text.contains(wording)).map(|(_, hint)| *hint)
}

/// Upper bound of the quoted words.
const MAX_WORDS: usize = 16;

/// The words that may be quoted. None of them is a person's name.
const VOCABULARY: &str = "a access account acl allowed already an and append archive arguments ascii at atom \
    authenticate authenticated authentication authorization authorize bad bandwidth bare be been big body box bytes \
    can cannot capability character characters charset closed code command commands completed conditions connected \
    connection connections contains content copied could create created credentials current currently data database \
    date days delete denied disabled disk does domain empty encoding error errors exceed exceeded exceeds exist \
    exists expected expired extra failed failure fatal flag flags folder folders format found full has have header \
    headers hierarchy id in incorrect insufficient internal invalid is it large larger later length limit limits line \
    lines list literal locked login long mail mailbox mailboxes maximum message messages mime missing must name names \
    namespace newline newlines no non not nul null number occurred of only open operation or out over parameter \
    parameters parse parser parsing part password permission permitted plain please protocol quota quoted read \
    received refused rejected request required resource retry rights root save selected separator server service size \
    small space state storage store string supported syntax system table temporarily temporary than that the this \
    throttled time timeout times to token too try unable unavailable unexpected unknown unrecognized unsupported \
    until update user utf valid was when while with word write wrong you your";

/// Quotes the technical words of a text and leaves out all others, which may name a user. Empty if no word remains.
pub(super) fn sanitized(text: &str) -> String {
    let mut quoted = String::new();
    let mut omitted = false;
    for word in text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).take(MAX_WORDS) {
        let word = word.to_lowercase();
        if VOCABULARY.split_ascii_whitespace().any(|known| known == word) {
            if !quoted.is_empty() {
                quoted.push(' ');
            }
            if omitted {
                quoted.push_str("… ");
            }
            quoted.push_str(&word);
            omitted = false;
        } else {
            omitted = true;
        }
    }
    if omitted && !quoted.is_empty() {
        quoted.push_str(" …");
    }
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hint_is_read_from_the_wordings_of_each_server() {
        for (text, expected) in [
            ("Over quota", Some(Hint::Full)),
            ("[ALERT] You exceeded your mail quota.", Some(Hint::Full)),
            ("APPEND The 1500 MB storage limit has been exceeded.", Some(Hint::Full)),
            ("[OVERQUOTA] Quota exceeded (mailbox for user is full)", Some(Hint::Full)),
            ("[OVERQUOTA] Not enough disk quota", Some(Hint::Temporary)),
            ("[ALERT] Cannot create message - no write permission or out of disk space.", Some(Hint::Temporary)),
            ("mail system storage has been exceeded", Some(Hint::Temporary)),
            ("[OVERQUOTA] Account exceeded command or bandwidth limits. (Failure)", Some(Hint::Throttled(None))),
            ("[LIMIT] Mail size is larger than the maximum size allowed", Some(Hint::TooLarge)),
            ("[LIMIT] Message has been copied too many times (3 + 1)", None),
            ("Message contains NUL characters", Some(Hint::BadMessage)),
            ("Login failed.", Some(Hint::LoginRejected)),
            ("generic failure", None),
            ("Error in IMAP command received by server.", None),
        ] {
            assert_eq!(hint(text), expected, "{text}");
        }
    }

    #[test]
    fn requested_wait_is_read_and_bounded() {
        let throttled = |wait| Some(Hint::Throttled(wait));
        assert_eq!(
            hint("Request is throttled. Suggested Backoff Time: 299987 milliseconds"),
            throttled(Some(Duration::from_millis(299_987)))
        );
        assert_eq!(hint("Suggested Backoff Time: 99999999999 milliseconds"), throttled(Some(MAX_WAIT)));
        assert_eq!(hint("Suggested Backoff Time: 99999999999999999999 milliseconds"), throttled(None));
        assert_eq!(hint("Request is throttled."), throttled(None));
        assert_eq!(hint("Suggested."), None);
    }

    #[test]
    fn quoted_words_contain_no_name_address_or_number() {
        for (text, expected) in [
            ("Line too long", "line too long"),
            ("Message for ada@example.com (Ada Byron, +45 20 12 34 56) too large", "message … too large"),
            ("parse error: token 'Ada'", "parse error token …"),
            ("Ada", ""),
            ("größer \u{202e}4520123456", ""),
        ] {
            assert_eq!(sanitized(text), expected, "{text}");
        }
        assert!(sanitized(&"error ".repeat(1000)).len() < 200);
    }
}
