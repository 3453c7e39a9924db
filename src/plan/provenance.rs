//! Whether a package gets a signed statement of where it was built, judged before anything is decided. What is not asked for is made by npm's rule
//! (`lib/utils/oidc.js`); what is asked for and cannot be made refuses the release, as in npm's `libnpmpublish/lib/publish.js`.

use std::collections::BTreeMap;

use crate::explain::{Exit, Failure};
use crate::name::PackageName;
use crate::settings::Access;
use crate::settings::identity::{Claims, Platform};
use crate::settings::provenance::{Job, Wish};

/// Where a package goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// npm's own registry.
    Public,
    /// Another one.
    Other,
    /// A directory.
    Directory,
}

/// What is known of a package.
#[derive(Debug, Clone)]
pub struct Known<'a> {
    /// What was asked for it.
    pub wish: Wish,
    /// Where it goes.
    pub place: Place,
    /// The job.
    pub job: &'a Job,
    /// What the job said of itself to a registry that takes it; `None`: it is published with a token.
    pub trusted: Option<&'a Claims>,
    /// Who may see it, as far as that was said.
    pub access: Option<Access>,
    /// Whether the registry shows it to everybody, once that was asked.
    pub is_public: Option<bool>,
}

/// What follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Provenance {
    /// It gets a statement, for this reason.
    Signed(String),
    /// It gets none, for this reason.
    Left(String),
    /// One was asked for and cannot be made.
    Refused(Refused),
    /// It depends on whether the registry shows the package to everybody.
    Ask,
}

/// Why no statement can be made.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Refused {
    code: &'static str,
    why: String,
    hint: String,
}

const NO_IDENTITY: &str = "provenance::no_identity";
const NOT_PUBLIC: &str = "provenance::not_public";
const UNSUPPORTED: &str = "provenance::unsupported";

/// Judges one package.
pub fn judge(known: &Known<'_>) -> Provenance {
    match known.wish.wanted {
        Some(false) => Provenance::Left(format!("{} is false", known.wish.said)),
        Some(true) => match hindrance(known) {
            Some((code, why, hint)) => Provenance::Refused(Refused {
                code,
                why: format!("{} is true, and {why}", known.wish.said),
                hint,
            }),
            None if known.access == Some(Access::Public) => asked_for(known),
            None => match known.is_public {
                None => Provenance::Ask,
                Some(true) => asked_for(known),
                Some(false) => Provenance::Refused(Refused {
                    code: NOT_PUBLIC,
                    why: format!(
                        "{} is true, and the registry does not show the package to everybody, or not yet",
                        known.wish.said
                    ),
                    hint: "set access, or publishConfig.access, to public if it is meant for everybody".to_owned(),
                }),
            },
        },
        None => by_rule(known),
    }
}

fn asked_for(known: &Known<'_>) -> Provenance {
    Provenance::Signed(format!("{} is true", known.wish.said))
}

/// What a statement that was asked for fails on: a code, why, and what to do.
fn hindrance(known: &Known<'_>) -> Option<(&'static str, String, String)> {
    let found = |code, why: &str, instead: &str| {
        let instead = instead.to_owned();
        Some((code, why.to_owned(), instead + "set provenance to false"))
    };
    let (job, is_public) = (known.job, known.place == Place::Public);
    let visibility = known
        .trusted
        .and_then(|claims| claims.visibility.as_deref());
    let hidden = visibility.filter(|visibility| *visibility != "public");
    match (job.platform, &job.identity, job.lacks()) {
        _ if known.place == Place::Directory => {
            found(UNSUPPORTED, "a directory keeps no statements", "")
        }
        (Platform::Other, ..) => found(
            UNSUPPORTED,
            "only jobs of GitHub Actions and GitLab CI have an identity that signs",
            "release from such a job, or ",
        ),
        (Platform::GitHub, None, _) => found(
            NO_IDENTITY,
            "the job may not ask for its identity",
            "give the job `permissions: id-token: write`, or ",
        ),
        (Platform::GitLab, None, _) => found(
            NO_IDENTITY,
            "the job has no SIGSTORE_ID_TOKEN",
            "add SIGSTORE_ID_TOKEN with `aud: sigstore` to the job's `id_tokens`, or ",
        ),
        (_, _, lacking) if !lacking.is_empty() => {
            let why = format!("the platform did not set {}", lacking.join(", "));
            found(UNSUPPORTED, &why, "")
        }
        _ if is_public && job.is_self_hosted() => found(
            UNSUPPORTED,
            "npm takes no statement of a self-hosted runner",
            "release on a hosted one, or ",
        ),
        _ => {
            let hidden = hidden.filter(|_| is_public)?;
            let why = format!("npm takes no statement of a repository that is {hidden}");
            found(UNSUPPORTED, &why, "")
        }
    }
}

