//! Searching with Go's regular expressions. Every byte that is looked at is paid for, also those that a search looks at in vain beyond the match
//! that it finds: the sum over all matches can be the square of the text.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use hub_gotemplate::{Call, CallError, Text};
use regex_automata::hybrid::dfa::{Cache, DFA};
use regex_automata::nfa::thompson::pikevm::PikeVM;
use regex_automata::nfa::thompson::{self, NFA, WhichCaptures};
use regex_automata::util::primitives::NonMaxUsize;
use regex_automata::{Anchored, Input, MatchKind, util::syntax};

use super::pattern::{InvalidPattern, Pattern, translate};
use super::runes::{first, runes};

/// The most memory for the states of an expression, twice: forwards and backwards. The 5000 states that `pattern` allows take about 300 KiB.
const MOST_STATES: usize = 512 << 10;

/// The memory for what is found out about texts while searching, twice. Ordinary expressions need a few KiB.
const KNOWN_STATES: usize = 256 << 10;

/// How many expressions a thread remembers: more than most charts have. They take 1.5 MiB each at most, 48 MiB together.
const REMEMBERED: usize = 32;

/// A place in what is searched of a text.
pub(super) type Span = (usize, usize);

/// A text to be searched. Bytes that are not UTF-8 are searched as U+FFFD, as Go sees them, and are what they are in what is taken from it.
pub(super) struct Subject<'t> {
    text: &'t [u8],
    searched: Cow<'t, [u8]>,
    /// Where each byte that is searched comes from, and the end; empty if everything is at its own place.
    places: Vec<usize>,
}

impl<'t> Subject<'t> {
    pub(super) fn new(text: &'t [u8]) -> Self {
        if std::str::from_utf8(text).is_ok() {
            return Self { text, searched: text.into(), places: Vec::new() };
        }
        let (mut searched, mut places) = (String::new(), Vec::new());
        let mut at = 0;
        for (character, bytes) in runes(text) {
            searched.push(character);
            places.resize(searched.len(), at);
            at += bytes.len();
        }
        places.push(at);
        Self { text, searched: searched.into_bytes().into(), places }
    }

    /// How many bytes are searched.
    pub(super) fn len(&self) -> usize {
        self.searched.len()
    }

    /// Where the character at `at` ends; one further at the end.
    pub(super) fn next(&self, at: usize) -> usize {
        at + first(&self.searched[at..]).map_or(1, |(_, length)| length)
    }

    /// The bytes of the text from `start` to `end`.
    pub(super) fn part(&self, (start, end): Span) -> &'t [u8] {
        let place = |at: usize| self.places.get(at).copied().unwrap_or(at);
        &self.text[place(start)..place(end)]
    }
}

/// A compiled expression with its scratch memory.
pub(super) struct Regex {
    pattern: Pattern,
    forward: DFA,
    forward_cache: Cache,
    backward: DFA,
    backward_cache: Cache,
}

thread_local! {
    // Only a memory of a pure function: it changes nothing but time, and is not seen by budgets.
    static COMPILED: RefCell<BTreeMap<Text, Rc<RefCell<Regex>>>> = const { RefCell::new(BTreeMap::new()) };
}

/// The expression `source`, or what is wrong with it.
pub(super) fn compiled(call: &mut Call<'_>, source: &Text) -> Result<Result<Rc<RefCell<Regex>>, InvalidPattern>, CallError> {
    call.spend(source.len().saturating_add(COMPILING))?;
    let remembered = COMPILED.with_borrow(|compiled| compiled.get(source.as_bytes()).cloned());
    if let Some(regex) = remembered {
        call.spend(regex.borrow().pattern.size.saturating_mul(COMPILING_A_STATE))?;
        return Ok(Ok(regex));
    }
    let pattern = match translate(source) {
        Ok(pattern) => pattern,
        Err(invalid) => return Ok(Err(invalid)),
    };
    call.spend(pattern.size.saturating_mul(COMPILING_A_STATE))?;
    let Some(regex) = Regex::new(pattern) else {
        return Ok(Err(InvalidPattern::too_large(&source.to_str())));
    };
    let regex = Rc::new(RefCell::new(regex));
    COMPILED.with_borrow_mut(|compiled| {
        if compiled.len() >= REMEMBERED {
            compiled.clear();
        }
        compiled.insert(source.clone(), regex.clone());
    });
    Ok(Ok(regex))
}

