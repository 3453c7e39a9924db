//! Repositories of the shapes that people have, as other tools left them: the first plan after they moved here.

use serde_json::{Value, json};

use crate::support::monorepo::Monorepo;
use crate::support::static_server::StaticServer;

/// Adds a manifest in a directory, and a file beside it.
fn package(monorepo: Monorepo, directory: &str, manifest: &Value) -> Monorepo {
    monorepo
        .file(
            &format!("{directory}/package.json"),
            &format!("{manifest:#}\n"),
        )
        .file(&format!("{directory}/index.js"), "")
}

fn with_root(manifest: &Value) -> Monorepo {
    Monorepo::empty()
        .file(".gitignore", "node_modules/\n")
        .file("package.json", &format!("{manifest:#}\n"))
}

/// What people commit to move: the file that opts in.
fn moved(monorepo: Monorepo, config: &Value) -> Monorepo {
    let config = config.to_string();
    monorepo.commit(
        "chore: release with another tool",
        &[("pkgs.json", &config)],
    )
}

fn changed(monorepo: Monorepo, message: &str, directories: &[&str]) -> Monorepo {
    let files: Vec<String> = directories
        .iter()
        .map(|directory| format!("{directory}/index.js"))
        .collect();
    let files: Vec<(&str, &str)> = files.iter().map(|file| (file.as_str(), "1\n")).collect();
    monorepo.commit(message, &files)
}

/// Asserts the plan: of each package its versions, and the kinds of reasons.
fn check(title: &str, monorepo: &Monorepo, registry: &str, expected: &[&str]) {
    let plan = monorepo
        .binary(&["plan", "--format=json"])
        .env("PKGS_REGISTRY", registry)
        .run()
        .expect(0)
        .json();
    let list = plan["packages"].as_array().expect("a list");
    let found: Vec<String> = list
        .iter()
        .map(|package| {
            let [name, from, to] =
                ["name", "from", "to"].map(|field| package[field].as_str().expect("text"));
            let reasons = package["reasons"].as_array().expect("a list").iter();
            let kinds: Vec<&str> = reasons
                .map(|reason| reason["kind"].as_str().expect("a kind"))
                .collect();
            format!("{name} {from} -> {to}: {}", kinds.join(", "))
        })
        .collect();
    assert_eq!(found, expected, "{title}: {plan:#}");
}

const NO_REGISTRY: &str = "https://127.0.0.1:9/";

/// lerna in fixed mode raises what changed and tags the whole: other packages stay behind, until all share one version here.
#[test]
fn one_version_by_lerna_that_some_packages_do_not_have() {
    let lerna = |version: &str| format!("{{\"version\": \"{version}\", \"npmClient\": \"npm\"}}\n");
    let core = |version: &str| json!({"name": "@acme/core", "version": version});
    let cli = |version: &str| json!({"name": "acme", "version": version, "dependencies": {"@acme/core": format!("^{version}")}});
    let root =
        json!({"name": "@acme/monorepo", "private": true, "workspaces": ["packages/*", "website"]});
    let monorepo = with_root(&root).file("lerna.json", &lerna("29.6.0"));
    let monorepo = package(monorepo, "packages/core", &core("29.6.0"));
    let monorepo = package(monorepo, "packages/cli", &cli("29.6.0"));
    let types = json!({"name": "@acme/types", "version": "29.6.0"});
    let monorepo = package(monorepo, "packages/types", &types);
    let monorepo = package(
        monorepo,
        "website",
        &json!({"name": "website", "private": true}),
    );
    let monorepo = monorepo.commit("v29.6.0", &[]).tag("v29.6.0");
    let monorepo = package(monorepo, "packages/core", &core("29.7.0"));
    let monorepo = package(monorepo, "packages/cli", &cli("29.7.0"));
    let monorepo = monorepo
        .commit("v29.7.0", &[("lerna.json", &lerna("29.7.0"))])
        .tag("v29.7.0");
    let monorepo = moved(monorepo, &json!({}));
    check("moved", &monorepo, NO_REGISTRY, &[]);
    let monorepo = changed(monorepo, "docs: it", &["website"]);
    check("the website", &monorepo, NO_REGISTRY, &[]);
    let expected = [
        "acme 29.7.0 -> 29.7.1: group",
        "@acme/core 29.7.0 -> 29.7.1: commit",
        "@acme/types 29.6.0 -> 29.7.1: group",
    ];
    let monorepo = changed(monorepo, "fix: it", &["packages/core"]);
    check("a fix", &monorepo, NO_REGISTRY, &expected);
}

