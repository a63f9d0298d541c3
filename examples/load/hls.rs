//! An HLS player without a decoder: it reloads its playlist as RFC 8216 §6.3.4 asks and fetches each segment once.

use std::{collections::VecDeque, time::Duration};

use bytes::BytesMut;

use crate::{
    meter::{Meter, Sight},
    stamp::STAMP_BYTES,
};

/// Far more than any playlist takes.
const MAX_TEXT_BYTES: usize = 256 << 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Playlist,
    Init,
    Segment,
}

/// One response as it comes.
enum Response {
    Head(Vec<u8>),
    Body { found: bool, left: usize, text: Vec<u8> },
}

/// One player on one kept-alive connection.
pub(crate) struct HlsPlayer {
    host: String,
    playlist: String,
    init: Option<String>,
    /// The number after that of the newest segment that was asked for.
    next_segment: Option<u64>,
    wanted: VecDeque<(Asked, String)>,
    asked: Option<Asked>,
    response: Response,
    /// When to ask for the playlist again.
    pub(crate) reload_at: Option<Duration>,
    reload_every: Duration,
    out: BytesMut,
}

impl HlsPlayer {
    pub(crate) fn new(host: &str, path: &str) -> Self {
        let mut player = Self {
            host: host.to_owned(),
            playlist: path.to_owned(),
            init: None,
            next_segment: None,
            wanted: VecDeque::new(),
            asked: None,
            response: Response::Head(Vec::new()),
            reload_at: None,
            reload_every: Duration::from_secs(1),
            out: BytesMut::new(),
        };
        player.reload();
        player
    }

    /// Asks for the playlist, unless something else is under way; then it comes after that.
    pub(crate) fn reload(&mut self) {
        self.reload_at = None;
        self.wanted.push_back((Asked::Playlist, self.playlist.clone()));
        self.ask();
    }

    pub(crate) fn take_out(&mut self) -> BytesMut {
        self.out.split()
    }

    fn ask(&mut self) {
        if self.asked.is_none()
            && let Some((asked, path)) = self.wanted.pop_front()
        {
            let request = format!("GET {path} HTTP/1.1\r\nhost: {}\r\n\r\n", self.host);
            self.out.extend_from_slice(request.as_bytes());
            self.asked = Some(asked);
        }
    }

    /// Takes all of `input`.
    pub(crate) fn receive(
        &mut self,
        mut input: &[u8],
        now: Duration,
        sight: &mut Sight,
        meter: &mut Meter,
    ) -> Result<(), String> {
        while let [byte, rest @ ..] = input {
            match &mut self.response {
                Response::Head(head) => {
                    input = rest;
                    head.push(*byte);
                    if head.ends_with(b"\r\n\r\n") {
                        let (found, left) = read_head(&String::from_utf8_lossy(head))?;
                        self.response = Response::Body { found, left, text: Vec::new() };
                    } else if head.len() > MAX_TEXT_BYTES {
                        return Err("an HTTP head without an end".to_owned());
                    }
                }
                Response::Body { left, text, .. } => {
                    let (piece, later) = input.split_at((*left).min(input.len()));
                    input = later;
                    *left -= piece.len();
                    match self.asked {
                        Some(Asked::Segment) => look_for_pictures(text, piece, now, sight, meter),
                        _ if text.len() + piece.len() > MAX_TEXT_BYTES => {
                            return Err("a playlist without an end".to_owned());
                        }
                        _ => text.extend_from_slice(piece),
                    }
                }
            }
            self.finish_response(now)?;
        }
        Ok(())
    }

    /// Goes on to the next request, if the response is whole.
    fn finish_response(&mut self, now: Duration) -> Result<(), String> {
        let Response::Body { found, left: 0, text } = &mut self.response else { return Ok(()) };
        let (found, text) = (*found, std::mem::take(text));
        self.response = Response::Head(Vec::new());
        match self.asked.take() {
            Some(Asked::Playlist) if found => self.read_playlist(&String::from_utf8_lossy(&text), now),
            // A stream without a segment yet may have no playlist either.
            Some(Asked::Playlist) if self.next_segment.is_none() => {
                self.reload_at = Some(now + self.reload_every / 2);
            }
            _ if found => {}
            asked => return Err(format!("{asked:?} not found")),
        }
        self.ask();
        Ok(())
    }

