//! A store in memory for tests: it fails where it is told to, and lets a test choose who goes next.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};

use async_trait::async_trait;

use crate::explain::{Exit, Failure};
use crate::name::{Digest, Key};
use crate::remote::store::{Body, Created, Headers, Listed, ObjectInfo, Store, StoreError};

/// What a call of the store meets.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fault {
    /// Its answer is lost, before or after its effect.
    Uncertain { effect_first: bool },
    /// The process dies, before or after its effect; every later call fails too.
    Crash { effect_first: bool },
}

#[derive(Default)]
struct Inner {
    objects: BTreeMap<String, (Vec<u8>, Headers)>,
    /// When objects were last written.
    modified: BTreeMap<String, i64>,
    now: i64,
    deleted: std::collections::BTreeSet<String>,
    calls: usize,
    fault: Option<(Option<usize>, Fault)>,
    met: bool,
    crashed: bool,
    writes: Vec<String>,
}

impl Inner {
    fn insert(&mut self, key: &Key, bytes: Vec<u8>, headers: Headers) {
        self.modified.insert(key.to_string(), self.now);
        self.objects.insert(key.to_string(), (bytes, headers));
    }
}

/// A store in memory.
#[derive(Default)]
pub(crate) struct Trial {
    inner: Mutex<Inner>,
    pausing: AtomicBool,
}

impl Trial {
    /// From now on, others may go first before each call.
    pub(crate) fn start_pausing(&self) {
        self.pausing.store(true, Ordering::SeqCst);
    }

    pub(crate) fn stop_pausing(&self) {
        self.pausing.store(false, Ordering::SeqCst);
    }

    /// The call with this number, counted from now, meets `fault`.
    pub(crate) fn fail_at(&self, call: usize, fault: Fault) {
        let mut inner = self.inner.lock().unwrap();
        inner.calls = 0;
        inner.met = false;
        inner.fault = Some((Some(call), fault));
    }

    /// Every write meets `fault`.
    pub(crate) fn fail_always(&self, fault: Fault) {
        self.inner.lock().unwrap().fault = Some((None, fault));
    }

    pub(crate) fn fault_was_met(&self) -> bool {
        self.inner.lock().unwrap().met
    }

    pub(crate) fn heal(&self) {
        let mut inner = self.inner.lock().unwrap();
        inner.fault = None;
        inner.crashed = false;
    }

    pub(crate) fn put(&self, key: &Key, bytes: &[u8]) {
        self.put_with(key, bytes, Headers::default());
    }

    pub(crate) fn put_with(&self, key: &Key, bytes: &[u8], headers: Headers) {
        self.inner
            .lock()
            .unwrap()
            .insert(key, bytes.to_vec(), headers);
    }

    /// From now on this is the time by the store's clock, in seconds since 1970.
    pub(crate) fn set_now(&self, now: i64) {
        self.inner.lock().unwrap().now = now;
    }

    /// Makes everything in it so many seconds older.
    pub(crate) fn age(&self, seconds: i64) {
        let mut inner = self.inner.lock().unwrap();
        for modified in inner.modified.values_mut() {
            *modified -= seconds;
        }
    }

    /// Whether something was ever deleted there.
    pub(crate) fn was_deleted(&self, key: &Key) -> bool {
        self.inner.lock().unwrap().deleted.contains(key.as_str())
    }

    /// The keys of all objects that start with `prefix`.
    pub(crate) fn keys(&self, prefix: &str) -> Vec<String> {
        let inner = self.inner.lock().unwrap();
        let keys = inner.objects.keys().filter(|key| key.starts_with(prefix));
        keys.cloned().collect()
    }

    pub(crate) fn remove(&self, key: &Key) {
        self.inner.lock().unwrap().objects.remove(key.as_str());
    }

    pub(crate) fn bytes(&self, key: &Key) -> Option<Vec<u8>> {
        let inner = self.inner.lock().unwrap();
        inner
            .objects
            .get(key.as_str())
            .map(|(bytes, _)| bytes.clone())
    }

    /// The keys written since the last time this was asked, in order.
    pub(crate) fn take_writes(&self) -> Vec<String> {
        std::mem::take(&mut self.inner.lock().unwrap().writes)
    }

    async fn call<T>(
        &self,
        is_write: bool,
        effect: impl FnOnce(&mut Inner) -> T,
    ) -> Result<T, StoreError> {
        if self.pausing.load(Ordering::SeqCst) {
            Pause(false).await;
        }
        let mut inner = self.inner.lock().unwrap();
        let failed =
            |what: &str| StoreError::Failed(Failure::new(Exit::Temporary, "trial::crash", what));
        if inner.crashed {
            return Err(failed("the process is dead"));
        }
        let number = inner.calls;
        inner.calls += 1;
        let fault = inner.fault.and_then(|(at, fault)| match at {
            Some(at) => (at == number).then_some(fault),
            None => is_write.then_some(fault),
        });
        let Some(fault) = fault else {
            return Ok(effect(&mut inner));
        };
        inner.met = true;
        let (Fault::Uncertain { effect_first } | Fault::Crash { effect_first }) = fault;
        if effect_first {
            effect(&mut inner);
        }
        Err(match fault {
            Fault::Uncertain { .. } => StoreError::Uncertain(Failure::new(
                Exit::Temporary,
                "trial::uncertain",
                "the answer is lost",
            )),
            Fault::Crash { .. } => {
                inner.crashed = true;
                failed("the process dies")
            }
        })
    }
}

fn content(body: &Body) -> Vec<u8> {
    match body {
        Body::Bytes(bytes) => bytes.clone(),
        Body::File { path, .. } => std::fs::read(path).unwrap(),
    }
}

