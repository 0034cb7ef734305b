//! Which deployment a command works on, and the way to it.

use std::path::{Path, PathBuf};

use aws_config::SdkConfig;
use environment::{VariableError, Variables};
use store::Store;

use crate::local::{
    cloud::{Cloud, CloudError},
    ministack::{Ministack, MinistackError, MinistackOptions},
};

/// The environment variables by which a command finds the deployment: those of the functions, and their meaning.
pub const VARIABLES: &[&str] = &["BUCKET", "CONVERT_QUEUE_URL", "IMPORT_QUEUE_URL", "DEAD_LETTER_QUEUE_URL"];

/// Which deployment.
///
/// Without `--local` it is the one that the environment names, by the same variables as the functions: `BUCKET`,
/// `CONVERT_QUEUE_URL`, `IMPORT_QUEUE_URL`, `DEAD_LETTER_QUEUE_URL`, and AWS's own for region and credentials.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Which deployment")]
pub struct Deployment {
    /// What `archiver local` keeps in this directory, instead of the deployment that BUCKET, CONVERT_QUEUE_URL,
    /// IMPORT_QUEUE_URL, DEAD_LETTER_QUEUE_URL and AWS's own variables name
    #[arg(long, value_name = "DIR", num_args = 0..=1, require_equals = true, default_missing_value = "var")]
    pub local: Option<PathBuf>,
    /// With --local: the stand-in for S3, SQS and Secrets Manager
    #[arg(long, value_name = "FILE", default_value = ".venv/bin/ministack", requires = "local")]
    pub ministack: PathBuf,
}

/// Why there is no way to the deployment. The fault of the set-up, never of an item.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    /// The environment names no deployment.
    #[error(
        "the environment names no deployment: set it from the stack's outputs (BUCKET is BucketName, CONVERT_QUEUE_URL \
         is ConvertQueueUrl, and so on), or use --local"
    )]
    Variables(#[from] VariableError),
    /// There is nothing of a one-machine run there.
    #[error("{} holds no one-machine run: `archiver local` makes one", .0.display())]
    NoState(PathBuf),
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

/// The way to a deployment. End it with [`close`](Self::close): what the stand-in holds is written then.
pub struct Connection {
    /// What clients are made from.
    pub config: SdkConfig,
    /// The bucket.
    pub store: Store,
    /// The queues.
    pub queues: QueueUrls,
    /// The directory of the one-machine run (mail in `mail/`), where it is one.
    pub local: Option<PathBuf>,
    ministack: Option<Ministack>,
}

impl Connection {
    /// Finds the deployment.
    ///
    /// # Errors
    /// [`ConnectionError`].
    pub async fn open(deployment: &Deployment) -> Result<Self, ConnectionError> {
        match &deployment.local {
            Some(root) => Self::local(root, &deployment.ministack).await,
            None => Self::from_variables(&Variables::read(VARIABLES), environment::aws_config().await),
        }
    }

    /// The deployment that these variables name.
    ///
    /// # Errors
    /// [`ConnectionError::Variables`].
    pub fn from_variables(variables: &Variables, config: SdkConfig) -> Result<Self, ConnectionError> {
        let bucket: String = variables.required("BUCKET", "the name of the bucket")?;
        let queues = QueueUrls {
            convert: variables.required("CONVERT_QUEUE_URL", "the URL of convert's queue")?,
            import: variables.required("IMPORT_QUEUE_URL", "the URL of import's queue")?,
            dead_letters: variables.required("DEAD_LETTER_QUEUE_URL", "the URL of the dead-letter queue")?,
        };
        Ok(Self::to(config, bucket, queues))
    }

    /// The deployment of this bucket and these queues.
    pub fn to(config: SdkConfig, bucket: String, queues: QueueUrls) -> Self {
        let store = Store::new(&config, bucket);
        Self { config, store, queues, local: None, ministack: None }
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
        Ok(Self { local: Some(root), ministack: Some(ministack), ..connection })
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
