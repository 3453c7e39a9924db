//! `plan`: which packages, to which versions, and why.

use serde_json::{Value, json};

use crate::support::monorepo::Monorepo;
use crate::support::sandbox::Run;

/// The address of a directory of the sandbox.
fn place(monorepo: &Monorepo, name: &str) -> String {
    let directory = monorepo.sandbox().path().join(name);
    std::fs::create_dir_all(&directory).expect("a directory");
    format!("file://{}", directory.display())
}

fn run(monorepo: &Monorepo, arguments: &[&str]) -> Run {
    monorepo
        .binary(arguments)
        .env("PKGS_REGISTRY", place(monorepo, "npm"))
        .env("PKGS_STORE", place(monorepo, "store"))
        .env("PKGS_INSTALL", "none")
        .run()
}

fn plan(monorepo: &Monorepo, arguments: &[&str]) -> Value {
    run(monorepo, &[&["plan", "--format=json"], arguments].concat())
        .expect(0)
        .json()
}

/// `name from -> to: reason; reason` for each package of a plan.
fn lines(plan: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let reason = |reason: &Value| match reason["kind"].as_str().expect("a kind") {
        "commit" => text(&reason["subject"]),
        "dependency" => {
            // What a range leaves, or what an app uses.
            let of = if reason["range"].is_null() {
                "to"
            } else {
                "range"
            };
            format!("{} {}", text(&reason["on"]), text(&reason[of]))
        }
        "lockfile" => format!("lockfile {}", text(&reason["on"])),
        "bundled" => format!("bundled {} {}", text(&reason["on"]), text(&reason["to"])),
        other => other.to_owned(),
    };
    let line = |package: &Value| {
        let reasons: Vec<String> = package["reasons"]
            .as_array()
            .expect("a list")
            .iter()
            .map(reason)
            .collect();
        let [name, from, to] = ["name", "from", "to"].map(|field| text(&package[field]));
        format!("{name} {from} -> {to}: {}", reasons.join("; "))
    };
    plan["packages"]
        .as_array()
        .expect("a list")
        .iter()
        .map(line)
        .collect()
}

fn check(title: &str, monorepo: &Monorepo, arguments: &[&str], expected: &[&str]) -> Value {
    let plan = plan(monorepo, arguments);
    assert_eq!(lines(&plan), expected, "{title}: {plan:#}");
    plan
}

/// Commits without making the lockfile follow.
fn committed(monorepo: Monorepo, message: &str) -> Monorepo {
    monorepo.git(&["add", "--all"]);
    monorepo.git(&["commit", "--quiet", "--allow-empty", "--message", message]);
    monorepo
}

const A: &[(&str, &str)] = &[("packages/a/a.js", "1\n")];

