//! Translates the event.

use aws_lambda_events::event::sqs::{SqsBatchResponse, SqsEvent};
use batch::{Batch, Invocation};
use jiff::Timestamp;
use lambda_runtime::{Diagnostic, LambdaEvent};

use crate::Convert;

/// Works on an SQS batch.
///
/// # Errors
/// When the event is no batch of SQS messages.
pub async fn handle(batch: &Batch<Convert>, event: LambdaEvent<SqsEvent>) -> Result<SqsBatchResponse, Diagnostic> {
    let now = Timestamp::now();
    let function = event.context.env_config.function_name.clone();
    let invocation = Invocation::from_lambda(function, event.context.request_id, event.context.deadline, now);
    batch
        .run(event.payload, &invocation)
        .await
        .map_err(|error| Diagnostic { error_type: "MissingMessageId".to_owned(), error_message: error.to_string() })
}
