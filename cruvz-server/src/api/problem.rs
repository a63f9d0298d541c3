//! Errors as `application/problem+json` (RFC 9457).

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use cruvz_core::{Error, ErrorKind};
use serde::Serialize;

/// An error as a client of the API sees it.
#[derive(Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    code: &'static str,
    detail: String,
}

/// The members of a problem: those of RFC 9457 §3.1, and `code`, a stable name for programs.
#[derive(Serialize)]
struct Body<'a> {
    r#type: &'static str,
    title: &'a str,
    status: u16,
    detail: &'a str,
    code: &'a str,
}

impl Problem {
    /// A problem of `kind`, `detail` saying in words what is wrong with this request.
    pub(crate) fn new(kind: ErrorKind, detail: impl Into<String>) -> Self {
        let status = StatusCode::from_u16(kind.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self { status, code: kind.name(), detail: detail.into() }
    }

    /// A problem with a status that no kind of error has.
    pub(crate) fn with_status(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self { status, code, detail: detail.into() }
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let kind = error.kind();
        if matches!(kind, ErrorKind::Io | ErrorKind::Internal) {
            // Ours to know, not the client's.
            tracing::error!(%error, "a request failed");
            return Self::new(kind, "the server failed; its log says why");
        }
        Self::new(kind, error.to_string())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Self { status, code, detail } = self;
        let title = status.canonical_reason().unwrap_or("Error");
        let body = Body { r#type: "about:blank", title, status: status.as_u16(), detail: &detail, code };
        let body = serde_json::to_vec(&body).unwrap_or_default();
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        let set = HeaderValue::from_static;
        headers.insert(header::CONTENT_TYPE, set("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, set("no-store"));
        match status {
            StatusCode::UNAUTHORIZED => {
                _ = headers.insert(header::WWW_AUTHENTICATE, set("Bearer realm=\"cruvz\""))
            }
            StatusCode::SERVICE_UNAVAILABLE => _ = headers.insert(header::RETRY_AFTER, set("1")),
            _ => {}
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn body(problem: Problem) -> (StatusCode, serde_json::Value) {
        let response = problem.into_response();
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
        let status = response.status();
        let bytes = axum::body::to_bytes(response.into_body(), 10_000).await.unwrap();
        (status, serde_json::from_slice(&bytes).unwrap())
    }

    #[tokio::test]
    async fn every_kind_of_error_is_a_problem_with_its_status_and_code() {
        for kind in ErrorKind::ALL {
            let (status, body) = body(Error::new(kind, "because").into()).await;
            assert_eq!(status.as_u16(), kind.http_status());
            assert_eq!(body["status"], kind.http_status());
            assert_eq!(body["code"], kind.name());
            assert!(body["title"].as_str().is_some_and(|title| !title.is_empty()));
            let shown = !matches!(kind, ErrorKind::Io | ErrorKind::Internal);
            assert_eq!(body["detail"] == "because", shown, "{kind:?}");
        }
    }
}
