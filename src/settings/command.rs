//! The commands, and what each of them needs beside the settings of every run.

use std::path::PathBuf;

use crate::name::{EnvironmentName, PackageName};
use crate::settings::StoreSettings;
use crate::settings::table::{Group, Setting};

/// What people are told about a command.
#[derive(Debug)]
pub struct Page {
    /// The group in which `--help` shows it.
    pub group: &'static str,
    /// Its name.
    pub name: &'static str,
    /// What it does, in a line.
    pub does: &'static str,
    /// What is worth knowing beyond that.
    pub more: &'static str,
    /// What stands behind its name.
    pub usage: &'static str,
    /// Command lines that people copy.
    pub examples: &'static [&'static str],
}

/// The commands, in the order in which people meet them.
pub const COMMANDS: &[Page] = &[
    Page {
        group: "Release",
        name: "plan",
        does: "Show what a release would do, and why; writes nothing",
        more: "It reads git and files, runs no code of the project and needs no credential.",
        usage: "[flags]",
        examples: &["plan", "plan --filter web --format json"],
    },
    Page {
        group: "Release",
        name: "why",
        does: "Show why a package is released, or is not; writes nothing",
        more: "It tells the base, the commits and their files, what is ignored, the dependency path and the rule. It reads what `plan` reads.",
        usage: "<package> [flags]",
        examples: &["why web", "why @acme/text --format json"],
    },
    Page {
        group: "Release",
        name: "release",
        does: "Go the whole way: build, seal, commit, tag, publish, record, point",
        more: "A run that was interrupted is continued by the next one. --dry-run builds and packs, and writes nothing.",
        usage: "[flags]",
        examples: &[
            "release --dry-run",
            "release --store s3://acme-releases/mono",
            "release --bump minor --filter core",
        ],
    },
    Page {
        group: "Release",
        name: "version",
        does: "Decide versions: commit and tags in one push; builds nothing",
        more: "It publishes nothing: the next `publish` or `release` delivers what was decided. `--push=false` commits and tags here only: push both yourself. A release that builds apps needs `release`. At a terminal it asks how far a package grows where nothing decides it: no `bump`, intent, `Release-As` or conventional commit that counts. Where others pushed meanwhile it decides nothing, with `when-moved: merge` too.",
        usage: "[flags]",
        examples: &[
            "version --dry-run",
            "version --bump minor",
            "version --push=false",
        ],
    },
    Page {
        group: "Release",
        name: "publish",
        does: "Publish the decided versions that npm lacks; decides nothing",
        more: "It builds at the release commit what no store holds. With nothing lacking it says so.",
        usage: "[flags]",
        examples: &["publish", "publish --dry-run"],
    },
    Page {
        group: "Release",
        name: "pack",
        does: "Pack npm tarballs and archives into a directory; publishes nothing",
        more: "It packs what is there, as `npm pack` does: of any directory with a package.json, of a workspace all packages that are not private, and its services. It needs no repository and no credential. --planned packs what `release` would: at the planned versions, after install and build. `release` and `publish` take these bytes with the same `artifacts`, and then build nothing.",
        usage: "[flags]",
        examples: &[
            "pack --dry-run",
            "pack --filter core --artifacts out",
            "pack --planned --artifacts out --format json",
        ],
    },
    Page {
        group: "Release",
        name: "abandon",
        does: "Give up a decided release that cannot be finished",
        more: "Its tags keep their versions and are no base: the next release contains all its packages, at higher versions. A release that is complete is refused. --to is a release id, a tag or a version; without it, the newest release is meant.",
        usage: "[--to <release>] [flags]",
        examples: &[
            "abandon --dry-run",
            "abandon --to core@1.1.0 --reason 'npm holds another 1.1.0'",
        ],
    },
    Page {
        group: "Release",
        name: "tag",
        does: "Tag what another tool released, so that changes count from there",
        more: "Every version that no tag marks gets one: where the registry says that it was built, else at the commit checked out. From there `plan` measures what changed. All tags are one push; they decide nothing.",
        usage: "[flags]",
        examples: &["tag --dry-run", "tag --filter '!web'"],
    },
    Page {
        group: "Release",
        name: "rehearse",
        does: "Try a release and a rollback on a copy, against local stand-ins",
        more: "The repository itself stays as it is. Where there is none, a small sample is used.",
        usage: "[flags]",
        examples: &["rehearse", "rehearse --working-directory ../mono"],
    },
    Page {
        group: "Release",
        name: "doctor",
        does: "Check everything that a release needs, before it is needed",
        more: "For every library it asks whether this run may publish it: with the token, or with the job's identity, which the registry exchanges and nothing is published with. It checks the permission to push and the store, too: whose it is, that it lies apart from static files, that of racing writers one wins, that a stale write is refused, that lists and headers are true. For that it leaves probes for a moment; with --dry-run not even that. What is set is looked at although nothing is due: static roots are written and read, CDNs asked, the place of the board tried. What is not looked at stands there, too, and why. The exit code is that of the worst check.",
        usage: "[flags]",
        examples: &["doctor", "doctor --format json"],
    },
    Page {
        group: "Environments",
        name: "promote",
        does: "Point an environment at a version",
        more: "While the environment is held it is refused; --force overrides that, and lifts the hold for good. With --npm-rollback packages on npm that a rollback left return too.",
        usage: "--environment <name> (--to <version> | --from <environment>) [flags]",
        examples: &[
            "promote --environment pre --to 1.4.2",
            "promote --environment prod --from pre --app web",
        ],
    },
    Page {
        group: "Environments",
        name: "rollback",
        does: "Point an environment at its last good version, and hold it there",
        more: "The version that is left is marked bad. Until `unhold`, releases leave the environment as it is and promote needs --force. A version named with --to that is newer and was never live there is warned of: `promote` goes forward. With --npm-rollback packages on npm follow: dist-tags go back, what is left is deprecated; without an environment --to names the release that is good.",
        usage: "--environment <name> [flags]",
        examples: &[
            "rollback --environment prod --dry-run",
            "rollback --environment prod --reason 'slow answers'",
            "rollback --environment prod --app web --to 1.4.1",
            "rollback --npm-rollback --to core@1.4.1 --dry-run",
        ],
    },
    Page {
        group: "Environments",
        name: "hold",
        does: "Keep an environment at the version that is live there",
        more: "Releases leave it alone, and promote needs --force; rollback still works. What is held already gets another --reason; without one nothing changes. A hold keeps no version from `gc`: `pin` does.",
        usage: "--environment <name> [flags]",
        examples: &["hold --environment prod --reason 'an incident'"],
    },
    Page {
        group: "Environments",
        name: "unhold",
        does: "Let releases and promote change the environment again",
        more: "It activates nothing by itself.",
        usage: "--environment <name> [flags]",
        examples: &["unhold --environment prod"],
    },
    Page {
        group: "Environments",
        name: "mark-bad",
        does: "Keep rollbacks and automation away from a version",
        more: "",
        usage: "--environment <name> --to <version> [flags]",
        examples: &["mark-bad --environment prod --to 1.4.2 --reason 'loses orders'"],
    },
    Page {
        group: "Environments",
        name: "pin",
        does: "Keep `gc` from deleting a version; the environment moves on",
        more: "`gc` leaves the version, in every environment, until `unpin`. Nothing else changes: releases and promote still move the environment; what stops them is `hold`.",
        usage: "--environment <name> --to <version> [flags]",
        examples: &["pin --environment prod --to 1.4.2"],
    },
    Page {
        group: "Environments",
        name: "unpin",
        does: "Let `gc` delete a version again when nothing needs it",
        more: "From then on `gc` deletes the version when nothing else needs it.",
        usage: "--environment <name> --to <version> [flags]",
        examples: &["unpin --environment prod --to 1.4.2"],
    },
    Page {
        group: "Environments",
        name: "status",
        does: "Show what runs where, since when, by whom; where a rollback goes",
        more: "Without a store it shows what of the checkout is not released yet. --format html gives the release board: one page for a browser, with pictures, that asks nobody for anything.",
        usage: "[flags]",
        examples: &[
            "status",
            "status --environment prod --app web --format json",
            "status --format html",
        ],
    },
    Page {
        group: "Environments",
        name: "gc",
        does: "Delete from the store what no environment, window or pin needs",
        more: "What is live stays, what was live last (keep-releases, keep-days), what is pinned, the newest versions, and all that is younger than 7 days. A version is retired in every environment first, and deleted by a run a day later or more; seals and bytes that nothing names go when they are old. Let it run once a day. It needs no checkout; in one, pkgs.json says what each app keeps. It needs the right to delete, which nothing else does.",
        usage: "[flags]",
        examples: &["gc --dry-run", "gc --keep-releases 20 --keep-days 90"],
    },
    Page {
        group: "Environments",
        name: "pull",
        does: "On a host: run what an environment names; go back if it fails",
        more: "",
        usage: "--once --environment <name> [flags]",
        examples: &["pull --once --environment prod --app web"],
    },
];

