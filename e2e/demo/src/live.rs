//! The demo for people: a table that stays up to date until Ctrl-C, while files of the fleet are committed as they change and agents stop and
//! start as asked.

use std::collections::{BTreeSet, VecDeque};
use std::fs;
use std::io::{IsTerminal, Write, stdout};
use std::time::Duration;

use anyhow::Context as _;
use shared_model::Timestamp;

use crate::table::{Sight, changes, cut, table};
use crate::world::World;

/// How often everything is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(300);
/// How many lines about the past stand under the table.
const LATELY: usize = 8;

/// Runs until it is dropped or something fails.
pub(crate) async fn run(world: &mut World) -> anyhow::Result<()> {
    let stops = world.place.join("stop");
    fs::create_dir_all(&stops).with_context(|| format!("{} cannot be made", stops.display()))?;
    let mut screen = Screen { terminal: stdout().is_terminal(), drawn: 0, lately: VecDeque::new() };
    let mut before = Sight::default();
    let mut stopped = BTreeSet::new();
    loop {
        let mut news = obey(world, &mut stopped).await?;
        world.check().await?;
        match world.commit("A change of the directory").await {
            Ok(None) => {}
            Ok(Some(commit)) => news.push(format!("committed {} as {}", commit.paths.join(", "), &commit.id[..8])),
            Err(error) => news.push(format!("not committed: {error:#}")),
        }
        if world.hub_runs() {
            match look(world).await {
                Ok(now) => {
                    news.extend(changes(&before, &now));
                    before = now;
                }
                Err(error) => news.push(format!("the hub does not answer: {error:#}")),
            }
        }
        screen.show(&before, &news, world.hub_runs())?;
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn look(world: &World) -> anyhow::Result<Sight> {
    Ok(Sight { rows: world.status().await?, problems: world.client.problems().await? })
}

/// Stops what has a file of its name in the directory `stop`, and starts it again when that is gone.
async fn obey(world: &mut World, stopped: &mut BTreeSet<String>) -> anyhow::Result<Vec<String>> {
    let mut asked = BTreeSet::new();
    for entry in fs::read_dir(world.place.join("stop")).context("the directory stop cannot be read")? {
        asked.extend(entry?.file_name().into_string());
    }
    let mut news = Vec::new();
    for name in asked.difference(stopped) {
        match name.as_str() {
            "hub" => world.stop_hub().await?,
            name => match world.cluster_mut(name) {
                Ok(cluster) => cluster.stop_agent().await?,
                Err(_) => {
                    news.push(format!("there is nothing called {name} to stop"));
                    continue;
                }
            },
        }
        news.push(format!("stopped: {name}"));
    }
    for name in stopped.difference(&asked) {
        match name.as_str() {
            "hub" => world.resume_hub().await?,
            name => match world.cluster_mut(name) {
                Ok(cluster) => cluster.start_agent()?,
                Err(_) => continue,
            },
        }
        news.push(format!("started again: {name}"));
    }
    *stopped = asked;
    Ok(news)
}

/// Standard output: on a terminal the table is drawn over itself, elsewhere only news are lines.
struct Screen {
    terminal: bool,
    drawn: usize,
    lately: VecDeque<String>,
}

impl Screen {
    fn show(&mut self, sight: &Sight, news: &[String], hub_runs: bool) -> anyhow::Result<()> {
        let time = Timestamp::now().strftime("%H:%M:%S").to_string();
        let news: Vec<String> = news.iter().map(|line| format!("{time} {line}")).collect();
        let mut out = stdout().lock();
        if !self.terminal {
            // A line in a log may be as long as it needs to be.
            news.iter().try_for_each(|line| writeln!(out, "{line}"))?;
            return Ok(out.flush()?);
        }
        self.lately.extend(news.iter().map(|line| cut(line)));
        while self.lately.len() > LATELY {
            self.lately.pop_front();
        }
        let mut lines = table(sight);
        lines.push(if hub_runs { String::new() } else { "The hub is stopped; this is what it said last.".to_owned() });
        lines.extend(self.lately.iter().cloned());
        if self.drawn > 0 {
            write!(out, "\x1b[{}A", self.drawn)?;
        }
        write!(out, "\x1b[J{}", lines.iter().map(|line| format!("{line}\r\n")).collect::<String>())?;
        self.drawn = lines.len();
        Ok(out.flush()?)
    }
}
