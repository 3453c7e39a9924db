//! A plan as text for people and as `pkgs.plan/1` for programs.

use std::fmt::Write as _;

use serde::Serialize;

use crate::changes::{Reason, intent};
use crate::name::Digest;
use crate::plan::notes::{self, Notes};
use crate::plan::provenance::{Alike, Foreseen};
use crate::plan::release::{Edit, Notice, Plan, PlannedApp, PlannedPackage};
use crate::settings::adopted::{CHANGESETS, LERNA};
use crate::settings::{AppSettings, Install, Mode, Settings};
use crate::version::{Bump, Version};

/// The schema of [`PlanDocument`].
pub const SCHEMA: &str = "pkgs.plan/1";

/// Something that a release will need and does not have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Missing {
    /// The setting or credential.
    pub what: String,
    /// What to do.
    pub hint: String,
}

/// The plan on the wire.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PlanDocument {
    schema: &'static str,
    /// The digest of this document without `warnings`, `missing`, `provenance` and the registries of packages, of the texts of the edits, and of every setting that decides bytes.
    pub digest: String,
    mode: &'static str,
    mode_reason: String,
    base: Option<String>,
    head: String,
    packages: Vec<PackageDocument>,
    unchanged: Vec<String>,
    waves: Vec<Vec<String>>,
    edits: Vec<EditDocument>,
    apps: Vec<AppDocument>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    adopted: Vec<AdoptedDocument>,
    warnings: Vec<NoticeDocument>,
    missing: Vec<Missing>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    provenance: Vec<ProvenanceDocument>,
}

#[derive(Debug, Clone, Serialize)]
struct AdoptedDocument {
    setting: &'static str,
    file: String,
}

/// Packages of which the same is foreseen; `signed` is null where only the registry can tell.
#[derive(Debug, Clone, Serialize)]
struct ProvenanceDocument {
    packages: Vec<String>,
    signed: Option<bool>,
    why: String,
}

impl From<Alike<'_>> for ProvenanceDocument {
    fn from(alike: Alike<'_>) -> ProvenanceDocument {
        ProvenanceDocument {
            packages: alike.names.into_iter().map(str::to_owned).collect(),
            signed: alike.signed,
            why: alike.why,
        }
    }
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct PackageDocument {
    name: String,
    dir: String,
    kind: &'static str,
    private: bool,
    from: String,
    to: String,
    bump: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tag: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dist_tag: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    access: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    registry: Option<String>,
    reasons: Vec<ReasonDocument>,
    notes: Notes,
}

/// A reason on the wire.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum ReasonDocument {
    /// A commit touched it.
    Commit {
        /// The commit.
        commit: String,
        /// The first line of its message.
        subject: String,
        /// What the message asks for.
        bump: &'static str,
        /// What it says that breaks.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        breaking: Vec<String>,
    },
    /// An intent names it.
    Intent {
        /// The intent's file.
        file: String,
        /// The line there that names the package.
        line: usize,
        /// How far it says that the package grows.
        bump: &'static str,
    },
    /// A range it declares no longer holds, or an app uses what changed.
    Dependency {
        /// The package that changed.
        on: String,
        /// The version it grows from.
        from: String,
        /// The version it gets.
        to: String,
        /// The declared range that this leaves.
        #[serde(skip_serializing_if = "Option::is_none")]
        range: Option<String>,
    },
    /// Its tarball carries a package that changed.
    Bundled {
        /// The package that changed.
        on: String,
        /// The version it grows from.
        from: String,
        /// The version it gets.
        to: String,
    },
    /// A package of its production closure changed in the lockfile.
    Lockfile {
        /// That package.
        on: String,
    },
    /// A catalog gives something it depends on another range.
    Catalog {
        /// What it depends on.
        on: String,
        /// The range that it had.
        from: String,
        /// The range that it has.
        to: String,
    },
    /// It shares one version with others.
    Group {
        /// `fixed` or `linked`; all packages share it where it is absent.
        #[serde(skip_serializing_if = "Option::is_none")]
        group: Option<&'static str>,
        /// The packages of the group that grow the most by themselves.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        with: Vec<String>,
    },
    /// Its last release was given up.
    Abandoned {
        /// The tag of that release.
        tag: String,
    },
    /// It was never released.
    First,
    /// It was released as a prerelease, which becomes something else.
    Graduate {
        /// The prerelease.
        from: String,
    },
    /// A person asked for this bump.
    Asked,
    /// A commit asks for this version.
    #[serde(rename = "release-as")]
    ReleaseAs {
        /// The commit.
        commit: String,
        /// The version.
        version: String,
    },
    /// Its manifest holds a higher version than its last release.
    Written,
}

