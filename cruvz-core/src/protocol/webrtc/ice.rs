//! The lite side of ICE (RFC 8445 §2.5): it gathers nothing and asks nobody, but answers a full peer's checks.
//!
//! A check that is signed with our password proves that the peer is at the address it came from and wants to hear from
//! us: only then an address counts. The peer nominates the path that media takes, and may nominate another one at any
//! time. A check is also the peer's consent to go on sending (RFC 7675).

use std::time::Duration;

use bytes::Bytes;

use super::Path;
use super::stun::{IceRole, Request, StunError};

/// Letters of user fragments and passwords (RFC 8839 §5.4): six bits each.
const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// What one side of an ICE session is known by.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user fragment, by which checks find their session.
    pub ufrag: String,
    /// The password that checks are signed with.
    pub pwd: String,
}

impl Credentials {
    /// Credentials made of random bytes, which must be those of nobody else: 8 letters of user fragment, 24 of password
    /// (RFC 8445 §5.3 wants 24 and 128 random bits).
    pub fn from_random(random: [u8; 24]) -> Self {
        let text: String = random.chunks_exact(3).flat_map(letters).collect();
        let (ufrag, pwd) = text.split_at(8);
        Self { ufrag: ufrag.to_owned(), pwd: pwd.to_owned() }
    }
}

fn letters(bytes: &[u8]) -> [char; 4] {
    let bits = bytes.iter().fold(0_usize, |bits, byte| bits << 8 | usize::from(*byte));
    [18, 12, 6, 0].map(|shift| char::from(LETTERS[bits >> shift & 63]))
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Credentials({}, ***)", self.ufrag)
    }
}

/// Why a check got no answer, and moved nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CheckError {
    /// It is no request.
    #[error("{0}")]
    Stun(#[from] StunError),
    /// Meant for a session that this is not, or sent by somebody whom it does not concern.
    #[error("check for {0:?}")]
    Username(String),
    /// Whoever sent it does not know our password.
    #[error("check that is not signed with our password")]
    Signature,
    /// The answer would be longer than the request.
    #[error("check of {0} bytes, too short to be answered")]
    Short(usize),
}

/// A check that was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Checked {
    /// To be sent back on the path that the check came on.
    pub(super) answer: Bytes,
    /// Whether it proved a path that was not proved before.
    pub(super) new_path: bool,
}

/// The lite agent of one session.
#[derive(Debug)]
pub(super) struct Agent {
    local: Identity,
    /// Before a restart; in force until a check with the new credentials nominates a path (RFC 8445 §9).
    previous: Option<Identity>,
    paths: Vec<ProvedPath>,
    max_paths: usize,
    selected: Option<Path>,
    last_check: Option<Duration>,
}

#[derive(Clone, Debug)]
struct Identity {
    credentials: Credentials,
    remote_ufrag: String,
}

#[derive(Debug)]
struct ProvedPath {
    path: Path,
    checked: Duration,
}

impl Agent {
    /// An agent for one peer, which keeps at most `max_paths` of its paths.
    pub(super) fn new(credentials: Credentials, remote_ufrag: String, max_paths: usize) -> Self {
        Self {
            local: Identity { credentials, remote_ufrag },
            previous: None,
            paths: Vec::new(),
            max_paths: max_paths.max(1),
            selected: None,
            last_check: None,
        }
    }

    /// New credentials on both sides. Paths and media stay as they are until the peer nominates one again.
    pub(super) fn restart(&mut self, credentials: Credentials, remote_ufrag: String) {
        let new = Identity { credentials, remote_ufrag };
        let old = std::mem::replace(&mut self.local, new);
        // The oldest that the peer has used stays in force through several restarts.
        self.previous.get_or_insert(old);
    }

    /// Takes a check.
    pub(super) fn receive(
        &mut self,
        now: Duration,
        path: Path,
        datagram: &[u8],
    ) -> Result<Checked, CheckError> {
        let request = Request::parse(datagram)?;
        let (pwd, is_previous) = self.identify(&request)?;
        if !request.is_signed_with(pwd) {
            return Err(CheckError::Signature);
        }
        let short = CheckError::Short(datagram.len());
        // What we cannot understand, or who believes that we decide, is told so and proves nothing.
        if request.has_unknown() {
            let answer = request.unknown_attributes(pwd).ok_or(short)?;
            return Ok(Checked { answer, new_path: false });
        }
        if request.role() == Some(IceRole::Controlled) {
            let answer = request.role_conflict(pwd).ok_or(short)?;
            return Ok(Checked { answer, new_path: false });
        }
        let answer = request.success(path.remote, pwd).ok_or(short)?;
        let new_path = self.prove(now, path);
        if request.nominates() {
            self.selected = Some(path);
            if !is_previous {
                self.previous = None;
            }
        }
        Ok(Checked { answer, new_path })
    }