#[test]
fn every_layout_of_a_workspace() {
    let layouts: [(&str, &[(&str, &str)]); 4] = [
        (
            "a list",
            &[(
                "package.json",
                r#"{"private":true,"workspaces":["packages/*","!packages/c"]}"#,
            )],
        ),
        (
            "an object",
            &[(
                "package.json",
                r#"{"private":true,"workspaces":{"packages":["packages/a","packages/b"]}}"#,
            )],
        ),
        (
            "pnpm",
            &[
                ("package.json", r#"{"private":true}"#),
                (
                    "pnpm-workspace.yaml",
                    "packages:\n  - packages/*\n  - '!packages/c'\n",
                ),
            ],
        ),
        (
            "pnpm beside npm",
            &[
                (
                    "package.json",
                    r#"{"private":true,"workspaces":["packages/c"]}"#,
                ),
                (
                    "pnpm-workspace.yaml",
                    "packages: [packages/a, packages/b]\n",
                ),
            ],
        ),
    ];
    for (title, files) in layouts {
        let mut monorepo = Monorepo::empty()
            .file("pkgs.json", "{\"mode\":\"diff\"}\n")
            .package("a", "1.0.0")
            .package("b", "1.0.0")
            .package("c", "1.0.0")
            .depends("b", "a", "1.0.0");
        for (path, text) in files {
            monorepo = monorepo.file(path, text);
        }
        let monorepo = committed(monorepo, "feat: begin")
            .released()
            .file("packages/a/a.js", "1\n")
            .file("packages/c/c.js", "1\n");
        let monorepo = committed(monorepo, "fix: both");
        let plan = check(
            title,
            &monorepo,
            &[],
            &["a 1.0.0 -> 1.0.1: fix: both", "b 1.0.0 -> 1.0.1: a 1.0.0"],
        );
        assert_eq!(plan["waves"], json!([["a"], ["b"]]), "{title}");
    }
    let single =
        Monorepo::empty().file("package.json", "{\"name\":\"one\",\"version\":\"1.0.0\"}\n");
    let single = committed(single, "feat: begin")
        .tag("v1.0.0")
        .file("index.js", "1\n");
    let single = committed(single, "feat: more");
    let plan = check(
        "a single package",
        &single,
        &[],
        &["one 1.0.0 -> 1.1.0: feat: more"],
    );
    assert_eq!(plan["packages"][0]["tag"], "v1.1.0");
    assert_eq!(plan["packages"][0]["dir"], ".");
}

/// `a` bundles what it lists: a dependency and what that needs, but nothing that is a peer or for development.
fn bundling() -> Monorepo {
    ["a", "b", "c", "d", "e", "f", "g", "h"]
        .into_iter()
        .fold(Monorepo::new(), |monorepo, name| {
            monorepo.package(name, "1.0.0")
        })
        .depends("a", "b", "^1.0.0")
        .depends_in("optionalDependencies", "a", "c", "^1.0.0")
        .depends_in("peerDependencies", "a", "d", "^1.0.0")
        .depends("a", "e", "^1.0.0")
        .depends("b", "f", "^1.0.0")
        .depends_in("devDependencies", "b", "g", "^1.0.0")
        .depends_in("optionalDependencies", "f", "h", "^1.0.0")
        .depends("h", "b", "^1.0.0")
        .edit("packages/a/package.json", |manifest| {
            manifest["bundleDependencies"] = json!(["b", "c", "d", "g"]);
        })
}

#[test]
fn a_package_is_released_with_what_it_bundles() {
    let monorepo = bundling().released();
    for (changed, released) in [
        ("b", vec!["a 1.0.0 -> 1.0.1: bundled b 1.1.0"]),
        ("c", vec!["a 1.0.0 -> 1.0.1: bundled c 1.1.0"]),
        ("d", vec![]),
        ("e", vec![]),
        ("f", vec!["a 1.0.0 -> 1.0.1: bundled f 1.1.0"]),
        ("g", vec![]),
        ("h", vec!["a 1.0.0 -> 1.0.1: bundled h 1.1.0"]),
    ] {
        let path = format!("packages/{changed}/new.js");
        monorepo.write(&path, "1\n");
        monorepo.git(&["add", "--all"]);
        monorepo.git(&["commit", "--quiet", "--message", "feat: more"]);
        let mut expected: Vec<String> = released.into_iter().map(str::to_owned).collect();
        expected.push(format!("{changed} 1.0.0 -> 1.1.0: feat: more"));
        assert_eq!(lines(&plan(&monorepo, &[])), expected, "{changed}");
        monorepo.git(&["reset", "--quiet", "--hard", "HEAD~1"]);
    }
    let monorepo = monorepo.commit("feat!: break", &[("packages/f/new.js", "1\n")]);
    check(
        "a range that is left, and what follows",
        &monorepo,
        &[],
        &[
            "a 1.0.0 -> 1.0.1: bundled b 1.0.1; bundled f 2.0.0",
            "b 1.0.0 -> 1.0.1: f ^1.0.0",
            "f 1.0.0 -> 2.0.0: feat!: break",
        ],
    );
    let text = run(&monorepo, &["plan"]).expect(0).stdout;
    assert!(text.contains("bundles f 1.0.0 → 2.0.0\n"), "{text}");
    let without = plan(&monorepo, &["--filter=!a"]);
    let warnings: Vec<&str> = without["warnings"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|warning| warning["message"].as_str())
        .collect();
    assert_eq!(
        warnings,
        [
            "a is kept out by filter, though it bundles b",
            "a is kept out by filter, though it bundles f"
        ]
    );
}

/// What `a` is released with is what npm itself puts into its tarball, where it finds all packages installed.
#[test]
fn npm_bundles_what_a_package_is_released_with() {
    let monorepo = bundling();
    for name in ["b", "c", "d", "e", "f", "g", "h"] {
        let manifest = monorepo.read(&format!("packages/{name}/package.json"));
        let installed = format!("packages/a/node_modules/{name}/package.json");
        monorepo.write(&installed, &manifest);
    }
    let packed = monorepo.npm(&["pack", "--dry-run", "--json", "--workspace=a"]);
    let packed: Value = serde_json::from_str(&packed).expect("JSON");
    let found = packed
        .get(0)
        .or_else(|| packed.get("a"))
        .expect("the package");
    let mut bundled: Vec<&str> = found["bundled"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(Value::as_str)
        .collect();
    bundled.sort_unstable();
    assert_eq!(bundled, ["b", "c", "f", "h"], "{packed:#}");
}

#[test]
fn what_is_bundled_and_has_no_version_counts_as_the_packages_own() {
    let without_version = |manifest: &mut Value| {
        let manifest = manifest.as_object_mut().expect("an object");
        manifest.remove("version");
        manifest.insert("private".to_owned(), json!(true));
    };
    let monorepo = Monorepo::new()
        .package("a", "1.0.0")
        .package("b", "1.0.0")
        .package("inner", "1.0.0")
        .package("tool", "1.0.0")
        .depends("a", "b", "^1.0.0")
        .depends("b", "inner", "*")
        .depends_in("devDependencies", "inner", "tool", "*")
        .edit("packages/inner/package.json", without_version)
        .edit("packages/tool/package.json", without_version)
        .edit("packages/a/package.json", |manifest| {
            manifest["bundledDependencies"] = json!(true);
        })
        .released()
        .commit("fix: a tool", &[("packages/tool/src/index.js", "1\n")]);
    check("a tool", &monorepo, &[], &[]);
    let monorepo = monorepo.commit("fix: inside", &[("packages/inner/src/index.js", "1\n")]);
    check("inside", &monorepo, &[], &["a 1.0.0 -> 1.0.1: fix: inside"]);
}

#[test]
fn sync_gives_all_packages_one_version() {
    let monorepo = Monorepo::new()
        .config(&json!({}))
        .package("a", "1.0.0")
        .package("b", "1.0.0")
        .service("web", "1.0.0")
        .depends("b", "a", "^1.0.0")
        .commit("feat: begin", &[])
        .tag("v1.0.0")
        .commit("feat(a): more", A);
    let grown = check(
        "a feature",
        &monorepo,
        &[],
        &[
            "a 1.0.0 -> 1.1.0: feat(a): more",
            "b 1.0.0 -> 1.1.0: group",
            "web 1.0.0 -> 1.1.0: group",
        ],
    );
    assert_eq!(
        (&grown["mode"], &grown["modeReason"]),
        (&json!("sync"), &json!("all packages hold one version"))
    );
    assert_eq!(grown["packages"][0]["tag"], "v1.1.0");
    assert_eq!(
        grown["apps"],
        json!([]),
        "an app that did not change gets no build"
    );
    let monorepo = monorepo.package("c", "0.1.0");
    let monorepo = monorepo.commit("feat: c joins", &[]);
    let joined = plan_of_sync(&monorepo);
    assert!(
        joined.iter().all(|line| line.contains("-> 1.1.0: ")),
        "{joined:?}"
    );
    assert!(
        joined.contains(&"c 0.1.0 -> 1.1.0: feat: c joins".to_owned()),
        "{joined:?}"
    );

    let first = Monorepo::new()
        .config(&json!({}))
        .package("a", "0.3.0")
        .package("b", "1.2.0")
        .commit("feat: begin", &[]);
    assert_eq!(
        lines(&plan(&first, &["--mode=sync"])),
        ["a 0.3.0 -> 1.2.0: first", "b 1.2.0 -> 1.2.0: first"]
    );
    let released = first.tag("v1.2.0");
    check("nothing changed", &released, &["--mode=sync"], &[]);
}

fn plan_of_sync(monorepo: &Monorepo) -> Vec<String> {
    lines(&plan(monorepo, &["--mode=sync"]))
}

#[test]
fn commits_decide_how_far_a_package_grows() {
    for (from, subject, body, to) in [
        ("1.0.0", "fix(a): x", "", Some("1.0.1")),
        ("1.0.0", "feat(a): x", "", Some("1.1.0")),
        ("1.0.0", "feat(a)!: x", "", Some("2.0.0")),
        ("1.0.0", "fix: x", "BREAKING CHANGE: y", Some("2.0.0")),
        ("0.2.0", "feat!: x", "", Some("0.3.0")),
        ("0.2.0", "feat: x", "", Some("0.2.1")),
        ("1.0.0", "docs: x", "", None),
        ("1.0.0", "test: x", "", None),
        ("1.0.0", "ci: x", "", None),
        ("1.0.0", "style: x", "", None),
        ("1.0.0", "chore: x", "", Some("1.0.1")),
        ("1.0.0", "Tidy up", "", Some("1.0.1")),
        ("1.0.0", "fix: x", "Release-As: 1.7.0", Some("1.7.0")),
        ("1.0.0", "docs: x", "Release-As: 1.7.0", Some("1.7.0")),
        ("1.0.0", "docs: x", "Release-As: 1.7", None),
    ] {
        let monorepo = Monorepo::new()
            .package("a", from)
            .released()
            .commit(&format!("{subject}\n\n{body}"), A);
        let expected: Vec<String> = to
            .map(|to| {
                let asks = body.starts_with("Release-As");
                let asked = if asks { "release-as; " } else { "" };
                format!("a {from} -> {to}: {asked}{subject}")
            })
            .into_iter()
            .collect();
        assert_eq!(lines(&plan(&monorepo, &[])), expected, "{subject} {body}");
    }
    let monorepo = Monorepo::new()
        .package("a", "0.2.0")
        .released()
        .commit("feat(a)!: x", A);
    check(
        "strict below 1.0.0",
        &monorepo,
        &["--zero-major=strict"],
        &["a 0.2.0 -> 1.0.0: feat(a)!: x"],
    );
    check(
        "asked for",
        &monorepo,
        &["--bump=patch"],
        &["a 0.2.0 -> 0.2.1: asked; feat(a)!: x"],
    );
    for (bump, to) in [("minor", "0.3.0"), ("major", "1.0.0")] {
        check(
            "meant as it is said",
            &monorepo,
            &[&format!("--bump={bump}")],
            &[&format!("a 0.2.0 -> {to}: asked; feat(a)!: x")],
        );
    }
    check(
        "a version",
        &monorepo,
        &["--bump=3.0.0"],
        &["a 0.2.0 -> 3.0.0: asked; feat(a)!: x"],
    );
    let raised = monorepo
        .file(
            "packages/a/package.json",
            "{\"name\":\"a\",\"version\":\"0.5.0\"}\n",
        )
        .commit("fix: raise", &[]);
    check(
        "written by hand",
        &raised,
        &[],
        &["a 0.2.0 -> 0.5.0: written; fix: raise; feat(a)!: x"],
    );
    check(
        "a higher version than that by hand",
        &raised,
        &["--bump=0.6.0"],
        &["a 0.2.0 -> 0.6.0: written; fix: raise; feat(a)!: x"],
    );
    for mode in ["--mode=sync", "--mode=diff"] {
        let below = run(&raised, &["plan", mode, "--bump=0.4.0"]).expect(3);
        assert!(
            below.stderr.contains("error[plan::bump]"),
            "{}",
            below.stderr
        );
        let overruled = plan(&raised, &[mode, "--bump=major"]);
        assert_eq!(overruled["packages"][0]["to"], "0.5.0");
        assert_eq!(overruled["warnings"][0]["code"], "plan::bump_unused");
    }
}

#[test]
fn a_first_release_takes_a_version_that_is_asked_for() {
    let monorepo = Monorepo::new()
        .package("a", "0.0.0")
        .commit("feat(a): x", A);
    for mode in ["--mode=sync", "--mode=diff"] {
        check(
            "by the manifest",
            &monorepo,
            &[mode],
            &["a 0.0.0 -> 0.0.0: first"],
        );
        check(
            "a version",
            &monorepo,
            &[mode, "--bump=1.0.0"],
            &["a 0.0.0 -> 1.0.0: first"],
        );
        let overruled = check(
            "a bump",
            &monorepo,
            &[mode, "--bump=minor"],
            &["a 0.0.0 -> 0.0.0: first"],
        );
        assert_eq!(overruled["warnings"][0]["code"], "plan::bump_unused");
    }
}

#[test]
fn a_new_package_may_join_further_than_max_bump() {
    let monorepo = Monorepo::new()
        .package("a", "5.2.0")
        .released()
        .package("b", "0.1.0")
        .commit("fix: b", &[("packages/a/a.js", "1\n")]);
    check(
        "one version for all",
        &monorepo,
        &["--mode=sync", "--max-bump=patch"],
        &["a 5.2.0 -> 5.2.1: fix: b", "b 0.1.0 -> 5.2.1: first"],
    );
}

#[test]
fn a_package_of_another_registry_is_not_published_here() {
    let declared = |registry: &str| {
        let manifest = format!(
            r#"{{"name": "@acme/a", "version": "1.0.0", "publishConfig": {{"registry": "{registry}"}}}}"#
        );
        Monorepo::new()
            .file("packages/a/package.json", &manifest)
            .commit("feat: a", &[])
    };
    let against = |monorepo: &Monorepo, registry: &str| {
        let plan = monorepo.binary(&["plan", "--mode=diff"]);
        plan.env("PKGS_REGISTRY", registry)
            .env("PKGS_INSTALL", "none")
            .run()
    };
    let other = declared("https://npm.acme.example/");
    let refused = against(&other, "https://127.0.0.1:9/").expect(3);
    for part in [
        "error[plan::registry]",
        "@acme/a belongs to the registry \"https://npm.acme.example/\"",
    ] {
        assert!(refused.stderr.contains(part), "{}", refused.stderr);
    }
    let _ = against(&declared("https://127.0.0.1:9"), "https://127.0.0.1:9/").expect(0);
    check(
        "a directory takes all",
        &other,
        &[],
        &["@acme/a 1.0.0 -> 1.0.0: first"],
    );
}

#[test]
fn each_package_is_measured_from_its_own_last_reachable_tag() {
    let monorepo = Monorepo::new()
        .package("a", "1.0.0")
        .package("b", "1.0.0")
        .released()
        .commit("fix(a): one", A)
        .commit("fix(b): two", &[("packages/b/b.js", "")]);
    let monorepo = monorepo
        .tag("b@1.0.1")
        .commit("fix(b): three", &[("packages/b/b.js", "3\n")]);
    check(
        "own tags",
        &monorepo,
        &[],
        &[
            "a 1.0.0 -> 1.0.1: fix(a): one",
            "b 1.0.1 -> 1.0.2: fix(b): three",
        ],
    );

    monorepo.git(&["switch", "--quiet", "--create", "abandoned", "HEAD~1"]);
    let monorepo = monorepo
        .commit("feat(a): elsewhere", &[("packages/a/other.js", "")])
        .tag("a@1.5.0");
    monorepo.git(&["switch", "--quiet", "main"]);
    check(
        "a tag on an abandoned branch is no base",
        &monorepo,
        &[],
        &[
            "a 1.0.0 -> 1.0.1: fix(a): one",
            "b 1.0.1 -> 1.0.2: fix(b): three",
        ],
    );

    for tag in ["a@v1.0.9", "v1.0.9", "1.0.9", "v1.0.9-version-pkg"] {
        let monorepo = Monorepo::new()
            .package("a", "1.0.9")
            .package("b", "2.0.0")
            .commit("feat: begin", &[])
            .tag("b@2.0.0")
            .tag(tag)
            .commit("fix(a): more", A);
        check(tag, &monorepo, &[], &["a 1.0.9 -> 1.0.10: fix(a): more"]);
    }
    for tag in ["v1.5.0", "v1.0.9", "v0.1.0", "3.0.0"] {
        let monorepo = Monorepo::new()
            .package("a", "1.0.9")
            .package("b", "2.0.0")
            .commit("feat: begin", &[])
            .tag("a@1.0.9")
            .tag("b@2.0.0")
            .commit("fix(a): more", A)
            .tag(tag);
        let expected = &["a 1.0.9 -> 1.0.10: fix(a): more"];
        check(&format!("{tag} marks no release"), &monorepo, &[], expected);
    }
    let asked = Monorepo::new()
        .package("a", "1.0.0")
        .package("b", "1.0.0")
        .released()
        .commit("fix(a): one", A)
        .commit("fix(b): three", &[("packages/b/b.js", "3\n")]);
    asked.git(&["branch", "abandoned"]);
    asked.git(&["reset", "--quiet", "--hard", "HEAD~1"]);
    let asked = asked.commit("fix(b): three", &[("packages/b/b.js", "33\n")]);
    let from = plan(&asked, &["--base=HEAD~1"]);
    assert_eq!(lines(&from), ["b 1.0.0 -> 1.0.1: fix(b): three"]);
    let outside = run(&asked, &["plan", "--base=abandoned"]).expect(2);
    assert!(
        outside.stderr.contains("error[git::base]") && outside.stderr.contains("hint: "),
        "{}",
        outside.stderr
    );
}

#[test]
fn whoever_stands_in_a_package_means_its_workspace() {
    let monorepo = Monorepo::new()
        .package("a", "1.0.0")
        .package("b", "1.0.0")
        .released()
        .commit("fix(a): one", A);
    let whole = plan(&monorepo, &[]);
    for directory in ["packages", "packages/a", "packages/b"] {
        let directory = monorepo.path().join(directory);
        let inside = monorepo
            .sandbox()
            .binary(&directory, &["plan", "--format=json"])
            .env("PKGS_REGISTRY", place(&monorepo, "npm"))
            .env("PKGS_STORE", place(&monorepo, "store"))
            .env("PKGS_INSTALL", "none")
            .run();
        assert_eq!(inside.expect(0).json(), whole, "{}", directory.display());
    }
    let named = run(&monorepo, &["plan", "--working-directory=packages/a"]).expect(2);
    assert!(
        named.stderr.contains("error[workspace::member]")
            && named.stderr.contains("--filter packages/a"),
        "{}",
        named.stderr
    );
}

#[test]
fn what_is_left_by_a_range_follows_as_far_as_it_goes() {
    let chain = |range: &str| {
        Monorepo::new()
            .package("a", "1.0.0")
            .package("b", "1.0.0")
            .package("c", "1.0.0")
            .package("d", "1.0.0")
            .depends("b", "a", range)
            .depends("c", "b", range)
            .depends_in("devDependencies", "d", "c", range)
            .released()
    };
    let fixed = chain("1.0.0").commit("fix(a): x", A);
    let plan = check(
        "exact ranges",
        &fixed,
        &[],
        &[
            "a 1.0.0 -> 1.0.1: fix(a): x",
            "b 1.0.0 -> 1.0.1: a 1.0.0",
            "c 1.0.0 -> 1.0.1: b 1.0.0",
        ],
    );
    assert_eq!(plan["waves"], json!([["a"], ["b"], ["c"]]));
    let edits: Vec<&str> = plan["edits"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|edit| edit["path"].as_str())
        .collect();
    assert_eq!(
        edits,
        [
            "package-lock.json",
            "packages/a/CHANGELOG.md",
            "packages/a/package.json",
            "packages/b/CHANGELOG.md",
            "packages/b/package.json",
            "packages/c/CHANGELOG.md",
            "packages/c/package.json",
            "packages/d/package.json"
        ],
        "d's devDependency is rewritten, d is not released"
    );
    assert_eq!(plan["unchanged"], json!(["d"]));
    check(
        "ranges that hold",
        &chain("^1.0.0").commit("feat(a): x", A),
        &[],
        &["a 1.0.0 -> 1.1.0: feat(a): x"],
    );
    check(
        "a breaking change",
        &chain("^1.0.0").commit("feat(a)!: x", A),
        &[],
        &[
            "a 1.0.0 -> 2.0.0: feat(a)!: x",
            "b 1.0.0 -> 1.0.1: a ^1.0.0",
        ],
    );
    check(
        "workspace:*",
        &chain("workspace:*").commit("fix(a): x", A),
        &[],
        &[
            "a 1.0.0 -> 1.0.1: fix(a): x",
            "b 1.0.0 -> 1.0.1: a 1.0.0",
            "c 1.0.0 -> 1.0.1: b 1.0.0",
        ],
    );

    let peers = || {
        Monorepo::new()
            .package("a", "1.0.0")
            .package("b", "1.0.0")
            .package("c", "1.0.0")
            .depends_in("peerDependencies", "b", "a", "^1.0.0")
            .depends("c", "b", "^1.0.0")
            .released()
    };
    let broken = peers().commit("feat(a)!: x", A);
    let a = "a 1.0.0 -> 2.0.0: feat(a)!: x";
    check(
        "peers by default",
        &broken,
        &[],
        &[a, "b 1.0.0 -> 1.0.1: a ^1.0.0"],
    );
    check(
        "peer major",
        &broken,
        &["--peer=major"],
        &[
            a,
            "b 1.0.0 -> 2.0.0: a ^1.0.0",
            "c 1.0.0 -> 1.0.1: b ^1.0.0",
        ],
    );
    check("peer never", &broken, &["--peer=never"], &[a]);
    check(
        "a peer range that holds",
        &peers().commit("feat(a): x", A),
        &["--peer=major"],
        &["a 1.0.0 -> 1.1.0: feat(a): x"],
    );

    let kept = chain("1.0.0").commit("fix(a): x", A);
    let filtered = check(
        "kept out by a filter",
        &kept,
        &["--filter=a"],
        &["a 1.0.0 -> 1.0.1: fix(a): x"],
    );
    assert_eq!(filtered["warnings"][0]["code"], "plan::filtered");
    let circle = Monorepo::new()
        .package("a", "1.0.0")
        .package("b", "1.0.0")
        .depends("a", "b", "1.0.0")
        .depends("b", "a", "1.0.0")
        .released()
        .commit("fix(a): x", A);
    let plan = check(
        "a circle",
        &circle,
        &[],
        &[
            "a 1.0.0 -> 1.0.1: fix(a): x; b 1.0.0",
            "b 1.0.0 -> 1.0.1: a 1.0.0",
        ],
    );
    assert_eq!(plan["waves"], json!([["a", "b"]]));
}

#[test]
fn a_package_whose_own_tests_ask_for_it_by_name_is_released_for_itself_alone() {
    let monorepo = |field: &str| {
        let manifest = json!({"name": "a", "version": "1.0.0", field: {"a": "workspace:^1.0.0"}});
        Monorepo::empty()
            .file("package.json", "{\"private\": true}\n")
            .file("pnpm-workspace.yaml", "packages: [packages/*]\n")
            .config(&json!({"mode": "diff"}))
            .file("packages/a/package.json", &manifest.to_string())
            .released()
            .commit("feat!: x", A)
    };
    let plan = plan(&monorepo("devDependencies"), &[]);
    assert_eq!(lines(&plan), ["a 1.0.0 -> 2.0.0: feat!: x"]);
    let refused = monorepo("dependencies").run(&["plan"]).expect(3).stderr;
    assert!(refused.contains("error[workspace::not_here]"), "{refused}");
}

#[test]
fn first_releases_renames_and_nested_packages() {
    let monorepo = Monorepo::new()
        .package("a", "1.0.0")
        .package("b", "0.4.0")
        .commit("feat: begin", &[])
        .tag("a@1.0.0");
    check(
        "a package without a tag",
        &monorepo,
        &[],
        &["b 0.4.0 -> 0.4.0: first"],
    );

    let monorepo = Monorepo::new()
        .package("a", "1.0.0")
        .package("b", "1.0.0")
        .file("packages/a/moved.js", "a file that moves\n")
        .released();
    monorepo.git(&["mv", "packages/a/moved.js", "packages/b/moved.js"]);
    let monorepo = monorepo.commit("refactor: move", &[]);
    check(
        "both sides of a rename",
        &monorepo,
        &[],
        &[
            "a 1.0.0 -> 1.0.1: refactor: move",
            "b 1.0.0 -> 1.0.1: refactor: move",
        ],
    );
    let manifest = monorepo
        .read("packages/b/package.json")
        .replace("\"b\"", "\"renamed\"");
    let renamed = monorepo
        .tag("a@1.0.1")
        .tag("b@1.0.1")
        .commit("fix: rename", &[("packages/b/package.json", &manifest)]);
    check(
        "another name is another package",
        &renamed,
        &[],
        &["renamed 1.0.0 -> 1.0.0: first"],
    );

    let nested = Monorepo::empty()
        .file("pkgs.json", "{\"mode\":\"diff\"}")
        .package("a", "1.0.0")
        .file(
            "packages/a/inner/package.json",
            "{\"name\":\"inner\",\"version\":\"1.0.0\"}",
        )
        .file(
            "package.json",
            r#"{"private":true,"workspaces":["packages/*","packages/a/inner"]}"#,
        );
    let nested = committed(nested, "feat: begin")
        .tag("a@1.0.0")
        .tag("inner@1.0.0")
        .file("packages/a/inner/x.js", "");
    let nested = committed(nested, "fix: inside");
    check(
        "a file belongs to the innermost package",
        &nested,
        &[],
        &["inner 1.0.0 -> 1.0.1: fix: inside"],
    );
}

#[test]
fn what_counts_for_nothing() {
    let monorepo = || {
        Monorepo::new()
            .package("a", "1.0.0")
            .package("b", "1.0.0")
            .released()
    };
    check(
        "files outside",
        &monorepo().commit("fix: root", &[("README.md", "x\n")]),
        &[],
        &[],
    );
    check(
        "ignored files",
        &monorepo().commit("fix(a): docs", &[("packages/a/README.md", "x\n")]),
        &["--ignore=**/*.md"],
        &[],
    );
    let mixed = monorepo().commit(
        "fix(a): both",
        &[("packages/a/README.md", "x\n"), ("packages/a/a.js", "")],
    );
    check(
        "not only ignored files",
        &mixed,
        &["--ignore=**/*.md"],
        &["a 1.0.0 -> 1.0.1: fix(a): both"],
    );

    let undone = monorepo()
        .commit("feat(a): x", A)
        .commit("fix(b): y", &[("packages/b/b.js", "")]);
    undone.git(&["revert", "--no-edit", "HEAD~1"]);
    check(
        "a revert and what it reverts",
        &undone,
        &[],
        &["b 1.0.0 -> 1.0.1: fix(b): y"],
    );

    let merged = monorepo();
    merged.git(&["switch", "--quiet", "--create", "topic"]);
    let merged = merged.commit("feat(a): x", A);
    merged.git(&["switch", "--quiet", "main"]);
    let merged = merged.commit("docs(b): y", &[("packages/b/b.md", "")]);
    merged.git(&["merge", "--quiet", "--no-ff", "--no-edit", "topic"]);
    check(
        "a merge commit",
        &merged,
        &[],
        &["a 1.0.0 -> 1.1.0: feat(a): x"],
    );
}

#[test]
fn what_a_merge_changes_itself_counts_for_what_it_touches() {
    let merging = || {
        let merging = Monorepo::new()
            .package("a", "1.0.0")
            .package("b", "1.0.0")
            .released();
        merging.git(&["switch", "--quiet", "--create", "topic"]);
        let merging = merging.commit("docs(a): x", &[("packages/a/a.md", "")]);
        merging.git(&["switch", "--quiet", "main"]);
        let merging = merging.commit("docs(b): y", &[("packages/b/b.md", "")]);
        merging.git(&["merge", "--quiet", "--no-ff", "--no-commit", "topic"]);
        merging
    };
    let with = |message: &str| merging().commit(message, &[("packages/b/index.js", "// 2\n")]);
    check(
        "a plain subject asks for a patch",
        &with("Merge branch 'topic'"),
        &[],
        &["b 1.0.0 -> 1.0.1: Merge branch 'topic'"],
    );
    check(
        "a subject that asks for more",
        &with("feat(b): take topic in"),
        &[],
        &["b 1.0.0 -> 1.1.0: feat(b): take topic in"],
    );
    check("one that asks for nothing", &with("docs: join"), &[], &[]);
    let undone = with("Merge branch 'topic'");
    undone.git(&["revert", "--no-edit", "--mainline=1", "HEAD"]);
    check(
        "a revert of a merge leaves a trace",
        &undone,
        &[],
        &["b 1.0.0 -> 1.0.1: Revert \"Merge branch 'topic'\""],
    );
}

#[test]
fn what_a_merge_takes_back_counts_where_nothing_else_does() {
    let merging = |message: &str, file: &str| {
        let merging = Monorepo::new()
            .package("a", "1.0.0")
            .package("b", "1.0.0")
            .commit("feat: before", &[("packages/a/index.js", "// 1\n")]);
        merging.git(&["branch", "topic"]);
        let merging = merging.commit("feat(a): x", &[(file, "// 2\n")]).released();
        merging.git(&["switch", "--quiet", "topic"]);
        let merging = merging.commit("feat(b): y", &[("packages/b/index.js", "// y\n")]);
        merging.git(&["switch", "--quiet", "main"]);
        let ours = [
            "merge",
            "--quiet",
            "--no-ff",
            "--strategy-option=theirs",
            "--message",
            message,
            "topic",
        ];
        merging.git(&ours);
        merging.git(&["rm", "--quiet", "--ignore-unmatch", file]);
        merging.git(&["checkout", "topic", "--", "packages/a"]);
        merging.git(&["commit", "--quiet", "--amend", "--no-edit"]);
        merging
    };
    check(
        "the other side's content",
        &merging("Merge branch 'topic'", "packages/a/index.js"),
        &[],
        &[
            "a 1.0.0 -> 1.0.1: Merge branch 'topic'",
            "b 1.0.0 -> 1.1.0: feat(b): y",
        ],
    );
    check(
        "a file that the other side never had",
        &merging("feat!: without x", "packages/a/x.js"),
        &[],
        &[
            "a 1.0.0 -> 2.0.0: feat!: without x",
            "b 1.0.0 -> 1.1.0: feat(b): y",
        ],
    );
    check(
        "a file that is ignored",
        &merging("Merge branch 'topic'", "packages/a/x.test.js"),
        &["--ignore", "**/*.test.js"],
        &["b 1.0.0 -> 1.1.0: feat(b): y"],
    );
}

#[test]
fn our_own_release_commits_count_for_nothing() {
    let monorepo = Monorepo::new()
        .package("a", "1.0.0")
        .package("b", "1.0.0")
        .depends_in("devDependencies", "b", "a", "1.0.0")
        .released()
        .commit("fix(a): x", A)
        .origin();
    let _ = run(&monorepo, &["release"]).expect(0);
    assert_eq!(monorepo.tags(), ["a@1.0.0", "a@1.0.1", "b@1.0.0"]);
    monorepo.git(&["pull", "--quiet", "--ff-only", "origin", "main"]);
    assert_eq!(
        monorepo.json("packages/b/package.json")["devDependencies"]["a"],
        "1.0.1"
    );
    check("b's devDependency was only rewritten", &monorepo, &[], &[]);
    let monorepo = monorepo.commit("fix(b): y", &[("packages/b/b.js", "")]);
    check(
        "and only the new commit is a reason",
        &monorepo,
        &[],
        &["b 1.0.0 -> 1.0.1: fix(b): y"],
    );
    let forged = monorepo.commit(
        "chore: version\n\nb 1.0.0 -> 1.0.1\n",
        &[("packages/b/c.js", "")],
    );
    check(
        "a message alone proves nothing",
        &forged,
        &[],
        &["b 1.0.0 -> 1.0.1: chore: version; fix(b): y"],
    );
}

#[test]
fn an_app_follows_what_it_is_made_of() {
    let base = || {
        Monorepo::new()
            .package("a", "1.0.0")
            .package("b", "1.0.0")
            .package("tool", "1.0.0")
            .service("web", "2.0.0")
            .depends("b", "a", "^1.0.0")
            .depends("web", "b", "^1.0.0")
            .depends_in("devDependencies", "web", "tool", "^1.0.0")
            .released()
    };
    let near = base().commit("feat(b): x", &[("packages/b/b.js", "")]);
    let plan = check(
        "a package it uses",
        &near,
        &[],
        &[
            "b 1.0.0 -> 1.1.0: feat(b): x",
            "web 2.0.0 -> 2.0.1: b 1.1.0",
        ],
    );
    assert_eq!(
        plan["apps"],
        json!([{"name": "web", "from": "2.0.0", "to": "2.0.1", "variants": ["any"]}])
    );
    check(
        "one further away",
        &base().commit("fix(a): x", A),
        &[],
        &["a 1.0.0 -> 1.0.1: fix(a): x", "web 2.0.0 -> 2.0.1: a 1.0.1"],
    );
    let tool = base().commit("fix(tool): x", &[("packages/tool/t.js", "")]);
    check(
        "a devDependency of an app that is not built",
        &tool,
        &[],
        &["tool 1.0.0 -> 1.0.1: fix(tool): x"],
    );
    let built = tool.config(&json!({"mode": "diff", "apps": {"web": {"build": "npm run build -- {environment}", "environments": ["sit", "prod"]}}}));
    let plan = check(
        "of one that is",
        &built,
        &[],
        &[
            "tool 1.0.0 -> 1.0.1: fix(tool): x",
            "web 2.0.0 -> 2.0.1: tool 1.0.1",
        ],
    );
    assert_eq!(plan["apps"][0]["variants"], json!(["sit", "prod"]));

    let unversioned = base()
        .file(
            "packages/part/package.json",
            "{\"name\":\"part\",\"private\":true}\n",
        )
        .file(
            "packages/deep/package.json",
            "{\"name\":\"deep\",\"private\":true}\n",
        )
        .depends("web", "part", "*")
        .depends("part", "deep", "*")
        .commit("chore: parts", &[])
        .tag("web@2.0.1");
    let part = unversioned.commit("fix: part", &[("packages/part/p.js", "")]);
    check(
        "a private package without a version",
        &part,
        &[],
        &["web 2.0.1 -> 2.0.2: fix: part"],
    );
    let deep = part
        .tag("web@2.0.2")
        .commit("fix: deep", &[("packages/deep/d.js", "")]);
    check(
        "one behind it",
        &deep,
        &[],
        &["web 2.0.2 -> 2.0.3: fix: deep"],
    );
}

#[test]
fn an_app_follows_its_production_closure_in_the_lockfile() {
    let lock = |koa: &str, jest: &str| {
        json!({"name": "monorepo", "lockfileVersion": 3, "requires": true, "packages": {
            "": {"name": "monorepo", "workspaces": ["packages/*"]},
            "node_modules/web": {"resolved": "packages/web", "link": true},
            "packages/web": {"version": "1.0.0", "dependencies": {"koa": "^2.0.0"}, "devDependencies": {"jest": "^29.0.0"}},
            "node_modules/koa": {"version": koa, "resolved": "https://registry.example/koa.tgz", "integrity": format!("sha512-{koa}"), "dependencies": {"ms": "^2.0.0"}},
            "node_modules/ms": {"version": "2.0.0", "resolved": "https://registry.example/ms.tgz", "integrity": "sha512-ms"},
            "node_modules/jest": {"version": jest, "resolved": "https://registry.example/jest.tgz", "integrity": format!("sha512-{jest}"), "dev": true},
        }})
        .to_string()
    };
    let monorepo = Monorepo::new()
        .service("web", "1.0.0")
        .depends("web", "koa", "^2.0.0")
        .depends_in("devDependencies", "web", "jest", "^29.0.0")
        .file("package-lock.json", &lock("2.0.0", "29.0.0"))
        .released();
    let jest = monorepo.commit(
        "chore: jest",
        &[("package-lock.json", &lock("2.0.0", "29.1.0"))],
    );
    check("a tool of the build", &jest, &[], &[]);
    let koa = jest.commit(
        "chore: koa",
        &[("package-lock.json", &lock("2.1.0", "29.1.0"))],
    );
    let plan = check("koa", &koa, &[], &["web 1.0.0 -> 1.0.1: lockfile koa"]);
    assert_eq!(plan["packages"][0]["bump"], "patch");
}

#[test]
fn the_document_is_what_was_promised_and_always_the_same() {
    let monorepo = Monorepo::new()
        .package("@x/b", "1.0.0")
        .package("@x/c", "1.0.0")
        .service("web", "1.4.1")
        .depends("web", "@x/b", "^1.0.0")
        .released()
        .commit("feat(b): more", &[("packages/b/b.js", "")])
        .origin();
    let plan = plan(&monorepo, &[]);
    let head = monorepo.head();
    let base = monorepo.git(&["rev-parse", "HEAD~1"]);
    let digest = plan["digest"].as_str().expect("a digest").to_owned();
    assert!(
        digest.starts_with("sha256:") && digest.len() == 71,
        "{digest}"
    );
    let expected = json!({
        "schema": "pkgs.plan/1", "digest": digest, "mode": "diff", "modeReason": "as it is set", "base": base, "head": head,
        "packages": [
            {"name": "@x/b", "dir": "packages/b", "kind": "library", "private": false, "from": "1.0.0", "to": "1.1.0", "bump": "minor", "tag": "@x/b@1.1.0", "distTag": "latest", "access": "public",
             "reasons": [{"kind": "commit", "commit": head, "subject": "feat(b): more", "bump": "minor"}],
             "notes": {"changes": [{"group": "features", "commit": head, "scope": "b", "text": "more"}], "dependencies": []}},
            {"name": "web", "dir": "packages/web", "kind": "service", "private": true, "from": "1.4.1", "to": "1.4.2", "bump": "patch", "tag": "web@1.4.2",
             "reasons": [{"kind": "dependency", "on": "@x/b", "from": "1.0.0", "to": "1.1.0"}],
             "notes": {"changes": [], "dependencies": [{"name": "@x/b", "version": "1.1.0"}]}},
        ],
        "unchanged": ["@x/c"], "waves": [["@x/b"]],
        "edits": [{"path": "package-lock.json"}, {"path": "packages/b/CHANGELOG.md"}, {"path": "packages/b/package.json"}, {"path": "packages/web/CHANGELOG.md"}, {"path": "packages/web/package.json"}],
        "apps": [{"name": "web", "from": "1.4.1", "to": "1.4.2", "variants": ["any"]}], "warnings": [], "missing": [],
    });
    assert_eq!(plan, expected, "{plan:#}");
    let text = run(&monorepo, &["plan", "--format=json"]).expect(0).stdout;
    for clone in [monorepo.clone_fresh(None), monorepo.clone_fresh(Some(1))] {
        let run = clone
            .binary(&["plan", "--format=json"])
            .env("PKGS_REGISTRY", place(&monorepo, "npm"))
            .env("PKGS_STORE", place(&monorepo, "store"))
            .env("PKGS_INSTALL", "none")
            .run()
            .expect(0);
        assert_eq!(run.stdout, text);
    }
    assert_eq!(
        run(&monorepo, &["plan", "--format=json"]).expect(0).stdout,
        text
    );
    let tagless = monorepo.clone_fresh(None);
    for tag in tagless.tags() {
        tagless.git(&["tag", "--delete", &tag]);
    }
    tagless.git(&["config", "remote.origin.tagOpt", "--no-tags"]);
    let missing = self::plan(&tagless, &["--store=none"])["missing"].clone();
    assert_eq!(missing[0]["what"], "tags", "{missing:#}");
    let spoken = run(&monorepo, &["plan"]).expect(0).stdout;
    for said in [
        "mode diff (as it is set)",
        "1.0.0 → 1.1.0  [npm, latest]",
        "feat(b): more (minor)",
        "uses @x/b 1.0.0 → 1.1.0",
        "tags: @x/b@1.1.0, web@1.4.2",
        "not released: @x/c",
    ] {
        assert!(spoken.contains(said), "{said}:\n{spoken}");
    }
    let nothing = monorepo
        .binary(&["plan", "--format=json"])
        .env("PKGS_REGISTRY", "https://127.0.0.1:9/")
        .run()
        .expect(0)
        .json();
    let what: Vec<&str> = nothing["missing"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|missing| missing["what"].as_str())
        .collect();
    assert_eq!(what, ["npm-token", "store"]);
}

#[test]
fn what_a_commit_asks_for_in_sync_mode_is_told_of_the_version_that_all_grow_from() {
    let monorepo = Monorepo::new()
        .package("a", "1.0.0")
        .package("b", "0.5.0")
        .config(&json!({"mode": "sync"}))
        .commit("chore: begin", &[]);
    let monorepo = monorepo
        .tag("v1.0.0")
        .commit("feat(b): x", &[("packages/b/b.js", "1\n")]);
    let told = run(&monorepo, &["plan"]).expect(0).stdout;
    assert!(
        told.contains("feat(b): x (minor)\n") && told.contains("v1.1.0"),
        "{told}"
    );
}

#[test]
fn scripts_that_would_follow_a_publish_are_told_and_not_run() {
    let monorepo = Monorepo::new()
        .package("core", "1.0.0")
        .edit("packages/core/package.json", |manifest| {
            manifest["scripts"] = json!({"postpublish": "exit 1", "prepack": "true"});
        })
        .commit("feat: core", &[]);
    let told = |arguments: &[&str]| {
        let plan = monorepo.run(arguments).expect(0).json();
        let warnings = plan["warnings"].as_array().expect("a list").clone();
        warnings
            .iter()
            .any(|warning| warning["code"] == "plan::scripts_not_run")
    };
    assert!(told(&["plan", "--format=json"]));
    assert!(!told(&["plan", "--format=json", "--scripts=skip"]));
}

#[test]
fn a_version_that_a_commit_without_files_asks_for_is_told_to_count_for_nothing() {
    let monorepo = Monorepo::new().package("core", "1.0.0").released();
    monorepo.git(&[
        "commit",
        "--quiet",
        "--allow-empty",
        "-m",
        "chore: release 3.0.0",
        "-m",
        "Release-As: 3.0.0",
    ]);
    let plan = monorepo.run(&["plan", "--format=json"]).expect(0).json();
    let warnings = plan["warnings"].as_array().expect("a list");
    let told = warnings
        .iter()
        .find(|warning| warning["code"] == "plan::release_as");
    let message = told.expect("a warning")["message"].as_str().expect("text");
    assert!(message.contains("changes no file"), "{message}");
}
