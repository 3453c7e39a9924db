//! What we were asked: raw values first ([`inputs`]), then resolved once into [`Settings`]; every problem is reported at once.
//!
//! | page | what stands there |
//! |---|---|
//! | [`table`] | every setting: its name, meaning, default, who may set it |
//! | [`command`] | every command and what it alone needs |
//! | [`flags`] | the command line, made of these two |
//! | [`given`] | values as they were given, and the name under which they were |
//! | [`inputs`] | flags, `INPUT_*` and `PKGS_*` together |
//! | [`config`] | the configuration file |
//! | [`adopted`] | what files of other release tools say already |
//! | [`replacement`] | what is replaced in further files |
//! | [`identity`] | what a job can prove about itself |
//! | [`provenance`] | signed statements of where packages were built, and what the job's platform tells for them |
//! | [`registries`], [`npmrc`] | where npm packages go and with which credentials, and npm's own settings files |
//! | [`form`], [`address`] | what form a single value has |
//! | `resolve` | all of them into [`Settings`] |

pub mod address;
pub mod adopted;
pub mod command;
pub mod config;
pub mod flags;
pub mod form;
pub mod given;
pub mod identity;
pub mod inputs;
pub mod npmrc;
pub mod provenance;
pub mod registries;
pub mod replacement;
mod resolve;
pub mod runner;
pub mod table;
pub mod variables;

use std::collections::BTreeMap;
use std::path::PathBuf;

use url::Url;

use crate::name::{EnvironmentName, PackageName};
use crate::secret::{BoundSecret, Secret};
use crate::settings::address::StoreAddress;
use crate::settings::adopted::{Adopted, PassedOver, Untaken};
use crate::settings::identity::IdentitySource;
use crate::settings::npmrc::NpmrcFile;
use crate::settings::provenance::{Job, Services, Wanted, Wish};
use crate::settings::registries::Registries;
use crate::settings::replacement::Replacement;
use crate::settings::runner::Runner;
use crate::version::line::{Identifier, Line};
use crate::version::{Bump, Version, ZeroMajor};

pub use crate::settings::command::{
    Apps, Command, Deed, PointSettings, PullSettings, StatusSettings,
};

/// The npm registry's public address: the default of `registry`, and the audience of its identity token. Tarball addresses that start
/// with it are rewritten by npm to whatever registry it was asked with (`replace-registry-host`, default `npmjs`).
pub const PUBLIC_REGISTRY: &str = "https://registry.npmjs.org/";

/// The longest tarball of a package of which nothing else is said, in bytes: more than any that serves its users.
pub const LONGEST_TARBALL: u64 = 256_000_000;

/// Starts an app that says nothing else.
pub const START: &str = "npm run start";
/// Stops an app that says nothing else; does nothing where its `package.json` has no `stop`.
pub const STOP: &str = "npm run stop --if-present";

/// In which form the result is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

/// One version for all, or each its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// All packages share one version.
    Sync,
    /// Each package has its own.
    Diff,
}

impl Mode {
    /// As it is written in settings and plans.
    pub fn as_str(self) -> &'static str {
        match self {
            Mode::Sync => "sync",
            Mode::Diff => "diff",
        }
    }
}

/// How far versions grow.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum BumpRequest {
    /// As the commits say.
    #[default]
    Auto,
    /// Every changed package by this much.
    By(Bump),
    /// Every changed package to a new prerelease, this far above what it holds.
    NewPrerelease(Bump),
    /// Every changed package to its next prerelease.
    Prerelease,
    /// Every prerelease to the release it announces; whatever else changed, as the commits say.
    Graduate,
    /// Every changed package to this version.
    To(Version),
}

/// What says how far packages grow by themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BumpFrom {
    /// Intents alone.
    Intents,
    /// Commits alone; intents are not read.
    Commits,
    /// Intents for the packages that they name, commits for the others.
    #[default]
    Both,
}

impl BumpRequest {
    /// How far a package grows whose own changes ask for `changed`; `None`: to a given version.
    pub fn of(&self, changed: Bump) -> Option<Bump> {
        match self {
            BumpRequest::Auto | BumpRequest::Graduate => Some(changed),
            BumpRequest::By(bump) | BumpRequest::NewPrerelease(bump) => Some(*bump),
            BumpRequest::Prerelease => Some(Bump::Patch),
            BumpRequest::To(_) => None,
        }
    }
}

