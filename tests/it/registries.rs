//! Several registries in one release: where each package goes, and that no credential goes anywhere but to its own.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use pkgs_action::name::PackageName;
use pkgs_action::settings::RegistryAddress;
use pkgs_action::settings::npmrc::{self, NpmrcFile, Whose};
use pkgs_action::settings::registries::credentials::Credential;
use pkgs_action::settings::registries::{Declared, Registries, Said, Word};
use serde_json::{Value, json};
use url::Url;

use crate::support::fault_proxy::{Fault, FaultProxy, Seen};
use crate::support::git_server;
use crate::support::monorepo::Monorepo;
use crate::support::sandbox::{Invocation, Run, Sandbox};
use crate::support::servers::installed;
use crate::support::verdaccio::Verdaccio;

/// Two registries, each behind an ear.
struct Pair {
    one: Verdaccio,
    two: Verdaccio,
    proxy: FaultProxy,
    one_url: String,
    two_url: String,
}

impl Pair {
    fn start() -> Pair {
        let (one, two) = std::thread::scope(|scope| {
            let one = scope.spawn(Verdaccio::start);
            let two = Verdaccio::start();
            (one.join().expect("a registry"), two)
        });
        let proxy = FaultProxy::new();
        let (one_url, two_url) = (proxy.before("one", &one.url), proxy.before("two", &two.url));
        Pair {
            one,
            two,
            proxy,
            one_url,
            two_url,
        }
    }

    /// A run with the first as the registry of all, and its token.
    fn binary(&self, monorepo: &Monorepo, arguments: &[&str]) -> Invocation {
        monorepo
            .binary(arguments)
            .env("PKGS_REGISTRY", &self.one_url)
            .env("PKGS_NPM_TOKEN", &self.one.token)
            .env("PKGS_FORGE_RELEASE", "false")
    }

    fn heard(&self, server: &str) -> Vec<Seen> {
        let log = self.proxy.log().into_iter();
        log.filter(|seen| seen.server == server).collect()
    }

    /// Every header `Authorization` that a registry was sent, each once.
    fn authorizations(&self, server: &str) -> Vec<Option<String>> {
        let heard = self.heard(server).into_iter();
        let mut all: Vec<Option<String>> = heard.map(|seen| seen.authorization).collect();
        all.sort();
        all.dedup();
        all
    }

    /// A place without scheme, as an `.npmrc` has it.
    fn place(url: &str) -> &str {
        url.trim_start_matches("http:")
    }
}

fn bearer(registry: &Verdaccio) -> [Option<String>; 1] {
    [Some(format!("Bearer {}", registry.token))]
}

fn two_scopes() -> Monorepo {
    Monorepo::new()
        .package("@one/a", "1.0.0")
        .package("@two/b", "1.0.0")
        .depends("@two/b", "@one/a", "^1.0.0")
        .config(&json!({"mode": "diff", "install": "none"}))
        .commit("feat: begin", &[])
        .origin()
}

fn declares(monorepo: Monorepo, package: &str, registry: &str) -> Monorepo {
    monorepo
        .edit(&format!("packages/{package}/package.json"), |manifest| {
            manifest["publishConfig"] = json!({"access": "public", "registry": registry});
        })
        .commit("feat: elsewhere", &[])
}

/// Asserts that a run was refused before it decided or published anything.
fn assert_nothing_happened(pair: &Pair, monorepo: &Monorepo, before: &str) {
    assert_eq!(refs(monorepo), before);
    let writes: Vec<Seen> = pair.proxy.log().into_iter().filter(Seen::writes).collect();
    assert!(writes.is_empty(), "{writes:?}");
}

fn refs(monorepo: &Monorepo) -> String {
    format!("{:?}", git_server::refs(monorepo.origin_directory()))
}

fn says(run: &Run, parts: &[&str]) {
    for part in parts {
        assert!(run.stderr.contains(part), "{part}\n{}", run.stderr);
    }
}

