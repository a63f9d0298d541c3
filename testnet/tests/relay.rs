//! The relay between real sockets: what it carries, loses, keeps apart and counts.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking, in its helpers too")]

use std::{
    io::{BufRead, BufReader, Read},
    net::{SocketAddr, UdpSocket},
    process::{Child, Command, Stdio},
    time::Duration,
};

/// A relay that runs, and the server behind it.
struct Bench {
    process: Child,
    address: SocketAddr,
    server: UdpSocket,
}

fn socket() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    socket
}

fn start(options: &[&str]) -> Bench {
    let server = socket();
    let process = Command::new(env!("CARGO_BIN_EXE_relay"))
        .args(["--listen", "127.0.0.1:0", "--target", &server.local_addr().unwrap().to_string()])
        .args(options)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let mut process = process.unwrap();
    let mut line = String::new();
    BufReader::new(process.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim().strip_prefix("listening on ").unwrap().parse().unwrap();
    Bench { process, address, server }
}

impl Bench {
    /// Ends it; its report without spaces.
    fn finish(mut self) -> String {
        drop(self.process.stdin.take());
        let mut report = String::new();
        self.process.stdout.take().unwrap().read_to_string(&mut report).unwrap();
        assert!(self.process.wait().unwrap().success());
        report.replace(' ', "")
    }
}

fn srt_data(number: u32, flags: u32) -> Vec<u8> {
    [number, flags, 0, 77].iter().flat_map(|word| word.to_be_bytes()).collect()
}

#[test]
fn clients_are_kept_apart_in_both_directions() {
    let bench = start(&["--delay-ms", "5"]);
    let (one, two) = (socket(), socket());
    let mut scratch = [0; 64];
    for (client, said) in [(&one, b"one"), (&two, b"two")] {
        client.send_to(said, bench.address).unwrap();
        let (length, from) = bench.server.recv_from(&mut scratch).unwrap();
        assert_eq!(&scratch[..length], said);
        bench.server.send_to(&scratch[..length], from).unwrap();
    }
    for (client, said) in [(&one, b"one"), (&two, b"two")] {
        let (length, from) = client.recv_from(&mut scratch).unwrap();
        assert_eq!((&scratch[..length], from), (&said[..], bench.address));
    }
    let report = bench.finish();
    assert_eq!(report.matches("\"datagrams\":2,\"bytes\":6,\"lost\":0").count(), 2, "{report}");
}

#[test]
fn of_some_datagrams_one_bit_arrives_wrong() {
    let bench = start(&["--flip", "0.5"]);
    let client = socket();
    let (said, mut scratch, mut damaged) = ([0; 100], [0; 128], 0);
    for _ in 0..100 {
        client.send_to(&said, bench.address).unwrap();
        let (length, _) = bench.server.recv_from(&mut scratch).unwrap();
        let wrong: u32 = scratch[..length].iter().map(|byte| byte.count_ones()).sum();
        assert!(length == 100 && wrong <= 1, "{wrong} bits of {length} bytes");
        damaged += wrong;
    }
    assert!((30..70).contains(&damaged), "{damaged} of 100");
    let report = bench.finish();
    assert!(report.contains(&format!("\"flipped\":{damaged}")), "{report}");
}

#[test]
fn what_a_sender_repeats_is_counted_before_any_loss() {
    let bench = start(&["--loss", "0.9"]);
    let client = socket();
    // Across the wrap, with one repeated and flagged; then the report of a loss, and what is no SRT at all.
    for number in [0x7fff_fffe, 0x7fff_ffff, 0, 1] {
        client.send_to(&srt_data(number, 0), bench.address).unwrap();
    }
    client.send_to(&srt_data(0x7fff_ffff, 1 << 26), bench.address).unwrap();
    client.send_to(&srt_data(0x8003_0000, 0), bench.address).unwrap();
    bench.server.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let mut scratch = [0; 64];
    // What arrives here last was read last: by then all the others have been counted.
    while !bench.server.recv(&mut scratch).is_ok_and(|length| &scratch[..length] == b"end") {
        client.send_to(b"end", bench.address).unwrap();
    }
    let report = bench.finish();
    for expected in ["\"data\":5,\"unique\":4,\"repeated\":1,\"flagged\":1,", "\"naks\":1,"] {
        assert!(report.contains(expected), "{expected} in {report}");
    }
    let (up, _) = report.split_once("\"down\"").unwrap();
    assert!(!up.contains("\"lost\":0,"), "this seed loses nothing: {report}");
}
