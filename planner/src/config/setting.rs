//! One key of the configuration in effect, for whoever lists them.

/// One key of the configuration in effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Its path, as in `gateway.keys[0].name`.
    pub name: String,
    /// Its value as text; a credential is masked. `None`: it is not set, and has no default.
    pub value: Option<String>,
    /// Where it is set; `None`: it has its default.
    pub source: Option<String>,
}
