//! The start of a connection: encryption, version, login.
//!
//! ```text
//!   SSLRequest ──'S' or 'N'──> StartupMessage ──> SCRAM-SHA-256, or the key as a password, or nothing ──> session
//!   CancelRequest ──> see cancel                  (a key with a verifier)  (a key without, a token)  (no keys)
//! ```
//! All of it together has a time limit. Where the gateway has certificates, a client that does not ask for TLS is refused, as
//! HTTP's listener refuses plain text.

use std::net::SocketAddr;
use std::sync::{Arc, Weak};

use dunlin_manifest::env::Env;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use super::cancel::{self, Name};
use super::face::Face;
use super::failure::{Failure, state};
use super::frames::{First, MAX_STARTUP, Message, first, message};
use super::link::{Link, Stop};
use super::out::Transaction;
use super::scram::{Exchange, MECHANISM};
use super::session::Session;
use super::settings::Settings;
use crate::auth::{AuthError, Keyring, MAX_TOKEN, Principal, Scram, Via};
use crate::door::{Pace, Paced, Phase, Wire};
use crate::options::MAX_BODY_BYTES;

/// The name of the protocol in TLS.
const ALPN: &[u8] = b"postgresql";
/// The first byte of a TLS handshake.
const TLS_HANDSHAKE: u8 = 0x16;
/// Longest message of a login: a token, and what the protocol puts around it.
const MOST_LOGIN: usize = MAX_TOKEN + 64;
/// Requests before the first message that begins a session.
const MOST_REQUESTS: usize = 4;

/// A connection that has begun a session.
struct Begun {
    link: Link,
    minor: u16,
    parameters: Vec<(String, String)>,
}

/// Brings a connection to its session; none if it wanted something else, or was refused.
pub(super) async fn start(
    face: &Arc<Face>,
    stream: TcpStream,
    peer: SocketAddr,
    stop: CancellationToken,
) -> Option<Session> {
    let limit = face.limits.headers + face.limits.tls_handshake;
    let opened = tokio::select! {
        opened = open(face, stream, peer, stop) => opened,
        () = face.env.clock.sleep(limit) => {
            tracing::debug!(%peer, "a connection did not log in in time");
            return None;
        }
    };
    match opened {
        Ok(session) => session.map(|session| *session),
        Err(_) => None,
    }
}

async fn open(
    face: &Arc<Face>,
    stream: TcpStream,
    peer: SocketAddr,
    stop: CancellationToken,
) -> Result<Option<Box<Session>>, Stop> {
    let Some(mut begun) = negotiate(face, stream).await? else { return Ok(None) };
    match log_in(face, &mut begun, peer, stop).await {
        Ok(ready) => {
            let Ready { name, client, settings, known, stop } = ready;
            Ok(Some(Box::new(Session {
                face: Arc::clone(face),
                link: begun.link,
                peer,
                client,
                seen: Weak::new(),
                name,
                known,
                stop,
                settings,
                transaction: Transaction::None,
                saved: None,
                savepoints: Vec::new(),
                statements: Default::default(),
                portals: Default::default(),
                cursors: Default::default(),
                scope: None,
                is_one_of_many: false,
                skips: false,
            })))
        }
        Err(Stop::Failed(failure)) => {
            tracing::debug!(%peer, state = failure.state, "a connection was refused");
            begun.link.out.failure(&failure);
            let _ = begun.link.flush().await;
            begun.link.close().await;
            Ok(None)
        }
        Err(Stop::Gone) => Ok(None),
    }
}

