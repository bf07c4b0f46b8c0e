//! What the transformers of one kustomization made of each resource when they ran last: of a resource that is still the same in memory they would
//! make the same again. Which transformers look at each resource alone is left to them, and when they run to `target`.

use std::sync::Arc;

use crate::kustomization::Noted;
use crate::problem::Fault;
use crate::resource::Resource;
use crate::resources::{Resources, Work};
use crate::transform::Transformer;

/// Resources before and after a run of transformers.
#[derive(Debug)]
pub(crate) struct Made {
    /// The kustomization that asks for the transformers. It is held so that no other one takes its place in memory.
    _of: Arc<Noted>,
    before: Vec<Arc<Resource>>,
    after: Vec<Arc<Resource>>,
    /// What the run cost.
    work: Work,
}

impl Made {
    /// Applies `steps`, each of which looks at each resource alone, to `resources`. What the `last` run has made is taken over where it is
    /// known. Gives what the next run may take over, if it is not the same.
    pub(crate) fn apply(
        steps: &[&dyn Transformer],
        of: &Arc<Noted>,
        last: Option<&Self>,
        resources: &mut Resources,
    ) -> Result<Option<Self>, Fault> {
        if let Some(last) = last {
            match last.again(steps, resources)? {
                Again::Same => return Ok(None),
                Again::Changed { before, work } => return Ok(Some(Self::new(of, before, resources, work))),
                Again::Unlike => {}
            }
        }
        let (before, work) = (resources.as_slice().to_vec(), resources.work);
        steps.iter().try_for_each(|step| step.apply(resources))?;
        let work = resources.work.since(work);
        Ok(Some(Self::new(of, before, resources, work)))
    }

    fn new(of: &Arc<Noted>, before: Vec<Arc<Resource>>, resources: &Resources, work: Work) -> Self {
        Self { _of: of.clone(), before, after: resources.as_slice().to_vec(), work }
    }

    /// About how many bytes it is.
    pub(crate) fn bytes(&self) -> usize {
        self.after.iter().map(|resource| resource.bytes + 2 * size_of::<Resource>()).sum()
    }

    /// Does for the resources that are new what the transformers did for all. It is done in full instead where most are new, where one is not
    /// called as the one in its place was, so that it may be another's equal now, and where the work comes near a budget.
    fn again(&self, steps: &[&dyn Transformer], resources: &mut Resources) -> Result<Again, Fault> {
        let list = resources.as_slice();
        if list.len() != self.before.len() {
            return Ok(Again::Unlike);
        }
        let is_new = |index: &usize| !Arc::ptr_eq(&list[*index], &self.before[*index]);
        let new: Vec<usize> = (0..list.len()).filter(is_new).collect();
        let is_called_alike = new.iter().all(|index| list[*index].has_names_of(&self.before[*index]));
        let is_worth_it = is_called_alike && new.len() <= list.len() / 2;
        let Some(work) = resources.work.with(self.work).filter(|_| is_worth_it) else { return Ok(Again::Unlike) };
        if new.is_empty() {
            resources.replace(self.after.clone(), work);
            return Ok(Again::Same);
        }
        let before = list.to_vec();
        let mut some = Resources::of(new.iter().map(|index| list[*index].clone()).collect(), &resources.schema, work);
        steps.iter().try_for_each(|step| step.apply(&mut some))?;
        let mut after = self.after.clone();
        for (index, made) in new.iter().zip(some.as_slice()) {
            if !made.id().same(&after[*index].id()) {
                return Ok(Again::Unlike);
            }
            after[*index] = made.clone();
        }
        resources.replace(after, some.work);
        Ok(Again::Changed { before, work: self.work })
    }
}

/// What came of looking for what was made before.
enum Again {
    /// All of it was.
    Same,
    /// Some of it was.
    Changed { before: Vec<Arc<Resource>>, work: Work },
    /// It cannot be told.
    Unlike,
}
