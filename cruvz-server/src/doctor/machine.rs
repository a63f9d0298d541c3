//! The limits of the machine: buffers, files, the clock, codecs.

use std::fs;

use super::Finding;
use crate::config::Config;

/// What the server asks the kernel to hold of each UDP socket, either way.
const UDP_BUFFER_BYTES: u64 = 8 << 20;
/// Less loses datagrams in bursts.
const POOR_UDP_BUFFER_BYTES: u64 = 1 << 20;
/// Files that are open without anybody being connected.
const OWN_FILES: u64 = 200;
/// 2026-01-01 and 2100-01-01: nobody runs this outside of these.
const PLAUSIBLE_S: std::ops::Range<i64> = 1_767_225_600..4_102_444_800;

pub(super) fn check(config: &Config, now_s: i64) -> Vec<Finding> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let mut findings = Vec::new();
    if !config.srt.listen.is_empty() || !config.webrtc.listen.is_empty() {
        for (name, path) in
            [("rmem_max", "/proc/sys/net/core/rmem_max"), ("wmem_max", "/proc/sys/net/core/wmem_max")]
        {
            findings.push(udp_buffer(name, &read(path)));
        }
    }
    findings.push(open_files(&read("/proc/self/limits"), config.http.max_connections as u64));
    findings.push(clock(now_s));
    findings.push(codecs());
    findings
}

/// What the kernel lets a UDP socket hold, by the text of its setting.
fn udp_buffer(name: &str, text: &str) -> Finding {
    let topic = format!("UDP {name}");
    let Ok(bytes) = text.trim().parse::<u64>() else {
        return Finding::warning(
            topic,
            "the system does not say",
            format!("see that net.core.{name} is at least {UDP_BUFFER_BYTES}"),
        );
    };
    let found = format!("{} KiB per socket", bytes >> 10);
    if bytes >= POOR_UDP_BUFFER_BYTES {
        return Finding::ok(topic, found);
    }
    let found = format!("{found}: bursts of SRT and WebRTC may be lost when the server is busy");
    Finding::warning(topic, found, format!("sysctl -w net.core.{name}={UDP_BUFFER_BYTES}"))
}

/// How many files may be open, by `/proc/self/limits`: a connection is one.
fn open_files(limits: &str, max_connections: u64) -> Finding {
    const TOPIC: &str = "open files";
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let soft = line.and_then(|rest| rest.split_whitespace().next());
    let wanted = max_connections + OWN_FILES;
    let advice = format!("ulimit -n {wanted}, or LimitNOFILE={wanted} in the systemd unit");
    match soft.map(str::parse::<u64>) {
        None => Finding::warning(TOPIC, "the system does not say", advice),
        Some(Ok(files)) if files < wanted => {
            let people = files.saturating_sub(OWN_FILES);
            let found = format!(
                "{files}: about {people} people over RTMP and HTTP; http.max_connections is {max_connections}"
            );
            Finding::warning(TOPIC, found, advice)
        }
        Some(Ok(files)) => Finding::ok(TOPIC, files.to_string()),
        Some(Err(_)) => Finding::ok(TOPIC, "unlimited"),
    }
}

/// TLS, the dates in playlists and the latency that players show need a clock that is right.
fn clock(now_s: i64) -> Finding {
    const TOPIC: &str = "clock";
    let at = std::time::UNIX_EPOCH + std::time::Duration::from_secs(u64::try_from(now_s).unwrap_or(0));
    let shown = httpdate::fmt_http_date(at);
    if PLAUSIBLE_S.contains(&now_s) {
        Finding::ok(TOPIC, shown)
    } else {
        Finding::problem(TOPIC, format!("{shown} cannot be right"), "set it, and keep it by NTP")
    }
}

/// Which sound and which pictures reach whom.
fn codecs() -> Finding {
    const TOPIC: &str = "transcoding";
    if cfg!(feature = "transcode") {
        return Finding::ok(
            TOPIC,
            "for WebRTC viewers AAC becomes Opus and B-frames go, for RTMP, SRT and HLS viewers Opus becomes AAC and VP8 H.264, as each needs it",
        );
    }
    Finding::warning(
        TOPIC,
        "built without the feature transcode: WebRTC viewers get no AAC and few pictures of streams with B-frames, RTMP and SRT viewers no Opus, SRT and HLS viewers no VP8",
        "build it with --features transcode, or send the codec that your viewers take",
    )
}

#[cfg(test)]
mod tests {
    use super::{super::Verdict, *};

    #[test]
    fn small_udp_buffers_are_a_warning_with_the_command_that_helps() {
        let small = udp_buffer("rmem_max", "212992\n");
        assert_eq!((small.verdict, small.found.starts_with("208 KiB")), (Verdict::Warning, true));
        assert_eq!(small.advice.unwrap(), "sysctl -w net.core.rmem_max=8388608");
        assert_eq!(udp_buffer("rmem_max", "8388608\n").verdict, Verdict::Ok);
        assert_eq!(udp_buffer("rmem_max", "").verdict, Verdict::Warning);
    }

    #[test]
    fn open_files_must_do_for_the_connections_that_are_allowed() {
        let limits = |soft: &str| {
            format!(
                "Limit  Soft Limit  Hard Limit  Units\nMax processes  9  9  processes\nMax open files            {soft}                 1048576              files\n"
            )
        };
        let few = open_files(&limits("1024"), 10_000);
        assert_eq!(few.verdict, Verdict::Warning);
        assert!(
            few.found.contains("about 824 people") && few.advice.unwrap().contains("10200"),
            "{}",
            few.found
        );
        for soft in ["65536", "unlimited"] {
            assert_eq!(open_files(&limits(soft), 10_000).verdict, Verdict::Ok);
        }
        assert_eq!(open_files("", 10_000).verdict, Verdict::Warning);
    }

    #[test]
    fn a_clock_in_another_age_is_a_problem() {
        assert_eq!(clock(0).verdict, Verdict::Problem);
        assert_eq!(clock(-5).verdict, Verdict::Problem);
        let now = clock(1_790_000_000);
        assert_eq!(
            (now.verdict, now.found.ends_with("2026 GMT") || now.found.contains("2026")),
            (Verdict::Ok, true)
        );
    }
}
