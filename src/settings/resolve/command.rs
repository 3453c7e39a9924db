//! The command, with everything that it needs.

use std::path::PathBuf;

use crate::explain::{Exit, Failure, quoted};
use crate::name::{EnvironmentName, PackageName};
use crate::settings::command::{
    AbandonSettings, Apps, Command, Deed, Direction, OnNpmSettings, PointSettings, PullSettings,
    StatusSettings,
};
use crate::settings::flags::Own;
use crate::settings::form;
use crate::settings::given::boolean;
use crate::settings::resolve::Resolver;
use crate::settings::{Choice, StoreSettings};

impl Resolver<'_> {
    /// The command called `name`; a run without one is a plan until the rules choose. `None` comes with a problem.
    pub(super) fn command(
        &mut self,
        name: Option<&str>,
        own: &Own,
        store: &Choice<StoreSettings>,
        host_name: Option<&str>,
    ) -> Option<Command> {
        match name {
            None | Some("plan") => Some(Command::Plan),
            Some("why") => self.why(own.package.as_deref()),
            Some("release") => Some(Command::Release),
            Some("abandon") => Some(Command::Abandon(AbandonSettings {
                to: self.text("to"),
                reason: self.text("reason"),
            })),
            Some("tag") => Some(Command::Tag),
            Some("doctor") => Some(Command::Doctor),
            Some("version") => Some(Command::Version),
            Some("publish") => Some(Command::Publish),
            Some("pack") => Some(Command::Pack {
                planned: own.planned,
            }),
            Some("rehearse") => Some(Command::Rehearse),
            Some("status") => self.status(store).map(Command::Status),
            Some("pull") => self.pull(own.once, store, host_name).map(Command::Pull),
            Some("gc") => self.needed_store("gc", store).map(Command::Gc),
            Some(name) => {
                let Some(deed) = Deed::parse(name) else {
                    let what = format!("{} is not a command", quoted(name));
                    self.problems
                        .push(Failure::new(Exit::Usage, "settings::command", what));
                    return None;
                };
                let npm = Direction::of(deed).filter(|_| self.boolean("npm-rollback", false));
                if let (Some(direction), None) = (npm, self.inputs.get("environment")) {
                    let asked = OnNpmSettings {
                        to: self.text("to"),
                        reason: self.text("reason"),
                    };
                    return Some(Command::OnNpm(direction, asked));
                }
                let point = self.point(name, store, npm)?;
                Some(Command::Point(deed, point))
            }
        }
    }

    fn why(&mut self, package: Option<&str>) -> Option<Command> {
        if package.is_none() {
            let what = "`why` needs the name of a package";
            self.problems
                .push(Failure::new(Exit::Usage, "settings::missing", what).hint(
                    "name it behind the command: `why <package>`; `plan` lists the packages",
                ));
        }
        package.map(|package| Command::Why(package.to_owned()))
    }

    fn point(
        &mut self,
        command: &str,
        store: &Choice<StoreSettings>,
        npm: Option<Direction>,
    ) -> Option<PointSettings> {
        let environment = self.needed_environment(command);
        let store = self.needed_store(command, store);
        let apps = self.checked_apps();
        let from = self.checked("from", |given| form::environment(given, "from"));
        let force = self.boolean("force", false);
        Some(PointSettings {
            store: store?,
            environment: environment?,
            apps: apps?,
            to: self.text("to").map(|to| form::without_v(&to).to_owned()),
            from,
            reason: self.text("reason"),
            force,
            npm,
        })
    }

    fn status(&mut self, store: &Choice<StoreSettings>) -> Option<StatusSettings> {
        let asks = |setting: &str| self.inputs.get(setting).is_some();
        let store = if asks("environment") || asks("app") {
            Some(self.needed_store("status", store)?)
        } else {
            store.value().cloned()
        };
        Some(StatusSettings {
            store,
            apps: self.checked_apps()?,
            environment: self.checked("environment", |given| {
                form::environment(given, "environment")
            }),
            as_page: self.text("format").as_deref() == Some("html"),
        })
    }

    fn pull(
        &mut self,
        once: bool,
        store: &Choice<StoreSettings>,
        host_name: Option<&str>,
    ) -> Option<PullSettings> {
        if !once {
            self.problems.push(
                Failure::new(
                    Exit::Usage,
                    "pull::once",
                    "`pull` installs once and ends; following the pointer is not there yet",
                )
                .hint("say `pull --once`, and start it from a timer"),
            );
        }
        let environment = self.needed_environment("pull");
        let store = self.needed_store("pull", store);
        let app = match self.checked_apps() {
            Some(apps) => self.kept(only_app(apps)),
            None => None,
        };
        let force = self.boolean("force", false);
        let deltas = self.inputs.get("deltas");
        let deltas = deltas.and_then(|given| boolean(given, "deltas").ok());
        // What is none is told by the settings of apps.
        let keep_releases = self.inputs.get("keep-releases");
        let keep_releases = keep_releases.and_then(|given| given.value.parse().ok());
        Some(PullSettings {
            store: store?,
            environment: environment?,
            app: app?,
            force,
            host_directory: PathBuf::from(self.text_or("host-directory", "/home/app")),
            log_directory: PathBuf::from(self.text_or("log-directory", "/home/logs")),
            host_name: self
                .text("host-name")
                .or_else(|| host_name.map(str::to_owned)),
            keep_releases: keep_releases.unwrap_or(10),
            deltas: deltas.unwrap_or(true),
        })
    }

    fn checked_apps(&mut self) -> Option<Apps> {
        match self.inputs.get("app") {
            None => Some(Apps::Default),
            Some(_) => self.checked("app", form::apps),
        }
    }

    fn needed_environment(&mut self, command: &str) -> Option<EnvironmentName> {
        if self.inputs.get("environment").is_none() {
            self.problems.push(
                Failure::new(
                    Exit::Usage,
                    "settings::missing",
                    format!("`{command}` needs an environment"),
                )
                .hint(match command {
                    "promote" | "rollback" => "name it with --environment, PKGS_ENVIRONMENT or the input environment; packages on npm alone go with --npm-rollback and --to",
                    _ => "name it with --environment, PKGS_ENVIRONMENT or the input environment",
                }),
            );
        }
        self.checked("environment", |given| {
            form::environment(given, "environment")
        })
    }

    fn needed_store(
        &mut self,
        command: &str,
        store: &Choice<StoreSettings>,
    ) -> Option<StoreSettings> {
        // A store that was named and cannot be read is a problem already.
        let is_problem = *store == Choice::Unset && self.inputs.get("store").is_some();
        if store.value().is_none() && !is_problem {
            self.problems.push(
                Failure::new(
                    Exit::Usage,
                    "settings::missing",
                    format!("`{command}` needs a store"),
                )
                .hint("name it with --store, PKGS_STORE or the input store: s3://bucket/prefix or file:///dir"),
            );
        }
        store.value().cloned()
    }
}

/// The one app of those that were asked for; `None` where none was.
fn only_app(apps: Apps) -> Result<Option<PackageName>, Failure> {
    match apps {
        Apps::Default => Ok(None),
        Apps::Named(mut names) if names.len() == 1 => Ok(names.pop()),
        Apps::Named(_) | Apps::All => {
            Err(
                Failure::new(Exit::Usage, "pull::one_app", "`pull` installs one app")
                    .hint("run it once for each app"),
            )
        }
    }
}
