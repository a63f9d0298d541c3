//! What reaches a session in another way than through its shard's own socket.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use bytes::{BufMut, Bytes, BytesMut};
use tokio::sync::{mpsc, oneshot};

use super::guest::Guest;
use crate::{
    protocol::webrtc::{Credentials, Path},
    runtime::udp::Route,
};

/// Letters that wait for a shard at most; more datagrams are lost, as they would be on any full link.
const LETTERS: usize = 1024;
/// What waits for one TCP peer at most, in bytes, beside what the kernel holds: a second of 4 Mbit/s.
const OUTBOX_BYTES: usize = 512 << 10;
/// Pieces that wait for one TCP peer at most.
const OUTBOX_PIECES: usize = 1024;

/// How a shard is written to.
pub(super) type Mailbox = mpsc::Sender<Letter>;

/// A shard's mailbox, and what it reads from.
pub(super) fn mailbox() -> (Mailbox, mpsc::Receiver<Letter>) {
    mpsc::channel(LETTERS)
}

/// Something for one session of a shard.
pub(super) struct Letter {
    /// [`super::table::Entry::number`].
    pub(super) to: u64,
    pub(super) content: Content,
}

pub(super) enum Content {
    /// It is this shard's from now on.
    Guest(Box<Guest>),
    /// A datagram that came elsewhere; the first of a path says how to answer.
    Datagram { path: Path, way: Option<Way>, bytes: BytesMut },
    /// Its client ended it; answered when that is done.
    End(oneshot::Sender<()>),
    /// ICE begins anew.
    Restart { local: Credentials, remote_ufrag: String },
}

/// How datagrams get back to where one came from.
#[derive(Clone)]
pub(super) enum Way {
    /// Through our socket.
    Udp(Route),
    /// Over a connection.
    Tcp(Outbox),
}

/// What waits to be written to a TCP peer. Media is not worth waiting for: what is too much is dropped.
#[derive(Clone)]
pub(super) struct Outbox {
    pieces: mpsc::Sender<Bytes>,
    waiting: Arc<AtomicUsize>,
}

/// Where an [`Outbox`] is emptied.
pub(super) struct Outgoing {
    pieces: mpsc::Receiver<Bytes>,
    waiting: Arc<AtomicUsize>,
}

impl Outbox {
    pub(super) fn new() -> (Self, Outgoing) {
        let (sending, receiving) = mpsc::channel(OUTBOX_PIECES);
        let waiting = Arc::<AtomicUsize>::default();
        (Self { pieces: sending, waiting: Arc::clone(&waiting) }, Outgoing { pieces: receiving, waiting })
    }

    /// Whether nobody reads it any more.
    pub(super) fn is_closed(&self) -> bool {
        self.pieces.is_closed()
    }

    /// Adds datagrams of `segment` bytes each, the last as long as what is left, each behind its length (RFC 4571 §2). Returns how many
    /// there was no room for: they are gone.
    pub(super) fn send(&self, bytes: &[u8], segment: usize) -> usize {
        let segment = segment.max(1);
        let datagrams = bytes.len().div_ceil(segment);
        let framed = bytes.len() + 2 * datagrams;
        if segment > usize::from(u16::MAX) {
            return datagrams;
        }
        if self.waiting.fetch_add(framed, Relaxed) + framed > OUTBOX_BYTES {
            self.waiting.fetch_sub(framed, Relaxed);
            return datagrams;
        }
        let mut piece = BytesMut::with_capacity(framed);
        for datagram in bytes.chunks(segment) {
            piece.put_u16(datagram.len() as u16);
            piece.put_slice(datagram);
        }
        match self.pieces.try_send(piece.freeze()) {
            Ok(()) => 0,
            Err(_) => {
                self.waiting.fetch_sub(framed, Relaxed);
                datagrams
            }
        }
    }
}

impl Outgoing {
    /// The next piece, `None` when there will be no more.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub(super) async fn next(&mut self) -> Option<Bytes> {
        let piece = self.pieces.recv().await?;
        self.waiting.fetch_sub(piece.len(), Relaxed);
        Some(piece)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn datagrams_go_out_behind_their_length() {
        let (outbox, mut outgoing) = Outbox::new();
        assert_eq!(outbox.send(b"abcde", 2), 0);
        drop(outbox);
        assert_eq!(outgoing.next().await.as_deref(), Some(&b"\0\x02ab\0\x02cd\0\x01e"[..]));
        assert_eq!(outgoing.next().await, None);
    }

    #[tokio::test]
    async fn what_is_too_much_for_a_slow_peer_is_dropped_and_counted() {
        let (outbox, mut outgoing) = Outbox::new();
        let run = vec![0; 48_000];
        let sent = (0..100).take_while(|_| outbox.send(&run, 1_200) == 0).count();
        assert_eq!((sent, outbox.send(&run, 1_200)), (OUTBOX_BYTES / 48_080, 40));
        outgoing.next().await.unwrap();
        assert_eq!(outbox.send(&run, 1_200), 0, "there is room again");
        drop(outgoing);
        assert!(outbox.is_closed());
        assert_eq!(outbox.send(b"x", 1), 1);
    }
}
