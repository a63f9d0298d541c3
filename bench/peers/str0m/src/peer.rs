//! One connection: str0m, a socket, and what came.

use std::{
    io::ErrorKind,
    net::UdpSocket,
    time::{Duration, Instant},
};

use str0m::{
    Candidate, Event, IceConnectionState, Input, Output, Rtc, RtcConfig,
    change::SdpAnswer,
    format::Codec,
    media::{Direction, MediaData, MediaKind, MediaTime, Mid},
    net::{Protocol, Receive},
};

use crate::{Result, Track, http, picture};

/// Everything but playing is done by then.
const DEADLINE: Duration = Duration::from_secs(60);

/// What a player got.
#[derive(Default)]
pub struct Got {
    pub pictures: u64,
    pub slices: Vec<u64>,
    pub sounds: u64,
    /// Frames before which something was missing.
    pub gaps: u64,
}

pub struct Peer {
    rtc: Rtc,
    socket: UdpSocket,
    session: String,
    began: Instant,
    connected: bool,
    over: bool,
    audio: Mid,
    video: Mid,
    pub got: Got,
    pub keyframes_asked_for: u64,
}

impl Peer {
    /// Offers a picture in H.264 and sound in Opus to an endpoint.
    pub fn open(url: &str, direction: Direction) -> Result<Self> {
        let began = Instant::now();
        let mut rtc = RtcConfig::new().clear_codecs().enable_h264(true).enable_opus(true, false).build(began);
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        rtc.add_local_candidate(Candidate::host(socket.local_addr()?, "udp")?);
        let mut change = rtc.sdp_api();
        let audio = change.add_media(MediaKind::Audio, direction, None, None, None);
        let video = change.add_media(MediaKind::Video, direction, None, None, None);
        let (offer, pending) = change.apply().ok_or("no offer")?;
        let (answer, session) = http::offer(url, &offer.to_sdp_string())?;
        rtc.sdp_api().accept_answer(pending, SdpAnswer::from_sdp_string(&answer)?)?;
        let (got, keyframes_asked_for) = (Got::default(), 0);
        Ok(Self {
            rtc,
            socket,
            session,
            began,
            connected: false,
            over: false,
            audio,
            video,
            got,
            keyframes_asked_for,
        })
    }

    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    pub fn is_connected(&self) -> bool {
        self.connected
    }

    pub fn is_over(&self) -> bool {
        self.over || !self.rtc.is_alive()
    }

    /// Where frames of that kind go, in that codec.
    pub fn track(&mut self, kind: MediaKind, codec: Codec) -> Result<Track> {
        let mid = if kind == MediaKind::Audio { self.audio } else { self.video };
        let writer = self.rtc.writer(mid).ok_or("the track was not taken")?;
        let found =
            writer.payload_params().find(|params| params.spec().codec == codec).map(|params| params.pt());
        Ok((mid, found.ok_or("the codec was not taken")?))
    }

    pub fn write(&mut self, (mid, pt): Track, time: MediaTime, data: &[u8]) -> Result<()> {
        let writer = self.rtc.writer(mid).ok_or("the track is gone")?;
        writer.write(pt, Instant::now(), time, data)?;
        self.send()?;
        Ok(())
    }

    pub fn go_on_for(&mut self, time: Duration) -> Result<()> {
        let until = Instant::now() + time;
        while Instant::now() < until {
            self.step(until)?;
        }
        Ok(())
    }

    pub fn go_on_until(&mut self, mut done: impl FnMut(&Self) -> bool) -> Result<()> {
        while !done(self) {
            if self.elapsed() > DEADLINE {
                return Err("nothing happens any more".into());
            }
            self.step(Instant::now() + Duration::from_millis(50))?;
        }
        Ok(())
    }

    /// Says goodbye over HTTP.
    pub fn leave(self) -> Result<()> {
        http::delete(&self.session)
    }

    /// Goes on for one datagram, or until something is due or `until` has come.
    fn step(&mut self, until: Instant) -> Result<()> {
        let timeout = self.send()?.min(until).saturating_duration_since(Instant::now());
        // A timeout of nothing is none for the system.
        self.socket.set_read_timeout(Some(timeout.max(Duration::from_micros(100))))?;
        let mut buffer = [0; 2_048];
        let received = self.socket.recv_from(&mut buffer);
        let now = Instant::now();
        let input = match received {
            Ok((length, source)) => {
                let destination = self.socket.local_addr()?;
                let contents = buffer[..length].try_into()?;
                Input::Receive(now, Receive { proto: Protocol::Udp, source, destination, contents })
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                Input::Timeout(now)
            }
            Err(error) => return Err(error.into()),
        };
        self.rtc.handle_input(input)?;
        Ok(())
    }

    /// Sends what is there to be sent, takes what has happened, and says when there is more to do.
    fn send(&mut self) -> Result<Instant> {
        loop {
            match self.rtc.poll_output()? {
                Output::Timeout(timeout) => return Ok(timeout),
                Output::Transmit(transmit) => {
                    self.socket.send_to(&transmit.contents, transmit.destination)?;
                }
                Output::Event(event) => self.take(event),
            }
        }
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Connected => self.connected = true,
            Event::IceConnectionStateChange(IceConnectionState::Disconnected) => self.over = true,
            Event::KeyframeRequest(_) => self.keyframes_asked_for += 1,
            Event::MediaData(data) => self.keep(&data),
            _ => {}
        }
    }

    fn keep(&mut self, data: &MediaData) {
        let first = if data.mid == self.video { self.got.pictures == 0 } else { self.got.sounds == 0 };
        self.got.gaps += u64::from(!first && !data.contiguous);
        if data.mid == self.video {
            self.got.pictures += 1;
            self.got.slices.extend(picture::slices(&data.data));
        } else {
            self.got.sounds += 1;
        }
    }
}
