//! Selects the deployment that a command works on, and connects to it.

mod error;
mod parameters;
mod part;
mod stack;

use std::{
    collections::HashMap,
    error::Error,
    path::{Path, PathBuf},
};

use aws::s3::Store;
use aws_config::SdkConfig;
use aws_sdk_s3::config::ProvideCredentials;
use jiff::{SignedDuration, Timestamp};
use model::{Stage, Window};
use runtime::Variables;

pub use self::{
    error::ConnectionError,
    parameters::{MAPPING, OUTCOME_DAYS, parameter},
    part::Part,
};
use local::{
    cloud::Cloud,
    machine::Machine,
    ministack::{Ministack, MinistackOptions},
};

/// The environment variables that name the parts of a deployment: [`Part::variable`] of each.
pub const VARIABLES: &[&str] = &{
    let mut names = [""; Part::ALL.len()];
    let mut at = 0;
    while at < names.len() {
        names[at] = Part::ALL[at].variable();
        at += 1;
    }
    names
};

/// Options that select a deployment: a stack, a one-machine run, or the deployment that the environment names.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Which deployment")]
pub struct Deployment {
    /// The deployment of this CloudFormation stack, in the account and region of the AWS environment variables and
    /// files. Without --stack and --local: the one that BUCKET, CONVERT_QUEUE_URL, IMPORT_QUEUE_URL and
    /// DEAD_LETTER_QUEUE_URL name
    #[arg(long, value_name = "NAME", conflicts_with = "local")]
    pub stack: Option<String>,
    /// The one-machine run that `archiver local` keeps in this directory
    #[arg(long, value_name = "DIR", num_args = 0..=1, require_equals = true, default_missing_value = "var")]
    pub local: Option<PathBuf>,
    /// With --local: the emulator of S3, SQS and Secrets Manager
    #[arg(long, value_name = "FILE", default_value = ".venv/bin/ministack", requires = "local", hide = true)]
    pub ministack: PathBuf,
}

impl Deployment {
    /// Returns the options that name the same deployment in another command, each after a space.
    pub fn options(&self) -> String {
        match (&self.stack, &self.local) {
            (Some(stack), _) => format!(" --stack {stack}"),
            (None, Some(root)) => format!(" --local={}", root.display()),
            (None, None) => String::new(),
        }
    }
}

/// Returns the command that fetches a window again, for a deployment with these [options](Deployment::options).
pub fn backfill_command(options: &str, window: &Window) -> String {
    format!("archiver backfill{options} --from {} --to {}", window.from, window.to)
}

/// URLs of the queues.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueUrls {
    pub convert: String,
    pub import: String,
    /// `None` if the deployment does not receive webhooks.
    pub receive: Option<String>,
    pub dead_letters: String,
}

impl QueueUrls {
    /// Returns the queue of a stage's tasks, if the deployment has one.
    pub fn of_stage(&self, stage: Stage) -> Option<&str> {
        match stage {
            Stage::Convert => Some(&self.convert),
            Stage::Import => Some(&self.import),
            Stage::Receive => self.receive.as_deref(),
        }
    }
}

/// Kind of deployment of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    Stack {
        name: String,
        /// CloudFormation's status, such as `CREATE_COMPLETE`.
        status: String,
    },
    /// The deployment that the environment variables name.
    Environment,
    /// A one-machine run. `root` is its directory while its functions are stopped; `None` while it runs.
    OneMachineRun { root: Option<PathBuf> },
}

/// Connection to a deployment. [`close`](Self::close) must end it: the emulator writes its state then.
pub struct Connection {
    pub config: SdkConfig,
    pub store: Store,
    pub bucket: String,
    pub queues: QueueUrls,
    pub target: Target,
    parts: HashMap<&'static str, String>,
    mapping: Variables,
    /// Number of days for which the bucket keeps outcomes and manifests; 0 means forever.
    outcome_days: u32,
    ministack: Option<Ministack>,
}

