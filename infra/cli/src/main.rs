//! The `archiver` command.

use std::process::ExitCode;

use archiver::{
    commands::{
        backfill::{self, BackfillArguments},
        dead_letters::{self, DeadLettersArguments},
        doctor::{self, DoctorArguments},
        export::{self, ExportArguments},
        incidents::{self, IncidentsArguments},
        local::{self, LocalArguments},
        mapping::{self, MappingArguments},
        migrate::{self, MigrateArguments},
        reconcile::{self, ReconcileArguments},
        report::{self, ReportArguments},
        status::{self, StatusArguments},
    },
    text::visible,
};
use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

/// Files WhatsApp items in the mailboxes of their participants.
#[derive(Parser)]
#[command(name = "archiver", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the whole pipeline on this machine, without any account: from a source to mailboxes that any mail client opens
    #[command(
        after_help = "Exit code: 0 when every item was filed or became a dead letter; 1 when not; 2 invalid arguments.\n\
        Examples:\n  archiver local\n      the sample: one day of a bank\n  \
        archiver local --export chat.zip --owner you@example.com --zone Europe/Copenhagen\n      a chat that your phone exported\n  \
        archiver local --drop\n      a sample of a capture vendor's zip of mails; --drop DIR for your own\n  \
        archiver local --items 10000 --state /tmp/many\n      ten thousand small items"
    )]
    Local(LocalArguments),
    /// Fetch a past window again, without changing the scheduled runs
    #[command(after_help = backfill::HELP)]
    Backfill(BackfillArguments),
    /// List, show, replay or discard dead letters: items that could not be filed
    DeadLetters(DeadLettersArguments),
    /// Check the configuration, from the deployment to a mailbox, and say how to fix each problem
    #[command(after_help = doctor::HELP)]
    Doctor(DoctorArguments),
    /// List and close incidents: vendors' files that do not match their manifests, and webhook values that were not recognized
    Incidents(IncidentsArguments),
    /// Check, upload, confirm and query the user map, which assigns mobile numbers to mailboxes
    Mapping(MappingArguments),
    /// Copy the outcomes of release 0.1 to the keys of this release, once after the update
    #[command(after_help = migrate::HELP)]
    Migrate(MigrateArguments),
    /// Prove that nothing is missing: compare every id that was queued with its outcome
    #[command(after_help = reconcile::HELP)]
    Reconcile(ReconcileArguments),
    /// Report for each day what was filed and what was not, for a compliance officer or an auditor; also as an HTML page
    #[command(after_help = report::HELP)]
    Report(ReportArguments),
    /// Export the stored messages of a window as files to hand over: RSMF, which review platforms import, or mails
    #[command(after_help = export::HELP)]
    Export(ExportArguments),
    /// Show the status of the deployment: the last run, the queues, the dead letters and the user map
    #[command(after_help = status::HELP)]
    Status(StatusArguments),
    /// Print the completion script for a shell; save it where the shell loads completions
    #[command(after_help = "Exit code: 0; 2 invalid arguments.\nExamples:\n  \
        archiver completions bash > ~/.local/share/bash-completion/completions/archiver\n  \
        archiver completions zsh > ~/.zfunc/_archiver\n  \
        archiver completions fish > ~/.config/fish/completions/archiver.fish")]
    Completions {
        /// The shell
        shell: Shell,
    },
}

#[tokio::main]
#[expect(clippy::print_stderr, reason = "errors of a command go to standard error")]
async fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Local(arguments) => local::run(arguments).await.map(|()| ExitCode::SUCCESS),
        Command::Backfill(arguments) => backfill::run(arguments).await,
        Command::DeadLetters(arguments) => dead_letters::run(arguments).await,
        Command::Doctor(arguments) => doctor::run(arguments).await,
        Command::Incidents(arguments) => incidents::run(arguments).await,
        Command::Mapping(arguments) => mapping::run(arguments).await,
        Command::Migrate(arguments) => migrate::run(arguments).await,
        Command::Reconcile(arguments) => reconcile::run(arguments).await,
        Command::Report(arguments) => report::run(arguments).await,
        Command::Export(arguments) => export::run(arguments).await,
        Command::Status(arguments) => status::run(arguments).await,
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "archiver", &mut std::io::stdout());
            Ok(ExitCode::SUCCESS)
        }
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            eprintln!("\nerror: {}", visible(&format!("{error:#}")));
            ExitCode::FAILURE
        }
    }
}