    /// The password that a request must be signed with, and whether it is one from before a restart.
    fn identify(&self, request: &Request<'_>) -> Result<(&str, bool), CheckError> {
        let names = |identity: &&Identity| {
            identity.credentials.ufrag == request.local_ufrag()
                && identity.remote_ufrag == request.remote_ufrag()
        };
        let current = Some(&self.local).filter(names);
        let found = current.or_else(|| self.previous.as_ref().filter(names)).ok_or_else(|| {
            let username = format!("{}:{}", request.local_ufrag(), request.remote_ufrag());
            CheckError::Username(username)
        })?;
        Ok((&found.credentials.pwd, current.is_none()))
    }

    /// Notes that the peer is there; whether that is new. The path that was silent longest gives way if there are too
    /// many, but never the selected one.
    fn prove(&mut self, now: Duration, path: Path) -> bool {
        self.last_check = Some(now);
        if let Some(known) = self.paths.iter_mut().find(|known| known.path == path) {
            known.checked = now;
            return false;
        }
        if self.paths.len() >= self.max_paths {
            let others = self.paths.iter().enumerate().filter(|(_, known)| Some(known.path) != self.selected);
            if let Some((oldest, _)) = others.min_by_key(|(_, known)| known.checked) {
                self.paths.swap_remove(oldest);
            }
        }
        self.paths.push(ProvedPath { path, checked: now });
        true
    }

    /// Whether a check has proved this path.
    pub(super) fn has_proved(&self, path: Path) -> bool {
        self.paths.iter().any(|known| known.path == path)
    }

    /// The path that was proved first of those that are known.
    pub(super) fn any_path(&self) -> Option<Path> {
        self.paths.first().map(|known| known.path)
    }

    /// The path that the peer has nominated.
    pub(super) fn selected(&self) -> Option<Path> {
        self.selected
    }

