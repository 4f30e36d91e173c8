//! Where statements run: at a gateway, or in this process.

use dunlin_process::ConfigOptions;

use crate::credentials::Credentials;
use crate::failure::Failure;
use crate::link::Link;
use crate::own::Own;
use crate::session::Home;

/// Where a gateway listens unless it is told otherwise.
pub(crate) const DEFAULT_URL: &str = "http://127.0.0.1:8090";
/// Environment variable with the gateway's address.
pub(crate) const URL_VARIABLE: &str = "DUNLIN_URL";

/// Where statements run.
#[derive(Debug)]
pub(super) enum Place {
    /// At a gateway.
    Gateway { url: String, credentials: Credentials },
    /// In this process.
    Here { config: ConfigOptions, fleet: usize },
}

/// A place that has been opened.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) link: Link,
    pub(super) home: Home,
    /// The gateway of this process, if that is the place.
    pub(super) own: Option<Own>,
}

impl Place {
    /// What is on the command line counts before the environment.
    pub(super) fn choose(options: &super::Options, variable: Option<String>) -> Self {
        let super::Options { url, config, set, fleet, credentials, .. } = options;
        let is_here = config.is_some() || !set.is_empty() || *fleet > 0;
        let variable = variable.filter(|url| !url.is_empty() && !is_here);
        match url.clone().or(variable) {
            Some(url) => Self::Gateway { url, credentials: credentials.clone() },
            None => Self::Here {
                config: ConfigOptions { config: config.clone(), set: set.clone() },
                fleet: *fleet,
            },
        }
    }

    /// Opens it, for a shell or for one command.
    pub(super) fn open(self, for_shell: bool) -> Result<Opened, Failure> {
        match self {
            Self::Gateway { url, credentials } => {
                let link = Link::new(credentials.client(&url)?, &url, &url);
                let usual = url.trim_end_matches('/') == DEFAULT_URL;
                let home = Home::Gateway { url: (!usual).then_some(url) };
                Ok(Opened { link, home, own: None })
            }
            Self::Here { config, fleet } => {
                let own = Own::start(&config, fleet)?;
                let (http, url) = own.client()?;
                let link = Link::new(http, &url, "this process");
                let home = if for_shell { Home::Shell } else { Home::Command };
                Ok(Opened { link, home, own: Some(own) })
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        options: super::super::Options,
    }

    fn place(arguments: &[&str], variable: Option<&str>) -> String {
        let line = Line::try_parse_from([&["x"], arguments].concat()).unwrap();
        match Place::choose(&line.options, variable.map(str::to_owned)) {
            Place::Gateway { url, .. } => url,
            Place::Here { config: ConfigOptions { config, set }, fleet } => {
                format!("{config:?} {set:?} {fleet}")
            }
        }
    }

    #[test]
    fn the_command_line_counts_before_the_environment() {
        assert_eq!(place(&["select 1"], None), "None [] 0");
        assert_eq!(place(&["--url", "http://a"], Some("http://b")), "http://a");
        assert_eq!(place(&[], Some("http://b")), "http://b");
        assert_eq!(place(&[], Some("")), "None [] 0");
        assert_eq!(place(&["--fleet", "2"], Some("http://b")), "None [] 2");
        assert_eq!(place(&["--set", "a.b=1"], Some("http://b")), "None [\"a.b=1\"] 0");
        assert_eq!(place(&["--config", "c"], Some("http://b")), "Some(\"c\") [] 0");
        assert!(Line::try_parse_from(["x", "--set", "a.b=1", "--url", "u"]).is_err());
        assert!(Line::try_parse_from(["x", "--config", "c", "--url", "u"]).is_err());
        assert!(Line::try_parse_from(["x", "select 1", "-c", "select 2"]).is_err());
    }
}
