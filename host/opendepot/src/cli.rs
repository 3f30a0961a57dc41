//! The command line. Names are contract.md section 2's.

use clap::{Args, Parser, Subcommand};
use opendepot_domain::{Action, Target};
use std::net::IpAddr;
use std::path::PathBuf;

/// A private registry for OpenTofu and Terraform modules and providers.
///
/// `opendepot serve --manifests DIR` publishes what the resources in DIR declare, on loopback,
/// with no other service. Everything that it keeps is under --data-dir.
#[derive(Debug, Parser)]
#[command(
    name = "opendepot",
    version,
    propagate_version = true,
    max_term_width = 100
)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What the binary does.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the registry and its controllers.
    Serve(Box<ServeArgs>),
    /// Print the effective configuration and where each value came from, and check it.
    CheckConfig(Box<ServeArgs>),
    /// Print the CustomResourceDefinitions.
    Crds,
    /// Manage the token file.
    #[command(subcommand)]
    Token(TokenCommand),
    /// For authors of plugins.
    #[command(subcommand)]
    Plugin(PluginCommand),
    /// Ask the auth plugins.
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// List every resource with its state, and what of the manifests folder cannot be applied.
    ///
    /// Exit code 0 when everything is ready, 1 when something is not. Versions that a Module or
    /// Provider owns count through it.
    Status(StatusArgs),
    /// Set (KEY=VALUE) or remove (KEY-) annotations of a resource, as `kubectl annotate` does.
    Annotate(AnnotateArgs),
    /// Hash every stored artifact again and compare with what its Version records.
    Verify(Box<VerifyArgs>),
    /// Print the version.
    Version,
}

/// Flags of `serve` and `check-config`. Each has an environment variable `OPENDEPOT_…` and a
/// camel-case key in the configuration file; a flag wins over the environment, the environment
/// over the file.
#[derive(Debug, Default, Clone, Args)]
pub(crate) struct ServeArgs {
    /// YAML configuration file.
    #[arg(long, env = "OPENDEPOT_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Address of the registry [default: 127.0.0.1:8080].
    #[arg(long, env = "OPENDEPOT_LISTEN", value_name = "ADDRESS")]
    pub(crate) listen: Option<String>,
    /// Address of health, metrics and version [default: 127.0.0.1:8081].
    #[arg(long, env = "OPENDEPOT_ADMIN_LISTEN", value_name = "ADDRESS")]
    pub(crate) admin_listen: Option<String>,
    /// Base of the URLs in answers; without it they are path-absolute, which clients resolve.
    #[arg(long, env = "OPENDEPOT_PUBLIC_URL", value_name = "URL")]
    pub(crate) public_url: Option<String>,
    /// Everything that is kept: store, artifacts, keys, temp files [default: ./opendepot-data].
    #[arg(long, env = "OPENDEPOT_DATA_DIR", value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Folder of YAML resources to apply and watch.
    #[arg(long, env = "OPENDEPOT_MANIFESTS", value_name = "DIR")]
    pub(crate) manifests: Option<PathBuf>,
    /// Whether removing a resource from the manifests folder deletes it.
    #[arg(long, env = "OPENDEPOT_MANIFESTS_PRUNE", num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    pub(crate) manifests_prune: Option<bool>,
    /// Only this namespace is watched and served [default: all].
    #[arg(long, env = "OPENDEPOT_WATCH_NAMESPACE", value_name = "NAMESPACE")]
    pub(crate) watch_namespace: Option<String>,
    /// Controllers that run here, comma-separated: module, provider, version; empty for none
    /// [default: all].
    #[arg(long, env = "OPENDEPOT_CONTROLLERS", value_name = "LIST")]
    pub(crate) controllers: Option<String>,
    /// Whether this process answers the registry [default: true].
    #[arg(long, env = "OPENDEPOT_SERVE_REGISTRY", num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    pub(crate) serve_registry: Option<bool>,
    /// Folder whose subfolders are plugins; repeatable [default: DATA_DIR/plugins].
    #[arg(
        long = "plugin-dir",
        env = "OPENDEPOT_PLUGIN_DIR",
        value_delimiter = ',',
        value_name = "DIR"
    )]
    pub(crate) plugin_dirs: Option<Vec<PathBuf>>,
    /// Root of the filesystem backend [default: DATA_DIR/artifacts].
    #[arg(long, env = "OPENDEPOT_FILESYSTEM_MOUNT_PATH", value_name = "DIR")]
    pub(crate) filesystem_mount_path: Option<PathBuf>,
    /// PEM certificate chain; with --tls-cert-key the registry speaks TLS.
    #[arg(long, env = "OPENDEPOT_TLS_CERT_PATH", value_name = "FILE")]
    pub(crate) tls_cert_path: Option<PathBuf>,
    /// PEM private key of the certificate.
    #[arg(long, env = "OPENDEPOT_TLS_CERT_KEY", value_name = "FILE")]
    pub(crate) tls_cert_key: Option<PathBuf>,
    /// TLS with a development CA made under DATA_DIR/tls; clients trust DATA_DIR/tls/ca.pem.
    #[arg(long, env = "OPENDEPOT_DEV_TLS", num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    pub(crate) dev_tls: Option<bool>,
    /// Answer everybody without a credential, wherever they come from.
    #[arg(long, env = "OPENDEPOT_ANONYMOUS_AUTH", num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    pub(crate) anonymous_auth: Option<bool>,
    /// What is logged: a level, or tracing directives such as `info,opendepot::request=warn`
    /// [default: info].
    #[arg(long, env = "OPENDEPOT_LOG_LEVEL", value_name = "DIRECTIVES")]
    pub(crate) log_level: Option<String>,
    /// `json` or `text` [default: text on a terminal, else json].
    #[arg(long, env = "OPENDEPOT_LOG_FORMAT", value_name = "FORMAT")]
    pub(crate) log_format: Option<String>,
}

