//! An npm registry that trusts jobs, as the public one does: it stands before verdaccio, makes identity tokens as the platform of a workflow does,
//! exchanges them for tokens of one package each, and holds versions back until somebody approves them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::http::{self, Listener, Request, Response};
use super::verdaccio::Verdaccio;

/// What gives a job the right to ask for its identity.
pub const RIGHT_TO_ASK: &str = "canaryOfTheRightToAsk0123456789";

/// A request as it arrived.
#[derive(Debug, Clone)]
pub struct Seen {
    pub method: String,
    /// Path and query as they were sent.
    pub target: String,
    /// What came as `Bearer`.
    pub bearer: Option<String>,
    pub request: Request,
}

/// What a package's owner said about who publishes it.
#[derive(Debug, Clone)]
struct Publisher {
    file: String,
    may_publish: bool,
}

/// A version that waits.
#[derive(Debug, Clone)]
struct Waiting {
    package: String,
    version: String,
    body: Vec<u8>,
}

#[derive(Debug, Default)]
struct State {
    claims: Value,
    identities: Vec<String>,
    publishers: BTreeMap<String, Publisher>,
    /// Tokens that publish, and the package that each is for.
    exchanged: BTreeMap<String, String>,
    waiting: BTreeMap<String, Waiting>,
    seen: Vec<Seen>,
    refuses_exchanges: Option<u16>,
    /// Packages that everybody may see.
    shown: BTreeSet<String>,
    /// What the next PUTs get, which are not taken then.
    refuses_puts: VecDeque<(u16, String)>,
}

/// The registry.
#[derive(Debug)]
pub struct Trusting {
    listener: Listener,
    state: Arc<Mutex<State>>,
    behind: String,
    token: String,
}

