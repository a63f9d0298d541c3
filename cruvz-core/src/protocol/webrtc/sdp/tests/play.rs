//! What players get.

use super::*;

const HIGH: &str = "avc1.640028";

#[test]
fn chromium_plays_what_x264_makes() {
    let stream = stream(Codec::H264, HIGH);
    let (text, negotiated) = play(fixture!("chromium_play"), &stream).unwrap();
    let Negotiated { remote, role, media, .. } = &negotiated;
    assert_eq!((remote.ufrag.as_str(), remote.pwd.len(), *role), ("Dprz", 24, DtlsRole::Passive));
    let [video, audio] = &media[..] else { panic!("{media:?}") };
    // Debian's Chromium lists no high profile, but 4:4:4, which contains it.
    assert_eq!(
        (video.codec, video.payload_type, video.rtx, video.clock_rate),
        (Codec::H264, 41, Some(42), 90_000)
    );
    assert_eq!(video.sending, Some(Sending { track: TrackId(1), ssrc: 1_001, rtx_ssrc: Some(2_001) }));
    let feedback = Feedback { nack: true, pli: true, fir: true, transport_cc: true, remb: false };
    assert_eq!((video.feedback, video.reduced_size), (feedback, true));
    let extensions =
        Extensions { mid: Some(9), transport_cc: Some(4), playout_delay: Some(5), ..Extensions::default() };
    assert_eq!(video.extensions, extensions);
    assert_eq!(
        (audio.codec, audio.payload_type, audio.rtx, audio.clock_rate),
        (Codec::Opus, 111, None, 48_000)
    );
    assert_eq!(audio.sending, Some(Sending { track: TrackId(2), ssrc: 1_002, rtx_ssrc: None }));

    assert_eq!(
        lines(&text, "m="),
        [
            "m=video 9 UDP/TLS/RTP/SAVPF 41 42",
            "m=audio 9 UDP/TLS/RTP/SAVPF 111",
            "m=application 0 UDP/DTLS/SCTP webrtc-datachannel",
        ]
    );
    assert_eq!(lines(&text, "a=group"), ["a=group:BUNDLE 0 1"]);
    assert_eq!(lines(&text, "a=mid"), ["a=mid:0", "a=mid:1", "a=mid:2"]);
    assert_eq!(lines(&text, "a=setup"), ["a=setup:passive"; 2]);
    assert_eq!(lines(&text, "a=msid:"), ["a=msid:cruvz video", "a=msid:cruvz audio"]);
    let video = section(&text, "0");
    assert_eq!(
        lines(video, "a=fmtp"),
        [
            "a=fmtp:41 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=f40028",
            "a=fmtp:42 apt=41"
        ]
    );
    assert_eq!(
        lines(video, "a=ssrc"),
        ["a=ssrc-group:FID 1001 2001", "a=ssrc:1001 cname:cruvz", "a=ssrc:2001 cname:cruvz"]
    );
    assert_eq!(
        lines(section(&text, "1"), "a=fmtp"),
        ["a=fmtp:111 minptime=10;useinbandfec=1;stereo=1;sprop-stereo=1"]
    );
}

#[test]
fn firefox_and_aiortc_play() {
    let (text, negotiated) = play(fixture!("firefox_play"), &stream(Codec::Vp8, "vp8")).unwrap();
    let [video, audio] = &negotiated.media[..] else { panic!("{negotiated:?}") };
    assert_eq!((video.payload_type, video.rtx, audio.payload_type), (120, Some(124), 109));
    assert_eq!(video.extensions.playout_delay, Some(6));
    let delay = ["a=extmap:6/sendonly http://www.webrtc.org/experiments/rtp-hdrext/playout-delay"];
    assert_eq!(lines(&text, "a=extmap:6"), delay);

    // Debian's Firefox has no H.264 before it has been to the internet.
    let refusal = play(fixture!("firefox_play"), &stream(Codec::H264, HIGH)).unwrap_err();
    let words = "the stream's video is H.264 (avc1.640028), but the offer has only VP8, VP9, AV1 for video";
    assert_eq!(refusal.to_string(), words);

    let (text, negotiated) = play(fixture!("aiortc_play"), &stream(Codec::H264, HIGH)).unwrap();
    let [audio, video] = &negotiated.media[..] else { panic!("{negotiated:?}") };
    assert_eq!((video.payload_type, video.rtx, audio.payload_type), (99, Some(100), 96));
    assert!(video.feedback.remb && !video.reduced_size);
    let fmtp = "a=fmtp:99 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=420028";
    assert_eq!(lines(&text, "a=fmtp:99"), [fmtp]);
}

