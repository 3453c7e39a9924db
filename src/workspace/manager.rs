//! Which package manager a workspace belongs to, and how that was told.

use std::fmt;

use crate::explain::{Exit, Failure, Place, quoted};
use crate::workspace::lockfile::LockfileKind;

/// A package manager; the two generations of yarn share little but the name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Manager {
    /// npm.
    Npm,
    /// pnpm.
    Pnpm,
    /// yarn 1.
    YarnClassic,
    /// yarn 2 and newer.
    YarnBerry,
    /// bun.
    Bun,
}

impl Manager {
    /// Its name in messages.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Manager::Npm => "npm",
            Manager::Pnpm => "pnpm",
            Manager::YarnClassic => "yarn 1",
            Manager::YarnBerry => "yarn 2 or newer",
            Manager::Bun => "bun",
        }
    }
}

impl fmt::Display for Manager {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// What tells the manager at the root of a workspace.
#[derive(Debug, Clone, Default)]
pub struct Signs<'a> {
    /// `packageManager` of `package.json`.
    pub package_manager: Option<&'a str>,
    /// The lockfiles there are.
    pub lockfiles: &'a [LockfileKind],
    /// Whether there is a `bun.lockb`.
    pub bun_lockb: bool,
    /// Whether there is a `pnpm-workspace.yaml`.
    pub pnpm_workspace: bool,
}

/// A manager, and what told it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// The manager.
    pub manager: Manager,
    /// What told it, as a person would say it.
    pub by: String,
}

/// Tells the manager: `packageManager` first, then the lockfiles, then `pnpm-workspace.yaml`; npm where nothing says otherwise.
///
/// # Errors
/// `workspace::manager_conflict` where two of them name different managers; `workspace::manager_unknown` for a `packageManager` that
/// is none of npm, pnpm, yarn and bun; `workspace::lockfile_unsupported` for a `bun.lockb` without a `bun.lock`.
///
/// ```
/// use pkgs_action::workspace::lockfile::LockfileKind;
/// use pkgs_action::workspace::manager::{Manager, Signs, tell};
/// let signs = Signs { lockfiles: &[LockfileKind::Pnpm], ..Signs::default() };
/// let told = tell(&signs).unwrap();
/// assert_eq!((told.manager, told.by.as_str()), (Manager::Pnpm, "pnpm-lock.yaml"));
/// let failure = tell(&Signs { package_manager: Some("npm@11.0.0"), ..signs }).unwrap_err();
/// assert_eq!(failure.what(), "the workspace belongs to npm and to pnpm");
/// ```
pub fn tell(signs: &Signs<'_>) -> Result<Told, Failure> {
    let mut all = Vec::new();
    if let Some(text) = signs.package_manager {
        all.push(Told {
            manager: declared(text, signs.lockfiles)?,
            by: format!("packageManager {}", quoted(text)),
        });
    }
    all.extend(signs.lockfiles.iter().map(|kind| Told {
        manager: kind.manager(),
        by: kind.file_name().to_owned(),
    }));
    let files = [
        (signs.bun_lockb, Manager::Bun, "bun.lockb"),
        (signs.pnpm_workspace, Manager::Pnpm, "pnpm-workspace.yaml"),
    ];
    all.extend(
        files
            .into_iter()
            .filter(|(there, _, _)| *there)
            .map(|(_, manager, by)| Told {
                manager,
                by: by.to_owned(),
            }),
    );
    let mut all = all.into_iter();
    let Some(first) = all.next() else {
        return Ok(Told {
            manager: Manager::Npm,
            by: "nothing says otherwise".to_owned(),
        });
    };
    match all.find(|other| other.manager != first.manager) {
        None if signs.bun_lockb && !signs.lockfiles.contains(&LockfileKind::Bun) => Err(binary()),
        None => Ok(first),
        Some(other) => Err(conflict(&first, &other)),
    }
}

fn binary() -> Failure {
    Failure::new(
        Exit::Refused,
        "workspace::lockfile_unsupported",
        "bun.lockb cannot be edited",
    )
    .because("it is binary; bun.lock is its successor")
    .place(Place::file("bun.lockb"))
    .hint("run `bun install --save-text-lockfile --frozen-lockfile --lockfile-only`, remove bun.lockb and commit bun.lock")
}

fn conflict(first: &Told, other: &Told) -> Failure {
    Failure::new(
        Exit::Refused,
        "workspace::manager_conflict",
        format!(
            "the workspace belongs to {} and to {}",
            first.manager, other.manager
        ),
    )
    .because(format!(
        "{} says {}, {} says {}",
        first.by, first.manager, other.by, other.manager
    ))
    .place(Place::file("package.json"))
    .hint("keep the files of the package manager that installs here, and remove the other's")
}