impl Connection {
    /// Finds the deployment and connects to it.
    ///
    /// # Errors
    /// [`ConnectionError`].
    pub async fn open(deployment: &Deployment) -> Result<Self, ConnectionError> {
        if let Some(root) = &deployment.local {
            return Self::local(root, &deployment.ministack).await;
        }
        let variables = Variables::read(VARIABLES);
        let Some(name) = &deployment.stack else {
            // Checked first, so that a missing name is reported before missing credentials.
            let parts = Self::parts(&variables);
            Self::required(&Target::Environment, &parts)?;
            let config = aws::load_config().await;
            usable(&config).await?;
            let (mapping, days) = (Variables::read(MAPPING), Variables::read(&[OUTCOME_DAYS]));
            return Self::of_parts(config, Target::Environment, parts, mapping, &days);
        };
        let config = aws::load_config().await;
        usable(&config).await?;
        let stack = stack::describe(&config, name).await?;
        let output = |variable: &str| {
            let part = Part::ALL.into_iter().find(|part| part.variable() == variable)?;
            stack.outputs.get(part.output()).cloned()
        };
        let parts = Self::parts(&Variables::from_values(VARIABLES, output));
        let parameter = |variable: &str| stack.parameters.get(&parameter(variable)).cloned();
        let mapping = Variables::from_values(MAPPING, parameter);
        let days = Variables::from_values(&[OUTCOME_DAYS], parameter);
        Self::of_parts(config, Target::Stack { name: name.clone(), status: stack.status }, parts, mapping, &days)
    }

    /// Connects to a one-machine run of this process.
    pub fn to_machine(machine: &Machine) -> Self {
        let resources = &machine.resources;
        let queues = QueueUrls {
            convert: resources.convert.url.clone(),
            import: resources.import.url.clone(),
            receive: resources.receive.as_ref().map(|queue| queue.url.clone()),
            dead_letters: resources.dead_letters.url.clone(),
        };
        Self::to(machine.cloud.config().clone(), resources.bucket.clone(), queues)
    }

    /// Connects to the deployment with this bucket and these queues.
    pub fn to(config: SdkConfig, bucket: String, queues: QueueUrls) -> Self {
        let store = Store::new(&config, bucket.clone());
        let (target, parts) = (Target::OneMachineRun { root: None }, HashMap::new());
        // A one-machine run has the defaults.
        let mapping = Variables::from_values(MAPPING, |_| None);
        Self { config, store, bucket, queues, target, parts, mapping, outcome_days: 0, ministack: None }
    }

