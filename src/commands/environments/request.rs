//! What is asked of an environment, and what answers it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::names::usage;
use crate::apply::static_files::OpenRoot;
use crate::environment::entry::{self, CdnName};
use crate::explain::{Failure, is_hostile, quoted};
use crate::local::stop::Stop;
use crate::name::{EnvironmentName, PackageName};
use crate::plan::promote::By;
use crate::remote::cdn::OpenCdn;
use crate::remote::store::Store;
use crate::settings::{Apps, Choice};

/// The longest reason or actor, in characters.
const LONGEST_TEXT: usize = 500;

/// Whether the second commit descends from the first; `None` where nobody knows.
pub type Ancestry = dyn Fn(&str, &str) -> Option<bool> + Send + Sync;

/// What a person or a workflow asks of an environment.
#[derive(Clone)]
pub struct Request {
    /// Which apps.
    pub apps: Apps,
    /// The environment.
    pub environment: EnvironmentName,
    /// A version, a release id, a number of the log, or `previous`.
    pub to: Option<String>,
    /// Promote what is live in this environment.
    pub from: Option<EnvironmentName>,
    /// Why.
    pub reason: Option<String>,
    /// Who.
    pub actor: String,
    /// Whether a person asks, or automation.
    pub by: By,
    /// Override held, bad, and "not a descendant".
    pub force: bool,
    /// Everything but the writes.
    pub dry_run: bool,
    /// Now, RFC 3339.
    pub now: String,
    /// What makes this request one: the same text in every attempt of the same job step. The operation ids are made of it.
    pub operation: String,
    /// The workflow run.
    pub run: Option<String>,
    /// The environments that apps are to have.
    pub environments: Configured,
    /// The static root that is configured.
    pub static_root: Choice<String>,
    /// The CDN that is configured.
    pub cdn: Choice<CdnName>,
    /// The public address of static files that is configured.
    pub static_url: Option<String>,
    /// A text that differs between runs, attempts of the same job step among them.
    pub attempt: String,
    /// How many requests run side by side.
    pub concurrency: usize,
    /// The wish to stop.
    pub stop: Stop,
    /// Answers which commit descends from which, where a history is at hand.
    pub ancestry: Option<Arc<Ancestry>>,
}

/// The environments that apps are to have.
#[derive(Debug, Clone, Default)]
pub struct Configured {
    /// Of each app that the configuration names.
    pub apps: BTreeMap<PackageName, Vec<EnvironmentName>>,
    /// Of every other app.
    pub others: Vec<EnvironmentName>,
    /// Whether a configuration says so. Without one an app may have others: those that it was built for.
    pub by_configuration: bool,
}

impl Configured {
    /// Those of one app.
    #[must_use]
    pub fn of(&self, app: &PackageName) -> &[EnvironmentName] {
        self.apps.get(app).unwrap_or(&self.others)
    }
}

/// The outside that these commands speak to.
#[derive(Clone)]
pub struct Remotes {
    /// The store.
    pub store: Arc<dyn Store>,
    /// Opens static roots.
    pub static_roots: Arc<dyn OpenRoot>,
    /// Opens the CDNs in front of them.
    pub cdns: Arc<dyn OpenCdn>,
}

/// A ULID that is the same in every attempt, and another one for every other deed.
pub(super) fn operation_id(request: &Request, op: &str, app: &PackageName) -> String {
    let from = request.from.as_ref().map_or("", EnvironmentName::as_str);
    let text = [
        request.operation.as_str(),
        op,
        app.as_str(),
        request.environment.as_str(),
        request.to.as_deref().unwrap_or(""),
        from,
    ]
    .join("\n");
    entry::operation(&text)
}

/// Text that others will read in their terminals: no control characters, no changes of direction, not too long.
pub(super) fn check_texts(request: &Request) -> Result<(), Failure> {
    let texts = [
        ("reason", request.reason.as_deref()),
        ("actor", Some(request.actor.as_str())),
    ];
    for (name, text) in texts {
        let Some(text) = text else { continue };
        if text.chars().any(is_hostile) || text.chars().count() > LONGEST_TEXT {
            return Err(usage(
                "environment::text",
                format!("'{name}' cannot be recorded: {}", quoted(text)),
            )
            .hint(format!(
                "one line of at most {LONGEST_TEXT} characters, without control characters"
            )));
        }
    }
    Ok(())
}
