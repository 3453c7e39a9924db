//! What a pull came to, for people and programs.

use serde::Serialize;

/// What a pull came to, for one app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Pulled {
    /// `pkgs.pull/1`.
    pub schema: &'static str,
    /// The app.
    pub app: String,
    /// The environment.
    pub environment: String,
    /// The version that the pointer names.
    pub version: String,
    /// The number of the entry that made it live.
    pub seq: u64,
    /// What became of it.
    pub outcome: Outcome,
    /// How many bytes of archives and deltas were fetched, where something was installed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fetched_bytes: Option<u64>,
    /// How many bytes the whole archive has, likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub archive_bytes: Option<u64>,
    /// Whether nothing was done because that was asked for.
    pub dry_run: bool,
}

/// How a pull that is no failure ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The release runs now.
    Installed,
    /// It ran already.
    UpToDate,
    /// It was installed, but had ended; it runs again.
    StartedAgain,
    /// A dry run: it would be installed.
    WouldInstall,
    /// It failed here before and is not tried again; the old one runs.
    FailedBefore,
}

impl Pulled {
    /// For a person. Where nothing is to be said there is nothing, so that cron sends no mail; [`Pulled::line`] has words for it. A dry run
    /// always answers.
    ///
    /// ```
    /// use pkgs_action::report::pull::{Outcome, Pulled};
    /// let pulled = |outcome| Pulled { schema: "pkgs.pull/1", app: "web".into(), environment: "sit".into(), version: "1.0.0".into(), seq: 1, outcome, fetched_bytes: None, archive_bytes: None, dry_run: false };
    /// assert_eq!(pulled(Outcome::Installed).text(), "web 1.0.0 runs (sit)\n");
    /// assert_eq!(pulled(Outcome::UpToDate).text(), "");
    /// assert_eq!(pulled(Outcome::UpToDate).line(), "web 1.0.0 runs already (sit)");
    /// let dry = Pulled { dry_run: true, ..pulled(Outcome::UpToDate) };
    /// assert_eq!(dry.text(), "dry run: web 1.0.0 is installed already (sit)\n");
    /// ```
    pub fn text(&self) -> String {
        match self.outcome {
            Outcome::UpToDate | Outcome::FailedBefore if !self.dry_run => String::new(),
            _ => self.line() + "\n",
        }
    }

    /// What became of it, in one line.
    pub fn line(&self) -> String {
        let Pulled {
            app,
            environment,
            version,
            ..
        } = self;
        match self.outcome {
            Outcome::Installed => format!("{app} {version} runs ({environment})"),
            Outcome::StartedAgain => {
                format!("{app} {version} had ended and runs again ({environment})")
            }
            Outcome::WouldInstall => {
                format!("dry run: {app} {version} would be installed ({environment})")
            }
            Outcome::UpToDate if self.dry_run => {
                format!("dry run: {app} {version} is installed already ({environment})")
            }
            Outcome::UpToDate => format!("{app} {version} runs already ({environment})"),
            Outcome::FailedBefore => format!(
                "{app} {version} failed here before and is not tried again; the old release runs ({environment})"
            ),
        }
    }
}
