//! The network: asynchronous, retried, with credentials.

mod answer;
mod aws;
#[cfg(test)]
mod canned;
pub mod cdn;
mod disk;
pub mod forge;
pub mod identity;
pub mod registry;
pub mod retry;
pub mod sigstore;
pub mod store;

/// An error with what lies behind it, as sentences for people; a text that the one before it ends with already is left out.
fn chain(error: &dyn std::error::Error) -> String {
    const MOST: usize = 12;
    let mut text = error.to_string();
    let mut source = error.source();
    for _ in 0..MOST {
        let Some(cause) = source else { break };
        let said = cause.to_string();
        if !text.ends_with(&said) {
            text = format!("{text}: {said}");
        }
        source = cause.source();
    }
    text
}
