//! UDP sockets as live media wants them: many datagrams per system call in both directions.
//!
//! Reading takes a batch (`recvmmsg`) of runs that the kernel has joined (GRO); sending hands the kernel one run of equal
//! datagrams to cut (GSO). Nothing ever waits for room to send: what the kernel does not take is dropped and counted, as
//! any router on the way would do, and the protocol above repeats it.

use std::{
    io::{self, IoSliceMut},
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

use quinn_udp::{RecvMeta, Transmit, UdpSocketState};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::io::Interest;

/// What the kernel is asked to hold for us, each way: half a second of 100 Mbit/s. It gives what its own limits
/// (`net.core.rmem_max`, `wmem_max`) allow.
const BUFFER_BYTES: usize = 8 << 20;
/// Less than this loses datagrams in bursts of a busy server.
const POOR_BUFFER_BYTES: usize = 1 << 20;
/// Runs of datagrams in one read at most; what the crate beneath takes at once.
const MAX_RUNS: usize = quinn_udp::BATCH_SIZE;
/// The longest run that the kernel joins.
const RUN_BYTES: usize = 1 << 16;

/// A UDP socket, not connected to anybody.
#[derive(Debug)]
pub(crate) struct UdpSocket {
    io: std::net::UdpSocket,
    /// A second handle that tells us when it can be read, while anybody wants to know: being told costs more than reading does.
    watch: Option<tokio::net::UdpSocket>,
    state: UdpSocketState,
    local: SocketAddr,
}

/// Where datagrams are read into, and then read from.
pub(crate) struct Inbox {
    buffer: Vec<u8>,
    runs: Vec<RecvMeta>,
    filled: usize,
}

/// A datagram that came.
pub(crate) struct Datagram<'a> {
    pub(crate) from: SocketAddr,
    /// The address of ours that it was sent to, where the system says so: answers must come from there.
    pub(crate) at: Option<IpAddr>,
    pub(crate) bytes: &'a [u8],
}

/// Where datagrams go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Route {
    pub(crate) to: SocketAddr,
    /// The address of ours that they come from.
    pub(crate) from: Option<IpAddr>,
}

impl UdpSocket {
    /// A socket on `addr`. An IPv6 wildcard serves IPv4 as well.
    pub(crate) fn bind(addr: SocketAddr) -> io::Result<Self> {
        Self::wrap(open(addr, false)?)
    }

    /// Sockets that share `addr`. The kernel spreads peers over them by their address and port, so that all datagrams of one
    /// peer come to the same socket.
    pub(crate) fn bind_shards(addr: SocketAddr, shards: usize) -> io::Result<Vec<Self>> {
        // Sockets that may share an address also share it with another program's: that it is free is asked without.
        let first = open(addr, false)?;
        if shards <= 1 {
            return Ok(vec![Self::wrap(first)?]);
        }
        let bound = first.local_addr()?.as_socket().unwrap_or(addr);
        drop(first);
        (0..shards).map(|_| Self::wrap(open(bound, true)?)).collect()
    }

    fn wrap(socket: Socket) -> io::Result<Self> {
        let io: std::net::UdpSocket = socket.into();
        let state = UdpSocketState::new((&io).into())?;
        let local = io.local_addr()?;
        let mut socket = Self { io, watch: None, state, local };
        socket.watch(true)?;
        Ok(socket)
    }

    /// Takes part in a multicast group, on the interface that the system chooses.
    pub(crate) fn join(&self, group: IpAddr) -> io::Result<()> {
        match group {
            IpAddr::V4(group) => self.io.join_multicast_v4(&group, &Ipv4Addr::UNSPECIFIED),
            IpAddr::V6(group) => self.io.join_multicast_v6(&group, 0),
        }
    }

    /// Where it is bound.
    pub(crate) fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// What the kernel holds for it at most when it is not read, in bytes, where that is less than it should be.
    pub(crate) fn poor_buffer(&self) -> Option<usize> {
        SockRef::from(&self.io).recv_buffer_size().ok().filter(|bytes| *bytes < POOR_BUFFER_BYTES)
    }

    /// Whether [`Self::readable`] is to be told of what comes. Without it [`Self::receive`] still finds what has come.
    pub(crate) fn watch(&mut self, watch: bool) -> io::Result<()> {
        match (&self.watch, watch) {
            (None, true) => {
                self.watch = Some(tokio::net::UdpSocket::from_std(self.io.try_clone()?)?);
            }
            (Some(_), false) => self.watch = None,
            _ => {}
        }
        Ok(())
    }

