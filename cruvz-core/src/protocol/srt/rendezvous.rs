//! Two sides that both connect (§4.3.2), each from the port that the other one calls.
//!
//! Both wave until they hear from each other. Whose cookie is the larger one becomes the initiator and goes on as
//! a caller does behind the cookie; the other one answers as a listener does, until it knows that the answer came.

use core::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;

use super::caller::{
    Answered, CallerConfig, Local, Offered, Outcome, conclusion, initial_seq, micros, offer,
};
use super::config::payload_bytes;
use super::control::{Control, ControlPacket};
use super::established::Established;
use super::handshake::{Cookie, Handshake, Stage};
use super::listener::Offer;
use super::{Random, Reject, SocketId};

enum Phase {
    /// Nobody has been heard.
    Waving,
    /// Waiting for the answer to this conclusion.
    Initiator(Box<(Handshake, Offered)>),
    /// Waiting for the initiator's conclusion.
    Responder,
    /// Waiting for a sign that the initiator has this answer.
    Answered(Box<(Handshake, Established)>),
    Over,
}

/// One of two connecting sides as a state machine. See the [module](self).
///
/// Give it only what comes from the peer's address, and whatever comes from there: the peer writes
/// [`SocketId::LISTENER`] as the destination until it knows our id.
pub struct Rendezvous {
    config: CallerConfig,
    remote: SocketAddr,
    wave: Handshake,
    random: Random,
    started: Duration,
    phase: Phase,
    peer: SocketId,
    next_send: Duration,
    /// A last packet.
    farewell: Option<Stage>,
}

impl Rendezvous {
    /// A side that meets `remote` and whose packets come to `local_id`.
    pub fn new(
        now: Duration,
        config: CallerConfig,
        remote: SocketAddr,
        local_id: SocketId,
        mut random: Random,
    ) -> Self {
        let induction = Handshake::induction(
            initial_seq(&mut random),
            config.link.mtu,
            config.link.flow_window,
            local_id,
        );
        let wave = Handshake {
            version: 5,
            extension_field: 0,
            stage: Stage::WaveAHand,
            cookie: Cookie(random.number()),
            address: remote.ip().into(),
            ..induction
        };
        let (phase, peer) = (Phase::Waving, SocketId::LISTENER);
        Self { config, remote, wave, random, started: now, phase, peer, next_send: now, farewell: None }
    }

    /// A packet for the peer, if it is time.
    pub fn poll_transmit(&mut self, now: Duration) -> Option<Bytes> {
        let plain = |stage| Handshake { stage, ..self.wave.clone() };
        if let Some(stage) = self.farewell.take() {
            return Some(self.packet(now, &plain(stage)));
        }
        if now < self.next_send {
            return None;
        }
        let handshake = match &self.phase {
            Phase::Waving => self.wave.clone(),
            Phase::Responder => plain(Stage::Conclusion),
            Phase::Initiator(attempt) => attempt.0.clone(),
            Phase::Answered(answer) => answer.0.clone(),
            Phase::Over => return None,
        };
        self.next_send = now + self.config.retry_interval;
        Some(self.packet(now, &handshake))
    }

    fn packet(&self, now: Duration, handshake: &Handshake) -> Bytes {
        let timestamp_us = micros(now.saturating_sub(self.started));
        let body = Control::Handshake(handshake.to_bytes());
        ControlPacket { timestamp_us, destination: self.peer, body }.to_bytes()
    }

    /// When there is something to send, or to give up, at the earliest; `None` when it is over.
    pub fn poll_timeout(&self) -> Option<Duration> {
        match self.phase {
            Phase::Over => None,
            _ => Some(self.next_send.min(self.deadline())),
        }
    }

    /// Tells the time.
    pub fn handle_timeout(&mut self, now: Duration) -> Option<Outcome> {
        if now < self.deadline() || matches!(self.phase, Phase::Over) {
            return None;
        }
        self.phase = Phase::Over;
        Some(Outcome::Rejected(Reject::TIMEOUT))
    }

    fn deadline(&self) -> Duration {
        self.started + self.config.connect_timeout
    }

    /// Takes a packet from the peer. What does not belong here is passed over; a data packet is to be told as
    /// [`Control::KeepAlive`], for it, too, shows that the peer is connected.
    pub fn receive(&mut self, now: Duration, packet: &ControlPacket) -> Option<Outcome> {
        let Control::Handshake(body) = &packet.body else { return self.finish() };
        let handshake = Handshake::parse(body.clone()).ok()?;
        match handshake.stage {
            _ if matches!(self.phase, Phase::Over) => None,
            Stage::Reject(reason) => {
                self.phase = Phase::Over;
                Some(Outcome::Rejected(reason))
            }
            Stage::Agreement => self.finish(),
            Stage::WaveAHand | Stage::Conclusion => self
                .take_sides(now, &handshake)
                .and_then(|()| self.negotiate(now, packet.timestamp_us, handshake))
                .unwrap_or_else(|reason| {
                    (self.phase, self.farewell) = (Phase::Over, Some(Stage::Reject(reason)));
                    Some(Outcome::Rejected(reason))
                }),
            _ => None,
        }
    }

