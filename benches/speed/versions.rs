//! The whole `version` step: manifests, lockfile and changelogs are written, the commit and its tags are made, nothing is pushed. Beside it
//! what people use for the same, and a bare script that is told every version and only writes.
//!
//! Packages name one another by exact versions, so that all tools bump the same ones: what changed and all that depend on it.
//!
//! Each has a repository of its own. Before each run, while no clock runs, that is made what it was before the first: branch, tags, index and
//! files, and no object of an earlier run. All of it is on the disk by then, so that nobody waits there for what another wrote.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde_json::{Map, Value, json};

use crate::measure::{aim, measure, print};
use crate::repository::{self, Bases, Ranges, Size, git, git_says};
use crate::tools::{self, Peers};

/// Measures it in a repository of a size.
pub fn bench(rounds: usize, size: Size, peers: &Peers) -> io::Result<()> {
    let directory = tempfile::tempdir()?;
    let origin = directory.path().join("origin");
    fs::create_dir(&origin)?;
    repository::generate(&origin, size, Bases::Together, Ranges::Left)?;
    let told = directory.path().join("released.json");
    fs::write(&told, released(&origin)?.to_string())?;
    let place = |name: &str| -> io::Result<PathBuf> {
        let place = directory.path().join(name);
        repository::copy(&origin, &place)?;
        Ok(place)
    };
    let [ours, script, changesets, lerna] = [
        place("ours")?,
        place("script")?,
        place("changesets")?,
        place("lerna")?,
    ];
    add_intents(&changesets)?;
    let [ours, script, changesets, lerna] = [
        Place::new(ours)?,
        Place::new(script)?,
        Place::new(changesets)?,
        Place::new(lerna)?,
    ];
    let rows = measure(
        rounds,
        &mut [
            tools::bare_script(&script, &told),
            tools::version(&ours),
            peers.changesets(&changesets),
            peers.lerna_version(&lerna),
        ],
    )?;
    print("versions, commit and tags", &rows);
    let [script, version, changesets, lerna] = rows.as_slice() else {
        return Ok(());
    };
    aim("version / bare script", version.over(script), true, 1.0);
    aim(
        "changesets / version",
        changesets.over(version),
        false,
        10.0,
    );
    aim("lerna / version", lerna.over(version), false, 200.0);
    aim("memory of version in MiB", version.memory(), true, 200.0);
    Ok(())
}

/// What a release would take, for a script that decides nothing itself: each package's name, directory, versions and tag.
fn released(repository: &Path) -> io::Result<Value> {
    let output = tools::tool(repository, &["plan", "--format", "json"]).output()?;
    let plan: Value = serde_json::from_slice(&output.stdout)?;
    let packages = plan["packages"].as_array().cloned().unwrap_or_default();
    let fields = ["name", "dir", "from", "to", "tag"];
    let told = packages.iter().map(|package| {
        let told = fields.map(|field| (field.to_owned(), package[field].clone()));
        Value::Object(Map::from_iter(told))
    });
    Ok(told.collect())
}

/// An intent for each package that changed, as its developer would have committed it, and the configuration that `changeset init` writes.
fn add_intents(repository: &Path) -> io::Result<()> {
    let intents = repository.join(".changeset");
    fs::create_dir(&intents)?;
    let configuration = json!({
        "changelog": "@changesets/cli/changelog",
        "commit": false,
        "fixed": [],
        "linked": [],
        "access": "restricted",
        "baseBranch": "main",
        "updateInternalDependencies": "patch",
        "ignore": [],
    });
    fs::write(intents.join("config.json"), configuration.to_string())?;
    let tag = repository::newest_tag(repository)?;
    let changed = git_says(repository, &["diff", "--name-only", &tag, "HEAD"])?;
    let changed: BTreeSet<&str> = changed
        .lines()
        .filter_map(|path| path.split('/').nth(1))
        .collect();
    for package in changed {
        let intent = format!("---\n\"@bench/{package}\": patch\n---\n\nchange {package}\n");
        fs::write(intents.join(format!("{package}.md")), intent)?;
    }
    git(repository, &["add", ".changeset"])?;
    git(repository, &["commit", "--quiet", "-m", "chore: intents"])
}

/// A repository that is made what it was, again and again.
pub struct Place {
    directory: PathBuf,
    head: String,
    packed_refs: Vec<u8>,
    packs: BTreeSet<OsString>,
}

impl Place {
    fn new(directory: PathBuf) -> io::Result<Place> {
        git(&directory, &["repack", "-adq"])?;
        git(&directory, &["prune-packed"])?;
        Ok(Place {
            head: git_says(&directory, &["rev-parse", "HEAD"])?,
            packed_refs: fs::read(directory.join(".git/packed-refs"))?,
            packs: names(&directory.join(".git/objects/pack"))?,
            directory,
        })
    }

    /// Where it is.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// How many packages the last run released: the tags at the commit that it made.
    pub fn tagged(&self) -> Option<usize> {
        let head = git_says(&self.directory, &["rev-parse", "HEAD"]).ok()?;
        let tags = git_says(&self.directory, &["tag", "--points-at", "HEAD"]).ok()?;
        (head != self.head).then(|| tags.lines().count())
    }

    /// Makes it what it was.
    pub fn restore(&self) -> io::Result<()> {
        git(&self.directory, &["reset", "--quiet", "--hard", &self.head])?;
        git(&self.directory, &["clean", "--quiet", "--force", "-d"])?;
        let own = self.directory.join(".git");
        fs::write(own.join("packed-refs"), &self.packed_refs)?;
        fs::remove_dir_all(own.join("refs/tags"))?;
        fs::create_dir(own.join("refs/tags"))?;
        for name in names(&own.join("objects"))? {
            if name.len() == 2 {
                fs::remove_dir_all(own.join("objects").join(name))?;
            }
        }
        let packs = own.join("objects/pack");
        for name in names(&packs)?.difference(&self.packs) {
            fs::remove_file(packs.join(name))?;
        }
        // Files as young as the index are compared by their content: here they would be, for no work tree is used so soon otherwise.
        let later = SystemTime::now() + Duration::from_secs(2);
        File::options()
            .append(true)
            .open(own.join("index"))?
            .set_modified(later)?;
        rustix::fs::sync();
        Ok(())
    }
}

fn names(directory: &Path) -> io::Result<BTreeSet<OsString>> {
    fs::read_dir(directory)?
        .map(|entry| Ok(entry?.file_name()))
        .collect()
}
