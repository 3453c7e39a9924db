//! `fixed`, `linked`, `max-bump`: packages that share a version, and how far a version may grow.

use serde_json::{Value, json};

use crate::support::monorepo::Monorepo;
use crate::support::plans::{plan, run};

/// `name from -> to` and the kinds of its reasons, for each package.
fn lines(plan: &Value) -> Vec<String> {
    let list = plan["packages"].as_array().expect("a list");
    list.iter()
        .map(|package| {
            let kinds: Vec<&str> = package["reasons"]
                .as_array()
                .expect("a list")
                .iter()
                .map(|reason| reason["group"].as_str().or(reason["kind"].as_str()))
                .map(|kind| kind.expect("a kind"))
                .collect();
            let [name, from, to] =
                ["name", "from", "to"].map(|field| package[field].as_str().expect("text"));
            format!("{name} {from} -> {to}: {}", kinds.join(", "))
        })
        .collect()
}

fn three() -> Monorepo {
    Monorepo::new()
        .package("a", "1.0.0")
        .package("b", "1.2.0")
        .package("c", "0.3.0")
        .released()
        .commit("feat(a): x", &[("packages/a/a.js", "1\n")])
}

fn check(title: &str, monorepo: &Monorepo, arguments: &[&str], expected: &[&str]) {
    let plan = plan(monorepo, arguments);
    assert_eq!(lines(&plan), expected, "{title}: {plan:#}");
}

#[test]
fn a_fixed_group_is_released_whole_at_one_version() {
    let monorepo = three();
    let whole = ["a 1.0.0 -> 1.3.0: commit, fixed", "b 1.2.0 -> 1.3.0: fixed"];
    check("by name", &monorepo, &["--fixed=a b"], &whole);
    check(
        "by glob, one out",
        &monorepo,
        &["--fixed=packages/* !c"],
        &whole,
    );
    check(
        "a linked one only as far as it grows",
        &monorepo,
        &["--linked=a, b"],
        &["a 1.0.0 -> 1.3.0: commit, linked"],
    );
    let both = monorepo.commit("fix(b): y", &[("packages/b/b.js", "1\n")]);
    check(
        "the highest bump over the highest version",
        &both,
        &["--linked=a b c"],
        &[
            "a 1.0.0 -> 1.3.0: commit, linked",
            "b 1.2.0 -> 1.3.0: commit, linked",
        ],
    );
    let new = both.package("d", "0.1.0").commit("feat: d", &[]);
    check(
        "a new package joins",
        &new,
        &["--fixed=b d"],
        &[
            "a 1.0.0 -> 1.1.0: commit",
            "b 1.2.0 -> 1.2.1: commit",
            "d 0.1.0 -> 1.2.1: first, fixed",
        ],
    );
    let forced = three();
    let refused = run(&forced, &["plan", "--fixed=a b", "--bump=1.1.0"]).expect(3);
    assert!(
        refused.stderr.contains("error[plan::bump]"),
        "{}",
        refused.stderr
    );
}

#[test]
fn a_group_takes_its_dependents_with_it_and_says_so() {
    let monorepo = Monorepo::new()
        .package("a", "1.0.0")
        .package("b", "1.0.0")
        .package("c", "1.0.0")
        .depends("c", "b", "~1.0.0")
        .released()
        .config(&json!({"fixed": [["a", "b"]]}))
        .commit("feat(a): x", &[("packages/a/a.js", "1\n")]);
    let found = plan(&monorepo, &[]);
    assert_eq!(
        lines(&found),
        [
            "a 1.0.0 -> 1.1.0: commit",
            "b 1.0.0 -> 1.1.0: fixed",
            "c 1.0.0 -> 1.0.1: dependency"
        ],
        "{found:#}"
    );
    assert_eq!(
        [&found["mode"], &found["modeReason"]],
        ["diff", "there are groups of packages"]
    );
    assert_eq!(
        found["packages"][1]["reasons"],
        json!([{"kind": "group", "group": "fixed", "with": ["a"]}])
    );
    // `why` goes the whole way: c, which depends on b, which is fixed to a, of which a file changed.
    let why = run(&monorepo, &["why", "c", "--format=json"])
        .expect(0)
        .json();
    let chain: Vec<&str> = why["chain"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|link| link["name"].as_str())
        .collect();
    assert_eq!(chain, ["c", "b", "a"], "{why:#}");
    let said = run(&monorepo, &["why", "b"]).expect(0).stdout;
    for line in [
        "the packages of its group share one version, which grows as far as one of them must: minor\n",
        "fixed to one version with a\n",
        "    packages/a/a.js\n",
    ] {
        assert!(said.contains(line), "{line}\n{said}");
    }
    // It is released like that, and afterwards nothing is left to do.
    let monorepo = monorepo.origin();
    let _ = run(&monorepo, &["release"]).expect(0);
    monorepo.git(&["pull", "--quiet", "--ff-only", "origin", "main"]);
    assert_eq!(monorepo.json("packages/b/package.json")["version"], "1.1.0");
    assert_eq!(
        monorepo.json("packages/c/package.json")["dependencies"]["b"],
        "~1.1.0"
    );
    assert!(monorepo.tags().contains(&"b@1.1.0".to_owned()));
    assert_eq!(plan(&monorepo, &[])["packages"], json!([]));
}

