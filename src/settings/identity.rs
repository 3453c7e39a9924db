//! What a job of a workflow can prove about itself to a registry: where its identity token comes from, what that token says, and what a
//! registry made of it.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use url::Url;

use crate::explain::{Exit, Failure};
use crate::name::PackageName;
use crate::secret::{BoundSecret, Secret};

/// Where the token comes from that tells a registry which job this is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IdentitySource {
    /// The platform made it for the registry: `NPM_ID_TOKEN`.
    Given(Secret),
    /// The platform is asked for it, as [GitHub](https://docs.github.com/actions/reference/security/oidc) is.
    Asked {
        /// Where.
        url: Url,
        /// What gives the right to ask.
        token: BoundSecret,
    },
}

impl IdentitySource {
    /// Reads what the platform set, in the order of npm's own `lib/utils/oidc.js`: `NPM_ID_TOKEN` on GitHub, GitLab and `CircleCI`, else, on GitHub,
    /// the two variables that a job with `id-token: write` has. `None` elsewhere.
    ///
    /// # Errors
    /// `identity::variables`, exit 2, when they hold what cannot be used.
    pub fn read(environment: &BTreeMap<String, String>) -> Result<Option<IdentitySource>, Failure> {
        let text = |name: &str| environment.get(name).filter(|value| !value.is_empty());
        let is_github = text("GITHUB_ACTIONS").is_some();
        if !is_github && text("GITLAB_CI").is_none() && text("CIRCLECI").is_none() {
            return Ok(None);
        }
        if let Some(given) = secret(environment, "NPM_ID_TOKEN") {
            return Ok(Some(IdentitySource::Given(given?)));
        }
        if is_github {
            IdentitySource::asked(environment)
        } else {
            Ok(None)
        }
    }

    /// Where a token comes from that [Sigstore](https://docs.sigstore.dev/certificate_authority/oidc-in-fulcio/) takes for the identity of the job: on
    /// GitHub it is asked for, on GitLab it is `SIGSTORE_ID_TOKEN`. Variables that cannot be used are as good as none.
    pub fn that_signs(
        platform: Platform,
        environment: &BTreeMap<String, String>,
    ) -> Option<IdentitySource> {
        match platform {
            Platform::GitHub => IdentitySource::asked(environment).ok()?,
            Platform::GitLab => {
                let token = environment.get("SIGSTORE_ID_TOKEN")?;
                let token = Secret::new(token).filter(|_| !token.is_empty());
                token.map(IdentitySource::Given)
            }
            Platform::Other => None,
        }
    }

    /// The platform, where it gave the job the right to ask: the one source that makes a token for whatever service it is asked for.
    ///
    /// # Errors
    /// As [`IdentitySource::read`].
    pub fn asked(
        environment: &BTreeMap<String, String>,
    ) -> Result<Option<IdentitySource>, Failure> {
        const ADDRESS: &str = "ACTIONS_ID_TOKEN_REQUEST_URL";
        let text = |name: &str| environment.get(name).filter(|value| !value.is_empty());
        let token = secret(environment, "ACTIONS_ID_TOKEN_REQUEST_TOKEN");
        let (Some(address), Some(token)) = (text(ADDRESS), token) else {
            return Ok(None);
        };
        let url = Url::parse(address).ok();
        let url = url.filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        let url = url.ok_or_else(|| refused(ADDRESS, "it is not an address"))?;
        let token = BoundSecret::new(token?, &url);
        Ok(Some(IdentitySource::Asked { url, token }))
    }
}

/// That what a platform set is of no use.
fn refused(name: &str, why: &str) -> Failure {
    let what = format!("{name} cannot be used");
    Failure::new(Exit::Usage, "identity::variables", what)
        .because(why)
        .hint("the platform sets it; set npm-token to publish with a token instead")
}

/// A credential that a platform set.
fn secret(environment: &BTreeMap<String, String>, name: &str) -> Option<Result<Secret, Failure>> {
    let value = environment.get(name).filter(|value| !value.is_empty())?;
    let why = "it holds line breaks or control characters";
    Some(Secret::new(value).ok_or_else(|| refused(name, why)))
}

/// The platform that runs a job, as `npm trust` names it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Platform {
    /// GitHub Actions.
    GitHub,
    /// GitLab CI.
    GitLab,
    /// Another one.
    #[default]
    Other,
}

/// What an identity token says of its job. It is shown, and nothing is decided by it: only who made the token can verify it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Claims {
    /// Who runs the job.
    pub platform: Platform,
    /// Its repository, `owner/name`.
    pub repository: Option<String>,
    /// The workflow that was started: `owner/name/.github/workflows/release.yml@refs/heads/main`.
    pub workflow: Option<String>,
    /// The workflow that holds the job, where that is another one, which was called.
    pub called: Option<String>,
    /// The environment that the job names.
    pub environment: Option<String>,
    /// `github-hosted` or `self-hosted`.
    pub runner: Option<String>,
    /// The subject.
    pub subject: Option<String>,
    /// Who may see the repository: `public`, `private` or `internal`.
    pub visibility: Option<String>,
    /// The address by which the issuer knows a person, where it says that it verified it.
    pub email: Option<String>,
}

