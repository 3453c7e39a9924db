//! From raw values to [`Settings`]: every value is checked, every problem is kept, and all are told together.

mod app;
mod command;
mod outside;
mod together;

use std::ops::RangeInclusive;
use std::path::PathBuf;

use crate::explain::{Exit, Failure, quoted};
use crate::settings::adopted::{self, Adopted, Left};
use crate::settings::config::{self, Config, ConfigFile, Form};
use crate::settings::form;
use crate::settings::given::{Given, Inputs, Source, boolean, groups, list, nearest};
use crate::settings::inputs::Collected;
use crate::settings::provenance::{self, Job, Services, Wanted};
use crate::settings::replacement;
use crate::settings::table::{self, Kind};
use crate::settings::variables;
use crate::settings::{
    Access, BumpFrom, BumpRequest, Changelog, Command, FirstPublish, Format, Install, Mode,
    NpmPublish, NpmRules, PeerPolicy, RegistryAddress, Settings, WhenMoved, World,
};
use crate::version::{Bump, ZeroMajor};

/// `None`: the page that `status` alone has.
const FORMATS: &[(&str, Option<Format>)] = &[
    ("text", Some(Format::Text)),
    ("json", Some(Format::Json)),
    ("html", None),
];
const MODES: &[(&str, Mode)] = &[
    ("sync", Mode::Sync),
    ("diff", Mode::Diff),
    ("fixed", Mode::Sync),
    ("independent", Mode::Diff),
];
const ZERO_MAJORS: &[(&str, ZeroMajor)] =
    &[("shift", ZeroMajor::Shift), ("strict", ZeroMajor::Strict)];
const BUMPS: &[(&str, Bump)] = &[
    ("patch", Bump::Patch),
    ("minor", Bump::Minor),
    ("major", Bump::Major),
];
const BUMPS_FROM: &[(&str, BumpFrom)] = &[
    ("intents", BumpFrom::Intents),
    ("commits", BumpFrom::Commits),
    ("both", BumpFrom::Both),
];
const PEERS: &[(&str, PeerPolicy)] = &[
    ("patch", PeerPolicy::Bump(Bump::Patch)),
    ("minor", PeerPolicy::Bump(Bump::Minor)),
    ("major", PeerPolicy::Bump(Bump::Major)),
    ("never", PeerPolicy::Never),
];
const ACCESSES: &[(&str, Access)] = &[
    ("public", Access::Public),
    ("restricted", Access::Restricted),
];
const CHANGELOGS: &[(&str, Changelog)] = &[
    ("packages", Changelog::Packages),
    ("root", Changelog::Root),
    ("both", Changelog::Both),
    ("none", Changelog::None),
];
const WHEN_MOVED: &[(&str, WhenMoved)] = &[
    ("superseded", WhenMoved::Superseded),
    ("merge", WhenMoved::Merge),
];
const NPM_PUBLISH: &[(&str, NpmPublish)] = &[
    ("direct", NpmPublish::Direct),
    ("stage", NpmPublish::Stage),
    ("none", NpmPublish::None),
];
const FIRST_PUBLISH: &[(&str, FirstPublish)] = &[
    ("allow", FirstPublish::Allow),
    ("skip", FirstPublish::Skip),
    ("fail", FirstPublish::Fail),
];
const PROVENANCE: &[(&str, Wanted)] = &[
    ("auto", Wanted::ByNpmsRule),
    ("true", Wanted::Yes),
    ("false", Wanted::No),
];
const SCRIPTS: &[(&str, bool)] = &[("run", true), ("skip", false)];
const NPM_RULES: &[(&str, NpmRules)] = &[("12", NpmRules::Npm12), ("11", NpmRules::Npm11)];
const GIT_DEPENDENCIES: &[(&str, bool)] = &[("refuse", false), ("allow", true)];
/// The log starts before anything is resolved; here its level is only judged.
const LOG_LEVELS: &[(&str, ())] = &[("error", ()), ("warn", ()), ("info", ()), ("debug", ())];

