//! Choices that are the same in every run: they follow from a seed, which a failing test tells.

/// Where choices come from: `SplitMix64`.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// The choices of one seed.
    pub fn of(seed: u64) -> Random {
        Random(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `count`.
    pub fn below(&mut self, count: usize) -> usize {
        let number = self.next() % u64::try_from(count).expect("a small number");
        usize::try_from(number).expect("a small number")
    }

    /// Whether the one of `count` cases has come.
    pub fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    /// One of a list.
    pub fn of_list<'a, T: ?Sized>(&mut self, list: &[&'a T]) -> &'a T {
        list[self.below(list.len())]
    }
}

/// The seeds that a test tries: from `PKGS_TEST_SEED` or 1 on, as [`many`].
pub fn seeds(usually: u64) -> std::ops::Range<u64> {
    let first = number("PKGS_TEST_SEED").unwrap_or(1);
    first..first + many(usually)
}

/// How many cases a test tries: `PKGS_TEST_SEEDS`, or as many as its time allows.
pub fn many(usually: u64) -> u64 {
    number("PKGS_TEST_SEEDS").unwrap_or(usually)
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var_os(variable)?;
    let text = text.to_string_lossy();
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{variable} is no number: {text:?}")),
    )
}
