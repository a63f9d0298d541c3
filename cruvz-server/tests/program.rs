//! The binary as its user meets it.
#![allow(clippy::unwrap_used, reason = "a test says with a panic that it failed")]

mod support;

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

use cruvz_core::{Engine, FileSource};
use support::send;

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cruvz-server"));
    command.env_clear();
    command
}

fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = program().args(arguments).output().unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

#[test]
fn a_configuration_is_checked() {
    let good = file("[http]\nlisten = ':9'\n");
    let (code, out, _) = run(&["config", "check", good.path().to_str().unwrap()]);
    assert_eq!(code, Some(0));
    assert!(out.ends_with(": ok\n"), "{out}");
    let bad = file("\n[http]\nport = 9\n");
    let (code, _, err) = run(&["config", "check", bad.path().to_str().unwrap()]);
    assert_eq!(code, Some(1));
    assert!(err.contains("line 3") && err.contains("port"), "{err}");
    let (code, _, err) = run(&["config", "check", "/nowhere/cruvz.toml"]);
    assert_eq!(code, Some(1));
    assert!(err.contains("/nowhere/cruvz.toml"), "{err}");
    assert_eq!(run(&["config", "check"]).0, Some(0));
}

#[test]
fn what_would_be_used_is_printed_without_secrets() {
    let config = file("[[publish]]\nkey = 'hunter2'\n");
    let (code, out, _) =
        run(&["config", "print", "--config", config.path().to_str().unwrap(), "--http", ":81"]);
    assert_eq!(code, Some(0));
    assert!(
        out.contains("listen = \":81\"") && out.contains("key = \"***\"") && !out.contains("hunter2"),
        "{out}"
    );
}

#[test]
fn help_tells_how_to_publish_and_watch() {
    let (code, out, _) = run(&["--help"]);
    assert_eq!(code, Some(0));
    for word in [
        "--rtmp",
        "--srt",
        "srt://HOST:8890?streamid=publish:live/cam",
        "--webrtc",
        "http://HOST:8080/whip/live/cam",
        "--http",
        "--demo",
        "rtmp://HOST/live",
        "index.m3u8",
        "[[publish]]",
        "CRUVZ__",
        "EXIT STATUS",
    ] {
        assert!(out.contains(word), "{word}");
    }
    assert_eq!(run(&["--nonsense"]).0, Some(2));
}

#[test]
fn a_port_in_use_is_said_plainly() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    let (code, _, err) = run(&["--rtmp", "127.0.0.1:0", "--srt", "", "--webrtc", "", "--http", &addr]);
    assert_eq!(code, Some(1));
    assert!(err.contains(&addr) && err.contains("in use") && err.contains("--http"), "{err}");
    let (code, _, err) = run(&["--http", "127.0.0.1:0", "--srt", "", "--webrtc", "", "--rtmp", &addr]);
    assert_eq!(code, Some(1));
    assert!(err.contains(&addr) && err.contains("in use") && err.contains("--rtmp"), "{err}");
}

#[test]
fn the_doctor_says_what_is_wrong_and_fails_only_then() {
    let free = [
        "doctor",
        "--rtmp",
        "127.0.0.1:0",
        "--srt",
        "127.0.0.1:0",
        "--webrtc",
        "127.0.0.1:0",
        "--http",
        "127.0.0.1:0",
    ];
    let (code, out, _) = run(&free);
    assert_eq!(code, Some(0), "{out}");
    assert!(
        out.contains("rtmp over TCP") && out.contains("webrtc over UDP") && out.contains(" 0 problems"),
        "{out}"
    );

    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    let sick = file(&format!(
        "rtmp.listen = ''\nsrt.listen = ''\nwebrtc.listen = ''\nhttp.listen = '{addr}'\n[tls]\ncert = '/nowhere/cert.pem'\nkey = '/nowhere/key.pem'\n"
    ));
    let path = sick.path().to_str().unwrap();
    let (code, out, _) = run(&["doctor", "--config", path]);
    assert_eq!(code, Some(1), "{out}");
    assert!(
        out.contains("PROBLEM") && out.contains("is in use by") && out.contains("/nowhere/key.pem"),
        "{out}"
    );

    let (code, out, _) = run(&["doctor", "--json", "--config", path]);
    let report: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, report["verdict"].as_str()), (Some(1), Some("problem")));
    let verdicts =
        report["findings"].as_array().unwrap().iter().filter(|finding| finding["verdict"] == "problem");
    assert_eq!(verdicts.count(), 3, "{out}");
}

