//! A connection to one mailbox, and the operations on it.

use std::{fmt, sync::Arc};

use jiff::{Timestamp, tz::TimeZone};
use model::MailboxAddress;
use rustls::ClientConfig;

use super::{
    client::Client,
    config::ImapConfig,
    error::{Failure, Meaning},
    folder::{Namespace, Personal},
    login::Login,
    response::{Code, Word},
};
use crate::MailboxError;
use http_client::RetryBudget;
use message::read::Mime;

/// Maximum size of a message that is sent together with its command, if the server allows it. A larger message is sent
/// after the server has accepted its size, so that it is not sent in vain.
const NON_SYNC_LITERAL_MAX_BYTES: u64 = 256 * 1024;

/// The limit of RFC 7888 for LITERAL-.
const LITERAL_MINUS_MAX_BYTES: u64 = 4096;

/// Minimum length of a MAILBOXID that identifies a mailbox. A shorter one may be unique only within one account, which
/// RFC 8474 allows.
const MIN_UNIQUE_MAILBOX_ID: usize = 16;

/// A connection to one mailbox.
pub(super) struct Session {
    pub(super) client: Client,
    /// The archive folder's full name, quoted.
    pub(super) path: String,
    /// `true` if the folder existed at the last LIST or CREATE.
    pub(super) has_folder: bool,
    /// `true` if the archive folder is selected, read-only.
    pub(super) is_selected: bool,
}

/// The result of opening a mailbox.
pub(super) enum Opened {
    Session(Box<Session>),
    /// The login succeeded and the server reports that the user has no mailbox.
    NoMailbox,
}

/// Identifies a copy in the folder: its UID and the folder's UIDVALIDITY.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Uid {
    pub(super) validity: u32,
    pub(super) uid: u32,
}

impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.validity, self.uid)
    }
}

impl Session {
    /// Connects, logs in and looks up the archive folder. The lookup shows whether the mailbox can be used: Exchange
    /// Online may accept a login and then not connect the mailbox.
    pub(super) async fn open(
        config: &ImapConfig,
        tls: &Arc<ClientConfig>,
        login: &Login,
        mailbox: &MailboxAddress,
        budget: &mut RetryBudget,
    ) -> Result<Opened, Failure> {
        let sasl_response = login.sasl_response(mailbox, budget).await?;
        let client = match Client::login(config, tls, &sasl_response).await {
            Err(failure) if failure.means(Meaning::LoginRejected) => {
                match login.another(mailbox, &sasl_response, budget).await? {
                    Some(other) => Client::login(config, tls, &other).await?,
                    None => return Err(failure),
                }
            }
            result => result?,
        };
        Self::begin(client, config).await
    }

    /// Looks up the archive folder on a connection after its login.
    pub(super) async fn begin(client: Client, config: &ImapConfig) -> Result<Opened, Failure> {
        let mut session = Self { client, path: String::new(), has_folder: false, is_selected: false };
        let Some(namespace) = session.namespace().await? else { return Ok(Opened::NoMailbox) };
        session.path = namespace.path(&config.folder)?;
        session.list_folder().await?;
        Ok(Opened::Session(Box::new(session)))
    }

    /// Returns the namespace of the user's own folders; `None` if the server reports that the user has no folders, not
    /// even an INBOX.
    async fn namespace(&mut self) -> Result<Option<Namespace>, Failure> {
        let mut personal = None;
        if self.client.capabilities.has("NAMESPACE") {
            let collect = |words: &[Word]| personal = personal.take().or_else(|| Personal::parse(words));
            match self.client.run("NAMESPACE", "", collect).await {
                // A server or a proxy may announce the extension without supporting it.
                Ok(_) => {}
                Err(failure) if failure.means(Meaning::Unrecognized) || failure.means(Meaning::Configuration) => {}
                Err(failure) => return Err(failure),
            }
        }
        match personal {
            Some(Personal::At(namespace)) => return Ok(Some(namespace)),
            Some(Personal::Missing) if !self.has_inbox().await? => return Ok(None),
            Some(Personal::Missing) | None => {}
        }
        let mut separator = None;
        let root = |words: &[Word]| {
            let (_, rest) = listed(words)?;
            rest.first()?.text()?.first().map(|&byte| char::from(byte))
        };
        self.client.run("LIST", " \"\" \"\"", |words| separator = separator.or_else(|| root(words))).await?;
        Ok(Some(Namespace { separator, ..Namespace::default() }))
    }

