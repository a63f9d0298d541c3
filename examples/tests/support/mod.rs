//! What the tests of the examples share: programs that are started, listened to and ended, ffmpeg as a publisher and as a
//! judge, and a small HTTP request. Everything has a deadline.

#![allow(dead_code, clippy::unwrap_used, reason = "each test file uses its part of it, and fails by unwrap")]

use std::{
    future::Future,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines},
    net::TcpStream,
    process::{Child, ChildStdout, Command},
};

/// How long anything may take. Machines that run tests are busy.
const DEADLINE: Duration = Duration::from_secs(60);

/// Waits for `what`, not for ever.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future)
        .await
        .unwrap_or_else(|_| panic!("{what}: nothing within {DEADLINE:?}"))
}

/// A program that is running; it ends with the test.
pub(crate) struct Program {
    name: String,
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Program {
    /// Starts `command`, whose output is to be read line by line.
    pub(crate) fn start(mut command: Command) -> Self {
        let name = format!("{:?}", command.as_std());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{name}: {error}"));
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { name, child, lines }
    }

    /// Starts an example.
    pub(crate) fn example(name: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new(example(name));
        command.args(arguments);
        Self::start(command)
    }

    /// The next line; `None` when it has closed its output.
    pub(crate) async fn line(&mut self) -> Option<String> {
        within(&self.name, self.lines.next_line()).await.unwrap()
    }

    /// Reads on until a line has `text` in it, and gives what stands behind `text`.
    pub(crate) async fn after(&mut self, text: &str) -> String {
        let mut seen = Vec::new();
        let found = tokio::time::timeout(DEADLINE, async {
            while let Ok(Some(line)) = self.lines.next_line().await {
                if let Some((_, rest)) = line.split_once(text) {
                    return Some(rest.to_owned());
                }
                seen.push(line);
            }
            None
        });
        let found = found.await.ok().flatten();
        found.unwrap_or_else(|| panic!("{} never said {text:?}, only:\n{}", self.name, seen.join("\n")))
    }

    /// Asks it to stop, as Ctrl-C does.
    pub(crate) async fn interrupt(&self) {
        let id = self.child.id().expect("it runs").to_string();
        assert!(Command::new("kill").args(["-INT", &id]).status().await.unwrap().success());
    }

    /// Waits until it is over.
    pub(crate) async fn wait(&mut self) -> ExitStatus {
        within(&self.name, self.child.wait()).await.unwrap()
    }
}

/// Where cargo put an example: beside the folder of this test.
fn example(name: &str) -> PathBuf {
    let path = profile_dir().join("examples").join(name);
    assert!(path.exists(), "{} is not built: cargo build -p cruvz-examples --examples", path.display());
    path
}

/// `target/debug`, or whatever this test was built into.
pub(crate) fn profile_dir() -> PathBuf {
    let this = std::env::current_exe().unwrap();
    this.ancestors().nth(2).map(Path::to_path_buf).unwrap()
}

/// The root of the workspace.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// Publishes a test picture and a tone to `url` in real time, for at most a minute.
pub(crate) fn publish(url: &str) -> Program {
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-nostdin", "-re", "-f", "lavfi", "-i", "testsrc2=size=160x90:rate=25"]);
    command.args(["-f", "lavfi", "-i", "sine=sample_rate=48000", "-t", "60"]);
    command.args(["-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-g", "25"]);
    command.args(["-pix_fmt", "yuv420p", "-c:a", "aac", "-f", "flv", url]);
    Program::start(command)
}

/// Decodes the first `count` pictures at `url` with ffmpeg, which must find nothing to complain of.
pub(crate) async fn decode(url: &str, count: u32) {
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-nostdin", "-i", url, "-frames:v", &count.to_string()]);
    // One line per picture, with the checksum of what was decoded.
    command.args(["-map", "0:v:0", "-f", "framecrc", "-"]).stdin(Stdio::null()).kill_on_drop(true);
    let output = within(url, command.output()).await.unwrap();
    let (pictures, complaints) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let decoded = pictures.lines().filter(|line| !line.starts_with('#')).count();
    assert!(output.status.success(), "{url}: {complaints}");
    assert_eq!(decoded, count as usize, "{url}: {complaints}");
}

/// What ffprobe says of the first streams at `url`: `codec_name` and so on, one `name=value` per line.
pub(crate) async fn probe(url: &str, entries: &str) -> String {
    let mut command = Command::new("ffprobe");
    command.args(["-v", "error", "-show_entries", entries, "-of", "default=noprint_wrappers=1", url]);
    let output = within(url, command.stdin(Stdio::null()).kill_on_drop(true).output()).await.unwrap();
    assert!(output.status.success(), "{url}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A connection on which `url` was asked for; head and body are to be read from it.
pub(crate) async fn request(url: &str) -> TcpStream {
    ask("GET", url, "", "").await
}

async fn ask(method: &str, url: &str, headers: &str, body: &str) -> TcpStream {
    let (addr, path) = url.strip_prefix("http://").and_then(|rest| rest.split_once('/')).unwrap();
    let mut socket = TcpStream::connect(addr).await.unwrap();
    let length = body.len();
    let request = format!(
        "{method} /{path} HTTP/1.1\r\nHost: {addr}\r\nContent-Length: {length}\r\n{headers}Connection: close\r\n\r\n{body}"
    );
    socket.write_all(request.as_bytes()).await.unwrap();
    socket
}

/// `GET url`: the status, and head and body as text.
pub(crate) async fn get(url: &str) -> (u16, String) {
    send("GET", url, "", "").await
}

/// A request with more `headers` (each with its line end) and a body: the status, and head and body as text.
pub(crate) async fn send(method: &str, url: &str, headers: &str, body: &str) -> (u16, String) {
    let mut bytes = Vec::new();
    let answer = async { ask(method, url, headers, body).await.read_to_end(&mut bytes).await };
    within(url, answer).await.unwrap();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let status = text.split(' ').nth(1).and_then(|code| code.parse().ok());
    (status.unwrap_or_else(|| panic!("{url}: no HTTP: {text:?}")), text)
}
