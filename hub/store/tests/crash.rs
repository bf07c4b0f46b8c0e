//! Kills the store's process at random moments, also while it opens, always on the same directory, and checks from outside that nothing
//! acknowledged is lost. Then reads from the system calls that what was acknowledged had been synced. Power cuts are left out: the page
//! cache survives a kill, which is why the system calls are looked at.
//!
//! `CAPSTAN_CRASH_ROUNDS` sets the number of kills (60), `CAPSTAN_CRASH_SEED` the moments.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use hub_store::{Commit, CommitOutcome, Key, Operation, Prefix, Scope, SledConfig, SledStore, Store};
use shared_model::Digest;

const ROLE: &str = "CAPSTAN_CRASH_ROLE";
const DIRECTORY: &str = "CAPSTAN_CRASH_DIRECTORY";
/// Writers in one process, so that flushes are shared.
const WRITERS: u64 = 4;
/// Commits of one writer whose values stay; older ones are overwritten.
const KEPT: u64 = 200;
/// Commits of the run whose system calls are looked at.
const TRACED: u64 = 30;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> ExitCode {
    let directory = std::env::var_os(DIRECTORY).map(PathBuf::from);
    let result = match (std::env::var(ROLE).as_deref(), directory) {
        (Ok("write"), Some(directory)) => write(&directory, WRITERS, u64::MAX),
        (Ok("write some"), Some(directory)) => write(&directory, 1, TRACED),
        (Ok("verify"), Some(directory)) => verify(&directory),
        // Nothing to list for a test runner that asks; the tests run as one.
        _ if std::env::args().any(|argument| argument == "--list") => Ok(()),
        _ => witness(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("FAILED: {error}");
            ExitCode::FAILURE
        }
    }
}

fn witness() -> Outcome<()> {
    let mut chance = Chance::from_environment()?;
    nothing_acknowledged_is_lost_when_the_writer_is_killed(&mut chance)?;
    a_first_start_that_is_killed_is_taken_up_again(&mut chance)?;
    what_is_acknowledged_has_been_synced()
}

// ---- The processes that are killed, and the one that looks at what is left ----

fn open(directory: &Path) -> Outcome<Arc<SledStore>> {
    Ok(Arc::new(SledStore::open(directory, SledConfig { ballast_bytes: 0, ..SledConfig::default() })?))
}

fn key(text: &str) -> Outcome<Key> {
    Ok(text.parse()?)
}

/// What commit `number` of `writer` writes; most values are small, some take several pieces.
fn content(writer: u64, number: u64) -> Bytes {
    let length = if number.is_multiple_of(37) { 20_000 } else { 40 + number as usize % 300 };
    let seed = number.wrapping_mul(0x9e37_79b9).wrapping_add(writer);
    (0..length as u64).map(|at| (seed.wrapping_add(at).wrapping_mul(0x2545_f491_4f6c_dd1d) >> 56) as u8).collect()
}

/// The blob that commit `number` of `writer` refers to, if it does: one in ten, one in 140 as a file.
fn blob(writer: u64, number: u64) -> Option<Bytes> {
    let length = if number % 140 == 20 { 150_000 } else { 2_000 };
    number.is_multiple_of(10).then(|| content(writer, number).iter().copied().cycle().take(length).collect())
}

fn say(line: &str) -> Outcome<()> {
    // One write per line, so that a kill leaves whole lines.
    std::io::stdout().lock().write_all(format!("{line}\n").as_bytes())?;
    Ok(std::io::stdout().lock().flush()?)
}

/// Commits until `count` is reached or the process is killed, and says what was acknowledged.
fn write(directory: &Path, writers: u64, count: u64) -> Outcome<()> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).build()?.block_on(async {
        let store = open(directory)?;
        say("open")?;
        let tasks: Vec<_> = (0..writers).map(|writer| tokio::spawn(write_in_turn(store.clone(), writer, count))).collect();
        for task in tasks {
            task.await??;
        }
        Ok(())
    })
}

