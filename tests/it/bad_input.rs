//! Bad input: refused with the promised exit code, a stable code and a hint, and nothing written anywhere.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::support::git_server::{self, GitServer};
use crate::support::monorepo::Monorepo;
use crate::support::sandbox::Run;
use crate::support::verdaccio::Verdaccio;

/// A library with a fix, and a service that uses it; both were released before.
fn repository() -> Monorepo {
    Monorepo::new()
        .package("core", "1.0.0")
        .service("web", "2.0.0")
        .depends("web", "core", "^1.0.0")
        .released()
        .commit(
            "fix(core): trim",
            &[("packages/core/src/index.js", "exports.a = 1;\n")],
        )
        .origin()
}

/// Commits and pushes files as they are: the lockfile does not follow what npm could not read.
fn with(monorepo: Monorepo, files: &[(&str, &str)]) -> Monorepo {
    for (path, text) in files {
        monorepo.write(path, text);
    }
    monorepo.git(&["add", "--all"]);
    monorepo.git(&["commit", "--quiet", "--message", "fix: more"]);
    monorepo.pushed()
}

/// Everything that a release could write: refs here and there, the store, the registry, the work tree.
#[derive(Debug, PartialEq, Eq)]
struct Everything {
    refs: Vec<(String, String)>,
    remote_refs: Vec<(String, String)>,
    files: BTreeMap<PathBuf, Vec<u8>>,
}

fn everything(monorepo: &Monorepo) -> Everything {
    let mut files = BTreeMap::new();
    for name in ["monorepo", "store", "npm"] {
        let root = monorepo.sandbox().path().join(name);
        let entries = walkdir::WalkDir::new(root)
            .into_iter()
            .filter_entry(|entry| entry.file_name() != ".git");
        for entry in entries
            .flatten()
            .filter(|entry| entry.file_type().is_file())
        {
            files.insert(
                entry.path().to_owned(),
                fs::read(entry.path()).unwrap_or_default(),
            );
        }
    }
    let here = monorepo.path().join(".git");
    let there = monorepo.sandbox().path().join("origin.git");
    let refs = |directory: &Path| {
        if directory.exists() {
            git_server::refs(directory)
        } else {
            Vec::new()
        }
    };
    Everything {
        // What the remote holds may be noted here.
        refs: refs(&here)
            .into_iter()
            .filter(|(name, _)| !name.starts_with("refs/remotes/"))
            .collect(),
        remote_refs: refs(&there),
        files,
    }
}

/// Where everything goes, in a directory of the sandbox.
fn places(monorepo: &Monorepo) -> [(&'static str, String); 2] {
    let place = |name: &str| {
        let directory = monorepo.sandbox().path().join(name);
        fs::create_dir_all(&directory).expect("a directory");
        format!("file://{}", directory.display())
    };
    [
        ("PKGS_STORE", place("store")),
        ("PKGS_REGISTRY", place("npm")),
    ]
}

/// Runs `arguments`, and asserts how it is refused, what is said, and that nothing was written.
fn refused(
    title: &str,
    monorepo: &Monorepo,
    arguments: &[&str],
    environment: &[(&str, &str)],
    (exit, code): (i32, &str),
    says: &[&str],
) -> Run {
    let before = everything(monorepo);
    let run = monorepo
        .binary(arguments)
        .envs(places(monorepo).map(|(name, value)| (name.to_owned(), value)))
        .envs(environment)
        .run();
    let shown = format!(
        "{title}\n--- stdout\n{}\n--- stderr\n{}",
        run.stdout, run.stderr
    );
    assert_eq!(run.code, exit, "{shown}");
    assert!(
        run.stderr.contains(&format!("error[{code}]: ")),
        "no {code}: {shown}"
    );
    let (_, from) = run
        .stderr
        .split_once(&format!("error[{code}]: "))
        .expect("it was found");
    let own = from.split("error[").next().unwrap_or(from);
    assert!(own.contains("\nhint: "), "no hint: {shown}");
    for text in says {
        assert!(run.stderr.contains(text), "{text:?} is not said: {shown}");
    }
    assert!(!run.stderr.contains("panicked"), "{shown}");
    assert_eq!(
        everything(monorepo),
        before,
        "something was written: {shown}"
    );
    run
}

/// Runs all cases and fails after the last one, so that one mistake hides no other.
fn each<T>(cases: impl IntoIterator<Item = T>, check: impl Fn(T)) {
    let failed = cases
        .into_iter()
        .filter_map(|case| {
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| check(case))).err()
        })
        .count();
    assert_eq!(failed, 0, "cases that failed");
}

#[test]
fn what_is_refused_below_would_be_released_otherwise() {
    let monorepo = repository();
    let run = monorepo
        .binary(&["release", "--install=none"])
        .envs(places(&monorepo).map(|(name, value)| (name.to_owned(), value)))
        .run()
        .expect(0);
    assert!(
        monorepo.tags().contains(&"core@1.0.1".to_owned()),
        "{run:?}"
    );
    assert!(monorepo.sandbox().path().join("store/v1").exists());
}

