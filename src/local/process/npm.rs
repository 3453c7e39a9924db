//! Scripts of a package, run as `npm run` runs them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::{Output, Project, ShellCommand, Variables};
use crate::explain::Failure;

/// A package whose scripts are run.
#[derive(Debug, Clone, Copy)]
pub struct Package<'a> {
    /// Where its `package.json` lies, absolute.
    pub directory: &'a Path,
    /// The repository's root, absolute, at or above `directory`.
    pub root: &'a Path,
    /// Where the person or workflow stands: `INIT_CWD`.
    pub invoked_in: &'a Path,
    /// What else its scripts find in their environment: what is told of the package and of the manager.
    pub variables: &'a Variables,
    /// Directories with programs, behind those of the packages and before `PATH`.
    pub programs: &'a [PathBuf],
    /// The `scripts` of its `package.json`.
    pub scripts: &'a BTreeMap<String, String>,
}

/// Whether a script was there to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ran {
    /// It ran and ended well.
    Done,
    /// The package has no such script; nothing ran.
    NoSuchScript,
}

impl Project {
    /// Runs `script` of a package as `npm run` does: `pre<script>`, the script with `arguments`, `post<script>`, each with the
    /// `node_modules/.bin` of the package and of every directory up to the repository's root before `PATH`.
    pub fn npm_run(
        &self,
        package: &Package<'_>,
        script: &str,
        arguments: &[String],
        output: Output<'_>,
    ) -> Result<Ran, Failure> {
        let Some(body) = package.scripts.get(script) else {
            return Ok(Ran::NoSuchScript);
        };
        let main = if arguments.is_empty() {
            body.clone()
        } else {
            format!("{body} {}", shell_words::join(arguments))
        };
        let lifecycle = |name: String| package.scripts.get(&name).map(|line| (name, line.clone()));
        let steps = [
            lifecycle(format!("pre{script}")),
            Some((script.to_owned(), main)),
            lifecycle(format!("post{script}")),
        ];
        for (event, line) in steps.into_iter().flatten() {
            self.run(&self.npm_command(package, &event, &line), output)?;
        }
        Ok(Ran::Done)
    }

    fn npm_command<'a>(
        &self,
        package: &Package<'a>,
        event: &str,
        line: &'a str,
    ) -> ShellCommand<'a> {
        let inherited = self.variables.get("PATH").map_or("", String::as_str);
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let mut inherited = inherited.to_owned();
        for directory in package.programs.iter().rev() {
            inherited = format!("{}:{inherited}", directory.display());
        }
        let mut command = ShellCommand::new(line, package.directory)
            .with(
                "PATH",
                search_path(package.directory, package.root, &inherited),
            )
            .with("INIT_CWD", text(package.invoked_in))
            .with("npm_lifecycle_event", event)
            .with("npm_lifecycle_script", line)
            .with(
                "npm_package_json",
                text(&package.directory.join("package.json")),
            );
        let more = package.variables.iter();
        command
            .variables
            .extend(more.map(|(name, value)| (name.clone(), value.clone())));
        command
    }
}

/// `PATH` with the `node_modules/.bin` of `directory` and of every directory up to `root` before `inherited`.
#[must_use]
pub fn search_path(directory: &Path, root: &Path, inherited: &str) -> String {
    let mut places: Vec<PathBuf> = directory
        .ancestors()
        .take_while(|ancestor| ancestor.starts_with(root))
        .map(|ancestor| ancestor.join("node_modules/.bin"))
        .collect();
    if places.is_empty() {
        places.push(directory.join("node_modules/.bin"));
    }
    let mut path = String::new();
    for place in &places {
        let _ = write!(path, "{}:", place.display());
    }
    path.push_str(inherited);
    path.trim_end_matches(':').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::process::tests::project;

    #[test]
    fn npm_scripts_see_binaries_and_their_package() {
        let root = tempfile::tempdir().expect("a directory");
        let directory = root.path().join("packages/a");
        std::fs::create_dir_all(&directory).expect("made");
        let scripts: BTreeMap<String, String> = [
            ("prebuild", "echo pre >> said"),
            (
                "build",
                "printf '%s|%s|%s|%s|%s\\n' \"$npm_lifecycle_event\" \"$npm_package_name\" \"$npm_package_version\" \"$INIT_CWD\" \"$PATH\" >> said; echo",
            ),
            ("postbuild", "echo post >> said"),
        ]
        .map(|(name, line)| (name.to_owned(), line.to_owned()))
        .into();
        let told = [("name", "@x/a"), ("version", "1.0.0")];
        let told = told.map(|(name, value)| (format!("npm_package_{name}"), value.to_owned()));
        let package = Package {
            directory: &directory,
            root: root.path(),
            invoked_in: root.path(),
            variables: &told.into(),
            programs: &["/opt/gyp".into()],
            scripts: &scripts,
        };
        let arguments = ["it's".to_owned()];
        let ran = project().npm_run(&package, "build", &arguments, Output::Capture);
        assert_eq!(ran, Ok(Ran::Done));
        let said = std::fs::read_to_string(directory.join("said")).expect("written");
        let top = root.path().display();
        let start = format!(
            "pre\nbuild|@x/a|1.0.0|{top}|{top}/packages/a/node_modules/.bin:{top}/packages/node_modules/.bin:{top}/node_modules/.bin:/opt/gyp:/"
        );
        assert!(said.starts_with(&start), "{said}");
        assert!(said.ends_with("\npost\n"), "{said}");
        assert_eq!(
            project().npm_run(&package, "test", &[], Output::Capture),
            Ok(Ran::NoSuchScript)
        );
    }
}