    /// When the peer last said that it wants to hear from us.
    pub(super) fn last_check(&self) -> Option<Duration> {
        self.last_check
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::webrtc::stun::Check;

    const PWD: &str = "a password of ours with enough letters";

    fn agent() -> Agent {
        Agent::new(Credentials { ufrag: "ours".into(), pwd: PWD.into() }, "them".into(), 3)
    }

    fn path(port: u16) -> Path {
        Path::udp(([192, 0, 2, 1], port).into())
    }

    fn check() -> Check<'static> {
        Check {
            transaction: [7; 12],
            remote_ufrag: "ours",
            local_ufrag: "them",
            role: (IceRole::Controlling, 1),
            priority: 2_130_706_431,
            nominates: false,
        }
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn credentials_are_letters_of_the_right_number() {
        let credentials = Credentials::from_random(std::array::from_fn(|at| at as u8 * 11));
        assert_eq!((credentials.ufrag.len(), credentials.pwd.len()), (8, 24));
        let text = format!("{}{}", credentials.ufrag, credentials.pwd);
        assert!(text.bytes().all(|letter| LETTERS.contains(&letter)), "{text}");
        assert_ne!(credentials, Credentials::from_random([0; 24]));
        // As base64 has it.
        assert_eq!(Credentials::from_random(*b"Many hands make light wo").ufrag, "TWFueSBo");
        assert_eq!(format!("{credentials:?}"), format!("Credentials({}, ***)", credentials.ufrag));
    }

    #[test]
    fn a_check_proves_its_path_and_nomination_selects_it() {
        let mut agent = agent();
        assert!(!agent.has_proved(path(1)) && agent.last_check().is_none());
        let checked = agent.receive(at(1), path(1), &check().to_bytes(PWD)).unwrap();
        assert!(checked.new_path && agent.has_proved(path(1)) && !agent.has_proved(path(2)));
        assert_eq!((agent.selected(), agent.last_check()), (None, Some(at(1))));

        let nomination = Check { nominates: true, ..check() }.to_bytes(PWD);
        assert!(!agent.receive(at(2), path(1), &nomination).unwrap().new_path);
        assert_eq!(agent.selected(), Some(path(1)));
        // The peer moves.
        assert!(agent.receive(at(3), path(2), &nomination).unwrap().new_path);
        assert_eq!((agent.selected(), agent.last_check()), (Some(path(2)), Some(at(3))));
    }

    #[test]
    fn who_does_not_know_our_password_moves_nothing() {
        let mut agent = agent();
        let nomination = Check { nominates: true, ..check() };
        let forged = nomination.to_bytes("another");
        assert_eq!(agent.receive(at(1), path(1), &forged), Err(CheckError::Signature));
        let stranger = Check { local_ufrag: "else", ..nomination.clone() }.to_bytes(PWD);
        assert_eq!(agent.receive(at(1), path(1), &stranger), Err(CheckError::Username("ours:else".into())));
        let other = Check { remote_ufrag: "ourz", ..nomination }.to_bytes(PWD);
        assert!(matches!(agent.receive(at(1), path(1), &other), Err(CheckError::Username(_))));
        assert_eq!(agent.receive(at(1), path(1), b"\0\0"), Err(CheckError::Stun(StunError::Malformed(2))));
        assert!(!agent.has_proved(path(1)) && agent.selected().is_none() && agent.last_check().is_none());
    }

    #[test]
    fn who_believes_that_we_decide_is_told_and_proves_nothing() {
        let mut agent = agent();
        let confused = Check { role: (IceRole::Controlled, 1), ..check() }.to_bytes(PWD);
        let checked = agent.receive(at(1), path(1), &confused).unwrap();
        assert_eq!(checked.answer[..2], [0x01, 0x11]);
        assert!(!checked.new_path && !agent.has_proved(path(1)));
    }

    #[test]
    fn paths_are_bounded_and_the_selected_one_stays() {
        let mut agent = agent();
        let nomination = Check { nominates: true, ..check() }.to_bytes(PWD);
        agent.receive(at(1), path(1), &nomination).unwrap();
        for port in 2..100 {
            agent.receive(at(port.into()), path(port), &check().to_bytes(PWD)).unwrap();
            assert!(agent.paths.len() <= 3);
        }
        assert!([1, 98, 99].iter().all(|port| agent.has_proved(path(*port))));
        assert!(!agent.has_proved(path(97)));
    }

    #[test]
    fn a_restart_leaves_the_old_credentials_in_force_until_the_new_ones_nominate() {
        let mut agent = agent();
        let old = Check { nominates: true, ..check() };
        agent.receive(at(1), path(1), &old.to_bytes(PWD)).unwrap();
        agent.restart(Credentials { ufrag: "new1".into(), pwd: "new password".into() }, "they".into());
        agent.receive(at(2), path(1), &old.to_bytes(PWD)).unwrap();

        let new = Check { remote_ufrag: "new1", local_ufrag: "they", nominates: false, ..check() };
        agent.receive(at(3), path(2), &new.to_bytes("new password")).unwrap();
        agent.receive(at(4), path(1), &old.to_bytes(PWD)).unwrap();
        assert_eq!(agent.selected(), Some(path(1)));

        let chosen = Check { nominates: true, ..new };
        agent.receive(at(5), path(2), &chosen.to_bytes("new password")).unwrap();
        assert_eq!(agent.selected(), Some(path(2)));
        assert!(matches!(agent.receive(at(6), path(1), &old.to_bytes(PWD)), Err(CheckError::Username(_))));
    }

    #[test]
    fn credentials_of_two_restarts_do_not_pile_up() {
        let mut agent = agent();
        for number in 0..10 {
            let credentials = Credentials { ufrag: format!("new{number}"), pwd: "new password".into() };
            agent.restart(credentials, "they".into());
        }
        agent.receive(at(1), path(1), &check().to_bytes(PWD)).unwrap();
        let skipped = Check { remote_ufrag: "new8", local_ufrag: "they", ..check() }.to_bytes("new password");
        assert!(matches!(agent.receive(at(1), path(1), &skipped), Err(CheckError::Username(_))));
        let last = Check { remote_ufrag: "new9", local_ufrag: "they", ..check() }.to_bytes("new password");
        agent.receive(at(1), path(1), &last).unwrap();
    }
}
