//! What WHIP (RFC 9725) and WHEP (draft-ietf-wish-whep) agree on: offers become sessions that wait for their peer.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use cruvz_media::{Codec, Tracks};
use tokio::sync::oneshot;

use super::{
    Exchange,
    guest::{Agreed, Guest, Over, Seated},
    ice_servers::ice_servers,
    mail::{Content, Letter},
    request::{OfferRequest, PatchRequest, Patched, SessionRequest, WebRtcAnswer, WebRtcRefusal},
    table::{Entry, NewEntry, Offered, Waiting},
};
use crate::{
    AccessRequest, Action, Error, ErrorKind, LiveStream, Protocol, StreamName,
    egress::layers::Layers,
    hub::view::TrackSet,
    protocol::webrtc::{
        Credentials, Transport, TransportConfig, TransportLimits, receiver,
        sdp::{
            self, Candidate, CandidateTransport, CounterOffer, Fragment, Local, Negotiated, Offer, PlayTrack,
            PlayWish, PublishWish, RefusalKind,
        },
    },
    runtime::random::random,
    session::{
        OpenSession, Session,
        access::{Params, StreamKey},
        gate::Refusal,
    },
};

/// What publishers may bring, in no order: theirs counts.
const CODECS: [Codec; 6] = [Codec::H264, Codec::Opus, Codec::Vp8, Codec::Vp9, Codec::Av1, Codec::H265];
/// What a publisher is asked for if it has it, for every output carries it.
const PREFERRED: Codec = Codec::H264;
/// Layers of a simulcast that are taken.
const MAX_LAYERS: usize = 4;
/// What all tracks of a viewer are one stream by.
const MSID: &str = "cruvz";
/// How long the end of a session is waited for.
const END_TIMEOUT: Duration = Duration::from_secs(1);

/// Our side of a session in the making.
struct Ours {
    credentials: Credentials,
    candidates: Vec<Candidate>,
    session_id: u64,
}

impl Exchange {
    pub(super) async fn offer(&self, request: OfferRequest) -> Result<WebRtcAnswer, WebRtcRefusal> {
        let config = &self.context.config;
        if !self.context.gate.pace.admits(request.remote.ip(), self.context.clock.now()) {
            let detail = format!("more than {} offers per second", config.addresses.connections_per_s);
            return Err(self.refuse(
                &request,
                "address_pace",
                WebRtcRefusal::new(503, "limit_exceeded", detail),
            ));
        }
        if request.sdp.len() > config.webrtc.max_sdp_bytes {
            let detail =
                format!("an SDP of {} bytes; {} are read", request.sdp.len(), config.webrtc.max_sdp_bytes);
            return Err(self.refuse(&request, "bad_offer", WebRtcRefusal::new(413, "too_large", detail)));
        }
        // A player may come without an offer, for ours.
        let asks = request.action == Action::Play && request.sdp.trim().is_empty();
        let offer = if asks { None } else { Some(Offer::parse(&request.sdp)) };
        let offer = offer.transpose().map_err(|error| {
            self.refuse(&request, "bad_offer", WebRtcRefusal::new(400, "malformed", error.to_string()))
        })?;
        let stream = wanted(&request)?;
        let access = access(&request, stream);
        let key = access.key.clone();
        let session = self.context.gate.admit(access).await?;
        match offer {
            Some(offer) if request.action == Action::Publish => self.publish(&request, key, &offer, session),
            offer => self.play(&request, key, offer.as_ref(), session).await,
        }
    }

