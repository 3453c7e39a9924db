//! A real browser, driven over `WebDriver`: Debian's `chromium` and `chromium-driver`, without a screen.

use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::http;
use super::servers::Server;

/// What it starts with: nothing is asked of anybody but the page, and no screen, sandbox of its own or graphics card is needed.
const FLAGS: [&str; 12] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
    // It ends with its driver: the pipe between them is closed then.
    "--remote-debugging-pipe",
];

/// How a page is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct View {
    pub width: u32,
    pub height: u32,
    pub dark: bool,
}

/// A browser with one page. It ends with its value or with the test process.
#[derive(Debug)]
pub struct Browser {
    session: String,
    _driver: Server,
    _scratch: tempfile::TempDir,
}

impl Browser {
    /// Starts one.
    ///
    /// # Panics
    /// Where it is not installed, telling how to install it.
    pub fn start() -> Browser {
        let there = |program: &&str| {
            let asked = Command::new(program).arg("--version").output();
            asked.is_ok_and(|answer| answer.status.success())
        };
        let program = ["chromium", "google-chrome"].into_iter().find(there);
        let (Some(program), true) = (program, there(&"chromedriver")) else {
            panic!(
                "chromium and chromedriver are needed to look at pages: `apt-get install chromium chromium-driver fonts-dejavu-core`, as .ci/run does"
            );
        };
        let program = which(program);
        let scratch = tempfile::tempdir().expect("a directory");
        let (driver, port) = Server::start_on_free_port(scratch.path(), "/status", |port| {
            let mut command = Command::new("chromedriver");
            command
                .arg(format!("--port={port}"))
                .env("LANG", "en_GB.UTF-8")
                .env("TZ", "UTC");
            command
        });
        let profile = format!(
            "--user-data-dir={}",
            scratch.path().join("profile").display()
        );
        let arguments: Vec<&str> = FLAGS.into_iter().chain([profile.as_str()]).collect();
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": {"binary": program, "args": arguments},
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
        }}});
        let url = format!("http://127.0.0.1:{port}/session");
        let answer = send("POST", &url, &wanted);
        let id = answer["sessionId"].as_str().expect("a session").to_owned();
        let browser = Browser {
            session: format!("{url}/{id}"),
            _driver: driver,
            _scratch: scratch,
        };
        // What its own first page asked for is nobody's.
        browser.open("about:blank");
        let _ = browser.requests();
        browser
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        send("POST", &format!("{}/{path}", self.session), body)
    }

    /// Opens a page and waits until it is loaded.
    pub fn open(&self, url: &str) {
        self.post("url", &json!({"url": url}));
    }

    /// Lays the page out for a screen of this size and scheme of colours.
    pub fn look(&self, view: View) {
        let View {
            width,
            height,
            dark,
        } = view;
        let scheme = if dark { "dark" } else { "light" };
        self.command(
            "Emulation.setDeviceMetricsOverride",
            &json!({"width": width, "height": height, "deviceScaleFactor": 2, "mobile": width < 600}),
        );
        self.command(
            "Emulation.setEmulatedMedia",
            &json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]}),
        );
    }

    /// Sends a command of the browser's own protocol.
    pub fn command(&self, command: &str, parameters: &Value) -> Value {
        let body = json!({"cmd": command, "params": parameters});
        self.post("goog/cdp/execute", &body)
    }

    /// What a script gives that `return`s something; a promise is waited for.
    pub fn script(&self, script: &str) -> Value {
        self.post("execute/sync", &json!({"script": script, "args": []}))
    }

    /// What was logged since this was asked last: `browser` is the console, `performance` holds each request.
    pub fn log(&self, kind: &str) -> Vec<Value> {
        let entries = self.post("se/log", &json!({"type": kind}));
        entries.as_array().cloned().unwrap_or_default()
    }

    /// The addresses of all requests since this was asked last.
    pub fn requests(&self) -> Vec<String> {
        let sent = self.log("performance").into_iter().filter_map(|entry| {
            let message: Value = serde_json::from_str(entry["message"].as_str()?).ok()?;
            let message = &message["message"];
            (message["method"] == "Network.requestWillBeSent").then(|| {
                let url = message["params"]["request"]["url"].as_str();
                url.unwrap_or_default().to_owned()
            })
        });
        sent.collect()
    }

    /// Clicks the first element that a selector finds.
    pub fn click(&self, selector: &str) {
        let found = self.post(
            "element",
            &json!({"using": "css selector", "value": selector}),
        );
        let id = found.as_object().and_then(|found| found.values().next());
        let id = id.and_then(Value::as_str).expect("an element");
        self.post(&format!("element/{id}/click"), &json!({}));
    }

    /// Presses a key, by its name or letter.
    pub fn press(&self, key: &str) {
        let actions = json!([{"type": "key", "id": "keys", "actions": [
            {"type": "keyDown", "value": key}, {"type": "keyUp", "value": key},
        ]}]);
        self.post("actions", &json!({"actions": actions}));
    }

    /// Writes the page as a picture, from its top on as far as pictures go.
    pub fn picture(&self, file: &Path) {
        const HIGHEST: u64 = 7000;
        let size = self.script("return [innerWidth, document.documentElement.scrollHeight]");
        let height = size[1].as_u64().unwrap_or(HIGHEST).min(HIGHEST);
        let clip = json!({"x": 0, "y": 0, "width": size[0], "height": height, "scale": 1});
        let parameters = json!({"format": "png", "captureBeyondViewport": true, "clip": clip});
        let taken = self.command("Page.captureScreenshot", &parameters);
        let taken = taken["data"].as_str().expect("a picture");
        let bytes = STANDARD.decode(taken).expect("base64");
        std::fs::write(file, bytes).expect("a file");
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = http::send("DELETE", &self.session, &[], b"");
    }
}

/// The file of a program on the path.
fn which(program: &str) -> String {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut files = std::env::split_paths(&path).map(|directory| directory.join(program));
    let file = files.find(|file| file.is_file()).expect("a file");
    file.display().to_string()
}

/// The value that the driver answers.
fn send(method: &str, url: &str, body: &Value) -> Value {
    let kind = ("Content-Type", "application/json");
    let answer = http::send(method, url, &[kind], body.to_string().as_bytes());
    let answer = answer.expect("an answer of the driver");
    let mut whole: Value = serde_json::from_slice(&answer.body).expect("JSON");
    assert_eq!(answer.status, 200, "{url}: {whole:#}");
    whole["value"].take()
}
