//! Runs contestants in turn and prints what they took.

use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

/// Rounds that are run first and not counted; memory is looked at in them, so that looking costs no time that counts.
const WARM_UP: usize = 2;
/// A contestant whose first run takes longer runs no more, and that run counts.
const SLOW: Duration = Duration::from_secs(5);
/// A run that takes longer is ended.
const ENDLESS: Duration = Duration::from_mins(3);

/// Reads from what was printed how many packages it names.
pub type Named<'a> = Box<dyn Fn(&str) -> Option<usize> + 'a>;

/// Whoever takes part, with its name in the table.
pub struct Contestant<'a> {
    /// What is printed.
    pub name: &'a str,
    /// Makes the command of a run, ready to start, and what it finds; no clock runs yet.
    pub command: Box<dyn FnMut() -> io::Result<Command> + 'a>,
    /// Reads from what it printed, or left, how many packages it named.
    pub named: Named<'a>,
}

/// What was measured of one.
pub struct Row {
    name: String,
    /// Sorted.
    times: Vec<Duration>,
    named: Option<usize>,
    /// Sorted: of the process and of those that it waited for.
    processor: Vec<Duration>,
    /// In KiB, of the process itself.
    memory: u64,
    ended: bool,
}

struct Run {
    time: Duration,
    processor: Duration,
    memory: u64,
    ended: bool,
    said: String,
}

/// Runs all in turn, `rounds` times after a warm-up, so that a machine whose speed drifts favours none of them.
pub fn measure(rounds: usize, contestants: &mut [Contestant<'_>]) -> io::Result<Vec<Row>> {
    let mut rows: Vec<Row> = contestants
        .iter()
        .map(|contestant| Row {
            name: contestant.name.to_owned(),
            times: Vec::with_capacity(rounds),
            processor: Vec::with_capacity(rounds),
            named: None,
            memory: 0,
            ended: false,
        })
        .collect();
    for round in 0..rounds + WARM_UP {
        for (contestant, row) in contestants.iter_mut().zip(&mut rows) {
            let is_counted = round >= WARM_UP;
            if !row.times.is_empty() && (row.is_slow() || !is_counted) {
                continue;
            }
            let run = run((contestant.command)()?, !is_counted)?;
            row.memory = row.memory.max(run.memory);
            row.named = (contestant.named)(&run.said);
            row.ended = run.ended;
            if is_counted || run.time > SLOW {
                row.times.push(run.time);
                row.processor.push(run.processor);
            }
        }
    }
    for row in &mut rows {
        row.times.sort_unstable();
        row.processor.sort_unstable();
    }
    Ok(rows)
}

fn run(mut command: Command, looks: bool) -> io::Result<Run> {
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    command.stderr(Stdio::piped()).process_group(0);
    let before = processor()?;
    let start = Instant::now();
    let child = command.spawn()?;
    let id = child.id();
    let (over, waits) = channel();
    let guard = std::thread::spawn(move || guard(id, looks, &waits));
    let (succeeded, said, complained) = outputs(child)?;
    let time = start.elapsed();
    let processor = processor()?.saturating_sub(before);
    let _: Result<_, _> = Sender::send(&over, ());
    let (memory, ended) = guard
        .join()
        .map_err(|_| io::Error::other("the guard failed"))?;
    if !ended && !succeeded {
        return Err(io::Error::other(format!(
            "{command:?} failed: {said}{complained}"
        )));
    }
    Ok(Run {
        time,
        processor,
        memory,
        ended,
        said,
    })
}

/// What the processes that ended, and were waited for, took of processors until now, to a hundredth of a second.
fn processor() -> io::Result<Duration> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    // Behind the name, which may hold anything: utime and stime of what was waited for are the 16th and 17th field of all.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let ticks = fields.split_whitespace().skip(13).take(2);
    let ticks: u64 = ticks.filter_map(|field| field.parse::<u64>().ok()).sum();
    Ok(Duration::from_millis(ticks * 10))
}

