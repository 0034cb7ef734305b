//! The URLs of the retrieval API.

use std::str::FromStr;

use model::{AttachmentId, ItemError, ItemId};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use url::Url;

use crate::SourceError;

/// An id is one segment of the path, whatever it contains: everything except RFC 3986's unreserved characters is
/// encoded, because servers give `;`, `=` and `+` special meanings.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The base URL of a retrieval API. Its path is kept (`https://archive.example.com/api/v1`). Credentials may be sent to
/// it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchiverUrl(Url);

/// An invalid base URL. Contains nothing of the text: it may include a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ArchiverUrlError {
    /// Not a URL.
    #[error("it is not a URL")]
    Form,
    /// Plain HTTP, which can be read on the network.
    #[error("it must be https (plain http is only for loopback hosts)")]
    Plain,
    /// `https://user:password@…`.
    #[error("it contains a user name or a password; put them into the secret")]
    Credentials,
    /// `…?x=1`, `…#x`.
    #[error("it has a query or a fragment; it must end with the path of the API")]
    Query,
}

impl FromStr for ArchiverUrl {
    type Err = ArchiverUrlError;

    fn from_str(text: &str) -> Result<Self, ArchiverUrlError> {
        let url: Url = text.parse().map_err(|_| ArchiverUrlError::Form)?;
        if !http_client::is_private(&url) {
            return Err(ArchiverUrlError::Plain);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(ArchiverUrlError::Credentials);
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(ArchiverUrlError::Query);
        }
        Ok(Self(url))
    }
}

impl ArchiverUrl {
    pub(super) fn is_https(&self) -> bool {
        self.0.scheme() == "https"
    }

    pub(super) fn items(&self) -> Url {
        self.under("items")
    }

    pub(super) fn item(&self, id: &ItemId) -> Result<Url, SourceError> {
        Ok(self.under(&format!("items/{}", segment(id.as_str())?)))
    }

    pub(super) fn attachment(&self, id: &ItemId, attachment: &AttachmentId) -> Result<Url, SourceError> {
        Ok(self.under(&format!("items/{}/attachments/{}", segment(id.as_str())?, segment(attachment.as_str())?)))
    }

    fn under(&self, path: &str) -> Url {
        let mut url = self.0.clone();
        url.set_path(&format!("{}/{path}", self.0.path().trim_end_matches('/')));
        url
    }
}

fn segment(id: &str) -> Result<String, SourceError> {
    // A segment of dots has a special meaning in every URL, encoded or not, so these two ids cannot be requested.
    if matches!(id, "." | "..") {
        return Err(ItemError::Shape("the id is . or .., which a URL cannot contain".to_owned()).into());
    }
    Ok(utf8_percent_encode(id, SEGMENT).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_go_to_https_and_loopback_hosts_only() {
        for url in [
            "https://archive.example.com/api/v1",
            "http://127.0.0.1:1",
            "http://127.9.9.9/",
            "http://[::1]:80/x",
            "http://localhost:8080",
        ] {
            assert!(url.parse::<ArchiverUrl>().is_ok(), "{url}");
        }
        for (url, error) in [
            ("archive.example.com/api", ArchiverUrlError::Form),
            ("http://archive.example.com", ArchiverUrlError::Plain),
            ("http://127.0.0.1.example.com", ArchiverUrlError::Plain),
            ("http://localhost.example.com", ArchiverUrlError::Plain),
            ("http://10.0.0.1", ArchiverUrlError::Plain),
            ("http://0.0.0.0", ArchiverUrlError::Plain),
            ("ftp://localhost", ArchiverUrlError::Plain),
            ("data:text/plain,x", ArchiverUrlError::Plain),
            ("https://user@archive.example.com", ArchiverUrlError::Credentials),
            ("https://:secret@archive.example.com", ArchiverUrlError::Credentials),
            ("https://archive.example.com/?key=1", ArchiverUrlError::Query),
            ("https://archive.example.com/#x", ArchiverUrlError::Query),
        ] {
            assert_eq!(url.parse::<ArchiverUrl>(), Err(error), "{url}");
        }
    }

    #[test]
    fn id_is_one_path_segment() {
        let base: ArchiverUrl = "https://archive.example.com/api/v1/".parse().unwrap();
        for (id, path) in [
            ("WA-7c1e0b52/3", "/api/v1/items/WA-7c1e0b52%2F3"),
            ("../../admin?x=1#y", "/api/v1/items/..%2F..%2Fadmin%3Fx%3D1%23y"),
            ("%2e%2e", "/api/v1/items/%252e%252e"),
            ("...", "/api/v1/items/..."),
            ("a\\b'c\"d;e", "/api/v1/items/a%5Cb%27c%22d%3Be"),
            ("ש ø", "/api/v1/items/%D7%A9%20%C3%B8"),
        ] {
            assert_eq!(base.item(&id.parse().unwrap()).unwrap().path(), path);
        }
        for id in [".", ".."] {
            assert!(matches!(base.item(&id.parse().unwrap()), Err(SourceError::Malformed(_))));
        }
        assert_eq!(base.items().as_str(), "https://archive.example.com/api/v1/items");
    }
}
