//! An issuer of tokens of OpenID Connect on loopback, whose keys a test changes.

use std::sync::Arc;

use axum::Json;
use axum::routing::get;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use parking_lot::Mutex;
use ring::error::Unspecified;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::{Value, json};

/// A key pair under its id.
#[derive(Debug)]
struct Pair {
    id: String,
    pair: EcdsaKeyPair,
}

impl Pair {
    fn new(id: &str) -> Result<Self, Unspecified> {
        let (by, random) = (&ECDSA_P256_SHA256_FIXED_SIGNING, SystemRandom::new());
        let made = EcdsaKeyPair::generate_pkcs8(by, &random)?;
        let pair = EcdsaKeyPair::from_pkcs8(by, made.as_ref(), &random).map_err(|_| Unspecified)?;
        Ok(Self { id: id.to_owned(), pair })
    }

    fn public(&self) -> Value {
        let (x, y) = self.pair.public_key().as_ref()[1..].split_at(32);
        let (x, y) = (BASE64.encode(x), BASE64.encode(y));
        json!({ "kty": "EC", "crv": "P-256", "use": "sig", "kid": self.id, "x": x, "y": y })
    }
}

/// An issuer, which answers as long as the runtime lives that it was started in.
#[derive(Debug)]
pub struct Issuer {
    /// `iss` of its tokens, below which its document is.
    pub url: String,
    published: Arc<Mutex<Vec<Value>>>,
    pair: Pair,
}

impl Issuer {
    /// Starts one on a free port, with one key.
    ///
    /// # Errors
    /// There is no port, or no key could be made.
    pub async fn start() -> std::io::Result<Self> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let pair = Pair::new("first").map_err(std::io::Error::other)?;
        let published = Arc::new(Mutex::new(vec![pair.public()]));
        let (keys, document) = (
            Arc::clone(&published),
            json!({ "issuer": url, "jwks_uri": format!("{url}/keys"), "more": "words" }),
        );
        let routes = axum::Router::new()
            .route("/.well-known/openid-configuration", get(async move || Json(document)))
            .route("/keys", get(async move || Json(json!({ "keys": *keys.lock() }))));
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Ok(Self { url, published, pair })
    }

    /// Publishes a new key, and no other one.
    ///
    /// # Errors
    /// No key could be made.
    pub fn rotate(&mut self, id: &str) -> Result<(), Unspecified> {
        self.pair = Pair::new(id)?;
        *self.published.lock() = vec![self.pair.public()];
        Ok(())
    }

    /// What its tokens say of a person: for the audience `dunlin`, for ten minutes.
    ///
    /// # Panics
    /// It is before 1970.
    #[must_use]
    #[allow(clippy::expect_used)] // for tests
    pub fn claims(&self, person: &str) -> Value {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let now = now.expect("a clock that is set").as_secs();
        json!({
            "iss": self.url,
            "aud": ["dunlin", "others"],
            "sub": person,
            "email": format!("{person}@example"),
            "exp": now + 600,
        })
    }

    /// A token with these claims.
    ///
    /// # Panics
    /// The machine has no random numbers.
    #[must_use]
    #[allow(clippy::expect_used)] // for tests
    pub fn sign(&self, claims: &Value) -> String {
        let part = |value: &Value| BASE64.encode(value.to_string());
        let head = part(&json!({ "alg": "ES256", "kid": self.pair.id }));
        let message = format!("{head}.{}", part(claims));
        let signature = self.pair.pair.sign(&SystemRandom::new(), message.as_bytes());
        let signature = signature.expect("random numbers");
        format!("{message}.{}", BASE64.encode(signature))
    }

    /// A token of a person. No two are equal.
    #[must_use]
    pub fn token(&self, person: &str) -> String {
        self.sign(&self.claims(person))
    }

    /// The same with one claim changed.
    #[must_use]
    pub fn token_with(&self, person: &str, name: &str, value: Value) -> String {
        let mut claims = self.claims(person);
        claims[name] = value;
        self.sign(&claims)
    }
}
