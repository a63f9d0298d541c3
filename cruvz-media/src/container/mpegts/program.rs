//! The program that is read: its tables, its streams and what comes of them.

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;

use super::{
    Counters, Event, Limits, MAX_PID, PACKET_BYTES,
    elementary::{Access, Content, Moment, Output, Unit},
    packet::{Continuity, Order, Packet},
    pes::{Gathered, Pes, PesBuffer},
    psi::{PAT_PID, Pat, Pmt, StreamInfo},
    section::Sections,
};
use crate::{
    CodecParams, Frame, Timescale, Timestamp, Track, TrackId, TrackKind, Tracks, container::flv,
    time::Unwrapper,
};

/// The longest PES packet of anything but video: 16 bits of length and what they do not count.
const MAX_PES_BYTES: usize = 6 + 0xFFFF;
/// Half the 33-bit clock.
const HALF_CLOCK: i64 = 1 << 32;

/// Reads the packets of one program.
#[derive(Debug)]
pub(super) struct Program {
    limits: Limits,
    /// The number asked for; `None`: the first.
    wanted: Option<u16>,
    pat: Table,
    /// Number, packet id and sections of the program map, once the program association has named it.
    pmt: Option<(u16, u16, Table)>,
    map: Option<Pmt>,
    streams: Vec<Stream>,
    clock: Unwrapper,
    /// The time of what came last, for data that has none.
    now: Option<i64>,
    tracks: Tracks,
    hold: Option<Hold>,
    events: VecDeque<Event>,
}

/// The sections of a table.
#[derive(Debug)]
struct Table {
    continuity: Continuity,
    sections: Sections,
}

/// One stream of the program.
#[derive(Debug)]
struct Stream {
    info: StreamInfo,
    track: TrackId,
    continuity: Continuity,
    pes: PesBuffer,
    sections: Sections,
    content: Content,
    params: Option<CodecParams>,
    /// It turned out to be of a codec that we do not carry.
    is_unsupported: bool,
}

/// Frames that wait until all tracks are known.
#[derive(Debug, Default)]
struct Hold {
    since: Option<i64>,
    frames: Vec<Frame>,
    bytes: usize,
}

