//! The door: environment and clock in, exit code out. Nothing else in the house reads either.
#![expect(
    clippy::disallowed_methods,
    reason = "this is the one place that reads the environment and the clock"
)]

use std::collections::BTreeMap;
use std::io::{ErrorKind, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tracing_subscriber::layer::SubscriberExt as _;

use pkgs_action::commands;
use pkgs_action::explain::{Exit, Failure};
use pkgs_action::local::files;
use pkgs_action::local::hidden::hide_secrets;
use pkgs_action::local::owner::become_owner;
use pkgs_action::local::process::Children;
use pkgs_action::local::stop::Stop;
use pkgs_action::local::terminal::Terminal;
use pkgs_action::report;
use pkgs_action::settings::adopted;
use pkgs_action::settings::config::{self, ConfigFile, Form};
use pkgs_action::settings::inputs::{self, Asked, Collected};
use pkgs_action::settings::npmrc::{self, NpmrcFile, Whose};
use pkgs_action::settings::runner::Runner;
use pkgs_action::settings::variables::secret_values;
use pkgs_action::settings::{Command, Deed, Settings, World};

#[global_allocator]
static MEMORY: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let environment: BTreeMap<String, String> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let in_actions = environment
        .get("GITHUB_ACTIONS")
        .is_some_and(|value| value == "true");
    let summary = environment
        .get("GITHUB_STEP_SUMMARY")
        .filter(|file| !file.is_empty())
        .map(PathBuf::from);
    let mut secrets = secret_values(&environment);
    // Whatever is known as a secret: npm's settings files may take one from a variable of any name.
    let prepared = hide_secrets()
        .and_then(|()| arguments())
        .and_then(|arguments| prepare(&arguments, environment));
    if let Ok(Prepared::Run(settings)) = &prepared {
        secrets.extend(settings.registries.credentials.values());
        secrets.extend(settings.cdn.variables.values().cloned());
    }
    let safe = |text: &str| report::failure::redacted(text, &secrets);
    let ended = match prepared {
        Ok(Prepared::Print(text)) => {
            print(&text);
            return ExitCode::SUCCESS;
        }
        Ok(Prepared::Run(settings)) => run(*settings, &secrets),
        Err(failure) => {
            if let Some(file) = summary {
                let told = report::summary::of_failure("pkgs-action", &failure);
                append(&file, &safe(&told));
            }
            Err(failure)
        }
    };
    match ended {
        Ok(exit) => ExitCode::from(exit.code()),
        Err(failure) => {
            say(&safe(&report::failure::text(&failure)));
            if in_actions {
                print(&safe(&report::failure::annotations(&failure)));
            }
            ExitCode::from(failure.exit().code())
        }
    }
}

/// The arguments, if they and our own variables are text: a value that cannot be read must not count as unset.
fn arguments() -> Result<Vec<String>, Failure> {
    let refuse = |what: String| {
        Failure::new(Exit::Usage, "settings::encoding", what).hint("write it in UTF-8")
    };
    for (name, value) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if (name.starts_with("INPUT_") || name.starts_with("PKGS_")) && value.to_str().is_none() {
            return Err(refuse(format!("{name} is not UTF-8")));
        }
    }
    std::env::args_os()
        .skip(1)
        .map(|argument| {
            argument.into_string().map_err(|argument| {
                refuse(format!("the argument {} is not UTF-8", argument.display()))
            })
        })
        .collect()
}

enum Prepared {
    Run(Box<Settings>),
    Print(String),
}

/// Writes to stdout; a reader that went away is no reason to stop.
fn print(text: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes());
    let _ = stdout.flush();
}

fn prepare(
    arguments: &[String],
    mut environment: BTreeMap<String, String>,
) -> Result<Prepared, Failure> {
    let collected = match inputs::collect(arguments, &environment)? {
        Asked::Print(text) => return Ok(Prepared::Print(text)),
        Asked::Run(collected) => collected,
    };
    start_log(&collected, &environment);
    let directory = directory(&collected)?;
    let changes_npm = collected
        .inputs
        .get("npm-rollback")
        .is_some_and(|given| given.value.eq_ignore_ascii_case("true"));
    let by_tags = changes_npm && collected.inputs.get("environment").is_none();
    if works_in_checkout(collected.command.as_deref()) || by_tags {
        become_owner(&directory, &mut environment)?;
    }
    let files = config_files(&collected, &directory)?;
    let npmrc = if changes_npm || asks_registries(collected.command.as_deref()) {
        npmrc_files(&directory, &environment)?
    } else {
        Vec::new()
    };
    let absent_npmrc = named_npmrc(&environment).filter(|path| !path.exists());
    let event = environment
        .get("GITHUB_EVENT_PATH")
        .filter(|path| !path.is_empty())
        .and_then(|path| event_text(Path::new(path)));
    let clock = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or(Duration::ZERO);
    let world = World {
        directory,
        runner: Runner::read(&environment, event.as_deref()),
        now: i64::try_from(clock.as_secs()).unwrap_or(i64::MAX),
        nonce: clock.as_nanos() ^ (u128::from(std::process::id()) << 96),
        host_name: std::fs::read_to_string("/proc/sys/kernel/hostname")
            .ok()
            .map(|name| name.trim().to_owned()),
        environment,
        npmrc,
        absent_npmrc,
    };
    Settings::resolve(*collected, &files, world).map(|settings| Prepared::Run(Box::new(settings)))
}

