//! A command of whoever moves the pointer, which tells a CDN that is no `CloudFront`.

use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use url::Url;

use super::{Cdn, Change};
use crate::explain::{Exit, Failure, quoted};
use crate::local::process::{Output, Project, ShellCommand, Variables};
use crate::local::scratch::Scratch;

/// How long the command may take: longer than any purge is waited for.
const LIMIT: Duration = Duration::from_mins(10);

/// The command.
#[derive(Debug, Clone)]
pub struct CdnCommand {
    /// Run by the shell.
    pub line: String,
    /// The directory it runs in.
    pub directory: PathBuf,
    /// What it sees of the environment beside what every child sees: what whoever set it named.
    pub variables: Variables,
    /// Runs it.
    pub project: Project,
}

impl CdnCommand {
    fn run(&self, change: &Change<'_>) -> Result<(), Failure> {
        let scratch = Scratch::new()?;
        let paths = scratch.path().join("paths");
        let mut text = change.paths.join("\n");
        text.push('\n');
        std::fs::write(&paths, text).map_err(|error| {
            Failure::new(
                Exit::Temporary,
                "static::cdn_command",
                "the changed paths could not be written for the command",
            )
            .because(error)
        })?;
        let mut command = ShellCommand::new(&self.line, &self.directory)
            .with("CDN_PATHS", paths.display().to_string())
            .with("CDN_APP", change.app.as_str())
            .with("CDN_ENVIRONMENT", change.environment.as_str())
            .with("CDN_VERSION", change.version)
            .reading(&paths)
            .within(LIMIT);
        if let Some(url) = change.url {
            command = command.with("CDN_URL", url);
            // What stands before every path.
            let origin = Url::parse(url).map(|url| url.origin().ascii_serialization());
            command = command.with("CDN_ORIGIN", origin.unwrap_or_default());
        }
        for (name, value) in &self.variables {
            command = command.with_secret(name, value);
        }
        let finished = self.project.run(&command, Output::Prefix("cdn-command"));
        finished
            .map(|_| ())
            .map_err(|failure| self.failed(&failure))
    }

    fn failed(&self, failure: &Failure) -> Failure {
        if failure.code() == "process::cancelled" {
            return failure.clone();
        }
        let told = Failure::new(
            Exit::Temporary,
            "static::cdn_command",
            format!(
                "the command that tells the CDN failed: {}",
                quoted(&self.line)
            ),
        );
        failure.causes().iter().fold(told, Failure::because)
    }
}

#[async_trait]
impl Cdn for CdnCommand {
    async fn tell(&self, change: &Change<'_>) -> Result<(), Failure> {
        tokio::task::block_in_place(|| self.run(change))
    }
}
