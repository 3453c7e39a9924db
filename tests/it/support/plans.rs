//! Plans of a repository that knows a directory as registry and no store, and what they say in short.

use serde_json::Value;

use super::monorepo::Monorepo;
use super::sandbox::Run;

/// Runs the binary; what it publishes goes to a directory beside the repository.
pub fn run(monorepo: &Monorepo, arguments: &[&str]) -> Run {
    let npm = monorepo.sandbox().path().join("npm");
    std::fs::create_dir_all(&npm).expect("a directory");
    monorepo
        .binary(arguments)
        .env("PKGS_REGISTRY", format!("file://{}", npm.display()))
        .env("PKGS_STORE", "none")
        .env("PKGS_INSTALL", "none")
        .run()
}

/// The plan as a document.
pub fn plan(monorepo: &Monorepo, arguments: &[&str]) -> Value {
    run(monorepo, &[&["plan", "--format=json"], arguments].concat())
        .expect(0)
        .json()
}

/// `name to` for each package of a plan.
pub fn versions(plan: &Value) -> Vec<String> {
    let list = plan["packages"].as_array().expect("a list");
    list.iter()
        .map(|package| {
            let [name, to] = ["name", "to"].map(|field| package[field].as_str().expect("text"));
            format!("{name} {to}")
        })
        .collect()
}
