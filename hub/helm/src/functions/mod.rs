//! The functions that templates of charts may call beside Go's own: those of sprig 3.3.0 and of Helm. One table joins what the files here lay
//! down; the signatures are Go's and are checked by `hub/gotemplate`, the answers and the errors are Go's too.

#[cfg(test)]
mod bounds;
mod case;
mod certificates;
mod charts;
mod conversion;
mod crypto;
mod dates;
mod decimal;
mod defaults;
mod der;
mod dicts;
mod digest;
mod encoding;
mod json;
mod json_read;
mod keys;
mod lists;
mod math;
mod merge;
mod network;
mod numbers;
mod panics;
mod paths;
mod pattern;
mod primes;
mod random;
mod reflection;
mod regex;
#[cfg(test)]
mod robustness;
mod runes;
mod search;
mod semver;
mod strings;
#[cfg(test)]
mod tables;
mod time;
mod time_layout;
mod toml;
mod url;
mod values;
mod yaml;
mod yaml_pretty;
mod yaml_read;

pub(crate) use charts::{MESSAGE_END, MESSAGE_START, read_yaml, without_no_value};

use hub_gotemplate::{Args, Call, CallError, Function, Functions, Type, Value};

/// What each file lays down. No name is in two of them.
static FILES: &[&[Function]] = &[
    certificates::FUNCTIONS,
    charts::FUNCTIONS,
    conversion::FUNCTIONS,
    crypto::FUNCTIONS,
    dates::FUNCTIONS,
    defaults::FUNCTIONS,
    dicts::FUNCTIONS,
    digest::FUNCTIONS,
    encoding::FUNCTIONS,
    json::FUNCTIONS,
    lists::FUNCTIONS,
    math::FUNCTIONS,
    network::FUNCTIONS,
    paths::FUNCTIONS,
    random::FUNCTIONS,
    reflection::FUNCTIONS,
    regex::FUNCTIONS,
    semver::FUNCTIONS,
    strings::FUNCTIONS,
    toml::FUNCTIONS,
    url::FUNCTIONS,
    yaml::FUNCTIONS,
];

/// How many places the table of names has: more than four for each of the 222 functions, so that most stand where they are looked for.
const PLACES: usize = 1024;

/// The file and the place in it of each function, where the hash of its name says, or in the next place that was free. It is made while
/// compiling: at the start of a process that took as long as the parsing of a small file.
static BY_NAME: [Option<(u8, u8)>; PLACES] = {
    let mut places = [None; PLACES];
    let mut file = 0;
    while file < FILES.len() {
        let mut index = 0;
        while index < FILES[file].len() {
            let mut place = place_of(FILES[file][index].name.as_bytes());
            while places[place].is_some() {
                place = (place + 1) % PLACES;
            }
            assert!(file <= u8::MAX as usize && index <= u8::MAX as usize);
            places[place] = Some((file as u8, index as u8));
            index += 1;
        }
        file += 1;
    }
    places
};

/// Where a name is looked for first.
const fn place_of(name: &[u8]) -> usize {
    let (mut hash, mut at) = (0usize, 0);
    while at < name.len() {
        hash = hash.wrapping_mul(31).wrapping_add(name[at] as usize);
        at += 1;
    }
    hash % PLACES
}

/// All functions by name, as the parser of templates looks them up.
pub(crate) struct Table;

impl Functions for Table {
    fn find(&self, name: &str) -> Option<&'static Function> {
        let mut place = place_of(name.as_bytes());
        while let Some((file, index)) = BY_NAME[place] {
            let function = &FILES[usize::from(file)][usize::from(index)];
            if function.name == name {
                return Some(function);
            }
            place = (place + 1) % PLACES;
        }
        None
    }

    fn method(&self, name: &[u8]) -> Option<&'static Function> {
        values::METHODS.iter().find(|method| method.name.as_bytes() == name)
    }
}

/// What a function does.
type Body = fn(&mut Call<'_>, Args<'_>) -> Result<Value, CallError>;

/// A function with as many arguments as there are `parameters`.
const fn function(name: &'static str, parameters: &'static [Type], call: Body) -> Function {
    Function { name, parameters, variadic: None, call }
}

/// A function with any number of arguments of the type `rest` after `parameters`.
const fn variadic(name: &'static str, parameters: &'static [Type], rest: Type, call: Body) -> Function {
    Function { name, parameters, variadic: Some(rest), call }
}

/// How deep a function follows values within values. Go has no such bound and dies of values that contain themselves; the deepest values of
/// public charts are about 20 levels deep, and 256 frames of at most 2 KiB are a quarter of the smallest stack in use, 2 MiB.
const DEEPEST: u32 = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_laid_down_once() {
        let names: Vec<_> = FILES.iter().flat_map(|functions| functions.iter()).map(|function| function.name).collect();
        let mut once = names.clone();
        once.sort_unstable();
        once.dedup();
        assert_eq!(names.len(), once.len());
    }

    #[test]
    fn every_function_is_found_by_its_name_and_no_other() {
        for function in FILES.iter().flat_map(|functions| functions.iter()) {
            assert!(std::ptr::eq(Table.find(function.name).unwrap(), function), "{}", function.name);
            assert!(Table.find(&format!("{}_", function.name)).is_none());
        }
        assert!(Table.find("").is_none());
    }
}