#[test]
fn the_answer_tells_where_to_come() {
    let (text, _) = play(fixture!("chromium_play"), &stream(Codec::Vp8, "vp8")).unwrap();
    assert!(text.starts_with("v=0\r\no=- 9223372036854775807 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n"));
    assert!(
        text.ends_with("\r\n")
            && !text.contains("\r\n\r\n")
            && !text.replace("\r\n", "").contains(['\r', '\n'])
    );
    assert_eq!(lines(&text, "a=ice-lite").len(), 1);
    assert!(text.find("a=ice-lite") < text.find("m="));
    // Datagrams first, and all in the first section.
    assert_eq!(
        lines(&text, "a=candidate"),
        [
            "a=candidate:2 1 udp 2130706175 192.0.2.1 8189 typ host",
            "a=candidate:3 1 udp 2130705919 2001:db8::1 8189 typ host",
            "a=candidate:1 1 tcp 1520435199 192.0.2.1 8189 typ host tcptype passive",
        ]
    );
    assert_eq!(lines(section(&text, "0"), "a=end-of-candidates").len(), 1);
    assert_eq!(lines(&text, "a=end-of-candidates").len(), 1);
    assert_eq!(lines(&text, "a=ice-ufrag"), ["a=ice-ufrag:ourufrag"; 2]);
    assert_eq!(lines(&text, "a=fingerprint:sha-256 AB:AB:AB").len(), 2);
    assert_eq!(lines(&text, "a=rtcp-mux").len(), 2);
}

#[test]
fn the_best_payload_type_of_h264_is_taken() {
    let of = |rfc6381| {
        play(fixture!("chromium_play"), &stream(Codec::H264, rfc6381)).unwrap().1.media[0].payload_type
    };
    assert_eq!(of("avc1.42c01e"), 108);
    assert_eq!(of("avc1.42001e"), 102);
    assert_eq!(of("avc1.4d401f"), 116);
    assert_eq!(of("avc1.f4001f"), 41);
    // With a high profile that is the one, and never one that takes whole NAL units only.
    let offer = fixture!("chromium_play").replace("profile-level-id=4d001f", "profile-level-id=64001f");
    assert_eq!(play(&offer, &stream(Codec::H264, HIGH)).unwrap().1.media[0].payload_type, 116);
    let offer =
        fixture!("chromium_play").replace("packetization-mode=1;profile", "packetization-mode=0;profile");
    let refusal = play(&offer, &stream(Codec::H264, HIGH)).unwrap_err();
    assert_eq!(refusal.kind(), RefusalKind::NotAcceptable);
    assert!(
        refusal.to_string().contains("H.264 with level-asymmetry-allowed=1;packetization-mode=0"),
        "{refusal}"
    );
}

#[test]
fn other_profiles_are_told_apart() {
    let of = |codec, rfc6381| {
        let answer = play(fixture!("chromium_play"), &stream(codec, rfc6381));
        answer.map(|(text, negotiated)| {
            (negotiated.media[0].payload_type, lines(&text, "a=fmtp")[0].to_owned())
        })
    };
    assert_eq!(of(Codec::Vp9, "vp09.00.41.08").unwrap().0, 98);
    assert_eq!(of(Codec::Vp9, "vp09.02.41.10").unwrap(), (100, "a=fmtp:100 profile-id=2".to_owned()));
    assert_eq!(of(Codec::Av1, "av01.0.08M.08").unwrap().1, "a=fmtp:45 level-idx=5;profile=0;tier=0");
    assert_eq!(of(Codec::Av1, "av01.2.08M.08").unwrap_err().kind(), RefusalKind::NotAcceptable);
}

