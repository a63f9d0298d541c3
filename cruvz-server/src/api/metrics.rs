//! `/metrics`: the counters in Prometheus' text format 0.0.4.
//!
//! Labels are of bounded cardinality: protocols, roles, reasons, states. Names of streams are chosen by publishers and appear
//! only when the configuration says so.

use std::{
    collections::BTreeMap,
    fmt::{Display, Write},
    sync::atomic::Ordering::Relaxed,
};

use axum::{extract::State, http::header, response::IntoResponse};
use cruvz_core::analytics::totals::{SessionTotals, SrtTotals};

use crate::app::App;

/// Everything, as one scrape sees it.
pub(crate) async fn show(State(app): State<App>) -> impl IntoResponse {
    let mut text = Exposition::default();
    server(&app, &mut text);
    streams(&app, &mut text);
    sessions(&app, &mut text);
    http(&app, &mut text);
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text.0)
}

fn server(app: &App, text: &mut Exposition) {
    text.family("cruvz_build_info", "gauge", "The version that runs; always 1.");
    text.sample(&[("version", env!("CARGO_PKG_VERSION"))], 1);
    text.family("cruvz_uptime_seconds", "gauge", "How long the server has run.");
    text.sample(&[], app.clock().now().as_secs_f64());
    text.family("cruvz_draining", "gauge", "1 while the server takes nobody in any more.");
    text.sample(&[], u8::from(app.engine().is_draining()));
    text.family("cruvz_tasks", "gauge", "Tasks of the runtime; grows with sessions and shrinks with them.");
    text.sample(&[], tokio::runtime::Handle::current().metrics().num_alive_tasks());
}

fn streams(app: &App, text: &mut Exposition) {
    let infos = app.engine().stream_infos();
    text.family("cruvz_streams", "gauge", "Streams by state; awaited: viewers wait for a publisher.");
    for state in ["awaited", "live", "grace"] {
        text.sample(&[("state", state)], infos.iter().filter(|info| info.state == state).count());
    }
    text.family("cruvz_log_bytes", "gauge", "Bytes held in the logs of all streams.");
    text.sample(&[], infos.iter().map(|info| info.log_bytes).sum::<usize>());
    if !app.config().metrics.per_stream {
        return;
    }
    text.family("cruvz_stream_received_bytes_total", "counter", "Payload bytes received, by stream.");
    for info in &infos {
        text.sample(&[("stream", info.name.as_str())], info.totals.bytes);
    }
    text.family(
        "cruvz_stream_dropped_frames_total",
        "counter",
        "Frames refused or lost before the log, by stream.",
    );
    for info in &infos {
        text.sample(&[("stream", info.name.as_str())], info.totals.dropped_frames);
    }
    text.family("cruvz_stream_viewers", "gauge", "Viewers, by stream.");
    for info in &infos {
        text.sample(&[("stream", info.name.as_str())], app.engine().viewers(&info.name));
    }
}

/// One figure of [`SessionTotals`] as a family: name, help and where it stands.
type Figure = (&'static str, &'static str, fn(&SessionTotals) -> u64);

const FIGURES: [Figure; 5] = [
    ("cruvz_sessions_opened_total", "Sessions opened.", |totals| totals.opened),
    ("cruvz_sessions_ended_total", "Sessions ended.", |totals| totals.ended),
    ("cruvz_session_bytes_total", "Bytes received from publishers or sent to viewers.", |totals| {
        totals.bytes
    }),
    ("cruvz_session_frames_total", "Frames received from publishers or sent to viewers.", |totals| {
        totals.frames
    }),
    (
        "cruvz_session_dropped_frames_total",
        "Frames that viewers did not get because they were too slow.",
        |totals| totals.dropped_frames,
    ),
];

/// One figure of [`SrtTotals`] as a family.
type SrtFigure = (&'static str, &'static str, fn(&SrtTotals) -> u64);

const SRT_FIGURES: [SrtFigure; 5] = [
    ("cruvz_session_packets_total", "SRT media packets, each counted once.", |totals| totals.packets),
    (
        "cruvz_session_lost_packets_total",
        "SRT packets found missing, whether they came later or not.",
        |totals| totals.lost,
    ),
    ("cruvz_session_retransmitted_packets_total", "SRT packets sent again.", |totals| totals.retransmitted),
    ("cruvz_session_dropped_packets_total", "SRT packets that did not come in time.", |totals| {
        totals.dropped
    }),
    ("cruvz_session_belated_packets_total", "SRT packets that came when their turn was over.", |totals| {
        totals.belated
    }),
];

