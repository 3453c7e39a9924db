//! Stories of environments.