/// `opendepot token …`.
#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Create a token and print it, once. Only its digest is kept.
    Create {
        /// The token's name.
        #[arg(long)]
        name: String,
        /// A group that the token's holder is in; repeatable. Auth plugins grant to groups.
        #[arg(long = "group", value_name = "GROUP")]
        groups: Vec<String>,
        /// Days until it expires; without it, it does not.
        #[arg(long, value_name = "DAYS")]
        expires_in_days: Option<u32>,
        /// Where the token file is.
        #[command(flatten)]
        file: TokenFileArgs,
    },
    /// List tokens: name, groups, expiry.
    List {
        /// Where the token file is.
        #[command(flatten)]
        file: TokenFileArgs,
    },
    /// Revoke a token by name. A running registry refuses it within two seconds.
    Revoke {
        /// The token's name.
        #[arg(long)]
        name: String,
        /// Where the token file is.
        #[command(flatten)]
        file: TokenFileArgs,
    },
}

/// `opendepot plugin …`.
#[derive(Debug, Subcommand)]
pub(crate) enum PluginCommand {
    /// Write a folder that builds to a plugin and passes its tests as it is.
    ///
    /// Needs no network and no clone: SDK and contract come out of this binary.
    New(PluginNewArgs),
    /// Build a plugin's folder, and put what a registry loads into its folder `dist`.
    ///
    /// For Rust it finds a compiler for WebAssembly or installs one, and says what and where before
    /// it does. For JavaScript and Python it runs what the folder pins, once that is installed.
    Build(PluginBuildArgs),
    /// Say what a plugin is and asks for, and whether a registry would load it.
    ///
    /// Compiles the component and calls its `validate`, and `prepare` of an auth plugin, under the
    /// limits of a registry. Exit code 0 when it would be loaded, 1 with the reason when not.
    Check(PluginCheckArgs),
    /// Call one function of a built plugin with JSON, under the limits of a registry.
    ///
    /// The input is an object with the function's arguments by the names of the WIT text: records
    /// are objects, a case is its name or {"case": payload}, bytes are base64 text, an option is
    /// null or left out. Arguments that are left out are those that --example prints; `state` is
    /// then what `prepare` answers for `bindings`, and `placement` where `locate` puts the
    /// artifact. The answer, {"ok": …} or {"err": …}, goes to standard output; time, memory and
    /// what the plugin logs go to standard error. No request leaves: `http.send` answers `denied`.
    /// Settings are not validated first, and plans and
    /// judgements are not held against the grants. Exit code 0 for `ok`, 1 for anything else.
    Run(PluginRunArgs),
    /// Try a built plugin against what its world demands of it.
    ///
    /// Prints a line a check. Nothing is sent anywhere; what a storage plugin plans for files is done
    /// in a temporary folder. Exit code
    /// 0 when every check passes, 1 when one fails.
    Test(PluginTestArgs),
}

