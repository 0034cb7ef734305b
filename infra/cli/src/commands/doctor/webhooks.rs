//! Checks how WhatsApp's webhooks are received: the secret, the URL, and the time of the last webhook.

use std::{collections::HashMap, path::Path};

use aws::{
    s3::{Listed, Store, StoreError},
    secrets::Secrets,
};
use http_client::{Http, read};
use jiff::{SignedDuration, Timestamp};
use model::keys;
use secrecy::{ExposeSecret, SecretString};
use source::cloud_api::{DEFAULT_GRAPH_URL, History, HistoryState, histories};

use super::{
    finding::Finding,
    queues,
    remedies::{NOT_LOCAL, RECREATE},
    secret::TO_BE_FILLED_IN,
    subscription::{self, Seen},
    topic,
};
use crate::{
    commands::status::ago,
    connection::{Connection, Part},
    settings::{self, SettingsError},
};

const SETTINGS: &str = "receive's settings";
const SECRET: &str = "webhooks' secret";
const URL: &str = "webhooks' URL";
const LAST: &str = "last webhook";
const HISTORIES: &str = "histories of phones";

/// Variables of receive that select the channel of webhooks, and `SOURCE`, without which this process's own variables
/// are not used.
const VARIABLES: &[&str] = &["META_GRAPH_URL", "SOURCE", "WEBHOOK_HEADER", "WEBHOOK_SECRET_ID"];

/// The challenge of a verification request.
const CHALLENGE: &str = "1158201444";

/// Limit of a response. receive responds with a few bytes.
const RESPONSE_MAX_BYTES: usize = 4096;

/// Time without a webhook after which the alarm `webhooks-missing` is raised.
const MAX_AGE: SignedDuration = SignedDuration::from_hours(24);

/// Time after its last chunk after which a history is not in progress any more. It can be requested for 24 hours after the
/// number was connected.
const HISTORY_MAX_AGE: SignedDuration = SignedDuration::from_hours(24);

/// Number of days that are searched for the last webhook. Meta repeats a webhook for 7 days.
const DAYS_SEARCHED: i64 = 8;

/// Checks the settings, the secret, the URL, the subscriptions, the last webhook, and the histories of phones.
pub(super) async fn check(connection: &Connection, ministack: &Path, account: Option<&str>) -> Vec<Finding> {
    let variables = match settings::of(connection, Part::Receive, VARIABLES, ministack).await {
        Ok(variables) => variables,
        Err(error @ SettingsError::Function(_)) => {
            let remedy = format!("allow these credentials lambda:GetFunctionConfiguration; {RECREATE}");
            return vec![Finding::not_ok(SETTINGS, error.to_string(), remedy), last(&connection.store).await.0];
        }
        Err(error) => return vec![Finding::skipped(SETTINGS, error.to_string()), last(&connection.store).await.0],
    };
    let text = |name| variables.optional::<String>(name, "").ok().flatten();
    let (last, bodies) = last(&connection.store).await;
    let mut findings = Vec::new();
    match text("WEBHOOK_SECRET_ID") {
        None => {
            findings.push(Finding::ok(SETTINGS, "webhooks come from AWS End User Messaging Social"));
            findings.push(Finding::skipped(SECRET, "not needed: webhooks come from AWS's SNS topic"));
            findings.push(Finding::skipped(URL, "there is none with WebhookUrl=disabled"));
        }
        Some(id) => {
            let header = text("WEBHOOK_HEADER");
            findings.push(Finding::ok(
                SETTINGS,
                match &header {
                    None => "webhooks are checked by Meta's signature".to_owned(),
                    Some(header) => format!("webhooks are checked by the header {header}"),
                },
            ));
            let secret = Secrets::new(&connection.config).get(&id, "a JSON object of texts").await;
            match secret {
                Ok(secret) => {
                    let secret: HashMap<String, SecretString> = secret;
                    findings.push(filled_in(&secret, header.is_some(), &id));
                    findings.push(verified(connection, &secret).await);
                    let has_token = filled(&secret, "access_token").is_some();
                    let graph = text("META_GRAPH_URL").unwrap_or_else(|| DEFAULT_GRAPH_URL.to_owned()).parse();
                    // A provider has subscribed an app of its own, and Meta's API is not for its customers.
                    if let (None, true, Ok(graph)) = (&header, has_token, graph) {
                        let seen = Seen::of(&connection.store, bodies).await;
                        let seen = match account {
                            Some(account) => seen.only(account),
                            None => seen,
                        };
                        let secrets = Secrets::new(&connection.config);
                        let url = connection.part(Part::ReceiveUrl).ok();
                        findings.extend(subscription::check((secrets, &id), &graph, &seen, url).await);
                    }
                }
                Err(error) => {
                    findings.push(Finding::not_ok(SECRET, error.to_string(), remedy(&id)));
                    findings.push(Finding::skipped(URL, "not checked: it needs the secret"));
                }
            }
        }
    }
    if let Ok(topic) = connection.part(Part::SocialTopic) {
        let queue = match &connection.queues.receive {
            Some(url) => queues::arn(&connection.config, url).await,
            None => None,
        };
        findings.extend(topic::check(&connection.config, topic, queue.as_deref()).await);
    }
    findings.push(last);
    findings.push(phone_histories(&connection.store).await);
    findings
}