/// The claims of [GitHub](https://docs.github.com/actions/reference/security/oidc) and [GitLab](https://docs.gitlab.com/ci/secrets/id_token_authentication/).
#[derive(Default, Deserialize)]
#[serde(default)]
struct Payload {
    repository: Option<String>,
    project_path: Option<String>,
    workflow_ref: Option<String>,
    job_workflow_ref: Option<String>,
    ci_config_ref_uri: Option<String>,
    environment: Option<String>,
    runner_environment: Option<String>,
    sub: Option<String>,
    repository_visibility: Option<String>,
    project_visibility: Option<String>,
    email: Option<String>,
    email_verified: bool,
}

impl Claims {
    /// Reads the claims of a JWT; nothing is verified. What cannot be read says nothing.
    ///
    /// ```
    /// use pkgs_action::settings::identity::Claims;
    /// // {"repository":"acme/mono"}
    /// assert_eq!(Claims::read("e30.eyJyZXBvc2l0b3J5IjoiYWNtZS9tb25vIn0.c2ln").repository.as_deref(), Some("acme/mono"));
    /// assert_eq!(Claims::read("no token"), Claims::default());
    /// ```
    pub fn read(token: &str) -> Claims {
        const LONGEST: usize = 64 << 10;
        let payload = token.split('.').nth(1).filter(|part| part.len() <= LONGEST);
        let payload = payload
            .and_then(|part| URL_SAFE_NO_PAD.decode(part.trim_end_matches('=')).ok())
            .and_then(|bytes| serde_json::from_slice::<Payload>(&bytes).ok())
            .unwrap_or_default();
        let platform = match (&payload.repository, &payload.project_path) {
            (Some(_), _) => Platform::GitHub,
            (None, Some(_)) => Platform::GitLab,
            (None, None) => Platform::Other,
        };
        let workflow = payload.workflow_ref.or(payload.ci_config_ref_uri);
        Claims {
            platform,
            repository: payload.repository.or(payload.project_path),
            called: payload
                .job_workflow_ref
                .filter(|called| Some(called) != workflow.as_ref()),
            workflow,
            environment: payload.environment,
            runner: payload.runner_environment,
            subject: payload.sub,
            visibility: payload.repository_visibility.or(payload.project_visibility),
            email: payload.email.filter(|_| payload.email_verified),
        }
    }

    /// The name of the workflow's file, which is all that npm compares of it.
    ///
    /// ```
    /// use pkgs_action::settings::identity::Claims;
    /// let workflow = Some("acme/mono/.github/workflows/release.yml@refs/heads/a@b".to_owned());
    /// assert_eq!(Claims { workflow, ..Claims::default() }.file(), Some("release.yml"));
    /// ```
    pub fn file(&self) -> Option<&str> {
        let path = self.workflow.as_deref()?.split('@').next()?;
        path.rsplit('/').next().filter(|file| !file.is_empty())
    }

    /// Whether the job runs on a machine of its owner's.
    pub fn is_self_hosted(&self) -> bool {
        self.runner.as_deref() == Some("self-hosted")
    }

    /// Whether the subject has ids behind its names (`repo:acme@12/mono@34:…`).
    pub fn has_immutable_subject(&self) -> bool {
        let repository = self
            .subject
            .as_deref()
            .and_then(|subject| subject.strip_prefix("repo:"));
        repository.is_some_and(|rest| rest.split(':').next().unwrap_or_default().contains('@'))
    }
}

/// What a registry made of the job's identity for one package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trust {
    /// What the job said of itself.
    pub claims: Claims,
    /// Why it may not publish; `None`: it may.
    pub refused: Option<Refusal>,
}

/// That a registry does not take the job's identity.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Refusal {
    /// The status of its answer.
    pub status: u16,
    /// What it said, as a sentence for people.
    pub said: String,
}

