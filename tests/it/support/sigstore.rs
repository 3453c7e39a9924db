//! Sigstore as far as signing needs it: an authority that makes real certificates, and a log with one entry in each tree. What they check is what the real ones
//! do: whom the identity is for, the proof of possession, the signature, and that no entry comes twice.

use std::collections::VecDeque;
use std::io::{BufReader, Write as _};
use std::sync::{Arc, Mutex, MutexGuard};

use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _,
    UnparsedPublicKey,
};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::http::{Listener, Request, Response, read_request};

/// 30 November 2026, within the time of every certificate here.
const NOW: u64 = 1_796_000_000;

/// What happens to a request.
#[derive(Debug, Clone, Copy)]
pub enum Fault {
    /// It is not taken, and this is the status of the answer.
    Status(u16),
    /// It is taken, and the answer is cut.
    Cut,
}

#[derive(Debug, Default)]
struct State {
    seen: Vec<Request>,
    /// What happens to the next requests for a certificate.
    fulcio: VecDeque<Fault>,
    /// What happens to the next requests for an entry.
    rekor: VecDeque<Fault>,
    /// How many certificates were made; each has its number.
    certificates: u8,
    /// The envelopes in the log.
    entries: Vec<Value>,
    /// Whether each entry is alone in its tree; else it is the second one.
    is_alone: bool,
}

/// Both services at one address.
#[derive(Debug)]
pub struct Sigstore {
    listener: Listener,
    state: Arc<Mutex<State>>,
    keys: Arc<Keys>,
}

#[derive(Debug)]
struct Keys {
    authority: EcdsaKeyPair,
    log: EcdsaKeyPair,
    root: Vec<u8>,
}

impl Sigstore {
    pub fn start() -> Sigstore {
        let key = || EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).expect("a key");
        let authority = key();
        let root = certificate(&authority, &public(&authority), 0, None);
        let keys = Arc::new(Keys {
            authority,
            log: key(),
            root,
        });
        let state = Arc::<Mutex<State>>::default();
        let (shared, own) = (Arc::clone(&state), Arc::clone(&keys));
        let listener = Listener::start(move |connection| {
            let mut connection = BufReader::new(connection);
            while let Ok(Some(request)) = read_request(&mut connection) {
                let mut state = shared.lock().expect("no holder panics");
                let (answer, is_cut) = state.answer(&own, &request);
                drop(state);
                let bytes = answer.to_bytes(&request.method);
                let sent = if is_cut { bytes.len() / 2 } else { bytes.len() };
                let written = connection.get_mut().write_all(&bytes[..sent]);
                if is_cut || written.is_err() || !request.keeps_alive() {
                    return;
                }
            }
        });
        Sigstore {
            listener,
            state,
            keys,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder panics")
    }