/// Only what changes gets the next version, all under tags of the repository; and a private package that no tag marks.
#[test]
fn versions_of_their_own_under_tags_of_the_repository_with_yarn() {
    let types = |version: &str| json!({"name": "@acme/types", "version": version});
    let root = json!({
        "name": "acme", "private": true, "packageManager": "yarn@4.18.1", "workspaces": ["packages/*", "eslint/*", "codemods/*"],
    });
    let monorepo = with_root(&root).file(".yarnrc.yml", "nodeLinker: node-modules\n");
    let monorepo = package(monorepo, "packages/acme-types", &types("7.24.0"));
    let core = json!({"name": "@acme/core", "version": "7.24.0", "dependencies": {"@acme/types": "workspace:^"}});
    let monorepo = package(monorepo, "packages/acme-core", &core);
    let eslint = json!({
        "name": "@acme/eslint", "version": "7.24.0",
        "peerDependencies": {"@acme/core": "^7.11.0"}, "devDependencies": {"@acme/core": "workspace:^"},
    });
    let monorepo = package(monorepo, "eslint/acme-eslint", &eslint);
    let internal = json!({"name": "@acme/internal", "version": "7.0.0", "private": true});
    let monorepo = package(monorepo, "codemods/acme-internal", &internal);
    let monorepo = monorepo.commit("v7.24.0", &[]).tag("v7.24.0");
    let monorepo = changed(monorepo, "fix: types", &["packages/acme-types"]);
    let manifest = format!("{:#}\n", types("7.24.1"));
    let released = [("packages/acme-types/package.json", manifest.as_str())];
    let monorepo = monorepo.commit("v7.24.1", &released).tag("v7.24.1");
    let monorepo = moved(monorepo, &json!({}));
    let first = "@acme/internal 7.0.0 -> 7.0.0: first";
    check("moved", &monorepo, NO_REGISTRY, &[first]);
    let monorepo = changed(monorepo, "feat: it", &["packages/acme-core"]);
    let expected = [first, "@acme/core 7.24.0 -> 7.25.0: commit"];
    check("a feature", &monorepo, NO_REGISTRY, &expected);
    let monorepo = changed(monorepo, "feat!: types", &["packages/acme-types"]);
    let monorepo = monorepo.commit("feat!: types", &[("packages/acme-types/index.js", "2\n")]);
    let expected = [
        first,
        "@acme/core 7.24.0 -> 7.25.0: commit, dependency",
        "@acme/types 7.24.1 -> 8.0.0: commit",
    ];
    check("a break", &monorepo, NO_REGISTRY, &expected);
}

/// The main package has the tags of the repository, others their own, one a tag that names no package: the registry knows its commit.
#[test]
fn packages_with_catalogs_of_which_one_has_the_tags_of_the_repository() {
    let workspace = "packages:\n  - packages/*\n  - playground/**\ncatalog:\n  left-pad: ^1.3.0\ncatalogs:\n  lib:\n    acme: ^5.0.0\n";
    let root = json!({"name": "@acme/monorepo", "private": true, "packageManager": "pnpm@10.34.8"});
    let monorepo = with_root(&root).file("pnpm-workspace.yaml", workspace);
    let main =
        json!({"name": "acme", "version": "5.1.0", "dependencies": {"left-pad": "catalog:"}});
    let monorepo = package(monorepo, "packages/acme", &main);
    let create = json!({"name": "create-acme", "version": "5.0.0"});
    let monorepo = package(monorepo, "packages/create-acme", &create);
    let plugin = json!({
        "name": "@acme/plugin-legacy", "version": "5.2.0",
        "peerDependencies": {"acme": "catalog:lib"}, "devDependencies": {"acme": "workspace:*"},
    });
    let monorepo = package(monorepo, "packages/plugin-legacy", &plugin);
    let css = json!({"name": "@acme/test-css", "private": true, "version": "0.0.0", "dependencies": {"acme": "workspace:*"}});
    let monorepo = package(monorepo, "playground/css", &css);
    let monorepo = monorepo
        .commit("release: plugin-legacy@5.2.0", &[])
        .tag("plugin-legacy@5.2.0");
    let registry = tempfile::tempdir().expect("a directory");
    let document = json!({
        "name": "@acme/plugin-legacy", "dist-tags": {"latest": "5.2.0"},
        "versions": {"5.2.0": {"name": "@acme/plugin-legacy", "version": "5.2.0", "gitHead": monorepo.head(), "dist": {"tarball": "https://127.0.0.1:9/a.tgz"}}},
    });
    let file = registry.path().join("@acme/plugin-legacy");
    std::fs::create_dir(registry.path().join("@acme")).expect("a directory");
    std::fs::write(file, document.to_string()).expect("a file");
    let server = StaticServer::start(registry.path());
    let monorepo = monorepo
        .commit("release: v5.1.0", &[])
        .tag("v5.1.0")
        .tag("create-acme@5.0.0");
    let monorepo = moved(monorepo, &json!({"filter": ["packages/*"]}));
    check("moved", &monorepo, &server.url(), &[]);
    let monorepo = changed(monorepo, "feat: it", &["packages/acme", "playground/css"]);
    check(
        "a feature",
        &monorepo,
        &server.url(),
        &["acme 5.1.0 -> 5.2.0: commit"],
    );
    let monorepo = monorepo.commit("feat!: it", &[("packages/acme/index.js", "2\n")]);
    let expected = [
        "acme 5.1.0 -> 6.0.0: commit, commit",
        "@acme/plugin-legacy 5.2.0 -> 5.2.1: dependency",
    ];
    check("a break", &monorepo, &server.url(), &expected);
}

