//! What becomes of a query whose client has gone, and how to come back to it.

/// Where a session's queries live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Home {
    /// With a gateway that goes on; its address, unless it is the usual one.
    Gateway { url: Option<String> },
    /// In this process, which waits for the next line of its shell.
    Shell,
    /// In this process, which ends with the command.
    Command,
}

impl Home {
    /// The command that comes back to a query; none if it ends with this process.
    pub(crate) fn way_back(&self, verb: &str, query: &str) -> Option<String> {
        match self {
            Self::Gateway { url } => {
                let url = url.as_ref().map(|url| format!(" --url {url}")).unwrap_or_default();
                Some(format!("dunlin query {verb} {query}{url}"))
            }
            Self::Shell => Some(format!("\\attach {query}")),
            Self::Command => None,
        }
    }
}