impl Trusting {
    /// One before `verdaccio`, for jobs of the workflow `release.yml` of `acme/monorepo`.
    pub fn before(verdaccio: &Verdaccio) -> Trusting {
        let state = Arc::new(Mutex::new(State {
            claims: json!({
                "sub": "repo:acme/monorepo:ref:refs/heads/main",
                "repository": "acme/monorepo",
                "workflow_ref": "acme/monorepo/.github/workflows/release.yml@refs/heads/main",
                "job_workflow_ref": "acme/monorepo/.github/workflows/release.yml@refs/heads/main",
                "runner_environment": "github-hosted",
                "repository_visibility": "private",
            }),
            ..State::default()
        }));
        let (behind, token) = (verdaccio.url.clone(), verdaccio.token.clone());
        let listener = {
            let (state, behind, token) = (Arc::clone(&state), behind.clone(), token.clone());
            Listener::answering(move |request| answer(&state, &behind, &token, request))
        };
        Trusting {
            listener,
            state,
            behind,
            token,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder panics")
    }

    /// Its address, with a final slash.
    pub fn url(&self) -> String {
        format!("{}/", self.listener.url())
    }

    /// A token of verdaccio's that may publish everything.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// The variables of a job that may ask for its identity, and has no token.
    pub fn job(&self) -> [(&'static str, String); 4] {
        [
            ("PKGS_REGISTRY", self.url()),
            ("PKGS_NPM_TOKEN", String::new()),
            (
                "ACTIONS_ID_TOKEN_REQUEST_URL",
                format!("{}identity?api-version=2.0", self.url()),
            ),
            ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", RIGHT_TO_ASK.to_owned()),
        ]
    }

    /// Changes what the platform says of the job.
    pub fn claim(&self, name: &str, value: &str) {
        self.state().claims[name] = value.into();
    }

    /// The owner of `package` trusts the workflow `file` of `acme/monorepo`.
    pub fn trust(&self, package: &str, file: &str) {
        let publisher = Publisher {
            file: file.to_owned(),
            may_publish: true,
        };
        self.state()
            .publishers
            .insert(package.to_owned(), publisher);
    }

    /// The same, for staging only.
    pub fn trust_to_stage(&self, package: &str, file: &str) {
        self.trust(package, file);
        let mut state = self.state();
        let publisher = state.publishers.get_mut(package).expect("a publisher");
        publisher.may_publish = false;
    }

    /// From now on every exchange gets this answer.
    pub fn refuse_exchanges(&self, status: Option<u16>) {
        self.state().refuses_exchanges = status;
    }

    /// Everybody may see `package`.
    pub fn show(&self, package: &str) {
        self.state().shown.insert(package.to_owned());
    }

    /// Nobody but its owners may see `package`, as far as that is asked.
    pub fn hide(&self, package: &str) {
        self.state().shown.remove(package);
    }

    /// The next PUTs are not taken, and get these answers.
    pub fn refuse_puts(&self, answers: &[(u16, &str)]) {
        let answers = answers.iter();
        self.state().refuses_puts = answers
            .map(|(status, text)| (*status, (*text).to_owned()))
            .collect();
    }

    /// What waits for approval, as `name@version`, with its id.
    pub fn waiting(&self) -> BTreeMap<String, String> {
        let state = self.state();
        let waiting = state.waiting.iter();
        waiting
            .map(|(id, one)| (format!("{}@{}", one.package, one.version), id.clone()))
            .collect()
    }

    /// Somebody stages other bytes as a version of a package.
    pub fn stage_other_bytes(&self, package: &str, version: &str) {
        let dist = json!({"dist": {"shasum": "0".repeat(40)}});
        let waiting = Waiting {
            package: package.to_owned(),
            version: version.to_owned(),
            body: json!({"versions": {version: dist}})
                .to_string()
                .into_bytes(),
        };
        let id = "ffffffff-0000-4000-8000-000000000000".to_owned();
        self.state().waiting.insert(id, waiting);
    }

    /// A person approves what waits under `id`.
    pub fn approve(&self, id: &str) {
        let waiting = self.state().waiting.remove(id).expect("it waits");
        let url = format!("{}{}", self.behind, waiting.package.replace('/', "%2f"));
        let authorization = format!("Bearer {}", self.token);
        let headers = [
            ("Content-Type", "application/json"),
            ("Authorization", authorization.as_str()),
        ];
        let body = without_statement(&waiting.body);
        let answer = http::send("PUT", &url, &headers, &body).expect("an answer");
        assert_eq!(answer.status, 201, "PUT {url}");
    }

    /// A person rejects what waits under `id`.
    pub fn reject(&self, id: &str) {
        self.state().waiting.remove(id).expect("it waits");
    }

    /// Every request so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.state().seen.clone()
    }

    /// Forgets the requests so far.
    pub fn forget(&self) {
        self.state().seen.clear();
    }

    /// Every secret that it made or knows.
    pub fn secrets(&self) -> Vec<String> {
        let state = self.state();
        let made = state.identities.iter().chain(state.exchanged.keys());
        let known = [RIGHT_TO_ASK.to_owned(), self.token.clone()];
        made.cloned().chain(known).collect()
    }

    /// The package that a token was exchanged for.
    pub fn package_of(&self, token: &str) -> Option<String> {
        self.state().exchanged.get(token).cloned()
    }
}

fn answer(state: &Mutex<State>, behind: &str, token: &str, request: &Request) -> Response {
    let mut state = state.lock().expect("no holder panics");
    let bearer = request.headers.get("authorization");
    let bearer = bearer.and_then(|value| value.strip_prefix("Bearer "));
    state.seen.push(Seen {
        method: request.method.clone(),
        target: request.target.clone(),
        bearer: bearer.map(str::to_owned),
        request: request.clone(),
    });
    let path = request.path();
    let method = request.method.as_str();
    if path == "/identity" {
        return state.identity(bearer, request.query());
    }
    if let Some(package) = path.strip_prefix("/-/npm/v1/oidc/token/exchange/package/") {
        return match method {
            "POST" => state.exchange(bearer, package),
            _ => error(405, "method not allowed"),
        };
    }
    if let Some(package) = path.strip_prefix("/-/stage/package/") {
        return match state.may(bearer, package, token) {
            Some(_) => state.stage(package, behind, &request.body),
            None => error(404, "Not found"),
        };
    }
    if path == "/-/stage" {
        return match bearer {
            Some(bearer) if bearer == token => state.list(request.query()),
            _ => error(403, "short-lived tokens see nothing of what waits"),
        };
    }
    if let Some(package) = path.strip_prefix("/-/package/")
        && let Some(package) = package.strip_suffix("/visibility")
    {
        return if state.shown.contains(package) {
            json_answer(200, &json!({"public": true}))
        } else {
            error(404, "Not found")
        };
    }
    let package = path.trim_start_matches('/').to_owned();
    let may_write = state.may(bearer, &package, token);
    if method == "PUT" {
        let publishes = |body: &[u8]| {
            let body: Value = serde_json::from_slice(body).unwrap_or_default();
            body["_attachments"]
                .as_object()
                .is_some_and(|all| !all.is_empty())
        };
        if let Some((status, text)) = state.refuses_puts.pop_front() {
            return error(status, &text);
        }
        return match may_write {
            // What an exchange gives publishes, and changes nothing: https://github.com/npm/cli/issues/8547
            Some(_) if bearer != Some(token) && !publishes(&request.body) => {
                error(403, "this token may only publish")
            }
            Some(true) if state.waits(&package, &request.body) => {
                error(409, "Cannot publish over previously staged version.")
            }
            Some(true) => {
                let mut request = request.clone();
                request.body = without_statement(&request.body);
                forward(behind, Some(token), &request)
            }
            Some(false) => error(403, "this trusted publisher may only stage"),
            None => error(404, "Not found"),
        };
    }
    if bearer.is_some_and(|bearer| bearer != token && may_write.is_none()) {
        return error(401, "unknown token");
    }
    forward(behind, bearer.filter(|bearer| *bearer == token), request)
}

impl State {
    fn identity(&mut self, bearer: Option<&str>, query: &str) -> Response {
        if bearer != Some(RIGHT_TO_ASK) {
            return error(401, "no right to ask");
        }
        let audience = query
            .split('&')
            .find_map(|part| part.strip_prefix("audience="));
        let mut claims = self.claims.clone();
        claims["aud"] = audience.unwrap_or_default().replace("%3A", ":").into();
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signature = format!("canaryOfIdentity{:04}", self.identities.len());
        let jwt = format!(
            "{}.{}.{signature}",
            part(&json!({"alg": "none"})),
            part(&claims)
        );
        self.identities.push(jwt.clone());
        json_answer(200, &json!({"count": jwt.len(), "value": jwt}))
    }