/// The command called `name`, as people are told about it.
pub fn find(name: &str) -> Option<&'static Page> {
    COMMANDS.iter().find(|page| page.name == name)
}

/// Whether a command can be told a setting by a flag. A flag that would change nothing is not taken: who gives it believes it does something.
pub fn takes(command: &str, setting: &Setting) -> bool {
    let releases = matches!(command, "plan" | "why" | "release" | "rehearse" | "doctor");
    let aims = matches!(
        command,
        "promote" | "rollback" | "mark-bad" | "pin" | "unpin"
    );
    let moves = matches!(command, "promote" | "rollback");
    if command == "tag" {
        const OWN: [&str; 8] = [
            "filter",
            "mode",
            "branch",
            "branches",
            "remote",
            "tag-format",
            "registry",
            "registry-url",
        ];
        return setting.group == Group::General || OWN.contains(&setting.name);
    }
    if command == "abandon" {
        const OWN: [&str; 8] = [
            "to",
            "reason",
            "branch",
            "branches",
            "remote",
            "tag-format",
            "registry",
            "registry-url",
        ];
        let is_own = OWN.contains(&setting.name) || setting.name.starts_with("store");
        return setting.group == Group::General || is_own;
    }
    if command == "pack" {
        return packs(setting);
    }
    match setting.name {
        "board" => {
            matches!(command, "release" | "status" | "doctor") || Deed::parse(command).is_some()
        }
        "push" => command == "version",
        "artifacts" => matches!(command, "release" | "publish"),
        _ if command == "version" => decides(setting),
        _ if command == "publish" => delivers(setting),
        "environment" | "app" => !releases && command != "gc",
        "to" => aims,
        "from" => command == "promote",
        "reason" => Deed::parse(command).is_some(),
        "actor" => matches!(command, "release" | "gc") || Deed::parse(command).is_some(),
        "keep-releases" => matches!(command, "pull" | "gc"),
        "keep-days" => command == "gc",
        "deltas" => releases || command == "pull",
        "snapshot" => matches!(command, "plan" | "why" | "release"),
        "force" => matches!(command, "promote" | "rollback" | "pull"),
        "static" | "static-url" | "cdn-distribution" | "cdn-command" | "cdn-environment"
        | "registry" | "registry-url" | "registries" | "branch" | "branches" | "remote"
        | "tag-format" => releases || moves,
        "npm-rollback" => moves,
        _ => match setting.group {
            Group::General | Group::Store => true,
            Group::Release | Group::Git | Group::Npm | Group::App => releases,
            Group::Environment => false,
            Group::Host => command == "pull",
        },
    }
}

