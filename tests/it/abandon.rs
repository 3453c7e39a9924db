//! `abandon`: a decided release that cannot be finished is given up, and the next one contains all its packages.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::support::monorepo::Monorepo;
use crate::support::sandbox::{Invocation, Run};
use crate::support::world::World;

/// A release of `a` 2.0.0 and `b` 1.0.1 that was decided and not finished: the registry holds another `a` 2.0.0.
struct Unfinished {
    world: World,
    store: &'static str,
}

impl Unfinished {
    fn new(with_store: bool) -> Unfinished {
        let monorepo = Monorepo::new()
            .package("a", "1.0.0")
            .package("b", "1.0.0")
            .depends("b", "a", "^1.0.0")
            .commit("feat: begin", &[]);
        let world = World::local(monorepo);
        let store = if with_store { "" } else { "none" };
        let unfinished = Unfinished { world, store };
        let _ = unfinished.of_all(&["release"]).run().expect(0);
        let Unfinished { world, store } = unfinished;
        let world = world.develop("feat!: a", &[("packages/a/src/index.js", "1\n")]);
        let unfinished = Unfinished { world, store };
        let _ = unfinished.of_all(&["release"]).run().expect(0);
        unfinished.world.follow();
        // Somebody else's package of that name.
        let other = Monorepo::new()
            .package("a", "2.0.0")
            .commit("feat: begin", &[])
            .origin();
        fs::create_dir(unfinished.registry()).expect("a directory");
        let release = ["release", "--store=none", "--install=none"];
        let release = other
            .binary(&release)
            .env("PKGS_REGISTRY", unfinished.registry_url());
        let _ = release.run().expect(0);
        unfinished.forget();
        unfinished
    }

    fn registry(&self) -> PathBuf {
        self.world.outside.path().join("npm-of-another")
    }

    fn registry_url(&self) -> String {
        format!("file://{}", self.registry().display())
    }

    /// A run with the registry on which everything was published.
    fn of_all(&self, arguments: &[&str]) -> Invocation {
        let run = self.world.binary(arguments).env("PKGS_INSTALL", "none");
        if self.store.is_empty() {
            run
        } else {
            run.env("PKGS_STORE", self.store)
        }
    }

    fn run(&self, arguments: &[&str]) -> Run {
        self.of_all(arguments)
            .env("PKGS_REGISTRY", self.registry_url())
            .run()
    }

    fn json(&self, arguments: &[&str]) -> Value {
        self.run(&[arguments, &["--format=json"]].concat())
            .expect(0)
            .json()
    }

    fn id(&self) -> String {
        let day =
            self.world
                .monorepo
                .git(&["log", "-1", "--format=%cd", "--date=format-local:%Y%m%d"]);
        format!("{day}-{}", &self.world.monorepo.head()[..12])
    }

    fn manifest(&self) -> PathBuf {
        let name = format!("store/v1/releases/{}.json", self.id());
        self.world.outside.path().join(name)
    }

    /// The release is as it was before it was recorded.
    fn forget(&self) {
        if self.store.is_empty() {
            fs::remove_file(self.manifest()).expect("the release was recorded");
        }
    }

    /// `name from -> to: kinds of reasons` of each planned package.
    fn plan(&self) -> Vec<String> {
        let plan = self.json(&["plan"]);
        let packages = plan["packages"].as_array().expect("a list").iter();
        let text = |value: &Value, field: &str| value[field].as_str().expect("text").to_owned();
        packages
            .map(|package| {
                let reasons = package["reasons"].as_array().expect("a list").iter();
                let kinds: Vec<String> = reasons.map(|reason| text(reason, "kind")).collect();
                let [name, from, to] = ["name", "from", "to"].map(|field| text(package, field));
                format!("{name} {from} -> {to}: {}", kinds.join(", "))
            })
            .collect()
    }

    fn marks(&self) -> Vec<String> {
        let marks = self.world.origin_git(&["tag", "--list", "pkgs/*"]);
        marks.lines().map(str::to_owned).collect()
    }
}

const HIGHER: [&str; 2] = [
    "a 2.0.0 -> 3.0.0: abandoned, commit",
    "b 1.0.1 -> 1.0.2: abandoned, dependency",
];

