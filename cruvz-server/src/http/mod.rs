//! The HTTP transport: our own accept loop under the router, so that a live viewer's socket can be taken out of HTTP.

mod accept;
mod body;
mod connection;
mod listener;
mod patience;
mod sniff;
pub(crate) mod takeover;
pub(crate) mod tls;

pub(crate) use self::{
    accept::{Acceptor, Connections, Limits},
    connection::Peer,
    listener::listen,
};
