//! The entry point for Lambda. It translates the event, so that no other module depends on Lambda.

use std::sync::Arc;

use aws_lambda_events::event::sqs::SqsEvent;
use jiff::Timestamp;
use lambda_runtime::{Diagnostic, LambdaEvent, service_fn};

use crate::{Batch, Invocation, Work};

impl<W: Work> Batch<W> {
    /// Processes batches of SQS messages until Lambda ends the process.
    ///
    /// # Errors
    /// The Runtime API is unreachable. An unreadable batch fails only its own invocation.
    pub async fn serve(self) -> Result<(), lambda_runtime::Error> {
        let batch = Arc::new(self);
        let handle = |event: LambdaEvent<SqsEvent>| {
            let batch = Arc::clone(&batch);
            async move {
                let LambdaEvent { payload, context, .. } = event;
                let function = context.env_config.function_name.clone();
                let invocation =
                    Invocation::from_lambda(function, context.request_id, context.deadline, Timestamp::now());
                batch.run(payload, &invocation).await.map_err(|error| Diagnostic {
                    error_type: "MissingMessageId".to_owned(),
                    error_message: error.to_string(),
                })
            }
        };
        lambda_runtime::run(service_fn(handle)).await
    }
}