#[test]
fn manifests_and_configuration_that_cannot_be_right() {
    let core = "packages/core/package.json";
    let named = |name: &str| format!("{{\"name\":{name},\"version\":\"1.0.0\"}}\n");
    let versioned = |version: &str| format!("{{\"name\":\"core\",\"version\":{version}}}\n");
    let web = "packages/web/package.json";
    let needs = |range: &str| {
        format!(
            "{{\"name\":\"web\",\"version\":\"2.0.0\",\"private\":true,\"dependencies\":{{\"core\":\"{range}\"}}}}\n"
        )
    };
    let cases: Vec<(&str, &str, String, i32, &str, &[&str])> = vec![
        ("broken JSON", core, "{\n  \"name\": \"core\",\n  \"version\" \"1.0.0\"\n}\n".into(), 3, "workspace::json_syntax", &["packages/core/package.json:3:"]),
        ("a trailing comma", core, "{\n  \"name\": \"core\",\n}\n".into(), 3, "workspace::json_syntax", &["packages/core/package.json:2:"]),
        ("a key twice", core, "{\n  \"name\": \"core\",\n  \"name\": \"core\"\n}\n".into(), 3, "workspace::json_duplicate", &["packages/core/package.json:3:"]),
        ("too deep", core, format!("{{\"x\": {}{} }}", "[".repeat(200), "]".repeat(200)), 3, "workspace::json_depth", &["packages/core/package.json"]),
        ("a list", core, "[]\n".into(), 3, "workspace::field", &["packages/core/package.json"]),
        ("a bundle as text", core, "{\"name\":\"core\",\"version\":\"1.0.0\",\"bundleDependencies\":\"a\"}\n".into(), 3, "workspace::field", &["bundleDependencies", "an array of strings"]),
        ("a bundle of numbers", core, "{\"name\":\"core\",\"version\":\"1.0.0\",\"bundledDependencies\":[1]}\n".into(), 3, "workspace::field", &["bundledDependencies[0]"]),
        ("private as text", core, "{\"name\":\"core\",\"version\":\"1.0.0\",\"private\":\"false\"}\n".into(), 3, "workspace::field", &["private", "true or false"]),
        ("two packages of one name", core, named("\"web\""), 3, "workspace::duplicate_name", &["packages/core", "packages/web"]),
        ("no name", core, "{\"version\":\"1.0.0\"}\n".into(), 3, "workspace::nameless", &["packages/core/package.json"]),
        ("a name with ..", core, named("\"../../etc/passwd\""), 3, "name::package", &["packages/core/package.json"]),
        ("a scope ..", core, named("\"@../a\""), 3, "name::package", &[]),
        ("a name git refuses", core, named("\"a..b\""), 3, "name::package", &[]),
        ("a name like an option", core, named("\"@s/-rf\""), 3, "name::package", &[]),
        ("a reserved name", core, named("\"node_modules\""), 3, "name::package", &[]),
        ("capitals", core, named("\"React\""), 3, "name::package", &[]),
        ("a Cyrillic letter", core, named("\"re\\u0430ct\""), 3, "name::package", &[]),
        ("a workflow command in a name", core, named("\"a\\n::set-output name=x::1\""), 3, "name::package", &["\\n"]),
        ("a shell in a name", core, named("\"$(id)\""), 3, "name::package", &[]),
        ("a long name", core, named(&format!("\"{}\"", "a".repeat(215))), 3, "name::package", &["214"]),
        ("a name that is a number", core, named("1"), 3, "workspace::field", &["name"]),
        ("v1.2.3", core, versioned("\"v1.2.3\""), 3, "version::form", &["packages/core/package.json"]),
        ("1.2", core, versioned("\"1.2\""), 3, "version::form", &[]),
        ("01.2.3", core, versioned("\"01.2.3\""), 3, "version::form", &[]),
        ("build metadata", core, versioned("\"1.2.3+a\""), 3, "version::form", &[]),
        ("a number npm cannot hold", core, versioned("\"9007199254740992.0.0\""), 3, "version::form", &[]),
        ("a version git refuses", core, versioned("\"1.2.3-a.lock\""), 3, "version::form", &[]),
        ("a path in a version", core, versioned("\"1.2.3-../../x\""), 3, "version::form", &[]),
        ("a version with a blank", core, versioned("\" 1.2.3\""), 3, "version::form", &[]),
        ("an empty version", core, versioned("\"\""), 3, "version::form", &[]),
        ("a version with a wildcard", core, versioned("\"1.2.x\""), 3, "version::form", &[]),
        ("a prerelease that is a number with a zero", core, versioned("\"1.2.3-01\""), 3, "version::form", &[]),
        ("a prerelease npm would read as text", core, versioned("\"1.2.3-9007199254740992\""), 3, "version::form", &["9007199254740991"]),
        ("a long version", core, versioned(&format!("\"1.2.3-{}\"", "a".repeat(251))), 3, "version::form", &["256"]),
        ("a version that is a number", core, versioned("1"), 3, "workspace::field", &["version"]),
        ("a range that is none", "packages/web/package.json", "{\"name\":\"web\",\"version\":\"2.0.0\",\"private\":true,\"dependencies\":{\"core\":\">=1 <\\u0001\"}}\n".into(), 3, "workspace::range", &["packages/web/package.json", "dependencies of web"]),
        ("a range npm reads only loosely", web, needs("1.2.3beta"), 3, "workspace::range", &["write for example ^1.0.0"]),
        ("a range with a comma", web, needs(">=1.0.0,<2"), 3, "workspace::range", &[]),
        ("a range above what npm holds", web, needs("<9007199254740992"), 3, "workspace::range", &[]),
        ("a broken range beside us", web, needs("workspace:^1.2.3.4"), 3, "workspace::range", &["workspace:^1.2.3.4"]),
        ("a broken range of an alias", web, needs("npm:core@^1.0.0 ||| 2"), 3, "workspace::range", &[]),
        ("too many alternatives", web, needs(&vec!["1.0.0"; 201].join("||")), 3, "workspace::range", &[]),
        ("a range that is a number", web, "{\"name\":\"web\",\"version\":\"2.0.0\",\"private\":true,\"dependencies\":{\"core\":1}}\n".into(), 3, "workspace::field", &["packages/web/package.json"]),
        ("workspace: without such a package", "packages/web/package.json", "{\"name\":\"web\",\"version\":\"2.0.0\",\"private\":true,\"dependencies\":{\"cord\":\"workspace:^\"}}\n".into(), 3, "workspace::not_here", &["did you mean core?"]),
        ("workspace: without anything near", "packages/web/package.json", "{\"name\":\"web\",\"version\":\"2.0.0\",\"private\":true,\"dependencies\":{\"zzzzzzzz\":\"workspace:^\"}}\n".into(), 3, "workspace::not_here", &["`workspaces` of package.json"]),
        ("catalog: where there are none", "packages/web/package.json", "{\"name\":\"web\",\"version\":\"2.0.0\",\"private\":true,\"dependencies\":{\"core\":\"catalog:\"}}\n".into(), 3, "workspace::catalog", &["packages/web/package.json", "npm has no catalogs", "write a range"]),
        ("globs that escape", "package.json", "{\"name\":\"m\",\"private\":true,\"workspaces\":[\"../*\"]}\n".into(), 3, "workspace::glob_escape", &["'..'"]),
        ("no package at all", "package.json", "{\"name\":\"m\",\"private\":true,\"workspaces\":[\"nothing/*\"]}\n".into(), 2, "workspace::empty", &[]),
        ("a broken pnpm-workspace.yaml", "pnpm-workspace.yaml", "packages: [\n".into(), 3, "workspace::yaml_syntax", &["pnpm-workspace.yaml"]),
        ("a large pnpm-workspace.yaml", "pnpm-workspace.yaml", format!("# {}\n", "x".repeat(3 << 20)), 3, "workspace::file_size", &["look at what it is"]),
        ("a large manifest", core, format!("{{\"name\":\"core\",\"x\":\"{}\"}}\n", "x".repeat(3 << 20)), 3, "workspace::large_manifest", &["look at what it is"]),
        ("broken configuration", "pkgs.json", "{\n  \"mode\": \"diff\",\n  \"ignore\" []\n}\n".into(), 2, "settings::json", &["pkgs.json:3:"]),
        ("a key twice in the configuration", "pkgs.json", "{\n  \"mode\": \"diff\",\n  \"mode\": \"sync\"\n}\n".into(), 2, "settings::json_duplicate", &["pkgs.json:3:", "\"mode\""]),
        ("an app that is no package", "pkgs.json", "{\"mode\":\"diff\",\"apps\":{\"wep\":{\"type\":\"service\"}}}\n".into(), 2, "workspace::unknown_app", &["apps.wep in pkgs.json", "did you mean web?"]),
        ("an app that is nothing like a package", "pkgs.json", "{\"mode\":\"diff\",\"apps\":{\"xyz\":{}}}\n".into(), 2, "workspace::unknown_app", &["apps.xyz in pkgs.json", "take the entry out of pkgs.json"]),
        ("an app that goes to npm", "pkgs.json", "{\"mode\":\"diff\",\"apps\":{\"core\":{\"type\":\"static\"}}}\n".into(), 2, "workspace::public_app", &["apps.core.type in pkgs.json is static", "add \"private\": true to packages/core/package.json"]),
        ("a bad environment of an app", "pkgs.json", "{\"mode\":\"diff\",\"apps\":{\"web\":{\"environments\":[\"Prod\"]}}}\n".into(), 2, "name::environment", &["apps.web.environments in pkgs.json"]),
        ("a glob that is none", "pkgs.json", "{\"mode\":\"diff\",\"ignore\":[\"[a\"]}\n".into(), 2, "settings::glob", &["[a"]),
    ];
    let monorepo = repository();
    let begin = monorepo.head();
    each(cases, |(title, path, text, exit, code, says)| {
        monorepo.git(&["reset", "--quiet", "--hard", &begin]);
        monorepo.git(&["clean", "--quiet", "--force", "-d"]);
        monorepo.write(path, &text);
        monorepo.git(&["add", "--all"]);
        monorepo.git(&["commit", "--quiet", "--message", "fix: more"]);
        monorepo.git(&["push", "--quiet", "--force", "origin", "HEAD"]);
        refused(title, &monorepo, &["release"], &[], (exit, code), says);
    });
}

