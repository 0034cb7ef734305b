//! Where Graph is: the clouds, and the two hosts of each.

use std::str::FromStr;

use url::{Host, Url};

use super::ConfigError;

/// A national cloud of Microsoft 365.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cloud {
    /// Everybody's, GCC included.
    Global,
    /// GCC High.
    UsGovHigh,
    /// The US Department of Defense's.
    UsGovDod,
    /// China's, which 21Vianet runs.
    China,
}

/// The word names no cloud.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the clouds are global, usgov-high, usgov-dod and china")]
pub struct UnknownCloud;

impl FromStr for Cloud {
    type Err = UnknownCloud;

    fn from_str(word: &str) -> Result<Self, UnknownCloud> {
        match word {
            "global" => Ok(Self::Global),
            "usgov-high" => Ok(Self::UsGovHigh),
            "usgov-dod" => Ok(Self::UsGovDod),
            "china" => Ok(Self::China),
            _ => Err(UnknownCloud),
        }
    }
}

impl Cloud {
    fn graph(self) -> &'static str {
        match self {
            Self::Global => "https://graph.microsoft.com/",
            Self::UsGovHigh => "https://graph.microsoft.us/",
            Self::UsGovDod => "https://dod-graph.microsoft.us/",
            Self::China => "https://microsoftgraph.chinacloudapi.cn/",
        }
    }

    fn login(self) -> &'static str {
        match self {
            Self::Global => "https://login.microsoftonline.com/",
            Self::UsGovHigh | Self::UsGovDod => "https://login.microsoftonline.us/",
            Self::China => "https://login.partner.microsoftonline.cn/",
        }
    }
}

/// The two hosts that we talk to. Every address that is asked for is made here, so none can lead elsewhere.
#[derive(Debug, Clone)]
pub(super) struct Hosts {
    graph: Url,
    login: Url,
}

impl Hosts {
    pub(super) fn new(cloud: Cloud, graph: Option<Url>, login: Option<Url>) -> Result<Self, ConfigError> {
        let checked = |given: Option<Url>, cloud: &str, which| {
            let url = given.map_or_else(|| Url::parse(cloud).ok(), Some).filter(is_bare_host);
            url.ok_or(ConfigError::Host { which })
        };
        Ok(Self { graph: checked(graph, cloud.graph(), "Graph")?, login: checked(login, cloud.login(), "login")? })
    }

    /// `POST` here for a token.
    pub(super) fn token(&self, tenant: &str) -> Url {
        with_path(&self.login, &[tenant, "oauth2", "v2.0", "token"])
    }

    /// What a token is asked for: whatever the application was given.
    pub(super) fn scope(&self) -> String {
        format!("{}/.default", self.graph.origin().ascii_serialization())
    }

    /// An address below `/v1.0`, each segment percent-encoded.
    pub(super) fn graph(&self, segments: &[&str]) -> Url {
        let mut path = vec!["v1.0"];
        path.extend_from_slice(segments);
        with_path(&self.graph, &path)
    }

    /// Whether an address that Graph gave us is Graph's own, so that our token may go there.
    pub(super) fn is_graph(&self, url: &Url) -> bool {
        url.origin() == self.graph.origin() && url.username().is_empty() && url.password().is_none()
    }
}

fn with_path(host: &Url, segments: &[&str]) -> Url {
    let mut url = host.clone();
    if let Ok(mut path) = url.path_segments_mut() {
        path.clear().extend(segments);
    }
    url
}

/// Whether something may travel there: over TLS, or without leaving this machine.
pub(super) fn is_private(url: &Url) -> bool {
    let loopback = match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    };
    url.scheme() == "https" || (url.scheme() == "http" && loopback)
}

fn is_bare_host(url: &Url) -> bool {
    is_private(url)
        && url.username().is_empty()
        && url.password().is_none()
        && url.path() == "/"
        && url.query().is_none()
        && url.fragment().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(graph: &str) -> Result<Hosts, ConfigError> {
        Hosts::new(Cloud::Global, Some(graph.parse().unwrap()), None)
    }

    #[test]
    fn every_cloud_has_its_hosts() {
        for (word, graph, login) in [
            ("global", "https://graph.microsoft.com", "https://login.microsoftonline.com/t/oauth2/v2.0/token"),
            ("usgov-high", "https://graph.microsoft.us", "https://login.microsoftonline.us/t/oauth2/v2.0/token"),
            ("usgov-dod", "https://dod-graph.microsoft.us", "https://login.microsoftonline.us/t/oauth2/v2.0/token"),
            (
                "china",
                "https://microsoftgraph.chinacloudapi.cn",
                "https://login.partner.microsoftonline.cn/t/oauth2/v2.0/token",
            ),
        ] {
            let hosts = Hosts::new(word.parse().unwrap(), None, None).unwrap();
            assert_eq!(hosts.scope(), format!("{graph}/.default"));
            assert_eq!(hosts.token("t").as_str(), login);
            assert_eq!(hosts.graph(&["users"]).as_str(), format!("{graph}/v1.0/users"));
        }
        assert_eq!("Global".parse::<Cloud>(), Err(UnknownCloud));
    }

    #[test]
    fn a_segment_stays_one_segment() {
        let hosts = Hosts::new(Cloud::Global, None, None).unwrap();
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
