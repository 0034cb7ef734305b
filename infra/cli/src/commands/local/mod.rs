//! `archiver local`: runs the whole pipeline on this machine, without any account.

mod export;
mod report;
mod webhooks;

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use aws::s3::{Condition, Put, Store};
use chat_export::DateOrder;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use jiff::{Timestamp, ToSpan, tz::TimeZone};
use model::{MailboxAddress, keys};
use serde_json::{Value, json};

use ledger::totals::Counters;
use local::{
    drop,
    event_source::{Depth, depth},
    job::{Directories, FOLDER, Job, SourceServer, binaries_beside, machine_options, source},
    logged_errors::LoggedErrors,
    machine::{Fetched, Machine},
    sample_source::{mailboxes, user_map},
    totals::Totals,
};

/// Arguments of `archiver local`.
#[derive(Debug, clap::Args)]
pub struct LocalArguments {
    /// A chat that a phone exported ("Export chat"), .txt or .zip, instead of the sample
    #[arg(long, value_name = "FILE", requires_all = ["owner", "zone"])]
    export: Option<PathBuf>,
    /// E-mail address of the user whose phone exported it, and whose mailbox it is filed in
    #[arg(long, value_name = "E-MAIL", requires = "export")]
    owner: Option<MailboxAddress>,
    /// Time zone of the phone, such as Europe/Copenhagen; an export does not contain it
    #[arg(long, value_name = "ZONE", requires = "export", value_parser = time_zone)]
    zone: Option<String>,
    /// Order of day, month and year, if the dates of the export are ambiguous
    #[arg(long, value_name = "ORDER", env = "EXPORT_DATE_ORDER", value_parser = date_order)]
    date_order: Option<String>,
    /// Deliveries of a capture vendor: a directory of mails (.eml) and zips of mails; without DIR a generated sample
    #[arg(long, value_name = "DIR", num_args = 0..=1, conflicts_with_all = ["export", "items"])]
    drop: Option<Option<PathBuf>>,
    /// With --drop: a mailbox that exists; may be given more than once [default: those of the sample]
    #[arg(long, value_name = "E-MAIL", requires = "drop")]
    mailbox: Vec<MailboxAddress>,
    /// With --drop: the vendor's profile, telemessage or generic
    #[arg(long, value_name = "PROFILE", requires = "drop", env = "EML_PROFILE")]
    eml_profile: Option<String>,
    /// With --drop and the profile generic: the header fields, such as id=X-Archive-Id,chat=X-Chat-Id
    #[arg(long, value_name = "LIST", requires = "drop", env = "EML_HEADERS")]
    eml_headers: Option<String>,
    /// With --drop: where phone numbers are read, number-and-address or address
    #[arg(long, value_name = "WORD", requires = "drop", env = "EML_PARTICIPANTS")]
    eml_participants: Option<String>,
    /// A day of WhatsApp's webhooks, posted to the function that receives them, instead of the sample
    #[arg(long, conflicts_with_all = ["export", "drop", "items"])]
    webhooks: bool,
    /// With --webhooks: also accept other webhooks on this port of 127.0.0.1, until Ctrl-C
    #[arg(long, value_name = "PORT", requires = "webhooks")]
    listen: Option<u16>,
    /// Number of small generated items to use instead of the sample
    #[arg(long, value_name = "N", conflicts_with = "export")]
    items: Option<usize>,
    /// Directory for mail, state and logs, kept from one run to the next
    #[arg(long, value_name = "DIR", default_value = "var")]
    state: PathBuf,
    /// Directory of the functions' binaries [default: beside this program]
    #[arg(long, value_name = "DIR")]
    binaries: Option<PathBuf>,
    /// Emulator of S3, SQS and Secrets Manager
    #[arg(long, value_name = "FILE", default_value = ".venv/bin/ministack")]
    ministack: PathBuf,
}

fn time_zone(name: &str) -> Result<String, String> {
    let known = TimeZone::get(name).map(|_| name.to_owned());
    known.map_err(|_| "unknown time zone; expected a name such as Europe/Copenhagen or America/New_York".to_owned())
}

