//! Checks at Meta: whether webhooks of the account come here, and whether the token may use its numbers.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use aws::{
    s3::{Listed, Store},
    secrets::Secrets,
};
use cloud_api::MAX_BODY_BYTES;
use serde_json::Value;
use source::{
    SourceError,
    cloud_api::{AccessToken, DEFAULT_GRAPH_URL, GraphUrl, MetaAccount, SecretToken, SubscribedApp},
};

use super::finding::Finding;

const SUBSCRIPTION: &str = "subscription at Meta";
const NUMBERS: &str = "numbers at Meta";

/// Bodies in which ids are looked for.
pub(super) const MAX_BODIES: usize = 20;

const PERMISSION: &str =
    "give the system user's token whatsapp_business_management for this account, and compare the id of the account";

/// Meta's ids of the accounts and of the numbers of each, as webhooks contain them. No phone numbers.
#[derive(Default)]
pub(super) struct Seen(BTreeMap<String, BTreeSet<String>>);

impl Seen {
    /// Reads the newest bodies.
    pub(super) async fn of(store: &Store, mut bodies: Vec<Listed>) -> Self {
        bodies.sort_by_key(|body| std::cmp::Reverse(body.last_modified));
        let mut seen = Self::default();
        for body in bodies.iter().take(MAX_BODIES) {
            let Ok(Some(object)) = store.get(&body.key, MAX_BODY_BYTES as u64).await else { continue };
            seen.add(&serde_json::from_slice(&object.bytes).unwrap_or_default());
        }
        seen
    }

    fn add(&mut self, body: &Value) {
        for entry in body["entry"].as_array().into_iter().flatten() {
            let Some(account) = entry["id"].as_str() else { continue };
            let changes = entry["changes"].as_array().into_iter().flatten();
            let numbers = changes.filter_map(|change| change["value"]["metadata"]["phone_number_id"].as_str());
            self.0.entry(account.to_owned()).or_default().extend(numbers.map(str::to_owned));
        }
    }

    /// Keeps only this account, whether a webhook names it or not.
    pub(super) fn only(mut self, account: &str) -> Self {
        let numbers = self.0.remove(account).unwrap_or_default();
        Self(BTreeMap::from([(account.to_owned(), numbers)]))
    }
}

/// Checks each account. `url` is the one that webhooks are posted to.
pub(super) async fn check(
    (secrets, secret_id): (Secrets, &str),
    graph: &GraphUrl,
    Seen(accounts): &Seen,
    url: Option<&str>,
) -> Vec<Finding> {
    if accounts.is_empty() {
        let why = "not checked: no webhook names the account yet. Name it with --business-account";
        return vec![Finding::skipped(SUBSCRIPTION, why)];
    }
    let token: Arc<dyn AccessToken> = Arc::new(SecretToken::new(secrets, secret_id.to_owned()));
    let mut findings = Vec::new();
    for (id, seen_numbers) in accounts {
        let Some(account) = MetaAccount::new(graph.clone(), Arc::clone(&token), id) else {
            let detail = format!("not checked: the account's id {id:?} is not a number");
            let remedy = "name Meta's id of the account with --business-account";
            findings.push(Finding::warning(SUBSCRIPTION, detail, remedy));
            continue;
        };
        findings.push(match account.subscribed_apps().await {
            Ok(Some(apps)) => subscription(id, &apps, url),
            Ok(None) => {
                Finding::warning(SUBSCRIPTION, format!("the access token does not see the account {id}"), PERMISSION)
            }
            Err(error @ SourceError::Configuration { .. }) => {
                Finding::warning(SUBSCRIPTION, format!("account {id}: {error}"), PERMISSION)
            }
            Err(error) => Finding::warning(SUBSCRIPTION, format!("account {id}: {error}"), "run doctor again"),
        });
        findings.push(numbers(id, &account, seen_numbers).await);
    }
    findings
}

fn subscription(account: &str, apps: &[SubscribedApp], url: Option<&str>) -> Finding {
    let ids: Vec<_> = apps.iter().map(|app| app.id.as_str()).collect();
    let ids = ids.join(", ");
    let same = |given: &str| url.is_some_and(|url| given.trim_end_matches('/') == url.trim_end_matches('/'));
    let overrides = || apps.iter().filter_map(|app| app.override_url.as_deref());
    if apps.is_empty() {
        let remedy =
            format!("subscribe the app: POST {DEFAULT_GRAPH_URL}/{account}/subscribed_apps with the access token");
        let detail = format!("the account {account} lacks a subscribed app, so Meta does not send webhooks");
        Finding::not_ok(SUBSCRIPTION, detail, remedy)
    } else if overrides().any(same) {
        Finding::ok(SUBSCRIPTION, format!("the webhooks of account {account} go to the stack's URL (apps: {ids})"))
    } else if overrides().count() == apps.len() {
        let remedy = "set the override URL of one of the apps to the stack's, or subscribe another app";
        Finding::not_ok(
            SUBSCRIPTION,
            format!("the webhooks of account {account} go to other URLs (apps: {ids})"),
            remedy,
        )
    } else {
        Finding::ok(
            SUBSCRIPTION,
            format!(
                "account {account} is subscribed (apps: {ids}); the URL of an app without an override is shown only in its \
                 settings at Meta"
            ),
        )
    }
}

