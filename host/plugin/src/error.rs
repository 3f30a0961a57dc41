//! What can go wrong: loading, calling, and answers that are refused.

use opendepot_domain::seam::SeamError;
use opendepot_domain::{Kind, PluginId, Sha256};
use std::path::PathBuf;
use std::time::Duration;

/// A failure of the plugin host.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The folder of built-in plugins is not there.
    #[error("cannot find the built-in plugins in `{0}`: build them with `cargo xtask plugins`")]
    BuiltinDir(PathBuf),
    /// Two entries have one name.
    #[error("cannot load plugins: two entries are named `{0}`")]
    DuplicateEntry(PluginId),
    /// The wasm engine or its threads could not be set up.
    #[error("cannot set up the plugin engine: {0}")]
    Engine(String),
    /// No plugin of that name and world is configured.
    #[error("no {world} plugin is named `{plugin}`")]
    Unknown {
        /// The name asked for.
        plugin: PluginId,
        /// The world asked for.
        world: &'static str,
    },
    /// The plugin is configured, and failed to load.
    #[error("plugin `{plugin}` is not serving: {reason}")]
    NotServing {
        /// The plugin.
        plugin: PluginId,
        /// Why it did not load.
        reason: String,
    },
    /// A call ended without an answer.
    #[error("plugin `{plugin}` failed in `{function}`: {fault}")]
    Call {
        /// The plugin.
        plugin: PluginId,
        /// The function called.
        function: &'static str,
        /// How the call ended.
        fault: Fault,
    },
    /// The plugin answered with an error of its own.
    #[error("plugin `{plugin}` answered `{function}` with an error: {message}")]
    Guest {
        /// The plugin.
        plugin: PluginId,
        /// The function called.
        function: &'static str,
        /// What the answer means.
        kind: Kind,
        /// The guest's text, escaped and cut.
        message: String,
    },
    /// The plugin's answer breaks its grants or the contract.
    #[error("plugin `{plugin}` answered `{function}` with a plan that is refused: {reason}")]
    Refused {
        /// The plugin.
        plugin: PluginId,
        /// The function called.
        function: &'static str,
        /// Which rule is broken.
        reason: Box<crate::plan::PlanError>,
    },
    /// A granted secret cannot be read.
    #[error("cannot use secret `{name}` of plugin `{plugin}`: {reason}")]
    Secret {
        /// The plugin.
        plugin: PluginId,
        /// The secret's name, escaped.
        name: String,
        /// Why not.
        reason: crate::secret::SecretError,
    },
}

impl Error {
    /// What the failure means to a caller.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::BuiltinDir(_) | Self::DuplicateEntry(_) => Kind::Invalid,
            Self::Engine(_) => Kind::Internal,
            Self::Unknown { .. } => Kind::NotFound,
            Self::NotServing { .. } => Kind::Unavailable,
            Self::Call { fault, .. } => fault.kind(),
            Self::Guest { kind, .. } => *kind,
            Self::Refused { .. } => Kind::Denied,
            Self::Secret { reason, .. } => reason.kind(),
        }
    }
}

impl From<Error> for SeamError {
    fn from(error: Error) -> Self {
        Self {
            kind: error.kind(),
            message: error.to_string(),
        }
    }
}

/// How a call ended when it did not end with an answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// No instance was free in time; the plugin is not to blame.
    #[error("no instance was free within {} ms", .0.as_millis())]
    Busy(Duration),
    /// It failed too often in a row and is not called for a while.
    #[error("it failed too often in a row and is not called for {} ms", .0.as_millis())]
    Open(Duration),
    /// The guest trapped, ran out of a budget or broke the ABI.
    #[error("{} trap: {message}", class.label())]
    Trap {
        /// The metric label.
        class: TrapClass,
        /// The engine's text, escaped and cut.
        message: String,
    },
    /// The call's answer does not follow the contract.
    #[error("malformed answer: {0}")]
    Malformed(String),
    /// The task that ran the call ended without a result: the process is shutting down.
    #[error("the call was abandoned")]
    Abandoned,
}

impl Fault {
    /// What the fault means to a caller.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Busy(_) => Kind::Busy,
            Self::Open(_) | Self::Trap { .. } | Self::Malformed(_) | Self::Abandoned => {
                Kind::Unavailable
            }
        }
    }

    /// What its author can do about it.
    #[must_use]
    pub const fn advice(&self) -> &'static str {
        match self {
            Self::Busy(_) | Self::Abandoned => "try again",
            Self::Open(_) => "find out why its last calls failed; it is tried again by itself",
            Self::Malformed(_) => "answer as the WIT text of its world says",
            Self::Trap { class, .. } => class.advice(),
        }
    }

    /// Whether the guest is to blame.
    pub(crate) const fn is_of_guest(&self) -> bool {
        matches!(self, Self::Trap { .. } | Self::Malformed(_))
    }

    /// The `result` label of the call metric.
    pub(crate) const fn label(&self) -> &'static str {
        match self {
            Self::Busy(_) => "busy",
            Self::Open(_) => "open",
            Self::Trap { .. } => "trap",
            Self::Malformed(_) => "malformed",
            Self::Abandoned => "abandoned",
        }
    }
}

