//! The bucket: there, versioned, private. And the user map in it.

use aws_sdk_s3::{
    Client,
    error::{DisplayErrorContext, ProvideErrorMetadata, SdkError},
    types::BucketVersioningStatus,
};

use super::{GONE, NOT_LOCAL, finding::Finding};
use crate::{commands::mapping::suspicions, connection::Connection, user_map::UserMapSettings};

pub(super) async fn reachable(connection: &Connection) -> Finding {
    const CHECK: &str = "bucket";
    let bucket = &connection.bucket;
    match Client::new(&connection.config).head_bucket().bucket(bucket).send().await {
        Ok(_) => Finding::ok(CHECK, format!("{bucket} answers")),
        // An answer to HEAD has no body, and so no code.
        Err(error) => match error.raw_response().map(|response| response.status().as_u16()) {
            Some(404) => Finding::not_ok(CHECK, format!("there is no bucket {bucket}"), GONE),
            Some(403) => Finding::not_ok(
                CHECK,
                format!("{bucket} refuses these credentials (403)"),
                "allow them s3:ListBucket on the bucket, and look whether it is this account's",
            ),
            _ => Finding::error(CHECK, problem(&error)),
        },
    }
}

pub(super) async fn versioned(connection: &Connection) -> Finding {
    const CHECK: &str = "bucket versioned";
    if connection.one_machine_root().is_some() {
        return Finding::skipped(CHECK, NOT_LOCAL);
    }
    let asked = Client::new(&connection.config).get_bucket_versioning().bucket(&connection.bucket).send().await;
    match asked {
        Ok(answer) if answer.status == Some(BucketVersioningStatus::Enabled) => {
            Finding::ok(CHECK, "what is written over can be had again")
        }
        Ok(_) => Finding::not_ok(
            CHECK,
            "versioning is off: what is written over is gone",
            format!(
                "aws s3api put-bucket-versioning --bucket {} --versioning-configuration Status=Enabled",
                connection.bucket
            ),
        ),
        Err(error) => Finding::not_ok(CHECK, problem(&error), "allow these credentials s3:GetBucketVersioning"),
    }
}

pub(super) async fn private(connection: &Connection) -> Finding {
    const CHECK: &str = "bucket private";
    if connection.one_machine_root().is_some() {
        return Finding::skipped(CHECK, NOT_LOCAL);
    }
    let asked = Client::new(&connection.config).get_public_access_block().bucket(&connection.bucket).send().await;
    let block = match asked {
        Ok(answer) => answer.public_access_block_configuration,
        Err(error) if error.code() == Some("NoSuchPublicAccessBlockConfiguration") => None,
        Err(error) => {
            return Finding::not_ok(CHECK, problem(&error), "allow these credentials s3:GetBucketPublicAccessBlock");
        }
    };
    let all = block.is_some_and(|block| {
        [block.block_public_acls, block.block_public_policy, block.ignore_public_acls, block.restrict_public_buckets]
            .iter()
            .all(|set| *set == Some(true))
    });
    if all {
        Finding::ok(CHECK, "no policy and no ACL can make it public")
    } else {
        Finding::not_ok(
            CHECK,
            "a policy or an ACL could make it public",
            format!(
                "aws s3api put-public-access-block --bucket {} --public-access-block-configuration \
                 BlockPublicAcls=true,IgnorePublicAcls=true,BlockPublicPolicy=true,RestrictPublicBuckets=true",
                connection.bucket
            ),
        )
    }
}

/// The user map, read as import reads it.
pub(super) async fn user_map(connection: &Connection, settings: &UserMapSettings) -> Finding {
    const CHECK: &str = "user map";
    match settings.read(&connection.store).await {
        Ok(Some(Ok(map))) => {
            let suspicions = suspicions(&map);
            if suspicions.is_empty() {
                Finding::ok(CHECK, format!("{} numbers", map.len()))
            } else {
                Finding::warning(CHECK, suspicions.join("\n"), "if that is not meant: archiver mapping upload FILE")
            }
        }
        Ok(Some(Err(problem))) => Finding::not_ok(
            CHECK,
            format!("refused, and nothing is filed until it is mended:\n{problem}"),
            "fix it, then: archiver mapping upload FILE",
        ),
        Ok(None) => {
            let key = &settings.key;
            Finding::warning(
                CHECK,
                format!("there is none at {key}: only items' own e-mail property says whose mailbox it is"),
                "if that is not meant: archiver mapping upload FILE",
            )
        }
        Err(error) => Finding::error(CHECK, error),
    }
}

fn problem<E>(error: &SdkError<E>) -> String
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    error.code().map_or_else(|| DisplayErrorContext(error).to_string(), str::to_owned)
}
