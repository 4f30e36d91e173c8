//! The policies of `terraform/`, rendered as Terraform renders them, and what AWS would decide by them.
//!
//! This evaluates what these policies use, and fails at anything else: `Allow` and `Deny`, actions and resources with
//! wildcards, and the conditions `StringLike`, `Null`, `Bool` and `NumericLessThan`.

use std::collections::BTreeMap;
use std::path::Path;

use dunlin_sim::far::Seen;
use serde_json::{Value, json};

/// A policy.
#[derive(Clone, Debug)]
pub struct Policy(pub Value);

/// What a policy is asked.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    pub action: &'static str,
    /// The ARN.
    pub resource: String,
    /// Values of condition keys. A key that is not there is null.
    pub context: BTreeMap<&'static str, String>,
}

/// What statements say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Says {
    Allow,
    Deny,
    Nothing,
}

impl Policy {
    /// Renders `terraform/policies/<name>.json.tftpl`. Statements without resources say nothing, and go.
    pub fn render(name: &str, values: &BTreeMap<&str, Value>) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../terraform/policies");
        let path = folder.join(format!("{name}.json.tftpl"));
        let mut text = std::fs::read_to_string(&path).unwrap();
        for (name, value) in values {
            text = text.replace(&format!("${{jsonencode({name})}}"), &value.to_string());
            if let Some(plain) = value.as_str() {
                text = text.replace(&format!("${{{name}}}"), plain);
            }
        }
        assert!(!text.contains("${"), "{name} has a value that is not given: {text}");
        let mut policy: Value = serde_json::from_str(&text).unwrap();
        let statements = policy["Statement"].as_array_mut().unwrap();
        statements.retain(|statement| !list(&statement["Resource"]).is_empty());
        Self(policy)
    }

    /// The statements about S3, short enough for a session policy.
    pub fn of_s3(&self) -> String {
        let statements: Vec<Value> = self
            .statements()
            .filter(|statement| {
                list(&statement["Action"]).iter().all(|action| action.starts_with("s3:"))
            })
            .map(|statement| {
                let mut statement = statement.clone();
                statement.as_object_mut().unwrap().remove("Sid");
                statement
            })
            .collect();
        json!({ "Version": "2012-10-17", "Statement": statements }).to_string()
    }

    fn statements(&self) -> impl Iterator<Item = &Value> {
        self.0["Statement"].as_array().unwrap().iter()
    }

    /// What the policy says. A denial wins.
    pub fn says(&self, asked: &Asked) -> Says {
        let mut says = Says::Nothing;
        for statement in self.statements().filter(|statement| matches(statement, asked)) {
            match statement["Effect"].as_str().unwrap() {
                "Deny" => return Says::Deny,
                "Allow" => says = Says::Allow,
                other => panic!("{other}"),
            }
        }
        says
    }
}

fn matches(statement: &Value, asked: &Asked) -> bool {
    let any = |key: &str, value: &str| {
        assert!(statement.get(format!("Not{key}")).is_none(), "Not{key} is not evaluated");
        list(&statement[key]).iter().any(|pattern| like(pattern, value))
    };
    if !any("Action", asked.action) || !any("Resource", &asked.resource) {
        return false;
    }
    let conditions = statement["Condition"].as_object();
    conditions.into_iter().flatten().all(|(operator, keys)| {
        keys.as_object().unwrap().iter().all(|(key, values)| {
            let value = asked.context.get(key.as_str());
            let values = list(values);
            match operator.as_str() {
                "StringLike" => {
                    value.is_some_and(|value| values.iter().any(|pattern| like(pattern, value)))
                }
                "Null" => values.iter().any(|wanted| (wanted == "true") == value.is_none()),
                "Bool" => value.is_some_and(|value| values.contains(value)),
                "NumericLessThan" => value.is_some_and(|value| {
                    let value: f64 = value.parse().unwrap();
                    values.iter().any(|most| value < most.parse::<f64>().unwrap())
                }),
                other => panic!("the condition {other} is not evaluated"),
            }
        })
    })
}

/// A text, or several.
fn list(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => vec![text.clone()],
        Value::Array(texts) => texts.iter().map(|text| text.as_str().unwrap().to_owned()).collect(),
        other => panic!("{other}"),
    }
}

/// `*` stands for any text, `?` for any character.
fn like(pattern: &str, text: &str) -> bool {
    match (pattern.chars().next(), text.chars().next()) {
        (None, None) => true,
        (Some('*'), _) => {
            let rest = &pattern[1..];
            (0..=text.len()).any(|at| text.is_char_boundary(at) && like(rest, &text[at..]))
        }
        (Some(p), Some(c)) if p == '?' || p == c => {
            like(&pattern[p.len_utf8()..], &text[c.len_utf8()..])
        }
        _ => false,
    }
}

/// What AWS is asked for a recorded request, over TLS. `None` for a request that deletes several keys: they are in its body.
pub fn asked(bucket: &str, seen: &Seen) -> Option<Asked> {
    if seen.method == "POST" && seen.key.is_empty() {
        return None;
    }
    Some(asked_for(bucket, seen))
}

fn asked_for(bucket: &str, seen: &Seen) -> Asked {
    let arn = format!("arn:aws:s3:::{bucket}");
    let mut context = BTreeMap::from([
        ("aws:SecureTransport", "true".to_owned()),
        ("s3:TlsVersion", "1.3".to_owned()),
    ]);
    if let Some(prefix) = &seen.list {
        context.insert("s3:prefix", prefix.clone());
        return Asked { action: "s3:ListBucket", resource: arn, context };
    }
    if seen.if_none_match {
        context.insert("s3:if-none-match", "*".to_owned());
    }
    let action = match seen.method.as_str() {
        "GET" | "HEAD" => "s3:GetObject",
        "PUT" => "s3:PutObject",
        "DELETE" => "s3:DeleteObject",
        other => panic!("{other} {}", seen.key),
    };
    Asked { action, resource: format!("{arn}/{}", seen.key), context }
}

#[test]
fn the_evaluator_decides_as_documented() {
    let policy = Policy(json!({ "Statement": [
        { "Effect": "Allow", "Action": ["s3:Get*"], "Resource": "arn:b/x/*" },
        { "Effect": "Deny", "Action": "s3:*", "Resource": "arn:b/x/secret/?" },
        { "Effect": "Allow", "Action": "s3:ListBucket", "Resource": "arn:b",
          "Condition": { "StringLike": { "s3:prefix": ["x/*"] } } },
    ]}));
    let says = |action, resource: &str, prefix: Option<&str>| {
        let context = prefix.map(|prefix| ("s3:prefix", prefix.to_owned())).into_iter().collect();
        policy.says(&Asked { action, resource: resource.to_owned(), context })
    };
    assert_eq!(says("s3:GetObject", "arn:b/x/y/z", None), Says::Allow);
    assert_eq!(says("s3:PutObject", "arn:b/x/y", None), Says::Nothing);
    assert_eq!(says("s3:GetObject", "arn:b/x/secret/1", None), Says::Deny);
    assert_eq!(says("s3:GetObject", "arn:b/x/secret/12", None), Says::Allow);
    assert_eq!(says("s3:ListBucket", "arn:b", Some("x/1")), Says::Allow);
    assert_eq!(says("s3:ListBucket", "arn:b", Some("y/1")), Says::Nothing);
    assert_eq!(says("s3:ListBucket", "arn:b", None), Says::Nothing);
}
