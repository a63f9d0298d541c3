//! A UDP socket that the peers of one task share, and the buffer that they are sent from.

use super::{
    context::Context,
    udp::{Route, UdpSocket},
};
use crate::Protocol;

/// What is needed to send.
pub(crate) struct Port {
    pub(crate) context: Context,
    pub(crate) socket: UdpSocket,
    /// One run of datagrams.
    pub(crate) out: Vec<u8>,
    protocol: Protocol,
}

impl Port {
    pub(crate) fn new(context: &Context, socket: UdpSocket, protocol: Protocol) -> Self {
        Self { context: context.clone(), socket, out: Vec::with_capacity(1 << 16), protocol }
    }

    /// Sends one datagram.
    pub(crate) fn send(&self, route: Route, datagram: &[u8]) {
        self.send_run(route, datagram, datagram.len());
    }

    /// Sends datagrams of `segment` bytes each, the last as long as what is left.
    pub(crate) fn send_run(&self, route: Route, bytes: &[u8], segment: usize) {
        self.lost(self.socket.send(route, bytes, segment));
    }

    /// Counts datagrams that could not be sent.
    pub(crate) fn lost(&self, datagrams: usize) {
        if datagrams > 0 {
            self.context.totals.unsent(self.protocol, datagrams as u64);
        }
    }
}
