//! A directory of tarballs and archives: written by `pack`, and taken by `release` and `publish` in the place of a build.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use crate::apply::build::{Packed, PackedPackage};
use crate::apply::static_files::check_set;
use crate::explain::{Exit, Failure, quoted};
use crate::local::archive::read_npm_tarball;
use crate::local::files;
use crate::name::{Digest, Integrity, PackageName, Variant};
use crate::plan;
use crate::plan::release::Plan;
use crate::release::app::{Archive, Scripts, StaticFiles};
use crate::release::pack::{
    App, BLOBS, FILE, Pack, SCHEMA, Tarball, TarballFile, Warning, tarball_name,
};
use crate::release::seal::SealedApp;
use crate::release::static_set::StaticSet;
use crate::release::{self, layout};
use crate::settings::{LONGEST_TARBALL, Settings};
use crate::version::Version;
use crate::workspace::npm_manifest::normalised;

/// The longest `pack.json`, in bytes.
const LONGEST_PACK: u64 = 256 << 20;

/// What a directory will say of what was packed. `base` is the commit that is checked out, `plan_digest` that of the plan that was packed.
pub fn describe(packed: &Packed, base: Option<String>, plan_digest: Option<String>) -> Pack {
    let tarball = |package: &PackedPackage| Tarball {
        name: package.name.to_string(),
        version: package.version.to_string(),
        file: tarball_name(package.name.as_str(), &package.version.to_string()),
        size: package.size,
        unpacked_size: package.files.iter().map(|(_, size, _)| size).sum(),
        integrity: package.integrity.to_string(),
        shasum: package.shasum.clone(),
        tar_digest: package.tar_digest.to_string(),
        files: package
            .files
            .iter()
            .map(|(path, size, mode)| TarballFile {
                path: path.clone(),
                size: *size,
                mode: *mode,
            })
            .collect(),
        manifest_digest: package.manifest_digest.as_ref().map(ToString::to_string),
        manifest: package.manifest.clone(),
    };
    let app = |sealed: &SealedApp| App {
        file: sealed
            .archive
            .as_ref()
            .and_then(|one| archive_name(sealed, one)),
        alternative_files: sealed
            .alternatives
            .iter()
            .filter_map(|one| archive_name(sealed, one))
            .collect(),
        digest: sealed.archive.as_ref().map(|one| one.digest.clone()),
        tar_digest: sealed.archive.as_ref().map(|one| one.tar_digest.clone()),
        entries: sealed.archive.as_ref().map(|one| one.entries),
        sealed: sealed.clone(),
    };
    Pack {
        schema: SCHEMA.to_owned(),
        base,
        plan_digest,
        packages: packed.packages.iter().map(tarball).collect(),
        apps: packed.apps.iter().map(app).collect(),
        warnings: packed
            .notices
            .iter()
            .map(|notice| Warning {
                code: notice.code.to_owned(),
                message: notice.message.clone(),
            })
            .collect(),
    }
}

/// The name of one of an app's archives.
fn archive_name(app: &SealedApp, archive: &Archive) -> Option<String> {
    let name = PackageName::parse(&app.name).ok()?;
    let version = Version::parse(&app.version).ok()?;
    let variant = Variant::parse(&app.variant).ok()?;
    let encoding = archive.known_encoding().ok()?;
    Some(layout::archive_file_name(
        &name, &version, &variant, encoding,
    ))
}

/// The archives that `pack.json` names, each with its name in the directory.
fn named_archives(app: &App) -> impl Iterator<Item = (&String, &Archive)> {
    let names = app.file.iter().chain(&app.alternative_files);
    names.zip(app.sealed.archives())
}

