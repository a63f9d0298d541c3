//! What handlers take out of requests, with problems instead of axum's own words when it does not fit.

use std::convert::Infallible;

use axum::{
    extract::{FromRequestParts, Path},
    http::request::Parts,
};
use cruvz_core::{ErrorKind, StreamName};
use serde::de::DeserializeOwned;

use super::Problem;
use crate::{
    access::{Denied, may_manage},
    app::App,
    http::Peer,
};

/// The stream that the path names as `…/{app}/{name}…`.
pub(crate) struct Stream(pub(crate) StreamName);

impl<S: Send + Sync> FromRequestParts<S> for Stream {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        #[derive(serde::Deserialize)]
        struct Names {
            app: String,
            name: String,
        }
        let names = Path::<Names>::from_request_parts(parts, state).await;
        let Path(Names { app, name }) = names
            .map_err(|_| Problem::new(ErrorKind::InvalidArgument, "the path is not percent-encoded UTF-8"))?;
        Ok(Self(StreamName::new(&app, &name)?))
    }
}

/// The parameters of the query; one that is unknown or does not fit is a problem.
pub(crate) struct Query<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let query = axum::extract::Query::try_from_uri(&parts.uri);
        let axum::extract::Query(query) =
            query.map_err(|error| Problem::new(ErrorKind::InvalidArgument, error.body_text()))?;
        Ok(Self(query))
    }
}

/// The proof that the request may manage: from this machine, or with the admin token.
pub(crate) struct Managing;

impl FromRequestParts<App> for Managing {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let Ok(peer) = Peer::from_request_parts(parts, app).await;
        may_manage(&app.config().access, peer.remote.ip(), &parts.headers).map(|()| Self).map_err(|denied| {
            Problem::new(
                ErrorKind::Unauthorized,
                match denied {
                    Denied::TokenNeeded => "this needs the admin token: Authorization: Bearer …",
                    Denied::TokenWrong => "the admin token is not the configured one",
                },
            )
        })
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Peer {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        // Without our accept loop beneath, as in tests of the router alone, a request comes from nowhere near.
        let unknown = || Self { remote: ([0, 0, 0, 0], 0).into(), takeover: None };
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_else(unknown))
    }
}
