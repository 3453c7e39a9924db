//! Whether the libraries of a release can be published by whom the registry takes this run for, judged for all of them before anything is decided.

use std::collections::{BTreeMap, BTreeSet};

use crate::explain::{Exit, Failure, Place, quoted};
use crate::name::PackageName;
use crate::plan::provenance::Provenance;
use crate::settings::identity::{Claims, Refusal, Trust, trust_command};
use crate::settings::{FirstPublish, NpmPublish};
use crate::workspace::Workspace;
use crate::workspace::graph::Reached;
use crate::workspace::package_json::DependencyField;

/// A library that is to be published.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// Its name.
    pub name: PackageName,
    /// Its `package.json`, for people.
    pub file: String,
    /// The repository that it names, `owner/name`.
    pub repository: Option<String>,
    /// Whether the registry has no package of this name.
    pub is_new: bool,
    /// What the registry made of the job's identity; `None`: it is published with a token.
    pub trust: Option<Trust>,
}

/// What was asked about names and ways.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    /// What becomes of new names.
    pub first_publish: FirstPublish,
    /// How libraries reach npm.
    pub npm_publish: NpmPublish,
}

/// What follows of it.
#[derive(Debug, Default)]
pub struct Verdict {
    /// Everything that stands in the way.
    pub failures: Vec<Failure>,
    /// New names that stay out of the release.
    pub left_out: BTreeSet<PackageName>,
    /// What is decided about the provenance of the others.
    pub provenance: BTreeMap<PackageName, Provenance>,
}

/// How many packages a message names one by one.
const NAMED: usize = 20;

/// Judges all libraries of a release, but for their provenance. Where one has no trusted publisher, the messages hold the commands that make one.
///
/// The failures: `npm::self_hosted` and `npm::untrusted`, exit 5; `npm::repository`, exit 3; `npm::new_name`, exit 2 where a token would do, else 3.
pub fn judge(candidates: &[Candidate], policy: Policy) -> Verdict {
    let mut verdict = Verdict::default();
    let (mut new, mut untrusted) = (Vec::new(), Vec::new());
    for candidate in candidates {
        let refused = candidate.trust.as_ref().map(|trust| &trust.refused);
        match (candidate.is_new, refused, policy.first_publish) {
            (true, None | Some(Some(_)), FirstPublish::Skip) => {
                verdict.left_out.insert(candidate.name.clone());
            }
            (true, None, FirstPublish::Fail) | (true, Some(Some(_)), _) => new.push(candidate),
            (false, Some(Some(_)), _) => untrusted.push(candidate),
            (_, Some(None), _) => verdict.failures.extend(elsewhere(candidate)),
            (true, None, FirstPublish::Allow) | (false, None, _) => {}
        }
    }
    let mut claims = candidates
        .iter()
        .filter_map(|candidate| Some(&candidate.trust.as_ref()?.claims));
    if claims.clone().any(Claims::is_self_hosted) {
        verdict.failures.push(self_hosted());
    }
    let claims = claims.next();
    verdict
        .failures
        .extend(claims.and_then(|claims| without_trust(&untrusted, claims, policy)));
    verdict.failures.extend(unknown_names(&new, claims, policy));
    verdict
}

/// What npm compares with the trusted publisher of a package, as this job says it.
///
/// ```
/// use pkgs_action::plan::trusted::told;
/// use pkgs_action::settings::identity::Claims;
/// assert_eq!(told(&Claims::default()), "repository unknown, workflow file unknown, environment none, runner unknown");
/// ```
pub fn told(claims: &Claims) -> String {
    let text =
        |value: Option<&str>, otherwise: &str| value.map_or_else(|| otherwise.to_owned(), plain);
    format!(
        "repository {}, workflow file {}, environment {}, runner {}",
        text(claims.repository.as_deref(), "unknown"),
        text(claims.file(), "unknown"),
        text(claims.environment.as_deref(), "none"),
        text(claims.runner.as_deref(), "unknown"),
    )
}

/// A text as it stands where it is a word, else quoted.
fn plain(text: &str) -> String {
    let mut letters = text.chars();
    if letters.all(|letter| letter.is_ascii_alphanumeric() || "._-/@:".contains(letter)) {
        text.to_owned()
    } else {
        quoted(text)
    }
}

