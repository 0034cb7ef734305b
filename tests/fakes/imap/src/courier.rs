//! Courier IMAP. Its login program reads passwords from a system-wide configuration. This module therefore handles the
//! login and then starts the real `imapd`, as any program may that has checked the password (imapd(8)).

use std::{
    fs,
    io::{self, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use dovecot::{Client, Copy};
use tempfile::TempDir;

use crate::{PASSWORD, PROXY, PROXY_PASSWORD, library_path, package_directory};

/// The capabilities in Debian's default /etc/courier/imapd.
const CAPABILITY: &str = "IMAP4rev1 UIDPLUS CHILDREN NAMESPACE THREAD=ORDEREDSUBJECT THREAD=REFERENCES SORT QUOTA IDLE";

/// Configuration of a server.
#[derive(Debug, Clone, Default)]
pub struct CourierOptions {
    /// The users that have a mailbox.
    pub users: Vec<String>,
    /// The quota of each mailbox, in bytes.
    pub quota: Option<u64>,
}

/// A running server, which ends when it is dropped.
pub struct Courier {
    shared: Arc<Shared>,
    port: u16,
    thread: Option<JoinHandle<()>>,
}

/// The state that the threads of the connections share.
struct Shared {
    directory: TempDir,
    root: PathBuf,
    options: CourierOptions,
    is_stopped: AtomicBool,
    connections: Mutex<Vec<Connection>>,
}

struct Connection {
    stream: TcpStream,
    process: Option<Child>,
}

impl Courier {
    /// Starts a server.
    ///
    /// # Errors
    /// The server is not installed or does not start.
    pub fn start(options: &CourierOptions) -> io::Result<Self> {
        let root = package_directory("courier", "usr/bin/imapd")?;
        let directory = TempDir::new()?;
        for user in &options.users {
            for part in ["cur", "new", "tmp"] {
                fs::create_dir_all(home_directory(directory.path(), user).join("Maildir").join(part))?;
            }
        }
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let shared = Arc::new(Shared {
            directory,
            root,
            options: options.clone(),
            is_stopped: AtomicBool::new(false),
            connections: Mutex::default(),
        });
        let server = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if server.is_stopped.load(Ordering::SeqCst) {
                    return;
                }
                let server = Arc::clone(&server);
                // A client that closes its connection ends no other connection.
                std::thread::spawn(move || stream.and_then(|stream| server.login(stream)).ok());
            }
        });
        Ok(Self { shared, port, thread: Some(thread) })
    }

    /// Kills all connections.
    pub fn kill(&self) {
        let mut connections = self.shared.connections.lock().unwrap_or_else(PoisonError::into_inner);
        for mut connection in connections.drain(..) {
            // The process may have ended by itself.
            if let Some(process) = &mut connection.process {
                process.kill().ok();
                process.wait().ok();
            }
            connection.stream.shutdown(Shutdown::Both).ok();
        }
    }

    /// Returns the value of `IMAP_HOST`.
    pub fn host(&self) -> String {
        format!("imap://127.0.0.1:{}", self.port)
    }

    /// Returns the port on this machine.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns all messages of a folder in the order of their UIDs, or none if the folder does not exist.
    ///
    /// # Errors
    /// The server does not respond.
    pub fn copies(&self, user: &str, folder: &str) -> io::Result<Vec<Copy>> {
        self.client(user)?.copies(&format!("INBOX.{folder}"))
    }

    /// Returns a connection of a user.
    ///
    /// # Errors
    /// The server rejects the login.
    pub fn client(&self, user: &str) -> io::Result<Client> {
        Client::connect(self.port, None, user, PASSWORD)
    }
}

impl Drop for Courier {
    fn drop(&mut self) {
        self.shared.is_stopped.store(true, Ordering::SeqCst);
        if TcpStream::connect(("127.0.0.1", self.port)).is_ok()
            && let Some(thread) = self.thread.take()
        {
            // A panic of the thread is a failed login, which the test has noticed.
            thread.join().ok();
        }
        self.kill();
    }
}

/// Returns the home directory of a user.
fn home_directory(directory: &Path, user: &str) -> PathBuf {
    directory.join(user)
}

