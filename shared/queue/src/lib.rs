//! The SQS queues.
