//! The whole pipeline, with the real binaries.
