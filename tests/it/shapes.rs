//! Repositories in the shapes of well-known ones, with the history that lerna, pnpm, yarn and changesets leave: what a first plan says,
//! and that a release of it is whole.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::{Value, json};

use crate::support::managers::{BERRY_4, BUN, Manager, NPM, PNPM_12};
use crate::support::monorepo::Monorepo;
use crate::support::plans;
use crate::support::sandbox::Run;
use crate::support::world::World;

/// Commits and addresses, which a lockfile with the registry's port changes.
static VARYING: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\b[0-9a-f]{7,40}\b").expect("a pattern"));

/// What a changelog holds before we write the first section.
const CHANGELOG: &str = "# Change Log

All notable changes to this project will be documented in this file.

## [4.2.1](https://git.example/acme/compare/v4.2.0...v4.2.1) (2025-06-01)

### Bug Fixes

* **core:** an older fix
";

/// A package with a source file.
fn member(monorepo: Monorepo, directory: &str, manifest: &Value) -> Monorepo {
    let text = serde_json::to_string_pretty(manifest).expect("JSON");
    monorepo
        .file(&format!("{directory}/package.json"), &format!("{text}\n"))
        .file(
            &format!("{directory}/src/index.js"),
            "module.exports = 1;\n",
        )
}

/// A package that is published.
fn library(name: &str, version: &str, fields: &Value) -> Value {
    let mut manifest = json!({
        "name": name,
        "version": version,
        "license": "MIT",
        "main": "src/index.js",
        "files": ["src"],
    });
    for (field, value) in fields.as_object().expect("an object") {
        manifest[field] = value.clone();
    }
    manifest
}

fn said(run: &Run) -> String {
    VARYING.replace_all(&run.stdout, "<commit>").into_owned()
}

/// What a plan says, with the time it took and everything else that differs from run to run left out.
fn told(monorepo: &Monorepo) -> String {
    said(&plans::run(monorepo, &["plan"]).expect(0))
}

/// Releases it; afterwards the manager installs from the lockfile and would write no other, and there is nothing left to do.
fn is_released_whole(manager: &Manager, monorepo: Monorepo) -> World {
    let world = World::local(monorepo);
    let run = world
        .binary(&["release", "--install=none"])
        .env("PKGS_STORE", "none");
    let _ = run.run().expect(0);
    world.follow();
    let ours = world.monorepo.read(manager.lockfile);
    manager
        .accepts(&world.monorepo)
        .expect("the manager installs from the lockfile");
    assert_eq!(manager.writes(&world.monorepo), ours, "{}", manager.name);
    assert_eq!(world.monorepo.git(&["status", "--porcelain"]), "");
    let run = world.binary(&["plan", "--format=json"]);
    let plan = run.env("PKGS_STORE", "none").run().expect(0).json();
    assert_eq!(plan["packages"], json!([]), "{plan:#}");
    world
}

/// The manifest of a package as the registry has it.
fn published(world: &World, name: &str, version: &str) -> Value {
    let file = world.outside.path().join("npm").join(name);
    let document = std::fs::read(&file).unwrap_or_else(|error| panic!("{name}: {error}"));
    let document: Value = serde_json::from_slice(&document).expect("JSON");
    document["versions"][version].clone()
}

