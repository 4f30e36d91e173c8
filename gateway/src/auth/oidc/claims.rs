//! What a token says, once its signature is checked: whether it is for this gateway, and whose it is.
//!
//! Functions of values. The time is given to them, so that tests need none.

use serde_json::{Map, Value};

use super::super::principal::{Owner, Principal, Scope, Scopes};
use super::options::{OidcOptions, TokenScopes};

/// For so long the clocks of an issuer and a gateway may differ.
const LEEWAY_MS: f64 = 60_000.0;
/// Most characters of a name for logs.
const MOST_NAME: usize = 128;
/// What may stand before a scope, so that it is not another application's.
const OURS: &str = "dunlin:";

/// What the token says.
pub(super) type Claims = Map<String, Value>;

/// Why a token is refused. It is for the log: no text quotes the token, and the client is not told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::auth) enum Refused {
    #[error("it is too long")]
    Long,
    #[error("it cannot be read")]
    Form,
    #[error("its algorithm is none of those with a public key")]
    Algorithm,
    #[error("the issuer has no key of its id and algorithm")]
    Key,
    #[error("its signature is wrong")]
    Signature,
    #[error("its iss is another issuer")]
    Issuer,
    #[error("its aud is another audience")]
    Audience,
    #[error("it has no sub")]
    Subject,
    #[error("it has no exp, or one that is no number")]
    NoExpiry,
    #[error("it has expired")]
    Expired,
    #[error("its nbf is in the future, or no number")]
    NotYet,
    #[error("it has no scope that is known")]
    Scopes,
    #[error("it names no workgroup of the configuration")]
    Workgroup,
}

/// The client of a token, at a time in milliseconds since 1970.
pub(super) fn principal(
    claims: &Claims,
    options: &OidcOptions,
    now_ms: u64,
) -> Result<Principal, Refused> {
    if text(claims, "iss") != Some(&options.issuer) {
        return Err(Refused::Issuer);
    }
    if !texts(claims, "aud").any(|audience| audience == options.audience) {
        return Err(Refused::Audience);
    }
    in_time(claims, now_ms)?;
    let subject = text(claims, "sub").filter(|it| !it.is_empty()).ok_or(Refused::Subject)?;
    let workgroup = match &options.workgroups {
        None => None,
        Some(by) => {
            let is_named = |name: &str| texts(claims, &by.claim).any(|named| named == name);
            let first = by.groups.iter().find(|group| is_named(&group.name));
            Some(first.cloned().ok_or(Refused::Workgroup)?)
        }
    };
    let name = text(claims, &options.name_claim).map(shown).filter(|name| !name.is_empty());
    Ok(Principal {
        name: name.unwrap_or_else(|| shown(subject)).into(),
        scopes: scopes(claims, &options.scopes)?,
        owner: Some(Owner::of_subject(&options.issuer, subject)),
        workgroup,
        via: None,
    })
}

fn in_time(claims: &Claims, now_ms: u64) -> Result<(), Refused> {
    // Times are seconds, and may have a fraction. A float has milliseconds exactly for a quarter of a million years.
    let now = now_ms as f64;
    let millis = |value: &Value| value.as_f64().map(|seconds| seconds * 1_000.0);
    let expires = claims.get("exp").and_then(millis).ok_or(Refused::NoExpiry)?;
    if now >= expires + LEEWAY_MS {
        return Err(Refused::Expired);
    }
    match claims.get("nbf").map(millis) {
        None => Ok(()),
        Some(Some(begins)) if begins <= now + LEEWAY_MS => Ok(()),
        Some(_) => Err(Refused::NotYet),
    }
}

fn scopes(claims: &Claims, by: &TokenScopes) -> Result<Scopes, Refused> {
    let claim = match by {
        TokenScopes::Fixed(scopes) => return Ok(*scopes),
        TokenScopes::Claim(claim) => claim,
    };
    // Scopes of other applications are in the same claim.
    let known = |word: &str| word.strip_prefix(OURS).unwrap_or(word).parse::<Scope>().ok();
    let words = texts(claims, claim).flat_map(str::split_whitespace);
    let scopes: Scopes = words.filter_map(known).collect();
    if scopes.is_empty() { Err(Refused::Scopes) } else { Ok(scopes) }
}

