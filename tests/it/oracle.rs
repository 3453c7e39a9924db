//! What must be true after every release, however it came about: looked up with git, plain HTTP and hashes, never with the tool's own code.
//!
//! The numbers I1 … are those of the invariants that the tool promises: exactly once (1), tags tell the truth (2), one build (3),
//! one outcome (6), a complete release can be read in full (7, 8), a linear pointer log (9), no half push (15).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use base64::Engine as _;
use serde_json::Value;
use sha2::Digest as _;

use super::support::{http, moto, sandbox};

/// Where the truth lies, addressed directly and not through a proxy.
#[derive(Debug, Clone)]
pub struct World<'a> {
    /// The bare repository that decides.
    pub bare: &'a Path,
    /// The registry, with a final slash.
    pub registry: &'a str,
    /// Endpoint and bucket; the store lies below `store/`, static files below `static/`.
    pub bucket: Option<(&'a str, &'a str)>,
    /// How many releases must have happened, the first one included.
    pub releases: usize,
    /// The environment that every release activates.
    pub environment: &'a str,
}

/// Everything that does not hold.
pub fn objections(world: &World<'_>) -> Vec<String> {
    let mut oracle = Oracle::default();
    let releases = oracle.repository(world);
    let published = oracle.registry(world, &releases);
    if let Some((endpoint, bucket)) = world.bucket {
        let objects = bucket_objects(endpoint, bucket);
        oracle.store(world, &releases, &published, &objects);
    }
    oracle.wrong
}

/// A tag of ours.
#[derive(Debug, Clone)]
struct Tag {
    name: String,
    package: String,
    version: String,
    seal: String,
    integrity: Option<String>,
}

/// Tags by the commit that they name.
type Releases = BTreeMap<String, Vec<Tag>>;
/// `name@version` → integrity, of all that the registry holds.
type Published = BTreeMap<String, String>;
type Objects = BTreeMap<String, Vec<u8>>;

#[derive(Default)]
struct Oracle {
    wrong: Vec<String>,
}

impl Oracle {
    fn that(&mut self, holds: bool, otherwise: impl FnOnce() -> String) {
        if !holds {
            self.wrong.push(otherwise());
        }
    }

    /// I2, I15 and the history: what the tags say is what their trees hold; no tag ever moved; releases lie on the branch.
    fn repository(&mut self, world: &World<'_>) -> Releases {
        let fsck = git(
            world.bare,
            &["fsck", "--strict", "--no-dangling", "--no-progress"],
        );
        self.that(fsck.is_some(), || {
            "git fsck finds the repository broken".into()
        });
        let refs = git(
            world.bare,
            &[
                "for-each-ref",
                "--format=%(refname) %(objecttype) %(*objectname)",
            ],
        )
        .unwrap_or_default();
        let mut releases = Releases::new();
        for line in refs.lines() {
            let words: Vec<&str> = line.split(' ').collect();
            let Some(name) = words[0].strip_prefix("refs/tags/") else {
                self.that(words[0] == "refs/heads/main", || {
                    format!("a stray ref {line}")
                });
                continue;
            };
            self.that(words[1] == "tag", || format!("{name} is not annotated"));
            let log = world.bare.join("logs").join(words[0]);
            let moves = std::fs::read_to_string(log)
                .unwrap_or_default()
                .lines()
                .count();
            self.that(moves == 1, || {
                format!("I2: {name} moved: {moves} entries in its log")
            });
            let message = git(world.bare, &["cat-file", "tag", name]).unwrap_or_default();
            let line_of = |key: &str| {
                let line = message.lines().find_map(|line| line.strip_prefix(key));
                line.map(|line| line.trim().to_owned())
            };
            let Some((package, version)) = name.rsplit_once('@') else {
                self.wrong.push(format!("I2: a strange tag {name}"));
                continue;
            };
            let Some(seal) = line_of("Pkgs-Seal:") else {
                self.wrong.push(format!("I2: {name} has no Pkgs-Seal line"));
                continue;
            };
            releases.entry(words[2].to_owned()).or_default().push(Tag {
                name: name.to_owned(),
                package: package.to_owned(),
                version: version.to_owned(),
                seal,
                integrity: line_of("Pkgs-Integrity:"),
            });
        }
        let branch = git(world.bare, &["rev-list", "main"]).unwrap_or_default();
        for (commit, tags) in &releases {
            self.that(branch.lines().any(|line| line == commit), || {
                format!("the release {commit} is not on main")
            });
            let manifests = manifests(world.bare, commit);
            for tag in tags {
                let held = manifests.get(&tag.package);
                self.that(held == Some(&tag.version), || {
                    format!("I2: {} names a tree that holds {held:?}", tag.name)
                });
            }
            let seals: BTreeSet<&str> = tags.iter().map(|tag| tag.seal.as_str()).collect();
            self.that(seals.len() == 1, || {
                format!("I3: {commit} has the seals {seals:?}")
            });
        }
        self.that(releases.len() == world.releases, || {
            format!(
                "{} releases instead of {}: {releases:#?}",
                releases.len(),
                world.releases
            )
        });
        releases
    }

