//! What cannot be read, and fragments.

use proptest::{collection::vec, prelude::*};

use super::*;

#[test]
fn errors_say_where() {
    let of = |text: &str| Offer::parse(text).unwrap_err();
    assert_eq!(of(""), SdpError::Version);
    assert_eq!(of("v=1\r\n"), SdpError::Version);
    assert_eq!(of("a=x\r\nv=0\r\n"), SdpError::Version);
    assert_eq!(of("v=0\r\n\r\nhello\r\n"), SdpError::Line(3));
    assert_eq!(of("v=0\ra=x\r\n"), SdpError::Line(1));
    assert_eq!(of("v=0\nm=audio 9 UDP/TLS/RTP/SAVPF\n"), SdpError::Section(2));
    assert_eq!(of("v=0\nm=audio 90000 UDP/TLS/RTP/SAVPF 111\n"), SdpError::Section(2));
    assert_eq!(of("v=0\nm=audio 9 UDP/TLS/RTP/SAVPF opus\n"), SdpError::Section(2));
    let of_section = |attribute: &str| of(&format!("v=0\nm=audio 9 UDP/TLS/RTP/SAVPF 111\na={attribute}\n"));
    for (attribute, name) in [
        ("mid:", "mid"),
        ("mid:a b", "mid"),
        ("ice-ufrag:abc", "ice-ufrag"),
        ("ice-ufrag:ab d", "ice-ufrag"),
        ("ice-pwd:short", "ice-pwd"),
        ("setup:later", "setup"),
        ("rtpmap:111 opus", "rtpmap"),
        ("rtpmap:111", "rtpmap"),
        ("fmtp:x y", "fmtp"),
        ("extmap:x urn:x", "extmap"),
        ("extmap:1", "extmap"),
        ("rid:h", "rid"),
        ("ssrc:x cname:x", "ssrc"),
        ("ssrc-group:FID 1", "ssrc-group"),
    ] {
        assert_eq!(of_section(attribute), SdpError::Attribute { line: 3, name }, "{attribute}");
    }
}

#[test]
fn limits() {
    let of = |text: String| Offer::parse(&text).unwrap_err();
    assert_eq!(of(format!("v=0\n{}", "a=x\n".repeat(MAX_LINES))), SdpError::TooManyLines);
    assert_eq!(of(format!("v=0\na={}\n", "x".repeat(MAX_LINE_BYTES))), SdpError::LongLine(2));
    assert_eq!(of("v=0\n".repeat(MAX_BYTES)), SdpError::TooLong(4 * MAX_BYTES));
    let section = "m=audio 9 UDP/TLS/RTP/SAVPF 111\n";
    assert_eq!(of(format!("v=0\n{}", section.repeat(MAX_SECTIONS + 1))), SdpError::TooManySections);
    assert!(Offer::parse(&format!("v=0\n{}", section.repeat(MAX_SECTIONS))).is_ok());

    // More of what is listed than can be needed is left out.
    let sources: String = (0..100).map(|ssrc| format!("a=ssrc:{ssrc} cname:x\r\n")).collect();
    let offer = fixture!("chromium_publish").replace("a=rtpmap:111", &format!("{sources}a=rtpmap:111"));
    assert_eq!(publish(&offer, None, 0).unwrap().1.media[0].sources.len(), MAX_LISTED);
}

#[test]
fn the_order_of_attributes_does_not_matter() {
    let offer = fixture!("chromium_play");
    let start = offer.find("m=video").unwrap();
    let end = offer.find("m=audio").unwrap();
    let mut lines: Vec<_> = offer[start..end].split_inclusive("\r\n").collect();
    lines[1..].reverse();
    let turned = format!("{}{}{}", &offer[..start], lines.concat(), &offer[end..]);
    let stream = stream(Codec::H264, "avc1.640028");
    assert_eq!(play(&turned, &stream).unwrap().1, play(offer, &stream).unwrap().1);
}

#[test]
fn a_strong_fingerprint_is_found_among_others() {
    let own = lines(fixture!("chromium_publish"), "a=fingerprint")[0];
    let others = format!("a=fingerprint:sha-512 {}\r\n{own}\r\na=fingerprint:sha-1 AB", ["CD"; 64].join(":"));
    let offer = fixture!("chromium_publish").replace(own, &others);
    let (_, negotiated) = publish(&offer, None, 0).unwrap();
    assert_eq!(format!("a=fingerprint:{}", negotiated.fingerprint), own);
    let only = format!("a=fingerprint:sha-512 {}", ["CD"; 64].join(":"));
    let (_, negotiated) = publish(&fixture!("chromium_publish").replace(own, &only), None, 0).unwrap();
    assert_eq!(format!("a=fingerprint:{}", negotiated.fingerprint), only);
}

