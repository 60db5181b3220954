//! TLS with certificates that are made here.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use tempfile::TempDir;

use super::*;
use crate::api::{Tls, TlsError};

/// ecdsa-with-SHA256 (RFC 5758).
const ECDSA: [u8; 8] = [0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
/// id-ecPublicKey and secp256r1 (RFC 5480).
const PUBLIC_KEY: [u8; 7] = [0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
const P256: [u8; 8] = [0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];

/// A value of ASN.1 in its distinguished encoding.
fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let size = u16::try_from(content.len()).unwrap();
    let [high, low] = size.to_be_bytes();
    let length = match size {
        0..128 => vec![low],
        128..256 => vec![0x81, low],
        _ => vec![0x82, high, low],
    };
    [vec![tag], length, content].concat()
}

/// A certificate for 127.0.0.1 that signs itself, and its key (RFC 5280, PKCS#8).
fn self_signed(serial: u8) -> (Vec<u8>, Vec<u8>) {
    let random = SystemRandom::new();
    let algorithm = &ECDSA_P256_SHA256_ASN1_SIGNING;
    let key = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
    let pair = EcdsaKeyPair::from_pkcs8(algorithm, key.as_ref()).unwrap();
    let signed_by = der(0x30, &[&der(0x06, &[&ECDSA])]);
    let common_name = der(0x30, &[&der(0x06, &[&[0x55, 4, 3]]), &der(0x0c, &[b"titan test"])]);
    let name = der(0x30, &[&der(0x31, &[&common_name])]);
    let time = |text: &str| der(0x17, &[text.as_bytes()]);
    let validity = der(0x30, &[&time("200101000000Z"), &time("491231235959Z")]);
    let kind = der(0x30, &[&der(0x06, &[&PUBLIC_KEY]), &der(0x06, &[&P256])]);
    let public = der(0x30, &[&kind, &der(0x03, &[&[0], pair.public_key().as_ref()])]);
    let names = der(0x30, &[&der(0x87, &[&[127, 0, 0, 1]])]);
    let subject_names = der(0x30, &[&der(0x06, &[&[0x55, 0x1d, 0x11]]), &der(0x04, &[&names])]);
    let extensions = der(0xa3, &[&der(0x30, &[&subject_names])]);
    let version = der(0xa0, &[&der(0x02, &[&[2]])]);
    let serial = der(0x02, &[&[serial]]);
    let parts = [&version, &serial, &signed_by, &name, &validity, &name, &public, &extensions];
    let body = der(0x30, &parts.map(Vec::as_slice));
    let signature = pair.sign(&random, &body).unwrap();
    let signature = der(0x03, &[&[0], signature.as_ref()]);
    (der(0x30, &[&body, &signed_by, &signature]), key.as_ref().to_vec())
}

fn pem(kind: &str, bytes: &[u8]) -> String {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for part in bytes.chunks(3) {
        let group =
            (0..3).fold(0_u32, |all, place| all << 8 | u32::from(*part.get(place).unwrap_or(&0)));
        for place in 0..4 {
            let digit = DIGITS[(group >> (18 - 6 * place) & 63) as usize];
            text.push(if place <= part.len() { char::from(digit) } else { '=' });
        }
    }
    let lines: Vec<_> =
        text.as_bytes().chunks(64).map(|l| std::str::from_utf8(l).unwrap()).collect();
    format!("-----BEGIN {kind}-----\n{}\n-----END {kind}-----\n", lines.join("\n"))
}

/// A folder with a certificate and its key, which may be replaced.
struct Files {
    folder: TempDir,
}

impl Files {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    /// Writes new ones; returns a client that trusts nobody else.
    fn write(&self, serial: u8) -> reqwest::Client {
        let (certificate, key) = self_signed(serial);
        std::fs::write(self.path("cert.pem"), pem("CERTIFICATE", &certificate)).unwrap();
        std::fs::write(self.path("key.pem"), pem("PRIVATE KEY", &key)).unwrap();
        let root = reqwest::Certificate::from_der(&certificate).unwrap();
        let client = reqwest::Client::builder().no_proxy().tls_certs_only([root]);
        client.build().unwrap()
    }

    fn load(&self) -> Result<Tls, TlsError> {
        Tls::load(&self.path("cert.pem"), &self.path("key.pem"))
    }
}

impl Api {
    async fn over(tls: &Tls, change: impl FnOnce(&mut Snapshot)) -> Self {
        let options = Options { tls: Some(tls.clone()), ..Options::default() };
        Self::with(options, change, Loop::Answers).await
    }

    fn secure(&self, path: &str) -> String {
        format!("https://{}{path}", self.address)
    }
}

#[tokio::test]
async fn a_report_goes_over_tls() {
    let files = Files::new();
    let client = files.write(1);
    let api = Api::over(&files.load().unwrap(), |_| ()).await;
    let post = client.post(api.secure("/api/v1/hosts/a/reports")).bearer_auth(TOKEN_A);
    let answer = Answer::of(post.body(report("a", 3).to_string()).send().await.unwrap()).await;
    assert_eq!((answer.status, api.received()), (200, vec![3]));
    assert!(answer.headers.contains_key("x-request-id"));
    let large = client.post(api.secure("/api/v1/hosts/a/reports")).body("x".repeat(65_537));
    assert_eq!(large.send().await.unwrap().status().as_u16(), 413);
    // Who does not speak TLS gets nothing.
    assert!(api.client.get(api.url("/healthz")).send().await.is_err());
    assert!(api.client.get(api.secure("/healthz")).send().await.is_err(), "nor who does not trust");
}

#[tokio::test]
async fn silence_is_cut_off_before_and_after_the_handshake() {
    let files = Files::new();
    let client = files.write(1);
    let quick = |snapshot: &mut Snapshot| {
        snapshot.limits.http_header_time = TimeSpan(Duration::from_millis(100));
        snapshot.limits.http_body_time = TimeSpan(Duration::from_millis(100));
    };
    let mut api = Api::over(&files.load().unwrap(), quick).await;
    assert_eq!(api.raw("").await, "", "no handshake");
    let health = client.get(api.secure("/healthz")).send().await.unwrap();
    assert_eq!(health.status().as_u16(), 200);
    api.stop.take().unwrap().send(()).unwrap();
    api.server.await.unwrap();
}

#[tokio::test]
async fn a_new_certificate_is_taken_over() {
    let files = Files::new();
    let first = files.write(1);
    let tls = files.load().unwrap();
    let api = Api::over(&tls, |_| ()).await;
    let works = async |client: &reqwest::Client| {
        // Each time a new connection.
        let request = client.get(api.secure("/healthz")).header("Connection", "close");
        request.send().await.is_ok_and(|answer| answer.status().is_success())
    };
    assert!(works(&first).await);
    assert!(!tls.reload().unwrap(), "nothing is new");
    let second = files.write(2);
    assert!(tls.reload().unwrap());
    assert!(works(&second).await && !works(&first).await);

    std::fs::write(files.path("key.pem"), "half written").unwrap();
    assert!(matches!(tls.reload(), Err(TlsError::Pem { what: "key", .. })));
    assert!(works(&second).await, "the one before stays");
}

#[test]
fn files_that_make_no_tls_are_refused() {
    let files = Files::new();
    assert!(matches!(files.load(), Err(TlsError::Read { .. })));
    files.write(1);
    let certificate = std::fs::read(files.path("cert.pem")).unwrap();
    files.write(2);
    assert!(files.load().is_ok());
    std::fs::write(files.path("cert.pem"), certificate).unwrap();
    assert!(matches!(files.load(), Err(TlsError::Unusable(_))), "the key of another certificate");
    std::fs::write(files.path("cert.pem"), "").unwrap();
    let error = files.load().unwrap_err().to_string();
    assert!(error.ends_with("cert.pem` holds no certificate in PEM form"), "{error}");
}
