//! A process group that ends when this process ends.

use std::{process::Stdio, time::Duration};

use tokio::{
    io::AsyncWriteExt,
    process::{Child, ChildStdin, Command},
    time::timeout,
};

/// A process group led by a small shell, which other processes join. The shell reads from a pipe that this process holds
/// open. When this process ends, even by SIGKILL, the pipe closes and the shell ends the whole group.
///
/// Because it is a separate group, a Ctrl-C at the terminal does not end the servers before their users. The shell stays
/// in the group until this value is dropped, so the group's number cannot be reused for another process.
pub(super) struct ProcessGroup {
    shell: Child,
    pipe: ChildStdin,
    group: i32,
}

/// The way to end a group.
#[derive(Debug, Clone, Copy)]
pub(super) enum EndMethod {
    /// SIGTERM, and SIGKILL after ten seconds.
    Gentle,
    /// SIGKILL.
    Hard,
}

impl ProcessGroup {
    /// Time between SIGTERM and SIGKILL.
    pub(super) const GRACE: Duration = Duration::from_secs(10);

    /// Starts the shell.
    pub(super) fn start(ending: EndMethod) -> std::io::Result<Self> {
        // A line on the pipe requests SIGTERM, and this process waits before it closes the pipe for SIGKILL. If the pipe
        // closes without a line, this process has ended, and the shell waits instead.
        let script = match ending {
            EndMethod::Gentle => {
                r#"trap '' TERM INT HUP; read -r word; kill -TERM 0; [ -n "$word" ] || sleep 10; read -r _; kill -KILL 0"#
            }
            EndMethod::Hard => "trap '' TERM INT HUP; read -r _; kill -KILL 0",
        };
        let mut shell = Command::new("/bin/sh")
            .args(["-c", script])
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let gone = || std::io::Error::other("the shell of the process group ended at once");
        let group = shell.id().and_then(|id| i32::try_from(id).ok()).ok_or_else(gone)?;
        let pipe = shell.stdin.take().ok_or_else(gone)?;
        Ok(Self { shell, pipe, group })
    }

    /// Adds the command's process to the group.
    pub(super) fn add<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.process_group(self.group)
    }

    /// Ends the group and waits for `member`. Returns whether it ended after SIGTERM alone.
    pub(super) async fn end(mut self, member: &mut Child) -> std::io::Result<bool> {
        let requested = self.pipe.write_all(b"end\n").await;
        let gentle = requested.is_ok() && timeout(Self::GRACE, member.wait()).await.is_ok();
        drop(self.pipe);
        self.shell.wait().await?;
        member.wait().await?;
        Ok(gentle)
    }
}
