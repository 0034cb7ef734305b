//! The one-machine run: the three real binaries, driven by the events that AWS would send, against an S3, SQS and
//! Secrets Manager server on loopback.
