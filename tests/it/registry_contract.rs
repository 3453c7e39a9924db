//! What every registry promises, against every registry, and what `npm install` makes of a directory.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use futures_util::future::join_all;
use pkgs_action::explain::Failure;
use pkgs_action::name::{CommitId, Integrity, PackageName};
use pkgs_action::remote::registry::directory::DirectoryRegistry;
use pkgs_action::remote::registry::npm::NpmRegistry;
use pkgs_action::remote::registry::{Publication, PublishRight, Registry, RegistryError};
use pkgs_action::secret::{BoundSecret, Secret};
use pkgs_action::settings::Access;
use pkgs_action::version::Version;
use serde_json::json;
use url::Url;

use crate::support::git_server;
use crate::support::monorepo::Monorepo;
use crate::support::sandbox::Run;
use crate::support::static_server::StaticServer;
use crate::support::verdaccio::Verdaccio;

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime")
}

fn name(text: &str) -> PackageName {
    PackageName::parse(text).expect("a name")
}

fn version(text: &str) -> Version {
    Version::parse(text).expect("a version")
}

/// A package of one file that tells its version, and a command.
fn publication(package: &str, number: &str, dist_tag: &str) -> Publication {
    use sha1::Digest as _;
    let manifest = json!({
        "name": package, "version": number, "description": "for tests", "main": "index.js", "bin": "./cli.js",
        "repository": "github:o/n", "license": "MIT"
    });
    let files = [
        ("package/package.json", manifest.to_string(), 0o644),
        (
            "package/index.js",
            format!("module.exports = '{number}'\n"),
            0o644,
        ),
        (
            "package/cli.js",
            "#!/usr/bin/env node\nconsole.log('run')\n".to_owned(),
            0o755,
        ),
    ];
    let mut archive = tar::Builder::new(flate2::write::GzEncoder::new(
        Vec::new(),
        flate2::Compression::default(),
    ));
    for (path, text, mode) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(text.len() as u64);
        header.set_mode(mode);
        archive
            .append_data(&mut header, path, text.as_bytes())
            .expect("appended");
    }
    let tarball = archive
        .into_inner()
        .and_then(flate2::write::GzEncoder::finish)
        .expect("packed");
    let shasum = sha1::Sha1::digest(&tarball)
        .iter()
        .fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
    Publication {
        name: name(package),
        version: version(number),
        dist_tag: dist_tag.to_owned(),
        access: package.starts_with('@').then_some(Access::Public),
        integrity: Integrity::of(&tarball),
        shasum,
        tarball,
        manifest: manifest.as_object().expect("an object").clone(),
        git_head: CommitId::parse(COMMIT).expect("an id"),
        attestation: None,
    }
}

#[test]
fn directory() {
    let root = tempfile::tempdir().expect("a directory");
    let registry = DirectoryRegistry::open(root.path(), None).expect("a registry");
    runtime().block_on(async {
        contract(&registry).await;
        no_version_is_lost(&registry).await;
    });
}

#[test]
fn verdaccio() {
    let server = Verdaccio::start();
    let url = Url::parse(&server.url).expect("a url");
    let token = Secret::new(&server.token).expect("a token");
    let token = BoundSecret::new(token, &url);
    let registry = NpmRegistry::new(url.clone(), Some(token)).expect("a registry");
    runtime().block_on(async {
        registry.check_credential().await.expect("a user");
        contract(&registry).await;
        // It does not tell who may publish.
        let right = registry.publish_right(&name("contract-a")).await;
        assert_eq!(right, PublishRight::Unknown);
        let stranger = Secret::new("not a token of this registry").expect("a token");
        let stranger = NpmRegistry::new(url.clone(), Some(BoundSecret::new(stranger, &url)));
        let refused = stranger.expect("a registry").check_credential().await;
        let refused = Failure::from(refused.expect_err("refused"));
        assert_eq!(
            (refused.code(), refused.exit().code()),
            ("npm::unauthorized", 5)
        );
    });
}

/// A release with a token.
fn release(registry: &Verdaccio, monorepo: &Monorepo, token: &str) -> Run {
    monorepo
        .binary(&["release", "--format=json"])
        .env("PKGS_REGISTRY", &registry.url)
        .env("NPM_TOKEN", token)
        .run()
}

