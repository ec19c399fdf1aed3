//! File ledgers: crashes, files that are refused, and the files that they create.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::path::{Path, PathBuf};

use common::money::usd;
use futures_util::FutureExt;
use tempfile::TempDir;
use warmline::{Budget, FileLedger, Ledger, Settlement, Usd};

/// A temporary folder, and the path of a file in it that does not exist yet.
fn scratch() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spend.log");
    (folder, path)
}

fn budget() -> [Budget; 1] {
    [Budget::monthly("a", usd("1000")).unwrap()]
}

async fn try_settle(ledger: &FileLedger, id: u64, amount: Usd) -> warmline::Result<Vec<Usd>> {
    match ledger.settle(id, amount) {
        Settlement::Done(settled) => settled,
        Settlement::Pending(settled) => settled.await,
    }
}

async fn settle(ledger: &FileLedger, id: u64, amount: &str) {
    try_settle(ledger, id, usd(amount)).await.unwrap();
}

/// A ledger with `0.5` spent.
async fn spent(path: &Path) -> FileLedger {
    let ledger = FileLedger::open(path).unwrap();
    let reserved = ledger.reserve(1, &budget(), usd("1")).await.unwrap();
    reserved.unwrap();
    settle(&ledger, 1, "0.5").await;
    ledger
}

async fn state(ledger: &FileLedger) -> (Usd, Usd) {
    ledger.state("a").await.unwrap()
}