/// npm's rule for what nobody said anything about.
fn by_rule(known: &Known<'_>) -> Provenance {
    let left = |why: &str| Provenance::Left(why.to_owned());
    if known.place == Place::Directory {
        return left("a directory keeps no statements");
    }
    let Some(claims) = known.trusted else {
        return left("by npm's rule only trusted publishing adds it by itself");
    };
    if claims.platform == Platform::Other || known.job.platform == Platform::Other {
        return left("only jobs of GitHub Actions and GitLab CI have an identity that signs");
    }
    if claims.visibility.as_deref() != Some("public") {
        return left("the repository is not public");
    }
    if known.job.identity.is_none() {
        return left(match known.job.platform {
            Platform::GitLab => "the job has no SIGSTORE_ID_TOKEN",
            _ => "the job may not ask for its identity",
        });
    }
    let lacking = known.job.lacks();
    if !lacking.is_empty() {
        let lacking = lacking.join(", ");
        return Provenance::Left(format!("the platform did not set {lacking}"));
    }
    match known.is_public {
        None => Provenance::Ask,
        Some(false) => left("the registry does not show the package to everybody"),
        Some(true) => Provenance::Signed(
            "trusted publishing of a public package from a public repository".to_owned(),
        ),
    }
}

/// All packages whose statements cannot be made, by reason.
pub fn failures(refused: &BTreeMap<PackageName, Refused>) -> Vec<Failure> {
    let mut by_reason: BTreeMap<&Refused, Vec<&str>> = BTreeMap::new();
    for (name, why) in refused {
        by_reason.entry(why).or_default().push(name.as_str());
    }
    let failure = |(refused, names): (&Refused, Vec<&str>)| {
        let what = format!("no provenance can be made for {}", named(&names));
        Failure::new(Exit::Usage, refused.code, what)
            .because(&refused.why)
            .hint(format!("{}; this costs no version", refused.hint))
    };
    by_reason.into_iter().map(failure).collect()
}

/// What is told of packages that are alike, a sentence for each reason.
pub fn told(decided: &BTreeMap<PackageName, Provenance>) -> Vec<String> {
    let mut by_reason: BTreeMap<(bool, &str), Vec<&str>> = BTreeMap::new();
    for (name, provenance) in decided {
        let key = match provenance {
            Provenance::Signed(why) => (true, why.as_str()),
            Provenance::Left(why) => (false, why.as_str()),
            Provenance::Refused(_) | Provenance::Ask => continue,
        };
        by_reason.entry(key).or_default().push(name.as_str());
    }
    let sentence = |((signed, why), names): ((bool, &str), Vec<&str>)| {
        let with = if signed { "with" } else { "without" };
        format!("{} {with} provenance: {why}", named(&names))
    };
    by_reason.into_iter().map(sentence).collect()
}

/// Names, of many the first ones.
fn named(names: &[&str]) -> String {
    const NAMED: usize = 20;
    match names.len().saturating_sub(NAMED) {
        0 => names.join(", "),
        more => format!("{} and {more} more", names[..NAMED].join(", ")),
    }
}

/// What a plan says, which asks nobody.
#[derive(Debug, Default)]
pub struct Foreseen {
    /// Sentences for people; none where nobody asked for anything and no registry takes the job.
    pub sentences: Vec<String>,
    /// What is asked for and cannot be made.
    pub refused: BTreeMap<PackageName, Refused>,
}

/// What can be said of the packages of a release without asking anybody; `by_identity` tells which are published by the job's identity.
pub fn foreseen(
    packages: &[(PackageName, Wish, Place)],
    job: &Job,
    by_identity: impl Fn(&PackageName) -> bool,
) -> Foreseen {
    let mut foreseen = Foreseen::default();
    let mut decided = BTreeMap::new();
    let mut open = Vec::new();
    for (name, wish, place) in packages {
        let known = Known {
            wish: wish.clone(),
            place: *place,
            job,
            trusted: None,
            access: Some(Access::Public),
            is_public: None,
        };
        match (judge(&known), wish.wanted) {
            (Provenance::Refused(refused), _) => {
                foreseen.refused.insert(name.clone(), refused);
            }
            (_, None) if by_identity(name) => open.push(name.as_str()),
            (_, None) => {}
            (provenance, Some(_)) => {
                decided.insert(name.clone(), provenance);
            }
        }
    }
    foreseen.sentences = told(&decided);
    if !open.is_empty() {
        foreseen.sentences.push(format!(
            "{} by npm's rule, once the registry is asked: with provenance where package and repository are public",
            named(&open)
        ));
    }
    foreseen
}

impl Refused {
    /// Why, as a sentence.
    pub fn why(&self) -> &str {
        &self.why
    }

