//! What a library says about the registry it belongs to, and what npm makes of a new name.

use std::collections::{BTreeMap, BTreeSet};

use url::Url;

use crate::explain::{Exit, Failure, Place};
use crate::name::PackageName;
use crate::plan::release::{Base, Notice, Plan, PlannedPackage};
use crate::settings::registries::{Declared, Destinations, Word};
use crate::settings::{PUBLIC_REGISTRY, RegistryAddress, Settings};
use crate::version::Version;
use crate::workspace::Workspace;
use crate::workspace::catalogs::Catalogs;
use crate::workspace::package::{Kind, Package};
use crate::workspace::package_json::Form;
use crate::workspace::publishable::{Reader, publishable};

/// Notes where each library of a plan goes that does not go where all go, and what a person should know of that.
///
/// # Errors
/// `plan::registry`, exit 3, for each library that the repository sends where the workflow did not; `npm::unscoped`, exit 3, where its
/// registry takes no such name.
pub(super) fn assign(
    workspace: &Workspace,
    plan: &mut Plan,
    settings: &Settings,
) -> Result<(), Failure> {
    let registries = &settings.registries;
    let mut failures = Vec::new();
    let mut warnings = Vec::new();
    let mut places: BTreeSet<Url> = BTreeSet::new();
    let everywhere = default_url(settings);
    let libraries = plan.packages.iter_mut();
    for package in libraries.filter(|package| package.kind == Kind::Library) {
        let of = package
            .index
            .and_then(|index| workspace.packages.get(index));
        let declared = of.map(declared).unwrap_or_default();
        match registries.destination(&package.name, &declared, &settings.registry) {
            Ok(destination) => {
                warnings.extend(destination.warning.map(|message| Notice {
                    code: "plan::registry_overruled",
                    message,
                }));
                package.registry = destination.registry;
                if let Some(url) = package.registry.as_ref().or(everywhere) {
                    failures.extend(refused_name(&package.name, url));
                    places.insert(url.clone());
                }
            }
            Err(failure) => failures.push(failure),
        }
    }
    let libraries = workspace.packages.iter();
    let libraries = libraries.filter(|package| package.kind == Kind::Library);
    let scopes: BTreeSet<&str> = libraries
        .filter_map(|package| package.name.scope())
        .collect();
    let unused = registries.scopes().filter(|scope| !scopes.contains(scope));
    warnings.extend(unused.map(|scope| Notice {
        code: "plan::registry_unused",
        message: format!("`registries` names {scope}, and no library here has that scope"),
    }));
    let ignored = places
        .iter()
        .filter_map(|url| registries.credentials.ignored_for(url));
    warnings.extend(ignored.map(|message| Notice {
        code: "npm::repository_credential",
        message: format!("{message}; set `npm-token` or `registry-tokens`"),
    }));
    plan.warnings.extend(warnings);
    Failure::all(failures).map_or(Ok(()), Err)
}

/// The registry of packages of which nothing else is said; `None`: a directory.
fn default_url(settings: &Settings) -> Option<&Url> {
    match &settings.registry {
        RegistryAddress::Npm(url) => Some(url),
        RegistryAddress::Directory { .. } => None,
    }
}

/// Where each package of a workspace goes.
pub fn destinations(workspace: &Workspace, settings: &Settings) -> Destinations {
    let libraries = workspace.packages.iter();
    let libraries = libraries.filter(|package| package.kind == Kind::Library);
    let destination = |package: &Package| {
        let registries = &settings.registries;
        let found = registries.destination(&package.name, &declared(package), &settings.registry);
        (package.name.clone(), found.map(|found| found.registry))
    };
    libraries.map(destination).collect()
}

/// What the manifest of a package says of its registry.
fn declared(package: &Package) -> Declared {
    let config = &package.manifest.publish_config;
    let word = |field: &str, address: &String| Word {
        address: address.clone(),
        said: format!("publishConfig{field}"),
        place: Some(Place::file(package.file().as_str())),
        is_repositorys: true,
    };
    let of_scope = package.name.scope().and_then(|scope| {
        let address = config.registries.get(scope)?;
        Some(word(&format!("[\"{scope}:registry\"]"), address))
    });
    Declared {
        registry: config
            .registry
            .as_ref()
            .map(|address| word(".registry", address)),
        of_scope,
    }
}

