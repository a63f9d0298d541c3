//! The HTTP API, version 1: one file per resource. JSON in `snake_case`, errors as RFC 9457 problems.

pub(crate) mod clips;
pub(crate) mod events;
pub(crate) mod health;
pub(crate) mod metrics;
mod page;
pub(crate) mod problem;
pub(crate) mod recordings;
mod request;
pub(crate) mod server;
pub(crate) mod sessions;
pub(crate) mod streams;

pub(crate) use self::{
    page::Page,
    problem::Problem,
    request::{Managing, Query, Stream},
};
