//! Classifies failed requests to AWS: for the clients of this crate, and for those of the command.

use aws_sdk_s3::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};

/// S3's code if two conditional writes of one key collide.
pub(crate) const CONDITIONAL_CONFLICT: &str = "ConditionalRequestConflict";

/// A failed request.
#[derive(Debug, PartialEq, Eq)]
pub struct RequestError {
    /// `true` if the same request may succeed later by itself. If not, the configuration is wrong.
    pub is_transient: bool,
    /// AWS's code, or another description. Contains nothing of a response's body.
    pub problem: String,
}

/// Classifies a failed request. A rejection with a body has a code; the response to a HEAD has only a status.
pub fn classify<E>(error: &SdkError<E>) -> RequestError
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let transient = |problem: String| RequestError { is_transient: true, problem };
    let rejected = |problem: String| RequestError { is_transient: false, problem };
    let status = error.raw_response().map(|response| response.status().as_u16());
    match (error.code(), status) {
        (_, None) => transient(DisplayErrorContext(error).to_string()),
        // S3 reports an error of a long operation in the body of a response that has begun as a success.
        (Some(code), Some(200..=299 | 429 | 500..)) => transient(code.to_owned()),
        (Some(code), _) if is_transient(code) => transient(code.to_owned()),
        (Some(code), _) => rejected(code.to_owned()),
        (None, Some(409)) => transient(CONDITIONAL_CONFLICT.to_owned()),
        (None, Some(status @ (429 | 500..))) => transient(format!("status {status}")),
        (None, Some(status @ 400..)) => rejected(format!("status {status}")),
        // The SDK's own text would quote the response, which may contain a message or a secret.
        (None, Some(status)) => transient(format!("unreadable response of status {status}")),
    }
}

/// Returns whether the code reports throttling, a timeout or a race. KMS throttles S3 and SQS with its own codes;
/// `OverLimit` is SQS's code for too many messages in flight.
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

    fn failed(status: u16, code: Option<&str>) -> RequestError {
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
            (200, Some("InternalError")),
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
