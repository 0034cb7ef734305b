//! Where Graph is.

use url::Url;

use super::ConfigError;
use crate::mailbox::entra::{Cloud, host, with_path};

/// Graph's host. Every address that is asked for is made here, so none can lead elsewhere.
#[derive(Debug, Clone)]
pub(super) struct Hosts {
    graph: Url,
}

impl Hosts {
    pub(super) fn new(cloud: Cloud, graph: Option<Url>) -> Result<Self, ConfigError> {
        let graph = host(graph, cloud.graph()).ok_or(ConfigError::Host { which: "Graph" })?;
        Ok(Self { graph })
    }

    /// What a token is asked for: whatever the application was given.
    pub(super) fn scope(&self) -> String {
        format!("{}/.default", self.graph.origin().ascii_serialization())
    }

    /// An address below `/v1.0`, each segment percent-encoded.
    pub(super) fn graph(&self, segments: &[&str]) -> Url {
        with_path(&self.graph, &[&["v1.0"], segments].concat())
    }

    /// The same below `/beta`.
    pub(super) fn beta(&self, segments: &[&str]) -> Url {
        with_path(&self.graph, &[&["beta"], segments].concat())
    }

    /// Whether an address that Graph gave us is Graph's own, so that our token may go there.
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
    fn a_segment_stays_one_segment() {
        let hosts = Hosts::new(Cloud::Global, None).unwrap();
        assert_eq!(
            hosts.graph(&["users", "a/b?c#d%2F+="]).as_str(),
            "https://graph.microsoft.com/v1.0/users/a%2Fb%3Fc%23d%252F+="
        );
    }

    #[test]
    fn only_a_bare_host_over_tls_or_on_this_machine_is_taken() {
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
    fn a_token_goes_to_graph_alone() {
        let hosts = hosts("https://graph.example").unwrap();
        assert!(hosts.is_graph(&"https://graph.example/v1.0/users?$skip=10".parse().unwrap()));
        for other in ["https://graph.example:8443/", "http://graph.example/", "https://graph.example.evil/"] {
            assert!(!hosts.is_graph(&other.parse().unwrap()), "{other}");
        }
    }
}