fn declared(text: &str, lockfiles: &[LockfileKind]) -> Result<Manager, Failure> {
    let (name, version) = text.split_once('@').unwrap_or((text, ""));
    match name.trim() {
        "npm" => Ok(Manager::Npm),
        "pnpm" => Ok(Manager::Pnpm),
        "bun" => Ok(Manager::Bun),
        "yarn"
            if lockfiles.contains(&LockfileKind::YarnClassic) && !starts_with_number(version) =>
        {
            Ok(Manager::YarnClassic)
        }
        "yarn" if matches!(major(version), "0" | "1") => Ok(Manager::YarnClassic),
        "yarn" => Ok(Manager::YarnBerry),
        _ => Err(Failure::new(
            Exit::Refused,
            "workspace::manager_unknown",
            format!("packageManager names {}", quoted(text)),
        )
        .because("npm, pnpm, yarn and bun are known")
        .place(Place::file("package.json"))
        .hint("write for example pnpm@10.0.0, or remove packageManager")),
    }
}

fn major(version: &str) -> &str {
    version.split('.').next().unwrap_or_default()
}

/// A `packageManager` may also hold a tag or an address, which tell nothing of yarn's generation.
fn starts_with_number(version: &str) -> bool {
    version.starts_with(|first: char| first.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(
        package_manager: Option<&str>,
        lockfiles: &[LockfileKind],
        pnpm_workspace: bool,
    ) -> Result<Manager, Failure> {
        tell(&Signs {
            package_manager,
            lockfiles,
            pnpm_workspace,
            bun_lockb: false,
        })
        .map(|told| told.manager)
    }

    fn check(package_manager: Option<&str>, lockfiles: &[LockfileKind], expected: Manager) {
        assert_eq!(
            told(package_manager, lockfiles, false).unwrap(),
            expected,
            "{package_manager:?} {lockfiles:?}"
        );
    }

    #[test]
    fn the_field_then_the_lockfile() {
        use LockfileKind::{Bun, Npm, Pnpm, Shrinkwrap, YarnBerry, YarnClassic};
        check(None, &[], Manager::Npm);
        check(None, &[Npm], Manager::Npm);
        check(None, &[Shrinkwrap, Npm], Manager::Npm);
        check(None, &[Pnpm], Manager::Pnpm);
        check(None, &[YarnClassic], Manager::YarnClassic);
        check(None, &[YarnBerry], Manager::YarnBerry);
        check(None, &[Bun], Manager::Bun);
        check(Some("npm@11.0.0"), &[], Manager::Npm);
        check(Some("pnpm@10.0.0+sha512.x"), &[], Manager::Pnpm);
        check(Some("yarn@1.22.22"), &[], Manager::YarnClassic);
        check(Some("yarn@4.5.0"), &[YarnBerry], Manager::YarnBerry);
        check(Some("yarn@stable"), &[], Manager::YarnBerry);
        check(Some("yarn@classic"), &[YarnClassic], Manager::YarnClassic);
        check(Some("bun@1.2.0"), &[Bun], Manager::Bun);
        assert_eq!(told(None, &[], true).unwrap(), Manager::Pnpm);
    }

    #[test]
    fn a_binary_lockfile_is_no_lockfile() {
        let signs = |lockfiles| Signs {
            lockfiles,
            bun_lockb: true,
            ..Signs::default()
        };
        let failure = tell(&signs(&[])).unwrap_err();
        assert_eq!(failure.code(), "workspace::lockfile_unsupported");
        assert_eq!(
            tell(&signs(&[LockfileKind::Bun])).unwrap().manager,
            Manager::Bun
        );
    }

    #[test]
    fn two_that_disagree_are_named() {
        use LockfileKind::{Npm, Pnpm, YarnClassic};
        let refused = |package_manager, lockfiles: &[LockfileKind], pnpm_workspace| {
            let failure = told(package_manager, lockfiles, pnpm_workspace).unwrap_err();
            assert_eq!(failure.exit(), Exit::Refused);
            assert!(failure.advice().is_some());
            (failure.code(), failure.causes().join(""))
        };
        let conflict = "workspace::manager_conflict";
        assert_eq!(
            refused(Some("pnpm@10.0.0"), &[Npm, Pnpm], true),
            (
                conflict,
                "packageManager \"pnpm@10.0.0\" says pnpm, package-lock.json says npm".to_owned()
            )
        );
        assert_eq!(refused(None, &[Npm, Pnpm], false).0, conflict);
        assert_eq!(refused(None, &[Npm], true).0, conflict);
        assert_eq!(
            refused(Some("yarn@4.0.0"), &[YarnClassic], false).0,
            conflict
        );
        assert_eq!(
            refused(Some("deno@2.0.0"), &[], false).0,
            "workspace::manager_unknown"
        );
    }
}
