//! Asking a service for its health: answered, by this release, several times.

use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use super::{blocking, in_one_line};
use crate::explain::quoted;
use crate::local::host::{Life, who_listens};

/// The header by which a service may say which release answers: its `RELEASE_ID`.
pub const RELEASE_HEADER: &str = "x-release-id";

/// How often and how long a service is asked for its health.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProbePatience {
    /// How many good answers in a row, from the same processes, make it healthy.
    pub successes: u32,
    /// How often it is asked at most.
    pub attempts: u32,
    /// The pause between two questions.
    pub interval: Duration,
    /// The most one answer may take.
    pub timeout: Duration,
    /// How many looks a service without a health address must live through.
    pub looks: u32,
}

impl Default for ProbePatience {
    fn default() -> ProbePatience {
        ProbePatience {
            successes: 3,
            attempts: 60,
            interval: Duration::from_secs(1),
            timeout: Duration::from_secs(5),
            looks: 10,
        }
    }
}

impl ProbePatience {
    /// As many good answers as ever, but nothing is waited for.
    pub(super) fn without_waiting(self) -> ProbePatience {
        ProbePatience {
            attempts: self.successes,
            ..self
        }
    }
}

/// What is asked of a service, and how its answer is known to be its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// The address that answers when it is healthy; without one its process must live.
    pub health: Option<Url>,
    /// The app's directory, physical: nobody else in there may listen.
    pub app_directory: PathBuf,
    /// The release's directory, physical: who listens works in there.
    pub release_directory: PathBuf,
    /// The version that [`RELEASE_HEADER`] may name instead.
    pub version: String,
}

/// Asks until the service has answered well several times in a row, or why it is given up. `life` tells what became of its start
/// command; one that ended badly is not waited for.
pub async fn probe(
    check: &Check,
    mut life: impl FnMut() -> Life,
    patience: ProbePatience,
) -> Result<(), String> {
    let (wanted, most) = match check.health {
        Some(_) => (patience.successes, patience.attempts),
        None => (patience.looks, patience.looks),
    };
    let client = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(patience.timeout)
        .pool_max_idle_per_host(0)
        .build()
        .map_err(|error| error.to_string())?;
    let mut in_a_row = 0;
    let mut by = Vec::new();
    let mut last = "it was never asked".to_owned();
    for attempt in 0..most {
        if attempt > 0 {
            tokio::time::sleep(patience.interval).await;
        }
        if let Life::Ended(how) = life() {
            return Err(format!("its start command ended with {how}"));
        }
        let answer = match &check.health {
            Some(url) => ask(&client, url, check).await,
            None => Ok(Vec::new()),
        };
        match answer {
            // Another process than the one before: it was restarted meanwhile, and is judged anew.
            Ok(answered) if answered != by => {
                by = answered;
                in_a_row = 1;
            }
            Ok(_) => in_a_row += 1,
            Err(why) => {
                in_a_row = 0;
                if why != last {
                    tracing::info!("not healthy yet: {why}");
                }
                last = why;
            }
        }
        if in_a_row >= wanted {
            return Ok(());
        }
    }
    Err(format!(
        "asked {most} times, it did not answer well {wanted} times in a row; last: {last}"
    ))
}

/// Asks once: the processes that answered (none where the answer itself says which release it is from), or what was wrong.
async fn ask(client: &reqwest::Client, url: &Url, check: &Check) -> Result<Vec<u32>, String> {
    let answer = client.get(url.clone()).send().await.map_err(|error| {
        if error.is_timeout() {
            format!("{url} did not answer in time")
        } else {
            format!("{url} did not answer")
        }
    })?;
    if !answer.status().is_success() {
        return Err(format!("{url} answered {}", answer.status().as_u16()));
    }
    if let Some(says) = answer.headers().get(RELEASE_HEADER) {
        return if says.as_bytes() == check.version.as_bytes() {
            Ok(Vec::new())
        } else {
            Err(format!(
                "{url} was answered by release {}",
                quoted(&String::from_utf8_lossy(says.as_bytes()))
            ))
        };
    }
    let port = url.port_or_known_default().unwrap_or(80);
    let listeners = blocking(move || who_listens(port))
        .await
        .map_err(|failure| in_one_line(&failure))?;
    let (ours, others): (Vec<_>, Vec<_>) = listeners.iter().partition(|listener| {
        listener
            .process
            .as_ref()
            .is_some_and(|process| process.is_inside(&check.release_directory))
    });
    let other_release = others.iter().find(|listener| {
        listener
            .process
            .as_ref()
            .is_some_and(|process| process.is_inside(&check.app_directory))
    });
    match (other_release.or(others.first()), ours.is_empty()) {
        (Some(other), true) => Err(format!("{url} was answered by {}", other.describe())),
        (None, true) => Err(format!("nobody was seen to listen at {url}")),
        (_, false) => match other_release {
            Some(other) => Err(format!("{} still listens at {url}", other.describe())),
            None => Ok(ours
                .iter()
                .filter_map(|listener| Some(listener.process.as_ref()?.id))
                .collect()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apply::install::site::{GOOD, Site};

    #[tokio::test]
    async fn an_answer_of_another_release_is_no_answer() {
        let mut site = Site::new();
        site.installed("1.0.0", GOOD).await;
        let check = Check {
            health: Url::parse(&format!("http://127.0.0.1:{}/", site.port)).ok(),
            app_directory: site.host.directory().to_owned(),
            release_directory: site.host.release("1.1.0"),
            version: "1.1.0".to_owned(),
        };
        let why = probe(
            &check,
            || Life::Running,
            site.settings.probe.without_waiting(),
        )
        .await
        .expect_err("it is the old one");
        assert!(why.contains("releases/1.0.0"), "{why}");
    }
}
