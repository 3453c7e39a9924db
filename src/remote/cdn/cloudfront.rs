//! `CloudFront`: one invalidation for each change.
//!
//! The SDK's own retries are off. An invalidation is sent again under the same caller reference, which `CloudFront` takes for the one it
//! has already, so that it can be asked until it says yes.

use std::collections::BTreeSet;
use std::time::Duration;

use async_trait::async_trait;
use aws_config::{BehaviorVersion, Region};
use aws_sdk_cloudfront::Client;
use aws_sdk_cloudfront::config::ProvideCredentials;
use aws_sdk_cloudfront::config::http::HttpResponse;
use aws_sdk_cloudfront::config::retry::RetryConfig;
use aws_sdk_cloudfront::config::timeout::TimeoutConfig;
use aws_sdk_cloudfront::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_cloudfront::types::{InvalidationBatch, Paths};
use tokio::time::Instant;

use super::{Cdn, Change};
use crate::explain::{Exit, Failure, quoted};
use crate::remote::chain;
use crate::remote::retry::{self, LONGEST_WAIT, Tried};

const CONNECT: Duration = Duration::from_secs(10);
const ANSWER: Duration = Duration::from_mins(1);
/// How long an invalidation may be asked for: as long as those before it, of which there may only be so many, need to end.
const BUDGET: Duration = Duration::from_mins(8);
/// How many paths, and how many that end in `*`, may be on their way at once
/// ([limits](https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/InvalidationLimits.html)).
const MOST_PATHS: usize = 3000;
const MOST_PREFIXES: usize = 15;
/// It is a service of the whole world, which is asked in one region; there is one for each partition, which the SDK finds by any of its regions.
const REGION: &str = "us-east-1";

/// One distribution.
#[derive(Debug, Clone)]
pub struct CloudFront {
    client: Client,
    distribution: String,
    budget: Duration,
}

impl CloudFront {
    /// Prepares a client for the distribution with this id, with the credentials of the usual AWS chain, and looks whether there is such a
    /// distribution. Credentials that may not look are no obstacle: they may be allowed to invalidate all the same. Neither is a service that
    /// does not answer.
    ///
    /// `region` is that of the store, where one is set.
    ///
    /// # Errors
    /// `cdn::credentials` and `cdn::no_distribution`, exit 2.
    pub async fn connect(distribution: &str, region: Option<&str>) -> Result<CloudFront, Failure> {
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .retry_config(RetryConfig::disabled())
            .timeout_config(
                TimeoutConfig::builder()
                    .connect_timeout(CONNECT)
                    .read_timeout(ANSWER)
                    .build(),
            );
        if let Some(region) = region {
            loader = loader.region(Region::new(region.to_owned()));
        }
        let shared = loader.load().await;
        let mut config = aws_sdk_cloudfront::config::Builder::from(&shared);
        if shared.region().is_none() {
            config = config.region(Region::new(REGION));
        }
        prove_credentials(&shared, distribution).await?;
        let cdn = CloudFront {
            client: Client::from_conf(config.build()),
            distribution: distribution.to_owned(),
            budget: BUDGET,
        };
        cdn.look().await?;
        Ok(cdn)
    }

    async fn look(&self) -> Result<(), Failure> {
        let request = self.client.get_distribution().id(&self.distribution);
        match request.send().await {
            Err(error) if is_absent(&error) => Err(self.absent(&error)),
            Err(error) => {
                let error = told(&error);
                tracing::debug!(distribution = self.distribution, error, "it was not looked at");
                Ok(())
            }
            Ok(_) => Ok(()),
        }
    }

    async fn invalidate(&self, batch: &InvalidationBatch) -> Result<(), Tried<Failure>> {
        let request = self
            .client
            .create_invalidation()
            .distribution_id(&self.distribution)
            .invalidation_batch(batch.clone());
        match request.send().await {
            Ok(_) => Ok(()),
            Err(error) => Err(self.refused(&error)),
        }
    }

    /// What a refusal means, and whether asking again may help.
    fn refused<E>(&self, error: &SdkError<E, HttpResponse>) -> Tried<Failure>
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let distribution = quoted(&self.distribution);
        let failure = |exit, code, what: String| Failure::new(exit, code, what).because(told(error));
        if is_absent(error) {
            return Tried::Final(self.absent(error));
        }
        match (status_of(error), error.code().unwrap_or_default()) {
            (_, "TooManyInvalidationsInProgress") => Tried::Temporary {
                error: failure(
                    Exit::Temporary,
                    "cdn::busy",
                    format!("the distribution {distribution} has too many invalidations on their way"),
                ),
                after: wait_of(error),
            },
            (_, "InvalidClientTokenId" | "SignatureDoesNotMatch" | "ExpiredToken" | "ExpiredTokenException" | "UnrecognizedClientException") => Tried::Final(
                failure(
                    Exit::RemoteRefused,
                    "cdn::credentials",
                    format!("CloudFront does not accept the credentials for the distribution {distribution}"),
                )
                .hint("check that they are current"),
            ),
            (Some(401 | 403), code) if !code.starts_with("Throttl") => Tried::Final(
                failure(
                    Exit::RemoteRefused,
                    "cdn::forbidden",
                    format!("cloudfront:CreateInvalidation is not permitted on the distribution {distribution}"),
                )
                .hint("allow it to the role or user that moves pointers"),
            ),
            (Some(status), code) if !retry::is_temporary(status) && !code.starts_with("Throttl") => {
                Tried::Final(failure(
                    Exit::RemoteRefused,
                    "cdn::refused",
                    format!("CloudFront refuses the invalidation of the distribution {distribution}"),
                ))
            }
            _ if matches!(error, SdkError::ConstructionFailure(_)) => Tried::Final(failure(
                Exit::RemoteRefused,
                "cdn::refused",
                format!("the distribution {distribution} cannot be asked for an invalidation"),
            )),
            _ => Tried::Temporary {
                error: failure(
                    Exit::Temporary,
                    "cdn::unreachable",
                    format!("CloudFront did not accept the invalidation of the distribution {distribution}"),
                ),
                after: wait_of(error),
            },
        }
    }

    fn absent<E>(&self, error: &SdkError<E, HttpResponse>) -> Failure
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        Failure::new(
            Exit::Usage,
            "cdn::no_distribution",
            format!("there is no CloudFront distribution {}", quoted(&self.distribution)),
        )
        .because(told(error))
        .hint("correct 'cdn-distribution'; it is the id, such as E2EXAMPLE1, and it belongs to the account of the credentials")
    }
}