#[test]
fn a_refusal_says_what_is_lacking() {
    let refusal = play(fixture!("chromium_play"), &stream(Codec::H265, "hvc1.1.6.L93.B0")).unwrap_err();
    assert_eq!(refusal.kind(), RefusalKind::NotAcceptable);
    assert_eq!(
        refusal.to_string(),
        "the stream's video is H.265 (hvc1.1.6.L93.B0), but the offer has only VP8, VP9, H264, AV1 for video"
    );
    let refusal = play(fixture!("chromium_play"), &[params(Codec::Aac, "mp4a.40.2")]).unwrap_err();
    assert_eq!(refusal.to_string(), "AAC cannot be carried by WebRTC");
    let offer = fixture!("chromium_play").replace("a=recvonly", "a=sendonly");
    let refusal = play(&offer, &stream(Codec::Vp8, "vp8")).unwrap_err();
    assert_eq!(refusal.to_string(), "the offer has no media section that receives what the stream has");
}

#[test]
fn a_refusal_is_not_as_long_as_its_offer() {
    let offer = fixture!("chromium_play").replace(" VP8/90000", &format!(" {}/90000", "VP".repeat(1_500)));
    let refusal = play(&offer, &stream(Codec::H265, "hvc1.1.6.L93.B0")).unwrap_err();
    assert!(refusal.to_string().len() < 600 && refusal.to_string().contains('…'), "{refusal}");
}

#[test]
fn what_the_stream_has_not_stays_inactive() {
    let (text, negotiated) = play(fixture!("chromium_play"), &[params(Codec::Opus, "opus")]).unwrap();
    assert_eq!(negotiated.media.len(), 1);
    assert_eq!(negotiated.media[0].line, 1);
    let video = section(&text, "0");
    assert!(video.starts_with("m=video 9") || video.starts_with("video 9"), "{video}");
    assert_eq!(lines(video, "a=inactive").len(), 1);
    assert_eq!(lines(video, "a=rtpmap"), ["a=rtpmap:96 VP8/90000"]);
    assert_eq!(lines(&text, "a=group"), ["a=group:BUNDLE 0 1"]);
    // On a transport of its own it would have to be reached, too.
    let offer = fixture!("chromium_play").replace("BUNDLE 0 1 2", "BUNDLE 1 2");
    let (text, _) = play(&offer, &[params(Codec::Opus, "opus")]).unwrap();
    assert_eq!(lines(&text, "m=video 0").len(), 1);
    assert_eq!(lines(section(&text, "1"), "a=candidate").len(), 3);
}

#[test]
fn h265_is_matched_by_profile() {
    let offer = fixture!("chromium_play").replace("a=rtpmap:45 AV1/90000", "a=rtpmap:45 H265/90000");
    let with = |fmtp: &str| offer.replace("a=fmtp:45 level-idx=5;profile=0;tier=0", fmtp);
    let play = |fmtp, rfc6381| {
        play(&with(fmtp), &stream(Codec::H265, rfc6381)).map(|answer| answer.1.media[0].codec)
    };
    assert_eq!(
        play("a=fmtp:45 level-id=93;profile-id=1;tier-flag=0;tx-mode=SRST", "hvc1.1.6.L93.B0"),
        Ok(Codec::H265)
    );
    assert_eq!(play("a=fmtp:45 profile-id=2", "hvc1.1.6.L93.B0"), Ok(Codec::H265));
    assert!(play("a=fmtp:45 profile-id=1", "hvc1.2.4.L93.B0").is_err());
    assert!(play("a=fmtp:45 profile-id=1;tx-mode=MRST", "hvc1.1.6.L93.B0").is_err());
    assert_eq!(play("a=fmtp:45 profile-id=4", "hvc1.4.10.L93.B0"), Ok(Codec::H265));
}