#[test]
fn replacements_that_cannot_be_right() {
    let monorepo = repository()
        .file("README.md", "core@1.0.0\n")
        .file("docs/a.md", "core@1.0.0\n")
        .file("docs/large.txt", &"x".repeat((8 << 20) + 1))
        .file(
            "docs/pointer.bin",
            "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
        )
        .file("packages/core/CHANGELOG.md", "# Changelog\n")
        .file("tools/package.json", "{\"name\":\"tools\"}\n");
    fs::write(
        monorepo.path().join("docs/latin.txt"),
        b"core@1.0.0 Ren\xe9\n",
    )
    .expect("written");
    std::os::unix::fs::symlink("a.md", monorepo.path().join("docs/link.md")).expect("a link");
    let wide: Vec<u8> = "core@1.0.0\n"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    fs::create_dir(monorepo.path().join("kept")).expect("a directory");
    fs::write(monorepo.path().join("kept/wide.txt"), wide).expect("written");
    let monorepo = monorepo
        .file(
            ".gitattributes",
            "kept/wide.txt working-tree-encoding=UTF-16LE\nkept/secret.md filter=crypt\nkept/ident.md ident\n",
        )
        .file("kept/secret.md", "core@1.0.0\n")
        .file("kept/ident.md", "$Id$ core@1.0.0\n")
        .file("kept/letters.md", &"a".repeat(60_000))
        .commit("fix(core): more", &[])
        .pushed();
    let entry = |key: &str, value: &str| {
        let mut entry = serde_json::json!({"file": "README.md", "package": "core", "search": "core@[0-9.]+", "replace": "core@{version}"});
        entry[key] = value.into();
        entry
    };
    let file = |path: &str| entry("file", path);
    let cases: Vec<(&str, serde_json::Value, i32, &str, &[&str])> = vec![
        (
            "no such file",
            file("docs/b.md"),
            3,
            "plan::replacement_file",
            &[
                "replacements[1].file in pkgs.json",
                "docs/b.md",
                "there is no such file",
            ],
        ),
        (
            "a glob that means nothing",
            file("docs/*.rst"),
            3,
            "plan::replacement_file",
            &["docs/*.rst", "there is no such file"],
        ),
        (
            "a directory",
            file("docs"),
            3,
            "plan::replacement_file",
            &["it is a link or a directory"],
        ),
        (
            "a link",
            file("docs/link.md"),
            3,
            "plan::replacement_file",
            &["docs/link.md", "it is a link or a directory"],
        ),
        (
            "another encoding",
            file("docs/latin.txt"),
            3,
            "plan::replacement_file",
            &["docs/latin.txt", "it is not UTF-8 text"],
        ),
        (
            "another encoding, by a glob",
            file("docs/l*n.txt"),
            3,
            "plan::replacement_file",
            &["docs/latin.txt", "it is not UTF-8 text"],
        ),
        (
            "a large file",
            file("docs/large.txt"),
            3,
            "plan::replacement_file",
            &["docs/large.txt", "8 MiB"],
        ),
        (
            "a pointer of git-lfs",
            file("docs/pointer.bin"),
            3,
            "plan::replacement_file",
            &["docs/pointer.bin", "git-lfs"],
        ),
        (
            "another encoding in the work tree",
            file("kept/wide.txt"),
            3,
            "plan::replacement_attribute",
            &[
                "replacements[1].file in pkgs.json",
                "kept/wide.txt",
                "working-tree-encoding=UTF-16LE",
                "in .gitattributes",
            ],
        ),
        (
            "a file that goes through a filter, by a glob",
            file("kept/s*.md"),
            3,
            "plan::replacement_attribute",
            &["kept/secret.md", "filter=crypt"],
        ),
        (
            "a file with its own id",
            file("kept/ident.md"),
            3,
            "plan::replacement_attribute",
            &["kept/ident.md", "its attribute ident "],
        ),
        (
            "a search that takes the square of a text",
            serde_json::json!({"file": "kept/letters.md", "package": "core", "search": "a+b|a", "replace": "a"}),
            3,
            "plan::replacement_effort",
            &["replacements[1].search in pkgs.json", "kept/letters.md"],
        ),
        (
            "what the next release would not find",
            entry("replace", "core v{version}"),
            3,
            "plan::replacement_match",
            &[
                "replacements[1].search in pkgs.json will match nothing in README.md after this release",
                "let search match what replace writes",
            ],
        ),
        (
            "a search that matches nothing",
            entry("search", "core@2"),
            3,
            "plan::replacement_match",
            &["replacements[1].search in pkgs.json matches nothing in README.md"],
        ),
        (
            "a search that matches nothing, by a glob",
            serde_json::json!({"file": "docs/*.md", "package": "core", "search": "x", "replace": "y"}),
            3,
            "plan::replacement_match",
            &["docs/a.md"],
        ),
        (
            "what would grow with each release",
            entry("replace", "core@1.0.0 {version}"),
            3,
            "plan::replacement_repeats",
            &["replacements[1].replace in pkgs.json", "README.md"],
        ),
        (
            "a manifest",
            file("packages/core/package.json"),
            2,
            "plan::replacement",
            &[
                "replacements[1].file in pkgs.json",
                "packages/core/package.json",
            ],
        ),
        (
            "the lockfile",
            file("package-lock.json"),
            2,
            "plan::replacement",
            &[],
        ),
        (
            "a changelog",
            file("packages/core/CHANGELOG.md"),
            2,
            "plan::replacement",
            &[],
        ),
        (
            "the configuration",
            file("pkgs.json"),
            2,
            "plan::replacement",
            &[],
        ),
        (
            "an unknown package",
            entry("package", "cor"),
            2,
            "plan::replacement",
            &["replacements[1].package in pkgs.json", "did you mean core?"],
        ),
        (
            "a package that is the root",
            entry("package", "monorepo"),
            2,
            "plan::replacement",
            &["in sync mode only"],
        ),
        (
            "a file of no package",
            serde_json::json!({"file": "docs/a.md", "search": "core@1", "replace": "core@{version}"}),
            2,
            "plan::replacement",
            &["docs/a.md", "`package`"],
        ),
        (
            "no regular expression",
            entry("search", "core@("),
            2,
            "settings::replacement",
            &["replacements[1].search in pkgs.json", "unclosed group"],
        ),
        (
            "an unknown placeholder",
            entry("replace", "{verison}"),
            2,
            "settings::replacement",
            &["replacements[1].replace in pkgs.json", "{version}"],
        ),
        (
            "a path that escapes",
            file("../README.md"),
            2,
            "settings::replacement",
            &["replacements[1].file in pkgs.json"],
        ),
    ];
    let begin = monorepo.head();
    each(cases, |(title, wrong, exit, code, says)| {
        monorepo.git(&["reset", "--quiet", "--hard", &begin]);
        let right = serde_json::json!({"file": "tools/package.json", "package": "core", "search": "\"tools\"", "replace": "\"tools\""});
        let config = serde_json::json!({"mode": "diff", "replacements": [right, wrong]});
        monorepo.write("pkgs.json", &config.to_string());
        monorepo.git(&[
            "commit",
            "--quiet",
            "--all",
            "--message",
            "chore: configure",
        ]);
        monorepo.git(&["push", "--quiet", "--force", "origin", "HEAD"]);
        let said = [says, &["replacements[1]"]].concat();
        refused(
            title,
            &monorepo,
            &["release", "--install=none"],
            &[],
            (exit, code),
            &said,
        );
    });
}

