//! The `archiver` command.

use std::process::ExitCode;

use archiver::{
    commands::{
        backfill::{self, BackfillArguments},
        dead_letters::{self, DeadLettersArguments},
        doctor::{self, DoctorArguments},
        local::{self, LocalArguments},
        mapping::{self, MappingArguments},
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
    /// Do the main job on this machine, without any account: from an archive to mailboxes that any mail client opens
    #[command(
        after_help = "Exit code: 0 when every item came to its end, dead letters or not; 1 when not; 2 invalid arguments.\n\
        Examples:\n  archiver local\n      a sample archive of a bank's day\n  \
        archiver local --export chat.zip --owner you@example.com --zone Europe/Copenhagen\n      your own chat, as your phone exported it\n  \
        archiver local --drop\n      a capture vendor's zip of mails, made as a sample; --drop DIR for your own\n  \
        archiver local --items 10000 --state /tmp/many\n      ten thousand small items"
    )]
    Local(LocalArguments),
    /// Fetch a past window again, without touching the day's run
    #[command(after_help = backfill::HELP)]
    Backfill(BackfillArguments),
    /// What could not be filed: list it, show it, replay it once the cause is fixed, or discard it
    DeadLetters(DeadLettersArguments),
    /// Whether everything is set up, from the deployment to a mailbox, and what to do about what is not
    #[command(after_help = doctor::HELP)]
    Doctor(DoctorArguments),
    /// Check, upload and ask the user map: whose mailbox a mobile number's is
    Mapping(MappingArguments),
    /// Prove that nothing is missing: every id that was queued against what became of it
    #[command(after_help = reconcile::HELP)]
    Reconcile(ReconcileArguments),
    /// What was filed and what was not, a day: for a compliance officer or an auditor, also as a page to hand over
    #[command(after_help = report::HELP)]
    Report(ReportArguments),
    /// How the deployment is, at a glance: how far it has fetched, what waits, what failed, whether the user map is read
    #[command(after_help = status::HELP)]
    Status(StatusArguments),
    /// What lets a shell complete this command: print it, and keep it where the shell looks
    #[command(after_help = "Exit code: 0; 2 invalid arguments.\nExamples:\n  \
        archiver completions bash > ~/.local/share/bash-completion/completions/archiver\n  \
        archiver completions zsh > ~/.zfunc/_archiver\n  \
        archiver completions fish > ~/.config/fish/completions/archiver.fish")]
    Completions {
        /// Which shell
        shell: Shell,
    },
}

#[tokio::main]
#[expect(clippy::print_stderr, reason = "a command says on standard error why it failed")]
async fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Local(arguments) => local::run(arguments).await.map(|()| ExitCode::SUCCESS),
        Command::Backfill(arguments) => backfill::run(arguments).await,
        Command::DeadLetters(arguments) => dead_letters::run(arguments).await,
        Command::Doctor(arguments) => doctor::run(arguments).await,
        Command::Mapping(arguments) => mapping::run(arguments).await,
        Command::Reconcile(arguments) => reconcile::run(arguments).await,
        Command::Report(arguments) => report::run(arguments).await,
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
