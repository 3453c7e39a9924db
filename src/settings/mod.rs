//! What we were asked: raw values first ([`inputs`]), then resolved once into [`Settings`]; every problem is reported at once.

pub mod address;
pub mod config;
pub mod flags;
pub mod inputs;
pub mod runner;
pub mod table;

use std::collections::BTreeMap;
use std::path::PathBuf;

use url::Url;

use crate::explain::{Exit, Failure, quoted};
use crate::name::{EnvironmentName, PackageName};
use crate::secret::{BoundSecret, Secret};
use crate::settings::address::StoreAddress;
use crate::settings::config::Config;
use crate::settings::inputs::{Given, Inputs, boolean, list};
use crate::settings::runner::Runner;
use crate::version::{Bump, Version, ZeroMajor};

/// The npm registry's public address: the default of `registry`, and the audience of its identity token. Tarball addresses that start
/// with it are rewritten by npm to whatever registry it was asked with (`replace-registry-host`, default `npmjs`).
pub const PUBLIC_REGISTRY: &str = "https://registry.npmjs.org/";

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Show what a release would do.
    Plan,
    /// Release.
    Release,
    /// Release and roll back against local stand-ins.
    Rehearse,
    /// Point an environment at a version.
    Promote,
    /// Point an environment at its last good version.
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
    /// Show what runs where.
    Status,
    /// Install what the pointer names.
    Pull,
}

impl Command {
    /// The command called `name`.
    pub fn parse(name: &str) -> Option<Command> {
        Some(match name {
            "plan" => Command::Plan,
            "release" => Command::Release,
            "rehearse" => Command::Rehearse,
            "promote" => Command::Promote,
            "rollback" => Command::Rollback,
            "hold" => Command::Hold,
            "unhold" => Command::Unhold,
            "mark-bad" => Command::MarkBad,
            "pin" => Command::Pin,
            "unpin" => Command::Unpin,
            "status" => Command::Status,
            "pull" => Command::Pull,
            _ => return None,
        })
    }
}

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
    /// Every changed package to this version.
    To(Version),
}

/// What a left peer range does to the package that declares it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeerPolicy {
    /// It grows this much.
    Bump(Bump),
    /// Nothing.
    Never,
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

/// What kind of app a package was declared to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AppKind {
    /// Runs on hosts.
    Service,
    /// Is served as files.
    Static,
}

/// An app's settings, resolved.
#[derive(Debug, Clone)]
pub struct AppSettings {
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

/// A store's address and how to reach it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreSettings {
    /// Where it is.
    pub address: StoreAddress,
    /// An S3-compatible server.
    pub endpoint: Option<Url>,
    /// Its region.
    pub region: Option<String>,
}

/// A setting that may be said to be off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice<T> {
    /// Nothing was said.
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
    /// Names or directory globs; `!` excludes.
    pub filter: Vec<String>,
    /// The ref to compare with.
    pub base: Option<String>,
    /// Files that do not count as a change.
    pub ignore: Vec<String>,
    /// How far versions grow.
    pub bump: BumpRequest,
    /// Below 1.0.0.
    pub zero_major: ZeroMajor,
    /// A left peer range.
    pub peer: PeerPolicy,
    /// The release branches; empty: the default branch.
    pub branches: Vec<String>,
    /// The remote that decides.
    pub remote: String,
    /// Message of the release commit.
    pub commit_message: String,
    /// Form of the tags; `None`: by mode.
    pub tag_format: Option<String>,
    /// Make forge releases.
    pub forge_release: bool,
    /// Where npm packages go.
    pub registry: RegistryAddress,
    /// The npm credential, bound to the registry's origin.
    pub npm_token: Option<BoundSecret>,
    /// The dist-tag.
    pub npm_tag: Option<String>,
    /// Who may see new packages.
    pub access: Option<Access>,
    /// Run lifecycle scripts while packing.
    pub scripts: bool,
    /// Where archives and manifests live.
    pub store: Choice<StoreSettings>,
    /// Where static files are served from; may hold `{app}` and `{environment}`.
    pub static_root: Choice<String>,
    /// Apps' settings by package, where the configuration names them.
    pub apps: BTreeMap<PackageName, AppSettings>,
    /// The settings of an app that the configuration does not name.
    pub app_defaults: AppSettings,
    /// The environment.
    pub environment: Option<EnvironmentName>,
    /// The apps; empty: the only one.
    pub app: Vec<String>,
    /// A version, release id, sequence number or `previous`.
    pub to: Option<String>,
    /// Another environment.
    pub from: Option<EnvironmentName>,
    /// Why.
    pub reason: Option<String>,
    /// Who; `None` where only git knows.
    pub actor: Option<String>,
    /// Override held, bad, not a descendant.
    pub force: bool,
    /// `pull --once`.
    pub once: bool,
    /// The directory that holds the apps.
    pub host_directory: PathBuf,
    /// The directory that holds their logs.
    pub log_directory: PathBuf,
    /// The host's name.
    pub host_name: Option<String>,
    /// How many releases a host keeps.
    pub keep_releases: usize,
    /// Where we run.
    pub runner: Runner,
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
}

