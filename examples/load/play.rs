//! `load play`: many viewers on one thread.
//!
//! Three phases: viewers join at a rate until each has seen a picture or has had its time; a warm-up; the window, in
//! which bytes, latency and the server's CPU time count.

use std::{collections::BTreeMap, io, time::Duration};

use cruvz_core::runtime::clock::Clock;
use mio::{Events, Interest, Poll, Token};
use serde::Serialize;

use crate::{
    meter::{Meter, Seen},
    options::{Options, Target},
    process::{Cost, Process, Watch},
    synthetic::BYTES_PER_S,
    viewer::{Pace, Viewer},
};

/// How long the last viewer may take to its first picture.
const JOIN_PATIENCE: Duration = Duration::from_secs(12);
/// How often slow viewers read and HLS players look at the clock.
const TICK: Duration = Duration::from_millis(20);
/// How often other viewers do.
const LONG_TICK: Duration = Duration::from_secs(1);
/// A recv of this size takes all that 350 ms of the stream bring.
const SCRATCH_BYTES: usize = 256 << 10;

struct Plan {
    target: Target,
    viewers: usize,
    slow: usize,
    slow_bytes_per_s: usize,
    stuck: usize,
    join_per_s: u32,
    warm_up: Duration,
    window: Duration,
    process: Process,
}

impl Plan {
    fn take(mut options: Options) -> Result<Self, String> {
        let seconds = |value: Option<f64>, default| Duration::from_secs_f64(value.unwrap_or(default));
        let plan = Self {
            target: options.take("url")?.ok_or("--url is missing")?,
            viewers: options.take("viewers")?.unwrap_or(1),
            slow: options.take("slow")?.unwrap_or(0),
            slow_bytes_per_s: options.take("slow-bytes-per-s")?.unwrap_or(10_000),
            stuck: options.take("stuck")?.unwrap_or(0),
            join_per_s: options.take("join-per-s")?.unwrap_or(200).max(1),
            warm_up: seconds(options.take("warm-up-s")?, 1.0),
            window: seconds(options.take("seconds")?, 5.0),
            process: Process(options.take("pid")?),
        };
        options.finish()?;
        Ok(plan)
    }

    fn total(&self) -> usize {
        self.viewers + self.slow + self.stuck
    }

    fn tick(&self) -> Duration {
        if self.slow > 0 || self.target.path.contains(".m3u8") { TICK } else { LONG_TICK }
    }

    /// Good viewers first, so that the others find them in place.
    fn pace(&self, index: usize) -> Pace {
        match index {
            _ if index < self.viewers => Pace::Full,
            _ if index < self.viewers + self.slow => Pace::Slow(self.slow_bytes_per_s),
            _ => Pace::Stuck,
        }
    }
}

/// The report, one JSON line.
#[derive(Serialize)]
struct Report {
    viewers: usize,
    /// Viewers that saw a picture.
    joined: usize,
    /// Viewers that were lost, by reason.
    failed: BTreeMap<String, usize>,
    /// Length of the window.
    seconds: f64,
    /// Bytes that the good viewers got in the window, against what the stream held for them.
    delivered: f64,
    good: Seen,
    /// The slow viewers.
    slow: Option<Seen>,
    /// Failures among slow and stuck viewers.
    slow_failed: usize,
    #[serde(flatten)]
    cost: Cost,
}

struct Play {
    plan: Plan,
    clock: Clock,
    poll: Poll,
    viewers: Vec<Option<Viewer>>,
    scratch: Vec<u8>,
    good: Meter,
    slow: Meter,
    failed: BTreeMap<String, usize>,
    slow_failed: usize,
    next_tick: Duration,
}

/// Runs the mode and prints its report.
pub(crate) fn run(options: Options) -> Result<(), String> {
    let plan = Plan::take(options)?;
    let clock = Clock::start();
    let play = Play {
        viewers: Vec::with_capacity(plan.total()),
        plan,
        clock,
        poll: Poll::new().map_err(|error| error.to_string())?,
        scratch: vec![0; SCRATCH_BYTES],
        good: Meter::new(clock),
        slow: Meter::new(clock),
        failed: BTreeMap::new(),
        slow_failed: 0,
        next_tick: Duration::ZERO,
    };
    let report = play.run().map_err(|error| error.to_string())?;
    println!("{}", serde_json::to_string(&report).map_err(|error| error.to_string())?);
    Ok(())
}

