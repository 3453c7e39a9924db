//! Why one package is in a plan, or is not: its base, files and commits, the dependency path and the rule. As `pkgs.why/1`.

use std::collections::{BTreeSet, HashMap, VecDeque};

use serde::Serialize;

use crate::changes::commit::Cancelled;
use crate::changes::{Reason, Traced, Verdict, tag};
use crate::explain::{Exit, Failure, quoted};
use crate::name::{CommitId, TagName};
use crate::plan::release::{
    Base, Effect, Facts, PackageFacts, Plan, PlannedPackage, carried, effect, near, outgoing,
    selected, used,
};
use crate::plan::render::{NoticeDocument, ReasonDocument};
use crate::settings::{BumpFrom, BumpRequest, Mode, Settings};
use crate::version::Bump;
use crate::workspace::Workspace;
use crate::workspace::graph::Reached;
use crate::workspace::package::{Package, Root};
use crate::workspace::package_json::DependencyField;

/// The schema of [`Why`].
pub const SCHEMA: &str = "pkgs.why/1";

/// The release tags that are no base.
#[derive(Debug, Clone, Default)]
pub struct OtherBases {
    /// Tags of the whole repository with a higher version than its base, on no commit that leads to the head.
    pub unreachable_shared: Vec<TagName>,
    /// What else was passed over, in the workspace's order.
    pub of_package: Vec<PassedOver>,
}

/// What was passed over when a package's base was chosen.
#[derive(Debug, Clone, Default)]
pub struct PassedOver {
    /// Its own tags with a higher version than the base, on no commit that leads to the head.
    pub unreachable: Vec<TagName>,
    /// A release tag that leads to the head and is older than the base.
    pub older: Option<Base>,
}

impl OtherBases {
    /// Nothing was passed over, for so many packages.
    pub fn none(packages: usize) -> OtherBases {
        OtherBases {
            unreachable_shared: Vec::new(),
            of_package: vec![PassedOver::default(); packages],
        }
    }
}

/// Everything behind a package's version, or behind its absence from the release.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Why {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// The package.
    pub name: String,
    /// Its directory.
    pub dir: String,
    /// What it becomes.
    pub kind: &'static str,
    /// `sync` or `diff`.
    pub mode: &'static str,
    /// Why that mode.
    pub mode_reason: String,
    /// The commit that is planned on.
    pub head: String,
    /// Whether it is in the release.
    pub released: bool,
    /// The version it grows from; where it is not released, the one in its manifest.
    pub from: Option<String>,
    /// The version it gets; `None`: it is not released.
    pub to: Option<String>,
    /// How far it grows.
    pub bump: Option<&'static str>,
    /// The tag that will mark it.
    pub tag: Option<String>,
    /// What decided.
    pub rule: Rule,
    /// What its changes are measured from.
    pub base: BaseStory,
    /// The commits since then that touched it, newest first.
    pub commits: Vec<CommitStory>,
    /// How many merges there were since then.
    pub merges: usize,
    /// Its dependencies that grow, and what that does to it. Empty in sync mode, where all packages share one version.
    pub dependencies: Vec<DependencyStory>,
    /// The packages that led to its release, itself first; each names in its reasons those that follow.
    pub chain: Vec<Link>,
    /// What a person should know.
    pub warnings: Vec<NoticeDocument>,
}

/// What decided about a package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Rule {
    /// A word for programs.
    pub kind: &'static str,
    /// A sentence for people.
    pub text: String,
}

/// A base, and how it was chosen.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BaseStory {
    /// `tag`, `shared-tag`, `published`, `asked` or `none`.
    pub kind: &'static str,
    /// The tag.
    pub tag: Option<String>,
    /// The commit.
    pub commit: Option<String>,
    /// The version that was released there.
    pub version: Option<String>,
    /// Tags of higher versions that are no base: they are on no commit that leads here.
    pub unreachable: Vec<String>,
    /// A release tag that is older.
    pub older: Option<String>,
    /// Whether a file of the package, or of one that is released with it, differs from this base.
    pub differs: bool,
}

