//! The clouds of Microsoft 365, and the hosts of each.

use std::str::FromStr;

use crate::imap::ImapHost;

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
    /// Microsoft Graph.
    pub(crate) fn graph(self) -> &'static str {
        match self {
            Self::Global => "https://graph.microsoft.com/",
            Self::UsGovHigh => "https://graph.microsoft.us/",
            Self::UsGovDod => "https://dod-graph.microsoft.us/",
            Self::China => "https://microsoftgraph.chinacloudapi.cn/",
        }
    }

    /// Where tokens are given out.
    pub(crate) fn login(self) -> &'static str {
        match self {
            Self::Global => "https://login.microsoftonline.com/",
            Self::UsGovHigh | Self::UsGovDod => "https://login.microsoftonline.us/",
            Self::China => "https://login.partner.microsoftonline.cn/",
        }
    }

    /// Exchange Online's IMAP server.
    pub(crate) fn exchange_host(self) -> ImapHost {
        ImapHost::over_tls(self.exchange().0)
    }

    /// Exchange Online, for IMAP: the host, and what a token for it is asked for.
    pub(crate) fn exchange(self) -> (&'static str, &'static str) {
        match self {
            Self::Global => ("outlook.office365.com", "https://outlook.office365.com/.default"),
            Self::UsGovHigh => ("outlook.office365.us", "https://outlook.office365.us/.default"),
            Self::UsGovDod => ("outlook-dod.office365.us", "https://outlook-dod.office365.us/.default"),
            Self::China => ("partner.outlook.cn", "https://partner.outlook.cn/.default"),
        }
    }
}
