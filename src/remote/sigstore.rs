//! Signs statements in the name of the job and enters them into a public log, as npm does (`@sigstore/sign`): a key for one signature, a certificate of
//! [Fulcio](https://docs.sigstore.dev/certificate_authority/overview/) that binds it to the job's identity, an entry of
//! [Rekor](https://docs.sigstore.dev/logging/overview/) that says when. The key is gone afterwards.

use std::sync::OnceLock;
use std::time::Duration;

use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Client;
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

use crate::explain::{Exit, Failure};
use crate::name::{Digest, from_hexadecimal};
use crate::release::provenance::PAYLOAD_TYPE;
use crate::remote::answer::{Answer, body};
use crate::remote::chain;
use crate::remote::identity::JobIdentity;
use crate::remote::registry::Attestation;
use crate::remote::retry::{self, Tried};
use crate::secret::{BoundSecret, Secret};
use crate::settings::identity::{Claims, IdentitySource};
use crate::settings::provenance::Services;

const CONNECT: Duration = Duration::from_secs(10);
const ANSWERS_WITHIN: Duration = Duration::from_secs(30);
/// Certificates and entries are a few kilobytes.
const LONGEST_ANSWER: u64 = 1 << 20;

/// For whom the identity is that signs.
const AUDIENCE: &str = "sigstore";
const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

/// What signs. The job's identity goes to Fulcio alone, and into no message.
#[derive(Debug)]
pub struct Sigstore {
    identity: JobIdentity,
    services: Services,
    client: OnceLock<Client>,
}

/// As Fulcio answers.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Issued {
    #[serde(alias = "signedCertificateDetachedSct")]
    signed_certificate_embedded_sct: Signed,
}

#[derive(Deserialize)]
struct Signed {
    chain: Chain,
}

#[derive(Deserialize)]
struct Chain {
    certificates: Vec<String>,
}

