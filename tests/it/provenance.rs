//! Stories of signed statements of where packages were built, beside those that npm itself makes against the same services.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use pkgs_action::name::{Integrity, PackageName};
use pkgs_action::release::provenance::statement;
use pkgs_action::settings::provenance::{GITLAB_PARAMETERS, Job};
use pkgs_action::version::Version;
use serde_json::{Value, json};

use crate::support::http::{Listener, Response};
use crate::support::monorepo::Monorepo;
use crate::support::sandbox::{Invocation, Run, Sandbox};
use crate::support::servers::installed;
use crate::support::sigstore::{Fault, Sigstore};
use crate::support::trusted::{RIGHT_TO_ASK, Trusting};
use crate::support::world::{World, output};

const NAMES: [&str; 2] = ["core", "@acme/text"];

/// What a job of GitHub knows, beside what every run of a workflow here does.
const GITHUB: [(&str, &str); 5] = [
    (
        "GITHUB_WORKFLOW_REF",
        "acme/monorepo/.github/workflows/release.yml@refs/heads/main",
    ),
    ("GITHUB_REPOSITORY_ID", "11"),
    ("GITHUB_REPOSITORY_OWNER_ID", "12"),
    ("GITHUB_SHA", "1f2e3d4c5b6a79880f1e2d3c4b5a69788f7e6d5c"),
    ("RUNNER_ENVIRONMENT", "github-hosted"),
];

fn two() -> Monorepo {
    let monorepo = Monorepo::new()
        .package("core", "1.0.0")
        .package("@acme/text", "1.0.0")
        .depends("@acme/text", "core", "^1.0.0");
    let named = |monorepo: Monorepo, directory: &str| {
        monorepo.edit(&format!("packages/{directory}/package.json"), |manifest| {
            manifest["repository"] = "git+https://github.com/acme/monorepo.git".into();
        })
    };
    ["core", "text"]
        .into_iter()
        .fold(monorepo, named)
        .config(&json!({"mode": "diff"}))
        .commit("feat: begin", &[])
}

/// A world in which the two are released as 1.0.0 with a token and trusted since, a public repository, and what signs.
struct Scene {
    world: World,
    registry: Trusting,
    sigstore: Sigstore,
}

impl Scene {
    fn new(bucket: &str) -> Scene {
        let world = World::served(two(), bucket);
        let registry = Trusting::before(world.outside.registry());
        let scene = Scene {
            sigstore: Sigstore::start(),
            world,
            registry,
        };
        let run = scene.by_token(&["release"]).run().expect(0);
        assert_eq!(run.outputs["outcome"], "released");
        assert_eq!(scene.sigstore.asked(), (0, 0));
        for name in NAMES {
            scene.registry.trust(name, "release.yml");
            scene.registry.show(name);
        }
        scene.registry.claim("repository_visibility", "public");
        scene.registry.forget();
        scene
    }

    fn develop(self, message: &str) -> Scene {
        Scene {
            world: self.world.develop(
                message,
                &[("packages/core/src/index.js", &format!("// {message}\n"))],
            ),
            ..self
        }
    }

    fn by_token(&self, arguments: &[&str]) -> Invocation {
        self.world
            .binary(arguments)
            .env("PKGS_STORE", "none")
            .env("PKGS_STATIC", "none")
            .env("PKGS_REGISTRY", self.registry.url())
            .envs(self.sigstore.variables())
            .envs(GITHUB)
    }

    fn by_identity(&self, arguments: &[&str]) -> Invocation {
        self.by_token(arguments).envs(self.registry.job())
    }

    /// What was put, as far as it was taken or refused by the registry.
    fn puts(&self) -> Vec<Value> {
        let seen = self.registry.seen().into_iter();
        let puts = seen
            .filter(|seen| seen.method == "PUT" || seen.target.starts_with("/-/stage/package/"));
        puts.map(|put| serde_json::from_slice(&put.request.body).expect("JSON"))
            .collect()
    }

