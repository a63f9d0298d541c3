//! What publishers are told.

use super::*;

#[test]
fn chromium_publishes_what_it_likes_best() {
    let (text, negotiated) = publish(fixture!("chromium_publish"), None, 0).unwrap();
    let [audio, video] = &negotiated.media[..] else { panic!("{negotiated:?}") };
    assert_eq!((audio.codec, audio.payload_type, audio.rtx), (Codec::Opus, 111, None));
    assert_eq!((video.codec, video.payload_type, video.rtx), (Codec::Vp8, 96, Some(97)));
    assert_eq!(video.sources, [Source { ssrc: 4_040_481_234, rtx: Some(3_639_401_133) }]);
    assert_eq!((audio.sources.len(), audio.sources[0].rtx), (1, None));
    assert_eq!((video.layers.len(), video.sending), (0, None));
    let extensions = Extensions { mid: Some(4), transport_cc: Some(3), ..Extensions::default() };
    assert_eq!(video.extensions, extensions);
    assert_eq!(lines(&text, "m="), ["m=audio 9 UDP/TLS/RTP/SAVPF 111", "m=video 9 UDP/TLS/RTP/SAVPF 96 97"]);
    assert_eq!(lines(&text, "a=recvonly").len(), 2);
    assert_eq!(lines(&text, "a=fmtp:111"), ["a=fmtp:111 minptime=10;useinbandfec=1;stereo=1"]);
    assert_eq!(lines(&text, "a=msid"), [""; 0]);
    // Of red, ulpfec and the other codecs nothing is left.
    assert_eq!(lines(&text, "a=rtpmap").len(), 3);
}

#[test]
fn everybody_gets_an_answer() {
    for (offer, codec, payload_type, rtx, role, sources) in [
        (fixture!("aiortc_publish"), Codec::Vp8, 97, Some(98), DtlsRole::Passive, 1),
        (fixture!("ffmpeg_publish"), Codec::H264, 106, Some(105), DtlsRole::Active, 1),
        (fixture!("firefox_publish"), Codec::Vp8, 120, Some(124), DtlsRole::Passive, 1),
        (fixture!("libdatachannel_publish"), Codec::H264, 96, None, DtlsRole::Passive, 1),
    ] {
        let (text, negotiated) = publish(offer, None, 4).unwrap();
        let [audio, video] = &negotiated.media[..] else { panic!("{negotiated:?}") };
        assert_eq!(
            (audio.codec, video.codec, video.payload_type, video.rtx),
            (Codec::Opus, codec, payload_type, rtx)
        );
        assert_eq!((negotiated.role, video.sources.len(), video.layers.len()), (role, sources, 0));
        assert_eq!(lines(&text, "m=").len(), 2);
        assert!(negotiated.fingerprint.to_string().starts_with("sha-256 "));
    }
}

#[test]
fn ffmpeg_announces_its_retransmissions_in_a_group_only() {
    let (text, negotiated) = publish(fixture!("ffmpeg_publish"), None, 4).unwrap();
    let [audio, video] = &negotiated.media[..] else { panic!() };
    assert_eq!(video.sources, [Source { ssrc: 1_135_981_584, rtx: Some(1_135_981_585) }]);
    assert!(video.feedback.nack && !video.feedback.pli && !audio.reduced_size && video.reduced_size);
    assert_eq!(lines(&text, "a=rtcp-rsize").len(), 1);
    assert_eq!(
        lines(&text, "a=fmtp:106"),
        ["a=fmtp:106 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=420034"]
    );
}

#[test]
fn firefox_says_which_way_extensions_go() {
    let (text, negotiated) = publish(fixture!("firefox_simulcast"), None, 4).unwrap();
    let video = &negotiated.media[0];
    assert_eq!(video.layers, ["hi", "lo"]);
    assert_eq!(video.sources.len(), 2);
    let ways = ["a=extmap:9/recvonly urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id"];
    assert_eq!(lines(&text, "a=extmap:9"), ways);
    // No limit of size is asked for.
    assert_eq!(lines(&text, "a=fmtp"), ["a=fmtp:124 apt=120"]);
    // What goes the other way is of no use.
    let offer = fixture!("firefox_simulcast").replace("9/sendonly", "9/recvonly");
    assert_eq!(publish(&offer, None, 4).unwrap().1.media[0].layers, [""; 0]);
}

