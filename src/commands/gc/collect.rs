//! Deleting what nobody needs: look at everything, let every environment give versions up, look again, delete; what names something goes before what
//! it names, so that whoever finds a name finds what it stands for.

mod look;

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};

use self::look::Look;
use crate::apply::point::{Judge, Log, Pointed, Tip};
use crate::apply::static_files::OpenRoot;
use crate::environment::entry::{Circumstances, State};
use crate::explain::{Exit, Failure};
use crate::local::stop::Stop;
use crate::name::{EnvironmentName, Key, PackageName};
use crate::plan::promote::Judgement;
use crate::plan::retention::{self, Facts, Gone, Names, Object, Policy, Retire, Sweep, Why};
use crate::release::layout;
use crate::remote::store::{Store, StoreError, Unfinished};
use crate::report::gc::{Collected, Deleted, KeptVersion, Kind, Retired, Waiting};
use crate::version::Version;

/// How often a removal is sent while nobody can say whether it happened.
const SENDS: usize = 5;
/// How many objects are removed before the run asks whether it shall stop.
const BATCH: usize = 1000;

/// Everything that deleting needs.
pub struct Ground<'a> {
    /// The store.
    pub store: &'a dyn Store,
    /// Opens static roots.
    pub roots: &'a dyn OpenRoot,
    /// How much apps keep that are not named below.
    pub policy: Policy,
    /// How much each of these apps keeps.
    pub policies: &'a BTreeMap<PackageName, Policy>,
    /// Now, in seconds since 1970.
    pub now: i64,
    /// How many requests run side by side, at least 1.
    pub concurrency: usize,
    /// Asked before each step.
    pub stop: &'a Stop,
    /// Who asks, as log entries say it.
    pub by: By,
}

/// Who asks, as log entries say it.
#[derive(Debug, Clone)]
pub struct By {
    /// Who.
    pub actor: String,
    /// The workflow run.
    pub run: Option<String>,
    /// Now, RFC 3339.
    pub at: String,
    /// What makes this request one.
    pub operation: String,
}

/// An object of a static root that goes.
struct InRoot {
    root: String,
    objects: Vec<Object>,
}

