//! The S3 bucket.
