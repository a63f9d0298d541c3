//! TCP sockets as live media wants them.

use std::{io, net::SocketAddr};

use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::{TcpListener, TcpStream};

/// Listens on `addr`. An IPv6 wildcard serves IPv4 as well.
pub(crate) fn listen(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    if addr.is_ipv6() && addr.ip().is_unspecified() {
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    socket.listen(1024)?;
    TcpListener::from_std(socket.into())
}

/// Sends at once (a command exchange under Nagle and delayed acknowledgement takes 40 ms) and bounds what the
/// kernel holds for a peer that does not read: left to itself, Linux grows the send buffer to some 3 MB each.
pub(crate) fn tune(socket: &TcpStream, send_buffer_bytes: usize) -> io::Result<()> {
    socket.set_nodelay(true)?;
    if send_buffer_bytes > 0 {
        SockRef::from(socket).set_send_buffer_size(send_buffer_bytes)?;
    }
    Ok(())
}
