//! The login endpoint: checks credentials and issues tokens.

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use ring::digest::{SHA256, digest};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::reply::{Rejection, Reply};

const MAX_CLOCK_SKEW_SECONDS: i64 = 300;

const MAX_ASSERTION_SECONDS: i64 = 600;

/// One application of one tenant.
pub(crate) struct Login {
    pub(crate) tenant: String,
    pub(crate) client: String,
    pub(crate) secret: Option<String>,
    pub(crate) certificate: Option<CertificateDer<'static>>,
    pub(crate) lifetime: Duration,
    /// The permissions that an administrator has granted the application in the whole tenant.
    pub(crate) roles: Vec<String>,
    tokens: HashMap<String, Instant>,
    used: HashSet<String>,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    typ: String,
    #[serde(rename = "x5t#S256")]
    thumbprint: String,
}

#[derive(Deserialize)]
struct Claims {
    aud: String,
    iss: String,
    sub: String,
    jti: String,
    nbf: i64,
    exp: i64,
}

/// The HTTP status, the OAuth error and its AADSTS code.
struct Denied(u16, &'static str, u64);

/// The scope of tokens for IMAP of Exchange Online. Graph does not accept such a token.
const EXCHANGE: &str = "https://outlook.office365.com/.default";

const WRONG_SECRET: Denied = Denied(401, "invalid_client", 7_000_215);
const WRONG_ASSERTION: Denied = Denied(401, "invalid_client", 700_027);
const MALFORMED: Denied = Denied(400, "invalid_request", 900_144);

impl Login {
    pub(crate) fn new(tenant: &str, client: &str, secret: &str) -> Self {
        Self {
            tenant: tenant.into(),
            client: client.into(),
            secret: Some(secret.into()),
            certificate: None,
            lifetime: Duration::from_secs(3599),
            roles: vec!["User.Read.All".into()],
            tokens: HashMap::new(),
            used: HashSet::new(),
        }
    }

    /// Replaces the secret with a certificate in PEM.
    pub(crate) fn set_certificate(&mut self, pem: &str) {
        self.certificate = CertificateDer::from_pem_slice(pem.as_bytes()).ok();
        self.secret = None;
    }

    pub(crate) fn revoke_tokens(&mut self) {
        self.tokens.clear();
    }

    /// Checks that the `Authorization` header holds a valid token.
    pub(crate) fn check_token(&self, authorization: Option<&str>) -> Result<(), Rejection> {
        let token = authorization.and_then(|value| value.strip_prefix("Bearer "));
        let expires = token.and_then(|token| self.tokens.get(token));
        match expires {
            Some(expires) if *expires > Instant::now() => Ok(()),
            _ => Err(Rejection(401, "InvalidAuthenticationToken")),
        }
    }

    /// Responds to a request for a token. `url` is the URL of the fake, for Graph and for the login endpoint.
    pub(crate) fn token(&mut self, tenant: &str, content_type: Option<&str>, body: &[u8], url: &str) -> Reply {
        match self.grant(tenant, content_type, body, url) {
            Ok(body) => Reply::json(200, &body),
            Err(Denied(status, error, code)) => {
                // Like Entra, the description repeats ids, which a client must not pass on.
                let body = json!({
                    "error": error,
                    "error_description": format!("AADSTS{code}: Rejected for app '{}' of contoso.", self.client),
                    "error_codes": [code],
                    "trace_id": Uuid::new_v4().to_string(),
                    "correlation_id": Uuid::new_v4().to_string(),
                });
                Reply::json(status, &body)
            }
        }
    }

    fn grant(&mut self, tenant: &str, content_type: Option<&str>, body: &[u8], url: &str) -> Result<Value, Denied> {
        if content_type != Some("application/x-www-form-urlencoded") {
            return Err(MALFORMED);
        }
        let form: Vec<_> = url::form_urlencoded::parse(body).into_owned().collect();
        let fields: HashMap<_, _> = form.iter().cloned().collect();
        let field = |name: &str| fields.get(name).map(String::as_str);
        if fields.len() != form.len() || field("grant_type") != Some("client_credentials") {
            return Err(MALFORMED);
        }
        if tenant != self.tenant {
            return Err(Denied(400, "invalid_request", 90_002));
        }
        if field("client_id") != Some(&self.client) {
            return Err(Denied(400, "unauthorized_client", 700_016));
        }
        let for_graph = field("scope") == Some(format!("{url}/.default").as_str());
        if !for_graph && field("scope") != Some(EXCHANGE) {
            return Err(Denied(400, "invalid_scope", 70_011));
        }
        match (field("client_secret"), field("client_assertion_type"), field("client_assertion")) {
            (Some(secret), None, None) if self.secret.as_deref() == Some(secret) => {}
            (Some(_), None, None) => return Err(WRONG_SECRET),
            (None, Some("urn:ietf:params:oauth:client-assertion-type:jwt-bearer"), Some(assertion)) => {
                let audience = format!("{url}/{tenant}/oauth2/v2.0/token");
                self.verify(assertion, &audience, jiff::Timestamp::now().as_second()).ok_or(WRONG_ASSERTION)?;
            }
            _ => return Err(MALFORMED),
        }
        // A JWT, as issued by Entra. Only Graph checks its signature.
        let part = |json: Value| URL_SAFE_NO_PAD.encode(json.to_string());
        let header = part(json!({"typ": "JWT", "alg": "RS256"}));
        let claims = part(json!({"aud": url, "tid": tenant, "roles": self.roles}));
        let token = format!("{header}.{claims}.{}", STANDARD.encode(Uuid::new_v4()));
        if for_graph {
            self.tokens.insert(token.clone(), Instant::now() + self.lifetime);
        }
        Ok(json!({"token_type": "Bearer", "expires_in": self.lifetime.as_secs(), "access_token": token}))
    }

    /// Checks an assertion; `None` if its signature, its audience or its time is invalid, or it was used before.
    fn verify(&mut self, assertion: &str, audience: &str, now: i64) -> Option<()> {
        let certificate = self.certificate.as_ref()?;
        let (signed, signature) = assertion.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        let header: Header = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).ok()?).ok()?;
        let claims: Claims = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()?;
        let thumbprint = URL_SAFE_NO_PAD.encode(digest(&SHA256, certificate));
        let is_in_time = claims.nbf <= now + MAX_CLOCK_SKEW_SECONDS
            && claims.exp > now - MAX_CLOCK_SKEW_SECONDS
            && claims.exp > claims.nbf
            && claims.exp - claims.nbf <= MAX_ASSERTION_SECONDS;
        let is_for_this_application = header.alg == "PS256"
            && header.typ == "JWT"
            && header.thumbprint == thumbprint
            && claims.aud == audience
            && claims.iss == self.client
            && claims.sub == self.client;
        webpki::EndEntityCert::try_from(certificate)
            .ok()?
            .verify_signature(webpki::ring::RSA_PSS_2048_8192_SHA256_LEGACY_KEY, signed.as_bytes(), &signature)
            .ok()?;
        (is_in_time && is_for_this_application && self.used.insert(claims.jti)).then_some(())
    }
}