#[derive(Debug, Clone, Serialize)]
struct EditDocument {
    path: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    deleted: bool,
}

#[derive(Debug, Clone, Serialize)]
struct AppDocument {
    name: String,
    from: String,
    to: String,
    variants: Vec<String>,
}

/// A notice on the wire.
#[derive(Debug, Clone, Serialize)]
pub struct NoticeDocument {
    /// `room::name`.
    pub code: &'static str,
    /// A sentence.
    pub message: String,
}

impl From<&Notice> for NoticeDocument {
    fn from(notice: &Notice) -> NoticeDocument {
        NoticeDocument {
            code: notice.code,
            message: notice.message.clone(),
        }
    }
}

impl From<&Reason> for ReasonDocument {
    fn from(reason: &Reason) -> ReasonDocument {
        match reason {
            Reason::Commit {
                id,
                subject,
                bump,
                breaking,
            } => ReasonDocument::Commit {
                commit: id.to_string(),
                subject: subject.clone(),
                bump: bump.as_str(),
                breaking: breaking.clone(),
            },
            Reason::Intent {
                file, line, bump, ..
            } => ReasonDocument::Intent {
                file: file.to_string(),
                line: *line,
                bump: bump.as_str(),
            },
            Reason::Dependency {
                on,
                from,
                to,
                range,
            } => ReasonDocument::Dependency {
                on: on.clone(),
                from: from.to_string(),
                to: to.to_string(),
                range: range.clone(),
            },
            Reason::Bundled { on, from, to } => ReasonDocument::Bundled {
                on: on.clone(),
                from: from.to_string(),
                to: to.to_string(),
            },
            Reason::Lockfile { on } => ReasonDocument::Lockfile { on: on.clone() },
            Reason::Catalog { on, from, to } => ReasonDocument::Catalog {
                on: on.clone(),
                from: from.clone(),
                to: to.clone(),
            },
            Reason::Group => ReasonDocument::Group {
                group: None,
                with: Vec::new(),
            },
            Reason::Together { fixed, with } => ReasonDocument::Group {
                group: Some(if *fixed { "fixed" } else { "linked" }),
                with: with.clone(),
            },
            Reason::Abandoned { tag } => ReasonDocument::Abandoned { tag: tag.clone() },
            Reason::First => ReasonDocument::First,
            Reason::Graduate { from } => ReasonDocument::Graduate {
                from: from.to_string(),
            },
            Reason::Asked => ReasonDocument::Asked,
            Reason::ReleaseAs { id, version } => ReasonDocument::ReleaseAs {
                commit: id.to_string(),
                version: version.to_string(),
            },
            Reason::Written => ReasonDocument::Written,
        }
    }
}

