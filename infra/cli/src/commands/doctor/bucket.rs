//! Checks the bucket (exists, versioned, private) and the user map in it.

use aws_sdk_s3::{
    Client,
    error::ProvideErrorMetadata,
    types::{BucketVersioningStatus, ReplicationStatus},
};

use super::{
    finding::Finding,
    remedies::{NOT_LOCAL, RECREATE},
};
use crate::{
    commands::mapping::warnings,
    connection::Connection,
    user_map::{MapInBucket, UserMapSettings},
};

pub(super) async fn reachable(connection: &Connection) -> Finding {
    const CHECK: &str = "bucket";
    let bucket = &connection.bucket;
    match Client::new(&connection.config).head_bucket().bucket(bucket).send().await {
        Ok(_) => Finding::ok(CHECK, format!("{bucket} is reachable")),
        // A response to HEAD has no body and therefore no error code.
        Err(error) => match error.raw_response().map(|response| response.status().as_u16()) {
            Some(404) => Finding::not_ok(CHECK, format!("bucket {bucket} not found"), RECREATE),
            Some(403) => Finding::not_ok(
                CHECK,
                format!("{bucket} rejects these credentials (403)"),
                "allow these credentials s3:ListBucket on the bucket, and check that the bucket belongs to this account",
            ),
            _ => Finding::error(CHECK, aws::classify(&error).problem),
        },
    }
}

pub(super) async fn versioned(connection: &Connection) -> Finding {
    const CHECK: &str = "bucket versioned";
    if connection.one_machine_root().is_some() {
        return Finding::skipped(CHECK, NOT_LOCAL);
    }
    let response = Client::new(&connection.config).get_bucket_versioning().bucket(&connection.bucket).send().await;
    match response {
        Ok(response) if response.status == Some(BucketVersioningStatus::Enabled) => {
            Finding::ok(CHECK, "overwritten objects can be restored")
        }
        Ok(_) => Finding::not_ok(
            CHECK,
            "versioning is off: overwritten objects cannot be restored",
            format!(
                "aws s3api put-bucket-versioning --bucket {} --versioning-configuration Status=Enabled",
                connection.bucket
            ),
        ),
        Err(error) => {
            Finding::not_ok(CHECK, aws::classify(&error).problem, "allow these credentials s3:GetBucketVersioning")
        }
    }
}

pub(super) async fn private(connection: &Connection) -> Finding {
    const CHECK: &str = "bucket private";
    if connection.one_machine_root().is_some() {
        return Finding::skipped(CHECK, NOT_LOCAL);
    }
    let response = Client::new(&connection.config).get_public_access_block().bucket(&connection.bucket).send().await;
    let block = match response {
        Ok(response) => response.public_access_block_configuration,
        Err(error) if error.code() == Some("NoSuchPublicAccessBlockConfiguration") => None,
        Err(error) => {
            return Finding::not_ok(
                CHECK,
                aws::classify(&error).problem,
                "allow these credentials s3:GetBucketPublicAccessBlock",
            );
        }
    };
    let all = block.is_some_and(|block| {
        [block.block_public_acls, block.block_public_policy, block.ignore_public_acls, block.restrict_public_buckets]
            .iter()
            .all(|set| *set == Some(true))
    });
    if all {
        Finding::ok(CHECK, "public access is blocked")
    } else {
        Finding::not_ok(
            CHECK,
            "a policy or an ACL could make the bucket public",
            format!(
                "aws s3api put-public-access-block --bucket {} --public-access-block-configuration \
                 BlockPublicAcls=true,IgnorePublicAcls=true,BlockPublicPolicy=true,RestrictPublicBuckets=true",
                connection.bucket
            ),
        )
    }
}

/// Checks that S3 still copies objects to the other region, by the object that each run of fetch writes; `None` if it has no
/// replication status: the bucket is not replicated, or no run has written it since it is.
pub(super) async fn replicated(connection: &Connection) -> Option<Finding> {
    let client = Client::new(&connection.config);
    let cursor = client.head_object().bucket(&connection.bucket).key(model::keys::CURSOR).send().await;
    // The other checks report that the bucket cannot be read. Before the first run there is no cursor.
    replication(cursor.ok()?.replication_status.as_ref()?)
}

fn replication(status: &ReplicationStatus) -> Option<Finding> {
    const CHECK: &str = "bucket replicated";
    match status {
        ReplicationStatus::Complete | ReplicationStatus::Completed => {
            Some(Finding::ok(CHECK, "the newest cursor is in the copy"))
        }
        ReplicationStatus::Pending => Some(Finding::warning(
            CHECK,
            "the newest cursor is not in the copy yet",
            "run doctor again in a few minutes; if this stays so, check the policy and the versioning of the copy",
        )),
        ReplicationStatus::Failed => Some(Finding::not_ok(
            CHECK,
            "S3 could not copy the newest cursor, so the copy cannot be adopted",
            "correct the policy or the versioning of the copy, then aws s3 sync the objects: S3 does not copy them again",
        )),
        // This bucket is a copy.
        _ => None,
    }
}

/// Checks the user map, read as import reads it.
pub(super) async fn user_map(connection: &Connection, settings: &UserMapSettings) -> Finding {
    const CHECK: &str = "user map";
    let MapInBucket { map, problem, can_be_confirmed } = match settings.read_as_import(&connection.store).await {
        Ok(read) => read,
        Err(error) => return Finding::error(CHECK, error),
    };
    if let Some(problem) = problem {
        let remedy = if can_be_confirmed {
            "restore the map: archiver mapping upload FILE; or if the change is intended: archiver mapping confirm"
        } else {
            "fix it, then: archiver mapping upload FILE"
        };
        return Finding::not_ok(CHECK, format!("rejected; import files nothing until it is fixed:\n{problem}"), remedy);
    }
    let Some(map) = map else {
        let key = &settings.key;
        return Finding::warning(
            CHECK,
            format!("{key} not found: recipients are resolved by the items' own e-mail property alone"),
            "if this is not intended: archiver mapping upload FILE",
        );
    };
    let warnings = warnings(&map);
    if warnings.is_empty() {
        Finding::ok(CHECK, format!("{} numbers", map.len()))
    } else {
        Finding::warning(CHECK, warnings.join("\n"), "if this is not intended: archiver mapping upload FILE")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::finding::Verdict;

    #[test]
    fn failed_replication_is_reported() {
        let status = |status| replication(&status).map(|finding| finding.verdict);
        assert_eq!(status(ReplicationStatus::Failed), Some(Verdict::NotOk));
        assert_eq!(status(ReplicationStatus::Pending), Some(Verdict::Warning));
        assert_eq!(status(ReplicationStatus::Completed), Some(Verdict::Ok));
        assert_eq!(status(ReplicationStatus::Replica), None);
    }
}
