//! Which deployment a command works on, and the way to it.

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
use model::Window;
use runtime::Variables;

pub use self::{
    parameters::{MAPPING, parameter},
    part::Part,
};
use local::{
    cloud::{Cloud, CloudError},
    machine::Machine,
    ministack::{Ministack, MinistackError, MinistackOptions},
};

/// The environment variables by which a command finds the deployment: [`Part::variable`] of each.
pub const VARIABLES: &[&str] = &{
    let mut names = [""; Part::ALL.len()];
    let mut at = 0;
    while at < names.len() {
        names[at] = Part::ALL[at].variable();
        at += 1;
    }
    names
};

/// Which deployment: a stack's, a one-machine run's, or the one that the environment names.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Which deployment")]
pub struct Deployment {
    /// The deployment of this CloudFormation stack, in the account and region that AWS's own variables and files name.
    /// Without --stack and --local: the one that BUCKET, CONVERT_QUEUE_URL, IMPORT_QUEUE_URL and DEAD_LETTER_QUEUE_URL name
    #[arg(long, value_name = "NAME", conflicts_with = "local")]
    pub stack: Option<String>,
    /// What `archiver local` keeps in this directory
    #[arg(long, value_name = "DIR", num_args = 0..=1, require_equals = true, default_missing_value = "var")]
    pub local: Option<PathBuf>,
    /// With --local: the stand-in for S3, SQS and Secrets Manager
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

/// Why there is no way to the deployment. The fault of the set-up, never of an item.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    /// Nothing says which.
    #[error(
        "no deployment is named. Name one:\n  \
         --stack NAME   the CloudFormation stack that `make deploy` made\n  \
         --local        what `archiver local` keeps on this machine\n  \
         variables      BUCKET, CONVERT_QUEUE_URL, IMPORT_QUEUE_URL and DEAD_LETTER_QUEUE_URL, from the stack's outputs"
    )]
    Unnamed,
    /// The environment names a part of a deployment.
    #[error(
        "environment variable {} is not set: {} (the stack's output {}). Set it too, or name the deployment by --stack NAME",
        .0.variable(), .0.what(), .0.output()
    )]
    Variable(Part),
    /// There is no such stack.
    #[error(
        "there is no stack {stack} in {region}, in the account of these credentials: look at the name, at AWS_REGION and at \
         AWS_PROFILE"
    )]
    NoStack {
        /// Its name.
        stack: String,
        /// The region.
        region: String,
    },
    /// CloudFormation does not say.
    #[error(
        "CloudFormation does not tell about the stack {stack}: {problem}. It takes valid credentials with \
         cloudformation:DescribeStacks"
    )]
    StackRefused {
        /// Its name.
        stack: String,
        /// What CloudFormation answered.
        problem: String,
    },
    /// The stack is not, or not yet, one of this release.
    #[error(
        "the stack {stack} has no output {} and is {status}: either it is another stack than WhatsApp Archiver's, or its \
         deployment failed, or it is of an earlier release and `make deploy` brings it up to date",
        .part.output()
    )]
    Output {
        /// Its name.
        stack: String,
        /// What CloudFormation says of it.
        status: String,
        /// What is looked for.
        part: Part,
    },
    /// AWS has regions.
    #[error("no AWS region is set: set AWS_REGION, or AWS_PROFILE to a profile that has one")]
    NoRegion,
    /// AWS does not know who asks.
    #[error(
        "there are no AWS credentials. Set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; after `aws sso \
         login` or `aws login`: eval \"$(aws configure export-credentials --format env)\"\n{0}"
    )]
    NoCredentials(String),
    /// There is nothing of a one-machine run there.
    #[error("{} holds no one-machine run: `archiver local` makes one", .0.display())]
    NoState(PathBuf),
    /// Only AWS has it.
    #[error("a one-machine run has no {}", .0.variable())]
    NotLocal(Part),
    /// The stand-in for AWS.
    #[error(transparent)]
    Ministack(#[from] MinistackError),
    /// The stand-in's answers.
    #[error(transparent)]
    Cloud(#[from] CloudError),
}

/// The URLs of the three queues.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueUrls {
    /// The tasks of convert.
    pub convert: String,
    /// The tasks of import.
    pub import: String,
    /// The tasks that cannot be done.
    pub dead_letters: String,
}

/// What a connection leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A CloudFormation stack.
    Stack {
        /// The name.
        name: String,
        /// The status as CloudFormation says it, such as `CREATE_COMPLETE`.
        status: String,
    },
    /// The deployment that the environment variables name.
    Environment,
    /// A one-machine run: what it keeps in this directory (mail in `mail/`), its functions not running; or one that is under
    /// way, by its own bucket and queues.
    OneMachineRun {
        /// The directory.
        root: Option<PathBuf>,
    },
}

/// The way to a deployment. End it with [`close`](Self::close): what the stand-in holds is written then.
pub struct Connection {
    /// What clients are made from.
    pub config: SdkConfig,
    /// The bucket.
    pub store: Store,
    /// The bucket's name.
    pub bucket: String,
    /// The queues.
    pub queues: QueueUrls,
    /// What it leads to.
    pub target: Target,
    parts: HashMap<&'static str, String>,
    mapping: Variables,
    ministack: Option<Ministack>,
}