    /// Waits until [`Self::receive`] may find something; for ever while nobody watches.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        match &self.watch {
            Some(watch) => watch.readable().await,
            None => std::future::pending().await,
        }
    }

    /// Reads what has come into `inbox`. `false` when there was nothing.
    pub(crate) fn receive(&self, inbox: &mut Inbox) -> io::Result<bool> {
        inbox.filled = 0;
        let mut slots = inbox.buffer.chunks_exact_mut(RUN_BYTES);
        let mut slices: [IoSliceMut<'_>; MAX_RUNS] =
            std::array::from_fn(|_| IoSliceMut::new(slots.next().unwrap_or_default()));
        let slices = &mut slices[..inbox.runs.len()];
        let mut read = || self.state.recv((&self.io).into(), slices, &mut inbox.runs);
        let runs = match &self.watch {
            Some(watch) => watch.try_io(Interest::READABLE, read),
            None => read(),
        };
        match runs {
            Ok(runs) => inbox.filled = runs,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            // Some systems tell here that a peer's port is closed.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {}
            Err(error) => return Err(error),
        }
        Ok(inbox.filled > 0)
    }

    /// Sends `bytes` in datagrams of `segment` bytes, the last as long as what is left; at most 65,507 bytes and 64 datagrams,
    /// which is what the kernel cuts. Returns how many datagrams the system did not take: they are gone.
    pub(crate) fn send(&self, route: Route, bytes: &[u8], segment: usize) -> usize {
        let segment = segment.clamp(1, bytes.len().max(1));
        if bytes.len() > segment && self.state.max_gso_segments() > 1 {
            match self.try_send(route, bytes, Some(segment)) {
                Ok(()) => return 0,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return bytes.len().div_ceil(segment);
                }
                // An interface that cannot cut runs says so here, and the state above remembers it.
                Err(_) => {}
            }
        }
        bytes.chunks(segment).filter(|datagram| self.try_send(route, datagram, None).is_err()).count()
    }

    fn try_send(&self, route: Route, contents: &[u8], segment_size: Option<usize>) -> io::Result<()> {
        let Route { to: destination, from: src_ip } = route;
        let transmit = Transmit { destination, ecn: None, contents, segment_size, src_ip };
        self.state.try_send((&self.io).into(), &transmit)
    }
}

fn open(addr: SocketAddr, shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
    if addr.is_ipv6() && addr.ip().is_unspecified() {
        socket.set_only_v6(false)?;
    }
    if shared {
        socket.set_reuse_port(true)?;
    }
    socket.set_nonblocking(true)?;
    // The kernel may give less, and refuses nobody for asking.
    let _ = socket.set_recv_buffer_size(BUFFER_BYTES);
    let _ = socket.set_send_buffer_size(BUFFER_BYTES);
    socket.bind(&addr.into())?;
    Ok(socket)
}

impl Inbox {
    /// Room for `runs` runs of datagrams, each at most 64 KiB.
    pub(crate) fn new(runs: usize) -> Self {
        let runs = runs.clamp(1, MAX_RUNS);
        // Zeroed memory that was never written to costs nothing.
        Self { buffer: vec![0; runs * RUN_BYTES], runs: vec![RecvMeta::default(); runs], filled: 0 }
    }

    /// Forgets what came.
    pub(crate) fn clear(&mut self) {
        self.filled = 0;
    }

