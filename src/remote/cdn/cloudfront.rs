//! `CloudFront`: one invalidation for each change.
//!
//! The SDK's own retries are off. An invalidation is sent again under the same caller reference, which `CloudFront` takes for the one it
//! has already, so that it can be asked until it says yes.

use std::collections::BTreeSet;
use std::time::Duration;

use async_trait::async_trait;
use aws_config::Region;
use aws_sdk_cloudfront::Client;
use aws_sdk_cloudfront::config::ProvideCredentials;
use aws_sdk_cloudfront::config::http::HttpResponse;
use aws_sdk_cloudfront::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_cloudfront::types::{InvalidationBatch, Paths};
use tokio::time::Instant;

use super::{Cdn, Change};
use crate::explain::{Exit, Failure, quoted};
use crate::remote::aws::{self, Assumed, status_of, told, wait_of};
use crate::remote::chain;
use crate::remote::retry::{self, LONGEST_WAIT, Tried};
use crate::settings::Role;

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
    unseen: Option<String>,
}

impl CloudFront {
    /// Prepares a client for the distribution with this id, with the credentials of `role`, else of the usual AWS chain, and looks whether there is such a
    /// distribution. Credentials that may not look are no obstacle: they may be allowed to invalidate all the same. Neither is a service that
    /// does not answer.
    ///
    /// `region` is that of the store, where one is set.
    ///
    /// # Errors
    /// `cdn::credentials` and `cdn::no_distribution`, exit 2; those of the role.
    pub async fn connect(
        distribution: &str,
        region: Option<&str>,
        role: Option<&Role>,
    ) -> Result<CloudFront, Failure> {
        let mut loader = aws::defaults(region.map(str::to_owned));
        if let Some(role) = role {
            loader =
                loader.credentials_provider(Assumed::by(role, region.map(str::to_owned)).await?);
        }
        let shared = loader.load().await;
        let mut config = aws_sdk_cloudfront::config::Builder::from(&shared);
        if shared.region().is_none() {
            config = config.region(Region::new(REGION));
        }
        if role.is_none() {
            prove_credentials(&shared, distribution).await?;
        }
        let mut cdn = CloudFront {
            client: Client::from_conf(config.build()),
            distribution: distribution.to_owned(),
            budget: BUDGET,
            unseen: None,
        };
        cdn.unseen = cdn.look().await?;
        Ok(cdn)
    }

