//! The oracle against the project's test vectors: each must get the verdict that manifest.json records for akd.
//! This is what ties the recorded verdicts, which the Go tests rely on, to the crate that gave them.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

const WHATSAPP: &str = "whatsapp_v1";
const EXAMPLE: &str = "experimental:ExampleLabel";

#[test]
fn recorded_cases_get_the_recorded_verdict() {
    let manifest = fs::read_to_string(vectors().join("manifest.json")).unwrap();
    let manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
    let mut checked = 0;
    for (group, cases) in manifest.as_object().unwrap() {
        for (case, recorded) in cases.as_object().unwrap() {
            for release in ["0.13", "0.12"] {
                let Some(want) = recorded[format!("akd_{release}")].as_str() else { continue };
                let answer = oracle(&["--akd", release], &vectors().join(group).join(case));
                assert_eq!(verdicts(&answer), [want], "{group}/{case} by akd {release}: {}", answer.stdout);
                assert_eq!(answer.status, if want == "accept" { 0 } else { 1 }, "{group}/{case} by akd {release}");
                checked += 1;
            }
        }
    }
    assert!(checked > 60, "only {checked} cases in the manifest");
}

#[test]
fn honest_logs_are_accepted_in_epoch_order() {
    for (log, configuration, epochs) in [
        ("whatsapp-v1/log", WHATSAPP, 1..=30),
        ("whatsapp-v1/tiny", WHATSAPP, 1..=40),
        ("whatsapp-v1/medium", WHATSAPP, 3..=4),
        ("experimental/log", EXAMPLE, 1..=8),
    ] {
        let answer = oracle(&["--akd=0.13", "--configuration", configuration], &vectors().join(log));
        let judged: Vec<u64> = answer.stdout.lines().map(|line| field(line, 2).parse().unwrap()).collect();
        assert_eq!(judged, epochs.collect::<Vec<_>>(), "{log}");
        assert!(verdicts(&answer).iter().all(|verdict| verdict == "accept"), "{log}: {}", answer.stdout);
        assert_eq!(answer.status, 0, "{log}");
    }
}

#[test]
fn the_configuration_matters() {
    for configuration in [WHATSAPP, "experimental:AnotherLabel"] {
        let answer = oracle(&["--configuration", configuration], &vectors().join("experimental/log"));
        assert_eq!(verdicts(&answer), ["reject"; 8], "{configuration}");
        assert_eq!(answer.status, 1, "{configuration}");
    }
}

#[test]
fn compressed_proofs_are_judged_like_plain_ones() {
    let plain = one_proof();
    let data = fs::read(&plain).unwrap();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(&data).unwrap();
    let zstd = |data: &[u8]| ruzstd::encoding::compress_to_vec(data, ruzstd::encoding::CompressionLevel::Fastest);
    let two_frames = [zstd(&data[..100]), zstd(&data[100..])].concat();

    let key = key(&plain);
    for (case, extension, stored, want) in [
        ("gzip", ".gz", gzip.finish().unwrap(), 0),
        ("zstd", ".zst", zstd(&data), 0),
        ("zstd in two frames", ".zst", two_frames, 0),
        ("zstd of a damaged proof", ".zst", zstd(&data[1..]), 1),
        ("not zstd", ".zst", data.clone(), 2),
        ("unknown compression", ".s2", data.clone(), 2),
    ] {
        let log = Path::new(env!("CARGO_TARGET_TMPDIR")).join(case);
        let object = log.join(format!("{key}{extension}"));
        fs::create_dir_all(object.parent().unwrap()).unwrap();
        fs::write(&object, stored).unwrap();
        assert_eq!(oracle(&[], &log).status, want, "{case}");
    }
}

#[test]
fn one_file_with_timing() {
    let plain = one_proof();
    let answer = oracle(&["--timing"], &plain);
    let line = answer.stdout.trim_end();
    assert_eq!(field(line, 3), key(&plain));
    assert!(field(line, 4).parse::<f64>().unwrap() > 0.0, "{line}");
}

#[test]
fn what_cannot_be_judged_is_said() {
    let manifest = vectors().join("manifest.json");
    for path in [Path::new("no/such/path"), &manifest] {
        let answer = oracle(&[], path);
        assert_eq!(answer.status, 2, "{}", path.display());
        assert!(answer.stderr.contains(path.to_str().unwrap()), "{}", answer.stderr);
    }
}

struct Answer {
    stdout: String,
    stderr: String,
    status: i32,
}

fn oracle(options: &[&str], path: &Path) -> Answer {
    let output = Command::new(env!("CARGO_BIN_EXE_akd-oracle")).args(options).arg(path).output().unwrap();
    Answer {
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
        status: output.status.code().unwrap(),
    }
}

fn verdicts(answer: &Answer) -> Vec<String> {
    answer.stdout.lines().map(|line| field(line, 1).to_string()).collect()
}

fn field(line: &str, index: usize) -> &str {
    line.split(' ').nth(index).unwrap()
}

fn vectors() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/vectors").canonicalize().unwrap()
}

/// A file of one honest proof.
fn one_proof() -> PathBuf {
    let mut path = vectors().join("whatsapp-v1/log/20");
    while path.is_dir() {
        path = fs::read_dir(&path).unwrap().next().unwrap().unwrap().path();
    }
    path
}

fn key(proof: &Path) -> String {
    let parts: Vec<_> = proof.iter().map(|part| part.to_str().unwrap()).collect();
    parts[parts.len() - 3..].join("/")
}