    fn publish(
        &self,
        request: &OfferRequest,
        key: Option<StreamKey>,
        offer: &Offer,
        mut session: OpenSession,
    ) -> Result<WebRtcAnswer, WebRtcRefusal> {
        let ours = self.ours()?;
        let wish = PublishWish {
            local: ours.local(self),
            codecs: &CODECS,
            prefer: Some(PREFERRED),
            max_layers: MAX_LAYERS,
        };
        let answered = offer.answer_publish(&wish);
        let (sdp, negotiated) = answered.map_err(|refusal| self.unfit(&mut session, &refusal))?;
        // Whoever cannot be answered must not disturb the stream: so that comes first.
        let publisher = self.context.hub.publish(Tracks::empty(), session).map_err(|error| {
            let detail = error.to_string();
            self.refuse(request, error.kind().name(), WebRtcRefusal { detail, ..error.into() })
        })?;
        let session = Arc::clone(publisher.session());
        let agreed = Agreed::Publish { publisher, config: self.receiver() };
        self.enlist(Deal { request, key, session, local: ours.credentials }, sdp, negotiated, agreed)
    }

    async fn play(
        &self,
        request: &OfferRequest,
        key: Option<StreamKey>,
        offer: Option<&Offer>,
        mut session: OpenSession,
    ) -> Result<WebRtcAnswer, WebRtcRefusal> {
        let stream = self.playable(&session).await.map_err(|error| {
            self.context.gate.refused_session(&mut session, &error);
            WebRtcRefusal::of_viewer(error)
        })?;
        let stream = stream.view(TrackSet::WEBRTC);
        let tracks = stream.tracks();
        let ours = self.ours()?;
        let cname = hex(&entropy::<8>()?);
        let has_layers = stream.origin().renditions().len() > 1;
        let playable = tracks.iter().filter(|track| CODECS.contains(&track.params.codec));
        let mut ssrcs = u32::from_be_bytes(entropy()?)..;
        let mut ssrc = || ssrcs.next().unwrap_or_default();
        let playable: Vec<_> = playable
            .map(|track| PlayTrack { id: track.id, params: &track.params, ssrc: ssrc(), rtx_ssrc: ssrc() })
            .collect();
        let wish = PlayWish {
            local: ours.local(self),
            tracks: &playable,
            msid: MSID,
            cname: &cname,
            feedback: has_layers,
        };
        let seated = |session: OpenSession| -> Result<Seated, WebRtcRefusal> {
            let layers = has_layers.then(|| Layers::new(self.rings.clone()));
            let (ring, cname) = (self.rings.of(&stream), cname.clone());
            Ok(Seated { ring, layers, session, cname, random: entropy()? })
        };
        let listed = Arc::clone(&session);
        let deal = Deal { request, key, session: listed, local: ours.credentials.clone() };
        let refusal = match offer.map(|offer| offer.answer_play(&wish)) {
            Some(Ok((sdp, negotiated))) => {
                return self.enlist(deal, sdp, negotiated, Agreed::Play(seated(session)?));
            }
            Some(Err(refusal)) if !refusal.invites_offer() => return Err(self.unfit(&mut session, &refusal)),
            Some(Err(refusal)) => Some(refusal),
            None => None,
        };
        let reason = refusal.as_ref().map(ToString::to_string);
        let counter = CounterOffer::new(&wish, reason.as_deref())
            .map_err(|unfit| self.unfit(&mut session, refusal.as_ref().unwrap_or(&unfit)))?;
        self.offer_instead(deal, Offered { counter, seated: seated(session)? })
    }
}

impl Exchange {
    /// Waits for the stream as long as viewers do.
    async fn playable(&self, session: &Session) -> Result<LiveStream, Error> {
        let timeout = Duration::from_millis(self.context.config.subscribe_timeout_ms);
        tokio::select! {
            stream = self.context.hub.playable(&session.stream, timeout) => stream,
            reason = session.wait_end() => Err(Error::new(ErrorKind::Closed, &*reason)),
        }
    }

    /// How publishers are listened to.
    fn receiver(&self) -> receiver::Config {
        let webrtc = &self.context.config.webrtc;
        receiver::Config {
            keyframe_interval: Duration::from_millis(webrtc.keyframe_interval_ms),
            max_bitrate_bps: webrtc.max_bitrate_bps,
            ..receiver::Config::default()
        }
    }