    /// Whether there is such a distribution; where that cannot be seen, why: who may only invalidate may not look.
    async fn look(&self) -> Result<Option<String>, Failure> {
        let request = self.client.get_distribution().id(&self.distribution);
        match request.send().await {
            Err(error) if is_absent(&error) => Err(self.absent(Exit::Usage, &error)),
            Err(error) => {
                let error = told(&error);
                tracing::debug!(
                    distribution = self.distribution,
                    error,
                    "it was not looked at"
                );
                Ok(Some(error))
            }
            Ok(_) => Ok(None),
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
        let failure =
            |exit, code, what: String| Failure::new(exit, code, what).because(told(error));
        if is_absent(error) {
            // The pointer has moved by now: nothing that was asked for is wrong, the service refuses it.
            return Tried::Final(self.absent(Exit::RemoteRefused, error));
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
            (Some(status), code)
                if !retry::is_temporary(status)
                    && !code.starts_with("Throttl")
                    // What is not understood may have been done.
                    && !matches!(error, SdkError::ResponseError(_)) =>
            {
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

    fn absent<E>(&self, exit: Exit, error: &SdkError<E, HttpResponse>) -> Failure
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        Failure::new(
            exit,
            "cdn::no_distribution",
            format!("there is no CloudFront distribution {}", quoted(&self.distribution)),
        )
        .because(told(error))
        .hint("correct 'cdn-distribution'; it is the id, such as E2EXAMPLE1, and it belongs to the account of the credentials")
    }
}

#[async_trait]
impl Cdn for CloudFront {
    fn unseen(&self) -> Option<&str> {
        self.unseen.as_deref()
    }

    async fn tell(&self, change: &Change<'_>) -> Result<(), Failure> {
        let paths = within_limits(change.paths);
        if paths.len() < change.paths.len() {
            tracing::warn!(
                "{} paths changed, more than CloudFront takes at once; it is told {}",
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
            let left = self.budget.checked_sub(begun.elapsed() + wait)?;
            tracing::info!(
                "waiting for the CloudFront distribution {}, which has not accepted the invalidation yet: asked again in {} s, for {} s at most",
                self.distribution,
                wait.as_secs_f32().ceil(),
                left.as_secs()
            );
            Some(wait)
        };
        let what = format!("invalidation of {}", self.distribution);
        retry::repeat(&what, wait, || self.invalidate(&batch)).await?;
        tracing::info!(
            "the CloudFront distribution {} forgets {count} paths ({})",
            self.distribution,
            change.reference
        );
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
    let deepest = (0..=DEEPEST)
        .rev()
        .map(at)
        .find(|shortened| fits(shortened));
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

fn is_absent<E>(error: &SdkError<E, HttpResponse>) -> bool
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    error.code() == Some("NoSuchDistribution")
}

#[cfg(test)]
mod tests {
    use aws_config::BehaviorVersion;
    use aws_sdk_cloudfront::config::Credentials;
    use aws_sdk_cloudfront::config::retry::RetryConfig;
    use url::Url;

    use super::*;
    use crate::name::{EnvironmentName, PackageName};
    use crate::remote::canned::{Request, serve};

    fn at(url: &Url, budget: Duration) -> CloudFront {
        let config = aws_sdk_cloudfront::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(REGION))
            .retry_config(RetryConfig::disabled())
            .endpoint_url(url.as_str())
            .credentials_provider(Credentials::new("id", "secret", None, None, "test"))
            .build();
        CloudFront {
            client: Client::from_conf(config),
            distribution: "E2EXAMPLE1".to_owned(),
            budget,
            unseen: None,
        }
    }

    fn error(status: &str, code: &str) -> String {
        format!(
            "{status}\r\nContent-Type: text/xml\r\n\r\n<ErrorResponse xmlns=\"http://cloudfront.amazonaws.com/doc/2020-05-31/\"><Error><Type>Sender</Type><Code>{code}</Code><Message>said so</Message></Error><RequestId>1</RequestId></ErrorResponse>"
        )
    }

    fn done() -> String {
        "201 Created\r\nContent-Type: text/xml\r\n\r\n<Invalidation xmlns=\"http://cloudfront.amazonaws.com/doc/2020-05-31/\"><Id>I1</Id><Status>InProgress</Status><CreateTime>2026-01-02T00:00:00Z</CreateTime><InvalidationBatch><Paths><Quantity>1</Quantity><Items><Path>/a</Path></Items></Paths><CallerReference>r</CallerReference></InvalidationBatch></Invalidation>".to_owned()
    }

    /// Tells of two paths and meets `answers`; what it came to, and the requests.
    fn check(answers: Vec<String>, budget: Duration) -> (Result<(), Failure>, Vec<Request>) {
        let (url, server) = serve(answers);
        let app = PackageName::parse("web").unwrap();
        let environment = EnvironmentName::parse("prod").unwrap();
        let paths = ["/a%20b.js".to_owned(), "/index.html".to_owned()];
        let change = Change {
            app: &app,
            environment: &environment,
            version: "1.0.0",
            url: None,
            paths: &paths,
            reference: "pkgs-7-x",
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let told = runtime.block_on(at(&url, budget).tell(&change));
        (told, server.join().unwrap())
    }

    #[test]
    fn it_is_asked_until_it_accepts_always_for_the_same() {
        let busy = error("400 Bad Request", "TooManyInvalidationsInProgress");
        let answers = vec![
            busy,
            error("400 Bad Request", "Throttling"),
            String::new(),
            done(),
        ];
        let (told, requests) = check(answers, BUDGET);
        told.unwrap();
        assert_eq!(requests.len(), 4);
        for request in &requests {
            let body = String::from_utf8_lossy(&request.body);
            assert!(
                request
                    .head
                    .starts_with("POST /2020-05-31/distribution/E2EXAMPLE1/invalidation ")
            );
            assert!(
                body.contains("<CallerReference>pkgs-7-x</CallerReference>"),
                "{body}"
            );
            assert!(body.contains("<Quantity>2</Quantity>"), "{body}");
            assert!(
                body.contains("<Path>/a%20b.js</Path><Path>/index.html</Path>"),
                "{body}"
            );
        }
    }

    #[test]
    fn what_will_not_change_is_said_at_once() {
        for (answer, exit, code) in [
            (
                error("403 Forbidden", "AccessDenied"),
                Exit::RemoteRefused,
                "cdn::forbidden",
            ),
            (
                error("403 Forbidden", "ExpiredToken"),
                Exit::RemoteRefused,
                "cdn::credentials",
            ),
            (
                error("404 Not Found", "NoSuchDistribution"),
                Exit::RemoteRefused,
                "cdn::no_distribution",
            ),
            (
                error("400 Bad Request", "InvalidArgument"),
                Exit::RemoteRefused,
                "cdn::refused",
            ),
        ] {
            let (told, requests) = check(vec![answer], BUDGET);
            let failure = told.unwrap_err();
            assert_eq!((failure.exit(), failure.code()), (exit, code));
            assert_eq!(requests.len(), 1);
            let causes = failure.causes().join("\n");
            assert!(causes.contains("said so"), "{causes}");
        }
    }

    #[test]
    fn a_distribution_that_stays_busy_is_temporary() {
        let busy = error("400 Bad Request", "TooManyInvalidationsInProgress");
        let (told, _) = check(vec![busy], Duration::ZERO);
        let failure = told.unwrap_err();
        assert_eq!(
            (failure.exit(), failure.code()),
            (Exit::Temporary, "cdn::busy")
        );
    }

    #[test]
    fn more_paths_than_it_takes_become_prefixes() {
        let many = |directory: &str, count: usize| {
            (0..count)
                .map(|number| format!("{directory}/{number}.js"))
                .collect::<Vec<_>>()
        };
        let check = |paths: Vec<String>, expected: &[&str]| {
            assert_eq!(within_limits(&paths), expected);
        };
        let exactly = many("", MOST_PATHS);
        assert_eq!(within_limits(&exactly), exactly);
        check(many("", MOST_PATHS + 1), &["/*"]);
        let index = vec!["/index.html".to_owned()];
        check(
            [index.clone(), many("/web/js", 3000)].concat(),
            &["/index.html", "/web/js/*"],
        );
        check(
            [many("/a/b", 2000), many("/a/c", 2000), index.clone()].concat(),
            &["/a/b/*", "/a/c/*", "/index.html"],
        );
        // More directories than prefixes are allowed: those above them.
        let spread: Vec<String> = (0..20)
            .flat_map(|number| many(&format!("/a/{number}"), 200))
            .collect();
        check([index, spread].concat(), &["/a/*", "/index.html"]);
        let flat: Vec<String> = (0..4000).map(|number| format!("/{number}/a.js")).collect();
        check(flat, &["/*"]);
    }
}