    /// I1: what was decided is there once, with the decided bytes; nothing else is there; `latest` is the highest.
    fn registry(&mut self, world: &World<'_>, releases: &Releases) -> Published {
        let mut decided: BTreeMap<String, BTreeMap<String, (String, String)>> = BTreeMap::new();
        for (commit, tags) in releases {
            for tag in tags {
                if let Some(integrity) = &tag.integrity {
                    let versions = decided.entry(tag.package.clone()).or_default();
                    versions.insert(tag.version.clone(), (integrity.clone(), commit.clone()));
                }
            }
        }
        let mut published = Published::new();
        for (package, versions) in decided {
            let url = format!("{}{}", world.registry, package.replace('/', "%2f"));
            let packument: Value = get_json(&url).unwrap_or_default();
            let shown = packument["versions"]
                .as_object()
                .cloned()
                .unwrap_or_default();
            for (version, document) in &shown {
                let integrity = document["dist"]["integrity"].as_str().unwrap_or_default();
                published.insert(format!("{package}@{version}"), integrity.to_owned());
                let Some((sealed, commit)) = versions.get(version) else {
                    self.wrong.push(format!(
                        "I1: {package}@{version} is published, and no tag decided it"
                    ));
                    continue;
                };
                // Without a store another attempt may have built the same commit again; then `gitHead` tells whose it is.
                let same_commit = world.bucket.is_none() && document["gitHead"] == commit.as_str();
                self.that(integrity == sealed || same_commit, || {
                    format!("I1: {package}@{version} has {integrity}, decided was {sealed}")
                });
                self.tarball(world, &package, version, integrity);
            }
            for version in versions.keys() {
                self.that(shown.contains_key(version), || {
                    format!("I1: {package}@{version} is decided, but not published")
                });
            }
            let numbers = |version: &str| -> Vec<u64> {
                version
                    .split('.')
                    .filter_map(|part| part.parse().ok())
                    .collect()
            };
            let highest = versions.keys().max_by_key(|version| numbers(version));
            let latest = packument["dist-tags"]["latest"].as_str();
            self.that(latest == highest.map(String::as_str), || {
                format!("I14: latest of {package} is {latest:?}")
            });
        }
        published
    }

    /// The bytes behind a packument's entry are those it promises.
    fn tarball(&mut self, world: &World<'_>, package: &str, version: &str, integrity: &str) {
        let file = package.rsplit('/').next().unwrap_or(package);
        let url = format!("{}{package}/-/{file}-{version}.tgz", world.registry);
        let answer = http::send("GET", &url, &[], b"").expect("the registry answers");
        let hash = sha2::Sha512::digest(&answer.body);
        let found = format!(
            "sha512-{}",
            base64::engine::general_purpose::STANDARD.encode(hash)
        );
        self.that(answer.status == 200 && found == integrity, || {
            format!("I1: the tarball of {package}@{version} is {found}, promised is {integrity}")
        });
    }

