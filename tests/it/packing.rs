//! What is packed, against npm's own modules, 12's and those of 11: the same files in the same order with the same modes, the same tar and, of
//! npm 12, the same manifest for the registry, for packages made at random and for published ones. What `pack` says is what is judged.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use pkgs_action::settings::NpmRules;
use serde_json::{Map, Value, json};

use crate::support::random::{self, Random};
use crate::support::servers;

mod trees;

use trees::Made;

/// How many packages are made at random; `PKGS_TEST_SEEDS` makes more.
const TREES: u64 = 300;

/// Where the npm is installed that has these rules.
fn installed(rules: NpmRules) -> PathBuf {
    servers::installed().join(match rules {
        NpmRules::Npm12 => "npm/package",
        NpmRules::Npm11 => "npm-11/package",
    })
}

/// What npm makes of packages, in one process.
fn npm(packages: &[Made], rules: NpmRules) -> Vec<Value> {
    let questions: Vec<Value> = packages.iter().map(question).collect();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/servers/npm_pack.cjs");
    let package = installed(rules);
    let answers = servers::node(&[script.as_ref(), package.as_ref()], &json!(questions));
    serde_json::from_value(answers).expect("a list")
}

fn question(made: &Made) -> Value {
    let mut question = json!({ "path": made.directory });
    if let Some(root) = &made.root {
        question["prefix"] = json!(root);
        question["workspaces"] = json!(made.members);
    }
    question
}

/// What `pack` says of a package.
fn ours(made: &Made, rules: NpmRules) -> Result<Value, String> {
    let output = Command::new(env!("CARGO_BIN_EXE_pkgs-action"))
        .args(["pack", "--dry-run", "--format=json", "--scripts=skip"])
        .arg("--git-dependencies=allow")
        .arg(format!("--npm-rules={}", rules.as_str()))
        .current_dir(&made.directory)
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .output()
        .expect("pkgs-action starts");
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let mut pack: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let name = name_in(&made.directory);
    let packages = pack["packages"].as_array_mut().expect("a list");
    let found = packages.iter().position(|package| package["name"] == name);
    let found = found.map(|place| packages.swap_remove(place));
    found.ok_or_else(|| format!("{name} was not packed"))
}

fn name_in(directory: &Path) -> String {
    let text = fs::read_to_string(directory.join("package.json")).expect("a manifest");
    let text = text.trim_start_matches('\u{feff}');
    let manifest: Value = serde_json::from_str(text).expect("JSON");
    manifest["name"].as_str().expect("a name").trim().to_owned()
}

/// What differs, if anything does.
fn difference(made: &Made, npm: &Value, rules: NpmRules) -> Option<String> {
    let ours = match (ours(made, rules), npm.get("error")) {
        // What npm cannot pack, nobody misses.
        (_, Some(_)) => return None,
        (Err(failure), None) => return Some(format!("refused: {failure}")),
        (Ok(ours), None) => ours,
    };
    let files = ours["files"].as_array().expect("a list");
    let listed: Vec<Value> = files
        .iter()
        .map(|file| json!([file["path"], file["mode"], "File"]))
        .collect();
    if npm["files"] != json!(listed) {
        let theirs = npm["files"].as_array().expect("a list");
        let only = |these: &[Value], those: &[Value]| -> Vec<String> {
            let apart = these.iter().filter(|file| !those.contains(file));
            apart.map(Value::to_string).collect()
        };
        return Some(format!(
            "only npm packs {:?}, only we pack {:?}; if nothing, the order differs",
            only(theirs, &listed),
            only(&listed, theirs)
        ));
    }
    let tar = ours["tarDigest"].as_str();
    if npm["tar"].as_str() != tar.and_then(|digest| digest.strip_prefix("sha256:")) {
        return Some("the tar differs".to_owned());
    }
    // The rules are about files; what a registry is told is what npm 12 tells it.
    if rules == NpmRules::Npm11 {
        return None;
    }
    let mut theirs: Map<String, Value> =
        serde_json::from_str(npm["manifest"].as_str().expect("a manifest")).expect("JSON");
    let mut manifest = ours["manifest"].as_object().expect("a manifest").clone();
    // Of the repository around the tests, where there is one.
    theirs.shift_remove("gitHead");
    manifest.shift_remove("gitHead");
    let keys: BTreeSet<&String> = theirs.keys().chain(manifest.keys()).collect();
    let apart: Vec<String> = keys
        .into_iter()
        .filter(|key| theirs.get(*key) != manifest.get(*key))
        .map(|key| format!("{key}: {:?}, not {:?}", manifest.get(key), theirs.get(key)))
        .collect();
    (!apart.is_empty()).then(|| apart.join("; "))
}

/// Compares, and answers how many npm packed.
fn compare(packages: &[(String, Made)], rules: NpmRules) -> usize {
    let (names, made): (Vec<&String>, Vec<Made>) = packages
        .iter()
        .map(|(name, made)| (name, made.clone()))
        .unzip();
    let answers = npm(&made, rules);
    let different: Vec<String> = names
        .iter()
        .zip(made.iter().zip(&answers))
        .filter_map(|(name, (made, npm))| {
            Some(format!("{name}: {}", difference(made, npm, rules)?))
        })
        .collect();
    assert!(different.is_empty(), "{}", different.join("\n"));
    answers
        .iter()
        .filter(|answer| answer.get("error").is_none())
        .count()
}

#[test]
fn packages_made_at_random_are_packed_as_npm_packs_them() {
    made_at_random(NpmRules::Npm12);
}

#[test]
fn packages_made_at_random_are_packed_as_npm_11_packs_them() {
    made_at_random(NpmRules::Npm11);
}

fn made_at_random(rules: NpmRules) {
    let directory = tempfile::tempdir().expect("a directory");
    let packages: Vec<(String, Made)> = random::seeds(TREES)
        .map(|seed| {
            let within = directory.path().join(seed.to_string()).join("package");
            fs::create_dir_all(&within).expect("a directory");
            let made = trees::write(&mut Random::of(seed), &within);
            (format!("PKGS_TEST_SEED={seed}"), made)
        })
        .collect();
    let packed = compare(&packages, rules);
    // npm fails on some of them: on links that lead nowhere, on directories in the place of ignore files.
    assert!(packed * 10 >= packages.len() * 9, "npm packed {packed}");
}

#[test]
fn published_packages_are_packed_as_npm_packs_them() {
    let directory = tempfile::tempdir().expect("a directory");
    let published = servers::installed().join("published");
    let mut tarballs: Vec<PathBuf> = fs::read_dir(published)
        .expect("packages")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|kind| kind == "tgz"))
        .collect();
    tarballs.sort();
    let packages: Vec<(String, Made)> = tarballs
        .iter()
        .map(|tarball| {
            let name = tarball.file_stem().expect("a name").to_string_lossy();
            let within = directory.path().join(name.as_ref());
            fs::create_dir(&within).expect("a directory");
            let unpacked = Command::new("tar")
                .args(["--no-same-owner", "--strip-components=1", "-xzf"])
                .arg(tarball)
                .arg("-C")
                .arg(&within)
                .status()
                .expect("tar starts");
            assert!(unpacked.success(), "{name}");
            (name.into_owned(), Made::alone(within))
        })
        .collect();
    assert!(packages.len() >= 40, "{}", packages.len());
    for rules in [NpmRules::Npm12, NpmRules::Npm11] {
        assert_eq!(compare(&packages, rules), packages.len(), "{rules:?}");
    }
}