/// The text of the event that started a workflow; the runner's own bound is 25 MiB. One that cannot be read is no event, and that is said.
fn event_text(file: &Path) -> Option<String> {
    const LONGEST_EVENT: u64 = 32 << 20;
    let read = files::read_bounded(file, LONGEST_EVENT);
    let bytes = read
        .inspect_err(|failure| tracing::warn!("the event of the workflow is not known: {failure}"))
        .ok()?;
    String::from_utf8(bytes).ok()
}

/// Whether a command reads and builds a checkout; those about environments and hosts do not.
fn works_in_checkout(command: Option<&str>) -> bool {
    matches!(
        command,
        None | Some(
            "plan" | "why" | "release" | "version" | "publish" | "pack" | "rehearse" | "doctor"
        )
    )
}

fn start_log(collected: &Collected, environment: &BTreeMap<String, String>) {
    let asked = collected
        .inputs
        .get("log-level")
        .map(|given| given.value.as_str());
    let level = match asked {
        Some("error") => tracing::Level::ERROR,
        Some("warn") => tracing::Level::WARN,
        Some("debug") => tracing::Level::DEBUG,
        None if environment
            .get("RUNNER_DEBUG")
            .is_some_and(|value| value == "1") =>
        {
            tracing::Level::DEBUG
        }
        _ => tracing::Level::INFO,
    };
    let filter = tracing_subscriber::filter::filter_fn(move |metadata| {
        metadata.target().starts_with("pkgs_action") && *metadata.level() <= level
    });
    let layer = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_target(false)
        .without_time()
        .log_internal_errors(false)
        .with_ansi(std::io::stderr().is_terminal());
    let _ = tracing::subscriber::set_global_default(
        tracing_subscriber::registry().with(filter).with(layer),
    );
}

fn directory(collected: &Collected) -> Result<PathBuf, Failure> {
    let here = std::env::current_dir().map_err(|error| {
        Failure::new(
            Exit::Usage,
            "settings::working_directory",
            "the current directory cannot be read",
        )
        .because(error)
    })?;
    match collected.inputs.get("working-directory") {
        None => {
            // As `npm pack`: any directory with a package.json can be packed as it is, also one that no workspace knows.
            let packs = collected.command.as_deref() == Some("pack") && !collected.own.planned;
            if packs && here.join("package.json").is_file() {
                return Ok(here);
            }
            Ok(workspace_around(&here))
        }
        Some(given) => {
            let directory = here.join(&given.value);
            if directory.is_dir() {
                Ok(directory)
            } else {
                Err(Failure::new(
                    Exit::Usage,
                    "settings::working_directory",
                    format!(
                        "{} is {}, which is not a directory",
                        given.name("working-directory"),
                        pkgs_action::explain::quoted(&given.value)
                    ),
                )
                .hint("name the directory of the workspace"))
            }
        }
    }
}

/// The outermost directory of the repository, on the way to where we stand, that has a `package.json`: whoever stands in a package
/// means the workspace that it is part of.
fn workspace_around(here: &Path) -> PathBuf {
    let Some(root) = here
        .ancestors()
        .find(|directory| directory.join(".git").exists())
    else {
        return here.to_path_buf();
    };
    let within = here
        .ancestors()
        .take_while(|directory| directory.starts_with(root));
    within
        .filter(|directory| directory.join("package.json").is_file())
        .last()
        .unwrap_or(here)
        .to_path_buf()
}

/// Our own configuration, then what other release tools have, which decides less.
fn config_files(collected: &Collected, directory: &Path) -> Result<Vec<ConfigFile>, Failure> {
    let mut files: Vec<ConfigFile> = own_config(collected, directory)?.into_iter().collect();
    for (name, form) in [
        (adopted::CHANGESETS, Form::Changesets),
        (adopted::LERNA, Form::Lerna),
        (adopted::RELEASE_PLEASE, Form::ReleasePlease),
        (adopted::OLD_PKGS, Form::OldPkgs),
    ] {
        files.extend(read_text(&directory.join(name))?.map(|text| ConfigFile {
            name: name.to_owned(),
            text,
            form,
        }));
    }
    Ok(files)
}

