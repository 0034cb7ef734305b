//! `archiver doctor`: checks the configuration, from the deployment to a mailbox. Changes nothing.

mod bucket;
mod expiry;
mod finding;
mod imap;
mod item_source;
mod mail;
mod mailbox_check;
mod permissions;
mod queues;
mod remedies;
mod secret;
mod subscription;
mod topic;
mod triggers;
mod webhooks;
mod write_probe;

use std::{path::Path, process::ExitCode};

use jiff::Timestamp;
use model::MailboxAddress;
use runtime::{VariableError, Variables};

pub use self::finding::{Finding, Findings, Verdict};
use self::remedies::{NOT_LOCAL, RECREATE};
use crate::{
    connection::{Connection, Deployment, Part, Target},
    functions::Functions,
    settings::{self, SettingsError},
    user_map::UserMapSettings,
};
use mailbox::MailboxSettings;
use source::SourceSettings;

/// Arguments of `archiver doctor`.
#[derive(Debug, clap::Args)]
pub struct DoctorArguments {
    /// A mailbox to check: that it is found and can be read. Nothing is written to it
    #[arg(long, value_name = "ADDRESS")]
    mailbox: Option<MailboxAddress>,
    /// A mailbox in which a test message is created, looked up as import does, and deleted
    #[arg(long, value_name = "ADDRESS")]
    write_probe: Option<MailboxAddress>,
    /// The WhatsApp Business Account (Meta's id) whose subscription is checked; by default those of the last webhooks
    #[arg(long, value_name = "ID")]
    business_account: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    deployment: Deployment,
}

/// Help text after the arguments.
pub const HELP: &str = "Checks the deployment in this order: the stack, the functions' settings, the \
    bucket, the source's secret and a login with it, the mail system's secret, token and permissions, a mailbox, the user map, \
    the queues, the triggers of the functions, the last run. It writes nothing, except the message of --write-probe, which it \
    deletes, and prints no secret. Requests to the source and to the mail system are sent from this machine.\n\
    Exit code: 0 no check failed (warnings or not), 1 a check failed, 2 invalid arguments.\n\
    Examples:\n  archiver doctor --stack whatsapp-archiver --mailbox ada@example.com\n  archiver doctor --local";

