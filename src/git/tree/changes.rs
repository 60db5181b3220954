//! What changes in a folder, by name.

use std::collections::{BTreeMap, btree_map};

use super::Node;

/// Most folders on the way to a change hold that one change, and there are tens of thousands of them: a
/// map of its own would take twenty times the room.
#[derive(Default)]
pub(super) enum Changes {
    #[default]
    None,
    One(Box<(String, Node)>),
    Many(BTreeMap<String, Node>),
}

impl Changes {
    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::None => 0,
            Self::One(_) => 1,
            Self::Many(all) => all.len(),
        }
    }

    pub(super) fn insert(&mut self, name: String, node: Node) {
        match self {
            Self::None => *self = Self::One(Box::new((name, node))),
            Self::One(one) if one.0 == name => one.1 = node,
            Self::One(_) => drop(self.many().insert(name, node)),
            Self::Many(all) => drop(all.insert(name, node)),
        }
    }

    /// A name is copied only for a new one: most often it is there.
    pub(super) fn get_or_insert_with(
        &mut self,
        name: &str,
        new: impl FnOnce() -> Node,
    ) -> &mut Node {
        let is_there = match self {
            Self::None => false,
            Self::One(one) => one.0 == name,
            Self::Many(all) => all.contains_key(name),
        };
        if !is_there {
            self.insert(name.to_owned(), new());
        }
        match self {
            Self::One(one) => &mut one.1,
            Self::Many(all) => all.get_mut(name).expect("because it was put there"),
            Self::None => unreachable!("something was put there"),
        }
    }

    fn many(&mut self) -> &mut BTreeMap<String, Node> {
        if !matches!(self, Self::Many(_)) {
            *self = Self::Many(std::mem::take(self).into_iter().collect());
        }
        let Self::Many(all) = self else { unreachable!("made so above") };
        all
    }

    /// In the order of names.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (&String, &mut Node)> {
        let (one, many) = match self {
            Self::None => (None, None),
            Self::One(one) => (Some((&one.0, &mut one.1)), None),
            Self::Many(all) => (None, Some(all.iter_mut())),
        };
        one.into_iter().chain(many.into_iter().flatten())
    }
}

impl IntoIterator for Changes {
    type Item = (String, Node);
    type IntoIter = std::iter::Chain<
        std::option::IntoIter<(String, Node)>,
        std::iter::Flatten<std::option::IntoIter<btree_map::IntoIter<String, Node>>>,
    >;

    fn into_iter(self) -> Self::IntoIter {
        let (one, many) = match self {
            Self::None => (None, None),
            Self::One(one) => (Some(*one), None),
            Self::Many(all) => (None, Some(all.into_iter())),
        };
        one.into_iter().chain(many.into_iter().flatten())
    }
}
