//! Every setting: its one name, what it means, who may set it. README, `--help`, `action.yml` and the parser all follow this table.

/// What a setting speaks about; `--help` groups by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// Every command.
    General,
    /// What is in the release.
    Release,
    /// Git.
    Git,
    /// The npm registry.
    Npm,
    /// Where archives, manifests and static files live.
    Store,
    /// How apps are built and run.
    App,
    /// Which environment, which app, where to.
    Environment,
    /// The machine that pulls.
    Host,
}

impl Group {
    /// The heading in `--help` and README.
    pub fn title(self) -> &'static str {
        match self {
            Group::General => "General",
            Group::Release => "What is in the release",
            Group::Git => "Git",
            Group::Npm => "npm",
            Group::Store => "Store and static files",
            Group::App => "Apps",
            Group::Environment => "Environments",
            Group::Host => "Hosts",
        }
    }
}

/// What form a value has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A line of text.
    Text,
    /// Text that may have several lines: a command, a message.
    Lines,
    /// `true` or `false`; as a flag it needs no value.
    Boolean,
    /// One entry per line.
    List,
    /// One group per line, its entries divided by spaces or commas; in a file a list of lists.
    Groups,
    /// One entry per line, `name=value`; in a file an object. Where it says so, a value alone means every name.
    Map,
    /// A list of objects, as JSON.
    Objects,
    /// A credential; it has no flag.
    Secret,
}

/// Which sources may set it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Flags, environment and the configuration file.
    Anywhere,
    /// Flags and environment only: it decides where a credential is sent, or speaks of one run.
    Outside,
    /// As `Anywhere`, and under `apps.<package name>` too.
    App,
}

/// One setting.
#[derive(Debug)]
pub struct Setting {
    /// Its name, in kebab-case.
    pub name: &'static str,
    /// What it speaks about.
    pub group: Group,
    /// What form its value has.
    pub kind: Kind,
    /// Which sources may set it.
    pub reach: Reach,
    /// Whether `action.yml` declares it.
    pub in_action: bool,
    /// What it means, as a phrase.
    pub help: &'static str,
    /// What holds when it is unset, for people.
    pub default: &'static str,
}

const fn setting(
    name: &'static str,
    group: Group,
    kind: Kind,
    reach: Reach,
    in_action: bool,
    help: &'static str,
    default: &'static str,
) -> Setting {
    Setting {
        name,
        group,
        kind,
        reach,
        in_action,
        help,
        default,
    }
}

use Group::{App, Environment, General, Git, Host, Npm, Release, Store};
use Kind::{Boolean, Groups, Lines, List, Map, Objects, Secret, Text};
use Reach::{Anywhere, Outside};