/// One version for all, `lerna.json` beside npm's workspaces, scopes as directories, examples that are private.
fn lerna() -> Monorepo {
    let root = json!({
        "name": "acme-monorepo", "private": true,
        "workspaces": ["packages/*", "packages/@acme/*", "examples/*"],
        "scripts": {"release": "lerna publish"},
        "devDependencies": {"is-number": "^7.0.0", "ms": "2.1.3"},
    });
    let lerna = "{\n  \"$schema\": \"node_modules/lerna/schemas/lerna-schema.json\",\n  \"version\": \"4.2.1\",\n  \"packages\": [\"packages/*\", \"packages/@acme/*\", \"examples/*\", \"!packages/legacy\"],\n  \"npmClient\": \"npm\",\n  \"command\": {\"version\": {\"allowBranch\": [\"main\"], \"ignoreChanges\": [\"**/test/**\", \"*.md\"]}}\n}\n";
    let monorepo = NPM
        .settled(Monorepo::empty())
        .file("lerna.json", lerna)
        .file("CHANGELOG.md", CHANGELOG);
    let monorepo = member(monorepo, ".", &root);
    let monorepo = member(
        monorepo,
        "packages/@acme/core",
        &library(
            "@acme/core",
            "4.2.1",
            &json!({
                "publishConfig": {"access": "public"}, "dependencies": {"debug": "^4.4.0"},
            }),
        ),
    )
    .file("packages/@acme/core/CHANGELOG.md", CHANGELOG);
    let monorepo = member(
        monorepo,
        "packages/@acme/plugin",
        &library(
            "@acme/plugin",
            "4.2.1",
            &json!({
                "publishConfig": {"access": "public"},
                "peerDependencies": {"@acme/core": "^4.0.0"}, "devDependencies": {"@acme/core": "^4.2.1"},
                "dependencies": {"use-sync-external-store": "^1.5.0"},
            }),
        ),
    );
    let monorepo = member(
        monorepo,
        "packages/cli",
        &library(
            "acme-cli",
            "4.2.1",
            &json!({
                "dependencies": {"@acme/core": "^4.2.1", "@acme/plugin": "4.2.1", "is-odd": "^3.0.1"},
                "optionalDependencies": {"fsevents": "^2.3.0"},
            }),
        ),
    );
    let monorepo = member(
        monorepo,
        "packages/legacy",
        &library("acme-legacy", "1.0.0", &json!({})),
    );
    member(
        monorepo,
        "examples/basic",
        &json!({"name": "example-basic", "version": "0.0.0", "private": true, "dependencies": {"acme-cli": "^4.0.0"}}),
    )
    .file(
        "packages/@acme/core/test/fixtures/project/package.json",
        "{\"name\": \"fixture\", \"dependencies\": {\"@acme/core\": \"*\"}}\n",
    )
}