/// Refuses what an earlier `pack` wrote into a package that ships it. `directories` are those of the packages.
///
/// # Errors
/// `pack::inside_package`, exit 3.
pub fn refuse_inside<'p>(
    directory: Option<&Path>,
    packed: &Packed,
    directories: impl Iterator<Item = (&'p PackageName, PathBuf)>,
) -> Result<(), Failure> {
    let named = directory.is_some();
    // What does not exist yet holds nothing.
    let Ok(directory) = directory.unwrap_or(Path::new(".")).canonicalize() else {
        return Ok(());
    };
    let written = packed.packages.iter().map(|package| {
        let name = tarball_name(package.name.as_str(), &package.version.to_string());
        directory.join(name)
    });
    let written: BTreeSet<PathBuf> = written.collect();
    let directories: BTreeMap<&PackageName, PathBuf> = directories.collect();
    for package in &packed.packages {
        let Some(own) = directories.get(&package.name) else {
            continue;
        };
        // Of the directory that a package lies in, all would be.
        let is_inside = named && directory.starts_with(own) && directory != *own;
        let mut files = package.files.iter().map(|(path, _, _)| own.join(path));
        let found = files
            .find(|file| written.contains(file) || (is_inside && file.starts_with(&directory)));
        if let Some(found) = found {
            let what = format!(
                "{} would be packed with {}, and is what an earlier `pack` wrote",
                quoted(&found.display().to_string()),
                package.name
            );
            return Err(Failure::new(Exit::Refused, "pack::inside_package", what)
                .because("packed twice, a package would hold itself")
                .hint("remove it, and let `artifacts` name a directory outside of the packages, or one that `files` or .npmignore leaves out"));
        }
    }
    Ok(())
}

/// Writes tarballs and archives into a directory, which is made where it is missing. Where it was named, `pack.json` and the bytes without a name
/// follow, `pack.json` last: whoever reads it finds everything that it names.
///
/// # Errors
/// `pack::same_name` and `pack::foreign_file`, exit 3; those of the disk.
pub fn write(directory: Option<&Path>, packed: &Packed, pack: &Pack) -> Result<(), Failure> {
    refuse_same_names(pack)?;
    let to = directory.unwrap_or(Path::new("."));
    make(to)?;
    let document = to.join(FILE);
    if directory.is_some() {
        remove_earlier(to)?;
    }
    let tarballs = packed.packages.iter().zip(&pack.packages);
    let tarballs = tarballs.map(|(package, tarball)| (&tarball.file, package.digest.clone()));
    let archives = pack.apps.iter().flat_map(named_archives);
    let archives =
        archives.filter_map(|(name, archive)| Some((name, Digest::parse(&archive.digest).ok()?)));
    let mut left: BTreeMap<&Digest, &PathBuf> = packed.blobs.iter().collect();
    // Two of them may have the same bytes.
    for (name, digest) in tarballs.chain(archives) {
        if let Some(from) = packed.blobs.get(&digest) {
            files::copy_atomically(from, &to.join(name))?;
        }
        left.remove(&digest);
    }
    if directory.is_some() && !left.is_empty() {
        make(&to.join(BLOBS))?;
        for (digest, from) in left {
            files::copy_atomically(from, &to.join(BLOBS).join(digest.hex()))?;
        }
    }
    if directory.is_some() {
        files::write_atomically(&document, &release::to_bytes(pack))?;
    }
    Ok(())
}

/// Refuses packages whose tarballs would have one name, as npm gives it: `@acme/text` and `acme-text`.
fn refuse_same_names(pack: &Pack) -> Result<(), Failure> {
    let mut named: BTreeMap<&str, &str> = BTreeMap::new();
    for tarball in &pack.packages {
        if let Some(other) = named.insert(&tarball.file, &tarball.name) {
            let what = format!(
                "the tarballs of {other} and {} would both be {}",
                tarball.name, tarball.file
            );
            return Err(Failure::new(Exit::Refused, "pack::same_name", what)
                .hint("pack them into two directories, each with a filter"));
        }
    }
    Ok(())
}

