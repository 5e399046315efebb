//! Finding and reading the proofs of a log directory.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use ruzstd::decoding::StreamingDecoder;

/// What a proof may decompress to. A Messenger-size proof is 198 MB.
const MAX_BYTES: u64 = 4 << 30;

/// One object of a log directory.
pub struct Proof {
    /// The object's key as it is stored, with its extension.
    pub key: String,
    /// The key without the extension: what akd parses.
    pub name: String,
    pub epoch: u64,
    /// The encoded proof, decompressed.
    pub data: Vec<u8>,
}

/// Lists the files at or below path in the order of their epochs.
pub fn find(path: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut open = vec![fs::canonicalize(path)?];
    while let Some(path) = open.pop() {
        if path.is_dir() {
            for entry in fs::read_dir(&path)? {
                open.push(entry?.path());
            }
        } else {
            found.push(path);
        }
    }
    found.sort_by_cached_key(|file| (key(file).ok().and_then(|key| epoch(&key)), file.clone()));
    Ok(found)
}

/// Reads the proof in a file whose last three path components are its key.
pub fn read(file: &Path) -> io::Result<Proof> {
    let key = key(file)?;
    let (name, extension) = match key.rsplit_once('.') {
        Some((name, extension)) => (name.to_string(), extension),
        None => (key.clone(), ""),
    };
    let epoch = epoch(&key).ok_or_else(|| invalid("no epoch in the object's name"))?;

    let stored = || File::open(file).map(BufReader::new);
    let mut data = Vec::new();
    match extension {
        "" => data = fs::read(file)?,
        "gz" => drop(MultiGzDecoder::new(stored()?).take(MAX_BYTES).read_to_end(&mut data)?),
        "zst" => unzstd(stored()?, &mut data)?,
        _ => {
            return Err(invalid(&format!("compression .{extension} is not known here")));
        }
    };
    if data.len() as u64 >= MAX_BYTES {
        return Err(invalid(&format!("more than {MAX_BYTES} bytes")));
    }
    Ok(Proof { key, name, epoch, data })
}

/// Decompresses every frame of a zstd stream: a decoder stops at the end of one.
fn unzstd(mut stored: impl BufRead, data: &mut Vec<u8>) -> io::Result<()> {
    while !stored.fill_buf()?.is_empty() && (data.len() as u64) < MAX_BYTES {
        let decoder = StreamingDecoder::new(&mut stored).map_err(io::Error::other)?;
        decoder.take(MAX_BYTES - data.len() as u64).read_to_end(data)?;
    }
    Ok(())
}

fn key(file: &Path) -> io::Result<String> {
    let parts: Vec<_> = file.iter().filter_map(|part| part.to_str()).collect();
    match parts.as_slice() {
        [.., epoch, previous, digest] => Ok(format!("{epoch}/{previous}/{digest}")),
        _ => Err(invalid("the path does not end in {epoch}/{previous digest}/{digest}")),
    }
}

fn epoch(key: &str) -> Option<u64> {
    key.split('/').next()?.parse().ok()
}

fn invalid(message: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}
