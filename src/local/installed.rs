//! What is installed: packages at a place, as Node would find them, and native modules.

use std::io::{ErrorKind, Read as _};
use std::path::Path;

use crate::explain::{Exit, Failure, quoted};
use crate::local::files;
use crate::workspace::lockfile::closure::on_disk::{Found, Manifest};
use crate::workspace::native::{self, Module};

/// The longest `package.json` that is read, in bytes.
const LONGEST_MANIFEST: u64 = 16 << 20;

/// The longest native module that is looked at, in bytes.
const LONGEST_MODULE: u64 = 1 << 30;

/// What the native module at `path` is for; `None` for what is none. Only its headers and tables are read.
///
/// # Errors
/// `files::read`, `files::kind`.
pub fn native_module(path: &Path) -> Result<Option<Module>, Failure> {
    let (file, metadata) = files::open_regular(path)?;
    if metadata.len() > LONGEST_MODULE {
        return Ok(None);
    }
    Ok(native::read(&object::ReadCache::new(file)))
}

/// The directory at `location` below `root`, which must be a physical path, links followed; `None` where there is none.
///
/// # Errors
/// `files::read`; `files::outside`, exit 3, where a link leads out of `root`.
pub fn look(root: &Path, location: &str) -> Result<Option<Found>, Failure> {
    let at = root.join(location);
    let failed = |error| files::failed("files::read", "read", &at, &error);
    let physical = match at.canonicalize() {
        Ok(physical) => physical,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => return Err(failed(error)),
    };
    if !physical.is_dir() {
        return Ok(None);
    }
    let Ok(below) = physical.strip_prefix(root) else {
        return Err(outside(&at, &physical));
    };
    let Some(below) = below.to_str() else {
        return Err(outside(&at, &physical));
    };
    Ok(Some(Found {
        location: below.to_owned(),
        manifest: manifest(&physical.join("package.json"))?,
    }))
}

fn outside(at: &Path, physical: &Path) -> Failure {
    Failure::new(
        Exit::Refused,
        "files::outside",
        format!(
            "{} leads out of the workspace",
            quoted(&at.display().to_string())
        ),
    )
    .because(format!(
        "it is {}",
        quoted(&physical.display().to_string())
    ))
    .because("what an archive holds is taken from what is installed in the workspace itself")
    .hint("install from a registry what is linked from elsewhere; pnpm keeps packages outside where `enableGlobalVirtualStore` or `virtualStoreDir` say so")
}

/// What the `package.json` at `path` says; nothing where there is none.
///
/// # Errors
/// `files::read`.
pub fn manifest(path: &Path) -> Result<Manifest, Failure> {
    if !path.is_file() {
        return Ok(Manifest::default());
    }
    let (file, _) = files::open_regular(path)?;
    let mut text = Vec::new();
    file.take(LONGEST_MANIFEST)
        .read_to_end(&mut text)
        .map_err(|error| files::failed("files::read", "read", path, &error))?;
    Ok(Manifest::read(&text))
}
