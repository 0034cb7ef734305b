//! A process group that does not outlive us.

use std::{process::Stdio, time::Duration};

use tokio::{
    io::AsyncWriteExt,
    process::{Child, ChildStdin, Command},
    time::timeout,
};

/// A small shell in a process group of its own, which others join. It reads from a pipe that we hold open, so however
/// this process ends (by SIGKILL even, where no destructor runs) the pipe closes and the shell ends its whole group.
///
/// That the group is not ours also keeps a Ctrl-C at the terminal from ending the servers before those who use them.
/// And because the shell stays in it for as long as the guard lives, the group's number cannot come to mean another
/// process.
pub(super) struct Guard {
    shell: Child,
    pipe: ChildStdin,
    group: i32,
}

/// How a group is ended when its guard is dropped.
#[derive(Debug, Clone, Copy)]
pub(super) enum Ending {
    /// SIGTERM, and SIGKILL after ten seconds.
    Gentle,
    /// SIGKILL.
    Hard,
}

impl Guard {
    /// How long a group that is ended gently has.
    pub(super) const GRACE: Duration = Duration::from_secs(10);

    /// Starts the shell.
    pub(super) fn start(ending: Ending) -> std::io::Result<Self> {
        // A line on the pipe asks for the gentle end and leaves the hard one to us; a closed pipe means that nobody is
        // left to wait, so that the shell has to.
        let script = match ending {
            Ending::Gentle => {
                r#"trap '' TERM INT HUP; read -r word; kill -TERM 0; [ -n "$word" ] || sleep 10; read -r _; kill -KILL 0"#
            }
            Ending::Hard => "trap '' TERM INT HUP; read -r _; kill -KILL 0",
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
        let gone = || std::io::Error::other("the guard's shell ended at once");
        let group = shell.id().and_then(|id| i32::try_from(id).ok()).ok_or_else(gone)?;
        let pipe = shell.stdin.take().ok_or_else(gone)?;
        Ok(Self { shell, pipe, group })
    }

    /// Makes the command's process a member of the group.
    pub(super) fn admit<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.process_group(self.group)
    }

    /// Ends the group, and returns when `member` is gone: by itself after SIGTERM, or by SIGKILL after the grace.
    /// Says whether it went by itself.
    pub(super) async fn end(mut self, member: &mut Child) -> std::io::Result<bool> {
        let asked = self.pipe.write_all(b"end\n").await;
        let gentle = asked.is_ok() && timeout(Self::GRACE, member.wait()).await.is_ok();
        drop(self.pipe);
        self.shell.wait().await?;
        member.wait().await?;
        Ok(gentle)
    }
}
