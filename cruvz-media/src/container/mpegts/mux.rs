//! Frames to packets.

use bytes::{Bytes, BytesMut};

use super::{
    PACKET_BYTES,
    form::Form,
    psi::{self, PAT_PID, StreamInfo},
    write::{Adaptation, Continuity, put_adaptation_only, put_payload, put_section, section_packets},
};
use crate::{CodecParams, Frame, Timescale, TrackId, TrackKind, Tracks};

/// Where the program map is, and the first of the streams.
const PMT_PID: u16 = 0x1000;
const FIRST_PID: u16 = 0x100;
const PROGRAM: u16 = 1;
/// The longest distance between two PCRs, in ticks: 40 ms (ETSI TS 101 154 §4.1.5.3; ISO/IEC 13818-1 allows 100).
const PCR_TICKS: i64 = 3_600;
/// A pause that is bridged with PCRs, in ticks. Behind a longer one the clock is announced anew.
const BRIDGED_TICKS: i64 = 90_000;

/// How a [`Muxer`] writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MuxOptions {
    /// How far the clock references lie behind the decoding times, in milliseconds: what a receiver that keeps to them
    /// buffers. Default 200. Smaller: audio that lags behind video by more comes too late for such receivers. Most
    /// software players go by their own buffers alone.
    pub delay_ms: u32,
    /// The longest time between two program maps where no keyframe brings one, in milliseconds. Default 100, as ETSI TR
    /// 101 211 §4.4 recommends. The tables take 376 bytes; larger saves 30 kbit/s at most, and a receiver that joins
    /// without [`Muxer::rejoin`] waits longer.
    pub tables_ms: u32,
}

impl Default for MuxOptions {
    fn default() -> Self {
        Self { delay_ms: 200, tables_ms: 100 }
    }
}

/// Whether a transport stream, as we write it, can carry tracks of these parameters: H.264, H.265, AAC as ADTS has it (no
/// low-delay types, no channel lists), MP3, AC-3, E-AC-3, Opus in its usual channel orders, and MPEG-TS data. Not AV1,
/// VP8, VP9, FLAC and script data.
pub fn carries(params: &CodecParams) -> bool {
    Form::of(params).is_some()
}

/// Turns the frames of a stream into transport packets, once for all who watch.
///
/// Each call of [`Self::frame`] gives whole packets. A video keyframe begins with the tables and has its parameter sets in
/// band, so that a viewer can start there with nothing before. One muxer serves a stream all its life: its continuity
/// counters go on when the tracks change.
///
/// ```
/// use bytes::Bytes;
/// use cruvz_media::{Codec, Frame, Timescale, Timestamp, Track, TrackId, Tracks, codec};
/// use cruvz_media::container::mpegts::{MuxOptions, Muxer, PACKET_BYTES};
///
/// let params = codec::parse(Codec::Aac, Bytes::from_static(&[0x11, 0x90]))?;
/// let tracks = Tracks::new(vec![Track { id: TrackId::AUDIO, timescale: Timescale::MILLIS, params }]);
/// let at = Timestamp::ZERO;
/// let payload = Bytes::from_static(&[0x21, 0x25]);
/// let frame = Frame { track: TrackId::AUDIO, pts: at, dts: at, keyframe: true, payload };
/// let packets = Muxer::new(MuxOptions::default()).frame(&tracks, &frame);
/// // Program association, program map, the frame.
/// assert_eq!(packets.len(), 3 * PACKET_BYTES);
/// # Ok::<(), codec::Error>(())
/// ```
#[derive(Debug)]
pub struct Muxer {
    options: MuxOptions,
    tracks: Tracks,
    outputs: Vec<Output>,
    pat: Bytes,
    pmt: Bytes,
    version: u8,
    /// The stream that has the clock references: the first video, else the first audio.
    clock_pid: u16,
    continuity: Continuity,
    /// The counters before the last frame.
    before: Continuity,
    /// When the tables were written last.
    tables_at: Option<i64>,
    /// The last clock reference.
    clock: Option<i64>,
    /// The PES packet in the making.
    pes: BytesMut,
}

/// A track and how it is written.
#[derive(Clone, Debug)]
struct Output {
    track: TrackId,
    kind: TrackKind,
    info: StreamInfo,
    form: Form,
}

impl Default for Muxer {
    fn default() -> Self {
        Self::new(MuxOptions::default())
    }
}

impl Muxer {
    /// A muxer that has written nothing yet.
    pub fn new(options: MuxOptions) -> Self {
        Self {
            options,
            tracks: Tracks::empty(),
            outputs: Vec::new(),
            pat: psi::pat(PROGRAM, PMT_PID),
            pmt: Bytes::new(),
            version: 31,
            clock_pid: FIRST_PID,
            continuity: Continuity::default(),
            before: Continuity::default(),
            tables_at: None,
            clock: None,
            pes: BytesMut::new(),
        }
    }

