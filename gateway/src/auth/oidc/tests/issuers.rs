//! When keys are read, and what happens when they change or cannot be read.

use super::*;

/// Lets what was begun beside a request come to its end.
async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn an_unknown_key_is_looked_for_once_in_ten_seconds() {
    let (scene, first, second) = (Scene::new(), Pair::new("a"), Pair::new("b"));
    scene.servers.publish(&[&first]);
    let (old, new) = (first.token(&claims("ada")), second.token(&claims("ada")));
    assert!(scene.client(&old).await.is_ok());
    assert_eq!(scene.refused(&new).await, Refused::Key);
    scene.servers.publish(&[&first, &second]);
    scene.hand.pass(9);
    assert_eq!(scene.refused(&new).await, Refused::Key);
    assert_eq!(scene.servers.asked(), 1);
    scene.hand.pass(1);
    assert!(scene.client(&new).await.is_ok());
    assert!(scene.client(&old).await.is_ok());
    assert_eq!(scene.servers.asked(), 2);
}

#[tokio::test]
async fn many_requests_with_an_unknown_key_ask_once_together() {
    let (scene, pair) = (Scene::new(), Pair::new("a"));
    scene.servers.publish(&[&pair]);
    let token = pair.token(&claims("ada"));
    let all = futures::future::join_all((0..50).map(|_| scene.client(&token))).await;
    assert!(all.iter().all(Result::is_ok));
    assert_eq!(scene.servers.asked(), 1);
}

#[tokio::test]
async fn a_client_that_leaves_does_not_end_what_others_wait_for() {
    let (scene, pair) = (Scene::new(), Pair::new("a"));
    scene.servers.publish(&[&pair]);
    let token = pair.token(&claims("ada"));
    let mut leaving = Box::pin(scene.client(&token));
    while scene.servers.asked() == 0 {
        assert!(futures::poll!(&mut leaving).is_pending());
        tokio::task::yield_now().await;
    }
    drop(leaving);
    assert!(scene.client(&token).await.is_ok());
    assert_eq!(scene.servers.asked(), 1);
}

#[tokio::test]
async fn keys_are_read_again_beside_a_request_and_one_that_left_is_refused() {
    let (scene, first, second) = (Scene::new(), Pair::new("a"), Pair::new("b"));
    scene.servers.publish(&[&first]);
    let old = first.token(&claims("ada"));
    assert!(scene.client(&old).await.is_ok());
    scene.servers.publish(&[&second]);
    scene.hand.pass(599);
    assert!(scene.client(&old).await.is_ok());
    settle().await;
    assert_eq!(scene.servers.asked(), 1);
    scene.hand.pass(1);
    assert!(scene.client(&old).await.is_ok(), "it does not wait");
    settle().await;
    assert_eq!(scene.servers.asked(), 2);
    assert_eq!(scene.refused(&old).await, Refused::Key);
    assert!(scene.client(&second.token(&claims("ada"))).await.is_ok());
}

#[tokio::test]
async fn known_keys_stay_good_while_the_issuer_is_down() {
    let (scene, pair, unknown) = (Scene::new(), Pair::new("a"), Pair::new("b"));
    scene.servers.publish(&[&pair]);
    let token = pair.token(&claims("ada"));
    assert!(scene.client(&token).await.is_ok());
    scene.servers.answer(KEYS, Value::Null);
    for _ in 0..20 {
        scene.hand.pass(700);
        assert!(scene.client(&token).await.is_ok());
        settle().await;
    }
    assert_eq!(scene.servers.asked(), 21);
    assert_eq!(scene.refused(&unknown.token(&claims("ada"))).await, Refused::Key);
    // What is no document changes nothing either.
    for nonsense in [json!("<html>"), json!({ "keys": 7 }), json!({})] {
        scene.hand.pass(700);
        scene.servers.answer(KEYS, nonsense);
        assert!(scene.client(&token).await.is_ok());
        settle().await;
    }
    assert!(scene.client(&token).await.is_ok());
    // Then it is back.
    scene.hand.pass(10);
    scene.servers.publish(&[&unknown]);
    assert!(scene.client(&unknown.token(&claims("ada"))).await.is_ok());
    assert_eq!(scene.refused(&token).await, Refused::Key);
}