#[test]
fn packages_of_two_scopes_go_to_two_registries_with_two_tokens() {
    let pair = Pair::start();
    let monorepo = two_scopes();
    let store = monorepo.sandbox().path().join("store");
    fs::create_dir(&store).expect("a directory");
    let with_both = |arguments: &[&str]| {
        let tokens = format!("{}={}\n", pair.two_url, pair.two.token);
        pair.binary(&monorepo, arguments)
            .env("PKGS_REGISTRIES", format!("@two={}", pair.two_url))
            .env("PKGS_REGISTRY_TOKENS", tokens)
            .env("PKGS_STORE", format!("file://{}", store.display()))
    };
    let plan = with_both(&["plan"]).run().expect(0);
    let at_two = format!("[npm at {}, latest]", pair.two_url);
    assert!(plan.stdout.contains(&at_two), "{}", plan.stdout);
    assert!(plan.stdout.contains("[npm, latest]"), "{}", plan.stdout);
    let plan = with_both(&["plan", "--format=json"]).run().expect(0).json();
    assert_eq!(plan["packages"][0]["registry"], json!(null));
    assert_eq!(plan["packages"][1]["registry"], json!(pair.two_url));
    assert_eq!(plan["missing"], json!([]));

    let released = with_both(&["release", "--format=json"]).run().expect(0);
    for (registry, has, has_not) in [
        (&pair.one, "@one/a", "@two/b"),
        (&pair.two, "@two/b", "@one/a"),
    ] {
        assert_eq!(registry.versions(has), ["1.0.0"]);
        assert!(registry.versions(has_not).is_empty(), "{has_not}");
    }
    let urls: Vec<String> = released.json()["release"]["packages"]
        .as_array()
        .expect("packages")
        .iter()
        .map(|package| package["url"].as_str().expect("an address").to_owned())
        .collect();
    assert_eq!(
        urls,
        [
            format!("{}@one/a", pair.one_url),
            format!("{}@two/b", pair.two_url)
        ]
    );
    let manifest = fs::read_dir(store.join("v1/releases"))
        .expect("releases")
        .next();
    let manifest = fs::read(manifest.expect("a release").expect("a file").path());
    let manifest: Value = serde_json::from_slice(&manifest.expect("its text")).expect("JSON");
    for (index, registry) in [&pair.one_url, &pair.two_url].into_iter().enumerate() {
        assert_eq!(manifest["packages"][index]["registry"], json!(registry));
    }
    assert_eq!(pair.authorizations("one"), bearer(&pair.one));
    assert_eq!(pair.authorizations("two"), bearer(&pair.two));
    let secrets = [pair.one.token.as_str(), pair.two.token.as_str()];
    monorepo
        .sandbox()
        .keeps_secret(&secrets, &released, &[], &[]);

    // Whoever runs again looks at both and finds it done.
    pair.proxy.reset();
    let again = with_both(&["publish"]).run().expect(0);
    assert!(
        again.stdout.contains("nothing to publish"),
        "{}",
        again.stdout
    );
    assert!(!pair.heard("one").is_empty() && !pair.heard("two").is_empty());
}

