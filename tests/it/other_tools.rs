//! What lerna, changesets and pnpm themselves compute for a repository, beside our plan: equal but for the differences that
//! `docs/coming-from.md` lists, which are the [`Rules`] here.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::plan_laws::{
    self, FIELDS, Generated, NOTHING, Number, OURS, Rules, name, oracle, range, text,
};
use crate::support::monorepo::Monorepo;
use crate::support::random::{self, Random};
use crate::support::servers;
use crate::support::static_server::StaticServer;
use crate::support::world::output;

/// The root of a workspace that `pnpm-workspace.yaml` describes.
const ROOT: &str = "{\"name\": \"monorepo\", \"private\": true}\n";
const VERSIONS: [Number; 4] = [(1, 0, 0), (0, 2, 0), (1, 2, 3), (0, 0, 4)];

/// What a tool can be given.
struct Tool {
    /// Its rules.
    rules: Rules,
    /// Ours, set as it needs.
    ours: Rules,
    /// The forms of ranges that it understands.
    forms: &'static [usize],
    /// Whether it knows fixed groups, and linked ones.
    groups: [bool; 2],
}

fn generated(tool: &Tool, random: &mut Random) -> Generated {
    let count = 3 + random.below(3);
    let mut edges = BTreeMap::new();
    for _ in 0..random.below(2 * count) {
        let (from, to) = (random.below(count), random.below(count));
        let form = tool.forms[random.below(tool.forms.len())];
        // One package declared twice by another is one dependency for some tools, two for others.
        let is_new = !edges
            .keys()
            .any(|(known_from, known_to, _)| (*known_from, *known_to) == (from, to));
        if from != to && is_new {
            edges.insert((from, to, random.below(FIELDS.len())), form);
        }
    }
    let kinds: Vec<bool> = [true, false]
        .into_iter()
        .filter(|fixed| tool.groups[usize::from(!fixed)])
        .collect();
    let mut groups = Vec::new();
    if !kinds.is_empty() && random.one_in(2) {
        let members: Vec<usize> = (0..count).filter(|_| random.one_in(2)).collect();
        if members.len() > 1 {
            groups.push((kinds[random.below(kinds.len())], members));
        }
    }
    let change = |random: &mut Random| match random.below(3) {
        0 => 1 + random.below(3),
        _ => 0,
    };
    Generated {
        versions: (0..count).map(|_| VERSIONS[random.below(4)]).collect(),
        edges,
        groups,
        changes: (0..count).map(|_| change(random)).collect(),
        bundles: vec![NOTHING; count],
        order: (0..count).collect(),
        rules: tool.rules,
    }
}

/// The packages, released, without what changed since.
fn released(generated: &Generated, files: &[(&str, &str)]) -> Monorepo {
    let mut monorepo = Monorepo::new();
    std::fs::remove_file(monorepo.path().join("pkgs.json")).expect("there is one");
    for (path, text) in files {
        monorepo = monorepo.file(path, text);
    }
    for (index, version) in generated.versions.iter().enumerate() {
        monorepo = monorepo.package(&name(index), &text(*version));
    }
    for ((from, to, field), form) in &generated.edges {
        let range = range(*form, generated.versions[*to]);
        monorepo = monorepo.depends_in(FIELDS[*field], &name(*from), &name(*to), &range);
    }
    monorepo.released()
}

/// A commit for each package that changed.
fn changed(mut monorepo: Monorepo, generated: &Generated) -> Monorepo {
    for (index, change) in generated.changes.iter().enumerate() {
        let message = match change {
            0 => continue,
            1 => "fix: it",
            2 => "feat: it",
            _ => "fix: it\n\nBREAKING CHANGE: it",
        };
        let file = format!("packages/{}/it.js", name(index));
        monorepo = monorepo.commit(message, &[(&file, "1\n")]);
    }
    monorepo
}

type Versions = BTreeMap<String, String>;

/// What the manifests of the first `count` packages say.
fn versions(monorepo: &Monorepo, count: usize) -> Versions {
    (0..count)
        .map(|index| {
            let manifest = monorepo.json(&format!("packages/{}/package.json", name(index)));
            let version = manifest["version"].as_str().expect("a version");
            (name(index), version.to_owned())
        })
        .collect()
}