    /// What we say of ourselves to one peer.
    fn ours(&self) -> Result<Ours, WebRtcRefusal> {
        let credentials = Credentials::from_random(entropy()?);
        // The lowest bits of a session id are its own, and it must fit into 63 (RFC 9429 §5.2.1).
        let session_id = u64::from_be_bytes(entropy()?) >> 1;
        Ok(Ours { credentials, candidates: self.candidates(), session_id })
    }

    /// Where we can be reached: over UDP first.
    fn candidates(&self) -> Vec<Candidate> {
        let addresses = self.addresses.list();
        let over =
            |transport| addresses.iter().map(move |address| Candidate { transport, address: *address });
        let tcp = over(CandidateTransport::TcpPassive).filter(|_| self.context.config.webrtc.tcp);
        over(CandidateTransport::Udp).chain(tcp).collect()
    }

    /// Lists a session that waits for its peer, and says what the peer must know.
    fn enlist(
        &self,
        deal: Deal<'_>,
        sdp: String,
        negotiated: Negotiated,
        agreed: Agreed,
    ) -> Result<WebRtcAnswer, WebRtcRefusal> {
        let now = self.context.clock.now();
        let new = deal.entry()?;
        let answer = self.created(now, &new, sdp);
        let transport = self.transport(now, new.local.clone(), &negotiated);
        let evicted =
            self.table.insert(now, new, negotiated, |entry| Guest::new(now, entry, transport, agreed));
        self.make_room(evicted);
        Ok(answer)
    }

    /// Lists a session whose client is to answer our offer.
    fn offer_instead(&self, deal: Deal<'_>, offered: Offered) -> Result<WebRtcAnswer, WebRtcRefusal> {
        let now = self.context.clock.now();
        let new = deal.entry()?;
        let answer = self.created(now, &new, offered.counter.sdp().to_owned());
        self.make_room(self.table.offer(now, new, offered));
        Ok(WebRtcAnswer { is_counter_offer: true, ..answer })
    }

    /// What the client of a session must know.
    fn created(&self, now: Duration, new: &NewEntry, sdp: String) -> WebRtcAnswer {
        let unix_s = self.context.clock.unix_us(now) / 1_000_000;
        let ice_servers = ice_servers(&self.context.config.webrtc, new.session.id, unix_s);
        let (id, etag) = (new.id.clone(), etag(&new.local));
        WebRtcAnswer { id, sdp, etag, ice_servers, is_counter_offer: false }
    }

    fn transport(&self, now: Duration, local: Credentials, negotiated: &Negotiated) -> Transport {
        let setup_timeout = Duration::from_millis(self.context.config.webrtc.connect_timeout_ms);
        let config = TransportConfig {
            certificate: Arc::clone(&self.certificate),
            local,
            remote_ufrag: negotiated.remote.ufrag.clone(),
            fingerprint: negotiated.fingerprint.clone(),
            role: negotiated.role,
            limits: TransportLimits { setup_timeout, ..TransportLimits::default() },
        };
        Transport::new(now, config)
    }

    /// Lets the one go that had to make room, if one had to.
    fn make_room(&self, evicted: Option<Waiting>) {
        if let Some(oldest) = evicted {
            self.give_up(
                oldest,
                "pending_limit",
                "too many sessions wait for their media connection; this one waited longest",
            );
        }
    }

    pub(super) async fn patch(&self, request: PatchRequest) -> Result<Patched, WebRtcRefusal> {
        let entry = self.find(&request.session)?;
        if request.is_answer {
            return self.take_answer(&entry, &request.body);
        }
        let Some(if_match) = request.if_match.as_deref().map(str::trim) else {
            return Err(WebRtcRefusal::new(
                428,
                "precondition_required",
                "If-Match is missing: the ETag of the answer, or * to restart ICE",
            ));
        };
        let fragment = Fragment::parse(&request.body)
            .map_err(|error| WebRtcRefusal::new(400, "malformed", error.to_string()))?;
        let etag = entry.etag();
        if if_match != "*" && !if_match.split(',').any(|tag| tag.trim() == etag) {
            let detail = format!("the ICE session is {etag} now");
            return Err(WebRtcRefusal::new(412, "precondition_failed", detail));
        }
        match fragment.credentials {
            Some(remote) if remote.ufrag != entry.remote_ufrag() => self.restart(&entry, remote).await,
            // Candidates of the peer: we answer wherever its checks come from, and ask nobody ourselves.
            _ => Ok(Patched::Accepted),
        }
    }

