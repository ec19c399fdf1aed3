//! `cargo xtask prices`: the price tables in src/cost/, from the public list in PyPI's `litellm` (MIT), with PyPI's
//! `genai-prices` (MIT) as the cross-check.

mod row;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Map, Value};

use self::row::{PROVIDERS, reduced, row};
use crate::workspace::{Result, root, run};

pub(crate) fn generate() -> Result {
    let folder = root().join("target/prices");
    let (list, version) = download(&folder, "litellm")?;
    let list = list.join("litellm/model_prices_and_context_window_backup.json");
    let list: Map<String, Value> = serde_json::from_slice(&std::fs::read(list)?)?;
    let mut rows = BTreeMap::new();
    let mut source = Map::new();
    for (name, entry) in &list {
        if let Some((key, row)) = row(name, entry)? {
            rows.insert(key, row);
            let mut entry = entry.as_object().cloned().unwrap_or_default();
            entry.retain(|field, _| {
                field.contains("cost")
                    || field.contains("uplift")
                    || field == "provider_specific_entry"
                    || field == "litellm_provider"
            });
            source.insert(name.clone(), entry.into());
        }
    }
    keep(&version, source)?;
    let mut rows = without_dates(rows);
    add_zones(&mut rows)?;
    for (provider, _) in PROVIDERS {
        let of_provider = rows
            .iter()
            .filter(|(key, _)| key.split('/').next() == Some(provider));
        let most_expensive = most_expensive(of_provider.map(|(_, row)| row.as_str()))?;
        let of_provider = rows
            .iter_mut()
            .filter(|(key, _)| key.split('/').next() == Some(provider));
        for (_, row) in of_provider {
            *row = without_common_fee(row, &most_expensive);
        }
        rows.insert(format!("{provider}/*"), most_expensive);
    }
    let date = Command::new("date").args(["-u", "+%F"]).output()?.stdout;
    let date = String::from_utf8(date)?;
    let head = format!(
        "# Prices from litellm {version} (MIT licence, Copyright (c) 2023 Berri AI), taken {}.\n\
         # Made by `cargo xtask prices`; src/cost/price.rs says what a line means.\n",
        date.trim()
    );
    for (file, all) in [("prices.txt", true), ("prices-edge.txt", false)] {
        let mut table = head.clone();
        for (key, row) in &rows {
            let (provider, _) = key.split_once('/').unwrap_or_default();
            if all || PROVIDERS.contains(&(provider, true)) {
                // The edge build has no prices of batches.
                let row = row
                    .split(' ')
                    .filter(|field| all || !field.starts_with('b'));
                writeln!(table, "{key} {}", row.collect::<Vec<_>>().join(" "))?;
            }
        }
        std::fs::write(root().join("src/cost").join(file), &table)?;
        println!(
            "src/cost/{file}: {} models, {} bytes",
            table.lines().count() - 2,
            table.len()
        );
    }
    cross_check(&folder, &rows)
}

/// Writes the list's own entries, which `tests/prices.rs` calculates with.
fn keep(version: &str, entries: Map<String, Value>) -> Result {
    let about = format!(
        "litellm {version} (MIT licence, Copyright (c) 2023 Berri AI), by `cargo xtask prices`"
    );
    let mut text = format!("{{\"about\": \"{about}\", \"entries\": {{\n");
    let lines: Vec<String> = entries
        .iter()
        .map(|(name, entry)| format!("{}: {entry}", Value::from(name.as_str())))
        .collect();
    writeln!(text, "{}\n}}}}", lines.join(",\n"))?;
    let folder = root().join("tests/data");
    std::fs::create_dir_all(&folder)?;
    Ok(std::fs::write(folder.join("prices.json"), text)?)
}

