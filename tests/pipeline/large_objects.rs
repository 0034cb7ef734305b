//! Multipart writes and ranged reads of the store, against an S3 emulator.

use aws::s3::{Condition, MIN_PART_BYTES, PutLarge, StoreError, Written};
use bytes::Bytes;
use futures::stream;
use harness::{ItemSource, MailSystem, Pipeline};
use jiff::Timestamp;
use local::sample_source::Sample;
use model::Sha256;

const KEY: &str = "mime/2026-11-22/large.eml";

#[derive(Debug, thiserror::Error)]
enum PutError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("injected by the test")]
    Injected,
}

async fn start_pipeline() -> anyhow::Result<Pipeline> {
    Pipeline::start(ItemSource::Api(Sample::many(0, Timestamp::now())), MailSystem::Maildir(Vec::new()), &[]).await
}

/// Returns the number of multipart uploads in progress.
pub(crate) async fn count_uploads(pipeline: &Pipeline) -> anyhow::Result<usize> {
    let config = aws_sdk_s3::config::Builder::from(pipeline.machine.cloud.config()).force_path_style(true).build();
    let list = aws_sdk_s3::Client::from_conf(config).list_multipart_uploads();
    Ok(list.bucket(&pipeline.machine.resources.bucket).send().await?.uploads().len())
}

/// Returns two parts of the minimum size and one of a byte; adjacent bytes differ.
fn parts() -> Vec<Bytes> {
    let whole: Bytes = (0..=250).cycle().take(2 * MIN_PART_BYTES + 1).collect();
    vec![
        whole.slice(..MIN_PART_BYTES),
        whole.slice(MIN_PART_BYTES..2 * MIN_PART_BYTES),
        whole.slice(2 * MIN_PART_BYTES..),
    ]
}

async fn put(pipeline: &Pipeline, parts: Vec<Result<Bytes, PutError>>, sha256: Sha256) -> Result<Written, PutError> {
    let put = PutLarge { key: KEY, content_type: "message/rfc822", sha256 };
    pipeline.store.put_large(put, stream::iter(parts), Condition::Absent).await
}

#[tokio::test]
async fn multipart_object_is_complete_or_absent_and_never_replaced() -> anyhow::Result<()> {
    let pipeline = start_pipeline().await?;
    let whole = parts().concat();
    let sha256 = Sha256::of(&whole);

    let interrupted = parts().into_iter().take(2).map(Ok).chain([Err(PutError::Injected)]).collect();
    assert!(matches!(put(&pipeline, interrupted, sha256).await, Err(PutError::Injected)));
    assert_eq!(pipeline.store.find_version(KEY).await?, None);
    assert_eq!(count_uploads(&pipeline).await?, 0, "the parts of the failed upload are still stored");

    assert!(matches!(put(&pipeline, parts().into_iter().map(Ok).collect(), sha256).await?, Written::Yes(_)));
    assert_eq!(pipeline.store.read_digest(KEY).await?, Some((sha256, whole.len() as u64)));

    let other = put(&pipeline, vec![Ok(Bytes::from_static(b"other"))], Sha256::of(b"other")).await?;
    assert_eq!(other, Written::Conflict);
    assert_eq!(pipeline.store.read_digest(KEY).await?, Some((sha256, whole.len() as u64)));
    assert_eq!(count_uploads(&pipeline).await?, 0);
    Ok(())
}

#[tokio::test]
async fn range_read_is_of_the_expected_version_or_fails() -> anyhow::Result<()> {
    let pipeline = start_pipeline().await?;
    let whole = Bytes::from(parts().concat());
    let length = whole.len() as u64;
    put(&pipeline, parts().into_iter().map(Ok).collect(), Sha256::of(&whole)).await?;
    let version = pipeline.store.find_version(KEY).await?.expect("no object");
    assert_eq!(version.bytes(), length);
    for range in [0..1, 0..length, length - 1..length, 5_000_000..6_000_001] {
        let piece = pipeline.store.read_piece(&version, range.clone()).await?;
        assert!(piece == whole[usize::try_from(range.start)?..usize::try_from(range.end)?], "{range:?}");
    }
    assert_eq!(pipeline.store.read_piece(&version, length - 1..u64::MAX).await?.len(), 1);
    assert_eq!(pipeline.store.read_piece(&version, length..u64::MAX).await?.len(), 0);

    pipeline.put(KEY, "another").await?;
    assert!(matches!(pipeline.store.read_piece(&version, 0..1).await, Err(StoreError::Unavailable { .. })));
    Ok(())
}