/// An entry as Rekor answers.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    body: String,
    integrated_time: u64,
    #[serde(rename = "logID")]
    log_id: String,
    log_index: u64,
    verification: Verification,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Verification {
    signed_entry_timestamp: Option<String>,
    inclusion_proof: Option<Proof>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Proof {
    log_index: u64,
    root_hash: String,
    tree_size: u64,
    hashes: Vec<String>,
    checkpoint: String,
}

impl Sigstore {
    /// What signs with the identity that comes from `source`, which is one for Sigstore.
    pub fn new(source: IdentitySource, services: Services) -> Sigstore {
        Sigstore {
            identity: JobIdentity::new(source),
            services,
            client: OnceLock::new(),
        }
    }

    fn client(&self) -> Result<&Client, Failure> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let client = Client::builder()
            .connect_timeout(CONNECT)
            .timeout(ANSWERS_WITHIN)
            .user_agent(concat!("pkgs-action/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| {
                let what = "cannot set up HTTPS requests";
                Failure::new(Exit::Temporary, "npm::client", what).because(error.without_url())
            })?;
        Ok(self.client.get_or_init(|| client))
    }

    /// What the job proves to Fulcio.
    ///
    /// # Errors
    /// `npm::client`, exit 75; `identity::refused`, exit 5; `identity::unanswered`, exit 75.
    pub async fn identity(&self) -> Result<Secret, Failure> {
        let identity = self.identity.id_token(AUDIENCE).await;
        identity.map_err(|failure| {
            failure.hint("the job needs `permissions: id-token: write`, or set provenance to false")
        })
    }

    /// Signs `statement` once in the name of `identity` and enters the signature into the log, with a key, a certificate and an entry of its own.
    ///
    /// # Errors
    /// For good: `provenance::identity`, exit 5, where the identity names nobody; `provenance::refused`, exit 5; `settings::url`, exit 2;
    /// `provenance::key` and `npm::client`, exit 75. `provenance::unanswered`, exit 75, is worth another try.
    pub async fn sign(
        &self,
        identity: &Secret,
        statement: &str,
    ) -> Result<Attestation, Tried<Failure>> {
        let key = Key::new().map_err(Tried::Final)?;
        let certificate = self.certificate(identity, &key).await?;
        let signature = key.sign(&encoded(statement)).map_err(Tried::Final)?;
        let envelope = json!({
            "payload": STANDARD.encode(statement),
            "payloadType": PAYLOAD_TYPE,
            "signatures": [{ "sig": STANDARD.encode(signature) }],
        });
        let entry = self.entry(&envelope, &certificate, statement).await?;
        Ok(Attestation {
            media_type: BUNDLE,
            text: bundle(&certificate, &entry, &envelope).to_string(),
        })
    }

    /// A certificate for the key in the name of the job, as DER.
    async fn certificate(&self, identity: &Secret, key: &Key) -> Result<Vec<u8>, Tried<Failure>> {
        let service = &self.services.fulcio;
        let claims = Claims::read(identity.reveal());
        let subject = claims.email.or(claims.subject);
        let subject = subject.filter(|subject| !subject.is_empty());
        let subject = subject.ok_or_else(|| Tried::Final(nameless()))?;
        let proof = key.sign(subject.as_bytes()).map_err(Tried::Final)?;
        let request = json!({
            "credentials": { "oidcIdentityToken": identity.reveal() },
            "publicKeyRequest": {
                "publicKey": { "algorithm": "ECDSA", "content": pem("PUBLIC KEY", &key.public) },
                "proofOfPossession": STANDARD.encode(proof),
            },
        });
        let bound = BoundSecret::new(identity.clone(), service);
        let bytes = self
            .post(service, "api/v2/signingCert", &request, Some(&bound))
            .await?;
        let issued = serde_json::from_slice::<Issued>(&bytes).ok();
        let chain = issued.map(|issued| issued.signed_certificate_embedded_sct.chain);
        let certificate = chain.and_then(|chain| from_pem(chain.certificates.first()?));
        let is_ours = |certificate: &Vec<u8>| {
            let mut windows = certificate.windows(key.public.len());
            windows.any(|window| window == key.public)
        };
        certificate.filter(is_ours).ok_or_else(|| {
            let why = "its answer holds no certificate of our key";
            Tried::temporary(unanswered(service).because(why))
        })
    }

    /// The entry of an envelope in the log.
    async fn entry(
        &self,
        envelope: &Value,
        certificate: &[u8],
        statement: &str,
    ) -> Result<Value, Tried<Failure>> {
        let service = &self.services.rekor;
        let verifier = STANDARD.encode(pem("CERTIFICATE", certificate));
        let request = json!({
            "apiVersion": "0.0.1",
            "kind": "dsse",
            "spec": {
                "proposedContent": { "envelope": envelope.to_string(), "verifiers": [verifier] },
            },
        });
        let path = "api/v1/log/entries";
        let bytes = self.post(service, path, &request, None).await?;
        entry_in(&bytes, statement).ok_or_else(|| {
            let why = "its answer holds no entry of our statement";
            Tried::temporary(unanswered(service).because(why))
        })
    }

    /// Sends a request once; gives what a good answer holds.
    async fn post(
        &self,
        service: &Url,
        path: &str,
        request: &Value,
        secret: Option<&BoundSecret>,
    ) -> Result<Vec<u8>, Tried<Failure>> {
        let url = service.join(path).map_err(|error| {
            let what = format!("{service} is no base address");
            Tried::Final(Failure::new(Exit::Usage, "settings::url", what).because(error))
        })?;
        let broken = |error: reqwest::Error| {
            Tried::temporary(unanswered(service).because(chain(&error.without_url())))
        };
        let client = self.client().map_err(Tried::Final)?;
        let sent = client
            .post(url)
            .header(CONTENT_TYPE, "application/json")
            .header(ACCEPT, "application/json")
            .body(request.to_string())
            .send();
        let response = sent.await.map_err(broken)?;
        if response.status().is_success() {
            let (bytes, _) = body(response, LONGEST_ANSWER).await.map_err(broken)?;
            return Ok(bytes);
        }
        let answer = Answer::of(response, secret).await;
        // The log has an entry that is none of ours: ours are new.
        if retry::is_temporary(answer.status) || answer.status == 409 {
            return Err(Tried::Temporary {
                error: unanswered(service).because(answer.said_by("it")),
                after: answer.after,
            });
        }
        let failure = refused(service).because(answer.said_by("it"));
        Err(Tried::Final(failure))
    }
}

