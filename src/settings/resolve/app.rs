//! The settings of apps: what flags and environment say, else an app's own entry in the file, else what the file says for all, else the default.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use crate::explain::{Exit, Failure};
use crate::name::{EnvironmentName, PackageName};
use crate::settings::config::{AppEntry, Config};
use crate::settings::form::{self, named};
use crate::settings::given::{Given, Inputs, Source, boolean, list};
use crate::settings::resolve::{Resolver, choice};
use crate::settings::{AppKind, AppSettings, Compress, START, STOP};

const COMPRESS: &[(&str, Compress)] = &[
    ("zst", Compress::Zst),
    ("gz", Compress::Gz),
    ("both", Compress::Both),
];

const KINDS: &[(&str, AppKind)] = &[("service", AppKind::Service), ("static", AppKind::Static)];

/// The environments of an app that names none.
const ENVIRONMENTS: [&str; 4] = ["stable", "sit", "pre", "prod"];

/// The values that count for one app.
#[derive(Clone, Copy)]
struct Values<'a> {
    inputs: &'a Inputs,
    entry: Option<&'a AppEntry>,
}

impl<'a> Values<'a> {
    fn get(self, setting: &'static str) -> Option<&'a Given> {
        let own = self.own(setting);
        match self.inputs.get(setting) {
            Some(outer) if own.is_some() && matches!(outer.source, Source::File { .. }) => own,
            Some(outer) => Some(outer),
            None => own,
        }
    }

    /// What the app's own entry says.
    fn own(self, setting: &'static str) -> Option<&'a Given> {
        self.entry.and_then(|entry| entry.get(setting))
    }

    /// A text, unless it is emptied.
    fn said(self, setting: &'static str) -> Option<&'a Given> {
        self.get(setting).filter(|given| given.value != "none")
    }

    fn text(self, setting: &'static str) -> Option<String> {
        self.said(setting).map(|given| given.value.clone())
    }

    fn text_or(self, setting: &'static str, default: &str) -> String {
        self.text(setting).unwrap_or_else(|| default.to_owned())
    }

    fn list(self, setting: &'static str) -> Option<Vec<String>> {
        self.get(setting).map(|given| list(&given.value))
    }
}

impl Resolver<'_> {
    /// The apps that the configuration names.
    pub(super) fn apps(&mut self, config: &Config) -> BTreeMap<PackageName, AppSettings> {
        config
            .apps
            .iter()
            .map(|(name, entry)| {
                let settings = AppSettings {
                    declared_in: config.apps_in.clone(),
                    ..self.app(Some(entry))
                };
                (name.clone(), settings)
            })
            .collect()
    }

    /// The settings of an app with this entry in the configuration, or of one without any.
    pub(super) fn app(&mut self, entry: Option<&AppEntry>) -> AppSettings {
        let values = Values {
            inputs: self.inputs,
            entry,
        };
        let problems = self.problems.len();
        let environments = self
            .environments(values, "environments")
            .unwrap_or_else(default_environments);
        let are_known = self.problems.len() == problems;
        let build_for = self
            .some_environments(values, "build-for", are_known.then_some(&environments))
            .unwrap_or_else(|| environments.clone());
        let auto = self
            .some_environments(values, "auto", are_known.then_some(&environments))
            .unwrap_or_default();
        AppSettings {
            declared_in: None,
            kind: values
                .own("type")
                .and_then(|given| self.kept(choice(given, "type", KINDS))),
            build: values
                .own("build")
                .map(|given| given.value.clone())
                .filter(|command| command != "none"),
            build_for,
            include: values.list("include"),
            dist: values.text("dist"),
            dist_in_archive: values.list("dist-in-archive").unwrap_or_default(),
            compress: values
                .said("compress")
                .and_then(|given| self.kept_once(choice(given, "compress", COMPRESS)))
                .unwrap_or_default(),
            deltas: values
                .get("deltas")
                .and_then(|given| self.kept_once(boolean(given, "deltas")))
                .unwrap_or(true),
            start: values.text_or("start", START),
            stop: values.text_or("stop", STOP),
            environment_variable: values
                .said("environment-variable")
                .and_then(|given| self.kept(form::environment_variable(given)))
                .unwrap_or_else(|| "SERVER_ENV".to_owned()),
            environments,
            auto,
            health: values
                .said("health")
                .and_then(|given| self.kept(form::health(given))),
            immutable: values.list("immutable").unwrap_or_default(),
            mutable: values.list("mutable").unwrap_or_default(),
            keep_releases: self.number_of(values, "keep-releases", 2..=1000, 10),
            keep_days: self.number_of(values, "keep-days", 0..=3650, 30),
        }
    }

    fn number_of(
        &mut self,
        values: Values<'_>,
        setting: &'static str,
        range: RangeInclusive<usize>,
        default: usize,
    ) -> usize {
        let number = values
            .get(setting)
            .map(|given| form::number(given, setting, &range, default));
        number
            .and_then(|number| self.kept_once(number))
            .unwrap_or(default)
    }

    /// What was read, or its failure among the problems: every app that says nothing of its own has the same one.
    fn kept_once<T>(&mut self, read: Result<T, Failure>) -> Option<T> {
        match read {
            Ok(value) => Some(value),
            Err(failure) => {
                let is_told = |problem: &Failure| problem.what() == failure.what();
                if !self.problems.iter().any(is_told) {
                    self.problems.push(failure);
                }
                None
            }
        }
    }

    fn environments(
        &mut self,
        values: Values<'_>,
        setting: &'static str,
    ) -> Option<Vec<EnvironmentName>> {
        let given = values.get(setting)?;
        let names = list(&given.value);
        let names = names.iter().filter_map(|text| {
            let name = EnvironmentName::parse(text);
            self.kept(name.map_err(|failure| named(given, setting, &failure)))
        });
        Some(names.collect())
    }

    /// Names that must be among the app's environments, where those are known.
    fn some_environments(
        &mut self,
        values: Values<'_>,
        setting: &'static str,
        environments: Option<&Vec<EnvironmentName>>,
    ) -> Option<Vec<EnvironmentName>> {
        let names = self.environments(values, setting)?;
        let spelled = values.get(setting)?.name(setting);
        let Some(environments) = environments else {
            return Some(names);
        };
        for name in names.iter().filter(|name| !environments.contains(name)) {
            let known: Vec<&str> = environments.iter().map(EnvironmentName::as_str).collect();
            self.problems.push(
                Failure::new(
                    Exit::Usage,
                    "settings::unknown_environment",
                    format!("{spelled} names {name}, which is none of the environments"),
                )
                .hint(format!("the environments are {}", known.join(", "))),
            );
        }
        Some(names)
    }
}

fn default_environments() -> Vec<EnvironmentName> {
    ENVIRONMENTS
        .into_iter()
        .filter_map(|name| EnvironmentName::parse(name).ok())
        .collect()
}
