//! Whose signatures are accepted, and by which algorithms.

use ring::hmac;

use super::*;

#[tokio::test]
async fn every_algorithm_with_a_public_key_is_accepted_and_a_changed_token_is_not() {
    let pairs = [
        Pair::new("es256"),
        Pair::ec("es384", "ES384", "P-384", &ECDSA_P384_SHA384_FIXED_SIGNING),
        Pair::ed("ed"),
        Pair::rsa("rs256", "RS256"),
        Pair::rsa("rs384", "RS384"),
        Pair::rsa("rs512", "RS512"),
        Pair::rsa("ps256", "PS256"),
        Pair::rsa("ps384", "PS384"),
        Pair::rsa("ps512", "PS512"),
    ];
    let scene = Scene::new();
    scene.servers.publish(&pairs.iter().collect::<Vec<_>>());
    for pair in &pairs {
        let token = pair.token(&claims("ada"));
        assert!(Oidc::is_token(&token));
        let ada = scene.client(&token).await.unwrap();
        assert_eq!(ada.owner, Some(Owner::of_subject(ISSUER, "ada")), "{}", pair.id);
        // Another person's claims under this signature, and a signature that is cut, changed or missing.
        let (of_ada, signature) = token.rsplit_once('.').unwrap();
        let of_bob = pair.token(&claims("bob"));
        let (of_bob, _) = of_bob.rsplit_once('.').unwrap();
        let mut changed = BASE64.decode(signature).unwrap();
        changed[7] ^= 1;
        for forged in [
            format!("{of_bob}.{signature}"),
            format!("{of_ada}.{}", BASE64.encode(&changed)),
            format!("{of_ada}.{}", BASE64.encode(&changed[1..])),
            format!("{of_ada}."),
        ] {
            assert_eq!(scene.refused(&forged).await, Refused::Signature, "{}", pair.id);
        }
    }
    assert_eq!(scene.servers.asked(), 1, "the keys are kept");
}

#[tokio::test]
async fn a_token_without_a_signature_or_under_a_shared_secret_is_refused() {
    let (scene, pair) = (Scene::new(), Pair::new("a"));
    scene.servers.publish(&[&pair]);
    assert!(scene.client(&pair.token(&claims("ada"))).await.is_ok());
    for none in ["none", "None", "NONE", ""] {
        let message = message(&json!({ "alg": none, "kid": "a" }), &claims("ada"));
        assert_eq!(scene.refused(&format!("{message}.")).await, Refused::Form);
    }
    // What everybody knows of the key, as the secret of a code.
    let public = &pair.public;
    let point = [public["x"].as_str().unwrap(), public["y"].as_str().unwrap()]
        .map(|part| BASE64.decode(part).unwrap());
    let raw = [&[4][..], &point[0], &point[1]].concat();
    for secret in [raw, public.to_string().into_bytes()] {
        for (name, by) in [
            ("HS256", hmac::HMAC_SHA256),
            ("HS384", hmac::HMAC_SHA384),
            ("HS512", hmac::HMAC_SHA512),
        ] {
            let message = message(&json!({ "alg": name, "kid": "a" }), &claims("ada"));
            let code = hmac::sign(&hmac::Key::new(by, &secret), message.as_bytes());
            let forged = format!("{message}.{}", BASE64.encode(code));
            assert_eq!(scene.refused(&forged).await, Refused::Algorithm);
        }
    }
}

#[tokio::test]
async fn a_key_signs_only_by_its_own_algorithm_and_under_its_own_id() {
    let (scene, mut rsa, other) = (Scene::new(), Pair::rsa("r", "RS256"), Pair::new("e"));
    rsa.public["alg"] = json!("RS256");
    scene.servers.publish(&[&rsa, &other]);
    assert!(scene.client(&rsa.token(&claims("ada"))).await.is_ok());
    let more = Pair::rsa("r", "PS256");
    assert_eq!(scene.refused(&more.token(&claims("ada"))).await, Refused::Key);
    for header in [
        // The id of another key, of none, a key in the token itself, and one to be fetched from elsewhere.
        json!({ "alg": "ES256", "kid": "r" }),
        json!({ "alg": "ES256" }),
        json!({ "alg": "ES256", "kid": "x", "jwk": other.public }),
        json!({ "alg": "ES256", "kid": "x", "jku": "https://evil.example/keys" }),
    ] {
        let token = other.token_of(&header, &claims("ada"));
        assert_eq!(scene.refused(&token).await, Refused::Key, "{header}");
    }
    // A stranger's key under a known id.
    let stranger = Pair::new("e");
    assert_eq!(scene.refused(&stranger.token(&claims("ada"))).await, Refused::Signature);
    // What a reader must understand and does not.
    let header = json!({ "alg": "ES256", "kid": "e", "crit": ["b64"], "b64": false });
    let token = other.token_of(&header, &claims("ada"));
    assert_eq!(scene.refused(&token).await, Refused::Form);
}