#[test]
fn a_lerna_repository() {
    let monorepo = lerna();
    let _ = NPM.writes(&monorepo);
    let monorepo = monorepo
        .commit("chore(release): publish v4.2.1", &[])
        .tag("v4.2.0")
        .tag("v4.2.1")
        .commit(
            "test(core): more of it",
            &[("packages/@acme/core/test/more.js", "1\n")],
        )
        .commit(
            "fix(core): trim",
            &[("packages/@acme/core/src/index.js", "module.exports = 2;\n")],
        )
        .commit(
            "feat(cli)!: another command\n\nBREAKING CHANGE: `run` is `start` now",
            &[("packages/cli/src/index.js", "module.exports = 2;\n")],
        );
    insta::assert_snapshot!(told(&monorepo), @"
    mode sync (as lerna.json says)
    from lerna.json: branch, ignore, mode
      example-basic  0.0.0 → 5.0.0  [private]
                       all packages share one version
      @acme/core     4.2.1 → 5.0.0  [npm, latest]
                       <commit> fix(core): trim (patch)
      @acme/plugin   4.2.1 → 5.0.0  [npm, latest]
                       all packages share one version
      acme-cli       4.2.1 → 5.0.0  [npm, latest]
                       <commit> feat(cli)!: another command (major)
    tags: v5.0.0
    edits: CHANGELOG.md, examples/basic/package.json, lerna.json, package-lock.json, packages/@acme/core/package.json, packages/@acme/plugin/package.json, packages/cli/package.json
    publish order: @acme/core, @acme/plugin, acme-cli
    missing remote: `git remote add origin <address>`: the release commit and its tags are pushed there
    ");
    let world = is_released_whole(&NPM, monorepo);
    assert_eq!(world.monorepo.json("lerna.json")["version"], "5.0.0");
    let changelog = world.monorepo.read("CHANGELOG.md");
    let [new, old] = ["5.0.0", "## [4.2.1]"].map(|text| changelog.find(text).expect("a section"));
    assert!(
        new < old && changelog.starts_with("# Change Log\n\nAll notable"),
        "{changelog}"
    );
    let cli = published(&world, "acme-cli", "5.0.0");
    assert_eq!(cli["dependencies"]["@acme/plugin"], "5.0.0");
    assert_eq!(
        world.monorepo.json("packages/legacy/package.json")["version"],
        "1.0.0"
    );
}

/// A version of its own for each, third-party ranges in catalogs, playgrounds that are private, negated globs.
fn pnpm() -> Monorepo {
    let monorepo = PNPM_12.settled(Monorepo::empty());
    let settings = PNPM_12.settings().1;
    let workspace = settings.replace(
        "packages:\n  - packages/*\n",
        "packages:\n  - packages/*\n  - 'packages/@acme/*'\n  - playground/**\n  - '!**/fixtures/**'\n  - '!playground/broken'\n",
    );
    let catalogs = "catalog:\n  # what everyone uses\n  ms: ^2.1.0\n  react: ^19.0.0\ncatalogs:\n  peers:\n    react: '>=18'\n  numbers: { is-number: \"6.0.0\" }\n";
    let monorepo = monorepo.file("pnpm-workspace.yaml", &format!("{workspace}{catalogs}"));
    let root = json!({
        "name": "acme", "private": true, "type": "module",
        "devDependencies": {"react": "catalog:", "@acme/utils": "workspace:*"},
    });
    let monorepo = member(monorepo, ".", &root);
    let monorepo = member(
        monorepo,
        "packages/@acme/utils",
        &library(
            "@acme/utils",
            "1.4.0",
            &json!({
                "publishConfig": {"access": "public"},
                "dependencies": {"ms": "catalog:", "is-number": "catalog:numbers"},
            }),
        ),
    )
    .file("packages/@acme/utils/CHANGELOG.md", CHANGELOG);
    let monorepo = member(
        monorepo,
        "packages/acme",
        &library(
            "acme",
            "7.0.0-beta.3",
            &json!({
                "dependencies": {"@acme/utils": "workspace:^"},
                "optionalDependencies": {"fsevents": "~2.3.3"},
            }),
        ),
    );
    let monorepo = member(
        monorepo,
        "packages/plugin-react",
        &library(
            "@acme/plugin-react",
            "0.3.0",
            &json!({
                "publishConfig": {"access": "public"},
                "peerDependencies": {"@acme/utils": "workspace:^1.0.0", "react": "catalog:peers"},
                "devDependencies": {"@acme/utils": "workspace:*", "react": "catalog:"},
                "dependencies": {"use-sync-external-store": "^1.5.0"},
            }),
        ),
    );
    let playground = json!({"name": "@acme-playground/one", "private": true, "dependencies": {"@acme/plugin-react": "workspace:*", "react": "catalog:"}});
    let monorepo = member(monorepo, "playground/one", &playground);
    monorepo
        .file(
            "playground/broken/package.json",
            "{\"name\": \"broken\", \"dependencies\": {\"@acme/utils\": \"workspace:^9.0.0\"}}\n",
        )
        .file(
            "packages/acme/fixtures/a/package.json",
            "{\"name\": \"acme\"}\n",
        )
        .file(
            "playground/one/fixtures/b/package.json",
            "{\"name\": \"acme\"}\n",
        )
}

#[test]
fn a_pnpm_repository_with_catalogs() {
    let monorepo = pnpm();
    let _ = PNPM_12.writes(&monorepo);
    let monorepo = monorepo.commit("release: everything", &[]);
    let monorepo = [
        "@acme/utils@1.4.0",
        "acme@7.0.0-beta.3",
        "@acme/plugin-react@0.3.0",
    ]
    .into_iter()
    .fold(monorepo, Monorepo::tag)
    .commit(
        "feat(utils)!: another way",
        &[("packages/@acme/utils/src/index.js", "module.exports = 2;\n")],
    )
    .commit(
        "docs: a playground",
        &[("playground/one/src/index.js", "module.exports = 2;\n")],
    );
    insta::assert_snapshot!(told(&monorepo), @"
    mode diff (the packages hold 3 different versions)
      @acme/utils         1.4.0 → 2.0.0  [npm, latest]
                            <commit> feat(utils)!: another way (major)
      acme                7.0.0-beta.3 → 7.0.0  [npm, latest]
                            depends on @acme/utils ^1.4.0, which 1.4.0 → 2.0.0 leaves
      @acme/plugin-react  0.3.0 → 0.3.1  [npm, latest]
                            depends on @acme/utils ^1.0.0, which 1.4.0 → 2.0.0 leaves
    tags: @acme/plugin-react@0.3.1, @acme/utils@2.0.0, acme@7.0.0
    edits: packages/@acme/utils/CHANGELOG.md, packages/@acme/utils/package.json, packages/acme/CHANGELOG.md, packages/acme/package.json, packages/plugin-react/CHANGELOG.md, packages/plugin-react/package.json
    publish order: @acme/utils, acme + @acme/plugin-react
    not released: @acme-playground/one
    missing remote: `git remote add origin <address>`: the release commit and its tags are pushed there
    ");
    let world = is_released_whole(&PNPM_12, monorepo);
    let utils = published(&world, "@acme/utils", "2.0.0");
    assert_eq!(
        utils["dependencies"],
        json!({"ms": "^2.1.0", "is-number": "6.0.0"})
    );
    let changelog = world.monorepo.read("packages/@acme/utils/CHANGELOG.md");
    assert!(changelog.contains("## [4.2.1]"), "{changelog}");
}

/// One version for all, catalogs in `.yarnrc.yml`, packages inside packages, `resolutions`, a website that is not published.
fn yarn() -> Monorepo {
    let monorepo = BERRY_4.settled(Monorepo::empty());
    let settings = BERRY_4.settings().1;
    let catalogs = "\ncatalog:\n  is-number: ^6.0.0\n  ms: ^2.1.0\n  \"@acme/types\": ^30.0.1 # ours\n\ncatalogs:\n  react:\n    react: ^19.0.0\n";
    let monorepo = monorepo.file(".yarnrc.yml", &format!("{settings}{catalogs}"));
    let root = json!({
        "private": true,
        "workspaces": ["packages/*", "website", "examples/*"],
        "devDependencies": {"@acme/cli": "workspace:^", "ms": "catalog:"},
        "resolutions": {"is-number": "7.0.0"},
        "packageManager": "yarn@4.18.1",
    });
    let monorepo = member(monorepo, ".", &root);
    let public = json!({"access": "public"});
    let monorepo = member(
        monorepo,
        "packages/acme-types",
        &library("@acme/types", "30.0.1", &json!({"publishConfig": public})),
    );
    let monorepo = member(
        monorepo,
        "packages/acme-cli",
        &library(
            "@acme/cli",
            "30.0.1",
            &json!({
                "publishConfig": public, "workspaces": ["plugins/*"],
                "dependencies": {"@acme/types": "catalog:", "ms": "catalog:", "is-odd": "^3.0.1", "@acme/plugin-one": "workspace:*"},
            }),
        ),
    );
    let monorepo = member(
        monorepo,
        "packages/acme-cli/plugins/one",
        &library(
            "@acme/plugin-one",
            "30.0.1",
            &json!({
                "publishConfig": public, "peerDependencies": {"@acme/types": "^30.0.0"},
                "peerDependenciesMeta": {"@acme/types": {"optional": true}},
                "devDependencies": {"@acme/types": "workspace:^"},
            }),
        ),
    );
    let monorepo = member(
        monorepo,
        "website",
        &json!({"name": "website", "private": true, "dependencies": {"@acme/cli": "workspace:^", "is-number": "catalog:", "react": "catalog:react"}}),
    );
    member(
        monorepo,
        "examples/react",
        &json!({"private": true, "name": "example-react", "dependencies": {"use-sync-external-store": "^1.5.0", "react": "catalog:react"}, "devDependencies": {"@acme/cli": "workspace:*"}}),
    )
    .file("CHANGELOG.md", "## main\n\n## 30.0.1\n\n- `[acme-cli]` a fix\n")
}

#[test]
fn a_yarn_berry_repository() {
    let monorepo = yarn();
    let _ = BERRY_4.writes(&monorepo);
    let monorepo = monorepo
        .commit("v30.0.1", &[])
        .tag("v30.0.1")
        .commit(
            "feat(types)!: narrower",
            &[("packages/acme-types/src/index.js", "module.exports = 2;\n")],
        )
        .commit(
            "fix(plugin-one): look again",
            &[(
                "packages/acme-cli/plugins/one/src/index.js",
                "module.exports = 2;\n",
            )],
        )
        .commit(
            "docs: a page",
            &[("website/src/index.js", "module.exports = 2;\n")],
        );
    insta::assert_snapshot!(told(&monorepo), @"
    mode sync (all packages hold one version)
      @acme/cli         30.0.1 → 31.0.0  [npm, latest]
                          all packages share one version
      @acme/plugin-one  30.0.1 → 31.0.0  [npm, latest]
                          <commit> fix(plugin-one): look again (patch)
      @acme/types       30.0.1 → 31.0.0  [npm, latest]
                          <commit> feat(types)!: narrower (major)
    tags: v31.0.0
    edits: .yarnrc.yml, CHANGELOG.md, packages/acme-cli/package.json, packages/acme-cli/plugins/one/package.json, packages/acme-types/package.json, yarn.lock
    publish order: @acme/types, @acme/plugin-one, @acme/cli
    not released: example-react, website
    missing remote: `git remote add origin <address>`: the release commit and its tags are pushed there
    ");
    let world = is_released_whole(&BERRY_4, monorepo);
    let cli = published(&world, "@acme/cli", "31.0.0");
    assert_eq!(
        cli["dependencies"],
        json!({"@acme/types": "^31.0.0", "ms": "^2.1.0", "is-odd": "^3.0.1", "@acme/plugin-one": "31.0.0"})
    );
    assert!(
        world
            .monorepo
            .read(".yarnrc.yml")
            .contains("\"@acme/types\": ^31.0.0 # ours\n")
    );
    assert!(
        world
            .monorepo
            .read("CHANGELOG.md")
            .ends_with("- `[acme-cli]` a fix\n")
    );
}

/// Intents that are not consumed yet, groups, a package that is left out, catalogs of bun.
fn changesets() -> Monorepo {
    let root = json!({
        "name": "acme", "private": true,
        "workspaces": {
            "packages": ["packages/*", "packages/@acme/*", "apps/*", "!packages/internal-*"],
            "catalog": {"react": "^19.0.0", "@acme/core": "^1.2.0"},
            "catalogs": {"peers": {"react": ">=18"}},
        },
        "devDependencies": {"@acme/core": "catalog:", "ms": "^2.1.0"},
    });
    let config = json!({
        "$schema": "https://unpkg.com/@changesets/config@3.1.1/schema.json",
        "changelog": ["@changesets/changelog-github", {"repo": "acme/acme"}],
        "commit": false, "fixed": [["@acme/core", "@acme/react"]], "linked": [], "access": "public",
        "baseBranch": "main", "updateInternalDependencies": "patch", "ignore": ["@acme/docs"],
    });
    let monorepo = BUN
        .settled(Monorepo::empty())
        .file(".changeset/config.json", &format!("{config:#}\n"))
        .file(".changeset/README.md", "# Changesets\n")
        .file(
            ".changeset/brave-lions-run.md",
            "---\n\"@acme/core\": minor\n---\n\nA way to look.\n\nIt looks further.\n",
        )
        .file(
            ".changeset/calm-cats-sit.md",
            "---\n'@acme/theme': major\n---\n\nNo more colours.\n",
        )
        .file(
            ".changeset/dry-dogs-dig.md",
            "---\n'@acme/docs': patch\n---\n\nAnother page.\n",
        );
    let monorepo = member(monorepo, ".", &root);
    let monorepo = member(
        monorepo,
        "packages/@acme/core",
        &library("@acme/core", "1.2.0", &json!({"dependencies": {"is-odd": "^3.0.0"}})),
    )
    .file("packages/@acme/core/CHANGELOG.md", "# @acme/core\n\n## 1.2.0\n\n### Minor Changes\n\n- [#1](https://git.example/1) an older way\n");
    let monorepo = member(
        monorepo,
        "packages/@acme/react",
        &library(
            "@acme/react",
            "1.2.0",
            &json!({
                "dependencies": {"@acme/core": "catalog:", "use-sync-external-store": "^1.5.0"},
                "peerDependencies": {"react": "catalog:peers"}, "devDependencies": {"react": "catalog:"},
            }),
        ),
    );
    let monorepo = member(
        monorepo,
        "packages/theme",
        &library(
            "@acme/theme",
            "2.0.3",
            &json!({"peerDependencies": {"@acme/react": "^1.0.0"}}),
        ),
    );
    let monorepo = member(
        monorepo,
        "packages/form",
        &library(
            "@acme/form",
            "0.9.0",
            &json!({
                "dependencies": {"@acme/theme": "workspace:^"}, "peerDependencies": {"@acme/core": "~1.2.0"},
            }),
        ),
    );
    let monorepo = member(
        monorepo,
        "packages/internal-tools",
        &json!({"name": "internal-tools", "private": true, "dependencies": {"not-there": "^1.0.0"}}),
    );
    member(
        monorepo,
        "apps/docs",
        &json!({"name": "@acme/docs", "version": "0.1.0", "private": true, "dependencies": {"@acme/react": "workspace:*", "react": "catalog:"}}),
    )
}

#[test]
fn a_changesets_repository() {
    let monorepo = changesets();
    let _ = BUN.writes(&monorepo);
    let intents = ["brave-lions-run", "calm-cats-sit"].map(|name| {
        let path = format!(".changeset/{name}.md");
        let text = monorepo.read(&path);
        std::fs::remove_file(monorepo.path().join(&path)).expect("there is one");
        (path, text)
    });
    let monorepo = monorepo.commit("Version Packages (#1)", &[]);
    let monorepo = [
        "@acme/core@1.2.0",
        "@acme/react@1.2.0",
        "@acme/theme@2.0.3",
        "@acme/form@0.9.0",
    ]
    .into_iter()
    .fold(monorepo, Monorepo::tag)
    .commit(
        "Look further (#2)",
        &[
            ("packages/@acme/core/src/index.js", "module.exports = 2;\n"),
            (&intents[0].0, &intents[0].1),
        ],
    )
    .commit(
        "No more colours (#3)",
        &[
            ("packages/theme/src/index.js", "module.exports = 2;\n"),
            (&intents[1].0, &intents[1].1),
        ],
    );
    insta::assert_snapshot!(told(&monorepo), @"
    mode diff (as .changeset/config.json says)
    from .changeset/config.json: access, branch, bump-from, filter, fixed, mode
      @acme/core   1.2.0 → 1.3.0  [npm, latest]
                     .changeset/brave-lions-run.md:2 A way to look. (minor)
      @acme/react  1.2.0 → 1.3.0  [npm, latest]
                     fixed to one version with @acme/core
      @acme/form   0.9.0 → 0.9.1  [npm, latest]
                     depends on @acme/theme ^2.0.3, which 2.0.3 → 3.0.0 leaves
                     depends on @acme/core ~1.2.0, which 1.2.0 → 1.3.0 leaves
      @acme/theme  2.0.3 → 3.0.0  [npm, latest]
                     .changeset/calm-cats-sit.md:2 No more colours. (major)
    tags: @acme/core@1.3.0, @acme/form@0.9.1, @acme/react@1.3.0, @acme/theme@3.0.0
    edits: bun.lock, packages/@acme/core/CHANGELOG.md, packages/@acme/core/package.json, packages/@acme/react/package.json, packages/form/CHANGELOG.md, packages/form/package.json, packages/theme/CHANGELOG.md, packages/theme/package.json
    consumes: .changeset/brave-lions-run.md, .changeset/calm-cats-sit.md
    publish order: @acme/core, @acme/react, @acme/theme, @acme/form
    not released: @acme/docs
    warning[plan::filtered]: @acme/docs is kept out by filter, though its range of @acme/react no longer holds
    warning[plan::adopted]: not taken over from .changeset/config.json: changelog (notes have one form; changelog says where they are written); commit (what is decided is always a commit; push false keeps that of version here); updateInternalDependencies (a range is rewritten when it no longer holds)
    missing remote: `git remote add origin <address>`: the release commit and its tags are pushed there
    ");
    let world = is_released_whole(&BUN, monorepo);
    let react = published(&world, "@acme/react", "1.3.0");
    assert_eq!(react["peerDependencies"], json!({"react": ">=18"}));
    let changelog = world.monorepo.read("packages/@acme/core/CHANGELOG.md");
    assert!(
        changelog.starts_with("# @acme/core\n") && changelog.contains("## 1.2.0"),
        "{changelog}"
    );
}