fn names(folder: &TempDir) -> Vec<String> {
    let files = std::fs::read_dir(folder.path()).unwrap();
    let mut names: Vec<_> = files
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_file_that_is_not_a_ledger_is_refused_and_unchanged() {
    for content in [
        &b"x"[..],
        b"\n",
        b"R",
        b"warmline-ledger",
        b"my notes, without a newline",
        b"{\n  \"notes\": []\n}\n",
        b"a,b,c\nR 1 24323 1 500000 a 00000000\ntorn",
        b"\x00\xff\xfe\x0a\x80 binary\n\x00\x01",
        b"\xef\xbb\xbfwarmline-ledger 1 0 0 00000000\n",
        &[0; 3 << 20],
    ] {
        let (folder, path) = scratch();
        std::fs::write(&path, content).unwrap();
        let error = FileLedger::open(&path).unwrap_err();
        assert_eq!(error.kind().name(), "config");
        assert!(error.to_string().contains("is not a ledger"), "{error}");
        assert!(error.to_string().contains("spend.log"), "{error}");
        assert!(std::fs::read(&path).unwrap() == content, "{error}");
        assert_eq!(names(&folder), ["spend.log"]);
    }
    let (folder, path) = scratch();
    let error = FileLedger::open(folder.path()).unwrap_err();
    assert!(error.to_string().contains("not a regular file"), "{error}");
    assert!(FileLedger::open(path.join("in/no/folder")).is_err());
    assert!(names(&folder).is_empty());
}

#[tokio::test]
async fn an_empty_file_becomes_a_ledger() {
    let (folder, path) = scratch();
    std::fs::write(&path, "").unwrap();
    drop(spent(&path).await);
    let ledger = FileLedger::open(&path).unwrap();
    assert_eq!(state(&ledger).await, (usd("0.5"), Usd::ZERO));
    assert_eq!(names(&folder), ["spend.log"]);
}

#[test]
fn a_ledger_of_another_version_is_refused() {
    let (folder, path) = scratch();
    for version in ["0", "2", "17 and other fields"] {
        let content = format!("warmline-ledger {version}\nwhatever\ntorn");
        std::fs::write(&path, &content).unwrap();
        let error = FileLedger::open(&path).unwrap_err().to_string();
        let says = format!("in version {}", version.split(' ').next().unwrap());
        assert!(error.contains(&says), "{error}");
        assert!(error.contains("reads version 1"), "{error}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), content);
    }
    assert_eq!(names(&folder), ["spend.log"]);
}

#[tokio::test]
async fn a_ledger_without_a_header_gets_one() {
    let (folder, path) = scratch();
    let ledger = spent(&path).await;
    let more = ledger.reserve(2, &budget(), usd("2")).await.unwrap();
    more.unwrap();
    drop(ledger);
    let text = std::fs::read_to_string(&path).unwrap();
    let (header, log) = text.split_once('\n').unwrap();
    assert!(header.starts_with("warmline-ledger 1 "), "{header}");
    std::fs::write(&path, format!("{log}S 2 torn")).unwrap();
    let ledger = FileLedger::open(&path).unwrap();
    assert_eq!(state(&ledger).await, (usd("0.5"), usd("2")));
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.starts_with("warmline-ledger 1 "), "{text}");
    settle(&ledger, 2, "1").await;
    let ledger = FileLedger::open(&path).unwrap();
    assert_eq!(state(&ledger).await, (usd("1.5"), Usd::ZERO));
    assert_eq!(names(&folder), ["spend.log"]);
}

#[tokio::test]
async fn a_ledger_whose_file_was_replaced_fails_until_it_is_reopened() {
    type Change = fn(&Path);
    let cases: [(&str, Change); 10] = [
        ("deleted", |path| std::fs::remove_file(path).unwrap()),
        ("overwritten", |path| std::fs::write(path, "").unwrap()),
        ("overwritten", |path| {
            // Its lines have the same length, so the open ledger could continue to read in the new file.
            std::fs::write(path, "").unwrap();
            let ledger = FileLedger::open(path).unwrap();
            for id in 1..4 {
                let budget = budget();
                let reserved = pollster::block_on(ledger.reserve(id, &budget, usd("1")));
                reserved.unwrap().unwrap();
                pollster::block_on(settle(&ledger, id, "0.5"));
            }
        }),
        ("cut short", |path| {
            let text = std::fs::read_to_string(path).unwrap();
            let header = text.find('\n').unwrap() + 1;
            let file = std::fs::File::options().write(true).open(path).unwrap();
            file.set_len(header as u64).unwrap();
        }),
        ("replaced", |path| {
            std::fs::remove_file(path).unwrap();
            FileLedger::open(path).unwrap();
        }),
        ("replaced", |path| {
            std::fs::remove_file(path).unwrap();
            std::fs::write(path, "").unwrap();
        }),
        ("replaced", |path| {
            std::fs::remove_file(path).unwrap();
            std::fs::write(path, "notes").unwrap();
        }),
        // Replaced by its own backup.
        ("replaced", |path| {
            std::fs::copy(path, path.with_extension("backup")).unwrap();
            std::fs::rename(path.with_extension("backup"), path).unwrap();
        }),
        ("replaced", |path| {
            std::fs::remove_file(path).unwrap();
            std::fs::create_dir(path).unwrap();
        }),
        #[cfg(unix)]
        ("replaced", |path| {
            std::fs::remove_file(path).unwrap();
            std::os::unix::fs::symlink(path.with_file_name("kept"), path).unwrap();
        }),
    ];
    for (what, change) in cases {
        let (folder, path) = scratch();
        let ledger = spent(&path).await;
        let kept = folder.path().join("kept");
        std::fs::hard_link(&path, &kept).unwrap();
        let content = std::fs::read(&path).unwrap();
        change(&path);
        let changed = std::fs::read(&path).ok();
        for _ in 0..3 {
            let error = ledger.reserve(2, &budget(), usd("1")).await.unwrap_err();
            let says = format!(
                "spend.log was {what} while it was in use: restart the program, or open the ledger again"
            );
            assert!(error.to_string().contains(&says), "{error}");
            assert!(ledger.state("a").await.is_err());
            assert_eq!(error.kind().name(), "ledger");
            assert!(try_settle(&ledger, 1, Usd::ZERO).await.is_err());
            assert_eq!(std::fs::read(&path).ok(), changed, "{what}");
        }
        // The ledger has missed the changes of others.
        let _ = std::fs::remove_file(&path).or_else(|_| std::fs::remove_dir(&path));
        std::fs::rename(&kept, &path).unwrap();
        std::fs::write(&path, content).unwrap();
        assert!(ledger.state("a").await.is_err(), "{what}");
        let ledger = FileLedger::open(&path).unwrap();
        assert_eq!(state(&ledger).await, (usd("0.5"), Usd::ZERO), "{what}");
    }
}

#[cfg(unix)]
#[tokio::test]
async fn files_are_private_and_keep_an_existing_mode() {
    use std::os::unix::fs::PermissionsExt;
    let (folder, path) = scratch();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    drop(spent(&path).await);
    assert_eq!(mode(&path), 0o600);
    // A ledger without a header, so that it is rewritten.
    let text = std::fs::read_to_string(&path).unwrap();
    let (_, log) = text.split_once('\n').unwrap();
    std::fs::write(&path, log).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    std::fs::write(folder.path().join("spend.log.new"), "notes").unwrap();
    let ledger = FileLedger::open(&path).unwrap();
    assert_eq!(state(&ledger).await, (usd("0.5"), Usd::ZERO));
    assert_ne!(std::fs::read_to_string(&path).unwrap(), log);
    // The mode that its owner chose.
    assert_eq!(mode(&path), 0o640);
    let notes = std::fs::read(folder.path().join("spend.log.new")).unwrap();
    assert_eq!(notes, b"notes");
    assert_eq!(names(&folder), ["spend.log", "spend.log.new"]);
}

#[cfg(unix)]
#[tokio::test]
async fn a_symbolic_link_is_refused() {
    let (folder, path) = scratch();
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    let refused = || {
        let error = FileLedger::open(&link).unwrap_err();
        assert_eq!(error.kind().name(), "config");
        assert!(error.to_string().contains("is a symbolic link"), "{error}");
    };
    refused();
    // The file that it points to is not created.
    assert_eq!(names(&folder), ["link"]);
    let ledger = spent(&path).await;
    refused();
    assert_eq!(state(&ledger).await, (usd("0.5"), Usd::ZERO));
}

#[tokio::test]
async fn a_lock_of_another_process_does_not_block_async_workers() {
    let (_folder, path) = scratch();
    let ledger = spent(&path).await;
    let other = std::fs::File::open(&path).unwrap();
    // Any process that can read the file can take a shared lock.
    other.lock_shared().unwrap();
    let budget = budget();
    let mut reserving = ledger.reserve(2, &budget, usd("1"));
    // This is the runtime's only worker. A ledger that blocked it would never return from the poll.
    for _ in 0..100 {
        assert!((&mut reserving).now_or_never().is_none());
        tokio::task::yield_now().await;
    }
    other.unlock().unwrap();
    reserving.await.unwrap().unwrap();
    assert_eq!(state(&ledger).await, (usd("0.5"), usd("1")));
}

/// Not a test: the program of the process below, which cannot enlarge the file. It prints how many reservations it has made.
#[cfg(unix)]
#[tokio::test]
async fn worker_on_a_full_disk() {
    let Ok(path) = std::env::var("WORKER_LEDGER") else {
        return;
    };
    let ledger = FileLedger::open(path).unwrap();
    let mut made = 0;
    let error = loop {
        match ledger.reserve(made, &budget(), usd("0.01")).await {
            Ok(reserved) => reserved.unwrap(),
            Err(error) => break error,
        }
        made += 1;
    };
    assert_eq!(error.kind().name(), "ledger");
    assert!(error.to_string().contains("cannot be written"), "{error}");
    // Reading does not need space.
    let reserved = Usd::from_pico(usd("0.01").pico() * made);
    assert_eq!(state(&ledger).await, (Usd::ZERO, reserved));
    let again = ledger.reserve(made, &budget(), usd("0.01")).await;
    assert_eq!(again.unwrap_err().kind().name(), "ledger");
    assert_eq!(state(&ledger).await, (Usd::ZERO, reserved));
    println!("made {made}.");
}

#[cfg(unix)]
#[tokio::test]
async fn a_full_disk_fails_calls_and_damages_nothing() {
    let (_folder, path) = scratch();
    let open = FileLedger::open(&path).unwrap();
    // Beyond a process's limit on the size of files, a write is cut short as on a full disk.
    let limited = r#"trap '' XFSZ; ulimit -f 8; exec "$0" "$@""#;
    let worker = std::process::Command::new("sh")
        .args(["-c", limited])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "worker_on_a_full_disk", "--nocapture"])
        .env("WORKER_LEDGER", &path)
        .output()
        .unwrap();
    let output = String::from_utf8(worker.stdout).unwrap();
    assert!(worker.status.success(), "{output}");
    let made = output.split("made ").nth(1).unwrap();
    let made: u64 = made.split('.').next().unwrap().parse().unwrap();
    assert!(made > 10, "{made}");
    let reserved = Usd::from_pico(usd("0.01").pico() * made);
    for ledger in [&open, &FileLedger::open(&path).unwrap()] {
        assert_eq!(state(ledger).await, (Usd::ZERO, reserved));
    }
    settle(&open, 0, "0.01").await;
    let rest = Usd::from_pico(usd("0.01").pico() * (made - 1));
    assert_eq!(state(&open).await, (usd("0.01"), rest));
}

