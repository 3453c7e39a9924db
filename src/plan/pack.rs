//! What `pack` packs of a workspace as it lies there, and whether a directory of tarballs and archives is what a plan asks for: the job that
//! packed it is not believed.

use std::collections::BTreeSet;

use crate::explain::{Exit, Failure};
use crate::name::{RepoPath, Variant};
use crate::plan::release::{Notice, Plan, PlannedApp, check_filter, selected};
use crate::release::pack::Pack;
use crate::settings::{Choice, Mode, Settings};
use crate::version::Version;
use crate::workspace::Workspace;
use crate::workspace::package::{Kind, Package};

/// What of a workspace is packed as it lies there.
#[derive(Debug, Clone, Default)]
pub struct AsItIs {
    /// The packages that become tarballs, by their places in the workspace, and their versions.
    pub packages: Vec<(usize, Version)>,
    /// The apps.
    pub apps: Vec<PlannedApp>,
    /// What is left out, and why.
    pub notices: Vec<Notice>,
}

/// Chooses what is packed: of a workspace what the filter leaves of its libraries, and its apps unless there is no store for them; of a package
/// that is alone, or that `only` chose by its directory, that one, private or not. `lacks` gives the directory of static files that an app does
/// not have.
///
/// # Errors
/// `pack::filter` and those of the filter, exit 2; `pack::no_version`, exit 3; those of `lacks`.
pub fn as_it_is(
    workspace: &Workspace,
    only: Option<&RepoPath>,
    settings: &Settings,
    lacks: impl Fn(&Package) -> Result<Option<RepoPath>, Failure>,
) -> Result<AsItIs, Failure> {
    check_filter(workspace, Mode::Diff, settings)?;
    if only.is_some() && !settings.filter.is_empty() {
        let what = format!(
            "{} leaves packages out, and one was chosen by its directory",
            settings.spelled("filter")
        );
        return Err(Failure::new(Exit::Usage, "pack::filter", what)
            .hint("leave one of both out; in the workspace's own directory the filter chooses"));
    }
    let is_wanted = |package: &Package| match only {
        Some(only) => package.directory == *only,
        None => selected(package, &settings.filter),
    };
    let is_alone = workspace.root.is_none() || only.is_some();
    let has_store = settings.store != Choice::Off;
    let mut chosen = AsItIs::default();
    let packages = workspace.packages.iter().enumerate();
    for (index, package) in packages.filter(|(_, package)| is_wanted(package)) {
        match package.kind {
            Kind::Service | Kind::Static if has_store => {
                let version = version(package)?;
                match left_out(package, settings, &lacks)? {
                    Some(notice) => chosen.notices.push(notice),
                    None => chosen.apps.push(PlannedApp {
                        index,
                        name: package.name.clone(),
                        from: version.clone(),
                        to: version,
                        variants: vec![Variant::Any],
                    }),
                }
            }
            Kind::Library => chosen.packages.push((index, version(package)?)),
            Kind::Private if is_alone => chosen.packages.push((index, version(package)?)),
            Kind::Service | Kind::Static | Kind::Private => {}
        }
    }
    Ok(chosen)
}

fn version(package: &Package) -> Result<Version, Failure> {
    package.version.clone().ok_or_else(|| {
        let what = format!("{} has no version", package.file());
        Failure::new(Exit::Refused, "pack::no_version", what)
            .because("the name of a tarball holds the version")
            .hint("add one, or leave the package out with filter")
    })
}

/// Why an app cannot be packed as it lies there.
fn left_out(
    package: &Package,
    settings: &Settings,
    lacks: impl Fn(&Package) -> Result<Option<RepoPath>, Failure>,
) -> Result<Option<Notice>, Failure> {
    let name = &package.name;
    let own = settings.app_settings(name);
    let build = own.build.as_deref().or(settings.build.as_deref());
    if build.is_some_and(|build| build.contains("{environment}")) {
        return Ok(Some(Notice {
            code: "pack::build_per_environment",
            message: format!(
                "{name} is left out: it is built for each environment, which `pack --planned` does"
            ),
        }));
    }
    let missing = match package.kind {
        Kind::Static => lacks(package)?,
        _ => None,
    };
    Ok(missing.map(|dist| Notice {
        code: "pack::not_built",
        message: format!(
            "{name} is left out: there is no {dist} yet, which its build or `pack --planned` makes"
        ),
    }))
}

/// Why a directory is not what was packed for a plan with a digest; `None`: it is.
pub fn mismatch(pack: &Pack, plan: &Plan, digest: &str) -> Option<String> {
    let base = pack.base.as_deref().unwrap_or("no commit");
    match pack.plan_digest.as_deref() {
        None => Some("it was packed without --planned".to_owned()),
        Some(_) if base != plan.head.as_str() => Some(format!(
            "it was packed at {base}, and this is {}",
            plan.head
        )),
        Some(planned) if planned != digest => Some(format!(
            "its plan has the digest {planned}, and this one {digest}: settings, tags or the registry differ"
        )),
        Some(_) => other_packages(pack, plan).or_else(|| other_apps(pack, plan)),
    }
}

