//! One value from three places, and where it came from.

use super::file::{FileConfig, ProviderRegistry};
use super::read::read;
use super::{AuthMode, Config, ControllerKind, Problems, TlsMode};
use crate::cli::ServeArgs;
use clap::parser::ValueSource;
use opendepot_domain::Namespace;
use opendepot_plugin::PluginPolicy;
use serde_json::json;
use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Flag(String),
    Environment(String),
    File(PathBuf),
    Default,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => write!(f, "flag --{flag}"),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Default => f.write_str("default"),
        }
    }
}

/// The configuration, and for `check-config` each top-level value with its source.
#[derive(Debug)]
pub(crate) struct Settled {
    pub(crate) config: Config,
    pub(crate) values: Vec<(String, serde_json::Value, Source)>,
}

/// Picks values and remembers where they came from.
struct Picker<'a> {
    matches: Option<&'a clap::ArgMatches>,
    file_path: Option<PathBuf>,
    values: Vec<(String, serde_json::Value, Source)>,
    problems: Vec<String>,
}

impl Picker<'_> {
    /// `flag` is the clap id: the flag with underscores.
    fn pick<T: Clone + serde::Serialize>(
        &mut self,
        id: &str,
        given: Option<T>,
        file: Option<T>,
        default: Option<T>,
    ) -> Option<T> {
        let flag = id.replace('_', "-");
        let (value, source) = match (given, file) {
            (Some(value), _) => {
                let source = self.matches.and_then(|matches| matches.value_source(id));
                let source = match source {
                    Some(ValueSource::EnvVariable) => {
                        Source::Environment(format!("OPENDEPOT_{}", id.to_uppercase()))
                    }
                    _ => Source::Flag(flag),
                };
                (Some(value), source)
            }
            (None, Some(value)) => (
                Some(value),
                Source::File(self.file_path.clone().unwrap_or_default()),
            ),
            (None, None) => (default, Source::Default),
        };
        self.values.push((camel(id), json!(value), source));
        value
    }

    fn address(&mut self, id: &str, text: Option<String>) -> Option<SocketAddr> {
        let text = text?;
        // `:8080` is how Go writes it.
        let full = if text.starts_with(':') {
            format!("0.0.0.0{text}")
        } else {
            text.replace("localhost:", "127.0.0.1:")
        };
        full.parse()
            .map_err(|_| {
                let flag = id.replace('_', "-");
                self.problems.push(format!(
                    "`--{flag}`: `{text}` is not an address such as `127.0.0.1:8080`"
                ));
            })
            .ok()
    }
}

fn camel(id: &str) -> String {
    let mut parts = id.split('_');
    let mut key = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let mut letters = part.chars();
        key.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        key.extend(letters);
    }
    key
}