/// A commit, and what became of it.
#[derive(Debug, Clone, Serialize)]
pub struct CommitStory {
    /// The commit.
    pub commit: String,
    /// The first line of its message.
    pub subject: String,
    /// `counts`, `silent`, `ignored`, `own-release`, `reverted`, `only-reverts`, or `outweighed` where intents decide.
    pub verdict: &'static str,
    /// The bump that it asks for, where it counts, or would without intents.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bump: Option<&'static str>,
    /// The commit that reverts it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// The files of the package that it touched.
    pub files: Vec<FileStory>,
}

/// A file that a commit touched.
#[derive(Debug, Clone, Serialize)]
pub struct FileStory {
    /// The file.
    pub path: String,
    /// Whether `ignore` says that it does not count.
    pub ignored: bool,
}

/// A dependency that grows.
#[derive(Debug, Clone, Serialize)]
pub struct DependencyStory {
    /// The package.
    pub on: String,
    /// The field that declares it.
    pub field: &'static str,
    /// The declared range.
    pub range: String,
    /// The version it grows from.
    pub from: String,
    /// The version it gets.
    pub to: String,
    /// What that does to the package.
    pub effect: DependencyEffect,
}

/// What a dependency that grows does to a package.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum DependencyEffect {
    /// The declared range no longer holds: it is released.
    Left,
    /// An app uses it: it is released.
    Uses,
    /// Its files are part of the package's tarball: it is released.
    Bundled,
    /// The declared range still holds.
    Holds,
    /// It is a devDependency, which releases nothing.
    OnlyDevelopment,
    /// It leaves the range of a peer, and `peer` is `never`.
    PeerNever,
    /// It would release the package, but `filter` keeps that out.
    Filtered,
}

/// A package of a chain.
#[derive(Debug, Clone, Serialize)]
pub struct Link {
    /// The package.
    pub name: String,
    /// The version it grows from.
    pub from: String,
    /// The version it gets.
    pub to: String,
    /// Why.
    pub reasons: Vec<LinkReason>,
}

/// A reason of a chain.
#[derive(Debug, Clone, Serialize)]
pub struct LinkReason {
    /// As in a plan.
    #[serde(flatten)]
    pub reason: ReasonDocument,
    /// The packages between this one and what it depends on, the nearest first; none where it declares that itself.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub through: Vec<String>,
    /// The files of the package that a commit touched and that count.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<String>,
    /// As a phrase for people.
    #[serde(skip)]
    pub phrase: String,
}

/// What `plan` decides about the package that is called `asked`, or that lies in this directory. `facts` must be traced.
///
/// # Errors
/// `plan::unknown_package`, exit 2, with the nearest names.
pub fn why(
    facts: &Facts<'_>,
    others: &OtherBases,
    plan: &Plan,
    settings: &Settings,
    asked: &str,
) -> Result<Why, Failure> {
    let root = facts.workspace.root.as_ref().and_then(Root::package);
    let (index, package) = find(facts.workspace, root.as_ref(), asked)?;
    let known = index.map(|index| &facts.packages[index]);
    let planned = plan.packages.iter().find(|planned| planned.index == index);
    let chain = planned.map(|planned| chain(facts, plan, planned));
    let traced = known.map_or(&[][..], |known| &known.touched.traced);
    Ok(Why {
        schema: SCHEMA,
        name: package.name.to_string(),
        dir: package.directory.display().to_string(),
        kind: package.kind.as_str(),
        mode: plan.mode.as_str(),
        mode_reason: plan.mode_reason.clone(),
        head: plan.head.to_string(),
        released: planned.is_some(),
        from: planned
            .map(|planned| planned.from.to_string())
            .or_else(|| package.version.as_ref().map(ToString::to_string)),
        to: planned.map(|planned| planned.to.to_string()),
        bump: planned.and_then(|planned| planned.bump).map(Bump::as_str),
        tag: planned.map(|planned| planned.tag.to_string()),
        rule: match planned {
            Some(planned) => rule_of_release(plan, planned, settings),
            None => rule_of_absence(plan, package, known, settings),
        },
        base: base_story(package, index, known, others, settings),
        commits: traced.iter().map(commit_story).collect(),
        merges: known.map_or(0, |known| known.touched.merges),
        dependencies: dependencies(facts, plan, index, package, settings),
        chain: chain.unwrap_or_default(),
        warnings: plan.warnings.iter().map(NoticeDocument::from).collect(),
    })
}

