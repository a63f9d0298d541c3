//! The command line.

use std::{
    fmt::Display,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args, Parser, Subcommand};
use cruvz_core::{FileSource, store::Archive};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::{
    app::Server,
    banner,
    config::{Config, ConfigError, LogConfig, LogFormat, load},
    doctor::{self, Verdict},
};

const ABOUT: &str =
    "Live streaming server: RTMP, SRT and WebRTC in; RTMP, SRT, WebRTC, HTTP-FLV, HLS and LL-HLS out";

const MANUAL: &str = "\
DESCRIPTION
  Without arguments the server takes RTMP on port 1935, SRT on UDP port 8890 and WebRTC media on UDP and TCP port 8189, and serves pages,
  WHIP, WHEP, HLS, FLV and its API on port 8080. Anybody may watch; only this machine may publish until keys are configured.

CONFIGURATION
  Defaults, then the file given with --config, then CRUVZ__SECTION__KEY in the environment, then options.
  `cruvz-server config print` shows every key with its value. The keys people change most:

    [http]
    listen = \":8080\"                # empty: do not listen

    [engine.srt]
    passphrase = \"...\"               # 10 to 79 characters: nobody gets in without it, all is encrypted
    latency_ms = 120                 # more rides out more loss

    [engine.webrtc]
    public_addresses = [\"203.0.113.5\"]   # behind NAT or in a container: where browsers reach port 8189

    [tls]                            # for https.listen and rtmps.listen
    cert = \"/etc/cruvz/cert.pem\"
    key = \"/etc/cruvz/key.pem\"

    [access]
    require_key = true               # also from this machine: set it behind a reverse proxy
    admin_token = \"...\"              # manage sessions from other machines

    [engine.record]
    folder = \"/var/lib/cruvz\"       # recordings play at /vod/ID/index.m3u8
    always = [\"live/*\"]             # leave it out to record on demand: POST /api/v1/recordings

    [[publish]]                      # rtmp://HOST/live, stream key NAME?key=...
    key = \"...\"
    streams = [\"live/*\"]

  An unknown key is an error that names its line. CRUVZ__HTTP__LISTEN=:80 sets http.listen. RUST_LOG overrides log.level.

PUBLISH
  OBS: Settings, Stream, Service Custom, Server rtmp://HOST/live, Stream Key cam
  ffmpeg -re -i FILE -c copy -f flv rtmp://HOST/live/cam
  ffmpeg -re -i FILE -c copy -f mpegts 'srt://HOST:8890?streamid=publish:live/cam'      (OBS: the same URL as Server)
  OBS: Service WHIP, Server http://HOST:8080/whip/live/cam, Bearer Token the key

WATCH
  http://HOST:8080/watch/live/cam              in a browser
  http://HOST:8080/whep/live/cam               WHEP (WebRTC)
  http://HOST:8080/hls/live/cam/index.m3u8     HLS and LL-HLS
  http://HOST:8080/flv/live/cam.flv            HTTP-FLV; WebSocket-FLV with ws://
  rtmp://HOST/live/cam                         RTMP
  srt://HOST:8890?streamid=read:live/cam       SRT

OPERATE
  `cruvz-server doctor` looks at ports, addresses, certificate and limits of this machine, and says what is wrong.
  `cruvz-server recordings verify FOLDER` reads every recording and says what is not whole; `repair` mends it.
  /livez /readyz /metrics /api/v1/streams /api/v1/sessions /api/v1/recordings
  SIGTERM or SIGINT lets publishers finish (drain.timeout_ms), then stops; a second one stops at once.

EXIT STATUS
  0 after a stop by signal, 1 when it cannot start or the doctor found a problem, 2 for wrong arguments.";

#[derive(Debug, Parser)]
#[command(name = "cruvz-server", version, about = ABOUT, after_help = MANUAL)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: Serve,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server (the default)
    Serve(Serve),
    /// Look at ports, addresses, certificate and limits, and say what is wrong; exit status 1 if something does not work
    Doctor {
        #[command(flatten)]
        serve: Serve,
        /// Print one JSON object instead of a list
        #[arg(long)]
        json: bool,
    },
    /// Look at the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Look at recordings, and mend them
    #[command(subcommand)]
    Recordings(RecordingsCommand),
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Say whether FILE (and the environment) is a good configuration
    Check {
        /// The configuration file
        file: Option<PathBuf>,
    },
    /// Print every key with the value the server would use; secrets are left out
    Print(Serve),
}

#[derive(Debug, Subcommand)]
enum RecordingsCommand {
    /// Read every file of the recordings in FOLDER and say what is not whole; exit status 1 if anything is not
    Verify(RecordingsArguments),
    /// Mend what a crash left behind, and set aside what is damaged. Not while a server records there
    Repair(RecordingsArguments),
}

#[derive(Args, Debug)]
struct RecordingsArguments {
    /// The folder: engine.record.folder of the server's configuration
    folder: PathBuf,
    /// Only these recordings
    #[arg(value_name = "ID")]
    ids: Vec<String>,
}

#[derive(Args, Clone, Debug, Default)]
struct Serve {
    /// Read the configuration from FILE
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Listen for RTMP on ADDR, as in :1935 or 127.0.0.1:1935; "" for not at all
    #[arg(long, value_name = "ADDR")]
    rtmp: Option<String>,
    /// Listen for RTMPS on ADDR (needs [tls])
    #[arg(long, value_name = "ADDR")]
    rtmps: Option<String>,
    /// Listen for SRT on ADDR, over UDP
    #[arg(long, value_name = "ADDR")]
    srt: Option<String>,
    /// Take and send WebRTC media on ADDR, over UDP and TCP
    #[arg(long, value_name = "ADDR")]
    webrtc: Option<String>,
    /// Listen for HTTP on ADDR
    #[arg(long, value_name = "ADDR")]
    http: Option<String>,
    /// Listen for HTTPS on ADDR (needs [tls])
    #[arg(long, value_name = "ADDR")]
    https: Option<String>,
    /// Play the MP4, FLV or MPEG-TS file over and over as the stream live/demo
    #[arg(long, value_name = "FILE")]
    demo: Option<PathBuf>,
    /// Log as text or as one JSON object per line
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<LogFormat>,
    /// Log this much: error, warn, info, debug, trace, or as in RUST_LOG
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
}

impl Serve {
    /// File, environment and flags.
    fn load(self) -> Result<Config, ConfigError> {
        let environment = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        let mut config = load(self.config.as_deref(), environment)?;
        let flags = [
            (&mut config.rtmp.listen, self.rtmp),
            (&mut config.rtmps.listen, self.rtmps),
            (&mut config.srt.listen, self.srt),
            (&mut config.webrtc.listen, self.webrtc),
            (&mut config.http.listen, self.http),
            (&mut config.https.listen, self.https),
            (&mut config.log.level, self.log_level),
        ];
        for (key, flag) in flags {
            if let Some(value) = flag {
                *key = value;
            }
        }
        config.log.format = self.log_format.unwrap_or(config.log.format);
        Ok(config)
    }
}

/// The whole program: reads the arguments, does what they say, and returns how it went.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match arguments.command {
        Some(Command::Config(ConfigCommand::Check { file })) => check(file),
        Some(Command::Config(ConfigCommand::Print(serve))) => print(serve),
        Some(Command::Doctor { serve, json }) => return doctor(serve, json),
        Some(Command::Recordings(command)) => recordings(command),
        Some(Command::Serve(serve)) => run(serve),
        None => run(arguments.serve),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => complain(&message),
    }
}