pub(super) fn settle(
    args: &ServeArgs,
    matches: Option<&clap::ArgMatches>,
) -> Result<Settled, Problems> {
    let mut problems = Vec::new();
    let file = match &args.config {
        Some(path) => read(path, &mut problems),
        None => FileConfig::default(),
    };
    let mut picker = Picker {
        matches,
        file_path: args.config.clone(),
        values: Vec::new(),
        problems,
    };
    let p = &mut picker;
    let a = args.clone();
    let f = file.clone();

    let listen = p.pick(
        "listen",
        a.listen,
        f.listen,
        Some("127.0.0.1:8080".to_owned()),
    );
    let listen = p.address("listen", listen);
    let admin = p.pick(
        "admin_listen",
        a.admin_listen,
        f.admin_listen,
        Some("127.0.0.1:8081".to_owned()),
    );
    let admin_listen = p.address("admin_listen", admin);
    let public_url = p.pick("public_url", a.public_url, f.public_url, None);
    let public_url = public_url.and_then(|url| check_public_url(&url, &mut p.problems));
    let data_dir = p
        .pick(
            "data_dir",
            a.data_dir,
            f.data_dir,
            Some(PathBuf::from("./opendepot-data")),
        )
        .unwrap_or_default();
    let manifests = p.pick("manifests", a.manifests, f.manifests, None);
    let manifests_prune = p
        .pick(
            "manifests_prune",
            a.manifests_prune,
            f.manifests_prune,
            Some(false),
        )
        .unwrap_or_default();
    let watch_namespace = p.pick(
        "watch_namespace",
        a.watch_namespace,
        f.watch_namespace,
        None,
    );
    let controllers = p.pick(
        "controllers",
        a.controllers,
        f.controllers,
        Some("module,provider,version".to_owned()),
    );
    let serve_registry = p
        .pick(
            "serve_registry",
            a.serve_registry,
            f.serve_registry,
            Some(true),
        )
        .unwrap_or(true);
    let plugin_dirs = p
        .pick(
            "plugin_dirs",
            a.plugin_dirs,
            f.plugin_dirs,
            Some(vec![data_dir.join("plugins")]),
        )
        .unwrap_or_default();
    let filesystem_root = p
        .pick(
            "filesystem_mount_path",
            a.filesystem_mount_path,
            f.filesystem_mount_path,
            Some(data_dir.join("artifacts")),
        )
        .unwrap_or_default();
    let tls_cert_path = p.pick("tls_cert_path", a.tls_cert_path, f.tls_cert_path, None);
    let tls_cert_key = p.pick("tls_cert_key", a.tls_cert_key, f.tls_cert_key, None);
    let dev_tls = p
        .pick("dev_tls", a.dev_tls, f.dev_tls, Some(false))
        .unwrap_or_default();
    let anonymous_auth = p.pick("anonymous_auth", a.anonymous_auth, f.anonymous_auth, None);
    let log_level = p
        .pick(
            "log_level",
            a.log_level,
            f.log_level,
            Some("info".to_owned()),
        )
        .unwrap_or_default();
    let log_format = p.pick("log_format", a.log_format, f.log_format, None);

    let problems = &mut p.problems;
    if let Some(path) = &manifests
        && !path.is_dir()
    {
        problems.push(format!(
            "`--manifests`: `{}` is not a folder",
            path.display()
        ));
    }
    if manifests_prune && manifests.is_none() {
        problems.push("`--manifests-prune` needs `--manifests`".to_owned());
    }
    if let Some(namespace) = &watch_namespace
        && let Err(error) = Namespace::new(namespace.clone())
    {
        problems.push(format!("`--watch-namespace`: {error}"));
    }
    let controllers = controller_kinds(controllers.as_deref().unwrap_or_default(), problems);
    let has_files = tls_cert_path.is_some() || tls_cert_key.is_some();
    if dev_tls && has_files {
        problems.push("`--dev-tls` and `--tls-cert-path` exclude each other".to_owned());
    }
    let tls = match (tls_cert_path, tls_cert_key) {
        (None, None) if dev_tls => TlsMode::Development,
        (None, None) => TlsMode::Off,
        (Some(certificate), Some(key)) => TlsMode::Files { certificate, key },
        _ => {
            problems.push("`--tls-cert-path` and `--tls-cert-key` go together".to_owned());
            TlsMode::Off
        }
    };
    let log_is_json = match log_format.as_deref() {
        None => None,
        Some("json") => Some(true),
        Some("text") => Some(false),
        Some(other) => {
            problems.push(format!(
                "`--log-format`: `{other}` is neither `json` nor `text`"
            ));
            None
        }
    };
    if let Err(error) = log_level.parse::<tracing_subscriber::filter::Targets>() {
        problems.push(format!("`--log-level`: `{log_level}`: {error}"));
    }
    // An address that is none is a problem of its own.
    let is_loopback = listen.is_none_or(|address| address.ip().is_loopback());
    let is_local = is_loopback && public_url.is_none();
    let auth = auth_mode(anonymous_auth, &file, is_local, &data_dir, problems);
    if let AuthMode::TokenFile(_) = &auth
        && !file.plugins.iter().any(|entry| !is_storage_builtin(entry))
    {
        problems.push(TOKENS_NEED_POLICY.to_owned());
    }
    check_file(&file, problems);

    if !p.problems.is_empty() {
        return Err(Problems(std::mem::take(&mut p.problems)));
    }
    let plugin_policy = file.plugin_policy.clone().unwrap_or(PluginPolicy {
        allow_unlisted: is_local,
        ..PluginPolicy::default()
    });
    let seconds = |value: Option<u64>, default| Duration::from_secs(value.unwrap_or(default));
    let config = Config {
        // Present: their absence was a problem.
        listen: listen.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 8080))),
        admin_listen: admin_listen.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 8081))),
        public_url,
        data_dir,
        manifests,
        manifests_prune,
        watch_namespace,
        controllers,
        serve_registry,
        plugin_dirs,
        // Absolute, so that plugins and records do not depend on where the process was started.
        filesystem_root: std::path::absolute(&filesystem_root).unwrap_or(filesystem_root),
        tls,
        auth,
        log_level,
        log_is_json,
        default_storage: file.storage.default.clone(),
        plugins: file.plugins.clone(),
        plugin_policy,
        drain_delay: seconds(file.shutdown.drain_delay_seconds, 0),
        grace: seconds(file.shutdown.grace_seconds, 60),
        download_grace: seconds(file.shutdown.download_grace_seconds, 600),
        file,
    };
    Ok(Settled {
        config,
        values: picker.values,
    })
}

