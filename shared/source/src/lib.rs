//! Where items come from: the archiver's retrieval API, or chat exports in the bucket.
