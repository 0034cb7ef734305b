//! Wires the function.

// With optimisation the compiler follows the future of the whole function, every request of the SDKs in it.
#![recursion_limit = "256"]

use std::sync::Arc;

use environment::{LogLevel, Variables};
use fetch::{Fetch, Settings, VARIABLES, handler};
use lambda_runtime::{LambdaEvent, service_fn};
use queue::Queue;
use secrets::Secrets;
use serde_json::Value;
use store::Store;

#[tokio::main]
async fn main() -> Result<(), lambda_runtime::Error> {
    let variables = Variables::read(VARIABLES);
    environment::start_log(LogLevel::read(&variables)?);
    let settings = Settings::read(&variables).inspect_err(|error| tracing::error!(%error, "cannot start"))?;
    let aws = environment::aws_config().await;
    let store = Store::new(&aws, settings.bucket);
    let fetch = Arc::new(Fetch {
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