impl Shared {
    /// Responds to the commands up to the login, and then starts Courier on the connection.
    fn login(&self, mut stream: TcpStream) -> io::Result<()> {
        stream.write_all(format!("* OK [CAPABILITY {CAPABILITY} AUTH=PLAIN] Courier-IMAP ready.\r\n").as_bytes())?;
        loop {
            let line = read_line(&mut stream)?;
            let words: Vec<_> = line.split(' ').collect();
            let [tag, command, arguments @ ..] = words.as_slice() else { continue };
            let user = match (command.to_ascii_uppercase().as_str(), arguments) {
                ("LOGIN", [user, password @ ..]) => self.authenticate(user, password.join(" ").trim_matches('"')),
                ("AUTHENTICATE", ["PLAIN"]) => {
                    stream.write_all(b"+ \r\n")?;
                    let plain = STANDARD.decode(read_line(&mut stream)?).unwrap_or_default();
                    let plain = String::from_utf8_lossy(&plain).into_owned();
                    let parts: Vec<_> = plain.split('\0').collect();
                    match parts.as_slice() {
                        // Courier's authentication library skips the authorization identity.
                        [_, user, password] => self.authenticate(user, password),
                        _ => None,
                    }
                }
                _ => {
                    stream.write_all(format!("{tag} BAD Invalid command\r\n").as_bytes())?;
                    continue;
                }
            };
            let Some(user) = user else {
                stream.write_all(format!("{tag} NO Login failed.\r\n").as_bytes())?;
                continue;
            };
            let process = self.start_imapd(&stream, tag, user)?;
            let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
            connections.push(Connection { stream, process: Some(process) });
            return Ok(());
        }
    }

    /// Returns the user whose mailbox is opened. Courier has no master users. Its user database may have an entry
    /// `<user>*archiver` for each user, with the home directory of the user.
    fn authenticate(&self, name: &str, password: &str) -> Option<&str> {
        let (mailbox, expected) = match name.split_once('*') {
            Some((mailbox, PROXY)) => (mailbox, PROXY_PASSWORD),
            Some(_) => return None,
            None if name == PROXY => (PROXY, PROXY_PASSWORD),
            None => (name, PASSWORD),
        };
        self.options.users.iter().find(|user| password == expected && *user == mailbox).map(String::as_str)
    }

    /// Starts Courier for a user, with the connection as its input and output.
    fn start_imapd(&self, stream: &TcpStream, tag: &str, user: &str) -> io::Result<Child> {
        let mut command = Command::new(self.root.join("usr/bin/imapd"));
        command.arg("Maildir").current_dir(home_directory(self.directory.path(), user)).env_clear();
        command.env("LD_LIBRARY_PATH", library_path(&self.root)?).env("PATH", "/usr/bin:/bin");
        command.env("AUTHENTICATED", user).env("IMAPLOGINTAG", tag);
        command.env("TCPREMOTEIP", "127.0.0.1").env("TCPREMOTEPORT", "0");
        command.env("IMAP_CAPABILITY", CAPABILITY).env("IMAP_KEYWORDS", "1").env("IMAP_ACL", "1");
        // The locks require a daemon that watches files of the whole system.
        command.env("IMAP_USELOCKS", "0").env("IMAP_TRASHFOLDERNAME", "Trash");
        if let Some(quota) = self.options.quota {
            command.env("MAILDIRQUOTA", format!("{quota}S"));
        }
        let (input, output) = (OwnedFd::from(stream.try_clone()?), OwnedFd::from(stream.try_clone()?));
        command.stdin(Stdio::from(input)).stdout(Stdio::from(output)).stderr(Stdio::null()).spawn()
    }
}

/// Reads exactly one line, because the bytes after it are for Courier.
fn read_line(stream: &mut TcpStream) -> io::Result<String> {
    let mut line = Vec::new();
    let mut byte = [0];
    while byte != *b"\n" {
        stream.read_exact(&mut byte)?;
        line.push(byte[0]);
    }
    Ok(String::from_utf8_lossy(&line).trim_end().to_owned())
}