#[tokio::test]
async fn an_issuer_that_does_not_answer_is_given_up_and_holds_up_no_known_key() {
    let (scene, pair, unknown) = (Scene::new(), Pair::new("a"), Pair::new("b"));
    scene.servers.publish(&[&pair]);
    let token = pair.token(&claims("ada"));
    assert!(scene.client(&token).await.is_ok());
    scene.servers.answers.lock().clear();
    scene.hand.pass(700);
    // An attempt is under way, and does not end.
    assert!(scene.client(&token).await.is_ok());
    settle().await;
    assert_eq!(scene.servers.asked(), 2);
    assert!(scene.client(&token).await.is_ok());
    let slow = Scene::new();
    *slow.hand.hurries.lock() = true;
    assert_eq!(slow.refused(&unknown.token(&claims("ada"))).await, Refused::Key);
    assert_eq!(slow.refused(&unknown.token(&claims("ada"))).await, Refused::Key);
    assert_eq!(slow.servers.asked(), 1);
}

#[tokio::test]
async fn after_a_long_sleep_keys_are_read_before_one_is_used() {
    let (scene, pair, other) = (Scene::new(), Pair::new("a"), Pair::new("b"));
    scene.servers.publish(&[&pair]);
    let token = pair.token(&claims("ada"));
    assert!(scene.client(&token).await.is_ok());
    scene.servers.publish(&[&other]);
    scene.hand.pass(3_600);
    assert_eq!(scene.refused(&token).await, Refused::Key);
}

#[tokio::test]
async fn the_issuers_document_says_where_its_keys_are_and_must_be_its_own() {
    const DOCUMENT: &str = "https://id.example/.well-known/openid-configuration";
    let pair = Pair::new("a");
    let token = pair.token(&claims("ada"));
    let with = async |document: Value| {
        let scene = Scene::with(&json!({ "jwks_url": null }));
        scene.servers.publish(&[&pair]);
        scene.servers.answer(DOCUMENT, document);
        (scene.client(&token).await.is_ok(), scene.servers.asked())
    };
    assert_eq!(with(json!({ "issuer": ISSUER, "jwks_uri": KEYS })).await, (true, 2));
    for document in [
        json!({ "issuer": "https://evil.example", "jwks_uri": KEYS }),
        json!({ "issuer": "https://id.example/", "jwks_uri": KEYS }),
        json!({ "issuer": ISSUER, "jwks_uri": "http://id.example/keys" }),
        json!({ "issuer": ISSUER, "jwks_uri": "file:///etc/passwd" }),
        json!({ "issuer": ISSUER }),
        Value::Null,
    ] {
        assert_eq!(with(document.clone()).await, (false, 1), "{document}");
    }
}

#[tokio::test]
async fn a_reload_keeps_the_keys_of_the_same_issuer_and_no_others() {
    let (scene, pair) = (Scene::new(), Pair::new("a"));
    scene.servers.publish(&[&pair]);
    let token = pair.token(&claims("ada"));
    assert!(scene.client(&token).await.is_ok());
    let down = Arc::new(Servers::default());
    down.answer(KEYS, Value::Null);
    let again = |more: Value| {
        let mut next = Oidc::over(options(&more), Arc::clone(&down) as _);
        next.keep(&scene.oidc);
        next
    };
    let same = again(json!({ "name_claim": "email", "audience": "dunlin" }));
    assert!(same.client(&token, &scene.clock).await.is_ok());
    assert_eq!(down.asked(), 0);
    // Other conditions hold at once.
    let stricter = again(json!({ "audience": "others" }));
    assert_eq!(stricter.client(&token, &scene.clock).await, Err(Refused::Audience));
    let moved = again(json!({ "jwks_url": "https://id.example/others" }));
    down.answer("https://id.example/others", Value::Null);
    assert_eq!(moved.client(&token, &scene.clock).await, Err(Refused::Key));
    assert_eq!(down.asked(), 1);
}

#[tokio::test]
async fn who_checks_a_configuration_learns_how_many_keys_there_are_or_why_none() {
    let (scene, first, second) = (Scene::new(), Pair::new("a"), Pair::new("b"));
    let of = options(&json!({}));
    let count = async || {
        let servers: Arc<dyn Documents> = Arc::clone(&scene.servers) as _;
        of.count_keys_in(servers, &*scene.hand).await.map_err(|error| error.to_string())
    };
    scene.servers.publish(&[&first, &second]);
    assert_eq!(count().await, Ok(2));
    scene.servers.publish(&[]);
    assert_eq!(count().await, Ok(0));
    scene.servers.answer(KEYS, Value::Null);
    assert_eq!(count().await, Err(format!("{KEYS} answers 503")));
    *scene.hand.hurries.lock() = true;
    let other = options(&json!({ "jwks_url": "https://silent.example/keys" }));
    let servers: Arc<dyn Documents> = Arc::clone(&scene.servers) as _;
    let error = other.count_keys_in(servers, &*scene.hand).await.unwrap_err();
    assert_eq!(error.to_string(), "it did not answer within 5 s");
}
