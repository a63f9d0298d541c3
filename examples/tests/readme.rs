//! The README's "Embed" works as it stands: its commands in an empty crate, its lines as the program, a publisher, and frames
//! are printed. Both are read from README.md, so that they cannot rot.

#![allow(clippy::unwrap_used, reason = "a test")]

mod support;

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use support::{Program, profile_dir, publish, root, within};
use tokio::{net::TcpStream, process::Command, time};

/// How long cargo may take: the first time, it builds the engine with the features of this crate alone.
const BUILD_DEADLINE: Duration = Duration::from_secs(600);
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// The first block of `language` in the README's section of that title.
fn block(section: &str, language: &str) -> String {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let section = readme.split("\n## ").find(|text| text.starts_with(section)).expect("the section");
    let start = section.split_once(&format!("```{language}\n")).expect("the block").1;
    start.split_once("\n```").expect("its end").0.to_owned()
}

/// Runs cargo in `folder` with what this workspace has fetched already, into its target folder, so that little is built twice.
async fn cargo(folder: &Path, arguments: &[&str]) {
    let mut command = Command::new(env!("CARGO"));
    command.args(arguments).arg("--offline").current_dir(folder).stdin(Stdio::null()).kill_on_drop(true);
    command.env("CARGO_TARGET_DIR", target());
    // As in this workspace's profile.
    command.args(["--config", "profile.dev.debug='line-tables-only'"]);
    command.args(["--config", "profile.dev.package.'*'.debug=false"]);
    let output = time::timeout(BUILD_DEADLINE, command.output()).await.expect("cargo in time").unwrap();
    assert!(output.status.success(), "cargo {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn target() -> PathBuf {
    profile_dir().parent().unwrap().to_path_buf()
}

/// Waits until somebody listens there.
async fn listens(addr: &str) {
    let mut again = time::interval(LOOK_AGAIN);
    while TcpStream::connect(addr).await.is_err() {
        again.tick().await;
    }
}

#[tokio::test]
async fn the_readme_s_ten_lines_run_in_an_empty_crate() {
    let folder = tempfile::tempdir().unwrap();
    let krate = folder.path().join("cruvz-readme");
    cargo(folder.path(), &["new", "--vcs", "none", "cruvz-readme"]).await;
    // The versions that the workspace is tested with, all of them here already.
    std::fs::copy(root().join("Cargo.lock"), krate.join("Cargo.lock")).unwrap();

    let core = root().join("cruvz-core");
    let commands = block("Embed", "sh");
    assert!(commands.contains("cruvz-core"), "{commands}");
    for line in commands.lines() {
        let line = line.replace("../cruvz/cruvz-core", core.to_str().unwrap());
        let words: Vec<_> = line.split(' ').collect();
        assert_eq!(words[..2], ["cargo", "add"], "{line}");
        cargo(&krate, &words[1..]).await;
    }

    // Port 1935 may be taken on this machine.
    let addr = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let program = block("Embed", "rust");
    assert!(program.contains("127.0.0.1:1935"), "{program}");
    std::fs::write(krate.join("src/main.rs"), program.replace("127.0.0.1:1935", &addr)).unwrap();
    cargo(&krate, &["build"]).await;

    let mut readme = Program::start(Command::new(target().join("debug/cruvz-readme")));
    within("listening", listens(&addr)).await;
    let _publisher = publish(&format!("rtmp://{addr}/live/cam"));
    let first = readme.line().await.expect("a frame");
    assert!(first.starts_with("1 pts=") && first.contains("key=true"), "{first}");
    for _ in 0..20 {
        assert!(readme.line().await.is_some_and(|line| line.ends_with(" bytes")));
    }
}
