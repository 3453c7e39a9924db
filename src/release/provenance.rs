//! The statement that says where a package was built, word for word as npm makes it (`libnpmpublish/lib/provenance.js`): for GitHub
//! [SLSA 1](https://slsa.dev/spec/v1.0/provenance), for GitLab SLSA 0.2.

use serde_json::{Map, Value, json};

use crate::name::{Integrity, PackageName};
use crate::settings::identity::Platform;
use crate::settings::provenance::{GITLAB_PARAMETERS, Job};
use crate::version::Version;

/// What type the statement has inside its envelope.
pub const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";

/// The statement about one version, as JSON; `None` for a job of a platform that has none. It tells of the commit that the job runs for, which is what
/// its identity proves: the release commit is made on it.
pub fn statement(
    job: &Job,
    name: &PackageName,
    version: &Version,
    integrity: &Integrity,
) -> Option<String> {
    let subject = json!([{
        "name": subject_of(name, version),
        "digest": { "sha512": integrity.hex() },
    }]);
    let statement = match job.platform {
        Platform::GitHub => github(job, &subject),
        Platform::GitLab => gitlab(job, &subject),
        Platform::Other => return None,
    };
    Some(statement.to_string())
}

/// The [package URL](https://github.com/package-url/purl-spec) of a version.
fn subject_of(name: &PackageName, version: &Version) -> String {
    let name = name.as_str();
    match name.strip_prefix('@') {
        Some(scoped) => format!("pkg:npm/%40{scoped}@{version}"),
        None => format!("pkg:npm/{name}@{version}"),
    }
}

fn github(job: &Job, subject: &Value) -> Value {
    let of = |name: &str| job.variable(name).unwrap_or_default();
    let (server, repository) = (of("GITHUB_SERVER_URL"), of("GITHUB_REPOSITORY"));
    let own = format!("{repository}/");
    let workflow = of("GITHUB_WORKFLOW_REF").replacen(&own, "", 1);
    let (path, reference) = workflow.split_once('@').unwrap_or((&workflow, ""));
    json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": subject,
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": "https://slsa-framework.github.io/github-actions-buildtypes/workflow/v1",
                "externalParameters": {
                    "workflow": {
                        "ref": reference,
                        "repository": format!("{server}/{repository}"),
                        "path": path,
                    },
                },
                "internalParameters": {
                    "github": {
                        "event_name": of("GITHUB_EVENT_NAME"),
                        "repository_id": of("GITHUB_REPOSITORY_ID"),
                        "repository_owner_id": of("GITHUB_REPOSITORY_OWNER_ID"),
                    },
                },
                "resolvedDependencies": [{
                    "uri": format!("git+{server}/{repository}@{}", of("GITHUB_REF")),
                    "digest": { "gitCommit": of("GITHUB_SHA") },
                }],
            },
            "runDetails": {
                "builder": {
                    "id": format!("https://github.com/actions/runner/{}", of("RUNNER_ENVIRONMENT")),
                },
                "metadata": {
                    "invocationId": format!(
                        "{server}/{repository}/actions/runs/{}/attempts/{}",
                        of("GITHUB_RUN_ID"),
                        of("GITHUB_RUN_ATTEMPT"),
                    ),
                },
            },
        },
    })
}

/// An object of what is set.
fn set(job: &Job, members: &[(&str, &str)]) -> Value {
    let member = |(key, variable): &(&str, &str)| {
        let value = job.variable(variable)?;
        Some(((*key).to_owned(), Value::from(value)))
    };
    Value::Object(members.iter().filter_map(member).collect::<Map<_, _>>())
}