    /// The variables that lead a run here.
    pub fn variables(&self) -> [(&'static str, String); 2] {
        let url = self.listener.url();
        [
            ("SIGSTORE_FULCIO_URL", url.clone()),
            ("SIGSTORE_REKOR_URL", format!("{url}/")),
        ]
    }

    /// Its address, without a final slash.
    pub fn url(&self) -> String {
        self.listener.url()
    }

    /// What happens to the next requests for certificates and for entries.
    pub fn fail(&self, fulcio: &[Fault], rekor: &[Fault]) {
        let mut state = self.state();
        state.fulcio = fulcio.iter().copied().collect();
        state.rekor = rekor.iter().copied().collect();
    }

    /// From now on each entry is the only one of its tree.
    pub fn let_entries_be_alone(&self) {
        self.state().is_alone = true;
    }

    /// Every request so far.
    pub fn seen(&self) -> Vec<Request> {
        self.state().seen.clone()
    }

    /// How many certificates were asked for, and how many entries.
    pub fn asked(&self) -> (usize, usize) {
        let state = self.state();
        let of = |path: &str| state.seen.iter().filter(|seen| seen.path() == path).count();
        (of("/api/v2/signingCert"), of("/api/v1/log/entries"))
    }

    /// The names of what the statements in the log are about.
    pub fn logged(&self) -> Vec<String> {
        let state = self.state();
        let entries = state.entries.iter();
        let subject = |envelope: &Value| {
            let payload = STANDARD.decode(envelope["payload"].as_str()?).ok()?;
            let statement: Value = serde_json::from_slice(&payload).ok()?;
            Some(statement["subject"][0]["name"].as_str()?.to_owned())
        };
        entries
            .map(|envelope| subject(envelope).expect("a statement"))
            .collect()
    }

    /// Forgets the requests so far; the log stays.
    pub fn forget(&self) {
        self.state().seen.clear();
    }

    /// What those who verify trust, as `TrustedRoot` of Sigstore's protobuf specs.
    pub fn trusted_root(&self) -> Value {
        let log = public(&self.keys.log);
        json!({
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": [{
                "baseUrl": "https://rekor.example",
                "hashAlgorithm": "SHA2_256",
                "publicKey": {"rawBytes": STANDARD.encode(&log), "keyDetails": "PKIX_ECDSA_P256_SHA_256"},
                "logId": {"keyId": STANDARD.encode(Sha256::digest(&log))},
            }],
            "certificateAuthorities": [{
                "uri": "https://fulcio.example",
                "certChain": {"certificates": [{"rawBytes": STANDARD.encode(&self.keys.root)}]},
            }],
            "ctlogs": [],
            "timestampAuthorities": [],
        })
    }
}

impl State {
    /// The answer, and whether it is cut.
    fn answer(&mut self, keys: &Keys, request: &Request) -> (Response, bool) {
        self.seen.push(request.clone());
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let (fault, answer): (_, fn(&mut State, &Keys, &Value) -> Result<Value, String>) =
            match request.path().as_str() {
                "/api/v2/signingCert" => (self.fulcio.pop_front(), State::certify),
                "/api/v1/log/entries" => (self.rekor.pop_front(), State::enter),
                _ => (Some(Fault::Status(404)), State::enter),
            };
        if let Some(Fault::Status(status)) = fault {
            // As careless as a service can be.
            let identity = &body["credentials"]["oidcIdentityToken"];
            return (said(status, &format!("not now for {identity}")), false);
        }
        let answer = match answer(self, keys, &body) {
            Ok(answer) => Response::new(201, "application/json", answer.to_string()),
            Err(why) if why == "there" => said(409, "an equivalent entry already exists"),
            Err(why) => said(400, &why),
        };
        (answer, matches!(fault, Some(Fault::Cut)))
    }

    fn certify(&mut self, keys: &Keys, body: &Value) -> Result<Value, String> {
        self.certificates += 1;
        let text = |pointer: &str| {
            let text = body.pointer(pointer).and_then(Value::as_str);
            text.ok_or_else(|| format!("no {pointer}"))
        };
        let claims = text("/credentials/oidcIdentityToken")?.split('.').nth(1);
        let claims = URL_SAFE_NO_PAD.decode(claims.unwrap_or_default());
        let claims: Value = serde_json::from_slice(&claims.unwrap_or_default()).unwrap_or_default();
        if claims["aud"] != "sigstore" {
            return Err(format!("the identity is for {}", claims["aud"]));
        }
        let key = from_pem(text("/publicKeyRequest/publicKey/content")?);
        let proof = STANDARD.decode(text("/publicKeyRequest/proofOfPossession")?);
        let subject = claims["sub"].as_str().unwrap_or_default();
        verify(&key, subject.as_bytes(), &proof.unwrap_or_default())?;
        let workflow = claims["workflow_ref"].as_str().unwrap_or_default();
        let whose = format!("https://github.com/{workflow}");
        let leaf = certificate(&keys.authority, &key, self.certificates, Some(&whose));
        let chain = [leaf, keys.root.clone()].map(|der| pem(&der));
        Ok(json!({"signedCertificateEmbeddedSct": {"chain": {"certificates": chain}}}))
    }

