//! Topics of the emulator's SNS.

use anyhow::{Context, ensure};
use aws::signed::{Service, sign_post};
use harness::Pipeline;

const SNS: Service = Service { name: "sns", id: "SNS" };

/// Sends a request to the emulator's SNS. Returns the text of an element of the response.
pub(crate) async fn call_sns(
    pipeline: &Pipeline,
    parameters: &[(&str, &str)],
    element: &str,
) -> anyhow::Result<String> {
    const FORM: &str = "application/x-www-form-urlencoded";
    let config = pipeline.machine.cloud.config();
    // The process has one provider. The first test installs it, and the others get an error.
    drop(rustls::crypto::ring::default_provider().install_default());
    let client = reqwest::Client::new();
    let request = client.post(config.endpoint_url().context("no endpoint")?);
    let mut request = request.form(&[&[("Version", "2010-03-31")], parameters].concat()).build()?;
    let body = request.body().and_then(|body| body.as_bytes()).unwrap_or_default().to_vec();
    for (name, value) in sign_post(config, SNS, request.url().as_str(), FORM, &body).await? {
        request.headers_mut().insert(reqwest::header::HeaderName::try_from(name)?, value.parse()?);
    }
    let response = client.execute(request).await?;
    let (status, text) = (response.status(), response.text().await?);
    ensure!(status.is_success(), "{status}: {text}");
    let (_, rest) = text.split_once(&format!("<{element}>")).context(text.clone())?;
    Ok(rest.split_once("</").map(|(text, _)| text.to_owned()).unwrap_or_default())
}

/// Creates a topic of SNS and subscribes the queue of receive to it. Returns the ARN of the topic.
pub(crate) async fn create_topic(pipeline: &Pipeline) -> anyhow::Result<String> {
    let topic = call_sns(pipeline, &[("Action", "CreateTopic"), ("Name", "social")], "TopicArn").await?;
    let queue = pipeline.machine.resources.receive.clone().context("no queue")?.arn;
    let subscribe = [("Action", "Subscribe"), ("TopicArn", &topic), ("Protocol", "sqs"), ("Endpoint", &queue)];
    call_sns(pipeline, &subscribe, "SubscriptionArn").await?;
    Ok(topic)
}
