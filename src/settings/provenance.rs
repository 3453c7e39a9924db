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

/// Whether a signed statement is wanted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Wanted {
    /// Nobody said: npm's rule decides.
    #[default]
    ByNpmsRule,
    /// It is.
    Yes,
    /// It is not.
    No,
}

impl From<bool> for Wanted {
    fn from(said: bool) -> Wanted {
        if said { Wanted::Yes } else { Wanted::No }
    }
}

/// Whether a package shall get a signed statement, and what said so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// Whether it is wanted.
    pub wanted: Wanted,
    /// What said so, as the start of a sentence: `provenance`, `publishConfig.provenance`.
    pub said: String,
}

impl Wish {
    /// What the setting of that name says.
    pub fn of_setting(wanted: Wanted) -> Wish {
        let said = "provenance".to_owned();
        Wish { wanted, said }
    }
}

/// What npm's own settings say: `NPM_CONFIG_PROVENANCE`, else `provenance` in an `.npmrc`. What these cannot be read for is told where
/// registries are.
pub(super) fn of_npm(files: &[NpmrcFile], environment: &BTreeMap<String, String>) -> Wish {
    let layers = layers(files, environment).unwrap_or_default();
    let found = layers.into_iter().find_map(|layer| {
        let mut lines = layer.entries.into_iter().rev();
        let line = lines.find(|line| line.key == "provenance")?;
        let said = match &line.place {
            Some(place) => format!("provenance in {}", place.file),
            None => line.said.clone(),
        };
        let wanted = is_true(&line.value).into();
        Some(Wish { wanted, said })
    });
    found.unwrap_or_else(|| Wish::of_setting(Wanted::ByNpmsRule))
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

/// Everything that a statement tells of a job.
#[derive(Debug, Clone)]
pub enum Told<'j> {
    /// Of GitHub Actions.
    GitHub(OfGitHub<'j>),
    /// Of GitLab CI.
    GitLab(OfGitLab<'j>),
}

/// What a statement tells of a job of GitHub. No variable of it is empty.
#[derive(Debug, Clone)]
pub struct OfGitHub<'j> {
    /// The file of the workflow that was started, in its repository.
    pub workflow: String,
    /// The ref that this file was taken from.
    pub workflow_ref: String,
    /// `owner/name`.
    pub repository: &'j str,
    /// Where GitHub is.
    pub server: &'j str,
    /// What started the run.
    pub event: &'j str,
    /// The number of the repository.
    pub repository_id: &'j str,
    /// The number of its owner.
    pub owner_id: &'j str,
    /// The ref that it runs for.
    pub reference: &'j str,
    /// The commit that it runs for.
    pub commit: &'j str,
    /// The number of the run.
    pub run: &'j str,
    /// Which attempt of the run it is.
    pub attempt: &'j str,
    /// `github-hosted` or `self-hosted`.
    pub runner: &'j str,
}

/// What a statement tells of a job of GitLab. What is named here is not empty.
#[derive(Debug, Clone)]
pub struct OfGitLab<'j> {
    /// The page of the project.
    pub project: &'j str,
    /// The number of the runner.
    pub runner: &'j str,
    /// The commit that it runs for.
    pub commit: &'j str,
    /// The page of the job.
    pub url: &'j str,
    variables: &'j BTreeMap<String, String>,
}

impl<'j> OfGitLab<'j> {
    /// What else is set; what is not stays out of the statement.
    pub fn variable(&self, name: &str) -> Option<&'j str> {
        self.variables.get(name).map(String::as_str)
    }
}

