//! The job of a one-machine run and its directories.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context;
use jiff::Timestamp;
use model::{MailboxAddress, keys};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    cloud::Redelivery,
    machine::MachineOptions,
    ministack::MinistackOptions,
    sample_source::{Sample, SampleSource, SourceCredentials, mailboxes},
    webhooks::{MetaFake, WEBHOOK_SECRET, WebhookDay, webhook_secret},
};

/// Folder in each mailbox.
pub const FOLDER: &str = "WhatsApp Archiver";

/// Id of the secret with the source's credentials.
pub const ARCHIVER_SECRET: &str = "archiver";

/// The items that a run processes. Saved beside the state, so that a later command uses the same ones.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Job {
    Sample {
        /// End of the sample day.
        now: Timestamp,
    },
    /// Generated items.
    Many {
        items: usize,
        /// Time of the newest item.
        now: Timestamp,
    },
    /// An exported chat.
    Export {
        file: PathBuf,
        /// Mailbox of the phone's owner.
        owner: MailboxAddress,
        /// Time zone of the phone.
        zone: String,
        /// Order of day, month and year, if the dates are ambiguous.
        #[serde(default)]
        date_order: Option<String>,
    },
    /// The deliveries of a capture vendor.
    Drop {
        /// The directory with the vendor's files.
        directory: PathBuf,
        /// The addresses that have a mailbox.
        mailboxes: Vec<MailboxAddress>,
        /// The values of `EML_PROFILE`, `EML_HEADERS` and `EML_PARTICIPANTS` that are set.
        #[serde(default)]
        profile: Vec<(String, String)>,
    },
    /// WhatsApp's webhooks.
    Webhooks {
        /// End of the day of webhooks.
        now: Timestamp,
    },
}

impl Job {
    /// Returns whether the functions of this job read the tasks of another one as its own functions do.
    pub fn can_process_tasks_of(&self, earlier: &Self) -> bool {
        match (self, earlier) {
            (Self::Sample { .. }, Self::Sample { .. }) | (Self::Webhooks { .. }, Self::Webhooks { .. }) => true,
            (Self::Many { items, now }, Self::Many { items: earlier, now: at }) => items >= earlier && now == at,
            (Self::Export { zone, date_order, .. }, Self::Export { zone: earlier, date_order: order, .. }) => {
                zone == earlier && date_order == order
            }
            (Self::Drop { profile, .. }, Self::Drop { profile: earlier, .. }) => profile == earlier,
            _ => false,
        }
    }

    /// Returns the options of `archiver local` for this job, as far as they decide how tasks are read. Each is preceded by
    /// a space.
    pub fn options(&self) -> String {
        match self {
            Self::Sample { .. } => String::new(),
            Self::Many { items, .. } => format!(" --items {items}"),
            Self::Export { file, owner, zone, date_order } => {
                let order = date_order.iter().map(|order| format!(" --date-order {order}")).collect::<String>();
                format!(" --export {} --owner {owner} --zone {zone}{order}", file.display())
            }
            Self::Drop { directory, .. } => format!(" --drop {}", directory.display()),
            Self::Webhooks { .. } => " --webhooks".to_owned(),
        }
    }
}

/// Directories of a run.
pub struct Directories {
    pub mail: PathBuf,
    state: PathBuf,
    pub logs: PathBuf,
    pub day: PathBuf,
    pub drop: PathBuf,
    job: PathBuf,
}

impl Directories {
    pub fn under(root: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(root).with_context(|| format!("creating {}", root.display()))?;
        let root = root.canonicalize().with_context(|| format!("{}", root.display()))?;
        let directories = Self {
            mail: root.join("mail"),
            state: root.join("state"),
            logs: root.join("log"),
            day: root.join("sample-day"),
            drop: root.join("drop"),
            job: root.join("job.json"),
        };
        for directory in [&directories.mail, &directories.state, &directories.logs] {
            std::fs::create_dir_all(directory).with_context(|| format!("creating {}", directory.display()))?;
        }
        Ok(directories)
    }

    pub fn save_job(&self, job: &Job) -> anyhow::Result<()> {
        std::fs::write(&self.job, serde_json::to_vec(job)?).with_context(|| format!("writing {}", self.job.display()))
    }

    /// Opens the directories of an earlier run.
    ///
    /// # Errors
    /// If the directory contains no run.
    pub fn of_earlier_run(root: &Path) -> anyhow::Result<(Self, Job)> {
        let none = || format!("{} contains no one-machine run: `archiver local` creates one", root.display());
        let job = std::fs::read(root.join("job.json")).with_context(none)?;
        let job = serde_json::from_slice(&job).with_context(none)?;
        Ok((Self::under(root)?, job))
    }
}

/// Returns the directory of this program, which also contains the functions' binaries.
pub fn binaries_beside() -> anyhow::Result<PathBuf> {
    Ok(std::env::current_exe()?.parent().context("the path of this program has no directory")?.to_owned())
}

/// The server that the functions of a run read from.
pub enum SourceServer {
    /// The sample source and the credentials that it accepts.
    Sample(SampleSource, SourceCredentials),
    /// The fake of Meta's media endpoint, and the token that it accepts.
    Meta(MetaFake, String),
}

impl SourceServer {
    fn url(&self) -> String {
        match self {
            Self::Sample(sample_source, _) => sample_source.url().to_owned(),
            Self::Meta(meta, _) => meta.url(),
        }
    }

    /// Returns the id and the value of the secret that the functions read.
    pub fn secret(&self) -> (&'static str, Value) {
        match self {
            Self::Sample(_, SourceCredentials { username, password }) => {
                (ARCHIVER_SECRET, json!({"username": username, "password": password}))
            }
            Self::Meta(_, token) => (WEBHOOK_SECRET, webhook_secret(token)),
        }
    }
}

