//! Stories of `pull --once`.
