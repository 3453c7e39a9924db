//! `tag`: the tags of what another tool released, so that the first plan here is right.

use serde_json::{Value, json};

use crate::support::monorepo::Monorepo;
use crate::support::sandbox::Run;
use crate::support::static_server::StaticServer;

const NO_REGISTRY: &str = "https://127.0.0.1:9/";

/// Three packages that another tool released, and a tag that it left at none of them.
fn from_elsewhere() -> Monorepo {
    Monorepo::new()
        .package("@acme/a", "1.4.0")
        .package("b", "2.0.0")
        .service("web", "3.1.0")
        .commit("feat: begin", &[])
}

fn run(monorepo: &Monorepo, registry: &str, arguments: &[&str]) -> Run {
    monorepo
        .binary(arguments)
        .env("PKGS_REGISTRY", registry)
        .run()
}

fn json(monorepo: &Monorepo, registry: &str, arguments: &[&str]) -> Value {
    run(
        monorepo,
        registry,
        &[arguments, &["--format=json"]].concat(),
    )
    .expect(0)
    .json()
}

/// `name from -> to` of each planned package.
fn plan(monorepo: &Monorepo, registry: &str) -> Vec<String> {
    let plan = json(monorepo, registry, &["plan"]);
    let packages = plan["packages"].as_array().expect("a list").iter();
    let text = |package: &Value, field: &str| package[field].as_str().expect("text").to_owned();
    packages
        .map(|package| {
            let [name, from, to] = ["name", "from", "to"].map(|field| text(package, field));
            format!("{name} {from} -> {to}")
        })
        .collect()
}

fn tags(tagged: &Value) -> Vec<String> {
    let tags = tagged["tags"].as_array().expect("a list").iter();
    tags.map(|tag| tag["tag"].as_str().expect("text").to_owned())
        .collect()
}

/// A registry that holds versions, some with the commit that they were built from.
fn registry(packages: &[(&str, &str, Option<&str>)]) -> (tempfile::TempDir, StaticServer) {
    let directory = tempfile::tempdir().expect("a directory");
    for (name, version, git_head) in packages {
        let mut held = json!({"name": name, "version": version, "dist": {"tarball": "https://127.0.0.1:9/a.tgz"}});
        if let Some(git_head) = git_head {
            held["gitHead"] = json!(git_head);
        }
        let document =
            json!({"name": name, "dist-tags": {"latest": version}, "versions": {*version: held}});
        let file = directory.path().join(name);
        std::fs::create_dir_all(file.parent().expect("a parent")).expect("a directory");
        std::fs::write(file, document.to_string()).expect("a file");
    }
    let server = StaticServer::start(directory.path());
    (directory, server)
}

#[test]
fn what_was_released_elsewhere_gets_its_tags_where_it_was_built_and_from_there_changes_count() {
    let monorepo = from_elsewhere();
    let built = monorepo.head();
    let monorepo = monorepo
        .commit("feat: a", &[("packages/a/src/index.js", "1\n")])
        .commit("feat: b", &[("packages/b/src/index.js", "1\n")])
        .origin();
    let (_directory, server) = registry(&[
        ("@acme/a", "1.4.0", Some(&built)),
        (
            "b",
            "2.0.0",
            Some("0123456789012345678901234567890123456789"),
        ),
    ]);
    let url = server.url();
    // Without a base there is no plan, and the hint says what makes one.
    let refused = run(&monorepo, &url, &["plan"]).expect(3).stderr;
    assert!(
        refused.contains("error[plan::no_base]: b 2.0.0") && refused.contains("`tag`"),
        "{refused}"
    );
    // A dry run only lists.
    let listed = run(&monorepo, &url, &["tag", "--dry-run"]).expect(0).stdout;
    let short = &built[..7];
    for wanted in [
        format!("@acme/a@1.4.0 at {short} (the registry says that it was built there)\n"),
        "warning[tag::elsewhere]: the registry names no commit here that b 2.0.0".to_owned(),
        "dry run: nothing was written\n".to_owned(),
    ] {
        assert!(listed.contains(&wanted), "no {wanted:?} in {listed}");
    }
    assert!(monorepo.tags().is_empty());
    let tagged = json(&monorepo, &url, &["tag"]);
    assert_eq!(tagged["schema"], "pkgs.tagged/1");
    assert_eq!(tags(&tagged), ["@acme/a@1.4.0", "b@2.0.0", "web@3.1.0"]);
    let clone = monorepo.clone_fresh(None);
    for (tag, commit) in [
        ("@acme/a@1.4.0", &built),
        ("b@2.0.0", &monorepo.head()),
        ("web@3.1.0", &monorepo.head()),
    ] {
        assert_eq!(
            &clone.git(&["rev-parse", &format!("{tag}^{{commit}}")]),
            commit
        );
        let message = clone.git(&["tag", "--list", "--format=%(objecttype) %(contents)", tag]);
        assert!(
            message.starts_with("tag ") && !message.contains("Pkgs-"),
            "{message}"
        );
    }
    // What changed since it was built there is planned, from any clone, without a registry.
    assert_eq!(plan(&clone, NO_REGISTRY), ["@acme/a 1.4.0 -> 1.5.0"]);
    // Again there is nothing to do.
    let again = run(&monorepo, NO_REGISTRY, &["tag"]).expect(0).stdout;
    assert_eq!(again, "every version has its tag: nothing to do\n");
}

