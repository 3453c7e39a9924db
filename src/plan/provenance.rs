//! Whether a package gets a signed statement of where it was built, judged before anything is decided. What is not asked for is made by npm's rule
//! (`lib/utils/oidc.js`); what is asked for and cannot be made refuses the release, as in npm's `libnpmpublish/lib/publish.js`.

use std::collections::BTreeMap;

use crate::explain::{Exit, Failure};
use crate::name::PackageName;
use crate::settings::Access;
use crate::settings::identity::{Claims, Platform};
use crate::settings::provenance::{Job, Untold, Wanted, Wish};

/// Where a package goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Destination {
    /// npm's own registry.
    Npm,
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
    pub destination: Destination,
    /// The job.
    pub job: &'a Job,
    /// What the job said of itself to a registry that takes it; `None`: it is published with a token.
    pub trusted: Option<&'a Claims>,
    /// Who may see it, as far as that was said.
    pub access: Option<Access>,
}

/// What is decided of a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Provenance {
    /// It gets a statement, for this reason.
    Signed(String),
    /// It gets none, for this reason.
    Left(String),
    /// One was asked for and cannot be made.
    Refused(Refused),
}

/// What follows of what is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judged {
    /// This.
    Decided(Provenance),
    /// It depends on whether the registry shows the package to everybody.
    AskWhoSeesIt {
        /// What is decided where it does.
        shown: Provenance,
        /// What is decided where it does not.
        hidden: Provenance,
    },
}

/// What a statement fails on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hindrance {
    /// The package goes to a directory.
    Directory,
    /// The platform of the job has none.
    Platform,
    /// A job of GitHub was not given the right to ask for its identity.
    MayNotAsk,
    /// A job of GitLab was not given a token for it.
    NoToken,
    /// The platform did not set these variables.
    Unset(Vec<&'static str>),
    /// npm takes none of this runner.
    SelfHosted,
    /// npm takes none of a repository that is this.
    HiddenRepository(String),
    /// The registry does not show the package to everybody.
    HiddenPackage,
}

impl Hindrance {
    /// The code of the failure that it makes.
    pub fn code(&self) -> &'static str {
        match self {
            Hindrance::MayNotAsk | Hindrance::NoToken => "provenance::no_identity",
            Hindrance::HiddenPackage => "provenance::not_public",
            Hindrance::Directory
            | Hindrance::Platform
            | Hindrance::Unset(_)
            | Hindrance::SelfHosted
            | Hindrance::HiddenRepository(_) => "provenance::unsupported",
        }
    }

    /// What it is, as a sentence.
    pub fn why(&self) -> String {
        let why = match self {
            Hindrance::Directory => "a directory keeps no statements",
            Hindrance::Platform => {
                "only jobs of GitHub Actions and GitLab CI have an identity that signs"
            }
            Hindrance::MayNotAsk => "the job may not ask for its identity",
            Hindrance::NoToken => "the job has no SIGSTORE_ID_TOKEN",
            Hindrance::Unset(names) => {
                return format!("the platform did not set {}", names.join(", "));
            }
            Hindrance::SelfHosted => "npm takes no statement of a self-hosted runner",
            Hindrance::HiddenRepository(visibility) => {
                return format!("npm takes no statement of a repository that is {visibility}");
            }
            Hindrance::HiddenPackage => {
                "the registry does not show the package to everybody, or not yet"
            }
        };
        why.to_owned()
    }

    /// What to do.
    pub fn hint(&self) -> &'static str {
        match self {
            Hindrance::Platform => "release from such a job, or set provenance to false",
            Hindrance::MayNotAsk => {
                "give the job `permissions: id-token: write`, or set provenance to false"
            }
            Hindrance::NoToken => {
                "add SIGSTORE_ID_TOKEN with `aud: sigstore` to the job's `id_tokens`, or set provenance to false"
            }
            Hindrance::SelfHosted => "release on a hosted one, or set provenance to false",
            Hindrance::HiddenPackage => {
                "set access, or publishConfig.access, to public if it is meant for everybody"
            }
            Hindrance::Directory | Hindrance::Unset(_) | Hindrance::HiddenRepository(_) => {
                "set provenance to false"
            }
        }
    }
}