fn gitlab(job: &Job, subject: &Value) -> Value {
    let of = |name: &str| job.variable(name).unwrap_or_default();
    let project = format!("git+{}", of("CI_PROJECT_URL"));
    let commit = json!({ "sha1": of("CI_COMMIT_SHA") });
    let mut source = json!({ "uri": project, "digest": commit });
    if let Some(name) = job.variable("CI_JOB_NAME") {
        source["entryPoint"] = name.into();
    }
    let parameters = GITLAB_PARAMETERS.map(|name| (name, name));
    let mut environment = set(
        job,
        &[
            ("name", "CI_RUNNER_DESCRIPTION"),
            ("architecture", "CI_RUNNER_EXECUTABLE_ARCH"),
            ("server", "CI_SERVER_URL"),
            ("project", "CI_PROJECT_PATH"),
        ],
    );
    environment["job"] = set(job, &[("id", "CI_JOB_ID")]);
    environment["pipeline"] = set(job, &[("id", "CI_PIPELINE_ID"), ("ref", "CI_CONFIG_PATH")]);
    json!({
        "_type": "https://in-toto.io/Statement/v0.1",
        "subject": subject,
        "predicateType": "https://slsa.dev/provenance/v0.2",
        "predicate": {
            "buildType": "https://github.com/npm/cli/gitlab/v0alpha1",
            "builder": {
                "id": format!("{}/-/runners/{}", of("CI_PROJECT_URL"), of("CI_RUNNER_ID")),
            },
            "invocation": {
                "configSource": source,
                "parameters": set(job, &parameters),
                "environment": environment,
            },
            "metadata": {
                "buildInvocationId": of("CI_JOB_URL"),
                "completeness": {
                    "parameters": true,
                    "environment": true,
                    "materials": false,
                },
                "reproducible": false,
            },
            "materials": [{ "uri": project, "digest": commit }],
        },
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// A value of the statement about `name` in a job with `variables`.
    fn check(variables: &[(&str, &str)], name: &str, pointer: &str, expected: &Value) {
        let environment: BTreeMap<String, String> = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let name = PackageName::parse(name).expect("a name");
        let version = Version::parse("1.0.0-beta.1").expect("a version");
        let job = Job::read(&environment);
        let found = statement(&job, &name, &version, &Integrity::of(b""));
        let found = found.map_or(Value::Null, |text| {
            serde_json::from_str(&text).expect("JSON")
        });
        let found = found.pointer(pointer).cloned().unwrap_or_default();
        assert_eq!(&found, expected, "{pointer} of {variables:?}");
    }

    #[test]
    fn what_a_statement_says() {
        let github = [
            ("GITHUB_ACTIONS", "true"),
            ("GITHUB_SERVER_URL", "https://github.com"),
            ("GITHUB_REPOSITORY", "acme/mono"),
            (
                "GITHUB_WORKFLOW_REF",
                "acme/mono/.github/workflows/r.yml@refs/heads/a@b",
            ),
            ("GITHUB_REF", "refs/heads/a@b"),
            ("RUNNER_ENVIRONMENT", "github-hosted"),
        ];
        let workflow = "/predicate/buildDefinition/externalParameters/workflow";
        check(
            &github,
            "a",
            workflow,
            &json!({
                "ref": "refs/heads/a@b",
                "repository": "https://github.com/acme/mono",
                "path": ".github/workflows/r.yml",
            }),
        );
        let source = "/predicate/buildDefinition/resolvedDependencies/0/uri";
        let uri = json!("git+https://github.com/acme/mono@refs/heads/a@b");
        check(&github, "a", source, &uri);
        let builder = json!("https://github.com/actions/runner/github-hosted");
        check(&github, "a", "/predicate/runDetails/builder/id", &builder);
        check(
            &github,
            "a",
            "/subject/0/name",
            &json!("pkg:npm/a@1.0.0-beta.1"),
        );
        let scoped = json!("pkg:npm/%40x/a@1.0.0-beta.1");
        check(&github, "@x/a", "/subject/0/name", &scoped);
        // The sum of nothing.
        let empty = json!(
            "cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e"
        );
        check(&github, "a", "/subject/0/digest/sha512", &empty);

        let gitlab = [("GITLAB_CI", "true"), ("CI_JOB_ID", "7"), ("CI_X", "y")];
        let invocation = "/predicate/invocation";
        check(
            &gitlab,
            "a",
            &format!("{invocation}/parameters"),
            &json!({"CI_JOB_ID": "7", "GITLAB_CI": "true"}),
        );
        check(
            &gitlab,
            "a",
            &format!("{invocation}/environment"),
            &json!({"job": {"id": "7"}, "pipeline": {}}),
        );
        check(&[("CIRCLECI", "true")], "a", "", &Value::Null);
    }
}
