//! Storage plans: what a storage plugin answers and the host performs (plugins.md 1).

use crate::name::PluginId;
use serde::{Deserialize, Serialize};

/// Where the host is to move bytes natively.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placement {
    /// `file:///dir`, `s3://bucket`, `gs://bucket`, `az://account/container`; `https://host/path`
    /// where only signed requests reach it.
    pub store: String,
    /// The key within the store.
    pub key: String,
    /// Content type, storage class, metadata.
    pub attributes: Vec<(String, String)>,
    /// Options from an allow-list; values may name a secret.
    pub options: Vec<(String, OptionValue)>,
    /// The *name* of a granted credential.
    pub credentials: Option<String>,
}

/// A plain value or the name of a granted secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OptionValue {
    /// The value itself.
    Plain(String),
    /// A secret's name, never its value.
    Secret(String),
}

/// What is to be done with an artifact's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Create what must exist before the first put.
    Prepare,
    /// Write, create-only.
    Put,
    /// Read, whole or a range.
    Get,
    /// Read the size and attributes.
    Head,
    /// Remove.
    Delete,
    /// A link for a client, valid for this many seconds.
    Presign(u32),
}

impl Operation {
    /// The metric label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Prepare => "prepare",
            Self::Put => "put",
            Self::Get => "get",
            Self::Head => "head",
            Self::Delete => "delete",
            Self::Presign(_) => "presign",
        }
    }
}

/// Downloads are answered with links to the store (contract.md 4, `storageConfig.presign`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Presign {
    /// How long a link lives, in seconds: 1 to 3,600.
    pub ttl_seconds: u32,
    /// Whether the bytes are proxied when no link can be made.
    pub falls_back: bool,
}

/// A header value of a signed request; secrets are named and filled in by the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeaderValue {
    /// The value itself.
    Plain(String),
    /// `prefix` followed by the named secret.
    Secret {
        /// Text before the secret, such as `Bearer `.
        prefix: String,
        /// The secret's name.
        secret: String,
    },
    /// HTTP basic authentication with a named secret as the password.
    Basic {
        /// The user name.
        user: String,
        /// The secret's name.
        secret: String,
    },
}

/// A request that the host performs exactly, plus Content-Length and Range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedRequest {
    /// The plugin that planned it: its grants cover hosts and secrets.
    pub plugin: PluginId,
    /// The HTTP method.
    pub method: String,
    /// The URL; an untrusted plan until the egress policy has passed it.
    pub url: String,
    /// Headers in order.
    pub headers: Vec<(String, HeaderValue)>,
    /// Unix seconds after which the request must not be sent.
    pub expires_at: u64,
    /// Statuses that mean done.
    pub success: Vec<u16>,
    /// Statuses that mean that the object was there already.
    pub exists: Vec<u16>,
    /// Statuses that mean that there is no such object.
    pub missing: Vec<u16>,
}

/// A place that the host's own client reaches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NativePlan {
    /// The plugin that planned it: its grants say how the store is reached.
    pub plugin: PluginId,
    /// The place.
    pub placement: Placement,
}

/// A plugin's plan for one operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transfer {
    /// The host's own client moves the bytes.
    Native(NativePlan),
    /// The host performs this request.
    Signed(SignedRequest),
    /// Nothing needs doing; an answer to `Prepare` only.
    Nothing,
}
