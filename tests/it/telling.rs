//! What a release and a plan tell, and when.

use serde_json::{Value, json};

use crate::support::monorepo::Monorepo;
use crate::support::world::World;

fn service() -> Monorepo {
    Monorepo::new()
        .package("core", "1.0.0")
        .service("web", "1.0.0")
        .config(&json!({
            "mode": "diff",
            "apps": {"web": {"type": "service", "auto": ["sit"]}},
        }))
        .commit("feat: begin", &[])
}

#[test]
fn a_release_tells_its_plan_first_each_deed_once_and_how_it_ended() {
    let world = World::local(service());
    let run = world.run(&["release"]).expect(0);
    let (plan, end) = run.stdout.split_once("released ").expect("an end");
    assert!(plan.starts_with("mode diff (as it is set)\n"), "{plan}");
    assert!(plan.contains("\ntags: core@1.0.0, web@1.0.0\n"), "{plan}");
    let (_, contents) = end.split_once('\n').expect("what it consists of");
    assert_eq!(
        contents,
        "  core 1.0.0 on the registry\n  web 1.0.0 in the store\n  web 1.0.0 in sit\n"
    );
    for deed in ["seal ", "decide ", "publish ", "record release ", "point "] {
        let logged = run.stderr.matches(deed).count();
        assert_eq!(logged, 1, "{deed}:\n{}", run.stderr);
    }
    assert!(!run.stdout.contains(": done"), "{}", run.stdout);

    // Run again: there is nothing to plan, and the release that stands here is told.
    let again = world.run(&["release"]).expect(0).stdout;
    assert!(again.starts_with("already released: "), "{again}");
    assert!(again.ends_with(contents), "{again}");
}

#[test]
fn the_plan_is_told_before_anything_is_built() {
    let monorepo = service().config(&json!({
        "mode": "diff",
        "build": "exit 9",
        "apps": {"web": {"type": "service"}},
    }));
    let world = World::local(monorepo.commit("chore: a build that fails", &[]));
    let run = world.run(&["release"]).expect(1);
    assert!(run.stdout.starts_with("mode diff"), "{}", run.stdout);
    assert!(
        run.stdout.contains("tags: core@1.0.0, web@1.0.0"),
        "{}",
        run.stdout
    );
    // Where the result is one JSON object, the log has the plan.
    let run = world.run(&["release", "--format", "json"]).expect(1);
    assert_eq!(run.stdout, "");
    assert!(
        run.stderr.contains("tags: core@1.0.0, web@1.0.0"),
        "{}",
        run.stderr
    );
}

#[test]
fn a_bump_that_nothing_takes_is_said() {
    let monorepo = Monorepo::new().package("core", "1.0.0").released();
    let world = World::local(monorepo);
    for command in ["plan", "release"] {
        let run = world.run(&[command, "--bump", "minor"]).expect(0);
        for said in [
            "nothing to release",
            "warning[plan::bump_unused]: bump minor was asked for, but it says how far changed packages grow, and none changed",
            "commit a higher version in its package.json",
        ] {
            assert!(
                run.stdout.contains(said),
                "{command}: {said}\n{}",
                run.stdout
            );
        }
        let silent = world.run(&[command]).expect(0).stdout;
        assert!(!silent.contains("bump"), "{silent}");
    }
    // What it says is true.
    let raised = "{\"name\": \"core\", \"version\": \"1.1.0\"}\n";
    let world = world.develop(
        "chore: raise core",
        &[("packages/core/package.json", raised)],
    );
    let plan = world.run(&["plan"]).expect(0).stdout;
    assert!(plan.contains("core  1.0.0 → 1.1.0"), "{plan}");
}

#[test]
fn reasons_say_what_moves_from_where_to_where() {
    let monorepo = Monorepo::new()
        .package("young", "0.3.0")
        .package("user", "1.0.0")
        .service("web", "1.0.0")
        .depends("user", "young", "^0.3.0")
        .depends("web", "user", "^1.0.0")
        .released()
        .commit("feat(young)!: other words", &[("packages/young/a.js", "")]);
    let world = World::local(monorepo);
    let text = world.run(&["plan"]).expect(0).stdout;
    for said in [
        "feat(young)!: other words (major, so minor below 1.0.0)",
        "depends on young ^0.3.0, which 0.3.0 → 0.4.0 leaves",
        "uses user 1.0.0 → 1.0.1",
    ] {
        assert!(text.contains(said), "{said}\n{text}");
    }
    let plan = world.run(&["plan", "--format", "json"]).expect(0).json();
    let packages = plan["packages"].as_array().cloned().unwrap_or_default();
    let of = |name: &str| -> Value {
        let found = packages.iter().find(|package| package["name"] == name);
        found.cloned().unwrap_or_default()
    };
    assert_eq!(of("young")["bump"], "minor");
    assert_eq!(
        of("user")["reasons"],
        json!([{"kind": "dependency", "on": "young", "from": "0.3.0", "to": "0.4.0", "range": "^0.3.0"}])
    );
}

#[test]
fn a_remote_that_is_not_there_is_told_with_what_is() {
    let world = World::local(service());
    let refused = |arguments: &[&str]| {
        let run = world.run(&[&["release"], arguments].concat()).expect(2);
        assert!(
            run.stderr.contains("error[git::no_remote]"),
            "{}",
            run.stderr
        );
        run.stderr
    };
    let other = refused(&["--remote", "upstream"]);
    assert!(
        other.contains("has no remote \"upstream\"; it has origin"),
        "{other}"
    );
    assert!(
        other.contains(
            "hint: name one of them with `remote`, or `git remote add upstream <address>`"
        ),
        "{other}"
    );
    world
        .monorepo
        .git(&["remote", "set-url", "origin", "/nowhere/at/all.git"]);
    let wrong = refused(&[]);
    assert!(
        wrong.contains("the address of the remote \"origin\" holds no git repository"),
        "{wrong}"
    );
    assert!(
        wrong.contains("`git remote set-url origin <address>` corrects it"),
        "{wrong}"
    );
    world.monorepo.git(&["remote", "remove", "origin"]);
    let none = refused(&["--branch", "main"]);
    assert!(none.contains("this repository has no remote"), "{none}");
    assert!(none.contains("`git remote add origin <address>`"), "{none}");
}

