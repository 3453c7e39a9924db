//! ATTEST: a signed statement of where a package was built, made right before the package is published. A log that everybody reads holds it for ever, so
//! none is made for what is not published then.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::explain::Failure;
use crate::name::PackageName;
use crate::plan::provenance::Provenance;
use crate::release::provenance;
use crate::remote::registry::{Attestation, Publication};
use crate::remote::sigstore::Sigstore;
use crate::settings::provenance::Job;

/// What signs, and what was decided of each package in this run. Of what nothing was decided gets no statement.
#[derive(Debug, Default)]
pub struct Attesting {
    sigstore: Option<Sigstore>,
    decided: Mutex<BTreeMap<PackageName, Provenance>>,
}

impl Attesting {
    /// Signs with `sigstore`, where the job has an identity that signs.
    pub fn new(sigstore: Option<Sigstore>) -> Attesting {
        Attesting {
            sigstore,
            decided: Mutex::default(),
        }
    }

    fn decided(&self) -> MutexGuard<'_, BTreeMap<PackageName, Provenance>> {
        self.decided.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes what was decided.
    pub fn note(&self, decided: &BTreeMap<PackageName, Provenance>) {
        self.decided().extend(decided.clone());
    }

    /// Whether a package gets a statement.
    pub fn signs(&self, name: &PackageName) -> bool {
        matches!(self.decided().get(name), Some(Provenance::Signed(_)))
    }

    /// The statement about a version that is published next, signed and logged; `None` where none was decided.
    ///
    /// # Errors
    /// Those of [`Sigstore::sign`].
    pub async fn attest(
        &self,
        job: &Job,
        publication: &Publication,
    ) -> Result<Option<Attestation>, Failure> {
        let Publication {
            name,
            version,
            integrity,
            ..
        } = publication;
        let statement = provenance::statement(job, name, version, integrity);
        let (true, Some(statement), Some(sigstore)) = (self.signs(name), statement, &self.sigstore)
        else {
            return Ok(None);
        };
        let about = format!("{name}@{version}");
        let attestation = sigstore.sign(&about, &statement).await?;
        tracing::info!("npm: the provenance of {about} is signed and logged");
        Ok(Some(attestation))
    }
}
