//! Links to stores that were made a moment ago: a fleet that begins at once shares them, which costs
//! no signature each. What bounds it: a thousand links, each for a second and a small share of its
//! life. A link is the same for everybody who may have it.

use http::HeaderValue;
use moka::sync::Cache;
use opendepot_domain::Sha256;
use std::time::{Duration, Instant};

const NUM_LINKS: u64 = 1_000;
/// However long a link lives: the credential that signed it may end sooner.
const SHARED_FOR: Duration = Duration::from_secs(1);
/// The share of its life that a link may have lost when it is given away.
const LIFE_PARTS: u32 = 20;

/// The links, by operation and placement.
pub(crate) struct Links(Cache<Sha256, (HeaderValue, Instant)>);

impl Default for Links {
    fn default() -> Self {
        let links = Cache::builder()
            .max_capacity(NUM_LINKS)
            .time_to_live(SHARED_FOR);
        Self(links.build())
    }
}

impl Links {
    /// A link that still has almost all of its life.
    pub(crate) fn get(&self, key: &Sha256, ttl: Duration) -> Option<HeaderValue> {
        let (link, made) = self.0.get(key)?;
        let shared_for = SHARED_FOR.min(ttl / LIFE_PARTS);
        (made.elapsed() < shared_for).then_some(link)
    }

    pub(crate) fn insert(&self, key: Sha256, link: HeaderValue) {
        self.0.insert(key, (link, Instant::now()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_of_a_second_is_not_kept_for_one() {
        let (links, key) = (Links::default(), Sha256::of(b"x"));
        let link = HeaderValue::from_static("https://s3.example/x");
        let made = Instant::now()
            .checked_sub(Duration::from_millis(60))
            .unwrap();
        links.0.insert(key, (link.clone(), made));
        assert_eq!(links.get(&key, Duration::from_secs(1)), None);
        assert_eq!(links.get(&key, Duration::from_secs(900)), Some(link));
        assert_eq!(links.get(&Sha256::of(b"y"), Duration::from_secs(900)), None);
    }
}