/// The command that makes a package trust the job: what a person runs once, on their own machine.
///
/// ```
/// use pkgs_action::name::PackageName;
/// use pkgs_action::settings::identity::{Claims, Platform, trust_command};
/// let name = PackageName::parse("@acme/text").unwrap();
/// let claims = Claims {
///     platform: Platform::GitHub,
///     repository: Some("acme/mono".to_owned()),
///     workflow: Some("acme/mono/.github/workflows/release.yml@refs/heads/main".to_owned()),
///     environment: Some("npm".to_owned()),
///     ..Claims::default()
/// };
/// assert_eq!(
///     trust_command(&claims, &name, false),
///     "npm trust github @acme/text --file release.yml --repo acme/mono --env npm --allow-publish"
/// );
/// ```
pub fn trust_command(claims: &Claims, name: &PackageName, stages: bool) -> String {
    let platform = match claims.platform {
        Platform::GitHub => "github",
        Platform::GitLab => "gitlab",
        Platform::Other => "<platform>",
    };
    // What a shell would read as more than a word is left to the person.
    let word = |text: Option<&str>, otherwise: &str| {
        let is_plain = |text: &&str| {
            let mut letters = text.chars();
            letters.all(|letter| letter.is_ascii_alphanumeric() || "._-/".contains(letter))
        };
        text.filter(is_plain).unwrap_or(otherwise).to_owned()
    };
    let file = word(claims.file(), "<workflow file>");
    let repository = word(claims.repository.as_deref(), "<owner/repository>");
    let environment = claims
        .environment
        .as_deref()
        .map_or_else(String::new, |name| {
            format!(" --env {}", word(Some(name), "<environment>"))
        });
    let permission = if stages {
        "--allow-stage-publish"
    } else {
        "--allow-publish"
    };
    format!(
        "npm trust {platform} {name} --file {file} --repo {repository}{environment} {permission}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a platform's variables lead to.
    fn check(variables: &[(&str, &str)], expected: &str) {
        let environment: BTreeMap<String, String> = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let found = match IdentitySource::read(&environment) {
            Ok(None) => "none".to_owned(),
            Ok(Some(IdentitySource::Given(token))) => format!("given {}", token.reveal()),
            Ok(Some(IdentitySource::Asked { url, token })) => {
                format!(
                    "asked {url} {}",
                    token.authorization(&url).unwrap_or_default()
                )
            }
            Err(failure) => failure.to_string(),
        };
        assert_eq!(found, expected, "{variables:?}");
    }

    #[test]
    fn where_the_identity_comes_from() {
        let github = ("GITHUB_ACTIONS", "true");
        let url = (
            "ACTIONS_ID_TOKEN_REQUEST_URL",
            "https://issuer.example/t?v=2",
        );
        let token = ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "right");
        let given = ("NPM_ID_TOKEN", "e30.e30.x");
        check(&[], "none");
        check(&[github], "none");
        check(&[github, url], "none");
        check(&[github, token], "none");
        check(&[url, token], "none");
        check(&[given], "none");
        check(
            &[github, url, token],
            "asked https://issuer.example/t?v=2 Bearer right",
        );
        check(&[github, url, token, given], "given e30.e30.x");
        check(&[("GITLAB_CI", "true"), given], "given e30.e30.x");
        check(&[("CIRCLECI", "true"), given], "given e30.e30.x");
        check(&[("GITLAB_CI", "true"), url, token], "none");
        check(
            &[github, ("ACTIONS_ID_TOKEN_REQUEST_URL", "file:///a"), token],
            "ACTIONS_ID_TOKEN_REQUEST_URL cannot be used",
        );
        check(
            &[github, ("NPM_ID_TOKEN", "a\nb")],
            "NPM_ID_TOKEN cannot be used",
        );
    }

    #[test]
    fn what_a_token_says() {
        let jwt = |payload: &str| format!("e30.{}.sig", URL_SAFE_NO_PAD.encode(payload));
        let github = Claims::read(&jwt(
            r#"{"sub":"repo:acme@1/mono@2:ref:refs/heads/main","repository":"acme/mono","workflow_ref":"acme/mono/.github/workflows/release.yml@refs/heads/main",
            "job_workflow_ref":"acme/shared/.github/workflows/publish.yml@v1","runner_environment":"self-hosted","aud":"npm:r"}"#,
        ));
        assert_eq!(github.platform, Platform::GitHub);
        assert_eq!(github.file(), Some("release.yml"));
        assert_eq!(
            github.called.as_deref(),
            Some("acme/shared/.github/workflows/publish.yml@v1")
        );
        assert!(github.is_self_hosted() && github.has_immutable_subject());
        let gitlab = Claims::read(&jwt(
            r#"{"project_path":"acme/mono","ci_config_ref_uri":"gitlab.com/acme/mono//.gitlab-ci.yml@refs/heads/main","sub":"project_path:acme/mono"}"#,
        ));
        assert_eq!(gitlab.platform, Platform::GitLab);
        assert_eq!(gitlab.file(), Some(".gitlab-ci.yml"));
        assert!(!gitlab.has_immutable_subject());
        for bad in [
            "",
            "a",
            "a.b",
            "a.!!.c",
            &jwt("[]"),
            &jwt("{\"repository\":1}"),
        ] {
            assert_eq!(Claims::read(bad), Claims::default(), "{bad}");
        }
    }

    #[test]
    fn no_claim_becomes_a_command_of_its_own() {
        let claims = Claims {
            repository: Some("a/b; rm -rf ~".to_owned()),
            environment: Some("$(x)".to_owned()),
            ..Claims::default()
        };
        let name = PackageName::parse("a").expect("a name");
        assert_eq!(
            trust_command(&claims, &name, true),
            "npm trust <platform> a --file <workflow file> --repo <owner/repository> --env <environment> --allow-stage-publish"
        );
    }
}
