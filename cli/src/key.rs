//! `dunlin key`: API keys for gateways.

use anyhow::Result;
use dunlin_gateway::auth::{NewKey, Scope, Verifier};

/// `dunlin key …`.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum Command {
    /// Print a new API key, once, and the lines of the configuration that allow it.
    New {
        /// For people: who uses the key.
        #[arg(long, default_value = "new")]
        name: String,
        /// What the key allows: query, admin, or both.
        #[arg(long, value_delimiter = ',', default_value = "query")]
        scopes: Vec<Scope>,
        /// The `[[gateway.workgroups]]` entry that it belongs to.
        #[arg(long)]
        workgroup: Option<String>,
    },
}

/// Runs a command. The key is written to standard output and nowhere else.
///
/// # Errors
/// The system gives no random bits.
pub fn run(command: &Command) -> Result<()> {
    let Command::New { name, scopes, workgroup } = command;
    let key = NewKey::generate()?;
    let scram = Verifier::of(key.text())?;
    print!("{}", text(&key, &scram, name, (scopes, workgroup.as_deref())));
    Ok(())
}

fn text(
    key: &NewKey,
    scram: &Verifier,
    name: &str,
    (scopes, workgroup): (&[Scope], Option<&str>),
) -> String {
    // A JSON string is also a TOML string.
    let quoted = serde_json::Value::from;
    let group = workgroup.map_or(String::new(), |group| format!("workgroup = {}\n", quoted(group)));
    let scopes: Vec<_> = scopes.iter().map(|scope| format!("\"{scope}\"")).collect();
    format!(
        "The key. It is stored nowhere and cannot be shown again:\n\n{}\n\n\
         For the gateway's configuration, which holds only the key's hash, and what clients of Postgres log in with:\n\n\
         [[gateway.keys]]\nname = {}\nsha256 = \"{}\"\nscopes = [{}]\nscram = \"{}\"\n{group}",
        key.text(),
        quoted(name),
        key.sha256(),
        scopes.join(", "),
        scram.text()
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use dunlin_planner::config::Config;

    use super::*;

    #[test]
    fn what_is_printed_goes_into_a_configuration_as_it_is() {
        let key = NewKey::generate().unwrap();
        let scram = Verifier::of(key.text()).unwrap();
        let text = text(&key, &scram, "the \"CI\"", (&Scope::ALL, Some("bi")));
        let lines = &text[text.find("[[gateway.keys]]").unwrap()..];
        let config = Config::parse(&format!("{lines}[state]\nlocation = \"memory://\"\n")).unwrap();
        let read = &config.gateway.keys[0];
        assert_eq!(read.name, "the \"CI\"");
        assert_eq!(read.sha256, key.sha256());
        assert_eq!(read.scopes, ["query", "write", "admin"]);
        assert_eq!(read.workgroup.as_deref(), Some("bi"));
        assert_eq!(text.matches(key.text()).count(), 1);
    }
}
