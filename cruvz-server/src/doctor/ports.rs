//! Whether each configured address can be listened on, and who has it if not.

use std::{
    fs, io,
    net::{SocketAddr, TcpListener, UdpSocket},
    path::Path,
};

use super::Finding;
use crate::config::{Config, resolve};

/// The name of our own program, as the kernel shows it.
const OURS: &str = "cruvz-server";

/// What carries a protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Transport {
    Tcp,
    Udp,
}

impl Transport {
    fn name(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
        }
    }
}

pub(super) fn check(config: &Config) -> Vec<Finding> {
    let tcp = config.engine.webrtc.tcp;
    let ports = |(key, addr)| transports(key, tcp).iter().map(move |transport| port(key, addr, *transport));
    config.listeners().flat_map(ports).collect()
}

/// What the listener with this key in the configuration binds.
fn transports(key: &str, webrtc_tcp: bool) -> &'static [Transport] {
    match key {
        "srt.listen" => &[Transport::Udp],
        // TCP is for those whose network blocks UDP.
        "webrtc.listen" if webrtc_tcp => &[Transport::Udp, Transport::Tcp],
        "webrtc.listen" => &[Transport::Udp],
        _ => &[Transport::Tcp],
    }
}

/// One address over one transport.
fn port(key: &str, text: &str, transport: Transport) -> Finding {
    let topic = format!("{} over {}", key.trim_end_matches(".listen"), transport.name());
    let addr = match resolve(text) {
        Ok(addr) => addr,
        Err(error) => return Finding::problem(topic, format!("{text:?} {error}"), format!("change {key}")),
    };
    let Err(error) = bind(addr, transport) else {
        return Finding::ok(topic, format!("{text} can be listened on"));
    };
    match error.kind() {
        io::ErrorKind::AddrInUse => in_use(topic, text, key, holder(addr.port(), transport)),
        io::ErrorKind::PermissionDenied => Finding::problem(
            topic,
            format!("{text}: ports below {} need more rights", first_free_port()),
            format!(
                "choose another with {key}, or allow it: sysctl -w net.ipv4.ip_unprivileged_port_start={}",
                addr.port()
            ),
        ),
        io::ErrorKind::AddrNotAvailable => Finding::problem(
            topic,
            format!("{text}: this machine does not have that address"),
            format!("use \":{}\" for every address there is", addr.port()),
        ),
        _ => Finding::problem(topic, format!("{text}: {error}"), format!("change {key}")),
    }
}

/// Binds as the server does, and lets go.
fn bind(addr: SocketAddr, transport: Transport) -> io::Result<()> {
    match transport {
        // As the server does, std allows reuse after a restart.
        Transport::Tcp => TcpListener::bind(addr).map(drop),
        Transport::Udp => UdpSocket::bind(addr).map(drop),
    }
}

fn in_use(topic: String, text: &str, key: &str, holder: Option<Process>) -> Finding {
    match holder {
        Some(Process { name, id }) if name == OURS => {
            Finding::ok(topic, format!("{text} is held by a {OURS} that runs (process {id})"))
        }
        Some(Process { name, id }) => Finding::problem(
            topic,
            format!("{text} is in use by {name} (process {id})"),
            format!("end that program, or choose another port with {key}"),
        ),
        None => Finding::problem(
            topic,
            format!("{text} is in use by a program of another user"),
            format!("see which as root (ss -lntup), or choose another port with {key}"),
        ),
    }
}

/// A process that holds a port.
#[derive(Debug, PartialEq, Eq)]
struct Process {
    name: String,
    id: u32,
}

/// Who listens on `port`, as far as the system lets us see: our own processes, all of them for root.
fn holder(port: u16, transport: Transport) -> Option<Process> {
    let tables = match transport {
        Transport::Tcp => ["/proc/net/tcp", "/proc/net/tcp6"],
        Transport::Udp => ["/proc/net/udp", "/proc/net/udp6"],
    };
    let tables = tables.iter().filter_map(|table| fs::read_to_string(table).ok()).collect::<String>();
    let links: Vec<String> =
        inodes(&tables, port, transport).map(|inode| format!("socket:[{inode}]")).collect();
    let processes = fs::read_dir("/proc").ok()?.flatten();
    let mut ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let id = ids.find(|id| holds(Path::new(&format!("/proc/{id}/fd")), &links))?;
    let name = fs::read_to_string(format!("/proc/{id}/comm")).ok()?.trim_end().to_owned();
    Some(Process { name, id })
}