impl Ground<'_> {
    fn look(&self) -> Look<'_> {
        Look {
            store: self.store,
            policy: self.policy,
            policies: self.policies,
            now: self.now,
            concurrency: self.concurrency.max(1),
        }
    }

    /// What would be done now, without writing anything.
    ///
    /// # Errors
    /// Those of the store; exit 6 where a document cannot be read: what it names is not known then.
    pub async fn rehearse(&self) -> Result<Collected, Failure> {
        let facts = self.look().facts().await?;
        let sweep = retention::sweep(&facts);
        let mut collected = told(&sweep);
        collected.dry_run = true;
        for retire in &sweep.retire {
            collected
                .retired
                .push(retired(retire, &retire.environments, None));
        }
        for given in &sweep.versions {
            collected.deleted.push(Deleted::version(given));
        }
        for (kind, gone) in single(&sweep) {
            collected.gone(kind, gone.iter());
        }
        for root in self
            .unnamed_files(&facts, &sweep.named, &mut collected)
            .await?
        {
            collected.files(&root.root, &root.objects);
        }
        let uploads = self.left_uploads(&mut collected).await;
        collected.uploads(uploads.iter().map(|upload| &upload.key));
        Ok(collected)
    }

    /// Does it. What was done before something failed is told with the failure.
    ///
    /// # Errors
    /// Where nothing was done: as [`Ground::rehearse`].
    pub async fn collect(&self) -> Result<Collected, Failure> {
        let facts = self.look().facts().await?;
        let sweep = retention::sweep(&facts);
        let mut collected = told(&sweep);
        if let Err(failure) = self.carry_out(&facts, &sweep, &mut collected).await {
            collected.failure = Some(failure);
        }
        Ok(collected)
    }

    async fn carry_out(
        &self,
        facts: &Facts,
        sweep: &Sweep,
        collected: &mut Collected,
    ) -> Result<(), Failure> {
        self.retire(&sweep.retire, collected).await?;
        let left = self.delete_versions(sweep, collected).await?;
        self.delete_seals(sweep, collected).await?;
        for (kind, gone) in [
            (Kind::Delta, &sweep.deltas),
            (Kind::Archive, &sweep.copies),
            (Kind::Probe, &sweep.probes),
        ] {
            self.delete_objects(kind, gone, collected).await?;
        }
        let mut named = sweep.named.clone();
        named.add(&left);
        self.delete_blobs(facts, sweep, &left, collected).await?;
        self.delete_files(facts, &named, collected).await?;
        self.give_back(collected).await
    }

    /// Appends what is given up to every log, each time judged on the entry that it follows.
    async fn retire(&self, retire: &[Retire], collected: &mut Collected) -> Result<(), Failure> {
        let mut tips: BTreeMap<(PackageName, EnvironmentName), Tip> = BTreeMap::new();
        let outcome = self.append(retire, &mut tips, collected).await;
        for ((app, environment), tip) in &tips {
            let log = self.log(app, environment);
            if let Err(failure) = log.advance_hint(tip).await {
                tracing::warn!(%failure, "current.json was not moved; readers list the log instead");
            }
        }
        outcome
    }

    async fn append(
        &self,
        retire: &[Retire],
        tips: &mut BTreeMap<(PackageName, EnvironmentName), Tip>,
        collected: &mut Collected,
    ) -> Result<(), Failure> {
        for given_up in retire {
            let mut environments = Vec::new();
            let mut kept = None;
            for environment in &given_up.environments {
                self.stop.check()?;
                let log = self.log(&given_up.app, environment);
                let mut judging = Judging {
                    look: self.look(),
                    log,
                    version: &given_up.version,
                };
                let by = self.circumstances(&given_up.app, environment, &given_up.version);
                let pointed = log.append(&by, &mut judging).await;
                let pointed = match pointed {
                    Ok(pointed) => pointed,
                    Err(failure) => {
                        collected
                            .retired
                            .push(retired(given_up, &environments, None));
                        return Err(failure);
                    }
                };
                match pointed {
                    Pointed::Appended { tip, .. } => {
                        environments.push(environment.clone());
                        tips.insert((given_up.app.clone(), environment.clone()), tip);
                    }
                    Pointed::Happened { .. } => environments.push(environment.clone()),
                    Pointed::Stayed { judgement, .. } => {
                        // Somebody came back to it, or pinned it, while we looked: it stays, here and by that everywhere.
                        if let Judgement::AlreadyThere { reasons } = judgement {
                            kept = reasons.first().cloned();
                        }
                        break;
                    }
                }
            }
            collected
                .retired
                .push(retired(given_up, &environments, kept));
        }
        Ok(())
    }

    fn log<'b>(&'b self, app: &'b PackageName, environment: &'b EnvironmentName) -> Log<'b> {
        Log {
            store: self.store,
            app,
            environment,
        }
    }

    fn circumstances(
        &self,
        app: &PackageName,
        environment: &EnvironmentName,
        version: &Version,
    ) -> Circumstances {
        let text = [
            self.by.operation.as_str(),
            "gc",
            app.as_str(),
            environment.as_str(),
            &version.to_string(),
        ]
        .join("\n");
        Circumstances {
            app: app.clone(),
            environment: environment.clone(),
            operation: crate::environment::entry::operation(&text),
            actor: self.by.actor.clone(),
            reason: Some(Why::Unneeded.to_string()),
            run: self.by.run.clone(),
            at: self.by.at.clone(),
        }
    }

    /// Looks at the logs once more, so that an environment that is new since counts too, and deletes the versions that all of them gave up: the copies
    /// first, the manifests last. What is named by those that stay after all is answered.
    async fn delete_versions(
        &self,
        sweep: &Sweep,
        collected: &mut Collected,
    ) -> Result<Names, Failure> {
        let mut again = BTreeMap::new();
        let (mut versions, mut left) = (Vec::new(), Names::default());
        for given in &sweep.versions {
            if !again.contains_key(&given.app) {
                again.insert(given.app.clone(), self.look().places(&given.app).await?);
            }
            let is_deletable = again
                .get(&given.app)
                .is_some_and(|places| retention::is_deletable(places, &given.version.to_string()));
            if is_deletable {
                versions.push(given);
            } else {
                left.add(&given.names);
            }
        }
        let (mut copies, mut manifests) = (Vec::new(), Vec::new());
        for object in versions.iter().flat_map(|given| &given.objects) {
            if layout::build_of(&object.key).is_some() {
                manifests.push(object.key.clone());
            } else {
                copies.push(object.key.clone());
            }
        }
        self.remove(&copies).await?;
        self.remove(&manifests).await?;
        collected
            .deleted
            .extend(versions.into_iter().map(Deleted::version));
        Ok(left)
    }

    /// Deletes the seals that are as they were: one that was written since is about to be decided.
    async fn delete_seals(&self, sweep: &Sweep, collected: &mut Collected) -> Result<(), Failure> {
        if sweep.seals.is_empty() {
            return Ok(());
        }
        let there = look::objects(self.store, layout::SEALS).await?;
        let gone: Vec<&Gone> = sweep.seals.iter().collect();
        if let Some(changed) = gone.iter().find(|gone| {
            !there.contains(&gone.object)
                && there.iter().any(|object| object.key == gone.object.key)
        }) {
            return Err(in_use(&changed.object.key));
        }
        let keys: Vec<Key> = gone.iter().map(|gone| gone.object.key.clone()).collect();
        self.remove(&keys).await?;
        collected.gone(Kind::Seal, gone.into_iter());
        Ok(())
    }

    async fn delete_objects(
        &self,
        kind: Kind,
        gone: &[Gone],
        collected: &mut Collected,
    ) -> Result<(), Failure> {
        let keys: Vec<Key> = gone.iter().map(|gone| gone.object.key.clone()).collect();
        self.remove(&keys).await?;
        collected.gone(kind, gone.iter());
        Ok(())
    }

    /// Deletes the bytes that nothing names, a shelf at a time; right before each, it looks whether a seal that is new since names some of them, and
    /// whether somebody wrote them once more.
    async fn delete_blobs(
        &self,
        facts: &Facts,
        sweep: &Sweep,
        left: &Names,
        collected: &mut Collected,
    ) -> Result<(), Failure> {
        let mut shelves: BTreeMap<&str, Vec<&Gone>> = BTreeMap::new();
        for gone in &sweep.blobs {
            if let Some(shelf) = layout::shelf_of(&gone.object.key) {
                shelves.entry(shelf).or_default().push(gone);
            }
        }
        let mut known = known_seals(facts);
        let mut named = left.clone();
        for (shelf, gone) in shelves {
            self.stop.check()?;
            named.add(&self.look().new_names(&mut known).await?);
            let there: BTreeSet<Key> = look::objects(self.store, shelf)
                .await?
                .into_iter()
                .filter(|object| retention::is_old(self.now, object))
                .map(|object| object.key)
                .collect();
            let is_named =
                |key: &Key| layout::blob_of(key).is_none_or(|digest| named.blobs.contains(&digest));
            let gone: Vec<&Gone> = gone
                .into_iter()
                .filter(|gone| there.contains(&gone.object.key) && !is_named(&gone.object.key))
                .collect();
            let keys: Vec<Key> = gone.iter().map(|gone| gone.object.key.clone()).collect();
            self.remove(&keys).await?;
            collected.gone(Kind::Blob, gone.into_iter());
        }
        Ok(())
    }

    async fn delete_files(
        &self,
        facts: &Facts,
        named: &Names,
        collected: &mut Collected,
    ) -> Result<(), Failure> {
        let mut known = known_seals(facts);
        for files in self.unnamed_files(facts, named, collected).await? {
            let root = self.roots.open(&files.root).await?;
            for batch in files.objects.chunks(BATCH) {
                self.stop.check()?;
                let new = self.look().new_names(&mut known).await?;
                let objects: Vec<Object> = batch
                    .iter()
                    .filter(|object| !new.paths.contains(object.key.as_str()))
                    .cloned()
                    .collect();
                let keys: Vec<Key> = objects.iter().map(|object| object.key.clone()).collect();
                remove(root.as_ref(), &keys).await?;
                collected.files(&files.root, &objects);
            }
        }
        Ok(())
    }

    /// The static files that nothing names, root by root: those that this store's apps own and that are old. A root that cannot be looked at is said.
    async fn unnamed_files(
        &self,
        facts: &Facts,
        named: &Names,
        collected: &mut Collected,
    ) -> Result<Vec<InRoot>, Failure> {
        let apps: BTreeSet<&str> = facts.apps.iter().map(|app| app.name.as_str()).collect();
        let mut found = Vec::new();
        for resolved in self.look().roots(facts).await? {
            self.stop.check()?;
            let root = match self.roots.open(&resolved).await {
                Ok(root) => root,
                Err(failure) => {
                    collected.notices.push(format!(
                        "the static files at {resolved} were not looked at: {failure}"
                    ));
                    continue;
                }
            };
            let there = look::objects(root.as_ref(), "").await?;
            let candidates = retention::unnamed(self.now, &there, named);
            let owned = stream::iter(candidates)
                .map(|object| {
                    let root = root.as_ref();
                    let apps = &apps;
                    async move {
                        let info = root.head(&object.key).await?;
                        let is_ours = info.is_some_and(|info| {
                            let metadata = &info.headers.metadata;
                            let app = metadata.get("app").map(String::as_str);
                            app.is_some_and(|app| apps.contains(app))
                                && metadata.contains_key("sha256")
                        });
                        Ok::<_, Failure>(is_ours.then(|| object.clone()))
                    }
                })
                .buffered(self.concurrency.max(1));
            let objects: Vec<Object> = owned
                .try_filter_map(|owned| async move { Ok(owned) })
                .try_collect()
                .await?;
            if !objects.is_empty() {
                found.push(InRoot {
                    root: resolved,
                    objects,
                });
            }
        }
        Ok(found)
    }

    /// The uploads that whoever began them left. Where they cannot be listed, that is said.
    async fn left_uploads(&self, collected: &mut Collected) -> Vec<Unfinished> {
        match self.store.unfinished(layout::EVERYTHING).await {
            Ok(uploads) => {
                let (left, nameless) = left_of(self.now, uploads);
                if nameless > 0 {
                    collected.notices.push(format!(
                        "{nameless} unfinished uploads have no id in the list of the store, so they cannot be given back"
                    ));
                }
                left
            }
            Err(StoreError::Uncertain(failure) | StoreError::Failed(failure)) => {
                let what = format!("unfinished uploads were not looked for: {failure}");
                collected.notices.push(what);
                Vec::new()
            }
        }
    }

    /// Gives back what the store holds of uploads that were left. Where that is not permitted, that is said.
    async fn give_back(&self, collected: &mut Collected) -> Result<(), Failure> {
        for upload in self.left_uploads(collected).await {
            self.stop.check()?;
            match give_back(self.store, &upload).await {
                Ok(()) => collected.uploads(std::iter::once(&upload.key)),
                Err(failure) if failure.exit() == Exit::RemoteRefused => {
                    let what = format!("unfinished uploads were not given back: {failure}");
                    collected.notices.push(what);
                    break;
                }
                Err(failure) => return Err(failure),
            }
        }
        Ok(())
    }

    async fn remove(&self, keys: &[Key]) -> Result<(), Failure> {
        for batch in keys.chunks(BATCH) {
            self.stop.check()?;
            remove(self.store, batch).await?;
        }
        Ok(())
    }
}

