//! A minimal function: it creates the same clients and responds.

use lambda_runtime::{LambdaEvent, service_fn};
use serde_json::Value;

#[tokio::main]
async fn main() -> Result<(), lambda_runtime::Error> {
    let aws = aws::load_config().await;
    let clients = std::sync::Arc::new((
        aws_sdk_s3::Client::new(&aws),
        aws_sdk_sqs::Client::new(&aws),
        aws_sdk_secretsmanager::Client::new(&aws),
    ));
    let handle = |event: LambdaEvent<Value>| {
        let clients = std::sync::Arc::clone(&clients);
        async move {
            // Unused code is not linked, so each service has a request behind a condition that is never true.
            if event.payload.get("ask").is_some() {
                let (s3, sqs, secrets) = &*clients;
                s3.get_object().bucket("b").key("k").send().await?;
                s3.put_object().bucket("b").key("k").send().await?;
                sqs.send_message_batch().queue_url("q").send().await?;
                secrets.get_secret_value().secret_id("s").send().await?;
            }
            Ok::<_, lambda_runtime::Error>(event.payload)
        }
    };
    lambda_runtime::run(service_fn(handle)).await
}
