//! Builds the function from its configuration and starts it. The Lambda function handles two kinds of events: requests
//! of the Function URL (webhooks that Meta or a provider posts), and batches of the receive queue (stored bodies, files
//! to download, and AWS's notifications).

// With optimization the compiler resolves the type of the function's whole future, which contains every request of the
// SDKs.
#![recursion_limit = "256"]

use std::sync::Arc;

use aws::{s3::Store, secrets::Secrets, sqs::Queue};
use jiff::Timestamp;
use lambda_runtime::{Diagnostic, LambdaEvent, service_fn};
use receive::{
    Event, Files, FunctionUrl, HttpResponse, InSecretsManager, METRICS, QueueIntake, Receive, Response, SecretCache,
    Settings, VARIABLES,
};
use runtime::{LogLevel, Variables};
use source::cloud_api::{AwsMedia, Capture, MediaApi, MediaFetcher, MetaMedia, SecretToken};
use sqs_batch::{Backoff, Batch, Invocation};

/// Records that are processed concurrently: a whole batch, because a record mostly waits for the network.
const CONCURRENCY: usize = 10;

/// The handlers of the two kinds of events. `function_url` is `None` if the stack has no Function URL.
struct Function {
    function_url: Option<FunctionUrl>,
    batch: Batch<Receive>,
}

#[tokio::main]
async fn main() -> Result<(), lambda_runtime::Error> {
    let variables = Variables::read(VARIABLES);
    runtime::start_log(LogLevel::read(&variables)?);
    let settings = Settings::read(&variables).inspect_err(|error| tracing::error!(%error, "start failed"))?;
    let aws = aws::load_config().await;
    let store = Store::new(&aws, settings.bucket);
    let capture = Capture::new(store.clone());
    let secrets = Secrets::new(&aws);
    let queue = Queue::new(&aws, settings.receive_queue_url);
    let meta = settings.function_url.as_ref().map(|function_url| {
        let token = Arc::new(SecretToken::new(secrets.clone(), function_url.secret_id.clone()));
        MediaFetcher::new(store.clone(), MediaApi::Meta(MetaMedia::new(settings.graph, token)))
    });
    let files = Files::new(meta, MediaFetcher::new(store, MediaApi::Aws(AwsMedia::new(&aws))));
    let function_url = settings.function_url.map(|function_url| FunctionUrl {
        secrets: SecretCache::new(InSecretsManager { secrets, id: function_url.secret_id }),
        check: function_url.check,
        intake: Arc::new(QueueIntake { capture: capture.clone(), queue: queue.clone() }),
        response_timeout: FunctionUrl::RESPONSE_TIMEOUT,
    });
    let batch = Batch {
        work: Arc::new(Receive { files, capture, payload: settings.payload, queue: queue.clone() }),
        source: queue,
        next: None,
        dead_letters: Queue::new(&aws, settings.dead_letter_queue_url),
        backoff: Backoff { base: settings.retry_base, cap: Backoff::CAP },
        concurrency: CONCURRENCY,
    };
    let function = Arc::new(Function { function_url, batch });
    let handle = |event: LambdaEvent<Event>| {
        let function = Arc::clone(&function);
        async move { function.handle(event).await }
    };
    lambda_runtime::run(service_fn(handle)).await
}

impl Function {
    async fn handle(&self, event: LambdaEvent<Event>) -> Result<Response, Diagnostic> {
        let LambdaEvent { payload, context, .. } = event;
        let name = context.env_config.function_name.clone();
        match payload {
            Event::Request(request) => {
                let response = match &self.function_url {
                    Some(function_url) => function_url.handle(&request).await,
                    None => HttpResponse { status: 404, text: "not found".to_owned() },
                };
                if let Err(error) = runtime::metrics::write(&name, METRICS.iter().chain(sqs_batch::METRICS).copied()) {
                    tracing::warn!(%error, "writing the metrics failed");
                }
                Ok(response.into())
            }
            Event::Batch(batch) => {
                let invocation = Invocation::from_lambda(name, context.request_id, context.deadline, Timestamp::now());
                let response = self.batch.run(batch, &invocation).await;
                response.map(Response::Batch).map_err(|error| failed("MissingMessageId", &error.to_string()))
            }
            Event::Unrecognized => Err(failed(
                "UnrecognizedEvent",
                "unrecognized event: expected a request of the Function URL or a batch of SQS",
            )),
        }
    }
}

fn failed(error_type: &str, message: &str) -> Diagnostic {
    Diagnostic { error_type: error_type.to_owned(), error_message: message.to_owned() }
}
