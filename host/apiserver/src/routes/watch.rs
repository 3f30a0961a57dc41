//! Watches: a position in the history, turned into lines of JSON.

use super::read::{OPTIONS, forbidden_match, metadata_only};
use super::{Call, ResponseBody};
use crate::history::Change;
use crate::resource::Resource;
use crate::selector::Selector;
use crate::status_error::ApiError;
use crate::store::{Key, Shared, Snapshot, Store, prefix};
use bytes::Bytes;
use futures::stream;
use http::{Response, StatusCode, header};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use serde_json::{Value, json};
use std::convert::Infallible;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// A bookmark comes at least so often.
const BOOKMARK_EVERY: Duration = Duration::from_secs(45);
/// A watch without `timeoutSeconds` ends after this long.
const DEFAULT_LIFE: Duration = Duration::from_secs(1800);
/// No watch lives longer.
const MAX_LIFE: Duration = Duration::from_secs(6 * 3600);
/// Events, or initial objects, in one frame.
const CHUNK: usize = 64;
const PARAMETERS: [&str; 10] = [
    "watch",
    "limit",
    "labelSelector",
    "fieldSelector",
    "resourceVersion",
    "resourceVersionMatch",
    "timeoutSeconds",
    "allowWatchBookmarks",
    "sendInitialEvents",
    "continue",
];

/// What a stream still has to say before it follows the history.
enum Initial {
    None,
    /// The objects after this key, then, if asked for, the bookmark that ends them.
    Objects {
        snapshot: Arc<Snapshot>,
        after: Option<String>,
    },
}

struct Watch {
    shared: Arc<Shared>,
    resource: Arc<Resource>,
    prefix: String,
    selector: Selector,
    position: u64,
    initial: Initial,
    sends_bookmarks: bool,
    marks_end_of_initial: bool,
    is_metadata_only: bool,
    published: watch::Receiver<u64>,
    closed: watch::Receiver<bool>,
    ends_at: Instant,
    bookmark_at: Instant,
    is_over: bool,
}

pub(super) fn answer(
    store: &Arc<Store>,
    call: &Call,
    resource: Arc<Resource>,
    namespace: Option<String>,
) -> Result<Response<ResponseBody>, ApiError> {
    let query = &call.query;
    query.only(&PARAMETERS)?;
    if query.get("continue").is_some() {
        return Err(forbidden_match(
            "resourceVersionMatch is forbidden when continue is provided",
        ));
    }
    let selector = Selector::parse(
        &resource,
        query.get("labelSelector"),
        query.get("fieldSelector"),
    )?;
    let shared = Arc::clone(&store.shared);
    // Before the snapshot, so that nothing is published unseen in between.
    let published = shared.history.subscribe();
    let snapshot = shared.snapshot()?;
    let sends_initial = query.flag("sendInitialEvents")?;
    let sends_bookmarks = query.flag("allowWatchBookmarks")?;
    let matching = query.get("resourceVersionMatch");
    if matching.is_some() && query.get("sendInitialEvents").is_none() {
        return Err(forbidden_match(
            "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
        ));
    }
    if query.get("sendInitialEvents").is_some() && matching.is_none() {
        return Err(forbidden_match(
            "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
        ));
    }
    query.choice(OPTIONS, "resourceVersionMatch", &["NotOlderThan"])?;
    let asked = query.number("resourceVersion")?.unwrap_or(0);
    let starts_with_objects =
        sends_initial || (asked == 0 && query.get("sendInitialEvents").is_none());
    let (position, initial) = if starts_with_objects || asked == 0 {
        if asked > snapshot.revision {
            return Err(ApiError::too_new(asked, snapshot.revision));
        }
        let position = snapshot.revision;
        let initial = if starts_with_objects {
            Initial::Objects {
                snapshot,
                after: None,
            }
        } else {
            Initial::None
        };
        (position, initial)
    } else if asked > snapshot.revision {
        // A revision of another store, such as one before a restore: the caller has to list.
        return Err(ApiError::expired(format!(
            "too large resource version: {asked} ({})",
            snapshot.revision
        )));
    } else {
        (asked, Initial::None)
    };
    let life = query
        .number("timeoutSeconds")?
        .filter(|seconds| *seconds > 0)
        .map_or(DEFAULT_LIFE, Duration::from_secs)
        .min(MAX_LIFE);
    let now = Instant::now();
    let watch = Watch {
        prefix: prefix(&resource, namespace.as_deref()),
        closed: shared.closed(),
        shared,
        resource,
        selector,
        position,
        initial,
        sends_bookmarks,
        marks_end_of_initial: sends_initial && sends_bookmarks,
        is_metadata_only: call.wants_metadata_only(),
        published,
        ends_at: now + life,
        bookmark_at: now + BOOKMARK_EVERY,
        is_over: false,
    };
    let frames = stream::unfold(watch, |mut watch| async move {
        let bytes = watch.next().await?;
        Some((Ok::<_, Infallible>(Frame::data(bytes)), watch))
    });
    let mut response = Response::new(StreamBody::new(frames).boxed_unsync());
    *response.status_mut() = StatusCode::OK;
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        header::HeaderValue::from_static("application/json"),
    );
    Ok(response)
}