/// The packages of a workspace that need one of `names`, and these; devDependencies count for nothing.
///
/// # Errors
/// Those of [`Workspace::edges`].
pub fn with_dependents(
    workspace: &Workspace,
    names: &BTreeSet<PackageName>,
) -> Result<BTreeSet<PackageName>, Failure> {
    let edges = workspace.edges()?;
    let mut found = BTreeSet::new();
    for name in names {
        let Some(start) = workspace.position(name.as_str()) else {
            continue;
        };
        let needing = |index: usize| {
            let needing = edges.iter().filter(move |edge| {
                edge.to == index && edge.field != DependencyField::DevDependencies
            });
            needing.filter_map(|edge| edge.from).collect::<Vec<_>>()
        };
        found.insert(name.clone());
        let reached = Reached::from(start, needing);
        let numbers = reached.numbers();
        found.extend(numbers.map(|index| workspace.packages[index].name.clone()));
    }
    Ok(found)
}

fn self_hosted() -> Failure {
    Failure::new(
        Exit::RemoteRefused,
        "npm::self_hosted",
        "npm takes no identity of a job on a self-hosted runner",
    )
    .because("the identity of this job says that its runner is self-hosted")
    .hint("run the job on a runner of the platform's, or set npm-token; this costs no version")
}

/// That a manifest does not name the repository of the job, by which npm knows that the package comes from there.
fn elsewhere(candidate: &Candidate) -> Option<Failure> {
    let claims = &candidate.trust.as_ref()?.claims;
    of_another(candidate, claims.repository.as_deref()?)
}

/// That a package does not name the repository `wanted`, to the letter.
pub fn of_another(candidate: &Candidate, wanted: &str) -> Option<Failure> {
    const ONLY: &str = "npm takes a package by trusted publishing, or with provenance, only from the repository that it names";
    let name = &candidate.name;
    let (what, why) = match candidate.repository.as_deref() {
        Some(named) if named == wanted => return None,
        Some(named) if named.eq_ignore_ascii_case(wanted) => (
            format!(
                "{name} writes its repository as {}, and this job is of {}",
                plain(named),
                plain(wanted)
            ),
            "npm tells capital letters from small ones here",
        ),
        Some(named) => (
            format!(
                "{name} names the repository {}, and this job is of {}",
                plain(named),
                plain(wanted)
            ),
            ONLY,
        ),
        None => (format!("{name} names no repository"), ONLY),
    };
    Some(
        Failure::new(Exit::Refused, "npm::repository", what)
            .place(Place::file(&candidate.file))
            .because(why)
            .hint(format!(
                "set repository.url to git+https://<host>/{}.git there; this costs no version",
                plain(wanted)
            )),
    )
}

/// Names, of many the first ones.
fn listed(candidates: &[&Candidate]) -> String {
    let names: Vec<&str> = candidates
        .iter()
        .take(NAMED)
        .map(|candidate| candidate.name.as_str())
        .collect();
    match candidates.len().saturating_sub(NAMED) {
        0 => names.join(", "),
        more => format!("{} and {more} more", names.join(", ")),
    }
}

/// The commands that make packages trust the job, in one line that a shell takes.
fn commands(candidates: &[&Candidate], claims: &Claims, policy: Policy) -> String {
    let stages = policy.npm_publish == NpmPublish::Stage;
    let commands: Vec<String> = candidates
        .iter()
        .take(NAMED)
        .map(|candidate| trust_command(claims, &candidate.name, stages))
        .collect();
    let more = if candidates.len() > NAMED {
        " (and the same with the other names)"
    } else {
        ""
    };
    format!("`{}`{more}", commands.join(" && "))
}

/// What registries said, each sentence once, with the packages of which they said it.
fn answers(candidates: &[&Candidate]) -> Vec<String> {
    let mut said: BTreeMap<&Refusal, Vec<&Candidate>> = BTreeMap::new();
    for candidate in candidates {
        let trust = candidate.trust.as_ref();
        if let Some(refusal) = trust.and_then(|trust| trust.refused.as_ref()) {
            said.entry(refusal).or_default().push(candidate);
        }
    }
    let is_one = said.len() == 1;
    said.into_iter()
        .map(|(refusal, of)| {
            if is_one {
                refusal.said.clone()
            } else {
                format!("of {}: {}", listed(&of), refusal.said)
            }
        })
        .collect()
}

