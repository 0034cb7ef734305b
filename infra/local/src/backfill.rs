//! A backfill in a one-machine run.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context;
use serde_json::Value;

use super::{
    job::{Directories, Job, SourceServer, binaries_beside, machine_options, source, variables},
    machine::{Fetched, Machine, MachineError},
};

/// The backfill fails if the queues are not empty after this time.
const STALL_LIMIT: Duration = Duration::from_secs(180);

/// An earlier one-machine run, to which a backfill is added.
pub struct LocalBackfill {
    directories: Directories,
    job: Job,
    ministack: PathBuf,
}

/// The started machine of a backfill with its source.
pub struct RunningBackfill {
    machine: Machine,
    // Dropped after the machine that reads from it.
    _source: Option<SourceServer>,
}

impl LocalBackfill {
    /// Opens the directory of an earlier `archiver local` run.
    ///
    /// # Errors
    /// If the directory contains no such run.
    pub fn of(root: &Path, ministack: &Path) -> anyhow::Result<Self> {
        let (directories, job) = Directories::of_earlier_run(root)?;
        Ok(Self { directories, job, ministack: ministack.to_owned() })
    }

    /// Returns the variables of the functions. `resources` are the names and URLs of the bucket and queues, by variable.
    ///
    /// # Errors
    /// If a path is not UTF-8.
    pub fn variables(&self, resources: &[(&str, &str)]) -> anyhow::Result<HashMap<String, String>> {
        let mut variables: HashMap<_, _> = variables(&self.job, &self.directories, None)?.into_iter().collect();
        variables.extend(resources.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        Ok(variables)
    }

    /// Starts the machine and the source of the run.
    ///
    /// # Errors
    /// If either does not start.
    pub async fn start(self) -> anyhow::Result<RunningBackfill> {
        let (source_server, variables, _) = source(&self.job, &self.directories).await?;
        let options = machine_options(&self.ministack, &self.directories, binaries_beside()?, variables);
        let machine = Machine::start(options).await?;
        if let Some(server) = &source_server {
            let (id, value) = server.secret();
            machine.cloud.put_secret(id, &value).await?;
        }
        Ok(RunningBackfill { machine, _source: source_server })
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

    /// Runs convert and import until both queues are empty.
    ///
    /// # Errors
    /// If the queues are not empty in time.
    pub async fn work_off(&self) -> anyhow::Result<()> {
        let working = self.machine.work();
        let drained = tokio::time::timeout(STALL_LIMIT, self.machine.drained(|_| {})).await;
        drained.context("the queues are not empty after 3 minutes: `archiver local` reports the cause")??;
        working.stop().await;
        Ok(())
    }

    /// Stops the machine and waits until its state is written.
    ///
    /// # Errors
    /// [`MachineError`].
    pub async fn stop(self) -> Result<(), MachineError> {
        self.machine.stop().await
    }
}