/// Why its tarballs are not those of the libraries of a plan, each once and at its version; `None`: they are.
pub fn other_packages(pack: &Pack, plan: &Plan) -> Option<String> {
    let libraries = plan.packages.iter().filter(|one| one.kind == Kind::Library);
    let wanted = libraries.map(|one| format!("{} {}", one.name, one.to));
    let held = pack.packages.iter();
    let held = held.map(|one| format!("{} {}", one.name, one.version));
    difference("tarballs", wanted.collect(), held.collect())
}

fn other_apps(pack: &Pack, plan: &Plan) -> Option<String> {
    let wanted = plan.apps.iter().flat_map(|app| {
        let variants = app.variants.iter();
        variants.map(move |variant| format!("{} {} ({variant})", app.name, app.to))
    });
    let held = pack.apps.iter().map(|app| {
        let app = &app.sealed;
        format!("{} {} ({})", app.name, app.version, app.variant)
    });
    difference("builds of apps", wanted.collect(), held.collect())
}

fn difference(what: &str, wanted: Vec<String>, held: Vec<String>) -> Option<String> {
    let counts = (wanted.len(), held.len());
    let wanted: BTreeSet<String> = wanted.into_iter().collect();
    let held: BTreeSet<String> = held.into_iter().collect();
    if let Some(missing) = wanted.difference(&held).next() {
        return Some(format!("it holds no {missing} among its {what}"));
    }
    if let Some(more) = held.difference(&wanted).next() {
        return Some(format!("the plan has no {more}, which is among its {what}"));
    }
    (counts.0 != counts.1).then(|| format!("it names one of its {what} twice"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::name::PackageName;
    use crate::settings::World;
    use crate::settings::inputs::{Asked, collect};
    use crate::settings::{AppKind, AppSettings};
    use crate::workspace::Sources;
    use crate::workspace::manager::{self, Signs};
    use crate::workspace::package_json::Form;

    fn settings(flags: &str) -> Settings {
        let words: Vec<String> = ["pack"]
            .into_iter()
            .chain(flags.split_whitespace())
            .map(str::to_owned)
            .collect();
        let Ok(Asked::Run(collected)) = collect(&words, &BTreeMap::new()) else {
            panic!("{words:?} is a command");
        };
        Settings::resolve(*collected, &[], World::default()).unwrap()
    }

    /// The libraries `core` and `new`, which has no version, the service `web`, the site `docs` and the private `tools`.
    fn workspace() -> Workspace {
        let member = |name: &str, more: &str| {
            let manifest = format!(r#"{{"name": "{name}"{more}}}"#);
            (RepoPath::parse(name).unwrap(), manifest)
        };
        let private = r#", "version": "2.0.0", "private": true"#;
        let sources = Sources {
            form: Form::Documented,
            root: RepoPath::root(),
            root_manifest: r#"{"private": true}"#.to_owned(),
            members: BTreeMap::from([
                member("core", r#", "version": "1.0.0""#),
                member("new", ""),
                member("web", private),
                member("docs", private),
                member("tools", private),
            ]),
            has_members: true,
            manager: manager::tell(&Signs::default()).unwrap(),
            catalogs: None,
            lerna: None,
            lockfile: None,
        };
        let apps = [("web", AppKind::Service), ("docs", AppKind::Static)];
        let apps = apps.map(|(name, kind)| {
            let own = AppSettings {
                kind: Some(kind),
                ..settings("").app_defaults
            };
            (PackageName::parse(name).unwrap(), own)
        });
        Workspace::parse(sources, &apps.into(), |_| false).unwrap()
    }

    /// What is chosen; `docs` is not built.
    #[track_caller]
    fn check(only: Option<&str>, flags: &str, expected: &str) {
        let workspace = workspace();
        let only = only.map(|only| RepoPath::parse(only).unwrap());
        let lacks = |package: &Package| package.directory.join("dist").map(Some);
        let told = match as_it_is(&workspace, only.as_ref(), &settings(flags), lacks) {
            Err(failure) => failure.code().to_owned(),
            Ok(chosen) => {
                let tarballs = chosen.packages.iter();
                let tarballs = tarballs.map(|(index, version)| {
                    format!("{} {version}", workspace.packages[*index].name)
                });
                let apps = chosen.apps.iter();
                let apps = apps.map(|app| format!("app {} {}", app.name, app.to));
                let notices = chosen.notices.iter().map(|notice| notice.code.to_owned());
                let told: Vec<String> = tarballs.chain(apps).chain(notices).collect();
                told.join(", ")
            }
        };
        assert_eq!(told, expected, "{only:?} {flags}");
    }

    #[test]
    fn what_is_packed_as_it_lies_there() {
        check(None, "", "pack::no_version");
        check(
            None,
            "--filter !new",
            "core 1.0.0, app web 2.0.0, pack::not_built",
        );
        check(None, "--filter core", "core 1.0.0");
        check(None, "--filter tools", "");
        check(Some("tools"), "", "tools 2.0.0");
        check(Some("core"), "", "core 1.0.0");
        check(Some("core"), "--filter core", "pack::filter");
        check(None, "--filter nothing", "plan::filter");
        check(None, "--filter !new --store none", "core 1.0.0");
        check(
            None,
            "--filter web --build make-{environment}",
            "pack::build_per_environment",
        );
    }
}
