//! A publisher's socket, which rests while nobody watches and is read in rounds then.
//!
//! Waking up for each message is most of what a publisher costs, and what nobody waits for can as well be read a few
//! messages at a time. A resting socket is out of the event loop; it is read when a round begins. Rounds begin at the
//! same moments for all sockets of an engine, so that any number of them share one wake-up.

use std::{
    io::{self, Read},
    mem, net,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Interval, MissedTickBehavior, interval_at},
};

use crate::runtime::clock::Clock;

/// How long what has come may lie in the kernel: the end of the log is older by this when the first viewer comes.
const ROUND: Duration = Duration::from_millis(40);

/// A plain TCP socket that may rest.
pub(crate) struct RoundSocket {
    clock: Clock,
    state: State,
}

enum State {
    Awake(TcpStream),
    /// `unread`: the last read took all that it could, so there is no need to wait for the next round.
    Resting {
        socket: net::TcpStream,
        rounds: Interval,
        unread: bool,
    },
    /// The system would not watch the socket (again).
    Lost,
}

impl RoundSocket {
    pub(crate) fn new(socket: TcpStream, clock: Clock) -> Self {
        Self { clock, state: State::Awake(socket) }
    }

    /// Lets the socket rest, or wakes it. Writing wakes it as well.
    pub(crate) fn rest(&mut self, resting: bool) {
        if resting == matches!(self.state, State::Resting { .. }) {
            return;
        }
        self.state = match mem::replace(&mut self.state, State::Lost) {
            State::Awake(socket) => socket.into_std().map_or(State::Lost, |socket| State::Resting {
                socket,
                rounds: self.rounds(),
                unread: false,
            }),
            State::Resting { socket, .. } => TcpStream::from_std(socket).map_or(State::Lost, State::Awake),
            State::Lost => State::Lost,
        };
    }

    /// The socket for whoever goes on with it, unless it is lost.
    pub(crate) fn into_inner(mut self) -> Result<TcpStream, Self> {
        self.rest(false);
        match self.state {
            State::Awake(socket) => Ok(socket),
            state => Err(Self { state, ..self }),
        }
    }

    fn rounds(&self) -> Interval {
        let now = self.clock.now();
        let begun = Duration::from_nanos((now.as_nanos() % ROUND.as_nanos()) as u64);
        let mut rounds = interval_at(self.clock.instant(now - begun + ROUND), ROUND);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Skip);
        rounds
    }

    fn awake(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        self.rest(false);
        match &mut self.state {
            State::Awake(socket) => Ok(Pin::new(socket)),
            State::Resting { .. } | State::Lost => Err(io::ErrorKind::NotConnected.into()),
        }
    }
}

impl AsyncRead for RoundSocket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let State::Resting { socket, rounds, unread } = &mut self.state else {
            return self.awake()?.poll_read(cx, buf);
        };
        loop {
            if !mem::take(unread) {
                ready!(rounds.poll_tick(cx));
            }
            match socket.read(buf.initialize_unfilled()) {
                Ok(count) => {
                    buf.advance(count);
                    *unread = buf.remaining() == 0;
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl AsyncWrite for RoundSocket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.awake()?.poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.awake()?.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.awake()?.poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;

    async fn pair() -> (RoundSocket, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let far = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (near, _) = listener.accept().await.unwrap();
        (RoundSocket::new(near, Clock::start()), far)
    }

    #[tokio::test]
    async fn whatever_comes_is_read_resting_or_not_and_writing_wakes() {
        let (mut near, mut far) = pair().await;
        let sent: Vec<u8> = (0..200_000).map(|n| (n % 251) as u8).collect();
        for resting in [false, true, false, true] {
            near.rest(resting);
            let mut got = vec![0; sent.len()];
            let (written, read) = tokio::join!(far.write_all(&sent), near.read_exact(&mut got));
            written.unwrap();
            read.unwrap();
            assert!(got == sent, "resting: {resting}");
        }
        near.write_all(b"answer").await.unwrap();
        assert!(matches!(near.state, State::Awake(_)));
        let mut answer = [0; 6];
        far.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"answer");
        near.rest(true);
        drop(far);
        assert_eq!(near.read(&mut answer).await.unwrap(), 0);
        assert!(near.into_inner().is_ok());
    }

    #[tokio::test]
    async fn rounds_begin_together() {
        let (one, _far) = pair().await;
        let (mut first, mut second) = (one.rounds(), one.rounds());
        assert_eq!(first.tick().await, second.tick().await);
    }
}