#[tokio::test]
async fn a_file_recovers_from_torn_lines_and_rejects_damage() {
    let (_folder, path) = scratch();
    let budget = [Budget::monthly("a", usd("1")).unwrap()];
    let ledger = FileLedger::open(&path).unwrap();
    ledger
        .reserve(1, &budget, usd("0.5"))
        .await
        .unwrap()
        .unwrap();
    let whole = std::fs::read(&path).unwrap();
    // If the process is killed at any byte of the next line, that line counts as not written, and the ledger still works.
    let line = b"S 1 500000 00000000";
    for cut in 0..line.len() {
        std::fs::write(&path, [&whole[..], &line[..cut]].concat()).unwrap();
        assert_eq!(
            FileLedger::open(&path).unwrap().state("a").await.unwrap(),
            (Usd::ZERO, usd("0.5"))
        );
        assert_eq!(std::fs::read(&path).unwrap(), whole);
    }
    let header = 1 + whole.iter().position(|byte| *byte == b'\n').unwrap();
    for at in 0..whole.len() - 1 {
        let mut damaged = whole.clone();
        damaged[at] ^= 1;
        std::fs::write(&path, &damaged).unwrap();
        let error = match FileLedger::open(&path) {
            Err(error) => error.to_string(),
            // Damage that creates a newline can at worst leave a torn line at the end.
            Ok(_) if damaged[at] == b'\n' && at > header => continue,
            Ok(_) => panic!("damage at byte {at} was not noticed"),
        };
        let says = match at {
            // The format's name and version.
            0..16 => "is not a ledger of Warmline",
            16 => "in version 0 of the format",
            17 => "damaged at byte 0",
            _ if at < header => "damaged at byte 0",
            _ => &format!("damaged at byte {header}"),
        };
        assert!(error.contains(says), "byte {at}: {error}");
        assert_eq!(std::fs::read(&path).unwrap(), damaged);
    }
    std::fs::write(&path, &whole).unwrap();
    let ledger = FileLedger::open(&path).unwrap();
    settle(&ledger, 1, "0.2").await;
    drop(ledger);
    assert_eq!(
        FileLedger::open(&path).unwrap().state("a").await.unwrap(),
        (usd("0.2"), Usd::ZERO)
    );
}

