//! Credentials for a time, from the S3 server's own token service.

use std::process::Command;

use dunlin_sim::role::Session;

use super::S3;

/// New credentials, which may do all that a policy allows; without one, everything.
pub fn assume(s3: &S3, policy: Option<&str>) -> Session {
    let (key, secret) = s3.root();
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--aws-sigv4", "aws:amz:us-east-1:sts", "--user"])
        .arg(format!("{key}:{secret}"))
        .args(["--data-urlencode", "Action=AssumeRole"])
        .args(["--data-urlencode", "Version=2011-06-15"])
        .args(["--data-urlencode", "DurationSeconds=3600"]);
    if let Some(policy) = policy {
        curl.args(["--data-urlencode", &format!("Policy={policy}")]);
    }
    let output = curl.arg(format!("{}/", s3.endpoint)).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let of = |name: &str| {
        let part = text.split(&format!("<{name}>")).nth(1);
        let part = part.and_then(|part| part.split("</").next());
        part.unwrap_or_else(|| panic!("no {name}: {text}")).to_owned()
    };
    Session { key: of("AccessKeyId"), secret: of("SecretAccessKey"), token: of("SessionToken") }
}
