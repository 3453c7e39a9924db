//! The statement that says where a package was built, word for word as npm makes it (`libnpmpublish/lib/provenance.js`): for GitHub
//! [SLSA 1](https://slsa.dev/spec/v1.0/provenance), for GitLab SLSA 0.2.

use serde_json::{Map, Value, json};

use crate::name::{Integrity, PackageName};
use crate::settings::provenance::{GITLAB_PARAMETERS, OfGitHub, OfGitLab, Told};
use crate::version::Version;

/// What type the statement has inside its envelope.
pub const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";

/// The statement about one version, as JSON. It tells of the commit that the job runs for, which is what its identity proves: the release commit is
/// made on it.
pub fn statement(
    told: &Told<'_>,
    name: &PackageName,
    version: &Version,
    integrity: &Integrity,
) -> String {
    let subject = json!([{
        "name": subject_of(name, version),
        "digest": { "sha512": integrity.hex() },
    }]);
    let statement = match told {
        Told::GitHub(job) => github(job, &subject),
        Told::GitLab(job) => gitlab(job, &subject),
    };
    statement.to_string()
}

/// The [package URL](https://github.com/package-url/purl-spec) of a version.
fn subject_of(name: &PackageName, version: &Version) -> String {
    let name = name.as_str();
    match name.strip_prefix('@') {
        Some(scoped) => format!("pkg:npm/%40{scoped}@{version}"),
        None => format!("pkg:npm/{name}@{version}"),
    }
}

fn github(job: &OfGitHub<'_>, subject: &Value) -> Value {
    let repository = format!("{}/{}", job.server, job.repository);
    json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": subject,
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": "https://slsa-framework.github.io/github-actions-buildtypes/workflow/v1",
                "externalParameters": {
                    "workflow": {
                        "ref": job.workflow_ref,
                        "repository": repository,
                        "path": job.workflow,
                    },
                },
                "internalParameters": {
                    "github": {
                        "event_name": job.event,
                        "repository_id": job.repository_id,
                        "repository_owner_id": job.owner_id,
                    },
                },
                "resolvedDependencies": [{
                    "uri": format!("git+{repository}@{}", job.reference),
                    "digest": { "gitCommit": job.commit },
                }],
            },
            "runDetails": {
                "builder": {
                    "id": format!("https://github.com/actions/runner/{}", job.runner),
                },
                "metadata": {
                    "invocationId": format!(
                        "{repository}/actions/runs/{}/attempts/{}",
                        job.run,
                        job.attempt,
                    ),
                },
            },
        },
    })
}

/// An object of what is set.
fn set(job: &OfGitLab<'_>, members: &[(&str, &str)]) -> Value {
    let member = |(key, variable): &(&str, &str)| {
        let value = job.variable(variable)?;
        Some(((*key).to_owned(), Value::from(value)))
    };
    Value::Object(members.iter().filter_map(member).collect::<Map<_, _>>())
}

fn gitlab(job: &OfGitLab<'_>, subject: &Value) -> Value {
    let project = format!("git+{}", job.project);
    let commit = json!({ "sha1": job.commit });
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
                "id": format!("{}/-/runners/{}", job.project, job.runner),
            },
            "invocation": {
                "configSource": source,
                "parameters": set(job, &parameters),
                "environment": environment,
            },
            "metadata": {
                "buildInvocationId": job.url,
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
    use crate::settings::provenance::Job;

    /// What a job of GitHub knows, beside what is no matter here.
    const GITHUB: [(&str, &str); 6] = [
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
    const NO_MATTER: [&str; 6] = [
        "GITHUB_EVENT_NAME",
        "GITHUB_REPOSITORY_ID",
        "GITHUB_REPOSITORY_OWNER_ID",
        "GITHUB_SHA",
        "GITHUB_RUN_ID",
        "GITHUB_RUN_ATTEMPT",
    ];

    /// A value of the statement about `name` in a job with `variables`.
    fn check(variables: &[(&str, &str)], name: &str, pointer: &str, expected: &Value) {
        let no_matter = NO_MATTER.map(|name| (name, "x"));
        let environment: BTreeMap<String, String> = no_matter
            .iter()
            .chain(variables)
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let name = PackageName::parse(name).expect("a name");
        let version = Version::parse("1.0.0-beta.1").expect("a version");
        let job = Job::read(&environment);
        let told = job.told().expect("a job that can be told of");
        let text = statement(&told, &name, &version, &Integrity::of(b""));
        let found: Value = serde_json::from_str(&text).expect("JSON");
        let found = found.pointer(pointer).cloned().unwrap_or_default();
        assert_eq!(&found, expected, "{pointer} of {variables:?}");
    }

    #[test]
    fn what_a_statement_says() {
        let github = GITHUB;
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

        let project = "https://gitlab.com/acme/mono";
        let gitlab = [
            ("GITLAB_CI", "true"),
            ("CI_PROJECT_URL", project),
            ("CI_RUNNER_ID", "5"),
            ("CI_COMMIT_SHA", "c"),
            ("CI_JOB_URL", "https://gitlab.com/acme/mono/-/jobs/7"),
            ("CI_JOB_ID", "7"),
            ("CI_X", "y"),
        ];
        let invocation = "/predicate/invocation";
        check(
            &gitlab,
            "a",
            &format!("{invocation}/parameters"),
            &json!({
                "CI_COMMIT_SHA": "c", "CI_JOB_ID": "7", "CI_JOB_URL": "https://gitlab.com/acme/mono/-/jobs/7",
                "CI_PROJECT_URL": project, "CI_RUNNER_ID": "5", "GITLAB_CI": "true",
            }),
        );
        check(
            &gitlab,
            "a",
            &format!("{invocation}/environment"),
            &json!({"job": {"id": "7"}, "pipeline": {}}),
        );
        let builder = json!("https://gitlab.com/acme/mono/-/runners/5");
        check(&gitlab, "a", "/predicate/builder/id", &builder);
    }
}