#[async_trait]
impl Cdn for CloudFront {
    async fn tell(&self, change: &Change<'_>) -> Result<(), Failure> {
        let paths = within_limits(change.paths);
        if paths.len() < change.paths.len() {
            tracing::warn!(
                "{} paths changed, more than CloudFront forgets at once: it forgets {}",
                change.paths.len(),
                paths.join(" ")
            );
        }
        let count = i32::try_from(paths.len()).unwrap_or(i32::MAX);
        let batch = Paths::builder()
            .quantity(count)
            .set_items(Some(paths))
            .build()
            .and_then(|paths| {
                InvalidationBatch::builder()
                    .paths(paths)
                    .caller_reference(change.reference)
                    .build()
            })
            .map_err(|error| {
                Failure::new(
                    Exit::RemoteRefused,
                    "cdn::refused",
                    "no invalidation can be made of the paths that changed",
                )
                .because(error)
            })?;
        let begun = Instant::now();
        let wait = |tries, asked: Option<Duration>| {
            let wait = retry::backoff(tries, change.reference);
            let wait = wait.max(asked.unwrap_or_default().min(LONGEST_WAIT));
            (begun.elapsed() + wait <= self.budget).then_some(wait)
        };
        let what = format!("invalidation of {}", self.distribution);
        retry::repeat(&what, wait, || self.invalidate(&batch)).await?;
        tracing::info!("{}: {count} paths are forgotten ({})", self.distribution, change.reference);
        Ok(())
    }
}

/// The paths, if `CloudFront` takes that many at once; else few prefixes of them, as long as possible, and what lies above these.
///
/// A path that ends in `*` by itself counts as a prefix; it means itself and more.
fn within_limits(paths: &[String]) -> Vec<String> {
    const DEEPEST: usize = 32;
    let is_prefix = |path: &&String| path.ends_with('*');
    let fits = |paths: &[String]| {
        let prefixes = paths.iter().filter(is_prefix).count();
        prefixes <= MOST_PREFIXES && paths.len() - prefixes <= MOST_PATHS
    };
    if fits(paths) {
        return paths.to_vec();
    }
    let at = |depth: usize| -> Vec<String> {
        let shortened = paths.iter().map(|path| {
            let end = path.match_indices('/').nth(depth).map(|(end, _)| end);
            end.map_or_else(|| path.clone(), |end| format!("{}/*", &path[..end]))
        });
        shortened.collect::<BTreeSet<_>>().into_iter().collect()
    };
    let deepest = (0..=DEEPEST).rev().map(at).find(|shortened| fits(shortened));
    deepest.unwrap_or_else(|| vec!["/*".to_owned()])
}

async fn prove_credentials(
    shared: &aws_config::SdkConfig,
    distribution: &str,
) -> Result<(), Failure> {
    let missing = || {
        Failure::new(
            Exit::Usage,
            "cdn::credentials",
            format!(
                "no AWS credentials could be had for the CloudFront distribution {}",
                quoted(distribution)
            ),
        )
        .hint("set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or let the job assume a role; nothing was changed")
    };
    let provider = shared.credentials_provider().ok_or_else(missing)?;
    match provider.provide_credentials().await {
        Ok(_) => Ok(()),
        Err(error) => Err(missing().because(chain(&error))),
    }
}

fn status_of<E>(error: &SdkError<E, HttpResponse>) -> Option<u16> {
    let response = error.raw_response();
    response.map(|response| response.status().as_u16())
}

fn wait_of<E>(error: &SdkError<E, HttpResponse>) -> Option<Duration> {
    let headers = error.raw_response()?.headers();
    retry::retry_after(headers.get("retry-after")?, headers.get("date"))
}

fn is_absent<E>(error: &SdkError<E, HttpResponse>) -> bool
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    error.code() == Some("NoSuchDistribution")
}

/// What the service or the network said.
fn told<E>(error: &SdkError<E, HttpResponse>) -> String
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    match (status_of(error), error.code()) {
        (Some(status), Some(code)) => format!(
            "CloudFront answered {status} {}: {}",
            quoted(code),
            quoted(error.message().unwrap_or_default())
        ),
        (Some(status), None) => format!("CloudFront answered {status}"),
        _ => chain(error),
    }
}