/// The configuration: the file that was named or `pkgs.json`, else the `pkgs` field of the root `package.json`.
fn own_config(collected: &Collected, directory: &Path) -> Result<Option<ConfigFile>, Failure> {
    let named = collected
        .inputs
        .get("config")
        .map(|given| given.value.as_str());
    let own = directory.join(named.unwrap_or(config::FILE));
    if let Some(text) = read_text(&own)? {
        return Ok(Some(ConfigFile {
            name: named.unwrap_or(config::FILE).to_owned(),
            text,
            form: Form::Own,
        }));
    }
    if let Some(named) = named {
        return Err(Failure::new(
            Exit::Usage,
            "settings::config",
            format!("the configuration file {named} does not exist"),
        )
        .hint("name a file of the workspace, or leave config out: pkgs.json is the default"));
    }
    let manifest = read_text(&directory.join("package.json"))?;
    let has_field = |text: &str| {
        serde_json::from_str::<serde_json::Value>(text.trim_start_matches('\u{feff}'))
            .is_ok_and(|manifest| manifest.get("pkgs").is_some())
    };
    Ok(manifest
        .filter(|text| has_field(text))
        .map(|text| ConfigFile {
            name: "package.json".to_owned(),
            text,
            form: Form::Field,
        }))
}

/// Whether a command asks registries in any case.
fn asks_registries(command: Option<&str>) -> bool {
    works_in_checkout(command) || matches!(command, Some("tag" | "abandon" | "status"))
}

/// npm's own settings files: the workspace's, and the user's. One that lies in the repository is the
/// repository's, whoever names it.
fn npmrc_files(
    directory: &Path,
    environment: &BTreeMap<String, String>,
) -> Result<Vec<NpmrcFile>, Failure> {
    let home =
        || Some(Path::new(environment.get("HOME").filter(|home| !home.is_empty())?).join(".npmrc"));
    let own = directory.join(".npmrc");
    let root = directory
        .ancestors()
        .find(|path| path.join(".git").exists());
    let root = root.unwrap_or(directory).canonicalize().ok();
    let mut files = Vec::new();
    let mut seen = Vec::new();
    for path in std::iter::once(own.clone()).chain(named_npmrc(environment).or_else(home)) {
        let Some(text) = npmrc_text(&path)? else {
            continue;
        };
        let real = path.canonicalize().unwrap_or_else(|_| path.clone());
        if seen.contains(&real) {
            continue;
        }
        let is_inside = root.as_ref().is_none_or(|root| real.starts_with(root));
        files.push(NpmrcFile {
            shown: if path == own {
                ".npmrc".to_owned()
            } else {
                path.display().to_string()
            },
            text,
            whose: if is_inside || path == own {
                Whose::Repository
            } else {
                Whose::User
            },
        });
        seen.push(real);
    }
    Ok(files)
}

/// The user's settings file, where a variable names it.
fn named_npmrc(environment: &BTreeMap<String, String>) -> Option<PathBuf> {
    environment.iter().find_map(|(name, value)| {
        let is_it = name.eq_ignore_ascii_case("npm_config_userconfig");
        (is_it && !value.is_empty()).then(|| PathBuf::from(value))
    })
}

/// The text of one of npm's settings files; npm too passes over a byte that is no UTF-8, and over a file that is not there.
fn npmrc_text(path: &Path) -> Result<Option<String>, Failure> {
    let refuse = |why: String| {
        let what = format!("{} cannot be read", path.display());
        Err(Failure::new(Exit::Usage, "settings::npmrc", what)
            .because(why)
            .hint("make it a readable file of at most 256 KiB"))
    };
    match std::fs::metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => refuse(error.to_string()),
        Ok(_) if path == Path::new("/dev/null") => Ok(None),
        Ok(metadata) if !metadata.is_file() => refuse("it is no file".to_owned()),
        Ok(_) => match files::read_bounded(path, npmrc::LONGEST) {
            Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
            Err(failure) => refuse(failure.to_string()),
        },
    }
}

