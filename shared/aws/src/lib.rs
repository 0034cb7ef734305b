//! The adapters to AWS: the bucket (S3), the queues (SQS), the secrets (Secrets Manager) and the configuration of their
//! clients; and the classification of failed requests. No type of the SDKs leaves these adapters.

mod config;
mod error;
pub mod s3;
pub mod secrets;
pub mod signed;
pub mod sqs;

pub use aws_config::SdkConfig;
pub use config::load_config;
pub use error::{RequestError, classify};