/// Whether a setting decides what is packed.
fn packs(setting: &Setting) -> bool {
    match setting.group {
        Group::General | Group::Release | Group::App => {
            !matches!(setting.name, "snapshot" | "deltas") && !setting.name.starts_with("keep-")
        }
        Group::Git => decides(setting),
        Group::Npm => !matches!(setting.name, "npm-token" | "access" | "npm-rollback"),
        Group::Store => matches!(setting.name, "store" | "static"),
        Group::Environment | Group::Host => false,
    }
}

/// Whether a setting decides versions.
fn decides(setting: &Setting) -> bool {
    match setting.group {
        Group::General => true,
        Group::Release => !matches!(setting.name, "install" | "build" | "artifacts" | "snapshot"),
        Group::Git => setting.name != "forge-release",
        _ => matches!(setting.name, "registry" | "store"),
    }
}

/// Whether a setting says how decided versions are built and published.
fn delivers(setting: &Setting) -> bool {
    match setting.group {
        Group::General => true,
        Group::Npm => setting.name != "npm-rollback",
        Group::Release => matches!(setting.name, "install" | "build" | "artifacts"),
        Group::Git => !matches!(
            setting.name,
            "commit-message" | "changelog" | "replacements"
        ),
        _ => matches!(
            setting.name,
            "store" | "store-endpoint" | "store-region" | "role-to-assume"
        ),
    }
}

