//! One page of a whole list. How the list came to be is left to the caller.

use hub_api::{List, Named, PAGE_DEFAULT, PAGE_LIMIT, PageQuery};

/// How many items a page may have when `limit` is asked for.
pub(crate) fn page_size(limit: Option<u32>) -> usize {
    limit.unwrap_or(PAGE_DEFAULT).clamp(1, PAGE_LIMIT) as usize
}

/// The page of `items` after `query.continue`, in the order of [`Named::order`]. Items of one place in that order are never torn apart,
/// so that none is lost between two pages.
pub(crate) fn page<T: Named>(mut items: Vec<T>, query: &PageQuery) -> List<T> {
    items.sort_by_cached_key(Named::order);
    if let Some(after) = &query.r#continue {
        let begin = items.partition_point(|item| item.order() <= *after);
        items.drain(..begin);
    }
    let mut end = page_size(query.limit).min(items.len());
    while end < items.len() && items[end].order() == items[end - 1].order() {
        end += 1;
    }
    let next = (end < items.len()).then(|| items[end - 1].order());
    items.truncate(end);
    List::new(items, next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Clone, PartialEq)]
    struct Letter(char);

    impl Named for Letter {
        const KIND: &'static str = "Letter";

        fn name(&self) -> String {
            self.0.to_string()
        }
    }

    #[test]
    fn pages_together_are_the_whole_list_in_order() {
        let letters: Vec<Letter> = "hgfedcba".chars().map(Letter).collect();
        let mut query = PageQuery { limit: Some(3), r#continue: None };
        let mut pages = Vec::new();
        loop {
            let list = page(letters.clone(), &query);
            pages.push(list.items.iter().map(|letter| letter.0).collect::<String>());
            query.r#continue = list.metadata.r#continue;
            if query.r#continue.is_none() {
                break;
            }
        }
        assert_eq!(pages, ["abc", "def", "gh"]);
    }

    #[test]
    fn equal_places_stay_on_one_page() {
        let list = page("aab".chars().map(Letter).collect(), &PageQuery { limit: Some(1), r#continue: None });
        assert_eq!((list.items.len(), list.metadata.r#continue.as_deref()), (2, Some("a")));
    }

    #[test]
    fn no_page_is_larger_than_the_limit_or_empty_by_wish() {
        assert_eq!([page_size(None), page_size(Some(0)), page_size(Some(u32::MAX))], [500, 1, 1_000]);
    }
}