#[test]
fn a_registry_without_a_credential_is_named_with_its_packages_and_costs_no_version() {
    let pair = Pair::start();
    let monorepo = two_scopes();
    let before = refs(&monorepo);
    let run = |command: &str| {
        pair.binary(&monorepo, &[command])
            .env("PKGS_REGISTRIES", format!("@two={}", pair.two_url))
            .run()
    };
    let plan = run("plan").expect(0);
    let missing = format!(
        "missing registry-tokens: set PKGS_REGISTRY_TOKENS to {}=<token>",
        pair.two_url
    );
    assert!(plan.stdout.contains(&missing), "{}", plan.stdout);
    let refused = run("release").expect(2);
    let what = format!(
        "error[npm::no_credential]: there is no npm credential to publish @two/b at {}",
        pair.two_url
    );
    says(
        &refused,
        &[&what, "which NPM_CONFIG_USERCONFIG names, is not there"],
    );
    assert!(!refused.stderr.contains("@one/a"), "{}", refused.stderr);
    assert_nothing_happened(&pair, &monorepo, &before);
    assert_eq!(pair.authorizations("two"), [None]);

    // Where both lack one, both are told.
    let refused = pair
        .binary(&monorepo, &["release"])
        .env("PKGS_REGISTRIES", format!("@two={}", pair.two_url))
        .env("PKGS_NPM_TOKEN", "")
        .run()
        .expect(2);
    says(&refused, &["to publish @one/a at ", &what]);

    // A token that its registry refuses is found out as early.
    pair.proxy.reset();
    let refused = pair
        .binary(&monorepo, &["release"])
        .env("PKGS_REGISTRIES", format!("@two={}", pair.two_url))
        .env(
            "PKGS_REGISTRY_TOKENS",
            format!("{}=not-a-token-of-it", pair.two_url),
        )
        .run()
        .expect(5);
    says(&refused, &["npm::unauthorized", &pair.two_url]);
    assert_nothing_happened(&pair, &monorepo, &before);
}

#[test]
fn the_repository_sends_no_package_where_the_workflow_did_not() {
    let pair = Pair::start();
    let monorepo = declares(two_scopes(), "b", &pair.two_url).pushed();
    let before = refs(&monorepo);
    let refused = pair.binary(&monorepo, &["release"]).run().expect(3);
    says(
        &refused,
        &[
            "error[plan::registry]: @two/b belongs to the registry",
            &pair.two_url,
            &pair.one_url,
            "publishConfig.registry in packages/b/package.json",
        ],
    );
    assert!(pair.heard("two").is_empty());
    assert_nothing_happened(&pair, &monorepo, &before);

    // The same in the workspace's .npmrc, with a credential that it would like to have.
    let npmrc = format!(
        "@two:registry={}\n{}:_authToken=${{NPM_TOKEN}}\n",
        pair.two_url,
        Pair::place(&pair.two_url)
    );
    let monorepo = two_scopes()
        .commit("chore: npmrc", &[(".npmrc", &npmrc)])
        .pushed();
    let before = refs(&monorepo);
    pair.proxy.reset();
    let run = |variable: &str, value: &str| {
        pair.binary(&monorepo, &["release"])
            .env("NPM_TOKEN", "canary-of-the-variable")
            .env(variable, value)
            .run()
    };
    let refused = run("PKGS_PUSH", "true").expect(3);
    says(
        &refused,
        &[
            "error[plan::registry]",
            "@two:registry in .npmrc",
            ".npmrc:1",
        ],
    );
    assert!(pair.heard("two").is_empty());
    assert_nothing_happened(&pair, &monorepo, &before);

    // Once the workflow names the place it counts, and its credential still does not.
    let refused = run("PKGS_REGISTRIES", &format!("@other={}", pair.two_url)).expect(2);
    let why = "in .npmrc is not used: what the repository says gives none";
    says(&refused, &["npm::no_credential", "@two/b", why]);
    assert_eq!(pair.authorizations("two"), [None]);
    assert_nothing_happened(&pair, &monorepo, &before);

    // Where `registry` is set, a mirror that the .npmrc has for installs decides nothing.
    let mirror = format!("registry={}\n", pair.two_url);
    let monorepo = two_scopes()
        .commit("chore: mirror", &[(".npmrc", &mirror)])
        .pushed();
    pair.proxy.reset();
    let _ = pair.binary(&monorepo, &["release"]).run().expect(0);
    assert!(pair.heard("two").is_empty());
    assert_eq!(pair.one.versions("@two/b"), ["1.0.0"]);
}