    fn exchange(&mut self, bearer: Option<&str>, package: &str) -> Response {
        if let Some(status) = self.refuses_exchanges {
            return error(status, "no exchange now");
        }
        let known = bearer.is_some_and(|bearer| self.identities.iter().any(|one| one == bearer));
        if !known {
            return error(401, "OIDC token exchange error - unauthorized");
        }
        let is_meant = self.publishers.get(package).is_some_and(|publisher| {
            let workflow = format!("acme/monorepo/.github/workflows/{}@", publisher.file);
            let claimed = self.claims["workflow_ref"].as_str().unwrap_or_default();
            claimed.starts_with(&workflow) && self.claims["repository"] == "acme/monorepo"
        });
        if !is_meant {
            return error(404, "OIDC token exchange error - package not found");
        }
        let number = self.exchanged.len();
        let token = format!("canaryOfExchange{number:04}of{}", package.len());
        self.exchanged.insert(token.clone(), package.to_owned());
        json_answer(
            201,
            &json!({
                "token_type": "oidc", "token": token,
                "created": "2026-11-30T00:00:00.000Z", "expires": "2026-11-30T01:00:00.000Z",
            }),
        )
    }

    /// Whether a token may write `package`, and whether that includes publishing.
    fn may(&self, bearer: Option<&str>, package: &str, token: &str) -> Option<bool> {
        let bearer = bearer?;
        if bearer == token {
            return Some(true);
        }
        let own = self.exchanged.get(bearer)?;
        let publisher = self.publishers.get(package)?;
        (own == package).then_some(publisher.may_publish)
    }

