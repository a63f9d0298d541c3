//! WHIP and WHEP over HTTP: statuses, headers and what pages of other sites may do. The media is the engine's, and judged there.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking, in its helpers too")]

mod support;

use cruvz_server::Server;
use support::{Answer, ask, publish, send, server};

const SDP: &str = "Content-Type: application/sdp\r\n";
const FRAGMENT: &str = "Content-Type: application/trickle-ice-sdpfrag\r\n";
const TURN: &str = "[engine.webrtc]\nstun = ['stun:stun.example:3478']\n\
     [[engine.webrtc.turn]]\nurls = ['turn:turn.example:3478?transport=udp']\nsecret = 'north'\n";

/// An offer of a picture, to send it or to receive it.
fn offer(direction: &str, codec: &str) -> String {
    format!(
        "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\n\
         c=IN IP4 0.0.0.0\r\na=ice-ufrag:them\r\na=ice-pwd:0123456789012345678901\r\na=ice-options:trickle\r\n\
         a=fingerprint:sha-256 30:FE:FC:01:10:5E:A8:72:B9:87:2A:57:D4:3D:A7:5F:16:29:41:4B:7B:0A:92:58:F4:37:79:A5:3A:F6:87:A3\r\n\
         a=setup:actpass\r\na=mid:0\r\na={direction}\r\na=rtcp-mux\r\na=rtcp-rsize\r\na=rtpmap:96 {codec}/90000\r\n\
         a=fmtp:96 packetization-mode=1;profile-level-id=42e01f;level-asymmetry-allowed=1\r\n"
    )
}

async fn with_body(server: &Server, method: &str, path: &str, headers: &str, body: &str) -> Answer {
    let addr = server.http_addr().unwrap();
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {addr}\r\nContent-Length: {length}\r\n{headers}Connection: close\r\n\r\n"
    );
    send(addr, &format!("{head}{body}")).await
}

/// A session's URL and entity tag, as they were written: heads are read in small letters.
fn location(answer: &Answer) -> String {
    assert_eq!(answer.status, 201, "{} {}", answer.head, answer.text());
    answer.header("location").unwrap().to_owned()
}

#[tokio::test]
async fn an_offer_is_answered_with_all_that_a_client_needs() {
    let server = server(TURN).await;
    publish(&server).await;
    for (path, sdp) in
        [("/whip/live/web", offer("sendonly", "VP8")), ("/whep/live/cam", offer("recvonly", "H264"))]
    {
        let answer = with_body(&server, "POST", path, SDP, &sdp).await;
        let location = location(&answer);
        let id = location.strip_prefix(&format!("{path}/")).unwrap();
        assert!(id.len() == 32 && id.bytes().all(|digit| digit.is_ascii_hexdigit()), "{id}");
        assert_eq!(answer.header("content-type"), Some("application/sdp"));
        assert_eq!(answer.header("accept-patch"), Some("application/trickle-ice-sdpfrag"));
        let etag = answer.header("etag").unwrap();
        assert!(etag.starts_with('"') && etag.ends_with('"') && etag.len() > 4, "{etag}");
        let links: Vec<_> = answer.head.lines().filter_map(|line| line.strip_prefix("link: ")).collect();
        assert_eq!(links[0], "<stun:stun.example:3478>; rel=\"ice-server\"");
        assert!(
            links[1].starts_with("<turn:turn.example:3478?transport=udp>; rel=\"ice-server\"; username=\""),
            "{links:?}"
        );
        assert!(
            links[1].contains("credential=\"") && links[1].ends_with("credential-type=\"password\""),
            "{links:?}"
        );
        let port = server.engine().local_addr(cruvz_core::Protocol::WebRtc).unwrap().port();
        let text = answer.text();
        assert!(
            text.contains(&format!(" 127.0.0.1 {port} typ host")) && text.contains("a=ice-lite"),
            "{text}"
        );

        let gone = ask(&server, "DELETE", &location, "").await;
        assert_eq!((gone.status, gone.body.len()), (200, 0));
        ask(&server, "DELETE", &location, "").await.is_problem(404, "not_found");
    }
}

