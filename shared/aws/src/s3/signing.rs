//! Signs a request with a body digest that is already known. Otherwise the SDK would hash the body again, without
//! benefit: S3 verifies the body with the digest in both cases.

use aws_runtime::auth::PayloadSigningOverride;
use aws_sdk_s3::{
    config::{ConfigBag, Intercept, RuntimeComponents, interceptors::BeforeTransmitInterceptorContextMut},
    error::BoxError,
};
use model::Sha256;

/// The digest of a request's body.
#[derive(Debug)]
pub(crate) struct PrecomputedDigest(pub(crate) Sha256);

impl Intercept for PrecomputedDigest {
    fn name(&self) -> &'static str {
        "PrecomputedDigest"
    }

    fn modify_before_signing(
        &self,
        _context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _components: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let Self(digest) = self;
        config.interceptor_state().store_put(PayloadSigningOverride::Precomputed(digest.to_string()));
        Ok(())
    }
}