/// Commands that will come: name, and what does the job today.
pub const COMMANDS_TO_COME: &[(&str, &str)] = &[
    (
        "run",
        "`npm run <script> --workspaces --if-present` runs a script in all packages",
    ),
    (
        "on-change",
        "`git diff --name-only <from> <to>` lists the files that differ",
    ),
    (
        "init",
        "a `pkgs.json` that holds `{}` is all that a repository needs",
    ),
];

/// What to do. A command that is here has what it needs: nobody has to ask again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Show what a release would do.
    Plan,
    /// Show why this package is in that, or is not.
    Why(String),
    /// Release.
    Release,
    /// Decide versions, and deliver nothing.
    Version,
    /// Deliver to npm what was decided.
    Publish,
    /// Pack, and publish nothing.
    Pack {
        /// Whether at the planned versions, after install and build.
        planned: bool,
    },
    /// Give a decided release up.
    Abandon(AbandonSettings),
    /// Tag what was released before.
    Tag,
    /// Check what a release needs.
    Doctor,
    /// Release and roll back against local stand-ins.
    Rehearse,
    /// Change what an environment says.
    Point(Deed, PointSettings),
    /// Take packages on npm back to a release, or forward to it, where no environment follows.
    OnNpm(Direction, OnNpmSettings),
    /// Show what runs where.
    Status(StatusSettings),
    /// Install what the pointer names.
    Pull(PullSettings),
    /// Delete what nobody needs from this store.
    Gc(StoreSettings),
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

    /// As a heading names it.
    pub fn title(self) -> &'static str {
        match self {
            Deed::Promote => "Promote",
            Deed::Rollback => "Rollback",
            Deed::Hold => "Hold",
            Deed::Unhold => "Unhold",
            Deed::MarkBad => "Mark-bad",
            Deed::Pin => "Pin",
            Deed::Unpin => "Unpin",
        }
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
    /// Which way packages on npm follow; `None`: they stay.
    pub npm: Option<Direction>,
}

/// Which way packages on npm go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// To what shipped before.
    Back,
    /// To what was left before.
    Forward,
}

impl Direction {
    /// The way of a deed; `None`: packages have none.
    #[must_use]
    pub fn of(deed: Deed) -> Option<Direction> {
        match deed {
            Deed::Rollback => Some(Direction::Back),
            Deed::Promote => Some(Direction::Forward),
            Deed::Hold | Deed::Unhold | Deed::MarkBad | Deed::Pin | Deed::Unpin => None,
        }
    }

    /// The command that goes there.
    #[must_use]
    pub fn command(self) -> &'static str {
        match self {
            Direction::Back => "rollback",
            Direction::Forward => "promote",
        }
    }

    /// As a heading names it.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Direction::Back => Deed::Rollback.title(),
            Direction::Forward => Deed::Promote.title(),
        }
    }
}

/// What `rollback` and `promote` on npm alone are asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OnNpmSettings {
    /// The release: its id, a tag or a version.
    pub to: Option<String>,
    /// Why.
    pub reason: Option<String>,
}

/// What `abandon` is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AbandonSettings {
    /// The release: its id, a tag or a version; `None`: the newest.
    pub to: Option<String>,
    /// Why.
    pub reason: Option<String>,
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
    /// Whether the answer is the release board: a page for a browser.
    pub as_page: bool,
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
    /// Whether deltas are used, and the last archives kept for them.
    pub deltas: bool,
}
