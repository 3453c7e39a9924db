//! The stories: the real binary on real temporary repositories against real servers.

mod environments;
mod house;
mod pull;
mod registry_contract;
mod release;
mod store_contract;
#[allow(dead_code, reason = "every story uses another part of it")]
mod support;