#[tokio::test]
async fn changes_of_ice_are_conditional() {
    let server = server("").await;
    let answer = with_body(&server, "POST", "/whip/live/web", SDP, &offer("sendonly", "VP8")).await;
    let url = location(&answer);
    let patch = async |headers: &str, body: &str| with_body(&server, "PATCH", &url, headers, body).await;
    let trickle = "a=ice-ufrag:them\r\na=ice-pwd:0123456789012345678901\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:0\r\n\
         a=candidate:1 1 udp 2122260223 192.0.2.1 61764 typ host\r\na=end-of-candidates\r\n";
    patch(FRAGMENT, trickle).await.is_problem(428, "precondition_required");
    patch(&format!("{FRAGMENT}If-Match: \"stale\"\r\n"), trickle)
        .await
        .is_problem(412, "precondition_failed");
    patch(&format!("{FRAGMENT}If-Match: *\r\n"), "hello").await.is_problem(400, "malformed");
    let wrong = patch(SDP, trickle).await;
    wrong.is_problem(415, "unsupported_media_type");
    assert_eq!(wrong.header("accept-patch"), Some("application/trickle-ice-sdpfrag"));
    let taken = patch(&format!("{FRAGMENT}If-Match: *\r\n"), trickle).await;
    assert_eq!((taken.status, taken.header("etag")), (204, None));

    let restart = "a=ice-ufrag:new1\r\na=ice-pwd:1234567890123456789012\r\n";
    let restarted = patch(&format!("{FRAGMENT}If-Match: *\r\n"), restart).await;
    assert_eq!(restarted.status, 200, "{}", restarted.text());
    assert_eq!(restarted.header("content-type"), Some("application/trickle-ice-sdpfrag"));
    assert_ne!(restarted.header("etag").unwrap(), answer.header("etag").unwrap());
    let text = restarted.text();
    assert!(
        text.contains("a=ice-ufrag:") && text.contains("a=ice-pwd:") && text.contains("a=ice-lite"),
        "{text}"
    );
}

#[tokio::test]
async fn what_cannot_be_is_said_with_its_status() {
    let server = server("").await;
    let post =
        async |path: &str, headers: &str, body: &str| with_body(&server, "POST", path, headers, body).await;
    let wrong = post("/whip/live/web", "Content-Type: text/plain\r\n", &offer("sendonly", "VP8")).await;
    wrong.is_problem(415, "unsupported_media_type");
    assert_eq!(wrong.header("accept-post"), Some("application/sdp"));
    post("/whip/live/web", SDP, "hello").await.is_problem(400, "malformed");
    post("/whip/live/web", SDP, &"x".repeat(70_000)).await.is_problem(413, "body");
    post("/whip/live/web", SDP, &offer("sendonly", "H263")).await.is_problem(406, "not_acceptable");
    let early = post("/whep/live/nobody", SDP, &offer("recvonly", "H264")).await;
    early.is_problem(409, "not_live");
    assert_eq!(early.header("retry-after"), Some("2"));
    location(&post("/whip/live/web", SDP, &offer("sendonly", "VP8")).await);
    let taken = post("/whip/live/web", SDP, &offer("sendonly", "VP8")).await;
    taken.is_problem(409, "already_exists");
    for (method, path) in [
        ("GET", "/whip/live/web"),
        ("HEAD", "/whip/live/web"),
        ("PUT", "/whep/live/web"),
        ("GET", "/whep/live/web"),
        ("POST", "/whip/live/web/x"),
    ] {
        assert_eq!(ask(&server, method, path, "").await.status, 405, "{method} {path}");
    }
    ask(&server, "DELETE", "/whip/live/web/x", "").await.is_problem(404, "not_found");
    assert_eq!(ask(&server, "HEAD", "/whep/live/nobody", "").await.status, 404);
    publish(&server).await;
    let head = ask(&server, "HEAD", "/whep/live/cam", "").await;
    assert_eq!((head.status, head.header("content-type")), (200, Some("application/sdp")));
}

/// Our offer answered as a browser does: by the same, turned round.
fn answer_to(offer: &str) -> String {
    let keep = |line: &&str| !line.starts_with("a=ice-lite") && !line.starts_with("a=candidate");
    let lines: Vec<_> = offer.lines().filter(keep).collect();
    let sdp = lines.join("\r\n") + "\r\n";
    sdp.replace("a=sendonly", "a=recvonly").replace("a=setup:actpass", "a=setup:active")
}

