//! What the server under load uses, read from /proc.

use std::{fs, io};

use serde::Serialize;

/// The kernel counts socket memory in pages.
const PAGE_KB: u64 = 4;

/// A process, or none: then nothing is measured.
#[derive(Clone, Copy)]
pub(crate) struct Process(pub(crate) Option<u32>);

/// A process's use of the machine at one moment.
#[derive(Clone, Copy, Default)]
struct Moment {
    cpu_s: f64,
    rss_kb: u64,
    kernel_tcp_kb: u64,
    own_cpu_s: f64,
}

/// What happened to a process between the beginning of the load, the opening and the end of the window.
pub(crate) struct Watch {
    process: Process,
    before: Moment,
    opened: Moment,
}

/// What a window cost.
#[derive(Serialize)]
pub(crate) struct Cost {
    /// CPU time of the server in the window, in seconds.
    pub(crate) server_cpu_s: f64,
    /// CPU time of this tool in the window, in seconds.
    load_cpu_s: f64,
    /// The server's resident memory before the first connection, in KB.
    rss_before_kb: u64,
    /// The same at the end of the window.
    rss_kb: u64,
    /// Memory of all TCP sockets of the machine before the first connection, in KB.
    kernel_tcp_before_kb: u64,
    /// The same at the end of the window.
    kernel_tcp_kb: u64,
}

impl Watch {
    /// Begins before any load.
    pub(crate) fn begin(process: Process) -> io::Result<Self> {
        let before = process.moment()?;
        Ok(Self { process, before, opened: before })
    }

    /// The window opens.
    pub(crate) fn open(&mut self) -> io::Result<()> {
        self.opened = self.process.moment()?;
        Ok(())
    }

    /// The window ends.
    pub(crate) fn end(&self) -> io::Result<Cost> {
        let (before, opened, ended) = (self.before, self.opened, self.process.moment()?);
        Ok(Cost {
            server_cpu_s: ended.cpu_s - opened.cpu_s,
            load_cpu_s: ended.own_cpu_s - opened.own_cpu_s,
            rss_before_kb: before.rss_kb,
            rss_kb: ended.rss_kb,
            kernel_tcp_before_kb: before.kernel_tcp_kb,
            kernel_tcp_kb: ended.kernel_tcp_kb,
        })
    }
}

impl Process {
    fn moment(self) -> io::Result<Moment> {
        let mut moment =
            Moment { own_cpu_s: cpu_s("self")?, kernel_tcp_kb: kernel_tcp_kb()?, ..Moment::default() };
        if let Some(pid) = self.0 {
            moment.cpu_s = cpu_s(&pid.to_string())?;
            moment.rss_kb = rss_kb(pid)?;
        }
        Ok(moment)
    }
}

/// CPU time of all threads of a process. Their schedstat counts nanoseconds; /proc/pid/stat knows only ticks of 10 ms,
/// which is too coarse for a server of ten viewers.
fn cpu_s(pid: &str) -> io::Result<f64> {
    let mut ns = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        // A thread may end between the two reads.
        let stat = fs::read_to_string(task?.path().join("schedstat")).unwrap_or_default();
        ns += stat.split(' ').next().and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
    }
    Ok(ns as f64 / 1e9)
}

fn rss_kb(pid: u32) -> io::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    Ok(number_after(&status, "VmRSS:").unwrap_or(0))
}

fn kernel_tcp_kb() -> io::Result<u64> {
    let stat = fs::read_to_string("/proc/net/sockstat")?;
    let tcp = stat.lines().find(|line| line.starts_with("TCP:")).unwrap_or_default();
    Ok(number_after(tcp, "mem").unwrap_or(0) * PAGE_KB)
}

fn number_after(text: &str, word: &str) -> Option<u64> {
    let mut words = text.split_whitespace().skip_while(|found| *found != word);
    words.nth(1)?.parse().ok()
}
