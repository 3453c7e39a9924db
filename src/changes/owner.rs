//! Which package a changed file belongs to, and which files do not count.

use std::collections::HashMap;

use globset::{Candidate, Glob, GlobBuilder, GlobSet};

use crate::explain::{Exit, Failure, quoted};
use crate::name::RepoPath;

/// Which package a file belongs to: the one whose directory is the deepest that contains it.
///
/// ```
/// use pkgs_action::{changes::owner::Owners, name::RepoPath};
/// let path = |text| RepoPath::parse(text).unwrap();
/// let owners = Owners::new([path("packages/a"), path("packages/a/plugin")]);
/// assert_eq!(owners.of(&path("packages/a/src/x.js")), Some(&path("packages/a")));
/// assert_eq!(owners.of(&path("packages/a/plugin/x.js")), Some(&path("packages/a/plugin")));
/// assert_eq!(owners.of(&path("packages/b/x.js")), None);
/// ```
#[derive(Debug, Clone, Default)]
pub struct Owners {
    /// By the text of the directory, so that parts of a path can be looked up as they are.
    directories: HashMap<Box<str>, RepoPath>,
}

impl Owners {
    /// The owners with these directories; the repository's root may be one of them, and then owns whatever no other does.
    pub fn new(directories: impl IntoIterator<Item = RepoPath>) -> Owners {
        Owners {
            directories: directories
                .into_iter()
                .map(|directory| (Box::from(directory.as_str()), directory))
                .collect(),
        }
    }

    /// The directory of the package that `path` belongs to. A package's directory itself (as a submodule is listed) belongs to it.
    #[must_use]
    pub fn of<'a>(&'a self, path: &RepoPath) -> Option<&'a RepoPath> {
        let mut directory = path.as_str();
        loop {
            if let Some(owner) = self.directories.get(directory) {
                return Some(owner);
            }
            if directory.is_empty() {
                return None;
            }
            directory = directory.rsplit_once('/').map_or("", |(parent, _)| parent);
        }
    }
}

/// Globs of setting `ignore`: files that do not count as a change.
///
/// A glob without `/` is matched against base names at any depth; any other against the path from the repository's root and the path
/// from the package's directory. `*` and `?` do not cross `/`, `**` does, `{a,b}` and `[ab]` are choices, a leading `.` needs no
/// mention, and case counts.
///
/// ```
/// use pkgs_action::{changes::owner::Ignored, name::RepoPath};
/// let path = |text| RepoPath::parse(text).unwrap();
/// let ignored = Ignored::parse(&["*.md".to_owned(), "test/**".to_owned()]).unwrap();
/// assert!(ignored.matches(&path("packages/a/docs/x.md"), &path("packages/a")));
/// assert!(ignored.matches(&path("packages/a/test/x.js"), &path("packages/a")));
/// assert!(!ignored.matches(&path("packages/a/src/test/x.js"), &path("packages/a")));
/// ```
#[derive(Debug, Clone)]
pub struct Ignored {
    base_names: GlobSet,
    paths: GlobSet,
}

impl Ignored {
    /// Reads globs. `./` or `/` in front of a glob anchors it and is otherwise nothing; `docs/` is all below `docs`.
    ///
    /// # Errors
    /// `settings::glob`, exit 2, one for each glob that is empty, malformed, longer than 1024 characters, negated (`!…`) or an
    /// extglob (`@(…)`, which would silently match nothing), and one when there are more than 1000.
    pub fn parse(globs: &[String]) -> Result<Ignored, Failure> {
        Ignored::of("ignore", globs)
    }

    /// Reads the globs of another setting that are meant in the same way.
    ///
    /// # Errors
    /// Those of [`Ignored::parse`].
    pub fn of(setting: &str, globs: &[String]) -> Result<Ignored, Failure> {
        const MOST_GLOBS: usize = 1000;
        if globs.len() > MOST_GLOBS {
            return Err(Failure::new(
                Exit::Usage,
                "settings::glob",
                format!(
                    "{setting} has {} globs, more than {MOST_GLOBS}",
                    globs.len()
                ),
            ));
        }
        let mut failures = Vec::new();
        let (mut base_names, mut paths) = (GlobSet::builder(), GlobSet::builder());
        for text in globs {
            match compiled(setting, text) {
                Ok(glob) if text.contains('/') => paths.add(glob),
                Ok(glob) => base_names.add(glob),
                Err(failure) => {
                    failures.push(failure);
                    continue;
                }
            };
        }
        if let Some(failure) = Failure::all(failures) {
            return Err(failure);
        }
        let together = |cause: globset::Error| {
            Failure::new(
                Exit::Usage,
                "settings::glob",
                format!("the globs of {setting} are too complex together"),
            )
            .because(cause)
        };
        Ok(Ignored {
            base_names: base_names.build().map_err(together)?,
            paths: paths.build().map_err(together)?,
        })
    }