    /// Every request of a run that holds a secret is one that it was made for, and nothing else holds it.
    fn keeps_secrets(&self, run: &Run) {
        let mut requests: Vec<(String, Vec<u8>)> = Vec::new();
        for seen in self.registry.seen() {
            let text = format!("{} {:?} ", seen.target, seen.request.headers);
            let what = format!("{} {}", seen.method, seen.target);
            requests.push((what, [text.as_bytes(), &seen.request.body].concat()));
        }
        for request in self.sigstore.seen() {
            let text = format!("{} {:?} ", request.target, request.headers);
            let what = format!("{} {}", request.method, request.path());
            requests.push((what, [text.as_bytes(), &request.body].concat()));
        }
        let holds = |bytes: &[u8], secret: &str| {
            let mut windows = bytes.windows(secret.len());
            windows.any(|window| window == secret.as_bytes())
        };
        for secret in self.registry.secrets() {
            let audience = secret.split('.').nth(1).and_then(|claims| {
                let claims = URL_SAFE_NO_PAD.decode(claims).expect("claims");
                let claims: Value = serde_json::from_slice(&claims).expect("claims");
                Some(claims["aud"].as_str()?.to_owned())
            });
            let package = self.registry.package_of(&secret);
            let escaped = package.map(|package| package.replace('/', "%2f"));
            let is_meant = |what: &str| match (audience.as_deref(), &escaped) {
                (Some("sigstore"), _) => what == "POST /api/v2/signingCert",
                (Some(_), _) => what.starts_with("POST /-/npm/v1/oidc/token/exchange/package/"),
                (None, Some(package)) => {
                    let below = what.split_once(' ').expect("a target").1;
                    let own = [
                        format!("/{package}"),
                        format!("/{package}?write=true"),
                        format!("/-/package/{package}/visibility"),
                        format!("/-/stage/package/{package}"),
                    ];
                    own.iter().any(|own| own == below)
                }
                (None, None) if secret == RIGHT_TO_ASK => what.starts_with("GET /identity?"),
                (None, None) => secret == self.registry.token() && !what.starts_with("POST /api/"),
            };
            let holding = requests.iter().filter(|(_, bytes)| holds(bytes, &secret));
            for (what, _) in holding {
                assert!(is_meant(what), "{what} holds {secret}");
            }
        }
        let secrets = self.registry.secrets();
        let secrets: Vec<&str> = secrets.iter().map(String::as_str).collect();
        let places = [
            self.world.monorepo.origin_directory(),
            self.world.outside.path(),
        ];
        let sandbox = self.world.monorepo.sandbox();
        sandbox.keeps_secret(&secrets, run, &places, &[]);
    }
}

/// The bundle of a put, and its attachment.
fn bundle_of(put: &Value) -> Option<(Value, Value)> {
    let attachments = put["_attachments"].as_object().expect("attachments");
    let name = attachments
        .keys()
        .find(|name| name.ends_with(".sigstore"))?;
    let attachment = attachments[name].clone();
    let bundle = serde_json::from_str(attachment["data"].as_str()?).expect("JSON");
    Some((bundle, attachment))
}

fn payload(bundle: &Value) -> String {
    let payload = bundle["dsseEnvelope"]["payload"].as_str().expect("text");
    String::from_utf8(STANDARD.decode(payload).expect("base64")).expect("text")
}

/// Every path to a value, with the type of what is there, in its order.
fn keys(value: &Value, at: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            found.push(format!("{at} object"));
            for (name, member) in members {
                keys(member, &format!("{at}/{name}"), found);
            }
        }
        Value::Array(items) => {
            found.push(format!("{at} array of {}", items.len()));
            for (index, item) in items.iter().enumerate() {
                keys(item, &format!("{at}/{index}"), found);
            }
        }
        Value::String(_) => found.push(format!("{at} string")),
        other => found.push(format!("{at} {other}")),
    }
}

