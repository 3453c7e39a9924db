//! The lockfile of a release: npm installs from it, and nothing but versions and ranges differs from the one before.

use crate::support::monorepo::Monorepo;
use crate::support::world::World;

/// Its workspaces are written out, so the lockfile is the test's own affair.
const ROOT: &str = "{\"name\": \"monorepo\", \"private\": true, \"workspaces\": [\"packages/core\", \"packages/web\"]}\n";

/// A workspace that was released, with `web` depending on `core`, whose lockfile is what `write` makes of npm's.
fn released(version: &str, write: impl Fn(&str) -> String) -> Monorepo {
    let monorepo = Monorepo::new()
        .package("core", "1.0.0")
        .package("web", "1.0.0")
        .depends("web", "core", "^1.0.0")
        .file("package.json", ROOT);
    let install = [
        "install",
        "--package-lock-only",
        "--offline",
        "--lockfile-version",
        version,
    ];
    monorepo.npm(&install);
    let lockfile = write(&monorepo.read("package-lock.json"));
    monorepo.write("package-lock.json", &lockfile);
    monorepo.released()
}

#[test]
fn npm_installs_from_the_lockfile_of_a_release_and_every_other_byte_is_the_same() {
    let bom = "\u{feff}";
    let cases: [(&str, &str, &dyn Fn(&str) -> String); 8] = [
        ("3", "as npm writes it", &str::to_owned),
        ("2", "with both sections", &str::to_owned),
        ("3", "lines of Windows", &|text| text.replace('\n', "\r\n")),
        ("2", "tabs", &|text| text.replace("  ", "\t")),
        ("3", "a byte order mark", &|text| format!("{bom}{text}")),
        ("3", "no last line end", &|text| text.trim_end().to_owned()),
        ("3", "one line", &|text| {
            text.lines().map(str::trim).collect::<Vec<_>>().join(" ")
        }),
        ("3", "a key twice", &|text| {
            text.replacen(
                '{',
                "{\"packages\": {\"packages/core\": {\"version\": \"0.0.9\"}},",
                1,
            )
        }),
    ];
    for (version, what, write) in cases {
        let monorepo = released(version, write).commit(
            "feat(core)!: another world",
            &[("packages/core/src/index.js", "")],
        );
        let before = monorepo.read("package-lock.json");
        let world = World::local(monorepo);
        let _ = world.run(&["release"]).expect(0);
        world.follow();
        let after = world.monorepo.read("package-lock.json");
        world.monorepo.npm(&["ci", "--offline", "--no-audit"]);
        let listed = world
            .monorepo
            .npm(&["ls", "--all", "--parseable", "--long"]);
        assert!(listed.contains("core@2.0.0"), "{what}: {listed}");
        assert_ne!(before, after, "{what}");
        let undone = after
            .replace("\"2.0.0\"", "\"1.0.0\"")
            .replace("\"^2.0.0\"", "\"^1.0.0\"")
            .replace("\"1.0.1\"", "\"1.0.0\"");
        assert_eq!(undone, before, "{what}");
    }
}

#[test]
fn a_shrinkwrap_is_what_npm_writes() {
    let monorepo = released("3", str::to_owned);
    monorepo.git(&["mv", "package-lock.json", "npm-shrinkwrap.json"]);
    let change = [("packages/core/src/index.js", "")];
    let world = World::local(monorepo.commit("feat(core)!: another world", &change));
    let before = world.monorepo.read("npm-shrinkwrap.json");
    let _ = world.run(&["release"]).expect(0);
    world.follow();
    let ours = world.monorepo.read("npm-shrinkwrap.json");
    world.monorepo.npm(&["ci", "--offline", "--no-audit"]);
    world.monorepo.write("npm-shrinkwrap.json", &before);
    world
        .monorepo
        .npm(&["install", "--package-lock-only", "--offline"]);
    assert_eq!(world.monorepo.read("npm-shrinkwrap.json"), ours);
    assert_ne!(ours, before);
}

#[test]
fn a_lockfile_that_only_npm_can_mend_is_refused_before_anything_is_decided() {
    let cases: [(&dyn Fn(&str) -> String, &str, &str); 4] = [
        (
            &|text| text.replace("\"lockfileVersion\": 3", "\"lockfileVersion\": 1"),
            "workspace::lockfile_version",
            "--lockfile-version 3",
        ),
        (
            &|text| text.replacen('{', "{\n<<<<<<< HEAD\n=======\n>>>>>>> other", 1),
            "workspace::lockfile_conflict",
            "package-lock.json:2:1",
        ),
        (
            &|text| {
                text.replacen(
                    '{',
                    &format!("{{\"x\": {}1{},", "[".repeat(200), "]".repeat(200)),
                    1,
                )
            },
            "workspace::json_depth",
            "package-lock.json",
        ),
        (
            &|text| text.replacen('{', "{,", 1),
            "workspace::json_syntax",
            "package-lock.json",
        ),
    ];
    for (write, code, said) in cases {
        let monorepo = released("3", str::to_owned);
        let lockfile = write(&monorepo.read("package-lock.json"));
        let changed = [
            ("packages/core/src/index.js", ""),
            ("package-lock.json", lockfile.as_str()),
        ];
        let world = World::local(monorepo.commit("fix(core): it", &changed));
        let run = world.run(&["release"]).expect(3);
        let told = run.stderr.contains(&format!("error[{code}]")) && run.stderr.contains(said);
        assert!(told, "{code}: {}", run.stderr);
        assert_eq!(world.origin_git(&["tag", "--list", "*1.0.1"]), "");
    }
}