#[test]
fn the_users_npmrc_serves_as_it_is() {
    let pair = Pair::start();
    let monorepo = declares(two_scopes(), "b", &pair.two_url).pushed();
    let npmrc = monorepo.sandbox().npmrc();
    let (one_place, two_place) = (Pair::place(&pair.one_url), Pair::place(&pair.two_url));
    // The password is in base64, as npm keeps it: releaser-password.
    let text = format!(
        "registry={}\n{one_place}:_authToken=${{ONE}}\n{two_place}:username=releaser\n{two_place}:_password=\"cmVsZWFzZXItcGFzc3dvcmQ=\"\n",
        pair.one_url
    );
    fs::write(&npmrc, text).expect("an .npmrc");
    let run = |token: Option<&str>| {
        let release = monorepo
            .binary(&["release"])
            .env("npm_config_registry", "")
            .env("PKGS_FORGE_RELEASE", "false");
        match token {
            Some(token) => release.env("ONE", token).run(),
            None => release.run(),
        }
    };
    let before = refs(&monorepo);
    let refused = run(None).expect(2);
    let place = format!("{}:2", npmrc.display());
    says(
        &refused,
        &[
            "error[npm::unset_variable]",
            "the variable ONE is not set",
            &place,
        ],
    );
    assert_nothing_happened(&pair, &monorepo, &before);
    assert!(pair.authorizations("one").iter().all(Option::is_none));

    pair.proxy.reset();
    let released = run(Some(&pair.one.token)).expect(0);
    assert_eq!(pair.one.versions("@one/a"), ["1.0.0"]);
    assert_eq!(pair.two.versions("@two/b"), ["1.0.0"]);
    assert_eq!(pair.authorizations("one"), bearer(&pair.one));
    let basic = Some("Basic cmVsZWFzZXI6cmVsZWFzZXItcGFzc3dvcmQ=".to_owned());
    assert_eq!(pair.authorizations("two"), [basic]);
    let secrets = [pair.one.token.as_str(), "releaser-password"];
    monorepo
        .sandbox()
        .keeps_secret(&secrets, &released, &[], &[&npmrc]);
}

#[test]
fn a_release_that_one_registry_broke_off_goes_on_at_both() {
    let pair = Pair::start();
    let monorepo = declares(two_scopes(), "b", &pair.two_url).pushed();
    let tokens = format!("{}={}", pair.two_url, pair.two.token);
    pair.proxy
        .when(|seen| (seen.server == "two" && seen.writes()).then_some(Fault::AnswerBefore(403)));
    let broken = pair
        .binary(&monorepo, &["release"])
        .env("PKGS_REGISTRY_TOKENS", &tokens)
        .run()
        .expect(5);
    says(&broken, &["@two/b", "without another version"]);
    assert_eq!(pair.one.versions("@one/a"), ["1.0.0"]);
    assert!(pair.two.versions("@two/b").is_empty());

    // The manifest at that commit says where it goes, not the one that stands there by now.
    let monorepo = declares(monorepo, "b", &pair.one_url).pushed();
    pair.proxy.reset();
    let finished = pair
        .binary(&monorepo, &["publish"])
        .env("PKGS_REGISTRY_TOKENS", &tokens)
        .run()
        .expect(0);
    assert_eq!(
        pair.two.versions("@two/b"),
        ["1.0.0"],
        "{}",
        finished.stderr
    );
    assert!(pair.one.versions("@two/b").is_empty());
}

#[test]
fn the_plan_says_what_does_not_count() {
    let monorepo = declares(two_scopes(), "b", "https://one.example/")
        .tag("@one/a@1.0.0")
        .tag("@two/b@0.9.0");
    let plan = |registry: &str, registries: &str| {
        monorepo
            .binary(&["plan", "--filter=@two/b"])
            .env("PKGS_REGISTRY", registry)
            .env("PKGS_REGISTRIES", registries)
            .run()
    };
    let told = plan("https://one.example/", "@two=https://two.example/").expect(0);
    let warning = "warning[plan::registry_overruled]: @two/b goes to https://two.example/, which `registries` says, and not to \"https://one.example/\", which publishConfig.registry in packages/b/package.json says";
    assert!(told.stdout.contains(warning), "{}", told.stdout);
    let told = plan("https://one.example/", "").expect(0);
    assert!(!told.stdout.contains("warning"), "{}", told.stdout);
}

