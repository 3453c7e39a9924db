//! What a person is asked: how far a package grows that changed, where nothing says it. Which questions there are and what each answer makes
//! follows from the facts of a plan alone.

use crate::changes::Reason;
use crate::explain::{Exit, Failure};
use crate::name::PackageName;
use crate::plan::release::{
    self, Base, Facts, PackageFacts, Plan, dependency_reasons, grown_from, root_version, selected,
};
use crate::settings::{BumpFrom, BumpRequest, Mode, Settings};
use crate::version::{Bump, Version};

/// What a person answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It grows so far.
    Grow(BumpRequest),
    /// It is not released by itself now; the next run asks again.
    NotNow,
}

/// A question that is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The package; `None`: all, which share one version.
    pub package: Option<PackageName>,
    /// The version it grows from.
    pub from: Version,
    /// What its changes are measured from, for a person.
    pub since: String,
    /// Why it changed.
    pub reasons: Vec<Reason>,
    /// What can be answered, no two with the same version.
    pub choices: Vec<Choice>,
    /// The place of the choice that is made where nobody can be asked.
    pub preselected: usize,
    /// Its place in the workspace.
    index: Option<usize>,
}

/// A possible answer, and what it makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// The answer.
    pub answer: Answer,
    /// The version that it makes; `None`: the package is not released.
    pub to: Option<Version>,
}

/// How intents name a package.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Named {
    /// None does.
    Nowhere,
    /// As something that is not released.
    ForNothing,
    /// With how far it grows.
    WithBump,
}

/// Why a package changed, where nothing says how far it grows: it would count as patch, or, where intents alone decide, for nothing. Empty:
/// something says it, or nothing changed.
pub(super) fn undecided(known: &PackageFacts, bump_from: BumpFrom, named: Named) -> Vec<Reason> {
    let touched = &known.touched;
    let commits = || touched.reasons.iter().cloned();
    match (bump_from, named) {
        (BumpFrom::Intents, Named::Nowhere) => commits().chain(dependency_reasons(known)).collect(),
        (BumpFrom::Intents, _) | (BumpFrom::Both, Named::WithBump) => Vec::new(),
        _ if touched.says_how => Vec::new(),
        _ => commits().collect(),
    }
}

/// The first question that is open in a plan of these facts, in the order of packages. `None`: everything is decided.
pub fn next(facts: &Facts<'_>, settings: &Settings, plan: &Plan) -> Option<Question> {
    if settings.bump != BumpRequest::Auto || settings.snapshot.is_some() {
        return None;
    }
    let mut question = match facts.mode {
        Mode::Diff => of_package(facts, settings, plan)?,
        Mode::Sync => of_all(facts, settings, plan)?,
    };
    question.offer(facts, settings);
    // Where nobody can be asked, the plan is carried out as it is.
    let to = question.version_in(plan);
    let same = |choice: &Choice| choice.to.as_ref() == to;
    question.preselected = question.choices.iter().position(same).unwrap_or(0);
    Some(question)
}

/// Takes an answer.
pub fn answer(facts: &mut Facts<'_>, question: &Question, answer: &Answer) {
    let asked = match question.index {
        Some(index) => &mut facts.packages[index..=index],
        None => &mut facts.packages[..],
    };
    for known in asked {
        take(known, answer);
    }
}

fn take(known: &mut PackageFacts, answer: &Answer) {
    known.answer = Some(answer.clone());
    let touched = &mut known.touched;
    let grows = *answer != Answer::NotNow && !known.undecided.is_empty();
    if grows && touched.bump.is_none() {
        touched.bump = Some(Bump::Patch);
        touched.reasons.clone_from(&known.undecided);
    }
}

/// Takes the answers that a decided release shows: what counts for nothing where nobody is asked, and was released all the same. `released`
/// tells the version that a package got.
pub fn remember(facts: &mut Facts<'_>, released: impl Fn(&PackageName) -> Option<Version>) {
    for (package, known) in facts.workspace.packages.iter().zip(&mut facts.packages) {
        let is_open = known.touched.bump.is_none() && !known.undecided.is_empty();
        if let Some(to) = released(&package.name).filter(|_| is_open) {
            take(known, &Answer::Grow(BumpRequest::To(to)));
        }
    }
}

