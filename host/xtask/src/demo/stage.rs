//! The folder that a demo runs in: manifests with their sources, a client's configuration, data.

use anyhow::{Context, Result};
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

/// Where the demo's provider comes from.
pub(super) enum Provider {
    /// Release folders, one a version.
    Built(PathBuf),
    /// A public registry.
    Mirrored,
}

/// A prepared folder.
pub(super) struct Stage {
    dir: PathBuf,
    port: u16,
    is_mirrored: bool,
}

impl Stage {
    /// Fills `dir`, which is emptied first.
    pub(super) fn prepare(root: &Path, dir: &Path, provider: &Provider, port: u16) -> Result<Self> {
        let examples = root.join("examples");
        if dir.exists() {
            fs::remove_dir_all(dir).with_context(|| format!("cannot empty `{}`", dir.display()))?;
        }
        let stage = Self {
            dir: dir.to_owned(),
            port,
            is_mirrored: matches!(provider, Provider::Mirrored),
        };
        let manifests = stage.manifests();
        copy(&examples.join("module"), &manifests.join("module"))?;
        copy(
            &examples.join("resources/greeting.yaml"),
            &manifests.join("greeting.yaml"),
        )?;
        match provider {
            Provider::Built(releases) => {
                copy(releases, &manifests.join("dist/example"))?;
                copy(
                    &examples.join("resources/example.yaml"),
                    &manifests.join("example.yaml"),
                )?;
                copy(&examples.join("client"), &stage.client())?;
            }
            Provider::Mirrored => {
                copy(&examples.join("resources-mirrored"), &manifests)?;
                copy(&examples.join("client-mirrored"), &stage.client())?;
            }
        }
        // The example's addresses name the default port.
        let main = stage.client().join("main.tf");
        let text = fs::read_to_string(&main)?;
        fs::write(
            &main,
            text.replace("127.0.0.1:8443", &stage.address().to_string()),
        )?;
        Ok(stage)
    }

    /// The registry's address.
    pub(super) fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// The admin address: the next port.
    pub(super) fn admin_address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port.saturating_add(1)).into()
    }

    /// The watched folder.
    pub(super) fn manifests(&self) -> PathBuf {
        self.dir.join("manifests")
    }

    /// The configuration that uses what is published.
    pub(super) fn client(&self) -> PathBuf {
        self.dir.join("client")
    }

    /// The server's data dir.
    pub(super) fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    /// The development CA's certificate; it is there once the server is ready.
    pub(super) fn ca(&self) -> PathBuf {
        self.data().join("tls/ca.pem")
    }

    /// What the server prints.
    pub(super) fn log(&self) -> PathBuf {
        self.dir.join("opendepot.log")
    }

    /// The version lists to wait for: path, where the list is in the answer, how many entries.
    pub(super) fn lists(&self) -> [(&'static str, &'static str, usize); 2] {
        let module = (
            "/opendepot/modules/v1/demo/greeting/local/versions",
            "/modules/0/versions",
            2,
        );
        if self.is_mirrored {
            [
                module,
                ("/opendepot/providers/v1/demo/null/versions", "/versions", 1),
            ]
        } else {
            [
                module,
                (
                    "/opendepot/providers/v1/demo/example/versions",
                    "/versions",
                    2,
                ),
            ]
        }
    }

    /// What is published, for people.
    pub(super) fn published(&self) -> [String; 2] {
        let address = self.address();
        let (provider, versions) = if self.is_mirrored {
            ("null", "3.2.4, mirrored")
        } else {
            ("example", "1.0.0 and 1.1.0")
        };
        [
            format!("module {address}/demo/greeting/local 1.0.0 and 1.1.0"),
            format!("provider {address}/demo/{provider} {versions}"),
        ]
    }
}

/// Copies a file, or a folder with all that is in it.
fn copy(from: &Path, to: &Path) -> Result<()> {
    let context = || format!("cannot copy `{}` to `{}`", from.display(), to.display());
    if from.is_dir() {
        fs::create_dir_all(to).with_context(context)?;
        for entry in fs::read_dir(from).with_context(context)? {
            let entry = entry.with_context(context)?;
            copy(&entry.path(), &to.join(entry.file_name()))?;
        }
        return Ok(());
    }
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent).with_context(context)?;
    }
    fs::copy(from, to).with_context(context)?;
    Ok(())
}