/// The package that is meant, with its place; `None`: the root.
fn find<'a>(
    workspace: &'a Workspace,
    root: Option<&'a Package>,
    asked: &str,
) -> Result<(Option<usize>, &'a Package), Failure> {
    let directory = asked.trim_start_matches("./").trim_end_matches('/');
    let members = workspace.packages.iter().enumerate();
    let all = members
        .map(|(index, package)| (Some(index), package))
        .chain(root.map(|root| (None, root)));
    let is_meant = |package: &Package| {
        package.name.as_str() == asked
            || (!directory.is_empty() && package.directory.as_str() == directory)
    };
    if let Some(found) = all.clone().find(|(_, package)| is_meant(package)) {
        return Ok(found);
    }
    let near = near(asked, all.map(|(_, package)| package));
    let what = format!("there is no package {} in the workspace", quoted(asked));
    let failure = Failure::new(Exit::Usage, "plan::unknown_package", what);
    Err(if near.is_empty() {
        failure.hint("`pkgs-action plan` lists the packages")
    } else {
        failure.hint(format!("did you mean {}?", near.join(" or ")))
    })
}

/// Why a package that is released gets its version.
fn rule_of_release(plan: &Plan, planned: &PlannedPackage, settings: &Settings) -> Rule {
    let rule = |kind, text: String| Rule { kind, text };
    let grown = planned
        .bump
        .map_or_else(|| planned.to.to_string(), |bump| bump.to_string());
    let is_asked = planned.reasons.contains(&Reason::Asked);
    let in_group = |reason: &Reason| matches!(reason, Reason::Together { .. });
    if planned.reasons.iter().any(in_group) {
        let text = format!(
            "the packages of its group share one version, which grows as far as one of them must: {grown}"
        );
        return rule("group", text);
    }
    match (planned.reasons.first(), &settings.bump) {
        (Some(Reason::Abandoned { tag }), _) => rule(
            "abandoned",
            format!(
                "the release of {tag} was given up, so what it held is released at a higher version"
            ),
        ),
        (Some(Reason::First), _) if plan.mode == Mode::Sync => rule(
            "first",
            "it was never released: it gets the one version of all packages".to_owned(),
        ),
        (Some(Reason::First), _) => rule(
            "first",
            "it was never released: it gets the version that its manifest holds".to_owned(),
        ),
        (_, BumpRequest::By(bump)) if is_asked => rule(
            "asked",
            format!("it changed, and bump {bump} was asked for"),
        ),
        (_, BumpRequest::NewPrerelease(bump)) if is_asked => rule(
            "asked",
            format!("it changed, and a new prerelease was asked for: pre{bump}"),
        ),
        (_, BumpRequest::Prerelease) if is_asked => rule(
            "asked",
            "it changed, and its next prerelease was asked for".to_owned(),
        ),
        (_, BumpRequest::To(version)) if is_asked => rule(
            "asked",
            format!("it changed, and the version {version} was asked for"),
        ),
        (Some(Reason::Written), _) => rule(
            "written",
            format!(
                "a higher version than that of the last release stands in the manifest: {}",
                planned.to
            ),
        ),
        // In sync mode a commit of another package may ask for more; before a stable version come those that lead to it.
        (Some(Reason::ReleaseAs { version, .. }), _)
            if plan.mode == Mode::Diff || *version == planned.to =>
        {
            rule("release-as", format!("a commit says Release-As: {version}"))
        }
        _ if plan.mode == Mode::Sync => rule(
            "group",
            format!(
                "all packages share one version, which grows as far as one of them must: {grown}"
            ),
        ),
        (Some(Reason::Graduate { from }), BumpRequest::Graduate) => rule(
            "graduate",
            format!("it was released as {from}, and to graduate was asked for"),
        ),
        (Some(Reason::Graduate { from }), _) => rule(
            "graduate",
            format!(
                "it was released as {from}, and this branch does not go on with that: {}",
                planned.to
            ),
        ),
        (Some(Reason::Commit { .. }), _) => rule(
            "commits",
            format!("the commits that touched it, and what it depends on, ask for {grown} at most"),
        ),
        (Some(Reason::Intent { .. }), _) => rule(
            "intents",
            format!(
                "the intents that name it, and what it depends on, ask for {grown} at most; its commits count for nothing then"
            ),
        ),
        (Some(Reason::Catalog { .. }), _) => rule(
            "catalog",
            format!("the catalog gives what it depends on another range: {grown}"),
        ),
        (Some(Reason::Bundled { .. }), _) => rule(
            "bundled",
            format!("what it bundles is part of its tarball, and is released: {grown}"),
        ),
        (Some(Reason::Lockfile { .. }), _) => rule(
            "lockfile",
            format!("what it runs with changed in the lockfile: {grown}"),
        ),
        (Some(Reason::Dependency { range: None, .. }), _) => rule(
            "dependency",
            format!("an app is released with what it uses: {grown}"),
        ),
        _ => rule(
            "dependency",
            format!("a range that it declares no longer holds: {grown}"),
        ),
    }
}

