//! How much of an answer that is no object is read, and how long it is waited for: the SDK reads such answers whole, whatever their length.

use std::time::Duration;

use aws_sdk_s3::config::interceptors::BeforeDeserializationInterceptorContextMut;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::BoxError;
use aws_sdk_s3::primitives::SdkBody;
use http_body_util::Limited;

use crate::remote::aws::{CONNECT, FIRST_BYTE};

/// The longest page of a list that is read, in bytes: of 1,000 keys of 1,024 bytes each, escaped, and what a server says of them.
const LONGEST_PAGE: usize = 16 << 20;
/// How long one is waited for, the whole of it.
const WHOLE_PAGE: Duration = Duration::from_mins(2);

/// Reads no more than a page of a list of an answer.
#[derive(Debug)]
pub(super) struct Page;

impl Page {
    /// What takes the place of the SDK's deadlines.
    pub(super) fn config() -> aws_sdk_s3::config::Builder {
        let timeout = TimeoutConfig::builder()
            .connect_timeout(CONNECT)
            .read_timeout(FIRST_BYTE)
            .operation_attempt_timeout(WHOLE_PAGE)
            .build();
        aws_sdk_s3::config::Builder::new().timeout_config(timeout)
    }
}

impl Intercept for Page {
    fn name(&self) -> &'static str {
        "Page"
    }

    fn modify_before_deserialization(
        &self,
        context: &mut BeforeDeserializationInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let body = context.response_mut().body_mut();
        let whole = std::mem::replace(body, SdkBody::taken());
        *body = bounded(whole, LONGEST_PAGE);
        Ok(())
    }
}

/// The same body, which fails where it goes on behind `longest` bytes.
fn bounded(body: SdkBody, longest: usize) -> SdkBody {
    SdkBody::from_body_1_x(Limited::new(body, longest))
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    #[tokio::test]
    async fn an_answer_is_read_up_to_its_bound() {
        for (length, is_read) in [(0, true), (1000, true), (1001, false), (5000, false)] {
            let body = bounded(SdkBody::from(vec![b'x'; length]), 1000);
            let read = body.collect().await.map(|read| read.to_bytes().len());
            assert_eq!(read.ok(), is_read.then_some(length), "{length}");
        }
    }
}