#[test]
fn a_manifest_in_another_encoding_is_refused() {
    let monorepo = repository();
    let file = monorepo.path().join("packages/core/package.json");
    fs::write(
        file,
        b"{\"name\":\"core\",\"version\":\"1.0.0\",\"author\":\"Ren\xe9\"}\n",
    )
    .expect("written");
    monorepo.git(&["commit", "--quiet", "--all", "--message", "fix: more"]);
    let monorepo = monorepo.pushed();
    let hint = ["save it in UTF-8 and commit it"];
    let code = (3, "git::encoding");
    refused("latin 1", &monorepo, &["release"], &[], code, &hint);
}

#[test]
fn a_remote_that_no_git_can_reach_is_a_mistake_and_not_a_matter_of_time() {
    let monorepo = repository();
    for remote in ["-", "s3://bucket/x", "ext::sh -c true"] {
        let arguments = ["release", "--branch=main", "--remote", remote];
        let says = ["it has origin"];
        let code = (2, "git::no_remote");
        refused(remote, &monorepo, &arguments, &[], code, &says);
    }
}

#[test]
fn several_broken_manifests_are_reported_together() {
    let monorepo = with(
        repository(),
        &[
            ("packages/core/package.json", "{\n"),
            (
                "packages/web/package.json",
                "{\"name\":\"web\",\"version\":\"2\"}\n",
            ),
        ],
    );
    refused(
        "two at once",
        &monorepo,
        &["plan"],
        &[],
        (3, "workspace::json_syntax"),
        &["error[version::form]", "packages/web/package.json"],
    );
}