/// Why a statement that was asked for cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Refused {
    /// What asked for it.
    said: String,
    hindrance: Hindrance,
}

impl Refused {
    /// Why, as a sentence.
    pub fn why(&self) -> String {
        format!("{} is true, and {}", self.said, self.hindrance.why())
    }

    /// What to do.
    pub fn hint(&self) -> &'static str {
        self.hindrance.hint()
    }
}

/// Judges one package.
pub fn judge(known: &Known<'_>) -> Judged {
    let said = &known.wish.said;
    match known.wish.wanted {
        Wanted::No => Judged::Decided(Provenance::Left(format!("{said} is false"))),
        Wanted::Yes => asked_for(known),
        Wanted::ByNpmsRule => by_rule(known),
    }
}

/// What was asked for is made, or refuses the release.
fn asked_for(known: &Known<'_>) -> Judged {
    let said = &known.wish.said;
    let signed = Provenance::Signed(format!("{said} is true"));
    let refused = |hindrance| {
        let said = said.clone();
        Provenance::Refused(Refused { said, hindrance })
    };
    let hindrance = hindrance(known).or_else(|| refused_by_npm(known));
    match (hindrance, known.access) {
        (Some(hindrance), _) => Judged::Decided(refused(hindrance)),
        (None, Some(Access::Public)) => Judged::Decided(signed),
        (None, Some(Access::Restricted) | None) => Judged::AskWhoSeesIt {
            shown: signed,
            hidden: refused(Hindrance::HiddenPackage),
        },
    }
}

/// What every statement about a package fails on, wherever it is published.
fn hindrance(known: &Known<'_>) -> Option<Hindrance> {
    let job = known.job;
    match (job.told(), &job.identity, job.platform) {
        _ if known.destination == Destination::Directory => Some(Hindrance::Directory),
        (Err(Untold::Platform), ..) => Some(Hindrance::Platform),
        (_, None, Platform::GitLab) => Some(Hindrance::NoToken),
        (_, None, _) => Some(Hindrance::MayNotAsk),
        (Err(Untold::Lacking(names)), ..) => Some(Hindrance::Unset(names)),
        (Ok(_), Some(_), _) => None,
    }
}

/// What npm's own registry refuses a statement for, as far as the job says it of itself.
fn refused_by_npm(known: &Known<'_>) -> Option<Hindrance> {
    if known.destination != Destination::Npm {
        return None;
    }
    if known.job.is_self_hosted() {
        return Some(Hindrance::SelfHosted);
    }
    let visibility = known.trusted?.visibility.as_deref()?;
    (visibility != "public").then(|| Hindrance::HiddenRepository(visibility.to_owned()))
}

/// npm's rule for what nobody said anything about.
fn by_rule(known: &Known<'_>) -> Judged {
    const MADE: &str = "trusted publishing of a public package from a public repository";
    let left = |why: String| Judged::Decided(Provenance::Left(why));
    match (hindrance(known), known.trusted) {
        (Some(hindrance @ Hindrance::Directory), _) => left(hindrance.why()),
        (_, None) => left("by npm's rule only trusted publishing adds it by itself".to_owned()),
        (Some(hindrance @ Hindrance::Platform), _) => left(hindrance.why()),
        (_, Some(claims)) if claims.platform == Platform::Other => left(Hindrance::Platform.why()),
        (_, Some(claims)) if claims.visibility.as_deref() != Some("public") => {
            left("the repository is not public".to_owned())
        }
        (Some(hindrance), Some(_)) => left(hindrance.why()),
        (None, Some(_)) => Judged::AskWhoSeesIt {
            shown: Provenance::Signed(MADE.to_owned()),
            hidden: Provenance::Left(Hindrance::HiddenPackage.why()),
        },
    }
}

