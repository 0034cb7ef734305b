//! Creates the template's bucket, queues and secrets in the emulator, and returns the environment variables by which the
//! functions find them.

use std::{collections::BTreeMap, error::Error, time::Duration};

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_s3::{config::Credentials, operation::create_bucket::CreateBucketError};
use aws_sdk_secretsmanager::operation::create_secret::CreateSecretError;
use aws_sdk_sqs::{error::SdkError, operation::get_queue_url::GetQueueUrlError, types::QueueAttributeName};
use serde_json::{Value, json};

use super::ministack::Ministack;

/// A request to the emulator failed. The cause is the machine or this program, not the data.
#[derive(Debug, thiserror::Error)]
#[error("cannot {doing}")]
pub struct CloudError {
    doing: &'static str,
    #[source]
    source: Box<dyn Error + Send + Sync>,
}

pub(super) fn failed<E: Error + Send + Sync + 'static>(doing: &'static str) -> impl Fn(E) -> CloudError {
    move |error| CloudError { doing, source: Box::new(error) }
}

/// A queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queue {
    pub url: String,
    /// Used in events and policies.
    pub arn: String,
}

/// Redelivery settings of the queues.
#[derive(Debug, Clone, Copy)]
pub struct Redelivery {
    /// Visibility timeout of a received message. At least the timeout of the function.
    pub visibility: Duration,
    /// Number of receives after which SQS moves a message to the dead-letter queue.
    pub max_receives: u32,
}

/// Resources of the functions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resources {
    /// Name of the bucket.
    pub bucket: String,
    pub convert: Queue,
    pub import: Queue,
    /// `None` if the source is not `cloud-api`.
    pub receive: Option<Queue>,
    pub dead_letters: Queue,
}

/// A function that every deployment has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    Fetch,
    Convert,
    Import,
}

impl Step {
    /// Returns the name of the function and of its binary.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fetch => "fetch",
            Self::Convert => "convert",
            Self::Import => "import",
        }
    }
}

/// A connection to the emulator.
pub struct Cloud {
    endpoint: String,
    config: SdkConfig,
}

/// Name of the bucket.
const BUCKET: &str = "archive";

const DEAD_LETTERS: &str = "dead-letters";

/// Name of the function that receives webhooks, of its binary and of its queue.
pub const RECEIVE: &str = "receive";

/// The emulator accepts any key, and the SDKs require one.
pub const ACCESS_KEY: &str = "local";

impl Cloud {
    /// Connects to an endpoint. The account and region of the operator's environment are ignored.
    pub async fn at(endpoint: &str) -> Self {
        let config = aws_config::defaults(BehaviorVersion::latest())
            .endpoint_url(endpoint)
            .region(Region::from_static(Ministack::REGION))
            .credentials_provider(Credentials::new(ACCESS_KEY, ACCESS_KEY, None, None, "the local run"))
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .load()
            .await;
        Self { endpoint: endpoint.to_owned(), config }
    }

    /// Returns the configuration for SDK clients.
    pub fn config(&self) -> &SdkConfig {
        &self.config
    }

    /// Reads the details of the dead letters by item. The messages stay in the queue. No other reader may run meanwhile.
    ///
    /// # Errors
    /// If the server rejects a request.
    pub async fn dead_letter_details(&self, queue: &Queue) -> Result<BTreeMap<String, String>, CloudError> {
        const DOING: &str = "read the dead letters";
        let client = aws_sdk_sqs::Client::new(&self.config);
        let (mut details, mut receipts) = (BTreeMap::new(), Vec::new());
        loop {
            let receive = client.receive_message().queue_url(&queue.url).max_number_of_messages(10);
            let receive = receive.visibility_timeout(60).message_attribute_names("All");
            let messages = receive.send().await.map_err(failed(DOING))?.messages.unwrap_or_default();
            if messages.is_empty() {
                break;
            }
            for message in messages {
                receipts.extend(message.receipt_handle);
                let mut attributes = message.message_attributes.unwrap_or_default();
                let mut attribute = |name: &str| attributes.remove(name).and_then(|value| value.string_value);
                details.extend(attribute("item").zip(attribute("detail")));
            }
        }
        for receipt in receipts {
            let release = client.change_message_visibility().queue_url(&queue.url).receipt_handle(receipt);
            release.visibility_timeout(0).send().await.map_err(failed(DOING))?;
        }
        Ok(details)
    }

    /// Creates the bucket and the queues if they do not exist, and sets the queues' attributes. The queue of receive is
    /// created only if `receives` is set.
    ///
    /// # Errors
    /// If the server rejects a request.
    pub async fn create(&self, redelivery: Redelivery, receives: bool) -> Result<Resources, CloudError> {
        let bucket = BUCKET.to_owned();
        match aws_sdk_s3::Client::new(&self.config).create_bucket().bucket(&bucket).send().await {
            Ok(_) => {}
            Err(error) => match error.into_service_error() {
                CreateBucketError::BucketAlreadyOwnedByYou(_) | CreateBucketError::BucketAlreadyExists(_) => {}
                error => return Err(failed("create the bucket")(error)),
            },
        }
        let fourteen_days = ("MessageRetentionPeriod", "1209600".to_owned());
        let dead_letters = self.queue(DEAD_LETTERS, std::slice::from_ref(&fourteen_days)).await?;
        let policy =
            json!({"deadLetterTargetArn": dead_letters.arn, "maxReceiveCount": redelivery.max_receives}).to_string();
        let attributes = [
            fourteen_days,
            ("VisibilityTimeout", redelivery.visibility.as_secs().to_string()),
            ("RedrivePolicy", policy),
        ];
        let convert = self.queue(Step::Convert.name(), &attributes).await?;
        let import = self.queue(Step::Import.name(), &attributes).await?;
        let receive = if receives { Some(self.queue(RECEIVE, &attributes).await?) } else { None };
        Ok(Resources { bucket, convert, import, receive, dead_letters })
    }

