//! The lines that the code must not cross, so that it stays as `docs/adr/0001-workspace-and-seams.md` says it is.

#![expect(clippy::unwrap_used, reason = "a file that cannot be read fails the test, as it should")]

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Lines of one file that are not tests.
const MAX_FILE_LINES: usize = 800;

/// One source file: its path from the repository's root, and its code without comments and without its tests.
struct Source {
    path: String,
    code: String,
}

impl Source {
    fn read(file: &Path) -> Self {
        let path = file.strip_prefix(root()).unwrap().to_str().unwrap().replace('\\', "/");
        let text = fs::read_to_string(file).unwrap();
        let end = text.find("#[cfg(test)]\nmod tests {").unwrap_or(text.len());
        Self { path, code: text[..end].to_owned() }
    }

    /// Lines of code that hold any of `words` as a whole path segment, as `path:line: text`.
    fn mentions(&self, words: &[&str]) -> Vec<String> {
        let lines = self.code.lines().enumerate();
        lines
            .filter(|(_, line)| {
                let code = line.split("//").next().unwrap_or_default();
                words.iter().any(|word| contains_word(code, word))
            })
            .map(|(number, line)| format!("{}:{}: {}", self.path, number + 1, line.trim()))
            .collect()
    }
}

/// Whether `word` stands in `code` with no letter, digit or underscore before or after it.
fn contains_word(code: &str, word: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(word).any(|(at, _)| {
        let (before, after) = (&code[..at], &code[at + word.len()..]);
        let goes_on = word.ends_with(is_word) && after.starts_with(is_word);
        !before.ends_with(is_word) && !goes_on
    })
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Files below `folder` with the given extension, whatever the build or a tool made left out.
fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() {
            if !name.starts_with('.') && !["target", "node_modules"].contains(&name) {
                found.extend(files(&path, extension));
            }
        } else if path.extension().is_some_and(|is| is == extension) {
            found.push(path);
        }
    }
    found
}

/// The sources below `folder` of the repository that are not test files.
fn sources(folder: &str) -> Vec<Source> {
    let is_test = |path: &str| path.contains("/tests/") || path.ends_with("/tests.rs");
    let all = files(&root().join(folder), "rs").into_iter().map(|file| Source::read(&file));
    let sources: Vec<_> = all.filter(|source| !is_test(&source.path)).collect();
    assert!(!sources.is_empty(), "no source in {folder}");
    sources
}

fn assert_none(rule: &str, offences: &[String]) {
    assert!(offences.is_empty(), "{rule}:\n{}", offences.join("\n"));
}

#[test]
fn media_and_protocols_have_no_socket_no_clock_and_no_runtime() {
    let words = ["tokio", "std::net", "Instant", "SystemTime", "std::thread", "async", "runtime"];
    // The DTLS crate wants a moment to count from, and is given the same one each time.
    let constant_moment = |offence: &String| {
        offence.starts_with("cruvz-core/src/protocol/webrtc/dtls.rs:") && contains_word(offence, "Instant")
    };
    for folder in ["cruvz-media/src", "cruvz-core/src/protocol"] {
        let offences = sources(folder).into_iter().flat_map(|source| source.mentions(&words));
        let offences: Vec<_> = offences.filter(|offence| !constant_moment(offence)).collect();
        assert_none("bytes and time come in as arguments", &offences);
    }
}

#[test]
fn crates_depend_in_one_direction() {
    let forbidden = [
        ("cruvz-media", vec!["cruvz-core", "cruvz-server", "tokio"]),
        ("cruvz-core", vec!["cruvz-server", "axum", "sqlx"]),
    ];
    for (name, words) in forbidden {
        let manifest = fs::read_to_string(root().join(name).join("Cargo.toml")).unwrap();
        let dependencies = manifest.split("\n[").filter(|table| table.starts_with("dependencies"));
        let keys: Vec<_> = dependencies
            .flat_map(str::lines)
            .filter_map(|line| line.split(['=', '.']).next().map(str::trim))
            .filter(|key| words.contains(key))
            .map(|key| format!("{name} depends on {key}"))
            .collect();
        assert_none("media ◄ core ◄ server", &keys);
    }
}

#[test]
fn the_hub_knows_no_protocol_and_no_egress() {
    let words = ["protocol::", "egress::", "ingest::", "package::"];
    let offences: Vec<_> =
        sources("cruvz-core/src/hub").iter().flat_map(|source| source.mentions(&words)).collect();
    assert_none("the hub moves frames and knows nobody who makes or takes them", &offences);
}

#[test]
fn nothing_imports_the_engine() {
    let within = |path: &str| {
        ["lib.rs", "engine.rs"].iter().any(|file| path == format!("cruvz-core/src/{file}"))
            || path.starts_with("cruvz-core/src/engine/")
    };
    let outside = sources("cruvz-core/src").into_iter().filter(|source| !within(&source.path));
    let offences: Vec<_> =
        outside.flat_map(|source| source.mentions(&["engine::", "Engine", "EngineBuilder"])).collect();
    assert_none("the engine is the top: it calls, and is not called", &offences);
}

#[test]
fn files_stay_short() {
    let folders = ["cruvz-media/src", "cruvz-core/src", "cruvz-server/src"];
    let offences: Vec<_> = folders
        .iter()
        .flat_map(|folder| sources(folder))
        .map(|source| (source.code.lines().count(), source.path))
        .filter(|(lines, _)| *lines > MAX_FILE_LINES)
        .map(|(lines, path)| format!("{path}: {lines} lines"))
        .collect();
    assert_none("a file of more than 800 lines wants to be two", &offences);
}

#[test]
fn links_between_documents_lead_somewhere() {
    let mut offences = Vec::new();
    for document in files(&root(), "md") {
        let text = fs::read_to_string(&document).unwrap();
        let links = text.split("](").skip(1).filter_map(|rest| rest.split([')', '#', ' ']).next());
        for link in
            links.filter(|link| !link.is_empty() && !link.contains("://") && !link.starts_with("mailto:"))
        {
            if !document.parent().unwrap().join(link).exists() {
                offences.push(format!("{}: {link}", document.display()));
            }
        }
    }
    assert_none("a link to a file that is not there", &offences);
}

#[test]
fn a_word_is_found_only_as_a_whole() {
    assert!(contains_word("use tokio::net;", "tokio"));
    assert!(contains_word("crate::engine::Engine", "engine::"));
    assert!(!contains_word("let tokio_like = 1;", "tokio"));
    assert!(!contains_word("EngineConfig", "Engine"));
}
