//! A one-machine run's fetch for a window that an operator names.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context;
use serde_json::Value;

use super::{
    archive::SampleArchive,
    job::{ARCHIVER_SECRET, Job, Places, binaries_beside, machine_options, secret, source, variables},
    machine::{Fetched, Machine, MachineError},
};

/// How long nothing may move before it is given up.
const PATIENCE: Duration = Duration::from_secs(180);

/// What a one-machine run worked on, to be asked again.
pub struct LocalBackfill {
    places: Places,
    job: Job,
    ministack: PathBuf,
}

/// Its machine, with the same archive.
pub struct RunningBackfill {
    machine: Machine,
    // Dropped after the machine that reads from it.
    _archive: Option<SampleArchive>,
}

impl LocalBackfill {
    /// What `archiver local` keeps in a directory.
    ///
    /// # Errors
    /// When nothing is there.
    pub fn of(root: &Path, ministack: &Path) -> anyhow::Result<Self> {
        let (places, job) = Places::of_earlier_run(root)?;
        Ok(Self { places, job, ministack: ministack.to_owned() })
    }

    /// The variables that its functions have; `resources` are the names and URLs of its bucket and queues, by variable.
    ///
    /// # Errors
    /// When a path is not UTF-8.
    pub fn variables(&self, resources: &[(&str, &str)]) -> anyhow::Result<HashMap<String, String>> {
        let mut variables: HashMap<_, _> = variables(&self.job, &self.places, None)?.into_iter().collect();
        variables.extend(resources.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        Ok(variables)
    }

    /// Starts the machine and the archive that the run had.
    ///
    /// # Errors
    /// When either does not start.
    pub async fn start(self) -> anyhow::Result<RunningBackfill> {
        let (archive, variables, _) = source(&self.job, &self.places).await?;
        let options = machine_options(&self.ministack, &self.places, binaries_beside()?, variables);
        let machine = Machine::start(options).await?;
        if let Some((_, credentials)) = &archive {
            machine.cloud.put_secret(ARCHIVER_SECRET, &secret(credentials)).await?;
        }
        Ok(RunningBackfill { machine, _archive: archive.map(|(archive, _)| archive) })
    }
}

impl RunningBackfill {
    /// Invokes fetch.
    ///
    /// # Errors
    /// [`MachineError`].
    pub async fn fetch(&self, event: &Value) -> Result<Fetched, MachineError> {
        self.machine.fetch(event).await
    }

    /// Lets convert and import work until both queues are empty.
    ///
    /// # Errors
    /// When they do not come to rest.
    pub async fn work_off(&self) -> anyhow::Result<()> {
        let working = self.machine.work();
        let drained = tokio::time::timeout(PATIENCE, self.machine.drained(|_| {})).await;
        drained.context("the queues do not come to rest: `archiver local` says why")??;
        working.stop().await;
        Ok(())
    }

    /// Ends the machine, and returns when what is to be kept is on the disk.
    ///
    /// # Errors
    /// [`MachineError`].
    pub async fn stop(self) -> Result<(), MachineError> {
        self.machine.stop().await
    }
}