/// That packages which are there do not trust this job.
fn without_trust(untrusted: &[&Candidate], claims: &Claims, policy: Policy) -> Option<Failure> {
    if untrusted.is_empty() {
        return None;
    }
    let what = format!(
        "no trusted publisher of this job lets it publish {}",
        listed(untrusted)
    );
    let mut failure = Failure::new(Exit::RemoteRefused, "npm::untrusted", what);
    for answer in answers(untrusted) {
        failure = failure.because(answer);
    }
    failure = failure.because(format!(
        "npm expects the trusted publisher of each package to say what this job is: {}",
        told(claims)
    ));
    if let Some(called) = &claims.called {
        failure = failure.because(format!(
            "the job stands in {}, which was called: npm compares the workflow that called it",
            plain(called)
        ));
    }
    if claims.has_immutable_subject() {
        failure = failure.because(format!(
            "the subject of the job has ids in it, {}: npm may not know such a job (https://github.com/npm/cli/issues/9969)",
            plain(claims.subject.as_deref().unwrap_or_default())
        ));
    }
    Some(failure.hint(format!(
        "once, as an owner of the packages: {}; one that says something else is told by `npm trust list <name>` and goes with `npm trust revoke --id <id> <name>`; this costs no version",
        commands(untrusted, claims, policy)
    )))
}

