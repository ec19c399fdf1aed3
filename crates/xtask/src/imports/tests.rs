use std::path::Path;

use super::tree::{Sources, Tree};
use super::{Edges, cfg, circles, edges, layers, list, targets, too_long};

fn sources(files: &[(&str, &str)]) -> Sources {
    files
        .iter()
        .map(|(file, text)| (file.into(), (*text).to_owned()))
        .collect()
}

fn edges_of(files: &[(&str, &str)]) -> Edges {
    edges(Path::new("src"), &sources(files)).unwrap()
}

fn shown(files: &[(&str, &str)]) -> Vec<String> {
    edges_of(files)
        .iter()
        .map(|((from, to), names)| {
            format!("{} > {}: {}", from.display(), to.display(), list(names))
        })
        .collect()
}

#[test]
fn a_path_leads_to_the_file_that_defines_the_item() {
    let files = [
        (
            "src/lib.rs",
            "mod a; mod error; mod user; pub use error::*; pub use a::Deep as Renamed;",
        ),
        ("src/error.rs", "pub struct Error; pub enum Kind { Io }"),
        (
            "src/a/mod.rs",
            "mod deep; pub use self::deep::Deep; pub(crate) use deep::helper;",
        ),
        (
            "src/a/deep.rs",
            "pub struct Deep; pub(crate) fn helper() {} pub const N: u8 = 1;",
        ),
        (
            "src/user.rs",
            "use crate::{Renamed, a}; use crate::Error; use std::fmt;\n\
             fn f(_: Renamed) -> Error { a::helper(); let _ = crate::Kind::Io; super::Error }",
        ),
    ];
    assert_eq!(
        shown(&files),
        [
            "src/user.rs > src/a/deep.rs: Deep, helper",
            "src/user.rs > src/error.rs: Error, Kind"
        ]
    );
}

#[test]
fn a_parent_uses_the_children_whose_names_its_own_code_has() {
    let files = [
        (
            "src/lib.rs",
            "mod a; mod b; pub use a::A; pub use b::B; pub struct C(B);",
        ),
        ("src/a.rs", "pub struct A;"),
        ("src/b.rs", "pub struct B;"),
    ];
    assert_eq!(shown(&files), ["src/lib.rs > src/b.rs: B"]);
}

#[test]
fn macros_attributes_and_bodies_are_read_and_tests_and_documentation_are_not() {
    let files = [
        (
            "src/lib.rs",
            "mod a; mod b; mod c; cfg_if::cfg_if! { if #[cfg(x)] { mod d; pub use d::D; } else { use a::A; } }",
        ),
        (
            "src/a.rs",
            "pub struct A; pub fn parse() {} pub const M: u8 = 1; #[macro_export] macro_rules! m { () => { $crate::d::D } }",
        ),
        (
            "src/b.rs",
            "fn f() { use crate::a::parse; println!(\"{}\", crate::a::M); value.parse(); }\n\
             struct S { #[serde(with = \"crate::c::text\")] s: u8 }",
        ),
        (
            "src/c.rs",
            "/// [`crate::a::A`]\npub mod text {} pub fn text() {}\n\
             #[cfg(test)] use crate::a::A; #[cfg(all(test, unix))] mod tests { use crate::b::S; } impl S { #[cfg(test)] fn g(_: crate::a::A) {} }",
        ),
        ("src/d.rs", "pub struct D;"),
    ];
    assert_eq!(
        shown(&files),
        [
            "src/a.rs > src/d.rs: D",
            "src/b.rs > src/a.rs: M, parse",
            "src/b.rs > src/c.rs: text",
            "src/lib.rs > src/a.rs: A",
        ]
    );
}

#[test]
fn a_module_is_told_from_a_function_of_the_same_name() {
    let files = [
        ("src/lib.rs", "mod a; mod user; mod caller; pub fn a() {}"),
        ("src/a.rs", "pub struct A; pub fn f() {}"),
        (
            "src/user.rs",
            "use crate::a; use crate::a::A; fn f() { a::f() }",
        ),
        ("src/caller.rs", "use crate::a; fn f() { a() }"),
    ];
    assert_eq!(
        shown(&files),
        [
            "src/caller.rs > src/lib.rs: a",
            "src/user.rs > src/a.rs: A, f"
        ]
    );
}

#[test]
fn imports_of_each_other_come_to_an_end() {
    let files = [
        ("src/lib.rs", "mod a; mod b; pub use a::*; pub use b::*;"),
        ("src/a.rs", "pub use super::b::*; pub use crate::X;"),
        ("src/b.rs", "pub use crate::a::*; fn f() { crate::X }"),
    ];
    assert!(shown(&files).is_empty());
}

