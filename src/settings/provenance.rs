//! Provenance: what was asked about the signed statements that say where packages were built, and what the platform of the job tells for them.

use std::collections::BTreeMap;

use url::Url;

use crate::explain::{Exit, Failure, quoted};
use crate::settings::address;
use crate::settings::identity::{IdentitySource, Platform};
use crate::settings::npmrc::NpmrcFile;
use crate::settings::registries::layers::layers;

/// The public certificate authority of [Sigstore](https://docs.sigstore.dev/certificate_authority/overview/).
const FULCIO: &str = "https://fulcio.sigstore.dev/";
/// The public log of [Sigstore](https://docs.sigstore.dev/logging/overview/).
const REKOR: &str = "https://rekor.sigstore.dev/";

/// What the statement of a job of GitHub needs.
const GITHUB: [&str; 11] = [
    "GITHUB_WORKFLOW_REF",
    "GITHUB_REPOSITORY",
    "GITHUB_SERVER_URL",
    "GITHUB_EVENT_NAME",
    "GITHUB_REPOSITORY_ID",
    "GITHUB_REPOSITORY_OWNER_ID",
    "GITHUB_REF",
    "GITHUB_SHA",
    "GITHUB_RUN_ID",
    "GITHUB_RUN_ATTEMPT",
    "RUNNER_ENVIRONMENT",
];

/// What the statement of a job of GitLab needs; of what else it holds, what is not set stays out.
const GITLAB: [&str; 4] = [
    "CI_PROJECT_URL",
    "CI_RUNNER_ID",
    "CI_COMMIT_SHA",
    "CI_JOB_URL",
];

/// What npm takes over from a job of GitLab besides, in its order (`libnpmpublish/lib/provenance.js`).
pub const GITLAB_PARAMETERS: [&str; 76] = [
    "CI",
    "CI_API_GRAPHQL_URL",
    "CI_API_V4_URL",
    "CI_BUILD_BEFORE_SHA",
    "CI_BUILD_ID",
    "CI_BUILD_NAME",
    "CI_BUILD_REF",
    "CI_BUILD_REF_NAME",
    "CI_BUILD_REF_SLUG",
    "CI_BUILD_STAGE",
    "CI_COMMIT_BEFORE_SHA",
    "CI_COMMIT_BRANCH",
    "CI_COMMIT_REF_NAME",
    "CI_COMMIT_REF_PROTECTED",
    "CI_COMMIT_REF_SLUG",
    "CI_COMMIT_SHA",
    "CI_COMMIT_SHORT_SHA",
    "CI_COMMIT_TIMESTAMP",
    "CI_COMMIT_TITLE",
    "CI_CONFIG_PATH",
    "CI_DEFAULT_BRANCH",
    "CI_DEPENDENCY_PROXY_DIRECT_GROUP_IMAGE_PREFIX",
    "CI_DEPENDENCY_PROXY_GROUP_IMAGE_PREFIX",
    "CI_DEPENDENCY_PROXY_SERVER",
    "CI_DEPENDENCY_PROXY_USER",
    "CI_JOB_ID",
    "CI_JOB_NAME",
    "CI_JOB_NAME_SLUG",
    "CI_JOB_STAGE",
    "CI_JOB_STARTED_AT",
    "CI_JOB_URL",
    "CI_NODE_TOTAL",
    "CI_PAGES_DOMAIN",
    "CI_PAGES_URL",
    "CI_PIPELINE_CREATED_AT",
    "CI_PIPELINE_ID",
    "CI_PIPELINE_IID",
    "CI_PIPELINE_SOURCE",
    "CI_PIPELINE_URL",
    "CI_PROJECT_CLASSIFICATION_LABEL",
    "CI_PROJECT_DESCRIPTION",
    "CI_PROJECT_ID",
    "CI_PROJECT_NAME",
    "CI_PROJECT_NAMESPACE",
    "CI_PROJECT_NAMESPACE_ID",
    "CI_PROJECT_PATH",
    "CI_PROJECT_PATH_SLUG",
    "CI_PROJECT_REPOSITORY_LANGUAGES",
    "CI_PROJECT_ROOT_NAMESPACE",
    "CI_PROJECT_TITLE",
    "CI_PROJECT_URL",
    "CI_PROJECT_VISIBILITY",
    "CI_REGISTRY",
    "CI_REGISTRY_IMAGE",
    "CI_REGISTRY_USER",
    "CI_RUNNER_DESCRIPTION",
    "CI_RUNNER_ID",
    "CI_RUNNER_TAGS",
    "CI_SERVER_HOST",
    "CI_SERVER_NAME",
    "CI_SERVER_PORT",
    "CI_SERVER_PROTOCOL",
    "CI_SERVER_REVISION",
    "CI_SERVER_SHELL_SSH_HOST",
    "CI_SERVER_SHELL_SSH_PORT",
    "CI_SERVER_URL",
    "CI_SERVER_VERSION",
    "CI_SERVER_VERSION_MAJOR",
    "CI_SERVER_VERSION_MINOR",
    "CI_SERVER_VERSION_PATCH",
    "CI_TEMPLATE_REGISTRY_HOST",
    "GITLAB_CI",
    "GITLAB_FEATURES",
    "GITLAB_USER_ID",
    "GITLAB_USER_LOGIN",
    "RUNNER_GENERATE_ARTIFACTS_METADATA",
];

