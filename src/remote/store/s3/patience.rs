//! How long a request that carries bytes is waited for.
//!
//! Many requests share a line that may be slow, so no deadline is set for all of one: it may take as long as it needs while something of it is taken, and
//! is given up when nothing was for long. The SDK's own
//! [protection against stalls](https://docs.aws.amazon.com/sdk-for-rust/latest/dg/timeouts.html) sees a body that is in memory as a whole, and so
//! nothing of how it travels; here every body is handed over in pieces.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::config::interceptors::BeforeTransmitInterceptorContextMut;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::{BoxError, SdkError};
use aws_sdk_s3::primitives::SdkBody;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, sleep_until};

use crate::remote::aws::{CONNECT, FIRST_BYTE};

/// The slowest line that is waited for, in bytes a second: 1 Mbit/s.
const LINE: u64 = 125_000;
/// How many requests share it: as many uploads as run side by side unless somebody asks for more.
const SHARING: u64 = 64;
/// The slowest transfer that is waited for, in bytes a second.
const SLOWEST: u64 = LINE / SHARING;
/// The slowest answer that is waited for, in bytes a second: whoever waits for one asks for few others beside it.
const SLOWEST_ANSWER: u64 = 64 << 10;
/// How fast a server puts parts together at least, in bytes a second, and how long that is waited for at most: then what lies there is looked at.
const ASSEMBLED: u64 = 1 << 20;
const LONGEST_ASSEMBLY: Duration = Duration::from_mins(10);
/// What of a body may be taken and not on the line yet, on a line as slow as that: hyper takes up to 400 KiB, the system some more.
const HELD: u64 = 512 << 10;
/// How much of a body is handed over at once, in bytes.
const PIECE: usize = 16 << 10;

/// How long an answer of `length` bytes is waited for.
pub(super) fn time_for(length: u64) -> Duration {
    FIRST_BYTE + Duration::from_secs(length / SLOWEST_ANSWER)
}

/// How long nothing of a body of `size` bytes may be taken.
fn quiet_for(size: u64) -> Duration {
    FIRST_BYTE + Duration::from_secs(size.min(HELD) / SLOWEST)
}

/// Time for an answer that makes the server put parts of `size` bytes together.
pub(super) fn assembling(size: u64) -> aws_sdk_s3::config::Builder {
    let time = FIRST_BYTE + Duration::from_secs(size / ASSEMBLED).min(LONGEST_ASSEMBLY);
    let timeout = TimeoutConfig::builder()
        .connect_timeout(CONNECT)
        .read_timeout(time)
        .build();
    aws_sdk_s3::config::Builder::new().timeout_config(timeout)
}

/// A watch over one request, which carries bytes.
#[derive(Debug, Clone)]
pub(super) struct Watch {
    /// When something of it was taken last.
    taken: Arc<Mutex<Instant>>,
    quiet: Duration,
}

impl Watch {
    /// A watch over a request with `size` bytes.
    pub(super) fn of(size: u64) -> Watch {
        Watch {
            taken: Arc::new(Mutex::new(Instant::now())),
            quiet: quiet_for(size),
        }
    }

    /// What takes the place of the SDK's deadline.
    pub(super) fn config() -> aws_sdk_s3::config::Builder {
        let timeout = TimeoutConfig::builder()
            .connect_timeout(CONNECT)
            .disable_read_timeout()
            .build();
        aws_sdk_s3::config::Builder::new().timeout_config(timeout)
    }

    /// Waits for `sent`, the request that this watch intercepts.
    pub(super) async fn wait_for<T, E>(
        &self,
        sent: impl Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    ) -> Result<T, SdkError<E, HttpResponse>> {
        self.note();
        let mut sent = pin!(sent);
        loop {
            let end = self.last() + self.quiet;
            tokio::select! {
                biased;
                ended = &mut sent => return ended,
                () = sleep_until(end) => {}
            }
            if self.last() + self.quiet <= Instant::now() {
                let seconds = self.quiet.as_secs();
                let why = format!("nothing of it was taken or answered for {seconds} s");
                return Err(SdkError::timeout_error(why));
            }
        }
    }