/// Why a package is not released.
fn rule_of_absence(
    plan: &Plan,
    package: &Package,
    known: Option<&PackageFacts>,
    settings: &Settings,
) -> Rule {
    let rule = |kind, text: &str| Rule {
        kind,
        text: text.to_owned(),
    };
    let Some(known) = known else {
        return match plan.mode {
            Mode::Diff => rule(
                "root",
                "it is the root of the workspace, which is released in sync mode only",
            ),
            Mode::Sync if package.version.is_none() => rule(
                "unversioned",
                "its manifest holds no version: it is never released",
            ),
            Mode::Sync => rule("unchanged", "no package changed"),
        };
    };
    if package.version.is_none() {
        return rule(
            "unversioned",
            "its manifest holds no version: it is never released; the apps that use it are",
        );
    }
    if !selected(package, &settings.filter) {
        return rule("filtered", "filter keeps it out");
    }
    if settings.bump_from == BumpFrom::Intents {
        return rule(
            "no-intent",
            "bump-from is intents, no intent names it, and no range that it declares is left",
        );
    }
    if !known.touched.differs {
        return rule(
            "unchanged",
            "no file of it differs from its base, and no range that would release it is left",
        );
    }
    rule(
        "silent",
        "its files differ from its base, but no commit since then counts, and no range that would release it is left",
    )
}

fn base_story(
    package: &Package,
    index: Option<usize>,
    known: Option<&PackageFacts>,
    others: &OtherBases,
    settings: &Settings,
) -> BaseStory {
    let base = known.map_or(&Base::First, |known| &known.base);
    let passed_over = index.and_then(|index| others.of_package.get(index));
    let (kind, tag) = match base {
        Base::First => ("none", None),
        Base::Published { .. } => ("published", None),
        Base::Asked(_) => ("asked", None),
        Base::Tag { name, .. } => {
            let of = tag::read_with(name, settings.tag_format.as_deref());
            let is_own = of.is_some_and(|(of, _)| of == Some(package.name.as_str()));
            (if is_own { "tag" } else { "shared-tag" }, Some(name))
        }
    };
    let own = passed_over.map_or(&[][..], |passed| &passed.unreachable);
    let shared = if kind == "shared-tag" || kind == "none" {
        &others.unreachable_shared[..]
    } else {
        &[]
    };
    let older = passed_over.and_then(|passed| match &passed.older {
        Some(Base::Tag { name, .. }) => Some(name.to_string()),
        _ => None,
    });
    BaseStory {
        kind,
        tag: tag.map(ToString::to_string),
        commit: base.commit().map(ToString::to_string),
        version: base.version().map(ToString::to_string),
        unreachable: own.iter().chain(shared).map(ToString::to_string).collect(),
        older,
        differs: known.is_some_and(|known| known.touched.differs),
    }
}

