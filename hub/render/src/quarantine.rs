//! Inputs that took a process down. The hub notes the digest of an input, durably, before its first render and clears it after; what is still
//! noted at the next start was being rendered when the process ended, and is not rendered again until somebody releases it or the input
//! changes. Writing the bytes to disk is left to the hub.

use std::collections::BTreeMap;

use shared_model::{AppName, Digest};

use crate::input::InputDigest;

/// The first line of the encoding: what it is and which version.
const HEADER: &str = "capstan-quarantine";

/// The version of the encoding that this code writes and the newest that it reads.
const VERSION: u32 = 1;

/// The inputs that are being rendered for the first time, and those that are suspected.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Quarantine {
    entries: BTreeMap<InputDigest, Entry>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    app: AppName,
    is_noted: bool,
    is_held: bool,
    /// How often the process ended during its render.
    times: u32,
}

/// An input that is held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suspect {
    /// The app.
    pub app: AppName,
    /// The input.
    pub input: InputDigest,
    /// How often the process ended while it was rendered.
    pub times: u32,
}

/// The bytes are no quarantine that this version reads.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidQuarantine {
    /// Written by a newer version.
    #[error("the quarantine has format {found} and this version reads up to {VERSION}; start the newer version again, or remove the file")]
    Newer {
        /// Its format.
        found: u32,
    },
    /// Not what was written.
    #[error("line {line} of the quarantine is damaged; remove the file to release everything")]
    Damaged {
        /// The line, from 1.
        line: usize,
    },
}

impl Quarantine {
    /// To be called once at the start: whatever is still noted took the process down, or was rendered beside what did. All of it is held; if
    /// several were, releasing them one by one tells which it was. Gives what is held now.
    pub fn at_start(&mut self) -> Vec<Suspect> {
        for entry in self.entries.values_mut().filter(|entry| entry.is_noted) {
            entry.is_noted = false;
            entry.is_held = true;
            entry.times = entry.times.saturating_add(1);
        }
        self.suspects()
    }

    /// What is held.
    pub fn suspects(&self) -> Vec<Suspect> {
        let held = self.entries.iter().filter(|(_, entry)| entry.is_held);
        held.map(|(input, entry)| Suspect { app: entry.app.clone(), input: *input, times: entry.times }).collect()
    }

    /// Whether `input` must not be rendered.
    pub fn holds(&self, input: &InputDigest) -> bool {
        self.entries.get(input).is_some_and(|entry| entry.is_held)
    }

    /// Notes that `input` is about to be rendered for the first time. The caller makes it durable before it renders. What is held is not
    /// noted: false says that it must not be rendered.
    #[must_use]
    pub fn note(&mut self, input: InputDigest, app: &AppName) -> bool {
        let new = || Entry { app: app.clone(), is_noted: false, is_held: false, times: 0 };
        let entry = self.entries.entry(input).or_insert_with(new);
        entry.is_noted = !entry.is_held;
        entry.is_noted
    }

    /// Notes that the render of `input` has ended, with objects or with a problem. An input that has survived is above suspicion.
    pub fn clear(&mut self, input: &InputDigest) {
        if !self.holds(input) {
            self.entries.remove(input);
        }
    }

    /// Lets `input` be rendered again; how often it was suspected is remembered until it survives. False if it was not held.
    pub fn release(&mut self, input: &InputDigest) -> bool {
        match self.entries.get_mut(input) {
            Some(entry) if entry.is_held => {
                entry.is_held = false;
                true
            }
            _ => false,
        }
    }

    /// Forgets inputs that nobody asks for any more, so that the set does not grow for ever.
    pub fn keep(&mut self, is_current: impl Fn(&InputDigest) -> bool) {
        self.entries.retain(|input, _| is_current(input));
    }

