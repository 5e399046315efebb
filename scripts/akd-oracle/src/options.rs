//! The command line.

use std::path::PathBuf;

use crate::judge::{Configuration, Version};

pub const USAGE: &str = "usage: akd-oracle [--akd 0.13|0.12|both] [--configuration whatsapp_v1|experimental:LABEL] [--timing] [--adopt] PATH...";

pub const HELP: &str = "\
akd-oracle judges audit proofs with the akd crate and prints one verdict a line:

    VERSION accept EPOCH KEY
    VERSION reject EPOCH KEY REASON

usage: akd-oracle [OPTION...] PATH...

PATH is a log directory, laid out {epoch}/{previous digest}/{digest}, or one proof in such a directory. Proofs may be
compressed with zstd or gzip. Each PATH's proofs are judged in the order of their epochs.

    --akd 0.13|0.12|both   which release judges (0.13)
    --configuration C      whatsapp_v1, or experimental:LABEL with its domain label (whatsapp_v1)
    --adopt                ignore the digests in the objects' names and judge each proof under those that akd
                           itself computes for it, which the printed KEY has; where akd refuses before it
                           hashes, the digests are zeros
    --timing               add a column after KEY: milliseconds spent verifying, without reading and decoding
    --help                 print this

exit status: 0 all accepted, 1 some rejected, 2 something could not be judged
";

pub struct Options {
    pub versions: &'static [Version],
    pub configuration: Configuration,
    pub timing: bool,
    pub adopt: bool,
    pub paths: Vec<PathBuf>,
}

impl Options {
    /// Reads the arguments after the program's name; None when help was asked for.
    pub fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Option<Options>, String> {
        let mut options = Options {
            versions: &[Version::Akd13],
            configuration: Configuration::WhatsAppV1,
            timing: false,
            adopt: false,
            paths: Vec::new(),
        };
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            let (flag, mut inline) = match argument.split_once('=') {
                Some((flag, value)) if flag.starts_with("--") => (flag.to_string(), Some(value.to_string())),
                _ => (argument, None),
            };
            let mut value = || inline.take().or_else(|| arguments.next()).ok_or(format!("{flag} needs a value"));
            match flag.as_str() {
                "--akd" => options.versions = versions(&value()?)?,
                "--configuration" => options.configuration = value()?.parse()?,
                "--timing" => options.timing = true,
                "--adopt" => options.adopt = true,
                "--help" | "-h" => return Ok(None),
                _ if flag.starts_with('-') => return Err(format!("unknown option {flag}")),
                _ => options.paths.push(PathBuf::from(&flag)),
            }
            if inline.is_some() {
                return Err(format!("{flag} takes no value"));
            }
        }
        if options.paths.is_empty() {
            return Err("no PATH".to_string());
        }
        Ok(Some(options))
    }
}

fn versions(name: &str) -> Result<&'static [Version], String> {
    match name {
        "0.13" => Ok(&[Version::Akd13]),
        "0.12" => Ok(&[Version::Akd12]),
        "both" => Ok(&[Version::Akd13, Version::Akd12]),
        _ => Err(format!("unknown akd release {name:?}: want 0.13, 0.12 or both")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Option<Options>, String> {
        Options::parse(line.split_whitespace().map(str::to_string))
    }

    #[test]
    fn defaults() {
        let options = parse("log").unwrap().unwrap();
        assert_eq!(options.versions, &[Version::Akd13]);
        assert_eq!(options.configuration, Configuration::WhatsAppV1);
        assert!(!options.timing && !options.adopt);
        assert_eq!(options.paths, [PathBuf::from("log")]);
    }

    #[test]
    fn every_option() {
        let options = parse("--akd=both --timing --adopt --configuration experimental:A:B a b=c").unwrap().unwrap();
        assert_eq!(options.versions, &[Version::Akd13, Version::Akd12]);
        assert_eq!(options.configuration, Configuration::Experimental("A:B".to_string()));
        assert!(options.timing && options.adopt);
        assert_eq!(options.paths, [PathBuf::from("a"), PathBuf::from("b=c")]);
    }

    #[test]
    fn mistakes() {
        for (line, want) in [
            ("", "no PATH"),
            ("--akd", "--akd needs a value"),
            ("--akd 0.11 log", "unknown akd release"),
            ("--timing=yes log", "--timing takes no value"),
            ("--verbose log", "unknown option --verbose"),
            ("--configuration experimental log", "needs its domain label"),
        ] {
            let error = parse(line).err().unwrap_or_default();
            assert!(error.contains(want), "{line:?}: {error:?} does not say {want:?}");
        }
    }
}