/// Which packages `prerelease` is about, and what it says of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OnPrerelease {
    /// A name or a directory glob; `None`: all packages.
    pub packages: Option<String>,
    /// The identifier; `None`: they get no prereleases.
    pub identifier: Option<Identifier>,
}

/// Which packages `max-package-size` is about, and how long their tarballs may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MostBytes {
    /// A name or a directory glob; `None`: all packages.
    pub packages: Option<String>,
    /// That many bytes.
    pub bytes: u64,
}

/// What a left peer range does to the package that declares it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeerPolicy {
    /// It grows this much.
    Bump(Bump),
    /// Nothing.
    Never,
}

/// Where the notes of a release are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Changelog {
    /// Beside each package's manifest.
    Packages,
    /// Beside the workspace's manifest.
    Root,
    /// To all of these.
    Both,
    /// To no file.
    None,
}

/// How dependencies are installed before the build.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Install {
    /// Only where `node_modules` is missing, the lockfile-exact command.
    #[default]
    Auto,
    /// Not at all.
    None,
    /// With this command.
    Command(String),
}

/// Who may see a package.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Everyone.
    Public,
    /// Those who were given access.
    Restricted,
}

impl Access {
    /// As npm writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Access::Public => "public",
            Access::Restricted => "restricted",
        }
    }
}

/// How libraries reach npm.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum NpmPublish {
    /// They are published.
    #[default]
    Direct,
    /// They are staged: a person's approval publishes them.
    Stage,
    /// They do not: they are versioned and tagged only.
    None,
}

/// What becomes of names that are not on the registry yet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum FirstPublish {
    /// They are published, where that is possible.
    #[default]
    Allow,
    /// They stay out of the release, with what depends on them.
    Skip,
    /// They refuse the release.
    Fail,
}

/// By whose rules files are chosen for a package.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum NpmRules {
    /// Those of npm 12: `files` are globs, one after the other.
    #[default]
    Npm12,
    /// Those of npm 11: `files` are lines of an ignore file, and a file that is named is in.
    Npm11,
}

impl NpmRules {
    /// As the setting names them.
    pub fn as_str(self) -> &'static str {
        match self {
            NpmRules::Npm12 => "12",
            NpmRules::Npm11 => "11",
        }
    }
}

/// What becomes of a run whose commit is no longer the branch's tip.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum WhenMoved {
    /// A later run releases.
    #[default]
    Superseded,
    /// It releases its commit, and the branch gets a merge of that with what others pushed.
    Merge,
}

/// What kind of app a package was declared to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AppKind {
    /// Runs on hosts.
    Service,
    /// Is served as files.
    Static,
}

/// How archives are compressed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Compress {
    /// `.tar.zst`.
    #[default]
    Zst,
    /// `.tar.gz`.
    Gz,
    /// `.tar.zst`, and the same tar as `.tar.gz`.
    Both,
}

impl Compress {
    /// As it is set.
    pub fn as_str(self) -> &'static str {
        match self {
            Compress::Zst => "zst",
            Compress::Gz => "gz",
            Compress::Both => "both",
        }
    }
}

/// An app's settings, resolved.
#[derive(Debug, Clone)]
pub struct AppSettings {
    /// The configuration that has an entry for it.
    pub declared_in: Option<String>,
    /// `type`, where the configuration names it.
    pub kind: Option<AppKind>,
    /// Its build command, verbatim.
    pub build: Option<String>,
    /// For which environments it is built, where the build names `{environment}`.
    pub build_for: Vec<EnvironmentName>,
    /// What goes into the archive; `None` is the default list.
    pub include: Option<Vec<String>>,
    /// The directory of static files; `None`: `dist`, if it exists.
    pub dist: Option<String>,
    /// Globs of files of `dist` that also go into the archive.
    pub dist_in_archive: Vec<String>,
    /// The encodings of its archive.
    pub compress: Compress,
    /// Whether deltas between its archives are made.
    pub deltas: bool,
    /// Starts it.
    pub start: String,
    /// Stops it.
    pub stop: String,
    /// Tells it its environment.
    pub environment_variable: String,
    /// Its environments.
    pub environments: Vec<EnvironmentName>,
    /// The ones that a release activates by itself.
    pub auto: Vec<EnvironmentName>,
    /// The address that answers when it is healthy.
    pub health: Option<String>,
    /// Globs of static files that never change.
    pub immutable: Vec<String>,
    /// Globs of static files that may change.
    pub mutable: Vec<String>,
    /// How many versions stay besides the live one.
    pub keep_releases: usize,
    /// For how many days what was live stays.
    pub keep_days: usize,
}