impl Settings {
    /// Resolves raw values: `collected` comes from the command line and the environment, `files` are the repository's configuration.
    ///
    /// # Errors
    /// Every problem at once, exit 2; the codes are those of `settings` and of what a command needs.
    pub fn resolve(
        collected: Collected,
        files: &[ConfigFile],
        world: World,
    ) -> Result<Settings, Failure> {
        let WithFiles {
            inputs,
            config,
            left,
            problems,
        } = with_files(collected.inputs, collected.problems, files);
        let mut values = Resolver {
            inputs: &inputs,
            problems,
        };
        values.plain(&config);
        values.one_of("log-level", LOG_LEVELS);
        let store = values.store(&world.environment);
        let board = values.board(&store);
        let format = values.format(collected.command.as_deref());
        let (registries, registry, npm_token, npm_token_from) = values.npm(&world);
        let is_npm = matches!(registry, RegistryAddress::Npm(_));
        let identity = if is_npm && npm_token.is_none() {
            values.identity(&world.environment)
        } else {
            None
        };
        let command = values.command(
            collected.command.as_deref(),
            &collected.own,
            &store,
            world.host_name.as_deref(),
        );
        let services = values.kept(Services::read(&world.environment));
        // Where there are none, there is a problem, and these settings are seen by nobody.
        let services = services.unwrap_or_else(Services::public);
        let access = values.one_of("access", ACCESSES);
        let adopted = adopted(&inputs);
        let own_access = adopted.iter().all(|adopted| adopted.setting != "access");
        let mut remotes = values.list("remote").into_iter();
        let bump: BumpRequest = values.checked("bump", form::bump).unwrap_or_default();
        let zero_major = values.one_of("zero-major", ZERO_MAJORS).unwrap_or_default();
        let settings = Settings {
            // Where there is none, there is a problem, and these settings are seen by nobody.
            command: command.unwrap_or(Command::Plan),
            command_named: collected.command.is_some(),
            command_reason: None,
            dry_run: values.boolean("dry-run", false),
            format,
            max_concurrency: values.number("max-concurrency", 1..=256, 16),
            token: values.forge_token(&world.environment),
            install: values.install(),
            build: values.text("build").filter(|command| command != "none"),
            mode: values.one_of("mode", MODES),
            adopted,
            passed_over: left.passed_over,
            untaken: left.untaken,
            filter: values.list("filter"),
            base: values.text("base"),
            ignore: values.list("ignore"),
            bump_from: values.one_of("bump-from", BUMPS_FROM).unwrap_or_default(),
            prerelease: values
                .checked("prerelease", form::prerelease)
                .unwrap_or_default(),
            snapshot: values.checked("snapshot", form::snapshot).flatten(),
            // What a person asks for is meant as it is said.
            zero_major: match bump {
                BumpRequest::By(_) | BumpRequest::NewPrerelease(_) => ZeroMajor::Strict,
                _ => zero_major,
            },
            bump,
            peer: values
                .one_of("peer", PEERS)
                .unwrap_or(PeerPolicy::Bump(Bump::Patch)),
            max_bump: values.one_of("max-bump", BUMPS).unwrap_or(Bump::Major),
            fixed: values.groups("fixed"),
            linked: values.groups("linked"),
            branches: values.list("branch"),
            lines: values
                .checked("branches", form::branches)
                .unwrap_or_default(),
            remote: remotes.next().unwrap_or_else(|| "origin".to_owned()),
            mirrors: remotes.collect(),
            when_moved: values.one_of("when-moved", WHEN_MOVED).unwrap_or_default(),
            push: values.boolean("push", true),
            commit_message: values
                .checked("commit-message", form::message)
                .unwrap_or_else(|| "chore: version {version}".to_owned()),
            tag_format: values.checked("tag-format", form::tag_format),
            changelog: values.one_of("changelog", CHANGELOGS),
            replacements: values
                .checked("replacements", replacement::read)
                .unwrap_or_default(),
            forge_release: values.boolean("forge-release", true),
            registry,
            registries,
            npm_token,
            npm_token_from,
            identity,
            npm_publish: values
                .one_of("npm-publish", NPM_PUBLISH)
                .unwrap_or_default(),
            first_publish: values
                .one_of("first-publish", FIRST_PUBLISH)
                .unwrap_or_default(),
            provenance: values.one_of("provenance", PROVENANCE).unwrap_or_default(),
            npm_provenance: provenance::of_npm(&world.npmrc, &world.environment),
            job: Job::read(&world.environment),
            services,
            npm_tag: values.checked("npm-tag", form::dist_tag),
            access: access.filter(|_| own_access),
            access_otherwise: access.filter(|_| !own_access),
            artifacts: values.text("artifacts").map(PathBuf::from),
            scripts: values.one_of("scripts", SCRIPTS).unwrap_or(true),
            npm_rules: values.one_of("npm-rules", NPM_RULES).unwrap_or_default(),
            git_dependencies: values
                .one_of("git-dependencies", GIT_DEPENDENCIES)
                .unwrap_or(false),
            key_files: values.list("key-files"),
            max_package_size: values
                .checked("max-package-size", form::max_package_size)
                .unwrap_or_default(),
            store,
            static_root: values.static_root(),
            static_url: values.checked("static-url", form::static_url),
            cdn: values.cdn(&world.environment),
            board,
            apps: values.apps(&config),
            app_defaults: values.app(None),
            actor: values.text("actor").or_else(|| world.runner.actor.clone()),
            packages_path: config.packages_path,
            opted_in: config.opted_in,
            now: world.now,
            child_environment: variables::of_children(&world.environment),
            person_environment: variables::of_person(&world.environment),
            nonce: world.nonce,
            directory: world.directory,
            runner: world.runner,
        };
        values.together(&settings);
        Failure::all(values.problems).map_or(Ok(settings), Err)
    }
}

/// Everything that was said, by the highest source each.
struct WithFiles {
    inputs: Inputs,
    config: Config,
    /// What files of other tools say that we cannot take, where nothing of ours says it.
    left: Left,
    problems: Vec<Failure>,
}