fn keys_of(value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    keys(value, "", &mut found);
    found
}

/// Runs `script` with what npm is made of: `load` loads one of its modules, `input` is there.
fn with_npms_modules(
    sandbox: &Sandbox,
    script: &str,
    input: &Value,
    environment: &[(&str, String)],
) -> String {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("input.json");
    fs::write(&file, input.to_string()).expect("a file");
    let npm = installed().join("npm/package/package.json");
    let prelude = format!(
        "const load = require('module').createRequire({}); const input = JSON.parse(require('fs').readFileSync({}, 'utf8'));\n",
        json!(npm),
        json!(file)
    );
    let mut node = sandbox.command("node", directory.path());
    node.arg("-e").arg(prelude + script);
    for (name, value) in environment {
        node.env(name, value);
    }
    output(&mut node)
}

/// What npm itself sends to publish the package of `put` with provenance: the same manifest, the same tarball.
fn put_of_npm(
    sandbox: &Sandbox,
    sigstore: &Sigstore,
    put: &Value,
    environment: &[(&str, String)],
) -> Value {
    const SCRIPT: &str = r"
        const [manifest] = Object.values(input.put.versions);
        const tarball = Object.entries(input.put._attachments).find(([name]) => name.endsWith('.tgz'))[1].data;
        load('libnpmpublish').publish(manifest, Buffer.from(tarball, 'base64'), {
            registry: input.registry, provenance: true, access: 'public',
            fulcioURL: input.sigstore, rekorURL: input.sigstore,
            [input.registry.replace('http:', '') + ':_authToken']: 'token',
        }).catch((error) => { console.error(error); process.exit(1); });
    ";
    let puts = Arc::<Mutex<Vec<Value>>>::default();
    let shared = Arc::clone(&puts);
    let recorder = Listener::answering(move |request| {
        let body = serde_json::from_slice(&request.body).unwrap_or_default();
        shared.lock().expect("no holder panics").push(body);
        Response::new(200, "application/json", "{}")
    });
    let input = json!({
        "put": put, "sigstore": sigstore.url(), "registry": format!("{}/", recorder.url()),
    });
    let _ = with_npms_modules(sandbox, SCRIPT, &input, environment);
    let mut puts = puts.lock().expect("no holder panics");
    assert_eq!(puts.len(), 1, "requests of npm");
    puts.remove(0)
}

/// npm's own verifier takes a bundle; gives for whom it was made.
fn verified(sandbox: &Sandbox, sigstore: &Sigstore, bundle: &Value) -> String {
    const SCRIPT: &str = r"
        const { Verifier, toTrustMaterial, toSignedEntity } = load('@sigstore/verify');
        const root = load('@sigstore/protobuf-specs').TrustedRoot.fromJSON(input.root);
        const entity = toSignedEntity(load('@sigstore/bundle').bundleFromJSON(input.bundle));
        const verifier = new Verifier(toTrustMaterial(root), { ctlogThreshold: 0, tlogThreshold: 1 });
        console.log(verifier.verify(entity).identity.subjectAlternativeName);
    ";
    let input = json!({"bundle": bundle, "root": sigstore.trusted_root()});
    let said = with_npms_modules(sandbox, SCRIPT, &input, &[]);
    said.trim().to_owned()
}