/// Removes what an earlier `pack` wrote, its document first: nobody shall take a mixture, or upload what is not named any more.
fn remove_earlier(directory: &Path) -> Result<(), Failure> {
    let remove = |path: &Path| match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(files::failed("files::write", "remove", path, &error))
        }
        _ => Ok(()),
    };
    let file = directory.join(FILE);
    let earlier = document(directory).ok();
    if earlier.is_none() && file.symlink_metadata().is_ok() {
        let what = format!(
            "{} is none that `pack` wrote",
            quoted(&file.display().to_string())
        );
        return Err(Failure::new(Exit::Refused, "pack::foreign_file", what)
            .because("it would be written over")
            .hint("let `artifacts` name a directory of its own"));
    }
    remove(&file)?;
    files::fsync_directory(directory)?;
    let Some(earlier) = earlier else {
        return Ok(());
    };
    let tarballs = earlier.packages.iter().map(|tarball| &tarball.file);
    let archives = earlier.apps.iter();
    let archives = archives.flat_map(|app| app.file.iter().chain(&app.alternative_files));
    for name in tarballs.chain(archives) {
        if let Ok(path) = inside(directory, name) {
            remove(&path)?;
        }
    }
    for (_, path) in blobs(directory).unwrap_or_default() {
        remove(&path)?;
    }
    Ok(())
}

fn make(directory: &Path) -> Result<(), Failure> {
    fs::create_dir_all(directory)
        .map_err(|error| files::failed("files::write", "make", directory, &error))
}

/// What `pack --planned` packed into a directory, for the plan whose digest is `digest`. Every byte is looked at before anything depends on it.
///
/// # Errors
/// `artifacts::missing`, exit 2, where there is no `pack.json`; `artifacts::other_plan`, exit 3, where it speaks of another commit or plan;
/// `artifacts::incomplete` and `artifacts::changed`, exit 6, where the directory does not hold what it says; `release::document`, exit 6.
pub fn read(
    directory: &Path,
    plan: &Plan,
    digest: &str,
    settings: &Settings,
) -> Result<Packed, Failure> {
    let pack = document(directory)?;
    let mismatch = plan::pack::mismatch(&pack, plan, digest);
    if let Some(why) = mismatch {
        let what = format!("{} was packed for another plan", shown(directory));
        return Err(Failure::new(Exit::Refused, "artifacts::other_plan", what)
            .because(why)
            .hint(
                "run `pack --planned` again, at this commit and with the settings of the release",
            ));
    }
    taken(directory, &pack, settings)
}

fn shown(directory: &Path) -> String {
    quoted(&directory.display().to_string())
}

/// `pack.json` of a directory.
///
/// # Errors
/// `artifacts::missing`, exit 2; `release::document`, exit 6.
pub fn document(directory: &Path) -> Result<Pack, Failure> {
    let file = directory.join(FILE);
    if !file.exists() {
        let what = format!("there is no {FILE} in {}", shown(directory));
        return Err(Failure::new(Exit::Usage, "artifacts::missing", what).hint(
            "`pack --planned --artifacts <directory>` writes it; in a workflow, hand the whole directory from job to job",
        ));
    }
    let bytes = files::read_bounded(&file, LONGEST_PACK)?;
    release::from_bytes(SCHEMA, &file.display().to_string(), &bytes)
}

