//! Which world a component speaks, told by what it exports; and that it imports nothing else.

use serde::{Deserialize, Serialize};
use std::fmt;
use wasmtime::Engine;
use wasmtime::component::Component;

/// The three worlds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum World {
    /// Where an artifact lives and how the host reaches it.
    Storage,
    /// Who may do what.
    Auth,
    /// What a scan report means.
    Scan,
}

impl World {
    /// Every world.
    pub const ALL: [Self; 3] = [Self::Storage, Self::Auth, Self::Scan];

    /// The name in `plugin.yaml` and in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Storage => "storage",
            Self::Auth => "auth",
            Self::Scan => "scan",
        }
    }

    /// The interface that a component of this world exports.
    #[must_use]
    pub const fn export(self) -> &'static str {
        match self {
            Self::Storage => "opendepot:storage/backend@0.1.0",
            Self::Auth => "opendepot:auth/policy@0.1.0",
            Self::Scan => "opendepot:scan/post-processor@0.1.0",
        }
    }

    /// The interfaces that a component of this world may import.
    #[must_use]
    pub const fn imports(self) -> &'static [&'static str] {
        match self {
            Self::Storage => &[
                "opendepot:host/types@0.1.0",
                "opendepot:host/log@0.1.0",
                "opendepot:host/http@0.1.0",
                "opendepot:host/secrets@0.1.0",
                "opendepot:storage/types@0.1.0",
            ],
            Self::Auth => &[
                "opendepot:host/types@0.1.0",
                "opendepot:host/log@0.1.0",
                "opendepot:auth/types@0.1.0",
            ],
            Self::Scan => &[
                "opendepot:host/types@0.1.0",
                "opendepot:host/log@0.1.0",
                "opendepot:scan/types@0.1.0",
            ],
        }
    }

    /// Tells the world of a component.
    ///
    /// # Errors
    /// [`WorldError`] when the exports match none or several worlds, or when an import is not
    /// part of the world.
    pub(crate) fn of(engine: &Engine, component: &Component) -> Result<Self, WorldError> {
        let of_type = component.component_type();
        let exports: Vec<String> = of_type
            .exports(engine)
            .map(|(name, _)| name.to_owned())
            .collect();
        let world = Self::of_exports(&exports)?;
        for (import, _) in of_type.imports(engine) {
            if !world.imports().contains(&import) {
                return Err(WorldError::Import {
                    import: crate::text::cut(import, 120),
                    world,
                });
            }
        }
        Ok(world)
    }

    fn of_exports(exports: &[String]) -> Result<Self, WorldError> {
        let mut found = Self::ALL
            .into_iter()
            .filter(|world| exports.iter().any(|export| export == world.export()));
        match (found.next(), found.next()) {
            (Some(world), None) => Ok(world),
            (Some(one), Some(other)) => Err(WorldError::Several { one, other }),
            (None, _) => {
                let other_version = exports.iter().find(|export| {
                    Self::ALL.into_iter().any(|world| {
                        let known = world.export().split('@').next();
                        export.split('@').next() == known
                    })
                });
                Err(match other_version {
                    Some(export) => WorldError::Version(crate::text::cut(export, 120)),
                    None => WorldError::None(crate::text::cut(&exports.join(", "), 240)),
                })
            }
        }
    }
}

impl fmt::Display for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

const ACCEPTED: &str = "accepted is exactly one of `opendepot:storage/backend@0.1.0`, \
    `opendepot:auth/policy@0.1.0` and `opendepot:scan/post-processor@0.1.0`";

/// A component that is not of our worlds.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WorldError {
    /// No known interface is exported.
    #[error("the component exports no known world but [{0}]; {ACCEPTED}")]
    None(String),
    /// A known interface in a version that this host does not speak.
    #[error("the component exports `{0}`, a version that this host does not speak; {ACCEPTED}")]
    Version(String),
    /// More than one known interface is exported.
    #[error("the component exports both the {one} and the {other} world; {ACCEPTED}")]
    Several {
        /// One.
        one: World,
        /// Another.
        other: World,
    },
    /// The component imports something that its world does not have.
    #[error(
        "the component imports `{import}`; a {world} plugin may import only [{}]",
        world.imports().join(", ")
    )]
    Import {
        /// The import.
        import: String,
        /// The component's world.
        world: World,
    },
    /// `plugin.yaml` says otherwise.
    #[error("`plugin.yaml` says world `{declared}` but the component exports the {exported} world")]
    Declared {
        /// What the manifest says.
        declared: World,
        /// What the component exports.
        exported: World,
    },
}