    fn enter(&mut self, keys: &Keys, body: &Value) -> Result<Value, String> {
        let content = &body["spec"]["proposedContent"];
        if (&body["apiVersion"], &body["kind"]) != (&json!("0.0.1"), &json!("dsse")) {
            return Err("another kind".to_owned());
        }
        let envelope = content["envelope"].as_str().unwrap_or_default();
        let envelope: Value = serde_json::from_str(envelope).unwrap_or_default();
        let decoded = |value: &Value| {
            let decoded = STANDARD.decode(value.as_str().unwrap_or_default());
            decoded.map_err(|_| "no base64".to_owned())
        };
        let payload = decoded(&envelope["payload"])?;
        let signature = decoded(&envelope["signatures"][0]["sig"])?;
        let verifier = decoded(&content["verifiers"][0])?;
        let certificate = from_pem(&String::from_utf8_lossy(&verifier));
        let kind = envelope["payloadType"].as_str().unwrap_or_default();
        let mut signed = format!("DSSEv1 {} {kind} {} ", kind.len(), payload.len()).into_bytes();
        signed.extend(&payload);
        verify(&key_in(&certificate), &signed, &signature)?;
        if self.entries.contains(&envelope) {
            return Err("there".to_owned());
        }
        self.entries.push(envelope.clone());
        let sum =
            |bytes: &[u8]| json!({"algorithm": "sha256", "value": hex(&Sha256::digest(bytes))});
        let entry = json!({
            "apiVersion": "0.0.1",
            "kind": "dsse",
            "spec": {
                "envelopeHash": sum(envelope.to_string().as_bytes()),
                "payloadHash": sum(&payload),
                "signatures": [{"signature": envelope["signatures"][0]["sig"], "verifier": content["verifiers"][0]}],
            },
        })
        .to_string();
        let number = self.entries.len();
        Ok(logged(&keys.log, &entry, number, self.is_alone))
    }
}

/// An entry as the log tells it: in a tree of its own, with a promise and a proof.
fn logged(key: &EcdsaKeyPair, entry: &str, number: usize, is_alone: bool) -> Value {
    let id = Sha256::digest(public(key));
    let body = STANDARD.encode(entry);
    let promised = format!(
        "{{\"body\":\"{body}\",\"integratedTime\":{NOW},\"logID\":\"{}\",\"logIndex\":{number}}}",
        hex(&id)
    );
    let leaf = Sha256::digest([&[0], entry.as_bytes()].concat());
    let first = Sha256::digest("the first");
    let (root, size, hashes) = if is_alone {
        (leaf, 1, Vec::new())
    } else {
        let root = Sha256::digest([&[1], &first[..], &leaf[..]].concat());
        (root, 2, vec![hex(&first)])
    };
    let note = format!("rekor.example - 1\n{size}\n{}\n", STANDARD.encode(root));
    let signature = [&id[..4], &sign(key, note.as_bytes())].concat();
    let checkpoint = format!(
        "{note}\n\u{2014} rekor.example {}\n",
        STANDARD.encode(signature)
    );
    json!({
        format!("{number:064x}"): {
            "body": body,
            "integratedTime": NOW,
            "logID": hex(&id),
            "logIndex": number,
            "verification": {
                "inclusionProof": {
                    "checkpoint": checkpoint,
                    "hashes": hashes,
                    "logIndex": size - 1,
                    "rootHash": hex(&root),
                    "treeSize": size,
                },
                "signedEntryTimestamp": STANDARD.encode(sign(key, promised.as_bytes())),
            },
        },
    })
}

fn said(status: u16, message: &str) -> Response {
    let body = json!({"code": status, "message": message});
    Response::new(status, "application/json", body.to_string())
}

fn public(key: &EcdsaKeyPair) -> Vec<u8> {
    let public: PublicKeyX509Der<'_> = key.public_key().as_der().expect("DER");
    public.as_ref().to_vec()
}

fn sign(key: &EcdsaKeyPair, bytes: &[u8]) -> Vec<u8> {
    let signature = key.sign(&SystemRandom::new(), bytes).expect("a signature");
    signature.as_ref().to_vec()
}

