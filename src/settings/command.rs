//! The commands, and what each of them needs beside the settings of every run.

use std::path::PathBuf;

use crate::name::{EnvironmentName, PackageName};
use crate::settings::StoreSettings;

/// The commands, in the order in which people meet them: group, name, what it does.
pub const COMMANDS: &[(&str, &str, &str)] = &[
    (
        "Release",
        "plan",
        "Show what a release would do and why; writes nothing, needs no credential",
    ),
    (
        "Release",
        "release",
        "Go the whole way: build, seal, commit and tag, publish, record, point",
    ),
    (
        "Release",
        "rehearse",
        "Do a whole release and a rollback of this repository against local stand-ins, in a temporary directory",
    ),
    (
        "Environments",
        "promote",
        "Point an environment at a version: --environment pre --to 1.4.2, or --from sit",
    ),
    (
        "Environments",
        "rollback",
        "Point an environment at its last good version, mark the one left bad, hold automation",
    ),
    (
        "Environments",
        "hold",
        "Stop automation from changing an environment",
    ),
    ("Environments", "unhold", "Allow automation again"),
    (
        "Environments",
        "mark-bad",
        "Judge a version: no rollback goes there, no automation activates it",
    ),
    ("Environments", "pin", "Keep a version whatever its age"),
    ("Environments", "unpin", "Stop keeping a version"),
    (
        "Environments",
        "status",
        "Show what runs where, since when, by whom, and what a rollback would do",
    ),
    (
        "Environments",
        "pull",
        "On a host: fetch, verify, unpack, stop, switch, start, check, go back by itself",
    ),
];

/// What to do. A command that is here has what it needs: nobody has to ask again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Show what a release would do.
    Plan,
    /// Release.
    Release,
    /// Release and roll back against local stand-ins.
    Rehearse,
    /// Change what an environment says.
    Point(Deed, PointSettings),
    /// Show what runs where.
    Status(StatusSettings),
    /// Install what the pointer names.
    Pull(PullSettings),
}

/// What is done to an environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    /// Point it at a version.
    Promote,
    /// Point it at its last good version.
    Rollback,
    /// Stop automation.
    Hold,
    /// Allow automation.
    Unhold,
    /// Judge a version.
    MarkBad,
    /// Keep a version.
    Pin,
    /// Stop keeping a version.
    Unpin,
}

impl Deed {
    /// The deed of the command called `name`.
    pub fn parse(name: &str) -> Option<Deed> {
        Some(match name {
            "promote" => Deed::Promote,
            "rollback" => Deed::Rollback,
            "hold" => Deed::Hold,
            "unhold" => Deed::Unhold,
            "mark-bad" => Deed::MarkBad,
            "pin" => Deed::Pin,
            "unpin" => Deed::Unpin,
            _ => return None,
        })
    }
}

/// Which apps a command is about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Apps {
    /// The only app there is, or those of the release that is named.
    #[default]
    Default,
    /// All of them that the command can be about.
    All,
    /// These.
    Named(Vec<PackageName>),
}

/// What `promote`, `rollback` and their siblings are asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PointSettings {
    /// Where the environments are recorded.
    pub store: StoreSettings,
    /// The environment.
    pub environment: EnvironmentName,
    /// The apps.
    pub apps: Apps,
    /// A version, release id, sequence number or `previous`.
    pub to: Option<String>,
    /// Another environment.
    pub from: Option<EnvironmentName>,
    /// Why.
    pub reason: Option<String>,
    /// Override held, bad, not a descendant.
    pub force: bool,
}

/// What `status` is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusSettings {
    /// Where the environments are recorded; `None`: the packages of the checkout are all there is to show.
    pub store: Option<StoreSettings>,
    /// The apps; [`Apps::Default`] means all.
    pub apps: Apps,
    /// Only this environment.
    pub environment: Option<EnvironmentName>,
}

/// What `pull` is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullSettings {
    /// Where archives and environments are.
    pub store: StoreSettings,
    /// The environment that this host serves.
    pub environment: EnvironmentName,
    /// The app; `None`: the only one in the store.
    pub app: Option<PackageName>,
    /// Try a release again that failed here before.
    pub force: bool,
    /// The directory that holds the apps.
    pub host_directory: PathBuf,
    /// The directory that holds their logs.
    pub log_directory: PathBuf,
    /// The name under which the host reports; `None`: it does not.
    pub host_name: Option<String>,
    /// How many releases stay on the host.
    pub keep_releases: usize,
}