/// Removes objects. A removal that may have happened is sent again: it does no more than the first one.
async fn remove(store: &dyn Store, keys: &[Key]) -> Result<(), Failure> {
    let mut sent = 0;
    loop {
        sent += 1;
        match store.delete_all(keys).await {
            Err(StoreError::Uncertain(_)) if sent < SENDS => {}
            outcome => return Ok(outcome?),
        }
    }
}

/// Those of `uploads` that whoever began them left, and how many of them the store gives no id: a request to give them back could not say which it
/// means.
fn left_of(now: i64, uploads: Vec<Unfinished>) -> (Vec<Unfinished>, usize) {
    let left = uploads
        .into_iter()
        .filter(|upload| retention::is_left(now, upload.begun));
    let (named, nameless): (Vec<_>, Vec<_>) = left.partition(|upload| !upload.id.is_empty());
    (named, nameless.len())
}

/// Gives an upload back. As with [`remove`], what may have happened is asked for again.
async fn give_back(store: &dyn Store, upload: &Unfinished) -> Result<(), Failure> {
    let mut sent = 0;
    loop {
        sent += 1;
        match store.give_back(upload).await {
            Err(StoreError::Uncertain(_)) if sent < SENDS => {}
            outcome => return Ok(outcome?),
        }
    }
}

