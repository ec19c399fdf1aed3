//! A crate's modules, read from its source: what each one defines, declares and imports.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Item, ItemUse, UseTree, Visibility};

use super::cfg::is_test_only;
use crate::workspace::Result;

/// The text of each source file by its path from the project's folder.
pub(super) type Sources = BTreeMap<PathBuf, String>;

/// The modules that one root file, such as `lib.rs`, leads to. The root is the first.
pub(super) struct Tree {
    pub(super) modules: Vec<Module>,
}

pub(super) struct Module {
    pub(super) file: PathBuf,
    pub(super) parent: Option<usize>,
    /// Several for one name where `cfg` chooses among them.
    pub(super) children: BTreeMap<String, Vec<usize>>,
    /// The names of the items that are written here.
    pub(super) defined: BTreeSet<String>,
    /// Those of them that a path can go on after: all but functions, constants and macros.
    pub(super) types: BTreeSet<String>,
    pub(super) imports: Vec<Import>,
    /// What is written here, without modules and without `use`.
    pub(super) items: Vec<Item>,
}

/// One name that a `use` brings into scope.
pub(super) struct Import {
    /// `None` for `*`.
    pub(super) name: Option<String>,
    pub(super) path: Vec<String>,
    pub(super) is_public: bool,
}

impl Tree {
    pub(super) fn read(sources: &Sources, root: &Path) -> Result<Self> {
        let mut tree = Self {
            modules: Vec::new(),
        };
        let folder = root.parent().unwrap_or(Path::new("")).to_owned();
        tree.add_file(sources, root.to_owned(), &folder, None)?;
        Ok(tree)
    }

    fn add_file(
        &mut self,
        sources: &Sources,
        file: PathBuf,
        folder: &Path,
        parent: Option<usize>,
    ) -> Result<usize> {
        let text = sources
            .get(&file)
            .ok_or_else(|| format!("{} is missing", file.display()))?;
        let parsed = syn::parse_file(text).map_err(|e| {
            let at = e.span().start();
            format!("{}:{}: {e}", file.display(), at.line)
        })?;
        let id = self.add_module(file, parent);
        self.add_items(sources, id, parsed.items, folder)?;
        Ok(id)
    }

    fn add_module(&mut self, file: PathBuf, parent: Option<usize>) -> usize {
        self.modules.push(Module {
            file,
            parent,
            children: BTreeMap::new(),
            defined: BTreeSet::new(),
            types: BTreeSet::new(),
            imports: Vec::new(),
            items: Vec::new(),
        });
        self.modules.len() - 1
    }

    /// `folder` is where the files of the module's children are.
    fn add_items(
        &mut self,
        sources: &Sources,
        id: usize,
        items: Vec<Item>,
        folder: &Path,
    ) -> Result {
        for item in items {
            if is_test_only(attributes(&item)) {
                continue;
            }
            match item {
                Item::Use(item) => self.modules[id].imports.extend(imports(&item)),
                Item::Mod(item) => {
                    let name = plain(&item.ident);
                    let inside = folder.join(&name);
                    let child = match item.content {
                        Some((_, items)) => {
                            let child = self.add_module(self.modules[id].file.clone(), Some(id));
                            self.add_items(sources, child, items, &inside)?;
                            child
                        }
                        None => {
                            let candidates = [inside.with_extension("rs"), inside.join("mod.rs")];
                            let file = candidates.iter().find(|file| sources.contains_key(*file));
                            let file = file.ok_or_else(|| {
                                let [one, other] = &candidates;
                                let from = self.modules[id].file.display();
                                format!(
                                    "{from} declares `mod {name}`, but there is neither {} nor {}",
                                    one.display(),
                                    other.display()
                                )
                            })?;
                            self.add_file(sources, file.clone(), &inside, Some(id))?
                        }
                    };
                    self.modules[id]
                        .children
                        .entry(name)
                        .or_default()
                        .push(child);
                }
                Item::Macro(mut item) if item.ident.is_none() => {
                    // The macro's name is used here, and what it is given may declare and define.
                    if let Some(inner) = items_in(&item.mac.tokens) {
                        item.mac.tokens = TokenStream::new();
                        self.add_items(sources, id, inner, folder)?;
                    }
                    self.modules[id].items.push(Item::Macro(item));
                }
                item => {
                    let module = &mut self.modules[id];
                    let is_value = matches!(
                        item,
                        Item::Fn(_)
                            | Item::Const(_)
                            | Item::Static(_)
                            | Item::Macro(_)
                            | Item::ForeignMod(_)
                    );
                    if !is_value {
                        module.types.extend(names(&item));
                    }
                    module.defined.extend(names(&item));
                    Inner(&mut module.imports).visit_item(&item);
                    module.items.push(item);
                }
            }
        }
        Ok(())
    }
}

