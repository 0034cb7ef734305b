//! The address of the server.

use std::str::FromStr;

use url::{Host, Url};

use http_client::is_loopback;

/// The server's name and port, and whether TLS is used.
///
/// `mail.example.com` and `mail.example.com:1993` mean TLS from the first byte, on port 993 by default.
/// `imap://127.0.0.1:143` means no TLS, which is allowed for the loopback interface only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImapHost {
    pub(super) name: String,
    pub(super) port: u16,
    pub(super) tls: bool,
}

/// An invalid address of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ImapHostError {
    /// The text is not a host, or has more parts than host and port.
    #[error("invalid server: expected a host, or a host and a port")]
    Host,
    /// The password would be sent unencrypted.
    #[error("a server without TLS is allowed on this machine only")]
    Plain,
}

impl ImapHost {
    /// Returns a host on the default port.
    pub(crate) fn over_tls(name: &str) -> Self {
        Self { name: name.to_owned(), port: 993, tls: true }
    }
}

impl FromStr for ImapHost {
    type Err = ImapHostError;

    fn from_str(text: &str) -> Result<Self, ImapHostError> {
        let (tls, authority) = match (text.strip_prefix("imap://"), text.strip_prefix("imaps://")) {
            (Some(plain), _) => (false, plain),
            (None, secure) => (true, secure.unwrap_or(text)),
        };
        // Parsed as the authority of a URL, which allows host names and IP addresses.
        let url: Url = format!("http://{authority}/").parse().map_err(|_| ImapHostError::Host)?;
        let host = url.host().ok_or(ImapHostError::Host)?;
        let bare = url.username().is_empty() && url.password().is_none() && url.path() == "/";
        if !bare || url.query().is_some() || url.fragment().is_some() {
            return Err(ImapHostError::Host);
        }
        if !tls && !is_loopback(&host) {
            return Err(ImapHostError::Plain);
        }
        let name = match host {
            Host::Domain(name) => name.to_owned(),
            Host::Ipv4(address) => address.to_string(),
            Host::Ipv6(address) => address.to_string(),
        };
        Ok(Self { name, port: url.port().unwrap_or(if tls { 993 } else { 143 }), tls })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_without_tls_is_on_this_machine_only() {
        let host = |name: &str, port, tls| Ok(ImapHost { name: name.to_owned(), port, tls });
        for (text, expected) in [
            ("mail.example.com", host("mail.example.com", 993, true)),
            ("mail.example.com:1993", host("mail.example.com", 1993, true)),
            ("imaps://mail.example.com", host("mail.example.com", 993, true)),
            ("127.0.0.1:1993", host("127.0.0.1", 1993, true)),
            ("imap://127.0.0.1:1143", host("127.0.0.1", 1143, false)),
            ("imap://[::1]:1143", host("::1", 1143, false)),
            ("imap://localhost", host("localhost", 143, false)),
            ("imap://mail.example.com", Err(ImapHostError::Plain)),
            ("imap://127.0.0.1.example.com", Err(ImapHostError::Plain)),
            ("ada@mail.example.com", Err(ImapHostError::Host)),
            ("mail.example.com/inbox", Err(ImapHostError::Host)),
            ("https://mail.example.com", Err(ImapHostError::Host)),
            ("", Err(ImapHostError::Host)),
        ] {
            assert_eq!(text.parse(), expected, "{text:?}");
        }
    }
}
