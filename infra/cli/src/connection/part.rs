//! The parts of a deployment and the names by which they are found.

/// A part of a deployment. A stack names it by an output, the environment by a variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Bucket,
    ConvertQueue,
    ImportQueue,
    DeadLetterQueue,
    Fetch,
    Convert,
    Import,
    Schedule,
    /// Exists only if the deployment receives webhooks.
    Receive,
    /// Exists only if the deployment receives webhooks.
    ReceiveQueue,
    /// Keeps the notifications that SNS cannot deliver to the receive queue. Exists only if the deployment receives webhooks.
    ReceiveUndelivered,
    /// Exists only if the deployment receives webhooks through a URL.
    ReceiveUrl,
    /// Only where the deployment receives webhooks from AWS.
    SocialTopic,
}

impl Part {
    /// All parts; every command needs the first four.
    pub const ALL: [Self; 13] = [
        Self::Bucket,
        Self::ConvertQueue,
        Self::ImportQueue,
        Self::DeadLetterQueue,
        Self::Fetch,
        Self::Convert,
        Self::Import,
        Self::Schedule,
        Self::Receive,
        Self::ReceiveQueue,
        Self::ReceiveUndelivered,
        Self::ReceiveUrl,
        Self::SocialTopic,
    ];

    /// Returns the environment variable that names the part.
    pub const fn variable(self) -> &'static str {
        match self {
            Self::Bucket => "BUCKET",
            Self::ConvertQueue => "CONVERT_QUEUE_URL",
            Self::ImportQueue => "IMPORT_QUEUE_URL",
            Self::DeadLetterQueue => "DEAD_LETTER_QUEUE_URL",
            Self::Fetch => "FETCH_FUNCTION_NAME",
            Self::Convert => "CONVERT_FUNCTION_NAME",
            Self::Import => "IMPORT_FUNCTION_NAME",
            Self::Schedule => "SCHEDULE_NAME",
            Self::Receive => "RECEIVE_FUNCTION_NAME",
            Self::ReceiveQueue => "RECEIVE_QUEUE_URL",
            Self::ReceiveUndelivered => "RECEIVE_UNDELIVERED_QUEUE_URL",
            Self::ReceiveUrl => "RECEIVE_URL",
            Self::SocialTopic => "SOCIAL_TOPIC_ARN",
        }
    }

    /// Returns the stack output that names the part.
    pub fn output(self) -> &'static str {
        match self {
            Self::Bucket => "BucketName",
            Self::ConvertQueue => "ConvertQueueUrl",
            Self::ImportQueue => "ImportQueueUrl",
            Self::DeadLetterQueue => "DeadLetterQueueUrl",
            Self::Fetch => "FetchFunctionName",
            Self::Convert => "ConvertFunctionName",
            Self::Import => "ImportFunctionName",
            Self::Schedule => "ScheduleName",
            Self::Receive => "ReceiveFunctionName",
            Self::ReceiveQueue => "ReceiveQueueUrl",
            Self::ReceiveUndelivered => "ReceiveUndeliveredQueueUrl",
            Self::ReceiveUrl => "ReceiveUrl",
            Self::SocialTopic => "SocialTopicArn",
        }
    }

    /// Returns the meaning of the name, for messages.
    pub fn description(self) -> &'static str {
        match self {
            Self::Bucket => "the name of the bucket",
            Self::ConvertQueue => "the URL of convert's queue",
            Self::ImportQueue => "the URL of import's queue",
            Self::DeadLetterQueue => "the URL of the dead-letter queue",
            Self::Fetch => "the name of the function fetch",
            Self::Convert => "the name of the function convert",
            Self::Import => "the name of the function import",
            Self::Schedule => "the name of the schedule that starts fetch",
            Self::Receive => "the name of the function receive",
            Self::ReceiveQueue => "the URL of receive's queue",
            Self::ReceiveUndelivered => "the URL of the queue of undelivered webhooks",
            Self::ReceiveUrl => "the URL that webhooks are posted to",
            Self::SocialTopic => "the ARN of the topic of AWS End User Messaging Social",
        }
    }
}
