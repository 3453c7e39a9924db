//! The stories: the real binary on real temporary repositories against real servers.

mod bad_input;
mod house;
mod plan;
mod registry_contract;
mod settings;
mod store_contract;
#[allow(dead_code, reason = "every story uses another part of it")]
mod support;