/// changesets tags what it publishes, lightly where a forge does it, and no private package.
#[test]
fn a_repository_of_changesets_with_packages_that_it_never_tagged() {
    let config = json!({
        "changelog": false, "commit": false, "fixed": [], "linked": [["@acme/core", "@acme/cli"]], "access": "public",
        "baseBranch": "main", "updateInternalDependencies": "patch", "ignore": ["@acme/docs"],
    });
    let root = json!({"name": "acme-monorepo", "private": true, "workspaces": ["packages/*", "docs", "examples/*"]});
    let monorepo = with_root(&root)
        .file(".changeset/config.json", &config.to_string())
        .file(".changeset/README.md", "# Changesets\n")
        .file(
            "packages/core/CHANGELOG.md",
            "# @acme/core\n\n## 3.1.4\n\n### Patch Changes\n\n- it\n",
        );
    let core = json!({"name": "@acme/core", "version": "3.1.4"});
    let monorepo = package(monorepo, "packages/core", &core);
    let cli =
        json!({"name": "@acme/cli", "version": "3.1.2", "dependencies": {"@acme/core": "^3.1.4"}});
    let monorepo = package(monorepo, "packages/cli", &cli);
    let own = json!({"name": "@acme/config", "version": "0.4.0", "private": true});
    let monorepo = package(monorepo, "packages/config", &own);
    let docs = json!({"name": "@acme/docs", "version": "1.0.9", "private": true, "dependencies": {"@acme/core": "^3.1.4"}});
    let monorepo = package(monorepo, "docs", &docs);
    let example =
        json!({"name": "example-basic", "private": true, "dependencies": {"@acme/core": "*"}});
    let monorepo = package(monorepo, "examples/basic", &example);
    let monorepo = monorepo.commit("Version Packages", &[]);
    for tag in ["@acme/core@3.1.4", "@acme/cli@3.1.2"] {
        monorepo.git(&["tag", tag]);
    }
    let monorepo = moved(monorepo, &json!({}));
    let first = "@acme/config 0.4.0 -> 0.4.0: first";
    check("moved", &monorepo, NO_REGISTRY, &[first]);
    let monorepo = changed(monorepo, "feat: it", &["packages/core", "docs"])
        .file(
            ".changeset/big-cats-sing.md",
            "---\n\"@acme/core\": minor\n---\n\nIt.\n",
        )
        .commit("feat: tell it", &[]);
    let expected = [first, "@acme/core 3.1.4 -> 3.2.0: intent"];
    check("a feature", &monorepo, NO_REGISTRY, &expected);
    let monorepo = changed(monorepo, "fix: it", &["packages/cli"])
        .file(
            ".changeset/old-dogs-run.md",
            "---\n\"@acme/cli\": patch\n---\n\nIt.\n",
        )
        .commit("fix: tell it", &[]);
    let expected = [
        "@acme/cli 3.1.2 -> 3.2.0: intent, group",
        first,
        "@acme/core 3.1.4 -> 3.2.0: intent",
    ];
    check("linked", &monorepo, NO_REGISTRY, &expected);
}