/// What our plan would make of them.
fn planned(monorepo: &Monorepo, count: usize, environment: &[(&str, &str)]) -> Versions {
    let plan = monorepo
        .binary(&["plan", "--format=json"])
        .env("PKGS_REGISTRY", "https://127.0.0.1:9/")
        .envs(environment)
        .run()
        .expect(0)
        .json();
    let mut versions = versions(monorepo, count);
    for package in plan["packages"].as_array().expect("a list") {
        let [name, to] = ["name", "to"].map(|field| package[field].as_str().expect("text"));
        versions.insert(name.to_owned(), to.to_owned());
    }
    versions
}

/// What the oracle says under some rules.
fn expected(generated: &Generated, rules: Rules) -> Versions {
    let generated = Generated {
        rules,
        ..generated.clone()
    };
    let versions = oracle(&generated).into_iter().enumerate();
    versions
        .map(|(index, version)| (name(index), text(version)))
        .collect()
}

fn script(monorepo: &Monorepo, program: &str) -> Command {
    let installed = servers::installed();
    let node = installed.join("node/bin/node");
    let mut command = monorepo.sandbox().command(&node, monorepo.path());
    command.arg(installed.join("releasers/node_modules").join(program));
    command.env("NX_DAEMON", "false").env("CI", "true");
    command
}

fn lerna(monorepo: &Monorepo, arguments: &[&str]) {
    // With a lockfile it runs npm, which asks the registry for versions that are not there yet.
    std::fs::remove_file(monorepo.path().join("package-lock.json")).expect("there is one");
    let mut command = script(monorepo, "lerna/dist/cli.js");
    command.args([
        "version",
        "--conventional-commits",
        "--no-changelog",
        "--yes",
    ]);
    let _ = output(
        command
            .args(["--no-git-tag-version", "--no-push"])
            .args(arguments),
    );
}

fn changesets(monorepo: &Monorepo) {
    let intents = std::fs::read_dir(monorepo.path().join(".changeset")).expect("a directory");
    // Without an intent it fails.
    if intents.count() > 1 {
        let _ = output(script(monorepo, "@changesets/cli/bin.js").arg("version"));
    }
}

/// pnpm, with a registry that has every package in the version of its manifest: what is on none yet it releases as it stands.
fn pnpm(monorepo: &Monorepo, count: usize) -> Output {
    let registry = tempfile::tempdir().expect("a directory");
    let server = StaticServer::start(registry.path());
    for (name, version) in versions(monorepo, count) {
        let tarball = json!({"tarball": "http://127.0.0.1:9/", "shasum": "0".repeat(40)});
        let document = json!({"name": name, "version": version, "dist": tarball});
        let document = json!({"name": name, "dist-tags": {"latest": version}, "versions": {version: document}});
        std::fs::write(registry.path().join(name), document.to_string()).expect("a file");
    }
    monorepo.write(".npmrc", &format!("registry={}\n", server.url()));
    monorepo.git(&["add", "--all"]);
    monorepo.git(&[
        "-c",
        "user.name=a",
        "-c",
        "user.email=a@b",
        "commit",
        "--quiet",
        "--message",
        "chore: registry",
    ]);
    let program = servers::installed().join("pnpm/node_modules/pnpm-12/pnpm");
    let mut command = monorepo.sandbox().command(program, monorepo.path());
    command.args(["version", "-r"]).output().expect("pnpm runs")
}

const LERNA: Tool = Tool {
    rules: Rules {
        always_follows: true,
        development_follows: true,
        peer: 0,
        ..OURS
    },
    ours: OURS,
    forms: &[0, 1, 2, 5, 6, 9, 10, 11, 12],
    groups: [false, false],
};

#[test]
fn lerna_releases_every_dependent_but_those_of_peers() {
    for seed in random::seeds(4) {
        let mut random = Random::of(seed);
        let generated = generated(&LERNA, &mut random);
        let documented: BTreeSet<usize> = (0..generated.versions.len())
            .filter(|index| generated.changes[*index] == 0 && random.one_in(4))
            .collect();
        let config = json!({"version": "independent", "npmClient": "npm"}).to_string();
        let mut monorepo = changed(released(&generated, &[("lerna.json", &config)]), &generated);
        let mut seen = generated.clone();
        for index in documented {
            let file = format!("packages/{}/README.md", name(index));
            monorepo = monorepo.commit("docs: it", &[(&file, "1\n")]);
            seen.changes[index] = 1;
        }
        let shown = format!("PKGS_TEST_SEED={seed} {generated:#?}");
        assert_eq!(
            planned(&monorepo, generated.versions.len(), &[]),
            expected(&generated, LERNA.ours),
            "{shown}"
        );
        lerna(&monorepo, &["--premajor-version-bump=force-patch"]);
        assert_eq!(
            versions(&monorepo, generated.versions.len()),
            expected(&seen, LERNA.rules),
            "lerna, {shown}"
        );
    }
}