/// What the packages fail with whose statements cannot be made, by reason.
pub fn failures(decided: &BTreeMap<PackageName, Provenance>) -> Vec<Failure> {
    let mut by_reason: BTreeMap<&Refused, Vec<&str>> = BTreeMap::new();
    for (name, provenance) in decided {
        if let Provenance::Refused(refused) = provenance {
            by_reason.entry(refused).or_default().push(name.as_str());
        }
    }
    let failure = |(refused, names): (&Refused, Vec<&str>)| {
        let what = format!("no provenance can be made for {}", named(&names));
        Failure::new(Exit::Usage, refused.hindrance.code(), what)
            .because(refused.why())
            .hint(format!("{}; this costs no version", refused.hint()))
    };
    by_reason.into_iter().map(failure).collect()
}

/// Packages of which the same is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alike<'p> {
    /// Their names.
    pub names: Vec<&'p str>,
    /// Whether they get a statement; `None`: only the registry can tell.
    pub signed: Option<bool>,
    /// Why.
    pub why: String,
}

impl Alike<'_> {
    /// The same for people.
    pub fn sentence(&self) -> String {
        let (names, why) = (named(&self.names), &self.why);
        match self.signed {
            Some(true) => format!("{names} with provenance: {why}"),
            Some(false) => format!("{names} without provenance: {why}"),
            None => format!("{names} {why}"),
        }
    }
}

/// What is told of packages, of those that are alike at once; what refuses a release is told as a failure.
pub fn told(decided: &BTreeMap<PackageName, Provenance>) -> Vec<Alike<'_>> {
    let mut by_reason: BTreeMap<(bool, &str), Vec<&str>> = BTreeMap::new();
    for (name, provenance) in decided {
        let key = match provenance {
            Provenance::Signed(why) => (true, why.as_str()),
            Provenance::Left(why) => (false, why.as_str()),
            Provenance::Refused(_) => continue,
        };
        by_reason.entry(key).or_default().push(name.as_str());
    }
    let alike = by_reason.into_iter().map(|((signed, why), names)| Alike {
        names,
        signed: Some(signed),
        why: why.to_owned(),
    });
    alike.collect()
}

/// Names, of many the first ones.
fn named(names: &[&str]) -> String {
    const NAMED: usize = 20;
    match names.len().saturating_sub(NAMED) {
        0 => names.join(", "),
        more => format!("{} and {more} more", names[..NAMED].join(", ")),
    }
}

/// What is known of a package of a plan, which asks nobody.
#[derive(Debug, Clone)]
pub struct Unasked<'a> {
    /// Its name.
    pub name: PackageName,
    /// What is known without asking.
    pub known: Known<'a>,
    /// Whether the job's identity publishes it, of which the registry is asked first.
    pub by_identity: bool,
}

/// What a plan can say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Foreseen {
    /// What is certain of packages of which somebody said something.
    decided: BTreeMap<PackageName, Provenance>,
    /// What only the registry can tell, by how that is said.
    open: BTreeMap<String, Vec<PackageName>>,
}

