//! Which file uses which items of which other file.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Attribute, ImplItem, Item, ItemUse, Macro, Meta, TraitItem};

use super::cfg::is_test_only;
use super::resolve::Target;
use super::tree::{Tree, attributes, plain};

/// The names of the items by the file that uses them and the file that defines them.
pub(super) type Edges = BTreeMap<(PathBuf, PathBuf), BTreeSet<String>>;

/// Adds what the files of one root use of each other.
pub(super) fn add(tree: &Tree, edges: &mut Edges) {
    for (id, module) in tree.modules.iter().enumerate() {
        let mut references = References {
            tree,
            module: id,
            edges,
        };
        for import in &module.imports {
            // A parent that re-exports its children does not use them.
            let first = import.path.iter().find(|name| *name != "self");
            let is_own_child = first.is_some_and(|name| module.children.contains_key(name));
            let is_reexport = import.is_public && is_own_child;
            // Of a module that shares its name with a function, the code tells which one is meant.
            let targets = tree.resolve(id, &import.path);
            let is_module = targets
                .iter()
                .any(|target| matches!(target, Target::Module(_)));
            if import.name.is_some() && !is_reexport && !is_module {
                references.refer(&import.path);
            }
        }
        for item in &module.items {
            references.visit_item(item);
        }
    }
}

struct References<'a> {
    tree: &'a Tree,
    module: usize,
    edges: &'a mut Edges,
}

impl References<'_> {
    /// A module is no item: what is used of it is told by the paths that lead through it.
    fn refer(&mut self, path: &[String]) {
        let from = &self.tree.modules[self.module].file;
        for target in self.tree.resolve(self.module, path) {
            let Target::Item { module, name } = target else {
                continue;
            };
            let to = &self.tree.modules[module].file;
            if from != to {
                self.edges
                    .entry((from.clone(), to.clone()))
                    .or_default()
                    .insert(name);
            }
        }
    }

    /// The paths in tokens that are not parsed, such as a macro's arguments.
    fn scan(&mut self, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let is = |at: Option<usize>, mark: char| matches!(at.and_then(|at| tokens.get(at)), Some(TokenTree::Punct(punct)) if punct.as_char() == mark);
        let mut at = 0;
        while let Some(token) = tokens.get(at) {
            let follows = |mark| is(at.checked_sub(1), mark);
            let follows_two = |mark| follows(mark) && is(at.checked_sub(2), mark);
            // What follows a point is a field, unless the points are those of a range.
            let begins = !follows_two(':') && (!follows('.') || follows_two('.'));
            match token {
                TokenTree::Group(group) => self.scan(group.stream()),
                TokenTree::Ident(first) if begins => {
                    let mut path = vec![plain(first)];
                    while is(Some(at + 1), ':') && is(Some(at + 2), ':') {
                        let Some(TokenTree::Ident(next)) = tokens.get(at + 3) else {
                            break;
                        };
                        path.push(plain(next));
                        at += 3;
                    }
                    self.refer(&path);
                }
                // serde's attributes have paths in quotes.
                TokenTree::Literal(literal) => {
                    let text = literal.to_string();
                    let path = syn::parse_str::<syn::Path>(text.trim_matches('"'));
                    if let Ok(path) = path
                        && path.segments.len() > 1
                    {
                        self.visit_path(&path);
                    }
                }
                _ => {}
            }
            at += 1;
        }
    }
}

impl<'ast> Visit<'ast> for References<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        if !is_test_only(attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_impl_item(&mut self, item: &'ast ImplItem) {
        let attributes: &[Attribute] = match item {
            ImplItem::Const(item) => &item.attrs,
            ImplItem::Fn(item) => &item.attrs,
            ImplItem::Type(item) => &item.attrs,
            _ => &[],
        };
        if !is_test_only(attributes) {
            visit::visit_impl_item(self, item);
        }
    }

    fn visit_trait_item(&mut self, item: &'ast TraitItem) {
        let attributes: &[Attribute] = match item {
            TraitItem::Const(item) => &item.attrs,
            TraitItem::Fn(item) => &item.attrs,
            TraitItem::Type(item) => &item.attrs,
            _ => &[],
        };
        if !is_test_only(attributes) {
            visit::visit_trait_item(self, item);
        }
    }

    fn visit_field(&mut self, field: &'ast syn::Field) {
        if !is_test_only(&field.attrs) {
            visit::visit_field(self, field);
        }
    }

    fn visit_local(&mut self, local: &'ast syn::Local) {
        if !is_test_only(&local.attrs) {
            visit::visit_local(self, local);
        }
    }

    /// Read with the module's imports.
    fn visit_item_use(&mut self, _: &'ast ItemUse) {}

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.leading_colon.is_none() {
            let names: Vec<String> = path
                .segments
                .iter()
                .map(|segment| plain(&segment.ident))
                .collect();
            self.refer(&names);
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, invoked: &'ast Macro) {
        self.visit_path(&invoked.path);
        self.scan(invoked.tokens.clone());
    }

    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        match &attribute.meta {
            Meta::List(list) if !list.path.is_ident("cfg") => self.scan(list.tokens.clone()),
            _ => {}
        }
    }
}