    /// Ends the responder's wait: the initiator is connected.
    fn finish(&mut self) -> Option<Outcome> {
        match std::mem::replace(&mut self.phase, Phase::Over) {
            Phase::Answered(answer) => Some(Outcome::Established(Box::new(answer.1))),
            phase => {
                self.phase = phase;
                None
            }
        }
    }

    /// Decides who is the initiator, at the first sign of the peer.
    fn take_sides(&mut self, now: Duration, theirs: &Handshake) -> Result<(), Reject> {
        if !matches!(self.phase, Phase::Waving) {
            return Ok(());
        }
        if theirs.version < 5 {
            return Err(Reject::VERSION);
        }
        self.peer = theirs.socket_id;
        self.next_send = now;
        self.phase = match is_initiator(self.wave.cookie, theirs.cookie) {
            Some(true) => {
                let offered = offer(&self.config, &mut self.random);
                let conclusion = conclusion(&self.wave, &self.config, self.wave.cookie, offered.as_ref());
                Phase::Initiator(Box::new((conclusion, offered)))
            }
            Some(false) => Phase::Responder,
            None => return Err(Reject::RDVCOOKIE),
        };
        Ok(())
    }

    /// Takes the peer's conclusion, if it is one with extensions; without them it says no more than a wave.
    fn negotiate(
        &mut self,
        now: Duration,
        timestamp_us: u32,
        theirs: Handshake,
    ) -> Result<Option<Outcome>, Reject> {
        if theirs.extensions.is_empty() {
            return Ok(None);
        }
        match std::mem::replace(&mut self.phase, Phase::Over) {
            Phase::Initiator(attempt) => {
                let answered = Answered::read(&theirs, attempt.1)?;
                let local = Local {
                    config: &self.config,
                    remote: self.remote,
                    induction: &self.wave,
                    started: self.started,
                };
                self.farewell = Some(Stage::Agreement);
                let established = local.established(now, timestamp_us, &theirs, answered);
                Ok(Some(Outcome::Established(Box::new(established))))
            }
            Phase::Responder => {
                self.phase = Phase::Answered(Box::new(self.answer(now, timestamp_us, theirs)?));
                self.next_send = now;
                Ok(None)
            }
            phase => {
                // The initiator asks again, so our answer was lost.
                (self.phase, self.next_send) = (phase, now);
                Ok(None)
            }
        }
    }

    /// The answer to an initiator, and the connection that comes of it.
    fn answer(
        &self,
        now: Duration,
        timestamp_us: u32,
        theirs: Handshake,
    ) -> Result<(Handshake, Established), Reject> {
        if !theirs.is_sane() {
            return Err(Reject::ROGUE);
        }
        let offer = Offer::read(theirs.extensions.clone())?;
        let link = &self.config.link;
        let crypto = offer.unlock(link, self.random.clone())?;
        let (hello, mtu) = (link.answer(&offer.hello), link.agreed_mtu(&theirs));
        let answer = Handshake {
            key_length: offer.announced_key_length(),
            stage: Stage::Conclusion,
            mtu,
            extensions: offer.answer(hello),
            ..self.wave.clone()
        };
        let established = Established {
            local: self.wave.socket_id,
            peer: self.peer,
            remote: self.remote,
            send_seq: self.wave.initial_seq,
            receive_seq: theirs.initial_seq,
            send_latency: hello.send_latency,
            receive_latency: hello.receive_latency,
            peer_flags: offer.hello.flags.into(),
            peer_version: offer.hello.version,
            payload_bytes: payload_bytes(mtu),
            flow_window: theirs.flow_window,
            crypto,
            started: self.started,
            peer_clock: (timestamp_us, now),
        };
        Ok((answer, established))
    }
}

impl std::fmt::Debug for Rendezvous {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rendezvous").field("remote", &self.remote).finish_non_exhaustive()
    }
}

/// Whose cookie is larger, with libsrt's arithmetic of 32 bits; `None` if they are the same.
fn is_initiator(ours: Cookie, theirs: Cookie) -> Option<bool> {
    let (ours, theirs) = (ours.0.cast_signed(), theirs.0.cast_signed());
    match ours.wrapping_sub(theirs) {
        0 => None,
        // Half way round, both differences are negative.
        i32::MIN => Some(ours > theirs),
        difference => Some(difference > 0),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn of_two_cookies_one_wins(a in any::<u32>(), b in any::<u32>()) {
            let (one, other) = (is_initiator(Cookie(a), Cookie(b)), is_initiator(Cookie(b), Cookie(a)));
            prop_assert_eq!(one, other.map(|initiator| !initiator));
            prop_assert_eq!(one.is_none(), a == b);
        }
    }

    #[test]
    fn cookies_half_way_round_have_a_winner() {
        assert_eq!(is_initiator(Cookie(0x8000_0000), Cookie(0)), Some(false));
        assert_eq!(is_initiator(Cookie(0), Cookie(0x8000_0000)), Some(true));
    }
}