    /// What to do.
    pub fn hint(&self) -> &str {
        &self.hint
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GITHUB: &[(&str, &str)] = &[
        ("GITHUB_ACTIONS", "true"),
        (
            "GITHUB_WORKFLOW_REF",
            "a/b/.github/workflows/r.yml@refs/heads/main",
        ),
        ("GITHUB_REPOSITORY", "a/b"),
        ("GITHUB_SERVER_URL", "https://github.com"),
        ("GITHUB_EVENT_NAME", "push"),
        ("GITHUB_REPOSITORY_ID", "1"),
        ("GITHUB_REPOSITORY_OWNER_ID", "2"),
        ("GITHUB_REF", "refs/heads/main"),
        ("GITHUB_SHA", "c"),
        ("GITHUB_RUN_ID", "3"),
        ("GITHUB_RUN_ATTEMPT", "1"),
        ("RUNNER_ENVIRONMENT", "github-hosted"),
        ("ACTIONS_ID_TOKEN_REQUEST_URL", "https://issuer.example/"),
        ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "right"),
    ];
    const GITLAB: &[(&str, &str)] = &[
        ("GITLAB_CI", "true"),
        ("CI_PROJECT_URL", "https://gitlab.com/a/b"),
        ("CI_RUNNER_ID", "1"),
        ("CI_COMMIT_SHA", "c"),
        ("CI_JOB_URL", "https://gitlab.com/a/b/-/jobs/1"),
        ("SIGSTORE_ID_TOKEN", "e30.e30.x"),
    ];

    /// The variables but for one, or with another value of it.
    fn job(variables: &[(&str, &str)], changed: Option<(&str, &str)>) -> Job {
        let mut variables: BTreeMap<String, String> = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        if let Some((name, value)) = changed {
            variables.insert(name.to_owned(), value.to_owned());
        }
        Job::read(&variables)
    }

    fn claims(platform: Platform, visibility: &str) -> Claims {
        Claims {
            platform,
            visibility: Some(visibility.to_owned()),
            ..Claims::default()
        }
    }

    fn wish(wanted: Option<bool>) -> Wish {
        Wish {
            wanted,
            said: "provenance".to_owned(),
        }
    }

    fn check(known: &Known<'_>, expected: &str) {
        let found = match judge(known) {
            Provenance::Signed(why) => format!("signed: {why}"),
            Provenance::Left(why) => format!("left: {why}"),
            Provenance::Refused(refused) => format!("{}: {}", refused.code, refused.why),
            Provenance::Ask => "ask".to_owned(),
        };
        assert_eq!(found, expected, "{known:?}");
    }