#[tokio::test]
async fn a_player_whose_offer_does_not_do_gets_ours_and_answers_it() {
    let server = server("").await;
    publish(&server).await;
    // It decodes no H.264; it leaves the first word to us; it receives nothing.
    for sdp in [offer("recvonly", "VP8"), String::new(), offer("sendonly", "H264")] {
        let answer = with_body(&server, "POST", "/whep/live/cam", SDP, &sdp).await;
        assert_eq!(answer.status, 406, "{} {}", answer.head, answer.text());
        assert_eq!(answer.header("content-type"), Some("application/sdp"));
        assert_eq!(answer.header("accept-patch"), Some("application/sdp, application/trickle-ice-sdpfrag"));
        let url = answer.header("location").unwrap().to_owned();
        let ours = answer.text();
        assert!(ours.contains("a=rtpmap:96 H264/90000") && ours.contains("a=setup:actpass"), "{ours}");
        assert_eq!(ours.contains("i=the stream's video is H.264"), sdp.contains("VP8"), "{ours}");
        assert_eq!(server.engine().viewers(&"live/cam".parse().unwrap()), 1, "it is a session already");

        let patch = async |headers: &str, body: &str| with_body(&server, "PATCH", &url, headers, body).await;
        let restart = "a=ice-ufrag:new1\r\na=ice-pwd:1234567890123456789012\r\n";
        let early = patch(&format!("{FRAGMENT}If-Match: *\r\n"), restart).await;
        early.is_problem(409, "conflict");
        patch(SDP, "hello").await.is_problem(400, "malformed");
        let other = answer_to(&ours).replace("H264/90000", "VP8/90000");
        patch(SDP, &other).await.is_problem(400, "malformed");
        // Mistakes do not cost the session.
        let taken = patch(SDP, &answer_to(&ours)).await;
        assert_eq!((taken.status, taken.body.len()), (204, 0), "{}", taken.text());
        patch(SDP, &answer_to(&ours)).await.is_problem(422, "unprocessable");
        let gone = ask(&server, "DELETE", &url, "").await;
        assert_eq!(gone.status, 200);
    }
    let answer = with_body(&server, "POST", "/whep/live/cam", SDP, "").await;
    let unanswered = answer.header("location").unwrap();
    assert_eq!(ask(&server, "DELETE", unanswered, "").await.status, 200);
    assert_eq!(server.engine().viewers(&"live/cam".parse().unwrap()), 0);
    // A publisher gets none, and says what it sends.
    with_body(&server, "POST", "/whip/live/web", SDP, "").await.is_problem(400, "malformed");
}

#[tokio::test]
async fn an_offer_of_ours_that_nobody_answers_is_over_in_time() {
    let server = server("[engine.webrtc]\nconnect_timeout_ms = 100\n").await;
    publish(&server).await;
    let answer = with_body(&server, "POST", "/whep/live/cam", SDP, "").await;
    let url = answer.header("location").unwrap().to_owned();
    let viewers = || server.engine().viewers(&"live/cam".parse().unwrap());
    let until_gone = async {
        while viewers() > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(support::DEADLINE, until_gone).await.unwrap();
    let late = with_body(&server, "PATCH", &url, SDP, &answer_to(&answer.text())).await;
    late.is_problem(404, "not_found");
}

#[tokio::test]
async fn pages_of_other_sites_may_ask_and_read_but_not_borrow_this_machine() {
    let server = server("[[publish]]\nkey = 'secret'\n").await;
    let origin = "Origin: https://a.example\r\n";
    for path in ["/whip/live/web", "/whep/live/web", "/whip/live/web/x"] {
        let preflight =
            ask(&server, "OPTIONS", path, &format!("{origin}Access-Control-Request-Method: PATCH\r\n")).await;
        assert_eq!(preflight.status, 200);
        for (name, value) in [
            ("accept-post", "application/sdp"),
            ("access-control-allow-origin", "*"),
            ("access-control-allow-methods", "post, patch, delete, head, options"),
            ("access-control-allow-headers", "authorization, content-type, if-match"),
            ("access-control-expose-headers", "location, link, etag, retry-after"),
        ] {
            assert_eq!(preflight.header(name), Some(value), "{path}");
        }
    }
    let sdp = offer("sendonly", "VP8");
    let post = async |headers: &str| with_body(&server, "POST", "/whip/live/web", headers, &sdp).await;
    for foreign in [origin, "X-Forwarded-For: 192.0.2.1\r\n"] {
        let refused = post(&format!("{SDP}{foreign}")).await;
        refused.is_problem(401, "unauthorized");
        assert_eq!(refused.header("www-authenticate"), Some("bearer"));
    }
    post(&format!("{SDP}{origin}Authorization: Bearer wrong\r\n")).await.is_problem(403, "forbidden");
    let url = location(&post(&format!("{SDP}{origin}Authorization: Bearer secret\r\n")).await);
    ask(&server, "DELETE", &url, "Authorization: Bearer wrong\r\n").await.is_problem(403, "forbidden");
    let gone = ask(&server, "DELETE", &url, &format!("{origin}Authorization: Bearer secret\r\n")).await;
    assert_eq!((gone.status, gone.header("access-control-allow-origin")), (200, Some("*")));
    let local = format!("{SDP}Origin: http://localhost:8080\r\n");
    location(&post(&local).await);
}