const CHANGESETS: Tool = Tool {
    rules: Rules {
        shift: false,
        ..OURS
    },
    ours: Rules {
        shift: false,
        ..OURS
    },
    forms: &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12],
    groups: [true, true],
};

/// An intent for each package that changed.
fn with_intents(mut monorepo: Monorepo, generated: &Generated) -> Monorepo {
    for (index, change) in generated.changes.iter().enumerate() {
        let level = match change {
            0 => continue,
            1 => "patch",
            2 => "minor",
            _ => "major",
        };
        let intent = format!("---\n\"{}\": {level}\n---\n\nit\n", name(index));
        monorepo = monorepo.file(&format!(".changeset/{index}.md"), &intent);
    }
    monorepo.commit("chore: intents", &[])
}

fn groups(generated: &Generated, fixed: bool) -> Vec<Vec<String>> {
    let groups = generated.groups.iter().filter(|group| group.0 == fixed);
    groups
        .map(|(_, members)| members.iter().map(|index| name(*index)).collect())
        .collect()
}

#[test]
fn changesets_computes_the_same_versions() {
    for seed in random::seeds(6) {
        let generated = generated(&CHANGESETS, &mut Random::of(seed));
        let config = json!({
            "changelog": false, "commit": false, "access": "public", "baseBranch": "main", "ignore": [],
            "fixed": groups(&generated, true), "linked": groups(&generated, false),
        });
        let files = [
            ("package.json", ROOT.to_owned()),
            (".changeset/config.json", config.to_string()),
            ("pnpm-workspace.yaml", "packages: [packages/*]\n".to_owned()),
        ];
        let files = files.each_ref().map(|(path, text)| (*path, text.as_str()));
        let monorepo = changed(released(&generated, &files), &generated);
        let monorepo = with_intents(monorepo, &generated);
        let shown = format!("PKGS_TEST_SEED={seed} {generated:#?}");
        let strict = [("PKGS_ZERO_MAJOR", "strict"), ("PKGS_MODE", "diff")];
        assert_eq!(
            planned(&monorepo, generated.versions.len(), &strict),
            expected(&generated, CHANGESETS.ours),
            "{shown}"
        );
        changesets(&monorepo);
        assert_eq!(
            versions(&monorepo, generated.versions.len()),
            expected(&generated, CHANGESETS.rules),
            "changesets, {shown}"
        );
    }
}

const PNPM: Tool = Tool {
    forms: &[3, 4, 7, 8],
    groups: [true, false],
    ..CHANGESETS
};

#[test]
fn pnpm_computes_the_same_versions() {
    for seed in random::seeds(6) {
        let generated = generated(&PNPM, &mut Random::of(seed));
        let fixed: Value = groups(&generated, true).into();
        let workspace = format!("packages: [packages/*]\nversioning: {{fixed: {fixed}}}\n");
        let config = json!({"mode": "diff", "fixed": fixed, "zeroMajor": "strict"});
        let files = [
            ("package.json", ROOT.to_owned()),
            ("pnpm-workspace.yaml", workspace),
            ("pkgs.json", config.to_string()),
        ];
        let files = files.each_ref().map(|(path, text)| (*path, text.as_str()));
        let monorepo = changed(released(&generated, &files), &generated);
        let monorepo = with_intents(monorepo, &generated);
        let shown = format!("PKGS_TEST_SEED={seed} {generated:#?}");
        assert_eq!(
            planned(&monorepo, generated.versions.len(), &[]),
            expected(&generated, PNPM.ours),
            "{shown}"
        );
        let ended = pnpm(&monorepo, generated.versions.len());
        assert!(ended.status.success(), "{ended:?}, {shown}");
        assert_eq!(
            versions(&monorepo, generated.versions.len()),
            expected(&generated, PNPM.rules),
            "pnpm, {shown}"
        );
        for ((from, to, field), form) in &generated.edges {
            let manifest = monorepo.json(&format!("packages/{}/package.json", name(*from)));
            let said = &manifest[FIELDS[*field]][name(*to)];
            assert_eq!(
                *said,
                range(*form, generated.versions[*to]),
                "pnpm, {shown}"
            );
        }
    }
}