#[test]
fn fragments() {
    // RFC 9725 §4.3.2.
    let text = "a=ice-ufrag:EsAw\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\n\
        a=candidate:1387637174 1 udp 2122260223 192.0.2.1 61764 typ host generation 0 ufrag EsAw network-id 1\r\n\
        a=end-of-candidates\r\n";
    let credentials = Credentials { ufrag: "EsAw".to_owned(), pwd: "P2uYro0UCOQ4zxjKXaWCBui1".to_owned() };
    let fragment = Fragment { credentials: Some(credentials), end_of_candidates: true };
    assert_eq!(Fragment::parse(text), Ok(fragment));
    assert_eq!(Fragment::parse(""), Ok(Fragment::default()));
    assert_eq!(Fragment::parse("a=ice-ufrag:EsAw\r\n"), Ok(Fragment::default()));
    let broken = |name| Err(SdpError::Attribute { line: 1, name });
    assert_eq!(Fragment::parse("a=ice-ufrag:x"), broken("ice-ufrag"));
    assert_eq!(Fragment::parse("a=ice-pwd:x"), broken("ice-pwd"));
    assert_eq!(Fragment::parse("{}"), Err(SdpError::Line(1)));

    let (_, negotiated) = publish(fixture!("chromium_publish"), None, 0).unwrap();
    let side = Side::new();
    let answer = restart_answer(&side.local(), &negotiated);
    assert!(answer.starts_with("a=ice-lite\r\n"));
    assert_eq!(Fragment::parse(&answer).unwrap().credentials, Some(side.credentials.clone()));
    assert_eq!(lines(&answer, "a=candidate").len(), 3);
    assert_eq!(lines(&answer, "m="), ["m=audio 9 UDP/TLS/RTP/SAVPF 111"]);
}

/// Whatever was made of an offer, its answer holds together.
fn check(offer: &str) {
    let stream = stream(Codec::H264, "avc1.640028");
    for answer in [play(offer, &stream), publish(offer, Some(Codec::Vp9), 3)] {
        match answer {
            Ok((text, negotiated)) => {
                assert!(!text.contains("\r\n\r\n") && text.ends_with("\r\n"));
                let answer = Description::parse(&text).unwrap();
                let offer = Description::parse(offer).unwrap();
                assert_eq!(answer.sections.len(), offer.sections.len());
                for (ours, theirs) in answer.sections.iter().zip(&offer.sections) {
                    assert_eq!((&ours.media, &ours.mid), (&theirs.media, &theirs.mid));
                }
                for media in &negotiated.media {
                    let section = &answer.sections[media.line];
                    assert_eq!(section.payloads[0].number, media.payload_type);
                    assert_eq!(section.extensions, media.extensions);
                }
            }
            Err(refusal) => assert!(refusal.to_string().len() < 2 * MAX_BYTES),
        }
    }
}

proptest! {
    #[test]
    fn no_text_is_dangerous(text in "(v=0\r?\n)?((m=(audio|video) [09] (UDP/TLS/RTP/SAVPF|x) [0-9 ]{1,9}|[a-z]=.{0,40})\r?\n){0,12}") {
        check(&text);
        let _ = Fragment::parse(&text);
    }

    #[test]
    fn no_change_is_dangerous(
        changes in vec((0..6_000_usize, 0..40_usize, "[ -~\r\n]{0,12}"), 1..8),
        which in 0..3_usize,
    ) {
        let offers = [fixture!("chromium_play"), fixture!("ffmpeg_publish"), fixture!("firefox_simulcast")];
        let mut text = offers[which].to_owned();
        for (at, length, with) in changes {
            let at = at.min(text.len());
            let end = (at + length).min(text.len());
            text.replace_range(at..end, &with);
        }
        check(&text);
    }

    #[test]
    fn lines_may_be_missing(keep in vec(prop::bool::weighted(0.95), 400)) {
        let lines = fixture!("chromium_simulcast").split_inclusive("\r\n").zip(&keep);
        check(&lines.filter(|(_, keep)| **keep).map(|(line, _)| line).collect::<String>());
    }
}