/// That names are not on the registry, where that is not wanted or not possible.
fn unknown_names(new: &[&Candidate], claims: Option<&Claims>, policy: Policy) -> Option<Failure> {
    if new.is_empty() {
        return None;
    }
    let names = listed(new);
    let is_wanted = policy.first_publish == FirstPublish::Allow;
    let exit = if is_wanted {
        Exit::Usage
    } else {
        Exit::Refused
    };
    let what = format!("not on the registry yet: {names}");
    let mut failure = Failure::new(exit, "npm::new_name", what);
    for answer in answers(new) {
        failure = failure.because(answer);
    }
    if !is_wanted {
        failure = failure.because("first-publish is fail");
    }
    let Some(claims) = claims else {
        return Some(failure.hint(
            "set first-publish to allow for this release, or to skip, which leaves them and what depends on them out",
        ));
    };
    Some(
        failure
            .because("trusted publishing cannot make a name: a trusted publisher belongs to a package that is there")
            .hint(format!(
                "1. run this release once with npm-token set to a token that may publish them; 2. as their owner: {}; 3. take npm-token out again; until then `first-publish: skip` leaves them and what depends on them out; this costs no version",
                commands(new, claims, policy)
            )),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::identity::Platform;

    const POLICY: Policy = Policy {
        first_publish: FirstPublish::Allow,
        npm_publish: NpmPublish::Direct,
    };

    fn claims() -> Claims {
        Claims {
            platform: Platform::GitHub,
            repository: Some("acme/mono".to_owned()),
            workflow: Some("acme/mono/.github/workflows/release.yml@refs/heads/main".to_owned()),
            runner: Some("github-hosted".to_owned()),
            ..Claims::default()
        }
    }

    /// `name`, `name+` (new); `=token`, `=yes`, `=404`.
    fn candidate(text: &str) -> Candidate {
        let (name, way) = text.split_once('=').expect("a way");
        let refused = |status| Refusal {
            status,
            said: format!("the registry answered {status}"),
        };
        let trust = match way {
            "token" => None,
            "yes" => Some(None),
            status => Some(Some(refused(status.parse().expect("a status")))),
        };
        let file = format!("packages/{}/package.json", name.trim_end_matches('+'));
        Candidate {
            name: PackageName::parse(name.trim_end_matches('+')).expect("a name"),
            file,
            repository: Some("acme/mono".to_owned()),
            is_new: name.ends_with('+'),
            trust: trust.map(|refused| Trust {
                claims: claims(),
                refused,
            }),
        }
    }

    /// What a release of `candidates` comes to: codes with exit codes and packages, and what is left out.
    fn check(candidates: &[&str], first_publish: FirstPublish, expected: &[&str]) {
        let candidates: Vec<Candidate> = candidates.iter().map(|text| candidate(text)).collect();
        let verdict = judge(
            &candidates,
            Policy {
                first_publish,
                ..POLICY
            },
        );
        let mut found: Vec<String> = verdict
            .failures
            .iter()
            .map(|failure| format!("{} {}", failure.exit().code(), failure.code()))
            .collect();
        let left_out = verdict.left_out.iter();
        found.extend(left_out.map(|name| format!("without {name}")));
        assert_eq!(found, expected, "{candidates:?}");
    }

    #[test]
    fn who_may_publish_what() {
        use FirstPublish::{Allow, Fail, Skip};
        check(&["a=token", "b=token"], Allow, &[]);
        check(&["a=yes", "b=yes"], Allow, &[]);
        check(&["a=yes", "b=yes"], Fail, &[]);
        // With a token a new name is a matter of what is wanted, without one of what is possible.
        check(&["a+=token"], Allow, &[]);
        check(&["a+=token"], Skip, &["without a"]);
        check(&["a+=token"], Fail, &["3 npm::new_name"]);
        check(&["a+=404", "b=yes"], Allow, &["2 npm::new_name"]);
        check(&["a+=404", "b=yes"], Skip, &["without a"]);
        check(&["a+=404", "b=yes"], Fail, &["3 npm::new_name"]);
        // What is there and does not trust the job is never left out: nobody asked for that.
        check(&["a=404", "b=yes"], Allow, &["5 npm::untrusted"]);
        check(&["a=404", "b=yes"], Skip, &["5 npm::untrusted"]);
        check(
            &["a=404", "b=401", "c+=404"],
            Allow,
            &["5 npm::untrusted", "2 npm::new_name"],
        );
    }

    #[test]
    fn the_repository_is_that_of_the_job() {
        let code = |repository: Option<&str>, way: &str| {
            let candidate = Candidate {
                repository: repository.map(str::to_owned),
                ..candidate(&format!("a={way}"))
            };
            let verdict = judge(&[candidate], POLICY);
            verdict.failures.first().map(ToString::to_string)
        };
        assert_eq!(code(Some("acme/mono"), "yes"), None);
        assert_eq!(code(None, "token"), None);
        assert_eq!(code(None, "yes").as_deref(), Some("a names no repository"));
        assert_eq!(
            code(Some("Acme/mono"), "yes").as_deref(),
            Some("a writes its repository as Acme/mono, and this job is of acme/mono")
        );
        assert_eq!(
            code(Some("acme/other"), "yes").as_deref(),
            Some("a names the repository acme/other, and this job is of acme/mono")
        );
    }

    #[test]
    fn what_is_told_can_be_followed() {
        let mut candidates = ["a=404", "@x/b=401"].map(candidate);
        for candidate in &mut candidates {
            let trust = candidate.trust.as_mut().expect("a trust");
            trust.claims.called = Some("acme/shared/.github/workflows/p.yml@v1".to_owned());
            trust.claims.subject = Some("repo:acme@1/mono@2:ref:refs/heads/main".to_owned());
            trust.claims.environment = Some("npm".to_owned());
        }
        let verdict = judge(&candidates, POLICY);
        insta::assert_snapshot!(text(&verdict.failures), @r"
        no trusted publisher of this job lets it publish a, @x/b
        because of @x/b: the registry answered 401
        because of a: the registry answered 404
        because npm expects the trusted publisher of each package to say what this job is: repository acme/mono, workflow file release.yml, environment npm, runner github-hosted
        because the job stands in acme/shared/.github/workflows/p.yml@v1, which was called: npm compares the workflow that called it
        because the subject of the job has ids in it, repo:acme@1/mono@2:ref:refs/heads/main: npm may not know such a job (https://github.com/npm/cli/issues/9969)
        hint: once, as an owner of the packages: `npm trust github a --file release.yml --repo acme/mono --env npm --allow-publish && npm trust github @x/b --file release.yml --repo acme/mono --env npm --allow-publish`; one that says something else is told by `npm trust list <name>` and goes with `npm trust revoke --id <id> <name>`; this costs no version
        ");
        let mut here = candidate("a=yes");
        here.trust.as_mut().expect("a trust").claims.runner = Some("self-hosted".to_owned());
        let verdict = judge(&[here], POLICY);
        assert_eq!(verdict.failures[0].code(), "npm::self_hosted");
    }

    fn text(failures: &[Failure]) -> String {
        let mut lines = Vec::new();
        for failure in failures {
            lines.push(failure.what().to_owned());
            lines.extend(
                failure
                    .causes()
                    .iter()
                    .map(|cause| format!("because {cause}")),
            );
            lines.extend(failure.advice().map(|hint| format!("hint: {hint}")));
        }
        lines.join("\n")
    }
}