/// Whether one of the open files in `folder` is one of `links`.
fn holds(folder: &Path, links: &[String]) -> bool {
    let files = fs::read_dir(folder).into_iter().flatten().flatten();
    files
        .filter_map(|file| fs::read_link(file.path()).ok())
        .any(|link| links.iter().any(|wanted| link == Path::new(wanted)))
}

/// The inodes of the sockets in a table of `/proc/net` that are bound to `port` and, over TCP, listen.
fn inodes(table: &str, port: u16, transport: Transport) -> impl Iterator<Item = &str> {
    const LISTENS: &str = "0A";
    table.lines().filter_map(move |line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (_, local) = fields.get(1)?.rsplit_once(':')?;
        let bound = u16::from_str_radix(local, 16).ok()? == port;
        (bound && (transport == Transport::Udp || *fields.get(3)? == LISTENS))
            .then(|| fields.get(9).copied())?
    })
}

/// The first port that anybody may listen on.
fn first_free_port() -> u16 {
    let text = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").unwrap_or_default();
    text.trim().parse().unwrap_or(1024)
}

#[cfg(test)]
mod tests {
    use super::{super::Verdict, *};

    #[test]
    fn a_free_port_is_ok_and_a_taken_one_names_who_has_it() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let tcp = listener.local_addr().unwrap().to_string();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let udp = socket.local_addr().unwrap().to_string();
        let own = std::process::id().to_string();
        for (addr, transport) in [(&tcp, Transport::Tcp), (&udp, Transport::Udp)] {
            let finding = port("http.listen", addr, transport);
            assert_eq!(finding.verdict, Verdict::Problem, "{finding:?}");
            assert!(finding.found.contains(&own) && finding.found.contains("in use by"), "{finding:?}");
            assert!(finding.advice.unwrap().contains("http.listen"));
        }
        // What one transport has taken is free over the other.
        drop((listener, socket));
        assert_eq!(port("http.listen", &tcp, Transport::Tcp).verdict, Verdict::Ok);
        assert_eq!(port("srt.listen", &udp, Transport::Udp).verdict, Verdict::Ok);
    }

    #[test]
    fn an_address_of_another_machine_is_a_problem() {
        for (addr, transport) in [("192.0.2.1:9", Transport::Tcp), ("192.0.2.1:9", Transport::Udp)] {
            let finding = port("http.listen", addr, transport);
            assert_eq!(finding.verdict, Verdict::Problem);
            assert!(finding.found.contains("does not have that address"), "{finding:?}");
        }
        assert!(port("http.listen", ":99999", Transport::Tcp).found.contains("no address"));
    }

    #[test]
    fn a_server_of_ours_may_hold_the_port() {
        let process = |name: &str| Some(Process { name: name.into(), id: 7 });
        let verdict = |holder| in_use("HTTP".into(), ":80", "http.listen", holder).verdict;
        assert_eq!(verdict(process("cruvz-server")), Verdict::Ok);
        assert_eq!(verdict(process("nginx")), Verdict::Problem);
        assert_eq!(verdict(None), Verdict::Problem);
    }

    #[test]
    fn only_sockets_that_listen_are_looked_for() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
                     0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 111 1 0\n   \
                     1: 0100007F:1F90 0100007F:D431 01 00000000:00000000 00:00000000 00000000     0        0 222 1 0\n   \
                     2: 0100007F:1F91 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 333 1 0\n   \
                     3: nonsense\n";
        assert_eq!(inodes(table, 8080, Transport::Tcp).collect::<Vec<_>>(), ["111"]);
        assert_eq!(inodes(table, 8080, Transport::Udp).collect::<Vec<_>>(), ["111", "222"]);
    }
}
