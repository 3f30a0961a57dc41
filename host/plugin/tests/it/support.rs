//! Plugin folders in a temporary directory, and hosts over them.

use opendepot_domain::access::Labels;
use opendepot_domain::{
    Artifact, ArtifactId, ArtifactKind, ArtifactRecord, Authentication, ConfigName, FileName,
    Namespace, PluginId, ResourceName, Sha256, Subject, Target, Version,
};
use opendepot_plugin::{
    CompileConfig, Error, GrantsConfig, HostConfig, HttpSender, Limits, PluginEntry, PluginHost,
    PluginPolicy, PluginState, Services, Source,
};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, Once};

pub(crate) struct Site {
    dir: tempfile::TempDir,
    pub(crate) config: HostConfig,
}

impl Site {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for folder in ["builtin", "plugins", "secrets", "root"] {
            std::fs::create_dir(dir.path().join(folder)).unwrap();
        }
        let config = HostConfig {
            entries: Vec::new(),
            builtin_dir: dir.path().join("builtin"),
            plugin_dirs: vec![dir.path().join("plugins")],
            policy: PluginPolicy {
                secrets_dir: Some(dir.path().join("secrets")),
                ..PluginPolicy::default()
            },
            // Tests share their machine; only what measures the deadline keeps to 50 ms.
            limits: Limits {
                auth_timeout: std::time::Duration::from_secs(1),
                ..Limits::default()
            },
            filesystem_root: dir.path().join("root"),
            compile: CompileConfig::default(),
        };
        Self { dir, config }
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Writes a plugin folder; returns its path.
    pub(crate) fn folder(&self, name: &str, world: &str, component: &[u8]) -> PathBuf {
        self.folder_needing(name, world, component, "{}")
    }

    pub(crate) fn folder_needing(
        &self,
        name: &str,
        world: &str,
        wasm: &[u8],
        needs: &str,
    ) -> PathBuf {
        let folder = self.dir.path().join("plugins").join(name);
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("plugin.wasm"), wasm).unwrap();
        let manifest = format!(
            "apiVersion: opendepot.defdev.io/v1alpha1\nkind: Plugin\n\
             metadata: {{ name: {name}, version: 1.0.0 }}\n\
             spec:\n  world: {world}\n  needs: {needs}\n"
        );
        std::fs::write(folder.join("plugin.yaml"), manifest).unwrap();
        folder
    }

    /// Writes a folder and lists it with its digest.
    pub(crate) fn plugin(&mut self, name: &str, world: &str, component: &[u8]) -> &mut PluginEntry {
        self.plugin_needing(name, world, component, "{}")
    }

    pub(crate) fn plugin_needing(
        &mut self,
        name: &str,
        world: &str,
        component: &[u8],
        needs: &str,
    ) -> &mut PluginEntry {
        let folder = self.folder_needing(name, world, component, needs);
        self.config
            .entries
            .push(entry(name, folder, Some(Sha256::of(component))));
        self.config.entries.last_mut().unwrap()
    }

    pub(crate) fn secret(&self, name: &str, content: &str) {
        std::fs::write(self.dir.path().join("secrets").join(name), content).unwrap();
    }

    pub(crate) async fn host(&self) -> PluginHost {
        self.try_host().await.unwrap()
    }

    pub(crate) async fn try_host(&self) -> Result<PluginHost, Error> {
        PluginHost::load(self.config.clone()).await
    }

    pub(crate) async fn host_with(&self, http: Arc<dyn HttpSender>) -> PluginHost {
        PluginHost::load_with(
            self.config.clone(),
            Services {
                http: Some(http),
                ..Services::default()
            },
        )
        .await
        .unwrap()
    }
}

pub(crate) fn entry(name: &str, folder: PathBuf, sha256: Option<Sha256>) -> PluginEntry {
    PluginEntry {
        name: id(name),
        source: Source::Folder(folder),
        sha256,
        order: 100,
        settings: serde_json::Value::Null,
        grants: GrantsConfig::default(),
    }
}

pub(crate) fn grants(yaml: &str) -> GrantsConfig {
    serde_json::from_value(serde_saphyr::from_str(yaml).unwrap()).unwrap()
}

pub(crate) fn id(name: &str) -> PluginId {
    PluginId::new(name).unwrap()
}

