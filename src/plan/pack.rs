//! Whether a directory of tarballs and archives is what a plan asks for: the job that packed it is not believed.

use std::collections::BTreeSet;

use crate::plan::release::Plan;
use crate::release::pack::Pack;
use crate::workspace::package::Kind;

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
