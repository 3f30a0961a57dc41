//! Bodies of artifacts: exact length, and either the recorded bytes to the end or an error.

mod file;
mod pool;
mod remote;

pub(crate) use file::FileBody;
pub use pool::BUFFER_BYTES;
pub(crate) use pool::{Buffer, Pool};
pub(crate) use remote::{Check, Incoming, Remote, RemoteBody};

use crate::error::Error;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

/// The bytes of an artifact, or one range of them.
///
/// The last 64 KiB come only once the file is known to be unchanged since it was verified, or the
/// digest of what a server sent is known to be right. An error ends the body; the server must
/// then reset the connection.
pub struct ArtifactBody(Source);

/// Where the bytes come from.
enum Source {
    File(FileBody),
    Remote(RemoteBody),
}

impl ArtifactBody {
    pub(crate) const fn file(body: FileBody) -> Self {
        Self(Source::File(body))
    }

    pub(crate) const fn remote(body: RemoteBody) -> Self {
        Self(Source::Remote(body))
    }

    /// Bytes that are still to come; for a fresh body the Content-Length.
    #[must_use]
    pub const fn remaining(&self) -> u64 {
        match &self.0 {
            Source::File(body) => body.remaining(),
            Source::Remote(body) => body.remaining(),
        }
    }
}

impl Body for ArtifactBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let polled = match &mut self.get_mut().0 {
            Source::File(body) => body.poll_next(cx),
            Source::Remote(body) => body.poll_next(cx),
        };
        polled.map_ok(Frame::data)
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Source::File(body) => body.is_over(),
            Source::Remote(body) => body.is_over(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.remaining())
    }
}

impl fmt::Debug for ArtifactBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ArtifactBody")
            .field("remaining", &self.remaining())
            .finish_non_exhaustive()
    }
}
