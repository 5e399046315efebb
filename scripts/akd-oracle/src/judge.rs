//! Asking akd. Two releases are linked in; their types differ, so the code that calls them is written once as a macro.

use std::fmt;
use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::str::FromStr;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};

/// A release of akd.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    Akd13,
    Akd12,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Version::Akd13 => "0.13",
            Version::Akd12 => "0.12",
        })
    }
}

/// The hash layout of a log's tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Configuration {
    WhatsAppV1,
    Experimental(String),
}

impl FromStr for Configuration {
    type Err = String;

    fn from_str(text: &str) -> Result<Configuration, String> {
        match text.split_once(':') {
            None if text == "whatsapp_v1" => Ok(Configuration::WhatsAppV1),
            Some(("experimental", label)) if !label.is_empty() => Ok(Configuration::Experimental(label.to_string())),
            _ if text.starts_with("experimental") => {
                Err("configuration experimental needs its domain label: experimental:LABEL".to_string())
            }
            _ => Err(format!("unknown configuration {text:?}: want whatsapp_v1 or experimental:LABEL")),
        }
    }
}

/// What akd said about one proof: why it rejected it, if it did, and how long verifying took.
pub struct Judgement {
    pub verdict: Result<(), String>,
    pub took: Duration,
}

/// Judges proofs of one configuration.
pub struct Judge {
    configuration: Configuration,
    runtime: Runtime,
}

impl Judge {
    /// Starts a runtime with a thread a core, which akd spreads its work over as it would in any auditor.
    pub fn new(configuration: Configuration) -> io::Result<Judge> {
        if let Configuration::Experimental(label) = &configuration {
            DOMAIN.get_or_init(|| label.clone());
        }
        let runtime = Builder::new_multi_thread().enable_time().build()?;
        Ok(Judge { configuration, runtime })
    }

    pub fn judge(&self, version: Version, name: &str, data: Vec<u8>) -> Judgement {
        let mut took = Duration::ZERO;
        let asked = panic::catch_unwind(AssertUnwindSafe(|| match version {
            Version::Akd13 => release13::ask(self, name, data, &mut took),
            Version::Akd12 => release12::ask(self, name, data, &mut took),
        }));
        let verdict = asked.unwrap_or_else(|panic| Err(format!("panic: {}", panic_message(&*panic))));
        Judgement { verdict: verdict.map_err(|reason| one_line(&reason)), took }
    }
}

/// Names a proof after the digests that akd itself computes for it, and judges it under that name. akd tells them in its
/// reasons: first what the unchanged nodes give, then what all nodes give.
pub fn adopt(judge: &Judge, version: Version, epoch: u64, data: &[u8]) -> (String, Judgement) {
    let zeros = "0".repeat(64);
    let mut digests = [zeros.clone(), zeros];
    for round in 0.. {
        let name = format!("{epoch}/{}/{}", digests[0], digests[1]);
        let judgement = judge.judge(version, &name, data.to_vec());
        let computed = judgement.verdict.as_ref().err().and_then(|reason| computed_digest(reason));
        match computed {
            Some(digest) if round < 2 => digests[round] = digest,
            _ => return (name, judgement),
        }
    }
    unreachable!()
}

fn computed_digest(reason: &str) -> Option<String> {
    let (_, rest) = reason.split_once("does not match computed root hash ")?;
    rest.get(..64).filter(|digest| digest.bytes().all(|b| b.is_ascii_hexdigit())).map(str::to_string)
}

/// The domain label of this process. akd takes it from a type, so it can't be a value of a Judge.
static DOMAIN: OnceLock<String> = OnceLock::new();

#[derive(Clone)]
struct Domain;

impl Domain {
    fn label() -> &'static [u8] {
        DOMAIN.get().expect("a Judge of this configuration was made").as_bytes()
    }
}

macro_rules! release {
    ($module:ident, $akd:ident) => {
        mod $module {
            use $akd::auditor::verify_consecutive_append_only;
            use $akd::local_auditing::{AuditBlob, AuditBlobName, LocalAuditorError};
            use $akd::{Configuration as Layout, DomainLabel, ExperimentalConfiguration, WhatsAppV1Configuration};

            use super::*;

            impl DomainLabel for Domain {
                fn domain_label() -> &'static [u8] {
                    Domain::label()
                }
            }

            /// Decodes and verifies as akd's own callers do; took is the time of verifying alone.
            pub fn ask(judge: &Judge, name: &str, data: Vec<u8>, took: &mut Duration) -> Result<(), String> {
                match judge.configuration {
                    Configuration::WhatsAppV1 => verify::<WhatsAppV1Configuration>(&judge.runtime, name, data, took),
                    Configuration::Experimental(_) => {
                        verify::<ExperimentalConfiguration<Domain>>(&judge.runtime, name, data, took)
                    }
                }
            }

            fn verify<L: Layout>(
                runtime: &Runtime,
                name: &str,
                data: Vec<u8>,
                took: &mut Duration,
            ) -> Result<(), String> {
                let name = AuditBlobName::try_from(name).map_err(message)?;
                let blob = AuditBlob { name, data };
                let (epoch, previous, digest, proof) = blob.decode().map_err(message)?;
                drop(blob);
                let start = Instant::now();
                let verified = runtime.block_on(verify_consecutive_append_only::<L>(&proof, previous, digest, epoch));
                *took = start.elapsed();
                verified.map_err(|error| error.to_string())
            }

            fn message(error: LocalAuditorError) -> String {
                match error {
                    LocalAuditorError::NameParseError(message) => message,
                    LocalAuditorError::MisMatchedLengths(message) => message,
                    LocalAuditorError::ConversionError(error) => error.to_string(),
                }
            }
        }
    };
}

release!(release13, akd);
release!(release12, akd12);

fn panic_message(panic: &(dyn std::any::Any + Send)) -> &str {
    if let Some(message) = panic.downcast_ref::<&str>() {
        message
    } else if let Some(message) = panic.downcast_ref::<String>() {
        message
    } else {
        "without a message"
    }
}

/// A reason ends a line of output, so it must not break one.
fn one_line(reason: &str) -> String {
    reason.split_whitespace().collect::<Vec<_>>().join(" ")
}