#[tokio::test]
async fn what_is_no_token_is_refused_and_asks_nobody() {
    let (scene, pair) = (Scene::new(), Pair::new("a"));
    let good = pair.token(&claims("ada"));
    for (wrong, refused) in [
        ("", Refused::Form),
        ("a.b.c", Refused::Form),
        ("eyJ.eyJ.x", Refused::Form),
        ("e30.e30.", Refused::Form),
        (&good.replace('.', "!"), Refused::Form),
        (&good["ey".len()..], Refused::Form),
        (&format!("{good}{}", "A".repeat(MAX_TOKEN)), Refused::Long),
    ] {
        assert_eq!(scene.refused(wrong).await, refused, "{wrong}");
    }
    assert_eq!(scene.servers.asked(), 0);
}

#[tokio::test]
async fn times_are_those_of_the_gateways_clock() {
    let (scene, pair) = (Scene::new(), Pair::new("a"));
    scene.servers.publish(&[&pair]);
    let mut short = claims("ada");
    (short["nbf"], short["exp"]) = (json!(NOW + 100), json!(NOW + 200));
    let token = pair.token(&short);
    assert_eq!(scene.refused(&token).await, Refused::NotYet);
    scene.hand.pass(40);
    assert!(scene.client(&token).await.is_ok());
    scene.hand.pass(219);
    assert!(scene.client(&token).await.is_ok());
    scene.hand.pass(1);
    assert_eq!(scene.refused(&token).await, Refused::Expired);
}

/// Keeps all that is logged.
#[derive(Clone, Debug, Default)]
struct Log(Arc<Mutex<String>>);

impl tracing::field::Visit for &Log {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
        self.0.lock().push_str(&format!("{field}={value:?} "));
    }
}

impl tracing::Subscriber for Log {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        span.record(&mut &*self);
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, values: &tracing::span::Record<'_>) {
        values.record(&mut &*self);
    }

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        event.record(&mut &*self);
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

#[tokio::test]
async fn the_log_says_what_was_wrong_with_a_token_and_has_nothing_of_it() {
    let (servers, pair) = (Arc::new(Servers::default()), Pair::new("a-key-id"));
    servers.publish(&[&pair]);
    let ring = keyring("0123456789abcdef0123456789abcdef", &servers);
    let clock: Arc<dyn Clock> = Arc::new(Hand::default());
    let log = Log::default();
    let _logging = tracing::subscriber::set_default(log.clone());
    let with = |name: &str, value: Value| {
        let mut claims = claims("a-subject");
        claims[name] = value;
        pair.token(&claims)
    };
    let header = |header: Value| pair.token_of(&header, &claims("a-subject"));
    let good = pair.token(&claims("a-subject"));
    for (token, reason) in [
        (with("iss", json!("https://a-stranger.example")), "its iss is another issuer"),
        (with("aud", json!("a-stranger")), "its aud is another audience"),
        (with("exp", json!(7)), "it has expired"),
        (with("exp", json!("a-stranger")), "it has no exp"),
        (with("sub", json!(null)), "it has no sub"),
        (header(json!({ "alg": "a-stranger" })), "it cannot be read"),
        (header(json!({ "alg": "HS256", "kid": "a-stranger" })), "its algorithm"),
        (header(json!({ "alg": "ES256", "kid": "a-stranger" })), "no key of its id"),
        (good[..good.len() - 2].to_owned(), "its signature is wrong"),
        (good.clone(), ""),
    ] {
        log.0.lock().clear();
        assert_eq!(ring.client(Some(&token), &clock).await.is_ok(), reason.is_empty());
        let said = std::mem::take(&mut *log.0.lock());
        assert!(said.contains(reason), "{said}");
        for part in token.split('.').chain(["a-stranger", "a-subject", "a-key-id"]) {
            assert!(!said.contains(part), "{part} in {said}");
        }
    }
}