    /// Returns whether the user has an INBOX, which RFC 3501 reserves for the user's own mail.
    async fn has_inbox(&mut self) -> Result<bool, Failure> {
        let mut found = false;
        self.client.run("LIST", " \"\" INBOX", |words| found |= exists(words)).await?;
        Ok(found)
    }

    /// Looks up the archive folder.
    pub(super) async fn list_folder(&mut self) -> Result<(), Failure> {
        let mut found = false;
        let arguments = format!(" \"\" {}", self.path);
        self.client.run("LIST", &arguments, |words| found |= exists(words)).await?;
        self.has_folder = found;
        Ok(())
    }

    /// Creates the archive folder. Another function may create it at the same time.
    pub(super) async fn make_folder(&mut self) -> Result<(), Failure> {
        let path = format!(" {}", self.path);
        match self.client.run("CREATE", &path, |_| {}).await {
            Ok(_) => {}
            Err(failure) if failure.means(Meaning::FolderExists) => {}
            // Cyrus and Courier have no response code for a folder that exists.
            Err(failure @ Failure::Refused(_)) => {
                self.list_folder().await?;
                if !self.has_folder {
                    return Err(failure);
                }
            }
            Err(failure) => return Err(failure),
        }
        self.has_folder = true;
        // Subscribes to the folder, so that mail clients show it. An error does not matter.
        match self.client.run("SUBSCRIBE", &path, |_| {}).await {
            Ok(_) | Err(Failure::Refused(_)) => Ok(()),
            Err(failure) => Err(failure),
        }
    }

    /// Returns the server's id of the mailbox, if it is unique on the server (RFC 8474).
    pub(super) async fn mailbox_id(&mut self) -> Result<Option<String>, Failure> {
        if !self.client.capabilities.has("OBJECTID") {
            return Ok(None);
        }
        let mut id = None;
        let status = |words: &[Word]| id = id.take().or_else(|| mailbox_id(words));
        self.client.run("STATUS", " INBOX (MAILBOXID UIDVALIDITY)", status).await?;
        Ok(id)
    }

    /// Returns whether the connection still works.
    pub(super) async fn is_alive(&mut self) -> bool {
        self.client.run("NOOP", "", |_| {}).await.is_ok()
    }

    /// Stores a message in the archive folder, with the flag \Seen and its own date. Returns its UID, if the server
    /// reports it.
    pub(super) async fn append(&mut self, mime: &Mime, date: Timestamp) -> Result<Option<Uid>, Failure> {
        let length = mime.length();
        let capabilities = &self.client.capabilities;
        if capabilities.append_limit().is_some_and(|limit| length > limit) {
            let detail = "the message exceeds the server's APPENDLIMIT".to_owned();
            return Err(MailboxError::Rejected { detail }.into());
        }
        let non_sync = (capabilities.has("LITERAL+") && length <= NON_SYNC_LITERAL_MAX_BYTES)
            || (capabilities.has("LITERAL-") && length <= LITERAL_MINUS_MAX_BYTES);
        self.deselect().await?;
        let command = "APPEND";
        let plus = if non_sync { "+" } else { "" };
        let date = date.to_zoned(TimeZone::UTC).strftime("%e-%b-%Y %H:%M:%S +0000");
        let arguments = format!(" {} (\\Seen) \"{date}\" {{{length}{plus}}}", self.path);
        let tag = self.client.send(command, &arguments).await?;
        if !non_sync {
            self.client.wait_for_continuation(command, &tag).await?;
        }
        let sent = self.send_message(mime).await;
        let ended = match sent {
            Ok(()) => self.client.wait_for_end(command, &tag, &mut |_| {}).await,
            Err(failure) => Err(failure),
        };
        let condition = ended.map_err(Failure::after_the_message)?;
        let Some(Code { name, arguments }) = condition.code else { return Ok(None) };
        let mut numbers = arguments.iter().map(|number| number.parse());
        Ok(match (name.as_str(), numbers.next(), numbers.next()) {
            ("APPENDUID", Some(Ok(validity)), Some(Ok(uid))) => Some(Uid { validity, uid }),
            _ => None,
        })
    }

