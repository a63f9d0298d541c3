//! The RTMP handshake from either side: takes no more than it needs, answers within a bound, and comes to the same
//! in pieces as in one.
#![no_main]

use bytes::BytesMut;
use cruvz_core::protocol::rtmp::{ClientHandshake, Error, HandshakeKind, ServerHandshake};
use cruvz_fuzz::pieces;
use libfuzzer_sys::fuzz_target;

/// What came of it: the error if any, whether it is done, how much input was left, what was sent.
type Outcome = (Option<Error>, bool, usize, BytesMut);

fn server(data: &[u8], cut: u8) -> Outcome {
    let (mut handshake, mut out, mut left) = (ServerHandshake::new(7), BytesMut::new(), 0);
    for mut piece in pieces(data, cut) {
        if let Err(error) = handshake.receive(&mut piece, &mut out) {
            return (Some(error), false, 0, out);
        }
        left += piece.len();
    }
    (None, handshake.is_done(), left, out)
}

fn client(data: &[u8], cut: u8, kind: HandshakeKind) -> Outcome {
    let mut out = BytesMut::new();
    let mut handshake = ClientHandshake::new(kind, 7, &mut out);
    let mut left = 0;
    for mut piece in pieces(data, cut) {
        if let Err(error) = handshake.receive(&mut piece, &mut out) {
            return (Some(error), false, 0, out);
        }
        left += piece.len();
    }
    (None, handshake.is_done(), left, out)
}

fuzz_target!(|data: &[u8]| {
    let [side, cut, data @ ..] = data else { return };
    let [whole, cut] = [0, *cut].map(|cut| match side % 3 {
        0 => server(data, cut),
        1 => client(data, cut, HandshakeKind::Digest),
        _ => client(data, cut, HandshakeKind::Simple),
    });
    assert_eq!(whole, cut);
    assert!(whole.3.len() <= 3073 && (!whole.1 || whole.2 == data.len() - 3073));
});