#[test]
fn a_bundle_is_what_npm_makes_and_npm_verifies_it() {
    let scene = Scene::new("provenance").develop("fix(core): trim");
    let (registry, sigstore) = (&scene.registry, &scene.sigstore);
    // Neither a plan nor a checkup nor a run without writes signs.
    let plan = scene.by_identity(&["plan"]).run().expect(0);
    let told = "npm: core by npm's rule, once the registry is asked";
    assert!(plan.stdout.contains(told), "{}", plan.stdout);
    let doctor = scene.by_identity(&["doctor"]).run().expect(0);
    let told = "@acme/text, core with provenance: trusted publishing of a public package from a public repository";
    assert!(doctor.stdout.contains(told), "{}", doctor.stdout);
    let _ = scene.by_identity(&["release", "--dry-run"]).run().expect(0);
    assert_eq!(sigstore.asked(), (0, 0));
    registry.forget();

    let run = scene.by_identity(&["release"]).run().expect(0);
    assert_eq!(run.output("tags"), json!(["core@1.0.1"]));
    assert!(
        run.stderr
            .contains("the provenance of core@1.0.1 is signed and logged"),
        "{}",
        run.stderr
    );
    assert_eq!(sigstore.asked(), (1, 1));
    assert_eq!(sigstore.logged(), ["pkg:npm/core@1.0.1"]);
    scene.keeps_secrets(&run);
    let puts = scene.puts();
    let [put] = &puts[..] else {
        panic!("{} writes", puts.len())
    };
    let (bundle, attachment) = bundle_of(put).expect("a bundle");

    let sandbox = scene.world.monorepo.sandbox();
    let job = [
        ("GITHUB_ACTIONS", "true".to_owned()),
        ("GITHUB_EVENT_NAME", "push".to_owned()),
        ("GITHUB_REF", "refs/heads/main".to_owned()),
        ("GITHUB_REPOSITORY", "acme/monorepo".to_owned()),
        ("GITHUB_SERVER_URL", scene.world.outside.origin()),
        ("GITHUB_RUN_ID", "1001".to_owned()),
        ("GITHUB_RUN_ATTEMPT", "1".to_owned()),
    ];
    let given = GITHUB.map(|(name, value)| (name, value.to_owned()));
    let environment: Vec<(&str, String)> =
        job.into_iter().chain(given).chain(registry.job()).collect();
    let theirs = put_of_npm(sandbox, sigstore, put, &environment);
    let (their_bundle, their_attachment) = bundle_of(&theirs).expect("a bundle of npm's");
    assert_eq!(payload(&bundle), payload(&their_bundle));
    assert_eq!(keys_of(&bundle), keys_of(&their_bundle));
    assert_eq!(bundle["mediaType"], their_bundle["mediaType"]);
    assert_eq!(
        bundle["dsseEnvelope"]["payloadType"],
        their_bundle["dsseEnvelope"]["payloadType"]
    );
    assert_eq!(attachment["content_type"], their_attachment["content_type"]);
    let names = |put: &Value| -> Vec<String> {
        let attachments = put["_attachments"].as_object().expect("attachments");
        attachments.keys().cloned().collect()
    };
    assert_eq!(names(put), ["core-1.0.1.tgz", "core-1.0.1.sigstore"]);
    assert_eq!(names(put), names(&theirs));
    for attachment in [attachment, their_attachment] {
        let text = attachment["data"].as_str().expect("text");
        // JavaScript's length: the checkpoint has a letter outside ASCII.
        assert_eq!(attachment["length"], text.encode_utf16().count());
        assert_ne!(text.len(), text.encode_utf16().count());
    }
    // What is asked of the services is the same.
    let shapes = |path: &str| -> BTreeSet<Vec<String>> {
        let seen = sigstore
            .seen()
            .into_iter()
            .filter(|seen| seen.path() == path);
        seen.map(|seen| keys_of(&serde_json::from_slice(&seen.body).expect("JSON")))
            .collect()
    };
    assert_eq!(shapes("/api/v2/signingCert").len(), 1);
    assert_eq!(shapes("/api/v1/log/entries").len(), 1);

    let whose = "https://github.com/acme/monorepo/.github/workflows/release.yml@refs/heads/main";
    assert_eq!(verified(sandbox, sigstore, &their_bundle), whose);
    assert_eq!(verified(sandbox, sigstore, &bundle), whose);

    // Once more: what is there is signed no second time.
    sigstore.forget();
    let _ = scene.by_identity(&["release"]).run().expect(0);
    let _ = scene.by_identity(&["publish"]).run().expect(0);
    assert_eq!(sigstore.asked(), (0, 0));

    // The first entry of a log: what is 0 or empty stands nowhere.
    let scene = scene.develop("fix(core): again");
    scene.registry.forget();
    scene.sigstore.let_entries_be_alone();
    let _ = scene.by_identity(&["release"]).run().expect(0);
    let put = &scene.puts()[0];
    let sandbox = scene.world.monorepo.sandbox();
    let theirs = put_of_npm(sandbox, &scene.sigstore, put, &environment);
    let [ours, theirs] = [put, &theirs].map(|put| bundle_of(put).expect("a bundle").0);
    assert_eq!(keys_of(&ours), keys_of(&theirs));
    assert_eq!(verified(sandbox, &scene.sigstore, &ours), whose);
}

