//! What all of AWS has in common: patience, credentials, and what its servers say.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use aws_config::retry::RetryConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, ConfigLoader, Region};
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::config::{Credentials, ProvideCredentials};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};

use crate::explain::{Exit, Failure, quoted};
use crate::remote::chain;
use crate::remote::identity::JobIdentity;
use crate::remote::retry::{self, Tried};
use crate::settings::Role;
use crate::settings::identity::Claims;

pub(in crate::remote) const CONNECT: Duration = Duration::from_secs(10);
pub(in crate::remote) const FIRST_BYTE: Duration = Duration::from_mins(1);
const STALLED: Duration = Duration::from_secs(30);

/// For whom the job's identity is made: what [AWS](https://docs.github.com/actions/how-tos/secure-your-work/security-harden-deployments/oidc-in-aws) is
/// set up with.
const AUDIENCE: &str = "sts.amazonaws.com";

/// How AWS is asked: the SDK sends nothing again by itself, and waits for nobody without end.
pub(in crate::remote) fn defaults(region: Option<String>) -> ConfigLoader {
    let loader = aws_config::defaults(BehaviorVersion::latest())
        .retry_config(RetryConfig::disabled())
        .timeout_config(
            TimeoutConfig::builder()
                .connect_timeout(CONNECT)
                .read_timeout(FIRST_BYTE)
                .build(),
        )
        .stalled_stream_protection(
            // Answers alone: of what is sent, whoever sends much of it takes care.
            StalledStreamProtectionConfig::enabled()
                .upload_enabled(false)
                .grace_period(STALLED)
                .build(),
        );
    match region {
        Some(region) => loader.region(Region::new(region)),
        None => loader,
    }
}

/// Credentials of a role, for the job's identity; new ones when they run out.
#[derive(Debug)]
pub(in crate::remote) struct Assumed {
    client: aws_sdk_sts::Client,
    identity: JobIdentity,
    role: Role,
    /// Those that proved that the role can be assumed; given away once.
    first: Mutex<Option<Credentials>>,
}

impl Assumed {
    /// Assumes `role` once, so that what keeps the job from it is told before anything is done.
    ///
    /// # Errors
    /// `store::role`, exit 5; `store::unreachable`, exit 75; those of the platform that makes the identity.
    pub(in crate::remote) async fn by(
        role: &Role,
        region: Option<String>,
    ) -> Result<Assumed, Failure> {
        let shared = defaults(region).no_credentials().load().await;
        let mut config = aws_sdk_sts::config::Builder::from(&shared);
        if shared.region().is_none() {
            config = config.region(Region::new("us-east-1"));
        }
        let assumed = Assumed {
            client: aws_sdk_sts::Client::from_conf(config.build()),
            identity: JobIdentity::new(role.identity.clone()),
            role: role.clone(),
            first: Mutex::default(),
        };
        let first = assumed.exchange().await?;
        *assumed.first() = Some(first);
        Ok(assumed)
    }

    fn first(&self) -> std::sync::MutexGuard<'_, Option<Credentials>> {
        self.first.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn exchange(&self) -> Result<Credentials, Failure> {
        let identity = self.identity.id_token(AUDIENCE).await?;
        let given = retry::read(&self.role.arn, || async {
            self.client
                .assume_role_with_web_identity()
                .role_arn(&self.role.arn)
                .role_session_name(&self.role.session)
                .web_identity_token(identity.reveal())
                .send()
                .await
                .map_err(|error| self.refused(&error, identity.reveal()))
        })
        .await?;
        let given = given
            .credentials()
            .ok_or_else(|| self.unanswered("the answer holds no credentials".to_owned()))?;
        let until = SystemTime::try_from(*given.expiration());
        let until = until.map_err(|error| self.unanswered(error.to_string()))?;
        Ok(Credentials::new(
            given.access_key_id(),
            given.secret_access_key(),
            Some(given.session_token().to_owned()),
            Some(until),
            "role-to-assume",
        ))
    }

    fn refused<E>(&self, error: &SdkError<E, HttpResponse>, identity: &str) -> Tried<Failure>
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        match status_of(error) {
            // STS says both with 400, and what is no answer of its own is nobody's word.
            Some(status)
                if status >= 400
                    && !retry::is_temporary(status)
                    && !matches!(
                        error.code(),
                        Some("ThrottlingException" | "Throttling" | "IDPCommunicationError")
                    ) =>
            {
                let subject = Claims::read(identity).subject;
                let job = subject.map_or_else(
                    || "this job".to_owned(),
                    |subject| format!("the job {}", quoted(&subject)),
                );
                Tried::Final(
                    Failure::new(
                        Exit::RemoteRefused,
                        "store::role",
                        format!("AWS does not let {job} assume the role {}", self.role.arn),
                    )
                    .because(told(error))
                    .hint(format!("the trust policy of the role must name this subject and the audience {AUDIENCE}")),
                )
            }
            _ => Tried::temporary(self.unanswered(told(error))),
        }
    }

    fn unanswered(&self, why: String) -> Failure {
        Failure::new(
            Exit::Temporary,
            "store::unreachable",
            format!("the role {} could not be assumed", self.role.arn),
        )
        .because(why)
        .hint("run again; if it stays so, look at the network and at AWS")
    }
}

impl ProvideCredentials for Assumed {
    fn provide_credentials<'a>(
        &'a self,
    ) -> aws_credential_types::provider::future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        use aws_credential_types::provider::error::CredentialsError;
        use aws_credential_types::provider::future;
        if let Some(first) = self.first().take() {
            return future::ProvideCredentials::ready(Ok(first));
        }
        future::ProvideCredentials::new(async {
            self.exchange()
                .await
                .map_err(CredentialsError::provider_error)
        })
    }
}

/// The status of an answer, where there is one.
pub(in crate::remote) fn status_of<E>(error: &SdkError<E, HttpResponse>) -> Option<u16> {
    error
        .raw_response()
        .map(|response| response.status().as_u16())
}

/// How long the server asks to wait.
pub(in crate::remote) fn wait_of<E>(error: &SdkError<E, HttpResponse>) -> Option<Duration> {
    let headers = error.raw_response()?.headers();
    retry::retry_after(headers.get("retry-after")?, headers.get("date"))
}

/// What the server or the network said.
pub(in crate::remote) fn told<E>(error: &SdkError<E, HttpResponse>) -> String
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    match (status_of(error), error.code()) {
        (Some(status), Some(code)) => format!(
            "the server answered {status} {}: {}",
            quoted(code),
            quoted(error.message().unwrap_or_default())
        ),
        (Some(status), None) => format!("the server answered {status}"),
        _ => chain(error),
    }
}