/// What a tool makes of a repository, beside what we do.
struct Difference {
    /// The first cells of its row in `docs/coming-from.md`.
    tool: &'static str,
    what: &'static str,
    repository: fn() -> Monorepo,
    run: fn(&Monorepo),
    /// The versions of the packages.
    theirs: &'static [&'static str],
    ours: &'static [&'static str],
}

/// Two packages of lerna, the second one depending on the first.
fn for_lerna(version: &str, (field, range): (&str, &str)) -> Monorepo {
    let monorepo = Monorepo::new()
        .package("p0", version)
        .package("p1", "1.0.0")
        .depends_in(field, "p1", "p0", range);
    std::fs::remove_file(monorepo.path().join("pkgs.json")).expect("there is one");
    let config = json!({"version": "independent", "npmClient": "npm"});
    monorepo.file("lerna.json", &config.to_string()).released()
}

fn on_first(monorepo: Monorepo, message: &str) -> Monorepo {
    monorepo.commit(message, &[("packages/p0/it.js", "1\n")])
}

/// Two packages of pnpm, the second one depending on the first; an intent for the first one.
fn with_intent(version: &str, range: &str, bump: &str) -> Monorepo {
    let config =
        json!({"changelog": false, "commit": false, "access": "public", "baseBranch": "main"});
    let intent = format!("---\n\"p0\": {bump}\n---\n\nit\n");
    let monorepo = Monorepo::new()
        .file("package.json", ROOT)
        .file("pnpm-workspace.yaml", "packages: [packages/*]\n")
        .file(".changeset/config.json", &config.to_string())
        .config(&json!({"mode": "diff"}))
        .package("p0", version)
        .package("p1", "1.0.0")
        .depends("p1", "p0", range)
        .released()
        .file(".changeset/it.md", &intent);
    let message = match bump {
        "major" => "feat!: it",
        _ => "feat: it",
    };
    on_first(monorepo, message)
}