    fn store(
        &mut self,
        world: &World<'_>,
        releases: &Releases,
        published: &Published,
        objects: &Objects,
    ) {
        for (key, bytes) in objects {
            if let Some((_, hex)) = key.split_once("store/v1/blobs/sha256/") {
                let expected = hex.split('/').next_back().unwrap_or_default();
                self.that(digest(bytes) == format!("sha256:{expected}"), || {
                    format!("I3: {key} holds other bytes")
                });
            }
        }
        let mut recorded: BTreeSet<String> = BTreeSet::new();
        let mut builds: BTreeSet<String> = BTreeSet::new();
        for (commit, tags) in releases {
            let named = self.release(commit, tags, published, objects, &mut builds);
            recorded.extend(named);
        }
        let keys = |prefix: &str| -> BTreeSet<String> {
            let below = objects.keys().filter(|key| key.starts_with(prefix));
            below.cloned().collect()
        };
        self.that(keys("store/v1/releases/") == recorded, || {
            format!("I6: {recorded:?} should be the releases in the store")
        });
        let held: BTreeSet<String> = keys("store/v1/apps/")
            .into_iter()
            .filter(|key| !key.contains("/environments/"))
            .collect();
        self.that(held == builds, || {
            format!("I3: the store holds {held:#?}, sealed are {builds:#?}")
        });
        // A seal that was never decided may lie there, but never two for one commit.
        let seals = keys("store/v1/seals/");
        let bases: BTreeSet<&str> = seals
            .iter()
            .filter_map(|key| Some(key.rsplit_once('/')?.0))
            .collect();
        self.that(bases.len() == seals.len(), || {
            format!("I3: two seals for one commit: {seals:#?}")
        });
        self.chain(releases, objects);
        let apps: BTreeSet<String> = keys("store/v1/apps/")
            .iter()
            .filter_map(|key| {
                Some(
                    key["store/v1/apps/".len()..]
                        .split_once("/environments/")?
                        .0
                        .to_owned(),
                )
            })
            .collect();
        self.that(apps.len() == 2, || {
            format!("two apps should be live: {apps:?}")
        });
        for app in apps {
            self.log(world, &app, objects);
        }
    }

    /// I6, I7: the record of a release, and everything that it names. Gives its key; `builds` gets what its seal says of apps.
    fn release(
        &mut self,
        commit: &str,
        tags: &[Tag],
        published: &Published,
        objects: &Objects,
        builds: &mut BTreeSet<String>,
    ) -> Option<String> {
        let sealed = tags[0].seal.split_once(' ');
        let (key, expected) = sealed.or_else(|| {
            self.wrong
                .push(format!("{commit} was released without a seal"));
            None
        })?;
        let bytes = objects.get(&format!("store/{key}")).or_else(|| {
            self.wrong.push(format!("I5: {key} is missing"));
            None
        })?;
        self.that(digest(bytes) == expected, || {
            format!("I3: {key} has other bytes than its tags say")
        });
        let seal: Value = serde_json::from_slice(bytes).unwrap_or_default();
        let names = |list: &Value| texts(list).collect::<BTreeSet<String>>();
        let tag_names: BTreeSet<String> = tags.iter().map(|tag| tag.name.clone()).collect();
        self.that(names(&seal["tags"]) == tag_names, || {
            format!(
                "I15: {commit} has the tags {tag_names:?}, sealed are {}",
                seal["tags"]
            )
        });
        for edit in list(&seal["commit"]["edits"]) {
            self.blob(&edit["digest"], objects, "an edit");
        }
        for package in list(&seal["packages"]) {
            let label = format!("{}@{}", text(&package["name"]), text(&package["version"]));
            self.blob(&package["digest"], objects, &label);
            let on_registry = published.get(&label).map(String::as_str);
            self.that(on_registry == package["integrity"].as_str(), || {
                format!(
                    "I7: {label} is sealed as {}, published as {on_registry:?}",
                    package["integrity"]
                )
            });
        }
        let id_tail = &commit[..12];
        let record = objects
            .keys()
            .find(|key| {
                key.starts_with("store/v1/releases/") && key.ends_with(&format!("-{id_tail}.json"))
            })
            .cloned();
        let Some(record) = record else {
            self.wrong.push(format!("I6: {commit} has no outcome"));
            return None;
        };
        let manifest = json(objects, &record);
        self.that(manifest["status"] == "complete", || {
            format!("I6: {record} is {}", manifest["status"])
        });
        self.that(
            manifest["commit"] == commit && manifest["seal"] == key,
            || {
                format!(
                    "I6: {record} is of {} with the seal {}",
                    manifest["commit"], manifest["seal"]
                )
            },
        );
        self.that(names(&manifest["tags"]) == tag_names, || {
            format!("I6: {record} has other tags")
        });
        let count = (
            list(&manifest["packages"]).count(),
            list(&seal["packages"]).count(),
        );
        self.that(count.0 == count.1, || {
            format!("I6: {record} has {} of {} packages", count.0, count.1)
        });
        for package in list(&manifest["packages"]) {
            let label = format!("{}@{}", text(&package["name"]), text(&package["version"]));
            let on_registry = published.get(&label).map(String::as_str);
            self.that(on_registry == package["integrity"].as_str(), || {
                format!("I7: {record}: {label}")
            });
        }
        for app in list(&seal["apps"]) {
            let (name, version, variant) = (
                text(&app["name"]),
                text(&app["version"]),
                text(&app["variant"]),
            );
            let directory = format!("store/v1/apps/{name}/{version}");
            let key = format!("{directory}/{variant}.json");
            let built = json(objects, &key);
            self.that(
                built["archive"] == app["archive"] && built["static"] == app["static"],
                || format!("I3: {key} is another build than the sealed one"),
            );
            self.that(built["git"]["commit"] == commit, || {
                format!("I7: {key} is of {}", built["git"])
            });
            let archive = &app["archive"];
            if !archive.is_null() {
                self.blob(&archive["digest"], objects, &key);
                let archive_key = format!("{directory}/{name}-{version}.tar.zst");
                let copy = objects.get(&archive_key).map(|bytes| digest(bytes));
                self.that(copy.as_deref() == archive["digest"].as_str(), || {
                    format!(
                        "I3: {archive_key} is {copy:?}, sealed is {}",
                        archive["digest"]
                    )
                });
                builds.insert(archive_key);
                self.blob(&app["files"]["digest"], objects, &key);
            }
            if !app["static"].is_null() {
                self.blob(&app["static"]["digest"], objects, &key);
                for file in list(&static_set(objects, &app["static"]["digest"])["files"]) {
                    self.blob(&file["digest"], objects, &key);
                }
            }
            builds.insert(key);
        }
        Some(record)
    }