/// The plan as a document, with its digest.
pub fn document(plan: &Plan, settings: &Settings, missing: Vec<Missing>) -> PlanDocument {
    let mut document = PlanDocument {
        schema: SCHEMA,
        digest: String::new(),
        mode: plan.mode.as_str(),
        mode_reason: plan.mode_reason.clone(),
        base: plan.base.as_ref().map(ToString::to_string),
        head: plan.head.to_string(),
        packages: plan
            .packages
            .iter()
            .map(|package| package_document(plan, package))
            .collect(),
        unchanged: plan.unchanged.iter().map(ToString::to_string).collect(),
        waves: plan
            .waves
            .iter()
            .map(|wave| wave.iter().map(ToString::to_string).collect())
            .collect(),
        edits: plan
            .edits
            .iter()
            .map(|(path, text)| EditDocument {
                path: path.to_string(),
                deleted: text.is_none(),
            })
            .collect(),
        apps: plan
            .apps
            .iter()
            .map(|app| AppDocument {
                name: app.name.to_string(),
                from: app.from.to_string(),
                to: app.to.to_string(),
                variants: app.variants.iter().map(ToString::to_string).collect(),
            })
            .collect(),
        adopted: Vec::new(),
        warnings: Vec::new(),
        missing: Vec::new(),
        provenance: Vec::new(),
    };
    let texts: Vec<Option<String>> = plan
        .edits
        .iter()
        .map(|(_, text)| Some(Digest::of(text.as_ref()?.as_bytes()).to_string()))
        .collect();
    let canonical = serde_json::to_vec(&(&document, deciding(settings), texts))
        .unwrap_or_else(|error| unreachable!("wire types always serialize: {error}"));
    document.digest = Digest::of(&canonical).to_string();
    let adopted = plan.adopted.iter().map(|adopted| AdoptedDocument {
        setting: adopted.setting,
        file: adopted.file.clone(),
    });
    document.adopted = adopted.collect();
    // Where a package goes decides none of its bytes.
    for (document, package) in document.packages.iter_mut().zip(&plan.packages) {
        document.registry = package.registry.as_ref().map(ToString::to_string);
    }
    document.warnings = plan.warnings.iter().map(NoticeDocument::from).collect();
    document.missing = missing;
    document
}

impl PlanDocument {
    /// The same, with what is foreseen of provenance.
    #[must_use]
    pub fn foreseeing(mut self, provenance: &Foreseen) -> PlanDocument {
        let told = provenance.told().into_iter();
        self.provenance = told.map(ProvenanceDocument::from).collect();
        self
    }
}

/// Every setting that decides bytes of a release besides the commit itself.
fn deciding(settings: &Settings) -> serde_json::Value {
    let apps: serde_json::Map<String, serde_json::Value> = settings
        .apps
        .iter()
        .map(|(name, app)| (name.to_string(), deciding_of_app(app)))
        .collect();
    let install = match &settings.install {
        Install::Auto => "auto",
        Install::None => "none",
        Install::Command(command) => command,
    };
    serde_json::json!({
        "install": install,
        "build": settings.build,
        "scripts": settings.scripts,
        "npmRules": settings.npm_rules.as_str(),
        "gitDependencies": settings.git_dependencies,
        "keyFiles": settings.key_files,
        "maxPackageSize": settings.max_package_size.iter().map(|entry| (&entry.packages, entry.bytes)).collect::<Vec<_>>(),
        "message": settings.commit_message,
        "apps": apps,
        "appDefaults": deciding_of_app(&settings.app_defaults),
        "static": settings.static_root.value(),
        "store": settings.store.value().is_some(),
    })
}

fn deciding_of_app(app: &AppSettings) -> serde_json::Value {
    serde_json::json!({
        "build": app.build,
        "include": app.include,
        "dist": app.dist,
        "distInArchive": app.dist_in_archive,
        "compress": app.compress.as_str(),
        "start": app.start,
        "stop": app.stop,
        "environmentVariable": app.environment_variable,
        "health": app.health,
        "immutable": app.immutable,
        "mutable": app.mutable,
    })
}

