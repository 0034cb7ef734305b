//! A function that executes the command in each message's body, for the tests.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "the tests read the output")]

use std::{process, time::Duration};

use aws_lambda_events::event::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
use lambda_runtime::{Error, LambdaEvent, service_fn};

#[tokio::main]
async fn main() -> Result<(), Error> {
    match variable("START").as_deref() {
        Some("refuse") => {
            eprintln!("the variable BUCKET is not set");
            process::exit(3);
        }
        Some("hang") => std::future::pending().await,
        _ => {}
    }
    lambda_runtime::run(service_fn(async |event: LambdaEvent<serde_json::Value>| {
        Ok::<_, Error>(match event.payload.get("Records") {
            Some(_) => serde_json::to_value(batch(serde_json::from_value(event.payload)?)?)?,
            None => serde_json::json!({
                "event": event.payload,
                "variable": variable("GREETING"),
                "inherited": variable("CARGO_PKG_NAME"),
                "left_ms": event.context.deadline().duration_since(std::time::SystemTime::now())?.as_millis(),
                "pid": process::id(),
            }),
        })
    }))
    .await
}

fn batch(event: SqsEvent) -> Result<SqsBatchResponse, Error> {
    let mut response = SqsBatchResponse::default();
    for message in event.records {
        execute(&message, &mut response)?;
    }
    Ok(response)
}

fn execute(message: &SqsMessage, response: &mut SqsBatchResponse) -> Result<(), Error> {
    let body = message.body.as_deref().unwrap_or_default();
    let first_time = message.attributes.get("ApproximateReceiveCount").is_some_and(|count| count == "1");
    let once = |body: &str| if first_time { body.to_owned() } else { "succeed".to_owned() };
    let command = body.strip_prefix("once ").map_or_else(|| body.to_owned(), once);
    println!("{body}");
    match command.as_str() {
        "fail" => response.add_failure(message.message_id.clone().unwrap_or_default()),
        "report an unknown id" => response.add_failure("no-such-message".to_owned()),
        "error" => return Err("commanded to fail".into()),
        "panic" => panic!("commanded to panic"),
        "exit" => process::exit(7),
        "hang" => std::thread::sleep(Duration::from_secs(3_600)),
        _ => {}
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "a test program has no settings")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