#[test]
fn a_group_that_cannot_be_meant_is_refused() {
    let monorepo = three()
        .package("cor", "1.0.0")
        .package("@acme/text", "1.0.0")
        .commit("chore: x", &[]);
    for (arguments, code, said) in [
        (
            &["--fixed=a bb"][..],
            "plan::group",
            "fixed \"bb\" names no package",
        ),
        (&["--linked=a ["], "plan::group", "is not a glob"),
        (
            &["--fixed=* !cc"],
            "plan::group",
            "fixed \"!cc\" names no package",
        ),
        (
            &["--filter=!packages/typo"],
            "plan::filter",
            "filter \"!packages/typo\" names no package",
        ),
        (
            &["--filter=!core"],
            "plan::filter",
            "hint: did you mean !cor?",
        ),
        (
            &["--filter=text"],
            "plan::filter",
            "hint: did you mean @acme/text?",
        ),
        (
            &["--fixed=a b", "--linked=b c"],
            "plan::group",
            "b is in two groups",
        ),
        (
            &["--fixed=a b", "--filter=a"],
            "plan::filter",
            "filter takes in a and leaves out b",
        ),
        (
            &["--linked=a b", "--mode=sync"],
            "plan::group",
            "linked cannot make groups in sync mode",
        ),
    ] {
        let refused = run(&monorepo, &[&["plan"], arguments].concat())
            .expect(2)
            .stderr;
        assert!(
            refused.contains(&format!("error[{code}]")) && refused.contains(said),
            "{refused}"
        );
    }
    for wrong in [
        json!("a b"),
        json!(["a", "b"]),
        json!([["a b"]]),
        json!([[1]]),
    ] {
        let monorepo = three().config(&json!({"fixed": wrong}));
        let refused = run(&monorepo, &["plan"]).expect(2).stderr;
        assert!(refused.contains("error[settings::type]"), "{refused}");
    }
}

#[test]
fn a_filter_that_keeps_out_all_that_changed_says_so() {
    let monorepo = three();
    for (filter, left) in [("!*", true), ("b", true), ("!b", false)] {
        let filter = format!("--filter={filter}");
        let found = plan(&monorepo, &[&filter, "--bump=minor"]);
        let expected = json!([{
            "code": "plan::filtered",
            "message": "filter keeps out every package that changed: a",
        }]);
        let nothing = json!([]);
        let warnings = if left { &expected } else { &nothing };
        assert_eq!(found["warnings"], *warnings, "{filter}");
        let said = run(&monorepo, &["plan", &filter]).expect(0).stdout;
        let line = "nothing to release: no package that changed is let through\n";
        assert_eq!(said.contains(line), left, "{said}");
    }
    let released = run(&monorepo, &["plan", "--filter=b", "--base=HEAD"]).expect(0);
    assert!(
        released.stdout.contains("nothing counts since"),
        "{}",
        released.stdout
    );
}

#[test]
fn no_version_grows_further_than_max_bump() {
    let monorepo = three();
    check(
        "not too far",
        &monorepo,
        &["--max-bump=minor"],
        &["a 1.0.0 -> 1.1.0: commit"],
    );
    let refused = run(&monorepo, &["plan", "--max-bump=patch"]).expect(3);
    assert!(
        refused.stderr.contains(
            "error[plan::max_bump]: a would go from 1.0.0 to 1.1.0, but max-bump is patch"
        ),
        "{}",
        refused.stderr
    );
    // What counts is how far the versions are apart: here the group carries c over 1.0.0.
    let refused = run(&monorepo, &["plan", "--fixed=a c", "--max-bump=minor"]).expect(3);
    assert!(
        refused.stderr.contains("c would go from 0.3.0 to 1.1.0"),
        "{}",
        refused.stderr
    );
    // The error says to ask why, and there it is told.
    let why = run(&monorepo, &["why", "a", "--max-bump=patch"])
        .expect(0)
        .stdout;
    for line in [
        "a 1.0.0 → 1.1.0 (minor)",
        "feat(a): x",
        "warning[plan::max_bump]: a would go from 1.0.0 to 1.1.0, but max-bump is patch",
    ] {
        assert!(why.contains(line), "{line}\n{why}");
    }
    let sync = ["plan", "--mode=sync", "--max-bump=patch"];
    let refused = run(&monorepo, &sync).expect(3).stderr;
    assert!(refused.contains("error[plan::max_bump]"), "{refused}");
}
