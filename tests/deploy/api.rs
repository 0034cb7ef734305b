//! The few requests to Lambda, EventBridge Scheduler, Signer and KMS that the tests make. They do not use an SDK,
//! because an SDK rejects ministack's list of event source mappings, in which a number is written as text.

use anyhow::{Context, ensure};
use local::ministack::Ministack;
use reqwest::{Client, Method};
use serde_json::{Value, json};

/// A client of the services.
pub(crate) struct Api {
    client: Client,
    endpoint: String,
}

impl Api {
    /// Creates a client of the services at an endpoint.
    pub(crate) fn at(endpoint: &str) -> anyhow::Result<Self> {
        // Another test of this process may have installed the provider already.
        drop(rustls::crypto::ring::default_provider().install_default());
        Ok(Self { client: Client::builder().no_proxy().build()?, endpoint: endpoint.to_owned() })
    }

    async fn send(&self, service: &str, method: Method, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.request(service, method, path, body, None).await
    }

    async fn request(
        &self,
        service: &str,
        method: Method,
        path: &str,
        body: &Value,
        target: Option<&str>,
    ) -> anyhow::Result<Value> {
        // ministack distinguishes services by the scope of the signature, and does not verify the signature.
        let scope = format!("Credential=local/20261122/{}/{service}/aws4_request", Ministack::REGION);
        let request = self.client.request(method, format!("{}{path}", self.endpoint)).json(body);
        let request =
            request.header("authorization", format!("AWS4-HMAC-SHA256 {scope}, SignedHeaders=host, Signature=0"));
        let request = match target {
            Some(target) => request.header("x-amz-target", target).header("content-type", "application/x-amz-json-1.1"),
            None => request,
        };
        let response = request.send().await?;
        let status = response.status();
        let failed = response.headers().contains_key("x-amz-function-error");
        let text = response.text().await?;
        ensure!(status.is_success() && !failed, "{path}: {status} {text}");
        if text.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_str(&text).with_context(|| format!("{path}: the response is not JSON: {text}"))
    }

    /// Invokes a function and waits for its response.
    pub(crate) async fn invoke(&self, function: &str, event: &Value) -> anyhow::Result<Value> {
        self.send("lambda", Method::POST, &format!("/2015-03-31/functions/{function}/invocations"), event).await
    }

    /// Returns the settings of a schedule.
    pub(crate) async fn schedule(&self, name: &str) -> anyhow::Result<Value> {
        self.send("scheduler", Method::GET, &format!("/schedules/{name}"), &Value::Null).await
    }

    /// Returns the configuration of a function.
    pub(crate) async fn function_configuration(&self, name: &str) -> anyhow::Result<Value> {
        self.send("lambda", Method::GET, &format!("/2015-03-31/functions/{name}/configuration"), &Value::Null).await
    }

    /// Returns the queue and the state of each event source mapping.
    pub(crate) async fn mappings(&self) -> anyhow::Result<Vec<(String, String)>> {
        let listed = self.send("lambda", Method::GET, "/2015-03-31/event-source-mappings/", &Value::Null).await?;
        let mappings = listed["EventSourceMappings"].as_array().context("no list of mappings")?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Ok(mappings.iter().map(|mapping| (text(&mapping["EventSourceArn"]), text(&mapping["State"]))).collect())
    }

    /// Creates a profile of AWS Signer for Lambda's code.
    pub(crate) async fn create_signing_profile(&self, name: &str) -> anyhow::Result<()> {
        let body = json!({"platformId": "AWSLambda-SHA384-ECDSA"});
        self.send("signer", Method::PUT, &format!("/signing-profiles/{name}"), &body).await.map(drop)
    }

    /// Returns the key of each object that AWS Signer has signed, and the key of the signed object.
    pub(crate) async fn signed_objects(&self) -> anyhow::Result<Vec<(String, String)>> {
        let listed = self.send("signer", Method::GET, "/signing-jobs", &Value::Null).await?;
        let jobs = listed["jobs"].as_array().context("no list of jobs")?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let keys = |job: &Value| (text(&job["source"]["s3"]["key"]), text(&job["signedObject"]["s3"]["key"]));
        Ok(jobs.iter().map(keys).collect())
    }

    /// Returns the ids of the customer-managed keys.
    pub(crate) async fn keys(&self) -> anyhow::Result<Vec<String>> {
        let listed = self.request("kms", Method::POST, "/", &json!({}), Some("TrentService.ListKeys")).await?;
        let keys = listed["Keys"].as_array().context("no list of keys")?.iter();
        Ok(keys.filter_map(|key| key["KeyId"].as_str().map(str::to_owned)).collect())
    }

    /// Returns the state of a key.
    pub(crate) async fn key_state(&self, key: &str) -> anyhow::Result<String> {
        let target = Some("TrentService.DescribeKey");
        let described = self.request("kms", Method::POST, "/", &json!({"KeyId": key}), target).await?;
        described["KeyMetadata"]["KeyState"].as_str().map(str::to_owned).context("no state")
    }

    /// Sets the concurrency of each event source mapping to the same limit as a number, and changes nothing else.
    /// CloudFormation passes parameters as text. AWS converts them to numbers; ministack keeps the text, and its poller
    /// fails to compare it with a number.
    pub(crate) async fn set_numeric_concurrency(&self) -> anyhow::Result<()> {
        let mappings = "/2015-03-31/event-source-mappings/";
        let listed = self.send("lambda", Method::GET, mappings, &Value::Null).await?;
        for mapping in listed["EventSourceMappings"].as_array().context("no list of mappings")? {
            let id = mapping["UUID"].as_str().context("a mapping without an id")?;
            let limit = mapping["ScalingConfig"]["MaximumConcurrency"].as_str();
            let Some(limit) = limit else { continue };
            let change = json!({"ScalingConfig": {"MaximumConcurrency": limit.parse::<u32>()?}});
            self.send("lambda", Method::PUT, &format!("{mappings}{id}"), &change).await?;
        }
        Ok(())
    }
}