/// Reads `use` inside of functions as if it stood in their module.
struct Inner<'a>(&'a mut Vec<Import>);

impl<'ast> Visit<'ast> for Inner<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        if !is_test_only(attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        self.0.extend(imports(item));
    }
}

/// The items that a macro such as `cfg_if!` is given, directly or in braces.
fn items_in(tokens: &TokenStream) -> Option<Vec<Item>> {
    let parse = |tokens: TokenStream| syn::parse2::<syn::File>(tokens).ok().map(|file| file.items);
    if let Some(items) = parse(tokens.clone()) {
        return Some(items);
    }
    let groups = tokens.clone().into_iter().filter_map(|token| match token {
        TokenTree::Group(group) if group.delimiter() == proc_macro2::Delimiter::Brace => {
            parse(group.stream())
        }
        _ => None,
    });
    let items: Vec<Item> = groups.flatten().collect();
    (!items.is_empty()).then_some(items)
}

fn imports(item: &ItemUse) -> Vec<Import> {
    let is_public = !matches!(item.vis, Visibility::Inherited);
    let mut found = Vec::new();
    // A path that begins with `::` leads to another crate.
    if item.leading_colon.is_none() {
        leaves(&item.tree, &mut Vec::new(), is_public, &mut found);
    }
    found
}

fn leaves(tree: &UseTree, prefix: &mut Vec<String>, is_public: bool, found: &mut Vec<Import>) {
    let mut leaf = |last: Option<String>, name: Option<String>| {
        let path = prefix.iter().cloned().chain(last).collect();
        found.push(Import {
            name,
            path,
            is_public,
        });
    };
    match tree {
        UseTree::Name(name) if name.ident == "self" => leaf(None, prefix.last().cloned()),
        UseTree::Name(name) => leaf(Some(plain(&name.ident)), Some(plain(&name.ident))),
        UseTree::Rename(rename) if rename.ident == "self" => {
            leaf(None, Some(plain(&rename.rename)))
        }
        UseTree::Rename(rename) => leaf(Some(plain(&rename.ident)), Some(plain(&rename.rename))),
        UseTree::Glob(_) => leaf(None, None),
        UseTree::Path(path) => {
            prefix.push(plain(&path.ident));
            leaves(&path.tree, prefix, is_public, found);
            prefix.pop();
        }
        UseTree::Group(group) => {
            for tree in &group.items {
                leaves(tree, prefix, is_public, found);
            }
        }
    }
}

/// An identifier without `r#`.
pub(super) fn plain(ident: &proc_macro2::Ident) -> String {
    let text = ident.to_string();
    text.strip_prefix("r#").map_or(text.clone(), str::to_owned)
}

/// The names that an item defines.
fn names(item: &Item) -> Vec<String> {
    let name = match item {
        Item::Const(item) => &item.ident,
        Item::Enum(item) => &item.ident,
        Item::Fn(item) => &item.sig.ident,
        Item::Static(item) => &item.ident,
        Item::Struct(item) => &item.ident,
        Item::Trait(item) => &item.ident,
        Item::TraitAlias(item) => &item.ident,
        Item::Type(item) => &item.ident,
        Item::Union(item) => &item.ident,
        Item::Macro(item) => return item.ident.iter().map(plain).collect(),
        Item::ForeignMod(item) => {
            let names = item.items.iter().filter_map(|item| match item {
                syn::ForeignItem::Fn(item) => Some(plain(&item.sig.ident)),
                syn::ForeignItem::Static(item) => Some(plain(&item.ident)),
                syn::ForeignItem::Type(item) => Some(plain(&item.ident)),
                _ => None,
            });
            return names.collect();
        }
        _ => return Vec::new(),
    };
    vec![plain(name)]
}

pub(super) fn attributes(item: &Item) -> &[syn::Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::ExternCrate(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::ForeignMod(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::TraitAlias(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Union(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}
