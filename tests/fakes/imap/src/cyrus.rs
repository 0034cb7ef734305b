//! Cyrus IMAP.

use std::{
    fs::{self, Permissions},
    io::{self, Read, Write},
    net::TcpListener,
    os::unix::{
        fs::{MetadataExt, PermissionsExt, chown},
        net::{UnixListener, UnixStream},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
};

use dovecot::{Client, Copy};
use tempfile::TempDir;

use crate::{PASSWORD, PROXY, PROXY_PASSWORD, library_path, package_directory, wait_until_up};

const ADMIN: &str = "admin";

/// The user id of Debian's user `nobody`. Cyrus runs as this user when the test runs as root.
const WITHOUT_MAILBOX: u32 = 65534;

/// Configuration of a server.
#[derive(Debug, Clone, Default)]
pub struct CyrusOptions {
    /// The users that have a mailbox.
    pub users: Vec<String>,
    /// The quota of each mailbox, in KiB.
    pub quota_kib: Option<u64>,
}

/// A running server, which ends when it is dropped.
pub struct Cyrus {
    directory: TempDir,
    root: PathBuf,
    port: u16,
    process: Option<Child>,
    passwords: Option<PasswordServer>,
}

impl Cyrus {
    /// Starts a server.
    ///
    /// # Errors
    /// The server is not installed or does not start.
    pub fn start(options: &CyrusOptions) -> io::Result<Self> {
        let root = package_directory("cyrus", "usr/lib/cyrus/bin/master")?;
        let directory = TempDir::new()?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        write_configuration(directory.path(), &root, port)?;
        let passwords = PasswordServer::start(&directory.path().join("passwords"))?;
        let mut server = Self { directory, root, port, process: None, passwords: Some(passwords) };
        server.run()?;
        let mut admin = Client::connect(port, None, ADMIN, PASSWORD)?;
        for user in &options.users {
            admin.run(&format!("CREATE \"user/{user}\""))?;
            if let Some(quota) = options.quota_kib {
                admin.run(&format!("SETQUOTA \"user/{user}\" (STORAGE {quota})"))?;
            }
        }
        Ok(server)
    }

    /// Starts the process of the server. After [`kill`](Self::kill) it has the same port and the same mail.
    ///
    /// # Errors
    /// The server does not start.
    pub fn run(&mut self) -> io::Result<()> {
        let path = self.directory.path();
        let mut command = Command::new(self.root.join("usr/lib/cyrus/bin/master"));
        command.arg("-D").arg("-C").arg(path.join("imapd.conf")).arg("-M").arg(path.join("cyrus.conf"));
        command.arg("-p").arg(path.join("master.pid")).env("LD_LIBRARY_PATH", library_path(&self.root)?);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0).current_dir(path);
        let mut process = command.spawn()?;
        wait_until_up(self.port, || Ok(process.try_wait()?.is_some()))?;
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
        self.client(user)?.copies(&format!("INBOX/{folder}"))
    }

    /// Returns a connection of a user.
    ///
    /// # Errors
    /// The server rejects the login.
    pub fn client(&self, user: &str) -> io::Result<Client> {
        Client::connect(self.port, None, user, PASSWORD)
    }

    /// Returns a connection of the administrator.
    ///
    /// # Errors
    /// The server rejects the login.
    pub fn admin(&self) -> io::Result<Client> {
        self.client(ADMIN)
    }
}

impl Drop for Cyrus {
    fn drop(&mut self) {
        self.kill();
        drop(self.passwords.take());
    }
}

fn write_configuration(directory: &Path, root: &Path, port: u16) -> io::Result<()> {
    for part in ["conf", "conf/proc", "conf/socket", "conf/log", "conf/msg", "spool"] {
        fs::create_dir(directory.join(part))?;
    }
    let is_root = fs::metadata("/proc/self")?.uid() == 0;
    let user = if is_root {
        "nobody".to_owned()
    } else {
        let output = Command::new("id").arg("-un").output()?;
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    };
    let (at, bin) = (directory.display(), root.join("usr/lib/cyrus/bin"));
    let bin = bin.display();
    fs::write(
        directory.join("imapd.conf"),
        format!(
            "configdirectory: {at}/conf\npartition-default: {at}/spool\ndefaultpartition: default\ncyrus_user: {user}\n\
             admins: {ADMIN}\nproxyservers: {PROXY}\nallowplaintext: yes\nsasl_mech_list: PLAIN\n\
             sasl_pwcheck_method: saslauthd\nsasl_saslauthd_path: {at}/passwords\n\
             unixhierarchysep: yes\naltnamespace: no\nvirtdomains: userid\ndefaultdomain: internal.example\nallowusermoves: yes\n\
             duplicatesuppression: no\nidlesocket: {at}/idle\nmaster_ready_file: {at}/ready\n"
        ),
    )?;
    fs::write(
        directory.join("cyrus.conf"),
        format!(
            "START {{\n recover cmd=\"{bin}/ctl_cyrusdb -C {at}/imapd.conf -r\"\n}}\n\
             SERVICES {{\n imap cmd=\"{bin}/imapd -C {at}/imapd.conf\" listen=\"127.0.0.1:{port}\" prefork=0\n}}\n\
             EVENTS {{\n}}\n"
        ),
    )?;
    if is_root { give_to_nobody(directory) } else { Ok(()) }
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

/// Checks passwords for Cyrus with the protocol of saslauthd: the request has four strings with their lengths, and the
/// response one.
struct PasswordServer {
    socket: PathBuf,
    is_stopped: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl PasswordServer {
    /// Starts the server on a socket.
    fn start(socket: &Path) -> io::Result<Self> {
        let listener = UnixListener::bind(socket)?;
        fs::set_permissions(socket, Permissions::from_mode(0o777))?;
        let is_stopped = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&is_stopped);
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if flag.load(Ordering::SeqCst) {
                    return;
                }
                // Cyrus closes the connection when it is killed during a login.
                stream.and_then(check_password).ok();
            }
        });
        Ok(Self { socket: socket.to_owned(), is_stopped, thread: Some(thread) })
    }
}

impl Drop for PasswordServer {
    fn drop(&mut self) {
        self.is_stopped.store(true, Ordering::SeqCst);
        if UnixStream::connect(&self.socket).is_ok()
            && let Some(thread) = self.thread.take()
        {
            // A panic of the thread is a failed login, which the test has noticed.
            thread.join().ok();
        }
    }
}

/// Reads a request and responds with `OK` or `NO`.
fn check_password(mut stream: UnixStream) -> io::Result<()> {
    let mut fields = Vec::new();
    // The fields are user, password, service and realm.
    for _ in 0..4 {
        let mut length = [0; 2];
        stream.read_exact(&mut length)?;
        let mut field = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut field)?;
        fields.push(String::from_utf8_lossy(&field).into_owned());
    }
    let password = if fields[0] == PROXY { PROXY_PASSWORD } else { PASSWORD };
    let verdict: &[u8] = if fields[1] == password { b"OK" } else { b"NO" };
    stream.write_all(&[&[0, 2], verdict].concat())
}