    /// The bytes to store.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = format!("{HEADER} {VERSION}\n");
        for (input, entry) in &self.entries {
            let state = match (entry.is_held, entry.is_noted) {
                (true, _) => "held",
                (false, true) => "noted",
                (false, false) => "released",
            };
            out.push_str(&format!("{state} {} {} {}\n", entry.times, input.0, entry.app));
        }
        out.into_bytes()
    }

    /// Reads stored bytes; none at all are an empty set.
    ///
    /// # Errors
    /// A newer format, or damage.
    pub fn decode(bytes: &[u8]) -> Result<Self, InvalidQuarantine> {
        let damaged = |line| InvalidQuarantine::Damaged { line };
        let text = std::str::from_utf8(bytes).map_err(|_| damaged(1))?;
        let mut lines = text.lines().enumerate();
        let Some((_, header)) = lines.next() else { return Ok(Self::default()) };
        let found: u32 = header.strip_prefix(HEADER).and_then(|rest| rest.trim().parse().ok()).ok_or(damaged(1))?;
        if found > VERSION {
            return Err(InvalidQuarantine::Newer { found });
        }
        let mut entries = BTreeMap::new();
        for (index, line) in lines {
            let (input, entry) = decode_entry(line).ok_or(damaged(index + 1))?;
            entries.insert(input, entry);
        }
        Ok(Self { entries })
    }
}

fn decode_entry(line: &str) -> Option<(InputDigest, Entry)> {
    let mut words = line.split(' ');
    let (state, times, digest, app) = (words.next()?, words.next()?, words.next()?, words.next()?);
    let (is_held, is_noted) = match state {
        "held" => (true, false),
        "noted" => (false, true),
        "released" => (false, false),
        _ => return None,
    };
    if words.next().is_some() {
        return None;
    }
    let entry = Entry { app: app.parse().ok()?, is_noted, is_held, times: times.parse().ok()? };
    Some((InputDigest(digest.parse::<Digest>().ok()?), entry))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(name: &str) -> InputDigest {
        InputDigest(Digest::of(name.as_bytes()))
    }

    fn app(name: &str) -> AppName {
        name.parse().expect("a name")
    }

    fn restarted(quarantine: &Quarantine) -> Quarantine {
        let mut after = Quarantine::decode(&quarantine.encode()).expect("reads back");
        assert_eq!(after, *quarantine);
        after.at_start();
        after
    }

    #[test]
    fn what_is_noted_when_the_process_ends_is_held_at_the_next_start() {
        let mut quarantine = Quarantine::default();
        assert!(quarantine.note(input("good"), &app("good")));
        quarantine.clear(&input("good"));
        assert!(quarantine.note(input("bad"), &app("bad")));
        let mut quarantine = restarted(&quarantine);
        assert_eq!(quarantine.suspects(), [Suspect { app: app("bad"), input: input("bad"), times: 1 }]);
        assert!(!quarantine.note(input("bad"), &app("bad")), "what is held is not rendered");
        assert!(quarantine.note(input("good"), &app("good")));
    }

    #[test]
    fn what_is_released_is_rendered_again_and_its_second_fall_counts() {
        let mut quarantine = Quarantine::default();
        assert!(quarantine.note(input("bad"), &app("bad")));
        let mut quarantine = restarted(&quarantine);
        assert!(quarantine.release(&input("bad")));
        assert!(!quarantine.release(&input("bad")));
        assert!(quarantine.note(input("bad"), &app("bad")));
        let mut quarantine = restarted(&quarantine);
        assert_eq!(quarantine.suspects()[0].times, 2);
        quarantine.release(&input("bad"));
        assert!(quarantine.note(input("bad"), &app("bad")));
        quarantine.clear(&input("bad"));
        assert_eq!(quarantine, Quarantine::default());
    }

    #[test]
    fn a_newer_format_and_damage_are_refused_and_nothing_is_empty() {
        assert_eq!(Quarantine::decode(b""), Ok(Quarantine::default()));
        assert_eq!(Quarantine::decode(b"capstan-quarantine 2\nwhat"), Err(InvalidQuarantine::Newer { found: 2 }));
        assert_eq!(Quarantine::decode(b"something else"), Err(InvalidQuarantine::Damaged { line: 1 }));
        assert_eq!(Quarantine::decode(b"capstan-quarantine 1\nheld 1 x y"), Err(InvalidQuarantine::Damaged { line: 2 }));
    }

    #[test]
    fn inputs_that_nobody_asks_for_are_forgotten() {
        let mut quarantine = Quarantine::default();
        assert!(quarantine.note(input("old"), &app("a")));
        assert!(quarantine.note(input("new"), &app("a")));
        let mut quarantine = restarted(&quarantine);
        quarantine.keep(|known| *known == input("new"));
        assert_eq!(quarantine.suspects().len(), 1);
    }
}