fn commit_story(traced: &Traced) -> CommitStory {
    let (verdict, bump, by) = match &traced.verdict {
        Verdict::Counts(bump) => ("counts", Some(bump.as_str()), None),
        Verdict::Silent => ("silent", None, None),
        Verdict::Ignored => ("ignored", None, None),
        Verdict::OwnRelease => ("own-release", None, None),
        Verdict::Cancelled(Cancelled::RevertedBy(by)) => ("reverted", None, Some(by.to_string())),
        Verdict::Cancelled(Cancelled::OnlyReverts) => ("only-reverts", None, None),
        Verdict::Outweighed(bump) => ("outweighed", Some(bump.as_str()), None),
    };
    let files = traced.files.iter().map(|file| FileStory {
        path: file.path.to_string(),
        ignored: file.ignored,
    });
    CommitStory {
        commit: traced.id.to_string(),
        subject: traced.subject.clone(),
        verdict,
        bump,
        by,
        files: files.collect(),
    }
}

/// The declared dependencies that grow in this plan.
fn dependencies(
    facts: &Facts<'_>,
    plan: &Plan,
    index: Option<usize>,
    package: &Package,
    settings: &Settings,
) -> Vec<DependencyStory> {
    if plan.mode == Mode::Sync {
        return Vec::new();
    }
    let grown: HashMap<Option<usize>, &PlannedPackage> = plan
        .packages
        .iter()
        .map(|planned| (planned.index, planned))
        .collect();
    let planned = grown.get(&index);
    let declared = facts.edges.iter().filter(|edge| edge.from == index);
    declared
        .filter_map(|edge| {
            let on = grown.get(&Some(edge.to))?;
            let is_used = |reason: &Reason| matches!(reason, Reason::Dependency { on: used, .. } if *used == on.name.as_str());
            let is_released = planned.is_some_and(|planned| planned.reasons.iter().any(is_used));
            let effect = match effect(edge, &on.from, &on.to, settings) {
                _ if package.kind.is_app() && is_released => DependencyEffect::Uses,
                _ if package.kind.is_app() && edge.field == DependencyField::DevDependencies => {
                    DependencyEffect::OnlyDevelopment
                }
                _ if package.kind.is_app() => DependencyEffect::Filtered,
                Effect::Holds if edge.bundled && planned.is_none() => DependencyEffect::Filtered,
                Effect::Holds if edge.bundled => DependencyEffect::Bundled,
                Effect::Holds => DependencyEffect::Holds,
                Effect::OnlyDevelopment => DependencyEffect::OnlyDevelopment,
                Effect::PeerNever => DependencyEffect::PeerNever,
                Effect::Grows(_) if planned.is_none() => DependencyEffect::Filtered,
                Effect::Grows(_) => DependencyEffect::Left,
            };
            Some(DependencyStory {
                on: on.name.to_string(),
                field: edge.field.as_str(),
                range: edge.spec.effective(&on.from),
                from: on.from.to_string(),
                to: on.to.to_string(),
                effect,
            })
        })
        .collect()
}

