//! Media over TCP, for peers whose network blocks UDP: ICE-TCP (RFC 6544), of which we only take the passive side, with every
//! datagram behind its length (RFC 4571).
//!
//! A connection is nobody's until its first datagram: a connectivity check that is signed as it should be. From then on it is one
//! more path to the shard that has the session.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use bytes::{Buf, BytesMut};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};

use super::{
    Exchange,
    mail::{Content, Letter, Mailbox, Outbox, Outgoing, Way},
    table::Entry,
};
use crate::{
    Protocol,
    ingest::{self, lobby::Pending},
    protocol::webrtc::Path,
    session::gate::Refusal,
};

/// The longest datagram that is taken: no peer's are longer than its network's packets.
const MAX_DATAGRAM: usize = 2_048;
/// How long a peer may take for its first datagram.
const FIRST_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a connection may say nothing: peers show every few seconds that they are there.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// Takes connections until the engine stops.
pub(super) async fn serve(exchange: Arc<Exchange>, listener: TcpListener) {
    let context = exchange.context.clone();
    let connection = move |socket, remote, pending| {
        let exchange = Arc::clone(&exchange);
        async move {
            let mut stopped = exchange.context.stopped.clone();
            tokio::select! {
                () = connection(&exchange, socket, remote, pending) => {}
                () = stopped.wait() => {}
            }
        }
    };
    ingest::tcp::serve(context, Protocol::WebRtc, listener, connection).await;
}

async fn connection(exchange: &Exchange, socket: TcpStream, remote: SocketAddr, mut pending: Pending) {
    let (reading, writing) = socket.into_split();
    let mut incoming = Incoming { reading, buffer: BytesMut::new() };
    let first = tokio::time::timeout(FIRST_TIMEOUT, incoming.next()).await;
    let (entry, first) = match first {
        Ok(Ok(Some(first))) => (exchange.prove(&first), first),
        // Browsers connect over TCP as well, and mostly need it not.
        Ok(Ok(None)) | Err(_) if incoming.buffer.is_empty() => return,
        Ok(Ok(None)) => return refused(exchange, remote, "it ended within its first datagram".into()),
        Ok(Err(error)) => return refused(exchange, remote, error.to_string()),
        Err(_) => return refused(exchange, remote, "its first datagram did not come in time".into()),
    };
    let Some(entry) = entry else {
        return refused(exchange, remote, "its first datagram is no check of a session".into());
    };
    let Some(mailbox) = settle(exchange, &entry).await else { return };
    pending.leave();
    let path = Path::tcp(SocketAddr::new(remote.ip().to_canonical(), remote.port()));
    let (outbox, outgoing) = Outbox::new();
    let content = Content::Datagram { path, way: Some(Way::Tcp(outbox)), bytes: first };
    if mailbox.send(Letter { to: entry.number, content }).await.is_err() {
        return;
    }
    // Whichever ends first ends the other: the peer has gone, or the session is over and everything was written.
    tokio::select! {
        _ = forward(incoming, path, entry.number, mailbox) => {}
        _ = write(outgoing, writing) => {}
    }
}

/// The mailbox of the shard that has the session; if none has, one gets it.
async fn settle(exchange: &Exchange, entry: &Entry) -> Option<Mailbox> {
    let mailbox = exchange.some_shard(entry.number)?;
    if let Some(guest) = exchange.table.claim(entry, mailbox) {
        let _ = mailbox.send(Letter { to: entry.number, content: Content::Guest(guest) }).await;
    }
    entry.at(|_| ()).err().flatten()
}

/// Passes on what comes. A shard that does not keep up makes the peer wait.
async fn forward(mut incoming: Incoming, path: Path, to: u64, mailbox: Mailbox) -> io::Result<()> {
    loop {
        let next = tokio::time::timeout(IDLE_TIMEOUT, incoming.next()).await;
        let Some(bytes) = next.map_err(|_| io::ErrorKind::TimedOut)?? else { return Ok(()) };
        let content = Content::Datagram { path, way: None, bytes };
        if mailbox.send(Letter { to, content }).await.is_err() {
            return Ok(());
        }
    }
}

async fn write(mut outgoing: Outgoing, mut writing: OwnedWriteHalf) -> io::Result<()> {
    while let Some(piece) = outgoing.next().await {
        writing.write_all(&piece).await?;
    }
    writing.shutdown().await
}

fn refused(exchange: &Exchange, remote: SocketAddr, detail: String) {
    let (protocol, remote, reason) = (Protocol::WebRtc, Some(remote), "stray_connection");
    exchange.context.gate.refused(Refusal { protocol, remote, stream: None, reason, detail });
}

/// What a peer writes.
struct Incoming {
    reading: OwnedReadHalf,
    buffer: BytesMut,
}

impl Incoming {
    /// The next datagram; `None` at the end.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    async fn next(&mut self) -> io::Result<Option<BytesMut>> {
        loop {
            if let Some(datagram) = take_datagram(&mut self.buffer)? {
                return Ok(Some(datagram));
            }
            self.buffer.reserve(MAX_DATAGRAM + 2);
            if self.reading.read_buf(&mut self.buffer).await? == 0 {
                return Ok(None);
            }
        }
    }
}

/// Takes the first datagram out of `buffer`, if it is there whole.
fn take_datagram(buffer: &mut BytesMut) -> io::Result<Option<BytesMut>> {
    let Some(length) = buffer.first_chunk().map(|length| usize::from(u16::from_be_bytes(*length))) else {
        return Ok(None);
    };
    if length > MAX_DATAGRAM {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("a datagram of {length} bytes")));
    }
    if buffer.len() < 2 + length {
        return Ok(None);
    }
    buffer.advance(2);
    Ok(Some(buffer.split_to(length)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datagrams_are_taken_whole_wherever_the_bytes_are_cut() {
        let bytes = b"\0\x03abc\0\0\0\x01d\0";
        for cut in 0..bytes.len() {
            let (mut buffer, mut found) = (BytesMut::new(), Vec::new());
            for piece in [&bytes[..cut], &bytes[cut..]] {
                buffer.extend_from_slice(piece);
                while let Some(datagram) = take_datagram(&mut buffer).unwrap() {
                    found.push(datagram.to_vec());
                }
            }
            assert_eq!(found, [b"abc".to_vec(), vec![], b"d".to_vec()]);
            assert_eq!(&buffer[..], b"\0");
        }
    }

    #[test]
    fn a_datagram_that_is_too_long_is_an_error_before_it_is_there() {
        let mut buffer = BytesMut::from(&2_049u16.to_be_bytes()[..]);
        assert_eq!(take_datagram(&mut buffer).unwrap_err().kind(), io::ErrorKind::InvalidData);
        let mut buffer = BytesMut::from(&2_048u16.to_be_bytes()[..]);
        assert_eq!(take_datagram(&mut buffer).unwrap(), None);
    }
}