fn package_document(plan: &Plan, package: &PlannedPackage) -> PackageDocument {
    PackageDocument {
        name: package.name.to_string(),
        dir: package.directory.display().to_string(),
        kind: package.kind.as_str(),
        private: package.private,
        from: package.from.to_string(),
        to: package.to.to_string(),
        bump: package.bump.map(Bump::as_str),
        tag: (!plan.is_snapshot).then(|| package.tag.to_string()),
        dist_tag: package.dist_tag.clone(),
        access: package.access.map(crate::settings::Access::as_str),
        registry: None,
        reasons: package.reasons.iter().map(ReasonDocument::from).collect(),
        notes: notes::notes(plan, &[package]),
    }
}

/// A reason of a package of `plan` as a phrase.
pub fn phrase(plan: &Plan, package: &PlannedPackage, reason: &Reason) -> String {
    match reason {
        Reason::Commit {
            id, subject, bump, ..
        } => {
            let subject = crate::explain::safe_line(subject);
            format!(
                "{} {subject} ({})",
                id.short(),
                counted(plan, package, *bump)
            )
        }
        Reason::Intent {
            file,
            line,
            bump,
            text,
        } => {
            let title = crate::explain::safe_line(intent::title(text));
            let space = if title.is_empty() { "" } else { " " };
            let bump = counted(plan, package, *bump);
            format!("{file}:{line}{space}{title} ({bump})")
        }
        Reason::Dependency {
            on,
            from,
            to,
            range,
        } => {
            let grows = arrow(from, to);
            match range {
                Some(range) => format!("depends on {on} {range}, which {grows} leaves"),
                None => format!("uses {on} {grows}"),
            }
        }
        Reason::Bundled { on, from, to } => format!("bundles {on} {}", arrow(from, to)),
        Reason::Lockfile { on } => format!("{on} changed in the lockfile"),
        Reason::Catalog { on, from, to } => {
            let (from, to) = (
                crate::explain::safe_line(from),
                crate::explain::safe_line(to),
            );
            format!("{on} is {to} in the catalog now, and was {from}")
        }
        Reason::Group => "all packages share one version".to_owned(),
        Reason::Together { fixed, with } => {
            let group = if *fixed { "fixed" } else { "linked" };
            format!("{group} to one version with {}", with.join(", "))
        }
        Reason::Abandoned { tag } => format!("the release of {tag} was given up"),
        Reason::First => "first release".to_owned(),
        Reason::Graduate { from } => format!("{from} graduates"),
        Reason::Asked => "asked for".to_owned(),
        Reason::ReleaseAs { id, version } => {
            format!("{} says Release-As: {version}", id.short())
        }
        Reason::Written => "its manifest holds a higher version than its last release".to_owned(),
    }
}

/// A bump, and what becomes of it below 1.0.0.
fn counted(plan: &Plan, package: &PlannedPackage, bump: Bump) -> String {
    // In sync mode all grow from the highest version.
    let shared = plan.packages.iter().map(|package| &package.from).max();
    let from = match plan.mode {
        Mode::Sync => shared.unwrap_or(&package.from),
        Mode::Diff => &package.from,
    };
    let counts = bump.of(from, plan.zero_major);
    if counts == bump {
        bump.to_string()
    } else {
        format!("{bump}, so {counts} below 1.0.0")
    }
}