    /// Finds the resources that [`create`](Self::create) created in an earlier run, and changes nothing.
    ///
    /// # Errors
    /// If a queue does not exist or the server rejects a request.
    pub async fn find(&self) -> Result<Resources, CloudError> {
        let client = aws_sdk_sqs::Client::new(&self.config);
        let queue = async |name: &str| -> Result<Queue, CloudError> {
            let found = client.get_queue_url().queue_name(name).send().await.map_err(failed("find a queue"))?;
            Ok(Queue { url: found.queue_url.unwrap_or_default(), arn: arn(name) })
        };
        let names = client.list_queues().queue_name_prefix(RECEIVE).send().await.map_err(failed("list the queues"))?;
        let receives = names.queue_urls.is_some_and(|urls| !urls.is_empty());
        Ok(Resources {
            bucket: BUCKET.to_owned(),
            convert: queue(Step::Convert.name()).await?,
            import: queue(Step::Import.name()).await?,
            receive: if receives { Some(queue(RECEIVE).await?) } else { None },
            dead_letters: queue(DEAD_LETTERS).await?,
        })
    }

    /// Stores a secret or a new version of it.
    ///
    /// # Errors
    /// If the server rejects a request.
    pub async fn put_secret(&self, id: &str, value: &Value) -> Result<(), CloudError> {
        let client = aws_sdk_secretsmanager::Client::new(&self.config);
        match client.create_secret().name(id).secret_string(value.to_string()).send().await {
            Ok(_) => Ok(()),
            Err(error) => match error.into_service_error() {
                CreateSecretError::ResourceExistsException(_) => {
                    let put = client.put_secret_value().secret_id(id).secret_string(value.to_string()).send().await;
                    put.map(drop).map_err(failed("store a new version of a secret"))
                }
                error => Err(failed("store a secret")(error)),
            },
        }
    }

    /// Returns the environment variables by which a function finds its resources. The caller adds those of the source and
    /// the mail system.
    pub fn variables(&self, step: Step, resources: &Resources) -> Vec<(String, String)> {
        let queue = |name: &'static str, queue: &Queue| (name, queue.url.clone());
        let mut variables = self.common_variables(resources);
        let convert = queue("CONVERT_QUEUE_URL", &resources.convert);
        let import = queue("IMPORT_QUEUE_URL", &resources.import);
        let dead_letters = queue("DEAD_LETTER_QUEUE_URL", &resources.dead_letters);
        match step {
            Step::Fetch => variables.extend([convert]),
            Step::Convert => variables.extend([convert, import, dead_letters]),
            Step::Import => variables.extend([import, dead_letters]),
        }
        owned(variables)
    }

    /// Returns the environment variables of receive.
    pub fn receive_variables(&self, resources: &Resources, receive: &Queue) -> Vec<(String, String)> {
        let mut variables = self.common_variables(resources);
        variables.push(("RECEIVE_QUEUE_URL", receive.url.clone()));
        variables.push(("DEAD_LETTER_QUEUE_URL", resources.dead_letters.url.clone()));
        owned(variables)
    }

    fn common_variables(&self, resources: &Resources) -> Vec<(&'static str, String)> {
        vec![
            ("AWS_ENDPOINT_URL", self.endpoint.clone()),
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", ACCESS_KEY.to_owned()),
            ("BUCKET", resources.bucket.clone()),
        ]
    }

    async fn queue(&self, name: &str, attributes: &[(&str, String)]) -> Result<Queue, CloudError> {
        let client = aws_sdk_sqs::Client::new(&self.config);
        // After a restart, queue URLs contain the old port, and a create request would create second queues.
        let found = client.get_queue_url().queue_name(name).send().await;
        let url = match found.map_err(SdkError::into_service_error) {
            Ok(found) => found.queue_url,
            Err(GetQueueUrlError::QueueDoesNotExist(_)) => {
                client.create_queue().queue_name(name).send().await.map_err(failed("create a queue"))?.queue_url
            }
            Err(error) => return Err(failed("find a queue")(error)),
        };
        let url = url.unwrap_or_default();
        let attributes =
            attributes.iter().map(|(name, value)| (QueueAttributeName::from(*name), value.clone())).collect();
        let set = client.set_queue_attributes().queue_url(&url).set_attributes(Some(attributes)).send().await;
        set.map_err(failed("set the attributes of a queue"))?;
        Ok(Queue { url, arn: arn(name) })
    }
}

fn owned(variables: Vec<(&'static str, String)>) -> Vec<(String, String)> {
    variables.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn arn(queue: &str) -> String {
    format!("arn:aws:sqs:{}:{}:{queue}", Ministack::REGION, Ministack::ACCOUNT)
}