fn of_a_team() -> Monorepo {
    Monorepo::new()
        .package("plain", "1.0.0")
        .package("@team/text", "1.0.0")
        .config(&json!({"mode": "diff", "install": "none", "access": "public"}))
        .commit("feat: begin", &[])
        .origin()
}

#[test]
fn a_registry_that_refuses_after_the_decision_costs_no_second_version() {
    let registry = Verdaccio::with_rules("'@team/*': { access: $all, publish: owner }");
    let owner = registry.user("owner");
    let monorepo = of_a_team();
    let refused = release(&registry, &monorepo, &registry.token).expect(5);
    assert!(
        refused.stderr.contains("without another version"),
        "{}",
        refused.stderr
    );
    let decided = git_server::refs(monorepo.origin_directory());
    assert_eq!(registry.versions("@team/text"), Vec::<String>::new());
    let _ = release(&registry, &monorepo, &owner).expect(0);
    assert_eq!(git_server::refs(monorepo.origin_directory()), decided);
    for package in ["plain", "@team/text"] {
        assert_eq!(registry.versions(package).len(), 1, "{package}");
    }
}

#[test]
fn a_package_that_the_token_may_not_even_read_costs_no_version() {
    let registry = Verdaccio::with_rules("'@team/*': { access: owner, publish: owner }");
    registry.user("owner");
    let monorepo = of_a_team();
    let before = git_server::refs(monorepo.origin_directory());
    let refused = release(&registry, &monorepo, &registry.token).expect(5);
    assert!(
        refused.stderr.contains("npm::forbidden"),
        "{}",
        refused.stderr
    );
    assert_eq!(git_server::refs(monorepo.origin_directory()), before);
    assert_eq!(registry.versions("plain"), Vec::<String>::new());
}

async fn contract(registry: &dyn Registry) {
    for package in ["contract-a", "@contract/a"] {
        versions_appear(registry, package).await;
    }
}

async fn versions_appear(registry: &dyn Registry, package: &str) {
    let known = async || registry.package(&name(package)).await.expect("an answer");
    assert_eq!(known().await, None);
    let first = publication(package, "1.0.0", "latest");
    registry.publish(&first).await.expect("published");
    let found = known().await.expect("there");
    let one = &found.versions["1.0.0"];
    assert_eq!(one.integrity.as_deref(), Some(first.integrity.as_str()));
    assert_eq!(one.shasum.as_deref(), Some(first.shasum.as_str()));
    assert_eq!(one.git_head.as_deref(), Some(COMMIT));
    assert_eq!(one.deprecated, None);
    assert_eq!(found.dist_tags["latest"], "1.0.0");

    let again = registry.publish(&first).await.expect_err("refused");
    assert!(matches!(again, RegistryError::AlreadyThere(_)), "{again:?}");

    let next = publication(package, "1.1.0-beta.1", "beta");
    registry.publish(&next).await.expect("published");
    let found = known().await.expect("there");
    assert_eq!(found.versions.len(), 2);
    assert_eq!(found.dist_tags["latest"], "1.0.0");
    assert_eq!(found.dist_tags["beta"], "1.1.0-beta.1");

    // Going back, and forward again.
    let version = "1.1.0-beta.1";
    for message in [Some("it loses \"orders\"".to_owned()), None] {
        let messages = BTreeMap::from([(version.to_owned(), message.clone())]);
        let deprecated = registry.deprecate(&name(package), &messages).await;
        deprecated.expect("deprecated");
        let mut expected = found.clone();
        let changed = expected.versions.get_mut(version).expect("there");
        changed.deprecated = message;
        assert_eq!(known().await.expect("there"), expected);
    }
    for (to, beta) in [("1.0.0", "1.0.0"), (version, version)] {
        let moved = registry.set_dist_tag(&name(package), "beta", to).await;
        moved.expect("moved");
        let found = known().await.expect("there");
        assert_eq!(
            (
                found.dist_tags["beta"].as_str(),
                found.dist_tags["latest"].as_str()
            ),
            (beta, "1.0.0")
        );
    }

    let mut wrong = publication(package, "2.0.0", "latest");
    wrong.tarball.push(0);
    let refused = Failure::from(registry.publish(&wrong).await.expect_err("refused"));
    assert_eq!(
        (refused.code(), refused.exit().code()),
        ("registry::integrity", 6)
    );
    assert_eq!(known().await.expect("there").versions.len(), 2);
}

