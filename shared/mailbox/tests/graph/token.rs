//! Requesting, caching and renewing the token.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use graph_fake::{CLIENT_SECRET, Fault, Gate, Kind, On, Refusal};
use mailbox::{Attempt, MailboxError, Mailboxes, entra::EntraSecret};

use crate::support::{ADA, SecretStore, clock, config, file, graph, graph_with, mailbox, message, tenant};

const CERTIFICATE: &str = include_str!("certificate.pem");
const KEY: &str = include_str!("private_key.pem");

fn certificate(certificate: &str, key: &str) -> EntraSecret {
    EntraSecret::Certificate { certificate_pem: certificate.into(), private_key_pem: key.to_owned().into() }
}

fn setup(error: &MailboxError) -> &str {
    match error {
        MailboxError::Configuration { detail } => detail,
        other => panic!("not a configuration error: {other:?}"),
    }
}

#[tokio::test]
async fn token_and_secret_are_fetched_once() {
    let fake = tenant().await;
    let secrets = SecretStore::with(CLIENT_SECRET);
    let graph = graph_with(config(&fake), secrets.clone());
    assert_eq!(*secrets.requests.lock().unwrap(), 0, "nothing is fetched before it is needed");
    file(&graph, &message("1", &[]), Attempt::First).await.unwrap();
    file(&graph, &message("2", &[]), Attempt::First).await.unwrap();
    assert_eq!(fake.count(Kind::Token), 1);
    assert_eq!(*secrets.requests.lock().unwrap(), 1);
}

/// Lambda freezes the process, which may stop a monotonic clock. The fake still accepts the old token, so only the
/// clock is tested.
#[tokio::test]
async fn token_expires_by_the_wall_clock() {
    let (clock, passed) = clock();
    let fake = tenant().await;
    let mut config = config(&fake);
    config.clock = clock;
    let graph = graph_with(config, SecretStore::with(CLIENT_SECRET));
    file(&graph, &message("1", &[]), Attempt::First).await.unwrap();
    for (seconds, tokens) in [(3000, 1), (3600, 2), (3601, 2)] {
        passed.store(seconds, Ordering::Relaxed);
        file(&graph, &message(&seconds.to_string(), &[]), Attempt::First).await.unwrap();
        assert_eq!(fake.count(Kind::Token), tokens, "after {seconds} seconds");
    }
}

#[tokio::test]
async fn concurrent_requests_share_one_token() {
    let fake = tenant().await;
    let graph = graph(&fake);
    let gate = Gate::default();
    fake.fault(On::kind(Kind::Token), Fault::HoldBefore(gate.clone()));
    let address = ADA.parse().unwrap();
    let (finds, ()) = tokio::join!(futures::future::join_all((0..8).map(|_| graph.find(&address))), async {
        gate.reached(1).await;
        gate.open();
    });
    assert!(finds.iter().all(|found| found.as_ref().is_ok_and(Option::is_some)));
    assert_eq!(fake.count(Kind::Token), 1);
}

#[tokio::test]
async fn expired_token_is_renewed_before_each_request() {
    let fake = tenant().await;
    fake.set_token_lifetime(Duration::ZERO);
    let graph = graph(&fake);
    let error = graph.find(&ADA.parse().unwrap()).await.unwrap_err();
    assert!(setup(&error).contains("InvalidAuthenticationToken"));
    assert_eq!(fake.count(Kind::Token), 2, "a second token is requested after the rejection");
}

#[tokio::test]
async fn rejected_token_is_renewed_once() {
    let fake = tenant().await;
    let graph = graph(&fake);
    let ada = mailbox(&graph, ADA).await;
    fake.revoke_tokens();
    graph.file(&ada, &message("1", &[]), Attempt::First).await.unwrap();
    assert_eq!(fake.count(Kind::Token), 2);
    assert_eq!(fake.visible(ADA).len(), 1);
}

#[tokio::test]
async fn rotated_secret_is_fetched_again() {
    let fake = tenant().await;
    let secrets = SecretStore::with("old");
    let graph = graph_with(config(&fake), secrets.clone());
    fake.set_client_secret("new");
    let error = graph.find(&ADA.parse().unwrap()).await.unwrap_err();
    assert!(setup(&error).contains("AADSTS7000215"), "{error}");
    assert_eq!(
        (*secrets.requests.lock().unwrap(), fake.count(Kind::Token)),
        (2, 1),
        "the same secret is not sent twice"
    );
    *secrets.secret.lock().unwrap() = EntraSecret::client_secret("new".to_owned());
    assert!(graph.find(&ADA.parse().unwrap()).await.unwrap().is_some());
}

#[tokio::test]
async fn secret_rotated_between_two_fetches_is_accepted() {
    struct Rotating(AtomicBool);
    #[async_trait::async_trait]
    impl mailbox::entra::Credentials for Rotating {
        async fn get(&self) -> Result<EntraSecret, MailboxError> {
            let secret = if self.0.swap(true, Ordering::SeqCst) { CLIENT_SECRET } else { "previous" };
            Ok(EntraSecret::client_secret(secret.to_owned()))
        }
    }
    let fake = tenant().await;
    drop(rustls::crypto::ring::default_provider().install_default());
    let graph =
        mailbox::graph::Graph::new(config(&fake), std::sync::Arc::new(Rotating(AtomicBool::new(false)))).unwrap();
    assert!(graph.find(&ADA.parse().unwrap()).await.unwrap().is_some());
}