/// Refuses a name without a scope at GitHub, whose registry
/// [takes none](https://docs.github.com/packages/working-with-a-github-packages-registry/working-with-the-npm-registry).
fn refused_name(name: &PackageName, url: &Url) -> Option<Failure> {
    let is_githubs = url.host_str() == Some("npm.pkg.github.com");
    (is_githubs && name.scope().is_none()).then(|| {
        let what = format!("{name} cannot be published at {url}");
        Failure::new(Exit::Refused, "npm::unscoped", what)
            .because("GitHub Packages takes names with a scope only, and the scope is the owner of the repository")
            .hint("rename the package to @<owner>/<name>, or publish it elsewhere: `registry`, and `registries` for what has a scope")
    })
}

/// Warns of names that npm would keep private, which it refuses without a paid plan: nothing says that they are public.
pub(super) fn private_names(plan: &Plan, settings: &Settings) -> Option<Notice> {
    const SHOWN: usize = 5;
    let is_public = |package: &PlannedPackage| {
        let url = package.registry.as_ref().or(default_url(settings));
        url.is_some_and(|url| url.as_str() == PUBLIC_REGISTRY)
    };
    let is_new = |package: &&PlannedPackage| {
        let is_first = package.base == Base::First && package.access.is_none();
        is_first && package.name.scope().is_some() && is_public(package)
    };
    let names: Vec<&str> = libraries_of(plan)
        .filter(is_new)
        .map(|package| package.name.as_str())
        .collect();
    let more = match names.len().saturating_sub(SHOWN) {
        0 => String::new(),
        others => format!(" and {others} more"),
    };
    (!names.is_empty()).then(|| Notice {
        code: "plan::private_name",
        message: format!(
            "npm keeps a new name with a scope private, and refuses that without a paid plan: {}{more}; for everybody, set `access` or publishConfig.access to public",
            names.get(..SHOWN).unwrap_or(&names).join(", ")
        ),
    })
}

/// Warns of scripts that npm would run after it has published: nothing of the project runs once a release is decided.
pub(super) fn scripts_not_run(workspace: &Workspace, plan: &Plan) -> Option<Notice> {
    const NOT_RUN: [&str; 2] = ["publish", "postpublish"];
    let named = libraries_of(plan).filter_map(|planned| {
        let package = workspace.packages.get(planned.index?)?;
        let scripts = &package.manifest.scripts;
        let own = NOT_RUN
            .iter()
            .filter(|script| scripts.contains_key(**script));
        let own: Vec<&str> = own.copied().collect();
        (!own.is_empty()).then(|| format!("{} of {}", own.join(" and "), package.name))
    });
    let named: Vec<String> = named.collect();
    (!named.is_empty()).then(|| Notice {
        code: "plan::scripts_not_run",
        message: format!(
            "nothing of the project runs once a release is decided, so these scripts do not: {}",
            named.join(", ")
        ),
    })
}

fn libraries_of(plan: &Plan) -> impl Iterator<Item = &PlannedPackage> {
    let packages = plan.packages.iter();
    packages.filter(|package| package.kind == Kind::Library)
}

/// Refuses a plan of packages that npm could not take as their manifests are: once their versions are decided, nothing publishes them.
///
/// # Errors
/// `workspace::unpublishable` and `workspace::git_dependency`, exit 3, for each such dependency; `workspace::publish_config`, exit 3.
pub fn require_publishable(
    workspace: &Workspace,
    plan: &Plan,
    settings: &Settings,
) -> Result<(), Failure> {
    let reader = Reader::Installer {
        from_git: settings.git_dependencies,
        manager: workspace.manager.manager,
        form: Form::Documented,
    };
    let known = workspace.packages.iter();
    let mut versions: BTreeMap<PackageName, Version> = known
        .filter_map(|package| Some((package.name.clone(), package.version.clone()?)))
        .collect();
    let planned = plan.packages.iter();
    versions.extend(planned.map(|package| (package.name.clone(), package.to.clone())));
    let none = Catalogs::new();
    let catalogs = workspace.catalogs().unwrap_or(&none);
    let failures = libraries_of(plan).filter_map(|package| {
        let package = workspace.package(&package.name)?;
        let file = package.file();
        let edited = plan.edits.iter().find(|(path, _)| *path == file);
        let text = edited.and_then(|(_, text)| text.as_ref());
        let text = text.unwrap_or(&package.text);
        publishable(file.as_str(), text, &versions, catalogs, reader).err()
    });
    Failure::all(failures.collect()).map_or(Ok(()), Err)
}