/// Downloads and unpacks a package. Gives back its folder and its version.
fn download(folder: &Path, package: &str) -> Result<(PathBuf, String)> {
    let folder = folder.join(package);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder)?;
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "download", "--quiet", "--no-deps", "--dest"]);
    run(pip.arg(&folder).arg(package))?;
    let wheel = std::fs::read_dir(&folder)?
        .next()
        .ok_or("pip downloaded nothing")??
        .path();
    let name = wheel
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let version = name.split('-').nth(1).unwrap_or_default().to_owned();
    run(Command::new("python3")
        .args(["-m", "zipfile", "-e"])
        .arg(&wheel)
        .arg(&folder))?;
    Ok((folder, version))
}

/// Adds to Azure's models by how much the dearest data zone costs more: a deployment's name does not tell its zone.
fn add_zones(rows: &mut BTreeMap<String, String>) -> Result {
    let input = |row: &str| row.split(' ').next().unwrap_or_default().parse::<u64>();
    let mut most: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for (key, row) in &*rows {
        let Some((zone, model)) = key
            .strip_prefix("azure/")
            .and_then(|key| key.split_once('/'))
        else {
            continue;
        };
        let key = format!("azure/{model}");
        let Some(global) = rows.get(&key).filter(|_| zone != "us-gov") else {
            continue;
        };
        let (price, global) = (input(row)?, input(global)?);
        let known = most.entry(key).or_insert((global, global));
        if price * known.1 > known.0 * global {
            *known = (price, global);
        }
    }
    for (key, factor) in most
        .into_iter()
        .filter(|(_, (price, global))| price > global)
    {
        if let Some(row) = rows.get_mut(&key) {
            write!(row, " g{}", reduced(factor))?;
        }
    }
    Ok(())
}

/// The highest of each rate, including those of long contexts. It is the price of models that the list does not have.
fn most_expensive<'a>(rows: impl Iterator<Item = &'a str>) -> Result<String> {
    let mut most: BTreeMap<char, u64> = BTreeMap::new();
    let mut factors: BTreeMap<char, (u64, u64)> = BTreeMap::new();
    for row in rows {
        let mut fields = row.split(' ');
        let mut next = || fields.next().unwrap_or_default().parse::<u64>();
        let mut raise = |letter: char, number: u64| {
            let known = most.entry(letter).or_default();
            *known = (*known).max(number);
        };
        raise('i', next()?);
        raise('e', next()?);
        for field in fields {
            let letter = field.chars().next().unwrap_or_default();
            let numbers = field.get(1..).unwrap_or_default();
            match letter {
                'f' | 'p' | 'u' | 'g' => {
                    let numbers: Vec<u64> = numbers
                        .split(',')
                        .map(str::parse)
                        .collect::<std::result::Result<_, _>>()?;
                    for factor in numbers.chunks_exact(2) {
                        let known = factors.entry(letter).or_insert((0, 1));
                        if factor[0] * known.1 > known.0 * factor[1] {
                            *known = (factor[0], factor[1]);
                        }
                    }
                }
                '>' => {
                    let above = numbers.split(',').skip(1);
                    for (letter, number) in ['i', 'e', 'r', 'w'].into_iter().zip(above) {
                        raise(letter, number.parse()?);
                    }
                }
                'r' | 'w' | 'h' | 't' | 'a' | 'o' => raise(letter, numbers.parse()?),
                's' | 'S' => raise('s', numbers.parse()?),
                _ => {}
            }
        }
    }
    let of = |letter| most.get(&letter).copied().unwrap_or_default();
    let (input, output) = (of('i'), of('e'));
    let write = of('w').max(input);
    let mut row = format!("{input} {output}");
    for (letter, rate, unless) in [
        ('r', of('r').max(input), 0),
        ('w', write, 0),
        ('h', of('h').max(write), 0),
        ('t', of('t').max(output), 0),
        ('a', of('a').max(input), input),
        ('o', of('o').max(output), output),
        ('s', of('s'), 0),
    ] {
        if rate != unless {
            write!(row, " {letter}{rate}")?;
        }
    }
    for (letter, factor) in factors {
        write!(row, " {letter}{}", reduced(factor))?;
    }
    Ok(row)
}

