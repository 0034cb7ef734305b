//! What the deployment's template makes in AWS, made in the stand-in: the bucket, the queues, the secrets; and the
//! environment variables by which the functions find them.

use std::{collections::BTreeMap, error::Error, time::Duration};

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_s3::{config::Credentials, operation::create_bucket::CreateBucketError};
use aws_sdk_secretsmanager::operation::create_secret::CreateSecretError;
use aws_sdk_sqs::{error::SdkError, operation::get_queue_url::GetQueueUrlError, types::QueueAttributeName};
use serde_json::{Value, json};

use super::ministack::Ministack;

/// The stand-in would not do what was asked. A fault of the machine or of this program, not of any data.
#[derive(Debug, thiserror::Error)]
#[error("cannot {doing}")]
pub struct CloudError {
    /// What was asked.
    doing: &'static str,
    #[source]
    source: Box<dyn Error + Send + Sync>,
}

pub(super) fn failed<E: Error + Send + Sync + 'static>(doing: &'static str) -> impl Fn(E) -> CloudError {
    move |error| CloudError { doing, source: Box::new(error) }
}

/// A queue that messages are taken from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queue {
    /// How its messages are sent and received.
    pub url: String,
    /// How it is named in events and policies.
    pub arn: String,
}

/// How the queues treat a message that is not deleted.
#[derive(Debug, Clone, Copy)]
pub struct Redelivery {
    /// How long a message that was received stays away. At least the longest that a function may take.
    pub visibility: Duration,
    /// After how many receives SQS moves it to the dead-letter queue.
    pub max_receives: u32,
}

/// What the functions work on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resources {
    /// The bucket's name.
    pub bucket: String,
    /// The tasks of convert.
    pub convert: Queue,
    /// The tasks of import.
    pub import: Queue,
    /// The tasks that cannot be done.
    pub dead_letters: Queue,
}

/// One of the three functions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Lists the items.
    Fetch,
    /// Renders them.
    Convert,
    /// Files them.
    Import,
}

impl Step {
    /// The function's name, and its binary's.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fetch => "fetch",
            Self::Convert => "convert",
            Self::Import => "import",
        }
    }
}

/// A way to the stand-in.
pub struct Cloud {
    endpoint: String,
    config: SdkConfig,
}

/// The bucket's name.
const BUCKET: &str = "archive";

/// The dead-letter queue's name.
const DEAD_LETTERS: &str = "dead-letters";

/// The stand-in takes any key; the SDKs want one.
const ACCESS_KEY: &str = "local";

impl Cloud {
    /// Goes to the server at an endpoint, whatever account and region the operator's own environment names.
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

    /// The configuration that clients of this cloud are made from.
    pub fn config(&self) -> &SdkConfig {
        &self.config
    }

    /// Reads the details of the dead letters, by item. All of them stay in the queue; nothing else reads it meanwhile.
    ///
    /// # Errors
    /// When the server refuses.
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
                let mut word = |name: &str| attributes.remove(name).and_then(|value| value.string_value);
                details.extend(word("item").zip(word("detail")));
            }
        }
        for receipt in receipts {
            let release = client.change_message_visibility().queue_url(&queue.url).receipt_handle(receipt);
            release.visibility_timeout(0).send().await.map_err(failed(DOING))?;
        }
        Ok(details)
    }

    /// Makes the bucket and the queues, or leaves what is there and sets the queues' attributes.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn create(&self, redelivery: Redelivery) -> Result<Resources, CloudError> {
        let bucket = BUCKET.to_owned();
        match aws_sdk_s3::Client::new(&self.config).create_bucket().bucket(&bucket).send().await {
            Ok(_) => {}
            Err(error) => match error.into_service_error() {
                CreateBucketError::BucketAlreadyOwnedByYou(_) | CreateBucketError::BucketAlreadyExists(_) => {}
                error => return Err(failed("make the bucket")(error)),
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
        Ok(Resources { bucket, convert, import, dead_letters })
    }

    /// Finds what [`create`](Self::create) made in an earlier run, and changes nothing.
    ///
    /// # Errors
    /// When a queue is not there or the server refuses.
    pub async fn find(&self) -> Result<Resources, CloudError> {
        let client = aws_sdk_sqs::Client::new(&self.config);
        let queue = async |name: &str| -> Result<Queue, CloudError> {
            let found = client.get_queue_url().queue_name(name).send().await.map_err(failed("find a queue"))?;
            Ok(Queue { url: found.queue_url.unwrap_or_default(), arn: arn(name) })
        };
        Ok(Resources {
            bucket: BUCKET.to_owned(),
            convert: queue(Step::Convert.name()).await?,
            import: queue(Step::Import.name()).await?,
            dead_letters: queue(DEAD_LETTERS).await?,
        })
    }

    /// Stores a secret, or a new version of it.
    ///
    /// # Errors
    /// When the server refuses.
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

    /// The environment variables that a function needs to find its resources. Those that say what it works with (a
    /// source, a mailbox) are the caller's.
    pub fn variables(&self, step: Step, resources: &Resources) -> Vec<(String, String)> {
        let queue = |name: &'static str, queue: &Queue| (name, queue.url.clone());
        let mut variables = vec![
            ("AWS_ENDPOINT_URL", self.endpoint.clone()),
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", ACCESS_KEY.to_owned()),
            ("BUCKET", resources.bucket.clone()),
        ];
        let convert = queue("CONVERT_QUEUE_URL", &resources.convert);
        let import = queue("IMPORT_QUEUE_URL", &resources.import);
        let dead_letters = queue("DEAD_LETTER_QUEUE_URL", &resources.dead_letters);
        match step {
            Step::Fetch => variables.extend([convert]),
            Step::Convert => variables.extend([convert, import, dead_letters]),
            Step::Import => variables.extend([import, dead_letters]),
        }
        variables.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    async fn queue(&self, name: &str, attributes: &[(&str, String)]) -> Result<Queue, CloudError> {
        let client = aws_sdk_sqs::Client::new(&self.config);
        // A server that was started again has its queues under the port that it had before, and would make others.
        let found = client.get_queue_url().queue_name(name).send().await;
        let url = match found.map_err(SdkError::into_service_error) {
            Ok(found) => found.queue_url,
            Err(GetQueueUrlError::QueueDoesNotExist(_)) => {
                client.create_queue().queue_name(name).send().await.map_err(failed("make a queue"))?.queue_url
            }
            Err(error) => return Err(failed("look for a queue")(error)),
        };
        let url = url.unwrap_or_default();
        let attributes =
            attributes.iter().map(|(name, value)| (QueueAttributeName::from(*name), value.clone())).collect();
        let set = client.set_queue_attributes().queue_url(&url).set_attributes(Some(attributes)).send().await;
        set.map_err(failed("set the attributes of a queue"))?;
        Ok(Queue { url, arn: arn(name) })
    }
}

fn arn(queue: &str) -> String {
    format!("arn:aws:sqs:{}:{}:{queue}", Ministack::REGION, Ministack::ACCOUNT)
}
