//! Signs requests to AWS services whose SDK is not linked, with the crate that the SDKs use (Signature Version 4).

use std::time::SystemTime;

use aws_config::SdkConfig;
use aws_sdk_s3::config::ProvideCredentials;
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SigningSettings, sign},
    sign::v4::SigningParams,
};
use aws_types::service_config::ServiceConfigKey;

/// Error of signing a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// No region or no credentials: a configuration error.
    #[error("the AWS {0} is missing: check the function's role and the AWS environment variables")]
    Missing(&'static str),
    /// The credentials cannot be read now: transient.
    #[error("the AWS credentials cannot be read now")]
    Credentials,
    /// The request cannot be signed: a bug.
    #[error("the request cannot be signed")]
    Request,
}

/// A service of AWS.
#[derive(Debug, Clone, Copy)]
pub struct Service {
    /// Its name in hosts and signatures.
    pub name: &'static str,
    /// Its id in AWS's environment variables and files: `AWS_ENDPOINT_URL_<ID>`, in upper case.
    pub id: &'static str,
}

/// Returns the URL of a service in the configuration's region, or the configured endpoint. The endpoint of the service
/// takes precedence over the endpoint of all services.
///
/// # Errors
/// [`SignError::Missing`].
pub fn endpoint(config: &SdkConfig, service: Service) -> Result<String, SignError> {
    let key =
        ServiceConfigKey::builder().service_id(service.id).env("AWS_ENDPOINT_URL").profile("endpoint_url").build();
    let service_endpoint = key.ok().and_then(|key| config.service_config()?.load_config(key));
    if let Some(endpoint) = service_endpoint.as_deref().or(config.endpoint_url()) {
        return Ok(endpoint.trim_end_matches('/').to_owned());
    }
    let region = config.region().ok_or(SignError::Missing("region"))?;
    Ok(format!("https://{}.{region}.amazonaws.com", service.name))
}

/// Returns the header fields that sign a POST to a service. The signature covers the content type, so the request has
/// to send it.
///
/// # Errors
/// [`SignError`].
pub async fn sign_post(
    config: &SdkConfig,
    service: Service,
    url: &str,
    content_type: &str,
    body: &[u8],
) -> Result<Vec<(String, String)>, SignError> {
    let region = config.region().ok_or(SignError::Missing("region"))?;
    let provider = config.credentials_provider().ok_or(SignError::Missing("credentials"))?;
    let credentials = provider.provide_credentials().await.map_err(|_| SignError::Credentials)?;
    let identity = credentials.into();
    let params = SigningParams::builder()
        .identity(&identity)
        .region(region.as_ref())
        .name(service.name)
        .time(SystemTime::now())
        .settings(SigningSettings::default())
        .build()
        .map_err(|_| SignError::Request)?
        .into();
    let headers = [("content-type", content_type)].into_iter();
    let request = SignableRequest::new("POST", url, headers, SignableBody::Bytes(body));
    let request = request.map_err(|_| SignError::Request)?;
    let (signed, _) = sign(request, &params).map_err(|_| SignError::Request)?.into_parts();
    Ok(signed.headers().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
}
