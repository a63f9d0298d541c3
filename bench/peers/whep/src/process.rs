//! What a process uses, read from /proc.

use std::{fs, io};

/// CPU time of all threads in seconds. Their schedstat counts nanoseconds; /proc/pid/stat knows only ticks of 10 ms.
pub fn cpu_s(pid: &str) -> io::Result<f64> {
    let mut ns = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        // A thread may end between the two reads.
        let stat = fs::read_to_string(task?.path().join("schedstat")).unwrap_or_default();
        ns += stat.split(' ').next().and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
    }
    Ok(ns as f64 / 1e9)
}

/// Resident memory in KB.
pub fn rss_kb(pid: &str) -> io::Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let mut words = status.split_whitespace().skip_while(|word| *word != "VmRSS:");
    words.nth(1).and_then(|value| value.parse().ok()).ok_or_else(|| io::Error::other("no VmRSS"))
}