/// Runs the checks and writes their findings to standard output.
///
/// # Errors
/// Standard output is closed, or the emulator of a one-machine run does not stop.
pub async fn run(arguments: DoctorArguments) -> anyhow::Result<ExitCode> {
    let mut findings = Findings::new(arguments.json);
    match Connection::open(&arguments.deployment).await {
        Ok(connection) => {
            let done = run_checks(&connection, &arguments, &mut findings).await;
            connection.close().await?;
            done?;
        }
        Err(error) => findings.add(Finding::error("deployment", error))?,
    }
    findings.summarize()?;
    Ok(if findings.has_no_failure() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Settings of the functions, or the findings that say why they are unknown.
struct Settings {
    fetch: Result<SourceSettings, Finding>,
    convert: Result<SourceSettings, Finding>,
    import: Result<MailboxSettings, Finding>,
}

async fn run_checks(
    connection: &Connection,
    arguments: &DoctorArguments,
    findings: &mut Findings,
) -> anyhow::Result<()> {
    findings.add(deployment(connection))?;
    let functions = Functions::new(&connection.config);
    let settings = Settings::of(connection, &arguments.deployment.ministack).await;
    for finding in settings.findings() {
        findings.add(finding)?;
    }
    for finding in
        [bucket::reachable(connection).await, bucket::versioned(connection).await, bucket::private(connection).await]
    {
        findings.add(finding)?;
    }
    if let Some(finding) = bucket::replicated(connection).await {
        findings.add(finding)?;
    }
    let unknown = "not checked: it needs the function's settings";
    match settings.fetch {
        Ok(SourceSettings::CloudApi) => {
            for finding in
                webhooks::check(connection, &arguments.deployment.ministack, arguments.business_account.as_deref())
                    .await
            {
                findings.add(finding)?;
            }
        }
        Ok(settings) => {
            for finding in item_source::check(connection, settings).await {
                findings.add(finding)?;
            }
        }
        Err(_) => findings.add(Finding::skipped("source login", unknown))?,
    }
    match settings.import {
        Ok(settings) => {
            let probed = arguments.write_probe.as_ref().map(|address| (settings.clone(), address));
            for finding in mail::check(connection, settings, arguments.mailbox.as_ref()).await {
                findings.add(finding)?;
            }
            if let Some((mailbox, address)) = probed {
                findings.add(write_probe::check(connection, mailbox, address).await)?;
            }
            findings.add(match UserMapSettings::deployed(connection) {
                Ok(user_map) => bucket::user_map(connection, &user_map).await,
                Err(error) => Finding::not_ok(
                    "user map",
                    error.to_string(),
                    "correct the parameter in samconfig.toml, then `make deploy`",
                ),
            })?;
        }
        Err(_) => {
            findings.add(Finding::skipped("mailbox", unknown))?;
            findings.add(Finding::skipped("user map", unknown))?;
        }
    }
    let (queue_findings, queues) = queues::check(connection).await;
    for finding in queue_findings.into_iter().chain(queues::undelivered(connection).await) {
        findings.add(finding)?;
    }
    check_triggers(connection, &functions, queues, findings).await
}

fn deployment(connection: &Connection) -> Finding {
    const CHECK: &str = "deployment";
    match &connection.target {
        Target::Stack { name, status } if status.ends_with("_FAILED") || status.contains("ROLLBACK") => {
            Finding::warning(
                CHECK,
                format!("the stack {name} is {status}"),
                "the last operation on the stack failed or was rolled back: see the stack's events",
            )
        }
        Target::Stack { name, status } => Finding::ok(CHECK, format!("the stack {name} is {status}")),
        Target::Environment | Target::OneMachineRun { .. } => Finding::ok(CHECK, connection.name()),
    }
}

/// Checks the triggers of the functions, the schedule and the last run.
async fn check_triggers(
    connection: &Connection,
    functions: &Functions,
    queues: Vec<Option<String>>,
    findings: &mut Findings,
) -> anyhow::Result<()> {
    for (trigger, queue) in triggers::TRIGGERS.iter().zip(queues) {
        let finding = match connection.part(trigger.part) {
            Ok(name) => triggers::mapping(trigger, functions, name, queue.as_deref()).await,
            Err(error) => Finding::skipped(trigger.check, not_named(connection, error)),
        };
        findings.add(finding)?;
    }
    let (schedule, scheduled) = match connection.part(Part::Schedule) {
        Ok(name) => triggers::schedule(connection, name).await,
        Err(error) => (Finding::skipped("schedule", not_named(connection, error)), false),
    };
    findings.add(schedule)?;
    findings.add(triggers::last_run(connection, scheduled, Timestamp::now()).await)?;
    Ok(())
}

fn not_named(connection: &Connection, error: impl ToString) -> String {
    if connection.one_machine_root().is_some() { NOT_LOCAL.to_owned() } else { error.to_string() }
}

impl Settings {
    async fn of(connection: &Connection, ministack: &Path) -> Self {
        let at = (connection, ministack);
        Self {
            fetch: read(at, Part::Fetch, source::VARIABLES, SourceSettings::read).await,
            convert: read(at, Part::Convert, source::VARIABLES, SourceSettings::read).await,
            import: read(at, Part::Import, mailbox::VARIABLES, MailboxSettings::read).await,
        }
    }

    /// Returns one finding per function.
    fn findings(&self) -> Vec<Finding> {
        let fine = |part, what| Finding::ok(check_of(part), what);
        let source = "its source is configured";
        vec![
            self.fetch.as_ref().err().cloned().unwrap_or_else(|| fine(Part::Fetch, source)),
            self.convert.as_ref().err().cloned().unwrap_or_else(|| fine(Part::Convert, source)),
            self.import.as_ref().err().cloned().unwrap_or_else(|| fine(Part::Import, "its mailbox is configured")),
        ]
    }
}

fn check_of(part: Part) -> &'static str {
    match part {
        Part::Fetch => "fetch's settings",
        Part::Convert => "convert's settings",
        Part::Import => "import's settings",
        Part::Receive => "receive's settings",
        Part::Bucket
        | Part::ConvertQueue
        | Part::ImportQueue
        | Part::ReceiveQueue
        | Part::ReceiveUndelivered
        | Part::ReceiveUrl
        | Part::SocialTopic
        | Part::DeadLetterQueue
        | Part::Schedule => "settings",
    }
}

/// Reads the settings of a function, or returns the finding that says why they are unknown.
async fn read<T>(
    (connection, ministack): (&Connection, &Path),
    part: Part,
    names: &'static [&'static str],
    read: impl FnOnce(&Variables) -> Result<T, VariableError>,
) -> Result<T, Finding> {
    let variables = settings::of(connection, part, names, ministack).await.map_err(|error| match error {
        SettingsError::Function(error) => Finding::not_ok(
            check_of(part),
            error.to_string(),
            format!("allow these credentials lambda:GetFunctionConfiguration; {RECREATE}"),
        ),
        SettingsError::Unnamed(_) | SettingsError::Local(_) => Finding::skipped(check_of(part), error.to_string()),
    })?;
    read(&variables).map_err(|error| {
        let remedy = "correct the parameter in samconfig.toml, then `make deploy`";
        Finding::not_ok(check_of(part), error.to_string(), remedy)
    })
}