    /// What came last.
    pub(crate) fn datagrams(&self) -> impl Iterator<Item = Datagram<'_>> {
        let runs = self.runs.iter().zip(self.buffer.chunks_exact(RUN_BYTES)).take(self.filled);
        runs.flat_map(|(run, bytes)| {
            let datagrams = bytes[..run.len.min(RUN_BYTES)].chunks(run.stride.max(1));
            datagrams.map(|bytes| Datagram { from: run.addr, at: run.dst_ip, bytes })
        })
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::HashMap, time::Duration};

    use super::*;

    const LOOPBACK: &str = "127.0.0.1:0";

    fn socket() -> UdpSocket {
        UdpSocket::bind(LOOPBACK.parse().unwrap()).unwrap()
    }

    async fn collect(socket: &UdpSocket, datagrams: usize) -> Vec<Vec<u8>> {
        let (mut inbox, mut all) = (Inbox::new(4), Vec::new());
        while all.len() < datagrams {
            tokio::time::timeout(Duration::from_secs(10), socket.readable()).await.unwrap().unwrap();
            while socket.receive(&mut inbox).unwrap() {
                all.extend(inbox.datagrams().map(|datagram| datagram.bytes.to_vec()));
            }
        }
        all
    }

    #[tokio::test]
    async fn a_run_is_cut_into_datagrams_and_the_last_is_what_is_left() {
        let (from, to) = (socket(), socket());
        let route = Route { to: to.local_addr(), from: None };
        let bytes: Vec<u8> = (0..40 * 1332 + 20).map(|n| n as u8).collect();
        assert_eq!(from.send(route, &bytes, 1332), 0);
        assert_eq!(from.send(route, &bytes[..20], 1332), 0);
        let datagrams = collect(&to, 42).await;
        assert_eq!(datagrams[..41].concat(), bytes);
        assert!(datagrams[..40].iter().all(|datagram| datagram.len() == 1332));
        assert_eq!((datagrams[40].len(), &datagrams[41][..]), (20, &bytes[..20]));
    }

    #[tokio::test]
    async fn what_has_come_is_found_without_being_told_and_told_again_afterwards() {
        let (from, mut to) = (socket(), socket());
        to.watch(false).unwrap();
        let route = Route { to: to.local_addr(), from: None };
        assert_eq!(from.send(route, b"one", 3), 0);
        let mut inbox = Inbox::new(1);
        assert!(to.receive(&mut inbox).unwrap());
        assert_eq!(inbox.datagrams().next().unwrap().bytes, b"one");
        assert_eq!(from.send(route, b"two", 3), 0);
        to.watch(true).unwrap();
        assert_eq!(collect(&to, 1).await, [b"two"]);
    }

    #[tokio::test]
    async fn answers_come_from_where_the_question_went() {
        let (asking, answering) = (socket(), UdpSocket::bind("0.0.0.0:0".parse().unwrap()).unwrap());
        let to = SocketAddr::new("127.0.0.9".parse().unwrap(), answering.local_addr().port());
        assert_eq!(asking.send(Route { to, from: None }, b"question", 8), 0);
        let mut inbox = Inbox::new(1);
        answering.readable().await.unwrap();
        assert!(answering.receive(&mut inbox).unwrap());
        let question = inbox.datagrams().next().unwrap();
        assert_eq!(answering.send(Route { to: question.from, from: question.at }, b"answer", 6), 0);
        asking.readable().await.unwrap();
        let mut answers = Inbox::new(1);
        assert!(asking.receive(&mut answers).unwrap());
        assert_eq!(answers.datagrams().next().unwrap().from, to);
    }

    #[tokio::test]
    async fn a_peer_always_reaches_the_same_shard_and_peers_are_spread() {
        let shards = UdpSocket::bind_shards(LOOPBACK.parse().unwrap(), 4).unwrap();
        let addr = shards[0].local_addr();
        assert!(shards.iter().all(|shard| shard.local_addr() == addr));
        let peers: Vec<_> = (0..64).map(|_| socket()).collect();
        for _ in 0..3 {
            for peer in &peers {
                assert_eq!(peer.send(Route { to: addr, from: None }, b"x", 1), 0);
            }
        }
        let (came, mut coming) = tokio::sync::mpsc::channel(1);
        for (number, shard) in shards.into_iter().enumerate() {
            let came = came.clone();
            tokio::spawn(async move {
                let mut inbox = Inbox::new(8);
                while shard.readable().await.is_ok() {
                    shard.receive(&mut inbox).unwrap();
                    for datagram in inbox.datagrams() {
                        came.send((datagram.from, number)).await.unwrap();
                    }
                }
            });
        }
        let mut shard_of = HashMap::new();
        for _ in 0..3 * peers.len() {
            let (from, shard) = coming.recv().await.unwrap();
            assert_eq!(*shard_of.entry(from).or_insert(shard), shard, "{from} came to two");
        }
        assert_eq!(shard_of.len(), peers.len());
        assert!(shard_of.values().any(|shard| *shard != shard_of[&peers[0].local_addr()]), "all to one");
    }

    #[tokio::test]
    async fn an_address_in_use_is_refused_although_shards_share_theirs() {
        let shards = UdpSocket::bind_shards(LOOPBACK.parse().unwrap(), 2).unwrap();
        let again = UdpSocket::bind_shards(shards[0].local_addr(), 2);
        assert_eq!(again.map(drop).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }

    #[tokio::test]
    async fn what_cannot_be_sent_is_dropped_and_counted() {
        let socket = socket();
        let nowhere = Route { to: "[2001:db8::1]:9".parse().unwrap(), from: None };
        assert_eq!(socket.send(nowhere, &[0; 100], 40), 3);
        assert!(!socket.receive(&mut Inbox::new(1)).unwrap());
    }
}