fn keyring(secret: &str, servers: &Arc<Servers>) -> Keyring {
    let key = KeyOptions {
        name: "ci".to_owned(),
        sha256: super::super::super::key::hash_of("a key"),
        scopes: super::super::super::principal::Scopes::all(),
        scram: None,
        workgroup: None,
    };
    let ring = Keyring::new(&[key]).unwrap();
    let options = options(&json!({ "secret": secret }));
    Keyring { oidc: Some(Oidc::over(options, Arc::clone(servers) as _)), ..ring }
}

#[tokio::test]
async fn a_keyring_takes_keys_without_asking_the_issuer_and_refuses_alike() {
    let (servers, pair) = (Arc::new(Servers::default()), Pair::new("a"));
    let ring = keyring("0123456789abcdef0123456789abcdef", &servers);
    let clock: Arc<dyn Clock> = Arc::new(Hand::default());
    assert_eq!(&*ring.client(Some("a key"), &clock).await.unwrap().name, "ci");
    assert_eq!(ring.client(None, &clock).await, Err(AuthError::Missing));
    for wrong in ["wrong", "dunlin_x", "a.b.c", "eyJhbGciOiJub25lIn0.e30."] {
        assert_eq!(ring.client(Some(wrong), &clock).await, Err(AuthError::Unknown));
    }
    assert_eq!(servers.asked(), 0);
    servers.publish(&[&pair]);
    let token = pair.token(&claims("ada"));
    assert_eq!(&*ring.client(Some(&token), &clock).await.unwrap().name, "ada");
    assert_eq!(ring.recognise(Some(&token)), Err(AuthError::Unknown), "a token is no key");
    // Without keys, the issuer keeps the door closed.
    let only = Keyring { keys: Vec::new(), ..ring };
    assert!(!only.is_open());
    assert_eq!(only.client(None, &clock).await, Err(AuthError::Missing));
    assert_eq!(only.client(Some("a key"), &clock).await, Err(AuthError::Unknown));
    assert!(only.client(Some(&token), &clock).await.is_ok());
    assert!(!format!("{only:?}").contains("0123456789"));
}

#[tokio::test]
async fn codes_of_a_person_are_the_same_at_every_gateway_with_the_secret() {
    let (servers, pair) = (Arc::new(Servers::default()), Pair::new("a"));
    servers.publish(&[&pair]);
    let clock: Arc<dyn Clock> = Arc::new(Hand::default());
    let ring = |secret: &str| keyring(&secret.repeat(32), &servers);
    let (here, there, elsewhere) = (ring("s"), ring("s"), ring("t"));
    let ada = here.client(Some(&pair.token(&claims("ada"))), &clock).await.unwrap();
    let bob = there.client(Some(&pair.token(&claims("bob"))), &clock).await.unwrap();
    let sealed = here.code_key(&ada, "a purpose").unwrap().seal(1, b"body");
    let open = |ring: &Keyring, client: &Principal, purpose| {
        let key = ring.code_key(client, purpose).unwrap();
        key.open(1, &sealed).map(<[u8]>::to_vec)
    };
    assert_eq!(open(&there, &ada, "a purpose").as_deref(), Some(&b"body"[..]));
    assert_eq!(open(&there, &bob, "a purpose"), None);
    assert_eq!(open(&there, &ada, "another purpose"), None);
    assert_eq!(open(&elsewhere, &ada, "a purpose"), None);
    let without = Keyring { oidc: None, ..ring("s") };
    assert!(without.code_key(&ada, "a purpose").is_none());
    assert!(without.sign(&ada, b"this").is_none());
    let signature = here.sign(&ada, b"this").unwrap();
    assert!(there.is_signer(&ada, b"this", &signature[..4]));
    assert!(!there.is_signer(&bob, b"this", &signature));
    assert_eq!(there.signer(b"this", &signature), None, "persons are in no list");
    let number = ada.owner.as_ref().unwrap().person_bytes().unwrap();
    let found = there.person(number, b"this", &signature).unwrap();
    assert_eq!(found.owner, ada.owner);
    assert!(found.scopes.is_empty());
    assert_eq!(elsewhere.person(number, b"this", &signature), None);
}
