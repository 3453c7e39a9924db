//! What a person at the terminal answered, and the questions.

use super::refuse_apps;
use crate::commands::Session;
use crate::explain::Failure;
use crate::local::terminal::Terminal;
use crate::plan::asking::{self, Answer, Question};
use crate::plan::release::{self as planning, Facts, Plan};
use crate::report::asked;
use crate::settings::Settings;

/// The answers of this run: where the run judges again, a question that is the same is not asked again.
#[derive(Default)]
pub(super) struct Answers(Vec<Answered>);

/// A question that was answered.
struct Answered {
    question: Question,
    answer: Answer,
    /// Whether this round asks it.
    counts: bool,
}

impl Answers {
    /// Forgets which answers the round before asked for.
    pub fn begin_round(&mut self) {
        for answered in &mut self.0 {
            answered.counts = false;
        }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The plan of these facts, after the person at the terminal was asked what nothing decides; `plan` is that of the facts as they are.
    pub fn plan(
        &mut self,
        session: &Session<'_>,
        facts: &mut Facts<'_>,
        mut plan: Plan,
    ) -> Result<Plan, Failure> {
        let settings = session.settings;
        loop {
            refuse_apps(settings, &plan)?;
            let Some(terminal) = session.terminal else {
                return Ok(plan);
            };
            let Some(question) = asking::next(facts, settings, &plan) else {
                return Ok(plan);
            };
            session.stop.check()?;
            let answer = match self.known(&question) {
                Some(answer) => answer,
                None => self.note(&question, ask(terminal, facts, settings, &question)?),
            };
            asking::answer(facts, &question, &answer);
            plan = planning::plan(facts, settings)?;
        }
    }

    /// The answer to a question that was asked before.
    fn known(&mut self, question: &Question) -> Option<Answer> {
        let mut answered = self.0.iter_mut();
        let known = answered.find(|known| known.question == *question)?;
        known.counts = true;
        Some(known.answer.clone())
    }

    fn note(&mut self, question: &Question, answer: Answer) -> Answer {
        self.0.push(Answered {
            question: question.clone(),
            answer: answer.clone(),
            counts: true,
        });
        answer
    }

    /// Says which answers the last round did not ask for any more, and forgets them.
    pub fn tell_dropped(&mut self) {
        for dropped in self.0.extract_if(.., |answered| !answered.counts) {
            tracing::warn!("{}", asked::dropped(&dropped.question));
        }
    }
}

/// Asks one question until it is answered.
fn ask(
    terminal: &Terminal,
    facts: &Facts<'_>,
    settings: &Settings,
    question: &Question,
) -> Result<Answer, Failure> {
    terminal.tell(&asked::story(question))?;
    let title = asked::title(question);
    let labels = asked::labels(question);
    loop {
        let chosen = terminal.choose(&title, &labels, question.preselected)?;
        if let Some(choice) = question.choices.get(chosen) {
            return Ok(choice.answer.clone());
        }
        let typed = terminal.line(&title, |text| {
            asking::typed(facts, settings, question, text)
        })?;
        if let Some(answer) = typed {
            return Ok(answer);
        }
    }
}
