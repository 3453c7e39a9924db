//! `gc`: deletes from the store what no environment, window or pin needs.

pub mod collect;

use std::collections::BTreeMap;
use std::sync::Arc;

use self::collect::{By, Ground};
use crate::commands::{open_store, point};
use crate::explain::Failure;
use crate::local::stop::Stop;
use crate::name::PackageName;
use crate::plan::retention::Policy;
use crate::remote::store::Store;
use crate::remote::store::remembering::Remembering;
use crate::report::gc::Collected;
use crate::settings::{AppSettings, Settings, StoreSettings};

/// Deletes what nobody needs; a dry run tells what that is.
///
/// # Errors
/// Those of the store; what failed after something was done is in [`Collected::failure`].
pub async fn gc(
    settings: &Settings,
    store: &StoreSettings,
    stop: &Stop,
) -> Result<Collected, Failure> {
    let store: Arc<dyn Store> = Arc::new(Remembering::new(open_store(store).await?));
    let policies: BTreeMap<PackageName, Policy> = settings
        .apps
        .iter()
        .map(|(name, app)| (name.clone(), policy(app)))
        .collect();
    let roots = point::Roots::new(settings);
    let ground = Ground {
        store: store.as_ref(),
        roots: &roots,
        policy: policy(&settings.app_defaults),
        policies: &policies,
        now: settings.now,
        concurrency: settings.max_concurrency,
        stop,
        by: By {
            actor: point::actor(settings),
            run: settings.runner.run_id.clone(),
            at: crate::report::moment(settings.now),
            operation: point::operation(settings),
        },
    };
    let collected = if settings.dry_run {
        ground.rehearse().await
    } else {
        ground.collect().await
    };
    collected.map(Collected::counted)
}

fn policy(app: &AppSettings) -> Policy {
    Policy {
        keep_releases: app.keep_releases,
        keep_days: i64::try_from(app.keep_days).unwrap_or(i64::MAX),
    }
}