/// Collects problems while values are resolved, so that all are reported at once.
struct Resolver<'a> {
    inputs: &'a Inputs,
    problems: Vec<Failure>,
}

impl Resolver<'_> {
    fn text(&self, setting: &str) -> Option<String> {
        self.inputs.get(setting).map(|given| given.value.clone())
    }

    fn list(&self, setting: &str) -> Vec<String> {
        self.inputs
            .get(setting)
            .map(|given| list(&given.value))
            .unwrap_or_default()
    }

    fn boolean(&mut self, setting: &str, default: bool) -> bool {
        self.checked(setting, |given| boolean(given, setting))
            .unwrap_or(default)
    }

    /// The value through `check`; its failure becomes one of the problems, under the name the person used.
    fn checked<T>(
        &mut self,
        setting: &str,
        check: impl FnOnce(&Given) -> Result<T, Failure>,
    ) -> Option<T> {
        let given = self.inputs.get(setting)?;
        match check(given) {
            Ok(value) => Some(value),
            Err(failure) => {
                self.problems.push(failure);
                None
            }
        }
    }

    fn one_of<T: Copy>(&mut self, setting: &str, choices: &[(&str, T)]) -> Option<T> {
        self.checked(setting, |given| {
            choices
                .iter()
                .find(|(name, _)| *name == given.value)
                .map(|(_, value)| *value)
                .ok_or_else(|| {
                    let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
                    let failure = Failure::new(
                        Exit::Usage,
                        "settings::choice",
                        format!(
                            "{} is {}, not one of {}",
                            given.name(setting),
                            quoted(&given.value),
                            names.join(", ")
                        ),
                    );
                    match inputs::nearest(&given.value, names.iter().copied()) {
                        Some(near) => failure.hint(format!("did you mean {near}?")),
                        None => failure.hint(format!("write {}", names.join(" or "))),
                    }
                })
        })
    }

    fn environment_names(
        &mut self,
        setting: &str,
        given: Option<&Given>,
    ) -> Option<Vec<EnvironmentName>> {
        let given = given?;
        let mut names = Vec::new();
        for text in list(&given.value) {
            match EnvironmentName::parse(&text) {
                Ok(name) => names.push(name),
                Err(failure) => self.problems.push(named(given, setting, &failure)),
            }
        }
        Some(names)
    }

    fn url(&mut self, setting: &str) -> Option<Url> {
        self.checked(setting, |given| parse_url(given, setting))
    }

    fn number(
        &mut self,
        setting: &str,
        range: std::ops::RangeInclusive<usize>,
        default: usize,
    ) -> usize {
        self.checked(setting, |given| {
            given
                .value
                .parse()
                .ok()
                .filter(|number| range.contains(number))
                .ok_or_else(|| {
                    Failure::new(
                        Exit::Usage,
                        "settings::number",
                        format!(
                            "{} is {}, not a number from {} to {}",
                            given.name(setting),
                            quoted(&given.value),
                            range.start(),
                            range.end()
                        ),
                    )
                })
        })
        .unwrap_or(default)
    }

    /// An app's settings: what flags and environment say, else what its entry in the file says, else what the file says for all, else the default.
    fn app(&mut self, entry: Option<&BTreeMap<&'static str, Given>>) -> AppSettings {
        let inputs = self.inputs;
        let given = |setting: &'static str| -> Option<&Given> {
            let own = entry.and_then(|entry| entry.get(setting));
            match (inputs.get(setting), own) {
                (Some(outer), Some(own)) if matches!(outer.source, inputs::Source::File { .. }) => {
                    Some(own)
                }
                (Some(outer), _) => Some(outer),
                (None, own) => own,
            }
        };
        let text = |setting: &'static str| {
            given(setting)
                .map(|given| given.value.clone())
                .filter(|value| value != "none")
        };
        let lists = |setting: &'static str| given(setting).map(|given| list(&given.value));
        let environments = self
            .environment_names("environments", given("environments"))
            .unwrap_or_else(default_environments);
        let build_for = self
            .environment_names("build-for", given("build-for"))
            .unwrap_or_else(|| environments.clone());
        let auto = self
            .environment_names("auto", given("auto"))
            .unwrap_or_default();
        for (setting, names) in [("auto", &auto), ("build-for", &build_for)] {
            for name in names.iter().filter(|name| !environments.contains(name)) {
                let known: Vec<&str> = environments.iter().map(EnvironmentName::as_str).collect();
                let spelled =
                    given(setting).map_or_else(|| setting.to_owned(), |given| given.name(setting));
                self.problems.push(
                    Failure::new(
                        Exit::Usage,
                        "settings::unknown_environment",
                        format!("{spelled} names {name}, which is none of the environments"),
                    )
                    .hint(format!("the environments are {}", known.join(", "))),
                );
            }
        }
        let kind = entry.and_then(|entry| entry.get("type")).and_then(|given| {
            match given.value.as_str() {
                "service" => Some(AppKind::Service),
                "static" => Some(AppKind::Static),
                other => {
                    self.problems.push(Failure::new(
                        Exit::Usage,
                        "settings::choice",
                        format!(
                            "{} is {}, not one of service, static",
                            given.name("type"),
                            quoted(other)
                        ),
                    ));
                    None
                }
            }
        });
        if let Some(given) =
            given("environment-variable").filter(|given| !is_variable(&given.value))
        {
            self.problems.push(
                Failure::new(
                    Exit::Usage,
                    "settings::variable",
                    format!(
                        "{} is {}, which cannot tell an app its environment",
                        given.name("environment-variable"),
                        quoted(&given.value)
                    ),
                )
                .hint("use letters, digits and '_', and no name that programs give a meaning of their own: SERVER_ENV"),
            );
        }
        if let Some(given) = given("health").filter(|given| !is_health_address(&given.value)) {
            self.problems.push(
                Failure::new(
                    Exit::Usage,
                    "settings::health",
                    format!(
                        "{} is {}, which is no health address",
                        given.name("health"),
                        quoted(&given.value)
                    ),
                )
                .because("a host asks its own service only, by http on a loopback address")
                .hint("write it like http://127.0.0.1:8080/health"),
            );
        }
        AppSettings {
            kind,
            build: entry
                .and_then(|entry| entry.get("build"))
                .map(|given| given.value.clone())
                .filter(|command| command != "none"),
            build_for,
            include: lists("include"),
            dist: text("dist"),
            dist_in_archive: lists("dist-in-archive").unwrap_or_default(),
            start: text("start").unwrap_or_else(|| "npm run start".to_owned()),
            stop: text("stop").unwrap_or_else(|| "npm run stop --if-present".to_owned()),
            environment_variable: text("environment-variable")
                .unwrap_or_else(|| "SERVER_ENV".to_owned()),
            environments,
            auto,
            health: text("health"),
            immutable: lists("immutable").unwrap_or_default(),
            mutable: lists("mutable").unwrap_or_default(),
        }
    }
}

