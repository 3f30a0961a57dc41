//! Links: each opens one object, for reading, for a while.

use super::{Case, Object, Suite, Unmet, pattern};
use crate::bytes::{Links, Visit};
use opendepot_domain::{Operation, Transfer};
use std::time::{Duration, Instant};
use url::Url;

/// A link that outlives a case.
const LIFE_SECONDS: u32 = 900;

/// Links of one plugin, and somebody to follow them.
struct Client<'a> {
    suite: &'a Suite<'a>,
    links: &'a dyn Links,
}

impl<'a> Client<'a> {
    /// Skipped where there is nobody to follow links, or where the plugin makes none.
    async fn new(
        suite: &'a Suite<'a>,
        links: Option<&'a dyn Links>,
        object: &Object,
    ) -> Result<Self, Unmet> {
        let presign = Operation::Presign(LIFE_SECONDS);
        match suite.plan(object, presign).await {
            Ok(_) => {}
            Err(reason) if reason.contains("unsupported") => {
                let why = "it makes no links: `presign` is `unsupported`";
                return Err(Unmet::Skipped(why.to_owned()));
            }
            Err(reason) => return Err(Unmet::Failed(reason)),
        }
        let Some(links) = links else {
            let why = "nothing here follows links";
            return Err(Unmet::Skipped(why.to_owned()));
        };
        Ok(Self { suite, links })
    }

    async fn link(&self, object: &Object, seconds: u32) -> Result<Url, String> {
        let plan: Transfer = self.suite.plan(object, Operation::Presign(seconds)).await?;
        let link = self.links.link(&plan, seconds).await;
        link.map_err(|error| format!("a link to {}: {error}", object.named()))
    }

    async fn visit(&self, link: &Url, visit: Visit) -> Result<Option<Vec<u8>>, String> {
        let visited = self.links.visit(link, visit).await;
        visited.map_err(|error| format!("no answer to {visit:?} with a link: {error}"))
    }

    async fn is_refused(&self, link: &Url, visit: Visit, what: &str) -> Result<(), String> {
        match self.visit(link, visit).await? {
            None => Ok(()),
            Some(_) => Err(format!("{what} is to be refused, it was answered")),
        }
    }
}

pub(super) async fn scope(suite: &Suite<'_>, links: Option<&dyn Links>) -> Case {
    let object = suite.object(15, &pattern(3_000)).await?;
    let other = suite.object(16, &pattern(4_000)).await?;
    let client = Client::new(suite, links, &object).await?;
    suite.put_new(&object).await?;
    suite.put_new(&other).await?;
    let link = client.link(&object, LIFE_SECONDS).await?;
    for _ in 0..2 {
        let got = client.visit(&link, Visit::Read).await?;
        if got.as_ref() != Some(&object.content) {
            let got = got.map_or_else(|| "a refusal".to_owned(), |b| format!("{} bytes", b.len()));
            return Err(format!(
                "a link is to open the {} bytes of its object, got {got}",
                object.content.len()
            )
            .into());
        }
    }
    let mut elsewhere = link.clone();
    elsewhere.set_path(client.link(&other, LIFE_SECONDS).await?.path());
    client
        .is_refused(&elsewhere, Visit::Read, "a link with another object's path")
        .await?;
    client
        .is_refused(&link, Visit::Write, "a write by a link to read")
        .await?;
    client
        .is_refused(&link, Visit::Remove, "a removal by a link to read")
        .await?;
    for altered in altered(&link) {
        let name = altered.0;
        let what = format!("a link whose parameter `{name}` was changed");
        client.is_refused(&altered.1, Visit::Read, &what).await?;
    }
    let mut bare = link.clone();
    bare.set_query(None);
    client
        .is_refused(
            &bare,
            Visit::Read,
            "the address of an object without its link",
        )
        .await?;
    suite.is_whole(&object).await?;
    suite.is_whole(&other).await?;
    suite.delete(&object).await?;
    suite.delete(&other).await?;
    // What is gone is not opened by what opened it.
    client
        .is_refused(&link, Visit::Read, "a link to what was removed")
        .await?;
    Ok(())
}

/// The link with another digit in one parameter, for each that has digits: everything that it says
/// must be signed.
fn altered(link: &Url) -> Vec<(String, Url)> {
    let pairs: Vec<(String, String)> = link.query_pairs().into_owned().collect();
    let mut links = Vec::new();
    for (at, (name, value)) in pairs.iter().enumerate() {
        let Some(digit) = value.rfind(|c: char| c.is_ascii_digit()) else {
            continue;
        };
        let mut other = value.clone();
        let next = if value.get(digit..=digit) == Some("9") {
            "8"
        } else {
            "9"
        };
        other.replace_range(digit..=digit, next);
        let changed = pairs.iter().enumerate().map(|(place, (name, value))| {
            let value = if place == at { &other } else { value };
            (name, value)
        });
        let mut link = link.clone();
        link.query_pairs_mut().clear().extend_pairs(changed);
        links.push((name.clone(), link));
    }
    links
}

/// A short link opens its object, and then no more.
pub(super) async fn life(suite: &Suite<'_>, links: Option<&dyn Links>) -> Case {
    /// Servers count whole seconds, and this machine may be busy.
    const SECONDS: [u32; 3] = [2, 4, 8];
    const PATIENCE: Duration = Duration::from_secs(5);
    const PAUSE: Duration = Duration::from_millis(100);
    let object = suite.object(17, &pattern(5_000)).await?;
    let client = Client::new(suite, links, &object).await?;
    suite.put_new(&object).await?;
    for seconds in SECONDS {
        let life = Duration::from_secs(seconds.into());
        let begun = Instant::now();
        let link = client.link(&object, seconds).await?;
        if client.visit(&link, Visit::Read).await?.is_none() {
            if begun.elapsed() + Duration::from_secs(1) < life {
                return Err(format!(
                    "a link for {seconds} seconds is to open its object, it did not after {} ms",
                    begun.elapsed().as_millis()
                )
                .into());
            }
            continue;
        }
        while client.visit(&link, Visit::Read).await?.is_some() {
            if begun.elapsed() > life + PATIENCE {
                return Err(format!(
                    "a link for {seconds} seconds is to end then, it opens its object after {} s",
                    begun.elapsed().as_secs()
                )
                .into());
            }
            tokio::time::sleep(PAUSE).await;
        }
        suite.delete(&object).await?;
        return Ok(());
    }
    suite.delete(&object).await?;
    let why = "no link was followed in its time: this machine is too busy";
    Err(Unmet::Skipped(why.to_owned()))
}
