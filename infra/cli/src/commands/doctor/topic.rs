//! Checks the topic of AWS End User Messaging Social: the queue's subscription, and who may publish.
//!
//! Three requests to SNS, signed with what the SDKs sign with; SNS responds in XML.

use std::collections::HashMap;

use aws::{
    SdkConfig,
    signed::{Service, endpoint, sign_post},
};
use http_client::{Http, read};
use quick_xml::{Reader, events::Event};
use serde_json::Value;

use super::{finding::Finding, remedies::RECREATE};

const SUBSCRIPTION: &str = "topic's subscription";
const POLICY: &str = "topic's policy";

const SNS: Service = Service { name: "sns", id: "SNS" };
const FORM: &str = "application/x-www-form-urlencoded";

/// The service that publishes.
const PUBLISHER: &str = "social-messaging.amazonaws.com";

/// Pages of a hundred subscriptions.
const MAX_PAGES: usize = 20;

const RESPONSE_MAX_BYTES: usize = 1 << 20;

/// Checks the topic. `queue` is the ARN of receive's queue.
pub(super) async fn check(config: &SdkConfig, topic: &str, queue: Option<&str>) -> Vec<Finding> {
    let sns = Sns { config, http: Http::default() };
    let subscription = match queue {
        None => Finding::skipped(SUBSCRIPTION, "not checked: it needs the receive queue"),
        Some(queue) => sns.subscription(topic, queue).await.unwrap_or_else(|problem| {
            unreadable(SUBSCRIPTION, &problem, "sns:ListSubscriptionsByTopic and sns:GetSubscriptionAttributes")
        }),
    };
    let policy = sns.policy(topic).await;
    let policy = policy.unwrap_or_else(|problem| unreadable(POLICY, &problem, "sns:GetTopicAttributes"));
    vec![subscription, policy]
}

fn unreadable(check: &'static str, problem: &str, actions: &str) -> Finding {
    Finding::warning(check, problem, format!("allow these credentials {actions} on the topic"))
}

struct Sns<'a> {
    config: &'a SdkConfig,
    http: Http,
}

/// The texts of the elements of a response: each `member`'s by the names of its elements, each `entry`'s value by its key, and
/// the token of the next page.
#[derive(Default)]
struct Response {
    members: Vec<HashMap<String, String>>,
    entries: HashMap<String, String>,
    next: Option<String>,
}

