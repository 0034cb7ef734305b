//! Creates a certificate authority and a certificate for this machine, with the openssl that Dovecot's package
//! installs.

use std::{
    io,
    path::Path,
    process::{Command, Stdio},
};

/// Writes `ca.pem`, `server.pem` and their keys into a directory.
pub(crate) fn create(directory: &Path) -> io::Result<()> {
    let authority = ["-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=Test authority"];
    let server = [
        "-CA",
        "ca.pem",
        "-CAkey",
        "ca.key",
        "-keyout",
        "server.key",
        "-out",
        "server.pem",
        "-subj",
        "/CN=localhost",
        "-addext",
        "subjectAltName=DNS:localhost,IP:127.0.0.1",
        "-addext",
        "basicConstraints=critical,CA:FALSE",
    ];
    for arguments in [authority.as_slice(), &server] {
        let mut command = Command::new("openssl");
        command.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]);
        let status = command.args(arguments).current_dir(directory).stderr(Stdio::null()).status()?;
        if !status.success() {
            return Err(io::Error::other("openssl failed to create a certificate"));
        }
    }
    Ok(())
}
