//! The person at the terminal: told and asked on stderr, so that stdout carries the result alone.

use std::io::{self, IsTerminal as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use inquire::{InquireError, Select, Text};
use rustix::process::getpgrp;
use rustix::termios::{
    OptionalActions, QueueSelector, Termios, tcflush, tcgetattr, tcgetpgrp, tcsetattr,
};

use crate::explain::{Exit, Failure};

/// A terminal at which a person can be asked.
#[derive(Debug, Clone)]
pub struct Terminal {
    /// How it was when the process began.
    before: Termios,
    /// Whether a question is open. Only then may the terminal be set back: whoever runs in the background and touches it is stopped.
    is_asking: Arc<AtomicBool>,
}

impl Terminal {
    /// The terminal of this process; `None` where keys do not come from one, where what is asked would not be seen, and in the background.
    #[must_use]
    pub fn attached() -> Option<Terminal> {
        if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
            return None;
        }
        if tcgetpgrp(io::stdin()).ok()? != getpgrp() {
            return None;
        }
        let before = tcgetattr(io::stdin()).ok()?;
        let is_asking = Arc::default();
        Some(Terminal { before, is_asking })
    }

    /// Shows a text.
    ///
    /// # Errors
    /// `run::interrupted`, exit 130, where nobody is there any more.
    pub fn tell(&self, text: &str) -> Result<(), Failure> {
        let told = io::stderr().lock().write_all(text.as_bytes());
        told.map_err(|error| interrupted().because(error))
    }

    /// Lets a person choose one of several things: the place of the chosen one.
    ///
    /// # Errors
    /// `run::interrupted`, exit 130, where the person leaves instead.
    pub fn choose(
        &self,
        question: &str,
        choices: &[String],
        preselected: usize,
    ) -> Result<usize, Failure> {
        let select = Select::new(question, choices.iter().collect())
            .with_starting_cursor(preselected)
            .with_page_size(choices.len().max(1))
            .without_filtering()
            .with_help_message("↑↓ and enter; esc leaves, and nothing is written");
        let chosen = self.asking(|| select.raw_prompt());
        chosen.map(|chosen| chosen.index).map_err(left)
    }

    /// Lets a person type a line until `read` takes it: what it made of it. `None`: the person goes back instead.
    ///
    /// # Errors
    /// `run::interrupted`, exit 130, where the person leaves.
    pub fn line<T>(
        &self,
        question: &str,
        read: impl Fn(&str) -> Result<T, Failure>,
    ) -> Result<Option<T>, Failure> {
        loop {
            let text = Text::new(question).with_help_message("esc goes back");
            let typed = self.asking(|| text.prompt_skippable());
            let Some(typed) = typed.map_err(left)? else {
                return Ok(None);
            };
            match read(&typed) {
                Ok(taken) => return Ok(Some(taken)),
                Err(refused) => self.tell(&format!("  {}\n", told(&refused)))?,
            }
        }
    }

    fn asking<T>(&self, ask: impl FnOnce() -> T) -> T {
        // What was typed before the question was there is no answer to it; where it cannot be dropped, it is seen.
        let _ = tcflush(io::stdin(), QueueSelector::IFlush);
        self.is_asking.store(true, Ordering::SeqCst);
        let answer = ask();
        self.is_asking.store(false, Ordering::SeqCst);
        answer
    }

    /// Whether a question is open.
    #[must_use]
    pub fn is_asking(&self) -> bool {
        self.is_asking.load(Ordering::SeqCst)
    }

    /// Leaves the terminal as it was when the process began, where a question is open.
    pub fn restore(&self) {
        const SHOW_CURSOR: &str = "\u{1b}[?25h";
        if !self.is_asking() {
            return;
        }
        // Who ends the process has nobody to tell that this failed.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.before);
        let _ = io::stderr().lock().write_all(SHOW_CURSOR.as_bytes());
    }
}

/// Why something was refused, on a line.
fn told(refused: &Failure) -> String {
    let parts = std::iter::once(refused.what()).chain(refused.causes().iter().map(String::as_str));
    parts.collect::<Vec<_>>().join(": ")
}

/// Any end of a question but an answer.
fn left(error: InquireError) -> Failure {
    let by_person = match &error {
        InquireError::OperationCanceled | InquireError::OperationInterrupted => true,
        InquireError::IO(error) => error.kind() == io::ErrorKind::Interrupted,
        _ => false,
    };
    if by_person {
        interrupted()
    } else {
        interrupted().because(error)
    }
}

fn interrupted() -> Failure {
    let what = "a question was left without an answer";
    Failure::new(Exit::Interrupted, "run::interrupted", what)
        .hint("nothing was decided: run again, or answer by `bump`, an intent or a commit")
}