impl Sns<'_> {
    async fn subscription(&self, topic: &str, queue: &str) -> Result<Finding, String> {
        let mut next: Option<String> = None;
        for _ in 0..MAX_PAGES {
            let mut parameters = vec![("Action", "ListSubscriptionsByTopic"), ("TopicArn", topic)];
            parameters.extend(next.as_deref().map(|next| ("NextToken", next)));
            let page = self.send(&parameters).await?;
            let is_ours = |member: &&HashMap<String, String>| {
                let is = |name: &str, value: &str| member.get(name).is_some_and(|text| text == value);
                is("Protocol", "sqs") && is("Endpoint", queue)
            };
            if let Some(found) = page.members.iter().find(is_ours) {
                return self.settings(found.get("SubscriptionArn").map(String::as_str).unwrap_or_default()).await;
            }
            next = page.next;
            if next.is_none() {
                let detail = "the receive queue is not subscribed to the topic, so webhooks from AWS do not arrive";
                let remedy = format!("compare SocialTopicArn, then `make deploy`; {RECREATE}");
                return Ok(Finding::not_ok(SUBSCRIPTION, detail, remedy));
            }
        }
        let detail = format!("unknown: the receive queue is not in the first {MAX_PAGES} pages of subscriptions");
        let remedy = "look for the receive queue among the topic's subscriptions in the console of SNS";
        Ok(Finding::warning(SUBSCRIPTION, detail, remedy))
    }

    async fn settings(&self, subscription: &str) -> Result<Finding, String> {
        // Until it is confirmed, its ARN is a word.
        if !subscription.starts_with("arn:") {
            let remedy = "the owner of the topic, which is in another account, has to confirm it";
            return Ok(Finding::not_ok(SUBSCRIPTION, "the subscription is not confirmed", remedy));
        }
        let parameters = [("Action", "GetSubscriptionAttributes"), ("SubscriptionArn", subscription)];
        let attributes = self.send(&parameters).await?.entries;
        let attribute = |name: &str| attributes.get(name).map(String::as_str).filter(|value| !value.is_empty());
        let remedy = "correct the subscription as in template.yaml: it has no raw delivery and no filter";
        Ok(if attribute("PendingConfirmation") == Some("true") {
            Finding::not_ok(SUBSCRIPTION, "the subscription is not confirmed", "confirm it in the topic's account")
        } else if attribute("RawMessageDelivery") == Some("true") {
            let detail = "raw message delivery is on: every notification becomes a dead letter";
            Finding::not_ok(SUBSCRIPTION, detail, remedy)
        } else if attribute("FilterPolicy").is_some_and(|policy| policy != "{}") {
            Finding::warning(
                SUBSCRIPTION,
                "the subscription has a filter policy: notifications that do not match it are not delivered",
                remedy,
            )
        } else {
            Finding::ok(SUBSCRIPTION, "the receive queue is subscribed to the topic")
        })
    }

    async fn policy(&self, topic: &str) -> Result<Finding, String> {
        let response = self.send(&[("Action", "GetTopicAttributes"), ("TopicArn", topic)]).await?;
        let policy = response.entries.get("Policy").and_then(|policy| serde_json::from_str(policy).ok());
        let policy: Value = policy.ok_or("the topic's policy cannot be read")?;
        if lets_publish(&policy) {
            return Ok(Finding::ok(POLICY, format!("{PUBLISHER} may publish")));
        }
        let detail = format!("the topic's policy lacks a statement that allows {PUBLISHER} sns:Publish");
        let remedy = "add one: the console of AWS End User Messaging Social shows it at the event destination";
        Ok(Finding::not_ok(POLICY, detail, remedy))
    }

    async fn send(&self, parameters: &[(&str, &str)]) -> Result<Response, String> {
        let url = format!("{}/", endpoint(self.config, SNS).map_err(|error| error.to_string())?);
        let client = self.http.client().await.map_err(|error| error.to_string())?;
        let form = [&[("Version", "2010-03-31")], parameters].concat();
        let request = client.post(&url).form(&form).build().map_err(|_| "the request cannot be made")?;
        let body = request.body().and_then(|body| body.as_bytes()).unwrap_or_default();
        let headers = sign_post(self.config, SNS, &url, FORM, body).await.map_err(|error| error.to_string())?;
        let mut signed = client.post(&url).header("content-type", FORM).body(body.to_vec());
        for (name, value) in headers {
            signed = signed.header(name, value);
        }
        let response =
            read(signed.send().await, RESPONSE_MAX_BYTES).await.map_err(|error| error.reason().to_owned())?;
        if !response.status.is_success() {
            return Err(format!("SNS responded with status {}", response.status.as_u16()));
        }
        parsed(&response.body).ok_or_else(|| "the response of SNS is not XML".to_owned())
    }
}

fn parsed(xml: &[u8]) -> Option<Response> {
    let (mut response, mut path, mut key) = (Response::default(), Vec::<String>::new(), String::new());
    let mut text = String::new();
    let mut reader = Reader::from_reader(xml);
    loop {
        match reader.read_event().ok()? {
            Event::Start(start) => {
                path.push(String::from_utf8_lossy(start.local_name().as_ref()).into_owned());
                text.clear();
                if path.last()? == "member" {
                    response.members.push(HashMap::new());
                }
            }
            Event::Text(piece) => text += &piece.decode().ok()?,
            Event::CData(piece) => text += &piece.decode().ok()?,
            Event::GeneralRef(reference) => match reference.resolve_char_ref().ok()? {
                Some(character) => text.push(character),
                None => text += quick_xml::escape::resolve_predefined_entity(&reference.decode().ok()?)?,
            },
            Event::End(_) => {
                let (name, text) = (path.pop()?, std::mem::take(&mut text));
                match (path.last().map(String::as_str), name.as_str()) {
                    (Some("entry"), "key") => key = text,
                    (Some("entry"), "value") => drop(response.entries.insert(std::mem::take(&mut key), text)),
                    (Some("member"), _) => drop(response.members.last_mut()?.insert(name, text)),
                    (_, "NextToken") => response.next = Some(text).filter(|token| !token.is_empty()),
                    _ => {}
                }
            }
            Event::Eof => return path.is_empty().then_some(response),
            _ => {}
        }
    }
}

