//! A body that somebody looks at while it passes.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tonic::Status;
use tonic::body::Body;

/// What a body gives when it is asked.
pub type PolledFrame = Poll<Option<Result<Frame<Bytes>, Status>>>;

/// A body of a request or a response with a watcher, which sees whatever it gives and is dropped with it.
pub struct WatchedBody<W> {
    body: Body,
    watcher: W,
}

impl<W> std::fmt::Debug for WatchedBody<W> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("WatchedBody")
            .finish_non_exhaustive()
    }
}

impl<W: FnMut(&PolledFrame) + Send + Unpin + 'static> WatchedBody<W> {
    /// The body with its watcher, as a body.
    pub fn watch(body: Body, watcher: W) -> Body {
        Body::new(Self { body, watcher })
    }
}

impl<W: FnMut(&PolledFrame) + Unpin> HttpBody for WatchedBody<W> {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> PolledFrame {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        (self.watcher)(&polled);
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