fn unanswered(service: &Url) -> Failure {
    let what = format!("no provenance: {service} gives no usable answer");
    Failure::new(Exit::Temporary, "provenance::unanswered", what)
        .hint("run again: it continues with what is missing; `provenance: false` publishes without")
}

/// That the identity names nobody for whom a certificate could be made.
fn nameless() -> Failure {
    let what = "no provenance: the identity of the job names no subject";
    Failure::new(Exit::RemoteRefused, "provenance::identity", what)
        .because("a certificate is made for the subject, and the key signs it")
        .hint("look at what gives the job its identity (on GitLab SIGSTORE_ID_TOKEN); `provenance: false` publishes without")
}

fn refused(service: &Url) -> Failure {
    let what = format!("no provenance: {service} refuses to sign for this job");
    Failure::new(Exit::RemoteRefused, "provenance::refused", what)
        .hint("run again when it takes the job; `provenance: false` publishes without")
}

/// A key for one signature.
struct Key {
    pair: EcdsaKeyPair,
    /// Its public half, as DER.
    public: Vec<u8>,
}

impl Key {
    fn new() -> Result<Key, Failure> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).map_err(no_key)?;
        let public: PublicKeyX509Der<'_> = pair.public_key().as_der().map_err(no_key)?;
        let public = public.as_ref().to_vec();
        Ok(Key { pair, public })
    }

    fn sign(&self, bytes: &[u8]) -> Result<Vec<u8>, Failure> {
        let signature = self
            .pair
            .sign(&SystemRandom::new(), bytes)
            .map_err(no_key)?;
        Ok(signature.as_ref().to_vec())
    }
}

fn no_key(error: aws_lc_rs::error::Unspecified) -> Failure {
    let what = "this machine cannot make a key to sign with";
    Failure::new(Exit::Temporary, "provenance::key", what)
        .because(error)
        .hint("run again; if it stays so, look at the machine's source of randomness")
}

/// What is signed of a statement ([DSSE](https://github.com/secure-systems-lab/dsse/blob/master/protocol.md)).
fn encoded(statement: &str) -> Vec<u8> {
    let (type_length, length) = (PAYLOAD_TYPE.len(), statement.len());
    format!("DSSEv1 {type_length} {PAYLOAD_TYPE} {length} {statement}").into_bytes()
}

/// DER as PEM, in lines of 64 letters.
fn pem(label: &str, der: &[u8]) -> String {
    const LINE: usize = 64;
    let text = STANDARD.encode(der);
    let mut lines = vec![format!("-----BEGIN {label}-----")];
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(LINE));
        lines.push(line.to_owned());
        rest = after;
    }
    lines.push(format!("-----END {label}-----\n"));
    lines.join("\n")
}

/// The DER of a certificate in PEM.
fn from_pem(text: &str) -> Option<Vec<u8>> {
    let (_, rest) = text.split_once("-----BEGIN CERTIFICATE-----")?;
    let (text, _) = rest.split_once("-----END CERTIFICATE-----")?;
    let text: String = text.split_whitespace().collect();
    STANDARD.decode(text).ok()
}

/// Bytes that are written in hexadecimal digits, in base64.
fn digits_in_base64(digits: &str) -> Option<String> {
    from_hexadecimal(digits).map(|bytes| STANDARD.encode(bytes))
}

