//! What the lock file pins.

use serde::Deserialize;

use crate::workspace::{Result, root};

/// The version of `wasm-bindgen` that the lock file pins. The crate that writes its glue must have the same version.
pub(crate) fn wasm_bindgen_version() -> Result<String> {
    same_wasm_bindgen(&std::fs::read_to_string(root().join("Cargo.lock"))?)
}

fn same_wasm_bindgen(lock: &str) -> Result<String> {
    let lock: Lock = toml::from_str(lock).map_err(|e| format!("Cargo.lock cannot be read: {e}"))?;
    let version = |name: &str| -> Result<&str> {
        let package = lock.package.iter().find(|package| package.name == name);
        let package = package.ok_or_else(|| format!("Cargo.lock has no package `{name}`"))?;
        Ok(&package.version)
    };
    let (library, support) = (
        version("wasm-bindgen")?,
        version("wasm-bindgen-cli-support")?,
    );
    if library != support {
        return Err(format!(
            "Cargo.lock has wasm-bindgen {library} and wasm-bindgen-cli-support {support}: they must have the same version; \
             run `cargo update -p wasm-bindgen-cli-support --precise {library}`"
        )
        .into());
    }
    Ok(library.to_owned())
}

/// The part of Cargo.lock that is read here.
#[derive(Deserialize)]
struct Lock {
    package: Vec<LockedPackage>,
}

#[derive(Deserialize)]
struct LockedPackage {
    name: String,
    version: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wasm_bindgen_is_what_the_lock_file_pins_and_its_glue_is_of_the_same_version() {
        let lock = |library: &str, support: &str| {
            same_wasm_bindgen(&format!(
                "[[package]]\nname = \"wasm-bindgen\"\nversion = \"{library}\"\n\
                 [[package]]\nname = \"wasm-bindgen-cli-support\"\nversion = \"{support}\"\n"
            ))
            .map_err(|e| e.to_string())
        };
        assert_eq!(lock("0.2.131", "0.2.131").as_deref(), Ok("0.2.131"));
        let error = lock("0.2.131", "0.2.130").unwrap_err();
        assert!(
            error.contains("wasm-bindgen 0.2.131 and wasm-bindgen-cli-support 0.2.130"),
            "{error}"
        );
        let error = same_wasm_bindgen("package = []").unwrap_err().to_string();
        assert!(error.contains("no package `wasm-bindgen`"), "{error}");
        // The lock file at hand.
        let version = wasm_bindgen_version().unwrap();
        assert!(version.starts_with("0.2."), "{version}");
    }

    /// An app has one version of `wasm-bindgen`, which its own lock file chooses.
    #[test]
    fn the_library_takes_any_later_wasm_bindgen_of_its_minor_line() {
        let manifest = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
        let manifest: toml::Table = manifest.parse().unwrap();
        let wanted =
            &manifest["target"]["cfg(target_family = \"wasm\")"]["dependencies"]["wasm-bindgen"];
        let wanted = wanted.as_str().unwrap();
        assert!(wanted.starts_with("0.2."), "{wanted}");
    }
}