#[test]
fn a_plan_and_a_promote_leave_outputs_and_a_summary_in_a_workflow() {
    let world = World::local(service());
    let told = |world: &World, arguments: &[&str], number: usize| {
        let outside = |name: &str| world.outside.path().join(name);
        world
            .binary(arguments)
            .env("GITHUB_OUTPUT", outside(&format!("outputs-{number}")))
            .env("GITHUB_STEP_SUMMARY", outside(&format!("summary-{number}")))
            .run()
            .expect(0)
    };
    let plan = told(&world, &["plan"], 1);
    assert_eq!(plan.outputs["outcome"], "planned");
    assert_eq!(plan.outputs["released"], "false");
    assert!(
        plan.summary.contains("| `core` | 1.0.0 |"),
        "{}",
        plan.summary
    );
    let _ = told(&world, &["release"], 2);
    world.follow();
    let nothing = told(&world, &["plan"], 3);
    assert_eq!(nothing.outputs["outcome"], "nothing");
    assert!(nothing.summary.contains("Nothing to release"));
    let promote = told(
        &world,
        &["promote", "--environment", "prod", "--to", "1.0.0"],
        4,
    );
    assert_eq!(promote.outputs["current"], "1.0.0");
    assert!(
        promote.summary.contains("| `web` | `prod` |"),
        "{}",
        promote.summary
    );

    // A dry run plans in `pointers`; everything else is what is true now.
    let plan = ["rollback", "--environment", "prod", "--to", "1.0.1"];
    let world = world.develop("fix(web): more", &[("packages/web/service/more.js", "")]);
    let _ = world.run(&["release"]).expect(0);
    let dry = told(&world, &[&plan[..], &["--dry-run"]].concat(), 5);
    let keys = ["current", "seq", "held", "previous"];
    assert_eq!(
        keys.map(|key| dry.outputs[key].as_str()),
        ["1.0.0", "1", "false", "1.0.0"]
    );
    let planned = &dry.output("pointers")[0];
    assert_eq!(
        (&planned["dryRun"], &planned["to"], &planned["held"]),
        (&json!(true), &json!("1.0.1"), &json!(true))
    );
    let now = json!({"current": "1.0.0", "seq": 1, "held": false});
    assert_eq!(planned["now"], now);
    let done = told(&world, &plan, 6);
    assert_eq!(
        keys.map(|key| done.outputs[key].as_str()),
        ["1.0.1", "2", "true", "1.0.0"]
    );
    let held = told(&world, &["hold", "--environment", "prod"], 7);
    assert_eq!(held.outputs["current"], "1.0.1");
}

#[test]
fn what_failed_stands_in_the_summary_with_its_error() {
    let world = World::local(service());
    let failed = |arguments: &[&str], exit: i32, title: &str, code: &str| {
        let summary = world.outside.path().join(code.replace("::", "-"));
        let run = world
            .binary(arguments)
            .env("GITHUB_STEP_SUMMARY", &summary)
            .run()
            .expect(exit);
        let error = run.stderr.split_once("error[").map(|(_, error)| error);
        let error = error.expect("an error on stderr").trim_end();
        let whole = format!("## {title} failed\n\n```text\nerror[{error}\n```\n\n");
        assert_eq!(run.summary, whole);
        assert!(!whole.contains("npm_xxx"), "{whole}");
        assert!(run.summary.contains(&format!("error[{code}]")), "{whole}");
    };
    let no_build = ["release", "--build", "false"];
    failed(&no_build, 1, "Release", "process::failed");
    // What looks like a secret is told nowhere.
    let token = format!("npm_{}", "x".repeat(36));
    let settings = ["release", "--mode", &token];
    failed(&settings, 2, "pkgs-action", "settings::choice");
    let nowhere = ["release", "--store", "file:///nowhere/at/all"];
    failed(&nowhere, 2, "Release", "store::no_directory");
    let _ = world.run(&["release"]).expect(0);
    let prod = ["--environment", "prod"];
    let missing = [&["promote", "--to", "9.9.9"], &prod[..]].concat();
    failed(&missing, 3, "Promote", "environment::unknown_version");
    let nothing = [&["rollback"], &prod[..]].concat();
    failed(&nothing, 3, "Rollback", "environment::nothing_live");
}

#[test]
fn a_plan_says_that_it_is_made_of_the_commit_and_not_of_what_is_changed() {
    let world = World::local(service());
    let _ = world.run(&["release"]).expect(0);
    world.monorepo.git(&["pull", "--quiet"]);
    let clean = world.run(&["plan"]).expect(0).stdout;
    assert!(!clean.contains("not committed"), "{clean}");
    world
        .monorepo
        .write("packages/core/package.json", "{\"name\": \"other\"}");
    world.monorepo.write("packages/core/untracked.js", "");
    let plan = world.run(&["plan", "--format", "json"]).expect(0).json();
    let warning = &plan["warnings"][0];
    assert_eq!(warning["code"], "plan::uncommitted");
    let message = warning["message"].as_str().expect("text");
    assert!(message.contains("packages/core/package.json"), "{message}");
    assert!(!message.contains("untracked"), "{message}");
}