    fn note(&self) {
        *self.taken.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn last(&self) -> Instant {
        *self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Intercept for Watch {
    fn name(&self) -> &'static str {
        "Watch"
    }

    fn modify_before_transmit(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let body = context.request_mut().body_mut();
        let whole = std::mem::replace(body, SdkBody::taken());
        *body = SdkBody::from_body_1_x(Pieces {
            whole,
            left: Bytes::default(),
            watch: self.clone(),
        });
        Ok(())
    }
}

type Bytes = <SdkBody as Body>::Data;

/// A body that is handed over in pieces, each of which is noted when it is taken.
struct Pieces {
    whole: SdkBody,
    /// What is handed over next.
    left: Bytes,
    watch: Watch,
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = <SdkBody as Body>::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.watch.note();
        while self.left.is_empty() {
            let frame = match ready!(Pin::new(&mut self.whole).poll_frame(context)) {
                Some(Ok(frame)) => frame,
                ended => return Poll::Ready(ended),
            };
            match frame.into_data() {
                Ok(data) => self.left = data,
                Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
            }
        }
        let length = self.left.len().min(PIECE);
        let piece = self.left.split_to(length);
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.left.is_empty() && Body::is_end_stream(&self.whole)
    }

    fn size_hint(&self) -> SizeHint {
        let whole = Body::size_hint(&self.whole);
        let left = self.left.len() as u64;
        let mut hint = SizeHint::new();
        if let Some(upper) = whole.upper() {
            hint.set_upper(upper + left);
        }
        hint.set_lower(whole.lower() + left);
        hint
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::future::poll_fn;

    use http_body_util::BodyExt as _;

    use super::*;

    type Sent = Result<(), SdkError<Infallible, HttpResponse>>;

    fn watch() -> Watch {
        Watch {
            quiet: Duration::from_millis(1),
            ..Watch::of(0)
        }
    }

    #[tokio::test]
    async fn a_body_travels_in_pieces_and_arrives_as_it_is() {
        let check = async |length: usize| {
            let bytes: Vec<u8> = (0..length)
                .map(|at| u8::try_from(at % 251).unwrap())
                .collect();
            let mut pieces = Pieces {
                whole: SdkBody::from(bytes.clone()),
                left: Bytes::default(),
                watch: watch(),
            };
            let mut arrived = Vec::new();
            while let Some(frame) = pieces.frame().await {
                let data = frame.unwrap().into_data().unwrap();
                assert!(data.len() <= PIECE);
                arrived.extend_from_slice(&data);
                let left = (length - arrived.len()) as u64;
                assert_eq!(pieces.size_hint().exact(), Some(left));
                assert_eq!(Body::is_end_stream(&pieces), left == 0);
            }
            assert_eq!(arrived, bytes);
        };
        for length in [1, PIECE - 1, PIECE, PIECE + 1, 5 * PIECE + 7] {
            check(length).await;
        }
    }

    /// Each time it is looked at something more has been taken, for far longer than nothing may be.
    #[tokio::test]
    async fn a_request_is_waited_for_while_something_of_it_is_taken() {
        let (watch, mut looks) = (watch(), 0);
        let slow = poll_fn(|_| {
            looks += 1;
            watch.note();
            if looks < 30 {
                Poll::Pending
            } else {
                Poll::Ready(Sent::Ok(()))
            }
        });
        assert!(watch.wait_for(slow).await.is_ok());
        assert_eq!(looks, 30);
    }

    #[tokio::test]
    async fn a_request_of_which_nothing_is_taken_is_given_up() {
        let failed = watch().wait_for(std::future::pending::<Sent>()).await;
        assert!(matches!(failed, Err(SdkError::TimeoutError(_))));
    }

    #[test]
    fn a_slow_line_that_all_share_carries_what_each_may_hold_in_time() {
        for size in [1, 100 << 10, HELD, 8 << 20, 64 << 20] {
            let held = size.min(HELD) * SHARING;
            assert!(
                quiet_for(size) >= Duration::from_secs(held / LINE),
                "{size}"
            );
        }
        assert!(quiet_for(64 << 20) < Duration::from_mins(6));
    }
}
