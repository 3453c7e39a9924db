//! What a library says about the registry it belongs to, and what npm makes of a new name.

use std::collections::BTreeMap;

use url::Url;

use crate::explain::{Exit, Failure, quoted};
use crate::name::PackageName;
use crate::plan::release::{Base, Notice, Plan, PlannedPackage};
use crate::settings::{PUBLIC_REGISTRY, RegistryAddress, Settings};
use crate::version::Version;
use crate::workspace::Workspace;
use crate::workspace::catalogs::Catalogs;
use crate::workspace::package::Kind;
use crate::workspace::package_json::Form;
use crate::workspace::publishable::{Reader, publishable};

/// Refuses a library whose `publishConfig.registry` is another registry than the one that is set: npm would publish it there, and it may
/// not be meant for this one. A directory takes them all.
///
/// # Errors
/// `plan::registry`, exit 2.
pub(super) fn check(
    workspace: &Workspace,
    plan: &Plan,
    settings: &Settings,
) -> Result<(), Failure> {
    let RegistryAddress::Npm(registry) = &settings.registry else {
        return Ok(());
    };
    let elsewhere = |package: &&PlannedPackage| {
        declared(workspace, package).is_some_and(|declared| !is_same(declared, registry))
    };
    let Some(package) = libraries(plan).find(elsewhere) else {
        return Ok(());
    };
    let declared = declared(workspace, package).unwrap_or_default();
    Err(Failure::new(
        Exit::Usage,
        "plan::registry",
        format!(
            "{} belongs to the registry {}, and the release goes to {registry}",
            package.name,
            quoted(declared)
        ),
    )
    .because("publishConfig.registry of its package.json says so; where credentials are sent is never read from there")
    .hint("set `registry` to it, or take publishConfig.registry out of its package.json"))
}

/// Warns of names that npm would keep private, which it refuses without a paid plan: nothing says that they are public.
pub(super) fn private_names(plan: &Plan, settings: &Settings) -> Option<Notice> {
    const SHOWN: usize = 5;
    let is_public =
        matches!(&settings.registry, RegistryAddress::Npm(url) if url.as_str() == PUBLIC_REGISTRY);
    let is_new = |package: &&PlannedPackage| {
        package.base == Base::First && package.access.is_none() && package.name.scope().is_some()
    };
    let names: Vec<&str> = libraries(plan)
        .filter(is_new)
        .map(|package| package.name.as_str())
        .collect();
    let more = match names.len().saturating_sub(SHOWN) {
        0 => String::new(),
        others => format!(" and {others} more"),
    };
    (is_public && !names.is_empty()).then(|| Notice {
        code: "plan::private_name",
        message: format!(
            "npm keeps a new name with a scope private, and refuses that without a paid plan: {}{more}; for everybody, set `access` or publishConfig.access to public",
            names.get(..SHOWN).unwrap_or(&names).join(", ")
        ),
    })
}

fn libraries(plan: &Plan) -> impl Iterator<Item = &PlannedPackage> {
    let packages = plan.packages.iter();
    packages.filter(|package| package.kind == Kind::Library)
}

fn declared<'w>(workspace: &'w Workspace, package: &PlannedPackage) -> Option<&'w str> {
    let package = workspace.packages.get(package.index?)?;
    package.manifest.publish_config.registry.as_deref()
}

/// Whether two addresses mean one registry; a slash at the end means nothing.
fn is_same(declared: &str, registry: &Url) -> bool {
    let plain = |url: &Url| url.as_str().trim_end_matches('/').to_owned();
    Url::parse(declared).is_ok_and(|declared| plain(&declared) == plain(registry))
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
    let failures = libraries(plan).filter_map(|package| {
        let package = workspace.package(&package.name)?;
        let file = package.file();
        let edited = plan.edits.iter().find(|(path, _)| *path == file);
        let text = edited.and_then(|(_, text)| text.as_ref());
        let text = text.unwrap_or(&package.text);
        publishable(file.as_str(), text, &versions, catalogs, reader).err()
    });
    Failure::all(failures.collect()).map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_compared_by_what_they_mean() {
        let registry = Url::parse("https://npm.example/team/").expect("a URL");
        for (declared, same) in [
            ("https://npm.example/team/", true),
            ("https://npm.example/team", true),
            ("HTTPS://NPM.example:443/team", true),
            ("http://npm.example/team", false),
            ("https://npm.example/", false),
            ("npm.example/team", false),
            ("", false),
        ] {
            assert_eq!(is_same(declared, &registry), same, "{declared}");
        }
    }
}
