//! Arguments of `archiver reconcile`.

use jiff::Timestamp;

use crate::{connection::Deployment, time::time};

/// Arguments of `archiver reconcile`.
#[derive(Debug, clap::Args)]
pub struct ReconcileArguments {
    /// Compare runs that began at this time or later, and items of other runs with archived times from it on; require these
    /// times to be fetched: 2026-11-01 or 2026-11-01T07:00:00Z, in UTC [default: the start of the first run's window]
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(super) from: Option<Timestamp>,
    /// Compare runs that began before this time, and items of other runs with archived times before it; not included
    /// [default: all, until now]
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(super) to: Option<Timestamp>,
    /// Check the mailboxes, too: read each stored message and compare its SHA-256 with the outcome's, and look up the message
    /// in each mailbox that the outcome names. Needs import's settings and its secret
    #[arg(long)]
    pub(super) deep: bool,
    /// With --deep: name the mailboxes that lack a copy or could not be checked; otherwise only their outcomes are named
    #[arg(long, requires = "deep")]
    pub(super) name_mailboxes: bool,
    /// In the tables, name items by their ids and incidents by their files, which may contain names, numbers and addresses; otherwise only
    /// keys and ids of incidents are printed. --json has all
    #[arg(long, conflicts_with = "unmapped")]
    pub(super) name_items: bool,
    /// Assume that no fetch is running: also compare the items that a run without a recorded end listed in the last 15 minutes
    #[arg(long)]
    pub(super) settled: bool,
    /// Put the missing and the unproven items on the convert queue again, and no others
    #[arg(long, group = "change")]
    pub(super) requeue: bool,
    /// Resolve the participants that had no mailbox again with today's user map, show which copies are missing, and file
    /// exactly those
    #[arg(long, group = "change", conflicts_with_all = ["deep", "settled"])]
    pub(super) unmapped: bool,
    /// Skip the confirmation
    #[arg(long, requires = "change")]
    pub(super) yes: bool,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) deployment: Deployment,
}