/// Every file that `pack` names, read and compared with what it says; what the job that packed it warned of was told there. What the registry will
/// be told is what the tarball tells, or lies beside it.
///
/// # Errors
/// `artifacts::incomplete` and `artifacts::changed`, exit 6.
pub fn taken(directory: &Path, pack: &Pack, settings: &Settings) -> Result<Packed, Failure> {
    let mut lying = blobs(directory)?;
    let mut packages = Vec::new();
    for tarball in &pack.packages {
        packages.push(package(directory, tarball, &mut lying, settings)?);
    }
    let mut named: BTreeSet<Digest> = packages
        .iter()
        .flat_map(|package| {
            [
                Some(package.digest.clone()),
                package.manifest_digest.clone(),
            ]
        })
        .flatten()
        .collect();
    for app in &pack.apps {
        for (name, archive) in named_archives(app) {
            let path = inside(directory, name)?;
            let (digest, size) = files::hash_file(&path)?;
            if digest.as_str() != archive.digest || size != archive.size {
                return Err(changed(&path, &archive.digest, digest.as_str()));
            }
            lying.insert(digest, path);
        }
        require_own(directory, &app.sealed, settings)?;
        named.extend(all_of(directory, &app.sealed, &lying)?);
    }
    // What nobody names stays here.
    lying.retain(|digest, _| named.contains(digest));
    Ok(Packed::lying(
        packages,
        pack.apps.iter().map(|app| app.sealed.clone()).collect(),
        lying,
    ))
}

/// Refuses a build that would be started, or served, otherwise than the settings of this run say.
fn require_own(directory: &Path, app: &SealedApp, settings: &Settings) -> Result<(), Failure> {
    let own = settings.app_settings(&PackageName::parse(&app.name)?);
    let scripts = Scripts {
        start: own.start.clone(),
        stop: own.stop.clone(),
        environment_variable: own.environment_variable.clone(),
        health: own.health.clone(),
    };
    let root = settings.static_root.value().cloned().unwrap_or_default();
    let is_root = |files: &StaticFiles| files.root == root;
    if app.scripts == scripts && app.static_files.as_ref().is_none_or(is_root) {
        return Ok(());
    }
    let what = format!("{} was packed for another plan", shown(directory));
    Err(Failure::new(Exit::Refused, "artifacts::other_plan", what)
        .because(format!(
            "{} would be started, stopped, asked for its health or served otherwise than the settings say",
            app.name
        ))
        .hint("run `pack --planned` again, with the settings of the release"))
}

/// The bytes that are named by their digest.
fn blobs(directory: &Path) -> Result<BTreeMap<Digest, PathBuf>, Failure> {
    let directory = directory.join(BLOBS);
    let mut found = BTreeMap::new();
    if !directory.is_dir() {
        return Ok(found);
    }
    for file in files::walk_files(&directory)? {
        let (digest, _) = files::hash_file(&file.at)?;
        // Whatever else lies there is no blob, an interrupted write among it; one that is missing is told where it is named.
        if digest.hex() == file.path {
            found.insert(digest, file.at);
        }
    }
    Ok(found)
}

/// A file that `pack.json` names: one of the directory itself.
fn inside(directory: &Path, name: &str) -> Result<PathBuf, Failure> {
    let is_plain = !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\\', '\0']);
    let path = directory.join(name);
    if is_plain && path.is_file() {
        return Ok(path);
    }
    Err(incomplete(directory, name))
}

fn incomplete(directory: &Path, name: &str) -> Failure {
    let what = format!("{} holds no file {}", shown(directory), quoted(name));
    Failure::new(Exit::Integrity, "artifacts::incomplete", what)
        .because(format!("{FILE} names it"))
        .hint("hand the whole directory from job to job, or run `pack --planned` again")
}

fn changed(path: &Path, named: &str, found: &str) -> Failure {
    let what = format!(
        "{} is not what was packed",
        quoted(&path.display().to_string())
    );
    Failure::new(Exit::Integrity, "artifacts::changed", what)
        .because(format!(
            "{FILE} names {}, and its bytes are {found}",
            quoted(named)
        ))
        .hint("find out what wrote there; then run `pack --planned` again")
}

