//! WHEP players in number (`play`), and the least that can send as much to them (`bare`).
//!
//! ```text
//! whep-peers play --url http://127.0.0.1:8080/whep/live/cam --viewers 100 --seconds 8 --pid SERVER
//! whep-peers play --url bare://127.0.0.1:9000 --viewers 100 --seconds 8 --pid BARE
//! whep-peers bare --listen 127.0.0.1:9000 --packets 7
//! whep-peers bare --listen 127.0.0.1:9000 --publish 127.0.0.1:9001
//! ```
//! `play` prints one JSON object, `bare` says `listening` and goes on until it is ended.

mod bare;
mod flv;
mod http;
mod play;
mod process;
mod rtc;
mod viewer;

use std::{collections::HashMap, fmt::Display, process::ExitCode, str::FromStr};

/// `--name value` pairs; each mode takes those that it knows.
struct Options(HashMap<String, String>);

impl Options {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut pairs = HashMap::new();
        while let Some(name) = arguments.next() {
            let name = name.strip_prefix("--").ok_or_else(|| format!("{name:?} is no option"))?.to_owned();
            let value = arguments.next().ok_or_else(|| format!("--{name} wants a value"))?;
            pairs.insert(name, value);
        }
        Ok(Self(pairs))
    }

    fn take<T: FromStr<Err: Display>>(&mut self, name: &str, default: Option<T>) -> Result<T, String> {
        match self.0.remove(name) {
            Some(value) => value.parse().map_err(|error| format!("--{name} {value}: {error}")),
            None => default.ok_or_else(|| format!("--{name} is missing")),
        }
    }

    fn finish(self) -> Result<(), String> {
        self.0.into_keys().next().map_or(Ok(()), |name| Err(format!("--{name} is not known here")))
    }
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let mode = arguments.next().unwrap_or_default();
    let done = Options::parse(arguments).and_then(|options| match mode.as_str() {
        "play" => play::run(options),
        "bare" => bare::run(options),
        other => Err(format!("{other:?} is no mode: play or bare")),
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("whep-peers: {reason}");
            ExitCode::FAILURE
        }
    }
}