#[test]
fn github_takes_no_name_without_a_scope() {
    let monorepo = Monorepo::new()
        .package("plain", "1.0.0")
        .released()
        .commit("fix: a", &[("packages/plain/src/index.js", "")]);
    let refused = monorepo
        .binary(&["plan"])
        .env("PKGS_REGISTRY", "https://npm.pkg.github.com")
        .run()
        .expect(3);
    says(
        &refused,
        &["error[npm::unscoped]: plain cannot be published at https://npm.pkg.github.com/"],
    );
}

#[test]
fn a_token_that_is_used_for_one_registry_is_not_sent_to_another() {
    let pair = Pair::start();
    let monorepo = two_scopes();
    // What setup-node writes where it is told of another registry than the public one.
    let text = format!(
        "{}:_authToken=${{NODE_AUTH_TOKEN}}\n",
        Pair::place(&pair.two_url)
    );
    fs::write(monorepo.sandbox().npmrc(), text).expect("an .npmrc");
    let refused = monorepo
        .binary(&["release"])
        .env("PKGS_REGISTRY", &pair.one_url)
        .env("PKGS_REGISTRIES", format!("@two={}", pair.two_url))
        .env("NODE_AUTH_TOKEN", &pair.two.token)
        .run()
        .expect(2);
    says(&refused, &["npm::no_credential", "@one/a"]);
    assert_eq!(pair.authorizations("one"), [None]);
    assert_eq!(pair.authorizations("two"), bearer(&pair.two));
}

#[test]
fn entries_of_registries_are_checked() {
    let monorepo = two_scopes();
    let check = |name: &str, value: &str, parts: &[&str]| {
        let refused = monorepo.binary(&["plan"]).env(name, value).run().expect(2);
        says(&refused, parts);
        assert!(!refused.stderr.contains("canary"), "{}", refused.stderr);
    };
    let registries = "error[settings::registries]";
    for value in [
        "two=https://npm.example/",
        "@two",
        "@two=npm.example",
        "@two=http://npm.example/",
        "@two/b=https://npm.example/",
        "@two=https://a.example/\n@two=https://b.example/",
        "@two=https://ann:canary@npm.example/",
    ] {
        check("PKGS_REGISTRIES", value, &[registries, "PKGS_REGISTRIES"]);
    }
    for value in ["canary", "@two=canary", "http://npm.example/=canary"] {
        let parts = [registries, "line 1 of PKGS_REGISTRY_TOKENS"];
        check("PKGS_REGISTRY_TOKENS", value, &parts);
    }
    let config = monorepo.edit("pkgs.json", |config| {
        config["registries"] = json!({"@two": "https://npm.example/"});
    });
    let refused = config.run(&["plan"]).expect(2);
    says(&refused, &["settings::not_in_file"]);
}

/// What npm makes of settings files, by its own modules: their entries with variables replaced, and the header of a request.
const NPM: &str = r"
const [home, input] = process.argv.slice(1)
const ini = require(`${home}/ini`)
const replace = require(`${home}/@npmcli/config/lib/env-replace.js`)
const auth = require(`${home}/npm-registry-fetch/lib/auth.js`)
const { environment, files, asked } = JSON.parse(input)
const read = text => {
  const entries = {}
  for (const [key, value] of Object.entries(ini.parse(text))) {
    if (typeof value !== 'object') entries[replace(key, environment)] = replace(String(value), environment)
  }
  return entries
}
const header = (entries, uri) => {
  const found = auth(uri, { ...entries, registry: 'https://none.example/' })
  return found.token ? `Bearer ${found.token}` : found.auth ? `Basic ${found.auth}` : null
}
const answers = files.map(text => {
  const entries = read(text)
  return { entries, headers: asked.map(uri => header(entries, uri)) }
})
process.stdout.write(JSON.stringify(answers))
";