/// The answer that a person typed as a version.
///
/// # Errors
/// `version::form` where it is none; else why a plan refuses it, such as `plan::bump` where it is not above what is there.
pub fn typed(
    facts: &Facts<'_>,
    settings: &Settings,
    question: &Question,
    text: &str,
) -> Result<Answer, Failure> {
    let version = Version::parse(text.trim())?;
    let answer = Answer::Grow(BumpRequest::To(version.clone()));
    match question.outcome(facts, settings, &answer)? {
        Some(to) if to != version => {
            let what = format!("it would become {to}, as others of its group do");
            Err(Failure::new(Exit::Refused, "plan::bump", what).hint("ask for a higher version"))
        }
        _ => Ok(answer),
    }
}

/// The question about the first package of its own version that is open.
fn of_package(facts: &Facts<'_>, settings: &Settings, plan: &Plan) -> Option<Question> {
    let members = facts.workspace.packages.iter().zip(&facts.packages);
    let mut open = members.enumerate().filter(|(index, (package, known))| {
        known.answer.is_none()
            && !known.undecided.is_empty()
            && selected(package, &settings.filter)
            && !is_given(plan, *index)
    });
    let (index, (package, known), from) =
        open.find_map(|(index, of)| Some((index, of, grown_from(facts, settings, index)?)))?;
    Some(Question {
        package: Some(package.name.clone()),
        from,
        since: since(&known.base),
        reasons: known.undecided.clone(),
        choices: Vec::new(),
        preselected: 0,
        index: Some(index),
    })
}

/// The question about all packages, which share their version: open where nothing says of any how far it grows.
fn of_all(facts: &Facts<'_>, settings: &Settings, plan: &Plan) -> Option<Question> {
    let members = || {
        let packages = facts.workspace.packages.iter().zip(&facts.packages);
        let versioned = packages.enumerate();
        versioned.filter(|(_, (package, _))| package.version.is_some())
    };
    let is_decided = |known: &PackageFacts| {
        known.answer.is_some() || known.touched.bump.is_some() && known.undecided.is_empty()
    };
    if members().any(|(index, (_, known))| is_decided(known) || is_written(plan, index)) {
        return None;
    }
    let open = || members().filter(|(_, (_, known))| !known.undecided.is_empty());
    let (_, (_, first)) = open().next()?;
    let mut reasons: Vec<Reason> = Vec::new();
    for reason in open().flat_map(|(_, (_, known))| &known.undecided) {
        if !reasons.contains(reason) {
            reasons.push(reason.clone());
        }
    }
    let versions = members().filter_map(|(index, _)| grown_from(facts, settings, index));
    let of_root = root_version(facts.workspace).map(|(_, version)| version.clone());
    Some(Question {
        package: None,
        from: versions.chain(of_root).max()?,
        since: since(&first.base),
        reasons,
        choices: Vec::new(),
        preselected: 0,
        index: None,
    })
}

/// Whether the manifest brings the version of a package along.
fn is_given(plan: &Plan, index: usize) -> bool {
    reasons(plan, index).any(|reason| matches!(reason, Reason::First | Reason::Written))
}

/// Whether a person wrote the version of a package into its manifest.
fn is_written(plan: &Plan, index: usize) -> bool {
    reasons(plan, index).any(|reason| *reason == Reason::Written)
}

fn reasons(plan: &Plan, index: usize) -> impl Iterator<Item = &Reason> {
    let planned = plan.packages.iter();
    let planned = planned.filter(move |package| package.index == Some(index));
    planned.flat_map(|package| &package.reasons)
}

fn since(base: &Base) -> String {
    match base {
        Base::Tag { name, .. } => name.to_string(),
        Base::Published { version, .. } => version.to_string(),
        Base::Asked(commit) => commit.short().to_owned(),
        Base::First => "the beginning".to_owned(),
    }
}

impl Question {
    /// Sets the choices: what plans allow, each version once. What leaves the package out is offered only where nothing else brings it in.
    fn offer(&mut self, facts: &Facts<'_>, settings: &Settings) {
        const BUMPS: [Bump; 3] = [Bump::Patch, Bump::Minor, Bump::Major];
        let plain = BUMPS.into_iter().map(BumpRequest::By);
        let new = BUMPS.into_iter().map(BumpRequest::NewPrerelease);
        let requests = plain.chain([BumpRequest::Prerelease]).chain(new);
        let answers = requests.map(Answer::Grow).chain([Answer::NotNow]);
        for answer in answers {
            let Ok(to) = self.outcome(facts, settings, &answer) else {
                continue;
            };
            let is_new = self.choices.iter().all(|choice| choice.to != to);
            if is_new && to.is_some() != (answer == Answer::NotNow) {
                self.choices.push(Choice { answer, to });
            }
        }
    }

