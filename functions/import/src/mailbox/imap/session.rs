//! One connection that is logged in to one mailbox, and the commands on it.

use std::sync::Arc;

use item::MailboxAddress;
use jiff::{Timestamp, tz::TimeZone};
use rustls::ClientConfig;
use secrecy::ExposeSecret;

use super::{
    ImapConfig,
    error::{Failure, Meaning, Refusal, setup},
    folder::{Namespace, quoted},
    login::{Login, Proof},
    response::{Code, Condition, Response, Status, Word, parse},
    wire::Wire,
};
use crate::mailbox::{CONTENT_HEADER, Identity, MailboxError, Mime, header::field, patience::Patience};

/// Up to so many bytes a message goes along with its command, where the server takes that. A larger one waits until the
/// server has agreed to its size, so that it is not sent in vain.
const AT_ONCE: u64 = 256 * 1024;

/// What RFC 7888 calls LITERAL- takes so many.
const AT_ONCE_MINUS: u64 = 4096;

/// What the server can do.
#[derive(Debug, Default)]
struct Capabilities(Vec<String>);

/// A connection that is logged in.
pub(super) struct Session {
    wire: Wire,
    tag: u32,
    capabilities: Capabilities,
    /// The archive folder's whole name, quoted.
    path: String,
    /// Whether the folder was there when it was last asked for or made.
    pub(super) has_folder: bool,
}

/// A copy in the folder: its UID and the UIDVALIDITY it belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Uid {
    validity: u32,
    uid: u32,
}

impl std::fmt::Display for Uid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.validity, self.uid)
    }
}

impl Capabilities {
    fn has(&self, name: &str) -> bool {
        self.0.iter().any(|capability| capability.eq_ignore_ascii_case(name))
    }

    /// RFC 7889: the largest message, in bytes. Without a number it depends on the folder, and the server will say.
    fn append_limit(&self) -> Option<u64> {
        let limit = |capability: &String| capability.to_ascii_uppercase().strip_prefix("APPENDLIMIT=")?.parse().ok();
        self.0.iter().find_map(limit)
    }

    fn learn(&mut self, condition: &Condition) -> bool {
        match &condition.code {
            Some(Code { name, arguments }) if name == "CAPABILITY" => {
                self.0.clone_from(arguments);
                true
            }
            _ => false,
        }
    }
}

impl Session {
    /// Connects, logs in and looks for the archive folder. Only that shows whether the mailbox can be used: Exchange
    /// Online logs in whom it then does not connect.
    pub(super) async fn open(
        config: &ImapConfig,
        tls: &Arc<ClientConfig>,
        login: &Login,
        mailbox: &MailboxAddress,
        patience: &mut Patience,
    ) -> Result<Self, Failure> {
        let proof = login.proof(mailbox, patience).await?;
        let mut session = match Self::logged_in(config, tls, &proof).await {
            Err(failure) if failure.means(Meaning::NotLetIn) => match login.another(mailbox, &proof, patience).await? {
                Some(other) => Self::logged_in(config, tls, &other).await?,
                None => return Err(failure),
            },
            result => result?,
        };
        session.find_folder(&config.folder).await?;
        Ok(session)
    }

    async fn logged_in(config: &ImapConfig, tls: &Arc<ClientConfig>, proof: &Proof) -> Result<Self, Failure> {
        let wire = Wire::connect(&config.host, tls, config.answer_time).await?;
        let mut session =
            Self { wire, tag: 0, capabilities: Capabilities::default(), path: String::new(), has_folder: false };
        session.greet().await?;
        session.authenticate(proof).await?;
        Ok(session)
    }

    async fn greet(&mut self) -> Result<(), Failure> {
        self.wire.begin();
        let greeting = self.wire.read().await?;
        match parse(&greeting) {
            Some(Response::Untagged(condition)) if condition.status == Status::Ok => {
                if !self.capabilities.learn(&condition) {
                    self.ask_capabilities().await?;
                }
                Ok(())
            }
            Some(Response::Untagged(condition)) if condition.status == Status::Bye => {
                Err(Failure::Refused(Refusal { command: "the connection", condition }))
            }
            Some(Response::Untagged(condition)) if condition.status == Status::PreAuth => {
                Err(setup("the server lets in whoever comes: no mailbox of a certain person can be opened there"))
            }
            _ => Err(Failure::Lost("what answers is no IMAP server")),
        }
    }

