//! What an engine cannot be started with is said before it runs.

#![allow(clippy::unwrap_used, reason = "a test")]

use cruvz_core::{Engine, EngineBuilder, ErrorKind, Protocol, TlsConfig};

async fn refused(builder: EngineBuilder) -> (ErrorKind, String) {
    let error = builder.start().await.unwrap_err();
    (error.kind(), error.to_string())
}

#[tokio::test]
async fn an_address_that_is_none_or_is_taken_is_named() {
    let (kind, words) = refused(Engine::builder().rtmp("everywhere")).await;
    assert_eq!(kind, ErrorKind::InvalidArgument);
    assert_eq!(words, "\"everywhere\" is no address to listen on, as in 0.0.0.0:1935");
    let first = Engine::builder().rtmp("127.0.0.1:0").start().await.unwrap();
    let taken = first.local_addr(Protocol::Rtmp).unwrap().to_string();
    let (kind, words) = refused(Engine::builder().rtmp(taken.as_str())).await;
    assert_eq!(kind, ErrorKind::Io);
    assert!(words.contains("cannot listen for rtmp") && words.contains(&taken), "{words}");
    let everywhere = Engine::builder().rtmp(":0").start().await.unwrap();
    assert!(everywhere.local_addr(Protocol::Rtmp).unwrap().ip().is_unspecified());
    assert_eq!(everywhere.local_addr(Protocol::Rtmps), None);
}

#[tokio::test]
async fn certificates_that_are_none_are_named_and_keys_never_shown() {
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (cert, key) = (certified.cert.pem(), certified.signing_key.serialize_pem());
    for (cert_pem, key_pem, what) in [
        ("-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n", &key[..], "certificate"),
        (&cert[..], "", "key"),
        ("", &key[..], "certificate and key"),
    ] {
        let tls = TlsConfig { cert_pem: cert_pem.into(), key_pem: key_pem.into() };
        assert_eq!(format!("{tls:?}"), "TlsConfig(***)");
        let (kind, words) = refused(Engine::builder().rtmps("127.0.0.1:0", tls)).await;
        assert_eq!(kind, ErrorKind::InvalidConfig, "{words}");
        assert!(words.starts_with(&format!("the TLS {what} cannot be used: ")), "{words}");
    }
    let damaged = cert.replace("MII", "AAA");
    let (kind, words) = refused(Engine::builder().trust(damaged)).await;
    assert_eq!(kind, ErrorKind::InvalidConfig);
    assert!(words.starts_with("the trusted certificates cannot be used"), "{words}");
}

#[tokio::test]
async fn what_is_no_rtmp_url_is_neither_pulled_nor_pushed() {
    let engine = Engine::builder().start().await.unwrap();
    for url in ["http://example.com/live/cam", "rtmp://", "cam"] {
        let name = || "live/cam".parse().unwrap();
        for error in [engine.pull(name(), url).unwrap_err(), engine.push(name(), url).unwrap_err()] {
            assert_eq!(error.kind(), ErrorKind::InvalidArgument);
            assert!(error.to_string().starts_with("no RTMP URL: "), "{error}");
        }
    }
}
