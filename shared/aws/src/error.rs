//! What a failed request to AWS means: one classification for the clients of S3, SQS and Secrets Manager.

use aws_sdk_s3::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};

/// S3's code when two conditional writes of one key meet.
pub(crate) const CONDITIONAL_CONFLICT: &str = "ConditionalRequestConflict";

/// A failed request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Failed {
    /// Whether the same request may succeed later without anybody's help. If not, the configuration is wrong.
    pub(crate) is_transient: bool,
    /// AWS's code, or what else is known. Contains nothing of a response's body.
    pub(crate) problem: String,
}

/// Classifies a failed request. A rejection with a body has a code; the response to a HEAD has only a status.
pub(crate) fn classify<E>(error: &SdkError<E>) -> Failed
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let transient = |problem: String| Failed { is_transient: true, problem };
    let rejected = |problem: String| Failed { is_transient: false, problem };
    let status = error.raw_response().map(|response| response.status().as_u16());
    match (error.code(), status) {
        (_, None) => transient(DisplayErrorContext(error).to_string()),
        (Some(code), Some(429 | 500..)) => transient(code.to_owned()),
        (Some(code), _) if is_transient(code) => transient(code.to_owned()),
        (Some(code), _) => rejected(code.to_owned()),
        (None, Some(409)) => transient(CONDITIONAL_CONFLICT.to_owned()),
        (None, Some(status @ (429 | 500..))) => transient(format!("status {status}")),
        (None, Some(status @ 400..)) => rejected(format!("status {status}")),
        // The SDK's own text would quote the response, and a message or a secret with it.
        (None, Some(status)) => transient(format!("unreadable response of status {status}")),
    }
}

/// Throttling, time and races. KMS throttles S3 and SQS with codes of its own; `OverLimit` is SQS's for too many messages in
/// flight.
fn is_transient(code: &str) -> bool {
    matches!(
        code,
        "SlowDown"
            | "RequestTimeout"
            | "RequestTimeTooSkewed"
            | "OperationAborted"
            | "OverLimit"
            | CONDITIONAL_CONFLICT
    ) || code.contains("Throttl")
}

#[cfg(test)]
mod tests {
    use aws_sdk_s3::{
        config::http::HttpResponse, error::ErrorMetadata, operation::put_object::PutObjectError, primitives::SdkBody,
    };

    use super::*;

    fn failed(status: u16, code: Option<&str>) -> Failed {
        let mut metadata = ErrorMetadata::builder();
        if let Some(code) = code {
            metadata = metadata.code(code);
        }
        let response = HttpResponse::new(status.try_into().unwrap(), SdkBody::from("<secret>"));
        classify(&SdkError::service_error(PutObjectError::generic(metadata.build()), response))
    }

    #[test]
    fn throttling_and_races_are_transient() {
        for (status, code) in [
            (503, Some("SlowDown")),
            (500, Some("InternalError")),
            (502, None),
            (400, Some("RequestTimeout")),
            (400, Some("ThrottlingException")),
            (400, Some("KMS.ThrottlingException")),
            (400, Some("Throttling")),
            (403, Some("OverLimit")),
            (429, None),
            (429, Some("TooManyRequests")),
            (409, Some("ConditionalRequestConflict")),
            (409, Some("OperationAborted")),
            (409, None),
            (200, None),
        ] {
            assert!(failed(status, code).is_transient, "{status} {code:?}");
        }
    }

    #[test]
    fn rejection_is_a_configuration_error() {
        for (status, code) in [
            (403, Some("AccessDenied")),
            (404, Some("NoSuchBucket")),
            (403, None),
            (400, Some("KMS.DisabledException")),
            (400, Some("AWS.SimpleQueueService.NonExistentQueue")),
            (400, Some("ResourceNotFoundException")),
            (400, Some("DecryptionFailure")),
        ] {
            let failed = failed(status, code);
            assert!(!failed.is_transient && !failed.problem.contains("secret"), "{status} {code:?} {failed:?}");
        }
    }
}