    async fn authenticate(&mut self, proof: &Proof) -> Result<(), Failure> {
        if !self.capabilities.has(&format!("AUTH={}", proof.mechanism)) {
            let detail = format!("the server does not offer to log in by {}", proof.mechanism);
            return Err(MailboxError::Setup { detail }.into());
        }
        let response = proof.response.expose_secret();
        let command = "AUTHENTICATE";
        let tag = if self.capabilities.has("SASL-IR") {
            self.send(command, &format!(" {} {response}", proof.mechanism)).await?
        } else {
            let tag = self.send(command, &format!(" {}", proof.mechanism)).await?;
            self.go_on(command, &tag, |_| {}).await?;
            self.line(response).await?;
            tag
        };
        let condition = loop {
            match self.next(command, &tag, &mut |_| {}).await? {
                Some(condition) => break condition,
                // A refusal with its reasons, which has to be acknowledged before it is a refusal.
                None => self.line("").await?,
            }
        };
        if condition.status != Status::Ok {
            return Err(Failure::Refused(Refusal { command, condition }));
        }
        if !self.capabilities.learn(&condition) {
            self.ask_capabilities().await?;
        }
        Ok(())
    }

    async fn ask_capabilities(&mut self) -> Result<(), Failure> {
        let mut all = Vec::new();
        self.run("CAPABILITY", "", |words| {
            if let [name, rest @ ..] = words
                && name.is("CAPABILITY")
            {
                let names = rest.iter().filter_map(Word::text);
                all = names.map(|name| String::from_utf8_lossy(name).into_owned()).collect();
            }
        })
        .await?;
        self.capabilities = Capabilities(all);
        Ok(())
    }

    /// Where the archive folder is, and whether it is there.
    async fn find_folder(&mut self, folder: &str) -> Result<(), Failure> {
        let mut namespace = None;
        if self.capabilities.has("NAMESPACE") {
            self.run("NAMESPACE", "", |words| namespace = namespace.take().or_else(|| Namespace::of(words))).await?;
        } else {
            // The separator of the levels alone.
            let root = |words: &[Word]| {
                let (_, rest) = listed(words)?;
                let separator = rest.first()?.text()?.first().map(|&byte| char::from(byte));
                Some(Namespace { separator, ..Namespace::default() })
            };
            self.run("LIST", " \"\" \"\"", |words| namespace = namespace.take().or_else(|| root(words))).await?;
        }
        self.path = namespace.unwrap_or_default().path(folder)?;
        self.list_folder().await
    }

    /// Asks whether the archive folder is there.
    pub(super) async fn list_folder(&mut self) -> Result<(), Failure> {
        let mut there = false;
        let arguments = format!(" \"\" {}", self.path);
        self.run("LIST", &arguments, |words| {
            if let Some((attributes, _)) = listed(words) {
                there = !attributes.iter().any(|word| word.is("\\Noselect") || word.is("\\NonExistent"));
            }
        })
        .await?;
        self.has_folder = there;
        Ok(())
    }

    /// Makes the archive folder. Somebody else may make it in the same moment.
    pub(super) async fn make_folder(&mut self) -> Result<(), Failure> {
        let path = format!(" {}", self.path);
        match self.run("CREATE", &path, |_| {}).await {
            Ok(_) => {}
            Err(failure) if failure.means(Meaning::FolderExists) => {}
            // A server that has no word for it.
            Err(failure @ Failure::Refused(_)) => {
                self.list_folder().await?;
                if !self.has_folder {
                    return Err(failure);
                }
            }
            Err(failure) => return Err(failure),
        }
        self.has_folder = true;
        // So that mail clients show it. Where that is refused the folder is there all the same.
        match self.run("SUBSCRIBE", &path, |_| {}).await {
            Ok(_) | Err(Failure::Refused(_)) => Ok(()),
            Err(failure) => Err(failure),
        }
    }

    /// Whether the connection still works.
    pub(super) async fn is_alive(&mut self) -> bool {
        self.run("NOOP", "", |_| {}).await.is_ok()
    }

