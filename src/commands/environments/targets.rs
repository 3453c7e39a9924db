//! Which apps a request is about, and where each is to go.

use super::names::{check_configured, check_environment, unknown_app, usage, which_app};
use super::{Aim, Story};
use crate::apply::builds;
use crate::apply::point::{Log, environments_of};
use crate::environment::target::To;
use crate::explain::{Exit, Failure};
use crate::name::{EnvironmentName, PackageName, ReleaseId, Variant};
use crate::release::manifest;
use crate::settings::Apps;
use crate::version::Version;

impl Story<'_> {
    /// The apps, and where each is to go.
    pub(super) async fn targets(&self, to: &To) -> Result<Vec<(PackageName, Aim)>, Failure> {
        let aim = match to {
            To::Release(id) => return self.apps_of_release(id).await,
            To::Version(version) => Aim::Version(version.clone()),
            To::Seq(seq) => Aim::Seq(*seq),
            To::Previous => Aim::Previous,
        };
        let apps = self.apps(Some(&aim)).await?;
        Ok(apps.into_iter().map(|app| (app, aim.clone())).collect())
    }

    /// The apps alone; `aim` is where they are to go, where that is asked.
    pub(super) async fn apps(&self, aim: Option<&Aim>) -> Result<Vec<PackageName>, Failure> {
        if let Apps::Named(names) = &self.request.apps {
            let mut names = names.clone();
            names.sort();
            names.dedup();
            return Ok(names);
        }
        let known = builds::apps(self.store()).await?;
        if self.request.apps == Apps::Default && known.len() > 1 {
            return Err(which_app(self.op, &known));
        }
        let mut apps = Vec::new();
        for app in &known {
            if self.request.apps == Apps::Default || self.is_about(app, aim).await? {
                apps.push(app.clone());
            }
        }
        if apps.is_empty() {
            return Err(usage(
                "environment::no_apps",
                format!(
                    "{} knows no app for this {}",
                    self.store().describe(),
                    self.op
                ),
            )
            .hint("check 'store' and 'environment'; 'release' records apps, 'status' lists them"));
        }
        Ok(apps)
    }

    /// `all` means: of the apps that are there, those the request can be about.
    async fn is_about(&self, app: &PackageName, aim: Option<&Aim>) -> Result<bool, Failure> {
        if let (Some(Aim::Version(version)), "promote") = (aim, self.op) {
            let versions = builds::versions(self.store(), app).await?;
            return Ok(versions.iter().any(|(recorded, _)| recorded == version));
        }
        let log = Log {
            store: self.store(),
            app,
            environment: &self.request.environment,
        };
        let tip = log.tip().await?;
        Ok(tip.is_some_and(|tip| self.op != "rollback" || tip.entry.state.current.is_some()))
    }

    async fn apps_of_release(&self, id: &ReleaseId) -> Result<Vec<(PackageName, Aim)>, Failure> {
        let refuse = |code, why: &str| {
            Failure::new(
                Exit::Refused,
                code,
                format!("release {id} cannot be the target"),
            )
            .because(why)
        };
        let Some(release) = builds::release(self.store(), id).await? else {
            return Err(refuse(
                "environment::unknown_release",
                "the store has no record of it",
            )
            .hint("an unfinished release is finished by 'release' on its branch"));
        };
        if release.status == manifest::Status::Abandoned {
            return Err(
                refuse("environment::abandoned", "it was abandoned").hint("take a later release")
            );
        }
        let mut targets = Vec::new();
        for app in &release.apps {
            let name = PackageName::parse(&app.name)?;
            let is_wanted = match &self.request.apps {
                Apps::Named(names) => names.contains(&name),
                Apps::Default | Apps::All => true,
            };
            if is_wanted {
                targets.push((name, Aim::Version(Version::parse(&app.version)?)));
            }
        }
        if targets.is_empty() {
            return Err(refuse("environment::no_apps", "it has no such app"));
        }
        Ok(targets)
    }

    /// What is live in another environment.
    pub(super) async fn live_in(
        &self,
        from: &EnvironmentName,
    ) -> Result<Vec<(PackageName, Aim)>, Failure> {
        if *from == self.request.environment {
            return Err(usage(
                "environment::from",
                format!("'from' and 'environment' are both {from}"),
            ));
        }
        let mut targets = Vec::new();
        for app in self.apps_with(from).await? {
            let log = Log {
                store: self.store(),
                app: &app,
                environment: from,
            };
            let tip = log.tip().await?;
            if tip.is_none() {
                self.check_environment(&app, from).await?;
            }
            let live = tip
                .as_ref()
                .and_then(|tip| tip.entry.state.version())
                .map(Version::parse)
                .transpose()?;
            match live {
                Some(version) => targets.push((app.clone(), Aim::Version(version))),
                None if self.request.apps == Apps::All => {}
                None => {
                    return Err(Failure::new(
                        Exit::Refused,
                        "environment::nothing_live",
                        format!("nothing of {app} is live in {from}"),
                    )
                    .hint("name a version with --to, PKGS_TO or the input to"));
                }
            }
        }
        if targets.is_empty() {
            return Err(Failure::new(
                Exit::Refused,
                "environment::nothing_live",
                format!("nothing is live in {from}"),
            )
            .hint("'status' shows what runs where"));
        }
        Ok(targets)
    }

    async fn apps_with(&self, environment: &EnvironmentName) -> Result<Vec<PackageName>, Failure> {
        if self.request.apps != Apps::All {
            return self.apps(None).await;
        }
        let mut apps = Vec::new();
        for app in builds::apps(self.store()).await? {
            if environments_of(self.store(), &app)
                .await?
                .contains(environment)
            {
                apps.push(app);
            }
        }
        Ok(apps)
    }

    /// Refuses an environment that the app is not to have, unless it was used before. Where no configuration is at hand, what the app
    /// was built for counts too.
    pub(super) async fn check_environment(
        &self,
        app: &PackageName,
        environment: &EnvironmentName,
    ) -> Result<(), Failure> {
        let mut known = environments_of(self.store(), app).await?;
        let versions = builds::versions(self.store(), app).await?;
        if known.is_empty() && versions.is_empty() {
            return Err(unknown_app(app, &builds::apps(self.store()).await?));
        }
        let configured = &self.request.environments;
        if configured.by_configuration && !known.contains(environment) {
            return check_configured(app, environment, configured.of(app));
        }
        known.extend(configured.of(app).iter().cloned());
        for (_, variant) in versions {
            if let Variant::Environment(name) = variant {
                known.push(name);
            }
        }
        check_environment(environment, known)
    }
}