fn outputs(mut child: Child) -> io::Result<(bool, String, String)> {
    let mut errors = child.stderr.take().ok_or(io::ErrorKind::BrokenPipe)?;
    let complained = std::thread::spawn(move || {
        let mut text = Vec::new();
        errors.read_to_end(&mut text).map(|_| text)
    });
    let output = child.wait_with_output()?;
    let complained = complained
        .join()
        .map_err(|_| io::Error::other("a reader failed"))??;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ok((
        output.status.success(),
        text(output.stdout),
        text(complained),
    ))
}

/// Until the run is over: looks at its memory (the kernel's own high-water mark) where told to, and ends it when it takes too long.
fn guard(id: u32, looks: bool, over: &Receiver<()>) -> (u64, bool) {
    let start = Instant::now();
    let mut memory = 0;
    let step = if looks {
        Duration::from_millis(1)
    } else {
        ENDLESS
    };
    while let Err(RecvTimeoutError::Timeout) = over.recv_timeout(step) {
        if start.elapsed() >= ENDLESS {
            let group = i32::try_from(id).ok().and_then(Pid::from_raw);
            let ended = group.is_some_and(|group| kill_process_group(group, Signal::KILL).is_ok());
            return (memory, ended);
        }
        memory = memory.max(high_water(id).unwrap_or(0));
    }
    (memory, false)
}

fn high_water(id: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let mark = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    mark.trim().trim_end_matches(" kB").parse().ok()
}

impl Row {
    fn is_slow(&self) -> bool {
        self.times.last().is_some_and(|time| *time > SLOW)
    }

    /// Its name in the table.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The time in the middle.
    pub fn median(&self) -> Duration {
        let middle = self.times.get(self.times.len() / 2);
        middle.copied().unwrap_or_default()
    }

    /// How often this takes as long as another.
    pub fn over(&self, other: &Row) -> f64 {
        self.median().as_secs_f64() / other.median().as_secs_f64()
    }

    /// How much of processors this takes, beside another.
    pub fn work_over(&self, other: &Row) -> f64 {
        self.work().as_secs_f64() / other.work().as_secs_f64()
    }

    fn work(&self) -> Duration {
        let middle = self.processor.get(self.processor.len() / 2);
        middle.copied().unwrap_or_default()
    }

    /// The most memory it held, in MiB.
    #[allow(clippy::cast_precision_loss, reason = "a few hundred")]
    pub fn memory(&self) -> f64 {
        (self.memory >> 10) as f64
    }

    fn print(&self) {
        let milliseconds = |time: Option<&Duration>| {
            let time = time.copied().unwrap_or_default().as_secs_f64() * 1000.0;
            format!("{}{time:.1}", if self.ended { ">" } else { "" })
        };
        println!(
            "  {:<32} {:>10} {:>10} {:>10} {:>8} {:>5} {:>7} {:>9}",
            self.name,
            milliseconds(self.times.first()),
            milliseconds(Some(&self.median())),
            milliseconds(self.times.last()),
            self.work().as_millis(),
            self.times.len(),
            self.memory(),
            self.named
                .map_or_else(|| "-".to_owned(), |named| named.to_string()),
        );
    }
}

/// Prints a group of rows under what they have in common.
pub fn print(told: &str, rows: &[Row]) {
    println!(
        "\n{told:<34} {:>10} {:>10} {:>10} {:>8} {:>5} {:>7} {:>9}",
        "min ms", "median", "max", "CPU ms", "runs", "MiB", "count"
    );
    for row in rows {
        row.print();
    }
}

/// Prints a figure beside what it should be. A clock decides nothing: whoever reads it does.
pub fn aim(what: &str, figure: f64, at_most: bool, aim: f64) {
    let is_met = if at_most {
        figure <= aim
    } else {
        figure >= aim
    };
    println!(
        "  {what}: {figure:.2} (aim: at {} {aim}{})",
        if at_most { "most" } else { "least" },
        if is_met { "" } else { "; missed" }
    );
}
