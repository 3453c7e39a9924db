//! ATTEST: a signed statement of where a package was built, made right before the package is published. A log that everybody reads holds it for ever, so
//! none is made for what is not published then; and what was decided to get one is not published without.

use std::time::Duration;

use crate::apply::publish::Delivering;
use crate::explain::{Exit, Failure};
use crate::plan::provenance::Provenance;
use crate::release::provenance::statement;
use crate::remote::registry::{Attestation, Publication};
use crate::remote::retry;
use crate::remote::sigstore::Sigstore;

/// As npm: two more after the first.
const TRIES: u32 = 3;

/// The longest wait that a service may ask for.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// The statement about a version that is published next, signed and logged; `None` where it was decided that it gets none.
///
/// # Errors
/// `provenance::undecided`, `provenance::no_signer`, exit 75, where what was decided did not come here with what it needs; those of
/// [`Sigstore::identity`] and [`Sigstore::sign`].
pub async fn attest(
    delivering: &Delivering<'_>,
    publication: &Publication,
) -> Result<Option<Attestation>, Failure> {
    let Publication {
        name,
        version,
        integrity,
        ..
    } = publication;
    let about = format!("{name}@{version}");
    match delivering.provenance.get(name) {
        Some(Provenance::Left(_)) => Ok(None),
        Some(Provenance::Signed(_)) => {
            let told = delivering.settings.job.told();
            let (Some(signer), Ok(told)) = (delivering.signer, told) else {
                return Err(no_signer(&about));
            };
            let statement = statement(&told, name, version, integrity);
            sign(signer, &about, &statement).await.map(Some)
        }
        Some(Provenance::Refused(refused)) => Err(undecided(&about).because(refused.why())),
        None => Err(undecided(&about)),
    }
}

/// Signs a statement and enters it into the log. Each try is a whole one: an entry whose answer was lost is in the log, and the log takes it no second
/// time.
async fn sign(signer: &Sigstore, about: &str, statement: &str) -> Result<Attestation, Failure> {
    let identity = signer.identity().await?;
    let wait = |tries, asked: Option<Duration>| {
        let wait = retry::backoff(tries, about).max(asked.unwrap_or_default());
        (tries < TRIES && wait <= LONGEST_WAIT).then_some(wait)
    };
    let attestation = retry::repeat(about, wait, || signer.sign(&identity, statement)).await?;
    tracing::info!("npm: the provenance of {about} is signed and logged");
    Ok(attestation)
}

/// That a package came to be published of which nothing was decided.
fn undecided(about: &str) -> Failure {
    let what =
        format!("nothing was decided about the provenance of {about}, so it is not published");
    Failure::new(Exit::Temporary, "provenance::undecided", what)
        .because("each package is judged before the first is published")
        .hint("run again; if it stays so, please report this")
}

/// That a statement was decided and this run has nothing to make it with.
fn no_signer(about: &str) -> Failure {
    let what =
        format!("{about} was to get provenance, and nothing here signs it, so it is not published");
    Failure::new(Exit::Temporary, "provenance::no_signer", what)
        .because("whether the job can sign is judged before the first package is published")
        .hint(
            "run again; if it stays so, please report this; `provenance: false` publishes without",
        )
}