#[test]
fn a_circle_is_told_with_its_edges_and_the_names_that_tie_it() {
    let files = [
        ("src/lib.rs", "mod a; mod b; mod c; mod d;"),
        ("src/a.rs", "use crate::b::B; pub struct A; pub struct D;"),
        ("src/b.rs", "use crate::c::C; pub struct B;"),
        ("src/c.rs", "use crate::a::{A, D}; pub struct C;"),
        ("src/d.rs", "use crate::a::A;"),
    ];
    let [circle] = &circles(&edges_of(&files))[..] else {
        panic!("one circle")
    };
    assert!(circle.starts_with("3 files import each other"), "{circle}");
    for edge in [
        "src/a.rs imports B from src/b.rs",
        "src/b.rs imports C from src/c.rs",
        "src/c.rs imports A, D from src/a.rs",
    ] {
        assert!(circle.contains(edge), "{circle}");
    }
    assert!(!circle.contains("src/d.rs"), "{circle}");
    assert!(
        circles(&edges_of(&[
            files[0],
            ("src/a.rs", ""),
            ("src/b.rs", ""),
            ("src/c.rs", ""),
            files[4]
        ]))
        .is_empty()
    );
}

#[test]
fn a_lower_layer_that_imports_from_a_higher_one_is_an_error() {
    let files = [
        ("src/lib.rs", "mod pool; mod client; mod error; mod shelf;"),
        (
            "src/error.rs",
            "use crate::client::Client; pub struct Error;",
        ),
        ("src/pool/mod.rs", ""),
        ("src/pool.rs", "use crate::error::Error;"),
        (
            "src/client/mod.rs",
            "use crate::error::Error; pub struct Client;",
        ),
        ("src/shelf.rs", "use crate::error::Error;"),
    ];
    let problems = layers(&edges_of(&files));
    assert_eq!(problems.len(), 2, "{problems:#?}");
    assert!(
        problems[0]
            .starts_with("src/error.rs (layer 0) imports Client from src/client/mod.rs (layer 2)"),
        "{problems:#?}"
    );
    assert!(
        problems[1].starts_with("src/shelf.rs: the module `shelf` is in no layer"),
        "{problems:#?}"
    );
}

#[test]
fn only_some_files_may_ask_for_the_target() {
    let target = "#[cfg(target_family = \"wasm\")] fn f() {}";
    let files = [
        (
            "src/lib.rs",
            "mod a;\n#[cfg(target_family = \"wasm\")]\nmod wasm;",
        ),
        ("src/transport/mod.rs", target),
        ("src/a.rs", target),
        (
            "src/b.rs",
            "fn f() {\n if cfg!(not(target_arch = \"wasm32\")) {} }",
        ),
        (
            "src/c.rs",
            "cfg_if::cfg_if! { if #[cfg(all(unix, target_family = \"wasm\"))] {} }",
        ),
        (
            "src/d.rs",
            "#[cfg(all(test, not(target_family = \"wasm\")))] mod tests { #[cfg(unix)] fn f() {} }",
        ),
        (
            "src/e.rs",
            "#[cfg(feature = \"redis\")] fn f() { let target_family = 1; }",
        ),
    ];
    let problems = targets(&sources(&files));
    let places: Vec<&str> = problems
        .iter()
        .filter_map(|problem| problem.split_once(": "))
        .map(|(place, _)| place)
        .collect();
    assert_eq!(
        places,
        ["src/a.rs:1", "src/b.rs:2", "src/c.rs:1", "src/lib.rs:2"],
        "{problems:#?}"
    );
}

#[test]
fn what_tests_alone_compile_is_told_from_what_they_compile_too() {
    let test_only = |attribute: &str| {
        let item: syn::ItemStruct = syn::parse_str(&format!("{attribute} struct S;")).unwrap();
        cfg::is_test_only(&item.attrs)
    };
    for attribute in [
        "#[cfg(test)]",
        "#[cfg(all(unix, test))]",
        "#[cfg(not(any(not(test), unix)))]",
        "#[cfg(doctest)]",
    ] {
        assert!(test_only(attribute), "{attribute}");
    }
    for attribute in [
        "",
        "#[cfg(not(test))]",
        "#[cfg(any(test, unix))]",
        "#[cfg(unix)]",
        "#[derive(Debug)]",
    ] {
        assert!(!test_only(attribute), "{attribute}");
    }
}

#[test]
fn a_file_that_is_missing_or_broken_is_an_error_that_names_it() {
    let error = |files: &[(&str, &str)]| {
        Tree::read(&sources(files), Path::new("src/lib.rs"))
            .err()
            .unwrap()
            .to_string()
    };
    assert_eq!(
        error(&[("src/lib.rs", "mod a;")]),
        "src/lib.rs declares `mod a`, but there is neither src/a.rs nor src/a/mod.rs"
    );
    assert!(error(&[("src/lib.rs", "\nfn {")]).starts_with("src/lib.rs:2: "));
}

#[test]
fn a_file_beyond_the_limit_is_too_long() {
    assert_eq!(too_long("a.rs", &"x\n".repeat(500)), None);
    let problem = too_long("a.rs", &"x\n".repeat(501)).unwrap();
    assert!(problem.starts_with("a.rs has 501 lines"), "{problem}");
    assert!(super::is_source("npm/test/suite.js") && super::is_source("npm/src/index.d.ts"));
    assert!(!super::is_source("tests/data/long.rs") && !super::is_source("README.md"));
}