#[test]
fn a_preferred_codec_comes_first() {
    let (text, negotiated) = publish(fixture!("chromium_publish"), Some(Codec::H264), 0).unwrap();
    assert_eq!((negotiated.media[1].codec, negotiated.media[1].payload_type), (Codec::H264, 102));
    // The level is this side's own, so that the publisher need not scale down.
    let fmtp = "a=fmtp:102 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=420034";
    assert_eq!(lines(&text, "a=fmtp:102"), [fmtp]);
    // One that is not offered changes nothing.
    let (_, negotiated) = publish(fixture!("chromium_publish"), Some(Codec::H265), 0).unwrap();
    assert_eq!(negotiated.media[1].codec, Codec::Vp8);
}

#[test]
fn whole_nal_units_are_taken_if_there_is_nothing_else() {
    let offer =
        fixture!("chromium_publish").replace("packetization-mode=1;profile", "packetization-mode=0;profile");
    let offer = offer.replace("level-asymmetry-allowed=1;", "");
    let (text, _) = publish(&offer, Some(Codec::H264), 0).unwrap();
    assert_eq!(lines(&text, "a=fmtp:102"), ["a=fmtp:102 packetization-mode=0;profile-level-id=42001f"]);
}

#[test]
fn layers_of_a_simulcast_are_named() {
    let (text, negotiated) = publish(fixture!("chromium_simulcast"), None, 4).unwrap();
    let video = &negotiated.media[0];
    assert_eq!(video.layers, ["q", "h", "f"]);
    assert_eq!(video.sources, []);
    assert_eq!(
        (video.extensions.mid, video.extensions.rid, video.extensions.repaired_rid),
        (Some(9), Some(10), Some(11))
    );
    assert_eq!(
        [lines(&text, "a=rid"), lines(&text, "a=simulcast")].concat(),
        ["a=rid:q recv", "a=rid:h recv", "a=rid:f recv", "a=simulcast:recv q;h;f"]
    );
    assert_eq!(lines(&text, "a=extmap:10"), ["a=extmap:10 urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id"]);

    assert_eq!(publish(fixture!("chromium_simulcast"), None, 2).unwrap().1.media[0].layers, ["q", "h"]);
    let (text, negotiated) = publish(fixture!("chromium_simulcast"), None, 0).unwrap();
    assert_eq!((negotiated.media[0].layers.len(), negotiated.media[0].extensions.rid), (0, None));
    assert!(!text.contains("simulcast"));
    // Nobody could tell the layers apart without their names.
    let offer = fixture!("chromium_simulcast").replace("rtp-stream-id", "other");
    assert_eq!(publish(&offer, None, 4).unwrap().1.media[0].layers, [""; 0]);
    // One is for another payload type.
    let offer = fixture!("chromium_simulcast").replace("a=rid:h send", "a=rid:h send pt=102");
    assert_eq!(publish(&offer, None, 4).unwrap().1.media[0].layers, ["q", "f"]);
}