const TOKENS_NEED_POLICY: &str =
    "with a token file and no auth plugin nobody may read anything; list one in the \
configuration file, such as:
plugins:
  - name: auth-groups
    source: { builtin: auth-groups }
    settings:
      rules:
        - groups: [\"readers\"]
          actions: [list-versions, read-package, download]
          namespaces: [\"*\"]
          modules: [\"*\"]
          providers: [\"*\"]";

fn is_storage_builtin(entry: &opendepot_plugin::PluginEntry) -> bool {
    matches!(&entry.source, opendepot_plugin::Source::Builtin(name) if name.as_str().starts_with("storage-"))
}

fn check_file(file: &FileConfig, problems: &mut Vec<String>) {
    for (key, value, only) in [
        (
            "apiVersion",
            &file.api_version,
            "opendepot.defdev.io/v1alpha1",
        ),
        ("kind", &file.kind, "Configuration"),
    ] {
        if value.as_deref().is_some_and(|value| value != only) {
            problems.push(format!("`{key}` must be `{only}`"));
        }
    }
    if file.scanning.trivy_path.is_some() {
        problems.push("`scanning.trivyPath` is not available yet: scanning".to_owned());
    }
    let unused = opendepot_transfer::EgressConfig::default();
    for (key, given, feature) in [
        (
            "egress.identity",
            file.egress.identity != unused,
            "identity providers",
        ),
        (
            "sources.providerRegistry.docsApiUrl",
            file.sources.provider_registry.docs_api_url != ProviderRegistry::default().docs_api_url,
            "looking up source repositories",
        ),
    ] {
        if given {
            problems.push(format!("`{key}` is not available yet: {feature}"));
        }
    }
    for (key, egress) in [
        ("egress.plugins", &file.egress.plugins),
        ("egress.storage", &file.egress.storage),
    ] {
        if let Err(error) = egress.policy() {
            problems.push(format!("`{key}`: {error}"));
        }
    }
    let default = file.storage.default.as_ref();
    if let Some(Err(error)) = default.map(|storage| storage.presign_or(None)) {
        problems.push(format!("`storage.default.presign`: {error}"));
    }
    match default.map(opendepot_crds::StorageConfig::backend) {
        Some(Err(error)) => problems.push(format!("`storage.default`: {error}")),
        Some(Ok(Some(backend))) => {
            let name = backend.plugin.as_str();
            let is_known = name == "storage-fs"
                || file
                    .plugins
                    .iter()
                    .any(|entry| entry.name == backend.plugin);
            if !is_known {
                problems.push(format!("`storage.default` names `{name}`, which is not available: no plugin of that name is listed"));
            }
        }
        _ => {}
    }
    let jobs = &file.limits.jobs;
    for (key, value) in [
        ("numFetches", jobs.num_fetches),
        ("numStores", jobs.num_stores),
    ] {
        if !(1..=64).contains(&value) {
            problems.push(format!("`limits.jobs.{key}` must be 1 to 64"));
        }
    }
    let http = &file.limits.http;
    for (key, value) in [
        ("numMetadata", http.num_metadata),
        ("numDownloads", http.num_downloads),
        ("numConnections", http.num_connections),
    ] {
        if !(1..=1_000_000).contains(&value) {
            problems.push(format!("`limits.http.{key}` must be 1 to 1000000"));
        }
    }
}

fn controller_kinds(list: &str, problems: &mut Vec<String>) -> BTreeSet<ControllerKind> {
    let mut kinds = BTreeSet::new();
    for name in list
        .split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty())
    {
        match ControllerKind::ALL
            .into_iter()
            .find(|kind| kind.as_str() == name)
        {
            Some(kind) => {
                kinds.insert(kind);
            }
            None if name == "depot" => {
                problems.push("`--controllers`: `depot` is not available yet".to_owned())
            }
            None => problems.push(format!(
                "`--controllers`: `{name}` is none of `module`, `provider`, `version`"
            )),
        }
    }
    kinds
}

fn auth_mode(
    anonymous: Option<bool>,
    file: &FileConfig,
    is_local: bool,
    data_dir: &Path,
    problems: &mut Vec<String>,
) -> AuthMode {
    let default_tokens = data_dir.join("tokens.yaml");
    match (anonymous, &file.auth.tokens_file) {
        (Some(true), Some(_)) => {
            problems.push("`--anonymous-auth` and `auth.tokensFile` exclude each other".to_owned());
            AuthMode::Anonymous { local_only: false }
        }
        (Some(true), None) => AuthMode::Anonymous { local_only: false },
        (_, Some(tokens)) => AuthMode::TokenFile(tokens.clone()),
        (Some(false), None) => AuthMode::TokenFile(default_tokens),
        (None, None) if is_local => AuthMode::Anonymous { local_only: true },
        (None, None) => {
            problems.push(
                "this registry can be reached from elsewhere, so a mode must be chosen: `--anonymous-auth` to answer \
                 everybody, or `auth.tokensFile` for tokens made with `opendepot token create`"
                    .to_owned(),
            );
            AuthMode::Anonymous { local_only: true }
        }
    }
}

fn check_public_url(text: &str, problems: &mut Vec<String>) -> Option<String> {
    let trimmed = text.trim_end_matches('/');
    let valid = trimmed
        .strip_prefix("https://")
        .or_else(|| trimmed.strip_prefix("http://"))
        .is_some_and(|rest| {
            !rest.is_empty()
                && rest
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"-.:[]".contains(&b))
        });
    if !valid {
        problems.push(format!(
            "`--public-url`: `{text}` is not an origin such as `https://registry.example.com`"
        ));
        return None;
    }
    Some(trimmed.to_owned())
}
