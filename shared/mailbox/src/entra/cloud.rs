//! The clouds of Microsoft 365, and the hosts of each.

use std::str::FromStr;

use crate::imap::ImapHost;

/// A national cloud of Microsoft 365.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cloud {
    /// The public cloud, including GCC.
    Global,
    /// GCC High.
    UsGovHigh,
    /// The cloud of the US Department of Defense.
    UsGovDod,
    /// The cloud in China, operated by 21Vianet.
    China,
}

/// Unrecognized name of a cloud.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("unrecognized cloud: expected global, usgov-high, usgov-dod or china")]
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
    /// Returns the URL of Microsoft Graph.
    pub(crate) fn graph(self) -> &'static str {
        match self {
            Self::Global => "https://graph.microsoft.com/",
            Self::UsGovHigh => "https://graph.microsoft.us/",
            Self::UsGovDod => "https://dod-graph.microsoft.us/",
            Self::China => "https://microsoftgraph.chinacloudapi.cn/",
        }
    }

    /// Returns the URL of the login endpoint.
    pub(crate) fn login(self) -> &'static str {
        match self {
            Self::Global => "https://login.microsoftonline.com/",
            Self::UsGovHigh | Self::UsGovDod => "https://login.microsoftonline.us/",
            Self::China => "https://login.partner.microsoftonline.cn/",
        }
    }

    /// Returns Exchange Online's IMAP server.
    pub(crate) fn exchange_host(self) -> ImapHost {
        ImapHost::over_tls(self.exchange().0)
    }

    /// Returns the host of Exchange Online's IMAP server, and the scope of a token for it.
    pub(crate) fn exchange(self) -> (&'static str, &'static str) {
        match self {
            Self::Global => ("outlook.office365.com", "https://outlook.office365.com/.default"),
            Self::UsGovHigh => ("outlook.office365.us", "https://outlook.office365.us/.default"),
            Self::UsGovDod => ("outlook-dod.office365.us", "https://outlook-dod.office365.us/.default"),
            Self::China => ("partner.outlook.cn", "https://partner.outlook.cn/.default"),
        }
    }
}