    /// Takes the answer to our offer. One that does not fit changes nothing: a better one may follow.
    fn take_answer(&self, entry: &Arc<Entry>, sdp: &str) -> Result<Patched, WebRtcRefusal> {
        let nothing = "this session has no offer of ours to be answered";
        let nothing = || WebRtcRefusal::new(422, "unprocessable", nothing);
        let counter = entry.counter_offer().ok_or_else(nothing)?;
        let negotiated = counter.accept(sdp).map_err(|refusal| refusal_of(&refusal).0)?;
        let now = self.context.clock.now();
        let answered = self.table.answer(entry, negotiated, |local, negotiated, offered| {
            let transport = self.transport(now, local, negotiated);
            Guest::new(now, entry, transport, Agreed::Play(offered.seated))
        });
        if answered { Ok(Patched::Accepted) } else { Err(nothing()) }
    }

    /// Begins ICE anew, with the peer's new credentials and new ones of ours.
    async fn restart(&self, entry: &Arc<Entry>, remote: Credentials) -> Result<Patched, WebRtcRefusal> {
        let ours = self.ours()?;
        let negotiated = entry.negotiated().ok_or_else(unanswered)?;
        let fragment = sdp::restart_answer(&ours.local(self), negotiated);
        let (etag, local) = (etag(&ours.credentials), ours.credentials);
        self.table.restart(entry, local.clone(), &remote.ufrag);
        let waiting = entry.at(|guest| guest.restart(local.clone(), remote.ufrag.clone()));
        if let Err(mailbox) = waiting {
            let content = Content::Restart { local, remote_ufrag: remote.ufrag };
            let mailbox = mailbox.ok_or_else(over)?;
            mailbox.send(Letter { to: entry.number, content }).await.map_err(|_| over())?;
        }
        Ok(Patched::Restarted { fragment, etag })
    }

    pub(super) async fn remove(&self, request: &SessionRequest) -> Result<(), WebRtcRefusal> {
        let entry = self.find(request)?;
        entry.said_goodbye.store(true, Relaxed);
        let waits = entry.at(|_| ());
        let reason = match waits {
            Ok(()) => {
                format!("its client ended it before its media connection was made: {}", self.unreached())
            }
            Err(_) => "its client ended it".to_owned(),
        };
        entry.session.end(&reason);
        match waits {
            Err(Some(mailbox)) => {
                // Whoever publishes again at once must not find itself in the way.
                let (done, ended) = oneshot::channel();
                let letter = Letter { to: entry.number, content: Content::End(done) };
                if mailbox.send(letter).await.is_ok() {
                    let _ = tokio::time::timeout(END_TIMEOUT, ended).await;
                }
            }
            // It waits here, for its peer or for an answer.
            Ok(()) | Err(None) => {
                if let Some(waiting) = self.table.remove(&entry) {
                    waiting.leave(Over { reason: reason.into(), goodbye: true });
                }
            }
        }
        Ok(())
    }

    /// The session that a request names, if it may.
    fn find(&self, request: &SessionRequest) -> Result<Arc<Entry>, WebRtcRefusal> {
        let known = self.table.get(&request.id);
        let entry = known
            .filter(|entry| entry.stream == request.stream && entry.action == request.action)
            .ok_or_else(over)?;
        let wrong = match (&entry.key, &request.bearer) {
            (Some(key), Some(bearer)) => !key.matches(bearer),
            _ => false,
        };
        if wrong {
            return Err(WebRtcRefusal::new(
                403,
                "forbidden",
                "the token is not the one that the offer came with",
            ));
        }
        Ok(entry)
    }