    #[test]
    fn by_npms_rule_public_packages_of_public_repositories_by_trusted_publishing() {
        let (github, public) = (job(GITHUB, None), claims(Platform::GitHub, "public"));
        let known = Known {
            wish: wish(None),
            place: Place::Public,
            job: &github,
            trusted: Some(&public),
            access: None,
            is_public: Some(true),
        };
        let made = "signed: trusted publishing of a public package from a public repository";
        check(&known, made);
        check(
            &Known {
                place: Place::Other,
                ..known.clone()
            },
            made,
        );
        let asked = Known {
            is_public: None,
            access: Some(Access::Public),
            ..known.clone()
        };
        // npm asks for it whatever `access` says.
        check(&asked, "ask");
        let hidden = Known {
            is_public: Some(false),
            ..known.clone()
        };
        check(
            &hidden,
            "left: the registry does not show the package to everybody",
        );
        let token = Known {
            trusted: None,
            ..known.clone()
        };
        check(
            &token,
            "left: by npm's rule only trusted publishing adds it by itself",
        );
        for visibility in ["private", "internal"] {
            let claims = claims(Platform::GitHub, visibility);
            let private = Known {
                trusted: Some(&claims),
                is_public: None,
                ..known.clone()
            };
            check(&private, "left: the repository is not public");
        }
        let without = job(GITHUB, Some(("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "")));
        let unable = Known {
            job: &without,
            is_public: None,
            ..known.clone()
        };
        check(&unable, "left: the job may not ask for its identity");
        let without = job(GITHUB, Some(("GITHUB_RUN_ID", "")));
        let unable = Known {
            job: &without,
            is_public: None,
            ..known.clone()
        };
        check(&unable, "left: the platform did not set GITHUB_RUN_ID");
        let none = Known {
            wish: wish(Some(false)),
            ..known.clone()
        };
        check(&none, "left: provenance is false");

        let (gitlab, public) = (job(GITLAB, None), claims(Platform::GitLab, "public"));
        let known = Known {
            job: &gitlab,
            trusted: Some(&public),
            ..known
        };
        check(&known, made);
        let without = job(GITLAB, Some(("SIGSTORE_ID_TOKEN", "")));
        let unable = Known {
            job: &without,
            ..known.clone()
        };
        check(&unable, "left: the job has no SIGSTORE_ID_TOKEN");
        let (other, claims) = (job(&[("CIRCLECI", "true")], None), Claims::default());
        let circle = Known {
            job: &other,
            trusted: Some(&claims),
            ..known
        };
        check(
            &circle,
            "left: only jobs of GitHub Actions and GitLab CI have an identity that signs",
        );
    }

    #[test]
    fn what_is_asked_for_is_made_or_refused() {
        let github = job(GITHUB, None);
        let known = Known {
            wish: wish(Some(true)),
            place: Place::Public,
            job: &github,
            trusted: None,
            access: Some(Access::Public),
            is_public: None,
        };
        check(&known, "signed: provenance is true");
        let unsaid = Known {
            access: None,
            ..known.clone()
        };
        check(&unsaid, "ask");
        check(
            &Known {
                is_public: Some(true),
                ..unsaid.clone()
            },
            "signed: provenance is true",
        );
        for access in [None, Some(Access::Restricted)] {
            check(
                &Known {
                    access,
                    is_public: Some(false),
                    ..known.clone()
                },
                "provenance::not_public: provenance is true, and the registry does not show the package to everybody, or not yet",
            );
        }
        let refused = |variables: &[(&str, &str)], changed, place, why: &str| {
            let job = job(variables, changed);
            check(
                &Known {
                    job: &job,
                    place,
                    ..known.clone()
                },
                why,
            );
        };
        let no_url = Some(("ACTIONS_ID_TOKEN_REQUEST_URL", ""));
        refused(
            GITHUB,
            no_url,
            Place::Public,
            "provenance::no_identity: provenance is true, and the job may not ask for its identity",
        );
        let no_token = Some(("SIGSTORE_ID_TOKEN", ""));
        refused(
            GITLAB,
            no_token,
            Place::Public,
            "provenance::no_identity: provenance is true, and the job has no SIGSTORE_ID_TOKEN",
        );
        refused(GITLAB, None, Place::Public, "signed: provenance is true");
        let own = Some(("RUNNER_ENVIRONMENT", "self-hosted"));
        refused(
            GITHUB,
            own,
            Place::Public,
            "provenance::unsupported: provenance is true, and npm takes no statement of a self-hosted runner",
        );
        refused(GITHUB, own, Place::Other, "signed: provenance is true");
        refused(
            GITHUB,
            None,
            Place::Directory,
            "provenance::unsupported: provenance is true, and a directory keeps no statements",
        );
        refused(
            &[],
            None,
            Place::Public,
            "provenance::unsupported: provenance is true, and only jobs of GitHub Actions and GitLab CI have an identity that signs",
        );
        let private = claims(Platform::GitHub, "internal");
        let private = Known {
            trusted: Some(&private),
            ..known.clone()
        };
        check(
            &private,
            "provenance::unsupported: provenance is true, and npm takes no statement of a repository that is internal",
        );
    }

    #[test]
    fn packages_are_told_together() {
        let name = |name: &str| PackageName::parse(name).expect("a name");
        let decided = BTreeMap::from([
            (name("a"), Provenance::Signed("x".to_owned())),
            (name("b"), Provenance::Left("y".to_owned())),
            (name("c"), Provenance::Signed("x".to_owned())),
        ]);
        assert_eq!(
            told(&decided),
            ["b without provenance: y", "a, c with provenance: x"]
        );
        let asked = ["a", "b"].map(|text| (name(text), wish(Some(true)), Place::Other));
        let found = foreseen(&asked, &Job::default(), |_| true);
        assert_eq!(found.sentences, [] as [&str; 0]);
        let failures = failures(&found.refused);
        assert_eq!(failures.len(), 1);
        assert_eq!(
            failures[0].to_string(),
            "no provenance can be made for a, b"
        );
        let job = job(GITHUB, None);
        let each = [None, Some(true), Some(false)].map(|wanted| {
            let (name, wish) = (
                name(
                    &format!("p{wanted:?}")
                        .to_lowercase()
                        .replace(['(', ')'], ""),
                ),
                wish(wanted),
            );
            (name, wish, Place::Public)
        });
        let found = foreseen(&each, &job, |_| true);
        assert_eq!(
            found.sentences,
            [
                "psomefalse without provenance: provenance is false",
                "psometrue with provenance: provenance is true",
                "pnone by npm's rule, once the registry is asked: with provenance where package and repository are public",
            ]
        );
        assert_eq!(
            foreseen(&each[..1], &job, |_| false).sentences,
            [] as [&str; 0]
        );
    }
}
