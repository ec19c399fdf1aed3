//! From a path to the module that defines the item: through `use`, `pub use` and `*`.

use std::collections::BTreeSet;

use super::tree::{Import, Tree};

/// What a path leads to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Target {
    Module(usize),
    /// An item, by the module that defines it.
    Item {
        module: usize,
        name: String,
    },
}

impl Tree {
    /// What a path leads to that is written in this module. It is empty for another crate's items, and has
    /// several targets where `cfg` chooses among them.
    pub(super) fn resolve(&self, from: usize, path: &[String]) -> BTreeSet<Target> {
        self.follow(from, path, &mut Vec::new())
    }

    /// `under_way` has the names that are being looked up, so that imports of each other come to an end.
    fn follow(
        &self,
        from: usize,
        path: &[String],
        under_way: &mut Vec<(usize, String)>,
    ) -> BTreeSet<Target> {
        let Some((first, rest)) = path.split_first() else {
            return BTreeSet::new();
        };
        let mut targets = self.step(&Target::Module(from), first, under_way);
        for name in rest {
            targets = targets
                .iter()
                .flat_map(|target| self.step(target, name, under_way))
                .collect();
        }
        targets
    }

    fn step(
        &self,
        at: &Target,
        name: &str,
        under_way: &mut Vec<(usize, String)>,
    ) -> BTreeSet<Target> {
        let module = match at {
            Target::Module(module) => *module,
            // A variant or an associated item belongs to its type.
            Target::Item { module, name } => {
                let is_type = self.modules[*module].types.contains(name);
                return is_type.then(|| at.clone()).into_iter().collect();
            }
        };
        match name {
            "crate" => BTreeSet::from([Target::Module(0)]),
            "self" => BTreeSet::from([Target::Module(module)]),
            "super" => self.modules[module]
                .parent
                .map(Target::Module)
                .into_iter()
                .collect(),
            name => self.look_up(module, name, under_way),
        }
    }

    fn look_up(
        &self,
        module: usize,
        name: &str,
        under_way: &mut Vec<(usize, String)>,
    ) -> BTreeSet<Target> {
        let key = (module, name.to_owned());
        if under_way.contains(&key) {
            return BTreeSet::new();
        }
        under_way.push(key);
        let here = &self.modules[module];
        let mut found = BTreeSet::new();
        if here.defined.contains(name) {
            found.insert(Target::Item {
                module,
                name: name.to_owned(),
            });
        }
        found.extend(
            here.children
                .get(name)
                .into_iter()
                .flatten()
                .map(|child| Target::Module(*child)),
        );
        let named = |import: &&Import| import.name.as_deref() == Some(name);
        for import in here.imports.iter().filter(named) {
            found.extend(self.follow(module, &import.path, under_way));
        }
        if found.is_empty() {
            for import in here.imports.iter().filter(|import| import.name.is_none()) {
                for target in self.follow(module, &import.path, under_way) {
                    if let Target::Module(globbed) = target {
                        found.extend(self.look_up(globbed, name, under_way));
                    }
                }
            }
        }
        under_way.pop();
        found
    }
}