    /// The packets of `frame`, one of `tracks`; none when the format cannot carry it. Tables and clock references that
    /// are due come with it.
    pub fn frame(&mut self, tracks: &Tracks, frame: &Frame) -> Bytes {
        self.update(tracks);
        self.before.clone_from(&self.continuity);
        let Some(at) = self.outputs.iter().position(|output| output.track == frame.track) else {
            return Bytes::new();
        };
        let output = &self.outputs[at];
        let (pid, kind, is_section) = (output.info.pid, output.kind, output.form.is_section());
        let ticks = frame.dts.rescale(Timescale::MPEG).ticks();
        self.pes.clear();
        if output.form.put(frame, self.delay(), &mut self.pes).is_none() {
            return Bytes::new();
        }
        let mut out = BytesMut::with_capacity(self.pes.len() + self.pes.len() / 40 + 4 * PACKET_BYTES);
        let is_start = kind == TrackKind::Video && frame.keyframe;
        if is_start || self.tables_due(ticks) {
            self.tables_at = Some(ticks);
            self.put_tables(&mut out);
        }
        let mut first = self.clock_reference(pid, kind, ticks, &mut out);
        first.random_access = is_start;
        if is_section {
            put_section(pid, &self.pes, first, &mut self.continuity, &mut out);
        } else {
            put_payload(pid, &self.pes, first, &mut self.continuity, &mut out);
        }
        out.freeze()
    }

    /// What a viewer is to be given before the frame muxed last, if it got none before or missed some: the tables, and
    /// for each stream a packet that announces a discontinuity, so that its counters go on from there.
    pub fn rejoin(&self) -> Bytes {
        let mut out = BytesMut::with_capacity((self.outputs.len() + 3) * PACKET_BYTES);
        for (pid, section) in [(PAT_PID, &self.pat), (PMT_PID, &self.pmt)] {
            if section.is_empty() {
                continue;
            }
            let first = Adaptation::discontinuity();
            // They are the packets just before those to come.
            let packets = section_packets(section, first) as u8;
            let mut continuity = Continuity::default();
            continuity.set(pid, self.before.last(pid).wrapping_sub(packets));
            put_section(pid, section, first, &mut continuity, &mut out);
        }
        for output in &self.outputs {
            let pid = output.info.pid;
            put_adaptation_only(pid, self.before.last(pid), Adaptation::discontinuity(), &mut out);
        }
        out.freeze()
    }

    /// Writes for `tracks` from now on.
    fn update(&mut self, tracks: &Tracks) {
        if self.tracks.same(tracks) {
            return;
        }
        self.tracks = tracks.clone();
        let before: Vec<_> = self.outputs.drain(..).map(|output| output.info).collect();
        let forms = tracks.iter().filter_map(|track| Some((track, Form::of(&track.params)?)));
        self.outputs = forms
            .zip(FIRST_PID..PMT_PID)
            .map(|((track, form), pid)| Output {
                track: track.id,
                kind: track.kind(),
                info: form.stream_info(pid, &track.params),
                form,
            })
            .collect();
        let first = |kind| self.outputs.iter().find(|output| output.kind == kind);
        let clock =
            first(TrackKind::Video).or_else(|| first(TrackKind::Audio)).or_else(|| self.outputs.first());
        self.clock_pid = clock.map_or(FIRST_PID, |output| output.info.pid);
        if self.outputs.iter().map(|output| &output.info).ne(&before) {
            self.version = (self.version + 1) & 0x1F;
            self.tables_at = None;
            self.map();
        }
    }

    /// Makes the program map, of as many streams as there is room for.
    fn map(&mut self) {
        loop {
            let infos: Vec<_> = self.outputs.iter().map(|output| output.info.clone()).collect();
            if let Some(pmt) = psi::pmt(PROGRAM, self.version, self.clock_pid, &infos) {
                self.pmt = pmt;
                return;
            }
            self.outputs.pop();
        }
    }

    fn tables_due(&self, ticks: i64) -> bool {
        let most = i64::from(self.options.tables_ms) * 90;
        self.tables_at.is_none_or(|at| !(0..most).contains(&ticks.saturating_sub(at)))
    }

    fn put_tables(&mut self, out: &mut BytesMut) {
        put_section(PAT_PID, &self.pat, Adaptation::default(), &mut self.continuity, out);
        put_section(PMT_PID, &self.pmt, Adaptation::default(), &mut self.continuity, out);
    }

    fn delay(&self) -> i64 {
        i64::from(self.options.delay_ms) * 90
    }

    /// Writes the clock references that are due before a frame of `pid` at `ticks`, and gives the one that its own first
    /// packet is to have.
    fn clock_reference(&mut self, pid: u16, kind: TrackKind, ticks: i64, out: &mut BytesMut) -> Adaptation {
        let is_own = pid == self.clock_pid;
        if !is_own && kind == TrackKind::Data {
            return Adaptation::default();
        }
        // Other streams keep the clock going only where its own has stopped.
        let due = if is_own { ticks } else { ticks.saturating_sub(self.delay()) };
        let due = self.clock.map_or(due, |last| last.max(due));
        let passed = self.clock.map_or(0, |last| due.saturating_sub(last));
        let is_jump = passed > BRIDGED_TICKS;
        let bridges = if is_jump { 0 } else { (passed - 1).max(0) / PCR_TICKS };
        let start = due - passed;
        for bridge in 1..=bridges {
            self.put_clock(Adaptation::clock(start + passed * bridge / (bridges + 1)), out);
        }
        let reference = Adaptation { discontinuity: is_jump, ..Adaptation::clock(due) };
        if is_own {
            self.clock = Some(due);
            return reference;
        }
        if is_jump || self.clock.is_none() {
            self.put_clock(reference, out);
        }
        Adaptation::default()
    }

    /// Writes a clock reference in a packet of its own.
    fn put_clock(&mut self, reference: Adaptation, out: &mut BytesMut) {
        self.clock = reference.clock.or(self.clock);
        put_adaptation_only(self.clock_pid, self.continuity.last(self.clock_pid), reference, out);
    }
}
