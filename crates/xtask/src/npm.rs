//! `cargo xtask npm`: the npm package, as `wasm-pack.toml` says.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::prelude::{BASE64_STANDARD, Engine};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Value, json};
use wasm_bindgen_cli_support::Bindgen;

use crate::compiler::{Compiler, TARGET};
use crate::lock::wasm_bindgen_version;
use crate::measure::Sizes;
use crate::workspace::{Result, root, run};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Plan {
    package: Package,
    build: Build,
    budget: Budget,
    entry: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Package {
    name: String,
    description: String,
    keywords: Vec<String>,
    node: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Build {
    profile: String,
    wasm_opt: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Budget {
    gzip: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    condition: String,
    file: String,
    /// What `require` gets outside of bundlers.
    require: Option<String>,
    /// The runtime compiles nothing, but gets the module from its bundler.
    #[serde(default)]
    precompiled: bool,
}

impl Entry {
    fn files(&self) -> impl Iterator<Item = &str> {
        [self.file.as_str()]
            .into_iter()
            .chain(self.require.as_deref())
    }

    /// Its condition, and the files that it leads to.
    fn export(&self) -> (String, Target) {
        match &self.require {
            None => condition(&self.condition, &self.file),
            Some(require) => {
                let both = Conditions(with_common_js(&self.file, require).into());
                (self.condition.clone(), Target::Conditions(both))
            }
        }
    }
}

impl Plan {
    pub(crate) fn read() -> Result<Self> {
        Ok(toml::from_str(&fs::read_to_string(
            root().join("wasm-pack.toml"),
        )?)?)
    }
}

/// Builds the package and gives its folder. It is an error if the package is larger than its budget.
pub(crate) fn build() -> Result<PathBuf> {
    let plan = Plan::read()?;
    let package = make(&plan)?;
    let (gzip, budget) = (Sizes::of(&package)?.gzip(), plan.budget.gzip);
    if gzip > budget {
        return Err(format!(
            "the package has {gzip} bytes gzipped, {} more than its budget of {budget}: see `cargo xtask size`",
            gzip - budget
        )
        .into());
    }
    Ok(package)
}

/// Builds the package, whatever its size, and gives its folder.
pub(crate) fn make(plan: &Plan) -> Result<PathBuf> {
    let package = root().join("pkg");
    let module = compile(&plan.build)?;
    if package.exists() {
        fs::remove_dir_all(&package)?;
    }
    fs::create_dir_all(&package)?;
    bind(&module, &plan.build, &package)?;
    for file in fs::read_dir(root().join("npm/src"))? {
        let file = file?.path();
        fs::copy(&file, package.join(file.file_name().unwrap_or_default()))?;
    }
    for (from, to) in [
        ("npm/README.md", "README.md"),
        ("LICENSE-MIT", "LICENSE-MIT"),
        ("LICENSE-APACHE", "LICENSE-APACHE"),
    ] {
        fs::copy(root().join(from), package.join(to))?;
    }
    fs::write(package.join("scripts.js"), scripts()?)?;
    let base64 = BASE64_STANDARD.encode(fs::read(package.join("warmline.wasm"))?);
    fs::write(
        package.join("base64.js"),
        format!("export const base64 = \"{base64}\";\n"),
    )?;
    common_js(&package)?;
    let manifest = serde_json::to_string_pretty(&manifest(plan))?;
    fs::write(package.join("package.json"), manifest + "\n")?;
    Ok(package)
}

/// The folder `cjs`: the same modules and types for `require`.
fn common_js(package: &Path) -> Result {
    // They import the module, know their own URL, or are for bundlers alone.
    let without = [
        "browser.js",
        "durable-object.js",
        "durable-object.d.ts",
        "edge-light.js",
        "workerd.js",
    ];
    let folder = package.join("cjs");
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("package.json"), "{ \"type\": \"commonjs\" }\n")?;
    let mut esbuild = Command::new(root().join("npm/node_modules/.bin/esbuild"));
    for entry in fs::read_dir(package)? {
        let file = entry?.path();
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        if without.contains(&&*name) {
            continue;
        }
        if name.ends_with(".d.ts") {
            fs::copy(&file, folder.join(&*name))?;
        } else if name.ends_with(".js") {
            esbuild.arg(&file);
        }
    }
    esbuild.args(["--format=cjs", "--platform=node", "--log-level=error"]);
    run(esbuild.arg(format!("--outdir={}", folder.display())))
}

/// The module with the Lua scripts of ledgers in Redis. Their text is what `script` in src/cost/redis/mod.rs makes.
fn scripts() -> Result<String> {
    let folder = root().join("src/cost/redis");
    let read = |name: &str| fs::read_to_string(folder.join(name).with_extension("lua"));
    let mut scripts = serde_json::Map::new();
    for name in ["reserve", "settle", "state"] {
        let text = read("books")? + &read(name)?;
        let lines = text.lines().map(str::trim);
        let code = lines.filter(|line| !line.is_empty() && !line.starts_with("--"));
        let code = code.collect::<Vec<_>>().join("\n");
        scripts.insert(name.to_owned(), code.into());
    }
    let scripts = Value::Object(scripts);
    Ok(format!("export const scripts = {scripts};\n"))
}

fn compile(build: &Build) -> Result<PathBuf> {
    let mut cargo = Compiler::find()?.cargo("build");
    cargo.args(["--package", "warmline-wasm", "--quiet"]);
    cargo.args(["--profile", &build.profile]);
    run(&mut cargo)?;
    Ok(root()
        .join("target/wasm")
        .join(TARGET)
        .join(&build.profile)
        .join("warmline_wasm.wasm"))
}

/// wasm-bindgen-futures wakes its tasks by `queueMicrotask`, which in workerd takes seven times as long as a promise's `then`.
const MICROTASK: [&str; 2] = [
    "--define:queueMicrotask=__microtask",
    "--banner:js=const __microtask=f=>{Promise.resolve().then(f)};",
];

/// Writes the optimised module and the minified glue that wasm-bindgen makes for it.
///
/// The glue is that of the `bundler` target. It leaves the instantiation to its user (npm/src/load.js). The `web` target's
/// glue instantiates by itself, and recognises a module by `instanceof`, which fails for one that was compiled in another realm.
fn bind(module: &Path, build: &Build, package: &Path) -> Result {
    wasm_bindgen_version()?;
    let bound = root().join("target/wasm/bound");
    Bindgen::new()
        .input_path(module)
        .out_name("glue")
        .bundler(true)
        .map_err(|e| e.to_string())?
        .typescript(false)
        .remove_producers_section(true)
        .generate(&bound)
        .map_err(|e| e.to_string())?;
    let tool = |name: &str| root().join("npm/node_modules").join(name);
    let mut optimiser = Command::new("node");
    optimiser
        .arg(tool("binaryen/bin/wasm-opt"))
        .args(&build.wasm_opt);
    optimiser
        .arg(bound.join("glue_bg.wasm"))
        .arg("-o")
        .arg(package.join("warmline.wasm"));
    run(&mut optimiser)?;
    let mut minifier = Command::new(tool(".bin/esbuild"));
    minifier
        .arg(bound.join("glue_bg.js"))
        .args(["--minify", "--format=esm", "--log-level=error"])
        .args(MICROTASK);
    run(minifier.arg(format!(
        "--outfile={}",
        package.join("glue_bg.js").display()
    )))
}

/// What a condition leads to.
#[derive(Serialize)]
#[serde(untagged)]
enum Target {
    File(String),
    Conditions(Conditions),
}

/// Conditions in the order in which they are given: the first that matches counts.
struct Conditions(Vec<(String, Target)>);

impl Serialize for Conditions {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, target)| (name, target)))
    }
}