    /// Whether `path`, a file of the package in the directory `package`, does not count.
    #[must_use]
    pub fn matches(&self, path: &RepoPath, package: &RepoPath) -> bool {
        if self.base_names.is_empty() && self.paths.is_empty() {
            return false;
        }
        let text = path.as_str();
        let base_name = text.rsplit_once('/').map_or(text, |(_, name)| name);
        let in_package = || {
            text.strip_prefix(package.as_str())
                .and_then(|rest| rest.strip_prefix('/'))
                .is_some_and(|rest| self.paths.is_match_candidate(&Candidate::new(rest)))
        };
        self.base_names
            .is_match_candidate(&Candidate::new(base_name))
            || self.paths.is_match_candidate(&Candidate::new(text))
            || in_package()
    }
}

fn compiled(setting: &str, text: &str) -> Result<Glob, Failure> {
    const LONGEST_GLOB: usize = 1024;
    let refused = || {
        Failure::new(
            Exit::Usage,
            "settings::glob",
            format!("{} is not a glob for {setting}", quoted(text)),
        )
        .hint("write for example *.md or docs/**")
    };
    if text.chars().nth(LONGEST_GLOB).is_some() {
        return Err(refused().because("it is longer than 1024 characters"));
    }
    if text.starts_with('!') {
        return Err(refused()
            .because("it is negated")
            .hint("list what is meant; write a leading '!' of a file name as \\!"));
    }
    if ["@(", "?(", "*(", "+(", "!("]
        .iter()
        .any(|opening| text.contains(opening))
    {
        return Err(refused()
            .because("extglobs are not understood")
            .hint("write choices as {a,b}"));
    }
    let anchored = text
        .strip_prefix("./")
        .or_else(|| text.strip_prefix('/'))
        .unwrap_or(text);
    if anchored.is_empty() {
        return Err(refused()
            .because("it is empty")
            .hint("write ** for everything"));
    }
    let whole = if anchored.ends_with('/') {
        format!("{anchored}**")
    } else {
        anchored.to_owned()
    };
    GlobBuilder::new(&whole)
        .literal_separator(true)
        .backslash_escape(true)
        .empty_alternates(true)
        .build()
        .map_err(|error| refused().because(error.kind()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> RepoPath {
        RepoPath::parse(text).unwrap()
    }

    #[test]
    fn the_deepest_directory_owns() {
        fn check(directories: &[&str], file: &str, expected: Option<&str>) {
            let owners = Owners::new(directories.iter().copied().map(path));
            assert_eq!(
                owners.of(&path(file)).map(RepoPath::as_str),
                expected,
                "{directories:?} {file}"
            );
        }
        check(&[], "a", None);
        check(&[], "a/b", None);
        check(&[""], "a/b", Some(""));
        check(&[""], "a", Some(""));
        check(&["a"], "a/b", Some("a"));
        check(&["a"], "a/b/c/d", Some("a"));
        check(&["a"], "ab/c", None);
        check(&["a"], "b", None);
        check(&["a"], "A/b", None);
        check(&["a"], "a", Some("a"));
        check(&["", "a"], "ab/c", Some(""));
        check(&["a", "a/b", "a/b/c"], "a/b/x", Some("a/b"));
        check(&["a", "a/b/c"], "a/b/x", Some("a"));
        check(&["packages/я"], "packages/я/x", Some("packages/я"));
    }

    proptest::proptest! {
        /// The quick lookup agrees with trying every directory.
        #[test]
        fn owners_are_the_longest_that_contain(
            directories in proptest::collection::vec("([ab](/[ab]){0,3})?", 0..6),
            file in "[ab](/[ab]){0,4}",
        ) {
            let directories: Vec<RepoPath> = directories.iter().map(|text| path(text)).collect();
            let file = path(&file);
            let expected = directories
                .iter()
                .filter(|directory| file.is_below(directory))
                .max_by_key(|directory| directory.as_str().len());
            let owners = Owners::new(directories.clone());
            proptest::prop_assert_eq!(owners.of(&file), expected);
        }
    }

    #[test]
    fn ignored_files() {
        fn check(glob: &str, package: &str, ignored: &[&str], counted: &[&str]) {
            let globs = Ignored::parse(&[glob.to_owned()]).unwrap();
            for file in ignored {
                assert!(globs.matches(&path(file), &path(package)), "{glob} {file}");
            }
            for file in counted {
                assert!(!globs.matches(&path(file), &path(package)), "{glob} {file}");
            }
        }
        check(
            "*.md",
            "p/a",
            &["p/a/x.md", "p/a/b/c/x.md", "x.md", "p/a/.md"],
            &["p/a/x.mdx", "p/a/x.MD", "p/a/x.md/y"],
        );
        check(
            "README{,.*}",
            "p/a",
            &["p/a/README", "p/a/README.md"],
            &["p/a/README-es"],
        );
        check(
            "test",
            "p/a",
            &["p/a/test", "p/a/b/test"],
            &["p/a/test/x", "p/a/tests"],
        );
        check(
            "[.]*",
            "p/a",
            &["p/a/.npmrc", "p/a/b/.x"],
            &["p/a/x", "p/.a/x"],
        );
        check("**", "p/a", &["p/a/x", "x"], &[]);
        check(
            "test/**",
            "p/a",
            &["p/a/test/x", "p/a/test/b/.c", "test/x"],
            &["p/a/b/test/x", "p/a/test", "p/test/x"],
        );
        for glob in ["docs/", "/docs/", "./docs/"] {
            check(
                glob,
                "p/a",
                &["p/a/docs/x", "docs/b/x"],
                &["p/a/b/docs/x", "p/a/docs"],
            );
        }
        check(
            "/x.js",
            "p/a",
            &["p/a/x.js", "x.js"],
            &["p/a/b/x.js", "p/x.js"],
        );
        check("./x.js", "p/a", &["p/a/x.js", "x.js"], &["p/a/b/x.js"]);
        check(
            "p/*/docs/*",
            "p/a",
            &["p/a/docs/x", "p/b/docs/x"],
            &["p/a/docs/b/x", "p/a/p/b/docs/x/y"],
        );
        check(
            "**/__tests__/**",
            "p/a",
            &["p/a/__tests__/x", "p/a/b/__tests__/c/x"],
            &["p/a/__tests__x"],
        );
        check(
            "src/**/*.test.js",
            "p/a",
            &["p/a/src/x.test.js", "p/a/src/b/x.test.js"],
            &["p/a/x.test.js"],
        );
        check(
            "app/(group)/*",
            "p/a",
            &["p/a/app/(group)/x"],
            &["p/a/app/group/x"],
        );
        check("docs/**", "", &["docs/x"], &["p/docs/x"]);
        check("a/**", "a", &["a/x", "a/a/x"], &["ab/x"]);
        check(r"\*.md", "a", &["a/*.md"], &["a/x.md"]);
        check(r"\!*.md", "a", &["a/!x.md"], &["a/x.md"]);
    }

    #[test]
    fn nothing_is_ignored_by_default() {
        assert!(
            !Ignored::parse(&[])
                .unwrap()
                .matches(&path("a/x"), &path("a"))
        );
    }

    #[test]
    fn bad_globs() {
        fn check(glob: &str, named: &str) {
            let failure = Ignored::parse(&["*.md".to_owned(), glob.to_owned()]).unwrap_err();
            assert_eq!(
                (failure.code(), failure.exit()),
                ("settings::glob", Exit::Usage)
            );
            assert!(failure.what().contains(named), "{failure}");
        }
        check("", "\"\"");
        check("/", "\"/\"");
        check("./", "\"./\"");
        check("a[", "a[");
        check("{a", "{a");
        check("a}", "a}");
        check("[z-a]", "[z-a]");
        check("!*.md", "!*.md");
        check("*.@(md|txt)", "*.@(md|txt)");
        check("\u{1b}[", "\\u{1b}[");
        check(&"a".repeat(1025), "aaa");
        let both = Ignored::parse(&["a[".to_owned(), "{b".to_owned()]).unwrap_err();
        assert_eq!(both.each().count(), 2);
        assert!(Ignored::parse(&vec!["a".to_owned(); 1001]).is_err());
    }
}
