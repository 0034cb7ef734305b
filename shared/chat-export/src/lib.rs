//! Reads what a phone's Export chat writes.
