//! The environment variables, read once and checked, and the log.
