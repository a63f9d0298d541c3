//! No file descriptor is left: listening goes on calmly, and goes on at once when there are some again.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test that measures time")]
#![cfg(target_os = "linux")]

mod live;

use std::{
    fs::File,
    io::{Read, Seek},
    process::Command,
    time::{Duration, Instant},
};

use cruvz_core::{Protocol, protocol::rtmp::client::Role};
use live::{Peer, Stage, engine, refusals, rtmp_addr, soon, until};
use tokio::net::TcpStream;

const CHILD: &str = "CRUVZ_TEST_FEW_DESCRIPTORS";

#[test]
fn listening_survives_a_lack_of_descriptors() {
    if std::env::var_os(CHILD).is_some() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        return runtime.block_on(starve());
    }
    // The limit is a process's, so the test is one of its own.
    let child = Command::new("sh")
        .args([
            "-c",
            "ulimit -n 64 && exec \"$0\" --exact listening_survives_a_lack_of_descriptors --nocapture",
        ])
        .arg(std::env::current_exe().unwrap())
        .env(CHILD, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout).into_owned() + &String::from_utf8_lossy(&child.stderr);
    assert!(child.status.success() && said.contains("1 passed"), "{said}");
}

/// CPU time of this process in ticks of 10 ms.
fn cpu_ticks(stat: &mut File) -> u64 {
    let mut text = String::new();
    stat.rewind().unwrap();
    stat.read_to_string(&mut text).unwrap();
    // Fields 14 and 15, counted behind the name in parentheses, which is the second.
    let fields: Vec<_> = text.rsplit(')').next().unwrap().split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

async fn starve() {
    let mut stat = File::open("/proc/self/stat").unwrap();
    let engine = engine(|_| {}).await;
    let addr = rtmp_addr(&engine);
    let mut stage = Stage::new(&engine, "live/cam", 100).await;
    let mut viewer = Peer::ask(addr, Role::Play, "live/cam").await.ok().unwrap();
    let mut clients = Vec::new();
    while let Ok(client) = TcpStream::connect(addr).await {
        clients.push(client);
    }
    let failed = || refusals(&engine, Protocol::Rtmp, "accept_failed");
    until(|| failed() > 0).await;
    // The last client took the last descriptor, and the server cannot accept it.
    let (began, before, ticks) = (Instant::now(), failed(), cpu_ticks(&mut stat));
    soon(async {
        while failed() < before + 10 {
            stage.write(1);
            viewer.watch(stage.written - 1).await;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    assert!(viewer.lost_nothing(), "who is there is served");
    let (passed, used) = (began.elapsed(), cpu_ticks(&mut stat) - ticks);
    assert!(passed >= Duration::from_millis(400), "10 tries in {passed:?}: it spins");
    println!("10 tries in {passed:?}, {} ms of CPU", used * 10);
    assert!(u128::from(used) * 10 < passed.as_millis() / 2, "{used} ticks in {passed:?}");

    drop(clients);
    let freed = Instant::now();
    assert!(Peer::ask(addr, Role::Publish, "live/other").await.is_ok());
    println!("a publisher was let in after {:?}", freed.elapsed());
}