/// Flags of `plugin new`.
#[derive(Debug, Clone, Args)]
pub(crate) struct PluginNewArgs {
    /// The plugin's name, and its folder's: lower-case letters, digits and inner hyphens.
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// What it decides: who may do what (auth), what a scan report means (scan), where artifacts
    /// live (storage).
    #[arg(long, value_enum, value_name = "WORLD")]
    pub(crate) world: PluginWorld,
    /// What it is written in.
    #[arg(long, value_enum, default_value_t, value_name = "LANGUAGE")]
    pub(crate) lang: PluginLanguage,
    /// The folder that its folder is made in.
    #[arg(long, default_value = ".", value_name = "PARENT")]
    pub(crate) dir: PathBuf,
}

/// The world of a new plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum PluginWorld {
    /// Who may do what.
    Auth,
    /// What a scan report means.
    Scan,
    /// Where artifacts live.
    Storage,
}

/// The language of a new plugin.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum PluginLanguage {
    /// 30 to 100 KB, microseconds a call.
    #[default]
    Rust,
    /// 12 MB, under a millisecond a call; needs Node.js.
    Js,
    /// 18 MB, a millisecond a call; needs Python.
    Python,
}

/// Flags of `plugin build`.
#[derive(Debug, Clone, Args)]
pub(crate) struct PluginBuildArgs {
    /// The folder with `plugin.yaml` and the sources.
    #[arg(default_value = ".", value_name = "DIR")]
    pub(crate) folder: PathBuf,
    /// Where cargo builds [default: DIR/target]. Plugins that share one compile the SDK once.
    #[arg(long, env = "CARGO_TARGET_DIR", value_name = "DIR")]
    pub(crate) target_dir: Option<PathBuf>,
}

/// Flags of `plugin run`.
#[derive(Debug, Clone, Args)]
pub(crate) struct PluginRunArgs {
    /// The folder with `plugin.yaml` and the component, or the component alone.
    #[arg(value_name = "DIR|FILE")]
    pub(crate) plugin: PathBuf,
    /// validate, prepare or authorize (auth); validate or process (scan); validate, locate or plan
    /// (storage).
    #[arg(value_name = "FUNCTION")]
    pub(crate) function: String,
    /// A JSON file with the arguments; `-` is standard input.
    #[arg(long, value_name = "FILE")]
    pub(crate) input: Option<PathBuf>,
    /// A YAML file with the operator's settings, over those of `plugin.yaml`.
    #[arg(long, value_name = "FILE")]
    pub(crate) settings: Option<PathBuf>,
    /// A YAML file with what an entry has under `grants`; without it nothing is granted.
    #[arg(long, value_name = "FILE")]
    pub(crate) grants: Option<PathBuf>,
    /// The folder of the secrets that --grants names.
    #[arg(long, value_name = "DIR")]
    pub(crate) secrets_dir: Option<PathBuf>,
    /// Print an input to begin with, and call nothing.
    #[arg(long, conflicts_with = "input")]
    pub(crate) example: bool,
}

/// Flags of `plugin test`.
#[derive(Debug, Clone, Args)]
pub(crate) struct PluginTestArgs {
    /// The folder with `plugin.yaml` and the component.
    #[arg(value_name = "DIR")]
    pub(crate) plugin: PathBuf,
    /// A YAML file with the operator's settings, over those of `plugin.yaml`.
    #[arg(long, value_name = "FILE")]
    pub(crate) settings: Option<PathBuf>,
    /// A YAML file with what an entry has under `grants`; without it a storage plugin is granted
    /// the stores and hosts that it names.
    #[arg(long, value_name = "FILE")]
    pub(crate) grants: Option<PathBuf>,
    /// The folder of the secrets that --grants names.
    #[arg(long, value_name = "DIR")]
    pub(crate) secrets_dir: Option<PathBuf>,
    /// Print the checks as one JSON document.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Flags of `plugin check`.
#[derive(Debug, Clone, Args)]
pub(crate) struct PluginCheckArgs {
    /// The folder with `plugin.yaml` and the component, or the component alone.
    #[arg(value_name = "DIR|FILE")]
    pub(crate) folder: PathBuf,
    /// A YAML file with the operator's settings, over those of `plugin.yaml`.
    #[arg(long, value_name = "FILE")]
    pub(crate) settings: Option<PathBuf>,
}

/// `opendepot policy …`.
#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// Show what each auth plugin answers to one question, and what the answers come to.
    ///
    /// Loads the plugins as `serve` with the same flags would, with the GroupBindings of the data
    /// directory, and asks. Nothing is fetched or changed. Exit code 0 when it is allowed, 1 when
    /// it is denied. A running registry may hold an older answer for five seconds.
    Explain(Box<ExplainArgs>),
}

