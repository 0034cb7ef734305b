//! A real IMAP server for tests: Dovecot as Debian packages it, on its own port and in its own directory.

mod certificate;
mod client;
mod configuration;
mod options;

use std::{
    fs, io,
    net::{TcpListener, TcpStream},
    os::unix::{fs::chown, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

use configuration::is_root;
use options::PASSWORD;

pub use client::{Client, Copy};
pub use options::{MASTER, MASTER_PASSWORD, Options};

/// Time limit for the start of a server.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// The user id of Debian's user `nobody`. Dovecot runs as this user when the test runs as root.
const WITHOUT_MAILBOX: u32 = 65534;

/// A running server, which ends when it is dropped.
pub struct Dovecot {
    directory: TempDir,
    port: u16,
    tls: bool,
    process: Option<Child>,
}

impl Dovecot {
    /// Starts a server.
    ///
    /// # Errors
    /// Dovecot is not installed or does not start.
    pub fn start(options: &Options) -> io::Result<Self> {
        let directory = TempDir::new()?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut server = Self { directory, port, tls: options.tls, process: None };
        configuration::write(server.directory.path(), port, options)?;
        if options.tls {
            certificate::create(server.directory.path())?;
        }
        if is_root()? {
            give_to_nobody(server.directory.path())?;
        }
        server.run()?;
        Ok(server)
    }

    /// Starts the process of the server. After [`kill`](Self::kill) it has the same port and the same mail.
    ///
    /// # Errors
    /// Dovecot does not start.
    pub fn run(&mut self) -> io::Result<()> {
        let mut command = Command::new("dovecot");
        command.arg("-F").arg("-c").arg(self.directory.path().join("dovecot.conf"));
        if is_root()? {
            command.uid(WITHOUT_MAILBOX).gid(WITHOUT_MAILBOX);
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        let mut process =
            command.spawn().map_err(|_| io::Error::other("Dovecot is not installed: run tests/install-tools"))?;
        let started = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            if process.try_wait()?.is_some() || started.elapsed() > START_TIMEOUT {
                return Err(io::Error::other(format!("Dovecot does not start: {}", self.log())));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        self.process = Some(process);
        Ok(())
    }

    /// Kills the server and all its connections.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let group = format!("-{}", process.id());
            // The server may have ended by itself.
            Command::new("kill").args(["-KILL", "--", &group]).status().ok();
            process.wait().ok();
            // The child processes end later than the server and may still accept connections.
            let killed = Instant::now();
            while TcpStream::connect(("127.0.0.1", self.port)).is_ok() && killed.elapsed() < START_TIMEOUT {
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }

    /// Returns the value of `IMAP_HOST`.
    pub fn host(&self) -> String {
        if self.tls { format!("localhost:{}", self.port) } else { format!("imap://127.0.0.1:{}", self.port) }
    }

    /// Returns the port on this machine.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns the path of the certificate of the authority, in PEM, if the server uses TLS.
    pub fn authority(&self) -> Option<PathBuf> {
        self.tls.then(|| self.directory.path().join("ca.pem"))
    }

    /// Returns all messages of a folder in the order of their UIDs, or none if the folder does not exist.
    ///
    /// # Errors
    /// The server does not respond.
    pub fn copies(&self, user: &str, folder: &str) -> io::Result<Vec<Copy>> {
        self.client(user)?.copies(folder)
    }

    /// Selects a folder and runs a command. Returns the untagged lines of the response.
    ///
    /// # Errors
    /// The server does not respond or rejects the command.
    pub fn run_in(&self, user: &str, folder: &str, command: &str) -> io::Result<Vec<String>> {
        self.client(user)?.run_in(folder, command)
    }

    /// Stores a message in a folder that exists.
    ///
    /// # Errors
    /// The server rejects the message.
    pub fn put(&self, user: &str, folder: &str, message: &[u8]) -> io::Result<()> {
        self.client(user)?.append(folder, message)
    }

    /// Changes the password of the account that may open every mailbox, and waits until the server uses it for `user`'s
    /// mailbox: Dovecot reads its files once a second.
    ///
    /// # Errors
    /// The file cannot be written, or the server does not use it.
    pub fn set_master_password(&self, user: &str, password: &str) -> io::Result<()> {
        configuration::write_master(self.directory.path(), password)?;
        let (authority, master) = (self.authority(), format!("{user}*{MASTER}"));
        let changed = Instant::now();
        while let Err(error) = Client::connect(self.port, authority.as_deref(), &master, password) {
            if changed.elapsed() > START_TIMEOUT {
                return Err(error);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Returns the number of successful logins since the first start.
    pub fn logins(&self) -> usize {
        self.log().matches("Info: Login:").count()
    }

    /// Returns a connection of a user.
    ///
    /// # Errors
    /// The server rejects the login.
    pub fn client(&self, user: &str) -> io::Result<Client> {
        Client::connect(self.port, self.authority().as_deref(), user, PASSWORD)
    }

    fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Dovecot {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Changes the owner of a file or directory, with its content, to `nobody`.
fn give_to_nobody(path: &Path) -> io::Result<()> {
    chown(path, Some(WITHOUT_MAILBOX), Some(WITHOUT_MAILBOX))?;
    if path.is_dir() {
        for entry in fs::read_dir(path)? {
            give_to_nobody(&entry?.path())?;
        }
    }
    Ok(())
}