const DIFFERENCES: &[Difference] = &[
    Difference {
        tool: "lerna",
        what: "a dependent whose range still holds",
        repository: || on_first(for_lerna("1.0.0", ("dependencies", "^1.0.0")), "fix: it"),
        run: |monorepo| lerna(monorepo, &[]),
        theirs: &["1.0.1", "1.0.1"],
        ours: &["1.0.1", "1.0.0"],
    },
    Difference {
        tool: "lerna",
        what: "a dependent for development only",
        repository: || on_first(for_lerna("1.0.0", ("devDependencies", "1.0.0")), "fix: it"),
        run: |monorepo| lerna(monorepo, &[]),
        theirs: &["1.0.1", "1.0.1"],
        ours: &["1.0.1", "1.0.0"],
    },
    Difference {
        tool: "lerna",
        what: "a dependent whose peer leaves its range",
        repository: || {
            on_first(
                for_lerna("1.0.0", ("peerDependencies", "~1.0.0")),
                "feat: it",
            )
        },
        run: |monorepo| lerna(monorepo, &[]),
        theirs: &["1.1.0", "1.0.0"],
        ours: &["1.1.0", "1.0.1"],
    },
    Difference {
        tool: "lerna",
        what: "`feat!:` without a footer",
        repository: || on_first(for_lerna("1.0.0", ("devDependencies", "*")), "feat!: it"),
        run: |monorepo| lerna(monorepo, &[]),
        theirs: &["1.0.1", "1.0.1"],
        ours: &["2.0.0", "1.0.0"],
    },
    Difference {
        tool: "lerna",
        what: "`docs:`, `test:`, `ci:`, `style:`",
        repository: || on_first(for_lerna("1.0.0", ("peerDependencies", "*")), "docs: it"),
        run: |monorepo| lerna(monorepo, &[]),
        theirs: &["1.0.1", "1.0.0"],
        ours: &["1.0.0", "1.0.0"],
    },
    Difference {
        tool: "lerna",
        what: "`feat:` below 1.0.0",
        repository: || on_first(for_lerna("0.2.0", ("peerDependencies", "*")), "feat: it"),
        run: |monorepo| lerna(monorepo, &[]),
        theirs: &["0.3.0", "1.0.0"],
        ours: &["0.2.1", "1.0.0"],
    },
    Difference {
        tool: "lerna",
        what: "a commit that a later commit reverts",
        repository: || {
            let monorepo = on_first(for_lerna("1.0.0", ("peerDependencies", "*")), "fix: it");
            let undo = format!(
                "Revert \"fix: it\"\n\nThis reverts commit {}.",
                monorepo.head()
            );
            std::fs::remove_file(monorepo.path().join("packages/p0/it.js")).expect("it is there");
            monorepo
                .commit(&undo, &[])
                .commit("docs: it", &[("packages/p0/README.md", "1\n")])
        },
        run: |monorepo| lerna(monorepo, &[]),
        theirs: &["1.0.1", "1.0.0"],
        ours: &["1.0.0", "1.0.0"],
    },
    Difference {
        tool: "lerna",
        what: "a change before another package's release",
        repository: || {
            let monorepo = on_first(for_lerna("1.0.0", ("peerDependencies", "*")), "fix: it");
            let manifest = monorepo
                .read("packages/p1/package.json")
                .replace("1.0.0", "1.0.1");
            let written = [("packages/p1/package.json", manifest.as_str())];
            monorepo.commit("chore: release", &written).tag("p1@1.0.1")
        },
        run: |monorepo| {
            // It finds nothing to release, and says so.
            let mut command = script(monorepo, "lerna/dist/cli.js");
            let changed = command.arg("changed").output().expect("it runs");
            assert_eq!(changed.status.code(), Some(1), "{changed:?}");
        },
        theirs: &["1.0.0", "1.0.1"],
        ours: &["1.0.1", "1.0.1"],
    },
    Difference {
        tool: "lerna",
        what: "one version for all, where one package changed",
        repository: || {
            let monorepo = for_lerna("1.0.0", ("peerDependencies", "*"));
            let config = [(
                "lerna.json",
                "{\"version\": \"1.0.0\", \"npmClient\": \"npm\"}\n",
            )];
            on_first(
                monorepo.commit("chore: one version", &config).tag("v1.0.0"),
                "fix: it",
            )
        },
        run: |monorepo| lerna(monorepo, &[]),
        theirs: &["1.0.1", "1.0.0"],
        ours: &["1.0.1", "1.0.1"],
    },
    Difference {
        tool: "changesets",
        what: "a package that was never released",
        repository: || {
            let monorepo = with_intent("1.0.0", "^1.0.0", "minor");
            monorepo.git(&["tag", "--delete", "p0@1.0.0"]);
            monorepo
        },
        run: changesets,
        theirs: &["1.1.0", "1.0.0"],
        ours: &["1.0.0", "1.0.0"],
    },
    Difference {
        tool: "changesets",
        what: "a breaking change below 1.0.0",
        repository: || with_intent("0.2.0", "*", "major"),
        run: changesets,
        theirs: &["1.0.0", "1.0.0"],
        ours: &["0.3.0", "1.0.0"],
    },
    Difference {
        tool: "pnpm",
        what: "a change without an intent",
        repository: || {
            let monorepo = with_intent("1.0.0", "workspace:^1.0.0", "minor");
            let directory = monorepo.path().join(".changeset");
            std::fs::remove_file(directory.join("config.json")).expect("it is there");
            let other = [(".changeset/it.md", "---\n\"p1\": patch\n---\n\nit\n")];
            monorepo.commit("chore: say something else", &other)
        },
        run: |monorepo| assert!(pnpm(monorepo, 2).status.success()),
        theirs: &["1.0.0", "1.0.1"],
        ours: &["1.1.0", "1.0.1"],
    },
    Difference {
        tool: "pnpm",
        what: "a breaking change below 1.0.0",
        repository: || with_intent("0.2.0", "workspace:>=0.2.0", "major"),
        run: |monorepo| assert!(pnpm(monorepo, 2).status.success()),
        theirs: &["1.0.0", "1.0.0"],
        ours: &["0.3.0", "1.0.0"],
    },
    Difference {
        tool: "pnpm",
        what: "a dependent whose range has no `workspace:`",
        repository: || with_intent("1.0.0", "~1.0.0", "minor"),
        run: |monorepo| {
            let said = String::from_utf8_lossy(&pnpm(monorepo, 2).stderr).into_owned();
            assert!(
                said.contains("ERR_PNPM_VERSIONING_INTERNAL_RANGE"),
                "{said}"
            );
        },
        theirs: &["1.0.0", "1.0.0"],
        ours: &["1.1.0", "1.0.1"],
    },
];

