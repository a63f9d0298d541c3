//! A load tool for live-streaming servers: publishers and viewers that cost far less than what they load.
//!
//! ```text
//! load publish --url rtmp://127.0.0.1:1935/live/cam [--publishers 1] [--seconds S] [--pid P]
//! load play    --url rtmp://127.0.0.1:1935/live/cam [--viewers 1] [--slow 0] [--stuck 0] [--seconds 5] [--pid P]
//! load bare    --listen 127.0.0.1:9000 [--publish 127.0.0.1:9001] [--wire chunks|flv] [--gather-ms 0]
//! ```
//!
//! `play` takes `rtmp://…`, `http://….flv` and `http://….m3u8`, and for the bare loop `chunks://…` and `flv://…`.
//! With `--pid` it also reads what that process used in the window. Publishers stamp each picture with the wall
//! clock; viewers read the stamp for latency, losses and damage. `play` and `publish` print one JSON line.

mod bare;
mod flv;
mod hls;
mod meter;
mod options;
mod play;
mod process;
mod publish;
mod stamp;
mod synthetic;
#[cfg(test)]
mod tests;
mod viewer;

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let mode = arguments.next().unwrap_or_default();
    let run = match mode.as_str() {
        "publish" => publish::run,
        "play" => play::run,
        "bare" => bare::run,
        _ => {
            eprintln!(
                "load publish|play|bare, each with --name value pairs; see the head of examples/load/main.rs"
            );
            return ExitCode::from(2);
        }
    };
    match options::Options::parse(arguments).and_then(run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("load {mode}: {message}");
            ExitCode::FAILURE
        }
    }
}
