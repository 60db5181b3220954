//! An identity provider on loopback, and tokens of any kind.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};
use warp::Filter;
use warp::http::Response;

use crate::model::hex;

/// A key pair: of P-256 made for one test, or the well-known one of Ed25519.
pub(super) struct Key {
    pub(super) algorithm: Algorithm,
    pub(super) secret: EncodingKey,
    pub(super) public: Value,
}

impl Key {
    /// `PrivateKeyInfo` (RFC 5958) of a random scalar (RFC 5915).
    pub(super) fn p256(name: &str) -> Self {
        const HEAD: [u8; 35] = [
            0x30, 0x41, 0x02, 0x01, 0x00, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d,
            0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x04, 0x27,
            0x30, 0x25, 0x02, 0x01, 0x01, 0x04, 0x20,
        ];
        let secret = EncodingKey::from_ec_der(&der(&HEAD));
        let mut public = Jwk::from_encoding_key(&secret, Algorithm::ES256).unwrap();
        public.common.key_id = Some(name.to_owned());
        let public = serde_json::to_value(public).unwrap();
        Self { algorithm: Algorithm::ES256, secret, public }
    }

    /// `PrivateKeyInfo` (RFC 8410) of the pair that RFC 8032, 7.1, test 1 and RFC 8037, A.2 publish.
    pub(super) fn ed25519(name: &str) -> Self {
        const HEAD: &str = "302e020100300506032b657004220420";
        const SEED: &str = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
        let der = hex::decode_all(&format!("{HEAD}{SEED}")).unwrap();
        let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
        Self {
            algorithm: Algorithm::EdDSA,
            secret: EncodingKey::from_ed_der(&der),
            public: json!({"kty": "OKP", "crv": "Ed25519", "kid": name, "x": x}),
        }
    }

    pub(super) fn name(&self) -> &str {
        self.public["kid"].as_str().unwrap()
    }

    /// A token of these claims.
    pub(super) fn sign(&self, claims: &Value) -> String {
        self.sign_with(|_| (), claims)
    }

    /// A token whose header says more, or something else.
    pub(super) fn sign_with(&self, header: impl FnOnce(&mut Header), claims: &Value) -> String {
        let mut own = Header::new(self.algorithm);
        own.kid = Some(self.name().to_owned());
        header(&mut own);
        encode(&own, claims, &self.secret).unwrap()
    }
}

fn der(head: &[u8]) -> Vec<u8> {
    let mut random = [0; 32];
    getrandom::fill(&mut random).unwrap();
    // A scalar must lie below the order of the curve.
    random[0] &= 0x7f;
    [head, &random].concat()
}

/// Base64url without padding (RFC 4648, 5).
pub(super) fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let letters = bytes.chunks(3).flat_map(|chunk| {
        let all = chunk.iter().fold(0_u32, |all, byte| all << 8 | u32::from(*byte));
        let all = all << (8 * (3 - chunk.len()));
        (0..=chunk.len()).map(move |at| LETTERS[(all >> (18 - 6 * at)) as usize & 63] as char)
    });
    letters.collect()
}

/// What the provider answers.
pub(super) struct Answers {
    pub(super) discovery: Value,
    pub(super) keys: String,
    pub(super) status: u16,
    /// Every path that was asked for.
    pub(super) asked: Vec<String>,
}

/// A provider that lives as long as the test's runtime.
pub(super) struct Provider {
    pub(super) url: String,
    answers: Arc<Mutex<Answers>>,
}

impl Provider {
    pub(super) async fn start(keys: &[&Key]) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address: SocketAddr = listener.local_addr().unwrap();
        let url = format!("http://{address}");
        let discovery = json!({"issuer": url, "jwks_uri": format!("{url}/keys?v=1")});
        let answers = Answers { discovery, keys: String::new(), status: 200, asked: Vec::new() };
        let answers = Arc::new(Mutex::new(answers));
        let shared = Arc::clone(&answers);
        let route = warp::path::full().map(move |path: warp::path::FullPath| {
            let mut answers = shared.lock().unwrap();
            answers.asked.push(path.as_str().to_owned());
            let (status, body) = match path.as_str() {
                "/.well-known/openid-configuration" => (200, answers.discovery.to_string()),
                "/keys" => (answers.status, answers.keys.clone()),
                _ => (404, String::new()),
            };
            Response::builder().status(status).header("location", "/keys").body(body).unwrap()
        });
        tokio::spawn(warp::serve(route).incoming(listener).run());
        let provider = Self { url, answers };
        provider.publish(keys);
        provider
    }

    pub(super) fn publish(&self, keys: &[&Key]) {
        let keys: Vec<&Value> = keys.iter().map(|key| &key.public).collect();
        self.change(|answers| answers.keys = json!({ "keys": keys }).to_string());
    }

    pub(super) fn change(&self, change: impl FnOnce(&mut Answers)) {
        change(&mut self.answers.lock().unwrap());
    }

    /// All paths that were asked for.
    pub(super) fn asked(&self) -> Vec<String> {
        self.answers.lock().unwrap().asked.clone()
    }
}