/// Why no statement can tell of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Untold {
    /// Its platform has no statements.
    Platform,
    /// Of these variables the platform set none, or none that can be told.
    Lacking(Vec<&'static str>),
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

    fn variable(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str)
    }

    /// The values of variables of which none is empty.
    fn all<const COUNT: usize>(
        &self,
        names: [&'static str; COUNT],
    ) -> Result<[&str; COUNT], Untold> {
        let value = |name: &str| self.variable(name).filter(|value| !value.is_empty());
        let values: Vec<&str> = names.into_iter().filter_map(value).collect();
        values.try_into().map_err(|_| {
            let lacking = names.into_iter().filter(|name| value(name).is_none());
            Untold::Lacking(lacking.collect())
        })
    }

    /// What a statement tells of the job.
    ///
    /// # Errors
    /// What it lacks for that.
    pub fn told(&self) -> Result<Told<'_>, Untold> {
        match self.platform {
            Platform::GitHub => self.told_of_github().map(Told::GitHub),
            Platform::GitLab => {
                let [project, runner, commit, url] = self.all(GITLAB)?;
                let variables = &self.variables;
                Ok(Told::GitLab(OfGitLab {
                    project,
                    runner,
                    commit,
                    url,
                    variables,
                }))
            }
            Platform::Other => Err(Untold::Platform),
        }
    }

    fn told_of_github(&self) -> Result<OfGitHub<'_>, Untold> {
        let [workflow, repository, server, event, ids @ .., runner] = self.all(GITHUB)?;
        let [repository_id, owner_id, reference, commit, run, attempt] = ids;
        let own = format!("{repository}/");
        let inside = workflow.replacen(&own, "", 1);
        let parts = inside.split_once('@');
        let (workflow, workflow_ref) = parts.ok_or_else(|| Untold::Lacking(vec![GITHUB[0]]))?;
        Ok(OfGitHub {
            workflow: workflow.to_owned(),
            workflow_ref: workflow_ref.to_owned(),
            repository,
            server,
            event,
            repository_id,
            owner_id,
            reference,
            commit,
            run,
            attempt,
            runner,
        })
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
            let Wish { wanted, said } = of_npm(files, &environment(variables));
            let found = match wanted {
                Wanted::ByNpmsRule => "nothing".to_owned(),
                wanted => format!("{said}: {wanted:?}"),
            };
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
        check(&[variable], &[], "NPM_CONFIG_PROVENANCE: Yes");
        check(
            &[("npm_config_provenance", "0")],
            &[],
            "npm_config_provenance: No",
        );
        check(&[("npm_config_provenance", "")], &[], "nothing");
        let both = [own, users.clone()];
        check(&[], &[users], "provenance in ~/.npmrc: Yes");
        check(&[], &both, "provenance in .npmrc: No");
        check(&[variable], &both, "NPM_CONFIG_PROVENANCE: Yes");
    }

    #[test]
    fn who_says_it_first() {
        let check = |variables: &[(&str, &str)], declared: Wanted, expected: &str| {
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
            let found = match wish.wanted {
                Wanted::ByNpmsRule => "npm's rule".to_owned(),
                Wanted::Yes => format!("{} is true", wish.said),
                Wanted::No => format!("{} is false", wish.said),
            };
            assert_eq!(found, expected, "{variables:?} {declared:?}");
        };
        let (own, npm) = (
            ("PKGS_PROVENANCE", "true"),
            ("NPM_CONFIG_PROVENANCE", "true"),
        );
        check(&[own], Wanted::No, "provenance is true");
        check(&[npm], Wanted::No, "publishConfig.provenance is false");
        check(&[npm], Wanted::ByNpmsRule, "NPM_CONFIG_PROVENANCE is true");
        let auto = ("PKGS_PROVENANCE", "auto");
        check(
            &[auto, npm],
            Wanted::ByNpmsRule,
            "NPM_CONFIG_PROVENANCE is true",
        );
        check(
            &[("PKGS_PROVENANCE", "false"), npm],
            Wanted::Yes,
            "provenance is false",
        );
        check(&[auto], Wanted::ByNpmsRule, "npm's rule");
        check(&[], Wanted::ByNpmsRule, "npm's rule");
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
        let check = |variables: &[(&str, &str)], expected: Untold| {
            let job = Job::read(&environment(variables));
            assert_eq!(job.told().expect_err("it lacks something"), expected);
        };
        let github = ("GITHUB_ACTIONS", "true");
        let lacking = |names: &[&'static str]| Untold::Lacking(names.to_vec());
        check(&[github, ("GITHUB_SHA", "")], lacking(&GITHUB));
        let all: Vec<(&str, &str)> = GITHUB.iter().map(|name| (*name, "x")).collect();
        // A workflow without a ref.
        check(&[&all[..], &[github]].concat(), lacking(&GITHUB[..1]));
        let gitlab = [
            ("GITLAB_CI", "true"),
            ("CI_RUNNER_ID", "7"),
            ("SECRET", "x"),
        ];
        let names = ["CI_PROJECT_URL", "CI_COMMIT_SHA", "CI_JOB_URL"];
        check(&gitlab, lacking(&names));
        let job = Job::read(&environment(&gitlab));
        assert_eq!(job.variable("SECRET"), None);
        assert_eq!(Job::read(&environment(&[("CI", "1")])), Job::default());
        check(&[("CI", "1")], Untold::Platform);
    }
}