    /// Counts and tells of an offer that was turned away before it had a session.
    fn refuse(&self, request: &OfferRequest, reason: &'static str, refusal: WebRtcRefusal) -> WebRtcRefusal {
        self.context.gate.refused(Refusal {
            protocol: protocol(request.action),
            remote: Some(request.remote),
            stream: Some(&request.stream),
            reason,
            detail: refusal.detail.clone(),
        });
        refusal
    }

    /// Counts and tells of an offer that cannot be answered.
    fn unfit(&self, session: &mut OpenSession, refusal: &sdp::Refusal) -> WebRtcRefusal {
        let (refusal, kind) = refusal_of(refusal);
        self.context.gate.refused_session(session, &Error::new(kind, refusal.detail.clone()));
        refusal
    }
}

/// What a description that does not do is answered with, and what kind of error it is.
fn refusal_of(refusal: &sdp::Refusal) -> (WebRtcRefusal, ErrorKind) {
    let (status, code, kind) = match refusal.kind() {
        RefusalKind::Malformed => (400, "malformed", ErrorKind::Malformed),
        RefusalKind::NotAcceptable => (406, "not_acceptable", ErrorKind::Unsupported),
        _ => (422, "unprocessable", ErrorKind::Unsupported),
    };
    (WebRtcRefusal::new(status, code, refusal.to_string()), kind)
}

/// What a session is made of that was asked for.
struct Deal<'a> {
    request: &'a OfferRequest,
    key: Option<StreamKey>,
    session: Arc<Session>,
    /// Our side of ICE.
    local: Credentials,
}

impl Deal<'_> {
    fn entry(self) -> Result<NewEntry, WebRtcRefusal> {
        let Deal { request, key, session, local } = self;
        let id = hex(&entropy::<16>()?);
        let (stream, action) = (request.stream.clone(), request.action);
        Ok(NewEntry { id, stream, action, key, session, local })
    }
}

impl Ours {
    fn local<'a>(&'a self, exchange: &'a Exchange) -> Local<'a> {
        Local {
            credentials: &self.credentials,
            fingerprint: exchange.certificate.fingerprint(),
            candidates: &self.candidates,
            session_id: self.session_id,
        }
    }
}

const fn protocol(action: Action) -> Protocol {
    match action {
        Action::Play => Protocol::Whep,
        Action::Publish => Protocol::Whip,
    }
}

/// The stream that is meant: a viewer may name one layer of it in the query (`layer=h`).
fn wanted(request: &OfferRequest) -> Result<StreamName, WebRtcRefusal> {
    let params = Params::parse(&request.query);
    match params.get("layer").filter(|_| request.action == Action::Play) {
        Some(layer) => Ok(request.stream.rendition(layer)?),
        None => Ok(request.stream.clone()),
    }
}

/// The question to the authorizer. A bearer token is the key, before any in the query.
fn access(request: &OfferRequest, stream: StreamName) -> AccessRequest {
    let OfferRequest { action, query, bearer, remote, .. } = request;
    let mut access = AccessRequest::new(*action, stream, protocol(*action), *remote, query);
    if let Some(bearer) = bearer {
        access.key = Some(StreamKey::new(bearer.as_str()));
    }
    access
}

/// The entity tag of an ICE session (RFC 9110 §8.8.3): nothing else is called as it is.
pub(super) fn etag(credentials: &Credentials) -> String {
    format!("\"{}\"", credentials.ufrag)
}

fn unanswered() -> WebRtcRefusal {
    WebRtcRefusal::new(409, "conflict", "the offer of this session is to be answered first")
}

fn over() -> WebRtcRefusal {
    WebRtcRefusal::new(404, "not_found", "there is no such session (any more)")
}

fn entropy<const N: usize>() -> Result<[u8; N], WebRtcRefusal> {
    random().map_err(|error| WebRtcRefusal::new(500, "io", error.to_string()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
