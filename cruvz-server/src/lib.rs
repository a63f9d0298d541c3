//! The reference server of Cruvz: HTTP, pages, configuration and access around a [`cruvz_core::Engine`].
//!
//! No media and no protocol code is here. [`main`] is the whole program; [`Server`] is the same in-process, for tests and
//! for whoever wants the server within another program.

mod access;
mod api;
mod app;
mod banner;
mod cli;
pub mod config;
mod doctor;
mod http;
mod play;
mod router;
mod web;

pub use crate::{access::KeyAuthorizer, app::Server, cli::main, config::Config};
