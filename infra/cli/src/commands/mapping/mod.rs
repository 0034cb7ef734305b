//! `archiver mapping`: checks, uploads, confirms and queries the user map.

mod check;
mod confirm;
mod file;
mod resolve;
mod upload;
mod warnings;

use std::process::ExitCode;

use self::{check::CheckArguments, confirm::ConfirmArguments, resolve::ResolveArguments, upload::UploadArguments};

pub use self::{
    resolve::{Rule, User, resolve_user},
    warnings::warnings,
};

/// Arguments of `archiver mapping`.
#[derive(Debug, clap::Args)]
pub struct MappingArguments {
    #[command(subcommand)]
    command: MappingCommand,
}

#[derive(Debug, clap::Subcommand)]
enum MappingCommand {
    /// Check a user map as import does, and report errors by line; changes nothing
    #[command(
        after_help = "No request is sent, except with --mailboxes, --stack or --local: then DefaultRegion is the deployment's, and a map that import \
        would reject because numbers of the last one are missing (over 10 % by count, or over a quarter of a sample), have no valid row (over 10 %) \
        or have other mailboxes (most of them), causes a warning.\n\
        Exit code: 0 when the file is valid (with or without warnings); 1 when it is invalid or cannot be read, or a mailbox does not exist.\n\
        Examples:\n  archiver mapping check people.csv\n  archiver mapping check people.csv --mailboxes --stack NAME"
    )]
    Check(CheckArguments),
    /// Upload a valid user map to the bucket; import uses it from its next batch on
    #[command(
        after_help = "A file with an invalid row is not uploaded. With --confirm-shrink or --confirm-moves a file that is in the bucket already is confirmed.\n\
        Exit code: 0 when the file is in the bucket, uploaded now or before, and import may use it; 1 when it could not be uploaded; 2 invalid arguments; 4 not confirmed.\n\
        Examples:\n  archiver mapping upload people.csv\n  archiver mapping upload people.csv --yes --local"
    )]
    Upload(UploadArguments),
    /// Confirm a user map that has disappeared, or that lacks many numbers of the last one, has no valid row for them or has moved
    /// most of them to other mailboxes, so that import uses it as it is
    #[command(
        after_help = "Import stops filing when the user map disappears, shrinks, replaces or ends many numbers, or moves most of them; nothing is lost meanwhile.\n\
        Exit code: 0 when import may use the present map in the bucket; 1 when the map is invalid; 4 not confirmed.\n\
        Examples:\n  archiver mapping confirm --stack NAME\n  archiver mapping confirm --yes --local"
    )]
    Confirm(ConfirmArguments),
    /// Show the mailbox for a user, by the user map in the bucket and the rule for e-mail properties
    #[command(
        after_help = "This command does not check whether the mailbox exists; `archiver mapping check FILE --mailboxes` does.\n\
        Exit code: 0 when a mailbox was found; 1 when items without other participants would become dead letters (unmapped).\n\
        Examples:\n  archiver mapping resolve '+45 20 12 34 56'\n  archiver mapping resolve ada@example.com --json"
    )]
    Resolve(ResolveArguments),
}

/// Runs the command. Results go to standard output, questions and warnings to standard error.
///
/// # Errors
/// The file or the deployment cannot be read, or another writer changes the map at the same time.
pub async fn run(arguments: MappingArguments) -> anyhow::Result<ExitCode> {
    match arguments.command {
        MappingCommand::Check(arguments) => check::check(&arguments).await,
        MappingCommand::Upload(arguments) => upload::upload(&arguments).await,
        MappingCommand::Confirm(arguments) => confirm::confirm(&arguments).await,
        MappingCommand::Resolve(arguments) => resolve::resolve(&arguments).await,
    }
}
