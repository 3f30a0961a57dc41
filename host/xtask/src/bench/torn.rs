//! A stored file that somebody else truncates while it is served.

use super::Run;
use super::content::write_provider;
use super::figure::Figure;
use super::subject::{Listed, Subject, archive_path};
use crate::http;
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

const NAME: &str = "torn";
/// More than the buffers of both ends hold, so that the server is still reading.
const BYTES: usize = 50_000_000;
/// What the client has before the file is cut, and what is left of the file.
const KEPT: u64 = 1 << 20;
/// The client's pause after each piece.
const PAUSE: Duration = Duration::from_millis(2);

/// In a folder of its own: the file is damaged afterwards.
pub(super) async fn measure(run: &Run) -> Result<Figure> {
    let dir = tempfile::Builder::new()
        .prefix("opendepot-bench-")
        .tempdir()?;
    let manifests = dir.path().join("manifests");
    fs::create_dir(&manifests)?;
    write_provider(&manifests, NAME, &["1.0.0".to_owned()], BYTES)?;
    let mut subject = Subject::start(&run.binary, dir.path(), None).await?;
    subject.wait_listed(Listed::Provider(NAME), 1, "").await?;
    let stored = stored(&subject.data().join("artifacts"))?;

    let url = subject.url(&archive_path(NAME, "1.0.0"));
    let mut answer = http::client(None)?
        .get(url)
        .send()
        .await?
        .error_for_status()?;
    let promised = answer.content_length().unwrap_or(0);
    let (mut received, mut is_cut) = (0_u64, false);
    let ended = loop {
        match answer.chunk().await {
            Ok(Some(piece)) => received += piece.len() as u64,
            Ok(None) => break "a regular end".to_owned(),
            Err(_) => break "a broken connection".to_owned(),
        }
        if received >= KEPT && !is_cut {
            let file = fs::OpenOptions::new().write(true).open(&stored)?;
            file.set_len(KEPT)?;
            is_cut = true;
        }
        tokio::time::sleep(PAUSE).await;
    };
    let is_short = received < promised && ended == "a broken connection";
    let lives = subject.lives().await.unwrap_or(false);
    Ok(Figure::holds(
        "a file truncated by somebody else resets the connection, the process lives",
        is_cut && is_short && lives,
    )
    .detail(format!(
        "{ended} after {received} of {promised} bytes; /livez {}",
        if lives { "answers" } else { "does not answer" }
    )))
}

/// The one large file below a folder.
fn stored(dir: &Path) -> Result<PathBuf> {
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in
            fs::read_dir(&folder).with_context(|| format!("cannot list `{}`", folder.display()))?
        {
            let entry = entry?;
            let metadata = entry.metadata()?;
            if metadata.is_dir() {
                folders.push(entry.path());
            } else if metadata.len() >= BYTES as u64 {
                return Ok(entry.path());
            }
        }
    }
    bail!("no stored file in `{}`", dir.display())
}