#[async_trait]
impl Store for Trial {
    async fn get(&self, key: &Key, limit: u64) -> Result<Option<Vec<u8>>, StoreError> {
        let bytes = self
            .call(false, |inner| {
                inner
                    .objects
                    .get(key.as_str())
                    .map(|(bytes, _)| bytes.clone())
            })
            .await?;
        match bytes {
            Some(bytes) if bytes.len() as u64 > limit => Err(StoreError::Failed(Failure::new(
                Exit::Integrity,
                "store::too_large",
                format!("{key} is too large"),
            ))),
            bytes => Ok(bytes),
        }
    }

    async fn fetch(&self, key: &Key, to: &Path, limit: u64) -> Result<Option<Digest>, StoreError> {
        Ok(self.get(key, limit).await?.map(|bytes| {
            std::fs::write(to, &bytes).unwrap();
            Digest::of(&bytes)
        }))
    }

    async fn head(&self, key: &Key) -> Result<Option<ObjectInfo>, StoreError> {
        self.call(false, |inner| {
            inner
                .objects
                .get(key.as_str())
                .map(|(bytes, headers)| ObjectInfo {
                    size: bytes.len() as u64,
                    headers: headers.clone(),
                    modified: inner.modified.get(key.as_str()).copied(),
                })
        })
        .await
    }

    async fn create(
        &self,
        key: &Key,
        body: &Body,
        headers: &Headers,
    ) -> Result<Created, StoreError> {
        self.call(true, |inner| {
            if inner.objects.contains_key(key.as_str()) {
                return Created::Exists;
            }
            inner.writes.push(key.to_string());
            inner.insert(key, content(body), headers.clone());
            Created::New
        })
        .await
    }

    async fn replace(&self, key: &Key, body: &Body, headers: &Headers) -> Result<(), StoreError> {
        self.call(true, |inner| {
            inner.writes.push(key.to_string());
            inner.insert(key, content(body), headers.clone());
        })
        .await
    }

    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Vec<Key>, StoreError> {
        self.call(false, |inner| {
            inner
                .objects
                .keys()
                .filter(|key| {
                    key.starts_with(prefix) && after.is_none_or(|after| key.as_str() > after)
                })
                .map(|key| Key::parse(key).unwrap())
                .collect()
        })
        .await
    }

    async fn inventory(&self, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        self.call(false, |inner| {
            let objects = inner.objects.iter();
            objects
                .filter(|(key, _)| key.starts_with(prefix))
                .map(|(key, (bytes, _))| Listed {
                    key: Key::parse(key).unwrap(),
                    size: bytes.len() as u64,
                    modified: inner.modified.get(key).copied(),
                })
                .collect()
        })
        .await
    }

    async fn delete(&self, key: &Key) -> Result<(), StoreError> {
        self.call(true, |inner| {
            inner.objects.remove(key.as_str());
            inner.deleted.insert(key.to_string());
        })
        .await
    }

    fn describe(&self) -> String {
        "trial".to_owned()
    }
}

/// Gives way once.
struct Pause(bool);

impl Future for Pause {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.0 {
            return Poll::Ready(());
        }
        self.0 = true;
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Runs a future that needs nothing but polling.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return value;
        }
    }
}

/// One of several runs that race.
pub(crate) type Run = Pin<Box<dyn Future<Output = Result<(), Failure>>>>;

/// The same run, killed after so many requests.
pub(crate) fn dying(mut run: Run, requests: usize) -> Run {
    let mut left = requests;
    Box::pin(std::future::poll_fn(move |context| {
        if left == 0 {
            return Poll::Ready(Err(Failure::new(
                Exit::Temporary,
                "trial::died",
                "the run was killed",
            )));
        }
        left -= 1;
        run.as_mut().poll(context)
    }))
}

/// Small, fast and the same everywhere: xorshift64*.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Dice {
        Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let roll = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33;
        usize::try_from(roll).unwrap() % bound
    }
}

/// Runs several futures in an order that `seed` decides: one request at a time, or several in a row, because some races only
/// happen where one run stands still while another does a lot.
pub(crate) fn interleave(runs: Vec<Run>, seed: u64) -> Vec<Result<(), Failure>> {
    let mut dice = Dice::new(seed);
    let longest = [1, 4, 16, 40][dice.below(4)];
    let mut context = Context::from_waker(Waker::noop());
    let mut open: Vec<(usize, Run)> = runs.into_iter().enumerate().collect();
    let mut done = Vec::new();
    while !open.is_empty() {
        let next = dice.below(open.len());
        for _ in 0..=dice.below(longest) {
            if let Poll::Ready(outcome) = open[next].1.as_mut().poll(&mut context) {
                let (number, _) = open.remove(next);
                done.push((number, outcome));
                break;
            }
        }
    }
    done.sort_by_key(|(number, _)| *number);
    done.into_iter().map(|(_, outcome)| outcome).collect()
}

/// Runs one for `first` requests, the other for `second`, then the one to its end, then the other.
pub(crate) fn in_turns(mut one: Run, mut other: Run, first: usize, second: usize) {
    // Uploads look from time to time whether they are to stop, which takes a clock; nobody waits for it here.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime");
    let _inside = runtime.enter();
    let mut context = Context::from_waker(Waker::noop());
    let mut advance = |run: &mut Run, requests: usize| {
        (0..requests).any(|_| run.as_mut().poll(&mut context).is_ready())
    };
    let one_ended = advance(&mut one, first);
    let other_ended = advance(&mut other, second);
    if !one_ended {
        advance(&mut one, usize::MAX);
    }
    if !other_ended {
        advance(&mut other, usize::MAX);
    }
}
