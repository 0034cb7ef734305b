//! Limits of the mails that are parsed. A hostile part takes 50 times its bytes in memory when it is parsed. Therefore
//! a first pass, which stores nothing, counts the lines that could be structure.

use memchr::memchr_iter;

use crate::MailError;

/// Maximum length of the header. A group of 1,024 with names and addresses takes a tenth of it.
const MAX_HEADER_BYTES: usize = 1 << 20;
/// Maximum number of lines that may be the boundary of a part.
const MAX_BOUNDARY_LINES: usize = 100_000;
/// Maximum number of lines that may be a header field of a part.
const MAX_FIELDS: usize = 500_000;
/// Maximum number of bytes outside lines of base64.
const MAX_TEXT_BYTES: usize = 24 << 20;
/// Minimum length of a line, in bytes, that counts as base64. Files have lines of 76 characters.
const MIN_BASE64_LINE_BYTES: usize = 60;

/// Returns the header of a mail, up to the first empty line.
pub(crate) fn header(mail: &[u8]) -> Result<&[u8], MailError> {
    let too_long = MailError::TooComplex { what: "the header bytes", limit: MAX_HEADER_BYTES };
    let mut begin = 0;
    for end in memchr_iter(b'\n', mail).chain(std::iter::once(mail.len())) {
        let line = mail.get(begin..end).unwrap_or_default();
        if matches!(line, b"" | b"\r") {
            let header = mail.get(..begin).unwrap_or_default();
            return if header.len() > MAX_HEADER_BYTES { Err(too_long) } else { Ok(header) };
        }
        if end > MAX_HEADER_BYTES {
            return Err(too_long);
        }
        begin = end + 1;
    }
    Ok(mail)
}

/// Checks a whole mail.
pub(crate) fn check(mail: &[u8]) -> Result<(), MailError> {
    header(mail)?;
    let (mut boundary_lines, mut fields, mut text) = (0, 0, 0);
    let mut begin = 0;
    for end in memchr_iter(b'\n', mail).chain(std::iter::once(mail.len())) {
        let line = mail.get(begin..end).unwrap_or_default();
        begin = end + 1;
        if is_base64(line) {
            continue;
        }
        text += line.len() + 1;
        boundary_lines += usize::from(line.starts_with(b"--"));
        let name = line.iter().position(|byte| !(33..=126).contains(byte) || *byte == b':');
        fields += usize::from(name.is_some_and(|at| line.get(at) == Some(&b':')));
        for (what, count, limit) in [
            ("the parts", boundary_lines, MAX_BOUNDARY_LINES),
            ("the header fields", fields, MAX_FIELDS),
            ("the text bytes", text, MAX_TEXT_BYTES),
        ] {
            if count > limit {
                return Err(MailError::TooComplex { what, limit });
            }
        }
    }
    Ok(())
}

fn is_base64(line: &[u8]) -> bool {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    line.len() >= MIN_BASE64_LINE_BYTES
        && line.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'='))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_ends_at_the_first_empty_line() {
        assert_eq!(header(b"A: b\r\nC: d\r\n\r\nbody"), Ok(&b"A: b\r\nC: d\r\n"[..]));
        assert_eq!(header(b"A: b\n\nbody"), Ok(&b"A: b\n"[..]));
        assert_eq!(header(b"A: b"), Ok(&b"A: b"[..]));
        assert_eq!(header(b""), Ok(&b""[..]));
        let long = format!("To: {}\r\n\r\nx", "a,".repeat(MAX_HEADER_BYTES / 2));
        assert!(matches!(header(long.as_bytes()), Err(MailError::TooComplex { what: "the header bytes", .. })));
    }

    #[test]
    fn structure_beyond_the_bounds_is_rejected_files_not_counted() {
        let mail = |body: String| check(format!("From: a@example.com\r\n\r\n{body}").as_bytes());
        assert_eq!(mail(format!("{}\r\n", "A".repeat(76)).repeat(1 << 19)), Ok(()), "40 MB of base64");
        for (body, says) in [
            ("--b\r\n\r\n".repeat(MAX_BOUNDARY_LINES + 1), "the parts"),
            ("a:\n".repeat(MAX_FIELDS + 1), "the header fields"),
            ("a,".repeat(MAX_TEXT_BYTES / 2), "the text bytes"),
        ] {
            assert!(matches!(mail(body), Err(MailError::TooComplex { what, .. }) if what == says), "{says}");
        }
    }
}