/// Answers what comes before a session.
async fn negotiate(face: &Arc<Face>, stream: TcpStream) -> Result<Option<Begun>, Stop> {
    let _ = stream.set_nodelay(true);
    let mut byte = [0u8; 1];
    let direct = stream.peek(&mut byte).await? > 0 && byte[0] == TLS_HANDSHAKE;
    let pace = Pace::new();
    // Times of messages are limited by the session, and not by what is known of HTTP.
    pace.set(Phase::Busy);
    let clock = Arc::clone(&face.env.clock);
    let mut wire: Box<dyn Wire> = Box::new(Paced::new(stream, pace, clock, &face.limits));
    let mut is_secret = false;
    if direct {
        let Some(tls) = &face.tls else { return Ok(None) };
        wire = Box::new(tls.acceptor(ALPN).accept(wire).await?);
        is_secret = true;
    }
    for _ in 0..MOST_REQUESTS {
        let mut link = Link::new(wire, face.env.clone(), face.limits.body, MAX_STARTUP);
        let body = match link.first().await {
            Ok(body) => body,
            Err(stop) => return refuse(link, stop).await,
        };
        let found = match first(body) {
            Ok(found) => found,
            Err(failure) => return refuse(link, failure.into()).await,
        };
        match found {
            First::Cancel { process, secret } => {
                let (live, connections) = (face.current.now(), &face.connections);
                let found = Name::of_secret(&live.keyring, connections, process, &secret);
                if let Some(found) = found {
                    cancel::cancel(&face.connections, &face.queries, found).await;
                }
                link.close().await;
                return Ok(None);
            }
            First::Startup { .. } if face.tls.is_some() && !is_secret => {
                let failure = Failure::fatal(state::NOT_ADMITTED, "this gateway speaks TLS only")
                    .hint("Connect with sslmode=require or verify-full.");
                return refuse(link, failure.into()).await;
            }
            First::Startup { minor, parameters } => {
                return Ok(Some(Begun { link, minor, parameters }));
            }
            First::Ssl if face.tls.is_some() && !is_secret => {
                link.say(b'S').await?;
                // What was sent before the handshake could come from anybody.
                let Some(plain) = link.into_wire() else { return Ok(None) };
                let Some(tls) = &face.tls else { return Ok(None) };
                wire = Box::new(tls.acceptor(ALPN).accept(plain).await?);
                is_secret = true;
            }
            First::Ssl | First::Gss => {
                link.say(b'N').await?;
                let Some(plain) = link.into_wire() else { return Ok(None) };
                wire = plain;
            }
        }
    }
    Ok(None)
}

async fn refuse(mut link: Link, stop: Stop) -> Result<Option<Begun>, Stop> {
    if let Stop::Failed(failure) = stop {
        link.out.failure(&Failure { fatal: true, ..failure });
        let _ = link.flush().await;
        link.close().await;
    }
    Ok(None)
}

/// A client that is logged in.
struct Ready {
    name: Name,
    client: Principal,
    settings: Settings,
    known: cancel::Known,
    stop: CancellationToken,
}

async fn log_in(
    face: &Arc<Face>,
    begun: &mut Begun,
    peer: SocketAddr,
    stop: CancellationToken,
) -> Result<Ready, Stop> {
    let Begun { link, minor, parameters } = begun;
    let given = |name: &str| {
        parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
    };
    let unknown: Vec<String> = parameters
        .iter()
        .map(|(name, _)| name.clone())
        .filter(|name| name.starts_with("_pq_."))
        .collect();
    let speaks = if *minor >= 2 { 2 } else { 0 };
    if *minor > 2 || !unknown.is_empty() {
        link.out.negotiate(speaks, &unknown);
    }
    let user = given("user").filter(|user| !user.is_empty()).ok_or_else(|| {
        Failure::fatal(state::NOT_ADMITTED, "no user name is given in the startup packet")
    })?;
    if given("replication").is_some_and(|value| value != "false" && value != "0") {
        let text = "replication is not supported";
        return Err(Failure::fatal(state::FEATURE_NOT_SUPPORTED, text).into());
    }
    let live = face.current.now();
    let via = Via { protocol: "postgres", address: peer.ip() };
    let client = authenticate(link, &live.keyring, &user, &face.env).await.inspect_err(|stop| {
        tracing::debug!(%peer, "a connection shows no key that is known");
        if !matches!(stop, Stop::Gone) {
            face.intake.audit().refused_login(via, AuthError::Unknown, Some(&user));
        }
    })?;
    let client = client.by(via);
    link.out.authentication_ok();
    let shown = if live.keyring.is_open() { user } else { client.name.to_string() };
    let mut settings = Settings::new(&shown);
    for (name, value) in parameters.iter() {
        match name.as_str() {
            "user" | "database" | "replication" => {}
            "options" => options(&mut settings, value)?,
            name if name.starts_with("_pq_.") => {}
            name => {
                settings
                    .set(name, Some(value))
                    .map_err(|failure| Failure { fatal: true, ..failure })?;
            }
        }
    }
    settings.settle();
    for (name, value) in settings.reported() {
        link.out.parameter(name, value);
    }
    let long = speaks >= 2;
    let name = Name::new(&face.env, long);
    let secret = name.secret(&live.keyring, &client, long);
    link.out.key(name.process, &secret.ok_or_else(|| Failure::from(AuthError::Unknown))?);
    link.out.ready(Transaction::None);
    link.flush().await?;
    link.allow(MAX_BODY_BYTES);
    let known = face.connections.enter(name.origin(), client.clone());
    Ok(Ready { name, client, settings, known, stop })
}