impl AppSettings {
    /// The configuration that has an entry for it, for messages.
    pub fn file(&self) -> &str {
        self.declared_in.as_deref().unwrap_or("the configuration")
    }
}

/// Where npm packages go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RegistryAddress {
    /// An npm registry.
    Npm(Url),
    /// A directory that any static server can serve to npm.
    Directory {
        /// The directory.
        path: PathBuf,
        /// Where it will be served.
        url: Option<Url>,
    },
}

impl RegistryAddress {
    /// The public registry.
    pub fn public() -> RegistryAddress {
        RegistryAddress::Npm(
            Url::parse(PUBLIC_REGISTRY).unwrap_or_else(|error| {
                unreachable!("the default registry is an address: {error}")
            }),
        )
    }
}

/// A store's address and how to reach it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreSettings {
    /// Where it is.
    pub address: StoreAddress,
    /// An S3-compatible server.
    pub endpoint: Option<Url>,
    /// Its region.
    pub region: Option<String>,
    /// The role that the job assumes to reach it; without one, what the usual chain of AWS says.
    pub role: Option<Role>,
}

/// A role of AWS that a job assumes by its identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    /// Its name: `arn:aws:iam::<account>:role/<name>`.
    pub arn: String,
    /// Where the job's identity comes from.
    pub identity: IdentitySource,
    /// What the session is called in AWS's own records: letters, digits and `=,.@-_`, 2 to 64 of them.
    pub session: String,
}

/// What hears which static files changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CdnSettings {
    /// Ids of `CloudFront` distributions by environment, `None` where there is none; under `None` that of every environment that is not named.
    pub distributions: BTreeMap<Option<EnvironmentName>, Option<String>>,
    /// A command for the shell that tells another CDN.
    pub command: Choice<String>,
    /// Variables that the command sees beside what every child sees; an empty value: it is not set.
    pub variables: BTreeMap<String, String>,
}

/// Where the release board is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BoardPlace {
    /// Into the store, beside what it tells of.
    Store,
    /// To this address, as the page that is shown there.
    At(Box<StoreSettings>),
}

/// A setting that may be said to be off.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Choice<T> {
    /// Nothing was said.
    #[default]
    Unset,
    /// `none` was said.
    Off,
    /// This was said.
    On(T),
}

impl<T> Choice<T> {
    /// The value, where one was said.
    pub fn value(&self) -> Option<&T> {
        match self {
            Choice::On(value) => Some(value),
            Choice::Unset | Choice::Off => None,
        }
    }
}

