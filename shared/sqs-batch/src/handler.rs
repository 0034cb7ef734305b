//! The way in from Lambda: the event is translated here, and nothing else knows of it.

use std::sync::Arc;

use aws_lambda_events::event::sqs::SqsEvent;
use jiff::Timestamp;
use lambda_runtime::{Diagnostic, LambdaEvent, service_fn};

use crate::{Batch, Invocation, Work};

impl<W: Work> Batch<W> {
    /// Works on one batch of SQS messages after another, for as long as Lambda wants.
    ///
    /// # Errors
    /// When Lambda's runtime interface cannot be spoken to. A batch that cannot be worked on ends its invocation only.
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