/// A name of a variable, and none by which the loader, the shell or Node would behave differently.
fn is_variable(name: &str) -> bool {
    const TAKEN: [&str; 5] = ["PATH", "HOME", "NODE_OPTIONS", "RELEASE_ID", "PORT"];
    name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name
            .chars()
            .all(|character| character.is_ascii_alphanumeric() || character == '_')
        && !name.starts_with("LD_")
        && !TAKEN.contains(&name)
}

fn is_health_address(text: &str) -> bool {
    Url::parse(text).is_ok_and(|url| url.scheme() == "http" && is_loopback(&url))
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(domain)) => domain == "localhost",
        None => false,
    }
}

fn default_environments() -> Vec<EnvironmentName> {
    ["stable", "sit", "pre", "prod"]
        .into_iter()
        .filter_map(|name| EnvironmentName::parse(name).ok())
        .collect()
}

/// A failure about a value, under the name the person used.
fn named(given: &Given, setting: &str, failure: &Failure) -> Failure {
    let renamed = Failure::new(
        Exit::Usage,
        failure.code(),
        format!("{}: {}", given.name(setting), failure.what()),
    );
    match failure.advice() {
        Some(hint) => renamed.hint(hint),
        None => renamed,
    }
}

/// An http(s) address without credentials in it; plain http only on loopback.
fn parse_url(given: &Given, setting: &str) -> Result<Url, Failure> {
    let refuse = |why: &str| {
        Failure::new(
            Exit::Usage,
            "settings::url",
            format!("{} is not an address: {why}", given.name(setting)),
        )
    };
    let mut text = given.value.clone();
    if !text.ends_with('/') {
        text.push('/');
    }
    let url = Url::parse(&text).map_err(|error| refuse(&error.to_string()))?;
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() {
        return Err(refuse("it must not carry a user, a password or a query")
            .hint("give credentials through their own settings"));
    }
    let is_loopback = is_loopback(&url);
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_loopback => Ok(url),
        "http" => Err(refuse("plain http is for this machine only").hint("use https://")),
        _ => Err(refuse("it starts with https://")),
    }
}