/// Commit n sets two counters to n, one of [`KEPT`] slots to its content, and moves a marker from key to key, all at once.
async fn write_in_turn(store: Arc<SledStore>, writer: u64, count: u64) -> Outcome<()> {
    let first = number(store.get(&key(&format!("a/{writer}"))?).await?.map(|entry| entry.value))? + 1;
    for number in (first..).take(usize::try_from(count).unwrap_or(usize::MAX)) {
        if let Some(blob) = blob(writer, number) {
            store.put_blobs(vec![blob]).await?;
        }
        let text = Bytes::from(number.to_string());
        let operations = vec![
            Operation::Put(key(&format!("a/{writer}"))?, text.clone()),
            Operation::Put(key(&format!("b/{writer}"))?, text),
            Operation::Put(key(&format!("slots/{writer}/{:03}", number % KEPT))?, content(writer, number)),
            Operation::Delete(key(&format!("marks/{writer}/{}", number - 1))?),
            Operation::Put(key(&format!("marks/{writer}/{number}"))?, Bytes::new()),
        ];
        match store.commit(Commit { operations, ..Commit::default() }).await? {
            CommitOutcome::Committed(_) => say(&format!("acknowledged {writer} {number}"))?,
            conflict @ CommitOutcome::Conflict { .. } => return Err(format!("{conflict:?}").into()),
        }
    }
    Ok(())
}

fn number(value: Option<Bytes>) -> Outcome<u64> {
    value.map_or(Ok(0), |value| Ok(std::str::from_utf8(&value)?.parse()?))
}

/// Opens what is left and says how far each writer came, having checked that all of it is there.
fn verify(directory: &Path) -> Outcome<()> {
    tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
        let store = open(directory)?;
        let report = store.check(Scope::Full).await?;
        if !report.is_ready() {
            return Err(format!("the store is not well: {report:?}").into());
        }
        for writer in 0..WRITERS {
            let reached = number(store.get(&key(&format!("a/{writer}"))?).await?.map(|entry| entry.value))?;
            let second = number(store.get(&key(&format!("b/{writer}"))?).await?.map(|entry| entry.value))?;
            if reached != second {
                return Err(format!("writer {writer}: half a commit, {reached} and {second}").into());
            }
            let marks = store.range(&Prefix::new("marks", &format!("{writer}/"))?, None, 10).await?.entries;
            let expected = if reached == 0 { vec![] } else { vec![key(&format!("marks/{writer}/{reached}"))?] };
            if marks.iter().map(|(key, _)| key).ne(&expected) {
                return Err(format!("writer {writer} at {reached}: marks {marks:?}").into());
            }
            for number in reached.saturating_sub(KEPT - 1).max(1)..=reached {
                let slot = store.get(&key(&format!("slots/{writer}/{:03}", number % KEPT))?).await?;
                if slot.map(|entry| entry.value) != Some(content(writer, number)) {
                    return Err(format!("writer {writer}: the value of commit {number} is lost or wrong").into());
                }
                if let Some(blob) = blob(writer, number)
                    && store.get_blob(Digest::of(&blob)).await? != Some(blob)
                {
                    return Err(format!("writer {writer}: the blob of commit {number} is lost").into());
                }
            }
            say(&format!("reached {writer} {reached}"))?;
        }
        Ok(())
    })
}

// ---- The witness ----

fn command(role: &str, directory: &Path) -> Outcome<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.env(ROLE, role).env(DIRECTORY, directory).stdin(Stdio::null()).stdout(Stdio::piped());
    Ok(command)
}

/// The numbers per writer in the lines that begin with `word`.
fn numbers(lines: &[String], word: &str) -> BTreeMap<u64, u64> {
    let parse = |line: &String| {
        let (writer, number) = line.strip_prefix(word)?.trim().split_once(' ')?;
        Some((writer.parse().ok()?, number.parse().ok()?))
    };
    lines.iter().filter_map(parse).collect()
}

/// What happens at random, from one seed that is printed.
struct Chance(u64);