impl Program {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            wanted: None,
            pat: Table::new(),
            pmt: None,
            map: None,
            streams: Vec::new(),
            clock: Unwrapper::MPEG_TS,
            now: None,
            tracks: Tracks::empty(),
            hold: None,
            events: VecDeque::new(),
        }
    }

    pub(super) fn choose(&mut self, number: u16) {
        self.wanted = Some(number);
    }

    pub(super) fn next_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    pub(super) const fn tracks(&self) -> &Tracks {
        &self.tracks
    }

    pub(super) fn packet(&mut self, packet: &[u8; PACKET_BYTES], counters: &mut Counters) {
        let Some(packet) = Packet::parse(packet) else {
            counters.damaged_packets += 1;
            return;
        };
        if let Some(at) = self.streams.iter().position(|stream| stream.info.pid == packet.pid) {
            self.stream_packet(at, &packet, counters);
        } else if packet.pid == PAT_PID {
            for section in self.pat.push(&packet, counters) {
                self.pat_section(&section, counters);
            }
        } else if let Some((_, _, table)) = self.pmt.as_mut().filter(|(_, pid, _)| *pid == packet.pid) {
            for section in table.push(&packet, counters) {
                self.pmt_section(&section, counters);
            }
        }
    }

    pub(super) fn finish(&mut self, counters: &mut Counters) {
        for at in 0..self.streams.len() {
            let gathered = self.streams[at].pes.finish();
            self.gathered(at, gathered, counters);
        }
        self.release();
    }

    fn pat_section(&mut self, section: &[u8], counters: &mut Counters) {
        let Some(pat) = Pat::parse(section) else {
            counters.bad_sections += 1;
            return;
        };
        let found = match self.wanted {
            Some(wanted) => pat.programs().find(|(number, _)| *number == wanted),
            None if pat.section == 0 => pat.programs().next(),
            None => None,
        };
        let Some((number, pid)) = found else { return };
        if self.pmt.as_ref().is_none_or(|(known, at, _)| (*known, *at) != (number, pid)) {
            self.pmt = Some((number, pid, Table::new()));
        }
    }

    fn pmt_section(&mut self, section: &[u8], counters: &mut Counters) {
        let Some(map) = Pmt::parse(section) else {
            counters.bad_sections += 1;
            return;
        };
        let is_ours = |map: &Pmt| self.pmt.as_ref().is_some_and(|(number, ..)| *number == map.program);
        if let Some(map) = map.filter(is_ours)
            && self.map.as_ref() != Some(&map)
        {
            self.remap(map, counters);
        }
    }

    /// Takes a new program map: streams that are in the old one just so go on as they are.
    fn remap(&mut self, map: Pmt, counters: &mut Counters) {
        let stays = |stream: &Stream| map.streams.contains(&stream.info);
        for at in 0..self.streams.len() {
            if !stays(&self.streams[at]) {
                let gathered = self.streams[at].pes.finish();
                self.gathered(at, gathered, counters);
            }
        }
        if self.hold.is_some() {
            self.release();
        }
        let mut before = std::mem::take(&mut self.streams);
        let mut numbers = [0_u8; 3];
        let pmt_pid = self.pmt.as_ref().map(|(_, pid, _)| *pid);
        for info in &map.streams {
            let is_taken = matches!(info.pid, PAT_PID | MAX_PID)
                || Some(info.pid) == pmt_pid
                || self.streams.iter().any(|stream| stream.info.pid == info.pid);
            let known = before.iter().position(|stream| stream.info == *info);
            let stream = match known {
                Some(at) => Some(before.swap_remove(at)),
                None => Content::of(info).map(|content| Stream::new(info, content)),
            };
            match stream.filter(|_| !is_taken && self.streams.len() < self.limits.streams) {
                Some(mut stream) => {
                    stream.track = track_id(stream.content.kind(), &mut numbers);
                    self.streams.push(stream);
                }
                None => counters.unsupported_streams += 1,
            }
        }
        self.map = Some(map);
        self.hold = Some(Hold::default());
        self.settle();
    }

    fn stream_packet(&mut self, at: usize, packet: &Packet<'_>, counters: &mut Counters) {
        let stream = &mut self.streams[at];
        if stream.is_unsupported || !stream.follows(packet, counters) || packet.payload.is_empty() {
            return;
        }
        if packet.scrambled {
            counters.scrambled += 1;
            stream.lose(counters);
            return;
        }
        if matches!(stream.content, Content::Sections | Content::Cues) {
            let mut whole = Vec::new();
            if !stream.sections.push(packet.start, packet.payload, |section| {
                whole.push(Bytes::copy_from_slice(section));
            }) {
                counters.bad_sections += 1;
            }
            for payload in whole {
                let access = Access { moment: None, random_access: false, payload };
                self.access(at, access, counters);
            }
            return;
        }
        if packet.start {
            let gathered = self.streams[at].pes.finish();
            self.gathered(at, gathered, counters);
            self.streams[at].pes.start(packet.random_access);
        }
        if self.is_full(at, packet.payload.len()) {
            if self.streams[at].pes.lose() {
                counters.oversized_pes += 1;
                self.streams[at].content.lose();
            }
            return;
        }
        let gathered = self.streams[at].pes.push(packet.payload);
        self.gathered(at, gathered, counters);
    }

    /// Whether so many bytes more of a stream go beyond the limits.
    fn is_full(&self, at: usize, bytes: usize) -> bool {
        let stream = &self.streams[at];
        let most = match stream.content.kind() {
            TrackKind::Video => self.limits.pes_bytes,
            TrackKind::Audio | TrackKind::Data => MAX_PES_BYTES + PACKET_BYTES,
        };
        let held = self.hold.as_ref().map_or(0, |hold| hold.bytes);
        let buffered: usize = self.streams.iter().map(|stream| stream.pes.len()).sum();
        stream.pes.len() + bytes > most || held + buffered + bytes > self.limits.buffered_bytes
    }

    fn gathered(&mut self, at: usize, gathered: Option<Gathered>, counters: &mut Counters) {
        match gathered {
            None => {}
            Some(Gathered::Damaged) => {
                counters.damaged_pes += 1;
                self.streams[at].content.lose();
            }
            Some(Gathered::Scrambled) => {
                counters.scrambled += 1;
                self.streams[at].content.lose();
            }
            Some(Gathered::Whole(pes)) => {
                let moment = self.moment(&pes);
                let access = Access { moment, random_access: pes.random_access, payload: pes.payload };
                self.access(at, access, counters);
            }
        }
    }

    /// The times of a PES packet on the unwrapped clock.
    fn moment(&mut self, pes: &Pes) -> Option<Moment> {
        let pts = pes.pts?;
        let wire = pes.dts.unwrap_or(pts);
        let dts = self.clock.unwrap(wire);
        let ahead = (pts.wrapping_sub(wire) & (2 * HALF_CLOCK as u64 - 1)) as i64;
        let composition = if ahead < HALF_CLOCK { ahead } else { ahead - 2 * HALF_CLOCK };
        self.now = Some(dts);
        Some(Moment { pts: dts.saturating_add(composition), dts })
    }

    fn access(&mut self, at: usize, access: Access, counters: &mut Counters) {
        let mut outputs = Vec::new();
        self.streams[at].content.push(access, self.now, counters, &mut outputs);
        for output in outputs {
            match output {
                Output::Params(params) => self.configure(at, params),
                Output::Unit(unit) => self.unit(at, unit),
                Output::Unsupported => {
                    counters.unsupported_streams += 1;
                    self.streams[at].is_unsupported = true;
                    self.settle();
                }
            }
        }
        if let (Some(hold), Some(now)) = (&mut self.hold, self.now) {
            let since = *hold.since.get_or_insert(now);
            let most = Duration::from_millis(self.limits.hold_ms.into());
            let waited = Timestamp::new(now.saturating_sub(since).saturating_abs(), Timescale::MPEG);
            if waited.duration_since(Timestamp::ZERO) >= most || 2 * hold.bytes > self.limits.buffered_bytes {
                self.release();
            }
        }
    }

    fn configure(&mut self, at: usize, params: CodecParams) {
        if self.streams[at].params.is_some() && self.hold.is_some() {
            // The frames that are held are of the configuration before.
            self.release();
        }
        self.streams[at].params = Some(params);
        match self.hold {
            Some(_) => self.settle(),
            None => self.publish(),
        }
    }

    fn unit(&mut self, at: usize, unit: Unit) {
        let time = |ticks| Timestamp::new(ticks, Timescale::MPEG);
        let Unit { pts, dts, keyframe, payload } = unit;
        let track = self.streams[at].track;
        let frame = Frame { track, pts: time(pts), dts: time(dts), keyframe, payload };
        match &mut self.hold {
            Some(hold) => {
                hold.bytes += frame.payload.len() + size_of::<Frame>();
                hold.frames.push(frame);
            }
            None => self.events.push_back(Event::Frame(frame)),
        }
    }

    /// Ends the waiting if there is nothing to wait for.
    fn settle(&mut self) {
        if self.streams.iter().all(|stream| stream.params.is_some() || stream.is_unsupported) {
            self.release();
        }
    }

    /// Gives out what is held, if there is a track to give it to; else the waiting goes on.
    fn release(&mut self) {
        if self.streams.iter().all(|stream| stream.params.is_none()) {
            return;
        }
        self.publish();
        let held = self.hold.take().map(|hold| hold.frames).unwrap_or_default();
        self.events.extend(held.into_iter().map(Event::Frame));
    }

    fn publish(&mut self) {
        let tracks: Vec<Track> = self.streams.iter().filter_map(Stream::as_track).collect();
        let tracks = Tracks::new(tracks);
        if *tracks != *self.tracks {
            self.tracks = tracks.clone();
            self.events.push_back(Event::Tracks(tracks));
        }
    }
}