#[test]
fn opus_in_mono_and_surround() {
    let mut opus = params(Codec::Opus, "opus");
    let channels = |count| {
        Format::Audio(AudioFormat { sample_rate_hz: 48_000, channels: count, samples_per_frame: None })
    };
    opus.format = channels(1);
    let (text, _) = play(fixture!("chromium_play"), &[opus.clone()]).unwrap();
    assert_eq!(lines(&text, "a=fmtp:111"), ["a=fmtp:111 minptime=10;useinbandfec=1"]);
    opus.format = channels(6);
    let refusal = play(fixture!("chromium_play"), &[opus]).unwrap_err();
    assert_eq!(refusal.to_string(), "Opus of 6 channels cannot be carried by WebRTC");
}

/// What a browser might answer to a counter-offer.
fn answer_to(offer: &str) -> String {
    let answer = offer.replace("a=setup:actpass", "a=setup:active").replace("a=sendonly", "a=recvonly");
    answer
        .replace("a=ice-lite\r\n", "")
        .replace("ourufrag", "their")
        .replace("ourpasswordof24letters00", "theirpasswordof26letters00")
}

#[test]
fn a_counter_offer_says_what_there_is() {
    let side = Side::new();
    let stream = stream(Codec::H264, HIGH);
    let tracks = tracks(&stream);
    let wish = side.play(&tracks);
    let offer = CounterOffer::new(&wish, None).unwrap();
    assert_eq!(
        lines(offer.sdp(), "m="),
        ["m=video 9 UDP/TLS/RTP/SAVPF 96 97", "m=audio 9 UDP/TLS/RTP/SAVPF 111"]
    );
    assert_eq!(
        lines(offer.sdp(), "a=rtpmap"),
        ["a=rtpmap:96 H264/90000", "a=rtpmap:97 rtx/90000", "a=rtpmap:111 opus/48000/2"]
    );
    assert_eq!(lines(offer.sdp(), "a=candidate").len(), 3);
    assert_eq!(lines(offer.sdp(), "a=group"), ["a=group:BUNDLE 0 1"]);

    let answer = answer_to(offer.sdp());
    let negotiated = offer.accept(&answer).unwrap();
    assert_eq!((negotiated.remote.ufrag.as_str(), negotiated.role), ("their", DtlsRole::Passive));
    let [video, audio] = &negotiated.media[..] else { panic!() };
    assert_eq!((video.rtx, video.sending.unwrap().rtx_ssrc), (Some(97), Some(2_001)));
    assert!(video.feedback.transport_cc && video.feedback.nack && audio.feedback.transport_cc);
    assert_eq!(video.extensions.transport_cc, Some(2));

    // The player has no retransmission, and does not want audio.
    let answer = answer.replace("SAVPF 96 97", "SAVPF 96").replace("m=audio 9", "m=audio 0");
    let answer =
        answer.replace("a=rtcp-fb:96 transport-cc\r\n", "").replace("a=setup:active", "a=setup:passive");
    let negotiated = offer.accept(&answer).unwrap();
    assert_eq!((negotiated.media.len(), negotiated.role), (1, DtlsRole::Active));
    let video = &negotiated.media[0];
    assert_eq!((video.rtx, video.sending.unwrap().rtx_ssrc), (None, None));
    assert_eq!((video.feedback.transport_cc, video.extensions.transport_cc), (false, None));
}

#[test]
fn browsers_answer_a_counter_offer() {
    let side = Side::new();
    let stream = stream(Codec::Vp8, "vp8");
    let tracks = tracks(&stream);
    let offer = CounterOffer::new(&side.play(&tracks), None).unwrap();
    for answer in [fixture!("chromium_answer"), fixture!("firefox_answer")] {
        let negotiated = offer.accept(answer).unwrap();
        let [video, audio] = &negotiated.media[..] else { panic!("{negotiated:?}") };
        assert_eq!((negotiated.role, video.rtx, audio.payload_type), (DtlsRole::Passive, Some(97), 111));
        assert!(video.feedback.transport_cc && video.feedback.pli && audio.feedback.transport_cc);
        assert_eq!((video.extensions.mid, video.extensions.playout_delay), (Some(1), Some(3)));
    }
}