/// Why a plugin does not serve; `None` when it does.
pub(crate) fn failure(host: &PluginHost, name: &str) -> Option<String> {
    let infos = host.describe();
    let info = infos.iter().find(|info| info.name.as_str() == name);
    match &info.unwrap_or_else(|| panic!("no `{name}`")).state {
        PluginState::Serving => None,
        PluginState::Failed(reason) => Some(reason.clone()),
        other => panic!("{other:?}"),
    }
}

pub(crate) fn subject() -> Subject {
    Subject {
        authentication: Authentication::Oidc,
        issuer: "https://issuer.test".into(),
        name: "ann".into(),
        groups: vec!["dev".into(), "ops".into()],
        claims: r#"{"email":"ann@issuer.test"}"#.into(),
        client_address: "192.0.2.1".into(),
    }
}

pub(crate) fn targets(count: usize) -> Vec<Target> {
    (0..count)
        .map(|index| Target {
            namespace: Namespace::new("default").unwrap(),
            kind: ArtifactKind::Module,
            name: ResourceName::new(format!("module-{index}")).unwrap(),
            version: Some(Version::parse("1.2.3").unwrap()),
            platform: None,
            labels: Labels::default(),
        })
        .collect()
}

pub(crate) fn artifact() -> Artifact {
    Artifact {
        id: ArtifactId {
            namespace: Namespace::new("default").unwrap(),
            kind: ArtifactKind::Module,
            name: ResourceName::new("vpc").unwrap(),
            version: Version::parse("1.2.3").unwrap(),
            platform: None,
        },
        config_name: ConfigName::new("terraform-aws-vpc").unwrap(),
        file_name: FileName::new("x.zip").unwrap(),
        media_type: "application/zip".into(),
        size: 3,
        sha256: Sha256::of(b"abc"),
    }
}

pub(crate) fn record(plugin: &str, store: &str, key: &str) -> ArtifactRecord {
    ArtifactRecord {
        plugin: id(plugin),
        store: store.into(),
        key: key.into(),
        file_name: FileName::new("x.zip").unwrap(),
        media_type: "application/zip".into(),
        size: 3,
        sha256: Sha256::of(b"abc"),
    }
}

/// The plugins that somebody listens to, and what was logged under their names.
static HEARD: Mutex<Vec<(&str, Vec<u8>)>> = Mutex::new(Vec::new());

/// What is logged under a plugin's name while it lives, on whichever thread: a call that takes long
/// changes it. No two tests may listen to one name.
pub(crate) struct Log(&'static str);

/// Gets whole lines.
struct Listener;

impl Write for Listener {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        for (plugin, text) in HEARD.lock().unwrap().iter_mut() {
            let name = format!("\"plugin.name\":\"{plugin}\"");
            if String::from_utf8_lossy(line).contains(&name) {
                text.extend_from_slice(line);
            }
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    pub(crate) fn of(plugin: &'static str) -> Self {
        // One for all threads: what the first thread to log finds is remembered for the others.
        static START: Once = Once::new();
        START.call_once(|| {
            let subscriber = tracing_subscriber::fmt()
                .json()
                .with_max_level(tracing::Level::TRACE)
                .with_writer(|| Listener)
                .finish();
            tracing::subscriber::set_global_default(subscriber).unwrap();
        });
        HEARD.lock().unwrap().push((plugin, Vec::new()));
        Self(plugin)
    }

    pub(crate) fn text(&self) -> String {
        let heard = HEARD.lock().unwrap();
        let (_, text) = heard.iter().find(|(plugin, _)| *plugin == self.0).unwrap();
        String::from_utf8(text.clone()).unwrap()
    }

    /// The lines whose message begins like this; each names the plugin's digest.
    pub(crate) fn lines(&self, message: &str) -> Vec<serde_json::Value> {
        let text = self.text();
        let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
        let found: Vec<serde_json::Value> = lines
            .filter(|line: &serde_json::Value| {
                let said = line["fields"]["message"].as_str();
                said.is_some_and(|said| said.starts_with(message))
            })
            .collect();
        for line in &found {
            let digest = line["fields"]["plugin.digest"].as_str();
            assert!(digest.is_some_and(|digest| digest.len() == 64), "{line}");
        }
        found
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        HEARD
            .lock()
            .unwrap()
            .retain(|(plugin, _)| *plugin != self.0);
    }
}
