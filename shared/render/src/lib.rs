//! From a captured item to an RFC 5322 message, the same bytes every time.