/// What the platform says of the job besides its parameters.
const GITLAB_FURTHER: &str = "CI_RUNNER_EXECUTABLE_ARCH";

/// Whether a package shall get a signed statement, and what said so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// `None`: npm's rule decides.
    pub wanted: Option<bool>,
    /// What said so, as the start of a sentence: `provenance`, `publishConfig.provenance`.
    pub said: String,
}

/// What npm's own settings say: `NPM_CONFIG_PROVENANCE`, else `provenance` in an `.npmrc`. What these cannot be read for is told where
/// registries are.
pub(super) fn of_npm(
    files: &[NpmrcFile],
    environment: &BTreeMap<String, String>,
) -> Option<(bool, String)> {
    let layers = layers(files, environment).ok()?;
    layers.into_iter().find_map(|layer| {
        let mut lines = layer.entries.into_iter().rev();
        let line = lines.find(|line| line.key == "provenance")?;
        let said = match &line.place {
            Some(place) => format!("provenance in {}", place.file),
            None => line.said.clone(),
        };
        Some((is_true(&line.value), said))
    })
}

/// A truth value as npm's own parser takes it: everything that is no `false`, `null` or 0 is true.
fn is_true(value: &str) -> bool {
    match value {
        "false" | "null" | "" => false,
        other => other.parse::<f64>() != Ok(0.0),
    }
}

/// Where statements are signed and logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Services {
    /// What makes the certificates.
    pub fulcio: Url,
    /// The log.
    pub rekor: Url,
}

impl Services {
    /// Sigstore's public ones, or those that `SIGSTORE_FULCIO_URL` and `SIGSTORE_REKOR_URL` name.
    ///
    /// # Errors
    /// `settings::url`, exit 2, where one is no address to which an identity may go.
    pub fn read(environment: &BTreeMap<String, String>) -> Result<Services, Failure> {
        let read = |variable: &str, public: &str| {
            let given = environment.get(variable).filter(|text| !text.is_empty());
            let text = given.map_or(public, String::as_str);
            address::http(text).map_err(|refused| {
                let what = format!("{variable} is {}, not an address", quoted(text));
                Failure::new(Exit::Usage, "settings::url", what)
                    .because(refused.why)
                    .hint(refused.hint)
            })
        };
        Ok(Services {
            fulcio: read("SIGSTORE_FULCIO_URL", FULCIO)?,
            rekor: read("SIGSTORE_REKOR_URL", REKOR)?,
        })
    }

    /// Sigstore's public ones.
    pub fn public() -> Services {
        Services::read(&BTreeMap::new())
            .unwrap_or_else(|failure| unreachable!("the public services are addresses: {failure}"))
    }
}

/// The job, as its platform tells of it in variables that statements are made of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Job {
    /// Who runs it.
    pub platform: Platform,
    /// Where the identity that signs comes from: a token for Sigstore.
    pub identity: Option<IdentitySource>,
    variables: BTreeMap<String, String>,
}

impl Job {
    /// Reads what the platform set. Where what it set for identities cannot be used, the job has none.
    pub fn read(environment: &BTreeMap<String, String>) -> Job {
        let is_set = |name: &str| environment.get(name).is_some_and(|value| !value.is_empty());
        let (platform, names): (_, Vec<&str>) = if is_set("GITHUB_ACTIONS") {
            (Platform::GitHub, GITHUB.to_vec())
        } else if is_set("GITLAB_CI") {
            let all = GITLAB_PARAMETERS.iter().chain(&GITLAB);
            let all = all.copied().chain([GITLAB_FURTHER]);
            (Platform::GitLab, all.collect())
        } else {
            return Job::default();
        };
        let variable = |name: &str| Some((name.to_owned(), environment.get(name)?.clone()));
        Job {
            identity: IdentitySource::that_signs(platform, environment),
            variables: names.into_iter().filter_map(variable).collect(),
            platform,
        }
    }