/// Adds what the configuration files say to what the command line and the environment say.
fn with_files(mut inputs: Inputs, mut problems: Vec<Failure>, files: &[ConfigFile]) -> WithFiles {
    let mut config = Config::default();
    let mut left = Left::default();
    for file in files {
        if file.form == Form::OldPkgs {
            let packages = adopted::read_old_pkgs(file, &mut inputs, &mut problems);
            config.packages_path = config.packages_path.or(packages);
            continue;
        }
        if matches!(
            file.form,
            Form::Changesets | Form::Lerna | Form::ReleasePlease
        ) {
            let Left {
                passed_over,
                untaken,
            } = adopted::read(file, &mut inputs, &mut problems);
            left.passed_over.extend(passed_over);
            left.untaken.extend(untaken);
            continue;
        }
        let read = config::read(file, &mut inputs, &mut problems);
        config.packages_path = config.packages_path.or(read.packages_path);
        config.opted_in |= read.opted_in;
        config.apps.extend(read.apps);
        config.apps_in = config.apps_in.or(read.apps_in);
    }
    let is_said = |setting: &str| inputs.get(setting).is_some();
    left.passed_over.retain(|one| !is_said(one.setting));
    // What another key of these files decided leaves this one untold otherwise.
    let is_ours = |setting: &str| {
        let given = inputs.get(setting);
        given.is_some_and(|given| !matches!(given.source, Source::Adopted { .. }))
    };
    left.untaken.retain(|one| !one.setting.is_some_and(is_ours));
    inputs.empty_nones();
    WithFiles {
        inputs,
        config,
        left,
        problems,
    }
}

/// The settings that files of other tools decide.
fn adopted(inputs: &Inputs) -> Vec<Adopted> {
    let adopted = |(setting, given): (&'static str, &Given)| match &given.source {
        Source::Adopted { file, key } => Some(Adopted {
            setting,
            file: file.clone(),
            key: key.clone(),
        }),
        _ => None,
    };
    inputs.iter().filter_map(adopted).collect()
}

/// Hands out values and collects the problems with them.
struct Resolver<'a> {
    inputs: &'a Inputs,
    problems: Vec<Failure>,
}

impl Resolver<'_> {
    fn text(&self, setting: &str) -> Option<String> {
        self.inputs.get(setting).map(|given| given.value.clone())
    }

    fn text_or(&self, setting: &str, default: &str) -> String {
        self.text(setting).unwrap_or_else(|| default.to_owned())
    }

    fn list(&self, setting: &str) -> Vec<String> {
        self.inputs
            .get(setting)
            .map(|given| list(&given.value))
            .unwrap_or_default()
    }

    fn groups(&self, setting: &str) -> Vec<Vec<String>> {
        self.inputs
            .get(setting)
            .map(|given| groups(&given.value))
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
        self.kept(check(given))
    }

    /// A value, unless there is a problem with it, which is kept.
    fn kept<T>(&mut self, checked: Result<T, Failure>) -> Option<T> {
        checked.map_err(|failure| self.problems.push(failure)).ok()
    }

    fn one_of<T: Copy>(&mut self, setting: &str, choices: &[(&str, T)]) -> Option<T> {
        self.checked(setting, |given| choice(given, setting, choices))
    }

    fn number(&mut self, setting: &str, range: RangeInclusive<usize>, default: usize) -> usize {
        self.checked(setting, |given| {
            form::number(given, setting, &range, default)
        })
        .unwrap_or(default)
    }

    /// Keeps a problem for every value that holds control characters.
    fn plain(&mut self, config: &Config) {
        for (setting, given) in self.inputs.iter() {
            let kind = table::find(setting).map_or(Kind::Text, |setting| setting.kind);
            self.kept(form::plain(given, setting, kind));
        }
        for (setting, given) in config.apps.values().flatten() {
            self.kept(form::plain(given, setting, config::kind_of_app(setting)));
        }
    }

    /// The form of the result; a page is asked of `status` as such.
    fn format(&mut self, command: Option<&str>) -> Format {
        let page = Failure::new(
            Exit::Usage,
            "settings::choice",
            "the format is html, and `status` alone has a page",
        )
        .hint("`status --format html` gives the release board; every other command tells text or json");
        match self.one_of("format", FORMATS) {
            Some(Some(format)) => format,
            Some(None) if command != Some("status") => {
                self.problems.push(page);
                Format::default()
            }
            Some(None) | None => Format::default(),
        }
    }

    fn install(&self) -> Install {
        match self.text("install").as_deref() {
            None | Some("auto") => Install::Auto,
            Some("none") => Install::None,
            Some(command) => Install::Command(command.to_owned()),
        }
    }
}

/// The one of `choices` that a value names.
fn choice<T: Copy>(given: &Given, setting: &str, choices: &[(&str, T)]) -> Result<T, Failure> {
    let chosen = choices.iter().find(|(name, _)| *name == given.value);
    chosen.map(|(_, value)| *value).ok_or_else(|| {
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
        match nearest(&given.value, names.iter().copied()) {
            Some(near) => failure.hint(format!("did you mean {near}?")),
            None => failure.hint(format!("write {}", names.join(" or "))),
        }
    })
}
