//! The repository that a rehearsal uses where there is none: two libraries, a CLI, a service and a static site.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::explain::{Exit, Failure};

/// Path, text, and whether it may be run.
const FILES: &[(&str, &str, bool)] = &[
    (
        ".gitignore",
        include_str!("../../tests/sample/.gitignore"),
        false,
    ),
    (
        "package-lock.json",
        include_str!("../../tests/sample/package-lock.json"),
        false,
    ),
    (
        "package.json",
        include_str!("../../tests/sample/package.json"),
        false,
    ),
    (
        "packages/cli/bin/acme.js",
        include_str!("../../tests/sample/packages/cli/bin/acme.js"),
        true,
    ),
    (
        "packages/cli/package.json",
        include_str!("../../tests/sample/packages/cli/package.json"),
        false,
    ),
    (
        "packages/core/package.json",
        include_str!("../../tests/sample/packages/core/package.json"),
        false,
    ),
    (
        "packages/core/src/index.js",
        include_str!("../../tests/sample/packages/core/src/index.js"),
        false,
    ),
    (
        "packages/site/build.js",
        include_str!("../../tests/sample/packages/site/build.js"),
        false,
    ),
    (
        "packages/site/package.json",
        include_str!("../../tests/sample/packages/site/package.json"),
        false,
    ),
    (
        "packages/site/src/css/site.css",
        include_str!("../../tests/sample/packages/site/src/css/site.css"),
        false,
    ),
    (
        "packages/site/src/index.html",
        include_str!("../../tests/sample/packages/site/src/index.html"),
        false,
    ),
    (
        "packages/site/src/js/site.js",
        include_str!("../../tests/sample/packages/site/src/js/site.js"),
        false,
    ),
    (
        "packages/site/src/robots.txt",
        include_str!("../../tests/sample/packages/site/src/robots.txt"),
        false,
    ),
    (
        "packages/text/package.json",
        include_str!("../../tests/sample/packages/text/package.json"),
        false,
    ),
    (
        "packages/text/src/index.js",
        include_str!("../../tests/sample/packages/text/src/index.js"),
        false,
    ),
    (
        "packages/web/package.json",
        include_str!("../../tests/sample/packages/web/package.json"),
        false,
    ),
    (
        "packages/web/service/index.js",
        include_str!("../../tests/sample/packages/web/service/index.js"),
        false,
    ),
    (
        "pkgs.json",
        include_str!("../../tests/sample/pkgs.json"),
        false,
    ),
];

/// Writes the sample into `directory`, which does not exist yet.
///
/// # Errors
/// `rehearse::disk`, exit 75.
pub fn write(directory: &Path) -> Result<(), Failure> {
    for (path, text, executable) in FILES {
        let file = directory.join(path);
        let written = file
            .parent()
            .map_or(Ok(()), std::fs::create_dir_all)
            .and_then(|()| std::fs::write(&file, text))
            .and_then(|()| {
                let mode = if *executable { 0o755 } else { 0o644 };
                std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode))
            });
        written.map_err(|error| {
            Failure::new(
                Exit::Temporary,
                "rehearse::disk",
                format!("{} could not be written", file.display()),
            )
            .because(error)
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_sample_is_bundled() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sample");
        let found = crate::local::files::walk_files(&root).expect("the sample");
        let mut there: Vec<String> = found.into_iter().map(|file| file.path).collect();
        there.retain(|path| path != "README.md");
        let mut bundled: Vec<&str> = FILES.iter().map(|(path, ..)| *path).collect();
        bundled.sort_unstable();
        assert_eq!(bundled, there);
    }
}