impl Connection {
    /// Finds the deployment.
    ///
    /// # Errors
    /// [`ConnectionError`].
    pub async fn open(deployment: &Deployment) -> Result<Self, ConnectionError> {
        if let Some(root) = &deployment.local {
            return Self::local(root, &deployment.ministack).await;
        }
        let variables = Variables::read(VARIABLES);
        let Some(name) = &deployment.stack else {
            // Said before anybody is asked for credentials.
            let parts = Self::parts(&variables);
            Self::required(&Target::Environment, &parts)?;
            let config = aws::load_config().await;
            usable(&config).await?;
            let mapping = Variables::read(MAPPING);
            return Self::of_parts(config, Target::Environment, parts, mapping);
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
        Self::of_parts(config, Target::Stack { name: name.clone(), status: stack.status }, parts, mapping)
    }

    /// A machine of this process.
    pub fn to_machine(machine: &Machine) -> Self {
        let resources = &machine.resources;
        let queues = QueueUrls {
            convert: resources.convert.url.clone(),
            import: resources.import.url.clone(),
            dead_letters: resources.dead_letters.url.clone(),
        };
        Self::to(machine.cloud.config().clone(), resources.bucket.clone(), queues)
    }

    /// The deployment of this bucket and these queues.
    pub fn to(config: SdkConfig, bucket: String, queues: QueueUrls) -> Self {
        let store = Store::new(&config, bucket.clone());
        let (target, parts) = (Target::OneMachineRun { root: None }, HashMap::new());
        // A one-machine run has the defaults.
        let mapping = Variables::from_values(MAPPING, |_| None);
        Self { config, store, bucket, queues, target, parts, mapping, ministack: None }
    }

    fn parts(variables: &Variables) -> HashMap<&'static str, String> {
        let value = |part: Part| {
            let text: Option<String> = variables.optional(part.variable(), part.what()).ok()?;
            Some((part.variable(), text?))
        };
        Part::ALL.into_iter().filter_map(value).collect()
    }

    /// The bucket and the queues' URLs.
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
            dead_letters: part(Part::DeadLetterQueue)?,
        };
        Ok((part(Part::Bucket)?, queues))
    }

    fn of_parts(
        config: SdkConfig,
        target: Target,
        parts: HashMap<&'static str, String>,
        mapping: Variables,
    ) -> Result<Self, ConnectionError> {
        let (bucket, queues) = Self::required(&target, &parts)?;
        Ok(Self { target, parts, mapping, ..Self::to(config, bucket, queues) })
    }

    /// What the deployment says of its user map: import's variables of that, where no stack is asked from the
    /// environment.
    pub fn mapping(&self) -> &Variables {
        &self.mapping
    }

    /// The name or URL of a part that not every command needs.
    ///
    /// # Errors
    /// [`ConnectionError`], with what to do, where nobody has named it.
    pub fn part(&self, part: Part) -> Result<&str, ConnectionError> {
        find(&self.target, &self.parts, part)
    }

    /// The names and URLs of the bucket and the queues, by the variables that name them to the functions.
    pub fn resources(&self) -> [(&'static str, &str); 4] {
        [
            (Part::Bucket.variable(), &self.bucket),
            (Part::ConvertQueue.variable(), &self.queues.convert),
            (Part::ImportQueue.variable(), &self.queues.import),
            (Part::DeadLetterQueue.variable(), &self.queues.dead_letters),
        ]
    }

    /// What kind of deployment it is, for a sentence.
    pub fn name(&self) -> String {
        match &self.target {
            Target::Stack { name, .. } => format!("the stack {name}"),
            Target::Environment => "the deployment that the environment names".to_owned(),
            Target::OneMachineRun { root: Some(root) } => format!("the one-machine run in {}", root.display()),
            Target::OneMachineRun { root: None } => "the one-machine run".to_owned(),
        }
    }

    /// The directory of a one-machine run whose functions are not running.
    pub fn one_machine_root(&self) -> Option<&Path> {
        match &self.target {
            Target::OneMachineRun { root } => root.as_deref(),
            Target::Stack { .. } | Target::Environment => None,
        }
    }

    /// What a one-machine run has kept; the functions stay asleep.
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
            dead_letters: resources.dead_letters.url,
        };
        let connection = Self::to(cloud.config().clone(), resources.bucket, queues);
        Ok(Self { target: Target::OneMachineRun { root: Some(root) }, ministack: Some(ministack), ..connection })
    }

    /// Ends it, and returns when what is to be kept is on the disk.
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

fn region(config: &SdkConfig) -> &str {
    config.region().map_or("no region", AsRef::as_ref)
}

/// Whether AWS can be asked at all. The SDK would say the same later, of the first thing that is asked for.
async fn usable(config: &SdkConfig) -> Result<(), ConnectionError> {
    if config.region().is_none() {
        return Err(ConnectionError::NoRegion);
    }
    let Some(provider) = config.credentials_provider() else {
        return Err(ConnectionError::NoCredentials("no provider of credentials is configured".to_owned()));
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