fn package(
    directory: &Path,
    tarball: &Tarball,
    blobs: &mut BTreeMap<Digest, PathBuf>,
    settings: &Settings,
) -> Result<PackedPackage, Failure> {
    let name = PackageName::parse(&tarball.name)?;
    let version = Version::parse(&tarball.version)?;
    let path = inside(directory, &tarball.file)?;
    let allowed = settings.max_package_size.iter().map(|entry| entry.bytes);
    let most = allowed.max().unwrap_or(0).max(LONGEST_TARBALL);
    let bytes = files::read_bounded(&path, tarball.size.min(most))
        .map_err(|failure| changed(&path, &tarball.integrity, "longer").because(failure))?;
    let integrity = Integrity::of(&bytes);
    if integrity.as_str() != tarball.integrity {
        return Err(changed(&path, &tarball.integrity, integrity.as_str()));
    }
    let contents = read_npm_tarball(&bytes)?;
    let says = |key: &str| {
        contents
            .manifest
            .get(key)
            .and_then(serde_json::Value::as_str)
    };
    let own = says("version").and_then(|own| Version::parse(own).ok());
    if says("name") != Some(&tarball.name) || own.as_ref() != Some(&version) {
        let found = format!(
            "the package {} {}",
            quoted(says("name").unwrap_or_default()),
            quoted(says("version").unwrap_or_default())
        );
        return Err(changed(&path, &format!("{name} {version}"), &found));
    }
    let (manifest, manifest_digest) = match &tarball.manifest_digest {
        None => (normalised(&contents.manifest, &contents.beside), None),
        Some(named) => {
            let digest = Digest::parse(named)?;
            let kept = blobs.get(&digest);
            let kept = kept.ok_or_else(|| incomplete(directory, digest.hex()))?;
            let bytes = files::read_bounded(kept, release::LONGEST_DOCUMENT)?;
            let manifest = serde_json::from_slice(&bytes)
                .map_err(|error| changed(kept, named, "no manifest").because(error))?;
            (manifest, Some(digest))
        }
    };
    let digest = Digest::of(&bytes);
    blobs.insert(digest.clone(), path);
    Ok(PackedPackage {
        integrity,
        shasum: files::shasum(&bytes),
        digest,
        tar_digest: Digest::parse(&tarball.tar_digest)?,
        size: bytes.len() as u64,
        files: tarball
            .files
            .iter()
            .map(|file| (file.path.clone(), file.size, file.mode))
            .collect(),
        manifest,
        manifest_digest,
        name,
        version,
    })
}

/// The digests of everything that a build consists of.
///
/// # Errors
/// `artifacts::incomplete` where something is not there.
fn all_of(
    directory: &Path,
    app: &SealedApp,
    blobs: &BTreeMap<Digest, PathBuf>,
) -> Result<Vec<Digest>, Failure> {
    let path_of = |digest: &Digest| {
        let path = blobs.get(digest);
        path.ok_or_else(|| incomplete(directory, digest.hex()))
    };
    for archive in app.archives() {
        archive.known_encoding()?;
        if let Some(first) = app
            .archive
            .as_ref()
            .filter(|first| !first.is_same_tar(archive))
        {
            let what = format!(
                "{} of {} {} hold different files",
                first.encoding, app.name, app.version
            );
            return Err(Failure::new(Exit::Refused, "artifacts::changed", what)
                .because(format!(
                    "the tar in {} has another digest",
                    archive.encoding
                ))
                .hint("run `pack --planned` again, and take its artifacts as they are"));
        }
    }
    let mut named = app.blobs()?;
    if let Some(listed) = &app.static_files {
        let path = path_of(&Digest::parse(&listed.digest)?)?;
        let bytes = files::read_bounded(path, release::LONGEST_DOCUMENT)?;
        let key = path.display().to_string();
        let set: StaticSet = release::from_bytes(release::static_set::SCHEMA, &key, &bytes)?;
        check_set(&set).map_err(|why| {
            let what = format!("{key} is not a list of static files");
            Failure::new(Exit::Refused, "artifacts::changed", what)
                .because(why)
                .hint("run `pack --planned` again, and take its artifacts as they are")
        })?;
        named.extend(set.blobs()?);
    }
    for digest in &named {
        path_of(digest)?;
    }
    Ok(named)
}