/// Settings as command lines give them: `-c name=value` and `--name=value`.
fn options(settings: &mut Settings, text: &str) -> Result<(), Failure> {
    let mut words = text.split_whitespace();
    while let Some(word) = words.next() {
        let pair = match word {
            "-c" => words.next().unwrap_or_default(),
            word => word.strip_prefix("-c").or_else(|| word.strip_prefix("--")).unwrap_or_default(),
        };
        let Some((name, value)) = pair.split_once('=') else {
            let text = "options of the connection are written as -c name=value";
            return Err(Failure::fatal(state::INVALID_VALUE, text));
        };
        settings
            .set(&name.replace('-', "_"), Some(value))
            .map_err(|failure| Failure { fatal: true, ..failure })?;
    }
    Ok(())
}

/// Finds out who the client is.
async fn authenticate(
    link: &mut Link,
    keyring: &Keyring,
    user: &str,
    env: &Env,
) -> Result<Principal, Stop> {
    if keyring.is_open() {
        return Ok(Principal::anyone());
    }
    link.allow(MOST_LOGIN);
    let (verifier, client) = match keyring.scram(user) {
        Scram::NotOffered => {
            link.out.ask_for_password();
            link.flush().await?;
            let password = login_message(link).await?;
            let secret = password.strip_suffix(b"\0").unwrap_or(&password);
            let secret =
                std::str::from_utf8(secret).map_err(|_| Failure::from(AuthError::Unknown))?;
            let client = keyring.client(Some(secret), &env.clock).await;
            return Ok(client.map_err(Failure::from)?);
        }
        Scram::Known(verifier, client) => (verifier, Some(client)),
        Scram::Nobody(verifier) => (verifier, None),
    };
    link.out.ask_for_sasl(MECHANISM);
    link.flush().await?;
    let first = login_message(link).await?;
    let first = initial(&first)?;
    let exchange = Exchange::begin(&first, &env.nonce(), &verifier)?;
    link.out.sasl(false, &exchange.challenge);
    link.flush().await?;
    let last = login_message(link).await?;
    let last = std::str::from_utf8(&last).map_err(|_| Failure::protocol("SCRAM is not text"))?;
    match (exchange.finish(last, &verifier)?, client) {
        (Some(signature), Some(client)) => {
            link.out.sasl(true, &signature);
            Ok(client)
        }
        _ => Err(Failure::from(AuthError::Unknown).into()),
    }
}

async fn login_message(link: &mut Link) -> Result<bytes::Bytes, Stop> {
    let (tag, body) = link.message().await?;
    let body = body.map_err(|failure| Failure { fatal: true, ..failure })?;
    match message(tag, body) {
        Ok(Message::Password(body)) => Ok(body),
        // psql leaves when it has no password, and comes back with one.
        Ok(Message::Terminate) => Err(Stop::Gone),
        _ => Err(Failure::protocol("a password is expected").into()),
    }
}

/// The first message of SCRAM, behind the name of the method and its length.
fn initial(body: &[u8]) -> Result<String, Failure> {
    let wrong = || Failure::protocol("a message of SASL cannot be read");
    let end = body.iter().position(|byte| *byte == 0).ok_or_else(wrong)?;
    let (method, rest) = (&body[..end], &body[end + 1..]);
    if method != MECHANISM.as_bytes() {
        let text = format!("only {MECHANISM} is offered");
        return Err(Failure::fatal(state::FEATURE_NOT_SUPPORTED, text));
    }
    let data = rest.get(4..).ok_or_else(wrong)?;
    String::from_utf8(data.to_vec()).map_err(|_| wrong())
}
