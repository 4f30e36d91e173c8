//! Tokens that are signed and checked, and an issuer that changes its keys or does not answer.

#![allow(clippy::unwrap_used)]

mod issuers;
mod signed;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use bytes::Bytes;
use dunlin_manifest::env::Clock;
use futures::future::{BoxFuture, FutureExt, pending, ready};
use parking_lot::Mutex;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair, RsaEncoding, RsaKeyPair,
    RsaPublicKeyComponents,
};
use serde_json::{Value, json};
use url::Url;

use super::super::keyring::{AuthError, KeyOptions, Keyring};
use super::super::principal::Principal;
use super::web::{Documents, ReadError};
use super::*;

/// The time of all tests, in seconds since 1970.
const NOW: u64 = 1_800_000_000;
const ISSUER: &str = "https://id.example";
const KEYS: &str = "https://id.example/keys";

/// A clock that a test sets.
#[derive(Debug, Default)]
struct Hand {
    passed: Mutex<Duration>,
    /// A pause is over at once.
    hurries: Mutex<bool>,
}

impl Hand {
    fn pass(&self, seconds: u64) {
        *self.passed.lock() += Duration::from_secs(seconds);
    }
}

impl Clock for Hand {
    fn monotonic(&self) -> Duration {
        *self.passed.lock()
    }

    fn wall_ms(&self) -> u64 {
        NOW * 1_000 + u64::try_from(self.passed.lock().as_millis()).unwrap()
    }

    fn sleep(&self, _: Duration) -> BoxFuture<'static, ()> {
        if *self.hurries.lock() { ready(()).boxed() } else { pending().boxed() }
    }
}

/// What servers answer, and how often they were asked. An address without an answer does not answer.
#[derive(Debug, Default)]
struct Servers {
    answers: Mutex<HashMap<String, Value>>,
    asked: AtomicUsize,
}

impl Servers {
    fn answer(&self, url: &str, document: Value) {
        self.answers.lock().insert(url.to_owned(), document);
    }

    fn publish(&self, keys: &[&Pair]) {
        let keys: Vec<Value> = keys.iter().map(|pair| pair.public.clone()).collect();
        self.answer(KEYS, json!({ "keys": keys }));
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl Documents for Servers {
    async fn get(&self, url: &Url) -> Result<Bytes, ReadError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        tokio::task::yield_now().await;
        let answer = self.answers.lock().get(url.as_str()).cloned();
        match answer {
            Some(Value::Null) => Err(ReadError::Status { url: url.clone(), status: 503 }),
            Some(document) => Ok(document.to_string().into()),
            None => pending().await,
        }
    }
}

/// A key pair of an issuer.
struct Pair {
    id: &'static str,
    algorithm: &'static str,
    public: Value,
    private: Private,
}

enum Private {
    Ec(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
    Rsa(RsaKeyPair),
}

impl Pair {
    fn new(id: &'static str) -> Self {
        Self::ec(id, "ES256", "P-256", &ECDSA_P256_SHA256_FIXED_SIGNING)
    }

    fn ec(
        id: &'static str,
        algorithm: &'static str,
        curve: &str,
        by: &'static EcdsaSigningAlgorithm,
    ) -> Self {
        let random = SystemRandom::new();
        let made = EcdsaKeyPair::generate_pkcs8(by, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(by, made.as_ref(), &random).unwrap();
        let point = &pair.public_key().as_ref()[1..];
        let (x, y) = point.split_at(point.len() / 2);
        let (x, y) = (BASE64.encode(x), BASE64.encode(y));
        let public = json!({ "kty": "EC", "crv": curve, "kid": id, "use": "sig", "x": x, "y": y });
        Self { id, algorithm, public, private: Private::Ec(pair) }
    }

    fn ed(id: &'static str) -> Self {
        let made = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        let pair = Ed25519KeyPair::from_pkcs8(made.as_ref()).unwrap();
        let x = BASE64.encode(pair.public_key());
        let public = json!({ "kty": "OKP", "crv": "Ed25519", "kid": id, "x": x });
        Self { id, algorithm: "EdDSA", public, private: Private::Ed(pair) }
    }

    fn rsa(id: &'static str, algorithm: &'static str) -> Self {
        let pair = RsaKeyPair::from_pkcs8(include_bytes!("only-for-tests.rsa.pk8")).unwrap();
        let parts = RsaPublicKeyComponents::<Vec<u8>>::from(pair.public());
        // Some issuers write a zero in front.
        let n = BASE64.encode([&[0], &parts.n[..]].concat());
        let public = json!({ "kty": "RSA", "kid": id, "n": n, "e": BASE64.encode(parts.e) });
        Self { id, algorithm, public, private: Private::Rsa(pair) }
    }

    fn sign(&self, message: &str) -> String {
        let random = SystemRandom::new();
        let message = message.as_bytes();
        BASE64.encode(match &self.private {
            Private::Ec(pair) => pair.sign(&random, message).unwrap().as_ref().to_vec(),
            Private::Ed(pair) => pair.sign(message).as_ref().to_vec(),
            Private::Rsa(pair) => {
                let by: &'static dyn RsaEncoding = match self.algorithm {
                    "RS256" => &ring::signature::RSA_PKCS1_SHA256,
                    "RS384" => &ring::signature::RSA_PKCS1_SHA384,
                    "RS512" => &ring::signature::RSA_PKCS1_SHA512,
                    "PS256" => &ring::signature::RSA_PSS_SHA256,
                    "PS384" => &ring::signature::RSA_PSS_SHA384,
                    _ => &ring::signature::RSA_PSS_SHA512,
                };
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(by, &random, message, &mut signature).unwrap();
                signature
            }
        })
    }

    fn token_of(&self, header: &Value, claims: &Value) -> String {
        let message = message(header, claims);
        format!("{message}.{}", self.sign(&message))
    }

    fn token(&self, claims: &Value) -> String {
        self.token_of(&json!({ "alg": self.algorithm, "kid": self.id, "typ": "JWT" }), claims)
    }
}

fn message(header: &Value, claims: &Value) -> String {
    let part = |value: &Value| BASE64.encode(value.to_string());
    format!("{}.{}", part(header), part(claims))
}

fn claims(subject: &str) -> Value {
    json!({ "iss": ISSUER, "aud": "dunlin", "sub": subject, "exp": NOW + 1_000_000 })
}

fn options(more: &Value) -> OidcOptions {
    let mut config = json!({
        "issuer": ISSUER,
        "audience": "dunlin",
        "jwks_url": KEYS,
        "secret": "0123456789abcdef0123456789abcdef",
    });
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    OidcOptions::of(&serde_json::from_value(config).unwrap(), &[]).unwrap()
}

/// A gateway's side, the issuer's side, and the time.
struct Scene {
    oidc: Oidc,
    servers: Arc<Servers>,
    hand: Arc<Hand>,
    clock: Arc<dyn Clock>,
}

impl Scene {
    fn new() -> Self {
        Self::with(&json!({}))
    }

    fn with(more: &Value) -> Self {
        let (servers, hand) = (Arc::new(Servers::default()), Arc::new(Hand::default()));
        let oidc = Oidc::over(options(more), Arc::clone(&servers) as _);
        Self { oidc, servers, clock: Arc::clone(&hand) as _, hand }
    }

    async fn client(&self, token: &str) -> Result<Principal, Refused> {
        self.oidc.client(token, &self.clock).await
    }

    async fn refused(&self, token: &str) -> Refused {
        self.client(token).await.unwrap_err()
    }
}