    /// What the platform set.
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str)
    }

    /// The variables without which no statement can be made.
    pub fn lacks(&self) -> Vec<&'static str> {
        let needed: &[&'static str] = match self.platform {
            Platform::GitHub => &GITHUB,
            Platform::GitLab => &GITLAB,
            Platform::Other => &[],
        };
        let is_lacking = |name: &&&str| self.variable(name).is_none_or(str::is_empty);
        needed.iter().filter(is_lacking).copied().collect()
    }

    /// The repository of the job, `owner/name`.
    pub fn repository(&self) -> Option<&str> {
        match self.platform {
            Platform::GitHub => self.variable("GITHUB_REPOSITORY"),
            Platform::GitLab => self.variable("CI_PROJECT_PATH"),
            Platform::Other => None,
        }
    }

    /// The commit that it runs for.
    pub fn commit(&self) -> Option<&str> {
        match self.platform {
            Platform::GitHub => self.variable("GITHUB_SHA"),
            Platform::GitLab => self.variable("CI_COMMIT_SHA"),
            Platform::Other => None,
        }
    }

    /// Whether it runs on a machine of its owner's, as far as the platform says so.
    pub fn is_self_hosted(&self) -> bool {
        self.variable("RUNNER_ENVIRONMENT") == Some("self-hosted")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::inputs::{Asked, collect};
    use crate::settings::npmrc::Whose;
    use crate::settings::{Settings, World};

    fn environment(variables: &[(&str, &str)]) -> BTreeMap<String, String> {
        let variables = variables.iter();
        variables
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn what_npm_itself_was_told() {
        let file = |shown: &str, text: &str, whose| NpmrcFile {
            shown: shown.to_owned(),
            text: text.to_owned(),
            whose,
        };
        let check = |variables: &[(&str, &str)], files: &[NpmrcFile], expected: &str| {
            let found = of_npm(files, &environment(variables));
            let found = found.map_or("nothing".to_owned(), |(is, said)| format!("{said}: {is}"));
            assert_eq!(found, expected, "{variables:?} {files:?}");
        };
        let own = file(
            ".npmrc",
            "provenance=true\nprovenance=false\n",
            Whose::Repository,
        );
        let users = file("~/.npmrc", "provenance", Whose::User);
        let variable = ("NPM_CONFIG_PROVENANCE", "true");
        check(&[], &[], "nothing");
        check(&[variable], &[], "NPM_CONFIG_PROVENANCE: true");
        check(
            &[("npm_config_provenance", "0")],
            &[],
            "npm_config_provenance: false",
        );
        check(&[("npm_config_provenance", "")], &[], "nothing");
        let both = [own, users.clone()];
        check(&[], &[users], "provenance in ~/.npmrc: true");
        check(&[], &both, "provenance in .npmrc: false");
        check(&[variable], &both, "NPM_CONFIG_PROVENANCE: true");
    }

    #[test]
    fn who_says_it_first() {
        let check = |variables: &[(&str, &str)], declared: Option<bool>, expected: &str| {
            let environment = environment(variables);
            let Ok(Asked::Run(collected)) = collect(&["release".to_owned()], &environment) else {
                panic!("release is a command");
            };
            let world = World {
                environment,
                ..World::default()
            };
            let settings = Settings::resolve(*collected, &[], world).expect("settings");
            let wish = settings.provenance_of(declared);
            let found = wish.wanted.map_or("npm's rule".to_owned(), |wanted| {
                format!("{} is {wanted}", wish.said)
            });
            assert_eq!(found, expected, "{variables:?} {declared:?}");
        };
        let (own, npm) = (
            ("PKGS_PROVENANCE", "true"),
            ("NPM_CONFIG_PROVENANCE", "true"),
        );
        check(&[own], Some(false), "provenance is true");
        check(&[npm], Some(false), "publishConfig.provenance is false");
        check(&[npm], None, "NPM_CONFIG_PROVENANCE is true");
        let auto = ("PKGS_PROVENANCE", "auto");
        check(&[auto, npm], None, "NPM_CONFIG_PROVENANCE is true");
        check(
            &[("PKGS_PROVENANCE", "false"), npm],
            Some(true),
            "provenance is false",
        );
        check(&[auto], None, "npm's rule");
        check(&[], None, "npm's rule");
    }

    #[test]
    fn identities_go_over_tls_or_stay_on_this_machine() {
        let read = |address: &str| {
            let variables = environment(&[("SIGSTORE_FULCIO_URL", address)]);
            Services::read(&variables).map(|services| services.fulcio.to_string())
        };
        assert_eq!(read("").expect("the public one"), FULCIO);
        assert_eq!(
            read("http://127.0.0.1:5").expect("here"),
            "http://127.0.0.1:5/"
        );
        for bad in [
            "http://fulcio.example",
            "fulcio",
            "https://a:b@fulcio.example",
        ] {
            let failure = read(bad).expect_err(bad);
            assert_eq!(failure.code(), "settings::url");
        }
    }

    #[test]
    fn what_a_job_lacks() {
        let github = [("GITHUB_ACTIONS", "true"), ("GITHUB_SHA", "")];
        let job = Job::read(&environment(&github));
        assert_eq!(
            (job.platform, job.lacks().len()),
            (Platform::GitHub, GITHUB.len())
        );
        let gitlab = [
            ("GITLAB_CI", "true"),
            ("CI_RUNNER_ID", "7"),
            ("SECRET", "x"),
        ];
        let job = Job::read(&environment(&gitlab));
        assert_eq!(
            job.lacks(),
            ["CI_PROJECT_URL", "CI_COMMIT_SHA", "CI_JOB_URL"]
        );
        assert_eq!(job.variable("SECRET"), None);
        assert_eq!(Job::read(&environment(&[("CI", "1")])), Job::default());
    }
}
