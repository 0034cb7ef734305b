//! What a one-machine run works on, and where it keeps what.

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
    archive::{ArchiveCredentials, Sample, SampleArchive, mailboxes},
    cloud::Redelivery,
    machine::MachineOptions,
    ministack::MinistackOptions,
};

/// The folder in each mailbox.
pub const FOLDER: &str = "WhatsApp Archiver";

/// Where the functions find the archiver's user name and password.
pub const ARCHIVER_SECRET: &str = "archiver";

/// What a run works on. Kept beside its state, so that a later command works on the same.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Job {
    /// The sample's day.
    Sample {
        /// The time that the day ends at.
        now: Timestamp,
    },
    /// Generated items.
    Many {
        /// How many.
        items: usize,
        /// The time that they end at.
        now: Timestamp,
    },
    /// A chat.
    Export {
        /// What the phone wrote.
        file: PathBuf,
        /// Whose phone.
        owner: MailboxAddress,
        /// The phone's time zone.
        zone: String,
        /// The order of day, month and year, where the dates can be read in more than one.
        #[serde(default)]
        date_order: Option<String>,
    },
    /// What a capture vendor delivered.
    Drop {
        /// The directory with the vendor's files.
        directory: PathBuf,
        /// Who has a mailbox.
        mailboxes: Vec<MailboxAddress>,
        /// `EML_PROFILE`, `EML_HEADERS` and `EML_PARTICIPANTS`, where they are set.
        #[serde(default)]
        profile: Vec<(String, String)>,
    },
}

/// Where things are kept.
pub struct Places {
    pub mail: PathBuf,
    state: PathBuf,
    pub logs: PathBuf,
    pub day: PathBuf,
    pub drop: PathBuf,
    job: PathBuf,
}

impl Places {
    pub fn under(root: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(root).with_context(|| format!("making {}", root.display()))?;
        let root = root.canonicalize().with_context(|| format!("{}", root.display()))?;
        let places = Self {
            mail: root.join("mail"),
            state: root.join("state"),
            logs: root.join("log"),
            day: root.join("sample-day"),
            drop: root.join("drop"),
            job: root.join("job.json"),
        };
        for place in [&places.mail, &places.state, &places.logs] {
            std::fs::create_dir_all(place).with_context(|| format!("making {}", place.display()))?;
        }
        Ok(places)
    }

    pub fn remember(&self, job: &Job) -> anyhow::Result<()> {
        std::fs::write(&self.job, serde_json::to_vec(job)?).with_context(|| format!("writing {}", self.job.display()))
    }

    /// What an earlier run has kept in a directory.
    ///
    /// # Errors
    /// When it has kept nothing there.
    pub fn of_earlier_run(root: &Path) -> anyhow::Result<(Self, Job)> {
        let none = || format!("{} holds no one-machine run: `archiver local` makes one", root.display());
        let job = std::fs::read(root.join("job.json")).with_context(none)?;
        let job = serde_json::from_slice(&job).with_context(none)?;
        Ok((Self::under(root)?, job))
    }
}

/// The directory of this program, where the functions' binaries are too.
pub fn binaries_beside() -> anyhow::Result<PathBuf> {
    Ok(std::env::current_exe()?.parent().context("this program lies in no directory")?.to_owned())
}

/// What the archiver's secret holds.
pub fn secret(credentials: &ArchiveCredentials) -> Value {
    json!({"username": credentials.username, "password": credentials.password})
}

pub type Sourced = (Option<(SampleArchive, ArchiveCredentials)>, Vec<(String, String)>, Vec<MailboxAddress>);

/// The source of a job: the sample archive where there is one, the functions' variables, and who has a mailbox.
pub async fn source(job: &Job, places: &Places) -> anyhow::Result<Sourced> {
    let (archive, owners) = match job {
        Job::Sample { now } | Job::Many { now, .. } => {
            let sample = match job {
                Job::Many { items, .. } => Sample::many(*items, *now),
                Job::Sample { .. } | Job::Export { .. } | Job::Drop { .. } => Sample::day(*now)?,
            };
            let password = uuid::Uuid::new_v4().to_string();
            let credentials = ArchiveCredentials { username: "connector".to_owned(), password };
            let archive =
                SampleArchive::start(sample, credentials.clone()).await.context("starting the sample archive")?;
            (Some((archive, credentials)), mailboxes()?)
        }
        Job::Export { owner, .. } => (None, vec![owner.clone()]),
        Job::Drop { mailboxes, .. } => (None, mailboxes.clone()),
    };
    let variables = variables(job, places, archive.as_ref().map(|(archive, _)| archive.url()))?;
    Ok((archive, variables, owners))
}

/// The functions' variables. `archive` is the URL of the sample archive: no port is open there while none runs.
pub fn variables(job: &Job, places: &Places, archive: Option<&str>) -> anyhow::Result<Vec<(String, String)>> {
    let mut variables = match job {
        Job::Sample { .. } | Job::Many { .. } => vec![
            ("SOURCE", "archiver-api".to_owned()),
            ("ARCHIVER_URL", archive.unwrap_or("http://127.0.0.1").to_owned()),
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
    };
    let mail = places.mail.to_str().context("the path of the mail is no UTF-8")?;
    variables.extend([
        ("ARCHIVE_DOMAIN", "archive.example.com".to_owned()),
        ("MAILBOX", "maildir".to_owned()),
        ("MAILDIR", mail.to_owned()),
        ("MAIL_FOLDER", FOLDER.to_owned()),
        ("USER_MAP_KEY", keys::USER_MAP.to_owned()),
        ("RETRY_BASE_SECONDS", "1".to_owned()),
        ("MISSING_RETRY_SECONDS", "0".to_owned()),
    ]);
    Ok(variables.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

pub fn machine_options(
    ministack: &Path,
    places: &Places,
    binaries: PathBuf,
    variables: Vec<(String, String)>,
) -> MachineOptions {
    MachineOptions {
        binaries,
        logs: places.logs.clone(),
        ministack: MinistackOptions {
            program: ministack.to_owned(),
            port: None,
            state: Some(places.state.clone()),
            log: places.logs.join("ministack.log"),
            variables: Vec::new(),
        },
        redelivery: Redelivery { visibility: Duration::from_secs(360), max_receives: 50 },
        timeout: Duration::from_secs(60),
        concurrency: 2,
        variables,
    }
}