/// A seal that was to go was written once more: what it names must stay, so nothing more is deleted.
fn in_use(key: &Key) -> Failure {
    let what = format!("{key} was to be deleted, and a release uses it again");
    Failure::new(Exit::Temporary, "gc::in_use", what)
        .because("it was written while this run looked; nothing that seals name was deleted")
        .hint("run `gc` again when the release is done")
}

fn known_seals(facts: &Facts) -> BTreeSet<Key> {
    facts
        .seals
        .iter()
        .map(|seal| seal.object.key.clone())
        .collect()
}

/// The kinds of objects that go one by one.
fn single(sweep: &Sweep) -> [(Kind, &[Gone]); 5] {
    [
        (Kind::Delta, &sweep.deltas),
        (Kind::Seal, &sweep.seals),
        (Kind::Archive, &sweep.copies),
        (Kind::Probe, &sweep.probes),
        (Kind::Blob, &sweep.blobs),
    ]
}

/// What a sweep says besides what is done.
fn told(sweep: &Sweep) -> Collected {
    let mut collected = Collected::new();
    collected.waiting = sweep
        .waiting
        .iter()
        .map(|(app, version)| Waiting {
            app: app.to_string(),
            version: version.to_string(),
        })
        .collect();
    collected.kept = sweep
        .kept
        .iter()
        .map(|kept| KeptVersion {
            app: kept.app.to_string(),
            version: kept.version.to_string(),
            why: kept.why.to_string(),
        })
        .collect();
    collected.open_seals = sweep.open_seals;
    collected
}

fn retired(retire: &Retire, environments: &[EnvironmentName], kept: Option<String>) -> Retired {
    Retired {
        app: retire.app.to_string(),
        version: retire.version.to_string(),
        environments: environments.iter().map(ToString::to_string).collect(),
        why: retire.why.to_string(),
        bytes: retire.bytes,
        kept,
    }
}

/// Judges giving a version up on the newest entry.
struct Judging<'a> {
    look: Look<'a>,
    log: Log<'a>,
    version: &'a Version,
}

#[async_trait]
impl Judge for Judging<'_> {
    async fn judge(&mut self, _: &State, tip: Option<&Tip>) -> Result<Judgement, Failure> {
        let Some(tip) = tip else {
            let reasons = vec![format!("{} has no log", self.log.environment)];
            return Ok(Judgement::AlreadyThere { reasons });
        };
        let place = self.look.place(self.log, tip, &[]).await?;
        let policy = self.look.policy_of(self.log.app);
        Ok(retention::judge(
            &place,
            policy,
            self.look.now,
            self.version,
        ))
    }
}

#[cfg(test)]
mod tests;