/// The end of a public key in DER is its point.
fn verify(key: &[u8], bytes: &[u8], signature: &[u8]) -> Result<(), String> {
    let point = key.len().checked_sub(65).map(|start| &key[start..]);
    let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point.unwrap_or_default());
    key.verify(bytes, signature)
        .map_err(|_| "the signature does not fit the key".to_owned())
}

/// What stands before the point of every key on this curve.
const KEY: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// The public key in a certificate.
fn key_in(certificate: &[u8]) -> Vec<u8> {
    let mut windows = certificate.windows(KEY.len());
    let start = windows.position(|window| window == KEY);
    let key = start.and_then(|start| certificate.get(start..start + KEY.len() + 65));
    key.unwrap_or_default().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    let digits = |text: String, byte: &u8| format!("{text}{byte:02x}");
    bytes.iter().fold(String::new(), digits)
}

fn pem(der: &[u8]) -> String {
    format!(
        "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
        STANDARD.encode(der)
    )
}

fn from_pem(text: &str) -> Vec<u8> {
    let lines = text.lines().filter(|line| !line.starts_with("-----"));
    STANDARD
        .decode(lines.collect::<String>())
        .unwrap_or_default()
}

/// One value of DER.
fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let length = u16::try_from(content.len()).expect("a short value");
    let mut value = vec![tag];
    match length {
        0..=127 => value.push(length.to_be_bytes()[1]),
        128..=255 => value.extend([0x81, length.to_be_bytes()[1]]),
        _ => value.extend([&[0x82], &length.to_be_bytes()[..]].concat()),
    }
    value.extend(content);
    value
}

/// A certificate for `key`: of the authority itself, or of whoever is named.
fn certificate(authority: &EcdsaKeyPair, key: &[u8], number: u8, whose: Option<&str>) -> Vec<u8> {
    const SEQUENCE: u8 = 0x30;
    let oid = |bytes: &[u8]| der(0x06, &[bytes]);
    let extension = |id: &[u8], value: Vec<u8>| {
        let critical = der(0x01, &[&[0xff]]);
        der(SEQUENCE, &[&oid(id), &critical, &der(0x04, &[&value])])
    };
    let algorithm = oid(&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02]);
    let algorithm = der(SEQUENCE, &[&algorithm]);
    let name = der(
        SEQUENCE,
        &[&oid(&[0x55, 0x04, 0x03]), &der(0x0c, &[b"an authority"])],
    );
    let name = der(SEQUENCE, &[&der(0x31, &[&name])]);
    let time = |text: &str| der(0x17, &[text.as_bytes()]);
    let validity = der(SEQUENCE, &[&time("260101000000Z"), &time("491231235959Z")]);
    let nobody = der(SEQUENCE, &[]);
    let (subject, extensions) = match whose {
        None => {
            let is_authority = der(SEQUENCE, &[&der(0x01, &[&[0xff]])]);
            // It signs certificates.
            let usage = der(0x03, &[&[2, 0b0000_0100]]);
            let extensions = [
                extension(&[0x55, 0x1d, 0x13], is_authority),
                extension(&[0x55, 0x1d, 0x0f], usage),
            ];
            (&name, extensions.concat())
        }
        Some(whose) => {
            let alternative = der(SEQUENCE, &[&der(0x86, &[whose.as_bytes()])]);
            // It signs code.
            let usage = der(0x03, &[&[7, 0b1000_0000]]);
            let code = oid(&[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x03]);
            let extensions = [
                extension(&[0x55, 0x1d, 0x0f], usage),
                extension(&[0x55, 0x1d, 0x25], der(SEQUENCE, &[&code])),
                extension(&[0x55, 0x1d, 0x11], alternative),
            ];
            (&nobody, extensions.concat())
        }
    };
    let body = der(
        SEQUENCE,
        &[
            &der(0xa0, &[&der(0x02, &[&[2]])]),
            &der(0x02, &[&[number]]),
            &algorithm,
            &name,
            &validity,
            subject,
            key,
            &der(0xa3, &[&der(SEQUENCE, &[&extensions])]),
        ],
    );
    let signature = der(0x03, &[&[0], &sign(authority, &body)]);
    der(SEQUENCE, &[&body, &algorithm, &signature])
}
