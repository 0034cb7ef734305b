//! Real IMAP servers for tests: Cyrus and Courier as Debian packages them, each on its own port and in its own
//! directory.
//!
//! These packages and Dovecot's conflict with each other, so `tests/install-tools` unpacks them below `packages/`
//! instead of installing them.

mod courier;
mod cyrus;

use std::{
    io,
    net::TcpStream,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

pub use courier::{Courier, CourierOptions};
pub use cyrus::{Cyrus, CyrusOptions};

/// The account that may open every mailbox.
pub const PROXY: &str = "archiver";
/// The password of [`PROXY`].
pub const PROXY_PASSWORD: &str = "correct horse";
/// The password of every user.
const PASSWORD: &str = "own";

/// Time limit for the start of a server.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// Returns the directory into which `tests/install-tools` has unpacked a server.
fn package_directory(name: &str, program: &str) -> io::Result<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("packages").join(name).join("root");
    if root.join(program).exists() {
        Ok(root)
    } else {
        Err(io::Error::other(format!("{name} is not installed: run tests/install-tools")))
    }
}

/// Returns the search path of the libraries that were unpacked with a server.
fn library_path(root: &Path) -> io::Result<String> {
    let mut directories = vec![root.join("usr/lib")];
    for parent in ["usr/lib", "lib"] {
        let Ok(entries) = root.join(parent).read_dir() else { continue };
        for entry in entries {
            let path = entry?.path();
            // Debian's directory of an architecture: x86_64-linux-gnu.
            if path.to_string_lossy().ends_with("-linux-gnu") {
                directories.push(path);
            }
        }
    }
    let directories: Vec<_> = directories.iter().map(|path| path.to_string_lossy()).collect();
    Ok(directories.join(":"))
}

/// Waits until the port accepts connections.
fn wait_until_up(port: u16, mut has_ended: impl FnMut() -> io::Result<bool>) -> io::Result<()> {
    let started = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        if has_ended()? || started.elapsed() > START_TIMEOUT {
            return Err(io::Error::other("the server did not start"));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}
