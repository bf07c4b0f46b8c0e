//! What the functions of a template reach through [`Call::host`]: the source of chance, nested uses, and the record of what was used. It lives as
//! long as one render.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

use hub_gotemplate::{Call, CallError, Exceeded, Limits, Text};
use zeroize::Zeroizing;

use crate::chance::{Calendar, Chance, Stream};
use crate::kept::Kept;

/// What a render made use of beside the chart and the values: the same answers to the same questions give the same result.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Used {
    /// Whether the version of Kubernetes was looked at.
    pub kube_version: bool,
    /// The API versions that were asked for, and what the answer was.
    pub api_versions: BTreeMap<String, bool>,
    /// Whether the list of API versions as a whole was looked at.
    pub all_api_versions: bool,
    /// What was looked up in the cluster, as `apiVersion kind namespace/name`. The answer is always that nothing is there.
    pub lookups: BTreeSet<String>,
    /// The functions of chance and of time that were called, such as `randAlphaNum` or `now`, with the file that called them.
    pub chance: BTreeSet<(&'static str, String)>,
    /// When the result is to be made anew because a certificate in it grows old, in seconds since 1970.
    pub good_until: Option<i64>,
}

/// The most nested uses of one template by `include`: Helm's own limit.
const INCLUDE_LIMIT: u32 = 1000;

/// What making keys and hashing passwords may take in one render, beside the steps of its templates: as many halves of them, in the same measure. The
/// 40 million that follow from the 16 of a render are 1.7 seconds. Charts with a key of 4,096 bits make it three times, once for the Secret and
/// again for a checksum of it in each of two pods, and have others of 2,048 bits beside them.
const WORK_HALVES: u64 = 5;

/// The host of one render.
#[derive(Debug)]
pub(crate) struct Host {
    chance: Option<Chance>,
    used: Rc<RefCell<Used>>,
    /// The template file that is being rendered, such as `nginx/templates/secret.yaml`.
    template: RefCell<Text>,
    /// How often each function has drawn from chance while rendering that file.
    draws: RefCell<BTreeMap<&'static str, u64>>,
    /// What was made before, in this render or another of the chart.
    kept: Arc<Kept>,
    /// What is left for keys and passwords.
    work: Cell<u64>,
    work_limit: u64,
    /// How often each template is being included at the moment.
    included: RefCell<BTreeMap<Text, u32>>,
}

impl Host {
    /// A host that records what is used in `used`.
    pub(crate) fn new(chance: Option<Chance>, used: Rc<RefCell<Used>>, kept: Arc<Kept>, limits: Limits) -> Self {
        let work_limit = limits.steps.saturating_mul(WORK_HALVES) / 2;
        Self {
            chance,
            used,
            template: RefCell::default(),
            draws: RefCell::default(),
            kept,
            work: Cell::new(work_limit),
            work_limit,
            included: RefCell::default(),
        }
    }

    /// The host of `call`.
    #[expect(clippy::expect_used, reason = "templates with these functions are evaluated by this crate only, always with this host")]
    pub(crate) fn of<'c>(call: &'c Call<'_>) -> &'c Self {
        call.host().downcast_ref().expect("BUG: a function of charts was called by another host")
    }

    /// Begins the rendering of the file `name`.
    pub(crate) fn begin(&self, name: &Text) {
        self.template.replace(name.clone());
        self.draws.borrow_mut().clear();
    }

    /// The bytes of chance for one call of `function`: others than for its earlier calls in the present file. The use is recorded.
    ///
    /// # Errors
    /// Without a source.
    pub(crate) fn stream(&self, function: &'static str) -> Result<Stream, CallError> {
        let mut draws = self.draws.borrow_mut();
        let number = draws.entry(function).or_default();
        *number += 1;
        Ok(self.chance(function)?.stream(&self.template.borrow(), function, *number))
    }

    /// What `function` is told of time. The use is recorded.
    ///
    /// # Errors
    /// Without a source.
    pub(crate) fn calendar(&self, function: &'static str) -> Result<Calendar, CallError> {
        self.chance(function).map(Chance::calendar)
    }

    fn chance(&self, function: &'static str) -> Result<&Chance, CallError> {
        self.used.borrow_mut().chance.insert((function, self.template.borrow().to_string()));
        self.chance.as_ref().ok_or_else(|| {
            CallError::failed(format!(
                "{function} gives something else each time, and there is no secret to derive it from; set the value instead"
            ))
        })
    }

    /// Records that the result is to be made anew at `instant`, in seconds since 1970.
    pub(crate) fn note_good_until(&self, instant: i64) {
        let good_until = &mut self.used.borrow_mut().good_until;
        *good_until = Some(good_until.map_or(instant, |earlier| earlier.min(instant)));
    }

    /// Records that the cluster was asked for an object.
    pub(crate) fn note_lookup(&self, lookup: String) {
        self.used.borrow_mut().lookups.insert(lookup);
    }

    /// Takes `steps` of the work of making keys and hashing passwords.
    ///
    /// # Errors
    /// More than there is: see [`WORK_HALVES`].
    pub(crate) fn work(&self, steps: u64) -> Result<(), CallError> {
        let left = self.work.get().checked_sub(steps).ok_or(Exceeded::Steps(self.work_limit))?;
        self.work.set(left);
        Ok(())
    }

    /// What `make` makes of `stream` and of nothing else, or what it made of it before. What that takes of the budget is to be taken in any case,
    /// so that what a render may do does not depend on those before it.
    pub(crate) fn made(&self, stream: &mut Stream, make: impl FnOnce(&mut Stream) -> Zeroizing<Vec<u8>>) -> Zeroizing<Vec<u8>> {
        self.kept.of(stream.name(), || make(stream))
    }

    /// Enters the template `name` by `include`.
    ///
    /// # Errors
    /// More than [`INCLUDE_LIMIT`] of one name.
    pub(crate) fn enter(&self, name: &Text) -> Result<(), CallError> {
        let mut included = self.included.borrow_mut();
        let count = included.entry(name.clone()).or_default();
        if *count > INCLUDE_LIMIT {
            return Err(CallError::failed(format!("rendering template has a nested reference name: {name}: unable to execute template")));
        }
        *count += 1;
        Ok(())
    }

    /// Leaves the template `name`.
    pub(crate) fn leave(&self, name: &Text) {
        if let Some(count) = self.included.borrow_mut().get_mut(name) {
            *count = count.saturating_sub(1);
        }
    }
}