#[test]
fn the_statement_of_a_gitlab_job_is_npms_word_for_word() {
    let (sandbox, sigstore) = (Sandbox::new(), Sigstore::start());
    let claims = json!({"aud": "sigstore", "sub": "project_path:acme/mono", "workflow_ref": "x"});
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let token = format!("{}.{}.sig", part(&json!({})), part(&claims));
    let all = GITLAB_PARAMETERS
        .iter()
        .map(|name| (*name, format!("the {name}")));
    let all: Vec<(&str, String)> = all
        .chain([("CI_RUNNER_EXECUTABLE_ARCH", "linux/amd64".to_owned())])
        .chain([("SIGSTORE_ID_TOKEN", token)])
        .collect();
    let unset = [
        "CI_COMMIT_BRANCH",
        "CI_JOB_NAME",
        "CI_RUNNER_DESCRIPTION",
        "CI_CONFIG_PATH",
    ];
    let few = all
        .iter()
        .filter(|(name, _)| !unset.contains(name))
        .cloned();
    let few: Vec<(&str, String)> = few.collect();
    for environment in [all, few] {
        let put = json!({
            "versions": {"1.0.0": {"name": "@acme/a", "version": "1.0.0"}},
            "_attachments": {"@acme/a-1.0.0.tgz": {"data": STANDARD.encode("a tarball")}},
        });
        let theirs = put_of_npm(&sandbox, &sigstore, &put, &environment);
        let (bundle, _) = bundle_of(&theirs).expect("a bundle");
        let variables = environment.iter();
        let variables: BTreeMap<String, String> = variables
            .map(|(name, value)| ((*name).to_owned(), value.clone()))
            .collect();
        let job = Job::read(&variables);
        assert!(job.identity.is_some());
        let told = job.told().expect("nothing is lacking");
        let name = PackageName::parse("@acme/a").expect("a name");
        let version = Version::new(1, 0, 0);
        let ours = statement(&told, &name, &version, &Integrity::of(b"a tarball"));
        assert_eq!(ours, payload(&bundle));
    }
}

/// What a plan says in a job that may sign and wants to.
fn asks_and_plans(scene: &Scene, arguments: &[&str], access: &str) -> String {
    let job = scene.registry.job().into_iter();
    let run = scene
        .by_token(arguments)
        .envs(job.filter(|(name, _)| name.starts_with("ACTIONS_")))
        .env("PKGS_PROVENANCE", "true")
        .env("PKGS_ACCESS", access)
        .run();
    run.expect(0).stdout
}