fn complain(message: &str) -> ExitCode {
    eprintln!("cruvz-server: {message}");
    ExitCode::FAILURE
}

/// An error as the user reads it.
fn told(error: impl Display) -> String {
    error.to_string()
}

fn check(file: Option<PathBuf>) -> Result<(), String> {
    let name = file.as_ref().map_or_else(|| "defaults".to_owned(), |file| file.display().to_string());
    let config = Serve { config: file, ..Serve::default() }.load().map_err(told)?;
    for warning in config.validate().map_err(|error| format!("{name}: {error}"))? {
        println!("{name}: warning: {warning}");
    }
    println!("{name}: ok");
    Ok(())
}

fn print(serve: Serve) -> Result<(), String> {
    let config = serve.load().map_err(told)?;
    print!("{}", toml::to_string_pretty(&config).map_err(told)?);
    Ok(())
}

/// Prints what is not whole, a line each, after it was mended if that is asked for.
fn recordings(command: RecordingsCommand) -> Result<(), String> {
    let (RecordingsArguments { folder, ids }, repair) = match command {
        RecordingsCommand::Verify(arguments) => (arguments, false),
        RecordingsCommand::Repair(arguments) => (arguments, true),
    };
    let archive = if repair { Archive::to_repair(&folder) } else { Archive::new(&folder) }.map_err(told)?;
    let (mut whole, mut broken) = (0_u32, 0_u32);
    for id in archive.ids().map_err(told)?.into_iter().filter(|id| ids.is_empty() || ids.contains(id)) {
        if repair {
            for problem in archive.repair(&id).map_err(told)? {
                println!("{id}: mended: {problem}");
            }
        }
        let problems = archive.verify(&id).map_err(told)?;
        problems.iter().for_each(|problem| println!("{id}: {problem}"));
        if problems.is_empty() { whole += 1 } else { broken += 1 }
    }
    println!("{whole} recordings are whole, {broken} are not");
    if broken == 0 { Ok(()) } else { Err("not every recording is whole".into()) }
}