/// Returns whether a statement allows the service to publish.
fn lets_publish(policy: &Value) -> bool {
    // One value may stand for a list of one.
    let has = |value: &Value, wanted: &[&str]| {
        let one =
            |value: &Value| value.as_str().is_some_and(|text| wanted.iter().any(|is| text.eq_ignore_ascii_case(is)));
        one(value) || value.as_array().is_some_and(|values| values.iter().any(one))
    };
    let allows = |statement: &Value| {
        statement["Effect"] == "Allow"
            && (has(&statement["Principal"]["Service"], &[PUBLISHER]) || statement["Principal"] == "*")
            && has(&statement["Action"], &["sns:Publish", "sns:*", "*"])
            // The default policy allows everybody of the topic's account, which the service is not.
            && (statement["Principal"] != "*" || statement["Condition"].is_null())
    };
    let statements = &policy["Statement"];
    allows(statements) || statements.as_array().is_some_and(|statements| statements.iter().any(allows))
}

#[cfg(test)]
mod tests {
    use aws_config::{BehaviorVersion, Region};
    use aws_sdk_s3::config::{Credentials, SharedCredentialsProvider};
    use serde_json::json;

    use super::{super::finding::Verdict, *};

    /// Returns the finding about the subscription if each page of SNS has these elements.
    async fn subscription(page: &'static str) -> Finding {
        // Another test may have installed it.
        drop(rustls::crypto::ring::default_provider().install_default());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let pages = axum::Router::new().fallback(async move || format!("<R>{page}</R>"));
        let server = tokio::spawn(async move { axum::serve(listener, pages).await });
        let credentials = SharedCredentialsProvider::new(Credentials::new("a", "b", None, None, "test"));
        let config = SdkConfig::builder().behavior_version(BehaviorVersion::latest()).region(Region::new("eu-west-1"));
        let config = config.endpoint_url(url).credentials_provider(credentials).build();
        let sns = Sns { config: &config, http: Http::default() };
        let finding = sns.subscription("arn:aws:sns:eu-west-1:1:topic", "arn:q").await.unwrap();
        server.abort();
        finding
    }

    #[tokio::test]
    async fn subscription_is_missing_only_if_all_pages_were_read() {
        let finding = subscription("<member><Endpoint>arn:other</Endpoint></member>").await;
        assert_eq!(finding.verdict, Verdict::NotOk, "{finding:?}");
        let finding = subscription("<NextToken>more</NextToken>").await;
        assert!(finding.verdict == Verdict::Warning && finding.detail.starts_with("unknown"), "{finding:?}");
    }

    #[test]
    fn response_of_sns_is_read() {
        let response = parsed(
            br#"<?xml version="1.0"?><R xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><X><Subscriptions>
              <member><Protocol>sqs</Protocol><Endpoint>arn:q</Endpoint></member><member><Protocol>email</Protocol></member>
              </Subscriptions><Attributes><entry><key>Policy</key><value>{&quot;a&quot;:&#34;&amp;&#34;}</value></entry></Attributes>
              <NextToken>n</NextToken></X></R>"#,
        );
        let response = response.expect("a response");
        assert_eq!((response.members.len(), response.members[0]["Endpoint"].as_str()), (2, "arn:q"));
        assert_eq!((response.entries["Policy"].as_str(), response.next.as_deref()), (r#"{"a":"&"}"#, Some("n")));
        for broken in [&b"<R><X></R>"[..], b"<R>", b"<R>&x;</R>"] {
            assert!(parsed(broken).is_none(), "{}", String::from_utf8_lossy(broken));
        }
    }

    #[test]
    fn policy_has_to_allow_the_service_to_publish() {
        let statement = |principal: Value, action: Value, condition: Value| json!({"Statement": [{"Effect": "Allow", "Principal": principal, "Action": action, "Condition": condition}]});
        let service = json!({"Service": [PUBLISHER]});
        for (policy, lets) in [
            (
                statement(service.clone(), json!("sns:Publish"), json!({"StringEquals": {"aws:SourceAccount": "1"}})),
                true,
            ),
            (statement(service.clone(), json!(["SNS:Subscribe", "SNS:Publish"]), Value::Null), true),
            (statement(service, json!("sns:Subscribe"), Value::Null), false),
            (statement(json!({"Service": "events.amazonaws.com"}), json!("sns:Publish"), Value::Null), false),
            // The default policy of a topic.
            (
                statement(json!({"AWS": "*"}), json!("SNS:Publish"), json!({"StringEquals": {"AWS:SourceOwner": "1"}})),
                false,
            ),
            (json!({}), false),
        ] {
            assert_eq!(lets_publish(&policy), lets, "{policy}");
        }
    }
}