/// All settings, in the order in which people read them.
pub const SETTINGS: &[Setting] = &[
    setting(
        "command",
        General,
        Lines,
        Outside,
        true,
        "the command, with its arguments",
        "`release` where a release is due, else `plan`",
    ),
    setting(
        "dry-run",
        General,
        Boolean,
        Outside,
        true,
        "do everything but the writes",
        "false",
    ),
    setting(
        "format",
        General,
        Text,
        Outside,
        true,
        "`text`, `json` or, of `status` alone, `html`",
        "text",
    ),
    setting(
        "working-directory",
        General,
        Text,
        Outside,
        true,
        "the directory of the workspace",
        "the repository's root",
    ),
    setting(
        "config",
        General,
        Text,
        Outside,
        true,
        "the configuration file",
        "`pkgs.json`, else the `pkgs` field of package.json",
    ),
    setting(
        "token",
        General,
        Secret,
        Outside,
        true,
        "the forge's token",
        "`GITHUB_TOKEN` or `GH_TOKEN`",
    ),
    setting(
        "max-concurrency",
        General,
        Text,
        Anywhere,
        false,
        "how many requests run at once; uploads to a store four times as many",
        "16",
    ),
    setting(
        "log-level",
        General,
        Text,
        Outside,
        true,
        "`error`, `warn`, `info` or `debug`",
        "info; debug when the runner debugs",
    ),
    setting(
        "filter",
        Release,
        List,
        Anywhere,
        true,
        "names or directory globs of packages to release; `!` excludes",
        "all",
    ),
    setting(
        "bump",
        Release,
        Text,
        Outside,
        true,
        "`auto`, `patch`, `minor`, `major`, `prepatch`, `preminor`, `premajor`, `prerelease`, `graduate` or a version",
        "auto: from intents and commits",
    ),
    setting(
        "prerelease",
        Release,
        Map,
        Anywhere,
        true,
        "the identifier of prereleases: `beta` for all packages, or one line for each, `name=beta`; names or directory globs, the last that matches decides, `name=none` leaves one out",
        "what `branches` says of the branch",
    ),
    setting(
        "snapshot",
        Release,
        Text,
        Outside,
        true,
        "publish what is not released yet once, under this dist-tag, without commit and tags: a word such as `pr-12`, or `true` for `snapshot`",
        "not set",
    ),
    setting(
        "mode",
        Release,
        Text,
        Anywhere,
        true,
        "`sync` (one version for all) or `diff` (each its own)",
        "what `.changeset/config.json` or `lerna.json` says, else `diff` where there are groups, else as the release tags so far are (of packages or of all), else `sync` where all packages hold one version, else `diff`",
    ),
    setting(
        "install",
        Release,
        Lines,
        Anywhere,
        true,
        "`auto`, `none` or a command that installs dependencies before the build",
        "auto: the lockfile-exact command where node_modules is missing",
    ),
    setting(
        "build",
        Release,
        Lines,
        Anywhere,
        true,
        "a command that builds the whole repository before packing",
        "none",
    ),
    setting(
        "artifacts",
        Release,
        Text,
        Outside,
        true,
        "the directory that `pack` writes into, with `pack.json`; `release` and `publish` take the bytes of `pack --planned` from it, build nothing and run no code of the project",
        "`pack`: the current directory, without `pack.json`; else none",
    ),
    setting(
        "base",
        Release,
        Text,
        Outside,
        true,
        "the ref to compare with",
        "each package's own last release tag",
    ),
    setting(
        "ignore",
        Release,
        List,
        Anywhere,
        false,
        "globs of files that do not count as a change",
        "none",
    ),
    setting(
        "bump-from",
        Release,
        Text,
        Anywhere,
        false,
        "what says how far packages grow: `intents` (the files `.changeset/*.md`), `commits`, or `both`: intents for the packages they name",
        "`intents` where `.changeset/config.json` exists, else `both`",
    ),
    setting(
        "zero-major",
        Release,
        Text,
        Anywhere,
        false,
        "below 1.0.0: `shift` (breaking is minor, feat patch) or `strict`; an asked `bump` counts as it is",
        "shift",
    ),
    setting(
        "peer",
        Release,
        Text,
        Anywhere,
        false,
        "bump of a package whose peer range is left: `patch`, `minor`, `major` or `never`",
        "patch",
    ),
    setting(
        "max-bump",
        Release,
        Text,
        Anywhere,
        false,
        "the most that a version may grow: `patch`, `minor` or `major`; a release that needs more is refused",
        "major",
    ),
    setting(
        "fixed",
        Release,
        Groups,
        Anywhere,
        false,
        "groups of packages that are released together, at one version; names or directory globs",
        "none",
    ),
    setting(
        "linked",
        Release,
        Groups,
        Anywhere,
        false,
        "groups of packages of which those that are released get one version; names or directory globs",
        "none",
    ),
    setting(
        "branch",
        Git,
        List,
        Anywhere,
        true,
        "the release branches",
        "the repository's default branch",
    ),
    setting(
        "branches",
        Git,
        Map,
        Anywhere,
        false,
        "further release branches, each with the identifier of its prereleases or its older line: `next=beta`, `1.x=1.x`, `v2.3=2.3.x`",
        "none",
    ),
    setting(
        "remote",
        Git,
        List,
        Outside,
        true,
        "the git remote that decides; those behind it are mirrors that follow",
        "origin",
    ),
    setting(
        "when-moved",
        Git,
        Text,
        Anywhere,
        false,
        "what becomes of a run when others pushed meanwhile: `superseded`, or `merge`: it releases its commit, and the branch gets a merge",
        "superseded",
    ),
    setting(
        "push",
        Git,
        Boolean,
        Anywhere,
        false,
        "push what `version` decides; with `false` commit and tags are made here only",
        "true",
    ),
    setting(
        "commit-message",
        Git,
        Lines,
        Anywhere,
        false,
        "message of the release commit; {version}, {tags}, {count}",
        "chore: version {version}",
    ),
    setting(
        "tag-format",
        Git,
        Text,
        Anywhere,
        false,
        "form of the tags; {name}, {version}",
        "{name}@{version}; in sync mode v{version}",
    ),
    setting(
        "changelog",
        Git,
        Text,
        Anywhere,
        false,
        "where the notes of a release are written: `packages`, `root`, `both` or `none`",
        "packages; in sync mode root",
    ),
    setting(
        "replacements",
        Git,
        Objects,
        Anywhere,
        false,
        "what the release commit replaces in further files: objects of `file`, `search`, `replace` and, if need be, `package`",
        "none",
    ),
    setting(
        "forge-release",
        Git,
        Boolean,
        Anywhere,
        true,
        "make a release on the forge for every tag",
        "true",
    ),
    setting(
        "registry",
        Npm,
        Text,
        Outside,
        true,
        "the npm registry, or file:///dir for a directory that a static server can serve",
        "`npm_config_registry`, else what the user's `.npmrc` says, else the public registry",
    ),
    setting(
        "registry-url",
        Npm,
        Text,
        Outside,
        false,
        "where a directory registry will be served",
        "the public registry's address, which npm replaces by its own",
    ),
    setting(
        "registries",
        Npm,
        Map,
        Outside,
        true,
        "other registries for the packages of a scope, one line for each: `@acme=https://npm.pkg.github.com/`",
        "none",
    ),
    setting(
        "registry-tokens",
        Npm,
        Secret,
        Outside,
        true,
        "the tokens of other registries, one line for each: `https://npm.pkg.github.com/=<token>`",
        "what the user's `.npmrc` has",
    ),
    setting(
        "npm-token",
        Npm,
        Secret,
        Outside,
        true,
        "the npm token",
        "`NODE_AUTH_TOKEN`, unless it is the placeholder of setup-node, or `NPM_TOKEN`; else what the user's `.npmrc` has; else the job's identity, exchanged for each package",
    ),
    setting(
        "npm-tag",
        Npm,
        Text,
        Outside,
        true,
        "the dist-tag",
        "the prerelease identifier, else latest; latest-<major> on an older line and where latest is higher",
    ),
    setting(
        "access",
        Npm,
        Text,
        Anywhere,
        true,
        "`public` or `restricted`",
        "publishConfig.access, else what the name already has",
    ),
    setting(
        "npm-publish",
        Npm,
        Text,
        Anywhere,
        true,
        "how libraries reach npm: `direct`, `stage` (each version waits for a person's approval) or `none` (they are versioned and tagged only)",
        "direct",
    ),
    setting(
        "npm-rollback",
        Npm,
        Boolean,
        Outside,
        true,
        "whether packages on npm follow a `rollback` (their dist-tags go back, what is left is deprecated) and a `promote` that goes forward again; needs a token that may write them",
        "false",
    ),
    setting(
        "first-publish",
        Npm,
        Text,
        Anywhere,
        true,
        "names that are not on the registry yet: `allow`, `skip` (they stay out of the release, with what depends on them) or `fail`; trusted publishing cannot make a name",
        "allow",
    ),
    setting(
        "provenance",
        Npm,
        Text,
        Anywhere,
        true,
        "a signed statement of where each package was built: `auto` (what publishConfig.provenance, `NPM_CONFIG_PROVENANCE` or an `.npmrc` says, else by npm's rule: trusted publishing, public package, public repository), `true` or `false`",
        "auto",
    ),
    setting(
        "scripts",
        Npm,
        Text,
        Anywhere,
        true,
        "lifecycle scripts while packing: `run` or `skip`",
        "run",
    ),
    setting(
        "npm-rules",
        Npm,
        Text,
        Anywhere,
        false,
        "whose rules choose the files of a package: those of npm `12`, or of npm `11`",
        "12",
    ),
    setting(
        "git-dependencies",
        Npm,
        Text,
        Anywhere,
        false,
        "dependencies of libraries on git or on an address, which npm 12 installs only for those who allow it: `refuse` or `allow`",
        "refuse",
    ),
    setting(
        "key-files",
        Npm,
        List,
        Anywhere,
        false,
        "globs of files, from the workspace on, that look like keys or secrets and are published all the same",
        "none",
    ),
    setting(
        "max-package-size",
        Npm,
        Map,
        Anywhere,
        false,
        "the most that a tarball may hold: `5MB` for all packages, or one line for each, `name=5MB`; names or directory globs, the last that matches decides",
        "256MB",
    ),
    setting(
        "store",
        Store,
        Text,
        Outside,
        true,
        "s3://bucket/prefix, file:///dir, or none",
        "not set",
    ),
    setting(
        "store-endpoint",
        Store,
        Text,
        Outside,
        true,
        "the address of an S3-compatible server",
        "AWS",
    ),
    setting(
        "store-region",
        Store,
        Text,
        Outside,
        true,
        "the store's region",
        "`AWS_REGION`",
    ),
    setting(
        "role-to-assume",
        Store,
        Text,
        Outside,
        true,
        "the AWS role that the job assumes by its identity: arn:aws:iam::<account>:role/<name>",
        "what AWS's own settings say",
    ),
    setting(
        "static",
        Store,
        Text,
        Outside,
        true,
        "where static files are served from; {app}, {environment}; none",
        "not set",
    ),
    setting(
        "static-url",
        Store,
        Text,
        Anywhere,
        true,
        "the public address of the static files; {app}, {environment}; its path comes before theirs where a CDN is told what changed",
        "what was recorded, else not set",
    ),
    setting(
        "cdn-distribution",
        Store,
        Map,
        Outside,
        true,
        "the id of the CloudFront distribution in front of the static files, or one line for each environment, `prod=E2EXAMPLE1`; it is told which paths changed; none",
        "what was recorded",
    ),
    setting(
        "cdn-command",
        Store,
        Lines,
        Outside,
        true,
        "a command that tells another CDN which paths changed: they are on its stdin, one a line, and in the file that `CDN_PATHS` names; none",
        "not set",
    ),
    setting(
        "cdn-environment",
        Store,
        List,
        Outside,
        true,
        "names of environment variables that `cdn-command` sees beside what every command sees",
        "none",
    ),
    setting(
        "board",
        Store,
        Text,
        Outside,
        true,
        "where the release board is written after every change of an environment, and by `status --format html`: s3://bucket/prefix or file:///dir, as index.html; `store`; none",
        "none",
    ),
    setting(
        "build-for",
        App,
        List,
        Reach::App,
        false,
        "environments to build for, where the app's build names {environment}",
        "all environments",
    ),
    setting(
        "include",
        App,
        List,
        Reach::App,
        false,
        "paths of the app that go into the archive",
        "package.json, the lockfile, service/, production node_modules",
    ),
    setting(
        "dist",
        App,
        Text,
        Reach::App,
        false,
        "the directory of static files",
        "dist, if it exists",
    ),
    setting(
        "dist-in-archive",
        App,
        List,
        Reach::App,
        false,
        "globs of files of dist that the server itself reads",
        "none",
    ),
    setting(
        "compress",
        App,
        Text,
        Reach::App,
        false,
        "how archives are compressed: zst, gz, or both, where hosts and people take the one that they can read",
        "zst",
    ),
    setting(
        "deltas",
        App,
        Boolean,
        Reach::App,
        false,
        "a release makes deltas between archives, and hosts use them; on a host: keep the last archives for that",
        "true",
    ),
    setting(
        "start",
        App,
        Lines,
        Reach::App,
        false,
        "the command that starts the app",
        super::START,
    ),
    setting(
        "stop",
        App,
        Lines,
        Reach::App,
        false,
        "the command that stops the app",
        super::STOP,
    ),
    setting(
        "environment-variable",
        App,
        Text,
        Reach::App,
        false,
        "the variable that tells the app its environment",
        "SERVER_ENV",
    ),
    setting(
        "environments",
        App,
        List,
        Reach::App,
        false,
        "the environments that the app may be pointed at, besides those where it was before",
        "stable, sit, pre, prod",
    ),
    setting(
        "auto",
        App,
        List,
        Reach::App,
        true,
        "environments that a release activates by itself",
        "none",
    ),
    setting(
        "health",
        App,
        Text,
        Reach::App,
        false,
        "the address on the host that answers when the app is healthy",
        "the process lives",
    ),
    setting(
        "immutable",
        App,
        List,
        Reach::App,
        false,
        "globs of static files that never change",
        "names that carry a hash",
    ),
    setting(
        "mutable",
        App,
        List,
        Reach::App,
        false,
        "globs of static files that may change",
        "all others",
    ),
    setting(
        "keep-releases",
        App,
        Text,
        Reach::App,
        false,
        "how many versions stay: on a host, and beside the live one for each environment where `gc` looks",
        "10",
    ),
    setting(
        "keep-days",
        App,
        Text,
        Reach::App,
        false,
        "for how many days `gc` keeps what was live in an environment",
        "30",
    ),
    setting(
        "environment",
        Environment,
        Text,
        Outside,
        true,
        "the environment",
        "not set",
    ),
    setting(
        "app",
        Environment,
        List,
        Outside,
        true,
        "the apps, or all",
        "the only app",
    ),
    setting(
        "to",
        Environment,
        Text,
        Outside,
        true,
        "a version, release id, sequence number or previous",
        "not set",
    ),
    setting(
        "from",
        Environment,
        Text,
        Outside,
        true,
        "another environment whose version is taken",
        "not set",
    ),
    setting(
        "reason",
        Environment,
        Text,
        Outside,
        true,
        "why, for the record",
        "not set",
    ),
    setting(
        "actor",
        Environment,
        Text,
        Outside,
        true,
        "who, for the record",
        "`GITHUB_ACTOR`, else git's user.email",
    ),
    setting(
        "force",
        Environment,
        Boolean,
        Outside,
        true,
        "override held, bad and not a descendant (which lifts the hold and clears the mark for good); on a host: try again what failed",
        "false",
    ),
    setting(
        "host-directory",
        Host,
        Text,
        Outside,
        false,
        "the directory that holds the apps",
        "/home/app",
    ),
    setting(
        "log-directory",
        Host,
        Text,
        Outside,
        false,
        "the directory that holds the apps' logs",
        "/home/logs",
    ),
    setting(
        "host-name",
        Host,
        Text,
        Outside,
        false,
        "the name under which the host reports",
        "the machine's host name",
    ),
];

/// The setting called `name` (kebab-case).
pub fn find(name: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.name == name)
}

/// Settings that will come.
pub const SETTINGS_TO_COME: &[&str] = &["commit-via", "delivery", "node-version"];

/// Whether a setting is also a flag: secrets are not, and the command is an argument of its own.
pub fn has_flag(setting: &Setting) -> bool {
    setting.kind != Kind::Secret && setting.name != "command"
}

/// The variable that carries a setting.
///
/// ```
/// assert_eq!(pkgs_action::settings::table::variable("tag-format"), "PKGS_TAG_FORMAT");
/// ```
pub fn variable(name: &str) -> String {
    format!("PKGS_{}", name.to_uppercase().replace('-', "_"))
}

/// The name of a setting in the configuration file.
///
/// ```
/// assert_eq!(pkgs_action::settings::table::camel_case("tag-format"), "tagFormat");
/// ```
pub fn camel_case(name: &str) -> String {
    let mut words = name.split('-');
    let mut text = words.next().unwrap_or_default().to_owned();
    for word in words {
        let mut letters = word.chars();
        text.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        text.push_str(letters.as_str());
    }
    text
}
