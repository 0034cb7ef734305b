//! Runs a command and measures its time and memory.

use std::{
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

/// Output and cost of a command.
pub(crate) struct MeasuredCommand {
    pub(crate) output: Output,
    pub(crate) peak_kilobytes: u64,
    /// User and system time.
    pub(crate) cpu: Duration,
    pub(crate) took: Duration,
}

/// Runs a command and samples its memory until it ends.
pub(crate) async fn run_measured(mut command: Command) -> anyhow::Result<MeasuredCommand> {
    command.stdin(Stdio::null()).stderr(Stdio::piped()).stdout(Stdio::piped());
    let began = Instant::now();
    let child = command.spawn()?;
    let (status, stat) = (format!("/proc/{}/status", child.id()), format!("/proc/{}/stat", child.id()));
    let mut ended = tokio::task::spawn_blocking(move || child.wait_with_output());
    let (mut peak_kilobytes, mut cpu) = (0, Duration::ZERO);
    let output = loop {
        // The kernel reports the peak so far, but not after the process has ended, so the last sample counts.
        if let Ok(status) = std::fs::read_to_string(&status) {
            let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
            peak_kilobytes = line.and_then(|kilobytes| kilobytes.parse().ok()).unwrap_or(peak_kilobytes);
        }
        // After the name: the 12th field is user time and the 13th system time, in hundredths of a second.
        if let Ok(stat) = std::fs::read_to_string(&stat) {
            let fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields).split(' ');
            let hundredths: u64 = fields.skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
            cpu = cpu.max(Duration::from_millis(hundredths * 10));
        }
        if let Ok(output) = tokio::time::timeout(Duration::from_millis(20), &mut ended).await {
            break output??;
        }
    };
    anyhow::ensure!(peak_kilobytes > 0, "the command ended before its memory was read");
    Ok(MeasuredCommand { output, peak_kilobytes, cpu, took: began.elapsed() })
}