impl Table {
    fn new() -> Self {
        Self { continuity: Continuity::new(), sections: Sections::default() }
    }

    /// Takes a packet and gives the sections that are whole.
    fn push(&mut self, packet: &Packet<'_>, counters: &mut Counters) -> Vec<Bytes> {
        let mut whole = Vec::new();
        match self.continuity.order(packet) {
            Order::Next => {}
            Order::Duplicate => {
                counters.duplicates += 1;
                return whole;
            }
            order @ (Order::Announced | Order::Lost) => {
                counters.continuity_errors += u64::from(order == Order::Lost);
                self.sections.lose();
            }
        }
        if packet.scrambled {
            counters.scrambled += 1;
        } else if !packet.payload.is_empty()
            && !self.sections.push(packet.start, packet.payload, |section| {
                whole.push(Bytes::copy_from_slice(section));
            })
        {
            counters.bad_sections += 1;
        }
        whole
    }
}

impl Stream {
    fn new(info: &StreamInfo, content: Content) -> Self {
        Self {
            info: info.clone(),
            track: TrackId::DATA,
            continuity: Continuity::new(),
            pes: PesBuffer::default(),
            sections: Sections::default(),
            params: content.params(info),
            content,
            is_unsupported: false,
        }
    }

    /// Checks the continuity of a packet and whether it is to be read.
    fn follows(&mut self, packet: &Packet<'_>, counters: &mut Counters) -> bool {
        match self.continuity.order(packet) {
            Order::Next => {}
            Order::Duplicate => {
                counters.duplicates += 1;
                return false;
            }
            Order::Announced => self.lose(counters),
            Order::Lost => {
                counters.continuity_errors += 1;
                self.lose(counters);
            }
        }
        true
    }

    /// Drops what was begun, for its end will not come.
    fn lose(&mut self, counters: &mut Counters) {
        counters.damaged_pes += u64::from(self.pes.lose());
        counters.bad_sections += u64::from(self.sections.lose());
        self.content.lose();
    }

    fn as_track(&self) -> Option<Track> {
        Some(Track { id: self.track, timescale: Timescale::MPEG, params: self.params.clone()? })
    }
}

/// The id of the next stream of `kind`: see the module.
fn track_id(kind: TrackKind, numbers: &mut [u8; 3]) -> TrackId {
    let number = match kind {
        TrackKind::Video => &mut numbers[0],
        TrackKind::Audio => &mut numbers[1],
        TrackKind::Data => &mut numbers[2],
    };
    let id = match kind {
        TrackKind::Data => TrackId(0x400 + u32::from(*number)),
        kind => flv::track_id(kind, *number),
    };
    *number = number.saturating_add(1);
    id
}