#[tokio::test]
async fn a_long_log_is_compacted_while_several_ledgers_have_it_open() {
    let (_folder, path) = scratch();
    let budget = [Budget::monthly("a", usd("1000")).unwrap()];
    let (one, other) = (
        FileLedger::open(&path).unwrap(),
        FileLedger::open(&path).unwrap(),
    );
    let kept = u64::MAX;
    one.reserve(kept, &budget, usd("1")).await.unwrap().unwrap();
    for i in 0..12_000 {
        let ledger = if i % 2 == 0 { &one } else { &other };
        ledger
            .reserve(i, &budget, usd("0.02"))
            .await
            .unwrap()
            .unwrap();
        settle(ledger, i, "0.01").await;
    }
    assert!(std::fs::metadata(&path).unwrap().len() < 1 << 20);
    for ledger in [&one, &other, &FileLedger::open(&path).unwrap()] {
        assert_eq!(ledger.state("a").await.unwrap(), (usd("120"), usd("1")));
    }
    settle(&other, kept, "0.5").await;
    assert_eq!(one.state("a").await.unwrap(), (usd("120.5"), Usd::ZERO));
}

#[tokio::test]
async fn a_log_is_not_compacted_if_that_saves_little() {
    let (_folder, path) = scratch();
    let ledger = FileLedger::open(&path).unwrap();
    for id in 0..40_000 {
        let reserved = ledger.reserve(id, &budget(), Usd::from_pico(1)).await;
        reserved.unwrap().unwrap();
    }
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.len() > 1 << 20);
    // Each rewrite starts a new generation.
    let generation = text.lines().next().unwrap().split(' ').nth(3);
    assert_eq!(generation, Some("0"));
}