/// Everything we were asked, resolved and checked.
#[derive(Debug, Clone)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a setting of its own"
)]
pub struct Settings {
    /// The command.
    pub command: Command,
    /// Whether the person named the command, or the rules for a run without one did.
    pub command_named: bool,
    /// Why the command was chosen, where it was not named.
    pub command_reason: Option<String>,
    /// The directory of the workspace.
    pub directory: PathBuf,
    /// Do everything but the writes.
    pub dry_run: bool,
    /// The form of the result.
    pub format: Format,
    /// Requests at once.
    pub max_concurrency: usize,
    /// The forge's token.
    pub token: Option<Secret>,
    /// How dependencies are installed.
    pub install: Install,
    /// Builds the whole repository.
    pub build: Option<String>,
    /// One version for all or each its own; `None`: what the repository says.
    pub mode: Option<Mode>,
    /// What files of other release tools decided.
    pub adopted: Vec<Adopted>,
    /// What files of other tools say that no setting of ours can say, and nothing of ours does.
    pub passed_over: Vec<PassedOver>,
    /// What files of other release tools say that no setting takes over.
    pub untaken: Vec<Untaken>,
    /// Names or directory globs; `!` excludes.
    pub filter: Vec<String>,
    /// The ref to compare with.
    pub base: Option<String>,
    /// Files that do not count as a change.
    pub ignore: Vec<String>,
    /// How far versions grow.
    pub bump: BumpRequest,
    /// What says how far packages grow by themselves.
    pub bump_from: BumpFrom,
    /// Which packages get prereleases; the last entry that is about a package decides.
    pub prerelease: Vec<OnPrerelease>,
    /// What is released is a snapshot of this name.
    pub snapshot: Option<Identifier>,
    /// Below 1.0.0.
    pub zero_major: ZeroMajor,
    /// A left peer range.
    pub peer: PeerPolicy,
    /// The most that a version may grow.
    pub max_bump: Bump,
    /// Groups of packages that are released together, at one version: names or directory globs.
    pub fixed: Vec<Vec<String>>,
    /// Groups of packages of which those that are released get one version.
    pub linked: Vec<Vec<String>>,
    /// The release branches; empty: the default branch.
    pub branches: Vec<String>,
    /// What further release branches are for.
    pub lines: BTreeMap<String, Line>,
    /// The remote that decides.
    pub remote: String,
    /// The remotes that follow it.
    pub mirrors: Vec<String>,
    /// What becomes of a run when others pushed meanwhile.
    pub when_moved: WhenMoved,
    /// Whether what `version` decides is pushed; else commit and tags are made here only.
    pub push: bool,
    /// Message of the release commit.
    pub commit_message: String,
    /// Form of the tags; `None`: by mode.
    pub tag_format: Option<String>,
    /// Where the notes of a release are written; `None`: by mode.
    pub changelog: Option<Changelog>,
    /// What the release commit replaces in further files.
    pub replacements: Vec<Replacement>,
    /// Make forge releases.
    pub forge_release: bool,
    /// Where npm packages go.
    pub registry: RegistryAddress,
    /// What else was said about registries, and the credentials of all.
    pub registries: Registries,
    /// The npm credential, bound to the registry's origin.
    pub npm_token: Option<BoundSecret>,
    /// The name under which it was given.
    pub npm_token_from: Option<String>,
    /// What the job can prove about itself to the registry, where no credential is given.
    pub identity: Option<IdentitySource>,
    /// How libraries reach npm.
    pub npm_publish: NpmPublish,
    /// What becomes of names that are not on the registry yet.
    pub first_publish: FirstPublish,
    /// Whether packages get a signed statement of where they were built; where it does not say so, packages and npm's settings do.
    pub provenance: Wanted,
    /// What npm's own settings say about that, and where.
    pub npm_provenance: Wish,
    /// The job, as such statements tell of it.
    pub job: Job,
    /// What signs and logs them.
    pub services: Services,
    /// The dist-tag.
    pub npm_tag: Option<String>,
    /// Who may see new packages.
    pub access: Option<Access>,
    /// Who may see those that do not say it themselves, as another tool has it.
    pub access_otherwise: Option<Access>,
    /// Where `pack` writes tarballs and archives, and where `release` and `publish` take them from.
    pub artifacts: Option<PathBuf>,
    /// Run lifecycle scripts while packing.
    pub scripts: bool,
    /// By whose rules files are chosen for packages.
    pub npm_rules: NpmRules,
    /// Whether libraries may depend on git and on addresses.
    pub git_dependencies: bool,
    /// Globs of files that look like keys and are published all the same.
    pub key_files: Vec<String>,
    /// How long tarballs may be; the last entry that is about a package decides.
    pub max_package_size: Vec<MostBytes>,
    /// Where archives and manifests live.
    pub store: Choice<StoreSettings>,
    /// Where static files are served from; may hold `{app}` and `{environment}`.
    pub static_root: Choice<String>,
    /// Their public address; may hold `{app}` and `{environment}`.
    pub static_url: Option<String>,
    /// What hears which of them changed.
    pub cdn: CdnSettings,
    /// Where the release board is written after every change of an environment.
    pub board: Option<BoardPlace>,
    /// Apps' settings by package, where the configuration names them.
    pub apps: BTreeMap<PackageName, AppSettings>,
    /// The settings of an app that the configuration does not name.
    pub app_defaults: AppSettings,
    /// Who, for the record; `None` where only git knows.
    pub actor: Option<String>,
    /// Where we run.
    pub runner: Runner,
    /// Where packages are, in a repository of the older tool this one follows, if nothing else lists them.
    pub packages_path: Option<Vec<String>>,
    /// Whether the repository has a configuration.
    pub opted_in: bool,
    /// When we started, seconds since 1970, UTC.
    pub now: i64,
    /// The environment for children, secrets taken out.
    pub child_environment: BTreeMap<String, String>,
    /// The whole environment but our own variables and credentials: for git with a person's own configuration, and for a service on its own host.
    pub person_environment: BTreeMap<String, String>,
    /// A number that differs between runs.
    pub nonce: u128,
}