#[test]
fn settings_that_cannot_be_right() {
    let monorepo = repository();
    let server = "s3://key:Canary0Secret@bucket";
    let cases: &[(&str, &[&str], &[(&str, &str)], (i32, &str), &[&str])] = &[
        (
            "a bad environment",
            &["promote", "--environment", "Prod", "--to", "1.0.0"],
            &[],
            (2, "name::environment"),
            &["--environment"],
        ),
        (
            "a bad environment in a variable",
            &["rollback"],
            &[("PKGS_ENVIRONMENT", "../prod")],
            (2, "name::environment"),
            &["PKGS_ENVIRONMENT"],
        ),
        (
            "a directory as registry, written as a path",
            &["release", "--registry", "/srv/npm"],
            &[],
            (2, "settings::url"),
            &["file:///absolute/directory"],
        ),
        (
            "no environment",
            &["rollback"],
            &[],
            (2, "settings::missing"),
            &["--environment"],
        ),
        (
            "an unknown input",
            &["release"],
            &[("INPUT_DRY-RAN", "true")],
            (2, "settings::unknown"),
            &["did you mean INPUT_DRY-RUN?"],
        ),
        (
            "an unknown variable",
            &["release"],
            &[("PKGS_STOER", "x")],
            (2, "settings::unknown"),
            &["did you mean PKGS_STORE?"],
        ),
        (
            "a variable like no other",
            &["release"],
            &[("PKGS_ZZZZ", "x")],
            (2, "settings::unknown"),
            &["pkgs-action <command> --help"],
        ),
        (
            "an unknown flag",
            &["release", "--dry-ran"],
            &[],
            (2, "settings::flags"),
            &["--dry-run"],
        ),
        (
            "an unknown command",
            &["relaese"],
            &[],
            (2, "settings::flags"),
            &["release"],
        ),
        (
            "yes",
            &["release"],
            &[("INPUT_DRY-RUN", "yes")],
            (2, "settings::boolean"),
            &["INPUT_DRY-RUN", "true or false"],
        ),
        (
            "no such mode",
            &["release", "--mode", "dif"],
            &[],
            (2, "settings::choice"),
            &["did you mean diff?"],
        ),
        (
            "no such level",
            &["release", "--log-level", "trace"],
            &[],
            (2, "settings::choice"),
            &["--log-level"],
        ),
        (
            "a filter for nothing",
            &["release", "--filter", "cor"],
            &[],
            (2, "plan::filter"),
            &["did you mean core?"],
        ),
        (
            "a filter that is no glob",
            &["release", "--filter", "[a"],
            &[],
            (2, "plan::filter"),
            &["[a"],
        ),
        (
            "no size",
            &["release", "--max-package-size", "1.5MB"],
            &[],
            (2, "settings::size"),
            &["--max-package-size says \"1.5MB\"", "for example 5MB"],
        ),
        (
            "a size of nothing",
            &["release", "--max-package-size", "cor=5MB"],
            &[],
            (2, "plan::max_package_size"),
            &["did you mean core?"],
        ),
        (
            "keys by no glob",
            &["release", "--key-files", "[a"],
            &[],
            (2, "settings::glob"),
            &["\"[a\" is not a glob for key-files"],
        ),
        (
            "rules of an npm that nobody packs like",
            &["release", "--npm-rules", "10"],
            &[],
            (2, "settings::choice"),
            &["12, 11"],
        ),
        (
            "git that is neither refused nor allowed",
            &["release", "--git-dependencies", "yes"],
            &[],
            (2, "settings::choice"),
            &["refuse, allow"],
        ),
        (
            "no such ref",
            &["release", "--base", "nowhere"],
            &[],
            (2, "git::unknown_ref"),
            &["\"nowhere\"", "fetch"],
        ),
        (
            "a ref before the first commit",
            &["release", "--base", "HEAD~99"],
            &[],
            (2, "git::unknown_ref"),
            &[
                "the history here begins after it",
                "name a commit, branch or tag that is here",
            ],
        ),
        (
            "a version that is not above",
            &["release", "--bump", "1.0.0"],
            &[],
            (3, "plan::bump"),
            &["core"],
        ),
        (
            "a tag that npm refuses",
            &["release", "--npm-tag", "1.x"],
            &[],
            (2, "settings::dist_tag"),
            &["1.x"],
        ),
        (
            "a tag format without a version",
            &["release", "--tag-format", "{name}"],
            &[],
            (2, "settings::tag_format"),
            &["{version}"],
        ),
        (
            "a message with a placeholder that there is not",
            &["release", "--commit-message", "{count}: {versions} {a b}"],
            &[],
            (2, "settings::message"),
            &["\"{versions}\"", "write {version}, {tags} or {count}"],
        ),
        (
            "one tag for two packages",
            &["release", "--tag-format", "v{version}"],
            &[],
            (2, "plan::tag_format"),
            &["{name}"],
        ),
        (
            "an insecure registry",
            &["release", "--registry", "http://npm.example/"],
            &[],
            (2, "settings::url"),
            &["https://"],
        ),
        (
            "a registry with a user",
            &["release"],
            &[("PKGS_REGISTRY", "https://user:Canary0Secret@npm.example/")],
            (2, "settings::url"),
            &["PKGS_REGISTRY"],
        ),
        (
            "a store with credentials",
            &["release"],
            &[("PKGS_STORE", server)],
            (2, "settings::store_address"),
            &["PKGS_STORE"],
        ),
        (
            "a store that is no address",
            &["release"],
            &[("PKGS_STORE", "bucket")],
            (2, "settings::store_address"),
            &["s3://bucket/prefix"],
        ),
        (
            "a directory that is not there",
            &["release", "--working-directory", "nowhere"],
            &[],
            (2, "settings::working_directory"),
            &["nowhere"],
        ),
        (
            "a configuration that is not there",
            &["release", "--config", "nowhere.json"],
            &[],
            (2, "settings::config"),
            &["nowhere.json"],
        ),
        (
            "no branch of that name",
            &["release", "--branch", "next"],
            &[],
            (3, "release::wrong_branch"),
            &["\"main\"", "next"],
        ),
        (
            "no remote of that name",
            &["release", "--remote", "upstream"],
            &[],
            (2, "git::no_remote"),
            &["upstream"],
        ),
    ];
    each(cases, |(title, arguments, environment, refusal, says)| {
        let run = refused(title, &monorepo, arguments, environment, *refusal, says);
        assert!(
            !run.stderr.contains("Canary0Secret"),
            "{title}: {}",
            run.stderr
        );
    });
}