impl Regex {
    /// `None` if the states take more memory than they may.
    fn new(pattern: Pattern) -> Option<Self> {
        let states = |config: thompson::Config| {
            let config = config.nfa_size_limit(Some(MOST_STATES)).utf8(false);
            NFA::compiler().syntax(syntax::Config::new().utf8(false)).configure(config).build(&pattern.source).ok()
        };
        let known = || DFA::config().cache_capacity(KNOWN_STATES).skip_cache_capacity_check(true);
        let forward = states(thompson::Config::new())?;
        let backward = states(thompson::Config::new().reverse(true).which_captures(WhichCaptures::None))?;
        let forward = DFA::builder().configure(known()).build_from_nfa(forward).ok()?;
        let backward = DFA::builder().configure(known().match_kind(MatchKind::All)).build_from_nfa(backward).ok()?;
        Some(Self { forward_cache: forward.create_cache(), backward_cache: backward.create_cache(), forward, backward, pattern })
    }

    /// The names of the groups, from that of the whole match on; empty for those without.
    pub(super) fn names(&self) -> &[String] {
        &self.pattern.names
    }

    /// The first match in the text from `start` on, by Perl's rules for which is preferred.
    pub(super) fn find(&mut self, call: &mut Call<'_>, subject: &Subject<'_>, start: usize) -> Result<Option<Span>, CallError> {
        let text = &*subject.searched;
        let mut from = start;
        while from <= text.len() {
            let Some(end) = self.end_of_match(call, text, from)? else { return Ok(None) };
            let backward = Input::new(text).range(from..end).anchored(Anchored::Yes);
            let begin = self.backward.try_search_rev(&mut self.backward_cache, &backward).ok().flatten();
            let begin = begin.map_or(end, |begin| begin.offset());
            if begin < end || is_boundary(text, end) {
                return Ok(Some((begin, end)));
            }
            // Nothing, but between the bytes of one character.
            from = end + 1;
        }
        Ok(None)
    }

    fn end_of_match(&mut self, call: &mut Call<'_>, text: &[u8], start: usize) -> Result<Option<usize>, CallError> {
        let mut end = None;
        let mut looked_at = text.len();
        let (dfa, cache) = (&self.forward, &mut self.forward_cache);
        let exhausted = |_| CallError::failed("a search ran out of memory");
        let mut state =
            dfa.start_state_forward(cache, &Input::new(text).range(start..)).map_err(|_| CallError::failed("a search cannot begin"))?;
        for (at, &byte) in text.iter().enumerate().skip(start) {
            state = dfa.next_state(cache, state, byte).map_err(exhausted)?;
            if state.is_tagged() {
                if state.is_match() {
                    end = Some(at);
                } else if state.is_dead() {
                    looked_at = at;
                    break;
                }
            }
            if (at - start) % PAGE == PAGE - 1 {
                call.spend(self.pattern.size.saturating_mul(PAGE) / STATES_IN_A_STEP)?;
            }
        }
        if looked_at == text.len() && dfa.next_eoi_state(cache, state).map_err(exhausted)?.is_match() {
            end = Some(text.len());
        }
        call.spend(self.pattern.size.saturating_mul((looked_at - start) % PAGE) / STATES_IN_A_STEP + 1)?;
        Ok(end)
    }

    /// The places of the groups of the match at `whole`, of which the first is the match.
    pub(super) fn groups(&self, call: &mut Call<'_>, subject: &Subject<'_>, whole: Span) -> Result<Vec<Option<Span>>, CallError> {
        call.spend(self.pattern.size.saturating_mul(whole.1 - whole.0 + 1))?;
        let mut slots: Vec<Option<NonMaxUsize>> = vec![None; self.pattern.names.len() * 2];
        if let Ok(machine) = PikeVM::new_from_nfa(self.forward.get_nfa().clone()) {
            let input = Input::new(&*subject.searched).range(whole.0..whole.1).anchored(Anchored::Yes);
            machine.search_slots(&mut machine.create_cache(), &input, &mut slots);
        }
        let mut groups: Vec<Option<Span>> = slots.chunks(2).map(|slots| Some((slots[0]?.get(), slots[1]?.get()))).collect();
        groups[0] = Some(whole);
        Ok(groups)
    }
}

/// After how many bytes a search pays for them.
const PAGE: usize = 4096;

/// How many states one step pays for at each byte. Where each byte leads to a set of states that was not met before, a state takes 3 ns.
const STATES_IN_A_STEP: usize = 8;

/// The steps that pay for compiling an expression: 40 µs, and half a microsecond for each of its states. They are paid for each use, also of an
/// expression that is remembered, so that what a render takes does not depend on the renders before it.
const COMPILING: usize = 1000;
const COMPILING_A_STATE: usize = 20;

/// Whether a character begins at `at`, or the text ends there.
fn is_boundary(text: &[u8], at: usize) -> bool {
    text.get(at).is_none_or(|byte| byte & 0xc0 != 0x80)
}
