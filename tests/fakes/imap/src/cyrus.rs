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

use crate::{PASSWORD, PROXY, PROXY_PASSWORD, library_path, package, wait_until_up};

const ADMIN: &str = "admin";

/// The user id of Debian's user `nobody`, because Cyrus does not run as root.
const NOBODY: u32 = 65534;

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
    passwords: Option<Passwords>,
}

impl Cyrus {
    /// Starts a server.
    ///
    /// # Errors
    /// The server is not installed or does not start.
    pub fn start(options: &CyrusOptions) -> io::Result<Self> {
        let root = package("cyrus", "usr/lib/cyrus/bin/master")?;
        let directory = TempDir::new()?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        write_configuration(directory.path(), &root, port)?;
        let passwords = Passwords::serve(&directory.path().join("passwords"))?;
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

    /// Starts the server again, on the same port and with the same mail.
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
            // It may have ended by itself.
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

    /// Returns all messages of a folder in the order of their UIDs. Empty if the folder does not exist.
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
    if is_root { hand_over(directory) } else { Ok(()) }
}

fn hand_over(path: &Path) -> io::Result<()> {
    chown(path, Some(NOBODY), Some(NOBODY))?;
    if path.is_dir() {
        for entry in fs::read_dir(path)? {
            hand_over(&entry?.path())?;
        }
    }
    Ok(())
}

/// Checks passwords for Cyrus by the protocol of saslauthd: a request of four strings with their lengths, and one string in the
/// response.
struct Passwords {
    socket: PathBuf,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Passwords {
    fn serve(socket: &Path) -> io::Result<Self> {
        let listener = UnixListener::bind(socket)?;
        fs::set_permissions(socket, Permissions::from_mode(0o777))?;
        let ended = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&ended);
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if flag.load(Ordering::SeqCst) {
                    return;
                }
                // A server that is killed in the middle of a login hangs up.
                stream.and_then(respond).ok();
            }
        });
        Ok(Self { socket: socket.to_owned(), ended, thread: Some(thread) })
    }
}

impl Drop for Passwords {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        if UnixStream::connect(&self.socket).is_ok()
            && let Some(thread) = self.thread.take()
        {
            // A panic there is a failed login, which the test has seen.
            thread.join().ok();
        }
    }
}

fn respond(mut stream: UnixStream) -> io::Result<()> {
    let mut fields = Vec::new();
    // User, password, service, realm.
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
