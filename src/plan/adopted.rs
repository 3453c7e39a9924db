//! What a plan tells of the files of other release tools: what they say that does nothing here.

use crate::plan::release::Notice;
use crate::settings::adopted::{CHANGESETS, LERNA, Untaken};
use crate::settings::{Mode, Settings};

const CODE: &str = "plan::adopted";

/// Groups that the mode leaves without effect, and what no setting of ours can say; each file's keys together.
pub(super) fn without_effect(mode: Mode, settings: &Settings) -> Vec<Notice> {
    let groups = [("fixed", &settings.fixed), ("linked", &settings.linked)];
    let idle = groups.into_iter().filter(|(name, groups)| {
        mode == Mode::Sync && !groups.is_empty() && settings.adopted_from(name).is_some()
    });
    let mut notices: Vec<Notice> = idle
        .map(|(name, _)| Notice {
            code: CODE,
            message: format!(
                "{} does nothing in sync mode, where all packages share one version",
                settings.spelled(name)
            ),
        })
        .collect();
    if let Some(first) = settings.passed_over.first() {
        let keys: Vec<&str> = settings
            .passed_over
            .iter()
            .map(|one| one.key.as_str())
            .collect();
        let own: Vec<&str> = settings.passed_over.iter().map(|one| one.setting).collect();
        notices.push(Notice {
            code: CODE,
            message: format!(
                "{} in {} cannot be taken over as it stands; say here what you mean: {}",
                keys.join(", "),
                first.file,
                own.join(", ")
            ),
        });
    }
    notices.extend(
        [CHANGESETS, LERNA]
            .into_iter()
            .filter_map(|file| untaken(file, settings)),
    );
    notices
}

/// What a file says that no setting takes over, with what holds instead.
fn untaken(file: &str, settings: &Settings) -> Option<Notice> {
    const TOLD: usize = 30;
    let of_file = || settings.untaken.iter().filter(|one| one.file == file);
    let told: Vec<String> = of_file()
        .take(TOLD)
        .map(|Untaken { key, instead, .. }| format!("{key} ({instead})"))
        .collect();
    let more = match of_file().count() - told.len() {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    (!told.is_empty()).then(|| Notice {
        code: CODE,
        message: format!("not taken over from {file}: {}{more}", told.join("; ")),
    })
}
