//! Keeps bytes in memory, and does wrong what it is told to.

use opendepot_conformance::{ByteStore, Links, StoreError, Stored, Visit};
use opendepot_domain::seam::BoxFuture;
use opendepot_domain::{Kind, Sha256, Transfer};
use opendepot_transfer::{ByteRange, Expected};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::Notify;
use url::Url;

/// What is wrong with a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// Nothing.
    None,
    /// A put replaces what is there.
    Overwrites,
    /// The last byte is lost.
    LosesBytes,
    /// A put stores nothing and says that it did.
    StoresNothing,
    /// A read hands out what was written last.
    HandsOutAnother,
    /// A range is answered with the whole.
    IgnoresRanges,
    /// A range ends one byte early.
    ShortRanges,
    /// A range outside of the object is answered with what there is.
    OpenRanges,
    /// A missing object is read as an empty one.
    MissingIsEmpty,
    /// A missing object has a size.
    MissingHasSize,
    /// Removing what is gone fails.
    GoneIsAnError,
    /// A removal removes nothing.
    DeletesNothing,
    /// Every fourth put is refused.
    LosesWriters,
    /// What is there is looked for some time before it is written.
    Races,
    /// Objects of no bytes are stored.
    TakesEmpty,
    /// Nothing is larger than 8 MiB.
    OnePartOnly,
    /// The source is not compared with what is expected.
    TakesAnySource,
    /// What is read is not compared with what is expected.
    ReadsAnything,
    /// A key is decoded once too often.
    DecodesKeys,
    /// A key may climb.
    TakesAnyKey,
    /// What is being written can be seen.
    ShowsParts,
    /// A link opens nothing.
    LinkIsDead,
    /// A link opens every object.
    LinkOpensOthers,
    /// A link writes, too.
    LinkWrites,
    /// The end of a link is not signed.
    LinkUnsigned,
    /// What has a link opens without it.
    LinkForNothing,
    /// A link never ends.
    LinkForEver,
    /// A link opens what is gone.
    LinkOpensGone,
}

pub(crate) struct Memory {
    flaw: Flaw,
    objects: Mutex<BTreeMap<String, Vec<u8>>>,
    last: Mutex<Vec<u8>>,
    num_puts: AtomicUsize,
    another: Notify,
}

fn refuse<T>(kind: Kind) -> Result<T, StoreError> {
    let message = "told to".to_owned();
    Err(StoreError { kind, message })
}

impl Memory {
    pub(crate) fn new(flaw: Flaw) -> Self {
        Self {
            flaw,
            objects: Mutex::default(),
            last: Mutex::default(),
            num_puts: AtomicUsize::new(0),
            another: Notify::new(),
        }
    }

    fn is(&self, flaw: Flaw) -> bool {
        self.flaw == flaw
    }

    fn key(&self, plan: &Transfer) -> String {
        let key = match plan {
            Transfer::Native(plan) => plan.placement.key.clone(),
            Transfer::Signed(request) => request.url.clone(),
            Transfer::Nothing => panic!("a plan to do nothing"),
        };
        if self.is(Flaw::DecodesKeys) {
            key.replace("%41", "A").replace('+', " ")
        } else {
            key
        }
    }

    fn find(&self, key: &str) -> Option<Vec<u8>> {
        self.objects.lock().unwrap().get(key).cloned()
    }

    fn is_there(&self, key: &str) -> bool {
        !self.is(Flaw::Overwrites) && self.objects.lock().unwrap().contains_key(key)
    }

    fn insert(&self, key: &str, content: &[u8]) {
        content.clone_into(&mut self.last.lock().unwrap());
        let mut objects = self.objects.lock().unwrap();
        objects.insert(key.to_owned(), content.to_vec());
    }

    async fn write(&self, key: &str, mut content: Vec<u8>) -> Stored {
        if self.is_there(key) {
            return Stored::There;
        }
        match self.flaw {
            Flaw::Races => {
                // Somebody else's put, or the time that a lone one waits for it.
                self.another.notify_waiters();
                let waited = self.another.notified();
                let _late = tokio::time::timeout(Duration::from_millis(50), waited).await;
            }
            Flaw::LosesBytes => drop(content.pop()),
            Flaw::StoresNothing => return Stored::New,
            Flaw::ShowsParts if content.len() > 8 << 20 => {
                let begun = Instant::now();
                self.insert(key, &content[..8 << 20]);
                while begun.elapsed() < Duration::from_millis(200) {
                    tokio::task::yield_now().await;
                }
            }
            _ => {}
        }
        self.insert(key, &content);
        Stored::New
    }

    fn read(
        &self,
        key: &str,
        expected: Expected,
        range: Option<ByteRange>,
    ) -> Result<Vec<u8>, StoreError> {
        let content = match self.find(key) {
            Some(_) if self.is(Flaw::HandsOutAnother) => self.last.lock().unwrap().clone(),
            Some(content) => content,
            None if self.is(Flaw::MissingIsEmpty) => return Ok(Vec::new()),
            None => return refuse(Kind::NotFound),
        };
        let is_compared = !matches!(self.flaw, Flaw::ReadsAnything | Flaw::HandsOutAnother);
        if is_compared && Sha256::of(&content) != expected.sha256 {
            return refuse(Kind::Corrupt);
        }
        let Some(range) = range.filter(|_| !self.is(Flaw::IgnoresRanges)) else {
            return Ok(content);
        };
        let (start, end) = (range.start as usize, range.end_inclusive as usize);
        let end = match self.flaw {
            Flaw::ShortRanges => end,
            Flaw::OpenRanges => (end + 1).min(content.len()),
            _ => end + 1,
        };
        match content.get(start..end) {
            Some(part) if range.start <= range.end_inclusive => Ok(part.to_vec()),
            _ => refuse(Kind::Invalid),
        }
    }

