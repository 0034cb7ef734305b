//! Where each thing is asked for.

use item::{AttachmentId, ItemError, ItemId};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use url::{Host, Url};

use crate::SourceError;

/// An id is one segment of the path whatever it holds: all but RFC 3986's unreserved characters are encoded, because
/// servers give `;`, `=` and `+` meanings of their own.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The API's base URL, safe to send credentials to.
pub(super) struct BaseUrl(Url);

impl BaseUrl {
    pub(super) fn new(url: Url) -> Result<Self, SourceError> {
        let refused = |detail: &str| Err(SourceError::Setup { detail: format!("the archiver's URL {detail}") });
        let loopback = match url.host() {
            Some(Host::Domain(name)) => name == "localhost",
            Some(Host::Ipv4(ip)) => ip.is_loopback(),
            Some(Host::Ipv6(ip)) => ip.is_loopback(),
            None => false,
        };
        match url.scheme() {
            "https" => {}
            "http" if loopback => {}
            _ => return refused("has to be https (plain http is for loopback hosts)"),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return refused("holds a user name or a password; they belong in the secret");
        }
        if url.query().is_some() || url.fragment().is_some() {
            return refused("has a query or a fragment; it ends with the path of the API");
        }
        Ok(Self(url))
    }

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
    // Dots mean themselves whether encoded or not, so that no URL can name these two: asking would ask for something
    // else.
    if matches!(id, "." | "..") {
        return Err(ItemError::Shape("the id is made of dots, which no URL can name".to_owned()).into());
    }
    Ok(utf8_percent_encode(id, SEGMENT).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base(url: &str) -> Result<BaseUrl, SourceError> {
        BaseUrl::new(url.parse().unwrap())
    }

    #[test]
    fn credentials_go_to_https_and_loopback_hosts_only() {
        for url in [
            "https://archive.example.com/api/v1",
            "http://127.0.0.1:1",
            "http://127.9.9.9/",
            "http://[::1]:80/x",
            "http://localhost:8080",
        ] {
            assert!(base(url).is_ok(), "{url}");
        }
        for url in [
            "http://archive.example.com",
            "http://127.0.0.1.example.com",
            "http://localhost.example.com",
            "http://10.0.0.1",
            "http://0.0.0.0",
            "ftp://localhost",
            "data:text/plain,x",
            "https://user@archive.example.com",
            "https://:secret@archive.example.com",
            "https://archive.example.com/?key=1",
            "https://archive.example.com/#x",
        ] {
            assert!(matches!(base(url), Err(SourceError::Setup { .. })), "{url}");
        }
    }

    #[test]
    fn an_id_is_one_segment_whatever_it_holds() {
        let base = base("https://archive.example.com/api/v1/").unwrap();
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