#[test]
fn what_is_wanted_is_made_or_refused_before_anything_is_decided() {
    let scene = Scene::new("provenance-wanted").develop("fix(core): trim");
    let (world, registry, sigstore) = (&scene.world, &scene.registry, &scene.sigstore);
    let pushes = world.pushes();
    let refused = |run: Run, code: &str, text: &str| {
        let run = run.expect(2);
        assert!(
            run.stderr.contains(&format!("error[{code}]")),
            "{}",
            run.stderr
        );
        assert!(run.stderr.contains(text), "{text} in\n{}", run.stderr);
        assert_eq!((world.pushes(), scene.puts().len()), (pushes.clone(), 0));
        assert_eq!(sigstore.asked(), (0, 0));
        scene.keeps_secrets(&run);
    };
    let wanted = |invocation: Invocation| invocation.env("PKGS_PROVENANCE", "true");
    let token = || {
        scene
            .by_token(&["release"])
            .env("PKGS_NPM_TOKEN", registry.token())
    };
    refused(
        wanted(token()).run(),
        "provenance::no_identity",
        "permissions: id-token: write",
    );
    let plan = wanted(scene.by_token(&["plan"])).run().expect(0);
    assert!(
        plan.stdout
            .contains("missing provenance: core: provenance is true"),
        "{}",
        plan.stdout
    );
    let doc = asks_and_plans(&scene, &["plan", "--format=json"], "");
    let doc: Value = serde_json::from_str(&doc).expect("JSON");
    let open = "with provenance once the registry is asked: provenance is true, and a release is refused where package or repository are not public";
    let expected = json!([{"packages": ["core"], "signed": null, "why": open}]);
    assert_eq!(doc["provenance"], expected);
    for (access, told) in [
        ("", format!("npm: core {open}\n")),
        ("restricted", format!("npm: core {open}\n")),
        (
            "public",
            "npm: core with provenance: provenance is true\n".to_owned(),
        ),
    ] {
        let plan = asks_and_plans(&scene, &["plan"], access);
        assert!(plan.contains(&told), "{told} in\n{plan}");
    }
    let npm = token().env("NPM_CONFIG_PROVENANCE", "true").run();
    refused(
        npm,
        "provenance::no_identity",
        "NPM_CONFIG_PROVENANCE is true",
    );
    let asks = |invocation: Invocation| {
        let job = registry.job();
        invocation.envs(
            job.into_iter()
                .filter(|(name, _)| name.starts_with("ACTIONS_")),
        )
    };
    let run = asks(wanted(token())).env("GITHUB_SHA", "").run();
    refused(run, "provenance::unsupported", "did not set GITHUB_SHA");
    let run = asks(wanted(token())).env("PKGS_PROVENANCE", "maybe").run();
    refused(run, "settings::choice", "maybe");
    let run = asks(wanted(token()))
        .env("SIGSTORE_FULCIO_URL", "http://fulcio.example")
        .run();
    refused(run, "settings::url", "SIGSTORE_FULCIO_URL");
    let directory = format!("file://{}", world.outside.path().display());
    let run = asks(wanted(token())).env("PKGS_REGISTRY", directory).run();
    refused(
        run,
        "provenance::unsupported",
        "a directory keeps no statements",
    );

    // A package that the registry does not show to everybody, and says so nowhere.
    registry.hide("core");
    refused(
        asks(wanted(token())).run(),
        "provenance::not_public",
        "set access, or publishConfig.access, to public",
    );
    // By npm's rule that is no matter, and `false` is one for nobody.
    registry.claim("repository_visibility", "private");
    let run = scene.by_identity(&["release", "--dry-run"]).run().expect(0);
    let told = "core without provenance: the repository is not public";
    assert!(run.stderr.contains(told), "{}", run.stderr);
    registry.claim("repository_visibility", "public");
    let run = scene.by_identity(&["release", "--dry-run"]).run().expect(0);
    let told = "core without provenance: the registry does not show the package to everybody";
    assert!(run.stderr.contains(told), "{}", run.stderr);

    // With a token, and `access` that says for whom it is.
    registry.forget();
    let run = asks(wanted(token()))
        .env("PKGS_ACCESS", "public")
        .run()
        .expect(0);
    assert!(
        run.stderr
            .contains("core with provenance: provenance is true"),
        "{}",
        run.stderr
    );
    let puts = scene.puts();
    assert!(puts.len() == 1 && bundle_of(&puts[0]).is_some());
    assert_eq!(sigstore.asked(), (1, 1));
}