fn date_order(word: &str) -> Result<String, String> {
    let order: DateOrder = word.parse().map_err(|problem| format!("the order {problem}"))?;
    Ok(order.to_string())
}

/// Time without progress after which the run ends, if a function has reported a failure that an operator has to fix.
const STALL_LIMIT_AFTER_FAILURE: Duration = Duration::from_secs(15);

/// Time without progress after which the run ends in any case.
const STALL_LIMIT: Duration = Duration::from_secs(180);

/// Runs the command. Results go to standard output, progress to standard error.
///
/// # Errors
/// The run could not process every item; nothing is lost, and the next run continues.
#[expect(clippy::print_stdout, clippy::print_stderr, reason = "this is the command's own output")]
pub async fn run(arguments: LocalArguments) -> anyhow::Result<()> {
    let earlier = Directories::of_earlier_run(&arguments.state).ok().map(|(_, job)| job);
    let directories = Directories::under(&arguments.state)?;
    let job = job(&arguments, &directories)?;
    let binaries = match &arguments.binaries {
        Some(binaries) => binaries.clone(),
        None => binaries_beside()?,
    };
    eprintln!("Starting S3, SQS and Secrets Manager on this machine (ministack) …");
    // The source's server is dropped after the machine that reads from it.
    let (server, variables, mailboxes) = source(&job, &directories).await?;
    let machine = Machine::start(machine_options(&arguments.ministack, &directories, binaries, variables)).await?;
    if let Some(earlier) = earlier.filter(|earlier| !job.can_process_tasks_of(earlier))
        && let waiting @ 1.. = waiting_tasks(&machine).await?
    {
        machine.stop().await?;
        bail!(
            "an earlier run left tasks ({waiting}), which this run would process with another source or time zone: finish the \
             earlier run first (archiver local{}), or use another directory (--state)",
            earlier.options()
        );
    }
    directories.save_job(&job)?;
    let store = Store::new(machine.cloud.config(), machine.resources.bucket.clone());
    for mailbox in &mailboxes {
        std::fs::create_dir_all(directories.mail.join(mailbox.as_str())).context("making a mailbox")?;
    }
    let event = prepare(&job, &machine, &store, server.as_ref(), arguments.listen).await?;

    let (began, began_at) = (Instant::now(), Timestamp::now());
    let fetched = machine.fetch(&event).await?;
    eprintln!("fetch: {} items listed, {} queued (run {})", fetched.listed, fetched.queued, fetched.run);
    let working = machine.work();
    let watched = watch(&machine, &fetched, &directories).await;
    if let Err(error) = watched {
        drop(working);
        // Stopped cleanly, so that pending messages are on the disk for the next run.
        machine.stop().await?;
        return Err(error);
    }
    working.stop().await;
    let took = began.elapsed();
    let totals = Totals::since(&store, &fetched.run, began_at).await?;
    let details = machine.cloud.dead_letter_details(&machine.resources.dead_letters).await?;
    machine.stop().await?;

    println!("\n{}", report::table(&totals, &details));
    if let Some(read) = export::summary(&job)? {
        println!("{read}");
    }
    if !totals.mailboxes.is_empty() {
        let mailboxes = report::mailboxes(&totals, &directories.mail, FOLDER);
        println!("Mail, one folder per mailbox (copies of this run's items):\n{mailboxes}");
    }
    let Counters { available, items_in_flight, .. } = totals.counters;
    let rate = available as f64 / took.as_secs_f64().max(0.001);
    println!("{available} items in {:.1} s ({rate:.0} per second).", took.as_secs_f64());
    println!("{}", next_steps(&job, &totals, &directories));
    if items_in_flight > 0 {
        bail!("{items_in_flight} items have neither an outcome nor a dead letter");
    }
    Ok(())
}

/// Returns the number of tasks that a function processes by its source; those of import have everything.
async fn waiting_tasks(machine: &Machine) -> anyhow::Result<u64> {
    let resources = &machine.resources;
    let mut waiting = 0;
    for queue in resources.receive.iter().chain([&resources.convert]) {
        waiting += depth(&machine.cloud, queue).await?.total();
    }
    Ok(waiting)
}

