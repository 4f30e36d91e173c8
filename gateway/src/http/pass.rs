//! A pass: what a client shows instead of its key, for one segment of an answer.
//!
//! ```text
//!   good until (ms) │ for a person: who it is │ signature under the client's secret, over both and the token
//! ```
//! Trino's clients show no key where they fetch a segment, because it could lie with somebody who must not learn the key. They
//! send the headers that they were given with the segment. So a gateway gives a pass as a header: it is in no address, and in
//! no log of addresses.
//!
//! A pass is good at every gateway that knows the client's key, for one token and some hours. With it, one reads this segment
//! and may do nothing else.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderMap;

use crate::auth::{HASH, Keyring, OWNER_BYTES, Principal, Scopes};

/// The header of a pass.
pub(crate) const PASS: &str = "x-dunlin-pass";
/// Where segments are, behind the beginning of the paths of Trino's protocol. The token follows.
pub(crate) const SEGMENTS: &str = "/spooled/";
/// What follows the token where a client says that it has a segment.
pub(crate) const ACKNOWLEDGED: &str = "/ack";

/// How long a pass is good: as long as Trino keeps segments.
const GOOD_MS: u64 = 12 * 60 * 60 * 1_000;
/// Bytes of the time until which a pass is good.
const TIME_BYTES: usize = 8;

fn message(body: &[u8], token: &str) -> Vec<u8> {
    // The length tells where the token begins.
    let length = u8::try_from(body.len()).unwrap_or(u8::MAX);
    [&b"dunlin 2026-12 pass "[..], &[length], body, token.as_bytes()].concat()
}

/// A pass for the segment that `token` names. None if nobody needs a key, or the client's is not configured any more.
pub(crate) fn pass(
    keyring: &Keyring,
    client: &Principal,
    token: &str,
    now_ms: u64,
) -> Option<String> {
    let owner = client.owner.as_ref()?;
    let mut shown = now_ms.saturating_add(GOOD_MS).to_be_bytes().to_vec();
    shown.extend(owner.person_bytes().into_iter().flatten());
    let signature = keyring.sign(client, &message(&shown, token))?;
    shown.extend(signature);
    Some(URL_SAFE_NO_PAD.encode(shown))
}

/// The client whose pass a request shows. `path`: what is behind the beginning of the paths of Trino's protocol.
pub(super) fn holder(
    keyring: &Keyring,
    path: &str,
    headers: &HeaderMap,
    now_ms: u64,
) -> Option<Principal> {
    let token = path.strip_prefix(SEGMENTS)?;
    let token = token.strip_suffix(ACKNOWLEDGED).unwrap_or(token);
    let mut values = headers.get_all(PASS).iter();
    let shown = URL_SAFE_NO_PAD.decode(values.next()?.as_bytes()).ok()?;
    if values.next().is_some() {
        return None;
    }
    let (body, signature) = shown.split_at_checked(shown.len().checked_sub(HASH)?)?;
    let (until_ms, person) = body.split_first_chunk::<TIME_BYTES>()?;
    if u64::from_be_bytes(*until_ms) <= now_ms {
        return None;
    }
    let message = message(body, token);
    let client = match <[u8; OWNER_BYTES]>::try_from(person) {
        Ok(person) => keyring.person(person, &message, signature)?,
        Err(_) if person.is_empty() => keyring.signer(&message, signature)?,
        Err(_) => return None,
    };
    Some(Principal { scopes: Scopes::default(), ..client })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::auth::{KeyOptions, hash_of};

    fn keyring(secrets: &[&str]) -> Keyring {
        let key = |secret: &&str| KeyOptions {
            name: (*secret).to_owned(),
            sha256: hash_of(secret),
            scopes: Scopes::all(),
            scram: None,
            workgroup: None,
        };
        Keyring::new(&secrets.iter().map(key).collect::<Vec<_>>()).unwrap()
    }

    fn headers(passes: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for pass in passes {
            headers.append(PASS, HeaderValue::from_str(pass).unwrap());
        }
        headers
    }

    #[test]
    fn a_pass_stands_for_its_client_at_every_gateway_and_allows_nothing_else() {
        let (here, there) = (keyring(&["mine", "other"]), keyring(&["mine"]));
        let mine = here.recognise(Some("mine")).unwrap();
        let shown = headers(&[&pass(&here, &mine, "token", 5).unwrap()]);
        for path in ["/spooled/token", "/spooled/token/ack"] {
            let client = holder(&there, path, &shown, 5).unwrap();
            assert_eq!((&client.owner, client.scopes), (&mine.owner, Scopes::default()));
        }
        assert_eq!(holder(&keyring(&["other"]), "/spooled/token", &shown, 5), None);
        for path in ["/spooled/other", "/spooled/token/x", "/executing/token", "", "token"] {
            assert_eq!(holder(&here, path, &shown, 5), None, "{path}");
        }
    }

    #[test]
    fn a_pass_ends_and_no_changed_or_second_one_is_taken() {
        let ring = keyring(&["mine"]);
        let mine = ring.recognise(Some("mine")).unwrap();
        let text = pass(&ring, &mine, "token", 5).unwrap();
        let found = |text: &str, now_ms: u64| {
            holder(&ring, "/spooled/token", &headers(&[text]), now_ms).is_some()
        };
        assert!(found(&text, 4 + GOOD_MS) && !found(&text, 5 + GOOD_MS));
        let bytes = URL_SAFE_NO_PAD.decode(&text).unwrap();
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert!(!found(&URL_SAFE_NO_PAD.encode(&changed), 5), "{at}");
            assert!(!found(&URL_SAFE_NO_PAD.encode(&bytes[..at]), 5), "{at}");
        }
        for text in ["", "x", "%2e"] {
            assert!(!found(text, 5), "{text}");
        }
        assert_eq!(holder(&ring, "/spooled/token", &headers(&[&text, &text]), 5), None);
        assert_eq!(holder(&ring, "/spooled/token", &headers(&[]), 5), None);
    }

    #[test]
    fn without_keys_there_is_no_pass() {
        let open = keyring(&[]);
        assert_eq!(pass(&open, &Principal::anyone(), "token", 5), None);
        let ring = keyring(&["mine"]);
        assert_eq!(pass(&ring, &Principal::anyone(), "token", 5), None);
        let gone = ring.recognise(Some("mine")).unwrap();
        assert_eq!(pass(&keyring(&["other"]), &gone, "token", 5), None);
    }
}
