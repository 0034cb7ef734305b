//! Texts that several checks share.

/// Reason for skipping a check that needs AWS.
pub(super) const NOT_LOCAL: &str = "not checked in a one-machine run";

/// Remedy for a missing resource.
pub(super) const RECREATE: &str = "if it was deleted, CloudFormation does not create it again by itself: `aws cloudformation \
    detect-stack-drift` lists what else is missing; create it as in template.yaml, under the same name";
