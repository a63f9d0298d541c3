//! `/whip/{app}/{name}` and `/whep/{app}/{name}`: WebRTC agreed on over HTTP, WHIP (RFC 9725) to publish and WHEP (draft-ietf-wish-whep)
//! to watch. The engine answers in plain values; this carries them.

use std::net::IpAddr;

use axum::{
    Extension,
    body::Bytes,
    extract::{FromRequest, Path, RawQuery, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use cruvz_core::{
    Action, ErrorKind, IceServer, OfferRequest, PatchRequest, Patched, SessionRequest, StreamName,
    WebRtcAnswer, WebRtcRefusal, session::access::Params,
};

use super::cors::Preflight;
use crate::{
    access,
    api::{Problem, Stream},
    app::App,
    http::Peer,
};

/// What an offer and its answer are.
const SDP: &str = "application/sdp";
/// What changes of ICE are (RFC 8840 §9).
const FRAGMENT: &str = "application/trickle-ice-sdpfrag";
const ACCEPT_POST: HeaderName = HeaderName::from_static("accept-post");
const ACCEPT_PATCH: HeaderName = HeaderName::from_static("accept-patch");

/// What pages of other sites may ask of these URLs, and read of the answers.
pub(crate) const PREFLIGHT: Preflight = Preflight {
    status: StatusCode::OK,
    methods: "POST, PATCH, DELETE, HEAD, OPTIONS",
    headers: "authorization, content-type, if-match",
    extra: &[("accept-post", SDP), ("accept-patch", FRAGMENT)],
    expose: Some("location, link, etag, retry-after"),
};

/// Answers an offer: `POST` on an endpoint.
pub(crate) async fn offer(
    State(app): State<App>,
    Extension(action): Extension<Action>,
    peer: Peer,
    Stream(stream): Stream,
    RawQuery(query): RawQuery,
    request: Request,
) -> Result<Response, Refused> {
    let headers = request.headers();
    if !is_of(headers, SDP) {
        return Err(Refused::wrong_type(SDP, ACCEPT_POST));
    }
    let bearer = access::bearer(headers).map(str::to_owned);
    let query = query.unwrap_or_default();
    if action == Action::Publish && bearer.is_none() && !may_be_local(peer.remote.ip(), &query, headers) {
        let detail = "publishing through a proxy, or from a page of another site, needs a key: Authorization: Bearer …";
        return Err(Problem::new(ErrorKind::Unauthorized, detail).into());
    }
    let sdp = text(&app, request).await?;
    let endpoint = match action {
        Action::Play => format!("/whep/{stream}"),
        Action::Publish => format!("/whip/{stream}"),
    };
    let request = OfferRequest { stream, action, sdp, query, bearer, remote: peer.remote };
    let answer = app.engine().webrtc().offer(request).await?;
    Ok(answered(&endpoint, answer))
}

/// Whether a request without a token may be taken for what it looks like: a proxy or the browser of somebody on this machine
/// would lend it the rights of this machine.
fn may_be_local(remote: IpAddr, query: &str, headers: &HeaderMap) -> bool {
    let params = Params::parse(query);
    let has_key = params.get("key").or_else(|| params.get("token")).is_some();
    has_key || !remote.to_canonical().is_loopback() || access::is_direct(headers)
}

/// An answer, or our own offer where theirs could not be answered.
fn answered(endpoint: &str, answer: WebRtcAnswer) -> Response {
    let status = if answer.is_counter_offer { StatusCode::NOT_ACCEPTABLE } else { StatusCode::CREATED };
    let mut response = (status, [(header::CONTENT_TYPE, SDP)], answer.sdp).into_response();
    let headers = response.headers_mut();
    let location = format!("{endpoint}/{}", answer.id);
    let patches = if answer.is_counter_offer { format!("{SDP}, {FRAGMENT}") } else { FRAGMENT.to_owned() };
    for (name, value) in [(header::LOCATION, location), (header::ETAG, answer.etag), (ACCEPT_PATCH, patches)]
    {
        if let Ok(value) = value.try_into() {
            headers.insert(name, value);
        }
    }
    for link in answer.ice_servers.iter().flat_map(links) {
        if let Ok(value) = link.try_into() {
            headers.append(header::LINK, value);
        }
    }
    response
}

/// A STUN or TURN server as RFC 9725 §4.6 writes it, one link per URL.
fn links(server: &IceServer) -> impl Iterator<Item = String> {
    let quoted = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
    let credentials = match (&server.username, &server.credential) {
        (Some(username), Some(credential)) => {
            format!(
                "; username=\"{}\"; credential=\"{}\"; credential-type=\"password\"",
                quoted(username),
                quoted(credential)
            )
        }
        _ => String::new(),
    };
    server.urls.iter().map(move |url| format!("<{url}>; rel=\"ice-server\"{credentials}"))
}

/// A session as its URL names it.
#[derive(serde::Deserialize)]
pub(crate) struct Named {
    app: String,
    name: String,
    session: String,
}

impl Named {
    fn request(self, action: Action, headers: &HeaderMap) -> Result<SessionRequest, Problem> {
        let stream = StreamName::new(&self.app, &self.name)?;
        let bearer = access::bearer(headers).map(str::to_owned);
        Ok(SessionRequest { stream, action, id: self.session, bearer })
    }
}

/// Takes candidates, or restarts ICE, or takes the answer to our own offer: `PATCH` on a session.
pub(crate) async fn patch(
    State(app): State<App>,
    Extension(action): Extension<Action>,
    Path(named): Path<Named>,
    request: Request,
) -> Result<Response, Refused> {
    let headers = request.headers();
    let is_answer = action == Action::Play && is_of(headers, SDP);
    if !is_answer && !is_of(headers, FRAGMENT) {
        return Err(Refused::wrong_type(FRAGMENT, ACCEPT_PATCH));
    }
    let session = named.request(action, headers)?;
    let if_match = headers.get_all(header::IF_MATCH).iter().filter_map(|value| value.to_str().ok());
    let if_match = if_match.map(str::to_owned).reduce(|all, more| format!("{all}, {more}"));
    let body = text(&app, request).await?;
    let request = PatchRequest { session, is_answer, if_match, body };
    Ok(match app.engine().webrtc().patch(request).await? {
        Patched::Restarted { fragment, etag } => {
            ([(header::CONTENT_TYPE, FRAGMENT.to_owned()), (header::ETAG, etag)], fragment).into_response()
        }
        _ => StatusCode::NO_CONTENT.into_response(),
    })
}

/// Ends a session: `DELETE`.
pub(crate) async fn remove(
    State(app): State<App>,
    Extension(action): Extension<Action>,
    Path(named): Path<Named>,
    headers: HeaderMap,
) -> Result<StatusCode, Refused> {
    let session = named.request(action, &headers)?;
    app.engine().webrtc().remove(&session).await?;
    Ok(StatusCode::OK)
}

/// `HEAD` on a WHEP endpoint: whether it could be played now.
pub(crate) async fn head(
    State(app): State<App>,
    Stream(stream): Stream,
    method: Method,
) -> Result<Response, Problem> {
    if method != Method::HEAD {
        return Err(crate::router::wrong_method(method).await);
    }
    if app.engine().stream(&stream).is_some_and(|stream| stream.is_playable()) {
        return Ok([(header::CONTENT_TYPE, SDP)].into_response());
    }
    Err(Problem::new(ErrorKind::NotFound, format!("{stream} is not live")))
}

/// Whether the body is said to be of that media type.
fn is_of(headers: &HeaderMap, media_type: &str) -> bool {
    let said = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    said.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(media_type)
}

/// The body, which is text and no longer than bodies may be.
async fn text(app: &App, request: Request) -> Result<String, Problem> {
    let body = Bytes::from_request(request, app)
        .await
        .map_err(|rejection| Problem::with_status(rejection.status(), "body", rejection.body_text()))?;
    String::from_utf8(body.into()).map_err(|_| Problem::new(ErrorKind::Malformed, "the body is not UTF-8"))
}

/// A problem, and the headers that go with it.
#[derive(Debug)]
pub(crate) struct Refused {
    problem: Problem,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Refused {
    fn wrong_type(wanted: &'static str, accept: HeaderName) -> Self {
        let detail = format!("the body must be {wanted}");
        let problem =
            Problem::with_status(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail);
        Self { problem, headers: vec![(accept, HeaderValue::from_static(wanted))] }
    }
}

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        Self { problem, headers: Vec::new() }
    }
}

impl From<WebRtcRefusal> for Refused {
    fn from(refusal: WebRtcRefusal) -> Self {
        let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = refusal.retry_after_s.map(|seconds| (header::RETRY_AFTER, seconds.into()));
        Self {
            problem: Problem::with_status(status, refusal.code, refusal.detail),
            headers: headers.into_iter().collect(),
        }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let mut response = self.problem.into_response();
        if response.status() == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response.headers_mut().extend(self.headers);
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_links_with_credentials_where_they_have_some() {
        let stun = IceServer::new(vec!["stun:a:1".into()], None, None);
        assert_eq!(links(&stun).collect::<Vec<_>>(), ["<stun:a:1>; rel=\"ice-server\""]);
        let urls = vec!["turn:a:1?transport=udp".into(), "turns:a:2".into()];
        let turn = IceServer::new(urls, Some("17:\"9".into()), Some("c+/=".into()));
        let expected =
            "; rel=\"ice-server\"; username=\"17:\\\"9\"; credential=\"c+/=\"; credential-type=\"password\"";
        assert_eq!(
            links(&turn).collect::<Vec<_>>(),
            [format!("<turn:a:1?transport=udp>{expected}"), format!("<turns:a:2>{expected}")]
        );
    }

    #[test]
    fn a_media_type_may_have_parameters_and_any_case() {
        for (value, expected) in [
            (Some("application/sdp"), true),
            (Some("Application/SDP; charset=utf-8"), true),
            (Some("application/sdpx"), false),
            (None, false),
        ] {
            let headers =
                value.map(|value| (header::CONTENT_TYPE, value.parse().unwrap())).into_iter().collect();
            assert_eq!(is_of(&headers, SDP), expected, "{value:?}");
        }
    }
}