fn remedy(id: &str) -> String {
    format!(
        "aws secretsmanager put-secret-value --secret-id {id} --secret-string file://webhooks.json\n\
         webhooks.json: {{\"app_secret\": …, \"verify_token\": …, \"access_token\": …}} of Meta's app, or {{\"header_value\": …, \"access_token\": …}} of a provider. \
         Reading the secret needs secretsmanager:GetSecretValue"
    )
}

/// Returns the value of a member; `None` if it is not filled in.
fn filled<'a>(secret: &'a HashMap<String, SecretString>, member: &str) -> Option<&'a str> {
    secret
        .get(member)
        .map(|value| value.expose_secret().trim())
        .filter(|value| !value.is_empty() && *value != TO_BE_FILLED_IN)
}

fn filled_in(secret: &HashMap<String, SecretString>, by_header: bool, id: &str) -> Finding {
    let needed: &[&str] = if by_header { &["header_value"] } else { &["app_secret", "verify_token"] };
    let missing: Vec<_> = needed.iter().copied().filter(|member| filled(secret, member).is_none()).collect();
    if !missing.is_empty() {
        return Finding::not_ok(SECRET, format!("not filled in yet: {}", missing.join(", ")), remedy(id));
    }
    if filled(secret, "access_token").is_none() {
        let detail =
            "access_token is not filled in: files of messages cannot be fetched, and WhatsApp keeps them for 7 days";
        return Finding::warning(SECRET, detail, remedy(id));
    }
    Finding::ok(SECRET, format!("contains {} and an access token", needed.join(", ")))
}

/// Sends the same verification request as Meta. receive stores nothing for it.
async fn verified(connection: &Connection, secret: &HashMap<String, SecretString>) -> Finding {
    let url = match connection.part(Part::ReceiveUrl) {
        Ok(url) => url,
        Err(_) if connection.one_machine_root().is_some() => return Finding::skipped(URL, NOT_LOCAL),
        Err(error) => return Finding::skipped(URL, error.to_string()),
    };
    let Some(token) = filled(secret, "verify_token") else {
        return Finding::skipped(URL, "not checked: it needs verify_token of the secret");
    };
    let Ok(http) = Http::new() else { return Finding::skipped(URL, "not checked: TLS cannot be set up") };
    let client = match http.client().await {
        Ok(client) => client,
        Err(error) => return Finding::skipped(URL, error.to_string()),
    };
    let query = [("hub.mode", "subscribe"), ("hub.challenge", CHALLENGE), ("hub.verify_token", token)];
    let request = client.get(url).query(&query);
    let failed = |detail: String| {
        let remedy = "see the alarms receive-errors and receive-setup, and the log of receive; a new secret is read within a minute";
        Finding::not_ok(URL, detail, remedy)
    };
    match read(request.send().await, RESPONSE_MAX_BYTES).await {
        Ok(response) if response.status.as_u16() == 200 && response.body == CHALLENGE.as_bytes() => Finding::ok(
            URL,
            "responds to Meta's verification request; that Meta's app is subscribed is shown by the last webhook only",
        ),
        Ok(response) => {
            failed(format!("the URL responded to the verification request with status {}", response.status.as_u16()))
        }
        Err(error) => failed(format!("the URL did not respond to the verification request: {}", error.reason())),
    }
}

/// Checks whether the history of each phone arrived completely.
async fn phone_histories(store: &Store) -> Finding {
    match histories(store).await {
        Ok(found) => history_finding(found.complete, &found.others, Timestamp::now()),
        Err(error) => Finding::not_ok(
            HISTORIES,
            error.to_string(),
            "allow these credentials s3:ListBucket and s3:GetObject on the bucket",
        ),
    }
}

