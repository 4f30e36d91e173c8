//! Figures of the process itself, under the names that Prometheus' own clients give them.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

/// Read from `/proc` when the metrics are told.
#[derive(Debug)]
pub(super) struct Process;

/// What `/proc` tells.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Figures {
    cpu_seconds: f64,
    start_seconds: f64,
    resident_bytes: f64,
    open_files: f64,
}

/// The clock of `stat`, in ticks of a second. Linux has had no other for user space.
const TICKS: f64 = 100.0;

impl Figures {
    fn read() -> Option<Self> {
        let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
        let uptime = std::fs::read_to_string("/proc/stat").ok()?;
        let boot: f64 =
            uptime.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
        // The name in field 2 may hold spaces. The field after it is number 3.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let field = |number: usize| fields.get(number - 3)?.parse::<f64>().ok();
        Some(Self {
            cpu_seconds: (field(14)? + field(15)?) / TICKS,
            start_seconds: boot + field(22)? / TICKS,
            resident_bytes: resident()?,
            open_files: f64::from(
                u32::try_from(std::fs::read_dir("/proc/self/fd").ok()?.count()).ok()?,
            ),
        })
    }
}

fn resident() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024.0)
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Some(figures) = Figures::read() else { return Ok(()) };
        let cpu = ConstCounter::new(figures.cpu_seconds);
        let kind = cpu.metric_type();
        cpu.encode(encoder.encode_descriptor(
            "process_cpu_seconds",
            "User and system CPU time",
            None,
            kind,
        )?)?;
        for (name, help, value) in [
            (
                "process_start_time_seconds",
                "Start of the process, Unix time",
                figures.start_seconds,
            ),
            ("process_resident_memory_bytes", "Resident memory", figures.resident_bytes),
            ("process_open_fds", "Open file descriptors", figures.open_files),
        ] {
            let gauge = ConstGauge::new(value);
            let kind = gauge.metric_type();
            gauge.encode(encoder.encode_descriptor(name, help, None, kind)?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_process_knows_itself() {
        let figures = Figures::read().unwrap();
        assert!(figures.resident_bytes > 1e6 && figures.open_files >= 3.0, "{figures:?}");
        assert!(figures.start_seconds > 1.6e9 && figures.cpu_seconds >= 0.0, "{figures:?}");
    }
}
