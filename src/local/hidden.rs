//! Keeping what this process knows from the commands that it runs.

use rustix::process::{DumpableBehavior, set_dumpable_behavior};

use crate::explain::{Exit, Failure};

/// Hides this process's environment and memory from every other process of its user but root's: a build gets no secret in its own
/// environment, and would find them in `/proc/<pid>/environ` of ours. There is no core dump that could hold them either. Whoever
/// started us has to hide its own.
///
/// # Errors
/// `run::not_hidden`, exit 75, where the kernel refuses.
pub fn hide_secrets() -> Result<(), Failure> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(|error| {
        Failure::new(
            Exit::Temporary,
            "run::not_hidden",
            "the process could not hide its secrets from the commands that it runs",
        )
        .because(error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::dumpable_behavior;

    #[test]
    fn a_process_with_secrets_is_not_read_by_others() {
        let before = dumpable_behavior().unwrap();
        hide_secrets().unwrap();
        let hidden = dumpable_behavior().unwrap();
        set_dumpable_behavior(before).unwrap();
        assert_eq!(hidden, DumpableBehavior::NotDumpable);
    }
}