    fn blob(&mut self, digest: &Value, objects: &Objects, what: &str) {
        let hex = text(digest).trim_start_matches("sha256:").to_owned();
        let held = hex.len() == 64 && objects.contains_key(&blob_key(&hex));
        self.that(held, || {
            format!("I7: {what} names the blob {digest}, which is not there")
        });
    }

    /// Each release names the one before it.
    fn chain(&mut self, releases: &Releases, objects: &Objects) {
        let records: Vec<Value> = objects
            .keys()
            .filter(|key| key.starts_with("store/v1/releases/"))
            .map(|key| json(objects, key))
            .collect();
        let firsts = records
            .iter()
            .filter(|record| record["previous"].is_null())
            .count();
        let ids: BTreeSet<String> = records.iter().map(|record| text(&record["id"])).collect();
        let befores: BTreeSet<String> = records
            .iter()
            .filter(|record| !record["previous"].is_null())
            .map(|record| text(&record["previous"]))
            .collect();
        let chained = firsts == 1 && befores.len() + 1 == releases.len() && befores.is_subset(&ids);
        self.that(chained, || {
            format!("I17: the releases are no chain: {records:#?}")
        });
    }

    /// I8, I9: entries 1 … n, each with the digest of the one before, each pointing at a build that is there; once for each release.
    fn log(&mut self, world: &World<'_>, app: &str, objects: &Objects) {
        let place = format!("store/v1/apps/{app}/environments/{}", world.environment);
        let entries: Vec<&String> = objects
            .keys()
            .filter(|key| key.starts_with(&format!("{place}/log/")))
            .collect();
        self.that(entries.len() == world.releases, || {
            format!(
                "I9: {app} was activated {} times in {} releases",
                entries.len(),
                world.releases
            )
        });
        let mut before = Value::Null;
        let mut operations = BTreeSet::new();
        for (index, key) in entries.iter().enumerate() {
            let seq = index + 1;
            self.that(key.ends_with(&format!("/log/{seq:012}.json")), || {
                format!("I9: a gap before {key}")
            });
            let entry = json(objects, key);
            self.that(entry["seq"] == seq && entry["previous"] == before, || {
                format!(
                    "I9: {key} has seq {} after {}, not {before}",
                    entry["seq"], entry["previous"]
                )
            });
            self.that(operations.insert(text(&entry["operation"])), || {
                format!("I9: {key} happened before")
            });
            let target = &entry["target"];
            let manifest = format!(
                "store/v1/apps/{app}/{}/{}.json",
                text(&target["version"]),
                text(&target["variant"])
            );
            let held = objects.get(&manifest).map(|bytes| digest(bytes));
            self.that(held.as_deref() == target["manifestDigest"].as_str(), || {
                format!("I8: {key} points at {manifest}: {held:?}")
            });
            before = serde_json::json!({"seq": seq, "digest": digest(&objects[*key])});
        }
        let Some(tip) = entries.last() else { return };
        let hint = objects.get(&format!("{place}/current.json"));
        self.that(hint == objects.get(*tip), || {
            format!("{place}/current.json lags")
        });
        let live = json(objects, tip);
        let target = &live["target"];
        let manifest = json(
            objects,
            &format!(
                "store/v1/apps/{app}/{}/{}.json",
                text(&target["version"]),
                text(&target["variant"])
            ),
        );
        if manifest["static"].is_null() {
            return;
        }
        let applied = json(objects, &format!("{place}/static.json"));
        self.that(
            applied["seq"] == live["seq"] && applied["digest"] == manifest["static"]["digest"],
            || format!("{place}/static.json is {applied}, live is {}", live["seq"]),
        );
        for file in list(&static_set(objects, &manifest["static"]["digest"])["files"]) {
            let path = format!("static/{}", text(&file["path"]));
            let served = objects.get(&path).map(|bytes| digest(bytes));
            self.that(served.as_deref() == file["digest"].as_str(), || {
                format!("I8: {path} is {served:?}, live is {}", file["digest"])
            });
        }
    }
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn texts(value: &Value) -> impl Iterator<Item = String> {
    list(value).map(text)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn json(objects: &Objects, key: &str) -> Value {
    let bytes = objects.get(key).map(Vec::as_slice).unwrap_or_default();
    serde_json::from_slice(bytes).unwrap_or_default()
}

fn static_set(objects: &Objects, digest: &Value) -> Value {
    json(
        objects,
        &blob_key(text(digest).trim_start_matches("sha256:")),
    )
}

fn blob_key(hex: &str) -> String {
    format!(
        "store/v1/blobs/sha256/{}/{hex}",
        hex.get(..2).unwrap_or_default()
    )
}

fn digest(bytes: &[u8]) -> String {
    let hash = sha2::Sha256::digest(bytes);
    hash.iter().fold("sha256:".to_owned(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Name and version of every `package.json` below `packages/` in a commit.
fn manifests(bare: &Path, commit: &str) -> BTreeMap<String, String> {
    let listed = git(bare, &["ls-tree", "-r", "--name-only", commit, "packages/"]);
    listed
        .unwrap_or_default()
        .lines()
        .filter(|path| path.ends_with("/package.json"))
        .filter_map(|path| git(bare, &["cat-file", "blob", &format!("{commit}:{path}")]))
        .filter_map(|bytes| {
            let manifest: Value = serde_json::from_str(&bytes).ok()?;
            Some((text(&manifest["name"]), text(&manifest["version"])))
        })
        .collect()
}

/// What git printed; `None` when it failed.
pub fn git(bare: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new("git")
        .arg("-C")
        .arg(bare)
        .args(arguments)
        .env_clear()
        .env("PATH", sandbox::search_path())
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .stdin(Stdio::null())
        .output()
        .expect("git runs");
    if !output.status.success() {
        let _ = std::io::stderr().write_all(&output.stderr);
        return None;
    }
    Some(
        String::from_utf8_lossy(&output.stdout)
            .trim_end()
            .to_owned(),
    )
}

fn get_json(url: &str) -> Option<Value> {
    let answer = http::send("GET", url, &[], b"").expect("the server answers");
    (answer.status == 200).then(|| serde_json::from_slice(&answer.body).expect("JSON"))
}

/// Every object of a bucket with its bytes, as plain HTTP gives them.
pub fn bucket_objects(endpoint: &str, bucket: &str) -> Objects {
    bucket_tags(endpoint, bucket)
        .into_keys()
        .map(|key| {
            let url = format!("{endpoint}/{bucket}/{key}");
            let answer = http::send("GET", &url, &[moto::SIGNED], b"").expect("the server answers");
            assert_eq!(answer.status, 200, "GET {url}");
            (key, answer.body)
        })
        .collect()
}

/// Every key of a bucket with its entity tag.
pub fn bucket_tags(endpoint: &str, bucket: &str) -> BTreeMap<String, String> {
    let url = format!("{endpoint}/{bucket}?list-type=2&max-keys=1000");
    let answer = http::send("GET", &url, &[moto::SIGNED], b"").expect("the server answers");
    let listing = String::from_utf8_lossy(&answer.body).into_owned();
    assert!(
        listing.contains("<IsTruncated>false<"),
        "one page is enough: {listing}"
    );
    let within = |text: &str, name: &str| {
        let (_, rest) = text.split_once(&format!("<{name}>"))?;
        Some(rest.split_once('<')?.0.replace("&quot;", "\""))
    };
    listing
        .split("<Contents>")
        .skip(1)
        .filter_map(|rest| Some((within(rest, "Key")?, within(rest, "ETag")?)))
        .collect()
}