impl Foreseen {
    /// What can be said of the packages of a release; nothing of one of which nobody said anything and that a token publishes.
    pub fn of<'a>(packages: impl IntoIterator<Item = Unasked<'a>>) -> Foreseen {
        let mut foreseen = Foreseen::default();
        for Unasked {
            name,
            known,
            by_identity,
        } in packages
        {
            // npm takes none of a repository that is not public, which only the identity of the job tells.
            let is_open = by_identity && known.destination == Destination::Npm;
            match (known.wish.wanted, judge(&known)) {
                (Wanted::ByNpmsRule, _) if by_identity => {
                    let why = "by npm's rule, once the registry is asked: with provenance where package and repository are public";
                    foreseen.leave_open(name, why.to_owned());
                }
                (Wanted::ByNpmsRule, _) => {}
                (_, Judged::Decided(Provenance::Signed(_))) if is_open => {
                    foreseen.leave_open(name, once_asked(&known.wish));
                }
                (_, Judged::AskWhoSeesIt { .. }) => {
                    foreseen.leave_open(name, once_asked(&known.wish));
                }
                (_, Judged::Decided(provenance)) => {
                    foreseen.decided.insert(name, provenance);
                }
            }
        }
        foreseen
    }

    fn leave_open(&mut self, name: PackageName, why: String) {
        self.open.entry(why).or_default().push(name);
    }

    /// What is told of the packages, but of those that refuse the release.
    pub fn told(&self) -> Vec<Alike<'_>> {
        let mut all = told(&self.decided);
        all.extend(self.open.iter().map(|(why, names)| Alike {
            names: names.iter().map(PackageName::as_str).collect(),
            signed: None,
            why: why.clone(),
        }));
        all
    }

    /// The packages that refuse the release, and why.
    pub fn refused(&self) -> impl Iterator<Item = (&PackageName, &Refused)> {
        let decided = self.decided.iter();
        decided.filter_map(|(name, provenance)| match provenance {
            Provenance::Refused(refused) => Some((name, refused)),
            Provenance::Signed(_) | Provenance::Left(_) => None,
        })
    }
}

