//! Exports of phones, and what is read from them. One program, because each program of tests is compiled and linked by itself.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod formats;
mod locales;
mod properties;
mod readings;
mod zips;