fn condition(name: &str, file: &str) -> (String, Target) {
    (name.to_owned(), Target::File(format!("./{file}")))
}

/// The condition `types`, for a module that `require` finds in the folder `cjs`.
fn types(name: &str) -> (String, Target) {
    let types = format!("{name}.d.ts");
    let common = condition("require", &format!("cjs/{types}"));
    let types = Conditions(vec![common, condition("default", &types)]);
    ("types".to_owned(), Target::Conditions(types))
}

/// A file, and what `require` gets instead. Bundlers, which know the condition `module`, get the file from `require` too.
fn with_common_js(file: &str, require: &str) -> [(String, Target); 3] {
    [
        condition("module", file),
        condition("require", require),
        condition("default", file),
    ]
}

/// A module that is the same in all runtimes.
fn module(name: &str) -> Conditions {
    let file = format!("{name}.js");
    let mut conditions = vec![types(name)];
    conditions.extend(with_common_js(&file, &format!("cjs/{file}")));
    Conditions(conditions)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Manifest<'a> {
    name: &'a str,
    version: &'a str,
    description: &'a str,
    keywords: &'a [String],
    license: &'a str,
    r#type: &'a str,
    engines: Value,
    exports: Exports,
    types: &'a str,
    /// The modules that do something when they are imported: entries say where the WebAssembly module is.
    side_effects: BTreeSet<String>,
    publish_config: Value,
}

#[derive(Serialize)]
struct Exports {
    #[serde(rename = ".")]
    main: Conditions,
    #[serde(rename = "./inline")]
    inline: Conditions,
    #[serde(rename = "./manual")]
    manual: Conditions,
    #[serde(rename = "./redis")]
    redis: Conditions,
    #[serde(rename = "./durable-object")]
    durable_object: Conditions,
    #[serde(rename = "./testing")]
    testing: Conditions,
    #[serde(rename = "./warmline.wasm")]
    module: Conditions,
    #[serde(rename = "./package.json")]
    manifest: &'static str,
}

fn manifest(plan: &Plan) -> Manifest<'_> {
    let mut main = vec![types("index")];
    main.extend(plan.entry.iter().map(Entry::export));
    let mut inline = vec![types("index")];
    let precompiled = plan.entry.iter().filter(|entry| entry.precompiled);
    inline.extend(precompiled.map(Entry::export));
    inline.extend(with_common_js("inline.js", "cjs/inline.js"));
    let files = plan.entry.iter().flat_map(Entry::files);
    let side_effects = files.chain([
        "environment.js",
        "cjs/environment.js",
        "manual.js",
        "cjs/manual.js",
    ]);
    Manifest {
        name: &plan.package.name,
        version: env!("CARGO_PKG_VERSION"),
        description: &plan.package.description,
        keywords: &plan.package.keywords,
        license: "(MIT OR Apache-2.0)",
        r#type: "module",
        engines: json!({"node": plan.package.node}),
        exports: Exports {
            main: Conditions(main),
            inline: Conditions(inline),
            manual: module("manual"),
            redis: module("redis"),
            durable_object: Conditions(vec![
                condition("types", "durable-object.d.ts"),
                condition("default", "durable-object.js"),
            ]),
            testing: module("testing"),
            module: Conditions(vec![
                condition("types", "warmline.wasm.d.ts"),
                condition("default", "warmline.wasm"),
            ]),
            manifest: "./package.json",
        },
        types: "./index.d.ts",
        side_effects: side_effects.map(|file| format!("./{file}")).collect(),
        publish_config: json!({"access": "public"}),
    }
}