const fn name_of(change: Change) -> &'static str {
    match change {
        Change::Added => "ADDED",
        Change::Modified => "MODIFIED",
        Change::Deleted => "DELETED",
    }
}

impl Watch {
    /// The next lines; `None` ends the stream.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if self.is_over || *self.closed.borrow() {
                return None;
            }
            match self.ready() {
                Ok(lines) if !lines.is_empty() => return Some(Bytes::from(lines)),
                Ok(_) => {}
                Err(error) => {
                    self.is_over = true;
                    let line = json!({"type": "ERROR", "object": error.to_status()});
                    return Some(Bytes::from(format!("{line}\n")));
                }
            }
            tokio::select! {
                biased;
                changed = self.closed.changed() => {
                    if changed.is_err() {
                        return None;
                    }
                }
                changed = self.published.changed() => {
                    if changed.is_err() {
                        return None;
                    }
                }
                () = tokio::time::sleep_until(self.ends_at) => return None,
                () = tokio::time::sleep_until(self.bookmark_at), if self.sends_bookmarks => {
                    return Some(self.bookmark(None));
                }
            }
        }
    }

    /// What can be said without waiting.
    fn ready(&mut self) -> Result<Vec<u8>, ApiError> {
        if Instant::now() >= self.ends_at {
            self.is_over = true;
            return Ok(Vec::new());
        }
        while let Initial::Objects { snapshot, after } = &self.initial {
            let (snapshot, after) = (Arc::clone(snapshot), after.clone());
            let lines = self.initial_objects(&snapshot, after.as_deref())?;
            if !lines.is_empty() {
                return Ok(lines);
            }
        }
        let mut lines = Vec::new();
        loop {
            // Seen before looking, so that a later publication wakes the wait.
            self.published.borrow_and_update();
            let (events, position) = self
                .shared
                .history
                .since(self.position, &self.prefix, CHUNK)
                .map_err(|old| {
                    ApiError::expired(format!(
                        "too old resource version: {} ({})",
                        self.position, old.oldest
                    ))
                })?;
            let is_full = events.len() >= CHUNK;
            for event in events {
                if let Some(change) = event.seen_through(&self.selector) {
                    self.line(&mut lines, change, &event.object)?;
                }
            }
            self.position = position;
            if !lines.is_empty() || !is_full {
                return Ok(lines);
            }
        }
    }

    fn initial_objects(
        &mut self,
        snapshot: &Arc<Snapshot>,
        after: Option<&str>,
    ) -> Result<Vec<u8>, ApiError> {
        let mut lines = Vec::new();
        let mut last: Option<Key> = None;
        let mut count = 0;
        snapshot.scan(&self.prefix, after, |key, bytes| {
            if count >= CHUNK {
                return Ok(ControlFlow::Break(()));
            }
            let (_, namespace, name) = key.parts();
            if self
                .selector
                .matches_bytes(&self.resource, namespace, name, bytes)?
            {
                self.line(&mut lines, Change::Added, bytes)?;
            }
            count += 1;
            last = Some(key);
            Ok(ControlFlow::Continue(()))
        })?;
        self.initial = match last {
            Some(key) if count >= CHUNK => Initial::Objects {
                snapshot: Arc::clone(snapshot),
                after: Some(key.as_str().to_owned()),
            },
            _ => {
                if self.marks_end_of_initial {
                    lines.extend_from_slice(&self.bookmark(Some("k8s.io/initial-events-end")));
                }
                Initial::None
            }
        };
        Ok(lines)
    }

    fn line(&self, lines: &mut Vec<u8>, change: Change, object: &[u8]) -> Result<(), ApiError> {
        let partial;
        let object = if self.is_metadata_only {
            partial = metadata_only(object)?;
            partial.as_ref()
        } else {
            object
        };
        lines.extend_from_slice(b"{\"type\":\"");
        lines.extend_from_slice(name_of(change).as_bytes());
        lines.extend_from_slice(b"\",\"object\":");
        lines.extend_from_slice(object);
        lines.extend_from_slice(b"}\n");
        Ok(())
    }

    fn bookmark(&mut self, annotation: Option<&str>) -> Bytes {
        self.bookmark_at = Instant::now() + BOOKMARK_EVERY;
        let mut metadata =
            json!({"resourceVersion": self.position.to_string(), "creationTimestamp": null});
        if let (Some(annotation), Some(map)) = (annotation, metadata.as_object_mut()) {
            map.insert("annotations".to_owned(), json!({annotation: "true"}));
        }
        let (kind, version): (Value, Value) = if self.is_metadata_only {
            (json!("PartialObjectMetadata"), json!("meta.k8s.io/v1"))
        } else {
            (
                json!(self.resource.kind),
                json!(self.resource.api_version()),
            )
        };
        let line = json!({
            "type": "BOOKMARK",
            "object": {"kind": kind, "apiVersion": version, "metadata": metadata},
        });
        Bytes::from(format!("{line}\n"))
    }
}
