//! Errors of opening a connection to a deployment.

use std::path::PathBuf;

use super::part::Part;
use runtime::VariableError;

use local::{cloud::CloudError, ministack::MinistackError};

/// Error of opening a connection: a configuration error, never caused by an item.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    #[error(
        "no deployment is named. Name one:\n  \
         --stack NAME   the CloudFormation stack that `make deploy` created\n  \
         --local        the run that `archiver local` keeps on this machine\n  \
         variables      BUCKET, CONVERT_QUEUE_URL, IMPORT_QUEUE_URL and DEAD_LETTER_QUEUE_URL, from the stack's outputs"
    )]
    Unnamed,
    /// The environment names only some parts of a deployment.
    #[error(
        "environment variable {} is not set: {} (the stack's output {}). Set it too, or name the deployment by --stack NAME",
        .0.variable(), .0.description(), .0.output()
    )]
    Variable(Part),
    #[error(
        "stack {stack} not found in {region}, in the account of these credentials: check the name, AWS_REGION and AWS_PROFILE"
    )]
    NoStack { stack: String, region: String },
    #[error(
        "reading the stack {stack} from CloudFormation failed: {problem}. The request needs valid credentials with the \
         permission cloudformation:DescribeStacks"
    )]
    StackUnreadable { stack: String, problem: String },
    /// This build has no CloudFormation client.
    #[error("{}", crate::NO_STACKS)]
    NotBuilt,
    /// The stack is of another product or of another release, or its deployment failed.
    #[error(
        "the stack {stack} has no output {} and has the status {status}: it is not a stack of WhatsApp Archiver, its deployment \
         failed, or it is of an earlier release and `make deploy` updates it",
        .part.output()
    )]
    Output { stack: String, status: String, part: Part },
    #[error("no AWS region is set: set AWS_REGION, or AWS_PROFILE to a profile that has one")]
    NoRegion,
    #[error(
        "AWS credentials are missing. Set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; after `aws sso \
         login` or `aws login`: eval \"$(aws configure export-credentials --format env)\"\n{0}"
    )]
    NoCredentials(String),
    #[error("{} contains no one-machine run: `archiver local` creates one", .0.display())]
    NoState(PathBuf),
    /// The part exists only on AWS.
    #[error("a one-machine run has no {}", .0.variable())]
    NotLocal(Part),
    /// A variable or parameter has an invalid value.
    #[error(transparent)]
    Value(#[from] VariableError),
    /// The AWS emulator did not start or stop.
    #[error(transparent)]
    Ministack(#[from] MinistackError),
    /// A request to the AWS emulator failed.
    #[error(transparent)]
    Cloud(#[from] CloudError),
}
