//! Binding requests: no answer is longer than its request, and what we write reads as it was written.
#![no_main]

use cruvz_core::protocol::webrtc::stun::{Check, IceRole, Request};
use libfuzzer_sys::fuzz_target;

const PASSWORD: &str = "a password that no input knows";

fuzz_target!(|data: &[u8]| {
    if let Ok(request) = Request::parse(data) {
        assert!(!request.is_signed_with(PASSWORD));
        assert!(data.windows(request.local_ufrag().len().max(1)).any(|at| at == request.local_ufrag().as_bytes())
            || request.local_ufrag().is_empty());
        for from in ["192.0.2.1:4000", "[2001:db8::1]:4000"] {
            let from = from.parse().expect("an address");
            let answers =
                [request.success(from, PASSWORD), request.role_conflict(PASSWORD), request.unknown_attributes(PASSWORD)];
            assert!(answers.iter().flatten().all(|answer| answer.len() <= data.len()));
        }
    }
    let Some((head, text)) = data.split_first_chunk::<26>() else { return };
    let Ok(text) = std::str::from_utf8(&text[..text.len().min(400)]) else { return };
    let (remote_ufrag, local_ufrag) = text.split_once(':').unwrap_or((text, "x"));
    let role = if head[24] & 1 == 0 { IceRole::Controlling } else { IceRole::Controlled };
    let check = Check {
        transaction: head[..12].try_into().expect("12 bytes"),
        remote_ufrag,
        local_ufrag,
        role: (role, u64::from_be_bytes(head[12..20].try_into().expect("8 bytes"))),
        priority: u32::from_be_bytes(head[20..24].try_into().expect("4 bytes")),
        nominates: head[25] & 1 == 0,
    };
    let written = check.to_bytes(PASSWORD);
    let request = Request::parse(&written).expect("we wrote it");
    assert!(request.is_signed_with(PASSWORD) && !request.has_unknown());
    assert_eq!((request.local_ufrag(), request.remote_ufrag()), (remote_ufrag, local_ufrag));
    assert_eq!((request.role(), request.priority()), (Some(role), Some(check.priority)));
    assert_eq!(request.nominates(), check.nominates);
});