/// Flags of `policy explain`.
#[derive(Debug, Clone, Args)]
pub(crate) struct ExplainArgs {
    /// The caller's name: a token's. Where callers need no credential, leave it out.
    #[arg(long, value_name = "NAME")]
    pub(crate) subject: Option<String>,
    /// A group of the caller; repeatable [default: the groups of the token named].
    #[arg(long = "group", value_name = "GROUP")]
    pub(crate) groups: Vec<String>,
    /// What is asked for: list-versions, read-package, download, browse, publish, administer.
    #[arg(long, value_name = "ACTION", value_parser = crate::policy::parse_action)]
    pub(crate) action: Action,
    /// Of what: KIND/NAMESPACE/NAME[@VERSION[/OS_ARCH]], such as `module/demo/hello@1.0.0`.
    #[arg(long, value_name = "TARGET", value_parser = crate::policy::parse_target)]
    pub(crate) target: Target,
    /// Where the caller is.
    #[arg(long, default_value = "127.0.0.1", value_name = "ADDRESS")]
    pub(crate) client_address: IpAddr,
    /// When, as in `2026-12-24T18:00:00Z` [default: now].
    #[arg(long, value_name = "TIME")]
    pub(crate) at: Option<jiff::Timestamp>,
    /// The flags that the registry runs with.
    #[command(flatten)]
    pub(crate) serve: ServeArgs,
}

/// Where the token file is.
#[derive(Debug, Clone, Args)]
pub(crate) struct TokenFileArgs {
    /// The data directory, whose tokens.yaml it is.
    #[arg(
        long,
        env = "OPENDEPOT_DATA_DIR",
        default_value = "./opendepot-data",
        value_name = "DIR"
    )]
    pub(crate) data_dir: PathBuf,
    /// The token file itself.
    #[arg(long, value_name = "FILE")]
    pub(crate) tokens_file: Option<PathBuf>,
}

impl TokenFileArgs {
    /// The file named, or the data directory's.
    #[must_use]
    pub(crate) fn path(&self) -> PathBuf {
        self.tokens_file
            .clone()
            .unwrap_or_else(|| self.data_dir.join("tokens.yaml"))
    }
}

fn go_duration(text: &str) -> Result<std::time::Duration, String> {
    opendepot_crds::parse_go_duration(text).map_err(|error| error.to_string())
}

/// Flags of `verify`.
#[derive(Debug, Clone, Args)]
pub(crate) struct VerifyArgs {
    /// Fetch again what is missing or damaged, and adopt records whose seal is not ours.
    #[arg(long)]
    pub(crate) repair: bool,
    /// Also list what lies beside recorded artifacts and no Version records.
    #[arg(long)]
    pub(crate) orphans: bool,
    /// Remove those of them that this registry named and that are older than `--grace`. What
    /// `deletion-policy: Retain` kept is among them.
    #[arg(long, requires = "orphans")]
    pub(crate) collect: bool,
    /// How old an orphan has to be.
    #[arg(long, default_value = "24h", value_name = "DURATION", value_parser = go_duration)]
    pub(crate) grace: std::time::Duration,
    /// The flags that the registry runs with.
    #[command(flatten)]
    pub(crate) serve: ServeArgs,
}

/// Flags of `status`.
#[derive(Debug, Clone, Args)]
pub(crate) struct StatusArgs {
    /// Only this namespace.
    #[arg(long, short, value_name = "NAMESPACE")]
    pub(crate) namespace: Option<String>,
    /// Lists the Versions that are ready as well.
    #[arg(long)]
    pub(crate) all: bool,
    /// The registry's data directory.
    #[arg(
        long,
        env = "OPENDEPOT_DATA_DIR",
        default_value = "./opendepot-data",
        value_name = "DIR"
    )]
    pub(crate) data_dir: PathBuf,
}

/// Flags of `annotate`.
#[derive(Debug, Clone, Args)]
pub(crate) struct AnnotateArgs {
    /// The resource: KIND/NAME, such as `version/hello-1-0-0`.
    #[arg(value_name = "KIND/NAME")]
    pub(crate) target: String,
    /// KEY=VALUE sets an annotation, KEY- removes it.
    #[arg(required = true, value_name = "KEY=VALUE")]
    pub(crate) annotations: Vec<String>,
    /// The resource's namespace.
    #[arg(long, short, default_value = "default", value_name = "NAMESPACE")]
    pub(crate) namespace: String,
    /// The registry's data directory.
    #[arg(
        long,
        env = "OPENDEPOT_DATA_DIR",
        default_value = "./opendepot-data",
        value_name = "DIR"
    )]
    pub(crate) data_dir: PathBuf,
}
