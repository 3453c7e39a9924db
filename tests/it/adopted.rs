//! What `.changeset/config.json` and `lerna.json` say already.

use serde_json::{Value, json};

use crate::support::monorepo::Monorepo;
use crate::support::sandbox::Run;

/// Packages that hold one version, without a configuration of ours.
fn repository() -> Monorepo {
    let monorepo = Monorepo::new()
        .package("a", "1.0.0")
        .package("b", "1.0.0")
        .package("c", "1.0.0");
    std::fs::remove_file(monorepo.path().join("pkgs.json")).expect("there is one");
    monorepo.released()
}

fn changed(monorepo: Monorepo) -> Monorepo {
    monorepo.commit(
        "feat: x",
        &[("packages/a/a.js", "1\n"), ("packages/c/c.js", "1\n")],
    )
}

fn run(monorepo: &Monorepo, arguments: &[&str]) -> Run {
    monorepo
        .binary(&[&["plan"], arguments].concat())
        .env("PKGS_REGISTRY", "https://127.0.0.1:9/")
        .run()
}

fn plan(monorepo: &Monorepo, arguments: &[&str]) -> Value {
    run(monorepo, &[&["--format=json"], arguments].concat())
        .expect(0)
        .json()
}

fn versions(plan: &Value) -> Vec<String> {
    let list = plan["packages"].as_array().expect("a list");
    list.iter()
        .map(|package| {
            let [name, to] = ["name", "to"].map(|field| package[field].as_str().expect("text"));
            format!("{name} {to}")
        })
        .collect()
}

#[test]
fn changesets_decides_mode_groups_packages_left_out_branch_and_access() {
    let config = json!({
        "$schema": "https://example.org/schema.json", "changelog": false, "commit": false, "updateInternalDependencies": "patch",
        "fixed": [["a", "b"]], "linked": [], "ignore": ["c"], "baseBranch": "trunk", "access": "restricted",
    });
    let monorepo = changed(
        repository()
            .file(
                "packages/a/package.json",
                "{\"name\":\"a\",\"version\":\"1.0.0\",\"publishConfig\":{\"access\":\"public\"}}\n",
            )
            .file(".changeset/config.json", &config.to_string()),
    );
    let found = plan(&monorepo, &[]);
    assert_eq!(versions(&found), ["a 1.1.0", "b 1.1.0"], "{found:#}");
    assert_eq!(
        [&found["mode"], &found["modeReason"]],
        ["diff", "as .changeset/config.json says"]
    );
    let file = ".changeset/config.json";
    let adopted: Vec<Value> = ["access", "branch", "filter", "fixed", "mode"]
        .map(|setting| json!({"setting": setting, "file": file}))
        .to_vec();
    assert_eq!(found["adopted"], json!(adopted));
    let said = run(&monorepo, &[]).expect(0).stdout;
    let line = "from .changeset/config.json: access, branch, filter, fixed, mode\n";
    assert!(said.contains(line), "{said}");
    // What a package declares itself counts more, what we are told most.
    let access = |arguments: &[&str]| -> Vec<Value> {
        let found = plan(&monorepo, arguments);
        let list = found["packages"].as_array().expect("a list").iter();
        list.map(|package| package["access"].clone()).collect()
    };
    assert_eq!(access(&["--access=public"]), ["public", "public"]);
    // npm refuses to restrict a name without a scope.
    assert_eq!(access(&[]), [json!("public"), Value::Null]);
    let scoped = Monorepo::new()
        .file(
            "packages/s/package.json",
            "{\"name\":\"@acme/s\",\"version\":\"1.0.0\"}\n",
        )
        .file(".changeset/config.json", "{\"access\":\"restricted\"}")
        .commit("feat: begin", &[]);
    assert_eq!(plan(&scoped, &[])["packages"][0]["access"], "restricted");
    // Releases are made from its base branch; ours wins.
    let off = monorepo
        .binary(&["release", "--store=none"])
        .env(
            "PKGS_REGISTRY",
            format!("file://{}", monorepo.sandbox().path().display()),
        )
        .run()
        .expect(3);
    let refused = off.stderr.contains("error[release::wrong_branch]");
    assert!(refused && off.stderr.contains("trunk"), "{}", off.stderr);
    let own = monorepo.file("pkgs.json", "{\"fixed\":[],\"filter\":[\"c\"]}");
    let found = plan(&own, &[]);
    assert_eq!(versions(&found), ["c 1.1.0"], "{found:#}");
}

#[test]
fn lerna_decides_the_mode() {
    for (version, mode, expected) in [
        ("independent", "diff", &["a 1.1.0", "c 1.1.0"][..]),
        ("1.0.0", "sync", &["a 1.1.0", "b 1.1.0", "c 1.1.0"]),
    ] {
        let config = json!({"version": version, "npmClient": "npm"});
        let monorepo = changed(repository().file("lerna.json", &config.to_string()));
        let found = plan(&monorepo, &[]);
        assert_eq!(versions(&found), expected, "{found:#}");
        assert_eq!(
            [&found["mode"], &found["modeReason"]],
            [mode, "as lerna.json says"]
        );
        let said = plan(&monorepo, &["--mode=diff"]);
        assert_eq!(said["modeReason"], "as it is set");
        assert!(said["adopted"].is_null(), "{said:#}");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_refused_and_opts_in_to_nothing() {
    let monorepo = changed(repository());
    for (text, code) in [
        ("{", "settings::json"),
        ("[]", "settings::config"),
        ("{\"fixed\":[\"a\"]}", "settings::type"),
        ("{\"access\":\"everybody\"}", "settings::choice"),
    ] {
        let monorepo = changed(repository().file(".changeset/config.json", text));
        let refused = run(&monorepo, &[]).expect(2).stderr;
        assert!(
            refused.contains(&format!("error[{code}]"))
                && refused.contains(".changeset/config.json"),
            "{refused}"
        );
    }
    let monorepo = monorepo.file("lerna.json", "{\"version\":\"independent\"}");
    let unnamed = monorepo
        .binary(&[])
        .env("PKGS_REGISTRY", "https://127.0.0.1:9/")
        .run()
        .expect(0)
        .stdout;
    assert!(
        unnamed.contains("the repository has no pkgs.json"),
        "{unnamed}"
    );
}
