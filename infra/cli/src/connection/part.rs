//! What a deployment is made of, and by which names its parts are found.

/// A part of a deployment: an output of the stack, and an environment variable where there is no stack to ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The bucket.
    Bucket,
    /// The queue of convert.
    ConvertQueue,
    /// The queue of import.
    ImportQueue,
    /// The dead-letter queue.
    DeadLetterQueue,
    /// The function fetch.
    Fetch,
    /// The function convert.
    Convert,
    /// The function import.
    Import,
    /// The schedule that starts fetch.
    Schedule,
}

impl Part {
    /// All of them; the first four are those that every command needs.
    pub const ALL: [Self; 8] = [
        Self::Bucket,
        Self::ConvertQueue,
        Self::ImportQueue,
        Self::DeadLetterQueue,
        Self::Fetch,
        Self::Convert,
        Self::Import,
        Self::Schedule,
    ];

    /// The environment variable.
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
        }
    }

    /// The stack's output.
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
        }
    }

    /// What it is, in words.
    pub fn what(self) -> &'static str {
        match self {
            Self::Bucket => "the name of the bucket",
            Self::ConvertQueue => "the URL of convert's queue",
            Self::ImportQueue => "the URL of import's queue",
            Self::DeadLetterQueue => "the URL of the dead-letter queue",
            Self::Fetch => "the name of the function fetch",
            Self::Convert => "the name of the function convert",
            Self::Import => "the name of the function import",
            Self::Schedule => "the name of the schedule that starts fetch",
        }
    }
}