    fn parts(variables: &Variables) -> HashMap<&'static str, String> {
        let value = |part: Part| {
            let text: Option<String> = variables.optional(part.variable(), part.description()).ok()?;
            Some((part.variable(), text?))
        };
        Part::ALL.into_iter().filter_map(value).collect()
    }

    /// Returns the bucket's name and the queues' URLs.
    fn required(
        target: &Target,
        parts: &HashMap<&'static str, String>,
    ) -> Result<(String, QueueUrls), ConnectionError> {
        if *target == Target::Environment && parts.is_empty() {
            return Err(ConnectionError::Unnamed);
        }
        let part = |part| find(target, parts, part).map(str::to_owned);
        let queues = QueueUrls {
            convert: part(Part::ConvertQueue)?,
            import: part(Part::ImportQueue)?,
            receive: part(Part::ReceiveQueue).ok(),
            dead_letters: part(Part::DeadLetterQueue)?,
        };
        Ok((part(Part::Bucket)?, queues))
    }

    fn of_parts(
        config: SdkConfig,
        target: Target,
        parts: HashMap<&'static str, String>,
        mapping: Variables,
        days: &Variables,
    ) -> Result<Self, ConnectionError> {
        let (bucket, queues) = Self::required(&target, &parts)?;
        let outcome_days = days.optional(OUTCOME_DAYS, "a number of days")?.unwrap_or_default();
        Ok(Self { target, parts, mapping, outcome_days, ..Self::to(config, bucket, queues) })
    }

    /// Returns import's settings of the user map, from the stack's parameters or from the environment.
    pub fn mapping(&self) -> &Variables {
        &self.mapping
    }

    /// Sets the number of days for which the bucket keeps outcomes; 0 means forever.
    #[must_use]
    pub fn with_outcome_days(self, outcome_days: u32) -> Self {
        Self { outcome_days, ..self }
    }

    /// Returns the time since which the bucket has every outcome and manifest; older ones may have been deleted by age.
    /// `None` if the bucket keeps all.
    pub fn outcomes_kept_since(&self, now: Timestamp) -> Option<Timestamp> {
        let days = SignedDuration::from_hours(24 * i64::from(self.outcome_days));
        (self.outcome_days > 0).then(|| now.checked_sub(days).unwrap_or(Timestamp::MIN))
    }

    /// Returns the name or URL of a part that not every command needs.
    ///
    /// # Errors
    /// [`ConnectionError`] when the part is not named.
    pub fn part(&self, part: Part) -> Result<&str, ConnectionError> {
        find(&self.target, &self.parts, part)
    }

    /// Returns the functions' environment variables for the bucket and the queues, with their values.
    pub fn resources(&self) -> [(&'static str, &str); 4] {
        [
            (Part::Bucket.variable(), &self.bucket),
            (Part::ConvertQueue.variable(), &self.queues.convert),
            (Part::ImportQueue.variable(), &self.queues.import),
            (Part::DeadLetterQueue.variable(), &self.queues.dead_letters),
        ]
    }

    /// Returns the deployment's name for use in a sentence.
    pub fn name(&self) -> String {
        match &self.target {
            Target::Stack { name, .. } => format!("the stack {name}"),
            Target::Environment => "the deployment that the environment names".to_owned(),
            Target::OneMachineRun { root: Some(root) } => format!("the one-machine run in {}", root.display()),
            Target::OneMachineRun { root: None } => "the one-machine run".to_owned(),
        }
    }

    /// Returns the directory of a one-machine run whose functions are not running.
    pub fn one_machine_root(&self) -> Option<&Path> {
        match &self.target {
            Target::OneMachineRun { root } => root.as_deref(),
            Target::Stack { .. } | Target::Environment => None,
        }
    }

    /// Connects to the stored state of a one-machine run; its functions are not started.
    async fn local(root: &Path, program: &Path) -> Result<Self, ConnectionError> {
        let none = || ConnectionError::NoState(root.to_owned());
        let root = root.canonicalize().map_err(|_| none())?;
        let (state, logs) = (root.join("state"), root.join("log"));
        if !state.is_dir() {
            return Err(none());
        }
        let ministack = Ministack::start(&MinistackOptions {
            program: program.to_owned(),
            port: None,
            state: Some(state),
            log: logs.join("ministack.log"),
            variables: Vec::new(),
        })
        .await?;
        let cloud = Cloud::at(&ministack.endpoint()).await;
        let resources = cloud.find().await?;
        let queues = QueueUrls {
            convert: resources.convert.url,
            import: resources.import.url,
            receive: resources.receive.map(|queue| queue.url),
            dead_letters: resources.dead_letters.url,
        };
        let connection = Self::to(cloud.config().clone(), resources.bucket, queues);
        Ok(Self { target: Target::OneMachineRun { root: Some(root) }, ministack: Some(ministack), ..connection })
    }

    /// Closes the connection, and returns when the emulator has written its state to disk.
    ///
    /// # Errors
    /// [`ConnectionError::Ministack`].
    pub async fn close(self) -> Result<(), ConnectionError> {
        match self.ministack {
            Some(ministack) => Ok(ministack.stop().await?),
            None => Ok(()),
        }
    }
}

fn find<'a>(target: &Target, parts: &'a HashMap<&'static str, String>, part: Part) -> Result<&'a str, ConnectionError> {
    parts.get(part.variable()).map(String::as_str).ok_or_else(|| match target {
        Target::Stack { name, status } => ConnectionError::Output { stack: name.clone(), status: status.clone(), part },
        Target::Environment => ConnectionError::Variable(part),
        Target::OneMachineRun { .. } => ConnectionError::NotLocal(part),
    })
}

/// Checks the region and the credentials, so that the error does not name an unrelated first request.
async fn usable(config: &SdkConfig) -> Result<(), ConnectionError> {
    if config.region().is_none() {
        return Err(ConnectionError::NoRegion);
    }
    let Some(provider) = config.credentials_provider() else {
        return Err(ConnectionError::NoCredentials("no credentials provider is configured".to_owned()));
    };
    match provider.provide_credentials().await {
        Ok(_) => Ok(()),
        Err(error) => {
            let mut why = error.to_string();
            let mut cause = error.source();
            while let Some(error) = cause {
                why = format!("{why}: {error}");
                cause = error.source();
            }
            Err(ConnectionError::NoCredentials(why))
        }
    }
}