fn history_finding(complete: u64, others: &[History], now: Timestamp) -> Finding {
    if complete == 0 && others.is_empty() {
        return Finding::skipped(HISTORIES, "no phone has sent a history");
    }
    let is_incomplete = |history: &&History| matches!(history.state, HistoryState::Incomplete { .. });
    let (incomplete, declined): (Vec<_>, Vec<_>) = others.iter().partition(is_incomplete);
    let (ended, in_progress): (Vec<_>, Vec<_>) =
        incomplete.into_iter().partition(|history| now.duration_since(history.last) > HISTORY_MAX_AGE);
    let mut detail = format!(
        "{complete} complete, {} in progress, {} declined, {} incomplete",
        in_progress.len(),
        declined.len(),
        ended.len()
    );
    for history in ended.iter().take(MAX_HISTORIES) {
        let last = history.last;
        detail += &format!("\n{}: {} (last chunk {last:.0})", history.phone_number_id, history.state);
    }
    if ended.len() > MAX_HISTORIES {
        detail += "\narchiver report lists all of them";
    }
    if ended.is_empty() { Finding::ok(HISTORIES, detail) } else { Finding::warning(HISTORIES, detail, INCOMPLETE) }
}

/// Limit of histories that the finding names.
const MAX_HISTORIES: usize = 20;

const INCOMPLETE: &str = "older messages of these numbers (Meta's ids) may not be archived. Request the history again, or connect the number \
    again: see \"When the history of a phone is incomplete\" in infra/runbook/compliance.md";

/// Finds the newest body of a webhook, and the bodies of its day and of as many days before as are needed for the other
/// checks: shortly after midnight, a day has few.
async fn last(store: &Store) -> (Finding, Vec<Listed>) {
    let now = Timestamp::now();
    let mut bodies: Vec<Listed> = Vec::new();
    for days in 0..DAYS_SEARCHED {
        let prefix = keys::webhooks_day(now - SignedDuration::from_hours(24 * days));
        let listed = store.list(&prefix, |page| {
            bodies.extend(page);
            async { Ok::<_, StoreError>(()) }
        });
        if let Err(error) = listed.await {
            let remedy = "allow these credentials s3:ListBucket on the bucket";
            return (Finding::not_ok(LAST, error.to_string(), remedy), Vec::new());
        }
        if bodies.len() >= subscription::MAX_BODIES {
            break;
        }
    }
    let Some(newest) = bodies.iter().map(|body| body.last_modified).max() else {
        let detail = format!("none in the last {} days", DAYS_SEARCHED - 1);
        return (Finding::warning(LAST, detail, SUBSCRIBE), bodies);
    };
    let age = now.duration_since(newest);
    let seen = format!("{newest:.0} ({} ago)", ago(age));
    let finding = if age > MAX_AGE { Finding::warning(LAST, seen, SUBSCRIBE) } else { Finding::ok(LAST, seen) };
    (finding, bodies)
}

const SUBSCRIBE: &str = "write a message to one of the numbers. If none comes, subscribe Meta's app to the WhatsApp Business Account and to \
    its fields, or make the topic of SocialTopicArn the event destination in AWS End User Messaging Social";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::finding::Verdict;

    #[test]
    fn incomplete_history_is_a_warning_after_a_day() {
        let now: Timestamp = "2026-11-28T12:00:00Z".parse().unwrap();
        let history = |hours, state| History {
            phone_number_id: "700800900100200".to_owned(),
            state,
            last: now - SignedDuration::from_hours(hours),
        };
        let incomplete = |hours| history(hours, HistoryState::Incomplete { progress: 55, missing: Vec::new() });
        let declined = history(48, HistoryState::Declined { code: 2_593_109 });
        for (complete, others, verdict, detail) in [
            (0, vec![], Verdict::Skipped, "no phone"),
            (2, vec![declined.clone()], Verdict::Ok, "2 complete, 0 in progress, 1 declined, 0 incomplete"),
            (0, vec![incomplete(24)], Verdict::Ok, "0 complete, 1 in progress, 0 declined, 0 incomplete"),
            (
                1,
                vec![declined, incomplete(23), incomplete(25)],
                Verdict::Warning,
                "1 complete, 1 in progress, 1 declined, 1 incomplete\n\
                 700800900100200: incomplete: progress 55 % (last chunk 2026-11-27T11:00:00Z)",
            ),
        ] {
            let finding = history_finding(complete, &others, now);
            assert_eq!(finding.verdict, verdict, "{finding:?}");
            assert!(finding.detail.starts_with(detail), "{finding:?}");
            assert_eq!(finding.remedy.is_some(), verdict == Verdict::Warning);
        }
    }
}
