//! The login to Exchange Online: a token of the application from Entra, sent by XOAUTH2. The token comes from a fake;
//! the server that checks it is Dovecot.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use axum::{Json, Router, extract::State, routing::post};
use dovecot::{Dovecot, Options};
use graph_fake::{CLIENT_ID, CLIENT_SECRET, GraphFake, Kind, TENANT_ID};
use mailbox::{
    Attempt, MailboxError, Mailboxes,
    entra::{Application, Cloud, Credentials, EntraSecret},
    imap::{Imap, ImapLogin},
};
use serde_json::{Value, json};

use crate::support::{ADA, BOB, assert_one_copy, config, file, imap_by, message, setup};

struct SecretStore;

#[async_trait]
impl Credentials for SecretStore {
    async fn get(&self) -> Result<EntraSecret, MailboxError> {
        Ok(EntraSecret::client_secret(CLIENT_SECRET.to_owned()))
    }
}

/// The endpoint that checks tokens: the tokens that it received, and whether it accepts them.
#[derive(Clone, Default)]
struct Introspection {
    shown: Arc<Mutex<Vec<String>>>,
    refuses: Arc<Mutex<usize>>,
}

impl Introspection {
    async fn start(&self) -> String {
        async fn introspect(State(this): State<Introspection>, form: String) -> Json<Value> {
            let mut form = url::form_urlencoded::parse(form.as_bytes());
            let token = form.find(|(name, _)| name == "token").unwrap().1.into_owned();
            this.shown.lock().unwrap().push(token);
            let mut refuses = this.refuses.lock().unwrap();
            if *refuses > 0 {
                *refuses -= 1;
                return Json(json!({"active": "false", "email": ADA}));
            }
            Json(json!({"active": "true", "email": ADA}))
        }
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/introspect", listener.local_addr().unwrap());
        let router = Router::new().route("/introspect", post(introspect)).with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        url
    }
}

async fn exchange() -> (GraphFake, Introspection, Dovecot, Imap) {
    let entra = GraphFake::start().await.unwrap();
    let introspection = Introspection::default();
    let options = Options {
        users: vec![ADA.to_owned(), BOB.to_owned()],
        introspection: Some(introspection.start().await),
        ..Options::default()
    };
    let server = Dovecot::start(&options).unwrap();
    let application = Application {
        cloud: Cloud::Global,
        login_url: Some(entra.login_url().parse().unwrap()),
        tenant_id: TENANT_ID.to_owned(),
        client_id: CLIENT_ID.to_owned(),
    };
    let imap = imap_by(config(&server.host()), ImapLogin::Entra(application, Arc::new(SecretStore)));
    (entra, introspection, server, imap)
}

#[tokio::test(flavor = "multi_thread")]
async fn token_opens_the_named_mailbox_and_is_cached() {
    let (entra, introspection, server, imap) = exchange().await;
    imap.find(&ADA.parse().unwrap()).await.unwrap().unwrap();
    let message = message("1", 0);
    file(&imap, &message, Attempt::First).await.unwrap();
    assert_one_copy(&server, &message);
    assert_eq!(entra.count(Kind::Token), 1);
    assert_eq!(introspection.shown.lock().unwrap().len(), 1);
    // The server accepts the token for Ada only. The rejection for Bob does not prove that Bob has no mailbox.
    setup(&imap.find(&BOB.parse().unwrap()).await.unwrap_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn rejected_token_is_replaced_once() {
    let (entra, introspection, _server, imap) = exchange().await;
    *introspection.refuses.lock().unwrap() = 1;
    imap.find(&ADA.parse().unwrap()).await.unwrap().unwrap();
    assert_eq!(entra.count(Kind::Token), 2);
    let shown = introspection.shown.lock().unwrap().clone();
    assert!(shown.len() == 2 && shown[0] != shown[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn token_rejected_twice_is_a_configuration_error() {
    let (entra, introspection, _server, imap) = exchange().await;
    *introspection.refuses.lock().unwrap() = 100;
    setup(&imap.find(&ADA.parse().unwrap()).await.unwrap_err());
    assert_eq!(entra.count(Kind::Token), 2);
}