#[test]
fn false_and_publish_config_say_so_for_their_packages() {
    let scene = Scene::new("provenance-false").develop("feat(core)!: begin anew");
    let manifest = scene.world.monorepo.read("packages/core/package.json");
    let manifest = manifest.replacen('{', "{\n  \"publishConfig\": {\"provenance\": false},", 1);
    let files = [("packages/core/package.json", manifest.as_str())];
    let scene = Scene {
        world: scene.world.develop("chore: without", &files),
        ..scene
    };
    let run = scene
        .by_identity(&["release"])
        .env("PKGS_NPM_PUBLISH", "stage")
        .run()
        .expect(0);
    let told = "core without provenance: publishConfig.provenance is false";
    assert!(run.stderr.contains(told), "{}", run.stderr);
    let puts = scene.puts();
    let signed: BTreeMap<&str, bool> = puts
        .iter()
        .map(|put| {
            (
                put["name"].as_str().expect("a name"),
                bundle_of(put).is_some(),
            )
        })
        .collect();
    // Staged, as in npm, it goes along too.
    assert_eq!(
        signed,
        BTreeMap::from([("core", false), ("@acme/text", true)])
    );
    assert_eq!(scene.sigstore.logged(), ["pkg:npm/%40acme/text@1.0.1"]);
    scene.keeps_secrets(&run);
}

#[test]
fn a_snapshot_is_signed_like_any_version() {
    let scene = Scene::new("provenance-snapshot").develop("fix(core): trim");
    let run = scene
        .by_identity(&["release", "--snapshot=try"])
        .run()
        .expect(0);
    let told = "core with provenance: trusted publishing of a public package";
    assert!(run.stderr.contains(told), "{}", run.stderr);
    let puts = scene.puts();
    assert!(!puts.is_empty() && puts.iter().all(|put| bundle_of(put).is_some()));
    let logged = scene.sigstore.logged();
    let core = "pkg:npm/core@0.0.0-try-";
    assert!(
        logged.iter().any(|entry| entry.starts_with(core)),
        "{logged:?}"
    );
    assert_eq!(logged.len(), puts.len());
    scene.keeps_secrets(&run);
}

#[test]
fn services_that_fail_are_asked_again_with_a_fresh_entry_each_time() {
    let scene = Scene::new("provenance-faults").develop("fix(core): trim");
    let sigstore = &scene.sigstore;
    sigstore.fail(&[Fault::Status(503), Fault::Status(500)], &[]);
    let run = scene.by_identity(&["release"]).run().expect(0);
    assert_eq!(sigstore.asked(), (3, 1));
    scene.keeps_secrets(&run);

    // A lost answer: the entry is in the log, and another one is made.
    let scene = scene.develop("fix(core): again");
    let sigstore = &scene.sigstore;
    sigstore.forget();
    sigstore.fail(&[], &[Fault::Cut, Fault::Status(409)]);
    let _ = scene.by_identity(&["release"]).run().expect(0);
    assert_eq!(sigstore.asked(), (3, 3));
    let entries: BTreeSet<Vec<u8>> = sigstore.seen().into_iter().map(|seen| seen.body).collect();
    assert_eq!(entries.len(), 6);
    assert_eq!(sigstore.logged().len(), 1 + 2);
    let published = scene.puts();
    let (bundle, _) = bundle_of(published.last().expect("a put")).expect("a bundle");
    verified(scene.world.monorepo.sandbox(), sigstore, &bundle);
}

