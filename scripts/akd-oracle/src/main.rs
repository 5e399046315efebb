//! akd-oracle says what the published `akd` crate makes of a log's audit proofs, one verdict a line.
//!
//! It is a development tool: `scripts/compare-akd` holds ktaudit's verdicts against it, and `scripts/bench` its times.

mod judge;
mod options;
mod proofs;

use std::fmt;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use judge::{Judge, Judgement, Version};
use options::Options;

/// A proof was rejected.
const REJECTED: u8 = 1;
/// A proof could not be judged: usage, a file that can't be read, an object whose name is no audit proof's.
const UNJUDGED: u8 = 2;

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(Some(options)) => options,
        Ok(None) => {
            print!("{}", options::HELP);
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("akd-oracle: {error}\n{}", options::USAGE);
            return ExitCode::from(UNJUDGED);
        }
    };
    // A panic inside akd is a verdict of its own, printed as such; the default hook would print it a second time.
    std::panic::set_hook(Box::new(|_| {}));

    let mut run = match Run::new(options) {
        Ok(run) => run,
        Err(error) => {
            eprintln!("akd-oracle: {error}");
            return ExitCode::from(UNJUDGED);
        }
    };
    run.all();
    ExitCode::from(run.status)
}

/// One invocation: what it judges with, and the worst that happened so far.
struct Run {
    options: Options,
    judge: Judge,
    status: u8,
}

impl Run {
    fn new(options: Options) -> io::Result<Run> {
        let judge = Judge::new(options.configuration.clone())?;
        Ok(Run { options, judge, status: 0 })
    }

    fn all(&mut self) {
        for path in self.options.paths.clone() {
            match proofs::find(&path) {
                Ok(found) if found.is_empty() => self.unjudged(&path, &"no audit proof in it"),
                Ok(found) => found.iter().for_each(|proof| self.one(proof)),
                Err(error) => self.unjudged(&path, &error),
            }
        }
    }

    fn one(&mut self, file: &Path) {
        for version in self.options.versions {
            // Read afresh for each release: akd takes the bytes, and a copy would count as memory that akd needs.
            let proof = match proofs::read(file) {
                Ok(proof) => proof,
                Err(error) => return self.unjudged(file, &error),
            };
            let (key, judgement) = if self.options.adopt {
                judge::adopt(&self.judge, *version, proof.epoch, &proof.data)
            } else {
                (proof.key, self.judge.judge(*version, &proof.name, proof.data))
            };
            if judgement.verdict.is_err() {
                self.status = self.status.max(REJECTED);
            }
            if let Err(error) = self.print(*version, proof.epoch, &key, &judgement) {
                // Nobody reads the verdicts any more; judging on would be for nothing.
                eprintln!("akd-oracle: {error}");
                std::process::exit(UNJUDGED.into());
            }
        }
    }

    /// Prints `VERSION VERDICT EPOCH KEY [MILLISECONDS] [REASON]`. The reason comes last because it is the only field
    /// that holds spaces.
    fn print(&self, version: Version, epoch: u64, key: &str, judgement: &Judgement) -> io::Result<()> {
        let mut out = io::stdout().lock();
        let verdict = if judgement.verdict.is_ok() { "accept" } else { "reject" };
        write!(out, "{version} {verdict} {epoch} {key}")?;
        if self.options.timing {
            write!(out, " {:.3}", judgement.took.as_secs_f64() * 1e3)?;
        }
        if let Err(reason) = &judgement.verdict {
            write!(out, " {reason}")?;
        }
        writeln!(out)
    }

    fn unjudged(&mut self, path: &Path, error: &dyn fmt::Display) {
        eprintln!("akd-oracle: {}: {error}", path.display());
        self.status = UNJUDGED;
    }
}