pub type StartedSource = (Option<SourceServer>, Vec<(String, String)>, Vec<MailboxAddress>);

/// Starts the source of a job. Returns its server if it has one, the functions' variables, and the addresses of the
/// mailboxes.
pub async fn source(job: &Job, directories: &Directories) -> anyhow::Result<StartedSource> {
    let (server, owners) = match job {
        Job::Sample { now } | Job::Many { now, .. } => {
            let sample = match job {
                Job::Many { items, .. } => Sample::many(*items, *now),
                _ => Sample::day(*now)?,
            };
            let password = uuid::Uuid::new_v4().to_string();
            let credentials = SourceCredentials { username: "connector".to_owned(), password };
            let sample_source =
                SampleSource::start(sample, credentials.clone()).await.context("starting the sample source")?;
            (Some(SourceServer::Sample(sample_source, credentials)), mailboxes()?)
        }
        Job::Webhooks { now } => {
            let token = uuid::Uuid::new_v4().to_string();
            let meta = MetaFake::start(&token, WebhookDay::new(*now).files).await;
            let meta = meta.context("starting the fake of Meta's media endpoint")?;
            (Some(SourceServer::Meta(meta, token)), mailboxes()?)
        }
        Job::Export { owner, .. } => (None, vec![owner.clone()]),
        Job::Drop { mailboxes, .. } => (None, mailboxes.clone()),
    };
    let variables = variables(job, directories, server.as_ref().map(SourceServer::url).as_deref())?;
    Ok((server, variables, owners))
}

/// Returns the functions' variables. `source_url` is the URL of the source's server, if it runs.
pub fn variables(
    job: &Job,
    directories: &Directories,
    source_url: Option<&str>,
) -> anyhow::Result<Vec<(String, String)>> {
    let mut variables = match job {
        Job::Sample { .. } | Job::Many { .. } => vec![
            ("SOURCE", "archiver-api".to_owned()),
            ("ARCHIVER_URL", source_url.unwrap_or("http://127.0.0.1").to_owned()),
            ("ARCHIVER_SECRET_ID", ARCHIVER_SECRET.to_owned()),
        ],
        Job::Export { zone, date_order, .. } => {
            let order = date_order.iter().map(|order| ("EXPORT_DATE_ORDER", order.clone()));
            let export = [("SOURCE", "chat-export".to_owned()), ("EXPORT_TIME_ZONE", zone.clone())];
            export.into_iter().chain(order).collect()
        }
        Job::Drop { profile, .. } => {
            let profile = profile.iter().map(|(name, value)| (name.as_str(), value.clone()));
            [("SOURCE", "eml-drop".to_owned())].into_iter().chain(profile).collect()
        }
        Job::Webhooks { .. } => vec![
            ("SOURCE", "cloud-api".to_owned()),
            ("WEBHOOK_SECRET_ID", WEBHOOK_SECRET.to_owned()),
            ("META_GRAPH_URL", format!("{}/v25.0", source_url.unwrap_or("http://127.0.0.1"))),
        ],
    };
    let mail = directories.mail.to_str().context("the path of the mail directory is not UTF-8")?;
    variables.extend([
        ("ARCHIVE_DOMAIN", "archive.example.com".to_owned()),
        ("MAILBOX", "maildir".to_owned()),
        ("MAILDIR", mail.to_owned()),
        ("MAIL_FOLDER", FOLDER.to_owned()),
        ("USER_MAP_KEY", keys::USER_MAP.to_owned()),
        ("RETRY_BASE_SECONDS", "1".to_owned()),
        ("SETTLE_SECONDS", "12".to_owned()),
        ("MISSING_RETRY_SECONDS", "0".to_owned()),
    ]);
    Ok(variables.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

pub fn machine_options(
    ministack: &Path,
    directories: &Directories,
    binaries: PathBuf,
    variables: Vec<(String, String)>,
) -> MachineOptions {
    MachineOptions {
        binaries,
        logs: directories.logs.clone(),
        ministack: MinistackOptions {
            program: ministack.to_owned(),
            port: None,
            state: Some(directories.state.clone()),
            log: directories.logs.join("ministack.log"),
            variables: Vec::new(),
        },
        redelivery: Redelivery { visibility: Duration::from_secs(360), max_receives: 50 },
        timeout: Duration::from_secs(60),
        concurrency: 2,
        variables,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_are_processed_by_jobs_that_read_them_alike() {
        let now = Timestamp::UNIX_EPOCH;
        let export = |file: &str, zone: &str, order: Option<&str>| Job::Export {
            file: file.into(),
            owner: "ada@example.com".parse().unwrap(),
            zone: zone.to_owned(),
            date_order: order.map(str::to_owned),
        };
        let copenhagen = export("a.zip", "Europe/Copenhagen", None);
        assert!(export("b.zip", "Europe/Copenhagen", None).can_process_tasks_of(&copenhagen));
        assert!(!export("b.zip", "America/New_York", None).can_process_tasks_of(&copenhagen));
        assert!(!export("a.zip", "Europe/Copenhagen", Some("month-day-year")).can_process_tasks_of(&copenhagen));
        assert!(!Job::Sample { now }.can_process_tasks_of(&copenhagen));
        assert!(Job::Sample { now }.can_process_tasks_of(&Job::Sample { now }));
        let many = |items| Job::Many { items, now };
        assert!(many(3).can_process_tasks_of(&many(2)) && !many(2).can_process_tasks_of(&many(3)));
        assert_eq!(copenhagen.options(), " --export a.zip --owner ada@example.com --zone Europe/Copenhagen");
    }
}
