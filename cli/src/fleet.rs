//! Starting and stopping real `dunlin` processes, for the demo, the benchmark and the whole-system tests.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// A running `dunlin` process; killed when dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    name: String,
}

impl Process {
    /// Starts `binary arguments…` and writes its log to `log`.
    ///
    /// # Errors
    /// The binary cannot be started, or the log not written.
    pub fn start(binary: &Path, arguments: &[&str], log: &Path) -> Result<Self> {
        let file = std::fs::File::create(log)
            .with_context(|| format!("cannot write {}", log.display()))?;
        let child = Command::new(binary)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("cannot start {}", binary.display()))?;
        let name = arguments.first().copied().unwrap_or("dunlin").to_owned();
        Ok(Self { child, name })
    }

    /// Process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends SIGKILL: the process ends without any cleanup.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// SIGTERM, then waits for the end.
    ///
    /// # Errors
    /// The process did not end within `patience`.
    pub fn stop(&mut self, patience: Duration) -> Result<()> {
        let pid = self.child.id().to_string();
        Command::new("kill").args(["-TERM", &pid]).status().context("cannot run kill")?;
        let start = Instant::now();
        while start.elapsed() < patience {
            if self.child.try_wait()?.is_some() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        bail!("{} did not end within {patience:?} of SIGTERM", self.name)
    }

    /// True while the process runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// CPU seconds used so far, and the highest resident memory in bytes.
    #[must_use]
    pub fn usage(&self) -> (f64, u64) {
        usage_of(self.id())
    }

    /// Resets the highest resident memory, so that a new measurement starts.
    pub fn reset_peak(&self) {
        let _ = std::fs::write(format!("/proc/{}/clear_refs", self.id()), "5");
    }
}

/// CPU seconds that a process used so far, and its highest resident memory in bytes, from `/proc`.
#[must_use]
pub fn usage_of(pid: u32) -> (f64, u64) {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields: Vec<&str> = stat
        .rsplit_once(')')
        .map(|(_, rest)| rest.split_whitespace().collect())
        .unwrap_or_default();
    // utime and stime are fields 14 and 15, in ticks of 1/100 s. The split removed two fields before them.
    let ticks = |index: usize| {
        fields.get(index).and_then(|text| text.parse::<f64>().ok()).unwrap_or_default()
    };
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .and_then(|text| text.trim().trim_end_matches(" kB").trim().parse::<u64>().ok())
        .unwrap_or_default();
    ((ticks(11) + ticks(12)) / 100.0, peak * 1024)
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A gateway and its workers over one configuration file.
#[derive(Debug)]
pub struct Fleet {
    binary: PathBuf,
    config: PathBuf,
    folder: PathBuf,
    /// The gateway.
    pub gateway: Process,
    /// The gateway's address.
    pub address: SocketAddr,
    /// Workers in the order they were started.
    pub workers: Vec<Process>,
    started: usize,
}

impl Fleet {
    /// Starts a gateway on a free port and `workers` workers of `slots` slots; logs go to `folder`.
    ///
    /// # Errors
    /// A process that cannot be started, or that ends at once. The error contains its log.
    pub fn start(
        binary: &Path,
        config: &Path,
        folder: &Path,
        workers: usize,
        slots: usize,
    ) -> Result<Self> {
        let (gateway, address) = start_gateway(binary, config, &folder.join("gateway.log"))?;
        let mut fleet = Self {
            binary: binary.to_owned(),
            config: config.to_owned(),
            folder: folder.to_owned(),
            gateway,
            address,
            workers: Vec::new(),
            started: 0,
        };
        for _ in 0..workers {
            fleet.add_worker(slots)?;
        }
        Ok(fleet)
    }

    /// Starts one more worker.
    ///
    /// # Errors
    /// The process cannot be started.
    pub fn add_worker(&mut self, slots: usize) -> Result<()> {
        let log = self.folder.join(format!("worker-{}.log", self.started));
        let config = self.config.display().to_string();
        let slots = slots.to_string();
        let arguments = ["worker", "--config", &config, "--slots", &slots];
        self.workers.push(Process::start(&self.binary, &arguments, &log)?);
        self.started += 1;
        Ok(())
    }

    /// Replaces the gateway with a new process on a new port.
    ///
    /// # Errors
    /// As [`Fleet::start`].
    pub fn restart_gateway(&mut self) -> Result<()> {
        self.gateway.kill();
        let log = self.folder.join(format!("gateway-{}.log", self.started));
        self.started += 1;
        let (gateway, address) = start_gateway(&self.binary, &self.config, &log)?;
        self.gateway = gateway;
        self.address = address;
        Ok(())
    }

    /// `http://address`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

/// Starts a gateway on a port that the system chooses, and waits until its log names the address.
///
/// # Errors
/// The gateway ended before it listened. The error contains its log.
pub fn start_gateway(binary: &Path, config: &Path, log: &Path) -> Result<(Process, SocketAddr)> {
    start_listening(binary, &["gateway", "--config", &config.display().to_string()], log)
}

/// Starts a command that serves HTTP on a port that the system chooses, and waits until its log names the address.
///
/// # Errors
/// The process ended before it listened. The error contains its log.
pub fn start_listening(
    binary: &Path,
    arguments: &[&str],
    log: &Path,
) -> Result<(Process, SocketAddr)> {
    let arguments = [arguments, &["--http", "127.0.0.1:0"]].concat();
    let mut process = Process::start(binary, &arguments, log)?;
    let start = Instant::now();
    loop {
        if let Some(address) = listening(log) {
            return Ok((process, address));
        }
        let text = || std::fs::read_to_string(log).unwrap_or_default();
        if !process.is_running() {
            bail!("dunlin {} ended at once:\n{}", process.name, text());
        }
        if start.elapsed() > Duration::from_secs(60) {
            bail!("dunlin {} does not listen after 60 s:\n{}", process.name, text());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Reads `listening on http://127.0.0.1:8090` (or `https://`) from a gateway's log.
fn listening(log: &Path) -> Option<SocketAddr> {
    let file = std::fs::File::open(log).ok()?;
    BufReader::new(file).lines().map_while(Result::ok).find_map(|line| {
        let url = line.split("listening on ").nth(1)?;
        let address = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"))?;
        address.split_whitespace().next()?.parse().ok()
    })
}
