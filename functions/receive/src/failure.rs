//! Classifies the errors of the bucket and of the hosts of files.

use model::Failure;
use source::SourceError;

/// The failure of a task for an error of the source.
pub(crate) fn from_source(error: SourceError) -> Failure {
    let (detail, after) = (error.to_string(), error.retry_after());
    match error {
        SourceError::Unavailable { .. } => Failure::Transient { detail, after },
        _ => Failure::Configuration { detail, after },
    }
}