    /// The copy in the archive folder: with exactly this Message-ID, and of no other item.
    pub(super) async fn find_copy(&mut self, copy: &Identity<'_>) -> Result<Option<Uid>, Failure> {
        self.list_folder().await?;
        if !self.has_folder {
            return Ok(None);
        }
        let path = format!(" {}", self.path);
        let mut validity = None;
        self.run_with("EXAMINE", &path, |response| {
            if let Response::Untagged(Condition { code: Some(Code { name, arguments }), .. }) = response
                && name == "UIDVALIDITY"
            {
                validity = arguments.first().and_then(|number| number.parse().ok());
            }
        })
        .await?;
        let validity = validity.ok_or(Failure::Lost("the server does not say which UIDs are valid"))?;
        if !copy.message_id.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            return Err(Failure::Lost("the Message-ID cannot be looked for"));
        }
        let mut hits: Option<Vec<u32>> = None;
        let search = format!(" SEARCH HEADER Message-ID {}", quoted(copy.message_id));
        self.run("UID", &search, |words| {
            if let [name, numbers @ ..] = words
                && name.is("SEARCH")
            {
                hits.get_or_insert_default().extend(numbers.iter().filter_map(Word::number::<u32>));
            }
        })
        .await?;
        let hits = hits.ok_or(Failure::Lost("the server does not say what it found"))?;
        if hits.is_empty() {
            return Ok(None);
        }
        // A server finds what holds the text; only the one that is it counts.
        let mut found = None;
        let set = hits.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
        let fetch = format!(" FETCH {set} (UID BODY.PEEK[HEADER.FIELDS (MESSAGE-ID {CONTENT_HEADER})])");
        let mut seen = 0;
        self.run("UID", &fetch, |words| {
            if let Some((uid, header)) = fetched(words) {
                seen += 1;
                let same = field(header, "Message-ID") == Some(copy.message_id.as_bytes());
                let content = field(header, CONTENT_HEADER).and_then(|hex| std::str::from_utf8(hex).ok()?.parse().ok());
                if same && copy.may_be_of(content) {
                    found = found.or(Some(Uid { validity, uid }));
                }
            }
        })
        .await?;
        if found.is_none() && seen < hits.len() {
            return Err(Failure::Lost("the server does not show what it found"));
        }
        Ok(found)
    }

    /// Puts a message into the archive folder, read and with its own date; its UID, where the server tells. Where the
    /// answer is lost the server may still be at it.
    pub(super) async fn append(&mut self, mime: &Mime, date: Timestamp) -> Result<Option<Uid>, Failure> {
        let length = mime.length();
        if self.capabilities.append_limit().is_some_and(|limit| length > limit) {
            let detail = "it is larger than the server's APPENDLIMIT".to_owned();
            return Err(MailboxError::Rejected { detail }.into());
        }
        let goes_along = (self.capabilities.has("LITERAL+") && length <= AT_ONCE)
            || (self.capabilities.has("LITERAL-") && length <= AT_ONCE_MINUS);
        let command = "APPEND";
        let plus = if goes_along { "+" } else { "" };
        let date = date.to_zoned(TimeZone::UTC).strftime("%e-%b-%Y %H:%M:%S +0000");
        let arguments = format!(" {} (\\Seen) \"{date}\" {{{}{plus}}}", self.path, length);
        let tag = self.send(command, &arguments).await?;
        if !goes_along {
            self.go_on(command, &tag, |_| {}).await?;
        }
        let mut written = 0;
        while written < length {
            let piece = mime.piece(written).await?;
            self.wire.write(&piece).await?;
            written += piece.len() as u64;
        }
        self.wire.carries(length);
        self.line("").await?;
        let condition = self.end(command, &tag, &mut |_| {}).await.map_err(after_the_message)?;
        let Some(Code { name, arguments }) = condition.code else { return Ok(None) };
        let mut numbers = arguments.iter().map(|number| number.parse());
        Ok(match (name.as_str(), numbers.next(), numbers.next()) {
            ("APPENDUID", Some(Ok(validity)), Some(Ok(uid))) => Some(Uid { validity, uid }),
            _ => None,
        })
    }

    /// One command; `each` sees every piece of data that comes before its end.
    async fn run(
        &mut self,
        command: &'static str,
        arguments: &str,
        mut each: impl FnMut(&[Word]),
    ) -> Result<Condition, Failure> {
        self.run_with(command, arguments, |response| {
            if let Response::Data(words) = response {
                each(words);
            }
        })
        .await
    }

    async fn run_with(
        &mut self,
        command: &'static str,
        arguments: &str,
        mut each: impl FnMut(&Response),
    ) -> Result<Condition, Failure> {
        let tag = self.send(command, arguments).await?;
        self.end(command, &tag, &mut each).await
    }

    async fn send(&mut self, command: &'static str, arguments: &str) -> Result<Vec<u8>, Failure> {
        self.tag += 1;
        let tag = format!("A{}", self.tag);
        self.wire.begin();
        self.line(&format!("{tag} {command}{arguments}")).await?;
        Ok(tag.into_bytes())
    }

    async fn line(&mut self, line: &str) -> Result<(), Failure> {
        self.wire.write(format!("{line}\r\n").as_bytes()).await?;
        self.wire.flush().await
    }

    /// Waits until the server asks for the rest of a command.
    async fn go_on(
        &mut self,
        command: &'static str,
        tag: &[u8],
        mut each: impl FnMut(&Response),
    ) -> Result<(), Failure> {
        match self.next(command, tag, &mut each).await? {
            None => Ok(()),
            Some(condition) if condition.status == Status::Ok => {
                Err(Failure::Lost("the server ends a command that has not ended"))
            }
            Some(condition) => Err(Failure::Refused(Refusal { command, condition })),
        }
    }

    async fn end(
        &mut self,
        command: &'static str,
        tag: &[u8],
        each: &mut impl FnMut(&Response),
    ) -> Result<Condition, Failure> {
        match self.next(command, tag, each).await? {
            Some(condition) if condition.status == Status::Ok => Ok(condition),
            Some(condition) => Err(Failure::Refused(Refusal { command, condition })),
            None => Err(Failure::Lost("the server asks for more of a command that has ended")),
        }
    }

    /// How a command ended, or `None` where the server asks for the rest of it.
    async fn next(
        &mut self,
        command: &'static str,
        tag: &[u8],
        each: &mut impl FnMut(&Response),
    ) -> Result<Option<Condition>, Failure> {
        loop {
            let bytes = self.wire.read().await?;
            match parse(&bytes) {
                Some(Response::Continue) => return Ok(None),
                Some(Response::Done(ours, condition)) if ours == tag => return Ok(Some(condition)),
                Some(Response::Untagged(condition)) if condition.status == Status::Bye => {
                    return Err(Failure::Refused(Refusal { command, condition }));
                }
                Some(response @ (Response::Untagged(_) | Response::Data(_))) => each(&response),
                Some(Response::Done(..)) | None => return Err(Failure::Lost("the answer is not IMAP")),
            }
        }
    }
}