#[test]
fn a_secret_in_a_wrong_place_is_not_printed() {
    let monorepo = repository();
    let shape = format!("ghp_{}", "Ab1".repeat(12));
    let secret = "Canary/Secret+0042";
    let cases: [(&[&str], Vec<(&str, &str)>); 8] = [
        (
            &["release"],
            vec![("PKGS_NPM_TOKEN", secret), ("PKGS_MODE", secret)],
        ),
        (
            &["release"],
            vec![("NPM_TOKEN", secret), ("PKGS_BUMP", secret)],
        ),
        (
            &["release"],
            vec![("GITHUB_TOKEN", secret), ("PKGS_STORE", secret)],
        ),
        (
            &["release"],
            vec![("INPUT_TOKEN", secret), ("INPUT_DRY-RUN", secret)],
        ),
        (
            &["release"],
            vec![("PKGS_NPM_TOKEN", "Canary/Secret+0042\r\nX: y")],
        ),
        (&["release"], vec![("PKGS_MODE", &shape)]),
        (&["release", &shape], vec![]),
        (&["release", "--npm-token=Canary/Secret+0042"], vec![]),
    ];
    for (arguments, environment) in cases {
        let run = monorepo
            .binary(arguments)
            .envs(&environment)
            .in_actions("push", "refs/heads/main")
            .run()
            .expect(2);
        monorepo
            .sandbox()
            .keeps_secret(&[secret, &shape], &run, &[], &[]);
        assert!(run.stderr.contains("hint: "), "{}", run.stderr);
    }
    let run = monorepo.run(&["release", "--token", secret]).expect(2);
    assert!(
        run.stderr
            .contains("error[settings::secret_flag]: token cannot be given as a flag"),
        "{}",
        run.stderr
    );
    assert!(run.stderr.contains("PKGS_TOKEN"), "{}", run.stderr);
    assert!(!run.stderr.contains(secret), "{}", run.stderr);
}

#[test]
fn a_credential_that_is_missing_or_refused_costs_no_version() {
    let registry = Verdaccio::shared();
    let monorepo = repository();
    let missing = &[("PKGS_REGISTRY", registry.url.as_str())];
    refused(
        "no npm credential",
        &monorepo,
        &["release"],
        missing,
        (2, "npm::no_credential"),
        &["core", "NPM_TOKEN"],
    );
    let placeholder = &[
        ("PKGS_REGISTRY", registry.url.as_str()),
        ("NODE_AUTH_TOKEN", "XXXXX-XXXXX-XXXXX-XXXXX"),
    ];
    refused(
        "what setup-node sets where no token is given",
        &monorepo,
        &["release"],
        placeholder,
        (2, "npm::no_credential"),
        &["core", "NPM_TOKEN"],
    );
    let wrong = &[
        ("PKGS_REGISTRY", registry.url.as_str()),
        ("NPM_TOKEN", "Canary0Wrong0Token"),
    ];
    let run = refused(
        "a wrong npm token",
        &monorepo,
        &["release"],
        wrong,
        (5, "npm::unauthorized"),
        &["expired"],
    );
    monorepo
        .sandbox()
        .keeps_secret(&["Canary0Wrong0Token"], &run, &[], &[]);

    let server = GitServer::start();
    let monorepo = repository_at(&server);
    server.require("Right0Token0For0Git");
    let github = [
        ("GITHUB_SERVER_URL", server.origin()),
        ("PKGS_TOKEN", "Canary0Wrong0Token".to_owned()),
    ];
    let before = git_server::refs(&server.directory("acme/monorepo"));
    let run = monorepo
        .binary(&["release"])
        .envs(places(&monorepo).map(|(name, value)| (name.to_owned(), value)))
        .in_actions("push", "refs/heads/main")
        .envs(&github)
        .run()
        .expect(5);
    assert!(
        run.stderr.contains("error[git::denied]") && run.stderr.contains("hint: "),
        "{}",
        run.stderr
    );
    monorepo
        .sandbox()
        .keeps_secret(&["Canary0Wrong0Token"], &run, &[], &[]);
    assert_eq!(git_server::refs(&server.directory("acme/monorepo")), before);
}

fn repository_at(server: &GitServer) -> Monorepo {
    Monorepo::new()
        .package("core", "1.0.0")
        .released()
        .commit(
            "fix(core): trim",
            &[("packages/core/src/index.js", "exports.a = 1;\n")],
        )
        .origin_at(server, "acme/monorepo")
}

#[test]
fn a_store_that_is_missing_or_somebody_elses() {
    let monorepo = repository();
    let run = refused(
        "an app without a store",
        &monorepo,
        &["release"],
        &[("PKGS_STORE", "")],
        (2, "plan::no_store"),
        &["web", "store: none"],
    );
    assert!(run.stdout.is_empty(), "{}", run.stdout);
    for command in ["promote", "rollback", "status"] {
        let environment = [("PKGS_STORE", ""), ("PKGS_ENVIRONMENT", "prod")];
        refused(
            command,
            &monorepo,
            &[command],
            &environment,
            (2, "settings::missing"),
            &["store"],
        );
    }
    let store = monorepo.sandbox().path().join("store/v1/repository.json");
    fs::create_dir_all(store.parent().expect("a parent")).expect("a directory");
    let other = "{\"schema\":\"pkgs.repository/1\",\"repository\":\"else/where\"}";
    fs::write(&store, other).expect("a file");
    refused(
        "a store of another repository",
        &monorepo,
        &["release"],
        &[],
        (3, "store::other_repository"),
        &["else/where"],
    );
}

#[test]
fn versions_that_the_registry_already_left_behind() {
    let monorepo = repository();
    let publish = |versions: &[&str], tags: &str| {
        let list: Vec<String> = versions
            .iter()
            .map(|version| {
                format!(
                    "\"{version}\":{{\"name\":\"core\",\"version\":\"{version}\",\"dist\":{{}}}}"
                )
            })
            .collect();
        let document = format!(
            "{{\"name\":\"core\",\"dist-tags\":{tags},\"versions\":{{{}}}}}",
            list.join(",")
        );
        let _ = places(&monorepo);
        fs::write(monorepo.sandbox().path().join("npm/core"), document).expect("a file");
    };
    publish(&["1.0.0", "1.5.0"], "{\"latest\":\"1.5.0\"}");
    let below = (3, "npm::version_below");
    let says = ["core would become 1.0.1", "1.5.0", "package.json"];
    refused("grown by a fix", &monorepo, &["release"], &[], below, &says);
    let asked = ["release", "--bump", "1.4.9"];
    let says = ["core would become 1.4.9", "1.5.0"];
    refused("asked for", &monorepo, &asked, &[], below, &says);
    let says = ["core 1.5.0", "tag the commit"];
    let asked = ["release", "--bump", "1.5.0"];
    let taken = (3, "npm::version_taken");
    refused("there already", &monorepo, &asked, &[], taken, &says);
    // A higher major keeps its dist-tag, and an older line has one of its own.
    publish(&["1.0.0", "2.0.0"], "{\"latest\":\"2.0.0\"}");
    for (arguments, tag) in [
        (&["release", "--dry-run", "--install=none"][..], "latest-1"),
        (
            &["release", "--dry-run", "--install=none", "--npm-tag=old"],
            "old",
        ),
    ] {
        let run = monorepo
            .binary(&[arguments, &["--format=json"]].concat())
            .envs(places(&monorepo).map(|(name, value)| (name.to_owned(), value)))
            .run()
            .expect(0);
        assert!(
            run.stdout.contains(&format!("\"distTag\":\"{tag}\""))
                || run.stdout.contains(&format!("\"distTag\": \"{tag}\"")),
            "{run:?}"
        );
    }
}

