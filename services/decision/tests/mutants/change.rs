//! What is done to a good pair: some of it matters to a rule, some of it must not.

mod grant;
mod policy;
mod request;

use crate::dice::Dice;
use crate::pair::Pair;

/// Which part of a pair a change is about.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Class {
    Subject,
    Names,
    Extensions,
    Key,
    Claims,
    Time,
    Hash,
    Policy,
}

pub(crate) const CLASSES: &[Class] = &[
    Class::Subject,
    Class::Names,
    Class::Extensions,
    Class::Key,
    Class::Claims,
    Class::Time,
    Class::Hash,
    Class::Policy,
];

/// A change, and whether there was something to change.
type Change = (&'static str, fn(&mut Pair, &mut Dice) -> bool);

/// Changes the pair in one place; what was done, if anything.
pub(crate) fn apply(class: Class, pair: &mut Pair, dice: &mut Dice) -> Option<&'static str> {
    let changes = match class {
        Class::Subject => request::SUBJECT,
        Class::Names => request::NAMES,
        Class::Extensions => request::EXTENSIONS,
        Class::Key => request::KEY,
        Class::Claims => grant::CLAIMS,
        Class::Time => grant::TIME,
        Class::Hash => grant::HASH,
        Class::Policy => policy::POLICY,
    };
    let (what, change) = dice.one_of(changes);
    change(pair, dice).then_some(what)
}