    async fn send_message(&mut self, mime: &Mime) -> Result<(), Failure> {
        let length = mime.length();
        let mut written = 0;
        while written < length {
            let piece = mime.piece(written).await.map_err(MailboxError::from)?;
            self.client.wire.write(&piece).await?;
            written += piece.len() as u64;
        }
        self.client.wire.extend_deadline_for(length);
        self.client.send_line("").await
    }

    /// Closes the folder that a lookup has selected: Courier rejects an APPEND to a folder that is selected read-only.
    /// CLOSE removes no messages from such a folder (RFC 3501, 6.4.2).
    async fn deselect(&mut self) -> Result<(), Failure> {
        if !std::mem::take(&mut self.is_selected) {
            return Ok(());
        }
        match self.client.run("CLOSE", "", |_| {}).await {
            // The response to APPEND shows whether the server accepts the message.
            Ok(_) | Err(Failure::Refused(_)) => Ok(()),
            Err(failure) => Err(failure),
        }
    }
}

/// Splits the response to LIST into the attributes of a folder and the rest: the separator and the name.
fn listed(words: &[Word]) -> Option<(&[Word], &[Word])> {
    let [name, Word::Open, rest @ ..] = words else { return None };
    let close = rest.iter().position(|word| *word == Word::Close).filter(|_| name.is("LIST"))?;
    Some((&rest[..close], &rest[close + 1..]))
}

/// Returns whether this is the response to LIST for a folder that can be selected.
fn exists(words: &[Word]) -> bool {
    let is_missing = |word: &Word| word.is("\\Noselect") || word.is("\\NonExistent");
    listed(words).is_some_and(|(attributes, _)| !attributes.iter().any(is_missing))
}

/// Reads the id from the response to STATUS. The UIDVALIDITY is added in case the id is unique within one account only.
fn mailbox_id(words: &[Word]) -> Option<String> {
    let after = |name: &str| words.iter().position(|word| word.is(name)).map(|at| &words[at + 1..]);
    if !words.first()?.is("STATUS") {
        return None;
    }
    let [Word::Open, id, Word::Close, ..] = after("MAILBOXID")? else { return None };
    let validity: u32 = after("UIDVALIDITY")?.first()?.number()?;
    let id = std::str::from_utf8(id.text()?).ok().filter(|id| id.len() >= MIN_UNIQUE_MAILBOX_ID)?;
    Some(format!("{id}/{validity}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imap::response::data_words;

    #[test]
    fn folder_that_is_only_a_name_does_not_exist() {
        assert!(exists(&data_words(b"* LIST (\\HasNoChildren) \"/\" \"WhatsApp Archiver\"\r\n")));
        assert!(!exists(&data_words(b"* LIST (\\HasNoChildren \\NonExistent) \"/\" \"WhatsApp Archiver\"\r\n")));
        assert!(!exists(&data_words(b"* LIST (\\Noselect) \"/\" \"\"\r\n")));
        assert!(!exists(&data_words(b"* LSUB () \"/\" \"WhatsApp Archiver\"\r\n")));
    }

    #[test]
    fn mailbox_id_is_used_only_where_it_is_unique() {
        let id = |line: &str| mailbox_id(&data_words(line.as_bytes()));
        let cyrus = "* STATUS INBOX (MAILBOXID (5hctb50zkooqjyu2dwg4odjx) UIDVALIDITY 1795771743)\r\n";
        assert_eq!(id(cyrus).as_deref(), Some("5hctb50zkooqjyu2dwg4odjx/1795771743"));
        assert_eq!(id("* STATUS INBOX (UIDVALIDITY 7 MAILBOXID (a))\r\n"), None);
        assert_eq!(id("* STATUS INBOX (UIDVALIDITY 7)\r\n"), None);
        assert_eq!(id("* 3 EXISTS\r\n"), None);
    }
}
