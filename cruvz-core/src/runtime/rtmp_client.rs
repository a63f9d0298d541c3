//! A thin driver around the RTMP client: what pulling and pushing have in common.

use std::time::Duration;

use bytes::BytesMut;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::Interval,
};

use super::remote::{Dialled, Duplex, Job};
use crate::{
    Error, ErrorKind,
    protocol::rtmp::{ClientConfig, ClientConnection, ClientEvent, Url, client::Role as ClientRole},
    runtime::clock::Clock,
};

const READ_BYTES: usize = 16 << 10;
const TICK: Duration = Duration::from_secs(1);
/// How long the server may take nothing.
const WRITE_TIMEOUT: Duration = Duration::from_secs(15);

/// A connection to an RTMP server.
pub(crate) struct RtmpClient {
    stream: Box<dyn Duplex>,
    pub(crate) rtmp: ClientConnection,
    clock: Clock,
    started: Duration,
    tick: Interval,
    buffer: Box<[u8]>,
    pub(crate) addr: std::net::SocketAddr,
}

impl RtmpClient {
    /// Connects and goes on until publishing or playing has started; the message stream it goes on.
    pub(crate) async fn start(
        job: &Job<Url>,
        role: ClientRole,
        config: ClientConfig,
    ) -> Result<(Self, u32), Error> {
        let Dialled { stream, addr } = job.dial().await?;
        let clock = job.context.clock;
        let started = clock.now();
        let rtmp = ClientConnection::new(config, job.url.clone(), role, started.as_nanos() as u64);
        let (tick, buffer) = (tokio::time::interval(TICK), vec![0; READ_BYTES].into());
        let mut client = Self { stream, rtmp, clock, started, tick, buffer, addr };
        loop {
            match client.next_event().await? {
                ClientEvent::Started { stream_id } => return Ok((client, stream_id)),
                ClientEvent::Rejected(status) => {
                    let said = format!("the server refused: {} {}", status.code, status.description);
                    return Err(Error::new(ErrorKind::Forbidden, said.trim_end()));
                }
                _ => {}
            }
        }
    }

    /// The next event, exchanging bytes as long as there is none.
    ///
    /// # Cancel safety
    /// No event and no byte received is lost when the future is dropped; an answer may be cut, so give the connection up then
    /// unless nothing was to be sent.
    pub(crate) async fn next_event(&mut self) -> Result<ClientEvent, Error> {
        loop {
            if let Some(event) = self.rtmp.poll_event() {
                return Ok(event);
            }
            self.send().await?;
            self.receive().await?;
        }
    }

    /// Takes what the server says, or notices that time has passed.
    pub(crate) async fn receive(&mut self) -> Result<(), Error> {
        let received = tokio::select! {
            read = self.stream.read(&mut self.buffer) => match read? {
                0 => return Err(Error::new(ErrorKind::Closed, "the server closed the connection")),
                n => self.rtmp.receive(&self.buffer[..n]),
            },
            _ = self.tick.tick() => self.rtmp.handle_timeout(self.clock.now().saturating_sub(self.started)),
        };
        received.map_err(|error| Error::new(ErrorKind::ProtocolViolation, "RTMP failed").with_source(error))
    }

    /// Sends what the state machine has to say.
    pub(crate) async fn send(&mut self) -> Result<(), Error> {
        let mut out = BytesMut::new();
        while let Some(bytes) = self.rtmp.poll_transmit() {
            out.extend_from_slice(&bytes);
        }
        if out.is_empty() { Ok(()) } else { self.write(&out).await }
    }

    /// Writes whole messages that were made elsewhere.
    pub(crate) async fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let write = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        match tokio::time::timeout(WRITE_TIMEOUT, write).await {
            Ok(written) => Ok(written?),
            Err(_) => Err(Error::new(ErrorKind::Timeout, "the server takes nothing")),
        }
    }

    /// Says goodbye.
    pub(crate) async fn close(mut self) {
        self.rtmp.close();
        // A server that does not listen any more need not be told.
        let _ = self.send().await;
    }
}