#[test]
fn settings_files_mean_what_npm_makes_of_them() {
    let environment = BTreeMap::from([
        ("T".to_owned(), "token-of-a-variable".to_owned()),
        ("HOST".to_owned(), "a.example".to_owned()),
    ]);
    let keys = [
        "//a.example/:_authToken",
        "//a.example:_authToken",
        "//a.example/npm/:_authToken",
        "//a.example/npm:_authToken",
        "//a.example/np/:_authToken",
        "//a.example:8443/:_authToken",
        "//${HOST}/:_authToken",
        "//a.example/npm/:_auth",
        "//A.example/:_authToken",
        "@x:registry",
        "\"//a.example/:_authToken\"",
    ];
    let values = [
        "plain",
        "${T}",
        "${T?}",
        "${NO?}",
        "\\${T}",
        "\"quoted; # =\"",
        "'single'",
        "a=b==",
        "a ; said",
        "a#b",
        "a\\;b\\#c",
        "",
        "\"broken",
    ];
    let mut files: Vec<String> = keys
        .iter()
        .flat_map(|key| values.iter().map(move |value| format!("{key} = {value}\n")))
        .collect();
    files.extend(
        [
            "//a.example/:username=ann\n//a.example/:_password=a2V5\n",
            "//a.example/:username=ann\n",
            "//a.example/:_auth=YW5uOmtleQ==\n//a.example/npm/:_authToken=near\n",
            "//a.example/:_authToken=first\r\n\r\n; x\n # y\n//a.example/:_authToken=last\n",
            "x\ny=\n[section]\n//a.example/:_authToken=inside\n",
            "list[]=a\nlist[]=b\n//a.example/:_authToken=t",
        ]
        .map(str::to_owned),
    );
    let asked = [
        "https://a.example/",
        "https://a.example/npm/",
        "https://a.example/npm/team/",
        "https://a.example:8443/",
        "https://b.example/",
    ];
    let input = json!({"environment": environment, "files": files, "asked": asked});
    let output = Command::new(installed().join("node/bin/node"))
        .args(["-e", NPM])
        .arg(installed().join("npm/package/node_modules"))
        .arg(input.to_string())
        .output()
        .expect("node runs");
    assert!(output.status.success(), "{output:?}");
    let answers: Vec<Value> = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(answers.len(), files.len());
    for (text, answer) in files.iter().zip(answers) {
        let entries = npmrc::entries("npmrc", text).expect("entries");
        let replaced = |text: &str| npmrc::expand(text, &environment).text;
        let entries = entries.iter();
        let ours: BTreeMap<String, String> = entries
            .map(|entry| (replaced(&entry.key), replaced(&entry.value)))
            .collect();
        assert_eq!(json!(ours), answer["entries"], "{text}");
        let file = NpmrcFile {
            shown: "npmrc".to_owned(),
            text: text.clone(),
            whose: Whose::User,
        };
        let said = Said {
            registry: Some(RegistryAddress::public()),
            ..Said::default()
        };
        let (registries, _) = Registries::resolve(said, &[file], &environment).expect("registries");
        for (asked, theirs) in asked
            .iter()
            .zip(answer["headers"].as_array().expect("a list"))
        {
            let url = Url::parse(asked).expect("a URL");
            let ours = match registries.credentials.of(&url) {
                Credential::Given(secret) => json!(secret.authorization(&url)),
                // npm sends what stands there; we never do.
                Credential::Broken(_) => theirs.clone(),
                Credential::Missing => json!(null),
            };
            assert_eq!(ours, *theirs, "{text} {asked}");
        }
    }
}