#[test]
fn there_are_no_sessions_in_part() {
    let of = |offer: &str| publish(offer, None, 0).unwrap_err();
    let offer = fixture!("chromium_publish");
    let side = Side::new();
    let wish =
        PublishWish { local: side.local(), codecs: &[Codec::Opus, Codec::H265], prefer: None, max_layers: 0 };
    let refusal = Offer::parse(offer).unwrap().answer_publish(&wish).unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "accepted for video are H.265, but the offer has only VP8, H264, AV1, VP9 for video"
    );
    let wish = PublishWish { codecs: &[Codec::Vp8], ..wish };
    let refusal = Offer::parse(offer).unwrap().answer_publish(&wish).unwrap_err();
    assert!(
        refusal.to_string().starts_with("no audio is accepted, but the offer has only opus"),
        "{refusal}"
    );
    assert_eq!(refusal.kind(), RefusalKind::NotAcceptable);

    let unprocessable = |refusal: Refusal| {
        assert_eq!(refusal.kind(), RefusalKind::Unprocessable);
        refusal.to_string()
    };
    let nothing = "the offer has no media section that sends audio or video";
    assert_eq!(unprocessable(of(&offer.replace("a=sendonly", "a=recvonly"))), nothing);
    assert_eq!(
        unprocessable(of(&offer.replace("m=audio 9", "m=audio 0").replace("m=video 9", "m=video 0"))),
        nothing
    );
    let video = &offer[offer.find("m=video").unwrap()..];
    let twice = format!("{offer}{}", video.replace("a=mid:1", "a=mid:2"));
    assert_eq!(unprocessable(of(&twice)), "the offer sends video twice, want once");
    assert_eq!(
        unprocessable(of(&offer.replace("UDP/TLS/RTP/SAVPF", "RTP/AVP"))),
        "media protocol \"RTP/AVP\", want UDP/TLS/RTP/SAVPF"
    );
    assert_eq!(unprocessable(of(&offer.replace("a=rtcp-mux\r\n", ""))), "a media section without rtcp-mux");
    assert_eq!(
        unprocessable(of(&offer.replace("BUNDLE 0 1", "BUNDLE 0"))),
        "media sections \"1\" are not in one BUNDLE group"
    );
    assert_eq!(
        unprocessable(of(&offer.replace("BUNDLE 0 1", "LS 0 1"))),
        "media sections \"0 1\" are not in one BUNDLE group"
    );
    assert_eq!(
        unprocessable(of(&offer.replace("a=setup:actpass", "a=setup:holdconn"))),
        "DTLS setup \"holdconn\" is not possible here"
    );
    let lite = offer.replace("s=-\r\n", "s=-\r\na=ice-lite\r\n");
    assert_eq!(unprocessable(of(&lite)), "both sides are ICE-lite");

    assert_eq!(of(&offer.replace("a=ice-ufrag", "a=x-ufrag")), Refusal::NoCredentials);
    assert_eq!(of(&offer.replace("a=fingerprint:sha-256", "a=fingerprint:sha-1")), Refusal::NoFingerprint);
    assert_eq!(Refusal::NoFingerprint.kind(), RefusalKind::Malformed);
}

#[test]
fn who_waits_is_called() {
    for (setup, role, answered) in [
        ("passive", DtlsRole::Active, "a=setup:active"),
        ("active", DtlsRole::Passive, "a=setup:passive"),
        ("actpass", DtlsRole::Passive, "a=setup:passive"),
    ] {
        let offer = fixture!("chromium_publish").replace("setup:actpass", &format!("setup:{setup}"));
        let (text, negotiated) = publish(&offer, None, 0).unwrap();
        assert_eq!((negotiated.role, lines(&text, "a=setup")), (role, vec![answered; 2]));
    }
}

#[test]
fn a_bundled_section_has_no_port_of_its_own() {
    let offer = fixture!("chromium_publish")
        .replace("m=video 9", "m=video 0")
        .replace("a=mid:1", "a=mid:1\r\na=bundle-only");
    let (text, negotiated) = publish(&offer, None, 0).unwrap();
    assert_eq!(negotiated.media.len(), 2);
    assert_eq!(lines(&text, "m=video").len(), 1);
}

#[test]
fn a_lone_section_needs_no_bundle_and_no_name() {
    let offer = fixture!("chromium_publish");
    let offer = &offer[..offer.find("m=video").unwrap()];
    let offer = offer.replace("a=group:BUNDLE 0 1\r\n", "").replace("a=mid:0\r\n", "");
    let (text, negotiated) = publish(&offer, None, 0).unwrap();
    assert_eq!(negotiated.media[0].mid, None);
    assert_eq!((lines(&text, "a=group").len(), lines(&text, "a=mid").len()), (0, 0));
}

#[test]
fn without_arrivals_there_is_remb() {
    let offer = fixture!("chromium_publish").replace("transport-wide-cc", "other");
    let (text, negotiated) = publish(&offer, None, 0).unwrap();
    let video = &negotiated.media[1];
    assert!(video.feedback.remb && !video.feedback.transport_cc);
    assert_eq!((video.extensions.transport_cc, video.extensions.abs_send_time), (None, Some(2)));
    assert_eq!((lines(&text, "a=rtcp-fb:96 goog-remb").len(), text.contains("transport-cc")), (1, false));
}

#[test]
fn feedback_of_all_payload_types_counts() {
    let offer = fixture!("chromium_publish").replace("a=rtcp-fb:96 nack\r\n", "a=rtcp-fb:* nack\r\n");
    assert!(publish(&offer, None, 0).unwrap().1.media[1].feedback.nack);
}