/// Components in the tags instead of names; the versions happen to be one.
#[test]
fn packages_of_release_please_whose_tags_name_components() {
    let root = json!({"name": "acme", "private": true, "workspaces": ["packages/*"]});
    let versions =
        json!({"packages/text": "1.4.0", "packages/rich-text": "1.4.0", "packages/cli": "1.4.0"});
    let config = json!({
        "release-type": "node",
        "packages": {"packages/text": {}, "packages/rich-text": {}, "packages/cli": {"component": "acme-cli"}},
    });
    let monorepo = with_root(&root)
        .file(".release-please-manifest.json", &versions.to_string())
        .file("release-please-config.json", &config.to_string());
    let text = json!({"name": "@acme/text", "version": "1.4.0"});
    let monorepo = package(monorepo, "packages/text", &text);
    let rich = json!({"name": "@acme/rich-text", "version": "1.4.0", "dependencies": {"@acme/text": "^1.4.0"}});
    let monorepo = package(monorepo, "packages/rich-text", &rich);
    let cli = json!({"name": "@acme/cli", "version": "1.4.0"});
    let monorepo = package(monorepo, "packages/cli", &cli);
    let monorepo = monorepo
        .commit("chore: release main", &[])
        .tag("text-v1.4.0")
        .tag("rich-text-v1.4.0")
        .tag("acme-cli-v1.4.0");
    let monorepo = moved(monorepo, &json!({}));
    check("moved", &monorepo, NO_REGISTRY, &[]);
    let monorepo = changed(monorepo, "feat: it", &["packages/text", "packages/cli"]);
    let expected = [
        "@acme/cli 1.4.0 -> 1.5.0: commit",
        "@acme/text 1.4.0 -> 1.5.0: commit",
    ];
    check("a feature", &monorepo, NO_REGISTRY, &expected);
}

/// The older tool: its keys, its packages where nothing else lists them, and tags of its two lines.
#[test]
fn packages_of_the_older_tool_with_its_keys_and_tags() {
    let old = json!({
        "packagesPath": "modules/*", "mode": "diff", "rootPackage": false, "push": true,
        "version": {"mode": "sync", "message": "release: %s", "push": true},
        "publish": {"mode": "sync", "push": true}, "run": {"type": "work", "DAG": true},
    });
    for (file, config) in [("pkgs.config.json", json!({})), ("pkgs.json", old.clone())] {
        let root = json!({"name": "acme", "private": true});
        let monorepo = with_root(&root).file(file, &old.to_string());
        let a = json!({"name": "a", "version": "1.2.0"});
        let monorepo = package(monorepo, "modules/a", &a);
        let b = json!({"name": "b", "version": "1.2.0", "private": true});
        let monorepo = package(monorepo, "modules/b", &b);
        let monorepo = monorepo
            .commit("release: v1.2.0", &[])
            .tag("v1.2.0-version-pkg")
            .tag("sync1620000000000-publish-pkg")
            .tag("1.2.0");
        let monorepo = moved(monorepo, &config);
        check(file, &monorepo, NO_REGISTRY, &[]);
        let monorepo = changed(monorepo, "fix: it", &["modules/a"]);
        let expected = ["a 1.2.0 -> 1.2.1: commit", "b 1.2.0 -> 1.2.1: group"];
        check(file, &monorepo, NO_REGISTRY, &expected);
        let never = json!({"publish": {"push": false}}).to_string();
        let refused = monorepo
            .file(file, &never)
            .binary(&["plan"])
            .run()
            .expect(2);
        let said = format!("publish.push in {file}");
        assert!(refused.stderr.contains(&said), "{}", refused.stderr);
    }
}

/// Each package has a tag of either line of the older tool.
#[test]
fn packages_of_the_older_tool_with_versions_of_their_own() {
    let root = json!({"name": "acme", "private": true, "workspaces": ["packages/*"]});
    let old = json!({"version": {"mode": "diff"}});
    let monorepo = with_root(&root).file("pkgs.config.json", &old.to_string());
    let a = json!({"name": "a", "version": "1.2.0"});
    let monorepo = package(monorepo, "packages/a", &a);
    let b = json!({"name": "b", "version": "1.2.0"});
    let monorepo = package(monorepo, "packages/b", &b);
    let monorepo = monorepo.commit("chore: version", &[]);
    let monorepo = ["a@v1.2.0", "a@1.2.0", "b@v1.2.0"]
        .into_iter()
        .fold(monorepo, Monorepo::tag);
    let monorepo = moved(monorepo, &json!({}));
    check("moved", &monorepo, NO_REGISTRY, &[]);
    let monorepo = changed(monorepo, "fix: it", &["packages/b"]);
    let expected = ["b 1.2.0 -> 1.2.1: commit"];
    check("a fix", &monorepo, NO_REGISTRY, &expected);
}