/// The plan as text, for a person, with what is missing and what is foreseen of provenance.
pub fn text(plan: &Plan, missing: &[Missing], provenance: &Foreseen) -> String {
    let mut text = format!("mode {} ({})\n", plan.mode.as_str(), plan.mode_reason);
    if plan.is_snapshot {
        text.push_str("a snapshot: published once, without commit and tags\n");
    }
    adopted(&mut text, plan);
    if plan.packages.is_empty() {
        let said = |code: &str| plan.warnings.iter().any(|warning| warning.code == code);
        text.push_str(if !plan.put_off.is_empty() {
            "nothing to release: what changed was answered not now\n"
        } else if said("plan::filtered") {
            "nothing to release: no package that changed is let through\n"
        } else if said("plan::no_intent") {
            "nothing to release: no intent names what changed\n"
        } else {
            "nothing to release: nothing counts since the last release\n"
        });
    }
    let names = plan.packages.iter().map(|package| package.name.as_str());
    let widest = names.map(str::len).max().unwrap_or(0);
    for package in &plan.packages {
        one_package(&mut text, plan, package, widest);
    }
    if !plan.packages.is_empty() {
        consequences(&mut text, plan);
    }
    line(&mut text, "not released", &listed(&plan.unchanged, ", "));
    for warning in &plan.warnings {
        let _ = writeln!(text, "warning[{}]: {}", warning.code, warning.message);
    }
    for Missing { what, hint } in missing {
        let _ = writeln!(text, "missing {what}: {hint}");
    }
    for alike in provenance.told() {
        let _ = writeln!(text, "npm: {}", alike.sentence());
    }
    text
}

/// What comes from files of other release tools, a line for each file.
fn adopted(text: &mut String, plan: &Plan) {
    for file in [CHANGESETS, LERNA] {
        let from_file = plan.adopted.iter().filter(|adopted| adopted.file == file);
        let settings: Vec<&str> = from_file.map(|adopted| adopted.setting).collect();
        line(text, &format!("from {file}"), &settings.join(", "));
    }
}

/// From where to where a package goes, what it becomes, and why.
fn one_package(text: &mut String, plan: &Plan, package: &PlannedPackage, widest: usize) {
    const REASONS_SHOWN: usize = 5;
    let name = package.name.as_str();
    let grows = arrow(&package.from, &package.to);
    let kind = match (&package.dist_tag, &package.registry) {
        (Some(tag), Some(registry)) => format!("npm at {registry}, {tag}"),
        (Some(tag), None) => format!("npm, {tag}"),
        (None, _) => package.kind.as_str().to_owned(),
    };
    let _ = writeln!(text, "  {name:widest$}  {grows}  [{kind}]");
    for reason in package.reasons.iter().take(REASONS_SHOWN) {
        let phrase = phrase(plan, package, reason);
        let _ = writeln!(text, "  {:widest$}    {phrase}", "");
    }
    let more = package.reasons.len().saturating_sub(REASONS_SHOWN);
    if more > 0 {
        let _ = writeln!(text, "  {:widest$}    and {more} more", "");
    }
}

/// What the new versions bring with them.
fn consequences(text: &mut String, plan: &Plan) {
    line(text, "tags", &listed(&plan.tags, ", "));
    let (edited, deleted): (Vec<_>, Vec<_>) =
        plan.edits.iter().partition(|(_, text)| text.is_some());
    let paths = |edits: &[&Edit]| -> Vec<String> {
        edits.iter().map(|(path, _)| path.to_string()).collect()
    };
    line(text, "edits", &paths(&edited).join(", "));
    line(text, "consumes", &paths(&deleted).join(", "));
    let waves: Vec<String> = plan.waves.iter().map(|wave| listed(wave, " + ")).collect();
    line(text, "publish order", &listed(&waves, ", "));
    let build =
        |app: &PlannedApp| format!("{} {} ({})", app.name, app.to, listed(&app.variants, ", "));
    let builds: Vec<String> = plan.apps.iter().map(build).collect();
    line(text, "builds", &listed(&builds, ", "));
}

/// A line with a title, unless it would be empty.
fn line(text: &mut String, title: &str, entries: &str) {
    if !entries.is_empty() {
        let _ = writeln!(text, "{title}: {entries}");
    }
}

fn listed<T: ToString>(entries: &[T], between: &str) -> String {
    let entries: Vec<String> = entries.iter().map(ToString::to_string).collect();
    entries.join(between)
}

/// `1.0.0 → 1.1.0`, or the one version that both are.
fn arrow(from: &Version, to: &Version) -> String {
    if from == to {
        to.to_string()
    } else {
        format!("{from} → {to}")
    }
}