    /// The version that an answer makes; `None`: nothing is released.
    fn outcome(
        &self,
        facts: &Facts<'_>,
        settings: &Settings,
        given: &Answer,
    ) -> Result<Option<Version>, Failure> {
        let mut facts = facts.clone();
        answer(&mut facts, self, given);
        let plan = release::plan(&facts, settings)?;
        Ok(self.version_in(&plan).cloned())
    }

    /// The version that a plan gives to what is asked about.
    fn version_in<'p>(&self, plan: &'p Plan) -> Option<&'p Version> {
        if self.index.is_none() {
            return plan.version.as_ref();
        }
        let mut planned = plan.packages.iter();
        let found = planned.find(|package| package.index == self.index)?;
        Some(&found.to)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::changes::Touched;
    use crate::changes::commit::Commit;
    use crate::changes::intent::Intent;
    use crate::name::{CommitId, RepoPath, TagName};
    use crate::plan::intents;
    use crate::settings::World;
    use crate::settings::inputs::{Asked, collect};
    use crate::workspace::manager::{self, Signs};
    use crate::workspace::{Edge, Sources, Workspace};

    fn settings(words: &[&str]) -> Settings {
        let words: Vec<String> = [&["version"], words]
            .concat()
            .into_iter()
            .map(str::to_owned)
            .collect();
        let Ok(Asked::Run(collected)) = collect(&words, &BTreeMap::new()) else {
            panic!("{words:?} is a command");
        };
        Settings::resolve(*collected, &[], World::default()).unwrap()
    }

    /// The package `a`, which needs `~` of `b`, and `b`; both at `version`.
    fn workspace(version: &str) -> Workspace {
        let path = |name: &str| RepoPath::parse(name).unwrap();
        let plain = |name: &str, more: &str| {
            format!(r#"{{"name": "{name}", "version": "{version}"{more}}}"#)
        };
        let needs = format!(r#", "dependencies": {{"b": "~{version}"}}"#);
        let sources = Sources {
            form: crate::workspace::package_json::Form::Documented,
            root: RepoPath::root(),
            root_manifest: "{}".to_owned(),
            members: BTreeMap::from([(path("a"), plain("a", &needs)), (path("b"), plain("b", ""))]),
            has_members: true,
            manager: manager::tell(&Signs::default()).unwrap(),
            catalogs: None,
            lerna: None,
            lockfile: None,
        };
        Workspace::parse(sources, &BTreeMap::new(), |_| false).unwrap()
    }

    /// What is known of a package that commits with these subjects touched, one a line; the part behind `|` is a body.
    fn known(version: &str, commits: &str) -> PackageFacts {
        let id = CommitId::parse(&"a".repeat(40)).unwrap();
        let mut touched = Touched::default();
        for line in commits.lines() {
            let (subject, body) = line.split_once('|').unwrap_or((line, ""));
            touched.count(&Commit {
                id: id.clone(),
                subject: subject.to_owned(),
                body: body.to_owned(),
                parents: 1,
                paths: Vec::new(),
            });
        }
        PackageFacts {
            base: Base::Tag {
                name: TagName::parse("base").unwrap(),
                commit: id,
                version: Version::parse(version).unwrap(),
            },
            touched,
            lockfile: BTreeSet::new(),
            catalogs: Vec::new(),
            held_back: Vec::new(),
            since_release: None,
            given_up: None,
            undecided: Vec::new(),
            answer: None,
        }
    }

    /// Hands the facts of a case to `tell`. `intent` is the line of one, such as `a: minor`.
    fn with<T>(
        version: &str,
        (a, b): (&str, &str),
        (mode, intent): (Mode, &str),
        words: &[&str],
        tell: impl FnOnce(Facts<'_>, &Settings) -> T,
    ) -> T {
        let settings = settings(words);
        let workspace = workspace(version);
        let edges: Vec<Edge> = workspace.edges().unwrap();
        let file = RepoPath::parse(".changeset/x.md").unwrap();
        let text = format!("---\n{intent}\n---\n\nIt.\n");
        let intents: Vec<Intent> = (!intent.is_empty())
            .then(|| Intent::parse(&file, text.as_bytes()).unwrap())
            .into_iter()
            .collect();
        let mut packages = vec![known(version, a), known(version, b)];
        intents::decide(
            &intents,
            &workspace.packages,
            settings.bump_from,
            &mut packages,
        );
        let tags = BTreeSet::new();
        let facts = Facts {
            workspace: &workspace,
            edges: &edges,
            lockfile_stale: None,
            mode,
            mode_reason: String::new(),
            head: CommitId::parse(&"a".repeat(40)).unwrap(),
            packages,
            intents: &intents,
            tags: &tags,
            line: None,
            base: None,
            day: "2026-01-31".to_owned(),
            forge: None,
        };
        tell(facts, &settings)
    }

    /// The open question: what it is about, and the versions that can be chosen, the preselected one with a star.
    fn told(facts: &Facts<'_>, settings: &Settings) -> String {
        let plan = release::plan(facts, settings).unwrap();
        let Some(question) = next(facts, settings, &plan) else {
            return "-".to_owned();
        };
        let about = question
            .package
            .as_ref()
            .map_or("all", |name| name.as_str());
        let choices = question.choices.iter().enumerate().map(|(place, choice)| {
            let star = if place == question.preselected {
                "*"
            } else {
                ""
            };
            let to = choice.to.as_ref();
            let to = to.map_or_else(|| "not now".to_owned(), ToString::to_string);
            format!("{star}{to}")
        });
        format!("{about} {}", choices.collect::<Vec<_>>().join(", "))
    }

    const DIFF: (Mode, &str) = (Mode::Diff, "");
    const SYNC: (Mode, &str) = (Mode::Sync, "");

    #[test]
    fn what_is_asked() {
        fn check(commits: (&str, &str), said: (Mode, &str), words: &[&str], expected: &str) {
            let found = with("1.0.0", commits, said, words, |facts, settings| {
                told(&facts, settings)
            });
            assert_eq!(found, expected, "{commits:?} {said:?} {words:?}");
        }
        const OF_A: &str = "a *1.0.1, 1.1.0, 2.0.0, not now";
        const OF_B: &str = "b *1.0.1, 1.1.0, 2.0.0, not now";
        const OF_ALL: &str = "all *1.0.1, 1.1.0, 2.0.0, not now";
        check(("", ""), DIFF, &[], "-");
        check(("It", ""), DIFF, &[], OF_A);
        check(("It", "That"), DIFF, &[], OF_A);
        check(("fix: it", "That"), DIFF, &[], OF_B);
        // One commit that says it is enough, if it counts.
        check(("It\nfix: it", ""), DIFF, &[], "-");
        check(("It\ndocs: it", ""), DIFF, &[], OF_A);
        check(("docs: it\nIt", "fix: it"), DIFF, &[], OF_A);
        check(("docs: it\nIt", ""), SYNC, &[], OF_ALL);
        check(("docs: it", ""), DIFF, &[], "-");
        check(("core: it", ""), DIFF, &[], OF_A);
        check(("It|BREAKING CHANGE: that", ""), DIFF, &[], "-");
        check(("It|Release-As: 3.0.0", ""), DIFF, &[], "-");
        check(("It|Release-As: three", ""), DIFF, &[], OF_A);
        check(("It", "That"), DIFF, &["--filter=b"], OF_B);
        check(("It", ""), DIFF, &["--filter=b"], "-");
        check(("It", ""), DIFF, &["--bump=minor"], "-");
        check(
            ("It", ""),
            DIFF,
            &["--max-bump=minor"],
            "a *1.0.1, 1.1.0, not now",
        );
        // Intents.
        check(("It", ""), (Mode::Diff, "a: minor"), &[], "-");
        check(
            ("It", ""),
            (Mode::Diff, "b: minor"),
            &[],
            "a *1.0.1, 1.1.0, 2.0.0",
        );
        check(("It", ""), (Mode::Diff, "a: none"), &[], OF_A);
        let alone = &["--bump-from=intents"][..];
        check(
            ("feat: it", ""),
            DIFF,
            alone,
            "a 1.0.1, 1.1.0, 2.0.0, *not now",
        );
        check(("It", ""), (Mode::Diff, "a: none"), alone, "-");
        check(("docs: it", ""), DIFF, alone, "-");
        check(
            ("feat: it", ""),
            SYNC,
            alone,
            "all 1.0.1, 1.1.0, 2.0.0, *not now",
        );
        check(("feat: it", ""), (Mode::Sync, "b: patch"), alone, "-");
        // One version for all: whatever is said of one is said of all.
        check(("It", "That"), SYNC, &[], OF_ALL);
        check(("docs: it", "That"), SYNC, &[], OF_ALL);
        check(("fix: it", "That"), SYNC, &[], "-");
        check(("", ""), SYNC, &[], "-");
    }

    #[test]
    fn what_can_be_chosen() {
        fn check(version: &str, words: &[&str], expected: &str) {
            for (said, about) in [(DIFF, "b"), (SYNC, "all")] {
                let found = with(version, ("", "It"), said, words, |facts, settings| {
                    told(&facts, settings)
                });
                let expected = format!("{about} {expected}, not now");
                assert_eq!(found, expected, "{version} {words:?}");
            }
        }
        check("0.2.3", &[], "*0.2.4, 0.3.0");
        check("0.2.3", &["--zero-major=strict"], "*0.2.4, 0.3.0, 1.0.0");
        let beta = &["--prerelease=beta"][..];
        check("1.0.0", beta, "*1.0.1-beta.0, 1.1.0-beta.0, 2.0.0-beta.0");
        check(
            "1.1.0-beta.0",
            beta,
            "*1.1.0-beta.1, 2.0.0-beta.0, 1.1.1-beta.0, 1.2.0-beta.0",
        );
        check(
            "1.1.0-rc.1",
            &[],
            "*1.1.0, 2.0.0, 1.1.0-rc.2, 1.1.1-rc.0, 1.2.0-rc.0, 2.0.0-rc.0",
        );
    }

    #[test]
    fn what_answers_make() {
        let minor = Answer::Grow(BumpRequest::By(Bump::Minor));
        with("1.0.0", ("It", "That"), DIFF, &[], |mut facts, settings| {
            let mut answers = [Answer::NotNow, minor.clone()].into_iter();
            let mut plan = release::plan(&facts, settings).unwrap();
            while let Some(question) = next(&facts, settings, &plan) {
                answer(&mut facts, &question, &answers.next().unwrap());
                plan = release::plan(&facts, settings).unwrap();
            }
            // What was put off follows all the same, and says with which changes.
            let packages = plan.packages.iter();
            let told = packages.map(|package| {
                let name = |reason: &Reason| match reason {
                    Reason::Asked => "asked",
                    Reason::Commit { .. } => "commit",
                    Reason::Dependency { .. } => "dependency",
                    _ => "else",
                };
                let reasons: Vec<&str> = package.reasons.iter().map(name).collect();
                format!("{} {} {}", package.name, package.to, reasons.join(" "))
            });
            let told: Vec<String> = told.collect();
            assert_eq!(told, ["a 1.0.1 dependency commit", "b 1.1.0 asked commit"]);
        });
        for (given, expected) in [(minor, "1.1.0"), (Answer::NotNow, "-")] {
            with("1.0.0", ("It", ""), SYNC, &[], |mut facts, settings| {
                let plan = release::plan(&facts, settings).unwrap();
                let question = next(&facts, settings, &plan).unwrap();
                answer(&mut facts, &question, &given);
                let plan = release::plan(&facts, settings).unwrap();
                assert!(next(&facts, settings, &plan).is_none());
                let version = plan.version.map_or("-".to_owned(), |to| to.to_string());
                assert_eq!(version, expected);
            });
        }
    }

    #[test]
    fn versions_that_are_typed() {
        fn check(text: &str, words: &[&str], expected: &str) {
            let found = with("1.0.0", ("It", ""), DIFF, words, |facts, settings| {
                let plan = release::plan(&facts, settings).unwrap();
                let question = next(&facts, settings, &plan).unwrap();
                match typed(&facts, settings, &question, text) {
                    Ok(Answer::Grow(BumpRequest::To(to))) => to.to_string(),
                    Ok(other) => panic!("{other:?}"),
                    Err(failure) => failure.code().to_owned(),
                }
            });
            assert_eq!(found, expected, "{text:?}");
        }
        check("1.0.1", &[], "1.0.1");
        check(" 3.0.0-rc.1 ", &[], "3.0.0-rc.1");
        check("1.0.0", &[], "plan::bump");
        check("0.9.0", &[], "plan::bump");
        check("1.0", &[], "version::form");
        check("minor", &[], "version::form");
        check("", &[], "version::form");
        check("2.0.0", &["--max-bump=minor"], "plan::max_bump");
    }
}