impl Play {
    fn run(mut self) -> io::Result<Report> {
        let mut watch = Watch::begin(self.plan.process)?;
        self.join()?;
        let warm = self.clock.now() + self.plan.warm_up;
        while self.clock.now() < warm {
            self.step(warm)?;
        }
        watch.open()?;
        (self.good.open, self.slow.open) = (true, true);
        let opened = self.clock.now();
        let end = opened + self.plan.window;
        while self.clock.now() < end {
            self.step(end)?;
        }
        let cost = watch.end()?;
        Ok(self.report(cost, (self.clock.now() - opened).as_secs_f64()))
    }

    /// Connects everybody at the planned rate, and waits for their first pictures.
    fn join(&mut self) -> io::Result<()> {
        let began = self.clock.now();
        let joining = Duration::from_secs(1) * self.plan.total() as u32 / self.plan.join_per_s;
        let deadline = began + joining + JOIN_PATIENCE;
        while self.clock.now() < deadline {
            let due = (self.clock.now() - began).as_secs_f64() * f64::from(self.plan.join_per_s);
            while self.viewers.len() < self.plan.total() && self.viewers.len() as f64 <= due {
                self.connect()?;
            }
            let waiting = self.viewers.iter().flatten().any(|viewer| !viewer.has_joined());
            if self.viewers.len() == self.plan.total() && !waiting {
                return Ok(());
            }
            self.step(self.clock.now() + Duration::from_secs(1) / self.plan.join_per_s)?;
        }
        Ok(())
    }

    fn connect(&mut self) -> io::Result<()> {
        let index = self.viewers.len();
        let mut viewer = Viewer::connect(&self.plan.target, index, self.plan.pace(index), self.clock.now())?;
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut viewer.socket, Token(index), interest)?;
        self.viewers.push(Some(viewer));
        Ok(())
    }

    /// Serves all sockets that are ready, waiting for one until `until` at most.
    fn step(&mut self, until: Duration) -> io::Result<()> {
        let mut events = Events::with_capacity(1024);
        let timeout = until.min(self.next_tick).saturating_sub(self.clock.now());
        match self.poll.poll(&mut events, Some(timeout)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => other?,
        }
        for event in &events {
            self.serve(event.token().0, |viewer, now, scratch, meter| {
                if event.is_writable() {
                    viewer.write()?;
                }
                if event.is_readable() && !viewer.is_held_back() {
                    viewer.read(now, scratch, meter)
                } else {
                    Ok(())
                }
            });
        }
        if self.clock.now() >= self.next_tick {
            self.next_tick = self.clock.now() + self.plan.tick();
            for index in 0..self.viewers.len() {
                self.serve(index, tick);
            }
        }
        Ok(())
    }

    fn serve(
        &mut self,
        index: usize,
        act: impl FnOnce(&mut Viewer, Duration, &mut [u8], &mut Meter) -> Result<(), String>,
    ) {
        let Some(viewer) = &mut self.viewers[index] else { return };
        let meter = if viewer.pace == Pace::Full { &mut self.good } else { &mut self.slow };
        if let Err(reason) = act(viewer, self.clock.now(), &mut self.scratch, meter) {
            match viewer.pace {
                Pace::Full => *self.failed.entry(reason).or_default() += 1,
                Pace::Slow(_) | Pace::Stuck => self.slow_failed += 1,
            }
            self.viewers[index] = None;
        }
    }

    fn report(&self, cost: Cost, seconds: f64) -> Report {
        let (good, plan) = (self.good.summary(), &self.plan);
        let due = plan.viewers as f64 * seconds * BYTES_PER_S as f64;
        Report {
            viewers: plan.viewers,
            joined: self.viewers.iter().flatten().filter(|viewer| viewer.has_joined()).count(),
            failed: self.failed.clone(),
            seconds,
            delivered: good.bytes as f64 / due,
            good,
            slow: (plan.slow + plan.stuck > 0).then(|| self.slow.summary()),
            slow_failed: self.slow_failed,
            cost,
        }
    }
}

/// A slow viewer reads what it may by now; an HLS player looks at the clock.
fn tick(viewer: &mut Viewer, now: Duration, scratch: &mut [u8], meter: &mut Meter) -> Result<(), String> {
    if let Pace::Slow(bytes_per_s) = viewer.pace
        && viewer.is_held_back()
    {
        viewer.allowance = bytes_per_s * TICK.as_millis() as usize / 1000;
        viewer.read(now, scratch, meter)?;
    }
    viewer.tick(now)
}
