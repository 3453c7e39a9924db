//! An archive must run by itself on a host, and takes along no secrets: what is wrong with one is told together with all else, before anything
//! is decided.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::Builder;
use crate::explain::{Exit, Failure, quoted};
use crate::local::archive::{Entry, EntrySource};
use crate::local::{files, installed};
use crate::name::RepoPath;
use crate::plan::release::Notice;
use crate::workspace::key_files;
use crate::workspace::lockfile::closure::on_disk::Manifest;
use crate::workspace::package::Package;
use crate::workspace::self_contained::{Held, Paths, lacking, programs};

/// How many peers that are not there are named.
const SHOWN: usize = 10;

/// What goes into an archive.
#[derive(Debug, Default)]
pub(super) struct Contents {
    pub(super) entries: Vec<Entry>,
    /// The packages in `node_modules` by place, with the names that the lockfile knows an installed one to ask for; `None` where the archive
    /// holds no `node_modules`.
    pub(super) placed: Option<BTreeMap<String, Option<BTreeSet<String>>>>,
}

impl Builder<'_> {
    /// Adds the links to programs, and keeps a problem for everything that an archive lacks or may not hold.
    ///
    /// # Errors
    /// Those of the disk.
    pub(super) fn contain(
        &mut self,
        package: &Package,
        contents: &mut Contents,
    ) -> Result<(), Failure> {
        let keys = self.keys_in_archive(package, &contents.entries)?;
        self.problems.extend(keys);
        let Some(placed) = &contents.placed else {
            return Ok(());
        };
        let packages = held(placed, &contents.entries)?;
        let links = programs(&paths(&contents.entries), &packages);
        make_executable(&mut contents.entries, &links);
        contents
            .entries
            .extend(links.into_iter().map(|(path, target)| Entry {
                path,
                source: EntrySource::Link { target },
                executable: false,
            }));
        let app = package.name.as_str();
        let lacking = lacking(app, &paths(&contents.entries), &packages);
        self.problems.extend(lacking.problems);
        if !lacking.peers.is_empty() {
            let notice = missing_peers(app, &lacking.peers);
            self.notices.retain(|known| known.message != notice.message);
            self.notices.push(notice);
        }
        Ok(())
    }

    /// The secrets of the repository among the entries; what is installed was published.
    fn keys_in_archive(
        &self,
        package: &Package,
        entries: &[Entry],
    ) -> Result<Vec<Failure>, Failure> {
        let top = (self.top.canonicalize())
            .map_err(|error| files::failed("files::read", "read", &self.top, &error))?;
        let mut failures = Vec::new();
        for entry in entries {
            let EntrySource::File(at) = &entry.source else {
                continue;
            };
            let below = at
                .strip_prefix(&top)
                .or_else(|_| at.strip_prefix(&self.top));
            let Some(below) = below.ok().and_then(Path::to_str) else {
                continue;
            };
            if below.split('/').any(|part| part == "node_modules") {
                continue;
            }
            let beginning = super::tarball::beginning(at, key_files::read_of(&entry.path))?;
            let why = key_files::secret(&entry.path, &beginning);
            if let Some(why) = why.filter(|_| !self.is_meant(below)) {
                failures.push(key(package, &entry.path, why));
            }
        }
        Ok(failures)
    }

    /// Whether `key-files` names a file of the repository.
    fn is_meant(&self, path: &str) -> bool {
        let Ok(path) = RepoPath::parse(path) else {
            return false;
        };
        let packages = self.workspace.packages.iter().map(|one| &one.directory);
        let mut packages = packages.chain([&self.workspace.directory]);
        packages.any(|directory| self.key_files.matches(&path, directory))
    }
}

fn key(package: &Package, path: &str, why: &str) -> Failure {
    let what = format!(
        "the archive of {} would hold {}",
        package.name,
        quoted(path)
    );
    Failure::new(Exit::Refused, "build::key_file", what)
        .because(why)
        .because("an archive lies in the store and on every host")
        .hint("leave it out with `include`, or of a package of the workspace with its `files`; where it is meant, `key-files` names it")
}

fn missing_peers(app: &str, peers: &[String]) -> Notice {
    let more = peers.len().saturating_sub(SHOWN);
    let shown = peers[..peers.len() - more].join(", ");
    let rest = match more {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Notice {
        code: "archive::missing_peer",
        message: format!("the archive of {app} lacks peers, as the workspace does: {shown}{rest}"),
    }
}

/// The packages in an archive, each as its entries describe it.
fn held(
    placed: &BTreeMap<String, Option<BTreeSet<String>>>,
    entries: &[Entry],
) -> Result<Vec<Held>, Failure> {
    let mut packages = Vec::new();
    let own = (String::new(), None);
    let placed = placed.iter().map(|(at, asks)| (at.clone(), asks.clone()));
    let by_path: BTreeMap<&str, &EntrySource> = entries
        .iter()
        .map(|entry| (entry.path.as_str(), &entry.source))
        .collect();
    for (at, asks) in placed.chain([own]) {
        let path = if at.is_empty() {
            "package.json".to_owned()
        } else {
            format!("{at}/package.json")
        };
        let manifest = match by_path.get(path.as_str()) {
            Some(EntrySource::Bytes(text)) => Manifest::read(text),
            Some(EntrySource::File(at)) => installed::manifest(at)?,
            Some(EntrySource::Link { .. }) | None => Manifest::default(),
        };
        packages.push(Held { at, manifest, asks });
    }
    Ok(packages)
}

fn paths(entries: &[Entry]) -> Paths<'_> {
    let entries = entries.iter().map(|entry| match &entry.source {
        EntrySource::Link { target } => (entry.path.as_str(), Some(target.as_str())),
        _ => (entry.path.as_str(), None),
    });
    entries.collect()
}

/// What a link in `.bin` leads to can be run: package managers see to that where they install.
fn make_executable(entries: &mut [Entry], links: &[(String, String)]) {
    let targets: BTreeSet<String> = links
        .iter()
        .filter_map(|(path, target)| {
            let (folder, _) = path.rsplit_once("/.bin/")?;
            Some(format!("{folder}/{}", target.strip_prefix("../")?))
        })
        .collect();
    for entry in entries {
        entry.executable |= targets.contains(&entry.path);
    }
}
