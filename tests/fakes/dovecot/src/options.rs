//! Options and accounts of a server.

/// Name of the account that may open every mailbox.
pub const MASTER: &str = "archiver";
/// The password of [`MASTER`].
pub const MASTER_PASSWORD: &str = "correct horse";
/// The password of every user.
pub(crate) const PASSWORD: &str = "own";

/// Configuration of a server.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The users that have a mailbox.
    pub users: Vec<String>,
    /// The quota of each mailbox, in bytes.
    pub quota: Option<u64>,
    /// The maximum size of a message, in bytes.
    pub max_message_bytes: Option<u64>,
    /// The prefix of a user's folders, and the separator of folder names.
    pub namespace: Option<(&'static str, char)>,
    /// `true` if the server uses TLS, with a certificate for `localhost` and `127.0.0.1`.
    pub tls: bool,
    /// The endpoint that checks access tokens (RFC 7662), for XOAUTH2.
    pub introspection: Option<String>,
}
