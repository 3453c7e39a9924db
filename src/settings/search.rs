//! A search whose work is counted. To find one match takes time in proportion to a text, but to find all may take the square of it: a search
//! that looks far ahead before it takes little begins again right behind that.

use regex_automata::hybrid::dfa::{Cache, DFA};
use regex_automata::meta::{self, Regex};
use regex_automata::nfa::thompson;
use regex_automata::util::captures::Captures;
use regex_automata::util::iter::Searcher;
use regex_automata::util::syntax;
use regex_automata::{Input, Match, PatternID};

/// The largest compiled form, in bytes, as in the crate regex.
const LARGEST: usize = 10 << 20;
/// What the rest of a text counts for each byte where it cannot be seen how far a search looks.
const UNSEEN: u64 = 8;

/// A regular expression.
#[derive(Debug, Clone)]
pub(super) struct Search {
    regex: Regex,
    /// The same: how far a search looks is seen while it is walked by hand.
    ahead: DFA,
}

/// How much text searches may still look at, in bytes; what is looked at twice counts twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Effort(u64);

/// There is no effort left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Exhausted;

impl Effort {
    /// So many bytes.
    #[must_use]
    pub fn new(bytes: u64) -> Effort {
        Effort(bytes)
    }

    fn take(&mut self, bytes: u64) -> Result<(), Exhausted> {
        let left = self.0.checked_sub(bytes);
        self.0 = left.unwrap_or(0);
        left.map(drop).ok_or(Exhausted)
    }
}

/// How far a search had to look.
enum Ahead {
    /// Nothing matches.
    Nothing,
    /// The first match ends here.
    Match(usize),
    /// That is not seen; the rest of the text counts so much for each byte.
    Unseen(u64),
}

impl Search {
    /// Reads it. Lines begin and end where the text's lines do, whatever its line ends are.
    ///
    /// # Errors
    /// Why it is none.
    pub(super) fn new(text: &str) -> Result<Search, String> {
        let syntax = syntax::Config::new().multi_line(true).crlf(true);
        let config = meta::Config::new().nfa_size_limit(Some(LARGEST));
        let regex = meta::Builder::new()
            .syntax(syntax)
            .configure(config)
            .build(text);
        let regex = regex.map_err(|error| match error.syntax_error() {
            Some(error) => error.to_string(),
            None => format!("it is larger than {LARGEST} bytes when it is compiled"),
        })?;
        let config = DFA::config()
            .unicode_word_boundary(true)
            .skip_cache_capacity_check(true)
            .minimum_cache_clear_count(Some(3))
            .minimum_bytes_per_state(Some(10));
        let ahead = DFA::builder()
            .syntax(syntax)
            .thompson(thompson::Config::new().nfa_size_limit(Some(LARGEST)))
            .configure(config)
            .build(text)
            .map_err(|error| error.to_string())?;
        Ok(Search { regex, ahead })
    }

    /// Whether it matches in a text at all.
    pub(super) fn is_match(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }

    /// The place of a group by its number or name.
    pub(super) fn group(&self, name: &str) -> Option<usize> {
        let groups = self.regex.group_info();
        let number = name.parse().ok();
        let number = number.filter(|number| *number < groups.all_group_len());
        number.or_else(|| groups.to_index(PatternID::ZERO, name))
    }

    /// Gives every match in a text with its groups to `each`, until that says that it is enough.
    ///
    /// # Errors
    /// [`Exhausted`].
    pub(super) fn each<'t>(
        &self,
        text: &'t str,
        effort: &mut Effort,
        mut each: impl FnMut(&Captures, Input<'t>) -> bool,
    ) -> Result<(), Exhausted> {
        let mut groups = self.regex.create_captures();
        let mut caches = (self.ahead.create_cache(), self.regex.create_cache());
        let mut searcher = Searcher::new(Input::new(text));
        loop {
            let mut exhausted = None;
            let found = searcher.try_advance(|input| {
                let found = self.first(input, &mut caches, effort);
                exhausted = found.err();
                Ok(found.ok().flatten())
            });
            if let Some(exhausted) = exhausted {
                return Err(exhausted);
            }
            let Ok(Some(found)) = found else {
                return Ok(());
            };
            effort.take(UNSEEN * as_effort(found.len()))?;
            let input = Input::new(text).span(found.span());
            let regex = &self.regex;
            regex.search_captures_with(&mut caches.1, &input, &mut groups);
            if !each(&groups, input) {
                return Ok(());
            }
        }
    }

    /// The first match in what is left.
    fn first(
        &self,
        input: &Input<'_>,
        caches: &mut (Cache, meta::Cache),
        effort: &mut Effort,
    ) -> Result<Option<Match>, Exhausted> {
        // Behind an empty match at the end there is nothing.
        if input.is_done() {
            return Ok(None);
        }
        let (ahead, cache) = caches;
        let weight = match self.look(input, ahead, effort)? {
            Ahead::Nothing => return Ok(None),
            Ahead::Match(end) => {
                // The same match is the first one where nothing stands behind it.
                let range = input.clone().range(input.start()..end);
                if let Some(found) = self.regex.search_with(cache, &range) {
                    return Ok(Some(found));
                }
                // It was empty, and inside a letter.
                UNSEEN
            }
            Ahead::Unseen(weight) => weight,
        };
        let rest = as_effort(input.get_span().len());
        effort.take(rest.saturating_mul(weight))?;
        Ok(self.regex.search_with(cache, input))
    }