/// The tags of a baseline are no decision: nothing is recovered, and the next release is an ordinary one.
#[test]
fn a_baseline_is_never_taken_for_a_release_of_ours() {
    let monorepo = from_elsewhere().origin();
    let npm = monorepo.sandbox().path().join("npm");
    std::fs::create_dir(&npm).expect("a directory");
    let npm = format!("file://{}", npm.display());
    let outputs = monorepo
        .binary(&["tag", "--filter=!b"])
        .env("PKGS_REGISTRY", &npm)
        .run()
        .expect(0);
    assert!(
        outputs
            .stdout
            .contains("warning[tag::unpublished]: @acme/a 1.4.0 is not on the registry"),
        "{}",
        outputs.stdout
    );
    assert_eq!(monorepo.tags(), ["@acme/a@1.4.0", "web@3.1.0"]);
    let release = ["release", "--store=none", "--install=none", "--format=json"];
    let released = run(&monorepo, &npm, &release).expect(0).json();
    let deeds = released["deeds"].to_string();
    assert!(
        deeds.contains("b@2.0.0") && !deeds.contains("@acme/a"),
        "{released:#}"
    );
    assert_eq!(monorepo.tags(), ["@acme/a@1.4.0", "b@2.0.0", "web@3.1.0"]);
    let again = run(&monorepo, &npm, &release).expect(0).json();
    assert_eq!(
        again["release"]["packages"].as_array().map(Vec::len),
        Some(1)
    );
}

#[test]
fn one_version_for_all_gets_one_tag() {
    let monorepo = Monorepo::new()
        .config(&json!({"mode": "sync"}))
        .package("a", "2.0.0")
        .package("b", "1.9.0")
        .commit("feat: begin", &[])
        .origin();
    let empty = registry(&[]);
    let tagged = json(&monorepo, &empty.1.url(), &["tag"]);
    assert_eq!(tags(&tagged), ["v2.0.0"]);
    assert_eq!(tagged["tags"][0]["packages"], json!(["a", "b"]));
    assert!(plan(&monorepo, NO_REGISTRY).is_empty());
}

#[test]
fn a_tag_that_is_there_and_does_not_lead_here_stops_all_of_them() {
    let monorepo = from_elsewhere().origin();
    let empty = registry(&[]);
    // It is on the remote alone, at a commit of another branch.
    monorepo.git(&["checkout", "--quiet", "-b", "other"]);
    let monorepo = monorepo
        .commit("feat: other", &[("other", "1\n")])
        .tag("b@2.0.0");
    monorepo.git(&["push", "--quiet", "origin", "b@2.0.0"]);
    monorepo.git(&["tag", "--delete", "b@2.0.0"]);
    monorepo.git(&["checkout", "--quiet", "main"]);
    for arguments in [&["tag", "--dry-run"][..], &["tag"]] {
        let refused = run(&monorepo, &empty.1.url(), arguments).expect(3).stderr;
        assert!(
            refused.contains("error[plan::tag_exists]: tag b@2.0.0"),
            "{refused}"
        );
    }
    let there = monorepo.git(&["ls-remote", "--tags", "--refs", "origin"]);
    assert_eq!(there.lines().count(), 1, "{there}");
    // An event that may carry anybody's code makes no tags.
    let refused = monorepo
        .binary(&["tag"])
        .in_actions("pull_request", "refs/pull/7/merge")
        .run()
        .expect(3)
        .stderr;
    assert!(
        refused.contains("error[release::untrusted_event]"),
        "{refused}"
    );
}
