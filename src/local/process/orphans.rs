//! What commands of the project leave running when they have ended: it could read what git is told later, which runs as the same user.

use std::collections::BTreeSet;
use std::time::Instant;

use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, getpid, kill_process, set_child_subreaper, waitid,
};

use super::{GRACE, PAUSE};
use crate::explain::{Exit, Failure};
use crate::local::proc;

/// Whose processes become this one's children when their parents end: from [`Orphans::adopt`] on, none that a command starts gets away, whatever
/// session it goes into.
#[derive(Debug)]
pub struct Orphans {
    /// What ran before, and is nobody's business here.
    known: BTreeSet<u32>,
}

impl Orphans {
    /// From now on orphans are ours.
    ///
    /// # Errors
    /// `process::orphans`, exit 75, where the kernel refuses.
    pub fn adopt() -> Result<Orphans, Failure> {
        set_child_subreaper(Some(getpid())).map_err(|error| unended(&error))?;
        Ok(Orphans {
            known: proc::descendants(own()),
        })
    }

    /// Kills everything that was started since and still runs.
    ///
    /// # Errors
    /// `process::orphans`, exit 75, where something cannot be killed.
    pub fn end(self) -> Result<(), Failure> {
        let until = Instant::now() + GRACE;
        let mut told = false;
        loop {
            let left: Vec<u32> = proc::descendants(own())
                .difference(&self.known)
                .copied()
                .collect();
            if left.is_empty() {
                return Ok(());
            }
            if !told {
                tracing::info!("ending what the project's commands left running");
                told = true;
            }
            for id in left {
                let Some(pid) = i32::try_from(id).ok().and_then(Pid::from_raw) else {
                    continue;
                };
                // One that is gone by now needs no signal, and one that is nobody's child of ours is waited for by its parent.
                let _ = kill_process(pid, Signal::KILL);
                let _ = waitid(
                    WaitId::Pid(pid),
                    WaitIdOptions::EXITED | WaitIdOptions::NOHANG,
                );
            }
            if Instant::now() > until {
                return Err(unended(&"they start others faster than they are ended"));
            }
            std::thread::sleep(PAUSE);
        }
    }
}

fn own() -> u32 {
    std::process::id()
}

fn unended(why: &dyn std::fmt::Display) -> Failure {
    let what = "what the project's commands left running could not be ended";
    Failure::new(Exit::Temporary, "process::orphans", what)
        .because(why)
        .because("it could read what git is told to push with")
        .hint("let builds and scripts end what they start, then run again")
}