/// The text of a file; `None` where there is none. A link that leads nowhere is no missing file: somebody meant one.
fn read_text(path: &Path) -> Result<Option<String>, Failure> {
    let refuse = |code: &'static str, why: String, hint: String| {
        let what = format!("{} cannot be read", path.display());
        Err(Failure::new(Exit::Usage, code, what)
            .because(why)
            .hint(hint))
    };
    let no_file = |why: String| {
        let hint = "make it a readable file of at most 2 MiB, or name another one with --config";
        refuse("settings::config", why, hint.to_owned())
    };
    let is_there = path.symlink_metadata().is_ok();
    match std::fs::metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound && !is_there => Ok(None),
        Err(error) => no_file(error.to_string()),
        Ok(metadata) if !metadata.is_file() => no_file("it is no file".to_owned()),
        Ok(metadata) if metadata.len() > config::LONGEST => {
            no_file("it is longer than 2 MiB".to_owned())
        }
        Ok(_) => match std::fs::read_to_string(path) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == ErrorKind::InvalidData => refuse(
                "settings::encoding",
                "it is not UTF-8".to_owned(),
                "write it in UTF-8".to_owned(),
            ),
            Err(error) => no_file(error.to_string()),
        },
    }
}

fn run(settings: Settings, secrets: &[String]) -> Result<Exit, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| {
            Failure::new(
                Exit::Temporary,
                "run::runtime",
                "the process could not start its threads",
            )
            .because(error)
        })?;
    let stop = Stop::default();
    let children = Children::default();
    let terminal = Terminal::attached();
    runtime.spawn(watch_signals(
        stop.clone(),
        children.clone(),
        terminal.clone(),
        last_words(&settings),
    ));
    let told = commands::run(settings, &print, terminal.as_ref(), &stop, &children);
    let told = runtime.block_on(told);
    // A run that failed may have left commands that ran beside the one it failed of.
    children.end();
    runtime.shutdown_background();
    print(&told.stdout);
    for (file, text) in &told.appended {
        match &told.failure {
            // A secret that was put into a wrong setting arrives in an error about that setting.
            Some(_) => append(file, &report::failure::redacted(text, secrets)),
            None => append(file, text),
        }
    }
    told.failure.map_or(Ok(Exit::Done), Err)
}

/// What an interrupted run says of going on.
fn last_words(settings: &Settings) -> &'static str {
    match settings.command {
        Command::Point(Deed::Rollback, _) => {
            "look at 'status' first: where the pointer has moved already, 'promote' of the version that is live now finishes it, and another 'rollback' would go further back"
        }
        _ => "run the same command again, it continues where this run stopped",
    }
}

/// As PID 1 a process gets no default handling of signals: without these it could not be stopped at all. The write in flight ends, none starts.
async fn watch_signals(
    stop: Stop,
    children: Children,
    terminal: Option<Terminal>,
    last_words: &'static str,
) {
    use tokio::signal::unix::{SignalKind, signal};
    const LAST_WRITE: Duration = Duration::from_secs(4);
    let (Ok(mut interrupt), Ok(mut terminate)) = (
        signal(SignalKind::interrupt()),
        signal(SignalKind::terminate()),
    ) else {
        return;
    };
    // What shall outlive its terminal is started without one, as nohup does, and lets this signal be.
    let mut hangup = terminal
        .as_ref()
        .and_then(|_| signal(SignalKind::hangup()).ok());
    let hung_up = async {
        match &mut hangup {
            Some(hangup) => hangup.recv().await,
            None => std::future::pending().await,
        }
    };
    let number = tokio::select! {
        _ = interrupt.recv() => 2,
        _ = terminate.recv() => 15,
        _ = hung_up => 15,
    };
    stop.request(number);
    let exit = if number == 2 {
        Exit::Interrupted
    } else {
        Exit::Terminated
    };
    children.cancel(exit);
    // While a question is open nothing is written, and nobody waits for an answer any more.
    if !terminal.as_ref().is_some_and(Terminal::is_asking) {
        tokio::time::sleep(LAST_WRITE).await;
    }
    children.kill();
    if let Some(terminal) = terminal {
        terminal.restore();
    }
    say(&format!("interrupted: {last_words}\n"));
    std::process::exit(i32::from(exit.code()));
}

/// Appends to a file that the runner named. That it cannot be written is said and fails nothing: what was done stays done.
fn append(file: &Path, text: &str) {
    let written = std::fs::OpenOptions::new()
        .append(true)
        .create(true)
        .open(file)
        .and_then(|mut file| file.write_all(text.as_bytes()));
    if let Err(error) = written {
        say(&format!(
            "warning: {} could not be written: {error}\n",
            file.display()
        ));
    }
}

/// Says something on stderr: the one place that prints there, but for questions at a terminal. Where nobody listens any more, as behind a terminal that was closed, that is no reason to stop.
fn say(text: &str) {
    let _ = std::io::stderr().write_all(text.as_bytes());
}