#[tokio::test]
async fn certificate_is_accepted_as_a_credential() {
    let fake = tenant().await;
    fake.set_certificate(CERTIFICATE);
    let graph = graph_with(config(&fake), SecretStore::new(certificate(CERTIFICATE, KEY)));
    assert!(graph.find(&ADA.parse().unwrap()).await.unwrap().is_some());
    fake.revoke_tokens();
    assert!(graph.file(&mailbox(&graph, ADA).await, &message("1", &[]), Attempt::First).await.is_ok());
    assert_eq!(fake.count(Kind::Token), 2, "each token is requested with a new assertion");
}

#[test]
fn expiry_is_read_from_the_certificate() {
    // The date that `openssl x509 -enddate` prints.
    let ends = "2126-10-29T15:45:45Z".parse().unwrap();
    assert_eq!(certificate(CERTIFICATE, KEY).expires(), Ok(Some(ends)));
    assert!(certificate("no PEM", KEY).expires().is_err());
}

#[tokio::test]
async fn unregistered_certificate_is_a_configuration_error() {
    let fake = tenant().await;
    let graph = graph_with(config(&fake), SecretStore::new(certificate(CERTIFICATE, KEY)));
    let error = graph.find(&ADA.parse().unwrap()).await.unwrap_err();
    assert!(setup(&error).contains("AADSTS700027"), "{error}");
}

#[tokio::test]
async fn invalid_secret_is_a_configuration_error() {
    let broken = KEY.replace("MII", "AAA");
    for secret in [certificate("no PEM", KEY), certificate(CERTIFICATE, "no PEM"), certificate(CERTIFICATE, &broken)] {
        let fake = tenant().await;
        let graph = graph_with(config(&fake), SecretStore::new(secret));
        let error = graph.find(&ADA.parse().unwrap()).await.unwrap_err();
        assert!(setup(&error).contains("in the secret"), "{error}");
        assert_eq!(fake.requests(), []);
    }
}

#[tokio::test]
async fn wrong_tenant_and_client_have_their_own_codes() {
    let fake = tenant().await;
    let mut tenant_wrong = config(&fake);
    tenant_wrong.tenant_id = "other.example".into();
    let mut client_wrong = config(&fake);
    client_wrong.client_id = "other".into();
    for (config, code) in [(tenant_wrong, "AADSTS90002"), (client_wrong, "AADSTS700016")] {
        let graph = graph_with(config, SecretStore::with(CLIENT_SECRET));
        let error = graph.find(&ADA.parse().unwrap()).await.unwrap_err();
        assert!(setup(&error).contains(code), "{error}");
    }
}

#[tokio::test]
async fn failed_token_request_is_retried() {
    let fake = tenant().await;
    fake.fault(On::kind(Kind::Token), Fault::Refuse(Refusal::new(503, "x")));
    fake.fault(On::kind(Kind::Token).nth(2), Fault::Reset);
    fake.fault(On::kind(Kind::Token).nth(3), Fault::Refuse(Refusal::new(429, "x").retry_after("0.001")));
    let transient = br#"{"error":"temporarily_unavailable","error_codes":[90033]}"#.to_vec();
    fake.fault(On::kind(Kind::Token).nth(4), Fault::Respond { status: 400, headers: Vec::new(), body: transient });
    assert!(graph(&fake).find(&ADA.parse().unwrap()).await.unwrap().is_some());
    assert_eq!(fake.count(Kind::Token), 5);
}

#[tokio::test]
async fn login_endpoint_outage_is_a_transient_failure() {
    let fake = tenant().await;
    fake.fault(On::kind(Kind::Token).times(1000), Fault::Refuse(Refusal::new(503, "x").retry_after("120")));
    let error = graph(&fake).find(&ADA.parse().unwrap()).await.unwrap_err();
    let MailboxError::Unavailable { retry_after, .. } = error else { panic!("{error:?}") };
    assert_eq!(retry_after, Some(Duration::from_secs(120)));
    assert_eq!(fake.requests(), [Kind::Token]);
}

#[tokio::test]
async fn waiters_share_a_failed_token_request() {
    let fake = tenant().await;
    let graph = graph(&fake);
    fake.fault(On::kind(Kind::Token).times(1000), Fault::Refuse(Refusal::new(503, "x").retry_after("120")));
    let address = ADA.parse().unwrap();
    let found = futures::future::join_all((0..8).map(|_| graph.find(&address))).await;
    for found in found {
        let error = found.unwrap_err();
        assert!(
            matches!(error, MailboxError::Unavailable { retry_after: Some(wait), .. } if wait.as_secs() == 120),
            "{error:?}"
        );
    }
    assert_eq!(fake.count(Kind::Token), 1);
    // A later call sends a new request.
    fake.clear_faults();
    assert!(graph.find(&address).await.unwrap().is_some());
}