/// Prints what the doctor finds. Warnings are no failure.
fn doctor(serve: Serve, json: bool) -> ExitCode {
    let config = match serve.load() {
        Ok(config) => config,
        Err(error) => return complain(&error.to_string()),
    };
    let report = doctor::examine(&config);
    if json {
        match serde_json::to_string_pretty(&report) {
            Ok(text) => println!("{text}"),
            Err(error) => return complain(&error.to_string()),
        }
    } else {
        print!("{report}");
    }
    if report.verdict() == Verdict::Problem { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn run(serve: Serve) -> Result<(), String> {
    let demo = serve.demo.clone();
    let config = serve.load().map_err(told)?;
    start_log(&config.log)?;
    let runtime = runtime().map_err(told)?;
    runtime.block_on(serve_until_signal(config, demo))
}

/// One thread where there is one core: threads that take turns on it only wake each other.
fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut builder = match cores {
        1 => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    builder.enable_all().build()
}

async fn serve_until_signal(config: Config, demo: Option<PathBuf>) -> Result<(), String> {
    let mut stop = Signals::new().map_err(told)?;
    let show_banner = config.log.format == LogFormat::Text;
    let server = Server::start(config).await.map_err(told)?;
    if let Some(file) = &demo {
        play_demo(&server, file).await.map_err(|error| format!("--demo {}: {error}", file.display()))?;
    }
    if show_banner {
        let name = if demo.is_some() { "demo" } else { "cam" };
        print!("{}", banner::text(&server, name));
    }
    stop.next().await;
    tracing::info!(timeout_ms = server.config().drain.timeout_ms, "draining; a second signal stops at once");
    tokio::select! {
        () = server.drain() => tracing::info!("stopped"),
        () = stop.next() => tracing::warn!("stopped without draining"),
    }
    Ok(())
}

/// Plays `file` for ever as `live/demo`.
async fn play_demo(server: &Server, file: &Path) -> cruvz_core::Result<()> {
    let source = FileSource::new(file).repeat();
    // Dropping the handle leaves the file playing.
    server.engine().publish_file("live/demo".parse()?, source).await.map(drop)
}

/// SIGTERM and SIGINT.
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        let (terminate, interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        Ok(Self { terminate, interrupt })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Logs go to standard error, so that the banner on standard output can be read by scripts.
fn start_log(config: &LogConfig) -> Result<(), String> {
    let wanted = std::env::var("RUST_LOG").unwrap_or_else(|_| config.level.clone());
    let filter = EnvFilter::try_new(&wanted).map_err(|error| format!("log level {wanted:?}: {error}"))?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match config.format {
        LogFormat::Text => {
            use std::io::IsTerminal as _;
            log.with_target(false).with_ansi(std::io::stderr().is_terminal()).init();
        }
        LogFormat::Json => log.json().flatten_event(true).init(),
    }
    Ok(())
}