fn sessions(app: &App, text: &mut Exposition) {
    let totals = app.session_totals();
    text.family("cruvz_sessions", "gauge", "Sessions open now.");
    for ((protocol, role), totals) in &totals {
        let open = totals.opened.saturating_sub(totals.ended);
        text.sample(&[("protocol", protocol), ("role", role)], open);
    }
    for (name, help, figure) in FIGURES {
        text.family(name, "counter", help);
        for ((protocol, role), totals) in &totals {
            text.sample(&[("protocol", protocol), ("role", role)], figure(totals));
        }
    }
    for (name, help, figure) in SRT_FIGURES {
        text.family(name, "counter", help);
        for ((protocol, role), totals) in totals.iter().filter(|((protocol, _), _)| *protocol == "srt") {
            text.sample(&[("protocol", protocol), ("role", role)], figure(&totals.srt));
        }
    }
    text.family("cruvz_unsent_datagrams_total", "counter", "Datagrams that the system had no room for.");
    for (protocol, count) in app.engine().totals().unsent_datagrams() {
        text.sample(&[("protocol", protocol)], count);
    }
    text.family("cruvz_refused_total", "counter", "Peers turned away.");
    for (protocol, reason, count) in app.engine().totals().refusals() {
        text.sample(&[("protocol", protocol), ("reason", reason)], count);
    }
}

fn http(app: &App, text: &mut Exposition) {
    let connections = app.connections();
    text.family(
        "cruvz_http_connections",
        "gauge",
        "HTTP connections open now, live FLV viewers not counted.",
    );
    text.sample(&[], connections.open.load(Relaxed));
    text.family("cruvz_http_connections_accepted_total", "counter", "HTTP connections accepted.");
    text.sample(&[], connections.accepted.load(Relaxed));
    text.family("cruvz_http_connections_refused_total", "counter", "HTTP connections over the limit.");
    text.sample(&[], connections.turned_away.load(Relaxed));
}

/// The figures of sessions by protocol and role.
pub(crate) type SessionFigures = BTreeMap<(&'static str, String), SessionTotals>;

/// The counters of `engine`, open sessions included, none below `floor`, which is raised to them.
///
/// A session that ends while this reads may be seen twice or not at all; a counter must not go backwards for that.
pub(crate) fn session_figures(engine: &cruvz_core::Engine, floor: &mut SessionFigures) -> SessionFigures {
    let mut now = SessionFigures::new();
    for (protocol, role, totals) in engine.totals().sessions() {
        now.insert((protocol, role), totals);
    }
    for session in engine.sessions() {
        let totals = now.entry((session.protocol.name(), session.role.to_string())).or_default();
        totals.bytes += session.bytes;
        totals.frames += session.frames;
        totals.dropped_frames += session.dropped_frames;
        if let Some(stats) = &session.srt {
            totals.srt.add(stats);
        }
    }
    for (key, totals) in &mut now {
        let floor = floor.entry(key.clone()).or_default();
        floor.bytes = floor.bytes.max(totals.bytes);
        floor.frames = floor.frames.max(totals.frames);
        floor.dropped_frames = floor.dropped_frames.max(totals.dropped_frames);
        floor.srt = floor.srt.max(totals.srt);
        (totals.bytes, totals.frames, totals.dropped_frames, totals.srt) =
            (floor.bytes, floor.frames, floor.dropped_frames, floor.srt);
    }
    now
}

/// A text in the exposition format.
#[derive(Debug, Default)]
struct Exposition(String, &'static str);

impl Exposition {
    /// Begins a family; its samples follow.
    fn family(&mut self, name: &'static str, kind: &str, help: &str) {
        self.1 = name;
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, labels: &[(&str, &str)], value: impl Display) {
        self.0.push_str(self.1);
        for (at, (name, text)) in labels.iter().enumerate() {
            let escaped = text.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n");
            let _ = write!(self.0, "{}{name}=\"{escaped}\"", if at == 0 { '{' } else { ',' });
        }
        let _ = writeln!(self.0, "{} {value}", if labels.is_empty() { "" } else { "}" });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_escaped() {
        let mut text = Exposition::default();
        text.family("cruvz_x", "gauge", "X.");
        text.sample(&[("a", "q\"\\\n"), ("b", "c")], 1.5);
        text.sample(&[], 2);
        let expected =
            "# HELP cruvz_x X.\n# TYPE cruvz_x gauge\ncruvz_x{a=\"q\\\"\\\\\\n\",b=\"c\"} 1.5\ncruvz_x 2\n";
        assert_eq!(text.0, expected);
    }
}