#[test]
fn the_network_is_asked_for_only_where_that_is_of_use() {
    let side = Side::new();
    let stream = stream(Codec::Vp8, "vp8");
    let tracks = tracks(&stream);
    let wish = PlayWish { feedback: false, ..side.play(&tracks) };
    let (text, negotiated) = Offer::parse(fixture!("chromium_play")).unwrap().answer_play(&wish).unwrap();
    let feedback = Feedback { nack: true, pli: true, fir: true, transport_cc: false, remb: false };
    let [video, audio] = &negotiated.media[..] else { panic!() };
    assert_eq!((video.feedback, audio.feedback), (feedback, Feedback::default()));
    let offer = CounterOffer::new(&wish, None).unwrap();
    for text in [&text, offer.sdp()] {
        assert!(
            !text.contains("transport-cc") && !text.contains("transport-wide-cc") && !text.contains("remb")
        );
    }
}

#[test]
fn an_answer_must_fit_its_counter_offer() {
    let side = Side::new();
    let stream = stream(Codec::Av1, "av01.0.08M.08");
    let tracks = tracks(&stream);
    let wish = side.play(&tracks);
    let offer = CounterOffer::new(&wish, None).unwrap();
    let answer = answer_to(offer.sdp());
    let refused = |answer: String| offer.accept(&answer).unwrap_err();
    assert_eq!(refused(answer.replace("a=mid:1", "a=mid:2")), Refusal::Mismatch("other media sections"));
    assert_eq!(
        refused(answer.replace("AV1/90000", "VP8/90000")),
        Refusal::Mismatch("another codec or payload type")
    );
    let cut = answer[..answer.find("m=audio").unwrap()].to_owned();
    assert_eq!(refused(cut), Refusal::Mismatch("another number of media sections"));
    assert_eq!(
        refused(answer.replace("a=setup:active", "a=setup:actpass")),
        Refusal::Setup("actpass".to_owned())
    );
    assert_eq!(refused(answer.replace("a=recvonly", "a=inactive")).kind(), RefusalKind::Unprocessable);
    assert_eq!(refused(answer.replace("s=-\r\n", "s=-\r\na=ice-lite\r\n")), Refusal::BothLite);
    assert_eq!(refused("nonsense".to_owned()), Refusal::Sdp(SdpError::Line(1)));
    assert_eq!(refused(String::new()).kind(), RefusalKind::Malformed);

    let nothing = PlayWish { tracks: &[], ..wish };
    assert_eq!(CounterOffer::new(&nothing, None).unwrap_err().kind(), RefusalKind::Unprocessable);
    let aac = [params(Codec::Aac, "mp4a.40.2")];
    let aac = super::tracks(&aac);
    let wish = PlayWish { tracks: &aac, ..wish };
    assert_eq!(CounterOffer::new(&wish, None).unwrap_err(), Refusal::NotCarried("AAC".to_owned()));
}

#[test]
fn counter_offers_of_all_codecs_are_answered_by_who_knows_them() {
    for (codec, rfc6381, fmtp) in [
        (Codec::H265, "hvc1.1.6.L93.B0", "a=fmtp:96 profile-id=1;tx-mode=SRST"),
        (Codec::Vp9, "vp09.02.41.10", "a=fmtp:96 profile-id=2"),
        (Codec::Av1, "av01.0.08M.08", "a=fmtp:96 profile=0"),
        (Codec::Vp8, "vp8", "a=fmtp:97 apt=96"),
    ] {
        let side = Side::new();
        let stream = stream(codec, rfc6381);
        let tracks = tracks(&stream);
        let wish = side.play(&tracks);
        let offer = CounterOffer::new(&wish, None).unwrap();
        assert_eq!(lines(offer.sdp(), "a=fmtp")[0], fmtp);
        assert_eq!(offer.accept(&answer_to(offer.sdp())).unwrap().media[0].codec, codec);
    }
}