fn job(arguments: &LocalArguments, directories: &Directories) -> anyhow::Result<Job> {
    if let (Some(file), Some(owner), Some(zone)) = (&arguments.export, &arguments.owner, &arguments.zone) {
        // Checked before anything is started.
        std::fs::File::open(file).with_context(|| format!("reading {}", file.display()))?;
        let date_order = arguments.date_order.clone();
        return Ok(Job::Export { file: file.clone(), owner: owner.clone(), zone: zone.clone(), date_order });
    }
    // The sample keeps the date of the first run, so that a second run finds the same items and files none of them twice.
    let now = match std::fs::read_to_string(&directories.day) {
        Ok(day) => day
            .trim()
            .parse()
            .with_context(|| format!("{} does not contain a time; delete it", directories.day.display()))?,
        Err(_) => {
            let now = Timestamp::now();
            std::fs::write(&directories.day, now.to_string())
                .with_context(|| format!("writing {}", directories.day.display()))?;
            now
        }
    };
    if arguments.webhooks {
        return Ok(Job::Webhooks { now });
    }
    if let Some(directory) = &arguments.drop {
        let directory = match directory {
            Some(directory) => directory.clone(),
            None => {
                drop::write_sample(&directories.drop, now)?;
                directories.drop.clone()
            }
        };
        // Checked before anything is started.
        drop::files(&directory)?;
        let given = if arguments.mailbox.is_empty() { mailboxes()? } else { arguments.mailbox.clone() };
        let profile = [
            ("EML_PROFILE", &arguments.eml_profile),
            ("EML_HEADERS", &arguments.eml_headers),
            ("EML_PARTICIPANTS", &arguments.eml_participants),
        ];
        let profile = profile.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value.clone()?))).collect();
        return Ok(Job::Drop { directory, mailboxes: given, profile });
    }
    Ok(arguments.items.map_or(Job::Sample { now }, |items| Job::Many { items, now }))
}

/// Prepares the machine for the job, and returns the event that starts fetch.
async fn prepare(
    job: &Job,
    machine: &Machine,
    store: &Store,
    server: Option<&SourceServer>,
    listen: Option<u16>,
) -> anyhow::Result<Value> {
    if let Some(server) = server {
        let (id, value) = server.secret();
        machine.cloud.put_secret(id, &value).await?;
    }
    if !matches!(job, Job::Export { .. }) {
        let put = Put { key: keys::USER_MAP, bytes: user_map().into(), content_type: "text/csv", sha256: None };
        // An existing map is kept: an operator may have fixed it.
        store.put(put, Condition::Absent).await?;
    }
    match job {
        Job::Webhooks { now } => {
            webhooks::receive(machine, *now, listen).await?;
            // The webhooks were posted just now, and the timer's window ends five minutes ago.
            let now = Timestamp::now();
            Ok(json!({"from": now - 25.hours(), "to": now + 1.minute()}))
        }
        Job::Drop { directory, .. } => {
            drop::put(store, directory).await?;
            // The files were uploaded just now, and the timer's window ends five minutes ago.
            let now = Timestamp::now();
            Ok(json!({"from": now - 1.hour(), "to": now + 1.minute()}))
        }
        Job::Sample { now } | Job::Many { now, .. } => {
            let ran_before = store.get(keys::CURSOR, 4096).await?.is_some();
            if ran_before {
                eprint("The sample was fetched before. It is fetched again, and no item is filed twice.");
                return Ok(json!({"from": *now - 25.hours(), "to": now}));
            }
            Ok(
                json!({"version": "0", "source": "aws.scheduler", "detail-type": "Scheduled Event", "time": now, "detail": "{}"}),
            )
        }
        Job::Export { file, owner, .. } => {
            let name = file.file_name().and_then(|name| name.to_str()).context("the export's name is not UTF-8")?;
            let bytes = std::fs::read(file).with_context(|| format!("reading {}", file.display()))?;
            let key = format!("{}{owner}/{name}", keys::INBOX);
            let content_type = "application/octet-stream";
            let put = Put { key: &key, bytes: bytes.into(), content_type, sha256: None };
            store.put(put, Condition::Always).await?;
            let participants = file.with_file_name(keys::participants(name));
            if participants.exists() {
                let bytes =
                    std::fs::read(&participants).with_context(|| format!("reading {}", participants.display()))?;
                let put =
                    Put { key: &keys::participants(&key), bytes: bytes.into(), content_type: "text/csv", sha256: None };
                store.put(put, Condition::Always).await?;
            }
            // The file was uploaded just now, and the default window ends five minutes ago.
            let now = Timestamp::now();
            Ok(json!({"from": now - 1.hour(), "to": now + 1.minute()}))
        }
    }
}

