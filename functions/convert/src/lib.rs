//! The function that renders each item into the bucket.
