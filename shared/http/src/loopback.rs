//! The loopback rule: plain HTTP is only allowed on this machine.

use url::{Host, Url};

/// Returns whether credentials may be sent to a URL: over TLS, or to this machine.
pub fn is_private(url: &Url) -> bool {
    url.scheme() == "https" || (url.scheme() == "http" && url.host().is_some_and(|host| is_loopback(&host)))
}

/// Returns whether a host is this machine.
pub fn is_loopback(host: &Host<impl AsRef<str>>) -> bool {
    match host {
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
        Host::Domain(name) => name.as_ref() == "localhost",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_is_private_only_on_loopback() {
        let private = |url: &str| is_private(&url.parse().unwrap());
        for url in ["https://example.com", "http://127.0.0.1:9", "http://[::1]/a", "http://localhost"] {
            assert!(private(url), "{url}");
        }
        for url in
            ["http://example.com", "http://127.0.0.1.example.com", "http://localhost.example.com", "ftp://127.0.0.1"]
        {
            assert!(!private(url), "{url}");
        }
    }
}