#[test]
fn a_version_after_which_npm_can_hold_none() {
    let monorepo = Monorepo::new()
        .package("core", "9007199254740991.0.0")
        .released()
        .commit("feat(core)!: it", &[("packages/core/src/index.js", "")])
        .origin();
    let says = ["9007199254740992.0.0", "core would get it"];
    let refusal = (3, "version::form");
    refused("one too far", &monorepo, &["release"], &[], refusal, &says);
}

#[test]
fn versions_that_nothing_can_be_raised_to() {
    let monorepo = repository();
    let versions = [
        "1.2",
        "1.2.3+a",
        "1.2.3-a.lock",
        "9007199254740992.0.0",
        "^1.2.3",
    ];
    each(versions, |version| {
        let arguments = ["release", "--bump", version];
        let refusal = (2, "settings::choice");
        let says = ["write for example minor or 1.4.2"];
        refused(version, &monorepo, &arguments, &[], refusal, &says);
    });
}

#[test]
fn places_that_are_no_repository() {
    let monorepo = Monorepo::empty();
    refused(
        "no commit",
        &monorepo,
        &["plan"],
        &[],
        (2, "git::no_commit"),
        &[],
    );
    monorepo.write("README.md", "nothing\n");
    monorepo.git(&["add", "--all"]);
    monorepo.git(&["commit", "--quiet", "--message", "docs: begin"]);
    refused(
        "no package.json",
        &monorepo,
        &["plan"],
        &[],
        (2, "workspace::no_manifest"),
        &["package.json"],
    );

    let outside = monorepo.sandbox().path().join("outside");
    fs::create_dir(&outside).expect("a directory");
    let run = monorepo.sandbox().run(&outside, &["plan"], &[]).expect(2);
    assert!(
        run.stderr.contains("error[git::no_repository]") && run.stderr.contains("hint: "),
        "{}",
        run.stderr
    );

    let other = monorepo.sandbox().path().join("other");
    let named = other.display().to_string();
    monorepo.git(&["init", "--quiet", "--object-format=sha256", &named]);
    let run = monorepo.sandbox().run(&other, &["plan"], &[]).expect(2);
    assert!(
        run.stderr.contains("error[git::unsupported]") && run.stderr.contains("sha256"),
        "{}",
        run.stderr
    );

    let bare = monorepo.sandbox().path().join("bare.git");
    git_server::bare(&bare);
    let run = monorepo.sandbox().run(&bare, &["plan"], &[]).expect(2);
    assert!(
        run.stderr.contains("error[git::bare]") && run.stderr.contains("hint: "),
        "{}",
        run.stderr
    );
}

#[test]
fn a_state_of_git_that_cannot_be_released() {
    let monorepo = repository().file("packages/core/src/index.js", "exports.a = 2;\n");
    refused(
        "a dirty tree",
        &monorepo,
        &["release"],
        &[],
        (3, "worktree::dirty"),
        &["packages/core/src/index.js", "commit, stash"],
    );

    let monorepo = repository();
    monorepo.git(&["switch", "--quiet", "--create", "feature"]);
    refused(
        "another branch",
        &monorepo,
        &["release"],
        &[],
        (3, "release::wrong_branch"),
        &["\"feature\"", "main"],
    );

    let monorepo = repository();
    monorepo.git(&["switch", "--quiet", "--detach"]);
    refused(
        "a detached head",
        &monorepo,
        &["release"],
        &[],
        (3, "release::wrong_branch"),
        &["a detached head"],
    );
    let _ = monorepo
        .binary(&["plan"])
        .envs(places(&monorepo).map(|(name, value)| (name.to_owned(), value)))
        .run()
        .expect(0);

    let monorepo = repository().commit("fix(core): not pushed", &[("packages/core/b.js", "")]);
    refused(
        "a commit that was not pushed",
        &monorepo,
        &["release"],
        &[],
        (3, "release::not_on_branch"),
        &["push your commits"],
    );

    let monorepo = repository();
    for event in [
        "pull_request",
        "pull_request_target",
        "issue_comment",
        "workflow_run",
        "merge_group",
    ] {
        let environment = [
            ("GITHUB_ACTIONS", "true"),
            ("GITHUB_EVENT_NAME", event),
            ("GITHUB_REF", "refs/heads/main"),
        ];
        refused(
            event,
            &monorepo,
            &["release"],
            &environment,
            (3, "release::untrusted_event"),
            &[event],
        );
    }
    let fork = monorepo.sandbox().path().join("fork.json");
    fs::write(&fork, r#"{"pull_request":{"head":{"repo":{"full_name":"mallory/monorepo"}}},"repository":{"full_name":"acme/monorepo"}}"#).expect("a file");
    let fork = fork.display().to_string();
    let environment = [
        ("GITHUB_ACTIONS", "true"),
        ("GITHUB_EVENT_NAME", "push"),
        ("GITHUB_EVENT_PATH", fork.as_str()),
        ("GITHUB_REF", "refs/heads/main"),
    ];
    refused(
        "an event of a fork",
        &monorepo,
        &["release"],
        &environment,
        (3, "release::untrusted_event"),
        &[],
    );
}

#[test]
fn a_directory_registry_that_cannot_be_written_to() {
    let monorepo = repository();
    let [_, (_, registry)] = places(&monorepo);
    let directory = registry.trim_start_matches("file://");
    // Also root cannot make a directory there.
    fs::write(Path::new(directory).join(".pkgs-tmp"), "").expect("a file");
    refused(
        "a directory that takes no file",
        &monorepo,
        &["release"],
        &[],
        (3, "registry::disk"),
        &[directory],
    );
}

#[test]
fn an_event_that_is_no_file() {
    let monorepo = repository();
    let fifo = monorepo.sandbox().path().join("event");
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, mode, 0)
        .expect("a fifo");
    let fifo = fifo.display().to_string();
    refused(
        "a fifo nobody writes to",
        &monorepo,
        &["release"],
        &[
            ("GITHUB_ACTIONS", "true"),
            ("GITHUB_EVENT_NAME", "pull_request"),
            ("GITHUB_EVENT_PATH", fifo.as_str()),
            ("GITHUB_REF", "refs/heads/main"),
        ],
        (3, "release::untrusted_event"),
        &["the event of the workflow is not known"],
    );
}

