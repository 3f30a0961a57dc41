//! What a plugin looks like in a registry: one manifest with two or three layers.

use crate::reference::parse_digest;
use opendepot_domain::Sha256;
use serde::Deserialize;
use serde::de::IgnoredAny;

/// The largest manifest, in bytes.
pub(crate) const MAX_MANIFEST_BYTES: u64 = 1 << 20;
/// The largest `plugin.yaml`, in bytes: as of a plugin in a folder.
const MAX_PLUGIN_YAML_BYTES: u64 = 64 << 10;
/// The largest signature, in bytes.
const MAX_SIGNATURE_BYTES: u64 = 16 << 10;

/// `artifactType` of a plugin.
pub(crate) const ARTIFACT_TYPE: &str = "application/vnd.opendepot.plugin.v1";
/// The media type of the manifest.
pub(crate) const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
/// The media type of an empty configuration.
const EMPTY_TYPE: &str = "application/vnd.oci.empty.v1+json";
/// Documents that hold no layers but other manifests.
pub(crate) const INDEX_TYPES: [&str; 2] = [
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
];

/// A layer of a plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// `plugin.yaml`.
    Manifest,
    /// The component.
    Component,
    /// The component's detached signature.
    Signature,
}

impl Part {
    pub(crate) const ALL: [Self; 3] = [Self::Manifest, Self::Component, Self::Signature];

    pub(crate) const fn media_type(self) -> &'static str {
        match self {
            Self::Manifest => "application/vnd.opendepot.plugin.manifest.v1+yaml",
            Self::Component => "application/wasm",
            Self::Signature => "application/vnd.opendepot.plugin.signature.v1",
        }
    }

    /// Its name in the folder of a pulled plugin.
    pub(crate) const fn file_name(self) -> &'static str {
        match self {
            Self::Manifest => "plugin.yaml",
            Self::Component => "plugin.wasm",
            Self::Signature => "plugin.wasm.sig",
        }
    }

    pub(crate) const fn what(self) -> &'static str {
        match self {
            Self::Manifest => "`plugin.yaml`",
            Self::Component => "component",
            Self::Signature => "signature",
        }
    }

    const fn max_bytes(self, component_bytes: u64) -> u64 {
        match self {
            Self::Manifest => MAX_PLUGIN_YAML_BYTES,
            Self::Component => component_bytes,
            Self::Signature => MAX_SIGNATURE_BYTES,
        }
    }
}

/// A layer by digest and size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Blob {
    pub(crate) part: Part,
    pub(crate) digest: Sha256,
    pub(crate) size: u64,
}

