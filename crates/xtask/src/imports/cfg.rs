//! `cfg` attributes: which items are compiled for tests alone, and which files ask for the target.

use proc_macro2::{TokenStream, TokenTree};
use syn::parse::Parser;
use syn::punctuated::Punctuated;
use syn::{Attribute, Meta, Token};

/// Whether an item is left out of every build that is not a test.
pub(super) fn is_test_only(attributes: &[Attribute]) -> bool {
    let conditions = attributes
        .iter()
        .filter_map(|attribute| match &attribute.meta {
            Meta::List(list) if list.path.is_ident("cfg") => Some(&list.tokens),
            _ => None,
        });
    conditions.into_iter().any(is_false_outside_tests)
}

fn is_false_outside_tests(condition: &TokenStream) -> bool {
    syn::parse2(condition.clone())
        .is_ok_and(|condition| value_outside_tests(&condition) == Some(false))
}

/// The value of a condition in a build that is not a test; `None` if it depends on something else.
fn value_outside_tests(condition: &Meta) -> Option<bool> {
    let list = match condition {
        Meta::Path(path) if path.is_ident("test") || path.is_ident("doctest") => {
            return Some(false);
        }
        Meta::List(list) => list,
        _ => return None,
    };
    let parts = Punctuated::<Meta, Token![,]>::parse_terminated
        .parse2(list.tokens.clone())
        .ok()?;
    let mut values = parts.iter().map(value_outside_tests);
    if list.path.is_ident("not") {
        return values.next().flatten().map(|value| !value);
    }
    let values: Vec<Option<bool>> = values.collect();
    let decisive = list.path.is_ident("any");
    if values.contains(&Some(decisive)) {
        return Some(decisive);
    }
    values.iter().all(Option::is_some).then_some(!decisive)
}

/// The lines of a source on which a `cfg` asks for the target, with the name it asks for. What is compiled for tests alone
/// does not count.
pub(super) fn target_conditions(source: &str) -> Vec<(usize, &'static str)> {
    let mut found = Vec::new();
    if let Ok(tokens) = source.parse() {
        scan(tokens, &mut found);
    }
    found
}

fn scan(tokens: TokenStream, found: &mut Vec<(usize, &'static str)>) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        at += 1;
        let TokenTree::Group(group) = token else {
            continue;
        };
        // `#[cfg(…)]` is a group in brackets that holds a name and a group in parentheses.
        let inner: Vec<TokenTree> = group.stream().into_iter().collect();
        if let [TokenTree::Ident(name), TokenTree::Group(condition)] = &inner[..]
            && name == "cfg"
            && is_false_outside_tests(&condition.stream())
        {
            at += item_length(&tokens[at..]);
            continue;
        }
        let before = at.checked_sub(2).and_then(|before| tokens.get(before));
        let before = match before {
            Some(TokenTree::Punct(mark)) if mark.as_char() == '!' => {
                at.checked_sub(3).and_then(|before| tokens.get(before))
            }
            other => other,
        };
        if matches!(before, Some(TokenTree::Ident(name)) if name == "cfg" || name == "cfg_attr") {
            conditions(group.stream(), found);
        } else {
            scan(group.stream(), found);
        }
    }
}

/// How many tokens the item has that begins here.
fn item_length(tokens: &[TokenTree]) -> usize {
    tokens
        .iter()
        .position(ends_item)
        .map_or(tokens.len(), |end| end + 1)
}

fn ends_item(token: &TokenTree) -> bool {
    match token {
        TokenTree::Punct(mark) => mark.as_char() == ';',
        TokenTree::Group(group) => group.delimiter() == proc_macro2::Delimiter::Brace,
        _ => false,
    }
}

fn conditions(tokens: TokenStream, found: &mut Vec<(usize, &'static str)>) {
    for token in tokens {
        let line = token.span().start().line;
        match token {
            TokenTree::Group(group) => conditions(group.stream(), found),
            TokenTree::Ident(name) if name == "target_family" => {
                found.push((line, "target_family"))
            }
            TokenTree::Ident(name) if name == "target_arch" => found.push((line, "target_arch")),
            _ => {}
        }
    }
}