fn text<'a>(claims: &'a Claims, name: &str) -> Option<&'a str> {
    claim(claims, name).and_then(Value::as_str)
}

/// A claim by its name. If there is none, the name is a path: `realm_access.roles` is `roles` in `realm_access`.
fn claim<'a>(claims: &'a Claims, name: &str) -> Option<&'a Value> {
    claims.get(name).or_else(|| {
        let (outer, inner) = name.split_once('.')?;
        claim(claims.get(outer)?.as_object()?, inner)
    })
}

/// The texts of a claim that is a text or a list of texts.
fn texts<'a>(claims: &'a Claims, name: &str) -> impl Iterator<Item = &'a str> {
    let value = claim(claims, name);
    let one = value.and_then(Value::as_str);
    one.into_iter()
        .chain(value.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str))
}

/// A name as logs may have it.
fn shown(name: &str) -> String {
    name.chars().filter(|letter| !letter.is_control()).take(MOST_NAME).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::super::super::workgroup::Workgroup;
    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn options(more: &Value, groups: &Value) -> OidcOptions {
        let mut config = json!({
            "issuer": "https://id.example",
            "audience": "dunlin",
            "secret": "0123456789abcdef0123456789abcdef",
        });
        config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let groups: Vec<_> = serde_json::from_value(groups.clone()).unwrap();
        let groups = Workgroup::all(&groups).unwrap();
        OidcOptions::of(&serde_json::from_value(config).unwrap(), &groups).unwrap()
    }

    fn claims(more: &Value) -> Claims {
        let mut claims = json!({
            "iss": "https://id.example",
            "aud": "dunlin",
            "sub": "ada",
            "exp": NOW + 300,
        });
        for (name, value) in more.as_object().unwrap() {
            match value {
                Value::Null => claims.as_object_mut().unwrap().remove(name),
                value => claims.as_object_mut().unwrap().insert(name.clone(), value.clone()),
            };
        }
        claims.as_object().unwrap().clone()
    }

    fn read(more: &Value, by: &OidcOptions) -> Result<Principal, Refused> {
        principal(&claims(more), by, NOW * 1_000)
    }

    #[test]
    fn a_token_of_this_issuer_for_this_audience_is_somebody() {
        let by = options(&json!({}), &json!([]));
        let ada = read(&json!({}), &by).unwrap();
        assert_eq!(&*ada.name, "ada");
        assert_eq!(ada.owner, Some(Owner::of_subject("https://id.example", "ada")));
        assert_eq!(ada.scopes, [Scope::Query].into_iter().collect());
        assert_eq!(ada.workgroup, None);
        assert!(read(&json!({ "aud": ["others", "dunlin"] }), &by).is_ok());
        let bob = read(&json!({ "sub": "bob" }), &by).unwrap();
        assert_ne!(bob.owner, ada.owner);
    }

    #[test]
    fn a_token_of_another_issuer_or_for_another_audience_is_nobody() {
        let by = options(&json!({}), &json!([]));
        for (more, refused) in [
            (json!({ "iss": "https://id.example/" }), Refused::Issuer),
            (json!({ "iss": ["https://id.example"] }), Refused::Issuer),
            (json!({ "iss": null }), Refused::Issuer),
            (json!({ "aud": "Dunlin" }), Refused::Audience),
            (json!({ "aud": ["a", "b"] }), Refused::Audience),
            (json!({ "aud": "dunlin others" }), Refused::Audience),
            (json!({ "aud": null }), Refused::Audience),
            (json!({ "sub": null }), Refused::Subject),
            (json!({ "sub": "" }), Refused::Subject),
            (json!({ "sub": 7 }), Refused::Subject),
        ] {
            assert_eq!(read(&more, &by), Err(refused), "{more}");
        }
    }

    #[test]
    fn a_token_is_good_from_nbf_to_exp_and_a_minute_around() {
        let by = options(&json!({}), &json!([]));
        for (more, outcome) in [
            (json!({ "exp": NOW + 1 }), None),
            (json!({ "exp": NOW - 59 }), None),
            (json!({ "exp": NOW as f64 - 59.5 }), None),
            (json!({ "exp": NOW - 60 }), Some(Refused::Expired)),
            (json!({ "exp": 0 }), Some(Refused::Expired)),
            (json!({ "exp": -1 }), Some(Refused::Expired)),
            (json!({ "exp": null }), Some(Refused::NoExpiry)),
            (json!({ "exp": "2030" }), Some(Refused::NoExpiry)),
            (json!({ "nbf": NOW - 1 }), None),
            (json!({ "nbf": NOW + 60 }), None),
            (json!({ "nbf": NOW + 61 }), Some(Refused::NotYet)),
            (json!({ "nbf": "soon" }), Some(Refused::NotYet)),
        ] {
            assert_eq!(read(&more, &by).err(), outcome, "{more}");
        }
    }

    #[test]
    fn scopes_are_those_of_the_configuration_or_of_a_claim() {
        let fixed = options(&json!({ "scopes": ["query", "write"] }), &json!([]));
        let all = read(&json!({ "scope": "admin" }), &fixed).unwrap().scopes;
        assert_eq!(all, [Scope::Query, Scope::Write].into_iter().collect());
        let claimed = options(&json!({ "scopes_claim": "scope" }), &json!([]));
        for (value, scopes) in [
            (json!("openid query email"), vec![Scope::Query]),
            (json!("dunlin:query dunlin:write"), vec![Scope::Query, Scope::Write]),
            (json!(["dunlin:admin", "profile"]), vec![Scope::Admin]),
        ] {
            let found = read(&json!({ "scope": value }), &claimed).unwrap().scopes;
            assert_eq!(found, scopes.into_iter().collect());
        }
        for value in [json!(null), json!("openid"), json!("Query other:query"), json!([7])] {
            assert_eq!(read(&json!({ "scope": value }), &claimed), Err(Refused::Scopes));
        }
    }

    #[test]
    fn the_first_group_of_the_configuration_that_a_token_names_is_its_own() {
        let groups = json!([{ "name": "etl" }, { "name": "bi" }]);
        let by = options(&json!({ "workgroup_claim": "groups" }), &groups);
        let group = |value: Value| read(&json!({ "groups": value }), &by).map(|it| it.workgroup);
        let named = |value| group(value).unwrap().unwrap().name.to_string();
        assert_eq!(named(json!(["staff", "bi", "etl"])), "etl");
        assert_eq!(named(json!("bi")), "bi");
        for value in [json!(null), json!([]), json!("staff"), json!("BI"), json!({ "bi": 1 })] {
            assert_eq!(group(value), Err(Refused::Workgroup));
        }
    }

    #[test]
    fn a_claim_may_be_inside_of_another_one() {
        let groups = json!([{ "name": "etl" }, { "name": "bi" }]);
        let by = options(
            &json!({ "workgroup_claim": "realm_access.roles", "scopes_claim": "https://a.example/s" }),
            &groups,
        );
        let group =
            |value: Value| read(&value, &by).map(|it| it.workgroup.unwrap().name.to_string());
        let scopes = json!("write");
        let inside =
            json!({ "realm_access": { "roles": ["x", "bi"] }, "https://a.example/s": scopes });
        assert_eq!(group(inside).as_deref(), Ok("bi"));
        // A claim of the whole name comes first.
        let both = json!({
            "realm_access": { "roles": "bi" },
            "realm_access.roles": "etl",
            "https://a.example/s": scopes,
        });
        assert_eq!(group(both).as_deref(), Ok("etl"));
        for value in
            [json!("bi"), json!(["bi"]), json!({ "role": "bi" }), json!({ "roles": { "bi": 1 } })]
        {
            let claims = json!({ "realm_access": value, "https://a.example/s": scopes });
            assert_eq!(group(claims), Err(Refused::Workgroup));
        }
    }

    #[test]
    fn a_name_is_for_logs_and_is_made_fit_for_them() {
        let by = options(&json!({ "name_claim": "email" }), &json!([]));
        let name = |value: Value| read(&json!({ "email": value }), &by).unwrap().name.to_string();
        assert_eq!(name(json!("ada@example")), "ada@example");
        assert_eq!(name(json!("a\nb\u{1b}[31m")), "ab[31m");
        assert_eq!(name(json!("x".repeat(1_000))).len(), MOST_NAME);
        for nothing in [json!(null), json!(""), json!("\n"), json!(7)] {
            assert_eq!(name(nothing), "ada");
        }
    }
}