/// Leaves out the fee of searches where it is that of the list's most expensive row.
fn without_common_fee(row: &str, most_expensive: &str) -> String {
    let fee = most_expensive
        .split(' ')
        .find(|field| field.starts_with('s'));
    let fields = row.split(' ').filter(|field| Some(*field) != fee);
    fields.collect::<Vec<_>>().join(" ")
}

/// A dated name that costs what its undated one does is left out, since the lookup leaves dates away; where there is
/// no undated name, the latest date gives it its price.
fn without_dates(rows: BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut kept = BTreeMap::new();
    for (key, row) in &rows {
        if undated(key) == key {
            kept.insert(key.clone(), row.clone());
        }
    }
    let whole = kept.clone();
    for (key, row) in &rows {
        let alias = undated(key);
        if alias != key && !whole.contains_key(alias) {
            kept.insert(alias.to_owned(), row.clone());
        }
    }
    let aliases = kept.clone();
    for (key, row) in rows {
        if aliases.get(undated(&key)) != Some(&row) {
            kept.insert(key, row);
        }
    }
    kept
}

/// As `src/cost/price.rs` does it, and apart from it: this must run where that does not compile, for want of a table.
fn undated(name: &str) -> &str {
    let name = name.strip_suffix("-latest").unwrap_or(name);
    let shape = |pattern: &str| {
        let at = name.len().checked_sub(pattern.len())?;
        let tail = name.get(at..)?;
        let fits = tail.bytes().zip(pattern.bytes()).all(|(b, p)| match p {
            b'9' => b.is_ascii_digit(),
            p => b == p,
        });
        fits.then(|| &name[..at])
    };
    let shapes = ["-9999-99-99", "-99999999"];
    shapes.into_iter().find_map(shape).unwrap_or(name)
}

/// Prints where the two lists disagree. Either may be right.
fn cross_check(folder: &Path, rows: &BTreeMap<String, String>) -> Result {
    let other = folder.join("genai-prices");
    let _ = std::fs::remove_dir_all(&other);
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "install", "--quiet", "--target"]);
    run(pip.arg(&other).arg("genai-prices"))?;
    let script = "import sys; sys.path.insert(0, sys.argv[1])\n\
        from genai_prices import Usage, calc_price\n\
        for line in sys.stdin:\n\
        \x20   key, i, o = line.split()[:3]\n\
        \x20   provider, model = key.split('/', 1)\n\
        \x20   provider = {'gemini': 'google', 'together_ai': 'together', 'fireworks_ai': 'fireworks', 'xai': 'x-ai'}.get(provider, provider)\n\
        \x20   try: p = calc_price(Usage(input_tokens=1000, output_tokens=1000), model_ref=model, provider_id=provider)\n\
        \x20   except Exception: print('?'); continue\n\
        \x20   theirs = (round(p.input_price * 10**9), round(p.output_price * 10**9))\n\
        \x20   print('=' if theirs == (int(i), int(o)) else f'{key}: litellm {i} {o}, genai-prices {theirs[0]} {theirs[1]} pico-dollars a token')\n";
    let mut python = Command::new("python3");
    python.args(["-c", script]).arg(&other);
    let mut child = python
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()?;
    let input: String = rows
        .iter()
        .filter(|(key, _)| !key.ends_with("/*"))
        .map(|(key, row)| format!("{key} {row}\n"))
        .collect();
    let stdin = child.stdin.take();
    let feeding = std::thread::spawn(move || {
        stdin.map(|mut pipe| std::io::Write::write_all(&mut pipe, input.as_bytes()))
    });
    let output = child.wait_with_output()?;
    let _ = feeding.join();
    let output = String::from_utf8(output.stdout)?;
    let (mut same, mut unknown, mut differ) = (0, 0, 0);
    for line in output.lines() {
        match line {
            "=" => same += 1,
            "?" => unknown += 1,
            line => {
                differ += 1;
                println!("  {line}");
            }
        }
    }
    println!("genai-prices: {same} agree, {differ} differ (above), {unknown} are not in it");
    Ok(())
}
