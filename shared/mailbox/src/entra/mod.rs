//! Microsoft Entra: the application and its tokens, for Graph and for IMAP of Exchange Online.

mod cloud;
mod credentials;
mod expiry;
mod token;

use std::sync::Arc;

use http_client::is_private;
use url::Url;

pub use cloud::{Cloud, UnknownCloud};
pub use credentials::{Credentials, EntraSecret};
pub use expiry::{EXPIRY_WARNING_DAYS, ExpiryError, days_left};
pub(super) use token::{Token, Tokens};

/// The application in Entra that has access to the mailboxes.
#[derive(Debug, Clone)]
pub struct Application {
    /// The cloud of the tenant.
    pub cloud: Cloud,
    /// Overrides the cloud's login host: `https`, or `http` on this machine.
    pub login_url: Option<Url>,
    /// The tenant: an id or a domain.
    pub tenant_id: String,
    /// The application's (client) id.
    pub client_id: String,
}

/// An invalid [`Application`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ApplicationError {
    /// The login URL is not `https`, or has more parts than a host.
    #[error("invalid login host: expected https://<host> without a path")]
    Host,
    /// The id of the tenant or the application is invalid.
    #[error("invalid {which} id: expected letters, digits, dots and hyphens")]
    Id {
        /// tenant or client.
        which: &'static str,
    },
}

impl Application {
    /// Creates the source of tokens for `scope`. Sends no request.
    pub(super) fn tokens(self, scope: String, credentials: Arc<dyn Credentials>) -> Result<Tokens, ApplicationError> {
        let is_id = |id: &str| {
            (1..=255).contains(&id.len())
                && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'))
                && !id.bytes().all(|byte| byte == b'.')
        };
        if !is_id(&self.tenant_id) {
            return Err(ApplicationError::Id { which: "tenant" });
        }
        if !is_id(&self.client_id) {
            return Err(ApplicationError::Id { which: "client" });
        }
        let login = host(self.login_url, self.cloud.login()).ok_or(ApplicationError::Host)?;
        let url = with_path(&login, &[&self.tenant_id, "oauth2", "v2.0", "token"]);
        Ok(Tokens::new(url, self.client_id, scope, credentials))
    }
}

/// Returns the configured host, or the default of the cloud; `None` if the URL has more parts than a host, or is plain
/// HTTP to another machine.
pub(super) fn host(given: Option<Url>, cloud: &str) -> Option<Url> {
    let bare = |url: &Url| {
        is_private(url)
            && url.username().is_empty()
            && url.password().is_none()
            && url.path() == "/"
            && url.query().is_none()
            && url.fragment().is_none()
    };
    given.map_or_else(|| Url::parse(cloud).ok(), Some).filter(bare)
}

/// Creates a URL on a host. Each segment is percent-encoded, so that no segment can change the path.
pub(super) fn with_path(host: &Url, segments: &[&str]) -> Url {
    let mut url = host.clone();
    if let Ok(mut path) = url.path_segments_mut() {
        path.clear().extend(segments);
    }
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cloud_has_its_login_host() {
        for (word, login) in [
            ("global", "https://login.microsoftonline.com/t/oauth2/v2.0/token"),
            ("usgov-high", "https://login.microsoftonline.us/t/oauth2/v2.0/token"),
            ("usgov-dod", "https://login.microsoftonline.us/t/oauth2/v2.0/token"),
            ("china", "https://login.partner.microsoftonline.cn/t/oauth2/v2.0/token"),
        ] {
            let cloud: Cloud = word.parse().unwrap();
            let login_host = host(None, cloud.login()).unwrap();
            assert_eq!(with_path(&login_host, &["t", "oauth2", "v2.0", "token"]).as_str(), login);
        }
    }
}