#[expect(clippy::print_stderr, reason = "this is the command's own output")]
fn eprint(line: &str) {
    eprintln!("{line}");
}

/// Shows the progress until the queues are empty.
async fn watch(machine: &Machine, fetched: &Fetched, directories: &Directories) -> anyhow::Result<()> {
    let bars = MultiProgress::new();
    let style = ProgressStyle::with_template("{prefix:8} {bar:40} {pos}/{len} {elapsed}")?;
    let bar = |prefix| bars.add(ProgressBar::new(fetched.queued).with_style(style.clone()).with_prefix(prefix));
    let (convert, import) = (bar("rendered"), bar("filed"));
    let moved = std::cell::Cell::new((Instant::now(), [Depth::default(); 2]));
    let progress = |depths: &[Depth]| {
        let &[.., to_convert, to_import] = depths else { return };
        convert.set_position(fetched.queued.saturating_sub(to_convert.total()));
        import.set_position(fetched.queued.saturating_sub(to_convert.total() + to_import.total()));
        let totals = |depths: [Depth; 2]| depths.map(Depth::total);
        if totals(moved.get().1) != totals([to_convert, to_import]) {
            moved.set((Instant::now(), [to_convert, to_import]));
        }
    };
    let mut failures =
        LoggedErrors::from_now(["receive.log", "convert.log", "import.log"].map(|log| directories.logs.join(log)));
    let stuck = async {
        loop {
            tokio::time::sleep(Duration::from_millis(500)).await;
            let still = moved.get().0.elapsed();
            let failure_details = failures.read();
            if (still > STALL_LIMIT_AFTER_FAILURE && !failure_details.is_empty()) || still > STALL_LIMIT {
                return failure_details.iter().map(|detail| format!("\n  {detail}")).collect::<String>();
            }
        }
    };
    let result = tokio::select! {
        drained = machine.drained(progress) => Ok(drained?),
        failure_details = stuck => Err(Some(failure_details)),
        pressed = tokio::signal::ctrl_c() => pressed.map(|()| Err(None))?,
    };
    convert.abandon();
    import.abandon();
    let failure_details = match result {
        Ok(()) => return Ok(()),
        Err(None) => {
            bail!("interrupted; items that are not filed yet are on the queues, and the next run continues with them")
        }
        Err(Some(failure_details)) => failure_details,
    };
    let depth: u64 = moved.get().1.map(Depth::total).iter().sum();
    let logs = directories.logs.display();
    bail!(
        "{depth} messages are on the queues without progress; none is lost, and none became a dead letter for this.\n\
         Failures that the functions reported:{}\nFix the cause and run again. The complete logs are in {logs}.",
        if failure_details.is_empty() { "\n  none that an operator has to fix".to_owned() } else { failure_details }
    )
}

fn next_steps(job: &Job, totals: &Totals, directories: &Directories) -> String {
    let mut text = String::from("\nNext:\n");
    if let Some(address) = totals.mailboxes.keys().next() {
        text += &format!("  read it       mutt -R -f '{}'\n", directories.mail.join(address).join(FOLDER).display());
    }
    match job {
        Job::Sample { .. } => {
            text += "  run it again  make run                     files nothing twice\n";
            text += "  dead letters  target/debug/archiver dead-letters list --local\n";
            text += "  the proof     target/debug/archiver reconcile --local\n";
            text += "  your own chat make run EXPORT=chat.zip OWNER=you@example.com ZONE=Europe/Copenhagen\n";
        }
        Job::Many { .. } | Job::Export { .. } | Job::Drop { .. } | Job::Webhooks { .. } => {
            text += "  run it again  the same command             files nothing twice\n"
        }
    }
    text += &format!("  logs          {}\n", directories.logs.display());
    text
}