/// The attributes of a folder in the answer to LIST, and what follows them: the separator and the name.
fn listed(words: &[Word]) -> Option<(&[Word], &[Word])> {
    let [name, Word::Open, rest @ ..] = words else { return None };
    let close = rest.iter().position(|word| *word == Word::Close).filter(|_| name.is("LIST"))?;
    Some((&rest[..close], &rest[close + 1..]))
}

/// The UID and the header of a message in the answer to FETCH.
fn fetched(words: &[Word]) -> Option<(u32, &[u8])> {
    let [_, name, ..] = words else { return None };
    let at = words.iter().position(|word| word.is("UID")).filter(|_| name.is("FETCH"))?;
    let uid = words.get(at + 1)?.number()?;
    // The only quoted or literal text that was asked for, but for the names of the fields, which come before it.
    let header = words.iter().rev().find_map(|word| match word {
        Word::Text(text) => Some(text.as_slice()),
        _ => None,
    });
    Some((uid, header?))
}

/// A server that says goodbye while it has the message may have filed it, and may still be at it: that is no refusal.
fn after_the_message(failure: Failure) -> Failure {
    match failure {
        Failure::Refused(refusal) if refusal.condition.status == Status::Bye => {
            Failure::Lost("the server ends the connection and does not say whether it has taken the message")
        }
        failure => failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &[u8]) -> Vec<Word> {
        match parse(line) {
            Some(Response::Data(words)) => words,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_header_is_found_however_a_server_shows_it() {
        for line in [
            b"* 1 FETCH (UID 3 BODY[HEADER.FIELDS (MESSAGE-ID)] {23}\r\nMessage-ID: <a@b.c>\r\n\r\n)\r\n".as_slice(),
            b"* 1 FETCH (BODY[HEADER.FIELDS (\"MESSAGE-ID\")] {23}\r\nMessage-ID: <a@b.c>\r\n\r\n UID 3 FLAGS (\\Seen))\r\n",
            b"* 1 FETCH (UID 3 BODY[HEADER.FIELDS (MESSAGE-ID)] {25}\r\nmessage-id:\r\n <a@b.c>\r\n\r\n)\r\n",
        ] {
            let words = words(line);
            let (uid, header) = fetched(&words).unwrap();
            assert_eq!((uid, field(header, "Message-ID")), (3, Some(b"<a@b.c>".as_slice())), "{}", line.escape_ascii());
        }
        assert_eq!(fetched(&words(b"* 1 FETCH (FLAGS (\\Seen))\r\n")), None);
    }

    #[test]
    fn a_folder_that_is_only_a_name_is_told_from_one_that_is_there() {
        let line = words(b"* LIST (\\HasNoChildren \\NonExistent) \"/\" \"WhatsApp Archiver\"\r\n");
        let (attributes, rest) = listed(&line).unwrap();
        assert!(attributes.iter().any(|word| word.is("\\nonexistent")));
        assert_eq!(rest.first().unwrap().text(), Some(b"/".as_slice()));
    }
}