/// What is said of packages that a release gives a statement or refuses, as the registry answers.
fn once_asked(wish: &Wish) -> String {
    format!(
        "with provenance once the registry is asked: {} is true, and a release is refused where package or repository are not public",
        wish.said
    )
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

    fn check(known: &Known<'_>, expected: &str) {
        let told = |provenance: Provenance| match provenance {
            Provenance::Signed(why) => format!("signed: {why}"),
            Provenance::Left(why) => format!("left: {why}"),
            Provenance::Refused(refused) => {
                format!("{}: {}", refused.hindrance.code(), refused.why())
            }
        };
        let found = match judge(known) {
            Judged::Decided(provenance) => told(provenance),
            Judged::AskWhoSeesIt { shown, hidden } => {
                format!("shown {}; hidden {}", told(shown), told(hidden))
            }
        };
        assert_eq!(found, expected, "{known:?}");
    }

    #[test]
    fn by_npms_rule_public_packages_of_public_repositories_by_trusted_publishing() {
        let (github, public) = (job(GITHUB, None), claims(Platform::GitHub, "public"));
        let known = Known {
            wish: Wish::of_setting(Wanted::ByNpmsRule),
            destination: Destination::Npm,
            job: &github,
            trusted: Some(&public),
            access: None,
        };
        let made = "shown signed: trusted publishing of a public package from a public repository; hidden left: the registry does not show the package to everybody, or not yet";
        check(&known, made);
        check(
            &Known {
                destination: Destination::Other,
                ..known.clone()
            },
            made,
        );
        let asked = Known {
            access: Some(Access::Public),
            ..known.clone()
        };
        // npm asks for it whatever `access` says.
        check(&asked, made);
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
                ..known.clone()
            };
            check(&private, "left: the repository is not public");
        }
        let without = job(GITHUB, Some(("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "")));
        let unable = Known {
            job: &without,
            ..known.clone()
        };
        check(&unable, "left: the job may not ask for its identity");
        let without = job(GITHUB, Some(("GITHUB_RUN_ID", "")));
        let unable = Known {
            job: &without,
            ..known.clone()
        };
        check(&unable, "left: the platform did not set GITHUB_RUN_ID");
        let none = Known {
            wish: Wish::of_setting(Wanted::No),
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
            wish: Wish::of_setting(Wanted::Yes),
            destination: Destination::Npm,
            job: &github,
            trusted: None,
            access: Some(Access::Public),
        };
        check(&known, "signed: provenance is true");
        for access in [None, Some(Access::Restricted)] {
            check(
                &Known {
                    access,
                    ..known.clone()
                },
                "shown signed: provenance is true; hidden provenance::not_public: provenance is true, and the registry does not show the package to everybody, or not yet",
            );
        }
        let refused = |variables: &[(&str, &str)], changed, destination, why: &str| {
            let job = job(variables, changed);
            check(
                &Known {
                    job: &job,
                    destination,
                    ..known.clone()
                },
                why,
            );
        };
        let no_url = Some(("ACTIONS_ID_TOKEN_REQUEST_URL", ""));
        refused(
            GITHUB,
            no_url,
            Destination::Npm,
            "provenance::no_identity: provenance is true, and the job may not ask for its identity",
        );
        let no_token = Some(("SIGSTORE_ID_TOKEN", ""));
        refused(
            GITLAB,
            no_token,
            Destination::Npm,
            "provenance::no_identity: provenance is true, and the job has no SIGSTORE_ID_TOKEN",
        );
        refused(GITLAB, None, Destination::Npm, "signed: provenance is true");
        let own = Some(("RUNNER_ENVIRONMENT", "self-hosted"));
        refused(
            GITHUB,
            own,
            Destination::Npm,
            "provenance::unsupported: provenance is true, and npm takes no statement of a self-hosted runner",
        );
        refused(
            GITHUB,
            own,
            Destination::Other,
            "signed: provenance is true",
        );
        refused(
            GITHUB,
            None,
            Destination::Directory,
            "provenance::unsupported: provenance is true, and a directory keeps no statements",
        );
        refused(
            &[],
            None,
            Destination::Npm,
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
        let refused = || {
            Provenance::Refused(Refused {
                said: "provenance".to_owned(),
                hindrance: Hindrance::Platform,
            })
        };
        let decided = BTreeMap::from([
            (name("a"), Provenance::Signed("x".to_owned())),
            (name("b"), Provenance::Left("y".to_owned())),
            (name("c"), Provenance::Signed("x".to_owned())),
            (name("d"), refused()),
            (name("e"), refused()),
        ]);
        let told = told(&decided);
        let told: Vec<String> = told.iter().map(Alike::sentence).collect();
        assert_eq!(told, ["b without provenance: y", "a, c with provenance: x"]);
        let failures = failures(&decided);
        assert_eq!(failures.len(), 1);
        assert_eq!(
            failures[0].to_string(),
            "no provenance can be made for d, e"
        );
    }

    #[test]
    fn a_plan_says_what_is_certain_without_asking() {
        const OPEN: &str = "once the registry is asked";
        let (github, none) = (job(GITHUB, None), Job::default());
        let check = |wanted, access, by_identity, job: &Job, expected: &str| {
            let known = Known {
                wish: Wish::of_setting(wanted),
                destination: Destination::Npm,
                job,
                trusted: None,
                access,
            };
            let name = PackageName::parse("a").expect("a name");
            let foreseen = Foreseen::of([Unasked {
                name,
                known,
                by_identity,
            }]);
            let told = foreseen.told().into_iter().map(|alike| alike.sentence());
            let refused = foreseen.refused();
            let refused = refused.map(|(name, refused)| format!("{name}: {}", refused.why()));
            let found: Vec<String> = told.chain(refused).collect();
            let is_as_expected = match expected {
                "" => found.is_empty(),
                expected => matches!(&found[..], [found] if found.starts_with(expected)),
            };
            assert!(is_as_expected, "{found:?}, not {expected}");
        };
        let (yes, no, rule) = (Wanted::Yes, Wanted::No, Wanted::ByNpmsRule);
        let (public, restricted) = (Some(Access::Public), Some(Access::Restricted));
        let signed = "a with provenance: provenance is true";
        let open = format!("a with provenance {OPEN}: provenance is true");
        check(yes, public, false, &github, signed);
        check(yes, public, true, &github, &open);
        check(yes, restricted, false, &github, &open);
        check(yes, None, false, &github, &open);
        check(
            no,
            public,
            true,
            &github,
            "a without provenance: provenance is false",
        );
        check(
            rule,
            None,
            true,
            &github,
            &format!("a by npm's rule, {OPEN}"),
        );
        check(rule, None, false, &github, "");
        check(
            yes,
            public,
            true,
            &none,
            "a: provenance is true, and only jobs of",
        );
    }
}