/// The package with everything that led to its release, the nearest first, each once.
fn chain(facts: &Facts<'_>, plan: &Plan, first: &PlannedPackage) -> Vec<Link> {
    let by_name: HashMap<&str, &PlannedPackage> = plan
        .packages
        .iter()
        .map(|planned| (planned.name.as_str(), planned))
        .collect();
    let mut links = Vec::new();
    let mut seen = BTreeSet::from([first.name.as_str()]);
    let mut open = VecDeque::from([first]);
    while let Some(planned) = open.pop_front() {
        links.push(link(facts, plan, planned));
        for reason in &planned.reasons {
            let further: Vec<&PlannedPackage> = match reason {
                Reason::Dependency { on, .. } | Reason::Bundled { on, .. } => {
                    by_name.get(on.as_str()).copied().into_iter().collect()
                }
                Reason::Group => changed_by_themselves(plan).collect(),
                Reason::Together { with, .. } => with
                    .iter()
                    .filter_map(|name| by_name.get(name.as_str()).copied())
                    .collect(),
                _ => Vec::new(),
            };
            let further = further
                .into_iter()
                .filter(|next| seen.insert(next.name.as_str()));
            open.extend(further);
        }
    }
    links
}

/// The packages of a release that do not only follow others.
fn changed_by_themselves(plan: &Plan) -> impl Iterator<Item = &PlannedPackage> {
    plan.packages.iter().filter(|planned| {
        let follows = |reason: &Reason| {
            matches!(
                reason,
                Reason::Group | Reason::Dependency { .. } | Reason::Bundled { .. }
            )
        };
        !planned.reasons.iter().all(follows)
    })
}

fn link(facts: &Facts<'_>, plan: &Plan, planned: &PlannedPackage) -> Link {
    let traced = planned
        .index
        .map_or(&[][..], |index| &facts.packages[index].touched.traced);
    let files: HashMap<&CommitId, &Traced> =
        traced.iter().map(|traced| (&traced.id, traced)).collect();
    let is_far = |reason: &Reason| {
        matches!(
            reason,
            Reason::Dependency { range: None, .. } | Reason::Bundled { .. }
        )
    };
    let ways = planned
        .index
        .filter(|_| planned.reasons.iter().any(is_far))
        .map(|index| ways_from(facts, index));
    let reason = |reason: &Reason| {
        let (touched, through) = match (reason, &ways) {
            (Reason::Commit { id, .. }, _) => (files.get(id).map(|traced| &traced.files), None),
            (reason @ (Reason::Dependency { on, .. } | Reason::Bundled { on, .. }), Some(ways))
                if is_far(reason) =>
            {
                (None, Some(between(facts, ways, on)))
            }
            _ => (None, None),
        };
        let counting = touched.into_iter().flatten().filter(|file| !file.ignored);
        LinkReason {
            reason: ReasonDocument::from(reason),
            through: through.unwrap_or_default(),
            files: counting.map(|file| file.path.to_string()).collect(),
            phrase: crate::plan::render::phrase(plan, planned, reason),
        }
    };
    Link {
        name: planned.name.to_string(),
        from: planned.from.to_string(),
        to: planned.to.to_string(),
        reasons: planned.reasons.iter().map(reason).collect(),
    }
}

/// The shortest ways from an app to what it uses, from another package to what it bundles.
fn ways_from(facts: &Facts<'_>, start: usize) -> Reached {
    let outgoing = outgoing(facts);
    if facts.workspace.packages[start].kind.is_app() {
        return Reached::from(start, |from| used(&outgoing[from], from == start));
    }
    Reached::from(start, |from| carried(&outgoing[from], from == start))
}

/// The packages on the way to the one called `name`, without it.
fn between(facts: &Facts<'_>, ways: &Reached, name: &str) -> Vec<String> {
    let packages = &facts.workspace.packages;
    let mut all = packages.iter();
    let end = all.position(|package| package.name.as_str() == name);
    let way = end.map(|end| ways.way_to(end)).unwrap_or_default();
    way.into_iter()
        .map(|index| packages[index].name.to_string())
        .collect()
}