async fn numbers(id: &str, account: &MetaAccount, numbers: &BTreeSet<String>) -> Finding {
    if numbers.is_empty() {
        return Finding::skipped(NUMBERS, format!("not checked: no webhook names a number of account {id} yet"));
    }
    let remedy = "give the system user's token whatsapp_business_messaging for the account: otherwise files cannot be fetched, \
        and WhatsApp keeps them for 7 days";
    let mut unusable = Vec::new();
    for number in numbers {
        match account.may_use(number).await {
            Ok(true) => {}
            Ok(false) => unusable.push(number.as_str()),
            Err(error @ SourceError::Configuration { .. }) => {
                return Finding::not_ok(NUMBERS, format!("account {id}: {error}"), remedy);
            }
            Err(error) => return Finding::warning(NUMBERS, format!("account {id}: {error}"), "run doctor again"),
        }
    }
    if unusable.is_empty() {
        return Finding::ok(
            NUMBERS,
            format!("the access token may use all {} numbers of account {id} in the last webhooks", numbers.len()),
        );
    }
    let detail =
        format!("the access token may not use these numbers of account {id} (Meta's ids): {}", unusable.join(", "));
    Finding::not_ok(NUMBERS, detail, remedy)
}

#[cfg(test)]
mod tests {
    use aws_config::{BehaviorVersion, SdkConfig};
    use serde_json::json;

    use super::*;
    use crate::commands::doctor::finding::Verdict;

    #[test]
    fn subscription_is_judged_by_apps_and_override_urls() {
        const OURS: &str = "https://u.lambda-url.eu-west-1.on.aws/";
        let app = |override_url: Option<&str>| SubscribedApp {
            id: "1".to_owned(),
            override_url: override_url.map(str::to_owned),
        };
        let (ours, other) = (app(Some("https://u.lambda-url.eu-west-1.on.aws")), app(Some("https://bot.example.com/")));
        for (apps, verdict) in [
            (vec![], Verdict::NotOk),
            (vec![other.clone()], Verdict::NotOk),
            (vec![other.clone(), ours], Verdict::Ok),
            (vec![app(None)], Verdict::Ok),
            (vec![other, app(None)], Verdict::Ok),
        ] {
            assert_eq!(subscription("9", &apps, Some(OURS)).verdict, verdict, "{apps:?}");
        }
    }
    #[test]
    fn each_account_of_the_webhooks_is_seen_with_its_numbers() {
        let entry = |account: &str, number: &str| {
            let metadata = json!({"phone_number_id": number});
            json!({"id": account, "changes": [{"value": {"metadata": metadata}}]})
        };
        let mut seen = Seen::default();
        seen.add(&json!({"entry": [entry("1", "10"), entry("2", "20")]}));
        seen.add(&json!({"entry": [entry("1", "11"), {"changes": 0}]}));
        let numbers = |numbers: &[&str]| numbers.iter().map(ToString::to_string).collect::<BTreeSet<_>>();
        let all = BTreeMap::from([("1".to_owned(), numbers(&["10", "11"])), ("2".to_owned(), numbers(&["20"]))]);
        assert_eq!(seen.0, all);
        assert_eq!(seen.only("2").0, BTreeMap::from([("2".to_owned(), numbers(&["20"]))]));
        assert_eq!(Seen::default().only("3").0, BTreeMap::from([("3".to_owned(), numbers(&[]))]));
    }
    /// No request is sent: the configuration has no endpoint, region or credentials.
    #[tokio::test]
    async fn account_id_that_is_no_number_is_a_warning_with_a_remedy() {
        let config = SdkConfig::builder().behavior_version(BehaviorVersion::latest()).build();
        let graph = DEFAULT_GRAPH_URL.parse().unwrap();
        let seen = Seen::default().only("WABA");
        let findings = check((Secrets::new(&config), "secret"), &graph, &seen, None).await;
        let [finding] = &findings[..] else { panic!("{findings:?}") };
        assert_eq!(finding.verdict, Verdict::Warning);
        assert!(finding.detail.contains("WABA") && finding.remedy.is_some(), "{finding:?}");
    }
}