    fn waits(&self, package: &str, body: &[u8]) -> bool {
        let version = version_in(body);
        self.waiting
            .values()
            .any(|one| one.package == package && one.version == version)
    }

    fn stage(&mut self, package: &str, behind: &str, body: &[u8]) -> Response {
        let version = version_in(body);
        let url = format!("{behind}{}", package.replace('/', "%2f"));
        let there = http::send("GET", &url, &[], b"").expect("an answer");
        let there: Value = serde_json::from_slice(&there.body).unwrap_or_default();
        if self.waits(package, body) || there["versions"].get(&version).is_some() {
            let text = format!("Cannot stage previously published version \"{version}\"");
            return error(409, &text);
        }
        let id = format!("00000000-0000-4000-8000-{:012}", self.waiting.len() + 1);
        let waiting = Waiting {
            package: package.to_owned(),
            version,
            body: body.to_vec(),
        };
        self.waiting.insert(id.clone(), waiting);
        json_answer(201, &json!({"stageId": id}))
    }

    fn list(&self, query: &str) -> Response {
        let package = query
            .split('&')
            .find_map(|part| part.strip_prefix("package="));
        let package = percent_encoding::percent_decode_str(package.unwrap_or_default());
        let package = package.decode_utf8_lossy().into_owned();
        let items: Vec<Value> = self
            .waiting
            .iter()
            .filter(|(_, one)| package.is_empty() || one.package == package)
            .map(|(id, one)| {
                let body: Value = serde_json::from_slice(&one.body).expect("JSON");
                let shasum = &body["versions"][&one.version]["dist"]["shasum"];
                json!({"id": id, "packageName": one.package, "version": one.version, "shasum": shasum, "status": "pending"})
            })
            .collect();
        json_answer(200, &json!({"total": items.len(), "items": items}))
    }
}

/// A body without the signed statement in it: verdaccio takes the tarball alone.
fn without_statement(body: &[u8]) -> Vec<u8> {
    let mut read: Value = serde_json::from_slice(body).expect("JSON");
    let attachments = read.get_mut("_attachments");
    if let Some(attachments) = attachments.and_then(Value::as_object_mut) {
        attachments.retain(|name, _| !name.ends_with(".sigstore"));
    }
    read.to_string().into_bytes()
}

/// The version that a body publishes.
fn version_in(body: &[u8]) -> String {
    let body: Value = serde_json::from_slice(body).expect("JSON");
    let versions = body["versions"].as_object().expect("versions");
    versions.keys().next().expect("a version").clone()
}

fn json_answer(status: u16, body: &Value) -> Response {
    Response::new(status, "application/json", body.to_string())
}

fn error(status: u16, message: &str) -> Response {
    json_answer(status, &json!({"message": message}))
}

fn forward(behind: &str, token: Option<&str>, request: &Request) -> Response {
    let url = format!("{behind}{}", request.target.trim_start_matches('/'));
    let authorization = token.map(|token| format!("Bearer {token}"));
    let mut headers = Vec::new();
    if let Some(kind) = request.headers.get("content-type") {
        headers.push(("Content-Type", kind));
    }
    if let Some(accept) = request.headers.get("accept") {
        headers.push(("Accept", accept));
    }
    if let Some(authorization) = &authorization {
        headers.push(("Authorization", authorization.as_str()));
    }
    http::send(&request.method, &url, &headers, &request.body).expect("verdaccio answers")
}