/// More than a registry must promise: publishes of one name are sent one after the other.
async fn no_version_is_lost(registry: &dyn Registry) {
    let publications: Vec<Publication> = (0..6)
        .map(|patch| publication("contract-race", &format!("1.0.{patch}"), "latest"))
        .collect();
    for answer in join_all(publications.iter().map(|one| registry.publish(one))).await {
        answer.expect("published");
    }
    let found = registry
        .package(&name("contract-race"))
        .await
        .expect("an answer");
    assert_eq!(found.expect("there").versions.len(), 6);
}

#[test]
fn two_publish_the_same_version_and_one_wins() {
    let root = tempfile::tempdir().expect("a directory");
    let registry = DirectoryRegistry::open(root.path(), None).expect("a registry");
    let one = publication("same", "1.0.0", "latest");
    let answers = runtime().block_on(join_all((0..8).map(|_| registry.publish(&one))));
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    assert!(
        answers
            .iter()
            .all(|answer| matches!(answer, Ok(()) | Err(RegistryError::AlreadyThere(_))))
    );
}

#[test]
fn a_damaged_document_is_never_written_over() {
    let root = tempfile::tempdir().expect("a directory");
    let registry = DirectoryRegistry::open(root.path(), None).expect("a registry");
    std::fs::write(root.path().join("broken"), "{").expect("written");
    runtime().block_on(async {
        let one = publication("broken", "1.0.0", "latest");
        let refused = Failure::from(registry.publish(&one).await.expect_err("refused"));
        assert_eq!(
            (refused.code(), refused.exit().code()),
            ("registry::document", 6)
        );
        registry.package(&one.name).await.expect_err("damaged");
    });
    assert_eq!(
        std::fs::read(root.path().join("broken")).expect("a file"),
        b"{"
    );
}

fn npm(directory: &Path, arguments: &[&str]) -> String {
    let done = Command::new("npm")
        .args(arguments)
        .args(["--no-audit", "--no-fund", "--no-update-notifier"])
        .current_dir(directory)
        .env("npm_config_cache", directory.join("cache"))
        .env("npm_config_userconfig", directory.join("npmrc"))
        .output()
        .expect("npm runs");
    assert!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );
    String::from_utf8_lossy(&done.stdout).into_owned()
}

#[test]
fn npm_installs_from_a_served_directory() {
    let root = tempfile::tempdir().expect("a directory");
    let registry = DirectoryRegistry::open(root.path(), None).expect("a registry");
    runtime().block_on(async {
        for (package, number, dist_tag) in [
            ("plain", "1.0.0", "latest"),
            ("plain", "2.0.0-beta.1", "beta"),
            ("@scope/name", "0.1.0", "latest"),
        ] {
            registry
                .publish(&publication(package, number, dist_tag))
                .await
                .expect("published");
        }
    });
    let server = StaticServer::start(root.path());
    let address = server.url();
    let home = tempfile::tempdir().expect("a directory");
    let project = home.path();
    std::fs::write(
        project.join("package.json"),
        r#"{"name":"user","version":"1.0.0","private":true}"#,
    )
    .expect("written");
    npm(
        project,
        &["install", "--registry", &address, "plain", "@scope/name"],
    );
    let installed =
        |path: &str| std::fs::read_to_string(project.join("node_modules").join(path)).expect(path);
    assert_eq!(installed("plain/index.js"), "module.exports = '1.0.0'\n");
    assert_eq!(
        installed("@scope/name/index.js"),
        "module.exports = '0.1.0'\n"
    );
    assert!(project.join("node_modules/.bin/plain").exists());
    assert!(project.join("node_modules/.bin/name").exists());
    let lock = std::fs::read_to_string(project.join("package-lock.json")).expect("a lockfile");
    assert!(lock.contains(publication("plain", "1.0.0", "latest").integrity.as_str()));
    npm(project, &["install", "--registry", &address, "plain@beta"]);
    assert_eq!(
        installed("plain/index.js"),
        "module.exports = '2.0.0-beta.1'\n"
    );
    std::fs::remove_dir_all(project.join("node_modules")).expect("removed");
    npm(project, &["ci", "--registry", &address]);
    assert_eq!(
        installed("@scope/name/index.js"),
        "module.exports = '0.1.0'\n"
    );
}