fn given_up_and_released_again(with_store: bool) {
    let stage = Unfinished::new(with_store);
    let stuck = stage.run(&["release"]).expect(6).stderr;
    assert!(
        stuck.contains("error[publish::other_bytes]") && stuck.contains("`abandon`"),
        "{stuck}"
    );
    let would = stage.run(&["abandon", "--dry-run"]).expect(0).stdout;
    assert!(
        would.contains("dry run") && stage.marks().is_empty(),
        "{would}"
    );
    let asked = [
        "abandon",
        "--to=2.0.0",
        "--reason",
        "npm holds another 2.0.0",
    ];
    let done = stage.json(&asked);
    assert_eq!(
        [&done["schema"], &done["id"]],
        ["pkgs.abandoned/1", &stage.id()]
    );
    assert_eq!(done["already"], false);
    assert_eq!(done["tags"], serde_json::json!(["a@2.0.0", "b@1.0.1"]));
    assert_eq!(stage.marks(), [format!("pkgs/abandoned/{}", stage.id())]);
    if with_store {
        let text = fs::read_to_string(stage.manifest()).expect("a manifest");
        let manifest: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(
            [&manifest["status"], &manifest["reason"]],
            ["abandoned", "npm holds another 2.0.0"]
        );
    }
    // Again it is found given up, by whatever name, and its tags stay.
    for to in [&stage.id(), "a@2.0.0", "v1.0.1"] {
        assert_eq!(
            stage.json(&["abandon", "--to", to])["already"],
            true,
            "{to}"
        );
    }
    // Its tags are no base: from the release before, both packages are released again, higher.
    assert_eq!(stage.plan(), HIGHER);
    let why = stage.run(&["why", "b"]).expect(0).stdout;
    assert!(why.contains("the release of b@1.0.1 was given up"), "{why}");
    let released = stage.json(&["release"]);
    assert_eq!(released["outcome"], "released", "{released:#}");
    let tags = stage.world.origin_git(&["tag", "--list"]);
    for tag in ["a@2.0.0", "a@3.0.0", "b@1.0.1", "b@1.0.2"] {
        assert!(tags.lines().any(|line| line == tag), "{tags}");
    }
    stage.world.follow();
    assert!(stage.plan().is_empty());
    let complete = stage.run(&["abandon"]).expect(3).stderr;
    assert!(complete.contains("error[abandon::complete]"), "{complete}");
}

#[test]
fn a_release_with_a_store_is_given_up_and_its_packages_are_released_again() {
    given_up_and_released_again(true);
}

#[test]
fn a_release_without_a_store_is_given_up_and_its_packages_are_released_again() {
    given_up_and_released_again(false);
}

#[test]
fn what_is_complete_or_unknown_is_not_given_up() {
    let stage = Unfinished::new(false);
    for (arguments, exit, code) in [
        (&["abandon"][..], 3, "abandon::complete"),
        (&["abandon", "--to=9.9.9"], 2, "abandon::unknown"),
        (&["abandon", "--to=1.0.0"], 3, "abandon::complete"),
    ] {
        let refused = stage.of_all(arguments).run().expect(exit).stderr;
        assert!(refused.contains(&format!("error[{code}]")), "{refused}");
    }
    assert!(stage.marks().is_empty());
}

/// Killed between the manifest and the tag: the next run pushes it before it plans.
#[test]
fn what_was_interrupted_before_git_knew_is_ended_by_the_next_run() {
    let stage = Unfinished::new(true);
    let _ = stage.json(&["abandon"]);
    let mark = stage.marks().pop().expect("a tag");
    stage.world.origin_git(&["tag", "--delete", &mark]);
    stage.world.monorepo.git(&["tag", "--delete", &mark]);
    let released = stage.json(&["release"]);
    let tags = released["release"]["tags"].to_string();
    assert!(tags.contains("a@3.0.0"), "{released:#}");
    assert_eq!(stage.marks(), [mark]);
}

/// Beside a run that finishes the release, either that is complete or it is given up, and both runs know.
#[test]
fn a_run_that_finishes_and_one_that_gives_up_agree() {
    let stage = Unfinished::new(true);
    let manifest = stage.manifest();
    let clone = stage.world.monorepo.clone_fresh(None);
    let finishes = stage.of_all(&["release"]).start();
    let gives_up = stage.world.binary_in(&clone, &["abandon"]).start();
    let (finishes, gives_up) = (finishes.wait(), gives_up.wait());
    let text = fs::read_to_string(manifest).expect("a manifest");
    let said = format!("{}\n{}", finishes.stderr, gives_up.stderr);
    if text.contains("\"complete\"") {
        assert_eq!((finishes.code, gives_up.code), (0, 3), "{said}");
        assert!(
            said.contains("abandon::complete") && stage.marks().is_empty(),
            "{said}"
        );
    } else {
        assert_eq!(gives_up.code, 0, "{said}");
        // It came too late, or it released what is higher.
        assert!(
            finishes.code == 0 || said.contains("record::given_up"),
            "{said}"
        );
        assert_eq!(stage.marks().len(), 1);
    }
}
