//! Classifies errors of the bucket and of the APIs that files are fetched from.

use model::Failure;
use source::SourceError;

/// Converts an error of the source into the failure of a task.
pub(crate) fn from_source(error: SourceError) -> Failure {
    let (detail, after) = (error.to_string(), error.retry_after());
    match error {
        SourceError::Unavailable { .. } => Failure::Transient { detail, after },
        _ => Failure::Configuration { detail, after },
    }
}
