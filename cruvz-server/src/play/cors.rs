//! Which pages of other sites may read media (the CORS protocol of the Fetch standard). Never with credentials.

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};

use crate::app::App;

/// What a preflight is answered with.
#[derive(Debug)]
pub(crate) struct Preflight {
    pub(crate) status: StatusCode,
    /// What may be asked, of whatever kind.
    pub(crate) methods: &'static str,
    /// The headers that a request may have.
    pub(crate) headers: &'static str,
    /// Further headers of the answer.
    pub(crate) extra: &'static [(&'static str, &'static str)],
    /// Headers of every answer that a page may read, beside those that it always may.
    pub(crate) expose: Option<&'static str>,
}

/// For media.
pub(crate) const MEDIA: Preflight = Preflight {
    status: StatusCode::NO_CONTENT,
    methods: "GET, HEAD, OPTIONS",
    headers: "range, cache-control, authorization",
    extra: &[],
    expose: None,
};

/// Answers preflights, and marks the answers that the asking page may read.
pub(crate) async fn layer(
    State((app, answer)): State<(App, &'static Preflight)>,
    request: Request,
    next: Next,
) -> Response {
    let origins = &app.config().http.cors_origins;
    let allowed = allowed(origins, request.headers());
    let preflight = request.method() == Method::OPTIONS;
    let mut response = if preflight { answer.status.into_response() } else { next.run(request).await };
    let headers = response.headers_mut();
    let set = HeaderValue::from_static;
    if preflight {
        headers.insert(header::ALLOW, set(answer.methods));
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, set(answer.methods));
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, set(answer.headers));
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, set("86400"));
        let extra = answer.extra.iter().map(|(name, value)| (HeaderName::from_static(name), set(value)));
        headers.extend(extra);
    }
    if let Some(expose) = answer.expose {
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, set(expose));
    }
    for (name, value) in allowed {
        headers.insert(name, value);
    }
    response
}

/// The headers that allow the page which sent `headers` to read the answer; none where it may not.
pub(crate) fn allowed(origins: &[String], headers: &HeaderMap) -> Vec<(HeaderName, HeaderValue)> {
    if origins.iter().any(|origin| origin == "*") {
        return vec![(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"))];
    }
    // The answer depends on who asks: a cache must know.
    let vary = (header::VARY, HeaderValue::from_static("Origin"));
    match headers.get(header::ORIGIN) {
        Some(origin) if origins.iter().any(|allowed| allowed.as_bytes() == origin.as_bytes()) => {
            vec![(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone()), vary]
        }
        _ => vec![vary],
    }
}

/// Whether a page may open a WebSocket, to which browsers apply no CORS: a page of this server, or one that is allowed.
pub(crate) fn may_connect(origins: &[String], headers: &HeaderMap) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else { return true };
    let host = headers.get(header::HOST).map(HeaderValue::as_bytes);
    let same =
        origin.to_str().ok().and_then(|origin| origin.split_once("://")).map(|(_, host)| host.as_bytes())
            == host;
    same || allowed(origins, headers).iter().any(|(name, _)| *name == header::ACCESS_CONTROL_ALLOW_ORIGIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(origin: Option<&str>) -> HeaderMap {
        let origin = origin.map(|origin| (header::ORIGIN, origin.parse().unwrap()));
        [(header::HOST, "here.example:8080".parse().unwrap())].into_iter().chain(origin).collect()
    }

    #[test]
    fn origins_are_allowed_as_configured() {
        let allow = |origins: &[&str], origin| {
            let origins: Vec<_> = origins.iter().map(|origin| (*origin).to_owned()).collect();
            let headers = headers(origin);
            let answer: HeaderMap = allowed(&origins, &headers).into_iter().collect();
            let value = answer
                .get(header::ACCESS_CONTROL_ALLOW_ORIGIN)
                .map(|value| value.to_str().unwrap().to_owned());
            (value, may_connect(&origins, &headers))
        };
        assert_eq!(allow(&["*"], Some("https://a.example")), (Some("*".into()), true));
        let listed = &["https://a.example"][..];
        assert_eq!(allow(listed, Some("https://a.example")), (Some("https://a.example".into()), true));
        assert_eq!(allow(listed, Some("https://evil.example")), (None, false));
        assert_eq!(allow(listed, Some("null")), (None, false));
        assert_eq!(allow(&[], Some("http://here.example:8080")), (None, true));
        assert_eq!(allow(&[], None), (None, true));
    }
}