impl Chance {
    fn from_environment() -> Outcome<Self> {
        let clock = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(1, |now| now.as_nanos() as u64 | 1);
        let seed = std::env::var("CAPSTAN_CRASH_SEED").map_or_else(|_| Ok(clock()), |seed| seed.parse())?;
        println!("kills: seed {seed}");
        Ok(Self(seed))
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

fn rounds() -> Outcome<u64> {
    Ok(std::env::var("CAPSTAN_CRASH_ROUNDS").map_or(Ok(60), |rounds| rounds.parse())?)
}

/// What a fresh process finds in `directory`: how far each writer came. Fails if it cannot open the store or finds something wrong.
fn looked_at(directory: &Path) -> Outcome<BTreeMap<u64, u64>> {
    let looked = command("verify", directory)?.stderr(Stdio::piped()).output()?;
    if !looked.status.success() {
        return Err(String::from_utf8_lossy(&looked.stderr).into());
    }
    let lines: Vec<String> = String::from_utf8_lossy(&looked.stdout).lines().map(str::to_owned).collect();
    Ok(numbers(&lines, "reached"))
}

fn nothing_acknowledged_is_lost_when_the_writer_is_killed(chance: &mut Chance) -> Outcome<()> {
    let rounds = rounds()?;
    let started = Instant::now();
    let directory = tempfile::tempdir()?;
    let mut acknowledged: BTreeMap<u64, u64> = BTreeMap::new();
    let (mut total, mut while_opening) = (0, 0);
    for round in 1..=rounds {
        let moment = if round % 3 == 0 { Moment::AfterStart(chance.below(100_000)) } else { Moment::AfterOpen(chance.below(150_000)) };
        let lines = killed(&mut command("write", directory.path())?.spawn()?, moment)?;
        while_opening += u64::from(!lines.iter().any(|line| line == "open"));
        total += lines.iter().filter(|line| line.starts_with("acknowledged")).count();
        acknowledged.extend(numbers(&lines, "acknowledged"));

        let reached = looked_at(directory.path()).map_err(|error| format!("round {round} (killed {moment:?}): {error}"))?;
        for (writer, number) in &acknowledged {
            if reached.get(writer) < Some(number) {
                return Err(format!("round {round}: writer {writer} had {number} acknowledged, {:?} is left", reached.get(writer)).into());
            }
        }
    }
    println!(
        "kills: {rounds} ({while_opening} before the store was open), {total} acknowledged commits, 0 lost, 0 failed opens, {:.0} s",
        started.elapsed().as_secs_f64()
    );
    if total == 0 { Err("no commit was acknowledged, so nothing was tested".into()) } else { Ok(()) }
}

fn a_first_start_that_is_killed_is_taken_up_again(chance: &mut Chance) -> Outcome<()> {
    let rounds = rounds()? / 4;
    let mut while_opening = 0;
    for round in 1..=rounds {
        let directory = tempfile::tempdir()?;
        // Twice, so that a start also follows one that was cut short.
        for _ in 0..2 {
            let moment = Moment::AfterStart(chance.below(120_000));
            let lines = killed(&mut command("write", directory.path())?.spawn()?, moment)?;
            while_opening += u64::from(!lines.iter().any(|line| line == "open"));
        }
        looked_at(directory.path()).map_err(|error| format!("first start {round}: {error}"))?;
    }
    println!("kills of first starts: {} in {rounds} directories ({while_opening} before the store was open), 0 failed opens", rounds * 2);
    Ok(())
}

/// When to kill, in microseconds: a third of the kills while the store opens or soon after, the others while it writes.
#[derive(Debug, Clone, Copy)]
enum Moment {
    AfterStart(u64),
    AfterOpen(u64),
}

/// Lets a writer run until its moment, kills it, and returns what it had said by then.
fn killed(writer: &mut Child, moment: Moment) -> Outcome<Vec<String>> {
    let mut pipe = BufReader::new(writer.stdout.take().ok_or("no pipe")?);
    let mut lines = Vec::new();
    let (Moment::AfterStart(micros) | Moment::AfterOpen(micros)) = moment;
    if let Moment::AfterOpen(_) = moment {
        let mut line = String::new();
        pipe.read_line(&mut line)?;
        lines.push(line.trim_end().to_owned());
    }
    let rest = std::thread::spawn(move || pipe.lines().collect::<Result<Vec<_>, _>>());
    std::thread::sleep(Duration::from_micros(micros));
    let ended = writer.try_wait()?;
    writer.kill()?;
    writer.wait()?;
    lines.extend(rest.join().map_err(|_| "the pipe's reader panicked")??);
    match ended {
        Some(status) => Err(format!("the writer ended by itself: {status}, having said {:?}", lines.last()).into()),
        None => Ok(lines),
    }
}

// ---- The system calls ----

/// A finished system call, in order of its end.
#[derive(Debug)]
struct Call {
    name: String,
    /// The file's path, or what stands there instead.
    file: String,
    /// The whole line or lines.
    text: String,
}

fn what_is_acknowledged_has_been_synced() -> Outcome<()> {
    if Command::new("strace").arg("-V").stdout(Stdio::null()).stderr(Stdio::null()).status().is_err() {
        println!("system calls: SKIPPED, strace is not installed");
        return Ok(());
    }
    let directory = tempfile::tempdir()?;
    let trace = directory.path().join("trace");
    let store = directory.path().join("store");
    let mut traced = Command::new("strace");
    traced.args(["-f", "-y", "-s", "40", "-e", "trace=fsync,fdatasync,sync_file_range,write,pwrite64,rename,renameat,renameat2", "-o"]);
    let output = traced.arg(&trace).arg(std::env::current_exe()?).env(ROLE, "write some").env(DIRECTORY, &store).output()?;
    if !output.status.success() {
        // Containers may forbid tracing altogether.
        println!(
            "system calls: SKIPPED, strace fails here: {}",
            String::from_utf8_lossy(&output.stderr).lines().next().unwrap_or_default()
        );
        return Ok(());
    }
    let mut text = String::new();
    std::fs::File::open(&trace)?.read_to_string(&mut text)?;
    let calls = finished_calls(&text);
    let (mut acknowledged, mut syncs, mut files) = (0, 0, 0);
    let mut since: Vec<&Call> = Vec::new();
    for call in &calls {
        if !(call.name == "write" && call.text.contains("\"acknowledged ")) {
            since.push(call);
            continue;
        }
        acknowledged += 1;
        let log = |call: &&Call| call.file.ends_with("/sled/db");
        let written = since.iter().rposition(|call| log(call) && call.name == "pwrite64").ok_or("acknowledged without a write")?;
        let synced = since[written..].iter().filter(|call| log(call) && call.name == "fdatasync").count();
        if synced == 0 {
            return Err(format!("commit {acknowledged} was acknowledged without fdatasync after its last write: {since:#?}").into());
        }
        syncs += synced;
        // A large blob of this commit: its file, then its name, then the directory with the name, all before the log that refers to it.
        if let Some(renamed) = since.iter().position(|call| call.name.starts_with("rename") && call.text.contains("/blobs/")) {
            let content = since[..renamed].iter().any(|call| call.name == "fsync" && call.file.contains("/incoming/"));
            let name = since[renamed..written].iter().any(|call| call.name == "fsync" && call.file.contains("/blobs/"));
            if !content || !name {
                return Err(format!("a blob's file was not synced (content {content}, name {name}): {since:#?}").into());
            }
            files += 1;
        }
        since.clear();
    }
    println!(
        "system calls: {acknowledged} acknowledged commits, each after fdatasync of the log ({syncs}); {files} blob files synced before them"
    );
    if acknowledged != TRACED { Err(format!("{acknowledged} of {TRACED} commits seen").into()) } else { Ok(()) }
}

/// Puts the calls that strace shows in two halves together again.
fn finished_calls(trace: &str) -> Vec<Call> {
    let mut begun: BTreeMap<&str, &str> = BTreeMap::new();
    let mut calls = Vec::new();
    for line in trace.lines() {
        let Some((process, rest)) = line.split_once(char::is_whitespace) else { continue };
        let rest = rest.trim_start();
        let text = if let Some(beginning) = rest.strip_suffix("<unfinished ...>") {
            begun.insert(process, beginning);
            continue;
        } else if rest.starts_with("<... ") {
            let beginning = begun.remove(process).unwrap_or_default();
            format!("{beginning}{}", rest.split_once("resumed>").map_or("", |(_, end)| end))
        } else {
            rest.to_owned()
        };
        if let Some((name, arguments)) = text.split_once('(') {
            let file = arguments.split_once('<').and_then(|(_, path)| path.split_once('>')).map_or(arguments, |(path, _)| path);
            calls.push(Call { name: name.to_owned(), file: file.to_owned(), text: text.clone() });
        }
    }
    calls
}