#[test]
fn a_clone_that_leaves_objects_out_is_told_from_a_damaged_one() {
    let monorepo = repository();
    let monorepo = monorepo
        .commit(
            "fix(core): more",
            &[("packages/core/src/index.js", "exports.a = 2;\n")],
        )
        .pushed();
    let origin = monorepo.origin_directory().display().to_string();
    let config = [
        "--git-dir",
        &origin,
        "config",
        "uploadpack.allowFilter",
        "true",
    ];
    monorepo.git(&config);
    let partial = monorepo.sandbox().path().join("partial");
    let (from, to) = (format!("file://{origin}"), partial.display().to_string());
    monorepo.git(&[
        "clone",
        "--quiet",
        "--filter=tree:0",
        "--no-checkout",
        &from,
        &to,
    ]);
    let run = monorepo.sandbox().run(&partial, &["plan"], &[]).expect(2);
    assert!(
        run.stderr.contains("error[git::partial_clone]"),
        "{}",
        run.stderr
    );
    let hint = "git -c remote.origin.partialclonefilter= fetch --refetch origin";
    assert!(run.stderr.contains(hint), "{}", run.stderr);
    monorepo.git(&[
        "-C",
        &to,
        "-c",
        "remote.origin.partialclonefilter=",
        "fetch",
        "--quiet",
        "--refetch",
        "origin",
    ]);
    let _ = monorepo
        .sandbox()
        .run(&partial, &["plan", "--registry", "file:///"], &[])
        .expect(0);
}

#[test]
fn tags_that_exist_elsewhere() {
    let monorepo = repository();
    monorepo.git(&["switch", "--quiet", "--create", "abandoned", "HEAD~1"]);
    let monorepo = monorepo
        .commit("fix(core): another way", &[("packages/core/other.js", "")])
        .tag("core@1.0.1");
    monorepo.git(&["push", "--quiet", "origin", "core@1.0.1"]);
    monorepo.git(&["switch", "--quiet", "main"]);
    refused(
        "on another branch",
        &monorepo,
        &["release"],
        &[],
        (3, "plan::tag_exists"),
        &["core@1.0.1", "never moves a tag"],
    );

    monorepo.git(&["tag", "--force", "core@1.0.1", "HEAD"]);
    refused(
        "another one here",
        &monorepo,
        &["release"],
        &[],
        (3, "git::tag_differs"),
        &["core@1.0.1", "git tag -d"],
    );
}

#[test]
fn a_protected_branch_or_tag_releases_nothing_until_it_is_opened() {
    for pattern in ["refs/heads/*", "refs/tags/*"] {
        let monorepo = repository();
        git_server::refuse(monorepo.origin_directory(), &[pattern]);
        let release = || {
            monorepo
                .binary(&["release", "--install=none"])
                .envs(places(&monorepo).map(|(name, value)| (name.to_owned(), value)))
                .run()
        };
        let before = git_server::refs(monorepo.origin_directory());
        let run = release().expect(5);
        assert!(
            run.stderr.contains("error[git::push_refused]") && run.stderr.contains("hint: "),
            "{}",
            run.stderr
        );
        assert!(run.stderr.contains("is protected"), "{}", run.stderr);
        assert_eq!(git_server::refs(monorepo.origin_directory()), before);
        assert_eq!(monorepo.git(&["status", "--porcelain"]), "");
        assert!(!monorepo.sandbox().path().join("npm/core").exists());
        assert!(!monorepo.sandbox().path().join("store/v1/releases").exists());

        git_server::refuse(monorepo.origin_directory(), &[]);
        let _ = release().expect(0);
        let tags: Vec<String> = git_server::refs(monorepo.origin_directory())
            .into_iter()
            .filter_map(|(name, _)| name.strip_prefix("refs/tags/").map(str::to_owned))
            .collect();
        assert_eq!(tags, ["core@1.0.0", "core@1.0.1", "web@2.0.0", "web@2.0.1"]);
    }
}

#[test]
fn a_shallow_clone_is_deepened_or_refused_and_never_everything() {
    let monorepo = repository();
    let environment = places(&monorepo).map(|(name, value)| (name.to_owned(), value));
    let whole = monorepo
        .binary(&["plan", "--format=json"])
        .envs(&environment)
        .run()
        .expect(0)
        .json();

    let shallow = monorepo.clone_fresh(Some(1));
    let run = shallow
        .binary(&["plan", "--format=json"])
        .envs(&environment)
        .run()
        .expect(0);
    let plan = run.json();
    assert_eq!(plan["packages"], whole["packages"]);
    assert_eq!(plan["digest"], whole["digest"]);
    assert_eq!(
        shallow.git(&["rev-parse", "--is-shallow-repository"]),
        "false"
    );

    for command in ["plan", "release"] {
        let cut = monorepo.clone_fresh(Some(1));
        cut.git(&["remote", "set-url", "origin", "file:///nowhere/at/all.git"]);
        let before = everything(&cut);
        let run = cut.binary(&[command]).envs(&environment).run().expect(2);
        assert!(run.stderr.contains("error[git::"), "{}", run.stderr);
        assert!(run.stderr.contains("fetch-depth: 0"), "{}", run.stderr);
        assert_eq!(everything(&cut), before);
    }
}
