//! What came is what runs: it is remembered, and old releases go.

use super::{Install, blocking, in_one_line};
use crate::explain::Failure;
use crate::release::host::Phase;

impl Install<'_> {
    pub(super) async fn commit(&mut self, seq: u64) -> Result<(), Failure> {
        let Some(coming) = self.state.coming.take() else {
            return Ok(());
        };
        if let Some(mut mark) = self.host.mark(&coming.directory)? {
            mark.seq = seq;
            self.host.write_mark(&coming.directory, &mark)?;
        }
        let old = self.state.installed.replace(coming.clone());
        if let Some(old) = old.filter(|old| old.directory != coming.directory) {
            self.state.previous = Some(old);
        }
        self.state.seen = self.state.seen.max(seq);
        self.state.interrupted = None;
        self.state.foreground = self.group_lives();
        self.enter(Phase::Committed).await?;
        self.prune(&coming.directory).await;
        Ok(())
    }

    /// The release runs: what cannot be cleaned up is told and changes nothing.
    async fn prune(&self, installed: &str) {
        let host = self.host.clone();
        let keep = self.settings.keep;
        let mut kept = vec![installed.to_owned()];
        kept.extend(
            self.state
                .previous
                .as_ref()
                .map(|previous| previous.directory.clone()),
        );
        let builds = self.needed_builds();
        let pruned = blocking(move || {
            host.clear_temporary()?;
            let builds: Vec<&str> = builds.iter().map(String::as_str).collect();
            host.forget_archives(&builds)?;
            let kept: Vec<&str> = kept.iter().map(String::as_str).collect();
            host.prune(keep, &kept)
        })
        .await;
        match pruned {
            Ok(removed) if removed.is_empty() => {}
            Ok(removed) => {
                let app = self.host.app();
                tracing::info!("{app}: removed {} from releases/", removed.join(", "));
            }
            Err(failure) => tracing::warn!("{}", in_one_line(&failure)),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::apply::install::site::{GOOD, Site};

    #[tokio::test]
    async fn old_releases_go_but_never_the_current_and_the_previous_one() {
        let mut site = Site::new();
        site.settings.keep = 1;
        for version in ["1.0.0", "1.1.0", "1.2.0"] {
            site.installed(version, GOOD).await;
        }
        assert!(!site.host.release("1.0.0").exists());
        assert!(site.host.release("1.1.0").exists());
        assert!(site.host.release("1.2.0").exists());
    }
}