    /// What signs a link: the key, its end, and what nobody else knows.
    fn signature(&self, key: &str, end: &str) -> String {
        let key = if self.is(Flaw::LinkOpensOthers) {
            ""
        } else {
            key
        };
        let end = if self.is(Flaw::LinkUnsigned) { "" } else { end };
        Sha256::of(format!("secret {key} {end}").as_bytes()).to_string()
    }

    fn is_admitted(&self, link: &Url, key: &str) -> bool {
        let pairs: BTreeMap<String, String> = link.query_pairs().into_owned().collect();
        let (Some(end), Some(signature)) = (pairs.get("end"), pairs.get("signature")) else {
            return self.is(Flaw::LinkForNothing);
        };
        let is_over = end.parse().is_ok_and(|end: u128| end <= now());
        !self.is(Flaw::LinkIsDead)
            && *signature == self.signature(key, end)
            && (!is_over || self.is(Flaw::LinkForEver))
    }
}

fn now() -> u128 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap().as_millis()
}

impl ByteStore for Memory {
    fn carries(&self, _: &Transfer) -> bool {
        true
    }

    fn why_writers_race(&self) -> Option<&str> {
        None
    }

    fn prepare<'a>(&'a self, _: &'a Transfer) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async { Ok(()) })
    }

    fn put<'a>(
        &'a self,
        plan: &'a Transfer,
        file: &'a Path,
        expected: Expected,
    ) -> BoxFuture<'a, Result<Stored, StoreError>> {
        Box::pin(async move {
            let (key, content) = (self.key(plan), std::fs::read(file).unwrap());
            let is_plain = !key.contains(['\\', '\0', '\n'])
                && key.len() <= 1_024
                && key.split('/').all(|part| !matches!(part, "" | "." | ".."));
            let is_large = content.len() > 8 << 20;
            if !is_plain && !self.is(Flaw::TakesAnyKey)
                || expected.size == 0 && !self.is(Flaw::TakesEmpty)
                || is_large && self.is(Flaw::OnePartOnly)
            {
                return refuse(Kind::Invalid);
            }
            if Sha256::of(&content) != expected.sha256 && !self.is(Flaw::TakesAnySource) {
                return refuse(Kind::Corrupt);
            }
            let number = self.num_puts.fetch_add(1, Ordering::Relaxed);
            if number % 4 == 3 && self.is(Flaw::LosesWriters) {
                return refuse(Kind::Unavailable);
            }
            Ok(self.write(&key, content).await)
        })
    }

    fn get<'a>(
        &'a self,
        plan: &'a Transfer,
        expected: Expected,
        range: Option<ByteRange>,
    ) -> BoxFuture<'a, Result<Vec<u8>, StoreError>> {
        Box::pin(async move { self.read(&self.key(plan), expected, range) })
    }

    fn head<'a>(&'a self, plan: &'a Transfer) -> BoxFuture<'a, Result<Option<u64>, StoreError>> {
        Box::pin(async move {
            let size = self.find(&self.key(plan)).map(|c| c.len() as u64);
            Ok(size.or_else(|| self.is(Flaw::MissingHasSize).then_some(0)))
        })
    }

    fn delete<'a>(&'a self, plan: &'a Transfer) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            if self.is(Flaw::DeletesNothing) {
                return Ok(());
            }
            let removed = self.objects.lock().unwrap().remove(&self.key(plan));
            match removed {
                None if self.is(Flaw::GoneIsAnError) => refuse(Kind::NotFound),
                _ => Ok(()),
            }
        })
    }
}

impl Links for Memory {
    fn link<'a>(
        &'a self,
        plan: &'a Transfer,
        seconds: u32,
    ) -> BoxFuture<'a, Result<Url, StoreError>> {
        Box::pin(async move {
            if let Transfer::Signed(request) = plan {
                return Ok(Url::parse(&request.url).unwrap());
            }
            let key = self.key(plan);
            let end = (now() + u128::from(seconds) * 1_000).to_string();
            let mut link = Url::parse("https://memory.test/").unwrap();
            link.set_path(&key);
            let signature = self.signature(&key, &end);
            let pairs = [("end", &end), ("signature", &signature)];
            link.query_pairs_mut().extend_pairs(pairs);
            Ok(link)
        })
    }

    fn visit<'a>(
        &'a self,
        link: &'a Url,
        visit: Visit,
    ) -> BoxFuture<'a, Result<Option<Vec<u8>>, StoreError>> {
        Box::pin(async move {
            let key = link.path().trim_start_matches('/').to_owned();
            if !self.is_admitted(link, &key) {
                return Ok(None);
            }
            Ok(match visit {
                Visit::Read if self.is(Flaw::LinkOpensGone) => {
                    let found = self.find(&key);
                    Some(found.unwrap_or_else(|| self.last.lock().unwrap().clone()))
                }
                Visit::Read => self.find(&key),
                Visit::Write if self.is(Flaw::LinkWrites) => Some(Vec::new()),
                Visit::Write | Visit::Remove => None,
            })
        })
    }
}