/// Why a guest was stopped (reliability.md 10.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TrapClass {
    /// Guest time or wall-clock time is used up.
    Deadline,
    /// Memory or table growth was refused.
    Memory,
    /// The wasm stack is exhausted.
    Stack,
    /// Too many host calls, resources, or bytes across the boundary.
    Fuel,
    /// Values that break the canonical ABI: bad UTF-8, unknown discriminants, wild pointers.
    Abi,
    /// The guest's own trap, such as `unreachable`.
    Guest,
}

impl TrapClass {
    /// The metric label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Deadline => "deadline",
            Self::Memory => "memory",
            Self::Stack => "stack",
            Self::Fuel => "fuel",
            Self::Abi => "abi",
            Self::Guest => "guest",
        }
    }

    /// What happened, in words.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Deadline => "it took longer than its deadline",
            Self::Memory => "it asked for more memory than it may have",
            Self::Stack => "its stack is used up",
            Self::Fuel => "it handed over too much: bytes, host calls or resources",
            Self::Abi => "it handed over values that break the component ABI",
            Self::Guest => "it ended itself, as a panic does",
        }
    }

    /// What its author can do about it.
    #[must_use]
    pub const fn advice(self) -> &'static str {
        match self {
            Self::Deadline => {
                "do slow work in `prepare` (auth) or not at all, and look for a loop without an end"
            }
            Self::Memory => "hold less at a time; the limit is for all memories of one call",
            Self::Stack => "bound the recursion; data of others can be nested without an end",
            Self::Fuel => "answer and log less in one call, and drop handles that are done with",
            Self::Abi => {
                "build against the WIT of this version with bindings that are generated, not written"
            }
            Self::Guest => {
                "return an error in place of a panic; a panic's message is in the log lines, \
                 where the SDK writes it"
            }
        }
    }
}

/// Why one plugin did not load. Others are not affected.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A file or folder could not be read.
    #[error("cannot read `{path}`: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// A built-in that was not built.
    #[error("cannot find built-in `{0}`: build it with `cargo xtask plugins`")]
    MissingBuiltin(PluginId),
    /// `plugin.yaml` does not parse or breaks a rule.
    #[error("cannot use `{path}`: {message}")]
    Manifest {
        /// The file.
        path: PathBuf,
        /// Parser message with line and column, or the broken rule.
        message: String,
    },
    /// The component is larger than the limit.
    #[error("component `{path}` is larger than {limit} bytes")]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The limit.
        limit: u64,
    },
    /// The component is not the one that the entry pins.
    #[error("component digest is `{actual}` but the entry pins `{expected}`")]
    Digest {
        /// What the bytes hash to.
        actual: Sha256,
        /// What the entry says.
        expected: Sha256,
    },
    /// The operator took the component out of use.
    #[error("component digest `{0}` is in `pluginPolicy.deniedDigests`")]
    Denied(Sha256),
    /// The component has no signature that the operator's keys verify.
    #[error(transparent)]
    Signature(#[from] crate::signature::SignatureError),
    /// An entry with a folder or an OCI source, without a pin.
    #[error(
        "an entry with a folder or an OCI source needs `sha256`; this component's is `{actual}`"
    )]
    Unpinned {
        /// What the bytes hash to.
        actual: Sha256,
    },
    /// A folder that no entry lists.
    #[error("no entry lists this folder and `allowUnlisted` is off; component digest `{0}`")]
    Unlisted(Sha256),
    /// The name is taken by another plugin.
    #[error("the name `{0}` is taken by another plugin")]
    NameTaken(PluginId),
    /// An OCI artifact could not be pulled.
    #[error("cannot pull `{reference}`: {reason}")]
    Oci {
        /// The reference.
        reference: String,
        /// Why not.
        reason: String,
    },
    /// The folder changed each time that it was read.
    #[error("`{0}` keeps changing while it is read")]
    Unsettled(PathBuf),
    /// The bytes are not a component that compiles.
    #[error("cannot compile the component: {0}")]
    Compile(String),
    /// The compiler was not let run. Another time may do better.
    #[error(
        "cannot compile the component: the machine is too busy, of {} s the compiler had {:.1} s of a processor",
        timeout.as_secs(),
        spent.as_secs_f64()
    )]
    Starved {
        /// How long it was waited for.
        timeout: Duration,
        /// Processor time that it had.
        spent: Duration,
    },
    /// The component is not for one of our worlds.
    #[error(transparent)]
    World(#[from] crate::world::WorldError),
    /// A grant is not valid.
    #[error(transparent)]
    Grant(#[from] crate::pattern::PatternError),
    /// The settings are not an object, or too large.
    #[error("settings are refused: {0}")]
    Settings(String),
    /// The plugin was called while loading and failed.
    #[error("`{function}` failed: {fault}")]
    Call {
        /// The function called.
        function: &'static str,
        /// How the call ended.
        fault: Fault,
    },
    /// The plugin answered with an error while loading.
    #[error("`{function}` answered: {message}")]
    Guest {
        /// The function called.
        function: &'static str,
        /// The guest's text, escaped and cut.
        message: String,
    },
}

impl LoadError {
    /// Whether the same bytes may load at another time.
    pub(crate) const fn may_pass(&self) -> bool {
        matches!(
            self,
            Self::Oci { .. } | Self::Call { .. } | Self::Starved { .. }
        )
    }
}