/// What `Settings::resolve` needs from the world besides the values.
#[derive(Debug, Clone, Default)]
pub struct World {
    /// The directory of the workspace.
    pub directory: PathBuf,
    /// All environment variables.
    pub environment: BTreeMap<String, String>,
    /// The runner's facts.
    pub runner: Runner,
    /// Seconds since 1970, UTC.
    pub now: i64,
    /// A number that differs between runs.
    pub nonce: u128,
    /// The machine's host name.
    pub host_name: Option<String>,
    /// npm's own settings files.
    pub npmrc: Vec<NpmrcFile>,
    /// The user's, where a variable names it and it is not there.
    pub absent_npmrc: Option<PathBuf>,
}

impl Settings {
    /// Who may see a package that declares this itself; `None`: npm decides. What another tool's file says for all is `restricted` for
    /// names with a scope only: [npm](https://docs.npmjs.com/cli/v11/commands/npm-publish#access) refuses that for others.
    pub fn access_of(&self, name: &PackageName, declared: Option<Access>) -> Option<Access> {
        let otherwise = self.access_otherwise;
        let otherwise =
            otherwise.filter(|access| *access == Access::Public || name.scope().is_some());
        self.access.or(declared).or(otherwise)
    }

    /// Whether a package that declares this itself gets a signed statement of where it was built. As in npm, what the package says comes before
    /// variables and files.
    pub fn provenance_of(&self, declared: Wanted) -> Wish {
        match (self.provenance, declared) {
            (Wanted::ByNpmsRule, Wanted::ByNpmsRule) => self.npm_provenance.clone(),
            (Wanted::ByNpmsRule, wanted) => Wish {
                wanted,
                said: "publishConfig.provenance".to_owned(),
            },
            (wanted, _) => Wish::of_setting(wanted),
        }
    }

    /// The file of another tool that decided a setting.
    pub fn adopted_from(&self, setting: &str) -> Option<&str> {
        let adopted = self
            .adopted
            .iter()
            .find(|adopted| adopted.setting == setting);
        adopted.map(|adopted| adopted.file.as_str())
    }

    /// All release branches, where `own` are those that are for no line of their own.
    pub fn release_branches(&self, own: Vec<String>) -> Vec<String> {
        let further = self.lines.keys().filter(|branch| !own.contains(branch));
        let further: Vec<String> = further.cloned().collect();
        own.into_iter().chain(further).collect()
    }

    /// What a setting is called where it was set: in a file of another tool it has another name.
    pub fn spelled(&self, setting: &str) -> String {
        let mut adopted = self.adopted.iter();
        let adopted = adopted.find(|adopted| adopted.setting == setting);
        adopted.map_or_else(
            || setting.to_owned(),
            |Adopted { key, file, .. }| format!("{key} in {file}"),
        )
    }

    /// How long the tarball of a package may be; `is_about` tells whether a name or directory glob means it.
    pub fn longest_tarball(&self, is_about: impl Fn(&str) -> bool) -> u64 {
        let mut entries = self.max_package_size.iter().rev();
        let about = entries.find(|entry| entry.packages.as_deref().is_none_or(&is_about));
        about.map_or(LONGEST_TARBALL, |entry| entry.bytes)
    }

    /// The settings of an app.
    pub fn app_settings(&self, name: &PackageName) -> &AppSettings {
        self.apps.get(name).unwrap_or(&self.app_defaults)
    }

    /// Chooses the command of a run that named none: `release` where one is due, else `plan`. `current` and `default` are the branch checked out and the release branches.
    pub fn choose_command(&mut self, current: Option<&str>, release_branches: &[String]) {
        if self.command_named {
            return;
        }
        let event = self.runner.event.as_deref();
        let reason = if !self.opted_in {
            "the repository has no pkgs.json and no `pkgs` field in package.json: create one (an empty `{}` will do) to turn releases on".to_owned()
        } else if !self.runner.is_actions {
            "outside a workflow only a named command releases: `pkgs-action release`".to_owned()
        } else if !matches!(event, Some("push" | "schedule" | "workflow_dispatch"))
            || !self.runner.may_release()
        {
            format!("a {} event never releases", event.unwrap_or("nameless"))
        } else if !current
            .is_some_and(|current| release_branches.iter().any(|branch| branch == current))
        {
            format!(
                "{} is not a release branch ({})",
                current.unwrap_or("this ref"),
                release_branches.join(", ")
            )
        } else {
            self.command = Command::Release;
            return;
        };
        self.command = Command::Plan;
        self.command_reason = Some(reason);
    }
}
