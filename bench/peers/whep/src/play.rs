//! `play`: lets viewers join one by one, waits until all have pictures, opens the window, and reports.

use std::{
    io,
    time::{Duration, Instant},
};

use mio::{Events, Interest, Poll, Token};
use serde_json::json;

use crate::{
    Options, process,
    viewer::{Counts, Target, Viewer},
};

/// So many decrypt what they get; the others only count it.
const DECRYPTING: u32 = 2;
/// Until checks, handshakes and reports are looked at again.
const TICK: Duration = Duration::from_millis(10);
/// From when all have pictures to the window: what they missed has been sent by then.
const CALM: Duration = Duration::from_millis(1_500);
const PATIENCE: Duration = Duration::from_secs(30);

struct Plan {
    target: Target,
    viewers: u32,
    window: Duration,
    pid: String,
    /// The first viewer is alone so long: what all viewers share is there before they are weighed.
    fill: Duration,
    join_every: Duration,
}

struct Crowd {
    poll: Poll,
    events: Events,
    began: Instant,
    viewers: Vec<Viewer>,
    next_tick: Duration,
    scratch: Vec<u8>,
}

pub fn run(mut options: Options) -> Result<(), String> {
    let plan = Plan {
        target: options.take("url", None)?,
        viewers: options.take("viewers", Some(100))?,
        window: Duration::from_secs_f64(options.take("seconds", Some(8.0))?),
        pid: options.take("pid", None)?,
        fill: Duration::from_secs_f64(options.take("fill-s", Some(4.0))?),
        join_every: Duration::from_millis(options.take("join-ms", Some(20))?),
    };
    options.finish()?;
    if plan.viewers < 2 {
        return Err("--viewers: at least two".to_owned());
    }
    play(&plan).map_err(|error| error.to_string())
}

fn play(plan: &Plan) -> io::Result<()> {
    let mut crowd = Crowd {
        poll: Poll::new()?,
        events: Events::with_capacity(1_024),
        began: Instant::now(),
        viewers: Vec::new(),
        next_tick: Duration::ZERO,
        scratch: vec![0; 65_536],
    };
    crowd.join(plan)?;
    crowd.run_for(plan.fill)?;
    let rss_before = process::rss_kb(&plan.pid)?;
    for _ in 1..plan.viewers {
        crowd.join(plan)?;
        crowd.run_for(plan.join_every)?;
    }
    let deadline = crowd.now() + PATIENCE;
    while let Some(number) = crowd.viewers.iter().position(|viewer| viewer.first.is_none()) {
        if crowd.now() > deadline {
            return Err(io::Error::other(format!("viewer {number} got no picture in {PATIENCE:?}")));
        }
        crowd.run_for(TICK)?;
    }
    crowd.run_for(CALM)?;

    let (before, each_before) = (crowd.total(), crowd.each());
    let (server, own, opened) = (process::cpu_s(&plan.pid)?, process::cpu_s("self")?, crowd.now());
    crowd.run_for(plan.window)?;
    let (server, own) = (process::cpu_s(&plan.pid)? - server, process::cpu_s("self")? - own);
    let (seconds, window) = ((crowd.now() - opened).as_secs_f64(), crowd.total() - before);
    let rss = process::rss_kb(&plan.pid)?;
    let silent = crowd.each().iter().zip(each_before).filter(|(now, before)| **now == *before).count();
    let mut first: Vec<_> = crowd.viewers.iter().skip(1).filter_map(Viewer::first_ms).collect();
    first.sort_by(f64::total_cmp);
    let percentile = |part: usize| first[(first.len() - 1) * part / 100];
    let report = json!({
        "viewers": plan.viewers,
        "seconds": seconds,
        "bytes": window.bytes,
        "datagrams": window.datagrams,
        "packets": window.packets,
        "sound": window.sound,
        "gaps": window.gaps,
        "gaps_joining": before.gaps,
        "belated": window.belated,
        "repeats": window.repeats,
        "opened": window.opened,
        "opened_gaps": window.opened_gaps,
        "bad": crowd.total().bad,
        "ended": crowd.viewers.iter().filter(|viewer| viewer.ended).count(),
        "silent": silent,
        "server_cpu_s": server,
        "load_cpu_s": own,
        "rss_before_kb": rss_before,
        "rss_kb": rss,
        "kb_per_viewer": (rss - rss_before) / f64::from(plan.viewers - 1),
        "first_ms_p50": percentile(50),
        "first_ms_p99": percentile(99),
    });
    println!("{report}");
    Ok(())
}

impl Viewer {
    /// From the answer to the first packet of pictures.
    fn first_ms(&self) -> Option<f64> {
        self.first.map(|first| (first - self.answered).as_secs_f64() * 1e3)
    }
}

impl Crowd {
    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    fn join(&mut self, plan: &Plan) -> io::Result<()> {
        let number = self.viewers.len() as u32;
        let began = self.began;
        let mut viewer = Viewer::join(number, &plan.target, number < DECRYPTING, || began.elapsed())?;
        let token = Token(number as usize);
        self.poll.registry().register(&mut viewer.socket, token, Interest::READABLE)?;
        self.viewers.push(viewer);
        Ok(())
    }

    /// Serves all viewers for so long.
    fn run_for(&mut self, time: Duration) -> io::Result<()> {
        let until = self.now() + time;
        loop {
            let now = self.now();
            if now >= until {
                return Ok(());
            }
            if now >= self.next_tick {
                self.next_tick = now + TICK;
                self.viewers.iter_mut().for_each(|viewer| viewer.tick(now));
            }
            let wait = until.min(self.next_tick).saturating_sub(now);
            match self.poll.poll(&mut self.events, Some(wait)) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                done => done?,
            }
            for event in &self.events {
                let now = self.began.elapsed();
                self.viewers[event.token().0].read(now, &mut self.scratch)?;
            }
        }
    }

    fn total(&self) -> Counts {
        self.viewers.iter().map(|viewer| viewer.counts).sum()
    }

    fn each(&self) -> Vec<u64> {
        self.viewers.iter().map(|viewer| viewer.counts.packets).collect()
    }
}
