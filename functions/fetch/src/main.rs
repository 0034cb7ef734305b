//! Builds the function from its configuration and starts it.

// The future of the whole function nests deeply.
#![recursion_limit = "256"]

use std::sync::Arc;

use aws::{s3::Store, secrets::Secrets, sqs::Queue};
use fetch::{Fetch, Settings, VARIABLES, handler};
use lambda_runtime::{LambdaEvent, service_fn};
use runtime::{LogLevel, Variables};
use serde_json::Value;

#[tokio::main]
async fn main() -> Result<(), lambda_runtime::Error> {
    let variables = Variables::read(VARIABLES);
    runtime::start_log(LogLevel::read(&variables)?);
    let settings = Settings::read(&variables).inspect_err(|error| tracing::error!(%error, "start failed"))?;
    let aws = aws::load_config().await;
    let store = Store::new(&aws, settings.bucket);
    let fetch = Arc::new(Fetch {
        source_name: settings.source.name(),
        kept_for: settings.kept_for,
        source: settings.source.connect(&store, &Secrets::new(&aws)),
        store,
        convert_queue: Queue::new(&aws, settings.convert_queue_url),
        overlap: settings.overlap,
    });
    let handle = |event: LambdaEvent<Value>| {
        let fetch = Arc::clone(&fetch);
        async move { handler::handle(&fetch, event).await }
    };
    lambda_runtime::run(service_fn(handle)).await
}
