//! What is published for a measurement: the same bytes in every run.

use super::subject::NAMESPACE;
use anyhow::{Context, Result};
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::fs;
use std::io::{BufWriter, Read as _, Write as _};
use std::path::Path;
use zip::write::SimpleFileOptions;

/// Bytes of content made at a time.
const BLOCK: usize = 64 << 10;
/// Of each 1000 bytes of a large provider, those that do not compress.
const NOISE_PER_MILLE: usize = 163;

/// The resource of a module whose folder sources are under `src/NAME/`, with these versions.
pub(super) fn module_yaml(name: &str, versions: &[String]) -> String {
    let mut yaml = format!(
        "apiVersion: opendepot.defdev.io/v1alpha1\nkind: Module\nmetadata:\n  name: {name}\n  \
         namespace: {NAMESPACE}\nspec:\n  moduleConfig:\n    provider: local\n    source:\n      \
         path: \"src/{name}/{{version}}\"\n  versions:\n"
    );
    for version in versions {
        // Writing to a String cannot fail.
        let _written = writeln!(yaml, "    - version: {version}");
    }
    yaml
}

/// Writes the folder of one version of a module: one small file.
pub(super) fn write_module_source(manifests: &Path, name: &str, version: &str) -> Result<()> {
    let dir = manifests.join("src").join(name).join(version);
    fs::create_dir_all(&dir)?;
    let text = format!("output \"version\" {{\n  value = \"{name} {version}\"\n}}\n");
    Ok(fs::write(dir.join("main.tf"), text)?)
}

/// Puts a resource where the server looks, at once and not in pieces.
pub(super) fn place(file: &Path, yaml: &str) -> Result<()> {
    let partial = file.with_extension("partial");
    fs::write(&partial, yaml)?;
    fs::rename(&partial, file).with_context(|| format!("cannot write `{}`", file.display()))
}

/// The resource of a provider with one platform whose release folders are under `dist/NAME/`.
pub(super) fn provider_yaml(name: &str, versions: &[String]) -> String {
    let mut yaml = format!(
        "apiVersion: opendepot.defdev.io/v1alpha1\nkind: Provider\nmetadata:\n  name: {name}\n  \
         namespace: {NAMESPACE}\nspec:\n  providerConfig:\n    name: {name}\n    \
         operatingSystems: [linux]\n    architectures: [amd64]\n    source:\n      \
         path: \"dist/{name}/{{version}}\"\n  versions:\n"
    );
    for version in versions {
        let _written = writeln!(yaml, "    - version: {version}");
    }
    yaml
}

/// Writes a provider: release folders whose program has `size` bytes that do not compress, and
/// the resource.
pub(super) fn write_provider(
    manifests: &Path,
    name: &str,
    versions: &[String],
    size: usize,
) -> Result<()> {
    for (seed, version) in versions.iter().enumerate() {
        let dir = manifests.join("dist").join(name).join(version);
        let mut noise = Noise::new(seed as u64);
        write_release(
            &dir,
            name,
            version,
            size,
            zip::CompressionMethod::Stored,
            |block| {
                noise.fill(block);
            },
        )?;
    }
    place(
        &manifests.join(format!("{name}.yaml")),
        &provider_yaml(name, versions),
    )
}

/// Writes one release folder whose program has `size` bytes and packs to about a fifth of that.
pub(super) fn write_large_release(
    dir: &Path,
    name: &str,
    version: &str,
    size: usize,
) -> Result<()> {
    let mut noise = Noise::new(size as u64);
    let mut line = 0_u64;
    write_release(
        dir,
        name,
        version,
        size,
        zip::CompressionMethod::Deflated,
        |block| {
            let (random, text) = block.split_at_mut(block.len() * NOISE_PER_MILLE / 1000);
            noise.fill(random);
            let mut rest = text;
            while !rest.is_empty() {
                line += 1;
                let words = format!("symbol_{line:08} refers to section .text of the program;\n");
                let len = words.len().min(rest.len());
                let (now, later) = rest.split_at_mut(len);
                now.copy_from_slice(words.as_bytes().get(..len).unwrap_or_default());
                rest = later;
            }
        },
    )
}

fn write_release(
    dir: &Path,
    name: &str,
    version: &str,
    size: usize,
    method: zip::CompressionMethod,
    mut fill: impl FnMut(&mut [u8]),
) -> Result<()> {
    fs::create_dir_all(dir)?;
    let file = format!("terraform-provider-{name}_{version}_linux_amd64.zip");
    let options = SimpleFileOptions::default()
        .compression_method(method)
        .unix_permissions(0o755);
    let mut zip = zip::ZipWriter::new(BufWriter::new(fs::File::create(dir.join(&file))?));
    zip.start_file(format!("terraform-provider-{name}_v{version}"), options)?;
    let mut block = vec![0_u8; BLOCK];
    let mut left = size;
    while left > 0 {
        block.truncate(left);
        fill(&mut block);
        zip.write_all(&block)?;
        left -= block.len();
    }
    zip.finish()?.flush()?;
    let sums = format!("terraform-provider-{name}_{version}_SHA256SUMS");
    let digest = digest(&dir.join(&file))?;
    Ok(fs::write(dir.join(sums), format!("{digest}  {file}\n"))?)
}

fn digest(file: &Path) -> Result<String> {
    let mut file = fs::File::open(file)?;
    let mut block = vec![0_u8; BLOCK];
    let mut hash = Sha256::new();
    loop {
        let read = file.read(&mut block)?;
        if read == 0 {
            return Ok(hex::encode(hash.finalize()));
        }
        hash.update(block.get(..read).unwrap_or_default());
    }
}

/// Bytes that do not compress (xorshift64*).
struct Noise(u64);

impl Noise {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(2).wrapping_add(1))
    }

    fn fill(&mut self, bytes: &mut [u8]) {
        for word in bytes.chunks_mut(8) {
            self.0 ^= self.0 >> 12;
            self.0 ^= self.0 << 25;
            self.0 ^= self.0 >> 27;
            let random = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D).to_le_bytes();
            for (byte, value) in word.iter_mut().zip(random) {
                *byte = value;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_release_packs_to_about_a_fifth_and_is_the_same_each_time() {
        let dir = tempfile::tempdir().unwrap();
        let read = |sub: &str| {
            let release = dir.path().join(sub);
            write_large_release(&release, "big", "1.0.0", 1_000_000).unwrap();
            fs::read(release.join("terraform-provider-big_1.0.0_linux_amd64.zip")).unwrap()
        };
        let packed = read("a");
        assert!(
            (150_000..280_000).contains(&packed.len()),
            "{}",
            packed.len()
        );
        assert_eq!(packed, read("b"));
    }
}