/// The manifest is not that of a plugin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ArtifactError {
    /// Not JSON of the right shape.
    #[error("the manifest does not parse at line {line}, column {column}")]
    Json {
        /// Where.
        line: usize,
        /// Where.
        column: usize,
    },
    /// An index, which names manifests instead of layers.
    #[error(
        "the digest is that of an index; give the digest of the manifest in it (`{MANIFEST_TYPE}`)"
    )]
    Index,
    /// Another document than an OCI manifest.
    #[error("the manifest's media type is `{0}`, expected `{MANIFEST_TYPE}`")]
    MediaType(String),
    /// An artifact, and none of ours.
    #[error("the manifest's `artifactType` is {0}, expected `{ARTIFACT_TYPE}`")]
    ArtifactType(String),
    /// A configuration, which a plugin does not have.
    #[error("the manifest's `config` has media type `{0}`, expected `{EMPTY_TYPE}`")]
    Config(String),
    /// A layer that a plugin does not have.
    #[error(
        "a layer has media type `{0}`, expected `{manifest}`, `{component}` and, where it is \
         signed, `{signature}`",
        manifest = Part::Manifest.media_type(),
        component = Part::Component.media_type(),
        signature = Part::Signature.media_type()
    )]
    Layer(String),
    /// Two layers of one kind.
    #[error("the manifest has two layers of media type `{}`, expected one", .0.media_type())]
    Twice(Part),
    /// A layer is missing.
    #[error("the manifest has no layer of media type `{}`", .0.media_type())]
    Missing(Part),
    /// A layer's digest is not one that we compute.
    #[error("the digest of the layer `{}` is not `sha256:` and 64 hexadecimal digits", .0.media_type())]
    Digest(Part),
    /// A layer is too large.
    #[error("the layer `{}` has {size} bytes, at most {limit} are allowed", part.media_type())]
    TooLarge {
        /// The layer.
        part: Part,
        /// As the manifest says.
        size: u64,
        /// The limit.
        limit: u64,
    },
    /// A layer that is to be fetched from elsewhere.
    #[error("the layer `{}` names URLs, expected it to be in the registry", .0.media_type())]
    Urls(Part),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawManifest {
    media_type: Option<String>,
    artifact_type: Option<String>,
    config: Option<RawDescriptor>,
    #[serde(default)]
    layers: Vec<RawDescriptor>,
    manifests: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawDescriptor {
    media_type: String,
    digest: String,
    size: u64,
    #[serde(default)]
    urls: Vec<IgnoredAny>,
}

/// Reads a manifest whose digest is the right one. `content_type` is the answer's header; from the
/// cache there is none.
pub(crate) fn parse(
    bytes: &[u8],
    content_type: Option<&str>,
    component_bytes: u64,
) -> Result<Vec<Blob>, ArtifactError> {
    // Parameters do not change what it is.
    let content_type = content_type.map(|text| text.split(';').next().unwrap_or(text).trim());
    check_type(content_type)?;
    let raw: RawManifest = serde_json::from_slice(bytes).map_err(|error| ArtifactError::Json {
        line: error.line(),
        column: error.column(),
    })?;
    check_type(raw.media_type.as_deref())?;
    if raw.manifests.is_some() {
        return Err(ArtifactError::Index);
    }
    match raw.artifact_type.as_deref() {
        Some(ARTIFACT_TYPE) => {}
        Some(other) => return Err(ArtifactError::ArtifactType(format!("`{}`", shown(other)))),
        None => return Err(ArtifactError::ArtifactType("missing".to_owned())),
    }
    match raw.config.map(|config| config.media_type) {
        Some(text) if text == EMPTY_TYPE => {}
        Some(other) => return Err(ArtifactError::Config(shown(&other))),
        None => return Err(ArtifactError::Config("(none)".to_owned())),
    }
    let mut blobs: Vec<Blob> = Vec::new();
    for layer in raw.layers {
        let part = Part::ALL
            .into_iter()
            .find(|part| part.media_type() == layer.media_type)
            .ok_or_else(|| ArtifactError::Layer(shown(&layer.media_type)))?;
        if blobs.iter().any(|blob| blob.part == part) {
            return Err(ArtifactError::Twice(part));
        }
        if !layer.urls.is_empty() {
            return Err(ArtifactError::Urls(part));
        }
        let (size, limit) = (layer.size, part.max_bytes(component_bytes));
        if size > limit {
            return Err(ArtifactError::TooLarge { part, size, limit });
        }
        let digest = parse_digest(&layer.digest).ok_or(ArtifactError::Digest(part))?;
        blobs.push(Blob { part, digest, size });
    }
    for part in [Part::Manifest, Part::Component] {
        if !blobs.iter().any(|blob| blob.part == part) {
            return Err(ArtifactError::Missing(part));
        }
    }
    Ok(blobs)
}

fn check_type(found: Option<&str>) -> Result<(), ArtifactError> {
    match found {
        None | Some(MANIFEST_TYPE) => Ok(()),
        Some(index) if INDEX_TYPES.contains(&index) => Err(ArtifactError::Index),
        Some(other) => Err(ArtifactError::MediaType(shown(other))),
    }
}

fn shown(text: &str) -> String {
    text.escape_debug().take(120).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const LIMIT: u64 = 32 << 20;

    fn descriptor(part: Part) -> Value {
        let digest = Sha256::of(part.media_type().as_bytes());
        json!({"mediaType": part.media_type(), "digest": format!("sha256:{digest}"), "size": 100})
    }

    fn manifest() -> Value {
        json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "artifactType": ARTIFACT_TYPE,
            "config": {"mediaType": EMPTY_TYPE, "digest": format!("sha256:{}", Sha256::of(b"{}")), "size": 2, "data": "e30="},
            "layers": [descriptor(Part::Manifest), descriptor(Part::Component)],
            "annotations": {"org.opencontainers.image.created": "2026-01-01T00:00:00Z"}
        })
    }

    fn read(manifest: &Value) -> Result<Vec<Blob>, ArtifactError> {
        parse(manifest.to_string().as_bytes(), None, LIMIT)
    }

    fn changed(change: impl FnOnce(&mut Value)) -> Result<Vec<Blob>, ArtifactError> {
        let mut manifest = manifest();
        change(&mut manifest);
        read(&manifest)
    }

    #[test]
    fn a_plugin_has_two_or_three_layers_in_any_order() {
        let parts = |blobs: Vec<Blob>| blobs.iter().map(|blob| blob.part).collect::<Vec<_>>();
        assert_eq!(
            parts(read(&manifest()).unwrap()),
            [Part::Manifest, Part::Component]
        );
        let signed = changed(|m| {
            m["layers"]
                .as_array_mut()
                .unwrap()
                .insert(0, descriptor(Part::Signature));
            m.as_object_mut().unwrap().remove("mediaType");
        });
        assert_eq!(
            parts(signed.unwrap()),
            [Part::Signature, Part::Manifest, Part::Component]
        );
        let text = manifest().to_string();
        let with_parameter = format!("{MANIFEST_TYPE}; charset=utf-8");
        assert!(parse(text.as_bytes(), Some(&with_parameter), LIMIT).is_ok());
    }

    #[test]
    fn anything_else_is_refused_by_name() {
        use ArtifactError as E;
        let named = |text: &str| text.to_owned();
        let gzip = "application/vnd.oci.image.layer.v1.tar+gzip";
        type Change = Box<dyn FnOnce(&mut Value)>;
        let cases: Vec<(Change, E)> = vec![
            (
                Box::new(|m| m["mediaType"] = json!(INDEX_TYPES[0])),
                E::Index,
            ),
            (
                Box::new(|m| m["mediaType"] = json!(INDEX_TYPES[1])),
                E::Index,
            ),
            (Box::new(|m| m["manifests"] = json!([])), E::Index),
            (
                Box::new(|m| {
                    m["mediaType"] = json!("application/vnd.docker.distribution.manifest.v2+json")
                }),
                E::MediaType(named(
                    "application/vnd.docker.distribution.manifest.v2+json",
                )),
            ),
            (
                Box::new(|m| m["artifactType"] = json!("application/vnd.opendepot.plugin.v2")),
                E::ArtifactType(named("`application/vnd.opendepot.plugin.v2`")),
            ),
            (
                Box::new(|m| {
                    m.as_object_mut().unwrap().remove("artifactType");
                }),
                E::ArtifactType(named("missing")),
            ),
            (
                Box::new(|m| {
                    m["config"]["mediaType"] = json!("application/vnd.oci.image.config.v1+json")
                }),
                E::Config(named("application/vnd.oci.image.config.v1+json")),
            ),
            (
                Box::new(|m| {
                    m.as_object_mut().unwrap().remove("config");
                }),
                E::Config(named("(none)")),
            ),
            (
                Box::new(move |m| m["layers"][1]["mediaType"] = json!(gzip)),
                E::Layer(named(gzip)),
            ),
            (
                Box::new(|m| {
                    m["layers"]
                        .as_array_mut()
                        .unwrap()
                        .push(descriptor(Part::Component))
                }),
                E::Twice(Part::Component),
            ),
            (
                Box::new(|m| {
                    m["layers"].as_array_mut().unwrap().pop();
                }),
                E::Missing(Part::Component),
            ),
            (
                Box::new(|m| {
                    m.as_object_mut().unwrap().remove("layers");
                }),
                E::Missing(Part::Manifest),
            ),
            (
                Box::new(|m| m["layers"][1]["size"] = json!(LIMIT + 1)),
                E::TooLarge {
                    part: Part::Component,
                    size: LIMIT + 1,
                    limit: LIMIT,
                },
            ),
            (
                Box::new(|m| m["layers"][0]["size"] = json!(65537)),
                E::TooLarge {
                    part: Part::Manifest,
                    size: 65537,
                    limit: 65536,
                },
            ),
            (
                Box::new(|m| m["layers"][0]["digest"] = json!("sha512:00")),
                E::Digest(Part::Manifest),
            ),
            (
                Box::new(|m| m["layers"][0]["digest"] = json!("sha256:../../x")),
                E::Digest(Part::Manifest),
            ),
            (
                Box::new(|m| m["layers"][1]["urls"] = json!(["https://elsewhere.example/x"])),
                E::Urls(Part::Component),
            ),
        ];
        for (change, expected) in cases {
            assert_eq!(changed(change).unwrap_err(), expected);
        }
        for (text, column) in [
            ("[1", 2),
            ("{\"layers\":{}}", 10),
            ("{\"layers\":[],\"layers\":[]}", 21),
        ] {
            let error = parse(text.as_bytes(), None, LIMIT).unwrap_err();
            assert!(
                matches!(error, E::Json { line: 1, column: at } if at >= column),
                "{text}: {error}"
            );
        }
        for size in [json!(-1), json!(1.5), json!("1"), json!(1e30)] {
            let error = changed(|m| m["layers"][0]["size"] = size).unwrap_err();
            assert!(matches!(error, E::Json { .. }), "{error}");
        }
    }

    #[test]
    fn what_the_registry_calls_it_counts_too() {
        let text = manifest().to_string();
        for (content_type, expected) in [
            (INDEX_TYPES[0], ArtifactError::Index),
            (
                "text/html",
                ArtifactError::MediaType("text/html".to_owned()),
            ),
        ] {
            assert_eq!(
                parse(text.as_bytes(), Some(content_type), LIMIT).unwrap_err(),
                expected
            );
        }
        let error = parse(text.as_bytes(), Some("text/html"), LIMIT).unwrap_err();
        assert!(error.to_string().contains(MANIFEST_TYPE), "{error}");
    }
}