#[test]
fn without_the_services_nothing_is_published_and_a_later_run_finishes_once() {
    let scene = Scene::new("provenance-down").develop("fix(core): trim");
    let (registry, sigstore) = (&scene.registry, &scene.sigstore);
    let base = scene.world.monorepo.git(&["rev-parse", "HEAD"]);
    let down = Listener::answering(|_| Response::text(200, "")).url();
    let versions = || scene.world.outside.registry().versions("core");
    let run = scene
        .by_identity(&["release"])
        .env("SIGSTORE_REKOR_URL", &down)
        .run()
        .expect(75);
    assert!(
        run.stderr.contains("error[provenance::unanswered]"),
        "{}",
        run.stderr
    );
    let told = format!("{down}/ gives no usable answer");
    assert!(run.stderr.contains(&told), "{}", run.stderr);
    assert_eq!((scene.puts().len(), versions().len()), (0, 1));
    assert_eq!(sigstore.asked(), (3, 0));
    scene.keeps_secrets(&run);
    // An identity that names nobody is shown to nobody.
    registry.claim("sub", "");
    let run = scene.by_identity(&["release"]).run().expect(5);
    assert!(
        run.stderr.contains("error[provenance::identity]"),
        "{}",
        run.stderr
    );
    assert_eq!((scene.puts().len(), sigstore.asked()), (0, (3, 0)));
    registry.claim("sub", "repo:acme/monorepo:ref:refs/heads/main");
    // Whoever finishes it in the name of another commit is told so.
    sigstore.fail(&[Fault::Status(400)], &[]);
    let run = scene.by_identity(&["release"]).run().expect(5);
    let told = "this job runs for 1f2e3d4c5b6a79880f1e2d3c4b5a69788f7e6d5c";
    assert!(run.stderr.contains(told), "{}", run.stderr);
    let texts = ["error[provenance::refused]", "answered 400: \"not now for"];
    for text in texts {
        assert!(run.stderr.contains(text), "{text} in\n{}", run.stderr);
    }
    assert_eq!((scene.puts().len(), versions().len()), (0, 1));
    scene.keeps_secrets(&run);

    // A bundle that the registry refuses is not sent again; one that it had no time for is.
    sigstore.forget();
    registry.refuse_puts(&[(422, "Error verifying sigstore provenance bundle")]);
    let run = scene.by_identity(&["release"]).run().expect(5);
    assert!(
        run.stderr.contains("error[npm::unprocessable]"),
        "{}",
        run.stderr
    );
    assert_eq!((scene.puts().len(), sigstore.asked()), (1, (1, 1)));
    registry.refuse_puts(&[(503, "not now")]);
    let run = scene
        .by_identity(&["release"])
        .env("GITHUB_SHA", base.trim())
        .run()
        .expect(0);
    assert!(!run.stderr.contains("this job runs for"), "{}", run.stderr);
    assert_eq!(run.output("tags"), json!(["core@1.0.1"]));
    let bundles: Vec<Value> = scene
        .puts()
        .iter()
        .map(|put| bundle_of(put).expect("a bundle").0)
        .collect();
    assert_eq!((bundles.len(), sigstore.asked()), (3, (2, 2)));
    assert_ne!(bundles[0], bundles[1]);
    assert_eq!(bundles[1], bundles[2]);
    assert_eq!(versions().len(), 2);
    scene.keeps_secrets(&run);
}

#[test]
fn what_a_preflight_refuses_is_signed_nowhere() {
    let scene = Scene::new("provenance-refused").develop("feat(core)!: begin anew");
    let (registry, sigstore) = (&scene.registry, &scene.sigstore);
    registry.trust("@acme/text", "other.yml");
    let run = scene.by_identity(&["release"]).run().expect(5);
    assert!(
        run.stderr.contains("error[npm::untrusted]"),
        "{}",
        run.stderr
    );
    registry.trust("@acme/text", "release.yml");
    let rehearsal = scene
        .by_identity(&["rehearse"])
        .env("PKGS_PROVENANCE", "true")
        .run()
        .expect(0);
    assert_eq!((scene.puts().len(), sigstore.asked()), (0, (0, 0)));
    assert!(sigstore.logged().is_empty());
    scene.keeps_secrets(&run);
    scene.keeps_secrets(&rehearsal);
}
