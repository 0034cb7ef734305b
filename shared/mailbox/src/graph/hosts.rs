//! The URLs of Graph.

use url::Url;

use super::config::ConfigError;
use crate::entra::{Cloud, host, with_path};

/// Graph's host. Every URL is created here, so that none can lead to another host.
#[derive(Debug, Clone)]
pub(super) struct Hosts {
    graph: Url,
}

impl Hosts {
    pub(super) fn new(cloud: Cloud, graph: Option<Url>) -> Result<Self, ConfigError> {
        let graph = host(graph, cloud.graph()).ok_or(ConfigError::Host { which: "Graph" })?;
        Ok(Self { graph })
    }

    /// Returns the scope of a token: all permissions that the application is granted.
    pub(super) fn scope(&self) -> String {
        format!("{}/.default", self.graph.origin().ascii_serialization())
    }

    /// Returns a URL below `/v1.0`, with percent-encoded segments.
    pub(super) fn graph(&self, segments: &[&str]) -> Url {
        with_path(&self.graph, &[&["v1.0"], segments].concat())
    }

    /// Returns a URL below `/beta`, with percent-encoded segments.
    pub(super) fn beta(&self, segments: &[&str]) -> Url {
        with_path(&self.graph, &[&["beta"], segments].concat())
    }

    /// Returns whether a URL from a response is on Graph's host, so that the token may be sent there.
    pub(super) fn is_graph(&self, url: &Url) -> bool {
        url.origin() == self.graph.origin() && url.username().is_empty() && url.password().is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(graph: &str) -> Result<Hosts, ConfigError> {
        Hosts::new(Cloud::Global, Some(graph.parse().unwrap()))
    }

    #[test]
    fn every_cloud_has_its_host() {
        for (word, graph) in [
            ("global", "https://graph.microsoft.com"),
            ("usgov-high", "https://graph.microsoft.us"),
            ("usgov-dod", "https://dod-graph.microsoft.us"),
            ("china", "https://microsoftgraph.chinacloudapi.cn"),
        ] {
            let hosts = Hosts::new(word.parse().unwrap(), None).unwrap();
            assert_eq!(hosts.scope(), format!("{graph}/.default"));
            assert_eq!(hosts.graph(&["users"]).as_str(), format!("{graph}/v1.0/users"));
        }
        assert!("Global".parse::<Cloud>().is_err());
    }

    #[test]
    fn segment_stays_one_segment() {
        let hosts = Hosts::new(Cloud::Global, None).unwrap();
        assert_eq!(
            hosts.graph(&["users", "a/b?c#d%2F+="]).as_str(),
            "https://graph.microsoft.com/v1.0/users/a%2Fb%3Fc%23d%252F+="
        );
    }

    #[test]
    fn host_is_bare_and_private() {
        for good in ["https://graph.example", "http://127.0.0.1:9", "http://[::1]:9", "http://localhost:9"] {
            assert!(hosts(good).is_ok(), "{good}");
        }
        for bad in [
            "http://graph.example",
            "ftp://graph.example",
            "https://user@graph.example",
            "https://graph.example/path",
            "https://graph.example/?q",
            "http://127.0.0.1.example",
        ] {
            assert!(hosts(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn token_is_sent_to_graph_only() {
        let hosts = hosts("https://graph.example").unwrap();
        assert!(hosts.is_graph(&"https://graph.example/v1.0/users?$skip=10".parse().unwrap()));
        for other in ["https://graph.example:8443/", "http://graph.example/", "https://graph.example.evil/"] {
            assert!(!hosts.is_graph(&other.parse().unwrap()), "{other}");
        }
    }
}
