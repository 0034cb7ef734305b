//! The login endpoint: who asks is who they say, and gets a token.

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

use crate::answer::{Answer, Refused};

/// How far the clocks may be apart, in seconds.
const SKEW: i64 = 300;

/// The longest that an assertion may live, in seconds.
const LONGEST_ASSERTION: i64 = 600;

/// One application of one tenant.
pub(crate) struct Login {
    pub(crate) tenant: String,
    pub(crate) client: String,
    pub(crate) secret: Option<String>,
    pub(crate) certificate: Option<CertificateDer<'static>>,
    pub(crate) lifetime: Duration,
    /// What an administrator has granted the application in the whole tenant.
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

/// An OAuth error, its AADSTS code, and the status that goes with it.
struct Denied(u16, &'static str, u64);

/// What a token for Exchange Online's IMAP is asked for. Graph does not take it.
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

    /// Takes a certificate in PEM instead of a secret.
    pub(crate) fn set_certificate(&mut self, pem: &str) {
        self.certificate = CertificateDer::from_pem_slice(pem.as_bytes()).ok();
        self.secret = None;
    }

    pub(crate) fn revoke_tokens(&mut self) {
        self.tokens.clear();
    }

    /// Whether the `Authorization` header holds a token that is still good.
    pub(crate) fn admits(&self, authorization: Option<&str>) -> Result<(), Refused> {
        let token = authorization.and_then(|value| value.strip_prefix("Bearer "));
        let expires = token.and_then(|token| self.tokens.get(token));
        match expires {
            Some(expires) if *expires > Instant::now() => Ok(()),
            _ => Err(Refused(401, "InvalidAuthenticationToken")),
        }
    }

    /// `url` is the fake's own: of Graph, and of the login endpoint.
    pub(crate) fn token(&mut self, tenant: &str, content_type: Option<&str>, body: &[u8], url: &str) -> Answer {
        match self.grant(tenant, content_type, body, url) {
            Ok(body) => Answer::json(200, &body),
            Err(Denied(status, error, code)) => {
                // As Entra does, the description repeats ids: a client must not pass it on.
                let body = json!({
                    "error": error,
                    "error_description": format!("AADSTS{code}: Refused for app '{}' of contoso.", self.client),
                    "error_codes": [code],
                    "trace_id": Uuid::new_v4().to_string(),
                    "correlation_id": Uuid::new_v4().to_string(),
                });
                Answer::json(status, &body)
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
        // As Entra's: a JWT, whose signature is Graph's business.
        let part = |json: Value| URL_SAFE_NO_PAD.encode(json.to_string());
        let header = part(json!({"typ": "JWT", "alg": "RS256"}));
        let claims = part(json!({"aud": url, "tid": tenant, "roles": self.roles}));
        let token = format!("{header}.{claims}.{}", STANDARD.encode(Uuid::new_v4()));
        if for_graph {
            self.tokens.insert(token.clone(), Instant::now() + self.lifetime);
        }
        Ok(json!({"token_type": "Bearer", "expires_in": self.lifetime.as_secs(), "access_token": token}))
    }

    /// `None`: the assertion is not the application's, or is not for us, or not for now, or was here before.
    fn verify(&mut self, assertion: &str, audience: &str, now: i64) -> Option<()> {
        let certificate = self.certificate.as_ref()?;
        let (signed, signature) = assertion.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        let header: Header = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).ok()?).ok()?;
        let claims: Claims = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()?;
        let thumbprint = URL_SAFE_NO_PAD.encode(digest(&SHA256, certificate));
        let timely = claims.nbf <= now + SKEW
            && claims.exp > now - SKEW
            && claims.exp > claims.nbf
            && claims.exp - claims.nbf <= LONGEST_ASSERTION;
        let ours = header.alg == "PS256"
            && header.typ == "JWT"
            && header.thumbprint == thumbprint
            && claims.aud == audience
            && claims.iss == self.client
            && claims.sub == self.client;
        webpki::EndEntityCert::try_from(certificate)
            .ok()?
            .verify_signature(webpki::ring::RSA_PSS_2048_8192_SHA256_LEGACY_KEY, signed.as_bytes(), &signature)
            .ok()?;
        (timely && ours && self.used.insert(claims.jti)).then_some(())
    }
}