/// Where npm says that it would publish `@x/a`.
fn npm_publishes_to(said: &[&str]) -> String {
    let address = |name: &str| format!("http://127.0.0.1:9/{name}/");
    let is_said = |name: &str| said.contains(&name);
    let sandbox = Sandbox::new();
    let package = sandbox.path().join("package");
    fs::create_dir(&package).expect("a directory");
    let (user, project) = npmrcs(said);
    fs::write(sandbox.npmrc(), user).expect("an .npmrc");
    fs::write(package.join(".npmrc"), project).expect("an .npmrc");
    let mut config = serde_json::Map::new();
    for (name, key) in [("manifest", "registry"), ("manifest-scope", "@x:registry")] {
        if is_said(name) {
            config.insert(key.to_owned(), json!(address(name)));
        }
    }
    let manifest = json!({"name": "@x/a", "version": "1.0.0", "publishConfig": config});
    fs::write(package.join("package.json"), manifest.to_string()).expect("a manifest");
    let mut npm = sandbox.command(installed().join("node/bin/node"), &package);
    npm.arg(installed().join("npm/package/bin/npm-cli.js"))
        .args(["publish", "--dry-run", "--tag=latest"]);
    if is_said("variable") {
        npm.env("npm_config_registry", address("variable"));
    } else {
        npm.env_remove("npm_config_registry");
    }
    let output = npm.output().expect("npm runs");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let line = text.split("Publishing to ").nth(1).unwrap_or(&text);
    line.split(' ').next().unwrap_or_default().to_owned()
}

/// The user's file and the workspace's.
fn npmrcs(said: &[&str]) -> (String, String) {
    let line = |name: &str, key: &str| {
        if said.contains(&name) {
            format!("{key}=http://127.0.0.1:9/{name}/\n")
        } else {
            String::new()
        }
    };
    (
        line("user", "registry") + &line("user-scope", "@x:registry"),
        line("project", "registry") + &line("project-scope", "@x:registry"),
    )
}

/// Where we would, all of it being said by somebody who may.
fn we_publish_to(said: &[&str]) -> String {
    let address = |name: &str| format!("http://127.0.0.1:9/{name}/");
    let is_said = |name: &str| said.contains(&name);
    let (user, project) = npmrcs(said);
    let file = |text: String, whose| NpmrcFile {
        shown: "npmrc".to_owned(),
        text,
        whose,
    };
    let files = [
        file(user, Whose::User),
        file(project, Whose::Repository),
        file("//127.0.0.1:9/:_authToken=t".to_owned(), Whose::User),
    ];
    let variable = ("npm_config_registry".to_owned(), address("variable"));
    let environment = [variable].into_iter().filter(|_| is_said("variable"));
    let resolved = Registries::resolve(Said::default(), &files, &environment.collect());
    let (registries, everywhere) = resolved.expect("registries");
    let word = |name: &str| {
        is_said(name).then(|| Word {
            address: address(name),
            said: name.to_owned(),
            place: None,
            is_repositorys: true,
        })
    };
    let declared = Declared {
        registry: word("manifest"),
        of_scope: word("manifest-scope"),
    };
    let name = PackageName::parse("@x/a").expect("a name");
    let found = registries.destination(&name, &declared, &everywhere);
    let RegistryAddress::Npm(everywhere) = everywhere else {
        unreachable!("nothing says a directory")
    };
    let registry = found.expect("a place").registry;
    registry.unwrap_or(everywhere).to_string()
}

#[test]
fn packages_go_where_npm_sends_them() {
    let cases: [&[&str]; 12] = [
        &["variable", "project", "user"],
        &["project", "user"],
        &["user"],
        &["user", "user-scope"],
        &["user", "project-scope", "user-scope"],
        &["variable", "manifest"],
        &["project", "manifest"],
        &["user", "user-scope", "manifest"],
        &["variable", "project-scope", "manifest"],
        &["user", "user-scope", "manifest-scope"],
        &["project", "project-scope", "manifest", "manifest-scope"],
        &["variable", "manifest", "manifest-scope"],
    ];
    for said in cases {
        assert_eq!(we_publish_to(said), npm_publishes_to(said), "{said:?}");
    }
}
