//! What the functions of a template reach through [`Call::host`]: the source of chance, nested uses, and the record of what was used. It lives as
//! long as one render.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use hub_gotemplate::{Call, CallError, Exceeded, Text};

use crate::chance::{Calendar, Chance, Stream};

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

/// What making keys and hashing passwords may take in one render, in units of which a processor does about 40 million a second: eight RSA keys of
/// 4096 bits, as the largest public charts make. It is apart from the steps of templates, which are a hundredth of a key.
const WORK_LIMIT: u64 = 640_000_000;

/// The host of one render.
#[derive(Debug)]
pub(crate) struct Host {
    chance: Option<Chance>,
    used: Rc<RefCell<Used>>,
    /// The template file that is being rendered, such as `nginx/templates/secret.yaml`.
    template: RefCell<Text>,
    /// How often each function has drawn from chance while rendering that file.
    draws: RefCell<BTreeMap<&'static str, u64>>,
    /// What is left of [`WORK_LIMIT`].
    work: Cell<u64>,
    /// How often each template is being included at the moment.
    included: RefCell<BTreeMap<Text, u32>>,
}

impl Host {
    /// A host that records what is used in `used`.
    pub(crate) fn new(chance: Option<Chance>, used: Rc<RefCell<Used>>) -> Self {
        Self {
            chance,
            used,
            template: RefCell::default(),
            draws: RefCell::default(),
            work: Cell::new(WORK_LIMIT),
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

    /// Takes `units` of the work of making keys and hashing passwords.
    ///
    /// # Errors
    /// More than [`WORK_LIMIT`].
    pub(crate) fn work(&self, units: u64) -> Result<(), CallError> {
        let left = self.work.get().checked_sub(units).ok_or(Exceeded::Steps(WORK_LIMIT))?;
        self.work.set(left);
        Ok(())
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
