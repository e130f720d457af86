//! Servers that are reached by HTTPS.
use std::sync::Arc;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;

use crate::{
    house::{OPEN, Plan},
    wire::Upstream,
};

const CALL: &str =
    r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"look","arguments":{"at":"it"}}}"#;

/// Takes TLS off what comes in for `plain`. Gives its address and its certificate.
async fn terminate(plain: &str) -> (String, String) {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], signing_key.serialize_der().try_into().unwrap())
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}/mcp", listener.local_addr().unwrap().port());
    let plain = plain.trim_start_matches("http://").trim_end_matches("/mcp").to_owned();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, plain) = (acceptor.clone(), plain.clone());
            tokio::spawn(async move {
                // A client that trusts nobody here hangs up.
                let Ok(mut inside) = acceptor.accept(stream).await else { return };
                let mut outside = TcpStream::connect(plain).await.unwrap();
                let _cut = tokio::io::copy_bidirectional(&mut inside, &mut outside).await.is_err();
            });
        }
    });
    (url, cert.pem())
}

#[tokio::test]
async fn a_server_behind_tls_is_reached_when_its_certificate_is_trusted() {
    let upstream = Upstream::open().await;
    let (url, certificate) = terminate(&upstream.url).await;
    let log = upstream.answer_everything();
    let dir = tempfile::tempdir().unwrap();
    let trusted = dir.path().join("trusted.pem");
    std::fs::write(&trusted, certificate).unwrap();
    let plan = Plan::default().url("x", &url).rules(OPEN);
    let house = plan.env("SSL_CERT_FILE", trusted.to_str().unwrap()).open().await;
    let answer = house.endpoint("x").post(CALL).await.json().await;
    assert_eq!(answer["result"]["content"][0]["text"], "ran");
    assert_eq!(log.calls(), 1);
}

#[tokio::test]
async fn a_server_nobody_vouches_for_gets_nothing_and_the_client_learns_why() {
    let upstream = Upstream::open().await;
    let (url, _) = terminate(&upstream.url).await;
    let log = upstream.answer_everything();
    let house = Plan::default().url("x", &url).rules(OPEN).open().await;
    let answer = house.endpoint("x").post(CALL).await.json().await;
    let said = answer["error"]["message"].as_str().unwrap();
    assert!(said.contains("certificate"), "{said}");
    assert_eq!(log.calls(), 0);
}