#[test]
fn the_doctor_knows_a_server_that_runs() {
    let (server, banner) = start(&[], "Only this machine may publish");
    let line = banner.lines().find(|line| line.trim_start().starts_with("HTTP ")).unwrap();
    let addr = line.rsplit(' ').next().unwrap();
    let (code, out, _) = run(&["doctor", "--rtmp", "", "--srt", "", "--webrtc", "", "--http", addr]);
    assert_eq!(code, Some(0), "{out}");
    assert!(out.contains(&format!("held by a cruvz-server that runs (process {})", server.id())), "{out}");
    assert_eq!(stop(server).0, Some(0));
}

/// Starts the server and reads its banner to the last line.
fn start(arguments: &[&str], last: &str) -> (Child, String) {
    let mut server = program()
        .args(["serve", "--rtmp", "127.0.0.1:0", "--srt", "127.0.0.1:0", "--webrtc", "127.0.0.1:0"])
        .args(["--http", "127.0.0.1:0"])
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(server.stdout.take().unwrap()).lines();
    let mut banner = String::new();
    while !banner.contains(last) {
        banner.push_str(&lines.next().unwrap().unwrap());
        banner.push('\n');
    }
    (server, banner)
}

/// Sends SIGTERM; the exit code and the log.
fn stop(mut server: Child) -> (Option<i32>, String) {
    let killed = Command::new("kill").args(["-TERM", &server.id().to_string()]).status().unwrap();
    assert!(killed.success());
    let mut log = String::new();
    server.stderr.take().unwrap().read_to_string(&mut log).unwrap();
    (server.wait().unwrap().code(), log)
}

#[test]
fn it_says_where_it_listens_and_stops_by_signal() {
    let (server, banner) = start(&[], "Only this machine may publish");
    for part in [
        "listening on 127.0.0.1:",
        "Stream Key cam",
        "streamid=publish:live/cam",
        "ffmpeg -re",
        "/watch/live/cam",
        "/whip/live/cam",
        "/whep/live/cam",
    ] {
        assert!(banner.contains(part), "{part}: {banner}");
    }
    let (code, log) = stop(server);
    assert_eq!(code, Some(0));
    assert!(log.contains("draining") && log.contains("stopped"), "{log}");
}

/// Asks for `path` until the answer contains `wanted`.
async fn wait_for(addr: &str, path: &str, wanted: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n\r\n");
    let asking = async {
        loop {
            let text = send(addr.parse().unwrap(), &request).await.text();
            if text.contains(wanted) {
                return text;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(support::DEADLINE, asking).await.unwrap_or_else(|_| panic!("{path} has no {wanted}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publisher_needs_the_right_key_and_no_key_is_ever_shown() {
    let config = file(
        "access.require_key = true\nlog.level = 'trace'\n[[publish]]\nkey = 'canary-right'\nstreams = ['live/*']\n",
    );
    let (server, banner) = start(&["--config", config.path().to_str().unwrap()], "All ");
    let listening = |protocol: &str| {
        let line =
            banner.lines().find(|line| line.trim_start().starts_with(&format!("{protocol} "))).unwrap();
        line.rsplit(' ').next().unwrap().to_owned()
    };
    let (rtmp, http) = (listening("RTMP"), listening("HTTP"));

    let engine = Engine::builder().start().await.unwrap();
    let clip = support::clip();
    let name: cruvz_core::StreamName = "live/source".parse().unwrap();
    engine.publish_file(name.clone(), FileSource::new(clip).repeat()).await.unwrap();
    let wrong = engine.push(name.clone(), &format!("rtmp://{rtmp}/live/cam?key=canary-wrong")).unwrap();
    let mut shown =
        wait_for(&http, "/metrics", "cruvz_refused_total{protocol=\"rtmp\",reason=\"denied\"}").await;
    wrong.stop();
    let right = engine.push(name, &format!("rtmp://{rtmp}/live/cam?key=canary-right")).unwrap();
    shown += &wait_for(&http, "/api/v1/streams/live/cam", "\"state\":\"live\"").await;
    right.stop();
    engine.shutdown().await;

    let (code, log) = stop(server);
    assert_eq!(code, Some(0));
    shown += &log;
    assert!(shown.contains("refused") && shown.contains("session opened"), "{log}");
    assert!(!shown.contains("canary"), "{shown}");
}