    fn read_playlist(&mut self, text: &str, now: Duration) {
        let (mut number, mut first_new) = (0, self.next_segment);
        let mut segments = Vec::new();
        for line in text.lines().map(str::trim) {
            if let Some(value) = line.strip_prefix("#EXT-X-TARGETDURATION:") {
                self.reload_every = Duration::from_secs(value.parse().unwrap_or(1));
            } else if let Some(value) = line.strip_prefix("#EXT-X-MEDIA-SEQUENCE:") {
                number = value.parse().unwrap_or(0);
            } else if let Some(value) = line.strip_prefix("#EXT-X-MAP:") {
                self.want_init(value);
            } else if !line.is_empty() && !line.starts_with('#') {
                segments.push(resolve(&self.playlist, line));
            }
        }
        if text.contains("#EXT-X-STREAM-INF") {
            if let Some(playlist) = segments.into_iter().next() {
                self.playlist = playlist;
                self.wanted.push_back((Asked::Playlist, self.playlist.clone()));
            }
            return;
        }
        let end = number + segments.len() as u64;
        // A joiner begins with the newest segment.
        let begin = *first_new.get_or_insert_with(|| end.saturating_sub(1));
        for (segment, number) in segments.into_iter().zip(number..) {
            if number >= begin {
                self.wanted.push_back((Asked::Segment, segment));
            }
        }
        let unchanged = self.next_segment == Some(end);
        self.next_segment = (end > 0).then_some(end.max(begin));
        self.reload_at = Some(now + if unchanged { self.reload_every / 2 } else { self.reload_every });
    }

    fn want_init(&mut self, attributes: &str) {
        let uri = attributes.split("URI=\"").nth(1).and_then(|rest| rest.split('"').next());
        if let Some(uri) = uri.map(|uri| resolve(&self.playlist, uri))
            && self.init.as_ref() != Some(&uri)
        {
            self.wanted.push_back((Asked::Init, uri.clone()));
            self.init = Some(uri);
        }
    }
}

/// Looks for stamps in `piece`. `carry` is the end of what came before, in which one may have begun.
fn look_for_pictures(carry: &mut Vec<u8>, piece: &[u8], now: Duration, sight: &mut Sight, meter: &mut Meter) {
    carry.extend_from_slice(&piece[..piece.len().min(STAMP_BYTES - 1)]);
    meter.segment(sight, now, carry);
    meter.segment(sight, now, piece);
    if piece.len() >= STAMP_BYTES {
        carry.clear();
        carry.extend_from_slice(&piece[piece.len() - (STAMP_BYTES - 1)..]);
    }
    // Too short for a stamp of its own, so what it ended may be forgotten only in part.
    carry.drain(..carry.len().saturating_sub(STAMP_BYTES - 1));
}

/// Whether the response is the thing asked for, and the length of its body.
fn read_head(head: &str) -> Result<(bool, usize), String> {
    let status = head.lines().next().unwrap_or_default();
    let mut lengths = head.lines().filter_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    });
    let length = lengths.next_back().ok_or_else(|| format!("{status}, without a content-length"))?;
    Ok((status.starts_with("HTTP/1.1 200"), length))
}

/// The path on the same host that `uri` in `playlist` means.
fn resolve(playlist: &str, uri: &str) -> String {
    if let Some((_, rest)) = uri.split_once("://") {
        return rest.find('/').map_or_else(|| "/".to_owned(), |slash| rest[slash..].to_owned());
    }
    if uri.starts_with('/') {
        return uri.to_owned();
    }
    let path = playlist.split('?').next().unwrap_or_default();
    let folder = path.rfind('/').map_or("", |slash| &path[..slash]);
    format!("{folder}/{uri}")
}
