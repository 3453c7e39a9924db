//! Running the git program, where libgit2 cannot answer.

use std::io::{self, Write as _};
use std::process::{Command, Output, Stdio};

use crate::explain::{Exit, Failure};

/// Runs `command`, which is git, with `input` on its stdin, and waits for what it says.
///
/// # Errors
/// `git::missing`, exit 2, when it cannot be started; the inner error when it could not be waited for.
pub(super) fn run(command: &mut Command, input: &str) -> Result<io::Result<Output>, Failure> {
    let streams = command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = streams.stderr(Stdio::piped()).spawn().map_err(|error| {
        Failure::new(Exit::Usage, "git::missing", "git could not be started")
            .because(error)
            .hint("install git, or use the container image")
    })?;
    if let Some(mut stdin) = child.stdin.take() {
        let input = input.to_owned();
        // Beside the waiting: git may write much before it has read everything.
        std::thread::spawn(move || drop(stdin.write_all(input.as_bytes())));
    }
    Ok(child.wait_with_output())
}