/// The one entry of an answer in the form that bundles have; `None` where it is not of this statement.
fn entry_in(answer: &[u8], statement: &str) -> Option<Value> {
    let entries: serde_json::Map<String, Value> = serde_json::from_slice(answer).ok()?;
    let mut entries = entries.into_iter();
    let (Some((_, entry)), None) = (entries.next(), entries.next()) else {
        return None;
    };
    let entry: Entry = serde_json::from_value(entry).ok()?;
    let body: Value = serde_json::from_slice(&STANDARD.decode(&entry.body).ok()?).ok()?;
    let sum = body.pointer("/spec/payloadHash/value")?.as_str()?;
    let ours = Digest::of(statement.as_bytes());
    if !ours.hex().eq_ignore_ascii_case(sum) {
        return None;
    }
    let mut found = numbers(&[("logIndex", entry.log_index)]);
    found["logId"] = json!({ "keyId": digits_in_base64(&entry.log_id)? });
    found["kindVersion"] =
        json!({ "kind": body["kind"].as_str()?, "version": body["apiVersion"].as_str()? });
    found["integratedTime"] = entry.integrated_time.to_string().into();
    if let Some(promise) = entry.verification.signed_entry_timestamp {
        found["inclusionPromise"] = json!({ "signedEntryTimestamp": promise });
    }
    if let Some(proof) = entry.verification.inclusion_proof {
        found["inclusionProof"] = proof_in(&proof)?;
    }
    found["canonicalizedBody"] = entry.body.into();
    Some(found)
}

fn proof_in(proof: &Proof) -> Option<Value> {
    let hashes = proof.hashes.iter().map(|hash| digits_in_base64(hash));
    let hashes: Vec<String> = hashes.collect::<Option<_>>()?;
    let mut found = numbers(&[("logIndex", proof.log_index)]);
    found["rootHash"] = digits_in_base64(&proof.root_hash)?.into();
    found["treeSize"] = proof.tree_size.to_string().into();
    if !hashes.is_empty() {
        found["hashes"] = hashes.into();
    }
    found["checkpoint"] = json!({ "envelope": proof.checkpoint });
    Some(found)
}

/// Numbers as [protobuf](https://protobuf.dev/programming-guides/json/) writes them: as text, and what is 0 not at all.
fn numbers(members: &[(&str, u64)]) -> Value {
    let members = members.iter().filter(|(_, number)| *number != 0);
    let member = |(name, number): &(&str, u64)| ((*name).to_owned(), number.to_string().into());
    Value::Object(members.map(member).collect())
}

/// A [bundle](https://docs.sigstore.dev/about/bundle/) with everything that verifies the envelope.
fn bundle(certificate: &[u8], entry: &Value, envelope: &Value) -> Value {
    json!({
        "mediaType": BUNDLE,
        "verificationMaterial": {
            "certificate": { "rawBytes": STANDARD.encode(certificate) },
            "tlogEntries": [entry],
            "timestampVerificationData": {},
        },
        "dsseEnvelope": envelope,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_signed() {
        let text = String::from_utf8(encoded("{\"a\":\"é\"}")).expect("text");
        assert_eq!(
            text,
            "DSSEv1 28 application/vnd.in-toto+json 10 {\"a\":\"é\"}"
        );
        let der = vec![7; 100];
        assert_eq!(from_pem(&pem("CERTIFICATE", &der)), Some(der));
        assert_eq!(from_pem("-----BEGIN CERTIFICATE-----"), None);
        assert_eq!(digits_in_base64("00ff"), Some("AP8=".to_owned()));
        for bad in ["0", "0g", "é"] {
            assert_eq!(digits_in_base64(bad), None, "{bad}");
        }
    }

    #[test]
    fn an_entry_is_one_and_ours() {
        let statement = "{}";
        let entry = |of: &str| {
            let sum = Digest::of(of.as_bytes());
            let body = json!({"kind": "dsse", "apiVersion": "0.0.1", "spec": {"payloadHash": {"value": sum.hex()}}});
            json!({
                "body": STANDARD.encode(body.to_string()), "integratedTime": 5, "logID": "00ff", "logIndex": 7,
                "verification": {"signedEntryTimestamp": "AA=="},
            })
        };
        let read = |answer: Value| entry_in(answer.to_string().as_bytes(), statement);
        let found = read(json!({"u": entry(statement)})).expect("an entry");
        assert_eq!(
            (&found["logIndex"], &found["integratedTime"]),
            (&json!("7"), &json!("5"))
        );
        assert_eq!(found["inclusionProof"], Value::Null);
        for bad in [
            json!({}),
            json!([]),
            json!({"u": 1}),
            json!({"u": entry("{ }")}),
            json!({"u": entry(statement), "v": entry(statement)}),
        ] {
            assert_eq!(read(bad.clone()), None, "{bad}");
        }
    }
}
