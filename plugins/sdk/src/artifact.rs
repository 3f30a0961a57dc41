//! What the host tells a plugin about an artifact.

pub use crate::bindings::host::opendepot::host::types::{
    Artifact, ArtifactKind, Attribute, Problem,
};

/// The attribute that carries the `name` of the resource's config where it differs from the
/// resource's own name.
pub const CONFIG_NAME: &str = "config-name";

impl ArtifactKind {
    /// `module`, `provider`, or the name of a kind that this version does not know.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Module => "module",
            Self::Provider => "provider",
            Self::Other(name) => name,
        }
    }
}

impl Artifact {
    /// The value of the first attribute called `name`.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&str> {
        attribute(&self.attributes, name)
    }

    /// The first segment of a storage key: the config's name where there is one of its own, else
    /// the resource's.
    #[must_use]
    pub fn config_name(&self) -> &str {
        self.attribute(CONFIG_NAME).unwrap_or(&self.name)
    }
}

impl Attribute {
    /// An attribute.
    pub fn new(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            value: value.into(),
        }
    }
}

impl Problem {
    /// A problem at `path`, such as `rules[2].groups`.
    pub fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            message: message.into(),
        }
    }
}

/// The value of the first attribute called `name`.
#[must_use]
pub fn attribute<'a>(attributes: &'a [Attribute], name: &str) -> Option<&'a str> {
    attributes
        .iter()
        .find(|attribute| attribute.name == name)
        .map(|attribute| attribute.value.as_str())
}
