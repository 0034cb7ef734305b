//! Arguments of `archiver export`.

use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{connection::Deployment, time::time};

/// Arguments of `archiver export`.
#[derive(Debug, clap::Args)]
pub struct ExportArguments {
    /// Messages that were sent at this time or later: 2026-11-01 or 2026-11-01T07:00:00Z, in UTC
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(super) from: Timestamp,
    /// Messages that were sent before this time; it is not included
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(super) to: Timestamp,
    /// Only messages that have a copy in this mailbox, or should have one
    #[arg(long, value_name = "ADDRESS")]
    pub(super) mailbox: Option<String>,
    /// Only messages of the chat with this WhatsApp id, as mails show it: "Chat id"; may be given more than once
    #[arg(long = "chat", value_name = "ID")]
    pub(super) chats: Vec<String>,
    /// Leave out messages that the source received at this time or later; saves reading them [default: now]
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(super) archived_before: Option<Timestamp>,
    #[command(flatten)]
    pub(super) format: FormatArguments,
    /// The directory for the files; it is created, or contains the same export, unfinished
    #[arg(value_name = "DIR")]
    pub(super) directory: PathBuf,
    /// Print the export's manifest as JSON
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) deployment: Deployment,
}

/// The format of the files.
#[derive(Debug, Clone, Copy, clap::Args)]
#[group(required = true, multiple = false)]
pub(super) struct FormatArguments {
    /// RSMF 2.0 files, which review platforms import: one for each chat and day
    #[arg(long)]
    rsmf: bool,
    /// The stored mails, byte for byte, in a ZIP archive for each chat and day
    #[arg(long)]
    eml: bool,
}

/// The format of the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Format {
    Rsmf,
    Eml,
}

impl Format {
    pub(super) fn extension(self) -> &'static str {
        match self {
            Self::Rsmf => "rsmf",
            Self::Eml => "zip",
        }
    }
}

impl FormatArguments {
    pub(super) fn format(self) -> Format {
        match self {
            Self { eml: true, .. } => Format::Eml,
            Self { .. } => Format::Rsmf,
        }
    }
}

/// Selects the content of an export. A run continues an unfinished export only if the request is the same.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Request {
    pub(super) format: Format,
    /// Name of the bucket.
    pub(super) deployment: String,
    pub(super) from: Timestamp,
    pub(super) to: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) archived_before: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) mailbox: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) chats: Vec<String>,
}