impl Settings {
    /// Resolves raw values. `collected` comes from the command line and the environment; `file` is the configuration file's name and text, with the field to look into.
    pub fn resolve(
        collected: inputs::Collected,
        files: &[(String, String, Option<&str>)],
        world: World,
    ) -> Result<Settings, Failure> {
        let inputs::Collected {
            command,
            mut inputs,
            once,
            mut problems,
        } = collected;
        let mut config = Config::default();
        for (file, text, field) in files {
            let read = config::read(file, text, *field, &mut inputs, &mut problems);
            config.opted_in |= read.opted_in;
            config.apps.extend(read.apps);
        }
        inputs.empty_nones();
        let mut resolver = Resolver {
            inputs: &inputs,
            problems,
        };
        let World {
            directory,
            environment,
            runner,
            now,
            nonce,
            host_name,
        } = world;

        let named_command = command.as_deref().and_then(Command::parse);
        if named_command.is_none()
            && let Some(name) = &command
        {
            resolver.problems.push(Failure::new(
                Exit::Usage,
                "settings::command",
                format!("{} is not a command", quoted(name)),
            ));
        }
        let registry = resolve_registry(&mut resolver);
        let npm_token = secret(
            &mut resolver,
            "npm-token",
            &environment,
            &["NODE_AUTH_TOKEN", "NPM_TOKEN"],
        )
        .and_then(|secret| match &registry {
            RegistryAddress::Npm(url) => Some(BoundSecret::new(secret, url)),
            RegistryAddress::Directory { .. } => None,
        });
        let token = secret(
            &mut resolver,
            "token",
            &environment,
            &["GITHUB_TOKEN", "GH_TOKEN"],
        );
        let app_defaults = resolver.app(None);
        let apps = config
            .apps
            .iter()
            .map(|(name, entry)| (name.clone(), resolver.app(Some(entry))))
            .collect();
        let environment_name = resolver.checked("environment", |given| {
            EnvironmentName::parse(&given.value)
                .map_err(|failure| named(given, "environment", &failure))
        });
        let from = resolver.checked("from", |given| {
            EnvironmentName::parse(&given.value).map_err(|failure| named(given, "from", &failure))
        });
        let needs_environment = matches!(
            named_command,
            Some(
                Command::Promote
                    | Command::Rollback
                    | Command::Hold
                    | Command::Unhold
                    | Command::MarkBad
                    | Command::Pin
                    | Command::Unpin
                    | Command::Pull
            )
        );
        if needs_environment
            && environment_name.is_none()
            && resolver.inputs.get("environment").is_none()
        {
            resolver.problems.push(
                Failure::new(
                    Exit::Usage,
                    "settings::missing",
                    format!(
                        "`{}` needs an environment",
                        command.as_deref().unwrap_or_default()
                    ),
                )
                .hint("name it with --environment, PKGS_ENVIRONMENT or the input environment"),
            );
        }
        let store = resolve_store(&mut resolver, &environment);
        if needs_environment && store.value().is_none() && resolver.inputs.get("store").is_none() {
            resolver.problems.push(Failure::new(Exit::Usage, "settings::missing", format!("`{}` needs a store", command.as_deref().unwrap_or_default())).hint("name it with --store, PKGS_STORE or the input store: s3://bucket/prefix or file:///dir"));
        }
        // The log starts before everything is resolved, so it can only be judged here.
        resolver.one_of(
            "log-level",
            &[("error", ()), ("warn", ()), ("info", ()), ("debug", ())],
        );
        let settings = Settings {
            command: named_command.unwrap_or(Command::Plan),
            command_named: named_command.is_some(),
            command_reason: None,
            dry_run: resolver.boolean("dry-run", false),
            format: resolver
                .one_of("format", &[("text", Format::Text), ("json", Format::Json)])
                .unwrap_or_default(),
            max_concurrency: resolver.number("max-concurrency", 1..=256, 16),
            token,
            install: match resolver.text("install").as_deref() {
                None | Some("auto") => Install::Auto,
                Some("none") => Install::None,
                Some(command) => Install::Command(command.to_owned()),
            },
            build: resolver.text("build").filter(|command| command != "none"),
            mode: resolver.one_of(
                "mode",
                &[
                    ("sync", Mode::Sync),
                    ("diff", Mode::Diff),
                    ("fixed", Mode::Sync),
                    ("independent", Mode::Diff),
                ],
            ),
            filter: resolver.list("filter"),
            base: resolver.text("base"),
            ignore: resolver.list("ignore"),
            bump: resolver.checked("bump", parse_bump).unwrap_or_default(),
            zero_major: resolver
                .one_of(
                    "zero-major",
                    &[("shift", ZeroMajor::Shift), ("strict", ZeroMajor::Strict)],
                )
                .unwrap_or_default(),
            peer: resolver
                .one_of(
                    "peer",
                    &[
                        ("patch", PeerPolicy::Bump(Bump::Patch)),
                        ("minor", PeerPolicy::Bump(Bump::Minor)),
                        ("major", PeerPolicy::Bump(Bump::Major)),
                        ("never", PeerPolicy::Never),
                    ],
                )
                .unwrap_or(PeerPolicy::Bump(Bump::Patch)),
            branches: resolver.list("branch"),
            remote: resolver
                .text("remote")
                .unwrap_or_else(|| "origin".to_owned()),
            commit_message: resolver
                .checked("commit-message", parse_message)
                .unwrap_or_else(|| "chore: version {version}".to_owned()),
            tag_format: resolver.checked("tag-format", parse_tag_format),
            forge_release: resolver.boolean("forge-release", true),
            registry,
            npm_token,
            npm_tag: resolver.checked("npm-tag", parse_dist_tag),
            access: resolver.one_of(
                "access",
                &[
                    ("public", Access::Public),
                    ("restricted", Access::Restricted),
                ],
            ),
            scripts: resolver
                .one_of("scripts", &[("run", true), ("skip", false)])
                .unwrap_or(true),
            store,
            static_root: resolve_static(&mut resolver),
            apps,
            app_defaults,
            environment: environment_name,
            app: resolver.list("app"),
            to: resolver.text("to"),
            from,
            reason: resolver.text("reason"),
            actor: resolver.text("actor").or_else(|| runner.actor.clone()),
            force: resolver.boolean("force", false),
            once,
            host_directory: PathBuf::from(
                resolver
                    .text("host-directory")
                    .unwrap_or_else(|| "/home/app".to_owned()),
            ),
            log_directory: PathBuf::from(
                resolver
                    .text("log-directory")
                    .unwrap_or_else(|| "/home/logs".to_owned()),
            ),
            host_name: resolver.text("host-name").or(host_name),
            keep_releases: resolver.number("keep-releases", 2..=1000, 10),
            opted_in: config.opted_in,
            now,
            child_environment: child_environment(&environment),
            person_environment: person_environment(&environment),
            nonce,
            directory,
            runner,
        };
        match Failure::all(resolver.problems) {
            Some(failure) => Err(failure),
            None => Ok(settings),
        }
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

fn parse_bump(given: &Given) -> Result<BumpRequest, Failure> {
    match given.value.as_str() {
        "auto" => Ok(BumpRequest::Auto),
        "patch" => Ok(BumpRequest::By(Bump::Patch)),
        "minor" => Ok(BumpRequest::By(Bump::Minor)),
        "major" => Ok(BumpRequest::By(Bump::Major)),
        text => Version::parse(text).map(BumpRequest::To).map_err(|_| {
            Failure::new(
                Exit::Usage,
                "settings::choice",
                format!(
                    "{} is {}, not auto, patch, minor, major or a version",
                    given.name("bump"),
                    quoted(text)
                ),
            )
            .hint("write for example minor or 1.4.2")
        }),
    }
}

fn parse_message(given: &Given) -> Result<String, Failure> {
    let text = given.value.trim();
    if text.is_empty()
        || text
            .chars()
            .any(|character| character.is_control() && character != '\n')
    {
        return Err(Failure::new(
            Exit::Usage,
            "settings::message",
            format!(
                "{} is {}, which is no commit message",
                given.name("commit-message"),
                quoted(&given.value)
            ),
        )
        .hint("for example: chore: version {version}"));
    }
    Ok(text.to_owned())
}

fn parse_tag_format(given: &Given) -> Result<String, Failure> {
    let refuse = |why: &str| {
        Err(Failure::new(
            Exit::Usage,
            "settings::tag_format",
            format!(
                "{} is {}: {why}",
                given.name("tag-format"),
                quoted(&given.value)
            ),
        )
        .hint("for example {name}@{version} or v{version}"))
    };
    if !given.value.contains("{version}") {
        return refuse("it must hold {version}");
    }
    let sample = given
        .value
        .replace("{name}", "@a/b")
        .replace("{version}", "1.0.0");
    if sample.contains(['{', '}']) || crate::name::TagName::parse(&sample).is_err() {
        return refuse("it does not make a tag that git allows");
    }
    Ok(given.value.clone())
}

/// npm refuses dist-tags that read as a range, so that `npm install a@tag` stays unambiguous.
fn parse_dist_tag(given: &Given) -> Result<String, Failure> {
    let text = &given.value;
    let good = text
        .chars()
        .all(|character| character.is_ascii_alphanumeric() || "._-".contains(character))
        && crate::version::range::Range::parse(text).is_err();
    if good {
        Ok(text.clone())
    } else {
        Err(Failure::new(
            Exit::Usage,
            "settings::dist_tag",
            format!(
                "{} is {}, which npm does not take as a dist-tag",
                given.name("npm-tag"),
                quoted(text)
            ),
        )
        .hint("use a word such as next or beta"))
    }
}

fn resolve_registry(resolver: &mut Resolver<'_>) -> RegistryAddress {
    let url = resolver.url("registry-url");
    let directory = resolver
        .inputs
        .get("registry")
        .and_then(|given| given.value.strip_prefix("file://"))
        .map(PathBuf::from);
    if let Some(path) = directory {
        if !path.is_absolute() {
            resolver.problems.push(
                Failure::new(
                    Exit::Usage,
                    "settings::url",
                    "registry is a file:// address without an absolute path",
                )
                .hint("write file:///absolute/directory"),
            );
        }
        return RegistryAddress::Directory { path, url };
    }
    let public = || {
        Url::parse(PUBLIC_REGISTRY)
            .unwrap_or_else(|error| unreachable!("the default registry is an address: {error}"))
    };
    RegistryAddress::Npm(resolver.url("registry").unwrap_or_else(public))
}

fn resolve_store(
    resolver: &mut Resolver<'_>,
    environment: &BTreeMap<String, String>,
) -> Choice<StoreSettings> {
    let endpoint = resolver.url("store-endpoint");
    let region = resolver.text("store-region").or_else(|| {
        environment
            .get("AWS_REGION")
            .or_else(|| environment.get("AWS_DEFAULT_REGION"))
            .filter(|region| !region.is_empty())
            .cloned()
    });
    match resolver
        .inputs
        .get("store")
        .map(|given| given.value.as_str())
    {
        None => Choice::Unset,
        Some("none") => Choice::Off,
        Some(_) => match resolver.checked("store", |given| {
            StoreAddress::parse(&given.value).map_err(|failure| named(given, "store", &failure))
        }) {
            Some(address) => Choice::On(StoreSettings {
                address,
                endpoint,
                region,
            }),
            None => Choice::Unset,
        },
    }
}

fn resolve_static(resolver: &mut Resolver<'_>) -> Choice<String> {
    match resolver.text("static").as_deref() {
        None => Choice::Unset,
        Some("none") => Choice::Off,
        Some(_) => {
            let checked = resolver.checked("static", |given| {
                let sample = given
                    .value
                    .replace("{app}", "app")
                    .replace("{environment}", "prod");
                StoreAddress::parse(&sample)
                    .map(|_| given.value.clone())
                    .map_err(|failure| named(given, "static", &failure))
            });
            checked.map_or(Choice::Unset, Choice::On)
        }
    }
}

fn secret(
    resolver: &mut Resolver<'_>,
    setting: &str,
    environment: &BTreeMap<String, String>,
    others: &[&str],
) -> Option<Secret> {
    let own = resolver
        .inputs
        .get(setting)
        .map(|given| (given.name(setting), given.value.clone()));
    let other = || {
        others.iter().find_map(|name| {
            environment
                .get(*name)
                .filter(|value| !value.is_empty())
                .map(|value| ((*name).to_owned(), value.clone()))
        })
    };
    let (name, value) = own.or_else(other)?;
    if value == "none" {
        return None;
    }
    let secret = Secret::new(&value);
    if secret.is_none() {
        resolver.problems.push(
            Failure::new(
                Exit::Usage,
                "settings::secret",
                format!("{name} holds a value that cannot be a credential"),
            )
            .because("it contains line breaks or control characters")
            .hint("set the secret again, without surrounding text"),
        );
    }
    secret
}

/// The variables that the project's own commands may see.
fn child_environment(environment: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut kept = person_environment(environment);
    kept.retain(|name, _| !name.starts_with("GITHUB_") && !name.starts_with("ACTIONS_"));
    kept
}

/// Everything but our own variables and what is known to be a credential.
fn person_environment(environment: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    const CREDENTIALS: [&str; 6] = [
        "GITHUB_TOKEN",
        "GH_TOKEN",
        "NODE_AUTH_TOKEN",
        "NPM_TOKEN",
        "ACTIONS_ID_TOKEN_REQUEST_TOKEN",
        "ACTIONS_RUNTIME_TOKEN",
    ];
    let is_ours = |name: &str| {
        name.starts_with("INPUT_") || name.starts_with("PKGS_") || name.starts_with("AWS_")
    };
    environment
        .iter()
        .filter(|(name, _)| !is_ours(name) && !CREDENTIALS.contains(&name.as_str()))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}