    /// Walks up to where the first match is sure.
    fn look(
        &self,
        input: &Input<'_>,
        cache: &mut Cache,
        effort: &mut Effort,
    ) -> Result<Ahead, Exhausted> {
        let states = || as_effort(self.ahead.get_nfa().states().len());
        let Ok(mut state) = self.ahead.start_state_forward(cache, input) else {
            return Ok(Ahead::Unseen(states()));
        };
        let bytes = &input.haystack()[input.start()..input.end()];
        let most = usize::try_from(effort.0).unwrap_or(usize::MAX);
        let mut found = None;
        for (place, byte) in bytes.iter().take(most).enumerate() {
            let Ok(next) = self.ahead.next_state(cache, state, *byte) else {
                return Ok(Ahead::Unseen(states()));
            };
            state = next;
            if !state.is_tagged() {
                continue;
            }
            if state.is_match() {
                found = Some(place);
            } else if state.is_dead() {
                effort.take(as_effort(place + 1))?;
                return Ok(found.map_or(Ahead::Nothing, |end| Ahead::Match(input.start() + end)));
            } else if state.is_quit() {
                return Ok(Ahead::Unseen(UNSEEN));
            }
        }
        effort.take(as_effort(bytes.len()))?;
        match self.ahead.next_eoi_state(cache, state) {
            Ok(state) if state.is_match() => Ok(Ahead::Match(input.end())),
            Ok(_) => Ok(found.map_or(Ahead::Nothing, |end| Ahead::Match(input.start() + end))),
            Err(_) => Ok(Ahead::Unseen(states())),
        }
    }
}

fn as_effort(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PLENTY: u64 = 1 << 20;

    /// All matches with their groups, and what they cost.
    fn all(search: &str, text: &str, effort: u64) -> Option<(Vec<String>, u64)> {
        let mut left = Effort::new(effort);
        let mut found = Vec::new();
        let search = Search::new(search).expect(search);
        let each = |groups: &Captures, _: Input<'_>| {
            let spans = groups.iter().map(|span| span.map(|span| span.range()));
            found.push(format!("{:?}", spans.collect::<Vec<_>>()));
            true
        };
        search.each(text, &mut left, each).ok()?;
        Some((found, effort - left.0))
    }

    /// The same by the crate regex.
    fn expected(search: &str, text: &str) -> Vec<String> {
        let mut builder = regex::RegexBuilder::new(search);
        let built = builder.multi_line(true).crlf(true).build().expect(search);
        let each = built.captures_iter(text).map(|found| {
            let spans = found.iter().map(|span| span.map(|span| span.range()));
            format!("{:?}", spans.collect::<Vec<_>>())
        });
        each.collect()
    }

    const SEARCHES: [&str; 16] = [
        "a",
        "a+b|a",
        "(?s)a.*b|(a)",
        "^a.*$",
        r"\b(a|é)+\b",
        r"\ba",
        r"(?-u:\b)a",
        "(a)(b)?",
        "(?i)É|b",
        r"\Aa|b\z",
        "a??b*?c|é",
        "[^a]+",
        r"a\r?\n",
        "(a|b|ab)(c|bcd)*",
        "$",
        r"\B",
    ];

    proptest! {
        /// What is found is what the crate regex finds.
        #[test]
        fn matches_are_those_of_the_crate_regex(text in "[abcdé \r\n]{0,24}") {
            for search in SEARCHES {
                let (found, _) = all(search, &text, PLENTY).expect("plenty");
                prop_assert_eq!(found, expected(search, &text), "{}", search);
            }
        }
    }

    #[test]
    fn the_square_of_a_text_is_counted_and_refused() {
        let text = "a".repeat(1000);
        let (found, cost) = all("a+b|a", &text, PLENTY).expect("plenty");
        assert_eq!(found.len(), 1000);
        assert!((400_000..600_000).contains(&cost), "{cost}");
        assert_eq!(all("a+b|a", &text, 400_000), None);
        // As much by a search that looks no further than it takes.
        let (found, cost) = all("a", &text, PLENTY).expect("plenty");
        assert_eq!(found.len(), 1000);
        assert!(cost < 12_000, "{cost}");
        let long = format!("é{}", "a ".repeat(1000));
        assert!(all(r"\ba", &long, 12_000).is_none());
        assert!(all(r"(?-u:\b)a", &long, 20_000).is_some());
        // Far more states than are kept.
        let many = "(?:a|b)*a(?:a|b){2000}c";
        let mut seed = 1_u32;
        let letters = std::iter::repeat_with(|| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            if seed >> 31 == 0 { 'a' } else { 'b' }
        });
        let mixed: String = letters.take(100_000).collect();
        assert!(all(many, &mixed, PLENTY).is_none());
    }

    #[test]
    fn what_is_no_search_says_why() {
        let why = Search::new("(").expect_err("open");
        assert!(why.contains("unclosed group"), "{why}");
        let why = Search::new(r"\w{1000}{1000}").expect_err("large");
        assert!(why.contains("compiled"), "{why}");
    }

    #[test]
    fn groups_have_numbers_and_names() {
        let search = Search::new("(a)(?<b>c)").expect("a search");
        for (name, expected) in [
            ("0", Some(0)),
            ("2", Some(2)),
            ("b", Some(2)),
            ("3", None),
            ("", None),
            ("c", None),
        ] {
            assert_eq!(search.group(name), expected, "{name}");
        }
    }
}