#[test]
fn each_difference_is_as_the_page_says() {
    let wrong: Vec<String> = DIFFERENCES
        .iter()
        .filter_map(|difference| {
            let monorepo = (difference.repository)();
            let ours = planned(&monorepo, 2, &[]);
            (difference.run)(&monorepo);
            let found = [ours, versions(&monorepo, 2)];
            let expected = [difference.ours, difference.theirs];
            let same = found
                .iter()
                .zip(expected)
                .all(|(found, expected)| found.values().eq(expected));
            (!same).then(|| format!("{}: {}: {found:?}", difference.tool, difference.what))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The forms of ranges that the page shows.
const SHOWN: [usize; 8] = [0, 1, 2, 5, 6, 9, 10, 11];

/// What each says after a release in which all packages have a change, and the first goes from 1.0.0 to 1.1.0.
#[test]
fn ranges_are_written_as_the_page_says() {
    let dependents = SHOWN.iter().enumerate();
    let generated = Generated {
        versions: vec![(1, 0, 0); SHOWN.len() + 1],
        edges: dependents
            .map(|(at, form)| ((at + 1, 0, 0), *form))
            .collect(),
        groups: Vec::new(),
        changes: std::iter::once(2).chain(SHOWN.map(|_| 1)).collect(),
        bundles: vec![NOTHING; SHOWN.len() + 1],
        order: (0..=SHOWN.len()).collect(),
        rules: OURS,
    };
    let written = |monorepo: &Monorepo| -> Vec<String> {
        let of = |index: usize| monorepo.json(&format!("packages/{}/package.json", name(index)));
        (1..=SHOWN.len()).map(|index| said(&of(index))).collect()
    };
    let config = json!({"version": "independent", "npmClient": "npm"}).to_string();
    let by_lerna = changed(released(&generated, &[("lerna.json", &config)]), &generated);
    lerna(&by_lerna, &[]);
    let config =
        json!({"changelog": false, "commit": false, "access": "public", "baseBranch": "main"});
    let files = [(".changeset/config.json", &*config.to_string())];
    let by_changesets = with_intents(released(&generated, &files), &generated);
    changesets(&by_changesets);
    let (_, ours) = plan_laws::planned(&generated);
    let cell = |text: &str| format!("`{}`", text.replace('|', "\\|"));
    let rows = written(&by_lerna).into_iter().zip(written(&by_changesets));
    let rows = SHOWN.iter().zip(rows).enumerate();
    let rows = rows.map(|(at, (form, (lerna, changesets)))| {
        let before = range(*form, (1, 0, 0));
        let ours = said(&ours[&name(at + 1)]);
        let cells = [before, lerna, changesets, ours].map(|text| cell(&text));
        format!("| {} |", cells.join(" | "))
    });
    let page = page();
    let missing: Vec<String> = rows.filter(|row| !page.contains(row.as_str())).collect();
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

/// What a manifest declares of the first package.
fn said(manifest: &Value) -> String {
    let range = manifest["dependencies"][name(0)].as_str();
    range.expect("a range").to_owned()
}

fn page() -> String {
    let page = servers::repository().join("docs/coming-from.md");
    std::fs::read_to_string(page).expect("the page")
}

#[test]
fn the_page_lists_every_difference() {
    let page = page();
    let mut rows: Vec<(&str, &str)> = Vec::new();
    for section in page.split("\n## ").skip(1) {
        let tool = section.lines().next().unwrap_or_default();
        let table = section.lines().filter(|line| line.starts_with("| "));
        let cells = table.map(|line| line.split(" | ").next().unwrap_or_default());
        rows.extend(cells.map(|cell| (tool, cell.trim_start_matches("| "))));
    }
    rows.retain(|(tool, cell)| *tool != "Ranges" && !["what", "---"].contains(cell));
    let tested: Vec<(&str, &str)> = DIFFERENCES
        .iter()
        .map(|difference| (difference.tool, difference.what))
        .collect();
    assert_eq!(rows, tested);
}
