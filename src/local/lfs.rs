//! Files of git-lfs that were not fetched: what lies in their place is a pointer.

use std::fs::Metadata;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use crate::explain::{Exit, Failure, quoted};
use crate::local::files;

/// How every pointer begins, says the [specification](https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md).
const BEGIN: &[u8] = b"version https://git-lfs.github.com/spec/v1\n";

/// Every pointer is shorter, in bytes.
const TOO_LONG: usize = 1024;

/// Opens a regular file that is to be shipped, and refuses one that was not fetched. What npm installed is as its author published it.
///
/// # Errors
/// `build::lfs_pointer`, exit 3; `files::read`, `files::kind`.
pub(super) fn open(path: &Path) -> Result<(impl Read, Metadata), Failure> {
    let (file, metadata) = files::open_regular(path)?;
    let mut file = BufReader::with_capacity(TOO_LONG, file);
    let is_installed = path.iter().any(|part| part == "node_modules");
    if metadata.len() < TOO_LONG as u64 && !is_installed {
        let begin = file
            .fill_buf()
            .map_err(|error| files::failed("files::read", "read", path, &error))?;
        if begin.starts_with(BEGIN) {
            return Err(pointer(path));
        }
    }
    Ok((file, metadata))
}

fn pointer(path: &Path) -> Failure {
    let file = quoted(&path.display().to_string());
    Failure::new(
        Exit::Refused,
        "build::lfs_pointer",
        format!("{file} is a pointer of git-lfs, not the file itself"),
    )
    .because("the checkout did not fetch it")
    .hint("run `git lfs pull`; in a workflow, give actions/checkout `lfs: true`")
}

#[cfg(test)]
mod tests {
    use super::*;

    const POINTER: &str = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n";

    fn read(path: &str, text: &str) -> Result<String, String> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        let (mut file, metadata) = open(&path).map_err(|failure| failure.code().to_owned())?;
        assert_eq!(metadata.len(), text.len() as u64);
        let mut read = String::new();
        file.read_to_string(&mut read).unwrap();
        Ok(read)
    }

    #[test]
    fn a_pointer_is_refused_and_everything_else_is_read_whole() {
        assert_eq!(
            read("logo.png", POINTER),
            Err("build::lfs_pointer".to_owned())
        );
        let long = POINTER.repeat(100);
        let other = POINTER.replace("spec/v1\n", "spec/v1 is how it begins\n");
        let (long, other) = (long.as_str(), other.as_str());
        for (path, text) in [
            ("empty", ""),
            ("long.md", long),
            ("other.md", other),
            ("short", &POINTER[..20]),
            ("node_modules/lfs/test/pointer", POINTER),
        ] {
            assert_eq!(read(path, text).as_deref(), Ok(text), "{path}");
        }
    }
}
